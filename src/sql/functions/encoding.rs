//! Bytes as text and back: hexadecimal, binary, other bases, base64, URL encoding, UTF-8.

use std::sync::Arc;

use base64::Engine;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC};

use super::text::{BYTES_MAX, fail, int, text};
use super::{Function, Overload, plain, strict, typed, want_args};
use crate::sql::bind::{error_with_help, implicit};
use crate::sql::eval::Outcome;
use crate::sql::{EvalError, Type, Value};

const V: Type = Type::Varchar;
const BLOB: Type = Type::Blob;

pub const TABLE: &[Function] = &[
    plain(
        &["hex", "to_hex"],
        "hex(VARCHAR, BLOB or integer)",
        &[
            overload!(&[V], V, hex_of_bytes),
            overload!(&[BLOB], V, hex_of_bytes),
            overload!(&[Type::BigInt], V, |a| Ok(Value::text(format!("{:X}", int(a, 0) as u64)))),
            overload!(&[Type::UBigInt], V, |a| Ok(Value::text(format!("{:X}", int(a, 0) as u64)))),
            overload!(&[Type::HugeInt], V, |a| Ok(Value::text(format!("{:X}", int(a, 0))))),
        ],
    ),
    plain(
        &["bin", "to_binary"],
        "bin(VARCHAR or integer)",
        &[
            overload!(&[V], V, binary_of_bytes),
            overload!(&[Type::UBigInt], V, |a| Ok(Value::text(format!("{:b}", int(a, 0) as u64)))),
            overload!(&[Type::BigInt], V, |a| Ok(Value::text(format!("{:b}", int(a, 0) as u64)))),
            overload!(&[Type::HugeInt], V, |a| Ok(Value::text(format!("{:b}", int(a, 0))))),
        ],
    ),
    plain(&["unhex", "from_hex"], "unhex(VARCHAR)", &[overload!(&[V], BLOB, |a| from_digits(text(a, 0), 4))]),
    plain(&["unbin", "from_binary"], "unbin(VARCHAR)", &[overload!(&[V], BLOB, |a| from_digits(text(a, 0), 1))]),
    plain(
        &["to_base"],
        "to_base(BIGINT, radix [, least length])",
        &[overload!(&[Type::BigInt, Type::Integer], V, to_base), overload!(&[Type::BigInt, Type::Integer, Type::Integer], V, to_base)],
    ),
    plain(
        &["base64", "to_base64"],
        "base64(BLOB)",
        &[overload!(&[BLOB], V, |a| match bounded(bytes(a, 0), 2, "base64") {
            Ok(bytes) => Ok(Value::text(base64::engine::general_purpose::STANDARD.encode(bytes))),
            Err(e) => Err(e),
        })],
    ),
    plain(&["from_base64"], "from_base64(VARCHAR)", &[overload!(&[V], BLOB, from_base64)]),
    plain(&["encode"], "encode(VARCHAR)", &[overload!(&[V], BLOB, |a| Ok(blob(text(a, 0).as_bytes().to_vec())))]),
    plain(&["decode"], "decode(BLOB [, on errors])", &[overload!(&[BLOB], V, decode), overload!(&[BLOB, V], V, decode)]),
    plain(&["url_encode"], "url_encode(VARCHAR)", &[overload!(&[V], V, url_encode)]),
    plain(&["url_decode"], "url_decode(VARCHAR)", &[overload!(&[V], V, url_decode)]),
    typed(&["octet_length"], "octet_length(BLOB)", |args, span| {
        want_args(&args, 1..=1, span)?;
        // A text literal could as well be BIT in DuckDB, and is refused there.
        if let Some(arg) = args.first().filter(|arg| arg.literal) {
            return Err(error_with_help("a BLOB is wanted here", "cast it: `::BLOB`; `strlen` counts the bytes of a text", &arg.span));
        }
        let args = args.into_iter().map(|arg| implicit(arg, &BLOB, "the argument")).collect::<Result<_, _>>()?;
        Ok(strict(args, Type::BigInt, span, |a| Ok(Value::Int(bytes(a, 0).len() as i128))))
    }),
];

/// The bytes of a BLOB or a text.
pub fn bytes(args: &[Value], i: usize) -> &[u8] {
    match args.get(i) {
        Some(Value::Blob(bytes)) => bytes,
        Some(Value::Text(text)) => text.as_bytes(),
        _ => &[],
    }
}

pub fn blob(bytes: Vec<u8>) -> Value {
    Value::Blob(Arc::new(bytes))
}

/// Two digits for each byte.
pub fn hexadecimal(bytes: &[u8], digits: &[u8; 16]) -> String {
    let digit = |bits: u8| digits[bits as usize & 15] as char;
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(*byte)]).collect()
}

/// The bytes, where a result of `factor` bytes for each is not too long.
fn bounded<'a>(bytes: &'a [u8], factor: usize, function: &str) -> Result<&'a [u8], EvalError> {
    if bytes.len().saturating_mul(factor) > BYTES_MAX {
        return Err(EvalError(format!("{function}: the result would be too long")));
    }
    Ok(bytes)
}

fn hex_of_bytes(args: &[Value]) -> Outcome {
    let bytes = bounded(bytes(args, 0), 2, "hex")?;
    Ok(Value::text(hexadecimal(bytes, b"0123456789ABCDEF")))
}

fn binary_of_bytes(args: &[Value]) -> Outcome {
    let bytes = bounded(bytes(args, 0), 8, "bin")?;
    Ok(Value::text(bytes.iter().map(|byte| format!("{byte:08b}")).collect::<String>()))
}

/// Digits of `bits` bits each to bytes; the first byte may have fewer digits than the others.
fn from_digits(digits: &str, bits: usize) -> Outcome {
    let per_byte = 8 / bits;
    let mut out = Vec::with_capacity(digits.len() / per_byte + 1);
    let mut byte = 0u8;
    let missing = (per_byte - digits.len() % per_byte) % per_byte;
    for (i, digit) in digits.chars().enumerate() {
        let Some(value) = digit.to_digit(1 << bits) else {
            return Err(EvalError(format!("`{digit}` is no {} digit", if bits == 4 { "hexadecimal" } else { "binary" })));
        };
        byte = byte << bits | value as u8;
        if (i + missing + 1).is_multiple_of(per_byte) {
            out.push(byte);
            byte = 0;
        }
    }
    Ok(blob(out))
}

fn to_base(args: &[Value]) -> Outcome {
    let (number, radix, least) = (int(args, 0), int(args, 1), int(args, 2));
    if number < 0 {
        return fail("to_base: the number must not be negative");
    }
    if !(2..=36).contains(&radix) {
        return fail("to_base: the radix is 2 to 36");
    }
    if !(0..=64).contains(&least) {
        return fail("to_base: the least length is 0 to 64");
    }
    let (mut rest, mut digits) = (number, Vec::new());
    loop {
        let digit = char::from_digit((rest % radix) as u32, 36).unwrap_or('0');
        digits.push(digit.to_ascii_uppercase());
        rest /= radix;
        if rest == 0 {
            break;
        }
    }
    digits.resize(digits.len().max(least as usize), '0');
    Ok(Value::text(digits.iter().rev().collect::<String>()))
}

/// Reads the digits before the padding, whose trailing bits may be anything.
const BASE64_DIGITS: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_allow_trailing_bits(true).with_decode_padding_mode(DecodePaddingMode::RequireNone),
);

fn from_base64(args: &[Value]) -> Outcome {
    let of = text(args, 0).as_bytes();
    if !of.len().is_multiple_of(4) {
        return fail("from_base64: the length of the text is no multiple of 4");
    }
    // As in DuckDB the third digit decides; what is behind it only has to be one.
    let digits = match of {
        [digits @ .., b'=', b'=' | b'+' | b'/' | b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z'] => digits,
        [digits @ .., b'='] => digits,
        digits => digits,
    };
    match BASE64_DIGITS.decode(digits) {
        Ok(bytes) => Ok(blob(bytes)),
        Err(e) => Err(EvalError(format!("from_base64: {e}"))),
    }
}

fn decode(args: &[Value]) -> Outcome {
    let bytes = bytes(args, 0);
    let problem = match std::str::from_utf8(bytes) {
        Ok(text) => return Ok(Value::text(text)),
        Err(problem) => problem,
    };
    let mode = args.get(1).and_then(Value::as_text).unwrap_or("strict");
    match mode {
        "strict" => Err(EvalError(format!("decode: the bytes are not UTF-8 from byte {} on", problem.valid_up_to()))),
        "replace" => Ok(Value::text(repaired(bytes, "?"))),
        "ignore" => Ok(Value::text(repaired(bytes, ""))),
        other => Err(EvalError(format!("decode: on errors `strict`, `replace` or `ignore`, not `{other}`"))),
    }
}

/// UTF-8 with a replacement for each byte that is none. As in DuckDB the byte that breaks a sequence off goes with it.
fn repaired(bytes: &[u8], replacement: &str) -> String {
    let mut out = String::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some(first) = rest.first() {
        let length = match first {
            0x00..=0x7f => 1,
            0xc0..=0xdf => 2,
            0xe0..=0xef => 3,
            0xf0..=0xf7 => 4,
            _ => 1,
        };
        let continued = rest.iter().skip(1).take(length - 1).take_while(|byte| **byte & 0xc0 == 0x80).count();
        let taken = (continued + 1 + usize::from(continued + 1 < length)).min(rest.len());
        let (sequence, behind) = rest.split_at(taken);
        match std::str::from_utf8(sequence) {
            Ok(text) if continued + 1 == length => out.push_str(text),
            _ => out.push_str(&replacement.repeat(taken)),
        }
        rest = behind;
    }
    out
}

/// Letters, digits and these stand as they are.
const URL_RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'_').remove(b'-').remove(b'~').remove(b'.');

fn url_encode(args: &[Value]) -> Outcome {
    let of = text(args, 0);
    bounded(of.as_bytes(), 3, "url_encode")?;
    Ok(Value::text(percent_encoding::utf8_percent_encode(of, URL_RESERVED).to_string()))
}

fn url_decode(args: &[Value]) -> Outcome {
    match percent_encoding::percent_decode_str(text(args, 0)).decode_utf8() {
        Ok(text) => Ok(Value::text(text)),
        Err(_) => fail("url_decode: the decoded text is not UTF-8"),
    }
}
