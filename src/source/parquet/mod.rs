//! A Parquet file as a log: its rows become lines of NDJSON, row group by row group.
//!
//! So lines (a row is a line, counted from 1), hashes, checkpoints, quarantine and messages are those of every other log.
//! What a file's rows become must not change: a manifest has the hashes of it.

mod cells;
mod form;
mod text;

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use ::parquet::arrow::ProjectionMask;
use ::parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};
use ::parquet::errors::ParquetError;
use ::parquet::file::metadata::ParquetMetaData;
use ::parquet::file::reader::{ChunkReader, Length};
use bytes::Bytes;

use self::cells::Record;
pub use self::form::Form;
use super::files::LogFile;
use crate::error::{Error, Kind, Result};
use crate::files;

/// Rows that are decoded at once: a chunk or two of text.
const BATCH_ROWS: usize = 1024;

/// A file's rows as text, in order.
pub struct Rows<'f> {
    file: &'f LogFile,
    bytes: Bounded,
    metadata: ArrowReaderMetadata,
    projection: ProjectionMask,
    /// The next row group, counted from 0.
    next_group: usize,
    reader: Option<ParquetRecordBatchReader>,
    record: Record,
    /// Compressed bytes of the row groups in front of the one that is read.
    used: u64,
    text: Vec<u8>,
    /// How much of the text was given out.
    given: usize,
}

impl<'f> Rows<'f> {
    /// Reads the file's footer. Fails where it is no whole Parquet file.
    pub fn open(file: &'f LogFile) -> Result<Rows<'f>> {
        let bytes = Bounded { path: file.path.clone().into(), file: Arc::new(file.open()?), size: file.size };
        let footer = guarded(|| ArrowReaderMetadata::load(&bytes, ArrowReaderOptions::new().with_skip_arrow_metadata(true)));
        let metadata = footer.map_err(|e| {
            Error::new(Kind::BadData, format!("the Parquet file is broken, or not complete: {e}"))
                .at(file.name.clone())
                .with_help("write it under another name and rename it when it is complete; a Parquet file ends with what it holds")
        })?;
        let schema = metadata.parquet_schema();
        let form = file.form.as_deref();
        let fields = schema.root_schema().get_fields();
        let wanted: Vec<usize> = (0..fields.len()).filter(|field| form.is_none_or(|form| form.needs(fields[*field].name()))).collect();
        let projection = ProjectionMask::roots(schema, wanted.iter().copied());
        let columns = wanted.iter().map(|field| {
            let documents = form.is_some_and(|form| form.is_document(fields[*field].name()));
            (fields[*field].clone(), documents)
        });
        let record = Record::new(columns.collect());
        Ok(Rows { file, bytes, metadata, projection, next_group: 0, reader: None, record, used: 0, text: Vec::new(), given: 0 })
    }

    /// Compressed bytes that were used so far, about.
    pub fn used(&self) -> u64 {
        self.used
    }

    /// Fills `into` from its beginning, with at least a byte if any are left.
    pub fn read(&mut self, into: &mut [u8]) -> Result<usize> {
        while self.given == self.text.len() {
            self.text.clear();
            self.given = 0;
            if !self.batch()? {
                return Ok(0);
            }
        }
        let some = (self.text.len() - self.given).min(into.len());
        into[..some].copy_from_slice(&self.text[self.given..self.given + some]);
        self.given += some;
        Ok(some)
    }

    /// Appends the next rows to the text; `false`: there are none.
    fn batch(&mut self) -> Result<bool> {
        loop {
            let Some(reader) = &mut self.reader else {
                if self.next_group == self.file_metadata().num_row_groups() {
                    return Ok(false);
                }
                let group = self.next_group;
                self.next_group += 1;
                self.reader = Some(self.group(group).map_err(|e| self.broken(&e))?);
                continue;
            };
            match guarded(|| reader.next().transpose().map_err(ParquetError::from)) {
                Ok(Some(batch)) => {
                    self.record.write(&batch, &mut self.text);
                    return Ok(true);
                }
                Ok(None) => {
                    self.reader = None;
                    self.used += self.file_metadata().row_group(self.next_group - 1).compressed_size().max(0) as u64;
                }
                Err(e) => return Err(self.broken(&e)),
            }
        }
    }

    fn group(&self, group: usize) -> std::result::Result<ParquetRecordBatchReader, String> {
        guarded(|| {
            ParquetRecordBatchReaderBuilder::new_with_metadata(self.bytes.clone(), self.metadata.clone())
                .with_projection(self.projection.clone())
                .with_row_groups(vec![group])
                .with_batch_size(BATCH_ROWS)
                .build()
        })
    }

    fn file_metadata(&self) -> &ParquetMetaData {
        self.metadata.metadata()
    }

    /// Row groups are counted from 1, as lines are.
    fn broken(&self, what: &str) -> Error {
        Error::new(Kind::BadData, format!("the Parquet file is broken: {what}"))
            .at(format!("{}, row group {} of {}", self.file.name, self.next_group, self.file_metadata().num_row_groups()))
            .with_help("export or copy the file again")
    }
}

/// What the reader makes of a broken file: an error, or, since it is not ours and files are hostile, a panic.
fn guarded<T>(read: impl FnOnce() -> std::result::Result<T, ParquetError>) -> std::result::Result<T, String> {
    match catch_unwind(AssertUnwindSafe(read)) {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(ParquetError::General(what) | ParquetError::EOF(what) | ParquetError::ArrowError(what))) => Err(what),
        Ok(Err(other)) => Err(other.to_string()),
        Err(_) => Err("it contradicts itself".into()),
    }
}

/// A file up to where it was listed.
#[derive(Clone)]
struct Bounded {
    path: Arc<std::path::Path>,
    file: Arc<File>,
    size: u64,
}

impl Length for Bounded {
    fn len(&self) -> u64 {
        self.size
    }
}

impl ChunkReader for Bounded {
    type T = BufReader<From>;

    fn get_read(&self, start: u64) -> ::parquet::errors::Result<Self::T> {
        Ok(BufReader::with_capacity(64 << 10, From { bytes: self.clone(), at: start }))
    }

    fn get_bytes(&self, start: u64, length: usize) -> ::parquet::errors::Result<Bytes> {
        if start.checked_add(length as u64).is_none_or(|end| end > self.size) {
            return Err(ParquetError::EOF("it ends before the data that its footer names".into()));
        }
        let mut bytes = vec![0; length];
        files::read_exact_at(&self.file, &self.path, &mut bytes, start).map_err(|e| ParquetError::External(e.to_string().into()))?;
        Ok(bytes.into())
    }
}

/// A file from some place on.
struct From {
    bytes: Bounded,
    at: u64,
}

impl Read for From {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let some = (self.bytes.size.saturating_sub(self.at)).min(into.len() as u64) as usize;
        files::read_exact_at(&self.bytes.file, &self.bytes.path, &mut into[..some], self.at).map_err(io::Error::other)?;
        self.at += some as u64;
        Ok(some)
    }
}
