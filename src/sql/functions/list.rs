//! Lists: building, looking into, lambdas.

use std::ops::Range;
use std::sync::Arc;

use super::{Call, Function, lenient, strict, take, typed, want_args, written};
use crate::sql::ast::{Ast, Kind};
use crate::sql::bind::{Binder, Bound, Typed, common_type, error, error_with_help, implicit, list};
use crate::sql::coerce::{self, Source};
use crate::sql::compare::{self, By};
use crate::sql::eval::{Each, Node, Update};
use crate::sql::{CompileError, EvalError, Type, Value, cast};

pub const TABLE: &[Function] = &[
    typed(&["list_value", "list_pack"], "list_value(any, …)", |args, span| list(args, span.clone())),
    typed(&["list_append", "array_append", "array_push_back"], "list_append(list, element)", append),
    typed(&["list_prepend", "array_prepend"], "list_prepend(element, list)", prepend),
    typed(&["list_concat", "list_cat", "array_concat", "array_cat"], "list_concat(list, …)", concat),
    typed(&["list_contains", "array_contains", "list_has", "array_has"], "list_contains(list, element)", contains_element),
    typed(&["contains"], "contains(text, part), contains(list, element) or contains(map, key)", contains),
    typed(&["list_position", "list_indexof", "array_position", "array_indexof"], "list_position(list, element)", position),
    typed(&["list_extract", "list_element", "array_extract"], "list_extract(list, index)", |args, span| {
        want_args(&args, 2..=2, span)?;
        let mut args = args.into_iter();
        element(take(&mut args, span)?, take(&mut args, span)?, span.clone())
    }),
    typed(&["list_slice", "array_slice"], "list_slice(list, from, to)", |args, span| {
        want_args(&args, 3..=3, span)?;
        let mut args = args.into_iter();
        let (of, low, high) = (take(&mut args, span)?, take(&mut args, span)?, take(&mut args, span)?);
        let low = implicit(low, &Type::BigInt, "a slice's bound")?;
        let high = implicit(high, &Type::BigInt, "a slice's bound")?;
        slice(of, low, high, (true, true), span.clone())
    }),
    typed(&["list_min", "array_min"], "list_min(list)", |args, span| extreme(args, span, false)),
    typed(&["list_max", "array_max"], "list_max(list)", |args, span| extreme(args, span, true)),
    typed(&["list_sum", "array_sum"], "list_sum(list of numbers)", sum),
    typed(&["list_avg", "array_avg"], "list_avg(list of numbers)", average),
    typed(&["list_count", "array_count"], "list_count(list)", count),
    typed(&["list_first", "array_first"], "list_first(list)", first),
    typed(&["list_last", "array_last"], "list_last(list)", last),
    typed(&["list_bool_and"], "list_bool_and(list of BOOLEAN)", |args, span| all_or_any(args, span, true)),
    typed(&["list_bool_or"], "list_bool_or(list of BOOLEAN)", |args, span| all_or_any(args, span, false)),
    typed(&["list_sort", "array_sort"], "list_sort(list [, 'ASC' | 'DESC' [, 'NULLS FIRST' | 'NULLS LAST']])", |args, span| {
        sort(args, span, false)
    }),
    typed(&["list_reverse_sort", "array_reverse_sort"], "list_reverse_sort(list)", |args, span| sort(args, span, true)),
    typed(&["list_reverse", "array_reverse"], "list_reverse(list)", reverse),
    typed(&["list_distinct", "array_distinct"], "list_distinct(list)", distinct),
    typed(&["list_unique", "array_unique"], "list_unique(list)", unique),
    typed(&["flatten"], "flatten(list of lists)", flatten),
    typed(&["len"], "len(text) or len(list)", length),
    typed(&["array_length"], "array_length(list)", length),
    typed(&["list_has_any", "array_has_any"], "list_has_any(list, list)", |args, span| overlap(args, span, false)),
    typed(&["list_has_all", "array_has_all"], "list_has_all(list, list)", |args, span| overlap(args, span, true)),
    typed(&["list_intersect", "array_intersect"], "list_intersect(list, list)", intersect),
    typed(&["range", "generate_series"], "range(to) or range(from, to [, step])", range),
    typed(&["list_resize", "array_resize"], "list_resize(list, length [, value])", resize),
    written(
        &["list_transform", "array_transform", "list_apply", "array_apply", "apply"],
        "list_transform(list, lambda x: …)",
        |binder, call| each(binder, call, Each::Transform),
    ),
    written(&["list_filter", "array_filter", "filter"], "list_filter(list, lambda x: …)", |binder, call| {
        each(binder, call, Each::Filter)
    }),
    written(&["list_reduce", "array_reduce", "reduce"], "list_reduce(list, lambda total, x: …)", |binder, call| {
        each(binder, call, Each::Reduce)
    }),
];

fn inner(typed: &Typed) -> Result<Type, CompileError> {
    match &typed.ty {
        Type::List(inner) => Ok((**inner).clone()),
        Type::Null => Ok(Type::Null),
        _ => Err(error(format!("a list is wanted here, this is {}", typed.shown()), &typed.span)),
    }
}

fn list_of(ty: Type) -> Type {
    Type::List(Box::new(ty))
}

/// List and element brought to types that meet.
fn with_element(of: Typed, item: Typed) -> Result<(Typed, Typed, Type), CompileError> {
    let own = inner(&of)?;
    let met = coerce::max_type(Source::of(&own), item.source()).ok_or_else(|| {
        error_with_help(format!("the list's elements are {own}, this is {}", item.shown()), "cast the element", &item.span)
    })?;
    Ok((of.cast(&list_of(met.clone())), item.cast(&met), met))
}

fn append(args: Vec<Typed>, span: &Range<usize>) -> Bound {
    want_args(&args, 2..=2, span)?;
    let mut args = args.into_iter();
    let (of, mut item) = (take(&mut args, span)?, take(&mut args, span)?);
    // DuckDB makes a list of the element first: a literal does not adapt to the list.
    item.literal = false;
    let (of, item, ty) = with_element(of, item)?;
    let node = Node::Update { update: Update::ListAppend, args: vec![of.node, item.node] };
    Ok(Typed::new(node, list_of(ty), span.clone()))
}

fn prepend(args: Vec<Typed>, span: &Range<usize>) -> Bound {
    want_args(&args, 2..=2, span)?;
    let mut args = args.into_iter();
    let (item, of) = (take(&mut args, span)?, take(&mut args, span)?);
    // The element comes first, in the fields of structs that meet, too.
    let own = inner(&of)?;
    let Some(ty) = coerce::max_type(Source::of(&item.ty), Source::of(&own)) else {
        return Err(error_with_help(format!("the list's elements are {own}, this is {}", item.shown()), "cast the element", &item.span));
    };
    let (of, item) = (of.cast(&list_of(ty.clone())), item.cast(&ty));
    Ok(lenient(vec![of, item], list_of(ty), span, |args| {
        let mut out = vec![args.get(1).cloned().unwrap_or_default()];
        if let Some(Value::List(items)) = args.first() {
            out.extend(items.iter().cloned());
        }
        Ok(Value::List(Arc::new(out)))
    }))
}

/// NULL lists are passed over; what is typed as NULL altogether is NULL.
pub fn concat(args: Vec<Typed>, span: &Range<usize>) -> Bound {
    want_args(&args, 1..=usize::MAX, span)?;
    for arg in &args {
        inner(arg)?;
    }
    let ty = common_type(args.iter(), "list_concat")?;
    let args = args.into_iter().map(|arg| arg.cast(&ty)).collect();
    Ok(lenient(args, ty, span, |args| {
        let mut out: Option<Vec<Value>> = None;
        for arg in args {
            if let Value::List(items) = arg {
                out.get_or_insert_with(Vec::new).extend(items.iter().cloned());
            }
        }
        Ok(Value::List(Arc::new(out.unwrap_or_default())))
    }))
}

/// `||`: NULL where a list is NULL.
pub fn concat_operator(args: Vec<Typed>, span: &Range<usize>) -> Bound {
    if args.iter().any(|arg| matches!(arg.node, Node::Const(Value::Null))) {
        return Ok(super::null(Type::Null, span));
    }
    let ty = common_type(args.iter(), "`||`")?;
    let args = args.into_iter().map(|arg| arg.cast(&ty)).collect();
    Ok(strict(args, ty, span, |args| Ok(Value::List(Arc::new(args.iter().filter_map(as_list).flatten().cloned().collect())))))
}

fn as_list(value: &Value) -> Option<&[Value]> {
    if let Value::List(items) = value { Some(items) } else { None }
}

fn contains_element(args: Vec<Typed>, span: &Range<usize>) -> Bound {
    want_args(&args, 2..=2, span)?;
    let mut args = args.into_iter();
    let (of, item, _) = with_element(take(&mut args, span)?, take(&mut args, span)?)?;
    Ok(strict(vec![of, item], Type::Boolean, span, |args| match (args.first(), args.get(1)) {
        (Some(Value::List(items)), Some(item)) => Ok(Value::Bool(items.iter().any(|x| compare::order(x, item).is_eq()))),
        _ => Ok(Value::Null),
    }))
}

/// By the first argument: text, list or map.
fn contains(args: Vec<Typed>, span: &Range<usize>) -> Bound {
    want_args(&args, 2..=2, span)?;
    match args[0].ty {
        Type::List(_) => contains_element(args, span),
        Type::Map(..) => super::call_bound("map_contains", args, span),
        _ => super::bind(&super::text::CONTAINS, "contains", args, span),
    }
}

fn position(args: Vec<Typed>, span: &Range<usize>) -> Bound {
    want_args(&args, 2..=2, span)?;
    let mut args = args.into_iter();
    let (of, item, _) = with_element(take(&mut args, span)?, take(&mut args, span)?)?;
    Ok(lenient(vec![of, item], Type::Integer, span, |args| match (args.first(), args.get(1)) {
        (Some(Value::List(items)), Some(item)) => {
            let found = items.iter().position(|x| compare::order(x, item).is_eq());
            Ok(found.map_or(Value::Null, |i| Value::Int(i as i128 + 1)))
        }
        _ => Ok(Value::Null),
    }))
}

/// Where an index points into `len` elements: from 1, negative from the end.
fn place(index: i128, len: usize) -> Option<usize> {
    let at = if index < 0 { len as i128 + index } else { index - 1 };
    usize::try_from(at).ok().filter(|at| index != 0 && *at < len)
}

/// `xs[i]` on a list or a text.
pub fn element(of: Typed, index: Typed, span: Range<usize>) -> Bound {
    let by_text = index.ty == Type::Varchar;
    if of.ty == Type::Null && by_text {
        return Ok(super::null(Type::Null, &span));
    }
    let index = implicit(index, &Type::BigInt, "an index")?;
    // DuckDB's types of what a NULL literal makes NULL.
    let null_literal = |typed: &Typed| matches!(typed.node, Node::Const(Value::Null));
    if of.ty == Type::Null {
        return Ok(Typed { literal: true, ..super::null(Type::Varchar, &span) });
    }
    if matches!(of.ty, Type::List(_)) && (null_literal(&of) || null_literal(&index)) {
        return Ok(super::null(Type::Null, &span));
    }
    match &of.ty {
        Type::List(inner) => {
            let ty = (**inner).clone();
            Ok(strict(vec![of, index], ty, &span, |args| match (args.first(), args.get(1)) {
                (Some(Value::List(items)), Some(Value::Int(i))) => {
                    Ok(place(*i, items.len()).and_then(|at| items.get(at)).cloned().unwrap_or_default())
                }
                _ => Ok(Value::Null),
            }))
        }
        Type::Varchar => Ok(strict(vec![of, index], Type::Varchar, &span, |args| match (args.first(), args.get(1)) {
            (Some(Value::Text(text)), Some(Value::Int(i))) => Ok(super::text::substring(text, *i, Some(1))),
            _ => Ok(Value::Null),
        })),
        Type::Null => Ok(super::null(Type::Null, &span)),
        _ => Err(error(format!("`[…]` looks into lists, maps, structs and text, not into {}", of.shown()), &span)),
    }
}

/// The bounds of a slice as a range of places; a bound left out is the end of the list.
fn slice_places(low: Option<i128>, high: Option<i128>, len: usize) -> Range<usize> {
    let len = len as i128;
    let low = match low {
        None => 0,
        Some(low) if low < 0 => (len + low).max(0),
        Some(low) => (low - 1).max(0),
    };
    let high = match high {
        None => len,
        Some(high) if high < 0 => len + high + 1,
        Some(high) => high.min(len),
    };
    if low >= high { 0..0 } else { low as usize..high as usize }
}

/// `xs[a:b]` on a list or a text; `given` tells which bounds are written.
pub fn slice(of: Typed, low: Typed, high: Typed, given: (bool, bool), span: Range<usize>) -> Bound {
    let of = if of.ty == Type::Json { of.cast(&Type::Varchar) } else { of };
    let ty = of.ty.clone();
    if !matches!(ty, Type::List(_) | Type::Varchar | Type::Blob | Type::Null) {
        return Err(error(format!("slices are taken from lists, text and blobs, not from {}", of.shown()), &span));
    }
    Ok(lenient(vec![of, low, high], ty, &span, move |args| {
        let bound = |i: usize, given: bool| match args.get(i) {
            Some(Value::Int(i)) => Some(Some(*i)),
            _ if given => None,
            _ => Some(None),
        };
        let (Some(low), Some(high)) = (bound(1, given.0), bound(2, given.1)) else { return Ok(Value::Null) };
        Ok(match args.first() {
            Some(Value::List(items)) => {
                let places = slice_places(low, high, items.len());
                Value::List(Arc::new(items.get(places).unwrap_or_default().to_vec()))
            }
            Some(Value::Blob(bytes)) => {
                let places = slice_places(low, high, bytes.len());
                Value::Blob(Arc::new(bytes.get(places).unwrap_or_default().to_vec()))
            }
            Some(Value::Text(text)) => {
                let places = slice_places(low, high, text.chars().count());
                Value::text(text.chars().skip(places.start).take(places.len()).collect::<String>())
            }
            _ => Value::Null,
        })
    }))
}

fn items(args: &[Value]) -> Option<&[Value]> {
    if let Some(Value::List(items)) = args.first() { Some(items) } else { None }
}

fn extreme(args: Vec<Typed>, span: &Range<usize>, greatest: bool) -> Bound {
    want_args(&args, 1..=1, span)?;
    let ty = inner(&args[0])?;
    let by = By::of(&ty);
    let nested = ty.is_nested();
    Ok(strict(args, ty, span, move |args| {
        let present = items(args).unwrap_or_default().iter().filter(|x| !x.is_null());
        let order = |a: &&Value, b: &&Value| if nested { compare::order_by_key(a, b) } else { by.order(a, b) };
        // Of equal ones the first.
        let found = if greatest { present.rev().max_by(order) } else { present.min_by(order) };
        let found = found.cloned().unwrap_or_default();
        Ok(if nested { compare::without_negative_zero(found) } else { found })
    }))
}

/// DuckDB's sum: of integers HUGEINT, of decimals DECIMAL(38, s), of floats DOUBLE.
fn sum(args: Vec<Typed>, span: &Range<usize>) -> Bound {
    want_args(&args, 1..=1, span)?;
    let own = inner(&args[0])?;
    let ty = match &own {
        Type::Decimal { scale, .. } => Type::Decimal { width: 38, scale: *scale },
        ty if ty.is_float() => Type::Double,
        ty if ty.is_integer() || *ty == Type::Boolean => Type::HugeInt,
        Type::Null => Type::HugeInt,
        _ => return Err(error(format!("list_sum wants numbers, these are {own}"), &args[0].span)),
    };
    let limit = if ty.is_decimal() { cast::power_of_ten(38) - 1 } else { i128::MAX };
    Ok(strict(args, ty, span, move |args| {
        let (mut whole, mut float, mut any) = (0i128, 0f64, None);
        for item in items(args).unwrap_or_default() {
            match item {
                Value::Int(i) => whole = whole.checked_add(*i).ok_or_else(|| EvalError("overflow in list_sum".into()))?,
                Value::Bool(b) => whole += *b as i128,
                Value::Double(x) => float += x,
                Value::Float(x) => float += *x as f64,
                _ => continue,
            }
            any = Some(matches!(item, Value::Double(_) | Value::Float(_)));
        }
        match any {
            None => Ok(Value::Null),
            Some(true) => Ok(Value::Double(float)),
            Some(false) if whole.abs() > limit => Err(EvalError("overflow in list_sum".into())),
            Some(false) => Ok(Value::Int(whole)),
        }
    }))
}

fn average(args: Vec<Typed>, span: &Range<usize>) -> Bound {
    want_args(&args, 1..=1, span)?;
    let own = inner(&args[0])?;
    if !own.is_numeric() && own != Type::Null {
        return Err(error(format!("list_avg wants numbers, these are {own}"), &args[0].span));
    }
    let scale = if let Type::Decimal { scale, .. } = own { scale } else { 0 };
    Ok(strict(args, Type::Double, span, move |args| {
        let (mut whole, mut float, mut count) = (0i128, 0f64, 0u64);
        for item in items(args).unwrap_or_default() {
            match item {
                Value::Int(i) => whole = whole.checked_add(*i).ok_or_else(|| EvalError("overflow in list_avg".into()))?,
                Value::Double(x) => float += x,
                Value::Float(x) => float += *x as f64,
                _ => continue,
            }
            count += 1;
        }
        if count == 0 {
            return Ok(Value::Null);
        }
        let total = float + whole as f64 / cast::power_of_ten(scale) as f64;
        Ok(Value::Double(total / count as f64))
    }))
}

fn count(args: Vec<Typed>, span: &Range<usize>) -> Bound {
    want_args(&args, 1..=1, span)?;
    inner(&args[0])?;
    Ok(strict(args, Type::BigInt, span, |args| {
        Ok(Value::Int(items(args).unwrap_or_default().iter().filter(|x| !x.is_null()).count() as i128))
    }))
}

fn first(args: Vec<Typed>, span: &Range<usize>) -> Bound {
    want_args(&args, 1..=1, span)?;
    let ty = inner(&args[0])?;
    Ok(strict(args, ty, span, |args| Ok(items(args).and_then(|x| x.first()).cloned().unwrap_or_default())))
}

fn last(args: Vec<Typed>, span: &Range<usize>) -> Bound {
    want_args(&args, 1..=1, span)?;
    let ty = inner(&args[0])?;
    Ok(strict(args, ty, span, |args| Ok(items(args).and_then(|x| x.last()).cloned().unwrap_or_default())))
}

fn all_or_any(args: Vec<Typed>, span: &Range<usize>, all: bool) -> Bound {
    want_args(&args, 1..=1, span)?;
    let mut args = args;
    let of = implicit(args.swap_remove(0), &list_of(Type::Boolean), "the argument")?;
    Ok(strict(vec![of], Type::Boolean, span, move |args| {
        let mut known = items(args).unwrap_or_default().iter().filter_map(Value::as_bool).peekable();
        if known.peek().is_none() {
            return Ok(Value::Null);
        }
        Ok(Value::Bool(if all { known.all(|b| b) } else { known.any(|b| b) }))
    }))
}

/// Ascending with NULLs first, unless the further arguments say otherwise.
fn sort(mut args: Vec<Typed>, span: &Range<usize>, reverse: bool) -> Bound {
    want_args(&args, 1..=3, span)?;
    let (mut descending, mut nulls_first) = (reverse, None);
    for (i, option) in args.drain(1..).enumerate() {
        let text = option.constant_text().map(str::to_ascii_uppercase);
        match (i, text.as_deref()) {
            (0, Some("ASC" | "ASCENDING")) if !reverse => descending = false,
            (0, Some("DESC" | "DESCENDING")) if !reverse => descending = true,
            (_, Some("NULLS FIRST")) => nulls_first = Some(true),
            (_, Some("NULLS LAST")) => nulls_first = Some(false),
            _ => return Err(error("the sort order must be a constant", &option.span)),
        }
    }
    let ty = inner(&args[0])?;
    if matches!(args[0].node, Node::Const(Value::Null)) {
        return Ok(super::null(Type::Null, span));
    }
    let by = By::of(&ty);
    let nulls_first = nulls_first.unwrap_or(false);
    Ok(strict(args, list_of(ty), span, move |args| {
        let (mut nulls, mut present): (Vec<Value>, Vec<Value>) = items(args).unwrap_or_default().iter().cloned().partition(Value::is_null);
        let order = |a: &Value, b: &Value| if by == By::Value { compare::order_by_key(a, b) } else { by.order(a, b) };
        present.sort_by(|a, b| if descending { order(b, a) } else { order(a, b) });
        if nulls_first {
            nulls.append(&mut present);
            return Ok(Value::List(Arc::new(nulls)));
        }
        present.append(&mut nulls);
        Ok(Value::List(Arc::new(present)))
    }))
}

fn reverse(args: Vec<Typed>, span: &Range<usize>) -> Bound {
    want_args(&args, 1..=1, span)?;
    if args[0].ty == Type::Null {
        return Ok(super::null(Type::Null, span));
    }
    let ty = inner(&args[0])?;
    Ok(strict(args, list_of(ty), span, |args| Ok(Value::List(Arc::new(items(args).unwrap_or_default().iter().rev().cloned().collect())))))
}

/// The elements, each once, in order of first appearance, without NULL, by what they are equal by here.
fn seen(args: &[Value]) -> indexmap::IndexMap<Value, Value, foldhash::fast::FixedState> {
    let mut out = indexmap::IndexMap::default();
    for item in items(args).unwrap_or_default().iter().filter(|x| !x.is_null()) {
        out.entry(by_parts(item)).or_insert_with(|| item.clone());
    }
    out
}

/// A day is not 24 hours where lists are looked through: intervals are equal by their parts.
fn by_parts(value: &Value) -> Value {
    match value {
        Value::Interval(i) => Value::List(Arc::new([i.months as i128, i.days as i128, i.micros as i128].map(Value::Int).to_vec())),
        Value::List(items) => Value::List(Arc::new(items.iter().map(by_parts).collect())),
        Value::Struct(items) => Value::Struct(Arc::new(items.iter().map(by_parts).collect())),
        other => other.clone(),
    }
}

fn is_nan(value: &Value) -> bool {
    matches!(value, Value::Double(x) if x.is_nan()) || matches!(value, Value::Float(x) if x.is_nan())
}

/// As [`seen`], but each NaN stays: DuckDB's list_distinct finds no two of them equal.
fn each_once(args: &[Value]) -> Vec<Value> {
    let nans = items(args).unwrap_or_default().iter().filter(|x| is_nan(x)).cloned();
    seen(args).into_values().filter(|x| !is_nan(x)).chain(nans).collect()
}

/// Each element once, in order of first appearance, without NULL.
fn distinct(args: Vec<Typed>, span: &Range<usize>) -> Bound {
    want_args(&args, 1..=1, span)?;
    let ty = inner(&args[0])?;
    Ok(strict(args, list_of(ty), span, |args| Ok(Value::List(Arc::new(each_once(args))))))
}

fn unique(args: Vec<Typed>, span: &Range<usize>) -> Bound {
    want_args(&args, 1..=1, span)?;
    inner(&args[0])?;
    Ok(strict(args, Type::UBigInt, span, |args| Ok(Value::Int(each_once(args).len() as i128))))
}

fn flatten(args: Vec<Typed>, span: &Range<usize>) -> Bound {
    want_args(&args, 1..=1, span)?;
    let own = inner(&args[0])?;
    if !matches!(own, Type::List(_) | Type::Null) {
        return Err(error("flatten wants a list of lists", &args[0].span));
    }
    if matches!(args[0].node, Node::Const(Value::Null)) {
        return Ok(super::null(Type::Null, span));
    }
    let own = if own == Type::Null { list_of(Type::Null) } else { own };
    Ok(strict(args, own, span, |args| {
        let mut out = Vec::new();
        for item in items(args).unwrap_or_default() {
            if let Value::List(items) = item {
                out.extend(items.iter().cloned());
            }
        }
        Ok(Value::List(Arc::new(out)))
    }))
}

fn length(args: Vec<Typed>, span: &Range<usize>) -> Bound {
    want_args(&args, 1..=1, span)?;
    if !matches!(args[0].ty, Type::List(_)) {
        return super::bind(&super::text::LENGTH, "length", args, span);
    }
    Ok(strict(args, Type::BigInt, span, |args| Ok(Value::Int(items(args).unwrap_or_default().len() as i128))))
}

/// Two lists in one type.
fn pair(args: Vec<Typed>, span: &Range<usize>) -> Result<(Vec<Typed>, Type), CompileError> {
    want_args(&args, 2..=2, span)?;
    for arg in &args {
        inner(arg)?;
    }
    let ty = common_type(args.iter(), "the two lists")?;
    Ok((args.into_iter().map(|arg| arg.cast(&ty)).collect(), ty))
}

fn overlap(args: Vec<Typed>, span: &Range<usize>, all: bool) -> Bound {
    let (args, _) = pair(args, span)?;
    Ok(strict(args, Type::Boolean, span, move |args| {
        let (left, right) = (seen(args), seen(args.get(1..).unwrap_or_default()));
        Ok(Value::Bool(if all { right.keys().all(|x| left.contains_key(x)) } else { right.keys().any(|x| left.contains_key(x)) }))
    }))
}

fn intersect(args: Vec<Typed>, span: &Range<usize>) -> Bound {
    let (args, ty) = pair(args, span)?;
    Ok(lenient(args, ty, span, |args| {
        if args.first().is_none_or(Value::is_null) {
            return Ok(Value::Null);
        }
        let right = seen(args.get(1..).unwrap_or_default());
        Ok(Value::List(Arc::new(seen(args).into_iter().filter(|(key, _)| right.contains_key(key)).map(|(_, item)| item).collect())))
    }))
}

/// Lists made from numbers are bounded, so that no expression can ask for all memory.
const ELEMENTS_MAX: i128 = 1 << 24;

fn range(args: Vec<Typed>, span: &Range<usize>) -> Bound {
    want_args(&args, 1..=3, span)?;
    let args: Vec<Typed> = args.into_iter().map(|arg| implicit(arg, &Type::BigInt, "range's bound")).collect::<Result<_, _>>()?;
    Ok(strict(args, list_of(Type::BigInt), span, |args| {
        let number = |i: usize| args.get(i).and_then(Value::as_int);
        let (from, to, step) = match args.len() {
            1 => (0, number(0).unwrap_or(0), 1),
            _ => (number(0).unwrap_or(0), number(1).unwrap_or(0), number(2).unwrap_or(1)),
        };
        if step == 0 {
            return Err(EvalError("range: the step cannot be 0".into()));
        }
        if (to - from) / step > ELEMENTS_MAX {
            return Err(EvalError("range: the list would be too long".into()));
        }
        let mut out = Vec::new();
        let mut at = from;
        while (step > 0 && at < to) || (step < 0 && at > to) {
            out.push(Value::Int(at));
            at += step;
        }
        Ok(Value::List(Arc::new(out)))
    }))
}

fn resize(args: Vec<Typed>, span: &Range<usize>) -> Bound {
    want_args(&args, 2..=3, span)?;
    let mut args = args.into_iter();
    let (of, size) = (take(&mut args, span)?, take(&mut args, span)?);
    if of.ty == Type::Null {
        return Ok(super::null(Type::Null, span));
    }
    let own = inner(&of)?;
    let fill = args.next().unwrap_or_else(|| super::null(own.clone(), span));
    // Both are cast, not only converted where that is silent.
    for (arg, to) in [(&size, &Type::UBigInt), (&fill, &own)] {
        if !cast::castable(&arg.ty, to) {
            return Err(error(format!("{to} is wanted here, this is {}", arg.shown()), &arg.span));
        }
    }
    let (size, fill) = (size.cast(&Type::UBigInt), fill.cast(&own));
    Ok(lenient(vec![of, size, fill], list_of(own), span, |args| {
        let Some(Value::List(items)) = args.first() else { return Ok(Value::Null) };
        let size = args.get(1).and_then(Value::as_int).unwrap_or(0);
        if !(0..=ELEMENTS_MAX).contains(&size) {
            return Err(EvalError("list_resize: the length is out of range".into()));
        }
        let mut items = items.to_vec();
        items.resize(size as usize, args.get(2).cloned().unwrap_or_default());
        Ok(Value::List(Arc::new(items)))
    }))
}

/// The parameters and body of a lambda, in either spelling: `lambda x: …` and `x -> …`.
fn lambda(ast: &Ast) -> Option<(Vec<String>, &Ast)> {
    match &ast.kind {
        Kind::Lambda { params, body } => Some((params.clone(), body)),
        Kind::Binary("->", left, body) => match &left.kind {
            Kind::Name(path) if path.len() == 1 => Some((vec![path[0].name.clone()], body)),
            _ => None,
        },
        _ => None,
    }
}

fn each(binder: &mut Binder, call: &Call, each: Each) -> Bound {
    let (list_ast, lambda_ast) = match call.args {
        [(None, list), (None, lambda)] => (list, lambda),
        _ => return Err(error(format!("`{}` takes a list and a lambda", call.name), &call.span)),
    };
    let of = binder.bind(list_ast)?;
    let item_ty = inner(&of)?;
    let Some((params, body)) = lambda(lambda_ast) else {
        return Err(error_with_help("a lambda is wanted here", "write `lambda x: x + 1`", &lambda_ast.span));
    };
    let least = if each == Each::Reduce { 2 } else { 1 };
    if params.len() < least || params.len() > least + 1 {
        return Err(error(format!("the lambda takes {least} or {} variables, not {}", least + 1, params.len()), &lambda_ast.span));
    }
    let first_local = binder.locals.len();
    let with_index = params.len() > least;
    for (i, param) in params.into_iter().enumerate() {
        let ty = if i < least { item_ty.clone() } else { Type::BigInt };
        binder.locals.push((param, ty));
    }
    let bound = binder.bind(body);
    binder.locals.truncate(first_local);
    let body = bound?;
    let (body, ty) = match each {
        Each::Transform => {
            let ty = list_of(body.ty.clone());
            (body, ty)
        }
        Each::Filter => {
            // Of no elements nothing is asked.
            let unasked = item_ty == Type::Null && !cast::castable(&body.ty, &Type::Boolean);
            let body = if unasked || matches!(body.node, Node::Const(Value::Null)) { super::null(Type::Boolean, &body.span) } else { body };
            if !cast::castable(&body.ty, &Type::Boolean) {
                return Err(error(format!("the lambda must give a BOOLEAN, it gives {}", body.shown()), &body.span));
            }
            (body.cast(&Type::Boolean), of.ty.clone())
        }
        Each::Reduce => (body.cast(&item_ty), item_ty.clone()),
    };
    if each == Each::Transform && of.ty == Type::Null {
        return Ok(super::null(Type::Null, &call.span));
    }
    let node = Node::Each { each, list: Box::new(of.node), body: Box::new(body.node), first_local, with_index };
    Ok(Typed::new(node, ty, call.span.clone()))
}
