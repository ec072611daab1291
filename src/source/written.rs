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

fn count(json: &str) -> Result<i128, String> {
    let count: i64 = json.parse().map_err(|_| format!("{} is no whole number", shortened(json)))?;
    Ok(count as i128)
}

#[cfg(test)]
mod tests {
    use super::*;

    const VALUES: Values =
        Values { decimals_in_base64: true, dates_in_days: true, timestamps: Some(Unit::Micros), times: Some(Unit::Nanos) };

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
