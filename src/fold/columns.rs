//! The columns of a partition's living rows one by one, borrowed where they lie as they are.

use std::borrow::Cow;

use super::key;
use super::table::{META_COLUMNS, Meta, Table};
use crate::project::Aggregate;
use crate::sql::column::Data;
use crate::sql::{Column, Type};

/// Column `index` (of [`schema`](super::schema)) of rows. `slots`: all living ones, oldest first ([`Table::slots`]).
pub fn column<'t>(table: &'t Table, aggregate: &Aggregate, slots: &[u32], index: usize) -> Cow<'t, Column> {
    let keys = aggregate.keys.len();
    if index < keys {
        let types: Vec<Type> = aggregate.keys.iter().map(|key| key.ty.clone()).collect();
        return Cow::Owned(key::decode_column(slots.iter().map(|row| table.key(*row as usize)), &types, index));
    }
    if let Some(state) = table.state.get(index - keys) {
        return if slots.len() == state.len() { Cow::Borrowed(state) } else { Cow::Owned(state.gather(slots)) };
    }
    let index = index - keys - table.state.len();
    let of: fn(&Meta) -> Option<i64> = match index {
        0 => |meta| Some(meta.events),
        1 => Meta::version,
        2 => Meta::position,
        3 => Meta::first_event_at,
        _ => Meta::last_event_at,
    };
    let values: Vec<Option<i64>> = slots.iter().map(|row| of(&table.meta[*row as usize])).collect();
    let data = Data::I64(values.iter().map(|value| value.unwrap_or_default()).collect());
    Cow::Owned(Column { ty: META_COLUMNS[index].1.clone(), data, nulls: values.iter().map(Option::is_none).collect() })
}
