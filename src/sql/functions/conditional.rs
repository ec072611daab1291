//! COALESCE, NULLIF, GREATEST, IF: functions that choose among their arguments.

use std::ops::Range;

use super::{Function, lenient, take, typed, want_args};
use crate::sql::bind::{Bound, Typed, common_type, compared};
use crate::sql::compare::{self, By};
use crate::sql::eval::Node;
use crate::sql::{Type, Value, cast};

pub const TABLE: &[Function] = &[
    typed(&["coalesce"], "coalesce(any, …)", coalesce),
    typed(&["ifnull"], "ifnull(any, any)", ifnull),
    typed(&["nullif"], "nullif(any, any)", nullif),
    typed(&["if"], "if(BOOLEAN, any, any)", if_),
    typed(&["greatest"], "greatest(any, …)", greatest),
    typed(&["least"], "least(any, …)", least),
];

fn coalesce(args: Vec<Typed>, span: &Range<usize>) -> Bound {
    want_args(&args, 1..=usize::MAX, span)?;
    let ty = common_type(args.iter(), "COALESCE")?;
    let nodes = args.into_iter().map(|arg| arg.cast(&ty).node).collect();
    Ok(Typed::new(Node::Coalesce(nodes), ty, span.clone()))
}

fn ifnull(args: Vec<Typed>, span: &Range<usize>) -> Bound {
    want_args(&args, 2..=2, span)?;
    coalesce(args, span)
}

fn nullif(args: Vec<Typed>, span: &Range<usize>) -> Bound {
    want_args(&args, 2..=2, span)?;
    let mut args = args.into_iter();
    let (of, other) = (take(&mut args, span)?, take(&mut args, span)?);
    let ty = of.ty.clone();
    if ty == Type::Null {
        return Ok(of);
    }
    let (left, right, met) = compared(of.clone(), other, true, span)?;
    let by = By::of(&met);
    let node = Node::NullIf { of: Box::new(of.node), left: Box::new(left.node), right: Box::new(right.node), by };
    Ok(Typed::new(node, ty, span.clone()))
}

fn if_(args: Vec<Typed>, span: &Range<usize>) -> Bound {
    want_args(&args, 3..=3, span)?;
    let mut args = args.into_iter();
    let (when, then, otherwise) = (take(&mut args, span)?, take(&mut args, span)?, take(&mut args, span)?);
    if !cast::castable(&when.ty, &Type::Boolean) {
        return Err(crate::sql::bind::error(format!("a BOOLEAN is wanted here, this is {}", when.shown()), &when.span));
    }
    let ty = common_type([&otherwise, &then].into_iter(), "if")?;
    let node = Node::Case {
        arms: vec![(when.cast(&Type::Boolean).node.into_condition(), then.cast(&ty).node)],
        otherwise: Box::new(otherwise.cast(&ty).node),
    };
    Ok(Typed::new(node, ty, span.clone()))
}

fn greatest(args: Vec<Typed>, span: &Range<usize>) -> Bound {
    extreme(args, span, true)
}

fn least(args: Vec<Typed>, span: &Range<usize>) -> Bound {
    extreme(args, span, false)
}

/// NULL arguments are passed over.
fn extreme(args: Vec<Typed>, span: &Range<usize>, greatest: bool) -> Bound {
    want_args(&args, 1..=usize::MAX, span)?;
    let ty = common_type(args.iter(), if greatest { "GREATEST" } else { "LEAST" })?;
    let by = By::of(&ty);
    if ty.is_integer() || ty.is_decimal() || matches!(ty, Type::Date | Type::Time | Type::Timestamp | Type::TimestampTz) {
        // a node of its own, so that updates of columns can be told by it
        let args = args.into_iter().map(|arg| arg.cast(&ty).node).collect();
        return Ok(Typed::new(Node::Extreme { greatest, args }, ty, span.clone()));
    }
    let by_key = args.len() > 1 && (ty == Type::Float || ty.is_nested());
    let args = args.into_iter().map(|arg| arg.cast(&ty)).collect();
    Ok(lenient(args, ty, span, move |values| {
        let present = values.iter().filter(|value| !value.is_null());
        let order = |a: &&Value, b: &&Value| if by == By::Value { compare::order_by_key(a, b) } else { by.order(a, b) };
        // Of equal ones the first.
        let chosen = if greatest { present.rev().max_by(order) } else { present.min_by(order) };
        let chosen = chosen.cloned().unwrap_or_default();
        Ok(if by_key { compare::without_negative_zero(chosen) } else { chosen })
    }))
}
