//! The words of a SQL text, as DuckDB cuts them, with their bytes. Never fails: what is not closed ends with the text.

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A keyword or a plain identifier.
    Word,
    /// `"…"`
    Quoted,
    /// `'…'`, `E'…'`, `$$…$$`
    Text,
    Number,
    /// One character of punctuation.
    Symbol(char),
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Token {
    pub kind: Kind,
    pub start: usize,
    pub end: usize,
}

impl Token {
    /// The identifier that it stands for, quotes removed.
    pub fn name(&self, sql: &str) -> Option<String> {
        let text = &sql[self.start..self.end];
        match self.kind {
            Kind::Word => Some(text.to_string()),
            Kind::Quoted => {
                let inner = text.strip_prefix('"').unwrap_or(text);
                Some(inner.strip_suffix('"').unwrap_or(inner).replace("\"\"", "\""))
            }
            _ => None,
        }
    }

    pub fn is_word(&self, sql: &str, word: &str) -> bool {
        self.kind == Kind::Word && sql[self.start..self.end].eq_ignore_ascii_case(word)
    }

    pub fn is_name(&self) -> bool {
        matches!(self.kind, Kind::Word | Kind::Quoted)
    }
}

pub(crate) fn tokens(sql: &str) -> Vec<Token> {
    let bytes = sql.as_bytes();
    let mut out = Vec::new();
    let mut at = 0;
    while let Some(c) = sql[at..].chars().next() {
        let start = at;
        let rest = &sql[at..];
        let kind = if is_space(c) {
            at += c.len_utf8();
            continue;
        } else if rest.starts_with("--") {
            at += rest.find(['\n', '\r']).unwrap_or(rest.len());
            continue;
        } else if rest.starts_with("/*") {
            at += comment(rest);
            continue;
        } else if c == '"' {
            at += closed(rest, '"', false);
            Kind::Quoted
        } else if c == '\'' {
            at += closed(rest, '\'', false);
            Kind::Text
        } else if matches!(c, 'e' | 'E') && bytes.get(at + 1) == Some(&b'\'') {
            at += 1 + closed(&rest[1..], '\'', true);
            Kind::Text
        } else if let Some(length) = dollar_quoted(rest) {
            at += length;
            Kind::Text
        } else if c.is_ascii_digit() {
            at += number(rest);
            Kind::Number
        } else if c.is_alphabetic() || c == '_' {
            at += rest.find(|c: char| !c.is_alphanumeric() && c != '_' && c != '$').unwrap_or(rest.len());
            Kind::Word
        } else {
            at += c.len_utf8();
            Kind::Symbol(c)
        };
        out.push(Token { kind, start, end: at });
    }
    out
}

/// White space: DuckDB takes some characters for it that have no width, too.
fn is_space(c: char) -> bool {
    c.is_whitespace() || matches!(c, '\u{200b}' | '\u{2060}' | '\u{feff}')
}

/// The length of a number. What stands right behind it is a word of its own: `1FROM t` is `1 FROM t`.
fn number(rest: &str) -> usize {
    let digits = |from: usize| rest.as_bytes()[from..].iter().take_while(|b| b.is_ascii_digit() || **b == b'_').count();
    let mut length = digits(0);
    if rest.as_bytes().get(length) == Some(&b'.') {
        length += 1 + digits(length + 1);
    }
    if let Some(b'e' | b'E') = rest.as_bytes().get(length) {
        let sign = usize::from(matches!(rest.as_bytes().get(length + 1), Some(b'+' | b'-')));
        let exponent = digits(length + 1 + sign);
        length += if exponent > 0 { 1 + sign + exponent } else { 0 };
    }
    length
}

/// The length of a quoted text; a doubled quote stands for itself.
fn closed(rest: &str, quote: char, backslash: bool) -> usize {
    let mut chars = rest.char_indices().skip(1).peekable();
    while let Some((i, c)) = chars.next() {
        if backslash && c == '\\' {
            chars.next();
        } else if c == quote {
            if chars.peek().is_some_and(|(_, next)| *next == quote) {
                chars.next();
            } else {
                return i + c.len_utf8();
            }
        }
    }
    rest.len()
}

/// The length of a comment; comments nest, as in PostgreSQL.
fn comment(rest: &str) -> usize {
    let mut depth = 0usize;
    let mut at = 0;
    let bytes = rest.as_bytes();
    while at < bytes.len() {
        if bytes[at..].starts_with(b"/*") {
            depth += 1;
            at += 2;
        } else if bytes[at..].starts_with(b"*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += 1;
        }
    }
    rest.len()
}

/// The length of `$tag$ … $tag$`.
fn dollar_quoted(rest: &str) -> Option<usize> {
    let inner = rest.strip_prefix('$')?;
    let tag = &inner[..inner.find('$')?];
    if tag.starts_with(|c: char| c.is_ascii_digit()) || !tag.chars().all(|c| c.is_alphanumeric() || c == '_') {
        return None;
    }
    let delimiter = &rest[..tag.len() + 2];
    let body = &rest[delimiter.len()..];
    Some(delimiter.len() + body.find(delimiter).map_or(body.len(), |i| i + delimiter.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_comments_and_names_are_told_apart() {
        let sql = "select \"a\"\"b\", 'it''s', $x$ '; $x$ -- c\n/* /* */ */ E'\\'' 1e5";
        let kinds: Vec<Kind> = tokens(sql).into_iter().map(|token| token.kind).collect();
        let comma = Kind::Symbol(',');
        assert_eq!(kinds, [Kind::Word, Kind::Quoted, comma, Kind::Text, comma, Kind::Text, Kind::Text, Kind::Number]);
        assert_eq!(tokens(sql)[1].name(sql).as_deref(), Some("a\"b"));
    }

    #[test]
    fn words_are_cut_where_duckdb_cuts_them() {
        let words = |sql: &str| tokens(sql).iter().map(|token| sql[token.start..token.end].to_string()).collect::<Vec<_>>();
        assert_eq!(words("1FROM t -- c\rx"), ["1", "FROM", "t", "x"]);
        assert_eq!(words("f\u{200b}(\u{2060}1.5e-3\u{feff}, 1e5and 1_0.)"), ["f", "(", "1.5e-3", ",", "1e5", "and", "1_0.", ")"]);
        assert_eq!(words("1else 1e+x"), ["1", "else", "1", "e", "+", "x"]);
    }

    #[test]
    fn what_is_not_closed_ends_with_the_text() {
        for sql in ["'a", "\"a", "/* a", "$$ a", "E'\\", "ä'ö", "$"] {
            assert!(tokens(sql).iter().all(|token| token.end <= sql.len()), "{sql}");
        }
    }
}
