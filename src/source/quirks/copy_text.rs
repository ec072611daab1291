//! A column of JSON as PostgreSQL's `COPY … TO` writes it in text format, with a backslash before each backslash.

use super::Made;

/// Undoes the escapes of COPY's text format: `\\`, `\b`, `\f`, `\n`, `\r`, `\t`, `\v`, `\` with one to three octal digits or `x` and one or two
/// hexadecimal ones, and a backslash before any other character. `\N` is NULL, no event.
pub(super) fn undo(line: &str, out: &mut String) -> Result<Made, String> {
    if line == r"\N" {
        return Ok(Made::Nothing);
    }
    if !line.contains('\\') {
        return Ok(Made::Same);
    }
    let mut bytes = Vec::with_capacity(line.len());
    let mut rest = line.as_bytes();
    while let Some((&byte, behind)) = rest.split_first() {
        rest = behind;
        if byte != b'\\' {
            bytes.push(byte);
            continue;
        }
        let Some((&escaped, behind)) = rest.split_first() else { return Err("the line ends behind a backslash".into()) };
        let (number, digits) = match escaped {
            b'0'..=b'7' => digits(rest, 8, 3),
            b'x' => digits(behind, 16, 2),
            _ => (0, 0),
        };
        rest = behind;
        bytes.push(match escaped {
            b'b' => 8,
            b'f' => 12,
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'v' => 11,
            b'0'..=b'7' => {
                rest = rest.get(digits - 1..).unwrap_or_default();
                number
            }
            b'x' if digits > 0 => {
                rest = rest.get(digits..).unwrap_or_default();
                number
            }
            other => other,
        });
    }
    let text = String::from_utf8(bytes).map_err(|_| "what COPY's escapes stand for is not UTF-8".to_string())?;
    out.push_str(&text);
    Ok(Made::Other)
}

/// The number that up to so many digits make, as PostgreSQL takes it (its low byte), and how many there are.
fn digits(text: &[u8], base: u32, max: usize) -> (u8, usize) {
    let found = text.iter().take(max).map_while(|&byte| char::from(byte).to_digit(base));
    found.fold((0, 0), |(number, count), digit| ((u32::from(number) * base + digit) as u8, count + 1))
}

#[cfg(test)]
mod tests {
    use super::super::made;
    use crate::project::quirks::{Quirk, RecordQuirk};

    fn undone(line: &str) -> Result<Option<String>, String> {
        made(&[Quirk::Record(RecordQuirk::CopyText)], line)
    }

    #[test]
    fn the_escapes_of_copy_are_undone() {
        for (line, expected) in [
            (r#"{"a":1}"#, r#"{"a":1}"#),
            (r#"{"a":"\\"b\\" \\\\ \\n"}"#, r#"{"a":"\"b\" \\ \n"}"#),
            (r"\x41\101\1018\x4g\q", "AAA8\u{4}gq"),
            (r"\303\251", "é"),
            (r"a\tb", "a\tb"),
            (r"\x", "x"),
        ] {
            assert_eq!(undone(line).unwrap().unwrap(), expected, "{line}");
        }
        assert_eq!(undone(r"\N").unwrap(), None);
        assert!(undone("a\\").is_err());
        assert!(undone(r"\377").is_err());
    }

    #[test]
    fn a_real_copy_gives_the_lines_that_psql_printed() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data/postgres-local");
        let read = |name: &str| std::fs::read_to_string(folder.join(name));
        let (Ok(copied), Ok(printed)) = (read("orders.rowtojson.copytext.tsv"), read("orders.rowtojson.ndjson")) else {
            eprintln!("skipped: there are no samples in {}", folder.display());
            return;
        };
        assert_ne!(copied, printed);
        let lines: Vec<String> = copied.lines().map(|line| undone(line).unwrap().unwrap()).collect();
        assert_eq!(lines, printed.lines().collect::<Vec<_>>());
    }
}
