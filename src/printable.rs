//! Text of others in messages: an escape sequence, a line break or a turn of the writing direction in an event, a
//! file's name or a value must neither steer the terminal nor look like a message of foldline's own.

use std::borrow::Cow;
use std::fmt::Write;

/// The text on one line, with every character that is no visible part of it spelled out as JSON spells it (`\n`,
/// `\u001b`, `\u202e`).
pub fn printable(text: &str) -> String {
    escaped(text, |_| false).into_owned()
}

/// As [`printable`], of a text that may have several lines: line breaks and tabs stay. JSON, in which such characters
/// can only stand inside of strings, keeps its meaning.
pub fn printable_lines(text: &str) -> Cow<'_, str> {
    escaped(text, |c| matches!(c, '\n' | '\t'))
}

/// As [`printable_lines`], of a text with colors, in which every escape character is foldline's own.
pub fn printable_painted(text: &str) -> Cow<'_, str> {
    escaped(text, |c| matches!(c, '\n' | '\t' | '\u{1b}'))
}

/// As [`printable`], cut behind so many characters of the text: a name may have a megabyte.
pub fn printable_start(text: &str, chars_max: usize) -> String {
    let mut rest = text.char_indices().skip(chars_max).map(|(at, _)| at);
    match rest.next() {
        Some(end) => format!("{}…", printable(&text[..end])),
        None => printable(text),
    }
}

fn escaped(text: &str, stays: impl Fn(char) -> bool) -> Cow<'_, str> {
    let hidden = |c: char| is_hidden(c) && !stays(c);
    if !text.contains(hidden) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match c {
            _ if !hidden(c) => out.push(c),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            _ => {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    // writing to a string cannot fail
                    let _ = write!(out, "\\u{unit:04x}");
                }
            }
        }
    }
    Cow::Owned(out)
}

/// Control characters, those that turn the direction of writing, are invisible, or break lines, and tags.
fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
            | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_steers_a_terminal_is_spelled_out_and_the_rest_stays() {
        assert_eq!(printable("a\u{1b}[2J\u{9b}1m\r\n\tz"), r"a\u001b[2J\u009b1m\r\n\tz");
        assert_eq!(printable("x\u{202e}y\u{2066}\u{200b}\u{feff}\u{e0041}"), r"x\u202ey\u2066\u200b\ufeff\udb40\udc41");
        assert!(matches!(printable_lines("Ünïcode 😀 日本 e\u{301}"), Cow::Borrowed(_)));
        assert_eq!(printable_lines("a\n\tb\u{7}\n"), "a\n\tb\\u0007\n");
        assert_eq!(printable_painted("\u{1b}[1m\u{9b}"), "\u{1b}[1m\\u009b");
        assert_eq!(printable_start("ä\nbc", 2), r"ä\n…");
        assert_eq!(printable_start("äb", 2), "äb");
    }

    #[test]
    fn json_keeps_its_meaning() {
        let value = serde_json::json!({"a\u{202e}": "\u{9b}31m \u{1b}[0m \u{e0041} \u{7f}\n"});
        for json in [value.to_string(), format!("{value:#}")] {
            let printed = printable_lines(&json);
            assert!(printed.chars().all(|c| c == '\n' || !is_hidden(c)), "{printed}");
            assert_eq!(serde_json::from_str::<serde_json::Value>(&printed).unwrap(), value);
        }
    }
}
