//! Text -> tokens, by DuckDB's lexical rules; every token knows its bytes.

use std::ops::Range;

use super::CompileError;

#[derive(Debug, Clone, PartialEq)]
pub enum Token {
    /// A bare word: a name or a keyword.
    Word(String),
    /// `"name"`
    Quoted(String),
    Number(String),
    /// `'text'`, `e'text'`, `$$text$$`
    Text(String),
    /// Operators and punctuation, longest first.
    Sign(&'static str),
    End,
}

#[derive(Debug, Clone)]
pub struct Spanned {
    pub token: Token,
    pub span: Range<usize>,
}

/// Longest first, so that the first match is the right one.
const SIGNS: &[&str] = &[
    "!~~*", "->>", "~~*", "~~~", "!~~", "!~*", "->", "<=", "<>", ">=", "!=", "==", "||", "::", ":=", "=>", "//", "**", "^@", "~~", "!~",
    "~*", "<<", ">>", "&&", "@>", "<@", "+", "-", "*", "/", "%", "^", "=", "<", ">", "(", ")", "[", "]", "{", "}", ",", ".", ":", ";", "!",
    "~", "@", "&", "|", "?", "#",
];

pub fn error(message: impl Into<String>, span: Range<usize>) -> CompileError {
    CompileError { message: message.into(), help: None, span }
}

/// Splits `text` into tokens; the last one is `End`, behind the last byte.
pub fn tokens(text: &str) -> Result<Vec<Spanned>, CompileError> {
    let mut out = Vec::new();
    let mut at = 0;
    while at < text.len() {
        let rest = &text[at..];
        let first = rest.chars().next().unwrap_or(' ');
        if first.is_whitespace() {
            at += first.len_utf8();
        } else if rest.starts_with("--") {
            at += rest.find('\n').unwrap_or(rest.len());
        } else if rest.starts_with("/*") {
            at += comment(rest).ok_or_else(|| error("this comment has no end", at..text.len()))?;
        } else {
            let (token, len) = next(rest).map_err(|message| error(message, at..text.len()))?;
            out.push(Spanned { token, span: at..at + len });
            at += len;
        }
    }
    out.push(Spanned { token: Token::End, span: text.len()..text.len() });
    Ok(out)
}

/// The length of a comment; comments nest.
fn comment(rest: &str) -> Option<usize> {
    let bytes = rest.as_bytes();
    let (mut depth, mut i) = (0usize, 0);
    while i + 1 < bytes.len() {
        match &bytes[i..i + 2] {
            b"/*" => {
                depth += 1;
                i += 2;
            }
            b"*/" => {
                depth -= 1;
                i += 2;
                if depth == 0 {
                    return Some(i);
                }
            }
            _ => i += 1,
        }
    }
    None
}

fn next(rest: &str) -> Result<(Token, usize), String> {
    let bytes = rest.as_bytes();
    let digit = |i: usize| bytes.get(i).is_some_and(u8::is_ascii_digit);
    match bytes[0] {
        b'\'' => quoted(rest, '\'').map(|(text, len)| (Token::Text(text), len)).ok_or_else(|| "this text has no closing quote".into()),
        b'"' => match quoted(rest, '"') {
            Some((text, _)) if text.is_empty() => Err("a quoted name cannot be empty".into()),
            Some((text, len)) => Ok((Token::Quoted(text), len)),
            None => Err("this quoted name has no closing quote".into()),
        },
        b'e' | b'E' if bytes.get(1) == Some(&b'\'') => escaped(&rest[1..]).map(|(text, len)| (Token::Text(text), len + 1)),
        b'$' => dollar_quoted(rest).ok_or_else(|| "`$` starts nothing that is known here".into()),
        b'0'..=b'9' => Ok(number(rest)),
        b'.' if digit(1) => Ok(number(rest)),
        _ => {
            let len = rest.find(|c: char| !(c.is_alphanumeric() || c == '_' || c == '$')).unwrap_or(rest.len());
            if len > 0 {
                return Ok((Token::Word(rest[..len].to_string()), len));
            }
            match SIGNS.iter().find(|sign| rest.starts_with(**sign)) {
                Some(sign) => Ok((Token::Sign(sign), sign.len())),
                None => Err(format!("`{}` means nothing here", rest.chars().next().unwrap_or(' '))),
            }
        }
    }
}

/// Text between quotes, in which a doubled quote stands for itself.
fn quoted(rest: &str, quote: char) -> Option<(String, usize)> {
    let mut text = String::new();
    let mut chars = rest.char_indices().skip(1).peekable();
    while let Some((i, c)) = chars.next() {
        if c != quote {
            text.push(c);
        } else if chars.peek().is_some_and(|(_, next)| *next == quote) {
            chars.next();
            text.push(quote);
        } else {
            return Some((text, i + 1));
        }
    }
    None
}

/// `e'…'`: backslash escapes. `rest` starts at the quote.
fn escaped(rest: &str) -> Result<(String, usize), String> {
    let mut bytes: Vec<u8> = Vec::new();
    let mut chars = rest.char_indices().skip(1).peekable();
    while let Some((i, c)) = chars.next() {
        match c {
            '\'' if chars.peek().is_some_and(|(_, next)| *next == '\'') => {
                chars.next();
                bytes.push(b'\'');
            }
            '\'' => {
                let text = String::from_utf8(bytes).map_err(|_| "this text is not valid UTF-8".to_string())?;
                return Ok((text, i + 1));
            }
            '\\' => {
                let Some((_, escape)) = chars.next() else { break };
                match escape {
                    'n' => bytes.push(b'\n'),
                    't' => bytes.push(b'\t'),
                    'r' => bytes.push(b'\r'),
                    'b' => bytes.push(8),
                    'f' => bytes.push(12),
                    'x' | 'u' => {
                        let most = if escape == 'x' { 2 } else { 4 };
                        let mut code = 0u32;
                        let mut digits = 0;
                        while digits < most
                            && let Some(digit) = chars.peek().and_then(|(_, c)| c.to_digit(16))
                        {
                            code = code * 16 + digit;
                            chars.next();
                            digits += 1;
                        }
                        if digits == 0 {
                            return Err(format!("`\\{escape}` needs hexadecimal digits"));
                        }
                        if escape == 'x' {
                            bytes.push(code as u8);
                        } else {
                            let c = char::from_u32(code).ok_or("this escape is no character")?;
                            bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
                        }
                    }
                    other => bytes.extend_from_slice(other.encode_utf8(&mut [0; 4]).as_bytes()),
                }
            }
            c => bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    Err("this text has no closing quote".into())
}

fn dollar_quoted(rest: &str) -> Option<(Token, usize)> {
    let tag_end = rest[1..].find('$')? + 2;
    let tag = &rest[..tag_end];
    if !tag[1..tag_end - 1].chars().all(|c| c.is_alphanumeric() || c == '_') {
        return None;
    }
    let body_end = rest[tag_end..].find(tag)? + tag_end;
    Some((Token::Text(rest[tag_end..body_end].to_string()), body_end + tag_end))
}

/// Digits (`_` between them), a point, an exponent.
fn number(rest: &str) -> (Token, usize) {
    let bytes = rest.as_bytes();
    let digit = |i: usize| bytes.get(i).is_some_and(u8::is_ascii_digit);
    let mut i = 0;
    let mut text = String::new();
    let take = |mut i: usize, text: &mut String| {
        while digit(i) || (bytes.get(i) == Some(&b'_') && i > 0 && digit(i - 1) && digit(i + 1)) {
            if bytes[i] != b'_' {
                text.push(bytes[i] as char);
            }
            i += 1;
        }
        i
    };
    i = take(i, &mut text);
    if bytes.get(i) == Some(&b'.') {
        text.push('.');
        i = take(i + 1, &mut text);
    }
    if matches!(bytes.get(i), Some(b'e' | b'E')) {
        let sign = usize::from(matches!(bytes.get(i + 1), Some(b'+' | b'-')));
        if digit(i + 1 + sign) {
            text.push('e');
            if bytes[i + 1] == b'-' {
                text.push('-');
            }
            i = take(i + 1 + sign, &mut text);
        }
    }
    (Token::Number(text), i)
}
