//! Numeric expressions over whole columns: one typed loop per operation, no value and no allocation per row.
//!
//! A subset of the language: integers, decimals and DOUBLE, `+ - *`, and the casts between them that keep every
//! digit. What lies outside of it stays with the row-by-row evaluation of [`super::eval`], and so does every row
//! on which an operation fails: the row is flagged, and who needs its value evaluates the expression itself,
//! which gives the error.

use std::borrow::Cow;

use super::column::Data;
use super::eval::{Node, Operation, Whole};
use super::{Column, Expr, Slot, Type, Value, cast};

/// An expression as a program over columns.
#[derive(Debug, Clone)]
pub struct Vector {
    ty: Type,
    root: Step,
}

/// The values of a [`Vector`], one a row.
pub struct Computed {
    pub column: Column,
    /// The rows on which an operation failed (their value is NULL); empty where none did.
    pub failed: Vec<bool>,
}

impl Computed {
    pub fn failed(&self, row: usize) -> bool {
        self.failed.get(row).copied().unwrap_or(false)
    }
}

#[derive(Debug, Clone)]
enum Step {
    Slot(Slot),
    Whole(i128),
    Double(f64),
    Arithmetic {
        operation: Operation,
        left: Box<Step>,
        right: Box<Step>,
        least: i128,
        most: i128,
    },
    /// Another scale with more digits behind the point, or another integer type.
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
}

impl Step {
    /// Whether it reads a column: what is constant, but fails (and so was not folded), has no rows of its own, since
    /// a payload of which no field is read has none.
    fn reads(&self) -> bool {
        match self {
            Step::Slot(_) => true,
            Step::Whole(_) | Step::Double(_) => false,
            Step::Arithmetic { left, right, .. } | Step::DoubleArithmetic { left, right, .. } => left.reads() || right.reads(),
            Step::Scaled { of, .. } | Step::ToDouble { of, .. } => of.reads(),
        }
    }
}

/// Whether values of a type are whole numbers in [`Data::I64`] or [`Data::I128`].
fn is_whole(ty: &Type) -> bool {
    ty.is_integer() || ty.is_decimal()
}

/// The range of a type's unscaled values.
pub fn unscaled_range(ty: &Type) -> Option<(i128, i128)> {
    match ty {
        Type::Decimal { width, .. } => {
            let limit = cast::power_of_ten(*width) - 1;
            Some((-limit, limit))
        }
        ty => ty.integer_range(),
    }
}

/// The digits behind the point.
pub(super) fn scale_of(ty: &Type) -> u8 {
    if let Type::Decimal { scale, .. } = ty { *scale } else { 0 }
}

/// `readable`: the type of a slot that lies in a column, `None` for every other one.
fn step(node: &Node, readable: &dyn Fn(Slot) -> Option<Type>) -> Option<Step> {
    Some(match node {
        Node::Slot(slot) => match readable(*slot)? {
            ty if is_whole(&ty) || ty == Type::Double => Step::Slot(*slot),
            _ => return None,
        },
        Node::Const(Value::Int(i)) => Step::Whole(*i),
        Node::Const(Value::Double(x)) => Step::Double(*x),
        Node::Whole(whole) => {
            let Whole { operation, left, right, least, most, .. } = &**whole;
            if !matches!(operation, Operation::Add | Operation::Subtract | Operation::Multiply) {
                return None;
            }
            let (left, right) = (Box::new(step(left, readable)?), Box::new(step(right, readable)?));
            Step::Arithmetic { operation: *operation, left, right, least: *least, most: *most }
        }
        Node::Double(node) => {
            if !matches!(node.operation, Operation::Add | Operation::Subtract | Operation::Multiply) {
                return None;
            }
            let (left, right) = (Box::new(step(&node.left, readable)?), Box::new(step(&node.right, readable)?));
            Step::DoubleArithmetic { operation: node.operation, left, right }
        }
        Node::Cast(node) if !node.or_null && is_whole(&node.from) => {
            let of = Box::new(step(&node.of, readable)?);
            let scale = scale_of(&node.from);
            match &node.to {
                Type::Double => Step::ToDouble { of, scale },
                to if is_whole(to) && scale_of(to) >= scale => {
                    let ((from_least, from_most), (least, most)) = (unscaled_range(&node.from)?, unscaled_range(to)?);
                    if scale_of(to) == scale && least <= from_least && from_most <= most {
                        return Some(*of);
                    }
                    Step::Scaled { of, by: cast::power_of_ten(scale_of(to) - scale), least, most }
                }
                _ => return None,
            }
        }
        _ => return None,
    })
}

/// Where a column's numbers lie while a program runs.
enum Numbers<'a> {
    /// The same for every row.
    One(i128),
    Narrow(Cow<'a, [i64]>),
    Wide(Cow<'a, [i128]>),
    OneDouble(f64),
    Doubles(Cow<'a, [f64]>),
}

struct Running<'a> {
    rows: usize,
    nulls: Vec<bool>,
    failed: Vec<bool>,
    column: &'a dyn Fn(Slot) -> Option<&'a Column>,
}

/// Calls `$body` with the numbers of an operand as a function of the row, typed, so that each pair of layouts is
/// a loop of its own.
macro_rules! with_whole {
    ($numbers:expr, $get:ident => $body:expr) => {
        match &$numbers {
            Numbers::One(x) => {
                let x = *x;
                let $get = move |_: usize| x;
                $body
            }
            Numbers::Narrow(v) => {
                let v = &v[..];
                let $get = |row: usize| v[row] as i128;
                $body
            }
            Numbers::Wide(v) => {
                let v = &v[..];
                let $get = |row: usize| v[row];
                $body
            }
            _ => return None,
        }
    };
}

macro_rules! with_doubles {
    ($numbers:expr, $get:ident => $body:expr) => {
        match &$numbers {
            Numbers::OneDouble(x) => {
                let x = *x;
                let $get = move |_: usize| x;
                $body
            }
            Numbers::Doubles(v) => {
                let v = &v[..];
                let $get = |row: usize| v[row];
                $body
            }
            _ => return None,
        }
    };
}

fn fits_narrow(least: i128, most: i128) -> bool {
    least >= i64::MIN as i128 && most <= i64::MAX as i128
}

impl<'a> Running<'a> {
    fn run(&mut self, step: &Step) -> Option<Numbers<'a>> {
        let rows = self.rows;
        Some(match step {
            Step::Whole(i) => Numbers::One(*i),
            Step::Double(x) => Numbers::OneDouble(*x),
            Step::Slot(slot) => {
                let column = (self.column)(*slot)?;
                for (null, own) in self.nulls.iter_mut().zip(&column.nulls) {
                    *null |= *own;
                }
                match &column.data {
                    Data::I64(v) => Numbers::Narrow(v.get(..rows)?.into()),
                    Data::I128(v) => Numbers::Wide(v.get(..rows)?.into()),
                    Data::F64(v) => Numbers::Doubles(v.get(..rows)?.into()),
                    _ => return None,
                }
            }
            Step::Arithmetic { operation, left, right, least, most } => {
                let (left, right) = (self.run(left)?, self.run(right)?);
                let (failed, least, most) = (&mut self.failed, *least, *most);
                if let (Numbers::Narrow(a), Numbers::Narrow(b)) = (&left, &right)
                    && fits_narrow(least, most)
                {
                    return Some(Numbers::Narrow(narrow(*operation, a, b, least, most, failed).into()));
                }
                let operation = *operation;
                let out: Vec<i128> = with_whole!(left, a => with_whole!(right, b => {
                    (0..rows).map(|row| {
                        let (a, b) = (a(row), b(row));
                        let result = match operation {
                            Operation::Add => a.checked_add(b),
                            Operation::Subtract => a.checked_sub(b),
                            _ => a.checked_mul(b),
                        };
                        in_range(result, least, most, &mut failed[row])
                    }).collect()
                }));
                Numbers::Wide(out.into())
            }
            Step::Scaled { of, by, least, most } => {
                let of = self.run(of)?;
                let (failed, by) = (&mut self.failed, *by);
                let out: Vec<i128> = with_whole!(of, a => {
                    (0..rows).map(|row| in_range(a(row).checked_mul(by), *least, *most, &mut failed[row])).collect()
                });
                Numbers::Wide(out.into())
            }
            Step::DoubleArithmetic { operation, left, right } => {
                let (left, right) = (self.run(left)?, self.run(right)?);
                let operation = *operation;
                let out: Vec<f64> = with_doubles!(left, a => with_doubles!(right, b => {
                    (0..rows).map(|row| match operation {
                        Operation::Add => a(row) + b(row),
                        Operation::Subtract => a(row) - b(row),
                        _ => a(row) * b(row),
                    }).collect()
                }));
                Numbers::Doubles(out.into())
            }
            Step::ToDouble { of, scale } => {
                let of = self.run(of)?;
                let scale = *scale;
                let out: Vec<f64> = with_whole!(of, a => (0..rows).map(|row| cast::to_double(a(row), scale)).collect());
                Numbers::Doubles(out.into())
            }
        })
    }
}

fn in_range(result: Option<i128>, least: i128, most: i128, failed: &mut bool) -> i128 {
    match result {
        Some(x) if x >= least && x <= most => x,
        _ => {
            *failed = true;
            0
        }
    }
}

/// Two narrow numbers cannot overflow 128 bits, and the range fits 64: what leaves it is flagged.
fn narrow(operation: Operation, a: &[i64], b: &[i64], least: i128, most: i128, failed: &mut [bool]) -> Vec<i64> {
    let triples = a.iter().zip(b).zip(failed).map(|((a, b), failed)| (*a as i128, *b as i128, failed));
    let checked = |x: i128, failed: &mut bool| {
        *failed |= x < least || x > most;
        x as i64
    };
    match operation {
        Operation::Add => triples.map(|(a, b, failed)| checked(a + b, failed)).collect(),
        Operation::Subtract => triples.map(|(a, b, failed)| checked(a - b, failed)).collect(),
        _ => triples.map(|(a, b, failed)| checked(a * b, failed)).collect(),
    }
}

impl Vector {
    /// The program of an expression, where it lies in the subset and reads something. `readable`: the type of the
    /// column that a slot's values lie in, `None` for a slot without one.
    pub fn of(expr: &Expr, readable: &dyn Fn(Slot) -> Option<Type>) -> Option<Vector> {
        Vector::of_node(&expr.root, &expr.ty, readable)
    }

    pub(super) fn of_node(node: &Node, ty: &Type, readable: &dyn Fn(Slot) -> Option<Type>) -> Option<Vector> {
        if matches!(node, Node::Slot(_) | Node::Const(_)) || !(is_whole(ty) || *ty == Type::Double) {
            return None;
        }
        let root = step(node, readable)?;
        root.reads().then(|| Vector { ty: ty.clone(), root })
    }

    /// The type of the values.
    pub fn ty(&self) -> &Type {
        &self.ty
    }

    /// Computes `rows` rows. `column` gives the columns of the slots that were readable. `None`: some column does
    /// not hold what it was said to hold.
    pub fn run<'a>(&self, rows: usize, column: &'a dyn Fn(Slot) -> Option<&'a Column>) -> Option<Computed> {
        let mut running = Running { rows, nulls: vec![false; rows], failed: vec![false; rows], column };
        let numbers = running.run(&self.root)?;
        let Running { mut nulls, mut failed, .. } = running;
        let mut out = Column::new(self.ty.clone());
        match (&mut out.data, numbers) {
            (Data::I64(out), Numbers::Narrow(v)) => *out = v.into_owned(),
            (Data::I64(out), numbers) => *out = with_whole!(numbers, x => (0..rows).map(|row| x(row) as i64).collect()),
            (Data::I128(out), Numbers::Wide(v)) => *out = v.into_owned(),
            (Data::I128(out), numbers) => *out = with_whole!(numbers, x => (0..rows).map(x).collect()),
            (Data::F64(out), Numbers::Doubles(v)) => *out = v.into_owned(),
            _ => return None,
        }
        // A row that failed counts as failed also where it is NULL: the expression says which it is.
        let mut any = false;
        for (failed, null) in failed.iter().zip(&mut nulls) {
            *null |= *failed;
            any |= *failed;
        }
        if !any {
            failed = Vec::new();
        }
        out.nulls = nulls;
        Some(Computed { column: out, failed })
    }
}
