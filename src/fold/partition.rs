//! The fold of one partition of one aggregate: it sees the partition's touches in order and owns its state.

use std::collections::BTreeMap;
use std::sync::Arc;

use compact_str::CompactString;
use xxhash_rust::xxh3::xxh3_64;

use super::apply::{Application, RowsOut, Scratch};
use super::event::EventView;
use super::route::{Routed, Touch};
use super::table::Table;
use super::watch::Watch;
use crate::project::Aggregate;
use crate::source::sequence::{Release, Verdicts};

/// An event that an aggregate could not apply to a row.
pub struct FoldFailure {
    /// The batch's ordinal and the event's index in it: its place in the log.
    pub batch: Arc<Routed>,
    pub event: u32,
    /// Index into `Project::aggregates`.
    pub aggregate: usize,
    /// The row's key, encoded.
    pub key: Vec<u8>,
    pub reason: String,
    /// The event itself is sound; the row stands still at an earlier one.
    pub follows: bool,
}

/// Where a row or a stream stands still.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stop {
    pub stream: CompactString,
    pub version: Option<i64>,
}

impl Stop {
    fn of(routed: &Routed, event: u32) -> Stop {
        let events = &routed.batch.events;
        Stop { stream: events.stream.get(event as usize).into(), version: events.version[event as usize] }
    }
}

impl std::fmt::Display for Stop {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.version {
            Some(version) => write!(f, "follows version {version} of stream `{}`, which is in quarantine", self.stream),
            None => write!(f, "follows an event of stream `{}` that is in quarantine", self.stream),
        }
    }
}

/// The state of one partition of an aggregate, with what it gave out since it was last emptied.
pub struct Partition {
    pub table: Table,
    pub rows: Vec<RowsOut>,
    /// In the order in which the partition saw them; where the aggregate quarantines, also the events that follow one.
    pub failures: Vec<FoldFailure>,
    /// By key, the rows that stand still because an event failed on them; what follows on them is not applied.
    stopped: BTreeMap<Vec<u8>, Stop>,
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
            stopped: BTreeMap::new(),
            events_folded: 0,
            scratch: Scratch::default(),
            watch: None,
        }
    }

    /// Takes up a row that stands still since an earlier run.
    pub fn restore_stop(&mut self, key: Vec<u8>, stop: Stop) {
        self.stopped.entry(key).or_insert(stop);
    }

    /// Where the row of a key stands still, if it does.
    pub(super) fn stop_of(&self, key: &[u8]) -> Option<&Stop> {
        self.stopped.get(key)
    }

    /// Lets a row stand still at an event.
    pub(super) fn stop(&mut self, index: usize, routed: &Arc<Routed>, event: u32, key: &[u8], reason: String) {
        self.stopped.insert(key.to_vec(), Stop::of(routed, event));
        self.failures.push(FoldFailure { batch: routed.clone(), event, aggregate: index, key: key.to_vec(), reason, follows: false });
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
        let follows = |key: &[u8], stop: &Stop| FoldFailure {
            batch: routed.clone(),
            event: touch.event,
            aggregate: index,
            key: key.to_vec(),
            reason: stop.to_string(),
            follows: true,
        };
        let mut failed = Vec::new();
        if touch.all {
            // a row that stands still may have come into being where it is
            if aggregate.quarantines {
                self.failures.extend(self.stopped.iter().map(|(key, stop)| follows(key, stop)));
            }
            for row in application.rows_of_all(touch) {
                let key = application.table.key(row).to_vec();
                if self.stopped.contains_key(&key) {
                    continue;
                }
                match application.apply(routed, touch, xxh3_64(&key), &key) {
                    Ok(()) => self.events_folded += 1,
                    Err(reason) => failed.push((key, reason)),
                }
                if !failed.is_empty() && !aggregate.quarantines {
                    break;
                }
            }
        } else {
            let key = part.key(touch);
            let stop = self.stopped.get(key);
            if let (Some(stop), true) = (stop, application.watch.is_some()) {
                application.stood_still(routed, touch, stop);
            }
            match stop {
                Some(stop) if aggregate.quarantines => self.failures.push(follows(key, stop)),
                Some(_) => {}
                None => match application.apply(routed, touch, touch.hash, key) {
                    Ok(()) => self.events_folded += 1,
                    Err(reason) => failed.push((key.to_vec(), reason)),
                },
            }
        }
        for (key, reason) in failed {
            self.stop(index, routed, touch.event, &key, reason);
        }
    }
}
