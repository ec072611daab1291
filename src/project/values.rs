//! `[source.<name>.values]`: how a source writes values that JSON has no form for, where its records do not say so themselves.

use super::toml_walk::Table;

/// What an epoch number counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    Millis,
    Micros,
    Nanos,
}

impl Unit {
    /// So many nanoseconds.
    pub fn nanos(self) -> i128 {
        match self {
            Unit::Millis => 1_000_000,
            Unit::Micros => 1000,
            Unit::Nanos => 1,
        }
    }

    fn named(name: &str) -> Option<Unit> {
        match name {
            "ms" => Some(Unit::Millis),
            "us" => Some(Unit::Micros),
            "ns" => Some(Unit::Nanos),
            _ => None,
        }
    }
}

/// How the values of declared columns are written; by default as text, in which numbers are no dates.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Values {
    /// Texts of DECIMAL columns are base64 of a big-endian two's complement, whose scale is the column's.
    pub decimals_in_base64: bool,
    /// Numbers of DATE columns are days since 1970.
    pub dates_in_days: bool,
    /// Numbers of TIMESTAMP and TIMESTAMPTZ columns count since 1970.
    pub timestamps: Option<Unit>,
    /// Numbers of TIME columns count since midnight.
    pub times: Option<Unit>,
    /// Rows of CSV: everything is text, and converts to every type.
    pub all_text: bool,
}

impl Values {
    pub(crate) fn read(source: &Table) -> Values {
        let Some(table) = source.table("values") else { return Values::default() };
        let word = |key: &str| table.text(key).map_or("", |text| text.value.as_str());
        Values {
            decimals_in_base64: word("decimals") == "base64",
            dates_in_days: word("dates") == "days",
            timestamps: Unit::named(word("timestamps")),
            times: Unit::named(word("times")),
            all_text: false,
        }
    }

    /// Whether everything is written as text.
    pub fn is_plain(&self) -> bool {
        *self == Values::default()
    }
}
