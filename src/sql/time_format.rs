//! strftime and strptime: DuckDB's format specifiers.

use super::datetime::{civil_of, make_date, make_time, timestamp_of};
use super::time_parts::{day_of_week, day_of_year, iso_week};

const DAYS: [&str; 7] = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];
const MONTHS: [&str; 12] =
    ["January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November", "December"];

pub fn day_name(date: i32) -> &'static str {
    DAYS[day_of_week(date as i64) as usize % 7]
}

pub fn month_name(date: i32) -> &'static str {
    MONTHS[(civil_of(date as i64).1 as usize + 11) % 12]
}

#[derive(Clone, Copy)]
enum Item<'a> {
    Text(&'a str),
    /// The letter, and whether `-` asks for no padding.
    Field(char, bool),
}

fn items(format: &str) -> Result<Vec<Item<'_>>, String> {
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
            Some(c) if "aAwudbBmyYHIpMSgfnzZjUWcxXGV%".contains(c) => out.push(Item::Field(c, bare)),
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
    items(format).map(|_| ())
}

/// The text of a day since 1970-01-01 and of microseconds since its midnight.
pub fn format(date: i64, time: i64, format: &str) -> Result<String, String> {
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
            'b' => out.push_str(&MONTHS[(month as usize + 11) % 12][..3]),
            'B' => out.push_str(MONTHS[(month as usize + 11) % 12]),
            'p' => out.push_str(if hour < 12 { "AM" } else { "PM" }),
            'z' => out.push_str("+00"),
            'Z' => {}
            'c' if year < 0 => out.push_str(&format!("{year}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}")),
            'c' => out.push_str(&format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}")),
            'x' => out.push_str(&if year < 0 { format!("{year}-{month:02}-{day:02}") } else { format!("{year:04}-{month:02}-{day:02}") }),
            'X' => out.push_str(&format!("{hour:02}:{minute:02}:{second:02}")),
            _ => out.push('%'),
        }
    }
    Ok(out)
}

/// A number of one to `most` digits from the left.
fn number(rest: &mut &str, most: usize) -> Option<i64> {
    let len = rest.bytes().take(most).take_while(u8::is_ascii_digit).count();
    let (digits, tail) = rest.split_at(len);
    *rest = tail;
    digits.parse().ok()
}

/// The timestamp that a text means by a format; None: it does not follow it.
pub fn parse(text: &str, format: &str) -> Option<i64> {
    let mut rest = text.trim_matches(' ');
    let (mut year, mut month, mut day) = (1900, 1, 1);
    let (mut hour, mut minute, mut second, mut micros) = (0, 0, 0, 0);
    let (mut afternoon, mut offset) = (None, 0i64);
    let (mut of_year, mut short_year) = (None, false);
    for item in items(format).ok()? {
        let letter = match item {
            Item::Text(text) => {
                rest = rest.strip_prefix(text)?;
                continue;
            }
            Item::Field(letter, _) => letter,
        };
        match letter {
            'd' => day = number(&mut rest, 2)?,
            'm' => month = number(&mut rest, 2)?,
            'Y' | 'G' => {
                let negative = rest.starts_with('-');
                if negative {
                    rest = &rest[1..];
                }
                year = number(&mut rest, 4)?;
                if negative {
                    year = -year;
                }
            }
            'y' => {
                year = number(&mut rest, 2)?;
                short_year = true;
            }
            'H' => hour = number(&mut rest, 2)?,
            'I' => hour = number(&mut rest, 2)?,
            'M' => minute = number(&mut rest, 2)?,
            'S' => second = number(&mut rest, 2)?,
            'j' => of_year = Some(number(&mut rest, 3)?),
            'w' | 'u' | 'U' | 'W' | 'V' => {
                number(&mut rest, 2)?;
            }
            'f' | 'g' | 'n' => {
                let most = match letter {
                    'f' => 6,
                    'g' => 3,
                    _ => 9,
                };
                let len = rest.bytes().take(most).take_while(u8::is_ascii_digit).count();
                let n = number(&mut rest, most)?;
                // Fewer digits are a fraction's first ones.
                let scaled = n * 10i64.pow((9 - len.min(9)) as u32);
                micros = scaled / 1000;
            }
            'a' | 'A' | 'b' | 'B' => {
                let days = matches!(letter, 'a' | 'A');
                let names: &[&str] = if days { &DAYS } else { &MONTHS };
                let full = letter.is_ascii_uppercase();
                let found = names.iter().position(|name| {
                    let name = if full { name } else { &name[..3] };
                    rest.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name))
                })?;
                rest = &rest[if full { names[found].len() } else { 3 }..];
                if !days {
                    month = found as i64 + 1;
                }
            }
            'p' => {
                let half = rest.get(..2)?;
                afternoon = Some(match half.to_ascii_lowercase().as_str() {
                    "am" => false,
                    "pm" => true,
                    _ => return None,
                });
                rest = &rest[2..];
            }
            'z' => {
                let sign = match rest.bytes().next()? {
                    b'+' => 1,
                    b'-' => -1,
                    b'Z' | b'z' => {
                        rest = &rest[1..];
                        continue;
                    }
                    _ => return None,
                };
                rest = &rest[1..];
                let digits = |rest: &mut &str| -> Option<i64> {
                    let two = rest.get(..2)?;
                    *rest = &rest[2..];
                    two.parse::<u8>().ok().map(i64::from)
                };
                let hours = digits(&mut rest)?;
                let colon = rest.starts_with(':');
                if colon {
                    rest = &rest[1..];
                }
                let minutes = if rest.bytes().next().is_some_and(|b| b.is_ascii_digit()) { digits(&mut rest)? } else { 0 };
                offset = sign * (hours * 60 + minutes);
            }
            'Z' => {
                rest = rest.strip_prefix("UTC").or_else(|| rest.strip_prefix("GMT"))?;
            }
            '%' => rest = rest.strip_prefix('%')?,
            _ => return None,
        }
    }
    if !rest.trim_matches(' ').is_empty() {
        return None;
    }
    if short_year {
        year += if year < 69 { 2000 } else { 1900 };
    }
    if let Some(afternoon) = afternoon {
        if !(1..=12).contains(&hour) {
            return None;
        }
        hour = hour % 12 + if afternoon { 12 } else { 0 };
    }
    let date = match of_year {
        Some(n) => {
            let first = make_date(year, 1, 1)?;
            let date = first.checked_add(i32::try_from(n).ok()? - 1)?;
            (civil_of(date as i64).0 == year).then_some(date)?
        }
        None => make_date(year, month, day)?,
    };
    timestamp_of(date, make_time(hour, minute, second, micros)?)?.checked_sub(offset * 60_000_000)
}
