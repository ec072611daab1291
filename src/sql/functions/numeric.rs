//! Numbers: rounding, powers, logarithms.

use std::ops::Range;

use super::{Function, Overload, null, plain, strict, take, typed, want_args};
use crate::sql::arith;
use crate::sql::bind::{Bound, Typed, error, implicit};
use crate::sql::cast::{divide_rounded, power_of_ten};
use crate::sql::eval::{Node, Outcome};
use crate::sql::{EvalError, Type, Value};

const D: Type = Type::Double;

macro_rules! double {
    ($names:expr, $takes:expr, $run:expr) => {
        plain($names, $takes, &[overload!(&[D], D, |a| ($run)(double(a, 0)).map(Value::Double))])
    };
}

pub const TABLE: &[Function] = &[
    typed(&["abs"], "abs(number)", abs),
    typed(&["round"], "round(number [, digits])", round),
    typed(&["trunc"], "trunc(number [, digits])", trunc),
    typed(&["floor"], "floor(number)", |args, span| whole(args, span, false)),
    typed(&["ceil", "ceiling"], "ceil(number)", |args, span| whole(args, span, true)),
    typed(&["sign"], "sign(number)", sign),
    typed(&["mod"], "mod(number, number)", |args, span| operator("%", args, span)),
    typed(&["add"], "add(a, b)", |args, span| operator("+", args, span)),
    typed(&["subtract"], "subtract(a, b)", |args, span| operator("-", args, span)),
    typed(&["multiply"], "multiply(a, b)", |args, span| operator("*", args, span)),
    typed(&["divide"], "divide(a, b)", |args, span| operator("//", args, span)),
    plain(&["pow", "power"], "pow(number, number)", &[overload!(&[D, D], D, |a| Ok(Value::Double(double(a, 0).powf(double(a, 1)))))]),
    double!(&["sqrt"], "sqrt(number)", |x: f64| if x < 0.0 { Err(EvalError("sqrt of a negative number".into())) } else { Ok(x.sqrt()) }),
    double!(&["exp"], "exp(number)", |x: f64| Ok::<f64, EvalError>(x.exp())),
    double!(&["ln"], "ln(number)", |x: f64| logarithm(x).map(|()| x.ln())),
    double!(&["log2"], "log2(number)", |x: f64| logarithm(x).map(|()| x.log2())),
    double!(&["log10"], "log10(number)", |x: f64| logarithm(x).map(|()| x.log10())),
    plain(
        &["log"],
        "log(number) or log(base, number)",
        &[
            overload!(&[D], D, |a| logarithm(double(a, 0)).map(|()| Value::Double(double(a, 0).log10()))),
            overload!(&[D, D], D, log_of_base),
        ],
    ),
    plain(&["pi"], "pi()", &[overload!(&[], D, |_| Ok(Value::Double(std::f64::consts::PI)))]),
    double!(&["degrees"], "degrees(number)", |x: f64| Ok::<f64, EvalError>(x.to_degrees())),
    double!(&["radians"], "radians(number)", |x: f64| Ok::<f64, EvalError>(x.to_radians())),
    plain(&["isnan"], "isnan(DOUBLE)", &[overload!(&[D], Type::Boolean, |a| Ok(Value::Bool(double(a, 0).is_nan())))]),
    plain(
        &["isinf"],
        "isinf(DOUBLE, DATE or TIMESTAMP)",
        &[
            overload!(&[D], Type::Boolean, |a| Ok(Value::Bool(double(a, 0).is_infinite()))),
            overload!(&[Type::Date], Type::Boolean, |a| Ok(Value::Bool(super::temporal::is_infinite(a)))),
            overload!(&[Type::Timestamp], Type::Boolean, |a| Ok(Value::Bool(super::temporal::is_infinite(a)))),
            overload!(&[Type::TimestampTz], Type::Boolean, |a| Ok(Value::Bool(super::temporal::is_infinite(a)))),
        ],
    ),
    plain(
        &["isfinite"],
        "isfinite(DOUBLE, DATE or TIMESTAMP)",
        &[
            overload!(&[D], Type::Boolean, |a| Ok(Value::Bool(double(a, 0).is_finite()))),
            overload!(&[Type::Date], Type::Boolean, |a| Ok(Value::Bool(!super::temporal::is_infinite(a)))),
            overload!(&[Type::Timestamp], Type::Boolean, |a| Ok(Value::Bool(!super::temporal::is_infinite(a)))),
            overload!(&[Type::TimestampTz], Type::Boolean, |a| Ok(Value::Bool(!super::temporal::is_infinite(a)))),
        ],
    ),
    plain(&["gcd", "greatest_common_divisor"], "gcd(BIGINT, BIGINT)", &[overload!(&[Type::BigInt, Type::BigInt], Type::BigInt, gcd)]),
    plain(&["factorial"], "factorial(INTEGER)", &[overload!(&[Type::Integer], Type::HugeInt, factorial)]),
];

fn double(args: &[Value], i: usize) -> f64 {
    if let Some(Value::Double(x)) = args.get(i) { *x } else { 0.0 }
}

fn logarithm(x: f64) -> Result<(), EvalError> {
    if x < 0.0 {
        return Err(EvalError("logarithm of a negative number".into()));
    }
    if x == 0.0 {
        return Err(EvalError("logarithm of zero".into()));
    }
    Ok(())
}

fn log_of_base(args: &[Value]) -> Outcome {
    let (base, x) = (double(args, 0), double(args, 1));
    logarithm(base)?;
    logarithm(x)?;
    let divisor = base.log10();
    if divisor == 0.0 {
        return Err(EvalError("logarithm of base 1".into()));
    }
    Ok(Value::Double(x.log10() / divisor))
}

fn gcd(args: &[Value]) -> Outcome {
    let (mut a, mut b) = (args.first().and_then(Value::as_int).unwrap_or(0), args.get(1).and_then(Value::as_int).unwrap_or(0));
    while b != 0 {
        (a, b) = (b, a % b);
    }
    match a.abs() {
        a if a > i64::MAX as i128 => Err(EvalError("overflow in gcd".into())),
        a => Ok(Value::Int(a)),
    }
}

fn factorial(args: &[Value]) -> Outcome {
    let n = args.first().and_then(Value::as_int).unwrap_or(0);
    let mut product = 1i128;
    for k in 2..=n {
        product = product.checked_mul(k).ok_or_else(|| EvalError(format!("overflow: {n}! does not fit HUGEINT")))?;
    }
    Ok(Value::Int(product))
}

fn operator(sign: &'static str, args: Vec<Typed>, span: &Range<usize>) -> Bound {
    want_args(&args, 2..=2, span)?;
    let mut args = args.into_iter();
    arith::binary(sign, take(&mut args, span)?, take(&mut args, span)?, span.clone())
}

/// The one number that a function takes.
fn number(args: &[Typed], span: &Range<usize>) -> Result<Type, crate::sql::CompileError> {
    match args.first() {
        // DuckDB gives up on the type of a NULL literal of DECIMAL.
        Some(arg) if arg.ty.is_decimal() && matches!(arg.node, Node::Const(Value::Null)) => Ok(Type::Null),
        Some(arg) if arg.ty.is_numeric() || arg.ty == Type::Null => Ok(arg.ty.clone()),
        Some(arg) => Err(error(format!("a number is wanted here, this is {}", arg.shown()), &arg.span)),
        None => Err(error("a number is missing", span)),
    }
}

fn abs(args: Vec<Typed>, span: &Range<usize>) -> Bound {
    want_args(&args, 1..=1, span)?;
    let ty = number(&args, span)?;
    if ty == Type::Null {
        return Ok(null(if args[0].ty.is_decimal() { Type::Null } else { Type::BigInt }, span));
    }
    let most = ty.integer_range().map(|(_, most)| most);
    let shown = ty.clone();
    Ok(strict(args, ty, span, move |args| match args.first() {
        Some(Value::Int(i)) => match i.checked_abs() {
            Some(i) if most.is_none_or(|most| i <= most) => Ok(Value::Int(i)),
            _ => Err(EvalError(format!("overflow: abs({i}) does not fit {shown}"))),
        },
        Some(Value::Double(x)) => Ok(Value::Double(x.abs())),
        Some(Value::Float(x)) => Ok(Value::Float(x.abs())),
        _ => Ok(Value::Null),
    }))
}

fn sign(args: Vec<Typed>, span: &Range<usize>) -> Bound {
    want_args(&args, 1..=1, span)?;
    number(&args, span)?;
    let of_float = |x: f64| {
        Value::Int(if x > 0.0 {
            1
        } else if x < 0.0 {
            -1
        } else {
            0
        })
    };
    Ok(strict(args, Type::TinyInt, span, move |args| {
        Ok(match args.first() {
            Some(Value::Int(i)) => Value::Int(i.signum()),
            Some(Value::Double(x)) => of_float(*x),
            Some(Value::Float(x)) => of_float(*x as f64),
            _ => Value::Null,
        })
    }))
}

/// FLOOR and CEIL: DECIMAL loses its scale, integers become DOUBLE.
fn whole(args: Vec<Typed>, span: &Range<usize>, up: bool) -> Bound {
    want_args(&args, 1..=1, span)?;
    let ty = number(&args, span)?;
    match ty {
        Type::Null if args[0].ty.is_decimal() => Ok(null(Type::Null, span)),
        Type::Decimal { width, scale } => {
            let power = power_of_ten(scale);
            Ok(strict(args, Type::Decimal { width, scale: 0 }, span, move |args| match args.first() {
                Some(Value::Int(i)) if up => Ok(Value::Int(i.div_euclid(power) + i128::from(i.rem_euclid(power) != 0))),
                Some(Value::Int(i)) => Ok(Value::Int(i.div_euclid(power))),
                _ => Ok(Value::Null),
            }))
        }
        Type::Float => Ok(strict(args, Type::Float, span, move |args| match args.first() {
            Some(Value::Float(x)) => Ok(Value::Float(if up { x.ceil() } else { x.floor() })),
            _ => Ok(Value::Null),
        })),
        _ => {
            let args = args.into_iter().map(|arg| arg.cast(&D)).collect();
            Ok(strict(args, D, span, move |args| Ok(Value::Double(if up { double(args, 0).ceil() } else { double(args, 0).floor() }))))
        }
    }
}

fn round(args: Vec<Typed>, span: &Range<usize>) -> Bound {
    to_digits(args, span, true)
}

fn trunc(args: Vec<Typed>, span: &Range<usize>) -> Bound {
    to_digits(args, span, false)
}

/// ROUND (half away from zero) and TRUNC. The digits kept of a DECIMAL decide its type, so they must be constant there.
fn to_digits(args: Vec<Typed>, span: &Range<usize>, rounds: bool) -> Bound {
    want_args(&args, 1..=2, span)?;
    let ty = number(&args, span)?;
    let mut args = args.into_iter();
    let mut of = take(&mut args, span)?;
    let ty = match ty {
        // ROUND has no overloads for unsigned integers.
        Type::UTinyInt | Type::USmallInt | Type::UInteger if rounds => Type::BigInt,
        Type::UBigInt if rounds => Type::HugeInt,
        ty => ty,
    };
    if ty != Type::Null {
        of = of.cast(&ty);
    }
    of.literal = false;
    let digits = args.next().map(|digits| implicit(digits, &Type::Integer, "the number of digits")).transpose()?;
    if ty == Type::Null {
        return Ok(null(if of.ty.is_decimal() { Type::Null } else { Type::BigInt }, span));
    }
    let cut = move |i: i128, power: i128| if rounds { divide_rounded(i, power) } else { i / power };
    match ty {
        Type::Decimal { width, scale } => {
            let digits = match digits.as_ref().map(|digits| &digits.node) {
                None => 0,
                Some(Node::Const(Value::Int(digits))) => *digits,
                Some(_) => return Err(error("the number of digits must be constant for a DECIMAL", span)),
            };
            if digits >= scale as i128 {
                return Ok(of);
            }
            let target = digits.max(0) as u8;
            let zeros = (-digits).clamp(0, 39) as u8;
            let result = Type::Decimal { width, scale: target };
            Ok(strict(vec![of], result, span, move |args| match args.first() {
                Some(Value::Int(_)) if scale as u32 + zeros as u32 > 38 => Ok(Value::Int(0)),
                Some(Value::Int(i)) => {
                    let kept = cut(*i, power_of_ten(scale - target + zeros));
                    Ok(Value::Int(kept * power_of_ten(zeros)))
                }
                _ => Ok(Value::Null),
            }))
        }
        Type::Float | Type::Double => {
            let mut args = vec![of];
            args.extend(digits);
            let apply = move |x: f64, digits: Option<i128>| {
                let near = |x: f64| if rounds { x.round() } else { x.trunc() };
                let Some(digits) = digits else { return near(x) };
                let power = 10f64.powi(digits.unsigned_abs().min(400) as i32);
                let out = if digits < 0 { near(x / power) * power } else { near(x * power) / power };
                if out.is_finite() {
                    out
                } else if digits < 0 {
                    0.0
                } else {
                    x
                }
            };
            Ok(strict(args, ty, span, move |args| {
                let digits = args.get(1).and_then(Value::as_int);
                Ok(match args.first() {
                    Some(Value::Double(x)) => Value::Double(apply(*x, digits)),
                    Some(Value::Float(x)) => Value::Float(match digits {
                        None => {
                            if rounds {
                                x.round()
                            } else {
                                x.trunc()
                            }
                        }
                        digits => apply(*x as f64, digits) as f32,
                    }),
                    _ => Value::Null,
                })
            }))
        }
        _ => {
            let Some(digits) = digits else { return Ok(of) };
            let (least, most) = ty.integer_range().unwrap_or((0, 0));
            let shown = ty.clone();
            Ok(strict(vec![of, digits], ty, span, move |args| {
                let (Some(Value::Int(i)), Some(Value::Int(digits))) = (args.first(), args.get(1)) else { return Ok(Value::Null) };
                if *digits >= 0 {
                    return Ok(Value::Int(*i));
                }
                if *digits < -38 {
                    return Ok(Value::Int(0));
                }
                let power = power_of_ten(-digits as u8);
                match cut(*i, power).checked_mul(power) {
                    Some(i) if (least..=most).contains(&i) => Ok(Value::Int(i)),
                    _ => Err(EvalError(format!("overflow: the rounded number does not fit {shown}"))),
                }
            }))
        }
    }
}
