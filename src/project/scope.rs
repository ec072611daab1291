//! What names mean in the expressions of handlers, and how their errors point into the file.

use std::collections::BTreeSet;

use crate::sql::algebra::{self, Change, Slots};
use crate::sql::scalar::Scalar;
use crate::sql::vector::Vector;
use crate::sql::{self, CompileError, Expr, NameError, Resolved, Scope, Slot, Type};

use super::aggregates::AggregateDef;
use super::contracts::ContractField;
use super::diagnostics::{Diagnostic, nearest};
use super::key_check::toml_key;
use super::toml_walk::Text;
use super::{Condition, EventField, Field, FieldRole, KeyPart, Var};

/// What the expressions over one concrete event type use, growing while they are compiled.
pub(crate) struct TypeNames {
    /// `[event.ItemAdded]`
    pub title: String,
    pub contract: Vec<ContractField>,
    pub fields: Vec<Field>,
    pub meta: Vec<Vec<String>>,
    pub computed: Vec<Vector>,
}

impl TypeNames {
    /// `shown`: the type, or the pattern that stands for types that nobody named.
    pub fn new(shown: &str, contract: Vec<ContractField>) -> TypeNames {
        TypeNames { title: format!("[event.{}]", toml_key(shown)), contract, fields: Vec::new(), meta: Vec::new(), computed: Vec::new() }
    }

    /// What `value`, set to a state column, makes of it without an interpreter, if it can be had.
    pub fn change(&mut self, aggregate: &AggregateDef, column: usize, value: &Expr) -> Option<Change> {
        let mut computed = std::mem::take(&mut self.computed);
        let readable = |slot: Slot| self.of_event(slot).filter(|_| matches!(Var::of(slot), Var::Data(_)));
        let of_event = |slot: Slot| self.of_event(slot);
        let compiled = |slot: Slot| self.of_row(aggregate, slot);
        let slots = Slots { readable: &readable, outside: &of_event, compiled: &compiled };
        let change = algebra::change_of(value, Var::State(column).slot(), &slots, &mut |vector| {
            computed.push(vector);
            computed.len() - 1
        });
        self.computed = computed;
        change
    }

    /// The condition with its compiled form.
    pub fn compiled(&self, aggregate: &AggregateDef, expr: Expr) -> Condition {
        Condition { compiled: Scalar::of(&expr, &|slot| self.of_row(aggregate, slot)), expr }
    }

    /// How the values of a key are had without an interpreter, if all of them can be.
    pub fn key_parts(&self, key: &[Expr]) -> Option<Vec<KeyPart>> {
        let part = |expr: &Expr| match (&expr.ty, expr.as_slot()) {
            (Type::Varchar, Some(slot)) => Some(KeyPart::Text(slot)),
            (Type::Boolean | Type::Double, _) => None,
            _ => Scalar::of(expr, &|slot| self.of_event(slot)).map(KeyPart::Whole),
        };
        key.iter().map(part).collect()
    }

    /// The type of a variable of the event.
    fn of_event(&self, slot: Slot) -> Option<Type> {
        match Var::of(slot) {
            Var::Data(i) => Some(self.fields.get(i)?.ty.clone()),
            Var::Meta(_) => Some(Type::Varchar),
            Var::Event(field) => EVENT_FIELDS.iter().find(|(_, other, _)| *other == field).map(|(.., ty)| ty.clone()),
            _ => None,
        }
    }

    /// The type of a variable of the event or of a state column.
    fn of_row(&self, aggregate: &AggregateDef, slot: Slot) -> Option<Type> {
        match Var::of(slot) {
            Var::State(i) => Some(aggregate.state.get(i)?.ty.clone()),
            _ => self.of_event(slot),
        }
    }

    /// The slot of a declared field, by its index in the contract.
    pub fn declared(&mut self, index: usize) -> usize {
        let field = &self.contract[index];
        let path = vec![field.name.clone()];
        if let Some(found) = self.fields.iter().position(|other| other.declared && other.role == FieldRole::Plain && other.path == path) {
            return found;
        }
        let (ty, default) = (field.ty.clone(), field.default.clone());
        self.fields.push(Field { path, ty, not_null: field.not_null, default, declared: true, role: FieldRole::Plain });
        self.fields.len() - 1
    }

    /// The slot of a column of a row image, or of whether it has a value.
    fn column(&mut self, field: &ContractField, role: FieldRole) -> usize {
        let path = vec![field.name.clone()];
        if let Some(found) = self.fields.iter().position(|other| other.role == role && other.path == path) {
            return found;
        }
        let ty = if matches!(role, FieldRole::Presence { .. }) { Type::Boolean } else { field.ty.clone() };
        self.fields.push(Field { path, ty, not_null: field.not_null, default: field.default.clone(), declared: true, role });
        self.fields.len() - 1
    }

    fn undeclared(&mut self, path: &[String]) -> usize {
        if let Some(found) = self.fields.iter().position(|other| !other.declared && other.path == path) {
            return found;
        }
        let (ty, role) = (Type::Varchar, FieldRole::Plain);
        self.fields.push(Field { path: path.to_vec(), ty, not_null: false, default: None, declared: false, role });
        self.fields.len() - 1
    }

    fn metadata(&mut self, path: &[String]) -> usize {
        if let Some(found) = self.meta.iter().position(|other| other == path) {
            return found;
        }
        self.meta.push(path.to_vec());
        self.meta.len() - 1
    }
}

pub(crate) struct HandlerScope<'a> {
    pub names: &'a mut TypeNames,
    pub aggregate: &'a AggregateDef,
    /// False in key expressions, which are read before the row is known.
    pub sees_row: bool,
    pub old_columns: &'a mut BTreeSet<usize>,
    /// The type of `each`.
    pub each: Option<Type>,
    /// The expression is `each` itself: an undeclared field should become a list.
    pub wants_list: bool,
}

const EVENT_FIELDS: [(&str, EventField, Type); 6] = [
    ("stream", EventField::Stream, Type::Varchar),
    ("type", EventField::Type, Type::Varchar),
    ("version", EventField::Version, Type::BigInt),
    ("position", EventField::Position, Type::BigInt),
    ("time", EventField::Time, Type::Timestamp),
    ("id", EventField::Id, Type::Varchar),
];

impl Scope for HandlerScope<'_> {
    fn resolve(&mut self, path: &[String], cast: bool) -> Result<Resolved, NameError> {
        let Some(first) = path.first() else { return Err(error("a name is empty", None)) };
        if let Some(replica) = &self.aggregate.replica
            && let Some((field, role)) = replica.resolve(path)
        {
            let slot = self.names.column(&replica.fields[field], role);
            return Ok(resolved(Var::Data(slot), self.names.fields[slot].ty.clone(), 2));
        }
        match first.to_lowercase().as_str() {
            "data" => self.data(path, cast),
            "meta" => self.meta(path),
            "event" => event_field(path),
            "old" => self.old(path),
            "each" => self.each(),
            _ => self.column(path),
        }
    }
}

impl HandlerScope<'_> {
    fn data(&mut self, path: &[String], cast: bool) -> Result<Resolved, NameError> {
        let Some(name) = path.get(1) else {
            return Err(error("`data` is the whole payload", Some("name one of its fields: `data.name`".into())));
        };
        if let Some(index) = self.names.contract.iter().position(|field| field.name.eq_ignore_ascii_case(name)) {
            let ty = self.names.contract[index].ty.clone();
            return Ok(resolved(Var::Data(self.names.declared(index)), ty, 2));
        }
        if cast {
            return Ok(resolved(Var::Data(self.names.undeclared(&path[1..])), Type::Varchar, path.len()));
        }
        let written = path[1..].join(".");
        let title = &self.names.title;
        let declared = nearest(name, self.names.contract.iter().map(|field| field.name.as_str()));
        let help = match declared {
            Some(near) => format!("did you mean `data.{near}`?"),
            None if self.wants_list => {
                format!("declare it under {title} as a list: `{} = \"STRUCT(name VARCHAR, qty INTEGER)[]\"`", toml_key(name))
            }
            None => format!(
                "declare it under {title}: `{} = \"VARCHAR\"`; or cast it where it is used: `data.{written}::VARCHAR`",
                toml_key(name)
            ),
        };
        Err(error(format!("`data.{written}` is not declared in {title}"), Some(help)))
    }

    fn meta(&mut self, path: &[String]) -> Result<Resolved, NameError> {
        if path.len() < 2 {
            return Err(error(
                "`meta` is the whole metadata",
                Some("name one of its fields: `meta.name`; it is text, so cast it: `meta.name::INTEGER`".into()),
            ));
        }
        Ok(resolved(Var::Meta(self.names.metadata(&path[1..])), Type::Varchar, path.len()))
    }

    fn old(&mut self, path: &[String]) -> Result<Resolved, NameError> {
        if !self.sees_row {
            return Err(error("a key cannot read the row: it is what finds the row", Some("use `data.`, `meta.` and `event.`".into())));
        }
        let Some(name) = path.get(1) else {
            return Err(error("`old` is the whole row", Some("name one of its columns: `old.status`".into())));
        };
        if let Some(column) = self.aggregate.state_column(name) {
            self.old_columns.insert(column);
            return Ok(resolved(Var::Old(column), self.aggregate.state[column].ty.clone(), 2));
        }
        if let Some(key) = self.aggregate.key_column(name) {
            return Ok(resolved(Var::Key(key), self.aggregate.key_type(key), 2));
        }
        Err(self.no_column(name))
    }

    fn each(&mut self) -> Result<Resolved, NameError> {
        match &self.each {
            Some(ty) => Ok(resolved(Var::Each, ty.clone(), 1)),
            None => Err(error("`each` is known only in a rule with `each`", Some("give the rule a list: `each = \"data.lines\"`".into()))),
        }
    }

    fn column(&mut self, path: &[String]) -> Result<Resolved, NameError> {
        let name = &path[0];
        let state = self.aggregate.state_column(name);
        let key = self.aggregate.key_column(name);
        if !self.sees_row && (state.is_some() || key.is_some()) {
            return Err(error(
                format!("a key cannot read the column `{name}`: it is what finds the row"),
                Some("use `data.`, `meta.` and `event.`".into()),
            ));
        }
        match (state, key) {
            (Some(column), _) => Ok(resolved(Var::State(column), self.aggregate.state[column].ty.clone(), 1)),
            (None, Some(key)) => Ok(resolved(Var::Key(key), self.aggregate.key_type(key), 1)),
            (None, None) => Err(self.no_column(name)),
        }
    }

    fn no_column(&self, name: &str) -> NameError {
        let lower = name.to_lowercase();
        let text = format!("text stands in single quotes: `'{name}'`");
        let own = self.aggregate.state.iter().map(|column| column.name.as_str()).chain(self.aggregate.key_names());
        let help = if let Some(field) = self.names.contract.iter().find(|field| field.name.eq_ignore_ascii_case(name)) {
            format!("the payload has it: `data.{}`", field.name)
        } else if let Some(near) = self.sees_row.then(|| nearest(name, own)).flatten() {
            // a short word that begins like a column is as often a text without its quotes
            let prefix = near.to_lowercase().starts_with(&lower) || lower.starts_with(&near.to_lowercase());
            if prefix { format!("did you mean the column `{near}`? {text}") } else { format!("did you mean the column `{near}`?") }
        } else if EVENT_FIELDS.iter().any(|(field, ..)| *field == lower) {
            format!("the envelope has it: `event.{lower}`")
        } else if let Some(near) = nearest(name, self.names.contract.iter().map(|field| field.name.as_str())) {
            format!("did you mean `data.{near}`?")
        } else {
            format!("a field of the payload is `data.{name}`, a string is `'{name}'`")
        };
        error(format!("no column `{name}`"), Some(help))
    }
}

/// `event.stream` and the other parts of the envelope.
pub(crate) fn event_field(path: &[String]) -> Result<Resolved, NameError> {
    let all = "`event.` has stream, type, version, position, time and id";
    let Some(name) = path.get(1) else { return Err(error("`event` is the whole envelope", Some(all.into()))) };
    match EVENT_FIELDS.iter().find(|(field, ..)| field.eq_ignore_ascii_case(name)) {
        Some((_, field, ty)) => Ok(resolved(Var::Event(*field), ty.clone(), 2)),
        None => {
            let near = nearest(name, EVENT_FIELDS.iter().map(|(field, ..)| *field));
            let help = near.map_or_else(
                || format!("{all}; the payload is `data.`, the metadata `meta.`"),
                |near| format!("did you mean `event.{near}`?"),
            );
            Err(error(format!("the envelope has no `{name}`"), Some(help)))
        }
    }
}

pub(crate) fn resolved(var: Var, ty: Type, parts_used: usize) -> Resolved {
    Resolved { slot: var.slot(), ty, parts_used }
}

pub(crate) fn error(message: impl Into<String>, help: Option<String>) -> NameError {
    NameError { message: message.into(), help }
}

/// Compiles an expression of the file; what is wrong is reported at its characters.
pub(crate) fn compile(text: &Text, scope: &mut dyn Scope, wanted: Option<&Type>, found: &mut Vec<Diagnostic>) -> Option<Expr> {
    match sql::compile(&text.value, scope, wanted) {
        Ok(expr) => Some(expr),
        Err(error) => {
            found.push(compile_error(text, error));
            None
        }
    }
}

/// Compiles a condition.
pub(crate) fn condition(key: &str, text: &Text, scope: &mut dyn Scope, found: &mut Vec<Diagnostic>) -> Option<Expr> {
    let expr = compile(text, scope, None, found)?;
    if !matches!(expr.ty, Type::Boolean | Type::Null) {
        found.push(
            Diagnostic::new(format!("`{key}` must be true or false, but this is {}", expr.ty), &text.part(0..text.value.len()))
                .help("compare it (`… = 'x'`, `… > 0`, `… IS NOT NULL`), or cast it: `(…)::BOOLEAN`"),
        );
        return None;
    }
    Some(expr)
}

pub(crate) fn compile_error(text: &Text, error: CompileError) -> Diagnostic {
    let mut message = error.message;
    let written = text.value.get(error.span.clone()).unwrap_or("");
    // `set.status = "placed"` inside of TOML quotes: SQL reads double quotes as a column's name.
    let quoted = written.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).filter(|inner| !inner.contains('"'));
    let string = quoted.filter(|_| message.starts_with("no column `"));
    if let Some(inner) = string {
        message.push_str(&format!("; did you mean `'{inner}'`?"));
    }
    let mut diagnostic = Diagnostic::new(message, &text.part(error.span));
    if string.is_some() {
        diagnostic = diagnostic.help("SQL writes strings in single quotes; double quotes are for names");
    }
    match error.help {
        Some(help) if string.is_none() => diagnostic.help(help),
        _ => diagnostic,
    }
}
