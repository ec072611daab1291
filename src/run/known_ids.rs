//! The ids that a source has had (`dedupe = "id"`): shared out to the lanes by their hash, and kept over runs.

use rayon::prelude::*;

use super::append::data_file;
use super::lanes::{Lane, unusable};
use super::round::Sequenced;
use crate::error::Result;
use crate::fold::{PARTITIONS, partition_of};
use crate::source::Events;
use crate::source::ids::{IdSet, id_hash, sequence_by_id};
use crate::sql::{Type, Value};
use crate::state::manifest::{DataFile, Source};
use crate::state::{Frame, Store, parquet};

/// Ids of one file, at most.
const FILE_IDS: usize = 1 << 20;

/// So many files that are not full are read one by one; with one more they become one.
const SMALL_FILES_MAX: usize = 16;

/// Files that are taken up at a time: each takes up to 50 MB of memory meanwhile.
const FILES_AT_ONCE: usize = 4;

fn partition_of_id(id: u128) -> usize {
    partition_of((id >> 64) as u64)
}

/// Judges the events of a round by their ids: an exchange of its own, before the one by stream.
pub fn sequence(source: usize, lanes: &mut [Lane], batches: &[Sequenced]) {
    let shares: Vec<Vec<Vec<(u32, u128)>>> = batches.par_iter().map(|batch| share_out(&batch.routed.batch.events)).collect();
    lanes.par_iter_mut().enumerate().for_each(|(number, lane)| {
        for (batch, share) in batches.iter().zip(&shares) {
            sequence_by_id(&batch.routed.batch.events, &share[number], &batch.verdicts, &mut lane.ids[source]);
        }
    });
}

/// The first part of each record and the hash of its id, by partition of that hash, in log order. An event without an
/// id (a test's) is nobody's duplicate.
fn share_out(events: &Events) -> Vec<Vec<(u32, u128)>> {
    let mut shares = vec![Vec::new(); PARTITIONS];
    for event in (0..events.len()).filter(|event| !events.is_follower(*event) && !events.id.get(*event).is_empty()) {
        let id = id_hash(events.id.get(event));
        shares[partition_of_id(id)].push((event as u32, id));
    }
    shares
}

/// A replay has come to the ids that the last snapshot holds.
pub fn settle(lanes: &mut [Lane], source: usize) {
    lanes.iter_mut().for_each(|lane| lane.ids[source].settle());
}

/// About how much memory the ids of a source take.
pub fn memory_bytes(ids: u64) -> u64 {
    IdSet::memory_bytes(ids.div_ceil(PARTITIONS as u64)) * PARTITIONS as u64
}

fn schema() -> Vec<(String, Type)> {
    // 128 bits; what they are the hash of cannot be told from them
    vec![("id_hash".into(), Type::Uuid)]
}

/// Takes up the ids of the last snapshot.
pub fn load(lanes: &mut [Lane], source: usize, store: &Store, last: &Source) -> Result<()> {
    for files in last.ids.chunks(FILES_AT_ONCE) {
        let read = |file: &DataFile| {
            let mut shares = vec![Vec::new(); PARTITIONS];
            read(store, &last.name, file, |id| shares[partition_of_id(id)].push(id))?;
            Ok(shares)
        };
        let files = files.par_iter().map(read).collect::<Result<Vec<_>>>()?;
        lanes.par_iter_mut().enumerate().for_each(|(number, lane)| files.iter().for_each(|file| lane.ids[source].restore(&file[number])));
    }
    settle(lanes, source);
    Ok(())
}

fn read(store: &Store, source: &str, file: &DataFile, mut give: impl FnMut(u128)) -> Result<()> {
    let frame = parquet::read(&store.data_path(&file.path), &schema())?;
    for row in 0..frame.rows() {
        let id = frame.columns[0].get(row).as_int().ok_or_else(|| unusable(source, "an id is NULL"))?;
        give(id as u128);
    }
    Ok(())
}

/// Adds the ids that are new to the files of the last snapshot. `kept`: those files; none where every id is new.
pub fn save(lanes: &[Lane], source: usize, name: &str, store: &Store, generation: u64, kept: &[DataFile]) -> Result<Vec<DataFile>> {
    let mut fresh = lanes.iter().flat_map(|lane| lane.ids[source].fresh()).peekable();
    if fresh.peek().is_none() {
        return Ok(kept.to_vec());
    }
    let (small, mut files): (Vec<&DataFile>, Vec<DataFile>) = {
        let is_small = |file: &DataFile| file.rows < FILE_IDS as u64;
        let joins = kept.iter().filter(|file| is_small(file)).count() >= SMALL_FILES_MAX;
        let (small, others): (Vec<&DataFile>, Vec<&DataFile>) = kept.iter().partition(|file| joins && is_small(file));
        (small, others.into_iter().cloned().collect())
    };
    let dir = store.fresh_data_dir("streams", name)?;
    let mut waiting = Frame::empty(&schema());
    let mut number = 0;
    let mut write = |waiting: &mut Frame| -> Result<()> {
        if waiting.rows() > 0 {
            let frame = std::mem::replace(waiting, Frame::empty(&schema()));
            files.push(data_file(store, &dir.join(format!("gen-{generation}-ids-{number}.parquet")), &frame)?);
            number += 1;
        }
        Ok(())
    };
    for file in small {
        read(store, name, file, |id| waiting.columns[0].push(Value::Int(id as i128)))?;
        if waiting.rows() >= FILE_IDS {
            write(&mut waiting)?;
        }
    }
    for id in fresh {
        waiting.columns[0].push(Value::Int(id as i128));
        if waiting.rows() >= FILE_IDS {
            write(&mut waiting)?;
        }
    }
    write(&mut waiting)?;
    Ok(files)
}
