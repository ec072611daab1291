//! Tokens -> tree: DuckDB's grammar of scalar expressions, with its precedences.
//!
//! The grammar is written out here rather than taken from a general SQL parser, because three things must be
//! exact: the bytes of every node (for the caret under an error), DuckDB's precedences (`->` binds weaker than
//! `=` there), and a bound on nesting that holds before any recursion.

mod primary;
mod types;

use std::ops::Range;

use super::ast::{Ast, Ident, Kind};
use super::lex::{Spanned, Token, error, tokens};
use super::{CompileError, Type};

/// Deeper nesting is refused: evaluation recurses.
pub const DEPTH_MAX: usize = 128;
/// Longer texts are refused: long chains of operators nest, too.
const TEXT_BYTES_MAX: usize = 1 << 20;

type Parsed<T> = Result<T, CompileError>;

pub struct Parser {
    tokens: Vec<Spanned>,
    at: usize,
    depth: usize,
}

/// Binding powers, weakest first (the order of DuckDB's grammar).
mod power {
    pub const ARROW: u8 = 1;
    pub const OR: u8 = 2;
    pub const AND: u8 = 3;
    pub const NOT: u8 = 4;
    pub const IS: u8 = 5;
    pub const COMPARE: u8 = 6;
    pub const LIKE: u8 = 7;
    pub const OPERATOR: u8 = 8;
    pub const ADD: u8 = 9;
    pub const MULTIPLY: u8 = 10;
    pub const POWER: u8 = 11;
    pub const MINUS: u8 = 12;
}

/// Words that end an expression or continue one; they are no names unless quoted.
const RESERVED: &[&str] = &[
    "and",
    "or",
    "not",
    "is",
    "in",
    "like",
    "ilike",
    "between",
    "case",
    "when",
    "then",
    "else",
    "end",
    "from",
    "select",
    "where",
    "group",
    "having",
    "order",
    "limit",
    "union",
    "intersect",
    "except",
    "as",
    "on",
    "using",
    "default",
    "null",
    "true",
    "false",
    "distinct",
    "all",
    "any",
    "some",
    "cast",
    "lambda",
    "collate",
    "unique",
    "with",
    "fetch",
    "offset",
    "into",
    "both",
    "leading",
    "trailing",
    "similar",
    "isnull",
    "notnull",
    "glob",
];

/// The operators of other languages that mean something else in SQL, and SQL's words for them.
fn word_for(token: &Token) -> Option<(&'static str, &'static str)> {
    match token {
        Token::Sign("&&") => Some(("&&", "AND")),
        Token::Sign("||") => Some(("||", "OR")),
        _ => None,
    }
}

impl Parser {
    pub fn new(text: &str) -> Parsed<Parser> {
        if text.len() > TEXT_BYTES_MAX {
            return Err(error("this expression is too long", 0..text.len().min(1)));
        }
        Ok(Parser { tokens: tokens(text)?, at: 0, depth: 0 })
    }

    /// The whole text as one expression.
    pub fn whole(text: &str) -> Parsed<Ast> {
        let mut parser = Parser::new(text)?;
        if parser.peek() == &Token::End {
            return Err(error("an expression is missing", 0..text.len()));
        }
        let ast = parser.expression()?;
        parser.end()?;
        Ok(ast)
    }

    pub fn end(&self) -> Parsed<()> {
        match self.peek() {
            Token::End => Ok(()),
            Token::Sign(";") => Err(error("one expression is wanted here, not a statement", self.span())),
            token => {
                let before = self.at.checked_sub(1).map(|last| &self.tokens[last].token);
                let choice = *token == Token::Sign("?") || matches!(before, Some(Token::Word(word)) if word.eq_ignore_ascii_case("if"));
                Err(CompileError {
                    message: format!("the expression ends before {}", describe(token)),
                    help: match token {
                        _ if choice => Some("a choice is written `CASE WHEN a > 1 THEN b ELSE c END`".into()),
                        Token::Sign(".") => {
                            Some("what a function behind a point is called on stands in parentheses: `('a').upper()`".into())
                        }
                        _ => None,
                    },
                    span: self.span(),
                })
            }
        }
    }

    pub fn expression(&mut self) -> Parsed<Ast> {
        self.binary(0)
    }

    fn peek(&self) -> &Token {
        &self.tokens[self.at.min(self.tokens.len() - 1)].token
    }

    fn peek_at(&self, ahead: usize) -> &Token {
        &self.tokens[(self.at + ahead).min(self.tokens.len() - 1)].token
    }

    pub fn span(&self) -> Range<usize> {
        self.tokens[self.at.min(self.tokens.len() - 1)].span.clone()
    }

    fn last_end(&self) -> usize {
        if self.at == 0 { 0 } else { self.tokens[self.at - 1].span.end }
    }

    fn advance(&mut self) {
        self.at = (self.at + 1).min(self.tokens.len() - 1);
    }

    fn sign(&self, sign: &str) -> bool {
        matches!(self.peek(), Token::Sign(s) if *s == sign)
    }

    fn take_sign(&mut self, sign: &str) -> bool {
        let found = self.sign(sign);
        if found {
            self.advance();
        }
        found
    }

    fn want_sign(&mut self, sign: &str) -> Parsed<()> {
        if self.take_sign(sign) {
            return Ok(());
        }
        let lambda = matches!((self.peek(), self.peek_at(1)), (Token::Word(_), Token::Sign(":" | ",")));
        Err(CompileError {
            message: format!("`{sign}` is missing before {}", describe(self.peek())),
            help: lambda.then(|| "if a lambda is meant, it is written `lambda x: x + 1`".into()),
            span: self.span(),
        })
    }

    fn word_at(&self, ahead: usize, word: &str) -> bool {
        matches!(self.peek_at(ahead), Token::Word(w) if w.eq_ignore_ascii_case(word))
    }

    pub fn take_word(&mut self, word: &str) -> bool {
        let found = self.word_at(0, word);
        if found {
            self.advance();
        }
        found
    }

    fn want_word(&mut self, word: &str) -> Parsed<()> {
        if self.take_word(word) {
            return Ok(());
        }
        Err(error(format!("{} is missing before {}", word.to_uppercase(), describe(self.peek())), self.span()))
    }

    fn node(&self, kind: Kind, from: usize, depth: usize) -> Parsed<Ast> {
        let span = from..self.last_end().max(from);
        if depth > DEPTH_MAX {
            return Err(error(format!("this expression nests deeper than {DEPTH_MAX} levels"), span));
        }
        Ok(Ast { kind, span, depth })
    }

    fn unary_node(&self, from: usize, of: Ast, make: impl FnOnce(Box<Ast>) -> Kind) -> Parsed<Ast> {
        let depth = of.depth + 1;
        self.node(make(Box::new(of)), from, depth)
    }

    fn binary_node(&self, left: Ast, right: Ast, make: impl FnOnce(Box<Ast>, Box<Ast>) -> Kind) -> Parsed<Ast> {
        let (from, depth) = (left.span.start, left.depth.max(right.depth) + 1);
        self.node(make(Box::new(left), Box::new(right)), from, depth)
    }

    /// Parses an expression whose operators all bind at least as strongly as `least`.
    fn binary(&mut self, least: u8) -> Parsed<Ast> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(error(format!("this expression nests deeper than {DEPTH_MAX} levels"), self.span()));
        }
        let mut left = self.prefix()?;
        while let Some((power, nonassociative)) = self.infix_power() {
            if power < least {
                break;
            }
            let from = self.at;
            left = self.infix(left, power)?;
            if nonassociative && self.infix_power().is_some_and(|(next, _)| next == power) && power == power::COMPARE {
                return Err(CompileError {
                    message: "comparisons do not chain".into(),
                    help: Some(match self.tokens[from..self.at].iter().find_map(|token| word_for(&token.token)) {
                        Some((sign, word)) => {
                            format!("`{sign}` binds stronger than a comparison; `and` and `or` are words in SQL: write {word}")
                        }
                        None => "write `a < b AND b < c`".into(),
                    }),
                    span: self.span(),
                });
            }
        }
        self.depth -= 1;
        Ok(left)
    }

    fn prefix(&mut self) -> Parsed<Ast> {
        let from = self.span().start;
        if self.take_word("not") {
            let of = self.binary(power::NOT)?;
            return self.unary_node(from, of, |of| Kind::Unary("not", of));
        }
        for sign in ["-", "+"] {
            if self.take_sign(sign) {
                let of = self.binary(power::MINUS)?;
                return self.unary_node(from, of, |of| Kind::Unary(if sign == "-" { "-" } else { "+" }, of));
            }
        }
        for sign in ["~", "@"] {
            if self.take_sign(sign) {
                let of = self.binary(power::OPERATOR + 1)?;
                return self.unary_node(from, of, |of| Kind::Unary(if sign == "~" { "~" } else { "@" }, of));
            }
        }
        let primary = self.primary()?;
        self.postfix(primary)
    }

    /// The power of the operator that comes next, and whether it refuses to chain.
    fn infix_power(&self) -> Option<(u8, bool)> {
        Some(match self.peek() {
            Token::Sign(sign) => match *sign {
                "->" => (power::ARROW, false),
                "=" | "==" | "<" | ">" | "<=" | ">=" | "<>" | "!=" => (power::COMPARE, true),
                "||" | "->>" | "^@" | "~~" | "~~~" | "!~~" | "~~*" | "!~~*" | "~" | "!~" | "~*" | "!~*" | "<<" | ">>" | "&" | "|"
                | "&&" | "@>" | "<@" | "!" => (power::OPERATOR, false),
                "+" | "-" => (power::ADD, false),
                "*" | "/" | "//" | "%" => (power::MULTIPLY, false),
                "^" | "**" => (power::POWER, false),
                _ => return None,
            },
            Token::Word(word) => match word.to_ascii_lowercase().as_str() {
                "or" => (power::OR, false),
                "and" => (power::AND, false),
                "is" | "isnull" | "notnull" => (power::IS, false),
                "between" | "in" | "like" | "ilike" | "glob" | "similar" => (power::LIKE, true),
                "not" if ["between", "in", "like", "ilike", "similar"].iter().any(|w| self.word_at(1, w)) => (power::LIKE, true),
                "at" if self.word_at(1, "time") => (power::MINUS, false),
                "collate" => (power::MINUS, false),
                _ => return None,
            },
            _ => return None,
        })
    }

    fn infix(&mut self, left: Ast, power: u8) -> Parsed<Ast> {
        let from = left.span.start;
        let token = self.peek().clone();
        let span = self.span();
        self.advance();
        if let Token::Sign(sign) = token {
            if sign == "!" {
                return self.unary_node(from, left, |of| Kind::Unary("!", of));
            }
            let sign = match sign {
                "==" => "=",
                "!=" => "<>",
                "**" => "^",
                other => other,
            };
            let right = self.binary(power + 1)?;
            let like = |left: Ast, right: Ast, not: bool, fold_case: bool| {
                self.binary_node(left, right, |of, pattern| Kind::Like { of, pattern, escape: None, not, fold_case })
            };
            return match sign {
                "~~" => like(left, right, false, false),
                "!~~" => like(left, right, true, false),
                "~~*" => like(left, right, false, true),
                "!~~*" => like(left, right, true, true),
                _ => self.binary_node(left, right, |l, r| Kind::Binary(sign, l, r)),
            };
        }
        let Token::Word(word) = token else { return Err(error("an operator is missing", span)) };
        match word.to_ascii_lowercase().as_str() {
            "or" => {
                let right = self.binary(power + 1)?;
                self.binary_node(left, right, |l, r| Kind::Binary("or", l, r))
            }
            "and" => {
                let right = self.binary(power + 1)?;
                self.binary_node(left, right, |l, r| Kind::Binary("and", l, r))
            }
            "isnull" => self.unary_node(from, left, |of| Kind::IsNull(of, false)),
            "notnull" => self.unary_node(from, left, |of| Kind::IsNull(of, true)),
            "is" => self.is(left),
            "at" => {
                self.want_word("time")?;
                self.want_word("zone")?;
                let zone = self.binary(power + 1)?;
                self.binary_node(left, zone, |l, r| Kind::Binary("at time zone", l, r))
            }
            "collate" => Err(error("collations are not part of the expression language", span)),
            "not" => {
                let word = self.peek().clone();
                self.advance();
                match word {
                    Token::Word(word) => self.like(left, &word.to_ascii_lowercase(), true, span),
                    token => Err(error(format!("NOT cannot stand before {} here", describe(&token)), span)),
                }
            }
            word => self.like(left, word, false, span),
        }
    }

    fn is(&mut self, left: Ast) -> Parsed<Ast> {
        let from = left.span.start;
        let not = self.take_word("not");
        if self.take_word("null") {
            return self.unary_node(from, left, |of| Kind::IsNull(of, not));
        }
        for (word, is) in [("true", true), ("false", false)] {
            if self.take_word(word) {
                return self.unary_node(from, left, |of| Kind::IsBool { of, is, not });
            }
        }
        if self.take_word("unknown") {
            return self.unary_node(from, left, |of| Kind::IsNull(of, not));
        }
        if self.take_word("distinct") {
            self.want_word("from")?;
            let right = self.binary(power::IS + 1)?;
            return self.binary_node(left, right, |left, right| Kind::Distinct { left, right, not });
        }
        Err(error(format!("IS wants NULL, TRUE, FALSE or DISTINCT FROM, not {}", describe(self.peek())), self.span()))
    }

    /// BETWEEN, IN, LIKE, ILIKE; the word is read already.
    fn like(&mut self, left: Ast, word: &str, not: bool, span: Range<usize>) -> Parsed<Ast> {
        let from = left.span.start;
        match word {
            "between" => {
                let low = self.binary(power::OPERATOR)?;
                self.want_word("and")?;
                let high = self.binary(power::LIKE + 1)?;
                let depth = left.depth.max(low.depth).max(high.depth) + 1;
                self.node(Kind::Between { of: Box::new(left), low: Box::new(low), high: Box::new(high), not }, from, depth)
            }
            "in" => {
                if !self.sign("(") {
                    let list = self.binary(power::OPERATOR)?;
                    let depth = left.depth.max(list.depth) + 2;
                    let span = from..list.span.end;
                    let args = vec![(None, list), (None, left)];
                    let call =
                        self.node(Kind::Call { name: "contains".into(), name_span: span, args, aggregate_syntax: false }, from, depth)?;
                    return if not { self.unary_node(from, call, |of| Kind::Unary("not", of)) } else { Ok(call) };
                }
                self.advance();
                self.refuse_query()?;
                let among = self.comma_list(")")?;
                if among.is_empty() {
                    return Err(error("IN wants at least one value", span));
                }
                let depth = among.iter().map(|a| a.depth).max().unwrap_or(0).max(left.depth) + 1;
                self.node(Kind::In { of: Box::new(left), among, not }, from, depth)
            }
            "like" | "ilike" => {
                let pattern = self.binary(power::OPERATOR)?;
                let escape = if self.take_word("escape") { Some(Box::new(self.binary(power::OPERATOR)?)) } else { None };
                let depth = left.depth.max(pattern.depth) + 1;
                let kind = Kind::Like {
                    of: Box::new(left),
                    pattern: Box::new(pattern),
                    escape,
                    not,
                    fold_case: word.eq_ignore_ascii_case("ilike"),
                };
                self.node(kind, from, depth)
            }
            "glob" => {
                let pattern = self.binary(power::OPERATOR)?;
                self.binary_node(left, pattern, |l, r| Kind::Binary("~~~", l, r))
            }
            "similar" => {
                self.want_word("to")?;
                let pattern = self.binary(power::OPERATOR)?;
                self.binary_node(left, pattern, |l, r| Kind::Binary(if not { "!~" } else { "~" }, l, r))
            }
            other => Err(error(format!("{} cannot stand here", other.to_uppercase()), span)),
        }
    }

    /// `x.field`, `x.f(…)`, `x[i]`, `x[a:b]`, `x::type`, as often as they follow.
    fn postfix(&mut self, mut of: Ast) -> Parsed<Ast> {
        // In DuckDB's grammar a point can follow neither a bare literal nor a cast.
        let mut closed = matches!(of.kind, Kind::Text(_) | Kind::Number(_)) && of.depth == 1;
        loop {
            let from = of.span.start;
            if self.take_sign("::") {
                let to = self.data_type()?;
                of = self.unary_node(from, of, |of| Kind::Cast { of, to, or_null: false })?;
                closed = true;
            } else if !closed && self.take_sign(".") {
                let name_from = self.span().start;
                let name = self.name("a field's name")?.name;
                of = if self.sign("(") {
                    let name_span = name_from..self.last_end();
                    self.call(name, name_span, Some(of))?
                } else {
                    self.unary_node(from, of, |of| Kind::Field(of, name))?
                };
            } else if self.take_sign("[") {
                of = self.subscript(of)?;
            } else {
                return Ok(of);
            }
        }
    }

    fn subscript(&mut self, of: Ast) -> Parsed<Ast> {
        let from = of.span.start;
        let low = if self.sign(":") { None } else { Some(self.expression()?) };
        if !self.take_sign(":") {
            self.want_sign("]")?;
            let index = low.ok_or_else(|| error("an index is missing", self.span()))?;
            return self.binary_node(of, index, Kind::Index);
        }
        // `-` stands for a bound left out, where a step follows.
        let high = if self.sign("]") {
            None
        } else if self.sign("-") && matches!(self.peek_at(1), Token::Sign(":")) {
            self.advance();
            None
        } else {
            Some(self.expression()?)
        };
        let step = if self.take_sign(":") { Some(self.expression()?) } else { None };
        self.want_sign("]")?;
        let depth = [&low, &high, &step].into_iter().flatten().map(|a| a.depth).max().unwrap_or(0).max(of.depth) + 1;
        let [low, high, step] = [low, high, step].map(|bound| bound.map(Box::new));
        self.node(Kind::Slice { of: Box::new(of), from: low, to: high, step }, from, depth)
    }

    fn refuse_query(&self) -> Parsed<()> {
        if self.word_at(0, "select") || self.word_at(0, "with") || self.word_at(0, "from") {
            return Err(CompileError {
                message: "a query cannot stand inside an expression".into(),
                help: Some("the fold sees one event and one row; join and aggregate in a read model".into()),
                span: self.span(),
            });
        }
        Ok(())
    }

    /// Expressions up to `close`, which is read; a trailing comma is allowed.
    fn comma_list(&mut self, close: &str) -> Parsed<Vec<Ast>> {
        let mut out = Vec::new();
        while !self.take_sign(close) {
            out.push(self.expression()?);
            if !self.take_sign(",") {
                self.want_sign(close)?;
                break;
            }
        }
        Ok(out)
    }

    pub fn name(&mut self, what: &str) -> Parsed<Ident> {
        let ident = match self.peek() {
            Token::Word(word) => Ident { name: word.clone(), quoted: false },
            Token::Quoted(name) => Ident { name: name.clone(), quoted: true },
            token => return Err(error(format!("{what} is missing before {}", describe(token)), self.span())),
        };
        self.advance();
        Ok(ident)
    }
}

fn describe(token: &Token) -> String {
    match token {
        Token::Word(word) => format!("`{word}`"),
        Token::Quoted(name) => format!("`\"{name}\"`"),
        Token::Number(number) => format!("`{number}`"),
        Token::Text(text) => format!("`'{text}'`"),
        Token::Sign(sign) => format!("`{sign}`"),
        Token::End => "the end".into(),
    }
}
