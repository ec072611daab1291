//! `printf`: `%d`, `%-8.2f`, `%1$s`.

use super::number::{write_double, write_integer};
use super::{Align, Arg, Args, Failure, Output, Sign, Spec, fail, parse_number, write_text, wrong_kind};
use crate::sql::Value;

pub fn format(format: &str, args: &[Arg]) -> Result<Value, Failure> {
    let bytes = format.as_bytes();
    let mut args = Args::new(args);
    let mut out = Output::default();
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        at += 1;
        if byte != b'%' {
            out.push(&[byte])?;
        } else if bytes.get(at) == Some(&b'%') {
            out.push(b"%")?;
            at += 1;
        } else {
            conversion(bytes, &mut at, &mut args, &mut out)?;
        }
    }
    out.text()
}

/// Behind the percent sign: `[number$][flags][width][.precision][length]type`.
fn conversion(format: &[u8], at: &mut usize, args: &mut Args, out: &mut Output) -> Result<(), Failure> {
    let mut spec = Spec { align: Align::Right, ..Spec::PLAIN };
    let number = header(format, at, args, &mut spec)?;
    let mut bare_point = false;
    if format.get(*at) == Some(&b'.') {
        *at += 1;
        spec.precision = Some(match format.get(*at) {
            Some(byte) if byte.is_ascii_digit() => parse_number(format, at)?,
            Some(b'*') => {
                *at += 1;
                let arg = args.next()?;
                match int_of(arg, "precision")? {
                    (true, _) => 0,
                    (false, precision) => precision,
                }
            }
            _ => {
                bare_point = true;
                0
            }
        });
    }
    let arg = match number {
        Some(0) => return fail("arguments are numbered from 1"),
        Some(number) => args.numbered(number - 1)?,
        None => args.next()?,
    };
    if arg.is_integral() && arg.magnitude().1 == 0 {
        spec.alternate = false;
    }
    if spec.fill == b'0' {
        if arg.is_arithmetic() {
            spec.align = Align::Numeric;
        } else {
            spec.fill = b' ';
        }
    }
    let length = length_modifier(format, at);
    let Some(&kind) = format.get(*at) else { return fail("the format ends before a type") };
    *at += 1;
    let mut arg = converted(arg, length, kind);
    spec.kind = kind;
    if arg.is_integral() {
        // `%.d` separates the thousands by points.
        if bare_point && matches!(kind, b'd' | b'i' | b'u') {
            spec.thousands = Some(b'.');
        }
        match kind {
            b'i' | b'u' => spec.kind = b'd',
            b'c' => arg = Arg::Byte(low_byte(arg)),
            _ => {}
        }
    }
    write(out, arg, &spec)
}

/// The argument's number, flags and width.
fn header(format: &[u8], at: &mut usize, args: &mut Args, spec: &mut Spec) -> Result<Option<usize>, Failure> {
    let mut number = None;
    if let Some(first) = format.get(*at).filter(|byte| byte.is_ascii_digit()) {
        let value = parse_number(format, at)?;
        if format.get(*at) == Some(&b'$') {
            *at += 1;
            number = Some(value);
        } else {
            if *first == b'0' {
                spec.fill = b'0';
            }
            if value != 0 {
                spec.width = value;
                return Ok(None);
            }
        }
    }
    while let Some(flag) = format.get(*at) {
        match flag {
            b'-' => spec.align = Align::Left,
            b'+' => spec.sign = Sign::Plus,
            b'0' => spec.fill = b'0',
            b' ' => spec.sign = Sign::Space,
            b'#' => spec.alternate = true,
            b',' | b'_' | b'\'' => spec.thousands = Some(*flag),
            _ => break,
        }
        *at += 1;
    }
    match format.get(*at) {
        Some(byte) if byte.is_ascii_digit() => spec.width = parse_number(format, at)?,
        Some(b'*') => {
            *at += 1;
            let arg = args.next()?;
            let (negative, width) = int_of(arg, "width")?;
            if negative {
                spec.align = Align::Left;
            }
            spec.width = width;
        }
        _ => {}
    }
    Ok(number)
}

fn int_of(arg: Arg, what: &str) -> Result<(bool, usize), Failure> {
    if !arg.is_integral() {
        return fail(format!("the {what} is no integer"));
    }
    match arg.magnitude() {
        (_, number) if number > i32::MAX as u128 => fail(format!("the {what} is too big")),
        (negative, number) => Ok((negative, number as usize)),
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Length {
    None,
    /// `hh`
    Byte,
    /// `h`
    Short,
    /// `l`, `ll`, `j`, `z`, `t`
    Long,
    /// `L`, which changes nothing
    LongDouble,
}

fn length_modifier(format: &[u8], at: &mut usize) -> Length {
    let (length, bytes) = match (format.get(*at), format.get(*at + 1)) {
        (Some(b'h'), Some(b'h')) => (Length::Byte, 2),
        (Some(b'h'), _) => (Length::Short, 1),
        (Some(b'l'), Some(b'l')) => (Length::Long, 2),
        (Some(b'l' | b'j' | b'z' | b't'), _) => (Length::Long, 1),
        (Some(b'L'), _) => (Length::LongDouble, 1),
        _ => (Length::None, 0),
    };
    *at += bytes;
    length
}

/// The low bits of an integral argument.
fn low_bits(arg: Arg) -> u128 {
    match arg {
        Arg::Signed(i) => i as i128 as u128,
        Arg::Huge(i) => i as u128,
        arg => arg.magnitude().1,
    }
}

fn low_byte(arg: Arg) -> u8 {
    low_bits(arg) as u8
}

/// Integers are cut to the length; all types but `d` and `i` take them without a sign.
fn converted<'v>(arg: Arg<'v>, length: Length, kind: u8) -> Arg<'v> {
    let signed = matches!(kind, b'd' | b'i');
    let bits = low_bits(arg);
    match (arg, length) {
        (Arg::Bool(_), _) if kind == b's' => arg,
        (Arg::Bool(b), _) => Arg::Signed(b as i64),
        (Arg::Double(_) | Arg::Text(_), _) | (_, Length::LongDouble) => arg,
        // What has no sign gets none.
        (Arg::Unsigned(_), Length::Byte) => Arg::Unsigned(bits as u8 as u64),
        (Arg::Unsigned(_), Length::Short) => Arg::Unsigned(bits as u16 as u64),
        (_, Length::Byte) if signed => Arg::Signed(bits as i8 as i64),
        (_, Length::Byte) => Arg::Unsigned(bits as u8 as u64),
        (_, Length::Short) if signed => Arg::Signed(bits as i16 as i64),
        (_, Length::Short) => Arg::Unsigned(bits as u16 as u64),
        (Arg::Huge(_), Length::Long) if signed => Arg::Signed(bits as i64),
        _ if signed => arg,
        (Arg::Signed(i), _) => Arg::Unsigned(i as u64),
        (Arg::Huge(i), _) => Arg::UnsignedHuge(i as u128),
        _ => arg,
    }
}

fn write(out: &mut Output, arg: Arg, spec: &Spec) -> Result<(), Failure> {
    match arg {
        Arg::Text(text) => write_text(out, text, spec),
        Arg::Double(x) => write_double(out, x, spec),
        Arg::Bool(b) => write_text(out, if b { "true" } else { "false" }, &Spec { kind: 0, ..*spec }),
        Arg::Byte(byte) if spec.kind == b'c' => out.padded(&[byte], &Spec { align: Align::Right, ..*spec }),
        Arg::Byte(_) => wrong_kind(spec.kind, "an integer"),
        arg => write_integer(out, arg, spec),
    }
}
