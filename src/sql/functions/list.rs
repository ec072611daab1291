//! Lists: building, looking into, sets.

use std::ops::Range;
use std::sync::Arc;

use super::{Function, lenient, strict, take, typed, want_args};
use crate::sql::bind::{Bound, Typed, common_type, error, error_with_help, implicit, list};
use crate::sql::coerce::{self, Source};
use crate::sql::compare;
use crate::sql::eval::{Node, Update, date_out_of_range};
use crate::sql::{CompileError, EvalError, Type, Value, cast, datetime};

pub const TABLE: &[Function] = &[
    typed(&["list_value", "list_pack"], "list_value(any, …)", |args, span| list(args, span.clone())),
    typed(&["list_append", "array_append", "array_push_back"], "list_append(list, element)", append),
    typed(&["array_push_front"], "array_push_front(list, element)", |args, span| {
        want_args(&args, 2..=2, span)?;
        prepend(args.into_iter().rev().collect(), span)
    }),
    typed(&["array_pop_back"], "array_pop_back(list)", |args, span| without(args, span, true)),
    typed(&["array_pop_front"], "array_pop_front(list)", |args, span| without(args, span, false)),
    typed(&["unpivot_list"], "unpivot_list(any, …)", |args, span| list(args, span.clone())),
    typed(&["list_prepend", "array_prepend"], "list_prepend(element, list)", prepend),
    typed(&["list_concat", "list_cat", "array_concat", "array_cat"], "list_concat(list, …)", concat),
    typed(&["list_contains", "array_contains", "list_has", "array_has"], "list_contains(list, element)", contains_element),
    typed(&["contains"], "contains(text, part), contains(list, element) or contains(map, key)", contains),
    typed(&["list_position", "list_indexof", "array_position", "array_indexof"], "list_position(list, element)", position),
    typed(&["list_extract", "list_element", "array_extract"], "list_extract(list, index)", |args, span| {
        want_args(&args, 2..=2, span)?;
        if let Type::Struct(_) = args[0].ty {
            return super::structs::extract(args, span);
        }
        let mut args = args.into_iter();
        let (of, index) = (take(&mut args, span)?, take(&mut args, span)?);
        // A NULL is taken for text here.
        let of = if of.ty == Type::Null { of.cast(&Type::Varchar) } else { of };
        element(of, index, span.clone())
    }),
    typed(&["list_slice", "array_slice"], "list_slice(list, from, to [, step])", |args, span| {
        want_args(&args, 3..=4, span)?;
        let mut args = args.into_iter();
        let of = take(&mut args, span)?;
        let (low, high) = (take(&mut args, span)?, take(&mut args, span)?);
        slice(of, Some(low), Some(high), args.next(), span.clone())
    }),
    typed(&["list_reverse", "array_reverse"], "list_reverse(list)", reverse),
    typed(&["list_distinct", "array_distinct"], "list_distinct(list)", distinct),
    typed(&["list_unique", "array_unique"], "list_unique(list)", unique),
    typed(&["flatten"], "flatten(list of lists)", flatten),
    typed(&["len"], "len(text) or len(list)", length),
    typed(&["array_length"], "array_length(list [, 1])", |mut args, span| {
        let dimension = if args.len() == 2 { args.pop() } else { None };
        if let Some(other) = dimension.filter(|of| !matches!(of.node, Node::Const(Value::Int(1)))) {
            return Err(error("the length is that of the first dimension", &other.span));
        }
        length(args, span)
    }),
    typed(&["list_has_any", "array_has_any"], "list_has_any(list, list)", |args, span| overlap(args, span, false)),
    typed(&["list_has_all", "array_has_all"], "list_has_all(list, list)", |args, span| overlap(args, span, true)),
    typed(&["list_intersect", "array_intersect"], "list_intersect(list, list)", intersect),
    typed(&["range"], "range(to) or range(from, to [, step])", |args, span| range(args, span, false)),
    typed(&["generate_series"], "generate_series(to) or generate_series(from, to [, step])", |args, span| range(args, span, true)),
    typed(&["list_resize", "array_resize"], "list_resize(list, length [, value])", resize),
];

/// The type of a list's elements.
pub fn inner(typed: &Typed) -> Result<Type, CompileError> {
    match &typed.ty {
        Type::List(inner) => Ok((**inner).clone()),
        Type::Null => Ok(Type::Null),
        _ => Err(error(format!("a list is wanted here, this is {}", typed.shown()), &typed.span)),
    }
}

pub fn list_of(ty: Type) -> Type {
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
    if ty == Type::Null {
        return Ok(super::null(Type::Null, span));
    }
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
    if of.ty == Type::Null && !matches!(index.ty, Type::Null) && coerce::cast_cost(index.source(), &Type::BigInt).is_none_or(|_| by_text) {
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

/// The places that a slice with a step takes, in its order.
fn stepped_places(low: Option<i128>, high: Option<i128>, step: i128, len: usize) -> Vec<usize> {
    let backwards = step < 0;
    let (low, high) = if backwards { (high, low) } else { (low, high) };
    let stride = usize::try_from(step.unsigned_abs()).unwrap_or(usize::MAX);
    let places = slice_places(low, high, len);
    if backwards { places.rev().step_by(stride).collect() } else { places.step_by(stride).collect() }
}

/// `xs[a:b:c]` on a list, `s[a:b]` on a text; a bound that is written and NULL makes NULL of the whole.
pub fn slice(of: Typed, low: Option<Typed>, high: Option<Typed>, step: Option<Typed>, span: Range<usize>) -> Bound {
    let of = if of.ty == Type::Json { of.cast(&Type::Varchar) } else { of };
    let ty = of.ty.clone();
    if !matches!(ty, Type::List(_) | Type::Varchar | Type::Blob | Type::Null) {
        return Err(error(format!("slices are taken from lists, text and blobs, not from {}", of.shown()), &span));
    }
    if step.is_some() && matches!(ty, Type::Varchar | Type::Blob) {
        return Err(error("a slice of text or bytes has no step", &span));
    }
    let given = [low.is_some(), high.is_some(), step.is_some()];
    let mut args = vec![of];
    for bound in [low, high, step] {
        args.push(match bound {
            // A step is converted where that is silent, a bound is cast.
            Some(step) if args.len() == 3 => implicit(step, &Type::BigInt, "a slice's step")?,
            Some(bound) if !cast::castable(&bound.ty, &Type::BigInt) => {
                return Err(error(format!("a slice's bound is a number, this is {}", bound.shown()), &bound.span));
            }
            Some(bound) => bound.cast(&Type::BigInt),
            None => super::null(Type::BigInt, &span),
        });
    }
    Ok(lenient(args, ty, &span, move |args| {
        let bound = |i: usize| args.get(i + 1).and_then(Value::as_int);
        if (0..3).any(|i| given[i] && bound(i).is_none()) {
            return Ok(Value::Null);
        }
        let (low, high) = (bound(0), bound(1));
        Ok(match (args.first(), bound(2)) {
            (Some(Value::List(items)), Some(0)) if slice_places(low, high, items.len()).is_empty() => Value::List(Arc::new(Vec::new())),
            (Some(Value::List(_)), Some(0)) => return Err(EvalError("the step of a slice cannot be 0".into())),
            (Some(Value::List(items)), Some(step)) => {
                let places = stepped_places(low, high, step, items.len());
                Value::List(Arc::new(places.into_iter().filter_map(|i| items.get(i)).cloned().collect()))
            }
            (Some(Value::List(items)), None) => {
                let places = slice_places(low, high, items.len());
                Value::List(Arc::new(items.get(places).unwrap_or_default().to_vec()))
            }
            (Some(Value::Blob(bytes)), _) => {
                let places = slice_places(low, high, bytes.len());
                Value::Blob(Arc::new(bytes.get(places).unwrap_or_default().to_vec()))
            }
            (Some(Value::Text(text)), _) => {
                let places = slice_places(low, high, text.chars().count());
                Value::text(text.chars().skip(places.start).take(places.len()).collect::<String>())
            }
            _ => Value::Null,
        })
    }))
}

/// The elements of the first argument, a list.
pub fn items(args: &[Value]) -> Option<&[Value]> {
    if let Some(Value::List(items)) = args.first() { Some(items) } else { None }
}

fn reverse(args: Vec<Typed>, span: &Range<usize>) -> Bound {
    want_args(&args, 1..=1, span)?;
    if args[0].ty == Type::Null {
        return Ok(super::null(Type::Null, span));
    }
    inner(&args[0])?;
    let ty = args[0].ty.clone();
    Ok(strict(args, ty, span, |args| Ok(Value::List(Arc::new(items(args).unwrap_or_default().iter().rev().cloned().collect())))))
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
    inner(&args[0])?;
    let ty = args[0].ty.clone();
    Ok(strict(args, ty, span, |args| Ok(Value::List(Arc::new(each_once(args))))))
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

/// The list without its last or its first element.
fn without(args: Vec<Typed>, span: &Range<usize>, last: bool) -> Bound {
    want_args(&args, 1..=1, span)?;
    inner(&args[0])?;
    let ty = args[0].ty.clone();
    Ok(strict(args, ty, span, move |args| {
        let items = items(args).unwrap_or_default();
        let rest = if last { items.split_last().map(|(_, rest)| rest) } else { items.split_first().map(|(_, rest)| rest) };
        Ok(Value::List(Arc::new(rest.unwrap_or_default().to_vec())))
    }))
}

fn too_long() -> EvalError {
    EvalError(format!("the list would be longer than {ELEMENTS_MAX} elements"))
}

/// Numbers from a start by a step; with `inclusive` up to the end itself.
fn range(args: Vec<Typed>, span: &Range<usize>, inclusive: bool) -> Bound {
    want_args(&args, 1..=3, span)?;
    if args.len() == 3 && args[2].ty == Type::Interval {
        return moments(args, span, inclusive);
    }
    let args: Vec<Typed> = args.into_iter().map(|arg| implicit(arg, &Type::BigInt, "range's bound")).collect::<Result<_, _>>()?;
    Ok(strict(args, list_of(Type::BigInt), span, move |args| {
        let number = |i: usize| args.get(i).and_then(Value::as_int);
        let (from, to, step) = match args.len() {
            1 => (0, number(0).unwrap_or(0), 1),
            _ => (number(0).unwrap_or(0), number(1).unwrap_or(0), number(2).unwrap_or(1)),
        };
        if step == 0 {
            return Ok(Value::List(Arc::default()));
        }
        if (to - from) / step > ELEMENTS_MAX {
            return Err(too_long());
        }
        let mut out = Vec::new();
        let mut at = from;
        while if step > 0 { at < to } else { at > to } || (inclusive && at == to) {
            out.push(Value::Int(at));
            at += step;
        }
        Ok(Value::List(Arc::new(out)))
    }))
}

/// Timestamps from a start by an interval.
fn moments(args: Vec<Typed>, span: &Range<usize>, inclusive: bool) -> Bound {
    let mut args = args.into_iter();
    let (from, to, step) = (take(&mut args, span)?, take(&mut args, span)?, take(&mut args, span)?);
    let ty = if [&from, &to].iter().any(|bound| bound.ty == Type::TimestampTz) { Type::TimestampTz } else { Type::Timestamp };
    let args = vec![implicit(from, &ty, "the start")?, implicit(to, &ty, "the end")?, step];
    Ok(strict(args, list_of(ty), span, move |args| {
        let (Some(Value::Timestamp(from)), Some(Value::Timestamp(to)), Some(Value::Interval(step))) =
            (args.first(), args.get(1), args.get(2))
        else {
            return Ok(Value::Null);
        };
        if !datetime::is_finite(*from) || !datetime::is_finite(*to) {
            return Err(EvalError("a list of timestamps cannot begin or end in infinity".into()));
        }
        let parts = [step.months as i64, step.days as i64, step.micros];
        let (up, down) = (parts.iter().any(|part| *part > 0), parts.iter().any(|part| *part < 0));
        if up && down {
            return Err(EvalError("a step that goes forwards and backwards is not supported".into()));
        }
        let mut out = Vec::new();
        let mut at = *from;
        while (up && at < *to) || (down && at > *to) || (inclusive && (up || down) && at == *to) {
            if out.len() as i128 >= ELEMENTS_MAX {
                return Err(too_long());
            }
            out.push(Value::Timestamp(at));
            at = datetime::add_to_timestamp(at, *step).ok_or_else(date_out_of_range)?;
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
