//! The functions, in one registry: a table per subject, each entry with its names, what it takes and how it is bound.
//!
//! To add one, add an entry to the subject's `TABLE`: typed overloads where the arguments are plain types, a
//! binder where the result's type follows from the arguments'.

/// One strict overload: parameter types, the result's type, what it does. A literal, so that tables stay constants.
macro_rules! overload {
    ($params:expr, $result:expr, $run:expr) => {
        Overload { params: $params, rest: None, result: $result, run: $run, strict: true }
    };
}

pub mod bits;
pub mod conditional;
pub mod display;
pub mod encoding;
pub mod format;
pub mod grapheme;
pub mod hash;
pub mod inspect;
pub mod json;
pub mod lambda;
pub mod list;
pub mod list_aggregates;
pub mod list_order;
mod list_statistics;
pub mod list_vector;
pub mod map;
pub mod math;
pub mod numeric;
pub mod path;
pub mod pattern;
mod re2;
pub mod regexp;
pub mod similarity;
pub mod spans;
pub mod structs;
pub mod temporal;
pub mod text;
pub mod uuid;
pub mod zones;

use std::ops::Range;

use super::CompileError;
use super::ast::Ast;
use super::bind::{Binder, Bound, Typed, error, error_with_help};
use super::coerce::{self, Choice};
use super::eval::{Node, Outcome, Run};
use super::{Type, Value};

/// One signature: the types of the arguments, that of any number of further ones, and the result's.
pub struct Overload {
    pub params: &'static [Type],
    pub rest: Option<&'static Type>,
    pub result: Type,
    pub run: fn(&[Value]) -> Outcome,
    /// NULL where an argument is NULL.
    pub strict: bool,
}

pub enum Bind {
    Overloads(&'static [Overload]),
    /// With the arguments bound.
    Typed(fn(Vec<Typed>, &Range<usize>) -> Bound),
    /// With the arguments as written: lambdas, named arguments.
    Written(fn(&mut Binder, &Call) -> Bound),
}

pub struct Function {
    pub names: &'static [&'static str],
    /// What it takes, as messages show it.
    pub takes: &'static str,
    pub bind: Bind,
}

/// A call as written.
pub struct Call<'a> {
    pub name: &'a str,
    pub name_span: Range<usize>,
    pub args: &'a [(Option<String>, Ast)],
    pub span: Range<usize>,
}

/// A function with overloads.
pub const fn plain(names: &'static [&'static str], takes: &'static str, overloads: &'static [Overload]) -> Function {
    Function { names, takes, bind: Bind::Overloads(overloads) }
}

pub const fn typed(names: &'static [&'static str], takes: &'static str, bind: fn(Vec<Typed>, &Range<usize>) -> Bound) -> Function {
    Function { names, takes, bind: Bind::Typed(bind) }
}

pub const fn written(names: &'static [&'static str], takes: &'static str, bind: fn(&mut Binder, &Call) -> Bound) -> Function {
    Function { names, takes, bind: Bind::Written(bind) }
}

const TABLES: &[&[Function]] = &[
    conditional::TABLE,
    text::TABLE,
    grapheme::TABLE,
    pattern::TABLE,
    regexp::TABLE,
    similarity::TABLE,
    format::TABLE,
    display::TABLE,
    path::TABLE,
    encoding::TABLE,
    hash::TABLE,
    uuid::TABLE,
    numeric::TABLE,
    math::TABLE,
    bits::TABLE,
    inspect::TABLE,
    temporal::TABLE,
    spans::TABLE,
    zones::TABLE,
    list::TABLE,
    list_aggregates::TABLE,
    list_order::TABLE,
    list_vector::TABLE,
    lambda::TABLE,
    map::TABLE,
    structs::TABLE,
    json::TABLE,
];

fn find(name: &str) -> Option<&'static Function> {
    TABLES.iter().flat_map(|table| table.iter()).find(|function| function.names.iter().any(|n| n.eq_ignore_ascii_case(name)))
}

/// Functions of many rows, whose absence has its own explanation.
const AGGREGATES: &[&str] = &[
    "sum",
    "avg",
    "count",
    "min",
    "max",
    "string_agg",
    "group_concat",
    "array_agg",
    "first",
    "last",
    "any_value",
    "arg_max",
    "arg_min",
    "median",
    "mode",
    "stddev",
    "variance",
    "quantile",
    "row_number",
    "rank",
    "lag",
    "lead",
    "bool_and",
    "bool_or",
    "max_by",
    "min_by",
    "sumx",
    "histogram",
    "product",
];

/// Functions and words that look at a clock, at chance or at the session.
const CLOCKS: &[&str] = &[
    "now",
    "current_date",
    "current_time",
    "current_timestamp",
    "get_current_timestamp",
    "get_current_time",
    "today",
    "transaction_timestamp",
    "localtime",
    "localtimestamp",
    "current_localtime",
    "current_localtimestamp",
    "random",
    "uuid",
    "gen_random_uuid",
    "uuidv4",
    "uuidv7",
    "setseed",
    "nextval",
    "currval",
    "age_now",
    "current_user",
    "user",
    "session_user",
    "current_setting",
    "getenv",
    "txid_current",
];

/// What functions of other databases, and those of DuckDB for other types, are called here.
const CALLED_HERE: &[(&str, &str)] = &[
    ("array_cosine_distance", "list_cosine_distance"),
    ("array_cosine_similarity", "list_cosine_similarity"),
    ("array_distance", "list_distance"),
    ("array_inner_product", "list_inner_product"),
    ("array_value", "list_value"),
    ("charindex", "instr(text, part)"),
    ("date_format", "strftime(time, format)"),
    ("dateadd", "time + INTERVAL 1 DAY"),
    ("iif", "if(condition, a, b)"),
    ("json_query", "json_extract"),
    ("listagg", "list_string_agg"),
    ("locate", "instr(text, part)"),
    ("nvl", "coalesce"),
    ("size", "len"),
    ("str_to_date", "strptime(text, format)"),
    ("to_char", "strftime(time, format)"),
    ("to_date", "strptime(text, format)::DATE"),
    ("to_number", "text::DECIMAL(18,2)"),
];

pub fn is_clock(name: &str) -> bool {
    CLOCKS.contains(&name)
}

pub fn clock_error(name: &str, span: &Range<usize>) -> CompileError {
    let help = match name {
        "random" | "uuid" | "gen_random_uuid" | "uuidv4" | "uuidv7" | "setseed" => {
            "the fold knows no chance: a rebuild must give the same rows; use event.id or a hash of the event"
        }
        "nextval" | "currval" | "current_user" | "user" | "session_user" | "current_setting" | "getenv" | "txid_current" => {
            "the fold knows no session: an expression sees one event and one row"
        }
        _ => "the fold knows no clock: a rebuild must give the same rows; use event.time",
    };
    error_with_help(format!("`{name}` cannot stand in an expression"), help, span)
}

/// The nearest of `names`, if one is near enough to be meant.
pub fn nearest<'a>(name: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let name = name.to_lowercase();
    names
        .map(|candidate| (strsim::damerau_levenshtein(&name, &candidate.to_lowercase()), candidate))
        .filter(|(distance, candidate)| *distance <= 1 + candidate.len().min(name.len()) / 4)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// Binds a call.
pub fn call(binder: &mut Binder, call: &Call) -> Bound {
    let lower = call.name.to_ascii_lowercase();
    let Some(function) = find(&lower) else { return Err(unknown(&lower, &call.name_span)) };
    if let Bind::Written(bind) = function.bind {
        return bind(binder, call).map_err(|e| with_usage(e, function));
    }
    if let Some((Some(name), ast)) = call.args.iter().find(|(name, _)| name.is_some()) {
        return Err(error(format!("`{}` takes no argument named `{name}`", call.name), &ast.span));
    }
    let args = binder.bind_all(call.args)?;
    bind(function, &lower, args, &call.span)
}

/// Binds a call of a function that exists, by its name.
pub fn call_bound(name: &str, args: Vec<Typed>, span: &Range<usize>) -> Bound {
    match find(name) {
        Some(function) => bind(function, name, args, span),
        None => Err(unknown(name, span)),
    }
}

fn with_usage(mut e: CompileError, function: &Function) -> CompileError {
    e.help.get_or_insert_with(|| format!("it is {}", function.takes));
    e
}

fn bind(function: &Function, name: &str, args: Vec<Typed>, span: &Range<usize>) -> Bound {
    match &function.bind {
        Bind::Typed(bind) => bind(args, span).map_err(|e| with_usage(e, function)),
        Bind::Written(_) => Err(error(format!("`{name}` cannot be called so"), span)),
        Bind::Overloads(overloads) => {
            let sources: Vec<_> = args.iter().map(Typed::source).collect();
            match coerce::choose(&sources, overloads.iter().map(|o| (o.params, o.rest))) {
                Choice::One(i) => {
                    let overload = &overloads[i];
                    let mut nodes = Vec::with_capacity(args.len());
                    // An argument without a type makes it NULL, whatever the others are.
                    if overload.strict && args.iter().any(|arg| arg.ty == Type::Null) {
                        nodes.push(Node::Const(Value::Null));
                    }
                    for (k, arg) in args.into_iter().enumerate() {
                        let to = overload.params.get(k).or(overload.rest).cloned().unwrap_or(Type::Varchar);
                        nodes.push(arg.cast(&to).node);
                    }
                    let node = Node::Call { run: Run::Plain(overload.run), args: nodes, strict: overload.strict };
                    Ok(Typed::new(node, overload.result.clone(), span.clone()))
                }
                choice => {
                    let given = args.iter().map(Typed::shown).collect::<Vec<_>>().join(", ");
                    let message = match choice {
                        Choice::Several => format!("several meanings of `{name}` fit ({given}); cast the arguments"),
                        _ => format!("`{name}` does not take ({given})"),
                    };
                    Err(error_with_help(message, format!("it is {}", function.takes), span))
                }
            }
        }
    }
}

fn unknown(name: &str, span: &Range<usize>) -> CompileError {
    if is_clock(name) {
        return clock_error(name, span);
    }
    if AGGREGATES.contains(&name) {
        return error_with_help(
            format!("`{name}` works over many rows and cannot stand inside an expression"),
            "the fold sees one event and one row: fold with `set`, aggregate in a read model, or use the list function",
            span,
        );
    }
    let names = TABLES.iter().flat_map(|table| table.iter()).flat_map(|function| function.names.iter().copied());
    let here = CALLED_HERE.iter().find(|(other, _)| *other == name).map(|(_, here)| *here);
    let help = match here.or_else(|| nearest(name, names)) {
        Some(near) => Some(format!("did you mean `{near}`?")),
        None => Some("docs/language.md lists the functions that exist".into()),
    };
    CompileError { message: format!("no function `{name}`"), help, span: span.clone() }
}

/// Checks how many arguments there are.
pub fn want_args(args: &[Typed], count: std::ops::RangeInclusive<usize>, span: &Range<usize>) -> Result<(), CompileError> {
    if count.contains(&args.len()) {
        return Ok(());
    }
    let (least, most) = (*count.start(), *count.end());
    let wanted = if least == most {
        format!("{least} argument{}", if least == 1 { "" } else { "s" })
    } else if most == usize::MAX {
        format!("at least {least} argument{}", if least == 1 { "" } else { "s" })
    } else {
        format!("{least} to {most} arguments")
    };
    Err(error(format!("this takes {wanted}, not {}", args.len()), span))
}

/// A strict call with what is known now.
pub fn strict(args: Vec<Typed>, ty: Type, span: &Range<usize>, run: impl Fn(&[Value]) -> Outcome + Send + Sync + 'static) -> Typed {
    let args = args.into_iter().map(|arg| arg.node).collect();
    Typed::new(Node::Call { run: Run::bound(run), args, strict: true }, ty, span.clone())
}

/// A call that sees NULL arguments.
pub fn lenient(args: Vec<Typed>, ty: Type, span: &Range<usize>, run: impl Fn(&[Value]) -> Outcome + Send + Sync + 'static) -> Typed {
    let args = args.into_iter().map(|arg| arg.node).collect();
    Typed::new(Node::Call { run: Run::bound(run), args, strict: false }, ty, span.clone())
}

/// The next argument of a binder that has checked their number.
pub fn take(args: &mut std::vec::IntoIter<Typed>, span: &Range<usize>) -> Bound {
    args.next().ok_or_else(|| error("an argument is missing", span))
}

/// NULL of a type.
pub fn null(ty: Type, span: &Range<usize>) -> Typed {
    Typed::new(Node::Const(Value::Null), ty, span.clone())
}

/// All names, for documents and tests.
pub fn names() -> Vec<&'static str> {
    TABLES.iter().flat_map(|table| table.iter()).flat_map(|function| function.names.iter().copied()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_functions_of_other_databases_are_called_here_exists() {
        for (other, here) in CALLED_HERE {
            assert!(find(other).is_none(), "{other}");
            let name = here.split(['(', ' ', ':']).next().unwrap_or_default();
            assert!(find(name).is_some() || ["text", "time"].contains(&name), "{here}");
        }
    }
}
