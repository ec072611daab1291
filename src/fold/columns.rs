//! The columns of a partition's living rows one by one, borrowed where they lie as they are.

use std::borrow::Cow;

use super::table::{META_COLUMNS, Table};
use crate::project::Aggregate;
use crate::sql::Column;

/// Column `index` (of [`schema`](super::schema)) of the living rows, oldest first.
pub fn column<'t>(table: &'t Table, aggregate: &Aggregate, index: usize) -> Cow<'t, Column> {
    if let Some(key) = aggregate.keys.get(index) {
        let mut column = Column::new(key.ty.clone());
        table.rows().for_each(|row| column.push(table.key_value(table.key(row), index)));
        return Cow::Owned(column);
    }
    let index = index - aggregate.keys.len();
    if let Some(state) = table.state.get(index) {
        if table.len() == state.len() {
            return Cow::Borrowed(state);
        }
        let mut column = Column::new(state.ty.clone());
        table.rows().for_each(|row| column.push(state.get(row)));
        return Cow::Owned(column);
    }
    let index = index - table.state.len();
    let mut column = Column::new(META_COLUMNS[index].1.clone());
    for row in table.rows() {
        column.push(std::mem::take(&mut table.meta[row].values()[index]));
    }
    Cow::Owned(column)
}
