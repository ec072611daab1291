//! The order of lists: sorting, choosing elements, zipping.

use std::cmp::Ordering;
use std::ops::Range;
use std::sync::Arc;

use super::list::{inner, items, list_of};
use super::{Function, lenient, null, strict, take, typed, want_args};
use crate::sql::bind::{Bound, Typed, error, implicit};
use crate::sql::compare::{self, By};
use crate::sql::eval::Node;
use crate::sql::{CompileError, EvalError, Type, Value};

pub const TABLE: &[Function] = &[
    typed(&["list_sort", "array_sort"], "list_sort(list [, 'ASC' | 'DESC' [, 'NULLS FIRST' | 'NULLS LAST']])", |args, span| {
        sort(args, span, false)
    }),
    typed(&["list_reverse_sort", "array_reverse_sort"], "list_reverse_sort(list [, 'NULLS FIRST' | 'NULLS LAST'])", |args, span| {
        sort(args, span, true)
    }),
    typed(&["list_grade_up", "array_grade_up", "grade_up"], "list_grade_up(list [, order [, order of NULLs]])", grade_up),
    typed(&["list_select", "array_select"], "list_select(list, list of indexes)", select),
    typed(&["list_where", "array_where"], "list_where(list, list of BOOLEAN)", pick),
    typed(&["list_zip", "array_zip"], "list_zip(list, … [, truncate])", zip),
];

struct Order {
    by: By,
    descending: bool,
    nulls_first: bool,
}

impl Order {
    fn of_values(&self, a: &Value, b: &Value) -> Ordering {
        if self.by == By::Value { compare::order_by_key(a, b) } else { self.by.order(a, b) }
    }

    /// Takes the options off the arguments. NULLs come last, unless the options say otherwise.
    fn take(args: &mut Vec<Typed>, reverse: bool) -> Result<Order, CompileError> {
        let (mut descending, mut nulls_first) = (reverse, false);
        let by = By::of(&inner(&args[0])?);
        for (i, option) in args.drain(1..).enumerate() {
            let text = option.constant_text().map(str::to_ascii_uppercase);
            match (i + usize::from(reverse), text.as_deref()) {
                (0, Some("ASC" | "ASCENDING")) => descending = false,
                (0, Some("DESC" | "DESCENDING")) => descending = true,
                (1, Some("NULLS FIRST")) => nulls_first = true,
                (1, Some("NULLS LAST")) => nulls_first = false,
                _ => return Err(error("the order must be a constant: 'ASC', 'DESC', and 'NULLS FIRST' or 'NULLS LAST'", &option.span)),
            }
        }
        Ok(Order { by, descending, nulls_first })
    }

    fn compare(&self, a: &Value, b: &Value) -> Ordering {
        match (a.is_null(), b.is_null()) {
            (false, false) if self.descending => self.of_values(b, a),
            (false, false) => self.of_values(a, b),
            (a, b) if self.nulls_first => b.cmp(&a),
            (a, b) => a.cmp(&b),
        }
    }
}

fn sort(mut args: Vec<Typed>, span: &Range<usize>, reverse: bool) -> Bound {
    want_args(&args, 1..=if reverse { 2 } else { 3 }, span)?;
    let order = Order::take(&mut args, reverse)?;
    // DuckDB has no type for what a NULL literal makes NULL.
    if matches!(args[0].node, Node::Const(Value::Null)) {
        return Ok(null(Type::Null, span));
    }
    let ty = args[0].ty.clone();
    Ok(strict(args, ty, span, move |args| {
        let mut items = items(args).unwrap_or_default().to_vec();
        items.sort_by(|a, b| order.compare(a, b));
        Ok(Value::List(Arc::new(items)))
    }))
}

/// Where the elements of the sorted list stand in the list, from 1.
fn grade_up(mut args: Vec<Typed>, span: &Range<usize>) -> Bound {
    want_args(&args, 1..=3, span)?;
    let order = Order::take(&mut args, false)?;
    if args[0].ty == Type::Null {
        return Ok(null(Type::Null, span));
    }
    Ok(strict(args, list_of(Type::BigInt), span, move |args| {
        let mut places: Vec<(usize, &Value)> = items(args).unwrap_or_default().iter().enumerate().collect();
        places.sort_by(|(_, a), (_, b)| order.compare(a, b));
        Ok(Value::List(Arc::new(places.into_iter().map(|(i, _)| Value::Int(i as i128 + 1)).collect())))
    }))
}

/// A list and a list of what tells which elements to take.
fn chosen_by(args: Vec<Typed>, of_what: Type, span: &Range<usize>) -> Result<(Vec<Typed>, Type), CompileError> {
    want_args(&args, 2..=2, span)?;
    let mut args = args.into_iter();
    let (of, by) = (take(&mut args, span)?, take(&mut args, span)?);
    inner(&of)?;
    let ty = if by.ty == Type::Null { Type::Null } else { of.ty.clone() };
    Ok((vec![of, implicit(by, &list_of(of_what), "the second argument")?], ty))
}

fn no_nulls() -> EvalError {
    EvalError("the second list cannot have NULLs in it".into())
}

/// The elements at the indexes, NULL where there is none.
fn select(args: Vec<Typed>, span: &Range<usize>) -> Bound {
    let (args, ty) = chosen_by(args, Type::BigInt, span)?;
    Ok(strict(args, ty, span, |args| {
        let (of, indexes) = (items(args).unwrap_or_default(), items(args.get(1..).unwrap_or_default()).unwrap_or_default());
        let mut out = Vec::with_capacity(indexes.len());
        for index in indexes {
            let index = index.as_int().ok_or_else(no_nulls)?;
            let place = usize::try_from(index - 1).ok();
            out.push(place.and_then(|place| of.get(place)).cloned().unwrap_or_default());
        }
        Ok(Value::List(Arc::new(out)))
    }))
}

/// The elements whose flag is true; flags beyond the list take NULLs.
fn pick(args: Vec<Typed>, span: &Range<usize>) -> Bound {
    let (args, ty) = chosen_by(args, Type::Boolean, span)?;
    Ok(strict(args, ty, span, |args| {
        let (of, flags) = (items(args).unwrap_or_default(), items(args.get(1..).unwrap_or_default()).unwrap_or_default());
        let mut out = Vec::new();
        for (i, flag) in flags.iter().enumerate() {
            if flag.as_bool().ok_or_else(no_nulls)? {
                out.push(of.get(i).cloned().unwrap_or_default());
            }
        }
        Ok(Value::List(Arc::new(out)))
    }))
}

/// Rows of the elements of several lists, as many as the longest has, or with `true` at the end the shortest.
fn zip(mut args: Vec<Typed>, span: &Range<usize>) -> Bound {
    let truncate = args.pop_if(|last| last.ty == Type::Boolean);
    want_args(&args, 1..=usize::MAX, span)?;
    let mut fields = Vec::with_capacity(args.len());
    for arg in &args {
        fields.push((String::new(), inner(arg)?));
    }
    let count = args.len();
    args.extend(truncate);
    Ok(lenient(args, list_of(Type::Struct(fields)), span, move |args| {
        let lists: Vec<&[Value]> = args.iter().take(count).map(|arg| items(std::slice::from_ref(arg)).unwrap_or_default()).collect();
        let lengths = lists.iter().map(|list| list.len());
        let truncate = args.get(count).and_then(Value::as_bool).unwrap_or(false);
        let length = if truncate { lengths.min() } else { lengths.max() };
        let row = |i: usize| Value::Struct(Arc::new(lists.iter().map(|list| list.get(i).cloned().unwrap_or_default()).collect()));
        Ok(Value::List(Arc::new((0..length.unwrap_or(0)).map(row).collect())))
    }))
}
