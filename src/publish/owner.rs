//! Whose is what lies under a target's name? foldline replaces only what foldline published.

use std::path::{Path, PathBuf};

use super::absolute_below;
use crate::error::{Error, Kind, Result};
use crate::files;
use crate::state::manifest::{Manifest, Published, TargetKind};

/// Fails where replacing the target would destroy or hide something that foldline did not publish, as far
/// as the kept manifests know. `root` is the project's folder.
pub(super) fn check(root: &Path, kept: &[Manifest], kind: TargetKind, path: &Path) -> Result<()> {
    let log = (kind == TargetKind::DuckDb).then(|| write_ahead_log(path));
    let has_log = log.as_ref().map_or(Ok(None), |log| files::stat(log))?.is_some();
    let Some(metadata) = files::stat(path)? else {
        return match log.filter(|_| has_log) {
            Some(log) => Err(orphaned_log(&log, path)),
            None => Ok(()),
        };
    };
    let (mine, what) = match kind {
        TargetKind::ParquetFile => (metadata.is_file() && published_file(root, kept, path, path)?, "a file"),
        TargetKind::DuckDb => (metadata.is_symlink() && our_link(path)?, "a file"),
        TargetKind::ParquetDataset => (metadata.is_dir() && our_folder(path)?, "a folder"),
    };
    if mine {
        return Ok(());
    }
    let found = match &metadata {
        m if m.is_dir() => "a folder",
        m if m.is_symlink() => "a link",
        _ => "a file",
    };
    let mut error = Error::new(Kind::Io, format!("{} is {found} that foldline did not publish", path.display()))
        .with_help(format!("foldline never replaces what is not its own; move it away, or name {what} that does not exist yet"));
    if let Some(log) = log.filter(|_| has_log) {
        error = error.with_help(format!(
            "{} beside it holds changes that are not in it yet: move both together, or close the database with `CHECKPOINT` first",
            log.display()
        ));
    }
    Err(error)
}

/// Whether the file at `found` is what some kept manifest published under the name `path`.
pub(super) fn published_file(root: &Path, kept: &[Manifest], path: &Path, found: &Path) -> Result<bool> {
    let Some(metadata) = files::stat(found)? else { return Ok(false) };
    let is_ours = |p: &&Published| p.kind == TargetKind::ParquetFile && absolute_below(root, Path::new(&p.path)) == path;
    let mut hash = None;
    for published in kept.iter().flat_map(|m| &m.published).filter(is_ours) {
        if files::same_file(found, &root.join(&published.generation_path))? {
            return Ok(true);
        }
        if published.bytes != metadata.len() {
            continue;
        }
        if hash.is_none() {
            hash = Some(files::hash(found)?.0);
        }
        if hash.as_deref() == Some(&published.hash) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Where DuckDB keeps the changes to a database file that are not in it yet.
pub(super) fn write_ahead_log(path: &Path) -> PathBuf {
    let mut log = path.to_path_buf().into_os_string();
    log.push(".wal");
    PathBuf::from(log)
}

fn orphaned_log(log: &Path, path: &Path) -> Error {
    let database = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    Error::new(Kind::Io, format!("{} belongs to a DuckDB file that is not there", log.display()))
        .with_help(format!(
            "it holds changes to another `{database}`, which foldline would take the name of: put it back beside its database and close that with `CHECKPOINT`, or move it away"
        ))
}

/// A relative link to a generation beside it.
fn our_link(path: &Path) -> Result<bool> {
    let Some(target) = files::read_link(path)? else { return Ok(false) };
    let stem = path.file_stem().and_then(|s| s.to_str()).unwrap_or_default();
    Ok(target.components().count() == 1 && target.to_str().is_some_and(|t| t.starts_with(&format!("{stem}.gen-"))))
}

/// Nothing in it but generations and `current`.
fn our_folder(path: &Path) -> Result<bool> {
    for entry in files::list(path)? {
        let name = entry.file_name().and_then(|n| n.to_str()).unwrap_or_default();
        let Some(metadata) = files::stat(&entry)? else { continue };
        let mine = match name {
            "current" => {
                metadata.is_symlink() && files::read_link(&entry)?.is_some_and(|l| l.to_str().is_some_and(|l| l.starts_with("gen-")))
            }
            name => metadata.is_dir() && name.starts_with("gen-"),
        };
        if !mine {
            return Ok(false);
        }
    }
    Ok(true)
}
