//! How the columns of a snapshot are encoded: cheap to write, cheap to read, and not much larger than the best.
//!
//! A snapshot is written by each run and read by the next one and by the read models, so time counts for more than
//! size. What a column gets depends on some of its rows alone:
//!
//! | column | encoding | compression |
//! |---|---|---|
//! | few distinct values | dictionary | zstd 1 |
//! | whole numbers, decimals of 18 digits, times | DELTA_BINARY_PACKED | none: what it leaves is dense |
//! | texts, everything else | plain | zstd 1 |
//! | the leaves of nested columns | dictionary, as the writer sees fit | zstd 1 |

use arrow::array::{Array, ArrayRef, UInt32Array};
use arrow::compute::take;
use arrow::datatypes::{DataType, Schema};
use arrow::row::{RowConverter, SortField};
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::errors::Result;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::schema::types::ColumnPath;

/// Rows of a column that are looked at.
const SAMPLE_ROWS: usize = 1024;

/// So many rows, on average, share a value where a dictionary is made.
const ROWS_PER_VALUE: usize = 8;

/// The properties of a file. `sample`: some of its rows, by column; none where it has no rows.
pub fn properties(schema: &Schema, sample: &[ArrayRef]) -> Result<WriterProperties> {
    let mut builder = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(1)?))
        .set_statistics_enabled(EnabledStatistics::Chunk)
        .set_max_row_group_row_count(None)
        .set_created_by("foldline".to_string());
    for (field, column) in schema.fields().iter().zip(sample) {
        if field.data_type().is_nested() || has_few_values(column) {
            continue;
        }
        let path = ColumnPath::from(field.name().as_str());
        builder = builder.set_column_dictionary_enabled(path.clone(), false);
        if is_whole(field.data_type()) {
            builder = builder
                .set_column_encoding(path.clone(), Encoding::DELTA_BINARY_PACKED)
                .set_column_compression(path, Compression::UNCOMPRESSED);
        }
    }
    Ok(builder.build())
}

/// Whether a type lies in the file as integers of 32 or 64 bits.
fn is_whole(ty: &DataType) -> bool {
    match ty {
        DataType::Decimal128(width, _) => *width <= 18,
        DataType::Date32 | DataType::Time64(_) | DataType::Timestamp(..) => true,
        ty => ty.is_integer(),
    }
}

/// Whether a dictionary pays, by rows spread over the column.
fn has_few_values(column: &ArrayRef) -> bool {
    let rows = column.len().min(SAMPLE_ROWS);
    if rows == 0 {
        return true;
    }
    let step = column.len() / rows;
    let picked = UInt32Array::from_iter_values((0..rows).map(|row| (row * step) as u32));
    let distinct = || {
        let sample = take(column, &picked, None)?;
        let converter = RowConverter::new(vec![SortField::new(sample.data_type().clone())])?;
        let sample = converter.convert_columns(&[sample])?;
        let mut values: Vec<&[u8]> = sample.iter().map(|row| row.data()).collect();
        values.sort_unstable();
        values.dedup();
        Ok::<usize, arrow::error::ArrowError>(values.len())
    };
    distinct().is_ok_and(|distinct| distinct * ROWS_PER_VALUE <= rows)
}
