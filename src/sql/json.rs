//! JSON text: validity, values to and from it, paths into it.

use std::sync::Arc;

use serde_json::Value as Json;

use super::{EvalError, MapEntries, Type, Value, cast, text_format};

pub fn check(text: &str) -> Result<(), EvalError> {
    match serde_json::from_str::<serde::de::IgnoredAny>(text) {
        Ok(_) => Ok(()),
        Err(e) => Err(EvalError(format!("malformed JSON: {e}"))),
    }
}

pub fn parse(text: &str) -> Result<Json, EvalError> {
    serde_json::from_str(text).map_err(|e| EvalError(format!("malformed JSON: {e}")))
}

/// A value as JSON text: text in quotes, numbers and booleans bare, the rest by its text in quotes.
pub fn to_json(value: &Value, ty: &Type) -> String {
    let mut out = String::new();
    write(&mut out, value, ty);
    out
}

fn write_text(out: &mut String, text: &str) {
    out.push_str(&Json::String(text.to_string()).to_string());
}

/// A number as JavaScript writes it, but with a point in whole ones; NaN and the infinities by their names.
fn write_double(out: &mut String, x: f64) {
    if !x.is_finite() {
        return out.push_str(if x.is_nan() {
            "NaN"
        } else if x > 0.0 {
            "Infinity"
        } else {
            "-Infinity"
        });
    }
    let scientific = format!("{x:e}");
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if !(-6..21).contains(&exponent) {
        return out.push_str(&scientific);
    }
    let (sign, mantissa) = mantissa.strip_prefix('-').map_or(("", mantissa), |rest| ("-", rest));
    let digits: String = mantissa.chars().filter(|c| *c != '.').collect();
    out.push_str(sign);
    let whole = usize::try_from(exponent + 1).unwrap_or(0);
    if whole == 0 {
        out.push_str("0.");
        out.extend(std::iter::repeat_n('0', (-exponent - 1).max(0) as usize));
        out.push_str(&digits);
    } else if digits.len() <= whole {
        out.push_str(&digits);
        out.extend(std::iter::repeat_n('0', whole - digits.len()));
        out.push_str(".0");
    } else {
        out.push_str(&digits[..whole]);
        out.push('.');
        out.push_str(&digits[whole..]);
    }
}

fn write(out: &mut String, value: &Value, ty: &Type) {
    match (value, ty) {
        (Value::Null, _) => out.push_str("null"),
        (Value::Text(text), Type::Json) => match parse(text) {
            Ok(json) => out.push_str(&render(&json)),
            Err(_) => out.push_str(text),
        },
        (Value::Text(text), _) => write_text(out, text),
        (Value::Bool(_), _) => text_format::write_value(out, value, ty),
        // A DECIMAL of up to 15 digits goes through DOUBLE, a wider one keeps its digits.
        (Value::Int(i), Type::Decimal { width: ..=15, scale }) => write_double(out, cast::to_double(*i, *scale)),
        (Value::Int(_), ty) if *ty != Type::Uuid => text_format::write_value(out, value, ty),
        (Value::Float(x), _) => write_double(out, *x as f64),
        (Value::Double(x), _) => write_double(out, *x),
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

/// JSON text as a value of a type; JSON null is NULL. `or_null`: what cannot be converted is NULL, element by element.
pub fn from_json(text: &str, to: &Type, or_null: bool) -> Result<Value, EvalError> {
    if matches!(to, Type::Varchar | Type::Json) {
        return Ok(Value::text(text));
    }
    convert(&parse(text)?, to, or_null)
}

fn convert(json: &Json, to: &Type, or_null: bool) -> Result<Value, EvalError> {
    let bad = || EvalError(format!("cannot cast the JSON {} to {to}", render(json).chars().take(60).collect::<String>()));
    let value = match (json, to) {
        // TRY_CAST makes a struct of NULLs of what is none.
        (json, Type::Struct(fields)) if or_null && !json.is_object() && !json.is_null() => {
            Ok(Value::Struct(Arc::new(vec![Value::Null; fields.len()])))
        }
        (Json::Null, _) => Ok(Value::Null),
        (json, Type::Json) => Ok(Value::text(render(json))),
        // Text in JSON is read as text, but numbers must stand there as they are written in JSON.
        (Json::String(text), to) if to.is_integer() && !is_strict_integer(text) => Err(bad()),
        (Json::String(text), Type::Boolean) if matches!(text.as_str(), "0" | "1") => Err(bad()),
        (Json::String(text), Type::Blob) => Ok(Value::Blob(Arc::new(text.as_bytes().to_vec()))),
        (Json::String(text), to) if !to.is_nested() => cast::from_text(text, to),
        (Json::Number(n), Type::Blob) if n.is_f64() => {
            let text = n.as_f64().map(|x| text_format::text_of(&Value::Double(x), &Type::Double)).unwrap_or_default();
            Ok(Value::Blob(Arc::new(text.into_bytes())))
        }
        (json, Type::Varchar) => Ok(Value::text(render(json))),
        (json, Type::Blob) => Ok(Value::Blob(Arc::new(render(json).into_bytes()))),
        (Json::Bool(b), to) => cast::cast(Value::Bool(*b), &Type::Boolean, to, false).map_err(|_| bad()),
        (Json::Number(n), to) if to.is_numeric() || *to == Type::Boolean => match (n.as_i128(), n.as_f64()) {
            (Some(whole), _) => cast::cast(Value::Int(whole), &Type::HugeInt, to, false),
            (None, Some(x)) => cast::cast(Value::Double(x), &Type::Double, to, false),
            (None, None) => Err(bad()),
        },
        (Json::Array(items), Type::List(inner)) => {
            let items: Result<Vec<Value>, _> = items.iter().map(|item| convert(item, inner, or_null)).collect();
            return Ok(Value::List(Arc::new(items?)));
        }
        (Json::Object(object), Type::Struct(fields)) => {
            let mut values = vec![Value::Null; fields.len()];
            for (i, (name, ty)) in fields.iter().enumerate() {
                match object.get(name) {
                    Some(item) => values[i] = convert(item, ty, or_null)?,
                    None if or_null => {}
                    None => return Err(bad()),
                }
            }
            let known = |name: &String| fields.iter().any(|(n, _)| n == name);
            if !or_null && !object.keys().all(known) {
                return Err(bad());
            }
            return Ok(Value::Struct(Arc::new(values)));
        }
        (Json::Object(object), Type::Map(key_ty, value_ty)) => {
            let mut entries = MapEntries::default();
            for (key, item) in object {
                // A key cannot become NULL, so TRY_CAST fails of it, too.
                let key = convert(&Json::String(key.clone()), key_ty, false)?;
                entries.insert(key, convert(item, value_ty, or_null)?);
            }
            return Ok(Value::Map(Arc::new(entries)));
        }
        _ => Err(bad()),
    };
    match value {
        Err(_) if or_null => Ok(Value::Null),
        value => value,
    }
}

/// Text -> JSON[]: the text is JSON itself, and its nulls are JSON's.
pub fn list_from_text(text: &str, or_null: bool) -> Result<Value, EvalError> {
    match parse(text) {
        Ok(Json::Array(items)) => Ok(Value::List(Arc::new(items.iter().map(|item| Value::text(render(item))).collect()))),
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

/// JSON as text without spaces, numbers as DuckDB writes them.
pub fn render(json: &Json) -> String {
    fn write(out: &mut String, json: &Json) {
        match json {
            Json::Number(n) => match n.as_f64().filter(|_| n.is_f64()) {
                Some(x) => write_double(out, x),
                None => out.push_str(&n.to_string()),
            },
            Json::Array(items) => {
                out.push('[');
                for (i, item) in items.iter().enumerate() {
                    if i > 0 {
                        out.push(',');
                    }
                    write(out, item);
                }
                out.push(']');
            }
            Json::Object(object) => {
                out.push('{');
                for (i, (key, item)) in object.iter().enumerate() {
                    if i > 0 {
                        out.push(',');
                    }
                    write_text(out, key);
                    out.push(':');
                    write(out, item);
                }
                out.push('}');
            }
            json => out.push_str(&json.to_string()),
        }
    }
    let mut out = String::new();
    write(&mut out, json);
    out
}

/// Follows a path: `$.a.b[0]`, `/a/b/0`, or one key as it stands.
pub fn follow<'a>(json: &'a Json, path: &str) -> Result<Option<&'a Json>, EvalError> {
    if let Some(pointer) = path.strip_prefix('/') {
        return Ok(json.pointer(&format!("/{pointer}")));
    }
    let Some(mut rest) = path.strip_prefix('$') else {
        return Ok(json.as_object().and_then(|object| object.get(path)));
    };
    let bad = || EvalError(format!("JSON path '{path}' cannot be read"));
    let mut here = Some(json);
    while !rest.is_empty() {
        if let Some(after) = rest.strip_prefix('.') {
            let (key, tail) = if let Some(quoted) = after.strip_prefix('"') {
                let end = quoted.find('"').ok_or_else(bad)?;
                (&quoted[..end], &quoted[end + 1..])
            } else {
                let end = after.find(['.', '[']).unwrap_or(after.len());
                (&after[..end], &after[end..])
            };
            if key.is_empty() || key.contains('*') {
                return Err(bad());
            }
            here = here.and_then(|json| json.as_object()).and_then(|object| object.get(key));
            rest = tail;
        } else if let Some(after) = rest.strip_prefix('[') {
            let end = after.find(']').ok_or_else(bad)?;
            let inside = &after[..end];
            rest = &after[end + 1..];
            if let Some(key) = inside.strip_prefix('"').and_then(|k| k.strip_suffix('"')) {
                here = here.and_then(|json| json.as_object()).and_then(|object| object.get(key));
                continue;
            }
            let from_end = inside.strip_prefix("#-").or_else(|| inside.strip_prefix('-'));
            let index: usize = from_end.unwrap_or(inside).parse().map_err(|_| bad())?;
            let negative = from_end.is_some();
            here = here.and_then(|json| json.as_array()).and_then(|items| {
                let i = if negative { items.len().checked_sub(index)? } else { index };
                items.get(i)
            });
        } else {
            return Err(bad());
        }
    }
    Ok(here)
}

/// The element of an array; negative indexes count from the end.
pub fn element(json: &Json, index: i128) -> Option<&Json> {
    let items = json.as_array()?;
    let i = if index < 0 { items.len() as i128 + index } else { index };
    usize::try_from(i).ok().and_then(|i| items.get(i))
}
