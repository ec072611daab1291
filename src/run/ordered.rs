//! A source whose events have another order than its log's (`order = "position" | "time" | "version"`).
//!
//! Its lines are sorted before anything else looks at them. What a later run brings may sort before what was folded:
//! a dry scan finds the partitions in which that matters, and these are folded again from the whole log, sorted.

use std::sync::Arc;

use super::folding::Folding;
use super::intake::Part;
use super::kept_streams;
use super::known_ids;
use super::lanes;
use super::round::Work;
use super::scan::Sinks;
use super::snapshot;
use super::sorted::{FRESH, FreshOf, KEYED, LineSource, QUIET};
use super::sorting::{Line, Sorted, Sorter};
use super::tally::Tally;
use super::waiting;
use crate::error::Result;
use crate::fold::order::{OrderKey, order_key};
use crate::fold::{PARTITIONS, Partition};
use crate::project::{Aggregate, Dedupe};
use crate::report::counted;
use crate::source::Decoder;
use crate::source::chunks::Chunk;
use crate::state::manifest;

/// The share of `--memory` that sorts may hold: one of a source beside those of aggregates, and the whole log's beside
/// what is new.
const MEMORY_SHARE: u64 = 8;

/// Events of one aggregate that came too late, and what was done about it.
#[derive(Debug, Clone, Copy, Default)]
pub struct Late {
    /// How often one was for a row.
    pub events: u64,
    /// The partitions that were folded again.
    pub partitions: u64,
}

impl Late {
    /// What a run says of it; nothing where nothing came too late.
    pub fn warning(&self, aggregate: &str) -> Option<String> {
        if self.partitions == 0 {
            return None;
        }
        let (events, partitions) = (counted(self.events, "late arrival"), counted(self.partitions, "partition"));
        Some(format!("aggregate `{aggregate}`: {events} before what was folded; {partitions} of {PARTITIONS} folded again from the log"))
    }
}

/// Lines in order, with the names of their files.
pub(super) struct SortedLog {
    pub lines: Sorted,
    pub names: Vec<Arc<str>>,
    /// The least key of a record.
    least: Option<i64>,
}

/// What a run reads anew of a source: sorted by themselves, or what is new of the whole log.
enum Fresh<'a> {
    Alone(&'a SortedLog),
    OfWhole(&'a SortedLog),
}

impl Fresh<'_> {
    fn lines(&self) -> Result<Box<dyn LineSource + '_>> {
        Ok(match self {
            Fresh::Alone(log) => Box::new(log.lines.lines()?),
            Fresh::OfWhole(log) => Box::new(FreshOf::new(log.lines.lines()?)),
        })
    }

    fn names(&self) -> &[Arc<str>] {
        match self {
            Fresh::Alone(log) | Fresh::OfWhole(log) => &log.names,
        }
    }
}

/// Only all partitions together can be folded again: rows that were given out are appended to one table, and a row may go on
/// in another partition.
pub fn replays_whole(aggregate: &Aggregate) -> bool {
    !aggregate.rows.is_empty() || aggregate.is_replica
}

/// Records that waited, as they lie in the log; they are kept by stream.
fn in_log_order<'w>(waited: &'w [waiting::Waiting], kept: Option<&manifest::Source>) -> Vec<&'w waiting::Waiting> {
    let mut waited: Vec<&waiting::Waiting> = waited.iter().collect();
    waited.sort_by_cached_key(|record| {
        let byte = record.origin.byte.unwrap_or_default();
        let lies_in = |source: &manifest::Source| {
            let file = source.files.iter().position(|file| *file.path == *record.origin.file);
            source.segments.iter().position(|segment| Some(segment.file) == file && (segment.from..segment.to).contains(&byte))
        };
        (kept.and_then(lies_in), byte)
    });
    waited
}

impl Folding<'_> {
    /// Folds what is new of a source that is sorted, and whatever has to be folded again. Gives how many events waited
    /// at the end of the last run. `kept`: what the last run says of the source, where its streams go on from there.
    pub(super) fn ordered_source(
        &mut self,
        source: usize,
        kept: Option<&manifest::Source>,
        files: &mut [manifest::LogFile],
        tally: &mut Tally,
    ) -> Result<u64> {
        let project = self.run.project;
        let decision = self.decision;
        let intake = &decision.intakes[source];
        let active = self.active(source);
        let before = files.to_vec();
        let Some(kept) = kept else {
            let parts: Vec<Part> = intake.old.iter().chain(&intake.fresh).cloned().collect();
            let whole = self.sorted(source, &parts, |_| 0, (&[], None), files, tally)?;
            tally.counting = true;
            let fold = Work::fold(project, &active);
            self.scan_sorted(source, (&mut *Fresh::Alone(&whole).lines()?, &whole.names), (&active, &fold), |_| true, tally)?;
            return Ok(0);
        };
        let waited = if intake.fresh.is_empty() { Vec::new() } else { waiting::read(self.store.dir(), kept)? };
        let fresh = self.sorted(source, &intake.fresh, |_| FRESH, (&waited, Some(kept)), files, tally)?;
        let whole = |folding: &Self| -> Result<SortedLog> {
            if let Some(error) = &intake.cannot_replay {
                return Err(error.clone());
            }
            let parts: Vec<Part> = intake.old.iter().chain(&intake.fresh).cloned().collect();
            let new = |part: usize| if part < intake.old.len() { 0 } else { FRESH | QUIET };
            folding.sorted(source, &parts, new, (&[], None), &mut before.clone(), &mut Tally::default())
        };
        if !intake.fresh.is_empty() {
            self.reload_streams(source, kept)?;
        }
        // only the whole log tells a position that was there from one that comes late
        let definition = &project.sources[source];
        let among_old = definition.dedupe == Dedupe::Position && fresh.least.is_some_and(|least| kept.last_position >= Some(least));
        let mut sorted_whole = if among_old { Some(whole(self)?) } else { None };

        let late = match (&sorted_whole, fresh.least) {
            (_, None) => vec![0; project.aggregates.len()],
            (whole, Some(least)) => {
                let fresh = whole.as_ref().map_or(Fresh::Alone(&fresh), Fresh::OfWhole);
                let position = kept.last_position.filter(|_| !among_old);
                // what waited lies before equal ones that were folded meanwhile
                let least = least.saturating_sub(!waited.is_empty() as i64);
                self.find_late(source, (&fresh, least), &active, kept, position)?
            }
        };
        let again = self.partitions_to_replay(&active, &late)?;
        let tables_again = decision.event_table_replay.iter().any(|replay| *replay);
        // a changed aggregate with an `order_by` folds elsewhere, but here is told what it cannot use
        let changed = (0..active.len()).any(|index| active[index] && decision.aggregate_replay[index]);
        if tables_again || changed || again.iter().any(|partitions| *partitions != 0) {
            if sorted_whole.is_none() {
                sorted_whole = Some(whole(self)?);
            }
            if let Some(whole) = &sorted_whole {
                lanes::forget_streams(&mut self.lanes, project, source);
                let work = Work { partitions: again.clone(), ..Work::nothing(project) };
                let replayed = |table: usize| decision.event_table_replay[table];
                self.scan_sorted(source, (&mut whole.lines.lines()?, &whole.names), (&active, &work), replayed, tally)?;
                tally.last_position = None;
                known_ids::settle(&mut self.lanes, source);
            }
            if !intake.fresh.is_empty() {
                self.reload_streams(source, kept)?;
            }
        }
        tally.counting = true;
        tally.last_position = kept.last_position.filter(|_| !among_old);
        if !intake.fresh.is_empty() {
            let fresh = sorted_whole.as_ref().filter(|_| among_old).map_or(Fresh::Alone(&fresh), Fresh::OfWhole);
            let mut work = Work::fold(project, &active);
            work.partitions.iter_mut().zip(&again).for_each(|(partitions, again)| *partitions &= !again);
            let goes_on = |table: usize| !decision.event_table_replay[table];
            self.scan_sorted(source, (&mut *fresh.lines()?, fresh.names()), (&active, &work), goes_on, tally)?;
        }
        tally.last_position = tally.last_position.max(kept.last_position);
        Ok(kept.pending_events)
    }

    pub(super) fn sorter(&self) -> Sorter {
        let at_once = 1 + self.run.project.aggregates.iter().filter(|a| a.has_order_by).count() as u64;
        let memory_bytes = usize::try_from(self.run.options.memory_bytes / (MEMORY_SHARE * at_once)).unwrap_or(usize::MAX);
        Sorter::new(self.store.dir().join("staging"), memory_bytes)
    }

    /// Sorts parts of a source's log, behind records that waited.
    pub(super) fn sorted(
        &self,
        source: usize,
        parts: &[Part],
        flags: impl Fn(usize) -> u8,
        (waited, kept): (&[waiting::Waiting], Option<&manifest::Source>),
        files: &mut [manifest::LogFile],
        tally: &mut Tally,
    ) -> Result<SortedLog> {
        let mut sorter = self.sorter();
        let mut names: Vec<Arc<str>> = parts.iter().map(|part| part.segment.file.name.as_str().into()).collect();
        let order = self.run.project.sources[source].order;
        let decoder = Decoder::new(self.run.project, source);
        let mut least = None;
        for record in in_log_order(waited, kept) {
            let bytes = record.record.as_bytes().to_vec();
            let chunk = Chunk { ordinal: 0, segment: 0, starts_file: false, bytes, pending: 0, packed: 0 };
            let batch = decoder.envelopes(&chunk)?;
            let key = if batch.events.is_empty() { None } else { batch.events.sort_key(order, 0) };
            let Some(key) = key else { return Err(waiting::unusable(&record.stream, "a record is not the event that it was")) };
            least = Some(least.map_or(key, |least: i64| least.min(key)));
            if names[parts.len()..].last() != Some(&record.origin.file) {
                names.push(record.origin.file.clone());
            }
            let (file, line, byte) = (names.len() as u32 - 1, record.origin.line, record.origin.byte.unwrap_or_default());
            sorter.push(&Line { key, rank: 0, file, line, byte, flags: KEYED | QUIET, text: record.record.as_bytes() })?;
        }
        let of_parts = self.scan(source).sort(parts, flags, files, &mut sorter, tally)?;
        tally.hashing.all_seen(parts.iter())?;
        Ok(SortedLog { lines: sorter.finish()?, names, least: of_parts.into_iter().chain(least).min() })
    }

    /// Scans sorted lines. `tables`: the event tables that take part.
    fn scan_sorted(
        &mut self,
        source: usize,
        (lines, names): (&mut dyn LineSource, &[Arc<str>]),
        (active, work): (&[bool], &Work),
        tables: impl Fn(usize) -> bool,
        tally: &mut Tally,
    ) -> Result<()> {
        let scan = self.scan(source);
        let mut taken = self.take_tables(tables);
        // what a replay or a dry scan sees is handed on where it counts, or not again
        let hand_over = if tally.counting { &mut self.hand_over[..] } else { &mut [] };
        let mut sinks =
            Sinks { lanes: &mut self.lanes, active, work, event_tables: &mut taken, rows_tables: &mut self.rows_tables, hand_over };
        scan.run_sorted(lines, names, &mut sinks, tally)?;
        self.give_back_tables(taken);
        Ok(())
    }

    fn reload_streams(&mut self, source: usize, kept: &manifest::Source) -> Result<()> {
        lanes::forget_streams(&mut self.lanes, self.run.project, source);
        kept_streams::load_streams(&mut self.lanes, self.run.project, source, self.store, kept)?;
        known_ids::load(&mut self.lanes, source, self.store, kept)
    }

    /// By aggregate, a bit for each partition in which some event comes too late. Nothing is folded, and the streams are
    /// left as the last run has left them. `least`: the least key of what is new.
    fn find_late(
        &mut self,
        source: usize,
        (fresh, least): (&Fresh, i64),
        active: &[bool],
        kept: &manifest::Source,
        last_position: Option<i64>,
    ) -> Result<Vec<u64>> {
        let project = self.run.project;
        let going_on = |index: usize| active[index] && !self.decision.aggregate_replay[index];
        let going_on: Vec<bool> = (0..project.aggregates.len()).map(going_on).collect();
        let work = Work { only_finds_late: true, ..Work::fold(project, &going_on) };
        let folds = self.lanes.iter().flat_map(|lane| lane.folds.iter().enumerate()).filter(|(index, _)| work.partitions[*index] != 0);
        let rows: Option<OrderKey> = folds.filter_map(|(_, fold)| fold.table.order.as_ref()).map(|order| order.latest).max();
        let streams = self.lanes.iter().map(|lane| lane.sequencers[source].latest).max();
        let none = vec![0; project.aggregates.len()];
        if rows.is_none_or(|latest| latest <= order_key(least, 0)) && streams.is_none_or(|latest| latest <= least) {
            return Ok(none);
        }
        let mut unseen = Tally { last_position, ..Tally::default() };
        self.scan_sorted(source, (&mut *fresh.lines()?, fresh.names()), (active, &work), |_| false, &mut unseen)?;
        self.reload_streams(source, kept)?;
        Ok(self.take_late())
    }

    /// By aggregate, a bit for each partition that has to be folded from zero; those that have state are emptied.
    fn partitions_to_replay(&mut self, active: &[bool], late: &[u64]) -> Result<Vec<u64>> {
        let project = self.run.project;
        let mut again = vec![0; project.aggregates.len()];
        for (index, aggregate) in project.aggregates.iter().enumerate().filter(|(index, a)| active[*index] && !a.has_order_by) {
            if self.decision.aggregate_replay[index] {
                again[index] = u64::MAX;
                continue;
            }
            again[index] = if late[index] != 0 && replays_whole(aggregate) { u64::MAX } else { late[index] };
            if again[index] == 0 {
                continue;
            }
            self.empty(index, again[index])?;
        }
        Ok(again)
    }

    /// Empties partitions of an aggregate, to fold them from zero.
    pub(super) fn empty(&mut self, index: usize, partitions: u64) -> Result<()> {
        if partitions == 0 {
            return Ok(());
        }
        let aggregate = &self.run.project.aggregates[index];
        for partition in (0..PARTITIONS).filter(|partition| partitions >> partition & 1 == 1) {
            let fold = &mut self.lanes[partition].folds[index];
            *fold = Partition::new(aggregate);
            (fold.table.dirty, fold.table.is_made_anew) = (true, true);
        }
        if !aggregate.rows.is_empty() {
            self.rows_tables[index] = snapshot::rows_tables_of(aggregate, self.store, None, self.generation)?;
        }
        self.late[index].partitions = partitions.count_ones() as u64;
        Ok(())
    }

    /// By aggregate, a bit for each partition in which some event was found to come too late.
    pub(super) fn take_late(&mut self) -> Vec<u64> {
        let mut late = vec![0; self.late.len()];
        for (partition, lane) in self.lanes.iter_mut().enumerate() {
            for (index, fold) in lane.folds.iter_mut().enumerate() {
                let events = std::mem::take(&mut fold.late);
                late[index] |= ((events > 0) as u64) << partition;
                self.late[index].events += events;
            }
        }
        late
    }
}
