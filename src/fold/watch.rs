//! What events do to rows that are watched: recorded beside the fold, for `history` and for tests that fail.
//!
//! A partition without a watch pays one look for each event and rule, and records nothing.

use std::sync::Arc;

use super::apply::{Application, RowsOut};
use super::cells::{RowCells, holds};
use super::event::EventEnv;
use super::route::{Routed, Step, Touch};
use super::table::{Meta, Place, Table};
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
    /// The rules that the event at hand has run so far.
    rules: Vec<RuleSeen>,
}

/// One event on one watched row.
pub struct Seen {
    pub batch: Arc<Routed>,
    pub event: u32,
    /// In the order in which they run.
    pub rules: Vec<RuleSeen>,
    /// The state columns' values; `None`: there was no row.
    pub before: Option<Vec<Value>>,
    pub after: Option<RowSeen>,
    /// Rows table and its declared columns' values, of each row that the event gave out here.
    pub emitted: Vec<(usize, Vec<Value>)>,
    /// Why the event could not be applied.
    pub failed: Option<String>,
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
    /// As [`Application::fold_row`], recording what happens where the row is watched.
    pub(super) fn watched_row(
        &mut self,
        routed: &Arc<Routed>,
        row: Option<usize>,
        hash: u64,
        key: &[u8],
        steps: &[Step],
        place: &Place,
    ) -> Result<(), String> {
        match &mut self.watch {
            Some(watch) if watch.watches(hash, key) => watch.rules.clear(),
            _ => return self.fold_row(row, hash, key, steps, place),
        }
        let values = |table: &Table, row: usize| table.state.iter().map(|column| column.get(row)).collect::<Vec<_>>();
        let before = row.map(|row| values(self.table, row));
        let emitted_before: Vec<usize> = self.rows_out.iter().map(RowsOut::len).collect();
        let result = self.fold_row(row, hash, key, steps, place);
        let after = self.table.find(hash, key).map(|row| RowSeen { state: values(self.table, row), meta: self.table.meta[row] });
        let emitted = self.emitted_since(&emitted_before);
        let mut unrouted = self.unrouted(steps);
        let Some(watch) = &mut self.watch else { return result };
        let mut rules = std::mem::take(&mut watch.rules);
        rules.append(&mut unrouted);
        rules.sort_by_key(|rule| rule.order);
        let failed = result.as_ref().err().cloned();
        watch.seen.push(Seen { batch: routed.clone(), event: self.view.event as u32, rules, before, after, emitted, failed });
        result
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
