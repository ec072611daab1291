//! Upcasters: the payload of an old event -> the payloads of today's events, before any contract.
//!
//! Payloads stay JSON text: what an upcaster does not touch keeps every digit and every byte of its value.

use std::borrow::Cow;

use super::batch::Events;
use super::contract::{members, shortened};
use super::json::{self, Paths, Span};
use crate::project::{EventField, FieldSet, NewField, PayloadChange, Project, Upcast, UpcastOutcome, Var};
use crate::sql::{self, Env, Slot, Type, Value};

/// So many events one event becomes at most: several `into` behind each other multiply.
const PARTS_MAX: usize = 1000;

/// So long a payload becomes at most, in bytes.
const PAYLOAD_MAX: usize = 64 << 20;

/// The upcasters of a project with what their payloads are searched for.
pub struct Upcasters<'p> {
    list: Vec<Upcaster<'p>>,
}

struct Upcaster<'p> {
    upcast: &'p Upcast,
    change: Change<'p>,
    /// Of `into`.
    parts: Vec<(&'p str, Change<'p>)>,
}

struct Change<'p> {
    change: &'p PayloadChange,
    data: Paths,
    meta: Paths,
}

/// One event on its way through the upcasters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part<'a> {
    pub event_type: Cow<'a, str>,
    /// JSON object text.
    pub data: Cow<'a, str>,
}

/// The old event: what does not change, and its metadata as JSON object text (or why there is none).
pub struct Old<'a> {
    pub events: &'a Events,
    pub event: usize,
    pub metadata: std::result::Result<&'a str, &'a str>,
}

/// What the expressions of an upcaster see.
struct UpcastEnv<'a> {
    old: &'a Old<'a>,
    event_type: &'a str,
    data: Vec<Value>,
    meta: Vec<Value>,
}

impl Env for UpcastEnv<'_> {
    fn get(&self, slot: Slot) -> Value {
        match Var::of(slot) {
            Var::Data(i) => self.data.get(i).cloned().unwrap_or_default(),
            Var::Meta(i) => self.meta.get(i).cloned().unwrap_or_default(),
            Var::Event(EventField::Type) => Value::text(self.event_type),
            Var::Event(field) => self.old.events.value(field, self.old.event),
            Var::State(_) | Var::Key(_) | Var::Old(_) | Var::Each => Value::Null,
        }
    }
}

impl<'p> Change<'p> {
    fn new(change: &'p PayloadChange) -> Change<'p> {
        Change { change, data: Paths::new(&change.data), meta: Paths::new(&change.meta) }
    }

    /// The values that the expressions read; the spans of `data` fields are left in `found`.
    fn env<'a>(&self, old: &'a Old<'a>, event_type: &'a str, payload: &str, found: &mut Vec<Span>) -> Result<UpcastEnv<'a>, String> {
        let meta = match (&self.meta, old.metadata) {
            (paths, _) if paths.is_empty() => Vec::new(),
            (paths, Ok(metadata)) => texts(paths, metadata, found)?,
            (_, Err(reason)) => return Err(reason.to_string()),
        };
        let data = if self.data.is_empty() { Vec::new() } else { texts(&self.data, payload, found)? };
        Ok(UpcastEnv { old, event_type, data, meta })
    }

    fn is_nothing(&self) -> bool {
        self.change.set.is_empty() && self.change.drop.is_empty()
    }

    /// The payload with the new fields, then without `drop`.
    fn apply(&self, payload: &str, env: &UpcastEnv, spans: &[Span], drop: &[&[Vec<String>]]) -> Result<String, String> {
        let mut root = Node::open(payload, "the payload")?;
        for set in &self.change.set {
            let value = new_value(set, payload, env, spans)?;
            root.set(&set.path, value)?;
        }
        for path in drop.iter().flat_map(|paths| paths.iter()) {
            root.drop(path)?;
        }
        let mut out = String::with_capacity(payload.len() + 64);
        root.write(&mut out);
        if out.len() > PAYLOAD_MAX {
            return Err("the payload becomes larger than 64 MiB".into());
        }
        Ok(out)
    }
}

/// The values at `paths` as text, `->>`.
fn texts(paths: &Paths, payload: &str, found: &mut Vec<Span>) -> Result<Vec<Value>, String> {
    json::scan(payload, paths, found).map_err(|e| e.message)?;
    found.iter().map(|span| Ok(json::as_text(span.of(payload))?.map_or(Value::Null, Value::text))).collect()
}

/// The new value of a field as JSON.
fn new_value(set: &FieldSet, payload: &str, env: &UpcastEnv, spans: &[Span]) -> Result<String, String> {
    match &set.value {
        NewField::Copy(i) => {
            let json = spans.get(*i).copied().unwrap_or_default().of(payload);
            Ok(if json.is_empty() { "null".into() } else { json.to_string() })
        }
        NewField::Value(expr) => {
            let failed = |reason: &str| format!("`{}`: {reason}", set.path.join("."));
            let value = expr.eval(env).map_err(|e| failed(&e.0))?;
            let json = match &value {
                // written anew, its numbers would have the digits of a DOUBLE
                Value::Text(text) if expr.ty == Type::Json && json::check(text).is_ok() => return Ok(text.to_string()),
                value => sql::to_json(value, &expr.ty),
            };
            // SQL has numbers (NaN, infinity) and depths that a payload cannot have
            if expr.ty.is_nested() || expr.ty.is_float() || expr.ty == Type::Json {
                json::check(&json).map_err(|e| failed(&format!("{} cannot stand in a payload: {}", shortened(&json), e.message)))?;
            }
            Ok(json)
        }
    }
}

impl<'p> Upcasters<'p> {
    pub fn new(project: &'p Project) -> Upcasters<'p> {
        let list = project.upcasts.iter().map(|upcast| Upcaster {
            change: Change::new(&upcast.change),
            parts: match &upcast.outcome {
                UpcastOutcome::Into(parts) => parts.iter().map(|part| (part.event_type.as_str(), Change::new(&part.change))).collect(),
                _ => Vec::new(),
            },
            upcast,
        });
        Upcasters { list: list.collect() }
    }

    /// Every type that an event of this type may end with; `None`: no upcaster takes it.
    pub fn reach(&self, event_type: &str) -> Option<Vec<String>> {
        let mut types = vec![event_type.to_string()];
        let mut taken = false;
        for upcaster in &self.list {
            if !types.iter().any(|event_type| upcaster.upcast.takes(event_type)) {
                continue;
            }
            taken = true;
            let new: Vec<&str> = match &upcaster.upcast.outcome {
                UpcastOutcome::As(event_type) => vec![event_type],
                UpcastOutcome::Into(parts) => parts.iter().map(|part| part.event_type.as_str()).collect(),
                UpcastOutcome::Keep | UpcastOutcome::Discard => Vec::new(),
            };
            for event_type in new {
                if !types.iter().any(|known| known == event_type) {
                    types.push(event_type.to_string());
                }
            }
        }
        taken.then_some(types)
    }

    /// Leads an event through the upcasters, in file order. Gives what it becomes: nothing where it is discarded.
    /// `data`: a JSON object's text. The error says which upcaster fails and of what.
    pub fn run<'a>(&'a self, old: &Old, event_type: &'a str, data: Cow<'a, str>, found: &mut Vec<Span>) -> Result<Vec<Part<'a>>, String> {
        let mut parts = vec![Part { event_type: event_type.into(), data }];
        for upcaster in &self.list {
            if !parts.iter().any(|part| upcaster.upcast.takes(&part.event_type)) {
                continue;
            }
            let mut next = Vec::with_capacity(parts.len());
            for part in parts {
                if upcaster.upcast.takes(&part.event_type) {
                    upcaster.run(old, part, found, &mut next).map_err(|e| format!("{}: {e}", upcaster.upcast.label))?;
                } else {
                    next.push(part);
                }
                if next.len() > PARTS_MAX {
                    return Err(format!("{}: one event becomes more than {PARTS_MAX}", upcaster.upcast.label));
                }
            }
            parts = next;
        }
        Ok(parts)
    }
}

impl<'p> Upcaster<'p> {
    fn run<'a>(&'a self, old: &Old, part: Part<'a>, found: &mut Vec<Span>, out: &mut Vec<Part<'a>>) -> Result<(), String> {
        let env = self.change.env(old, &part.event_type, &part.data, found)?;
        if let Some(when) = &self.upcast.when
            && when.eval(&env).map_err(|e| format!("`when`: {}", e.0))?.as_bool() != Some(true)
        {
            out.push(part);
            return Ok(());
        }
        let drop = self.change.change.drop.as_slice();
        let changed = |drop: &[&[Vec<String>]]| {
            if self.change.change.set.is_empty() && drop.iter().all(|paths| paths.is_empty()) {
                Ok(part.data.clone())
            } else {
                self.change.apply(&part.data, &env, found, drop).map(Cow::Owned)
            }
        };
        match &self.upcast.outcome {
            UpcastOutcome::Discard => {}
            UpcastOutcome::Keep => out.push(Part { data: changed(&[drop])?, event_type: part.event_type.clone() }),
            UpcastOutcome::As(event_type) => out.push(Part { data: changed(&[drop])?, event_type: event_type.as_str().into() }),
            UpcastOutcome::Into(_) => {
                let base = changed(&[])?;
                for (event_type, change) in &self.parts {
                    let env = change.env(old, &part.event_type, &base, found)?;
                    let data = if change.is_nothing() && drop.is_empty() {
                        base.clone()
                    } else {
                        change.apply(&base, &env, found, &[&change.change.drop, drop])?.into()
                    };
                    out.push(Part { event_type: (*event_type).into(), data });
                }
            }
        }
        Ok(())
    }
}

/// A JSON value that is being changed.
enum Node<'a> {
    /// As it stands.
    Raw(Cow<'a, str>),
    Object(Vec<(String, Node<'a>)>),
}

impl<'a> Node<'a> {
    /// An object taken apart; of duplicate keys the last one counts. `name`: as messages call it.
    fn open(json: &'a str, name: &str) -> Result<Node<'a>, String> {
        let json = json.trim();
        if !json.starts_with('{') {
            return Err(format!("{name} is {}, an object was expected", shortened(json)));
        }
        let found = members(json).ok_or_else(|| format!("{name} has a name that is no text"))?;
        let mut out: indexmap::IndexMap<String, Node> = indexmap::IndexMap::with_capacity(found.len());
        for (key, value) in found {
            out.insert(key, Node::Raw(Cow::Borrowed(value)));
        }
        Ok(Node::Object(out.into_iter().collect()))
    }

    /// The members, after what stands here as text was taken apart; null and nothing become an empty object.
    fn members(&mut self, name: &str) -> Result<&mut Vec<(String, Node<'a>)>, String> {
        if let Node::Raw(json) = self {
            let opened = match json {
                Cow::Borrowed(json) if !json.is_empty() && *json != "null" => Node::open(json, name)?,
                Cow::Owned(json) if json != "null" => Node::open(json, name)?.into_owned(),
                _ => Node::Object(Vec::new()),
            };
            *self = opened;
        }
        match self {
            Node::Object(members) => Ok(members),
            Node::Raw(_) => Err(format!("{name} is no object")),
        }
    }

    fn into_owned(self) -> Node<'static> {
        match self {
            Node::Raw(json) => Node::Raw(Cow::Owned(json.into_owned())),
            Node::Object(members) => Node::Object(members.into_iter().map(|(key, value)| (key, value.into_owned())).collect()),
        }
    }

    fn set(&mut self, path: &[String], value: String) -> Result<(), String> {
        let mut node = self;
        for (depth, key) in path.iter().enumerate() {
            let members = node.members(&format!("`{}`", path[..depth].join(".")))?;
            let at = members.iter().position(|(name, _)| name == key).unwrap_or_else(|| {
                members.push((key.clone(), Node::Raw(Cow::Borrowed(""))));
                members.len() - 1
            });
            node = &mut members[at].1;
        }
        *node = Node::Raw(Cow::Owned(value));
        Ok(())
    }

    /// Removes a field; one that is not there, or whose place is no object, is gone already.
    fn drop(&mut self, path: &[String]) -> Result<(), String> {
        let Some((last, way)) = path.split_last() else { return Ok(()) };
        let mut node = self;
        for key in way {
            let Ok(members) = node.members("") else { return Ok(()) };
            let Some((_, inner)) = members.iter_mut().find(|(name, _)| name == key) else { return Ok(()) };
            if matches!(inner, Node::Raw(json) if !json.starts_with('{')) {
                return Ok(());
            }
            node = inner;
        }
        if let Ok(members) = node.members("") {
            members.retain(|(name, _)| name != last);
        }
        Ok(())
    }

    fn write(&self, out: &mut String) {
        match self {
            Node::Raw(json) => out.push_str(json),
            Node::Object(members) => {
                out.push('{');
                for (i, (key, value)) in members.iter().enumerate() {
                    if i > 0 {
                        out.push(',');
                    }
                    out.push_str(&serde_json::Value::String(key.clone()).to_string());
                    out.push(':');
                    value.write(out);
                }
                out.push('}');
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changed(payload: &str, set: &[(&str, &str)], drop: &[&str]) -> Result<String, String> {
        let path = |text: &str| text.split('.').map(str::to_string).collect::<Vec<_>>();
        let mut root = Node::open(payload, "the payload")?;
        for (field, value) in set {
            root.set(&path(field), value.to_string())?;
        }
        for field in drop {
            root.drop(&path(field))?;
        }
        let mut out = String::new();
        root.write(&mut out);
        Ok(out)
    }

    #[test]
    fn what_is_not_touched_keeps_its_text() {
        let payload = r#" { "a" : 1.50e+3, "b": {"c" : [1, 2]}, "\u0064": 123456789012345678901234567890 } "#;
        assert_eq!(
            changed(payload, &[("b.x", "true")], &["a"]).unwrap(),
            r#"{"b":{"c":[1, 2],"x":true},"d":123456789012345678901234567890}"#
        );
    }

    #[test]
    fn objects_on_the_way_are_made_but_no_other_value_is_lost() {
        assert_eq!(changed("{}", &[("a.b.c", "1"), ("a.d", "2")], &[]).unwrap(), r#"{"a":{"b":{"c":1},"d":2}}"#);
        assert_eq!(changed(r#"{"a":null}"#, &[("a.b", "1")], &[]).unwrap(), r#"{"a":{"b":1}}"#);
        assert!(changed(r#"{"a":5}"#, &[("a.b", "1")], &[]).unwrap_err().contains("`a` is `5`"));
        assert_eq!(changed(r#"{"a":5,"b":[{}]}"#, &[], &["a.b", "b.c", "x.y", "z"]).unwrap(), r#"{"a":5,"b":[{}]}"#);
    }

    #[test]
    fn the_last_of_duplicate_keys_counts() {
        assert_eq!(changed(r#"{"a":1,"b":0,"a":2}"#, &[], &["b"]).unwrap(), r#"{"a":2}"#);
        assert_eq!(changed(r#"{"a":1,"a":2}"#, &[("a", "3")], &[]).unwrap(), r#"{"a":3}"#);
    }
}
