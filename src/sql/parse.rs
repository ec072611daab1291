//! Tokens -> tree: DuckDB's grammar of scalar expressions, with its precedences.
//!
//! The grammar is written out here rather than taken from a general SQL parser, because three things must be
//! exact: the bytes of every node (for the caret under an error), DuckDB's precedences (`->` binds weaker than
//! `=` there), and a bound on nesting that holds before any recursion.

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
            token => Err(error(format!("the expression ends before {}", describe(token)), self.span())),
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
        Err(error(format!("`{sign}` is missing before {}", describe(self.peek())), self.span()))
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
            left = self.infix(left, power)?;
            if nonassociative && self.infix_power().is_some_and(|(next, _)| next == power) && power == power::COMPARE {
                return Err(CompileError {
                    message: "comparisons do not chain".into(),
                    help: Some("write `a < b AND b < c`".into()),
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
                let of = self.binary(power::OPERATOR)?;
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
                "||" | "->>" | "^@" | "~~" | "!~~" | "~~*" | "!~~*" | "~" | "!~" | "~*" | "!~*" | "<<" | ">>" | "&" | "|" | "&&" | "@>"
                | "<@" | "!" => (power::OPERATOR, false),
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
            other => Err(CompileError {
                message: format!("{} is not part of the expression language", other.to_uppercase()),
                help: Some("use LIKE or regexp_matches".into()),
                span,
            }),
        }
    }

    /// `x.field`, `x[i]`, `x[a:b]`, `x::type`, as often as they follow.
    fn postfix(&mut self, mut of: Ast) -> Parsed<Ast> {
        loop {
            let from = of.span.start;
            if self.take_sign("::") {
                let to = self.data_type()?;
                of = self.unary_node(from, of, |of| Kind::Cast { of, to, or_null: false })?;
            } else if self.take_sign(".") {
                let name = self.name("a field's name")?.name;
                if self.sign("(") {
                    return Err(error("functions are written `f(x)`, not `x.f()`", self.span()));
                }
                of = self.unary_node(from, of, |of| Kind::Field(of, name))?;
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
        let high = if self.sign("]") || self.sign(":") {
            None
        } else if self.sign("-") && matches!(self.peek_at(1), Token::Sign(":" | "]")) {
            self.advance();
            None
        } else {
            Some(self.expression()?)
        };
        if self.sign(":") {
            return Err(error("slices with a step are not part of the expression language", self.span()));
        }
        self.want_sign("]")?;
        let depth = of.depth.max(low.as_ref().map_or(0, |a| a.depth)).max(high.as_ref().map_or(0, |a| a.depth)) + 1;
        self.node(Kind::Slice { of: Box::new(of), from: low.map(Box::new), to: high.map(Box::new) }, from, depth)
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

    fn primary(&mut self) -> Parsed<Ast> {
        let span = self.span();
        let from = span.start;
        let token = self.peek().clone();
        match token {
            Token::Number(number) => {
                self.advance();
                self.node(Kind::Number(number), from, 1)
            }
            Token::Text(text) => {
                self.advance();
                self.node(Kind::Text(text), from, 1)
            }
            Token::Quoted(_) => self.dotted(),
            Token::Sign("(") => {
                self.advance();
                self.refuse_query()?;
                let inner = self.expression()?;
                if self.sign(",") {
                    return Err(CompileError {
                        message: "rows are not part of the expression language".into(),
                        help: Some("write a struct: `{'a': 1, 'b': 2}`".into()),
                        span: self.span(),
                    });
                }
                self.want_sign(")")?;
                // Parentheses count as nesting, and keep `(x).y` and `-(1)` apart from `x.y` and `-1`.
                let depth = inner.depth + 1;
                self.node(inner.kind, from, depth)
            }
            Token::Sign("[") => {
                self.advance();
                let items = self.comma_list("]")?;
                let depth = items.iter().map(|a| a.depth).max().unwrap_or(0) + 1;
                self.node(Kind::List(items), from, depth)
            }
            Token::Sign("{") => self.struct_literal(),
            Token::Sign(sign) => Err(error(format!("`{sign}` cannot stand here"), span)),
            Token::End => Err(error("the expression ends too early", span)),
            Token::Word(word) => self.word(&word.to_ascii_lowercase(), span),
        }
    }

    fn struct_literal(&mut self) -> Parsed<Ast> {
        let from = self.span().start;
        self.advance();
        let mut fields = Vec::new();
        let mut depth = 0;
        while !self.take_sign("}") {
            let name = match self.peek().clone() {
                Token::Text(name) => {
                    self.advance();
                    name
                }
                _ => self.name("a field's name")?.name,
            };
            self.want_sign(":")?;
            let value = self.expression()?;
            depth = depth.max(value.depth);
            fields.push((name, value));
            if !self.take_sign(",") {
                self.want_sign("}")?;
                break;
            }
        }
        self.node(Kind::Struct(fields), from, depth + 1)
    }

    /// What begins with a bare word: a keyword's own form, a literal with a type's name, a call, a name.
    fn word(&mut self, word: &str, span: Range<usize>) -> Parsed<Ast> {
        let from = span.start;
        let call_follows = matches!(self.peek_at(1), Token::Sign("("));
        match word {
            "null" => {
                self.advance();
                return self.node(Kind::Null, from, 1);
            }
            "true" | "false" => {
                self.advance();
                return self.node(Kind::Bool(word == "true"), from, 1);
            }
            "case" => return self.case(),
            "cast" | "try_cast" if call_follows => {
                self.advance();
                self.advance();
                let of = self.expression()?;
                self.want_word("as")?;
                let to = self.data_type()?;
                self.want_sign(")")?;
                return self.unary_node(from, of, |of| Kind::Cast { of, to, or_null: word == "try_cast" });
            }
            "lambda" => return self.lambda(),
            "interval" if !call_follows || !matches!(self.peek_at(2), Token::Sign(")")) => {
                if let Some(interval) = self.interval()? {
                    return Ok(interval);
                }
            }
            "map" if matches!(self.peek_at(1), Token::Sign("{")) => return self.map_literal(),
            "array" if matches!(self.peek_at(1), Token::Sign("[")) => {
                self.advance();
                return self.primary();
            }
            "extract" if call_follows => return self.extract(),
            "position" if call_follows => return self.position(),
            "trim" if call_follows => return self.trim(),
            "substring" if call_follows => return self.substring(),
            "exists" | "any" | "all" | "some" if call_follows => {
                return Err(CompileError {
                    message: "a query cannot stand inside an expression".into(),
                    help: Some("the fold sees one event and one row; join and aggregate in a read model".into()),
                    span,
                });
            }
            "select" => return self.refuse_query().and_then(|()| Err(error("a query cannot stand here", span))),
            _ if RESERVED.contains(&word) => return Err(error(format!("{} cannot stand here", word.to_uppercase()), span)),
            _ => {}
        }
        // DATE '2026-01-01', TIMESTAMP '…', JSON '…': a type's name before a text.
        if matches!(self.peek_at(1), Token::Text(_)) && !call_follows {
            let start = self.at;
            if let Ok(to) = self.data_type()
                && let Token::Text(text) = self.peek().clone()
            {
                let text_from = self.span().start;
                self.advance();
                let of = self.node(Kind::Text(text), text_from, 1)?;
                return self.unary_node(from, of, |of| Kind::Cast { of, to, or_null: false });
            }
            self.at = start;
        }
        self.dotted()
    }

    /// `a.b.c`, or a call `f(…)`.
    fn dotted(&mut self) -> Parsed<Ast> {
        let from = self.span().start;
        let mut path = vec![self.name("a name")?];
        while self.sign(".") && matches!(self.peek_at(1), Token::Word(_) | Token::Quoted(_)) {
            self.advance();
            path.push(self.name("a name")?);
        }
        if !self.sign("(") {
            return self.node(Kind::Name(path), from, 1);
        }
        if path.len() > 1 {
            return Err(error("functions are written `f(x)`, not `x.f()`", from..self.last_end()));
        }
        let name = path.swap_remove(0).name;
        let name_span = from..self.last_end();
        self.call(name, name_span)
    }

    fn call(&mut self, name: String, name_span: Range<usize>) -> Parsed<Ast> {
        let from = name_span.start;
        self.want_sign("(")?;
        self.refuse_query()?;
        let mut aggregate_syntax = false;
        if self.sign("*") && matches!(self.peek_at(1), Token::Sign(")")) {
            self.advance();
            aggregate_syntax = true;
        }
        if self.take_word("distinct") {
            aggregate_syntax = true;
        }
        let mut args = Vec::new();
        let mut depth = 0;
        while !self.take_sign(")") {
            let named = match (self.peek(), self.peek_at(1)) {
                (Token::Word(name) | Token::Quoted(name), Token::Sign(":=" | "=>")) => Some(name.clone()),
                _ => None,
            };
            if named.is_some() {
                self.advance();
                self.advance();
            }
            let value = self.expression()?;
            depth = depth.max(value.depth);
            args.push((named, value));
            if self.word_at(0, "order") {
                aggregate_syntax = true;
                break;
            }
            if !self.take_sign(",") {
                self.want_sign(")")?;
                break;
            }
        }
        if self.word_at(0, "over") || (self.word_at(0, "filter") && matches!(self.peek_at(1), Token::Sign("("))) {
            aggregate_syntax = true;
        }
        if aggregate_syntax {
            return Err(CompileError {
                message: format!("`{name}` over many rows cannot stand inside an expression"),
                help: Some("the fold sees one event and one row; aggregate in a read model, or fold with `set`".into()),
                span: name_span,
            });
        }
        self.node(Kind::Call { name, name_span, args, aggregate_syntax }, from, depth + 1)
    }

    fn simple_call(&self, name: &str, name_span: Range<usize>, args: Vec<Ast>) -> Parsed<Ast> {
        let depth = args.iter().map(|a| a.depth).max().unwrap_or(0) + 1;
        let from = name_span.start;
        let args = args.into_iter().map(|a| (None, a)).collect();
        self.node(Kind::Call { name: name.into(), name_span, args, aggregate_syntax: false }, from, depth)
    }

    fn case(&mut self) -> Parsed<Ast> {
        let from = self.span().start;
        self.advance();
        let of = if self.word_at(0, "when") { None } else { Some(Box::new(self.expression()?)) };
        let mut depth = of.as_ref().map_or(0, |of| of.depth);
        let mut arms = Vec::new();
        while self.take_word("when") {
            let when = self.expression()?;
            self.want_word("then")?;
            let then = self.expression()?;
            depth = depth.max(when.depth).max(then.depth);
            arms.push((when, then));
        }
        if arms.is_empty() {
            return Err(error("CASE wants WHEN … THEN …", self.span()));
        }
        let otherwise = if self.take_word("else") { Some(Box::new(self.expression()?)) } else { None };
        depth = depth.max(otherwise.as_ref().map_or(0, |of| of.depth));
        self.want_word("end")?;
        self.node(Kind::Case { of, arms, otherwise }, from, depth + 1)
    }

    fn lambda(&mut self) -> Parsed<Ast> {
        let from = self.span().start;
        self.advance();
        let mut params = vec![self.name("the lambda's variable")?.name];
        while self.take_sign(",") {
            params.push(self.name("the lambda's variable")?.name);
        }
        self.want_sign(":")?;
        let body = self.expression()?;
        self.unary_node(from, body, |body| Kind::Lambda { params, body })
    }

    /// `INTERVAL 1 DAY`, `INTERVAL '1' DAY`, `INTERVAL (x) DAY`, `INTERVAL '1 day 2 hours'`; None: a name.
    fn interval(&mut self) -> Parsed<Option<Ast>> {
        let from = self.span().start;
        let amount = match self.peek_at(1).clone() {
            Token::Number(number) => {
                self.advance();
                self.advance();
                self.node(Kind::Number(number), from, 1)?
            }
            Token::Text(text) => {
                self.advance();
                self.advance();
                self.node(Kind::Text(text), from, 1)?
            }
            Token::Sign("(") => {
                self.advance();
                self.primary()?
            }
            Token::Sign("-") if matches!(self.peek_at(2), Token::Number(_)) => {
                self.advance();
                self.advance();
                let Token::Number(number) = self.peek().clone() else { return Ok(None) };
                self.advance();
                self.node(Kind::Number(format!("-{number}")), from, 1)?
            }
            _ => return Ok(None),
        };
        if let Token::Word(unit) = self.peek()
            && let Some(unit) = super::datetime::unit_of(unit)
        {
            self.advance();
            return self.unary_node(from, amount, |amount| Kind::Interval { amount, unit: unit.to_string() }).map(Some);
        }
        if matches!(amount.kind, Kind::Text(_)) {
            return self.unary_node(from, amount, |of| Kind::Cast { of, to: Type::Interval, or_null: false }).map(Some);
        }
        Err(error("INTERVAL wants a unit: `INTERVAL 1 DAY`", from..self.last_end()))
    }

    fn map_literal(&mut self) -> Parsed<Ast> {
        let from = self.span().start;
        self.advance();
        self.advance();
        let mut entries = Vec::new();
        let mut depth = 0;
        while !self.take_sign("}") {
            let key = self.expression()?;
            self.want_sign(":")?;
            let value = self.expression()?;
            depth = depth.max(key.depth).max(value.depth);
            entries.push((key, value));
            if !self.take_sign(",") {
                self.want_sign("}")?;
                break;
            }
        }
        self.node(Kind::Map(entries), from, depth + 1)
    }

    fn extract(&mut self) -> Parsed<Ast> {
        let span = self.span();
        self.advance();
        self.advance();
        let part_span = self.span();
        let part = match self.peek().clone() {
            Token::Word(word) | Token::Text(word) | Token::Quoted(word) => word,
            token => return Err(error(format!("EXTRACT wants a part, not {}", describe(&token)), part_span)),
        };
        self.advance();
        self.want_word("from")?;
        let of = self.expression()?;
        self.want_sign(")")?;
        let part = Ast { kind: Kind::Text(part), span: part_span, depth: 1 };
        self.simple_call("date_part", span, vec![part, of])
    }

    fn position(&mut self) -> Parsed<Ast> {
        let span = self.span();
        self.advance();
        self.advance();
        let what = self.binary(power::OPERATOR)?;
        if !self.take_word("in") {
            return Err(CompileError {
                message: "POSITION is written `POSITION(part IN text)`".into(),
                help: Some("or `strpos(text, part)`".into()),
                span: self.span(),
            });
        }
        let within = self.expression()?;
        self.want_sign(")")?;
        self.simple_call("strpos", span, vec![within, what])
    }

    fn trim(&mut self) -> Parsed<Ast> {
        let span = self.span();
        self.advance();
        self.advance();
        let name = if self.take_word("leading") {
            "ltrim"
        } else if self.take_word("trailing") {
            "rtrim"
        } else {
            self.take_word("both");
            "trim"
        };
        let mut args = Vec::new();
        if !self.take_word("from") {
            args.push(self.expression()?);
            if self.take_word("from") {
                args.insert(0, self.expression()?);
            }
        } else {
            args.push(self.expression()?);
        }
        if self.take_sign(",") {
            args.push(self.expression()?);
        }
        self.want_sign(")")?;
        self.simple_call(name, span, args)
    }

    fn substring(&mut self) -> Parsed<Ast> {
        let span = self.span();
        self.advance();
        self.advance();
        let mut args = vec![self.expression()?];
        let (mut low, mut length) = (None, None);
        while !self.sign(")") {
            if self.take_word("from") || (low.is_none() && self.take_sign(",")) {
                low = Some(self.expression()?);
            } else if self.take_word("for") || self.take_sign(",") {
                length = Some(self.expression()?);
            } else {
                break;
            }
        }
        self.want_sign(")")?;
        let one = Ast { kind: Kind::Number("1".into()), span: span.clone(), depth: 1 };
        args.push(low.unwrap_or(one));
        args.extend(length);
        self.simple_call("substring", span, args)
    }

    /// A type's name with its parameters and any `[]` behind it.
    pub fn data_type(&mut self) -> Parsed<Type> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(error("this type nests too deep", self.span()));
        }
        let span = self.span();
        let name = self.name("a type")?.name.to_ascii_lowercase();
        let mut ty = match name.as_str() {
            "struct" | "row" => self.struct_type()?,
            "map" => {
                self.want_sign("(")?;
                let key = self.data_type()?;
                self.want_sign(",")?;
                let value = self.data_type()?;
                self.want_sign(")")?;
                Type::Map(Box::new(key), Box::new(value))
            }
            "decimal" | "numeric" | "dec" => self.decimal_type()?,
            "double" => {
                self.take_word("precision");
                Type::Double
            }
            "timestamp" | "datetime" | "time" => {
                let zone = if self.take_word("with") {
                    true
                } else {
                    if self.take_word("without") {
                        self.at -= 1;
                        self.advance();
                        self.want_word("time")?;
                        self.want_word("zone")?;
                    }
                    false
                };
                if zone {
                    self.want_word("time")?;
                    self.want_word("zone")?;
                }
                match (name.as_str(), zone) {
                    ("time", true) => return Err(error("TIME WITH TIME ZONE is not part of the expression language", span)),
                    ("time", false) => Type::Time,
                    (_, true) => Type::TimestampTz,
                    (_, false) => Type::Timestamp,
                }
            }
            other => {
                let ty = simple_type(other).ok_or_else(|| unknown_type(other, span.clone()))?;
                if matches!(ty, Type::Varchar) && self.take_sign("(") {
                    // DuckDB reads VARCHAR(n) and ignores n.
                    self.small_number()?;
                    self.want_sign(")")?;
                }
                ty
            }
        };
        while self.sign("[") {
            self.advance();
            if !self.take_sign("]") {
                return Err(error("arrays of fixed size are not part of the expression language; use a list: `T[]`", self.span()));
            }
            ty = Type::List(Box::new(ty));
        }
        self.depth -= 1;
        Ok(ty)
    }

    fn struct_type(&mut self) -> Parsed<Type> {
        self.want_sign("(")?;
        let mut fields: Vec<(String, Type)> = Vec::new();
        loop {
            let span = self.span();
            let name = self.name("a field's name")?.name;
            if fields.iter().any(|(n, _)| n.eq_ignore_ascii_case(&name)) {
                return Err(error(format!("the struct has two fields `{name}`"), span));
            }
            fields.push((name, self.data_type()?));
            if !self.take_sign(",") {
                break;
            }
        }
        self.want_sign(")")?;
        Ok(Type::Struct(fields))
    }

    fn decimal_type(&mut self) -> Parsed<Type> {
        let span = self.span();
        let (mut width, mut scale) = (18, 3);
        if self.take_sign("(") {
            width = self.small_number()?;
            scale = if self.take_sign(",") { self.small_number()? } else { 0 };
            self.want_sign(")")?;
        }
        if !(1..=38).contains(&width) || scale > width {
            return Err(error("DECIMAL(width, scale) wants a width from 1 to 38 and a scale up to the width", span));
        }
        Ok(Type::Decimal { width, scale })
    }

    fn small_number(&mut self) -> Parsed<u8> {
        let Token::Number(number) = self.peek() else {
            return Err(error(format!("a number is missing before {}", describe(self.peek())), self.span()));
        };
        let number = number.parse::<u32>().map_err(|_| error("a whole number is wanted here", self.span()))?;
        self.advance();
        Ok(number.min(255) as u8)
    }
}

const TYPES: &[(&str, Type)] = &[
    ("boolean", Type::Boolean),
    ("bool", Type::Boolean),
    ("logical", Type::Boolean),
    ("tinyint", Type::TinyInt),
    ("int1", Type::TinyInt),
    ("smallint", Type::SmallInt),
    ("int2", Type::SmallInt),
    ("short", Type::SmallInt),
    ("int16", Type::SmallInt),
    ("integer", Type::Integer),
    ("int", Type::Integer),
    ("int4", Type::Integer),
    ("int32", Type::Integer),
    ("integral", Type::Integer),
    ("signed", Type::Integer),
    ("bigint", Type::BigInt),
    ("int8", Type::BigInt),
    ("int64", Type::BigInt),
    ("long", Type::BigInt),
    ("oid", Type::BigInt),
    ("hugeint", Type::HugeInt),
    ("int128", Type::HugeInt),
    ("utinyint", Type::UTinyInt),
    ("uint8", Type::UTinyInt),
    ("usmallint", Type::USmallInt),
    ("uint16", Type::USmallInt),
    ("uinteger", Type::UInteger),
    ("uint32", Type::UInteger),
    ("ubigint", Type::UBigInt),
    ("uint64", Type::UBigInt),
    ("float", Type::Float),
    ("float4", Type::Float),
    ("real", Type::Float),
    ("float8", Type::Double),
    ("varchar", Type::Varchar),
    ("text", Type::Varchar),
    ("string", Type::Varchar),
    ("char", Type::Varchar),
    ("bpchar", Type::Varchar),
    ("nvarchar", Type::Varchar),
    ("blob", Type::Blob),
    ("bytea", Type::Blob),
    ("binary", Type::Blob),
    ("varbinary", Type::Blob),
    ("date", Type::Date),
    ("timestamptz", Type::TimestampTz),
    ("timestamp_us", Type::Timestamp),
    ("interval", Type::Interval),
    ("uuid", Type::Uuid),
    ("guid", Type::Uuid),
    ("json", Type::Json),
];

fn simple_type(name: &str) -> Option<Type> {
    TYPES.iter().find(|(n, _)| *n == name).map(|(_, ty)| ty.clone())
}

fn unknown_type(name: &str, span: Range<usize>) -> CompileError {
    let names = TYPES.iter().map(|(n, _)| *n).chain(["decimal", "double", "timestamp", "time", "struct", "map"]);
    let help = super::functions::nearest(name, names).map(|near| format!("did you mean `{}`?", near.to_uppercase()));
    CompileError { message: format!("no type `{name}`"), help, span }
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
