//! Rules and keys, typed for one concrete event type.

use std::collections::BTreeSet;

use crate::sql::algebra::Operand;
use crate::sql::{Expr, Type};

use super::aggregates::{AggregateDef, KeyDef, RuleDef};
use super::diagnostics::{Diagnostic, Place};
use super::scope::{HandlerScope, TypeNames, compile, condition};
use super::toml_walk::Text;
use super::{AggregatePlan, Emit, EventField, FieldRole, Operands, Rule, Set, Var};

/// The type of a key column as one expression gives it, and where.
pub(crate) struct KeyTypeFound {
    /// Index into `AggregateDef::key_columns`.
    pub column: usize,
    pub ty: Type,
    pub place: Place,
}

/// Everything that happens to one aggregate with events of one type; `None` where it does not handle the type
/// or something is wrong (then it is reported).
pub(crate) fn compile_aggregate(
    index: usize,
    def: &AggregateDef,
    event_type: &str,
    names: &mut TypeNames,
    found: &mut Vec<Diagnostic>,
) -> Option<AggregatePlan> {
    let on: Vec<&RuleDef> = def.on.iter().filter(|rule| rule.pattern.matches(event_type)).collect();
    if on.is_empty() {
        return None;
    }
    let mut old_columns = BTreeSet::new();
    let mut typed = Compiler { def, names, old_columns: &mut old_columns, found };
    let has_key = typed.needs_key(&on);
    let key = if has_key { typed.key(&def.key, def.stream_keys(), None) } else { Some(Vec::new()) };
    let order_by = def.order_by.as_ref().map(|text| typed.order_by(text));
    let before = typed.rules(def.before.iter(), false);
    let on = typed.rules(on.into_iter(), true);
    let after = typed.rules(def.after.iter(), false);
    let on = on?;
    // an update of a replica with a key of its own has two rules: one for the old key, one for the new
    let partial = FieldRole::Presence { partial: true };
    let carries = match (&def.replica, on.len()) {
        (Some(_), 2) => names.fields.iter().enumerate().filter(|(_, field)| field.role == partial).map(|(i, _)| i).collect(),
        _ => Vec::new(),
    };
    let (key, before, after) = (key?, before?, after?);
    let plain = |rule: &Rule| rule.algebraic && !rule.when_needs_row && rule.each.is_none() && !rule.all;
    let operands = operands(&on);
    Some(AggregatePlan {
        operands,
        is_plain: before.is_empty() && after.is_empty() && old_columns.is_empty() && on.iter().all(plain),
        aggregate: index,
        key_parts: names.key_parts(&key),
        key,
        has_key,
        order_by: optional(order_by)?,
        before,
        on,
        after,
        old_columns: old_columns.into_iter().collect(),
        carries,
    })
}

/// What algebraic rules take of an event's columns.
fn operands(rules: &[Rule]) -> Operands {
    let mut operands = Operands::default();
    for operand in rules.iter().flat_map(|rule| &rule.set).filter_map(|set| set.change.as_ref()?.operand()) {
        let (columns, column) = match operand {
            Operand::Computed(column) => (&mut operands.computed, *column),
            Operand::Slot(slot) => match Var::of(*slot) {
                Var::Data(column) => (&mut operands.data, column),
                Var::Event(EventField::Time) => {
                    operands.event_time = true;
                    continue;
                }
                _ => continue,
            },
            Operand::Constant(_) => continue,
        };
        if !columns.contains(&column) {
            columns.push(column);
        }
    }
    operands
}

/// The types that the aggregate's and its rules' key expressions have for one event type; errors are left for
/// [`compile_aggregate`] to report.
pub(crate) fn key_types(def: &AggregateDef, event_type: &str, names: &mut TypeNames) -> Vec<KeyTypeFound> {
    let on: Vec<&RuleDef> = def.on.iter().filter(|rule| rule.pattern.matches(event_type)).collect();
    if on.is_empty() {
        return Vec::new();
    }
    let mut old_columns = BTreeSet::new();
    let mut unreported = Vec::new();
    let mut typed = Compiler { def, names, old_columns: &mut old_columns, found: &mut unreported };
    let mut out = Vec::new();
    if typed.needs_key(&on) {
        typed.key_types(&def.key, def.stream_keys(), None, &mut out);
    }
    for rule in on {
        let Some(key) = &rule.key else { continue };
        let each = rule.each.as_ref().and_then(|text| typed.each(text)).and_then(|expr| element(&expr.ty));
        typed.key_types(key, 0, each, &mut out);
    }
    out
}

/// The type of `order_by` for one event type, where the aggregate has one and handles the type; errors are left for
/// [`compile_aggregate`] to report.
pub(crate) fn order_by_type(def: &AggregateDef, event_type: &str, names: &mut TypeNames) -> Option<Type> {
    let text = def.order_by.as_ref().filter(|_| def.handles(event_type))?;
    let mut unreported = Vec::new();
    let mut typed = Compiler { def, names, old_columns: &mut BTreeSet::new(), found: &mut unreported };
    typed.order_by(text).map(|expr| expr.ty)
}

struct Compiler<'a> {
    def: &'a AggregateDef,
    names: &'a mut TypeNames,
    old_columns: &'a mut BTreeSet<usize>,
    found: &'a mut Vec<Diagnostic>,
}

impl Compiler<'_> {
    /// True where some rule finds its row by the aggregate's key.
    fn needs_key(&mut self, on: &[&RuleDef]) -> bool {
        on.iter().any(|rule| rule.needs_aggregate_key())
    }

    fn expression(&mut self, text: &Text, sees_row: bool, each: Option<&Type>, wanted: Option<&Type>) -> Option<Expr> {
        let mut scope = HandlerScope {
            names: self.names,
            aggregate: self.def,
            sees_row,
            old_columns: self.old_columns,
            each: each.cloned(),
            wants_list: false,
        };
        compile(text, &mut scope, wanted, self.found)
    }

    fn condition(&mut self, text: &Text, each: Option<&Type>) -> Option<Expr> {
        let mut scope = HandlerScope {
            names: self.names,
            aggregate: self.def,
            sees_row: true,
            old_columns: self.old_columns,
            each: each.cloned(),
            wants_list: false,
        };
        condition("when", text, &mut scope, self.found)
    }

    /// What the aggregate's events are ordered by: of a type whose values have an order as whole numbers.
    fn order_by(&mut self, text: &Text) -> Option<Expr> {
        let expr = self.expression(text, false, None, None)?;
        let small = expr.ty.integer_range().is_some_and(|(_, greatest)| greatest <= i64::MAX as i128);
        if small || matches!(expr.ty, Type::Date | Type::Timestamp | Type::TimestampTz | Type::Null) {
            return Some(expr);
        }
        self.found.push(
            Diagnostic::new(
                format!("`order_by` must be a whole number, a date or a timestamp, but this is {}", expr.ty),
                &text.part(0..text.value.len()),
            )
            .help("cast it: `data.number::BIGINT`, `data.changed_at::TIMESTAMP`"),
        );
        None
    }

    /// The list of `each`.
    fn each(&mut self, text: &Text) -> Option<Expr> {
        let mut scope = HandlerScope {
            names: self.names,
            aggregate: self.def,
            sees_row: true,
            old_columns: self.old_columns,
            each: None,
            wants_list: true,
        };
        let expr = compile(text, &mut scope, None, self.found)?;
        if element(&expr.ty).is_none() {
            self.found.push(
                Diagnostic::new(format!("`each` must be a list, but this is {}", expr.ty), &text.part(0..text.value.len()))
                    .help("declare the field as a list: `lines = \"STRUCT(sku VARCHAR, qty INTEGER)[]\"`"),
            );
            return None;
        }
        Some(expr)
    }

    /// Key expressions; `first` is the index of the key column that the first one gives.
    fn key(&mut self, key: &[KeyDef], first: usize, each: Option<&Type>) -> Option<Vec<Expr>> {
        let exprs: Vec<Option<Expr>> =
            key.iter().enumerate().map(|(i, key)| self.expression(&key.text, false, each, Some(&self.def.key_type(first + i)))).collect();
        exprs.into_iter().collect()
    }

    fn key_types(&mut self, key: &[KeyDef], first: usize, each: Option<Type>, out: &mut Vec<KeyTypeFound>) {
        for (i, key) in key.iter().enumerate() {
            if let Some(expr) = self.expression(&key.text, false, each.as_ref(), None)
                && expr.ty != Type::Null
            {
                out.push(KeyTypeFound { column: first + i, ty: expr.ty, place: key.text.place.clone() });
            }
        }
    }

    /// `finds_rows`: false for `before` and `after`, which run on the rows that the others find.
    fn rules<'r>(&mut self, rules: impl Iterator<Item = &'r RuleDef>, finds_rows: bool) -> Option<Vec<Rule>> {
        // All are compiled, so that the errors of all are seen.
        let rules: Vec<Option<Rule>> = rules.map(|rule| self.rule(rule, finds_rows)).collect();
        rules.into_iter().collect()
    }

    fn rule(&mut self, rule: &RuleDef, finds_rows: bool) -> Option<Rule> {
        if finds_rows && rule.needs_aggregate_key() && !self.def.has_own_key() {
            self.found.push(
                Diagnostic::new(
                    format!("the rule {} finds no row: neither it nor the aggregate `{}` has a key", rule.label, self.def.name),
                    &rule.place,
                )
                .help("give the rule a `key`, or the aggregate"),
            );
            return None;
        }
        let each = match &rule.each {
            Some(text) => Some(self.each(text)?),
            None => None,
        };
        let each_needs_row = each.as_ref().is_some_and(needs_row);
        let element = each.as_ref().and_then(|expr| element(&expr.ty));
        let element = element.as_ref();
        let when = rule.when.as_ref().map(|text| self.condition(text, element));
        let key = rule.key.as_ref().map(|key| self.key(key, 0, element));
        if let (true, Some(Some(exprs)), Some(key)) = (each_needs_row, &key, &rule.key)
            && let Some((_, key)) = exprs.iter().zip(key).find(|(expr, _)| expr.slots().contains(&Var::Each.slot()))
        {
            self.found.push(
                Diagnostic::new("a key cannot read `each` here: the list is the row's, and the key is what finds the row", &key.text.place)
                    .help("give `each` a list of the event: `data.`, `meta.`"),
            );
            return None;
        }
        let fail = rule.fail.as_ref().map(|text| self.expression(text, true, element, Some(&Type::Varchar)));
        let set: Vec<Option<Set>> = rule
            .set
            .iter()
            .map(|(column, text)| {
                let ty = self.def.state[*column].ty.clone();
                let value = self.expression(text, true, element, Some(&ty))?;
                let change = self.names.change(self.def, *column, &value);
                Some(Set { column: *column, value, change })
            })
            .collect();
        let emit: Vec<Option<Emit>> = rule.emit.iter().map(|(rows, values)| self.emit(*rows, values, element, &rule.place)).collect();
        let when = optional(when)?;
        let set: Vec<Set> = set.into_iter().collect::<Option<_>>()?;
        let emit: Vec<Emit> = emit.into_iter().collect::<Option<_>>()?;
        let algebraic = rule.fail.is_none() && !rule.delete && emit.is_empty() && set.iter().all(|set| set.change.is_some());
        Some(Rule {
            label: rule.label.clone(),
            when_needs_row: when.as_ref().is_some_and(|when| each_needs_row || needs_row(when)),
            when: when.map(|when| self.names.compiled(self.def, when)),
            each,
            each_needs_row,
            key: optional(key)?,
            all: rule.all,
            fail: optional(fail)?,
            delete: rule.delete,
            set,
            emit,
            algebraic,
        })
    }

    fn emit(&mut self, rows: usize, values: &[(usize, Text)], each: Option<&Type>, place: &Place) -> Option<Emit> {
        let null = Text::derived("NULL".to_string(), place);
        let def = self.def;
        let values: Vec<Option<Expr>> = def.rows[rows]
            .columns
            .iter()
            .enumerate()
            .map(|(column, (_, ty))| {
                let text = values.iter().find(|(given, _)| *given == column).map_or(&null, |(_, text)| text);
                self.expression(text, true, each, Some(ty))
            })
            .collect();
        Some(Emit { rows, values: values.into_iter().collect::<Option<_>>()? })
    }
}

/// `Some(None)`: not written; `None`: written, but wrong.
fn optional<T>(value: Option<Option<T>>) -> Option<Option<T>> {
    match value {
        None => Some(None),
        Some(value) => value.map(Some),
    }
}

fn element(ty: &Type) -> Option<Type> {
    if let Type::List(element) = ty { Some((**element).clone()) } else { None }
}

/// Whether an expression reads the row, not only the event.
fn needs_row(expr: &Expr) -> bool {
    expr.slots().iter().any(|slot| matches!(Var::of(*slot), Var::State(_) | Var::Old(_) | Var::Key(_)))
}
