//! The usual touch: one rule that only does algebra, on a row that nobody watches and that does not stand still. It needs
//! none of what [`super::apply`] prepares for everything else.

use super::event::EventView;
use super::table::Table;
use super::touches::{Step, Touch};
use super::update::{self, Found};
use crate::project::AggregatePlan;

/// Applies a touch of a plan that [is plain](AggregatePlan::is_plain) to the row of its key. False: the table is as it was,
/// and the touch has to be applied by [`super::apply`], which gives the same result or the error.
#[inline]
pub(super) fn apply(
    (touch, key, steps): (&Touch, &[u8], &[Step]),
    plan: &AggregatePlan,
    spans_streams: bool,
    table: &mut Table,
    view: &EventView,
    found: &mut Vec<Found>,
) -> bool {
    let [step] = steps else { return false };
    let rule = &plan.on[step.rule as usize];
    let known = table.find(touch.hash, key);
    let row = known.unwrap_or_else(|| table.insert(touch.hash, key));
    if !update::run(rule, table, row, view, found) {
        if known.is_none() {
            // an event that fails leaves no row behind
            table.delete(row);
        }
        return false;
    }
    table.meta[row].advance(&touch.place, spans_streams);
    table.mark(row);
    true
}
