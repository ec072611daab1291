//! The scan of one source: rounds of chunks, each round decoded and routed by all threads, then sequenced
//! and folded by all threads, lane by lane.
//!
//! Within a lane everything happens in log order; so the result does not depend on rounds or threads.

use std::sync::Arc;
use std::time::Instant;

use rayon::prelude::*;

use super::append::Appender;
use super::aside::Aside;
use super::hashing::Hashing;
use super::intake::Part;
use super::lanes::Lane;
use super::look::Look;
use super::passing::Rounds;
use super::round::{Sequenced, append_events, conflict_reason, fold_round, in_log_order, take_failures};
use super::{Stop, Tally};
use crate::error::Result;
use crate::fold::{Routed, route, route_watched};
use crate::project::Project;
use crate::report::Progress;
use crate::source::chunks::{Buffers, Chunk, Jobs};
use crate::source::{BadKind, Batch, Decoder};
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
    /// A longer line is an error.
    pub record_bytes_max: u64,
    pub store: &'a Store,
    pub progress: &'a Progress,
    pub stop: &'a Stop,
    pub look: Look<'a>,
}

/// A chunk, decoded and routed.
struct Piece {
    routed: Routed,
    /// What it was decoded from, where the batch does not keep it.
    bytes: Vec<u8>,
    pending: u64,
}

impl Scan<'_> {
    /// Scans the parts in order. `files` are the manifest's entries of the files that the parts belong to:
    /// what was consumed is added to them. Bad records are counted in `tally`; errors end the scan.
    pub fn run(&self, parts: &[Part], files: &mut [manifest::LogFile], sinks: &mut Sinks, tally: &mut Tally) -> Result<()> {
        let decoder = Decoder::new(self.project, self.source);
        let buffers = Buffers::default();
        let jobs = Jobs::new(parts.iter().map(|p| p.segment.clone()).collect(), self.threads, self.record_bytes_max);
        let mut rounds = Rounds::new(jobs, parts, self.project.sources[self.source].on_gap);
        tally.hashing.begin(parts, files)?;
        // where lines are counted from; a part that was consumed before counts anew
        let mut lines: Vec<u64> = vec![0; files.len()];
        for part in parts.iter().rev() {
            lines[part.file] = if part.segment.from == 0 { 0 } else { files[part.file].lines };
        }
        let mut consumed: Vec<u64> = parts.iter().map(|p| p.segment.from).collect();
        let mut passed_holes = vec![false; parts.len()];
        loop {
            self.stop.check()?;
            let begun = Instant::now();
            let round = rounds.next_round(self.round_chunks())?;
            if round.is_empty() {
                if self.pass_holes(parts, sinks, tally)?
                    && let Some(last) = (0..parts.len()).rev().find(|part| consumed[*part] > parts[*part].segment.from)
                {
                    passed_holes[last] = true;
                }
                if rounds.goes_on() {
                    continue;
                }
                break;
            }
            let segments = rounds.jobs().segments();
            let pieces = round
                .into_par_iter()
                .map(|job| self.piece(&decoder, job.read(segments, &buffers)?, sinks.active))
                .collect::<Result<Vec<_>>>()?;
            let mut batches = Vec::with_capacity(pieces.len());
            let mut texts = Vec::with_capacity(pieces.len());
            for mut piece in pieces {
                let batch = &mut piece.routed.batch;
                let part = &parts[batch.segment];
                let file = &mut files[part.file];
                if let Some(before) = rounds.take_before(batch.segment) {
                    tally.hashing.goes_on(part, file, before)?;
                }
                batch.first_line = lines[part.file] + 1;
                batch.first_byte = consumed[batch.segment];
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
                if piece.pending > 0 {
                    tally.unterminated.push((part.segment.file.name.clone(), lines[part.file] + 1, piece.pending));
                }
                tally.records(batch);
                let latest = match self.look.as_of {
                    Some(as_of) => as_of.latest(&batch.events),
                    None => batch.events.time.iter().flatten().max().copied(),
                };
                tally.max_time = tally.max_time.max(latest);
                let (name, first_line) = (&part.segment.file.name, batch.first_line);
                batch.bad.sort_by_key(|bad| bad.line);
                for bad in &batch.bad {
                    let stream = stream_at(batch, bad.line);
                    if let (None, Some(quarantine)) = (&stream, &mut tally.quarantine) {
                        quarantine.without_stream(parts, batch, bad.line, bad.kind, &bad.reason);
                    }
                    tally.bad(bad.kind, name, Some(first_line + bad.line as u64), stream, &bad.reason);
                }
                let routed = Arc::new(piece.routed);
                texts.push(Text { segment: routed.batch.segment, bytes: piece.bytes, routed: routed.clone() });
                batches.push(routed);
            }
            tally.scan_time += begun.elapsed();
            // a thread hashes what the others fold
            let mut hashing = std::mem::take(&mut tally.hashing);
            let (hashed, folded) = rayon::join(|| hash(&mut hashing, parts, texts, &buffers), || self.fold(parts, batches, sinks, tally));
            tally.hashing = hashing;
            hashed.and(folded)?;
        }
        tally.hashing.note(files);
        for (i, part) in parts.iter().enumerate() {
            let (from, to, passed_holes) = (part.segment.from, consumed[i], passed_holes[i]);
            tally.consumed.push(manifest::Segment { file: part.file, from, to, passed_holes });
        }
        Ok(())
    }

    /// What is told of events is held for a round.
    fn round_chunks(&self) -> usize {
        if self.look.teller.is_some() { self.threads } else { ROUND_CHUNKS.max(4 * self.threads) }
    }

    fn piece(&self, decoder: &Decoder, chunk: Chunk, active: &[bool]) -> Result<Piece> {
        let mut batch = decoder.decode(&chunk)?;
        if let Some(as_of) = self.look.as_of {
            as_of.cut(&mut batch, &self.project.sources[self.source]);
        }
        let (packed, pending, events) = (chunk.packed, chunk.pending, batch.events.len() as u64);
        let mut bytes = chunk.bytes;
        if self.project.sources[self.source].keeps_text() {
            batch.text = std::mem::take(&mut bytes);
        }
        let route = if self.look.teller.is_some() { route_watched } else { route };
        let routed = route(batch, self.project, active);
        self.progress.add(packed, events);
        Ok(Piece { routed, bytes, pending })
    }

    /// Sequences and folds a round.
    fn fold(&self, parts: &[Part], batches: Vec<Arc<Routed>>, sinks: &mut Sinks, tally: &mut Tally) -> Result<()> {
        let begun = Instant::now();
        let round = fold_round(self.project, self.source, sinks.active, sinks.lanes, batches, &mut tally.last_position);
        if tally.counting {
            tally.folded += round.folded;
            tally.filtered += round.filtered;
            tally.duplicates += round.duplicates;
            tally.quarantined += round.quarantined;
            tally.passing.late += round.late;
            for (batch, event) in &round.late_first {
                tally.passing.show_late(parts, &round.batches[*batch].routed.batch, *event);
            }
            tally.bad_records += round.conflicts.len() as u64;
            let parts = |(batch, event): &(usize, u32)| round.batches[*batch].routed.batch.events.parts(*event as usize) as u64;
            tally.further_events -= round.conflicts.iter().map(|conflict| parts(conflict) - 1).sum::<u64>();
        }
        for (batch, event) in &round.conflicts {
            let batch = &round.batches[*batch].routed.batch;
            tally.bad_event(parts, batch, *event, BadKind::Conflict, &conflict_reason(batch, *event));
        }
        self.failures(parts, sinks, tally);
        if let Some(teller) = self.look.teller {
            teller.round(parts, &round.batches, &round.aside, sinks.lanes)?;
        }
        self.keep_aside(parts, round.aside, tally)?;
        self.append(&round.batches, sinks)?;
        // giving back what a round decoded takes as long as making it
        round.batches.into_par_iter().for_each(drop);
        tally.fold_time += begun.elapsed();
        Ok(())
    }

    /// Keeps the records that streams stand still at, or behind.
    pub(super) fn keep_aside(&self, parts: &[Part], aside: Vec<Aside>, tally: &mut Tally) -> Result<()> {
        let Some(quarantine) = &mut tally.quarantine else { return Ok(()) };
        quarantine.streams(parts, aside);
        quarantine.flush_full(self.store)
    }

    /// Reports the events that folds could not apply, in log order, and sets them aside with what follows on their rows.
    pub(super) fn failures(&self, parts: &[Part], sinks: &mut Sinks, tally: &mut Tally) {
        let failures = take_failures(sinks.lanes);
        if let Some(quarantine) = &mut tally.quarantine {
            let events = quarantine.rows(self.project, parts, &failures);
            if tally.counting {
                tally.folded -= events;
                tally.quarantined += events;
            }
        }
        for failure in in_log_order(&failures) {
            tally.bad_event(parts, &failure.batch.batch, failure.event, BadKind::Fold, &failure.reason);
        }
    }

    /// Hands event tables their events and takes the rows that folds gave out.
    pub(super) fn append(&self, round: &[Sequenced], sinks: &mut Sinks) -> Result<()> {
        sinks.event_tables.par_iter_mut().enumerate().try_for_each(|(number, table)| {
            let Some(table) = table else { return Ok(()) };
            for batch in round {
                append_events(number, batch, table.columns());
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

/// The text of a chunk, until it is hashed.
struct Text {
    segment: usize,
    /// Empty where the batch keeps it.
    bytes: Vec<u8>,
    routed: Arc<Routed>,
}

/// Hashes the texts of a round, which are in log order, and gives their buffers back.
fn hash(hashing: &mut Hashing, parts: &[Part], texts: Vec<Text>, buffers: &Buffers) -> Result<()> {
    for text in texts {
        let bytes = if text.bytes.is_empty() { &text.routed.batch.text } else { &text.bytes };
        hashing.add(&parts[text.segment], bytes)?;
        buffers.give_back(text.bytes);
    }
    Ok(())
}

/// The stream of the event on a line, where the record came far enough to have one.
fn stream_at(batch: &Batch, line: u32) -> Option<String> {
    batch.events.line.binary_search(&line).ok().map(|event| batch.events.stream.get(event).to_string())
}
