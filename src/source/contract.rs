//! A payload field's JSON -> a value of the type that the contract declares.
//!
//! Numbers convert by their text, exactly: a fraction or an overflow is an error, never a rounding.
//! Strings convert to DECIMAL, temporal, UUID and 64-bit types.

use std::sync::Arc;

use super::json;
use crate::printable::printable_start;
use crate::sql::{Column, MapEntries, Type, Value, cast_text};

/// Converts checked JSON (empty: missing) to `ty`; the error says what does not fit.
pub fn convert(json: &str, ty: &Type) -> Result<Value, String> {
    let Some(&first) = json.as_bytes().first() else { return Ok(Value::Null) };
    if first == b'n' {
        return Ok(Value::Null);
    }
    let misfit = || format!("{} is no {ty}", shortened(json));
    match ty {
        Type::Varchar => Ok(json::as_text(json)?.map_or(Value::Null, Value::text)),
        Type::Json => json::is_text(json).map(|()| Value::text(json)).map_err(str::to_string),
        Type::Boolean => match first {
            b't' => Ok(Value::Bool(true)),
            b'f' => Ok(Value::Bool(false)),
            _ => Err(misfit()),
        },
        _ if ty.is_integer() => {
            let text = match first {
                b'"' if matches!(ty, Type::BigInt | Type::UBigInt | Type::HugeInt) => json::as_text(json)?.unwrap_or_default(),
                b'-' | b'0'..=b'9' => json.into(),
                _ => return Err(misfit()),
            };
            let value = exact(text.trim(), 0).ok_or_else(misfit)?;
            let (least, greatest) = ty.integer_range().unwrap_or((i128::MIN, i128::MAX));
            if value < least || value > greatest {
                return Err(format!("{} is out of the range of {ty}", shortened(json)));
            }
            Ok(Value::Int(value))
        }
        Type::Decimal { width, scale } => {
            let text = match first {
                b'"' => json::as_text(json)?.unwrap_or_default(),
                b'-' | b'0'..=b'9' => json.into(),
                _ => return Err(misfit()),
            };
            let value = exact(text.trim(), *scale).ok_or_else(|| format!("{} is no {ty} exactly", shortened(json)))?;
            if value.unsigned_abs() >= 10u128.pow(*width as u32) {
                return Err(format!("{} is out of the range of {ty}", shortened(json)));
            }
            Ok(Value::Int(value))
        }
        Type::Double | Type::Float => {
            let text = match first {
                b'"' => json::as_text(json)?.unwrap_or_default(),
                b'-' | b'0'..=b'9' => json.into(),
                _ => return Err(misfit()),
            };
            if first == b'"' {
                return cast_text(&text, ty).map_err(|e| e.0);
            }
            let value: f64 = text.parse().map_err(|_| misfit())?;
            if *ty == Type::Float {
                let value: f32 = text.parse().map_err(|_| misfit())?;
                return if value.is_finite() {
                    Ok(Value::Float(value))
                } else {
                    Err(format!("{} is out of the range of {ty}", shortened(json)))
                };
            }
            if value.is_finite() { Ok(Value::Double(value)) } else { Err(format!("{} is out of the range of {ty}", shortened(json))) }
        }
        Type::Date | Type::Time | Type::Timestamp | Type::TimestampTz | Type::Uuid | Type::Blob | Type::Interval => {
            if first != b'"' {
                return Err(misfit());
            }
            let text = json::as_text(json)?.unwrap_or_default();
            if let Some(bytes) = (*ty == Type::Blob).then(|| hex_bytes(&text)).flatten() {
                return Ok(Value::Blob(Arc::new(bytes)));
            }
            match with_era(&text).filter(|_| matches!(ty, Type::Date | Type::Timestamp | Type::TimestampTz)) {
                Some(text) => cast_text(&text, ty).map_err(|e| e.0),
                None => cast_text(&text, ty).map_err(|e| e.0),
            }
        }
        Type::List(inner) => {
            let items = elements(json).ok_or_else(misfit)?;
            let items = items.into_iter().map(|item| convert(item, inner)).collect::<Result<Vec<_>, _>>()?;
            Ok(Value::List(Arc::new(items)))
        }
        Type::Struct(fields) => {
            let members = members(json).ok_or_else(misfit)?;
            let mut values = Vec::with_capacity(fields.len());
            for (name, field_type) in fields {
                let value = members.iter().rev().find(|(key, _)| key == name).map_or("", |(_, value)| *value);
                values.push(convert(value, field_type).map_err(|e| format!("in `{name}`: {e}"))?);
            }
            Ok(Value::Struct(Arc::new(values)))
        }
        Type::Map(key_type, value_type) => {
            let members = members(json).ok_or_else(misfit)?;
            let mut entries = MapEntries::default();
            for (key, value) in members {
                let key = cast_text(&key, key_type).map_err(|e| e.0)?;
                entries.insert(key, convert(value, value_type)?);
            }
            Ok(Value::Map(Arc::new(entries)))
        }
        _ => Err(misfit()),
    }
}

/// Appends the JSON of a text without escapes, or of a number as most are written, to a column of type `ty`, as [`convert`]
/// would. False: it is for `convert` to say, and nothing was appended.
#[inline]
pub fn push_plain(column: &mut Column, json: &str, ty: &Type) -> bool {
    let bytes = json.as_bytes();
    match ty {
        Type::Varchar => match bytes {
            [b'"', text @ .., b'"'] if memchr::memchr(b'\\', text).is_none() => {
                column.push_text(&json[1..json.len() - 1]);
                true
            }
            _ => false,
        },
        Type::Integer | Type::BigInt => match plain_number(bytes, 0) {
            Some(number) if matches!(ty, Type::BigInt) || i32::try_from(number).is_ok() => column.push_whole(number),
            _ => false,
        },
        Type::Decimal { width, scale } if *width <= 18 => match plain_number(bytes, *scale) {
            Some(number) if (number.unsigned_abs()) < 10u64.pow(*width as u32) => column.push_whole(number),
            _ => false,
        },
        _ => false,
    }
}

/// A number written as digits with a point or without, times 10^scale; `None`: it is written otherwise, has a fraction that
/// would be lost, or more digits than are sure to fit.
#[inline]
fn plain_number(text: &[u8], scale: u8) -> Option<i64> {
    let (negative, digits) = match text {
        [b'-', digits @ ..] => (true, digits),
        digits => (false, digits),
    };
    if digits.is_empty() || digits.len() + scale as usize > 18 {
        return None;
    }
    let (mut number, mut behind_point) = (0i64, None);
    for b in digits {
        match (b, behind_point) {
            (b'0'..=b'9', _) => {
                number = number * 10 + (b - b'0') as i64;
                behind_point = behind_point.map(|n: u8| n + 1);
            }
            (b'.', None) => behind_point = Some(0),
            _ => return None,
        }
    }
    let missing = scale.checked_sub(behind_point.unwrap_or_default())?;
    let number = number * 10i64.pow(missing as u32);
    Some(if negative { -number } else { number })
}

/// The bytes of `\x` and hexadecimal digits behind it, as PostgreSQL writes a bytea; `None`: it is written otherwise (DuckDB
/// has a `\x` before each byte).
fn hex_bytes(text: &str) -> Option<Vec<u8>> {
    let digits = text.strip_prefix("\\x")?.as_bytes();
    let half = |digit: u8| char::from(digit).to_digit(16).map(|half| half as u8);
    let (pairs, rest) = digits.as_chunks::<2>();
    if !rest.is_empty() {
        return None;
    }
    pairs.iter().map(|[high, low]| Some(half(*high)? << 4 | half(*low)?)).collect()
}

/// A day or a time before the year 1 as DuckDB writes it, `0044-03-15 (BC) 10:25:08`, where it stands there as PostgreSQL
/// writes it, `0044-03-15 10:25:08 BC`: a cast would take that day for one of our era.
fn with_era(text: &str) -> Option<String> {
    let front = text.strip_suffix(" BC")?;
    let (day, time) = front.split_at(front.find(' ').unwrap_or(front.len()));
    Some(format!("{day} (BC){time}"))
}

/// A JSON text in a message: its beginning, and without characters that would steer a terminal.
pub fn shortened(json: &str) -> String {
    format!("`{}`", printable_start(json, 60))
}

/// The number that `text` writes, times 10^scale, if that is a whole number that fits.
fn exact(text: &str, scale: u8) -> Option<i128> {
    let bytes = text.as_bytes();
    let negative = bytes.first() == Some(&b'-');
    let mut at = usize::from(negative || bytes.first() == Some(&b'+'));
    let mut mantissa: i128 = 0;
    let mut exponent: i64 = 0;
    let mut digits = 0;
    let mut behind_point = false;
    let mut zeros_held = 0i64;
    while let Some(&b) = bytes.get(at) {
        match b {
            b'0'..=b'9' => {
                digits += 1;
                exponent -= i64::from(behind_point);
                if b == b'0' && mantissa != 0 {
                    // trailing zeros are held back, so that 1e30 written out still fits
                    zeros_held += 1;
                } else if b != b'0' {
                    for _ in 0..=zeros_held {
                        mantissa = mantissa.checked_mul(10)?;
                    }
                    zeros_held = 0;
                    mantissa = mantissa.checked_add((b - b'0') as i128)?;
                }
            }
            b'.' if !behind_point => behind_point = true,
            b'e' | b'E' if digits > 0 => {
                exponent = exponent.checked_add(text[at + 1..].parse::<i64>().ok()?)?;
                at = bytes.len() - 1;
            }
            _ => return None,
        }
        at += 1;
    }
    if digits == 0 {
        return None;
    }
    if mantissa == 0 {
        return Some(0);
    }
    let mut shift = exponent.checked_add(zeros_held)?.checked_add(scale as i64)?;
    if !(-60..=60).contains(&shift) {
        return None;
    }
    while shift > 0 {
        mantissa = mantissa.checked_mul(10)?;
        shift -= 1;
    }
    while shift < 0 {
        if mantissa % 10 != 0 {
            return None;
        }
        mantissa /= 10;
        shift += 1;
    }
    Some(if negative { -mantissa } else { mantissa })
}

/// The elements of a checked JSON array.
fn elements(json: &str) -> Option<Vec<&str>> {
    let raw: Vec<&serde_json::value::RawValue> = json.starts_with('[').then(|| serde_json::from_str(json).ok())??;
    Some(raw.into_iter().map(|r| r.get()).collect())
}

/// The members of a checked JSON object, in order, duplicates included.
pub(super) fn members(json: &str) -> Option<Vec<(String, &str)>> {
    if !json.starts_with('{') {
        return None;
    }
    struct Members;
    impl<'de> serde::de::Visitor<'de> for Members {
        type Value = Vec<(String, &'de str)>;
        fn expecting(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
            f.write_str("an object")
        }
        fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut out = Vec::new();
            while let Some((key, value)) = map.next_entry::<String, &'de serde_json::value::RawValue>()? {
                out.push((key, value.get()));
            }
            Ok(out)
        }
    }
    use serde::de::Deserializer;
    serde_json::Deserializer::from_str(json).deserialize_map(Members).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_convert_by_their_text_exactly() {
        let decimal = Type::Decimal { width: 10, scale: 2 };
        assert_eq!(convert("1.5", &decimal), Ok(Value::Int(150)));
        assert_eq!(convert("\"-12.30\"", &decimal), Ok(Value::Int(-1230)));
        assert_eq!(convert("1.500", &decimal), Ok(Value::Int(150)));
        assert_eq!(convert("15e-1", &decimal), Ok(Value::Int(150)));
        assert!(convert("1.005", &decimal).is_err());
        assert!(convert("123456789.00", &decimal).is_err());
        assert_eq!(convert("5.0", &Type::Integer), Ok(Value::Int(5)));
        assert_eq!(convert("1e3", &Type::Integer), Ok(Value::Int(1000)));
        assert!(convert("5.5", &Type::Integer).is_err());
        assert!(convert("2147483648", &Type::Integer).is_err());
        assert_eq!(convert("9007199254740993", &Type::BigInt), Ok(Value::Int(9007199254740993)));
        assert_eq!(convert("\"9223372036854775807\"", &Type::BigInt), Ok(Value::Int(i64::MAX as i128)));
        assert!(convert("\"5\"", &Type::Integer).is_err());
        assert_eq!(convert("100000000000000000000000000000", &Type::HugeInt), Ok(Value::Int(10i128.pow(29))));
        assert!(convert("1e400", &Type::Double).is_err());
        assert_eq!(convert("1e-400", &Type::BigInt).ok(), None);
        assert_eq!(convert("-0", &Type::BigInt), Ok(Value::Int(0)));
    }

    #[test]
    fn bytes_are_read_as_postgresql_and_as_duckdb_write_them() {
        let bytes = |json: &str| convert(json, &Type::Blob).map(|value| format!("{value:?}"));
        let blob = |bytes: &[u8]| Ok(format!("{:?}", Value::Blob(Arc::new(bytes.to_vec()))));
        assert_eq!(bytes(r#""\\xdeadBEEF00""#), blob(&[0xde, 0xad, 0xbe, 0xef, 0]));
        assert_eq!(bytes(r#""\\x""#), blob(&[]));
        assert_eq!(bytes(r#""\\xDE\\xAD""#), blob(&[0xde, 0xad]));
        assert_eq!(bytes(r#""\\xDEz""#), blob(&[0xde, b'z']));
        assert_eq!(bytes(r#""plain""#), blob(b"plain"));
        assert!(bytes(r#""\\x1""#).is_err());
    }

    #[test]
    fn days_before_the_year_1_are_read_as_postgresql_and_as_duckdb_write_them() {
        let same = |postgres: &str, duckdb: &str, ty: &Type| {
            let (found, expected) = (convert(postgres, ty), convert(duckdb, ty));
            assert!(expected.is_ok() && found == expected, "{postgres}: {found:?}, {expected:?}");
        };
        same("\"4713-01-01 BC\"", "\"4713-01-01 (BC)\"", &Type::Date);
        same("\"0044-03-15 10:25:08 BC\"", "\"0044-03-15 (BC) 10:25:08\"", &Type::Timestamp);
        same("\"0044-03-15 12:25:08.5+02 BC\"", "\"0044-03-15 (BC) 10:25:08.5+00\"", &Type::TimestampTz);
        assert!(convert("\"BC\"", &Type::Date).is_err() && convert("\" BC\"", &Type::Timestamp).is_err());
        assert_eq!(convert("\"50 BC\"", &Type::Varchar), Ok(Value::text("50 BC")));
    }

    #[test]
    fn json_that_holds_a_lone_surrogate_is_refused_as_duckdb_refuses_it() {
        for bad in [r#""\ud800""#, r#"{"a":["x\udc00"]}"#, r#"{"\ud83d\u0041":1}"#, r#"["\\\ud800"]"#] {
            assert!(convert(bad, &Type::Json).is_err(), "{bad}");
        }
        for good in [r#""\ud83d\ude00""#, r#"{"a":"\\ud800"}"#, r#"["\u0041\n"]"#] {
            assert_eq!(convert(good, &Type::Json), Ok(Value::text(good)));
        }
    }

    #[test]
    fn structures_convert_by_name_and_the_last_duplicate_counts() {
        let ty = Type::List(Box::new(Type::Struct(vec![("a".into(), Type::Integer), ("b".into(), Type::Varchar)])));
        let value = convert(r#"[{"b":"x","a":1},{"a":1,"\u0061":2}]"#, &ty).unwrap();
        let row = |a: i128, b: Value| Value::Struct(Arc::new(vec![Value::Int(a), b]));
        assert_eq!(value, Value::List(Arc::new(vec![row(1, Value::text("x")), row(2, Value::Null)])));
        assert!(convert("{}", &ty).is_err());
    }
}
