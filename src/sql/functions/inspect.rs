//! Types as values, casts by example, errors on purpose.

use std::ops::Range;

use super::text::text;
use super::{Function, Overload, lenient, null, plain, take, typed, want_args};
use crate::sql::bind::{Bound, Typed, error};
use crate::sql::coerce::{self, Source};
use crate::sql::eval::Node;
use crate::sql::{EvalError, Type, Value, cast, keywords};

pub const TABLE: &[Function] = &[
    typed(&["typeof"], "typeof(any)", |args, span| {
        want_args(&args, 1..=1, span)?;
        let name = args.first().map(|arg| type_name(&arg.ty)).unwrap_or_default();
        Ok(Typed::new(Node::Const(Value::text(name)), Type::Varchar, span.clone()))
    }),
    typed(&["pg_typeof"], "pg_typeof(any)", |args, span| {
        want_args(&args, 1..=1, span)?;
        let name = args.first().map(|arg| type_name(&arg.ty)).unwrap_or_default().to_lowercase();
        Ok(Typed::new(Node::Const(Value::text(name)), Type::Varchar, span.clone()))
    }),
    typed(&["can_cast_implicitly"], "can_cast_implicitly(from, to)", |args, span| {
        want_args(&args, 2..=2, span)?;
        let mut args = args.into_iter();
        let (from, to) = (take(&mut args, span)?, take(&mut args, span)?);
        let can = to.ty == Type::Json || coerce::cast_cost(Source::of(&from.ty), &to.ty).is_some();
        Ok(Typed::new(Node::Const(Value::Bool(can)), Type::Boolean, span.clone()))
    }),
    typed(&["cast_to_type"], "cast_to_type(any, value of the type)", |args, span| {
        want_args(&args, 2..=2, span)?;
        let mut args = args.into_iter();
        let (of, to) = (take(&mut args, span)?, take(&mut args, span)?.ty);
        if to == Type::Null {
            return Err(error("a value's type is wanted here, NULL has none", span));
        }
        if matches!(of.node, Node::Const(Value::Null)) {
            return Ok(null(to, span));
        }
        if !cast::castable(&of.ty, &to) {
            return Err(error(format!("there is no cast from {} to {to}", of.shown()), span));
        }
        Ok(Typed { literal: false, ..of.cast(&to) })
    }),
    typed(&["constant_or_null"], "constant_or_null(constant, any, …)", constant_or_null),
    plain(&["error"], "error(VARCHAR)", &[overload!(&[Type::Varchar], Type::Null, |a| Err(EvalError(text(a, 0).to_string())))]),
];

/// The first argument, a constant, unless one of the others is NULL.
fn constant_or_null(args: Vec<Typed>, span: &Range<usize>) -> Bound {
    want_args(&args, 2..=usize::MAX, span)?;
    let Some(first) = args.first() else { return Err(error("an argument is missing", span)) };
    if !matches!(first.node, Node::Const(_)) {
        return Err(error("the first argument must be a constant", &first.span));
    }
    if args.iter().any(|arg| matches!(arg.node, Node::Const(Value::Null))) {
        return Ok(null(Type::Null, span));
    }
    let ty = first.ty.clone();
    Ok(lenient(args, ty, span, |args| match args.split_first() {
        Some((first, others)) if !others.iter().any(Value::is_null) => Ok(first.clone()),
        _ => Ok(Value::Null),
    }))
}

/// The type's name as DuckDB prints it: fields in quotes only where they need them.
fn type_name(ty: &Type) -> String {
    match ty {
        Type::List(inner) => format!("{}[]", type_name(inner)),
        Type::Map(key, value) => format!("MAP({}, {})", type_name(key), type_name(value)),
        Type::Struct(fields) => {
            let fields: Vec<String> = fields.iter().map(|(name, ty)| format!("{} {}", field_name(name), type_name(ty))).collect();
            format!("STRUCT({})", fields.join(", "))
        }
        ty => ty.to_string(),
    }
}

fn field_name(name: &str) -> String {
    let plain = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
        && !keywords::is_keyword(&name.to_ascii_lowercase());
    if plain { name.to_string() } else { format!("\"{}\"", name.replace('"', "\"\"")) }
}
