//! The fold of one partition of one aggregate: it sees the partition's touches in order and owns its state.

use std::sync::Arc;

use hashbrown::HashSet;

use super::apply::{Application, RowsOut, Scratch};
use super::event::EventView;
use super::route::{Routed, Touch};
use super::table::Table;
use super::watch::Watch;
use crate::project::Aggregate;
use crate::source::sequence::{Release, Verdicts};

/// An event that an aggregate could not apply.
pub struct FoldFailure {
    /// The batch's ordinal and the event's index in it: its place in the log.
    pub batch: Arc<Routed>,
    pub event: u32,
    pub reason: String,
}

/// The state of one partition of an aggregate, with what it gave out since it was last emptied.
pub struct Partition {
    pub table: Table,
    pub rows: Vec<RowsOut>,
    pub failures: Vec<FoldFailure>,
    /// Keys of rows that stand still because an event failed on them; what follows on them is not applied.
    stopped: HashSet<Vec<u8>>,
    pub stopped_events: u64,
    /// Events that were applied to rows of this partition, each once per row.
    pub events_folded: u64,
    scratch: Scratch,
    /// Rows that somebody looks at.
    pub watch: Option<Box<Watch>>,
}

impl Partition {
    pub fn new(aggregate: &Aggregate) -> Partition {
        Partition {
            table: Table::new(aggregate),
            rows: (0..aggregate.rows.len()).map(|rows| RowsOut::new(aggregate, rows)).collect(),
            failures: Vec::new(),
            stopped: HashSet::new(),
            stopped_events: 0,
            events_folded: 0,
            scratch: Scratch::default(),
            watch: None,
        }
    }

    /// Folds what a batch holds for this partition: the events that pass, in log order, and behind each of them
    /// the held ones that it releases. `releases` are ordered by `after`.
    pub fn fold(
        &mut self,
        aggregate: &Aggregate,
        index: usize,
        partition: usize,
        routed: &Arc<Routed>,
        verdicts: &Verdicts,
        releases: &[Release<Arc<Routed>>],
    ) {
        let part = routed.touches[index].as_ref().map_or(&[][..], |touches| &touches.part(partition).touches);
        let mut releases = releases.iter().peekable();
        for touch in part {
            while let Some(release) = releases.next_if(|r| r.after < touch.event) {
                self.release(aggregate, index, partition, release);
            }
            if verdicts.passes(touch.event as usize) {
                self.touch(aggregate, index, partition, routed, touch);
            }
        }
        for release in releases {
            self.release(aggregate, index, partition, release);
        }
    }

    fn release(&mut self, aggregate: &Aggregate, index: usize, partition: usize, release: &Release<Arc<Routed>>) {
        let Some(touches) = &release.batch.touches[index] else { return };
        for touch in touches.part(partition).of_event(release.event) {
            self.touch(aggregate, index, partition, &release.batch, touch);
        }
    }

    /// Applies one touch.
    pub(super) fn touch(&mut self, aggregate: &Aggregate, index: usize, partition: usize, routed: &Arc<Routed>, touch: &Touch) {
        let Some(touches) = &routed.touches[index] else { return };
        let part = touches.part(partition);
        if self.watch.as_ref().is_some_and(|watch| !watch.folds(touch, part.key(touch))) {
            return;
        }
        let events = &routed.batch.events;
        let computed = &routed.computed[touch.block as usize];
        let block = &routed.batch.blocks[touch.block as usize];
        let Some(plan) = block.plan.aggregates.iter().find(|plan| plan.aggregate == index) else { return };
        if !self.stopped.is_empty() && self.stopped.contains(part.key(touch)) {
            self.stopped_events += 1;
            return;
        }
        let view = EventView { events, block, computed, event: touch.event as usize, row: touch.row as usize };
        let mut application = Application {
            aggregate,
            plan,
            table: &mut self.table,
            rows_out: &mut self.rows,
            scratch: &mut self.scratch,
            part,
            elements: &touches.elements,
            view: &view,
            watch: self.watch.as_deref_mut(),
        };
        match application.apply(routed, touch) {
            Ok(rows) => self.events_folded += rows,
            Err(reason) => {
                self.stopped.insert(part.key(touch).to_vec());
                self.failures.push(FoldFailure { batch: routed.clone(), event: touch.event, reason });
            }
        }
    }
}
