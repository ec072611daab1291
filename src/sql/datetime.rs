//! Dates, times, timestamps and intervals: calendar arithmetic in the proleptic Gregorian calendar, text both ways.

use super::Interval;

pub const MICROS_PER_DAY: i64 = 86_400_000_000;
const MICROS_PER_SECOND: i64 = 1_000_000;
/// DuckDB's infinite dates and timestamps.
pub const DATE_INFINITY: i32 = i32::MAX;
pub const TIMESTAMP_INFINITY: i64 = i64::MAX;
/// DuckDB's least finite timestamp: 290309-12-22 (BC).
pub const TIMESTAMP_LEAST: i64 = -9_223_372_022_400_000_000;
/// DuckDB's least and greatest finite date, in days.
const DATE_RANGE: std::ops::RangeInclusive<i64> = -(i32::MAX as i64 - 1)..=(i32::MAX as i64 - 1);
const YEAR_RANGE: std::ops::RangeInclusive<i64> = -5_877_641..=5_881_580;

/// Days since 1970-01-01 (Howard Hinnant's algorithm); `month` 1..=12, `day` 1..=31, `year` astronomical.
pub fn days_of(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let of_year = (153 * (if month > 2 { month - 3 } else { month + 9 }) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

/// Year, month, day of a day since 1970-01-01.
pub fn civil_of(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let of_era = days.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

pub fn days_in_month(year: i64, month: i64) -> i64 {
    match month {
        2 if (year % 4 == 0 && year % 100 != 0) || year % 400 == 0 => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// A date, where year, month and day name one in range.
pub fn make_date(year: i64, month: i64, day: i64) -> Option<i32> {
    if !YEAR_RANGE.contains(&year) || !(1..=12).contains(&month) || day < 1 || day > days_in_month(year, month) {
        return None;
    }
    let days = days_of(year, month, day);
    DATE_RANGE.contains(&days).then_some(days as i32)
}

/// Microseconds since midnight; 24:00:00 is allowed, as in DuckDB.
pub fn make_time(hour: i64, minute: i64, second: i64, micros: i64) -> Option<i64> {
    let valid = (0..24).contains(&hour) && (0..60).contains(&minute) && (0..60).contains(&second) && (0..1_000_000).contains(&micros);
    let midnight = hour == 24 && minute == 0 && second == 0 && micros == 0;
    (valid || midnight).then(|| ((hour * 60 + minute) * 60 + second) * MICROS_PER_SECOND + micros)
}

/// The timestamp of a date and a time of the day; infinite dates stay infinite.
pub fn timestamp_of(date: i32, micros: i64) -> Option<i64> {
    match date {
        DATE_INFINITY => return Some(TIMESTAMP_INFINITY),
        d if d == -DATE_INFINITY => return Some(-TIMESTAMP_INFINITY),
        _ => {}
    }
    let at = (date as i64).checked_mul(MICROS_PER_DAY)?.checked_add(micros)?;
    (at > -TIMESTAMP_INFINITY && at < TIMESTAMP_INFINITY).then_some(at)
}

pub fn date_of(timestamp: i64) -> i32 {
    match timestamp {
        TIMESTAMP_INFINITY => DATE_INFINITY,
        t if t == -TIMESTAMP_INFINITY => -DATE_INFINITY,
        t => t.div_euclid(MICROS_PER_DAY) as i32,
    }
}

pub fn time_of(timestamp: i64) -> i64 {
    timestamp.rem_euclid(MICROS_PER_DAY)
}

/// Whether a TIMESTAMP, in microseconds, is a moment: not DuckDB's `infinity` or `-infinity`.
pub fn is_finite(timestamp: i64) -> bool {
    timestamp != TIMESTAMP_INFINITY && timestamp != -TIMESTAMP_INFINITY
}

/// Reads digits and signs from the left of a text.
struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn new(text: &'a str) -> Self {
        Reader { bytes: text.as_bytes(), at: 0 }
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn spaces(&mut self) {
        while self.peek().is_some_and(|b| b.is_ascii_whitespace()) {
            self.at += 1;
        }
    }

    fn take(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    /// A number of one to `most` digits.
    fn digits(&mut self, most: usize) -> Option<i64> {
        let from = self.at;
        let mut number = 0i64;
        while self.at - from < most
            && let Some(digit) = self.peek().filter(u8::is_ascii_digit)
        {
            number = number.checked_mul(10)?.checked_add((digit - b'0') as i64)?;
            self.at += 1;
        }
        (self.at > from).then_some(number)
    }

    fn at_end(&mut self) -> bool {
        self.spaces();
        self.at == self.bytes.len()
    }

    /// The fraction behind a point, in microseconds; further digits are cut off.
    fn fraction(&mut self) -> i64 {
        let (mut micros, mut digits) = (0i64, 0);
        while let Some(digit) = self.peek().filter(u8::is_ascii_digit) {
            if digits < 6 {
                micros = micros * 10 + (digit - b'0') as i64;
                digits += 1;
            }
            self.at += 1;
        }
        micros * 10i64.pow(6 - digits)
    }

    fn word(&mut self, word: &str) -> bool {
        let found =
            self.bytes[self.at..].len() >= word.len() && self.bytes[self.at..self.at + word.len()].eq_ignore_ascii_case(word.as_bytes());
        if found {
            self.at += word.len();
        }
        found
    }

    /// `2026-01-31`, with `-`, `/`, `\` or a space between the parts; a year may be negative or end in ` (BC)`.
    fn date(&mut self) -> Option<i32> {
        self.spaces();
        for (word, date) in
            [("epoch", 0), ("infinity", DATE_INFINITY), ("-infinity", -DATE_INFINITY), ("inf", DATE_INFINITY), ("-inf", -DATE_INFINITY)]
        {
            if self.word(word) {
                return self.at_end().then_some(date);
            }
        }
        let negative = self.take(b'-');
        let mut year = self.digits(7)?;
        let separator = self.peek().filter(|b| matches!(b, b'-' | b'/' | b'\\' | b' '))?;
        self.at += 1;
        let month = self.digits(2)?;
        if !self.take(separator) {
            return None;
        }
        let day = self.digits(2)?;
        if negative {
            year = -year;
        }
        if self.word(" (BC)") {
            if negative || year == 0 {
                return None;
            }
            year = 1 - year;
        }
        if self.peek().is_some_and(|b| b.is_ascii_digit()) {
            return None;
        }
        make_date(year, month, day)
    }

    /// `10:30:15.25`, `10:30`, `10:`; hours of up to nine digits.
    fn time(&mut self) -> Option<(i64, i64, i64, i64)> {
        let hour = self.digits(9)?;
        if !self.take(b':') {
            return None;
        }
        let (mut minute, mut second, mut micros) = (0, 0, 0);
        if self.peek().is_some() {
            minute = self.digits(2)?;
        }
        if self.peek().is_some() && !self.take(b':') {
            return None;
        }
        if self.peek().is_some() {
            second = self.digits(2)?;
            if self.take(b'.') {
                micros = self.fraction();
            }
        }
        Some((hour, minute, second, micros))
    }

    fn two_digits(&mut self) -> Option<i64> {
        let digits = self.bytes.get(self.at..self.at + 2)?;
        if !digits.iter().all(u8::is_ascii_digit) {
            return None;
        }
        self.digits(2)
    }

    /// `Z`, `+02`, `-05:30`, `+01:00:30`, ` UTC`: seconds east of UTC.
    fn offset(&mut self) -> Option<i64> {
        if self.take(b'Z') {
            return Some(0);
        }
        if self.take(b' ') {
            return (self.word("UTC") || self.word("GMT")).then_some(0);
        }
        let sign = match self.peek()? {
            b'+' => 1,
            b'-' => -1,
            _ => return None,
        };
        self.at += 1;
        let hours = self.two_digits()?;
        let minutes = match self.peek() {
            Some(b':') => {
                self.at += 1;
                self.two_digits()?
            }
            Some(b) if b.is_ascii_digit() => self.two_digits()?,
            _ => 0,
        };
        let seconds = if self.take(b':') { self.two_digits()? } else { 0 };
        Some(sign * (hours * 3600 + minutes * 60 + seconds))
    }
}

/// `25:30:00.5`: hours of any number, in microseconds; what stands behind it is passed over, as in DuckDB.
pub fn parse_hours(text: &str) -> Option<i64> {
    let (hours, minutes, seconds, micros) = Reader::new(text).time()?;
    if minutes >= 60 || seconds >= 60 {
        return None;
    }
    (hours * 3600 + minutes * 60 + seconds).checked_mul(MICROS_PER_SECOND)?.checked_add(micros)
}

/// The date a text begins with; what stands behind it must not go on with a digit.
pub fn parse_date(text: &str) -> Option<i32> {
    Reader::new(text).date()
}

/// A time of the day, with anything behind it; or the time of a whole timestamp.
pub fn parse_time(text: &str) -> Option<i64> {
    let mut reader = Reader::new(text);
    reader.spaces();
    let time = reader.time().and_then(|(hour, minute, second, micros)| make_time(hour, minute, second, micros));
    time.or_else(|| parse_timestamp(text).filter(|t| is_finite(*t)).map(time_of))
}

/// A timestamp in UTC: text with an offset is converted, text without one is taken as it stands.
pub fn parse_timestamp(text: &str) -> Option<i64> {
    if let Some(at) = parse_rfc3339(text.as_bytes()) {
        return Some(at);
    }
    let mut reader = Reader::new(text);
    let date = reader.date()?;
    if reader.peek().is_none() {
        return timestamp_of(date, 0);
    }
    if !reader.take(b'T') && !reader.peek().is_some_and(|b| b.is_ascii_whitespace()) {
        return None;
    }
    reader.spaces();
    let (hour, minute, second, micros) = reader.time()?;
    let at = timestamp_of(date, make_time(hour, minute, second, micros)?)?;
    let behind = reader.at;
    if reader.at_end() {
        return Some(at);
    }
    reader.at = behind;
    let offset = reader.offset()?;
    if reader.at_end() { at.checked_sub(offset * MICROS_PER_SECOND) } else { None }
}

/// A timestamp as logs write it, `2024-05-01T12:34:56.789Z`: with up to six digits behind the point, or none, and in UTC.
#[inline]
pub fn parse_rfc3339(text: &[u8]) -> Option<i64> {
    let (head, rest) = text.split_first_chunk::<19>()?;
    let mut ok = head[4] == b'-' && head[7] == b'-' && head[10] == b'T' && head[13] == b':' && head[16] == b':';
    let mut two = |at: usize| {
        let (tens, ones) = (head[at].wrapping_sub(b'0'), head[at + 1].wrapping_sub(b'0'));
        ok &= tens < 10 && ones < 10;
        tens as i64 * 10 + ones as i64
    };
    let (year, month, day) = (two(0) * 100 + two(2), two(5), two(8));
    let (hour, minute, second) = (two(11), two(14), two(17));
    let fraction = match rest {
        [b'Z'] => &[],
        [b'.', digits @ .., b'Z'] if (1..=6).contains(&digits.len()) && digits.iter().all(u8::is_ascii_digit) => digits,
        _ => return None,
    };
    let days = if day <= 28 { 28 } else { days_in_month(year, month) };
    if !ok || year == 0 || !(1..=12).contains(&month) || !(1..=days).contains(&day) || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let micros = (0..6).fold(0, |n, i| n * 10 + fraction.get(i).map_or(0, |digit| (digit - b'0') as i64));
    Some(days_of(year, month, day) * MICROS_PER_DAY + ((hour * 60 + minute) * 60 + second) * MICROS_PER_SECOND + micros)
}

/// The name under which a unit of time is known here; None: no such unit.
pub fn unit_of(word: &str) -> Option<&'static str> {
    let word = word.to_ascii_lowercase();
    const UNITS: &[(&str, &[&str])] = &[
        ("year", &["year", "years", "yr", "yrs", "y"]),
        ("month", &["month", "months", "mon", "mons"]),
        ("day", &["day", "days", "d", "dayofmonth"]),
        ("hour", &["hour", "hours", "hr", "hrs", "h"]),
        ("minute", &["minute", "minutes", "min", "mins", "m"]),
        ("second", &["second", "seconds", "sec", "secs", "s"]),
        ("millisecond", &["millisecond", "milliseconds", "ms", "msec", "msecs"]),
        ("microsecond", &["microsecond", "microseconds", "us", "usec", "usecs"]),
        ("week", &["week", "weeks", "w", "weekofyear"]),
        ("quarter", &["quarter", "quarters"]),
        ("decade", &["decade", "decades", "dec", "decs"]),
        ("century", &["century", "centuries", "cent", "c"]),
        ("millennium", &["millennium", "millennia", "mil", "millenniums", "millenium", "mils"]),
    ];
    UNITS.iter().find(|(_, names)| names.contains(&word.as_str())).map(|(unit, _)| *unit)
}

/// What one of a unit is, as an interval.
pub fn unit_interval(unit: &str) -> Interval {
    let (months, days, micros) = match unit {
        "millennium" => (12_000, 0, 0),
        "century" => (1200, 0, 0),
        "decade" => (120, 0, 0),
        "year" => (12, 0, 0),
        "quarter" => (3, 0, 0),
        "month" => (1, 0, 0),
        "week" => (0, 7, 0),
        "day" => (0, 1, 0),
        "hour" => (0, 0, 3_600_000_000),
        "minute" => (0, 0, 60_000_000),
        "second" => (0, 0, 1_000_000),
        "millisecond" => (0, 0, 1000),
        _ => (0, 0, 1),
    };
    Interval { months, days, micros }
}

/// `n` times a unit; None: out of range.
pub fn interval_of(n: i64, unit: &str) -> Option<Interval> {
    let one = unit_interval(unit);
    Some(Interval {
        months: i32::try_from(n.checked_mul(one.months as i64)?).ok()?,
        days: i32::try_from(n.checked_mul(one.days as i64)?).ok()?,
        micros: n.checked_mul(one.micros)?,
    })
}

pub fn add_intervals(a: Interval, b: Interval) -> Option<Interval> {
    Some(Interval { months: a.months.checked_add(b.months)?, days: a.days.checked_add(b.days)?, micros: a.micros.checked_add(b.micros)? })
}

pub fn negate_interval(a: Interval) -> Option<Interval> {
    Some(Interval { months: a.months.checked_neg()?, days: a.days.checked_neg()?, micros: a.micros.checked_neg()? })
}

pub fn format_date(date: i32) -> String {
    match date {
        DATE_INFINITY => return "infinity".into(),
        d if d == -DATE_INFINITY => return "-infinity".into(),
        _ => {}
    }
    let (year, month, day) = civil_of(date as i64);
    if year > 0 { format!("{year:04}-{month:02}-{day:02}") } else { format!("{:04}-{month:02}-{day:02} (BC)", 1 - year) }
}

pub fn format_time(micros: i64) -> String {
    let seconds = micros / MICROS_PER_SECOND;
    let mut text = format!("{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60);
    let fraction = micros % MICROS_PER_SECOND;
    if fraction != 0 {
        text.push_str(format!(".{fraction:06}").trim_end_matches('0'));
    }
    text
}

pub fn format_timestamp(timestamp: i64) -> String {
    match timestamp {
        TIMESTAMP_INFINITY => return "infinity".into(),
        t if t == -TIMESTAMP_INFINITY => return "-infinity".into(),
        _ => {}
    }
    let date = format_date(date_of(timestamp));
    let time = format_time(time_of(timestamp));
    match date.strip_suffix(" (BC)") {
        Some(year) => format!("{year} (BC) {time}"),
        None => format!("{date} {time}"),
    }
}

pub fn format_interval(interval: Interval) -> String {
    let mut parts = Vec::new();
    let mut part = |n: i32, unit: &str| {
        if n != 0 {
            parts.push(format!("{n} {unit}{}", if n == 1 || n == -1 { "" } else { "s" }));
        }
    };
    part(interval.months / 12, "year");
    part(interval.months % 12, "month");
    part(interval.days, "day");
    if interval.micros != 0 || parts.is_empty() {
        let micros = interval.micros.unsigned_abs();
        let seconds = micros / 1_000_000;
        let mut text =
            format!("{}{:02}:{:02}:{:02}", if interval.micros < 0 { "-" } else { "" }, seconds / 3600, seconds / 60 % 60, seconds % 60);
        if !micros.is_multiple_of(1_000_000) {
            text.push_str(format!(".{:06}", micros % 1_000_000).trim_end_matches('0'));
        }
        parts.push(text);
    }
    parts.join(" ")
}

/// Adds months; a day beyond the end of the month becomes its last day.
pub fn add_months(date: i32, months: i32) -> Option<i32> {
    if date == DATE_INFINITY || date == -DATE_INFINITY {
        return Some(date);
    }
    let (year, month, day) = civil_of(date as i64);
    let total = year * 12 + month - 1 + months as i64;
    let (year, month) = (total.div_euclid(12), total.rem_euclid(12) + 1);
    make_date(year, month, day.min(days_in_month(year, month)))
}

/// A timestamp and an interval: months first, then days, then the rest.
pub fn add_to_timestamp(timestamp: i64, interval: Interval) -> Option<i64> {
    if !is_finite(timestamp) {
        return Some(timestamp);
    }
    let mut date = date_of(timestamp);
    if interval.months != 0 {
        date = add_months(date, interval.months)?;
    }
    date = date.checked_add(interval.days)?;
    timestamp_of(date, time_of(timestamp))?.checked_add(interval.micros).filter(|t| is_finite(*t))
}

/// The interval between two timestamps, in days and microseconds; None of infinite ones.
pub fn between(later: i64, earlier: i64) -> Option<Interval> {
    if !is_finite(later) || !is_finite(earlier) {
        return None;
    }
    let micros = later.checked_sub(earlier)?;
    Some(Interval { months: 0, days: (micros / MICROS_PER_DAY) as i32, micros: micros % MICROS_PER_DAY })
}

/// An interval as one number that orders intervals: months of 30 days, days of 24 hours.
pub fn interval_order(interval: Interval) -> (i64, i64, i64) {
    let (mut months, mut days) = (interval.months as i64, interval.days as i64);
    let mut micros = interval.micros;
    days += micros / MICROS_PER_DAY;
    micros %= MICROS_PER_DAY;
    months += days / 30;
    days %= 30;
    if micros < 0 {
        days -= 1;
        micros += MICROS_PER_DAY;
    }
    if days < 0 {
        months -= 1;
        days += 30;
    }
    (months, days, micros)
}
