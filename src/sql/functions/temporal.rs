use super::*;
use std::ops::Range;
pub const TABLE: &[Function] = &[];
pub fn interval_literal(_l: Typed, _u: &str, span: Range<usize>) -> Bound {
    Err(error("todo", &span))
}
