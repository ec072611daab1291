//! The scan of one source: rounds of chunks, each round decoded and routed by all threads, then sequenced
//! and folded by all threads, lane by lane.
//!
//! Within a lane everything happens in log order; so the result does not depend on rounds or threads.

use std::sync::{Arc, Weak};
use std::time::Instant;

use rayon::prelude::*;

use super::append::Appender;
use super::aside::Aside;
use super::hashing::Hashing;
use super::intake::Part;
use super::lanes::Lane;
use super::look::Look;
use super::memory::Memory;
use super::order_by::HandOver;
use super::passing::Rounds;
use super::reading::Reading;
use super::round::{Sequenced, Work, accepted, append_events, conflict_reason, fold_round, in_log_order, take_failures};
use super::sorted::{KEYED, LineSource, SortedChunk};
use super::sorting::{Line, Sorter};
use super::spares::Spares;
use super::{Stop, Tally};
use crate::error::Result;
use crate::fold::Routed;
use crate::project::Project;
use crate::report::Progress;
use crate::source::chunks::{Buffers, CHUNK_BYTES, Chunk, Job, Jobs};
use crate::source::{BadKind, Batch, Decoder};
use crate::state::{Store, manifest};

/// Chunks of one round, at least: what is decoded stays in the processor's caches until it is folded.
const ROUND_CHUNKS: usize = 16;

/// The share of memory that the texts of a round may take; decoded they take some times more.
const ROUND_SHARE: u64 = 64;

/// What a scan feeds.
pub struct Sinks<'a> {
    pub lanes: &'a mut [Lane],
    /// To which aggregates events are routed.
    pub active: &'a [bool],
    /// What is done with them there.
    pub work: &'a Work,
    /// One per event table of the project; `None` where it does not take part.
    pub event_tables: &'a mut [Option<Appender>],
    /// Per aggregate, one per rows table.
    pub rows_tables: &'a mut [Vec<Appender>],
    /// Per aggregate that has an `order_by` and takes part: what passes is handed on here.
    pub hand_over: &'a mut [Option<HandOver>],
    /// Sees to it that the lanes keep within their share of memory.
    pub memory: &'a mut Memory,
}

/// What is needed for a scan and does not change in it.
pub struct Scan<'a> {
    pub project: &'a Project,
    pub source: usize,
    pub threads: usize,
    /// What the run may take, of which a round takes a small part.
    pub memory_bytes: u64,
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
        let mut decoder = Decoder::new(self.project, self.source);
        let (buffers, spares) = (Buffers::default(), self.spares());
        sinks.memory.begin(self, parts)?;
        let jobs = Jobs::new(parts.iter().map(|p| p.segment.clone()).collect(), self.threads, self.record_bytes_max);
        let mut rounds = Rounds::new(jobs, parts, self.project.sources[self.source].on_gap);
        tally.hashing.begin(parts, files)?;
        let mut reading = Reading::new(parts, files);
        loop {
            self.stop.check()?;
            let begun = Instant::now();
            let round = rounds.next_round(self.round_chunks())?;
            if round.is_empty() {
                if self.pass_holes(parts, sinks, tally)? {
                    reading.pass_holes();
                }
                if rounds.goes_on() {
                    continue;
                }
                break;
            }
            if sinks.memory.needs_text() {
                decoder.keep_text();
            }
            let segments = rounds.jobs().segments();
            let pieces = round
                .into_par_iter()
                .map(|job| self.piece(&decoder, job.read(segments, &buffers)?, sinks.active, &spares))
                .collect::<Result<Vec<_>>>()?;
            let mut batches = Vec::with_capacity(pieces.len());
            let mut texts = Vec::with_capacity(pieces.len());
            for mut piece in pieces {
                let segment = piece.routed.batch.segment;
                if let Some(before) = rounds.take_before(segment) {
                    tally.hashing.goes_on(&parts[segment], &files[parts[segment].file], before)?;
                }
                reading.take(&mut piece.routed.batch, piece.pending, files, tally);
                self.count(parts, &mut piece.routed.batch, tally);
                let routed = Arc::new(piece.routed);
                let kept = piece.bytes.is_empty().then(|| routed.clone());
                texts.push(Text { segment, bytes: piece.bytes, kept, batch: Arc::downgrade(&routed) });
                batches.push(routed);
            }
            tally.scan_time += begun.elapsed();
            // a thread hashes what the others fold
            let mut hashing = std::mem::take(&mut tally.hashing);
            let (hashed, folded) =
                rayon::join(|| hash(&mut hashing, parts, &mut texts), || self.fold(parts, batches, sinks, tally, &spares));
            tally.hashing = hashing;
            hashed.and(folded)?;
            texts.into_iter().for_each(|text| text.give_back(&buffers));
            sinks.memory.keep_within(self, sinks.lanes)?;
        }
        self.take_up_what_waits(sinks, tally)?;
        tally.hashing.note(files);
        reading.finish(tally);
        Ok(())
    }

    /// Counts what a batch holds and reports its bad records.
    fn count(&self, parts: &[Part], batch: &mut Batch, tally: &mut Tally) {
        tally.records(batch);
        let latest = match self.look.as_of {
            Some(as_of) => as_of.latest(&batch.events),
            None => batch.events.time.iter().flatten().max().copied(),
        };
        tally.max_time = tally.max_time.max(latest);
        batch.bad.sort_by_key(|bad| bad.line);
        for bad in batch.bad.iter().filter(|bad| !batch.is_quiet(bad.line)) {
            let stream = stream_at(batch, bad.line);
            if let (None, Some(quarantine)) = (&stream, &mut tally.quarantine) {
                quarantine.without_stream(parts, batch, bad.line, bad.kind, &bad.reason);
            }
            tally.bad(parts, (batch, bad.line), bad.kind, stream, &bad.reason);
        }
    }

    /// Reads parts of the log to have them sorted; what was consumed is added to `files`, as [`Scan::run`] does. What
    /// is wrong with a line is left to the scan that goes through the sorted lines. `flags`: of a part, for its lines,
    /// beside [`KEYED`]. Gives the least key of a record.
    pub fn sort(
        &self,
        parts: &[Part],
        flags: impl Fn(usize) -> u8,
        files: &mut [manifest::LogFile],
        sorter: &mut Sorter,
        tally: &mut Tally,
    ) -> Result<Option<i64>> {
        let order = self.project.sources[self.source].order;
        let decoder = Decoder::new(self.project, self.source);
        let buffers = Buffers::default();
        let mut jobs = Jobs::new(parts.iter().map(|p| p.segment.clone()).collect(), self.threads, self.record_bytes_max);
        tally.hashing.begin(parts, files)?;
        let mut reading = Reading::new(parts, files);
        let (mut key, mut least) = (i64::MIN, None);
        loop {
            self.stop.check()?;
            let begun = Instant::now();
            let round = jobs.next_jobs(self.round_chunks())?;
            if round.is_empty() {
                break;
            }
            let segments = jobs.segments();
            let read = |job: Job| {
                let chunk = job.read(segments, &buffers)?;
                let batch = decoder.envelopes(&chunk)?;
                self.progress.add(chunk.packed, 0);
                Ok((batch, chunk))
            };
            for (mut batch, chunk) in round.into_par_iter().map(read).collect::<Result<Vec<_>>>()? {
                let part = batch.segment;
                if let Some(before) = jobs.take_before(part) {
                    tally.hashing.goes_on(&parts[part], &files[parts[part].file], before)?;
                }
                reading.take(&mut batch, chunk.pending, files, tally);
                tally.hashing.add(&parts[part], &chunk.bytes)?;
                let mut events = 0..batch.events.len();
                for (line, start) in batch.line_starts.iter().enumerate() {
                    let end = batch.line_starts.get(line + 1).map_or(chunk.bytes.len(), |next| *next as usize);
                    let text = &chunk.bytes[*start as usize..end];
                    let text = text.strip_suffix(b"\n").unwrap_or(text);
                    let text = if chunk.starts_file && line == 0 { text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text) } else { text };
                    // a line without a key stays behind the one before it
                    let event = events.clone().next().filter(|event| batch.events.line[*event] as usize == line);
                    let mut flags = flags(part);
                    if let Some(event) = event {
                        events.next();
                        key = batch.events.sort_key(order, event).unwrap_or(key);
                        least = Some(least.map_or(key, |least: i64| least.min(key)));
                        flags |= KEYED;
                    }
                    let (number, byte) = (batch.first_line + line as u64, batch.first_byte + *start as u64);
                    sorter.push(&Line { key, rank: 0, place: 0, file: part as u32, line: number, byte, flags, text })?;
                }
                buffers.give_back(chunk.bytes);
            }
            tally.scan_time += begun.elapsed();
        }
        tally.hashing.note(files);
        reading.finish(tally);
        Ok(least)
    }

    /// Scans sorted lines, as [`Scan::run`] scans parts of the log. `names`: of files, by [`Line::file`].
    pub fn run_sorted(&self, lines: &mut dyn LineSource, names: &[Arc<str>], sinks: &mut Sinks, tally: &mut Tally) -> Result<()> {
        let decoder = Decoder::new(self.project, self.source);
        let spares = self.spares();
        sinks.memory.begin(self, &[])?;
        let mut ordinal = 0;
        loop {
            self.stop.check()?;
            let mut round = Vec::new();
            while round.len() < self.round_chunks()
                && let Some(chunk) = SortedChunk::fill(lines, names, ordinal)?
            {
                round.push(chunk);
                ordinal += 1;
            }
            if round.is_empty() {
                return Ok(());
            }
            self.progress.add(0, round.iter().map(|chunk| chunk.origins.len() as u64).sum());
            self.sorted_round((&decoder, &spares), round, sinks, tally)?;
            sinks.memory.keep_within(self, sinks.lanes)?;
        }
    }

    /// Decodes and folds a round of lines that have left the order of their log.
    pub(super) fn sorted_round(
        &self,
        (decoder, spares): (&Decoder, &Spares),
        round: Vec<SortedChunk>,
        sinks: &mut Sinks,
        tally: &mut Tally,
    ) -> Result<()> {
        let begun = Instant::now();
        let routed = |sorted: SortedChunk| {
            let mut batch = self.decoded(decoder, &sorted.chunk)?;
            (batch.origins, batch.quiet, batch.repeated) = (sorted.origins, sorted.quiet, sorted.repeated);
            batch.places = sorted.places;
            if decoder.keeps_text() {
                batch.text = sorted.chunk.bytes;
            }
            Ok(spares.route(batch, self.project, sinks.active))
        };
        let mut pieces = round.into_par_iter().map(routed).collect::<Result<Vec<_>>>()?;
        pieces.iter_mut().for_each(|routed| self.count(&[], &mut routed.batch, tally));
        tally.scan_time += begun.elapsed();
        self.fold(&[], pieces.into_iter().map(Arc::new).collect(), sinks, tally, spares)
    }

    /// What is told of events is held for a round.
    pub(super) fn round_chunks(&self) -> usize {
        let most = usize::try_from(self.memory_bytes / ROUND_SHARE / CHUNK_BYTES).unwrap_or(usize::MAX);
        let wanted = if self.look.teller.is_some() { self.threads } else { ROUND_CHUNKS.max(4 * self.threads) };
        wanted.min(most).max(1)
    }

    fn piece(&self, decoder: &Decoder, chunk: Chunk, active: &[bool], spares: &Spares) -> Result<Piece> {
        let mut batch = self.decoded(decoder, &chunk)?;
        let (packed, pending, events) = (chunk.packed, chunk.pending, batch.events.len() as u64);
        let mut bytes = chunk.bytes;
        if decoder.keeps_text() {
            batch.text = std::mem::take(&mut bytes);
        }
        let routed = spares.route(batch, self.project, active);
        self.progress.add(packed, events);
        Ok(Piece { routed, bytes, pending })
    }

    /// The events of a chunk, without those that `--as-of` cuts off.
    fn decoded(&self, decoder: &Decoder, chunk: &Chunk) -> Result<Batch> {
        let mut batch = decoder.decode(chunk)?;
        if let Some(as_of) = self.look.as_of {
            as_of.cut(&mut batch, &self.project.sources[self.source]);
        }
        Ok(batch)
    }

    pub(super) fn spares(&self) -> Spares {
        Spares::new(self.look.teller.is_some())
    }

    /// Sequences and folds a round.
    fn fold(&self, parts: &[Part], batches: Vec<Arc<Routed>>, sinks: &mut Sinks, tally: &mut Tally, spares: &Spares) -> Result<()> {
        let begun = Instant::now();
        let work = sinks.memory.work(self.project, sinks.work);
        sinks.memory.watch(&batches);
        let round = fold_round(self.project, self.source, &work, sinks.lanes, batches, &mut tally.last_position);
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
        // a replay says nothing of what was judged when it was consumed
        let conflicts = if tally.counting { &round.conflicts[..] } else { &[] };
        for (batch, event) in conflicts {
            let batch = &round.batches[*batch].routed.batch;
            tally.bad_event(parts, batch, *event, BadKind::Conflict, &conflict_reason(batch, *event));
        }
        self.failures(parts, sinks, tally);
        for (index, hand_over) in sinks.hand_over.iter_mut().enumerate() {
            let Some(hand_over) = hand_over.as_mut().filter(|_| sinks.active[index]) else { continue };
            let rank = self.project.aggregates[index].rank(self.source);
            for batch in &round.batches {
                let at = |event| sinks.memory.place(&batch.routed.batch, event);
                accepted(index, batch, &mut |routed, event, key, before| {
                    hand_over.push((key, rank, at(before)), parts, &routed.batch, event)
                })?;
            }
        }
        sinks.memory.take_round(self, parts, sinks.work, &round.batches)?;
        if let Some(teller) = self.look.teller {
            teller.round(parts, &round.batches, &round.aside, sinks.lanes)?;
        }
        self.keep_aside(parts, round.aside, tally)?;
        self.append(&round.batches, sinks)?;
        // giving back what a round decoded takes as long as making it
        round.batches.into_par_iter().for_each(|batch| spares.take_back(batch.routed));
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
    bytes: Vec<u8>,
    /// The batch that keeps it in place of `bytes`.
    kept: Option<Arc<Routed>>,
    /// Still there when its round is folded: some event waits.
    batch: Weak<Routed>,
}

impl Text {
    /// When its round is folded: the buffer is used again, unless some event waits.
    fn give_back(self, buffers: &Buffers) {
        match self.batch.upgrade().filter(|_| !self.bytes.is_empty()) {
            Some(waiting) => waiting.batch.keep_text(self.bytes),
            None => buffers.give_back(self.bytes),
        }
    }
}

/// Hashes the texts of a round, which are in log order.
fn hash(hashing: &mut Hashing, parts: &[Part], texts: &mut [Text]) -> Result<()> {
    for text in texts {
        let kept = text.kept.take();
        let bytes = kept.as_ref().map_or(&text.bytes, |routed| &routed.batch.text);
        hashing.add(&parts[text.segment], bytes)?;
    }
    Ok(())
}

/// The stream of the event on a line, where the record came far enough to have one.
fn stream_at(batch: &Batch, line: u32) -> Option<String> {
    batch.events.line.binary_search(&line).ok().map(|event| batch.events.stream.get(event).to_string())
}
