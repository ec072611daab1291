//! The expression language: DuckDB's scalar SQL, parsed by `sqlparser`, typed once, evaluated often.
//!
//! This module knows nothing of events, state or files. Names are resolved by a [`Scope`] to numbered
//! [`Slot`]s when an expression is compiled; values come from an [`Env`] when it is evaluated.

pub mod column;
pub mod types;
pub mod value;

use std::ops::Range;

pub use column::Column;
pub use types::{Type, quote_identifier};
pub use value::{Interval, MapEntries, Value};

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
}

/// A compiled expression: typed, names resolved, constants folded.
#[derive(Debug, Clone)]
pub struct Expr {
    pub ty: Type,
}

/// Compiles `text`. With `wanted` the result is converted as SQL INSERT converts it (an assignment cast:
/// range and scale checked, never a silent truncation), and `Expr::ty` is `wanted`.
pub fn compile(text: &str, scope: &mut dyn Scope, wanted: Option<&Type>) -> Result<Expr, CompileError> {
    let _ = (scope, wanted);
    Err(CompileError { message: "not built yet".into(), help: None, span: 0..text.len() })
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

/// Parses a column's definition; spans are in bytes of `text`.
pub fn parse_column(text: &str) -> Result<ColumnDef, CompileError> {
    Err(CompileError { message: "not built yet".into(), help: None, span: 0..text.len() })
}

/// Casts text to a type as DuckDB's `CAST(text AS type)` does.
pub fn cast_text(text: &str, to: &Type) -> Result<Value, EvalError> {
    let _ = (text, to);
    Err(EvalError("not built yet".into()))
}

/// The text of a value of type `ty`, as DuckDB's `CAST(value AS VARCHAR)` gives it; NULL is `None`.
pub fn to_text(value: &Value, ty: &Type) -> Option<String> {
    let _ = (value, ty);
    None
}

impl Expr {
    /// Evaluates the expression; no side effects, no clock, no randomness.
    pub fn eval<E: Env>(&self, env: &E) -> Result<Value, EvalError> {
        let _ = env;
        Err(EvalError("not built yet".into()))
    }

    /// The slot, where the expression is a bare variable of the wanted type (no conversion).
    pub fn as_slot(&self) -> Option<Slot> {
        None
    }

    /// Every slot that the expression reads, each once.
    pub fn slots(&self) -> Vec<Slot> {
        Vec::new()
    }

    /// True where the expression only adds to the nested value of `slot`: `map_put(slot, …)`,
    /// `map_remove(slot, …)`, `list_append(slot, …)`; then [`Expr::in_place_args`] and [`in_place_apply`] change it without a copy.
    pub fn is_in_place(&self, slot: Slot) -> bool {
        let _ = slot;
        false
    }

    /// Evaluates and checks the other arguments of an in-place update; what they fail of, the update fails of.
    pub fn in_place_args<E: Env>(&self, env: &E) -> Result<Vec<Value>, EvalError> {
        let _ = env;
        Ok(Vec::new())
    }

    /// Applies the update to the value that was moved out of its column. Cannot fail.
    pub fn in_place_apply(&self, current: Value, args: Vec<Value>) -> Value {
        let _ = args;
        current
    }
}
