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
        let int = |v: Option<i64>| v.map_or(Value::Null, |v| Value::Int(v as i128));
        match var {
            Var::Data(i) => self.block.data[i].get(self.row),
            Var::Meta(i) => self.block.meta[i].get(self.row),
            Var::Event(EventField::Stream) => Value::text(self.events.stream.get(self.event)),
            Var::Event(EventField::Type) => Value::text(self.events.event_type.get(self.event)),
            Var::Event(EventField::Version) => int(self.events.version[self.event]),
            Var::Event(EventField::Position) => int(self.events.position[self.event]),
            Var::Event(EventField::Time) => self.events.time[self.event].map_or(Value::Null, Value::Timestamp),
            Var::Event(EventField::Id) => match self.events.id.get(self.event) {
                "" => Value::Null,
                id => Value::text(id),
            },
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
