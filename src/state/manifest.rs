//! The manifest: the one commit point. Whatever is named by the newest manifest is the truth, whatever
//! is named by no kept manifest is rubbish.
//!
//! Manifests lie in `.foldline/manifests/<generation>.json`, are written once and never changed. They are
//! JSON, so that a person can read what a run consumed and published. Readers refuse a `format` that they
//! do not know; fields are added with a default, never given another meaning.
//!
//! Paths: data files (snapshots, event tables) are relative to `.foldline/`; log files and targets are
//! relative to the project's root where they lie in it, absolute otherwise. Always `/` between parts.

use serde::{Deserialize, Serialize};

/// The format that this version writes.
pub const FORMAT: u32 = 1;

/// One generation: what was consumed, what state came of it, and what was published.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// The version of this format: 1.
    pub format: u32,
    /// Counts up by one or more; the file's name.
    pub generation: u64,
    /// When the run began to commit, RFC 3339, UTC.
    pub created_at: String,
    /// The foldline that wrote it.
    pub foldline: String,
    /// The DuckDB that was linked in.
    pub duckdb: String,
    pub reason: Reason,
    pub sources: Vec<Source>,
    pub aggregates: Vec<Aggregate>,
    pub event_tables: Vec<EventTable>,
    pub read_models: Vec<ReadModel>,
    /// What is published: also targets of earlier generations that this one did not touch.
    pub published: Vec<Published>,
    /// Lookup tables by name: the BLAKE3 (hex) of the file that read models saw.
    #[serde(default)]
    pub lookups: std::collections::BTreeMap<String, String>,
    /// The greatest event time consumed, microseconds since the epoch, UTC: what `as_of()` gives.
    pub max_event_time: Option<i64>,
    /// A rollback that holds: `published` is what an earlier generation published.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pinned: Option<Pin>,
}

/// A rollback, in the generation that it made and in all that follow until it is released.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pin {
    /// When the rollback was made, RFC 3339, UTC.
    pub since: String,
    /// The generation that the rollback made.
    pub generation: u64,
    /// The generation that was live before, published by a run.
    pub from: u64,
    /// The generation whose targets are live.
    pub to: u64,
}

/// Why a generation was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// Caught up from the last snapshot.
    Run,
    /// Replayed from zero.
    Rebuild,
    /// An earlier generation's targets, published again.
    Rollback,
}

/// How much of a source is consumed: the checkpoint.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Source {
    pub name: String,
    /// Of the definition; another one means: replay.
    pub fingerprint: String,
    /// Every file consumed, in the order of first sight; [`Segment::file`] counts them from 0.
    pub files: Vec<LogFile>,
    /// Log order: replays go through these and nothing else.
    pub segments: Vec<Segment>,
    /// Files that the globs match and that hold the same as another one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub copies: Vec<CopiedFile>,
    /// The sequencer's state, the last version of each stream, as older versions have written it: all of it is here.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub streams: Vec<DataFile>,
    /// The same, by the hash of the stream.
    #[serde(default)]
    pub stream_partitions: Vec<Partition>,
    /// The records that wait behind a hole in their stream (`on_gap = "wait"`).
    #[serde(default)]
    pub pending: Vec<DataFile>,
    /// How many events those records became; bad ones are none of them.
    #[serde(default)]
    pub pending_events: u64,
    #[serde(default)]
    pub passed: Passed,
    /// The hashes of the ids that it has had (`dedupe = "id"`): a run adds a file, small ones are joined.
    #[serde(default)]
    pub ids: Vec<DataFile>,
    /// What is set aside (`on_bad_record = "quarantine"`).
    #[serde(default)]
    pub quarantine: Quarantine,
    /// The last position that passed, where duplicates are told by it (`dedupe = "position"`).
    #[serde(default)]
    pub last_position: Option<i64>,
    /// The greatest event time, microseconds since the epoch, UTC.
    pub last_event_time: Option<i64>,
}

/// Records and events that could not be applied, and what follows them in their stream or on their row.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quarantine {
    /// Append-only: a run adds files; a replay of the source writes them anew.
    pub files: Vec<DataFile>,
    /// How many entries the files hold: one per record that is set aside for all, one per event and row where a row stands still.
    pub entries: u64,
    /// Of these, records without a stream or a version: the hole that such a one may leave waits.
    pub unplaced: u64,
}

/// One consumed log file. Offsets and hashes are of the decompressed bytes, so that a file that is
/// compressed later is still the same file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LogFile {
    pub path: String,
    /// `plain`, `gzip`, `zstd`, `parquet`
    pub codec: String,
    /// Which columns of a Parquet file were read, and how: what was consumed is text that was made of them.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub form: String,
    /// Bytes on disk when it was read.
    pub size: u64,
    /// Decompressed bytes consumed; always the end of a record.
    pub consumed: u64,
    pub records: u64,
    /// Lines consumed, empty ones too: the next line is number `lines` + 1.
    pub lines: u64,
    /// BLAKE3 (hex) of the first 64 KiB consumed.
    pub head_hash: String,
    /// BLAKE3 (hex) of the last 64 KiB consumed.
    pub tail_hash: String,
    /// Chained hashes of the whole blocks of 16 MiB consumed, see [`crate::source::chain`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub blocks: Vec<String>,
    /// The chained hash through `consumed`; empty in manifests of older versions.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub rest_hash: String,
    /// BLAKE3 (hex) of the first and last 64 KiB of a compressed file as it lies on disk; empty: not known.
    /// A change anywhere shows there, in the checksum at the end.
    #[serde(default)]
    pub packed_hash: String,
    /// It cannot grow: compressed files, and those that a later file follows.
    pub sealed: bool,
    /// A run found it gone and went on without it (`on_vanished = "keep"`): its name may be taken by another file.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub vanished: bool,
    pub first_position: Option<i64>,
    pub last_position: Option<i64>,
}

/// A file that holds what another one holds, and is therefore not read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CopiedFile {
    pub path: String,
    /// Bytes on disk.
    pub size: u64,
    /// BLAKE3 (hex) of its first and last 64 KiB as they lie on disk.
    pub ends_hash: String,
    /// The file that is read.
    pub of: String,
}

impl LogFile {
    /// A file of which nothing was consumed yet. `codec`: by its name.
    pub fn unread(path: String, codec: &str, size: u64) -> LogFile {
        LogFile {
            path,
            codec: codec.to_string(),
            form: String::new(),
            size,
            consumed: 0,
            records: 0,
            lines: 0,
            head_hash: String::new(),
            tail_hash: String::new(),
            blocks: Vec::new(),
            rest_hash: String::new(),
            packed_hash: String::new(),
            sealed: codec != "plain",
            vanished: false,
            first_position: None,
            last_position: None,
        }
    }
}

/// A piece of a file, as it was consumed by one run, or by several in a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Segment {
    /// Index into [`Source::files`].
    pub file: usize,
    /// Decompressed bytes.
    pub from: u64,
    pub to: u64,
    /// The end of a run at which streams passed their holes (`on_gap = "skip"`): every replay passes them here.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub passed_holes: bool,
}

/// The versions that streams went on without (`on_gap = "skip"`): late when they come after all.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Passed {
    /// A row for each hole: stream, first and last version; none where no stream has passed one.
    pub file: Option<DataFile>,
    /// How many streams that are.
    pub streams: u64,
}

/// A Parquet file under `.foldline/`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DataFile {
    /// Relative to `.foldline/`.
    pub path: String,
    pub rows: u64,
    pub bytes: u64,
    /// BLAKE3, hex.
    pub hash: String,
}

/// The snapshot of one aggregate.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Aggregate {
    pub name: String,
    pub fingerprint: String,
    pub partitions: Vec<Partition>,
    /// Where its events have another order than the log's, by partition of the fold: the greatest key and rank of an
    /// event that left no row behind. Rows that are there have theirs in a column of their own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub absent: Vec<Option<(i64, u16)>>,
    /// The rows that its fold gave out, per rows table.
    #[serde(default)]
    pub rows: Vec<RowsTable>,
}

/// The rows whose key's hash begins with the `prefix_bits` bits of `prefix`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Partition {
    pub prefix_bits: u8,
    pub prefix: u64,
    /// `None`: no rows yet.
    pub base: Option<DataFile>,
    /// Rows that replace those of the base (and of the deltas before) with the same key; tombstones delete. A key is at
    /// most once in a file.
    #[serde(default)]
    pub deltas: Vec<DataFile>,
    /// How many rows base and deltas make together; `None`: those of the base.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub live_rows: Option<u64>,
}

impl Partition {
    /// How many rows there are.
    pub fn rows(&self) -> u64 {
        self.live_rows.unwrap_or(self.base.as_ref().map_or(0, |base| base.rows))
    }

    /// Base and deltas, in order.
    pub fn files(&self) -> impl Iterator<Item = &DataFile> {
        self.base.iter().chain(&self.deltas)
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RowsTable {
    pub name: String,
    /// Append-only: a run adds files.
    pub files: Vec<DataFile>,
}

/// `events."<Type>"`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EventTable {
    #[serde(rename = "type")]
    pub event_type: String,
    pub fingerprint: String,
    /// Append-only: a run adds files.
    pub files: Vec<DataFile>,
}

/// What a read model looked like when it was last published.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ReadModel {
    pub name: String,
    pub fingerprint: String,
    /// The generation that published it; older than the manifest's where others were selected.
    pub generation: u64,
    pub rows: u64,
    /// Its inputs have changed since: it was not selected.
    #[serde(default)]
    pub stale: bool,
}

/// One target as it is published.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Published {
    pub read_model: String,
    pub kind: TargetKind,
    /// What readers open: the file, the dataset's folder (its `current`), the DuckDB file.
    pub path: String,
    /// Where this generation lies: a file, a folder `gen-<n>-<id>`, a DuckDB file.
    pub generation_path: String,
    pub generation: u64,
    pub rows: u64,
    pub bytes: u64,
    /// BLAKE3 (hex) of the file; of a dataset: of its sorted file names and their hashes.
    pub hash: String,
    /// The modification time of `generation_path` in nanoseconds since the epoch: while it and the size
    /// stay, the file is taken as unchanged without being hashed.
    pub modified: i64,
    /// A dataset's files, relative to `generation_path`, sorted. Empty otherwise.
    #[serde(default)]
    pub files: Vec<DataFile>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TargetKind {
    ParquetFile,
    ParquetDataset,
    DuckDb,
}

impl Manifest {
    /// The manifest of a project that never ran: generation 0, nothing consumed, nothing published.
    pub fn empty(generation: u64, created_at: String, reason: Reason) -> Manifest {
        Manifest {
            format: FORMAT,
            generation,
            created_at,
            foldline: env!("CARGO_PKG_VERSION").to_string(),
            duckdb: crate::model::duckdb_version(),
            reason,
            sources: Vec::new(),
            aggregates: Vec::new(),
            event_tables: Vec::new(),
            read_models: Vec::new(),
            published: Vec::new(),
            lookups: Default::default(),
            max_event_time: None,
            pinned: None,
        }
    }

    pub fn source(&self, name: &str) -> Option<&Source> {
        self.sources.iter().find(|s| s.name == name)
    }

    pub fn aggregate(&self, name: &str) -> Option<&Aggregate> {
        self.aggregates.iter().find(|a| a.name == name)
    }

    pub fn event_table(&self, event_type: &str) -> Option<&EventTable> {
        self.event_tables.iter().find(|t| t.event_type == event_type)
    }

    pub fn read_model(&self, name: &str) -> Option<&ReadModel> {
        self.read_models.iter().find(|m| m.name == name)
    }

    /// Every file under `.foldline/` that this generation needs.
    pub fn data_files(&self) -> impl Iterator<Item = &DataFile> {
        let streams = self
            .sources
            .iter()
            .flat_map(|s| s.streams.iter().chain(&s.pending).chain(&s.passed.file).chain(&s.ids).chain(&s.quarantine.files));
        let of_streams = self.sources.iter().flat_map(|s| &s.stream_partitions);
        let partitions = self.aggregates.iter().flat_map(|a| &a.partitions).chain(of_streams).flat_map(Partition::files);
        let rows = self.aggregates.iter().flat_map(|a| &a.rows).flat_map(|r| &r.files);
        let events = self.event_tables.iter().flat_map(|t| &t.files);
        streams.chain(partitions).chain(rows).chain(events)
    }
}
