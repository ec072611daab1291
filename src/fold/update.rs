//! Algebraic updates as typed operations on columns: no interpreter, no value, no allocation per event.
//!
//! An update is tried first and written only when every update of its rule can be: all of them see the row as it
//! was before the rule. What cannot be done here (a sum out of its range, an operand that could not be computed)
//! is left to the rule's expressions, which give the error.

use super::cells::RowCells;
use super::event::EventView;
use super::table::Table;
use crate::project::{EventField, Rule, Set, Var};
use crate::sql::algebra::{Change, Operand};
use crate::sql::scalar::{CURRENT, Cell, Cells};
use crate::sql::{Column, MapKey, Slot, Value};

/// A new value of a column, found but not yet written.
#[derive(Clone, Copy)]
pub enum Found {
    Null,
    /// The unscaled number, the days or the microseconds.
    Whole(i128),
    Double(f64),
    Bool(bool),
    /// A map's entry: its value, and its place in the map if it is there already.
    Entry(Cell, Option<usize>),
    /// The operand itself.
    Operand,
    /// The column stays as it is.
    Same,
}

/// An operand, where it lies.
enum Place<'a> {
    Column(&'a Column, usize),
    Whole(Option<i64>),
    Text(&'a str),
    Value(&'a Value),
}

impl<'a> Place<'a> {
    /// `None`: the operand failed to be computed for this event.
    #[inline(always)]
    fn of(operand: &'a Operand, view: &'a EventView) -> Option<Place<'a>> {
        Some(match operand {
            Operand::Computed(i) => {
                let computed = view.computed.get(*i)?;
                if computed.failed(view.row) {
                    return None;
                }
                Place::Column(&computed.column, view.row)
            }
            Operand::Slot(slot) => match Var::of(*slot) {
                Var::Data(i) => Place::Column(&view.block.data[i], view.row),
                Var::Meta(i) => Place::Column(&view.block.meta[i], view.row),
                Var::Event(EventField::Stream) => Place::Text(view.events.stream.get(view.event)),
                Var::Event(EventField::Type) => Place::Text(view.events.event_type.get(view.event)),
                Var::Event(EventField::Version) => Place::Whole(view.events.version[view.event]),
                Var::Event(EventField::Position) => Place::Whole(view.events.position[view.event]),
                Var::Event(EventField::Time) => Place::Whole(view.events.time[view.event]),
                Var::Event(EventField::Id) => match view.events.id.get(view.event) {
                    "" => Place::Whole(None),
                    id => Place::Text(id),
                },
                _ => return None,
            },
            Operand::Constant(value) => Place::Value(value),
        })
    }

    #[inline(always)]
    fn whole(&self) -> Option<i128> {
        match self {
            Place::Column(column, row) => column.whole(*row),
            Place::Whole(i) => i.map(i128::from),
            Place::Value(Value::Int(i)) => Some(*i),
            Place::Value(Value::Date(d)) => Some(*d as i128),
            Place::Value(Value::Time(t) | Value::Timestamp(t)) => Some(*t as i128),
            Place::Text(_) | Place::Value(_) => None,
        }
    }

    /// As a map's key; `None`: NULL.
    #[inline]
    fn key(&self) -> Option<MapKey<'_>> {
        match self {
            Place::Text(text) => Some(MapKey::Text(text)),
            Place::Column(column, row) => match column.text(*row) {
                Some(text) => Some(MapKey::Text(text)),
                None => column.whole(*row).map(MapKey::Whole),
            },
            Place::Value(Value::Text(text)) => Some(MapKey::Text(text)),
            place => place.whole().map(MapKey::Whole),
        }
    }

    #[inline]
    fn double(&self) -> Option<f64> {
        match self {
            Place::Column(column, row) => column.double(*row),
            Place::Value(Value::Double(x)) => Some(*x),
            _ => None,
        }
    }
}

/// A row's cells, and the value that a map has under the key that is put.
struct EntryCells<'a> {
    row: RowCells<'a>,
    current: Cell,
}

impl Cells for EntryCells<'_> {
    #[inline]
    fn cell(&self, slot: Slot) -> Cell {
        if slot == CURRENT { self.current } else { self.row.cell(slot) }
    }

    fn text(&self, slot: Slot) -> Option<&str> {
        self.row.text(slot)
    }

    fn is_null(&self, slot: Slot) -> bool {
        if slot == CURRENT { self.current == Cell::Null } else { self.row.is_null(slot) }
    }
}

/// What an update makes of the row's column; `None`: it has to be evaluated.
#[inline(always)]
fn find(set: &Set, change: &Change, table: &Table, row: usize, view: &EventView) -> Option<Found> {
    let column = &table.state[set.column];
    Some(match change {
        Change::Assign(operand) => {
            Place::of(operand, view)?;
            Found::Operand
        }
        Change::Add { operand, subtract, least, most } => {
            let (x, e) = (column.whole(row), Place::of(operand, view)?.whole());
            let (Some(x), Some(e)) = (x, e) else { return Some(Found::Null) };
            let sum = if *subtract { x.checked_sub(e)? } else { x.checked_add(e)? };
            if sum < *least || sum > *most {
                return None;
            }
            Found::Whole(sum)
        }
        Change::AddDouble { operand, subtract } => match (column.double(row), Place::of(operand, view)?.double()) {
            (Some(x), Some(e)) => Found::Double(if *subtract { x - e } else { x + e }),
            _ => Found::Null,
        },
        Change::Extreme { operand, greatest } => match (column.whole(row), Place::of(operand, view)?.whole()) {
            (_, None) => Found::Same,
            (None, Some(e)) => Found::Whole(e),
            (Some(x), Some(e)) if *greatest && e > x || !*greatest && e < x => Found::Whole(e),
            _ => Found::Same,
        },
        Change::Compiled(scalar) => match scalar.eval(&RowCells { table: Some(table), row: Some(row), view }) {
            Cell::Null => Found::Null,
            Cell::Whole(i) => Found::Whole(i),
            Cell::Double(x) => Found::Double(x),
            Cell::Bool(b) => Found::Bool(b),
            Cell::Failed => return None,
        },
        Change::MapPut { key, value, .. } => {
            let Some(Value::Map(entries)) = column.peek(row) else {
                // a NULL map stays NULL, whatever is put into it
                return None;
            };
            let place = Place::of(key, view)?;
            let found = entries.get_full(&place.key()?);
            let current = found.map_or(Cell::Null, |(_, _, value)| Cell::of(value));
            let cells = EntryCells { row: RowCells { table: Some(table), row: Some(row), view }, current };
            match value.eval(&cells) {
                Cell::Failed => return None,
                cell => Found::Entry(cell, found.map(|(at, ..)| at)),
            }
        }
        Change::Coalesce(operand) => {
            Place::of(operand, view)?;
            if column.nulls[row] { Found::Operand } else { Found::Same }
        }
    })
}

#[inline(always)]
fn write(column: &mut Column, row: usize, found: Found, change: &Change, view: &EventView) {
    match found {
        Found::Same => {}
        Found::Null => column.set(row, Value::Null),
        Found::Whole(i) => column.set_whole(row, i),
        Found::Double(x) => column.set(row, Value::Double(x)),
        Found::Bool(b) => column.set(row, Value::Bool(b)),
        Found::Entry(cell, at) => {
            let Change::MapPut { key, value_type, .. } = change else { return };
            let (Some(value), Some(entries)) = (cell.to_value(value_type), column.map_mut(row)) else { return };
            match at.and_then(|at| entries.get_index_mut(at)) {
                Some((_, old)) => *old = value,
                None => {
                    if let Some(key) = Place::of(key, view).as_ref().and_then(Place::key) {
                        entries.insert(key.to_value(), value);
                    }
                }
            }
        }
        Found::Operand => {
            let (Change::Assign(operand) | Change::Coalesce(operand)) = change else { return };
            match Place::of(operand, view) {
                Some(Place::Column(from, at)) => column.copy(row, from, at),
                Some(Place::Whole(Some(i))) => column.set_whole(row, i as i128),
                Some(Place::Text(text)) => column.set_text(row, text),
                Some(Place::Value(value)) => match value.as_text() {
                    Some(text) => column.set_text(row, text),
                    None => column.set(row, value.clone()),
                },
                Some(Place::Whole(None)) | None => column.set(row, Value::Null),
            }
        }
    }
}

/// Runs the updates of an algebraic rule on a row; false: nothing was changed, the rule has to be evaluated.
#[inline]
pub fn run(rule: &Rule, table: &mut Table, row: usize, view: &EventView, found: &mut Vec<Found>) -> bool {
    if let [set] = rule.set.as_slice() {
        let Some(change) = &set.change else { return false };
        let Some(found) = find(set, change, table, row, view) else { return false };
        write(&mut table.state[set.column], row, found, change, view);
        return true;
    }
    found.clear();
    for set in &rule.set {
        let Some(new) = set.change.as_ref().and_then(|change| find(set, change, table, row, view)) else { return false };
        found.push(new);
    }
    for (set, found) in rule.set.iter().zip(found.iter()) {
        if let Some(change) = &set.change {
            write(&mut table.state[set.column], row, *found, change, view);
        }
    }
    true
}
