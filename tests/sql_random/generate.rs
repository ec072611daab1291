//! Random expressions, driven by the types that are wanted.

use std::collections::BTreeMap;

use foldline::sql::{self, Type};

use crate::columns::{COLUMNS, LITERALS, MORE_TYPES};
use crate::pattern::{self, Hole, Pattern, Shape, Variables};
use crate::tree::Tree;

/// A small generator of numbers, the same on every machine.
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Dice {
        // Small seeds must not begin with small numbers.
        let mut dice = Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        for _ in 0..8 {
            dice.roll(2);
        }
        dice
    }

    pub fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % sides
    }

    pub fn one_in(&mut self, sides: usize) -> bool {
        self.roll(sides) == 0
    }

    pub fn pick<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.roll(of.len())]
    }
}

pub struct Generator {
    pub dice: Dice,
    shapes: Vec<Shape>,
    words: BTreeMap<String, Vec<String>>,
    /// Types that are asked for, frequent ones more than once.
    types: Vec<Type>,
    columns: Vec<(&'static str, Type)>,
    literals: Vec<(Type, &'static [&'static str])>,
    /// The variables of the lambdas around the hole that is being filled.
    variables: Vec<(String, Type)>,
    named: usize,
}

fn parsed(name: &str) -> Type {
    sql::parse_column(name).unwrap_or_else(|e| panic!("{name}: {}", e.message)).ty
}

impl Generator {
    pub fn new(seed: u64) -> Generator {
        let (shapes, words) = pattern::table(include_str!("shapes.txt"));
        let columns: Vec<(&str, Type)> = COLUMNS.iter().map(|(name, ty, _)| (*name, parsed(ty))).collect();
        let mut types = Vec::new();
        for (_, ty) in &columns {
            let times = if ty.is_nested() { 1 } else { 3 };
            types.extend(std::iter::repeat_n(ty.clone(), times));
        }
        types.extend(MORE_TYPES.iter().map(|name| parsed(name)));
        let literals = LITERALS.iter().map(|(ty, texts)| (parsed(ty), *texts)).collect();
        Generator { dice: Dice::new(seed), shapes, words, types, columns, literals, variables: Vec::new(), named: 0 }
    }

    pub fn any_type(&mut self) -> Type {
        self.dice.pick(&self.types).clone()
    }

    /// A random expression of a random type.
    pub fn expression(&mut self) -> Tree {
        let (ty, depth) = (self.any_type(), 1 + self.dice.roll(5));
        self.named = 0;
        self.of(&ty, depth)
    }

    /// An expression that is meant to be of a type, `depth` levels deep at most.
    fn of(&mut self, ty: &Type, depth: usize) -> Tree {
        if depth == 0 || self.dice.one_in(6) {
            return self.leaf(ty);
        }
        let mut fitting: Vec<(usize, Variables)> = Vec::new();
        let mut total = 0;
        for (i, shape) in self.shapes.iter().enumerate() {
            let mut variables = Variables::new();
            // DuckDB reads memory that is not there where it casts text that is no whole map to MAP.
            if has_map(ty) && shape.parts.iter().any(|part| part.contains("CAST(")) {
                continue;
            }
            if shape.result.fits(ty, &mut variables) {
                // Shapes of any type would drown those of the type.
                total += if matches!(shape.result, Pattern::Variable(_)) { shape.weight } else { shape.weight * 4 };
                fitting.push((i, variables));
            }
        }
        if total == 0 {
            return self.leaf(ty);
        }
        let mut at = self.dice.roll(total);
        for (i, variables) in fitting {
            let shape = &self.shapes[i];
            let weight = if matches!(shape.result, Pattern::Variable(_)) { shape.weight } else { shape.weight * 4 };
            if at < weight {
                let shape = shape.clone();
                return self.filled(&shape, variables, ty, depth - 1);
            }
            at -= weight;
        }
        self.leaf(ty)
    }

    fn filled(&mut self, shape: &Shape, mut variables: Variables, ty: &Type, depth: usize) -> Tree {
        let mut parts = shape.parts.clone();
        let mut children = Vec::with_capacity(shape.holes.len());
        for hole in &shape.holes {
            let scope = self.variables.len();
            for (name, pattern) in &hole.variables {
                let of = self.concrete(pattern, &mut variables);
                self.named += 1;
                let unique = format!("v{}", self.named);
                for part in &mut parts {
                    *part = part.replace(name.as_str(), &unique);
                }
                self.variables.push((unique, of));
            }
            children.push(self.hole(hole, &mut variables, depth));
            self.variables.truncate(scope);
        }
        for part in &mut parts {
            if part.contains("$type") {
                *part = part.replace("$type", &type_name(ty));
            }
        }
        Tree { parts, children, ty: Some(ty.clone()) }
    }

    fn hole(&mut self, hole: &Hole, variables: &mut Variables, depth: usize) -> Tree {
        match &hole.of {
            Pattern::Small => return self.small(depth),
            Pattern::Words(name) => {
                let word = self.dice.pick(&self.words[name]).clone();
                return Tree::leaf(word, None);
            }
            _ => {}
        }
        let ty = self.concrete(&hole.of, variables);
        // What fits in no place must be refused by both.
        let ty = if self.dice.one_in(40) { self.any_type() } else { ty };
        self.of(&ty, depth)
    }

    /// A type that the pattern allows; variables that are free are bound.
    fn concrete(&mut self, pattern: &Pattern, variables: &mut Variables) -> Type {
        match pattern {
            Pattern::Exact(ty) => ty.clone(),
            Pattern::Variable(name) => match variables.get(name) {
                Some(ty) => ty.clone(),
                None => {
                    let ty = self.any_type();
                    variables.insert(*name, ty.clone());
                    ty
                }
            },
            Pattern::Number => self.type_where(Type::is_numeric),
            Pattern::Integer | Pattern::Small => self.type_where(Type::is_integer),
            Pattern::Decimal => self.type_where(Type::is_decimal),
            Pattern::Moment => self.dice.pick(&[Type::Date, Type::Timestamp, Type::Timestamp, Type::TimestampTz]).clone(),
            Pattern::Any | Pattern::Words(_) => self.any_type(),
            Pattern::List(inner) => Type::List(Box::new(self.concrete(inner, variables))),
            Pattern::Map(k, v) => {
                let key = self.concrete(k, variables);
                Type::Map(Box::new(key), Box::new(self.concrete(v, variables)))
            }
            Pattern::Struct(fields) => {
                Type::Struct(fields.iter().map(|(name, field)| (name.clone(), self.concrete(field, variables))).collect())
            }
        }
    }

    fn type_where(&mut self, wanted: fn(&Type) -> bool) -> Type {
        let types: Vec<Type> = self.types.iter().filter(|ty| wanted(ty)).cloned().collect();
        self.dice.pick(&types).clone()
    }

    fn small(&mut self, depth: usize) -> Tree {
        let written = [
            "0",
            "1",
            "2",
            "3",
            "-1",
            "-2",
            "5",
            "1",
            "2",
            "7::TINYINT",
            "NULL::INTEGER",
            "NULL",
            "1.5",
            "(i8 % 5)",
            "(i64 % 4)",
            "u8 % 3",
            "(-3)::BIGINT",
            "'2'",
        ];
        if depth > 0 && self.dice.one_in(12) {
            return Tree {
                parts: vec!["(".into(), " % 4)".into()],
                children: vec![self.of(&Type::Integer, depth - 1)],
                ty: Some(Type::BigInt),
            };
        }
        Tree::leaf(*self.dice.pick(&written), Some(Type::Integer))
    }

    /// A column, a variable, a literal.
    fn leaf(&mut self, ty: &Type) -> Tree {
        let leaf = |text: String| Tree::leaf(text, Some(ty.clone()));
        let variables: Vec<String> = self.variables.iter().filter(|(_, of)| of == ty).map(|(name, _)| name.clone()).collect();
        if !variables.is_empty() && self.dice.roll(3) > 0 {
            return leaf(self.dice.pick(&variables).clone());
        }
        // DuckDB has no type for much of what is done with a NULL that is written as such.
        if !ty.is_nested() && self.dice.one_in(60) {
            return if self.dice.one_in(2) { leaf("NULL".into()) } else { leaf(format!("NULL::{}", type_name(ty))) };
        }
        let columns: Vec<&str> = self.columns.iter().filter(|(_, of)| of == ty).map(|(name, _)| *name).collect();
        let literals: Vec<&str> = self.literals.iter().filter(|(of, _)| of == ty).flat_map(|(_, texts)| texts.iter().copied()).collect();
        if !columns.is_empty() && (literals.is_empty() || self.dice.roll(3) > 0) {
            return leaf((*self.dice.pick(&columns)).to_string());
        }
        if !literals.is_empty() {
            return leaf((*self.dice.pick(&literals)).to_string());
        }
        let (open, close, children) = match ty {
            Type::List(inner) => {
                let count = 1 + self.dice.roll(3);
                ("[", "]", (0..count).map(|_| (String::new(), self.leaf(inner))).collect::<Vec<_>>())
            }
            Type::Struct(fields) => {
                let fields = fields.iter().map(|(name, ty)| (format!("'{}': ", name.replace('\'', "''")), self.leaf(ty)));
                ("{", "}", fields.collect())
            }
            Type::Map(key, value) => {
                let count = 1 + self.dice.roll(2);
                let (keys, values): (Vec<Tree>, Vec<Tree>) = (0..count).map(|_| (self.leaf(key), self.leaf(value))).unzip();
                let list = |items: &[Tree]| items.iter().map(Tree::text).collect::<Vec<_>>().join(", ");
                return leaf(format!("map([{}], [{}])", list(&keys), list(&values)));
            }
            _ => {
                let source = self.dice.pick(&["1", "i8", "'1'", "NULL", "s3"]).to_string();
                let how = if self.dice.one_in(2) { "CAST" } else { "TRY_CAST" };
                return leaf(format!("{how}({source} AS {})", type_name(ty)));
            }
        };
        let mut parts = vec![open.to_string()];
        let mut trees = Vec::new();
        for (i, (label, tree)) in children.into_iter().enumerate() {
            if let Some(last) = parts.last_mut() {
                last.push_str(if i > 0 { ", " } else { "" });
                last.push_str(&label);
            }
            trees.push(tree);
            parts.push(String::new());
        }
        if let Some(last) = parts.last_mut() {
            last.push_str(close);
        }
        Tree { parts, children: trees, ty: Some(ty.clone()) }
    }

    /// What a node of a type can be made of while an expression is shrunk.
    pub fn simple_leaves(&self, ty: &Type) -> Vec<String> {
        let literals = self.literals.iter().filter(|(of, _)| of == ty).flat_map(|(_, texts)| texts.iter().map(|text| text.to_string()));
        let columns = self.columns.iter().filter(|(_, of)| of == ty).map(|(name, _)| name.to_string());
        let null = (!ty.is_nested()).then(|| format!("NULL::{}", type_name(ty)));
        literals.take(2).chain(columns.take(2)).chain(null).collect()
    }
}

pub fn has_map(ty: &Type) -> bool {
    match ty {
        Type::Map(..) => true,
        Type::List(inner) => has_map(inner),
        Type::Struct(fields) => fields.iter().any(|(_, ty)| has_map(ty)),
        _ => false,
    }
}

/// The type as a cast names it.
pub fn type_name(ty: &Type) -> String {
    if *ty == Type::Null { "INTEGER".into() } else { ty.to_string() }
}
