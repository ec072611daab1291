//! The state at the end of a run: what is taken up of the last one's, and what is written.

use super::append::Appender;
use super::decide::Decision;
use super::kept_rows;
use super::kept_streams;
use super::known_ids;
use super::lanes::{self, Lane};
use super::passing;
use super::quarantine;
use crate::error::Result;
use crate::fold::rows_schema;
use crate::model::event_columns;
use crate::project::{Aggregate, Order, Project};
use crate::report::{AggregateReport, FoldMode, Report};
use crate::state::Store;
use crate::state::manifest::{self, Manifest};

/// Takes up the last snapshot of whatever goes on from it.
pub fn load(project: &Project, store: &Store, last: Option<&Manifest>, decision: &Decision, lanes: &mut [Lane]) -> Result<()> {
    let Some(last) = last else { return Ok(()) };
    if lanes.is_empty() {
        return Ok(());
    }
    for (source, definition) in project.sources.iter().enumerate() {
        // a source that is sorted loads them itself
        let sequenced_anew = decision.replays(project, source) || definition.order != Order::Log;
        if let (false, false, Some(entry)) = (sequenced_anew, decision.intakes[source].fresh.is_empty(), last.source(&definition.name)) {
            kept_streams::load_streams(lanes, project, source, store, entry)?;
            quarantine::load(lanes, project, source, store, entry)?;
            passing::load(lanes, source, store, entry)?;
            known_ids::load(lanes, source, store, entry)?;
        }
    }
    for (index, aggregate) in project.aggregates.iter().enumerate() {
        if decision.concerns(project, index)
            && !decision.aggregate_replay[index]
            && let Some(entry) = last.aggregate(&aggregate.name)
        {
            kept_rows::load_aggregate(lanes, project, index, store, entry)?;
        }
    }
    Ok(())
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
    lanes: &[Lane],
    next: &mut Manifest,
    report: &mut Report,
) -> Result<()> {
    for (index, aggregate) in project.aggregates.iter().enumerate() {
        let kept = last.and_then(|m| m.aggregate(&aggregate.name)).filter(|_| !decision.aggregate_replay[index]);
        let folded = decision.concerns(project, index);
        let (partitions, absent) = match kept {
            Some(kept) if !folded => (kept.partitions.clone(), kept.absent.clone()),
            kept => {
                let partitions = kept_rows::save_aggregate(lanes, project, index, store, next.generation, kept)?;
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
        entry.stream_partitions = kept_streams::save_streams(lanes, project, source, store, next.generation, kept)?;
        entry.passed = passing::save(lanes, source, &entry.name, store, next.generation)?;
        let kept = kept.map_or(&[][..], |last| &last.ids);
        entry.ids = known_ids::save(lanes, source, &entry.name, store, next.generation, kept)?;
    }
    Ok(())
}
