//! `dedupe = "id"`: which ids a source has had. A record whose id was there before is a duplicate, whatever its stream,
//! its version and its content.

use hashbrown::HashTable;

use super::batch::Events;
use super::sequence::{Verdict, Verdicts};

/// 128 bits of the id's BLAKE3: nobody finds two ids that share them, also who chooses ids for that (2^64 attempts).
pub fn id_hash(id: &str) -> u128 {
    let mut first = [0; 16];
    first.copy_from_slice(&blake3::hash(id.as_bytes()).as_bytes()[..16]);
    u128::from_be_bytes(first)
}

/// The ids of one partition, by their hashes.
#[derive(Debug, Default)]
pub struct IdSet {
    known: HashTable<u128>,
    /// A snapshot holds what was known before; what has come since is listed in `fresh`.
    is_saved: bool,
    fresh: Vec<u128>,
}

impl IdSet {
    /// True where the id is new.
    fn insert(&mut self, id: u128) -> bool {
        let is_new = self.add(id);
        if is_new && self.is_saved {
            self.fresh.push(id);
        }
        is_new
    }

    fn add(&mut self, id: u128) -> bool {
        // partitions are told by the top bits; the low ones are as good as any
        let hash = |id: &u128| *id as u64;
        match self.known.entry(hash(&id), |known| *known == id, hash) {
            hashbrown::hash_table::Entry::Occupied(_) => false,
            hashbrown::hash_table::Entry::Vacant(place) => {
                place.insert(id);
                true
            }
        }
    }

    /// Takes up ids from a snapshot.
    pub fn restore(&mut self, ids: &[u128]) {
        self.known.reserve(ids.len(), |id| *id as u64);
        for id in ids {
            self.add(*id);
        }
    }

    /// A snapshot holds all ids that are known now.
    pub fn settle(&mut self) {
        self.is_saved = true;
        self.fresh.clear();
    }

    /// Those that no snapshot holds, in no order.
    pub fn fresh(&self) -> impl Iterator<Item = u128> {
        let (all, since) = if self.is_saved { (None, Some(self.fresh.iter())) } else { (Some(self.known.iter()), None) };
        all.into_iter().flatten().chain(since.into_iter().flatten()).copied()
    }

    /// How many ids it holds.
    pub fn len(&self) -> usize {
        self.known.len()
    }

    pub fn is_empty(&self) -> bool {
        self.known.is_empty()
    }

    /// The memory of a set of so many ids: 17 bytes for each place, of which between 7/16 and 7/8 are taken.
    pub fn memory_bytes(ids: u64) -> u64 {
        match ids {
            0 => 0,
            1..4 => 4 * 17 + 16,
            _ => (ids * 8 / 7).max(8).next_power_of_two() * 17 + 16,
        }
    }
}

/// Judges events of a batch by their ids, in log order. `mine`: the first part of each record whose id belongs to this
/// set, and the id's hash; the further parts share its verdict.
pub fn sequence_by_id(events: &Events, mine: &[(u32, u128)], verdicts: &Verdicts, ids: &mut IdSet) {
    for &(event, id) in mine {
        if !ids.insert(id) {
            verdicts.set(event as usize, events.parts(event as usize), Verdict::Duplicate);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_new_once_and_only_what_no_snapshot_holds_is_fresh() {
        let mut set = IdSet::default();
        assert!(set.insert(id_hash("a")) && set.insert(id_hash("b")) && !set.insert(id_hash("a")));
        assert_eq!((set.len(), set.fresh().count()), (2, 2));
        set.settle();
        assert_eq!(set.fresh().count(), 0);
        assert!(set.insert(id_hash("c")) && !set.insert(id_hash("b")));
        assert_eq!(set.fresh().collect::<Vec<_>>(), [id_hash("c")]);
        let mut restored = IdSet::default();
        restored.restore(&[id_hash("a"), id_hash("b")]);
        restored.settle();
        assert!(!restored.insert(id_hash("b")) && restored.insert(id_hash("c")));
    }

    #[test]
    fn the_memory_of_a_set_is_what_is_told_of_it() {
        let mut set = IdSet::default();
        for n in 0..20_000u64 {
            set.insert(id_hash(&n.to_string()));
            if n % 997 == 0 || n < 20 {
                assert_eq!(IdSet::memory_bytes(n + 1), set.known.allocation_size() as u64, "{} ids", n + 1);
            }
        }
    }
}
