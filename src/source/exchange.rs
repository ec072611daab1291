//! How work is shared out: streams and keys by the partition of their hash.

use std::ops::Range;

/// Into how many partitions streams and keys are cut; results do not depend on it.
pub const PARTITIONS: usize = 64;

/// In place of a partition: it concerns every one.
pub const EVERY_PARTITION: u8 = u8::MAX;

/// The partition of a hash: its top bits.
pub fn partition_of(hash: u64) -> usize {
    (hash >> (64 - PARTITIONS.ilog2())) as usize
}

/// Which of a list's entries each partition has, in the order of the list: a counting sort, so that what a partition
/// gets lies behind each other without a vector for each of them.
#[derive(Debug)]
pub struct Shares {
    /// Of each partition in `order`, and the end.
    starts: [u32; PARTITIONS + 1],
    order: Vec<u32>,
}

impl Shares {
    /// `partitions`: of each entry, or [`EVERY_PARTITION`].
    pub fn of(partitions: &[u8]) -> Shares {
        let mut starts = [0u32; PARTITIONS + 1];
        for &partition in partitions {
            match starts.get_mut(partition as usize + 1) {
                Some(count) => *count += 1,
                None => starts[1..].iter_mut().for_each(|count| *count += 1),
            }
        }
        for partition in 0..PARTITIONS {
            starts[partition + 1] += starts[partition];
        }
        let mut order = vec![0; starts[PARTITIONS] as usize];
        let mut next = starts;
        for (entry, &partition) in partitions.iter().enumerate() {
            let mine = if (partition as usize) < PARTITIONS { partition as usize..partition as usize + 1 } else { 0..PARTITIONS };
            for next in &mut next[mine] {
                order[*next as usize] = entry as u32;
                *next += 1;
            }
        }
        Shares { starts, order }
    }

    /// The entries, partition by partition.
    pub fn order(&self) -> &[u32] {
        &self.order
    }

    /// Where a partition's entries stand in that order.
    pub fn range(&self, partition: usize) -> Range<usize> {
        self.starts[partition] as usize..self.starts[partition + 1] as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_partition_gets_its_entries_in_their_order() {
        let partitions = [3, 0, EVERY_PARTITION, 3, 63];
        let shares = Shares::of(&partitions);
        for partition in 0..PARTITIONS {
            let expected: Vec<u32> = (0..5).filter(|i| [partition as u8, EVERY_PARTITION].contains(&partitions[*i as usize])).collect();
            assert_eq!(shares.order()[shares.range(partition)], expected, "partition {partition}");
        }
    }
}
