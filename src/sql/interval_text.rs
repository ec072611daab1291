//! Text -> INTERVAL: `1 year 2 months -3 days 04:05:06.7`, `90`, `2 weeks ago`.
//!
//! A fraction has six digits and goes to the next smaller units, as DuckDB does it: half a year is 6 months, half a month
//! is 15 days, half a day is 12 hours; what is left is cut off.

use super::Interval;
use super::datetime::{self, MICROS_PER_DAY};

const MICROS_PER_SECOND: i64 = 1_000_000;

struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Reader<'a> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn spaces(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n')) {
            self.at += 1;
        }
    }

    fn run(&mut self, of: fn(&u8) -> bool) -> &'a str {
        let from = self.at;
        while self.peek().as_ref().is_some_and(of) {
            self.at += 1;
        }
        self.text.get(from..self.at).unwrap_or_default()
    }
}

/// None: the text is no interval, or it is out of range.
pub fn parse(text: &str) -> Option<Interval> {
    let mut reader = Reader { text, at: usize::from(text.starts_with('@')) };
    let mut total = Interval::default();
    let mut any = false;
    loop {
        reader.spaces();
        let Some(byte) = reader.peek() else { break };
        if matches!(byte, b'a' | b'A') {
            let word = reader.run(u8::is_ascii_alphabetic);
            reader.spaces();
            if !word.eq_ignore_ascii_case("ago") || reader.peek().is_some() {
                return None;
            }
            total = datetime::negate_interval(total)?;
            break;
        }
        let negative = byte == b'-';
        reader.at += usize::from(negative);
        let from = reader.at;
        let digits = reader.run(u8::is_ascii_digit);
        if reader.peek() == Some(b':') {
            // A time ends the text.
            let micros = datetime::parse_hours(text.get(from..)?)?;
            total.micros = total.micros.checked_add(if negative { -micros } else { micros })?;
            any = true;
            break;
        }
        let number: i64 = digits.parse().ok()?;
        let mut fraction = 0i64;
        if reader.peek() == Some(b'.') {
            reader.at += 1;
            let digits = reader.run(u8::is_ascii_digit);
            fraction = digits.bytes().chain(std::iter::repeat(b'0')).take(6).fold(0, |n, b| n * 10 + (b - b'0') as i64);
        }
        let (number, fraction) = if negative { (-number, -fraction) } else { (number, fraction) };
        reader.spaces();
        let word = reader.run(u8::is_ascii_alphabetic);
        if word.is_empty() && !any {
            // A bare number is seconds, if nothing else stands there.
            reader.spaces();
            if reader.peek().is_some() {
                return None;
            }
            total.micros = number.checked_mul(MICROS_PER_SECOND)?.checked_add(fraction)?;
            any = true;
            break;
        }
        total = added(total, number, fraction, datetime::unit_of(word)?)?;
        any = true;
    }
    any.then_some(total)
}

/// Adds a number of units and millionths of one.
fn added(mut total: Interval, number: i64, millionths: i64, unit: &str) -> Option<Interval> {
    const MILLION: i64 = 1_000_000;
    let one = datetime::unit_interval(unit);
    let sum = |total: i32, more: i64| total.checked_add(i32::try_from(more).ok()?);
    total.months = sum(total.months, number.checked_mul(one.months as i64)?)?;
    total.days = sum(total.days, number.checked_mul(one.days as i64)?)?;
    total.micros = total.micros.checked_add(number.checked_mul(one.micros)?)?;
    let (mut days, mut micros) = (0, 0);
    match unit {
        "month" => days = millionths * 30 / MILLION,
        "quarter" => {
            total.months = sum(total.months, millionths * 3 / MILLION)?;
            days = millionths * 3 % MILLION * 30 / MILLION;
        }
        "week" => {
            days = millionths * 7 / MILLION;
            micros = millionths * 7 % MILLION * (MICROS_PER_DAY / MILLION);
        }
        "day" => micros = millionths * (MICROS_PER_DAY / MILLION),
        // The smallest unit has nothing to cut off to.
        "microsecond" => micros = (millionths + millionths.signum() * (MILLION / 2)) / MILLION,
        _ if one.months > 0 => total.months = sum(total.months, millionths * one.months as i64 / MILLION)?,
        _ => micros = (millionths as i128 * one.micros as i128 / MILLION as i128) as i64,
    }
    total.days = sum(total.days, days)?;
    total.micros = total.micros.checked_add(micros)?;
    Some(total)
}
