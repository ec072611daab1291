//! What a run counts while it reads.

use std::time::Duration;

use super::intake::Part;
use super::passing::Passing;
use crate::report::{BadRecord, BadReport};
use crate::source::{BadKind, Batch, Origin, Route};
use crate::state::manifest::Segment;

/// Counts of one source's scans.
#[derive(Default)]
pub struct Tally {
    /// False while what was consumed before is replayed: its records were counted by the run that consumed them.
    pub counting: bool,
    pub records: u64,
    pub empty: u64,
    /// Records, and events of records, that could not be used.
    pub bad_records: u64,
    pub bytes: u64,
    /// Events beyond one per decoded record: what upcasters made of one record.
    pub further_events: u64,
    pub folded: u64,
    pub filtered: u64,
    pub duplicates: u64,
    pub passing: Passing,
    pub bad: BadReport,
    /// Of `bad`, those that `on_bad_record = "skip"` may pass over.
    pub skippable: u64,
    /// Each part as it was consumed.
    pub consumed: Vec<Segment>,
    /// (file, line, bytes) of last lines that wait for their end.
    pub unterminated: Vec<(String, u64, u64)>,
    pub max_time: Option<i64>,
    /// The last position that passed, where duplicates are told by it.
    pub last_position: Option<i64>,
    pub scan_time: Duration,
    pub fold_time: Duration,
}

impl Tally {
    pub fn records(&mut self, batch: &Batch) {
        self.bytes += batch.bytes;
        if self.counting {
            self.records += batch.records;
            self.empty += batch.empty;
            self.bad_records += batch.bad.len() as u64;
            let good = |event: &&u32| batch.events.route[**event as usize] != Route::Bad;
            self.further_events += batch.events.followers.iter().filter(good).count() as u64;
        }
    }

    pub fn bad(&mut self, kind: BadKind, file: &str, line: Option<u64>, stream: Option<String>, reason: &str) {
        if matches!(kind, BadKind::NotJson | BadKind::Envelope | BadKind::Upcast | BadKind::Contract | BadKind::Key) {
            self.skippable += 1;
        }
        self.bad.push(BadRecord { kind: kind.label().into(), file: file.into(), line, stream, reason: reason.into() });
    }

    pub fn bad_event(&mut self, parts: &[Part], batch: &Batch, event: u32, kind: BadKind, reason: &str) {
        let Origin { file, line } = place(parts, batch, event);
        self.bad(kind, &file, Some(line), Some(batch.events.stream.get(event as usize).to_string()), reason);
    }
}

/// Where an event lies in the log. `parts`: what its scan went through.
pub fn place(parts: &[Part], batch: &Batch, event: u32) -> Origin {
    let line = batch.events.line[event as usize];
    if let Some(origin) = batch.origins.get(line as usize) {
        return origin.clone();
    }
    let file = parts.get(batch.segment).map(|part| part.segment.file.name.clone()).unwrap_or_default();
    Origin { file, line: batch.first_line + line as u64 }
}
