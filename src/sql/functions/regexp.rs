//! Regular expressions: RE2's syntax, which the `regex` crate shares, with RE2's ASCII classes.

use std::ops::Range;
use std::sync::Arc;

use regex::{Regex, RegexBuilder};

use super::{Function, strict, typed, want_args};
use crate::sql::bind::{Bound, Typed, error, implicit};
use crate::sql::{CompileError, EvalError, Type, Value};

pub const TABLE: &[Function] = &[
    typed(&["regexp_matches"], "regexp_matches(VARCHAR, pattern [, options])", |args, span| {
        predicate(args, span, |regex, text| regex.is_match(text))
    }),
    typed(&["regexp_full_match"], "regexp_full_match(VARCHAR, pattern [, options])", |args, span| predicate(args, span, is_full_match)),
    typed(&["regexp_replace"], "regexp_replace(VARCHAR, pattern, replacement [, options])", replace),
    typed(&["regexp_extract"], "regexp_extract(VARCHAR, pattern [, group [, options]])", extract),
    typed(&["regexp_extract_all"], "regexp_extract_all(VARCHAR, pattern [, group [, options]])", extract_all),
    typed(&["regexp_split_to_array", "string_split_regex", "str_split_regex"], "regexp_split_to_array(VARCHAR, pattern)", split),
];

/// A compiled pattern may take this many bytes.
const REGEX_BYTES_MAX: usize = 1 << 22;

/// RE2's `\d`, `\w`, `\s`, `\b` know ASCII only.
fn ascii_classes(pattern: &str) -> String {
    let mut out = String::with_capacity(pattern.len() + 16);
    let mut chars = pattern.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            out.push(c);
            continue;
        }
        match chars.next() {
            Some('d') => out.push_str("[0-9]"),
            Some('D') => out.push_str("[^0-9]"),
            Some('w') => out.push_str("[0-9A-Za-z_]"),
            Some('W') => out.push_str("[^0-9A-Za-z_]"),
            Some('s') => out.push_str("[\\t\\n\\f\\r ]"),
            Some('S') => out.push_str("[^\\t\\n\\f\\r ]"),
            Some('b') => out.push_str("(?-u:\\b)"),
            Some('B') => out.push_str("(?-u:\\B)"),
            Some(other) => {
                out.push('\\');
                out.push(other);
            }
            None => out.push('\\'),
        }
    }
    out
}

#[derive(Debug, Clone, Copy, Default)]
struct Options {
    fold_case: bool,
    literal: bool,
    dot_is_newline: bool,
    global: bool,
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
    let pattern = if options.literal { regex::escape(pattern) } else { ascii_classes(pattern) };
    RegexBuilder::new(&pattern)
        .case_insensitive(options.fold_case)
        .dot_matches_new_line(options.dot_is_newline)
        .size_limit(REGEX_BYTES_MAX)
        .nest_limit(100)
        .build()
        .map_err(|e| format!("the pattern cannot be used: {}", e.to_string().lines().last().unwrap_or_default().trim()))
}

/// A pattern that is compiled once where it is constant.
enum Pattern {
    Ready(Regex),
    Later(Options),
}

impl Pattern {
    fn with<T>(&self, pattern: &Value, run: impl FnOnce(&Regex) -> T) -> Result<T, EvalError> {
        match self {
            Pattern::Ready(regex) => Ok(run(regex)),
            Pattern::Later(options) => {
                let regex = compile(pattern.as_text().unwrap_or_default(), *options).map_err(EvalError)?;
                Ok(run(&regex))
            }
        }
    }
}

/// Takes the options off the arguments and prepares the pattern, argument 1.
fn prepare(args: &mut Vec<Typed>, options_at: usize, span: &Range<usize>) -> Result<(Pattern, Options), CompileError> {
    let mut found = Options::default();
    if args.len() > options_at {
        let option = args.swap_remove(options_at);
        let Some(text) = option.constant_text() else { return Err(error("the options must be a constant text", &option.span)) };
        found = options(text).map_err(|message| error(message, &option.span))?;
    }
    for (i, arg) in args.iter_mut().enumerate() {
        let to = if i == 2 && arg.ty.is_integer() { Type::Integer } else { Type::Varchar };
        *arg = implicit(arg.clone(), &to, "the argument")?;
    }
    let pattern = &args.get(1).ok_or_else(|| error("a pattern is missing", span))?;
    let prepared = match pattern.constant_text() {
        Some(text) => Pattern::Ready(compile(text, found).map_err(|message| error(message, &pattern.span))?),
        None => Pattern::Later(found),
    };
    Ok((prepared, found))
}

fn is_full_match(regex: &Regex, text: &str) -> bool {
    // The leftmost match need not be the whole text where another alternative is.
    match Regex::new(&format!("^(?:{})$", regex.as_str())) {
        Ok(_) if regex.find(text).is_some_and(|m| m.len() == text.len()) => true,
        Ok(_) => {
            RegexBuilder::new(&format!("\\A(?:{})\\z", regex.as_str())).size_limit(REGEX_BYTES_MAX).build().is_ok_and(|r| r.is_match(text))
        }
        Err(_) => false,
    }
}

fn predicate(mut args: Vec<Typed>, span: &Range<usize>, test: fn(&Regex, &str) -> bool) -> Bound {
    want_args(&args, 2..=3, span)?;
    let (pattern, _) = prepare(&mut args, 2, span)?;
    Ok(strict(args, Type::Boolean, span, move |args| {
        let (Some(Value::Text(text)), Some(by)) = (args.first(), args.get(1)) else { return Ok(Value::Null) };
        pattern.with(by, |regex| Value::Bool(test(regex, text)))
    }))
}

/// `\1` becomes the group's text, `\\` a backslash.
fn expand(replacement: &str, found: &regex::Captures, out: &mut String) {
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
            Some(other) => out.push(other),
            None => out.push('\\'),
        }
    }
}

fn replace(mut args: Vec<Typed>, span: &Range<usize>) -> Bound {
    want_args(&args, 3..=4, span)?;
    let (pattern, options) = prepare(&mut args, 3, span)?;
    Ok(strict(args, Type::Varchar, span, move |args| {
        let (Some(Value::Text(text)), Some(by), Some(Value::Text(replacement))) = (args.first(), args.get(1), args.get(2)) else {
            return Ok(Value::Null);
        };
        pattern.with(by, |regex| {
            let mut out = String::with_capacity(text.len());
            let mut at = 0;
            for found in regex.captures_iter(text).take(if options.global { usize::MAX } else { 1 }) {
                let Some(whole) = found.get(0) else { continue };
                out.push_str(&text[at..whole.start()]);
                expand(replacement, &found, &mut out);
                at = whole.end();
            }
            out.push_str(&text[at..]);
            Value::text(out)
        })
    }))
}

fn group(args: &[Value]) -> usize {
    args.get(2).and_then(Value::as_int).and_then(|i| usize::try_from(i).ok()).unwrap_or(0)
}

fn extract(mut args: Vec<Typed>, span: &Range<usize>) -> Bound {
    want_args(&args, 2..=4, span)?;
    let (pattern, _) = prepare(&mut args, 3, span)?;
    Ok(strict(args, Type::Varchar, span, move |args| {
        let (Some(Value::Text(text)), Some(by)) = (args.first(), args.get(1)) else { return Ok(Value::Null) };
        pattern.with(by, |regex| {
            let found = regex.captures(text).and_then(|found| found.get(group(args)).map(|m| m.as_str()));
            Value::text(found.unwrap_or_default())
        })
    }))
}

fn extract_all(mut args: Vec<Typed>, span: &Range<usize>) -> Bound {
    want_args(&args, 2..=4, span)?;
    let (pattern, _) = prepare(&mut args, 3, span)?;
    Ok(strict(args, Type::List(Box::new(Type::Varchar)), span, move |args| {
        let (Some(Value::Text(text)), Some(by)) = (args.first(), args.get(1)) else { return Ok(Value::Null) };
        pattern.with(by, |regex| {
            let found = regex.captures_iter(text).map(|found| Value::text(found.get(group(args)).map_or("", |m| m.as_str())));
            Value::List(Arc::new(found.collect()))
        })
    }))
}

fn split(mut args: Vec<Typed>, span: &Range<usize>) -> Bound {
    want_args(&args, 2..=3, span)?;
    let (pattern, _) = prepare(&mut args, 2, span)?;
    Ok(strict(args, Type::List(Box::new(Type::Varchar)), span, move |args| {
        let (Some(Value::Text(text)), Some(by)) = (args.first(), args.get(1)) else { return Ok(Value::Null) };
        pattern.with(by, |regex| Value::List(Arc::new(regex.split(text).map(Value::text).collect())))
    }))
}
