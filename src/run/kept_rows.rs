//! An aggregate's rows in the files of a snapshot, and back in the lanes.

use std::ops::Range;

use hashbrown::HashSet;
use rayon::prelude::*;
use xxhash_rust::xxh3::xxh3_64;

use super::lanes::{Lane, unusable};
use super::partitions::{self, Folder, Schemas, Share};
use crate::error::Result;
use crate::fold::key::Keys;
use crate::fold::order::order_key;
use crate::fold::saved::{BASE, Counts, Level};
use crate::fold::{self, Table, partition_of};
use crate::project::{Aggregate, Project};
use crate::sql::Column;
use crate::sql::column::Data;
use crate::state::manifest::{self, Partition};
use crate::state::parquet::Batch;
use crate::state::{Frame, Store};

struct Rows<'t>(&'t Table);

impl Share for Rows<'_> {
    fn is_dirty(&self) -> bool {
        self.0.dirty
    }

    fn is_made_anew(&self) -> bool {
        self.0.is_made_anew
    }

    fn rows(&self) -> u64 {
        self.0.len() as u64
    }

    fn counts(&self) -> Counts {
        self.0.counts()
    }

    fn since(&self, level: Level) -> Result<Batch> {
        match level {
            BASE => partitions::arrays(&self.0.columns(&self.0.slots()).iter().map(|column| &**column).collect::<Vec<_>>()),
            level => partitions::arrays(&self.0.changes_since(level)),
        }
    }
}

fn schemas(aggregate: &Aggregate) -> Schemas {
    Schemas { base: fold::stored_schema(aggregate), delta: fold::delta_schema(aggregate) }
}

/// Writes what changed of an aggregate since its last snapshot. `lanes`: all of them.
pub fn save_aggregate(
    lanes: &[Lane],
    project: &Project,
    index: usize,
    store: &Store,
    generation: u64,
    last: Option<&manifest::Aggregate>,
) -> Result<Vec<Partition>> {
    let aggregate = &project.aggregates[index];
    let kept = last.map_or(&[][..], |last| &last.partitions);
    let total = lanes.iter().map(|lane| lane.folds[index].table.len() as u64).sum();
    let bits = partitions::prefix_bits(total, kept);
    let folder = Folder { store, dir: store.fresh_data_dir("snapshots", &aggregate.name)?, generation };
    let schemas = schemas(aggregate);
    let shares: Vec<Rows> = lanes.iter().map(|lane| Rows(&lane.folds[index].table)).collect();
    partitions::save_all(&shares, &schemas, &folder, bits, kept)
}

/// Takes up an aggregate's snapshot.
pub fn load_aggregate(lanes: &mut [Lane], project: &Project, index: usize, store: &Store, last: &manifest::Aggregate) -> Result<()> {
    for (lane, absent) in lanes.iter_mut().zip(&last.absent) {
        if let (Some(order), Some((key, rank))) = (&mut lane.folds[index].table.order, absent) {
            order.restore_absent(order_key(*key, *rank));
        }
    }
    partitions::each(&last.name, &last.partitions, lanes, |partition, first, lanes| {
        load_partition(lanes, first, &project.aggregates[index], index, store, partition)
    })
}

/// Takes up one partition. `lanes`: its own, of which the first one has the number `first`; they have no rows yet.
pub fn load_partition(
    lanes: &mut [Lane],
    first: usize,
    aggregate: &Aggregate,
    index: usize,
    store: &Store,
    partition: &Partition,
) -> Result<()> {
    let mut tables: Vec<Loading> = lanes.iter_mut().map(|lane| Loading::new(&mut lane.folds[index].table)).collect();
    let has_deltas = !partition.deltas.is_empty();
    partitions::load(&aggregate.name, partition, store, &schemas(aggregate), |level, frames| {
        let pieces = frames.into_par_iter().map(|frame| Piece::new(aggregate, frame, level)).collect::<Result<Vec<_>>>()?;
        let lanes = first..first + tables.len();
        if pieces.iter().flat_map(|piece| &piece.runs).any(|(lane, _)| !lanes.contains(lane)) {
            return Err(unusable(&aggregate.name, "a row lies in another partition than its key says"));
        }
        tables.par_iter_mut().enumerate().for_each(|(number, table)| {
            for piece in &pieces {
                for (_, rows) in piece.runs.iter().filter(|(lane, _)| *lane == first + number) {
                    if has_deltas { table.take_newest(piece, rows.clone(), level) } else { table.take_all(piece, rows.clone()) }
                }
            }
        });
        Ok(())
    })
}

/// Some rows of a file.
struct Piece {
    columns: Vec<Column>,
    keys: Keys,
    /// By row, in a delta: there is no row any more.
    tombstones: Vec<bool>,
    /// Rows that follow each other in one lane.
    runs: Vec<(usize, Range<usize>)>,
}

impl Piece {
    fn new(aggregate: &Aggregate, frame: Frame, level: Level) -> Result<Piece> {
        let mut columns = frame.columns;
        let tombstones = match columns.pop_if(|_| level != BASE) {
            Some(Column { data: Data::Bool(tombstones), .. }) => tombstones,
            _ => Vec::new(),
        };
        let key_columns = &columns[..aggregate.keys.len()];
        let keys = Keys::of(key_columns).ok_or_else(|| unusable(&aggregate.name, "a key is NULL"))?;
        let mut stream = String::new();
        let mut lane_of = |row: usize| match &aggregate.stream {
            Some(pattern) if !aggregate.spans_streams => {
                pattern.fill_into(key_columns.iter().map(|column| column.text(row).unwrap_or_default()), &mut stream);
                partition_of(xxh3_64(stream.as_bytes()))
            }
            _ if aggregate.spans_streams => partition_of(keys.hashes[row]),
            _ => partition_of(xxh3_64(b"")),
        };
        let mut runs: Vec<(usize, Range<usize>)> = Vec::new();
        for row in 0..keys.len() {
            let lane = lane_of(row);
            match runs.last_mut() {
                Some((last, rows)) if *last == lane => rows.end = row + 1,
                _ => runs.push((lane, row..row + 1)),
            }
        }
        Ok(Piece { columns, keys, tombstones, runs })
    }
}

/// A table that is filled from files, the newest first.
struct Loading<'t> {
    table: &'t mut Table,
    /// The hashes of the keys that deltas have.
    seen: HashSet<u64>,
    buried: HashSet<Box<[u8]>>,
}

impl Loading<'_> {
    fn new(table: &mut Table) -> Loading<'_> {
        Loading { table, seen: HashSet::new(), buried: HashSet::new() }
    }

    fn take_all(&mut self, piece: &Piece, rows: Range<usize>) {
        self.table.restore(&piece.columns, &piece.keys, rows, BASE);
    }

    /// Takes the rows and tombstones whose keys no newer file has.
    fn take_newest(&mut self, piece: &Piece, rows: Range<usize>, level: Level) {
        let keys = &piece.keys;
        let is_known =
            |hash: u64, key: &[u8]| self.seen.contains(&hash) && (self.table.find(hash, key).is_some() || self.buried.contains(key));
        let newest: Vec<u32> = rows.clone().filter(|row| !is_known(keys.hashes[*row], keys.get(*row))).map(|row| row as u32).collect();
        if level != BASE {
            self.seen.extend(newest.iter().map(|row| keys.hashes[*row as usize]));
        }
        let is_buried = |row: &u32| piece.tombstones.get(*row as usize) == Some(&true);
        let (buried, live): (Vec<u32>, Vec<u32>) = newest.into_iter().partition(is_buried);
        for row in buried {
            let key = keys.get(row as usize);
            self.table.restore_buried(key, level);
            self.buried.insert(key.into());
        }
        if live.len() == rows.len() {
            self.table.restore(&piece.columns, keys, rows, level);
        } else {
            let columns: Vec<Column> = piece.columns.iter().map(|column| column.gather(&live)).collect();
            self.table.restore(&columns, &keys.gather(&live), 0..live.len(), level);
        }
    }
}
