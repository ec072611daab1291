//! The fold of one partition of one aggregate: it sees the partition's touches in order and owns its state.

use std::collections::BTreeMap;
use std::sync::Arc;

use compact_str::CompactString;
use xxhash_rust::xxh3::xxh3_64;

use super::apply::{Application, RowsOut, Scratch};
use super::event::EventView;
use super::order::{OrderKey, key_of};
use super::plain;
use super::route::Routed;
use super::table::{Place, Table};
use super::touches::Touch;
use super::watch::Watch;
use crate::prefetch::prefetch;
use crate::project::Aggregate;
use crate::source::sequence::{Release, Verdicts};

/// So many touches' rows are looked up at a time, so that the memory they lie in comes meanwhile.
const LOOK_AHEAD: usize = 32;

/// Told of the partition, a batch, a touch of it, the place at which it is folded, and the event of the batch at hand that
/// stands there.
type EachPassing<'a> = dyn FnMut(&mut Partition, &Arc<Routed>, &Touch, &Place, u32) + 'a;

/// Asks for what the rules of a touch will read of its event.
#[inline]
fn prefetch_payload(index: usize, routed: &Routed, touch: &Touch) {
    let (block, row) = (&routed.batch.blocks[touch.block as usize], touch.row as usize);
    let computed = &routed.computed[touch.block as usize];
    let Some(plan) = block.plan.aggregates.iter().find(|plan| plan.aggregate == index) else { return };
    plan.operands.data.iter().filter_map(|column| block.data.get(*column)).for_each(|column| column.prefetch(row));
    if plan.operands.event_time {
        prefetch(&routed.batch.events.time, touch.event as usize);
    }
    plan.operands.computed.iter().filter_map(|column| computed.get(*column)).for_each(|computed| computed.column.prefetch(row));
}

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

/// Lines of one source among those of others, in an order that spans them.
pub struct Merged {
    pub routed: Arc<Routed>,
    /// By line of the batch: its place among the lines of all batches, and where it stands in the aggregate's order.
    pub places: Vec<(u32, OrderKey)>,
    /// An event that is equal to the row's last one may belong before it.
    pub ties_are_late: bool,
}

impl Merged {
    pub fn place(&self, event: u32) -> (u32, OrderKey) {
        self.places[self.routed.batch.events.line[event as usize] as usize]
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
    /// Touches that come too late, as [`Partition::find_late`] has found them.
    pub late: u64,
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
            late: 0,
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
        self.passing(index, partition, (routed, verdicts, releases), |fold, routed, touch, place, _| {
            fold.touch(aggregate, index, partition, routed, touch, key_of(aggregate.order, place));
        });
    }

    /// Counts the touches of a batch that sort before what was folded into their rows, or that their stream's order
    /// has moved behind events that they sort before. Folds nothing.
    pub fn find_late(
        &mut self,
        aggregate: &Aggregate,
        index: usize,
        partition: usize,
        routed: &Arc<Routed>,
        verdicts: &Verdicts,
        releases: &[Release<Arc<Routed>>],
    ) {
        self.passing(index, partition, (routed, verdicts, releases), |fold, batch, touch, place, at| {
            // what waited lies before equal ones that were folded meanwhile
            let waited = routed.batch.is_quiet(routed.batch.events.line[at as usize]);
            let key = key_of(aggregate.order, place) - waited as OrderKey;
            fold.late += (verdicts.is_behind(at as usize) || fold.is_late(index, partition, batch, touch, key)) as u64;
        });
    }

    /// Goes through the touches of one partition whose events pass, in order, with the place at which each is folded: its
    /// event's own, or that of the event behind which it is released, and that event of the batch. `releases` are ordered
    /// by `after`.
    fn passing(
        &mut self,
        index: usize,
        partition: usize,
        (routed, verdicts, releases): (&Arc<Routed>, &Verdicts, &[Release<Arc<Routed>>]),
        mut each: impl FnMut(&mut Partition, &Arc<Routed>, &Touch, &Place, u32),
    ) {
        let touches = routed.touches[index].as_ref().map_or(&[][..], |touches| touches.part(partition).touches);
        let mut releases = releases.iter().peekable();
        for ahead in touches.chunks(LOOK_AHEAD) {
            self.table.prefetch(ahead.iter().map(|touch| touch.hash));
            ahead.iter().for_each(|touch| prefetch_payload(index, routed, touch));
            for touch in ahead {
                while let Some(next) = releases.next_if(|r| r.after < touch.event) {
                    self.release(index, partition, routed, next, &mut each);
                }
                if verdicts.passes(touch.event as usize) {
                    each(self, routed, touch, &touch.place, touch.event);
                }
            }
        }
        releases.for_each(|release| self.release(index, partition, routed, release, &mut each));
    }

    /// The touches of a released event, for [`Partition::passing`].
    fn release(&mut self, index: usize, partition: usize, at: &Routed, release: &Release<Arc<Routed>>, each: &mut EachPassing) {
        let Some(touches) = &release.batch.touches[index] else { return };
        let place = Place::of(&at.batch.events, release.after as usize);
        for touch in touches.part(partition).of_event(release.event) {
            each(self, &release.batch, touch, &place, release.after);
        }
    }

    /// Folds what batches of several sources hold for this partition, in the order of their lines' places; of events that
    /// come too late, only counts them where `only_finds_late`.
    pub fn fold_merged(&mut self, aggregate: &Aggregate, index: usize, partition: usize, merged: &[Merged], only_finds_late: bool) {
        let mut touches: Vec<(u32, usize, usize)> = Vec::new();
        for (number, batch) in merged.iter().enumerate() {
            let Some(of_batch) = &batch.routed.touches[index] else { continue };
            let of_batch = of_batch.part(partition).touches.iter().enumerate();
            touches.extend(of_batch.map(|(i, touch)| (batch.place(touch.event).0, number, i)));
        }
        touches.sort_unstable();
        for (_, number, i) in touches {
            let batch = &merged[number];
            let Some(of_batch) = &batch.routed.touches[index] else { continue };
            let touch = &of_batch.part(partition).touches[i];
            let key = batch.place(touch.event).1;
            if only_finds_late {
                self.late += self.is_late(index, partition, &batch.routed, touch, key - batch.ties_are_late as OrderKey) as u64;
            } else {
                self.touch(aggregate, index, partition, &batch.routed, touch, key);
            }
        }
    }

    fn is_late(&self, index: usize, partition: usize, routed: &Routed, touch: &Touch, key: OrderKey) -> bool {
        let Some(order) = &self.table.order else { return false };
        if touch.all || key >= order.latest {
            return key < order.latest;
        }
        let Some(touches) = &routed.touches[index] else { return false };
        order.is_late(self.table.find(touch.hash, touches.part(partition).key(touch)), key)
    }

    /// Applies one touch. `key`: where its event stands in the aggregate's order, where that is not the log's.
    pub(super) fn touch(
        &mut self,
        aggregate: &Aggregate,
        index: usize,
        partition: usize,
        routed: &Arc<Routed>,
        touch: &Touch,
        key: OrderKey,
    ) {
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
        let is_plain = plan.is_plain && !touch.all && self.stopped.is_empty() && self.watch.is_none() && self.table.order.is_none();
        if is_plain {
            let touched = (touch, part.key(touch), part.steps(touch));
            if plain::apply(touched, plan, aggregate.spans_streams, &mut self.table, &view, &mut self.scratch.found) {
                self.events_folded += 1;
                return;
            }
        }
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
        if self.table.order.is_some() {
            let row = self.table.find(touch.hash, part.key(touch));
            let order = self.table.order.get_or_insert_default();
            if touch.all {
                order.advance_all(key);
                self.table.mark_all();
            } else {
                order.advance(row, key);
                row.into_iter().for_each(|row| self.table.mark(row));
            }
        }
    }
}
