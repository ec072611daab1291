//! SQL text that foldline writes itself: quoted names and literals, and views over Parquet files that
//! turn the storage of `state::arrow` back into the declared types.

use std::path::Path;

use super::inputs::TableInput;
use crate::error::{Error, Kind, Result};
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
    let mut columns = Vec::with_capacity(table.columns.len());
    for (column, ty) in &table.columns {
        let stored = if table.files.is_empty() { "NULL".to_string() } else { restored(&quote(column), ty, 0) };
        columns.push(format!("CAST({stored} AS {ty}) AS {}", quote(column)));
    }
    let columns = columns.join(", ");
    if table.files.is_empty() {
        return Ok(format!("CREATE VIEW {name} AS SELECT {columns} WHERE false"));
    }
    let files = table.files.iter().map(|f| Ok(literal(&path_pattern(f)?))).collect::<Result<Vec<_>>>()?.join(", ");
    Ok(format!(
        "CREATE VIEW {name} AS SELECT {columns} FROM read_parquet([{files}], hive_partitioning = false, filename = false, union_by_name = false)"
    ))
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
