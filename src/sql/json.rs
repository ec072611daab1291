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

fn write(out: &mut String, value: &Value, ty: &Type) {
    match (value, ty) {
        (Value::Null, _) => out.push_str("null"),
        (Value::Text(text), Type::Json) => out.push_str(text),
        (Value::Text(text), _) => write_text(out, text),
        (Value::Bool(_), _) => text_format::write_value(out, value, ty),
        (Value::Int(_), ty) if *ty != Type::Uuid => text_format::write_value(out, value, ty),
        (Value::Float(x), _) if !x.is_finite() => write_text(out, &text_format::text_of(value, ty)),
        (Value::Double(x), _) if !x.is_finite() => write_text(out, &text_format::text_of(value, ty)),
        (Value::Float(_) | Value::Double(_), _) => text_format::write_value(out, value, ty),
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

/// JSON text as a value of a type; JSON null is NULL.
pub fn from_json(text: &str, to: &Type) -> Result<Value, EvalError> {
    if matches!(to, Type::Varchar | Type::Json) {
        return Ok(Value::text(text));
    }
    convert(&parse(text)?, to)
}

fn convert(json: &Json, to: &Type) -> Result<Value, EvalError> {
    let bad = || EvalError(format!("cannot cast the JSON {} to {to}", json.to_string().chars().take(60).collect::<String>()));
    match (json, to) {
        (Json::Null, Type::Json) => Ok(Value::text("null")),
        (Json::Null, _) => Ok(Value::Null),
        (json, Type::Json) => Ok(Value::text(json.to_string())),
        (Json::String(text), to) if !to.is_nested() => cast::from_text(text, to),
        (json, Type::Varchar) => Ok(Value::text(json.to_string())),
        (Json::Bool(b), to) => cast::cast(Value::Bool(*b), &Type::Boolean, to).map_err(|_| bad()),
        (Json::Number(n), to) if to.is_numeric() => cast::from_text(&n.to_string(), to),
        (Json::Number(n), Type::Boolean) => Ok(Value::Bool(n.as_f64().unwrap_or(0.0) != 0.0)),
        (Json::Array(items), Type::List(inner)) => {
            let items: Result<Vec<Value>, _> = items.iter().map(|item| convert(item, inner)).collect();
            Ok(Value::List(Arc::new(items?)))
        }
        (Json::Object(object), Type::Struct(fields)) => {
            let mut values = vec![Value::Null; fields.len()];
            for (name, item) in object {
                let i = fields.iter().position(|(n, _)| n.eq_ignore_ascii_case(name)).ok_or_else(bad)?;
                values[i] = convert(item, &fields[i].1)?;
            }
            Ok(Value::Struct(Arc::new(values)))
        }
        (Json::Object(object), Type::Map(key_ty, value_ty)) => {
            let mut entries = MapEntries::default();
            for (key, item) in object {
                entries.insert(cast::from_text(key, key_ty)?, convert(item, value_ty)?);
            }
            Ok(Value::Map(Arc::new(entries)))
        }
        _ => Err(bad()),
    }
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
