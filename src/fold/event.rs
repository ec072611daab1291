//! What expressions see of an event.

use crate::project::{EventField, Var};
use crate::source::{Block, Events};
use crate::sql::vector::Computed;
use crate::sql::{Env, Slot, Value};

/// One event of a batch with its payload.
pub struct EventView<'a> {
    pub events: &'a Events,
    pub block: &'a Block,
    /// By `TypePlan::computed`.
    pub computed: &'a [Computed],
    pub event: usize,
    /// Its row in the block's columns.
    pub row: usize,
}

impl EventView<'_> {
    /// The value of a variable of the event; NULL for those of the row.
    pub fn value(&self, var: Var) -> Value {
        match var {
            Var::Data(i) => self.block.data[i].get(self.row),
            Var::Meta(i) => self.block.meta[i].get(self.row),
            Var::Event(field) => self.events.value(field, self.event),
            Var::State(_) | Var::Key(_) | Var::Old(_) | Var::Each => Value::Null,
        }
    }
}

/// An event without a row: for keys, `each`, and `when`s that need no state.
pub struct EventEnv<'a, 'b> {
    pub view: &'a EventView<'b>,
    pub element: Option<&'a Value>,
}

impl Env for EventEnv<'_, '_> {
    fn get(&self, slot: Slot) -> Value {
        match Var::of(slot) {
            Var::Each => self.element.cloned().unwrap_or_default(),
            var => self.view.value(var),
        }
    }
}

/// A row of an event table: the payload's columns (`fields` of the plan), where the event stood, its id.
pub fn table_row(view: &EventView, fields: &[usize]) -> impl Iterator<Item = Value> {
    let payload = fields.iter().map(|field| view.value(Var::Data(*field))).collect::<Vec<_>>();
    payload.into_iter().chain(super::apply::row_place(view)).chain([view.value(Var::Event(EventField::Id))])
}
