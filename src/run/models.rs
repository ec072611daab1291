//! The last third of a run: which read models to publish, their SQL, checks and targets.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Instant;

use rayon::prelude::*;

use super::Run;
use super::direct::{self, Folded};
use crate::error::{Error, Kind, Result};
use crate::files;
use crate::fold;
use crate::model::{AggregateInput, CheckFailure, Engine, Inputs, Limits, TableInput, event_columns};
use crate::project::{Project, ReadModel, Target};
use crate::publish::{self, Publication};
use crate::report::{ReadModelReport, ReadModelStatus, Report, TargetKind, TargetReport};
use crate::state::Store;
use crate::state::manifest::{self, DataFile, Manifest, Published};

/// The hashes of the lookup tables' files.
pub fn lookup_hashes(project: &Project) -> Result<BTreeMap<String, String>> {
    project.tables.iter().map(|table| Ok((table.name.clone(), files::hash(&table.file)?.0))).collect()
}

/// The read models whose targets have to be made anew: selected ones whose definition or inputs changed, or
/// whose targets are missing or damaged; and with them those that share a DuckDB file.
pub fn to_publish<'p>(
    project: &'p Project,
    next: &Manifest,
    last: Option<&Manifest>,
    damaged: &[Published],
    select: &[String],
) -> Vec<&'p ReadModel> {
    let mut changed: Vec<String> = Vec::new();
    for model in &project.read_models {
        let is_new = last.and_then(|m| m.read_model(&model.name)).is_none_or(|known| known.fingerprint != model.fingerprint);
        let inputs = last.is_none_or(|last| inputs_changed(model, next, last))
            || model.reads.read_models.iter().any(|read| changed.iter().any(|c| c.eq_ignore_ascii_case(read)));
        let lost =
            damaged.iter().any(|p| p.read_model == model.name) || last.is_some_and(|last| !all_published(&project.root, model, last));
        // a read model that was last published from older inputs is stale, whatever changed since
        let stale = last.is_some_and(|last| last.read_model(&model.name).is_some_and(|known| is_stale(known, last)));
        if is_new || inputs || lost || stale {
            changed.push(model.name.clone());
        }
    }
    let wanted: Vec<String> = changed
        .into_iter()
        .filter(|name| select.is_empty() || select.iter().any(|s| s.eq_ignore_ascii_case(name)))
        .filter(|name| project.read_models.iter().any(|m| m.name == *name && !m.targets.is_empty()))
        .collect();
    if wanted.is_empty() { Vec::new() } else { publish::selection(&project.read_models, &wanted) }
}

/// Whether a read model was passed over when its inputs changed.
pub fn is_stale(known: &manifest::ReadModel, newest: &Manifest) -> bool {
    known.stale && known.generation < newest.generation
}

/// Whether every target of the read model is published.
fn all_published(root: &Path, model: &ReadModel, last: &Manifest) -> bool {
    let is_published =
        |target: &Target| last.published.iter().any(|p| p.read_model == model.name && publish::is_of_target(root, target, p));
    model.targets.iter().all(is_published)
}

/// Whether a table that the read model reads has other rows than in the last generation.
fn inputs_changed(model: &ReadModel, next: &Manifest, last: &Manifest) -> bool {
    let reads = &model.reads;
    let aggregate = |m: &Manifest, name: &str| {
        m.aggregates.iter().find(|a| a.name.eq_ignore_ascii_case(name)).map(|a| (a.partitions.clone(), a.rows.clone()))
    };
    let events =
        |m: &Manifest, name: &str| m.event_tables.iter().find(|t| t.event_type.eq_ignore_ascii_case(name)).map(|t| t.files.clone());
    reads.aggregates.iter().any(|name| aggregate(next, name) != aggregate(last, name))
        || reads.event_tables.iter().any(|name| events(next, name) != events(last, name))
        || reads.tables.iter().any(|name| next.lookups.get(name) != last.lookups.get(name))
        || (model.sql.to_ascii_lowercase().contains("as_of") && next.max_event_time != last.max_event_time)
}

/// Whether a lookup table that the read model reads, itself or through others, is another file than in the last generation.
pub fn lookups_changed(project: &Project, model: &ReadModel, last: &Manifest) -> Result<bool> {
    let now = lookup_hashes(project)?;
    let changed = |model: &ReadModel| model.reads.tables.iter().any(|name| now.get(name) != last.lookups.get(name));
    Ok(needed(project, &[model]).into_iter().any(changed))
}

/// Says in the report what becomes of the read models that this run does not publish.
pub fn report_unpublished(project: &Project, next: &Manifest, last: Option<&Manifest>, published: &[&ReadModel], report: &mut Report) {
    let Some(last) = last else { return };
    for model in &project.read_models {
        if published.iter().any(|m| m.name == model.name) || model.targets.is_empty() {
            continue;
        }
        let Some(known) = last.read_model(&model.name) else { continue };
        let stale = is_stale(known, last) || reads_changed(project, model, next, last);
        report.read_models.push(ReadModelReport {
            name: model.name.clone(),
            status: if stale { ReadModelStatus::Stale } else { ReadModelStatus::Unchanged },
            rows: known.rows,
            targets: Vec::new(),
        });
    }
}

/// What the SQL of read models sees: the tables of the generation that is being made.
pub fn inputs(project: &Project, store: &Store, next: &Manifest) -> Inputs {
    inputs_in(project, store.dir(), next)
}

/// The same of a `.foldline/` that is not open.
pub fn inputs_in(project: &Project, foldline_dir: &Path, next: &Manifest) -> Inputs {
    let paths = |files: &[DataFile]| files.iter().map(|f| foldline_dir.join(&f.path)).collect::<Vec<_>>();
    Inputs {
        aggregates: project
            .aggregates
            .iter()
            .map(|aggregate| {
                let entry = next.aggregate(&aggregate.name);
                let partitions = || entry.iter().flat_map(|a| &a.partitions);
                let bases: Vec<DataFile> = partitions().filter_map(|p| p.base.clone()).collect();
                let levels = partitions().map(|p| p.deltas.len()).max().unwrap_or(0);
                // a key lies in one partition: what is newer in it is newer among all files of a level
                let deltas = (0..levels).map(|level| paths(&partitions().filter_map(|p| p.deltas.get(level).cloned()).collect::<Vec<_>>()));
                let table = TableInput {
                    name: aggregate.name.clone(),
                    columns: fold::schema(aggregate),
                    files: paths(&bases),
                    deltas: deltas.collect(),
                    keys: aggregate.keys.len(),
                };
                let rows = aggregate.rows.iter().enumerate().map(|(i, rows)| {
                    let files = entry.and_then(|a| a.rows.iter().find(|r| r.name == rows.name)).map_or(Vec::new(), |r| paths(&r.files));
                    TableInput { name: rows.name.clone(), columns: fold::rows_schema(aggregate, i), files, ..TableInput::default() }
                });
                AggregateInput { rows: rows.collect(), table }
            })
            .collect(),
        event_tables: project
            .event_tables
            .iter()
            .map(|table| TableInput {
                name: table.event_type.clone(),
                columns: event_columns(table),
                files: next.event_table(&table.event_type).map_or(Vec::new(), |t| paths(&t.files)),
                ..TableInput::default()
            })
            .collect(),
        lookups: project.tables.iter().map(|t| (t.name.clone(), t.file.clone())).collect(),
        as_of: next.max_event_time,
        attach: Vec::new(),
    }
}

/// Computes, checks and stages the selected read models, and completes the manifest. Nobody sees anything yet.
/// `folded`: those that can come straight from there; without it all are made by SQL.
#[allow(clippy::too_many_arguments, reason = "what a run knows when its fold is done")]
pub fn stage<'s>(
    run: &Run,
    store: &'s Store,
    next: &mut Manifest,
    last: Option<&Manifest>,
    selected: &[&ReadModel],
    folded: Option<Folded>,
    report: &mut Report,
) -> Result<Publication<'s>> {
    let begun = Instant::now();
    let project = run.project;
    let mut publication = Publication::begin(store, next.generation, selected)?;
    let staged =
        if selected.is_empty() { Ok(Vec::new()) } else { fill(run, store, next, selected, folded, &mut publication, report, begun) };
    let result = staged.and_then(|published| {
        for model in project.read_models.iter().filter(|m| !m.targets.is_empty()) {
            let fresh = published.iter().find(|p: &&Published| p.read_model == model.name);
            let known = last.and_then(|m| m.read_model(&model.name));
            next.read_models.extend(match (fresh, known) {
                (Some(p), _) => Some(manifest::ReadModel {
                    name: model.name.clone(),
                    fingerprint: model.fingerprint.clone(),
                    generation: next.generation,
                    rows: p.rows,
                    stale: false,
                }),
                (None, Some(known)) => {
                    let stale = last.is_some_and(|last| is_stale(known, last) || reads_changed(project, model, next, last));
                    Some(manifest::ReadModel { stale, ..known.clone() })
                }
                (None, None) => None,
            });
        }
        next.published = match last.filter(|_| next.pinned.is_some()) {
            Some(last) => last.published.clone(),
            None => publish::merge(store, last, published, &project.read_models)?,
        };
        Ok(())
    });
    match result {
        Ok(()) => Ok(publication),
        Err(error) => {
            publication.discard()?;
            Err(error)
        }
    }
}

/// Whether anything behind a read model changed, through the read models that it reads.
fn reads_changed(project: &Project, model: &ReadModel, next: &Manifest, last: &Manifest) -> bool {
    inputs_changed(model, next, last)
        || last.read_model(&model.name).is_some_and(|known| known.fingerprint != model.fingerprint)
        || model.reads.read_models.iter().any(|read| {
            let read = project.read_models.iter().find(|m| m.name.eq_ignore_ascii_case(read));
            read.is_some_and(|read| reads_changed(project, read, next, last))
        })
}

#[allow(clippy::too_many_arguments, reason = "what a run knows when its fold is done")]
fn fill(
    run: &Run,
    store: &Store,
    next: &Manifest,
    selected: &[&ReadModel],
    folded: Option<Folded>,
    publication: &mut Publication,
    report: &mut Report,
    begun: Instant,
) -> Result<Vec<Published>> {
    let project = run.project;
    let staged = straight(run, selected, folded, publication)?;
    let by_sql: Vec<&ReadModel> = selected.iter().zip(&staged).filter(|(_, rows)| rows.is_none()).map(|(model, _)| *model).collect();
    let (rows_by_sql, published) = if by_sql.is_empty() {
        (Vec::new(), publication.finish(None)?)
    } else {
        let mut inputs = inputs(project, store, next);
        inputs.attach = publication.attachments();
        let limits = Limits {
            threads: run.options.threads,
            memory_bytes: run.options.memory_bytes,
            temp_dir: store.dir().join("staging").join("duckdb"),
        };
        let mut engine = Engine::open(&inputs, &limits)?;
        run.stop.watch(Some(engine.interrupt_handle()));
        let result =
            stage_by_sql(run, &mut engine, &by_sql, publication, report).and_then(|rows| Ok((rows, publication.finish(Some(&engine))?)));
        run.stop.watch(None);
        // an interrupted query is a stop, not a defect
        run.stop.check()?;
        result?
    };
    report.stages.read_models = begun.elapsed().as_secs_f64();
    let mut rows_by_sql = rows_by_sql.into_iter();
    for (model, rows) in selected.iter().zip(staged) {
        let rows = rows.or_else(|| rows_by_sql.next()).unwrap_or_default();
        // in the project file's order
        let of_target =
            |target: &Target| published.iter().find(|p| p.read_model == model.name && publish::is_of_target(&project.root, target, p));
        let targets = model.targets.iter().filter_map(of_target).map(|p| TargetReport {
            kind: if p.kind == manifest::TargetKind::DuckDb { TargetKind::Duckdb } else { TargetKind::Parquet },
            path: p.path.clone(),
            bytes: p.bytes,
        });
        let (name, status) = (model.name.clone(), ReadModelStatus::Published);
        report.read_models.push(ReadModelReport { name, status, rows, targets: targets.collect() });
    }
    Ok(published)
}

/// Stages what comes straight from the fold, and gives its rows; `None` for each read model that SQL has to make.
fn straight(run: &Run, selected: &[&ReadModel], folded: Option<Folded>, publication: &mut Publication) -> Result<Vec<Option<u64>>> {
    let Some(folded) = folded else { return Ok(vec![None; selected.len()]) };
    run.stop.check()?;
    let plans = direct::plans(run.project, selected);
    let rows = plans.par_iter().zip(selected).map(|(plan, model)| folded.rows(run.project, plan.as_ref()?, model));
    let rows: Vec<_> = rows.collect();
    let ready = selected.iter().zip(&rows).filter_map(|(model, rows)| Some((*model, rows.as_ref()?)));
    publication.stage_rows(&ready.collect::<Vec<_>>())?;
    Ok(rows.iter().map(|rows| rows.as_ref().map(|rows| rows.count())).collect())
}

/// Makes, checks and stages read models in DuckDB. Gives their rows.
fn stage_by_sql(
    run: &Run,
    engine: &mut Engine,
    selected: &[&ReadModel],
    publication: &mut Publication,
    report: &mut Report,
) -> Result<Vec<u64>> {
    let names: Vec<&str> = selected.iter().map(|m| m.name.as_str()).collect();
    engine.define_all(&needed(run.project, selected), &names)?;
    let mut failures = Vec::new();
    for model in selected {
        run.stop.check()?;
        failures.extend(engine.run_checks(model)?.into_iter().map(|failure| (model.name.clone(), failure)));
    }
    if !failures.is_empty() {
        for (model, _) in &failures {
            if !report.read_models.iter().any(|m| m.name == *model) {
                let (name, status) = (model.clone(), ReadModelStatus::CheckFailed);
                report.read_models.push(ReadModelReport { name, status, rows: 0, targets: Vec::new() });
            }
        }
        return Err(checks_failed(&failures));
    }
    let mut rows = Vec::new();
    for model in selected {
        run.stop.check()?;
        rows.push(publication.stage(engine, model)?);
    }
    Ok(rows)
}

/// The selected read models and those that they read, in the project's order.
pub fn needed<'p>(project: &'p Project, selected: &[&ReadModel]) -> Vec<&'p ReadModel> {
    let mut names: Vec<String> = selected.iter().map(|m| m.name.to_ascii_lowercase()).collect();
    let mut at = 0;
    while at < names.len() {
        if let Some(model) = project.read_models.iter().find(|m| m.name.eq_ignore_ascii_case(&names[at])) {
            for read in &model.reads.read_models {
                let read = read.to_ascii_lowercase();
                if !names.contains(&read) {
                    names.push(read);
                }
            }
        }
        at += 1;
    }
    project.read_models.iter().filter(|m| names.contains(&m.name.to_ascii_lowercase())).collect()
}

/// Failed checks as one error: what failed, how often, and the first rows.
fn checks_failed(failures: &[(String, CheckFailure)]) -> Error {
    let what = if failures.len() == 1 { "a check failed".to_string() } else { format!("{} checks failed", failures.len()) };
    let mut error = Error::new(Kind::CheckFailed, format!("{what}; the last generation stays live"));
    for (model, failure) in failures {
        let rows = if failure.count == 1 { "1 row".to_string() } else { format!("{} rows", failure.count) };
        error = error.at(format!("{}: read model `{model}`, {}: {rows}", failure.place, failure.what));
        for row in &failure.sample {
            let values: Vec<String> = failure
                .columns
                .iter()
                .zip(row)
                .map(|(name, value)| format!("{name}={}", value.as_deref().map_or("NULL".to_string(), crate::source::contract::shortened)))
                .collect();
            error = error.at(format!("  {}", values.join("  ")));
        }
    }
    error
}
