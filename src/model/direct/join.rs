//! Finding rows by their key: the hash table of a joined table, and a look for many rows at a time.

use std::hash::{BuildHasher, RandomState};

use rayon::prelude::*;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::rows::{At, NONE, at, part_of, rank, row_of};
use crate::sql::Column;
use crate::sql::column::Data;

/// Hash tables of a joined table that is not small.
const PARTITIONS_LOG2: u32 = 4;
const SMALL_ROWS: usize = 1 << 14;

/// Rows that are looked for at a time: that many waits for memory overlap.
const BLOCK_ROWS: usize = 64;

/// The rows of a table by their key: open addressing, at most half full.
pub(super) struct Index<'c> {
    /// By key column and part.
    key: &'c [Vec<&'c Column>],
    /// Keys come from a log: nobody shall know beforehand which of them meet.
    seed: u64,
    partitions: Vec<Vec<(u64, At)>>,
}

impl<'c> Index<'c> {
    /// `rows`: of each part.
    pub(super) fn new(key: &'c [Vec<&'c Column>], rows: &[usize]) -> Index<'c> {
        let mut index = Index { key, seed: RandomState::new().hash_one(0u8), partitions: Vec::new() };
        let of_part = |(part, rows): (usize, &usize)| {
            let hash = |row| index.hash(key.iter().map(|columns| Some((columns[part], row))));
            (0..*rows).map(|row| (hash(row).unwrap_or_default(), at(part, row))).collect::<Vec<_>>()
        };
        let hashed: Vec<Vec<(u64, At)>> = rows.par_iter().enumerate().map(of_part).collect();
        let bits = if rows.iter().sum::<usize>() < SMALL_ROWS { 0 } else { PARTITIONS_LOG2 };
        let partition = |number: usize| {
            let mine = || hashed.iter().flatten().filter(|(hash, _)| (hash & ((1 << bits) - 1)) as usize == number);
            let mut slots = vec![(0, NONE); (mine().count() * 2).next_power_of_two()];
            let mask = slots.len() - 1;
            for entry in mine() {
                let mut slot = first_slot(entry.0) & mask;
                while slots[slot].1 != NONE {
                    slot = (slot + 1) & mask;
                }
                slots[slot] = *entry;
            }
            slots
        };
        index.partitions = (0..1usize << bits).into_par_iter().map(partition).collect();
        index
    }

    /// The row of each key; [`NONE`] where no row has it. `keys`: one place per key column for each of so many keys, `None`
    /// where a row is not there.
    pub(super) fn find<K, I>(&self, count: usize, keys: K) -> Vec<At>
    where
        K: Fn(usize) -> I,
        I: Iterator<Item = Option<(&'c Column, usize)>>,
    {
        let mut found = Vec::with_capacity(count);
        let mut hashes = [None; BLOCK_ROWS];
        for start in (0..count).step_by(BLOCK_ROWS) {
            let block = start..count.min(start + BLOCK_ROWS);
            for (hash, key) in hashes.iter_mut().zip(block.clone()) {
                *hash = self.hash(keys(key));
            }
            // equal hashes are nearly always equal keys, so all loads of a step are under way at the same time
            found.extend(hashes[..block.len()].iter().map(|hash| hash.map_or(NONE, |hash| self.next(hash, None).1)));
            for key in block {
                let Some(hash) = hashes[key - start] else { continue };
                let (mut slot, mut row) = (None, found[key]);
                while row != NONE && !self.has(row, keys(key)) {
                    let passed = slot.unwrap_or_else(|| self.next(hash, None).0);
                    (slot, row) = {
                        let (next, row) = self.next(hash, Some(passed));
                        (Some(next), row)
                    };
                }
                found[key] = row;
            }
        }
        found
    }

    /// The next slot that has the hash, behind `passed`, and its row; [`NONE`] at the end of all that could.
    fn next(&self, hash: u64, passed: Option<usize>) -> (usize, At) {
        let slots = &self.partitions[hash as usize & (self.partitions.len() - 1)];
        let mask = slots.len() - 1;
        let mut slot = passed.map_or(first_slot(hash), |slot| slot + 1) & mask;
        while slots[slot].1 != NONE && slots[slot].0 != hash {
            slot = (slot + 1) & mask;
        }
        (slot, slots[slot].1)
    }

    fn has(&self, row: At, key: impl Iterator<Item = Option<(&'c Column, usize)>>) -> bool {
        self.key.iter().zip(key).all(|(columns, place)| place.is_some_and(|place| equal((columns[part_of(row)], row_of(row)), place)))
    }

    /// The hash of a key; `None` where a part of it is NULL, or of a row that is not there.
    fn hash(&self, key: impl Iterator<Item = Option<(&'c Column, usize)>>) -> Option<u64> {
        let mut whole = self.seed;
        for place in key {
            let (column, row) = place?;
            if column.nulls[row] {
                return None;
            }
            whole = match &column.data {
                Data::Text(texts) => xxh3_64_with_seed(texts[row].as_bytes(), whole),
                _ => xxh3_64_with_seed(&rank(column, row).to_le_bytes(), whole),
            };
        }
        Some(whole)
    }
}

/// The lowest bits have chosen the partition.
fn first_slot(hash: u64) -> usize {
    (hash >> PARTITIONS_LOG2) as usize
}

/// Neither is NULL, and both have one type.
fn equal(a: (&Column, usize), b: (&Column, usize)) -> bool {
    match (&a.0.data, &b.0.data) {
        (Data::Text(x), Data::Text(y)) => x[a.1].as_bytes() == y[b.1].as_bytes(),
        _ => rank(a.0, a.1) == rank(b.0, b.1),
    }
}
