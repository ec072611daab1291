//! Expressions of the reference: names are looked up when they are evaluated. The language itself is judged by
//! `sql_against_duckdb`; here it is taken as given.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use foldline::sql::{self, Env, Expr, NameError, Resolved, Scope, Slot, Type, Value};

use crate::spec::{Aggregate, Field};

/// What a name in an expression means.
#[derive(Clone, Debug, PartialEq)]
pub enum Name {
    State(usize),
    Key(usize),
    Old(usize),
    /// A declared field of the payload.
    Field(String),
    /// A field of the payload as text.
    Text(Vec<String>),
    Meta(Vec<String>),
    Event(String),
    Each,
}

impl Name {
    pub fn is_of_row(&self) -> bool {
        matches!(self, Name::State(_) | Name::Key(_) | Name::Old(_))
    }
}

/// An expression with its names.
pub struct Compiled {
    pub expr: Expr,
    pub names: Vec<Name>,
}

/// What an expression may name.
#[derive(Clone, Copy)]
pub struct Sight<'a> {
    /// Its columns, and the types of its key columns.
    pub aggregate: Option<(&'a Aggregate, &'a [Type])>,
    pub contract: &'a [Field],
    pub each: Option<&'a Type>,
    /// Names are fields of the record.
    pub record: bool,
}

struct Names<'a> {
    sight: Sight<'a>,
    names: Vec<Name>,
}

impl Scope for Names<'_> {
    fn resolve(&mut self, path: &[String], cast: bool) -> Result<Resolved, NameError> {
        let unknown = || NameError { message: format!("no name {path:?}"), help: None };
        let rest = path[1..].to_vec();
        let (name, ty, parts_used) = match path[0].as_str() {
            _ if self.sight.record => (Name::Text(path.to_vec()), Type::Varchar, path.len()),
            "data" => match self.sight.contract.iter().find(|field| rest.first() == Some(&field.name)) {
                Some(field) => (Name::Field(field.name.clone()), field.ty.clone(), 2),
                None if cast || self.sight.aggregate.is_none() => (Name::Text(rest), Type::Varchar, path.len()),
                None => return Err(unknown()),
            },
            "meta" => (Name::Meta(rest), Type::Varchar, path.len()),
            "event" => {
                let ty = match path[1].as_str() {
                    "version" | "position" => Type::BigInt,
                    "time" => Type::Timestamp,
                    _ => Type::Varchar,
                };
                (Name::Event(path[1].clone()), ty, 2)
            }
            "each" => (Name::Each, self.sight.each.ok_or_else(unknown)?.clone(), 1),
            first => {
                let (aggregate, key_types) = self.sight.aggregate.ok_or_else(unknown)?;
                let (name, old) = if first == "old" { (path[1].as_str(), true) } else { (first, false) };
                let parts = 1 + usize::from(old);
                if let Some(column) = aggregate.state.iter().position(|column| column.name == name) {
                    (if old { Name::Old(column) } else { Name::State(column) }, aggregate.state[column].ty.clone(), parts)
                } else {
                    let key = aggregate.key_names.iter().position(|column| column == name).ok_or_else(unknown)?;
                    (Name::Key(key), key_types[key].clone(), parts)
                }
            }
        };
        let slot = self.names.iter().position(|other| *other == name).unwrap_or_else(|| {
            self.names.push(name);
            self.names.len() - 1
        });
        Ok(Resolved { slot: Slot(slot as u32), ty, parts_used })
    }
}

struct Values(Vec<Value>);

impl Env for Values {
    fn get(&self, slot: Slot) -> Value {
        self.0[slot.0 as usize].clone()
    }
}

/// Compiled expressions by their text and what they see.
#[derive(Default)]
pub struct Expressions(RefCell<HashMap<(String, String), Rc<Compiled>>>);

impl Expressions {
    /// `place` stands for the sight: one place has one.
    pub fn get(&self, place: &str, text: &str, sight: Sight<'_>, wanted: Option<&Type>) -> Rc<Compiled> {
        let key = (format!("{place} {wanted:?} {:?}", sight.each), text.to_string());
        if let Some(found) = self.0.borrow().get(&key) {
            return found.clone();
        }
        let mut names = Names { sight, names: Vec::new() };
        let expr = sql::compile(text, &mut names, wanted).unwrap_or_else(|e| panic!("{place}: `{text}`: {}", e.message));
        let compiled = Rc::new(Compiled { expr, names: names.names });
        self.0.borrow_mut().insert(key, compiled.clone());
        compiled
    }
}

impl Compiled {
    pub fn eval(&self, lookup: &dyn Fn(&Name) -> Value) -> Result<Value, String> {
        let mut values = vec![Value::Null; self.names.len()];
        for slot in self.expr.slots() {
            values[slot.0 as usize] = lookup(&self.names[slot.0 as usize]);
        }
        self.expr.eval(&Values(values)).map_err(|e| e.0)
    }

    /// Whether it needs the row; what a constant makes void (`true OR total > 3`) needs nothing.
    pub fn reads_row(&self) -> bool {
        self.expr.slots().iter().any(|slot| self.names[slot.0 as usize].is_of_row())
    }
}
