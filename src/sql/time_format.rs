//! strftime: timestamps as text by DuckDB's format specifiers.

use super::datetime::civil_of;
use super::time_parts::{day_of_week, day_of_year, iso_week};

pub const DAYS: [&str; 7] = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];
pub const MONTHS: [&str; 12] =
    ["January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November", "December"];

pub fn day_name(date: i32) -> &'static str {
    DAYS[day_of_week(date as i64) as usize % 7]
}

pub fn month_name(date: i32) -> &'static str {
    MONTHS[(civil_of(date as i64).1 as usize + 11) % 12]
}

/// A part of a format.
#[derive(Clone, Copy)]
pub enum Item<'a> {
    Text(&'a str),
    /// The letter, and whether `-` asks for no padding.
    Field(char, bool),
}

/// The parts of a format; `%c`, `%x`, `%X` and `%T` are written out.
pub fn items(format: &str) -> Result<Vec<Item<'_>>, String> {
    let mut out = Vec::new();
    let mut rest = format;
    while let Some(at) = rest.find('%') {
        if at > 0 {
            out.push(Item::Text(&rest[..at]));
        }
        let mut chars = rest[at + 1..].chars();
        let mut letter = chars.next();
        let bare = letter == Some('-');
        if bare {
            letter = chars.next();
        }
        match letter {
            Some(c) if bare && !"dmyHIMSj".contains(c) => return Err(format!("no format specifier `%-{c}`")),
            Some('c') => out.extend(items("%Y-%m-%d %H:%M:%S")?),
            Some('x') => out.extend(items("%Y-%m-%d")?),
            Some('X' | 'T') => out.extend(items("%H:%M:%S")?),
            Some(c) if "aAwudbhBmyYHIpMSgfnzZjUWGV%".contains(c) => out.push(Item::Field(c, bare)),
            Some(c) => return Err(format!("no format specifier `%{c}`")),
            None => return Err("the format ends with `%`".into()),
        }
        rest = chars.as_str();
    }
    if !rest.is_empty() {
        out.push(Item::Text(rest));
    }
    Ok(out)
}

/// An error where the format cannot be used.
pub fn check(format: &str) -> Result<(), String> {
    if format.is_empty() {
        return Err("the format is empty".into());
    }
    items(format).map(|_| ())
}

/// The text of a day since 1970-01-01 and of microseconds since its midnight; `zoned`: of a TIMESTAMPTZ, whose zone is UTC.
pub fn format(date: i64, time: i64, format: &str, zoned: bool) -> Result<String, String> {
    let (year, month, day) = civil_of(date);
    let seconds = time / 1_000_000;
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    let twelve = if hour % 12 == 0 { 12 } else { hour % 12 };
    let mut out = String::new();
    for item in items(format)? {
        let (letter, bare) = match item {
            Item::Text(text) => {
                out.push_str(text);
                continue;
            }
            Item::Field(letter, bare) => (letter, bare),
        };
        let mut number = |n: i64, width: usize| out.push_str(&if bare { n.to_string() } else { format!("{n:0width$}") });
        match letter {
            'd' => number(day, 2),
            'm' => number(month, 2),
            'y' => number(year.abs() % 100, 2),
            // Years before 1 are not padded, and the ISO year has four digits, whatever it is.
            'Y' => number(year, if year < 0 { 0 } else { 4 }),
            'H' => number(hour, 2),
            'I' => number(twelve, 2),
            'M' => number(minute, 2),
            'S' => number(second, 2),
            'j' => number(day_of_year(date), 3),
            'f' => number(time % 1_000_000, 6),
            'g' => number(time % 1_000_000 / 1000, 3),
            'n' => number(time % 1_000_000, 6),
            'U' => number((day_of_year(date) + 6 - day_of_week(date)) / 7, 2),
            'W' => number((day_of_year(date) + 6 - (day_of_week(date) + 6) % 7) / 7, 2),
            'G' => number((iso_week(date).0 as u32 % 10_000) as i64, 4),
            'V' => number(iso_week(date).1, 2),
            'w' => number(day_of_week(date), 1),
            'u' => number((day_of_week(date) + 6) % 7 + 1, 1),
            'a' => out.push_str(&DAYS[day_of_week(date) as usize % 7][..3]),
            'A' => out.push_str(DAYS[day_of_week(date) as usize % 7]),
            'b' | 'h' => out.push_str(&MONTHS[(month as usize + 11) % 12][..3]),
            'B' => out.push_str(MONTHS[(month as usize + 11) % 12]),
            'p' => out.push_str(if hour < 12 { "AM" } else { "PM" }),
            'z' => out.push_str("+00"),
            'Z' => out.push_str(if zoned { "UTC" } else { "" }),
            _ => out.push('%'),
        }
    }
    Ok(out)
}
