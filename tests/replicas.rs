//! `replica_of`: the table that the change events make, compared with the same changes made by hand.

mod common;

use common::{Project, assert_same_rows, duckdb, example_of, literal};

const PROJECT: &str = r#"
[source.cdc]
files = ["*.ndjson"]
[source.cdc.envelope]
version = "NULL"

[event."customers.*"]
id      = "BIGINT KEY"
name    = "VARCHAR NOT NULL"
email   = "VARCHAR"
visits  = "INTEGER DEFAULT 0"
_tags   = "VARCHAR[]"

[aggregate.customer]
replica_of = "customers"

[read_model.customers]
aggregate = "customer"
[[read_model.customers.to]]
parquet = "out/customers.parquet"
"#;

fn change(event: &str, data: &str, before: &str) -> String {
    format!(r#"{{"stream_id":"customers","type":"customers.{event}","data":{data},"metadata":{{"before":{before}}}}}"#) + "\n"
}

fn run(log: &[String]) -> Project {
    let project = Project::new(PROJECT);
    project.write("a.ndjson", log.concat());
    project.foldline(&["run"]).exits(0);
    // the same in pieces of one event
    let pieces = Project::new(PROJECT);
    for line in log {
        pieces.append("a.ndjson", line);
        pieces.foldline(&["run"]).exits(0);
    }
    let bytes = |project: &Project| std::fs::read(project.path("out/customers.parquet")).unwrap();
    assert!(bytes(&project) == bytes(&pieces), "pieces differ");
    project
}

#[track_caller]
fn assert_rows(log: &[String], expected: &str) {
    let project = run(log);
    let found =
        format!("SELECT id, name, email, visits, data__tags AS tags, _events FROM {}", literal(&project.path("out/customers.parquet")));
    let expected = format!(
        "SELECT id::BIGINT AS id, name::VARCHAR AS name, email::VARCHAR AS email, visits::INTEGER AS visits, tags::VARCHAR[] AS tags, \
         events::BIGINT AS _events FROM (VALUES {expected}) t(id, name, email, visits, tags, events)"
    );
    assert_same_rows(&duckdb(), &found, &expected);
}

#[test]
fn rows_are_written_changed_and_removed_by_their_key() {
    assert_rows(
        &[
            change("read", r#"{"id":1,"name":"a","email":"a@x","visits":3,"_tags":["p"]}"#, "null"),
            change("insert", r#"{"id":2,"name":"b"}"#, "null"),
            change("insert", r#"{"id":3,"name":"c"}"#, "null"),
            change("insert", r#"{"id":4,"name":"d","email":"d@x"}"#, "null"),
            change("insert", r#"{"id":5,"name":"e"}"#, "null"),
            // what is absent stays, null is NULL, a mark stays
            change("update", r#"{"id":1,"name":"A"}"#, "null"),
            change("update", r#"{"id":4,"name":"__debezium_unavailable_value","email":null,"visits":null}"#, "null"),
            change("update", r#"{"id":1,"name":"A","_tags":["__debezium_unavailable_value"]}"#, "null"),
            // deleted by what is there of the key
            change("delete", "null", r#"{"id":2}"#),
            change("delete", r#"{"id":3}"#, "null"),
            // of a row that nobody inserted
            change("update", r#"{"id":9,"name":"z"}"#, "null"),
            change("delete", r#"{"id":8}"#, "null"),
            // and anew
            change("insert", r#"{"id":3,"name":"cc"}"#, "null"),
        ],
        "(1, 'A', 'a@x', 3, ['p'], 3), (3, 'cc', NULL, 0, NULL, 1), (4, 'd', NULL, 0, NULL, 2), (5, 'e', NULL, 0, NULL, 1), (9, 'z', NULL, 0, NULL, 1)",
    );
}

#[test]
fn a_truncate_removes_every_row() {
    assert_rows(
        &[
            change("insert", r#"{"id":1,"name":"a"}"#, "null"),
            change("insert", r#"{"id":2,"name":"b"}"#, "null"),
            change("truncate", "null", "null"),
            change("insert", r#"{"id":2,"name":"B"}"#, "null"),
        ],
        "(2, 'B', NULL, 0, NULL, 1)",
    );
}

#[test]
fn a_row_whose_key_changes_takes_along_what_the_event_leaves_out() {
    let chain: Vec<String> = (1..60).map(|id| change("update", &format!(r#"{{"id":{}}}"#, id + 1), &format!(r#"{{"id":{id}}}"#))).collect();
    let mut log = vec![change("insert", r#"{"id":1,"name":"a","email":"a@x","visits":7}"#, "null")];
    log.extend(chain);
    // a row that is there under the new key is written over
    log.push(change("insert", r#"{"id":200,"name":"there before"}"#, "null"));
    log.push(change("update", r#"{"id":200,"visits":null}"#, r#"{"id":60,"name":"a"}"#));
    // every column is there, or the old key is the new one, or nobody knows the old row
    log.push(change("insert", r#"{"id":300,"name":"c","email":"c@x"}"#, "null"));
    log.push(change("update", r#"{"id":301,"name":"C","email":null,"visits":1,"_tags":[]}"#, r#"{"id":300}"#));
    log.push(change("update", r#"{"id":301,"name":"D"}"#, r#"{"id":301}"#));
    log.push(change("update", r#"{"id":401,"name":"e"}"#, r#"{"id":400}"#));
    assert_rows(&log, "(200, 'a', 'a@x', 0, NULL, 2), (301, 'D', NULL, 1, []::VARCHAR[], 2), (401, 'e', NULL, 0, NULL, 1)");
}

#[test]
fn what_a_whole_row_lacks_is_bad_and_so_is_a_row_without_a_key() {
    let project = Project::new(PROJECT);
    let log = [
        change("insert", r#"{"id":1}"#, "null"),
        change("update", r#"{"id":1,"name":null}"#, "null"),
        change("insert", r#"{"name":"a"}"#, "null"),
        change("delete", "null", "null"),
        change("update", r#"{"id":1,"visits":1.5}"#, "null"),
        change("delete", "null", r#"{"id":"x"}"#),
    ];
    project.write("a.ndjson", log.concat());
    insta::assert_snapshot!(project.redact(&project.foldline(&["run"]).exits(65).stderr));
}

#[test]
fn a_key_of_several_columns_and_one_that_is_the_streams() {
    let text = r#"
[source.cdc]
files = ["*.ndjson"]
[source.cdc.envelope]
version = "NULL"
[event."shop.lines.*"]
order_id = "BIGINT KEY"
sku      = "VARCHAR KEY"
qty      = "INTEGER"
[aggregate.line]
replica_of = "shop.lines"
[aggregate.by_stream]
replica_of = "shop.lines"
stream = "line-{sku}"
[read_model.lines]
sql = "SELECT order_id, sku, qty, _events FROM line"
[[read_model.lines.to]]
parquet = "out/lines.parquet"
[read_model.streams]
sql = "SELECT sku, order_id, qty, _events FROM by_stream"
[[read_model.streams.to]]
parquet = "out/streams.parquet"
"#;
    let line = |event: &str, stream: &str, data: &str, before: &str| {
        format!(r#"{{"stream_id":"{stream}","type":"shop.lines.{event}","data":{data},"metadata":{{"before":{before}}}}}"#) + "\n"
    };
    let project = Project::new(text);
    let log = [
        line("insert", "line-a", r#"{"order_id":1,"sku":"a","qty":1}"#, "null"),
        line("insert", "line-b", r#"{"order_id":1,"sku":"b","qty":2}"#, "null"),
        line("update", "line-b", r#"{"order_id":2}"#, r#"{"order_id":1,"sku":"b"}"#),
        line("update", "line-a", r#"{"order_id":1,"sku":"a","qty":null}"#, "null"),
        line("insert", "other", r#"{"order_id":3,"sku":"c","qty":3}"#, "null"),
    ];
    project.write("a.ndjson", log.concat());
    project.foldline(&["run"]).exits(0);
    let found = |name: &str| format!("SELECT * FROM {}", literal(&project.path(&format!("out/{name}.parquet"))));
    let db = duckdb();
    let lines =
        "SELECT * FROM (VALUES (1::BIGINT, 'a', NULL::INTEGER, 2::BIGINT), (2, 'b', 2, 1), (3, 'c', 3, 1)) t(order_id, sku, qty, _events)";
    assert_same_rows(&db, &found("lines"), lines);
    let streams = "SELECT * FROM (VALUES ('a', 1::BIGINT, NULL::INTEGER, 2::BIGINT), ('b', 2, 2, 2)) t(sku, order_id, qty, _events)";
    assert_same_rows(&db, &found("streams"), streams);
}

#[test]
fn the_example_of_the_docs_does_what_they_say() {
    let around = r#"
[source.s]
files = ["*.ndjson"]
[[test]]
name  = "the example"
given = [
  { stream = "customers", type = "customers.insert", data = { id = 1, name = "a", email = "a@x" } },
  { stream = "customers", type = "customers.update", data = { id = 2, level = 3 }, metadata = { before = { id = 1 } } },
]
then = { customer = [{ id = 2, name = "a", email = "a@x", level = 3, _events = 1 }] }
"#;
    let project = Project::new(&format!("{}{around}", example_of("replicas.md")));
    project.foldline(&["test"]).exits(0);
}

#[test]
fn check_warns_about_a_replica_of_an_event() {
    let project = Project::new(&PROJECT.replace("replica_of = \"customers\"", "replica_of = \"customers.insert\""));
    let said = project.foldline(&["check"]).exits(0).stderr;
    assert!(said.contains("`customers.insert.insert`") && said.contains("did you mean `customers`?"), "{said}");
    assert!(!Project::new(PROJECT).foldline(&["check"]).exits(0).stderr.contains("warning"));
}

#[test]
fn the_report_counts_an_event_once_for_each_row_that_it_is_applied_to() {
    let project = Project::new(PROJECT);
    let row = |id: u64| change("insert", &format!(r#"{{"id":{id},"name":"n"}}"#), "null");
    project.write("a.ndjson", [change("truncate", "null", "null"), row(1), row(2), change("truncate", "null", "null"), row(3)].concat());
    let report = project.foldline(&["run", "--json"]).exits(0).json();
    assert_eq!(report["aggregates"][0]["events_folded"].as_u64(), Some(5));
}
