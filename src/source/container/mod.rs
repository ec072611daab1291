//! What a file's records stand in: JSON, CSV, Avro, Parquet. Everything but plain NDJSON is unpacked into lines of NDJSON, one a
//! record, as if it were a compression.
//!
//! So lines, hashes, checkpoints, quarantine and messages are those of every other log. What a file's records become must not
//! change: a manifest has the hashes of it. Quirks of files see the records here, before they are lines.

mod avro;
mod csv;
pub mod form;
mod input;
mod json;
mod lines;
pub mod parquet;
mod text;

pub use form::Form;

use self::lines::Lines;
use self::parquet::Rows;
use super::files::LogFile;
use super::unpack::Decompressor;
use crate::error::Result;

/// What the records of a file stand in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Container {
    /// A JSON object a line.
    Ndjson,
    /// Arrays, or objects one behind the other, however they are broken into lines.
    Json,
    /// Rows of text by RFC 4180.
    Csv,
    /// As CSV, between tabs.
    Tsv,
    /// PostgreSQL's COPY in its text format.
    PostgresCopy,
    Avro,
    Parquet,
}

impl Container {
    pub fn name(self) -> &'static str {
        match self {
            Container::Ndjson => "ndjson",
            Container::Json => "json",
            Container::Csv => "csv",
            Container::Tsv => "tsv",
            Container::PostgresCopy => "postgres-copy",
            Container::Avro => "avro",
            Container::Parquet => "parquet",
        }
    }

    /// By the bytes that such a file begins with.
    pub fn of(head: &[u8]) -> Option<Container> {
        match head {
            [b'P', b'A', b'R', b'1', ..] => Some(Container::Parquet),
            [b'O', b'b', b'j', 1, ..] => Some(Container::Avro),
            _ => None,
        }
    }
}

/// A record that a container cannot read is a line that begins with this character, the reason behind it, then the
/// character again, and the record as it is. No JSON begins so.
pub const BAD_LINE: char = '\u{1}';

/// Writes a record that cannot be read as a line, see [`BAD_LINE`].
fn bad_line(reason: &str, record: &[u8], line: &mut Vec<u8>) {
    let mark = BAD_LINE as u8;
    let one_line =
        |bytes: &[u8], line: &mut Vec<u8>| line.extend(bytes.iter().map(|b| if matches!(b, b'\n' | b'\r' | 1) { b' ' } else { *b }));
    line.push(mark);
    one_line(reason.as_bytes(), line);
    line.push(mark);
    one_line(record, line);
}

/// Reads the records of one file, one after the other.
trait Records {
    /// Appends the next record as JSON without a line break; `false`: there are none.
    fn next(&mut self, record: &mut Vec<u8>) -> Result<bool>;

    /// Whether the last one is complete; one at the end of a text may still be written to.
    fn is_whole(&self) -> bool {
        true
    }

    /// Where the last one begins, for messages: `row 12 (line 15)`.
    fn place(&self) -> String;

    /// Bytes on disk that were used so far.
    fn used(&self) -> u64;
}

/// The lines of a log file, unpacked, in order.
pub enum Unpacker<'f> {
    Bytes(Decompressor<'f>),
    Parquet(Box<Rows>),
    Lines(Box<Lines<'f>>),
}

impl<'f> Unpacker<'f> {
    pub fn open(file: &'f LogFile) -> Result<Unpacker<'f>> {
        let described = |e| file.still_as_long().err().unwrap_or(e);
        Ok(match file.container {
            Container::Parquet => Unpacker::Parquet(Box::new(Rows::open(file).map_err(described)?)),
            Container::Ndjson if !file.is_rewritten() => Unpacker::Bytes(Decompressor::open(file)?),
            _ => Unpacker::Lines(Box::new(Lines::open(file).map_err(described)?)),
        })
    }

    /// Where that can be, unpacks so many parts of the file at once, before they are asked for.
    pub fn ahead(self, parts: usize) -> Unpacker<'f> {
        match self {
            Unpacker::Parquet(rows) => Unpacker::Parquet(Box::new(rows.ahead(parts))),
            other => other,
        }
    }

    /// Bytes on disk that were used so far.
    pub fn packed(&self) -> u64 {
        match self {
            Unpacker::Bytes(bytes) => bytes.packed(),
            Unpacker::Parquet(rows) => rows.used(),
            Unpacker::Lines(lines) => lines.used(),
        }
    }

    /// Fills `into` from its beginning; fewer bytes only at the end. Where the last member of a compressed file is cut, the file's
    /// entry is told how far the whole ones go, and the error is of [`crate::error::Kind::BadData`].
    pub fn fill(&mut self, into: &mut [u8]) -> Result<usize> {
        let mut filled = 0;
        while filled < into.len() {
            let some = match self {
                Unpacker::Bytes(bytes) => bytes.fill(&mut into[filled..])?,
                Unpacker::Parquet(rows) => rows.read(&mut into[filled..])?,
                Unpacker::Lines(lines) => lines.read(&mut into[filled..])?,
            };
            if some == 0 {
                break;
            }
            filled += some;
        }
        Ok(filled)
    }
}

/// Where line number `line` (from 1) of an unpacked file stands in the file itself; `None`: the line's number says it.
pub fn place_of(file: &LogFile, line: u64) -> Option<String> {
    match file.container {
        Container::Parquet => parquet::place_of(file, line),
        Container::Ndjson if !file.is_rewritten() => None,
        _ => Lines::open(file).ok()?.place_of(line),
    }
}
