//! Aggregates whose events have an order of their own across sources (`order_by`).
//!
//! They take no part in the scans of their sources: what passes there is handed on with the value of `order_by`, sorted,
//! decoded once more and folded in order. What comes too late for that is found, and folded again, as
//! [`super::ordered`] does it for a source that is sorted.

use std::sync::Arc;

use hashbrown::HashMap;
use rayon::prelude::*;

use super::folding::Folding;
use super::intake::Part;
use super::ordered::replays_whole;
use super::round::{Work, take_failures};
use super::scan::Sinks;
use super::sorted::{FRESH, QUIET};
use super::sorting::{Line, Lines, Sorted, Sorter};
use super::tally::{Tally, place};
use crate::error::{Error, Result};
use crate::fold::carry::fold_event;
use crate::fold::order::order_key;
use crate::fold::{Merged, Partition, route};
use crate::project::Order;
use crate::source::chunks::{CHUNK_BYTES, Chunk};
use crate::source::sequence::Sequencer;
use crate::source::{BadKind, Batch, Decoder, Origin};

/// Collects the events of one aggregate, to be sorted.
pub struct HandOver {
    sorter: Sorter,
    names: Vec<Arc<str>>,
    numbers: HashMap<Arc<str>, u32>,
    least: Option<i64>,
}

/// The events of one aggregate in its order.
pub struct Ordered {
    pub lines: Sorted,
    pub names: Vec<Arc<str>>,
    least: Option<i64>,
}

impl HandOver {
    pub fn new(sorter: Sorter) -> HandOver {
        HandOver { sorter, names: Vec::new(), numbers: HashMap::new(), least: None }
    }

    /// Takes up the record of an event. `key`: its `order_by`; `rank`: that of its source; `at`: its place in its scan, 0
    /// where events come in the order of their places; `parts`: of its scan.
    pub fn push(&mut self, (key, rank, at): (i64, u16, u64), parts: &[Part], batch: &Batch, event: u32) -> Result<()> {
        let Origin { file, line, byte } = place(parts, batch, event);
        let text = batch.record(event as usize).ok_or_else(|| Error::internal("the text of a record that is ordered was not kept"))?;
        let file = match self.numbers.get(&file) {
            Some(number) => *number,
            None => {
                self.names.push(file.clone());
                *self.numbers.entry(file).or_insert(self.names.len() as u32 - 1)
            }
        };
        self.least = Some(self.least.map_or(key, |least| least.min(key)));
        let byte = byte.unwrap_or_default();
        self.sorter.push(&Line { key, rank, place: at, file, line, byte, flags: 0, text: text.as_bytes() })
    }

    pub fn finish(self) -> Result<Ordered> {
        Ok(Ordered { lines: self.sorter.finish()?, names: self.names, least: self.least })
    }
}

/// Lines that follow each other in an aggregate's order, those of each source for themselves.
#[derive(Default)]
struct Window {
    count: u32,
    bytes: usize,
    /// By rank of the source.
    sources: Vec<OfSource>,
}

#[derive(Default)]
struct OfSource {
    bytes: Vec<u8>,
    origins: Vec<Origin>,
    places: Vec<(u32, i128)>,
}

impl Window {
    /// The next window; `None` at the end.
    fn fill(lines: &mut Lines, names: &[Arc<str>], sources: usize) -> Result<Option<Window>> {
        let mut window = Window { sources: (0..sources).map(|_| OfSource::default()).collect(), ..Window::default() };
        while window.bytes < CHUNK_BYTES as usize && lines.advance()? {
            let Some(line) = lines.current() else { break };
            let Some(source) = window.sources.get_mut(line.rank as usize) else { continue };
            source.bytes.extend_from_slice(line.text);
            source.bytes.push(b'\n');
            source.origins.push(Origin {
                file: names.get(line.file as usize).cloned().unwrap_or_default(),
                line: line.line,
                byte: Some(line.byte),
            });
            source.places.push((window.count, order_key(line.key, line.rank)));
            window.bytes += line.text.len() + 1;
            window.count += 1;
        }
        Ok((window.count > 0).then_some(window))
    }
}

impl Folding<'_> {
    /// For each aggregate that has an `order_by`, where its events of this run are collected.
    pub(super) fn hand_overs(&self) -> Vec<Option<HandOver>> {
        let takes = |index: usize| self.run.project.aggregates[index].has_order_by && self.run.look.takes(index);
        let collects = |index: usize| takes(index) && !self.lanes.is_empty();
        (0..self.run.project.aggregates.len()).map(|index| collects(index).then(|| HandOver::new(self.sorter()))).collect()
    }

    /// Folds the aggregates that have an `order_by`, when all sources are scanned. Gives what failed.
    pub(super) fn order_by_aggregates(&mut self) -> Result<Tally> {
        let project = self.run.project;
        let mut failed = Tally::default();
        let mut again = vec![0; project.aggregates.len()];
        let mut fresh = Vec::new();
        for (index, hand_over) in std::mem::take(&mut self.hand_over).into_iter().enumerate() {
            let Some(hand_over) = hand_over else { continue };
            let ordered = hand_over.finish()?;
            if self.decision.aggregate_replay[index] {
                again[index] = if self.reads_whole(index) { 0 } else { u64::MAX };
            } else {
                again[index] = self.late_in(index, &ordered)?;
                self.empty(index, again[index])?;
            }
            fresh.push((index, ordered));
        }
        let mut whole: Vec<Option<HandOver>> =
            again.iter().map(|partitions| (*partitions != 0).then(|| HandOver::new(self.sorter()))).collect();
        for source in 0..project.sources.len() {
            if (0..again.len()).any(|index| again[index] != 0 && project.aggregates[index].sources.contains(&source)) {
                self.hand_over_whole(source, &mut whole)?;
            }
        }
        for (index, ordered) in fresh {
            if let Some(whole) = whole[index].take() {
                self.merge(index, &whole.finish()?, again[index], false, &mut failed)?;
            }
            self.merge(index, &ordered, !again[index], false, &mut failed)?;
        }
        Ok(failed)
    }

    /// Whether this run's scans go through the whole logs of an aggregate's sources.
    fn reads_whole(&self, index: usize) -> bool {
        let sources = &self.run.project.aggregates[index].sources;
        sources.iter().all(|source| self.decision.source_replay[*source] || self.decision.intakes[*source].old.is_empty())
    }

    /// The partitions in which some event comes too late, a bit each; all, where only all can be folded again.
    fn late_in(&mut self, index: usize, fresh: &Ordered) -> Result<u64> {
        let orders = self.lanes.iter().filter_map(|lane| lane.folds[index].table.order.as_ref());
        let latest = orders.map(|order| order.latest).max();
        if fresh.least.is_none_or(|least| latest.is_none_or(|latest| latest < order_key(least, 0))) {
            return Ok(0);
        }
        self.merge(index, fresh, u64::MAX, true, &mut Tally::default())?;
        let late = self.take_late()[index];
        Ok(if late != 0 && replays_whole(&self.run.project.aggregates[index]) { u64::MAX } else { late })
    }

    /// Scans the whole log of a source from zero and hands on what passes. Whatever is wrong with it, the run's own scans
    /// report.
    fn hand_over_whole(&mut self, source: usize, whole: &mut [Option<HandOver>]) -> Result<()> {
        let project = self.run.project;
        let definition = &project.sources[source];
        let intake = &self.decision.intakes[source];
        if let Some(error) = &intake.cannot_replay {
            return Err(error.clone());
        }
        let fresh_streams = || Sequencer::new(definition.first_version, definition.order);
        let streams: Vec<_> = self.lanes.iter_mut().map(|lane| std::mem::replace(&mut lane.sequencers[source], fresh_streams())).collect();
        let ids: Vec<_> = self.lanes.iter_mut().map(|lane| std::mem::take(&mut lane.ids[source])).collect();
        let active: Vec<bool> = project.aggregates.iter().map(|a| a.sources.contains(&source)).collect();
        let (mut files, mut unseen) = (intake.files.clone(), Tally::default());
        let sorted = if definition.order == Order::Log {
            None
        } else {
            let parts: Vec<Part> = intake.old.iter().chain(&intake.fresh).cloned().collect();
            Some(self.sorted(source, &parts, |_| FRESH | QUIET, (&[], None), &mut files, &mut unseen)?)
        };
        let scan = self.scan(source);
        let work = Work::nothing(project);
        // no state is folded, but that of streams, anew
        let memory = &mut self.memory.staying(project);
        let mut sinks = Sinks {
            lanes: &mut self.lanes,
            active: &active,
            work: &work,
            event_tables: &mut [],
            rows_tables: &mut [],
            hand_over: whole,
            memory,
        };
        match sorted {
            Some(log) => scan.run_sorted(&mut log.lines.lines()?, &log.names, &mut sinks, &mut unseen)?,
            None => {
                scan.run(&intake.old, &mut files, &mut sinks, &mut unseen)?;
                scan.run(&intake.fresh, &mut files, &mut sinks, &mut unseen)?;
                unseen.hashing.all_seen(intake.old.iter().chain(&intake.fresh))?;
            }
        }
        for ((lane, streams), ids) in self.lanes.iter_mut().zip(streams).zip(ids) {
            lane.sequencers[source] = streams;
            lane.ids[source] = ids;
        }
        Ok(())
    }

    /// Folds an aggregate's events in order, in the `partitions` whose bits are set; or only finds those that come too late.
    fn merge(&mut self, index: usize, ordered: &Ordered, partitions: u64, only_finds_late: bool, failed: &mut Tally) -> Result<()> {
        if partitions == 0 || ordered.lines.is_empty() {
            return Ok(());
        }
        let project = self.run.project;
        let aggregate = &project.aggregates[index];
        let decoders: Vec<Decoder> = aggregate.sources.iter().map(|source| Decoder::new(project, *source)).collect();
        let mut active = vec![false; project.aggregates.len()];
        active[index] = true;
        let mut lines = ordered.lines.lines()?;
        let mut number = 0;
        loop {
            self.run.stop.check()?;
            let begun = std::time::Instant::now();
            let mut windows = Vec::new();
            while windows.len() < 16.max(4 * self.run.options.threads)
                && let Some(window) = Window::fill(&mut lines, &ordered.names, decoders.len())?
            {
                windows.push((number, window));
                number += 1;
            }
            if windows.is_empty() {
                return Ok(());
            }
            let decode = |(number, window): (u64, Window)| {
                let of_sources = window.sources.into_iter().enumerate().filter(|(_, of_source)| !of_source.places.is_empty());
                let merged = of_sources.map(|(rank, of_source)| {
                    let OfSource { bytes, origins, places } = of_source;
                    let ordinal = number * decoders.len() as u64 + rank as u64;
                    let chunk = Chunk { ordinal, segment: 0, starts_file: false, bytes, pending: 0, packed: 0 };
                    let mut batch = decoders[rank].decode(&chunk)?;
                    // what is bad is shown in this order
                    batch.places = vec![number; origins.len()];
                    batch.origins = origins;
                    let ties_are_late = project.sources[aggregate.sources[rank]].order != Order::Log;
                    Ok(Merged { routed: Arc::new(route(batch, project, &active)), places, ties_are_late })
                });
                merged.collect::<Result<Vec<_>>>()
            };
            let windows = windows.into_par_iter().map(decode).collect::<Result<Vec<Vec<Merged>>>>()?;
            let carries = |merged: &Merged| merged.routed.touches[index].as_ref().is_some_and(|touches| !touches.carries.is_empty());
            if !only_finds_late && windows.iter().flatten().any(carries) {
                let mut parts: Vec<&mut Partition> = self.lanes.iter_mut().map(|lane| &mut lane.folds[index]).collect();
                for window in &windows {
                    for (_, batch, event) in events_in_order(index, window) {
                        let merged = &window[batch];
                        fold_event(aggregate, index, &mut parts, (&merged.routed, event), merged.place(event).1);
                    }
                }
            } else {
                let takes = |partition: usize| partitions >> partition & 1 == 1;
                self.lanes.par_iter_mut().enumerate().filter(|(partition, _)| takes(*partition)).for_each(|(partition, lane)| {
                    for window in &windows {
                        lane.folds[index].fold_merged(aggregate, index, partition, window, only_finds_late);
                    }
                });
            }
            for failure in take_failures(&mut self.lanes) {
                failed.bad_event(&[], &failure.batch.batch, failure.event, BadKind::Fold, &failure.reason);
            }
            for (rows, table) in self.rows_tables[index].iter_mut().enumerate().filter(|_| !only_finds_late) {
                self.lanes.iter_mut().for_each(|lane| table.take(&mut lane.folds[index].rows[rows].columns));
                table.flush_full(self.store)?;
            }
            failed.fold_time += begun.elapsed();
        }
    }
}

/// Place in the window, batch and event, of the events that concern the aggregate.
fn events_in_order(index: usize, window: &[Merged]) -> Vec<(u32, usize, u32)> {
    let mut events = Vec::new();
    for (number, merged) in window.iter().enumerate() {
        let Some(touches) = &merged.routed.touches[index] else { continue };
        events.extend(touches.by_event().into_iter().map(|(event, _)| (merged.place(event).0, number, event)));
    }
    events.sort_unstable();
    events.dedup();
    events
}
