//! docs/foldline.schema.json is the list of keys that the parser knows, and accepts what it should.

use std::path::Path;

use foldline::project::{keys, schema};
use serde_json::Value;

fn schema_file() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/foldline.schema.json")
}

fn committed() -> Value {
    let text = std::fs::read_to_string(schema_file()).expect("docs/foldline.schema.json is there");
    serde_json::from_str(&text).expect("docs/foldline.schema.json is JSON")
}

fn as_json(toml: &str) -> Value {
    let value: toml::Value = toml::from_str(toml).expect("good TOML");
    serde_json::to_value(value).expect("TOML fits JSON")
}

/// The whole example of the project file: every kind of table once.
const EXAMPLE: &str = include_str!("project_example.toml");

#[test]
fn the_schema_in_docs_is_made_from_the_parsers_keys() {
    let mut wanted = serde_json::to_string_pretty(&schema::schema()).expect("JSON");
    wanted.push('\n');
    if std::env::var_os("FOLDLINE_UPDATE_SCHEMA").is_some() {
        std::fs::write(schema_file(), &wanted).expect("docs can be written");
    }
    let found = std::fs::read_to_string(schema_file()).unwrap_or_default();
    assert!(
        found == wanted,
        "docs/foldline.schema.json is not what src/project/keys.rs says; write it anew: FOLDLINE_UPDATE_SCHEMA=1 cargo test --test project_schema"
    );
}

#[test]
fn every_key_of_the_parser_is_in_the_schema_and_the_other_way_round() {
    let schema = committed();
    for table in keys::TABLES {
        let object = if table.id == "root" { &schema } else { &schema["$defs"][table.id] };
        let mut properties: Vec<&str> = object["properties"].as_object().expect("properties").keys().map(String::as_str).collect();
        let mut names: Vec<&str> = table.keys.iter().map(|key| key.name).collect();
        properties.sort_unstable();
        names.sort_unstable();
        assert_eq!(properties, names, "{}", table.title);
    }
    assert_eq!(schema["$defs"].as_object().expect("definitions").len() + 1, keys::TABLES.len());
}

#[test]
fn every_key_has_a_description() {
    for key in keys::TABLES.iter().flat_map(|table| table.keys) {
        assert!(key.description.len() > 10, "{}", key.name);
    }
}

#[test]
fn the_schema_accepts_the_whole_example() {
    let validator = jsonschema::validator_for(&committed()).expect("a good schema");
    let errors: Vec<String> = validator.iter_errors(&as_json(EXAMPLE)).map(|error| format!("{}: {error}", error.instance_path())).collect();
    assert!(errors.is_empty(), "{errors:#?}");
}

#[test]
fn the_schema_refuses_unknown_keys_and_wrong_types() {
    let validator = jsonschema::validator_for(&committed()).expect("a good schema");
    for toml in [
        "sources = 1",
        "[source.a]\nfiles = 1",
        "[source.a]\nfiles = []\non_gap = \"x\"",
        "[aggregate.a]\nsteam = \"x\"",
        "[aggregate.a.state]\nx = 1",
    ] {
        assert!(!validator.is_valid(&as_json(toml)), "{toml}");
    }
}
