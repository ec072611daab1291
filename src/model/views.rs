//! SQL text that foldline writes itself: quoted names and literals, and views over Parquet files that
//! turn the storage of `state::arrow` back into the declared types.

use std::path::{Path, PathBuf};

use super::inputs::TableInput;
use crate::error::{Error, Kind, Result};
use crate::fold::TOMBSTONE_COLUMN;
use crate::sql::Type;

/// An identifier, always quoted.
pub(crate) fn quote(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A string literal.
pub(crate) fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// A path as DuckDB's file functions take it, with the characters of glob patterns made literal.
pub(super) fn path_pattern(path: &Path) -> Result<String> {
    let text = path_text(path)?;
    Ok(text.chars().fold(String::with_capacity(text.len()), |mut out, c| {
        if matches!(c, '*' | '?' | '[') {
            out.extend(['[', c, ']']);
        } else {
            out.push(c);
        }
        out
    }))
}

pub(super) fn path_text(path: &Path) -> Result<&str> {
    path.to_str()
        .filter(|p| !p.contains('\0'))
        .ok_or_else(|| Error::new(Kind::Project, format!("the path {} is not UTF-8", path.display())))
}

/// `CREATE VIEW <name> AS …` over exactly the table's files. `name` is quoted already.
pub(super) fn create_view(name: &str, table: &TableInput) -> Result<String> {
    let is_empty = table.all_files().next().is_none();
    let mut columns = Vec::with_capacity(table.columns.len());
    for (column, ty) in &table.columns {
        let stored = if is_empty { "NULL".to_string() } else { restored(&quote(column), ty, 0) };
        columns.push(format!("CAST({stored} AS {ty}) AS {}", quote(column)));
    }
    let columns = columns.join(", ");
    if is_empty {
        return Ok(format!("CREATE VIEW {name} AS SELECT {columns} WHERE false"));
    }
    Ok(format!("CREATE VIEW {name} AS SELECT {columns} FROM {}", stored_rows(table)?))
}

/// What to select the stored columns from: the files, or where there are deltas, of each file the rows whose keys no
/// newer one has.
fn stored_rows(table: &TableInput) -> Result<String> {
    if table.deltas.is_empty() {
        return read_parquet(&table.files);
    }
    let names = |columns: &[(String, Type)]| columns.iter().map(|(name, _)| quote(name)).collect::<Vec<_>>().join(", ");
    let (columns, keys) = (names(&table.columns), names(&table.columns[..table.keys.min(table.columns.len())]));
    let mut newest_last = Vec::new();
    for level in 0..=table.deltas.len() {
        let (files, live) = match level.checked_sub(1) {
            None => (&table.files, String::new()),
            Some(delta) => (&table.deltas[delta], format!(" WHERE NOT {}", quote(TOMBSTONE_COLUMN))),
        };
        if files.is_empty() {
            continue;
        }
        let newer: Vec<PathBuf> = table.deltas[level..].iter().flatten().cloned().collect();
        let replaced = match newer.is_empty() {
            true => String::new(),
            false => format!(" ANTI JOIN (SELECT {keys} FROM {}) USING ({keys})", read_parquet(&newer)?),
        };
        newest_last.push(format!("SELECT {columns} FROM {}{replaced}{live}", read_parquet(files)?));
    }
    Ok(format!("({})", newest_last.join(" UNION ALL ")))
}

fn read_parquet(files: &[PathBuf]) -> Result<String> {
    let files = files.iter().map(|f| Ok(literal(&path_pattern(f)?))).collect::<Result<Vec<_>>>()?.join(", ");
    Ok(format!("read_parquet([{files}], hive_partitioning = false, filename = false, union_by_name = false)"))
}

/// An expression that gives the value which `state::arrow` stored as `stored`; a cast to `ty` goes around it.
fn restored(stored: &str, ty: &Type, depth: usize) -> String {
    if !is_encoded(ty) {
        return stored.to_string();
    }
    let v = format!("_v{depth}");
    match ty {
        Type::Uuid => format!("CAST(lower(hex({stored})) AS UUID)"),
        Type::Interval => {
            format!("(to_months({stored}.months) + to_days({stored}.days) + to_microseconds({stored}.micros))")
        }
        Type::List(inner) => format!("list_transform({stored}, lambda {v}: {})", restored(&v, inner, depth + 1)),
        Type::Struct(fields) => {
            let fields: Vec<String> = fields
                .iter()
                .map(|(name, ty)| {
                    let field = format!("struct_extract({stored}, {})", literal(name));
                    format!("{}: {}", literal(name), restored(&field, ty, depth + 1))
                })
                .collect();
            format!("CASE WHEN {stored} IS NOT NULL THEN {{{}}} END", fields.join(", "))
        }
        Type::Map(key, value) => {
            let (key, value) = (restored(&v, key, depth + 1), restored(&v, value, depth + 1));
            format!(
                "CASE WHEN {stored} IS NOT NULL THEN map(list_transform(map_keys({stored}), lambda {v}: {key}), \
                 list_transform(map_values({stored}), lambda {v}: {value})) END"
            )
        }
        _ => stored.to_string(),
    }
}

/// Whether a cast alone does not bring the type back.
fn is_encoded(ty: &Type) -> bool {
    match ty {
        Type::Uuid | Type::Interval => true,
        Type::List(inner) => is_encoded(inner),
        Type::Struct(fields) => fields.iter().any(|(_, ty)| is_encoded(ty)),
        Type::Map(key, value) => is_encoded(key) || is_encoded(value),
        _ => false,
    }
}
