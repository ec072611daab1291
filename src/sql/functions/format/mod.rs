//! `format` and `printf`, by the rules of the fmt library as DuckDB uses it.

mod braces;
mod number;
mod percent;

use std::ops::Range;

use super::text::BYTES_MAX;
use super::{Function, strict, take, typed, want_args};
use crate::sql::bind::{Bound, Typed, implicit};
use crate::sql::{EvalError, Type, Value};

pub const TABLE: &[Function] = &[
    typed(&["format"], "format(VARCHAR, any, …)", |args, span| bind(args, span, braces::format)),
    typed(&["printf"], "printf(VARCHAR, any, …)", |args, span| bind(args, span, percent::format)),
];

type Failure = EvalError;

fn fail<T>(message: impl Into<String>) -> Result<T, Failure> {
    Err(EvalError(message.into()))
}

/// An argument as the formats see it.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Arg<'v> {
    Bool(bool),
    /// BIGINT and below
    Signed(i64),
    /// UBIGINT and below
    Unsigned(u64),
    Huge(i128),
    /// What a conversion of HUGEINT to its unsigned type makes.
    UnsignedHuge(u128),
    /// One byte, by `%c`
    Byte(u8),
    Double(f64),
    Text(&'v str),
}

impl Arg<'_> {
    fn is_integral(&self) -> bool {
        !matches!(self, Arg::Double(_) | Arg::Text(_))
    }

    fn is_arithmetic(&self) -> bool {
        !matches!(self, Arg::Text(_))
    }

    /// Sign and magnitude of an integral argument.
    fn magnitude(&self) -> (bool, u128) {
        match *self {
            Arg::Bool(b) => (false, b as u128),
            Arg::Signed(i) => (i < 0, i.unsigned_abs() as u128),
            Arg::Unsigned(i) => (false, i as u128),
            Arg::Huge(i) => (i < 0, i.unsigned_abs()),
            Arg::UnsignedHuge(i) => (false, i),
            Arg::Byte(b) => (false, b as u128),
            Arg::Double(_) | Arg::Text(_) => (false, 0),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Align {
    None,
    Left,
    Right,
    Center,
    /// The padding stands between the sign and the digits.
    Numeric,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sign {
    None,
    Minus,
    Plus,
    Space,
}

/// What stands between the colon and the brace, or behind the percent sign.
#[derive(Debug, Clone, Copy)]
struct Spec {
    fill: u8,
    align: Align,
    sign: Sign,
    /// `#`
    alternate: bool,
    width: usize,
    precision: Option<usize>,
    thousands: Option<u8>,
    /// The type's letter, 0 for none.
    kind: u8,
}

impl Spec {
    const PLAIN: Spec =
        Spec { fill: b' ', align: Align::None, sign: Sign::None, alternate: false, width: 0, precision: None, thousands: None, kind: 0 };
}

/// The output; text at last, but `%c` writes single bytes.
#[derive(Default)]
struct Output(Vec<u8>);

impl Output {
    fn push(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        if self.0.len() + bytes.len() > BYTES_MAX {
            return fail("the formatted text would be too long");
        }
        self.0.extend_from_slice(bytes);
        Ok(())
    }

    fn fill(&mut self, byte: u8, count: usize) -> Result<(), Failure> {
        if self.0.len().saturating_add(count) > BYTES_MAX {
            return fail("the formatted text would be too long");
        }
        self.0.resize(self.0.len() + count, byte);
        Ok(())
    }

    /// The value with padding around it up to the width, which counts code points.
    fn padded(&mut self, value: &[u8], spec: &Spec) -> Result<(), Failure> {
        let size = value.iter().filter(|byte| **byte & 0xc0 != 0x80).count();
        let padding = spec.width.saturating_sub(size);
        let before = match spec.align {
            Align::Right => padding,
            Align::Center => padding / 2,
            _ => 0,
        };
        self.fill(spec.fill, before)?;
        self.push(value)?;
        self.fill(spec.fill, padding - before)
    }

    fn text(self) -> Result<Value, Failure> {
        match String::from_utf8(self.0) {
            Ok(text) => Ok(Value::text(text)),
            Err(_) => fail("the formatted text is not UTF-8: `%c` writes a single byte, use chr(…) for a character"),
        }
    }
}

/// A text argument: cut to the precision, padded to the width.
fn write_text(out: &mut Output, text: &str, spec: &Spec) -> Result<(), Failure> {
    if !matches!(spec.kind, 0 | b's') {
        return wrong_kind(spec.kind, "text");
    }
    let end = spec.precision.and_then(|most| text.char_indices().nth(most)).map_or(text.len(), |(at, _)| at);
    out.padded(&text.as_bytes()[..end], spec)
}

fn wrong_kind<T>(kind: u8, what: &str) -> Result<T, Failure> {
    fail(format!("the type `{}` does not go with {what}", kind as char))
}

/// Where the arguments of a format come from: by their order or by their numbers, never both.
struct Args<'v> {
    args: &'v [Arg<'v>],
    next: usize,
    numbered: bool,
}

impl<'v> Args<'v> {
    fn new(args: &'v [Arg<'v>]) -> Args<'v> {
        Args { args, next: 0, numbered: false }
    }

    fn next(&mut self) -> Result<Arg<'v>, Failure> {
        if self.numbered {
            return fail("arguments by their order cannot follow arguments by their numbers");
        }
        self.next += 1;
        self.get(self.next - 1)
    }

    fn numbered(&mut self, i: usize) -> Result<Arg<'v>, Failure> {
        if self.next > 0 {
            return fail("arguments by their numbers cannot follow arguments by their order");
        }
        self.numbered = true;
        self.get(i)
    }

    fn get(&self, i: usize) -> Result<Arg<'v>, Failure> {
        self.args.get(i).copied().ok_or_else(|| EvalError(format!("the format asks for argument {}, there are {}", i + 1, self.args.len())))
    }
}

/// Digits from `at` on, which stands on one; a leading zero is a number of its own.
fn parse_number(format: &[u8], at: &mut usize) -> Result<usize, Failure> {
    if format.get(*at) == Some(&b'0') {
        *at += 1;
        return Ok(0);
    }
    let mut number = 0usize;
    while let Some(digit) = format.get(*at).filter(|byte| byte.is_ascii_digit()) {
        number = number.saturating_mul(10).saturating_add((digit - b'0') as usize);
        *at += 1;
    }
    if number > i32::MAX as usize { fail("a number in the format is too big") } else { Ok(number) }
}

type Run = fn(&str, &[Arg]) -> Result<Value, Failure>;

fn bind(args: Vec<Typed>, span: &Range<usize>, run: Run) -> Bound {
    want_args(&args, 1..=usize::MAX, span)?;
    let mut args = args.into_iter();
    let format = implicit(take(&mut args, span)?, &Type::Varchar, "the format")?;
    let mut types = Vec::new();
    let mut all = vec![format];
    for arg in args {
        let to = match &arg.ty {
            Type::Boolean | Type::HugeInt | Type::Varchar => arg.ty.clone(),
            Type::Decimal { .. } | Type::Float | Type::Double => Type::Double,
            ty if ty.integer_range().is_some_and(|(least, _)| least == 0) => Type::UBigInt,
            ty if ty.is_integer() => Type::BigInt,
            _ => Type::Varchar,
        };
        types.push(to.clone());
        all.push(arg.cast(&to));
    }
    Ok(strict(all, Type::Varchar, span, move |values| {
        let Some((Value::Text(format), values)) = values.split_first() else { return Ok(Value::Null) };
        let args: Vec<Arg> = values.iter().zip(&types).filter_map(|(value, ty)| arg_of(value, ty)).collect();
        run(format, &args)
    }))
}

fn arg_of<'v>(value: &'v Value, ty: &Type) -> Option<Arg<'v>> {
    Some(match (value, ty) {
        (Value::Bool(b), _) => Arg::Bool(*b),
        (Value::Int(i), Type::UBigInt) => Arg::Unsigned(*i as u64),
        (Value::Int(i), Type::BigInt) => Arg::Signed(*i as i64),
        (Value::Int(i), _) => Arg::Huge(*i),
        (Value::Double(x), _) => Arg::Double(*x),
        (Value::Text(text), _) => Arg::Text(text),
        _ => return None,
    })
}
