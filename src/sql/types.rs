//! The SQL types of expressions, state and payloads: DuckDB's, spelled as DuckDB spells them.

use std::fmt;

/// A SQL type. `Null` is the type of a bare `NULL` before it meets another type.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Type {
    Null,
    Boolean,
    TinyInt,
    SmallInt,
    Integer,
    BigInt,
    HugeInt,
    UTinyInt,
    USmallInt,
    UInteger,
    UBigInt,
    Float,
    Double,
    /// `width` digits in all (1..=38), `scale` of them behind the point (0..=width).
    Decimal {
        width: u8,
        scale: u8,
    },
    Varchar,
    Blob,
    Date,
    Time,
    /// Microseconds since the epoch, no zone (UTC by convention).
    Timestamp,
    /// Microseconds since the epoch, UTC.
    TimestampTz,
    Interval,
    Uuid,
    /// JSON text; compares and casts as text does unless a JSON function looks into it.
    Json,
    List(Box<Type>),
    /// Fields in declaration order; names are matched without regard to case. The fields of a row have empty names.
    Struct(Vec<(String, Type)>),
    Map(Box<Type>, Box<Type>),
}

impl Type {
    pub fn is_integer(&self) -> bool {
        self.integer_range().is_some()
    }

    pub fn is_decimal(&self) -> bool {
        matches!(self, Type::Decimal { .. })
    }

    pub fn is_float(&self) -> bool {
        matches!(self, Type::Float | Type::Double)
    }

    pub fn is_numeric(&self) -> bool {
        self.is_integer() || self.is_decimal() || self.is_float()
    }

    /// True for `ROW(…)`, a struct whose fields have no names.
    pub fn is_row(&self) -> bool {
        matches!(self, Type::Struct(fields) if fields.iter().all(|(name, _)| name.is_empty()))
    }

    pub fn is_nested(&self) -> bool {
        matches!(self, Type::List(_) | Type::Struct(_) | Type::Map(..))
    }

    /// The least and greatest value of an integer type.
    pub fn integer_range(&self) -> Option<(i128, i128)> {
        Some(match self {
            Type::TinyInt => (i8::MIN as i128, i8::MAX as i128),
            Type::SmallInt => (i16::MIN as i128, i16::MAX as i128),
            Type::Integer => (i32::MIN as i128, i32::MAX as i128),
            Type::BigInt => (i64::MIN as i128, i64::MAX as i128),
            Type::HugeInt => (i128::MIN, i128::MAX),
            Type::UTinyInt => (0, u8::MAX as i128),
            Type::USmallInt => (0, u16::MAX as i128),
            Type::UInteger => (0, u32::MAX as i128),
            Type::UBigInt => (0, u64::MAX as i128),
            _ => return None,
        })
    }
}

/// An identifier as SQL needs it to stand: quoted unless it is plain lower-case.
pub fn quote_identifier(name: &str) -> String {
    let plain = name.starts_with(|c: char| c.is_ascii_lowercase() || c == '_')
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    if plain { name.to_string() } else { format!("\"{}\"", name.replace('"', "\"\"")) }
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Type::Null => f.write_str("\"NULL\""),
            Type::Boolean => f.write_str("BOOLEAN"),
            Type::TinyInt => f.write_str("TINYINT"),
            Type::SmallInt => f.write_str("SMALLINT"),
            Type::Integer => f.write_str("INTEGER"),
            Type::BigInt => f.write_str("BIGINT"),
            Type::HugeInt => f.write_str("HUGEINT"),
            Type::UTinyInt => f.write_str("UTINYINT"),
            Type::USmallInt => f.write_str("USMALLINT"),
            Type::UInteger => f.write_str("UINTEGER"),
            Type::UBigInt => f.write_str("UBIGINT"),
            Type::Float => f.write_str("FLOAT"),
            Type::Double => f.write_str("DOUBLE"),
            Type::Decimal { width, scale } => write!(f, "DECIMAL({width},{scale})"),
            Type::Varchar => f.write_str("VARCHAR"),
            Type::Blob => f.write_str("BLOB"),
            Type::Date => f.write_str("DATE"),
            Type::Time => f.write_str("TIME"),
            Type::Timestamp => f.write_str("TIMESTAMP"),
            Type::TimestampTz => f.write_str("TIMESTAMP WITH TIME ZONE"),
            Type::Interval => f.write_str("INTERVAL"),
            Type::Uuid => f.write_str("UUID"),
            Type::Json => f.write_str("JSON"),
            Type::List(inner) => write!(f, "{inner}[]"),
            Type::Struct(fields) => {
                f.write_str("STRUCT(")?;
                for (i, (name, ty)) in fields.iter().enumerate() {
                    if i > 0 {
                        f.write_str(", ")?;
                    }
                    if name.is_empty() {
                        write!(f, "{ty}")?;
                        continue;
                    }
                    write!(f, "\"{}\" {ty}", name.replace('"', "\"\""))?;
                }
                f.write_str(")")
            }
            Type::Map(key, value) => write!(f, "MAP({key}, {value})"),
        }
    }
}
