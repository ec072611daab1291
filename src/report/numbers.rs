//! Numbers as people read them.

/// `1234567` as `1,234,567`.
pub fn human_count(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// `1 row`, `1,234 rows`.
pub fn counted(n: u64, noun: &str) -> String {
    format!("{} {noun}{}", human_count(n), if n == 1 { "" } else { "s" })
}

/// Bytes in decimal units with three significant figures: `999 B`, `1.23 MB`, `45.6 GB`.
pub fn human_bytes(n: u64) -> String {
    if n < 1000 {
        return format!("{n} B");
    }
    let mut value = n as f64;
    let mut unit = "";
    for next in ["kB", "MB", "GB", "TB", "PB"] {
        value /= 1000.0;
        unit = next;
        // 999.5 would be shown as 1000: the next unit says it better.
        if value < 999.5 {
            break;
        }
    }
    let decimals = if value < 9.995 {
        2
    } else if value < 99.95 {
        1
    } else {
        0
    };
    format!("{value:.decimals$} {unit}")
}

/// Seconds: `4 ms`, `0.42 s`, `12.3 s`, `3 min 20 s`, `2 h 05 min`.
pub fn human_seconds(seconds: f64) -> String {
    if seconds < 0.0995 {
        return format!("{:.0} ms", seconds * 1000.0);
    }
    if seconds < 9.995 {
        return format!("{seconds:.2} s");
    }
    if seconds < 59.95 {
        return format!("{seconds:.1} s");
    }
    let whole = seconds.round() as u64;
    if whole < 3600 {
        return format!("{} min {:02} s", whole / 60, whole % 60);
    }
    let minutes = whole / 60;
    format!("{} h {:02} min", minutes / 60, minutes % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_have_separators() {
        let shown: Vec<_> = [0, 999, 1000, 24_000, 1_234_567, u64::MAX].map(human_count).into();
        assert_eq!(shown, ["0", "999", "1,000", "24,000", "1,234,567", "18,446,744,073,709,551,615"]);
    }

    #[test]
    fn one_of_a_kind_is_singular() {
        assert_eq!([0, 1, 2000].map(|n| counted(n, "row")), ["0 rows", "1 row", "2,000 rows"]);
    }

    #[test]
    fn bytes_have_three_figures() {
        let shown: Vec<_> = [0, 999, 1000, 9_999, 123_456, 999_600, 6_300_000, 45_600_000_000].map(human_bytes).into();
        assert_eq!(shown, ["0 B", "999 B", "1.00 kB", "10.0 kB", "123 kB", "1.00 MB", "6.30 MB", "45.6 GB"]);
    }

    #[test]
    fn seconds_change_their_unit() {
        let shown: Vec<_> = [0.0, 0.0042, 0.42, 12.34, 59.99, 200.0, 7500.0].map(human_seconds).into();
        assert_eq!(shown, ["0 ms", "4 ms", "0.42 s", "12.3 s", "1 min 00 s", "3 min 20 s", "2 h 05 min"]);
    }
}
