//! The tree of an expression as it is written, each node with its bytes.

use std::ops::Range;

use super::Type;

#[derive(Debug, Clone)]
pub struct Ast {
    pub kind: Kind,
    pub span: Range<usize>,
    /// Nodes below this one, the longest way down.
    pub depth: usize,
}

#[derive(Debug, Clone)]
pub struct Ident {
    pub name: String,
    pub quoted: bool,
}

#[derive(Debug, Clone)]
pub enum Kind {
    Null,
    Bool(bool),
    Number(String),
    Text(String),
    Name(Vec<Ident>),
    Field(Box<Ast>, String),
    /// `-`, `+`, `~`, `@`, `not`, `!` (behind its operand)
    Unary(&'static str, Box<Ast>),
    /// Arithmetic, comparison, `||`, `and`, `or`, `->`, `->>`, …
    Binary(&'static str, Box<Ast>, Box<Ast>),
    IsNull(Box<Ast>, bool),
    /// IS [NOT] TRUE / FALSE
    IsBool {
        of: Box<Ast>,
        is: bool,
        not: bool,
    },
    /// IS [NOT] DISTINCT FROM
    Distinct {
        left: Box<Ast>,
        right: Box<Ast>,
        not: bool,
    },
    Between {
        of: Box<Ast>,
        low: Box<Ast>,
        high: Box<Ast>,
        not: bool,
    },
    In {
        of: Box<Ast>,
        among: Vec<Ast>,
        not: bool,
    },
    Like {
        of: Box<Ast>,
        pattern: Box<Ast>,
        escape: Option<Box<Ast>>,
        not: bool,
        fold_case: bool,
    },
    Case {
        of: Option<Box<Ast>>,
        arms: Vec<(Ast, Ast)>,
        otherwise: Option<Box<Ast>>,
    },
    Cast {
        of: Box<Ast>,
        to: Type,
        or_null: bool,
    },
    /// `named`: `a := 1`
    Call {
        name: String,
        name_span: Range<usize>,
        args: Vec<(Option<String>, Ast)>,
        aggregate_syntax: bool,
    },
    List(Vec<Ast>),
    Struct(Vec<(String, Ast)>),
    Map(Vec<(Ast, Ast)>),
    Index(Box<Ast>, Box<Ast>),
    Slice {
        of: Box<Ast>,
        from: Option<Box<Ast>>,
        to: Option<Box<Ast>>,
        step: Option<Box<Ast>>,
    },
    Lambda {
        params: Vec<String>,
        body: Box<Ast>,
    },
    /// INTERVAL <amount> <unit>
    Interval {
        amount: Box<Ast>,
        unit: String,
    },
}
