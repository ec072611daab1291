//! `[[test]]`: given events, then rows. Folded in memory by the same fold, without a store.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::lanes;
use super::passing::pass_holes;
use super::round::{Sequenced, Work, accepted, append_events, conflict_reason, fold_round, in_log_order, take_failures};
use super::spares::Spares;
use crate::error::{Error, Result};
use crate::fold::carry::fold_event;
use crate::fold::order::{OrderKey, order_key};
use crate::fold::watch::{Outcome, Watch};
use crate::fold::{self, Partition, Routed};
use crate::model::{AggregateInput, Engine, Inputs, Limits, TableInput, event_columns};
use crate::printable::printable;
use crate::project::{OnGap, Order, Project, Test};
use crate::source::{Batch, Decoder};
use crate::sql::{self, Column, Type, Value};
use crate::state::{Frame, parquet};

/// One line per expectation that does not hold; empty: the test passed.
pub type Failures = Vec<String>;

/// Behind the last part of the record that an event is a part of.
fn record_end(routed: &Routed, event: u32) -> u32 {
    let events = &routed.batch.events;
    (event + 1..events.len() as u32).find(|next| !events.is_follower(*next as usize)).unwrap_or(events.len() as u32)
}

/// The given events by source, those of a source that is sorted in its order.
fn in_order(project: &Project, test: &Test, route: impl Fn(Batch) -> Routed) -> Result<Vec<(usize, Arc<Routed>)>> {
    let mut versions = hashbrown::HashMap::new();
    let mut out: Vec<(usize, Arc<Routed>)> = Vec::new();
    let mut at = 0;
    while at < test.given.len() {
        let Some(source) = test.given[at].source else {
            return Err(Error::new(crate::error::Kind::Project, format!("the test `{}` gives an event without its source", test.name))
                .at(test.place.clone())
                .with_help("with several sources each given event names its own: `source = \"shop\"`"));
        };
        let same = test.given[at..].iter().take_while(|g| g.source == Some(source)).count();
        let end = at + if project.sources[source].order == Order::Log { same } else { 1 };
        let batch = Decoder::new(project, source).given(&test.given[at..end], at, &mut versions)?;
        out.push((source, Arc::new(route(batch))));
        at = end;
    }
    for (source, definition) in project.sources.iter().enumerate().filter(|(_, definition)| definition.order != Order::Log) {
        let places: Vec<usize> = (0..out.len()).filter(|place| out[*place].0 == source).collect();
        let mut sorted: Vec<_> = places.iter().map(|place| out[*place].1.clone()).collect();
        sorted.sort_by_key(|routed| routed.batch.events.sort_key(definition.order, 0));
        places.into_iter().zip(sorted).for_each(|(place, routed)| out[place].1 = routed);
    }
    Ok(out)
}

type TextRows = Vec<Vec<Option<String>>>;

/// Runs one test. `Err`: the test itself cannot run.
pub fn run_test(project: &Project, test: &Test) -> Result<Failures> {
    let (mut failures, _) = run_given(project, test, false)?;
    if !failures.is_empty() {
        // once more, with somebody watching
        let (_, notes) = run_given(project, test, true)?;
        failures.extend(notes);
    }
    Ok(failures)
}

/// What does not hold, and where it is watched, what might be the reason.
fn run_given(project: &Project, test: &Test, watched: bool) -> Result<(Failures, Vec<String>)> {
    let mut lanes = lanes::empty(project);
    let mut notes = Vec::new();
    if watched {
        let of_aggregates = lanes.iter_mut().flat_map(|lane| lane.folds.iter_mut());
        of_aggregates.for_each(|fold| fold.watch = Some(Box::new(Watch::all())));
    }
    let spares = Spares::new(watched);
    let active = vec![true; project.aggregates.len()];
    let mut failures = Vec::new();
    let mut batches: Vec<Sequenced> = Vec::new();
    // of the aggregates that have an `order_by`
    let mut ordered: Vec<Vec<(OrderKey, Arc<Routed>, u32)>> = vec![Vec::new(); project.aggregates.len()];
    let mut last_positions = vec![None; project.sources.len()];
    for (source, routed) in in_order(project, test, |batch| spares.route(batch, project, &active))? {
        for bad in &routed.batch.bad {
            failures.push(format!("given event {}: {}", bad.line + 1, bad.reason));
        }
        let round = fold_round(project, source, &Work::fold(project, &active), &mut lanes, vec![routed], &mut last_positions[source]);
        for (batch, event) in &round.conflicts {
            let batch = &round.batches[*batch].routed.batch;
            failures.push(of_event(batch, *event, &conflict_reason(batch, *event)));
        }
        notes.extend(nulls(project, test, &mut lanes));
        for failure in in_log_order(&take_failures(&mut lanes)) {
            failures.push(of_event(&failure.batch.batch, failure.event, &failure.reason));
        }
        for index in (0..project.aggregates.len()).filter(|index| project.aggregates[*index].has_order_by) {
            let rank = project.aggregates[index].rank(source);
            for batch in &round.batches {
                accepted(index, batch, &mut |routed, event, key| {
                    ordered[index].push((order_key(key, rank), routed.clone(), event));
                    Ok(())
                })?;
            }
        }
        batches.extend(round.batches);
    }
    for (index, aggregate) in project.aggregates.iter().enumerate() {
        let order = &mut ordered[index];
        order.sort_by_key(|(key, ..)| *key);
        let mut parts: Vec<&mut Partition> = lanes.iter_mut().map(|lane| &mut lane.folds[index]).collect();
        for (key, routed, event) in order.iter() {
            for part in *event..record_end(routed, *event) {
                fold_event(aggregate, index, &mut parts, (routed, part), *key);
            }
        }
    }
    for failure in take_failures(&mut lanes) {
        failures.push(of_event(&failure.batch.batch, failure.event, &failure.reason));
    }
    for source in (0..project.sources.len()).filter(|source| project.sources[*source].on_gap == OnGap::Skip) {
        batches.extend(pass_holes(project, source, &active, &mut lanes).map(|round| round.released));
        failures.extend(take_failures(&mut lanes).iter().map(|f| of_event(&f.batch.batch, f.event, &f.reason)));
    }
    for gap in lanes.iter().flat_map(|lane| lane.sequencers.iter().flat_map(|s| s.gaps())) {
        failures.push(of_event(&gap.batch.batch, gap.event, &gap.reason()));
    }
    let frames: Vec<Frame> = project.aggregates.iter().enumerate().map(|(index, _)| frame(project, index, &lanes)).collect();
    let mut engine = None;
    for (name, expected) in &test.then {
        let (columns, rows) = match project.aggregates.iter().position(|a| a.name == *name) {
            Some(index) => text_rows(&frames[index]),
            None => {
                if engine.is_none() {
                    engine = Some(open(project, &frames, &lanes, &batches)?);
                }
                let Some((engine, _)) = &engine else { continue };
                let (names, rows) = engine.text_rows(name, None)?;
                let model = project.read_models.iter().find(|m| m.name == *name);
                let types = model.map(|m| engine.columns(m)).transpose()?.unwrap_or_default();
                let columns = names.into_iter().map(|n| {
                    let ty = types.iter().find(|(c, _)| *c == n).and_then(|(_, ty)| sql::parse_column(ty).ok()).map(|c| c.ty);
                    (n, ty)
                });
                (columns.collect(), rows)
            }
        };
        compare(name, &columns, &rows, expected, &mut failures);
    }
    Ok((failures, notes))
}

/// The rules that did not apply because their `when` was NULL, which is easily overlooked; of the aggregates that the test
/// names, or of all where it names a read model.
fn nulls(project: &Project, test: &Test, lanes: &mut [lanes::Lane]) -> Vec<String> {
    let is_aggregate = |name: &String| project.aggregates.iter().any(|a| a.name == *name);
    let all = !test.then.iter().all(|(name, _)| is_aggregate(name));
    let mut found: Vec<(u32, String)> = Vec::new();
    for fold in lanes.iter_mut().flat_map(|lane| lane.folds.iter_mut().zip(&project.aggregates)) {
        let (Some(watch), aggregate) = (fold.0.watch.as_mut(), fold.1) else { continue };
        let named = all || test.then.iter().any(|(name, _)| *name == aggregate.name);
        for seen in std::mem::take(&mut watch.seen).iter().filter(|_| named) {
            for rule in seen.rules.iter().filter(|rule| rule.outcome == Outcome::Null) {
                let note = of_event(&seen.batch.batch, seen.event, &format!("{} did not apply: its `when` is NULL", rule.label));
                found.push((seen.batch.batch.events.line[seen.event as usize], format!("note: {note}")));
            }
        }
    }
    found.sort();
    found.dedup();
    found.into_iter().map(|(_, note)| note).collect()
}

/// A failure at one of the test's given events.
fn of_event(batch: &Batch, event: u32, reason: &str) -> String {
    format!("given event {}: {reason}", batch.events.line[event as usize] + 1)
}

/// An aggregate's rows in all lanes.
fn frame(project: &Project, index: usize, lanes: &[lanes::Lane]) -> Frame {
    let mut frame = Frame::empty(&fold::schema(&project.aggregates[index]));
    for lane in lanes {
        let table = &lane.folds[index].table;
        for (column, part) in frame.columns.iter_mut().zip(table.columns(&table.slots())) {
            column.append(part.into_owned());
        }
    }
    frame
}

fn text_rows(frame: &Frame) -> (Vec<(String, Option<Type>)>, TextRows) {
    let columns = frame.schema().into_iter().map(|(name, ty)| (name, Some(ty))).collect();
    let text = |column: &Column, row: usize| sql::to_text(&column.get(row), &column.ty);
    let rows = (0..frame.rows()).map(|row| frame.columns.iter().map(|c| text(c, row)).collect()).collect();
    (columns, rows)
}

/// An engine over the folded rows, in a folder that goes with it.
fn open(project: &Project, frames: &[Frame], lanes: &[lanes::Lane], batches: &[Sequenced]) -> Result<(Engine, tempfile::TempDir)> {
    let folder = tempfile::tempdir().map_err(|e| Error::io("create the folder", &std::env::temp_dir(), e))?;
    let mut number = 0;
    let mut store = |frame: &Frame| -> Result<Vec<std::path::PathBuf>> {
        if frame.rows() == 0 {
            return Ok(Vec::new());
        }
        number += 1;
        let path = folder.path().join(format!("{number}.parquet"));
        parquet::write(&path, frame)?;
        Ok(vec![path])
    };
    let mut inputs = Inputs::typed_empty(project);
    for (index, aggregate) in project.aggregates.iter().enumerate() {
        let table = TableInput {
            name: aggregate.name.clone(),
            columns: frames[index].schema(),
            files: store(&frames[index])?,
            ..TableInput::default()
        };
        let mut rows = Vec::new();
        for (i, definition) in aggregate.rows.iter().enumerate() {
            let schema = fold::rows_schema(aggregate, i);
            let mut frame = Frame::empty(&schema);
            for lane in lanes {
                for (column, part) in frame.columns.iter_mut().zip(&lane.folds[index].rows[i].columns) {
                    column.append(part.clone());
                }
            }
            rows.push(TableInput { name: definition.name.clone(), columns: schema, files: store(&frame)?, ..TableInput::default() });
        }
        inputs.aggregates[index] = AggregateInput { table, rows };
    }
    for (number, definition) in project.event_tables.iter().enumerate() {
        let mut frame = Frame::empty(&event_columns(definition));
        for batch in batches {
            append_events(number, batch, &mut frame.columns);
        }
        inputs.event_tables[number].files = store(&frame)?;
    }
    inputs.as_of = batches.iter().flat_map(|b| b.routed.batch.events.time.iter().flatten()).max().copied();
    let limits = Limits { threads: 1, memory_bytes: 1 << 30, temp_dir: folder.path().join("duckdb") };
    let mut engine = Engine::open(&inputs, &limits)?;
    engine.define_all(&project.read_models.iter().collect::<Vec<_>>(), &[])?;
    Ok((engine, folder))
}

/// Each expected row must stand for a row of its own that agrees in every named column.
fn compare(
    name: &str,
    columns: &[(String, Option<Type>)],
    rows: &[Vec<Option<String>>],
    expected: &[BTreeMap<String, Option<String>>],
    failures: &mut Failures,
) {
    let mut used = vec![false; rows.len()];
    for row in expected {
        let mut wanted: Vec<(usize, Option<String>)> = Vec::new();
        for (column, value) in row {
            let Some(at) = columns.iter().position(|(name, _)| name.eq_ignore_ascii_case(column)) else {
                failures.push(format!("{name}: there is no column `{}`", printable(column)));
                return;
            };
            wanted.push((at, value.as_deref().map(|text| canonical(text, columns[at].1.as_ref()))));
        }
        let agrees = |actual: &[Option<String>]| wanted.iter().filter(|(at, value)| actual[*at] == *value).count();
        if let Some(found) = (0..rows.len()).find(|i| !used[*i] && agrees(&rows[*i]) == wanted.len()) {
            used[found] = true;
            continue;
        }
        let show = |at: usize, value: &Option<String>| printable(&format!("{} = {}", columns[at].0, value.as_deref().unwrap_or("NULL")));
        let mut text = format!("{name}: no row has {}", wanted.iter().map(|(at, v)| show(*at, v)).collect::<Vec<_>>().join(", "));
        // the nearest row tells most
        if let Some(nearest) = (0..rows.len()).filter(|i| !used[*i]).max_by_key(|i| (agrees(&rows[*i]), std::cmp::Reverse(*i))) {
            let differing = wanted.iter().filter(|(at, value)| rows[nearest][*at] != *value);
            let differing: Vec<String> = differing.map(|(at, _)| show(*at, &rows[nearest][*at])).collect();
            text.push_str(&format!("\n    the nearest row has {}", differing.join(", ")));
        } else {
            text.push_str(if rows.is_empty() { "\n    it has no rows" } else { "\n    all its rows stand for other expectations" });
        }
        failures.push(text);
    }
}

/// An expected value as the column's type writes it: `3` is `3.00` where the type has two decimals.
fn canonical(text: &str, ty: Option<&Type>) -> String {
    let Some(ty) = ty else { return text.to_string() };
    match sql::cast_text(text, ty) {
        Ok(Value::Null) | Err(_) => text.to_string(),
        Ok(value) => sql::to_text(&value, ty).unwrap_or_else(|| text.to_string()),
    }
}
