//! The compiled form of expressions over numbers, times, truth values and comparisons of text: evaluated row by
//! row on plain machine values, without a [`Value`] and without an allocation.
//!
//! A subset of the language. What lies outside of it, and every row on which an operation fails, is left to
//! [`super::eval`], which gives the same result and the error's message.

use std::cmp::Ordering;

use super::compare::{Comparison, order_floats};
use super::eval::{Node, Operation};
use super::vector::{scale_of, unscaled_range};
use super::{Expr, Slot, Type, Value, cast, datetime};

/// A value that fits into registers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Cell {
    Null,
    /// Integers, unscaled decimals, days, microseconds.
    Whole(i128),
    Double(f64),
    Bool(bool),
    /// The expression has to be evaluated by [`Expr::eval`].
    Failed,
}

impl Cell {
    pub fn of(value: &Value) -> Cell {
        match value {
            Value::Null => Cell::Null,
            Value::Int(i) => Cell::Whole(*i),
            Value::Date(d) => Cell::Whole(*d as i128),
            Value::Time(t) | Value::Timestamp(t) => Cell::Whole(*t as i128),
            Value::Double(x) => Cell::Double(*x),
            Value::Bool(b) => Cell::Bool(*b),
            _ => Cell::Failed,
        }
    }
}

impl Cell {
    /// The value of type `ty` that the cell is; `None`: it is none.
    pub fn to_value(self, ty: &Type) -> Option<Value> {
        Some(match (self, ty) {
            (Cell::Null, _) => Value::Null,
            (Cell::Whole(d), Type::Date) => Value::Date(d as i32),
            (Cell::Whole(t), Type::Time) => Value::Time(t as i64),
            (Cell::Whole(t), Type::Timestamp | Type::TimestampTz) => Value::Timestamp(t as i64),
            (Cell::Whole(i), _) => Value::Int(i),
            (Cell::Double(x), _) => Value::Double(x),
            (Cell::Bool(b), _) => Value::Bool(b),
            (Cell::Failed, _) => return None,
        })
    }
}

/// Stands in a compiled expression for the value that a map has under the key that is put.
pub const CURRENT: Slot = Slot(u32::MAX);

/// Gives the values of slots as they lie in columns.
pub trait Cells {
    fn cell(&self, slot: Slot) -> Cell;
    /// The text of a VARCHAR slot; `None`: NULL.
    fn text(&self, slot: Slot) -> Option<&str>;
    fn is_null(&self, slot: Slot) -> bool;
}

/// A compiled expression.
#[derive(Debug, Clone)]
pub struct Scalar {
    root: Step,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Kind {
    Whole,
    Double,
    Bool,
    /// NULL only
    Null,
}

#[derive(Debug, Clone)]
enum Text {
    Slot(Slot),
    Constant(Box<str>),
}

#[derive(Debug, Clone)]
enum Step {
    Slot(Slot),
    Constant(Cell),
    Arithmetic {
        operation: Operation,
        left: Box<Step>,
        right: Box<Step>,
        least: i128,
        most: i128,
    },
    Scaled {
        of: Box<Step>,
        by: i128,
        least: i128,
        most: i128,
    },
    DoubleArithmetic {
        operation: Operation,
        left: Box<Step>,
        right: Box<Step>,
    },
    ToDouble {
        of: Box<Step>,
        scale: u8,
    },
    /// The day of a timestamp.
    Day(Box<Step>),
    Compare {
        comparison: Comparison,
        left: Box<Step>,
        right: Box<Step>,
    },
    CompareText {
        comparison: Comparison,
        left: Text,
        right: Text,
    },
    SlotIsNull {
        slot: Slot,
        not: bool,
    },
    IsNull {
        of: Box<Step>,
        not: bool,
    },
    IsBool {
        of: Box<Step>,
        is: bool,
        not: bool,
    },
    Not(Box<Step>),
    And {
        left: Box<Step>,
        right: Box<Step>,
        right_can_fail: bool,
        condition: bool,
    },
    Or {
        left: Box<Step>,
        right: Box<Step>,
        right_can_fail: bool,
    },
    Case {
        arms: Vec<(Step, Step)>,
        otherwise: Box<Step>,
    },
    Coalesce(Vec<Step>),
    Extreme {
        greatest: bool,
        args: Vec<Step>,
    },
}

fn kind_of(ty: &Type) -> Option<Kind> {
    Some(match ty {
        ty if ty.is_integer() || ty.is_decimal() => Kind::Whole,
        Type::Date | Type::Time | Type::Timestamp | Type::TimestampTz => Kind::Whole,
        Type::Double => Kind::Double,
        Type::Boolean => Kind::Bool,
        Type::Null => Kind::Null,
        _ => return None,
    })
}

/// A map, a key, and the type of what the map has under it.
struct Entry<'a> {
    map: Slot,
    key: &'a Node,
    value: &'a Type,
}

/// `type_of`: the type of a slot that [`Cells`] can give. `current`: the entry that [`CURRENT`] stands for.
struct Compiler<'a> {
    type_of: &'a dyn Fn(Slot) -> Option<Type>,
    current: Option<Entry<'a>>,
}

/// Whether two nodes are the same variable or the same text or number.
fn is_same(a: &Node, b: &Node) -> bool {
    match (a, b) {
        (Node::Slot(a), Node::Slot(b)) => a == b,
        (Node::Const(a), Node::Const(b)) => std::mem::discriminant(a) == std::mem::discriminant(b) && a == b,
        _ => false,
    }
}

impl Compiler<'_> {
    fn text(&self, node: &Node) -> Option<Text> {
        match node {
            Node::Slot(slot) if matches!((self.type_of)(*slot)?, Type::Varchar | Type::Json) => Some(Text::Slot(*slot)),
            Node::Const(Value::Text(text)) => Some(Text::Constant(text.as_str().into())),
            _ => None,
        }
    }

    fn pair(&self, left: &Node, right: &Node, wanted: Kind) -> Option<(Box<Step>, Box<Step>)> {
        Some((Box::new(self.of_kind(left, wanted)?), Box::new(self.of_kind(right, wanted)?)))
    }

    fn of_kind(&self, node: &Node, wanted: Kind) -> Option<Step> {
        let (step, kind) = self.step(node)?;
        (kind == wanted || kind == Kind::Null).then_some(step)
    }

    /// The kind that all of these have.
    fn common<'n>(&self, nodes: impl Iterator<Item = &'n Node>) -> Option<(Vec<Step>, Kind)> {
        let mut common = Kind::Null;
        let mut steps = Vec::new();
        for node in nodes {
            let (step, kind) = self.step(node)?;
            if common == Kind::Null {
                common = kind;
            } else if kind != common && kind != Kind::Null {
                return None;
            }
            steps.push(step);
        }
        Some((steps, common))
    }

    fn step(&self, node: &Node) -> Option<(Step, Kind)> {
        Some(match node {
            Node::Slot(slot) => (Step::Slot(*slot), kind_of(&(self.type_of)(*slot)?)?),
            Node::Const(value) => {
                let cell = Cell::of(value);
                let kind = match cell {
                    Cell::Null => Kind::Null,
                    Cell::Whole(_) => Kind::Whole,
                    Cell::Double(_) => Kind::Double,
                    Cell::Bool(_) => Kind::Bool,
                    Cell::Failed => return None,
                };
                (Step::Constant(cell), kind)
            }
            Node::Whole(node) => {
                let operation = simple(node.operation)?;
                let (left, right) = self.pair(&node.left, &node.right, Kind::Whole)?;
                (Step::Arithmetic { operation, left, right, least: node.least, most: node.most }, Kind::Whole)
            }
            Node::Double(node) => {
                let operation = simple(node.operation)?;
                let (left, right) = self.pair(&node.left, &node.right, Kind::Double)?;
                (Step::DoubleArithmetic { operation, left, right }, Kind::Double)
            }
            Node::Cast(node) if !node.or_null && node.from == Type::Timestamp && node.to == Type::Date => {
                (Step::Day(Box::new(self.of_kind(&node.of, Kind::Whole)?)), Kind::Whole)
            }
            Node::Cast(node) if !node.or_null => {
                unscaled_range(&node.from)?;
                let of = Box::new(self.of_kind(&node.of, Kind::Whole)?);
                let scale = scale_of(&node.from);
                match &node.to {
                    Type::Double => (Step::ToDouble { of, scale }, Kind::Double),
                    to => {
                        let (least, most) = unscaled_range(to)?;
                        let by = cast::power_of_ten(scale_of(to).checked_sub(scale)?);
                        (Step::Scaled { of, by, least, most }, Kind::Whole)
                    }
                }
            }
            Node::Compare(node) => {
                let null = |node: &Node| matches!(node, Node::Const(Value::Null));
                if null(&node.left) || null(&node.right) {
                    return None;
                }
                let comparison = node.comparison;
                if let (Some(left), Some(right)) = (self.text(&node.left), self.text(&node.right)) {
                    return Some((Step::CompareText { comparison, left, right }, Kind::Bool));
                }
                let (_, kind) = self.step(&node.left)?;
                let (left, right) = self.pair(&node.left, &node.right, kind)?;
                (Step::Compare { comparison, left, right }, Kind::Bool)
            }
            Node::IsNull { of, not } => match &**of {
                Node::Slot(slot) => {
                    (self.type_of)(*slot)?;
                    (Step::SlotIsNull { slot: *slot, not: *not }, Kind::Bool)
                }
                of => (Step::IsNull { of: Box::new(self.step(of)?.0), not: *not }, Kind::Bool),
            },
            Node::IsBool { of, is, not } => (Step::IsBool { of: Box::new(self.of_kind(of, Kind::Bool)?), is: *is, not: *not }, Kind::Bool),
            Node::Not(of) => (Step::Not(Box::new(self.of_kind(of, Kind::Bool)?)), Kind::Bool),
            Node::And { left, right, right_can_fail, condition } => {
                let (left, right) = self.pair(left, right, Kind::Bool)?;
                (Step::And { left, right, right_can_fail: *right_can_fail, condition: *condition }, Kind::Bool)
            }
            Node::Or { left, right, right_can_fail } => {
                let (left, right) = self.pair(left, right, Kind::Bool)?;
                (Step::Or { left, right, right_can_fail: *right_can_fail }, Kind::Bool)
            }
            Node::Case { arms, otherwise } => {
                let whens = arms.iter().map(|(when, _)| self.of_kind(when, Kind::Bool)).collect::<Option<Vec<_>>>()?;
                let (mut thens, kind) = self.common(arms.iter().map(|(_, then)| then).chain([&**otherwise]))?;
                let otherwise = Box::new(thens.pop()?);
                (Step::Case { arms: whens.into_iter().zip(thens).collect(), otherwise }, kind)
            }
            Node::Coalesce(nodes) => {
                let (steps, kind) = self.common(nodes.iter())?;
                (Step::Coalesce(steps), kind)
            }
            Node::Extreme { greatest, args, .. } => {
                let (args, kind) = self.common(args.iter())?;
                if kind != Kind::Whole {
                    return None;
                }
                (Step::Extreme { greatest: *greatest, args }, kind)
            }
            Node::MapValue { map, key } => {
                let current = self.current.as_ref()?;
                if !matches!(&**map, Node::Slot(slot) if *slot == current.map) || !is_same(key, current.key) {
                    return None;
                }
                (Step::Slot(CURRENT), kind_of(current.value)?)
            }
            _ => return None,
        })
    }
}

fn simple(operation: Operation) -> Option<Operation> {
    matches!(operation, Operation::Add | Operation::Subtract | Operation::Multiply).then_some(operation)
}

impl Scalar {
    /// The compiled form of an expression, where it lies in the subset. `type_of`: the types of the slots that the
    /// [`Cells`] can give.
    pub fn of(expr: &Expr, type_of: &dyn Fn(Slot) -> Option<Type>) -> Option<Scalar> {
        kind_of(&expr.ty)?;
        let (root, _) = Compiler { type_of, current: None }.step(&expr.root)?;
        Some(Scalar { root })
    }

    /// As [`Scalar::of`], for a value of type `value` that is put under `key` into the map `map`; what the map has
    /// there now is [`CURRENT`].
    pub(super) fn of_entry(node: &Node, (map, key, value): (Slot, &Node, &Type), type_of: &dyn Fn(Slot) -> Option<Type>) -> Option<Scalar> {
        kind_of(value)?;
        let (root, _) = Compiler { type_of, current: Some(Entry { map, key, value }) }.step(node)?;
        Some(Scalar { root })
    }

    #[inline]
    pub fn eval<C: Cells>(&self, cells: &C) -> Cell {
        self.root.eval(cells)
    }
}

fn text<'a, C: Cells>(of: &'a Text, cells: &'a C) -> Option<&'a str> {
    match of {
        Text::Slot(slot) => cells.text(*slot),
        Text::Constant(text) => Some(text),
    }
}

fn in_range(result: Option<i128>, least: i128, most: i128) -> Cell {
    match result {
        Some(x) if x >= least && x <= most => Cell::Whole(x),
        _ => Cell::Failed,
    }
}

/// The order of two values of one kind, neither NULL.
fn order(left: Cell, right: Cell) -> Option<Ordering> {
    Some(match (left, right) {
        (Cell::Whole(a), Cell::Whole(b)) => a.cmp(&b),
        (Cell::Double(a), Cell::Double(b)) => order_floats(a, b),
        (Cell::Bool(a), Cell::Bool(b)) => a.cmp(&b),
        _ => return None,
    })
}

impl Step {
    fn eval<C: Cells>(&self, cells: &C) -> Cell {
        match self {
            Step::Slot(slot) => cells.cell(*slot),
            Step::Constant(cell) => *cell,
            Step::Arithmetic { operation, left, right, least, most } => match (left.eval(cells), right.eval(cells)) {
                (Cell::Whole(a), Cell::Whole(b)) => {
                    let result = match operation {
                        Operation::Add => a.checked_add(b),
                        Operation::Subtract => a.checked_sub(b),
                        _ => match (i64::try_from(a), i64::try_from(b)) {
                            (Ok(a), Ok(b)) => Some(a as i128 * b as i128),
                            _ => a.checked_mul(b),
                        },
                    };
                    in_range(result, *least, *most)
                }
                (left, right) => null_or_failed(left, right),
            },
            Step::Scaled { of, by, least, most } => match of.eval(cells) {
                Cell::Whole(x) => in_range(if *by == 1 { Some(x) } else { x.checked_mul(*by) }, *least, *most),
                other => other,
            },
            Step::DoubleArithmetic { operation, left, right } => match (left.eval(cells), right.eval(cells)) {
                (Cell::Double(a), Cell::Double(b)) => Cell::Double(match operation {
                    Operation::Add => a + b,
                    Operation::Subtract => a - b,
                    _ => a * b,
                }),
                (left, right) => null_or_failed(left, right),
            },
            Step::Day(of) => match of.eval(cells) {
                Cell::Whole(micros) => i64::try_from(micros).map_or(Cell::Failed, |micros| Cell::Whole(datetime::date_of(micros) as i128)),
                other => other,
            },
            Step::ToDouble { of, scale } => match of.eval(cells) {
                Cell::Whole(x) => Cell::Double(cast::to_double(x, *scale)),
                other => other,
            },
            Step::Compare { comparison, left, right } => {
                let (left, right) = (left.eval(cells), right.eval(cells));
                match order(left, right) {
                    Some(order) => Cell::Bool(comparison.holds(order)),
                    None => null_or_failed(left, right),
                }
            }
            Step::CompareText { comparison, left, right } => match (text(left, cells), text(right, cells)) {
                (Some(a), Some(b)) => Cell::Bool(comparison.holds(a.as_bytes().cmp(b.as_bytes()))),
                _ => Cell::Null,
            },
            Step::SlotIsNull { slot, not } => Cell::Bool(cells.is_null(*slot) != *not),
            Step::IsNull { of, not } => match of.eval(cells) {
                Cell::Failed => Cell::Failed,
                cell => Cell::Bool((cell == Cell::Null) != *not),
            },
            Step::IsBool { of, is, not } => match of.eval(cells) {
                Cell::Failed => Cell::Failed,
                cell => Cell::Bool((cell == Cell::Bool(*is)) != *not),
            },
            Step::Not(of) => match of.eval(cells) {
                Cell::Bool(b) => Cell::Bool(!b),
                other => other,
            },
            Step::And { left, right, right_can_fail, condition } => {
                let left = left.eval(cells);
                if left == Cell::Failed || left == Cell::Bool(false) && !right_can_fail || *condition && left == Cell::Null {
                    return left;
                }
                match (left, right.eval(cells)) {
                    (_, Cell::Failed) => Cell::Failed,
                    (Cell::Bool(false), _) | (_, Cell::Bool(false)) => Cell::Bool(false),
                    (Cell::Bool(true), Cell::Bool(true)) => Cell::Bool(true),
                    _ => Cell::Null,
                }
            }
            Step::Or { left, right, right_can_fail } => {
                let left = left.eval(cells);
                if left == Cell::Failed || left == Cell::Bool(true) && !right_can_fail {
                    return left;
                }
                match (left, right.eval(cells)) {
                    (_, Cell::Failed) => Cell::Failed,
                    (Cell::Bool(true), _) | (_, Cell::Bool(true)) => Cell::Bool(true),
                    (Cell::Bool(false), Cell::Bool(false)) => Cell::Bool(false),
                    _ => Cell::Null,
                }
            }
            Step::Case { arms, otherwise } => {
                for (when, then) in arms {
                    match when.eval(cells) {
                        Cell::Bool(true) => return then.eval(cells),
                        Cell::Failed => return Cell::Failed,
                        _ => {}
                    }
                }
                otherwise.eval(cells)
            }
            Step::Coalesce(steps) => steps.iter().map(|step| step.eval(cells)).find(|cell| *cell != Cell::Null).unwrap_or(Cell::Null),
            Step::Extreme { greatest, args } => {
                let mut chosen = Cell::Null;
                for arg in args {
                    match (arg.eval(cells), chosen) {
                        (Cell::Failed, _) => return Cell::Failed,
                        (Cell::Whole(x), Cell::Whole(best)) if (x > best) != *greatest || x == best => {}
                        (Cell::Null, _) => {}
                        (cell, _) => chosen = cell,
                    }
                }
                chosen
            }
        }
    }
}

fn null_or_failed(left: Cell, right: Cell) -> Cell {
    if left == Cell::Failed || right == Cell::Failed { Cell::Failed } else { Cell::Null }
}
