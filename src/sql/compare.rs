//! The order of values: DuckDB's, in which NaN is the greatest number and NULL inside nested values the greatest value.

use std::cmp::Ordering;

use super::{Type, Value, datetime};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

impl Comparison {
    #[inline]
    pub fn holds(self, order: Ordering) -> bool {
        match self {
            Comparison::Equal => order.is_eq(),
            Comparison::NotEqual => order.is_ne(),
            Comparison::Less => order.is_lt(),
            Comparison::LessOrEqual => order.is_le(),
            Comparison::Greater => order.is_gt(),
            Comparison::GreaterOrEqual => order.is_ge(),
        }
    }
}

/// How two values are compared, chosen when the expression is compiled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum By {
    Int,
    Text,
    /// UUIDs: 128 bits without a sign.
    Bits,
    Value,
}

impl By {
    pub fn of(ty: &Type) -> By {
        match ty {
            Type::Uuid => By::Bits,
            Type::Varchar | Type::Json => By::Text,
            ty if ty.is_integer() || ty.is_decimal() => By::Int,
            _ => By::Value,
        }
    }

    #[inline]
    pub fn order(self, left: &Value, right: &Value) -> Ordering {
        match (self, left, right) {
            (By::Int, Value::Int(a), Value::Int(b)) => a.cmp(b),
            (By::Text, Value::Text(a), Value::Text(b)) => a.as_bytes().cmp(b.as_bytes()),
            (By::Bits, Value::Int(a), Value::Int(b)) => (*a as u128).cmp(&(*b as u128)),
            _ => order(left, right),
        }
    }
}

pub fn order_floats(a: f64, b: f64) -> Ordering {
    match (a.is_nan(), b.is_nan()) {
        (true, true) => Ordering::Equal,
        (true, false) => Ordering::Greater,
        (false, true) => Ordering::Less,
        _ => a.partial_cmp(&b).unwrap_or(Ordering::Equal),
    }
}

fn order_lists(a: &[Value], b: &[Value]) -> Ordering {
    a.iter().zip(b).map(|(x, y)| order(x, y)).find(|o| o.is_ne()).unwrap_or_else(|| a.len().cmp(&b.len()))
}

/// The order of two values of one type; NULL equals NULL and is greater than every value.
pub fn order(left: &Value, right: &Value) -> Ordering {
    match (left, right) {
        (Value::Null, Value::Null) => Ordering::Equal,
        (Value::Null, _) => Ordering::Greater,
        (_, Value::Null) => Ordering::Less,
        (Value::Bool(a), Value::Bool(b)) => a.cmp(b),
        (Value::Int(a), Value::Int(b)) => a.cmp(b),
        (Value::Float(a), Value::Float(b)) => order_floats(*a as f64, *b as f64),
        (Value::Double(a), Value::Double(b)) => order_floats(*a, *b),
        (Value::Text(a), Value::Text(b)) => a.as_bytes().cmp(b.as_bytes()),
        (Value::Blob(a), Value::Blob(b)) => a.cmp(b),
        (Value::Date(a), Value::Date(b)) => a.cmp(b),
        (Value::Time(a), Value::Time(b)) | (Value::Timestamp(a), Value::Timestamp(b)) => a.cmp(b),
        (Value::Interval(a), Value::Interval(b)) => datetime::interval_order(*a).cmp(&datetime::interval_order(*b)),
        (Value::List(a), Value::List(b)) | (Value::Struct(a), Value::Struct(b)) => order_lists(a, b),
        (Value::Map(a), Value::Map(b)) => a
            .iter()
            .zip(b.iter())
            .map(|((k1, v1), (k2, v2))| order(k1, k2).then_with(|| order(v1, v2)))
            .find(|o| o.is_ne())
            .unwrap_or_else(|| a.len().cmp(&b.len())),
        _ => Ordering::Equal,
    }
}

/// The order of DuckDB's sort keys, by which GREATEST, LEAST and sorted lists go: as [`order`], but an INTERVAL by its parts.
pub fn order_by_key(left: &Value, right: &Value) -> Ordering {
    let all = |a: &[Value], b: &[Value]| {
        a.iter().zip(b).map(|(x, y)| order_by_key(x, y)).find(|o| o.is_ne()).unwrap_or_else(|| a.len().cmp(&b.len()))
    };
    match (left, right) {
        (Value::Interval(a), Value::Interval(b)) => (a.months, a.days, a.micros).cmp(&(b.months, b.days, b.micros)),
        (Value::List(a), Value::List(b)) | (Value::Struct(a), Value::Struct(b)) => all(a, b),
        (Value::Map(a), Value::Map(b)) => a
            .iter()
            .zip(b.iter())
            .map(|((k1, v1), (k2, v2))| order_by_key(k1, k2).then_with(|| order_by_key(v1, v2)))
            .find(|o| o.is_ne())
            .unwrap_or_else(|| a.len().cmp(&b.len())),
        _ => order(left, right),
    }
}

/// The value with -0 as 0 everywhere: what comes out of a comparison by DuckDB's sort keys.
pub fn without_negative_zero(value: Value) -> Value {
    let all = |items: &[Value]| std::sync::Arc::new(items.iter().cloned().map(without_negative_zero).collect());
    match value {
        // The sum of -0 and 0 is 0.
        Value::Float(x) => Value::Float(x + 0.0),
        Value::Double(x) => Value::Double(x + 0.0),
        Value::List(items) => Value::List(all(&items)),
        Value::Struct(items) => Value::Struct(all(&items)),
        Value::Map(entries) => Value::Map(std::sync::Arc::new(
            entries.iter().map(|(k, v)| (without_negative_zero(k.clone()), without_negative_zero(v.clone()))).collect(),
        )),
        other => other,
    }
}
