//! A row as it was before an event, for an event that fails behind a rule that has already changed the row.

use super::apply::RowsOut;
use super::table::{Meta, Table};
use super::touches::Step;
use crate::project::{AggregatePlan, Rule};
use crate::sql::Value;

/// What an event may change of a row.
pub struct Before {
    row: Option<Row>,
    /// Rows of each rows table.
    given_out: Vec<usize>,
}

struct Row {
    slot: usize,
    /// The columns that some rule writes to; all where one deletes the row.
    columns: Vec<(usize, Value)>,
    meta: Meta,
}

/// Whether a rule can fail behind another one's changes; one rule alone writes all or nothing.
pub fn may_be_half_done(plan: &AggregatePlan, steps: &[Step]) -> bool {
    plan.before.len() + steps.len() + plan.after.len() > 1 || rules(plan, steps).any(|rule| rule.each.is_some())
}

fn rules<'a>(plan: &'a AggregatePlan, steps: &'a [Step]) -> impl Iterator<Item = &'a Rule> {
    let on = steps.iter().map(|step| &plan.on[step.rule as usize]);
    plan.before.iter().chain(on).chain(&plan.after)
}

impl Before {
    pub fn of(plan: &AggregatePlan, steps: &[Step], row: Option<usize>, table: &Table, rows_out: &[RowsOut]) -> Before {
        let saved = row.map(|slot| {
            let mut written = vec![rules(plan, steps).any(|rule| rule.delete); table.state.len()];
            rules(plan, steps).flat_map(|rule| &rule.set).for_each(|set| written[set.column] = true);
            let columns = (0..written.len()).filter(|column| written[*column]);
            Row { slot, columns: columns.map(|column| (column, table.state[column].get(slot))).collect(), meta: table.meta[slot] }
        });
        Before { row: saved, given_out: rows_out.iter().map(RowsOut::len).collect() }
    }

    /// Makes the row of the key what it was.
    pub fn restore(self, hash: u64, key: &[u8], table: &mut Table, rows_out: &mut [RowsOut]) {
        let now = table.find(hash, key);
        match (self.row, now) {
            (None, None) => {}
            (None, Some(fresh)) => table.delete(fresh),
            (Some(before), now) => {
                let slot = match now {
                    Some(slot) if slot == before.slot => slot,
                    other => {
                        // it was deleted, and perhaps another one began
                        if let Some(other) = other {
                            table.delete(other);
                        }
                        table.insert(hash, key)
                    }
                };
                for (column, value) in before.columns {
                    table.state[column].set(slot, value);
                }
                table.meta[slot] = before.meta;
            }
        }
        for (rows, len) in rows_out.iter_mut().zip(self.given_out) {
            rows.columns.iter_mut().for_each(|column| column.truncate(len));
        }
    }
}
