//! What a crash left undone, and what is left over: both decided by the manifests alone.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{ledger, owner, swap};
use crate::error::Result;
use crate::files;
use crate::state::Store;
use crate::state::manifest::{Published, TargetKind};

/// What [`recover`] found and did.
#[derive(Debug, Default)]
pub struct Recovered {
    /// Targets whose swap a crash had cut off; now done.
    pub rolled_forward: Vec<Published>,
    /// Targets that are gone or were changed since they were published: publish their read models again.
    pub damaged: Vec<Published>,
}

/// Finishes what an earlier run committed, and removes what it did not: the first thing that every run
/// does under the lock.
pub fn recover(store: &Store) -> Result<Recovered> {
    let kept = store.manifests()?;
    let mut recovered = Recovered::default();
    let mut refused = None;
    if let Some(newest) = kept.first() {
        for target in &newest.published {
            swap::clear(store, &kept, target)?;
            if is_damaged(store, target)? {
                recovered.damaged.push(target.clone());
                continue;
            }
            match swap::swap_one(store, &kept, target) {
                Ok(true) => recovered.rolled_forward.push(target.clone()),
                Ok(false) => {}
                // somebody's file under one name does not hold up the others
                Err(error) => refused = refused.or(Some(error)),
            }
        }
    }
    if let Some(error) = refused {
        return Err(error);
    }
    sweep(store)?;
    Ok(recovered)
}

/// Removes generations beyond the newest `keep` that are older than `grace` and that no rollback holds:
/// manifests first, then data files, then targets.
pub fn collect_garbage(store: &Store, keep: usize, grace: Duration) -> Result<()> {
    store.collect_garbage(keep, grace)?;
    sweep(store)
}

/// Removes what the ledgers name and no kept manifest does, except what some target still leads to.
fn sweep(store: &Store) -> Result<()> {
    let Some(kept) = store.whole_manifests()? else { return Ok(()) };
    let named: HashSet<PathBuf> = kept.iter().flat_map(|m| &m.published).map(|p| store.resolve(&p.generation_path)).collect();
    for ledger in ledger::all(store)? {
        let mut alive = false;
        for entry in &ledger.entries {
            let (target, staging) = (store.resolve(&entry.target), store.resolve(&entry.staging));
            let generation = store.resolve(&entry.generation_path);
            if !carries(&staging, &ledger.id) || !carries(&generation, &ledger.id) {
                continue;
            }
            files::remove(&staging)?;
            if named.contains(&generation) || leads_to(&target, &generation)? || leads_to(&target.join("current"), &generation)? {
                alive = true;
            } else {
                files::remove(&generation)?;
                // What a reader that opened the DuckDB file for writing left beside it.
                files::remove(&owner::write_ahead_log(&generation))?;
                files::failpoint("garbage.target_removed")?;
            }
        }
        if !alive {
            ledger::remove(store, ledger.generation, &ledger.id)?;
        }
    }
    Ok(())
}

/// A name that foldline made: nothing else is ever removed.
fn carries(path: &Path, id: &str) -> bool {
    id.len() == 8 && path.file_name().and_then(|n| n.to_str()).is_some_and(|n| n.contains(&format!("-{id}")))
}

fn leads_to(link: &Path, generation: &Path) -> Result<bool> {
    Ok(files::stat(link)?.is_some_and(|m| m.is_symlink())
        && files::read_link(link)?.is_some_and(|l| Some(l.as_os_str()) == generation.file_name()))
}

/// The first file of a target whose bytes are not those that were published, however its size and times look.
pub(super) fn changed_file(store: &Store, target: &Published) -> Result<Option<PathBuf>> {
    let path = store.resolve(&target.generation_path);
    let is_changed = |path: &Path, hash: &str| -> Result<bool> {
        Ok(match files::stat(path)? {
            Some(metadata) if metadata.is_file() => files::hash(path)?.0 != hash,
            _ => true,
        })
    };
    match target.kind {
        TargetKind::ParquetDataset => {
            if files::stat(&path)?.is_none() {
                return Ok(Some(path));
            }
            for file in &target.files {
                if is_changed(&path.join(&file.path), &file.hash)? {
                    return Ok(Some(path.join(&file.path)));
                }
            }
            Ok(None)
        }
        _ => Ok((is_damaged(store, target)? || is_changed(&path, &target.hash)?).then_some(path)),
    }
}

/// Gone or changed. A file whose size and time of change are as they were is taken as unchanged; a DuckDB file
/// with a write-ahead log beside it shows other rows than those that were published.
fn is_damaged(store: &Store, target: &Published) -> Result<bool> {
    let path = store.resolve(&target.generation_path);
    let Some(metadata) = files::stat(&path)? else { return Ok(true) };
    if target.kind == TargetKind::ParquetDataset {
        for file in &target.files {
            if files::stat(&path.join(&file.path))?.is_none_or(|m| m.len() != file.bytes) {
                return Ok(true);
            }
        }
        return Ok(false);
    }
    let has_log = target.kind == TargetKind::DuckDb && files::stat(&owner::write_ahead_log(&path))?.is_some_and(|log| log.len() > 0);
    if metadata.len() != target.bytes || has_log {
        return Ok(true);
    }
    Ok(files::modified_nanos(&metadata) != target.modified && files::hash(&path)?.0 != target.hash)
}
