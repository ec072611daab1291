//! `foldline path`: where the current generation of a read model lies.

use super::{Context, Done, rollback};
use crate::error::{Error, Kind};
use crate::state::manifest::TargetKind;
use crate::state::store;

pub fn path(context: &Context, read_model: Option<&str>, all: bool) -> Done {
    let project = context.project()?;
    let last = store::newest(&project.root.join(".foldline")).map_err(|e| vec![e])?;
    let published = last.as_ref().map_or(&[][..], |m| &m.published);
    let wanted = |name: &str| all || read_model.is_some_and(|r| r.eq_ignore_ascii_case(name));
    let found: Vec<_> = published.iter().filter(|p| wanted(&p.read_model)).collect();
    if found.is_empty() {
        let error = match read_model {
            Some(name) if !project.read_models.iter().any(|m| m.name.eq_ignore_ascii_case(name)) => {
                let names: Vec<&str> = project.read_models.iter().map(|m| m.name.as_str()).collect();
                Error::new(Kind::Usage, format!("there is no read model `{name}`"))
                    .with_help(format!("the project has {}", names.join(", ")))
            }
            _ => Error::new(Kind::NoInput, "nothing is published yet").with_help("`foldline run` publishes"),
        };
        return Err(vec![error]);
    }
    let pinned = last.as_ref().and_then(|m| m.pinned.as_ref());
    if context.json {
        let entries: Vec<_> = found
            .iter()
            .map(|p| serde_json::json!({ "read_model": p.read_model, "kind": kind(p.kind), "path": project.root.join(&p.generation_path) }))
            .collect();
        return context.print(&format!(
            "{}\n",
            serde_json::json!({ "generation": last.as_ref().map(|m| m.generation), "pinned": pinned, "targets": entries })
        ));
    }
    if let Some(pinned) = last.as_ref().and_then(rollback::pinned_text) {
        context.say(&format!("{pinned}\n"));
    }
    // read models that share a DuckDB file share its line
    let mut paths: Vec<_> = Vec::new();
    for published in found {
        let path = project.root.join(&published.generation_path);
        if !paths.contains(&path) {
            paths.push(path);
        }
    }
    context.print_exactly(&paths.iter().map(|path| format!("{}\n", path.display())).collect::<String>())
}

/// The kinds as the report of a run names them.
fn kind(kind: TargetKind) -> &'static str {
    match kind {
        TargetKind::DuckDb => "duckdb",
        TargetKind::ParquetFile | TargetKind::ParquetDataset => "parquet",
    }
}
