//! The functions that take a lambda.

use super::list::{inner, list_of};
use super::{Call, Function, null, written};
use crate::sql::ast::{Ast, Kind};
use crate::sql::bind::{Binder, Bound, error, error_with_help};
use crate::sql::cast;
use crate::sql::coerce::{self, Source};
use crate::sql::eval::{Each, Node};
use crate::sql::{CompileError, Type};

pub const TABLE: &[Function] = &[
    written(
        &["list_transform", "array_transform", "list_apply", "array_apply", "apply"],
        "list_transform(list, lambda x: …)",
        |binder, call| each(binder, call, Each::Transform),
    ),
    written(&["list_filter", "array_filter", "filter"], "list_filter(list, lambda x: …)", |binder, call| {
        each(binder, call, Each::Filter)
    }),
    written(&["list_reduce", "array_reduce", "reduce"], "list_reduce(list, lambda total, x: … [, start])", |binder, call| {
        each(binder, call, Each::Reduce)
    }),
];

/// The parameters and body of a lambda, in any spelling: `lambda x: …`, `x -> …`, `(x, i) -> …`.
fn lambda(ast: &Ast) -> Option<(Vec<String>, &Ast)> {
    let name = |ast: &Ast| match &ast.kind {
        Kind::Name(path) if path.len() == 1 => Some(path[0].name.clone()),
        _ => None,
    };
    match &ast.kind {
        Kind::Lambda { params, body } => Some((params.clone(), body)),
        Kind::Binary("->", left, body) => match &left.kind {
            Kind::Call { name: function, args, .. } if function == "row" => {
                let params: Option<Vec<String>> = args.iter().map(|(_, arg)| name(arg)).collect();
                Some((params?, body))
            }
            _ => Some((vec![name(left)?], body)),
        },
        _ => None,
    }
}

fn each(binder: &mut Binder, call: &Call, each: Each) -> Bound {
    let (list_ast, lambda_ast, start_ast) = match call.args {
        [(None, list), (None, lambda)] => (list, lambda, None),
        [(None, list), (None, lambda), (None, start)] if each == Each::Reduce => (list, lambda, Some(start)),
        _ => return Err(error(format!("`{}` takes a list and a lambda", call.name), &call.span)),
    };
    let mut of = binder.bind(list_ast)?;
    let mut item_ty = inner(&of)?;
    let Some((params, body)) = lambda(lambda_ast) else {
        return Err(error_with_help("a lambda is wanted here", "write `lambda x: x + 1`", &lambda_ast.span));
    };
    let least = if each == Each::Reduce { 2 } else { 1 };
    if params.len() < least || params.len() > least + 1 {
        return Err(error(format!("the lambda takes {least} or {} variables, not {}", least + 1, params.len()), &lambda_ast.span));
    }
    if of.ty == Type::Null {
        return Ok(null(Type::Null, &call.span));
    }
    let mut start = start_ast.map(|ast| binder.bind(ast)).transpose()?;
    if let Some(value) = start {
        let met = coerce::max_type(Source::of(&item_ty), Source::of(&value.ty))
            .ok_or_else(|| error(format!("the start must go with the list's {item_ty}, this is {}", value.shown()), &value.span))?;
        of = of.cast(&list_of(met.clone()));
        start = Some(value.cast(&met));
        item_ty = met;
    }
    let first_local = binder.locals.len();
    let with_index = params.len() > least;
    for (i, param) in params.into_iter().enumerate() {
        let ty = if i < least { item_ty.clone() } else { Type::BigInt };
        binder.locals.push((param, ty));
    }
    let bound = binder.bind(body);
    binder.locals.truncate(first_local);
    let body = bound?;
    let castable = |to: &Type| -> Result<(), CompileError> {
        // Of no elements nothing is asked.
        if cast::castable(&body.ty, to) || item_ty == Type::Null {
            return Ok(());
        }
        Err(error(format!("the lambda must give {to}, it gives {}", body.shown()), &body.span))
    };
    let (body, ty) = match each {
        Each::Transform => {
            let ty = list_of(body.ty.clone());
            (body, ty)
        }
        Each::Filter => {
            castable(&Type::Boolean)?;
            (body.cast(&Type::Boolean), of.ty.clone())
        }
        Each::Reduce => {
            castable(&item_ty)?;
            (body.cast(&item_ty), item_ty.clone())
        }
    };
    let start = start.map(|start| Box::new(start.node));
    let node = Node::Each { each, list: Box::new(of.node), body: Box::new(body.node), start, first_local, with_index };
    Ok(crate::sql::bind::Typed::new(node, ty, call.span.clone()))
}
