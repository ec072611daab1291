//! Debezium's envelope: opens `{schema, payload}`, and writes values as their schema says what they are.
//!
//! | schema | written as |
//! |---|---|
//! | Kafka Connect's Decimal; VariableScaleDecimal | a number by all its digits |
//! | Date; Timestamp, MicroTimestamp, NanoTimestamp; Time, MicroTime, NanoTime | `"2026-11-25"`, `"2026-11-25T17:04:05.12"`, `"17:04:05.12"` |
//! | bytes, Bits | `"\x…"`, in hexadecimal, as PostgreSQL writes them |
//! | Json | the document |
//!
//! Everything else stays as it is. The units are those of Debezium's documents ("Data type mappings"); a Decimal is the base64 of
//! a big-endian two's complement, with its scale in the schema.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::object::{Object, quoted};
use super::{Made, is_null};
use crate::sql::civil_of;

const DAY_NANOS: i128 = 86_400_000_000_000;

/// A schema as Kafka Connect's JSON converter writes it.
#[derive(Deserialize)]
struct Schema<'a> {
    #[serde(borrow, default)]
    r#type: Cow<'a, str>,
    #[serde(borrow, default)]
    name: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    field: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    parameters: Option<&'a RawValue>,
    #[serde(borrow, default)]
    fields: Vec<Schema<'a>>,
    #[serde(borrow, default)]
    items: Option<Box<Schema<'a>>>,
}

/// See the module's documentation. A tombstone (null, alone or as the payload) is no event.
pub(super) fn debezium(record: &str, out: &mut String) -> Result<Made, String> {
    if record.trim() == "null" {
        return Ok(Made::Nothing);
    }
    let whole = Object::read(record)?;
    let Some(payload) = whole.get("payload") else { return documents(whole, out) };
    if is_null(payload) {
        return Ok(Made::Nothing);
    }
    let schema = match whole.get("schema").filter(|schema| !is_null(schema)) {
        Some(schema) => serde_json::from_str::<Schema>(schema).map_err(|e| format!("`schema`: {e}"))?,
        None => return opened(payload, &whole, out),
    };
    let is_envelope = |field: &Schema| matches!(field.field.as_deref(), Some("before" | "after" | "op"));
    if !schema.fields.iter().any(is_envelope) {
        // a flattened event: the payload is the row
        let row = converted(payload, &schema).map_err(|e| format!("`payload`: {e}"))?;
        return opened(row.as_deref().unwrap_or(payload), &whole, out);
    }
    let mut event = Object::read(payload).map_err(|e| format!("`payload`: {e}"))?;
    for field in &schema.fields {
        let Some(name) = field.field.as_deref().filter(|name| matches!(*name, "before" | "after")) else { continue };
        // a row that is a text is a document of MongoDB, see `write`
        let Some(image) = event.get(name).filter(|image| !image.starts_with('"')) else { continue };
        if let Some(written) = converted(image, field).map_err(|e| format!("`{name}`: {e}"))? {
            event.set(if name == "before" { "before" } else { "after" }, written);
        }
    }
    if let Some(outer) = whole.get(crate::project::quirks::OUTER) {
        event.set(crate::project::quirks::OUTER, outer.to_string());
    }
    write(event, out)?;
    Ok(Made::Other)
}

/// What stands in `payload` without a schema, with what is around the record.
fn opened(payload: &str, whole: &Object, out: &mut String) -> Result<Made, String> {
    let mut event = Object::read(payload).map_err(|e| format!("`payload`: {e}"))?;
    if let Some(outer) = whole.get(crate::project::quirks::OUTER) {
        event.set(crate::project::quirks::OUTER, outer.to_string());
    }
    write(event, out)?;
    Ok(Made::Other)
}

/// A bare event: it stays as it is, unless its rows are documents of MongoDB.
fn documents(event: Object, out: &mut String) -> Result<Made, String> {
    if !["before", "after"].iter().any(|name| event.get(name).is_some_and(|image| image.starts_with('"'))) {
        return Ok(Made::Same);
    }
    write(event, out)?;
    Ok(Made::Other)
}

/// Writes an event; the MongoDB connector's documents, which are extended JSON in strings, as JSON.
fn write(mut event: Object, out: &mut String) -> Result<(), String> {
    for name in ["before", "after"] {
        if let Some(image) = event.get(name).filter(|image| image.starts_with('"')) {
            let document = super::extended_json::document(image).map_err(|e| format!("`{name}`: {e}"))?;
            event.set(name, document);
        }
    }
    event.write(out);
    Ok(())
}

/// A value as its schema says that it is; `None`: as it stands.
fn converted(json: &str, schema: &Schema) -> Result<Option<String>, String> {
    if is_null(json) {
        return Ok(None);
    }
    let name = schema.name.as_deref().unwrap_or_default();
    let whole = || json.parse::<i64>().map_err(|_| format!("{json} is no whole number, its schema says {name}"));
    let text = match name {
        "org.apache.kafka.connect.data.Decimal" if json.starts_with('"') => {
            let scale = scale_of(schema).ok_or("a Decimal's schema has no scale")?;
            return decimal(&bytes_of(json)?, scale).map(Some);
        }
        "io.debezium.data.VariableScaleDecimal" if json.starts_with('{') => {
            let value = Object::read(json)?;
            let scale = value.get("scale").and_then(|scale| scale.parse().ok()).ok_or("a VariableScaleDecimal has no scale")?;
            let bytes = bytes_of(value.get("value").ok_or("a VariableScaleDecimal has no value")?)?;
            return decimal(&bytes, scale).map(Some);
        }
        "io.debezium.time.Date" | "org.apache.kafka.connect.data.Date" => date(whole()?)?,
        "io.debezium.time.Timestamp" | "org.apache.kafka.connect.data.Timestamp" => timestamp(whole()? as i128 * 1_000_000)?,
        "io.debezium.time.MicroTimestamp" => timestamp(whole()? as i128 * 1000)?,
        "io.debezium.time.NanoTimestamp" => timestamp(whole()? as i128)?,
        "io.debezium.time.Time" | "org.apache.kafka.connect.data.Time" => time(whole()? as i128 * 1_000_000)?,
        "io.debezium.time.MicroTime" => time(whole()? as i128 * 1000)?,
        "io.debezium.time.NanoTime" => time(whole()? as i128)?,
        "io.debezium.data.Json" if json.starts_with('"') => {
            let document: String = serde_json::from_str(json).map_err(|e| e.to_string())?;
            return Ok(serde_json::from_str::<&RawValue>(&document).ok().map(|document| one_line(document.get())));
        }
        _ => match &*schema.r#type {
            "bytes" if json.starts_with('"') => {
                let mut hex = String::from("\\x");
                bytes_of(json)?.iter().for_each(|byte| hex.push_str(&format!("{byte:02x}")));
                hex
            }
            "struct" if json.starts_with('{') && !name.starts_with("io.debezium.data.geometry") => return members(json, schema),
            "array" if json.starts_with('[') => return elements(json, schema),
            _ => return Ok(None),
        },
    };
    Ok(Some(quoted(&text)))
}

/// Line breaks between tokens become blanks: a record is one line.
pub(super) fn one_line(json: &str) -> String {
    json.replace(['\n', '\r'], " ")
}

fn members(json: &str, schema: &Schema) -> Result<Option<String>, String> {
    let mut changed = Vec::new();
    {
        let object = Object::read(json)?;
        for field in &schema.fields {
            let Some(name) = field.field.as_deref() else { continue };
            let Some(value) = object.get(name) else { continue };
            if let Some(value) = converted(value, field).map_err(|e| format!("`{name}`: {e}"))? {
                changed.push((name, value));
            }
        }
    }
    if changed.is_empty() {
        return Ok(None);
    }
    let mut object = Object::read(json)?;
    changed.iter().for_each(|(name, value)| object.replace(name, value.clone()));
    let mut out = String::with_capacity(json.len() + 32);
    object.write(&mut out);
    Ok(Some(out))
}

fn elements(json: &str, schema: &Schema) -> Result<Option<String>, String> {
    let Some(items) = &schema.items else { return Ok(None) };
    let elements: Vec<&RawValue> = serde_json::from_str(json).map_err(|e| e.to_string())?;
    let mut out = String::from("[");
    for (index, element) in elements.iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        match converted(element.get(), items)? {
            Some(value) => out.push_str(&value),
            None => out.push_str(element.get()),
        }
    }
    out.push(']');
    Ok(Some(out))
}

fn scale_of(schema: &Schema) -> Option<i32> {
    let parameters = Object::read(schema.parameters?.get()).ok()?;
    let scale = parameters.get("scale")?;
    scale.trim_matches('"').parse().ok()
}

/// The bytes that a JSON string has in base64.
pub(in crate::source) fn bytes_of(json: &str) -> Result<Vec<u8>, String> {
    let text: String = serde_json::from_str(json).map_err(|e| e.to_string())?;
    STANDARD.decode(&text).map_err(|e| format!("`{text}` is no base64: {e}"))
}

/// The longest decimal that is written out: as many digits as a DECIMAL(38) has, and many more.
const DECIMAL_BYTES_MAX: usize = 256;
const SCALE_MAX: i32 = 1000;

/// A big-endian two's complement with so many digits behind its point, as a JSON number.
pub(in crate::source) fn decimal(bytes: &[u8], scale: i32) -> Result<String, String> {
    if bytes.len() > DECIMAL_BYTES_MAX || scale.abs() > SCALE_MAX {
        return Err(format!("a decimal of {} bytes and scale {scale} is too large", bytes.len()));
    }
    let negative = bytes.first().is_some_and(|first| first & 0x80 != 0);
    let mut magnitude = bytes.to_vec();
    if negative {
        magnitude.iter_mut().for_each(|byte| *byte = !*byte);
        for byte in magnitude.iter_mut().rev() {
            let (sum, carried) = byte.overflowing_add(1);
            *byte = sum;
            if !carried {
                break;
            }
        }
    }
    // long division by ten, until nothing is left
    let mut digits: Vec<u8> = Vec::new();
    while magnitude.iter().any(|byte| *byte != 0) {
        let mut rest = 0u32;
        for byte in &mut magnitude {
            let part = rest << 8 | *byte as u32;
            *byte = (part / 10) as u8;
            rest = part % 10;
        }
        digits.push(b'0' + rest as u8);
    }
    if scale < 0 && !digits.is_empty() {
        digits.splice(0..0, std::iter::repeat_n(b'0', scale.unsigned_abs() as usize));
    }
    let behind = scale.max(0) as usize;
    while digits.len() <= behind {
        digits.push(b'0');
    }
    digits.reverse();
    let mut out = String::with_capacity(digits.len() + 2);
    if negative {
        out.push('-');
    }
    let (before, after) = digits.split_at(digits.len() - behind);
    before.iter().for_each(|digit| out.push(*digit as char));
    if behind > 0 {
        out.push('.');
        after.iter().for_each(|digit| out.push(*digit as char));
    }
    Ok(out)
}

/// A day as ISO 8601 writes it, counted from 1970-01-01.
pub(in crate::source) fn date(days: i64) -> Result<String, String> {
    let days = i32::try_from(days).map_err(|_| format!("{days} days since 1970 are no date"))?;
    let (year, month, day) = civil_of(days as i64);
    Ok(if year > 0 { format!("{year:04}-{month:02}-{day:02}") } else { format!("{:04}-{month:02}-{day:02} (BC)", 1 - year) })
}

/// A time of a day, in nanoseconds since midnight.
pub(in crate::source) fn time(nanos: i128) -> Result<String, String> {
    if !(0..=DAY_NANOS).contains(&nanos) {
        return Err(format!("{nanos} ns are no time of a day"));
    }
    let (seconds, fraction) = (nanos / 1_000_000_000, nanos % 1_000_000_000);
    let mut text = format!("{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60);
    if fraction > 0 {
        text.push_str(format!(".{fraction:09}").trim_end_matches('0'));
    }
    Ok(text)
}

/// A moment in nanoseconds since 1970, as ISO 8601 writes it, without a zone.
pub(in crate::source) fn timestamp(nanos: i128) -> Result<String, String> {
    let day = nanos.div_euclid(DAY_NANOS);
    let date = date(i64::try_from(day).map_err(|_| format!("{nanos} ns since 1970 are no time"))?)?;
    let time = time(nanos.rem_euclid(DAY_NANOS))?;
    // the era stands behind the day, where DuckDB has it
    Ok(if date.ends_with(')') { format!("{date} {time}") } else { format!("{date}T{time}") })
}

#[cfg(test)]
mod tests {
    use super::super::made;
    use super::*;
    use crate::project::quirks::{Quirk, RecordQuirk};

    fn event(record: &str) -> Result<Option<String>, String> {
        made(&[Quirk::Record(RecordQuirk::Debezium)], record)
    }

    #[test]
    fn decimals_are_the_numbers_that_their_bytes_write() {
        // AxY= is the example of Debezium's documents: 790 at scale 2
        let number = |base64: &str, scale| decimal(&STANDARD.decode(base64).unwrap(), scale).unwrap();
        assert_eq!(number("AxY=", 2), "7.90");
        assert_eq!(number("AA==", 0), "0");
        assert_eq!(number("/w==", 3), "-0.001");
        assert_eq!(number("gA==", 0), "-128");
        assert_eq!(number("AQ==", -3), "1000");
        assert_eq!(number("", 2), "0.00");
        for value in [i128::MAX, i128::MIN, 0, -1, 10i128.pow(37), -(10i128.pow(37)) + 1] {
            assert_eq!(decimal(&value.to_be_bytes(), 0).unwrap(), value.to_string());
        }
        assert!(decimal(&[1; 300], 0).is_err());
    }

    #[test]
    fn times_are_written_in_their_own_units() {
        assert_eq!(date(19439).unwrap(), "2023-03-23");
        assert_eq!(date(-719_163).unwrap(), "0001-12-31 (BC)");
        assert_eq!(timestamp(1_679_581_805_123_456_000).unwrap(), "2023-03-23T14:30:05.123456");
        assert_eq!(timestamp(-1).unwrap(), "1969-12-31T23:59:59.999999999");
        let caesar = timestamp(-63_517_786_492 * 1_000_000_000).unwrap();
        assert_eq!(caesar, "0044-03-15 (BC) 10:25:08");
        assert!(crate::source::contract::convert(&quoted(&caesar), &crate::sql::Type::Timestamp).is_ok());
        assert_eq!(time(36_803_000_000_000).unwrap(), "10:13:23");
        assert_eq!(time(DAY_NANOS).unwrap(), "24:00:00");
        assert!(time(-1).is_err() && timestamp(i128::MAX / 2).is_err());
    }

    #[test]
    fn a_schema_decides_what_values_are_and_leaves_the_others() {
        let record = r#"{"schema":{"type":"struct","fields":[{"field":"before","type":"struct","fields":[]},
            {"field":"after","type":"struct","fields":[
                {"field":"price","type":"bytes","name":"org.apache.kafka.connect.data.Decimal","parameters":{"scale":"2"}},
                {"field":"any","type":"struct","name":"io.debezium.data.VariableScaleDecimal","fields":[]},
                {"field":"day","type":"int32","name":"io.debezium.time.Date"},
                {"field":"at","type":"int64","name":"io.debezium.time.MicroTimestamp"},
                {"field":"raw","type":"bytes"},
                {"field":"doc","type":"string","name":"io.debezium.data.Json"},
                {"field":"days","type":"array","items":{"type":"int32","name":"io.debezium.time.Date"}},
                {"field":"name","type":"string"},{"field":"none","type":"bytes"}]}]},
            "payload":{"before":null,"after":{"price":"AxY=","any":{"scale":1,"value":"AxY="},"day":0,"at":1,"raw":"AP8=","doc":"{\"a\":1}",
                "days":[0,null,1],"name":"x","none":null,"more":5},"op":"c"}}"#
            .replace('\n', " ");
        let expected = r#"{"before":null,"after":{"price":7.90,"any":79.0,"day":"1970-01-01","at":"1970-01-01T00:00:00.000001","raw":"\\x00ff","doc":{"a":1},"days":["1970-01-01",null,"1970-01-02"],"name":"x","none":null,"more":5},"op":"c"}"#;
        assert_eq!(event(&record).unwrap().unwrap(), expected);
    }

    #[test]
    fn documents_of_mongodb_are_opened_and_rows_without_an_envelope_follow_their_schema() {
        let mongo = r#"{"before":null,"after":"{\"_id\": {\"$numberLong\": \"1004\"},\"at\":{\"$date\":0}}","op":"c"}"#;
        let expected = r#"{"before":null,"after":{"_id":1004,"at":"1970-01-01T00:00:00Z"},"op":"c"}"#;
        assert_eq!(event(mongo).unwrap().unwrap(), expected);
        assert_eq!(event(&format!(r#"{{"schema":null,"payload":{mongo}}}"#)).unwrap().unwrap(), expected);
        let schema = r#"{"fields":[{"field":"after","type":"string","name":"io.debezium.data.Json"},{"field":"op","type":"string"}]}"#;
        assert_eq!(event(&format!(r#"{{"schema":{schema},"payload":{mongo}}}"#)).unwrap().unwrap(), expected);
        assert!(event(r#"{"after":"no document","op":"c"}"#).is_err());
        let flat = r#"{"schema":{"type":"struct","fields":[{"field":"day","type":"int32","name":"io.debezium.time.Date"}]},"payload":{"day":0,"__op":"c"}}"#;
        assert_eq!(event(flat).unwrap().unwrap(), r#"{"day":"1970-01-01","__op":"c"}"#);
    }

    #[test]
    fn tombstones_are_no_events_and_bare_envelopes_stay_as_they_are() {
        assert_eq!(event("null").unwrap(), None);
        assert_eq!(event(r#"{"schema":null,"payload":null}"#).unwrap(), None);
        let bare = r#"{"before":null,"after":{"id":1},"op":"c"}"#;
        assert_eq!(event(bare).unwrap().as_deref(), Some(bare));
        assert_eq!(event(&format!(r#"{{"schema":null,"payload":{bare}}}"#)).unwrap().as_deref(), Some(bare));
        assert!(event(r#"{"schema":5,"payload":{}}"#).is_err());
        let wrong = r#"{"schema":{"fields":[{"field":"after","type":"int32","name":"io.debezium.time.Date"}]},"payload":{"after":"x"}}"#;
        assert!(event(wrong).unwrap_err().contains("is no whole number"));
    }
}
