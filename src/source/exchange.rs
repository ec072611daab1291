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

/// Where each partition's entries begin in a list that was shared out, and where the last one's end.
#[derive(Debug, Clone)]
pub struct Starts([u32; PARTITIONS + 1]);

impl Default for Starts {
    fn default() -> Self {
        Starts([0; PARTITIONS + 1])
    }
}

impl Starts {
    /// The places of a partition's entries.
    #[inline]
    pub fn range(&self, partition: usize) -> Range<usize> {
        self.0[partition] as usize..self.0[partition + 1] as usize
    }
}

/// Which of a list's entries each partition has: a counting sort, so that what a partition gets lies behind each other
/// without a vector for each of them. `partitions`: of each entry, or [`EVERY_PARTITION`]. `order` becomes the entries'
/// numbers, partition by partition, those of one in the order of the list.
pub fn share_out(partitions: &[u8], order: &mut Vec<u32>) -> Starts {
    let mut starts = Starts::default();
    for &partition in partitions {
        match starts.0.get_mut(partition as usize + 1) {
            Some(count) => *count += 1,
            None => starts.0[1..].iter_mut().for_each(|count| *count += 1),
        }
    }
    for partition in 0..PARTITIONS {
        starts.0[partition + 1] += starts.0[partition];
    }
    order.clear();
    order.resize(starts.0[PARTITIONS] as usize, 0);
    let mut next = starts.0;
    for (entry, &partition) in partitions.iter().enumerate() {
        let mine = if (partition as usize) < PARTITIONS { partition as usize..partition as usize + 1 } else { 0..PARTITIONS };
        for next in &mut next[mine] {
            order[*next as usize] = entry as u32;
            *next += 1;
        }
    }
    starts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_partition_gets_its_entries_in_their_order() {
        let partitions = [3, 0, EVERY_PARTITION, 3, 63];
        let mut order = vec![7; 2];
        let starts = share_out(&partitions, &mut order);
        for partition in 0..PARTITIONS {
            let expected: Vec<u32> = (0..5).filter(|i| [partition as u8, EVERY_PARTITION].contains(&partitions[*i as usize])).collect();
            assert_eq!(order[starts.range(partition)], expected, "partition {partition}");
        }
    }
}
