//! The scan of one source: rounds of chunks, each round decoded and routed by all threads, then sequenced
//! and folded by all threads, lane by lane.
//!
//! Within a lane everything happens in log order; so the result does not depend on rounds or threads.

use std::sync::Arc;
use std::time::Instant;

use rayon::prelude::*;

use super::append::Appender;
use super::intake::{Part, keep_ends};
use super::lanes::Lane;
use super::{Stop, Tally};
use crate::error::Result;
use crate::fold::event::{EventView, table_row};
use crate::fold::{PARTITIONS, Routed, route};
use crate::project::Project;
use crate::report::Progress;
use crate::source::chunks::{Buffers, Chunk, Jobs};
use crate::source::files::Codec;
use crate::source::sequence::{Release, Verdict, Verdicts};
use crate::source::{BadKind, Batch, Decoder, Route};
use crate::state::{Store, manifest};

/// Chunks of one round, at least: what is decoded stays in the processor's caches until it is folded.
const ROUND_CHUNKS: usize = 16;

/// What a scan feeds.
pub struct Sinks<'a> {
    pub lanes: &'a mut [Lane],
    /// Which aggregates take part.
    pub active: &'a [bool],
    /// One per event table of the project; `None` where it does not take part.
    pub event_tables: &'a mut [Option<Appender>],
    /// Per aggregate, one per rows table.
    pub rows_tables: &'a mut [Vec<Appender>],
}

/// What is needed for a scan and does not change in it.
pub struct Scan<'a> {
    pub project: &'a Project,
    pub source: usize,
    pub threads: usize,
    pub store: &'a Store,
    pub progress: &'a Progress,
    pub stop: &'a Stop,
}

/// A chunk, decoded and routed, with the ends of its bytes where they are needed for hashes.
struct Piece {
    routed: Routed,
    head: Vec<u8>,
    tail: Vec<u8>,
    pending: u64,
}

/// A batch of the round with what the sequencer made of it.
struct Sequenced {
    routed: Arc<Routed>,
    verdicts: Verdicts,
    /// Of all lanes, ordered by the event behind which they pass.
    releases: Vec<Release<Arc<Routed>>>,
}

/// What one lane saw in a round.
#[derive(Default)]
struct LaneRound {
    /// Per batch.
    releases: Vec<Vec<Release<Arc<Routed>>>>,
    folded: u64,
    filtered: u64,
    duplicates: u64,
    conflicts: Vec<(usize, u32)>,
}

impl Scan<'_> {
    /// Scans the parts in order. `files` are the manifest's entries of the files that the parts belong to:
    /// what was consumed is added to them. Bad records are counted in `tally`; errors end the scan.
    pub fn run(&self, parts: &[Part], files: &mut [manifest::LogFile], sinks: &mut Sinks, tally: &mut Tally) -> Result<()> {
        let decoder = Decoder::new(self.project, self.source);
        let buffers = Buffers::default();
        let mut jobs = Jobs::new(parts.iter().map(|p| p.segment.clone()).collect(), self.threads);
        // where lines are counted from; a part that was consumed before counts anew
        let mut lines: Vec<u64> = vec![0; files.len()];
        for part in parts.iter().rev() {
            lines[part.file] = if part.segment.from == 0 { 0 } else { files[part.file].lines };
        }
        let mut consumed: Vec<u64> = parts.iter().map(|p| p.segment.from).collect();
        let mut ends: Vec<(Vec<u8>, Vec<u8>)> = vec![Default::default(); parts.len()];
        loop {
            self.stop.check()?;
            let begun = Instant::now();
            let mut round = Vec::new();
            while round.len() < ROUND_CHUNKS.max(4 * self.threads)
                && let Some(job) = jobs.next_job()?
            {
                round.push(job);
            }
            if round.is_empty() {
                break;
            }
            let segments = jobs.segments();
            let pieces = round
                .into_par_iter()
                .map(|job| self.piece(&decoder, job.read(segments, &buffers)?, parts, sinks.active, &buffers))
                .collect::<Result<Vec<_>>>()?;
            let mut batches = Vec::with_capacity(pieces.len());
            for mut piece in pieces {
                let batch = &mut piece.routed.batch;
                let part = &parts[batch.segment];
                let file = &mut files[part.file];
                batch.first_line = lines[part.file] + 1;
                lines[part.file] += batch.lines;
                consumed[batch.segment] += batch.bytes;
                if consumed[batch.segment] > file.consumed {
                    file.consumed = consumed[batch.segment];
                    file.lines = lines[part.file];
                    file.records += batch.records;
                    let mut positions = batch.events.position.iter().flatten();
                    if let Some(first) = positions.next() {
                        file.first_position = file.first_position.or(Some(*first));
                        file.last_position = Some(*positions.next_back().unwrap_or(first));
                    }
                }
                keep_ends(&piece.head, &mut ends[batch.segment].0, &mut Vec::new());
                keep_ends(&piece.tail, &mut Vec::new(), &mut ends[batch.segment].1);
                if piece.pending > 0 {
                    tally.unterminated.push((part.segment.file.name.clone(), lines[part.file] + 1, piece.pending));
                }
                tally.records(batch);
                tally.max_time = tally.max_time.max(batch.events.time.iter().flatten().max().copied());
                let (name, first_line) = (&part.segment.file.name, batch.first_line);
                batch.bad.sort_by_key(|bad| bad.line);
                for bad in &batch.bad {
                    tally.bad(bad.kind, name, Some(first_line + bad.line as u64), stream_at(batch, bad.line), &bad.reason);
                }
                batches.push(Arc::new(piece.routed));
            }
            tally.scan_time += begun.elapsed();
            self.fold(parts, batches, sinks, tally)?;
        }
        for (i, part) in parts.iter().enumerate() {
            if part.segment.from == 0 && part.segment.file.codec != Codec::Plain && consumed[i] == files[part.file].consumed {
                let (head, tail) = super::intake::ends_hashes(&ends[i].0, &ends[i].1);
                (files[part.file].head_hash, files[part.file].tail_hash) = (head, tail);
            }
            tally.consumed.push((part.file, part.segment.from, consumed[i]));
        }
        Ok(())
    }

    fn piece(&self, decoder: &Decoder, chunk: Chunk, parts: &[Part], active: &[bool], buffers: &Buffers) -> Result<Piece> {
        let batch = decoder.decode(&chunk)?;
        let (mut head, mut tail) = (Vec::new(), Vec::new());
        if parts[chunk.segment].segment.file.codec != Codec::Plain {
            keep_ends(&chunk.bytes, &mut head, &mut tail);
        }
        let (packed, pending, events) = (chunk.packed, chunk.pending, batch.events.len() as u64);
        buffers.give_back(chunk.bytes);
        let routed = route(batch, self.project, active);
        self.progress.add(packed, events);
        Ok(Piece { routed, head, tail, pending })
    }

    /// Sequences and folds a round.
    fn fold(&self, parts: &[Part], batches: Vec<Arc<Routed>>, sinks: &mut Sinks, tally: &mut Tally) -> Result<()> {
        let begun = Instant::now();
        let (project, source, active) = (self.project, self.source, sinks.active);
        let mut round: Vec<Sequenced> = batches
            .into_iter()
            .map(|routed| Sequenced { verdicts: Verdicts::new(routed.batch.events.len()), routed, releases: Vec::new() })
            .collect();
        // the first exchange: by stream
        let mut seen: Vec<LaneRound> = sinks
            .lanes
            .par_iter_mut()
            .enumerate()
            .map(|(number, lane)| sequence_lane(project, source, active, number, lane, &round))
            .collect();
        for (i, batch) in round.iter_mut().enumerate() {
            for lane in &mut seen {
                batch.releases.append(&mut lane.releases[i]);
            }
            batch.releases.sort_by_key(|release| release.after);
        }
        // the second exchange: by key, for the aggregates whose key spans streams
        let spanning: Vec<usize> = (0..project.aggregates.len()).filter(|i| active[*i] && project.aggregates[*i].spans_streams).collect();
        if !spanning.is_empty() {
            sinks.lanes.par_iter_mut().enumerate().for_each(|(number, lane)| {
                for batch in &round {
                    for &index in &spanning {
                        lane.folds[index].fold(&project.aggregates[index], index, number, &batch.routed, &batch.verdicts, &batch.releases);
                    }
                }
            });
        }
        for lane in seen.iter().filter(|_| tally.counting) {
            tally.folded += lane.folded;
            tally.filtered += lane.filtered;
            tally.duplicates += lane.duplicates;
        }
        let mut conflicts: Vec<(usize, u32)> = seen.iter().flat_map(|lane| lane.conflicts.iter().copied()).collect();
        conflicts.sort_unstable();
        tally.bad_records += if tally.counting { conflicts.len() as u64 } else { 0 };
        for (batch, event) in conflicts {
            let batch = &round[batch].routed.batch;
            let (stream, version) = (batch.events.stream.get(event as usize), batch.events.version[event as usize].unwrap_or_default());
            let reason =
                format!("stream `{stream}` has version {version} again, with another id or content, or from before its first version");
            tally.bad_event(parts, batch, event, BadKind::Conflict, &reason);
        }
        self.failures(parts, sinks, tally);
        self.append(&round, sinks)?;
        // giving back what a round decoded takes as long as making it
        round.into_par_iter().for_each(drop);
        tally.fold_time += begun.elapsed();
        Ok(())
    }

    /// Reports the events that folds could not apply, in log order.
    fn failures(&self, parts: &[Part], sinks: &mut Sinks, tally: &mut Tally) {
        let mut failures: Vec<_> =
            sinks.lanes.iter_mut().flat_map(|lane| lane.folds.iter_mut()).flat_map(|fold| std::mem::take(&mut fold.failures)).collect();
        failures.sort_by(|a, b| (a.batch.batch.ordinal, a.event, &a.reason).cmp(&(b.batch.batch.ordinal, b.event, &b.reason)));
        for failure in failures {
            tally.bad_event(parts, &failure.batch.batch, failure.event, BadKind::Fold, &failure.reason);
        }
    }

    /// Hands event tables their events and takes the rows that folds gave out.
    fn append(&self, round: &[Sequenced], sinks: &mut Sinks) -> Result<()> {
        sinks.event_tables.par_iter_mut().enumerate().try_for_each(|(number, table)| {
            let Some(table) = table else { return Ok(()) };
            for batch in round {
                append_events(number, batch, table);
            }
            table.flush_full(self.store)
        })?;
        for (index, tables) in sinks.rows_tables.iter_mut().enumerate() {
            for (rows, table) in tables.iter_mut().enumerate() {
                for lane in sinks.lanes.iter_mut() {
                    table.take(&mut lane.folds[index].rows[rows].columns);
                }
                table.flush_full(self.store)?;
            }
        }
        Ok(())
    }
}

/// The stream of the event on a line, where the record came far enough to have one.
fn stream_at(batch: &Batch, line: u32) -> Option<String> {
    batch.events.line.binary_search(&line).ok().map(|event| batch.events.stream.get(event).to_string())
}

/// Sequences the streams of one lane and folds the aggregates whose key lies within a stream.
fn sequence_lane(project: &Project, source: usize, active: &[bool], number: usize, lane: &mut Lane, round: &[Sequenced]) -> LaneRound {
    let mut seen = LaneRound::default();
    let sequenced = project.sources[source].dedupe == crate::project::Dedupe::Version;
    for (i, batch) in round.iter().enumerate() {
        let routed = &batch.routed;
        let events = &routed.batch.events;
        let mine = &routed.by_stream[number];
        let mut releases = Vec::new();
        if sequenced {
            lane.sequencers[source].sequence(routed, events, mine, &batch.verdicts, &mut releases);
        }
        let mut pass = |routed: &Routed, event: usize| match routed.batch.events.route[event] {
            Route::Bad => {}
            _ if routed.taken[event] => seen.folded += 1,
            _ => seen.filtered += 1,
        };
        for &event in mine {
            match batch.verdicts.get(event as usize) {
                Verdict::Pass => pass(routed, event as usize),
                _ if events.route[event as usize] == Route::Bad => {}
                Verdict::Duplicate => seen.duplicates += 1,
                Verdict::Conflict => seen.conflicts.push((i, event)),
                Verdict::Held => {}
            }
        }
        for release in &releases {
            pass(&release.batch, release.event as usize);
        }
        for (index, aggregate) in project.aggregates.iter().enumerate() {
            if active[index] && !aggregate.spans_streams {
                lane.folds[index].fold(aggregate, index, number, routed, &batch.verdicts, &releases);
            }
        }
        seen.releases.push(releases);
    }
    debug_assert!(number < PARTITIONS);
    seen
}

/// Appends the events of a batch that pass and that event table `number` takes.
fn append_events(number: usize, batch: &Sequenced, table: &mut Appender) {
    let wanted = |routed: &Routed| routed.batch.blocks.iter().any(|b| b.plan.event_table.as_ref().is_some_and(|(n, _)| *n == number));
    let mut push = |routed: &Routed, event: usize| {
        let events = &routed.batch.events;
        let Route::Block { block, row } = events.route[event] else { return };
        let block = &routed.batch.blocks[block as usize];
        let Some((_, fields)) = block.plan.event_table.as_ref().filter(|(n, _)| *n == number) else { return };
        let view = EventView { events, block, event, row: row as usize };
        for (column, value) in table.columns().iter_mut().zip(table_row(&view, fields)) {
            column.push(value);
        }
    };
    let mut releases = batch.releases.iter().peekable();
    if wanted(&batch.routed) {
        for event in 0..batch.routed.batch.events.len() {
            while let Some(release) = releases.next_if(|r| (r.after as usize) < event) {
                push(&release.batch, release.event as usize);
            }
            if batch.verdicts.passes(event) {
                push(&batch.routed, event);
            }
        }
    }
    for release in releases {
        push(&release.batch, release.event as usize);
    }
}
