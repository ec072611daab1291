//! The expression language: DuckDB's scalar SQL, parsed and typed once, evaluated often.
//!
//! This module knows nothing of events, state or files. Names are resolved by a [`Scope`] to numbered
//! [`Slot`]s when an expression is compiled; values come from an [`Env`] when it is evaluated.

pub mod algebra;
mod arith;
mod ast;
mod bind;
mod cast;
mod coerce;
pub mod column;
mod compare;
mod datetime;
mod eval;
pub mod functions;
mod interval_text;
mod json;
mod keywords;
mod lex;
mod nested_text;
mod parse;
pub mod scalar;
mod simplify;
mod text_format;
mod text_number;
mod time_format;
mod time_parse;
mod time_parts;
pub mod types;
pub mod value;
pub mod vector;

use std::ops::Range;

use bind::Binder;
pub use eval::UpdateArgs;
use eval::{NoEnv, Node};
use parse::Parser;

pub use column::Column;
pub use datetime::{civil_of, is_finite, parse_rfc3339};
pub(crate) use keywords::is_keyword;
pub use types::{Type, quote_identifier};
pub use value::{Interval, MapEntries, MapKey, Value};

/// A variable of an expression, numbered by the scope that resolved it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Slot(pub u32);

/// What a name means: the slot, its type, and how many parts of the dotted path it used up
/// (what is left is struct field access).
#[derive(Debug, Clone)]
pub struct Resolved {
    pub slot: Slot,
    pub ty: Type,
    pub parts_used: usize,
}

/// Resolves names while an expression is compiled.
pub trait Scope {
    /// `path`: the dotted name as written (`data.customer.name` is three parts), quotes removed.
    /// `cast`: the name stands directly under a cast (`data.x::INTEGER`), which makes undeclared payload
    /// fields allowed (as text). An error carries message and help; the span is filled in by the compiler.
    fn resolve(&mut self, path: &[String], cast: bool) -> Result<Resolved, NameError>;
}

/// Why a name means nothing here, and what to write instead.
#[derive(Debug, Clone)]
pub struct NameError {
    pub message: String,
    pub help: Option<String>,
}

/// An expression that cannot be compiled. `span` is in bytes of the expression's text.
#[derive(Debug, Clone)]
pub struct CompileError {
    pub message: String,
    pub help: Option<String>,
    pub span: Range<usize>,
}

/// An expression that failed on these values (overflow, a cast); the message is DuckDB's in spirit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EvalError(pub String);

/// Gives the values of slots while an expression is evaluated.
pub trait Env {
    fn get(&self, slot: Slot) -> Value;

    /// The value where it lies, if it lies there as a [`Value`]: a look that copies nothing.
    fn peek(&self, _slot: Slot) -> Option<&Value> {
        None
    }
}

/// A compiled expression: typed, names resolved, constants folded.
#[derive(Debug, Clone)]
pub struct Expr {
    pub ty: Type,
    root: Node,
    /// See [`Expr::as_cast_text`].
    cast_of: Option<Slot>,
}

/// Compiles `text`. With `wanted` the result is converted as SQL INSERT converts it (an assignment cast:
/// range and scale checked, never a silent truncation), and `Expr::ty` is `wanted`.
pub fn compile(text: &str, scope: &mut dyn Scope, wanted: Option<&Type>) -> Result<Expr, CompileError> {
    let ast = Parser::whole(text)?;
    compile_ast(&ast, scope, wanted)
}

fn compile_ast(ast: &ast::Ast, scope: &mut dyn Scope, wanted: Option<&Type>) -> Result<Expr, CompileError> {
    let mut typed = Binder::new(scope).bind(ast)?;
    if let Some(wanted) = wanted {
        typed = bind::assign(typed, wanted)?;
    }
    let cast_of = match &typed.node {
        Node::Cast(node) if node.from == Type::Varchar && node.to == typed.ty && !node.or_null => match node.of {
            Node::Slot(slot) => Some(slot),
            _ => None,
        },
        _ => None,
    };
    Ok(Expr { ty: typed.ty, root: typed.node, cast_of })
}

/// A column's definition: `DECIMAL(10,2) NOT NULL`, `VARCHAR DEFAULT 'new'`, `BIGINT KEY`.
#[derive(Debug, Clone)]
pub struct ColumnDef {
    pub ty: Type,
    pub not_null: bool,
    pub key: bool,
    /// Evaluated and converted to `ty`.
    pub default: Option<Value>,
}

/// A default sees no names.
struct NoNames;

impl Scope for NoNames {
    fn resolve(&mut self, path: &[String], _: bool) -> Result<Resolved, NameError> {
        let name = path.join(".");
        let help = format!("a default is a constant; text stands in single quotes: `'{name}'`");
        Err(NameError { message: format!("a default cannot read `{name}`"), help: Some(help) })
    }
}

/// Parses a column's definition; spans are in bytes of `text`.
pub fn parse_column(text: &str) -> Result<ColumnDef, CompileError> {
    let mut parser = Parser::new(text)?;
    let ty = parser.data_type()?;
    let mut column = ColumnDef { ty, not_null: false, key: false, default: None };
    loop {
        if parser.take_word("not") {
            let span = parser.span();
            if !parser.take_word("null") {
                return Err(bind::error("NOT wants NULL here", &span));
            }
            column.not_null = true;
        } else if parser.take_word("null") {
            column.not_null = false;
        } else if parser.take_word("key") {
            column.key = true;
        } else if parser.take_word("default") {
            let ast = parser.expression()?;
            let span = ast.span.clone();
            let expr = compile_ast(&ast, &mut NoNames, Some(&column.ty))?;
            match expr.eval(&NoEnv) {
                Ok(value) => column.default = Some(value),
                Err(EvalError(message)) => return Err(bind::error(message, &span)),
            }
        } else {
            break;
        }
    }
    parser.end().map_err(|mut e| {
        e.message = e.message.replace("the expression ends", "the column's definition ends");
        e.help.get_or_insert_with(|| "a column is `TYPE [NOT NULL] [DEFAULT value] [KEY]`".into());
        e
    })?;
    Ok(column)
}

/// Casts text to a type as DuckDB's `CAST(text AS type)` does; text with an offset becomes UTC.
pub fn cast_text(text: &str, to: &Type) -> Result<Value, EvalError> {
    cast::from_text(text, to)
}

/// The text of a value of type `ty`, as DuckDB's `CAST(value AS VARCHAR)` gives it; NULL is `None`.
pub fn to_text(value: &Value, ty: &Type) -> Option<String> {
    if value.is_null() { None } else { Some(text_format::text_of(value, ty)) }
}

/// A value as JSON text: numbers and booleans bare, text and what is written as text in quotes, nested values as
/// arrays and objects, NULL as null, JSON as it stands.
pub fn to_json(value: &Value, ty: &Type) -> String {
    json::to_json(value, ty)
}

impl Expr {
    /// Evaluates the expression; no side effects, no clock, no randomness.
    pub fn eval<E: Env>(&self, env: &E) -> Result<Value, EvalError> {
        self.root.eval(env, &mut Vec::new())
    }

    /// The slot, where the expression is a bare variable of the wanted type (no conversion).
    pub fn as_slot(&self) -> Option<Slot> {
        if let Node::Slot(slot) = self.root { Some(slot) } else { None }
    }

    /// The slot, where the expression is a text variable that is only cast: [`cast_text`] does the same.
    #[inline]
    pub fn as_cast_text(&self) -> Option<Slot> {
        self.cast_of
    }

    /// The value, where the expression is the same for every row.
    pub fn as_constant(&self) -> Option<&Value> {
        if let Node::Const(value) = &self.root { Some(value) } else { None }
    }

    /// Every slot that the expression reads, each once.
    pub fn slots(&self) -> Vec<Slot> {
        fn collect(node: &Node, out: &mut Vec<Slot>) {
            if let Node::Slot(slot) = node
                && !out.contains(slot)
            {
                out.push(*slot);
            }
            node.children(&mut |child| collect(child, out));
        }
        let mut out = Vec::new();
        collect(&self.root, &mut out);
        out
    }

    /// True where the expression only adds to the nested value of `slot`: `map_put(slot, …)`,
    /// `map_remove(slot, …)`, `list_append(slot, …)`; then [`Expr::in_place_args`] and [`Expr::in_place_apply`] change it without a copy.
    pub fn is_in_place(&self, slot: Slot) -> bool {
        matches!(&self.root, Node::Update { args, .. } if matches!(args.first(), Some(Node::Slot(s)) if *s == slot))
    }

    /// Evaluates and checks the other arguments of an in-place update; what they fail of, the update fails of.
    pub fn in_place_args<E: Env>(&self, env: &E) -> Result<UpdateArgs, EvalError> {
        let Node::Update { update, args } = &self.root else { return Ok(UpdateArgs::default()) };
        let Some((of, rest)) = args.split_first() else { return Ok(UpdateArgs::default()) };
        let rest = eval::update_args(rest, env, &mut Vec::new())?;
        let is_null = match of {
            Node::Slot(slot) => match env.peek(*slot) {
                Some(value) => value.is_null(),
                None => env.get(*slot).is_null(),
            },
            of => of.eval(env, &mut Vec::new())?.is_null(),
        };
        eval::check_update(*update, is_null, &rest)?;
        Ok(rest)
    }

    /// Applies the update to the value that was moved out of its column. Cannot fail.
    pub fn in_place_apply(&self, current: Value, args: UpdateArgs) -> Value {
        match &self.root {
            Node::Update { update, .. } => eval::apply_update(*update, current, args),
            _ => current,
        }
    }
}

#[cfg(test)]
mod tests;
