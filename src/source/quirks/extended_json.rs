//! MongoDB's extended JSON, canonical and relaxed, old and new: `{"$numberLong": "5"}` becomes `5`.
//!
//! | in the document | becomes |
//! |---|---|
//! | `$numberInt`, `$numberLong`, `$numberDouble`, `$numberDecimal` | a number by all its digits; `"NaN"`, `"Infinity"` |
//! | `$oid`, `$uuid`, `$symbol`, `$code` alone | the text |
//! | `$date` | `"2026-11-25T17:04:05.12Z"` |
//! | `$binary` | `"\x…"`; the text of a UUID where the subtype is 4 |
//! | `$timestamp` | its object of `t` (seconds) and `i` |
//! | `$undefined` | null |
//!
//! Other wrappers (`$regularExpression`, `$minKey`, `$dbPointer` …) stay as they are.

use serde_json::value::RawValue;

use super::Made;
use super::debezium::{bytes_of, one_line, timestamp};
use super::object::{Object, number_or_quote, quote, quote_bytes};

/// See the module's documentation.
pub(super) fn extended_json(record: &str, out: &mut String) -> Result<Made, String> {
    if !record.contains("\"$") {
        return Ok(Made::Same);
    }
    unwrap(record.trim(), out)?;
    Ok(Made::Other)
}

/// A document that stands in a JSON string, or as it is, without wrappers and line breaks.
pub(super) fn document(json: &str) -> Result<String, String> {
    let text = match json.starts_with('"') {
        true => serde_json::from_str::<String>(json).map_err(|e| e.to_string())?,
        false => json.to_string(),
    };
    let checked: &RawValue = serde_json::from_str(&text).map_err(|e| e.to_string())?;
    let mut out = String::with_capacity(text.len());
    unwrap(checked.get(), &mut out)?;
    Ok(if out.contains(['\n', '\r']) { one_line(&out) } else { out })
}

/// Appends a JSON value without its wrappers.
fn unwrap(json: &str, out: &mut String) -> Result<(), String> {
    if !json.contains("\"$") {
        out.push_str(json);
        return Ok(());
    }
    match json.as_bytes().first() {
        Some(b'{') => {
            let object = Object::read(json)?;
            if wrapped(&object, out)? {
                return Ok(());
            }
            out.push('{');
            for (index, (name, value)) in object.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                quote(name, out);
                out.push(':');
                unwrap(value, out)?;
            }
            out.push('}');
        }
        Some(b'[') => {
            let elements: Vec<&RawValue> = serde_json::from_str(json).map_err(|e| e.to_string())?;
            out.push('[');
            for (index, element) in elements.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                unwrap(element.get(), out)?;
            }
            out.push(']');
        }
        _ => out.push_str(json),
    }
    Ok(())
}

/// Appends the value that an object wraps; `false`: it is an object as others are.
fn wrapped(object: &Object, out: &mut String) -> Result<bool, String> {
    let mut members = object.iter();
    let Some((name, inner)) = members.next() else { return Ok(false) };
    let second = members.next();
    if members.next().is_some() {
        return Ok(false);
    }
    if name == "$binary" {
        return binary(inner, second, out);
    }
    if second.is_some() {
        return Ok(false);
    }
    match name {
        "$numberInt" | "$numberLong" | "$numberDouble" | "$numberDecimal" => match text_of(inner) {
            Some(text) => number_or_quote(&text, out),
            None => out.push_str(inner),
        },
        "$oid" | "$uuid" | "$symbol" | "$code" => out.push_str(inner),
        "$undefined" => out.push_str("null"),
        "$timestamp" => unwrap(inner, out)?,
        "$date" => return date(inner, out),
        _ => return Ok(false),
    }
    Ok(true)
}

fn text_of(json: &str) -> Option<String> {
    json.starts_with('"').then(|| serde_json::from_str(json).ok()).flatten()
}

fn date(inner: &str, out: &mut String) -> Result<bool, String> {
    if inner.starts_with('"') {
        out.push_str(inner);
        return Ok(true);
    }
    let mut millis = String::new();
    unwrap(inner, &mut millis)?;
    let millis: i64 = millis.parse().map_err(|_| format!("`$date` is {}, no number of milliseconds", super::short(inner)))?;
    let mut text = timestamp(millis as i128 * 1_000_000)?;
    text.push('Z');
    quote(&text, out);
    Ok(true)
}

/// `{"$binary": {"base64": …, "subType": "04"}}`, or as it was before: `{"$binary": …, "$type": "04"}`.
fn binary(inner: &str, second: Option<(&str, &str)>, out: &mut String) -> Result<bool, String> {
    let (base64, kind) = match second {
        Some(("$type", kind)) if inner.starts_with('"') => (inner.to_string(), text_of(kind)),
        None if inner.starts_with('{') => {
            let parts = Object::read(inner)?;
            let Some(base64) = parts.get("base64") else { return Ok(false) };
            (base64.to_string(), parts.get("subType").and_then(text_of))
        }
        _ => return Ok(false),
    };
    let bytes = bytes_of(&base64).map_err(|e| format!("`$binary`: {e}"))?;
    match (kind.as_deref(), <[u8; 16]>::try_from(&bytes[..])) {
        (Some("04" | "4"), Ok(uuid)) => {
            let digits = format!("{:032x}", u128::from_be_bytes(uuid));
            let groups = [0..8, 8..12, 12..16, 16..20, 20..32].map(|group| digits.get(group).unwrap_or_default().to_string());
            quote(&groups.join("-"), out);
        }
        _ => quote_bytes(&bytes, out),
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(json: &str) -> String {
        document(json).unwrap()
    }

    #[test]
    fn wrappers_become_the_values_that_they_wrap() {
        for (wrapped, value) in [
            (r#"{"$numberLong":"9007199254740993"}"#, "9007199254740993"),
            (r#"{"$numberDecimal":"1.10"}"#, "1.10"),
            (r#"{"$numberDouble":"NaN"}"#, r#""NaN""#),
            (r#"{"$numberInt":5}"#, "5"),
            (r#"{"$oid":"67ab25755c0d5ac87eb8c632"}"#, r#""67ab25755c0d5ac87eb8c632""#),
            (r#"{"$date":{"$numberLong":"1739455397970"}}"#, r#""2025-02-13T14:03:17.97Z""#),
            (r#"{"$date":1739455397970}"#, r#""2025-02-13T14:03:17.97Z""#),
            (r#"{"$date":"2025-02-13T14:03:17Z"}"#, r#""2025-02-13T14:03:17Z""#),
            (r#"{"$binary":{"base64":"AP8=","subType":"00"}}"#, r#""\\x00ff""#),
            (r#"{"$binary":"AP8=","$type":"0"}"#, r#""\\x00ff""#),
            (r#"{"$binary":{"base64":"ABEiM0RVZneImaq7zN3u/w==","subType":"04"}}"#, r#""00112233-4455-6677-8899-aabbccddeeff""#),
            (r#"{"$timestamp":{"t":5,"i":1}}"#, r#"{"t":5,"i":1}"#),
            (r#"{"$undefined":true}"#, "null"),
            (r#"{"$minKey":1}"#, r#"{"$minKey":1}"#),
            (r#"{"$oid":"x","more":1}"#, r#"{"$oid":"x","more":1}"#),
        ] {
            assert_eq!(plain(wrapped), value);
            assert_eq!(plain(&format!(r#"{{"a":[{wrapped}],"b":1.50}}"#)), format!(r#"{{"a":[{value}],"b":1.50}}"#));
        }
    }

    #[test]
    fn a_document_in_a_string_becomes_one_line() {
        assert_eq!(plain(r#""{\n \"_id\" : {\"$oid\":\"x\"},\n \"s\":\"a\\nb\"}""#), r#"{"_id":"x","s":"a\nb"}"#);
        assert_eq!(plain("\"{\\n \\\"a\\\": 1}\""), r#"{  "a": 1}"#);
        assert!(document("\"{\"").is_err() && document("\"text\"").is_err());
        assert!(document(r#"{"$date":"#).is_err() && document(r#"{"$date":{"x":1}}"#).is_err());
    }
}
