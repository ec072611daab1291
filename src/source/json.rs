//! One pass over a JSON text: checks that it is JSON (RFC 8259) and marks where wanted parts lie,
//! without building a tree. What nobody wants is checked and stepped over.
//!
//! Duplicate keys: the last one counts, as in JavaScript and in PostgreSQL's `jsonb`.

use std::borrow::Cow;

use super::simd::{Look, Portable};

/// How deep arrays and objects may nest.
pub const DEPTH_MAX: u32 = 128;

/// What is wrong with a text, and at which byte of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotJson {
    pub message: &'static str,
    pub offset: usize,
}

/// Wanted paths of object keys, as a tree, so that one pass finds all of them.
#[derive(Debug, Clone, Default)]
pub struct Paths {
    nodes: Vec<Node>,
    len: usize,
}

#[derive(Debug, Clone, Default)]
struct Node {
    children: Vec<(Box<str>, usize)>,
    /// The paths that end here.
    found: Vec<usize>,
}

impl Paths {
    /// The i-th path's place is put at index i of what [`scan`] fills.
    pub fn new<'a, P: AsRef<[String]> + 'a>(paths: impl IntoIterator<Item = &'a P>) -> Paths {
        let mut this = Paths { nodes: vec![Node::default()], len: 0 };
        for (index, path) in paths.into_iter().enumerate() {
            let mut node = 0;
            for key in path.as_ref() {
                node = match this.nodes[node].children.iter().find(|(k, _)| **k == **key) {
                    Some((_, child)) => *child,
                    None => {
                        let child = this.nodes.len();
                        this.nodes.push(Node::default());
                        this.nodes[node].children.push((key.as_str().into(), child));
                        child
                    }
                };
            }
            this.nodes[node].found.push(index);
            this.len = index + 1;
        }
        this
    }

    pub fn len(&self) -> usize {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
}

/// Where a wanted part lies in the text: `text[start..end]` is its JSON. Empty where it is missing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Span {
    pub start: usize,
    pub end: usize,
}

impl Span {
    pub fn is_missing(self) -> bool {
        self.start == self.end
    }

    pub fn of(self, text: &str) -> &str {
        &text[self.start..self.end]
    }
}

/// Checks `text` (one JSON value, white space around it allowed) and puts the place of each wanted path
/// into `found`, whose old content is dropped.
pub fn scan(text: &str, paths: &Paths, found: &mut Vec<Span>) -> Result<(), NotJson> {
    found.clear();
    found.resize(paths.len(), Span::default());
    let mut scanner = Scanner { bytes: text.as_bytes(), at: 0, depth: 0, visited: 0 };
    scanner.space();
    if paths.is_empty() {
        scanner.value()?;
    } else {
        scanner.wanted(text, paths, 0, found)?;
    }
    scanner.space();
    if scanner.at < scanner.bytes.len() {
        return Err(scanner.error("another value follows on the line"));
    }
    Ok(())
}

/// A value that is no object: how it is stepped over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ValueKind {
    String,
    Number,
    /// `true`, `false` or `null`
    Word,
    /// A whole array, with so many arrays and objects around it.
    Array {
        depth: u32,
    },
}

/// The values of a checked JSON text, in order: all that is neither an object nor lies in an array. Strings without their
/// quotes. `None`: there are more than `most`.
pub fn values(text: &str, most: usize) -> Option<Vec<(ValueKind, Span)>> {
    let mut scanner = Scanner { bytes: text.as_bytes(), at: 0, depth: 0, visited: 0 };
    let mut found = Vec::new();
    scanner.space();
    scanner.collect(most, &mut found)?;
    Some(found)
}

/// Checks the array at the beginning of a text, with `depth` arrays and objects around it; its length, or `None` where there
/// is none.
pub fn array_len(text: &str, depth: u32) -> Option<usize> {
    if !text.starts_with('[') {
        return None;
    }
    let mut scanner = Scanner { bytes: text.as_bytes(), at: 0, depth, visited: 0 };
    scanner.value().ok()?;
    Some(scanner.at)
}

/// The end of the number that begins at `at`; `None`: there is none.
#[inline(always)]
pub fn number_end(text: &[u8], at: usize) -> Option<usize> {
    let mut scanner = Scanner { bytes: text, at, depth: 0, visited: 0 };
    scanner.number().ok()?;
    Some(scanner.at)
}

/// The end of the `true`, `false` or `null` that begins at `at`; `None`: there is none.
#[inline(always)]
pub fn word_end(text: &[u8], at: usize) -> Option<usize> {
    let mut scanner = Scanner { bytes: text, at, depth: 0, visited: 0 };
    let word: &[u8] = match scanner.peek()? {
        b't' => b"true",
        b'f' => b"false",
        _ => b"null",
    };
    scanner.word(word).ok()?;
    Some(scanner.at)
}

/// The length of the escape that a text begins with, by its backslash; `None`: there is no such escape.
pub fn escape_len(text: &[u8]) -> Option<usize> {
    let mut scanner = Scanner { bytes: text, at: 0, depth: 0, visited: 0 };
    scanner.escape().ok()?;
    Some(scanner.at)
}

/// Checks that a text is one JSON value.
pub fn check(text: &str) -> Result<(), NotJson> {
    scan(text, &Paths::default(), &mut Vec::new())
}

struct Scanner<'a> {
    bytes: &'a [u8],
    at: usize,
    depth: u32,
    /// The nodes of the wanted paths that were met (node 63 stands for all from there on).
    visited: u64,
}

impl Scanner<'_> {
    fn error(&self, message: &'static str) -> NotJson {
        NotJson { message, offset: self.at }
    }

    #[inline]
    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    #[inline]
    fn space(&mut self) {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.peek() {
            self.at += 1;
        }
    }

    fn enter(&mut self) -> Result<(), NotJson> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(self.error("nested more than 128 deep"));
        }
        self.at += 1;
        self.space();
        Ok(())
    }

    /// A value at `node` of the wanted paths.
    fn wanted(&mut self, text: &str, paths: &Paths, node: usize, found: &mut Vec<Span>) -> Result<(), NotJson> {
        let start = self.at;
        // a duplicate key replaces the whole value, with all that was found inside of it
        let bit = 1u64 << node.min(63);
        if self.visited & bit != 0 {
            self.forget(paths, node, found);
        }
        self.visited |= bit;
        if self.peek() == Some(b'{') && !paths.nodes[node].children.is_empty() {
            self.enter()?;
            if self.peek() == Some(b'}') {
                self.at += 1;
            } else {
                let mut expected = 0;
                loop {
                    let key_start = self.at + 1;
                    let escaped = self.key()?;
                    let key = &text[key_start..self.at - 1];
                    self.colon()?;
                    // keys mostly come in one order: the child behind the last one is looked at first
                    let children = &paths.nodes[node].children;
                    let child = if escaped {
                        unescape(key).ok().and_then(|key| children.iter().position(|(wanted, _)| **wanted == *key))
                    } else if children.get(expected).is_some_and(|(wanted, _)| **wanted == *key) {
                        Some(expected)
                    } else {
                        children.iter().position(|(wanted, _)| **wanted == *key)
                    };
                    match child {
                        Some(child) => {
                            expected = child + 1;
                            self.wanted(text, paths, children[child].1, found)?
                        }
                        None => self.value()?,
                    }
                    if self.next(b'}')? {
                        break;
                    }
                }
            }
            self.depth -= 1;
        } else {
            self.value()?;
        }
        for &index in &paths.nodes[node].found {
            found[index] = Span { start, end: self.at };
        }
        Ok(())
    }

    fn forget(&self, paths: &Paths, node: usize, found: &mut [Span]) {
        for (_, child) in &paths.nodes[node].children {
            for &index in &paths.nodes[*child].found {
                found[index] = Span::default();
            }
            self.forget(paths, *child, found);
        }
    }

    /// Checks one value and steps over it.
    fn value(&mut self) -> Result<(), NotJson> {
        match self.peek() {
            Some(b'"') => self.string().map(|_| ()),
            Some(b'{') => {
                self.enter()?;
                if self.peek() == Some(b'}') {
                    self.at += 1;
                } else {
                    loop {
                        self.key()?;
                        self.colon()?;
                        self.value()?;
                        if self.next(b'}')? {
                            break;
                        }
                    }
                }
                self.depth -= 1;
                Ok(())
            }
            Some(b'[') => {
                self.enter()?;
                if self.peek() == Some(b']') {
                    self.at += 1;
                } else {
                    loop {
                        self.value()?;
                        if self.next(b']')? {
                            break;
                        }
                    }
                }
                self.depth -= 1;
                Ok(())
            }
            Some(b't') => self.word(b"true"),
            Some(b'f') => self.word(b"false"),
            Some(b'n') => self.word(b"null"),
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(0) => Err(self.error("NUL bytes (a torn write?)")),
            Some(_) => Err(self.error("a value was expected")),
            None => Err(self.error("the text ends in the middle")),
        }
    }

    /// Adds the values from here on, see [`values`].
    fn collect(&mut self, most: usize, found: &mut Vec<(ValueKind, Span)>) -> Option<()> {
        let start = self.at;
        let kind = match self.peek()? {
            b'{' => {
                self.enter().ok()?;
                if self.peek()? == b'}' {
                    self.at += 1;
                } else {
                    loop {
                        self.key().ok()?;
                        self.colon().ok()?;
                        self.collect(most, found)?;
                        if self.next(b'}').ok()? {
                            break;
                        }
                    }
                }
                self.depth -= 1;
                return Some(());
            }
            b'[' => ValueKind::Array { depth: self.depth },
            b'"' => ValueKind::String,
            b't' | b'f' | b'n' => ValueKind::Word,
            _ => ValueKind::Number,
        };
        self.value().ok()?;
        if found.len() >= most {
            return None;
        }
        let quote = usize::from(kind == ValueKind::String);
        found.push((kind, Span { start: start + quote, end: self.at - quote }));
        Some(())
    }

    fn key(&mut self) -> Result<bool, NotJson> {
        match self.peek() {
            Some(b'"') => self.string(),
            Some(_) => Err(self.error("a key in double quotes was expected")),
            None => Err(self.error("the text ends in the middle")),
        }
    }

    fn colon(&mut self) -> Result<(), NotJson> {
        self.space();
        if self.peek() != Some(b':') {
            return Err(self.error("a colon was expected behind the key"));
        }
        self.at += 1;
        self.space();
        Ok(())
    }

    /// Behind an element: true at the closing bracket, false behind a comma.
    #[inline]
    fn next(&mut self, close: u8) -> Result<bool, NotJson> {
        self.space();
        match self.peek() {
            Some(b',') => {
                self.at += 1;
                self.space();
                Ok(false)
            }
            Some(b) if b == close => {
                self.at += 1;
                Ok(true)
            }
            Some(_) => Err(self.error("a comma or a closing bracket was expected")),
            None => Err(self.error("the text ends in the middle")),
        }
    }

    fn word(&mut self, word: &[u8]) -> Result<(), NotJson> {
        if !self.bytes[self.at..].starts_with(word) {
            return Err(self.error("a value was expected"));
        }
        self.at += word.len();
        Ok(())
    }

    #[inline]
    fn digits(&mut self) -> Result<(), NotJson> {
        let start = self.at;
        while let Some(b'0'..=b'9') = self.peek() {
            self.at += 1;
        }
        if self.at == start { Err(self.error("a digit was expected")) } else { Ok(()) }
    }

    #[inline]
    fn number(&mut self) -> Result<(), NotJson> {
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        if self.peek() == Some(b'0') {
            self.at += 1;
            if let Some(b'0'..=b'9') = self.peek() {
                return Err(self.error("a number must not begin with 0"));
            }
        } else {
            self.digits()?;
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if let Some(b'e' | b'E') = self.peek() {
            self.at += 1;
            if let Some(b'+' | b'-') = self.peek() {
                self.at += 1;
            }
            self.digits()?;
        }
        Ok(())
    }

    /// Steps over a string; true where it has escapes.
    fn string(&mut self) -> Result<bool, NotJson> {
        self.at += 1;
        let mut escaped = false;
        loop {
            self.at = Portable::plain_end(self.bytes, self.at);
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(escaped);
                }
                Some(b'\\') => {
                    escaped = true;
                    self.escape()?;
                }
                Some(_) => return Err(self.error("a control character inside a string")),
                None => return Err(self.error("the text ends inside a string")),
            }
        }
    }

    fn escape(&mut self) -> Result<(), NotJson> {
        match self.bytes.get(self.at + 1) {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => {
                self.at += 2;
                Ok(())
            }
            Some(b'u') => {
                let hex = self.bytes.get(self.at + 2..self.at + 6);
                if !hex.is_some_and(|hex| hex.iter().all(u8::is_ascii_hexdigit)) {
                    return Err(self.error("four hexadecimal digits were expected behind \\u"));
                }
                self.at += 6;
                Ok(())
            }
            Some(_) => Err(self.error("an unknown escape")),
            None => Err(self.error("the text ends inside a string")),
        }
    }
}

/// The text of a checked JSON string (between its quotes). Fails on a lone surrogate, which is no text.
pub fn unescape(raw: &str) -> Result<Cow<'_, str>, &'static str> {
    if memchr::memchr(b'\\', raw.as_bytes()).is_none() {
        return Ok(Cow::Borrowed(raw));
    }
    let mut out = String::with_capacity(raw.len());
    let mut rest = raw;
    while let Some(at) = memchr::memchr(b'\\', rest.as_bytes()) {
        out.push_str(&rest[..at]);
        let code = rest.as_bytes().get(at + 1).copied().unwrap_or(b'\\');
        rest = rest.get(at + 2..).unwrap_or("");
        match code {
            b'n' => out.push('\n'),
            b't' => out.push('\t'),
            b'r' => out.push('\r'),
            b'b' => out.push('\u{8}'),
            b'f' => out.push('\u{c}'),
            b'u' => {
                let unit = |text: &str| text.get(..4).and_then(|hex| u32::from_str_radix(hex, 16).ok()).ok_or("a broken \\u escape");
                let high = unit(rest)?;
                rest = &rest[4..];
                let c = match high {
                    0xd800..=0xdbff => {
                        let low = rest.strip_prefix("\\u").ok_or("a lone surrogate").and_then(unit)?;
                        if !(0xdc00..=0xdfff).contains(&low) {
                            return Err("a lone surrogate");
                        }
                        rest = &rest[6..];
                        0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00)
                    }
                    0xdc00..=0xdfff => return Err("a lone surrogate"),
                    other => other,
                };
                out.push(char::from_u32(c).ok_or("a broken \\u escape")?);
            }
            other => out.push(other as char),
        }
    }
    out.push_str(rest);
    Ok(Cow::Owned(out))
}

/// Whether all strings of a checked JSON value are text; a lone surrogate is none.
pub fn is_text(json: &str) -> Result<(), &'static str> {
    if memchr::memmem::find(json.as_bytes(), b"\\u").is_none() {
        return Ok(());
    }
    // outside of strings there are no backslashes, so that the whole unescapes as its strings do
    unescape(json).map(|_| ())
}

/// As [`as_text`], of a value that is no string with escapes.
#[inline]
pub fn as_plain_text(json: &str) -> Option<&str> {
    match json.as_bytes() {
        [] | [b'n', ..] => None,
        [b'"', .., b'"'] => Some(&json[1..json.len() - 1]),
        _ => Some(json),
    }
}

/// A checked JSON value as `->>` gives it: strings without quotes and escapes, everything else as it stands;
/// null and missing are `None`.
#[inline]
pub fn as_text(json: &str) -> Result<Option<Cow<'_, str>>, &'static str> {
    match json.as_bytes() {
        [] | [b'n', ..] => Ok(None),
        [b'"', ..] => unescape(&json[1..json.len() - 1]).map(Some),
        _ => Ok(Some(Cow::Borrowed(json))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;

    fn find(text: &str, path: &[&str]) -> Option<String> {
        let path: Vec<String> = path.iter().map(|s| s.to_string()).collect();
        let mut found = Vec::new();
        scan(text, &Paths::new([&path]), &mut found).unwrap();
        (!found[0].is_missing()).then(|| found[0].of(text).to_string())
    }

    #[test]
    fn a_wanted_part_is_found_at_any_depth() {
        let text = r#" {"a": {"b": [1, {"c": 2}], "x": "y\"z"}, "d": -1.5e+3 } "#;
        assert_eq!(find(text, &["a", "b"]).as_deref(), Some(r#"[1, {"c": 2}]"#));
        assert_eq!(find(text, &["a", "x"]).as_deref(), Some(r#""y\"z""#));
        assert_eq!(find(text, &["d"]).as_deref(), Some("-1.5e+3"));
        assert_eq!(find(text, &["a", "missing"]), None);
        assert_eq!(find(text, &["d", "e"]), None);
    }

    #[test]
    fn the_last_of_duplicate_keys_counts_also_when_it_is_escaped() {
        assert_eq!(find(r#"{"a":1,"\u0061":2}"#, &["a"]).as_deref(), Some("2"));
        assert_eq!(find(r#"{"a":{"b":1},"a":{"c":2}}"#, &["a", "b"]), None);
        assert_eq!(find(r#"{"a":{"b":1},"a":3}"#, &["a", "b"]), None);
    }

    #[test]
    fn escapes_become_text_and_lone_surrogates_are_refused() {
        assert_eq!(unescape(r#"a\u00e9\ud83d\ude00\n\/"#).unwrap(), "aé😀\n/");
        assert!(unescape(r#"\ud83d"#).is_err());
        assert!(unescape(r#"\ud83dx"#).is_err());
        assert!(unescape(r#"\ude00"#).is_err());
    }

    #[test]
    fn the_test_suite_of_json_is_obeyed() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/data/json-test-suite");
        let mut files = Vec::new();
        let mut folders = vec![std::path::PathBuf::from(folder)];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
                if entry.path().is_dir() { folders.push(entry.path()) } else { files.push(entry.path()) }
            }
        }
        if files.is_empty() {
            eprintln!("skipped: {folder} is not here");
            return;
        }
        let mut judged = 0;
        for file in files {
            let name = file.file_name().unwrap().to_string_lossy().into_owned();
            let bytes = std::fs::read(&file).unwrap();
            let accepted = std::str::from_utf8(&bytes).is_ok_and(|text| check(text).is_ok());
            if name.starts_with("y_") && name.ends_with(".json") {
                assert!(accepted, "{name} must be accepted");
                judged += 1;
            }
            if name.starts_with("n_") && name.ends_with(".json") {
                assert!(!accepted, "{name} must be refused");
                judged += 1;
            }
        }
        assert!(judged > 100, "only {judged} cases were found");
    }

    const KEYS: [&str; 8] = [r#""a""#, r#""b""#, r#""\u0061""#, r#""c\n""#, r#""""#, r#""ab""#, r#""ä€😀""#, r#""\ud83d\ude00""#];
    const LEAVES: [&str; 18] = [
        "null",
        "true",
        "false",
        "0",
        "-0",
        "-1.5e+3",
        "1E400",
        "123456789012345678901234567890",
        "0.10",
        r#""""#,
        r#""x""#,
        r#""a long text of more than sixteen bytes""#,
        r#""\"\\\/\b\f\n\r\t""#,
        r#""\ud800""#,
        r#""\u0000""#,
        r#""é€😀 and then some""#,
        "[]",
        "{}",
    ];
    const SPACES: [&str; 6] = ["", "", "", " ", "\t\r", "\n  "];

    fn value(random: &mut Random, depth: usize, out: &mut String) {
        out.push_str(random.of(&SPACES));
        match random.below(if depth > 5 { 1 } else { 4 }) {
            0 => out.push_str(random.of(&LEAVES)),
            1 => {
                out.push('[');
                for i in 0..random.below(4) {
                    out.push_str(if i > 0 { "," } else { "" });
                    value(random, depth + 1, out);
                }
                out.push_str(random.of(&SPACES));
                out.push(']');
            }
            _ => {
                out.push('{');
                for i in 0..random.below(5) {
                    out.push_str(if i > 0 { "," } else { "" });
                    out.push_str(random.of(&SPACES));
                    out.push_str(random.of(&KEYS));
                    out.push_str(random.of(&SPACES));
                    out.push(':');
                    value(random, depth + 1, out);
                }
                out.push('}');
            }
        }
        out.push_str(random.of(&SPACES));
    }

    /// The text with one to three small damages; some of them harmless.
    fn damaged(random: &mut Random, text: &str) -> String {
        let pieces = [
            "\"", "\\", "{", "}", "[", "]", ",", ":", "0", "-", ".", "e", "+", "n", "\u{0}", "\u{1f}", "\u{7f}", "\\u12", "é", "//", "NaN",
            " ",
        ];
        let mut chars: Vec<String> = text.chars().map(String::from).collect();
        for _ in 0..1 + random.below(3) {
            let at = random.below(chars.len() + 1);
            match random.below(4) {
                0 => chars.insert(at, random.of(&pieces).into()),
                1 if at < chars.len() => drop(chars.remove(at)),
                2 if at < chars.len() => chars[at] = random.of(&pieces).into(),
                _ => chars.truncate(at.max(1)),
            }
        }
        chars.concat()
    }

    #[test]
    fn random_texts_are_judged_and_taken_apart_as_serde_json_does() {
        let random = &mut Random(7);
        let wanted: [&[&str]; 7] = [&["a"], &["a", "b"], &["b"], &["c\n"], &["a", "b", "ab"], &["ä€😀"], &["😀", ""]];
        let owned: Vec<Vec<String>> = wanted.iter().map(|path| path.iter().map(|key| key.to_string()).collect()).collect();
        let paths = Paths::new(&owned);
        let (mut found, mut good, mut bad, mut parts) = (Vec::new(), 0, 0, 0);
        for number in 0..40_000 {
            let mut text = String::new();
            value(random, 0, &mut text);
            if number % 2 == 1 {
                text = damaged(random, &text);
            }
            let accepted = serde_json::from_str::<serde::de::IgnoredAny>(&text).is_ok();
            let scanned = scan(&text, &paths, &mut found);
            assert_eq!(scanned.is_ok(), accepted, "{text:?}: {scanned:?}");
            assert_eq!(check(&text).is_ok(), accepted, "{text:?}");
            (good, bad) = (good + u32::from(accepted), bad + u32::from(!accepted));
            // a number or a text that serde_json cannot hold is JSON all the same
            let Ok(whole) = serde_json::from_str::<serde_json::Value>(&text) else { continue };
            for (path, span) in wanted.iter().zip(&found) {
                let expected = path.iter().try_fold(&whole, |value, key| value.as_object()?.get(*key));
                let part = (!span.is_missing()).then(|| serde_json::from_str::<serde_json::Value>(span.of(&text)).unwrap());
                assert_eq!(part.as_ref(), expected, "{path:?} of {text:?}");
                if let Some(serde_json::Value::String(expected)) = expected {
                    assert_eq!(as_text(span.of(&text)).unwrap().as_deref(), Some(expected.as_str()), "{text:?}");
                }
                parts += u32::from(part.is_some());
            }
        }
        assert!(good > 15_000 && bad > 5_000 && parts > 3_000, "too few of a kind: {good} good, {bad} bad, {parts} parts");
    }
}
