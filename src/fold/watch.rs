//! What events do to rows that are watched: recorded beside the fold, for `history` and for tests that fail.
//!
//! A partition without a watch pays one look for each event and rule, and records nothing.

use std::sync::Arc;

use super::apply::{Application, RowsOut};
use super::cells::{RowCells, holds};
use super::event::EventEnv;
use super::partition::Stop;
use super::route::Routed;
use super::table::{Meta, Table};
use super::touches::{Step, Touch};
use crate::project::Rule;
use crate::sql::Value;

/// Which rows of a partition are watched, and what was seen of them since it was last emptied.
#[derive(Default)]
pub struct Watch {
    /// Hash and key of the one row that is watched; `None`: every row is.
    only: Option<(u64, Vec<u8>)>,
    /// Rows that are not watched are folded, too: they may go on under the watched key.
    folds_others: bool,
    pub seen: Vec<Seen>,
    /// The one row, as it stands behind the last event on it.
    pub row: Option<RowSeen>,
    /// The rules that the event at hand has run so far.
    rules: Vec<RuleSeen>,
}

/// One event on one watched row.
pub struct Seen {
    pub batch: Arc<Routed>,
    pub event: u32,
    /// In the order in which they run.
    pub rules: Vec<RuleSeen>,
    /// Whether there was a row before, and is one behind.
    pub was: bool,
    pub is: bool,
    /// What changed in the state columns; of a row that was created, all of them.
    pub changes: Vec<Change>,
    /// Rows table and its declared columns' values, of each row that the event gave out here.
    pub emitted: Vec<(usize, Vec<Value>)>,
    /// Why the event could not be applied.
    pub failed: Option<String>,
    /// It did not come as far as the rules: an earlier event had failed on the row.
    pub stood_still: bool,
}

/// A column, or an entry of one, that has another value than before. Entries keep a large map or list from being held once
/// for each event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Index into `Aggregate::state`.
    pub column: usize,
    /// The key of a map's entry, or the number of a list's element, from 1.
    pub entry: Option<Value>,
    /// `None`: there was no row, or no such entry.
    pub from: Option<Value>,
    /// `None`: the entry is gone.
    pub to: Option<Value>,
}

/// A row as it stands behind an event.
#[derive(Debug, Clone)]
pub struct RowSeen {
    pub state: Vec<Value>,
    pub meta: Meta,
}

/// A rule of the event's type, and what became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleSeen {
    pub label: String,
    pub outcome: Outcome,
    /// How often, one after the other: once for each element of an `each`.
    pub times: u64,
    /// `before`, `on`, `after`, and the rule's number in it.
    order: (u8, usize),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    Applied,
    /// Its `when` was false.
    NotTrue,
    /// Its `when` was NULL.
    Null,
    Failed,
}

impl Watch {
    /// Watches one row.
    pub fn one(hash: u64, key: Vec<u8>, folds_others: bool) -> Watch {
        Watch { only: Some((hash, key)), folds_others, ..Watch::default() }
    }

    /// Watches every row.
    pub fn all() -> Watch {
        Watch::default()
    }

    fn watches(&self, hash: u64, key: &[u8]) -> bool {
        self.only.as_ref().is_none_or(|(only, only_key)| *only == hash && only_key == key)
    }

    /// False where a touch concerns other rows only, and these need not be folded.
    pub(super) fn folds(&self, touch: &Touch, key: &[u8]) -> bool {
        self.folds_others || touch.all || self.watches(touch.hash, key)
    }
}

impl Application<'_> {
    /// As [`Application::apply_unwatched`], recording what happens where the row is watched.
    pub(super) fn apply_watched(&mut self, routed: &Arc<Routed>, touch: &Touch, hash: u64, key: &[u8]) -> Result<(), String> {
        match &mut self.watch {
            Some(watch) if watch.watches(hash, key) => watch.rules.clear(),
            _ => return self.apply_unwatched(touch, hash, key),
        }
        let row = self.table.find(hash, key);
        let values = |table: &Table, row: usize| table.state.iter().map(|column| column.get(row)).collect::<Vec<_>>();
        // a row without an event is one that this event has brought here from another key
        let before = row.filter(|row| self.table.meta[*row].events > 0).map(|row| values(self.table, row));
        let emitted_before: Vec<usize> = self.rows_out.iter().map(RowsOut::len).collect();
        let result = self.apply_unwatched(touch, hash, key);
        let row = self.table.find(hash, key).map(|row| RowSeen { state: values(self.table, row), meta: self.table.meta[row] });
        let changes = row.as_ref().map_or(Vec::new(), |row| changes(before.as_deref(), &row.state));
        let emitted = self.emitted_since(&emitted_before);
        let mut unrouted = self.unrouted(self.part.steps(touch));
        let Some(watch) = &mut self.watch else { return result };
        let mut rules = std::mem::take(&mut watch.rules);
        rules.append(&mut unrouted);
        rules.sort_by_key(|rule| rule.order);
        let (was, is, failed) = (before.is_some(), row.is_some(), result.as_ref().err().cloned());
        let event = self.view.event as u32;
        watch.seen.push(Seen { batch: routed.clone(), event, rules, was, is, changes, emitted, failed, stood_still: false });
        watch.row = row.filter(|_| watch.only.is_some());
        result
    }

    /// Records an event on a watched row that stands still.
    pub(super) fn stood_still(&mut self, routed: &Arc<Routed>, touch: &Touch, stop: &Stop) {
        let key = self.part.key(touch);
        let is = self.table.find(touch.hash, key).is_some();
        let Some(watch) = self.watch.as_mut().filter(|watch| watch.watches(touch.hash, key)) else { return };
        watch.seen.push(Seen {
            batch: routed.clone(),
            event: touch.event,
            rules: Vec::new(),
            was: is,
            is,
            changes: Vec::new(),
            emitted: Vec::new(),
            failed: Some(stop.to_string()),
            stood_still: true,
        });
    }

    /// Records what became of a rule; nothing was changed by it where it did not apply.
    pub(super) fn record(&mut self, rule: &Rule, applied: &Result<bool, String>, row: Option<usize>, key: &[u8], element: Option<&Value>) {
        let outcome = match applied {
            Ok(true) => Outcome::Applied,
            Err(_) => Outcome::Failed,
            Ok(false) => {
                let value = rule.when.as_ref().map(|when| when.expr.eval(&self.env(row, key, element)));
                if matches!(value, Some(Ok(Value::Null))) { Outcome::Null } else { Outcome::NotTrue }
            }
        };
        let order = self.order_of(rule);
        let Some(watch) = &mut self.watch else { return };
        match watch.rules.last_mut() {
            Some(last) if last.order == order && last.outcome == outcome => last.times += 1,
            _ => watch.rules.push(RuleSeen { label: rule.label.clone(), outcome, times: 1, order }),
        }
    }

    fn order_of(&self, rule: &Rule) -> (u8, usize) {
        let lists = [&self.plan.before, &self.plan.on, &self.plan.after];
        let found =
            lists.iter().enumerate().find_map(|(list, rules)| Some((list as u8, rules.iter().position(|r| std::ptr::eq(r, rule))?)));
        found.unwrap_or_default()
    }

    /// The rules for the aggregate's own row whose `when` needs nothing but the event and is not true of it: they never
    /// came as far as the row.
    fn unrouted(&self, steps: &[Step]) -> Vec<RuleSeen> {
        let mut seen = Vec::new();
        for (number, rule) in self.plan.on.iter().enumerate() {
            let is_own = rule.key.is_none() && !rule.all && (rule.each.is_none() || rule.each_needs_row);
            let Some(when) = rule.when.as_ref().filter(|_| is_own && !rule.when_needs_row) else { continue };
            if steps.iter().any(|step| step.rule as usize == number) {
                continue;
            }
            let env = || EventEnv { view: self.view, element: None };
            let cells = RowCells { table: None, row: None, view: self.view };
            let outcome = match (holds(when, &cells, env), when.expr.eval(&env())) {
                (Ok(false), Ok(Value::Null)) => Outcome::Null,
                (Ok(false), _) => Outcome::NotTrue,
                _ => continue,
            };
            seen.push(RuleSeen { label: rule.label.clone(), outcome, times: 1, order: (1, number) });
        }
        seen
    }

    fn emitted_since(&self, before: &[usize]) -> Vec<(usize, Vec<Value>)> {
        let keys = self.aggregate.keys.len();
        let mut emitted = Vec::new();
        for (number, (rows, from)) in self.rows_out.iter().zip(before).enumerate() {
            let declared = self.aggregate.rows[number].columns.len();
            for row in *from..rows.len() {
                emitted.push((number, rows.columns.iter().skip(keys).take(declared).map(|column| column.get(row)).collect()));
            }
        }
        emitted
    }
}

/// What is different in the columns of a row. `before`: `None` where there was none.
fn changes(before: Option<&[Value]>, after: &[Value]) -> Vec<Change> {
    let mut changes = Vec::new();
    for (column, to) in after.iter().enumerate() {
        let Some(from) = before.map(|before| &before[column]) else {
            changes.push(Change { column, entry: None, from: None, to: Some(to.clone()) });
            continue;
        };
        if from == to {
            continue;
        }
        let start = changes.len();
        entries(column, from, to, &mut changes);
        if changes.len() == start {
            changes.push(Change { column, entry: None, from: Some(from.clone()), to: Some(to.clone()) });
        }
    }
    changes
}

/// The entries in which two maps differ, or the elements at the end that one of two lists has more; nothing where the
/// difference is another one.
fn entries(column: usize, from: &Value, to: &Value, changes: &mut Vec<Change>) {
    let mut push = |entry: Value, from: Option<&Value>, to: Option<&Value>| {
        changes.push(Change { column, entry: Some(entry), from: from.cloned(), to: to.cloned() });
    };
    match (from, to) {
        (Value::Map(from), Value::Map(to)) => {
            for (key, value) in from.iter().filter(|(key, _)| !to.contains_key(*key)) {
                push(key.clone(), Some(value), None);
            }
            for (key, value) in to.iter() {
                let old = from.get(key);
                if old != Some(value) {
                    push(key.clone(), old, Some(value));
                }
            }
        }
        (Value::List(from), Value::List(to)) => {
            let common = from.len().min(to.len());
            if from[..common] != to[..common] {
                return;
            }
            for number in common..from.len().max(to.len()) {
                push(Value::Int(number as i128 + 1), from.get(number), to.get(number));
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sql::MapEntries;

    fn list(values: &[i128]) -> Value {
        Value::List(Arc::new(values.iter().map(|value| Value::Int(*value)).collect()))
    }

    fn map(entries: &[(&str, i128)]) -> Value {
        let entries: MapEntries = entries.iter().map(|(key, value)| (Value::text(*key), Value::Int(*value))).collect();
        Value::Map(Arc::new(entries))
    }

    fn told(from: Value, to: Value) -> Vec<(Option<Value>, Option<Value>, Option<Value>)> {
        changes(Some(&[from]), &[to]).into_iter().map(|change| (change.entry, change.from, change.to)).collect()
    }

    #[test]
    fn of_maps_and_growing_lists_the_entries_are_told() {
        let int = |i: i128| Some(Value::Int(i));
        let key = |text: &str| Some(Value::text(text));
        let (old, new) = (map(&[("a", 1), ("b", 2), ("c", 3)]), map(&[("a", 1), ("c", 4), ("d", 5)]));
        assert_eq!(told(old, new), [(key("b"), int(2), None), (key("c"), int(3), int(4)), (key("d"), None, int(5))]);
        assert_eq!(told(list(&[1]), list(&[1, 7, 8])), [(int(2), None, int(7)), (int(3), None, int(8))]);
        assert_eq!(told(list(&[1, 7]), list(&[1])), [(int(2), int(7), None)]);
        assert_eq!(told(list(&[1, 7]), list(&[7])), [(None, Some(list(&[1, 7])), Some(list(&[7])))]);
        // the same entries in another order
        let (old, new) = (map(&[("a", 1), ("b", 2)]), map(&[("b", 2), ("a", 1)]));
        assert_eq!(told(old.clone(), new.clone()), [(None, Some(old), Some(new))]);
    }
}
