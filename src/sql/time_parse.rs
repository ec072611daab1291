//! strptime: text to timestamps by DuckDB's format specifiers.

use super::datetime::{DATE_INFINITY, TIMESTAMP_INFINITY, civil_of, date_of, days_of, make_date, make_time, timestamp_of};
use super::time_format::{DAYS, Item, MONTHS, items};
use super::time_parts::day_of_week;

/// What a text means by a format.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parsed {
    /// Microseconds since the epoch, the offset that is written being taken off.
    pub at: i64,
    /// The name of the zone whose clocks showed this.
    pub zone: Option<String>,
}

/// What has been read so far.
struct Fields {
    year: i64,
    month: i64,
    day: i64,
    hour: i64,
    minute: i64,
    second: i64,
    micros: i64,
    afternoon: Option<bool>,
    /// Seconds east of UTC.
    offset: i64,
    zone: Option<String>,
    /// A month or a day is given, which counts before all that follows.
    civil: bool,
    of_year: Option<i64>,
    /// The week, and whether weeks begin on Mondays.
    week: Option<(i64, bool)>,
    iso_year: Option<i64>,
    iso_week: Option<i64>,
    /// Sunday is 0.
    weekday: Option<i64>,
}

/// A number of one to `most` digits from the left, in a range.
fn number(rest: &mut &str, most: usize, range: std::ops::RangeInclusive<i64>) -> Option<i64> {
    let len = rest.bytes().take(most).take_while(u8::is_ascii_digit).count();
    let (digits, tail) = rest.split_at(len);
    *rest = tail;
    digits.parse().ok().filter(|n| range.contains(n))
}

/// Text as it stands; a run of spaces stands for any run of spaces.
fn literal<'t>(mut rest: &'t str, mut text: &str) -> Option<&'t str> {
    while let Some(c) = text.chars().next() {
        if c.is_ascii_whitespace() {
            let trimmed = rest.trim_start_matches(|c: char| c.is_ascii_whitespace());
            if trimmed.len() == rest.len() {
                return None;
            }
            rest = trimmed;
            text = text.trim_start_matches(|c: char| c.is_ascii_whitespace());
        } else {
            rest = rest.strip_prefix(c)?;
            text = &text[c.len_utf8()..];
        }
    }
    Some(rest)
}

/// A name from the left, whatever its case: its number.
fn name(rest: &mut &str, names: &[&str], length: Option<usize>) -> Option<usize> {
    let found = names.iter().position(|name| {
        let name = &name[..length.unwrap_or(name.len())];
        rest.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name))
    })?;
    *rest = &rest[length.unwrap_or(names[found].len())..];
    Some(found)
}

/// The timestamp that a text means by a format; None: it does not follow it.
pub fn parse(text: &str, format: &str) -> Option<Parsed> {
    let text = text.trim_matches(|c: char| c.is_ascii_whitespace());
    let special = [("infinity", TIMESTAMP_INFINITY), ("-infinity", -TIMESTAMP_INFINITY), ("epoch", 0)];
    if let Some((_, at)) = special.into_iter().find(|(word, _)| text.eq_ignore_ascii_case(word)) {
        return Some(Parsed { at, zone: None });
    }
    let mut fields = Fields {
        year: 1900,
        month: 1,
        day: 1,
        hour: 0,
        minute: 0,
        second: 0,
        micros: 0,
        afternoon: None,
        offset: 0,
        zone: None,
        civil: false,
        of_year: None,
        week: None,
        iso_year: None,
        iso_week: None,
        weekday: None,
    };
    let mut rest = text;
    for item in items(format).ok()? {
        match item {
            Item::Text(text) => rest = literal(rest, text)?,
            Item::Field(letter, _) => fields.read(letter, &mut rest)?,
        }
    }
    if rest.is_empty() { fields.finish() } else { None }
}

impl Fields {
    fn read(&mut self, letter: char, rest: &mut &str) -> Option<()> {
        match letter {
            'd' => (self.day, self.civil) = (number(rest, 2, 1..=31)?, true),
            'm' => (self.month, self.civil) = (number(rest, 2, 1..=12)?, true),
            'b' | 'h' => (self.month, self.civil) = (name(rest, &MONTHS, Some(3))? as i64 + 1, true),
            'B' => (self.month, self.civil) = (name(rest, &MONTHS, None)? as i64 + 1, true),
            'a' => {
                name(rest, &DAYS, Some(3))?;
            }
            'A' => {
                name(rest, &DAYS, None)?;
            }
            'Y' => self.year = number(rest, 4, 0..=9999)?,
            'y' => {
                let year = number(rest, 2, 0..=99)?;
                self.year = year + if year < 69 { 2000 } else { 1900 };
            }
            'G' => self.iso_year = Some(number(rest, 4, 0..=9999)?),
            'V' => self.iso_week = Some(number(rest, 2, 1..=53)?),
            'U' => self.week = Some((number(rest, 2, 0..=53)?, false)),
            'W' => self.week = Some((number(rest, 2, 0..=53)?, true)),
            'w' => self.weekday = Some(number(rest, 1, 0..=6)?),
            'u' => self.weekday = Some(number(rest, 1, 1..=7)? % 7),
            'j' => self.of_year = Some(number(rest, 3, 1..=366)?),
            'H' => self.hour = number(rest, 2, 0..=23)?,
            'I' => self.hour = number(rest, 2, 1..=12)?,
            'M' => self.minute = number(rest, 2, 0..=59)?,
            'S' => self.second = number(rest, 2, 0..=59)?,
            'f' | 'g' => {
                let most = if letter == 'f' { 6 } else { 3 };
                let length = rest.len();
                let n = number(rest, most, 0..=999_999)?;
                // Fewer digits are a fraction's first ones.
                let digits = length - rest.len();
                self.micros = n * 10i64.pow(6u32.saturating_sub(digits as u32));
            }
            'p' => {
                let half = rest.get(..2)?;
                self.afternoon = Some(match half.to_ascii_lowercase().as_str() {
                    "am" => false,
                    "pm" => true,
                    _ => return None,
                });
                *rest = &rest[2..];
            }
            'z' => self.offset = offset(rest)?,
            'Z' => {
                let part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '_' | '+' | '-');
                let len = rest.find(|c| !part(c)).unwrap_or(rest.len());
                let (zone, tail) = rest.split_at(len);
                *rest = tail;
                self.zone = Some(zone.to_string()).filter(|zone| !zone.is_empty());
                self.zone.as_ref()?;
            }
            '%' => *rest = rest.strip_prefix('%')?,
            _ => return None,
        }
        Some(())
    }

    fn date(&self) -> Option<i32> {
        let first = days_of(self.year, 1, 1);
        let date = match (self.of_year, self.week) {
            _ if self.civil => return make_date(self.year, self.month, self.day),
            (Some(of_year), _) => first + of_year - 1,
            (None, Some((week, from_monday))) => {
                let monday = first - (day_of_week(first) + 6) % 7;
                let start = if from_monday { monday } else { monday - 1 };
                let start = if start >= first { start - 7 } else { start };
                let weekday = self.weekday.map_or(0, |day| if from_monday { (day + 6) % 7 } else { day });
                start + week * 7 + weekday
            }
            (None, None) if self.iso_year.is_some() || self.iso_week.is_some() => {
                // The week of January 4th is the first one.
                let fourth = days_of(self.iso_year.unwrap_or(self.year), 1, 4);
                let monday = fourth - (day_of_week(fourth) + 6) % 7;
                monday + (self.iso_week.unwrap_or(1) - 1) * 7 + self.weekday.map_or(0, |day| (day + 6) % 7)
            }
            _ => return make_date(self.year, self.month, self.day),
        };
        let (year, month, day) = civil_of(date);
        make_date(year, month, day)
    }

    fn finish(mut self) -> Option<Parsed> {
        if let Some(afternoon) = self.afternoon {
            self.hour = match (self.hour, afternoon) {
                (13.., _) => return None,
                (12, false) => 0,
                (12, true) => 12,
                (hour, afternoon) => hour + if afternoon { 12 } else { 0 },
            };
        }
        let time = make_time(self.hour, self.minute, self.second, self.micros)?;
        let at = timestamp_of(self.date()?, time)?.checked_sub(self.offset * 1_000_000)?;
        (date_of(at) != DATE_INFINITY).then_some(Parsed { at, zone: self.zone })
    }
}

/// `+02`, `-0530`, `+05:30`: seconds east of UTC.
fn offset(rest: &mut &str) -> Option<i64> {
    let sign = match rest.bytes().next()? {
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    *rest = &rest[1..];
    let two = |rest: &mut &str| -> Option<i64> {
        let digits = rest.get(..2).filter(|digits| digits.bytes().all(|b| b.is_ascii_digit()))?;
        *rest = &rest[2..];
        digits.parse().ok()
    };
    let hours = two(rest)?;
    let behind_colon = rest.strip_prefix(':');
    *rest = behind_colon.unwrap_or(rest);
    let minutes = match two(rest) {
        Some(minutes) => minutes,
        None if behind_colon.is_some() => return None,
        None => 0,
    };
    Some(sign * (hours * 3600 + minutes * 60))
}
