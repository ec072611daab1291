//! What a person and a machine see of a run: progress while it goes, a summary at its end, JSON.
//!
//! The report is data. The pipeline fills it and knows nothing of how it is shown; [`summary`] turns it into
//! the table on stderr, [`Report::to_json`] into the object on stdout and in `.foldline/runs/<n>.json`.

mod audit;
mod changes;
mod color;
mod differences;
pub mod history;
mod numbers;
mod progress;
mod quarantine;
mod rows;
mod summary;
mod verification;

use std::collections::BTreeMap;

use serde::Serialize;

use crate::state::manifest::Pin;

pub use audit::{Audit, Course, Largest, TypeAudit, audit};
pub use changes::{Changes, ModelChange, ModelStatus, changes};
pub use color::{ColorChoice, stderr_color, stderr_width, stdout_color, stdout_is_terminal, use_color};
pub use differences::differences;
pub use numbers::{counted, human_bytes, human_count, human_seconds};
pub use progress::Progress;
pub use quarantine::{SHOWN_MAX, quarantine_list, quarantine_records};
pub use rows::{row_json, rows_table};
pub use summary::{bad_records, pinned, summary};

pub use crate::printable::printable;
pub use verification::{PassedOver, TableKind, Verification, VerifiedTable, verification};

/// The version of the report's JSON. Fields are added without raising it; one that is renamed or removed raises it.
pub const FORMAT: u32 = 1;

/// How many bad records a report shows; all are counted.
pub const BAD_SHOWN_MAX: usize = 10;

/// Everything that one run has to say.
///
/// The field names are a promise: scripts read them. Counts are exact, times are seconds, sizes are bytes.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// [`FORMAT`].
    pub format: u32,
    /// The verb that was typed: `run`, `rebuild`.
    pub command: String,
    /// `[project] name`.
    pub project: String,
    pub outcome: Outcome,
    /// The process exit code that goes with the outcome.
    pub exit_code: u8,
    /// What `--as-of` asked for: a time in UTC, or a position.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub as_of: Option<String>,
    /// Where `--target-dir` had the read models published to; then the generation stays as it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target_dir: Option<String>,
    /// The generation that is current after the run; none before the first one.
    pub generation: Option<u64>,
    /// When the run began, RFC 3339 in UTC.
    pub started_at: Option<String>,
    /// In the project file's order.
    pub sources: Vec<SourceReport>,
    pub events: EventCounts,
    /// In the project file's order.
    pub aggregates: Vec<AggregateReport>,
    /// In the order in which they depend on each other, else in the project file's.
    pub read_models: Vec<ReadModelReport>,
    /// The rollback that holds the targets after the run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pinned: Option<Pin>,
    pub stages: StageSeconds,
    /// Events decoded in this run, by the second of its whole time.
    pub events_per_second: f64,
    /// Bytes read from the files as they lie on disk, by the second of its whole time.
    pub bytes_per_second: f64,
    /// The most memory the process ever held; none where the system does not tell.
    pub peak_memory_bytes: Option<u64>,
    pub warnings: Vec<String>,
    pub bad: BadReport,
    /// What stopped the run, one line; none if nothing did.
    pub error: Option<String>,
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// A new generation is live.
    Published,
    /// A new generation is live, and some events were set aside or skipped (exit 3).
    PublishedWithQuarantine,
    /// What was new is folded and committed, but not published: a rollback holds the targets.
    Pinned,
    /// Nothing new was found and nothing was written.
    NothingNew,
    /// Nothing was published; the last generation stays live.
    #[default]
    Failed,
}

/// What was read of one source in this run.
///
/// `records = decoded + empty + bad`, see [`SourceReport::adds_up`].
#[derive(Debug, Clone, Default, Serialize)]
pub struct SourceReport {
    pub name: String,
    /// Files that this run read something of.
    pub files: u64,
    /// Bytes of those files as they lie on disk (compressed where they are).
    pub bytes_read: u64,
    pub records: u64,
    /// Records that became an event, or several by an upcaster.
    pub decoded: u64,
    /// The events that they became.
    pub events: u64,
    /// Records that hold no event: an empty line, a tombstone.
    pub empty: u64,
    /// Records that could not become an event.
    pub bad: u64,
    /// Events that earlier runs left pending: this run counts them once more, as folded or as pending still.
    pub pending_before: u64,
    /// Records in quarantine after the run, of this one and of earlier ones; a record once more for each row that stands
    /// still at it.
    pub in_quarantine: u64,
    /// The same before the run.
    pub in_quarantine_before: u64,
    /// Holes in streams' versions that this run passed (`on_gap = "skip"`).
    pub holes_passed: u64,
}

/// What became of the events of this run and of those that were pending before it, each counted once: the sum is that
/// of the sources' `events` and `pending_before`.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub struct EventCounts {
    /// Applied by at least one aggregate.
    pub folded: u64,
    /// No aggregate has a rule for them, or `where` is not true.
    pub filtered: u64,
    pub duplicates: u64,
    /// They came after the place of their version had been passed.
    pub late: u64,
    /// They wait behind a hole in their stream at the end of this run.
    pub pending: u64,
    /// This run set them aside: they stand behind a bad record in their stream, or an aggregate could not apply them or
    /// has its row stand still.
    pub quarantined: u64,
}

/// What one aggregate's fold did.
#[derive(Debug, Clone, Serialize)]
pub struct AggregateReport {
    pub name: String,
    /// Rows after the run.
    pub rows: u64,
    /// Events that this aggregate applied in this run.
    pub events_folded: u64,
    pub mode: FoldMode,
    /// How often an event was for a row into which a later one of its order had been folded by an earlier run.
    #[serde(skip_serializing_if = "is_zero")]
    pub late_arrivals: u64,
    /// The partitions (of 64) that were folded again from the log because of that.
    #[serde(skip_serializing_if = "is_zero")]
    pub partitions_replayed: u64,
}

fn is_zero(count: &u64) -> bool {
    *count == 0
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FoldMode {
    /// From the last snapshot on.
    Incremental,
    /// From zero: a rebuild, the first run, or a changed definition.
    Replayed,
    /// No event of this run concerns it.
    Unchanged,
}

/// What became of one read model.
#[derive(Debug, Clone, Serialize)]
pub struct ReadModelReport {
    pub name: String,
    pub status: ReadModelStatus,
    pub rows: u64,
    pub targets: Vec<TargetReport>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ReadModelStatus {
    Published,
    /// Its inputs are the ones it was last published from.
    Unchanged,
    /// Its inputs or its definition changed, but it was not selected: it keeps an older generation.
    Stale,
    /// A check failed; its last generation stays live.
    CheckFailed,
}

/// One place that a read model was written to.
#[derive(Debug, Clone, Serialize)]
pub struct TargetReport {
    pub kind: TargetKind,
    /// As the project file names it, with variables filled in.
    pub path: String,
    pub bytes: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum TargetKind {
    Parquet,
    Duckdb,
}

/// Wall-clock seconds from the first work of a stage to its last. Scanning and folding go on side by side, so
/// the stages may add up to more than `total`.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub struct StageSeconds {
    pub scan: f64,
    pub fold: f64,
    pub snapshot: f64,
    pub read_models: f64,
    pub publish: f64,
    pub total: f64,
}

/// The records and events that could not be applied.
#[derive(Debug, Clone, Default, Serialize)]
pub struct BadReport {
    pub total: u64,
    /// How many of each kind, by name.
    pub by_kind: BTreeMap<String, u64>,
    /// The first [`BAD_SHOWN_MAX`] in log order.
    pub first: Vec<BadRecord>,
}

/// One record or event that could not be applied, and why.
#[derive(Debug, Clone, Serialize)]
pub struct BadRecord {
    /// What is wrong with it, as a short name to count by: `not JSON`, `envelope`, `contract`, `overflow`.
    pub kind: String,
    pub file: String,
    /// Counted from 1; none where the file has no lines.
    pub line: Option<u64>,
    /// The stream, where the record came far enough to have one.
    pub stream: Option<String>,
    pub reason: String,
}

impl Report {
    /// An empty report of a run that has only begun.
    pub fn new(command: impl Into<String>, project: impl Into<String>) -> Self {
        Report {
            format: FORMAT,
            command: command.into(),
            project: project.into(),
            outcome: Outcome::default(),
            exit_code: 0,
            as_of: None,
            target_dir: None,
            generation: None,
            started_at: None,
            sources: Vec::new(),
            events: EventCounts::default(),
            aggregates: Vec::new(),
            read_models: Vec::new(),
            pinned: None,
            stages: StageSeconds::default(),
            events_per_second: 0.0,
            bytes_per_second: 0.0,
            peak_memory_bytes: None,
            warnings: Vec::new(),
            bad: BadReport::default(),
            error: None,
        }
    }

    /// Events decoded from all sources.
    pub fn events_total(&self) -> u64 {
        self.sources.iter().map(|s| s.events).sum()
    }

    /// Bytes read from all sources.
    pub fn bytes_total(&self) -> u64 {
        self.sources.iter().map(|s| s.bytes_read).sum()
    }

    /// Whether something of what was read is not in the read models, and may be missed: exit code 3.
    pub fn sets_aside(&self) -> bool {
        self.events.pending > 0 || self.events.late > 0 || self.sources.iter().any(|s| s.holes_passed > 0 || s.in_quarantine > 0)
    }

    /// Sets the rates and the peak memory from what the run has counted until now and took in `stages.total`.
    pub fn measure(&mut self) {
        let seconds = self.stages.total;
        let rate = |n: u64| if seconds > 0.0 { n as f64 / seconds } else { 0.0 };
        self.events_per_second = rate(self.events_total());
        self.bytes_per_second = rate(self.bytes_total());
        self.peak_memory_bytes = peak_memory_bytes();
    }

    /// The report as one JSON object on one line, without a line break.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("a report has string keys and finite numbers only")
    }
}

impl SourceReport {
    /// No record was lost: each was decoded, empty or bad.
    pub fn adds_up(&self) -> bool {
        self.records == self.decoded + self.empty + self.bad
    }
}

impl EventCounts {
    /// All events that are accounted for.
    pub fn total(&self) -> u64 {
        self.folded + self.filtered + self.duplicates + self.late + self.pending + self.quarantined
    }
}

impl BadReport {
    /// Counts a bad record, and keeps it if it is among the first. To be called in log order.
    pub fn push(&mut self, record: BadRecord) {
        self.total += 1;
        *self.by_kind.entry(record.kind.clone()).or_default() += 1;
        if self.first.len() < BAD_SHOWN_MAX {
            self.first.push(record);
        }
    }
}

/// The high-water mark of the process's resident memory; none where the system does not tell (not Linux).
pub fn peak_memory_bytes() -> Option<u64> {
    let status = crate::files::read_to_string(std::path::Path::new("/proc/self/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bad_records_beyond_the_first_ten_are_counted_only() {
        let mut bad = BadReport::default();
        for line in 1..=25 {
            bad.push(BadRecord {
                kind: if line % 2 == 0 { "envelope" } else { "not JSON" }.into(),
                file: "events.ndjson".into(),
                line: Some(line),
                stream: None,
                reason: "expected a value".into(),
            });
        }
        assert_eq!(bad.total, 25);
        assert_eq!(bad.first.len(), BAD_SHOWN_MAX);
        assert_eq!(bad.by_kind["envelope"], 12);
        assert_eq!(bad.by_kind["not JSON"], 13);
    }

    #[test]
    fn json_is_one_object_on_one_line() {
        let json = Report::new("run", "shop").to_json();
        assert!(!json.contains('\n'));
        let value: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(value["outcome"], "failed");
        assert_eq!(value["events"]["folded"], 0);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn the_process_knows_its_peak_memory() {
        assert!(peak_memory_bytes().unwrap() > 100_000);
    }
}
