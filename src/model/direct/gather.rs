//! Columns in the order of a target, as the Arrow arrays that DuckDB would give.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::*;
use arrow::buffer::{BooleanBuffer, NullBuffer, ScalarBuffer};
use arrow::datatypes::*;

use super::rows::{At, NONE, part_of, row_of};
use super::sort::Sorted;
use crate::error::{Error, Result};
use crate::sql::column::Data;
use crate::sql::{Column, Type};

/// What a type is published as: see [`publishable`](super::super::types::publishable). Nested types have no plan.
pub(super) fn published_type(ty: &Type) -> DataType {
    match ty {
        Type::Uuid => DataType::LargeUtf8,
        ty => crate::state::arrow::arrow_type(ty),
    }
}

impl Sorted<'_> {
    pub fn len(&self) -> usize {
        self.length
    }

    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    pub fn schema(&self) -> SchemaRef {
        self.rows.schema()
    }

    /// Some rows of an output.
    pub fn column(&self, output: usize, rows: Range<usize>) -> Result<ArrayRef> {
        let (columns, nullable) = &self.columns[output];
        let output = &self.rows.plan.outputs[output];
        let places = &self.places[output.cell.side][rows];
        let Some(first) = columns.first() else { return Ok(new_empty_array(&published_type(&output.ty))) };
        let gathered = Gathered { columns, places, nullable: *nullable };
        Ok(match (&first.data, &output.ty) {
            (Data::Text(_), _) => gathered.texts()?,
            (_, Type::Uuid) => gathered.uuids()?,
            (Data::Bool(_), _) => {
                let (values, validity) = gathered.values(bools, |b| b);
                Arc::new(BooleanArray::new(BooleanBuffer::from(&values[..]), validity))
            }
            (Data::I32(_), _) => gathered.primitive::<Date32Type, i32>(i32s, |v| v),
            (Data::I64(_), ty) => match ty {
                Type::TinyInt => gathered.primitive::<Int8Type, i64>(i64s, |v| v as i8),
                Type::SmallInt => gathered.primitive::<Int16Type, i64>(i64s, |v| v as i16),
                Type::Integer => gathered.primitive::<Int32Type, i64>(i64s, |v| v as i32),
                Type::UTinyInt => gathered.primitive::<UInt8Type, i64>(i64s, |v| v as u8),
                Type::USmallInt => gathered.primitive::<UInt16Type, i64>(i64s, |v| v as u16),
                Type::UInteger => gathered.primitive::<UInt32Type, i64>(i64s, |v| v as u32),
                Type::Time => gathered.primitive::<Time64MicrosecondType, i64>(i64s, |v| v),
                Type::Timestamp => gathered.primitive::<TimestampMicrosecondType, i64>(i64s, |v| v),
                Type::TimestampTz => {
                    let (values, validity) = gathered.values(i64s, |v| v);
                    Arc::new(TimestampMicrosecondArray::new(values.into(), validity).with_timezone("UTC"))
                }
                Type::Decimal { .. } => {
                    let (values, validity) = gathered.values(i64s, |v| v as i128);
                    Arc::new(Decimal128Array::new(values.into(), validity).with_data_type(published_type(ty)))
                }
                _ => gathered.primitive::<Int64Type, i64>(i64s, |v| v),
            },
            (Data::I128(_), Type::UBigInt) => gathered.primitive::<UInt64Type, i128>(i128s, |v| v as u64),
            (Data::I128(_), ty) => {
                let (values, validity) = gathered.values(i128s, |v| v);
                Arc::new(Decimal128Array::new(values.into(), validity).with_data_type(published_type(ty)))
            }
            (Data::F32(_) | Data::F64(_) | Data::Values(_), ty) => {
                return Err(Error::internal(format!("a column of {ty} is published without SQL")));
            }
        })
    }
}

macro_rules! values_of {
    ($name:ident, $variant:ident, $native:ty) => {
        fn $name(data: &Data) -> &[$native] {
            if let Data::$variant(values) = data { values } else { &[] }
        }
    };
}

values_of!(bools, Bool, bool);
values_of!(i32s, I32, i32);
values_of!(i64s, I64, i64);
values_of!(i128s, I128, i128);

/// A column's parts, and the rows of them that are wanted.
struct Gathered<'a> {
    columns: &'a [&'a Column],
    places: &'a [At],
    /// Some row of the column is NULL, or is not there.
    nullable: bool,
}

impl Gathered<'_> {
    fn is_null(&self, at: At) -> bool {
        at == NONE || self.columns[part_of(at)].nulls[row_of(at)]
    }

    fn validity(&self) -> Option<NullBuffer> {
        if !self.nullable {
            return None;
        }
        let valid = NullBuffer::from_iter(self.places.iter().map(|at| !self.is_null(*at)));
        (valid.null_count() > 0).then_some(valid)
    }

    fn values<T: Copy, N: Default>(&self, of: fn(&Data) -> &[T], to: impl Fn(T) -> N) -> (Vec<N>, Option<NullBuffer>) {
        let parts: Vec<&[T]> = self.columns.iter().map(|column| of(&column.data)).collect();
        let value = |at: &At| to(parts[part_of(*at)][row_of(*at)]);
        let values = match self.nullable {
            true => self.places.iter().map(|at| if *at == NONE { N::default() } else { value(at) }).collect(),
            false => self.places.iter().map(value).collect(),
        };
        (values, self.validity())
    }

    fn primitive<A: ArrowPrimitiveType, T: Copy>(&self, of: fn(&Data) -> &[T], to: impl Fn(T) -> A::Native) -> ArrayRef {
        let (values, validity) = self.values(of, to);
        Arc::new(PrimitiveArray::<A>::new(ScalarBuffer::from(values), validity))
    }

    fn texts(&self) -> Result<ArrayRef> {
        let parts: Vec<&[_]> = self.columns.iter().map(|column| if let Data::Text(v) = &column.data { &v[..] } else { &[] }).collect();
        let text = |at: At| if self.nullable && self.is_null(at) { "" } else { &parts[part_of(at)][row_of(at)] };
        let mut offsets = Vec::with_capacity(self.places.len() + 1);
        let mut bytes = Vec::with_capacity(self.places.len() * 16);
        offsets.push(0i64);
        for at in self.places {
            bytes.extend_from_slice(text(*at).as_bytes());
            offsets.push(bytes.len() as i64);
        }
        self.strings(offsets, bytes)
    }

    fn uuids(&self) -> Result<ArrayRef> {
        let parts: Vec<&[i128]> = self.columns.iter().map(|column| i128s(&column.data)).collect();
        let mut offsets = Vec::with_capacity(self.places.len() + 1);
        let mut bytes = Vec::with_capacity(self.places.len() * 36);
        offsets.push(0i64);
        for at in self.places {
            if !(self.nullable && self.is_null(*at)) {
                push_uuid(&mut bytes, parts[part_of(*at)][row_of(*at)] as u128);
            }
            offsets.push(bytes.len() as i64);
        }
        self.strings(offsets, bytes)
    }

    fn strings(&self, offsets: Vec<i64>, bytes: Vec<u8>) -> Result<ArrayRef> {
        let array = LargeStringArray::try_new(arrow::buffer::OffsetBuffer::new(offsets.into()), bytes.into(), self.validity());
        array.map(|array| Arc::new(array) as ArrayRef).map_err(|e| Error::internal(format!("a text column cannot be built: {e}")))
    }
}

/// Appends the text of a UUID: lower case, with its four dashes.
fn push_uuid(out: &mut Vec<u8>, bits: u128) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for digit in 0..32u32 {
        if matches!(digit, 8 | 12 | 16 | 20) {
            out.push(b'-');
        }
        out.push(DIGITS[(bits >> (124 - 4 * digit)) as usize & 15]);
    }
}
