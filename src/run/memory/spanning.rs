//! Aggregates whose key spans streams, once a lane is away: what passes is handed over as text, sorted by partition and
//! place, and folded when all lanes are through.

use std::sync::Arc;
use std::time::Instant;

use rayon::prelude::*;

use super::{Memory, lanes_of};
use crate::error::Result;
use crate::fold::carry::fold_event;
use crate::fold::order::BEFORE_ALL;
use crate::fold::{Partition, Routed, route};
use crate::project::Aggregate;
use crate::run::intake::Part;
use crate::run::order_by::{HandOver, Ordered};
use crate::run::round::Sequenced;
use crate::run::scan::{Scan, Sinks};
use crate::run::sorting::{Line, Lines, Sorter};
use crate::run::tally::Tally;
use crate::source::chunks::{CHUNK_BYTES, Chunk};
use crate::source::sequence::{Release, Verdicts};
use crate::source::{Decoder, Origin};

/// Lines of one partition that follow each other in the log.
struct Bundle {
    partition: usize,
    bytes: Vec<u8>,
    origins: Vec<Origin>,
    places: Vec<u64>,
}

impl Bundle {
    /// The lines from the current one on; `more`: there is a current one.
    fn fill(lines: &mut Lines, names: &[Arc<str>], more: &mut bool) -> Result<Option<Bundle>> {
        let mut bundle: Option<Bundle> = None;
        while *more && let Some(line) = lines.current() {
            let partition = line.key as usize;
            let bundle = bundle.get_or_insert_with(|| Bundle { partition, bytes: Vec::new(), origins: Vec::new(), places: Vec::new() });
            if bundle.partition != partition || bundle.bytes.len() >= CHUNK_BYTES as usize {
                break;
            }
            bundle.bytes.extend_from_slice(line.text);
            bundle.bytes.push(b'\n');
            let file = names.get(line.file as usize).cloned().unwrap_or_default();
            bundle.places.push(line.place);
            bundle.origins.push(Origin { file, line: line.line, byte: Some(line.byte) });
            *more = lines.advance()?;
        }
        Ok(bundle)
    }
}

/// A bundle, decoded and routed.
struct Piece {
    partition: usize,
    routed: Arc<Routed>,
}

/// An event that passes, a partition that it touches, and the event of the batch at hand in whose place it passes.
struct Passing<'b> {
    routed: &'b Arc<Routed>,
    event: u32,
    partition: usize,
    before: u32,
}

fn released(index: usize, release: &Release<Arc<Routed>>) -> impl Iterator<Item = Passing<'_>> {
    let Release { after, batch: routed, event } = release;
    let parts = routed.touches[index].iter().flat_map(|touches| touches.parts()).enumerate();
    let touched = parts.filter(|(_, part)| !part.of_event(*event).is_empty());
    touched.map(|(partition, _)| Passing { routed, event: *event, partition, before: *after })
}

/// The events of a batch that pass and concern an aggregate, in the order in which they pass.
fn passing(index: usize, batch: &Sequenced) -> Vec<Passing<'_>> {
    let mut all = Vec::new();
    let mut releases = batch.releases.iter().peekable();
    for (event, partition) in batch.routed.touches[index].as_ref().map_or(Vec::new(), |touches| touches.by_event()) {
        while let Some(release) = releases.next_if(|release| release.after < event) {
            all.extend(released(index, release));
        }
        if batch.verdicts.passes(event as usize) {
            all.push(Passing { routed: &batch.routed, event, partition, before: event });
        }
    }
    all.extend(releases.flat_map(|release| released(index, release)));
    all
}

impl Memory {
    /// Hands over the records of a round that pass and concern an aggregate, once for each partition that they touch.
    pub(super) fn hand_over_spanning(&mut self, aggregate: &Aggregate, index: usize, parts: &[Part], round: &[Sequenced]) -> Result<()> {
        let (folder, sort_bytes) = (&self.folder, self.sort_bytes);
        let mut hand_over = self.hand_over[index].take().unwrap_or_else(|| HandOver::new(Sorter::new(folder.clone(), sort_bytes)));
        for batch in round {
            let mut last = None;
            for Passing { routed, event, partition, before } in passing(index, batch) {
                let events = &routed.batch.events;
                let record = (0..=event).rev().find(|part| !events.is_follower(*part as usize)).unwrap_or(event);
                // a row of a replica may go on in another partition: they are folded together
                let partition = if aggregate.is_replica { 0 } else { partition };
                let this = (Arc::as_ptr(routed), record, partition);
                if last.replace(this) != Some(this) {
                    let place = self.place(&batch.routed.batch, before);
                    hand_over.push((partition as i64, 0, place), parts, &routed.batch, event)?;
                }
            }
        }
        self.hand_over[index] = Some(hand_over);
        Ok(())
    }
}

impl Scan<'_> {
    /// Folds what was handed over in this scan.
    pub(super) fn fold_handed_over(&self, sinks: &mut Sinks, tally: &mut Tally) -> Result<()> {
        for index in 0..self.project.aggregates.len() {
            if let Some(hand_over) = sinks.memory.hand_over[index].take() {
                self.fold_partitions(index, &hand_over.finish()?, sinks, tally)?;
            }
        }
        Ok(())
    }

    fn fold_partitions(&self, index: usize, ordered: &Ordered, sinks: &mut Sinks, tally: &mut Tally) -> Result<()> {
        let aggregate = &self.project.aggregates[index];
        let mut decoder = Decoder::new(self.project, self.source);
        decoder.keep_text();
        let mut active = vec![false; self.project.aggregates.len()];
        active[index] = true;
        let mut lines = ordered.lines.lines()?;
        let mut more = lines.advance()?;
        let mut ordinal = 0;
        loop {
            self.stop.check()?;
            let begun = Instant::now();
            let mut bundles: Vec<(u64, Bundle)> = Vec::new();
            let mut room = sinks.memory.bytes_max / 2;
            while bundles.len() < self.round_chunks()
                && sinks.memory.fits(
                    index,
                    bundles.last().map(|(_, bundle)| bundle.partition),
                    more.then(|| lines.current()).flatten(),
                    &mut room,
                )
                && let Some(bundle) = Bundle::fill(&mut lines, &ordered.names, &mut more)?
            {
                bundles.push((ordinal, bundle));
                ordinal += 1;
            }
            let Some((_, Bundle { partition: last, .. })) = bundles.last() else { break };
            let last = *last;
            let decode = |(ordinal, bundle): (u64, Bundle)| {
                let chunk = Chunk { ordinal, segment: 0, starts_file: false, bytes: bundle.bytes, pending: 0, packed: 0 };
                let mut batch = decoder.decode(&chunk)?;
                (batch.origins, batch.places, batch.text) = (bundle.origins, bundle.places, chunk.bytes);
                Ok(Piece { partition: bundle.partition, routed: Arc::new(route(batch, self.project, &active)) })
            };
            let pieces = bundles.into_par_iter().map(decode).collect::<Result<Vec<Piece>>>()?;
            if aggregate.is_replica {
                let mut parts: Vec<&mut Partition> = sinks.lanes.iter_mut().map(|lane| &mut lane.folds[index]).collect();
                for piece in &pieces {
                    let Some(touches) = &piece.routed.touches[index] else { continue };
                    let mut events: Vec<u32> = touches.by_event().into_iter().map(|(event, _)| event).collect();
                    events.dedup();
                    events.into_iter().for_each(|event| fold_event(aggregate, index, &mut parts, (&piece.routed, event), BEFORE_ALL));
                }
            } else {
                let concerned = pieces.iter().fold(0, |mask, piece| mask | 1 << piece.partition);
                sinks.memory.take_up_partitions(self.project, index, self.store, sinks.lanes, concerned)?;
                sinks.lanes.par_iter_mut().enumerate().filter(|(lane, _)| concerned >> lane & 1 == 1).for_each(|(number, lane)| {
                    for Piece { routed, .. } in pieces.iter().filter(|piece| piece.partition == number) {
                        let verdicts = Verdicts::new(routed.batch.events.len());
                        lane.folds[index].fold(aggregate, index, number, routed, &verdicts, &[]);
                    }
                });
            }
            self.failures(&[], sinks, tally);
            self.append(&[], sinks)?;
            let done = lanes_of(u64::MAX).filter(|lane| *lane < last).map(|lane| 1 << lane).sum();
            sinks.memory.keep_partitions_within(self, index, sinks.lanes, done, last)?;
            tally.fold_time += begun.elapsed();
        }
        sinks.memory.keep_partitions_within(self, index, sinks.lanes, u64::MAX, 0)
    }
}

impl Memory {
    /// Whether the partition of a line can be taken up beside the one `before` and those before that, which have left `room`.
    fn fits(&self, index: usize, before: Option<usize>, line: Option<Line>, room: &mut u64) -> bool {
        let Some(partition) = line.map(|line| line.key as usize).filter(|partition| before != Some(*partition)) else { return true };
        let bytes = self.pieces.bytes_of(index, partition);
        let fits = before.is_none() || bytes <= *room;
        *room = room.saturating_sub(bytes);
        fits
    }

    /// Puts partitions away that are folded, where the aggregate is too large to stay. `done`: those partitions; `at`: the
    /// one at which the fold is.
    fn keep_partitions_within(
        &mut self,
        scan: &Scan,
        index: usize,
        lanes: &mut [crate::run::lanes::Lane],
        done: u64,
        at: usize,
    ) -> Result<()> {
        let held = self.held(scan.project, lanes);
        if !self.aggregates[index] {
            return if held.staying > self.bytes_max {
                Err(self.exceeded("the state that cannot be put away", held.staying))
            } else {
                Ok(())
            };
        }
        self.spanning_away[index] |= held.spanning[index] > self.bytes_max / 4;
        if self.spanning_away[index] {
            self.put_away_partitions(scan.project, index, scan.store, lanes, done)?;
        }
        if held.total() > self.bytes_max {
            let others = !(1 << at);
            self.put_away_partitions(scan.project, index, scan.store, lanes, others)?;
            self.spanning_away[index] = true;
            let held = self.held(scan.project, lanes);
            if held.spanning[index] > self.bytes_max {
                let what = format!("one of {} partitions of `{}`", crate::fold::PARTITIONS, scan.project.aggregates[index].name);
                return Err(self.exceeded(&what, held.spanning[index]));
            }
        }
        Ok(())
    }
}
