//! The swap: a target's name leads to its generation. Each swap is one rename, and doing it again changes
//! nothing, so that the next start can repeat what a crash cut off.

use std::path::{Path, PathBuf};

use super::owner;
use crate::error::{Error, Kind, Result};
use crate::files;
use crate::state::Store;
use crate::state::manifest::{Manifest, Published, TargetKind};

/// Swaps in every target of a committed manifest. Call it right after [`Store::commit`]; where it fails,
/// the generation is committed all the same, and [`super::recover`] finishes the job.
pub fn swap(store: &Store, manifest: &Manifest) -> Result<()> {
    let kept = store.manifests()?;
    for target in &manifest.published {
        swap_one(store, &kept, target)?;
    }
    Ok(())
}

/// Whether a target's name leads to its generation, in a project with this root.
pub fn leads_there(root: &Path, target: &Published) -> Result<bool> {
    let (path, generation) = (root.join(&target.path), root.join(&target.generation_path));
    let link = match target.kind {
        TargetKind::ParquetFile => return files::same_file(&path, &generation),
        TargetKind::DuckDb => path,
        TargetKind::ParquetDataset => path.join("current"),
    };
    let is_link = files::stat(&link)?.is_some_and(|m| m.is_symlink());
    Ok(is_link && files::read_link(&link)?.is_some_and(|l| Some(l.as_os_str()) == generation.file_name()))
}

/// True where something had to be changed.
pub(super) fn swap_one(store: &Store, kept: &[Manifest], target: &Published) -> Result<bool> {
    let path = store.resolve(&target.path);
    let generation = store.resolve(&target.generation_path);
    let swapped = match target.kind {
        TargetKind::ParquetFile => {
            if files::same_file(&path, &generation)? {
                false
            } else {
                owner::check(store, kept, target.kind, &path)?;
                let second = temporary(&path, target);
                files::remove_file(&second)?;
                if !files::hard_link(&generation, &second)? {
                    return Err(Error::new(Kind::Io, format!("{} was made by somebody else", second.display())));
                }
                files::failpoint("swap.linked")?;
                files::rename(&second, &path)?;
                true
            }
        }
        TargetKind::DuckDb => {
            owner::check(store, kept, target.kind, &path)?;
            relink(&path, &generation, &temporary(&path, target))?
        }
        TargetKind::ParquetDataset => {
            owner::check(store, kept, target.kind, &path)?;
            relink(&path.join("current"), &generation, &temporary(&path, target))?
        }
    };
    if swapped {
        let parent = if target.kind == TargetKind::ParquetDataset { Some(path.as_path()) } else { path.parent() };
        parent.map_or(Ok(()), files::sync_dir)?;
        files::failpoint("publish.swapped")?;
    }
    Ok(swapped)
}

/// Points the link at a file or folder beside it, through a new link made at `temporary`.
fn relink(link: &Path, generation: &Path, temporary: &Path) -> Result<bool> {
    let name = generation.file_name().map(PathBuf::from).unwrap_or_default();
    if files::read_link(link)?.is_some_and(|now| now == name) {
        return Ok(false);
    }
    files::remove_file(temporary)?;
    files::symlink(&name, temporary)?;
    files::failpoint("swap.linked")?;
    files::rename(temporary, link)?;
    Ok(true)
}

/// The second name of a target while it is swapped: beside it, never inside a dataset.
pub(super) fn temporary(path: &Path, target: &Published) -> PathBuf {
    let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    path.with_file_name(format!(".{name}.swap-{}", target.generation))
}
