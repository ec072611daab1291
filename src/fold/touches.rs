//! Which rows of an aggregate the events of a batch touch: shared out by partition, so that a partition reads what
//! concerns it from front to back.

use super::table::Place;
use crate::source::exchange::{EVERY_PARTITION, PARTITIONS, Starts, share_out};
use crate::sql::Value;

/// One event concerns one row (or, where `all`, every row) of an aggregate. What the fold needs of the event beside
/// its payload lies here: partitions are folded long after routing, when the event's own columns are out of reach
/// of the caches.
#[derive(Debug, Clone, Copy)]
pub struct Touch {
    pub event: u32,
    /// Where the payload lies: the batch's block, and the row in it.
    pub block: u32,
    pub row: u32,
    pub all: bool,
    pub hash: u64,
    pub place: Place,
    key_start: usize,
    key_len: u32,
    steps_start: u32,
    steps_len: u32,
}

/// A rule of `AggregatePlan::on` that runs for a touch, and the element of its `each`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step {
    pub rule: u16,
    /// Index into `Touches::elements`; `NO_ELEMENT`: the rule has no `each`.
    pub element: u32,
}

pub const NO_ELEMENT: u32 = u32::MAX;

/// The touches of one batch on one aggregate.
#[derive(Debug, Default)]
pub struct Touches {
    /// By partition: of the stream where the key lies within a stream, else of the key.
    starts: Starts,
    touches: Vec<Touch>,
    keys: Vec<u8>,
    /// Most events of a type have the same steps, so touches share them.
    steps: Vec<Step>,
    pub elements: Vec<Value>,
    /// Rows that go on under another key, by event.
    pub carries: Vec<Carry>,
    /// The value of `order_by`, by event; empty where the aggregate has none.
    pub order: Vec<(u32, i64)>,
}

/// The touches of one partition, in log order.
#[derive(Debug, Clone, Copy)]
pub struct Part<'a> {
    pub touches: &'a [Touch],
    keys: &'a [u8],
    steps: &'a [Step],
}

impl<'a> Part<'a> {
    /// The touches of one event.
    pub fn of_event(&self, event: u32) -> &'a [Touch] {
        let start = self.touches.partition_point(|t| t.event < event);
        let end = self.touches.partition_point(|t| t.event <= event);
        &self.touches[start..end]
    }

    #[inline]
    pub fn key(&self, touch: &Touch) -> &'a [u8] {
        &self.keys[touch.key_start..touch.key_start + touch.key_len as usize]
    }

    #[inline]
    pub fn steps(&self, touch: &Touch) -> &'a [Step] {
        &self.steps[touch.steps_start as usize..(touch.steps_start + touch.steps_len) as usize]
    }
}

/// Before the rules of this event, the values of the row `from` are copied to the row `to`; both by hash and key.
#[derive(Debug, Clone)]
pub struct Carry {
    pub event: u32,
    pub from: (u64, Vec<u8>),
    pub to: (u64, Vec<u8>),
}

impl Touches {
    pub fn part(&self, partition: usize) -> Part<'_> {
        Part { touches: &self.touches[self.starts.range(partition)], keys: &self.keys, steps: &self.steps }
    }

    pub fn parts(&self) -> impl Iterator<Item = Part<'_>> {
        (0..PARTITIONS).map(|partition| self.part(partition))
    }

    /// The memory that they take, in bytes.
    pub fn capacity(&self) -> usize {
        self.touches.capacity() * size_of::<Touch>() + self.keys.capacity() + self.steps.capacity() * size_of::<Step>()
    }

    /// Events and the partitions of their touches, in the order of the log, each pair once.
    pub fn by_event(&self) -> Vec<(u32, usize)> {
        let all = self.parts().enumerate().flat_map(|(partition, part)| part.touches.iter().map(move |touch| (touch.event, partition)));
        let mut pairs: Vec<(u32, usize)> = all.collect();
        pairs.sort_unstable();
        pairs.dedup();
        pairs
    }
}

/// Touches as routing finds them, event by event.
#[derive(Debug, Default)]
pub(super) struct Gathered {
    touches: Vec<Touch>,
    partitions: Vec<u8>,
    keys: Vec<u8>,
    steps: Vec<Step>,
    /// By block: the steps of its last touch.
    last_steps: Vec<(u32, u32)>,
    pub elements: Vec<Value>,
    pub carries: Vec<Carry>,
    pub order: Vec<(u32, i64)>,
}

/// Where an event's payload lies.
#[derive(Debug, Clone, Copy)]
pub(super) struct Payload {
    pub event: u32,
    pub block: u32,
    pub row: u32,
}

impl Gathered {
    /// A touch of the row with a key and its hash, which lies in `partition`.
    pub fn push(&mut self, payload: Payload, place: Place, partition: usize, (hash, key): (u64, &[u8]), steps: &[Step]) {
        self.add(payload, place, partition as u8, (hash, key), steps);
    }

    /// A touch of all rows.
    pub fn push_all(&mut self, payload: Payload, place: Place, steps: &[Step]) {
        self.add(payload, place, EVERY_PARTITION, (0, &[]), steps);
    }

    #[inline]
    fn add(&mut self, payload: Payload, place: Place, partition: u8, (hash, key): (u64, &[u8]), steps: &[Step]) {
        let (steps_start, steps_len) = self.shared(payload.block as usize, steps);
        let Payload { event, block, row } = payload;
        let (key_start, key_len, all) = (self.keys.len(), key.len() as u32, partition == EVERY_PARTITION);
        self.keys.extend_from_slice(key);
        self.partitions.push(partition);
        self.touches.push(Touch { event, block, row, all, hash, place, key_start, key_len, steps_start, steps_len });
    }

    /// Where steps lie, which are those of the block's last touch, mostly.
    #[inline]
    fn shared(&mut self, block: usize, steps: &[Step]) -> (u32, u32) {
        if block >= self.last_steps.len() {
            self.last_steps.resize(block + 1, (0, 0));
        }
        let (start, len) = self.last_steps[block];
        if self.steps[start as usize..(start + len) as usize] == *steps {
            return (start, len);
        }
        let found = (self.steps.len() as u32, steps.len() as u32);
        self.steps.extend_from_slice(steps);
        self.last_steps[block] = found;
        found
    }

    /// Takes the touches of the last event back, if they are those of `event`.
    pub fn forget(&mut self, event: u32) {
        while self.carries.last().is_some_and(|carry| carry.event == event) {
            self.carries.pop();
        }
        self.order.pop_if(|(ordered, _)| *ordered == event);
        while self.touches.last().is_some_and(|touch| touch.event == event) {
            self.touches.pop();
            self.partitions.pop();
        }
    }

    /// Shares the touches of a batch out; what was gathered is gone then. `spare`: touches whose memory is used again.
    pub fn share_out(&mut self, order: &mut Vec<u32>, spare: Touches) -> Touches {
        let Touches { mut touches, mut keys, mut steps, .. } = spare;
        let starts = share_out(&self.partitions, order);
        keys.clear();
        keys.reserve(self.keys.len());
        touches.clear();
        touches.extend(order.iter().map(|number| {
            let mut touch = self.touches[*number as usize];
            let key = &self.keys[touch.key_start..touch.key_start + touch.key_len as usize];
            touch.key_start = keys.len();
            keys.extend_from_slice(key);
            touch
        }));
        std::mem::swap(&mut steps, &mut self.steps);
        let Gathered { elements, carries, order, .. } = self;
        let (elements, carries, order) = (std::mem::take(elements), std::mem::take(carries), std::mem::take(order));
        self.touches.clear();
        self.partitions.clear();
        self.keys.clear();
        self.steps.clear();
        self.last_steps.clear();
        Touches { starts, touches, keys, steps, elements, carries, order }
    }
}
