//! Rows of read models: a table for a person, an object a line for a machine.

use std::fmt::Write;

use super::numbers::counted;
use super::printable;
use super::summary::Paint;

/// Characters of a value that a table shows.
const CELL_CHARS_MAX: usize = 40;

/// A table with a headline; `columns` are names and DuckDB's types, `total` is how many rows there are in all.
pub fn rows_table(name: &str, columns: &[(String, String)], rows: &[Vec<Option<String>>], total: u64, color: bool) -> String {
    let paint = Paint { color };
    let mut out = format!("{}: {}\n", paint.bold(name), counted(total, "row"));
    if rows.is_empty() {
        return out;
    }
    let header: Vec<String> = columns.iter().map(|(column, _)| printable(column)).collect();
    let cells: Vec<Vec<String>> = rows.iter().map(|row| row.iter().map(|value| cell(value.as_deref())).collect()).collect();
    let width = |column: usize| cells.iter().chain([&header]).map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..header.len()).map(width).collect();
    let mut line = |cells: &[String], bold: bool| {
        let mut text = String::new();
        for ((cell, width), (_, ty)) in cells.iter().zip(&widths).zip(columns) {
            let pad = " ".repeat(width - cell.chars().count());
            let padded = if is_number(ty) { format!("{pad}{cell}") } else { format!("{cell}{pad}") };
            let _ = write!(text, "{}{padded}", if text.is_empty() { "" } else { "  " });
        }
        let text = text.trim_end();
        let _ = writeln!(out, "{}", if bold { paint.bold(text) } else { text.to_string() });
    };
    line(&header, true);
    cells.iter().for_each(|row| line(row, false));
    let more = total.saturating_sub(rows.len() as u64);
    if more > 0 {
        let _ = writeln!(out, "… and {}", counted(more, "more row"));
    }
    out
}

fn cell(value: Option<&str>) -> String {
    let Some(value) = value else { return "NULL".into() };
    let mut text: String = value.chars().take(CELL_CHARS_MAX).collect();
    if value.chars().nth(CELL_CHARS_MAX).is_some() {
        text.push('…');
    }
    printable(&text)
}

fn is_number(ty: &str) -> bool {
    const NUMBERS: [&str; 13] = [
        "TINYINT",
        "SMALLINT",
        "INTEGER",
        "BIGINT",
        "HUGEINT",
        "UTINYINT",
        "USMALLINT",
        "UINTEGER",
        "UBIGINT",
        "UHUGEINT",
        "FLOAT",
        "DOUBLE",
        "DECIMAL",
    ];
    NUMBERS.contains(&ty.split('(').next().unwrap_or_default()) && !ty.ends_with(']')
}

/// A row as one JSON object with the read model's name, without a line break: numbers and booleans bare, everything else
/// as DuckDB's text of it.
pub fn row_json(read_model: &str, columns: &[(String, String)], row: &[Option<&str>]) -> String {
    let mut out = format!("{{\"read_model\":{},\"row\":{{", quoted(read_model));
    for (number, ((column, ty), value)) in columns.iter().zip(row).enumerate() {
        let _ = write!(out, "{}{}:", if number > 0 { "," } else { "" }, quoted(column));
        match value {
            None => out.push_str("null"),
            Some(value) if ty == "BOOLEAN" => out.push_str(value),
            // infinity and the like are no JSON
            Some(value) if is_number(ty) && serde_json::from_str::<serde_json::Number>(value).is_ok() => out.push_str(value),
            Some(value) => out.push_str(&quoted(value)),
        }
    }
    out.push_str("}}");
    out
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn columns(columns: &[(&str, &str)]) -> Vec<(String, String)> {
        columns.iter().map(|(name, ty)| (name.to_string(), ty.to_string())).collect()
    }

    #[test]
    fn rows_stand_in_columns_and_say_how_many_are_left_out() {
        let columns = columns(&[("id", "VARCHAR"), ("total", "DECIMAL(18,2)")]);
        let rows = [vec![Some("a\u{1b}[2J".into()), Some("1.50".into())], vec![Some("b".into()), None]];
        let expected = "orders: 12 rows\nid          total\na\\u001b[2J   1.50\nb            NULL\n… and 10 more rows\n";
        assert_eq!(rows_table("orders", &columns, &rows, 12, false), expected);
    }

    #[test]
    fn json_has_numbers_bare_where_json_knows_them() {
        let columns = columns(&[("a", "DOUBLE"), ("b", "DOUBLE"), ("c", "BOOLEAN"), ("d", "INTEGER[]"), ("e", "DATE")]);
        let row = row_json("m", &columns, &[Some("1.5"), Some("inf"), Some("true"), Some("[1]"), None]);
        assert_eq!(row, r#"{"read_model":"m","row":{"a":1.5,"b":"inf","c":true,"d":"[1]","e":null}}"#);
    }
}
