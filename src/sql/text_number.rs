//! Text -> numbers, as DuckDB reads them: signs, `_` between digits, fractions, exponents, `0x…`, spaces around.

use super::Type;
use super::cast::power_of_ten;

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t'..=b'\r')
}

fn trimmed(text: &str) -> &str {
    text.trim_matches(|c: char| c.is_ascii() && is_space(c as u8))
}

/// An integer of the type; a fraction is rounded half away from zero. None: no number, or out of range.
pub fn integer(text: &str, to: &Type) -> Option<i128> {
    let (least, most) = to.integer_range()?;
    // The daily case: digits only.
    if !text.is_empty() && text.len() <= 18 && text.bytes().all(|b| b.is_ascii_digit()) {
        let number = text.bytes().fold(0i64, |n, b| n * 10 + (b - b'0') as i64) as i128;
        return (least..=most).contains(&number).then_some(number);
    }
    // Numbers are gathered in 64 bits (of which unsigned ones have a bit more), those of HUGEINT in 128.
    let (store_least, store_most) = match to {
        Type::HugeInt => (i128::MIN, i128::MAX),
        Type::UBigInt => (0, u64::MAX as i128),
        _ => (i64::MIN as i128, i64::MAX as i128),
    };
    let text = after_spaces(text.as_bytes());
    let digits = match text {
        [b'-', rest @ ..] if least == 0 => {
            // Without a sign there is no negative number but zero.
            return (!rest.is_empty() && rest.iter().all(|b| *b == b'0')).then_some(0);
        }
        [b'0', b'x' | b'X', digits @ ..] => Some((digits, 16)),
        [b'0', b'b' | b'B', digits @ ..] => Some((digits, 2)),
        _ => None,
    };
    let number = match digits {
        Some(_) if *to == Type::HugeInt => None,
        Some((digits, radix)) => radix_digits(digits, radix, store_most),
        None => read(text, Whole { whole: 0, fraction: 0, fraction_digits: 0, least: store_least, most: store_most }, true),
    }?;
    (least..=most).contains(&number).then_some(number)
}

fn after_spaces(text: &[u8]) -> &[u8] {
    &text[text.iter().take_while(|b| is_space(**b)).count()..]
}

fn radix_digits(digits: &[u8], radix: u32, most: i128) -> Option<i128> {
    let mut number = 0i128;
    let mut after_digit = false;
    for (i, byte) in digits.iter().enumerate() {
        if *byte == b'_' {
            if !after_digit || i + 1 == digits.len() {
                return None;
            }
            after_digit = false;
            continue;
        }
        number = number.checked_mul(radix as i128)?.checked_add((*byte as char).to_digit(radix)? as i128)?;
        if number > most {
            return None;
        }
        after_digit = true;
    }
    (!digits.is_empty()).then_some(number)
}

/// What becomes of the parts of a number while it is read; None ends the reading.
trait Parts {
    /// A digit before the point; it carries the number's sign.
    fn digit(&mut self, digit: i128) -> Option<()>;
    /// A digit behind the point, without the sign.
    fn fraction_digit(&mut self, digit: i128, sign: i128) -> Option<()>;
    fn end(self, sign: i128) -> Option<i128>;
    fn end_with_exponent(self, exponent: i64, sign: i128) -> Option<i128>;
}

/// Reads sign, digits, fraction and exponent; one `_` may stand between two digits.
fn read(text: &[u8], mut parts: impl Parts, exponents: bool) -> Option<i128> {
    let negative = text.first() == Some(&b'-');
    let start = usize::from(negative || text.first() == Some(&b'+'));
    let sign = if negative { -1 } else { 1 };
    let digit = |at: usize| text.get(at).filter(|b| b.is_ascii_digit()).map(|b| (b - b'0') as i128);
    let behind_digit = |at: usize| match text.get(at) {
        Some(b'_') => digit(at + 1).map(|_| at + 1),
        _ => Some(at),
    };
    let mut at = start;
    while at < text.len() {
        if let Some(digit) = digit(at) {
            parts.digit(sign * digit)?;
            at = behind_digit(at + 1)?;
            continue;
        }
        if text[at] == b'.' {
            let before = at > start;
            at += 1;
            let first = at;
            while let Some(digit) = digit(at) {
                parts.fraction_digit(digit, sign)?;
                at = behind_digit(at + 1)?;
            }
            if !before && at == first {
                return None;
            }
        }
        match text.get(at) {
            None => break,
            Some(byte) if is_space(*byte) => {
                if !text[at..].iter().all(|b| is_space(*b)) {
                    return None;
                }
                at = text.len();
            }
            Some(b'e' | b'E') if exponents && at > start && at + 1 < text.len() => {
                let exponent = read(&text[at + 1..], Exponent(0), false)?;
                return parts.end_with_exponent(exponent as i64, sign);
            }
            Some(_) => return None,
        }
    }
    if at <= start { None } else { parts.end(sign) }
}

/// 16 bits, no fraction.
struct Exponent(i128);

impl Parts for Exponent {
    fn digit(&mut self, digit: i128) -> Option<()> {
        self.0 = self.0 * 10 + digit;
        (i16::MIN as i128..=i16::MAX as i128).contains(&self.0).then_some(())
    }

    fn fraction_digit(&mut self, _: i128, _: i128) -> Option<()> {
        None
    }

    fn end(self, _: i128) -> Option<i128> {
        Some(self.0)
    }

    fn end_with_exponent(self, _: i64, _: i128) -> Option<i128> {
        None
    }
}

/// An integer and its fraction. Both have the limits of the integer, as in DuckDB: digits of the fraction that do not fit
/// are passed over, digits before it that do not fit are an error.
struct Whole {
    whole: i128,
    fraction: i128,
    fraction_digits: i64,
    least: i128,
    most: i128,
}

impl Whole {
    fn fits(&self, number: Option<i128>) -> Option<i128> {
        number.filter(|n| (self.least..=self.most).contains(n))
    }
}

impl Parts for Whole {
    fn digit(&mut self, digit: i128) -> Option<()> {
        self.whole = self.fits(self.whole.checked_mul(10).and_then(|n| n.checked_add(digit)))?;
        Some(())
    }

    fn fraction_digit(&mut self, digit: i128, _: i128) -> Option<()> {
        if let Some(longer) = self.fits(self.fraction.checked_mul(10).and_then(|n| n.checked_add(digit))) {
            self.fraction = longer;
            self.fraction_digits += 1;
        }
        Some(())
    }

    fn end(self, sign: i128) -> Option<i128> {
        let (mut fraction, mut digits) = (self.fraction, self.fraction_digits);
        while fraction > 10 {
            fraction /= 10;
            digits -= 1;
        }
        let up = digits == 1 && fraction >= 5;
        if up { self.whole.checked_add(sign) } else { Some(self.whole) }
    }

    fn end_with_exponent(mut self, exponent: i64, sign: i128) -> Option<i128> {
        if exponent < 0 {
            // No number has more digits than these.
            for _ in 0..(-exponent).min(40) {
                self.fraction = self.whole % 10;
                self.whole /= 10;
            }
            self.fraction = self.fraction.checked_abs()?;
            self.fraction_digits = 1;
            return self.end(sign);
        }
        let mut left = exponent;
        while self.whole != 0 && left > 0 {
            self.whole = self.fits(self.whole.checked_mul(10))?;
            left -= 1;
        }
        if self.fraction == 0 {
            return self.end(sign);
        }
        let shift = exponent - self.fraction_digits;
        let mut rest = 0;
        if shift < 0 {
            let power = if -shift <= 38 { Some(power_of_ten(-shift as u8)) } else { None };
            (self.fraction, rest) = power.map_or((0, 0), |power| (self.fraction / power, self.fraction % power));
        } else {
            for _ in 0..shift {
                self.fraction = self.fits(self.fraction.checked_mul(10))?;
            }
        }
        self.fraction_digits -= exponent;
        self.whole = self.fits(self.whole.checked_add(sign * self.fraction))?;
        self.fraction = rest;
        self.end(sign)
    }
}

/// A DECIMAL, gathered in the integer that stores it. The digits before the point must fit before an exponent moves
/// the point, and what an exponent moves away is rounded digit by digit: DuckDB's ways, which exact
/// arithmetic would not give.
struct Decimal {
    number: i128,
    width: i64,
    scale: i64,
    digits: i64,
    decimals: i64,
    /// The first digit behind the scale.
    next_digit: Option<i128>,
    /// Digits that the storage holds.
    storage: i64,
}

impl Decimal {
    /// Brings the number to its scale; `drop`: decimals too many, of which the last dropped one may round.
    fn scaled(&mut self, drop: i64, rounds: bool, sign: i128) -> Option<()> {
        if drop > 0 {
            let mut up = false;
            for _ in 0..drop {
                up = (self.number % 10).abs() >= 5;
                self.number /= 10;
            }
            if rounds && up {
                self.number += sign;
            }
            self.decimals = self.scale;
        }
        while self.decimals < self.scale {
            self.number = self.number.checked_mul(10)?;
            self.decimals += 1;
        }
        Some(())
    }
}

impl Parts for Decimal {
    fn digit(&mut self, digit: i128) -> Option<()> {
        if self.number == 0 && digit == 0 {
            return Some(());
        }
        if self.digits == self.width - self.scale {
            return None;
        }
        self.digits += 1;
        self.number = self.number.checked_mul(10)?.checked_add(digit)?;
        Some(())
    }

    fn fraction_digit(&mut self, digit: i128, sign: i128) -> Option<()> {
        if self.decimals == self.scale && self.next_digit.is_none() {
            self.next_digit = Some(digit);
        }
        if self.digits + self.decimals < self.storage {
            self.decimals += 1;
            self.number = self.number.checked_mul(10)?.checked_add(sign * digit)?;
        }
        Some(())
    }

    fn end(mut self, sign: i128) -> Option<i128> {
        let drop = self.decimals - self.scale;
        self.scaled(drop, false, sign)?;
        Some(if self.next_digit.is_some_and(|digit| digit >= 5) { self.number + sign } else { self.number })
    }

    fn end_with_exponent(mut self, exponent: i64, sign: i128) -> Option<i128> {
        let excess = (self.decimals - self.scale).max(0);
        if exponent > 0 {
            self.scaled(excess - exponent, true, sign)?;
            for _ in 0..(exponent - excess).max(0) {
                self.digit(0)?;
            }
            return Some(self.number);
        }
        if exponent == 0 {
            return self.end(sign);
        }
        self.scaled(excess, false, sign)?;
        let mut up = false;
        for _ in 0..-exponent {
            up = (self.number % 10).abs() >= 5;
            self.number /= 10;
            if self.number == 0 {
                break;
            }
        }
        Some(if up { self.number + sign } else { self.number })
    }
}

/// A DECIMAL(width, scale), unscaled.
pub fn decimal(text: &str, width: u8, scale: u8) -> Option<i128> {
    let text = after_spaces(text.as_bytes());
    if matches!(text, [b'0', b'x' | b'X' | b'b' | b'B', ..]) || text.is_empty() {
        return None;
    }
    let storage = match width {
        0..=4 => 4,
        5..=9 => 9,
        10..=18 => 18,
        _ => 38,
    };
    let parts = Decimal { number: 0, width: width as i64, scale: scale as i64, digits: 0, decimals: 0, next_digit: None, storage };
    read(text, parts, true).filter(|i| i.unsigned_abs() < power_of_ten(width).unsigned_abs())
}

/// Reads a decimal literal exactly (digits, a point, `_`), as a multiple of 10^-scale; it has no more decimals than that.
pub fn scaled(text: &str, scale: u8) -> Option<i128> {
    let (negative, digits) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
    let decimals = digits.split_once('.').map_or(0, |(_, decimals)| decimals.bytes().filter(u8::is_ascii_digit).count());
    let mut number = 0i128;
    for digit in digits.bytes().filter(u8::is_ascii_digit) {
        number = number.checked_mul(10)?.checked_add((digit - b'0') as i128)?;
    }
    number = number.checked_mul(power_of_ten(scale.checked_sub(u8::try_from(decimals).ok()?)?))?;
    Some(if negative { -number } else { number })
}

/// What Rust's own parser takes; None: DuckDB does not.
fn float_text(text: &str) -> Option<String> {
    let text = trimmed(text);
    let text = text.strip_prefix('+').filter(|rest| !rest.starts_with('+')).unwrap_or(text);
    let first = text.trim_start_matches(['-', '+']).chars().next()?;
    if first.is_ascii_digit() || first == '.' {
        let bytes = text.as_bytes();
        let between_digits = |at: usize| at > 0 && bytes[at - 1].is_ascii_digit() && bytes.get(at + 1).is_some_and(u8::is_ascii_digit);
        if bytes.iter().enumerate().any(|(at, byte)| *byte == b'_' && !between_digits(at)) {
            return None;
        }
        return Some(text.chars().filter(|c| *c != '_').collect());
    }
    let lower = text.to_ascii_lowercase();
    matches!(lower.trim_start_matches(['-', '+']), "nan" | "inf" | "infinity").then_some(lower)
}

pub fn double(text: &str) -> Option<f64> {
    float_text(text)?.parse().ok()
}

pub fn float(text: &str) -> Option<f32> {
    float_text(text)?.parse().ok()
}
