//! Patterns of event types (`A|B`, `customer.*`, `*`) and of streams (`order-{order_id}`).

use super::StreamPattern;
use super::diagnostics::Diagnostic;
use super::toml_walk::Text;

/// Alternatives between `|`, each with `*` for any characters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TypePattern {
    pub alternatives: Vec<String>,
}

/// Stands for the characters of a `*` in the name of a type that nobody knows yet.
const UNKNOWN: &str = "any";

impl TypePattern {
    pub fn parse(text: &str) -> TypePattern {
        TypePattern { alternatives: text.split('|').map(|part| part.trim().to_string()).collect() }
    }

    /// The pattern of one type, whatever characters its name has.
    pub fn exact(event_type: &str) -> TypePattern {
        TypePattern { alternatives: vec![event_type.to_string()] }
    }

    pub fn matches(&self, event_type: &str) -> bool {
        self.alternatives.iter().any(|alternative| wildcard_match(alternative, event_type))
    }

    pub fn has_wildcard(&self) -> bool {
        self.alternatives.iter().any(|alternative| alternative.contains('*'))
    }

    /// False where no type can match both (told from the literal beginnings and ends; errs on the side of true).
    pub fn may_meet(&self, other: &TypePattern) -> bool {
        fn ends(pattern: &str) -> (&str, &str) {
            (pattern.split('*').next().unwrap_or(""), pattern.rsplit('*').next().unwrap_or(""))
        }
        self.alternatives.iter().any(|one| {
            other.alternatives.iter().any(|other| match (one.contains('*'), other.contains('*')) {
                (_, false) => wildcard_match(one, other),
                (false, true) => wildcard_match(other, one),
                (true, true) => {
                    let ((a_begin, a_end), (b_begin, b_end)) = (ends(one), ends(other));
                    (a_begin.starts_with(b_begin) || b_begin.starts_with(a_begin)) && (a_end.ends_with(b_end) || b_end.ends_with(a_end))
                }
            })
        })
    }

    /// The types that it names.
    pub fn named(&self) -> impl Iterator<Item = &str> {
        self.alternatives.iter().map(String::as_str).filter(|alternative| !alternative.contains('*'))
    }

    /// For each alternative with wildcards a type that nobody named.
    pub fn unknown(&self) -> impl Iterator<Item = String> {
        self.alternatives.iter().filter(|alternative| alternative.contains('*')).map(|alternative| alternative.replace('*', UNKNOWN))
    }
}

/// `*` stands for any characters, also none. Linear in time for each `*`.
fn wildcard_match(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or("");
    let Some(mut rest) = text.strip_prefix(first) else { return false };
    let Some(last) = parts.next_back() else { return rest.is_empty() };
    for part in parts {
        match rest.find(part) {
            Some(found) => rest = &rest[found + part.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

impl StreamPattern {
    pub(crate) fn parse(text: &Text) -> Result<StreamPattern, Diagnostic> {
        let value = &text.value;
        let bad = |message: String, span: std::ops::Range<usize>| {
            Diagnostic::new(message, &text.part(span))
                .help("a stream pattern is text with placeholders: `order-{order_id}`; each placeholder is a key column")
        };
        let mut prefix = String::new();
        let mut placeholders: Vec<(String, String)> = Vec::new();
        let mut at = 0;
        while at < value.len() {
            let rest = &value[at..];
            if let Some(inner) = rest.strip_prefix('{') {
                let Some(length) = inner.find('}') else {
                    return Err(bad("the placeholder is not closed".into(), at..value.len()));
                };
                let (name, end) = (&inner[..length], at + length + 2);
                if !is_identifier(name) {
                    return Err(bad(format!("`{name}` is not a column name"), at..end));
                }
                if placeholders.iter().any(|(other, _)| other.eq_ignore_ascii_case(name)) {
                    return Err(bad(format!("the placeholder `{name}` stands here twice"), at..end));
                }
                if placeholders.last().is_some_and(|(_, literal)| literal.is_empty()) {
                    return Err(bad("two placeholders stand side by side, so nobody can tell where the first one ends".into(), at..end));
                }
                placeholders.push((name.to_string(), String::new()));
                at = end;
                continue;
            }
            if rest.starts_with('}') {
                return Err(bad("`}` closes no placeholder".into(), at..at + 1));
            }
            if rest.starts_with('*') {
                return Err(
                    bad("`*` has no meaning in a stream pattern".into(), at..at + 1).help("name what varies: `{id}` in place of `*`")
                );
            }
            let length = rest.find(['{', '}', '*']).unwrap_or(rest.len());
            match placeholders.last_mut() {
                Some((_, literal)) => literal.push_str(&rest[..length]),
                None => prefix.push_str(&rest[..length]),
            }
            at += length;
        }
        if value.is_empty() {
            return Err(bad("the stream pattern is empty".into(), 0..0));
        }
        Ok(StreamPattern { text: value.clone(), prefix, placeholders })
    }

    /// The values of the placeholders, if the stream's name fits: each takes the shortest text, the last one the rest.
    pub fn captures<'a>(&self, stream: &'a str) -> Option<Vec<&'a str>> {
        let mut parts = Vec::with_capacity(self.placeholders.len());
        self.capture_into(stream, &mut parts).then_some(parts)
    }

    /// The same into a vector that is reused from stream to stream; false: the stream does not fit.
    pub fn capture_into<'a>(&self, stream: &'a str, parts: &mut Vec<&'a str>) -> bool {
        parts.clear();
        let Some(mut rest) = stream.strip_prefix(self.prefix.as_str()) else { return false };
        for (i, (_, literal)) in self.placeholders.iter().enumerate() {
            let last = i + 1 == self.placeholders.len();
            let length = match (last, literal.is_empty()) {
                (true, true) => Some(rest.len()),
                (true, false) => rest.strip_suffix(literal.as_str()).map(str::len),
                (false, _) => rest.find(literal.as_str()),
            };
            let Some(length) = length else { return false };
            parts.push(&rest[..length]);
            rest = &rest[length + literal.len()..];
        }
        rest.is_empty()
    }

    /// The stream whose placeholders have these texts: what [`StreamPattern::captures`] takes apart.
    pub fn fill<'a>(&self, parts: impl IntoIterator<Item = &'a str>) -> String {
        let mut stream = String::new();
        self.fill_into(parts, &mut stream);
        stream
    }

    /// The same in place of what `stream` holds.
    pub fn fill_into<'a>(&self, parts: impl IntoIterator<Item = &'a str>, stream: &mut String) {
        stream.clear();
        stream.push_str(&self.prefix);
        for ((_, literal), part) in self.placeholders.iter().zip(parts) {
            stream.push_str(part);
            stream.push_str(literal);
        }
    }

    /// True where some stream may fit both (told from the literal beginnings and ends; errs on the side of yes).
    pub(crate) fn may_overlap(&self, other: &StreamPattern) -> bool {
        fn end(pattern: &StreamPattern) -> &str {
            pattern.placeholders.last().map_or(pattern.prefix.as_str(), |(_, literal)| literal)
        }
        if self.placeholders.is_empty() {
            return other.captures(&self.prefix).is_some();
        }
        if other.placeholders.is_empty() {
            return self.captures(&other.prefix).is_some();
        }
        let begins = self.prefix.starts_with(&other.prefix) || other.prefix.starts_with(&self.prefix);
        begins && (end(self).ends_with(end(other)) || end(other).ends_with(end(self)))
    }
}

pub(crate) fn is_identifier(name: &str) -> bool {
    name.starts_with(|c: char| c.is_alphabetic() || c == '_') && name.chars().all(|c| c.is_alphanumeric() || c == '_')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(text: &str) -> StreamPattern {
        StreamPattern::parse(&Text::of_file(0, text.into())).expect("a good pattern")
    }

    #[test]
    fn a_placeholder_takes_the_rest_of_the_name_dashes_included() {
        assert_eq!(pattern("order-{id}").captures("order-a-b"), Some(vec!["a-b"]));
        assert_eq!(pattern("order-{id}").captures("orders-1"), None);
    }

    #[test]
    fn with_several_placeholders_the_shortest_comes_first() {
        assert_eq!(pattern("{a}-{b}").captures("x-y-z"), Some(vec!["x", "y-z"]));
        assert_eq!(pattern("{a}-{b}-end").captures("x-y-z-end"), Some(vec!["x", "y-z"]));
        assert_eq!(pattern("{a}-{b}-end").captures("x-end"), None);
    }

    #[test]
    fn a_stream_that_is_taken_apart_can_be_put_together() {
        for (text, stream) in [("order-{id}", "order-a-b"), ("{a}-{b}", "x-y-z"), ("{a}-{b}-end", "x-y-z-end")] {
            let pattern = pattern(text);
            assert_eq!(pattern.fill(pattern.captures(stream).unwrap()), stream);
        }
    }

    #[test]
    fn types_match_alternatives_and_wildcards() {
        let matches = |pattern: &str, event_type: &str| TypePattern::parse(pattern).matches(event_type);
        assert!(matches("A|B", "B") && !matches("A|B", "AB"));
        assert!(matches("customer.*", "customer.insert") && !matches("customer.*", "customers"));
        assert!(matches("*", "") && matches("a*b*c", "a-b-b-c") && !matches("a*b*c", "a-c"));
    }

    #[test]
    fn patterns_meet_where_one_type_may_match_both() {
        let meet = |a: &str, b: &str| TypePattern::parse(a).may_meet(&TypePattern::parse(b));
        assert!(meet("A|B", "B") && meet("order.*", "order.placed") && meet("*", "x") && meet("a*", "*b") && meet("a.*", "a*"));
        assert!(!meet("A", "B") && !meet("order.*", "customer.*") && !meet("*.insert", "*.update") && !meet("order.*", "orders"));
    }

    #[test]
    fn a_stream_pattern_says_what_is_wrong_with_it() {
        for text in ["order-{id", "order-}", "{a}{b}", "{a}-{a}", "order-*", "{}", ""] {
            assert!(StreamPattern::parse(&Text::of_file(0, text.into())).is_err(), "{text}");
        }
    }
}
