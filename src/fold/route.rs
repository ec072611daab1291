//! Events -> touches: which row of which aggregate an event concerns, and with which rules.
//!
//! Keys depend on the event alone, so they are computed, and hashed once, where the event was decoded.
//! What cannot be keyed is a bad event.

use indexmap::IndexMap;
use xxhash_rust::xxh3::xxh3_64;

use super::cells::{RowCells, holds};
use super::event::{EventEnv, EventView};
use super::key;
use super::table::Place;
use crate::project::{Aggregate, AggregatePlan, Project, Rule, Var};
use crate::source::{Bad, BadKind, Batch, Route};
use crate::sql::vector::Computed;
use crate::sql::{Expr, Value};

/// Into how many partitions streams and keys are cut; results do not depend on it.
pub const PARTITIONS: usize = 64;

/// The partition of a hash: its top bits.
pub fn partition_of(hash: u64) -> usize {
    (hash >> (64 - PARTITIONS.ilog2())) as usize
}

/// One event concerns one row (or, where `all`, every row) of an aggregate. What the fold needs of the event beside
/// its payload lies here: partitions are folded long after routing, when the event's own columns are out of reach
/// of the caches.
#[derive(Debug, Clone, Copy)]
pub struct Touch {
    pub event: u32,
    /// Where the payload lies: the batch's block, and the row in it.
    pub block: u32,
    pub row: u32,
    pub all: bool,
    pub hash: u64,
    pub place: Place,
    key_start: usize,
    key_len: u32,
    steps_start: u32,
    steps_len: u32,
}

/// A rule of `AggregatePlan::on` that runs for a touch, and the element of its `each`.
#[derive(Debug, Clone, Copy)]
pub struct Step {
    pub rule: u16,
    /// Index into `Touches::elements`; `NO_ELEMENT`: the rule has no `each`.
    pub element: u32,
}

pub const NO_ELEMENT: u32 = u32::MAX;

/// The touches of one batch on one aggregate.
pub struct Touches {
    /// By partition: of the stream where the key lies within a stream, else of the key.
    parts: Vec<Part>,
    pub elements: Vec<Value>,
    /// Rows that go on under another key, by event.
    pub carries: Vec<Carry>,
    /// The value of `order_by`, by event; empty where the aggregate has none.
    pub order: Vec<(u32, i64)>,
}

/// The touches of one partition, in log order.
#[derive(Default)]
pub struct Part {
    pub touches: Vec<Touch>,
    keys: Vec<u8>,
    steps: Vec<Step>,
}

impl Part {
    /// The touches of one event.
    pub fn of_event(&self, event: u32) -> &[Touch] {
        let start = self.touches.partition_point(|t| t.event < event);
        let end = self.touches.partition_point(|t| t.event <= event);
        &self.touches[start..end]
    }

    pub fn key(&self, touch: &Touch) -> &[u8] {
        &self.keys[touch.key_start..touch.key_start + touch.key_len as usize]
    }

    pub fn steps(&self, touch: &Touch) -> &[Step] {
        &self.steps[touch.steps_start as usize..(touch.steps_start + touch.steps_len) as usize]
    }
}

/// Before the rules of this event, the values of the row `from` are copied to the row `to`; both by hash and key.
#[derive(Debug, Clone)]
pub struct Carry {
    pub event: u32,
    pub from: (u64, Vec<u8>),
    pub to: (u64, Vec<u8>),
}

impl Touches {
    pub fn part(&self, partition: usize) -> &Part {
        &self.parts[partition]
    }

    pub fn parts(&self) -> &[Part] {
        &self.parts
    }

    /// Events and the partitions of their touches, in the order of the log, each pair once.
    pub fn by_event(&self) -> Vec<(u32, usize)> {
        let all =
            self.parts.iter().enumerate().flat_map(|(partition, part)| part.touches.iter().map(move |touch| (touch.event, partition)));
        let mut pairs: Vec<(u32, usize)> = all.collect();
        pairs.sort_unstable();
        pairs.dedup();
        pairs
    }
}

/// A batch with the ways of its events.
pub struct Routed {
    pub batch: Batch,
    /// Per block of the batch: `TypePlan::computed` over its columns.
    pub computed: Vec<Vec<Computed>>,
    /// Events by partition of their stream, in log order; of a record that became several events the first one.
    pub by_stream: Vec<Vec<u32>>,
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
    route_by(Router::default(), batch, project, active)
}

/// The same with touches also where no `when` is true of the event: nothing happens to the row then, and somebody
/// watches for it.
pub fn route_watched(batch: Batch, project: &Project, active: &[bool]) -> Routed {
    route_by(Router { without_steps: true, ..Router::default() }, batch, project, active)
}

fn route_by(mut router: Router, mut batch: Batch, project: &Project, active: &[bool]) -> Routed {
    let computed = compute(&batch);
    let mut by_stream = vec![Vec::new(); PARTITIONS];
    for (event, hash) in batch.events.stream_hash.iter().enumerate() {
        if !batch.events.is_follower(event) {
            by_stream[partition_of(*hash)].push(event as u32);
        }
    }
    let mut touches: Vec<Option<Touches>> = (0..project.aggregates.len()).map(|_| None).collect();
    let mut taken = vec![false; batch.events.len()];
    for event in 0..batch.events.len() {
        let Route::Block { block, row } = batch.events.route[event] else { continue };
        let plan = batch.blocks[block as usize].plan.clone();
        taken[event] = plan.event_table.is_some();
        let mut failed = None;
        for aggregate_plan in &plan.aggregates {
            let index = aggregate_plan.aggregate;
            if !active[index] {
                // counted as if it were folded: it was, by the run that consumed it
                taken[event] |= stream_matches(&project.aggregates[index], batch.events.stream.get(event));
                continue;
            }
            let view = EventView { events: &batch.events, block: &batch.blocks[block as usize], computed: &[], event, row: row as usize };
            let touches = touches[index].get_or_insert_with(Touches::new);
            match router.touch(&project.aggregates[index], aggregate_plan, &view, touches) {
                Ok(concerned) => taken[event] |= concerned,
                Err(reason) => {
                    failed = Some(reason);
                    break;
                }
            }
        }
        if let Some(reason) = failed {
            // one record, one verdict: the other parts of a bad one are not folded either
            let first = (0..=event).rev().find(|part| !batch.events.is_follower(*part)).unwrap_or(event);
            for part in (first..first + batch.events.parts(first)).rev() {
                touches.iter_mut().flatten().for_each(|touches| touches.forget(part as u32));
                taken[part] = false;
                batch.events.route[part] = Route::Bad;
            }
            batch.bad.push(Bad { line: batch.events.line[event], kind: BadKind::Key, reason });
        }
    }
    Routed { batch, computed, by_stream, touches, taken }
}

fn stream_matches(aggregate: &Aggregate, stream: &str) -> bool {
    aggregate.stream.as_ref().is_none_or(|pattern| pattern.capture_into(stream, &mut Vec::new()))
}

impl Touches {
    fn new() -> Touches {
        Touches { parts: (0..PARTITIONS).map(|_| Part::default()).collect(), elements: Vec::new(), carries: Vec::new(), order: Vec::new() }
    }

    fn forget(&mut self, event: u32) {
        while self.carries.last().is_some_and(|carry| carry.event == event) {
            self.carries.pop();
        }
        self.order.pop_if(|(ordered, _)| *ordered == event);
        for part in &mut self.parts {
            while part.touches.last().is_some_and(|t| t.event == event) {
                part.touches.pop();
            }
        }
    }
}

/// What is reused from event to event.
#[derive(Default)]
struct Router {
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
    placeholders: &'a [&'a str],
}

impl Router {
    /// Adds the touches of one event; true if it concerns the aggregate at all.
    fn touch(&mut self, aggregate: &Aggregate, plan: &AggregatePlan, view: &EventView, touches: &mut Touches) -> Result<bool, String> {
        let mut placeholders = Vec::new();
        if let Some(pattern) = &aggregate.stream
            && !pattern.capture_into(view.events.stream.get(view.event), &mut placeholders)
        {
            return Ok(false);
        }
        if plan.on.is_empty() {
            return Ok(false);
        }
        let concern = Concern { aggregate, plan, view, placeholders: &placeholders };
        if let Some(order_by) = &plan.order_by {
            touches
                .order
                .push((view.event as u32, order_value(order_by, view).map_err(|e| format!("{}: `order_by`: {e}", aggregate.name))?));
        }
        if plan.on.iter().all(|rule| (rule.each.is_none() || rule.each_needs_row) && rule.key.is_none() && !rule.all) {
            self.own_row(&concern, touches)?;
        } else {
            self.any_rows(&concern, touches)?;
        }
        Ok(true)
    }

    /// All rules find the aggregate's own row: the usual case, without an allocation.
    fn own_row(&mut self, concern: &Concern, touches: &mut Touches) -> Result<(), String> {
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
                Ok(()) => push(concern, touches, &key, false, &steps),
                Err(reason) if is_concerned => return Err(reason),
                Err(_) => {}
            }
            self.key = key;
        }
        self.steps = steps;
        Ok(())
    }

    /// Rules with a key of their own, `each` or `all`: one touch per row, its steps in order.
    fn any_rows(&mut self, concern: &Concern, touches: &mut Touches) -> Result<(), String> {
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
            push(concern, touches, key, false, steps);
        }
        if !of_all.is_empty() {
            push(concern, touches, &[], true, &of_all);
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

fn push(concern: &Concern, touches: &mut Touches, key: &[u8], all: bool, steps: &[Step]) {
    let hash = xxh3_64(key);
    let view = concern.view;
    let Route::Block { block, row } = view.events.route[view.event] else { return };
    let place = Place::of(view.events, view.event);
    let add = |part: &mut Part| {
        let (key_start, steps_start) = (part.keys.len(), part.steps.len() as u32);
        part.keys.extend_from_slice(key);
        part.steps.extend_from_slice(steps);
        let (key_len, steps_len) = (key.len() as u32, steps.len() as u32);
        part.touches.push(Touch { event: view.event as u32, block, row, all, hash, place, key_start, key_len, steps_start, steps_len });
    };
    if all {
        touches.parts.iter_mut().for_each(add);
    } else if concern.aggregate.spans_streams {
        add(&mut touches.parts[partition_of(hash)]);
    } else {
        add(&mut touches.parts[partition_of(view.events.stream_hash[view.event])]);
    }
}
