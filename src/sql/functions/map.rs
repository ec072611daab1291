//! Maps: literals, element access, and the two updates that are foldline's own, `map_put` and `map_remove`.

use std::ops::Range;
use std::sync::Arc;

use super::{Function, lenient, strict, take, typed, want_args};
use crate::sql::bind::{Bound, Typed, assign, error};
use crate::sql::coerce::{self, Source};
use crate::sql::eval::{Node, Update, map_of};
use crate::sql::{MapEntries, Type, Value, cast};

pub const TABLE: &[Function] = &[
    typed(&["map"], "map(keys, values) of two lists", map),
    typed(&["map_put"], "map_put(map, key, value)", put),
    typed(&["map_remove"], "map_remove(map, key)", remove),
    typed(&["map_keys"], "map_keys(map)", keys),
    typed(&["map_values"], "map_values(map)", values),
    typed(&["map_entries"], "map_entries(map)", entries),
    typed(&["map_contains"], "map_contains(map, key)", contains),
    typed(&["map_contains_value"], "map_contains_value(map, value)", contains_value),
    typed(&["map_contains_entry"], "map_contains_entry(map, key, value)", contains_entry),
    typed(&["map_extract", "element_at"], "map_extract(map, key)", extract),
    typed(&["map_extract_value"], "map_extract_value(map, key)", |args, span| {
        want_args(&args, 2..=2, span)?;
        let mut args = args.into_iter();
        extract_value(take(&mut args, span)?, take(&mut args, span)?, span.clone())
    }),
    typed(&["cardinality"], "cardinality(map)", cardinality),
    typed(&["map_concat"], "map_concat(map, …)", concat),
    typed(&["map_from_entries"], "map_from_entries(list of structs)", from_entries),
];

fn map_types(typed: &Typed) -> Result<(Type, Type), crate::sql::CompileError> {
    match &typed.ty {
        Type::Map(key, value) => Ok(((**key).clone(), (**value).clone())),
        Type::Null => Ok((Type::Null, Type::Null)),
        _ => Err(error(format!("a MAP is wanted here, this is {}", typed.shown()), &typed.span)),
    }
}

fn map_type(key: Type, value: Type) -> Type {
    Type::Map(Box::new(key), Box::new(value))
}

/// A map from a list of keys and one of values.
pub fn from_lists(keys: Typed, values: Typed, span: Range<usize>) -> Bound {
    let inner = |typed: &Typed| match &typed.ty {
        Type::List(inner) => Ok((**inner).clone()),
        Type::Null => Ok(Type::Null),
        _ => Err(error(format!("a list is wanted here, this is {}", typed.shown()), &typed.span)),
    };
    let ty = map_type(inner(&keys)?, inner(&values)?);
    Ok(strict(vec![keys, values], ty, &span, |args| {
        let (Some(Value::List(keys)), Some(Value::List(values))) = (args.first(), args.get(1)) else { return Ok(Value::Null) };
        if keys.len() != values.len() {
            return Err(crate::sql::EvalError("a map wants as many keys as values".into()));
        }
        map_of(keys.iter().cloned().zip(values.iter().cloned()))
    }))
}

fn map(args: Vec<Typed>, span: &Range<usize>) -> Bound {
    if args.is_empty() {
        let empty = Typed::new(Node::List(Vec::new()), Type::List(Box::new(Type::Null)), span.clone());
        return from_lists(empty.clone(), empty, span.clone());
    }
    want_args(&args, 2..=2, span)?;
    let mut args = args.into_iter();
    from_lists(take(&mut args, span)?, take(&mut args, span)?, span.clone())
}

/// The map with the key's value replaced or added. The map's own types stay: key and value are converted to
/// them as INSERT converts, so that the map can be changed in place.
fn put(args: Vec<Typed>, span: &Range<usize>) -> Bound {
    want_args(&args, 3..=3, span)?;
    let mut args = args.into_iter();
    let (map, key, value) = (take(&mut args, span)?, take(&mut args, span)?, take(&mut args, span)?);
    let (mut key_ty, mut value_ty) = map_types(&map)?;
    if key_ty == Type::Null {
        key_ty = key.ty.clone();
    }
    if value_ty == Type::Null {
        value_ty = value.ty.clone();
    }
    let ty = map_type(key_ty.clone(), value_ty.clone());
    let args = vec![map.cast(&ty).node, assign(key, &key_ty)?.node, assign(value, &value_ty)?.node];
    Ok(Typed::new(Node::Update { update: Update::MapPut, args }, ty, span.clone()))
}

fn remove(args: Vec<Typed>, span: &Range<usize>) -> Bound {
    want_args(&args, 2..=2, span)?;
    let mut args = args.into_iter();
    let (map, key) = (take(&mut args, span)?, take(&mut args, span)?);
    let (key_ty, _) = map_types(&map)?;
    let key = if key_ty == Type::Null { key } else { assign(key, &key_ty)? };
    let ty = map.ty.clone();
    Ok(Typed::new(Node::Update { update: Update::MapRemove, args: vec![map.node, key.node] }, ty, span.clone()))
}

fn parts(args: Vec<Typed>, span: &Range<usize>, keys: bool) -> Bound {
    want_args(&args, 1..=1, span)?;
    let (key_ty, value_ty) = map_types(&args[0])?;
    let ty = Type::List(Box::new(if keys { key_ty } else { value_ty }));
    Ok(strict(args, ty, span, move |args| {
        let Some(Value::Map(entries)) = args.first() else { return Ok(Value::Null) };
        let items = if keys { entries.keys().cloned().collect() } else { entries.values().cloned().collect() };
        Ok(Value::List(Arc::new(items)))
    }))
}

fn keys(args: Vec<Typed>, span: &Range<usize>) -> Bound {
    parts(args, span, true)
}

fn values(args: Vec<Typed>, span: &Range<usize>) -> Bound {
    parts(args, span, false)
}

fn entries(args: Vec<Typed>, span: &Range<usize>) -> Bound {
    want_args(&args, 1..=1, span)?;
    let (key_ty, value_ty) = map_types(&args[0])?;
    let ty = Type::List(Box::new(Type::Struct(vec![("key".into(), key_ty), ("value".into(), value_ty)])));
    Ok(strict(args, ty, span, |args| {
        let Some(Value::Map(entries)) = args.first() else { return Ok(Value::Null) };
        let items = entries.iter().map(|(k, v)| Value::Struct(Arc::new(vec![k.clone(), v.clone()]))).collect();
        Ok(Value::List(Arc::new(items)))
    }))
}

/// Map and key in types that can be looked up in each other.
fn lookup(map: Typed, key: Typed) -> Result<(Typed, Typed, Type), crate::sql::CompileError> {
    let (key_ty, value_ty) = map_types(&map)?;
    let met = coerce::max_type(Source::of(&key_ty), key.source()).filter(|met| cast::castable(&key.ty, met));
    let Some(met) = met else {
        return Err(error(format!("the map's keys are {key_ty}, this is {}", key.shown()), &key.span));
    };
    let map_ty = map_type(met.clone(), value_ty.clone());
    Ok((map.cast(&map_ty), key.cast(&met), value_ty))
}

/// `m[k]`: the value, NULL where there is none.
pub fn extract_value(map: Typed, key: Typed, span: Range<usize>) -> Bound {
    // A map that is empty by its type is not looked into.
    if let (Type::Map(key_ty, value_ty), Node::Const(_)) = (&map.ty, &map.node)
        && **key_ty == Type::Null
    {
        let value_ty = (**value_ty).clone();
        return Ok(lenient(vec![key], value_ty, &span, |_| Ok(Value::Null)));
    }
    let (map, key, value_ty) = lookup(map, key)?;
    let node = Node::MapValue { map: Box::new(map.node), key: Box::new(key.node) };
    Ok(Typed::new(node, value_ty, span))
}

/// The value in a list, an empty list where there is none.
fn extract(args: Vec<Typed>, span: &Range<usize>) -> Bound {
    want_args(&args, 2..=2, span)?;
    let mut args = args.into_iter();
    let (map, key, value_ty) = lookup(take(&mut args, span)?, take(&mut args, span)?)?;
    Ok(lenient(vec![map, key], Type::List(Box::new(value_ty)), span, |args| {
        let found = match (args.first(), args.get(1)) {
            (Some(Value::Map(entries)), Some(key)) => entries.get(key).cloned(),
            _ => return Ok(Value::Null),
        };
        Ok(Value::List(Arc::new(found.into_iter().collect())))
    }))
}

fn contains(args: Vec<Typed>, span: &Range<usize>) -> Bound {
    want_args(&args, 2..=2, span)?;
    let mut args = args.into_iter();
    let (map, key, _) = lookup(take(&mut args, span)?, take(&mut args, span)?)?;
    Ok(strict(vec![map, key], Type::Boolean, span, |args| match (args.first(), args.get(1)) {
        (Some(Value::Map(entries)), Some(key)) => Ok(Value::Bool(entries.contains_key(key))),
        _ => Ok(Value::Null),
    }))
}

/// The map's values as a list, the map of which stays the first argument.
fn contains_value(args: Vec<Typed>, span: &Range<usize>) -> Bound {
    want_args(&args, 2..=2, span)?;
    let mut args = args.into_iter();
    let values = parts(vec![take(&mut args, span)?], span, false)?;
    super::call_bound("list_contains", vec![values, take(&mut args, span)?], span)
}

fn contains_entry(args: Vec<Typed>, span: &Range<usize>) -> Bound {
    want_args(&args, 3..=3, span)?;
    let mut args = args.into_iter();
    let (map, key, value) = (take(&mut args, span)?, take(&mut args, span)?, take(&mut args, span)?);
    if map.ty == Type::Null {
        return Ok(super::null(Type::Boolean, span));
    }
    let found = extract_value(map, key, span.clone())?;
    let (found, value, _) = crate::sql::bind::compared(found, value, true, span)?;
    Ok(crate::sql::bind::comparison(crate::sql::compare::Comparison::Equal, found, value, span))
}

fn cardinality(args: Vec<Typed>, span: &Range<usize>) -> Bound {
    want_args(&args, 1..=1, span)?;
    map_types(&args[0])?;
    Ok(strict(args, Type::UBigInt, span, |args| match args.first() {
        Some(Value::Map(entries)) => Ok(Value::Int(entries.len() as i128)),
        _ => Ok(Value::Null),
    }))
}

/// Later maps win; NULL maps are passed over.
fn concat(args: Vec<Typed>, span: &Range<usize>) -> Bound {
    want_args(&args, 1..=usize::MAX, span)?;
    for arg in &args {
        map_types(arg)?;
    }
    // DuckDB wants one type of all maps.
    let mut typed = args.iter().filter(|arg| arg.ty != Type::Null && arg.ty != map_type(Type::Null, Type::Null));
    let ty = typed.next().or(args.first()).map_or(Type::Null, |arg| arg.ty.clone());
    if let Some(other) = typed.find(|arg| arg.ty != ty) {
        return Err(crate::sql::bind::error_with_help(format!("map_concat mixes {ty} and {}", other.ty), "cast one of them", &other.span));
    }
    let args = args.into_iter().map(|arg| arg.cast(&ty)).collect();
    Ok(lenient(args, ty, span, |args| {
        let mut out: Option<MapEntries> = None;
        for arg in args {
            if let Value::Map(entries) = arg {
                let out = out.get_or_insert_with(MapEntries::default);
                out.extend(entries.iter().map(|(k, v)| (k.clone(), v.clone())));
            }
        }
        Ok(out.map_or(Value::Null, |entries| Value::Map(Arc::new(entries))))
    }))
}

fn from_entries(args: Vec<Typed>, span: &Range<usize>) -> Bound {
    want_args(&args, 1..=1, span)?;
    if args[0].ty == Type::Null {
        return Ok(super::null(Type::Null, span));
    }
    let Type::List(inner) = &args[0].ty else { return Err(error("map_from_entries wants a list of structs", &args[0].span)) };
    let ty = match &**inner {
        Type::Struct(fields) if fields.len() == 2 => map_type(fields[0].1.clone(), fields[1].1.clone()),
        _ => return Err(error("map_from_entries wants a list of structs of two fields", &args[0].span)),
    };
    Ok(strict(args, ty, span, |args| {
        let Some(Value::List(items)) = args.first() else { return Ok(Value::Null) };
        // A NULL entry has a NULL key, which is refused.
        map_of(items.iter().map(|item| match item {
            Value::Struct(pair) => (pair.first().cloned().unwrap_or_default(), pair.get(1).cloned().unwrap_or_default()),
            _ => Default::default(),
        }))
    }))
}
