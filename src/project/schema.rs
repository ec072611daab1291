//! The JSON Schema of the project file, made from [`keys`](super::keys): docs/foldline.schema.json.

use serde_json::{Map, Value, json};

use super::keys::{ROOT, Shape, TABLES, TableKeys};

/// The schema (draft 2020-12) of foldline.toml, read as JSON.
pub fn schema() -> Value {
    let mut root = object(&ROOT);
    let definitions: Map<String, Value> =
        TABLES.iter().filter(|table| table.id != ROOT.id).map(|table| (table.id.to_string(), Value::Object(object(table)))).collect();
    let mut out = Map::new();
    out.insert("$schema".into(), json!("https://json-schema.org/draft/2020-12/schema"));
    out.insert("title".into(), json!("foldline.toml"));
    out.append(&mut root);
    out.insert("$defs".into(), Value::Object(definitions));
    Value::Object(out)
}

fn object(table: &TableKeys) -> Map<String, Value> {
    let properties: Map<String, Value> = table
        .keys
        .iter()
        .map(|key| {
            let mut value = shape(&key.shape);
            value.insert("description".into(), json!(key.description));
            (key.name.to_string(), Value::Object(value))
        })
        .collect();
    let required: Vec<&str> = table.keys.iter().filter(|key| key.required).map(|key| key.name).collect();
    let mut out = Map::new();
    out.insert("description".into(), json!(table.description));
    out.insert("type".into(), json!("object"));
    out.insert("properties".into(), Value::Object(properties));
    if !required.is_empty() {
        out.insert("required".into(), json!(required));
    }
    out.insert("additionalProperties".into(), json!(false));
    out
}

fn shape(shape: &Shape) -> Map<String, Value> {
    let reference = |table: &TableKeys| format!("#/$defs/{}", table.id);
    let value = match shape {
        Shape::Text | Shape::Expression | Shape::Column => json!({ "type": "string" }),
        Shape::Bool => json!({ "type": "boolean" }),
        Shape::Integer => json!({ "type": "integer" }),
        Shape::OneOf(values) => json!({ "enum": values }),
        Shape::Texts => json!({ "type": "array", "items": { "type": "string" } }),
        Shape::TextOrTexts => json!({ "anyOf": [{ "type": "string" }, { "type": "array", "items": { "type": "string" } }] }),
        Shape::Any => json!({}),
        Shape::Table(table) => json!({ "$ref": reference(table) }),
        Shape::Tables(table) => {
            json!({ "anyOf": [{ "$ref": reference(table) }, { "type": "array", "items": { "$ref": reference(table) } }] })
        }
        Shape::Map(inner) => json!({ "type": "object", "additionalProperties": self::shape(inner) }),
        Shape::List(inner) => json!({ "type": "array", "items": self::shape(inner) }),
    };
    match value {
        Value::Object(object) => object,
        _ => Map::new(),
    }
}
