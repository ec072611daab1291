//! The swap: a target's name leads to its generation. Each swap is one step for readers, and doing it again
//! changes nothing, so that the next start can repeat what a crash cut off.
//!
//! A name that nothing has is taken by making it, which fails where somebody was faster. A name that leads to
//! an older generation changes places with a second name beside it; whatever comes out of the target's name
//! is looked at, and put back where it is not what was seen there before: so nobody's file is lost, not even
//! one that was put there in between.

use std::path::{Path, PathBuf};

use super::owner;
use crate::error::{Error, Kind, Result};
use crate::files;
use crate::state::Store;
use crate::state::manifest::{Manifest, Published, TargetKind};

/// Swaps in every target of a committed manifest. Call it right after [`Store::commit`]; where it fails,
/// the generation is committed all the same, and [`super::recover`] finishes the job. A target that cannot
/// be swapped in does not hold up the others; the first error is told.
pub fn swap(store: &Store, manifest: &Manifest) -> Result<()> {
    let kept = store.manifests()?;
    let mut failed = None;
    for target in &manifest.published {
        if let Err(error) = swap_one(store, &kept, target) {
            if error.kind == Kind::Internal {
                return Err(error);
            }
            failed.get_or_insert(error);
        }
    }
    failed.map_or(Ok(()), |error| {
        Err(error.with_help(format!(
            "nothing is lost: generation {} is committed, and the next run swaps in what is missing",
            manifest.generation
        )))
    })
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
    let name = match target.kind {
        TargetKind::ParquetDataset => path.join("current"),
        _ => path.clone(),
    };
    if target.kind == TargetKind::ParquetFile && files::same_file(&name, &generation)? {
        return Ok(false);
    }
    let before = files::identity(&name)?;
    owner::check(store.root(), kept, target.kind, &path)?;
    let link = (target.kind != TargetKind::ParquetFile).then(|| generation.file_name().map(PathBuf::from).unwrap_or_default());
    if link.is_some() && files::read_link(&name)? == link {
        return Ok(false);
    }
    let lead = |name: &Path| match &link {
        Some(link) => files::symlink(link, name),
        None => files::hard_link(&generation, name),
    };
    if before.is_none() {
        files::failpoint("swap.linked")?;
        if !lead(&name)? {
            return Err(taken(&name));
        }
    } else {
        let second = temporary(&path, target);
        clear(store, kept, target)?;
        if !lead(&second)? {
            return Err(Error::new(Kind::Io, format!("{} was made by somebody else", second.display()))
                .with_help("foldline never removes what is not its own; move it away"));
        }
        files::failpoint("swap.linked")?;
        exchange(&second, &name, before)?;
    }
    name.parent().map_or(Ok(()), files::sync_dir)?;
    files::failpoint("publish.swapped")?;
    Ok(true)
}

/// Puts the new name in the place of the old one, which was `before` when its owner was looked at.
fn exchange(second: &Path, name: &Path, before: Option<(u64, u64)>) -> Result<()> {
    if files::exchange(second, name)? {
        files::failpoint("swap.exchanged")?;
        let was_ours = files::identity(second)? == before;
        if !was_ours {
            files::exchange(second, name)?;
        }
        files::remove_file(second)?;
        return if was_ours { Ok(()) } else { Err(taken(name)) };
    }
    // the system cannot exchange names: as near to it as looking comes
    if files::identity(name)? != before {
        files::remove_file(second)?;
        return Err(taken(name));
    }
    files::rename(second, name)
}

fn taken(name: &Path) -> Error {
    Error::new(Kind::Io, format!("{} was put there by somebody else while foldline published", name.display()))
        .with_help("foldline never replaces what is not its own; move it away")
}

/// The second name of a target while it is swapped: beside it, never inside a dataset.
pub(super) fn temporary(path: &Path, target: &Published) -> PathBuf {
    let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    path.with_file_name(format!(".{name}.swap-{}", target.generation))
}

/// Removes the second name that a swap left when it was cut off, if it leads to something of ours.
pub(super) fn clear(store: &Store, kept: &[Manifest], target: &Published) -> Result<()> {
    let path = store.resolve(&target.path);
    let second = temporary(&path, target);
    let Some(metadata) = files::stat(&second)? else { return Ok(()) };
    let is_ours = match target.kind {
        TargetKind::ParquetFile => metadata.is_file() && owner::published_file(store.root(), kept, &path, &second)?,
        _ => metadata.is_symlink(),
    };
    if is_ours { files::remove_file(&second) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_put_under_a_name_in_between_is_put_back() {
        let dir = tempfile::tempdir().unwrap();
        let [second, name] = ["second", "name"].map(|n| dir.path().join(n));
        let write = |path: &Path, text: &str| std::fs::write(path, text).unwrap();
        write(&name, "old generation");
        let before = files::identity(&name).unwrap();
        // a new file, made while the old one is still there: it cannot have its inode
        let users = dir.path().join("users");
        write(&users, "the user's");
        files::rename(&users, &name).unwrap();
        write(&second, "new generation");
        let error = exchange(&second, &name, before).unwrap_err();
        assert!(error.message.contains("somebody else") && error.kind == Kind::Io, "{error}");
        assert_eq!(std::fs::read_to_string(&name).unwrap(), "the user's");
        assert!(!second.exists());

        write(&second, "new generation");
        exchange(&second, &name, files::identity(&name).unwrap()).unwrap();
        assert_eq!(std::fs::read_to_string(&name).unwrap(), "new generation");
        assert!(!second.exists());
    }
}
