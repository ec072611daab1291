//! Keys as bytes: what rows are found, routed and compared by.

use compact_str::CompactString;
use xxhash_rust::xxh3::xxh3_64;

use crate::sql::column::Data;
use crate::sql::{Column, Type, Value};

/// Appends the key columns' values (none of them NULL) as bytes that are equal exactly where the values are.
/// False for a type that cannot be a key.
pub fn encode(values: &[Value], out: &mut Vec<u8>) -> bool {
    for (i, value) in values.iter().enumerate() {
        let last = i + 1 == values.len();
        match value {
            Value::Bool(b) => out.push(*b as u8),
            Value::Int(i) => out.extend_from_slice(&i.to_le_bytes()),
            Value::Float(x) => out.extend_from_slice(&canonical(*x as f64).to_le_bytes()),
            Value::Double(x) => out.extend_from_slice(&canonical(*x).to_le_bytes()),
            Value::Text(t) => push_text(t.as_bytes(), last, out),
            Value::Blob(b) => push_text(b, last, out),
            Value::Date(d) => out.extend_from_slice(&d.to_le_bytes()),
            Value::Time(t) | Value::Timestamp(t) => out.extend_from_slice(&t.to_le_bytes()),
            Value::Null | Value::Interval(_) | Value::List(_) | Value::Struct(_) | Value::Map(_) => return false,
        }
    }
    true
}

/// Appends a text, as [`encode`] does. `last`: it is the last key column's.
#[inline]
pub fn push_text(bytes: &[u8], last: bool, out: &mut Vec<u8>) {
    if !last {
        out.extend_from_slice(&(bytes.len() as u32).to_le_bytes());
    }
    out.extend_from_slice(bytes);
}

/// Appends the whole number, days or microseconds of a column, as [`encode`] does.
#[inline]
pub fn push_whole(whole: i128, ty: &Type, out: &mut Vec<u8>) {
    match ty {
        Type::Date => out.extend_from_slice(&(whole as i32).to_le_bytes()),
        Type::Time | Type::Timestamp | Type::TimestampTz => out.extend_from_slice(&(whole as i64).to_le_bytes()),
        _ => out.extend_from_slice(&whole.to_le_bytes()),
    }
}

fn canonical(x: f64) -> f64 {
    if x.is_nan() {
        f64::NAN
    } else if x == 0.0 {
        0.0
    } else {
        x
    }
}

/// The bytes of key column `index`, as [`encode`] made them.
pub fn part<'k>(bytes: &'k [u8], types: &[Type], index: usize) -> &'k [u8] {
    let mut at = 0;
    for (i, ty) in types.iter().enumerate() {
        let last = i + 1 == types.len();
        let (start, len) = match ty {
            Type::Boolean => (at, 1),
            Type::Date => (at, 4),
            Type::Time | Type::Timestamp | Type::TimestampTz | Type::Float | Type::Double => (at, 8),
            Type::Varchar | Type::Json | Type::Blob if last => (at, bytes.len() - at),
            Type::Varchar | Type::Json | Type::Blob => (at + 4, u32::from_le_bytes(fixed(&bytes[at..])) as usize),
            _ => (at, 16),
        };
        at = start + len;
        if i == index {
            return &bytes[start..at];
        }
    }
    &[]
}

/// The value of key column `index`.
pub fn decode(bytes: &[u8], types: &[Type], index: usize) -> Value {
    let Some(ty) = types.get(index) else { return Value::Null };
    let part = part(bytes, types, index);
    match ty {
        Type::Boolean => Value::Bool(part[0] != 0),
        Type::Date => Value::Date(i32::from_le_bytes(fixed(part))),
        Type::Time => Value::Time(i64::from_le_bytes(fixed(part))),
        Type::Timestamp | Type::TimestampTz => Value::Timestamp(i64::from_le_bytes(fixed(part))),
        Type::Float => Value::Float(f64::from_le_bytes(fixed(part)) as f32),
        Type::Double => Value::Double(f64::from_le_bytes(fixed(part))),
        Type::Varchar | Type::Json => Value::text(String::from_utf8_lossy(part)),
        Type::Blob => Value::Blob(std::sync::Arc::new(part.to_vec())),
        _ => Value::Int(i128::from_le_bytes(fixed(part))),
    }
}

/// The value of key column `index` of many keys, as a column; no [`Value`] is made where the type is plain.
pub fn decode_column<'k>(keys: impl Iterator<Item = &'k [u8]>, types: &[Type], index: usize) -> Column {
    let mut column = Column::new(types.get(index).cloned().unwrap_or(Type::Null));
    let parts = keys.map(|key| part(key, types, index));
    match (&mut column.data, &column.ty) {
        (Data::Text(v), _) => v.extend(parts.map(CompactString::from_utf8_lossy)),
        (Data::I32(v), _) => v.extend(parts.map(|part| i32::from_le_bytes(fixed(part)))),
        (Data::I64(v), Type::Time | Type::Timestamp | Type::TimestampTz) => v.extend(parts.map(|part| i64::from_le_bytes(fixed(part)))),
        (Data::I64(v), _) => v.extend(parts.map(|part| i128::from_le_bytes(fixed(part)) as i64)),
        (Data::I128(v), _) => v.extend(parts.map(|part| i128::from_le_bytes(fixed(part)))),
        (Data::Bool(v), _) => v.extend(parts.map(|part| part[0] != 0)),
        (Data::F32(v), _) => v.extend(parts.map(|part| f64::from_le_bytes(fixed(part)) as f32)),
        (Data::F64(v), _) => v.extend(parts.map(|part| f64::from_le_bytes(fixed(part)))),
        (Data::Values(v), _) => v.extend(parts.map(|part| Value::Blob(std::sync::Arc::new(part.to_vec())))),
    }
    column.nulls = vec![false; column.data.len()];
    column
}

/// The keys of many rows, encoded and hashed.
#[derive(Default)]
pub struct Keys {
    bytes: Vec<u8>,
    /// By row, the end of its key in `bytes`.
    ends: Vec<usize>,
    pub hashes: Vec<u64>,
}

impl Keys {
    /// Of key columns; `None` where a key is NULL, or of a type that cannot be one.
    pub fn of(columns: &[Column]) -> Option<Keys> {
        let rows = columns.first().map_or(0, Column::len);
        if columns.iter().any(|column| column.nulls.contains(&true) || matches!(column.data, Data::Values(_) if column.ty != Type::Blob)) {
            return None;
        }
        let mut keys = Keys { bytes: Vec::new(), ends: Vec::with_capacity(rows), hashes: Vec::with_capacity(rows) };
        for row in 0..rows {
            let start = keys.bytes.len();
            for (i, column) in columns.iter().enumerate() {
                encode_cell(column, row, i + 1 == columns.len(), &mut keys.bytes);
            }
            keys.ends.push(keys.bytes.len());
            keys.hashes.push(xxh3_64(&keys.bytes[start..]));
        }
        Some(keys)
    }

    pub fn len(&self) -> usize {
        self.ends.len()
    }

    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    pub fn get(&self, row: usize) -> &[u8] {
        let start = if row == 0 { 0 } else { self.ends[row - 1] };
        &self.bytes[start..self.ends[row]]
    }

    /// Those of some rows, in this order.
    pub fn gather(&self, rows: &[u32]) -> Keys {
        let mut keys = Keys::default();
        for row in rows {
            keys.bytes.extend_from_slice(self.get(*row as usize));
            keys.ends.push(keys.bytes.len());
            keys.hashes.push(self.hashes[*row as usize]);
        }
        keys
    }
}

/// Appends one value, as [`encode`] does.
fn encode_cell(column: &Column, row: usize, last: bool, out: &mut Vec<u8>) {
    let mut text = |bytes: &[u8]| {
        if !last {
            out.extend_from_slice(&(bytes.len() as u32).to_le_bytes());
        }
        out.extend_from_slice(bytes);
    };
    match &column.data {
        Data::Bool(v) => out.push(v[row] as u8),
        Data::I32(v) => out.extend_from_slice(&v[row].to_le_bytes()),
        Data::I64(v) if matches!(column.ty, Type::Time | Type::Timestamp | Type::TimestampTz) => {
            out.extend_from_slice(&v[row].to_le_bytes())
        }
        Data::I64(v) => out.extend_from_slice(&(v[row] as i128).to_le_bytes()),
        Data::I128(v) => out.extend_from_slice(&v[row].to_le_bytes()),
        Data::F32(v) => out.extend_from_slice(&canonical(v[row] as f64).to_le_bytes()),
        Data::F64(v) => out.extend_from_slice(&canonical(v[row]).to_le_bytes()),
        Data::Text(v) => text(v[row].as_bytes()),
        Data::Values(v) => {
            if let Value::Blob(bytes) = &v[row] {
                text(bytes);
            }
        }
    }
}

fn fixed<const N: usize>(bytes: &[u8]) -> [u8; N] {
    let mut out = [0; N];
    out.copy_from_slice(&bytes[..N]);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_comes_back_as_it_went_in() {
        let types = [Type::Varchar, Type::Date, Type::Decimal { width: 5, scale: 1 }, Type::Varchar];
        let values = [Value::text("ä"), Value::Date(-3), Value::Int(-15), Value::text("")];
        let mut bytes = Vec::new();
        assert!(encode(&values, &mut bytes));
        for (i, value) in values.iter().enumerate() {
            assert_eq!(&decode(&bytes, &types, i), value);
            assert_eq!(&decode_column([&bytes[..]; 2].into_iter(), &types, i).get(1), value);
        }
        let columns: Vec<Column> = (0..types.len()).map(|i| decode_column([&bytes[..]; 2].into_iter(), &types, i)).collect();
        let keys = Keys::of(&columns).unwrap();
        assert_eq!((keys.get(0), keys.get(1), keys.len()), (&bytes[..], &bytes[..], 2));
        assert_eq!(keys.gather(&[1]).get(0), bytes);
    }

    #[test]
    fn a_part_that_needs_no_value_is_encoded_as_one_does() {
        let columns = [
            (Type::Varchar, Value::text("ä")),
            (Type::Date, Value::Date(-3)),
            (Type::Timestamp, Value::Timestamp(-7)),
            (Type::BigInt, Value::Int(-1)),
            (Type::Decimal { width: 5, scale: 1 }, Value::Int(-15)),
            (Type::Varchar, Value::text("b")),
        ];
        let mut parts = Vec::new();
        for (i, (ty, value)) in columns.iter().enumerate() {
            match value {
                Value::Text(text) => push_text(text.as_bytes(), i + 1 == columns.len(), &mut parts),
                Value::Date(days) => push_whole(*days as i128, ty, &mut parts),
                Value::Timestamp(micros) => push_whole(*micros as i128, ty, &mut parts),
                Value::Int(int) => push_whole(*int, ty, &mut parts),
                _ => unreachable!(),
            }
        }
        let mut bytes = Vec::new();
        assert!(encode(&columns.map(|(_, value)| value), &mut bytes));
        assert_eq!(parts, bytes);
    }

    #[test]
    fn neighbouring_texts_do_not_run_into_each_other() {
        let bytes = |a: &str, b: &str| {
            let mut out = Vec::new();
            encode(&[Value::text(a), Value::text(b)], &mut out);
            out
        };
        assert_ne!(bytes("ab", "c"), bytes("a", "bc"));
    }
}
