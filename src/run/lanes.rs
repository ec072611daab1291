//! The state of all folds, cut into lanes: lane p owns partition p of every aggregate and of every source's
//! streams. Lanes share nothing, so threads take lanes.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, LargeStringBuilder, UInt64Array};
use rayon::prelude::*;
use xxhash_rust::xxh3::xxh3_64;

use super::append::described;
use super::aside::StoppedStreams;
use crate::error::{Error, Kind, Result};
use crate::fold::order::{BEFORE_ALL, key_and_rank, order_key};
use crate::fold::{self, PARTITIONS, Partition, Routed, key, partition_of};
use crate::project::{Aggregate, Order, Project};
use crate::source::ids::IdSet;
use crate::source::sequence::{Sequencer, Stream};
use crate::sql::{Column, Type, Value};
use crate::state::arrow::to_arrow;
use crate::state::{Store, manifest, parquet};

/// Rows of one snapshot file, about: fewer, and neighbouring partitions share a file.
const FILE_ROWS: u64 = 1 << 16;

/// Rows of a row group of a snapshot file, at least, where there are so many.
const GROUP_ROWS: usize = 1 << 16;

pub struct Lane {
    /// By source.
    pub sequencers: Vec<Sequencer<Arc<Routed>>>,
    /// By source: the ids whose hash is of this partition.
    pub ids: Vec<IdSet>,
    /// By source: the streams that stand still.
    pub stopped: Vec<StoppedStreams>,
    /// By aggregate.
    pub folds: Vec<Partition>,
}

/// Lanes in which nothing has happened yet.
pub fn empty(project: &Project) -> Vec<Lane> {
    (0..PARTITIONS)
        .map(|_| Lane {
            sequencers: project.sources.iter().map(|s| Sequencer::new(s.first_version, s.order)).collect(),
            ids: project.sources.iter().map(|_| IdSet::default()).collect(),
            stopped: vec![StoppedStreams::default(); project.sources.len()],
            folds: project.aggregates.iter().map(Partition::new).collect(),
        })
        .collect()
}

/// The lane of a row by its key.
pub fn lane_of(aggregate: &Aggregate, key_bytes: &[u8], values: &[Value]) -> usize {
    if aggregate.spans_streams {
        return partition_of(xxh3_64(key_bytes));
    }
    let stream = aggregate.stream.as_ref().map(|pattern| pattern.fill(values.iter().map(|v| v.as_text().unwrap_or_default())));
    partition_of(xxh3_64(stream.unwrap_or_default().as_bytes()))
}

/// Takes up an aggregate's snapshot.
pub fn load_aggregate(lanes: &mut [Lane], project: &Project, index: usize, store: &Store, last: &manifest::Aggregate) -> Result<()> {
    let aggregate = &project.aggregates[index];
    let schema = fold::stored_schema(aggregate);
    for (lane, absent) in lanes.iter_mut().zip(&last.absent) {
        if let (Some(order), Some((key, rank))) = (&mut lane.folds[index].table.order, absent) {
            order.restore_absent(order_key(*key, *rank));
        }
    }
    let files: Vec<&manifest::Partition> = last.partitions.iter().filter(|p| p.base.is_some()).collect();
    let rows = files
        .par_iter()
        .map(|partition| {
            let Some(base) = &partition.base else { return Ok(None) };
            let frame = parquet::read(&store.data_path(&base.path), &schema)?;
            let keys = aggregate.keys.len();
            let mut rows = Vec::with_capacity(frame.rows());
            for row in 0..frame.rows() {
                let values: Vec<Value> = frame.columns[..keys].iter().map(|c| c.get(row)).collect();
                let mut bytes = Vec::new();
                if !key::encode(&values, &mut bytes) {
                    return Err(unusable(&aggregate.name, "a key is NULL"));
                }
                rows.push((lane_of(aggregate, &bytes, &values) as u8, bytes));
            }
            Ok(Some((frame, rows)))
        })
        .collect::<Result<Vec<_>>>()?;
    lanes.par_iter_mut().enumerate().for_each(|(number, lane)| {
        for (frame, rows) in rows.iter().flatten() {
            for (row, (_, key)) in rows.iter().enumerate().filter(|(_, (lane, _))| *lane as usize == number) {
                lane.folds[index].table.restore(&frame.columns, row, key);
            }
        }
    });
    Ok(())
}

/// What a snapshot that cannot be used means.
pub fn unusable(name: &str, why: &str) -> Error {
    Error::new(Kind::Internal, format!("the snapshot of `{name}` cannot be used: {why}"))
        .with_help("`foldline rebuild` makes it anew from the log")
}

/// Writes an aggregate's snapshot; files of partitions in which nothing changed are kept.
pub fn save_aggregate(
    lanes: &[Lane],
    project: &Project,
    index: usize,
    store: &Store,
    generation: u64,
    last: Option<&manifest::Aggregate>,
) -> Result<Vec<manifest::Partition>> {
    let aggregate = &project.aggregates[index];
    let total: u64 = lanes.iter().map(|lane| lane.folds[index].table.len() as u64).sum();
    let most = PARTITIONS.ilog2();
    let bits = (total / FILE_ROWS).checked_ilog2().map_or(0, |bits| (bits + 1).min(most));
    let dir = store.fresh_data_dir("snapshots", &aggregate.name)?;
    let per_file = PARTITIONS >> bits;
    let schema = fold::stored_schema(aggregate);
    (0..1usize << bits)
        .into_par_iter()
        .map(|prefix| {
            let mine = &lanes[prefix * per_file..(prefix + 1) * per_file];
            let kept = last.and_then(|l| l.partitions.iter().find(|p| p.prefix_bits as u32 == bits && p.prefix == prefix as u64));
            if let Some(kept) = kept
                && mine.iter().all(|lane| !lane.folds[index].table.dirty)
            {
                return Ok(kept.clone());
            }
            let rows: Vec<Vec<u32>> = mine.iter().map(|lane| lane.folds[index].table.slots()).collect();
            let groups = row_groups(rows.iter().map(Vec::len));
            let group = |number: usize| {
                let lanes = groups[number].clone();
                mine[lanes.clone()]
                    .iter()
                    .zip(&rows[lanes])
                    .filter(|(_, rows)| !rows.is_empty())
                    .map(|(lane, rows)| arrays(&lane.folds[index].table.columns(rows)))
                    .collect()
            };
            let base = if groups.is_empty() {
                None
            } else {
                let path = dir.join(format!("gen-{generation}-{bits}-{prefix}.parquet"));
                Some(described(store, &path, parquet::write_groups(&path, &schema, groups.len(), group)?))
            };
            Ok(manifest::Partition { prefix_bits: bits as u8, prefix: prefix as u64, base, deltas: Vec::new() })
        })
        .collect()
}

/// Ranges of neighbouring lanes whose rows together are enough for a row group. `rows`: those of each lane.
fn row_groups(rows: impl Iterator<Item = usize>) -> Vec<Range<usize>> {
    let mut groups: Vec<Range<usize>> = Vec::new();
    let mut open = 0;
    for (lane, rows) in rows.enumerate() {
        match groups.last_mut() {
            Some(group) if open < GROUP_ROWS || rows == 0 => group.end = lane + 1,
            _ if rows == 0 => continue,
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
fn arrays<'c>(columns: &[impl std::ops::Deref<Target = Column> + 'c]) -> Result<Vec<ArrayRef>> {
    columns.iter().map(|column| to_arrow(column)).collect()
}

/// What a snapshot knows of rows that are not there, by partition; nothing where the order is the log's.
pub fn absent_keys(lanes: &[Lane], index: usize) -> Vec<Option<(i64, u16)>> {
    let orders = lanes.iter().filter_map(|lane| lane.folds[index].table.order.as_ref());
    orders.map(|order| (order.absent > BEFORE_ALL).then(|| key_and_rank(order.absent))).collect()
}

/// What a source's streams have in a snapshot; the last column where the source is sorted.
fn stream_schema(order: Order) -> Vec<(String, Type)> {
    let mut columns = vec![
        ("stream".into(), Type::Varchar),
        ("version".into(), Type::BigInt),
        ("first_version".into(), Type::BigInt),
        ("mark".into(), Type::UBigInt),
    ];
    if order != Order::Log {
        columns.push(("sort_key".into(), Type::BigInt));
    }
    columns
}

/// Forgets all streams and ids of a source.
pub fn forget_streams(lanes: &mut [Lane], project: &Project, source: usize) {
    let definition = &project.sources[source];
    for lane in lanes {
        lane.sequencers[source] = Sequencer::new(definition.first_version, definition.order);
        lane.ids[source] = IdSet::default();
    }
}

/// Takes up a source's last versions.
pub fn load_streams(lanes: &mut [Lane], project: &Project, source: usize, store: &Store, last: &manifest::Source) -> Result<()> {
    for file in &last.streams {
        let frame = parquet::read(&store.data_path(&file.path), &stream_schema(project.sources[source].order))?;
        for row in 0..frame.rows() {
            let values: Vec<Value> = frame.columns.iter().map(|c| c.get(row)).collect();
            let (Some(name), Some(version), Some(first), Some(mark)) =
                (values[0].as_text(), values[1].as_int(), values[2].as_int(), values[3].as_int())
            else {
                return Err(unusable(&last.name, "a stream's version is NULL"));
            };
            let hash = xxh3_64(name.as_bytes());
            let sort_key = values.get(4).and_then(Value::as_int).map_or(i64::MIN, |key| key as i64);
            let lane = &mut lanes[partition_of(hash)];
            lane.sequencers[source].restore(name, hash, version as i64, first as i64, mark as u64, sort_key);
        }
    }
    Ok(())
}

/// Writes the last version of every stream of a source; nothing where the source has no versions.
pub fn save_streams(lanes: &[Lane], project: &Project, source: usize, store: &Store, generation: u64) -> Result<Vec<manifest::DataFile>> {
    let dir = store.fresh_data_dir("streams", &project.sources[source].name)?;
    let schema = stream_schema(project.sources[source].order);
    let total: usize = lanes.iter().map(|lane| lane.sequencers[source].streams().len()).sum();
    let per_file = (PARTITIONS as u64 * FILE_ROWS * 4 / (total as u64).max(1)).clamp(1, PARTITIONS as u64) as usize;
    lanes
        .par_chunks(per_file)
        .enumerate()
        .map(|(number, lanes)| {
            let known = |lane: &Lane| lane.sequencers[source].streams().iter().filter(|stream| stream.last.is_some()).count();
            let groups = row_groups(lanes.iter().map(known));
            if groups.is_empty() {
                return Ok(None);
            }
            let group = |number: usize| {
                let lanes = lanes[groups[number].clone()].iter();
                lanes.map(|lane| stream_arrays(lane.sequencers[source].streams(), schema.len())).collect()
            };
            let path = dir.join(format!("gen-{generation}-{number}.parquet"));
            Ok(Some(described(store, &path, parquet::write_groups(&path, &schema, groups.len(), group)?)))
        })
        .collect::<Result<Vec<_>>>()
        .map(|files| files.into_iter().flatten().collect())
}

/// The first `columns` columns of [`stream_schema`], of the streams of which something has passed.
fn stream_arrays(streams: &[Stream], columns: usize) -> Result<Vec<ArrayRef>> {
    let known = || streams.iter().filter(|stream| stream.last.is_some());
    let mut names = LargeStringBuilder::with_capacity(streams.len(), known().map(|stream| stream.name.len()).sum());
    known().for_each(|stream| names.append_value(&stream.name));
    let whole = |part: fn(&Stream) -> i64| Arc::new(Int64Array::from_iter_values(known().map(part))) as ArrayRef;
    let mut arrays: Vec<ArrayRef> = vec![
        Arc::new(names.finish()),
        whole(|stream| stream.last.unwrap_or_default()),
        whole(|stream| stream.first),
        Arc::new(UInt64Array::from_iter_values(known().map(|stream| stream.mark))),
        whole(|stream| stream.sort_key),
    ];
    arrays.truncate(columns);
    Ok(arrays)
}
