//! What `verify` found: data, and its text for a person.

use serde::Serialize;

use super::{counted, differences, human_bytes};
use crate::model::compare::Difference;
use crate::printable::printable;

/// What `verify` found.
#[derive(Debug, Clone, Serialize)]
pub struct Verification {
    pub project: String,
    /// The generation that was verified.
    pub generation: u64,
    /// N and M: rows whose key's hash modulo M is below N were compared.
    pub sample: Option<(u64, u64)>,
    /// Records and bytes (on disk) that the replay read.
    pub records: u64,
    pub bytes_read: u64,
    pub tables: Vec<VerifiedTable>,
    pub passed_over: Vec<PassedOver>,
}

/// One table of the generation.
#[derive(Debug, Clone, Serialize)]
pub struct VerifiedTable {
    pub kind: TableKind,
    /// As SQL names it.
    pub name: String,
    /// Of a target: where it lies.
    pub target: Option<String>,
    /// What is wrong with its files.
    pub trouble: Vec<String>,
    pub difference: Difference,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum TableKind {
    Aggregate,
    Rows,
    Events,
    ReadModel,
}

/// What could not be compared, and why.
#[derive(Debug, Clone, Serialize)]
pub struct PassedOver {
    pub kind: TableKind,
    pub name: String,
    pub reason: String,
}

impl VerifiedTable {
    pub fn agrees(&self) -> bool {
        self.trouble.is_empty() && self.difference.is_none()
    }
}

impl Verification {
    pub fn agrees(&self) -> bool {
        self.tables.iter().all(VerifiedTable::agrees)
    }

    /// Rows of what is kept and published that were compared.
    pub fn rows(&self) -> u64 {
        self.tables.iter().map(|table| table.difference.published_rows).sum()
    }
}

/// What `verify` found, table by table.
pub fn verification(found: &Verification) -> String {
    let read = format!("{}, {}", counted(found.records, "record"), human_bytes(found.bytes_read));
    let mut out = format!("{}: generation {} against a replay of its log ({read})\n", printable(&found.project), found.generation);
    if let Some((below, of)) = found.sample {
        out.push_str(&format!("  compared: {below} of {of} rows, by their keys' hashes; the whole log was read\n"));
    }
    for table in &found.tables {
        let target = table.target.as_ref().map_or(String::new(), |target| format!(" in {}", printable(target)));
        let verdict = if table.agrees() { "agree" } else { "DIFFER" };
        let rows = counted(table.difference.published_rows, "row");
        out.push_str(&format!("  {} {}{target}: {rows} {verdict}\n", label(table.kind), printable(&table.name)));
        for trouble in &table.trouble {
            out.push_str(&format!("    {}\n", printable(trouble)));
        }
        out.push_str(&differences(&table.difference));
    }
    for passed in &found.passed_over {
        out.push_str(&format!("  {} {}: not compared, {}\n", label(passed.kind), printable(&passed.name), printable(&passed.reason)));
    }
    if found.agrees() {
        out.push_str(&format!("{} in {} agree\n", counted(found.rows(), "row"), counted(found.tables.len() as u64, "table")));
    }
    out
}

fn label(kind: TableKind) -> &'static str {
    match kind {
        TableKind::Aggregate => "aggregate",
        TableKind::Rows => "rows",
        TableKind::Events => "events",
        TableKind::ReadModel => "read model",
    }
}
