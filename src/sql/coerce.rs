//! DuckDB's implicit casts: what they cost, which overload they choose, which type two types meet in.

use super::Type;

/// What is known of an argument besides its type: a literal adapts to what it meets.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Literal {
    None,
    Text,
    Int(i128),
}

#[derive(Debug, Clone, Copy)]
pub struct Source<'a> {
    pub ty: &'a Type,
    pub literal: Literal,
}

impl<'a> Source<'a> {
    pub fn of(ty: &'a Type) -> Source<'a> {
        Source { ty, literal: Literal::None }
    }
}

/// Stands for DECIMAL of any width in a function's parameters.
pub const ANY_DECIMAL: Type = Type::Decimal { width: 0, scale: 0 };

/// The preference among targets.
fn target_cost(to: &Type) -> u32 {
    match to {
        Type::BigInt => 101,
        Type::Integer => 102,
        Type::HugeInt => 103,
        Type::Double => 104,
        Type::Decimal { .. } => 105,
        Type::Timestamp => 120,
        Type::TimestampTz => 123,
        Type::Varchar | Type::Json => 149,
        Type::Struct(_) | Type::Map(..) | Type::List(_) => 160,
        _ => 110,
    }
}

/// What the implicit cast costs; None: there is none.
pub fn cast_cost(from: Source, to: &Type) -> Option<u32> {
    match from.literal {
        Literal::Text => {
            return if *to == Type::Varchar {
                Some(1)
            } else if *to == ANY_DECIMAL {
                None
            } else {
                Some(20)
            };
        }
        Literal::Int(value) => {
            if from.ty == to {
                return Some(0);
            }
            if to.is_float() || to.integer_range().is_some_and(|(least, most)| (least..=most).contains(&value)) {
                return Some(target_cost(to) - 90);
            }
        }
        Literal::None => {}
    }
    let from = from.ty;
    match (from, to) {
        (Type::Null, _) => return Some(target_cost(to)),
        (Type::List(a), Type::List(b)) => return cast_cost(Source::of(a), b).map(|cost| cost.saturating_sub(1)),
        (Type::Map(k, v), Type::Map(to_k, to_v)) => {
            return Some(cast_cost(Source::of(k), to_k)?.max(cast_cost(Source::of(v), to_v)?));
        }
        (Type::Struct(a), Type::Struct(b)) => {
            if a.len() != b.len() {
                return None;
            }
            let mut cost = 0;
            let by_place = from.is_row() || to.is_row();
            for (place, (name, ty)) in a.iter().enumerate() {
                let (_, to) = if by_place { b.get(place) } else { b.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)) }?;
                cost = cost.max(cast_cost(Source::of(ty), to)?);
            }
            return Some(cost);
        }
        (Type::Decimal { .. }, Type::Decimal { .. }) => return Some(0),
        (Type::Json, Type::Varchar) => return Some(1),
        (Type::Varchar, Type::Json) => return None,
        _ if from == to => return Some(0),
        _ => {}
    }
    let rank = |ty: &Type| match ty {
        Type::TinyInt => 1,
        Type::SmallInt => 2,
        Type::Integer => 3,
        Type::BigInt => 4,
        Type::HugeInt => 5,
        _ => 0,
    };
    let unsigned_rank = |ty: &Type| match ty {
        Type::UTinyInt => 1,
        Type::USmallInt => 2,
        Type::UInteger => 3,
        Type::UBigInt => 4,
        _ => 0,
    };
    let allowed = if from.is_integer() {
        to.is_float()
            || to.is_decimal()
            || (rank(from) > 0 && rank(to) > rank(from))
            || (unsigned_rank(from) > 0 && (unsigned_rank(to) > unsigned_rank(from) || rank(to) > unsigned_rank(from)))
    } else {
        match from {
            Type::Decimal { .. } => to.is_float(),
            Type::Float => *to == Type::Double,
            Type::Date => matches!(to, Type::Timestamp | Type::TimestampTz),
            Type::Timestamp => *to == Type::TimestampTz,
            _ => false,
        }
    };
    allowed.then(|| target_cost(to))
}

/// Digits in all and behind the point that a number of this type needs as DECIMAL.
pub fn decimal_properties(ty: &Type) -> Option<(u8, u8)> {
    Some(match ty {
        Type::Decimal { width, scale } => (*width, *scale),
        Type::TinyInt | Type::UTinyInt => (3, 0),
        Type::SmallInt | Type::USmallInt => (5, 0),
        Type::Integer | Type::UInteger => (10, 0),
        Type::BigInt => (19, 0),
        Type::UBigInt => (20, 0),
        Type::HugeInt => (38, 0),
        Type::Null => (0, 0),
        _ => return None,
    })
}

/// The type both sides are cast to where they meet in CASE, COALESCE, a list, …
pub fn max_type(a: Source, b: Source) -> Option<Type> {
    combine(a, b, false)
}

fn combine(a: Source, b: Source, force: bool) -> Option<Type> {
    if *a.ty == Type::Json && a.literal == Literal::None {
        return Some(Type::Json);
    }
    if *b.ty == Type::Json && b.literal == Literal::None {
        return Some(Type::Json);
    }
    let meet = |a: &Type, b: &Type| combine_or_force(Source::of(a), Source::of(b), force);
    match (a.literal, b.literal) {
        (Literal::Text, Literal::Text) => return Some(Type::Varchar),
        (Literal::Int(_), Literal::Int(_)) => return meet(a.ty, b.ty),
        _ => {}
    }
    if a.literal == Literal::None && b.literal == Literal::None {
        match (a.ty, b.ty) {
            (Type::Decimal { width: w1, scale: s1 }, Type::Decimal { width: w2, scale: s2 }) => {
                let whole = (w1 - s1).max(w2 - s2);
                let scale = *s1.max(s2);
                let width = whole + scale;
                return Some(if width > 38 { Type::Decimal { width: 38, scale: 38 - whole } } else { Type::Decimal { width, scale } });
            }
            (Type::List(x), Type::List(y)) => return Some(Type::List(Box::new(meet(x, y)?))),
            (Type::Map(k1, v1), Type::Map(k2, v2)) => return Some(Type::Map(Box::new(meet(k1, k2)?), Box::new(meet(v1, v2)?))),
            (Type::Struct(x), Type::Struct(y)) if a.ty.is_row() || b.ty.is_row() => {
                if x.len() != y.len() {
                    return None;
                }
                let field = |((n, a), (m, b)): (&(String, Type), &(String, Type))| {
                    Some((if n.is_empty() { m.clone() } else { n.clone() }, meet(a, b)?))
                };
                return Some(Type::Struct(x.iter().zip(y).map(field).collect::<Option<_>>()?));
            }
            (Type::Struct(x), Type::Struct(y)) => {
                let mut fields = Vec::new();
                for (name, ty) in x {
                    match y.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)) {
                        Some((_, other)) => fields.push((name.clone(), meet(ty, other)?)),
                        None => fields.push((name.clone(), ty.clone())),
                    }
                }
                fields.extend(y.iter().filter(|(name, _)| !x.iter().any(|(n, _)| n.eq_ignore_ascii_case(name))).cloned());
                return Some(Type::Struct(fields));
            }
            (x, y) if x == y => return Some(x.clone()),
            _ => {}
        }
    }
    if *a.ty == Type::Null {
        return Some(b.ty.clone());
    }
    if *b.ty == Type::Null {
        return Some(a.ty.clone());
    }
    if a.literal == Literal::Text {
        return Some(b.ty.clone());
    }
    if b.literal == Literal::Text {
        return Some(a.ty.clone());
    }
    let (to_right, to_left) = (cast_cost(a, b.ty), cast_cost(b, a.ty));
    // An integer literal is a target only through its own type, which the fallback below tries.
    let to_right = to_right.filter(|_| b.literal == Literal::None);
    let to_left = to_left.filter(|_| a.literal == Literal::None);
    if let Some(cost) = to_right
        && to_left.is_none_or(|other| cost < other)
    {
        return Some(grow_decimal(a.ty, b.ty));
    }
    if to_left.is_some() {
        return Some(grow_decimal(b.ty, a.ty));
    }
    if a.literal != Literal::None || b.literal != Literal::None {
        return combine_or_force(Source::of(a.ty), Source::of(b.ty), force);
    }
    if a.ty.is_numeric() && b.ty.is_numeric() {
        return Some(mixed_signs(a.ty, b.ty));
    }
    match (a.ty, b.ty) {
        (Type::Boolean, other) | (other, Type::Boolean) if other.is_integer() => Some(other.clone()),
        _ => None,
    }
}

fn combine_or_force(a: Source, b: Source, force: bool) -> Option<Type> {
    combine(a, b, force).or_else(|| force.then(|| if score(a.ty) < score(b.ty) { b.ty.clone() } else { a.ty.clone() }))
}

fn grow_decimal(from: &Type, to: &Type) -> Type {
    if let (Type::Decimal { width, scale }, Some((digits, 0))) = (to, decimal_properties(from))
        && digits > width - scale
    {
        return Type::Decimal { width: (digits + scale).min(38), scale: *scale };
    }
    to.clone()
}

/// A signed and an unsigned type meet in the signed type that holds both.
fn mixed_signs(a: &Type, b: &Type) -> Type {
    let either = |signed: &Type, unsigned: &Type| a == signed || b == signed || a == unsigned || b == unsigned;
    if either(&Type::BigInt, &Type::UBigInt) {
        Type::HugeInt
    } else if either(&Type::Integer, &Type::UInteger) {
        Type::BigInt
    } else if either(&Type::SmallInt, &Type::USmallInt) {
        Type::Integer
    } else {
        Type::SmallInt
    }
}

/// Which type wins where none of the rules applies and an answer is wanted all the same (equality).
fn score(ty: &Type) -> u32 {
    match ty {
        Type::Null => 0,
        Type::Boolean => 10,
        Type::UTinyInt => 11,
        Type::TinyInt => 12,
        Type::USmallInt => 13,
        Type::SmallInt => 14,
        Type::UInteger => 15,
        Type::Integer => 16,
        Type::UBigInt => 17,
        Type::BigInt => 18,
        Type::HugeInt => 20,
        Type::Decimal { .. } => 21,
        Type::Float => 22,
        Type::Double => 23,
        Type::Time => 50,
        Type::Date => 52,
        Type::Timestamp | Type::TimestampTz => 55,
        Type::Interval => 58,
        Type::Varchar | Type::Json => 77,
        Type::Blob => 101,
        Type::Uuid => 102,
        Type::Struct(_) => 125,
        Type::List(_) => 126,
        Type::Map(..) => 127,
    }
}

/// The type in which two values are compared. `equality`: `=`, `<>`, IN, IS DISTINCT FROM accept more pairs.
pub fn comparison_type(a: Source, b: Source, equality: bool) -> Option<Type> {
    let met = if equality { combine_or_force(a, b, true)? } else { combine(a, b, false)? };
    match met {
        Type::Decimal { .. } => {
            let (Some((w1, s1)), Some((w2, s2))) = (decimal_properties(a.ty), decimal_properties(b.ty)) else {
                return Some(met);
            };
            let scale = s1.max(s2);
            let width = (scale + (w1 - s1).max(w2 - s2)).max(w1.max(w2)).min(38);
            Some(Type::Decimal { width, scale })
        }
        // A number, a time or a truth is compared as such, not as text.
        met @ (Type::Varchar | Type::Json) => {
            let as_itself = |ty: &Type| {
                ty.is_numeric()
                    || matches!(ty, Type::Boolean | Type::Date | Type::Time | Type::Timestamp | Type::TimestampTz | Type::Interval)
            };
            if as_itself(a.ty) {
                Some(a.ty.clone())
            } else if as_itself(b.ty) {
                Some(b.ty.clone())
            } else {
                Some(met)
            }
        }
        other => Some(other),
    }
}

/// Which overload fits the arguments at the lowest cost.
pub enum Choice {
    One(usize),
    None,
    Several,
}

pub fn choose<'a>(args: &[Source], overloads: impl Iterator<Item = (&'a [Type], Option<&'a Type>)>) -> Choice {
    let mut best: Option<(u32, usize)> = None;
    let mut tied = false;
    'overloads: for (i, (params, rest)) in overloads.enumerate() {
        if args.len() < params.len() || (args.len() > params.len() && rest.is_none()) {
            continue;
        }
        let mut cost = 0;
        for (k, arg) in args.iter().enumerate() {
            let Some(to) = params.get(k).or(rest) else { continue 'overloads };
            match cast_cost(*arg, to) {
                Some(c) => cost += c,
                None => continue 'overloads,
            }
        }
        match best {
            Some((lowest, _)) if cost > lowest => {}
            Some((lowest, _)) if cost == lowest => tied = true,
            _ => {
                best = Some((cost, i));
                tied = false;
            }
        }
    }
    match best {
        None => Choice::None,
        Some(_) if tied => Choice::Several,
        Some((_, i)) => Choice::One(i),
    }
}
