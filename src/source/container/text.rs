//! Values as JSON text, fast: no allocation, eight bytes at a time.

use crate::source::simd::{Look, Portable};
use crate::sql::civil_of;

/// How many bytes at the beginning need no escape within a JSON string: neither controls, quotes nor backslashes.
pub fn plain_bytes(bytes: &[u8]) -> usize {
    Portable::plain_end(bytes, 0)
}

/// A JSON string.
pub fn string(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    escaped(text.as_bytes(), out);
    out.push(b'"');
}

fn escaped(mut bytes: &[u8], out: &mut Vec<u8>) {
    loop {
        let plain = plain_bytes(bytes);
        out.extend_from_slice(&bytes[..plain]);
        let Some((byte, rest)) = bytes[plain..].split_first() else { return };
        match byte {
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\t' => out.extend_from_slice(b"\\t"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', *byte]),
            _ => {
                out.extend_from_slice(b"\\u00");
                out.extend_from_slice(&[b"0123456789abcdef"[(byte >> 4) as usize], b"0123456789abcdef"[(byte & 15) as usize]]);
            }
        }
        bytes = rest;
    }
}

/// A text in a column of JSON: an object or an array as it stands, everything else as a string.
///
/// What is taken as it stands begins with a bracket whose partner is its last byte. Whether it is JSON the scan of the
/// line tells; it cannot reach beyond itself, so that no text adds a field to its record. It is one line, too: line
/// breaks between its tokens become blanks.
pub fn document(text: &str, out: &mut Vec<u8>) {
    let trimmed = text.trim_ascii();
    match closed(trimmed.as_bytes()) {
        Some(false) => out.extend_from_slice(trimmed.as_bytes()),
        Some(true) => out.extend(trimmed.bytes().map(|byte| if matches!(byte, b'\n' | b'\r') { b' ' } else { byte })),
        None => string(text, out),
    }
}

/// Whether a text is one pair of brackets with all that is inside, and if so, whether there are line breaks in it.
fn closed(text: &[u8]) -> Option<bool> {
    if !matches!(text.first(), Some(b'{' | b'[')) {
        return None;
    }
    let (mut at, mut depth, mut breaks) = (0, 0usize, false);
    while let Some(byte) = text.get(at) {
        at += 1;
        match byte {
            b'{' | b'[' => depth += 1,
            b'}' | b']' => {
                depth = depth.checked_sub(1)?;
                if depth == 0 {
                    return (at == text.len()).then_some(breaks);
                }
            }
            b'\n' | b'\r' => breaks = true,
            b'"' => loop {
                at += plain_bytes(&text[at..]);
                match text.get(at)? {
                    b'"' => break at += 1,
                    b'\\' => at += 2,
                    // a control character, which is no JSON
                    _ => return None,
                }
                if at > text.len() {
                    return None;
                }
            },
            _ => {}
        }
    }
    None
}

/// Two decimal digits.
fn two(number: u32, out: &mut Vec<u8>) {
    out.extend_from_slice(&[b'0' + (number / 10 % 10) as u8, b'0' + (number % 10) as u8]);
}

/// `2026-11-25` of days since 1970-01-01. Years beyond 9999 have more digits, those
/// before the year 1 a minus sign.
pub fn date(days: i64, out: &mut Vec<u8>) {
    let (year, month, day) = civil_of(days);
    if year < 0 {
        out.push(b'-');
    }
    let digits = year.unsigned_abs();
    if digits < 10_000 {
        two((digits / 100) as u32, out);
        two((digits % 100) as u32, out);
    } else {
        out.extend_from_slice(itoa::Buffer::new().format(digits).as_bytes());
    }
    out.push(b'-');
    two(month as u32, out);
    out.push(b'-');
    two(day as u32, out);
}

/// `17:04:05`, with a fraction of 3, 6 or 9 digits where there is one. `ticks` of which `per_second` (a power of 1000).
pub fn time_of_day(ticks: i64, per_second: i64, out: &mut Vec<u8>) {
    let (seconds, mut fraction) = (ticks.div_euclid(per_second), ticks.rem_euclid(per_second));
    two((seconds / 3600).clamp(0, 99) as u32, out);
    out.push(b':');
    two((seconds / 60 % 60) as u32, out);
    out.push(b':');
    two((seconds % 60) as u32, out);
    if fraction == 0 {
        return;
    }
    let mut digits = per_second.ilog10();
    while digits > 3 && fraction % 1000 == 0 {
        (fraction, digits) = (fraction / 1000, digits - 3);
    }
    out.push(b'.');
    padded(fraction as u128, digits as usize, out);
}

/// At least `digits` digits.
pub fn padded(number: u128, digits: usize, out: &mut Vec<u8>) {
    let mut buffer = itoa::Buffer::new();
    let text = buffer.format(number);
    out.extend(std::iter::repeat_n(b'0', digits.saturating_sub(text.len())));
    out.extend_from_slice(text.as_bytes());
}

/// A decimal number by all its digits: 1250 of scale 2 is `12.50`.
pub fn decimal(unscaled: i128, scale: i8, out: &mut Vec<u8>) {
    if unscaled < 0 {
        out.push(b'-');
    }
    let magnitude = unscaled.unsigned_abs();
    let (digits, power) = (scale.max(0) as usize, 10u128.checked_pow(scale.max(0) as u32));
    match power {
        Some(power) if digits > 0 => {
            padded(magnitude / power, 1, out);
            out.push(b'.');
            padded(magnitude % power, digits, out);
        }
        _ if digits > 0 => {
            out.extend_from_slice(b"0.");
            padded(magnitude, digits, out);
        }
        _ => {
            padded(magnitude, 1, out);
            if magnitude > 0 {
                out.extend(std::iter::repeat_n(b'0', -(scale as i32) as usize));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn the_first_byte_that_needs_an_escape_is_found_wherever_it_stands() {
        for len in 0..40 {
            for special in [b'"', b'\\', 0, 0x1f, b'\n'] {
                for at in 0..len {
                    for fill in [b'a', b' ', b'!', b'#', b'[', b']', 0x7f, 0x80, 0xff, 0xa2] {
                        let mut bytes = vec![fill; len];
                        assert_eq!(plain_bytes(&bytes), len);
                        bytes[at] = special;
                        assert_eq!(plain_bytes(&bytes), at, "{fill} {special} {len}");
                    }
                }
            }
        }
    }

    #[test]
    fn strings_are_read_back_by_a_json_parser() {
        for text in ["", "plain", "a\"b\\c", "line\nbreak\ttab\r\u{1}\u{1f}", "\u{7f}é漢\u{1f600}", "0123456\"", "\"01234567"] {
            let json = made(|out| string(text, out));
            assert_eq!(serde_json::from_str::<String>(&json).unwrap(), text, "{json}");
        }
    }

    #[test]
    fn a_document_stands_as_it_is_and_never_reaches_beyond_itself() {
        for same in ["{}", "[]", "{\"a\":\"}\"}", "{\"a\":[1,{\"b\":\"\\\"}\"}]}", "{\"a\\\\\":1}", "{not json}"] {
            assert_eq!(made(|out| document(same, out)), same);
        }
        assert_eq!(made(|out| document(" {\"a\":\n1}\r\n", out)), "{\"a\": 1}");
        for string in
            ["", "1", "null", "\"a\"", "{}1", "{},\"type\":\"x\"", "{\"a\":1", "{\"a", "{\"a\\", "}{", "{\"a\":\"\n\"}", "{}{}", "{]]"]
        {
            let json = made(|out| document(string, out));
            assert_eq!(serde_json::from_str::<String>(&json).unwrap(), string, "{json}");
        }
    }

    #[test]
    fn dates_and_times_are_those_of_the_calendar() {
        for days in (-800_000..2_900_000).step_by(37).chain([-1, 0, 1, 59, 60, 11_016, 11_017, 19_782]) {
            let expected = jiff::civil::date(1970, 1, 1).checked_add(jiff::Span::new().days(days)).unwrap();
            if expected.year() > 0 {
                assert_eq!(made(|out| date(days, out)), expected.to_string());
            }
        }
        assert_eq!(made(|out| date(2_932_897, out)), "10000-01-01");
        assert_eq!(made(|out| time_of_day(61_500, 1000, out)), "00:01:01.500");
        assert_eq!(made(|out| time_of_day(86_399_000_001, 1_000_000, out)), "23:59:59.000001");
        assert_eq!(made(|out| time_of_day(5_120_000_000, 1_000_000_000, out)), "00:00:05.120");
        assert_eq!(made(|out| time_of_day(3600, 1, out)), "01:00:00");
    }

    #[test]
    fn decimals_have_all_their_digits() {
        for (unscaled, scale, expected) in [
            (1250, 2, "12.50"),
            (-5, 2, "-0.05"),
            (0, 2, "0.00"),
            (7, 0, "7"),
            (7, -2, "700"),
            (0, -2, "0"),
            (i128::MIN, 38, "-1.70141183460469231731687303715884105728"),
            (1, 39, "0.000000000000000000000000000000000000001"),
        ] {
            assert_eq!(made(|out| decimal(unscaled, scale, out)), expected);
        }
    }
}
