//! `[aggregate.<name>]`: names, columns and rules as written, names resolved; expressions wait for a concrete type.

use crate::sql::{Type, Value};

use super::contracts::{Contracts, read_columns};
use super::diagnostics::{Diagnostic, Place, nearest};
use super::key_check::toml_key;
use super::keys;
use super::patterns::{TypePattern, is_identifier};
use super::replicas::{self, Replica};
use super::toml_walk::{Entry, Table, Text};
use super::{RowsTable, StateColumn, StreamPattern};

/// Names of the sources in the file's order, also of those that are wrong in themselves.
type SourceNames<'a> = [&'a str];

/// An aggregate before its rules are typed.
#[derive(Debug, Clone)]
pub(crate) struct AggregateDef {
    pub name: String,
    pub place: Place,
    /// Something is wrong with it, so its expressions would only repeat that.
    pub broken: bool,
    pub sources: Vec<usize>,
    pub stream: Option<(StreamPattern, Place)>,
    /// The key columns behind the stream's placeholders.
    pub key: Vec<KeyDef>,
    /// Types of all key columns, the placeholders' first; known when every rule has been seen once.
    pub key_types: Vec<Type>,
    /// Names of all key columns, the placeholders' first.
    pub key_columns: Vec<String>,
    pub state: Vec<StateColumn>,
    pub rows: Vec<RowsTable>,
    pub before: Vec<RuleDef>,
    pub on: Vec<RuleDef>,
    pub after: Vec<RuleDef>,
    pub replica: Option<Replica>,
    /// What the events are ordered by, in place of their sources' order.
    pub order_by: Option<Text>,
}

#[derive(Debug, Clone)]
pub(crate) struct KeyDef {
    pub name: String,
    pub name_place: Place,
    pub text: Text,
}

/// A rule before it is typed.
#[derive(Debug, Clone)]
pub(crate) struct RuleDef {
    /// `[aggregate.order.on.ItemAdded]`
    pub label: String,
    pub place: Place,
    /// The types that it is for; `before` and `after` go with every handled type.
    pub pattern: TypePattern,
    pub when: Option<Text>,
    pub each: Option<Text>,
    pub key: Option<Vec<KeyDef>>,
    pub all: bool,
    pub fail: Option<Text>,
    pub delete: bool,
    /// Index of a state column, and its new value.
    pub set: Vec<(usize, Text)>,
    /// Index of a rows table, and its columns' values.
    pub emit: Vec<(usize, Vec<(usize, Text)>)>,
}

impl RuleDef {
    pub fn needs_aggregate_key(&self) -> bool {
        self.key.is_none() && !self.all
    }
}

impl AggregateDef {
    pub fn state_column(&self, name: &str) -> Option<usize> {
        self.state.iter().position(|column| column.name.eq_ignore_ascii_case(name))
    }

    pub fn key_column(&self, name: &str) -> Option<usize> {
        self.key_columns.iter().position(|column| column.eq_ignore_ascii_case(name))
    }

    pub fn key_names(&self) -> impl Iterator<Item = &str> {
        self.key_columns.iter().map(String::as_str)
    }

    /// VARCHAR while the types are not yet known.
    pub fn key_type(&self, index: usize) -> Type {
        self.key_types.get(index).cloned().unwrap_or(Type::Varchar)
    }

    /// How many key columns the stream's placeholders give.
    pub fn stream_keys(&self) -> usize {
        self.stream.as_ref().map_or(0, |(pattern, _)| pattern.placeholders.len())
    }

    pub fn rules(&self) -> impl Iterator<Item = &RuleDef> {
        self.before.iter().chain(&self.on).chain(&self.after)
    }

    pub fn handles(&self, event_type: &str) -> bool {
        self.on.iter().any(|rule| rule.pattern.matches(event_type))
    }

    pub fn has_own_key(&self) -> bool {
        self.stream.is_some() || !self.key.is_empty()
    }

    pub fn spans_streams(&self) -> bool {
        self.stream.is_none() || self.rules().any(|rule| rule.key.is_some() || rule.all)
    }
}

/// Names of state and key columns that mean something else in expressions, or that every table has.
pub(crate) fn reserved(name: &str) -> bool {
    name.starts_with('_') || ["data", "meta", "event", "each", "old"].iter().any(|word| name.eq_ignore_ascii_case(word))
}

/// Names become folders and SQL tables.
pub(crate) fn check_name(what: &str, name: &str, place: &Place, found: &mut Vec<Diagnostic>) {
    let good = name.starts_with(|c: char| c.is_alphanumeric()) && name.chars().all(|c| c.is_alphanumeric() || c == '_' || c == '-');
    if !good || name.len() > 100 {
        found.push(
            Diagnostic::new(format!("{name:?} cannot be the name of {what}"), place)
                .help("names are letters, digits, `_` and `-`, begin with a letter or digit, and have at most 100 bytes"),
        );
    }
}

pub(crate) fn read_all(root: &Table, sources: &SourceNames<'_>, contracts: &Contracts, found: &mut Vec<Diagnostic>) -> Vec<AggregateDef> {
    root.entries_of("aggregate").iter().filter_map(|entry| Some(read(entry, entry.node.as_table()?, sources, contracts, found))).collect()
}

fn read(entry: &Entry, table: &Table, sources: &SourceNames<'_>, contracts: &Contracts, found: &mut Vec<Diagnostic>) -> AggregateDef {
    let errors = found.len();
    let name = entry.key.clone();
    check_name("an aggregate", &name, &entry.key_place, found);
    let mut def = AggregateDef {
        sources: read_sources(&name, entry, table, sources, found),
        stream: None,
        key: read_key(table, found),
        key_types: Vec::new(),
        key_columns: Vec::new(),
        state: Vec::new(),
        rows: read_rows(&name, table, found),
        before: Vec::new(),
        on: Vec::new(),
        after: Vec::new(),
        replica: None,
        order_by: table.text("order_by").cloned(),
        place: entry.key_place.clone(),
        broken: false,
        name,
    };
    if let Some(text) = table.text("stream") {
        match StreamPattern::parse(text) {
            Ok(pattern) => def.stream = Some((pattern, text.place.clone())),
            Err(diagnostic) => found.push(diagnostic),
        }
    }
    if let Some(text) = table.text("replica_of") {
        let placeholders = def.stream.iter().flat_map(|(pattern, _)| &pattern.placeholders);
        def.key_columns = placeholders.map(|(name, _)| name.clone()).collect();
        replicas::read(&mut def, table, text, contracts, found);
    } else {
        read_key_columns(&mut def, table, found);
        read_state(&mut def, table, found);
        read_rules(&mut def, table, found);
    }
    def.broken = found.len() > errors || has_unknown_key(table);
    def
}

fn read_sources(name: &str, entry: &Entry, table: &Table, sources: &SourceNames<'_>, found: &mut Vec<Diagnostic>) -> Vec<usize> {
    let texts = table.texts("source");
    if texts.is_empty() && table.get("source").is_none() {
        if sources.len() != 1 {
            let mut diagnostic = Diagnostic::new(format!("the aggregate `{name}` has no source"), &entry.key_place);
            diagnostic = if sources.is_empty() {
                diagnostic.help("add one: [source.<name>] with `files`")
            } else {
                diagnostic.help(format!("say which: `source = {:?}`", sources[0]))
            };
            found.push(diagnostic);
            return Vec::new();
        }
        return vec![0];
    }
    let mut out = Vec::new();
    for text in &texts {
        match sources.iter().position(|source| *source == text.value) {
            Some(index) if out.contains(&index) => {
                found.push(Diagnostic::new(format!("the source `{}` stands here twice", text.value), &text.place))
            }
            Some(index) => out.push(index),
            None => {
                let mut diagnostic = Diagnostic::new(format!("no source `{}`", text.value), &text.place);
                if let Some(near) = nearest(&text.value, sources.iter().copied()) {
                    diagnostic = diagnostic.label(format!("did you mean `{near}`?"));
                }
                found.push(diagnostic);
            }
        }
    }
    if let [_, second, ..] = texts.as_slice()
        && table.get("order_by").is_none()
    {
        found.push(
            Diagnostic::new(format!("the aggregate `{name}` has several sources, but no `order_by`"), &second.place)
                .label("how do its events stand to the others'?")
                .help("say what orders the events of all: `order_by = \"event.time\"`"),
        );
    }
    out
}

fn read_key(table: &Table, found: &mut Vec<Diagnostic>) -> Vec<KeyDef> {
    let mut key: Vec<KeyDef> = Vec::new();
    for entry in table.entries_of("key") {
        let Some(text) = entry.node.as_text() else { continue };
        if let Some(other) = key.iter().find(|other| other.name.eq_ignore_ascii_case(&entry.key)) {
            found.push(
                Diagnostic::new(format!("the key column `{}` stands here twice", entry.key), &entry.key_place)
                    .also(&other.name_place, "here first"),
            );
            continue;
        }
        key.push(KeyDef { name: entry.key.clone(), name_place: entry.key_place.clone(), text: text.clone() });
    }
    key
}

fn has_unknown_key(table: &Table) -> bool {
    table.entries.iter().any(|entry| keys::AGGREGATE.get(&entry.key).is_none())
}

/// Key columns: the placeholders, then `key`; without either, those of the first rule that has its own.
fn read_key_columns(def: &mut AggregateDef, table: &Table, found: &mut Vec<Diagnostic>) {
    let mut columns: Vec<(String, Place)> = Vec::new();
    if let Some((pattern, place)) = &def.stream {
        columns.extend(pattern.placeholders.iter().map(|(name, _)| (name.clone(), place.clone())));
    }
    for key in &def.key {
        if let Some((_, place)) = columns.iter().find(|(name, _)| name.eq_ignore_ascii_case(&key.name)) {
            found.push(
                Diagnostic::new(format!("`{}` is already a placeholder of `stream`", key.name), &key.name_place)
                    .also(place, "the placeholder"),
            );
            continue;
        }
        columns.push((key.name.clone(), key.name_place.clone()));
    }
    if table.get("stream").is_none() && table.get("key").is_none() {
        let own = rule_tables(table).into_iter().find_map(|rule| rule.table.get("key").map(|_| read_key(rule.table, &mut Vec::new())));
        match own {
            Some(key) => columns.extend(key.into_iter().map(|key| (key.name, key.name_place))),
            // The unknown key may be the one that is missing.
            None if has_unknown_key(table) => {}
            None => found.push(
                Diagnostic::new(format!("the aggregate `{}` has neither `stream` nor `key`", def.name), &def.place)
                    .help("a fold over one stream per row: `stream = \"order-{order_id}\"`")
                    .help("a fold over many streams: `key = { sku = \"data.sku\" }`"),
            ),
        }
    } else if columns.is_empty()
        && let Some((_, place)) = &def.stream
    {
        found.push(
            Diagnostic::new(format!("the aggregate `{}` has no key column", def.name), place)
                .label("no placeholder")
                .help("name what varies in the stream's name, `order-{order_id}`, or add `key = { … }`"),
        );
    }
    for (name, place) in &columns {
        check_column_name("key", name, place, found);
    }
    def.key_columns = columns.into_iter().map(|(name, _)| name).collect();
}

fn check_column_name(what: &str, name: &str, place: &Place, found: &mut Vec<Diagnostic>) {
    if reserved(name) {
        found.push(
            Diagnostic::new(format!("`{name}` cannot be a {what} column"), place)
                .help("names that begin with `_`, and data, meta, event, each and old are reserved"),
        );
    } else if !is_identifier(name) && name.contains(['"', '\0']) {
        found.push(Diagnostic::new(format!("{name:?} cannot be a {what} column"), place));
    }
}

fn read_state(def: &mut AggregateDef, table: &Table, found: &mut Vec<Diagnostic>) {
    let Some(state) = table.table("state") else { return };
    let errors = found.len();
    for column in read_columns(state, found) {
        check_column_name("state", &column.name, column.key_place, found);
        if def.key_column(&column.name).is_some() {
            found.push(
                Diagnostic::new(format!("`{}` is already a key column", column.name), column.key_place)
                    .help("key columns are readable as they are; take it out of the state"),
            );
            continue;
        }
        if column.def.not_null || column.def.key {
            let word = if column.def.key { "KEY" } else { "NOT NULL" };
            found.push(
                Diagnostic::new(format!("a state column has a type and a DEFAULT, no {word}"), &column.text.place)
                    .help("what must not happen is a rule: `when = \"status IS NULL\"` with `fail = \"'no status'\"`"),
            );
        }
        def.state.push(StateColumn { name: column.name, ty: column.def.ty, default: column.def.default.unwrap_or(Value::Null) });
    }
    def.broken |= found.len() > errors;
}

fn read_rows(aggregate: &str, table: &Table, found: &mut Vec<Diagnostic>) -> Vec<RowsTable> {
    let mut out: Vec<RowsTable> = Vec::new();
    for entry in table.entries_of("rows") {
        let Some(columns) = entry.node.as_table() else { continue };
        check_name("a rows table", &entry.key, &entry.key_place, found);
        if out.iter().any(|other| other.name.eq_ignore_ascii_case(&entry.key)) {
            found.push(Diagnostic::new(format!("`{aggregate}` has the rows table `{}` twice", entry.key), &entry.key_place));
            continue;
        }
        let columns = read_columns(columns, found)
            .into_iter()
            .map(|column| {
                check_column_name("rows", &column.name, column.key_place, found);
                if column.def.not_null || column.def.key || column.def.default.is_some() {
                    found.push(
                        Diagnostic::new("a column of a rows table has a type only", &column.text.place).help("its values come from `emit`"),
                    );
                }
                (column.name, column.def.ty)
            })
            .collect();
        out.push(RowsTable { name: entry.key.clone(), columns });
    }
    out
}

/// A rule as it stands in the file.
struct RuleTable<'a> {
    label: String,
    pattern: &'a str,
    pattern_place: &'a Place,
    kind: RuleKind,
    place: &'a Place,
    table: &'a Table,
}

#[derive(Clone, Copy, PartialEq)]
enum RuleKind {
    Before,
    On,
    After,
}

/// Every rule, those of `on` in the file's order.
fn rule_tables(table: &Table) -> Vec<RuleTable<'_>> {
    let mut out = Vec::new();
    for (kind, key) in [(RuleKind::Before, "before"), (RuleKind::After, "after")] {
        let Some(entry) = table.entry(key) else { continue };
        for (place, rule) in entry.node.tables() {
            out.push(RuleTable { label: key.to_string(), pattern: "*", pattern_place: &entry.key_place, kind, place, table: rule });
        }
    }
    for entry in table.entries_of("on") {
        for (place, rule) in entry.node.tables() {
            out.push(RuleTable {
                label: format!("on.{}", toml_key(&entry.key)),
                pattern: &entry.key,
                pattern_place: &entry.key_place,
                kind: RuleKind::On,
                place,
                table: rule,
            });
        }
    }
    out.sort_by_key(|rule| if rule.place.end > rule.place.start { rule.place.start } else { rule.pattern_place.start });
    out
}

fn read_rules(def: &mut AggregateDef, table: &Table, found: &mut Vec<Diagnostic>) {
    for rule in rule_tables(table) {
        let kind = rule.kind;
        let rule = read_rule(def, &rule, found);
        match kind {
            RuleKind::Before => def.before.push(rule),
            RuleKind::On => def.on.push(rule),
            RuleKind::After => def.after.push(rule),
        }
    }
    if def.on.is_empty() {
        found.push(
            Diagnostic::new(format!("the aggregate `{}` has no rule, so it would stay empty", def.name), &def.place)
                .help(format!("say what an event does: [aggregate.{}.on.<Type>]", toml_key(&def.name))),
        );
    }
}

fn read_rule(def: &AggregateDef, rule: &RuleTable<'_>, found: &mut Vec<Diagnostic>) -> RuleDef {
    let table = rule.table;
    let label = format!("[aggregate.{}.{}]", toml_key(&def.name), rule.label);
    // A header's place is the header; an inline table's is the table.
    let place = if rule.place.end > rule.place.start { rule.place } else { rule.pattern_place };
    let pattern = TypePattern::parse(rule.pattern);
    if pattern.alternatives.iter().any(String::is_empty) {
        found.push(Diagnostic::new(format!("`{}` names an empty event type", rule.pattern), rule.pattern_place));
    }
    let (all, delete) = (table.bool("all"), table.bool("delete"));
    let clash = |one: &str, other: &str, found: &mut Vec<Diagnostic>| {
        if let (Some(a), Some(b)) = (table.entry(one), table.entry(other)) {
            found.push(
                Diagnostic::new(format!("a rule cannot have both `{one}` and `{other}`"), &b.key_place)
                    .also(&a.key_place, "and this")
                    .help("make two rules of it"),
            );
        }
    };
    if all {
        clash("all", "key", found);
        clash("all", "each", found);
    }
    if delete {
        clash("delete", "set", found);
        clash("delete", "take", found);
    }
    if rule.kind != RuleKind::On {
        for key in ["key", "all"] {
            if let Some(entry) = table.entry(key) {
                found.push(
                    Diagnostic::new(format!("a rule of `{}` cannot have `{key}`", rule.label), &entry.key_place)
                        .help("`before` and `after` run on each row that an event's rules concern; a rule that finds rows stands under `on`: [aggregate.<name>.on.\"*\"]"),
                );
            }
        }
    }
    for other in ["set", "take", "emit", "delete"] {
        clash("fail", other, found);
    }
    RuleDef {
        place: place.clone(),
        pattern,
        when: table.text("when").cloned(),
        each: table.text("each").cloned(),
        key: table.entry("key").map(|entry| read_rule_key(def, entry, table, found)),
        all,
        fail: table.text("fail").cloned(),
        delete,
        set: read_set(def, table, &label, found),
        emit: read_emit(def, table, found),
        label,
    }
}

/// A rule's key, in the order of the aggregate's key columns.
fn read_rule_key(def: &AggregateDef, entry: &Entry, table: &Table, found: &mut Vec<Diagnostic>) -> Vec<KeyDef> {
    let mut given = read_key(table, found);
    for key in &given {
        if def.key_column(&key.name).is_none() {
            let names: Vec<String> = def.key_names().map(|name| format!("`{name}`")).collect();
            found.push(
                Diagnostic::new(format!("`{}` is no key column of the aggregate `{}`", key.name, def.name), &key.name_place)
                    .help(format!("its key columns are {}", names.join(", "))),
            );
        }
    }
    let missing: Vec<String> = def
        .key_names()
        .filter(|name| !given.iter().any(|key| key.name.eq_ignore_ascii_case(name)))
        .map(|name| format!("`{name}`"))
        .collect();
    if !missing.is_empty() {
        found.push(
            Diagnostic::new(format!("the rule's key lacks {}", missing.join(", ")), &entry.key_place)
                .help("a rule with a key gives all key columns"),
        );
    }
    given.retain(|key| def.key_column(&key.name).is_some());
    given.sort_by_key(|key| def.key_column(&key.name));
    given
}

fn read_set(def: &AggregateDef, table: &Table, label: &str, found: &mut Vec<Diagnostic>) -> Vec<(usize, Text)> {
    let mut out: Vec<(usize, Text)> = Vec::new();
    let mut add = |name: &str, place: &Place, text: Text, found: &mut Vec<Diagnostic>| match def.state_column(name) {
        Some(column) => match out.iter().find(|(other, _)| *other == column) {
            Some((_, other)) => {
                found.push(Diagnostic::new(format!("the rule sets `{name}` twice"), place).also(&other.place, "here first"));
            }
            None => out.push((column, text)),
        },
        // The column may be there, but wrong.
        None if def.broken && keys::RULE.get(name).is_none() => {}
        None => found.push(no_state_column(def, name, place, label)),
    };
    for text in table.texts("take") {
        let field = format!("data.\"{}\"", text.value.replace('"', "\"\""));
        add(&text.value, &text.place, Text::derived(field, &text.place), found);
    }
    for entry in table.entries_of("set") {
        if let Some(text) = entry.node.as_text() {
            add(&entry.key, &entry.key_place, text.clone(), found);
        }
    }
    out
}

fn no_state_column(def: &AggregateDef, name: &str, place: &Place, label: &str) -> Diagnostic {
    if def.key_column(name).is_some() {
        return Diagnostic::new(format!("`{name}` is a key column: it cannot be set"), place);
    }
    let diagnostic = Diagnostic::new(format!("the aggregate `{}` has no state column `{name}`", def.name), place);
    if let Some(near) = nearest(name, def.state.iter().map(|column| column.name.as_str())) {
        return diagnostic.label(format!("did you mean `{near}`?"));
    }
    if keys::RULE.get(name).is_some() {
        return diagnostic
            .label(format!("`{name}` is a key of the rule"))
            .help(format!("move it right below {label}, above the table `set`"));
    }
    diagnostic.help(format!("add it to [aggregate.{}.state]", toml_key(&def.name)))
}

fn read_emit(def: &AggregateDef, table: &Table, found: &mut Vec<Diagnostic>) -> Vec<(usize, Vec<(usize, Text)>)> {
    let mut out = Vec::new();
    for entry in table.entries_of("emit") {
        let Some(values) = entry.node.as_table() else { continue };
        let Some(rows) = def.rows.iter().position(|rows| rows.name.eq_ignore_ascii_case(&entry.key)) else {
            let mut diagnostic =
                Diagnostic::new(format!("the aggregate `{}` has no rows table `{}`", def.name, entry.key), &entry.key_place);
            diagnostic = match nearest(&entry.key, def.rows.iter().map(|rows| rows.name.as_str())) {
                Some(near) => diagnostic.label(format!("did you mean `{near}`?")),
                None => diagnostic.help(format!("declare it: [aggregate.{}.rows.{}]", toml_key(&def.name), toml_key(&entry.key))),
            };
            found.push(diagnostic);
            continue;
        };
        let columns = &def.rows[rows].columns;
        let mut row: Vec<(usize, Text)> = Vec::new();
        for value in &values.entries {
            let Some(text) = value.node.as_text() else { continue };
            match columns.iter().position(|(name, _)| name.eq_ignore_ascii_case(&value.key)) {
                Some(column) if row.iter().any(|(other, _)| *other == column) => {
                    found.push(Diagnostic::new(format!("the row has `{}` twice", value.key), &value.key_place));
                }
                Some(column) => row.push((column, text.clone())),
                None => {
                    let mut diagnostic =
                        Diagnostic::new(format!("the rows table `{}` has no column `{}`", entry.key, value.key), &value.key_place);
                    if let Some(near) = nearest(&value.key, columns.iter().map(|(name, _)| name.as_str())) {
                        diagnostic = diagnostic.label(format!("did you mean `{near}`?"));
                    }
                    found.push(diagnostic);
                }
            }
        }
        out.push((rows, row));
    }
    out
}
