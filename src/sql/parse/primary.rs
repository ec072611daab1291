//! What operators stand between: literals, names, calls, CASE, and the forms with words of their own.

use super::*;

impl Parser {
    pub(super) fn primary(&mut self) -> Parsed<Ast> {
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
                    return self.row(inner, from);
                }
                self.want_sign(")")?;
                // Parentheses count as nesting, and keep `(x).y` and `-(1)` apart from `x.y` and `-1`.
                let depth = inner.depth + 1;
                self.node(inner.kind, from, depth)
            }
            Token::Sign("[") => {
                self.advance();
                let mut items = Vec::new();
                if !self.take_sign("]") {
                    let first = self.expression()?;
                    if self.take_word("for") {
                        return self.comprehension(first, from);
                    }
                    items.push(first);
                    if self.take_sign(",") {
                        items.extend(self.comma_list("]")?);
                    } else {
                        self.want_sign("]")?;
                    }
                }
                let depth = items.iter().map(|a| a.depth).max().unwrap_or(0) + 1;
                self.node(Kind::List(items), from, depth)
            }
            Token::Sign("{") => self.struct_literal(),
            Token::Sign(sign) => Err(CompileError {
                message: format!("`{sign}` cannot stand here"),
                help: (sign == "!").then(|| "that something is not true is written NOT".into()),
                span,
            }),
            Token::End => Err(error("the expression ends too early", span)),
            Token::Word(word) => self.word(&word.to_ascii_lowercase(), span),
        }
    }

    /// `[x + 1 for x in xs if x > 0]`, read up to FOR. As in DuckDB, the element is made before the condition is looked at.
    fn comprehension(&mut self, first: Ast, from: usize) -> Parsed<Ast> {
        let mut params = vec![self.name("the variable of an element")?.name];
        if self.take_sign(",") {
            params.push(self.name("the variable of an index")?.name);
        }
        self.want_word("in")?;
        let list = self.expression()?;
        let condition = if self.take_word("if") { Some(self.expression()?) } else { None };
        self.want_sign("]")?;
        let span = from..self.last_end();
        let node = |kind: Kind, depth: usize| Ast { kind, span: span.clone(), depth };
        let over = |parser: &Self, name: &str, list: Ast, params: Vec<String>, body: Ast| {
            let depth = body.depth + 1;
            let lambda = node(Kind::Lambda { params, body: Box::new(body) }, depth);
            parser.simple_call(name, span.clone(), vec![list, lambda])
        };
        let Some(condition) = condition else {
            return over(self, "list_transform", list, params, first);
        };
        let depth = first.depth.max(condition.depth) + 1;
        let both = node(Kind::Struct(vec![("keep".into(), condition), ("element".into(), first)]), depth);
        let part = |name: &str| {
            let names = ["pair", name].map(|name| Ident { name: name.into(), quoted: false });
            node(Kind::Name(names.to_vec()), 1)
        };
        let pairs = over(self, "list_transform", list, params, both)?;
        let kept = over(self, "list_filter", pairs, vec!["pair".into()], part("keep"))?;
        over(self, "list_transform", kept, vec!["pair".into()], part("element"))
    }

    /// `(a, b)`, the first value being read.
    fn row(&mut self, first: Ast, from: usize) -> Parsed<Ast> {
        let mut items = vec![first];
        while self.take_sign(",") {
            items.push(self.expression()?);
        }
        self.want_sign(")")?;
        self.simple_call("row", from..self.last_end(), items)
    }

    fn struct_literal(&mut self) -> Parsed<Ast> {
        let from = self.span().start;
        self.advance();
        let mut fields = Vec::new();
        let mut depth = 0;
        while !self.take_sign("}") {
            let name = match self.peek().clone() {
                Token::Text(name) if name.is_empty() => return Err(error("a field's name cannot be empty", self.span())),
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
            _ if RESERVED.contains(&word) => {
                let help = match word {
                    "isnull" => "write `x IS NULL`".into(),
                    "notnull" => "write `x IS NOT NULL`".into(),
                    word => format!("it is a word of SQL; a name that is one stands in double quotes: `\"{word}\"`"),
                };
                return Err(CompileError { message: format!("{} cannot stand here", word.to_uppercase()), help: Some(help), span });
            }
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

    /// `a.b.c`, or a call `f(…)`; of `a.b.f(…)`, `a.b` is the first argument.
    fn dotted(&mut self) -> Parsed<Ast> {
        let from = self.span().start;
        let mut last = (from, self.name("a name")?);
        let mut path = Vec::new();
        let mut path_end = from;
        while self.sign(".") && matches!(self.peek_at(1), Token::Word(_) | Token::Quoted(_)) {
            path_end = self.last_end();
            self.advance();
            let next = (self.span().start, self.name("a name")?);
            path.push(std::mem::replace(&mut last, next).1);
        }
        let (last_from, last) = last;
        if !self.sign("(") {
            path.push(last);
            return self.node(Kind::Name(path), from, 1);
        }
        let name_span = last_from..self.last_end();
        let receiver = (!path.is_empty()).then_some(Ast { kind: Kind::Name(path), span: from..path_end, depth: 1 });
        self.call(last.name, name_span, receiver)
    }

    /// The call of a function whose name is read; of `x.f(…)`, `x` is the first argument.
    pub(super) fn call(&mut self, name: String, name_span: Range<usize>, receiver: Option<Ast>) -> Parsed<Ast> {
        let from = receiver.as_ref().map_or(name_span.start, |of| of.span.start);
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
        let mut depth = receiver.as_ref().map_or(0, |of| of.depth);
        let mut args: Vec<(Option<String>, Ast)> = receiver.into_iter().map(|of| (None, of)).collect();
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
            Token::Number(number) if number.contains(['.', 'e']) => {
                return Err(CompileError {
                    message: "INTERVAL wants a whole number here".into(),
                    help: Some("write the fraction as text: `INTERVAL '1.5 days'`".into()),
                    span: self.tokens[(self.at + 1).min(self.tokens.len() - 1)].span.clone(),
                });
            }
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
            && let Some(unit) = crate::sql::datetime::unit_of(unit)
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
            } else if length.is_none() && (self.take_word("for") || self.take_sign(",")) {
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
}
