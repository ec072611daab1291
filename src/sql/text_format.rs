//! Values -> text, as DuckDB's cast to VARCHAR prints them.

use super::{Type, Value, datetime};

/// The text of a value that is not NULL.
pub fn write_value(out: &mut String, value: &Value, ty: &Type) {
    match (value, ty) {
        (Value::Null, _) => out.push_str("NULL"),
        (Value::Bool(b), _) => out.push_str(if *b { "true" } else { "false" }),
        (Value::Int(i), Type::Decimal { width, scale }) => write_decimal(out, *i, *width, *scale),
        (Value::Int(i), Type::Uuid) => write_uuid(out, *i as u128),
        (Value::Int(i), _) => {
            use std::fmt::Write;
            let _ = write!(out, "{i}");
        }
        (Value::Float(x), _) => write_float(out, *x as f64, &format!("{x:e}")),
        (Value::Double(x), _) => write_float(out, *x, &format!("{x:e}")),
        (Value::Text(t), _) => out.push_str(t),
        (Value::Blob(bytes), _) => write_blob(out, bytes),
        (Value::Date(d), _) => out.push_str(&datetime::format_date(*d)),
        (Value::Time(t), _) => out.push_str(&datetime::format_time(*t)),
        (Value::Timestamp(t), Type::TimestampTz) => {
            out.push_str(&datetime::format_timestamp(*t));
            if datetime::is_finite(*t) {
                out.push_str("+00");
            }
        }
        (Value::Timestamp(t), _) => out.push_str(&datetime::format_timestamp(*t)),
        (Value::Interval(i), _) => out.push_str(&datetime::format_interval(*i)),
        (Value::List(items), ty) => {
            let inner = if let Type::List(inner) = ty { &**inner } else { &Type::Varchar };
            out.push('[');
            for (i, item) in items.iter().enumerate() {
                if i > 0 {
                    out.push_str(", ");
                }
                // In lists, and nowhere else, JSON stands as it is.
                if *inner == Type::Json { write_value(out, item, inner) } else { write_nested(out, item, inner) }
            }
            out.push(']');
        }
        (Value::Struct(values), Type::Struct(fields)) if ty.is_row() => {
            out.push('(');
            for (i, (value, (_, ty))) in values.iter().zip(fields).enumerate() {
                if i > 0 {
                    out.push_str(", ");
                }
                write_member(out, value, ty);
            }
            out.push(')');
        }
        (Value::Struct(values), ty) => {
            let fields: &[(String, Type)] = if let Type::Struct(fields) = ty { fields } else { &[] };
            out.push('{');
            for (i, (value, (name, ty))) in values.iter().zip(fields).enumerate() {
                if i > 0 {
                    out.push_str(", ");
                }
                out.push('\'');
                out.push_str(&name.replace('\\', "\\\\").replace('\'', "\\'"));
                out.push_str("': ");
                write_member(out, value, ty);
            }
            out.push('}');
        }
        (Value::Map(entries), ty) => {
            let (key_ty, value_ty) = if let Type::Map(k, v) = ty { (&**k, &**v) } else { (&Type::Varchar, &Type::Varchar) };
            out.push('{');
            for (i, (key, value)) in entries.iter().enumerate() {
                if i > 0 {
                    out.push_str(", ");
                }
                write_member(out, key, key_ty);
                out.push('=');
                write_member(out, value, value_ty);
            }
            out.push('}');
        }
    }
}

/// A member of a struct or a map; JSON is quoted there, unlike in lists.
fn write_member(out: &mut String, value: &Value, ty: &Type) {
    write_nested(out, value, if *ty == Type::Json { &Type::Varchar } else { ty });
}

/// Scalars inside nested values are quoted where their text would not be read back as it is.
fn write_nested(out: &mut String, value: &Value, ty: &Type) {
    if value.is_null() || ty.is_nested() {
        return write_value(out, value, ty);
    }
    let mut text = String::new();
    write_value(&mut text, value, ty);
    if !quotes_needed(&text) {
        return out.push_str(&text);
    }
    out.push('\'');
    for c in text.chars() {
        if c == '\'' || c == '\\' {
            out.push('\\');
        }
        out.push(c);
    }
    out.push('\'');
}

fn quotes_needed(text: &str) -> bool {
    text.is_empty()
        || text.eq_ignore_ascii_case("null")
        || text.starts_with(|c: char| c.is_ascii_whitespace())
        || text.ends_with(|c: char| c.is_ascii_whitespace())
        || text.contains(|c: char| "[],{}():='\"".contains(c))
}

pub fn write_decimal(out: &mut String, unscaled: i128, width: u8, scale: u8) {
    use std::fmt::Write;
    if scale == 0 {
        let _ = write!(out, "{unscaled}");
        return;
    }
    let power = 10u128.pow(scale as u32);
    let magnitude = unscaled.unsigned_abs();
    if unscaled < 0 {
        out.push('-');
    }
    // A decimal without digits before the point is printed without the zero.
    if width > scale || magnitude >= power {
        let _ = write!(out, "{}", magnitude / power);
    }
    let _ = write!(out, ".{:0scale$}", magnitude % power, scale = scale as usize);
}

pub fn write_uuid(out: &mut String, bits: u128) {
    let hex = format!("{bits:032x}");
    for (i, part) in [0..8, 8..12, 12..16, 16..20, 20..32].into_iter().enumerate() {
        if i > 0 {
            out.push('-');
        }
        out.push_str(&hex[part]);
    }
}

/// The shortest digits that read back as the number; an exponent below -4 and from 16 on.
fn write_float(out: &mut String, x: f64, scientific: &str) {
    if x.is_nan() {
        return out.push_str("nan");
    }
    if x.is_infinite() {
        return out.push_str(if x > 0.0 { "inf" } else { "-inf" });
    }
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let (sign, mantissa) = match mantissa.strip_prefix('-') {
        Some(rest) => ("-", rest),
        None => ("", mantissa),
    };
    let digits: String = mantissa.chars().filter(|c| *c != '.').collect();
    out.push_str(sign);
    if !(-4..16).contains(&exponent) {
        out.push_str(mantissa);
        out.push_str(&format!("e{}{:02}", if exponent < 0 { '-' } else { '+' }, exponent.abs()));
        return;
    }
    if exponent < 0 {
        out.push_str("0.");
        out.push_str(&"0".repeat((-exponent - 1) as usize));
        out.push_str(&digits);
        return;
    }
    let whole = exponent as usize + 1;
    if digits.len() <= whole {
        out.push_str(&digits);
        out.push_str(&"0".repeat(whole - digits.len()));
        out.push_str(".0");
    } else {
        out.push_str(&digits[..whole]);
        out.push('.');
        out.push_str(&digits[whole..]);
    }
}

pub fn write_blob(out: &mut String, bytes: &[u8]) {
    for byte in bytes {
        if (32..127).contains(byte) && !matches!(byte, b'\\' | b'\'' | b'"') {
            out.push(*byte as char);
        } else {
            out.push_str(&format!("\\x{byte:02X}"));
        }
    }
}

pub fn text_of(value: &Value, ty: &Type) -> String {
    let mut out = String::new();
    write_value(&mut out, value, ty);
    out
}
