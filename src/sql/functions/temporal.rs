//! Dates, times, timestamps, intervals: parts, truncation, differences, formats.

use std::ops::Range;
use std::sync::Arc;

use super::zones;
use super::{Function, Overload, null, plain, strict, take, typed, want_args};
use crate::sql::arith;
use crate::sql::bind::{Bound, Typed, error, error_with_help, implicit, unit};
use crate::sql::eval::{Node, Outcome, date_out_of_range, interval_out_of_range};
use crate::sql::time_parse::{self, Parsed};
use crate::sql::time_parts::{self, Part};
use crate::sql::{EvalError, Interval, Type, Value, cast, datetime, time_format};

const I64: Type = Type::BigInt;
const I32: Type = Type::Integer;
const D: Type = Type::Double;

macro_rules! part_function {
    ($names:expr, $part:expr) => {
        typed($names, concat!($part, "(DATE, TIMESTAMP, TIME or INTERVAL)"), |args, span| part_of($part, args, span))
    };
}

macro_rules! to_interval {
    ($name:expr, $unit:expr, $($ty:expr),+) => {
        plain(
            &[$name],
            concat!($name, "(number)"),
            &[$(overload!(&[$ty], Type::Interval, |a| {
                let n = i64::try_from(int(a, 0)).map_err(|_| interval_out_of_range())?;
                datetime::interval_of(n, $unit).map(Value::Interval).ok_or_else(interval_out_of_range)
            })),+],
        )
    };
}

pub const TABLE: &[Function] = &[
    typed(&["date_trunc", "datetrunc"], "date_trunc(unit, DATE, TIMESTAMP or INTERVAL)", trunc),
    typed(&["date_part", "datepart"], "date_part(part, DATE, TIMESTAMP, TIME or INTERVAL)", part),
    part_function!(&["year"], "year"),
    part_function!(&["month"], "month"),
    part_function!(&["day", "dayofmonth"], "day"),
    part_function!(&["hour"], "hour"),
    part_function!(&["minute"], "minute"),
    part_function!(&["second"], "second"),
    part_function!(&["millisecond"], "millisecond"),
    part_function!(&["microsecond"], "microsecond"),
    typed(&["nanosecond"], "nanosecond(DATE, TIMESTAMP, TIME or INTERVAL)", |args, span| part_function(Part::Nanosecond, args, span)),
    part_function!(&["quarter"], "quarter"),
    part_function!(&["julian"], "julian"),
    part_function!(&["timezone_hour"], "timezone_hour"),
    part_function!(&["timezone_minute"], "timezone_minute"),
    part_function!(&["week", "weekofyear"], "week"),
    part_function!(&["dayofweek", "weekday"], "dow"),
    part_function!(&["isodow"], "isodow"),
    part_function!(&["dayofyear"], "doy"),
    part_function!(&["isoyear"], "isoyear"),
    part_function!(&["yearweek"], "yearweek"),
    part_function!(&["decade"], "decade"),
    part_function!(&["century"], "century"),
    part_function!(&["millennium"], "millennium"),
    part_function!(&["era"], "era"),
    part_function!(&["epoch"], "epoch"),
    typed(&["epoch_ms"], "epoch_ms(TIMESTAMP) or epoch_ms(BIGINT)", epoch_ms),
    typed(&["epoch_us"], "epoch_us(TIMESTAMP)", |args, span| epoch(args, span, 1, 1)),
    typed(&["epoch_ns"], "epoch_ns(TIMESTAMP)", |args, span| epoch(args, span, 1, 1000)),
    typed(&["date_diff", "datediff"], "date_diff(unit, from, to)", |args, span| difference(args, span, time_parts::crossed)),
    typed(&["date_sub", "datesub"], "date_sub(unit, from, to)", |args, span| difference(args, span, time_parts::complete)),
    typed(&["date_add"], "date_add(DATE or TIMESTAMP, INTERVAL)", |args, span| {
        want_args(&args, 2..=2, span)?;
        let mut args = args.into_iter();
        arith::binary("+", take(&mut args, span)?, take(&mut args, span)?, span.clone())
    }),
    typed(&["strftime"], "strftime(DATE or TIMESTAMP, format)", strftime),
    typed(&["strptime"], "strptime(VARCHAR, format)", |args, span| strptime(args, span, false)),
    typed(&["try_strptime"], "try_strptime(VARCHAR, format)", |args, span| strptime(args, span, true)),
    typed(&["make_date"], "make_date(year, month, day), make_date(days) or make_date(struct)", make_date),
    plain(
        &["make_time"],
        "make_time(hour, minute, seconds)",
        &[overload!(&[I64, I64, D], Type::Time, |a| time(int(a, 0), int(a, 1), a.get(2)).map(Value::Time))],
    ),
    plain(
        &["make_timestamp"],
        "make_timestamp(year, month, day, hour, minute, seconds) or make_timestamp(microseconds)",
        &[overload!(&[I64, I64, I64, I64, I64, D], Type::Timestamp, make_timestamp), overload!(&[I64], Type::Timestamp, of_microseconds)],
    ),
    plain(&["make_timestamp_ms"], "make_timestamp_ms(milliseconds)", &[overload!(&[I64], Type::Timestamp, of_milliseconds)]),
    plain(
        &["make_timestamptz"],
        "make_timestamptz(year, month, day, hour, minute, seconds [, zone]) or make_timestamptz(microseconds)",
        &[
            overload!(&[I64, I64, I64, I64, I64, D], Type::TimestampTz, make_timestamp),
            overload!(&[I64, I64, I64, I64, I64, D, Type::Varchar], Type::TimestampTz, make_timestamp),
            overload!(&[I64], Type::TimestampTz, of_microseconds),
        ],
    ),
    plain(&["to_timestamp"], "to_timestamp(seconds)", &[overload!(&[D], Type::TimestampTz, to_timestamp)]),
    typed(&["dayname"], "dayname(DATE or TIMESTAMP)", |args, span| named(args, span, time_format::day_name)),
    typed(&["monthname"], "monthname(DATE or TIMESTAMP)", |args, span| named(args, span, time_format::month_name)),
    typed(&["last_day"], "last_day(DATE or TIMESTAMP)", last_day),
    typed(&["days_in_month"], "days_in_month(DATE or TIMESTAMP)", |args, span| {
        let last = last_day(args, span)?;
        take_part(Part::Day, last, span)
    }),
    to_interval!("to_millennia", "millennium", I32, I64),
    to_interval!("to_centuries", "century", I32, I64),
    to_interval!("to_decades", "decade", I32, I64),
    to_interval!("to_years", "year", I32, I64),
    to_interval!("to_quarters", "quarter", I32, I64),
    to_interval!("to_months", "month", I32, I64),
    to_interval!("to_weeks", "week", I32, I64),
    to_interval!("to_days", "day", I32, I64),
    to_interval!("to_hours", "hour", I64),
    to_interval!("to_minutes", "minute", I64),
    to_interval!("to_microseconds", "microsecond", I64),
    plain(&["to_seconds"], "to_seconds(number)", &[overload!(&[D], Type::Interval, |a| micros_interval(double(a, 0), 1e6))]),
    plain(&["to_milliseconds"], "to_milliseconds(number)", &[overload!(&[D], Type::Interval, |a| micros_interval(double(a, 0), 1e3))]),
];

fn int(args: &[Value], i: usize) -> i128 {
    args.get(i).and_then(Value::as_int).unwrap_or_default()
}

fn double(args: &[Value], i: usize) -> f64 {
    if let Some(Value::Double(x)) = args.get(i) { *x } else { f64::NAN }
}

fn micros_interval(x: f64, factor: f64) -> Outcome {
    let micros = (x * factor).round_ties_even();
    if micros.is_nan() || micros.abs() >= 9.2e18 {
        return Err(interval_out_of_range());
    }
    Ok(Value::Interval(Interval { months: 0, days: 0, micros: micros as i64 }))
}

/// INTERVAL amount unit: whatever can be DOUBLE, its fraction cut off but for seconds and milliseconds, as in DuckDB.
pub fn interval_literal(amount: Typed, unit_name: &str, span: Range<usize>) -> Bound {
    let unit = unit(unit_name, &span)?;
    if !cast::castable(&amount.ty, &D) {
        return Err(error(format!("an interval's amount is a number, this is {}", amount.shown()), &span));
    }
    // Whole numbers beyond 2^53 keep their last digits.
    let whole = amount.ty.is_integer();
    let amount = if whole { amount.cast(&Type::HugeInt) } else { amount.cast(&D) };
    let one = datetime::unit_interval(unit);
    Ok(strict(vec![amount], Type::Interval, &span, move |a| {
        let n = match a.first() {
            Some(Value::Double(x)) if matches!(unit, "second" | "millisecond") => return micros_interval(*x, one.micros as f64),
            Some(Value::Double(x)) if x.is_finite() => x.trunc() as i128,
            Some(Value::Int(n)) => *n,
            _ => return Err(interval_out_of_range()),
        };
        // The parts above the day have 32 bits, and so has their amount.
        let fits = one.micros > 0 || i32::try_from(n).is_ok();
        let n = i64::try_from(n).ok().filter(|_| fits).ok_or_else(interval_out_of_range)?;
        datetime::interval_of(n, unit).map(Value::Interval).ok_or_else(interval_out_of_range)
    }))
}

/// The constant name of a part or unit.
fn constant_part(of: &Typed) -> Result<Part, crate::sql::CompileError> {
    let Some(name) = of.constant_text() else { return Err(error("the part must be a constant text", &of.span)) };
    named_part(name, &of.span)
}

fn named_part(name: &str, span: &Range<usize>) -> Result<Part, crate::sql::CompileError> {
    Part::named(name).ok_or_else(|| {
        error_with_help(
            format!("no part `{name}` of a date or time"),
            "parts are year, quarter, month, week, day, hour, minute, second, dow, epoch, …",
            span,
        )
    })
}

/// A date, time, timestamp or interval; text is read as a TIMESTAMP only where it is written as one.
fn moment(of: Typed, also: &[Type]) -> Bound {
    match &of.ty {
        Type::Date | Type::Timestamp | Type::TimestampTz => Ok(of),
        ty if also.contains(ty) => Ok(of),
        Type::Null if !also.is_empty() => {
            Err(error_with_help("NULL may be a date, a time or an interval here", "cast it: `NULL::TIMESTAMP`", &of.span))
        }
        Type::Null => Ok(of.cast(&Type::Timestamp)),
        _ => {
            Err(error_with_help(format!("a date or timestamp is wanted here, this is {}", of.shown()), "cast it: `::TIMESTAMP`", &of.span))
        }
    }
}

/// The day of a date or timestamp that is finite.
fn finite_date(value: Option<&Value>) -> Option<i32> {
    let date = match value? {
        Value::Date(d) => *d,
        Value::Timestamp(t) => datetime::date_of(*t),
        _ => return None,
    };
    (date.unsigned_abs() != datetime::DATE_INFINITY as u32).then_some(date)
}

/// Microseconds since the epoch of a date or timestamp.
fn micros(value: Option<&Value>) -> Option<i64> {
    match value? {
        Value::Timestamp(t) => Some(*t),
        Value::Date(d) => datetime::timestamp_of(*d, 0),
        _ => None,
    }
}

/// True for an infinite date or timestamp.
pub fn is_infinite(args: &[Value]) -> bool {
    micros(args.first()).is_some_and(|at| !datetime::is_finite(at))
}

fn trunc(args: Vec<Typed>, span: &Range<usize>) -> Bound {
    want_args(&args, 2..=2, span)?;
    let mut args = args.into_iter();
    let part = constant_part(&take(&mut args, span)?)?;
    let of = moment(take(&mut args, span)?, &[Type::Interval])?;
    no_era(part, span)?;
    if of.ty == Type::Interval {
        return Ok(strict(vec![of], Type::Interval, span, move |a| match a.first() {
            Some(Value::Interval(i)) => Ok(Value::Interval(time_parts::truncate_interval(*i, part))),
            _ => Ok(Value::Null),
        }));
    }
    let ty = if of.ty == Type::TimestampTz { Type::TimestampTz } else { Type::Timestamp };
    Ok(strict(vec![of], ty, span, move |a| {
        let Some(at) = micros(a.first()) else { return Err(date_out_of_range()) };
        if !datetime::is_finite(at) {
            return Ok(Value::Timestamp(at));
        }
        time_parts::truncate(at, part).map(Value::Timestamp).ok_or_else(date_out_of_range)
    }))
}

fn part(args: Vec<Typed>, span: &Range<usize>) -> Bound {
    want_args(&args, 2..=2, span)?;
    let mut args = args.into_iter();
    let (part, of) = (take(&mut args, span)?, take(&mut args, span)?);
    match &part.node {
        Node::Const(Value::Null) => Ok(null(I64, span)),
        Node::Const(Value::List(names)) => parts(names, &part.span, of, span),
        _ => {
            let part = constant_part(&part)?;
            if of.ty != Type::Null && matches!(of.node, Node::Const(Value::Null)) {
                return Ok(null(I64, span));
            }
            take_part(part, of, span)
        }
    }
}

/// A struct of several parts, each under the name by which it was asked for.
fn parts(names: &[Value], names_span: &Range<usize>, of: Typed, span: &Range<usize>) -> Bound {
    if names.is_empty() {
        return Err(error("at least one part is wanted", names_span));
    }
    if matches!(of.node, Node::Const(Value::Null)) {
        return Ok(null(Type::Null, span));
    }
    let (mut nodes, mut fields) = (Vec::with_capacity(names.len()), Vec::with_capacity(names.len()));
    for name in names {
        let name = name.as_text().ok_or_else(|| error("a part cannot be NULL", names_span))?;
        let part = take_part(named_part(name, names_span)?, of.clone(), span)?;
        fields.push((name.to_string(), part.ty));
        nodes.push(part.node);
    }
    let ty = Type::Struct(fields);
    let whole = Typed::new(Node::Struct(nodes), ty.clone(), span.clone());
    // Of NULL the whole is NULL.
    Ok(strict(vec![of, whole], ty, span, |args| Ok(args.get(1).cloned().unwrap_or_default())))
}

/// A part by its name, of one argument.
pub fn part_of(name: &str, args: Vec<Typed>, span: &Range<usize>) -> Bound {
    part_function(Part::named(name).ok_or_else(|| error("no such part", span))?, args, span)
}

fn part_function(part: Part, args: Vec<Typed>, span: &Range<usize>) -> Bound {
    want_args(&args, 1..=1, span)?;
    let mut args = args.into_iter();
    take_part(part, take(&mut args, span)?, span)
}

fn take_part(part: Part, of: Typed, span: &Range<usize>) -> Bound {
    let of = moment(of, &[Type::Time, Type::Interval])?;
    if matches!(of.ty, Type::Time) && !part.is_of_time() {
        return Err(error("a TIME has no such part", span));
    }
    if of.ty == Type::Date && part == Part::Timezone {
        return Err(error("a DATE has no time zone", span));
    }
    if matches!(of.ty, Type::Interval) && !part.is_of_interval() {
        return Err(error("an INTERVAL has no such part", span));
    }
    let ty = if part.is_fractional() { Type::Double } else { Type::BigInt };
    Ok(strict(vec![of], ty, span, move |a| {
        Ok(match a.first() {
            Some(Value::Interval(i)) => time_parts::of_interval(*i, part),
            Some(Value::Time(t)) => time_parts::of_time(*t, part),
            Some(Value::Date(d)) if d.unsigned_abs() != datetime::DATE_INFINITY as u32 => time_parts::of_date(*d as i64, part),
            value => match micros(value) {
                Some(at) if datetime::is_finite(at) => time_parts::of_timestamp(at, part),
                _ => Value::Null,
            },
        })
    }))
}

fn epoch_ms(args: Vec<Typed>, span: &Range<usize>) -> Bound {
    want_args(&args, 1..=1, span)?;
    if args[0].ty == Type::Null {
        return Ok(null(Type::Timestamp, span));
    }
    if !args[0].ty.is_integer() {
        return epoch(args, span, 1000, 1);
    }
    let args: Vec<Typed> = args.into_iter().map(|arg| implicit(arg, &I64, "the milliseconds")).collect::<Result<_, _>>()?;
    let args = args.into_iter().map(|arg| arg.cast(&I64)).collect();
    Ok(strict(args, Type::Timestamp, span, of_milliseconds))
}

/// Only finite timestamps, whose date can be written.
fn of_microseconds(args: &[Value]) -> Outcome {
    match i64::try_from(int(args, 0)) {
        Ok(at) if at >= datetime::TIMESTAMP_LEAST && datetime::is_finite(at) => Ok(Value::Timestamp(at)),
        _ => Err(date_out_of_range()),
    }
}

fn of_milliseconds(args: &[Value]) -> Outcome {
    i64::try_from(int(args, 0) * 1000).map(Value::Timestamp).map_err(|_| date_out_of_range())
}

/// From year, month and day, from days since 1970-01-01, or from a struct of the three.
fn make_date(args: Vec<Typed>, span: &Range<usize>) -> Bound {
    let from_parts = |a: &[Value]| date(int(a, 0), int(a, 1), int(a, 2)).map(Value::Date);
    match args.as_slice() {
        [of] if matches!(of.ty, Type::Struct(_)) => {
            let fields = ["year", "month", "day"].map(|name| (name.to_string(), I64)).to_vec();
            let of = implicit(of.clone(), &Type::Struct(fields), "the struct")?;
            Ok(strict(vec![of], Type::Date, span, move |a| match a.first() {
                Some(Value::Struct(parts)) if parts.iter().all(|part| !part.is_null()) => from_parts(parts),
                _ => Ok(Value::Null),
            }))
        }
        [_] => {
            let args = args.into_iter().map(|arg| implicit(arg, &Type::Integer, "the days")).collect::<Result<_, _>>()?;
            Ok(strict(args, Type::Date, span, |a| Ok(Value::Date(int(a, 0) as i32))))
        }
        _ => {
            want_args(&args, 3..=3, span)?;
            let args = args.into_iter().map(|arg| implicit(arg, &I64, "a part of a date")).collect::<Result<_, _>>()?;
            Ok(strict(args, Type::Date, span, from_parts))
        }
    }
}

fn epoch(args: Vec<Typed>, span: &Range<usize>, divisor: i64, factor: i64) -> Bound {
    want_args(&args, 1..=1, span)?;
    let mut args = args.into_iter();
    let of = moment(take(&mut args, span)?, &[Type::Time, Type::Interval])?;
    Ok(strict(vec![of], I64, span, move |a| {
        let at = match a.first() {
            Some(Value::Time(t)) => Some(*t),
            Some(Value::Interval(i)) => time_parts::interval_micros(*i),
            // Milliseconds hold every date, microseconds those that a TIMESTAMP holds.
            Some(Value::Date(d)) if d.unsigned_abs() != datetime::DATE_INFINITY as u32 => {
                let at = *d as i128 * datetime::MICROS_PER_DAY as i128;
                if divisor == 1 && datetime::timestamp_of(*d, 0).is_none() {
                    return Err(date_out_of_range());
                }
                return i64::try_from(at / divisor as i128 * factor as i128)
                    .map(|n| Value::Int(n as i128))
                    .map_err(|_| date_out_of_range());
            }
            value => micros(value).filter(|t| datetime::is_finite(*t)),
        };
        let Some(at) = at else { return Ok(Value::Null) };
        (at / divisor).checked_mul(factor).map(|n| Value::Int(n as i128)).ok_or_else(date_out_of_range)
    }))
}

/// Eras and zones can be asked for, but neither be counted nor begin.
fn no_era(part: Part, span: &Range<usize>) -> Result<(), crate::sql::CompileError> {
    if matches!(part, Part::Era | Part::Timezone) {
        return Err(error("this part has neither a start nor a length", span));
    }
    Ok(())
}

fn difference(args: Vec<Typed>, span: &Range<usize>, count: fn(Part, i128, i128) -> Option<i64>) -> Bound {
    want_args(&args, 3..=3, span)?;
    let mut args = args.into_iter();
    let part = constant_part(&take(&mut args, span)?)?;
    let (from, to) = (take(&mut args, span)?, take(&mut args, span)?);
    // A NULL is what the other side is.
    let (from, to) = match (&from.ty, &to.ty) {
        (Type::Null, Type::Null) => (from, to),
        (Type::Null, ty) => (from.cast(&ty.clone()), to),
        (ty, Type::Null) => {
            let ty = ty.clone();
            (from, to.cast(&ty))
        }
        _ => (from, to),
    };
    let (from, to) = (moment(from, &[Type::Time])?, moment(to, &[Type::Time])?);
    if [&from, &to].iter().any(|side| matches!(side.node, Node::Const(Value::Null))) {
        return Ok(null(I64, span));
    }
    if from.ty == Type::Time && !part.is_of_time() {
        return Err(error("a TIME has no such unit", span));
    }
    if (from.ty == Type::Time) != (to.ty == Type::Time) {
        return Err(error(format!("{} and {} have no difference", from.shown(), to.shown()), span));
    }
    if from.ty == Type::Time && !part.is_of_time() {
        return Err(error("a TIME has no such part", span));
    }
    no_era(part, span)?;
    // A date beside a timestamp is one, too, and has to be in its range.
    let (from, to) = match (&from.ty, &to.ty) {
        (Type::Date, Type::Timestamp | Type::TimestampTz) => (from.cast(&to.ty.clone()), to),
        (Type::Timestamp | Type::TimestampTz, Type::Date) => {
            let ty = from.ty.clone();
            (from, to.cast(&ty))
        }
        _ => (from, to),
    };
    Ok(strict(vec![from, to], I64, span, move |a| {
        let at = |i: usize| match a.get(i) {
            Some(Value::Time(t)) => Some(*t as i128),
            Some(Value::Timestamp(t)) if datetime::is_finite(*t) => Some(*t as i128),
            Some(Value::Date(d)) if d.unsigned_abs() != datetime::DATE_INFINITY as u32 => {
                Some(*d as i128 * datetime::MICROS_PER_DAY as i128)
            }
            _ => None,
        };
        let (Some(from), Some(to)) = (at(0), at(1)) else { return Ok(Value::Null) };
        count(part, from, to).map(|n| Value::Int(n as i128)).ok_or_else(date_out_of_range)
    }))
}

fn date(year: i128, month: i128, day: i128) -> Result<i32, EvalError> {
    let narrow = |i: i128| i64::try_from(i).ok();
    (|| datetime::make_date(narrow(year)?, narrow(month)?, narrow(day)?))()
        .ok_or_else(|| EvalError(format!("there is no date {year}-{month}-{day}")))
}

fn time(hour: i128, minute: i128, seconds: Option<&Value>) -> Result<i64, EvalError> {
    let seconds = if let Some(Value::Double(x)) = seconds { *x } else { 0.0 };
    let micros = (seconds * 1e6).round();
    // A minute may have a leap second.
    let valid = (0.0..61e6).contains(&micros) && (0..24).contains(&hour) && (0..60).contains(&minute);
    let midnight = hour == 24 && minute == 0 && micros == 0.0;
    let total = if valid || midnight { Some((hour as i64 * 60 + minute as i64) * 60_000_000 + micros as i64) } else { None };
    total.filter(|total| *total <= datetime::MICROS_PER_DAY).ok_or_else(|| EvalError(format!("there is no time {hour}:{minute}:{seconds}")))
}

fn make_timestamp(args: &[Value]) -> Outcome {
    let date = date(int(args, 0), int(args, 1), int(args, 2))?;
    let time = time(int(args, 3), int(args, 4), args.get(5))?;
    let at = datetime::timestamp_of(date, time).ok_or_else(date_out_of_range)?;
    match args.get(6) {
        Some(Value::Text(zone)) => zones::moment(at, &zones::zone(zone)?).map(Value::Timestamp),
        _ => Ok(Value::Timestamp(at)),
    }
}

fn to_timestamp(args: &[Value]) -> Outcome {
    let Some(Value::Double(seconds)) = args.first() else { return Ok(Value::Null) };
    let micros = (seconds * 1e6).round();
    if micros.is_nan() || micros.abs() >= 9.2e18 {
        return Err(date_out_of_range());
    }
    Ok(Value::Timestamp(micros as i64))
}

fn named(args: Vec<Typed>, span: &Range<usize>, name: fn(i32) -> &'static str) -> Bound {
    want_args(&args, 1..=1, span)?;
    let mut args = args.into_iter();
    let of = moment(take(&mut args, span)?, &[])?;
    Ok(strict(vec![of], Type::Varchar, span, move |a| Ok(finite_date(a.first()).map_or(Value::Null, |date| Value::text(name(date))))))
}

fn last_day(args: Vec<Typed>, span: &Range<usize>) -> Bound {
    want_args(&args, 1..=1, span)?;
    let mut args = args.into_iter();
    let of = moment(take(&mut args, span)?, &[])?;
    Ok(strict(vec![of], Type::Date, span, |a| {
        let Some(date) = finite_date(a.first()) else { return Ok(Value::Null) };
        let (year, month, _) = datetime::civil_of(date as i64);
        // DuckDB finds it before the first day of the next month, which must be a date, too.
        let next = datetime::make_date(year + i64::from(month == 12), month % 12 + 1, 1);
        next.ok_or_else(date_out_of_range)?;
        datetime::make_date(year, month, datetime::days_in_month(year, month)).map(Value::Date).ok_or_else(date_out_of_range)
    }))
}

fn strftime(args: Vec<Typed>, span: &Range<usize>) -> Bound {
    want_args(&args, 2..=2, span)?;
    let mut args = args.into_iter();
    let (first, second) = (take(&mut args, span)?, take(&mut args, span)?);
    // DuckDB takes the two in either order.
    let (of, format) = if first.ty == Type::Varchar { (second, first) } else { (first, second) };
    let of = moment(of, &[])?;
    if format.ty == Type::Null {
        return Ok(null(Type::Varchar, span));
    }
    let format = implicit(format, &Type::Varchar, "the format")?;
    if let Some(text) = format.constant_text() {
        time_format::check(text).map_err(|message| error(message, &format.span))?;
    }
    let zoned = of.ty == Type::TimestampTz;
    Ok(strict(vec![of, format], Type::Varchar, span, move |a| {
        let (date, time) = match a.first() {
            Some(Value::Timestamp(at)) if !datetime::is_finite(*at) => return Ok(Value::text(datetime::format_timestamp(*at))),
            Some(Value::Timestamp(at)) => (datetime::date_of(*at), datetime::time_of(*at)),
            Some(Value::Date(date)) if finite_date(a.first()).is_none() => return Ok(Value::text(datetime::format_date(*date))),
            Some(Value::Date(date)) => (*date, 0),
            _ => return Ok(Value::Null),
        };
        let format = a.get(1).and_then(Value::as_text).unwrap_or_default();
        time_format::format(date as i64, time, format, zoned).map(Value::text).map_err(EvalError)
    }))
}

/// One format, or a list of formats of which the first that fits is taken.
fn strptime(args: Vec<Typed>, span: &Range<usize>, or_null: bool) -> Bound {
    want_args(&args, 2..=2, span)?;
    let mut args = args.into_iter();
    let of = implicit(take(&mut args, span)?, &Type::Varchar, "the text")?;
    let formats = take(&mut args, span)?;
    let list = match &formats.node {
        Node::Const(Value::Text(format)) => vec![format.to_string()],
        Node::Const(Value::List(items)) if !items.is_empty() => {
            items.iter().filter_map(|item| item.as_text().map(str::to_string)).collect()
        }
        Node::Const(Value::Null) => return Ok(null(Type::Timestamp, span)),
        _ => return Err(error("the format must be a constant", &formats.span)),
    };
    for format in &list {
        time_format::check(format).map_err(|message| error(message, &formats.span))?;
        if format.contains("%n") {
            return Err(error("`%n` gives a TIMESTAMP_NS, which is not part of the expression language", &formats.span));
        }
    }
    let zoned = list.iter().any(|format| format.contains("%z") || format.contains("%Z"));
    let list = Arc::new(list);
    Ok(strict(vec![of], if zoned { Type::TimestampTz } else { Type::Timestamp }, span, move |a| {
        let text = a.first().and_then(Value::as_text).unwrap_or_default();
        match list.iter().find_map(|format| time_parse::parse(text, format)) {
            Some(Parsed { at, zone: None }) => Ok(Value::Timestamp(at)),
            Some(Parsed { at, zone: Some(zone) }) => zones::moment(at, &zones::zone(&zone)?).map(Value::Timestamp),
            None if or_null => Ok(Value::Null),
            None => Err(EvalError(format!("'{text}' does not follow the format {}", list.join(" or ")))),
        }
    }))
}
