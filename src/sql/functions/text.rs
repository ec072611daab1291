//! Text: characters are Unicode code points, as in DuckDB.

use std::ops::Range;
use std::sync::Arc;

use super::{Function, Overload, bind, lenient, null, plain, typed, want_args};
use crate::sql::bind::{Bound, Typed, error_with_help};
use crate::sql::eval::{Node, Outcome};
use crate::sql::{EvalError, Type, Value};

const V: Type = Type::Varchar;
const B: Type = Type::Boolean;

pub const TABLE: &[Function] = &[
    plain(&["upper", "ucase"], "upper(VARCHAR)", &[overload!(&[V], V, |a| Ok(Value::text(upper(text(a, 0)))))]),
    plain(&["lower", "lcase"], "lower(VARCHAR)", &[overload!(&[V], V, |a| Ok(Value::text(text(a, 0).to_lowercase())))]),
    typed(&["length", "char_length", "character_length"], "length(VARCHAR) or length(list)", |args, span| {
        match args.first().map(|a| &a.ty) {
            Some(Type::List(_)) => super::call_bound("len", args, span),
            _ => bind(&LENGTH, "length", args, span),
        }
    }),
    plain(&["strlen"], "strlen(VARCHAR)", &[overload!(&[V], Type::BigInt, |a| Ok(Value::Int(text(a, 0).len() as i128)))]),
    plain(
        &["substring", "substr"],
        "substring(VARCHAR, from [, length])",
        &[
            overload!(&[V, Type::BigInt], V, |a| Ok(substring(text(a, 0), int(a, 1), None))),
            overload!(&[V, Type::BigInt, Type::BigInt], V, |a| Ok(substring(text(a, 0), int(a, 1), Some(int(a, 2))))),
        ],
    ),
    plain(&["left"], "left(VARCHAR, count)", &[overload!(&[V, Type::BigInt], V, |a| Ok(left(text(a, 0), int(a, 1))))]),
    plain(&["right"], "right(VARCHAR, count)", &[overload!(&[V, Type::BigInt], V, |a| Ok(right(text(a, 0), int(a, 1))))]),
    plain(
        &["trim"],
        "trim(VARCHAR [, characters])",
        &[overload!(&[V], V, |a| Ok(trim(a, true, true))), overload!(&[V, V], V, |a| Ok(trim(a, true, true)))],
    ),
    plain(
        &["ltrim"],
        "ltrim(VARCHAR [, characters])",
        &[overload!(&[V], V, |a| Ok(trim(a, true, false))), overload!(&[V, V], V, |a| Ok(trim(a, true, false)))],
    ),
    plain(
        &["rtrim"],
        "rtrim(VARCHAR [, characters])",
        &[overload!(&[V], V, |a| Ok(trim(a, false, true))), overload!(&[V, V], V, |a| Ok(trim(a, false, true)))],
    ),
    plain(&["replace"], "replace(VARCHAR, part, by)", &[overload!(&[V, V, V], V, replace)]),
    typed(&["split", "string_split", "str_split", "string_to_array"], "split(VARCHAR, separator)", split),
    plain(&["split_part"], "split_part(VARCHAR, separator, index)", &[overload!(&[V, V, Type::BigInt], V, split_part)]),
    typed(&["concat"], "concat(any, …)", concat),
    typed(&["concat_ws"], "concat_ws(separator, any, …)", concat_ws),
    plain(
        &["starts_with", "prefix"],
        "starts_with(VARCHAR, VARCHAR)",
        &[overload!(&[V, V], B, |a| Ok(Value::Bool(text(a, 0).starts_with(text(a, 1)))))],
    ),
    plain(
        &["ends_with", "suffix"],
        "ends_with(VARCHAR, VARCHAR)",
        &[overload!(&[V, V], B, |a| Ok(Value::Bool(text(a, 0).ends_with(text(a, 1)))))],
    ),
    plain(&["strpos", "instr", "position"], "strpos(VARCHAR, part)", &[overload!(&[V, V], Type::BigInt, position)]),
    plain(&["lpad"], "lpad(VARCHAR, length, padding)", &[overload!(&[V, Type::Integer, V], V, |a| pad(a, true))]),
    plain(&["rpad"], "rpad(VARCHAR, length, padding)", &[overload!(&[V, Type::Integer, V], V, |a| pad(a, false))]),
    plain(&["repeat"], "repeat(VARCHAR, count)", &[overload!(&[V, Type::BigInt], V, repeat)]),
    plain(&["reverse"], "reverse(VARCHAR)", &[overload!(&[V], V, |a| Ok(Value::text(text(a, 0).chars().rev().collect::<String>())))]),
    plain(&["ascii", "unicode", "ord"], "ascii(VARCHAR)", &[overload!(&[V], Type::Integer, first_code)]),
    plain(&["chr"], "chr(INTEGER)", &[overload!(&[Type::Integer], V, chr)]),
    plain(&["like_escape"], "like_escape(VARCHAR, pattern, escape)", &[overload!(&[V, V, V], B, |a| like(a, false))]),
    plain(&["ilike_escape"], "ilike_escape(VARCHAR, pattern, escape)", &[overload!(&[V, V, V], B, |a| like(a, true))]),
    plain(
        &["octet_length"],
        "octet_length(BLOB)",
        &[overload!(&[Type::Blob], Type::BigInt, |a| Ok(if let Some(Value::Blob(b)) = a.first() {
            Value::Int(b.len() as i128)
        } else {
            Value::Null
        }))],
    ),
];

/// `contains` and `length` on text; the names belong to lists and maps, too.
pub const CONTAINS: Function =
    plain(&["contains"], "contains(VARCHAR, part)", &[overload!(&[V, V], B, |a| Ok(Value::Bool(text(a, 0).contains(text(a, 1)))))]);
pub const LENGTH: Function =
    plain(&["length"], "length(VARCHAR)", &[overload!(&[V], Type::BigInt, |a| Ok(Value::Int(text(a, 0).chars().count() as i128)))]);

/// Results are bounded, so that no expression can ask for all memory.
const BYTES_MAX: usize = 1 << 26;

fn text(args: &[Value], i: usize) -> &str {
    args.get(i).and_then(Value::as_text).unwrap_or_default()
}

fn int(args: &[Value], i: usize) -> i128 {
    args.get(i).and_then(Value::as_int).unwrap_or_default()
}

fn fail(message: &str) -> Outcome {
    Err(EvalError(message.into()))
}

/// Upper case letter by letter: a letter whose upper case is several letters stays one, as in DuckDB.
fn upper(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        let mut upper = c.to_uppercase();
        match (upper.next(), upper.next()) {
            (Some(only), None) => out.push(only),
            _ => out.push(if c == 'ß' { 'ẞ' } else { c }),
        }
    }
    out
}

/// Characters from `offset` (from 1, negative from the end); a negative length goes to the left.
pub fn substring(text: &str, offset: i128, length: Option<i128>) -> Value {
    let size = text.chars().count() as i128;
    let length = length.unwrap_or(i64::MAX as i128);
    // Position 0 lies before the first character, so that a length can reach into the text from outside.
    let from = if offset < 0 { size + offset } else { offset - 1 };
    let (start, end) = if length > 0 { (from, from + length) } else { (from + length, from) };
    let (start, end) = (start.clamp(0, size), end.clamp(0, size));
    Value::text(text.chars().skip(start as usize).take((end - start).max(0) as usize).collect::<String>())
}

fn left(text: &str, count: i128) -> Value {
    let size = text.chars().count() as i128;
    let take = if count < 0 { (size + count).max(0) } else { count.min(size) };
    Value::text(text.chars().take(take as usize).collect::<String>())
}

fn right(text: &str, count: i128) -> Value {
    let size = text.chars().count() as i128;
    let take = if count < 0 { (size + count).max(0) } else { count.min(size) };
    Value::text(text.chars().skip((size - take) as usize).collect::<String>())
}

fn trim(args: &[Value], start: bool, end: bool) -> Value {
    let mut out = text(args, 0);
    let characters = args.get(1).and_then(Value::as_text);
    let drop = |c: char| match characters {
        Some(characters) => characters.contains(c),
        None => matches!(c, ' ' | '\u{a0}' | '\u{1680}' | '\u{2000}'..='\u{200a}' | '\u{202f}' | '\u{205f}' | '\u{3000}'),
    };
    if start {
        out = out.trim_start_matches(drop);
    }
    if end {
        out = out.trim_end_matches(drop);
    }
    Value::text(out)
}

fn replace(args: &[Value]) -> Outcome {
    let (of, part, by) = (text(args, 0), text(args, 1), text(args, 2));
    if part.is_empty() {
        return Ok(Value::text(of));
    }
    if by.len() > part.len() && of.matches(part).count().saturating_mul(by.len()).saturating_add(of.len()) > BYTES_MAX {
        return fail("replace: the result would be too long");
    }
    Ok(Value::text(of.replace(part, by)))
}

fn parts<'a>(of: &'a str, separator: &str) -> Vec<&'a str> {
    if separator.is_empty() {
        return of.char_indices().map(|(i, c)| &of[i..i + c.len_utf8()]).collect();
    }
    of.split(separator).collect()
}

fn split(args: Vec<Typed>, span: &Range<usize>) -> Bound {
    want_args(&args, 2..=2, span)?;
    let args = args.into_iter().map(|arg| crate::sql::bind::implicit(arg, &V, "the argument")).collect::<Result<Vec<_>, _>>()?;
    Ok(lenient(args, Type::List(Box::new(V)), span, |args| {
        let Some(Value::Text(of)) = args.first() else { return Ok(Value::Null) };
        let Some(Value::Text(separator)) = args.get(1) else { return Ok(Value::List(Arc::new(vec![Value::Text(of.clone())]))) };
        Ok(Value::List(Arc::new(parts(of, separator).into_iter().map(Value::text).collect())))
    }))
}

fn split_part(args: &[Value]) -> Outcome {
    let (of, separator, index) = (text(args, 0), text(args, 1), int(args, 2));
    let parts = parts(of, separator);
    let at = if index < 0 { parts.len() as i128 + index } else { index - 1 };
    Ok(Value::text(usize::try_from(at).ok().and_then(|at| parts.get(at)).copied().unwrap_or_default()))
}

/// Lists are concatenated, everything else by its text; NULL is passed over.
fn concat(args: Vec<Typed>, span: &Range<usize>) -> Bound {
    want_args(&args, 1..=usize::MAX, span)?;
    if args.iter().any(|arg| matches!(arg.ty, Type::List(_))) {
        return super::call_bound("list_concat", args, span);
    }
    let args = args.into_iter().map(|arg| arg.cast(&V)).collect();
    Ok(lenient(args, V, span, |args| Ok(Value::text(args.iter().filter_map(Value::as_text).collect::<String>()))))
}

fn concat_ws(args: Vec<Typed>, span: &Range<usize>) -> Bound {
    want_args(&args, 1..=usize::MAX, span)?;
    let args = args.into_iter().map(|arg| arg.cast(&V)).collect();
    Ok(lenient(args, V, span, |args| {
        let Some((Value::Text(separator), rest)) = args.split_first() else { return Ok(Value::Null) };
        let parts: Vec<&str> = rest.iter().filter_map(Value::as_text).collect();
        Ok(Value::text(parts.join(separator)))
    }))
}

/// `||`: lists with lists, blobs with blobs, everything else by its text; NULL gives NULL.
pub fn concat_operator(left: Typed, right: Typed, span: Range<usize>) -> Bound {
    let null_literal = |side: &Typed| matches!(side.node, Node::Const(Value::Null)) && !matches!(side.ty, Type::List(_));
    if null_literal(&left) || null_literal(&right) {
        return Ok(null(Type::Null, &span));
    }
    match (&left.ty, &right.ty) {
        (Type::Null, _) | (_, Type::Null) if !matches!((&left.ty, &right.ty), (Type::List(_), _) | (_, Type::List(_))) => {
            Ok(null(Type::Null, &span))
        }
        (Type::List(_), Type::List(_) | Type::Null) | (Type::Null, Type::List(_)) => {
            super::call_bound("list_concat", vec![left, right], &span)
        }
        (Type::List(_), _) | (_, Type::List(_)) => Err(error_with_help(
            format!("`||` does not go with {} and {}", left.shown(), right.shown()),
            "append one element with `list_append(list, element)`",
            &span,
        )),
        (Type::Blob, Type::Blob) => Ok(super::strict(vec![left, right], Type::Blob, &span, |args| match (args.first(), args.get(1)) {
            (Some(Value::Blob(a)), Some(Value::Blob(b))) => Ok(Value::Blob(Arc::new([a.as_slice(), b.as_slice()].concat()))),
            _ => Ok(Value::Null),
        })),
        (Type::Blob, _) | (_, Type::Blob) => {
            Err(error_with_help(format!("`||` does not go with {} and {}", left.shown(), right.shown()), "cast one side", &span))
        }
        _ => {
            let args = vec![left.cast(&V), right.cast(&V)];
            Ok(super::strict(args, V, &span, |args| {
                let mut out = compact_str::CompactString::with_capacity(text(args, 0).len() + text(args, 1).len());
                out.push_str(text(args, 0));
                out.push_str(text(args, 1));
                Ok(Value::Text(out))
            }))
        }
    }
}

fn position(args: &[Value]) -> Outcome {
    let of = text(args, 0);
    Ok(Value::Int(of.find(text(args, 1)).map_or(0, |at| of[..at].chars().count() as i128 + 1)))
}

fn pad(args: &[Value], on_the_left: bool) -> Outcome {
    let (of, length, padding) = (text(args, 0), int(args, 1).max(0) as usize, text(args, 2));
    let size = of.chars().count();
    if length <= size {
        return Ok(Value::text(of.chars().take(length).collect::<String>()));
    }
    if padding.is_empty() {
        return fail("the padding is empty");
    }
    if length > BYTES_MAX / 4 {
        return fail("the padded text would be too long");
    }
    let fill: String = padding.chars().cycle().take(length - size).collect();
    Ok(Value::text(if on_the_left { format!("{fill}{of}") } else { format!("{of}{fill}") }))
}

fn repeat(args: &[Value]) -> Outcome {
    let (of, count) = (text(args, 0), int(args, 1).max(0));
    if (of.len() as i128).saturating_mul(count) > BYTES_MAX as i128 {
        return fail("repeat: the result would be too long");
    }
    Ok(Value::text(if of.is_empty() { String::new() } else { of.repeat(count as usize) }))
}

fn first_code(args: &[Value]) -> Outcome {
    Ok(Value::Int(text(args, 0).chars().next().map_or(0, |c| c as u32 as i128)))
}

fn chr(args: &[Value]) -> Outcome {
    match u32::try_from(int(args, 0)).ok().and_then(char::from_u32) {
        Some(c) => Ok(Value::text(c.encode_utf8(&mut [0; 4]))),
        None => fail("chr: this is no character's code"),
    }
}

fn like(args: &[Value], fold_case: bool) -> Outcome {
    let (of, pattern, escape) = (text(args, 0), text(args, 1), text(args, 2));
    let mut escapes = escape.chars();
    let (escape, more) = (escapes.next(), escapes.next());
    if more.is_some() {
        return fail("LIKE: the escape is one character");
    }
    if fold_case {
        return matches(&of.to_lowercase(), &pattern.to_lowercase(), escape);
    }
    matches(of, pattern, escape)
}

/// Greedy with one point to return to, the last `%`: at most length times length steps.
fn matches(of: &str, pattern: &str, escape: Option<char>) -> Outcome {
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
        let here = of.chars().next();
        let matched = match next(pattern, escape)? {
            Some((Part::Any, rest)) => {
                pattern = rest;
                retry = Some((of, rest));
                continue;
            }
            Some((Part::One, rest)) if here.is_some() => Some(rest),
            Some((Part::Char(c), rest)) if here == Some(c) => Some(rest),
            None if here.is_none() => return Ok(Value::Bool(true)),
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
            _ => return Ok(Value::Bool(false)),
        }
    }
}
