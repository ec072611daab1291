//! `replica_of`: an up-to-date copy of a table out of its change events, made of ordinary rules.
//!
//! | event | rules |
//! |---|---|
//! | `<table>.insert`, `<table>.read` | write every column under the row's key |
//! | `<table>.update` | where `meta.before` has another key: delete that row; write the columns that the event has |
//! | `<table>.delete` | delete the row |
//! | `<table>.truncate` | delete every row |
//!
//! The rules read the row's image by names that no rule of a user knows: see [`RowName`].

use crate::sql::{Type, Value};

use super::aggregates::{AggregateDef, KeyDef, RuleDef, reserved};
use super::contracts::{ContractField, Contracts};
use super::diagnostics::{Diagnostic, Place};
use super::key_check::toml_key;
use super::patterns::TypePattern;
use super::toml_walk::{Table, Text};
use super::{FieldRole, StateColumn};

/// The table that an aggregate is a copy of.
#[derive(Debug, Clone)]
pub(crate) struct Replica {
    pub table: String,
    /// The columns, as the contract of `<table>.insert` declares them.
    pub fields: Vec<ContractField>,
}

/// How the rules of a replica name the columns of an event's row image.
#[derive(Clone, Copy)]
enum RowName {
    /// The column of a whole row: what is missing takes its DEFAULT.
    Whole,
    /// The column of an update: what is missing has no value.
    Partial,
    /// Whether there is a value, of the one and of the other.
    HasWhole,
    HasPartial,
}

impl RowName {
    const ALL: [(RowName, &str); 4] = [
        (RowName::Whole, "whole row"),
        (RowName::Partial, "partial row"),
        (RowName::HasWhole, "whole row has"),
        (RowName::HasPartial, "partial row has"),
    ];

    fn of(self, field: &str) -> String {
        let (_, word) = Self::ALL[self as usize];
        format!("\"{word}\".{}", quoted(field))
    }

    fn role(self) -> FieldRole {
        match self {
            RowName::Whole => FieldRole::Column { partial: false },
            RowName::Partial => FieldRole::Column { partial: true },
            RowName::HasWhole => FieldRole::Presence { partial: false },
            RowName::HasPartial => FieldRole::Presence { partial: true },
        }
    }
}

impl Replica {
    /// What a name of a replica's rules means: the column's index, and what is asked of it.
    pub fn resolve(&self, path: &[String]) -> Option<(usize, FieldRole)> {
        let [first, field] = path else { return None };
        let (name, _) = RowName::ALL.into_iter().find(|(_, word)| word == first)?;
        Some((self.fields.iter().position(|other| other.name == *field)?, name.role()))
    }
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// Names that a column cannot have as they are get `data_` before them, as in event tables.
fn column_name(field: &str) -> String {
    if reserved(field) { format!("data_{field}") } else { field.to_string() }
}

/// Fills in the definition of an aggregate that has `replica_of`.
pub(crate) fn read(def: &mut AggregateDef, table: &Table, text: &Text, contracts: &Contracts, found: &mut Vec<Diagnostic>) {
    for key in ["key", "state", "rows", "before", "on", "after"] {
        if let Some(entry) = table.entry(key) {
            found.push(
                Diagnostic::new(format!("`{key}` cannot stand beside `replica_of`"), &entry.key_place)
                    .also(&text.place, "the whole definition")
                    .help("a replica is the table as it is; what else its events mean is an aggregate of its own, or a read model"),
            );
        }
    }
    let name = &text.value;
    if name.is_empty() || name.contains(['*', '|']) {
        found.push(
            Diagnostic::new(format!("{name:?} cannot be a table"), &text.place)
                .help("name the part of the event types before `.insert`, `.update`, …: `replica_of = \"customers\"`"),
        );
        return;
    }
    let fields = contracts.fields(&format!("{name}.insert"));
    let contract = format!("[event.{}]", toml_key(&format!("{name}.*")));
    let placeholders = def.stream_keys();
    if fields.is_empty() {
        if !contracts.broken {
            found.push(
                Diagnostic::new(format!("no contract says what the columns of `{name}` are"), &text.place)
                    .help(format!("declare them under {contract}: `id = \"BIGINT KEY\"`, `name = \"VARCHAR\"`")),
            );
        }
        return;
    }
    let keys: Vec<&ContractField> = if placeholders > 0 { Vec::new() } else { fields.iter().filter(|field| field.key).collect() };
    if keys.is_empty() && placeholders == 0 {
        let example = &fields[0];
        found.push(
            Diagnostic::new(format!("no column of `{name}` is marked KEY, so its rows cannot be told apart"), &text.place).help(format!(
                "mark the columns of its primary key under {contract}: `{} = \"{} KEY\"`",
                toml_key(&example.name),
                example.ty
            )),
        );
        return;
    }
    for field in keys.iter().filter(|field| field.ty.is_nested() || field.ty == Type::Interval) {
        let message = format!("the column `{}` of `{name}` is {}: a key cannot be of this type", field.name, field.ty);
        found.push(Diagnostic::new(message, &text.place));
    }
    def.key_columns.extend(keys.iter().map(|field| column_name(&field.name)));
    let rules = Rules { def: &*def, place: &text.place, keys: &keys, fields: &fields, table: name };
    let default = |field: &ContractField| field.default.clone().unwrap_or(Value::Null);
    let state =
        rules.columns().into_iter().map(|(field, name)| StateColumn { name, ty: field.ty.clone(), default: default(field) }).collect();
    def.on = rules.all();
    def.state = state;
    def.replica = Some(Replica { table: name.clone(), fields });
}

struct Rules<'a> {
    def: &'a AggregateDef,
    place: &'a Place,
    /// The columns of the key, where it is not the stream's.
    keys: &'a [&'a ContractField],
    fields: &'a [ContractField],
    table: &'a str,
}

impl<'a> Rules<'a> {
    /// The columns behind the key, and their names in the state.
    fn columns(&self) -> Vec<(&'a ContractField, String)> {
        self.fields
            .iter()
            .map(|field| (field, column_name(&field.name)))
            .filter(|(_, column)| self.def.key_column(column).is_none())
            .collect()
    }

    fn all(&self) -> Vec<RuleDef> {
        let partial = |field: &ContractField| RowName::Partial.of(&field.name);
        let now = |field: &ContractField| format!("coalesce({}, {})", partial(field), before(field));
        let was = |field: &ContractField| format!("coalesce({}, {})", before(field), partial(field));
        let mut rules = vec![RuleDef { all: true, delete: true, ..self.rule("truncate") }];
        rules.push(RuleDef { key: self.key(now), delete: true, ..self.rule("delete") });
        if !self.keys.is_empty() {
            let moved: Vec<String> = self.keys.iter().map(|key| format!("{} <> {}", before(key), now(key))).collect();
            let when = Some(self.text(moved.join(" OR ")));
            rules.push(RuleDef { when, key: self.key(was), delete: true, ..self.rule("update") });
        }
        rules.push(RuleDef { key: self.key(now), set: self.set(RowName::HasPartial, RowName::Partial), ..self.rule("update") });
        for event in ["insert", "read"] {
            let key = self.key(|field| RowName::Whole.of(&field.name));
            rules.push(RuleDef { key, set: self.set(RowName::HasWhole, RowName::Whole), ..self.rule(event) });
        }
        rules
    }

    fn text(&self, sql: String) -> Text {
        Text::derived(sql, self.place)
    }

    /// A rule for one of the table's events that does nothing yet.
    fn rule(&self, event: &str) -> RuleDef {
        RuleDef {
            label: format!("[aggregate.{}] replica_of {} ({event})", toml_key(&self.def.name), self.table),
            place: self.place.clone(),
            pattern: TypePattern::exact(&format!("{}.{event}", self.table)),
            when: None,
            each: None,
            key: None,
            all: false,
            fail: None,
            delete: false,
            set: Vec::new(),
            emit: Vec::new(),
        }
    }

    fn key(&self, sql: impl Fn(&ContractField) -> String) -> Option<Vec<KeyDef>> {
        let key =
            |field: &&ContractField| KeyDef { name: column_name(&field.name), name_place: self.place.clone(), text: self.text(sql(field)) };
        (!self.keys.is_empty()).then(|| self.keys.iter().map(key).collect())
    }

    /// Columns without a value keep the one that they have.
    fn set(&self, has: RowName, value: RowName) -> Vec<(usize, Text)> {
        let set = |(column, (field, name)): (usize, (&ContractField, String))| {
            let sql = format!("CASE WHEN {} THEN {} ELSE {} END", has.of(&field.name), value.of(&field.name), quoted(&name));
            (column, self.text(sql))
        };
        self.columns().into_iter().enumerate().map(set).collect()
    }
}

/// A key column of the row as it was.
fn before(field: &ContractField) -> String {
    format!("meta.before.{}::{}", quoted(&field.name), field.ty)
}
