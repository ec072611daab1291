//! The state of an aggregate in one partition: its rows by column, found by key.

use std::borrow::Cow;
use std::ops::Range;

use xxhash_rust::xxh3::xxh3_64;

use super::key::{self, Keys};
use super::order::{BEFORE_ALL, ORDER_COLUMN, RowOrder};
use super::saved::{Counts, FRESH, Level, Saved};
use crate::prefetch::prefetch;
use crate::project::{Aggregate, Order};
use crate::source::Events;
use crate::source::index::Index;
use crate::sql::column::Data;
use crate::sql::{Column, Type, Value};

/// Rows of one partition. A deleted row leaves a dead slot behind, which snapshots leave out.
pub struct Table {
    index: Index,
    key_types: Vec<Type>,
    key_bytes: Vec<u8>,
    /// Where each row's key ends in `key_bytes`, and the next one's begins.
    key_ends: Vec<usize>,
    pub state: Vec<Column>,
    pub defaults: Vec<Value>,
    /// Of each column its default, alone in a column.
    default_columns: Vec<Column>,
    pub meta: Vec<Meta>,
    /// Where the aggregate's events have another order than the log's.
    pub order: Option<RowOrder>,
    live: Vec<bool>,
    live_count: usize,
    /// True since a row was added, changed or deleted.
    pub dirty: bool,
    saved: Saved,
    /// What files have of these rows says nothing of them any more.
    pub is_made_anew: bool,
}

/// Where an event stands: its version, position and time, as far as it has them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Place {
    version: i64,
    position: i64,
    time: i64,
    /// [`VERSION`], [`POSITION`], [`TIME`]: what is not NULL.
    known: u8,
}

const VERSION: u8 = 1;
const POSITION: u8 = 2;
const TIME: u8 = 4;
const FIRST_TIME: u8 = 8;

impl Place {
    /// Of an event; one that is not there has none.
    pub fn of(events: &Events, event: usize) -> Place {
        if event >= events.len() {
            return Place::default();
        }
        Place::new(events.version[event], events.position[event], events.time[event])
    }

    /// What an order other than the log's sorts the event by.
    pub fn sort_key(&self, order: Order) -> Option<i64> {
        let (flag, value) = match order {
            Order::Log => return None,
            Order::Position => (POSITION, self.position),
            Order::Time => (TIME, self.time),
            Order::Version => (VERSION, self.version),
        };
        (self.known & flag != 0).then_some(value)
    }

    fn new(version: Option<i64>, position: Option<i64>, time: Option<i64>) -> Place {
        let flag = |value: Option<i64>, flag: u8| if value.is_some() { flag } else { 0 };
        Place {
            version: version.unwrap_or_default(),
            position: position.unwrap_or_default(),
            time: time.unwrap_or_default(),
            known: flag(version, VERSION) | flag(position, POSITION) | flag(time, TIME),
        }
    }
}

/// What every row knows of the events that made it: `_events`, `_version`, `_position`, `_first_event_at`, `_last_event_at`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Meta {
    pub events: i64,
    /// Of the last one, and of all [`FIRST_TIME`].
    last: Place,
    first_time: i64,
}

impl Meta {
    /// Counts an event that was applied. `spans_streams`: versions mean nothing.
    #[inline]
    pub fn advance(&mut self, place: &Place, spans_streams: bool) {
        let mut first = self.last.known & FIRST_TIME;
        if self.events == 0 {
            self.first_time = place.time;
            first = if place.known & TIME != 0 { FIRST_TIME } else { 0 };
        }
        self.events += 1;
        self.last = *place;
        self.last.known |= first;
        if spans_streams {
            self.last.known &= !VERSION;
        }
    }

    /// The values of [`META_COLUMNS`].
    pub fn values(&self) -> [Value; 5] {
        let int = |value: Option<i64>| value.map_or(Value::Null, |value| Value::Int(value as i128));
        let time = |time: Option<i64>| time.map_or(Value::Null, Value::Timestamp);
        [int(Some(self.events)), int(self.version()), int(self.position()), time(self.first_event_at()), time(self.last_event_at())]
    }

    /// Of a row of [`META_COLUMNS`].
    fn restored(columns: &[Column], row: usize) -> Meta {
        let part = |i: usize| columns.get(i).and_then(|column| column.whole(row)).map(|whole| whole as i64);
        let first = part(3);
        let mut last = Place::new(part(1), part(2), part(4));
        last.known |= if first.is_some() { FIRST_TIME } else { 0 };
        Meta { events: part(0).unwrap_or_default(), last, first_time: first.unwrap_or_default() }
    }

    fn has(&self, flag: u8, value: i64) -> Option<i64> {
        (self.last.known & flag != 0).then_some(value)
    }

    pub fn version(&self) -> Option<i64> {
        self.has(VERSION, self.last.version)
    }

    pub fn position(&self) -> Option<i64> {
        self.has(POSITION, self.last.position)
    }

    pub fn first_event_at(&self) -> Option<i64> {
        self.has(FIRST_TIME, self.first_time)
    }

    pub fn last_event_at(&self) -> Option<i64> {
        self.has(TIME, self.last.time)
    }
}

/// The names and types of the columns behind the state, in the order of [`Meta`].
pub const META_COLUMNS: [(&str, Type); 5] = [
    ("_events", Type::BigInt),
    ("_version", Type::BigInt),
    ("_position", Type::BigInt),
    ("_first_event_at", Type::Timestamp),
    ("_last_event_at", Type::Timestamp),
];

impl Table {
    pub fn new(aggregate: &Aggregate) -> Table {
        let default_columns = aggregate.state.iter().map(|column| {
            let mut alone = Column::new(column.ty.clone());
            alone.push(column.default.clone());
            alone
        });
        Table {
            index: Index::default(),
            key_types: aggregate.keys.iter().map(|k| k.ty.clone()).collect(),
            key_bytes: Vec::new(),
            key_ends: Vec::new(),
            default_columns: default_columns.collect(),
            state: aggregate.state.iter().map(|c| Column::new(c.ty.clone())).collect(),
            defaults: aggregate.state.iter().map(|c| c.default.clone()).collect(),
            meta: Vec::new(),
            order: aggregate.is_ordered().then(RowOrder::default),
            live: Vec::new(),
            live_count: 0,
            dirty: false,
            saved: Saved::default(),
            is_made_anew: false,
        }
    }

    /// A row's values, or its place in the order, have changed.
    #[inline]
    pub fn mark(&mut self, row: usize) {
        self.saved.change(row);
        self.dirty = true;
    }

    /// The same of every row.
    pub fn mark_all(&mut self) {
        self.saved.change_all();
        self.dirty = true;
    }

    /// How many rows live.
    pub fn len(&self) -> usize {
        self.live_count
    }

    pub fn is_empty(&self) -> bool {
        self.live_count == 0
    }

    /// The slots of living rows, oldest first.
    pub fn rows(&self) -> impl Iterator<Item = usize> + '_ {
        (0..self.live.len()).filter(|row| self.live[*row])
    }

    /// The same as a list.
    pub fn slots(&self) -> Vec<u32> {
        self.rows().map(|row| row as u32).collect()
    }

    #[inline]
    pub fn key(&self, row: usize) -> &[u8] {
        let start = if row == 0 { 0 } else { self.key_ends[row - 1] };
        &self.key_bytes[start..self.key_ends[row]]
    }

    pub fn key_value(&self, key: &[u8], index: usize) -> Value {
        key::decode(key, &self.key_types, index)
    }

    #[inline]
    pub fn find(&self, hash: u64, key: &[u8]) -> Option<usize> {
        self.index.find(hash, |row| self.key(row as usize) == key).map(|row| row as usize)
    }

    /// Asks for the memory in which the rows of keys with these hashes lie.
    #[inline]
    pub(super) fn prefetch(&self, hashes: impl Iterator<Item = u64> + Clone) {
        hashes.clone().for_each(|hash| self.index.prefetch(hash));
        for row in hashes.filter_map(|hash| self.index.probable(hash)) {
            let row = row as usize;
            prefetch(&self.key_ends, row);
            prefetch(&self.meta, row);
            self.state.iter().for_each(|column| column.prefetch(row));
        }
    }

    /// Adds a row with the defaults under a key that is not there yet.
    pub fn insert(&mut self, hash: u64, key: &[u8]) -> usize {
        let row = self.insert_key(hash, key);
        for (column, default) in self.state.iter_mut().zip(&self.default_columns) {
            column.push_copy(default, 0);
        }
        self.meta.push(Meta::default());
        self.dirty = true;
        row
    }

    fn insert_key(&mut self, hash: u64, key: &[u8]) -> usize {
        let row = self.key_ends.len();
        self.key_bytes.extend_from_slice(key);
        self.key_ends.push(self.key_bytes.len());
        if let Some(order) = &mut self.order {
            order.add_row();
        }
        self.live.push(true);
        self.live_count += 1;
        self.saved.add();
        self.index.insert(hash, row as u32);
        row
    }

    pub fn delete(&mut self, row: usize) {
        self.index.remove(xxh3_64(self.key(row)), row as u32);
        // what the row held is given back
        for column in &mut self.state {
            column.set(row, Value::Null);
        }
        self.live[row] = false;
        self.live_count -= 1;
        let start = if row == 0 { 0 } else { self.key_ends[row - 1] };
        self.saved.delete(row, &self.key_bytes[start..self.key_ends[row]]);
        self.dirty = true;
    }

    /// Rows as columns: keys, state, then [`META_COLUMNS`]; behind them, where there is an order, its keys. `rows`: their
    /// slots, in the order that is wanted.
    pub fn columns(&self, rows: &[u32]) -> Vec<Cow<'_, Column>> {
        let mut out = Vec::with_capacity(self.key_types.len() + self.state.len() + META_COLUMNS.len() + 1);
        let whole = rows.len() == self.live.len();
        for i in 0..self.key_types.len() {
            let keys = rows.iter().map(|row| self.key(*row as usize));
            out.push(Cow::Owned(key::decode_column(keys, &self.key_types, i)));
        }
        out.extend(self.state.iter().map(|state| if whole { Cow::Borrowed(state) } else { Cow::Owned(state.gather(rows)) }));
        let metas = || rows.iter().map(|row| &self.meta[*row as usize]);
        let parts: [fn(&Meta) -> Option<i64>; META_COLUMNS.len()] =
            [|meta| Some(meta.events), Meta::version, Meta::position, Meta::first_event_at, Meta::last_event_at];
        for ((_, ty), part) in META_COLUMNS.into_iter().zip(parts) {
            let nulls = metas().map(|meta| part(meta).is_none()).collect();
            let data = Data::I64(metas().map(|meta| part(meta).unwrap_or_default()).collect());
            out.push(Cow::Owned(Column { ty, data, nulls }));
        }
        if let Some(order) = &self.order {
            let data = Data::I128(rows.iter().map(|row| order.rows[*row as usize]).collect());
            out.push(Cow::Owned(Column { ty: Type::HugeInt, data, nulls: vec![false; rows.len()] }));
        }
        out
    }

    /// How many rows and tombstones a file has to have that takes the place of those from a level on, by level.
    pub fn counts(&self) -> Counts {
        let mut counts = [0; FRESH as usize + 1];
        self.rows().for_each(|row| counts[self.saved.level(row) as usize] += 1);
        self.buried().for_each(|(_, level)| counts[level as usize] += 1);
        counts
    }

    /// The slots of living rows whose values stand at a level or above it.
    pub fn slots_since(&self, level: Level) -> Vec<u32> {
        self.rows().filter(|row| self.saved.level(*row) >= level).map(|row| row as u32).collect()
    }

    /// The keys of rows that files have and that are not there any more, and where that stands.
    fn buried(&self) -> impl Iterator<Item = (&[u8], Level)> {
        self.saved.buried().filter(|(key, _)| self.find(xxh3_64(key), key).is_none())
    }

    /// What has changed since a level: columns as [`Table::columns`] has them, behind them [`TOMBSTONE_COLUMN`]. Of
    /// rows that are not there any more there is the key.
    pub fn changes_since(&self, level: Level) -> Vec<Column> {
        let slots = self.slots_since(level);
        let mut columns: Vec<Column> = self.columns(&slots).into_iter().map(Cow::into_owned).collect();
        let buried: Vec<&[u8]> = self.buried().filter(|(_, at)| *at >= level).map(|(key, _)| key).collect();
        for (i, column) in columns.iter_mut().enumerate() {
            if i < self.key_types.len() {
                column.append(key::decode_column(buried.iter().copied(), &self.key_types, i));
            } else {
                buried.iter().for_each(|_| column.push(Value::Null));
            }
        }
        let mut tombstones = vec![false; slots.len()];
        tombstones.resize(slots.len() + buried.len(), true);
        let nulls = vec![false; tombstones.len()];
        columns.push(Column { ty: Type::Boolean, data: Data::Bool(tombstones), nulls });
        columns
    }

    /// Takes up rows of a file that stands at a level. `columns`: as [`Table::columns`] has them; `keys`: of the same
    /// rows, none of which is there yet.
    pub fn restore(&mut self, columns: &[Column], keys: &Keys, rows: Range<usize>, level: Level) {
        let count = rows.len();
        self.index.reserve(count);
        for row in rows.clone() {
            self.index.insert(keys.hashes[row], self.key_ends.len() as u32);
            self.key_bytes.extend_from_slice(keys.get(row));
            self.key_ends.push(self.key_bytes.len());
        }
        let (state, rest) = columns[self.key_types.len()..].split_at(self.state.len());
        for (column, from) in self.state.iter_mut().zip(state) {
            column.append_rows(from, rows.clone());
        }
        self.meta.extend(rows.clone().map(|row| Meta::restored(rest, row)));
        if let (Some(order), Some(column)) = (&mut self.order, rest.get(META_COLUMNS.len())) {
            for row in rows {
                order.add_row();
                order.advance(Some(order.rows.len() - 1), column.whole(row).unwrap_or(BEFORE_ALL));
            }
        }
        self.live.resize(self.live.len() + count, true);
        self.live_count += count;
        self.saved.restore(count, level);
    }

    /// Takes up a tombstone of a file that stands at a level.
    pub fn restore_buried(&mut self, key: &[u8], level: Level) {
        self.saved.restore_buried(key, level);
    }
}

/// The column of deltas that says that there is no row any more.
pub const TOMBSTONE_COLUMN: &str = "_tombstone";

/// Names and types of [`Table::changes_since`].
pub fn delta_schema(aggregate: &Aggregate) -> Vec<(String, Type)> {
    let mut columns = stored_schema(aggregate);
    columns.push((TOMBSTONE_COLUMN.to_string(), Type::Boolean));
    columns
}

/// Names and types of [`Table::columns`], as snapshots have them.
pub fn stored_schema(aggregate: &Aggregate) -> Vec<(String, Type)> {
    let mut columns = schema(aggregate);
    if aggregate.is_ordered() {
        columns.push((ORDER_COLUMN.to_string(), Type::HugeInt));
    }
    columns
}

/// Names and types of [`Table::columns`], as SQL sees them.
pub fn schema(aggregate: &Aggregate) -> Vec<(String, Type)> {
    let keys = aggregate.keys.iter().map(|k| (k.name.clone(), k.ty.clone()));
    let state = aggregate.state.iter().map(|c| (c.name.clone(), c.ty.clone()));
    let meta = META_COLUMNS.iter().map(|(name, ty)| (name.to_string(), ty.clone()));
    keys.chain(state).chain(meta).collect()
}
