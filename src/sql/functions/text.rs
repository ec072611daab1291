//! Text: characters are Unicode code points, as in DuckDB.

use std::ops::Range;
use std::sync::Arc;

use super::encoding::{blob, bytes};
use super::{Function, Overload, bind, lenient, null, plain, strict, typed, want_args};
use crate::sql::bind::{Bound, Typed, error_with_help, implicit};
use crate::sql::eval::{Node, Outcome};
use crate::sql::{EvalError, Type, Value};

const V: Type = Type::Varchar;
const B: Type = Type::Boolean;

pub const TABLE: &[Function] = &[
    plain(&["upper", "ucase"], "upper(VARCHAR)", &[overload!(&[V], V, |a| Ok(Value::text(upper(text(a, 0)))))]),
    plain(&["lower", "lcase"], "lower(VARCHAR)", &[overload!(&[V], V, |a| Ok(Value::text(lower(text(a, 0)))))]),
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
            overload!(&[V, Type::BigInt], V, |a| {
                in_substring_range(int(a, 1), 0)?;
                Ok(substring(text(a, 0), int(a, 1), None))
            }),
            overload!(&[V, Type::BigInt, Type::BigInt], V, |a| {
                in_substring_range(int(a, 1), int(a, 2))?;
                Ok(substring(text(a, 0), int(a, 1), Some(int(a, 2))))
            }),
        ],
    ),
    plain(
        &["left"],
        "left(VARCHAR, count)",
        &[overload!(&[V, Type::BigInt], V, |a| {
            in_substring_range(1, int(a, 1).max(0))?;
            Ok(left(text(a, 0), int(a, 1)))
        })],
    ),
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
    plain(
        &["split_part"],
        "split_part(VARCHAR, separator, index)",
        &[Overload { params: &[V, V, Type::BigInt], rest: None, result: V, run: split_part, strict: false }],
    ),
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
    typed(&["repeat"], "repeat(VARCHAR, BLOB or list, count)", |args, span| match args.first().map(|arg| &arg.ty) {
        Some(Type::List(_)) => repeat_list(args, span),
        _ => bind(&REPEAT, "repeat", args, span),
    }),
    plain(&["ascii"], "ascii(VARCHAR)", &[overload!(&[V], Type::Integer, |a| Ok(first_code(a, 0)))]),
    plain(&["unicode", "ord"], "unicode(VARCHAR)", &[overload!(&[V], Type::Integer, |a| Ok(first_code(a, -1)))]),
    plain(&["chr"], "chr(INTEGER)", &[overload!(&[Type::Integer], V, chr)]),
    plain(&["translate"], "translate(VARCHAR, characters, by)", &[overload!(&[V, V, V], V, translate)]),
];

/// `contains` and `length` on text; the names belong to lists and maps, too.
pub const CONTAINS: Function =
    plain(&["contains"], "contains(VARCHAR, part)", &[overload!(&[V, V], B, |a| Ok(Value::Bool(text(a, 0).contains(text(a, 1)))))]);
pub const LENGTH: Function =
    plain(&["length"], "length(VARCHAR)", &[overload!(&[V], Type::BigInt, |a| Ok(Value::Int(text(a, 0).chars().count() as i128)))]);

/// Results are bounded, so that no expression can ask for all memory.
pub const BYTES_MAX: usize = 1 << 26;
/// Lists may have this many elements.
pub const ELEMENTS_MAX: usize = 1 << 24;

pub fn text(args: &[Value], i: usize) -> &str {
    args.get(i).and_then(Value::as_text).unwrap_or_default()
}

pub fn int(args: &[Value], i: usize) -> i128 {
    args.get(i).and_then(Value::as_int).unwrap_or_default()
}

pub fn fail<T>(message: &str) -> Result<T, EvalError> {
    Err(EvalError(message.into()))
}

pub fn too_long<T>(function: &str) -> Result<T, EvalError> {
    Err(EvalError(format!("{function}: the result would be too long")))
}

/// Checks the length of what these lengths add up to.
fn within(lengths: impl Iterator<Item = usize>, function: &str) -> Result<(), EvalError> {
    if lengths.fold(0, usize::saturating_add) > BYTES_MAX { too_long(function) } else { Ok(()) }
}

/// Upper case letter by letter: a letter whose upper case is several letters stays one, as in DuckDB.
fn upper(text: &str) -> String {
    if text.is_ascii() {
        return text.to_ascii_uppercase();
    }
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        let mut upper = c.to_uppercase();
        match (upper.next(), upper.next()) {
            (Some(only), None) => out.push(only),
            _ => out.push(single_upper(c)),
        }
    }
    out
}

/// The one letter that Unicode gives as the upper case of a letter whose whole upper case is several.
fn single_upper(c: char) -> char {
    let code = c as u32;
    let upper = match code {
        0xdf => 0x1e9e,
        0x1f80..=0x1f87 | 0x1f90..=0x1f97 | 0x1fa0..=0x1fa7 => code + 8,
        0x1fb3 | 0x1fc3 | 0x1ff3 => code + 9,
        _ => code,
    };
    char::from_u32(upper).unwrap_or(c)
}

/// Lower case letter by letter: no letter becomes several, and none depends on its place in the word, as in DuckDB.
pub fn lower(text: &str) -> String {
    if text.is_ascii() {
        return text.to_ascii_lowercase();
    }
    text.chars().map(|c| c.to_lowercase().next().unwrap_or(c)).collect()
}

/// DuckDB refuses offsets and lengths beyond 32 bits.
pub fn in_substring_range(offset: i128, length: i128) -> Result<(), EvalError> {
    let range = -(1i128 << 32)..1 << 32;
    if range.contains(&offset) && range.contains(&length) { Ok(()) } else { fail("substring: offset and length must fit 32 bits") }
}

/// Characters from `offset` (from 1, negative from the end); a negative length goes to the left.
pub fn substring(text: &str, offset: i128, length: Option<i128>) -> Value {
    let size = text.chars().count() as i128;
    let length = length.unwrap_or(i64::MAX as i128);
    // Position 0 lies before the first character, so that a length can reach into the text from outside.
    let from = if offset < 0 { size + offset } else { offset - 1 };
    let (start, end) = if length > 0 { (from, from + length) } else { (from + length, from) };
    let (start, end) = (start.clamp(0, size), end.clamp(0, size));
    Value::text(characters(text, start as usize, (end - start).max(0) as usize))
}

/// `count` characters, the first `skip` passed over.
fn characters(text: &str, skip: usize, count: usize) -> &str {
    if text.is_ascii() {
        return text.get(skip..skip.saturating_add(count).min(text.len())).unwrap_or_default();
    }
    let place = |rest: &str, nth: usize| rest.char_indices().nth(nth).map_or(rest.len(), |(at, _)| at);
    let rest = &text[place(text, skip)..];
    &rest[..place(rest, count)]
}

fn left(text: &str, count: i128) -> Value {
    let size = text.chars().count() as i128;
    let take = if count < 0 { (size + count).max(0) } else { count.min(size) };
    Value::text(characters(text, 0, take as usize))
}

fn right(text: &str, count: i128) -> Value {
    let size = text.chars().count() as i128;
    let take = if count < 0 { (size + count).max(0) } else { count.min(size) };
    Value::text(characters(text, (size - take) as usize, take as usize))
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

fn parts<'a>(of: &'a str, separator: &str) -> Result<Vec<&'a str>, EvalError> {
    if separator.is_empty() {
        return split_by(of, |_| Some((0, 0)));
    }
    let parts: Vec<&str> = of.split(separator).take(ELEMENTS_MAX + 1).collect();
    if parts.len() > ELEMENTS_MAX { too_long("split") } else { Ok(parts) }
}

/// Splits where `find` finds something in the rest (its place and length); an empty match parts off one character.
pub fn split_by(of: &str, find: impl Fn(&str) -> Option<(usize, usize)>) -> Result<Vec<&str>, EvalError> {
    let mut out = Vec::new();
    let mut rest = of;
    while let Some(first) = rest.chars().next() {
        let Some((mut at, length)) = find(rest) else { break };
        if length == 0 && at == 0 {
            at = first.len_utf8();
            if at == rest.len() {
                break;
            }
        }
        let (Some(part), Some(behind)) = (rest.get(..at), rest.get(at + length..)) else { break };
        out.push(part);
        if out.len() >= ELEMENTS_MAX {
            return too_long("split");
        }
        rest = behind;
    }
    out.push(rest);
    Ok(out)
}

fn split(args: Vec<Typed>, span: &Range<usize>) -> Bound {
    want_args(&args, 2..=2, span)?;
    let args = args.into_iter().map(|arg| implicit(arg, &V, "the argument")).collect::<Result<Vec<_>, _>>()?;
    Ok(lenient(args, Type::List(Box::new(V)), span, |args| {
        let Some(Value::Text(of)) = args.first() else { return Ok(Value::Null) };
        let Some(Value::Text(separator)) = args.get(1) else { return Ok(Value::List(Arc::new(vec![Value::Text(of.clone())]))) };
        Ok(Value::List(Arc::new(parts(of, separator)?.into_iter().map(Value::text).collect())))
    }))
}

fn split_part(args: &[Value]) -> Outcome {
    if args.iter().any(Value::is_null) {
        return Ok(Value::Null);
    }
    let (of, separator, index) = (text(args, 0), text(args, 1), int(args, 2));
    if index > 0 && !separator.is_empty() {
        let part = usize::try_from(index - 1).ok().and_then(|i| of.split(separator).nth(i));
        return Ok(Value::text(part.unwrap_or_default()));
    }
    let parts = parts(of, separator)?;
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
    Ok(lenient(args, V, span, |args| {
        within(args.iter().filter_map(Value::as_text).map(str::len), "concat")?;
        Ok(Value::text(args.iter().filter_map(Value::as_text).collect::<String>()))
    }))
}

fn concat_ws(mut args: Vec<Typed>, span: &Range<usize>) -> Bound {
    want_args(&args, 2..=usize::MAX, span)?;
    if let Some(separator) = args.first_mut() {
        *separator = implicit(separator.clone(), &V, "the separator")?;
    }
    let args = args.into_iter().map(|arg| arg.cast(&V)).collect();
    Ok(lenient(args, V, span, |args| {
        let Some((Value::Text(separator), rest)) = args.split_first() else { return Ok(Value::Null) };
        let parts: Vec<&str> = rest.iter().filter_map(Value::as_text).collect();
        within(parts.iter().map(|part| part.len() + separator.len()), "concat_ws")?;
        Ok(Value::text(parts.join(separator)))
    }))
}

/// `||`: lists with lists, blobs with blobs, everything else by its text; NULL gives NULL.
pub fn concat_operator(left: Typed, right: Typed, span: Range<usize>) -> Bound {
    if [&left, &right].iter().any(|side| side.ty == Type::Null || matches!(side.node, Node::Const(Value::Null))) {
        return Ok(null(Type::Null, &span));
    }
    match (&left.ty, &right.ty) {
        (Type::List(_), Type::List(_)) => super::list::concat_operator(vec![left, right], &span),
        (Type::List(_), _) | (_, Type::List(_)) => Err(error_with_help(
            format!("`||` does not go with {} and {}", left.shown(), right.shown()),
            "append one element with `list_append(list, element)`",
            &span,
        )),
        (Type::Blob, Type::Blob) => Ok(strict(vec![left, right], Type::Blob, &span, |args| {
            let (left, right) = (bytes(args, 0), bytes(args, 1));
            within([left.len(), right.len()].into_iter(), "||")?;
            Ok(blob([left, right].concat()))
        })),
        _ => {
            let args = vec![left.cast(&V), right.cast(&V)];
            Ok(strict(args, V, &span, |args| {
                let (left, right) = (text(args, 0), text(args, 1));
                within([left.len(), right.len()].into_iter(), "||")?;
                let mut out = compact_str::CompactString::with_capacity(left.len() + right.len());
                out.push_str(left);
                out.push_str(right);
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

const REPEAT: Function = plain(
    &["repeat"],
    "repeat(VARCHAR, BLOB or list, count)",
    &[
        overload!(&[V, Type::BigInt], V, |a| {
            let of = text(a, 0);
            Ok(Value::text(of.repeat(times("repeat", of.len(), int(a, 1), BYTES_MAX)?)))
        }),
        overload!(&[Type::Blob, Type::BigInt], Type::Blob, |a| {
            let of = bytes(a, 0);
            Ok(blob(of.repeat(times("repeat", of.len(), int(a, 1), BYTES_MAX)?)))
        }),
    ],
);

/// How often something of this size can be repeated: as asked for, unless the result would be too long.
fn times(function: &str, size: usize, count: i128, most: usize) -> Result<usize, EvalError> {
    if size == 0 || count <= 0 {
        return Ok(0);
    }
    match usize::try_from(count) {
        Ok(count) if size.saturating_mul(count) <= most => Ok(count),
        _ => too_long(function),
    }
}

fn repeat_list(args: Vec<Typed>, span: &Range<usize>) -> Bound {
    want_args(&args, 2..=2, span)?;
    let mut args = args.into_iter();
    let (list, count) = (super::take(&mut args, span)?, super::take(&mut args, span)?);
    let ty = list.ty.clone();
    let count = implicit(count, &Type::BigInt, "the count")?;
    // DuckDB has no type for what a NULL literal makes NULL.
    if [&list, &count].iter().any(|arg| matches!(arg.node, Node::Const(Value::Null))) {
        return Ok(null(Type::Null, span));
    }
    Ok(strict(vec![list, count], ty, span, |args| {
        let Some(Value::List(items)) = args.first() else { return Ok(Value::Null) };
        let times = times("repeat", items.len(), int(args, 1), ELEMENTS_MAX)?;
        Ok(Value::List(Arc::new(std::iter::repeat_n(items.iter(), times).flatten().cloned().collect())))
    }))
}

fn first_code(args: &[Value], of_nothing: i128) -> Value {
    Value::Int(text(args, 0).chars().next().map_or(of_nothing, |c| c as u32 as i128))
}

/// Each of the characters becomes the one at the same place in `by`, or nothing where that is shorter.
fn translate(args: &[Value]) -> Outcome {
    let (of, from, by) = (text(args, 0), text(args, 1), text(args, 2));
    if of.len().saturating_mul(4) > BYTES_MAX {
        return too_long("translate");
    }
    let mut map = hashbrown::HashMap::new();
    let mut replacements = by.chars();
    for c in from.chars() {
        // Of a character that is named twice the first place counts.
        let replacement = replacements.next();
        map.entry(c).or_insert(replacement);
    }
    Ok(Value::text(of.chars().filter_map(|c| map.get(&c).copied().unwrap_or(Some(c))).collect::<String>()))
}

fn chr(args: &[Value]) -> Outcome {
    match u32::try_from(int(args, 0)).ok().and_then(char::from_u32) {
        Some(c) => Ok(Value::text(c.encode_utf8(&mut [0; 4]))),
        None => fail("chr: this is no character's code"),
    }
}
