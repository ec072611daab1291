//! What a snapshot has of a table's rows, and what the next one has to write of them.
//!
//! The rows of a partition lie in a base file and in deltas above it, oldest first. Each row knows in which of them its
//! values stand, so that a run writes the rows that it has changed, alone or together with the deltas that they replace.

pub use crate::source::level::{BASE, Counts, FRESH, Level};

/// Some file has a row under this key.
const KNOWN: u8 = 16;

/// By row of a table, the level of its values; and the keys of rows that are in a file and were deleted.
#[derive(Default)]
pub struct Saved {
    rows: Vec<u8>,
    buried: Vec<(Box<[u8]>, Level)>,
}

impl Saved {
    /// A row is made, which no file has.
    #[inline]
    pub fn add(&mut self) {
        self.rows.push(FRESH);
    }

    /// Rows are taken up from a file.
    pub fn restore(&mut self, rows: usize, level: Level) {
        self.rows.resize(self.rows.len() + rows, KNOWN | level);
    }

    /// A row has changed.
    #[inline]
    pub fn change(&mut self, row: usize) {
        self.rows[row] |= FRESH;
    }

    pub fn change_all(&mut self) {
        self.rows.iter_mut().for_each(|row| *row |= FRESH);
    }

    /// A row is deleted.
    pub fn delete(&mut self, row: usize, key: &[u8]) {
        if self.rows[row] & KNOWN != 0 {
            self.buried.push((key.into(), FRESH));
        }
    }

    /// A file says that there is no row under this key any more.
    pub fn restore_buried(&mut self, key: &[u8], level: Level) {
        self.buried.push((key.into(), level));
    }

    pub fn level(&self, row: usize) -> Level {
        self.rows[row] & FRESH
    }

    /// The keys that are buried, and where that stands. There may be a new row under one.
    pub fn buried(&self) -> impl Iterator<Item = (&[u8], Level)> {
        self.buried.iter().map(|(key, level)| (&**key, *level))
    }
}
