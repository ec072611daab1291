//! A partition of a snapshot on disk: a base file, and deltas above it with what has changed since.
//!
//! A run writes what changed. A delta takes the place of those before it that are not much larger, so that each of them
//! has at least twice the rows of the next one and there are few; once they have grown to a part of the base,
//! everything becomes a new base. So a row is written a few times for each time that the partition changes wholly.

use std::ops::Range;
use std::path::PathBuf;

use rayon::prelude::*;

use super::append::described;
use super::lanes::unusable;
use crate::error::Result;
use crate::fold::PARTITIONS;
use crate::source::level::{BASE, Counts, FRESH, Level};
use crate::sql::{Column, Type};
use crate::state::arrow::to_arrow;
use crate::state::manifest::{DataFile, Partition};
use crate::state::parquet::{self, Batch};
use crate::state::{Frame, Store};

/// Rows of one base, about: fewer, and neighbouring lanes share a partition.
const BASE_ROWS: u64 = 1 << 19;

/// Rows of a row group, at least, where there are so many.
const GROUP_ROWS: usize = 1 << 16;

/// Deltas are merged with the base when they have more than one row for so many of the base's.
const BASE_ROWS_PER_CHANGE: u64 = 4;

/// Deltas above one base, at most.
const DELTAS_MAX: Level = 8;

/// What a lane holds of the rows of one partition.
pub trait Share: Sync {
    /// Whether something may have changed since the last snapshot.
    fn is_dirty(&self) -> bool;

    /// Whether the files of the last snapshot say nothing of these rows any more.
    fn is_made_anew(&self) -> bool;

    /// How many rows are there.
    fn rows(&self) -> u64;

    /// How many rows a file has that takes the place of those from a level on, by level; from 1 on with tombstones.
    fn counts(&self) -> Counts;

    /// The rows of a file that takes the place of those from a level on.
    fn since(&self, level: Level) -> Result<Batch>;
}

/// Where new files go.
pub struct Folder<'s> {
    pub store: &'s Store,
    pub dir: PathBuf,
    pub generation: u64,
}

/// Names and types of the columns of bases and of deltas.
pub struct Schemas {
    pub base: Vec<(String, Type)>,
    pub delta: Vec<(String, Type)>,
}

/// Into how many partitions the lanes are cut, as the number of bits of a prefix. `kept`: those of the last snapshot,
/// which stay while they are not far from what is wanted.
pub fn prefix_bits(rows: u64, kept: &[Partition]) -> u32 {
    let wanted = (rows / BASE_ROWS).checked_ilog2().map_or(0, |bits| (bits + 1).min(PARTITIONS.ilog2()));
    let kept = kept.first().map(|partition| partition.prefix_bits as u32).filter(|bits| *bits <= PARTITIONS.ilog2());
    kept.filter(|kept| kept.abs_diff(wanted) <= 1).unwrap_or(wanted)
}

/// The lanes of a partition; an error where there is no such one.
pub fn lanes_of(name: &str, partition: &Partition) -> Result<Range<usize>> {
    let most = PARTITIONS.ilog2();
    let bits = partition.prefix_bits as u32;
    if bits > most || partition.prefix >> bits != 0 {
        return Err(unusable(name, "a partition has a prefix that no row can have"));
    }
    let lanes = PARTITIONS >> bits;
    let first = partition.prefix as usize * lanes;
    Ok(first..first + lanes)
}

/// What has to be written of a partition.
#[derive(Debug, PartialEq, Eq)]
enum Write {
    Nothing,
    Base,
    /// In place of the deltas from this level on.
    Delta(Level),
}

/// `counts`: of all lanes of the partition.
fn decide(kept: &Partition, counts: &Counts) -> Write {
    let Some(base) = &kept.base else { return Write::Base };
    if counts[FRESH as usize] == 0 {
        return Write::Nothing;
    }
    let changed: u64 = counts[1..].iter().sum();
    if changed * BASE_ROWS_PER_CHANGE > base.rows || kept.deltas.len() >= FRESH as usize {
        return Write::Base;
    }
    let mut level = kept.deltas.len() as Level + 1;
    let mut rows = counts[FRESH as usize];
    while level > 1 && (level > DELTAS_MAX || counts[level as usize - 1] < 2 * rows) {
        level -= 1;
        rows += counts[level as usize];
    }
    Write::Delta(level)
}

/// Writes what changed of all partitions. `shares`: all lanes; `kept`: what the last snapshot has.
pub fn save_all(shares: &[impl Share], schemas: &Schemas, folder: &Folder, bits: u32, kept: &[Partition]) -> Result<Vec<Partition>> {
    let lanes = PARTITIONS >> bits;
    let save = |prefix: usize| {
        let is_same = |kept: &&Partition| (kept.prefix_bits as u32, kept.prefix) == (bits, prefix as u64);
        save(&shares[prefix * lanes..(prefix + 1) * lanes], schemas, folder, (bits, prefix), kept.iter().find(is_same))
    };
    (0..1usize << bits).into_par_iter().map(save).collect()
}

/// Hands each partition of a snapshot its lanes, and the number of the first one, side by side.
pub fn each<L: Send>(
    name: &str,
    partitions: &[Partition],
    lanes: &mut [L],
    take: impl Fn(&Partition, usize, &mut [L]) -> Result<()> + Sync,
) -> Result<()> {
    let mut partitions = partitions.iter().map(|partition| Ok((lanes_of(name, partition)?, partition))).collect::<Result<Vec<_>>>()?;
    partitions.sort_by_key(|(lanes, _)| lanes.start);
    let mut work = Vec::new();
    let (mut rest, mut at) = (lanes, 0);
    for (range, partition) in partitions {
        if range.start < at || range.end - at > rest.len() {
            return Err(unusable(name, "two partitions have the same rows"));
        }
        let (mine, others) = std::mem::take(&mut rest)[range.start - at..].split_at_mut(range.len());
        work.push((partition, range.start, mine));
        (rest, at) = (others, range.end);
    }
    work.into_par_iter().try_for_each(|(partition, first, lanes)| take(partition, first, lanes))
}

/// Writes what changed of a partition. `shares`: its lanes; `kept`: what the last snapshot has of just these rows.
pub fn save(
    shares: &[impl Share],
    schemas: &Schemas,
    folder: &Folder,
    (prefix_bits, prefix): (u32, usize),
    kept: Option<&Partition>,
) -> Result<Partition> {
    if let Some(kept) = kept
        && shares.iter().all(|share| !share.is_dirty())
    {
        return Ok(kept.clone());
    }
    let mut counts = [0; FRESH as usize + 1];
    shares.par_iter().map(Share::counts).collect::<Vec<_>>().iter().for_each(|of_lane| {
        counts.iter_mut().zip(of_lane).for_each(|(all, of_lane)| *all += of_lane);
    });
    let kept = kept.filter(|_| shares.iter().all(|share| !share.is_made_anew()));
    let live_rows = shares.iter().map(Share::rows).sum();
    let place = format!("gen-{}-{prefix_bits}-{prefix}", folder.generation);
    match kept.map_or(Write::Base, |kept| decide(kept, &counts)) {
        Write::Delta(level) => {
            let mut partition = kept.cloned().unwrap_or(empty(prefix_bits, prefix));
            partition.deltas.truncate(level as usize - 1);
            partition.deltas.extend(write(shares, &schemas.delta, folder, &format!("{place}-delta.parquet"), level)?);
            partition.live_rows = Some(live_rows);
            Ok(partition)
        }
        Write::Base => {
            let base = write(shares, &schemas.base, folder, &format!("{place}.parquet"), BASE)?;
            Ok(Partition { base, ..empty(prefix_bits, prefix) })
        }
        Write::Nothing => Ok(kept.cloned().unwrap_or(empty(prefix_bits, prefix))),
    }
}

fn empty(prefix_bits: u32, prefix: usize) -> Partition {
    Partition { prefix_bits: prefix_bits as u8, prefix: prefix as u64, base: None, deltas: Vec::new(), live_rows: None }
}

/// Writes a file with what stands at a level and above it; nothing where there are no rows.
fn write(shares: &[impl Share], columns: &[(String, Type)], folder: &Folder, name: &str, level: Level) -> Result<Option<DataFile>> {
    let rows = |share: &_| match level {
        BASE => Share::rows(share) as usize,
        level => Share::counts(share)[level as usize..].iter().sum::<u64>() as usize,
    };
    let rows: Vec<usize> = shares.iter().map(rows).collect();
    let groups = row_groups(&rows);
    if groups.is_empty() {
        return Ok(None);
    }
    let group = |number: usize| {
        let lanes = groups[number].clone();
        lanes.filter(|lane| rows[*lane] > 0).map(|lane| shares[lane].since(level)).collect()
    };
    let path = folder.dir.join(name);
    Ok(Some(described(folder.store, &path, parquet::write_groups(&path, columns, groups.len(), group)?)))
}

/// Ranges of neighbouring lanes whose rows together are enough for a row group. `rows`: those of each lane.
fn row_groups(rows: &[usize]) -> Vec<Range<usize>> {
    let mut groups: Vec<Range<usize>> = Vec::new();
    let mut open = 0;
    for (lane, rows) in rows.iter().enumerate().filter(|(_, rows)| **rows > 0) {
        match groups.last_mut() {
            Some(group) if open < GROUP_ROWS => group.end = lane + 1,
            _ => {
                groups.push(lane..lane + 1);
                open = 0;
            }
        }
        open += rows;
    }
    groups
}

/// Columns as Arrow has them.
pub fn arrays<C: std::borrow::Borrow<Column>>(columns: &[C]) -> Result<Batch> {
    columns.iter().map(|column| to_arrow(column.borrow())).collect()
}

/// Reads a partition's files, the newest first, row group by row group, some at a time. `take` is given the level of a
/// file and frames of it.
pub fn load(
    name: &str,
    partition: &Partition,
    store: &Store,
    schemas: &Schemas,
    mut take: impl FnMut(Level, Vec<Frame>) -> Result<()>,
) -> Result<()> {
    if partition.deltas.len() >= FRESH as usize {
        return Err(unusable(name, "it has more deltas than there can be"));
    }
    let deltas = partition.deltas.iter().enumerate().rev().map(|(number, file)| (number as Level + 1, file, &schemas.delta));
    for (level, file, columns) in deltas.chain(partition.base.iter().map(|base| (BASE, base, &schemas.base))) {
        let reader = parquet::Reader::open(&store.data_path(&file.path), columns)?;
        let groups: Vec<usize> = (0..reader.row_groups()).collect();
        for some in groups.chunks(rayon::current_num_threads().max(1)) {
            take(level, some.par_iter().map(|group| reader.read(*group)).collect::<Result<Vec<_>>>()?)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(rows: u64) -> DataFile {
        DataFile { path: String::new(), rows, bytes: 0, hash: String::new() }
    }

    fn kept(deltas: &[u64]) -> Partition {
        Partition { base: Some(file(10_000)), deltas: deltas.iter().map(|rows| file(*rows)).collect(), ..empty(0, 0) }
    }

    fn counts(deltas: &[u64], fresh: u64) -> Counts {
        let mut counts = [0; FRESH as usize + 1];
        counts[1..=deltas.len()].copy_from_slice(deltas);
        counts[FRESH as usize] = fresh;
        counts
    }

    #[test]
    fn a_delta_takes_in_those_before_it_that_are_not_twice_as_large() {
        let decide = |deltas: &[u64], fresh| decide(&kept(deltas), &counts(deltas, fresh));
        assert_eq!(decide(&[], 100), Write::Delta(1));
        assert_eq!(decide(&[200], 100), Write::Delta(2));
        assert_eq!(decide(&[199], 100), Write::Delta(1));
        assert_eq!(decide(&[500, 199], 100), Write::Delta(1));
        assert_eq!(decide(&[900, 199], 100), Write::Delta(2));
        assert_eq!(decide(&[900, 199], 0), Write::Nothing);
        assert_eq!(decide(&[1200, 600, 250, 100, 40, 16, 7, 2], 1), Write::Delta(8));
    }

    #[test]
    fn deltas_that_have_grown_to_a_quarter_of_the_base_become_part_of_it() {
        assert_eq!(decide(&kept(&[2_000]), &counts(&[2_000], 500)), Write::Delta(2));
        assert_eq!(decide(&kept(&[2_000]), &counts(&[2_000], 501)), Write::Base);
        assert_eq!(decide(&Partition { base: None, ..kept(&[]) }, &counts(&[], 1)), Write::Base);
    }

    #[test]
    fn a_partition_covers_the_lanes_whose_hashes_begin_with_its_prefix() {
        let partition = |prefix_bits, prefix| Partition { prefix_bits, prefix, ..empty(0, 0) };
        assert_eq!(lanes_of("a", &partition(0, 0)).unwrap(), 0..64);
        assert_eq!(lanes_of("a", &partition(2, 3)).unwrap(), 48..64);
        assert_eq!(lanes_of("a", &partition(6, 63)).unwrap(), 63..64);
        assert!(lanes_of("a", &partition(6, 64)).is_err());
        assert!(lanes_of("a", &partition(7, 1)).is_err());
    }
}
