//! Entries that lie elsewhere, by number, found by the hash of their keys.
//!
//! The hash lies beside the number: a probe reads one line of memory, and an entry only where 32 bits of the hash agree.
//! Linear probing; an entry that goes closes its gap, so nothing slows down with time.

use crate::prefetch::prefetch;

/// Numbers by hash. The caller compares keys, and sees that none is inserted twice.
#[derive(Debug, Default)]
pub struct Index {
    /// Power of two, or none. [`EMPTY`], or the hash's low half above the number.
    slots: Vec<u64>,
    len: usize,
}

const EMPTY: u64 = u64::MAX;
const SLOTS_MIN: usize = 16;

/// What is kept of a hash. The top bits are the partition's, and say nothing inside of one.
fn kept(hash: u64) -> u64 {
    hash << 32
}

impl Index {
    /// The slot where the search for what was kept of a hash begins: its top bits.
    #[inline(always)]
    fn home(&self, kept: u64) -> usize {
        (kept >> (64 - self.slots.len().trailing_zeros())) as usize
    }

    /// The number under a hash for which `is_it` is true.
    #[inline(always)]
    pub fn find(&self, hash: u64, mut is_it: impl FnMut(u32) -> bool) -> Option<u32> {
        if self.len == 0 {
            return None;
        }
        let (kept, mask) = (kept(hash), self.slots.len() - 1);
        let mut at = self.home(kept);
        loop {
            let slot = self.slots[at];
            if slot == EMPTY {
                return None;
            }
            if (slot ^ kept) >> 32 == 0 && is_it(slot as u32) {
                return Some(slot as u32);
            }
            at = (at + 1) & mask;
        }
    }

    /// Probably the number of the key that has this hash, if there is one: keys are not compared.
    #[inline(always)]
    pub fn probable(&self, hash: u64) -> Option<u32> {
        self.find(hash, |_| true)
    }

    /// Asks for the memory that [`Index::find`] will read.
    #[inline(always)]
    pub fn prefetch(&self, hash: u64) {
        if !self.slots.is_empty() {
            prefetch(&self.slots, self.home(kept(hash)));
        }
    }

    /// Makes room for so many more numbers.
    pub fn reserve(&mut self, more: usize) {
        let slots = ((self.len + more) * 4).div_ceil(3).next_power_of_two();
        if more > 0 && slots > self.slots.len() {
            self.grow_to(slots.max(SLOTS_MIN));
        }
    }

    pub fn insert(&mut self, hash: u64, number: u32) {
        debug_assert!(number != u32::MAX);
        if (self.len + 1) * 4 > self.slots.len() * 3 {
            self.grow_to((self.slots.len() * 2).max(SLOTS_MIN));
        }
        self.put(kept(hash) | number as u64);
        self.len += 1;
    }

    /// Takes a number out; nothing where it is not there.
    pub fn remove(&mut self, hash: u64, number: u32) {
        if self.len == 0 {
            return;
        }
        let (slot, mask) = (kept(hash) | number as u64, self.slots.len() - 1);
        let mut hole = self.home(slot);
        while self.slots[hole] != slot {
            if self.slots[hole] == EMPTY {
                return;
            }
            hole = (hole + 1) & mask;
        }
        self.len -= 1;
        let mut at = hole;
        loop {
            at = (at + 1) & mask;
            let slot = self.slots[at];
            if slot == EMPTY {
                break;
            }
            // it may stand in the hole if its search passes there
            let from_home = |place: usize| place.wrapping_sub(self.home(slot)) & mask;
            if from_home(hole) < from_home(at) {
                self.slots[hole] = slot;
                hole = at;
            }
        }
        self.slots[hole] = EMPTY;
    }

    fn put(&mut self, slot: u64) {
        let mask = self.slots.len() - 1;
        let mut at = self.home(slot);
        while self.slots[at] != EMPTY {
            at = (at + 1) & mask;
        }
        self.slots[at] = slot;
    }

    /// `slots`: a power of two.
    fn grow_to(&mut self, slots: usize) {
        let old = std::mem::replace(&mut self.slots, vec![EMPTY; slots]);
        // in the order of homes, nearly: the new table is filled from front to back
        old.into_iter().filter(|slot| *slot != EMPTY).for_each(|slot| self.put(slot));
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    /// Few different hashes, so that many entries collide.
    fn hash_of(key: u32, hashes: u32) -> u64 {
        let hash = (key % hashes) as u64;
        hash.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 3
    }

    #[test]
    fn what_goes_in_and_out_at_random_is_found_as_in_a_map() {
        for hashes in [1, 7, 1 << 20] {
            let (mut index, mut model, mut keys) = (Index::default(), BTreeMap::new(), Vec::new());
            let mut random = 12345u64;
            for step in 0..6000 {
                random = random.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
                let key = (random >> 33) as u32 % 300;
                let hash = hash_of(key, hashes);
                match model.get(&key) {
                    Some(number) if step % 3 == 0 => {
                        index.remove(hash, *number);
                        model.remove(&key);
                    }
                    Some(_) => {}
                    None => {
                        index.insert(hash, keys.len() as u32);
                        model.insert(key, keys.len() as u32);
                        keys.push(key);
                    }
                }
                if step % 50 == 0 {
                    for key in 0..300 {
                        let found = index.find(hash_of(key, hashes), |number| keys[number as usize] == key);
                        assert_eq!(found, model.get(&key).copied(), "key {key} of {hashes} hashes after step {step}");
                    }
                }
            }
        }
    }

    #[test]
    fn an_empty_index_finds_and_removes_nothing() {
        let mut index = Index::default();
        index.remove(1, 1);
        index.prefetch(1);
        assert_eq!(index.probable(1), None);
    }
}
