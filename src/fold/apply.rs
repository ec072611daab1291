//! One event on one row: `before`, the rules of its type, `after`.

use std::sync::Arc;

use super::cells::{RowCells, holds};
use super::event::EventView;
use super::route::Routed;
use super::table::{Place, Table};
use super::touches::{NO_ELEMENT, Part, Step, Touch};
use super::undo::{self, Before};
use super::update::{self, Found};
use super::watch::Watch;
use crate::project::{Aggregate, AggregatePlan, Rule, Var};
use crate::sql::{Column, Env, Slot, Type, Value};

/// The rows that one partition of an aggregate has given out to a rows table.
/// Columns: the key columns, the declared ones, [`ROW_COLUMNS`].
pub struct RowsOut {
    pub columns: Vec<Column>,
}

/// The columns behind the declared ones of rows tables and event tables.
pub const ROW_COLUMNS: [(&str, Type); 4] =
    [("_stream", Type::Varchar), ("_version", Type::BigInt), ("_position", Type::BigInt), ("_time", Type::Timestamp)];

/// Names and types of a rows table's columns.
pub fn rows_schema(aggregate: &Aggregate, rows: usize) -> Vec<(String, Type)> {
    let keys = aggregate.keys.iter().map(|k| (k.name.clone(), k.ty.clone()));
    let own = aggregate.rows[rows].columns.iter().cloned();
    let place = ROW_COLUMNS.iter().map(|(name, ty)| (name.to_string(), ty.clone()));
    keys.chain(own).chain(place).collect()
}

impl RowsOut {
    pub fn new(aggregate: &Aggregate, rows: usize) -> RowsOut {
        RowsOut { columns: rows_schema(aggregate, rows).into_iter().map(|(_, ty)| Column::new(ty)).collect() }
    }

    pub fn len(&self) -> usize {
        self.columns.first().map_or(0, Column::len)
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// The values of the columns [`ROW_COLUMNS`] for an event.
pub fn row_place(view: &EventView) -> [Value; 4] {
    use crate::project::EventField::{Position, Stream, Time, Version};
    [Stream, Version, Position, Time].map(|field| view.value(Var::Event(field)))
}

/// A row and an event, as a rule's expressions see them.
pub(super) struct RowEnv<'a> {
    table: &'a Table,
    row: Option<usize>,
    key: &'a [u8],
    old: &'a [Value],
    view: &'a EventView<'a>,
    element: Option<&'a Value>,
}

impl Env for RowEnv<'_> {
    fn get(&self, slot: Slot) -> Value {
        match Var::of(slot) {
            Var::State(i) => match self.row {
                Some(row) => self.table.state[i].get(row),
                None => self.table.defaults[i].clone(),
            },
            Var::Key(i) => self.table.key_value(self.key, i),
            Var::Old(i) => self.old[i].clone(),
            Var::Each => self.element.cloned().unwrap_or_default(),
            var => self.view.value(var),
        }
    }

    fn peek(&self, slot: Slot) -> Option<&Value> {
        match Var::of(slot) {
            Var::State(i) => match self.row {
                Some(row) => self.table.state[i].peek(row),
                None => Some(&self.table.defaults[i]),
            },
            Var::Old(i) => self.old.get(i),
            Var::Data(i) => self.view.block.data[i].peek(self.view.row),
            Var::Each => self.element,
            _ => None,
        }
    }
}

/// What is reused from event to event.
#[derive(Default)]
pub struct Scratch {
    old: Vec<Value>,
    values: Vec<Value>,
    pub(super) found: Vec<Found>,
}

/// A touch of an event on its row.
pub struct Application<'a> {
    pub aggregate: &'a Aggregate,
    pub plan: &'a AggregatePlan,
    pub table: &'a mut Table,
    pub rows_out: &'a mut [RowsOut],
    pub scratch: &'a mut Scratch,
    /// The touch's own.
    pub part: Part<'a>,
    pub elements: &'a [Value],
    pub view: &'a EventView<'a>,
    pub watch: Option<&'a mut Watch>,
}

impl Application<'_> {
    /// The rows that a touch of all rows concerns.
    pub fn rows_of_all(&self, touch: &Touch) -> Vec<usize> {
        let own: Vec<&Touch> = self.part.of_event(touch.event).iter().filter(|touch| !touch.all).collect();
        // found by its key too: that touch has these steps as well
        let found = |row: &usize| own.iter().any(|touch| self.part.key(touch) == self.table.key(*row));
        self.table.rows().filter(|row| !found(row)).collect()
    }

    /// Applies a touch to the row of a key. The error is the event's: what failed, with the rule's name. Where the
    /// aggregate quarantines, the row is then as it was before.
    #[inline]
    pub fn apply(&mut self, routed: &Arc<Routed>, touch: &Touch, hash: u64, key: &[u8]) -> Result<(), String> {
        match self.watch {
            None => self.apply_unwatched(touch, hash, key),
            Some(_) => self.apply_watched(routed, touch, hash, key),
        }
    }

    pub(super) fn apply_unwatched(&mut self, touch: &Touch, hash: u64, key: &[u8]) -> Result<(), String> {
        let part = self.part;
        let steps = part.steps(touch);
        let row = self.table.find(hash, key);
        if !self.aggregate.quarantines || !undo::may_be_half_done(self.plan, steps) {
            return self.row(row, hash, key, steps, &touch.place);
        }
        let before = Before::of(self.plan, steps, row, self.table, self.rows_out);
        let result = self.row(row, hash, key, steps, &touch.place);
        if result.is_err() {
            before.restore(hash, key, self.table, self.rows_out);
        }
        result
    }

    fn row(&mut self, mut row: Option<usize>, hash: u64, key: &[u8], steps: &[Step], place: &Place) -> Result<(), String> {
        if !self.plan.old_columns.is_empty() {
            self.scratch.old.resize(self.table.state.len(), Value::Null);
            for &column in &self.plan.old_columns {
                self.scratch.old[column] = match row {
                    Some(row) => self.table.state[column].get(row),
                    None => self.table.defaults[column].clone(),
                };
            }
        }
        let plan = self.plan;
        let mut applied = false;
        for rule in &plan.before {
            applied |= self.rules(rule, &mut row, (hash, key))?;
        }
        for step in steps {
            let element = (step.element != NO_ELEMENT).then(|| &self.elements[step.element as usize]);
            let rule = &plan.on[step.rule as usize];
            applied |= match rule.each {
                _ if rule.all && row.is_none() => false,
                Some(_) if element.is_none() => self.rules(rule, &mut row, (hash, key))?,
                _ => self.rule(rule, &mut row, (hash, key), element, true)?,
            };
        }
        for rule in &plan.after {
            applied |= self.rules(rule, &mut row, (hash, key))?;
        }
        if let (true, Some(row)) = (applied, row) {
            self.table.meta[row].advance(place, self.aggregate.spans_streams);
            self.table.mark(row);
        }
        Ok(())
    }

    pub(super) fn env<'e>(&'e self, row: Option<usize>, key: &'e [u8], element: Option<&'e Value>) -> RowEnv<'e> {
        RowEnv { table: self.table, row, key, old: &self.scratch.old, view: self.view, element }
    }

    /// Runs one rule, once per element where it has an `each`, which then may read the row.
    fn rules(&mut self, rule: &Rule, row: &mut Option<usize>, place: (u64, &[u8])) -> Result<bool, String> {
        let Some(each) = &rule.each else { return self.rule(rule, row, place, None, false) };
        let env = self.env(*row, place.1, None);
        let list = each.eval(&env).map_err(|e| format!("{}: `each`: {}", rule.label, e.0))?;
        let Value::List(list) = list else { return Ok(false) };
        let mut applied = false;
        for element in list.iter() {
            applied |= self.rule(rule, row, place, Some(element), false)?;
        }
        Ok(applied)
    }

    /// Runs one rule; true if it applied.
    #[inline]
    fn rule(
        &mut self,
        rule: &Rule,
        row: &mut Option<usize>,
        place: (u64, &[u8]),
        element: Option<&Value>,
        routed: bool,
    ) -> Result<bool, String> {
        let applied = self.run_rule(rule, row, place, element, routed);
        if self.watch.is_some() {
            self.record(rule, &applied, *row, place.1, element);
        }
        applied
    }

    fn run_rule(
        &mut self,
        rule: &Rule,
        row: &mut Option<usize>,
        (hash, key): (u64, &[u8]),
        element: Option<&Value>,
        routed: bool,
    ) -> Result<bool, String> {
        let failed = |what: &str, e: crate::sql::EvalError| format!("{}: `{what}`: {}", rule.label, e.0);
        // a `when` of `on` that does not need the row was answered when the event was routed
        if let Some(when) = rule.when.as_ref().filter(|_| !routed || rule.when_needs_row) {
            let cells = RowCells { table: Some(self.table), row: *row, view: self.view };
            if !holds(when, &cells, || self.env(*row, key, element)).map_err(|e| failed("when", e))? {
                return Ok(false);
            }
        }
        if rule.algebraic {
            let fresh = row.is_none();
            let at = *row.get_or_insert_with(|| self.table.insert(hash, key));
            if update::run(rule, self.table, at, self.view, &mut self.scratch.found) {
                return Ok(true);
            }
            if fresh {
                // an event that fails leaves no row behind
                self.table.delete(at);
                *row = None;
            }
        }
        let env = self.env(*row, key, element);
        if let Some(message) = &rule.fail {
            let message = message.eval(&env).map_err(|e| failed("fail", e))?;
            return Err(format!("{}: {}", rule.label, message.as_text().unwrap_or("the rule fails")));
        }
        if rule.delete {
            if let Some(row) = row.take() {
                self.table.delete(row);
            }
            return Ok(true);
        }
        // every right-hand side sees the row as it was before the rule
        let mut values = std::mem::take(&mut self.scratch.values);
        values.clear();
        let env = self.env(*row, key, element);
        let mut in_place = None;
        for (i, set) in rule.set.iter().enumerate() {
            let alone = in_place.is_none() && set.value.is_in_place(Var::State(set.column).slot());
            if alone {
                in_place = Some((i, set.value.in_place_args(&env).map_err(|e| failed(&self.aggregate.state[set.column].name, e))?));
                values.push(Value::Null);
            } else {
                values.push(set.value.eval(&env).map_err(|e| failed(&self.aggregate.state[set.column].name, e))?);
            }
        }
        let mut emitted = Vec::new();
        for emit in &rule.emit {
            let name = &self.aggregate.rows[emit.rows].name;
            let values = emit.values.iter().map(|v| v.eval(&env)).collect::<Result<Vec<_>, _>>().map_err(|e| failed(name, e))?;
            emitted.push((emit.rows, values));
        }
        let at = match *row {
            Some(at) => at,
            None => *row.insert(self.table.insert(hash, key)),
        };
        if let Some((i, args)) = in_place {
            let set = &rule.set[i];
            let current = self.table.state[set.column].take(at);
            values[i] = set.value.in_place_apply(current, args);
        }
        for (set, value) in rule.set.iter().zip(values.drain(..)) {
            self.table.state[set.column].set(at, value);
        }
        self.scratch.values = values;
        for (rows, values) in emitted {
            let keys = (0..self.aggregate.keys.len()).map(|i| self.table.key_value(key, i));
            let place = row_place(self.view);
            for (column, value) in self.rows_out[rows].columns.iter_mut().zip(keys.chain(values).chain(place)) {
                column.push(value);
            }
        }
        Ok(true)
    }
}
