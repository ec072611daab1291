//! Parts of file paths: text only, no file is looked at.

use std::sync::Arc;

use super::text::text;
use super::{Function, Overload, plain};
use crate::sql::eval::Outcome;
use crate::sql::{Type, Value};

const V: Type = Type::Varchar;
const B: Type = Type::Boolean;

/// An overload that sees NULL: a NULL separator is the default one.
macro_rules! nullable {
    ($params:expr, $result:expr, $run:expr) => {
        Overload { params: $params, rest: None, result: $result, run: $run, strict: false }
    };
}

pub const TABLE: &[Function] = &[
    plain(
        &["parse_dirname"],
        "parse_dirname(VARCHAR [, separator])",
        &[nullable!(&[V], V, |a| part(a, a.get(1), dirname)), nullable!(&[V, V], V, |a| part(a, a.get(1), dirname))],
    ),
    plain(
        &["parse_dirpath"],
        "parse_dirpath(VARCHAR [, separator])",
        &[nullable!(&[V], V, |a| part(a, a.get(1), dirpath)), nullable!(&[V, V], V, |a| part(a, a.get(1), dirpath))],
    ),
    plain(
        &["parse_filename"],
        "parse_filename(VARCHAR [, without extension] [, separator])",
        &[
            nullable!(&[V], V, |a| part(a, None, filename)),
            nullable!(&[V, V], V, |a| part(a, a.get(1), filename)),
            nullable!(&[V, B], V, |a| part(a, None, if is_true(a.get(1)) { stem } else { filename })),
            nullable!(&[V, B, V], V, |a| part(a, a.get(2), if is_true(a.get(1)) { stem } else { filename })),
        ],
    ),
    super::typed(&["parse_path"], "parse_path(VARCHAR [, separator])", |args, span| {
        super::want_args(&args, 1..=2, span)?;
        let args = args.into_iter().map(|arg| crate::sql::bind::implicit(arg, &V, "the argument")).collect::<Result<Vec<_>, _>>()?;
        Ok(super::lenient(args, Type::List(Box::new(V)), span, |args| match args.first() {
            Some(Value::Text(path)) => Ok(Value::List(Arc::new(parts(path, separators(args.get(1)))))),
            _ => Ok(Value::Null),
        }))
    }),
];

fn is_true(value: Option<&Value>) -> bool {
    value.and_then(Value::as_bool).unwrap_or(false)
}

fn part(args: &[Value], separator: Option<&Value>, of: for<'p> fn(&'p str, &[char]) -> &'p str) -> Outcome {
    if !matches!(args.first(), Some(Value::Text(_))) {
        return Ok(Value::Null);
    }
    Ok(Value::text(of(text(args, 0), separators(separator))))
}

/// What separates the parts, by its name; a rebuild must not depend on the system, so `system` means `/`.
fn separators(option: Option<&Value>) -> &'static [char] {
    match option.and_then(Value::as_text) {
        Some("system" | "forward_slash") => &['/'],
        Some("backslash") => &['\\'],
        _ => &['/', '\\'],
    }
}

/// The first part; of an absolute path the separator.
fn dirname<'p>(path: &'p str, separators: &[char]) -> &'p str {
    match path.find(separators) {
        Some(0) => &path[..1],
        Some(at) => &path[..at],
        None => "",
    }
}

/// What stands before the last separator.
fn dirpath<'p>(path: &'p str, separators: &[char]) -> &'p str {
    match path.rfind(separators) {
        Some(0) if path.len() == 1 => path,
        Some(at) => &path[..at],
        None => "",
    }
}

/// What stands behind the last separator.
fn filename<'p>(path: &'p str, separators: &[char]) -> &'p str {
    path.rfind(separators).map_or(path, |at| &path[at + 1..])
}

/// The file's name without the last extension.
fn stem<'p>(path: &'p str, separators: &[char]) -> &'p str {
    let name = filename(path, separators);
    name.rfind('.').map_or(name, |at| &name[..at])
}

/// All parts, empty ones left out; a separator at the very beginning is a part.
fn parts(path: &str, separators: &[char]) -> Vec<Value> {
    let root = path.starts_with(separators).then(|| &path[..1]);
    root.into_iter().chain(path.split(separators).filter(|part| !part.is_empty())).map(Value::text).collect()
}
