//! Casts between types, as DuckDB's explicit cast converts: numbers by value, everything else by its text.

use std::sync::Arc;

use super::{EvalError, MapEntries, Type, Value, datetime, json, nested_text, text_format};

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
        (Type::Boolean, to) => to.is_numeric(),
        (from, to) if from.is_numeric() => to.is_numeric() || *to == Type::Boolean,
        (Type::Date, to) => matches!(to, Type::Timestamp | Type::TimestampTz),
        (Type::Time, Type::Interval) => false,
        (Type::Timestamp, to) => matches!(to, Type::Date | Type::Time | Type::TimestampTz),
        (Type::TimestampTz, to) => matches!(to, Type::Date | Type::Time | Type::Timestamp),
        (Type::Interval, Type::Time) => true,
        (Type::Uuid, Type::Blob) | (Type::Blob, Type::Uuid) => false,
        _ => false,
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

/// Converts a value; NULL stays NULL.
pub fn cast(value: Value, from: &Type, to: &Type) -> Result<Value, EvalError> {
    if value.is_null() || from == to {
        return Ok(value);
    }
    match (&value, to) {
        (Value::Text(text), _) if *from == Type::Varchar => from_text(text, to),
        (Value::Text(text), _) if *from == Type::Json => json::from_json(text, to),
        (_, Type::Varchar) => Ok(Value::text(text_format::text_of(&value, from))),
        (_, Type::Json) => Ok(Value::text(json::to_json(&value, from))),
        (Value::Bool(b), Type::Float) => Ok(Value::Float(f32::from(*b))),
        (Value::Bool(b), Type::Double) => Ok(Value::Double(f64::from(*b))),
        (Value::Bool(b), _) if to.is_integer() => Ok(Value::Int(*b as i128)),
        (Value::Bool(b), Type::Decimal { .. }) => cast(Value::Int(*b as i128), &Type::Integer, to),
        (Value::Int(i), _) => from_integer(*i, from, to),
        (Value::Float(x), _) => from_float(*x as f64, &value, from, to),
        (Value::Double(x), _) => from_float(*x, &value, from, to),
        (Value::Date(d), Type::Timestamp | Type::TimestampTz) => match datetime::timestamp_of(*d, 0) {
            Some(t) => Ok(Value::Timestamp(t)),
            None => out_of_range(&value, from, to),
        },
        (Value::Timestamp(t), Type::Date) => Ok(Value::Date(datetime::date_of(*t))),
        (Value::Timestamp(t), Type::Time) if datetime::is_finite(*t) => Ok(Value::Time(datetime::time_of(*t))),
        (Value::Timestamp(_), Type::Time) => Ok(Value::Null),
        (Value::Timestamp(_), Type::Timestamp | Type::TimestampTz) => Ok(value),
        (Value::Interval(i), Type::Time) => Ok(Value::Time(i.micros.rem_euclid(datetime::MICROS_PER_DAY))),
        (Value::List(items), Type::List(inner)) => {
            let from = if let Type::List(from) = from { from } else { inner };
            let items: Result<Vec<Value>, _> = items.iter().map(|item| cast(item.clone(), from, inner)).collect();
            Ok(Value::List(Arc::new(items?)))
        }
        (Value::Map(entries), Type::Map(key_to, value_to)) => {
            let Type::Map(key_from, value_from) = from else { return no_cast(from, to) };
            let mut out = MapEntries::with_capacity_and_hasher(entries.len(), Default::default());
            for (key, value) in entries.iter() {
                if out.insert(cast(key.clone(), key_from, key_to)?, cast(value.clone(), value_from, value_to)?).is_some() {
                    return fail("map keys must be unique");
                }
            }
            Ok(Value::Map(Arc::new(out)))
        }
        (Value::Struct(values), Type::Struct(fields_to)) => {
            let Type::Struct(fields_from) = from else { return no_cast(from, to) };
            let mut out = Vec::with_capacity(fields_to.len());
            let by_place = from.is_row() || to.is_row();
            for (place, (name, ty)) in fields_to.iter().enumerate() {
                let found = if by_place { Some(place) } else { fields_from.iter().position(|(n, _)| n.eq_ignore_ascii_case(name)) };
                out.push(match found.filter(|i| *i < fields_from.len()) {
                    Some(i) => cast(values.get(i).cloned().unwrap_or_default(), &fields_from[i].1, ty)?,
                    None => Value::Null,
                });
            }
            Ok(Value::Struct(Arc::new(out)))
        }
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

/// A decimal as DOUBLE. Beyond 2^53 whole and fraction are converted apart, as DuckDB does, so that the sum is the same.
pub fn to_double(unscaled: i128, scale: u8) -> f64 {
    if scale == 0 {
        return unscaled as f64;
    }
    let power = power_of_ten(scale);
    if unscaled.unsigned_abs() <= 1 << 53 {
        return unscaled as f64 / power as f64;
    }
    (unscaled / power) as f64 + (unscaled % power) as f64 / power as f64
}

fn to_float(unscaled: i128, scale: u8) -> f32 {
    if scale == 0 {
        return unscaled as f32;
    }
    let power = power_of_ten(scale);
    if unscaled.unsigned_abs() <= 1 << 24 {
        return (unscaled as f64 / power as f64) as f32;
    }
    (unscaled / power) as f32 + ((unscaled % power) as f64 / power as f64) as f32
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
            let out = scaled.round() as i128;
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
        Type::Null => Ok(Value::Null),
        Type::Boolean => match text.trim().to_ascii_lowercase().as_str() {
            "true" | "t" | "1" | "yes" | "y" | "on" => Ok(Value::Bool(true)),
            "false" | "f" | "0" | "no" | "n" | "off" => Ok(Value::Bool(false)),
            _ => bad(),
        },
        Type::Decimal { width, scale } => match parse_decimal(text, *width, *scale) {
            Some(i) => Ok(Value::Int(i)),
            None => bad(),
        },
        Type::Double => parse_double(text).map(Value::Double).map_or_else(bad, Ok),
        Type::Float => match parse_double(text) {
            Some(_) => parse_float(text).map(Value::Float).map_or_else(bad, Ok),
            None => bad(),
        },
        Type::Date => datetime::parse_date(text).map(Value::Date).map_or_else(bad, Ok),
        Type::Time => datetime::parse_time(text).map(Value::Time).map_or_else(bad, Ok),
        Type::Timestamp | Type::TimestampTz => datetime::parse_timestamp(text).map(Value::Timestamp).map_or_else(bad, Ok),
        Type::Interval => datetime::parse_interval(text).map(Value::Interval).map_or_else(bad, Ok),
        Type::Uuid => parse_uuid(text).map(|bits| Value::Int(bits as i128)).map_or_else(bad, Ok),
        Type::Blob => parse_blob(text).map(|bytes| Value::Blob(Arc::new(bytes))).map_or_else(bad, Ok),
        Type::Json => json::check(text).map(|()| Value::text(text)),
        Type::List(_) | Type::Struct(_) | Type::Map(..) => nested_text::parse(text, to),
        _ => {
            let Some((least, most)) = to.integer_range() else { return bad() };
            match parse_integer(text) {
                Some(i) if (least..=most).contains(&i) => Ok(Value::Int(i)),
                _ => bad(),
            }
        }
    }
}

/// Digits, with a sign, a fraction (rounded half away from zero), an exponent, `_` between digits, or `0x…`.
fn parse_integer(text: &str) -> Option<i128> {
    let text = text.trim_matches(|c: char| c.is_ascii_whitespace());
    // The daily case: digits only.
    if !text.is_empty() && text.len() <= 18 && text.bytes().all(|b| b.is_ascii_digit()) {
        return Some(text.bytes().fold(0i64, |n, b| n * 10 + (b - b'0') as i64) as i128);
    }
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    for (prefix, radix) in [("0x", 16), ("0X", 16), ("0b", 2), ("0B", 2)] {
        if !negative && let Some(rest) = digits.strip_prefix(prefix) {
            return plain(rest).and_then(|digits| i128::from_str_radix(&digits, radix).ok());
        }
    }
    parse_scaled(text, 0)
}

/// Digits without the underscores, which must stand between digits.
fn plain(text: &str) -> Option<String> {
    if text.is_empty() || text.starts_with(['_', '+', '-']) || text.ends_with('_') || text.contains("__") {
        return None;
    }
    Some(text.chars().filter(|c| *c != '_').collect())
}

fn parse_decimal(text: &str, width: u8, scale: u8) -> Option<i128> {
    parse_scaled(text, scale).filter(|i| i.unsigned_abs() < power_of_ten(width).unsigned_abs())
}

/// Reads a decimal number exactly, as a multiple of 10^-scale, rounded half away from zero.
pub fn parse_scaled(text: &str, scale: u8) -> Option<i128> {
    let bytes = text.trim_matches(|c: char| c.is_ascii_whitespace()).as_bytes();
    let (negative, mut at) = match bytes.first()? {
        b'-' => (true, 1),
        b'+' => (false, 1),
        _ => (false, 0),
    };
    let mut digits: Vec<u8> = Vec::with_capacity(bytes.len());
    let mut point: Option<usize> = None;
    let mut exponent = 0i64;
    while at < bytes.len() {
        match bytes[at] {
            digit @ b'0'..=b'9' => digits.push(digit - b'0'),
            b'_' if at > 0 && bytes[at - 1].is_ascii_digit() && bytes.get(at + 1).is_some_and(u8::is_ascii_digit) => {}
            b'.' if point.is_none() => point = Some(digits.len()),
            b'e' | b'E' if !digits.is_empty() => {
                let rest = std::str::from_utf8(&bytes[at + 1..]).ok()?;
                exponent = rest.parse::<i32>().ok()? as i64;
                break;
            }
            _ => return None,
        }
        at += 1;
    }
    if digits.is_empty() {
        return None;
    }
    // The number is digits * 10^-(digits behind the point) * 10^exponent; wanted in units of 10^-scale.
    let keep = point.unwrap_or(digits.len()) as i64 + exponent + scale as i64;
    let mut out = 0i128;
    for &digit in digits.iter().take(usize::try_from(keep).unwrap_or(0)) {
        out = out.checked_mul(10)?.checked_add(digit as i128)?;
    }
    for _ in digits.len() as i64..keep {
        if out == 0 {
            break;
        }
        out = out.checked_mul(10)?;
    }
    if keep >= 0 && digits.get(keep as usize).is_some_and(|digit| *digit >= 5) {
        out = out.checked_add(1)?;
    }
    Some(if negative { -out } else { out })
}

fn float_text(text: &str) -> Option<String> {
    let text = text.trim_matches(|c: char| c.is_ascii_whitespace());
    let first = text.trim_start_matches(['-', '+']).chars().next()?;
    if first.is_ascii_digit() || first == '.' {
        return if text.contains('_') {
            plain(text.trim_start_matches(['-', '+'])).map(|t| if text.starts_with('-') { format!("-{t}") } else { t })
        } else {
            Some(text.to_string())
        };
    }
    let lower = text.to_ascii_lowercase();
    matches!(lower.trim_start_matches(['-', '+']), "nan" | "inf" | "infinity").then_some(lower)
}

fn parse_double(text: &str) -> Option<f64> {
    float_text(text)?.parse().ok()
}

fn parse_float(text: &str) -> Option<f32> {
    float_text(text)?.parse().ok()
}

fn parse_uuid(text: &str) -> Option<u128> {
    let text = text.trim_matches(|c: char| c.is_ascii_whitespace());
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
