//! What an engine may see: the tables of one generation, each with its columns' types and its files.

use std::path::PathBuf;

use crate::fold::{rows_schema, schema};
use crate::project::{EventTable, Project};
use crate::sql::Type;

/// Everything that the SQL of read models may name, except other read models.
#[derive(Debug, Clone, Default)]
pub struct Inputs {
    pub aggregates: Vec<AggregateInput>,
    /// `events."<name>"`
    pub event_tables: Vec<TableInput>,
    /// CSV files with a header: name and path.
    pub lookups: Vec<(String, PathBuf)>,
    /// What `as_of()` gives: microseconds since the epoch, UTC; `None` is NULL.
    pub as_of: Option<i64>,
    /// DuckDB files to be built (see `publish`).
    pub attach: Vec<Attachment>,
}

/// An aggregate's snapshot, and the rows tables that its fold gave out.
#[derive(Debug, Clone)]
pub struct AggregateInput {
    pub table: TableInput,
    pub rows: Vec<TableInput>,
}

/// A table over Parquet files that `state::parquet` wrote; without files it is empty, but typed.
#[derive(Debug, Clone, Default)]
pub struct TableInput {
    pub name: String,
    pub columns: Vec<(String, Type)>,
    pub files: Vec<PathBuf>,
    /// Files whose rows and tombstones take the place of rows with the same key in `files` and in those before them.
    pub deltas: Vec<Vec<PathBuf>>,
    /// How many of the columns are the key, the first ones. 0: the table has no deltas.
    pub keys: usize,
}

impl TableInput {
    /// Everything that is read.
    pub fn all_files(&self) -> impl Iterator<Item = &PathBuf> {
        self.files.iter().chain(self.deltas.iter().flatten())
    }
}

/// A new DuckDB file that the engine makes and fills.
#[derive(Debug, Clone)]
pub struct Attachment {
    pub alias: String,
    pub path: PathBuf,
}

/// What DuckDB may use.
#[derive(Debug, Clone)]
pub struct Limits {
    pub threads: usize,
    pub memory_bytes: u64,
    /// Where it spills; made if it is missing.
    pub temp_dir: PathBuf,
}

impl Inputs {
    /// Every table of a project, without rows: what `check` binds read models against.
    pub fn typed_empty(project: &Project) -> Inputs {
        let table = |name: &str, columns| TableInput { name: name.to_string(), columns, ..TableInput::default() };
        Inputs {
            aggregates: project
                .aggregates
                .iter()
                .map(|a| AggregateInput {
                    table: table(&a.name, schema(a)),
                    rows: (0..a.rows.len()).map(|r| table(&a.rows[r].name, rows_schema(a, r))).collect(),
                })
                .collect(),
            event_tables: project.event_tables.iter().map(|t| table(&t.event_type, event_columns(t))).collect(),
            lookups: project.tables.iter().map(|t| (t.name.clone(), t.file.clone())).collect(),
            as_of: None,
            attach: Vec::new(),
        }
    }
}

/// The columns of an event table: the payload's, then the envelope's.
pub fn event_columns(table: &EventTable) -> Vec<(String, Type)> {
    let mut columns = table.columns.clone();
    columns.extend(own(&[
        ("_stream", Type::Varchar),
        ("_version", Type::BigInt),
        ("_position", Type::BigInt),
        ("_time", Type::Timestamp),
        ("_id", Type::Varchar),
    ]));
    columns
}

fn own(columns: &[(&str, Type)]) -> Vec<(String, Type)> {
    columns.iter().map(|(name, ty)| (name.to_string(), ty.clone())).collect()
}
