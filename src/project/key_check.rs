//! Walks the file along [`keys`](super::keys): unknown keys, wrong types, keys that slid into another table.

use super::diagnostics::{Diagnostic, nearest};
use super::keys::{Key, ROOT, Shape, TABLES, TableKeys};
use super::toml_walk::{Entry, Node, NodeKind, Table};

pub(crate) fn check(table: &Table, found: &mut Vec<Diagnostic>) {
    Walk { found, path: Vec::new(), parents: Vec::new() }.table(table, &ROOT);
}

struct Walk<'a> {
    found: &'a mut Vec<Diagnostic>,
    /// The keys on the way here.
    path: Vec<String>,
    /// The tables with fixed keys on the way here, with the length of `path` at each.
    parents: Vec<(&'static TableKeys, usize)>,
}

impl Walk<'_> {
    fn table(&mut self, table: &Table, keys: &'static TableKeys) {
        self.parents.push((keys, self.path.len()));
        for entry in &table.entries {
            match keys.get(&entry.key) {
                Some(key) => self.within(entry, &key.shape),
                None => self.unknown(entry, keys),
            }
        }
        self.parents.pop();
    }

    fn within(&mut self, entry: &Entry, shape: &'static Shape) {
        self.path.push(entry.key.clone());
        self.value(entry, &entry.node, shape);
        self.path.pop();
    }

    fn value(&mut self, entry: &Entry, node: &Node, shape: &'static Shape) {
        match (shape, &node.kind) {
            (Shape::Any, _)
            | (Shape::Text | Shape::Expression | Shape::Column | Shape::TextOrTexts, NodeKind::Text(_))
            | (Shape::Bool, NodeKind::Bool(_))
            | (Shape::Integer, NodeKind::Integer(_, Some(_))) => {}
            (Shape::OneOf(values), NodeKind::Text(text)) => {
                if !values.contains(&text.value.as_str()) {
                    let mut diagnostic = Diagnostic::new(format!("`{}` cannot be {:?}", entry.key, text.value), &text.place);
                    if let Some(value) = nearest(&text.value, values.iter().copied()) {
                        diagnostic = diagnostic.label(format!("did you mean {value:?}?"));
                    }
                    self.found.push(diagnostic.help(format!("it is one of {}", quoted_list(values))));
                }
            }
            (Shape::Texts | Shape::TextOrTexts, NodeKind::Array(items)) => {
                for item in items {
                    if item.as_text().is_none() {
                        self.wrong(entry, item, &Shape::Text);
                    }
                }
            }
            (Shape::Table(keys) | Shape::Tables(keys), NodeKind::Table(table)) => self.table(table, keys),
            (Shape::Tables(keys), NodeKind::Array(items)) => {
                for item in items {
                    match &item.kind {
                        NodeKind::Table(table) => self.table(table, keys),
                        _ => self.wrong(entry, item, shape),
                    }
                }
            }
            (Shape::Map(inner), NodeKind::Table(table)) => {
                for entry in &table.entries {
                    self.named(entry, inner);
                }
            }
            (Shape::List(inner), NodeKind::Array(items)) => {
                for item in items {
                    self.value(entry, item, inner);
                }
            }
            _ => self.wrong(entry, node, shape),
        }
    }

    /// An entry whose key the user chose.
    fn named(&mut self, entry: &Entry, shape: &'static Shape) {
        if entry.key.trim().is_empty() {
            self.found.push(Diagnostic::new("a name is empty", &entry.key_place));
            return;
        }
        // Under [aggregate.x.state], a rule's `set.total = "…"` looks like a column `set` that is a table.
        if matches!(shape, Shape::Column)
            && !matches!(entry.node.kind, NodeKind::Text(_))
            && let Some(home) = self.home_of_rule_key(&entry.key)
        {
            let what = match entry.node.as_table().and_then(|table| table.entries.first()) {
                Some(inner) => format!("{}.{}", entry.key, inner.key),
                None => entry.key.clone(),
            };
            self.found.push(
                Diagnostic::new(format!("`{what}` is no column of {}", self.title()), &entry.key_place)
                    .label("this belongs to a rule")
                    .help(format!("write it under {home}")),
            );
            return;
        }
        self.within(entry, shape);
    }

    fn home_of_rule_key(&self, key: &str) -> Option<String> {
        let aggregate = self.path.first().filter(|first| *first == "aggregate").and(self.path.get(1))?;
        super::keys::RULE.get(key).map(|_| format!("[aggregate.{}.on.<Type>]", toml_key(aggregate)))
    }

    fn unknown(&mut self, entry: &Entry, keys: &'static TableKeys) {
        let diagnostic = Diagnostic::new(format!("unknown key `{}` in {}", entry.key, self.title()), &entry.key_place);
        // A key of a table further up: it slid down, because TOML gives everything below a header to that header.
        let above = self.parents.iter().rev().skip(1).find(|(parent, _)| parent.get(&entry.key).is_some());
        if let Some((parent, depth)) = above.filter(|(parent, _)| parent.id != "root") {
            let home = header(&self.path[..*depth]);
            self.found.push(
                diagnostic
                    .label(format!("`{}` is a key of {}", entry.key, if home.is_empty() { parent.title } else { &home }))
                    .help(format!("move it above {}, right below {home}", self.title())),
            );
            return;
        }
        if let Some(name) = nearest(&entry.key, keys.keys.iter().map(|key| key.name)) {
            self.found.push(diagnostic.label(format!("did you mean `{name}`?")));
            return;
        }
        if let Some(diagnostic) = self.event_type_mistake(entry, keys) {
            self.found.push(diagnostic);
            return;
        }
        if let Some((home, _)) = self.home(&entry.key, keys) {
            self.found.push(diagnostic.label(format!("`{}` is a key of {home}", entry.key)));
            return;
        }
        let names: Vec<&str> = keys.keys.iter().map(|key| key.name).collect();
        self.found.push(diagnostic.help(format!("its keys are {}", list(&names))));
    }

    /// `[aggregate.x.on.order.placed]`, where the dot belongs to the type, and `[aggregate.x.on]` with a rule's keys.
    fn event_type_mistake(&self, entry: &Entry, keys: &TableKeys) -> Option<Diagnostic> {
        let [section, aggregate, on, event_type] = self.path.as_slice() else { return None };
        if section != "aggregate" || on != "on" || keys.id != super::keys::RULE.id {
            return None;
        }
        let unknown = Diagnostic::new(format!("unknown key `{}` in {}", entry.key, self.title()), &entry.key_place);
        let aggregate = toml_key(aggregate);
        if super::keys::RULE.get(event_type).is_some() {
            let help = format!("`{event_type}` is read as an event type here; name the type: [aggregate.{aggregate}.on.<Type>]");
            return Some(unknown.label("the event type is missing").help(help));
        }
        entry.node.as_table()?;
        let whole = format!("{event_type}.{}", entry.key);
        Some(unknown.help(format!("a type's name with a dot needs quotes: [aggregate.{aggregate}.on.{whole:?}]")))
    }

    /// Another table that has this key, with this aggregate's, source's … name filled in.
    fn home(&self, name: &str, not: &'static TableKeys) -> Option<(String, &'static Key)> {
        let table = TABLES.iter().find(|table| table.id != not.id && table.id != "root" && table.get(name).is_some())?;
        let mut title = table.title.to_string();
        if let (Some(first), Some(own)) = (self.path.first(), self.path.get(1)) {
            title = title.replace(&format!("{first}.<name>"), &format!("{first}.{}", toml_key(own)));
        }
        Some((title, table.get(name)?))
    }

    fn wrong(&mut self, entry: &Entry, node: &Node, shape: &Shape) {
        let mut diagnostic =
            Diagnostic::new(format!("`{}` must be {}, but this is {}", entry.key, expected(shape), node.describe()), &node.place);
        let scalar = match &node.kind {
            NodeKind::Integer(text, _) | NodeKind::Float(text) | NodeKind::Datetime(text) => Some(text.clone()),
            NodeKind::Bool(value) => Some(value.to_string()),
            _ => None,
        };
        match (shape, scalar, &node.kind) {
            (Shape::Text | Shape::Expression | Shape::Texts | Shape::TextOrTexts, Some(text), _) => {
                diagnostic = diagnostic.label(format!("write {text:?}"))
            }
            (Shape::Bool, _, NodeKind::Text(text)) if matches!(text.value.as_str(), "true" | "false") => {
                diagnostic = diagnostic.label(format!("write {} without quotes", text.value));
            }
            (Shape::Integer, _, NodeKind::Text(text)) if text.value.parse::<i64>().is_ok() => {
                diagnostic = diagnostic.label(format!("write {} without quotes", text.value));
            }
            (Shape::Column, _, NodeKind::Table(_)) if self.path.first().is_some_and(|first| first == "event") => {
                diagnostic = diagnostic.help(format!("a type's name with a dot needs quotes: [event.{:?}]", self.path[1..].join(".")));
            }
            (Shape::Expression, _, NodeKind::Table(_)) if self.path.first().is_some_and(|first| first == "upcast") => {
                diagnostic = diagnostic.help(format!("a field inside of another one is one key, in quotes: \"{}.…\"", entry.key));
            }
            (Shape::Texts, _, NodeKind::Text(text)) => diagnostic = diagnostic.label(format!("write [{:?}]", text.value)),
            (Shape::Map(_) | Shape::Table(_), _, NodeKind::Array(_)) => {
                diagnostic = diagnostic.help("write the header with single brackets, and once")
            }
            (Shape::Map(_), _, NodeKind::Text(text)) => {
                diagnostic = diagnostic.help(format!("name what it is for: `{} = {{ name = {:?} }}`", entry.key, text.value));
            }
            _ => {}
        }
        self.found.push(diagnostic);
    }

    /// The table that is being read, as its header would be written.
    fn title(&self) -> String {
        if self.path.is_empty() { "the project file".to_string() } else { header(&self.path) }
    }
}

fn header(path: &[String]) -> String {
    if path.is_empty() {
        return String::new();
    }
    let path: Vec<String> = path.iter().map(|key| toml_key(key)).collect();
    format!("[{}]", path.join("."))
}

/// A key as TOML needs it to be written.
pub(crate) fn toml_key(key: &str) -> String {
    let bare = !key.is_empty() && key.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-');
    if bare { key.to_string() } else { format!("{key:?}") }
}

fn expected(shape: &Shape) -> &'static str {
    match shape {
        Shape::Text => "a string",
        Shape::Expression => "a SQL expression in quotes",
        Shape::Column => "a column's type in quotes, such as \"INTEGER NOT NULL\"",
        Shape::Bool => "true or false",
        Shape::Integer => "an integer",
        Shape::OneOf(_) => "a string",
        Shape::Texts => "a list of strings",
        Shape::TextOrTexts => "a string or a list of strings",
        Shape::Any => "a value",
        Shape::Table(_) | Shape::Map(_) => "a table",
        Shape::Tables(_) => "a table or an array of tables",
        Shape::List(_) => "a list",
    }
}

fn quoted_list(values: &[&str]) -> String {
    let quoted: Vec<String> = values.iter().map(|value| format!("{value:?}")).collect();
    quoted.join(", ")
}

fn list(values: &[&str]) -> String {
    let quoted: Vec<String> = values.iter().map(|value| format!("`{value}`")).collect();
    quoted.join(", ")
}
