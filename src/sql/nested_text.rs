//! Text -> lists, structs and maps: `[a, b]`, `{name: value}` or `(value, value)`, `{key=value}`.
//!
//! The rules are DuckDB's, down to their corners: `'…'` and `"…"` hide separators, a backslash counts inside of quotes
//! and before one, brackets hide what is in them, NULL is what stands there without quotes, and nothing at all
//! is the empty text.

use std::sync::Arc;

use super::{EvalError, MapEntries, Type, Value, cast, json};

/// Parses the text of a nested value.
pub fn parse(text: &str, to: &Type, or_null: bool) -> Result<Value, EvalError> {
    if matches!(to, Type::List(inner) if **inner == Type::Json) {
        return json::list_from_text(text, or_null);
    }
    match read(text, to, or_null)? {
        Some(value) => Ok(value),
        None if or_null => Ok(Value::Null),
        None => Err(EvalError(format!("cannot cast '{}' to {to}", text.chars().take(60).collect::<String>()))),
    }
}

/// None: the text is no such value.
fn read(text: &str, to: &Type, or_null: bool) -> Result<Option<Value>, EvalError> {
    let element = |part: Part, ty: &Type| match part {
        None => Ok(Value::Null),
        Some(text) => cast::cast(Value::text(text), &Type::Varchar, ty, or_null),
    };
    let value = match to {
        Type::List(inner) => {
            let Some(parts) = Reader::new(text).list() else { return Ok(None) };
            let items: Result<Vec<Value>, EvalError> = parts.into_iter().map(|part| element(part, inner)).collect();
            Value::List(Arc::new(items?))
        }
        Type::Struct(fields) => {
            let mut values = vec![Value::Null; fields.len()];
            let Some(parts) = Reader::new(text).fields() else { return Ok(None) };
            for (name, part) in parts {
                let at = match name {
                    Name::Given(name) => fields.iter().position(|(n, _)| *n == name),
                    Name::Place(at) => Some(at).filter(|at| *at < fields.len()),
                };
                let Some(at) = at else { return Ok(None) };
                values[at] = element(part, &fields[at].1)?;
            }
            Value::Struct(Arc::new(values))
        }
        Type::Map(key_ty, value_ty) => {
            let mut entries = MapEntries::default();
            let Some(parts) = Reader::new(text).entries() else { return Ok(None) };
            for (key, value) in parts {
                let key = element(Some(key), key_ty)?;
                if key.is_null() {
                    return Ok(None);
                }
                if entries.insert(key, element(value, value_ty)?).is_some() {
                    return Err(EvalError("map keys must be unique".into()));
                }
            }
            Value::Map(Arc::new(entries))
        }
        _ => return cast::from_text(text, to).map(Some),
    };
    Ok(Some(value))
}

/// The text of an element, quotes removed; None: NULL.
type Part = Option<String>;

enum Name {
    Given(String),
    /// A field without a name, by its place.
    Place(usize),
}

struct Reader<'a> {
    text: &'a str,
    bytes: &'a [u8],
    at: usize,
    escaped: bool,
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t'..=b'\r')
}

fn closing(open: u8) -> Option<u8> {
    match open {
        b'[' => Some(b']'),
        b'{' => Some(b'}'),
        b'(' => Some(b')'),
        _ => None,
    }
}

impl<'a> Reader<'a> {
    fn new(text: &'a str) -> Reader<'a> {
        Reader { text, bytes: text.as_bytes(), at: 0, escaped: false }
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn spaces(&mut self) {
        while self.peek().is_some_and(is_space) {
            self.at += 1;
            self.escaped = false;
        }
    }

    /// Takes a bracket; the spaces around it go with it.
    fn take(&mut self, bracket: u8) -> Option<()> {
        self.spaces();
        if self.peek() != Some(bracket) {
            return None;
        }
        self.at += 1;
        self.spaces();
        Some(())
    }

    /// From an opening quote to the closing one, which is the last byte passed over but not taken.
    fn skip_quoted(&mut self) -> Option<()> {
        let quote = self.peek()?;
        self.at += 1;
        while let Some(byte) = self.peek() {
            if byte == quote && !self.escaped {
                return Some(());
            }
            self.escaped = byte == b'\\' && !self.escaped;
            self.at += 1;
        }
        None
    }

    /// From an opening bracket to the one that closes it, which is not taken.
    fn skip_bracketed(&mut self) -> Option<()> {
        let mut open = Vec::new();
        while let Some(byte) = self.peek() {
            let mut escapes = false;
            match byte {
                b'"' | b'\'' => {
                    if !self.escaped {
                        self.skip_quoted()?;
                    }
                }
                byte if closing(byte).is_some() => open.extend(closing(byte)),
                byte if open.last() == Some(&byte) => {
                    open.pop();
                    if open.is_empty() {
                        return Some(());
                    }
                }
                byte => escapes = byte == b'\\',
            }
            self.escaped = escapes;
            self.at += 1;
        }
        None
    }

    /// Reads up to one of the separators that stands outside of quotes and brackets; the bytes read, without spaces
    /// around them, are empty where nothing stands there. `brackets`: they hide separators.
    fn until(&mut self, separators: &[u8], brackets: bool) -> Option<&'a str> {
        let mut found: Option<(usize, usize)> = None;
        while let Some(byte) = self.peek() {
            if separators.contains(&byte) {
                return match found {
                    Some((from, to)) => self.text.get(from..to),
                    None => Some(""),
                };
            }
            let from = self.at;
            let mut escapes = false;
            match byte {
                b'"' | b'\'' => {
                    if !self.escaped {
                        self.skip_quoted()?;
                    }
                }
                byte if brackets && closing(byte).is_some() => self.skip_bracketed()?,
                byte => escapes = byte == b'\\' && (brackets || !self.escaped),
            }
            if !is_space(byte) || (!brackets && self.escaped) {
                found = Some((found.map_or(from, |(from, _)| from), self.at + 1));
            }
            self.escaped = escapes;
            self.at += 1;
        }
        None
    }

    /// After the closing bracket nothing but spaces may stand.
    fn end(&mut self) -> Option<()> {
        self.at += 1;
        self.spaces();
        (self.at == self.bytes.len()).then_some(())
    }

    fn list(&mut self) -> Option<Vec<Part>> {
        let mut out = Vec::new();
        self.take(b'[')?;
        loop {
            let text = self.until(b",]", true)?;
            let last = self.peek() == Some(b']');
            if !last || !text.is_empty() || !out.is_empty() {
                out.push(part(text));
            }
            if last {
                self.end()?;
                return Some(out);
            }
            self.at += 1;
            self.spaces();
        }
    }

    fn entries(&mut self) -> Option<Vec<(String, Part)>> {
        let mut out = Vec::new();
        self.take(b'{')?;
        if self.peek()? == b'}' {
            self.end()?;
            return Some(out);
        }
        loop {
            let key = part(self.until(b"=", true)?)?;
            self.at += 1;
            self.spaces();
            out.push((key, part(self.until(b",}", true)?)));
            if self.peek() == Some(b'}') {
                self.end()?;
                return Some(out);
            }
            self.at += 1;
            self.spaces();
        }
    }

    fn fields(&mut self) -> Option<Vec<(Name, Part)>> {
        let mut out = Vec::new();
        self.spaces();
        let named = self.peek() == Some(b'{');
        let close = if named { b'}' } else { b')' };
        self.take(if named { b'{' } else { b'(' })?;
        if self.peek()? == close {
            self.end()?;
            return Some(out);
        }
        loop {
            let name = if named {
                let name = self.until(b":", false)?;
                if name.is_empty() || name.eq_ignore_ascii_case("null") {
                    return None;
                }
                self.at += 1;
                self.spaces();
                Name::Given(unquoted(name, false))
            } else {
                Name::Place(out.len())
            };
            out.push((name, part(self.until(&[b',', close], true)?)));
            if self.peek() == Some(close) {
                self.end()?;
                return Some(out);
            }
            self.at += 1;
            self.spaces();
        }
    }
}

fn part(text: &str) -> Part {
    if text.eq_ignore_ascii_case("null") { None } else { Some(unquoted(text, true)) }
}

/// Without quotes and backslashes, except inside of brackets, which another round will read.
fn unquoted(text: &str, brackets: bool) -> String {
    let mut out = String::with_capacity(text.len());
    let mut open: Vec<char> = Vec::new();
    let mut quote: Option<char> = None;
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        if open.is_empty() {
            if c == '\\' && (quote.is_some() || matches!(chars.peek(), Some('\'' | '"'))) {
                out.extend(chars.next());
                continue;
            }
            if c == '\'' || c == '"' {
                if quote == Some(c) {
                    quote = None;
                    continue;
                } else if quote.is_none() {
                    quote = Some(c);
                    continue;
                }
            }
        }
        if quote.is_none() {
            if open.last() == Some(&c) {
                open.pop();
            }
            if brackets && c.is_ascii() {
                open.extend(closing(c as u8).map(char::from));
            }
        }
        out.push(c);
    }
    out
}
