//! The definition of a fold, to be read: `events.try_fold(initial, evolve)`.
//!
//! record -> envelope -> upcasters -> contract -> keys -> sequencing by stream -> rules on rows. Slow and plain: no
//! partitions, no batches, no plans.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use foldline::sql::{Type, Value, cast_text, to_text};
use serde_json::Value as Json;

use crate::expression::{Expressions, Name, Sight};
use crate::payload;
use crate::spec::{Aggregate, Field, Rule, Spec, Upcast, matches};

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
type Key = (String, Vec<Value>);

/// A rule of `on` by its number, and the element of its `each`.
type Step = (usize, Option<Value>);

/// Which rules an event runs on which rows of one aggregate: all that needs no row.
#[derive(Clone, Debug, Default)]
struct Concern {
    /// Row by row.
    rows: Vec<(Key, Vec<Step>)>,
    /// Rules for every row.
    all: Vec<Step>,
    change: Option<Change>,
}

/// What a change event does to a replica.
#[derive(Clone, Debug)]
enum Change {
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
    last: Option<i64>,
    held: BTreeMap<i64, Vec<Ready>>,
}

/// An event with its concerns, one per aggregate.
#[derive(Clone, Debug)]
struct Ready {
    event: Rc<Event>,
    concerns: Vec<Concern>,
}

/// Everything that the events of a log made.
#[derive(Clone, Debug, Default)]
pub struct World {
    streams: BTreeMap<String, Stream>,
    pub tables: Vec<Table>,
    /// By event table.
    pub events: Vec<Vec<Vec<Value>>>,
    pub bad: BTreeMap<&'static str, u64>,
    /// The first event that a row could not take.
    pub failed: Option<String>,
}

pub struct Interpreter {
    pub spec: Spec,
    expressions: Expressions,
    /// Of each aggregate's key columns.
    pub key_types: Vec<Vec<Type>>,
    /// By event type: the declared fields that some expression or event table uses.
    used: std::cell::RefCell<BTreeMap<String, Rc<BTreeSet<String>>>>,
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
            let ready = match self.decode(&record, version) {
                Ok(ready) => ready,
                Err((kind, _)) => {
                    *world.bad.entry(kind).or_default() += 1;
                    Vec::new()
                }
            };
            self.sequence(world, stream, version, ready);
        }
    }

    /// By version: what is not above the last is a duplicate, what comes early waits.
    fn sequence(&self, world: &mut World, name: String, version: Option<i64>, ready: Vec<Ready>) {
        let Some(version) = version else { return self.accept(world, ready) };
        let stream = world.streams.entry(name.clone()).or_default();
        let next = match stream.last {
            Some(last) => version == last + 1,
            None => version <= 1,
        };
        if !next {
            if stream.last.is_none_or(|last| version > last) {
                stream.held.entry(version).or_insert(ready);
            }
            return;
        }
        stream.last = Some(version);
        self.accept(world, ready);
        let mut version = version;
        while let Some(ready) = world.streams.get_mut(&name).and_then(|stream| stream.held.remove(&(version + 1))) {
            version += 1;
            world.streams.get_mut(&name).unwrap().last = Some(version);
            self.accept(world, ready);
        }
    }

    /// Streams that wait for a missing version.
    pub fn gaps(&self, world: &World) -> u64 {
        world.streams.values().filter(|stream| !stream.held.is_empty()).count() as u64
    }

    fn decode(&self, record: &Json, version: Option<i64>) -> Result<Vec<Ready>, Bad> {
        let text = |key: &str| record[key].as_str().map(str::to_string);
        let time = record["time"].as_str().map(|time| match cast_text(time, &Type::Timestamp) {
            Ok(Value::Timestamp(time)) => time,
            other => panic!("{other:?}"),
        });
        let object = |key: &str| record.get(key).filter(|json| !json.is_null()).cloned().unwrap_or_else(|| serde_json::json!({}));
        let event = Event {
            stream: text("stream_id").unwrap(),
            event_type: text("type").unwrap(),
            version,
            position: record["position"].as_i64(),
            time,
            id: text("id"),
            data: object("data"),
            meta: object("metadata"),
            fields: BTreeMap::new(),
        };
        if let Some(filter) = &self.spec.filter {
            let sight = Sight { aggregate: None, contract: &[], each: None, record: true };
            let field = |name: &Name| if let Name::Text(path) = name { payload::as_text(payload::at(record, path)) } else { Value::Null };
            if self.expressions.get("the record", filter, sight, None).eval(&field).unwrap().as_bool() != Some(true) {
                return Ok(Vec::new());
            }
        }
        if !self.may_be_used(&event.event_type) {
            return Ok(Vec::new());
        }
        let mut parts = vec![event];
        for (number, upcast) in self.spec.upcasts.iter().enumerate() {
            let mut next = Vec::new();
            for event in parts {
                if matches(&upcast.pattern, &event.event_type) {
                    next.extend(self.upcast(number, upcast, event).map_err(|reason| ("upcast", reason))?);
                } else {
                    next.push(event);
                }
            }
            parts = next;
        }
        for event in &mut parts {
            event.fields = self.typed(event).map_err(|reason| ("contract", reason))?;
        }
        parts
            .into_iter()
            .map(|event| {
                let concerns = (0..self.spec.aggregates.len()).map(|index| self.concern(index, &event)).collect::<Result<_, _>>();
                Ok(Ready { concerns: concerns.map_err(|reason| ("key", reason))?, event: Rc::new(event) })
            })
            .collect()
    }

    /// Whether an event of this type may end with somebody; others are not looked into.
    fn may_be_used(&self, event_type: &str) -> bool {
        let mut types = vec![event_type.to_string()];
        for upcast in &self.spec.upcasts {
            if types.iter().any(|event_type| matches(&upcast.pattern, event_type)) {
                types.extend(upcast.rename.clone());
                types.extend(upcast.into.iter().flatten().map(|part| part.pattern.clone()));
            }
        }
        types.iter().any(|event_type| self.is_handled(event_type))
    }

    fn is_handled(&self, event_type: &str) -> bool {
        self.spec.event_tables.iter().any(|table| table == event_type)
            || self.spec.aggregates.iter().any(|aggregate| match &aggregate.replica_of {
                Some(table) => change_of(table, event_type).is_some(),
                None => aggregate.on.iter().any(|rule| matches(&rule.pattern, event_type)),
            })
    }

    fn upcast(&self, number: usize, upcast: &Upcast, event: Event) -> Result<Vec<Event>, String> {
        let place = format!("upcaster {number}");
        let sight = Sight { aggregate: None, contract: &[], each: None, record: false };
        let eval = |text: &str, event: &Event| {
            let compiled = self.expressions.get(&place, text, sight, None);
            let value = compiled.eval(&|name| event_value(event, name))?;
            Ok::<_, String>((value, compiled.expr.ty.clone()))
        };
        if let Some(when) = &upcast.when
            && eval(when, &event)?.0.as_bool() != Some(true)
        {
            return Ok(vec![event]);
        }
        let with = |set: &[(Vec<String>, String)], event: &Event| {
            let mut changed = event.clone();
            for (path, text) in set {
                let copied = text.strip_prefix("data.").filter(|rest| rest.chars().all(|c| c.is_alphanumeric() || c == '_' || c == '.'));
                let value = match copied {
                    Some(rest) => {
                        let path: Vec<String> = rest.split('.').map(str::to_string).collect();
                        payload::at(&event.data, &path).cloned().unwrap_or_default()
                    }
                    None => {
                        let (value, ty) = eval(text, event)?;
                        payload::to_json(&value, &ty)
                    }
                };
                payload::set(&mut changed.data, path, value)?;
            }
            Ok::<_, String>(changed)
        };
        let without = |mut event: Event, drop: &[Vec<String>]| {
            drop.iter().for_each(|path| payload::drop(&mut event.data, path));
            event
        };
        if upcast.discard {
            return Ok(Vec::new());
        }
        let changed = with(&upcast.set, &event)?;
        let Some(parts) = &upcast.into else {
            let mut event = without(changed, &upcast.drop);
            event.event_type = upcast.rename.clone().unwrap_or(event.event_type);
            return Ok(vec![event]);
        };
        let part = |part: &Upcast| {
            let event = without(without(with(&part.set, &changed)?, &part.drop), &upcast.drop);
            Ok(Event { event_type: part.pattern.clone(), ..event })
        };
        parts.iter().map(part).collect()
    }

    /// The payload by the contract of its type: DEFAULT, then NOT NULL; only what somebody uses is looked at.
    fn typed(&self, event: &Event) -> Result<BTreeMap<String, Value>, String> {
        let used = self.used_fields(&event.event_type);
        let mut out = BTreeMap::new();
        for field in self.spec.contract(&event.event_type).iter().filter(|field| used.contains(&field.name)) {
            out.insert(field.name.clone(), by_contract(field, event.data.get(&field.name))?);
        }
        for table in self.spec.aggregates.iter().filter_map(|aggregate| aggregate.replica_of.as_ref()) {
            let Some(what) = change_of(table, &event.event_type).filter(|what| *what != "truncate") else { continue };
            for field in self.spec.contract(&format!("{table}.insert")).iter().filter(|field| field.key || what != "delete") {
                image_value(field, event, what)?;
            }
        }
        Ok(out)
    }

    fn used_fields(&self, event_type: &str) -> Rc<BTreeSet<String>> {
        if let Some(used) = self.used.borrow().get(event_type) {
            return used.clone();
        }
        let mut used = BTreeSet::new();
        let contract = self.spec.contract(event_type);
        if self.spec.event_tables.iter().any(|table| table == event_type) {
            used.extend(contract.iter().map(|field| field.name.clone()));
        }
        let mut add = |names: &[Name]| {
            used.extend(names.iter().filter_map(|name| if let Name::Field(field) = name { Some(field.clone()) } else { None }));
        };
        for (index, aggregate) in self.spec.aggregates.iter().enumerate() {
            let on: Vec<&Rule> = aggregate.on.iter().filter(|rule| matches(&rule.pattern, event_type)).collect();
            if on.is_empty() {
                continue;
            }
            if on.iter().any(|rule| rule.key.is_none() && !rule.all) {
                aggregate.key.iter().for_each(|text| add(&self.compiled(index, event_type, text, None, None).names));
            }
            for rule in aggregate.before.iter().chain(on).chain(&aggregate.after) {
                let each = rule.each.as_ref().map(|text| self.compiled(index, event_type, text, None, None));
                let element = each.as_ref().map(|each| element(&each.expr.ty));
                each.iter().for_each(|each| add(&each.names));
                let texts =
                    rule.when.iter().chain(rule.fail.iter()).chain(rule.key.iter().flatten()).chain(rule.set.iter().map(|(_, text)| text));
                for text in texts.chain(rule.emit.iter().flat_map(|(_, values)| values.iter().flatten())) {
                    add(&self.compiled(index, event_type, text, element.as_ref(), None).names);
                }
            }
        }
        let used = Rc::new(used);
        self.used.borrow_mut().insert(event_type.to_string(), used.clone());
        used
    }

    fn compiled(
        &self,
        index: usize,
        event_type: &str,
        text: &str,
        each: Option<&Type>,
        wanted: Option<&Type>,
    ) -> Rc<crate::expression::Compiled> {
        let aggregate = &self.spec.aggregates[index];
        let contract = self.spec.contract(event_type);
        let sight = Sight { aggregate: Some((aggregate, &self.key_types[index])), contract: &contract, each, record: false };
        self.expressions.get(&format!("{} on {event_type}", aggregate.name), text, sight, wanted)
    }

    /// Which rows an event concerns, as far as the event alone says.
    fn concern(&self, index: usize, event: &Event) -> Result<Concern, String> {
        let aggregate = &self.spec.aggregates[index];
        let mut out = Concern::default();
        if let Some(table) = &aggregate.replica_of {
            out.change = self.change(table, event)?;
            return Ok(out);
        }
        let mut placeholders = Vec::new();
        if let Some(pattern) = &aggregate.stream {
            let Some(found) = pattern.captures(&event.stream) else { return Ok(out) };
            placeholders.extend(found.iter().skip(1).map(|part| Value::text(part.unwrap().as_str())));
        }
        let compiled = |text: &str, each: Option<&Type>, wanted: Option<&Type>| self.compiled(index, &event.event_type, text, each, wanted);
        let key_of = |texts: &[String], first: usize, each: Option<&Value>, each_type: Option<&Type>| {
            let mut values = if first > 0 { placeholders.clone() } else { Vec::new() };
            for (text, ty) in texts.iter().zip(&self.key_types[index][first..]) {
                let value = compiled(text, each_type, Some(ty)).eval(&|name| of_event(event, name, each))?;
                if value.is_null() {
                    return Err(format!("{}: a key is NULL", aggregate.name));
                }
                values.push(value);
            }
            Ok((key_text(&values, &self.key_types[index]), values))
        };
        let own_key = || key_of(&aggregate.key, aggregate.placeholders, None, None);
        let mut finds_own_row = false;
        for (number, rule) in aggregate.on.iter().enumerate().filter(|(_, rule)| matches(&rule.pattern, &event.event_type)) {
            finds_own_row |= rule.key.is_none() && !rule.all;
            let each = rule.each.as_ref().map(|text| compiled(text, None, None));
            let each_type = each.as_ref().map(|each| element(&each.expr.ty));
            let list_of_row = each.as_ref().is_some_and(|each| each.reads_row());
            let elements: Vec<Option<Value>> = match &each {
                Some(each) if !list_of_row => elements(each.eval(&|name| of_event(event, name, None))?),
                _ => vec![None],
            };
            for each in elements {
                if let Some(when) = &rule.when {
                    let when = compiled(when, each_type.as_ref(), None);
                    if !when.reads_row() && !list_of_row && when.eval(&|name| of_event(event, name, each.as_ref()))?.as_bool() != Some(true)
                    {
                        continue;
                    }
                }
                if rule.all {
                    out.all.push((number, each));
                    continue;
                }
                let key = match &rule.key {
                    Some(texts) => key_of(texts, 0, each.as_ref(), each_type.as_ref())?,
                    None => own_key()?,
                };
                match out.rows.iter_mut().find(|(other, _)| other.0 == key.0) {
                    Some((_, steps)) => steps.push((number, each)),
                    None => out.rows.push((key, vec![(number, each)])),
                }
            }
        }
        if finds_own_row && !(aggregate.before.is_empty() && aggregate.after.is_empty()) {
            let key = own_key()?;
            if !out.rows.iter().any(|(other, _)| other.0 == key.0) {
                out.rows.push((key, Vec::new()));
            }
        }
        Ok(out)
    }

    fn change(&self, table: &str, event: &Event) -> Result<Option<Change>, String> {
        let Some(what) = change_of(table, &event.event_type) else { return Ok(None) };
        let columns = self.spec.contract(&format!("{table}.insert"));
        let partial = matches!(what, "update" | "delete");
        let value = |field: &Field| image_value(field, event, what);
        let before = |field: &Field| {
            let path = ["before".to_string(), field.name.clone()];
            match payload::as_text(payload::at(&event.meta, &path)) {
                Value::Text(text) => cast_text(&text, &field.ty).map_err(|e| e.0),
                _ => Ok(Value::Null),
            }
        };
        let types: Vec<Type> = columns.iter().filter(|field| field.key).map(|field| field.ty.clone()).collect();
        let key = |first: &dyn Fn(&Field) -> Result<Value, String>, second: &dyn Fn(&Field) -> Result<Value, String>| {
            let mut values = Vec::new();
            for field in columns.iter().filter(|field| field.key) {
                let value = first(field)?;
                let value = if value.is_null() { second(field)? } else { value };
                if value.is_null() {
                    return Err("a key is NULL".to_string());
                }
                values.push(value);
            }
            Ok((key_text(&values, &types), values))
        };
        let after = |field: &Field| Ok(value(field)?.unwrap_or_default());
        let none = |_: &Field| Ok(Value::Null);
        Ok(Some(match what {
            "truncate" => Change::Truncate,
            "delete" => Change::Delete(key(&after, &before)?),
            _ => {
                let values = columns.iter().filter(|field| !field.key).map(value).collect::<Result<_, _>>()?;
                let new = if partial { key(&after, &before)? } else { key(&after, &none)? };
                let old = if partial { Some(key(&before, &after)?).filter(|old| old.0 != new.0) } else { None };
                Change::Write(old, new, values)
            }
        }))
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

fn change_of<'a>(table: &str, event_type: &'a str) -> Option<&'a str> {
    let what = event_type.strip_prefix(table)?.strip_prefix('.')?;
    ["insert", "read", "update", "delete", "truncate"].contains(&what).then_some(what)
}

/// A column of a row image; `None`: it has no value, the row's stays.
fn image_value(field: &Field, event: &Event, what: &str) -> Result<Option<Value>, String> {
    let json = event.data.get(&field.name);
    let unchanged = json.is_some_and(|json| json == "__debezium_unavailable_value");
    if unchanged || (json.is_none() && matches!(what, "update" | "delete")) {
        return Ok(None);
    }
    by_contract(field, json).map(Some)
}

/// A field as its contract says: DEFAULT for what is missing or null, then NOT NULL.
fn by_contract(field: &Field, json: Option<&Json>) -> Result<Value, String> {
    match payload::convert(json, &field.ty)? {
        Value::Null => match &field.default {
            Some(default) => Ok(default.clone()),
            None if field.not_null => Err(format!("{} is NULL", field.name)),
            None => Ok(Value::Null),
        },
        value => Ok(value),
    }
}

fn key_text(values: &[Value], types: &[Type]) -> String {
    values.iter().zip(types).map(|(value, ty)| format!("{:?}", to_text(value, ty))).collect::<Vec<_>>().join(",")
}

fn element_type(ty: &Type) -> Option<Type> {
    Some(element(ty))
}

fn element(ty: &Type) -> Type {
    if let Type::List(element) = ty { (**element).clone() } else { panic!("{ty} is no list") }
}

fn elements(list: Value) -> Vec<Option<Value>> {
    if let Value::List(items) = list { items.iter().cloned().map(Some).collect() } else { Vec::new() }
}

fn of_event(event: &Event, name: &Name, each: Option<&Value>) -> Value {
    match name {
        Name::Each => each.cloned().unwrap_or_default(),
        name => event_value(event, name),
    }
}

fn event_value(event: &Event, name: &Name) -> Value {
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
