//! Values as folders of a Parquet dataset: none leaves its folder, none shares it with another one, and a reader gets
//! each back as it was.

mod common;

use std::collections::BTreeMap;
use std::path::Path;

use common::{Project, duckdb, files_below, literal};
use serde_json::json;

const PROJECT: &str = r#"
[source.s]
files = ["*.ndjson"]
[event.T]
p = "VARCHAR"
[aggregate.a]
stream = "a-{id}"
[aggregate.a.state]
p = "VARCHAR"
[aggregate.a.on.T]
take = ["p"]
[read_model.m]
sql = 'SELECT id, p AS "COLUMN", _events FROM a'
[[read_model.m.to]]
parquet = "out/m"
partition_by = ["COLUMN"]
"#;

fn project(column: &str, values: &[Option<&str>]) -> Project {
    let project = Project::new(
        &PROJECT
            .replace("partition_by = [\"COLUMN\"]", &format!("partition_by = [{}]", json!(column)))
            .replace("COLUMN", &column.replace('"', "\"\"")),
    );
    let record = |(i, value): (usize, &Option<&str>)| {
        format!("{}\n", json!({"stream_id": format!("a-{i}"), "type": "T", "version": 1, "data": {"p": value}}))
    };
    project.write("log.ndjson", values.iter().enumerate().map(record).collect::<String>());
    project
}

/// By id, what a reader finds in the partition column.
fn read_back(folder: &Path, column: &str) -> BTreeMap<usize, Option<String>> {
    let files = literal(&folder.join("*/*.parquet"));
    let query = format!(
        "SELECT id::UBIGINT, CAST(\"{}\" AS VARCHAR) FROM read_parquet({files}, hive_partitioning = true, hive_types_autocast = false)",
        column.replace('"', "\"\"")
    );
    let db = duckdb();
    let mut statement = db.prepare(&query).unwrap_or_else(|e| panic!("{e}\nin {query}"));
    statement.query_map([], |row| Ok((row.get::<_, u64>(0)? as usize, row.get(1)?))).unwrap().collect::<Result<_, _>>().unwrap()
}

#[test]
fn hostile_values_stay_in_their_folders_and_come_back_as_they_were() {
    let long = "x".repeat(200);
    let values = [
        Some("../../etc"),
        Some("a/b"),
        Some("a%2Fb"),
        Some("a%252Fb"),
        Some("__HIVE_DEFAULT_PARTITION__"),
        Some("%5F_HIVE_DEFAULT_PARTITION__"),
        None,
        Some(""),
        Some(" "),
        Some("NULL"),
        Some("null"),
        Some("nul\0byte"),
        Some(long.as_str()),
        Some("."),
        Some(".."),
        Some("..."),
        Some(".hidden"),
        Some("_underscore"),
        Some("DE"),
        Some("de"),
        Some("dE"),
        Some("\u{e9}"),
        Some("e\u{301}"),
        Some("new\nline"),
        Some("a=b"),
        Some("p=p/q=q"),
        Some("*?[a]{b}"),
        Some("~root"),
        Some("C:\\x"),
        Some("it's \"quoted\""),
        Some("a+b%20c d"),
        Some("\u{202e}txt"),
        Some("😀"),
    ];
    let project = project("p", &values);
    project.foldline(&["run"]).exits(0);
    let found = read_back(&project.path("out/m/current"), "p");
    let expected: BTreeMap<usize, Option<String>> = values.iter().enumerate().map(|(i, value)| (i, value.map(str::to_string))).collect();
    assert_eq!(found, expected);

    // one folder for each value, directly below the generation, with the case-twins told apart by their letters only
    let generation = project.path("out/m/current").canonicalize().unwrap();
    let folders: Vec<_> = std::fs::read_dir(&generation).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    assert_eq!(folders.len(), values.len());
    assert!(folders.iter().all(|name| name.starts_with("p=") && name.bytes().all(|b| b.is_ascii_graphic() && b != b'/')), "{folders:?}");
    for file in files_below(&project.path("out")) {
        assert!(file.canonicalize().unwrap().starts_with(&generation), "{}", file.display());
    }
    project.foldline(&["verify"]).exits(0);
    // the next generation finds its rows again by the same values
    project.append("log.ndjson", format!("{}\n", json!({"stream_id": "a-0", "type": "T", "version": 2, "data": {"p": ".."}})));
    project.foldline(&["run"]).exits(0);
    assert_eq!(read_back(&project.path("out/m/current"), "p")[&0].as_deref(), Some(".."));
}

#[test]
fn a_value_that_is_too_long_for_a_folder_is_an_error_and_publishes_nothing() {
    for value in ["y".repeat(300), "é".repeat(100), format!("{}\u{1b}[2J", "z".repeat(250))] {
        let project = project("p", &[Some("good"), Some(&value)]);
        let said = project.foldline(&["run"]).exits(65).stderr;
        assert!(said.contains("a value of the partition column `p` is too long for a folder's name"), "{said}");
        assert!(said.contains("help: partition by values of at most 200 characters"), "{said}");
        assert!(!said.contains('\u{1b}'), "{said:?}");
        project.assert_nothing_published();
    }
}

#[test]
fn a_hostile_name_of_a_partition_column_stays_in_its_folder() {
    for column in ["../x", "a=b", "with space", "q\"uote", "é", "%41"] {
        let project = project(column, &[Some("v"), None]);
        project.foldline(&["run"]).exits(0);
        let generation = project.path("out/m/current").canonicalize().unwrap();
        for file in files_below(&project.path("out")) {
            assert!(file.canonicalize().unwrap().starts_with(&generation), "{}", file.display());
        }
        assert_eq!(files_below(&generation).len(), 2, "{column}");
        project.foldline(&["verify"]).exits(0);
    }
}
