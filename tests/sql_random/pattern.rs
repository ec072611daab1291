//! The table of expressions' shapes (`shapes.txt`): what a shape is made of and which type it has.

use std::collections::BTreeMap;

use foldline::sql::{self, Type};

/// A type, a class of types, or a type with variables in it.
#[derive(Debug, Clone)]
pub enum Pattern {
    Exact(Type),
    /// One capital letter: the same type wherever it stands in a shape.
    Variable(char),
    Number,
    Integer,
    Decimal,
    /// DATE, TIMESTAMP or TIMESTAMPTZ.
    Moment,
    Any,
    /// A small whole number, as a count or an index.
    Small,
    List(Box<Pattern>),
    Map(Box<Pattern>, Box<Pattern>),
    Struct(Vec<(String, Pattern)>),
    /// One of the texts of a list of `words.txt`.
    Words(String),
}

/// What stands in braces in a shape.
#[derive(Debug, Clone)]
pub struct Hole {
    /// Lambda variables that the expression sees, with their types.
    pub variables: Vec<(String, Pattern)>,
    pub of: Pattern,
}

/// One line of the table: `3 list_append({T[]}, {T}) -> T[]`.
#[derive(Debug, Clone)]
pub struct Shape {
    pub weight: usize,
    /// The text around the holes; one more than there are holes.
    pub parts: Vec<String>,
    pub holes: Vec<Hole>,
    pub result: Pattern,
}

pub type Variables = BTreeMap<char, Type>;

/// The table's shapes and its lists of words (`@name word, word` lines; words are separated by two spaces).
pub fn table(text: &str) -> (Vec<Shape>, BTreeMap<String, Vec<String>>) {
    let (mut shapes, mut words) = (Vec::new(), BTreeMap::new());
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
        match line.strip_prefix('@').and_then(|rest| rest.split_once(' ')) {
            Some((name, list)) => {
                words.insert(
                    name.to_string(),
                    list.split("  ").map(|word| word.trim().to_string()).filter(|word| !word.is_empty()).collect(),
                );
            }
            None => shapes.push(shape(line)),
        }
    }
    (shapes, words)
}

fn shape(line: &str) -> Shape {
    let (weight, rest) = match line.split_once(' ') {
        Some((first, rest)) if first.parse::<usize>().is_ok() => (first.parse().expect("a weight"), rest),
        _ => (4, line),
    };
    let (body, result) = rest.rsplit_once(" -> ").unwrap_or_else(|| panic!("a shape without a result: {line}"));
    let (mut parts, mut holes) = (vec![String::new()], Vec::new());
    let mut rest = body;
    while let Some((before, after)) = rest.split_once('{') {
        // `{{` is a brace of the expression itself.
        if let Some(after) = after.strip_prefix('{') {
            parts.last_mut().expect("a part").push_str(&before.replace("}}", "}"));
            parts.last_mut().expect("a part").push('{');
            rest = after;
            continue;
        }
        let (hole, after) = after.split_once('}').unwrap_or_else(|| panic!("an open hole: {line}"));
        parts.last_mut().expect("a part").push_str(&before.replace("}}", "}"));
        parts.push(String::new());
        holes.push(self::hole(hole));
        rest = after;
    }
    parts.last_mut().expect("a part").push_str(&rest.replace("}}", "}"));
    Shape { weight, parts, holes, result: pattern(result.trim()) }
}

/// `T`, or `$x:T $y:BIGINT => U` with variables of a lambda.
fn hole(text: &str) -> Hole {
    match text.split_once("=>") {
        None => Hole { variables: Vec::new(), of: pattern(text) },
        Some((variables, of)) => {
            let variables = variables.split_whitespace().map(|variable| {
                let (name, ty) = variable.split_once(':').expect("a variable's type");
                (name.to_string(), pattern(ty))
            });
            Hole { variables: variables.collect(), of: pattern(of.trim()) }
        }
    }
}

/// Cuts at commas outside of parentheses.
fn list(text: &str) -> Vec<&str> {
    let (mut out, mut from, mut depth) = (Vec::new(), 0, 0);
    for (i, c) in text.char_indices() {
        match c {
            '(' => depth += 1,
            ')' => depth -= 1,
            ',' if depth == 0 => {
                out.push(text[from..i].trim());
                from = i + 1;
            }
            _ => {}
        }
    }
    out.push(text[from..].trim());
    out
}

fn pattern(text: &str) -> Pattern {
    let text = text.trim();
    if let Some(name) = text.strip_prefix('@') {
        return Pattern::Words(name.to_string());
    }
    if let Some(inner) = text.strip_suffix("[]") {
        return Pattern::List(Box::new(pattern(inner)));
    }
    if let Some(inside) = text.strip_prefix("MAP(").and_then(|t| t.strip_suffix(')')) {
        let parts = list(inside);
        return Pattern::Map(Box::new(pattern(parts[0])), Box::new(pattern(parts[1])));
    }
    if let Some(inside) = text.strip_prefix("STRUCT(").and_then(|t| t.strip_suffix(')')) {
        let fields = list(inside).into_iter().map(|field| {
            let (name, ty) = field.split_once(' ').expect("a field's type");
            (name.to_string(), pattern(ty))
        });
        return Pattern::Struct(fields.collect());
    }
    match text {
        "number" => Pattern::Number,
        "integer" => Pattern::Integer,
        "decimal" => Pattern::Decimal,
        "moment" => Pattern::Moment,
        "any" => Pattern::Any,
        "small" => Pattern::Small,
        _ if text.len() == 1 => Pattern::Variable(text.chars().next().expect("a letter")),
        _ => Pattern::Exact(sql::parse_column(text).unwrap_or_else(|e| panic!("{text}: {}", e.message)).ty),
    }
}

impl Pattern {
    /// Whether an expression of this pattern can be of the type, and what its variables are then.
    pub fn fits(&self, ty: &Type, variables: &mut Variables) -> bool {
        match (self, ty) {
            (Pattern::Exact(exact), ty) => exact == ty,
            (Pattern::Variable(name), ty) => match variables.get(name) {
                Some(bound) => bound == ty,
                None => {
                    variables.insert(*name, ty.clone());
                    true
                }
            },
            (Pattern::Number, ty) => ty.is_numeric(),
            (Pattern::Integer | Pattern::Small, ty) => ty.is_integer(),
            (Pattern::Decimal, ty) => ty.is_decimal(),
            (Pattern::Moment, ty) => matches!(ty, Type::Date | Type::Timestamp | Type::TimestampTz),
            (Pattern::Any, _) => true,
            (Pattern::List(pattern), Type::List(ty)) => pattern.fits(ty, variables),
            (Pattern::Map(k, v), Type::Map(key, value)) => k.fits(key, variables) && v.fits(value, variables),
            (Pattern::Struct(fields), Type::Struct(types)) => {
                fields.len() == types.len()
                    && fields.iter().zip(types).all(|((name, field), (n, ty))| name == n && field.fits(ty, variables))
            }
            _ => false,
        }
    }
}
