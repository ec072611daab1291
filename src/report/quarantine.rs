//! What `quarantine list` and `show` print.

use std::fmt::Write;

use super::numbers::counted;
use super::summary::{Paint, Table};
use crate::printable::printable;
use crate::run::quarantined::Quarantined;

/// Entries that a list or a record's followers show; all are counted.
pub const SHOWN_MAX: usize = 20;

/// Characters of a reason that a list shows.
const REASON_CHARS_MAX: usize = 100;

/// The bad ones, a line each, with how many follow. `all`: in log order.
pub fn quarantine_list(all: &[Quarantined]) -> String {
    if all.is_empty() {
        return "nothing is in quarantine\n".to_string();
    }
    let mut table = Table::new(&[">#", "source", "place", "stands still", ">version", "type", "kind", ">follow", "reason"]);
    let numbered: Vec<&Quarantined> = all.iter().filter(|q| q.number.is_some()).collect();
    for q in numbered.iter().take(SHOWN_MAX) {
        let entry = &q.entry;
        table.row([
            q.number.map_or(String::new(), |number| number.to_string()),
            q.source.clone(),
            place(q),
            stands_still(q),
            entry.version.map_or(String::new(), |version| version.to_string()),
            printable(entry.event_type.as_deref().unwrap_or_default()),
            entry.kind.clone(),
            q.followed_by.to_string(),
            shortened(&printable(&entry.reason)),
        ]);
    }
    let mut out = String::new();
    table.write(&mut out, Paint { color: false }, usize::MAX);
    if numbered.len() > SHOWN_MAX {
        let _ = writeln!(out, "… and {} more", numbered.len() - SHOWN_MAX);
    }
    let _ = writeln!(
        out,
        "{} in quarantine; `foldline quarantine show N` shows one, `foldline quarantine retry` folds them once the project file or the log is mended",
        counted(all.len() as u64, "record")
    );
    out
}

/// The records of some entries, each with its reason and what follows it. `texts`: the records of the first
/// [`SHOWN_MAX`], in the same order.
pub fn quarantine_records(found: &[&Quarantined], texts: &[Vec<u8>], all: &[Quarantined]) -> String {
    let mut out = String::new();
    for (q, text) in found.iter().zip(texts).take(SHOWN_MAX) {
        let entry = &q.entry;
        let byte = entry.origin.byte.map_or(String::new(), |byte| format!(" (byte {byte})"));
        let number = q.number.map_or(String::new(), |number| format!("#{number}  "));
        let _ = writeln!(out, "{number}{}{byte}", place(q));
        let mut line = |name: &str, value: &str| {
            let _ = writeln!(out, "  {name:<8}  {value}");
        };
        line("source", &q.source);
        if let Some(stream) = &entry.stream {
            let version = entry.version.map_or(String::new(), |version| format!(", version {version}"));
            let event_type = entry.event_type.as_ref().map_or(String::new(), |name| format!(", type {}", printable(name)));
            line("stream", &format!("{}{version}{event_type}", printable(stream)));
        }
        line("kind", &entry.kind);
        line("reason", &printable(&entry.reason));
        line(
            "for",
            &match &entry.row {
                Some((aggregate, key)) => format!("the row {} of aggregate {aggregate}", printable(key)),
                None => "every aggregate and event table".to_string(),
            },
        );
        if q.followed_by > 0 {
            let places = all.iter().filter(|other| other.is_behind(q)).map(place);
            let mut places: Vec<String> = places.take(SHOWN_MAX + 1).collect();
            if places.len() > SHOWN_MAX {
                places.truncate(SHOWN_MAX);
                places.push("…".to_string());
            }
            line("follow", &format!("{}: {}", counted(q.followed_by, "record"), places.join(", ")));
        }
        line("record", &record(text));
    }
    if found.len() > SHOWN_MAX {
        let _ = writeln!(out, "… and {} more", found.len() - SHOWN_MAX);
    }
    out
}

fn place(q: &Quarantined) -> String {
    format!("{}:{}", printable(&q.entry.origin.file), q.entry.origin.line)
}

fn stands_still(q: &Quarantined) -> String {
    match (&q.entry.row, &q.entry.stream) {
        (Some((aggregate, key)), _) => format!("{aggregate} {}", printable(key)),
        (None, Some(stream)) => printable(stream),
        (None, None) => String::new(),
    }
}

fn shortened(text: &str) -> String {
    match text.char_indices().nth(REASON_CHARS_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_string(),
    }
}

/// A line of a log; bytes that are no text, and control characters, spelled out.
fn record(bytes: &[u8]) -> String {
    let mut out = String::new();
    for chunk in bytes.utf8_chunks() {
        out.push_str(&printable(chunk.valid()));
        chunk.invalid().iter().for_each(|byte| out.push_str(&format!("\\x{byte:02x}")));
    }
    out
}
