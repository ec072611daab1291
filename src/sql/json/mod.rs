//! JSON text: validity, values to and from it, paths into it.

pub mod path;
pub mod structure;
pub mod tree;

use std::sync::Arc;

use super::{EvalError, MapEntries, Type, Value, cast, text_format};
use tree::{Json, write_real, write_text};

pub fn check(text: &str) -> Result<(), EvalError> {
    Json::parse(text).map(|_| ())
}

/// A value as JSON text: text in quotes, numbers and booleans bare, the rest by its text in quotes.
pub fn to_json(value: &Value, ty: &Type) -> String {
    let mut out = String::new();
    write(&mut out, value, ty);
    out
}

fn write(out: &mut String, value: &Value, ty: &Type) {
    match (value, ty) {
        (Value::Null, _) => out.push_str("null"),
        (Value::Text(text), Type::Json) => match Json::parse(text) {
            Ok(json) => json.write(out),
            Err(_) => out.push_str(text),
        },
        (Value::Text(text), _) => write_text(out, text),
        (Value::Bool(_), _) => text_format::write_value(out, value, ty),
        // DuckDB writes decimals as doubles where a double holds their digits.
        (Value::Int(i), Type::Decimal { width, scale }) if *width <= 15 => write_real(out, cast::to_double(*i, *scale)),
        (Value::Int(_), ty) if *ty != Type::Uuid => text_format::write_value(out, value, ty),
        (Value::Float(x), _) => write_real(out, *x as f64),
        (Value::Double(x), _) => write_real(out, *x),
        (Value::List(items), Type::List(inner)) => {
            out.push('[');
            for (i, item) in items.iter().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                write(out, item, inner);
            }
            out.push(']');
        }
        (Value::Struct(values), Type::Struct(fields)) => {
            out.push('{');
            for (i, (value, (name, ty))) in values.iter().zip(fields).enumerate() {
                if i > 0 {
                    out.push(',');
                }
                write_text(out, name);
                out.push(':');
                write(out, value, ty);
            }
            out.push('}');
        }
        (Value::Map(entries), Type::Map(key_ty, value_ty)) => {
            out.push('{');
            for (i, (key, value)) in entries.iter().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                write_text(out, &text_format::text_of(key, key_ty));
                out.push(':');
                write(out, value, value_ty);
            }
            out.push('}');
        }
        _ => write_text(out, &text_format::text_of(value, ty)),
    }
}

/// How strictly JSON is taken for a value of a type.
#[derive(Debug, Clone, Copy)]
pub struct Strictness {
    /// What does not fit is an error, not NULL.
    pub casts: bool,
    /// A key that the struct does not have is an error.
    pub unknown_keys: bool,
}

/// The strictness of CAST.
const CAST: Strictness = Strictness { casts: true, unknown_keys: true };
/// The strictness of TRY_CAST and `json_transform`.
pub const LENIENT: Strictness = Strictness { casts: false, unknown_keys: false };

/// JSON text as a value of a type; JSON null is NULL. `or_null`: what does not fit is NULL, element by element; only a map's
/// key cannot be, and fails.
pub fn from_json(text: &str, to: &Type, or_null: bool) -> Result<Value, EvalError> {
    if matches!(to, Type::Varchar | Type::Json) {
        return Ok(Value::text(text));
    }
    convert(&Json::parse(text)?, to, if or_null { LENIENT } else { CAST })
}

/// Text -> JSON[]: the text is JSON itself, and its nulls are JSON's.
pub fn list_from_text(text: &str, or_null: bool) -> Result<Value, EvalError> {
    match Json::parse(text) {
        Ok(Json::Array(items)) => Ok(Value::List(Arc::new(items.iter().map(|item| Value::text(item.to_string())).collect()))),
        _ if or_null => Ok(Value::Null),
        Ok(_) => Err(EvalError("a JSON array is wanted".into())),
        Err(e) => Err(e),
    }
}

/// Digits with a minus at most, no zero before others: what DuckDB takes for an integer in JSON's text.
fn is_strict_integer(text: &str) -> bool {
    let digits = text.trim_matches(|c: char| c.is_ascii_whitespace());
    let digits = digits.strip_prefix('-').unwrap_or(digits);
    !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()) && (digits == "0" || !digits.starts_with('0'))
}

fn shown(json: &Json) -> String {
    json.to_string().chars().take(60).collect()
}

/// A JSON value as a value of a type.
pub fn convert(json: &Json, to: &Type, strict: Strictness) -> Result<Value, EvalError> {
    let bad = || if strict.casts { Err(EvalError(format!("cannot cast the JSON {} to {to}", shown(json)))) } else { Ok(Value::Null) };
    if matches!(json, Json::Null) {
        return Ok(Value::Null);
    }
    match to {
        Type::Json => Ok(Value::text(json.to_string())),
        Type::Varchar => Ok(Value::text(plain_text(json))),
        Type::List(inner) => {
            let Json::Array(items) = json else { return bad() };
            let items: Result<Vec<Value>, _> = items.iter().map(|item| convert(item, inner, strict)).collect();
            Ok(Value::List(Arc::new(items?)))
        }
        Type::Struct(fields) => {
            let mut values = vec![Value::Null; fields.len()];
            let Json::Object(entries) = json else { return if strict.casts { bad() } else { Ok(Value::Struct(Arc::new(values))) } };
            let mut found = vec![false; fields.len()];
            for (name, item) in entries {
                match fields.iter().position(|(n, _)| n == name) {
                    Some(i) if !found[i] => {
                        found[i] = true;
                        values[i] = convert(item, &fields[i].1, strict)?;
                    }
                    Some(_) if strict.casts => return Err(EvalError(format!("the object {} has the key \"{name}\" twice", shown(json)))),
                    None if strict.unknown_keys => {
                        return Err(EvalError(format!("the object {} has an unknown key \"{name}\"", shown(json))));
                    }
                    _ => {}
                }
            }
            match found.iter().position(|found| !found) {
                Some(i) if strict.casts => Err(EvalError(format!("the object {} has no key \"{}\"", shown(json), fields[i].0))),
                _ => Ok(Value::Struct(Arc::new(values))),
            }
        }
        Type::Map(key_ty, value_ty) => {
            let Json::Object(object) = json else { return bad() };
            let mut entries = MapEntries::default();
            for (key, item) in object {
                let key = convert(&Json::Text(key.as_ref().into()), key_ty, CAST)?;
                let value = convert(item, value_ty, strict)?;
                entries.entry(key).or_insert(value);
            }
            Ok(Value::Map(Arc::new(entries)))
        }
        _ => scalar(json, to).or_else(|e| if strict.casts { Err(e) } else { Ok(Value::Null) }),
    }
}

fn scalar(json: &Json, to: &Type) -> Result<Value, EvalError> {
    let number = to.is_numeric() || *to == Type::Boolean;
    let bad = || Err(EvalError(format!("cannot cast the JSON {} to {to}", shown(json))));
    match json {
        // Text is read as text, but numbers must stand in it as they stand in JSON.
        Json::Text(text) if to.is_integer() && !is_strict_integer(text) => bad(),
        Json::Text(text) if *to == Type::Boolean && matches!(text.as_ref(), "0" | "1") => bad(),
        json if *to == Type::Blob => Ok(Value::Blob(Arc::new(plain_text(json).into_bytes()))),
        Json::Text(text) => cast::from_text(text, to),
        Json::Raw(text) if number => cast::from_text(text, to),
        Json::Bool(b) if number => cast::cast(Value::Bool(*b), &Type::Boolean, to, false),
        Json::Unsigned(n) if number => cast::cast(Value::Int(*n as i128), &Type::UBigInt, to, false),
        Json::Signed(n) if number => cast::cast(Value::Int(*n as i128), &Type::BigInt, to, false),
        Json::Real(x) if number => cast::cast(Value::Double(*x), &Type::Double, to, false),
        _ => bad(),
    }
}

/// Text as it stands, everything else as VARCHAR shows it.
fn plain_text(json: &Json) -> String {
    match json {
        Json::Text(text) | Json::Raw(text) => text.to_string(),
        Json::Real(x) => text_format::text_of(&Value::Double(*x), &Type::Double),
        json => json.to_string(),
    }
}
