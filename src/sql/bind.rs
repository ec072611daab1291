//! Tree -> compiled tree: names become slots, operators and functions are chosen by their types, casts are made explicit.

use std::ops::Range;

use super::arith;
use super::ast::{Ast, Ident, Kind};
use super::cast;
use super::coerce::{self, Literal, Source};
use super::compare::{By, Comparison};
use super::eval::{CastNode, Compare, NoEnv, Node};
use super::functions::{self, Call};
use super::parse::DEPTH_MAX;
use super::{CompileError, EvalError, Scope, Type, Value, datetime, text_number};

pub type Bound = Result<Typed, CompileError>;

/// A compiled node with its type and its place in the text.
#[derive(Debug, Clone)]
pub struct Typed {
    pub node: Node,
    pub ty: Type,
    /// True for a literal as written: it adapts to what it meets.
    pub literal: bool,
    pub span: Range<usize>,
}

impl Typed {
    /// Folds the node where it is constant.
    pub fn new(node: Node, ty: Type, span: Range<usize>) -> Typed {
        // The VARCHAR that a call with a NULL literal gives is as good as written, for DuckDB.
        let literal = ty == Type::Varchar && matches!(node, Node::Call { .. }) && node.is_null_for_certain();
        Typed { node: node.fold(), ty, literal, span }
    }

    pub fn source(&self) -> Source<'_> {
        let literal = match &self.node {
            Node::Const(Value::Int(i)) if self.literal && self.ty.is_integer() => Literal::Int(*i),
            Node::Const(Value::Text(_) | Value::Null) if self.literal && self.ty == Type::Varchar => Literal::Text,
            _ => Literal::None,
        };
        Source { ty: &self.ty, literal }
    }

    /// The type as messages name it.
    pub fn shown(&self) -> String {
        match (self.literal, &self.ty) {
            (_, Type::Null) => "NULL".into(),
            (_, ty) => ty.to_string(),
        }
    }

    /// Converted to `to`; the cast exists (implicit casts always do).
    pub fn cast(self, to: &Type) -> Typed {
        if self.ty == *to {
            return self;
        }
        let Typed { node, ty, span, .. } = self;
        if ty == Type::Null || cast::is_identity(&ty, to) {
            return Typed { node, ty: to.clone(), literal: false, span };
        }
        let node = Node::Cast(Box::new(CastNode { of: node, from: ty, to: to.clone(), or_null: false }));
        Typed::new(node, to.clone(), span)
    }

    /// The text of a constant, for arguments that must be known when the expression is compiled.
    pub fn constant_text(&self) -> Option<&str> {
        if let Node::Const(Value::Text(text)) = &self.node { Some(text) } else { None }
    }
}

pub fn error(message: impl Into<String>, span: &Range<usize>) -> CompileError {
    CompileError { message: message.into(), help: None, span: span.clone() }
}

pub fn error_with_help(message: impl Into<String>, help: impl Into<String>, span: &Range<usize>) -> CompileError {
    CompileError { message: message.into(), help: Some(help.into()), span: span.clone() }
}

pub struct Binder<'s> {
    scope: &'s mut dyn Scope,
    /// The variables of the lambdas around the node that is being bound.
    pub locals: Vec<(String, Type)>,
    /// How deep the node lies that is being bound. The parser bounds it as the text is written, but what `->` takes from
    /// the left lies deeper than it is written.
    depth: usize,
}

impl<'s> Binder<'s> {
    pub fn new(scope: &'s mut dyn Scope) -> Binder<'s> {
        Binder { scope, locals: Vec::new(), depth: 0 }
    }

    pub fn bind(&mut self, ast: &Ast) -> Bound {
        if self.depth > DEPTH_MAX {
            return Err(error(format!("this expression nests deeper than {DEPTH_MAX} levels"), &ast.span));
        }
        self.depth += 1;
        let bound = self.bind_node(ast);
        self.depth -= 1;
        bound
    }

    fn bind_node(&mut self, ast: &Ast) -> Bound {
        let span = ast.span.clone();
        match &ast.kind {
            Kind::Null => Ok(Typed::new(Node::Const(Value::Null), Type::Null, span)),
            Kind::Bool(b) => Ok(Typed::new(Node::Const(Value::Bool(*b)), Type::Boolean, span)),
            Kind::Number(text) => number(text, span),
            Kind::Text(text) => Ok(Typed { node: Node::Const(Value::text(text)), ty: Type::Varchar, literal: true, span }),
            Kind::Name(path) => self.name(path, false, span),
            Kind::Field(of, name) => {
                let of = self.bind(of)?;
                field(of, name, span)
            }
            Kind::Unary(sign, of) => self.unary(sign, of, span),
            Kind::Binary(sign, left, right) => self.binary(sign, left, right, span),
            Kind::IsNull(of, not) => {
                let of = self.bind(of)?;
                Ok(Typed::new(Node::IsNull { of: Box::new(of.node), not: *not }, Type::Boolean, span))
            }
            Kind::IsBool { of, is, not } => {
                let of = self.boolean(of)?;
                Ok(Typed::new(Node::IsBool { of: Box::new(of.node), is: *is, not: *not }, Type::Boolean, span))
            }
            Kind::Distinct { left, right, not } => {
                let (left, right) = (self.bind(left)?, self.bind(right)?);
                let (left, right, _) = compared(left, right, true, &span)?;
                let node = Node::Distinct { left: Box::new(left.node), right: Box::new(right.node), not: *not };
                Ok(Typed::new(node, Type::Boolean, span))
            }
            Kind::Between { of, low, high, not } => {
                let (of, low, high) = (self.bind(of)?, self.bind(low)?, self.bind(high)?);
                let met = compare_type(of.source(), low.source(), false, &span)?;
                let met = compare_type(Source::of(&met), high.source(), false, &span)?;
                let (of, low, high) = (of.cast(&met), low.cast(&met), high.cast(&met));
                let at_least = comparison(Comparison::GreaterOrEqual, of.clone(), low, &span);
                let at_most = comparison(Comparison::LessOrEqual, of, high, &span);
                let both = and(at_least, at_most, &span);
                Ok(if *not { negation(both, &span) } else { both })
            }
            Kind::In { of, among, not } => self.in_list(of, among, *not, span),
            Kind::Like { of, pattern, escape, not, fold_case } => {
                let name = if *fold_case { "ilike_escape" } else { "like_escape" };
                let mut args = vec![self.bind(of)?, self.bind(pattern)?];
                match escape {
                    Some(escape) => args.push(self.bind(escape)?),
                    None => {
                        let none = Value::text("");
                        args.push(Typed { node: Node::Const(none), ty: Type::Varchar, literal: true, span: span.clone() });
                    }
                }
                let like = functions::call_bound(name, args, &span)?;
                Ok(if *not { negation(like, &span) } else { like })
            }
            Kind::Case { of, arms, otherwise } => self.case(of.as_deref(), arms, otherwise.as_deref(), span),
            Kind::Cast { of, to, or_null } => self.cast(of, to, *or_null, span),
            Kind::Call { name, name_span, args, .. } => functions::call(self, &Call { name, name_span: name_span.clone(), args, span }),
            Kind::List(items) => {
                let items = items.iter().map(|item| self.bind(item)).collect::<Result<Vec<_>, _>>()?;
                list(items, span)
            }
            Kind::Struct(fields) => self.struct_literal(fields, span),
            Kind::Map(entries) => self.map_literal(entries, span),
            Kind::Index(of, index) => {
                let (of, index) = (self.bind(of)?, self.bind(index)?);
                self.index(of, index, span)
            }
            Kind::Slice { of, from, to, step } => {
                let of = self.bind(of)?;
                let mut bound = |ast: &Option<Box<Ast>>| ast.as_ref().map(|ast| self.bind(ast)).transpose();
                let (low, high, step) = (bound(from)?, bound(to)?, bound(step)?);
                functions::list::slice(of, low, high, step, span)
            }
            Kind::Lambda { .. } => {
                Err(error_with_help("a lambda cannot stand here", "lambdas are arguments: `list_transform(xs, lambda x: x + 1)`", &span))
            }
            Kind::Interval { amount, unit } => {
                let amount = self.bind(amount)?;
                functions::temporal::interval_literal(amount, unit, span)
            }
        }
    }

    pub fn bind_all(&mut self, args: &[(Option<String>, Ast)]) -> Result<Vec<Typed>, CompileError> {
        args.iter().map(|(_, ast)| self.bind(ast)).collect()
    }

    /// An operand that must be BOOLEAN.
    pub fn boolean(&mut self, ast: &Ast) -> Bound {
        let typed = self.bind(ast)?;
        if !cast::castable(&typed.ty, &Type::Boolean) {
            return Err(error(format!("a BOOLEAN is wanted here, this is {}", typed.shown()), &typed.span));
        }
        Ok(typed.cast(&Type::Boolean))
    }

    fn name(&mut self, path: &[Ident], cast: bool, span: Range<usize>) -> Bound {
        let names: Vec<String> = path.iter().map(|ident| ident.name.clone()).collect();
        if let Some(i) = self.locals.iter().rposition(|(name, _)| name.eq_ignore_ascii_case(&names[0])) {
            let ty = self.locals[i].1.clone();
            let mut typed = Typed { node: Node::Local(i), ty, literal: false, span: span.clone() };
            for name in &names[1..] {
                typed = field(typed, name, span.clone())?;
            }
            return Ok(typed);
        }
        match self.scope.resolve(&names, cast) {
            Ok(found) => {
                let mut typed = Typed { node: Node::Slot(found.slot), ty: found.ty, literal: false, span: span.clone() };
                for name in names.iter().skip(found.parts_used) {
                    typed = field(typed, name, span.clone())?;
                }
                Ok(typed)
            }
            Err(problem) => {
                let first = names[0].to_ascii_lowercase();
                if names.len() == 1 && functions::is_clock(&first) {
                    return Err(functions::clock_error(&first, &span));
                }
                let mut help = problem.help;
                // Who writes "placed" almost always means 'placed'.
                if path.len() == 1 && path[0].quoted && !help.as_ref().is_some_and(|help| help.contains('\'')) {
                    help = Some(format!("text stands in single quotes: did you mean `'{}'`?", names[0]));
                }
                Err(CompileError { message: problem.message, help, span })
            }
        }
    }

    fn unary(&mut self, sign: &'static str, of: &Ast, span: Range<usize>) -> Bound {
        if sign == "-"
            && let Kind::Number(text) = &of.kind
        {
            return number(&format!("-{text}"), span);
        }
        // Two of them are none.
        if sign == "-"
            && let Kind::Unary("-", inner) = &of.kind
            && let Kind::Number(text) = &inner.kind
        {
            return number(text, span);
        }
        if sign == "not" {
            let of = self.boolean(of)?;
            return Ok(negation(of, &span));
        }
        let of = self.bind(of)?;
        match sign {
            "@" => functions::call_bound("abs", vec![of], &span),
            "!" => functions::call_bound("factorial", vec![of], &span),
            _ => arith::unary(sign, of, span),
        }
    }

    fn binary(&mut self, sign: &'static str, left: &Ast, right: &Ast, span: Range<usize>) -> Bound {
        match sign {
            "and" | "or" => {
                let (left, right) = (self.boolean(left)?, self.boolean(right)?);
                return Ok(if sign == "and" { and(left, right, &span) } else { or(left, right, &span) });
            }
            "at time zone" => {
                let (of, zone) = (self.bind(left)?, self.bind(right)?);
                return functions::call_bound("timezone", vec![zone, of], &span);
            }
            "->" => {
                if let Some(ast) = arrows_from_the_left(left, right) {
                    return self.bind(&ast);
                }
            }
            _ => {}
        }
        let (left, right) = (self.bind(left)?, self.bind(right)?);
        let comparison_of = match sign {
            "=" => Some(Comparison::Equal),
            "<>" => Some(Comparison::NotEqual),
            "<" => Some(Comparison::Less),
            "<=" => Some(Comparison::LessOrEqual),
            ">" => Some(Comparison::Greater),
            ">=" => Some(Comparison::GreaterOrEqual),
            _ => None,
        };
        if let Some(of) = comparison_of {
            let equality = matches!(of, Comparison::Equal | Comparison::NotEqual);
            let (left, right, _) = compared(left, right, equality, &span)?;
            return Ok(comparison(of, left, right, &span));
        }
        match sign {
            "+" | "-" | "*" | "/" | "//" | "%" => arith::binary(sign, left, right, span),
            "||" => functions::text::concat_operator(left, right, span),
            "->" => functions::call_bound("json_extract", vec![left, right], &span),
            "->>" => functions::call_bound("json_extract_string", vec![left, right], &span),
            "^" => functions::call_bound("pow", vec![left, right], &span),
            "^@" => functions::call_bound("starts_with", vec![left, right], &span),
            "~~~" => functions::call_bound("~~~", vec![left, right], &span),
            "~" => functions::call_bound("regexp_full_match", vec![left, right], &span),
            "!~" => functions::call_bound("regexp_full_match", vec![left, right], &span).map(|typed| negation(typed, &span)),
            "<<" | ">>" | "&" | "|" => arith::bits(sign, left, right, span),
            "&&" if left.ty == Type::Boolean || right.ty == Type::Boolean => {
                Err(error_with_help("`&&` asks whether two lists share an element", "that both sides are true is written AND", &span))
            }
            "&&" => functions::call_bound("list_has_any", vec![left, right], &span),
            "@>" => functions::call_bound("list_has_all", vec![left, right], &span),
            "<@" => functions::call_bound("list_has_all", vec![right, left], &span),
            _ => Err(error(format!("the operator `{sign}` is not part of the expression language"), &span)),
        }
    }

    fn in_list(&mut self, of: &Ast, among: &[Ast], not: bool, span: Range<usize>) -> Bound {
        let of = self.bind(of)?;
        let among = among.iter().map(|item| self.bind(item)).collect::<Result<Vec<_>, _>>()?;
        // In parentheses a list is one value, as in DuckDB.
        if let [one] = among.as_slice()
            && let (Type::List(_), false) = (&one.ty, matches!(of.ty, Type::List(_) | Type::Varchar | Type::Json | Type::Null))
        {
            return Err(error_with_help(
                format!("cannot compare {} and {}", of.shown(), one.shown()),
                "without parentheses IN looks into a list: `x IN list`",
                &span,
            ));
        }
        let (first, rest) = among.split_first().ok_or_else(|| error("IN wants at least one value", &span))?;
        let first = compare_type(of.source(), first.source(), true, &first.span)?;
        let ty = rest.iter().try_fold(first, |met, item| compare_type(Source::of(&met), item.source(), true, &item.span))?;
        let by = By::of(&ty);
        let node = Node::In { of: Box::new(of.cast(&ty).node), among: among.into_iter().map(|item| item.cast(&ty).node).collect(), by };
        let found = Typed::new(node, Type::Boolean, span.clone());
        Ok(if not { negation(found, &span) } else { found })
    }

    fn case(&mut self, of: Option<&Ast>, arms: &[(Ast, Ast)], otherwise: Option<&Ast>, span: Range<usize>) -> Bound {
        let of = of.map(|of| self.bind(of)).transpose()?;
        let mut bound = Vec::with_capacity(arms.len());
        for (when, then) in arms {
            let when = match &of {
                None => self.boolean(when)?,
                Some(of) => {
                    let when = self.bind(when)?;
                    let (left, right, _) = compared(of.clone(), when, true, &span)?;
                    comparison(Comparison::Equal, left, right, &span)
                }
            };
            bound.push((when, self.bind(then)?));
        }
        let otherwise = match otherwise {
            Some(otherwise) => self.bind(otherwise)?,
            None => Typed::new(Node::Const(Value::Null), Type::Null, span.clone()),
        };
        // DuckDB starts from ELSE: literals adapt to the branches before them.
        let ty = common_type(std::iter::once(&otherwise).chain(bound.iter().map(|(_, then)| then)), "CASE")?;
        let arms = bound.into_iter().map(|(when, then)| (when.node.into_condition(), then.cast(&ty).node)).collect();
        let node = Node::Case { arms, otherwise: Box::new(otherwise.cast(&ty).node) };
        Ok(Typed::new(node, ty, span))
    }

    fn cast(&mut self, of: &Ast, to: &Type, or_null: bool, span: Range<usize>) -> Bound {
        let of = match &of.kind {
            Kind::Name(path) => self.name(path, true, of.span.clone())?,
            _ => self.bind(of)?,
        };
        // What has no cast is NULL for TRY_CAST, whatever the value.
        if or_null && !cast::has_common_fields(&of.ty, to) || !or_null && !cast::castable(&of.ty, to) {
            return Err(error(format!("there is no cast from {} to {to}", of.shown()), &span));
        }
        if or_null && of.ty != *to && of.ty != Type::Null && !cast::is_identity(&of.ty, to) {
            let node = Node::Cast(Box::new(CastNode { of: of.node, from: of.ty, to: to.clone(), or_null }));
            return Ok(Typed::new(node, to.clone(), span));
        }
        let mut typed = of.cast(to);
        typed.literal = false;
        typed.span = span;
        Ok(typed)
    }

    fn struct_literal(&mut self, fields: &[(String, Ast)], span: Range<usize>) -> Bound {
        if fields.is_empty() {
            return Err(error("a struct wants at least one field", &span));
        }
        let (mut nodes, mut types): (Vec<Node>, Vec<(String, Type)>) = Default::default();
        for (name, value) in fields {
            if types.iter().any(|(n, _)| n.eq_ignore_ascii_case(name)) {
                return Err(error(format!("the struct has two fields `{name}`"), &value.span));
            }
            let value = self.bind(value)?;
            nodes.push(value.node);
            types.push((name.clone(), value.ty));
        }
        Ok(Typed::new(Node::Struct(nodes), Type::Struct(types), span))
    }

    fn map_literal(&mut self, entries: &[(Ast, Ast)], span: Range<usize>) -> Bound {
        let mut keys = Vec::new();
        let mut values = Vec::new();
        for (key, value) in entries {
            keys.push(self.bind(key)?);
            values.push(self.bind(value)?);
        }
        let (keys, values) = (list(keys, span.clone())?, list(values, span.clone())?);
        functions::map::from_lists(keys, values, span)
    }

    fn index(&mut self, of: Typed, index: Typed, span: Range<usize>) -> Bound {
        match &of.ty {
            Type::Map(..) => functions::map::extract_value(of, index, span),
            Type::Struct(fields) => match &index.node {
                Node::Const(Value::Text(name)) => {
                    let name = name.to_string();
                    field(of, &name, span)
                }
                Node::Const(Value::Int(i)) if *i >= 1 && *i <= fields.len() as i128 => {
                    let i = *i as usize - 1;
                    let ty = fields[i].1.clone();
                    Ok(Typed::new(Node::Field(Box::new(of.node), i), ty, span))
                }
                _ => Err(error("a struct's field is named by a constant", &index.span)),
            },
            Type::Json => functions::call_bound("json_extract", vec![of, index], &span),
            _ => functions::list::element(of, index, span),
        }
    }
}

/// A field of a struct, an element of JSON, by its name.
pub fn field(of: Typed, name: &str, span: Range<usize>) -> Bound {
    if of.ty == Type::Json {
        let key = Typed::new(Node::Const(Value::text(name)), Type::Varchar, span.clone());
        return functions::call_bound("json_extract", vec![of, key], &span);
    }
    if let Type::Map(..) = of.ty {
        let key = Typed { node: Node::Const(Value::text(name)), ty: Type::Varchar, literal: true, span: span.clone() };
        return functions::map::extract_value(of, key, span);
    }
    let Type::Struct(fields) = &of.ty else {
        let help = match &of.ty {
            Type::Map(..) => format!("take a value of a map with `['{name}']`"),
            Type::List(inner) if matches!(**inner, Type::Struct(_)) => {
                format!("it is a list: take an element (`[1].{name}`), or each (`list_transform(xs, lambda x: x.{name})`, a rule's `each`)")
            }
            _ => "only structs have fields".to_string(),
        };
        return Err(error_with_help(format!("`.{name}` asks a {} for a field", of.shown()), help, &span));
    };
    if of.ty.is_row() {
        return Err(error_with_help("the fields of a row have no names", "take one by its number: `[1]`", &span));
    }
    match fields.iter().position(|(n, _)| n.eq_ignore_ascii_case(name)) {
        Some(i) => {
            let ty = fields[i].1.clone();
            Ok(Typed::new(Node::Field(Box::new(of.node), i), ty, span))
        }
        None => {
            let near = functions::nearest(name, fields.iter().map(|(n, _)| n.as_str()));
            let help = near.map(|near| format!("did you mean `{near}`?"));
            Err(CompileError { message: format!("the struct has no field `{name}`"), help, span })
        }
    }
}

/// `j -> 'a' ->> 'b' = 'x'`: although `->` binds weaker than every other operator, DuckDB takes it from the left where
/// a `->>` follows, whatever stands behind that.
fn arrows_from_the_left(left: &Ast, right: &Ast) -> Option<Ast> {
    fn insert(left: &Ast, ast: &mut Ast) -> bool {
        ast.span.start = left.span.start;
        match &mut ast.kind {
            Kind::Binary(sign, of, _) => {
                if insert(left, of) {
                    return true;
                }
                if *sign == "->>" {
                    let span = left.span.start..of.span.end;
                    let depth = left.depth.max(of.depth) + 1;
                    let key = of.clone();
                    **of = Ast { kind: Kind::Binary("->", Box::new(left.clone()), key), span, depth };
                    return true;
                }
                false
            }
            Kind::IsNull(of, _)
            | Kind::IsBool { of, .. }
            | Kind::Distinct { left: of, .. }
            | Kind::Between { of, .. }
            | Kind::In { of, .. }
            | Kind::Like { of, .. } => insert(left, of),
            _ => false,
        }
    }
    let mut ast = right.clone();
    insert(left, &mut ast).then_some(ast)
}

/// A number as it is written, with DuckDB's type for it.
fn number(text: &str, span: Range<usize>) -> Bound {
    let literal = |node, ty, literal| Ok(Typed { node: Node::Const(node), ty, literal, span: span.clone() });
    let digits = text.trim_start_matches('-');
    if !digits.contains(['.', 'e']) {
        if let Ok(i) = text.parse::<i128>() {
            // The minus is an operator for DuckDB: the digits alone decide the type, but for the least BIGINT.
            let ty = [Type::Integer, Type::BigInt, Type::HugeInt].into_iter().find(|ty| {
                i == i64::MIN as i128 && *ty == Type::BigInt
                    || ty.integer_range().is_some_and(|(_, most)| i.unsigned_abs() <= most.unsigned_abs())
            });
            return literal(Value::Int(i), ty.unwrap_or(Type::HugeInt), true);
        }
    } else if !digits.contains('e') {
        let width = digits.bytes().filter(u8::is_ascii_digit).count();
        let scale = digits.len() - digits.find('.').map_or(digits.len(), |point| point + 1);
        if width <= 38
            && let Some(i) = text_number::scaled(text, scale as u8)
        {
            return literal(Value::Int(i), Type::Decimal { width: width as u8, scale: scale as u8 }, false);
        }
    }
    match text.parse::<f64>() {
        Ok(x) if x.is_finite() => literal(Value::Double(x), Type::Double, false),
        _ => Err(error("this number is too large", &span)),
    }
}

pub fn compare_type(left: Source, right: Source, equality: bool, span: &Range<usize>) -> Result<Type, CompileError> {
    coerce::comparison_type(left, right, equality).filter(|ty| cast::castable(left.ty, ty) && cast::castable(right.ty, ty)).ok_or_else(
        || {
            // as texts, 10 would come before 9
            let wanted = if *left.ty == Type::Varchar { right.ty } else { left.ty };
            error_with_help(format!("cannot compare {} and {}", left.ty, right.ty), format!("cast one side: `(…)::{wanted}`"), span)
        },
    )
}

/// Both sides in the type in which they are compared.
pub fn compared(left: Typed, right: Typed, equality: bool, span: &Range<usize>) -> Result<(Typed, Typed, Type), CompileError> {
    let ty = compare_type(left.source(), right.source(), equality, span)?;
    Ok((left.cast(&ty), right.cast(&ty), ty))
}

pub fn comparison(comparison: Comparison, left: Typed, right: Typed, span: &Range<usize>) -> Typed {
    let by = By::of(&left.ty);
    let node = Node::Compare(Box::new(Compare { comparison, by, left: left.node, right: right.node }));
    Typed::new(node, Type::Boolean, span.clone())
}

pub fn and(left: Typed, right: Typed, span: &Range<usize>) -> Typed {
    let right_can_fail = right.node.can_fail();
    let node = Node::And { left: Box::new(left.node), right: Box::new(right.node), right_can_fail, condition: false };
    Typed::new(node, Type::Boolean, span.clone())
}

fn or(left: Typed, right: Typed, span: &Range<usize>) -> Typed {
    let right_can_fail = right.node.can_fail();
    let node = Node::Or { left: Box::new(left.node), right: Box::new(right.node), right_can_fail };
    Typed::new(node, Type::Boolean, span.clone())
}

pub fn negation(of: Typed, span: &Range<usize>) -> Typed {
    Typed::new(Node::Not(Box::new(of.node)), Type::Boolean, span.clone())
}

/// The type in which all of these meet.
pub fn common_type<'a>(items: impl Iterator<Item = &'a Typed>, what: &str) -> Result<Type, CompileError> {
    let mut met: Option<Type> = None;
    let mut first: Option<&Typed> = None;
    for item in items {
        met = Some(match (&met, first) {
            (None, _) => {
                first = Some(item);
                item.ty.clone()
            }
            // Two literals: the first one's literal nature still counts.
            (Some(ty), from) => {
                let left = match from {
                    Some(from) if from.ty == *ty => from.source(),
                    _ => Source::of(ty),
                };
                first = None;
                coerce::max_type(left, item.source())
                    .ok_or_else(|| error_with_help(format!("{what} mixes {ty} and {}", item.shown()), "cast one of them", &item.span))?
            }
        });
    }
    Ok(met.unwrap_or(Type::Null))
}

/// A list of items brought to one type.
pub fn list(items: Vec<Typed>, span: Range<usize>) -> Bound {
    let ty = common_type(items.iter(), "the list")?;
    let nodes = items.into_iter().map(|item| item.cast(&ty).node).collect();
    Ok(Typed::new(Node::List(nodes), Type::List(Box::new(ty)), span))
}

/// An argument converted as DuckDB converts arguments silently; anything else is an error.
pub fn implicit(typed: Typed, to: &Type, what: &str) -> Bound {
    if coerce::cast_cost(typed.source(), to).is_none() {
        return Err(error_with_help(format!("{what} must be {to}, this is {}", typed.shown()), format!("cast it: `::{to}`"), &typed.span));
    }
    Ok(typed.cast(to))
}

/// Converts to the type of the column that takes the value, as INSERT does.
pub fn assign(typed: Typed, wanted: &Type) -> Bound {
    if !cast::castable(&typed.ty, wanted) {
        return Err(error_with_help(
            format!("{} is wanted here, this is {}", wanted, typed.shown()),
            "there is no cast between the two",
            &typed.span,
        ));
    }
    let (span, typed) = (typed.span.clone(), typed.cast(wanted));
    // a constant that is folded no further than its cast can never be assigned
    if let Node::Cast(node) = &typed.node
        && matches!(node.of, Node::Const(_))
        && let Err(EvalError(message)) = typed.node.eval(&NoEnv, &mut Vec::new())
    {
        return Err(error(message, &span));
    }
    Ok(typed)
}

/// Which unit a word names, or an error that lists them.
pub fn unit(word: &str, span: &Range<usize>) -> Result<&'static str, CompileError> {
    datetime::unit_of(word).ok_or_else(|| {
        error_with_help(format!("no unit of time `{word}`"), "units are year, quarter, month, week, day, hour, minute, second, …", span)
    })
}
