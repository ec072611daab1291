//! JSON text as a tree and back, with what DuckDB's reader accepts and its writer writes: `NaN` and `Infinity`, commas
//! before a closing bracket, numbers beyond 64 bits kept as their digits, duplicate keys kept in their order.
//!
//! serde_json's value would lose the duplicates and the digits.

use std::borrow::Cow;

use crate::sql::EvalError;

/// Deeper JSON is refused: reading and writing recurse.
const DEPTH_MAX: usize = 128;

/// Longer texts are not written in lines: their spaces may be many times the JSON itself.
pub const BYTES_MAX: usize = 1 << 26;

#[derive(Debug, Clone, PartialEq)]
pub enum Json<'a> {
    Null,
    Bool(bool),
    /// A whole number from 0 to 2^64 - 1.
    Unsigned(u64),
    /// A negative whole number of 64 bits, and `-0`.
    Signed(i64),
    Real(f64),
    /// A number that fits none of these, and `NaN` and `Infinity`, as they stand.
    Raw(Cow<'a, str>),
    Text(Cow<'a, str>),
    Array(Vec<Json<'a>>),
    /// Keys in the order of the text, duplicates among them.
    Object(Vec<(Cow<'a, str>, Json<'a>)>),
}

impl<'a> Json<'a> {
    /// Reads a whole text.
    pub fn parse(text: &'a str) -> Result<Json<'a>, EvalError> {
        let mut reader = Reader { text, at: 0 };
        reader.spaces();
        let json = reader.value(0)?;
        reader.spaces();
        if reader.at < text.len() {
            return Err(reader.error("something follows the value"));
        }
        Ok(json)
    }

    /// The value of a key, the first where there are several.
    pub fn get(&self, key: &str) -> Option<&Json<'a>> {
        match self {
            Json::Object(entries) => entries.iter().find(|(k, _)| k == key).map(|(_, value)| value),
            _ => None,
        }
    }

    /// The elements, none where this is no array.
    pub fn items(&self) -> &[Json<'a>] {
        if let Json::Array(items) = self { items } else { &[] }
    }

    /// DuckDB's name for what this is (`json_type`).
    pub fn kind(&self) -> &'static str {
        match self {
            Json::Null => "NULL",
            Json::Bool(_) => "BOOLEAN",
            Json::Unsigned(_) => "UBIGINT",
            Json::Signed(_) => "BIGINT",
            Json::Real(_) | Json::Raw(_) => "DOUBLE",
            Json::Text(_) => "VARCHAR",
            Json::Array(_) => "ARRAY",
            Json::Object(_) => "OBJECT",
        }
    }

    /// Writes the JSON without spaces.
    pub fn write(&self, out: &mut String) {
        match self {
            Json::Null => out.push_str("null"),
            Json::Bool(b) => out.push_str(if *b { "true" } else { "false" }),
            Json::Unsigned(n) => out.push_str(&n.to_string()),
            Json::Signed(n) => out.push_str(&n.to_string()),
            Json::Real(x) => write_real(out, *x),
            Json::Raw(text) => out.push_str(text),
            Json::Text(text) => write_text(out, text),
            Json::Array(items) => {
                out.push('[');
                for (i, item) in items.iter().enumerate() {
                    if i > 0 {
                        out.push(',');
                    }
                    item.write(out);
                }
                out.push(']');
            }
            Json::Object(entries) => {
                out.push('{');
                for (i, (key, value)) in entries.iter().enumerate() {
                    if i > 0 {
                        out.push(',');
                    }
                    write_text(out, key);
                    out.push(':');
                    value.write(out);
                }
                out.push('}');
            }
        }
    }

    /// Writes the JSON in lines, four spaces a level; stops behind [`BYTES_MAX`].
    pub fn write_pretty(&self, out: &mut String, level: usize) {
        if out.len() > BYTES_MAX {
            return;
        }
        let line = |out: &mut String, level: usize| {
            out.push('\n');
            out.extend(std::iter::repeat_n("    ", level));
        };
        match self {
            Json::Array(items) if !items.is_empty() => {
                out.push('[');
                for (i, item) in items.iter().enumerate() {
                    if i > 0 {
                        out.push(',');
                    }
                    line(out, level + 1);
                    item.write_pretty(out, level + 1);
                }
                line(out, level);
                out.push(']');
            }
            Json::Object(entries) if !entries.is_empty() => {
                out.push('{');
                for (i, (key, value)) in entries.iter().enumerate() {
                    if i > 0 {
                        out.push(',');
                    }
                    line(out, level + 1);
                    write_text(out, key);
                    out.push_str(": ");
                    value.write_pretty(out, level + 1);
                }
                line(out, level);
                out.push('}');
            }
            other => other.write(out),
        }
    }
}

impl std::fmt::Display for Json<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut out = String::new();
        self.write(&mut out);
        f.write_str(&out)
    }
}

/// Text in quotes, escaped as DuckDB escapes it.
pub fn write_text(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            c if (c as u32) < 0x20 => out.push_str(&format!("\\u{:04X}", c as u32)),
            c => out.push(c),
        }
    }
    out.push('"');
}

/// The shortest digits that read back as the number, written as JavaScript writes them, but with a point.
pub fn write_real(out: &mut String, x: f64) {
    if x.is_nan() {
        return out.push_str("NaN");
    }
    if x.is_infinite() {
        return out.push_str(if x > 0.0 { "Infinity" } else { "-Infinity" });
    }
    let scientific = format!("{x:e}");
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if (-6..21).contains(&exponent) {
        let plain = x.to_string();
        out.push_str(&plain);
        if !plain.contains('.') {
            out.push_str(".0");
        }
        return;
    }
    out.push_str(mantissa);
    out.push('e');
    out.push_str(&exponent.to_string());
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Reader<'a> {
    fn error(&self, what: &str) -> EvalError {
        EvalError(format!("malformed JSON at byte {}: {what}", self.at))
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn take(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    fn spaces(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn word(&mut self, word: &str) -> bool {
        let found = self.rest().starts_with(word);
        if found {
            self.at += word.len();
        }
        found
    }

    /// `nan`, `inf`, `infinity` in any case: the length, where one stands at `from`.
    fn no_number(&self, from: usize) -> Option<usize> {
        let rest = self.text.get(from..)?;
        ["infinity", "inf", "nan"]
            .into_iter()
            .find(|word| rest.get(..word.len()).is_some_and(|start| start.eq_ignore_ascii_case(word)))
            .map(str::len)
    }

    fn value(&mut self, depth: usize) -> Result<Json<'a>, EvalError> {
        if depth > DEPTH_MAX {
            return Err(self.error(&format!("it nests deeper than {DEPTH_MAX} levels")));
        }
        match self.peek() {
            Some(b'{') => self.object(depth),
            Some(b'[') => self.array(depth),
            Some(b'"') => self.string().map(Json::Text),
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(_) if self.word("null") => Ok(Json::Null),
            Some(_) if self.word("true") => Ok(Json::Bool(true)),
            Some(_) if self.word("false") => Ok(Json::Bool(false)),
            Some(_) => match self.no_number(self.at) {
                Some(len) => Ok(self.raw(self.at, len)),
                None => Err(self.error("no value begins here")),
            },
            None => Err(self.error("the text ends too early")),
        }
    }

    fn raw(&mut self, from: usize, len: usize) -> Json<'a> {
        self.at = from + len;
        Json::Raw(Cow::Borrowed(self.text.get(from..self.at).unwrap_or_default()))
    }

    fn object(&mut self, depth: usize) -> Result<Json<'a>, EvalError> {
        self.at += 1;
        let mut entries = Vec::new();
        loop {
            self.spaces();
            if self.take(b'}') {
                return Ok(Json::Object(entries));
            }
            if self.peek() != Some(b'"') {
                return Err(self.error("a key is missing"));
            }
            let key = self.string()?;
            self.spaces();
            if !self.take(b':') {
                return Err(self.error("`:` is missing"));
            }
            self.spaces();
            entries.push((key, self.value(depth + 1)?));
            self.spaces();
            if !self.take(b',') {
                if self.take(b'}') {
                    return Ok(Json::Object(entries));
                }
                return Err(self.error("`,` or `}` is missing"));
            }
        }
    }

    fn array(&mut self, depth: usize) -> Result<Json<'a>, EvalError> {
        self.at += 1;
        let mut items = Vec::new();
        loop {
            self.spaces();
            if self.take(b']') {
                return Ok(Json::Array(items));
            }
            items.push(self.value(depth + 1)?);
            self.spaces();
            if !self.take(b',') {
                if self.take(b']') {
                    return Ok(Json::Array(items));
                }
                return Err(self.error("`,` or `]` is missing"));
            }
        }
    }

    fn number(&mut self) -> Result<Json<'a>, EvalError> {
        let from = self.at;
        let negative = self.take(b'-');
        if negative && let Some(len) = self.no_number(self.at) {
            return Ok(self.raw(from, len + 1));
        }
        let digits = |reader: &mut Self| {
            let start = reader.at;
            while reader.peek().is_some_and(|b| b.is_ascii_digit()) {
                reader.at += 1;
            }
            reader.at > start
        };
        if self.take(b'0') {
            if self.peek().is_some_and(|b| b.is_ascii_digit()) {
                return Err(self.error("a number begins with 0"));
            }
        } else if !digits(self) {
            return Err(self.error("digits are missing"));
        }
        let mut whole = true;
        if self.take(b'.') {
            whole = false;
            if !digits(self) {
                return Err(self.error("digits are missing behind the point"));
            }
        }
        if self.take(b'e') || self.take(b'E') {
            whole = false;
            if !self.take(b'+') {
                self.take(b'-');
            }
            if !digits(self) {
                return Err(self.error("digits are missing in the exponent"));
            }
        }
        let text = self.text.get(from..self.at).unwrap_or_default();
        Ok(match (whole, negative) {
            (true, false) => text.parse().map_or(Json::Raw(Cow::Borrowed(text)), Json::Unsigned),
            (true, true) => text.parse().map_or(Json::Raw(Cow::Borrowed(text)), Json::Signed),
            _ => match text.parse::<f64>() {
                Ok(x) if x.is_finite() => Json::Real(x),
                _ => Json::Raw(Cow::Borrowed(text)),
            },
        })
    }

    /// A string; borrowed where it has no escapes.
    fn string(&mut self) -> Result<Cow<'a, str>, EvalError> {
        self.at += 1;
        let from = self.at;
        let mut owned: Option<String> = None;
        let mut copied = from;
        loop {
            let Some(byte) = self.peek() else { return Err(self.error("a string has no end")) };
            match byte {
                b'"' => {
                    let tail = self.text.get(copied..self.at).unwrap_or_default();
                    self.at += 1;
                    return Ok(match owned {
                        Some(mut text) => {
                            text.push_str(tail);
                            Cow::Owned(text)
                        }
                        None => Cow::Borrowed(tail),
                    });
                }
                b'\\' => {
                    let text = owned.get_or_insert_with(String::new);
                    text.push_str(self.text.get(copied..self.at).unwrap_or_default());
                    self.at += 1;
                    let escape = self.peek();
                    self.at += 1;
                    let c = match escape {
                        Some(b'"') => '"',
                        Some(b'\\') => '\\',
                        Some(b'/') => '/',
                        Some(b'b') => '\u{8}',
                        Some(b'f') => '\u{c}',
                        Some(b'n') => '\n',
                        Some(b'r') => '\r',
                        Some(b't') => '\t',
                        Some(b'u') => self.unicode_escape()?,
                        _ => return Err(self.error("an escape in a string is unknown")),
                    };
                    owned.get_or_insert_with(String::new).push(c);
                    copied = self.at;
                }
                0..0x20 => return Err(self.error("a string has a control character in it")),
                _ => self.at += 1,
            }
        }
    }

    fn unicode_escape(&mut self) -> Result<char, EvalError> {
        let first = self.hex()?;
        let code = match first {
            0xD800..0xDC00 => {
                if !self.word("\\u") {
                    return Err(self.error("the second half of an escaped character is missing"));
                }
                let second = self.hex()?;
                if !(0xDC00..0xE000).contains(&second) {
                    return Err(self.error("the second half of an escaped character is missing"));
                }
                0x10000 + ((first - 0xD800) << 10) + (second - 0xDC00)
            }
            code => code,
        };
        char::from_u32(code).ok_or_else(|| self.error("an escape in a string is no character"))
    }

    fn hex(&mut self) -> Result<u32, EvalError> {
        let digits = self.rest().get(..4).filter(|digits| digits.bytes().all(|b| b.is_ascii_hexdigit()));
        let code = digits.and_then(|digits| u32::from_str_radix(digits, 16).ok());
        let code = code.ok_or_else(|| self.error("an escape wants four hexadecimal digits"))?;
        self.at += 4;
        Ok(code)
    }
}
