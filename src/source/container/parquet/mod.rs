//! A Parquet file as a log: its rows become lines of NDJSON, row group by row group.
//!
//! So lines (a row is a line, counted from 1), hashes, checkpoints, quarantine and messages are those of every other log.
//! What a file's rows become must not change: a manifest has the hashes of it.

mod cells;

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use ::parquet::arrow::ProjectionMask;
use ::parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};
use ::parquet::errors::ParquetError;
use ::parquet::file::reader::{ChunkReader, Length};
use bytes::Bytes;
use crossbeam_channel::{Receiver, Sender, bounded};

use self::cells::Record;
use crate::error::{Error, Kind, Result};
use crate::files;
use crate::source::files::LogFile;

/// Rows that are decoded at once: a chunk or two of text.
const BATCH_ROWS: usize = 1024;
/// Text that a row group is decoded ahead of its turn, in bytes, and in what pieces it is handed on.
const AHEAD_BYTES: usize = 16 << 20;
const PIECE_BYTES: usize = 256 << 10;

/// A file's rows as text, in order.
pub struct Rows {
    opened: Arc<Opened>,
    /// The next row group, counted from 0.
    next_group: usize,
    reading: Reading,
    /// Compressed bytes of the row groups in front of the one that is read.
    used: u64,
    text: Vec<u8>,
    /// How much of the text was given out.
    given: usize,
}

/// How row groups are decoded.
enum Reading {
    /// When they are asked for.
    Here(Option<Group>),
    /// So many at once, each by a thread of its own; those that have begun, in order.
    Ahead(usize, VecDeque<Receiver<Result<Vec<u8>>>>),
}

impl Rows {
    /// Reads the file's footer. Fails where it is no whole Parquet file.
    pub fn open(file: &LogFile) -> Result<Rows> {
        let opened = Arc::new(Opened::new(file)?);
        Ok(Rows { opened, next_group: 0, reading: Reading::Here(None), used: 0, text: Vec::new(), given: 0 })
    }

    /// Decodes so many row groups at once, before they are asked for: what is to be read as a whole.
    pub fn ahead(self, groups: usize) -> Rows {
        Rows { reading: Reading::Ahead(groups.max(1), VecDeque::new()), ..self }
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
            if !self.more()? {
                return Ok(0);
            }
        }
        let some = (self.text.len() - self.given).min(into.len());
        into[..some].copy_from_slice(&self.text[self.given..self.given + some]);
        self.given += some;
        Ok(some)
    }

    /// Puts the next rows into the text, which is empty; `false`: there are none.
    fn more(&mut self) -> Result<bool> {
        let groups = self.opened.groups();
        match &mut self.reading {
            Reading::Here(group) => loop {
                if let Some(reader) = group {
                    if reader.append(&mut self.text)? {
                        return Ok(true);
                    }
                    self.used += reader.compressed_bytes();
                }
                if self.next_group == groups {
                    *group = None;
                    return Ok(false);
                }
                *group = Some(Group::new(&self.opened, self.next_group)?);
                self.next_group += 1;
            },
            Reading::Ahead(most, begun) => loop {
                while begun.len() < *most && self.next_group < groups {
                    begun.push_back(decode_ahead(&self.opened, self.next_group)?);
                    self.next_group += 1;
                }
                let Some(first) = begun.front() else { return Ok(false) };
                if let Ok(text) = first.recv() {
                    self.text = text?;
                    return Ok(true);
                }
                self.used += self.opened.compressed_bytes(self.next_group - begun.len());
                begun.pop_front();
            },
        }
    }
}

/// Decodes a row group by a thread of its own, which ends early when nobody listens any more.
fn decode_ahead(opened: &Arc<Opened>, group: usize) -> Result<Receiver<Result<Vec<u8>>>> {
    let (sender, receiver) = bounded(AHEAD_BYTES / PIECE_BYTES);
    let opened = opened.clone();
    let decode = move |sender: &Sender<Result<Vec<u8>>>| {
        let mut group = Group::new(&opened, group)?;
        loop {
            let mut text = Vec::with_capacity(PIECE_BYTES + PIECE_BYTES / 2);
            while text.len() < PIECE_BYTES && group.append(&mut text)? {}
            if text.is_empty() || sender.send(Ok(text)).is_err() {
                return Ok(());
            }
        }
    };
    std::thread::Builder::new()
        .name("unpack".into())
        .spawn(move || {
            if let Err(e) = decode(&sender) {
                let _ = sender.send(Err(e));
            }
        })
        .map_err(|e| Error::new(Kind::Io, format!("cannot start a thread: {e}")))?;
    Ok(receiver)
}

/// Where row number `row` (from 1) of a file stands.
pub fn place_of(file: &LogFile, row: u64) -> Option<String> {
    let opened = Opened::new(file).ok()?;
    let mut before = 0;
    for (at, group) in opened.metadata.metadata().row_groups().iter().enumerate() {
        let rows = u64::try_from(group.num_rows()).ok()?;
        if row <= before + rows {
            return Some(format!("row group {}, row {}", at + 1, row - before));
        }
        before += rows;
    }
    None
}

/// A file whose footer was read.
struct Opened {
    name: String,
    bytes: Bounded,
    metadata: ArrowReaderMetadata,
    projection: ProjectionMask,
    record: Record,
}

impl Opened {
    fn new(file: &LogFile) -> Result<Opened> {
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
        Ok(Opened { name: file.name.clone(), bytes, metadata, projection, record })
    }

    fn groups(&self) -> usize {
        self.metadata.metadata().num_row_groups()
    }

    fn compressed_bytes(&self, group: usize) -> u64 {
        self.metadata.metadata().row_groups().get(group).map_or(0, |group| group.compressed_size().max(0) as u64)
    }
}

/// A row group that is being decoded.
struct Group {
    opened: Arc<Opened>,
    /// Counted from 0.
    number: usize,
    reader: ParquetRecordBatchReader,
}

impl Group {
    fn new(opened: &Arc<Opened>, number: usize) -> Result<Group> {
        let reader = guarded(|| {
            ParquetRecordBatchReaderBuilder::new_with_metadata(opened.bytes.clone(), opened.metadata.clone())
                .with_projection(opened.projection.clone())
                .with_row_groups(vec![number])
                .with_batch_size(BATCH_ROWS)
                .build()
        });
        let reader = reader.map_err(|e| broken(opened, number, &e))?;
        Ok(Group { opened: opened.clone(), number, reader })
    }

    /// Appends the next rows to a text; `false`: there are none.
    fn append(&mut self, text: &mut Vec<u8>) -> Result<bool> {
        match guarded(|| self.reader.next().transpose().map_err(ParquetError::from)) {
            Ok(Some(batch)) => {
                self.opened.record.write(&batch, text);
                Ok(true)
            }
            Ok(None) => Ok(false),
            Err(e) => Err(broken(&self.opened, self.number, &e)),
        }
    }

    fn compressed_bytes(&self) -> u64 {
        self.opened.compressed_bytes(self.number)
    }
}

/// Row groups are counted from 1 where people read it, as lines are.
fn broken(opened: &Opened, group: usize, what: &str) -> Error {
    Error::new(Kind::BadData, format!("the Parquet file is broken: {what}"))
        .at(format!("{}, row group {} of {}", opened.name, group + 1, opened.groups()))
        .with_help("export or copy the file again")
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
