//! Avro object container files: a datum is a record.
//!
//! What a value becomes is what a Parquet cell becomes: a number by all its digits, bytes and fixed in base64 (in the columns of the payload
//! and the metadata as the text that they hold, if they are JSON), days and times as texts, maps and records as objects. A union is
//! the value that it holds.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::str::FromStr;
use std::sync::Arc;

use apache_avro::reader::datum::GenericDatumReader;
use apache_avro::schema::{Name, Schema};
use apache_avro::types::Value;
use apache_avro::{Codec, Decimal};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use hashbrown::HashMap;

use super::form::Form;
use super::input::Input;
use super::{Records, bad_line, text};
use crate::error::{Error, Kind, Result};
use crate::source::files::LogFile;
use crate::source::quirks::debezium::{date, decimal, time, timestamp};

/// Bytes of the mark behind each block.
const MARK_BYTES: usize = 16;

/// A file's blocks, read by the format's specification ("Object Container Files"); what is in them the crate decodes.
pub struct Avro<'f> {
    input: Input<'f>,
    data: Data,
    codec: Codec,
    mark: [u8; MARK_BYTES],
    /// Of the block that was read last, with the number of the datum in it.
    waiting: VecDeque<(u64, Vec<u8>)>,
    /// The block, and the datum in it, that was given out last; both from 1.
    block: u64,
    datum: u64,
}

/// How datums are decoded and written.
struct Data {
    schema: Schema,
    names: HashMap<Name, Schema>,
    form: Option<Arc<Form>>,
}

impl<'f> Avro<'f> {
    pub fn open(file: &'f LogFile) -> Result<Avro<'f>> {
        let mut input = Input::open(file)?;
        let broken = |what: String| {
            Error::new(Kind::BadData, format!("the Avro file is broken, or not complete: {what}"))
                .at(file.name.clone())
                .with_help("export or copy the file again")
        };
        need(&mut input, 4)?;
        input.step(4);
        let (mut schema, mut codec) = (None, Codec::Null);
        loop {
            let mut members = long(&mut input)?.ok_or_else(|| broken("its header is cut".into()))?;
            if members == 0 {
                break;
            }
            if members < 0 {
                long(&mut input)?;
                members = members.saturating_neg();
            }
            for _ in 0..members {
                let name = bytes(&mut input)?.ok_or_else(|| broken("its header is cut".into()))?;
                let value = bytes(&mut input)?.ok_or_else(|| broken("its header is cut".into()))?;
                let text = String::from_utf8_lossy(&value);
                match &name[..] {
                    b"avro.schema" => schema = Some(guarded(|| Schema::parse_str(&text)).map_err(&broken)?),
                    b"avro.codec" => codec = Codec::from_str(&text).map_err(|_| broken(format!("its codec is {text:?}")))?,
                    _ => {}
                }
            }
        }
        let schema = schema.ok_or_else(|| broken("it has no schema".into()))?;
        if need(&mut input, MARK_BYTES)? < MARK_BYTES {
            return Err(broken("its header is cut".into()));
        }
        let mut mark = [0; MARK_BYTES];
        mark.copy_from_slice(&input.rest()[..MARK_BYTES]);
        input.step(MARK_BYTES);
        let mut names = HashMap::new();
        // data of any depth would take a stack of any depth
        named(&schema, &mut names, &mut Vec::new()).map_err(broken)?;
        let data = Data { schema, names, form: file.form.clone() };
        Ok(Avro { input, data, codec, mark, waiting: VecDeque::new(), block: 0, datum: 0 })
    }

    fn broken(&self, what: impl std::fmt::Display) -> Error {
        Error::new(Kind::BadData, format!("the Avro file is broken, or not complete: {what}"))
            .at(format!("{}, block {}", self.input.name(), self.block))
            .with_help("export or copy the file again; a file that is still being written gets its name when it is complete")
    }

    /// Decodes the next block; `false`: there is none.
    fn next_block(&mut self) -> Result<bool> {
        if self.input.rest().is_empty() && !self.input.more()? {
            return Ok(false);
        }
        self.block += 1;
        let cut = "it ends inside of a block";
        let count = long(&mut self.input)?.ok_or_else(|| self.broken(cut))?;
        let Some(mut block) = bytes(&mut self.input)? else { return Err(self.broken(cut)) };
        if need(&mut self.input, MARK_BYTES)? < MARK_BYTES {
            return Err(self.broken(cut));
        }
        if self.input.rest()[..MARK_BYTES] != self.mark {
            return Err(self.broken("the mark behind the block is not the file's"));
        }
        self.input.step(MARK_BYTES);
        let codec = self.codec;
        guarded(|| codec.decompress(&mut block)).map_err(|e| self.broken(e))?;
        if count < 0 || count as u64 > block.len() as u64 {
            return Err(self.broken(format!("{count} datums cannot lie in {} bytes", block.len())));
        }
        let reader = guarded(|| GenericDatumReader::builder(&self.data.schema).build()).map_err(|e| self.broken(e))?;
        let mut rest = &block[..];
        for datum in 1..=count as u64 {
            let before = rest.len();
            let value = guarded(|| reader.read_value(&mut rest)).map_err(|e| self.broken(format!("datum {datum}: {e}")))?;
            if rest.len() == before {
                return Err(self.broken(format!("datum {datum} has no bytes")));
            }
            let mut record = Vec::new();
            if let Err(what) = self.data.datum(&value, &mut record) {
                record.clear();
                bad_line(&what, b"", &mut record);
            }
            self.waiting.push_back((datum, record));
        }
        if !rest.is_empty() {
            return Err(self.broken(format!("{} bytes follow its last datum", rest.len())));
        }
        Ok(true)
    }
}

/// Reads until so many bytes lie in memory, or all there are; gives how many.
fn need(input: &mut Input, bytes: usize) -> Result<usize> {
    while input.rest().len() < bytes && input.more()? {}
    Ok(input.rest().len().min(bytes))
}

/// A number in zig-zag coding; `None`: the file ends before its end, or it is none.
fn long(input: &mut Input) -> Result<Option<i64>> {
    let len = need(input, 10)?;
    let mut value = 0u64;
    for (at, byte) in input.rest()[..len].iter().enumerate() {
        value |= u64::from(byte & 0x7f) << (7 * at);
        if byte & 0x80 == 0 {
            input.step(at + 1);
            return Ok(Some((value >> 1) as i64 ^ -((value & 1) as i64)));
        }
    }
    Ok(None)
}

/// Bytes behind their length; `None`: the file ends before their end.
fn bytes(input: &mut Input) -> Result<Option<Vec<u8>>> {
    let Some(len) = long(input)?.and_then(|len| usize::try_from(len).ok()) else { return Ok(None) };
    if need(input, len)? < len {
        return Ok(None);
    }
    let bytes = input.rest()[..len].to_vec();
    input.step(len);
    Ok(Some(bytes))
}

impl Data {
    fn write(&self, value: &Value, schema: &Schema, out: &mut Vec<u8>) -> std::result::Result<(), String> {
        let schema = match schema {
            Schema::Ref { name } => self.names.get(name).unwrap_or(schema),
            other => other,
        };
        let string = |text: std::result::Result<String, String>, out: &mut Vec<u8>| text.map(|text| text::string(&text, out));
        match value {
            Value::Null => out.extend_from_slice(b"null"),
            Value::Boolean(value) => out.extend_from_slice(if *value { b"true" } else { b"false" }),
            Value::Int(value) => out.extend_from_slice(value.to_string().as_bytes()),
            Value::Long(value) => out.extend_from_slice(value.to_string().as_bytes()),
            Value::Float(value) => float(*value as f64, serde_json::to_string(value), out),
            Value::Double(value) => float(*value, serde_json::to_string(value), out),
            Value::Bytes(bytes) | Value::Fixed(_, bytes) => text::string(&BASE64_STANDARD.encode(bytes), out),
            Value::String(value) | Value::Enum(_, value) => text::string(value, out),
            Value::Uuid(uuid) => text::string(&uuid.to_string(), out),
            Value::Union(at, value) => {
                let inner = match schema {
                    Schema::Union(union) => union.variants().get(*at as usize),
                    _ => None,
                };
                return self.write(value, inner.unwrap_or(&Schema::Null), out);
            }
            Value::Array(items) => {
                let inner = if let Schema::Array(array) = schema { &array.items } else { &Schema::Null };
                out.push(b'[');
                for (at, item) in items.iter().enumerate() {
                    if at > 0 {
                        out.push(b',');
                    }
                    self.write(item, inner, out)?;
                }
                out.push(b']');
            }
            Value::Map(members) => {
                let inner = if let Schema::Map(map) = schema { &map.types } else { &Schema::Null };
                // the reader's order is by chance
                let mut members: Vec<_> = members.iter().collect();
                members.sort_by_key(|(name, _)| *name);
                out.push(b'{');
                for (at, (name, value)) in members.into_iter().enumerate() {
                    member(at, name, out);
                    self.write(value, inner, out)?;
                }
                out.push(b'}');
            }
            Value::Record(fields) => {
                out.push(b'{');
                for (at, (name, value)) in fields.iter().enumerate() {
                    member(at, name, out);
                    self.write(value, field(schema, at), out)?;
                }
                out.push(b'}');
            }
            Value::Date(days) => string(date(*days as i64), out)?,
            Value::TimeMillis(count) => string(time(*count as i128 * 1_000_000), out)?,
            Value::TimeMicros(count) => string(time(*count as i128 * 1000), out)?,
            Value::TimestampMillis(count) => string(timestamp(*count as i128 * 1_000_000).map(zulu), out)?,
            Value::TimestampMicros(count) => string(timestamp(*count as i128 * 1000).map(zulu), out)?,
            Value::TimestampNanos(count) => string(timestamp(*count as i128).map(zulu), out)?,
            Value::LocalTimestampMillis(count) => string(timestamp(*count as i128 * 1_000_000), out)?,
            Value::LocalTimestampMicros(count) => string(timestamp(*count as i128 * 1000), out)?,
            Value::LocalTimestampNanos(count) => string(timestamp(*count as i128), out)?,
            Value::Decimal(value) => {
                let Schema::Decimal(about) = schema else { return Err("a decimal has no scale".into()) };
                out.extend_from_slice(digits(value, about.scale)?.as_bytes());
            }
            Value::BigDecimal(value) => out.extend_from_slice(value.to_plain_string().as_bytes()),
            Value::Duration(value) => {
                let (months, days, millis) = (u32::from(value.months()), u32::from(value.days()), u32::from(value.millis()));
                text::string(&format!("{months} months {days} days {}.{:03} seconds", millis / 1000, millis % 1000), out);
            }
        }
        Ok(())
    }

    /// A datum, of whose fields only those are written that somebody wants.
    fn datum(&self, value: &Value, out: &mut Vec<u8>) -> std::result::Result<(), String> {
        let Value::Record(fields) = value else { return self.write(value, &self.schema, out) };
        let form = self.form.as_deref();
        out.push(b'{');
        let mut written = 0;
        for (at, (name, value)) in fields.iter().enumerate() {
            if !form.is_none_or(|form| form.needs(name)) {
                continue;
            }
            member(written, name, out);
            written += 1;
            let inner = if let Value::Union(_, inner) = value { inner } else { value };
            let document = match inner {
                Value::Bytes(bytes) => std::str::from_utf8(bytes).ok(),
                Value::String(value) => Some(value.as_str()),
                _ => None,
            };
            // a byte order mark stands before some producers' JSON
            let document = document.map(|text| text.strip_prefix('\u{feff}').unwrap_or(text));
            match document.filter(|text| form.is_some_and(|form| form.is_document(name)) && text.trim_start().starts_with(['{', '['])) {
                Some(document) => text::document(document, out),
                None => self.write(value, field(&self.schema, at), out)?,
            }
        }
        out.push(b'}');
        Ok(())
    }
}

fn zulu(text: String) -> String {
    if text.ends_with(')') { text } else { format!("{text}Z") }
}

/// `"name":`, behind a comma where it is not the first one.
fn member(at: usize, name: &str, out: &mut Vec<u8>) {
    if at > 0 {
        out.push(b',');
    }
    text::string(name, out);
    out.push(b':');
}

/// The schema of a record's field.
fn field(schema: &Schema, at: usize) -> &Schema {
    match schema {
        Schema::Record(record) => record.fields.get(at).map_or(&Schema::Null, |field| &field.schema),
        _ => &Schema::Null,
    }
}

fn float(value: f64, text: serde_json::Result<String>, out: &mut Vec<u8>) {
    match text {
        Ok(text) if value.is_finite() => out.extend_from_slice(text.as_bytes()),
        _ if value.is_nan() => out.extend_from_slice(b"\"NaN\""),
        _ => out.extend_from_slice(if value > 0.0 { b"\"Infinity\"" } else { b"\"-Infinity\"" }),
    }
}

fn digits(value: &Decimal, scale: usize) -> std::result::Result<String, String> {
    let bytes: Vec<u8> = value.try_into().map_err(|e| format!("a decimal cannot be read: {e}"))?;
    decimal(&bytes, i32::try_from(scale).map_err(|_| format!("a scale of {scale}"))?)
}

/// The schemas that others refer to by their names. Fails where one contains itself. `around`: the records that this one lies in.
fn named(schema: &Schema, names: &mut HashMap<Name, Schema>, around: &mut Vec<Name>) -> std::result::Result<(), String> {
    match schema {
        Schema::Record(record) => {
            names.insert(record.name.clone(), schema.clone());
            around.push(record.name.clone());
            record.fields.iter().try_for_each(|field| named(&field.schema, names, around))?;
            around.pop();
        }
        Schema::Ref { name } if around.contains(name) => {
            return Err(format!("the record {name:?} of its schema contains itself, which is not read"));
        }
        Schema::Union(union) => union.variants().iter().try_for_each(|variant| named(variant, names, around))?,
        Schema::Array(array) => named(&array.items, names, around)?,
        Schema::Map(map) => named(&map.types, names, around)?,
        Schema::Enum(of) => {
            names.insert(of.name.clone(), schema.clone());
        }
        Schema::Fixed(of) => {
            names.insert(of.name.clone(), schema.clone());
        }
        _ => {}
    }
    Ok(())
}

/// What the crate makes of broken bytes: an error, or, since it is not ours and files are hostile, a panic.
fn guarded<T>(read: impl FnOnce() -> apache_avro::AvroResult<T>) -> std::result::Result<T, String> {
    match catch_unwind(AssertUnwindSafe(read)) {
        Ok(result) => result.map_err(|e| e.to_string()),
        Err(_) => Err("it contradicts itself".into()),
    }
}

impl Records for Avro<'_> {
    fn next(&mut self, record: &mut Vec<u8>) -> Result<bool> {
        loop {
            if let Some((datum, made)) = self.waiting.pop_front() {
                self.datum = datum;
                record.extend_from_slice(&made);
                return Ok(true);
            }
            if !self.next_block()? {
                return Ok(false);
            }
        }
    }

    fn place(&self) -> String {
        format!("block {}, datum {}", self.block, self.datum)
    }

    fn used(&self) -> u64 {
        self.input.used()
    }
}
