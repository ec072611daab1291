//! A DuckDB file: built by the engine in staging, then opened again to see that it holds what it should.

use std::path::Path;

use arrow::array::AsArray;
use arrow::datatypes::Int64Type;

use super::Staged;
use crate::error::{Error, Kind, Result};
use crate::files;
use crate::model::{Database, DuckError, quote};

/// Checks, syncs and hashes a finished file; nobody may have it open any more (opening and closing it would
/// drop DuckDB's lock). Fills in size and hash of what was staged in it.
pub(super) fn finish(path: &Path, staged: &mut [Staged]) -> Result<()> {
    let failed = |e: DuckError| Error::new(Kind::Io, format!("the DuckDB file {} cannot be read again: {}", path.display(), e.0));
    {
        let database = Database::open(Some(path), &[("access_mode", "READ_ONLY"), ("threads", "1")]).map_err(failed)?;
        let connection = database.connect().map_err(failed)?;
        for table in staged.iter() {
            let mut rows = None;
            for batch in connection.query(&format!("SELECT count(*) FROM main.{}", quote(&table.model))).map_err(failed)? {
                let batch = batch.map_err(failed)?;
                rows = batch.column(0).as_primitive_opt::<Int64Type>().and_then(|c| c.values().first().copied());
            }
            if rows != i64::try_from(table.rows).ok() {
                return Err(Error::new(
                    Kind::Io,
                    format!("{} holds {} rows of `{}`, not the {} written", path.display(), rows.unwrap_or(0), table.model, table.rows),
                ));
            }
        }
    }
    let wal = path.with_extension("duckdb.wal");
    if files::stat(&wal)?.is_some() {
        return Err(Error::new(Kind::Io, format!("DuckDB left {} behind", wal.display())));
    }
    files::sync_file(path)?;
    files::make_readable(path)?;
    let (hash, bytes) = files::hash(path)?;
    for table in staged {
        (table.hash, table.bytes) = (hash.clone(), bytes);
    }
    Ok(())
}
