//! The cells of a row as JSON. NULL is null.

use ::parquet::basic::LogicalType;
use ::parquet::schema::types::{Type, TypePtr};
use arrow::array::{Array, ArrayRef, ArrowPrimitiveType, AsArray, BooleanArray, PrimitiveArray, RecordBatch, StringArray};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, Time32MillisecondType,
    Time32SecondType, Time64MicrosecondType, Time64NanosecondType, TimeUnit, TimestampMicrosecondType, TimestampMillisecondType,
    TimestampNanosecondType, TimestampSecondType, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;

use super::super::text;

/// How rows of certain columns are written.
pub struct Record {
    /// The Parquet type of each column, and whether its texts are documents.
    columns: Vec<(TypePtr, bool)>,
    /// By column: what stands in front of its value.
    names: Vec<Vec<u8>>,
}

impl Record {
    pub fn new(columns: Vec<(TypePtr, bool)>) -> Record {
        let names = columns.iter().enumerate().map(|(at, (column, _))| name(column.name(), at == 0)).collect();
        Record { columns, names }
    }

    /// Appends a line for each row. The batch has the record's columns.
    pub fn write(&self, batch: &RecordBatch, out: &mut Vec<u8>) {
        let mut cells: Vec<Cells> =
            batch.columns().iter().zip(&self.columns).map(|(array, (column, documents))| Cells::of(array, column, *documents)).collect();
        for row in 0..batch.num_rows() {
            out.push(b'{');
            for (name, cells) in self.names.iter().zip(&mut cells) {
                out.extend_from_slice(name);
                cells.write(row, out);
            }
            out.extend_from_slice(b"}\n");
        }
    }
}

/// `,"name":`, without the comma where it is the first one.
fn name(name: &str, first: bool) -> Vec<u8> {
    let mut text = if first { Vec::new() } else { vec![b','] };
    text::string(name, &mut text);
    text.push(b':');
    text
}

/// An array of values that can be written.
struct Cells {
    nulls: Option<NullBuffer>,
    values: Box<dyn Write>,
}

trait Write {
    /// A value that is not NULL.
    fn write(&mut self, row: usize, out: &mut Vec<u8>);
}

impl<F: FnMut(usize, &mut Vec<u8>)> Write for F {
    fn write(&mut self, row: usize, out: &mut Vec<u8>) {
        self(row, out);
    }
}

impl Cells {
    /// `documents`: texts that are JSON objects or arrays are written as these.
    fn of(array: &ArrayRef, column: &Type, documents: bool) -> Cells {
        Cells { nulls: array.logical_nulls(), values: writer(array, column, documents) }
    }

    fn write(&mut self, row: usize, out: &mut Vec<u8>) {
        if self.nulls.as_ref().is_some_and(|nulls| nulls.is_null(row)) {
            out.extend_from_slice(b"null");
        } else {
            self.values.write(row, out);
        }
    }
}

fn writer(array: &ArrayRef, column: &Type, documents: bool) -> Box<dyn Write> {
    match array.data_type() {
        DataType::Boolean => {
            let array: BooleanArray = array.as_boolean().clone();
            Box::new(move |row, out: &mut Vec<u8>| out.extend_from_slice(if array.value(row) { b"true" } else { b"false" }))
        }
        DataType::Int8 => whole::<Int8Type>(array),
        DataType::Int16 => whole::<Int16Type>(array),
        DataType::Int32 => whole::<Int32Type>(array),
        DataType::Int64 => whole::<Int64Type>(array),
        DataType::UInt8 => whole::<UInt8Type>(array),
        DataType::UInt16 => whole::<UInt16Type>(array),
        DataType::UInt32 => whole::<UInt32Type>(array),
        DataType::UInt64 => whole::<UInt64Type>(array),
        DataType::Float32 => {
            let array = array.as_primitive::<Float32Type>().clone();
            Box::new(move |row, out: &mut Vec<u8>| {
                let value = array.value(row);
                float(value as f64, || serde_json::to_string(&value), out);
            })
        }
        DataType::Float64 => {
            let array = array.as_primitive::<Float64Type>().clone();
            Box::new(move |row, out: &mut Vec<u8>| {
                let value = array.value(row);
                float(value, || serde_json::to_string(&value), out);
            })
        }
        DataType::Decimal128(_, scale) => {
            let (array, scale) = (array.as_primitive::<Decimal128Type>().clone(), *scale);
            Box::new(move |row, out: &mut Vec<u8>| text::decimal(array.value(row), scale, out))
        }
        DataType::Utf8 => {
            let array: StringArray = array.as_string::<i32>().clone();
            if documents || matches!(logical(column), Some(LogicalType::Json)) {
                Box::new(move |row, out: &mut Vec<u8>| text::document(array.value(row), out))
            } else {
                Box::new(move |row, out: &mut Vec<u8>| text::string(array.value(row), out))
            }
        }
        DataType::Binary => {
            let array = array.as_binary::<i32>().clone();
            Box::new(move |row, out: &mut Vec<u8>| binary(array.value(row), out))
        }
        DataType::FixedSizeBinary(_) => {
            let array = array.as_fixed_size_binary().clone();
            if matches!(logical(column), Some(LogicalType::Uuid)) {
                Box::new(move |row, out: &mut Vec<u8>| uuid(array.value(row), out))
            } else {
                Box::new(move |row, out: &mut Vec<u8>| binary(array.value(row), out))
            }
        }
        DataType::Date32 => {
            let array = array.as_primitive::<Date32Type>().clone();
            quoted(move |row, out| text::date(array.value(row) as i64, out))
        }
        DataType::Timestamp(unit, _) => match unit {
            TimeUnit::Second => moments::<TimestampSecondType>(array, 1),
            TimeUnit::Millisecond => moments::<TimestampMillisecondType>(array, 1000),
            TimeUnit::Microsecond => moments::<TimestampMicrosecondType>(array, 1_000_000),
            TimeUnit::Nanosecond => moments::<TimestampNanosecondType>(array, 1_000_000_000),
        },
        DataType::Time32(TimeUnit::Second) => times::<Time32SecondType>(array, 1),
        DataType::Time32(_) => times::<Time32MillisecondType>(array, 1000),
        DataType::Time64(TimeUnit::Nanosecond) => times::<Time64NanosecondType>(array, 1_000_000_000),
        DataType::Time64(_) => times::<Time64MicrosecondType>(array, 1_000_000),
        DataType::Struct(fields) => {
            let names: Vec<Vec<u8>> = fields.iter().enumerate().map(|(at, field)| name(field.name(), at == 0)).collect();
            let of = |(at, array)| Cells::of(array, child(column, at), false);
            let mut members: Vec<Cells> = array.as_struct().columns().iter().enumerate().map(of).collect();
            Box::new(move |row, out: &mut Vec<u8>| {
                out.push(b'{');
                for (name, cells) in names.iter().zip(&mut members) {
                    out.extend_from_slice(name);
                    cells.write(row, out);
                }
                out.push(b'}');
            })
        }
        DataType::List(_) => {
            let list = array.as_list::<i32>();
            let offsets: OffsetBuffer<i32> = list.offsets().clone();
            let mut elements = Cells::of(list.values(), element(column), false);
            Box::new(move |row, out: &mut Vec<u8>| {
                out.push(b'[');
                for (at, element) in (offsets[row]..offsets[row + 1]).enumerate() {
                    if at > 0 {
                        out.push(b',');
                    }
                    elements.write(element as usize, out);
                }
                out.push(b']');
            })
        }
        DataType::Map(..) => {
            let map = array.as_map();
            let offsets: OffsetBuffer<i32> = map.offsets().clone();
            let entry = child(column, 0);
            let (mut keys, mut values) = (Cells::of(map.keys(), child(entry, 0), false), Cells::of(map.values(), child(entry, 1), false));
            let mut key = Vec::new();
            Box::new(move |row, out: &mut Vec<u8>| {
                out.push(b'{');
                for (at, entry) in (offsets[row]..offsets[row + 1]).enumerate() {
                    if at > 0 {
                        out.push(b',');
                    }
                    key.clear();
                    keys.write(entry as usize, &mut key);
                    // a key of JSON is a string, whatever it was
                    if key.first() == Some(&b'"') {
                        out.extend_from_slice(&key)
                    } else {
                        text::string(&String::from_utf8_lossy(&key), out)
                    }
                    out.push(b':');
                    values.write(entry as usize, out);
                }
                out.push(b'}');
            })
        }
        _ => shown(array),
    }
}

/// What Parquet calls the type beyond how its bytes lie.
fn logical(column: &Type) -> Option<LogicalType> {
    column.get_basic_info().logical_type_ref().cloned()
}

fn children(column: &Type) -> &[TypePtr] {
    if column.is_group() { column.get_fields() } else { &[] }
}

/// One of them; the type itself where it has none, which then says nothing more of it.
fn child(column: &Type, at: usize) -> &Type {
    children(column).get(at).map_or(column, |child| child.as_ref())
}

/// The type of a list's elements: below the repeated group, where there is one.
fn element(column: &Type) -> &Type {
    match children(column) {
        [repeated] if children(repeated).len() == 1 => child(repeated, 0),
        [repeated] => repeated,
        _ => column,
    }
}

fn whole<T: ArrowPrimitiveType>(array: &ArrayRef) -> Box<dyn Write>
where
    T::Native: itoa::Integer,
{
    let array: PrimitiveArray<T> = array.as_primitive::<T>().clone();
    Box::new(move |row, out: &mut Vec<u8>| out.extend_from_slice(itoa::Buffer::new().format(array.value(row)).as_bytes()))
}

/// The shortest digits that read back as the number; what is none, as a text that DOUBLE takes.
fn float(value: f64, digits: impl FnOnce() -> serde_json::Result<String>, out: &mut Vec<u8>) {
    match digits() {
        Ok(digits) if value.is_finite() => out.extend_from_slice(digits.as_bytes()),
        _ if value.is_nan() => out.extend_from_slice(b"\"NaN\""),
        _ => out.extend_from_slice(if value > 0.0 { b"\"Infinity\"" } else { b"\"-Infinity\"" }),
    }
}

fn binary(bytes: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    out.extend_from_slice(BASE64_STANDARD.encode(bytes).as_bytes());
    out.push(b'"');
}

fn uuid(bytes: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    for (at, byte) in bytes.iter().enumerate() {
        if matches!(at, 4 | 6 | 8 | 10) {
            out.push(b'-');
        }
        out.extend_from_slice(&[b"0123456789abcdef"[(byte >> 4) as usize], b"0123456789abcdef"[(byte & 15) as usize]]);
    }
    out.push(b'"');
}

fn quoted(mut write: impl FnMut(usize, &mut Vec<u8>) + 'static) -> Box<dyn Write> {
    Box::new(move |row, out: &mut Vec<u8>| {
        out.push(b'"');
        write(row, out);
        out.push(b'"');
    })
}

/// RFC 3339 in UTC; a timestamp without a time zone counts as UTC.
fn moments<T: ArrowPrimitiveType<Native = i64>>(array: &ArrayRef, per_second: i64) -> Box<dyn Write> {
    let array: PrimitiveArray<T> = array.as_primitive::<T>().clone();
    // most moments lie in the day of the one before
    let (mut last_day, mut last_date) = (None, Vec::new());
    quoted(move |row, out| {
        let (day, ticks) = (array.value(row).div_euclid(86_400 * per_second), array.value(row).rem_euclid(86_400 * per_second));
        if last_day != Some(day) {
            last_day = Some(day);
            last_date.clear();
            text::date(day, &mut last_date);
        }
        out.extend_from_slice(&last_date);
        out.push(b'T');
        text::time_of_day(ticks, per_second, out);
        out.push(b'Z');
    })
}

fn times<T: ArrowPrimitiveType>(array: &ArrayRef, per_second: i64) -> Box<dyn Write>
where
    T::Native: Into<i64>,
{
    let array: PrimitiveArray<T> = array.as_primitive::<T>().clone();
    quoted(move |row, out| text::time_of_day(array.value(row).into(), per_second, out))
}

/// What is rare, as Arrow shows it: a number where it is one, else a text.
fn shown(array: &ArrayRef) -> Box<dyn Write> {
    let number = matches!(array.data_type(), DataType::Decimal32(..) | DataType::Decimal64(..) | DataType::Decimal256(..));
    let array = array.clone();
    Box::new(move |row, out: &mut Vec<u8>| {
        let options = FormatOptions::default();
        let shown = ArrayFormatter::try_new(&array, &options).map(|formatter| formatter.value(row).to_string()).unwrap_or_default();
        if number { out.extend_from_slice(shown.as_bytes()) } else { text::string(&shown, out) }
    })
}
