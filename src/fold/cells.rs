//! What compiled expressions see of a row and an event: plain machine values, read where they lie.

use super::event::EventView;
use super::table::Table;
use crate::project::{Condition, EventField, Var};
use crate::sql::scalar::{Cell, Cells};
use crate::sql::{Column, Env, EvalError, Slot, Value};

/// An event, and the row that it is applied to (`None`: none is needed, or there is none yet).
pub struct RowCells<'a> {
    pub table: Option<&'a Table>,
    pub row: Option<usize>,
    pub view: &'a EventView<'a>,
}

/// A state column's value: the row's, or the default where there is no row yet.
enum State<'a> {
    At(&'a Column, usize),
    Default(&'a Value),
}

impl<'a> RowCells<'a> {
    fn state(&self, column: usize) -> Option<State<'a>> {
        let table = self.table?;
        Some(match self.row {
            Some(row) => State::At(&table.state[column], row),
            None => State::Default(&table.defaults[column]),
        })
    }
}

impl Cells for RowCells<'_> {
    #[inline]
    fn cell(&self, slot: Slot) -> Cell {
        let whole = |i: Option<i64>| i.map_or(Cell::Null, |i| Cell::Whole(i as i128));
        let event = self.view.event;
        match Var::of(slot) {
            Var::State(i) => match self.state(i) {
                Some(State::At(column, row)) => column.cell(row),
                Some(State::Default(value)) => Cell::of(value),
                None => Cell::Failed,
            },
            Var::Data(i) => self.view.block.data[i].cell(self.view.row),
            Var::Event(EventField::Version) => whole(self.view.events.version[event]),
            Var::Event(EventField::Position) => whole(self.view.events.position[event]),
            Var::Event(EventField::Time) => whole(self.view.events.time[event]),
            _ => Cell::Failed,
        }
    }

    #[inline]
    fn text(&self, slot: Slot) -> Option<&str> {
        match Var::of(slot) {
            Var::State(i) => match self.state(i)? {
                State::At(column, row) => column.text(row),
                State::Default(value) => value.as_text(),
            },
            Var::Data(i) => self.view.block.data[i].text(self.view.row),
            Var::Meta(i) => self.view.block.meta[i].text(self.view.row),
            Var::Event(EventField::Stream) => Some(self.view.events.stream.get(self.view.event)),
            Var::Event(EventField::Type) => Some(self.view.events.event_type.get(self.view.event)),
            Var::Event(EventField::Id) => Some(self.view.events.id.get(self.view.event)).filter(|id| !id.is_empty()),
            _ => None,
        }
    }

    fn is_null(&self, slot: Slot) -> bool {
        match Var::of(slot) {
            Var::State(i) => match self.state(i) {
                Some(State::At(column, row)) => column.nulls[row],
                Some(State::Default(value)) => value.is_null(),
                None => true,
            },
            Var::Data(i) => self.view.block.data[i].nulls[self.view.row],
            Var::Meta(i) => self.view.block.meta[i].nulls[self.view.row],
            Var::Event(EventField::Version | EventField::Position | EventField::Time) => self.cell(slot) == Cell::Null,
            _ => self.text(slot).is_none(),
        }
    }
}

/// Whether a condition is true: by its compiled form where it has one, else, and where that fails, by its expression.
pub fn holds<E: Env>(condition: &Condition, cells: &RowCells, env: impl FnOnce() -> E) -> Result<bool, EvalError> {
    match condition.compiled.as_ref().map(|compiled| compiled.eval(cells)) {
        Some(Cell::Bool(holds)) => Ok(holds),
        Some(Cell::Null) => Ok(false),
        _ => Ok(condition.expr.eval(&env())?.as_bool() == Some(true)),
    }
}
