//! Up to where rows are folded, in aggregates whose events have another order than the log's: what tells whether an
//! event of a later run comes too late.

use super::table::Place;
use crate::project::Order;

/// Where an event stands in the order of its aggregate: what it is sorted by, then its source's rank.
pub type OrderKey = i128;

/// Before every event.
pub const BEFORE_ALL: OrderKey = (i64::MIN as i128) << 16;

/// The name of the column that snapshots have beside those that SQL sees.
pub const ORDER_COLUMN: &str = "_order_key";

pub fn order_key(key: i64, rank: u16) -> OrderKey {
    ((key as i128) << 16) | rank as i128
}

/// The parts of an [`order_key`].
pub fn key_and_rank(key: OrderKey) -> (i64, u16) {
    ((key >> 16) as i64, key as u16)
}

/// The order key of an event of a source that is sorted.
pub fn key_of(order: Order, place: &Place) -> OrderKey {
    place.sort_key(order).map_or(BEFORE_ALL, |key| order_key(key, 0))
}

/// The order keys of a partition's rows.
pub struct RowOrder {
    /// By row: that of the last event that was for it, whether its rules applied or not.
    pub rows: Vec<OrderKey>,
    /// The greatest of an event that left no row behind: it deleted the row, or found none and made none.
    pub absent: OrderKey,
    /// The greatest of all.
    pub latest: OrderKey,
}

impl Default for RowOrder {
    fn default() -> Self {
        RowOrder { rows: Vec::new(), absent: BEFORE_ALL, latest: BEFORE_ALL }
    }
}

impl RowOrder {
    /// A row is added.
    pub fn add_row(&mut self) {
        self.rows.push(BEFORE_ALL);
    }

    /// Takes up what a snapshot knows of rows that are not there.
    pub fn restore_absent(&mut self, key: OrderKey) {
        self.absent = key;
        self.latest = self.latest.max(key);
    }

    /// An event was for a row, which is there now or is not.
    pub fn advance(&mut self, row: Option<usize>, key: OrderKey) {
        let place = match row {
            Some(row) => &mut self.rows[row],
            None => &mut self.absent,
        };
        *place = key.max(*place);
        self.latest = self.latest.max(key);
    }

    /// An event was for every row.
    pub fn advance_all(&mut self, key: OrderKey) {
        self.rows.iter_mut().for_each(|row| *row = key.max(*row));
        self.advance(None, key);
    }

    /// Whether an event for a row (`None`: there is none) sorts before what was folded into it.
    pub fn is_late(&self, row: Option<usize>, key: OrderKey) -> bool {
        key < row.map_or(self.absent, |row| self.rows[row])
    }
}
