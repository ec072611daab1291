//! Casts between types, as DuckDB's explicit cast converts: numbers by value, everything else by its text.

use std::sync::Arc;

use super::{EvalError, MapEntries, Type, Value, datetime, interval_text, json, nested_text, text_format, text_number};

/// True where DuckDB has a cast from one type to the other (it may still fail on a value).
pub fn castable(from: &Type, to: &Type) -> bool {
    if from == to || matches!(from, Type::Null | Type::Varchar | Type::Json) || matches!(to, Type::Varchar | Type::Json) {
        return true;
    }
    match (from, to) {
        (Type::List(a), Type::List(b)) => castable(a, b),
        (Type::Map(k1, v1), Type::Map(k2, v2)) => castable(k1, k2) && castable(v1, v2),
        (Type::Struct(a), Type::Struct(b)) if from.is_row() || to.is_row() => {
            a.len() == b.len() && a.iter().zip(b).all(|((_, a), (_, b))| castable(a, b))
        }
        (Type::Struct(a), Type::Struct(b)) => {
            let field = |name: &str| a.iter().find(|(n, _)| n.eq_ignore_ascii_case(name));
            b.iter().any(|(name, _)| field(name).is_some())
                && b.iter().all(|(name, ty)| field(name).is_none_or(|(_, from)| castable(from, ty)))
        }
        (Type::Struct(fields), Type::Map(key, value)) => {
            fields.iter().all(|(name, ty)| castable(ty, value) && from_text(name, key).is_ok())
        }
        (Type::Boolean, to) => to.is_numeric(),
        (from, to) if from.is_numeric() => to.is_numeric() || *to == Type::Boolean,
        (Type::Date, to) => matches!(to, Type::Timestamp | Type::TimestampTz),
        (Type::Timestamp, to) => matches!(to, Type::Date | Type::Time | Type::TimestampTz),
        (Type::TimestampTz, to) => matches!(to, Type::Date | Type::Timestamp),
        (Type::Uuid, Type::Blob) | (Type::Blob, Type::Uuid) => true,
        _ => false,
    }
}

/// False where a struct is to become one with which it shares no field: that is refused whatever the values are.
pub fn has_common_fields(from: &Type, to: &Type) -> bool {
    match (from, to) {
        (Type::List(a), Type::List(b)) => has_common_fields(a, b),
        (Type::Map(k1, v1), Type::Map(k2, v2)) => has_common_fields(k1, k2) && has_common_fields(v1, v2),
        (Type::Struct(a), Type::Struct(b)) if from.is_row() || to.is_row() => {
            a.len() == b.len() && a.iter().zip(b).all(|((_, a), (_, b))| has_common_fields(a, b))
        }
        (Type::Struct(a), Type::Struct(b)) => {
            let field = |name: &str| a.iter().find(|(n, _)| n.eq_ignore_ascii_case(name));
            b.iter().any(|(name, _)| field(name).is_some())
                && b.iter().all(|(name, ty)| field(name).is_none_or(|(_, from)| has_common_fields(from, ty)))
        }
        _ => true,
    }
}

/// True where the value of `from` already is the value of `to`, whatever it is: no work is needed.
pub fn is_identity(from: &Type, to: &Type) -> bool {
    if from == to
        || matches!((from, to), (Type::Json, Type::Varchar) | (Type::Timestamp, Type::TimestampTz) | (Type::TimestampTz, Type::Timestamp))
    {
        return true;
    }
    match (from.integer_range(), to.integer_range()) {
        (Some((a, b)), Some((least, most))) => least <= a && b <= most,
        _ => match (from, to) {
            (Type::Decimal { width: w1, scale: s1 }, Type::Decimal { width: w2, scale: s2 }) => s1 == s2 && w1 <= w2,
            _ => false,
        },
    }
}

fn fail<T>(message: impl Into<String>) -> Result<T, EvalError> {
    Err(EvalError(message.into()))
}

fn bad_text<T>(text: &str, to: &Type) -> Result<T, EvalError> {
    let shown: String = if text.chars().count() > 60 { text.chars().take(60).chain("…".chars()).collect() } else { text.into() };
    fail(format!("cannot cast '{shown}' to {to}"))
}

fn out_of_range<T>(value: &Value, from: &Type, to: &Type) -> Result<T, EvalError> {
    fail(format!("{} is out of range of {to}", text_format::text_of(value, from)))
}

/// Converts a value; NULL stays NULL. `or_null`: what cannot be converted becomes NULL, inside of lists, structs and maps
/// too; then only what no map can hold (a key that is NULL or that another one equals) is an error.
pub fn cast(value: Value, from: &Type, to: &Type, or_null: bool) -> Result<Value, EvalError> {
    if value.is_null() || from == to {
        return Ok(value);
    }
    match (&value, from, to) {
        (Value::Text(text), Type::Varchar, _) if to.is_nested() => nested_text::parse(text, to, or_null),
        (Value::Text(text), Type::Json, _) => json::from_json(text, to, or_null),
        (Value::List(items), Type::List(from), Type::List(to)) => {
            let items: Result<Vec<Value>, _> = items.iter().map(|item| cast(item.clone(), from, to, or_null)).collect();
            Ok(Value::List(Arc::new(items?)))
        }
        (Value::Map(entries), Type::Map(key_from, value_from), Type::Map(key_to, value_to)) => {
            let mut out = MapEntries::with_capacity_and_hasher(entries.len(), Default::default());
            for (key, value) in entries.iter() {
                let key = cast(key.clone(), key_from, key_to, or_null)?;
                if key.is_null() {
                    return fail("map keys cannot be NULL");
                }
                if out.insert(key, cast(value.clone(), value_from, value_to, or_null)?).is_some() {
                    return fail("map keys must be unique");
                }
            }
            Ok(Value::Map(Arc::new(out)))
        }
        (Value::Struct(values), Type::Struct(fields_from), Type::Struct(fields_to)) => {
            let mut out = Vec::with_capacity(fields_to.len());
            let by_place = from.is_row() || to.is_row();
            for (place, (name, ty)) in fields_to.iter().enumerate() {
                let found = if by_place { Some(place) } else { fields_from.iter().position(|(n, _)| n.eq_ignore_ascii_case(name)) };
                out.push(match found.filter(|i| *i < fields_from.len()) {
                    Some(i) => cast(values.get(i).cloned().unwrap_or_default(), &fields_from[i].1, ty, or_null)?,
                    None => Value::Null,
                });
            }
            Ok(Value::Struct(Arc::new(out)))
        }
        (Value::Struct(values), Type::Struct(fields), Type::Map(key_to, value_to)) => {
            let mut out = MapEntries::with_capacity_and_hasher(fields.len(), Default::default());
            for ((name, ty), value) in fields.iter().zip(values.iter()) {
                let key = cast(Value::text(name), &Type::Varchar, key_to, false)?;
                if out.insert(key, cast(value.clone(), ty, value_to, or_null)?).is_some() {
                    return fail("map keys must be unique");
                }
            }
            Ok(Value::Map(Arc::new(out)))
        }
        _ => match scalar(value, from, to) {
            Err(_) if or_null && !fails_in_try(from, to) => Ok(Value::Null),
            result => result,
        },
    }
}

/// Casts of which DuckDB's TRY_CAST fails, too.
fn fails_in_try(from: &Type, to: &Type) -> bool {
    matches!((from, to), (Type::Timestamp, Type::Time) | (Type::Date, Type::TimestampTz))
}

fn scalar(value: Value, from: &Type, to: &Type) -> Result<Value, EvalError> {
    match (&value, to) {
        (Value::Text(text), _) => from_text(text, to),
        (_, Type::Varchar) => Ok(Value::text(text_format::text_of(&value, from))),
        // A list of JSON becomes JSON as it becomes text.
        (_, Type::Json) if matches!(from, Type::List(inner) if **inner == Type::Json) => {
            Ok(Value::text(text_format::text_of(&value, from)))
        }
        (_, Type::Json) => Ok(Value::text(json::to_json(&value, from))),
        (Value::Bool(b), Type::Float) => Ok(Value::Float(f32::from(*b))),
        (Value::Bool(b), Type::Double) => Ok(Value::Double(f64::from(*b))),
        (Value::Bool(b), _) if to.is_integer() => Ok(Value::Int(*b as i128)),
        // Without a digit before the point there is no 1: DuckDB makes it the smallest number.
        (Value::Bool(b), Type::Decimal { width, scale }) if width == scale => Ok(Value::Int(*b as i128)),
        (Value::Bool(b), Type::Decimal { .. }) => from_integer(*b as i128, &Type::Integer, to),
        (Value::Int(bits), Type::Blob) if *from == Type::Uuid => Ok(Value::Blob(Arc::new(bits.to_be_bytes().to_vec()))),
        (Value::Int(i), _) if *from != Type::Uuid => from_integer(*i, from, to),
        (Value::Blob(bytes), Type::Uuid) => match <[u8; 16]>::try_from(bytes.as_slice()) {
            Ok(bytes) => Ok(Value::Int(i128::from_be_bytes(bytes))),
            Err(_) => out_of_range(&value, from, to),
        },
        (Value::Float(x), _) => from_float(*x as f64, &value, from, to),
        (Value::Double(x), _) => from_float(*x, &value, from, to),
        (Value::Date(d), Type::Timestamp | Type::TimestampTz) => match datetime::timestamp_of(*d, 0) {
            Some(t) => Ok(Value::Timestamp(t)),
            None => out_of_range(&value, from, to),
        },
        (Value::Timestamp(t), Type::Date) => Ok(Value::Date(datetime::date_of(*t))),
        (Value::Timestamp(t), Type::Time) if *from == Type::Timestamp && datetime::is_finite(*t) => Ok(Value::Time(datetime::time_of(*t))),
        (Value::Timestamp(_), Type::Time) => out_of_range(&value, from, to),
        (Value::Timestamp(_), Type::Timestamp | Type::TimestampTz) => Ok(value),
        _ => no_cast(from, to),
    }
}

fn no_cast(from: &Type, to: &Type) -> Result<Value, EvalError> {
    fail(format!("there is no cast from {from} to {to}"))
}

/// 10^n, for n up to 38.
pub fn power_of_ten(n: u8) -> i128 {
    10i128.pow(n.min(38) as u32)
}

/// A decimal of one scale as one of another, rounded half away from zero; None: it does not fit.
pub fn rescale(unscaled: i128, from_scale: u8, width: u8, scale: u8) -> Option<i128> {
    let out = if scale >= from_scale {
        unscaled.checked_mul(power_of_ten(scale - from_scale))?
    } else {
        divide_rounded(unscaled, power_of_ten(from_scale - scale))
    };
    (out.unsigned_abs() < power_of_ten(width).unsigned_abs()).then_some(out)
}

/// Division rounded half away from zero; the divisor is positive.
pub fn divide_rounded(n: i128, by: i128) -> i128 {
    let (quotient, rest) = (n / by, n % by);
    if rest.unsigned_abs() >= by.unsigned_abs() - rest.unsigned_abs() { quotient + n.signum() } else { quotient }
}

fn from_integer(i: i128, from: &Type, to: &Type) -> Result<Value, EvalError> {
    let value = Value::Int(i);
    let scale = if let Type::Decimal { scale, .. } = from { *scale } else { 0 };
    match to {
        Type::Boolean => Ok(Value::Bool(i != 0)),
        Type::Decimal { width, scale: to_scale } => match rescale(i, scale, *width, *to_scale) {
            Some(out) => Ok(Value::Int(out)),
            None => out_of_range(&value, from, to),
        },
        Type::Double => Ok(Value::Double(to_double(i, scale))),
        Type::Float => Ok(Value::Float(to_float(i, scale))),
        _ => {
            let Some((least, most)) = to.integer_range() else { return no_cast(from, to) };
            let whole = if scale == 0 { i } else { divide_rounded(i, power_of_ten(scale)) };
            if (least..=most).contains(&whole) { Ok(Value::Int(whole)) } else { out_of_range(&value, from, to) }
        }
    }
}

/// 128 bits as DOUBLE by halves, each rounded, as DuckDB does it: the last digit may be another than the nearest one's.
fn wide_to_double(i: i128) -> f64 {
    let (upper, lower) = ((i >> 64) as i64, i as u64);
    match upper {
        0 => lower as f64,
        -1 => -((u64::MAX - lower) as f64) - 1.0,
        _ => lower as f64 + upper as f64 * u64::MAX as f64,
    }
}

fn wide_to_float(i: i128) -> f32 {
    let (upper, lower) = ((i >> 64) as i64, i as u64);
    match upper {
        0 => lower as f32,
        -1 => -((u64::MAX - lower) as f32) - 1.0,
        _ => lower as f32 + upper as f32 * u64::MAX as f32,
    }
}

/// A decimal as DOUBLE. Beyond 2^53 whole and fraction are converted apart, as DuckDB does, so that the sum is the same.
pub fn to_double(unscaled: i128, scale: u8) -> f64 {
    if scale == 0 {
        return wide_to_double(unscaled);
    }
    let power = power_of_ten(scale);
    if unscaled.unsigned_abs() <= 1 << 53 {
        return unscaled as f64 / power as f64;
    }
    wide_to_double(unscaled / power) + wide_to_double(unscaled % power) / power as f64
}

/// A decimal as FLOAT, in FLOAT's arithmetic as DuckDB does it.
fn to_float(unscaled: i128, scale: u8) -> f32 {
    if scale == 0 {
        return wide_to_float(unscaled);
    }
    let power = power_of_ten(scale);
    if unscaled.unsigned_abs() <= 1 << 24 {
        return unscaled as f32 / power as f32;
    }
    wide_to_float(unscaled / power) + wide_to_float(unscaled % power) / power as f32
}

fn from_float(x: f64, value: &Value, from: &Type, to: &Type) -> Result<Value, EvalError> {
    match to {
        Type::Boolean => Ok(Value::Bool(x != 0.0)),
        Type::Double => Ok(Value::Double(x)),
        Type::Float => {
            let narrow = x as f32;
            if narrow.is_infinite() && x.is_finite() { out_of_range(value, from, to) } else { Ok(Value::Float(narrow)) }
        }
        Type::Decimal { width, scale } => {
            let scaled = x * power_of_ten(*scale) as f64;
            let limit = power_of_ten(*width) as f64;
            if !scaled.is_finite() || scaled <= -limit || scaled >= limit {
                return out_of_range(value, from, to);
            }
            // DuckDB keeps the width of the source: what does not fit in 24 bits of a FLOAT becomes what is near.
            let out = if *from == Type::Float { scaled.round() as f32 as i128 } else { scaled.round() as i128 };
            if out.unsigned_abs() >= power_of_ten(*width).unsigned_abs() {
                return out_of_range(value, from, to);
            }
            Ok(Value::Int(out))
        }
        _ => {
            let Some((least, most)) = to.integer_range() else { return no_cast(from, to) };
            let rounded = x.round_ties_even();
            // 2^127 is the first double beyond HUGEINT; `as` saturates.
            if !rounded.is_finite() || x < least as f64 || rounded.abs() >= 1.7014118346046923e38 {
                return out_of_range(value, from, to);
            }
            let whole = rounded as i128;
            if (least..=most).contains(&whole) { Ok(Value::Int(whole)) } else { out_of_range(value, from, to) }
        }
    }
}

/// Casts text to a type, as DuckDB's `CAST(text AS type)`.
pub fn from_text(text: &str, to: &Type) -> Result<Value, EvalError> {
    let bad = || bad_text(text, to);
    match to {
        Type::Varchar => Ok(Value::text(text)),
        Type::Null => fail(format!("there is no cast from VARCHAR to {to}")),
        Type::Boolean => match text.to_ascii_lowercase().as_str() {
            "true" | "t" | "1" | "yes" | "y" => Ok(Value::Bool(true)),
            "false" | "f" | "0" | "no" | "n" => Ok(Value::Bool(false)),
            _ => bad(),
        },
        Type::Decimal { width, scale } => match text_number::decimal(text, *width, *scale) {
            Some(i) => Ok(Value::Int(i)),
            None => bad(),
        },
        Type::Double => text_number::double(text).map(Value::Double).map_or_else(bad, Ok),
        Type::Float => text_number::float(text).map(Value::Float).map_or_else(bad, Ok),
        Type::Date => datetime::parse_date(text).map(Value::Date).map_or_else(bad, Ok),
        Type::Time => datetime::parse_time(text).map(Value::Time).map_or_else(bad, Ok),
        Type::Timestamp | Type::TimestampTz => datetime::parse_timestamp(text).map(Value::Timestamp).map_or_else(bad, Ok),
        Type::Interval => interval_text::parse(text).map(Value::Interval).map_or_else(bad, Ok),
        Type::Uuid => parse_uuid(text).map(|bits| Value::Int(bits as i128)).map_or_else(bad, Ok),
        Type::Blob => parse_blob(text).map(|bytes| Value::Blob(Arc::new(bytes))).map_or_else(bad, Ok),
        Type::Json => json::check(text).map(|()| Value::text(text)),
        Type::List(_) | Type::Struct(_) | Type::Map(..) => nested_text::parse(text, to, false),
        _ => text_number::integer(text, to).map(Value::Int).map_or_else(bad, Ok),
    }
}

fn parse_uuid(text: &str) -> Option<u128> {
    let text = text.strip_prefix('{').and_then(|t| t.strip_suffix('}')).unwrap_or(text);
    let mut bits = 0u128;
    let mut digits = 0;
    for c in text.chars() {
        if c == '-' {
            continue;
        }
        bits = (bits << 4) | c.to_digit(16)? as u128;
        digits += 1;
        if digits > 32 {
            return None;
        }
    }
    (digits == 32).then_some(bits)
}

/// ASCII as it stands, every other byte as `\xAB`.
fn parse_blob(text: &str) -> Option<Vec<u8>> {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        match bytes[at] {
            b'\\' => {
                if bytes.get(at + 1) != Some(&b'x') {
                    return None;
                }
                let hex = |i: usize| bytes.get(i).and_then(|b| (*b as char).to_digit(16));
                out.push((hex(at + 2)? * 16 + hex(at + 3)?) as u8);
                at += 4;
            }
            byte if byte.is_ascii() => {
                out.push(byte);
                at += 1;
            }
            _ => return None,
        }
    }
    Some(out)
}
