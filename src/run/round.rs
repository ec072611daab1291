//! One round: batches that follow each other in the log are sequenced and folded, lane by lane. No I/O.

use std::sync::Arc;

use rayon::prelude::*;

use super::aside::{Aside, SetAside, set_aside};
use super::known_ids;
use super::lanes::Lane;
use super::passing::SHOWN_MAX;
use crate::error::Result;
use crate::fold::carry::{fold_in_turn, has_carries};
use crate::fold::event::{EventView, table_row};
use crate::fold::{FoldFailure, Partition, Routed};
use crate::project::{Aggregate, Dedupe, Project};
use crate::source::sequence::{Release, Verdict, Verdicts, sequence_by_position};
use crate::source::{Batch, Route};
use crate::sql::Column;

/// A batch with what the sequencer made of it.
pub struct Sequenced {
    pub routed: Arc<Routed>,
    pub verdicts: Verdicts,
    /// Of all lanes, ordered by the event behind which they pass.
    pub releases: Vec<Release<Arc<Routed>>>,
}

/// What became of a round's events.
pub struct Round {
    pub batches: Vec<Sequenced>,
    pub folded: u64,
    pub filtered: u64,
    pub duplicates: u64,
    pub late: u64,
    pub quarantined: u64,
    /// What streams stand still at, or behind; of each stream in its order.
    pub aside: Vec<Aside>,
    /// Batch of the round and event in it, in log order.
    pub conflicts: Vec<(usize, u32)>,
    /// As `conflicts`, the first late ones.
    pub late_first: Vec<(usize, u32)>,
}

/// What one lane saw in a round.
#[derive(Default)]
struct LaneRound {
    /// Per batch.
    releases: Vec<Vec<Release<Arc<Routed>>>>,
    folded: u64,
    filtered: u64,
    duplicates: u64,
    late: u64,
    conflicts: Vec<(usize, u32)>,
    late_first: Vec<(usize, u32)>,
    aside: SetAside,
}

impl Sequenced {
    /// Events that pass behind no event of a batch; `nothing`: a batch without events.
    pub fn behind_nothing(nothing: Arc<Routed>, releases: Vec<Release<Arc<Routed>>>) -> Sequenced {
        Sequenced { routed: nothing, verdicts: Verdicts::new(0), releases }
    }
}

/// What a round does with the events that pass.
#[derive(Debug, Clone)]
pub struct Work {
    /// By aggregate: the partitions that take part, a bit each.
    pub partitions: Vec<u64>,
    /// Nothing is folded; events that come too late are found (`Partition::late`).
    pub only_finds_late: bool,
}

impl Work {
    /// All partitions of the aggregates that are `active` fold, but for those whose events have an order of their own.
    pub fn fold(project: &Project, active: &[bool]) -> Work {
        let takes = |(active, aggregate): (&bool, &Aggregate)| if *active && !aggregate.has_order_by { u64::MAX } else { 0 };
        Work { partitions: active.iter().zip(&project.aggregates).map(takes).collect(), only_finds_late: false }
    }

    /// Nobody folds.
    pub fn nothing(project: &Project) -> Work {
        Work { partitions: vec![0; project.aggregates.len()], only_finds_late: false }
    }

    /// Whether a partition of an aggregate takes part.
    pub fn takes(&self, index: usize, partition: usize) -> bool {
        self.partitions[index] >> partition & 1 == 1
    }
}

/// Sequences the batches' events and folds those that pass, as `work` says. `last_position`: of the source, where
/// duplicates are told by it; it is moved on.
pub fn fold_round(
    project: &Project,
    source: usize,
    work: &Work,
    lanes: &mut [Lane],
    batches: Vec<Arc<Routed>>,
    last_position: &mut Option<i64>,
) -> Round {
    let mut batches: Vec<Sequenced> = batches
        .into_iter()
        .map(|routed| Sequenced { verdicts: Verdicts::new(routed.batch.events.len()), routed, releases: Vec::new() })
        .collect();
    match project.sources[source].dedupe {
        Dedupe::Version | Dedupe::None => {}
        Dedupe::Id => known_ids::sequence(source, lanes, &batches),
        Dedupe::Position => {
            for batch in &batches {
                let events = &batch.routed.batch;
                sequence_by_position(&events.events, &events.repeated, &batch.verdicts, last_position);
            }
        }
    }
    // the first exchange: by stream
    let mut seen: Vec<LaneRound> =
        lanes.par_iter_mut().enumerate().map(|(number, lane)| sequence_lane(project, source, work, number, lane, &batches)).collect();
    for (i, batch) in batches.iter_mut().enumerate() {
        for lane in &mut seen {
            batch.releases.append(&mut lane.releases[i]);
        }
        batch.releases.sort_by_key(|release| release.after);
    }
    fold_spanning(project, work, lanes, &batches);
    let mut conflicts: Vec<(usize, u32)> = seen.iter().flat_map(|lane| lane.conflicts.iter().copied()).collect();
    conflicts.sort_unstable();
    let mut late_first: Vec<(usize, u32)> = seen.iter().flat_map(|lane| lane.late_first.iter().copied()).collect();
    late_first.sort_unstable();
    late_first.truncate(SHOWN_MAX);
    Round {
        folded: seen.iter().map(|lane| lane.folded).sum(),
        filtered: seen.iter().map(|lane| lane.filtered + lane.aside.filtered).sum(),
        duplicates: seen.iter().map(|lane| lane.duplicates).sum(),
        late: seen.iter().map(|lane| lane.late).sum(),
        quarantined: seen.iter().map(|lane| lane.aside.quarantined).sum(),
        aside: seen.into_iter().flat_map(|lane| lane.aside.records).collect(),
        conflicts,
        late_first,
        batches,
    }
}

/// The second exchange: by key, for the aggregates whose key spans streams.
pub fn fold_spanning(project: &Project, work: &Work, lanes: &mut [Lane], batches: &[Sequenced]) {
    let spanning: Vec<usize> =
        (0..project.aggregates.len()).filter(|i| work.partitions[*i] != 0 && project.aggregates[*i].spans_streams).collect();
    if !spanning.is_empty() {
        let (in_turn, side_by_side): (Vec<usize>, Vec<usize>) = spanning
            .into_iter()
            .partition(|index| !work.only_finds_late && batches.iter().any(|batch| has_carries(*index, &batch.routed, &batch.releases)));
        for index in in_turn {
            let mut parts: Vec<&mut Partition> = lanes.iter_mut().map(|lane| &mut lane.folds[index]).collect();
            for batch in batches {
                fold_in_turn(&project.aggregates[index], index, &mut parts, &batch.routed, &batch.verdicts, &batch.releases);
            }
        }
        lanes.par_iter_mut().enumerate().for_each(|(number, lane)| {
            for &index in side_by_side.iter().filter(|index| work.takes(**index, number)) {
                for batch in batches {
                    fold_batch(&project.aggregates[index], index, work, number, lane, batch, &batch.releases);
                }
            }
        });
    }
}

/// Counts an event that passes; a bad one was counted where it was read.
pub fn count(routed: &Routed, event: usize, folded: &mut u64, filtered: &mut u64) {
    match routed.batch.events.route[event] {
        Route::Bad => {}
        _ if routed.taken[event] => *folded += 1,
        _ => *filtered += 1,
    }
}

/// Takes an event of a batch, with the value of `order_by`.
type GiveEvent<'a> = dyn FnMut(&Arc<Routed>, u32, i64) -> Result<()> + 'a;

/// Gives out the events of a batch that pass and concern an aggregate with an `order_by`, with its value, in the order in
/// which they pass; of a record that became several events, the first one.
pub fn accepted(index: usize, batch: &Sequenced, give: &mut GiveEvent) -> Result<()> {
    let mut give = |routed: &Arc<Routed>, event: u32| {
        let events = &routed.batch.events;
        let order = routed.touches[index].as_ref().map_or(&[][..], |touches| &touches.order);
        let Ok(at) = order.binary_search_by_key(&event, |(event, _)| *event) else { return Ok(()) };
        let record = (0..=event).rev().find(|part| !events.is_follower(*part as usize)).unwrap_or(event);
        if order[..at].last().is_some_and(|(other, _)| *other >= record) {
            return Ok(());
        }
        give(routed, event, order[at].1)
    };
    let mut releases = batch.releases.iter().peekable();
    for (event, _) in batch.routed.touches[index].as_ref().map_or(&[][..], |touches| &touches.order) {
        while let Some(release) = releases.next_if(|r| r.after < *event) {
            give(&release.batch, release.event)?;
        }
        if batch.verdicts.passes(*event as usize) {
            give(&batch.routed, *event)?;
        }
    }
    releases.try_for_each(|release| give(&release.batch, release.event))
}

/// The events that folds could not apply, of each row in its order.
pub fn take_failures(lanes: &mut [Lane]) -> Vec<FoldFailure> {
    lanes.iter_mut().flat_map(|lane| lane.folds.iter_mut()).flat_map(|fold| std::mem::take(&mut fold.failures)).collect()
}

/// Those that are wrong themselves, in log order.
pub fn in_log_order(failures: &[FoldFailure]) -> Vec<&FoldFailure> {
    let mut failures: Vec<_> = failures.iter().filter(|failure| !failure.follows).collect();
    failures.sort_by(|a, b| (a.batch.batch.ordinal, a.event, &a.reason).cmp(&(b.batch.batch.ordinal, b.event, &b.reason)));
    failures
}

/// What is wrong with a conflicting event.
pub fn conflict_reason(batch: &Batch, event: u32) -> String {
    let (stream, version) = (batch.events.stream.get(event as usize), batch.events.version[event as usize].unwrap_or_default());
    format!("stream `{stream}` has version {version} again, with another id or content, or from before its first version")
}

fn fold_batch(
    aggregate: &Aggregate,
    index: usize,
    work: &Work,
    number: usize,
    lane: &mut Lane,
    batch: &Sequenced,
    releases: &[Release<Arc<Routed>>],
) {
    let fold = if work.only_finds_late { Partition::find_late } else { Partition::fold };
    fold(&mut lane.folds[index], aggregate, index, number, &batch.routed, &batch.verdicts, releases);
}

/// Sequences the streams of one lane and folds the aggregates whose key lies within a stream.
fn sequence_lane(project: &Project, source: usize, work: &Work, number: usize, lane: &mut Lane, round: &[Sequenced]) -> LaneRound {
    let mut seen = LaneRound::default();
    let sequenced = project.sources[source].dedupe == Dedupe::Version;
    for (i, batch) in round.iter().enumerate() {
        let routed = &batch.routed;
        let mine = routed.arrivals.of_partition(number);
        let mut releases = Vec::new();
        if sequenced {
            lane.sequencers[source].sequence(routed, &routed.batch.events, mine, &batch.verdicts, &mut releases);
        }
        if project.sources[source].quarantines() {
            set_aside(&mut lane.stopped[source], batch, mine, &mut releases, &mut seen.aside);
        }
        for arrival in mine.arrivals {
            let parts = arrival.parts as u64;
            match batch.verdicts.get(arrival.event as usize) {
                Verdict::Pass => {
                    seen.folded += arrival.taken as u64;
                    seen.filtered += arrival.filtered as u64;
                }
                _ if arrival.is_bad => {}
                Verdict::Duplicate => seen.duplicates += parts,
                Verdict::Conflict => seen.conflicts.push((i, arrival.event)),
                Verdict::Held | Verdict::Quarantined => {}
                Verdict::Late => {
                    seen.late += parts;
                    if seen.late_first.len() < SHOWN_MAX {
                        seen.late_first.push((i, arrival.event));
                    }
                }
            }
        }
        for release in &releases {
            count(&release.batch, release.event as usize, &mut seen.folded, &mut seen.filtered);
        }
        seen.releases.push(releases);
    }
    // one aggregate after the other, so that its rows stay in the caches
    for (index, aggregate) in project.aggregates.iter().enumerate() {
        if work.takes(index, number) && !aggregate.spans_streams {
            for (batch, releases) in round.iter().zip(&seen.releases) {
                fold_batch(aggregate, index, work, number, lane, batch, releases);
            }
        }
    }
    seen
}

/// Appends the events of a batch that pass and that event table `number` takes.
pub fn append_events(number: usize, batch: &Sequenced, columns: &mut [Column]) {
    let wanted = |routed: &Routed| routed.batch.blocks.iter().any(|b| b.plan.event_table.as_ref().is_some_and(|(n, _)| *n == number));
    let mut push = |routed: &Routed, event: usize| {
        let events = &routed.batch.events;
        let Route::Block { block, row } = events.route[event] else { return };
        let computed = &routed.computed[block as usize];
        let block = &routed.batch.blocks[block as usize];
        let Some((_, fields)) = block.plan.event_table.as_ref().filter(|(n, _)| *n == number) else { return };
        let view = EventView { events, block, computed, event, row: row as usize };
        for (column, value) in columns.iter_mut().zip(table_row(&view, fields)) {
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
