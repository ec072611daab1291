//! `history`: what each event did to one row. The changes of a row, one after the other, have to give the row.

mod common;

use std::collections::BTreeMap;
use std::fs;

use common::{Project, duckdb, literal};
use serde_json::{Value, json};

/// The events and the end of a row's history.
fn history(project: &Project, args: &[&str]) -> (Vec<Value>, Value) {
    let args: Vec<&str> = ["history", "--json"].into_iter().chain(args.iter().copied()).collect();
    let found = project.foldline(&args).exits(0);
    let mut lines: Vec<Value> = found.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let end = lines.pop().unwrap()["end"].take();
    assert!(end.is_object(), "{}", found.stdout);
    (lines.into_iter().map(|mut line| line["event"].take()).collect(), end)
}

/// A row as its history's changes make it, from nothing.
fn replayed(events: &[Value]) -> Option<BTreeMap<String, Value>> {
    let mut row: Option<BTreeMap<String, Value>> = None;
    for event in events {
        match event["row"].as_str().unwrap() {
            "created" => assert!(row.replace(BTreeMap::new()).is_none(), "created twice"),
            "deleted" => assert!(row.take().is_some(), "deleted, and was not there"),
            "absent" => assert!(row.is_none()),
            "changed" => assert!(!event["changes"].as_array().unwrap().is_empty()),
            "unchanged" => assert!(event["changes"].as_array().unwrap().is_empty()),
            other => panic!("{other}"),
        }
        for change in event["changes"].as_array().unwrap() {
            let row = row.as_mut().unwrap();
            let column = change["column"].as_str().unwrap().to_string();
            let Some(entry) = change.get("entry") else {
                let old = row.insert(column.clone(), change["to"].clone());
                assert_eq!(old.as_ref(), change.get("from"), "{column}");
                continue;
            };
            // of a map
            let entries = row.get_mut(&column).unwrap().as_object_mut().unwrap();
            let old = match change.get("to") {
                Some(to) => entries.insert(entry.as_str().unwrap().to_string(), to.clone()),
                None => entries.remove(entry.as_str().unwrap()),
            };
            assert_eq!(old.as_ref(), change.get("from"), "{column}");
        }
    }
    row
}

#[test]
fn the_changes_of_a_row_one_after_the_other_give_the_row() {
    let project = Project::shop();
    project.foldline(&["run", "-q"]).exits(0);
    let db = duckdb();
    db.execute_batch(&format!("ATTACH {} AS shop (READ_ONLY)", literal(&project.path("out/shop.duckdb")))).unwrap();
    for order in ["1", "17", "1000", "4711"] {
        let (events, end) = history(&project, &["order", order]);
        let mut row = replayed(&events).unwrap();
        row.insert("order_id".into(), order.into());
        let told: BTreeMap<String, Value> = end["row"].as_object().unwrap().clone().into_iter().collect();
        for (column, value) in &row {
            assert_eq!(&told[column], value, "{column} of {order}");
        }
        assert_eq!(told["_events"].as_u64(), Some(events.iter().filter(|e| e["outcome"] == "applied").count() as u64));
        let sql = format!("SELECT status, total::VARCHAR, items FROM shop.order_summary WHERE order_id = '{order}'");
        let published: (String, String, i64) = db.query_row(&sql, [], |r| Ok((r.get(0)?, r.get(1)?, r.get(2)?))).unwrap();
        assert_eq!((told["status"].as_str().unwrap(), told["items"].as_i64().unwrap()), (published.0.as_str(), published.2));
        assert_eq!(told["total"].to_string().parse::<f64>().unwrap(), published.1.parse::<f64>().unwrap());
    }
}

#[test]
fn a_key_that_spans_streams_has_the_events_that_sql_finds_in_the_log() {
    let project = Project::shop_without_logs();
    project.write("events/all.ndjson", common::shop_log());
    project.foldline(&["run", "-q"]).exits(0);
    let db = duckdb();
    db.execute_batch("SET TimeZone = 'UTC'").unwrap();
    let log = format!(
        "SELECT position, CAST(data->>'qty' AS BIGINT) AS qty, data->>'sku' AS sku, CAST(CAST(time AS TIMESTAMP) AS DATE)::VARCHAR AS day
         FROM read_json({}, format = 'newline_delimited', columns = {{stream_id: 'VARCHAR', position: 'BIGINT', type: 'VARCHAR', time: 'VARCHAR', data: 'JSON'}})
         WHERE type = 'ItemAdded'",
        literal(&project.path("events/all.ndjson"))
    );
    let key = format!("SELECT sku, day FROM ({log}) GROUP BY ALL ORDER BY count(*) DESC, sku, day LIMIT 1");
    let (sku, day): (String, String) = db.query_row(&key, [], |r| Ok((r.get(0)?, r.get(1)?))).unwrap();
    let mut statement =
        db.prepare(&format!("SELECT position, qty FROM ({log}) WHERE sku = '{sku}' AND day = '{day}' ORDER BY position")).unwrap();
    let expected: Vec<(i64, i64)> = statement.query_map([], |r| Ok((r.get(0)?, r.get(1)?))).unwrap().map(Result::unwrap).collect();
    assert!(expected.len() > 2);

    let (events, end) = history(&project, &["sku_sales", &sku, &day]);
    let found: Vec<i64> = events.iter().map(|e| e["position"].as_i64().unwrap()).collect();
    assert_eq!(found, expected.iter().map(|(position, _)| *position).collect::<Vec<_>>());
    assert_eq!(end["row"]["sold"].as_i64(), Some(expected.iter().map(|(_, qty)| qty).sum()));
    let lines = fs::read_to_string(project.path("events/all.ndjson")).unwrap();
    for event in &events {
        let line = lines.lines().nth(event["line"].as_u64().unwrap() as usize - 1).unwrap();
        assert!(line.contains(event["id"].as_str().unwrap()), "{line}");
    }
    // by name, in whatever order; the last one only; one thread
    let named = [format!("day={day}"), format!("SKU={sku}")];
    let (last, same) = history(&project, &["sku_sales", &named[0], &named[1], "--last", "1", "--threads", "1"]);
    assert_eq!((last.len(), &last[0], &same), (1, events.last().unwrap(), &end));
    // as it was one event before
    let (before, as_it_was) = history(&project, &["sku_sales", &sku, &day, "--as-of", &expected[expected.len() - 2].0.to_string()]);
    assert_eq!(before, events[..events.len() - 1]);
    assert_eq!(as_it_was["row"]["sold"].as_i64(), Some(expected[..expected.len() - 1].iter().map(|(_, qty)| qty).sum()));
}

const PROJECT: &str = r#"
[project]
name = "stock"

[source.log]
files  = ["events/*.ndjson"]
on_gap = "wait"

[event.Added]
amount = "BIGINT"
tags   = "VARCHAR[]"
[event.Noted]
note = "VARCHAR"
[event.Removed]
[event.Cleared]

[aggregate.item]
source = "log"
stream = "item-{item}"
[aggregate.item.state]
total = "BIGINT DEFAULT 0"
note  = "VARCHAR"
[[aggregate.item.on.Added]]
when      = "data.amount > 0"
set.total = "total + data.amount"
[[aggregate.item.on.Added]]
when         = "total > 10"
emit.alarms  = { at = "total" }
[aggregate.item.rows.alarms]
at = "BIGINT"
[aggregate.item.on.Noted]
set.note = "data.note"
[aggregate.item.on.Removed]
delete = true

[aggregate.tag]
source = "log"
[aggregate.tag.state]
uses = "BIGINT DEFAULT 0"
[[aggregate.tag.on.Added]]
each     = "data.tags"
key      = { tag = "each" }
set.uses = "uses + 1"
[[aggregate.tag.on.Cleared]]
all      = true
set.uses = "0"

[read_model.items]
aggregate = "item"
[[read_model.items.to]]
parquet = "out/items.parquet"

[[test]]
name  = "an amount that is missing adds nothing"
given = [
  { stream = "item-a", type = "Added", data = { amount = 3 } },
  { stream = "item-a", type = "Added", data = {} },
]
then = { item = [{ item = "a", total = 4 }] }
"#;

fn event(stream: &str, version: i64, kind: &str, data: &str) -> String {
    let time = format!("2024-01-01T00:00:{version:02}Z");
    format!(r#"{{"stream_id":"item-{stream}","type":"{kind}","version":{version},"time":"{time}","data":{data}}}"#) + "\n"
}

fn stock(log: &[String]) -> Project {
    let project = Project::new(PROJECT);
    project.write("events/1.ndjson", log.concat());
    project
}

fn log() -> Vec<String> {
    vec![
        event("a", 1, "Added", r#"{"amount":3,"tags":["x","y","x"]}"#),
        event("a", 1, "Added", r#"{"amount":3,"tags":["x","y","x"]}"#),
        event("b", 1, "Added", r#"{"amount":1,"tags":["y"]}"#),
        event("a", 3, "Added", r#"{"amount":9}"#),
        event("a", 2, "Added", "{}"),
        event("a", 4, "Noted", r#"{"note":"\u001b[2J"}"#),
        event("a", 5, "Removed", "{}"),
        event("a", 6, "Added", r#"{"amount":-1}"#),
        event("a", 7, "Noted", r#"{"note":""}"#),
        event("c", 1, "Cleared", "{}"),
        event("b", 2, "Added", r#"{"amount":20,"tags":["x"]}"#),
        event("a", 9, "Added", r#"{"amount":1}"#),
    ]
}

#[test]
fn it_tells_what_waited_what_came_twice_and_which_when_was_null() {
    let project = stock(&log());
    project.foldline(&["run", "-q"]).exits(3);
    project.append("events/1.ndjson", event("a", 8, "Noted", "{}"));
    let before: Vec<_> = common::files_below(&project.path("")).into_iter().map(|p| (fs::read(&p).unwrap(), p)).collect();
    let found = project.foldline(&["history", "item", "a"]).exits(0);
    insta::assert_snapshot!(format!("{}---\n{}", found.stdout, found.stderr));
    let after: Vec<_> = common::files_below(&project.path("")).into_iter().map(|p| (fs::read(&p).unwrap(), p)).collect();
    assert!(before == after, "a file was touched");

    let (events, end) = history(&project, &["item", "a"]);
    let outcomes: Vec<(i64, &str, &str)> =
        events.iter().map(|e| (e["version"].as_i64().unwrap(), e["outcome"].as_str().unwrap(), e["row"].as_str().unwrap())).collect();
    assert_eq!(
        outcomes,
        [
            (1, "applied", "created"),
            (1, "duplicate", "unchanged"),
            (2, "not_applied", "unchanged"),
            (3, "applied", "changed"),
            (4, "applied", "changed"),
            (5, "applied", "deleted"),
            (6, "not_applied", "absent"),
            (7, "applied", "created"),
            (9, "pending", "unchanged"),
        ]
    );
    let rule = |event: &Value, number: usize| event["rules"][number]["outcome"].as_str().unwrap().to_string();
    assert_eq!((rule(&events[2], 0), rule(&events[6], 0)), ("when_null".into(), "when_false".into()));
    assert_eq!(events[3]["waited"]["released_by"], json!({ "version": 2, "file": "events/1.ndjson", "line": 5 }));
    assert_eq!(events[3]["emitted"], json!([{ "rows": "alarms", "values": { "at": 12 } }]));
    assert_eq!(replayed(&events).unwrap(), BTreeMap::from([("total".into(), json!(0)), ("note".into(), json!(""))]));
    assert_eq!(end["notes"].as_array().unwrap().len(), 1, "{end}");
    // colors change nothing but colors, and a pipe has none
    assert!(!found.stdout.contains('\u{1b}'), "{}", found.stdout);
    assert!(project.foldline(&["history", "item", "a", "--color", "always"]).exits(0).stdout.contains("\u{1b}["));
}

#[test]
fn rules_for_each_element_and_for_all_rows_are_told_of_the_row_alone() {
    let project = stock(&log());
    project.foldline(&["run", "-q"]).exits(3);
    let (events, end) = history(&project, &["tag", "x"]);
    let told: Vec<(&str, i64, u64)> = events
        .iter()
        .filter(|e| e["outcome"] == "applied")
        .map(|e| (e["stream"].as_str().unwrap(), e["changes"][0]["to"].as_i64().unwrap(), e["rules"][0]["times"].as_u64().unwrap()))
        .collect();
    assert_eq!(told, [("item-a", 2, 2), ("item-c", 0, 1), ("item-b", 1, 1)]);
    assert_eq!(
        end["row"],
        json!({ "tag": "x", "uses": 1, "_events": 3, "_version": null, "_position": null, "_first_event_at": "2024-01-01 00:00:01", "_last_event_at": "2024-01-01 00:00:02" })
    );
}

#[test]
fn what_it_is_not_asked_well_is_answered_with_what_there_is() {
    let project = stock(&log());
    let said = |args: &[&str], code: i32| {
        let args: Vec<&str> = ["history"].into_iter().chain(args.iter().copied()).collect();
        project.foldline(&args).exits(code).stderr
    };
    assert!(said(&["item", "a"], 66).contains("nothing was published yet"));
    project.foldline(&["run", "-q"]).exits(3);
    let wrong = said(&["items", "a"], 2)
        + &said(&["item", "a", "b"], 2)
        + &said(&["item", "aa"], 66)
        + &said(&["item", "a", "--as-of", "2023-01-01"], 66);
    insta::assert_snapshot!(wrong);
}

#[test]
fn what_stands_still_behind_a_quarantined_event_is_told_as_set_aside() {
    let refusing = "[[aggregate.item.on.Noted]]\nwhen = \"data.note = 'no'\"\nfail = \"'not now'\"\n[[aggregate.item.on.Noted]]\n";
    let quarantining = PROJECT.replace("on_gap = \"wait\"", "on_bad_record = \"quarantine\"");
    let project = Project::new(&quarantining.replace("[aggregate.item.on.Noted]\n", refusing));
    let log = [
        event("a", 1, "Added", r#"{"amount":3}"#),
        event("a", 2, "Noted", r#"{"note":"no"}"#),
        event("a", 3, "Added", r#"{"amount":4}"#),
        event("b", 1, "Added", r#"{"amount":1}"#),
        event("b", 2, "Added", r#"{"amount":"much"}"#),
        event("b", 3, "Added", r#"{"amount":5}"#),
    ];
    project.write("events/1.ndjson", log.concat());
    project.foldline(&["run", "-q"]).exits(3);
    let told = |item: &str| -> Vec<(i64, String, String)> {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_string();
        let (events, end) = history(&project, &["item", item]);
        assert_eq!(end["row"]["_events"], 1);
        events.iter().map(|e| (e["version"].as_i64().unwrap(), text(&e["outcome"]), text(&e["reason"]))).collect()
    };
    let follows = |stream: &str| format!("follows version 2 of stream `item-{stream}`, which is in quarantine");
    let failed = "[aggregate.item.on.Noted]: not now".to_string();
    assert_eq!(told("a"), [(1, "applied".into(), String::new()), (2, "failed".into(), failed), (3, "quarantined".into(), follows("a"))]);
    // the record that broke its contract has no key, and is nobody's
    assert_eq!(told("b"), [(1, "applied".into(), String::new()), (3, "quarantined".into(), follows("b"))]);
}

#[test]
fn late_events_and_passed_holes_are_told() {
    let project = Project::new(&PROJECT.replace("on_gap = \"wait\"", "on_gap = \"skip\""));
    let added = |version: i64| event("a", version, "Added", r#"{"amount":1}"#);
    project.write("events/1.ndjson", added(1) + &added(3));
    project.foldline(&["run", "-q"]).exits(3);
    project.append("events/1.ndjson", added(2) + &added(4));
    project.foldline(&["run", "-q"]).exits(3);
    let (events, end) = history(&project, &["item", "a"]);
    let told: Vec<(i64, &str)> = events.iter().map(|e| (e["version"].as_i64().unwrap(), e["outcome"].as_str().unwrap())).collect();
    assert_eq!(told, [(1, "applied"), (3, "applied"), (2, "late"), (4, "applied")]);
    assert_eq!((&events[1]["waited"], &end["row"]["total"]), (&json!({ "released_by": null }), &json!(3)));
}

#[test]
fn a_failing_test_notes_the_when_that_was_null() {
    let project = stock(&log());
    let found = project.foldline(&["test"]).exits(13);
    assert!(found.stdout.contains("note: given event 2: [aggregate.item.on.Added] did not apply: its `when` is NULL"), "{}", found.stdout);
    // what holds needs no explanation
    project.write("foldline.toml", PROJECT.replace("total = 4", "total = 3"));
    assert!(!project.foldline(&["test"]).exits(0).stdout.contains("note:"));
}

#[test]
fn an_event_that_fails_is_told_with_its_reason() {
    let project = stock(&log());
    project.foldline(&["run", "-q"]).exits(3);
    project.write("foldline.toml", PROJECT.replace("set.note = \"data.note\"", "fail = \"'no notes'\""));
    let found = project.foldline(&["history", "item", "a"]).exits(65);
    assert!(found.stdout.contains("[aggregate.item.on.Noted] failed\n  [aggregate.item.on.Noted]: no notes"), "{}", found.stdout);
    assert!(found.stderr.contains("events/1.ndjson:6: fold:"), "{}", found.stderr);
}

#[test]
fn a_copied_row_that_goes_on_under_another_key_has_a_history() {
    let project = Project::new(
        r#"
[project]
name = "copy"
[source.log]
files = ["events/*.ndjson"]
dedupe = "none"
[event."person.*"]
id   = "BIGINT KEY"
name = "VARCHAR"
age  = "BIGINT"
[aggregate.person]
source = "log"
replica_of = "person"
[read_model.people]
aggregate = "person"
[[read_model.people.to]]
parquet = "out/people.parquet"
"#,
    );
    let change = |kind: &str, data: &str, before: &str| {
        format!(r#"{{"stream_id":"person","type":"person.{kind}","data":{data},"metadata":{{"before":{before}}}}}"#) + "\n"
    };
    let log = change("insert", r#"{"id":1,"name":"Ann","age":30}"#, "null")
        + &change("insert", r#"{"id":3,"name":"Bob","age":40}"#, "null")
        + &change("update", r#"{"id":2,"name":"Anna"}"#, r#"{"id":1,"name":"Ann"}"#)
        + &change("delete", r#"{"id":3}"#, r#"{"id":3}"#);
    project.write("events/1.ndjson", log);
    project.foldline(&["run", "-q"]).exits(0);
    let rows: Vec<(i64, String, Option<i64>)> = {
        let db = duckdb();
        let mut statement =
            db.prepare(&format!("SELECT id, name, age FROM read_parquet({})", literal(&project.path("out/people.parquet")))).unwrap();
        statement.query_map([], |r| Ok((r.get(0)?, r.get(1)?, r.get(2)?))).unwrap().map(Result::unwrap).collect()
    };
    let (events, end) = history(&project, &["person", "2"]);
    assert_eq!((events.len(), events[0]["row"].as_str()), (1, Some("created")));
    let row = &end["row"];
    assert_eq!(rows, [(row["id"].as_i64().unwrap(), row["name"].as_str().unwrap().to_string(), row["age"].as_i64())]);
    let (events, end) = history(&project, &["person", "1"]);
    assert_eq!((events.len(), events[1]["row"].as_str(), end["row"].is_null()), (2, Some("deleted"), true));
}
