//! Regular expressions by RE2's syntax and rules; see [`super::re2`] for the syntax.

use std::ops::Range;
use std::sync::Arc;

use regex::{Captures, Regex, RegexBuilder};

use super::text::{BYTES_MAX, ELEMENTS_MAX, too_long};
use super::{Function, Overload, lenient, null, plain, re2, strict, typed, want_args};
use crate::sql::bind::{Bound, Typed, error, error_with_help, implicit};
use crate::sql::eval::{Node, Outcome};
use crate::sql::{CompileError, EvalError, Type, Value};

const V: Type = Type::Varchar;

pub const TABLE: &[Function] = &[
    typed(&["regexp_matches"], "regexp_matches(VARCHAR, pattern [, options])", |args, span| predicate(args, span, false)),
    typed(&["regexp_full_match"], "regexp_full_match(VARCHAR, pattern [, options])", |args, span| predicate(args, span, true)),
    typed(&["regexp_replace"], "regexp_replace(VARCHAR, pattern, replacement [, options])", replace),
    typed(&["regexp_extract"], "regexp_extract(VARCHAR, pattern [, group or names of groups [, options]])", extract),
    typed(&["regexp_extract_all"], "regexp_extract_all(VARCHAR, pattern [, group or names of groups [, options]])", extract_all),
    typed(
        &["regexp_split_to_array", "string_split_regex", "str_split_regex"],
        "regexp_split_to_array(VARCHAR, pattern [, options])",
        split,
    ),
    plain(&["regexp_escape"], "regexp_escape(VARCHAR)", &[overload!(&[V], V, escape)]),
];

/// A compiled pattern may take this many bytes.
const REGEX_BYTES_MAX: usize = 1 << 23;

#[derive(Debug, Clone, Copy, Default)]
struct Options {
    fold_case: bool,
    literal: bool,
    dot_is_newline: bool,
    global: bool,
    /// The pattern must match the whole text.
    whole: bool,
}

fn options(text: &str) -> Result<Options, String> {
    let mut options = Options::default();
    for c in text.chars() {
        match c {
            'c' => options.fold_case = false,
            'i' => options.fold_case = true,
            'l' => options.literal = true,
            'm' | 'n' | 'p' => options.dot_is_newline = false,
            's' => options.dot_is_newline = true,
            'g' => options.global = true,
            ' ' | '\t' | '\n' => {}
            c => return Err(format!("no option `{c}`; options are c, i, l, m, n, p, s and for regexp_replace g")),
        }
    }
    Ok(options)
}

fn compile(pattern: &str, options: Options) -> Result<Regex, String> {
    let unusable = |problem: &str| format!("the pattern cannot be used: {problem}");
    let mut translated = if options.literal { regex::escape(pattern) } else { re2::translate(pattern).map_err(|e| unusable(&e))? };
    if options.whole {
        translated = format!("\\A(?:{translated})\\z");
    }
    RegexBuilder::new(&translated)
        .case_insensitive(options.fold_case)
        .dot_matches_new_line(options.dot_is_newline)
        .size_limit(REGEX_BYTES_MAX)
        .nest_limit(250)
        .build()
        .map_err(|e| unusable(e.to_string().lines().last().unwrap_or_default().trim()))
}

/// A pattern that is compiled once where it is constant.
enum Pattern {
    Ready(Regex),
    Later(Options),
}

impl Pattern {
    fn with<T>(&self, pattern: &Value, run: impl FnOnce(&Regex) -> Result<T, EvalError>) -> Result<T, EvalError> {
        match self {
            Pattern::Ready(regex) => run(regex),
            Pattern::Later(options) => run(&compile(pattern.as_text().unwrap_or_default(), *options).map_err(EvalError)?),
        }
    }
}

/// Takes the options off the arguments and prepares the pattern, argument 1.
fn prepare(args: &mut Vec<Typed>, options_at: usize, mut given: Options, span: &Range<usize>) -> Result<(Pattern, Options), CompileError> {
    let global_allowed = given.global;
    given.global = false;
    if args.len() > options_at {
        let option = args.swap_remove(options_at);
        let Some(text) = option.constant_text() else { return Err(error("the options must be a constant text, not NULL", &option.span)) };
        let found = options(text).map_err(|message| error(message, &option.span))?;
        if found.global && !global_allowed {
            return Err(error("the option `g` belongs to regexp_replace", &option.span));
        }
        given = Options { whole: given.whole, ..found };
    }
    for (i, arg) in args.iter_mut().enumerate() {
        // Argument 2 is the function's own.
        if i < 2 {
            *arg = implicit(arg.clone(), &V, "the argument")?;
        }
    }
    let pattern = args.get(1).ok_or_else(|| error("a pattern is missing", span))?;
    let prepared = match pattern.constant_text() {
        Some(text) => Pattern::Ready(compile(text, given).map_err(|message| error(message, &pattern.span))?),
        None => Pattern::Later(given),
    };
    Ok((prepared, given))
}

fn predicate(mut args: Vec<Typed>, span: &Range<usize>, whole: bool) -> Bound {
    want_args(&args, 2..=3, span)?;
    let (pattern, _) = prepare(&mut args, 2, Options { whole, ..Options::default() }, span)?;
    Ok(strict(args, Type::Boolean, span, move |args| {
        let (Some(Value::Text(text)), Some(by)) = (args.first(), args.get(1)) else { return Ok(Value::Null) };
        pattern.with(by, |regex| Ok(Value::Bool(regex.is_match(text))))
    }))
}

/// `\1` becomes the group's text, `\\` a backslash; false, having written up to there, where something else follows
/// a backslash.
fn expand(replacement: &str, found: &Captures, out: &mut String) -> bool {
    let mut chars = replacement.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            out.push(c);
            continue;
        }
        match chars.next() {
            Some(digit) if digit.is_ascii_digit() => {
                let group = digit.to_digit(10).unwrap_or(0) as usize;
                out.push_str(found.get(group).map_or("", |m| m.as_str()));
            }
            Some('\\') => out.push('\\'),
            _ => return false,
        }
    }
    true
}

/// The highest group that a replacement asks for.
fn highest_group(replacement: &str) -> usize {
    let mut highest = 0;
    let mut chars = replacement.chars();
    while let Some(c) = chars.next() {
        if c == '\\'
            && let Some(digit) = chars.next().and_then(|c| c.to_digit(10))
        {
            highest = highest.max(digit as usize);
        }
    }
    highest
}

fn replace(mut args: Vec<Typed>, span: &Range<usize>) -> Bound {
    want_args(&args, 3..=4, span)?;
    for arg in &mut args {
        *arg = implicit(arg.clone(), &V, "the argument")?;
    }
    // Before a look at the pattern, other than for the functions that only look for it (as in DuckDB).
    if args.iter().take(3).any(|arg| matches!(arg.node, Node::Const(Value::Null))) {
        return Ok(null(V, span));
    }
    let (pattern, options) = prepare(&mut args, 3, Options { global: true, ..Options::default() }, span)?;
    Ok(strict(args, V, span, move |args| {
        let (Some(Value::Text(text)), Some(by), Some(Value::Text(replacement))) = (args.first(), args.get(1), args.get(2)) else {
            return Ok(Value::Null);
        };
        pattern.with(by, |regex| {
            if highest_group(replacement) >= regex.captures_len() {
                return Ok(Value::Text(text.clone()));
            }
            let mut out = String::with_capacity(text.len());
            let mut at = 0;
            for found in regex.captures_iter(text).take(if options.global { usize::MAX } else { 1 }) {
                let Some(whole) = found.get(0) else { continue };
                out.push_str(&text[at..whole.start()]);
                if !expand(replacement, &found, &mut out) && !options.global {
                    return Ok(Value::Text(text.clone()));
                }
                if out.len() > BYTES_MAX {
                    return too_long("regexp_replace");
                }
                at = whole.end();
            }
            out.push_str(&text[at..]);
            Ok(Value::text(out))
        })
    }))
}

/// The names of a struct's fields, from a constant list of texts; None: the argument is no list.
fn group_names(args: &mut Vec<Typed>, span: &Range<usize>) -> Result<Option<Vec<String>>, CompileError> {
    let Some(Type::List(inner)) = args.get(2).map(|arg| &arg.ty) else { return Ok(None) };
    if !matches!(**inner, Type::Varchar | Type::Null) {
        return Err(error("the names of the groups must be texts", span));
    }
    let list = args.remove(2);
    let Node::Const(Value::List(items)) = &list.node else {
        return Err(error("the names of the groups must be constant", &list.span));
    };
    let mut names: Vec<String> = Vec::new();
    for item in items.iter() {
        let Some(name) = item.as_text().filter(|name| !name.is_empty()) else {
            return Err(error("a group's name must not be NULL or empty", &list.span));
        };
        if names.iter().any(|other| other.eq_ignore_ascii_case(name)) {
            return Err(error(format!("two groups have the name `{name}`"), &list.span));
        }
        names.push(name.to_string());
    }
    if names.is_empty() {
        return Err(error("the list of the groups' names is empty", &list.span));
    }
    Ok(Some(names))
}

fn struct_of(names: &[String]) -> Type {
    Type::Struct(names.iter().map(|name| (name.clone(), V)).collect())
}

/// The constant pattern that names of groups need.
fn with_groups(pattern: Pattern, names: &[String], span: &Range<usize>) -> Result<Regex, CompileError> {
    let Pattern::Ready(regex) = pattern else {
        return Err(error("with names of groups the pattern must be constant", span));
    };
    if regex.captures_len() <= names.len() {
        let groups = regex.captures_len().saturating_sub(1);
        return Err(error(format!("the pattern has {groups} groups, fewer than the {} names", names.len()), span));
    }
    Ok(regex)
}

fn extract(mut args: Vec<Typed>, span: &Range<usize>) -> Bound {
    want_args(&args, 2..=4, span)?;
    if let Some(names) = group_names(&mut args, span)? {
        let (pattern, _) = prepare(&mut args, 2, Options::default(), span)?;
        let regex = with_groups(pattern, &names, span)?;
        let count = names.len();
        return Ok(strict(args, struct_of(&names), span, move |args| {
            let Some(Value::Text(text)) = args.first() else { return Ok(Value::Null) };
            let found = regex.captures(text);
            let group = |i: usize| Value::text(found.as_ref().and_then(|found| found.get(i)).map_or("", |m| m.as_str()));
            Ok(Value::Struct(Arc::new((1..=count).map(group).collect())))
        }));
    }
    let (pattern, _) = prepare(&mut args, 3, Options::default(), span)?;
    if let Some(group) = args.get_mut(2) {
        *group = implicit(group.clone(), &Type::Integer, "the group")?;
    }
    let group = match args.get(2).map(|arg| &arg.node) {
        None => Some(0),
        Some(Node::Const(Value::Null)) => None,
        Some(Node::Const(Value::Int(i @ 0..=9))) => Some(*i as usize),
        _ => return Err(error_with_help("the group must be a constant number from 0 to 9", "0 is the whole match", span)),
    };
    args.truncate(2);
    Ok(strict(args, V, span, move |args| {
        let (Some(Value::Text(text)), Some(by)) = (args.first(), args.get(1)) else { return Ok(Value::Null) };
        pattern.with(by, |regex| {
            let found = group.and_then(|group| regex.captures(text)?.get(group).map(|m| m.as_str()));
            Ok(Value::text(found.unwrap_or_default()))
        })
    }))
}

/// All matches, as DuckDB walks through them: an empty match counts again where the next search begins at it.
fn each_match(regex: &Regex, text: &str, mut take: impl FnMut(&Captures) -> Result<(), EvalError>) -> Result<(), EvalError> {
    let (mut from, mut matches) = (0, 0);
    while from <= text.len() {
        let Some(found) = regex.captures_at(text, from) else { break };
        let Some(whole) = found.get(0) else { break };
        take(&found)?;
        matches += 1;
        if matches > ELEMENTS_MAX {
            return too_long("regexp_extract_all");
        }
        from = if whole.end() > from { whole.end() } else { from + text[from..].chars().next().map_or(1, char::len_utf8) };
    }
    Ok(())
}

fn group_text(found: &Captures, group: usize) -> Value {
    found.get(group).map_or(Value::Null, |m| Value::text(m.as_str()))
}

fn extract_all(mut args: Vec<Typed>, span: &Range<usize>) -> Bound {
    want_args(&args, 2..=4, span)?;
    if let Some(names) = group_names(&mut args, span)? {
        let (pattern, _) = prepare(&mut args, 2, Options::default(), span)?;
        let regex = with_groups(pattern, &names, span)?;
        let count = names.len();
        return Ok(strict(args, Type::List(Box::new(struct_of(&names))), span, move |args| {
            let Some(Value::Text(text)) = args.first() else { return Ok(Value::Null) };
            let mut out = Vec::new();
            each_match(&regex, text, |found| {
                out.push(Value::Struct(Arc::new((1..=count).map(|i| group_text(found, i)).collect())));
                Ok(())
            })?;
            Ok(Value::List(Arc::new(out)))
        }));
    }
    let (pattern, _) = prepare(&mut args, 3, Options::default(), span)?;
    if let Some(group) = args.get_mut(2) {
        *group = implicit(group.clone(), &Type::Integer, "the group")?;
    }
    Ok(strict(args, Type::List(Box::new(V)), span, move |args| {
        let (Some(Value::Text(text)), Some(by)) = (args.first(), args.get(1)) else { return Ok(Value::Null) };
        let group = args.get(2).and_then(Value::as_int).unwrap_or(0);
        pattern.with(by, |regex| {
            let mut out = Vec::new();
            if let Ok(group) = usize::try_from(group) {
                each_match(regex, text, |found| {
                    if group >= found.len() {
                        return Err(EvalError(format!("the pattern has {} groups, there is no group {group}", found.len() - 1)));
                    }
                    out.push(group_text(found, group));
                    Ok(())
                })?;
            }
            Ok(Value::List(Arc::new(out)))
        })
    }))
}

/// A NULL pattern splits nothing.
fn split(mut args: Vec<Typed>, span: &Range<usize>) -> Bound {
    want_args(&args, 2..=3, span)?;
    let (pattern, _) = prepare(&mut args, 2, Options::default(), span)?;
    Ok(lenient(args, Type::List(Box::new(V)), span, move |args| {
        let (Some(Value::Text(text)), Some(by)) = (args.first(), args.get(1)) else { return Ok(Value::Null) };
        if by.is_null() {
            return Ok(Value::List(Arc::new(vec![Value::Text(text.clone())])));
        }
        pattern.with(by, |regex| {
            let parts = super::text::split_by(text, |rest| regex.find(rest).map(|m| (m.start(), m.len())))?;
            Ok(Value::List(Arc::new(parts.into_iter().map(Value::text).collect())))
        })
    }))
}

/// A backslash before everything but ASCII letters, digits, `_` and what is not ASCII.
fn escape(args: &[Value]) -> Outcome {
    let of = super::text::text(args, 0);
    if of.len().saturating_mul(4) > BYTES_MAX {
        return too_long("regexp_escape");
    }
    let mut out = String::with_capacity(of.len() * 2);
    for c in of.chars() {
        match c {
            '\0' => out.push_str("\\x00"),
            c if c.is_ascii() && !c.is_ascii_alphanumeric() && c != '_' => {
                out.push('\\');
                out.push(c);
            }
            c => out.push(c),
        }
    }
    Ok(Value::text(out))
}
