//! Trigonometry, gamma, multiples, neighbours of floating-point numbers, and DuckDB's macros over numbers.

use std::ops::Range;

use super::numeric::double;
use super::{Function, Overload, call_bound, plain, take, typed, want_args};
use crate::sql::arith;
use crate::sql::bind::{Bound, Typed, compared, comparison};
use crate::sql::compare::Comparison;
use crate::sql::eval::{Node, Outcome};
use crate::sql::{EvalError, Type, Value};

const D: Type = Type::Double;
const F: Type = Type::Float;
const BOOL: Type = Type::Boolean;

macro_rules! double {
    ($name:expr, $run:expr) => {
        plain(&[$name], concat!($name, "(number)"), &[overload!(&[D], D, |a| ($run)(double(a, 0)).map(Value::Double))])
    };
}

pub const TABLE: &[Function] = &[
    double!("sin", |x: f64| finite("sin", x).map(f64::sin)),
    double!("cos", |x: f64| finite("cos", x).map(f64::cos)),
    double!("tan", |x: f64| finite("tan", x).map(f64::tan)),
    double!("cot", |x: f64| {
        let x = finite("cot", x)?;
        if x == 0.0 { Err(EvalError("cot of zero".into())) } else { Ok(1.0 / x.tan()) }
    }),
    double!("asin", |x: f64| within("asin", x).map(f64::asin)),
    double!("acos", |x: f64| within("acos", x).map(f64::acos)),
    double!("atan", |x: f64| fine(x.atan())),
    plain(&["atan2"], "atan2(y, x)", &[overload!(&[D, D], D, |a| Ok(Value::Double(double(a, 0).atan2(double(a, 1)))))]),
    double!("sinh", |x: f64| fine(x.sinh())),
    double!("cosh", |x: f64| fine(x.cosh())),
    double!("tanh", |x: f64| fine(x.tanh())),
    double!("asinh", |x: f64| fine(libm::asinh(x))),
    double!("acosh", |x: f64| fine(libm::acosh(x))),
    double!("atanh", |x: f64| {
        let x = within("atanh", x)?;
        // DuckDB gives the positive infinity at both ends.
        if x.abs() == 1.0 { Ok(f64::INFINITY) } else { Ok(libm::atanh(x)) }
    }),
    double!("cbrt", |x: f64| fine(x.cbrt())),
    double!("gamma", |x: f64| if x == 0.0 { Err(EvalError("gamma of zero".into())) } else { Ok(libm::tgamma(x)) }),
    double!("lgamma", |x: f64| if x == 0.0 { Err(EvalError("lgamma of zero".into())) } else { Ok(libm::lgamma(x)) }),
    double!("even", |x: f64| fine(even(x))),
    plain(
        &["nextafter"],
        "nextafter(number, towards)",
        &[
            overload!(&[D, D], D, |a| Ok(Value::Double(libm::nextafter(double(a, 0), double(a, 1))))),
            overload!(&[F, F], F, |a| Ok(Value::Float(libm::nextafterf(float(a, 0), float(a, 1))))),
        ],
    ),
    plain(
        &["signbit"],
        "signbit(number)",
        &[
            overload!(&[F], BOOL, |a| Ok(Value::Bool(float(a, 0).is_sign_negative()))),
            overload!(&[D], BOOL, |a| Ok(Value::Bool(double(a, 0).is_sign_negative()))),
        ],
    ),
    typed(&["fdiv"], "fdiv(number, number)", fdiv),
    typed(&["fmod"], "fmod(number, number)", fmod),
    typed(&["round_even", "roundbankers"], "round_even(number, digits)", round_even),
];

fn float(args: &[Value], i: usize) -> f32 {
    if let Some(Value::Float(x)) = args.get(i) { *x } else { 0.0 }
}

fn fine(x: f64) -> Result<f64, EvalError> {
    Ok(x)
}

fn finite(function: &str, x: f64) -> Result<f64, EvalError> {
    if x.is_infinite() { Err(EvalError(format!("{function} of infinity"))) } else { Ok(x) }
}

fn within(function: &str, x: f64) -> Result<f64, EvalError> {
    if (-1.0..=1.0).contains(&x) || x.is_nan() { Ok(x) } else { Err(EvalError(format!("{function} is defined from -1 to 1, not at {x}"))) }
}

/// The next even number away from zero.
fn even(x: f64) -> f64 {
    let away = if x >= 0.0 { x.ceil() } else { x.floor() };
    if (away / 2.0).floor() * 2.0 == away {
        return away;
    }
    if away >= 0.0 { away + 1.0 } else { away - 1.0 }
}

fn two(args: Vec<Typed>, span: &Range<usize>) -> Result<(Typed, Typed), crate::sql::CompileError> {
    want_args(&args, 2..=2, span)?;
    let mut args = args.into_iter();
    Ok((take(&mut args, span)?, take(&mut args, span)?))
}

fn literal(i: i128, span: &Range<usize>) -> Typed {
    Typed { node: Node::Const(Value::Int(i)), ty: Type::Integer, literal: true, span: span.clone() }
}

/// `floor(x / y)`
fn fdiv(args: Vec<Typed>, span: &Range<usize>) -> Bound {
    let (x, y) = two(args, span)?;
    call_bound("floor", vec![arith::binary("/", x, y, span.clone())?], span)
}

/// `x - y * floor(x / y)`
fn fmod(args: Vec<Typed>, span: &Range<usize>) -> Bound {
    let (x, y) = two(args, span)?;
    let whole = fdiv(vec![x.clone(), y.clone()], span)?;
    arith::binary("-", x, arith::binary("*", y, whole, span.clone())?, span.clone())
}

/// `CASE WHEN abs(x) * power(10, n + 1) % 10 = 5 THEN round(x / 2, n) * 2 ELSE round(x, n) END`
fn round_even(args: Vec<Typed>, span: &Range<usize>) -> Bound {
    let (x, n) = two(args, span)?;
    let of = |sign, left, right| arith::binary(sign, left, right, span.clone());
    let power = call_bound("power", vec![literal(10, span), of("+", n.clone(), literal(1, span))?], span)?;
    let rest = of("%", of("*", call_bound("abs", vec![x.clone()], span)?, power)?, literal(10, span))?;
    let (rest, five, _) = compared(rest, literal(5, span), true, span)?;
    let half_way = comparison(Comparison::Equal, rest, five, span);
    let halved = call_bound("round", vec![of("/", x.clone(), literal(2, span))?, n.clone()], span)?;
    let even = of("*", halved, literal(2, span))?;
    let rounded = call_bound("round", vec![x, n], span)?;
    call_bound("if", vec![half_way, even, rounded], span)
}

/// Greatest common divisors and least common multiples, in 128 bits.
pub fn gcd(args: &[Value]) -> Outcome {
    let (a, b) = pair(args);
    i128::try_from(greatest_divisor(a, b)).map(Value::Int).map_err(|_| EvalError("overflow in gcd".into()))
}

pub fn lcm(args: &[Value]) -> Outcome {
    let (a, b) = pair(args);
    if a == 0 || b == 0 {
        return Ok(Value::Int(0));
    }
    let multiple = (a.unsigned_abs() / greatest_divisor(a, b)).checked_mul(b.unsigned_abs());
    multiple.and_then(|m| i128::try_from(m).ok()).map(Value::Int).ok_or_else(|| EvalError("overflow in lcm".into()))
}

/// In 64 bits.
pub fn narrow(outcome: Outcome) -> Outcome {
    match outcome? {
        Value::Int(i) if i64::try_from(i).is_err() => Err(EvalError(format!("overflow: {i} does not fit BIGINT"))),
        value => Ok(value),
    }
}

fn pair(args: &[Value]) -> (i128, i128) {
    (args.first().and_then(Value::as_int).unwrap_or(0), args.get(1).and_then(Value::as_int).unwrap_or(0))
}

fn greatest_divisor(a: i128, b: i128) -> u128 {
    let (mut a, mut b) = (a.unsigned_abs(), b.unsigned_abs());
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}
