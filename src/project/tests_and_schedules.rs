//! `[[test]]` and `[schedule.<name>]`.

use super::aggregates::check_name;
use super::diagnostics::{Diagnostic, Files, Place, nearest};
use super::toml_walk::{Node, NodeKind, Table, Text};
use super::{Given, Schedule, Test, TestRows};

/// Names of the tables that a test or schedule may name, with their columns where they are known.
pub(crate) struct Known<'a> {
    pub aggregates: Vec<(&'a str, Vec<String>)>,
    pub read_models: Vec<&'a str>,
}

/// The columns that every aggregate's table has.
const OWN_COLUMNS: [&str; 5] = ["_events", "_version", "_position", "_last_event_at", "_first_event_at"];

pub(crate) fn read_tests(root: &Table, sources: &[&str], known: &Known<'_>, files: &Files, found: &mut Vec<Diagnostic>) -> Vec<Test> {
    let mut tests: Vec<Test> = Vec::new();
    for (place, table) in root.tables("test") {
        let name = match table.text("name") {
            Some(text) => text.value.clone(),
            None => format!("test {}", tests.len() + 1),
        };
        let given = table.tables("given").into_iter().filter_map(|(place, event)| read_given(place, event, sources, found)).collect();
        let then = read_then(table, known, found);
        if table.get("then").is_none() {
            found.push(
                Diagnostic::new(format!("the test `{name}` expects nothing"), place)
                    .help("say what holds in the end: `then = { order = [{ order_id = \"1\", status = \"new\" }] }`"),
            );
        }
        tests.push(Test { name, given, then, place: files.line_of(place) });
    }
    tests
}

fn read_given(place: &Place, event: &Table, sources: &[&str], found: &mut Vec<Diagnostic>) -> Option<Given> {
    let mut text = |key: &str| {
        let text = event.text(key);
        if text.is_none() && event.get(key).is_none() {
            found.push(
                Diagnostic::new(format!("the event has no `{key}`"), place)
                    .help("an event is `{ stream = \"order-1\", type = \"OrderPlaced\", data = { … } }`"),
            );
        }
        text.map(|text| text.value.clone())
    };
    let (stream, event_type) = (text("stream"), text("type"));
    let source = event.text("source").and_then(|text| find_source(text, sources, found));
    let json = |key: &str| event.get(key).map_or_else(|| "{}".to_string(), |node| node.to_json().to_string());
    Some(Given {
        source: source.or(if sources.len() == 1 { Some(0) } else { None }),
        stream: stream?,
        event_type: event_type?,
        version: event.get("version").and_then(Node::as_integer),
        position: event.get("position").and_then(Node::as_integer),
        time: event.get("time").and_then(as_text),
        id: event.text("id").map(|text| text.value.clone()),
        data: json("data"),
        metadata: json("metadata"),
    })
}

fn find_source(text: &Text, sources: &[&str], found: &mut Vec<Diagnostic>) -> Option<usize> {
    let index = sources.iter().position(|source| *source == text.value);
    if index.is_none() {
        found.push(Diagnostic::new(format!("no source `{}`", text.value), &text.place));
    }
    index
}

fn read_then(table: &Table, known: &Known<'_>, found: &mut Vec<Diagnostic>) -> Vec<(String, TestRows)> {
    let mut out = Vec::new();
    for entry in table.entries_of("then") {
        let aggregate = known.aggregates.iter().find(|(name, _)| name.eq_ignore_ascii_case(&entry.key));
        let read_model = known.read_models.iter().find(|name| name.eq_ignore_ascii_case(&entry.key));
        let Some(name) = aggregate.map(|(name, _)| *name).or(read_model.copied()) else {
            let mut diagnostic = Diagnostic::new(format!("no aggregate or read model `{}`", entry.key), &entry.key_place);
            let names = known.aggregates.iter().map(|(name, _)| *name).chain(known.read_models.iter().copied());
            if let Some(near) = nearest(&entry.key, names) {
                diagnostic = diagnostic.label(format!("did you mean `{near}`?"));
            }
            found.push(diagnostic);
            continue;
        };
        let mut rows = Vec::new();
        for (_, row) in entry.node.tables() {
            for value in &row.entries {
                let Some((_, columns)) = aggregate else { continue };
                let mut all = columns.iter().map(String::as_str).chain(OWN_COLUMNS);
                if !all.any(|column| column.eq_ignore_ascii_case(&value.key)) {
                    let mut diagnostic = Diagnostic::new(format!("the aggregate `{name}` has no column `{}`", value.key), &value.key_place);
                    if let Some(near) = nearest(&value.key, columns.iter().map(String::as_str)) {
                        diagnostic = diagnostic.label(format!("did you mean `{near}`?"));
                    }
                    found.push(diagnostic);
                }
            }
            rows.push(row.entries.iter().map(|value| (value.key.clone(), as_text(&value.node).filter(|text| text != "NULL"))).collect());
        }
        out.push((name.to_string(), rows));
    }
    out
}

/// A value as text, as SQL would cast it; lists and tables as JSON.
fn as_text(node: &Node) -> Option<String> {
    Some(match &node.kind {
        NodeKind::Text(text) => text.value.clone(),
        NodeKind::Integer(text, _) | NodeKind::Float(text) | NodeKind::Datetime(text) => text.clone(),
        NodeKind::Bool(value) => value.to_string(),
        NodeKind::Array(_) | NodeKind::Table(_) => node.to_json().to_string(),
    })
}

pub(crate) fn read_schedules(root: &Table, known: &Known<'_>, found: &mut Vec<Diagnostic>) -> Vec<Schedule> {
    let mut out = Vec::new();
    for entry in root.entries_of("schedule") {
        let Some(table) = entry.node.as_table() else { continue };
        check_name("a schedule", &entry.key, &entry.key_place, found);
        match (table.entry("cron"), table.entry("every")) {
            (Some(cron), Some(every)) => {
                found.push(Diagnostic::new("a schedule has either `cron` or `every`", &every.key_place).also(&cron.key_place, "and this"));
            }
            (None, None) => {
                found.push(
                    Diagnostic::new(format!("the schedule `{}` does not say when", entry.key), &entry.key_place)
                        .help("write `cron = \"0 * * * *\"` or `every = \"15m\"`"),
                );
            }
            _ => {}
        }
        for text in table.texts("select") {
            if !known.read_models.iter().any(|name| *name == text.value) {
                let mut diagnostic = Diagnostic::new(format!("no read model `{}`", text.value), &text.place);
                if let Some(near) = nearest(&text.value, known.read_models.iter().copied()) {
                    diagnostic = diagnostic.label(format!("did you mean `{near}`?"));
                }
                found.push(diagnostic);
            }
        }
        let text = |key: &str| table.text(key).map(|text| text.value.clone());
        out.push(Schedule {
            name: entry.key.clone(),
            cron: text("cron"),
            every: text("every"),
            timezone: text("timezone").unwrap_or_else(|| "UTC".to_string()),
            select: table.strings("select"),
        });
    }
    out
}
