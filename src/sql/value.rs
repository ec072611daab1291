//! One value of a SQL type. The type itself is known from where the value stands.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use compact_str::CompactString;
use indexmap::{Equivalent, IndexMap};

use super::column::ALLOCATION_BYTES;
use super::datetime::interval_order;

/// A value. Which variant a type uses:
///
/// | type | variant |
/// |---|---|
/// | BOOLEAN | `Bool` |
/// | every integer type | `Int` |
/// | DECIMAL | `Int`, unscaled (1.50 of scale 2 is 150) |
/// | UUID | `Int`, the 128 bits as `u128 as i128` |
/// | FLOAT, DOUBLE | `Float`, `Double` |
/// | VARCHAR, JSON | `Text` |
/// | DATE | `Date`, days since 1970-01-01 |
/// | TIME | `Time`, microseconds since midnight |
/// | TIMESTAMP, TIMESTAMPTZ | `Timestamp`, microseconds since the epoch |
///
/// Text up to 24 bytes lies inside the value; nested values are shared, and changed in place when
/// nobody else holds them (`Arc::make_mut`).
#[derive(Debug, Clone, Default)]
pub enum Value {
    #[default]
    Null,
    Bool(bool),
    Int(i128),
    Float(f32),
    Double(f64),
    Text(CompactString),
    Blob(Arc<Vec<u8>>),
    Date(i32),
    Time(i64),
    Timestamp(i64),
    Interval(Interval),
    List(Arc<Vec<Value>>),
    /// Field values in the order of the type's fields.
    Struct(Arc<Vec<Value>>),
    /// Keys in insertion order, as DuckDB keeps them.
    Map(Arc<MapEntries>),
}

/// DuckDB's INTERVAL: three parts that are kept apart.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Interval {
    pub months: i32,
    pub days: i32,
    pub micros: i64,
}

/// The entries of a MAP, in insertion order, found by key in constant time.
pub type MapEntries = IndexMap<Value, Value, foldhash::fast::FixedState>;

impl Value {
    pub fn is_null(&self) -> bool {
        matches!(self, Value::Null)
    }

    pub fn text(text: impl AsRef<str>) -> Value {
        Value::Text(CompactString::new(text))
    }

    /// Bytes outside of the value itself, about.
    pub fn heap_bytes(&self) -> u64 {
        const EACH: u64 = size_of::<Value>() as u64;
        match self {
            Value::Text(text) if text.is_heap_allocated() => text.capacity() as u64 + ALLOCATION_BYTES,
            Value::Blob(bytes) => bytes.capacity() as u64 + 2 * ALLOCATION_BYTES,
            Value::List(values) | Value::Struct(values) => {
                values.capacity() as u64 * EACH + 2 * ALLOCATION_BYTES + values.iter().map(Value::heap_bytes).sum::<u64>()
            }
            // an entry has its hash, key and value, and a place in the index that is half empty
            Value::Map(entries) => {
                let inside: u64 = entries.iter().map(|(key, value)| key.heap_bytes() + value.heap_bytes()).sum();
                entries.capacity() as u64 * (2 * EACH + 24) + 4 * ALLOCATION_BYTES + inside
            }
            _ => 0,
        }
    }

    pub fn as_bool(&self) -> Option<bool> {
        if let Value::Bool(b) = self { Some(*b) } else { None }
    }

    pub fn as_int(&self) -> Option<i128> {
        if let Value::Int(i) = self { Some(*i) } else { None }
    }

    pub fn as_text(&self) -> Option<&str> {
        if let Value::Text(t) = self { Some(t) } else { None }
    }
}

/// The bits that stand for a floating-point number in equality and hashes: all NaN are one, -0 is 0.
fn canonical_bits(x: f64) -> u64 {
    if x.is_nan() {
        f64::NAN.to_bits()
    } else if x == 0.0 {
        0
    } else {
        x.to_bits()
    }
}

/// Equality of stored values: NULL equals NULL, NaN equals NaN, a day equals 24 hours (as in DuckDB's keys and
/// IS NOT DISTINCT FROM).
/// Both sides must be of one type.
impl PartialEq for Value {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Value::Null, Value::Null) => true,
            (Value::Bool(a), Value::Bool(b)) => a == b,
            (Value::Int(a), Value::Int(b)) => a == b,
            (Value::Float(a), Value::Float(b)) => canonical_bits(*a as f64) == canonical_bits(*b as f64),
            (Value::Double(a), Value::Double(b)) => canonical_bits(*a) == canonical_bits(*b),
            (Value::Text(a), Value::Text(b)) => a == b,
            (Value::Blob(a), Value::Blob(b)) => a == b,
            (Value::Date(a), Value::Date(b)) => a == b,
            (Value::Time(a), Value::Time(b)) | (Value::Timestamp(a), Value::Timestamp(b)) => a == b,
            (Value::Interval(a), Value::Interval(b)) => interval_order(*a) == interval_order(*b),
            (Value::List(a), Value::List(b)) | (Value::Struct(a), Value::Struct(b)) => a == b,
            (Value::Map(a), Value::Map(b)) => a.len() == b.len() && a.iter().zip(b.iter()).all(|(x, y)| x == y),
            _ => false,
        }
    }
}

impl Eq for Value {}

impl Hash for Value {
    fn hash<H: Hasher>(&self, state: &mut H) {
        std::mem::discriminant(self).hash(state);
        match self {
            Value::Null => {}
            Value::Bool(b) => b.hash(state),
            Value::Int(i) => i.hash(state),
            Value::Float(x) => canonical_bits(*x as f64).hash(state),
            Value::Double(x) => canonical_bits(*x).hash(state),
            Value::Text(t) => t.hash(state),
            Value::Blob(b) => b.hash(state),
            Value::Date(d) => d.hash(state),
            Value::Time(t) | Value::Timestamp(t) => t.hash(state),
            Value::Interval(i) => interval_order(*i).hash(state),
            Value::List(items) | Value::Struct(items) => items.hash(state),
            Value::Map(entries) => {
                for (k, v) in entries.iter() {
                    k.hash(state);
                    v.hash(state);
                }
            }
        }
    }
}

/// A map's key that is looked up without being made a [`Value`].
#[derive(Debug, Clone, Copy)]
pub enum MapKey<'a> {
    Text(&'a str),
    /// Integers and decimals.
    Whole(i128),
}

impl MapKey<'_> {
    pub fn to_value(self) -> Value {
        match self {
            MapKey::Text(text) => Value::text(text),
            MapKey::Whole(i) => Value::Int(i),
        }
    }
}

/// As the [`Value`] hashes that it stands for.
impl Hash for MapKey<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        match self {
            MapKey::Text(text) => {
                std::mem::discriminant(&Value::Text(CompactString::const_new(""))).hash(state);
                text.hash(state);
            }
            MapKey::Whole(i) => {
                std::mem::discriminant(&Value::Int(0)).hash(state);
                i.hash(state);
            }
        }
    }
}

impl Equivalent<Value> for MapKey<'_> {
    fn equivalent(&self, value: &Value) -> bool {
        match (self, value) {
            (MapKey::Text(a), Value::Text(b)) => a == b,
            (MapKey::Whole(a), Value::Int(b)) => a == b,
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_finds_the_entry_of_its_value() {
        let mut entries = MapEntries::default();
        for key in [MapKey::Text(""), MapKey::Text("ü"), MapKey::Text("a key that is too long to lie inside of a value"), MapKey::Whole(-7)]
        {
            entries.insert(key.to_value(), Value::Bool(true));
            assert!(entries.contains_key(&key), "{key:?}");
        }
        assert!(!entries.contains_key(&MapKey::Text("a")) && !entries.contains_key(&MapKey::Whole(7)));
    }
}
