//! Rows of text: CSV by RFC 4180, the same between tabs, and PostgreSQL's COPY in its text format.
//!
//! A row becomes an object of strings by the names of its columns; NULL becomes null. In CSV NULL is an empty field without quotes (with
//! quotes it is the empty string), `\N`, or what `null` says. In COPY's text it is `\N`, and a backslash begins an escape.

use super::form::{Form, Rows};
use super::input::Input;
use super::{Container, Records, bad_line, text};
use crate::error::{Error, Kind, Result};
use crate::source::files::LogFile;

pub struct Csv<'f> {
    input: Input<'f>,
    rows: Rows,
    copy: bool,
    columns: Vec<Column>,
    fields: Vec<Field>,
    /// A field whose escapes were resolved.
    plain: Vec<u8>,
    ended: bool,
    /// The last row has its line break.
    whole: bool,
    /// Of the last row: its number without the header, and the line that it begins on; both from 1.
    number: u64,
    begun: u64,
}

struct Column {
    /// `"name":`
    name: Vec<u8>,
    wanted: bool,
    document: bool,
}

/// A field of the row at hand.
#[derive(Clone, Copy)]
struct Field {
    start: usize,
    end: usize,
    quoted: bool,
    /// It has doubled quotes, or backslashes.
    escaped: bool,
}

impl<'f> Csv<'f> {
    pub fn new(input: Input<'f>, file: &LogFile) -> Result<Csv<'f>> {
        let copy = file.container == Container::PostgresCopy;
        let rows = file.form.as_ref().map_or_else(Rows::default, |form| form.rows().clone());
        let delimiter = rows.delimiter.unwrap_or(if file.container == Container::Csv { b',' } else { b'\t' });
        let header = rows.header.unwrap_or(!copy);
        let rows = Rows { delimiter: Some(delimiter), ..rows };
        let mut csv = Csv {
            input,
            rows,
            copy,
            columns: Vec::new(),
            fields: Vec::new(),
            plain: Vec::new(),
            ended: false,
            whole: true,
            number: 0,
            begun: 1,
        };
        let form = file.form.clone();
        let mut names = csv.rows.columns.clone();
        if header && let Some(len) = csv.row()? {
            let found = csv.names(len)?;
            csv.input.step(len);
            // names that the project gives stand for those of the header
            if names.is_empty() {
                names = found;
            } else if names.len() != found.len() {
                let what = format!("the header has {} columns, the project names {}", found.len(), names.len());
                return Err(csv.wrong(what, "see `columns` in [source.<name>.csv]"));
            }
        }
        if names.is_empty() && !header {
            return Err(csv.wrong(
                "nobody says what the columns of this file are".into(),
                "name them: `columns = [\"id\", …]` in [source.<name>.csv]; or export with a header, and say `header = true`",
            ));
        }
        for (at, name) in names.iter().enumerate() {
            if names[..at].contains(name) {
                return Err(csv.wrong(format!("two columns are called {name:?}"), "name them: `columns` in [source.<name>.csv]"));
            }
        }
        csv.columns = names.iter().map(|name| column(name, form.as_deref())).collect();
        Ok(csv)
    }

    fn wrong(&self, what: String, help: &str) -> Error {
        Error::new(Kind::BadData, what).at(format!("{}:{}", self.input.name(), self.input.line())).with_help(help)
    }

    /// Finds the fields of the next row; its length with its line break. `None`: there is no further row.
    fn row(&mut self) -> Result<Option<usize>> {
        loop {
            let found = if self.copy { self.copy_row() } else { self.quoted_row() };
            if found.is_some() || self.input.is_at_end() {
                return Ok(found);
            }
            // at the end it is looked at once more, since the last row needs no line break
            self.input.more()?;
        }
    }

    /// Looks for a row in what lies in memory; `None`: its end is not there yet.
    fn quoted_row(&mut self) -> Option<usize> {
        let (bytes, ended) = (self.input.rest(), self.input.is_at_end());
        let (delimiter, quote) = (self.rows.delimiter.unwrap_or(b','), self.rows.quote);
        self.fields.clear();
        if bytes.is_empty() {
            return None;
        }
        let mut at = 0;
        loop {
            let mut field = Field { start: at, end: at, quoted: false, escaped: false };
            if bytes.get(at) == Some(&quote) {
                field.quoted = true;
                field.start = at + 1;
                at += 1;
                loop {
                    match memchr::memchr(quote, &bytes[at..]) {
                        Some(found) => at += found,
                        // a quote that is not closed: the field is all the rest, and the row will be a bad record
                        None if ended => {
                            (field.end, at) = (bytes.len(), bytes.len());
                            field.quoted = false;
                            field.start -= 1;
                            self.fields.push(field);
                            return Some(at);
                        }
                        None => return None,
                    }
                    match bytes.get(at + 1) {
                        Some(next) if *next == quote => {
                            field.escaped = true;
                            at += 2;
                        }
                        None if !ended => return None,
                        _ => break,
                    }
                }
                field.end = at;
                at += 1;
            }
            let behind = at;
            // what follows a closing quote belongs to the field as it is, which makes the row a bad record
            match memchr::memchr2(delimiter, b'\n', &bytes[at..]) {
                Some(found) => at += found,
                None if ended => at = bytes.len(),
                None => return None,
            }
            let last = bytes.get(at) != Some(&delimiter);
            let end = if last && at > behind && bytes[at - 1] == b'\r' { at - 1 } else { at };
            if !field.quoted {
                field.end = end;
            } else if end > behind {
                field = Field { start: field.start - 1, end, quoted: false, escaped: true };
            }
            self.fields.push(field);
            if last {
                return Some((at + 1).min(bytes.len()));
            }
            at += 1;
        }
    }

    fn copy_row(&mut self) -> Option<usize> {
        let (bytes, ended) = (self.input.rest(), self.input.is_at_end());
        let delimiter = self.rows.delimiter.unwrap_or(b'\t');
        self.fields.clear();
        if bytes.is_empty() {
            return None;
        }
        let (mut at, mut start, mut escaped) = (0, 0, false);
        loop {
            match memchr::memchr3(delimiter, b'\n', b'\\', &bytes[at..]) {
                Some(found) => at += found,
                None if ended => at = bytes.len(),
                None => return None,
            }
            match bytes.get(at) {
                Some(b'\\') if at + 1 < bytes.len() => {
                    escaped = true;
                    at += 2;
                    continue;
                }
                Some(b'\\') if !ended => return None,
                Some(b'\\') => at = bytes.len(),
                _ => {}
            }
            let last = bytes.get(at) != Some(&delimiter);
            let end = if last && at > start && bytes[at - 1] == b'\r' { at - 1 } else { at };
            self.fields.push(Field { start, end, quoted: false, escaped });
            if last {
                return Some((at + 1).min(bytes.len()));
            }
            at += 1;
            (start, escaped) = (at, false);
        }
    }

    fn names(&mut self, len: usize) -> Result<Vec<String>> {
        let mut names = Vec::with_capacity(self.fields.len());
        for (at, field) in self.fields.iter().enumerate() {
            let row = &self.input.rest()[..len];
            let name = value(&self.rows, self.copy, row, field, &mut self.plain).map(<[u8]>::to_vec).unwrap_or_default();
            let name = String::from_utf8(name).map_err(|_| self.wrong("the header is not UTF-8".into(), "export the file as UTF-8"))?;
            names.push(if name.is_empty() { format!("column{}", at + 1) } else { name });
        }
        Ok(names)
    }

    /// Writes the row at hand, which lies at the beginning of what is in memory.
    fn write(&mut self, record: &mut Vec<u8>) {
        let row = self.input.rest();
        record.push(b'{');
        let mut first = true;
        for (column, field) in self.columns.iter().zip(&self.fields).filter(|(column, _)| column.wanted) {
            if !first {
                record.push(b',');
            }
            first = false;
            record.extend_from_slice(&column.name);
            match value(&self.rows, self.copy, row, field, &mut self.plain) {
                None => record.extend_from_slice(b"null"),
                Some(value) => match std::str::from_utf8(value) {
                    Ok(value) if column.document => text::document(value, record),
                    Ok(value) => text::string(value, record),
                    // the line is not UTF-8 then, and says at which byte
                    Err(_) => {
                        record.push(b'"');
                        record.extend(value.iter().map(|byte| if *byte < b' ' || matches!(byte, b'"' | b'\\') { b' ' } else { *byte }));
                        record.push(b'"');
                    }
                },
            }
        }
        record.push(b'}');
    }
}

/// The bytes that a field of a row stands for; `None`: NULL. `plain`: memory for one whose escapes have to be resolved.
fn value<'a>(rows: &Rows, copy: bool, row: &'a [u8], field: &Field, plain: &'a mut Vec<u8>) -> Option<&'a [u8]> {
    let raw = &row[field.start..field.end];
    if copy {
        if raw == rows.null.as_deref().unwrap_or("\\N").as_bytes() {
            return None;
        }
        if !field.escaped {
            return Some(raw);
        }
        plain.clear();
        copy_text(raw, plain);
        return Some(plain);
    }
    if !field.quoted {
        let null = match &rows.null {
            Some(null) => raw == null.as_bytes(),
            None => raw.is_empty(),
        };
        return (!null && raw != b"\\N").then_some(raw);
    }
    if !field.escaped {
        return Some(raw);
    }
    plain.clear();
    let mut rest = raw;
    while let Some(found) = memchr::memchr(rows.quote, rest) {
        plain.extend_from_slice(&rest[..=found]);
        rest = rest.get(found + 2..).unwrap_or_default();
    }
    plain.extend_from_slice(rest);
    Some(plain)
}

fn column(name: &str, form: Option<&Form>) -> Column {
    let mut quoted = Vec::new();
    text::string(name, &mut quoted);
    quoted.push(b':');
    let wanted = form.is_none_or(|form| form.needs(name));
    Column { name: quoted, wanted, document: form.is_some_and(|form| form.is_document(name)) }
}

/// Resolves the escapes of COPY's text format (PostgreSQL's documentation of COPY, "Text Format").
fn copy_text(raw: &[u8], out: &mut Vec<u8>) {
    let mut rest = raw;
    while let Some(found) = memchr::memchr(b'\\', rest) {
        out.extend_from_slice(&rest[..found]);
        rest = &rest[found + 1..];
        let Some((byte, behind)) = rest.split_first() else {
            out.push(b'\\');
            return;
        };
        rest = behind;
        let digits = |rest: &[u8], most: usize, radix: u32| rest.iter().take(most).take_while(|b| (**b as char).is_digit(radix)).count();
        let number = |digits: &[u8], radix: u32| {
            digits.iter().fold(0u32, |n, digit| n * radix + (*digit as char).to_digit(radix).unwrap_or_default()) as u8
        };
        match byte {
            b'b' => out.push(8),
            b'f' => out.push(12),
            b'n' => out.push(b'\n'),
            b'r' => out.push(b'\r'),
            b't' => out.push(b'\t'),
            b'v' => out.push(11),
            b'0'..=b'7' => {
                let more = digits(rest, 2, 8);
                let octal: Vec<u8> = std::iter::once(*byte).chain(rest[..more].iter().copied()).collect();
                out.push(number(&octal, 8));
                rest = &rest[more..];
            }
            b'x' if digits(rest, 2, 16) > 0 => {
                let len = digits(rest, 2, 16);
                out.push(number(&rest[..len], 16));
                rest = &rest[len..];
            }
            other => out.push(*other),
        }
    }
    out.extend_from_slice(rest);
}

impl Records for Csv<'_> {
    fn next(&mut self, record: &mut Vec<u8>) -> Result<bool> {
        if self.ended {
            return Ok(false);
        }
        let Some(len) = self.row()? else { return Ok(false) };
        self.begun = self.input.line();
        self.number += 1;
        let row = &self.input.rest()[..len];
        self.whole = row.ends_with(b"\n");
        let content = row.strip_suffix(b"\n").unwrap_or(row);
        let content = content.strip_suffix(b"\r").unwrap_or(content);
        if self.copy && content == b"\\." {
            // the end of the data; what may follow is none of COPY's
            self.ended = true;
            self.input.step(len);
            let blank = |bytes: &[u8]| bytes.iter().all(u8::is_ascii_whitespace);
            while blank(self.input.rest()) {
                let len = self.input.rest().len();
                self.input.step(len);
                if !self.input.more()? {
                    return Ok(false);
                }
            }
            return Err(self.wrong("something follows the end of the data (`\\.`)".into(), "keep the rows of one COPY in a file"));
        }
        // a line without anything is no record
        if !content.is_empty() || self.columns.len() == 1 {
            let torn = self.fields.iter().any(|field| !field.quoted && !self.copy && row.get(field.start) == Some(&self.rows.quote));
            if torn {
                bad_line("a field begins with a quote that is not closed before the field's end", content, record);
            } else if self.fields.len() != self.columns.len() {
                let what = format!("the row has {} fields, there are {} columns", self.fields.len(), self.columns.len());
                bad_line(&what, content, record);
            } else {
                self.write(record);
            }
        }
        self.input.step(len);
        Ok(true)
    }

    fn is_whole(&self) -> bool {
        self.whole
    }

    fn place(&self) -> String {
        format!("row {} (line {})", self.number, self.begun)
    }

    fn used(&self) -> u64 {
        self.input.used()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_of_copy_are_what_postgresql_says() {
        let text = |raw: &str| {
            let mut out = Vec::new();
            copy_text(raw.as_bytes(), &mut out);
            String::from_utf8(out).unwrap()
        };
        assert_eq!(text(r"a\tb\\n\nc\101\x41z\q\."), "a\tb\\n\ncAAzq.");
        assert_eq!(text(r"\"), "\\");
    }
}
