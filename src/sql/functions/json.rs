//! JSON: paths into it, its shape, making and merging it.

use std::ops::{Range, RangeInclusive};
use std::sync::Arc;

use super::{Function, lenient, strict, take, typed, want_args};
use crate::sql::bind::{Bound, Typed, error, error_with_help, implicit};
use crate::sql::eval::Node;
use crate::sql::json::path::Path;
use crate::sql::json::tree::{BYTES_MAX, Json};
use crate::sql::json::{self, Strictness, structure, to_json};
use crate::sql::parse::Parser;
use crate::sql::{CompileError, EvalError, Type, Value};

pub const TABLE: &[Function] = &[
    typed(&["json_extract", "json_extract_path"], "json_extract(json, path or list of paths)", |args, span| {
        at_paths(args, 2..=2, true, Type::Json, span, |found| found.map_or(Value::Null, |json| Value::text(json.to_string())))
    }),
    typed(&["json_extract_string", "json_extract_path_text"], "json_extract_string(json, path or list of paths)", |args, span| {
        at_paths(args, 2..=2, true, Type::Varchar, span, text_of)
    }),
    typed(&["json_value"], "json_value(json, path or list of paths)", |args, span| {
        at_paths(args, 2..=2, true, Type::Varchar, span, |found| match found {
            None | Some(Json::Object(_) | Json::Array(_) | Json::Null) => Value::Null,
            Some(json) => Value::text(json.to_string()),
        })
    }),
    typed(&["json_exists"], "json_exists(json, path or list of paths)", |args, span| {
        at_paths(args, 2..=2, false, Type::Boolean, span, |found| Value::Bool(found.is_some()))
    }),
    typed(&["json_array_length"], "json_array_length(json [, path or list of paths])", |args, span| {
        at_paths(args, 1..=2, false, Type::UBigInt, span, |found| found.map_or(Value::Null, |json| Value::Int(json.items().len() as i128)))
    }),
    typed(&["json_type"], "json_type(json [, path or list of paths])", |args, span| {
        at_paths(args, 1..=2, false, Type::Varchar, span, |found| found.map_or(Value::Null, |json| Value::text(json.kind())))
    }),
    typed(&["json_keys"], "json_keys(json [, path or list of paths])", |args, span| {
        at_paths(args, 1..=2, false, Type::List(Box::new(Type::Varchar)), span, |found| match found {
            None => Value::Null,
            Some(Json::Object(entries)) => Value::List(Arc::new(entries.iter().map(|(key, _)| Value::text(key)).collect())),
            Some(_) => Value::List(Arc::default()),
        })
    }),
    typed(&["json"], "json(JSON text)", |args, span| of_json(args, Type::Json, span, |json| json.to_string())),
    typed(&["json_pretty"], "json_pretty(json)", |args, span| {
        of_json(args, Type::Varchar, span, |json| {
            let mut out = String::new();
            json.write_pretty(&mut out, 0);
            out
        })
    }),
    typed(&["json_structure"], "json_structure(json)", |args, span| {
        of_json(args, Type::Json, span, |json| structure::structure(json).to_string())
    }),
    typed(&["json_valid"], "json_valid(VARCHAR)", valid),
    typed(&["json_contains"], "json_contains(json, json)", contains),
    typed(&["json_merge_patch"], "json_merge_patch(json, patch, …)", merge_patch),
    typed(&["json_transform", "from_json"], "json_transform(json, structure)", |args, span| transform(args, span, json::LENIENT)),
    typed(&["json_transform_strict", "from_json_strict"], "json_transform_strict(json, structure)", |args, span| {
        transform(args, span, Strictness { casts: true, unknown_keys: false })
    }),
    typed(&["to_json", "json_quote"], "to_json(any)", |args, span| made(args, span, |_| true, "anything")),
    typed(&["array_to_json"], "array_to_json(list)", |args, span| made(args, span, |ty| matches!(ty, Type::List(_)), "a list")),
    typed(&["row_to_json"], "row_to_json(struct)", |args, span| made(args, span, |ty| matches!(ty, Type::Struct(_)), "a struct")),
    typed(&["json_array"], "json_array(any, …)", array),
    typed(&["json_object"], "json_object(name, any, …)", object),
];

fn want_json(of: &Typed) -> Result<(), CompileError> {
    if matches!(of.ty, Type::Json | Type::Varchar | Type::Null) {
        return Ok(());
    }
    Err(error(format!("JSON is wanted here, this is {}", of.shown()), &of.span))
}

fn parsed(value: Option<&Value>) -> Result<Json<'_>, EvalError> {
    Json::parse(value.and_then(Value::as_text).unwrap_or_default())
}

fn bad_path(path: &str) -> String {
    format!("the JSON path '{path}' cannot be read")
}

/// What one path, each of a list of paths, or a path with wildcards finds, in a list unless it is one path.
/// `run` sees what is found; a path with wildcards skips what it does not find.
fn at_paths(
    args: Vec<Typed>,
    count: RangeInclusive<usize>,
    by_index: bool,
    ty: Type,
    span: &Range<usize>,
    run: fn(Option<&Json>) -> Value,
) -> Bound {
    want_args(&args, count, span)?;
    let mut args = args.into_iter();
    let of = take(&mut args, span)?;
    want_json(&of)?;
    let Some(path) = args.next() else {
        return Ok(strict(vec![of], ty, span, move |args| Ok(run(Some(&parsed(args.first())?)))));
    };
    let list = Type::List(Box::new(ty.clone()));
    if let Type::List(inner) = &path.ty
        && matches!(**inner, Type::Varchar | Type::Null)
    {
        let Node::Const(Value::List(texts)) = &path.node else {
            return Err(error("the list of paths must be a constant", &path.span));
        };
        let mut paths = Vec::with_capacity(texts.len());
        for text in texts.iter() {
            let text = text.as_text().ok_or_else(|| error("a JSON path cannot be NULL", &path.span))?;
            let path = Path::parse(text, true).filter(|path| !path.is_wildcard());
            paths.push(path.ok_or_else(|| error_with_help(bad_path(text), "a path in a list has no wildcards", span))?);
        }
        return Ok(strict(vec![of], list, span, move |args| {
            let json = parsed(args.first())?;
            Ok(Value::List(Arc::new(paths.iter().map(|path| run(path.one(&json))).collect())))
        }));
    }
    if path.ty.is_integer() {
        if !by_index {
            return Err(error("the JSON path must be VARCHAR", &path.span));
        }
        let path = implicit(path, &Type::BigInt, "an index")?;
        return Ok(strict(vec![of, path], ty, span, move |args| {
            let index = args.get(1).and_then(Value::as_int).unwrap_or_default();
            Ok(run(Path::index(index).one(&parsed(args.first())?)))
        }));
    }
    let path = implicit(path, &Type::Varchar, "a JSON path")?;
    if let Some(text) = path.constant_text() {
        let parsed_path = Path::parse(text, true).ok_or_else(|| error(bad_path(text), &path.span))?;
        if parsed_path.is_wildcard() {
            return Ok(strict(vec![of], list, span, move |args| {
                let json = parsed(args.first())?;
                let found = parsed_path.all(&json).ok_or_else(|| EvalError("the JSON path finds too much".into()))?;
                Ok(Value::List(Arc::new(found.into_iter().map(|found| run(Some(found))).collect())))
            }));
        }
        return Ok(strict(vec![of], ty, span, move |args| Ok(run(parsed_path.one(&parsed(args.first())?)))));
    }
    Ok(strict(vec![of, path], ty, span, move |args| {
        let text = args.get(1).and_then(Value::as_text).unwrap_or_default();
        let path = Path::parse(text, false).ok_or_else(|| EvalError(bad_path(text)))?;
        if path.is_wildcard() {
            return Err(EvalError(format!("the JSON path '{text}' has wildcards, which only a constant path may have")));
        }
        Ok(run(path.one(&parsed(args.first())?)))
    }))
}

fn text_of(found: Option<&Json>) -> Value {
    match found {
        None | Some(Json::Null) => Value::Null,
        Some(Json::Text(text)) => Value::text(text),
        Some(json) => Value::text(json.to_string()),
    }
}

/// A function of one JSON argument that gives text.
fn of_json(args: Vec<Typed>, ty: Type, span: &Range<usize>, run: fn(&Json) -> String) -> Bound {
    want_args(&args, 1..=1, span)?;
    args.iter().try_for_each(want_json)?;
    Ok(strict(args, ty, span, move |args| {
        let text = run(&parsed(args.first())?);
        if text.len() > BYTES_MAX {
            return Err(EvalError("the text would be too long".into()));
        }
        Ok(Value::text(text))
    }))
}

fn valid(args: Vec<Typed>, span: &Range<usize>) -> Bound {
    want_args(&args, 1..=1, span)?;
    args.iter().try_for_each(want_json)?;
    Ok(strict(args, Type::Boolean, span, |args| Ok(Value::Bool(parsed(args.first()).is_ok()))))
}

fn contains(args: Vec<Typed>, span: &Range<usize>) -> Bound {
    want_args(&args, 2..=2, span)?;
    args.iter().try_for_each(want_json)?;
    Ok(strict(args, Type::Boolean, span, |args| Ok(Value::Bool(structure::contains(&parsed(args.first())?, &parsed(args.get(1))?)))))
}

/// A NULL patch makes NULL of all before it.
fn merge_patch(args: Vec<Typed>, span: &Range<usize>) -> Bound {
    want_args(&args, 2..=usize::MAX, span)?;
    args.iter().try_for_each(want_json)?;
    Ok(lenient(args, Type::Json, span, |args| {
        let mut merged = None;
        for arg in args {
            merged = match (merged, arg) {
                (_, Value::Null) => None,
                (None, patch) => Some(parsed(Some(patch))?),
                (Some(of), patch) => Some(structure::merge_patch(of, parsed(Some(patch))?)),
            };
        }
        Ok(merged.map_or(Value::Null, |json| Value::text(json.to_string())))
    }))
}

/// The type that a structure describes: `{"a": "INTEGER", "b": ["VARCHAR"]}`.
fn described(json: &Json) -> Result<Type, String> {
    match json {
        Json::Text(name) => {
            let parsed = Parser::new(name).and_then(|mut parser| parser.data_type().and_then(|ty| parser.end().map(|()| ty)));
            parsed.map_err(|e| e.message)
        }
        Json::Array(items) => match items.as_slice() {
            [one] => Ok(Type::List(Box::new(described(one)?))),
            _ => Err("an array in a structure has one element, the type of all".into()),
        },
        Json::Object(entries) if !entries.is_empty() => {
            let mut fields: Vec<(String, Type)> = Vec::with_capacity(entries.len());
            for (name, ty) in entries {
                if fields.iter().any(|(n, _)| n == name) {
                    return Err(format!("the structure has the key \"{name}\" twice"));
                }
                fields.push((name.to_string(), described(ty)?));
            }
            Ok(Type::Struct(fields))
        }
        _ => Err("a structure is made of objects, arrays and names of types".into()),
    }
}

fn transform(args: Vec<Typed>, span: &Range<usize>, strictness: Strictness) -> Bound {
    want_args(&args, 2..=2, span)?;
    let mut args = args.into_iter();
    let (of, structure) = (take(&mut args, span)?, take(&mut args, span)?);
    want_json(&of)?;
    want_json(&structure)?;
    let ty = match &structure.node {
        _ if of.ty == Type::Null => Type::Null,
        Node::Const(Value::Null) => Type::Null,
        Node::Const(Value::Text(text)) => {
            let json = Json::parse(text).map_err(|e| error(e.0, &structure.span))?;
            described(&json).map_err(|message| error(message, &structure.span))?
        }
        _ => return Err(error("the structure must be a constant", &structure.span)),
    };
    let to = ty.clone();
    Ok(strict(vec![of], ty, span, move |args| {
        if to == Type::Null {
            return Ok(Value::Null);
        }
        json::convert(&parsed(args.first())?, &to, strictness)
    }))
}

fn made(args: Vec<Typed>, span: &Range<usize>, takes: fn(&Type) -> bool, what: &str) -> Bound {
    want_args(&args, 1..=1, span)?;
    let ty = args[0].ty.clone();
    if !takes(&ty) {
        return Err(error(format!("{what} is wanted here, this is {}", args[0].shown()), &args[0].span));
    }
    Ok(strict(args, Type::Json, span, move |args| Ok(Value::text(to_json(args.first().unwrap_or(&Value::Null), &ty)))))
}

fn array(args: Vec<Typed>, span: &Range<usize>) -> Bound {
    let types: Vec<Type> = args.iter().map(|arg| arg.ty.clone()).collect();
    Ok(lenient(args, Type::Json, span, move |args| {
        let items: Vec<String> = args.iter().zip(&types).map(|(value, ty)| to_json(value, ty)).collect();
        Ok(Value::text(format!("[{}]", items.join(","))))
    }))
}

fn object(args: Vec<Typed>, span: &Range<usize>) -> Bound {
    if args.len() % 2 == 1 {
        return Err(error("this takes pairs of a key and a value", span));
    }
    if let Some(key) = args.iter().step_by(2).find(|key| key.ty != Type::Varchar) {
        return Err(error_with_help(format!("a key must be VARCHAR, this is {}", key.shown()), "cast it: `::VARCHAR`", &key.span));
    }
    let types: Vec<Type> = args.iter().map(|arg| arg.ty.clone()).collect();
    Ok(lenient(args, Type::Json, span, move |args| {
        let mut out = String::from("{");
        for (i, (value, ty)) in args.iter().zip(&types).enumerate() {
            match i {
                i if i % 2 == 1 => out.push(':'),
                0 => {}
                _ => out.push(','),
            }
            if i % 2 == 0 && value.is_null() {
                return Err(EvalError("a JSON key cannot be NULL".into()));
            }
            out.push_str(&to_json(value, ty));
        }
        out.push('}');
        Ok(Value::text(out))
    }))
}
