//! Whose is what lies under a target's name? foldline replaces only what foldline published.

use std::path::Path;

use crate::error::{Error, Kind, Result};
use crate::files;
use crate::state::Store;
use crate::state::manifest::{Manifest, Published, TargetKind};

/// Fails where replacing the target would destroy or hide something that foldline did not publish, as far
/// as the kept manifests know.
pub(super) fn check(store: &Store, kept: &[Manifest], kind: TargetKind, path: &Path) -> Result<()> {
    let Some(metadata) = files::stat(path)? else { return Ok(()) };
    let shown = store.relative(path)?;
    let ours = || kept.iter().flat_map(|m| &m.published).filter(|p| p.path == shown && p.kind == kind);
    let (mine, what) = match kind {
        TargetKind::ParquetFile => (metadata.is_file() && published_file(store, path, metadata.len(), ours())?, "a file"),
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
    Err(Error::new(Kind::Io, format!("{} is {found} that foldline did not publish", path.display()))
        .with_help(format!("foldline never replaces what is not its own; move it away, or name {what} that does not exist yet")))
}

fn published_file<'p>(store: &Store, path: &Path, size: u64, mut ours: impl Iterator<Item = &'p Published>) -> Result<bool> {
    let mut hash = None;
    ours.try_fold(false, |found, p| {
        if found || files::same_file(path, &store.resolve(&p.generation_path))? {
            return Ok(true);
        }
        if p.bytes != size {
            return Ok(false);
        }
        if hash.is_none() {
            hash = Some(files::hash(path)?.0);
        }
        Ok(hash.as_deref() == Some(&p.hash))
    })
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
