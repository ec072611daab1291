//! Records -> events: upcasters, contracts, keys. All that needs no row.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use foldline::sql::{Type, Value, cast_text};
use serde_json::Value as Json;

use crate::expression::{Compiled, Name, Sight};
use crate::fold::{Bad, Change, Concern, Event, Interpreter, Ready, element, elements, event_value, key_text, of_event};
use crate::payload;
use crate::spec::{Field, Rule, Upcast, matches};

impl Interpreter {
    pub fn decode(&self, record: &Json, version: Option<i64>) -> Result<Vec<Ready>, Bad> {
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

    pub fn compiled(&self, index: usize, event_type: &str, text: &str, each: Option<&Type>, wanted: Option<&Type>) -> Rc<Compiled> {
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
