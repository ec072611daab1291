//! Targets that no manifest will name (`--target-dir`): finished ones get their plain names, all or none.

use std::path::{Path, PathBuf};

use crate::error::{Error, Kind, Result};
use crate::files;
use crate::state::Store;
use crate::state::manifest::{Published, TargetKind};

/// Moves what a publication finished to the targets' own names: a file, a folder of partitions. Nothing that exists
/// there is replaced. On an error what was moved is removed again.
pub fn settle(store: &Store, published: &[Published]) -> Result<()> {
    let mut settled: Vec<PathBuf> = Vec::new();
    let result = published.iter().try_for_each(|entry| {
        let (path, made) = (store.resolve(&entry.path), store.resolve(&entry.generation_path));
        // read models that share a DuckDB file are one target
        if settled.contains(&path) {
            return Ok(());
        }
        match entry.kind {
            TargetKind::ParquetDataset => {
                let beside = name_beside(&path, &made);
                files::rename(&made, &beside)?;
                settled.push(beside.clone());
                files::remove_empty_dir(&path)?;
                files::rename(&beside, &path)?;
                settled.pop();
            }
            TargetKind::ParquetFile | TargetKind::DuckDb => {
                if !files::hard_link(&made, &path)? {
                    return Err(Error::new(Kind::Io, format!("{} appeared meanwhile", path.display()))
                        .with_help("it is left as it is; name a folder of your own with `--target-dir`"));
                }
                files::remove_file(&made)?;
            }
        }
        settled.push(path.clone());
        path.parent().map_or(Ok(()), files::sync_dir)
    });
    if result.is_err() {
        settled.iter().try_for_each(|path| files::remove(path))?;
    }
    result
}

/// A name in the target's folder, made of the target's and the generation's own, which is random.
fn name_beside(path: &Path, made: &Path) -> PathBuf {
    let name = |path: &Path| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    path.with_file_name(format!(".{}.{}", name(path), name(made)))
}
