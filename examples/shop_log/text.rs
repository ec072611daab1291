//! Random numbers and texts, without allocations.

/// SplitMix64 (Steele, Lea, Flood 2014): eight lines, good enough, the same on every machine.
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `bound` (Lemire's multiplication; its bias is of no matter here).
    pub fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(bound)) >> 64) as u64
    }

    pub fn pick<'a>(&mut self, list: &[&'a str]) -> &'a str {
        list[self.below(list.len() as u64) as usize]
    }
}

/// The calendar date, computed anew only when the day changes.
#[derive(Default)]
pub struct Date {
    day: u64,
    text: [u8; 10],
}

impl Date {
    /// `2024-05-01T12:34:56.789Z`
    pub fn write(&mut self, out: &mut Vec<u8>, time_ms: u64) {
        let (day, rest) = (time_ms / 86_400_000, time_ms % 86_400_000);
        if day != self.day {
            self.day = day;
            let (year, month, day) = civil(day);
            let mut buffer = Vec::with_capacity(10);
            padded(&mut buffer, year, 4);
            buffer.push(b'-');
            padded(&mut buffer, month, 2);
            buffer.push(b'-');
            padded(&mut buffer, day, 2);
            self.text.copy_from_slice(&buffer);
        }
        out.extend_from_slice(&self.text);
        out.push(b'T');
        padded(out, rest / 3_600_000, 2);
        out.push(b':');
        padded(out, rest / 60_000 % 60, 2);
        out.push(b':');
        padded(out, rest / 1000 % 60, 2);
        out.push(b'.');
        padded(out, rest % 1000, 3);
        out.push(b'Z');
    }
}

/// Days since 1970-01-01 to year, month, day (Howard Hinnant's `civil_from_days`, for days after 1970 only).
fn civil(days: u64) -> (u64, u64, u64) {
    let z = days + 719_468;
    let era = z / 146_097;
    let day_of_era = z % 146_097;
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    (era * 400 + year_of_era + u64::from(month <= 2), month, day)
}

pub fn text(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(text.as_bytes());
}

pub fn decimal(out: &mut Vec<u8>, number: u64) {
    padded(out, number, 1);
}

/// The number with at least `digits` digits (one, if 0).
pub fn padded(out: &mut Vec<u8>, mut number: u64, digits: usize) {
    let mut buffer = [b'0'; 20];
    let mut at = buffer.len();
    while number > 0 {
        at -= 1;
        buffer[at] = b'0' + (number % 10) as u8;
        number /= 10;
    }
    out.extend_from_slice(&buffer[at.min(buffer.len() - digits.max(1))..]);
}

/// Cents as a decimal number: `1250` as `12.50`.
pub fn money(out: &mut Vec<u8>, cents: u32) {
    decimal(out, u64::from(cents / 100));
    out.push(b'.');
    padded(out, u64::from(cents % 100), 2);
}

/// The lowest `digits` hexadecimal digits.
pub fn hex(out: &mut Vec<u8>, number: u64, digits: u32) {
    for i in (0..digits).rev() {
        out.push(b"0123456789abcdef"[(number >> (4 * i) & 15) as usize]);
    }
}
