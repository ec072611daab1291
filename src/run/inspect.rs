//! The audit of a log, at the speed of a scan: what is in it, and what is wrong with it. Envelopes only; no payload is
//! looked at, and no state is needed, so that a log of any size takes the same memory.

use std::collections::BTreeMap;
use std::time::Instant;

use hashbrown::HashMap;
use rayon::prelude::*;

use super::{Options, Stop};
use crate::error::Result;
use crate::project::Project;
use crate::report::{Audit, BadRecord, Course, Largest, Progress, TypeAudit};
use crate::source::chunks::{Buffers, Chunk, Job, Jobs, Segment};
use crate::source::{Batch, Decoder, files};

/// Types and categories that are told apart; a log whose type field holds ids has more. What comes later is counted
/// together.
const NAMES_MAX: usize = 10_000;

/// Chunks that are read at a time, per thread.
const CHUNKS_PER_THREAD: usize = 8;

/// Looks at all files of a source. Of `options` the threads, the longest record and whether to be quiet count.
pub fn inspect(project: &Project, source: usize, options: &Options, stop: &Stop) -> Result<Audit> {
    let begun = Instant::now();
    let threads = options.threads;
    let definition = &project.sources[source];
    let (files, empty_globs) = files::discover(definition, &project.root, false)?;
    let segments: Vec<Segment> = files.into_iter().map(|file| Segment { to: None, from: 0, last_line_counts: true, file }).collect();
    let mut audit = Audit {
        source: definition.name.clone(),
        files: segments.len() as u64,
        bytes: segments.iter().map(|segment| segment.file.size).sum(),
        empty_globs,
        ..Audit::default()
    };
    let progress = Progress::new(audit.bytes, options.quiet);
    progress.stage("inspecting");
    let decoder = Decoder::new(project, source);
    let buffers = Buffers::default();
    let mut jobs = Jobs::new(segments, threads, options.record_bytes_max);
    let (mut segment, mut lines) = (usize::MAX, 0);
    loop {
        stop.check()?;
        let round = jobs.next_jobs(threads * CHUNKS_PER_THREAD)?;
        if round.is_empty() {
            break;
        }
        let segments = jobs.segments();
        let look = |job: Job| {
            let chunk = job.read(segments, &buffers)?;
            let found = Found::of(&decoder.audit(&chunk)?, &chunk);
            progress.add(chunk.packed, found.events);
            buffers.give_back(chunk.bytes);
            Ok(found)
        };
        for found in round.into_par_iter().map(look).collect::<Result<Vec<_>>>()? {
            if found.segment != segment {
                (segment, lines) = (found.segment, 0);
            }
            let file = &segments[segment].file.name;
            lines += found.add_to(&mut audit, file, lines);
        }
    }
    progress.finish();
    audit.seconds = begun.elapsed().as_secs_f64();
    Ok(audit)
}

/// What is in one chunk.
struct Found {
    segment: usize,
    lines: u64,
    records: u64,
    empty: u64,
    events: u64,
    bad: Vec<(u32, &'static str, String)>,
    types: HashMap<String, TypeAudit>,
    categories: HashMap<String, u64>,
    positions: Course,
    times: Course,
    /// Bytes and line.
    largest: (u64, u32),
}

impl Found {
    fn of(batch: &Batch, chunk: &Chunk) -> Found {
        let events = &batch.events;
        let mut found = Found {
            segment: chunk.segment,
            lines: batch.lines,
            records: batch.records,
            empty: batch.empty,
            events: events.len() as u64,
            bad: batch.bad.iter().map(|bad| (bad.line, bad.kind.label(), bad.reason.clone())).collect(),
            types: HashMap::new(),
            categories: HashMap::new(),
            positions: Course::default(),
            times: Course::default(),
            largest: (0, 0),
        };
        // most events have the category of the one before
        let (mut last, mut of_last) = ("", 0);
        for event in 0..events.len() {
            let time = events.time[event];
            let of_type = entry(&mut found.types, events.event_type.get(event));
            of_type.events += 1;
            of_type.first_time = earlier(of_type.first_time, time);
            of_type.last_time = of_type.last_time.max(time);
            let category = category(events.stream.get(event));
            if category != last {
                if of_last > 0 {
                    *entry(&mut found.categories, last) += of_last;
                }
                (last, of_last) = (category, 0);
            }
            of_last += 1;
            found.positions.goes_on(events.position[event]);
            found.times.goes_on(time);
        }
        if of_last > 0 {
            *entry(&mut found.categories, last) += of_last;
        }
        for (line, start) in batch.line_starts.iter().enumerate() {
            let end = batch.line_starts.get(line + 1).map_or(chunk.bytes.len() as u64 + 1, |next| *next as u64);
            found.largest = found.largest.max((end - *start as u64 - 1, line as u32));
        }
        found
    }

    /// Adds it to what the chunks before it have; `lines`: those before it in its file. Gives its own.
    fn add_to(self, audit: &mut Audit, file: &str, lines: u64) -> u64 {
        audit.records += self.records;
        audit.empty += self.empty;
        audit.events += self.events;
        for (line, kind, reason) in self.bad {
            let line = Some(lines + line as u64 + 1);
            audit.bad.push(BadRecord { kind: kind.to_string(), file: file.to_string(), line, stream: None, reason });
        }
        for (name, of_type) in self.types {
            let all = room(&mut audit.types, name);
            all.events += of_type.events;
            all.first_time = earlier(all.first_time, of_type.first_time);
            all.last_time = all.last_time.max(of_type.last_time);
        }
        for (name, events) in self.categories {
            *room(&mut audit.categories, name) += events;
        }
        audit.positions.append(&self.positions);
        audit.times.append(&self.times);
        if audit.largest.as_ref().is_none_or(|largest| largest.bytes < self.largest.0) {
            audit.largest = Some(Largest { bytes: self.largest.0, file: file.to_string(), line: lines + self.largest.1 as u64 + 1 });
        }
        self.lines
    }
}

/// The category of a stream: what stands before its first `-`.
fn category(stream: &str) -> &str {
    memchr::memchr(b'-', stream.as_bytes()).map_or(stream, |at| &stream[..at])
}

fn earlier(a: Option<i64>, b: Option<i64>) -> Option<i64> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}

fn entry<'m, V: Default>(map: &'m mut HashMap<String, V>, name: &str) -> &'m mut V {
    map.entry_ref(name).or_default()
}

/// The entry of a name, or the one of all that came too late to have one.
fn room<V: Default>(map: &mut BTreeMap<String, V>, name: String) -> &mut V {
    let name = if map.len() < NAMES_MAX || map.contains_key(&name) { name } else { Audit::OTHERS.to_string() };
    map.entry(name).or_default()
}
