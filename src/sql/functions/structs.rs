//! Structs: packing, taking out, replacing fields.

use std::sync::Arc;

use super::{Call, Function, lenient, want_args, written};
use crate::sql::ast::Kind;
use crate::sql::bind::{Binder, Bound, Typed, error, error_with_help};
use crate::sql::eval::Node;
use crate::sql::{CompileError, Type, Value};

pub const TABLE: &[Function] = &[
    written(&["struct_pack"], "struct_pack(name := value, …)", pack),
    written(&["struct_extract", "struct_extract_at"], "struct_extract(struct, 'name')", extract),
    written(&["struct_update"], "struct_update(struct, name := value, …)", update),
    written(&["struct_insert"], "struct_insert(struct, name := value, …)", insert),
];

/// The named arguments, bound; a bare name names itself.
fn named(binder: &mut Binder, args: &[(Option<String>, crate::sql::ast::Ast)]) -> Result<Vec<(String, Typed)>, CompileError> {
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
    let fields = named(binder, call.args)?;
    if fields.is_empty() {
        return Err(error("a struct wants at least one field", &call.span));
    }
    let types = fields.iter().map(|(name, value)| (name.clone(), value.ty.clone())).collect();
    let nodes = fields.into_iter().map(|(_, value)| value.node).collect();
    Ok(Typed::new(Node::Struct(nodes), Type::Struct(types), call.span.clone()))
}

fn extract(binder: &mut Binder, call: &Call) -> Bound {
    let args = binder.bind_all(call.args)?;
    want_args(&args, 2..=2, &call.span)?;
    let [of, name] = args.as_slice() else { return Err(error("two arguments are wanted", &call.span)) };
    match (&of.ty, &name.node) {
        (Type::Struct(_), Node::Const(Value::Text(name))) => binder.field(of.clone(), name, call.span.clone()),
        (Type::Struct(fields), Node::Const(Value::Int(i))) if *i >= 1 && *i <= fields.len() as i128 => {
            let (name, _) = &fields[*i as usize - 1];
            binder.field(of.clone(), name, call.span.clone())
        }
        (Type::Struct(_), _) => Err(error("a struct's field is named by a constant", &name.span)),
        _ => Err(error(format!("a struct is wanted here, this is {}", of.shown()), &of.span)),
    }
}

fn update(binder: &mut Binder, call: &Call) -> Bound {
    change(binder, call, true)
}

fn insert(binder: &mut Binder, call: &Call) -> Bound {
    change(binder, call, false)
}

fn change(binder: &mut Binder, call: &Call, replaces: bool) -> Bound {
    let Some(((None, of), rest)) = call.args.split_first() else { return Err(error("a struct is wanted first", &call.span)) };
    let of = binder.bind(of)?;
    let Type::Struct(fields) = &of.ty else { return Err(error(format!("a struct is wanted here, this is {}", of.shown()), &of.span)) };
    let mut fields = fields.clone();
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
                fields.push((name, value.ty.clone()));
                fields.len() - 1
            }
        };
        places.push(place);
        args.push(value);
    }
    let count = fields.len();
    Ok(lenient(args, Type::Struct(fields), &call.span, move |args| {
        let Some((of, changes)) = args.split_first() else { return Ok(Value::Null) };
        let mut values = match of {
            Value::Struct(values) => values.to_vec(),
            // A struct that is NULL is one of NULLs then.
            _ => Vec::new(),
        };
        values.resize(count, Value::Null);
        for (place, value) in places.iter().zip(changes) {
            values[*place] = value.clone();
        }
        Ok(Value::Struct(Arc::new(values)))
    }))
}
