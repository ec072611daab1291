//! The compiled tree and its evaluation.
//!
//! What could be decided when the expression was compiled has been decided: types, overloads, field numbers,
//! and whether arithmetic is whole (integers and decimals alike, on unscaled 128 bits) or floating.

use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;

use super::compare::{self, By, Comparison};
use super::{Env, EvalError, Interval, MapEntries, Slot, Type, Value, cast, datetime, text_format};

pub type Outcome = Result<Value, EvalError>;

type Bound = dyn Fn(&[Value]) -> Outcome + Send + Sync;

/// What a function does with its evaluated arguments.
#[derive(Clone)]
pub enum Run {
    Plain(fn(&[Value]) -> Outcome),
    /// With what was known when it was bound.
    Bound(Arc<Bound>),
}

impl Run {
    pub fn bound(run: impl Fn(&[Value]) -> Outcome + Send + Sync + 'static) -> Run {
        Run::Bound(Arc::new(run))
    }

    fn call(&self, args: &[Value]) -> Outcome {
        match self {
            Run::Plain(run) => run(args),
            Run::Bound(run) => run(args),
        }
    }
}

impl fmt::Debug for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Run")
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    Add,
    Subtract,
    Multiply,
    Divide,
    /// `//`: NULL where the divisor is zero, for floating numbers too.
    DivideOrNull,
    Modulo,
    /// Of decimals, in doubles: NULL where the divisor is zero.
    ModuloOrNull,
}

/// Arithmetic of integers and of decimals that were brought to one scale.
#[derive(Debug, Clone)]
pub struct Whole {
    pub operation: Operation,
    pub left: Node,
    pub right: Node,
    /// The result's range.
    pub least: i128,
    pub most: i128,
    pub ty: Type,
}

#[derive(Debug, Clone)]
pub struct Floating {
    pub operation: Operation,
    pub left: Node,
    pub right: Node,
}

#[derive(Debug, Clone)]
pub struct Compare {
    pub comparison: Comparison,
    pub by: By,
    pub left: Node,
    pub right: Node,
}

#[derive(Debug, Clone)]
pub struct CastNode {
    pub of: Node,
    pub from: Type,
    pub to: Type,
    pub or_null: bool,
}

/// What is done with each element of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Each {
    Transform,
    Filter,
    /// From the left, the first element being the start.
    Reduce,
}

/// Updates that can be done on a value that nobody else holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Update {
    MapPut,
    MapRemove,
    ListAppend,
}

#[derive(Debug, Clone)]
pub enum Node {
    Const(Value),
    Slot(Slot),
    /// A lambda's variable, by its place on the stack of variables.
    Local(usize),
    Whole(Box<Whole>),
    Double(Box<Floating>),
    Float(Box<Floating>),
    Compare(Box<Compare>),
    /// IS [NOT] DISTINCT FROM
    Distinct {
        left: Box<Node>,
        right: Box<Node>,
        not: bool,
    },
    /// `condition`: only whether it is true matters, so NULL on the left decides, too.
    And {
        left: Box<Node>,
        right: Box<Node>,
        right_can_fail: bool,
        condition: bool,
    },
    Or {
        left: Box<Node>,
        right: Box<Node>,
        right_can_fail: bool,
    },
    Not(Box<Node>),
    IsNull {
        of: Box<Node>,
        not: bool,
    },
    IsBool {
        of: Box<Node>,
        is: bool,
        not: bool,
    },
    In {
        of: Box<Node>,
        among: Vec<Node>,
        by: By,
    },
    Case {
        arms: Vec<(Node, Node)>,
        otherwise: Box<Node>,
    },
    Coalesce(Vec<Node>),
    NullIf {
        of: Box<Node>,
        left: Box<Node>,
        right: Box<Node>,
        by: By,
    },
    /// GREATEST and LEAST of whole numbers and times: NULL arguments are passed over.
    Extreme {
        greatest: bool,
        args: Vec<Node>,
    },
    Cast(Box<CastNode>),
    Field(Box<Node>, usize),
    List(Vec<Node>),
    Struct(Vec<Node>),
    /// `strict`: NULL where an argument is NULL.
    Call {
        run: Run,
        args: Vec<Node>,
        strict: bool,
    },
    Each {
        each: Each,
        list: Box<Node>,
        body: Box<Node>,
        /// What a reduction starts from, instead of the first element.
        start: Option<Box<Node>>,
        first_local: usize,
        with_index: bool,
    },
    Update {
        update: Update,
        args: Vec<Node>,
    },
    /// `m[k]`: NULL where there is none.
    MapValue {
        map: Box<Node>,
        key: Box<Node>,
    },
}

/// Nothing is known: for constants.
pub struct NoEnv;

impl Env for NoEnv {
    fn get(&self, _: Slot) -> Value {
        Value::Null
    }
}

fn overflow(what: &Whole, left: i128, right: i128) -> EvalError {
    let sign = match what.operation {
        Operation::Add => '+',
        Operation::Subtract => '-',
        Operation::Multiply => '*',
        _ => '/',
    };
    if what.ty.is_decimal() {
        // the factors of a product and the sides of a quotient have scales of their own
        if !matches!(what.operation, Operation::Add | Operation::Subtract) {
            return EvalError(format!("overflow: the result does not fit {}", what.ty));
        }
        let [left, right] = [left, right].map(|number| text_format::text_of(&Value::Int(number), &what.ty));
        return EvalError(format!("overflow: {left} {sign} {right} does not fit {}", what.ty));
    }
    EvalError(format!("overflow: {left} {sign} {right} does not fit {}", what.ty))
}

impl Whole {
    #[inline]
    fn apply(&self, left: i128, right: i128) -> Outcome {
        let result = match self.operation {
            Operation::Add => left.checked_add(right),
            Operation::Subtract => left.checked_sub(right),
            Operation::Multiply => left.checked_mul(right),
            Operation::Divide | Operation::DivideOrNull | Operation::Modulo | Operation::ModuloOrNull if right == 0 => {
                return Ok(Value::Null);
            }
            Operation::Divide | Operation::DivideOrNull => left.checked_div(right),
            // DuckDB fails here although the rest would be 0.
            Operation::Modulo if right == -1 && left == self.least && self.ty.is_integer() => None,
            Operation::Modulo | Operation::ModuloOrNull => left.checked_rem(right),
        };
        match result {
            Some(result) if result >= self.least && result <= self.most => Ok(Value::Int(result)),
            _ => Err(overflow(self, left, right)),
        }
    }
}

macro_rules! floating {
    ($operation:expr, $left:expr, $right:expr) => {
        match $operation {
            Operation::Add => $left + $right,
            Operation::Subtract => $left - $right,
            Operation::Multiply => $left * $right,
            Operation::DivideOrNull | Operation::ModuloOrNull if $right == 0.0 => return Ok(Value::Null),
            Operation::Divide | Operation::DivideOrNull => $left / $right,
            Operation::Modulo | Operation::ModuloOrNull => $left % $right,
        }
    };
}

impl Node {
    pub fn eval<E: Env>(&self, env: &E, locals: &mut Vec<Value>) -> Outcome {
        Ok(match self {
            Node::Const(value) => value.clone(),
            Node::Slot(slot) => env.get(*slot),
            Node::Local(i) => locals.get(*i).cloned().unwrap_or_default(),
            Node::Whole(node) => {
                let (left, right) = (node.left.eval(env, locals)?, node.right.eval(env, locals)?);
                match (left, right) {
                    (Value::Int(left), Value::Int(right)) => return node.apply(left, right),
                    _ => Value::Null,
                }
            }
            Node::Double(node) => match (node.left.eval(env, locals)?, node.right.eval(env, locals)?) {
                (Value::Double(left), Value::Double(right)) => Value::Double(floating!(node.operation, left, right)),
                _ => Value::Null,
            },
            Node::Float(node) => match (node.left.eval(env, locals)?, node.right.eval(env, locals)?) {
                (Value::Float(left), Value::Float(right)) => Value::Float(floating!(node.operation, left, right)),
                _ => Value::Null,
            },
            Node::Compare(node) => {
                let (left, right) = (node.left.eval(env, locals)?, node.right.eval(env, locals)?);
                if left.is_null() || right.is_null() {
                    return Ok(Value::Null);
                }
                Value::Bool(node.comparison.holds(node.by.order(&left, &right)))
            }
            Node::Distinct { left, right, not } => {
                let (left, right) = (left.eval(env, locals)?, right.eval(env, locals)?);
                Value::Bool((compare::order(&left, &right) != Ordering::Equal) != *not)
            }
            Node::And { left, right, right_can_fail, condition } => {
                let left = left.eval(env, locals)?;
                if matches!(left, Value::Bool(false)) && !right_can_fail || *condition && left.is_null() {
                    return Ok(left);
                }
                match (left, right.eval(env, locals)?) {
                    (Value::Bool(false), _) | (_, Value::Bool(false)) => Value::Bool(false),
                    (Value::Bool(true), Value::Bool(true)) => Value::Bool(true),
                    _ => Value::Null,
                }
            }
            Node::Or { left, right, right_can_fail } => {
                let left = left.eval(env, locals)?;
                if matches!(left, Value::Bool(true)) && !right_can_fail {
                    return Ok(left);
                }
                match (left, right.eval(env, locals)?) {
                    (Value::Bool(true), _) | (_, Value::Bool(true)) => Value::Bool(true),
                    (Value::Bool(false), Value::Bool(false)) => Value::Bool(false),
                    _ => Value::Null,
                }
            }
            Node::Not(of) => match of.eval(env, locals)? {
                Value::Bool(b) => Value::Bool(!b),
                _ => Value::Null,
            },
            Node::IsNull { of, not } => Value::Bool(of.eval(env, locals)?.is_null() != *not),
            Node::IsBool { of, is, not } => Value::Bool((of.eval(env, locals)?.as_bool() == Some(*is)) != *not),
            Node::In { of, among, by } => {
                let of = of.eval(env, locals)?;
                let (mut found, mut unknown) = (false, of.is_null());
                for item in among {
                    let item = item.eval(env, locals)?;
                    if item.is_null() {
                        unknown = true;
                    } else if !of.is_null() && by.order(&of, &item).is_eq() {
                        found = true;
                    }
                }
                if found {
                    Value::Bool(true)
                } else if unknown {
                    Value::Null
                } else {
                    Value::Bool(false)
                }
            }
            Node::Case { arms, otherwise } => {
                for (when, then) in arms {
                    if matches!(when.eval(env, locals)?, Value::Bool(true)) {
                        return then.eval(env, locals);
                    }
                }
                return otherwise.eval(env, locals);
            }
            Node::Coalesce(nodes) => {
                for node in nodes {
                    let value = node.eval(env, locals)?;
                    if !value.is_null() {
                        return Ok(value);
                    }
                }
                Value::Null
            }
            Node::NullIf { of, left, right, by } => {
                let (a, b) = (left.eval(env, locals)?, right.eval(env, locals)?);
                if !a.is_null() && !b.is_null() && by.order(&a, &b).is_eq() {
                    return Ok(Value::Null);
                }
                return of.eval(env, locals);
            }
            Node::Extreme { greatest, args } => {
                let wanted = if *greatest { Ordering::Greater } else { Ordering::Less };
                let mut chosen = Value::Null;
                for arg in args {
                    let value = arg.eval(env, locals)?;
                    if !value.is_null() && (chosen.is_null() || compare::order(&value, &chosen) == wanted) {
                        chosen = value;
                    }
                }
                chosen
            }
            Node::Cast(node) => {
                let value = node.of.eval(env, locals)?;
                return cast::cast(value, &node.from, &node.to, node.or_null);
            }
            Node::Field(of, i) => match of.eval(env, locals)? {
                Value::Struct(values) => values.get(*i).cloned().unwrap_or_default(),
                _ => Value::Null,
            },
            Node::List(items) => Value::List(Arc::new(eval_all(items, env, locals)?)),
            Node::Struct(items) => Value::Struct(Arc::new(eval_all(items, env, locals)?)),
            Node::Call { run, args, strict } => return call(run, args, *strict, env, locals),
            Node::Each { each, list, body, start, first_local, with_index } => {
                let list = list.eval(env, locals)?;
                let start = start.as_ref().map(|start| start.eval(env, locals)).transpose()?;
                let Value::List(items) = list else { return Ok(Value::Null) };
                locals.truncate(*first_local);
                return over_list(*each, (&items, start), body, *first_local, *with_index, env, locals);
            }
            Node::Update { update, args } => {
                let Some((of, rest)) = args.split_first() else { return Ok(Value::Null) };
                let current = of.eval(env, locals)?;
                let rest = update_args(rest, env, locals)?;
                check_update(*update, current.is_null(), &rest)?;
                return Ok(apply_update(*update, current, rest));
            }
            Node::MapValue { map, key } => {
                let look = |map: &Value, key: Value| match map {
                    Value::Map(entries) => entries.get(&key).cloned().unwrap_or_default(),
                    _ => Value::Null,
                };
                if let Node::Slot(slot) = &**map
                    && let Some(map) = env.peek(*slot)
                {
                    return Ok(look(map, key.eval(env, locals)?));
                }
                let map = map.eval(env, locals)?;
                look(&map, key.eval(env, locals)?)
            }
        })
    }
}

fn eval_all<E: Env>(nodes: &[Node], env: &E, locals: &mut Vec<Value>) -> Result<Vec<Value>, EvalError> {
    nodes.iter().map(|node| node.eval(env, locals)).collect()
}

/// Up to three arguments stay on the stack.
fn call<E: Env>(run: &Run, args: &[Node], strict: bool, env: &E, locals: &mut Vec<Value>) -> Outcome {
    let mut few = [Value::Null, Value::Null, Value::Null];
    let many;
    let values: &[Value] = if args.len() <= few.len() {
        for (value, arg) in few.iter_mut().zip(args) {
            *value = arg.eval(env, locals)?;
        }
        &few[..args.len()]
    } else {
        many = eval_all(args, env, locals)?;
        &many
    };
    if strict && values.iter().any(Value::is_null) {
        return Ok(Value::Null);
    }
    run.call(values)
}

fn over_list<E: Env>(
    each: Each,
    (items, start): (&[Value], Option<Value>),
    body: &Node,
    first_local: usize,
    with_index: bool,
    env: &E,
    locals: &mut Vec<Value>,
) -> Outcome {
    let run = |values: &[Value], locals: &mut Vec<Value>| {
        locals.truncate(first_local);
        locals.resize(first_local, Value::Null);
        locals.extend_from_slice(values);
        let result = body.eval(env, locals);
        locals.truncate(first_local);
        result
    };
    let mut out = Vec::new();
    match each {
        Each::Transform | Each::Filter => {
            for (i, item) in items.iter().enumerate() {
                let value = if with_index {
                    run(&[item.clone(), Value::Int(i as i128 + 1)], locals)?
                } else {
                    run(std::slice::from_ref(item), locals)?
                };
                match each {
                    Each::Transform => out.push(value),
                    _ if matches!(value, Value::Bool(true)) => out.push(item.clone()),
                    _ => {}
                }
            }
            Ok(Value::List(Arc::new(out)))
        }
        Each::Reduce => {
            let (mut total, rest) = match (start, items.split_first()) {
                (Some(start), _) => (start, items),
                (None, Some((first, rest))) => (first.clone(), rest),
                (None, None) => return Err(EvalError("list_reduce wants a list with at least one element, or a start".into())),
            };
            let first_index = items.len() - rest.len() + 1;
            for (i, item) in rest.iter().enumerate() {
                total = if with_index {
                    run(&[total, item.clone(), Value::Int((i + first_index) as i128)], locals)?
                } else {
                    run(&[total, item.clone()], locals)?
                };
            }
            Ok(total)
        }
    }
}

/// The arguments of an update behind the value that it changes.
pub type UpdateArgs = [Value; 2];

/// Evaluates them.
pub fn update_args<E: Env>(nodes: &[Node], env: &E, locals: &mut Vec<Value>) -> Result<UpdateArgs, EvalError> {
    let mut args = UpdateArgs::default();
    for (arg, node) in args.iter_mut().zip(nodes) {
        *arg = node.eval(env, locals)?;
    }
    Ok(args)
}

/// What an update would fail of, before anything is changed. `is_null`: of the value that it changes.
pub fn check_update(update: Update, is_null: bool, [first, _]: &UpdateArgs) -> Result<(), EvalError> {
    if update == Update::MapPut && !is_null && first.is_null() {
        return Err(EvalError("map_put: a map's key cannot be NULL".into()));
    }
    Ok(())
}

/// Applies a checked update; copies only what is shared.
pub fn apply_update(update: Update, current: Value, [first, second]: UpdateArgs) -> Value {
    match (update, current) {
        (Update::MapPut, Value::Map(mut entries)) => {
            Arc::make_mut(&mut entries).insert(first, second);
            Value::Map(entries)
        }
        (Update::MapRemove, Value::Map(mut entries)) => {
            if entries.contains_key(&first) {
                Arc::make_mut(&mut entries).shift_remove(&first);
            }
            Value::Map(entries)
        }
        (Update::ListAppend, Value::List(mut items)) => {
            Arc::make_mut(&mut items).push(first);
            Value::List(items)
        }
        (Update::ListAppend, Value::Null) => Value::List(Arc::new(vec![first])),
        (_, current) => current,
    }
}

/// Helpers for functions over intervals and dates that several modules need.
pub fn date_out_of_range() -> EvalError {
    EvalError("the date or timestamp is out of range".into())
}

pub fn interval_out_of_range() -> EvalError {
    EvalError("the interval is out of range".into())
}

pub fn add_interval(timestamp: i64, interval: Interval) -> Outcome {
    datetime::add_to_timestamp(timestamp, interval).map(Value::Timestamp).ok_or_else(date_out_of_range)
}

/// A map of entries whose keys are checked: no NULL, no duplicate.
pub fn map_of(entries: impl Iterator<Item = (Value, Value)>) -> Outcome {
    let mut out = MapEntries::default();
    for (key, value) in entries {
        if key.is_null() {
            return Err(EvalError("a map's key cannot be NULL".into()));
        }
        if out.insert(key, value).is_some() {
            return Err(EvalError("a map's keys must be unique".into()));
        }
    }
    Ok(Value::Map(Arc::new(out)))
}
