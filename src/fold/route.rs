//! Events -> touches: which row of which aggregate an event concerns, and with which rules.
//!
//! Keys depend on the event alone, so they are computed, and hashed once, where the event was decoded.
//! What cannot be keyed is a bad event.

use std::ops::Range;

use indexmap::IndexMap;
use xxhash_rust::xxh3::xxh3_64;

use super::cells::{RowCells, holds};
use super::event::{EventEnv, EventView};
use super::key;
use super::table::Place;
use super::touches::{Carry, Gathered, NO_ELEMENT, Payload, Step, Touches};
use crate::project::{Aggregate, AggregatePlan, KeyPart, Project, Rule, Var};
use crate::source::arrivals::Arrivals;
use crate::source::exchange::partition_of;
use crate::source::{Bad, BadKind, Batch, Route};
use crate::sql::scalar::{Cell, Cells};
use crate::sql::vector::Computed;
use crate::sql::{Expr, Value};

/// A batch with the ways of its events.
pub struct Routed {
    pub batch: Batch,
    /// Per block of the batch: `TypePlan::computed` over its columns.
    pub computed: Vec<Vec<Computed>>,
    /// The records by the partition of their stream.
    pub arrivals: Arrivals,
    /// One per aggregate of the project; `None` where the batch does not concern it.
    pub touches: Vec<Option<Touches>>,
    /// Per event: some aggregate or event table takes it.
    pub taken: Vec<bool>,
}

/// Runs what the rules compute by column over the payloads of a batch.
pub fn compute(batch: &Batch) -> Vec<Vec<Computed>> {
    batch
        .blocks
        .iter()
        .map(|block| {
            let column = |slot| match Var::of(slot) {
                Var::Data(i) => block.data.get(i),
                _ => None,
            };
            block.plan.computed.iter().map_while(|vector| vector.run(block.rows(), &column)).collect()
        })
        .collect()
}

/// Routes a batch to the aggregates for which `active` is true.
pub fn route(batch: Batch, project: &Project, active: &[bool]) -> Routed {
    Router::default().route(batch, project, active, Spare::default())
}

/// The memory of a batch that was folded, for one that is routed.
#[derive(Debug, Default)]
pub struct Spare {
    arrivals: Arrivals,
    touches: Vec<Option<Touches>>,
    taken: Vec<bool>,
}

impl Spare {
    /// What a batch leaves behind; nothing of one that took more than `bytes_max`.
    pub fn of(routed: Routed, bytes_max: usize) -> Spare {
        let Routed { arrivals, touches, taken, .. } = routed;
        let bytes = arrivals.capacity() + touches.iter().flatten().map(Touches::capacity).sum::<usize>();
        if bytes > bytes_max { Spare::default() } else { Spare { arrivals, touches, taken } }
    }
}

/// Whether a stream is one of the aggregate's, and what stands for its placeholders.
fn stream_matches<'a>(aggregate: &Aggregate, stream: &'a str, placeholders: &mut Vec<&'a str>) -> bool {
    placeholders.clear();
    aggregate.stream.as_ref().is_none_or(|pattern| pattern.capture_into(stream, placeholders))
}

/// Routes batches; holds what is used again from event to event and from batch to batch.
#[derive(Default)]
pub struct Router {
    /// By aggregate: the touches of the batch at hand.
    gathered: Vec<Gathered>,
    partitions: Vec<u8>,
    order: Vec<u32>,
    key_values: Vec<Value>,
    /// Key, for all rows, step: of one event, before they are grouped by row.
    found: Vec<(Vec<u8>, bool, Step)>,
    key: Vec<u8>,
    steps: Vec<Step>,
    /// The aggregate's own row is touched also where no rule is left for it.
    without_steps: bool,
}

/// One event on one aggregate.
struct Concern<'a> {
    aggregate: &'a Aggregate,
    plan: &'a AggregatePlan,
    view: &'a EventView<'a>,
    payload: Payload,
    placeholders: &'a [&'a str],
}

impl Router {
    /// Makes touches also where no `when` is true of an event: nothing happens to the row then, and somebody watches
    /// for it.
    pub fn watched() -> Router {
        Router { without_steps: true, ..Router::default() }
    }

    /// Routes a batch to the aggregates for which `active` is true.
    pub fn route(&mut self, mut batch: Batch, project: &Project, active: &[bool], spare: Spare) -> Routed {
        let computed = compute(&batch);
        let Spare { mut arrivals, touches: mut spare, mut taken } = spare;
        let mut gathered = std::mem::take(&mut self.gathered);
        gathered.resize_with(project.aggregates.len(), Gathered::default);
        let mut concerned = vec![false; project.aggregates.len()];
        taken.clear();
        taken.resize(batch.events.len(), false);
        let mut unkeyed: Vec<(Range<usize>, String)> = Vec::new();
        let mut placeholders = Vec::new();
        let mut next = 0;
        while next < batch.events.len() {
            let event = next;
            next += 1;
            let Route::Block { block, row } = batch.events.route[event] else { continue };
            let block_number = block;
            let block = &batch.blocks[block as usize];
            let payload = Payload { event: event as u32, block: block_number, row };
            taken[event] = block.plan.event_table.is_some();
            for plan in &block.plan.aggregates {
                let (index, aggregate) = (plan.aggregate, &project.aggregates[plan.aggregate]);
                if !active[index] {
                    // counted as if it were folded: it was, by the run that consumed it
                    taken[event] |= stream_matches(aggregate, batch.events.stream.get(event), &mut placeholders);
                    continue;
                }
                concerned[index] = true;
                if plan.on.is_empty() || !stream_matches(aggregate, batch.events.stream.get(event), &mut placeholders) {
                    continue;
                }
                let view = EventView { events: &batch.events, block, computed: &[], event, row: row as usize };
                let concern = Concern { aggregate, plan, view: &view, payload, placeholders: &placeholders };
                match self.touch(&concern, &mut gathered[index]) {
                    Ok(()) => taken[event] = true,
                    Err(reason) => {
                        // one record, one verdict: the other parts of a bad one are not folded either
                        let first = (0..=event).rev().find(|part| !batch.events.is_follower(*part)).unwrap_or(event);
                        next = first + batch.events.parts(first);
                        for part in (first..next).rev() {
                            gathered.iter_mut().for_each(|gathered| gathered.forget(part as u32));
                            taken[part] = false;
                        }
                        unkeyed.push((first..next, reason));
                        break;
                    }
                }
            }
        }
        for (parts, reason) in unkeyed {
            batch.bad.push(Bad { line: batch.events.line[parts.start], kind: BadKind::Key, reason });
            batch.events.route[parts].fill(Route::Bad);
        }
        spare.resize_with(project.aggregates.len(), || None);
        let touches = gathered
            .iter_mut()
            .zip(spare)
            .zip(concerned)
            .map(|((gathered, spare), concerned)| concerned.then(|| gathered.share_out(&mut self.order, spare.unwrap_or_default())));
        let touches = touches.collect();
        self.gathered = gathered;
        arrivals.fill(&batch.events, &taken, &mut self.partitions, &mut self.order);
        Routed { batch, computed, arrivals, touches, taken }
    }

    /// Adds the touches of one event, of a stream of the aggregate.
    fn touch(&mut self, concern: &Concern, touches: &mut Gathered) -> Result<(), String> {
        let Concern { aggregate, plan, view, .. } = concern;
        if let Some(order_by) = &plan.order_by {
            let value = order_value(order_by, view).map_err(|e| format!("{}: `order_by`: {e}", aggregate.name))?;
            touches.order.push((concern.payload.event, value));
        }
        if plan.on.iter().all(|rule| (rule.each.is_none() || rule.each_needs_row) && rule.key.is_none() && !rule.all) {
            self.own_row(concern, touches)
        } else {
            self.any_rows(concern, touches)
        }
    }

    /// All rules find the aggregate's own row: the usual case, without an allocation.
    fn own_row(&mut self, concern: &Concern, touches: &mut Gathered) -> Result<(), String> {
        let mut steps = std::mem::take(&mut self.steps);
        steps.clear();
        for (number, rule) in concern.plan.on.iter().enumerate() {
            if applies(rule, concern.view, None)? {
                steps.push(Step { rule: number as u16, element: NO_ELEMENT });
            }
        }
        // `before` and `after` rules concern the row also where no rule of `on` is left
        let is_concerned = !steps.is_empty() || !concern.plan.before.is_empty() || !concern.plan.after.is_empty();
        if is_concerned || self.without_steps {
            let mut key = std::mem::take(&mut self.key);
            key.clear();
            match self.own_key(concern, &mut key) {
                Ok(()) => push(concern, touches, &key, &steps),
                Err(reason) if is_concerned => return Err(reason),
                Err(_) => {}
            }
            self.key = key;
        }
        self.steps = steps;
        Ok(())
    }

    /// Rules with a key of their own, `each` or `all`: one touch per row, its steps in order.
    fn any_rows(&mut self, concern: &Concern, touches: &mut Gathered) -> Result<(), String> {
        self.found.clear();
        let view = concern.view;
        for (number, rule) in concern.plan.on.iter().enumerate() {
            let rule_number = number as u16;
            let Some(each) = rule.each.as_ref().filter(|_| !rule.each_needs_row) else {
                self.step(concern, rule, None, Step { rule: rule_number, element: NO_ELEMENT })?;
                continue;
            };
            let list = each.eval(&EventEnv { view, element: None }).map_err(|e| format!("{}: `each`: {}", rule.label, e.0))?;
            let Value::List(list) = list else { continue };
            for element in list.iter() {
                let step = Step { rule: rule_number, element: touches.elements.len() as u32 };
                self.step(concern, rule, Some(element), step)?;
                touches.elements.push(element.clone());
            }
        }
        if let ([(from, ..), (to, ..)], false) = (self.found.as_slice(), concern.plan.carries.is_empty())
            && concern.plan.carries.iter().any(|field| view.value(Var::Data(*field)).as_bool() == Some(false))
        {
            let hashed = |key: &Vec<u8>| (xxh3_64(key), key.clone());
            touches.carries.push(Carry { event: view.event as u32, from: hashed(from), to: hashed(to) });
        }
        let mut rows: IndexMap<Vec<u8>, Vec<Step>, foldhash::fast::FixedState> = IndexMap::default();
        let mut of_all: Vec<Step> = Vec::new();
        for (key, all, step) in self.found.drain(..) {
            if all { of_all.push(step) } else { rows.entry(key).or_default().push(step) }
        }
        // as in `own_row`, the aggregate's own row is concerned where a rule is for it
        if concern.plan.has_key && !(concern.plan.before.is_empty() && concern.plan.after.is_empty()) {
            let mut key = Vec::new();
            self.own_key(concern, &mut key)?;
            rows.entry(key).or_default();
        } else if concern.plan.has_key && self.without_steps {
            let mut key = Vec::new();
            if self.own_key(concern, &mut key).is_ok() {
                rows.entry(key).or_default();
            }
        }
        for (key, steps) in &mut rows {
            // a row that is found by its key, and of which all are meant too, is one touch, its rules in order
            steps.extend_from_slice(&of_all);
            steps.sort_by_key(|step| (step.rule, step.element));
            push(concern, touches, key, steps);
        }
        if !of_all.is_empty() {
            touches.push_all(concern.payload, Place::of(view.events, view.event), &of_all);
        }
        Ok(())
    }

    fn step(&mut self, concern: &Concern, rule: &Rule, element: Option<&Value>, step: Step) -> Result<(), String> {
        if !applies(rule, concern.view, element)? {
            return Ok(());
        }
        let env = EventEnv { view: concern.view, element };
        let mut key = Vec::new();
        match &rule.key {
            _ if rule.all => {}
            None => self.own_key(concern, &mut key)?,
            Some(exprs) => {
                self.key_values.clear();
                for (expr, column) in exprs.iter().zip(&concern.aggregate.keys) {
                    let value = expr.eval(&env).map_err(|e| format!("{}: `key.{}`: {}", rule.label, column.name, e.0))?;
                    if value.is_null() {
                        return Err(format!("{}: the key column `{}` is NULL", rule.label, column.name));
                    }
                    self.key_values.push(value);
                }
                if !key::encode(&self.key_values, &mut key) {
                    return Err(format!("{}: a key cannot be of this type", rule.label));
                }
            }
        }
        self.found.push((key, rule.all, step));
        Ok(())
    }

    /// The aggregate's own key for this event: the stream's placeholders, then its key expressions.
    fn own_key(&mut self, concern: &Concern, bytes: &mut Vec<u8>) -> Result<(), String> {
        let (aggregate, plan, placeholders) = (concern.aggregate, concern.plan, concern.placeholders);
        if plan.key.is_empty() && placeholders.len() == 1 {
            bytes.extend_from_slice(placeholders[0].as_bytes());
            return Ok(());
        }
        if let Some(parts) = &plan.key_parts {
            let start = bytes.len();
            if compiled_key(concern, parts, bytes) {
                return Ok(());
            }
            // NULL, or a number out of its range: the expressions give the error
            bytes.truncate(start);
        }
        self.key_values.clear();
        self.key_values.extend(placeholders.iter().map(Value::text));
        let behind = &aggregate.keys[placeholders.len().min(aggregate.keys.len())..];
        for (expr, column) in plan.key.iter().zip(behind) {
            let value = expr
                .eval(&EventEnv { view: concern.view, element: None })
                .map_err(|e| format!("{}: `key.{}`: {}", aggregate.name, column.name, e.0))?;
            if value.is_null() {
                return Err(format!("{}: the key column `{}` is NULL", aggregate.name, column.name));
            }
            self.key_values.push(value);
        }
        if !key::encode(&self.key_values, bytes) {
            return Err(format!("{}: a key cannot be of this type", aggregate.name));
        }
        Ok(())
    }
}

/// Appends the aggregate's own key for an event; false: some part is not as usual.
fn compiled_key(concern: &Concern, parts: &[KeyPart], bytes: &mut Vec<u8>) -> bool {
    let (columns, placeholders) = (&concern.aggregate.keys, concern.placeholders);
    if placeholders.len() + parts.len() != columns.len() {
        return false;
    }
    for (column, placeholder) in placeholders.iter().enumerate() {
        key::push_text(placeholder.as_bytes(), column + 1 == columns.len(), bytes);
    }
    let cells = RowCells { table: None, row: None, view: concern.view };
    for (column, part) in parts.iter().enumerate().map(|(i, part)| (placeholders.len() + i, part)) {
        match part {
            KeyPart::Text(slot) => match cells.text(*slot) {
                Some(text) => key::push_text(text.as_bytes(), column + 1 == columns.len(), bytes),
                None => return false,
            },
            KeyPart::Whole(scalar) => match scalar.eval(&cells) {
                Cell::Whole(whole) => key::push_whole(whole, &columns[column].ty, bytes),
                _ => return false,
            },
        }
    }
    true
}

/// The value of `order_by` for an event, as a number of its type's own unit: 1, days, microseconds.
fn order_value(order_by: &Expr, view: &EventView) -> Result<i64, String> {
    match order_by.eval(&EventEnv { view, element: None }).map_err(|e| e.0)? {
        Value::Int(value) => i64::try_from(value).map_err(|_| "the number is out of the range of BIGINT".to_string()),
        Value::Date(days) => Ok(days as i64),
        Value::Timestamp(micros) => Ok(micros),
        _ => Err("it is NULL, and nothing says where the event belongs".into()),
    }
}

/// False where the rule's `when` needs nothing but the event and is not true of it.
fn applies(rule: &Rule, view: &EventView, element: Option<&Value>) -> Result<bool, String> {
    match &rule.when {
        Some(when) if !rule.when_needs_row => {
            let cells = RowCells { table: None, row: None, view };
            holds(when, &cells, || EventEnv { view, element }).map_err(|e| format!("{}: `when`: {}", rule.label, e.0))
        }
        _ => Ok(true),
    }
}

fn push(concern: &Concern, touches: &mut Gathered, key: &[u8], steps: &[Step]) {
    let hash = xxh3_64(key);
    let view = concern.view;
    let partition = partition_of(if concern.aggregate.spans_streams { hash } else { view.events.stream_hash[view.event] });
    touches.push(concern.payload, Place::of(view.events, view.event), partition, (hash, key), steps);
}
