//! Lanes out of memory and back: their rows and streams as snapshot files.

use std::path::Path;
use std::sync::atomic::Ordering;

use rayon::prelude::*;

use super::tail::Tail;
use super::{Memory, lanes_of};
use crate::error::Result;
use crate::files;
use crate::fold::{self, PARTITIONS, Partition, Table};
use crate::project::{Aggregate, Project};
use crate::run::append::described;
use crate::run::lanes::Lane;
use crate::run::tally::place_in_scan;
use crate::run::{kept_rows, kept_streams, partitions};
use crate::sql::Type;
use crate::state::manifest::{self, DataFile};
use crate::state::{Store, parquet};

/// Rows that are away.
#[derive(Clone)]
pub enum Piece {
    /// This run has written them; once they are in memory again the file goes.
    Written(DataFile),
    /// The last generation's, which are what they were.
    Kept(manifest::Partition),
}

impl Piece {
    fn files(&self) -> Vec<&DataFile> {
        match self {
            Piece::Written(file) => vec![file],
            Piece::Kept(partition) => partition.files().collect(),
        }
    }

    /// Its files in memory, about: they are compressed.
    fn unpacked_bytes(&self) -> u64 {
        self.files().into_iter().map(unpacked_bytes).sum()
    }
}

/// The files that hold what is away. A lane may have several of a kind: they hold different rows.
pub struct Pieces {
    /// By aggregate and lane.
    pub(super) folds: Vec<Vec<Vec<Piece>>>,
    /// By source and lane.
    streams: Vec<Vec<Vec<DataFile>>>,
}

impl Pieces {
    pub fn new(project: &Project) -> Pieces {
        Pieces {
            folds: vec![vec![Vec::new(); PARTITIONS]; project.aggregates.len()],
            streams: vec![vec![Vec::new(); PARTITIONS]; project.sources.len()],
        }
    }
}

impl Pieces {
    /// About what a lane takes in memory, of what is away of it: its files are compressed.
    pub fn bytes(&self, lane: usize) -> u64 {
        let folds = self.folds.iter().flat_map(|of_lanes| &of_lanes[lane]).map(Piece::unpacked_bytes).sum::<u64>();
        folds + self.streams.iter().flat_map(|of_lanes| &of_lanes[lane]).map(unpacked_bytes).sum::<u64>()
    }

    /// The same for a partition of an aggregate.
    pub fn bytes_of(&self, index: usize, lane: usize) -> u64 {
        self.folds[index][lane].iter().map(Piece::unpacked_bytes).sum()
    }
}

/// About what a snapshot file takes in memory.
pub(super) fn unpacked_bytes(file: &DataFile) -> u64 {
    (file.bytes * UNPACKED_FACTOR).max(file.rows * ROW_BYTES)
}

/// What a snapshot file takes in memory, as a multiple of its size, about.
const UNPACKED_FACTOR: u64 = 4;

/// What a row takes beside its values, about.
const ROW_BYTES: u64 = 128;

/// What one lane has written.
struct Written {
    lane: usize,
    folds: Vec<(usize, DataFile)>,
    streams: Vec<(usize, DataFile)>,
}

impl Memory {
    /// Writes what leaves memory with the lanes whose bits are set, and frees it. Of the scan at hand also what waits, if
    /// its lines are collected; else events go on waiting in memory.
    pub(super) fn put_away(&mut self, project: &Project, store: &Store, lanes: &mut [Lane], chosen: u64) -> Result<()> {
        if let (Some(tail), true, false) = (&mut self.tail, self.leaves, self.taking_up) {
            for lane in lanes_of(chosen) {
                let sequencer = &mut lanes[lane].sequencers[self.source];
                for held in sequencer.held() {
                    let batch = &held.batch.batch;
                    let line = batch.events.line[held.event as usize];
                    // the tail knows the names of parts by itself
                    let origin = batch.origins.get(line as usize).cloned().unwrap_or_else(|| tail.origin(batch, line));
                    tail.take_waiting(lane, (place_in_scan(batch, line), &origin), batch.raw(line))?;
                }
                sequencer.forget_held();
            }
        }
        let (this, all) = (&*self, lanes.par_iter_mut().enumerate());
        let written = all.filter(|(lane, _)| chosen >> lane & 1 == 1).map(|(number, lane)| this.write_lane(project, store, number, lane));
        for written in written.collect::<Result<Vec<_>>>()? {
            for (index, file) in written.folds {
                self.pieces.folds[index][written.lane].push(Piece::Written(file));
            }
            for (source, file) in written.streams {
                self.pieces.streams[source][written.lane].push(file);
            }
            (0..project.aggregates.len()).for_each(|index| self.account.forget(written.lane, index));
        }
        files::failpoint("memory.put_away")?;
        self.away |= chosen;
        self.were_away |= chosen;
        Ok(())
    }

    /// Events of lanes that are away, which waited since an earlier run, wait with the lines that are to come.
    pub fn put_off_waiting(&mut self, project: &Project, store: &Store, source: usize, lanes: &mut [Lane]) -> Result<()> {
        if self.away == 0 || !self.sources[source] {
            return Ok(());
        }
        (self.source, self.leaves) = (source, true);
        self.tail.get_or_insert_with(|| Tail::new(self.folder.clone()));
        self.put_away(project, store, lanes, self.away)
    }

    fn write_lane(&self, project: &Project, store: &Store, number: usize, lane: &mut Lane) -> Result<Written> {
        let mut written = Written { lane: number, folds: Vec::new(), streams: Vec::new() };
        for (index, aggregate) in project.aggregates.iter().enumerate() {
            if self.aggregates[index] && !aggregate.spans_streams {
                let file = self.write_table(aggregate, store, number, &mut lane.folds[index])?;
                written.folds.extend(file.map(|file| (index, file)));
            }
        }
        for (source, definition) in project.sources.iter().enumerate().filter(|(source, _)| self.sources[*source]) {
            let streams = lane.sequencers[source].take_settled();
            if streams.is_empty() {
                continue;
            }
            let dir = store.fresh_data_dir("streams", &definition.name)?;
            let schema = kept_streams::schema(definition.order);
            let columns = || Ok(kept_streams::arrays(&streams.iter().collect::<Vec<_>>(), schema.len()));
            written.streams.push((source, write_piece(store, &dir.join(self.file_name(number)), &schema, columns)?));
        }
        Ok(written)
    }

    /// Names no file that exists.
    fn file_name(&self, lane: usize) -> String {
        format!("gen-{}-lane-{lane}-{}.parquet", self.generation, self.files_written.fetch_add(1, Ordering::Relaxed))
    }

    /// Writes the rows of a partition and forgets them; `None`: it had none.
    fn write_table(&self, aggregate: &Aggregate, store: &Store, lane: usize, fold: &mut Partition) -> Result<Option<DataFile>> {
        let table = std::mem::replace(&mut fold.table, Table::new(aggregate));
        if table.is_empty() {
            return Ok(None);
        }
        let dir = store.fresh_data_dir("snapshots", &aggregate.name)?;
        let columns = || partitions::arrays(&table.columns(&table.slots()).iter().map(|column| &**column).collect::<Vec<_>>());
        write_piece(store, &dir.join(self.file_name(lane)), &fold::stored_schema(aggregate), columns).map(Some)
    }

    /// The same for partitions of an aggregate whose key spans streams.
    pub(super) fn put_away_partitions(
        &mut self,
        project: &Project,
        index: usize,
        store: &Store,
        lanes: &mut [Lane],
        chosen: u64,
    ) -> Result<()> {
        let aggregate = &project.aggregates[index];
        let (this, all) = (&*self, lanes.par_iter_mut().enumerate());
        let chosen_ones = all.filter(|(lane, _)| chosen >> lane & 1 == 1);
        let written = chosen_ones.map(|(number, lane)| Ok((number, this.write_table(aggregate, store, number, &mut lane.folds[index])?)));
        for (lane, file) in written.collect::<Result<Vec<_>>>()? {
            self.pieces.folds[index][lane].extend(file.map(Piece::Written));
            self.account.forget(lane, index);
        }
        self.were_away |= chosen;
        Ok(())
    }

    /// Takes lanes up again: their files are read and removed.
    pub(super) fn take_up(&mut self, project: &Project, store: &Store, lanes: &mut [Lane], chosen: u64) -> Result<()> {
        let pieces = &self.pieces;
        lanes.par_iter_mut().enumerate().filter(|(number, _)| chosen >> number & 1 == 1).try_for_each(|(number, lane)| {
            let lane = std::slice::from_mut(lane);
            for (index, aggregate) in project.aggregates.iter().enumerate().filter(|(_, aggregate)| !aggregate.spans_streams) {
                restore_rows((index, aggregate), store, &pieces.folds[index][number], (number, lane))?;
            }
            for (source, definition) in project.sources.iter().enumerate() {
                let partition = |file: &DataFile| partition_of_lane(number, Some(file.clone()));
                let stream_partitions = pieces.streams[source][number].iter().map(partition).collect::<Vec<_>>();
                kept_streams::load_lane(lane, number, (source, definition), store, &stream_partitions)?;
            }
            Ok(())
        })?;
        for lane in lanes_of(chosen) {
            for (pieces, aggregate) in self.pieces.folds.iter_mut().zip(&project.aggregates) {
                if !aggregate.spans_streams {
                    remove(store, &mut pieces[lane])?;
                }
            }
            for pieces in &mut self.pieces.streams {
                pieces[lane].drain(..).try_for_each(|file| files::remove_file(&store.data_path(&file.path)))?;
            }
        }
        self.away &= !chosen;
        files::failpoint("memory.taken_up")
    }

    /// Takes up partitions of an aggregate whose key spans streams.
    pub(super) fn take_up_partitions(
        &mut self,
        project: &Project,
        index: usize,
        store: &Store,
        lanes: &mut [Lane],
        chosen: u64,
    ) -> Result<()> {
        let pieces = &mut self.pieces.folds[index];
        lanes.par_iter_mut().zip(&mut *pieces).enumerate().filter(|(number, _)| chosen >> number & 1 == 1).try_for_each(
            |(number, (lane, pieces))| {
                restore_rows((index, &project.aggregates[index]), store, pieces, (number, std::slice::from_mut(lane)))?;
                remove(store, pieces)
            },
        )
    }

    /// The partitions of an aggregate of which some are away, as a manifest names them; `None`: all are in memory.
    pub fn partitions(
        &mut self,
        project: &Project,
        index: usize,
        store: &Store,
        lanes: &mut [Lane],
    ) -> Result<Option<Vec<manifest::Partition>>> {
        if self.pieces.folds[index].iter().all(Vec::is_empty) {
            return Ok(None);
        }
        // what is away in one file stays as it is
        let is_whole = |lane: &usize| self.pieces.folds[index][*lane].len() == 1 && lanes[*lane].folds[index].table.is_empty();
        let (in_memory, in_pieces): (Vec<usize>, Vec<usize>) =
            lanes_of(u64::MAX).filter(|lane| !is_whole(lane)).partition(|lane| self.pieces.folds[index][*lane].is_empty());
        let in_memory = in_memory.into_iter().map(|lane| 1 << lane).sum();
        self.put_away_partitions(project, index, store, lanes, in_memory)?;
        for lane in in_pieces {
            self.take_up_partitions(project, index, store, lanes, 1 << lane)?;
            self.put_away_partitions(project, index, store, lanes, 1 << lane)?;
        }
        let of_this_run = self.pieces.folds[index].iter().flatten().filter(|piece| matches!(piece, Piece::Written(_)));
        sync(store, of_this_run.flat_map(Piece::files))?;
        let partition = |(lane, pieces): (usize, &Vec<Piece>)| match pieces.first() {
            Some(Piece::Kept(partition)) => partition.clone(),
            Some(Piece::Written(file)) => partition_of_lane(lane, Some(file.clone())),
            None => partition_of_lane(lane, None),
        };
        Ok(Some(self.pieces.folds[index].iter().enumerate().map(partition).collect()))
    }

    /// The partitions of a source's streams of which some are away, as a manifest names them; `None`: all are in memory.
    /// Nothing waits from then on: what waits is kept as text.
    pub fn stream_partitions(
        &mut self,
        project: &Project,
        source: usize,
        store: &Store,
        lanes: &mut [Lane],
    ) -> Result<Option<Vec<manifest::Partition>>> {
        if self.pieces.streams[source].iter().all(Vec::is_empty) {
            return Ok(None);
        }
        let definition = &project.sources[source];
        for (number, lane) in lanes.iter_mut().enumerate() {
            let pieces = &mut self.pieces.streams[source][number];
            let sequencer = &mut lane.sequencers[source];
            sequencer.forget_held();
            if pieces.len() == 1 && sequencer.streams().is_empty() {
                continue;
            }
            let partitions = pieces.drain(..).map(|file| partition_of_lane(number, Some(file))).collect::<Vec<_>>();
            kept_streams::load_lane(std::slice::from_mut(lane), number, (source, definition), store, &partitions)?;
            let streams = lane.sequencers[source].take_settled();
            if !streams.is_empty() {
                let schema = kept_streams::schema(definition.order);
                let columns = || Ok(kept_streams::arrays(&streams.iter().collect::<Vec<_>>(), schema.len()));
                let path = store.fresh_data_dir("streams", &definition.name)?.join(self.file_name(number));
                let file = write_piece(store, &path, &schema, columns)?;
                self.pieces.streams[source][number].push(file);
            }
        }
        sync(store, self.pieces.streams[source].iter().flatten())?;
        let partition = |(lane, pieces): (usize, &Vec<DataFile>)| partition_of_lane(lane, pieces.first().cloned());
        Ok(Some(self.pieces.streams[source].iter().enumerate().map(partition).collect()))
    }
}

/// A partition of one lane.
fn partition_of_lane(lane: usize, base: Option<DataFile>) -> manifest::Partition {
    let prefix_bits = PARTITIONS.ilog2() as u8;
    manifest::Partition { prefix_bits, prefix: lane as u64, base, deltas: Vec::new(), live_rows: None }
}

/// Writes a file that may be gone before anybody else hears of it.
fn write_piece(
    store: &Store,
    path: &Path,
    schema: &[(String, Type)],
    columns: impl Fn() -> Result<parquet::Batch> + Sync,
) -> Result<DataFile> {
    let info = parquet::write_groups_unsynced(path, schema, 1, |_| Ok(vec![columns()?]))?;
    Ok(described(store, path, info))
}

/// Makes files durable that a manifest is about to name.
fn sync<'f>(store: &Store, files: impl Iterator<Item = &'f DataFile>) -> Result<()> {
    files.collect::<Vec<_>>().into_par_iter().try_for_each(|file| files::sync_file(&store.data_path(&file.path)))
}

/// Removes files whose rows are in memory again.
fn remove(store: &Store, pieces: &mut Vec<Piece>) -> Result<()> {
    pieces.drain(..).try_for_each(|piece| match piece {
        Piece::Written(file) => files::remove_file(&store.data_path(&file.path)),
        Piece::Kept(_) => Ok(()),
    })
}

fn restore_rows(
    (index, aggregate): (usize, &Aggregate),
    store: &Store,
    pieces: &[Piece],
    (number, lane): (usize, &mut [Lane]),
) -> Result<()> {
    for piece in pieces {
        let partition = match piece {
            Piece::Written(file) => &partition_of_lane(number, Some(file.clone())),
            Piece::Kept(partition) => partition,
        };
        kept_rows::load_partition(lane, number, aggregate, index, store, partition)?;
    }
    Ok(())
}
