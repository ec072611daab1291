//! The records of a container as lines, past the quirks of files.

use super::avro::Avro;
use super::csv::Csv;
use super::input::Input;
use super::json::Json;
use super::{Container, Records, bad_line};
use crate::error::Result;
use crate::source::files::LogFile;
use crate::source::quirks::of_files::{Rewrite, rewrites};

/// Gives out the lines of a file.
pub struct Lines<'f> {
    records: Box<dyn Records + 'f>,
    rewrites: Vec<Box<dyn Rewrite>>,
    record: Vec<u8>,
    text: Vec<u8>,
    given: usize,
    ended: bool,
    /// A last record without its end waits for it.
    waits: bool,
}

/// Text that is made ready at a time.
const TEXT_BYTES: usize = 64 << 10;

impl<'f> Lines<'f> {
    pub fn open(file: &'f LogFile) -> Result<Lines<'f>> {
        let records: Box<dyn Records + 'f> = match file.container {
            Container::Json => Box::new(Json::new(Input::open(file)?, file.form.as_deref())),
            Container::Csv | Container::Tsv | Container::PostgresCopy => Box::new(Csv::new(Input::open(file)?, file)?),
            Container::Avro => Box::new(Avro::open(file)?),
            Container::Ndjson | Container::Parquet => Box::new(Plain { input: Input::open(file)?, begun: 0, whole: true }),
        };
        let quirks = file.form.as_ref().map_or(&[][..], |form| form.quirks());
        let rewrites = rewrites(quirks, &file.name);
        Ok(Lines { records, rewrites, record: Vec::new(), text: Vec::new(), given: 0, ended: false, waits: file.may_grow() })
    }

    pub fn used(&self) -> u64 {
        self.records.used()
    }

    /// Fills `into` from its beginning, with at least a byte if any are left.
    pub fn read(&mut self, into: &mut [u8]) -> Result<usize> {
        if self.given == self.text.len() {
            self.text.clear();
            self.given = 0;
            while self.text.len() < TEXT_BYTES && self.more()? {}
        }
        let some = (self.text.len() - self.given).min(into.len());
        into[..some].copy_from_slice(&self.text[self.given..self.given + some]);
        self.given += some;
        Ok(some)
    }

    /// Appends the lines of the next record to the text; `false`: there are none.
    fn more(&mut self) -> Result<bool> {
        if self.ended {
            return Ok(false);
        }
        if self.rewrites.is_empty() {
            self.ended = !self.records.next(&mut self.text)?;
            // without its line break a last one waits, where the file may grow
            if !self.ended && self.records.is_whole() {
                self.text.push(b'\n');
            }
            return Ok(!self.ended);
        }
        self.record.clear();
        if self.records.next(&mut self.record)? {
            if self.waits && !self.records.is_whole() {
                self.text.extend_from_slice(&self.record);
                self.ended = true;
                return Ok(true);
            }
            rewrite(&mut self.rewrites, &self.record, &mut self.text);
            return Ok(true);
        }
        self.ended = true;
        for at in 0..self.rewrites.len() {
            let (one, further) = self.rewrites.split_at_mut(at + 1);
            let mut made = String::new();
            let end = one[at].end(&mut made);
            made.lines().for_each(|line| rewrite(further, line.as_bytes(), &mut self.text));
            if let Err(reason) = end {
                bad_line(&reason, b"", &mut self.text);
                self.text.push(b'\n');
            }
        }
        Ok(!self.text.is_empty())
    }

    /// Where the record lies that line number `line` (from 1) is made of.
    pub fn place_of(&mut self, line: u64) -> Option<String> {
        let mut seen = 0;
        loop {
            self.text.clear();
            if !self.more().ok()? {
                return None;
            }
            seen += memchr::memchr_iter(b'\n', &self.text).count() as u64;
            if seen >= line {
                return Some(self.records.place());
            }
        }
    }
}

/// Sends a record through what rewrites it, and appends what comes out as lines.
fn rewrite(rewrites: &mut [Box<dyn Rewrite>], record: &[u8], text: &mut Vec<u8>) {
    let Some((first, further)) = rewrites.split_first_mut() else {
        text.extend_from_slice(record);
        text.push(b'\n');
        return;
    };
    if record.first() == Some(&1) {
        // it is bad already
        return rewrite(&mut [], record, text);
    }
    let mut made = String::new();
    let result = match std::str::from_utf8(record) {
        Ok(record) => first.record(record, &mut made),
        Err(e) => Err(format!("the record is not UTF-8 at byte {}", e.valid_up_to() + 1)),
    };
    made.lines().for_each(|line| rewrite(further, line.as_bytes(), text));
    if let Err(reason) = result {
        bad_line(&reason, record, text);
        text.push(b'\n');
    }
}

/// The lines of a text.
struct Plain<'f> {
    input: Input<'f>,
    /// The line that the last one was.
    begun: u64,
    /// It has its line break.
    whole: bool,
}

impl Records for Plain<'_> {
    fn next(&mut self, record: &mut Vec<u8>) -> Result<bool> {
        let mut looked = 0;
        let end = loop {
            if let Some(found) = memchr::memchr(b'\n', &self.input.rest()[looked..]) {
                break looked + found;
            }
            looked = self.input.rest().len();
            if !self.input.more()? {
                break looked;
            }
        };
        if end == 0 && self.input.rest().is_empty() {
            return Ok(false);
        }
        self.begun = self.input.line();
        self.whole = end < self.input.rest().len();
        let line = &self.input.rest()[..end];
        record.extend_from_slice(line.strip_suffix(b"\r").unwrap_or(line));
        self.input.step(end + 1);
        Ok(true)
    }

    fn is_whole(&self) -> bool {
        self.whole
    }

    fn place(&self) -> String {
        format!("line {}", self.begun)
    }

    fn used(&self) -> u64 {
        self.input.used()
    }
}
