//! What a UUID tells of itself.

use super::text::int;
use super::{Function, Overload, plain};
use crate::sql::eval::Outcome;
use crate::sql::{EvalError, Type, Value};

pub const TABLE: &[Function] = &[
    plain(
        &["uuid_extract_version"],
        "uuid_extract_version(UUID)",
        &[overload!(&[Type::Uuid], Type::UInteger, |a| Ok(Value::Int(version(int(a, 0) as u128) as i128)))],
    ),
    plain(
        &["uuid_extract_timestamp"],
        "uuid_extract_timestamp(UUID of version 7)",
        &[overload!(&[Type::Uuid], Type::TimestampTz, timestamp)],
    ),
];

fn version(bits: u128) -> u32 {
    (bits >> 76) as u32 & 15
}

/// A UUID of version 7 begins with the milliseconds since the epoch (RFC 9562).
fn timestamp(args: &[Value]) -> Outcome {
    let bits = int(args, 0);
    match version(bits as u128) {
        // DuckDB reads the milliseconds with a sign.
        7 => Ok(Value::Timestamp((bits >> 80) as i64 * 1000)),
        other => Err(EvalError(format!("a UUID of version {other} holds no time that can be read; version 7 does"))),
    }
}
