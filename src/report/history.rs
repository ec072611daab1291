//! What `history` tells of one row: event by event, then the row as it is. Data, and its text for a person.

use std::fmt::Write;

use serde::Serialize;
use serde_json::value::RawValue;

use super::numbers::counted;
use super::printable;
use super::summary::Paint;
use crate::sql::{self, Type, Value};

/// Characters of a value that a person is shown.
const VALUE_CHARS_MAX: usize = 80;

/// One event that concerns the row.
#[derive(Debug, Clone, Serialize)]
pub struct HistoryEvent {
    pub file: String,
    /// Counted from 1.
    pub line: u64,
    pub stream: String,
    pub version: Option<i64>,
    #[serde(rename = "type")]
    pub event_type: String,
    /// UTC, as DuckDB writes a TIMESTAMP.
    pub time: Option<String>,
    pub position: Option<i64>,
    pub id: Option<String>,
    pub outcome: EventOutcome,
    /// It came early, and waited behind a hole in its stream.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waited: Option<Waited>,
    pub row: RowChange,
    /// In the order in which they ran; those that did not apply among them.
    pub rules: Vec<RuleRun>,
    /// Of a row that was created all state columns.
    pub changes: Vec<ColumnChange>,
    pub emitted: Vec<EmittedRow>,
    /// Why it could not be applied, or was set aside.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum EventOutcome {
    Applied,
    /// No rule of it applied to the row.
    NotApplied,
    /// Delivered once more: dropped.
    Duplicate,
    /// It came after the place of its version had been passed: not folded.
    Late,
    /// Set aside: it follows an event of its stream, or on this row, that is in quarantine.
    Quarantined,
    /// It waits behind a hole in its stream.
    Pending,
    Failed,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RowChange {
    Created,
    Changed,
    Unchanged,
    Deleted,
    /// There was no row, and is none.
    Absent,
}

#[derive(Debug, Clone, Serialize)]
pub struct Waited {
    /// The event that filled the hole; none: the stream passed it.
    pub released_by: Option<ReleasedBy>,
}

#[derive(Debug, Clone, Serialize)]
pub struct ReleasedBy {
    pub version: Option<i64>,
    pub file: String,
    pub line: u64,
}

#[derive(Debug, Clone, Serialize)]
pub struct RuleRun {
    pub rule: String,
    pub outcome: RuleOutcome,
    /// How often in a row: once for each element of an `each`.
    pub times: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RuleOutcome {
    Applied,
    WhenFalse,
    WhenNull,
    Failed,
}

/// A column, or one entry of a map or list, that has another value than before.
#[derive(Debug, Clone, Serialize)]
pub struct ColumnChange {
    pub column: String,
    /// The entry's key, or the number of the list's element, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub entry: Option<Shown>,
    /// None: there was no row, or no such entry.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<Shown>,
    /// None: the entry is gone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<Shown>,
}

impl ColumnChange {
    fn name(&self) -> String {
        match &self.entry {
            Some(entry) => format!("{}[{}]", self.column, entry.for_person()),
            None => self.column.clone(),
        }
    }
}

/// A row that the event gave out to a rows table.
#[derive(Debug, Clone, Serialize)]
pub struct EmittedRow {
    pub rows: String,
    pub values: Columns,
}

/// Columns and their values, in order; in JSON an object.
#[derive(Debug, Clone)]
pub struct Columns(pub Vec<(String, Shown)>);

impl Serialize for Columns {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, value)| (name, value)))
    }
}

/// A value, for a person and for a machine.
#[derive(Debug, Clone, Serialize)]
#[serde(transparent)]
pub struct Shown {
    json: Box<RawValue>,
    #[serde(skip)]
    text: Option<String>,
}

impl Shown {
    pub fn new(value: &Value, ty: &Type) -> Shown {
        let text = sql::to_text(value, ty);
        let json = RawValue::from_string(sql::to_json(value, ty)).unwrap_or_else(|_| text_json(text.as_deref()));
        Shown { json, text }
    }

    fn for_person(&self) -> String {
        let Some(text) = &self.text else { return "NULL".into() };
        let mut short: String = text.chars().take(VALUE_CHARS_MAX).collect();
        if text.chars().nth(VALUE_CHARS_MAX).is_some() {
            short.push('…');
        }
        // a text that is empty, or ends in spaces, would not be seen
        if short.trim() != short || short.is_empty() { format!("'{}'", printable(&short)) } else { printable(&short) }
    }
}

fn text_json(text: Option<&str>) -> Box<RawValue> {
    let json = text.map_or(serde_json::Value::Null, serde_json::Value::from).to_string();
    RawValue::from_string(json).unwrap_or_else(|_| RawValue::NULL.to_owned())
}

/// The row at the end, and what there is to say about all of it.
#[derive(Debug, Clone, Serialize)]
pub struct HistoryEnd {
    pub aggregate: String,
    pub key: Columns,
    /// How many events were told of.
    pub events: u64,
    /// Key columns, state, `_events` and the like; none: there is no row (any more).
    pub row: Option<Columns>,
    /// The generation up to whose checkpoint the log was replayed.
    pub generation: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub as_of: Option<String>,
    /// What there is to know beside it, a sentence each.
    pub notes: Vec<String>,
}

/// A block of lines for one event.
pub fn history_event(event: &HistoryEvent, color: bool) -> String {
    let paint = Paint { color };
    let mut out = String::new();
    let mut parts = vec![printable(&event.stream)];
    parts.extend(event.version.map(|version| format!("version {version}")));
    parts.extend(event.time.clone());
    parts.extend(event.position.map(|position| format!("position {position}")));
    parts.extend(event.id.as_deref().map(|id| format!("id {}", printable(id))));
    let place = paint.cyan(&format!("{}:{}", printable(&event.file), event.line));
    let _ = writeln!(out, "{place}  {}  {}", paint.bold(&printable(&event.event_type)), parts.join("  "));
    match event.waited.as_ref().map(|waited| &waited.released_by) {
        None => {}
        Some(None) => out.push_str("  waited, until its stream passed the hole\n"),
        Some(Some(by)) => {
            let what = by.version.map_or("an event".into(), |version| format!("version {version}"));
            let _ = writeln!(out, "  waited, released by {what} ({}:{})", printable(&by.file), by.line);
        }
    }
    match event.outcome {
        EventOutcome::Duplicate => out.push_str("  a duplicate: dropped\n"),
        EventOutcome::Late => out.push_str("  late: its stream had passed it; not folded\n"),
        EventOutcome::Quarantined => out.push_str("  set aside\n"),
        EventOutcome::Pending => out.push_str("  waits behind a hole in its stream\n"),
        EventOutcome::Applied | EventOutcome::NotApplied | EventOutcome::Failed => {}
    }
    for rule in &event.rules {
        let times = if rule.times > 1 { format!(" ({} times)", rule.times) } else { String::new() };
        let what = match rule.outcome {
            RuleOutcome::Applied => format!("{}{times}", rule.rule),
            RuleOutcome::WhenFalse => format!("{} did not apply: its `when` is false{times}", rule.rule),
            RuleOutcome::WhenNull => format!("{} did not apply: its `when` is {}{times}", rule.rule, paint.yellow("NULL")),
            RuleOutcome::Failed => format!("{} {}", rule.rule, paint.red("failed")),
        };
        let _ = writeln!(out, "  {what}");
    }
    if let Some(reason) = &event.reason {
        let _ = writeln!(out, "  {}", printable(reason));
    }
    match event.row {
        RowChange::Created => out.push_str(&format!("  {}\n", paint.green("created"))),
        RowChange::Deleted => out.push_str(&format!("  {}\n", paint.red("deleted"))),
        RowChange::Unchanged if event.outcome == EventOutcome::Applied => out.push_str("  no column changed\n"),
        RowChange::Absent if event.outcome == EventOutcome::NotApplied => out.push_str("  there is no row\n"),
        RowChange::Changed | RowChange::Unchanged | RowChange::Absent => {}
    }
    // what a new row does not have yet goes without saying
    let is_new = event.row == RowChange::Created;
    let told = event.changes.iter().filter(|change| !is_new || change.to.as_ref().is_some_and(|to| to.text.is_some()));
    let told: Vec<(String, &ColumnChange)> = told.map(|change| (printable(&change.name()), change)).collect();
    let width = told.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
    for (name, change) in told {
        let value = |value: &Option<Shown>| value.as_ref().map_or("(none)".into(), Shown::for_person);
        let from = if is_new { String::new() } else { format!("{} -> ", value(&change.from)) };
        let _ = writeln!(out, "    {name}{}  {from}{}", " ".repeat(width - name.chars().count()), value(&change.to));
    }
    for row in &event.emitted {
        let values: Vec<String> = row.values.0.iter().map(|(name, value)| format!("{name} = {}", value.for_person())).collect();
        let _ = writeln!(out, "  gave out {}: {}", row.rows, values.join(", "));
    }
    out
}

/// The row as it is, a column a line.
pub fn history_end(end: &HistoryEnd, color: bool) -> String {
    let paint = Paint { color };
    let key: Vec<String> = end.key.0.iter().map(|(_, value)| value.for_person()).collect();
    let when = end.as_of.as_ref().map_or(format!("in generation {}", end.generation), |as_of| format!("as of {as_of}"));
    let name = paint.bold(&format!("{} {}", end.aggregate, key.join(" ")));
    let events = counted(end.events, "event");
    let Some(row) = &end.row else { return format!("{name}: no row {when}, after {events}\n") };
    let mut out = format!("{name} {when}, after {events}\n");
    let width = row.0.iter().map(|(column, _)| column.chars().count()).max().unwrap_or(0);
    for (column, value) in &row.0 {
        let _ = writeln!(out, "    {column}{}  {}", " ".repeat(width - column.chars().count()), value.for_person());
    }
    out
}
