//! How many bytes the lanes hold.

use rayon::prelude::*;

use super::Memory;
use crate::fold::{PARTITIONS, Partition};
use crate::project::Project;
use crate::run::known_ids;
use crate::run::lanes::Lane;

/// What long texts and nested values of each table took when they were last looked at one by one. Until the table has
/// seen a quarter more events, they are taken to have grown with these.
pub struct Account {
    /// By lane and aggregate.
    looked: Vec<Vec<Looked>>,
}

#[derive(Clone, Copy, Default)]
struct Looked {
    heap_bytes: u64,
    /// What the partition had folded by then, and one; 0: nobody has looked since the table was taken up.
    events: u64,
}

impl Looked {
    fn bytes(&mut self, fold: &Partition) -> u64 {
        let events = fold.events_folded + 1;
        if self.events == 0 || events < self.events || events - self.events > self.events / 4 {
            *self = Looked { heap_bytes: fold.table.heap_bytes(), events };
        }
        let grown = self.heap_bytes as u128 * events as u128 / self.events as u128;
        fold.table.fixed_bytes() + grown as u64
    }
}

impl Account {
    pub fn new(project: &Project) -> Account {
        Account { looked: vec![vec![Looked::default(); project.aggregates.len()]; PARTITIONS] }
    }

    /// The table of a partition is another one.
    pub fn forget(&mut self, lane: usize, index: usize) {
        self.looked[lane][index] = Looked::default();
    }
}

/// What is in memory, in bytes.
pub struct Held {
    /// By lane: what leaves memory with it.
    pub lanes: Vec<u64>,
    /// By aggregate whose key spans streams: what may leave memory.
    pub spanning: Vec<u64>,
    /// What cannot leave memory.
    pub staying: u64,
    /// Batches of which some event waits.
    pub waiting: u64,
}

impl Held {
    pub fn total(&self) -> u64 {
        self.lanes.iter().chain(&self.spanning).sum::<u64>() + self.staying + self.waiting
    }
}

impl Memory {
    /// What the lanes hold now.
    pub(super) fn held(&mut self, project: &Project, lanes: &[Lane]) -> Held {
        self.watched.retain(|(batch, _)| batch.strong_count() > 0);
        let (sources, aggregates) = (&self.sources, &self.aggregates);
        // of a lane: what leaves with it, what does not, and its partitions of what spans streams
        let count = |(lane, looked): (&Lane, &mut Vec<Looked>)| {
            let (mut leaves, mut stays, mut spanning) = (0, 0, vec![0; looked.len()]);
            for (index, (fold, looked)) in lane.folds.iter().zip(looked).enumerate() {
                let bytes = looked.bytes(fold);
                match (aggregates[index], project.aggregates[index].spans_streams) {
                    (false, _) => stays += bytes,
                    (true, true) => spanning[index] = bytes,
                    (true, false) => leaves += bytes,
                }
            }
            for (source, sequencer) in lane.sequencers.iter().enumerate() {
                *(if sources[source] { &mut leaves } else { &mut stays }) += sequencer.memory_bytes();
            }
            (leaves, stays, spanning)
        };
        let counted: Vec<_> = lanes.par_iter().zip(&mut self.account.looked).map(count).collect();
        let ids = |source: usize| known_ids::memory_bytes(lanes.iter().map(|lane| lane.ids[source].len() as u64).sum());
        Held {
            lanes: counted.iter().map(|(leaves, ..)| *leaves).collect(),
            spanning: (0..project.aggregates.len()).map(|index| counted.iter().map(|(.., spanning)| spanning[index]).sum()).collect(),
            staying: counted.iter().map(|(_, stays, _)| stays).sum::<u64>() + (0..project.sources.len()).map(ids).sum::<u64>(),
            waiting: self.watched.iter().map(|(_, bytes)| bytes).sum(),
        }
    }
}
