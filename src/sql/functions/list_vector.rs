//! Lists of FLOAT or DOUBLE as vectors: products and distances.

use std::ops::Range;

use super::list::{items, list_of};
use super::{Function, strict, typed, want_args};
use crate::sql::bind::{Bound, Typed, error};
use crate::sql::coerce::{self, Choice};
use crate::sql::{EvalError, Type, Value};

pub const TABLE: &[Function] = &[
    typed(&["list_inner_product", "list_dot_product"], "list_inner_product(list, list)", |args, span| {
        measure(args, span, Measure::Product)
    }),
    typed(&["list_negative_inner_product", "list_negative_dot_product"], "list_negative_inner_product(list, list)", |args, span| {
        measure(args, span, Measure::NegativeProduct)
    }),
    typed(&["list_distance"], "list_distance(list, list)", |args, span| measure(args, span, Measure::Distance)),
    typed(&["list_cosine_similarity"], "list_cosine_similarity(list, list)", |args, span| measure(args, span, Measure::Cosine)),
    typed(&["list_cosine_distance"], "list_cosine_distance(list, list)", |args, span| measure(args, span, Measure::CosineDistance)),
];

#[derive(Clone, Copy, PartialEq)]
enum Measure {
    Product,
    NegativeProduct,
    Distance,
    Cosine,
    CosineDistance,
}

/// The same in both widths, since rounding differs.
macro_rules! measured {
    ($measure:expr, $left:expr, $right:expr, $one:expr) => {{
        let (left, right) = ($left, $right);
        let pairs = || left.iter().copied().zip(right.iter().copied());
        let zero = $one - $one;
        let product = pairs().fold(zero, |sum, (a, b)| sum + a * b);
        match $measure {
            Measure::Product => Some(product),
            Measure::NegativeProduct => Some(-product),
            Measure::Distance => Some(pairs().fold(zero, |sum, (a, b)| sum + (a - b) * (a - b)).sqrt()),
            Measure::Cosine | Measure::CosineDistance if left.is_empty() => None,
            Measure::Cosine | Measure::CosineDistance => {
                let (left, right) = pairs().fold((zero, zero), |(left, right), (a, b)| (left + a * a, right + b * b));
                let cosine = product / (left * right).sqrt();
                // Also what is not a number becomes -1, as in DuckDB.
                let cosine = if cosine > -$one { cosine.min($one) } else { -$one };
                Some(if $measure == Measure::Cosine { cosine } else { $one - cosine })
            }
        }
    }};
}

fn measure(args: Vec<Typed>, span: &Range<usize>, measure: Measure) -> Bound {
    want_args(&args, 2..=2, span)?;
    let overloads = [Type::Float, Type::Double].map(|ty| [list_of(ty.clone()), list_of(ty)]);
    let sources: Vec<_> = args.iter().map(Typed::source).collect();
    let Choice::One(chosen) = coerce::choose(&sources, overloads.iter().map(|params| (params.as_slice(), None))) else {
        return Err(error("two lists of FLOAT or DOUBLE are wanted here", span));
    };
    let list_ty = &overloads[chosen][0];
    let ty = if chosen == 0 { Type::Float } else { Type::Double };
    let args = args.into_iter().map(|arg| arg.cast(list_ty)).collect();
    Ok(strict(args, ty, span, move |args| {
        let (left, right) = (items(args).unwrap_or_default(), items(args.get(1..).unwrap_or_default()).unwrap_or_default());
        if left.len() != right.len() {
            return Err(EvalError(format!("the lists must be of one length, these have {} and {} elements", left.len(), right.len())));
        }
        if left.iter().chain(right).any(Value::is_null) {
            return Err(EvalError("the lists cannot have NULLs in them".into()));
        }
        Ok(if chosen == 0 {
            let numbers = |list: &[Value]| -> Vec<f32> {
                list.iter().filter_map(|x| if let Value::Float(x) = x { Some(*x) } else { None }).collect()
            };
            measured!(measure, numbers(left), numbers(right), 1.0f32).map_or(Value::Null, Value::Float)
        } else {
            let numbers = |list: &[Value]| -> Vec<f64> {
                list.iter().filter_map(|x| if let Value::Double(x) = x { Some(*x) } else { None }).collect()
            };
            measured!(measure, numbers(left), numbers(right), 1.0f64).map_or(Value::Null, Value::Double)
        })
    }))
}
