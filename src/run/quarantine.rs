//! Quarantine: the records and events that could not be applied, with place and reason, and what follows them.
//!
//! They lie in Parquet files of the generation, append-only. What a run needs of them is small: the names of streams
//! and rows that stand still. The records are there for people, and for `retry`, which replays the log.

use std::collections::HashSet;
use std::sync::Arc;

use xxhash_rust::xxh3::xxh3_64;

use super::append::data_file;
use super::aside::{Aside, Why};
use super::intake::Part;
use super::lanes::Lane;
use super::round::conflict_reason;
use super::tally::place_of_line;
use crate::error::Result;
use crate::fold::{self, FoldFailure, Stop, partition_of};
use crate::project::{Aggregate, Project};
use crate::report::counted;
use crate::source::{BadKind, Batch, Origin};
use crate::sql::{self, Type, Value};
use crate::state::manifest;
use crate::state::{Frame, Store, parquet};

/// The kind of what is sound itself and follows something that is not.
pub const FOLLOWS: &str = "follows";

/// Bytes of records that are held in memory before they are written.
const HELD_BYTES_MAX: usize = 16 << 20;

/// So many small files are made one.
const SMALL_FILES_MAX: usize = 16;

/// A file above this size is not small.
const MERGED_BYTES_MAX: u64 = 1 << 20;

/// One record that is set aside: for all, or where a row stands still for that row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    pub origin: Origin,
    pub stream: Option<String>,
    pub version: Option<i64>,
    pub event_type: Option<String>,
    /// As reports count by, or [`FOLLOWS`].
    pub kind: String,
    pub reason: String,
    /// The aggregate whose row stands still, and the row's key as text; `None`: the stream stands still for all.
    pub row: Option<(String, String)>,
    /// The record is sound, but comes behind another one.
    pub follows: bool,
}

/// Names and types of the files' columns.
pub fn schema() -> Vec<(String, Type)> {
    let columns = [
        ("source", Type::Varchar),
        ("file", Type::Varchar),
        ("line", Type::BigInt),
        ("byte", Type::BigInt),
        ("stream", Type::Varchar),
        ("version", Type::BigInt),
        ("type", Type::Varchar),
        ("kind", Type::Varchar),
        ("reason", Type::Varchar),
        ("aggregate", Type::Varchar),
        ("key", Type::Varchar),
        ("follows", Type::Boolean),
        // what the row is found by, encoded
        ("row_key", Type::Blob),
        // not every line of a log is text
        ("record", Type::Blob),
    ];
    columns.into_iter().map(|(name, ty)| (name.to_string(), ty)).collect()
}

/// Some of them, in the order of [`schema`].
pub fn columns(names: &[&str]) -> Vec<(String, Type)> {
    schema().into_iter().filter(|(name, _)| names.contains(&name.as_str())).collect()
}

/// What one source's runs have set aside, and what the run at hand adds.
pub struct Quarantine {
    source: String,
    generation: u64,
    kept: manifest::Quarantine,
    pending: Frame,
    pending_bytes: usize,
    files_written: usize,
}

impl Quarantine {
    /// `kept`: of earlier runs, unless the source is replayed.
    pub fn new(source: &str, generation: u64, kept: Option<&manifest::Quarantine>) -> Quarantine {
        let kept = kept.cloned().unwrap_or_default();
        Quarantine { source: source.to_string(), generation, kept, pending: Frame::empty(&schema()), pending_bytes: 0, files_written: 0 }
    }

    pub fn entries(&self) -> u64 {
        self.kept.entries
    }

    /// Whether a hole in a stream may be what a record in quarantine has left.
    pub fn may_leave_holes(&self) -> bool {
        self.kept.unplaced > 0
    }

    fn push(&mut self, entry: Entry, row_key: Option<&[u8]>, record: &[u8]) {
        self.kept.entries += 1;
        self.kept.unplaced += entry.version.is_none() as u64;
        self.pending_bytes += record.len() + entry.reason.len();
        let text = |text: Option<String>| text.map_or(Value::Null, Value::text);
        let int = |int: Option<i128>| int.map_or(Value::Null, Value::Int);
        let blob = |bytes: &[u8]| Value::Blob(Arc::new(bytes.to_vec()));
        let (aggregate, key) = entry.row.unzip();
        let row = [
            Value::text(&self.source),
            Value::text(&entry.origin.file),
            Value::Int(entry.origin.line as i128),
            int(entry.origin.byte.map(i128::from)),
            text(entry.stream),
            int(entry.version.map(i128::from)),
            text(entry.event_type),
            Value::text(&entry.kind),
            Value::text(&entry.reason),
            text(aggregate),
            text(key),
            Value::Bool(entry.follows),
            row_key.map_or(Value::Null, blob),
            blob(record),
        ];
        for (column, value) in self.pending.columns.iter_mut().zip(row) {
            column.push(value);
        }
    }

    /// A record that became no event, since it names no stream.
    pub fn without_stream(&mut self, parts: &[Part], batch: &Batch, line: u32, kind: BadKind, reason: &str) {
        let entry = Entry {
            origin: place_of_line(parts, batch, line),
            stream: None,
            version: None,
            event_type: None,
            kind: kind.label().to_string(),
            reason: reason.to_string(),
            row: None,
            follows: false,
        };
        self.push(entry, None, batch.raw(line).unwrap_or_default());
    }

    /// Records that their streams stand still at, or behind.
    pub fn streams(&mut self, parts: &[Part], records: Vec<Aside>) {
        for Aside { batch, event, why } in records {
            let batch = &batch.batch;
            let line = batch.events.line[event as usize];
            let (kind, reason, follows) = match why {
                Why::Follows(stop) => (FOLLOWS, stop.to_string(), true),
                Why::Conflict => (BadKind::Conflict.label(), conflict_reason(batch, event), false),
                Why::Bad => match batch.bad_at(line) {
                    Some(bad) => (bad.kind.label(), bad.reason.clone(), false),
                    None => (BadKind::Envelope.label(), "the record is bad".to_string(), false),
                },
            };
            let entry = entry(parts, batch, event, kind, reason, follows);
            self.push(entry, None, batch.raw(line).unwrap_or_default());
        }
    }

    /// Events that rows stand still at, or behind: each once for a row, whatever parts its record had. Gives how
    /// many events that are, each counted once.
    pub fn rows(&mut self, project: &Project, parts: &[Part], failures: &[FoldFailure]) -> u64 {
        let (mut events, mut rows) = (HashSet::new(), HashSet::new());
        for failure in failures {
            let batch = &failure.batch.batch;
            let line = batch.events.line[failure.event as usize];
            events.insert((Arc::as_ptr(&failure.batch), failure.event));
            if !rows.insert((Arc::as_ptr(&failure.batch), line, failure.aggregate, failure.key.as_slice())) {
                continue;
            }
            let kind = if failure.follows { FOLLOWS } else { BadKind::Fold.label() };
            let mut entry = entry(parts, batch, failure.event, kind, failure.reason.clone(), failure.follows);
            let aggregate = &project.aggregates[failure.aggregate];
            entry.row = Some((aggregate.name.clone(), key_text(aggregate, &failure.key)));
            // it is no record that a stream lacks
            let version = entry.version;
            self.push(entry, Some(&failure.key), batch.raw(line).unwrap_or_default());
            self.kept.unplaced -= version.is_none() as u64;
        }
        events.len() as u64
    }

    /// Writes what waits once it is much.
    pub fn flush_full(&mut self, store: &Store) -> Result<()> {
        if self.pending_bytes >= HELD_BYTES_MAX { self.flush(store) } else { Ok(()) }
    }

    fn flush(&mut self, store: &Store) -> Result<()> {
        if self.pending.rows() == 0 {
            return Ok(());
        }
        let frame = std::mem::replace(&mut self.pending, Frame::empty(&schema()));
        self.pending_bytes = 0;
        let dir = store.fresh_data_dir("quarantine", &self.source)?;
        let path = dir.join(format!("gen-{}-{}.parquet", self.generation, self.files_written));
        self.files_written += 1;
        self.kept.files.push(data_file(store, &path, &frame)?);
        Ok(())
    }

    /// Writes what waits; the whole as the manifest names it.
    pub fn save(&mut self, store: &Store) -> Result<manifest::Quarantine> {
        self.flush(store)?;
        self.merge(store)?;
        Ok(self.kept.clone())
    }

    /// Makes one of the last files where many runs have added a little.
    fn merge(&mut self, store: &Store) -> Result<()> {
        let files = &self.kept.files;
        let large = files.iter().rposition(|file| file.bytes > MERGED_BYTES_MAX).map_or(0, |last| last + 1);
        if files.len() - large < SMALL_FILES_MAX {
            return Ok(());
        }
        for file in self.kept.files.split_off(large) {
            let frame = parquet::read(&store.data_path(&file.path), &schema())?;
            self.pending.columns.iter_mut().zip(frame.columns).for_each(|(all, more)| all.append(more));
        }
        self.flush(store)
    }
}

fn entry(parts: &[Part], batch: &Batch, event: u32, kind: &str, reason: String, follows: bool) -> Entry {
    let (events, at) = (&batch.events, event as usize);
    Entry {
        origin: place_of_line(parts, batch, events.line[at]),
        stream: Some(events.stream.get(at).to_string()),
        version: events.version[at],
        event_type: Some(events.event_type.get(at).to_string()).filter(|name| !name.is_empty()),
        kind: kind.to_string(),
        reason,
        row: None,
        follows,
    }
}

/// What a run says while something of a source is in quarantine.
pub fn warning(source: &str, entries: u64) -> String {
    let count = counted(entries, "record");
    format!("source `{source}`: {count} in quarantine (`foldline quarantine list` shows them)")
}

/// A row's key as people read it.
fn key_text(aggregate: &Aggregate, key: &[u8]) -> String {
    let types: Vec<Type> = aggregate.keys.iter().map(|column| column.ty.clone()).collect();
    let text = |(index, ty)| sql::to_text(&fold::key::decode(key, &types, index), ty).unwrap_or_default();
    types.iter().enumerate().map(text).collect::<Vec<_>>().join(", ")
}

/// Lets the streams and rows stand still that do so since earlier runs.
pub fn load(lanes: &mut [Lane], project: &Project, source: usize, store: &Store, last: &manifest::Source) -> Result<()> {
    let columns = columns(&["stream", "version", "aggregate", "follows", "row_key"]);
    for file in &last.quarantine.files {
        let frame = parquet::read(&store.data_path(&file.path), &columns)?;
        for row in 0..frame.rows() {
            let values: Vec<Value> = frame.columns.iter().map(|c| c.get(row)).collect();
            let [stream, version, aggregate, follows, row_key] = values.as_slice() else { continue };
            let (Some(stream), Some(false)) = (stream.as_text(), follows.as_bool()) else { continue };
            let version = version.as_int().map(|version| version as i64);
            let by_stream = partition_of(xxh3_64(stream.as_bytes()));
            match (aggregate.as_text(), row_key) {
                // the first one is what the stream stands still at
                (None, _) => drop(lanes[by_stream].stopped[source].entry(stream.into()).or_insert(version)),
                (Some(name), Value::Blob(key)) => {
                    let Some(index) = project.aggregates.iter().position(|a| a.name == name) else { continue };
                    let lane = if project.aggregates[index].spans_streams { partition_of(xxh3_64(key)) } else { by_stream };
                    lanes[lane].folds[index].restore_stop(key.to_vec(), Stop { stream: stream.into(), version });
                }
                _ => {}
            }
        }
    }
    Ok(())
}
