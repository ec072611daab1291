use super::Function;
pub const TABLE: &[Function] = &[];
