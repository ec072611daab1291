//! Parquet files for readers: the bytes depend on the rows and on nothing else.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::ArrowWriterOptions;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;

use super::Staged;
use crate::error::{Error, Kind, Result};
use crate::files;
use crate::model::ModelRows;

/// Rows of a row group; the last one is shorter.
const ROW_GROUP_ROWS: usize = 1 << 20;

/// Writes a read model's rows to one new file.
pub(super) fn stage(path: &Path, rows: ModelRows, model: &str) -> Result<Staged> {
    let mut file = ParquetFile::create(path, rows.schema())?;
    for batch in rows {
        file.write(&batch?)?;
    }
    let (rows, bytes, hash) = file.finish()?;
    Ok(Staged { model: model.to_string(), rows, bytes, hash, files: Vec::new() })
}

/// A file while it is written.
pub(super) struct ParquetFile {
    path: PathBuf,
    file: File,
    writer: ArrowWriter<File>,
    rows: u64,
}

impl ParquetFile {
    pub(super) fn create(path: &Path, schema: SchemaRef) -> Result<ParquetFile> {
        let failed = |e: parquet::errors::ParquetError| Error::new(Kind::Io, format!("cannot write {}: {e}", path.display()));
        let file = files::create_new(path)?;
        let second = file.try_clone().map_err(|e| Error::io("write", path, e))?;
        let properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(ZstdLevel::try_new(3).map_err(failed)?))
            .set_max_row_group_row_count(Some(ROW_GROUP_ROWS))
            .set_created_by("foldline".to_string())
            .build();
        // Without the Arrow schema beside Parquet's own: its field metadata come in no fixed order.
        let options = ArrowWriterOptions::new().with_properties(properties).with_skip_arrow_metadata(true);
        let writer = ArrowWriter::try_new_with_options(second, Arc::clone(&schema), options).map_err(failed)?;
        Ok(ParquetFile { path: path.to_path_buf(), file, writer, rows: 0 })
    }

    pub(super) fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        self.rows += batch.num_rows() as u64;
        self.writer.write(batch).map_err(|e| Error::new(Kind::Io, format!("cannot write {}: {e}", self.path.display())))
    }

    /// Makes the file durable, reads its footer again, hashes it. Gives rows, bytes and hash.
    pub(super) fn finish(self) -> Result<(u64, u64, String)> {
        let ParquetFile { path, file, writer, rows } = self;
        writer.close().map_err(|e| Error::new(Kind::Io, format!("cannot write {}: {e}", path.display())))?;
        file.sync_all().map_err(|e| Error::io("sync", &path, e))?;
        files::make_readable(&path)?;
        let counted = crate::state::parquet::row_count(&path)?;
        if counted != rows {
            return Err(Error::new(Kind::Io, format!("{} holds {counted} rows, not the {rows} written", path.display())));
        }
        let (hash, bytes) = files::hash(&path)?;
        Ok((rows, bytes, hash))
    }
}
