//! The last versions of a source's streams in the files of a snapshot, and back in the lanes.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, LargeStringBuilder, UInt64Array};
use xxhash_rust::xxh3::xxh3_64;

use super::lanes::{Lane, unusable};
use super::partitions::{self, Folder, Schemas, Share};
use crate::error::Result;
use crate::fold::{Routed, partition_of};
use crate::project::{Order, Project};
use crate::source::level::{BASE, Counts, Level};
use crate::source::sequence::{Sequencer, Stream};
use crate::sql::Type;
use crate::state::manifest::{self, Partition};
use crate::state::parquet::{self, Batch};
use crate::state::{Frame, Store};

struct Streams<'s> {
    sequencer: &'s Sequencer<Arc<Routed>>,
    columns: usize,
}

impl Share for Streams<'_> {
    fn is_dirty(&self) -> bool {
        self.sequencer.dirty
    }

    fn is_made_anew(&self) -> bool {
        false
    }

    fn rows(&self) -> u64 {
        self.counts().iter().sum()
    }

    fn counts(&self) -> Counts {
        self.sequencer.counts()
    }

    fn since(&self, level: Level) -> Result<Batch> {
        let streams: Vec<&Stream> = self.sequencer.streams_since(level).collect();
        let mut names = LargeStringBuilder::with_capacity(streams.len(), streams.iter().map(|stream| stream.name.len()).sum());
        streams.iter().for_each(|stream| names.append_value(&stream.name));
        let whole =
            |part: fn(&Stream) -> i64| Arc::new(Int64Array::from_iter_values(streams.iter().map(|stream| part(stream)))) as ArrayRef;
        let mut arrays: Batch = vec![
            Arc::new(names.finish()),
            whole(|stream| stream.last.unwrap_or_default()),
            whole(|stream| stream.first),
            Arc::new(UInt64Array::from_iter_values(streams.iter().map(|stream| stream.mark))),
            whole(|stream| stream.sort_key),
        ];
        arrays.truncate(self.columns);
        Ok(arrays)
    }
}

/// What a source's streams have in a snapshot; the last column where the source is sorted.
fn schema(order: Order) -> Vec<(String, Type)> {
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

/// Streams do not go away: their deltas have no tombstones.
fn schemas(order: Order) -> Schemas {
    Schemas { base: schema(order), delta: schema(order) }
}

/// Writes the last versions that have changed; nothing where the source has no versions. `lanes`: all of them.
pub fn save_streams(
    lanes: &[Lane],
    project: &Project,
    source: usize,
    store: &Store,
    generation: u64,
    last: Option<&manifest::Source>,
) -> Result<Vec<Partition>> {
    let definition = &project.sources[source];
    let schemas = schemas(definition.order);
    let kept = last.map_or(&[][..], |last| &last.stream_partitions);
    let shares = lanes.iter().map(|lane| Streams { sequencer: &lane.sequencers[source], columns: schemas.base.len() });
    let shares: Vec<Streams> = shares.collect();
    let bits = partitions::prefix_bits(shares.iter().map(Share::rows).sum(), kept);
    let folder = Folder { store, dir: store.fresh_data_dir("streams", &definition.name)?, generation };
    partitions::save_all(&shares, &schemas, &folder, bits, kept)
}

/// Takes up a source's last versions.
pub fn load_streams(lanes: &mut [Lane], project: &Project, source: usize, store: &Store, last: &manifest::Source) -> Result<()> {
    let schemas = schemas(project.sources[source].order);
    partitions::each(&last.name, &last.stream_partitions, lanes, |partition, first, lanes| {
        partitions::load(&last.name, partition, store, &schemas, |level, frames| {
            frames.iter().try_for_each(|frame| take(lanes, first, source, &last.name, frame, level))
        })
    })?;
    // as older versions have written them
    for file in &last.streams {
        let frame = parquet::read(&store.data_path(&file.path), &schemas.base)?;
        take(lanes, 0, source, &last.name, &frame, BASE)?;
    }
    Ok(())
}

/// Takes up some streams. `lanes`: those of their partition, of which the first one has the number `first`.
fn take(lanes: &mut [Lane], first: usize, source: usize, name: &str, frame: &Frame, level: Level) -> Result<()> {
    let (names, whole) = (&frame.columns[0], |column: usize, row: usize| frame.columns.get(column).and_then(|c| c.whole(row)));
    let hashes: Vec<u64> = (0..frame.rows()).map(|row| xxh3_64(names.text(row).unwrap_or_default().as_bytes())).collect();
    let mut counts = vec![0; lanes.len()];
    for hash in &hashes {
        let count = partition_of(*hash).checked_sub(first).and_then(|lane| counts.get_mut(lane));
        *count.ok_or_else(|| unusable(name, "a stream lies in another partition than its name says"))? += 1;
    }
    lanes.iter_mut().zip(counts).for_each(|(lane, streams)| lane.sequencers[source].reserve(streams));
    for (row, hash) in hashes.into_iter().enumerate() {
        let (Some(stream), Some(version), Some(begins), Some(mark)) = (names.text(row), whole(1, row), whole(2, row), whole(3, row)) else {
            return Err(unusable(name, "a stream's version is NULL"));
        };
        let sort_key = whole(4, row).map_or(i64::MIN, |key| key as i64);
        let stream = Stream { name: stream.into(), hash, last: Some(version as i64), first: begins as i64, mark: mark as u64, sort_key };
        lanes[partition_of(hash) - first].sequencers[source].restore(stream, level);
    }
    Ok(())
}
