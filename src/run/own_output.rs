//! What foldline writes is no log: a glob that matches it is refused.

use std::path::{Path, PathBuf};

use crate::error::{Error, Kind, Result};
use crate::files;
use crate::project::{Project, Target};
use crate::source::files::LogFile;

/// Fails where a file of a source lies in `.foldline`, or is a target of the project or one of its generations; also
/// where it is a link to such a file.
pub fn refuse_own_output(project: &Project, source: usize, found: &[LogFile]) -> Result<()> {
    let root = &project.root;
    let folders = [Some(root.clone()), root.canonicalize().ok()];
    let ours: Vec<PathBuf> = folders.into_iter().flatten().collect();
    let targets: Vec<&Target> = project.read_models.iter().flat_map(|model| &model.targets).collect();
    for file in found {
        let path = match files::read_link(&file.path)? {
            Some(_) => file.path.canonicalize().map_err(|e| Error::io("read", &file.path, e))?,
            None => file.path.clone(),
        };
        let what = ours.iter().find_map(|root| match path.starts_with(root.join(".foldline")) {
            true => Some("a file of `.foldline`".to_string()),
            false => targets.iter().find_map(|target| is_of_target(root, target, &path)),
        });
        if let Some(what) = what {
            let name = &project.sources[source].name;
            return Err(Error::new(Kind::Project, format!("[source.{name}] names {what}, which foldline writes itself"))
                .at(file.name.clone())
                .with_help("keep logs and targets in folders of their own, or make the glob narrower"));
        }
    }
    Ok(())
}

fn is_of_target(root: &Path, target: &Target, path: &Path) -> Option<String> {
    let (Target::Parquet { path: target, .. } | Target::DuckDb { path: target, .. }) = target;
    let target = root.join(target);
    if path.starts_with(&target) {
        return Some(format!("the target {}", target.display()));
    }
    let (name, own) = (target.file_name()?.to_str()?, path.file_name()?.to_str()?);
    let stem = target.file_stem()?.to_str()?;
    let generation = own.starts_with(&format!(".{name}.gen-")) || own.starts_with(&format!("{stem}.gen-"));
    (generation && path.parent() == target.parent()).then(|| format!("a generation of the target {}", target.display()))
}
