//! Aggregates over the elements of a list: `list_sum(xs)`, and any of them by its name: `list_aggregate(xs, 'sum')`.

use std::ops::Range;
use std::sync::Arc;

use super::list::{inner, items, list_of};
use super::list_statistics::{self as statistics, Moments};
use super::{Function, null, strict, take, typed, want_args};
use crate::sql::bind::{Bound, Typed, error, error_with_help, implicit};
use crate::sql::compare::{self, By};
use crate::sql::{CompileError, EvalError, MapEntries, Type, Value, cast, text_format};

/// Longer texts are refused, so that no expression can ask for all memory.
const BYTES_MAX: usize = 1 << 26;

macro_rules! aggregate {
    ($name:literal) => {
        typed(&[concat!("list_", $name)], concat!("list_", $name, "(list)"), |args, span| {
            want_args(&args, 1..=1, span)?;
            by_name($name, args, span)
        })
    };
}

pub const TABLE: &[Function] = &[
    typed(
        &["list_aggregate", "list_aggr", "array_aggregate", "array_aggr", "aggregate"],
        "list_aggregate(list, 'name', …)",
        |args, span| {
            want_args(&args, 2..=usize::MAX, span)?;
            let mut args = args;
            let name = args.remove(1);
            let Some(text) = name.constant_text() else { return Err(error("the aggregate's name must be a constant text", &name.span)) };
            by_name(&text.to_ascii_lowercase(), args, span)
        },
    ),
    aggregate!("min"),
    aggregate!("max"),
    aggregate!("sum"),
    aggregate!("avg"),
    aggregate!("count"),
    aggregate!("first"),
    aggregate!("last"),
    aggregate!("any_value"),
    aggregate!("bool_and"),
    aggregate!("bool_or"),
    aggregate!("bit_and"),
    aggregate!("bit_or"),
    aggregate!("bit_xor"),
    aggregate!("median"),
    aggregate!("mode"),
    aggregate!("mad"),
    aggregate!("product"),
    aggregate!("stddev_pop"),
    aggregate!("stddev_samp"),
    aggregate!("var_pop"),
    aggregate!("var_samp"),
    aggregate!("sem"),
    aggregate!("skewness"),
    aggregate!("kurtosis"),
    aggregate!("kurtosis_pop"),
    aggregate!("entropy"),
    aggregate!("string_agg"),
    aggregate!("histogram"),
    typed(&["array_to_string"], "array_to_string(list, separator)", |args, span| {
        want_args(&args, 2..=2, span)?;
        joined(args, span, true)
    }),
    typed(&["array_to_string_comma_default"], "array_to_string_comma_default(list [, separator])", |args, span| {
        want_args(&args, 1..=2, span)?;
        joined(args, span, true)
    }),
];

/// The aggregate of a name over the first argument.
fn by_name(name: &str, args: Vec<Typed>, span: &Range<usize>) -> Bound {
    if args.first().is_some_and(|of| of.ty == Type::Null) {
        return Ok(null(Type::Null, span));
    }
    if matches!(name, "string_agg" | "group_concat" | "listagg") {
        want_args(&args, 1..=2, span)?;
        return joined(args, span, false);
    }
    want_args(&args, 1..=1, span)?;
    match name {
        "min" => extreme(args, span, false),
        "max" => extreme(args, span, true),
        "sum" => sum(args, span),
        "avg" | "mean" => average(args, span),
        "count" => count(args, span),
        "first" | "arbitrary" => first(args, span),
        "last" => last(args, span),
        "any_value" => any_value(args, span),
        "bool_and" => all_or_any(args, span, true),
        "bool_or" => all_or_any(args, span, false),
        "bit_and" => bits(args, span, |a, b| a & b),
        "bit_or" => bits(args, span, |a, b| a | b),
        "bit_xor" => bits(args, span, |a, b| a ^ b),
        "median" => median(args, span),
        "mad" => deviation(args, span),
        "mode" => mode(args, span),
        "histogram" => histogram(args, span),
        "entropy" => entropy(args, span),
        "product" => doubles(args, span, |xs| (!xs.is_empty()).then(|| xs.iter().product())),
        "stddev_pop" => spread(args, span, |xs| statistics::variance_pop(xs).map(f64::sqrt)),
        "stddev_samp" | "stddev" => spread(args, span, |xs| statistics::variance_samp(xs).map(f64::sqrt)),
        "var_pop" => spread(args, span, statistics::variance_pop),
        "var_samp" | "variance" => spread(args, span, statistics::variance_samp),
        "sem" => spread(args, span, |xs| statistics::variance_pop(xs).map(|v| v.sqrt() / (xs.len() as f64).sqrt())),
        "skewness" => doubles(args, span, |xs| Moments::of(xs).skewness()),
        "kurtosis" => doubles(args, span, |xs| Moments::of(xs).kurtosis(true)),
        "kurtosis_pop" => doubles(args, span, |xs| Moments::of(xs).kurtosis(false)),
        _ => Err(error_with_help(format!("no aggregate `{name}` over a list"), "docs/language.md lists the functions that exist", span)),
    }
}

fn one(args: Vec<Typed>, span: &Range<usize>) -> Result<(Typed, Type), CompileError> {
    let mut args = args.into_iter();
    let of = take(&mut args, span)?;
    let own = inner(&of)?;
    Ok((of, own))
}

fn want_numbers(of: &Typed, own: &Type) -> Result<(), CompileError> {
    if own.is_numeric() || *own == Type::Null {
        return Ok(());
    }
    Err(error(format!("a list of numbers is wanted here, these are {own}"), &of.span))
}

/// A statistic of the elements as DOUBLE; None is NULL.
fn doubles(args: Vec<Typed>, span: &Range<usize>, run: fn(&[f64]) -> Option<f64>) -> Bound {
    let (of, own) = one(args, span)?;
    want_numbers(&of, &own)?;
    let of = of.cast(&list_of(Type::Double));
    Ok(strict(vec![of], Type::Double, span, move |args| Ok(run(&numbers(args)).map_or(Value::Null, Value::Double))))
}

/// A statistic that fails where it is not finite.
fn spread(args: Vec<Typed>, span: &Range<usize>, run: fn(&[f64]) -> Option<f64>) -> Bound {
    let (of, own) = one(args, span)?;
    want_numbers(&of, &own)?;
    let of = of.cast(&list_of(Type::Double));
    Ok(strict(vec![of], Type::Double, span, move |args| match run(&numbers(args)) {
        None => Ok(Value::Null),
        Some(x) if x.is_finite() => Ok(Value::Double(x)),
        Some(_) => Err(EvalError("the spread of the list is out of range".into())),
    }))
}

fn numbers(args: &[Value]) -> Vec<f64> {
    let number = |value: &Value| if let Value::Double(x) = value { Some(*x) } else { None };
    items(args).unwrap_or_default().iter().filter_map(number).collect()
}

fn any_value(args: Vec<Typed>, span: &Range<usize>) -> Bound {
    let (of, own) = one(args, span)?;
    Ok(strict(vec![of], own, span, |args| {
        Ok(items(args).unwrap_or_default().iter().find(|item| !item.is_null()).cloned().unwrap_or_default())
    }))
}

fn bits(args: Vec<Typed>, span: &Range<usize>, join: fn(i128, i128) -> i128) -> Bound {
    let (of, own) = one(args, span)?;
    if !own.is_integer() {
        return Err(error(format!("a list of integers is wanted here, these are {own}"), &of.span));
    }
    Ok(strict(vec![of], own, span, move |args| {
        let joined = items(args).unwrap_or_default().iter().filter_map(Value::as_int).reduce(join);
        Ok(joined.map_or(Value::Null, Value::Int))
    }))
}

/// The texts of the elements that are not NULL; of none NULL, or with `empty` the empty text for an empty list.
fn joined(args: Vec<Typed>, span: &Range<usize>, empty: bool) -> Bound {
    let mut args = args.into_iter();
    let of = take(&mut args, span)?;
    let own = inner(&of)?;
    if of.ty == Type::Null {
        return Ok(null(Type::Varchar, span));
    }
    let separator = match args.next() {
        Some(separator) => implicit(separator, &Type::Varchar, "the separator")?,
        None => Typed::new(crate::sql::eval::Node::Const(Value::text(",")), Type::Varchar, span.clone()),
    };
    Ok(strict(vec![of, separator], Type::Varchar, span, move |args| {
        let separator = args.get(1).and_then(Value::as_text).unwrap_or_default();
        let none = items(args).unwrap_or_default().is_empty();
        let mut out: Option<String> = (empty && none).then(String::new);
        let mut any = false;
        for item in items(args).unwrap_or_default().iter().filter(|item| !item.is_null()) {
            let out = out.get_or_insert_with(String::new);
            if std::mem::replace(&mut any, true) {
                out.push_str(separator);
            }
            text_format::write_value(out, item, &own);
            if out.len() > BYTES_MAX {
                return Err(EvalError("the text would be too long".into()));
            }
        }
        Ok(out.map_or(Value::Null, Value::text))
    }))
}

/// How often each value occurs, in the order of first appearance.
fn frequencies(args: &[Value]) -> Vec<(Value, u64)> {
    let mut counts: indexmap::IndexMap<Value, u64, foldhash::fast::FixedState> = Default::default();
    for item in items(args).unwrap_or_default().iter().filter(|item| !item.is_null()) {
        *counts.entry(item.clone()).or_default() += 1;
    }
    counts.into_iter().collect()
}

/// The most frequent value; of several the first.
fn mode(args: Vec<Typed>, span: &Range<usize>) -> Bound {
    let (of, own) = one(args, span)?;
    Ok(strict(vec![of], own, span, |args| {
        let best = frequencies(args).into_iter().reduce(|best, next| if next.1 > best.1 { next } else { best });
        Ok(best.map(|(value, _)| value).unwrap_or_default())
    }))
}

fn histogram(args: Vec<Typed>, span: &Range<usize>) -> Bound {
    let (of, own) = one(args, span)?;
    let by = By::of(&own);
    let ty = Type::Map(Box::new(own), Box::new(Type::UBigInt));
    Ok(strict(vec![of], ty, span, move |args| {
        let mut counts = frequencies(args);
        if counts.is_empty() {
            return Ok(Value::Null);
        }
        counts.sort_by(|(a, _), (b, _)| by.order(a, b));
        let entries: MapEntries = counts.into_iter().map(|(value, n)| (value, Value::Int(n as i128))).collect();
        Ok(Value::Map(Arc::new(entries)))
    }))
}

fn entropy(args: Vec<Typed>, span: &Range<usize>) -> Bound {
    let (of, _) = one(args, span)?;
    Ok(strict(vec![of], Type::Double, span, |args| {
        let counts = frequencies(args);
        let total: f64 = counts.iter().map(|(_, n)| *n as f64).sum();
        Ok(Value::Double(counts.iter().map(|(_, n)| *n as f64 / total * (total / *n as f64).log2()).fold(0.0, |a, b| a + b)))
    }))
}

/// The type in which the middle of two values is taken.
fn middle_type(of: &Typed, own: &Type) -> Result<Type, CompileError> {
    Ok(match own {
        ty if ty.is_integer() => Type::Double,
        Type::Null => Type::Null,
        Type::Date => Type::Timestamp,
        Type::Boolean
        | Type::Float
        | Type::Double
        | Type::Decimal { .. }
        | Type::Time
        | Type::Timestamp
        | Type::TimestampTz
        | Type::Varchar => own.clone(),
        _ => return Err(error(format!("{own} has no median here"), &of.span)),
    })
}

/// The middle of the values; halfway between two, where the type has a halfway.
fn middle(mut values: Vec<Value>) -> Value {
    values.retain(|value| !value.is_null());
    values.sort_by(compare::order);
    let Some(last) = values.len().checked_sub(1) else { return Value::Null };
    let (Some(low), Some(high)) = (values.get(last / 2), values.get(last.div_ceil(2))) else { return Value::Null };
    match (low, high) {
        (Value::Double(a), Value::Double(b)) => Value::Double(a * 0.5 + b * 0.5),
        (Value::Float(a), Value::Float(b)) => Value::Float((*a as f64 * 0.5 + *b as f64 * 0.5) as f32),
        (Value::Int(a), Value::Int(b)) => Value::Int(b.checked_sub(*a).map_or(a / 2 + b / 2, |distance| a + distance / 2)),
        (Value::Timestamp(a), Value::Timestamp(b)) => Value::Timestamp(((*a as i128 + *b as i128).div_euclid(2)) as i64),
        (Value::Time(a), Value::Time(b)) => Value::Time((a + b) / 2),
        (low, _) => low.clone(),
    }
}

fn median(args: Vec<Typed>, span: &Range<usize>) -> Bound {
    let (of, own) = one(args, span)?;
    let ty = middle_type(&of, &own)?;
    let of = of.cast(&list_of(ty.clone()));
    Ok(strict(vec![of], ty, span, |args| Ok(middle(items(args).unwrap_or_default().to_vec()))))
}

/// The median of the distances from the median.
fn deviation(args: Vec<Typed>, span: &Range<usize>) -> Bound {
    let (of, own) = one(args, span)?;
    want_numbers(&of, &own)?;
    let ty = middle_type(&of, &own)?;
    let of = of.cast(&list_of(ty.clone()));
    Ok(strict(vec![of], ty, span, |args| {
        let values = items(args).unwrap_or_default();
        let center = middle(values.to_vec());
        let distance = |value: &Value| match (value, &center) {
            (Value::Double(a), Value::Double(b)) => Value::Double((a - b).abs()),
            (Value::Float(a), Value::Float(b)) => Value::Float((a - b).abs()),
            (Value::Int(a), Value::Int(b)) => Value::Int(a.abs_diff(*b).try_into().unwrap_or(i128::MAX)),
            _ => Value::Null,
        };
        Ok(middle(values.iter().map(distance).collect()))
    }))
}

fn extreme(args: Vec<Typed>, span: &Range<usize>, greatest: bool) -> Bound {
    want_args(&args, 1..=1, span)?;
    let ty = inner(&args[0])?;
    let by = By::of(&ty);
    let nested = ty.is_nested();
    Ok(strict(args, ty, span, move |args| {
        let present = items(args).unwrap_or_default().iter().filter(|x| !x.is_null());
        // Of equal ones the first.
        let found = present.reduce(|best, item| {
            let order = if nested { compare::order_by_key(item, best) } else { by.order(item, best) };
            if if greatest { order.is_gt() } else { order.is_lt() } { item } else { best }
        });
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

/// Of numbers DOUBLE, of dates and timestamps a timestamp.
fn average(args: Vec<Typed>, span: &Range<usize>) -> Bound {
    let (of, own) = one(args, span)?;
    if matches!(own, Type::Date | Type::Timestamp | Type::TimestampTz) {
        let ty = if own == Type::Date { Type::Timestamp } else { own };
        let of = of.cast(&list_of(ty.clone()));
        return Ok(strict(vec![of], ty, span, |args| {
            let moment = |value: &Value| if let Value::Timestamp(at) = value { Some(*at as i128) } else { None };
            let moments: Vec<i128> = items(args).unwrap_or_default().iter().filter_map(moment).collect();
            let mean = moments.iter().sum::<i128>().checked_div(moments.len() as i128);
            Ok(mean.map_or(Value::Null, |mean| Value::Timestamp(mean as i64)))
        }));
    }
    want_numbers(&of, &own)?;
    let scale = if let Type::Decimal { scale, .. } = own { scale } else { 0 };
    Ok(strict(vec![of], Type::Double, span, move |args| {
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
        let whole = whole as f64 / (count as f64 * cast::power_of_ten(scale) as f64);
        Ok(Value::Double(float / count as f64 + whole))
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
