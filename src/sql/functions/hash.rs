//! Hashes: MD5, SHA-1, SHA-256, and DuckDB's own `hash`.

use std::ops::Range;

use md5::Digest;

use super::encoding::{bytes, hexadecimal};
use super::{Function, Overload, lenient, plain, typed, want_args};
use crate::sql::bind::{Bound, Typed};
use crate::sql::eval::Outcome;
use crate::sql::{Interval, Type, Value, datetime};

const V: Type = Type::Varchar;
const BLOB: Type = Type::Blob;

macro_rules! digest {
    ($name:expr, $takes:expr, $result:expr, $run:expr) => {
        plain(
            &[$name],
            $takes,
            &[overload!(&[V], $result, |a| Ok($run(bytes(a, 0)))), overload!(&[BLOB], $result, |a| Ok($run(bytes(a, 0))))],
        )
    };
}

pub const TABLE: &[Function] = &[
    digest!("md5", "md5(VARCHAR or BLOB)", V, |bytes| lower_case_digits(&md5::Md5::digest(bytes))),
    digest!("sha1", "sha1(VARCHAR or BLOB)", V, |bytes| lower_case_digits(&sha1::Sha1::digest(bytes))),
    digest!("sha256", "sha256(VARCHAR or BLOB)", V, |bytes| lower_case_digits(&sha2::Sha256::digest(bytes))),
    digest!("md5_number_lower", "md5_number_lower(VARCHAR or BLOB)", Type::UBigInt, |bytes| md5_half(bytes, 8)),
    digest!("md5_number_upper", "md5_number_upper(VARCHAR or BLOB)", Type::UBigInt, |bytes| md5_half(bytes, 0)),
    typed(&["hash"], "hash(any, …)", hash),
];

fn lower_case_digits(digest: &[u8]) -> Value {
    Value::text(hexadecimal(digest, b"0123456789abcdef"))
}

/// Eight bytes of the MD5, read little-endian: DuckDB's number is the digest in the order of the machine.
fn md5_half(bytes: &[u8], from: usize) -> Value {
    let digest = md5::Md5::digest(bytes);
    let half = digest.iter().skip(from).take(8).enumerate().fold(0u64, |out, (i, byte)| out | (*byte as u64) << (8 * i));
    Value::Int(half as i128)
}

/// The hash of NULL.
const NULL_HASH: u64 = 0xbf58_476d_1ce4_e5b9;
const MULTIPLIER: u64 = 0xd6e8_feb8_6659_fd93;

fn hash(args: Vec<Typed>, span: &Range<usize>) -> Bound {
    want_args(&args, 1..=usize::MAX, span)?;
    let types: Vec<Type> = args.iter().map(|arg| arg.ty.clone()).collect();
    Ok(lenient(args, Type::UBigInt, span, move |args| -> Outcome {
        let hash = args.iter().zip(&types).fold(None, |hash, (value, ty)| Some(with(hash, value, ty)));
        Ok(Value::Int(hash.unwrap_or(NULL_HASH) as i128))
    }))
}

/// Mixes the bits of 64 (Murmur's finalizer with another multiplier).
fn mixed(mut x: u64) -> u64 {
    x ^= x >> 32;
    x = x.wrapping_mul(MULTIPLIER);
    x ^= x >> 32;
    x = x.wrapping_mul(MULTIPLIER);
    x ^ (x >> 32)
}

/// The hash of two values, not the same in the other order.
fn combined(mut left: u64, right: u64) -> u64 {
    left ^= left >> 32;
    left.wrapping_mul(MULTIPLIER) ^ right
}

fn mixed_wide(bits: u128) -> u64 {
    mixed(bits as u64) ^ mixed((bits >> 64) as u64)
}

fn mixed_bytes(bytes: &[u8]) -> u64 {
    let mut hash = 0xe17a_1465 ^ (bytes.len() as u64).wrapping_mul(0xc6a4_a793_5bd1_e995);
    for block in bytes.chunks(8) {
        let block = block.iter().enumerate().fold(0u64, |out, (i, byte)| out | (*byte as u64) << (8 * i));
        hash = (hash ^ block).wrapping_mul(MULTIPLIER);
    }
    mixed(hash)
}

/// What the values before hash to, if there are any, together with this one. The fields of a struct and the elements of a list
/// are combined one by one; a list without any, or NULL, changes nothing.
fn with(before: Option<u64>, value: &Value, ty: &Type) -> u64 {
    let then = |before: Option<u64>, hash: u64| before.map_or(hash, |before| combined(before, hash));
    match (value, ty) {
        (Value::Struct(values), Type::Struct(fields)) => {
            let all = values.iter().zip(fields).fold(before, |hash, (value, (_, ty))| Some(with(hash, value, ty)));
            all.unwrap_or(NULL_HASH)
        }
        (Value::Null, Type::Struct(fields)) => {
            fields.iter().fold(before, |hash, (_, ty)| Some(with(hash, &Value::Null, ty))).unwrap_or(NULL_HASH)
        }
        (Value::List(items), Type::List(inner)) => {
            items.iter().fold(before, |hash, item| Some(then(hash, with(None, item, inner)))).unwrap_or(NULL_HASH)
        }
        (Value::Map(entries), Type::Map(key, value_ty)) => {
            let hash_of_entry = |k: &Value, v: &Value| with(Some(with(None, k, key)), v, value_ty);
            entries.iter().fold(before, |hash, (k, v)| Some(then(hash, hash_of_entry(k, v)))).unwrap_or(NULL_HASH)
        }
        (Value::Null, Type::List(_) | Type::Map(..)) => before.unwrap_or(NULL_HASH),
        _ => then(before, hash_of(value, ty)),
    }
}

/// DuckDB's hash of a value that is not nested. It follows the type in which DuckDB stores the value: what is stored
/// in 32 bits or less is hashed as 32 bits.
fn hash_of(value: &Value, ty: &Type) -> u64 {
    match (value, ty) {
        (Value::Null, _) => NULL_HASH,
        (Value::Bool(b), _) => mixed(*b as u64),
        (Value::Int(i), Type::Uuid) => mixed_wide(*i as u128 ^ 1 << 127),
        (Value::Int(i), Type::HugeInt | Type::Decimal { width: 19.., .. }) => mixed_wide(*i as u128),
        (Value::Int(i), Type::BigInt | Type::UBigInt | Type::Decimal { width: 10.., .. }) => mixed(*i as u64),
        (Value::Int(i), _) => mixed(*i as u32 as u64),
        (Value::Float(x), _) => mixed(if *x == 0.0 {
            0
        } else if x.is_nan() {
            f32::NAN.to_bits()
        } else {
            x.to_bits()
        } as u64),
        (Value::Double(x), _) => mixed(if *x == 0.0 {
            0
        } else if x.is_nan() {
            f64::NAN.to_bits()
        } else {
            x.to_bits()
        }),
        (Value::Text(text), _) => mixed_bytes(text.as_bytes()),
        (Value::Blob(bytes), _) => mixed_bytes(bytes),
        (Value::Date(days), _) => mixed(*days as u32 as u64),
        (Value::Time(micros) | Value::Timestamp(micros), _) => mixed(*micros as u64),
        (Value::Interval(interval), _) => hash_of_interval(*interval),
        _ => NULL_HASH,
    }
}

/// Intervals of the same length are equal: a month has 30 days, a day 24 hours.
fn hash_of_interval(interval: Interval) -> u64 {
    let days = interval.days as i64 + interval.micros / datetime::MICROS_PER_DAY;
    let months = interval.months as i64 + days / 30;
    mixed((days % 30) as u64) ^ mixed(months as u64) ^ mixed((interval.micros % datetime::MICROS_PER_DAY) as u64)
}
