//! A growable, typed vector of values: how state, payloads and snapshots hold data.

use std::ops::Range;
use std::sync::Arc;

use compact_str::CompactString;

use super::scalar::Cell;
use super::{MapEntries, Type, Value};
use crate::prefetch::prefetch;

/// The values of one column. Fixed-width types lie in plain vectors, so that algebraic updates and
/// the way to Arrow need no interpretation.
#[derive(Debug, Clone)]
pub enum Data {
    Bool(Vec<bool>),
    /// DATE
    I32(Vec<i32>),
    /// integers that fit 64 signed bits, decimals up to 18 digits, TIME, TIMESTAMP
    I64(Vec<i64>),
    /// UBIGINT, HUGEINT, UUID, decimals from 19 digits
    I128(Vec<i128>),
    F32(Vec<f32>),
    F64(Vec<f64>),
    /// VARCHAR, JSON
    Text(Vec<CompactString>),
    /// BLOB, INTERVAL and nested types
    Values(Vec<Value>),
}

impl Data {
    /// How many values there are.
    pub fn len(&self) -> usize {
        match self {
            Data::Bool(v) => v.len(),
            Data::I32(v) => v.len(),
            Data::I64(v) => v.len(),
            Data::I128(v) => v.len(),
            Data::F32(v) => v.len(),
            Data::F64(v) => v.len(),
            Data::Text(v) => v.len(),
            Data::Values(v) => v.len(),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The values of some rows, in this order.
    pub fn gather(&self, rows: &[u32]) -> Data {
        fn of<T: Clone>(values: &[T], rows: &[u32]) -> Vec<T> {
            rows.iter().map(|row| values[*row as usize].clone()).collect()
        }
        match self {
            Data::Bool(v) => Data::Bool(of(v, rows)),
            Data::I32(v) => Data::I32(of(v, rows)),
            Data::I64(v) => Data::I64(of(v, rows)),
            Data::I128(v) => Data::I128(of(v, rows)),
            Data::F32(v) => Data::F32(of(v, rows)),
            Data::F64(v) => Data::F64(of(v, rows)),
            Data::Text(v) => Data::Text(of(v, rows)),
            Data::Values(v) => Data::Values(of(v, rows)),
        }
    }
}

#[derive(Debug, Clone)]
pub struct Column {
    pub ty: Type,
    pub data: Data,
    /// One flag a row: true where the row is NULL (its `data` then holds the type's zero).
    pub nulls: Vec<bool>,
}

impl Column {
    pub fn new(ty: Type) -> Column {
        let data = match &ty {
            Type::Boolean => Data::Bool(Vec::new()),
            Type::Date => Data::I32(Vec::new()),
            Type::TinyInt
            | Type::SmallInt
            | Type::Integer
            | Type::BigInt
            | Type::UTinyInt
            | Type::USmallInt
            | Type::UInteger
            | Type::Time
            | Type::Timestamp
            | Type::TimestampTz => Data::I64(Vec::new()),
            Type::Decimal { width, .. } if *width <= 18 => Data::I64(Vec::new()),
            Type::Decimal { .. } | Type::HugeInt | Type::UBigInt | Type::Uuid => Data::I128(Vec::new()),
            Type::Float => Data::F32(Vec::new()),
            Type::Double => Data::F64(Vec::new()),
            Type::Varchar | Type::Json => Data::Text(Vec::new()),
            Type::Null | Type::Blob | Type::Interval | Type::List(_) | Type::Struct(_) | Type::Map(..) => Data::Values(Vec::new()),
        };
        Column { ty, data, nulls: Vec::new() }
    }

    pub fn len(&self) -> usize {
        self.nulls.len()
    }

    pub fn is_empty(&self) -> bool {
        self.nulls.is_empty()
    }

    /// Appends a value of the column's type.
    pub fn push(&mut self, value: Value) {
        self.nulls.push(value.is_null());
        match (&mut self.data, value) {
            (Data::Values(v), value) => v.push(value),
            (Data::Text(v), Value::Text(t)) => v.push(t),
            (Data::I64(v), Value::Int(i)) => v.push(i as i64),
            (Data::I64(v), Value::Time(t) | Value::Timestamp(t)) => v.push(t),
            (Data::Bool(v), Value::Bool(b)) => v.push(b),
            (Data::I32(v), Value::Date(d)) => v.push(d),
            (Data::I128(v), Value::Int(i)) => v.push(i),
            (Data::F32(v), Value::Float(x)) => v.push(x),
            (Data::F64(v), Value::Double(x)) => v.push(x),
            (Data::Bool(v), Value::Null) => v.push(false),
            (Data::I32(v), Value::Null) => v.push(0),
            (Data::I64(v), Value::Null) => v.push(0),
            (Data::I128(v), Value::Null) => v.push(0),
            (Data::F32(v), Value::Null) => v.push(0.0),
            (Data::F64(v), Value::Null) => v.push(0.0),
            (Data::Text(v), Value::Null) => v.push(CompactString::const_new("")),
            (_, value) => unreachable!("a value {value:?} was given to a column of type {}", self.ty),
        }
    }

    /// The value of a row. Text of more than 24 bytes is copied, nested values are shared.
    pub fn get(&self, row: usize) -> Value {
        if self.nulls[row] {
            return Value::Null;
        }
        match &self.data {
            Data::Bool(v) => Value::Bool(v[row]),
            Data::I32(v) => Value::Date(v[row]),
            Data::I64(v) => match &self.ty {
                Type::Time => Value::Time(v[row]),
                Type::Timestamp | Type::TimestampTz => Value::Timestamp(v[row]),
                _ => Value::Int(v[row] as i128),
            },
            Data::I128(v) => Value::Int(v[row]),
            Data::F32(v) => Value::Float(v[row]),
            Data::F64(v) => Value::Double(v[row]),
            Data::Text(v) => Value::Text(v[row].clone()),
            Data::Values(v) => v[row].clone(),
        }
    }

    /// Replaces the value of a row by one of the column's type.
    pub fn set(&mut self, row: usize, value: Value) {
        let null = value.is_null();
        self.nulls[row] = null;
        match (&mut self.data, value) {
            (Data::Text(v), Value::Null) => v[row] = CompactString::const_new(""),
            (Data::Values(v), value) => v[row] = value,
            (_, Value::Null) => {}
            (Data::Bool(v), Value::Bool(b)) => v[row] = b,
            (Data::I32(v), Value::Date(d)) => v[row] = d,
            (Data::I64(v), Value::Int(i)) => v[row] = i as i64,
            (Data::I64(v), Value::Time(t) | Value::Timestamp(t)) => v[row] = t,
            (Data::I128(v), Value::Int(i)) => v[row] = i,
            (Data::F32(v), Value::Float(x)) => v[row] = x,
            (Data::F64(v), Value::Double(x)) => v[row] = x,
            (Data::Text(v), Value::Text(t)) => v[row] = t,
            (_, value) => unreachable!("a value {value:?} was given to a column of type {}", self.ty),
        }
    }

    /// Moves a row's value out, leaving NULL, so that a nested value can be changed in place.
    pub fn take(&mut self, row: usize) -> Value {
        if let Data::Values(v) = &mut self.data {
            self.nulls[row] = true;
            return std::mem::take(&mut v[row]);
        }
        let value = self.get(row);
        self.set(row, Value::Null);
        value
    }

    pub fn clear(&mut self) {
        self.nulls.clear();
        match &mut self.data {
            Data::Bool(v) => v.clear(),
            Data::I32(v) => v.clear(),
            Data::I64(v) => v.clear(),
            Data::I128(v) => v.clear(),
            Data::F32(v) => v.clear(),
            Data::F64(v) => v.clear(),
            Data::Text(v) => v.clear(),
            Data::Values(v) => v.clear(),
        }
    }
}

impl Column {
    /// Drops all rows from `rows` on.
    pub fn truncate(&mut self, rows: usize) {
        self.nulls.truncate(rows);
        match &mut self.data {
            Data::Bool(v) => v.truncate(rows),
            Data::I32(v) => v.truncate(rows),
            Data::I64(v) => v.truncate(rows),
            Data::I128(v) => v.truncate(rows),
            Data::F32(v) => v.truncate(rows),
            Data::F64(v) => v.truncate(rows),
            Data::Text(v) => v.truncate(rows),
            Data::Values(v) => v.truncate(rows),
        }
    }
}

impl Column {
    /// The values of some rows, in this order.
    pub fn gather(&self, rows: &[u32]) -> Column {
        let nulls = rows.iter().map(|row| self.nulls[*row as usize]).collect();
        Column { ty: self.ty.clone(), data: self.data.gather(rows), nulls }
    }

    /// Appends copies of some rows of another column of the same type.
    pub fn append_rows(&mut self, from: &Column, rows: Range<usize>) {
        self.nulls.extend_from_slice(&from.nulls[rows.clone()]);
        match (&mut self.data, &from.data) {
            (Data::Bool(a), Data::Bool(b)) => a.extend_from_slice(&b[rows]),
            (Data::I32(a), Data::I32(b)) => a.extend_from_slice(&b[rows]),
            (Data::I64(a), Data::I64(b)) => a.extend_from_slice(&b[rows]),
            (Data::I128(a), Data::I128(b)) => a.extend_from_slice(&b[rows]),
            (Data::F32(a), Data::F32(b)) => a.extend_from_slice(&b[rows]),
            (Data::F64(a), Data::F64(b)) => a.extend_from_slice(&b[rows]),
            (Data::Text(a), Data::Text(b)) => a.extend_from_slice(&b[rows]),
            (Data::Values(a), Data::Values(b)) => a.extend_from_slice(&b[rows]),
            _ => unreachable!("columns of one type hold their data alike"),
        }
    }

    /// Appends all rows of another column of the same type.
    pub fn append(&mut self, other: Column) {
        self.nulls.extend(other.nulls);
        match (&mut self.data, other.data) {
            (Data::Bool(a), Data::Bool(b)) => a.extend(b),
            (Data::I32(a), Data::I32(b)) => a.extend(b),
            (Data::I64(a), Data::I64(b)) => a.extend(b),
            (Data::I128(a), Data::I128(b)) => a.extend(b),
            (Data::F32(a), Data::F32(b)) => a.extend(b),
            (Data::F64(a), Data::F64(b)) => a.extend(b),
            (Data::Text(a), Data::Text(b)) => a.extend(b),
            (Data::Values(a), Data::Values(b)) => a.extend(b),
            _ => unreachable!("columns of one type hold their data alike"),
        }
    }
}

/// Typed access, for updates that need no [`Value`].
impl Column {
    /// The unscaled number, the days or the microseconds of a row; `None` where it is NULL or of another kind.
    #[inline(always)]
    pub fn whole(&self, row: usize) -> Option<i128> {
        if self.nulls[row] {
            return None;
        }
        match &self.data {
            Data::I64(v) => Some(v[row] as i128),
            Data::I128(v) => Some(v[row]),
            Data::I32(v) => Some(v[row] as i128),
            _ => None,
        }
    }

    /// The value as compiled expressions see it.
    #[inline]
    pub fn cell(&self, row: usize) -> Cell {
        if self.nulls[row] {
            return Cell::Null;
        }
        match &self.data {
            Data::I64(v) => Cell::Whole(v[row] as i128),
            Data::I128(v) => Cell::Whole(v[row]),
            Data::I32(v) => Cell::Whole(v[row] as i128),
            Data::F64(v) => Cell::Double(v[row]),
            Data::Bool(v) => Cell::Bool(v[row]),
            Data::F32(_) | Data::Text(_) | Data::Values(_) => Cell::Failed,
        }
    }

    /// The value of a row, where the column holds values.
    #[inline]
    pub fn peek(&self, row: usize) -> Option<&Value> {
        match &self.data {
            Data::Values(v) => Some(&v[row]),
            _ => None,
        }
    }

    /// The entries of a row's map, to be changed in place; copied first where somebody else holds them.
    pub fn map_mut(&mut self, row: usize) -> Option<&mut MapEntries> {
        match &mut self.data {
            Data::Values(v) => match &mut v[row] {
                Value::Map(entries) => Some(Arc::make_mut(entries)),
                _ => None,
            },
            _ => None,
        }
    }

    /// The text of a row; `None` where it is NULL or no text.
    #[inline]
    pub fn text(&self, row: usize) -> Option<&str> {
        match &self.data {
            Data::Text(v) if !self.nulls[row] => Some(&v[row]),
            _ => None,
        }
    }

    #[inline]
    pub fn double(&self, row: usize) -> Option<f64> {
        match &self.data {
            Data::F64(v) if !self.nulls[row] => Some(v[row]),
            _ => None,
        }
    }

    /// Appends a whole number that fits the column's type; false where the column is not for 64-bit numbers.
    #[inline]
    pub fn push_whole(&mut self, whole: i64) -> bool {
        let Data::I64(v) = &mut self.data else { return false };
        v.push(whole);
        self.nulls.push(false);
        true
    }

    /// Appends a text to a text column.
    #[inline]
    pub fn push_text(&mut self, text: &str) {
        match &mut self.data {
            Data::Text(v) => {
                v.push(CompactString::new(text));
                self.nulls.push(false);
            }
            _ => self.push(Value::text(text)),
        }
    }

    /// Replaces a row by a whole number that fits the column's type.
    #[inline(always)]
    pub fn set_whole(&mut self, row: usize, whole: i128) {
        self.nulls[row] = false;
        match &mut self.data {
            Data::I64(v) => v[row] = whole as i64,
            Data::I128(v) => v[row] = whole,
            Data::I32(v) => v[row] = whole as i32,
            _ => unreachable!("a whole number was given to a column of type {}", self.ty),
        }
    }

    /// Replaces a row of a text column; the room that the old text had is used again.
    pub fn set_text(&mut self, row: usize, text: &str) {
        match &mut self.data {
            Data::Text(v) => {
                self.nulls[row] = false;
                let old = &mut v[row];
                if text.len() <= INLINE_TEXT_BYTES {
                    *old = CompactString::new(text);
                } else {
                    old.clear();
                    old.push_str(text);
                }
            }
            _ => self.set(row, Value::text(text)),
        }
    }

    /// Appends a row of a column of the same type.
    #[inline]
    pub fn push_copy(&mut self, from: &Column, at: usize) {
        match (&mut self.data, &from.data) {
            (Data::Bool(to), Data::Bool(from)) => to.push(from[at]),
            (Data::I32(to), Data::I32(from)) => to.push(from[at]),
            (Data::I64(to), Data::I64(from)) => to.push(from[at]),
            (Data::I128(to), Data::I128(from)) => to.push(from[at]),
            (Data::F32(to), Data::F32(from)) => to.push(from[at]),
            (Data::F64(to), Data::F64(from)) => to.push(from[at]),
            (Data::Text(to), Data::Text(from)) => to.push(from[at].clone()),
            (Data::Values(to), Data::Values(from)) => to.push(from[at].clone()),
            _ => unreachable!("columns of one type hold their data alike"),
        }
        self.nulls.push(from.nulls[at]);
    }

    /// Asks for the memory in which a row lies.
    #[inline]
    pub fn prefetch(&self, row: usize) {
        match &self.data {
            Data::Bool(v) => prefetch(v, row),
            Data::I32(v) => prefetch(v, row),
            Data::I64(v) => prefetch(v, row),
            Data::I128(v) => prefetch(v, row),
            Data::F32(v) => prefetch(v, row),
            Data::F64(v) => prefetch(v, row),
            Data::Text(v) => prefetch(v, row),
            Data::Values(v) => prefetch(v, row),
        }
        prefetch(&self.nulls, row);
    }

    /// Replaces a row by that of a column whose values are values of this column's type as they stand.
    #[inline]
    pub fn copy(&mut self, row: usize, from: &Column, at: usize) {
        if from.nulls[at] {
            return self.set(row, Value::Null);
        }
        match (&mut self.data, &from.data) {
            (Data::I64(to), Data::I64(from)) => to[row] = from[at],
            (Data::I128(to), Data::I128(from)) => to[row] = from[at],
            (Data::I128(to), Data::I64(from)) => to[row] = from[at] as i128,
            (Data::Text(_), Data::Text(from)) => return self.set_text(row, &from[at]),
            _ => return self.set(row, from.get(at)),
        }
        self.nulls[row] = false;
    }
}

/// Texts up to here lie inside of the column; a longer one keeps its room when it is replaced.
const INLINE_TEXT_BYTES: usize = 24;
