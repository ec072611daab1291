//! A project file as the reference reads it: the TOML text -> definitions, nothing compiled.

use foldline::sql::{Type, Value, parse_column};
use regex::Regex;
use serde_json::{Map, Value as Json};
use toml::de::{DeTable, DeValue};

/// A field of a payload, a state column, or a column of a rows table.
#[derive(Clone, Debug)]
pub struct Field {
    pub name: String,
    pub ty: Type,
    pub not_null: bool,
    pub key: bool,
    pub default: Option<Value>,
}

#[derive(Clone, Debug, Default)]
pub struct Rule {
    pub label: String,
    pub pattern: String,
    pub when: Option<String>,
    pub each: Option<String>,
    /// One expression per key column.
    pub key: Option<Vec<String>>,
    pub all: bool,
    pub delete: bool,
    pub fail: Option<String>,
    /// State column and its new value.
    pub set: Vec<(usize, String)>,
    /// Rows table, and a value per column (`None`: NULL).
    pub emit: Vec<(usize, Vec<Option<String>>)>,
}

#[derive(Clone, Debug)]
pub struct Aggregate {
    pub name: String,
    pub replica_of: Option<String>,
    pub stream: Option<Regex>,
    pub placeholders: usize,
    /// Of the key columns behind the placeholders, where the aggregate has a key.
    pub key: Vec<String>,
    pub key_names: Vec<String>,
    pub state: Vec<Field>,
    pub rows: Vec<(String, Vec<Field>)>,
    pub before: Vec<Rule>,
    pub on: Vec<Rule>,
    pub after: Vec<Rule>,
}

#[derive(Clone, Debug)]
pub struct Upcast {
    pub pattern: String,
    pub when: Option<String>,
    pub set: Vec<(Vec<String>, String)>,
    pub drop: Vec<Vec<String>>,
    pub rename: Option<String>,
    pub discard: bool,
    pub into: Option<Vec<Upcast>>,
}

#[derive(Clone, Debug)]
pub struct Spec {
    pub skips_bad: bool,
    pub versioned: bool,
    /// Over the record: what is not true for it is filtered.
    pub filter: Option<String>,
    pub contracts: Vec<(String, Vec<Field>)>,
    pub upcasts: Vec<Upcast>,
    pub aggregates: Vec<Aggregate>,
    /// The types of `events."<Type>"` that some read model names.
    pub event_tables: Vec<String>,
}

/// `A|b.*`
pub fn matches(pattern: &str, event_type: &str) -> bool {
    fn one(pattern: &[u8], text: &[u8]) -> bool {
        match pattern.split_first() {
            None => text.is_empty(),
            Some((b'*', rest)) => (0..=text.len()).any(|skipped| one(rest, &text[skipped..])),
            Some((letter, rest)) => text.split_first().is_some_and(|(first, others)| first == letter && one(rest, others)),
        }
    }
    pattern.split('|').any(|pattern| one(pattern.as_bytes(), event_type.as_bytes()))
}

impl Spec {
    pub fn read(text: &str) -> Spec {
        let root = ordered(text);
        let empty = Map::new();
        let tables = |key: &str| root.get(key).and_then(Json::as_object).unwrap_or(&empty).iter().filter(|(key, _)| *key != AT);
        let contracts: Vec<(String, Vec<Field>)> = tables("event").map(|(pattern, table)| (pattern.clone(), fields(table))).collect();
        let upcasts = list(root.get("upcast")).into_iter().map(upcast).collect();
        let aggregates = tables("aggregate").map(|(name, table)| aggregate(name, table, &contracts)).collect();
        let named = Regex::new(r#"events\."([^"]+)""#).unwrap();
        let mut event_tables = Vec::new();
        for (_, model) in tables("read_model") {
            for found in named.captures_iter(model["sql"].as_str().unwrap()) {
                if !event_tables.contains(&found[1].to_string()) {
                    event_tables.push(found[1].to_string());
                }
            }
        }
        let source = tables("source").next().unwrap().1;
        Spec {
            skips_bad: source.get("on_bad_record").is_some_and(|word| word == "skip"),
            filter: source.get("where").and_then(Json::as_str).map(str::to_string),
            versioned: source.pointer("/envelope/version").is_none(),
            contracts,
            upcasts,
            aggregates,
            event_tables,
        }
    }

    /// The contract of a type: its own fields, then what patterns add.
    pub fn contract(&self, event_type: &str) -> Vec<Field> {
        contract(&self.contracts, event_type)
    }
}

fn contract(contracts: &[(String, Vec<Field>)], event_type: &str) -> Vec<Field> {
    let mut out: Vec<Field> = Vec::new();
    for wild in [false, true] {
        for (pattern, fields) in contracts.iter().filter(|(pattern, _)| pattern.contains('*') == wild && matches(pattern, event_type)) {
            let _ = pattern;
            for field in fields {
                if !out.iter().any(|other| other.name.eq_ignore_ascii_case(&field.name)) {
                    out.push(field.clone());
                }
            }
        }
    }
    out
}

/// Where a table begins in the text.
const AT: &str = "@";

/// TOML as JSON, tables in the order of the text.
fn ordered(text: &str) -> Json {
    fn first(json: &Json) -> u64 {
        match json {
            Json::Object(map) => {
                map.values().map(first).min().unwrap_or(u64::MAX).min(map.get(AT).and_then(Json::as_u64).unwrap_or(u64::MAX))
            }
            Json::Array(items) => items.iter().map(first).min().unwrap_or(u64::MAX),
            _ => u64::MAX,
        }
    }
    fn table(table: &DeTable<'_>, at: usize) -> Json {
        let mut entries: Vec<(u64, String, Json)> = Vec::new();
        for (key, value) in table.iter() {
            let json = node(value.get_ref(), value.span());
            entries.push((first(&json).min(key.span().start as u64), key.get_ref().to_string(), json));
        }
        entries.sort_by_key(|(at, ..)| *at);
        let mut out: Map<String, Json> = entries.into_iter().map(|(_, key, json)| (key, json)).collect();
        out.insert(AT.into(), at.into());
        Json::Object(out)
    }
    fn node(value: &DeValue<'_>, span: std::ops::Range<usize>) -> Json {
        match value {
            DeValue::String(text) => Json::String(text.to_string()),
            DeValue::Boolean(value) => Json::Bool(*value),
            DeValue::Array(items) => items.iter().map(|item| node(item.get_ref(), item.span())).collect(),
            DeValue::Table(inner) => table(inner, span.start),
            other => panic!("the generator writes no {other:?}"),
        }
    }
    let document = DeTable::parse(text).unwrap();
    table(document.get_ref(), 0)
}

fn entries(json: &Json) -> impl Iterator<Item = (&String, &Json)> {
    json.as_object().into_iter().flatten().filter(|(key, _)| *key != AT)
}

fn list(json: Option<&Json>) -> Vec<&Json> {
    match json {
        Some(Json::Array(items)) => items.iter().collect(),
        Some(table) => vec![table],
        None => Vec::new(),
    }
}

fn text(json: &Json, key: &str) -> Option<String> {
    json.get(key).and_then(Json::as_str).map(str::to_string)
}

fn is_true(json: &Json, key: &str) -> bool {
    json.get(key) == Some(&Json::Bool(true))
}

fn fields(table: &Json) -> Vec<Field> {
    entries(table)
        .map(|(name, column)| {
            let column = parse_column(column.as_str().unwrap()).unwrap();
            Field { name: name.clone(), ty: column.ty, not_null: column.not_null, key: column.key, default: column.default }
        })
        .collect()
}

fn path(text: &str) -> Vec<String> {
    text.split('.').map(str::to_string).collect()
}

fn upcast(json: &Json) -> Upcast {
    Upcast {
        pattern: text(json, "type").unwrap(),
        when: text(json, "when"),
        set: json.get("set").into_iter().flat_map(entries).map(|(key, sql)| (path(key), sql.as_str().unwrap().to_string())).collect(),
        drop: list(json.get("drop")).into_iter().map(|field| path(field.as_str().unwrap())).collect(),
        rename: text(json, "as"),
        discard: is_true(json, "discard"),
        into: json.get("into").map(|parts| list(Some(parts)).into_iter().map(upcast).collect()),
    }
}

fn aggregate(name: &str, json: &Json, contracts: &[(String, Vec<Field>)]) -> Aggregate {
    let mut key_names: Vec<String> = Vec::new();
    let mut placeholders = 0;
    let stream = text(json, "stream").map(|pattern| {
        let mut regex = String::from("(?s)^");
        for (i, piece) in pattern.split('{').enumerate() {
            let literal = match piece.split_once('}') {
                Some((column, literal)) => {
                    key_names.push(column.to_string());
                    placeholders = i;
                    regex.push_str("(.*?)");
                    literal
                }
                None => piece,
            };
            regex.push_str(&regex::escape(literal));
        }
        Regex::new(&(regex + "$")).unwrap()
    });
    let mut out = Aggregate {
        name: name.to_string(),
        replica_of: text(json, "replica_of"),
        stream,
        placeholders,
        key: Vec::new(),
        key_names,
        state: json.get("state").map(fields).unwrap_or_default(),
        rows: json.get("rows").into_iter().flat_map(entries).map(|(name, table)| (name.clone(), fields(table))).collect(),
        before: Vec::new(),
        on: Vec::new(),
        after: Vec::new(),
    };
    if let Some(table) = &out.replica_of {
        let columns = contract(contracts, &format!("{table}.insert"));
        out.key_names = columns.iter().filter(|field| field.key).map(|field| field.name.clone()).collect();
        out.state = columns.into_iter().filter(|field| !field.key).collect();
        return out;
    }
    for (name, sql) in json.get("key").into_iter().flat_map(entries) {
        out.key_names.push(name.clone());
        out.key.push(sql.as_str().unwrap().to_string());
    }
    let mut on: Vec<(u64, String, &Json)> = Vec::new();
    for (pattern, rules) in json.get("on").into_iter().flat_map(entries) {
        on.extend(list(Some(rules)).into_iter().map(|rule| (rule[AT].as_u64().unwrap(), pattern.clone(), rule)));
    }
    on.sort_by_key(|(at, ..)| *at);
    if out.key_names.is_empty() {
        let first = on.iter().find_map(|(.., rule)| rule.get("key")).unwrap();
        out.key_names = entries(first).map(|(name, _)| name.clone()).collect();
    }
    out.on = on.iter().map(|(_, pattern, json)| rule(&out, pattern, json)).collect();
    out.before = list(json.get("before")).into_iter().map(|json| rule(&out, "*", json)).collect();
    out.after = list(json.get("after")).into_iter().map(|json| rule(&out, "*", json)).collect();
    out
}

fn rule(aggregate: &Aggregate, pattern: &str, json: &Json) -> Rule {
    let column = |name: &str| aggregate.state.iter().position(|column| column.name == name).unwrap();
    let mut set: Vec<(usize, String)> = list(json.get("take"))
        .into_iter()
        .map(|name| (column(name.as_str().unwrap()), format!("data.{}", name.as_str().unwrap())))
        .collect();
    set.extend(json.get("set").into_iter().flat_map(entries).map(|(name, sql)| (column(name), sql.as_str().unwrap().to_string())));
    let emit = json.get("emit").into_iter().flat_map(entries).map(|(name, values)| {
        let rows = aggregate.rows.iter().position(|(rows, _)| rows == name).unwrap();
        (rows, aggregate.rows[rows].1.iter().map(|column| text(values, &column.name)).collect())
    });
    let key = json.get("key").map(|key| aggregate.key_names.iter().map(|name| text(key, name).unwrap()).collect());
    Rule {
        label: format!("{}.{pattern}", aggregate.name),
        pattern: pattern.to_string(),
        when: text(json, "when"),
        each: text(json, "each"),
        key,
        all: is_true(json, "all"),
        delete: is_true(json, "delete"),
        fail: text(json, "fail"),
        emit: emit.collect(),
        set,
    }
}
