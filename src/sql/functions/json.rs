//! JSON: paths into it, its shape.

use std::ops::Range;
use std::sync::Arc;

use serde_json::Value as Json;

use super::{Function, strict, take, typed, want_args};
use crate::sql::bind::{Bound, Typed, error, implicit};
use crate::sql::json::{element, follow, parse, to_json};
use crate::sql::{EvalError, Type, Value};

pub const TABLE: &[Function] = &[
    typed(&["json_extract", "json_extract_path"], "json_extract(json, path)", |args, span| extract(args, span, false)),
    typed(&["json_extract_string", "json_extract_path_text"], "json_extract_string(json, path)", |args, span| extract(args, span, true)),
    typed(&["json_value"], "json_value(json, path)", value),
    typed(&["json_exists"], "json_exists(json, path)", exists),
    typed(&["json_array_length"], "json_array_length(json [, path])", array_length),
    typed(&["json_type"], "json_type(json [, path])", json_type),
    typed(&["json_valid"], "json_valid(VARCHAR)", valid),
    typed(&["json_keys"], "json_keys(json [, path])", keys),
    typed(&["to_json", "json_quote"], "to_json(any)", to_json_value),
];

/// The JSON argument as JSON text, the path as text or as an index.
fn prepare(args: Vec<Typed>, count: std::ops::RangeInclusive<usize>, span: &Range<usize>) -> Result<Vec<Typed>, crate::sql::CompileError> {
    want_args(&args, count, span)?;
    let mut args = args.into_iter();
    let of = take(&mut args, span)?;
    if !matches!(of.ty, Type::Json | Type::Varchar | Type::Null) {
        return Err(error(format!("JSON is wanted here, this is {}", of.shown()), &of.span));
    }
    let mut out = vec![of];
    for path in args {
        let to = if path.ty.is_integer() { Type::BigInt } else { Type::Varchar };
        out.push(implicit(path, &to, "a JSON path")?);
    }
    Ok(out)
}

fn at<'a>(json: &'a Json, path: Option<&Value>) -> Result<Option<&'a Json>, EvalError> {
    match path {
        None => Ok(Some(json)),
        Some(Value::Int(i)) => Ok(element(json, *i)),
        Some(path) => follow(json, path.as_text().unwrap_or_default()),
    }
}

fn text_of(json: &Json) -> Value {
    match json {
        Json::Null => Value::Null,
        Json::String(text) => Value::text(text),
        json => Value::text(json.to_string()),
    }
}

fn extract(args: Vec<Typed>, span: &Range<usize>, as_text: bool) -> Bound {
    let args = prepare(args, 2..=2, span)?;
    let ty = if as_text { Type::Varchar } else { Type::Json };
    Ok(strict(args, ty, span, move |args| {
        let json = parse(args.first().and_then(Value::as_text).unwrap_or_default())?;
        Ok(match at(&json, args.get(1))? {
            None => Value::Null,
            Some(found) if as_text => text_of(found),
            Some(found) => Value::text(found.to_string()),
        })
    }))
}

fn value(args: Vec<Typed>, span: &Range<usize>) -> Bound {
    let args = prepare(args, 2..=2, span)?;
    Ok(strict(args, Type::Json, span, |args| {
        let json = parse(args.first().and_then(Value::as_text).unwrap_or_default())?;
        Ok(match at(&json, args.get(1))? {
            Some(found) if !found.is_object() && !found.is_array() => Value::text(found.to_string()),
            _ => Value::Null,
        })
    }))
}

fn exists(args: Vec<Typed>, span: &Range<usize>) -> Bound {
    let args = prepare(args, 2..=2, span)?;
    Ok(strict(args, Type::Boolean, span, |args| {
        let json = parse(args.first().and_then(Value::as_text).unwrap_or_default())?;
        Ok(Value::Bool(at(&json, args.get(1))?.is_some()))
    }))
}

fn array_length(args: Vec<Typed>, span: &Range<usize>) -> Bound {
    let args = prepare(args, 1..=2, span)?;
    Ok(strict(args, Type::UBigInt, span, |args| {
        let json = parse(args.first().and_then(Value::as_text).unwrap_or_default())?;
        Ok(match at(&json, args.get(1))? {
            None => Value::Null,
            Some(found) => Value::Int(found.as_array().map_or(0, Vec::len) as i128),
        })
    }))
}

fn json_type(args: Vec<Typed>, span: &Range<usize>) -> Bound {
    let args = prepare(args, 1..=2, span)?;
    Ok(strict(args, Type::Varchar, span, |args| {
        let json = parse(args.first().and_then(Value::as_text).unwrap_or_default())?;
        Ok(match at(&json, args.get(1))? {
            None => Value::Null,
            Some(found) => Value::text(match found {
                Json::Null => "NULL",
                Json::Bool(_) => "BOOLEAN",
                Json::Number(n) if n.is_u64() => "UBIGINT",
                Json::Number(n) if n.is_i64() => "BIGINT",
                Json::Number(_) => "DOUBLE",
                Json::String(_) => "VARCHAR",
                Json::Array(_) => "ARRAY",
                Json::Object(_) => "OBJECT",
            }),
        })
    }))
}

fn valid(args: Vec<Typed>, span: &Range<usize>) -> Bound {
    let args = prepare(args, 1..=1, span)?;
    Ok(strict(args, Type::Boolean, span, |args| {
        Ok(Value::Bool(crate::sql::json::check(args.first().and_then(Value::as_text).unwrap_or_default()).is_ok()))
    }))
}

fn keys(args: Vec<Typed>, span: &Range<usize>) -> Bound {
    let args = prepare(args, 1..=2, span)?;
    Ok(strict(args, Type::List(Box::new(Type::Varchar)), span, |args| {
        let json = parse(args.first().and_then(Value::as_text).unwrap_or_default())?;
        Ok(match at(&json, args.get(1))? {
            None => Value::Null,
            Some(Json::Object(object)) => Value::List(Arc::new(object.keys().map(Value::text).collect())),
            Some(_) => Value::List(Arc::new(Vec::new())),
        })
    }))
}

fn to_json_value(args: Vec<Typed>, span: &Range<usize>) -> Bound {
    want_args(&args, 1..=1, span)?;
    let ty = args[0].ty.clone();
    Ok(super::strict(args, Type::Json, span, move |args| Ok(Value::text(to_json(args.first().unwrap_or(&Value::Null), &ty)))))
}
