//! The records of a batch as the sequencer sees them: shared out by the partitions of their streams, each partition's
//! behind each other with all that a verdict needs. Partitions are sequenced long after a batch was decoded, when its
//! own columns are out of reach of the caches.

use super::batch::{Events, Route};
use super::exchange::{PARTITIONS, Starts, partition_of, share_out};

/// A record that has come for a stream.
#[derive(Debug, Clone, Copy)]
pub struct Arrival {
    /// The first event that it became.
    pub event: u32,
    /// How many events it became; they stand behind each other.
    pub parts: u32,
    /// Of the stream's name.
    pub hash: u64,
    pub version: Option<i64>,
    /// See [`Events::mark`].
    pub mark: u64,
    /// The first event's payload cannot be used.
    pub is_bad: bool,
    /// How many of its events somebody takes, and nobody does; bad ones are neither.
    pub taken: u32,
    pub filtered: u32,
    name_start: u32,
    name_len: u32,
}

/// The records of a batch by partition.
#[derive(Debug, Default)]
pub struct Arrivals {
    starts: Starts,
    arrivals: Vec<Arrival>,
    names: String,
}

/// Those of one partition, in log order.
#[derive(Debug, Clone, Copy)]
pub struct Mine<'a> {
    pub arrivals: &'a [Arrival],
    names: &'a str,
}

impl<'a> Mine<'a> {
    /// The name of a record's stream.
    pub fn stream(&self, arrival: &Arrival) -> &'a str {
        &self.names[arrival.name_start as usize..(arrival.name_start + arrival.name_len) as usize]
    }
}

impl Arrivals {
    /// Becomes the records of a batch. `taken`: by event, whether somebody takes it. `partitions` and `order` are used
    /// again from batch to batch.
    pub fn fill(&mut self, events: &Events, taken: &[bool], partitions: &mut Vec<u8>, order: &mut Vec<u32>) {
        let Arrivals { starts, arrivals, names } = self;
        let firsts: Vec<u32> = match events.followers.is_empty() {
            true => Vec::new(),
            false => (0..events.len() as u32).filter(|event| !events.is_follower(*event as usize)).collect(),
        };
        let event_of = |record: usize| firsts.get(record).map_or(record, |event| *event as usize);
        let records = events.len() - events.followers.len();
        partitions.clear();
        partitions.extend((0..records).map(|record| partition_of(events.stream_hash[event_of(record)]) as u8));
        *starts = share_out(partitions, order);
        arrivals.clear();
        names.clear();
        names.reserve(events.stream.bytes());
        let arrival = |record: &u32| {
            let event = event_of(*record as usize);
            let parts = events.parts(event);
            let (mut folded, mut filtered) = (0, 0);
            for (route, taken) in events.route[event..event + parts].iter().zip(&taken[event..event + parts]) {
                match route {
                    Route::Bad => {}
                    _ if *taken => folded += 1,
                    _ => filtered += 1,
                }
            }
            let (name, name_start) = (events.stream.get(event), names.len() as u32);
            names.push_str(name);
            Arrival {
                event: event as u32,
                parts: parts as u32,
                hash: events.stream_hash[event],
                version: events.version[event],
                mark: events.mark[event],
                is_bad: events.route[event] == Route::Bad,
                taken: folded,
                filtered,
                name_start,
                name_len: name.len() as u32,
            }
        };
        arrivals.extend(order.iter().map(arrival));
    }

    pub fn of_partition(&self, partition: usize) -> Mine<'_> {
        Mine { arrivals: &self.arrivals[self.starts.range(partition)], names: &self.names }
    }

    /// The memory that they take, in bytes.
    pub fn capacity(&self) -> usize {
        self.arrivals.capacity() * size_of::<Arrival>() + self.names.capacity()
    }

    /// All of them as if there were one partition, in log order.
    #[cfg(test)]
    pub fn all(&mut self) -> Mine<'_> {
        self.arrivals.sort_by_key(|arrival| arrival.event);
        Mine { arrivals: &self.arrivals, names: &self.names }
    }
}

const _: () = assert!(PARTITIONS <= u8::MAX as usize);
