//! Numbers for people: sizes in bytes, bars.

use super::text::{fail, int, text};
use super::{Function, Overload, plain};
use crate::sql::eval::Outcome;
use crate::sql::{EvalError, Type, Value, cast};

const V: Type = Type::Varchar;
const D: Type = Type::Double;

pub const TABLE: &[Function] = &[
    plain(
        &["format_bytes", "formatReadableSize", "pg_size_pretty"],
        "format_bytes(BIGINT)",
        &[overload!(&[Type::BigInt], V, |a| Ok(size(int(a, 0), 1024, ["KiB", "MiB", "GiB", "TiB", "PiB"])))],
    ),
    plain(
        &["formatReadableDecimalSize"],
        "formatReadableDecimalSize(BIGINT)",
        &[overload!(&[Type::BigInt], V, |a| Ok(size(int(a, 0), 1000, ["kB", "MB", "GB", "TB", "PB"])))],
    ),
    plain(&["parse_formatted_bytes"], "parse_formatted_bytes(VARCHAR)", &[overload!(&[V], Type::UBigInt, parse_size)]),
    plain(&["bar"], "bar(number, least, most [, width])", &[overload!(&[D, D, D, D], V, bar), overload!(&[D, D, D], V, bar)]),
];

/// A number of bytes in the greatest unit of which there is one, with one digit behind the point, cut.
fn size(bytes: i128, step: i128, units: [&str; 5]) -> Value {
    let sign = if bytes < 0 { "-" } else { "" };
    let bytes = bytes.abs();
    let (mut whole, mut rest) = (bytes, 0);
    let mut unit = None;
    for name in units {
        if whole < step {
            break;
        }
        (whole, rest) = (whole / step, whole % step);
        unit = Some(name);
    }
    Value::text(match unit {
        Some(unit) => format!("{sign}{whole}.{} {unit}", rest * 10 / step),
        None => format!("{sign}{bytes} byte{}", if bytes == 1 { "" } else { "s" }),
    })
}

fn parse_size(args: &[Value]) -> Outcome {
    let of = text(args, 0).trim_start_matches(|c: char| c.is_ascii_whitespace());
    let end = of.find(|c: char| !(c.is_ascii_digit() || matches!(c, '.' | 'e' | 'E' | '-'))).unwrap_or(of.len());
    let (number, unit) = of.split_at(end);
    if number.is_empty() {
        return fail("parse_formatted_bytes: a number is missing (`1.5 GB`)");
    }
    let Ok(Value::Double(number)) = cast::from_text(number, &D) else {
        return Err(EvalError(format!("parse_formatted_bytes: `{number}` is no number")));
    };
    let unit = unit.split_ascii_whitespace().next().unwrap_or_default().to_ascii_lowercase();
    let step = match unit.as_str() {
        "b" | "byte" | "bytes" => 1u64,
        "k" | "kb" | "kilobyte" | "kilobytes" => 1000,
        "m" | "mb" | "megabyte" | "megabytes" => 1000u64.pow(2),
        "g" | "gb" | "gigabyte" | "gigabytes" => 1000u64.pow(3),
        "t" | "tb" | "terabyte" | "terabytes" => 1000u64.pow(4),
        "kib" => 1024,
        "mib" => 1024u64.pow(2),
        "gib" => 1024u64.pow(3),
        "tib" => 1024u64.pow(4),
        _ => return Err(EvalError(format!("parse_formatted_bytes: no unit `{unit}`; units are B, KB, MB, GB, TB, KiB, MiB, GiB, TiB"))),
    };
    if number < 0.0 {
        return fail("parse_formatted_bytes: the number must not be negative");
    }
    let bytes = step as f64 * number;
    if bytes >= 18446744073709551616.0 || bytes.is_nan() {
        return fail("parse_formatted_bytes: the number is too great");
    }
    Ok(Value::Int(bytes as u64 as i128))
}

/// A bar of blocks, an eighth of one the least step, filled with spaces to its width.
fn bar(args: &[Value]) -> Outcome {
    let number = |i: usize| match args.get(i) {
        Some(Value::Double(x)) => Some(*x),
        _ => None,
    };
    let (Some(x), Some(least), Some(most)) = (number(0), number(1), number(2)) else { return Ok(Value::Null) };
    let width = number(3).unwrap_or(80.0);
    if !(1.0..=1000.0).contains(&width) {
        return fail("bar: the width is 1 to 1000");
    }
    let filled = if x.is_nan() || least.is_nan() || most.is_nan() || x <= least {
        0.0
    } else if x >= most {
        width
    } else {
        width * (x - least) / (most - least)
    };
    if !filled.is_finite() {
        return fail("bar: the bar's width is no number");
    }
    let eighths = (filled * 8.0) as usize;
    let mut out = "█".repeat(eighths / 8);
    let mut used = eighths / 8;
    if let Some(partial) = ["▏", "▎", "▍", "▌", "▋", "▊", "▉"].get((eighths % 8).wrapping_sub(1)) {
        out.push_str(partial);
        used += 1;
    }
    out.push_str(&" ".repeat((width as usize).saturating_sub(used)));
    Ok(Value::text(out))
}
