//! What a run counts while it reads.

use std::time::Duration;

use super::hashing::Hashing;
use super::intake::Part;
use super::passing::Passing;
use super::quarantine::Quarantine;
use crate::report::{BAD_SHOWN_MAX, BadRecord, BadReport};
use crate::source::container;
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
    pub quarantined: u64,
    /// What is set aside; `None` where the source does not.
    pub quarantine: Option<Quarantine>,
    pub passing: Passing,
    /// Those that are shown are the first ones in log order, whenever they were found.
    pub bad: BadReport,
    /// Where those stand that are shown: first what is replayed, then by place.
    pub shown_at: Vec<(bool, u64)>,
    /// Of `bad`, those that `on_bad_record = "skip"` may pass over.
    pub skippable: u64,
    /// Of `bad`, the holes in streams.
    pub gaps: u64,
    /// Each part as it was consumed.
    pub consumed: Vec<Segment>,
    /// (file, line, bytes) of last lines that wait for their end.
    pub unterminated: Vec<(String, u64, u64)>,
    pub max_time: Option<i64>,
    /// The last position that passed, where duplicates are told by it.
    pub last_position: Option<i64>,
    /// Of what was read.
    pub hashing: Hashing,
    pub scan_time: Duration,
    pub fold_time: Duration,
}

impl Tally {
    pub fn records(&mut self, batch: &Batch) {
        self.bytes += batch.bytes;
        if self.counting {
            self.records += batch.records - batch.quiet.len() as u64;
            self.empty += batch.empty;
            self.bad_records += batch.bad.iter().filter(|bad| !batch.is_quiet(bad.line)).count() as u64;
            let counted = |event: usize| batch.events.route[event] != Route::Bad && !batch.is_quiet(batch.events.line[event]);
            let good = |event: &&u32| counted(**event as usize);
            self.further_events += batch.events.followers.iter().filter(good).count() as u64;
        }
    }

    /// Counts a record on a line of a batch that cannot be used. `parts`: what its scan went through.
    pub fn bad(&mut self, parts: &[Part], (batch, line): (&Batch, u32), kind: BadKind, stream: Option<String>, reason: &str) {
        if matches!(kind, BadKind::Record | BadKind::NotJson | BadKind::Envelope | BadKind::Upcast | BadKind::Contract | BadKind::Key) {
            self.skippable += 1;
        }
        self.gaps += (kind == BadKind::Gap) as u64;
        let Origin { file, line: at_line, .. } = place_of_line(parts, batch, line);
        // a hole is one at the end of the log only
        let place = (self.counting, if kind == BadKind::Gap { u64::MAX } else { place_in_scan(batch, line) });
        let at = self.shown_at.partition_point(|shown| *shown <= place);
        self.shown_at.insert(at, place);
        self.shown_at.truncate(BAD_SHOWN_MAX);
        let (file, mut reason) = (file.to_string(), reason.to_string());
        // looked up for those alone that are shown: the file is unpacked once more for it
        if at < BAD_SHOWN_MAX
            && let Some(file) = parts.get(batch.segment).map(|part| &part.segment.file).filter(|of| of.name == file)
            && let Some(place) = container::place_of(file, at_line)
        {
            reason = format!("{place}: {reason}");
        }
        self.bad.insert(at, BadRecord { kind: kind.label().into(), file, line: Some(at_line), stream, reason });
    }

    pub fn bad_event(&mut self, parts: &[Part], batch: &Batch, event: u32, kind: BadKind, reason: &str) {
        let stream = batch.events.stream.get(event as usize).to_string();
        self.bad(parts, (batch, batch.events.line[event as usize]), kind, Some(stream), reason);
    }
}

/// A line's place in its scan leaves so many bits for its number in the file.
const LINE_BITS: u32 = 40;

/// Where a line of a chunk (from 0) stands among all that its scan goes through: part after part, line after line. The
/// same for all lines of a log that is sorted: these come in order.
pub fn place_in_scan(batch: &Batch, line: u32) -> u64 {
    let place = batch.places.get(line as usize).copied();
    place.unwrap_or_else(|| ((batch.segment as u64) << LINE_BITS) + batch.first_line + line as u64)
}

/// Where an event lies in the log. `parts`: what its scan went through.
pub fn place(parts: &[Part], batch: &Batch, event: u32) -> Origin {
    place_of_line(parts, batch, batch.events.line[event as usize])
}

/// Where a line of a chunk (from 0) lies in the log.
pub fn place_of_line(parts: &[Part], batch: &Batch, line: u32) -> Origin {
    if let Some(origin) = batch.origins.get(line as usize) {
        return origin.clone();
    }
    let file = parts.get(batch.segment).map_or("", |part| &part.segment.file.name).into();
    let byte = batch.line_starts.get(line as usize).map(|start| batch.first_byte + *start as u64);
    Origin { file, line: batch.first_line + line as u64, byte }
}
