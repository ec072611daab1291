//! Targets: staged beside where they will lie, committed by the manifest, swapped in, rolled forward.
//!
//! ```text
//! Publication::begin     whose are the targets; the ledger says what will be made
//! Publication::stage     each read model into its targets' staging
//! Publication::finish    checked, hashed, fsynced, renamed to this generation's names
//! Store::commit          the manifest: the one commit point
//! swap                   each target's name leads to the new generation
//! recover                at the next start: swaps again, removes what no manifest names
//! rollback               an earlier generation's targets again, until they are released
//! ```
//!
//! Before the commit a reader sees the old generation, after the swap the new one, and between the two a
//! crash is rolled forward. A name under which somebody else's file lies is never touched.

mod dataset;
mod duckdb;
mod ledger;
mod owner;
mod parquet;
mod plain;
mod recover;
mod rollback;
mod swap;

use std::path::{Path, PathBuf};

use rayon::prelude::*;

use crate::error::{Error, Kind, Result};
use crate::files;
use crate::model::direct::Rows;
use crate::model::{Attachment, Engine};
use crate::project::{ReadModel, Target};
use crate::state::manifest::{Manifest, Published, TargetKind};
use crate::state::store::{Store, safe_name};

pub use plain::settle;
use recover::changed_file;
pub use recover::{Recovered, collect_garbage, recover};
pub use rollback::{Missing, RolledBack, rollback};
pub use swap::{leads_there, swap};

/// The targets of one generation while they are made.
pub struct Publication<'s> {
    store: &'s Store,
    generation: u64,
    /// Random, in every name that this publication makes: two attempts never meet.
    id: String,
    targets: Vec<Staging>,
}

/// One target, and where it is on its way.
struct Staging {
    kind: TargetKind,
    /// The read models in it; several in a DuckDB file.
    models: Vec<String>,
    path: PathBuf,
    staging: PathBuf,
    generation_path: PathBuf,
    /// Of a DuckDB file.
    alias: String,
    /// What was staged, per read model.
    staged: Vec<Staged>,
}

struct Staged {
    model: String,
    rows: u64,
    bytes: u64,
    hash: String,
    files: Vec<crate::state::manifest::DataFile>,
}

/// The read models to publish: the selected ones (all where none is named), and with each those that share
/// a DuckDB file with it. In the project's order.
pub fn selection<'p>(models: &'p [ReadModel], selected: &[String]) -> Vec<&'p ReadModel> {
    let named = |m: &ReadModel| selected.is_empty() || selected.iter().any(|s| s.eq_ignore_ascii_case(&m.name));
    let mut chosen: Vec<bool> = models.iter().map(named).collect();
    loop {
        let files: Vec<&Path> = models.iter().zip(&chosen).filter(|(_, c)| **c).flat_map(|(m, _)| duckdb_files(m)).collect();
        let more: Vec<bool> = models.iter().zip(&chosen).map(|(m, c)| *c || duckdb_files(m).any(|f| files.contains(&f))).collect();
        if more == chosen {
            return models.iter().zip(chosen).filter_map(|(m, c)| c.then_some(m)).collect();
        }
        chosen = more;
    }
}

fn duckdb_files(model: &ReadModel) -> impl Iterator<Item = &Path> {
    model.targets.iter().filter_map(|t| if let Target::DuckDb { path, .. } = t { Some(path.as_path()) } else { None })
}

/// Fails where a target's name is taken by something that foldline did not publish, or cannot be a target's
/// name: asked before any work is done. `kept`: the manifests, read without the lock where need be.
pub fn check_targets(root: &Path, kept: &[Manifest], models: &[&ReadModel]) -> Result<()> {
    staging(root, models, 0, "")?.iter().try_for_each(|target| owner::check(root, kept, target.kind, &target.path))
}

/// The targets of read models, each once, and the names that they take on their way.
fn staging(root: &Path, models: &[&ReadModel], generation: u64, id: &str) -> Result<Vec<Staging>> {
    let mut targets: Vec<Staging> = Vec::new();
    for model in models {
        for target in &model.targets {
            let new = Staging::new(root, target, &model.name, generation, id, targets.len())?;
            match targets.iter_mut().find(|t| t.path == new.path) {
                Some(t) if t.kind == TargetKind::DuckDb && new.kind == TargetKind::DuckDb => {
                    if !t.models.contains(&model.name) {
                        t.models.push(model.name.clone());
                    }
                }
                Some(t) => {
                    let (a, b) = (&t.models[0], &model.name);
                    return Err(Error::new(Kind::Project, format!("`{a}` and `{b}` are published to one place: {}", new.path.display()))
                        .at(model.place.clone())
                        .with_help("give each read model a target of its own"));
                }
                None => targets.push(new),
            }
        }
    }
    Ok(targets)
}

impl<'s> Publication<'s> {
    /// Prepares the targets of these read models (see [`selection`]). Fails where a target's name is taken
    /// by something that foldline did not publish. Call [`recover`] first.
    pub fn begin(store: &'s Store, generation: u64, models: &[&ReadModel]) -> Result<Publication<'s>> {
        let id = new_id();
        let targets = staging(store.root(), models, generation, &id)?;
        let kept = store.manifests()?;
        for target in &targets {
            owner::check(store.root(), &kept, target.kind, &target.path)?;
        }
        ledger::write(store, generation, &id, targets.iter().map(|t| (&*t.path, &*t.staging, &*t.generation_path)))?;
        files::failpoint("publish.begun")?;
        for target in &targets {
            if let Some(parent) = target.path.parent() {
                files::create_dir_all(parent)?;
                parent.parent().map_or(Ok(()), files::sync_dir)?;
            }
            if target.kind != TargetKind::ParquetFile {
                files::create_dir_all(&target.staging)?;
            }
        }
        Ok(Publication { store, generation, id, targets })
    }

    /// The DuckDB files that the engine has to make: for `Inputs::attach`.
    pub fn attachments(&self) -> Vec<Attachment> {
        self.targets
            .iter()
            .filter(|t| t.kind == TargetKind::DuckDb)
            .map(|t| Attachment { alias: t.alias.clone(), path: t.duckdb_file() })
            .collect()
    }

    /// Writes a defined read model into the staging of each of its targets. Gives its number of rows.
    pub fn stage(&mut self, engine: &Engine, model: &ReadModel) -> Result<u64> {
        let mut rows = 0;
        for target in &model.targets {
            let Some(staging) = self.targets.iter_mut().find(|t| t.path == absolute(self.store, target_path(target))) else {
                return Err(Error::internal(format!("the read model `{}` is staged without having begun", model.name)));
            };
            let staged = match target {
                Target::Parquet { sort_by, .. } if staging.kind == TargetKind::ParquetFile => {
                    parquet::stage(&staging.staging, engine.rows(model, sort_by, &[])?, &model.name)?
                }
                Target::Parquet { partition_by, sort_by, .. } => {
                    let file_name = format!("{}.gen-{}-{}.parquet", safe_name(&model.name), self.generation, self.id);
                    dataset::stage(&staging.staging, engine.rows(model, sort_by, partition_by)?, &model.name, partition_by, &file_name)?
                }
                Target::DuckDb { sort_by, .. } => {
                    let rows = engine.create_table(&staging.alias, model, sort_by)?;
                    Staged { model: model.name.clone(), rows, bytes: 0, hash: String::new(), files: Vec::new() }
                }
            };
            rows = staged.rows;
            staging.staged.push(staged);
            files::failpoint("publish.staged")?;
        }
        Ok(rows)
    }

    /// Writes read models that come straight from a fold into the staging of their targets, all of them Parquet files, side
    /// by side.
    pub fn stage_rows(&mut self, models: &[(&ReadModel, &Rows)]) -> Result<()> {
        let mut tasks = Vec::new();
        for (model, rows) in models {
            for target in &model.targets {
                let path = absolute(self.store, target_path(target));
                match (self.targets.iter().position(|t| t.path == path && t.kind == TargetKind::ParquetFile), target) {
                    (Some(staging), Target::Parquet { sort_by, .. }) => tasks.push((staging, *model, *rows, sort_by)),
                    _ => return Err(Error::internal(format!("the read model `{}` is staged without having begun", model.name))),
                }
            }
        }
        let targets = &self.targets;
        let stage = |(staging, model, rows, sort_by): (usize, &ReadModel, &Rows, &Vec<String>)| {
            let staged = parquet::stage_sorted(&targets[staging].staging, &rows.sorted(sort_by)?, &model.name)?;
            Ok((staging, staged))
        };
        for (staging, staged) in tasks.into_par_iter().with_max_len(1).map(stage).collect::<Result<Vec<_>>>()? {
            self.targets[staging].staged.push(staged);
            files::failpoint("publish.staged")?;
        }
        Ok(())
    }

    /// Finishes every target: checked after reopening, hashed, durable, under its generation's name. Nobody
    /// sees it yet. Gives the entries for the manifest. `engine`: where there are DuckDB files.
    pub fn finish(&mut self, engine: Option<&Engine>) -> Result<Vec<Published>> {
        let mut published = Vec::new();
        for target in &mut self.targets {
            if target.kind == TargetKind::DuckDb {
                engine.map_or(Ok(()), |engine| engine.detach(&target.alias))?;
                duckdb::finish(&target.duckdb_file(), &mut target.staged)?;
                files::rename(&target.duckdb_file(), &target.generation_path)?;
                files::remove_dir_all(&target.staging)?;
            } else {
                if target.kind == TargetKind::ParquetDataset {
                    files::create_dir_all(&target.path)?;
                }
                files::rename(&target.staging, &target.generation_path)?;
            }
            for parent in [target.generation_path.parent(), target.path.parent()].into_iter().flatten() {
                files::sync_dir(parent)?;
            }
            files::failpoint("publish.renamed")?;
            let metadata = files::stat(&target.generation_path)?;
            let modified = metadata.as_ref().map_or(0, files::modified_nanos);
            for staged in &target.staged {
                published.push(Published {
                    read_model: staged.model.clone(),
                    kind: target.kind,
                    path: self.store.relative(&target.path)?,
                    generation_path: self.store.relative(&target.generation_path)?,
                    generation: self.generation,
                    rows: staged.rows,
                    bytes: staged.bytes,
                    hash: staged.hash.clone(),
                    modified,
                    files: staged.files.clone(),
                });
            }
        }
        Ok(published)
    }

    /// Removes everything that was staged: the run failed or was stopped before its commit. Where a manifest
    /// names it all the same (the commit failed only after it had happened), it stays.
    pub fn discard(self) -> Result<()> {
        let kept = self.store.manifests()?;
        let named = |p: &Path| kept.iter().flat_map(|m| &m.published).any(|e| self.store.resolve(&e.generation_path) == p);
        if self.targets.iter().any(|t| named(&t.generation_path)) {
            return Ok(());
        }
        for target in &self.targets {
            files::remove(&target.staging)?;
            files::remove(&target.generation_path)?;
        }
        ledger::remove(self.store, self.generation, &self.id)
    }
}

/// What a new manifest publishes: the `new` entries, and those of the `previous` one whose targets the
/// project still has and this run did not select.
pub fn merge(store: &Store, previous: Option<&Manifest>, new: Vec<Published>, models: &[ReadModel]) -> Result<Vec<Published>> {
    let mut wanted = Vec::new();
    for model in models {
        for target in &model.targets {
            wanted.push((model.name.as_str(), store.relative(&absolute(store, target_path(target)))?));
        }
    }
    let old = previous.map_or(&[][..], |m| &m.published);
    let kept = old.iter().filter(|p| {
        let still = wanted.iter().any(|(model, path)| *model == p.read_model && *path == p.path);
        still && !new.iter().any(|n| n.path == p.path)
    });
    let mut all: Vec<Published> = kept.cloned().collect();
    all.extend(new);
    Ok(all)
}

/// Where a target lies, as the project file has it.
pub fn target_path(target: &Target) -> &Path {
    match target {
        Target::Parquet { path, .. } | Target::DuckDb { path, .. } => path,
    }
}

/// Whether an entry of a manifest is that target's, in a project with this root.
pub fn is_of_target(root: &Path, target: &Target, published: &Published) -> bool {
    absolute_below(root, target_path(target)) == absolute_below(root, Path::new(&published.path))
}

fn absolute(store: &Store, path: &Path) -> PathBuf {
    absolute_below(store.root(), path)
}

fn absolute_below(root: &Path, path: &Path) -> PathBuf {
    let joined = root.join(path);
    joined.components().filter(|c| !matches!(c, std::path::Component::CurDir)).collect()
}

impl Staging {
    fn new(root: &Path, target: &Target, model: &str, generation: u64, id: &str, number: usize) -> Result<Staging> {
        let path = absolute_below(root, target_path(target));
        let bad = || Error::new(Kind::Project, format!("the target {} of `{model}` is not the name of a file or folder", path.display()));
        let name = path.file_name().and_then(|n| n.to_str()).ok_or_else(bad)?.to_string();
        let extension = path.extension().and_then(|e| e.to_str()).unwrap_or_default();
        let tag = format!("{generation}-{id}");
        let (kind, staging, generation_path) = match target {
            Target::Parquet { partition_by, .. } if extension.eq_ignore_ascii_case("parquet") && partition_by.is_empty() => {
                let staging = path.with_file_name(format!(".{name}.staging-{tag}"));
                (TargetKind::ParquetFile, staging, path.with_file_name(format!(".{name}.gen-{tag}")))
            }
            Target::Parquet { .. } => {
                let staging = path.with_file_name(format!(".{name}.staging-{tag}"));
                (TargetKind::ParquetDataset, staging, path.join(format!("gen-{tag}")))
            }
            Target::DuckDb { .. } => {
                let stem = path.file_stem().and_then(|s| s.to_str()).ok_or_else(bad)?;
                let dot = if extension.is_empty() { "" } else { "." };
                let staging = path.with_file_name(format!(".{name}.staging-{tag}"));
                (TargetKind::DuckDb, staging, path.with_file_name(format!("{stem}.gen-{tag}{dot}{extension}")))
            }
        };
        Ok(Staging {
            kind,
            models: vec![model.to_string()],
            path,
            staging,
            generation_path,
            alias: format!("_target_{number}"),
            staged: Vec::new(),
        })
    }

    /// Where the engine builds the DuckDB file, in a folder that keeps its write-ahead log with it.
    fn duckdb_file(&self) -> PathBuf {
        self.staging.join("build.duckdb")
    }
}

/// Eight random hex digits.
fn new_id() -> String {
    use std::hash::{BuildHasher, Hasher};
    let random = std::collections::hash_map::RandomState::new().build_hasher().finish();
    format!("{:08x}", random as u32)
}
