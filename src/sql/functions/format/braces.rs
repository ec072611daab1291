//! `format`: `{}`, `{0}`, `{:>10.2f}`.

use super::number::{write_double, write_integer};
use super::{Align, Arg, Args, Failure, Output, Sign, Spec, fail, parse_number, write_text};
use crate::sql::Value;

pub fn format(format: &str, args: &[Arg]) -> Result<Value, Failure> {
    let bytes = format.as_bytes();
    let mut args = Args::new(args);
    let mut out = Output::default();
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        match (byte, bytes.get(at + 1)) {
            (b'{', Some(b'{')) | (b'}', Some(b'}')) => {
                out.push(&[byte])?;
                at += 2;
            }
            (b'}', _) => return fail("a `}` in the format has no `{`; `}}` stands for itself"),
            (b'{', _) => {
                at += 1;
                field(bytes, &mut at, &mut args, &mut out)?;
            }
            _ => {
                out.push(&[byte])?;
                at += 1;
            }
        }
    }
    out.text()
}

fn invalid<T>() -> Result<T, Failure> {
    fail("the format is invalid: a field is `{}`, `{0}` or `{:spec}`")
}

/// Behind the opening brace: which argument, and how.
fn field(format: &[u8], at: &mut usize, args: &mut Args, out: &mut Output) -> Result<(), Failure> {
    let arg = argument(format, at, args, |byte| matches!(byte, b'}' | b':'))?;
    match format.get(*at) {
        Some(b'}') => {
            *at += 1;
            write(out, arg, &Spec::PLAIN)
        }
        Some(b':') => {
            *at += 1;
            let spec = spec(format, at, arg, args)?;
            if format.get(*at) != Some(&b'}') {
                return fail("a field of the format is not closed by `}` behind its type");
            }
            *at += 1;
            write(out, arg, &spec)
        }
        _ => invalid(),
    }
}

/// A number, or nothing for the next argument; stops before one of the ends.
fn argument<'v>(format: &[u8], at: &mut usize, args: &mut Args<'v>, is_end: fn(u8) -> bool) -> Result<Arg<'v>, Failure> {
    match format.get(*at) {
        Some(byte) if is_end(*byte) => args.next(),
        Some(byte) if byte.is_ascii_digit() => {
            let number = parse_number(format, at)?;
            if !format.get(*at).is_some_and(|byte| is_end(*byte)) {
                return invalid();
            }
            args.numbered(number)
        }
        Some(byte) if byte.is_ascii_alphabetic() || *byte == b'_' => {
            fail("arguments have numbers, not names; a type stands behind a colon: `{:d}`")
        }
        _ => invalid(),
    }
}

/// Behind the colon: `[[fill]align][sign or separator][#][0][width][.precision][type]`.
fn spec(format: &[u8], at: &mut usize, arg: Arg, args: &mut Args) -> Result<Spec, Failure> {
    let mut spec = Spec::PLAIN;
    let align_of = |byte: Option<&u8>| match byte {
        Some(b'<') => Some(Align::Left),
        Some(b'>') => Some(Align::Right),
        Some(b'^') => Some(Align::Center),
        Some(b'=') => Some(Align::Numeric),
        _ => None,
    };
    if format.get(*at).is_none_or(|byte| *byte == b'}') {
        return Ok(spec);
    }
    if let Some(align) = align_of(format.get(*at + 1)) {
        spec.fill = format.get(*at).copied().unwrap_or(b' ');
        if spec.fill == b'{' {
            return fail("`{` cannot be the fill");
        }
        spec.align = align;
        *at += 2;
    } else if let Some(align) = align_of(format.get(*at)) {
        spec.align = align;
        *at += 1;
    }
    if spec.align == Align::Numeric {
        want_number(arg)?;
    }
    let sign = match format.get(*at) {
        Some(b'+') => Some(Sign::Plus),
        Some(b'-') => Some(Sign::Minus),
        Some(b' ') => Some(Sign::Space),
        _ => None,
    };
    if let Some(sign) = sign {
        if !matches!(arg, Arg::Signed(_) | Arg::Double(_)) {
            return fail("a sign goes with signed numbers only");
        }
        spec.sign = sign;
        *at += 1;
    } else if let Some(separator @ (b',' | b'_' | b'\'')) = format.get(*at) {
        spec.thousands = Some(*separator);
        *at += 1;
    } else if format.get(*at) == Some(&b't') {
        let Some(separator) = format.get(*at + 1) else { return Ok(spec) };
        spec.thousands = Some(*separator);
        *at += 2;
    }
    if format.get(*at) == Some(&b'#') {
        want_number(arg)?;
        spec.alternate = true;
        *at += 1;
    }
    if format.get(*at) == Some(&b'0') {
        want_number(arg)?;
        spec.align = Align::Numeric;
        spec.fill = b'0';
        *at += 1;
    }
    if let Some(width) = number_or_argument(format, at, args, "width")? {
        spec.width = width;
    }
    if format.get(*at) == Some(&b'.') {
        *at += 1;
        let Some(precision) = number_or_argument(format, at, args, "precision")? else {
            return fail("a precision is missing behind the point");
        };
        if arg.is_integral() {
            return fail("a precision does not go with integers");
        }
        spec.precision = Some(precision);
    }
    if let Some(kind) = format.get(*at).filter(|byte| **byte != b'}') {
        spec.kind = *kind;
        *at += 1;
    }
    Ok(spec)
}

fn want_number(arg: Arg) -> Result<(), Failure> {
    if arg.is_arithmetic() { Ok(()) } else { fail("`=`, `#` and `0` go with numbers only") }
}

/// A width or a precision: digits, or an argument in braces.
fn number_or_argument(format: &[u8], at: &mut usize, args: &mut Args, what: &str) -> Result<Option<usize>, Failure> {
    match format.get(*at) {
        Some(byte) if byte.is_ascii_digit() => parse_number(format, at).map(Some),
        Some(b'{') => {
            *at += 1;
            let arg = argument(format, at, args, |byte| matches!(byte, b'}' | b':'))?;
            if format.get(*at) != Some(&b'}') {
                return invalid();
            }
            *at += 1;
            match arg {
                Arg::Signed(_) | Arg::Unsigned(_) | Arg::Huge(_) => match arg.magnitude() {
                    (true, _) => fail(format!("the {what} is negative")),
                    (false, number) if number > i32::MAX as u128 => fail(format!("the {what} is too big")),
                    (false, number) => Ok(Some(number as usize)),
                },
                _ => fail(format!("the {what} is no integer")),
            }
        }
        _ => Ok(None),
    }
}

fn write(out: &mut Output, arg: Arg, spec: &Spec) -> Result<(), Failure> {
    match arg {
        Arg::Text(text) => write_text(out, text, spec),
        Arg::Double(x) => write_double(out, x, spec),
        Arg::Bool(b) if spec.kind == 0 => write_text(out, if b { "true" } else { "false" }, spec),
        arg => write_integer(out, arg, spec),
    }
}
