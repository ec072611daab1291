//! Integers and floating-point numbers by a format's spec.

use super::{Align, Arg, Failure, Output, Sign, Spec, fail, wrong_kind};
use crate::sql::functions::text::BYTES_MAX;

/// An integer: sign, `0x`, zeros up to the precision or the width, digits.
pub fn write_integer(out: &mut Output, arg: Arg, spec: &Spec) -> Result<(), Failure> {
    let (negative, magnitude) = arg.magnitude();
    let mut prefix = String::new();
    match spec.sign {
        _ if negative => prefix.push('-'),
        Sign::Plus => prefix.push('+'),
        Sign::Space => prefix.push(' '),
        Sign::None | Sign::Minus => {}
    }
    let digits = if let Some(separator) = spec.thousands {
        grouped(&magnitude.to_string(), separator)
    } else {
        let kind = spec.kind as char;
        match spec.kind {
            0 | b'd' | b'n' | b'l' | b'L' => magnitude.to_string(),
            b'x' | b'X' | b'b' | b'B' => {
                if spec.alternate {
                    prefix.push('0');
                    prefix.push(kind);
                }
                match spec.kind {
                    b'x' => format!("{magnitude:x}"),
                    b'X' => format!("{magnitude:X}"),
                    _ => format!("{magnitude:b}"),
                }
            }
            b'o' => {
                let digits = format!("{magnitude:o}");
                // The prefix counts as a digit.
                if spec.alternate && magnitude != 0 && spec.precision.is_none_or(|precision| precision <= digits.len()) {
                    prefix.push('0');
                }
                digits
            }
            _ => return wrong_kind(spec.kind, "an integer"),
        }
    };
    let size = prefix.len() + digits.len();
    let (zeros, fill) = match spec.precision {
        _ if spec.align == Align::Numeric => (spec.width.saturating_sub(size), spec.fill),
        Some(precision) => (precision.saturating_sub(digits.len()), b'0'),
        None => (0, b'0'),
    };
    if zeros > BYTES_MAX {
        return fail("the formatted text would be too long");
    }
    let mut value = prefix.into_bytes();
    value.resize(value.len() + zeros, fill);
    value.extend_from_slice(digits.as_bytes());
    let align = if spec.align == Align::None { Align::Right } else { spec.align };
    out.padded(&value, &Spec { align, ..*spec })
}

/// Digits with a separator before every third one from the end.
fn grouped(digits: &str, separator: u8) -> String {
    let mut out = String::with_capacity(digits.len() * 4 / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(separator as char);
        }
        out.push(digit);
    }
    out
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Style {
    General,
    Exponent,
    Fixed,
    Hexadecimal,
}

pub fn write_double(out: &mut Output, x: f64, spec: &Spec) -> Result<(), Failure> {
    let style = match spec.kind {
        0 | b'g' | b'G' | b'n' | b'l' | b'L' => Style::General,
        b'e' | b'E' => Style::Exponent,
        b'f' | b'F' => Style::Fixed,
        b'a' | b'A' => Style::Hexadecimal,
        _ => return wrong_kind(spec.kind, "a floating-point number"),
    };
    let upper = matches!(spec.kind, b'G' | b'E' | b'F' | b'A');
    let mut spec = *spec;
    let mut sign = match spec.sign {
        _ if x.is_sign_negative() => "-",
        Sign::Plus => "+",
        Sign::Space => " ",
        Sign::None | Sign::Minus => "",
    };
    let x = x.abs();
    if !x.is_finite() {
        let name = if x.is_nan() { "nan" } else { "inf" };
        let name = if upper { name.to_uppercase() } else { name.to_string() };
        return out.padded(format!("{sign}{name}").as_bytes(), &spec);
    }
    match spec.align {
        Align::None => spec.align = Align::Right,
        Align::Numeric => {
            if !sign.is_empty() {
                out.push(sign.as_bytes())?;
                sign = "";
                spec.width = spec.width.saturating_sub(1);
            }
            spec.align = Align::Right;
        }
        _ => {}
    }
    if spec.precision.is_some_and(|precision| precision > BYTES_MAX) {
        return fail("the formatted text would be too long");
    }
    let digits = match style {
        Style::General => general(x, &spec, upper),
        Style::Exponent => exponent(x, spec.precision.unwrap_or(6), &spec, upper),
        Style::Fixed => fixed(x, spec.precision.unwrap_or(6), &spec),
        Style::Hexadecimal => hexadecimal(x, &spec, upper),
    };
    out.padded(format!("{sign}{digits}").as_bytes(), &spec)
}

/// The point becomes a comma where it separates the thousands (but for the types of a locale).
fn point(spec: &Spec) -> char {
    if spec.thousands == Some(b'.') && !matches!(spec.kind, b'n' | b'l' | b'L') { ',' } else { '.' }
}

fn whole_part(digits: &str, spec: &Spec) -> String {
    match spec.thousands {
        Some(separator) => grouped(digits, separator),
        None => digits.to_string(),
    }
}

/// No double has more digits behind the point than this; what is asked for beyond are zeros (and more than 65535
/// cannot be asked of Rust's own formatting).
const DIGITS_MAX: usize = 1100;

fn fixed(x: f64, precision: usize, spec: &Spec) -> String {
    let digits = format!("{x:.*}", precision.min(DIGITS_MAX));
    let zeros = precision.saturating_sub(DIGITS_MAX);
    let (whole, fraction) = digits.split_once('.').unwrap_or((&digits, ""));
    let mut out = whole_part(whole, spec);
    // With `#` the point stays without a fraction, unless the number is too small to have digits at all.
    if !fraction.is_empty() || (spec.alternate && (x == 0.0 || x >= 0.1)) {
        out.push(point(spec));
    }
    out + fraction + &"0".repeat(zeros)
}

/// `1.5e+00` of Rust's `1.5e0`.
fn exponent(x: f64, precision: usize, spec: &Spec, upper: bool) -> String {
    let digits = format!("{x:.*e}", precision.min(DIGITS_MAX));
    let (mantissa, exponent) = digits.split_once('e').unwrap_or((&digits, "0"));
    let mantissa = mantissa.replace('.', point(spec).encode_utf8(&mut [0; 4])) + &"0".repeat(precision.saturating_sub(DIGITS_MAX));
    format!("{mantissa}{}", written_exponent(exponent.parse().unwrap_or(0), upper))
}

fn written_exponent(exponent: i32, upper: bool) -> String {
    format!("{}{}{:02}", if upper { 'E' } else { 'e' }, if exponent < 0 { '-' } else { '+' }, exponent.abs())
}

/// The shortest digits, or as many as the precision says, with an exponent where the number is very great or small.
fn general(x: f64, spec: &Spec, upper: bool) -> String {
    let wanted = spec.precision.or(if spec.kind == 0 { None } else { Some(6) });
    let scientific = match wanted {
        None => format!("{x:e}"),
        // Half-way between two digits, precision 0 falls back to the usual one (as the fmt library does).
        Some(0) if is_half_way(x) => format!("{x:.6e}"),
        Some(digits) => format!("{x:.*e}", digits.saturating_sub(1).min(DIGITS_MAX)),
    };
    let (mantissa, power) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let power: i32 = power.parse().unwrap_or(0);
    let digits: String = mantissa.chars().filter(|c| *c != '.').collect();
    let digits = match digits.trim_end_matches('0') {
        "" => "0",
        digits => digits,
    };
    let trailing_zeros = spec.alternate || (spec.kind == 0 && spec.precision != Some(0));
    let limit = match wanted {
        Some(digits) if digits > 0 => digits as i32,
        _ => 16,
    };
    let precision = wanted.unwrap_or(0);
    if !(-4..limit).contains(&power) {
        let (first, rest) = digits.split_at(1);
        let zeros = if trailing_zeros { precision.saturating_sub(digits.len()) } else { 0 };
        let mut out = first.to_string();
        if !rest.is_empty() || zeros > 0 {
            out.push(point(spec));
        }
        out.push_str(rest);
        out.push_str(&"0".repeat(zeros));
        return out + &written_exponent(power, upper);
    }
    if power < 0 {
        return format!("0{}{}{digits}", point(spec), "0".repeat((-power - 1) as usize));
    }
    let whole = power as usize + 1;
    let mut out = whole_part(&format!("{digits:0<whole$}")[..whole], spec);
    let fraction = digits.get(whole..).unwrap_or_default();
    if !fraction.is_empty() {
        out.push(point(spec));
        out.push_str(fraction);
        if trailing_zeros {
            out.push_str(&"0".repeat(precision.saturating_sub(digits.len())));
        }
    } else if trailing_zeros {
        out.push(point(spec));
        out.push_str(&"0".repeat(precision.saturating_sub(whole).max(1)));
    }
    out
}

/// True where the number lies exactly between two numbers of one digit.
fn is_half_way(x: f64) -> bool {
    let digits = format!("{x:.DIGITS_MAX$e}");
    let (mantissa, _) = digits.split_once('e').unwrap_or((&digits, ""));
    mantissa.get(1..).is_some_and(|rest| rest.trim_end_matches('0') == ".5")
}

/// C's `%a`: `0x1.8p+0`.
fn hexadecimal(x: f64, spec: &Spec, upper: bool) -> String {
    const FRACTION_BITS: u32 = 52;
    let bits = x.to_bits();
    let fraction = bits & ((1 << FRACTION_BITS) - 1);
    let biased = (bits >> FRACTION_BITS) as i32 & 0x7ff;
    let (mut lead, mut power) = if biased == 0 { (0u64, if fraction == 0 { 0 } else { -1022 }) } else { (1, biased - 1023) };
    let mut digits = format!("{fraction:013x}");
    match spec.precision {
        None => digits.truncate(digits.trim_end_matches('0').len()),
        Some(precision) if precision < digits.len() => {
            let dropped = 4 * (digits.len() - precision) as u32;
            let all = lead << FRACTION_BITS | fraction;
            let (mut kept, rest, half) = (all >> dropped, all & ((1 << dropped) - 1), 1u64 << (dropped - 1));
            kept += u64::from(rest > half || (rest == half && kept & 1 == 1));
            lead = kept >> (4 * precision);
            digits = if precision == 0 { String::new() } else { format!("{:0precision$x}", kept & ((1 << (4 * precision)) - 1)) };
            if biased == 0 && lead == 1 {
                power = -1022;
            }
        }
        Some(precision) => digits.push_str(&"0".repeat(precision - digits.len())),
    }
    let point = if digits.is_empty() && !spec.alternate { "" } else { "." };
    let out = format!("0x{lead}{point}{digits}p{power:+}");
    if upper { out.to_uppercase() } else { out }
}
