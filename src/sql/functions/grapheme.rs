//! Text by grapheme clusters (what a reader takes for one character), accents, normal forms.

use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;
use unicode_segmentation::UnicodeSegmentation;

use super::text::{in_substring_range, int, text};
use super::{Function, Overload, plain};
use crate::sql::{EvalError, Type, Value};

const V: Type = Type::Varchar;
const I: Type = Type::BigInt;

pub const TABLE: &[Function] = &[
    plain(&["reverse"], "reverse(VARCHAR)", &[overload!(&[V], V, |a| Ok(Value::text(reverse(text(a, 0)))))]),
    plain(&["length_grapheme"], "length_grapheme(VARCHAR)", &[overload!(&[V], I, |a| Ok(Value::Int(size(text(a, 0)))))]),
    plain(
        &["left_grapheme"],
        "left_grapheme(VARCHAR, count)",
        &[overload!(&[V, I], V, |a| {
            let (of, count) = (text(a, 0), int(a, 1));
            let count = if count < 0 { (size(of) + count).max(0) } else { count };
            substring(of, 1, count)
        })],
    ),
    plain(
        &["right_grapheme"],
        "right_grapheme(VARCHAR, count)",
        &[overload!(&[V, I], V, |a| {
            let (of, count) = (text(a, 0), int(a, 1));
            let size = size(of);
            let count = if count < 0 { (size + count).max(0) } else { count.min(size) };
            substring(of, size - count + 1, count)
        })],
    ),
    plain(
        &["substring_grapheme"],
        "substring_grapheme(VARCHAR, from [, length])",
        &[
            overload!(&[V, I], V, |a| substring(text(a, 0), int(a, 1), u32::MAX as i128)),
            overload!(&[V, I, I], V, |a| substring(text(a, 0), int(a, 1), int(a, 2))),
        ],
    ),
    plain(&["strip_accents"], "strip_accents(VARCHAR)", &[overload!(&[V], V, |a| Ok(Value::text(strip_accents(text(a, 0)))))]),
    plain(&["nfc_normalize"], "nfc_normalize(VARCHAR)", &[overload!(&[V], V, |a| Ok(Value::text(text(a, 0).nfc().collect::<String>())))]),
];

fn clusters(of: &str) -> impl DoubleEndedIterator<Item = &str> {
    of.graphemes(true)
}

/// How many clusters; ASCII has one a byte, `\r\n` not excepted (as in DuckDB).
fn size(of: &str) -> i128 {
    if of.is_ascii() { of.len() as i128 } else { clusters(of).count() as i128 }
}

/// ASCII by bytes, so that `\r\n` is reversed, too (as in DuckDB); all else by clusters.
fn reverse(of: &str) -> String {
    if of.is_ascii() { of.chars().rev().collect() } else { clusters(of).rev().collect() }
}

/// Start and end of a substring in a text of `size` characters; they are equal where nothing is meant.
fn start_and_end(size: i128, offset: i128, length: i128) -> (i128, i128) {
    let (start, length) = match offset {
        // Position 0 lies before the first character.
        0 => (0, (length - 1).max(0)),
        1.. => (size.min(offset - 1), length),
        _ => ((size + offset).max(0), length),
    };
    if length < 0 { ((start + length).max(0), start) } else { (start, (start + length).min(size)) }
}

/// Clusters from `offset` (from 1, negative from the end); a negative length goes to the left. Other than with
/// code points, an offset before the text is taken for its beginning. As in DuckDB a positive offset is bounded by the
/// number of bytes, and an end before the first cluster is none.
fn substring(of: &str, offset: i128, length: i128) -> Result<Value, EvalError> {
    in_substring_range(offset, length)?;
    let (start, end) = start_and_end(of.len() as i128, offset, length);
    if start == end {
        return Ok(Value::text(""));
    }
    let (from, to) = (start as usize, end as usize);
    if of.as_bytes().iter().take(to + 1).all(u8::is_ascii) {
        return Ok(Value::text(of.get(from..to).unwrap_or_default()));
    }
    let (from, to) = if offset < 0 {
        let (start, end) = start_and_end(size(of), offset, length);
        (start as usize, end as usize)
    } else {
        (from, to)
    };
    let count = if to > from { to - from } else { usize::MAX };
    Ok(Value::text(clusters(of).skip(from).take(count).collect::<String>()))
}

fn strip_accents(of: &str) -> String {
    if of.is_ascii() {
        return of.to_string();
    }
    of.nfd().filter(|c| !is_combining_mark(*c)).nfc().collect()
}
