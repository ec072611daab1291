//! JSON that is not one object a line: arrays, pretty-printed objects, objects one behind the other. Streamed: no more than one record lies
//! in memory.

use std::collections::VecDeque;

use super::form::Form;
use super::input::Input;
use super::{Records, bad_line};
use crate::error::{Error, Kind, Result};
use crate::source::json as values;

pub struct Json<'f> {
    input: Input<'f>,
    /// Where each document has its records; `None`: it is one.
    path: Option<Vec<String>>,
    /// Of the document that was read last.
    waiting: VecDeque<String>,
    within: Within,
    /// Of the last record: its number, and the line that it begins on; both from 1.
    number: u64,
    begun: u64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Within {
    File,
    Array { first: bool },
}

impl<'f> Json<'f> {
    pub fn new(input: Input<'f>, form: Option<&Form>) -> Json<'f> {
        let path = form.and_then(|form| form.records().map(<[String]>::to_vec));
        Json { input, path, waiting: VecDeque::new(), within: Within::File, number: 0, begun: 1 }
    }

    /// The next byte that is no white space, which is not stepped over.
    fn peek(&mut self) -> Result<Option<u8>> {
        loop {
            // 0x1e separates the values of a JSON text sequence (RFC 7464)
            let blank = |byte: &u8| matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | 0x1e);
            let blanks = self.input.rest().iter().take_while(|byte| blank(byte)).count();
            self.input.step(blanks);
            if let Some(byte) = self.input.rest().first() {
                return Ok(Some(*byte));
            }
            if !self.input.more()? {
                return Ok(None);
            }
        }
    }

    /// The length of the value that begins here; `Err`: the file ends inside of it.
    fn value_len(&mut self) -> Result<std::result::Result<usize, usize>> {
        let (mut at, mut depth, mut quoted) = (0usize, 0usize, false);
        loop {
            let rest = self.input.rest();
            while at < rest.len() {
                if quoted {
                    match memchr::memchr2(b'"', b'\\', &rest[at..]) {
                        Some(found) if rest[at + found] == b'"' => {
                            at += found + 1;
                            quoted = false;
                            if depth == 0 {
                                return Ok(Ok(at));
                            }
                        }
                        // the byte behind it may not be there yet
                        Some(found) if at + found + 1 < rest.len() => at += found + 2,
                        Some(found) => {
                            at += found;
                            break;
                        }
                        None => at = rest.len(),
                    }
                    continue;
                }
                match rest[at] {
                    b'"' => quoted = true,
                    b'{' | b'[' => depth += 1,
                    b'}' | b']' if depth <= 1 => return Ok(Ok(if depth == 0 { at.max(1) } else { at + 1 })),
                    b'}' | b']' => depth -= 1,
                    b',' | b' ' | b'\t' | b'\n' | b'\r' if depth == 0 => return Ok(Ok(at.max(1))),
                    _ => {}
                }
                at += 1;
            }
            if !self.input.more()? {
                let len = self.input.rest().len();
                return Ok(if depth == 0 && !quoted { Ok(len) } else { Err(len) });
            }
        }
    }

    fn broken(&self, what: String) -> Error {
        Error::new(Kind::BadData, what)
            .at(format!("{}:{}", self.input.name(), self.input.line()))
            .with_help("export or copy the file again; records one a line are read one by one, with `format = \"ndjson\"`")
    }

    /// Makes the records of a document wait.
    fn take_apart(&mut self, document: &str, record: &mut Vec<u8>) -> bool {
        let Some(path) = &self.path else { return false };
        let mut found = Vec::new();
        let paths = values::Paths::new([path]);
        let scanned = values::scan(document, &paths, &mut found);
        let list = found.first().map_or("", |span| span.of(document));
        let elements: Option<Vec<&serde_json::value::RawValue>> = serde_json::from_str(list).ok();
        match (scanned, elements) {
            (Ok(()), Some(elements)) => {
                self.waiting.extend(elements.iter().map(|element| element.get().replace(['\n', '\r'], " ")));
                true
            }
            (Err(e), _) => {
                bad_line(&format!("{} at byte {} of the document", e.message, e.offset + 1), document.as_bytes(), record);
                false
            }
            (Ok(()), None) => {
                bad_line(&format!("the document has no list `{}`", path.join(".")), document.as_bytes(), record);
                false
            }
        }
    }
}

impl Records for Json<'_> {
    fn next(&mut self, record: &mut Vec<u8>) -> Result<bool> {
        loop {
            if let Some(next) = self.waiting.pop_front() {
                self.number += 1;
                record.extend_from_slice(next.as_bytes());
                return Ok(true);
            }
            let next = self.peek()?;
            match (self.within, next) {
                (Within::File, None) => return Ok(false),
                (Within::File, Some(b'[')) if self.path.is_none() => {
                    self.input.step(1);
                    self.within = Within::Array { first: true };
                    continue;
                }
                (Within::Array { .. }, None) => return Err(self.broken("the file ends inside of its array".into())),
                (Within::Array { .. }, Some(b']')) => {
                    self.input.step(1);
                    self.within = Within::File;
                    continue;
                }
                (Within::Array { first: false }, Some(b',')) => {
                    self.input.step(1);
                    if matches!(self.peek()?, None | Some(b']')) {
                        return Err(self.broken("nothing follows the last comma of the array".into()));
                    }
                }
                (Within::Array { first: false }, Some(_)) => {
                    return Err(self.broken(format!("neither a comma nor the end of the array follows element {}", self.number)));
                }
                (Within::Array { first: true }, Some(_)) => self.within = Within::Array { first: false },
                (Within::File, Some(b',')) => return Err(self.broken("a comma stands between records that stand in no array".into())),
                (Within::File, Some(_)) => {}
            }
            self.begun = self.input.line();
            let (len, whole) = match self.value_len()? {
                Ok(len) => (len, true),
                Err(len) => (len, false),
            };
            let value = self.input.rest()[..len].to_vec();
            self.input.step(len);
            if !whole {
                self.number += 1;
                bad_line("the file ends inside of this record", &value, record);
                self.within = Within::File;
                return Ok(true);
            }
            if self.path.is_some()
                && let Ok(document) = std::str::from_utf8(&value)
            {
                if self.take_apart(document, record) {
                    continue;
                }
                self.number += 1;
                return Ok(true);
            }
            self.number += 1;
            one_line(&value, record);
            return Ok(true);
        }
    }

    fn place(&self) -> String {
        format!("element {} (line {})", self.number, self.begun)
    }

    fn used(&self) -> u64 {
        self.input.used()
    }
}

/// A value without its line breaks: those between tokens become blanks, one inside of a string makes a bad record.
fn one_line(value: &[u8], record: &mut Vec<u8>) {
    if memchr::memchr2(b'\n', b'\r', value).is_none() {
        record.extend_from_slice(value);
        return;
    }
    let (start, mut quoted, mut escaped) = (record.len(), false, false);
    for byte in value {
        match byte {
            b'\n' | b'\r' if quoted => {
                record.truncate(start);
                return bad_line("a line break stands inside of a string", value, record);
            }
            b'\n' | b'\r' => {
                record.push(b' ');
                continue;
            }
            b'"' if !escaped => quoted = !quoted,
            _ => {}
        }
        escaped = quoted && *byte == b'\\' && !escaped;
        record.push(*byte);
    }
}
