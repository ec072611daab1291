//! stub
use super::Function;
pub const TABLE: &[Function] = &[];
