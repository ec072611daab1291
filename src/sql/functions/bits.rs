//! The bits of integers and texts.

use super::text::{int, text};
use super::{Function, Overload, plain, take, typed, want_args};
use crate::sql::arith;
use crate::sql::{Type, Value};

const T: Type = Type::TinyInt;

macro_rules! count {
    ($ty:expr, $unsigned:ty) => {
        // 128 set bits do not fit the result's type; DuckDB lets them wrap around.
        overload!(&[$ty], T, |a| Ok(Value::Int((int(a, 0) as $unsigned).count_ones() as i8 as i128)))
    };
}

pub const TABLE: &[Function] = &[
    typed(&["xor"], "xor(integer, integer)", |args, span| {
        want_args(&args, 2..=2, span)?;
        let mut args = args.into_iter();
        arith::bits("xor", take(&mut args, span)?, take(&mut args, span)?, span.clone())
    }),
    plain(
        &["bit_count"],
        "bit_count(integer)",
        &[
            count!(Type::TinyInt, u8),
            count!(Type::SmallInt, u16),
            count!(Type::Integer, u32),
            count!(Type::BigInt, u64),
            count!(Type::HugeInt, u128),
        ],
    ),
    plain(
        &["bit_length"],
        "bit_length(VARCHAR)",
        &[overload!(&[Type::Varchar], Type::BigInt, |a| Ok(Value::Int(text(a, 0).len() as i128 * 8)))],
    ),
];
