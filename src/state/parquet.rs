//! Frames as Parquet files: how snapshots, event tables and rows tables lie on disk.
//!
//! A file is written once, under a name that must not exist, and made durable before anybody hears of it.
//! Columns are found by name when it is read. zstd level 1: a snapshot is written often and read once.

use std::path::Path;
use std::sync::Arc;

use arrow::datatypes::{Field, Schema};
use arrow::record_batch::{RecordBatch, RecordBatchOptions};
use parquet::arrow::arrow_reader::{ArrowReaderOptions, ParquetRecordBatchReaderBuilder};
use parquet::arrow::arrow_writer::ArrowWriterOptions;
use parquet::arrow::{ArrowWriter, ProjectionMask};
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use serde::{Deserialize, Serialize};

use super::Frame;
use super::arrow::{append_arrow, arrow_type, to_arrow_range};
use crate::error::{Error, Kind, Result};
use crate::files;
use crate::sql::{Type, Value};

/// What a manifest needs to know of a file that was written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileInfo {
    pub rows: u64,
    /// Size on disk.
    pub bytes: u64,
    /// BLAKE3 of the content, hex.
    pub hash: String,
}

/// Rows that are converted at a time.
const BATCH_ROWS: usize = 1 << 16;

/// Writes a frame to a new file and fsyncs it; the folder's entry is not synced.
/// On error the half-written file is removed.
pub fn write(path: &Path, frame: &Frame) -> Result<FileInfo> {
    let info = write_unsynced(path, frame)?;
    files::sync_file(path)?;
    Ok(info)
}

/// As [`write`], but the content is not durable yet.
pub fn write_unsynced(path: &Path, frame: &Frame) -> Result<FileInfo> {
    let file = files::create_new(path)?;
    let written = write_to(path, file, frame);
    if written.is_err() {
        let _ = files::remove_file(path);
    }
    written
}

fn write_to(path: &Path, file: std::fs::File, frame: &Frame) -> Result<FileInfo> {
    let failed = |e: parquet::errors::ParquetError| Error::new(Kind::Io, format!("cannot write {}: {e}", path.display()));
    let schema = Arc::new(Schema::new(
        frame.names.iter().zip(&frame.columns).map(|(name, c)| Field::new(name, arrow_type(&c.ty), true)).collect::<Vec<_>>(),
    ));
    let level = ZstdLevel::try_new(1).map_err(failed)?;
    let properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(level))
        .set_statistics_enabled(EnabledStatistics::Chunk)
        .set_created_by("foldline".to_string())
        .build();
    let options = ArrowWriterOptions::new().with_properties(properties).with_skip_arrow_metadata(false);
    let mut writer = ArrowWriter::try_new_with_options(&file, schema.clone(), options).map_err(failed)?;
    let rows = frame.rows();
    for start in (0..rows).step_by(BATCH_ROWS) {
        let range = start..rows.min(start + BATCH_ROWS);
        let length = range.len();
        let mut arrays = Vec::with_capacity(frame.columns.len());
        for (column, name) in frame.columns.iter().zip(&frame.names) {
            let array = to_arrow_range(column, range.clone()).map_err(|e| e.at(format!("column `{name}`")))?;
            arrays.push(array);
        }
        let options = RecordBatchOptions::new().with_row_count(Some(length));
        let batch = RecordBatch::try_new_with_options(schema.clone(), arrays, &options)
            .map_err(|e| Error::internal(format!("the columns of {} do not fit together: {e}", path.display())))?;
        writer.write(&batch).map_err(failed)?;
    }
    writer.close().map_err(failed)?;
    let (hash, bytes) = files::hash(path)?;
    Ok(FileInfo { rows: rows as u64, bytes, hash })
}

/// Reads columns by name. Any doubt (a missing column, another type, a broken file) is an error that says
/// that the snapshot cannot be used: the caller replays instead.
pub fn read(path: &Path, columns: &[(String, Type)]) -> Result<Frame> {
    read_newer(path, columns, columns.len())
}

/// As [`read`]; columns behind the first `known` are NULL in files of earlier versions, which lack them.
pub fn read_newer(path: &Path, columns: &[(String, Type)], known: usize) -> Result<Frame> {
    let doubt = |why: String| {
        Error::new(Kind::Io, format!("the snapshot {} cannot be used: {why}", path.display()))
            .with_help("`foldline rebuild` replays the log from the beginning and writes it anew")
    };
    let file = files::open(path).map_err(|e| doubt(e.message))?;
    let builder = ParquetRecordBatchReaderBuilder::try_new_with_options(file, ArrowReaderOptions::new())
        .map_err(|e| doubt(e.to_string()))?
        .with_batch_size(BATCH_ROWS);
    let mut indexes = Vec::with_capacity(columns.len());
    for (number, (name, ty)) in columns.iter().enumerate() {
        let Some((index, field)) = builder.schema().column_with_name(name) else {
            if number < known {
                return Err(doubt(format!("it has no column `{name}`")));
            }
            indexes.push(None);
            continue;
        };
        if !same_storage(field.data_type(), &arrow_type(ty)) {
            return Err(doubt(format!("its column `{name}` is {}, not {ty}", field.data_type())));
        }
        indexes.push(Some(index));
    }
    let leaves: Vec<usize> = indexes.iter().flatten().copied().collect();
    let mask = ProjectionMask::roots(builder.parquet_schema(), leaves.iter().copied());
    // what is read has the file's order
    let place = |index: usize| leaves.iter().filter(|leaf| **leaf < index).count();
    let mut frame = Frame::empty(columns);
    for batch in builder.with_projection(mask).build().map_err(|e| doubt(e.to_string()))? {
        let batch = batch.map_err(|e| doubt(e.to_string()))?;
        for (column, index) in frame.columns.iter_mut().zip(&indexes) {
            match index {
                Some(index) => append_arrow(column, batch.column(place(*index))).map_err(|e| doubt(e.message))?,
                None => (0..batch.num_rows()).for_each(|_| column.push(Value::Null)),
            }
        }
    }
    Ok(frame)
}

/// Reads a file's rows as its footer counts them.
pub fn row_count(path: &Path) -> Result<u64> {
    let file = files::open(path)?;
    let builder = ParquetRecordBatchReaderBuilder::try_new(file)
        .map_err(|e| Error::new(Kind::Io, format!("{} is not a readable Parquet file: {e}", path.display())))?;
    Ok(builder.metadata().file_metadata().num_rows().max(0) as u64)
}

fn same_storage(stored: &arrow::datatypes::DataType, wanted: &arrow::datatypes::DataType) -> bool {
    stored.equals_datatype(wanted)
}
