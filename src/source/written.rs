//! Values of a payload that a source writes in a form of its own, see [`crate::project::values`].

use super::contract::{convert, shortened};
use super::json;
use super::quirks::debezium::{bytes_of, date, decimal, time, timestamp};
use super::quirks::object::quoted;
use crate::project::values::{Unit, Values};
use crate::sql::{Type, Value};

/// Converts as [`convert`], but for values that the source writes otherwise: those of columns, not those inside of lists and structs.
pub(super) fn convert_written(json: &str, ty: &Type, values: &Values) -> Result<Value, String> {
    let first = json.as_bytes().first();
    let (text, number) = (first == Some(&b'"'), matches!(first, Some(b'-' | b'0'..=b'9')));
    if values.all_text && text && !matches!(ty, Type::Varchar) {
        return from_text(json, ty);
    }
    let counted = |unit: Unit| count(json).map(|count| count * unit.nanos());
    let written = match ty {
        Type::Decimal { scale, .. } if values.decimals_in_base64 && text => {
            json::as_text(json)?;
            decimal(&bytes_of(json)?, *scale as i32)?
        }
        Type::Date if values.dates_in_days && number => {
            let days = count(json)?;
            quoted(&date(i64::try_from(days).map_err(|_| format!("{days} days since 1970 are no date"))?)?)
        }
        Type::Timestamp | Type::TimestampTz if number && let Some(unit) = values.timestamps => quoted(&timestamp(counted(unit)?)?),
        Type::Time if number && let Some(unit) = values.times => quoted(&time(counted(unit)?)?),
        _ => {
            return convert(json, ty).map_err(|e| match ty {
                Type::Timestamp | Type::TimestampTz if number => format!("{e}; say its unit: `timestamps` in [source.<name>.values]"),
                Type::Time if number => format!("{e}; say its unit: `times` in [source.<name>.values]"),
                Type::Date if number => format!("{e}; say its unit: `dates` in [source.<name>.values]"),
                _ => e,
            });
        }
    };
    convert(&written, ty)
}

/// A value out of rows of text: what stands in a string stands for itself, as JSON or as PostgreSQL and others write it.
fn from_text(json: &str, ty: &Type) -> Result<Value, String> {
    let text = json::as_text(json)?.unwrap_or_default();
    let trimmed = text.trim();
    let inner: &str = match ty {
        Type::Boolean => match trimmed.to_ascii_lowercase().as_str() {
            "t" | "true" | "1" | "y" | "yes" => "true",
            "f" | "false" | "0" | "n" | "no" => "false",
            _ => return Err(format!("{} is no BOOLEAN", shortened(json))),
        },
        // a sign that JSON does not know
        _ if ty.is_integer() => trimmed.strip_prefix('+').unwrap_or(trimmed),
        Type::Json | Type::List(_) | Type::Struct(_) | Type::Map(..) => trimmed,
        _ => return convert(json, ty),
    };
    json::check(inner).map_err(|_| format!("{} is no {ty}", shortened(json)))?;
    convert(inner, ty)
}

fn count(json: &str) -> Result<i128, String> {
    let count: i64 = json.parse().map_err(|_| format!("{} is no whole number", shortened(json)))?;
    Ok(count as i128)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_of_text_convert_to_every_type() {
        let values = Values { all_text: true, ..Values::default() };
        let read = |json: &str, ty: Type| convert_written(json, &ty, &values);
        assert_eq!(read("\"5\"", Type::Integer), Ok(Value::Int(5)));
        assert_eq!(read("\" +5 \"", Type::SmallInt), Ok(Value::Int(5)));
        assert_eq!(read("\"t\"", Type::Boolean), Ok(Value::Bool(true)));
        assert_eq!(read("\"False\"", Type::Boolean), Ok(Value::Bool(false)));
        assert_eq!(read("\"1.5\"", Type::Double), Ok(Value::Double(1.5)));
        assert_eq!(read("\"5\"", Type::Varchar), Ok(Value::text("5")));
        assert_eq!(read("null", Type::Integer), Ok(Value::Null));
        assert_eq!(read("\"[1,2]\"", Type::List(Box::new(Type::Integer))), convert("[1,2]", &Type::List(Box::new(Type::Integer))));
        for wrong in ["\"\"", "\"x\"", "\"1.5\"", "\"99999999999\"", "\"[1]\""] {
            assert!(read(wrong, Type::Integer).is_err(), "{wrong}");
        }
    }

    const VALUES: Values =
        Values { decimals_in_base64: true, dates_in_days: true, timestamps: Some(Unit::Micros), times: Some(Unit::Nanos), all_text: false };

    #[test]
    fn what_a_source_writes_in_its_own_form_is_the_value_that_it_stands_for() {
        let price = Type::Decimal { width: 10, scale: 2 };
        let same = |json: &str, plain: &str, ty: &Type| {
            let expected = convert(plain, ty);
            assert!(expected.is_ok(), "{plain}");
            assert_eq!(convert_written(json, ty, &VALUES), expected, "{json}");
        };
        same("\"AxY=\"", "7.90", &price);
        same("\"/w==\"", "-0.01", &price);
        same("7.90", "7.90", &price);
        same("null", "null", &price);
        same("20416", "\"2025-11-24\"", &Type::Date);
        same("-1", "\"1969-12-31\"", &Type::Date);
        same("\"2025-11-24\"", "\"2025-11-24\"", &Type::Date);
        same("1764000000123456", "\"2025-11-24 16:00:00.123456\"", &Type::Timestamp);
        same("1764000000123456", "\"2025-11-24 16:00:00.123456+00\"", &Type::TimestampTz);
        same("3600000000000", "\"01:00:00\"", &Type::Time);
        same("5", "5", &Type::Integer);
        same("\"AxY=\"", "\"AxY=\"", &Type::Varchar);
    }

    #[test]
    fn what_cannot_be_such_a_value_is_an_error_and_so_is_a_number_whose_unit_nobody_says() {
        let price = Type::Decimal { width: 4, scale: 2 };
        for (json, ty) in [
            ("\"12.30\"", &price),
            ("\"f////w==\"", &price),
            ("1.5", &Type::Date),
            ("99999999999999999999", &Type::Timestamp),
            ("-1", &Type::Time),
        ] {
            assert!(convert_written(json, ty, &VALUES).is_err(), "{json}");
        }
        for ty in [Type::Date, Type::Time, Type::Timestamp, Type::TimestampTz] {
            assert!(convert_written("5", &ty, &Values::default()).unwrap_err().contains("say its unit"));
        }
    }
}
