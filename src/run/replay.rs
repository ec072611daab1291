//! The consumed log once more, from its beginning, into a folder that goes away with it: what `verify` and `diff`
//! compare with what is published. Nothing of the project is written, not even its lock.

use std::path::PathBuf;

use tempfile::TempDir;

use super::decide::Decision;
use super::intake::{Intake, consumed};
use super::look::Look;
use super::refusal::refuse_bad;
use super::{Options, Run, Stop, Tally, models};
use crate::error::{Error, Result};
use crate::model::{Inputs, Limits};
use crate::project::{Project, ReadModel, Target};
use crate::report::Report;
use crate::state::Store;
use crate::state::manifest::{Manifest, Published, Reason};

/// The state and the read models that today's definitions make of a consumed log.
pub struct Replay {
    /// As a rebuild would have committed it.
    pub manifest: Manifest,
    /// What was read and folded.
    pub report: Report,
    pub store: Store,
    folder: TempDir,
}

impl Replay {
    /// What SQL may see of the fresh state.
    pub fn inputs(&self, project: &Project) -> Inputs {
        models::inputs(project, &self.store, &self.manifest)
    }

    /// What DuckDB may use for comparisons; it spills into the replay's own folder.
    pub fn limits(&self, options: &Options) -> Limits {
        Limits { threads: options.threads, memory_bytes: options.memory_bytes, temp_dir: self.folder.path().join("comparison") }
    }

    /// The fresh counterpart of a published target.
    pub fn target(&self, read_model: &str, number: usize) -> Option<&Published> {
        let of_model = self.manifest.published.iter().filter(|p| p.read_model == read_model);
        let name = target_name(number);
        of_model.into_iter().find(|p| p.path.split('/').any(|part| part.split('.').next() == Some(name.as_str())))
    }
}

/// Replays what `last` consumed: its list of segments in log order and nothing else. Of the read models `selected`
/// each target is made, too, without their checks. Fails where the log is not what it was, and on bad data, as a
/// run does.
pub fn replay(project: &Project, options: &Options, stop: &Stop, last: &Manifest, selected: &[&ReadModel]) -> Result<Replay> {
    let mut decision = from_zero(project, last)?;
    let mut report = Report::new("replay", &project.name);
    let run = Run { project, options, stop, begun: std::time::Instant::now(), look: Look::default() };
    let (mut fresh, bad) = afresh(&run, &mut decision, &mut report)?;
    refuse_bad(&bad)?;
    stop.check()?;
    let relocated: Vec<ReadModel> = selected.iter().map(|model| relocated(model)).collect();
    // by SQL: so a verification compares what came straight from the fold with another way to the same
    models::stage(&run, &fresh.store, &mut fresh.manifest, None, &relocated.iter().collect::<Vec<_>>(), None, &mut report)?;
    Ok(Replay { manifest: fresh.manifest, report, store: fresh.store, folder: fresh.folder })
}

/// The state that a log gives, in a folder that goes away with it.
pub(super) struct Fresh {
    /// As a rebuild would have committed it, without read models.
    pub manifest: Manifest,
    pub store: Store,
    pub folder: TempDir,
}

/// Folds from zero what was decided on, and says what of it was bad. Warnings and counts go to the report.
pub(super) fn afresh(run: &Run, decision: &mut Decision, report: &mut Report) -> Result<(Fresh, Tally)> {
    let folder = tempfile::tempdir().map_err(|e| Error::io("create the folder", &std::env::temp_dir(), e))?;
    let root = folder.path().canonicalize().map_err(|e| Error::io("read", folder.path(), e))?;
    let store = Store::open(&root, None)?;
    let mut manifest = Manifest::empty(1, run.options.now.clone(), Reason::Rebuild);
    manifest.lookups = models::lookup_hashes(run.project)?;
    let (bad, warnings, _) = run.fold_whole_members(&store, None, decision, &mut manifest, report)?;
    report.warnings.extend(warnings);
    Ok((Fresh { manifest, store, folder }, bad))
}

/// Everything from zero, up to where `last` had come.
fn from_zero(project: &Project, last: &Manifest) -> Result<Decision> {
    let intakes = (0..project.sources.len()).map(|source| match last.source(&project.sources[source].name) {
        Some(entry) => consumed(project, source, entry),
        // a source that is new since then had nothing consumed
        None => Ok(Intake::default()),
    });
    Ok(Decision {
        intakes: intakes.collect::<Result<_>>()?,
        source_replay: vec![true; project.sources.len()],
        aggregate_replay: vec![true; project.aggregates.len()],
        event_table_replay: vec![true; project.event_tables.len()],
    })
}

/// The read model with its targets in the replay's folder, numbered, each of its own kind, and without checks.
fn relocated(model: &ReadModel) -> ReadModel {
    let folder = crate::state::store::safe_name(&model.name);
    let moved = |number: usize, target: &Target| {
        let path = |extension: &str| PathBuf::from(format!("targets/{folder}/{}{extension}", target_name(number)));
        match target {
            Target::Parquet { path: old, partition_by, .. } => {
                let is_file = partition_by.is_empty() && old.extension().is_some_and(|e| e.eq_ignore_ascii_case("parquet"));
                path(if is_file { ".parquet" } else { "" })
            }
            Target::DuckDb { .. } => path(".duckdb"),
        }
    };
    ReadModel { checks: Vec::new(), ..with_targets(model, moved) }
}

/// A read model whose targets lie elsewhere: `place` is asked for each, by its number.
pub(super) fn with_targets(model: &ReadModel, place: impl Fn(usize, &Target) -> PathBuf) -> ReadModel {
    let moved = |(number, target): (usize, &Target)| {
        let path = place(number, target);
        match target {
            Target::Parquet { partition_by, sort_by, .. } => {
                Target::Parquet { path, partition_by: partition_by.clone(), sort_by: sort_by.clone() }
            }
            Target::DuckDb { sort_by, .. } => Target::DuckDb { path, sort_by: sort_by.clone() },
        }
    };
    ReadModel { targets: model.targets.iter().enumerate().map(moved).collect(), ..model.clone() }
}

fn target_name(number: usize) -> String {
    format!("target-{number}")
}
