//! Parts of dates, times and intervals; truncation; how many units lie between two moments.

use super::datetime::{MICROS_PER_DAY, add_months, civil_of, date_of, days_of, make_date, time_of, timestamp_of, unit_of};
use super::{Interval, Value};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    Millennium,
    Century,
    Decade,
    Year,
    Quarter,
    Month,
    Week,
    Day,
    Hour,
    Minute,
    Second,
    Millisecond,
    Microsecond,
    IsoYear,
    YearWeek,
    DayOfWeek,
    IsoDayOfWeek,
    DayOfYear,
    Epoch,
    Era,
    Timezone,
    Julian,
    Nanosecond,
}

impl Part {
    pub fn named(name: &str) -> Option<Part> {
        let lower = name.to_ascii_lowercase();
        Some(match lower.as_str() {
            "dow" | "dayofweek" | "weekday" => Part::DayOfWeek,
            "isodow" => Part::IsoDayOfWeek,
            "doy" | "dayofyear" => Part::DayOfYear,
            "epoch" => Part::Epoch,
            "isoyear" => Part::IsoYear,
            "yearweek" => Part::YearWeek,
            "era" => Part::Era,
            "julian" => Part::Julian,
            "timezone" | "timezone_hour" | "timezone_minute" => Part::Timezone,
            other => match unit_of(other)? {
                "millennium" => Part::Millennium,
                "century" => Part::Century,
                "decade" => Part::Decade,
                "year" => Part::Year,
                "quarter" => Part::Quarter,
                "month" => Part::Month,
                "week" => Part::Week,
                "day" => Part::Day,
                "hour" => Part::Hour,
                "minute" => Part::Minute,
                "second" => Part::Second,
                "millisecond" => Part::Millisecond,
                _ => Part::Microsecond,
            },
        })
    }

    pub fn is_fractional(self) -> bool {
        matches!(self, Part::Epoch | Part::Julian)
    }

    pub fn is_of_time(self) -> bool {
        matches!(
            self,
            Part::Hour
                | Part::Minute
                | Part::Second
                | Part::Millisecond
                | Part::Microsecond
                | Part::Nanosecond
                | Part::Epoch
                | Part::Timezone
        )
    }

    pub fn is_of_interval(self) -> bool {
        matches!(
            self,
            Part::Millennium
                | Part::Century
                | Part::Decade
                | Part::Year
                | Part::Quarter
                | Part::Month
                | Part::Day
                | Part::Hour
                | Part::Minute
                | Part::Second
                | Part::Millisecond
                | Part::Microsecond
                | Part::Nanosecond
                | Part::Epoch
        )
    }
}

/// The Julian day on which 1970-01-01 falls.
const JULIAN_EPOCH: i64 = 2_440_588;

/// Sunday is 0.
pub fn day_of_week(date: i64) -> i64 {
    (date + 4).rem_euclid(7)
}

pub fn day_of_year(date: i64) -> i64 {
    date - days_of(civil_of(date).0, 1, 1) + 1
}

/// ISO year and week: week 1 is the one that has the year's first Thursday.
pub fn iso_week(date: i64) -> (i64, i64) {
    let thursday = date - (day_of_week(date) + 6) % 7 + 3;
    let year = civil_of(thursday).0;
    (year, (thursday - days_of(year, 1, 1)) / 7 + 1)
}

/// A part of a moment, in microseconds since the epoch (or since midnight, for a time).
pub fn of_timestamp(at: i64, part: Part) -> Value {
    of_parts(date_of(at) as i64, time_of(at), part)
}

/// A part of a date.
pub fn of_date(date: i64, part: Part) -> Value {
    of_parts(date, 0, part)
}

/// A part of a time of the day, which may be 24:00:00.
pub fn of_time(time: i64, part: Part) -> Value {
    of_parts(0, time, part)
}

fn of_parts(date: i64, time: i64, part: Part) -> Value {
    let (year, month, day) = civil_of(date);
    let seconds = time / 1_000_000;
    Value::Int(match part {
        Part::Millennium => {
            if year > 0 {
                (year - 1) / 1000 + 1
            } else {
                -((-year) / 1000 + 1)
            }
        }
        Part::Century => {
            if year > 0 {
                (year - 1) / 100 + 1
            } else {
                -((-year) / 100 + 1)
            }
        }
        Part::Decade => year / 10,
        Part::Year => year,
        Part::Quarter => (month - 1) / 3 + 1,
        Part::Month => month,
        Part::Week => iso_week(date).1,
        Part::Day => day,
        Part::Hour => seconds / 3600,
        Part::Minute => seconds / 60 % 60,
        Part::Second => seconds % 60,
        Part::Millisecond => time % 60_000_000 / 1000,
        Part::Microsecond => time % 60_000_000,
        Part::IsoYear => iso_week(date).0,
        Part::YearWeek => {
            let (year, week) = iso_week(date);
            year * 100 + if year > 0 { week } else { -week }
        }
        Part::DayOfWeek => day_of_week(date),
        Part::IsoDayOfWeek => (day_of_week(date) + 6) % 7 + 1,
        Part::DayOfYear => day_of_year(date),
        Part::Era => i64::from(year > 0),
        Part::Timezone => 0,
        Part::Nanosecond => time % 60_000_000 * 1000,
        Part::Julian => return Value::Double(time as f64 / MICROS_PER_DAY as f64 + (date + JULIAN_EPOCH) as f64),
        Part::Epoch => return Value::Double((date as i128 * MICROS_PER_DAY as i128 + time as i128) as f64 / 1e6),
    } as i128)
}

pub fn of_interval(interval: Interval, part: Part) -> Value {
    let (months, micros) = (interval.months as i64, interval.micros);
    Value::Int(match part {
        Part::Millennium => months / 12_000,
        Part::Century => months / 1200,
        Part::Decade => months / 120,
        Part::Year => months / 12,
        Part::Quarter => months % 12 / 3 + 1,
        Part::Month => months % 12,
        Part::Day => interval.days as i64,
        Part::Hour => micros / 3_600_000_000,
        Part::Minute => micros % 3_600_000_000 / 60_000_000,
        Part::Second => micros % 60_000_000 / 1_000_000,
        Part::Millisecond => micros % 60_000_000 / 1000,
        Part::Microsecond => micros % 60_000_000,
        Part::Nanosecond => micros % 60_000_000 * 1000,
        Part::Epoch => {
            // A year has 365.25 days here, a month 30.
            let days = (months / 12) as f64 * 365.25 + (months % 12) as f64 * 30.0 + interval.days as f64;
            return Value::Double(days * 86_400.0 + micros as f64 / 1e6);
        }
        _ => return Value::Null,
    } as i128)
}

/// An interval as microseconds, months of 30 days.
pub fn interval_micros(interval: Interval) -> Option<i64> {
    let days = (interval.months as i64).checked_mul(30)?.checked_add(interval.days as i64)?;
    days.checked_mul(MICROS_PER_DAY)?.checked_add(interval.micros)
}

/// The start of the unit in which a moment lies.
pub fn truncate(at: i64, part: Part) -> Option<i64> {
    let date = date_of(at) as i64;
    let (year, month, _) = civil_of(date);
    let start = |year: i64, month: i64| timestamp_of(make_date(year, month, 1)?, 0);
    let monday = |date: i64| date - (day_of_week(date) + 6) % 7;
    let on = |date: i64| timestamp_of(i32::try_from(date).ok()?, 0);
    match part {
        Part::Millennium => start(year / 1000 * 1000, 1),
        Part::Century => start(year / 100 * 100, 1),
        Part::Decade => start(year / 10 * 10, 1),
        Part::Year => start(year, 1),
        Part::Quarter => start(year, (month - 1) / 3 * 3 + 1),
        Part::Month => start(year, month),
        Part::Week | Part::YearWeek => on(monday(date)),
        Part::IsoYear => on(monday(days_of(iso_week(date).0, 1, 4))),
        Part::Day | Part::DayOfWeek | Part::IsoDayOfWeek | Part::DayOfYear | Part::Julian => on(date),
        Part::Hour => at.checked_sub(at.rem_euclid(3_600_000_000)),
        Part::Minute => at.checked_sub(at.rem_euclid(60_000_000)),
        Part::Second | Part::Epoch => at.checked_sub(at.rem_euclid(1_000_000)),
        Part::Millisecond => at.checked_sub(at.rem_euclid(1000)),
        _ => Some(at),
    }
}

pub fn truncate_interval(interval: Interval, part: Part) -> Interval {
    let months = |n: i32| Interval { months: interval.months / n * n, days: 0, micros: 0 };
    let micros = |n: i64| Interval { micros: interval.micros / n * n, ..interval };
    match part {
        Part::Millennium => months(12_000),
        Part::Century => months(1200),
        Part::Decade => months(120),
        Part::Year | Part::IsoYear => months(12),
        Part::Quarter => months(3),
        Part::Month => months(1),
        Part::Week | Part::YearWeek => Interval { days: interval.days / 7 * 7, micros: 0, ..interval },
        Part::Day | Part::DayOfWeek | Part::IsoDayOfWeek | Part::DayOfYear | Part::Julian => Interval { micros: 0, ..interval },
        Part::Hour => micros(3_600_000_000),
        Part::Minute => micros(60_000_000),
        Part::Second | Part::Epoch => micros(1_000_000),
        Part::Millisecond => micros(1000),
        _ => interval,
    }
}

/// How many borders of a unit lie between two moments (DATE_DIFF).
pub fn crossed(part: Part, from: i128, to: i128) -> Option<i64> {
    let date = |at: i128| i64::try_from(at.div_euclid(MICROS_PER_DAY as i128)).ok();
    let (from_date, to_date) = (date(from)?, date(to)?);
    let ((from_year, from_month, _), (to_year, to_month, _)) = (civil_of(from_date), civil_of(to_date));
    let per = |micros: i128| i64::try_from(to.div_euclid(micros) - from.div_euclid(micros)).ok();
    // The small units are counted in 64 bits.
    let small = |at: i128| i64::try_from(at).is_ok();
    if matches!(part, Part::Millisecond | Part::Microsecond) && !(small(from) && small(to)) {
        return None;
    }
    match part {
        Part::Millennium => Some(to_year / 1000 - from_year / 1000),
        Part::Century => Some(to_year / 100 - from_year / 100),
        Part::Decade => Some(to_year / 10 - from_year / 10),
        Part::Year => Some(to_year - from_year),
        Part::Quarter => Some((to_year * 12 + to_month - 1) / 3 - (from_year * 12 + from_month - 1) / 3),
        Part::Month => Some((to_year - from_year) * 12 + to_month - from_month),
        // DuckDB counts seven days here, and no borders.
        Part::Week | Part::YearWeek => Some((to_date - from_date) / 7),
        Part::IsoYear => Some(iso_week(to_date).0 - iso_week(from_date).0),
        Part::Day | Part::DayOfWeek | Part::IsoDayOfWeek | Part::DayOfYear | Part::Julian => Some(to_date - from_date),
        Part::Hour => per(3_600_000_000),
        Part::Minute => per(60_000_000),
        Part::Second | Part::Epoch => per(1_000_000),
        Part::Millisecond => per(1000),
        _ => i64::try_from(to - from).ok(),
    }
}

/// How many whole units lie between two moments (DATE_SUB).
pub fn complete(part: Part, from: i128, to: i128) -> Option<i64> {
    // Dates beyond TIMESTAMP have no such difference.
    let (from, to) = (i64::try_from(from).ok()?, i64::try_from(to).ok()?);
    let per = |micros: i64| Some(to.checked_sub(from)? / micros);
    match part {
        Part::Millennium => Some(months_between(from, to)? / 12_000),
        Part::Century => Some(months_between(from, to)? / 1200),
        Part::Decade => Some(months_between(from, to)? / 120),
        Part::Year | Part::IsoYear => Some(months_between(from, to)? / 12),
        Part::Quarter => Some(months_between(from, to)? / 3),
        Part::Month => months_between(from, to),
        Part::Week | Part::YearWeek => per(7 * MICROS_PER_DAY),
        Part::Day | Part::DayOfWeek | Part::IsoDayOfWeek | Part::DayOfYear | Part::Julian => per(MICROS_PER_DAY),
        Part::Hour => per(3_600_000_000),
        Part::Minute => per(60_000_000),
        Part::Second | Part::Epoch => per(1_000_000),
        Part::Millisecond => per(1000),
        _ => to.checked_sub(from),
    }
}

/// Whole months; the last day of a month completes it even where its number is smaller.
fn months_between(from: i64, to: i64) -> Option<i64> {
    if from > to {
        return months_between(to, from).map(|n| -n);
    }
    let (start, end) = (date_of(from), date_of(to));
    let ((y1, m1, _), (y2, m2, _)) = (civil_of(start as i64), civil_of(end as i64));
    let months = (y2 - y1) * 12 + m2 - m1;
    let reached = timestamp_of(add_months(start, i32::try_from(months).ok()?)?, time_of(from))?;
    Some(if reached > to { months - 1 } else { months })
}
