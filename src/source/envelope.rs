//! The envelope of a record: stream, type, version, position, time, id.

use std::borrow::Cow;

use xxhash_rust::xxh3::xxh3_64;

use super::batch::{BadKind, Batch, Route};
use super::contract::{convert, shortened};
use super::json::{self, Span};
use crate::project::{Dedupe, Order, Source};
use crate::sql::{self, Env, Expr, Slot, Type, Value, cast_text};

/// The parts of one record as the envelope's expressions see them.
pub(super) struct RecordEnv<'a> {
    pub(super) text: &'a str,
    /// By path of `Envelope::paths`.
    pub(super) found: &'a [Span],
    /// No string of the record has an escape, as far as that is known.
    pub(super) plain: bool,
}

impl Env for RecordEnv<'_> {
    fn get(&self, slot: Slot) -> Value {
        let span = self.found.get(slot.0 as usize).copied().unwrap_or_default();
        json::as_text(span.of(self.text)).ok().flatten().map_or(Value::Null, Value::text)
    }
}

/// Why a record did not become an event that can be folded.
pub(super) struct Refusal {
    pub(super) kind: BadKind,
    pub(super) reason: String,
}

pub(super) fn refuse<T>(kind: BadKind, reason: impl Into<String>) -> std::result::Result<T, Refusal> {
    Err(Refusal { kind, reason: reason.into() })
}

/// Reads the envelope and appends it to the batch's events, or appends nothing.
pub(super) fn read(source: &Source, env: &RecordEnv, number: u32, batch: &mut Batch) -> std::result::Result<(), Refusal> {
    let stream = required_text(&source.envelope.stream, env, "stream")?;
    let event_type = required_text(&source.envelope.event_type, env, "type")?;
    let version = optional_int(source.envelope.version.as_ref(), env, "version")?;
    let position = optional_int(source.envelope.position.as_ref(), env, "position")?;
    if position.is_none() && source.dedupe == Dedupe::Position {
        return refuse(BadKind::Envelope, "`position` is NULL, and `dedupe = \"position\"` tells duplicates by it");
    }
    let time = match source.envelope.time.as_ref().map(|e| value_of(e, env)).transpose() {
        Ok(Some(Value::Timestamp(t))) => Some(moment(t)?),
        Ok(_) => None,
        Err(e) => return refuse(BadKind::Envelope, format!("`time`: {e}")),
    };
    let key = match source.order {
        Order::Log => Some(0),
        Order::Position => position,
        Order::Time => time,
        Order::Version => version,
    };
    if key.is_none() {
        let part = source.order.name();
        return refuse(BadKind::Envelope, format!("`{part}` is NULL, and `order = {part:?}` sorts by it"));
    }
    let id = match &source.envelope.id {
        Some(expr) => text_of(expr, env).map_err(|e| Refusal { kind: BadKind::Envelope, reason: format!("`id`: {e}") })?,
        None => None,
    };
    if id.as_deref().is_none_or(str::is_empty) && source.dedupe == Dedupe::Id {
        return refuse(BadKind::Envelope, "`id` is NULL or empty, and `dedupe = \"id\"` tells duplicates by it");
    }
    let events = &mut batch.events;
    events.line.push(number);
    events.route.push(Route::Filtered);
    events.stream_hash.push(xxh3_64(stream.as_bytes()));
    events.mark.push(xxh3_64(id.as_deref().unwrap_or(env.text).as_bytes()));
    events.stream.push(&stream);
    events.event_type.push(&event_type);
    events.version.push(version);
    events.position.push(position);
    events.time.push(time);
    events.id.push(id.as_deref().unwrap_or(""));
    Ok(())
}

/// Where bad records are set aside, one whose envelope cannot be read stops its stream all the same, if it names one:
/// it becomes a bad event with whatever else of its envelope can be read.
pub(super) fn read_broken(source: &Source, env: &RecordEnv, number: u32, batch: &mut Batch) {
    if !source.quarantines() {
        return;
    }
    let Ok(stream) = required_text(&source.envelope.stream, env, "stream") else { return };
    let id = source.envelope.id.as_ref().and_then(|id| text_of(id, env).ok().flatten());
    let events = &mut batch.events;
    events.line.push(number);
    events.route.push(Route::Bad);
    events.stream_hash.push(xxh3_64(stream.as_bytes()));
    events.mark.push(xxh3_64(id.as_deref().unwrap_or(env.text).as_bytes()));
    events.stream.push(&stream);
    events.event_type.push(&required_text(&source.envelope.event_type, env, "type").unwrap_or_default());
    events.version.push(optional_int(source.envelope.version.as_ref(), env, "version").unwrap_or_default());
    events.position.push(optional_int(source.envelope.position.as_ref(), env, "position").unwrap_or_default());
    events.time.push(None);
    events.id.push(id.as_deref().unwrap_or(""));
}

fn text_of<'a>(expr: &Expr, env: &RecordEnv<'a>) -> std::result::Result<Option<Cow<'a, str>>, String> {
    if let Some(slot) = expr.as_slot() {
        let json = env.found.get(slot.0 as usize).copied().unwrap_or_default().of(env.text);
        if env.plain {
            return Ok(json::as_plain_text(json).map(Cow::Borrowed));
        }
        return json::as_text(json).map_err(str::to_string);
    }
    match expr.eval(env) {
        Ok(Value::Text(text)) => Ok(Some(Cow::Owned(text.to_string()))),
        Ok(_) => Ok(None),
        Err(e) => Err(e.0),
    }
}

/// An envelope expression's value; without the interpreter where it is a field that is only cast.
fn value_of(expr: &Expr, env: &RecordEnv) -> std::result::Result<Value, String> {
    let Some(slot) = expr.as_cast_text() else { return expr.eval(env).map_err(|e| e.0) };
    let json = env.found.get(slot.0 as usize).copied().unwrap_or_default().of(env.text);
    if matches!(expr.ty, Type::BigInt) && json.len() < 19 && !json.is_empty() && json.bytes().all(|b| b.is_ascii_digit()) {
        return Ok(Value::Int(json.bytes().fold(0, |n, digit| n * 10 + (digit - b'0') as i64) as i128));
    }
    if matches!(expr.ty, Type::BigInt) {
        // by its text, as in contracts: 1.5 is no version
        return convert(json, &expr.ty);
    }
    if let (Type::Timestamp, [b'"', text @ .., b'"']) = (&expr.ty, json.as_bytes())
        && let Some(time) = sql::parse_rfc3339(text)
    {
        return Ok(Value::Timestamp(time));
    }
    match json::as_text(json)? {
        Some(text) => cast_text(&text, &expr.ty).map_err(|e| e.0),
        None => Ok(Value::Null),
    }
}

fn required_text<'a>(expr: &Expr, env: &RecordEnv<'a>, name: &str) -> std::result::Result<Cow<'a, str>, Refusal> {
    match text_of(expr, env) {
        Ok(Some(text)) if !text.is_empty() => Ok(text),
        Ok(_) => refuse(BadKind::Envelope, format!("no {name}: {}", shortened(env.text))),
        Err(e) => refuse(BadKind::Envelope, format!("`{name}`: {e}")),
    }
}

/// An event's time is a moment: an infinite one would be the greatest of the log for ever.
pub(super) fn moment(time: i64) -> std::result::Result<i64, Refusal> {
    if sql::is_finite(time) { Ok(time) } else { refuse(BadKind::Envelope, "`time`: infinity is no moment") }
}

fn optional_int(expr: Option<&Expr>, env: &RecordEnv, name: &str) -> std::result::Result<Option<i64>, Refusal> {
    let Some(expr) = expr else { return Ok(None) };
    match value_of(expr, env) {
        Ok(Value::Int(i)) => Ok(i64::try_from(i).ok()),
        Ok(_) => Ok(None),
        Err(e) => refuse(BadKind::Envelope, format!("`{name}`: {e}")),
    }
}
