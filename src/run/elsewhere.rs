//! `--as-of` and `--target-dir`: read models of today's or of an earlier log, published into a folder or shown. The
//! log is replayed from zero as it lies there now. Nothing of the project is written, not even its lock.

use std::path::{Path, PathBuf};

use super::as_of::AsOf;
use super::decide::Decision;
use super::look::Look;
use super::refusal::refuse_bad;
use super::replay::{Fresh, afresh, with_targets};
use super::{Options, Run, SET_ASIDE, Stop, models};
use crate::error::{Error, Kind, Result};
use crate::files;
use crate::model::{Engine, Limits};
use crate::project::{Project, ReadModel, Target};
use crate::publish;
use crate::report::{Outcome, Report};
use crate::state::store;

/// Publishes the selected read models into `dir` as plain files and folders, checked as in a run, under the names that
/// their targets have. The report is complete as far as it came, also where it failed.
pub fn publish(project: &Project, options: &Options, stop: &Stop, as_of: Option<AsOf>, dir: &Path) -> (Report, Result<()>) {
    let run = Run { project, options, stop, begun: std::time::Instant::now(), look: Look { as_of, ..Look::default() } };
    let mut report = new_report(&run);
    report.target_dir = Some(dir.display().to_string());
    let result = publish_into(&run, dir, &mut report);
    finish(&run, &mut report, &result);
    (report, result)
}

fn publish_into(run: &Run, dir: &Path, report: &mut Report) -> Result<()> {
    let project = run.project;
    let elsewhere = std::path::absolute(dir).map_err(|e| Error::io("find", dir, e))?;
    let selected: Vec<&ReadModel> =
        publish::selection(&project.read_models, &run.options.select).into_iter().filter(|model| !model.targets.is_empty()).collect();
    check_names(project, &elsewhere, &selected)?;
    let mut fresh = replayed(run, report)?;
    let publishing = std::time::Instant::now();
    let place = |target: &Target| publish::target_path(target).file_name().map(|name| elsewhere.join(name)).unwrap_or_default();
    let moved: Vec<ReadModel> = selected.iter().map(|model| with_targets(model, |_, target| place(target))).collect();
    let moved: Vec<&ReadModel> = moved.iter().collect();
    let publication = models::stage(run, &fresh.store, &mut fresh.manifest, None, &moved, None, report)?;
    let settled = run.stop.check().and_then(|()| publish::settle(&fresh.store, &fresh.manifest.published));
    if settled.is_err() {
        publication.discard()?;
    }
    settled?;
    report.read_models.sort_by_key(|r| project.read_models.iter().position(|m| m.name == r.name));
    for target in report.read_models.iter_mut().flat_map(|model| &mut model.targets) {
        if let Some(name) = Path::new(&target.path).file_name() {
            target.path = dir.join(name).display().to_string();
        }
    }
    report.stages.publish = publishing.elapsed().as_secs_f64() - report.stages.read_models;
    Ok(())
}

/// Refuses a folder in which the selected targets have no names of their own: two of them the same, one that something
/// has already, one that the project itself publishes to.
fn check_names(project: &Project, dir: &Path, selected: &[&ReadModel]) -> Result<()> {
    let absolute = |target: &Target| project.root.join(publish::target_path(target));
    let own = project.root.join(".foldline");
    let is_own = |target: &Target| {
        let is_dataset =
            matches!(target, Target::Parquet { .. }) && absolute(target).extension().is_none_or(|e| !e.eq_ignore_ascii_case("parquet"));
        is_dataset && dir.starts_with(absolute(target))
    };
    if dir.starts_with(&own) || project.read_models.iter().flat_map(|m| &m.targets).any(is_own) {
        return Err(Error::new(Kind::Usage, format!("{} is a folder that foldline keeps", dir.display()))
            .with_help("name a folder of your own with `--target-dir`"));
    }
    let mut taken: Vec<(PathBuf, PathBuf)> = Vec::new();
    for target in selected.iter().flat_map(|model| &model.targets) {
        let old = absolute(target);
        let Some(new) = old.file_name().map(|name| dir.join(name)) else { continue };
        if old == new {
            return Err(Error::new(Kind::Usage, format!("{} is where the project itself publishes", dir.display()))
                .with_help("name another folder with `--target-dir`"));
        }
        match taken.iter().find(|(_, name)| *name == new) {
            Some((other, _)) if *other == old => continue,
            Some((other, _)) => {
                return Err(Error::new(Kind::Usage, format!("two targets would both be {}", new.display()))
                    .at(other.display().to_string())
                    .at(old.display().to_string())
                    .with_help("publish them one after another into two folders, with `-s`"));
            }
            None => {}
        }
        if files::stat(&new)?.is_some() {
            return Err(Error::new(Kind::Usage, format!("{} exists", new.display()))
                .with_help("`--target-dir` replaces nothing: move it away, or name another folder"));
        }
        taken.push((old, new));
    }
    Ok(())
}

/// Read models that can be looked at, of a log that was replayed.
pub struct Shown {
    engine: Engine,
    _fresh: Fresh,
}

/// Replays and defines the selected read models (all where none is named), of which nothing is published or checked.
pub fn show(project: &Project, options: &Options, stop: &Stop, as_of: AsOf) -> (Report, Result<Shown>) {
    let look = Look { as_of: Some(as_of), ..Look::default() };
    let run = Run { project, options, stop, begun: std::time::Instant::now(), look };
    let mut report = new_report(&run);
    let result = replayed(&run, &mut report).and_then(|fresh| {
        let inputs = models::inputs(project, &fresh.store, &fresh.manifest);
        let temp_dir = fresh.folder.path().join("duckdb");
        let limits = Limits { threads: options.threads, memory_bytes: options.memory_bytes, temp_dir };
        let mut engine = Engine::open(&inputs, &limits)?;
        stop.watch(Some(engine.interrupt_handle()));
        let names: Vec<&str> = selected(project, options).iter().map(|m| m.name.as_str()).collect();
        engine.define_all(&models::needed(project, &selected(project, options)), &names)?;
        Ok(Shown { engine, _fresh: fresh })
    });
    finish(&run, &mut report, &result);
    (report, result)
}

/// The read models to show: the selected ones, in the project's order.
pub fn selected<'p>(project: &'p Project, options: &Options) -> Vec<&'p ReadModel> {
    let named = |model: &&ReadModel| options.select.is_empty() || options.select.iter().any(|s| s.eq_ignore_ascii_case(&model.name));
    project.read_models.iter().filter(named).collect()
}

impl Shown {
    /// The names of a read model's columns, and DuckDB's types of them.
    pub fn columns(&self, model: &ReadModel) -> Result<&[(String, String)]> {
        self.engine.columns(model)
    }

    pub fn count(&self, model: &ReadModel) -> Result<u64> {
        self.engine.count(model)
    }

    /// Goes through a read model's rows in its order, each value as DuckDB's text of it; at most `limit` rows.
    pub fn rows(&self, model: &ReadModel, limit: Option<usize>, each: impl FnMut(Vec<Option<&str>>) -> Result<()>) -> Result<()> {
        self.engine.each_row(model, limit, each)
    }
}

fn new_report(run: &Run) -> Report {
    let mut report = Report::new(if run.options.rebuild { "rebuild" } else { "run" }, &run.project.name);
    report.started_at = Some(run.options.now.clone());
    report.as_of = run.look.as_of.map(|as_of| as_of.to_string());
    report
}

fn finish<T>(run: &Run, report: &mut Report, result: &Result<T>) {
    run.stop.watch(None);
    report.stages.total = run.begun.elapsed().as_secs_f64();
    report.measure();
    match result {
        Ok(_) if report.exit_code == SET_ASIDE => report.outcome = Outcome::PublishedWithQuarantine,
        Ok(_) => report.outcome = Outcome::Published,
        Err(error) => {
            report.outcome = Outcome::Failed;
            report.exit_code = error.kind.exit_code();
            report.error = Some(error.message.clone());
        }
    }
}

/// The log from zero: what was consumed, in the order in which it was, and what is new behind it.
fn replayed(run: &Run, report: &mut Report) -> Result<Fresh> {
    let last = store::newest(&run.project.root.join(".foldline"))?;
    let mut decision = Decision::new(run.project, last.as_ref(), true, run.options.accept_history_change)?;
    let (mut fresh, bad) = afresh(run, &mut decision, report)?;
    if let Some(as_of) = run.look.as_of {
        if bad.bad.total > 0 {
            as_of.check_sources(&fresh.manifest)?;
        }
        fresh.manifest.max_event_time = as_of.moment(fresh.manifest.max_event_time);
    }
    refuse_bad(&bad)?;
    run.stop.check()?;
    let a_bad_one_waits = fresh.manifest.sources.iter().any(|source| !source.pending.is_empty());
    report.exit_code = if report.sets_aside() || a_bad_one_waits { SET_ASIDE } else { 0 };
    Ok(fresh)
}
