//! TOML as written, with the place of everything: entries in the file's order, strings with their
//! variables filled, so that an error inside an expression can point at its characters.

use std::ops::Range;

use toml::de::{DeTable, DeValue};

use super::diagnostics::{Diagnostic, Place};
use super::variables::Variables;

/// A string of the file (or the text of a SQL file).
#[derive(Debug, Clone)]
pub(crate) struct Text {
    pub value: String,
    /// With its quotes.
    pub place: Place,
    /// Where `value` begins in the file, if it stands there byte for byte.
    verbatim: Option<usize>,
    /// In an envelope: how many records around the innermost one its names are looked for (presets that nest).
    pub around: usize,
}

impl Text {
    /// The whole text of a file.
    pub fn of_file(file: usize, value: String) -> Text {
        Text { place: Place::new(file, 0..value.len()), value, verbatim: Some(0), around: 0 }
    }

    /// Text that stands in the file in another form (`take`): errors point at all of it.
    pub fn derived(value: String, place: &Place) -> Text {
        Text { value, place: place.clone(), verbatim: None, around: 0 }
    }

    /// The place of some bytes of `value`.
    pub fn part(&self, span: Range<usize>) -> Place {
        match self.verbatim {
            Some(start) if span.end <= self.value.len() && span.start <= span.end => {
                Place::new(self.place.file, start + span.start..start + span.end)
            }
            _ => self.place.clone(),
        }
    }

    /// The first line that holds something, for messages of others that count lines from there.
    pub fn begin(&self) -> Place {
        let blank = self.value.len() - self.value.trim_start().len();
        self.part(blank..self.value.trim_end().len().max(blank))
    }
}

/// The project file is file 0 of the diagnostics.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    pub place: Place,
    pub kind: NodeKind,
}

#[derive(Debug, Clone)]
pub(crate) enum NodeKind {
    Text(Text),
    /// As written, without underscores; `None` where it does not fit 64 bits.
    Integer(String, Option<i64>),
    Float(String),
    Bool(bool),
    Datetime(String),
    Array(Vec<Node>),
    Table(Table),
}

/// Entries in the file's order.
#[derive(Debug, Clone, Default)]
pub(crate) struct Table {
    pub entries: Vec<Entry>,
}

#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub key: String,
    pub key_place: Place,
    pub node: Node,
}

impl Table {
    pub fn get(&self, key: &str) -> Option<&Node> {
        self.entry(key).map(|entry| &entry.node)
    }

    pub fn entry(&self, key: &str) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.key == key)
    }

    pub fn text(&self, key: &str) -> Option<&Text> {
        self.get(key).and_then(Node::as_text)
    }

    pub fn bool(&self, key: &str) -> bool {
        matches!(self.get(key), Some(Node { kind: NodeKind::Bool(true), .. }))
    }

    pub fn table(&self, key: &str) -> Option<&Table> {
        self.get(key).and_then(Node::as_table)
    }

    /// The entries of a table under `key`; none where there is none.
    pub fn entries_of(&self, key: &str) -> &[Entry] {
        self.table(key).map_or(&[], |table| &table.entries)
    }

    /// The tables under `key`, which is a table or an array of tables, each with its place.
    pub fn tables(&self, key: &str) -> Vec<(&Place, &Table)> {
        self.get(key).map_or(Vec::new(), Node::tables)
    }

    /// The strings under `key`, which is a string or an array of strings.
    pub fn texts(&self, key: &str) -> Vec<&Text> {
        match self.get(key).map(|node| &node.kind) {
            Some(NodeKind::Text(text)) => vec![text],
            Some(NodeKind::Array(items)) => items.iter().filter_map(Node::as_text).collect(),
            _ => Vec::new(),
        }
    }

    pub fn strings(&self, key: &str) -> Vec<String> {
        self.texts(key).into_iter().map(|text| text.value.clone()).collect()
    }
}

impl Node {
    pub fn as_text(&self) -> Option<&Text> {
        if let NodeKind::Text(text) = &self.kind { Some(text) } else { None }
    }

    pub fn as_table(&self) -> Option<&Table> {
        if let NodeKind::Table(table) = &self.kind { Some(table) } else { None }
    }

    pub fn as_integer(&self) -> Option<i64> {
        if let NodeKind::Integer(_, value) = &self.kind { *value } else { None }
    }

    pub fn tables(&self) -> Vec<(&Place, &Table)> {
        match &self.kind {
            NodeKind::Table(table) => vec![(&self.place, table)],
            NodeKind::Array(items) => items.iter().filter_map(|item| item.as_table().map(|table| (&item.place, table))).collect(),
            _ => Vec::new(),
        }
    }

    /// What messages call it.
    pub fn describe(&self) -> &'static str {
        match &self.kind {
            NodeKind::Text(_) => "a string",
            NodeKind::Integer(..) => "an integer",
            NodeKind::Float(_) => "a number",
            NodeKind::Bool(_) => "a boolean",
            NodeKind::Datetime(_) => "a date or time",
            NodeKind::Array(_) => "a list",
            NodeKind::Table(_) => "a table",
        }
    }

    /// As JSON; dates become strings.
    pub fn to_json(&self) -> serde_json::Value {
        use serde_json::Value as Json;
        match &self.kind {
            NodeKind::Text(text) => Json::String(text.value.clone()),
            NodeKind::Integer(text, value) => value.map_or_else(|| Json::String(text.clone()), Json::from),
            NodeKind::Float(text) => {
                text.parse::<f64>().ok().and_then(serde_json::Number::from_f64).map_or_else(|| Json::String(text.clone()), Json::Number)
            }
            NodeKind::Bool(value) => Json::Bool(*value),
            NodeKind::Datetime(text) => Json::String(text.clone()),
            NodeKind::Array(items) => Json::Array(items.iter().map(Node::to_json).collect()),
            NodeKind::Table(table) => Json::Object(table.entries.iter().map(|entry| (entry.key.clone(), entry.node.to_json())).collect()),
        }
    }

    /// Where it first stands in the file; the place of a table that has only sub-tables is theirs.
    fn first(&self) -> usize {
        match &self.kind {
            NodeKind::Table(table) => table.entries.iter().map(|entry| entry.key_place.start).chain([self.place.start]).min().unwrap_or(0),
            _ => self.place.start,
        }
    }
}

/// Parses a TOML document and fills its variables. What cannot be parsed or filled is left out and reported.
/// `file`: the text's index among the files of the diagnostics.
pub(crate) fn read(text: &str, file: usize, variables: &Variables<'_>, found: &mut Vec<Diagnostic>) -> Table {
    let (document, errors) = DeTable::parse_recoverable(text);
    for error in errors.iter().take(5) {
        let place = Place::new(file, error.span().unwrap_or(0..0));
        let said = error.message().trim_end_matches('\n').replace('\n', "; ");
        let header = text[..place.start.min(text.len())].rsplit('\n').next().is_some_and(|line| line.trim_start().starts_with('['));
        let bare = text.get(place.start..place.end).is_some_and(|value| value.starts_with(|c: char| c.is_ascii_alphabetic()));
        let diagnostic = Diagnostic::new(said.as_str(), &place);
        found.push(match said.as_str() {
            "duplicate key" if header => diagnostic.help("a header that stands more than once has double brackets everywhere: `[[…]]`"),
            said if bare && said.starts_with("invalid ") => diagnostic.help("text, types and SQL stand in quotes: `key = \"…\"`"),
            _ => diagnostic,
        });
    }
    if !errors.is_empty() {
        return Table::default();
    }
    Reader { text, file, variables, found }.table(document.get_ref())
}

struct Reader<'a> {
    text: &'a str,
    file: usize,
    variables: &'a Variables<'a>,
    found: &'a mut Vec<Diagnostic>,
}

impl Reader<'_> {
    fn table(&mut self, table: &DeTable<'_>) -> Table {
        let mut entries: Vec<Entry> = table
            .iter()
            .map(|(key, value)| Entry {
                key: key.get_ref().to_string(),
                key_place: Place::new(self.file, key.span()),
                node: self.node(value.get_ref(), value.span()),
            })
            .collect();
        entries.sort_by_key(|entry| entry.key_place.start.min(entry.node.first()));
        Table { entries }
    }

    fn node(&mut self, value: &DeValue<'_>, span: Range<usize>) -> Node {
        let place = Place::new(self.file, span.clone());
        let kind = match value {
            DeValue::String(value) => NodeKind::Text(self.string(value, &place)),
            DeValue::Integer(value) => {
                let number = i64::from_str_radix(value.as_str(), value.radix()).ok();
                NodeKind::Integer(number.map_or_else(|| value.as_str().to_string(), |n| n.to_string()), number)
            }
            DeValue::Float(value) => NodeKind::Float(value.as_str().to_string()),
            DeValue::Boolean(value) => NodeKind::Bool(*value),
            DeValue::Datetime(value) => NodeKind::Datetime(value.to_string()),
            DeValue::Array(items) => NodeKind::Array(items.iter().map(|item| self.node(item.get_ref(), item.span())).collect()),
            DeValue::Table(table) => NodeKind::Table(self.table(table)),
        };
        Node { place, kind }
    }

    fn string(&mut self, value: &str, place: &Place) -> Text {
        let written = self.text.get(place.start..place.end).unwrap_or("");
        let verbatim = content(written, value).map(|i| place.start + i);
        let text = Text { value: value.to_string(), place: place.clone(), verbatim, around: 0 };
        match self.variables.fill(value) {
            Ok(None) => text,
            Ok(Some(value)) => Text { value, place: place.clone(), verbatim: None, around: 0 },
            Err(unfilled) => {
                self.found.push(Diagnostic::new(unfilled.message, &text.part(unfilled.start..unfilled.end)).help(unfilled.help));
                text
            }
        }
    }
}

/// Where the content begins in a string as written (with quotes), if it stands there unchanged.
fn content(written: &str, value: &str) -> Option<usize> {
    let quotes = if written.starts_with("\"\"\"") || written.starts_with("'''") { 3 } else { 1 };
    let mut start = quotes;
    if quotes == 3 {
        let rest = written.get(3..)?;
        start += if rest.starts_with("\r\n") { 2 } else { usize::from(rest.starts_with('\n')) };
    }
    let inner = written.get(start..written.len().checked_sub(quotes)?)?;
    (inner == value).then_some(start)
}
