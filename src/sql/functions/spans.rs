//! Spans of time: ages, buckets, normalized intervals.

use std::ops::Range;

use super::zones::{self, local, moment};
use super::{Function, Overload, clock_error, plain, strict, take, typed, want_args};
use crate::sql::bind::{Bound, Typed, error, implicit};
use crate::sql::eval::{Outcome, date_out_of_range, interval_out_of_range};
use crate::sql::{EvalError, Interval, Type, Value, datetime};

pub const TABLE: &[Function] = &[
    typed(&["age"], "age(later, earlier)", age),
    typed(&["time_bucket"], "time_bucket(INTERVAL, DATE or TIMESTAMP [, origin or offset])", bucket),
    plain(&["normalized_interval"], "normalized_interval(INTERVAL)", &[overload!(&[Type::Interval], Type::Interval, normalized)]),
];

/// In years, months, days and less, as a calendar counts them.
fn age(args: Vec<Typed>, span: &Range<usize>) -> Bound {
    if args.len() == 1 {
        return Err(clock_error("age", span));
    }
    want_args(&args, 2..=2, span)?;
    let ty = if args.iter().any(|arg| arg.ty == Type::TimestampTz) { Type::TimestampTz } else { Type::Timestamp };
    let args = args.into_iter().map(|arg| implicit(arg, &ty, "a timestamp")).collect::<Result<_, _>>()?;
    Ok(strict(args, Type::Interval, span, |args| {
        let (Some(Value::Timestamp(a)), Some(Value::Timestamp(b))) = (args.first(), args.get(1)) else { return Ok(Value::Null) };
        if !datetime::is_finite(*a) || !datetime::is_finite(*b) {
            return Ok(Value::Null);
        }
        let forwards = calendar_difference(*a.max(b), *a.min(b)).ok_or_else(interval_out_of_range)?;
        let age = if a < b { datetime::negate_interval(forwards) } else { Some(forwards) };
        age.map(Value::Interval).ok_or_else(interval_out_of_range)
    }))
}

/// `later` - `earlier`; missing days are borrowed from the earlier one's month.
fn calendar_difference(later: i64, earlier: i64) -> Option<Interval> {
    let ((y2, m2, d2), (y1, m1, d1)) =
        (datetime::civil_of(datetime::date_of(later) as i64), datetime::civil_of(datetime::date_of(earlier) as i64));
    let (mut months, mut days) = ((y2 - y1) * 12 + m2 - m1, d2 - d1);
    let mut micros = datetime::time_of(later) - datetime::time_of(earlier);
    if micros < 0 {
        micros += datetime::MICROS_PER_DAY;
        days -= 1;
    }
    while days < 0 {
        days += datetime::days_in_month(y1, m1);
        months -= 1;
    }
    Some(Interval { months: i32::try_from(months).ok()?, days: i32::try_from(days).ok()?, micros })
}

fn normalized(args: &[Value]) -> Outcome {
    let Some(Value::Interval(interval)) = args.first() else { return Ok(Value::Null) };
    // Every part keeps its sign.
    let days = interval.days as i64 + interval.micros / datetime::MICROS_PER_DAY;
    let months = interval.months as i64 + days / 30;
    let (days, micros) = (days % 30, interval.micros % datetime::MICROS_PER_DAY);
    let narrow = |n: i64| i32::try_from(n).map_err(|_| interval_out_of_range());
    Ok(Value::Interval(Interval { months: narrow(months)?, days: narrow(days)?, micros }))
}

/// 2000-01-03, a Monday.
const ORIGIN_MICROS: i64 = 10_959 * datetime::MICROS_PER_DAY;
/// 2000-01, in months since 1970-01.
const ORIGIN_MONTHS: i64 = 360;

enum Width {
    Micros(i64),
    Months(i64),
}

fn width_of(interval: Interval) -> Result<Width, EvalError> {
    let width = if interval.months == 0 {
        let days = (interval.days as i64).checked_mul(datetime::MICROS_PER_DAY);
        Width::Micros(days.and_then(|days| days.checked_add(interval.micros)).ok_or_else(interval_out_of_range)?)
    } else if interval.days == 0 && interval.micros == 0 {
        Width::Months(interval.months as i64)
    } else {
        return Err(EvalError("time_bucket: a width in months has no days and no time".into()));
    };
    match width {
        Width::Micros(n) | Width::Months(n) if n <= 0 => Err(EvalError("time_bucket: the width must be greater than 0".into())),
        width => Ok(width),
    }
}

fn months_of(at: i64) -> i64 {
    let (year, month, _) = datetime::civil_of(datetime::date_of(at) as i64);
    (year - 1970) * 12 + month - 1
}

/// The start of the bucket in which a moment lies.
fn bucket_of(at: i64, width: &Width, origin: Option<i64>) -> Option<i64> {
    match width {
        Width::Micros(width) => {
            let origin = origin.unwrap_or(ORIGIN_MICROS) % width;
            let from_origin = at.checked_sub(origin)?;
            origin.checked_add(from_origin.checked_sub(from_origin.rem_euclid(*width))?)
        }
        Width::Months(width) => {
            let origin = origin.map_or(ORIGIN_MONTHS, months_of);
            let from_origin = months_of(at) - origin;
            let months = origin + from_origin - from_origin.rem_euclid(*width);
            datetime::timestamp_of(datetime::make_date(1970 + months.div_euclid(12), months.rem_euclid(12) + 1, 1)?, 0)
        }
    }
}

/// The third argument is where a bucket begins, how far all are shifted, or (of a TIMESTAMPTZ) the zone whose days count.
fn bucket(args: Vec<Typed>, span: &Range<usize>) -> Bound {
    want_args(&args, 2..=3, span)?;
    let mut args = args.into_iter();
    let width = implicit(take(&mut args, span)?, &Type::Interval, "the width")?;
    let of = take(&mut args, span)?;
    let ty = match &of.ty {
        Type::Date | Type::Timestamp | Type::TimestampTz => of.ty.clone(),
        Type::Null => Type::Date,
        _ => return Err(error(format!("a date or timestamp is wanted here, this is {}", of.shown()), &of.span)),
    };
    let moments = if ty == Type::TimestampTz { Type::TimestampTz } else { Type::Timestamp };
    let mut all = vec![width, of.cast(&moments)];
    if let Some(third) = args.next() {
        all.push(match third.ty {
            Type::Interval => third,
            Type::Varchar if ty == Type::TimestampTz => third,
            Type::Timestamp if ty == Type::Date => return Err(error("the origin must be a DATE, as the second argument is", &third.span)),
            _ => implicit(third, &moments, "the origin")?,
        });
    }
    let as_date = ty == Type::Date;
    Ok(strict(all, ty, span, move |args| {
        let (Some(Value::Interval(width)), Some(Value::Timestamp(at))) = (args.first(), args.get(1)) else { return Ok(Value::Null) };
        let width = width_of(*width)?;
        let back = |at: i64| if as_date { Value::Date(datetime::date_of(at)) } else { Value::Timestamp(at) };
        if !datetime::is_finite(*at) {
            return Ok(back(*at));
        }
        let out = match args.get(2) {
            None => bucket_of(*at, &width, None),
            Some(Value::Timestamp(origin)) if !datetime::is_finite(*origin) => return Ok(Value::Null),
            Some(Value::Timestamp(origin)) => bucket_of(*at, &width, Some(*origin)),
            Some(Value::Interval(offset)) => datetime::negate_interval(*offset)
                .and_then(|negative| datetime::add_to_timestamp(*at, negative))
                .and_then(|at| bucket_of(at, &width, None))
                .and_then(|at| datetime::add_to_timestamp(at, *offset)),
            Some(zone) => {
                let zone = zones::zone(zone.as_text().unwrap_or_default())?;
                bucket_of(local(*at, &zone)?, &width, None).map(|at| moment(at, &zone)).transpose()?
            }
        };
        out.map(back).ok_or_else(date_out_of_range)
    }))
}
