//! Expressions that change a column by algebra: `x + e`, `greatest(x, e)`, `coalesce(x, e)`, or plain `e`,
//! where `e` does not read the row. They run as typed operations on the column, without an interpreter.
//! What is no algebra, but can be compiled ([`super::scalar`]), is a change, too.

use super::eval::{Node, Operation, Update};
use super::scalar::Scalar;
use super::vector::{Vector, unscaled_range};
use super::{Expr, Slot, Type, Value, cast};

/// What a column becomes.
#[derive(Debug, Clone)]
pub enum Change {
    /// The value of another slot, or a constant.
    Assign(Operand),
    /// Whole numbers; the sum must lie in the range, and is NULL where one side is.
    Add { operand: Operand, subtract: bool, least: i128, most: i128 },
    /// DOUBLE
    AddDouble { operand: Operand, subtract: bool },
    /// Whole numbers, dates and times; NULL is passed over.
    Extreme { operand: Operand, greatest: bool },
    /// The operand where the column is NULL.
    Coalesce(Operand),
    /// Anything else that is compiled: a number, a time or a truth value.
    Compiled(Scalar),
    /// `map_put(m, key, value)`, where the value may look at what the map has under the key.
    MapPut { key: Operand, value: Scalar, value_type: Type },
}

impl Change {
    /// What it takes of the event, where that is one value.
    pub fn operand(&self) -> Option<&Operand> {
        match self {
            Change::Assign(operand) | Change::Coalesce(operand) => Some(operand),
            Change::Add { operand, .. } | Change::AddDouble { operand, .. } | Change::Extreme { operand, .. } => Some(operand),
            Change::Compiled(_) | Change::MapPut { .. } => None,
        }
    }
}

/// The side of a change that does not read the row.
#[derive(Debug, Clone)]
pub enum Operand {
    Slot(Slot),
    Constant(Value),
    /// Index that the caller gave for a program over columns.
    Computed(usize),
}

/// What a caller knows of slots.
pub struct Slots<'a> {
    /// The type of the column in which a slot's values lie, one for each evaluation; `None` for every other one.
    pub readable: &'a dyn Fn(Slot) -> Option<Type>,
    /// Slots that do not belong to the row and can be read one by one, with their types.
    pub outside: &'a dyn Fn(Slot) -> Option<Type>,
    /// These, and those of the row.
    pub compiled: &'a dyn Fn(Slot) -> Option<Type>,
}

/// The change that `expr` makes of column `slot` of type `expr.ty`, if it needs no interpreter. `compute` takes a
/// program and gives it an index.
pub fn change_of(expr: &Expr, slot: Slot, slots: &Slots, compute: &mut dyn FnMut(Vector) -> usize) -> Option<Change> {
    algebra_of(expr, slot, slots, compute)
        .or_else(|| Scalar::of(expr, slots.compiled).map(Change::Compiled))
        .or_else(|| map_put_of(expr, slot, slots))
}

fn map_put_of(expr: &Expr, slot: Slot, slots: &Slots) -> Option<Change> {
    let (Node::Update { update: Update::MapPut, args }, Type::Map(key_type, value_type)) = (&expr.root, &expr.ty) else { return None };
    let [Node::Slot(map), key_node, value] = args.as_slice() else { return None };
    if *map != slot || !(**key_type == Type::Varchar || unscaled_range(key_type).is_some()) {
        return None;
    }
    let key = match key_node {
        Node::Slot(key) => (slots.outside)(*key).map(|_| Operand::Slot(*key))?,
        Node::Const(key) if !key.is_null() => Operand::Constant(key.clone()),
        _ => return None,
    };
    let value = Scalar::of_entry(value, (*map, key_node, value_type), slots.compiled)?;
    Some(Change::MapPut { key, value, value_type: (**value_type).clone() })
}

fn algebra_of(expr: &Expr, slot: Slot, slots: &Slots, compute: &mut dyn FnMut(Vector) -> usize) -> Option<Change> {
    let ty = &expr.ty;
    let is_column = |node: &Node| matches!(node, Node::Slot(s) if *s == slot);
    if let Some(operand) = operand(&expr.root, ty, slots, compute) {
        return Some(Change::Assign(operand));
    }
    match &expr.root {
        Node::Coalesce(nodes) => match nodes.as_slice() {
            [column, other] if is_column(column) => Some(Change::Coalesce(operand(other, ty, slots, compute)?)),
            _ => None,
        },
        Node::Extreme { args, greatest, .. } if unscaled_range(ty).is_some() || is_time(ty) => {
            let (_, other) = sides(args.first()?, args.get(1)?, &is_column)?;
            if args.len() != 2 {
                return None;
            }
            Some(Change::Extreme { operand: operand(other, ty, slots, compute)?, greatest: *greatest })
        }
        Node::Double(node) if *ty == Type::Double => {
            let subtract = addition(node.operation)?;
            let (swapped, other) = sides(&node.left, &node.right, &is_column)?;
            if swapped && subtract {
                return None;
            }
            Some(Change::AddDouble { operand: operand(other, ty, slots, compute)?, subtract })
        }
        root => {
            let (column_least, column_most) = unscaled_range(ty)?;
            // An assignment cast that only narrows the range is the column's own range check.
            let whole = match root {
                Node::Whole(whole) if whole.ty == *ty || cast::is_identity(&whole.ty, ty) => whole,
                Node::Cast(node) if !node.or_null && same_scale(&node.from, ty) => match &node.of {
                    Node::Whole(whole) => whole,
                    _ => return None,
                },
                _ => return None,
            };
            if !same_scale(&whole.ty, ty) {
                return None;
            }
            let subtract = addition(whole.operation)?;
            let (swapped, other) = sides(&whole.left, &whole.right, &is_column)?;
            if swapped && subtract {
                return None;
            }
            let operand = operand(other, &whole.ty, slots, compute)?;
            Some(Change::Add { operand, subtract, least: whole.least.max(column_least), most: whole.most.min(column_most) })
        }
    }
}

fn is_time(ty: &Type) -> bool {
    matches!(ty, Type::Date | Type::Time | Type::Timestamp | Type::TimestampTz)
}

fn same_scale(a: &Type, b: &Type) -> bool {
    match (a, b) {
        (Type::Decimal { scale: a, .. }, Type::Decimal { scale: b, .. }) => a == b,
        (a, b) => a.is_integer() && b.is_integer(),
    }
}

/// Whether `+` or `-` it is; true: `-`.
fn addition(operation: Operation) -> Option<bool> {
    match operation {
        Operation::Add => Some(false),
        Operation::Subtract => Some(true),
        _ => None,
    }
}

/// The side that is not the column, and whether the column stands on the right.
fn sides<'a>(left: &'a Node, right: &'a Node, is_column: &dyn Fn(&Node) -> bool) -> Option<(bool, &'a Node)> {
    if is_column(left) {
        Some((false, right))
    } else if is_column(right) {
        Some((true, left))
    } else {
        None
    }
}

/// `ty`: what the node's values must be as they stand, without a further cast.
fn operand(node: &Node, ty: &Type, slots: &Slots, compute: &mut dyn FnMut(Vector) -> usize) -> Option<Operand> {
    match node {
        Node::Const(value) => Some(Operand::Constant(value.clone())),
        Node::Slot(slot) => (slots.outside)(*slot).map(|_| Operand::Slot(*slot)),
        node => Vector::of_node(node, ty, slots.readable).map(|vector| Operand::Computed(compute(vector))),
    }
}
