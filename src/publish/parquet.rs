//! Parquet files for readers: the bytes depend on the rows and on nothing else.
//!
//! The columns of a batch are encoded and compressed side by side, by parquet's own column writers; a row group
//! is a fixed number of rows, so that neither threads nor batches can be seen in the file.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef};
use arrow::datatypes::{DataType, SchemaRef};
use arrow::record_batch::RecordBatch;
use arrow::row::{RowConverter, SortField};
use parquet::arrow::ArrowSchemaConverter;
use parquet::arrow::arrow_writer::{ArrowColumnWriter, ArrowLeafColumn, ArrowRowGroupWriterFactory, compute_leaves};
use parquet::basic::{Compression, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::types::ColumnPath;
use rayon::prelude::*;

use super::Staged;
use crate::error::{Error, Kind, Result};
use crate::files::{self, HashedFile};
use crate::model::direct::Sorted;
use crate::model::{BATCH_ROWS, ModelRows};

/// Rows of a row group; the last one is shorter.
const ROW_GROUP_ROWS: usize = 1 << 20;

/// Rows that say how a column is encoded: the first ones, so that it follows from the data alone.
const SAMPLE_ROWS: usize = 1 << 13;

/// Writes a read model's rows to one new file. While a batch is encoded the next one is fetched.
pub(super) fn stage(path: &Path, mut rows: ModelRows, model: &str) -> Result<Staged> {
    let mut next = rows.next().transpose()?;
    let mut file = ParquetFile::create(path, rows.schema(), next.as_ref().map_or(&[], RecordBatch::columns))?;
    while let Some(batch) = next {
        let (fetched, written) = rayon::join(|| rows.next().transpose(), || file.write(&batch));
        written?;
        next = fetched?;
    }
    let (rows, bytes, hash) = file.finish()?;
    Ok(Staged { model: model.to_string(), rows, bytes, hash, files: Vec::new() })
}

/// Writes rows that come from a fold's columns to one new file: the same bytes as if SQL had read their snapshot.
pub(super) fn stage_sorted(path: &Path, rows: &Sorted, model: &str) -> Result<Staged> {
    let schema = rows.schema();
    let first = 0..rows.len().min(SAMPLE_ROWS);
    let sample = (0..schema.fields().len()).map(|column| rows.column(column, first.clone())).collect::<Result<Vec<_>>>()?;
    let mut file = ParquetFile::create(path, schema, &sample)?;
    file.write_columns(rows)?;
    let (rows, bytes, hash) = file.finish()?;
    Ok(Staged { model: model.to_string(), rows, bytes, hash, files: Vec::new() })
}

/// A file while it is written.
pub(super) struct ParquetFile {
    path: PathBuf,
    schema: SchemaRef,
    writer: SerializedFileWriter<HashedFile>,
    row_groups: ArrowRowGroupWriterFactory,
    /// Of the row group that is being filled, leaf by leaf; none between row groups.
    columns: Vec<ArrowColumnWriter>,
    /// Rows in that one.
    filled: usize,
    rows: u64,
}

impl ParquetFile {
    /// `sample`: the columns of the first rows, [`SAMPLE_ROWS`] of them at least where there are so many.
    pub(super) fn create(path: &Path, schema: SchemaRef, sample: &[ArrayRef]) -> Result<ParquetFile> {
        let failed = |e| cannot_write(path, e);
        let file = HashedFile::new(files::create_new(path)?);
        let mut properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(ZstdLevel::try_new(3).map_err(failed)?))
            .set_max_row_group_row_count(Some(ROW_GROUP_ROWS))
            .set_created_by("foldline".to_string());
        let has_many_values: Vec<bool> = sample.par_iter().map(has_many_values).collect();
        for (field, _) in schema.fields().iter().zip(has_many_values).filter(|(_, many)| *many) {
            properties = properties.set_column_dictionary_enabled(ColumnPath::from(vec![field.name().clone()]), false);
        }
        let properties = properties.build();
        // Without the Arrow schema beside Parquet's own: its field metadata come in no fixed order.
        let descriptor = ArrowSchemaConverter::new().convert(&schema).map_err(failed)?;
        let writer = SerializedFileWriter::new(file, descriptor.root_schema_ptr(), Arc::new(properties)).map_err(failed)?;
        let row_groups = ArrowRowGroupWriterFactory::new(&writer, schema.clone());
        Ok(ParquetFile { path: path.to_path_buf(), schema, writer, row_groups, columns: Vec::new(), filled: 0, rows: 0 })
    }

    pub(super) fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        let mut start = 0;
        while start < batch.num_rows() {
            let length = (ROW_GROUP_ROWS - self.filled).min(batch.num_rows() - start);
            self.fill(&batch.slice(start, length)).map_err(|e| cannot_write(&self.path, e))?;
            start += length;
        }
        self.rows += batch.num_rows() as u64;
        Ok(())
    }

    /// Adds rows of which there are no more than the row group still takes.
    fn fill(&mut self, batch: &RecordBatch) -> std::result::Result<(), ParquetError> {
        if self.columns.is_empty() {
            self.columns = self.row_groups.create_column_writers(self.writer.flushed_row_groups().len())?;
        }
        let fields = self.schema.fields().par_iter().zip(batch.columns());
        let leaves: Vec<Vec<ArrowLeafColumn>> = fields.map(|(field, array)| compute_leaves(field, array)).collect::<Result<_, _>>()?;
        let leaves: Vec<ArrowLeafColumn> = leaves.into_iter().flatten().collect();
        self.columns.par_iter_mut().zip(leaves).try_for_each(|(column, leaf)| column.write(&leaf))?;
        self.filled += batch.num_rows();
        if self.filled == ROW_GROUP_ROWS { self.end_row_group() } else { Ok(()) }
    }

    fn end_row_group(&mut self) -> std::result::Result<(), ParquetError> {
        let columns = std::mem::take(&mut self.columns);
        let chunks = columns.into_par_iter().map(ArrowColumnWriter::close).collect::<Result<Vec<_>, _>>()?;
        let mut row_group = self.writer.next_row_group()?;
        chunks.into_iter().try_for_each(|chunk| chunk.append_to_row_group(&mut row_group))?;
        row_group.close()?;
        self.filled = 0;
        Ok(())
    }

    /// Writes all rows of a new file, a column of a row group per task.
    fn write_columns(&mut self, rows: &Sorted) -> Result<()> {
        let failed = |e| cannot_write(&self.path, e);
        let fields = self.schema.fields();
        let groups_at_once = rayon::current_num_threads().div_ceil(fields.len().max(1));
        let starts: Vec<usize> = (0..rows.len()).step_by(ROW_GROUP_ROWS).collect();
        for starts in starts.chunks(groups_at_once) {
            let mut tasks = Vec::with_capacity(starts.len() * fields.len());
            for (number, start) in starts.iter().enumerate() {
                let writers = self.row_groups.create_column_writers(self.writer.flushed_row_groups().len() + number).map_err(failed)?;
                tasks.extend(writers.into_iter().enumerate().map(|(column, writer)| (*start, column, writer)));
            }
            let encode = |(start, column, mut writer): (usize, usize, ArrowColumnWriter)| {
                let end = rows.len().min(start + ROW_GROUP_ROWS);
                for start in (start..end).step_by(BATCH_ROWS) {
                    let array = rows.column(column, start..end.min(start + BATCH_ROWS))?;
                    let leaves = compute_leaves(&fields[column], &array).map_err(failed)?;
                    leaves.iter().try_for_each(|leaf| writer.write(leaf)).map_err(failed)?;
                }
                writer.close().map_err(failed)
            };
            let chunks = tasks.into_par_iter().with_max_len(1).map(encode).collect::<Result<Vec<_>>>()?;
            let mut chunks = chunks.into_iter();
            for _ in starts {
                let mut row_group = self.writer.next_row_group().map_err(failed)?;
                chunks.by_ref().take(fields.len()).try_for_each(|chunk| chunk.append_to_row_group(&mut row_group)).map_err(failed)?;
                row_group.close().map_err(failed)?;
            }
        }
        self.rows = rows.len() as u64;
        Ok(())
    }

    /// Makes the file durable and reads its footer again. Gives rows, bytes and hash.
    pub(super) fn finish(mut self) -> Result<(u64, u64, String)> {
        if self.filled > 0 {
            self.end_row_group().map_err(|e| cannot_write(&self.path, e))?;
        }
        let ParquetFile { path, writer, rows, .. } = self;
        let (hash, bytes) = writer.into_inner().map_err(|e| cannot_write(&path, e))?.finish(&path)?;
        files::make_readable(&path)?;
        let counted = crate::state::parquet::row_count(&path)?;
        if counted != rows {
            return Err(Error::new(Kind::Io, format!("{} holds {counted} rows, not the {rows} written", path.display())));
        }
        Ok((rows, bytes, hash))
    }
}

/// Whether a dictionary would only be a detour: most of the first rows have a value of their own. Nested columns keep theirs.
fn has_many_values(column: &ArrayRef) -> bool {
    let sample = column.slice(0, column.len().min(SAMPLE_ROWS));
    let is_flat = !sample.data_type().is_nested() && *sample.data_type() != DataType::Boolean;
    let distinct = || {
        let converter = RowConverter::new(vec![SortField::new(sample.data_type().clone())])?;
        let rows = converter.convert_columns(std::slice::from_ref(&sample))?;
        let values: std::collections::HashSet<&[u8]> = rows.iter().map(|row| row.data()).collect();
        Ok::<usize, arrow::error::ArrowError>(values.len())
    };
    is_flat && distinct().is_ok_and(|distinct| distinct * 4 > sample.len() && sample.len() == SAMPLE_ROWS)
}

fn cannot_write(path: &Path, e: ParquetError) -> Error {
    Error::new(Kind::Io, format!("cannot write {}: {e}", path.display()))
}
