//! Arithmetic: which overload, which result type, which range.

use std::ops::Range;

use super::bind::{Bound, Typed, error, error_with_help};
use super::cast::power_of_ten;
use super::coerce::{self, ANY_DECIMAL, Choice};
use super::eval::{Floating, Node, Operation, Run, Whole, add_interval, date_out_of_range, interval_out_of_range};
use super::{Interval, Type, Value, datetime};

const NUMBERS: &[Type] = &[
    Type::TinyInt,
    Type::SmallInt,
    Type::Integer,
    Type::BigInt,
    Type::HugeInt,
    Type::Float,
    Type::Double,
    ANY_DECIMAL,
    Type::UTinyInt,
    Type::USmallInt,
    Type::UInteger,
    Type::UBigInt,
];

/// The overloads on dates, times and intervals, beside `(T, T)` for every number type T.
fn temporal_overloads(sign: &str) -> &'static [[Type; 2]] {
    use Type::*;
    match sign {
        "+" => &[
            [Date, Integer],
            [Integer, Date],
            [Interval, Interval],
            [Date, Interval],
            [Interval, Date],
            [Time, Interval],
            [Interval, Time],
            [Timestamp, Interval],
            [Interval, Timestamp],
            [TimestampTz, Interval],
            [Interval, TimestampTz],
            [Time, Date],
            [Date, Time],
        ],
        "-" => &[
            [Date, Date],
            [Date, Integer],
            [Timestamp, Timestamp],
            [TimestampTz, TimestampTz],
            [Interval, Interval],
            [Date, Interval],
            [Time, Interval],
            [Timestamp, Interval],
            [TimestampTz, Interval],
        ],
        "*" => &[[Interval, Double], [Double, Interval], [Interval, BigInt], [BigInt, Interval]],
        "/" => &[[Interval, Double]],
        _ => &[],
    }
}

/// The types for which an operator has an overload `(T, T)`.
fn number_overloads(sign: &str) -> Vec<&'static Type> {
    NUMBERS
        .iter()
        .filter(|ty| match sign {
            "/" => ty.is_float(),
            "//" => !ty.is_decimal(),
            _ => true,
        })
        .collect()
}

fn no_fit(sign: &str, left: &Typed, right: &Typed, several: bool, span: &Range<usize>) -> super::CompileError {
    let message = format!("`{sign}` does not go with {} and {}", left.shown(), right.shown());
    let texts = [left, right].iter().filter(|side| side.ty == Type::Varchar).count();
    let is_time = |side: &&Typed| matches!(side.ty, Type::Date | Type::Time | Type::Timestamp | Type::TimestampTz | Type::Interval);
    let times = [left, right].iter().filter(|side| is_time(side)).count();
    let help = match (texts, several) {
        (1.., _) if times == 1 => "a text that is a date or a time is cast: `(…)::DATE`, `(…)::TIMESTAMP`",
        (0, _) if times == 1 && (left.ty.is_numeric() || right.ty.is_numeric()) => "a span of time is an INTERVAL: `INTERVAL 1 DAY`",
        (1.., _) if sign == "+" && (left.literal || right.literal || texts == 2) => {
            "texts are joined by `||`; a text that is a number is cast: `(…)::INTEGER`"
        }
        (1.., _) => "a text that is a number is cast: `(…)::INTEGER`, `(…)::DECIMAL(18,2)`",
        (0, true) => "several meanings fit; cast one side",
        (0, false) => "cast one side to a type that it goes with",
    };
    error_with_help(message, help, span)
}

pub fn binary(sign: &'static str, left: Typed, right: Typed, span: Range<usize>) -> Bound {
    // Lists are concatenated by `+`, too.
    if sign == "+" && [&left, &right].iter().any(|side| matches!(side.ty, Type::List(_))) {
        if ![&left, &right].iter().all(|side| matches!(side.ty, Type::List(_) | Type::Null)) {
            return Err(no_fit(sign, &left, &right, false, &span));
        }
        return super::functions::call_bound("list_concat", vec![left, right], &span);
    }
    let mut overloads: Vec<[Type; 2]> = number_overloads(sign).into_iter().map(|ty| [ty.clone(), ty.clone()]).collect();
    overloads.extend_from_slice(temporal_overloads(sign));
    let args = [left.source(), right.source()];
    match coerce::choose(&args, overloads.iter().map(|params| (params.as_slice(), None))) {
        Choice::One(i) => {
            let [to_left, to_right] = &overloads[i];
            if to_left.is_decimal() {
                return decimal(sign, left, right, span);
            }
            // A side without a type makes it NULL, whatever the other one is.
            let untyped = left.ty == Type::Null || right.ty == Type::Null;
            let (mut left, right) = (left.cast(to_left), right.cast(to_right));
            if untyped {
                left.node = Node::Const(Value::Null);
            }
            if to_left == to_right && to_left.is_numeric() {
                let ty = to_left.clone();
                return Ok(number(operation(sign), left.node, right.node, ty, span));
            }
            temporal(sign, left, right, span)
        }
        Choice::None => Err(no_fit(sign, &left, &right, false, &span)),
        Choice::Several => Err(no_fit(sign, &left, &right, true, &span)),
    }
}

fn operation(sign: &str) -> Operation {
    match sign {
        "+" => Operation::Add,
        "-" => Operation::Subtract,
        "*" => Operation::Multiply,
        "%" => Operation::Modulo,
        "//" => Operation::DivideOrNull,
        _ => Operation::Divide,
    }
}

fn number(operation: Operation, left: Node, right: Node, ty: Type, span: Range<usize>) -> Typed {
    let node = match ty.integer_range() {
        Some((least, most)) => Node::Whole(Box::new(Whole { operation, left, right, least, most, ty: ty.clone() })),
        None => {
            let floating = Box::new(Floating { operation, left, right });
            if ty == Type::Float { Node::Float(floating) } else { Node::Double(floating) }
        }
    };
    Typed::new(node, ty, span)
}

/// DuckDB's rules for decimals: one digit more for a sum, the digits of both for a product, but no step past
/// 18 digits (64 bits) unless an operand is there already, and never past 38; then overflow is checked.
fn decimal(sign: &str, left: Typed, right: Typed, span: Range<usize>) -> Bound {
    let (Some((w1, s1)), Some((w2, s2))) = (coerce::decimal_properties(&left.ty), coerce::decimal_properties(&right.ty)) else {
        return Err(no_fit(sign, &left, &right, false, &span));
    };
    // DuckDB gives up on a type where one side is a NULL literal.
    if [&left, &right].iter().any(|side| side.ty == Type::Null || matches!(side.node, Node::Const(Value::Null))) {
        return Ok(Typed::new(Node::Const(Value::Null), Type::Null, span));
    }
    let max_width = w1.max(w2);
    let operation = operation(sign);
    // A remainder whose operands have no common DECIMAL is taken of doubles.
    if operation == Operation::Modulo && s1.max(s2) + (w1 - s1).max(w2 - s2) > 38 {
        return Ok(number(Operation::ModuloOrNull, left.cast(&Type::Double).node, right.cast(&Type::Double).node, Type::Double, span));
    }
    let (width, scale) = if operation == Operation::Multiply {
        let scale = s1 + s2;
        if scale > 38 {
            return Err(error_with_help(
                format!("the product has {scale} digits behind the point; DECIMAL has at most 38"),
                "cast one side to a smaller scale or to DOUBLE",
                &span,
            ));
        }
        let width = w1 + w2;
        (if width > 18 && max_width <= 18 && scale < 18 { 18 } else { width.min(38) }, scale)
    } else {
        let scale = s1.max(s2);
        let mut width = (scale + (w1 - s1).max(w2 - s2)).max(max_width);
        if operation != Operation::Modulo {
            width += 1;
            if width > 18 && max_width <= 18 {
                width = 18;
            }
        }
        (width.min(38), scale)
    };
    if width == 0 {
        return Err(no_fit(sign, &left, &right, false, &span));
    }
    let ty = Type::Decimal { width, scale };
    // Operands of the result's storage and scale are taken as they are; all others are cast, which may fail.
    let storage = |ty: &Type| match ty {
        Type::SmallInt | Type::Decimal { width: 0..=4, .. } => 2,
        Type::Integer | Type::Decimal { width: 5..=9, .. } => 4,
        Type::BigInt | Type::Decimal { width: 10..=18, .. } => 8,
        Type::HugeInt | Type::Decimal { .. } => 16,
        _ => 0,
    };
    let bring = |typed: Typed, s: u8| {
        let to_scale = if operation == Operation::Multiply { s } else { scale };
        if s == to_scale && storage(&typed.ty) == storage(&ty) { typed } else { typed.cast(&Type::Decimal { width, scale: to_scale }) }
    };
    let (left, right) = (bring(left, s1), bring(right, s2));
    let most = power_of_ten(width) - 1;
    let node = Node::Whole(Box::new(Whole { operation, left: left.node, right: right.node, least: -most, most, ty: ty.clone() }));
    Ok(Typed::new(node, ty, span))
}

fn call(run: fn(&[Value]) -> super::eval::Outcome, left: Typed, right: Typed, ty: Type, span: Range<usize>) -> Typed {
    Typed::new(Node::Call { run: Run::Plain(run), args: vec![left.node, right.node], strict: true }, ty, span)
}

fn temporal(sign: &str, left: Typed, right: Typed, span: Range<usize>) -> Bound {
    use Type as T;
    let pair = (left.ty.clone(), right.ty.clone());
    Ok(match (sign, pair) {
        ("+", (T::Date, T::Integer)) => call(add_days, left, right, T::Date, span),
        ("+", (T::Integer, T::Date)) => call(add_days, right, left, T::Date, span),
        ("+", (T::Interval, T::Interval)) => call(add_intervals, left, right, T::Interval, span),
        ("+", (T::Date | T::Timestamp, T::Interval)) => call(add_to_time_point, left, right, T::Timestamp, span),
        ("+", (T::Interval, T::Date | T::Timestamp)) => call(add_to_time_point, right, left, T::Timestamp, span),
        ("+", (T::TimestampTz, T::Interval)) => call(add_to_instant, left, right, T::TimestampTz, span),
        ("+", (T::Interval, T::TimestampTz)) => call(add_to_instant, right, left, T::TimestampTz, span),
        ("+", (T::Time, T::Interval)) => call(add_to_time, left, right, T::Time, span),
        ("+", (T::Interval, T::Time)) => call(add_to_time, right, left, T::Time, span),
        ("+", (T::Date, T::Time)) => call(date_and_time, left, right, T::Timestamp, span),
        ("+", (T::Time, T::Date)) => call(date_and_time, right, left, T::Timestamp, span),
        ("-", (T::Date, T::Date)) => call(days_between, left, right, T::BigInt, span),
        ("-", (T::Date, T::Integer)) => call(subtract_days, left, right, T::Date, span),
        ("-", (T::Timestamp, T::Timestamp) | (T::TimestampTz, T::TimestampTz)) => call(time_between, left, right, T::Interval, span),
        ("-", (T::Interval, T::Interval)) => call(subtract_intervals, left, right, T::Interval, span),
        ("-", (T::Date | T::Timestamp, T::Interval)) => call(subtract_from_time_point, left, right, T::Timestamp, span),
        ("-", (T::TimestampTz, T::Interval)) => call(subtract_from_instant, left, right, T::TimestampTz, span),
        ("-", (T::Time, T::Interval)) => call(subtract_from_time, left, right, T::Time, span),
        ("*", (T::Interval, _)) => call(multiply_interval, left, right, T::Interval, span),
        ("*", (_, T::Interval)) => call(multiply_interval, right, left, T::Interval, span),
        ("/", (T::Interval, _)) => call(divide_interval, left, right, T::Interval, span),
        _ => return Err(no_fit(sign, &left, &right, false, &span)),
    })
}

type Outcome = super::eval::Outcome;

fn add_days(args: &[Value]) -> Outcome {
    shift_days(args, 1)
}

fn subtract_days(args: &[Value]) -> Outcome {
    shift_days(args, -1)
}

fn shift_days(args: &[Value], sign: i64) -> Outcome {
    let (Some(Value::Date(date)), Some(Value::Int(days))) = (args.first(), args.get(1)) else { return Ok(Value::Null) };
    if date.unsigned_abs() == datetime::DATE_INFINITY as u32 {
        return Ok(Value::Date(*date));
    }
    let day = *date as i64 + sign * *days as i64;
    if day.unsigned_abs() >= datetime::DATE_INFINITY as u64 {
        return Err(date_out_of_range());
    }
    Ok(Value::Date(day as i32))
}

fn days_between(args: &[Value]) -> Outcome {
    let (Some(Value::Date(a)), Some(Value::Date(b))) = (args.first(), args.get(1)) else { return Ok(Value::Null) };
    Ok(Value::Int(*a as i128 - *b as i128))
}

fn time_between(args: &[Value]) -> Outcome {
    let (Some(Value::Timestamp(a)), Some(Value::Timestamp(b))) = (args.first(), args.get(1)) else { return Ok(Value::Null) };
    if !datetime::is_finite(*a) || !datetime::is_finite(*b) {
        return Err(super::EvalError("infinite timestamps have no difference".into()));
    }
    datetime::between(*a, *b).map(Value::Interval).ok_or_else(interval_out_of_range)
}

fn interval_arg(value: Option<&Value>) -> Interval {
    if let Some(Value::Interval(interval)) = value { *interval } else { Interval::default() }
}

fn add_intervals(args: &[Value]) -> Outcome {
    let (a, b) = (interval_arg(args.first()), interval_arg(args.get(1)));
    datetime::add_intervals(a, b).map(Value::Interval).ok_or_else(interval_out_of_range)
}

fn subtract_intervals(args: &[Value]) -> Outcome {
    let (a, b) = (interval_arg(args.first()), interval_arg(args.get(1)));
    datetime::negate_interval(b).and_then(|b| datetime::add_intervals(a, b)).map(Value::Interval).ok_or_else(interval_out_of_range)
}

fn shift_time_point(value: Option<&Value>, interval: Interval) -> Outcome {
    let at = match value {
        Some(Value::Timestamp(at)) => *at,
        Some(Value::Date(date)) => datetime::timestamp_of(*date, 0).ok_or_else(date_out_of_range)?,
        _ => return Ok(Value::Null),
    };
    add_interval(at, interval)
}

fn add_to_time_point(args: &[Value]) -> Outcome {
    shift_time_point(args.first(), interval_arg(args.get(1)))
}

fn subtract_from_time_point(args: &[Value]) -> Outcome {
    let interval = datetime::negate_interval(interval_arg(args.get(1))).ok_or_else(interval_out_of_range)?;
    shift_time_point(args.first(), interval)
}

fn add_to_instant(args: &[Value]) -> Outcome {
    shift_instant(args.first(), interval_arg(args.get(1)))
}

fn subtract_from_instant(args: &[Value]) -> Outcome {
    // Of an infinite one nothing is subtracted, not even what has no negative.
    if let Some(Value::Timestamp(at)) = args.first()
        && !datetime::is_finite(*at)
    {
        return Ok(Value::Timestamp(*at));
    }
    shift_instant(args.first(), datetime::negate_interval(interval_arg(args.get(1))).ok_or_else(interval_out_of_range)?)
}

/// For TIMESTAMPTZ the time goes first, where a part is negative: so does the calendar that DuckDB asks.
fn shift_instant(value: Option<&Value>, interval: Interval) -> Outcome {
    let Some(Value::Timestamp(at)) = value else { return Ok(Value::Null) };
    if interval.months >= 0 && interval.days >= 0 && interval.micros >= 0 {
        return add_interval(*at, interval);
    }
    let step = |value: Value, part: Interval| match value {
        Value::Timestamp(at) => add_interval(at, part),
        other => Ok(other),
    };
    let at = step(Value::Timestamp(*at), Interval { micros: interval.micros, ..Interval::default() })?;
    step(at, Interval { micros: 0, ..interval })
}

/// A time of the day goes round; only the interval's part below a day counts.
fn shift_time(value: Option<&Value>, micros: i64) -> Outcome {
    let Some(Value::Time(time)) = value else { return Ok(Value::Null) };
    Ok(Value::Time((time + micros % datetime::MICROS_PER_DAY).rem_euclid(datetime::MICROS_PER_DAY)))
}

fn add_to_time(args: &[Value]) -> Outcome {
    shift_time(args.first(), interval_arg(args.get(1)).micros)
}

fn subtract_from_time(args: &[Value]) -> Outcome {
    shift_time(args.first(), -(interval_arg(args.get(1)).micros % datetime::MICROS_PER_DAY))
}

fn date_and_time(args: &[Value]) -> Outcome {
    let (Some(Value::Date(date)), Some(Value::Time(time))) = (args.first(), args.get(1)) else { return Ok(Value::Null) };
    datetime::timestamp_of(*date, *time).map(Value::Timestamp).ok_or_else(date_out_of_range)
}

fn multiply_interval(args: &[Value]) -> Outcome {
    let interval = interval_arg(args.first());
    match args.get(1) {
        Some(Value::Int(n)) => {
            // A factor is as wide as the parts that it multiplies.
            let n = i32::try_from(*n).map_err(|_| interval_out_of_range())? as i64;
            let part = |part: i32| i32::try_from((part as i64).checked_mul(n)?).ok();
            let product = (|| {
                Some(Interval { months: part(interval.months)?, days: part(interval.days)?, micros: interval.micros.checked_mul(n)? })
            })();
            product.map(Value::Interval).ok_or_else(interval_out_of_range)
        }
        Some(Value::Double(x)) => scale_interval(interval, *x),
        _ => Ok(Value::Null),
    }
}

fn divide_interval(args: &[Value]) -> Outcome {
    match args.get(1) {
        Some(Value::Double(x)) if *x == 0.0 => Ok(Value::Null),
        Some(Value::Double(x)) => scale_interval(interval_arg(args.first()), 1.0 / x),
        _ => Ok(Value::Null),
    }
}

/// Each part is scaled; a fraction of a month carries into days of which a month has 30, a fraction of a day into its
/// microseconds. The carried fractions are rounded to millionths: PostgreSQL's way, which DuckDB follows.
fn scale_interval(interval: Interval, by: f64) -> Outcome {
    const SECONDS_PER_DAY: f64 = 86_400.0;
    let millionths = |x: f64| (x * 1e6).round_ties_even() / 1e6;
    let whole = |x: f64| if (i32::MIN as f64..i32::MAX as f64 + 1.0).contains(&x) { Ok(x.trunc()) } else { Err(interval_out_of_range()) };
    let (months, days) = (interval.months as f64 * by, interval.days as f64 * by);
    let (whole_months, mut whole_days) = (whole(months)?, whole(days)?);
    let carried_days = millionths((months - whole_months) * 30.0);
    let mut seconds = millionths((days - whole_days + carried_days - carried_days.trunc()) * SECONDS_PER_DAY);
    if seconds.abs() >= SECONDS_PER_DAY {
        let more = (seconds / SECONDS_PER_DAY).trunc();
        whole_days += more;
        seconds -= more * SECONDS_PER_DAY;
    }
    whole_days = whole(whole_days + carried_days.trunc())?;
    let micros = (interval.micros as f64 * by + seconds * 1e6).round_ties_even();
    if micros.is_nan() || micros.abs() >= i64::MAX as f64 {
        return Err(interval_out_of_range());
    }
    Ok(Value::Interval(Interval { months: whole_months as i32, days: whole_days as i32, micros: micros as i64 }))
}

pub fn unary(sign: &'static str, of: Typed, span: Range<usize>) -> Bound {
    if sign == "~" {
        let of = if of.ty == Type::Null { of.cast(&Type::BigInt) } else { of };
        if !of.ty.is_integer() {
            return Err(error(format!("`~` does not go with {}", of.shown()), &span));
        }
        let ty = of.ty.clone();
        let range = ty.integer_range().unwrap_or((0, 0));
        let run = Run::bound(move |args| match args.first() {
            Some(Value::Int(i)) if range.0 == 0 => Ok(Value::Int(range.1 - i)),
            Some(Value::Int(i)) => Ok(Value::Int(!i)),
            _ => Ok(Value::Null),
        });
        return Ok(Typed::new(Node::Call { run, args: vec![of.node], strict: true }, ty, span));
    }
    if of.ty == Type::Interval && sign == "-" {
        let run =
            Run::Plain(|args| datetime::negate_interval(interval_arg(args.first())).map(Value::Interval).ok_or_else(interval_out_of_range));
        return Ok(Typed::new(Node::Call { run, args: vec![of.node], strict: true }, Type::Interval, span));
    }
    if sign == "+" && matches!(of.ty, Type::List(_)) {
        return super::functions::call_bound("list_concat", vec![of], &span);
    }
    if !of.ty.is_numeric() && of.ty != Type::Null {
        return Err(error(format!("`{sign}` does not go with {}", of.shown()), &span));
    }
    // DuckDB gives up on the type of a NULL literal of DECIMAL.
    if of.ty.is_decimal() && matches!(of.node, Node::Const(Value::Null)) {
        return Ok(Typed::new(Node::Const(Value::Null), Type::Null, span));
    }
    if sign == "+" && of.ty != Type::Null {
        return Ok(Typed { literal: false, ..of });
    }
    let ty = if of.ty == Type::Null { Type::BigInt } else { of.ty.clone() };
    let of = of.cast(&ty);
    let run = match ty {
        Type::Float | Type::Double => Run::Plain(|args| {
            Ok(match args.first() {
                Some(Value::Double(x)) => Value::Double(-x),
                Some(Value::Float(x)) => Value::Float(-x),
                _ => Value::Null,
            })
        }),
        _ => {
            let limits = ty.integer_range();
            let shown = ty.clone();
            Run::bound(move |args| {
                let Some(Value::Int(i)) = args.first() else { return Ok(Value::Null) };
                match (limits, i.checked_neg()) {
                    // DuckDB wraps around where the type has no negative numbers.
                    (Some((0, most)), _) => Ok(Value::Int(if *i == 0 { 0 } else { most + 1 - i })),
                    (Some((least, most)), Some(n)) if (least..=most).contains(&n) => Ok(Value::Int(n)),
                    (None, Some(n)) => Ok(Value::Int(n)),
                    _ => Err(super::EvalError(format!("overflow: -({i}) does not fit {shown}"))),
                }
            })
        }
    };
    Ok(Typed::new(Node::Call { run, args: vec![of.node], strict: true }, ty, span))
}

/// `<<`, `>>`, `&`, `|` and `xor` on integers.
pub fn bits(sign: &'static str, left: Typed, right: Typed, span: Range<usize>) -> Bound {
    let overloads: Vec<[Type; 2]> = NUMBERS.iter().filter(|ty| ty.is_integer()).map(|ty| [ty.clone(), ty.clone()]).collect();
    let choice = coerce::choose(&[left.source(), right.source()], overloads.iter().map(|params| (params.as_slice(), None)));
    let Choice::One(i) = choice else { return Err(no_fit(sign, &left, &right, false, &span)) };
    let ty = overloads[i][0].clone();
    let (left, right) = (left.cast(&ty), right.cast(&ty));
    let (least, most) = ty.integer_range().unwrap_or((0, 0));
    let width = 128 - (most as u128).leading_zeros() as i128 + i128::from(least < 0);
    let shown = ty.clone();
    let run = Run::bound(move |args| {
        let (Some(Value::Int(a)), Some(Value::Int(b))) = (args.first(), args.get(1)) else { return Ok(Value::Null) };
        let bad = || Err(super::EvalError(format!("overflow: {a} {sign} {b} does not fit {shown}")));
        Ok(Value::Int(match sign {
            "&" => a & b,
            "xor" => a ^ b,
            "|" => a | b,
            ">>" if *b < 0 || *b >= width => 0,
            ">>" => a >> b,
            _ => {
                if *a < 0 || *b < 0 {
                    return bad();
                }
                if *b >= width {
                    if *a == 0 { 0 } else { return bad() }
                } else if *a > (most >> b) {
                    return bad();
                } else {
                    a << b
                }
            }
        }))
    });
    Ok(Typed::new(Node::Call { run, args: vec![left.node, right.node], strict: true }, ty, span))
}
