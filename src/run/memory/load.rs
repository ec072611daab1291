//! The last snapshot, of which no more is taken up than there is room for: the files of the others are their state.

use super::Memory;
use super::away::{Piece, unpacked_bytes};
use crate::error::Result;
use crate::fold::PARTITIONS;
use crate::project::Project;
use crate::run::lanes::Lane;
use crate::state::Store;
use crate::state::manifest;

/// Partitions that are taken up between two counts of the lanes.
pub const PARTITIONS_AT_ONCE: usize = 16;

impl Memory {
    /// Decides which lanes stay away from the beginning. `aggregates`: those that are taken up, by index.
    pub fn make_room(&mut self, project: &Project, aggregates: &[(usize, &manifest::Aggregate)], sources: &[&manifest::Source]) {
        let bytes =
            |entry: &manifest::Aggregate| entry.partitions.iter().flat_map(manifest::Partition::files).map(unpacked_bytes).sum::<u64>();
        let of_source = |source: &manifest::Source| {
            let files = source.streams.iter().chain(source.stream_partitions.iter().flat_map(manifest::Partition::files));
            files.map(unpacked_bytes).sum::<u64>()
        };
        let streams: u64 = sources.iter().map(|source| of_source(source)).sum();
        let mut total = streams + aggregates.iter().map(|(_, entry)| bytes(entry)).sum::<u64>();
        if total <= self.bytes_max {
            return;
        }
        let leaves = |(index, entry): &&(usize, &manifest::Aggregate)| self.aggregates[*index] && is_cut_by_lane(entry);
        let large = self.bytes_max / 16;
        for (index, entry) in aggregates.iter().filter(leaves).filter(|(index, _)| project.aggregates[*index].spans_streams) {
            if bytes(entry) > large {
                self.spanning_away[*index] = true;
                total -= bytes(entry);
            }
        }
        let of_lanes: u64 = aggregates
            .iter()
            .filter(leaves)
            .filter(|(index, _)| !project.aggregates[*index].spans_streams)
            .map(|(_, entry)| bytes(entry))
            .sum();
        let too_much = total.saturating_sub(self.bytes_max / 4 * 3);
        if of_lanes + streams > 0 && too_much > 0 {
            let lanes = (too_much as u128 * PARTITIONS as u128).div_ceil((of_lanes + streams) as u128).min(PARTITIONS as u128) as u32;
            self.away = !u64::MAX.checked_shr(lanes).unwrap_or(0);
            self.were_away |= self.away;
        }
    }

    /// What of an aggregate is to be taken up: the partitions that are not away.
    pub fn in_memory(&mut self, project: &Project, index: usize, entry: &manifest::Aggregate) -> manifest::Aggregate {
        let spans = project.aggregates[index].spans_streams;
        if !self.aggregates[index] || !is_cut_by_lane(entry) || !(if spans { self.spanning_away[index] } else { self.away != 0 }) {
            return entry.clone();
        }
        let mut entry = entry.clone();
        for partition in std::mem::take(&mut entry.partitions) {
            let is_away = spans || self.away >> partition.prefix & 1 == 1;
            if !is_away {
                entry.partitions.push(partition);
            } else if partition.base.is_some() {
                self.were_away |= 1 << partition.prefix;
                self.pieces.folds[index][partition.prefix as usize].push(Piece::Kept(partition));
            }
        }
        entry
    }

    /// Some files were taken up: what belongs to lanes that are away follows them, and others may have to.
    pub fn after_loading(&mut self, project: &Project, store: &Store, lanes: &mut [Lane]) -> Result<()> {
        if self.away != 0 {
            self.put_away(project, store, lanes, self.away)?;
        }
        for index in (0..self.spanning_away.len()).filter(|index| self.spanning_away[*index]).collect::<Vec<_>>() {
            self.put_away_partitions(project, index, store, lanes, u64::MAX)?;
        }
        self.put_away_what_is_too_much(project, store, lanes)
    }
}

/// Whether each file of a snapshot holds the rows of one lane.
fn is_cut_by_lane(entry: &manifest::Aggregate) -> bool {
    entry.partitions.iter().all(|partition| partition.prefix_bits as u32 == PARTITIONS.ilog2() && partition.prefix < PARTITIONS as u64)
}
