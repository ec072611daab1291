//! The state at the end of a run: what is taken up of the last one's, and what is written.

use super::append::Appender;
use super::decide::Decision;
use super::kept_rows;
use super::kept_streams;
use super::known_ids;
use super::lanes::{self, Lane};
use super::memory::{Memory, PARTITIONS_AT_ONCE};
use super::passing;
use super::quarantine;
use crate::error::Result;
use crate::fold::rows_schema;
use crate::model::event_columns;
use crate::project::{Aggregate, Order, Project};
use crate::report::{AggregateReport, FoldMode, Report};
use crate::state::Store;
use crate::state::manifest::{self, Manifest};

/// Takes up the last snapshot of whatever goes on from it, as far as `memory` has room.
pub fn load(
    project: &Project,
    store: &Store,
    last: Option<&Manifest>,
    decision: &Decision,
    (lanes, memory): (&mut [Lane], &mut Memory),
) -> Result<()> {
    let Some(last) = last else { return Ok(()) };
    if lanes.is_empty() {
        return Ok(());
    }
    let goes_on = |source: &usize| {
        // a source that is sorted loads them itself
        let sequenced_anew = decision.replays(project, *source) || project.sources[*source].order != Order::Log;
        !sequenced_anew && !decision.intakes[*source].fresh.is_empty()
    };
    let sources: Vec<(usize, &manifest::Source)> = (0..project.sources.len())
        .filter(goes_on)
        .filter_map(|source| Some((source, last.source(&project.sources[source].name)?)))
        .collect();
    let taken_up = |index: &usize| decision.concerns(project, *index) && !decision.aggregate_replay[*index];
    let aggregates: Vec<(usize, &manifest::Aggregate)> = (0..project.aggregates.len())
        .filter(taken_up)
        .filter_map(|index| Some((index, last.aggregate(&project.aggregates[index].name)?)))
        .collect();
    memory.make_room(project, &aggregates, &sources.iter().map(|(_, entry)| *entry).collect::<Vec<_>>());
    for (source, entry) in sources {
        for some in pieces_of_streams(entry) {
            kept_streams::load_streams(lanes, project, source, store, &some)?;
            memory.after_loading(project, store, lanes)?;
        }
        quarantine::load(lanes, project, source, store, entry)?;
        passing::load(lanes, source, store, entry)?;
        known_ids::load(lanes, source, store, entry)?;
    }
    for (index, entry) in aggregates {
        let entry = memory.in_memory(project, index, entry);
        for some in entry.partitions.chunks(PARTITIONS_AT_ONCE) {
            let some = manifest::Aggregate { partitions: some.to_vec(), ..entry.clone() };
            kept_rows::load_aggregate(lanes, project, index, store, &some)?;
            memory.after_loading(project, store, lanes)?;
        }
    }
    Ok(())
}

/// A source's streams, some partitions at a time, and what older versions have written.
fn pieces_of_streams(entry: &manifest::Source) -> Vec<manifest::Source> {
    let of_partitions = entry.stream_partitions.chunks(PARTITIONS_AT_ONCE);
    let mut all: Vec<manifest::Source> =
        of_partitions.map(|some| manifest::Source { stream_partitions: some.to_vec(), streams: Vec::new(), ..entry.clone() }).collect();
    if !entry.streams.is_empty() {
        all.push(manifest::Source { stream_partitions: Vec::new(), ..entry.clone() });
    }
    all
}

pub fn event_tables(
    project: &Project,
    store: &Store,
    last: Option<&Manifest>,
    decision: &Decision,
    generation: u64,
) -> Result<Vec<Option<Appender>>> {
    let tables = project.event_tables.iter().zip(&decision.event_table_replay);
    tables
        .map(|(table, replay)| {
            let kept = if *replay { None } else { last.and_then(|m| m.event_table(&table.event_type)) };
            let files = kept.map(|t| t.files.clone()).unwrap_or_default();
            Appender::new(store, generation, "events", &table.event_type, event_columns(table), files).map(Some)
        })
        .collect()
}

pub fn rows_tables(
    project: &Project,
    store: &Store,
    last: Option<&Manifest>,
    decision: &Decision,
    generation: u64,
) -> Result<Vec<Vec<Appender>>> {
    let aggregates = project.aggregates.iter().zip(&decision.aggregate_replay);
    aggregates
        .map(|(aggregate, replay)| {
            rows_tables_of(aggregate, store, if *replay { None } else { last.and_then(|m| m.aggregate(&aggregate.name)) }, generation)
        })
        .collect()
}

/// The rows tables of one aggregate, going on from those of a snapshot.
pub fn rows_tables_of(aggregate: &Aggregate, store: &Store, kept: Option<&manifest::Aggregate>, generation: u64) -> Result<Vec<Appender>> {
    (0..aggregate.rows.len())
        .map(|rows| {
            let name = &aggregate.rows[rows].name;
            let files = kept.and_then(|a| a.rows.iter().find(|r| r.name == *name)).map(|r| r.files.clone()).unwrap_or_default();
            let folder = format!("{}.rows.{name}", aggregate.name);
            Appender::new(store, generation, "snapshots", &folder, rows_schema(aggregate, rows), files)
        })
        .collect()
}

/// Writes snapshots and fills in the manifest's aggregates and streams.
pub fn save(
    project: &Project,
    store: &Store,
    last: Option<&Manifest>,
    decision: &Decision,
    (lanes, memory): (&mut [Lane], &mut Memory),
    next: &mut Manifest,
    report: &mut Report,
) -> Result<()> {
    for (index, aggregate) in project.aggregates.iter().enumerate() {
        let kept = last.and_then(|m| m.aggregate(&aggregate.name)).filter(|_| !decision.aggregate_replay[index]);
        let folded = decision.concerns(project, index);
        let (partitions, absent) = match kept {
            Some(kept) if !folded => (kept.partitions.clone(), kept.absent.clone()),
            kept => {
                let partitions = match memory.partitions(project, index, store, lanes)? {
                    Some(put_away) => put_away,
                    None => {
                        // what came back into memory stands in no file that is left
                        let kept = kept.filter(|_| !memory.was_away());
                        kept_rows::save_aggregate(lanes, project, index, store, next.generation, kept)?
                    }
                };
                (partitions, lanes::absent_keys(lanes, index))
            }
        };
        let events_folded = lanes.iter().map(|lane| lane.folds[index].events_folded).sum();
        report.aggregates.push(AggregateReport {
            name: aggregate.name.clone(),
            rows: partitions.iter().map(manifest::Partition::rows).sum(),
            events_folded,
            mode: match (decision.aggregate_replay[index], events_folded) {
                (true, _) => FoldMode::Replayed,
                (false, 0) => FoldMode::Unchanged,
                (false, _) => FoldMode::Incremental,
            },
            late_arrivals: 0,
            partitions_replayed: 0,
        });
        let fingerprint = aggregate.fingerprint.clone();
        next.aggregates.push(manifest::Aggregate { name: aggregate.name.clone(), fingerprint, partitions, absent, rows: Vec::new() });
    }
    for (source, entry) in next.sources.iter_mut().enumerate() {
        let read = !decision.intakes[source].fresh.is_empty() || decision.source_replay[source];
        let last = last.and_then(|m| m.source(&entry.name));
        if let (Some(last), false) = (last, read) {
            (entry.streams, entry.stream_partitions) = (last.streams.clone(), last.stream_partitions.clone());
            (entry.passed, entry.ids) = (last.passed.clone(), last.ids.clone());
            continue;
        }
        let kept = last.filter(|_| !decision.source_replay[source]);
        entry.stream_partitions = match memory.stream_partitions(project, source, store, lanes)? {
            Some(put_away) => put_away,
            None => {
                let kept = kept.filter(|_| !memory.was_away());
                kept_streams::save_streams(lanes, project, source, store, next.generation, kept)?
            }
        };
        entry.passed = passing::save(lanes, source, &entry.name, store, next.generation)?;
        let kept = kept.map_or(&[][..], |last| &last.ids);
        entry.ids = known_ids::save(lanes, source, &entry.name, store, next.generation, kept)?;
    }
    Ok(())
}
