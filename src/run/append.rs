//! Append-only tables, event tables and the rows that folds give out: each run adds files.

use std::path::{Path, PathBuf};

use crate::error::Result;
use crate::sql::{Column, Type};
use crate::state::manifest::DataFile;
use crate::state::{FileInfo, Frame, Store, parquet};

/// Rows of one file; a full one is written, so that a long log does not pile up in memory.
const FILE_ROWS: usize = 1 << 20;

/// Collects rows and writes them as Parquet files.
pub struct Appender {
    dir: PathBuf,
    generation: u64,
    schema: Vec<(String, Type)>,
    pending: Frame,
    /// Those of earlier runs first.
    pub files: Vec<DataFile>,
}

impl Appender {
    /// `kind` and `name` say where below `.foldline/` the files lie; `files` are there already.
    pub fn new(
        store: &Store,
        generation: u64,
        kind: &str,
        name: &str,
        schema: Vec<(String, Type)>,
        files: Vec<DataFile>,
    ) -> Result<Appender> {
        let dir = store.fresh_data_dir(kind, name)?;
        Ok(Appender { dir, generation, pending: Frame::empty(&schema), schema, files })
    }

    /// The columns that wait; rows are added to all of them alike.
    pub fn columns(&mut self) -> &mut [Column] {
        &mut self.pending.columns
    }

    /// Appends whole columns, leaving them empty.
    pub fn take(&mut self, columns: &mut [Column]) {
        for (mine, theirs) in self.pending.columns.iter_mut().zip(columns) {
            let ty = theirs.ty.clone();
            mine.append(std::mem::replace(theirs, Column::new(ty)));
        }
    }

    /// Writes what waits once it fills a file.
    pub fn flush_full(&mut self, store: &Store) -> Result<()> {
        if self.pending.rows() >= FILE_ROWS { self.flush(store) } else { Ok(()) }
    }

    /// Writes what waits.
    pub fn flush(&mut self, store: &Store) -> Result<()> {
        if self.pending.rows() == 0 {
            return Ok(());
        }
        let frame = std::mem::replace(&mut self.pending, Frame::empty(&self.schema));
        let path = self.dir.join(format!("gen-{}-{}.parquet", self.generation, self.files.len()));
        self.files.push(data_file(store, &path, &frame)?);
        Ok(())
    }
}

/// Writes a frame to a new file and describes it for the manifest.
pub fn data_file(store: &Store, path: &Path, frame: &Frame) -> Result<DataFile> {
    Ok(described(store, path, parquet::write(path, frame)?))
}

/// A file that was written, as the manifest names it.
pub fn described(store: &Store, path: &Path, info: FileInfo) -> DataFile {
    let relative = path.strip_prefix(store.dir()).unwrap_or(path).to_string_lossy().into_owned();
    DataFile { path: relative, rows: info.rows, bytes: info.bytes, hash: info.hash }
}
