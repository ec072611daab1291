//! A row that goes on under another key: an update of a replica that changes the key and leaves columns out.
//!
//! Its old values lie in the partition of its old key. Partitions share nothing while they are folded side by side;
//! so an aggregate with such events in a round is folded in turn, event by event over all its partitions.

use std::sync::Arc;

use super::order::{OrderKey, key_of};
use super::partition::Partition;
use super::route::Routed;
use super::table::Place;
use super::touches::Carry;
use crate::project::Aggregate;
use crate::source::exchange::partition_of;
use crate::source::sequence::{Release, Verdicts};

/// Whether a batch, or an event that it releases, carries a row of the aggregate to another key.
pub fn has_carries(index: usize, routed: &Routed, releases: &[Release<Arc<Routed>>]) -> bool {
    let carries = |routed: &Routed| routed.touches[index].as_ref().is_some_and(|touches| !touches.carries.is_empty());
    carries(routed) || releases.iter().any(|release| carries(&release.batch))
}

/// As [`Partition::fold`] for all partitions of an aggregate, event by event.
pub fn fold_in_turn(
    aggregate: &Aggregate,
    index: usize,
    parts: &mut [&mut Partition],
    routed: &Arc<Routed>,
    verdicts: &Verdicts,
    releases: &[Release<Arc<Routed>>],
) {
    let mut releases = releases.iter().peekable();
    let touched = routed.touches[index].as_ref().map_or(Vec::new(), |touches| touches.by_event());
    let place_of = |event: u32| key_of(aggregate.order, &Place::of(&routed.batch.events, event as usize));
    let everywhere: Vec<usize> = (0..parts.len()).collect();
    for of_event in touched.chunk_by(|(one, _), (other, _)| one == other) {
        let event = of_event[0].0;
        while let Some(release) = releases.next_if(|r| r.after < event) {
            one_event(aggregate, index, parts, &everywhere, (&release.batch, release.event), place_of(release.after));
        }
        if verdicts.passes(event as usize) {
            let touched: Vec<usize> = of_event.iter().map(|(_, partition)| *partition).collect();
            one_event(aggregate, index, parts, &touched, (routed, event), place_of(event));
        }
    }
    for release in releases {
        one_event(aggregate, index, parts, &everywhere, (&release.batch, release.event), place_of(release.after));
    }
}

/// Folds one event over all partitions of an aggregate. `key`: where it stands in the aggregate's order.
pub fn fold_event(aggregate: &Aggregate, index: usize, parts: &mut [&mut Partition], (routed, event): (&Arc<Routed>, u32), key: OrderKey) {
    let everywhere: Vec<usize> = (0..parts.len()).collect();
    one_event(aggregate, index, parts, &everywhere, (routed, event), key);
}

/// `touched`: the partitions to look for touches in. `key`: where the event is folded in the aggregate's order.
fn one_event(
    aggregate: &Aggregate,
    index: usize,
    parts: &mut [&mut Partition],
    touched: &[usize],
    (routed, event): (&Arc<Routed>, u32),
    key: OrderKey,
) {
    let Some(touches) = &routed.touches[index] else { return };
    let first = touches.carries.partition_point(|carry| carry.event < event);
    for carry in touches.carries[first..].iter().take_while(|carry| carry.event == event) {
        let (from, to) = (partition_of(carry.from.0), partition_of(carry.to.0));
        if parts[to].stop_of(&carry.to.1).is_some() {
            continue;
        }
        if let Some(stop) = parts[from].stop_of(&carry.from.1) {
            let reason = format!("the row that it goes on from stands still: {stop}");
            parts[to].stop(index, routed, event, &carry.to.1, reason);
            continue;
        }
        carry_row(parts, carry);
    }
    for &number in touched {
        for touch in touches.part(number).of_event(event) {
            parts[number].touch(aggregate, index, number, routed, touch, key);
        }
    }
}

/// Copies the old row's values to the row under the new key, which is made where it is not there. The event's own
/// rules then delete the one and write to the other.
fn carry_row(parts: &mut [&mut Partition], carry: &Carry) {
    let ((from_hash, from), (to_hash, to)) = (&carry.from, &carry.to);
    let old = &parts[partition_of(*from_hash)].table;
    let Some(row) = old.find(*from_hash, from) else { return };
    let values: Vec<_> = old.state.iter().map(|column| column.get(row)).collect();
    let new = &mut parts[partition_of(*to_hash)].table;
    let row = new.find(*to_hash, to).unwrap_or_else(|| new.insert(*to_hash, to));
    for (column, value) in new.state.iter_mut().zip(values) {
        column.set(row, value);
    }
    new.mark(row);
}
