//! The definition of a fold, to be read: `events.try_fold(initial, evolve)`.
//!
//! record -> envelope -> upcasters -> contract -> keys -> sequencing by stream -> rules on rows. Slow and plain: no
//! partitions, no batches, no plans.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use foldline::sql::{Type, Value, to_text};
use serde_json::Value as Json;

use crate::expression::{Expressions, Name, Sight};
use crate::payload;
use crate::spec::{Aggregate, Rule, Spec};

/// What is wrong with a record, by the report's name for it.
pub type Bad = (&'static str, String);

/// An event behind the upcasters.
#[derive(Clone, Debug)]
pub struct Event {
    pub stream: String,
    pub event_type: String,
    pub version: Option<i64>,
    pub position: Option<i64>,
    pub time: Option<i64>,
    pub id: Option<String>,
    pub data: Json,
    pub meta: Json,
    /// The contract's fields, those that somebody uses.
    pub fields: BTreeMap<String, Value>,
}

/// A key by its text, which orders and compares, and its values.
pub type Key = (String, Vec<Value>);

/// A rule of `on` by its number, and the element of its `each`.
pub type Step = (usize, Option<Value>);

/// Which rules an event runs on which rows of one aggregate: all that needs no row.
#[derive(Clone, Debug, Default)]
pub struct Concern {
    /// Row by row.
    pub rows: Vec<(Key, Vec<Step>)>,
    /// Rules for every row.
    pub all: Vec<Step>,
    pub change: Option<Change>,
}

/// What a change event does to a replica.
#[derive(Clone, Debug)]
pub enum Change {
    Truncate,
    Delete(Key),
    /// The row's old key where it is another one, its key, its columns (`None`: as it was).
    Write(Option<Key>, Key, Vec<Option<Value>>),
}

#[derive(Clone, Debug)]
pub struct Row {
    pub key: Vec<Value>,
    pub state: Vec<Value>,
    pub events: i64,
    pub version: Option<i64>,
    pub position: Option<i64>,
    pub first_at: Option<i64>,
    pub last_at: Option<i64>,
}

/// A table of an aggregate, and the rows that it gave out, by rows table.
#[derive(Clone, Debug, Default)]
pub struct Table {
    pub rows: BTreeMap<String, Row>,
    pub emitted: Vec<Vec<Vec<Value>>>,
}

#[derive(Clone, Debug, Default)]
struct Stream {
    first: i64,
    last: Option<i64>,
    /// What tells the last event from another one of its version: its id, or without one the whole record.
    mark: String,
    held: BTreeMap<i64, (String, Vec<Ready>)>,
}

/// An event with its concerns, one per aggregate.
#[derive(Clone, Debug)]
pub struct Ready {
    pub event: Rc<Event>,
    pub concerns: Vec<Concern>,
}

/// Everything that the events of a log made.
#[derive(Clone, Debug, Default)]
pub struct World {
    streams: BTreeMap<String, Stream>,
    pub tables: Vec<Table>,
    /// By event table.
    pub events: Vec<Vec<Vec<Value>>>,
    pub bad: BTreeMap<&'static str, u64>,
    /// Events that have a version again with another mark, or one from before their stream's first.
    pub conflicts: u64,
    /// The first event that a row could not take.
    pub failed: Option<String>,
}

pub struct Interpreter {
    pub spec: Spec,
    pub expressions: Expressions,
    /// Of each aggregate's key columns.
    pub key_types: Vec<Vec<Type>>,
    /// By event type: the declared fields that some expression or event table uses.
    pub used: std::cell::RefCell<BTreeMap<String, Rc<BTreeSet<String>>>>,
}

impl Interpreter {
    pub fn new(spec: Spec) -> Interpreter {
        let mut this = Interpreter { spec, expressions: Expressions::default(), key_types: Vec::new(), used: Default::default() };
        for index in 0..this.spec.aggregates.len() {
            let types = this.types_of_key(index);
            this.key_types.push(types);
        }
        this
    }

    pub fn start(&self) -> World {
        World {
            tables: self.spec.aggregates.iter().map(|a| Table { emitted: vec![Vec::new(); a.rows.len()], ..Table::default() }).collect(),
            events: vec![Vec::new(); self.spec.event_tables.len()],
            ..World::default()
        }
    }

    /// Placeholders are text; the others have the type of the first rule's expression.
    fn types_of_key(&self, index: usize) -> Vec<Type> {
        let aggregate = &self.spec.aggregates[index];
        if let Some(table) = &aggregate.replica_of {
            let contract = self.spec.contract(&format!("{table}.insert"));
            return contract.into_iter().filter(|field| field.key).map(|field| field.ty).collect();
        }
        let mut types = vec![Type::Varchar; aggregate.placeholders];
        let keyed = aggregate.on.iter().find(|rule| rule.key.is_some());
        let (rule, key) = match (aggregate.key.is_empty(), keyed) {
            (false, _) => (&aggregate.on[0], &aggregate.key),
            (true, Some(rule)) if aggregate.stream.is_none() => (rule, rule.key.as_ref().unwrap()),
            _ => return types,
        };
        let event_type = rule.pattern.split('|').next().unwrap().replace('*', "any");
        let contract = self.spec.contract(&event_type);
        let place = format!("keys of {} for {event_type}", aggregate.name);
        let list = rule.each.as_ref().filter(|_| aggregate.key.is_empty());
        let each = list.map(|each| {
            let sight = Sight { aggregate: Some((aggregate, &[])), contract: &contract, each: None, record: false };
            element(&self.expressions.get(&place, each, sight, None).expr.ty)
        });
        let sight = Sight { aggregate: None, contract: &contract, each: each.as_ref(), record: false };
        types.extend(key.iter().map(|text| self.expressions.get(&place, text, sight, None).expr.ty.clone()));
        types
    }

    /// Reads records, in the log's order.
    pub fn feed(&self, world: &mut World, lines: &str) {
        for line in lines.lines() {
            let record: Json = serde_json::from_str(line).unwrap();
            let version = if self.spec.versioned { record["version"].as_i64() } else { None };
            let stream = record["stream_id"].as_str().unwrap().to_string();
            let mark = record["id"].as_str().unwrap_or(line).to_string();
            let ready = self.decode(&record, version).map_err(|(kind, _)| *world.bad.entry(kind).or_default() += 1).ok();
            self.sequence(world, stream, version, mark, ready);
        }
    }

    /// By version: what is not above the last is a duplicate, what comes early waits. `ready`: `None` for a bad record,
    /// whose version counts all the same.
    fn sequence(&self, world: &mut World, name: String, version: Option<i64>, mark: String, ready: Option<Vec<Ready>>) {
        let is_bad = ready.is_none();
        let ready = ready.unwrap_or_default();
        let Some(version) = version else { return self.accept(world, ready) };
        let stream = world.streams.entry(name.clone()).or_default();
        match stream.last {
            Some(last) if version == last + 1 => {}
            None if version <= 1 => stream.first = version,
            Some(last) if version <= last => {
                world.conflicts += u64::from((version == last && mark != stream.mark && !is_bad) || version < stream.first);
                return;
            }
            _ => {
                match stream.held.get(&version) {
                    Some((held, _)) => world.conflicts += u64::from(*held != mark && !is_bad),
                    None => drop(stream.held.insert(version, (mark, ready))),
                }
                return;
            }
        }
        (stream.last, stream.mark) = (Some(version), mark);
        self.accept(world, ready);
        let mut version = version;
        while let Some((mark, ready)) = world.streams.get_mut(&name).and_then(|stream| stream.held.remove(&(version + 1))) {
            version += 1;
            if let Some(stream) = world.streams.get_mut(&name) {
                (stream.last, stream.mark) = (Some(version), mark);
            }
            self.accept(world, ready);
        }
    }

    /// Streams that wait for a missing version.
    pub fn gaps(&self, world: &World) -> u64 {
        world.streams.values().filter(|stream| !stream.held.is_empty()).count() as u64
    }

    /// An event whose turn has come.
    fn accept(&self, world: &mut World, parts: Vec<Ready>) {
        for Ready { event, concerns } in parts {
            for (table, rows) in self.spec.event_tables.iter().zip(&mut world.events) {
                if *table == event.event_type {
                    let fields = self.spec.contract(table);
                    let mut row: Vec<Value> = fields.iter().map(|field| event.fields[&field.name].clone()).collect();
                    row.extend(place(&event));
                    row.push(event_value(&event, &Name::Event("id".into())));
                    rows.push(row);
                }
            }
            for (index, concern) in concerns.into_iter().enumerate() {
                if world.failed.is_some() {
                    return;
                }
                if let Err(reason) = self.evolve(index, &mut world.tables[index], &event, concern) {
                    world.failed = Some(reason);
                }
            }
        }
    }

    /// One event on one aggregate.
    fn evolve(&self, index: usize, table: &mut Table, event: &Event, concern: Concern) -> Result<(), String> {
        if let Some(change) = concern.change {
            replicate(table, event, change, &self.spec.aggregates[index]);
            return Ok(());
        }
        let mut rows = concern.rows;
        if !concern.all.is_empty() {
            for (text, row) in &table.rows {
                if !rows.iter().any(|(key, _)| key.0 == *text) {
                    rows.push(((text.clone(), row.key.clone()), Vec::new()));
                }
            }
        }
        for (key, mut steps) in rows {
            steps.extend(concern.all.iter().cloned());
            steps.sort_by_key(|(rule, _)| *rule);
            self.on_row(index, table, event, key, steps)?;
        }
        Ok(())
    }

    fn on_row(&self, index: usize, table: &mut Table, event: &Event, key: Key, steps: Vec<Step>) -> Result<(), String> {
        let aggregate = &self.spec.aggregates[index];
        let defaults: Vec<Value> = aggregate.state.iter().map(|column| column.default.clone().unwrap_or_default()).collect();
        let old = table.rows.get(&key.0).map_or(defaults.clone(), |row| row.state.clone());
        let mut applied = false;
        let on = steps.into_iter().map(|(rule, element)| (&aggregate.on[rule], element));
        let (before, after) = (aggregate.before.iter().map(|rule| (rule, None)), aggregate.after.iter().map(|rule| (rule, None)));
        for (rule, element) in before.chain(on).chain(after) {
            if rule.all && !table.rows.contains_key(&key.0) {
                continue;
            }
            let row = OnRow { this: self, index, event, key: &key, old: &old, defaults: &defaults };
            match (&rule.each, element) {
                (Some(list), None) => {
                    let list = self.compiled(index, &event.event_type, list, None, None);
                    let of = element_type(&list.expr.ty);
                    for element in elements(list.eval(&|name| row.value(table, name, None))?) {
                        applied |= row.rule(rule, table, element.as_ref(), of.as_ref())?;
                    }
                }
                (Some(list), Some(element)) => {
                    let list = self.compiled(index, &event.event_type, list, None, None);
                    applied |= row.rule(rule, table, Some(&element), element_type(&list.expr.ty).as_ref())?;
                }
                (None, _) => applied |= row.rule(rule, table, None, None)?,
            }
        }
        if let (true, Some(row)) = (applied, table.rows.get_mut(&key.0)) {
            let spans = aggregate.stream.is_none() || aggregate.on.iter().any(|rule| rule.key.is_some() || rule.all);
            row.count(event, spans);
        }
        Ok(())
    }
}

/// One event on one row.
struct OnRow<'a> {
    this: &'a Interpreter,
    index: usize,
    event: &'a Event,
    key: &'a Key,
    old: &'a [Value],
    defaults: &'a [Value],
}

impl OnRow<'_> {
    fn value(&self, table: &Table, name: &Name, each: Option<&Value>) -> Value {
        match name {
            Name::State(column) => table.rows.get(&self.key.0).map_or(&self.defaults[*column], |row| &row.state[*column]).clone(),
            Name::Old(column) => self.old[*column].clone(),
            Name::Key(column) => self.key.1[*column].clone(),
            name => of_event(self.event, name, each),
        }
    }

    /// Runs a rule; true if it applied.
    fn rule(&self, rule: &Rule, table: &mut Table, each: Option<&Value>, each_type: Option<&Type>) -> Result<bool, String> {
        let aggregate = &self.this.spec.aggregates[self.index];
        let eval = |text: &str, wanted: Option<&Type>, table: &Table| {
            let compiled = self.this.compiled(self.index, &self.event.event_type, text, each_type, wanted);
            compiled.eval(&|name| self.value(table, name, each)).map_err(|e| format!("{}: {text}: {e}", rule.label))
        };
        if let Some(when) = &rule.when
            && eval(when, None, table)?.as_bool() != Some(true)
        {
            return Ok(false);
        }
        if let Some(message) = &rule.fail {
            return Err(format!("{}: fails: {:?}", rule.label, eval(message, Some(&Type::Varchar), table)?));
        }
        if rule.delete {
            table.rows.remove(&self.key.0);
            return Ok(true);
        }
        // all right-hand sides see the row as it was
        let mut set = Vec::new();
        for (column, text) in &rule.set {
            set.push((*column, eval(text, Some(&aggregate.state[*column].ty), table)?));
        }
        let mut emitted = Vec::new();
        for (rows, values) in &rule.emit {
            let columns = &aggregate.rows[*rows].1;
            let mut row = self.key.1.clone();
            for (value, column) in values.iter().zip(columns) {
                row.push(value.as_ref().map_or(Ok(Value::Null), |text| eval(text, Some(&column.ty), table))?);
            }
            row.extend(place(self.event));
            emitted.push((*rows, row));
        }
        let row = table.rows.entry(self.key.0.clone()).or_insert_with(|| Row::new(self.key.1.clone(), self.defaults.to_vec()));
        for (column, value) in set {
            row.state[column] = value;
        }
        for (rows, row) in emitted {
            table.emitted[rows].push(row);
        }
        Ok(true)
    }
}

impl Row {
    fn new(key: Vec<Value>, state: Vec<Value>) -> Row {
        Row { key, state, events: 0, version: None, position: None, first_at: None, last_at: None }
    }

    /// Counts an event that was applied.
    fn count(&mut self, event: &Event, spans_streams: bool) {
        if self.events == 0 {
            self.first_at = event.time;
        }
        self.events += 1;
        self.version = event.version.filter(|_| !spans_streams);
        self.position = event.position;
        self.last_at = event.time;
    }
}

/// A change of a replica's table.
fn replicate(table: &mut Table, event: &Event, change: Change, aggregate: &Aggregate) {
    match change {
        Change::Truncate => table.rows.clear(),
        Change::Delete(key) => drop(table.rows.remove(&key.0)),
        Change::Write(old, key, values) => {
            let old = old.and_then(|old| table.rows.remove(&old.0));
            let defaults = || aggregate.state.iter().map(|column| column.default.clone().unwrap_or_default()).collect();
            let row = table.rows.entry(key.0).or_insert_with(|| Row::new(key.1, defaults()));
            if let Some(old) = old {
                row.state = old.state;
            }
            for (column, value) in row.state.iter_mut().zip(values) {
                *column = value.unwrap_or_else(|| column.clone());
            }
            row.count(event, true);
        }
    }
}

pub fn key_text(values: &[Value], types: &[Type]) -> String {
    values.iter().zip(types).map(|(value, ty)| format!("{:?}", to_text(value, ty))).collect::<Vec<_>>().join(",")
}

pub fn element_type(ty: &Type) -> Option<Type> {
    Some(element(ty))
}

pub fn element(ty: &Type) -> Type {
    if let Type::List(element) = ty { (**element).clone() } else { panic!("{ty} is no list") }
}

pub fn elements(list: Value) -> Vec<Option<Value>> {
    if let Value::List(items) = list { items.iter().cloned().map(Some).collect() } else { Vec::new() }
}

pub fn of_event(event: &Event, name: &Name, each: Option<&Value>) -> Value {
    match name {
        Name::Each => each.cloned().unwrap_or_default(),
        name => event_value(event, name),
    }
}

pub fn event_value(event: &Event, name: &Name) -> Value {
    let int = |value: Option<i64>| value.map_or(Value::Null, |value| Value::Int(value.into()));
    match name {
        Name::Field(field) => event.fields[field].clone(),
        Name::Text(path) => payload::as_text(payload::at(&event.data, path)),
        Name::Meta(path) => payload::as_text(payload::at(&event.meta, path)),
        Name::Event(part) => match part.as_str() {
            "stream" => Value::text(&event.stream),
            "type" => Value::text(&event.event_type),
            "version" => int(event.version),
            "position" => int(event.position),
            "time" => event.time.map_or(Value::Null, Value::Timestamp),
            _ => event.id.as_ref().map_or(Value::Null, Value::text),
        },
        name => panic!("{name:?} is no part of an event"),
    }
}

/// `_stream`, `_version`, `_position`, `_time`
fn place(event: &Event) -> Vec<Value> {
    ["stream", "version", "position", "time"].iter().map(|part| event_value(event, &Name::Event(part.to_string()))).collect()
}
