//! How near two texts are. Distances are counted in bytes, as DuckDB counts them.

use super::text::{fail, text};
use super::{Function, Overload, plain};
use crate::sql::eval::Outcome;
use crate::sql::{EvalError, Type, Value};

const V: Type = Type::Varchar;
const D: Type = Type::Double;

pub const TABLE: &[Function] = &[
    plain(
        &["levenshtein", "editdist3"],
        "levenshtein(VARCHAR, VARCHAR)",
        &[overload!(&[V, V], Type::BigInt, |a| {
            let (left, right) = pair(a, STEPS_MAX)?;
            Ok(Value::Int(levenshtein(left, right) as i128))
        })],
    ),
    plain(
        &["damerau_levenshtein"],
        "damerau_levenshtein(VARCHAR, VARCHAR)",
        &[overload!(&[V, V], Type::BigInt, |a| {
            let (left, right) = pair(a, CELLS_MAX)?;
            Ok(Value::Int(strsim::generic_damerau_levenshtein(left, right) as i128))
        })],
    ),
    plain(&["hamming", "mismatches"], "hamming(VARCHAR, VARCHAR)", &[overload!(&[V, V], Type::BigInt, hamming)]),
    plain(&["jaccard"], "jaccard(VARCHAR, VARCHAR)", &[overload!(&[V, V], D, jaccard)]),
    plain(
        &["jaro_similarity"],
        "jaro_similarity(VARCHAR, VARCHAR [, least])",
        &[overload!(&[V, V], D, |a| similarity(a, jaro)), overload!(&[V, V, D], D, |a| similarity(a, jaro))],
    ),
    plain(
        &["jaro_winkler_similarity"],
        "jaro_winkler_similarity(VARCHAR, VARCHAR [, least])",
        &[overload!(&[V, V], D, |a| similarity(a, jaro_winkler)), overload!(&[V, V, D], D, |a| similarity(a, jaro_winkler))],
    ),
];

/// Each byte of one text may meet each of the other this often: some seconds.
const STEPS_MAX: usize = 1 << 32;
/// What keeps a table of them may have this many cells.
const CELLS_MAX: usize = 1 << 24;

/// Both texts, where comparing each byte with each is not too much.
fn pair(args: &[Value], most: usize) -> Result<(&[u8], &[u8]), EvalError> {
    let (left, right) = (text(args, 0).as_bytes(), text(args, 1).as_bytes());
    if left.len().saturating_mul(right.len()) > most {
        return fail("the texts are too long to be compared byte by byte");
    }
    Ok((left, right))
}

/// Insertions, deletions and replacements, one row of the table at a time.
fn levenshtein(left: &[u8], right: &[u8]) -> usize {
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (i, a) in left.iter().enumerate() {
        let mut diagonal = i;
        let mut before = i + 1;
        for (b, cell) in right.iter().zip(row.iter_mut().skip(1)) {
            let replaced = diagonal + usize::from(a != b);
            diagonal = *cell;
            before = replaced.min(before + 1).min(*cell + 1);
            *cell = before;
        }
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
    }
    row.last().copied().unwrap_or_default()
}

fn hamming(args: &[Value]) -> Outcome {
    let (left, right) = (text(args, 0).as_bytes(), text(args, 1).as_bytes());
    if left.len() != right.len() {
        return fail("hamming: the texts must have the same length in bytes");
    }
    if left.is_empty() {
        return fail("hamming: the texts must not be empty");
    }
    Ok(Value::Int(left.iter().zip(right).filter(|(a, b)| a != b).count() as i128))
}

/// The share of the bytes that are in both among those that are in either.
fn jaccard(args: &[Value]) -> Outcome {
    let (left, right) = (text(args, 0).as_bytes(), text(args, 1).as_bytes());
    if left.is_empty() || right.is_empty() {
        return fail("jaccard: the texts must not be empty");
    }
    let occurs = |of: &[u8]| {
        let mut set = [false; 256];
        for byte in of {
            set[*byte as usize] = true;
        }
        set
    };
    let (left, right) = (occurs(left), occurs(right));
    let both = left.iter().zip(&right).filter(|(a, b)| **a && **b).count();
    let either = left.iter().zip(&right).filter(|(a, b)| **a || **b).count();
    Ok(Value::Double(both as f64 / either as f64))
}

/// With a third argument, what is less similar than that is not similar at all.
fn similarity(args: &[Value], of: fn(&[u8], &[u8]) -> f64) -> Outcome {
    let (left, right) = pair(args, STEPS_MAX)?;
    let similarity = of(left, right);
    Ok(Value::Double(match args.get(2) {
        Some(Value::Double(least)) if similarity < *least => 0.0,
        _ => similarity,
    }))
}

/// Jaro's similarity. A byte matches the first equal one that is not matched yet and not farther away than half of
/// the longer text; matched bytes that stand in another order count as halves of transpositions.
fn jaro(left: &[u8], right: &[u8]) -> f64 {
    if left.is_empty() || right.is_empty() {
        return 0.0;
    }
    if left.len() == 1 && right.len() == 1 {
        return f64::from(left == right);
    }
    let reach = (left.len().max(right.len()) / 2).saturating_sub(1);
    let mut taken = vec![false; left.len()];
    let mut matched = Vec::new();
    for (j, byte) in right.iter().enumerate() {
        let from = j.saturating_sub(reach);
        let window = from..(j + reach + 1).min(left.len());
        let (Some(taken), Some(others)) = (taken.get_mut(window.clone()), left.get(window)) else { continue };
        for (taken, other) in taken.iter_mut().zip(others) {
            if !*taken && byte == other {
                *taken = true;
                matched.push(*byte);
                break;
            }
        }
    }
    if matched.is_empty() {
        return 0.0;
    }
    let in_order = left.iter().zip(&taken).filter(|(_, taken)| **taken).map(|(byte, _)| byte);
    let transpositions = in_order.zip(&matched).filter(|(a, b)| a != b).count() / 2;
    let common = matched.len() as f64;
    let sum = common / left.len() as f64 + common / right.len() as f64 + (common - transpositions as f64) / common;
    sum / 3.0
}

/// Winkler's variant: texts that are similar already are more so where they begin alike.
fn jaro_winkler(left: &[u8], right: &[u8]) -> f64 {
    let similarity = jaro(left, right);
    if similarity <= 0.7 {
        return similarity;
    }
    let prefix = left.iter().zip(right).take(4).take_while(|(a, b)| a == b).count();
    similarity + prefix as f64 * 0.1 * (1.0 - similarity)
}
