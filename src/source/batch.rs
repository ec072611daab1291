//! The events of one chunk, by column, in the order of the log.

use std::ops::Range;
use std::sync::{Arc, OnceLock};

use crate::project::{EventField, Order, TypePlan};
use crate::sql::{Column, Value};

/// Many short texts in one allocation.
#[derive(Debug, Default)]
pub struct Strings {
    bytes: String,
    ends: Vec<u32>,
}

impl Strings {
    pub fn push(&mut self, text: &str) {
        self.bytes.push_str(text);
        self.ends.push(self.bytes.len() as u32);
    }

    /// Puts another text in the place of the last one.
    pub fn replace_last(&mut self, text: &str) {
        self.ends.pop();
        self.bytes.truncate(self.ends.last().map_or(0, |end| *end as usize));
        self.push(text);
    }

    /// How long all of them are.
    pub fn bytes(&self) -> usize {
        self.bytes.len()
    }

    pub fn get(&self, index: usize) -> &str {
        let start = if index == 0 { 0 } else { self.ends[index - 1] as usize };
        &self.bytes[start..self.ends[index] as usize]
    }
}

/// What becomes of an event whatever its stream's order says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Route {
    /// `blocks[block]` holds its payload at `row`.
    Block { block: u32, row: u32 },
    /// Nobody takes its type, or `where` is not true for it; its version still counts.
    Filtered,
    /// Its payload cannot be used; its version still counts.
    Bad,
}

/// The envelopes of a chunk's events, one entry of each vector per event.
#[derive(Debug, Default)]
pub struct Events {
    /// Line within the chunk, from 0.
    pub line: Vec<u32>,
    pub route: Vec<Route>,
    pub stream: Strings,
    pub stream_hash: Vec<u64>,
    pub event_type: Strings,
    pub version: Vec<Option<i64>>,
    pub position: Vec<Option<i64>>,
    /// Microseconds since the epoch, UTC.
    pub time: Vec<Option<i64>>,
    /// Empty: none.
    pub id: Strings,
    /// Tells a redelivered event from another one of the same version: the hash of its id, or without
    /// one that of the whole record.
    pub mark: Vec<u64>,
    /// Events that are further parts of the one before them: what an upcaster made of one record. Ascending,
    /// mostly empty. They share the first part's envelope, and the sequencer's verdict.
    pub followers: Vec<u32>,
}

impl Events {
    pub fn len(&self) -> usize {
        self.line.len()
    }

    /// Makes room for so many events.
    pub fn reserve(&mut self, events: usize) {
        self.line.reserve(events);
        self.route.reserve(events);
        self.stream_hash.reserve(events);
        self.version.reserve(events);
        self.position.reserve(events);
        self.time.reserve(events);
        self.mark.reserve(events);
        for (texts, bytes) in [(&mut self.stream, 16), (&mut self.event_type, 16), (&mut self.id, 36)] {
            texts.bytes.reserve(events * bytes);
            texts.ends.reserve(events);
        }
    }

    pub fn is_empty(&self) -> bool {
        self.line.is_empty()
    }

    /// Adds another part of the last event.
    pub fn push_follower(&mut self, event_type: &str, route: Route) {
        let Some(last) = self.len().checked_sub(1) else { return };
        self.followers.push(self.len() as u32);
        self.line.push(self.line[last]);
        self.route.push(route);
        for texts in [&mut self.stream, &mut self.id] {
            let text = texts.get(last).to_string();
            texts.push(&text);
        }
        self.stream_hash.push(self.stream_hash[last]);
        self.event_type.push(event_type);
        self.version.push(self.version[last]);
        self.position.push(self.position[last]);
        self.time.push(self.time[last]);
        self.mark.push(self.mark[last]);
    }

    pub fn is_follower(&self, event: usize) -> bool {
        !self.followers.is_empty() && self.followers.binary_search(&(event as u32)).is_ok()
    }

    /// How many events the record of `event`, a first part, became.
    pub fn parts(&self, event: usize) -> usize {
        if self.followers.is_empty() {
            return 1;
        }
        1 + (event + 1..self.len()).take_while(|next| self.is_follower(*next)).count()
    }

    /// What an order other than the log's sorts an event by; `None`: nothing, or the order is the log's.
    pub fn sort_key(&self, order: Order, event: usize) -> Option<i64> {
        match order {
            Order::Log => None,
            Order::Position => self.position[event],
            Order::Time => self.time[event],
            Order::Version => self.version[event],
        }
    }

    /// A part of the envelope as expressions see it.
    pub fn value(&self, field: EventField, event: usize) -> Value {
        let int = |v: Option<i64>| v.map_or(Value::Null, |v| Value::Int(v as i128));
        match field {
            EventField::Stream => Value::text(self.stream.get(event)),
            EventField::Type => Value::text(self.event_type.get(event)),
            EventField::Version => int(self.version[event]),
            EventField::Position => int(self.position[event]),
            EventField::Time => self.time[event].map_or(Value::Null, Value::Timestamp),
            EventField::Id => match self.id.get(event) {
                "" => Value::Null,
                id => Value::text(id),
            },
        }
    }
}

/// The payloads of one event type in a chunk.
pub struct Block {
    pub plan: Arc<TypePlan>,
    /// One per `plan.fields`.
    pub data: Vec<Column>,
    /// One per `plan.meta`.
    pub meta: Vec<Column>,
}

impl Block {
    /// How many payloads it holds; 0 where nobody reads any field of them.
    pub fn rows(&self) -> usize {
        self.data.first().or(self.meta.first()).map_or(0, Column::len)
    }
}

/// What a record or event is bad of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum BadKind {
    /// Its container could not read it.
    Record,
    NotJson,
    Envelope,
    Upcast,
    Contract,
    Key,
    Conflict,
    Gap,
    Fold,
}

impl BadKind {
    pub fn label(self) -> &'static str {
        match self {
            BadKind::Record => "record",
            BadKind::NotJson => "not JSON",
            BadKind::Envelope => "envelope",
            BadKind::Upcast => "upcast",
            BadKind::Contract => "contract",
            BadKind::Key => "key",
            BadKind::Conflict => "conflict",
            BadKind::Gap => "gap",
            BadKind::Fold => "fold",
        }
    }
}

#[derive(Debug, Clone)]
pub struct Bad {
    /// Line within the chunk, from 0.
    pub line: u32,
    pub kind: BadKind,
    pub reason: String,
}

/// A chunk, decoded.
pub struct Batch {
    /// Number of the chunk within the scan: chunks of a lower ordinal come first in the log.
    pub ordinal: u64,
    /// Index of the file in the scan's segment list.
    pub segment: usize,
    /// The line number (from 1) of the chunk's first line; set once the chunks before it are counted.
    pub first_line: u64,
    /// Where the chunk begins in its file, in decompressed bytes; set with `first_line`.
    pub first_byte: u64,
    /// Lines that the chunk holds.
    pub lines: u64,
    pub records: u64,
    pub empty: u64,
    pub bytes: u64,
    pub events: Events,
    pub blocks: Vec<Block>,
    pub bad: Vec<Bad>,
    /// The chunk's text, where events of it may have to wait for a later run; empty otherwise.
    pub text: Vec<u8>,
    /// Where each line begins in the chunk; empty where the text is not kept.
    pub line_starts: Vec<u32>,
    /// The text and where its lines begin, kept after all since events of the chunk wait.
    late_text: OnceLock<(Vec<u8>, Vec<u32>)>,
    /// By line, where it stands in its scan, for lines that were put aside by that scan; empty otherwise.
    pub places: Vec<u64>,
    /// Where each line lies in the log, for lines that an earlier run has read; empty otherwise.
    pub origins: Vec<Origin>,
    /// Lines that are counted and reported elsewhere: those that waited at the end of an earlier run, say. Ascending.
    pub quiet: Vec<u32>,
    /// Lines whose position an earlier run has seen, where duplicates are told by it. Ascending.
    pub repeated: Vec<u32>,
}

/// Where a record lies in the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    pub file: Arc<str>,
    /// Counted from 1.
    pub line: u64,
    /// Where the line begins in the decompressed file; `None`: an earlier version did not keep it.
    pub byte: Option<u64>,
}

impl Batch {
    pub fn is_quiet(&self, line: u32) -> bool {
        !self.quiet.is_empty() && self.quiet.binary_search(&line).is_ok()
    }

    /// The record of an event as the log has it, without the line break; `None` where the text was not kept.
    pub fn record(&self, event: usize) -> Option<&str> {
        let text = std::str::from_utf8(self.raw(*self.events.line.get(event)?)?).ok()?;
        Some(text.strip_prefix('\u{feff}').unwrap_or(text))
    }

    /// A line of the chunk (from 0) as the log has it, without the line break; `None` where the text was not kept.
    pub fn raw(&self, line: u32) -> Option<&[u8]> {
        let (text, line_starts) = match self.late_text.get() {
            Some((text, line_starts)) => (text, line_starts),
            None => (&self.text, &self.line_starts),
        };
        let line = line as usize;
        let start = *line_starts.get(line)? as usize;
        let range: Range<usize> = start..line_starts.get(line + 1).map_or(text.len(), |next| *next as usize);
        let bytes = text.get(range)?;
        Some(bytes.strip_suffix(b"\n").unwrap_or(bytes))
    }

    /// Keeps the chunk's text, of a batch that was decoded without.
    pub fn keep_text(&self, text: Vec<u8>) {
        let behind_breaks = memchr::memchr_iter(b'\n', &text).map(|at| at as u32 + 1).filter(|start| (*start as usize) < text.len());
        let line_starts = std::iter::once(0).chain(behind_breaks).collect();
        let _ = self.late_text.set((text, line_starts));
    }

    /// What is wrong with the record on a line of the chunk. `bad` has to be in the order of lines.
    pub fn bad_at(&self, line: u32) -> Option<&Bad> {
        self.bad.binary_search_by_key(&line, |bad| bad.line).ok().map(|at| &self.bad[at])
    }

    /// A batch without events, of a chunk of `bytes` bytes.
    pub fn new(ordinal: u64, segment: usize, bytes: u64) -> Batch {
        Batch {
            ordinal,
            segment,
            first_line: 1,
            first_byte: 0,
            lines: 0,
            records: 0,
            empty: 0,
            bytes,
            events: Events::default(),
            blocks: Vec::new(),
            bad: Vec::new(),
            text: Vec::new(),
            line_starts: Vec::new(),
            late_text: OnceLock::new(),
            places: Vec::new(),
            origins: Vec::new(),
            quiet: Vec::new(),
            repeated: Vec::new(),
        }
    }
}
