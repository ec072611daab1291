//! The state of all folds, cut into lanes: lane p owns partition p of every aggregate and of every source's
//! streams. Lanes share nothing, so threads take lanes.

use std::sync::Arc;

use xxhash_rust::xxh3::xxh3_64;

use super::aside::StoppedStreams;
use crate::error::{Error, Kind};
use crate::fold::order::{BEFORE_ALL, key_and_rank};
use crate::fold::{PARTITIONS, Partition, Routed, partition_of};
use crate::project::{Aggregate, Project};
use crate::source::ids::IdSet;
use crate::source::sequence::Sequencer;
use crate::sql::Value;

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

/// What a snapshot that cannot be used means.
pub fn unusable(name: &str, why: &str) -> Error {
    Error::new(Kind::Internal, format!("the snapshot of `{name}` cannot be used: {why}"))
        .with_help("`foldline rebuild` makes it anew from the log")
}

/// What a snapshot knows of rows that are not there, by partition; nothing where the order is the log's.
pub fn absent_keys(lanes: &[Lane], index: usize) -> Vec<Option<(i64, u16)>> {
    let orders = lanes.iter().filter_map(|lane| lane.folds[index].table.order.as_ref());
    orders.map(|order| (order.absent > BEFORE_ALL).then(|| key_and_rank(order.absent))).collect()
}

/// Forgets all streams and ids of a source.
pub fn forget_streams(lanes: &mut [Lane], project: &Project, source: usize) {
    let definition = &project.sources[source];
    for lane in lanes {
        lane.sequencers[source] = Sequencer::new(definition.first_version, definition.order);
        lane.ids[source] = IdSet::default();
    }
}
