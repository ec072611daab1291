//! `verify`: what is kept and published, against a replay of the log that it came from.

use std::path::{Path, PathBuf};

use super::replay::{Replay, replay};
use super::{Options, Stop, models};
use crate::error::Result;
use crate::files;
use crate::model::compare::{Difference, Rows, Sample, compare};
use crate::model::{Inputs, TableInput};
use crate::project::{Check, Project, ReadModel};
use crate::publish;
use crate::report::{PassedOver, TableKind, Verification, VerifiedTable};
use crate::state::manifest::{DataFile, Manifest, Partition, Published, TargetKind};

/// Replays what the generation `last` consumed and compares every table of it, row by row. Tables whose definition
/// changed since are passed over. Nothing of the project is written.
pub fn verify(project: &Project, options: &Options, stop: &Stop, last: &Manifest, sample: Option<Sample>) -> Result<Verification> {
    let mut out = Verification {
        project: project.name.clone(),
        generation: last.generation,
        sample: sample.map(|s| (s.below, s.of)),
        records: 0,
        bytes_read: 0,
        tables: Vec::new(),
        passed_over: Vec::new(),
    };
    let comparable = Comparable::new(project, last, &mut out.passed_over);
    let mut selected: Vec<&ReadModel> = Vec::new();
    for model in project.read_models.iter().filter(|m| !m.targets.is_empty()) {
        match comparable.why_not(model)? {
            None => selected.push(model),
            Some(reason) => out.passed_over.push(PassedOver { kind: TableKind::ReadModel, name: model.name.clone(), reason }),
        }
    }
    let fresh = replay(project, options, stop, last, &selected)?;
    out.records = fresh.report.sources.iter().map(|s| s.records).sum();
    out.bytes_read = fresh.report.bytes_total();
    let work = Work { project, options, stop, sample, fresh: &fresh };
    work.state(last, &comparable, &mut out.tables)?;
    for model in selected {
        work.targets(last, model, &mut out.tables)?;
    }
    Ok(out)
}

/// What today's definitions can be held against.
struct Comparable<'a> {
    project: &'a Project,
    last: &'a Manifest,
    aggregates: Vec<bool>,
    event_tables: Vec<bool>,
}

const CHANGED: &str = "its definition changed since; `foldline run` brings it up to date";

impl<'a> Comparable<'a> {
    fn new(project: &'a Project, last: &'a Manifest, passed_over: &mut Vec<PassedOver>) -> Comparable<'a> {
        let same_source = |source: &usize| {
            let source = &project.sources[*source];
            last.source(&source.name).is_some_and(|known| known.fingerprint == source.fingerprint)
        };
        let all_sources = (0..project.sources.len()).all(|source| same_source(&source));
        let aggregates: Vec<bool> = project
            .aggregates
            .iter()
            .map(|a| last.aggregate(&a.name).is_some_and(|k| k.fingerprint == a.fingerprint) && a.sources.iter().all(same_source))
            .collect();
        let same_events = |t: &crate::project::EventTable| last.event_table(&t.event_type).is_some_and(|k| k.fingerprint == t.fingerprint);
        let event_tables: Vec<bool> = project.event_tables.iter().map(|t| all_sources && same_events(t)).collect();
        let mut pass = |kind, name: &str| passed_over.push(PassedOver { kind, name: name.to_string(), reason: CHANGED.to_string() });
        for (aggregate, _) in project.aggregates.iter().zip(&aggregates).filter(|(_, same)| !**same) {
            pass(TableKind::Aggregate, &aggregate.name);
        }
        for (table, _) in project.event_tables.iter().zip(&event_tables).filter(|(_, same)| !**same) {
            pass(TableKind::Events, &table.event_type);
        }
        for known in last.aggregates.iter().filter(|known| !project.aggregates.iter().any(|a| a.name == known.name)) {
            let reason = "the project does not have it any more".to_string();
            passed_over.push(PassedOver { kind: TableKind::Aggregate, name: known.name.clone(), reason });
        }
        Comparable { project, last, aggregates, event_tables }
    }

    /// Why a read model cannot be compared; `None`: it can.
    fn why_not(&self, model: &ReadModel) -> Result<Option<String>> {
        let Some(known) = self.last.read_model(&model.name) else { return Ok(Some("it was never published".into())) };
        if known.stale {
            let reason = format!("generation {} published it, and its inputs have grown since", known.generation);
            return Ok(Some(reason));
        }
        if models::lookups_changed(self.project, model, self.last)? {
            return Ok(Some("a lookup table that it reads changed since".into()));
        }
        for needed in models::needed(self.project, &[model]) {
            if !needed.reproducible {
                return Ok(Some("`reproducible = false` says that two replays may give different rows".into()));
            }
            let is_other = |known: &crate::state::manifest::ReadModel| known.fingerprint != needed.fingerprint;
            let other = |names: &[String], name: &str| names.iter().any(|n| n.eq_ignore_ascii_case(name));
            let aggregates = self.project.aggregates.iter().zip(&self.aggregates);
            let events = self.project.event_tables.iter().zip(&self.event_tables);
            if self.last.read_model(&needed.name).is_some_and(is_other)
                || aggregates.into_iter().any(|(a, same)| !same && other(&needed.reads.aggregates, &a.name))
                || events.into_iter().any(|(t, same)| !same && other(&needed.reads.event_tables, &t.event_type))
            {
                return Ok(Some("its definition, or that of what it reads, changed since; `foldline run` brings it up to date".into()));
            }
        }
        Ok(None)
    }
}

struct Work<'a> {
    project: &'a Project,
    options: &'a Options,
    stop: &'a Stop,
    sample: Option<Sample>,
    fresh: &'a Replay,
}

impl Work<'_> {
    fn compare(&self, table: VerifiedTable, published: &Rows, fresh: &Rows, key: &[String]) -> Result<VerifiedTable> {
        self.stop.check()?;
        let mut table = table;
        match compare(published, fresh, key, self.sample, &self.fresh.limits(self.options)) {
            Ok(difference) => table.difference = difference,
            // files that are known to be broken may well not be readable
            Err(error) if !table.trouble.is_empty() => table.trouble.push(error.message),
            Err(error) => return Err(error),
        }
        Ok(table)
    }

    /// Snapshots, the rows that folds gave out, event tables.
    fn state(&self, last: &Manifest, comparable: &Comparable, out: &mut Vec<VerifiedTable>) -> Result<()> {
        let kept_dir = self.project.root.join(".foldline");
        let kept = models::inputs_in(self.project, &kept_dir, last);
        let fresh: Inputs = self.fresh.inputs(self.project);
        for (index, aggregate) in self.project.aggregates.iter().enumerate() {
            if !comparable.aggregates[index] {
                continue;
            }
            let (old, new) = (&kept.aggregates[index], &fresh.aggregates[index]);
            let keys: Vec<String> = aggregate.keys.iter().map(|k| k.name.clone()).collect();
            let entry = last.aggregate(&aggregate.name);
            let files: Vec<&DataFile> = entry.iter().flat_map(|a| &a.partitions).flat_map(Partition::files).collect();
            out.push(self.table(TableKind::Aggregate, aggregate.name.clone(), (&old.table, &new.table), &files, &kept_dir, &keys)?);
            for (old, new) in old.rows.iter().zip(&new.rows) {
                let files: Vec<&DataFile> =
                    entry.iter().flat_map(|a| &a.rows).filter(|r| r.name == old.name).flat_map(|r| &r.files).collect();
                let name = format!("{}.{}", aggregate.name, old.name);
                out.push(self.table(TableKind::Rows, name, (old, new), &files, &kept_dir, &[])?);
            }
        }
        for (index, table) in self.project.event_tables.iter().enumerate() {
            if comparable.event_tables[index] {
                let (old, new) = (&kept.event_tables[index], &fresh.event_tables[index]);
                let files: Vec<&DataFile> = last.event_table(&table.event_type).iter().flat_map(|t| &t.files).collect();
                out.push(self.table(TableKind::Events, table.event_type.clone(), (old, new), &files, &kept_dir, &[])?);
            }
        }
        Ok(())
    }

    fn table(
        &self,
        kind: TableKind,
        name: String,
        (old, new): (&TableInput, &TableInput),
        files: &[&DataFile],
        dir: &Path,
        keys: &[String],
    ) -> Result<VerifiedTable> {
        let mut table = VerifiedTable { kind, name, target: None, trouble: Vec::new(), difference: Difference::default() };
        for file in files {
            table.trouble.extend(trouble_of(&dir.join(&file.path), &file.path, file)?);
        }
        self.compare(table, &Rows::State(old.clone()), &Rows::State(new.clone()), keys)
    }

    /// The published targets of a read model: their files, then their rows.
    fn targets(&self, last: &Manifest, model: &ReadModel, out: &mut Vec<VerifiedTable>) -> Result<()> {
        let root = &self.project.root;
        for (number, target) in model.targets.iter().enumerate() {
            let is_this = |p: &&Published| p.read_model == model.name && publish::is_of_target(root, target, p);
            let (Some(published), Some(fresh)) = (last.published.iter().find(is_this), self.fresh.target(&model.name, number)) else {
                continue;
            };
            let table = VerifiedTable {
                kind: TableKind::ReadModel,
                name: model.name.clone(),
                target: Some(published.path.clone()),
                trouble: trouble_of_target(root, published)?,
                difference: Difference::default(),
            };
            let gone = files::stat(&root.join(&published.generation_path))?.is_none();
            out.push(if gone {
                table
            } else {
                let old = target_rows(root, published);
                let new = target_rows(self.fresh.store.root(), fresh);
                self.compare(table, &old, &new, &unique_key(model))?
            });
        }
        Ok(())
    }
}

/// The columns that a read model's check says are unique; none: it has no such check.
pub fn unique_key(model: &ReadModel) -> Vec<String> {
    let mut checks = model.checks.iter();
    checks.find_map(|check| if let Check::Unique(columns) = check { Some(columns.clone()) } else { None }).unwrap_or_default()
}

/// Where the rows of a target lie.
pub fn target_rows(root: &Path, target: &Published) -> Rows {
    let path = root.join(&target.generation_path);
    match target.kind {
        TargetKind::ParquetFile => Rows::Parquet(vec![path]),
        TargetKind::ParquetDataset => Rows::Parquet(target.files.iter().map(|file| path.join(&file.path)).collect::<Vec<PathBuf>>()),
        TargetKind::DuckDb => Rows::DuckDb { file: path, table: target.read_model.clone() },
    }
}

/// What is wrong with a file, against its entry in the manifest.
fn trouble_of(path: &Path, shown: &str, entry: &DataFile) -> Result<Option<String>> {
    if files::stat(path)?.is_none() {
        return Ok(Some(format!("{shown} is gone")));
    }
    let (hash, bytes) = files::hash(path)?;
    Ok((hash != entry.hash || bytes != entry.bytes).then(|| format!("{shown} is not the file that was written: its bytes differ")))
}

fn trouble_of_target(root: &Path, target: &Published) -> Result<Vec<String>> {
    let (path, shown) = (root.join(&target.generation_path), &target.generation_path);
    let mut trouble = Vec::new();
    if target.kind == TargetKind::ParquetDataset {
        for file in &target.files {
            trouble.extend(trouble_of(&path.join(&file.path), &format!("{shown}/{}", file.path), file)?);
        }
    } else {
        let file = DataFile { path: shown.clone(), rows: target.rows, bytes: target.bytes, hash: target.hash.clone() };
        trouble.extend(trouble_of(&path, shown, &file)?);
    }
    if !publish::leads_there(root, target)? {
        trouble.push(format!("{} does not lead to generation {}", target.path, target.generation));
    }
    Ok(trouble)
}
