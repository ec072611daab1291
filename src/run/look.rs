//! How a replay looks at the log otherwise than a run does.

use super::as_of::AsOf;
use super::history::Teller;

/// Nothing of it in a run.
#[derive(Clone, Copy, Default)]
pub struct Look<'a> {
    /// What is later takes no part.
    pub as_of: Option<AsOf>,
    /// Follows one row; nothing but its aggregate is folded then.
    pub teller: Option<&'a Teller<'a>>,
}

impl Look<'_> {
    /// Whether an aggregate takes part.
    pub fn takes(&self, aggregate: usize) -> bool {
        self.teller.is_none_or(|teller| teller.takes(aggregate))
    }
}
