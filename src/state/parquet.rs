//! Frames as Parquet files: how snapshots, event tables and rows tables lie on disk.
//!
//! A file is written once, under a name that must not exist, and made durable before anybody hears of it.
//! Columns are found by name when it is read. Row groups are encoded side by side; how, says [`super::encoding`].

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef};
use arrow::datatypes::{Field, Schema};
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder};
use parquet::arrow::arrow_writer::{ArrowColumnChunk, ArrowRowGroupWriterFactory, ArrowWriterOptions, compute_leaves};
use parquet::arrow::{ArrowWriter, ProjectionMask};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::arrow::{append_arrow, arrow_type, to_arrow_range};
use super::{Frame, encoding};
use crate::error::{Error, Kind, Result};
use crate::files::{self, HashedFile};
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

/// The columns of some rows, in the order of the file's.
pub type Batch = Vec<ArrayRef>;

/// Writes a frame to a new file and fsyncs it; the folder's entry is not synced.
/// On error the half-written file is removed.
pub fn write(path: &Path, frame: &Frame) -> Result<FileInfo> {
    let rows = frame.rows();
    let group = |number: usize| {
        let range = number * BATCH_ROWS..rows.min((number + 1) * BATCH_ROWS);
        let columns = frame.columns.iter().zip(&frame.names);
        let array = |(column, name)| to_arrow_range(column, range.clone()).map_err(|e| e.at(format!("column `{name}`")));
        Ok(vec![columns.map(array).collect::<Result<Batch>>()?])
    };
    write_groups(path, &frame.schema(), rows.div_ceil(BATCH_ROWS), group)
}

/// Writes row groups to a new file and fsyncs it, as [`write`] does. `group` is asked for each of them, by number, by
/// several threads at once; what it gives, one batch or several, becomes a row group.
pub fn write_groups(
    path: &Path,
    columns: &[(String, Type)],
    groups: usize,
    group: impl Fn(usize) -> Result<Vec<Batch>> + Sync,
) -> Result<FileInfo> {
    let file = files::create_new(path)?;
    let written = write_to(path, file, columns, groups, &group);
    if written.is_err() {
        let _ = files::remove_file(path);
    }
    written
}

fn write_to(
    path: &Path,
    file: std::fs::File,
    columns: &[(String, Type)],
    groups: usize,
    group: &(impl Fn(usize) -> Result<Vec<Batch>> + Sync),
) -> Result<FileInfo> {
    let failed = |e: parquet::errors::ParquetError| Error::new(Kind::Io, format!("cannot write {}: {e}", path.display()));
    let fields = columns.iter().map(|(name, ty)| Field::new(name, arrow_type(ty), true));
    let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
    // as many row groups lie in memory as there are threads
    let at_once = rayon::current_num_threads().max(1);
    let mut waves = (0..groups).step_by(at_once).map(|first| first..groups.min(first + at_once));
    let mut next_wave = || {
        let wave = waves.next().unwrap_or_default();
        wave.into_par_iter().map(|number| Ok((number, group(number)?))).collect::<Result<Vec<_>>>()
    };
    let mut wave = next_wave()?;
    let sample = wave.iter().flat_map(|(_, batches)| batches).max_by_key(|batch| rows_of(batch));
    let properties = encoding::properties(&schema, sample.map_or(&[][..], Vec::as_slice)).map_err(failed)?;
    let options = ArrowWriterOptions::new().with_properties(properties);
    let writer = ArrowWriter::try_new_with_options(HashedFile::new(file), schema.clone(), options).map_err(failed)?;
    let (mut writer, encoders) = writer.into_serialized_writer().map_err(failed)?;
    let mut rows = 0;
    while !wave.is_empty() {
        rows += wave.iter().flat_map(|(_, batches)| batches).map(rows_of).sum::<u64>();
        let encode = |(number, batches): &(usize, Vec<Batch>)| encode_group(&encoders, *number, &schema, batches);
        for chunks in wave.par_iter().map(encode).collect::<Result<Vec<_>, _>>().map_err(failed)? {
            let mut row_group = writer.next_row_group().map_err(failed)?;
            chunks.into_iter().try_for_each(|chunk| chunk.append_to_row_group(&mut row_group)).map_err(failed)?;
            row_group.close().map_err(failed)?;
        }
        wave = next_wave()?;
    }
    let (hash, bytes) = writer.into_inner().map_err(failed)?.finish(path)?;
    Ok(FileInfo { rows, bytes, hash })
}

fn rows_of(batch: &Batch) -> u64 {
    batch.first().map_or(0, |column| column.len() as u64)
}

/// Encodes the batches of one row group. One without rows has no batches.
fn encode_group(
    encoders: &ArrowRowGroupWriterFactory,
    number: usize,
    schema: &Schema,
    batches: &[Batch],
) -> parquet::errors::Result<Vec<ArrowColumnChunk>> {
    let mut writers = encoders.create_column_writers(number)?;
    for batch in batches {
        // nested columns have several leaves
        let mut leaves = writers.iter_mut();
        for (field, array) in schema.fields().iter().zip(batch) {
            for (leaf, writer) in compute_leaves(field, array)?.iter().zip(&mut leaves) {
                writer.write(leaf)?;
            }
        }
    }
    writers.into_iter().map(|writer| writer.close()).collect()
}

/// Reads columns by name. Any doubt (a missing column, another type, a broken file) is an error that says
/// that the snapshot cannot be used: the caller replays instead.
pub fn read(path: &Path, columns: &[(String, Type)]) -> Result<Frame> {
    read_newer(path, columns, columns.len())
}

/// As [`read`]; columns behind the first `known` are NULL in files of earlier versions, which lack them.
pub fn read_newer(path: &Path, columns: &[(String, Type)], known: usize) -> Result<Frame> {
    let reader = Reader::open_newer(path, columns, known)?;
    let mut frame = Frame::empty(columns);
    (0..reader.row_groups()).try_for_each(|group| reader.append(group, &mut frame))?;
    Ok(frame)
}

/// Reads a file's row groups, by several threads at once.
pub struct Reader {
    path: PathBuf,
    columns: Vec<(String, Type)>,
    /// By column, its number in the file; `None`: the file lacks it.
    indexes: Vec<Option<usize>>,
    metadata: ArrowReaderMetadata,
}

impl Reader {
    /// Finds columns by name; errors are those of [`read`].
    pub fn open(path: &Path, columns: &[(String, Type)]) -> Result<Reader> {
        Reader::open_newer(path, columns, columns.len())
    }

    fn open_newer(path: &Path, columns: &[(String, Type)], known: usize) -> Result<Reader> {
        let file = files::open(path).map_err(|e| doubt(path, &e.message))?;
        let metadata = ArrowReaderMetadata::load(&file, ArrowReaderOptions::new()).map_err(|e| doubt(path, &e.to_string()))?;
        let mut indexes = Vec::with_capacity(columns.len());
        for (number, (name, ty)) in columns.iter().enumerate() {
            let Some((index, field)) = metadata.schema().column_with_name(name) else {
                if number < known {
                    return Err(doubt(path, &format!("it has no column `{name}`")));
                }
                indexes.push(None);
                continue;
            };
            if !same_storage(field.data_type(), &arrow_type(ty)) {
                return Err(doubt(path, &format!("its column `{name}` is {}, not {ty}", field.data_type())));
            }
            indexes.push(Some(index));
        }
        Ok(Reader { path: path.to_path_buf(), columns: columns.to_vec(), indexes, metadata })
    }

    pub fn row_groups(&self) -> usize {
        self.metadata.metadata().num_row_groups()
    }

    /// Reads one row group.
    pub fn read(&self, group: usize) -> Result<Frame> {
        let mut frame = Frame::empty(&self.columns);
        self.append(group, &mut frame)?;
        Ok(frame)
    }

    fn append(&self, group: usize, frame: &mut Frame) -> Result<()> {
        let doubt = |why: String| doubt(&self.path, &why);
        // each thread has a cursor of its own
        let file = files::open(&self.path).map_err(|e| doubt(e.message))?;
        let leaves: Vec<usize> = self.indexes.iter().flatten().copied().collect();
        let mask = ProjectionMask::roots(self.metadata.parquet_schema(), leaves.iter().copied());
        // what is read has the file's order
        let place = |index: usize| leaves.iter().filter(|leaf| **leaf < index).count();
        let reader = ParquetRecordBatchReaderBuilder::new_with_metadata(file, self.metadata.clone())
            .with_batch_size(BATCH_ROWS)
            .with_row_groups(vec![group])
            .with_projection(mask);
        for batch in reader.build().map_err(|e| doubt(e.to_string()))? {
            let batch = batch.map_err(|e| doubt(e.to_string()))?;
            for (column, index) in frame.columns.iter_mut().zip(&self.indexes) {
                match index {
                    Some(index) => append_arrow(column, batch.column(place(*index))).map_err(|e| doubt(e.message))?,
                    None => (0..batch.num_rows()).for_each(|_| column.push(Value::Null)),
                }
            }
        }
        Ok(())
    }
}

fn doubt(path: &Path, why: &str) -> Error {
    Error::new(Kind::Io, format!("the snapshot {} cannot be used: {why}", path.display()))
        .with_help("`foldline rebuild` replays the log from the beginning and writes it anew")
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
