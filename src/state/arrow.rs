//! Columns to Arrow and back. Every type has one encoding, which Parquet can store and any tool can read:
//!
//! | type | Arrow | Parquet |
//! |---|---|---|
//! | HUGEINT | Decimal128(38, 0) | DECIMAL(38,0); a value of 39 digits is an error |
//! | UUID | FixedSizeBinary(16), big endian | FIXED_LEN_BYTE_ARRAY(16) |
//! | INTERVAL | Struct(months, days, micros) | a group of three integers |
//! | JSON, VARCHAR | LargeUtf8 | STRING |
//! | BLOB | LargeBinary | BYTE_ARRAY |
//! | TIMESTAMP, TIMESTAMPTZ | Timestamp(µs), the latter with zone UTC | TIMESTAMP(MICROS) |
//! | everything else | its namesake | its namesake |
//!
//! The views of `model` turn them back into the declared SQL type.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::*;
use arrow::buffer::{BooleanBuffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow::datatypes::*;
use compact_str::CompactString;

use crate::error::{Error, Kind, Result};
use crate::sql::column::Data;
use crate::sql::{Column, Interval, MapEntries, Type, Value};

/// The greatest magnitude of DECIMAL(38,0).
const DECIMAL_38_MAX: i128 = 10i128.pow(38) - 1;

/// How a type is stored.
pub fn arrow_type(ty: &Type) -> DataType {
    match ty {
        Type::Null | Type::Boolean => DataType::Boolean,
        Type::TinyInt => DataType::Int8,
        Type::SmallInt => DataType::Int16,
        Type::Integer => DataType::Int32,
        Type::BigInt => DataType::Int64,
        Type::HugeInt => DataType::Decimal128(38, 0),
        Type::UTinyInt => DataType::UInt8,
        Type::USmallInt => DataType::UInt16,
        Type::UInteger => DataType::UInt32,
        Type::UBigInt => DataType::UInt64,
        Type::Float => DataType::Float32,
        Type::Double => DataType::Float64,
        Type::Decimal { width, scale } => DataType::Decimal128(*width, *scale as i8),
        Type::Varchar | Type::Json => DataType::LargeUtf8,
        Type::Blob => DataType::LargeBinary,
        Type::Date => DataType::Date32,
        Type::Time => DataType::Time64(TimeUnit::Microsecond),
        Type::Timestamp => DataType::Timestamp(TimeUnit::Microsecond, None),
        Type::TimestampTz => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        Type::Interval => DataType::Struct(interval_fields()),
        Type::Uuid => DataType::FixedSizeBinary(16),
        Type::List(inner) => DataType::List(list_field(inner)),
        Type::Struct(fields) => DataType::Struct(struct_fields(fields)),
        Type::Map(key, value) => DataType::Map(entries_field(key, value), false),
    }
}

fn interval_fields() -> Fields {
    Fields::from(vec![
        Field::new("months", DataType::Int32, true),
        Field::new("days", DataType::Int32, true),
        Field::new("micros", DataType::Int64, true),
    ])
}

fn list_field(inner: &Type) -> FieldRef {
    Arc::new(Field::new("element", arrow_type(inner), true))
}

fn struct_fields(fields: &[(String, Type)]) -> Fields {
    fields.iter().map(|(name, ty)| Field::new(name, arrow_type(ty), true)).collect()
}

fn entries_field(key: &Type, value: &Type) -> FieldRef {
    let entries = Fields::from(vec![Field::new("key", arrow_type(key), false), Field::new("value", arrow_type(value), true)]);
    Arc::new(Field::new("key_value", DataType::Struct(entries), false))
}

/// A whole column as an Arrow array of [`arrow_type`]. Fails only for a HUGEINT of 39 digits and for more
/// than 2^31 list elements.
pub fn to_arrow(column: &Column) -> Result<ArrayRef> {
    to_arrow_range(column, 0..column.len())
}

/// Some rows of a column.
pub fn to_arrow_range(column: &Column, rows: Range<usize>) -> Result<ArrayRef> {
    let nulls = &column.nulls[rows.clone()];
    let validity = || nulls.contains(&true).then(|| NullBuffer::from_iter(nulls.iter().map(|null| !null)));
    macro_rules! narrow {
        ($values:expr, $arrow:ty) => {{
            type Native = <$arrow as ArrowPrimitiveType>::Native;
            let values: ScalarBuffer<Native> = $values.iter().map(|v| *v as Native).collect();
            Arc::new(PrimitiveArray::<$arrow>::new(values, validity())) as ArrayRef
        }};
    }
    Ok(match (&column.data, &column.ty) {
        (Data::Bool(v), _) => Arc::new(BooleanArray::new(BooleanBuffer::from(&v[rows]), validity())),
        (Data::I32(v), _) => narrow!(v[rows], Date32Type),
        (Data::F32(v), _) => narrow!(v[rows], Float32Type),
        (Data::F64(v), _) => narrow!(v[rows], Float64Type),
        (Data::Text(v), _) => {
            let v = &v[rows];
            let mut builder = LargeStringBuilder::with_capacity(v.len(), v.iter().map(|t| t.len()).sum());
            for (text, null) in v.iter().zip(nulls) {
                if *null { builder.append_null() } else { builder.append_value(text) }
            }
            Arc::new(builder.finish())
        }
        (Data::I64(v), ty) => match ty {
            Type::TinyInt => narrow!(v[rows], Int8Type),
            Type::SmallInt => narrow!(v[rows], Int16Type),
            Type::Integer => narrow!(v[rows], Int32Type),
            Type::UTinyInt => narrow!(v[rows], UInt8Type),
            Type::USmallInt => narrow!(v[rows], UInt16Type),
            Type::UInteger => narrow!(v[rows], UInt32Type),
            Type::Time => narrow!(v[rows], Time64MicrosecondType),
            Type::Timestamp => narrow!(v[rows], TimestampMicrosecondType),
            Type::TimestampTz => {
                let values: ScalarBuffer<i64> = v[rows].iter().copied().collect();
                Arc::new(TimestampMicrosecondArray::new(values, validity()).with_timezone("UTC"))
            }
            Type::Decimal { .. } => decimal(v[rows].iter().map(|i| *i as i128).collect(), validity(), ty),
            _ => narrow!(v[rows], Int64Type),
        },
        (Data::I128(v), ty) => match ty {
            Type::UBigInt => narrow!(v[rows], UInt64Type),
            Type::Uuid => {
                let bytes: Vec<u8> = v[rows].iter().flat_map(|i| i.to_be_bytes()).collect();
                Arc::new(FixedSizeBinaryArray::new(16, bytes.into(), validity()))
            }
            _ => {
                if *ty == Type::HugeInt {
                    v[rows.clone()].iter().try_for_each(|i| fits(*i))?;
                }
                decimal(v[rows].to_vec(), validity(), ty)
            }
        },
        (Data::Values(v), ty) => values_to_arrow(&v[rows].iter().collect::<Vec<_>>(), ty)?,
    })
}

fn decimal(values: Vec<i128>, validity: Option<NullBuffer>, ty: &Type) -> ArrayRef {
    let array = Decimal128Array::new(values.into(), validity);
    Arc::new(array.with_data_type(arrow_type(ty)))
}

fn fits(value: i128) -> Result<()> {
    if (-DECIMAL_38_MAX..=DECIMAL_38_MAX).contains(&value) {
        return Ok(());
    }
    Err(Error::new(Kind::BadData, format!("the HUGEINT {value} has more than 38 digits and cannot be stored"))
        .with_help("keep it below 10^38, or use DOUBLE or VARCHAR for this column"))
}

/// Values of one type, NULLs among them.
fn values_to_arrow(values: &[&Value], ty: &Type) -> Result<ArrayRef> {
    let validity = || values.iter().any(|v| v.is_null()).then(|| NullBuffer::from_iter(values.iter().map(|v| !v.is_null())));
    Ok(match ty {
        Type::Null => Arc::new(BooleanArray::new_null(values.len())),
        Type::Blob => Arc::new(LargeBinaryArray::from_iter(values.iter().map(|v| match v {
            Value::Blob(bytes) => Some(bytes.as_slice()),
            _ => None,
        }))),
        Type::Interval => {
            let parts: Vec<Interval> = values.iter().map(|v| if let Value::Interval(i) = v { *i } else { Interval::default() }).collect();
            let columns: Vec<ArrayRef> = vec![
                Arc::new(parts.iter().map(|p| Some(p.months)).collect::<Int32Array>()),
                Arc::new(parts.iter().map(|p| Some(p.days)).collect::<Int32Array>()),
                Arc::new(parts.iter().map(|p| Some(p.micros)).collect::<Int64Array>()),
            ];
            Arc::new(StructArray::new(interval_fields(), columns, validity()))
        }
        Type::List(inner) => {
            let lists = || values.iter().map(|v| if let Value::List(items) = v { items.as_slice() } else { &[] });
            let offsets = offsets(lists().map(<[Value]>::len))?;
            let items: Vec<&Value> = lists().flatten().collect();
            Arc::new(ListArray::new(list_field(inner), offsets, values_to_arrow(&items, inner)?, validity()))
        }
        Type::Struct(fields) => {
            let mut columns = Vec::with_capacity(fields.len());
            for (i, (_, ty)) in fields.iter().enumerate() {
                let column: Vec<&Value> = values
                    .iter()
                    .map(|v| match v {
                        Value::Struct(parts) => parts.get(i).unwrap_or(&Value::Null),
                        _ => &Value::Null,
                    })
                    .collect();
                columns.push(values_to_arrow(&column, ty)?);
            }
            Arc::new(
                StructArray::try_new_with_length(struct_fields(fields), columns, validity(), values.len())
                    .map_err(|e| Error::internal(format!("a struct column cannot be built: {e}")))?,
            )
        }
        Type::Map(key, value) => {
            let maps = || values.iter().filter_map(|v| if let Value::Map(entries) = v { Some(entries) } else { None });
            let offsets = offsets(values.iter().map(|v| if let Value::Map(entries) = v { entries.len() } else { 0 }))?;
            let keys: Vec<&Value> = maps().flat_map(|m| m.keys()).collect();
            let items: Vec<&Value> = maps().flat_map(|m| m.values()).collect();
            let entries_field = entries_field(key, value);
            let DataType::Struct(fields) = entries_field.data_type() else {
                return Err(Error::internal("a map's entries are a struct"));
            };
            let entries = StructArray::try_new(fields.clone(), vec![values_to_arrow(&keys, key)?, values_to_arrow(&items, value)?], None)
                .map_err(|e| Error::internal(format!("a map column cannot be built: {e}")))?;
            Arc::new(MapArray::new(entries_field, offsets, entries, validity(), false))
        }
        _ => {
            let mut column = Column::new(ty.clone());
            for value in values {
                column.push((*value).clone());
            }
            to_arrow(&column)?
        }
    })
}

fn offsets(lengths: impl Iterator<Item = usize>) -> Result<OffsetBuffer<i32>> {
    let mut offsets = vec![0i32];
    let mut end = 0usize;
    for length in lengths {
        end += length;
        let end = i32::try_from(end).map_err(|_| Error::new(Kind::BadData, "lists and maps hold more than 2^31 elements in one batch"))?;
        offsets.push(end);
    }
    Ok(OffsetBuffer::new(offsets.into()))
}

/// Arrow back to a column of `ty`; an array that is not encoded as [`arrow_type`] says is an error.
pub fn from_arrow(array: &ArrayRef, ty: &Type) -> Result<Column> {
    let mut column = Column::new(ty.clone());
    append_arrow(&mut column, array)?;
    Ok(column)
}

/// Appends an array's rows to a column.
pub fn append_arrow(column: &mut Column, array: &ArrayRef) -> Result<()> {
    let ty = column.ty.clone();
    let wrong = || Error::new(Kind::Internal, format!("a stored column of {} is not a {ty}", array.data_type()));
    macro_rules! take {
        ($into:expr, $arrow:ty, $native:ty) => {{
            let array = array.as_primitive_opt::<$arrow>().ok_or_else(wrong)?;
            if array.null_count() == 0 {
                $into.extend(array.values().iter().map(|v| *v as $native));
            } else {
                $into.extend(array.iter().map(|v| v.unwrap_or_default() as $native));
            }
        }};
    }
    let decimal_type = |wanted: &Type| if *array.data_type() == arrow_type(wanted) { Ok(()) } else { Err(wrong()) };
    match &mut column.data {
        Data::Bool(v) => v.extend(array.as_boolean_opt().ok_or_else(wrong)?.iter().map(|b| b.unwrap_or(false))),
        Data::I32(v) => take!(v, Date32Type, i32),
        Data::F32(v) => take!(v, Float32Type, f32),
        Data::F64(v) => take!(v, Float64Type, f64),
        Data::I64(v) => match &ty {
            Type::TinyInt => take!(v, Int8Type, i64),
            Type::SmallInt => take!(v, Int16Type, i64),
            Type::Integer => take!(v, Int32Type, i64),
            Type::UTinyInt => take!(v, UInt8Type, i64),
            Type::USmallInt => take!(v, UInt16Type, i64),
            Type::UInteger => take!(v, UInt32Type, i64),
            Type::Time => take!(v, Time64MicrosecondType, i64),
            Type::Timestamp | Type::TimestampTz => take!(v, TimestampMicrosecondType, i64),
            Type::Decimal { .. } => {
                decimal_type(&ty)?;
                take!(v, Decimal128Type, i64)
            }
            _ => take!(v, Int64Type, i64),
        },
        Data::I128(v) => match &ty {
            Type::UBigInt => take!(v, UInt64Type, i128),
            Type::Uuid => {
                let array = array.as_fixed_size_binary_opt().filter(|a| a.value_length() == 16).ok_or_else(wrong)?;
                v.extend(array.iter().map(|bytes| bytes.and_then(|b| b.try_into().ok()).map_or(0, i128::from_be_bytes)));
            }
            _ => {
                decimal_type(&ty)?;
                take!(v, Decimal128Type, i128)
            }
        },
        Data::Text(v) => {
            let array = array.as_string_opt::<i64>().ok_or_else(wrong)?;
            v.extend(array.iter().map(|t| t.map_or(CompactString::const_new(""), CompactString::new)));
        }
        Data::Values(v) => v.extend(arrow_to_values(array, &ty)?),
    }
    match array.logical_nulls() {
        Some(nulls) => column.nulls.extend(nulls.iter().map(|valid| !valid)),
        None => column.nulls.resize(column.nulls.len() + array.len(), false),
    }
    Ok(())
}

fn arrow_to_values(array: &ArrayRef, ty: &Type) -> Result<Vec<Value>> {
    let wrong = || Error::new(Kind::Internal, format!("a stored column of {} is not a {ty}", array.data_type()));
    Ok(match ty {
        Type::Null => vec![Value::Null; array.len()],
        Type::Blob => {
            let array = array.as_binary_opt::<i64>().ok_or_else(wrong)?;
            array.iter().map(|b| b.map_or(Value::Null, |b| Value::Blob(Arc::new(b.to_vec())))).collect()
        }
        Type::Interval => {
            let array = array.as_struct_opt().filter(|a| a.num_columns() == 3).ok_or_else(wrong)?;
            let months = array.column(0).as_primitive_opt::<Int32Type>().ok_or_else(wrong)?;
            let days = array.column(1).as_primitive_opt::<Int32Type>().ok_or_else(wrong)?;
            let micros = array.column(2).as_primitive_opt::<Int64Type>().ok_or_else(wrong)?;
            (0..array.len())
                .map(|i| match array.is_null(i) {
                    true => Value::Null,
                    false => Value::Interval(Interval { months: months.value(i), days: days.value(i), micros: micros.value(i) }),
                })
                .collect()
        }
        Type::List(inner) => {
            let array = array.as_list_opt::<i32>().ok_or_else(wrong)?;
            let items = arrow_to_values(array.values(), inner)?;
            spans(array.offsets(), array.nulls())
                .map(|span| span.map_or(Value::Null, |s| Value::List(Arc::new(items[s].to_vec()))))
                .collect()
        }
        Type::Struct(fields) => {
            let array = array.as_struct_opt().filter(|a| a.num_columns() == fields.len()).ok_or_else(wrong)?;
            let mut columns = Vec::with_capacity(fields.len());
            for (column, (_, ty)) in array.columns().iter().zip(fields) {
                columns.push(arrow_to_values(column, ty)?);
            }
            (0..array.len())
                .map(|i| match array.is_null(i) {
                    true => Value::Null,
                    false => Value::Struct(Arc::new(columns.iter().map(|c| c[i].clone()).collect())),
                })
                .collect()
        }
        Type::Map(key, value) => {
            let array = array.as_map_opt().ok_or_else(wrong)?;
            let keys = arrow_to_values(array.keys(), key)?;
            let values = arrow_to_values(array.values(), value)?;
            spans(array.offsets(), array.nulls())
                .map(|span| {
                    span.map_or(Value::Null, |s| {
                        let mut entries = MapEntries::default();
                        entries.extend(keys[s.clone()].iter().cloned().zip(values[s].iter().cloned()));
                        Value::Map(Arc::new(entries))
                    })
                })
                .collect()
        }
        _ => {
            let column = from_arrow(array, ty)?;
            (0..column.len()).map(|i| column.get(i)).collect()
        }
    })
}

/// Each row's range of elements; `None` where the row is NULL.
fn spans<'a>(offsets: &'a OffsetBuffer<i32>, nulls: Option<&'a NullBuffer>) -> impl Iterator<Item = Option<Range<usize>>> + 'a {
    offsets.windows(2).enumerate().map(move |(i, w)| nulls.is_none_or(|n| n.is_valid(i)).then_some(w[0] as usize..w[1] as usize))
}
