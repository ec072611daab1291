//! The bytes of a file, of which a part lies in memory.

use crate::error::{Error, Kind, Result};
use crate::source::chunks::RECORD_BYTES_MAX;
use crate::source::files::LogFile;
use crate::source::unpack::Decompressor;

/// Bytes that are read at a time: more than any mark at a file's beginning has.
const READ_BYTES: usize = 256 << 10;

/// Decompressed bytes from `at` on; what lies before is dropped when more is read.
pub struct Input<'f> {
    from: Decompressor<'f>,
    buffer: Vec<u8>,
    at: usize,
    ended: bool,
    /// Of the byte at `at`, from 1.
    line: u64,
}

impl<'f> Input<'f> {
    pub fn open(file: &'f LogFile) -> Result<Input<'f>> {
        let mut input = Input { from: Decompressor::open(file)?, buffer: Vec::new(), at: 0, ended: false, line: 1 };
        input.more()?;
        if input.rest().starts_with(b"\xef\xbb\xbf") {
            input.at = 3;
        }
        Ok(input)
    }

    /// What lies in memory.
    pub fn rest(&self) -> &[u8] {
        &self.buffer[self.at..]
    }

    /// Reads more behind what lies in memory; `false`: there is no more. Fails where one record would fill the memory.
    pub fn more(&mut self) -> Result<bool> {
        if self.ended {
            return Ok(false);
        }
        self.buffer.drain(..self.at);
        self.at = 0;
        if self.buffer.len() as u64 >= RECORD_BYTES_MAX {
            return Err(Error::new(Kind::BadData, format!("a record is longer than {RECORD_BYTES_MAX} bytes"))
                .at(format!("{}:{}", self.name(), self.line))
                .with_help("is it what its name or `format` says?"));
        }
        let before = self.buffer.len();
        // as much again, so that a long record is not looked through for each piece
        let wanted = READ_BYTES.max(before).min(RECORD_BYTES_MAX as usize - before);
        self.buffer.resize(before + wanted, 0);
        let filled = self.from.fill(&mut self.buffer[before..])?;
        self.buffer.truncate(before + filled);
        self.ended = filled < wanted;
        Ok(filled > 0)
    }

    /// Steps over bytes that lie in memory.
    pub fn step(&mut self, bytes: usize) {
        let to = (self.at + bytes).min(self.buffer.len());
        self.line += memchr::memchr_iter(b'\n', &self.buffer[self.at..to]).count() as u64;
        self.at = to;
    }

    /// Whether there is nothing behind what lies in memory.
    pub fn is_at_end(&self) -> bool {
        self.ended
    }

    /// The line of the next byte, from 1.
    pub fn line(&self) -> u64 {
        self.line
    }

    pub fn used(&self) -> u64 {
        self.from.packed()
    }

    pub fn name(&self) -> &str {
        &self.from.file().name
    }
}
