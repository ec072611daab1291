//! What waits behind holes over the end of a run (`on_gap = "wait"`): kept as the records' own text, and decoded by
//! the next run as if it had just read them. So a definition that changed meanwhile sees them as its replay does.

use std::sync::Arc;

use super::append::data_file;
use super::intake::Part;
use super::lanes::Lane;
use super::tally::place;
use crate::error::{Error, Kind, Result};
use crate::fold::{Routed, route};
use crate::printable::printable;
use crate::project::Project;
use crate::report::counted;
use crate::source::chunks::{CHUNK_BYTES, Chunk};
use crate::source::sequence::gap_reason;
use crate::source::{Decoder, Origin};
use crate::sql::{Type, Value};
use crate::state::manifest::{DataFile, Source};
use crate::state::{Frame, Store, parquet};

/// Streams with a hole that a run's warnings name.
const HOLES_SHOWN_MAX: usize = 10;

/// A record that waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting {
    pub stream: String,
    pub version: i64,
    /// The stream's last version that passed; `None` while only early ones came.
    pub last: Option<i64>,
    /// How many events the record became; 0 for a bad one.
    pub events: u64,
    pub origin: Origin,
    pub record: String,
}

/// A stream that stands still.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hole {
    pub stream: String,
    /// The last version before the hole; `None` where the stream's beginning is missing.
    pub last: Option<i64>,
    /// The first version behind it, and where that lies.
    pub found: i64,
    pub origin: Origin,
    /// How many events wait behind it.
    pub events: u64,
}

impl Hole {
    /// The fact, for a report.
    pub fn reason(&self) -> String {
        gap_reason(&self.stream, self.last, self.found)
    }
}

/// Columns that files of every version have.
const KNOWN_COLUMNS: usize = 7;

fn schema() -> Vec<(String, Type)> {
    let columns = [
        ("stream", Type::Varchar),
        ("version", Type::BigInt),
        ("after", Type::BigInt),
        ("events", Type::BigInt),
        ("file", Type::Varchar),
        ("line", Type::BigInt),
        ("record", Type::Varchar),
        ("byte", Type::BigInt),
    ];
    columns.into_iter().map(|(name, ty)| (name.to_string(), ty)).collect()
}

/// What waits at the end of a source's scan, by stream and version. `parts`: what was scanned.
pub fn collect(lanes: &[Lane], source: usize, parts: &[Part]) -> Result<Vec<Waiting>> {
    let mut waiting = Vec::new();
    for held in lanes.iter().flat_map(|lane| lane.sequencers[source].held()) {
        let batch = &held.batch.batch;
        let record = batch.record(held.event as usize).ok_or_else(|| Error::internal("the text of a record that waits was not kept"))?;
        waiting.push(Waiting {
            stream: held.stream.to_string(),
            version: held.version,
            last: held.last,
            events: held.parts as u64,
            origin: place(parts, batch, held.event),
            record: record.to_string(),
        });
    }
    waiting.sort_by(|a, b| (&a.stream, a.version).cmp(&(&b.stream, b.version)));
    Ok(waiting)
}

/// The hole of each stream of which something waits, by stream. `waiting` is in the order of [`collect`].
pub fn holes(waiting: &[Waiting]) -> Vec<Hole> {
    waiting
        .chunk_by(|a, b| a.stream == b.stream)
        .filter_map(|stream| {
            let first = stream.first()?;
            Some(Hole {
                stream: first.stream.clone(),
                last: first.last,
                found: first.version,
                origin: first.origin.clone(),
                events: stream.iter().map(|w| w.events).sum(),
            })
        })
        .collect()
}

/// Says of a source which streams stand still at a hole, and where.
pub fn warnings(source: &str, waiting: &[Waiting]) -> Vec<String> {
    let holes = holes(waiting);
    let mut warnings: Vec<String> = holes
        .iter()
        .take(HOLES_SHOWN_MAX)
        .map(|hole| {
            let what = format!("{}:{}: {}", hole.origin.file, hole.origin.line, hole.reason());
            format!("{}; {} wait{}", printable(&what), counted(hole.events, "event"), if hole.events == 1 { "s" } else { "" })
        })
        .collect();
    if holes.len() > HOLES_SHOWN_MAX {
        let more = counted((holes.len() - HOLES_SHOWN_MAX) as u64, "more stream");
        warnings.push(format!("source `{source}`: {more} with a hole (`foldline status` names them)"));
    }
    warnings
}

/// Writes what waits; no file where nothing does.
pub fn save(waiting: &[Waiting], source: &str, store: &Store, generation: u64) -> Result<Vec<DataFile>> {
    if waiting.is_empty() {
        return Ok(Vec::new());
    }
    let mut frame = Frame::empty(&schema());
    for w in waiting {
        let row = [
            Value::text(&w.stream),
            Value::Int(w.version as i128),
            w.last.map_or(Value::Null, |last| Value::Int(last as i128)),
            Value::Int(w.events as i128),
            Value::text(&w.origin.file),
            Value::Int(w.origin.line as i128),
            Value::text(&w.record),
            w.origin.byte.map_or(Value::Null, |byte| Value::Int(byte as i128)),
        ];
        for (column, value) in frame.columns.iter_mut().zip(row) {
            column.push(value);
        }
    }
    let dir = store.fresh_data_dir("streams", source)?;
    Ok(vec![data_file(store, &dir.join(format!("gen-{generation}-pending.parquet")), &frame)?])
}

/// Reads what waited at the end of the last run, in the order of [`collect`]. `foldline_dir`: where data files lie.
pub fn read(foldline_dir: &std::path::Path, last: &Source) -> Result<Vec<Waiting>> {
    let mut waiting = Vec::new();
    for file in &last.pending {
        let frame = parquet::read_newer(&foldline_dir.join(&file.path), &schema(), KNOWN_COLUMNS)?;
        for row in 0..frame.rows() {
            let values: Vec<Value> = frame.columns.iter().map(|c| c.get(row)).collect();
            let int = |column: usize| values[column].as_int();
            let text = |column: usize| values[column].as_text().map(str::to_string);
            let (Some(stream), Some(version), Some(events), Some(file), Some(line), Some(record)) =
                (text(0), int(1), int(3), text(4), int(5), text(6))
            else {
                return Err(unusable(&last.name, "a value is NULL"));
            };
            waiting.push(Waiting {
                stream,
                version: version as i64,
                last: int(2).map(|last| last as i64),
                events: events as u64,
                origin: Origin { file: file.into(), line: line as u64, byte: int(7).map(|byte| byte as u64) },
                record,
            });
        }
    }
    Ok(waiting)
}

/// Lets the sequencers hold what waited at the end of the last run, and nothing else: what a replay of the consumed
/// log has left them with is the same, but only the aggregates that were replayed know of it. Gives how many events
/// that are. `active`: the aggregates that take part from now on.
pub fn restore(lanes: &mut [Lane], project: &Project, source: usize, active: &[bool], waiting: &[Waiting]) -> Result<u64> {
    lanes.iter_mut().for_each(|lane| lane.sequencers[source].forget_held());
    let decoder = Decoder::new(project, source);
    let mut count = 0;
    let mut rest = waiting;
    while !rest.is_empty() {
        let mut bytes = Vec::new();
        let mut taken = 0;
        while let Some(w) = rest.get(taken).filter(|_| bytes.len() < CHUNK_BYTES as usize) {
            bytes.extend_from_slice(w.record.as_bytes());
            bytes.push(b'\n');
            taken += 1;
        }
        let (mine, others) = rest.split_at(taken);
        rest = others;
        let routed = Arc::new(routed(&decoder, project, active, mine, bytes)?);
        for (number, lane) in lanes.iter_mut().enumerate() {
            count += lane.sequencers[source].restore_held(&routed, routed.arrivals.of_partition(number));
        }
    }
    Ok(count)
}

fn routed(decoder: &Decoder, project: &Project, active: &[bool], waiting: &[Waiting], bytes: Vec<u8>) -> Result<Routed> {
    let chunk = Chunk { ordinal: 0, segment: 0, starts_file: false, bytes, pending: 0, packed: 0 };
    let mut batch = decoder.decode(&chunk)?;
    let events = &batch.events;
    let known = (0..events.len()).filter(|event| !events.is_follower(*event)).zip(waiting);
    let same = known.filter(|(event, w)| events.stream.get(*event) == w.stream && events.version[*event] == Some(w.version)).count();
    if same != waiting.len() || events.len() - events.followers.len() != waiting.len() {
        let source = waiting.first().map_or("", |w| w.stream.as_str());
        return Err(unusable(source, "a record is not the event that it was"));
    }
    batch.text = chunk.bytes;
    batch.origins = waiting.iter().map(|w| w.origin.clone()).collect();
    let mut routed = route(batch, project, active);
    routed.batch.bad.sort_by_key(|bad| bad.line);
    Ok(routed)
}

pub fn unusable(name: &str, why: &str) -> Error {
    Error::new(Kind::Internal, format!("the pending records of `{name}` cannot be used: {why}"))
        .with_help("`foldline rebuild` makes them anew from the log")
}
