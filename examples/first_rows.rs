//! Prints the first rows of a Parquet file as a table: `cargo run --example first_rows -- FILE [ROWS]`.

use std::process::ExitCode;

fn main() -> ExitCode {
    let mut args = std::env::args().skip(1);
    let Some(file) = args.next() else {
        eprintln!("usage: first_rows FILE [ROWS]");
        return ExitCode::from(2);
    };
    let rows = args.next().and_then(|rows| rows.parse().ok()).unwrap_or(10);
    match first_rows(&file, rows) {
        Ok(table) => {
            print!("{table}");
            ExitCode::SUCCESS
        }
        Err(e) => {
            eprintln!("error: {e}");
            ExitCode::FAILURE
        }
    }
}

fn first_rows(file: &str, rows: u64) -> duckdb::Result<String> {
    let connection = duckdb::Connection::open_in_memory()?;
    // COLUMNS(*) turns every column into text, whatever its type.
    let mut statement = connection.prepare("SELECT coalesce(CAST(COLUMNS(*) AS VARCHAR), '') FROM read_parquet(?) LIMIT ?")?;
    let mut found = statement.query(duckdb::params![file, rows])?;
    let mut table: Vec<Vec<String>> = Vec::new();
    while let Some(row) = found.next()? {
        if table.is_empty() {
            table.push(row.as_ref().column_names());
        }
        let columns = table[0].len();
        table.push((0..columns).map(|c| row.get(c)).collect::<Result<_, _>>()?);
    }
    let columns = table.first().map_or(0, Vec::len);
    let widths: Vec<usize> = (0..columns).map(|c| table.iter().map(|row| row[c].chars().count()).max().unwrap_or(0)).collect();
    let mut out = String::new();
    for row in &table {
        let cells: Vec<String> = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        out.push_str(cells.join("  ").trim_end());
        out.push('\n');
    }
    Ok(out)
}
