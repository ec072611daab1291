//! LIKE, ILIKE, GLOB and their functions.

use super::text::{fail, lower, text};
use super::{Function, Overload, plain};
use crate::sql::eval::Outcome;
use crate::sql::{EvalError, Type, Value};

const V: Type = Type::Varchar;
const B: Type = Type::Boolean;

pub const TABLE: &[Function] = &[
    plain(&["like_escape"], "like_escape(VARCHAR, pattern, escape)", &[overload!(&[V, V, V], B, |a| like(a, false, false))]),
    plain(&["ilike_escape"], "ilike_escape(VARCHAR, pattern, escape)", &[overload!(&[V, V, V], B, |a| like(a, true, false))]),
    plain(&["not_like_escape"], "not_like_escape(VARCHAR, pattern, escape)", &[overload!(&[V, V, V], B, |a| like(a, false, true))]),
    plain(&["not_ilike_escape"], "not_ilike_escape(VARCHAR, pattern, escape)", &[overload!(&[V, V, V], B, |a| like(a, true, true))]),
    // The operator has a name of its own in DuckDB, too.
    plain(
        &["~~~"],
        "VARCHAR GLOB pattern",
        &[overload!(&[V, V], B, |a| Ok(Value::Bool(glob(text(a, 0).as_bytes(), text(a, 1).as_bytes()))))],
    ),
];

fn like(args: &[Value], fold_case: bool, not: bool) -> Outcome {
    let (of, pattern, escape) = (text(args, 0), text(args, 1), text(args, 2));
    if escape.len() > 1 {
        return fail("LIKE: the escape is one ASCII character");
    }
    let escape = escape.chars().next();
    let found = if fold_case { matches(&lower(of), &lower(pattern), escape)? } else { matches(of, pattern, escape)? };
    Ok(Value::Bool(found != not))
}

/// Greedy with one point to return to, the last `%`: at most length times length steps.
fn matches(of: &str, pattern: &str, escape: Option<char>) -> Result<bool, EvalError> {
    enum Part {
        Any,
        One,
        Char(char),
    }
    /// The pattern's next part and what is left behind it; None at its end.
    fn next(pattern: &str, escape: Option<char>) -> Result<Option<(Part, &str)>, EvalError> {
        let mut chars = pattern.chars();
        let part = match chars.next() {
            None => return Ok(None),
            Some(c) if Some(c) == escape => match chars.next() {
                Some(c) => Part::Char(c),
                None => return Err(EvalError("LIKE: the pattern ends with the escape character".into())),
            },
            Some('%') => Part::Any,
            Some('_') => Part::One,
            Some(c) => Part::Char(c),
        };
        Ok(Some((part, chars.as_str())))
    }
    let (mut of, mut pattern) = (of, pattern);
    let mut retry: Option<(&str, &str)> = None;
    loop {
        let Some(here) = of.chars().next() else {
            // What is left of the pattern is not looked at, so that an escape at its end is no error here.
            return Ok(pattern.chars().all(|c| c == '%'));
        };
        let matched = match next(pattern, escape)? {
            Some((Part::Any, rest)) => {
                let rest = rest.trim_start_matches('%');
                if rest.is_empty() {
                    return Ok(true);
                }
                pattern = rest;
                retry = Some((of, rest));
                continue;
            }
            Some((Part::One, rest)) => Some(rest),
            Some((Part::Char(c), rest)) if here == c => Some(rest),
            _ => None,
        };
        let step = |of: &str| of.chars().next().map_or(0, char::len_utf8);
        match (matched, retry) {
            (Some(rest), _) => {
                of = &of[step(of)..];
                pattern = rest;
            }
            (None, Some((from, rest))) if !from.is_empty() => {
                of = &from[step(from)..];
                pattern = rest;
                retry = Some((of, rest));
            }
            _ => return Ok(false),
        }
    }
}

/// `*`, `?`, `[abc]`, `[a-c]`, `[!a]` and `\` before a literal, all by bytes, as in DuckDB.
fn glob(of: &[u8], pattern: &[u8]) -> bool {
    let (mut at, mut p) = (0, 0);
    let mut retry: Option<(usize, usize)> = None;
    loop {
        let Some(&byte) = of.get(at) else {
            return pattern.iter().skip(p).all(|b| *b == b'*');
        };
        let matched = match pattern.get(p) {
            Some(b'*') => {
                while pattern.get(p) == Some(&b'*') {
                    p += 1;
                }
                if p == pattern.len() {
                    return true;
                }
                retry = Some((at, p));
                continue;
            }
            Some(b'?') => Some(p + 1),
            Some(b'[') => bracket(byte, pattern, p + 1),
            Some(b'\\') => (pattern.get(p + 1) == Some(&byte)).then_some(p + 2),
            Some(b) => (*b == byte).then_some(p + 1),
            None => None,
        };
        match (matched, retry) {
            (Some(next), _) => {
                at += 1;
                p = next;
            }
            (None, Some((from, rest))) => {
                at = from + 1;
                p = rest;
                retry = Some((at, rest));
            }
            (None, None) => return false,
        }
    }
}

/// Where the bracket that begins at `p` matches the byte, the place behind it.
fn bracket(byte: u8, pattern: &[u8], mut p: usize) -> Option<usize> {
    let invert = pattern.get(p) == Some(&b'!');
    if invert {
        p += 1;
    }
    let start = p;
    let mut found = false;
    loop {
        let low = *pattern.get(p)?;
        if low == b']' && p > start {
            return (found != invert).then_some(p + 1);
        }
        let next = *pattern.get(p + 1)?;
        if next == b'-' {
            let high = *pattern.get(p + 2)?;
            // DuckDB's bytes have a sign.
            found |= (low as i8..=high as i8).contains(&(byte as i8));
            p += 3;
        } else {
            found |= low == byte;
            p += 1;
        }
    }
}
