//! What `check` warns about: legal, but seldom meant.

use super::aggregates::AggregateDef;
use super::contracts::Contracts;
use super::diagnostics::{Diagnostic, nearest};
use super::key_check::toml_key;
use super::upcasts::Upcasts;
use super::{EventTable, Order, StreamPattern};

/// Two aggregates over the same streams are common; two patterns that are written differently and meet in some
/// streams are seldom meant (`order-{id}` takes `order-item-1` too).
pub(crate) fn overlapping_streams(aggregates: &[AggregateDef], warnings: &mut Vec<Diagnostic>) {
    for (i, one) in aggregates.iter().enumerate() {
        for other in &aggregates[i + 1..] {
            let (Some((a, a_place)), Some((b, b_place))) = (&one.stream, &other.stream) else { continue };
            let shared = one.sources.iter().any(|source| other.sources.contains(source));
            if shared && !same_streams(a, b) && a.may_overlap(b) {
                let help = format!(
                    "a placeholder takes the rest of the name, dashes included; if `{}` should not get the other's streams, begin them with another word",
                    one.name
                );
                warnings.push(
                    Diagnostic::new(format!("streams of `{}` may also be streams of `{}`", other.name, one.name), b_place)
                        .also(a_place, "overlaps with this")
                        .help(help),
                );
            }
        }
    }
}

/// A rule for a type without a contract is legal; one letter away from a declared type it is seldom meant.
pub(crate) fn misspelt_types(aggregates: &[AggregateDef], contracts: &Contracts, warnings: &mut Vec<Diagnostic>) {
    for rule in aggregates.iter().filter(|aggregate| aggregate.replica.is_none()).flat_map(|aggregate| &aggregate.on) {
        for name in rule.pattern.named().filter(|name| !contracts.named().any(|declared| declared == *name)) {
            if let Some(near) = nearest(name, contracts.named().filter(|near| near.len().abs_diff(name.len()) <= 2)) {
                warnings.push(
                    Diagnostic::new(format!("no contract declares the event type `{name}`"), &rule.place)
                        .label(format!("did you mean `{near}`?"))
                        .help(format!("if `{name}` is a type of its own, declare it: [event.{}]", toml_key(name))),
                );
            }
        }
    }
}

/// A table may be called so; an event of the table is what is meant more often.
pub(crate) fn replicas_of_events(aggregates: &[AggregateDef], warnings: &mut Vec<Diagnostic>) {
    for (replica, rule) in aggregates.iter().filter_map(|aggregate| Some((aggregate.replica.as_ref()?, aggregate.on.first()?))) {
        let Some((table, event)) = replica.table.rsplit_once('.') else { continue };
        if ["insert", "update", "delete", "truncate", "read"].contains(&event) && !table.is_empty() {
            warnings.push(
                Diagnostic::new(
                    format!("`replica_of` names an event, not a table: the rules are for `{}.{event}`", replica.table),
                    &rule.place,
                )
                .label(format!("did you mean `{table}`?")),
            );
        }
    }
}

/// A type that upcasters give and nobody takes is seldom meant: its events end nowhere.
pub(crate) fn unhandled_upcasts(
    upcasts: &Upcasts,
    aggregates: &[AggregateDef],
    event_tables: &[EventTable],
    warnings: &mut Vec<Diagnostic>,
) {
    let handled = || aggregates.iter().flat_map(|aggregate| &aggregate.on).flat_map(|rule| rule.pattern.named());
    for (event_type, place) in upcasts.new_types() {
        let taken = aggregates.iter().any(|aggregate| aggregate.handles(event_type))
            || event_tables.iter().any(|table| table.event_type == *event_type)
            || upcasts.takes(event_type);
        if taken {
            continue;
        }
        let mut diagnostic = Diagnostic::new(format!("nobody handles events of the type `{event_type}`"), place);
        if let Some(near) = nearest(event_type, handled()) {
            diagnostic = diagnostic.label(format!("did you mean `{near}`?"));
        }
        warnings.push(diagnostic.help("events that are not wanted are left out with `discard = true`"));
    }
}

/// A field that an upcaster sets, no contract names and no other upcaster reads is lost; one letter away from a field
/// of the contract it is a mistake.
pub(crate) fn misspelt_fields(upcasts: &Upcasts, contracts: &Contracts, warnings: &mut Vec<Diagnostic>) {
    for set in upcasts.set_fields() {
        let fields: Vec<_> = set.types.iter().flat_map(|event_type| contracts.fields(event_type)).collect();
        if fields.iter().any(|field| field.name == set.name) || upcasts.reads(&set.name) {
            continue;
        }
        if let Some(near) = nearest(&set.name, fields.iter().map(|field| field.name.as_str())) {
            let types: Vec<String> = set.types.iter().map(|event_type| format!("[event.{}]", toml_key(event_type))).collect();
            warnings.push(
                Diagnostic::new(format!("no contract of {} names the field `{}`", types.join(", "), set.name), &set.place)
                    .label(format!("did you mean `{near}`?"))
                    .help("names of payload fields are case-sensitive; a field that no contract names is ignored"),
            );
        }
    }
}

/// Versions order the events of one stream; across streams they say nothing.
pub(crate) fn versions_across_streams(aggregates: &[AggregateDef], orders: &[Order], warnings: &mut Vec<Diagnostic>) {
    for aggregate in aggregates.iter().filter(|aggregate| aggregate.spans_streams() && aggregate.order_by.is_none()) {
        if aggregate.sources.iter().any(|source| orders.get(*source) == Some(&Order::Version)) {
            warnings.push(
                Diagnostic::new(
                    format!(
                        "`{}` spans streams, and its source is sorted by version: how streams lie between each other means nothing",
                        aggregate.name
                    ),
                    &aggregate.place,
                )
                .help("sort the source by position or time, or give the aggregate an `order_by`"),
            );
        }
    }
}

fn same_streams(a: &StreamPattern, b: &StreamPattern) -> bool {
    let literals = |pattern: &StreamPattern| -> Vec<String> { pattern.placeholders.iter().map(|(_, literal)| literal.clone()).collect() };
    a.prefix == b.prefix && literals(a) == literals(b)
}
