//! Structs and rows: packing, taking out, replacing fields, joining.

use std::ops::Range;
use std::sync::Arc;

use super::{Call, Function, lenient, null, strict, take, typed, want_args, written};
use crate::sql::ast::{Ast, Kind};
use crate::sql::bind::{Binder, Bound, Typed, error, error_with_help, field, implicit};
use crate::sql::compare;
use crate::sql::eval::{Node, Run};
use crate::sql::{CompileError, Type, Value};

pub const TABLE: &[Function] = &[
    typed(&["row"], "row(any, …)", row),
    written(&["struct_pack"], "struct_pack(name := value, …)", pack),
    typed(&["struct_extract"], "struct_extract(struct, 'name') or struct_extract(row, number)", extract),
    typed(&["struct_extract_at"], "struct_extract_at(struct, number)", extract_at),
    written(&["struct_update"], "struct_update(struct, name := value, …)", |binder, call| change(binder, call, true)),
    written(&["struct_insert"], "struct_insert(struct, name := value, …)", |binder, call| change(binder, call, false)),
    typed(&["struct_concat"], "struct_concat(struct, …)", concat),
    typed(&["struct_contains", "struct_has"], "struct_contains(row, value)", |args, span| find(args, span, false)),
    typed(&["struct_position", "struct_indexof"], "struct_position(row, value)", |args, span| find(args, span, true)),
    typed(&["struct_keys"], "struct_keys(struct)", keys),
    typed(&["struct_values"], "struct_values(struct)", values),
];

/// A struct of these values; rows have empty names.
fn packed(fields: Vec<(String, Typed)>, span: &Range<usize>) -> Bound {
    if fields.is_empty() {
        return Err(error("a struct wants at least one field", span));
    }
    let types = fields.iter().map(|(name, value)| (name.clone(), value.ty.clone())).collect();
    let nodes = fields.into_iter().map(|(_, value)| value.node).collect();
    Ok(Typed::new(Node::Struct(nodes), Type::Struct(types), span.clone()))
}

fn row(args: Vec<Typed>, span: &Range<usize>) -> Bound {
    packed(args.into_iter().map(|arg| (String::new(), arg)).collect(), span)
}

/// The named arguments, bound; a bare name names itself.
fn named(binder: &mut Binder, args: &[(Option<String>, Ast)]) -> Result<Vec<(String, Typed)>, CompileError> {
    let mut out: Vec<(String, Typed)> = Vec::new();
    for (name, ast) in args {
        let name = match (name, &ast.kind) {
            (Some(name), _) => name.clone(),
            (None, Kind::Name(path)) if !path.is_empty() => path[path.len() - 1].name.clone(),
            _ => return Err(error_with_help("this field needs a name", "write `name := value`", &ast.span)),
        };
        if out.iter().any(|(n, _)| n.eq_ignore_ascii_case(&name)) {
            return Err(error(format!("the struct has two fields `{name}`"), &ast.span));
        }
        out.push((name, binder.bind(ast)?));
    }
    Ok(out)
}

fn pack(binder: &mut Binder, call: &Call) -> Bound {
    packed(named(binder, call.args)?, &call.span)
}

fn fields_of(of: &Typed) -> Result<&[(String, Type)], CompileError> {
    match &of.ty {
        Type::Struct(fields) => Ok(fields),
        _ => Err(error(format!("a struct is wanted here, this is {}", of.shown()), &of.span)),
    }
}

/// The field of a number from 1.
fn numbered(of: Typed, number: &Typed, span: &Range<usize>) -> Bound {
    let fields = fields_of(&of)?;
    let Node::Const(Value::Int(i)) = &number.node else { return Err(error("a field's number must be a constant", &number.span)) };
    let place = usize::try_from(*i - 1).ok().filter(|place| *place < fields.len());
    let place = place.ok_or_else(|| error(format!("the struct has {} fields, none has the number {i}", fields.len()), &number.span))?;
    let ty = fields[place].1.clone();
    Ok(Typed::new(Node::Field(Box::new(of.node), place), ty, span.clone()))
}

/// A field by its name, of a row by its number.
pub fn extract(args: Vec<Typed>, span: &Range<usize>) -> Bound {
    want_args(&args, 2..=2, span)?;
    let mut args = args.into_iter();
    let (of, name) = (take(&mut args, span)?, take(&mut args, span)?);
    fields_of(&of)?;
    match &name.node {
        Node::Const(Value::Text(name)) => field(of, name, span.clone()),
        Node::Const(Value::Int(_)) if of.ty.is_row() => numbered(of, &name, span),
        Node::Const(Value::Int(_)) => Err(error_with_help("only the fields of a row have numbers", "name the field", &name.span)),
        _ => Err(error("a struct's field is named by a constant", &name.span)),
    }
}

fn extract_at(args: Vec<Typed>, span: &Range<usize>) -> Bound {
    want_args(&args, 2..=2, span)?;
    let mut args = args.into_iter();
    let (of, number) = (take(&mut args, span)?, take(&mut args, span)?);
    numbered(of, &number, span)
}

fn change(binder: &mut Binder, call: &Call, replaces: bool) -> Bound {
    let Some(((None, of), rest)) = call.args.split_first() else { return Err(error("a struct is wanted first", &call.span)) };
    let of = binder.bind(of)?;
    let mut fields = fields_of(&of)?.to_vec();
    let to_row = of.ty.is_row();
    let changes = named(binder, rest)?;
    if changes.is_empty() {
        return Err(error("at least one `name := value` is wanted", &call.span));
    }
    let mut places = Vec::with_capacity(changes.len());
    let mut args = vec![of];
    for (name, value) in changes {
        let place = match fields.iter().position(|(n, _)| n.eq_ignore_ascii_case(&name)) {
            Some(_) if !replaces => return Err(error(format!("the struct already has a field `{name}`"), &value.span)),
            Some(place) => {
                fields[place].1 = value.ty.clone();
                place
            }
            None => {
                // What a row gets has no name either.
                let name = if to_row { String::new() } else { name };
                fields.push((name, value.ty.clone()));
                fields.len() - 1
            }
        };
        places.push(place);
        args.push(value);
    }
    let count = fields.len();
    // A NULL struct has NULL fields, and is no longer NULL with one of them set.
    Ok(lenient(args, Type::Struct(fields), &call.span, move |args| {
        let Some((of, changes)) = args.split_first() else { return Ok(Value::Null) };
        let mut values = if let Value::Struct(values) = of { values.to_vec() } else { Vec::new() };
        values.resize(count, Value::Null);
        for (place, value) in places.iter().zip(changes) {
            values[*place] = value.clone();
        }
        Ok(Value::Struct(Arc::new(values)))
    }))
}

/// The fields of all structs in one; a NULL struct has NULL fields.
fn concat(args: Vec<Typed>, span: &Range<usize>) -> Bound {
    want_args(&args, 1..=usize::MAX, span)?;
    let mut fields: Vec<(String, Type)> = Vec::new();
    let mut counts = Vec::with_capacity(args.len());
    for arg in &args {
        let more = fields_of(arg)?;
        if arg.ty.is_row() != args[0].ty.is_row() {
            return Err(error("rows and structs with names do not go together", &arg.span));
        }
        for (name, ty) in more {
            if !name.is_empty() && fields.iter().any(|(n, _)| n.eq_ignore_ascii_case(name)) {
                return Err(error(format!("the struct has two fields `{name}`"), &arg.span));
            }
            fields.push((name.clone(), ty.clone()));
        }
        counts.push(more.len());
    }
    Ok(lenient(args, Type::Struct(fields), span, move |args| {
        let mut out = Vec::new();
        for (arg, count) in args.iter().zip(&counts) {
            match arg {
                Value::Struct(values) => out.extend(values.iter().cloned()),
                _ => out.resize(out.len() + count, Value::Null),
            }
        }
        Ok(Value::Struct(Arc::new(out)))
    }))
}

/// Whether a value is among the row's, or where.
fn find(args: Vec<Typed>, span: &Range<usize>, position: bool) -> Bound {
    want_args(&args, 2..=2, span)?;
    let mut args = args.into_iter();
    let (of, wanted) = (take(&mut args, span)?, take(&mut args, span)?);
    if of.ty == Type::Null {
        return Ok(null(Type::Null, span));
    }
    let fields = fields_of(&of)?;
    if !of.ty.is_row() {
        return Err(error_with_help("this looks into rows, whose fields have no names", "write `row(…)`", &of.span));
    }
    let mut met = wanted.ty.clone();
    for (_, ty) in fields {
        let meets = crate::sql::coerce::max_type(crate::sql::coerce::Source::of(&met), crate::sql::coerce::Source::of(ty));
        met = meets.ok_or_else(|| error(format!("{met} and {ty} cannot be compared"), span))?;
    }
    let row_ty = Type::Struct(fields.iter().map(|_| (String::new(), met.clone())).collect());
    let args = vec![of.cast(&row_ty), implicit(wanted, &met, "the value")?];
    let ty = if position { Type::Integer } else { Type::Boolean };
    Ok(strict(args, ty, span, move |args| {
        let (Some(Value::Struct(values)), Some(wanted)) = (args.first(), args.get(1)) else { return Ok(Value::Null) };
        let found = values.iter().position(|value| !value.is_null() && compare::order(value, wanted).is_eq());
        Ok(match found {
            Some(place) if position => Value::Int(place as i128 + 1),
            None if position => Value::Null,
            found => Value::Bool(found.is_some()),
        })
    }))
}

fn keys(args: Vec<Typed>, span: &Range<usize>) -> Bound {
    want_args(&args, 1..=1, span)?;
    let ty = Type::List(Box::new(Type::Varchar));
    if args[0].ty == Type::Null {
        return Ok(null(ty, span));
    }
    let fields = fields_of(&args[0])?;
    if args[0].ty.is_row() {
        return Err(error("the fields of a row have no names", &args[0].span));
    }
    let names = Value::List(Arc::new(fields.iter().map(|(name, _)| Value::text(name)).collect()));
    Ok(strict(args, ty, span, move |_| Ok(names.clone())))
}

/// The struct as a row.
fn values(args: Vec<Typed>, span: &Range<usize>) -> Bound {
    want_args(&args, 1..=1, span)?;
    let mut args = args.into_iter();
    let of = take(&mut args, span)?;
    if of.ty == Type::Null {
        return Ok(null(Type::Null, span));
    }
    let ty = Type::Struct(fields_of(&of)?.iter().map(|(_, ty)| (String::new(), ty.clone())).collect());
    let run = Run::Plain(|args| Ok(args.first().cloned().unwrap_or_default()));
    Ok(Typed::new(Node::Call { run, args: vec![of.node], strict: true }, ty, span.clone()))
}
