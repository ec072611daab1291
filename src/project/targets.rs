//! `[[read_model.<name>.to]]`: where read models are published.

use std::path::{Component, Path, PathBuf};

use super::Target;
use super::diagnostics::{Diagnostic, Place};
use super::toml_walk::{Table, Text};

/// Every path that the project writes, so that no two targets meet.
#[derive(Default)]
pub(crate) struct Taken(Vec<TakenPath>);

struct TakenPath {
    path: PathBuf,
    place: Place,
    /// The table, where several read models may share the file.
    table: Option<String>,
}

pub(crate) fn read(
    place: &Place,
    table: &Table,
    read_model: &str,
    folder: &Path,
    taken: &mut Taken,
    found: &mut Vec<Diagnostic>,
) -> Option<Target> {
    let columns = |key: &str| table.strings(key);
    match (table.text("parquet"), table.text("duckdb")) {
        (Some(text), None) => {
            let path = resolve(text, folder, found)?;
            taken.add(&path, text, None, found);
            let single = path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("parquet"));
            if let (true, Some(entry)) = (single, table.entry("partition_by")) {
                found.push(
                    Diagnostic::new("a single Parquet file cannot have `partition_by`", &entry.key_place)
                        .also(&text.place, "ends in .parquet, so it is one file")
                        .help(format!("name a folder: `parquet = {:?}`", text.value.trim_end_matches(".parquet"))),
                );
            }
            Some(Target::Parquet { path, partition_by: columns("partition_by"), sort_by: columns("sort_by") })
        }
        (None, Some(text)) => {
            let path = resolve(text, folder, found)?;
            taken.add(&path, text, Some(read_model), found);
            if let Some(entry) = table.entry("partition_by") {
                found.push(
                    Diagnostic::new("a DuckDB table cannot have `partition_by`", &entry.key_place)
                        .help("publish a Parquet dataset beside it: another [[read_model.<name>.to]] with `parquet`"),
                );
            }
            Some(Target::DuckDb { path, sort_by: columns("sort_by") })
        }
        (Some(_), Some(text)) => {
            found.push(
                Diagnostic::new("a target is either `parquet` or `duckdb`", &text.place)
                    .help("write two: another [[read_model.<name>.to]]"),
            );
            None
        }
        (None, None) => {
            if table.get("parquet").is_none() && table.get("duckdb").is_none() {
                found.push(
                    Diagnostic::new("the target has no place", place)
                        .help("say where: `parquet = \"out/name.parquet\"` or `duckdb = \"out/name.duckdb\"`"),
                );
            }
            None
        }
    }
}

fn resolve(text: &Text, folder: &Path, found: &mut Vec<Diagnostic>) -> Option<PathBuf> {
    if text.value.trim().is_empty() || text.value.contains('\0') {
        found.push(Diagnostic::new("the target's path is empty", &text.place));
        return None;
    }
    let path = normal(&folder.join(&text.value));
    if path.starts_with(normal(&folder.join(".foldline"))) {
        found.push(
            Diagnostic::new("a target cannot lie in `.foldline`, which is foldline's own", &text.place)
                .help("name another folder: `parquet = \"out/name.parquet\"`"),
        );
        return None;
    }
    if path.file_name().is_none() || normal(folder).starts_with(&path) {
        found.push(
            Diagnostic::new("a target cannot replace the project's own folder", &text.place)
                .help("name a file or folder inside of it: \"out/name.parquet\""),
        );
        return None;
    }
    Some(path)
}

/// Without `.` and with `..` taken back, by the text alone.
fn normal(path: &Path) -> PathBuf {
    let mut out = PathBuf::new();
    for component in path.components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir if matches!(out.components().next_back(), Some(Component::Normal(_))) => {
                out.pop();
            }
            component => out.push(component),
        }
    }
    out
}

impl Taken {
    fn add(&mut self, path: &Path, text: &Text, table: Option<&str>, found: &mut Vec<Diagnostic>) {
        for other in &self.0 {
            let shared = other.path == path && table.is_some() && other.table.is_some() && other.table.as_deref() != table;
            let meets = other.path.starts_with(path) || path.starts_with(&other.path);
            if meets && !shared {
                let same = other.path == path;
                let message = if same {
                    format!("two targets write {:?}", text.value)
                } else {
                    format!("the target {:?} and another one lie within each other", text.value)
                };
                found.push(
                    Diagnostic::new(message, &text.place)
                        .also(&other.place, "the other one")
                        .help("give each target a path of its own; read models can share a DuckDB file"),
                );
                return;
            }
        }
        self.0.push(TakenPath { path: path.to_path_buf(), place: text.place.clone(), table: table.map(str::to_string) });
    }
}
