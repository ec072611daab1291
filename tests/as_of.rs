//! `--as-of` and `--target-dir`: read models of the past and elsewhere. Nothing of the project may be written by them.

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use common::{Output, Project, assert_same_rows, duckdb, files_below, lines, literal, shop_log};

/// Every file's content and time of change, but for what lies in one folder.
fn everything_but(project: &Project, folder: &str) -> BTreeMap<PathBuf, (Vec<u8>, std::time::SystemTime)> {
    let files = files_below(&project.path("")).into_iter().filter(|path| !path.starts_with(project.path(folder)));
    files.map(|path| (path.clone(), (fs::read(&path).unwrap(), fs::metadata(&path).unwrap().modified().unwrap()))).collect()
}

/// The shop with the lines of its log for which this is true.
fn shop_with(keep: impl Fn(&serde_json::Value) -> bool) -> Project {
    let project = Project::shop_without_logs();
    let log = shop_log();
    let kept: Vec<&[u8]> = lines(&log).into_iter().filter(|line| keep(&serde_json::from_slice(line).unwrap())).collect();
    project.write("events/cut.ndjson", kept.concat());
    project
}

fn assert_books_balance(found: &Output) -> serde_json::Value {
    let report = found.json();
    let sum = |names: &[&str]| names.iter().map(|name| report["events"][name].as_u64().unwrap()).sum::<u64>();
    let counted = sum(&["folded", "filtered", "duplicates", "late", "pending", "quarantined"]);
    let of = |name: &str| report["sources"].as_array().unwrap().iter().map(|s| s[name].as_u64().unwrap()).sum::<u64>();
    assert_eq!(of("records"), of("decoded") + of("empty") + of("bad"), "{report}");
    assert_eq!(of("events") + of("pending_before"), counted, "{report}");
    report
}

/// In the middle of the shop's log.
const TIME: &str = "2024-03-01T12:00:00Z";
const POSITION: i64 = 9_000;

#[test]
fn the_past_is_what_a_log_that_ends_there_gives_and_nothing_of_the_project_is_written() {
    let project = Project::shop();
    project.foldline(&["run", "-q"]).exits(0);
    let before = everything_but(&project, "past");
    let found = project.foldline(&["run", "--as-of", TIME, "--target-dir", "past/time", "--json"]).exits(0);
    let report = assert_books_balance(&found);
    assert_eq!(report["as_of"], "2024-03-01 12:00:00");
    assert!(report["events"]["filtered"].as_u64().unwrap() > 1000);
    let position = POSITION.to_string();
    project.foldline(&["rebuild", "--as-of", &position, "--target-dir", "past/position", "--threads", "1", "-q"]).exits(0);
    assert!(before == everything_but(&project, "past"), "a file of the project was touched");

    let until_time = shop_with(|event| event["time"].as_str().unwrap() <= TIME);
    let until_position = shop_with(|event| event["position"].as_i64().unwrap() <= POSITION);
    for (folder, cut) in [("past/time", until_time), ("past/position", until_position)] {
        cut.foldline(&["run", "-q"]).exits(0);
        assert!(project.parquet_in(folder) == cut.parquet(), "{folder}");
        assert!(project.parquet_in(folder) != project.parquet(), "{folder}");
        let db = duckdb();
        db.execute_batch(&format!("ATTACH {} AS past (READ_ONLY)", literal(&project.path(&format!("{folder}/shop.duckdb"))))).unwrap();
        db.execute_batch(&format!("ATTACH {} AS cut (READ_ONLY)", literal(&cut.path("out/shop.duckdb")))).unwrap();
        assert_same_rows(&db, "SELECT * FROM past.order_summary", "SELECT * FROM cut.order_summary");
    }
    let names: Vec<String> =
        fs::read_dir(project.path("past/time")).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    assert!(names.iter().all(|name| !name.starts_with('.') && !name.contains("gen-")), "{names:?}");
}

#[test]
fn the_past_is_what_sql_over_the_log_up_to_there_gives() {
    let project = Project::shop();
    project.foldline(&["run", "--as-of", TIME, "--target-dir", "past", "-s", "sales_by_product_and_day", "-q"]).exits(0);
    assert!(!project.path(".foldline").exists());
    let db = duckdb();
    db.execute_batch("SET TimeZone = 'UTC'").unwrap();
    let log = project.path("log.ndjson");
    fs::write(&log, shop_log()).unwrap();
    let expected = format!(
        "SELECT CAST(CAST(time AS TIMESTAMP) AS DATE) AS day, data->>'sku' AS sku, CAST(sum(CAST(data->>'qty' AS INTEGER)) AS BIGINT) AS sold
         FROM read_json({}, format = 'newline_delimited', columns = {{stream_id: 'VARCHAR', version: 'BIGINT', type: 'VARCHAR', time: 'VARCHAR', data: 'JSON'}})
         WHERE type = 'ItemAdded' AND CAST(time AS TIMESTAMP) <= TIMESTAMP '2024-03-01 12:00:00'
         GROUP BY ALL",
        literal(&log)
    );
    let found = format!("SELECT day, sku, sold FROM read_parquet({})", literal(&project.path("past/sales_by_product_and_day.parquet")));
    assert_same_rows(&db, &found, &expected);
}

#[test]
fn today_elsewhere_has_the_bytes_of_a_run() {
    let project = Project::shop();
    let found = project.foldline(&["run", "--target-dir", "elsewhere"]).exits(0);
    assert!(found.stderr.contains("shop: published into elsewhere in "), "{}", found.stderr);
    assert!(!project.path(".foldline").exists() && !project.path("out").exists());
    project.foldline(&["run", "-q"]).exits(0);
    assert!(project.parquet_in("elsewhere") == project.parquet());
    // what grew since is read, too, and what was consumed comes first, as in a rebuild
    project.write("events/part-1.ndjson", r#"{"stream_id":"customer-77777","type":"CustomerRegistered","version":1,"position":99999,"time":"2024-01-01T00:00:00Z","data":{"name":"Eve","email":"e@example.com","country":"PT"}}"#.to_string() + "\n");
    let before = everything_but(&project, "grown");
    project.foldline(&["run", "--target-dir", "grown", "-q"]).exits(0);
    assert!(before == everything_but(&project, "grown"));
    project.foldline(&["run", "-q"]).exits(0);
    assert!(project.parquet_in("grown") == project.parquet());
}

const PROJECT: &str = r#"
[project]
name = "small"

[source.log]
files = ["events/*.ndjson"]

[event.Added]
amount = "BIGINT NOT NULL"

[aggregate.counter]
source = "log"
stream = "counter-{counter}"
[aggregate.counter.state]
total = "BIGINT DEFAULT 0"
[aggregate.counter.on.Added]
set.total = "total + data.amount"

[read_model.counters]
sql = "SELECT counter, total, _events, as_of() AS at FROM counter"
[[read_model.counters.check]]
sql = "SELECT * FROM counters WHERE total < 0"
[[read_model.counters.to]]
parquet = "out/counters.parquet"

[read_model.by_counter]
sql = "SELECT counter, total, 'é' AS letter FROM counter"
[[read_model.by_counter.to]]
parquet = "out/by_counter"
partition_by = ["counter"]
"#;

fn event(stream: &str, version: i64, time: &str, amount: &str) -> String {
    let time = if time.is_empty() { "null".into() } else { format!("\"2024-01-{time}\"") };
    format!(r#"{{"stream_id":"counter-{stream}","type":"Added","version":{version},"time":{time},"data":{{"amount":{amount}}}}}"#) + "\n"
}

fn small(log: &[String]) -> Project {
    let project = Project::new(PROJECT);
    project.write("events/1.ndjson", log.concat());
    project
}

fn shown(project: &Project, as_of: &str) -> Vec<serde_json::Value> {
    let found = project.foldline(&["run", "--as-of", as_of, "-s", "counters", "--json"]).exits(0);
    found.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn the_past_is_shown_as_a_table_or_as_an_object_a_line() {
    let project = small(&[event("a", 1, "01", "3"), event("b", 1, "02", "4"), event("a", 2, "03T10:00:00+02:00", "5")]);
    let found = project.foldline(&["run", "--as-of", "2024-01-03"]).exits(0);
    insta::assert_snapshot!(found.stdout);
    let row = |counter: &str, total: i64, events: i64, at: &str| serde_json::json!({ "read_model": "counters", "row": { "counter": counter, "total": total, "_events": events, "at": at } });
    // a date alone is its midnight, and the moment itself is part of the past
    assert_eq!(shown(&project, "2024-01-03"), [row("a", 3, 1, "2024-01-03 00:00:00"), row("b", 4, 1, "2024-01-03 00:00:00")]);
    let at = "2024-01-03 08:00:00";
    assert_eq!(shown(&project, "2024-01-03T08:00:00Z"), [row("a", 8, 2, at), row("b", 4, 1, at)]);
    assert_eq!(shown(&project, "2023-01-01"), [] as [serde_json::Value; 0]);
    assert!(!project.path(".foldline").exists() && !project.path("out").exists());
    let log: String = (0..50).map(|n| event(&n.to_string(), 1, "01", "1")).collect();
    project.write("events/1.ndjson", log);
    assert!(project.foldline(&["run", "--as-of", "2024-01-03", "-s", "counters"]).exits(0).stdout.contains("… and 30 more rows"));
}

#[test]
fn versions_are_judged_on_the_whole_log_and_what_is_later_only_takes_no_part() {
    // version 2 comes behind version 3, and is later; version 1 comes twice
    let project = small(&[event("a", 1, "01", "1"), event("a", 1, "01", "1"), event("a", 3, "03", "100"), event("a", 2, "05", "10")]);
    let total = |as_of: &str| shown(&project, as_of)[0]["row"]["total"].as_i64().unwrap();
    assert_eq!((total("2024-01-02"), total("2024-01-03"), total("2024-01-05")), (1, 101, 111));
    let found = project.foldline(&["run", "--as-of", "2024-01-02", "--target-dir", "past", "--json"]).exits(0);
    let report = assert_books_balance(&found);
    assert_eq!(
        report["events"],
        serde_json::json!({ "folded": 1, "filtered": 2, "duplicates": 1, "late": 0, "pending": 0, "quarantined": 0 })
    );
    // a hole stops it as it stops a run
    project.append("events/1.ndjson", event("a", 9, "09", "1"));
    project.foldline(&["run", "--as-of", "2024-01-02"]).exits(65);
}

#[test]
fn a_bad_event_that_is_later_does_not_stand_in_the_way() {
    let project = small(&[event("a", 1, "01", "1"), event("a", 2, "03", "\"much\"")]);
    project.foldline(&["run", "-q"]).exits(65);
    assert_eq!(shown(&project, "2024-01-02").len(), 1);
    assert_books_balance(&project.foldline(&["run", "--as-of", "2024-01-02", "--target-dir", "past", "--json"]).exits(0));
    let found = project.foldline(&["run", "--as-of", "2024-01-03", "--target-dir", "other"]).exits(65);
    assert!(found.stderr.contains("events/1.ndjson:2"), "{}", found.stderr);
    assert!(!project.path("other").exists());
}

#[test]
fn an_event_that_cannot_be_placed_is_bad_and_a_source_of_such_events_is_a_wrong_question() {
    let project = small(&[event("a", 1, "01", "1"), event("a", 2, "", "2")]);
    let found = project.foldline(&["run", "--as-of", "2024-01-03"]).exits(65);
    assert!(found.stderr.contains("events/1.ndjson:2: envelope: the event has no time"), "{}", found.stderr);
    let found = project.foldline(&["run", "--as-of", "17"]).exits(2);
    assert!(found.stderr.contains("the events of source `log` have no position"), "{}", found.stderr);
    assert!(!found.stderr.contains("bad record"), "{}", found.stderr);
    // an event that nobody takes need not be placed
    project.write("events/1.ndjson", event("a", 1, "01", "1") + &event("a", 2, "", "2").replace("Added", "Other"));
    assert_eq!(shown(&project, "2024-01-03").len(), 1);
    // before the first event there is nothing, which is an answer
    project.foldline(&["run", "--as-of", "2023-01-01"]).exits(0);
}

#[test]
fn a_folder_is_published_into_whole_or_not_at_all() {
    let project = small(&[event("a", 1, "01", "-1"), event("a", 2, "02", "2")]);
    let found = project.foldline(&["run", "--as-of", "2024-01-01", "--target-dir", "past"]).exits(14);
    assert!(found.stderr.contains("a check failed"), "{}", found.stderr);
    assert!(files_below(&project.path("past")).is_empty());
    project.foldline(&["run", "--as-of", "2024-01-02", "--target-dir", "past", "-q"]).exits(0);
    let names: Vec<PathBuf> = files_below(&project.path("past"));
    assert_eq!(names.len(), 2, "{names:?}");
    let partition = names.iter().find(|name| name.starts_with(project.path("past/by_counter/counter=a"))).unwrap();
    assert_eq!(common::count(&duckdb(), &format!("SELECT * FROM read_parquet({})", literal(partition))), 1);

    // what is there stays there
    let before = everything_but(&project, "nothing");
    for (dir, said) in [
        ("past", "counters.parquet exists"),
        ("out", "is where the project itself publishes"),
        (".foldline/x", "is a folder that foldline keeps"),
        ("out/by_counter/x", "is a folder that foldline keeps"),
    ] {
        let found = project.foldline(&["run", "--target-dir", dir]).exits(2);
        assert!(found.stderr.contains(said), "{}", found.stderr);
    }
    assert!(before == everything_but(&project, "nothing"));
}

#[test]
fn two_targets_of_one_name_cannot_lie_in_one_folder() {
    let project = small(&[event("a", 1, "01", "1")]);
    project.write("foldline.toml", PROJECT.replace("out/by_counter\"\npartition_by = [\"counter\"]", "other/counters.parquet\""));
    let found = project.foldline(&["run", "--target-dir", "past"]).exits(2);
    assert!(found.stderr.contains("two targets would both be"), "{}", found.stderr);
    project.foldline(&["run", "--target-dir", "past", "-s", "by_counter", "-q"]).exits(0);
}

#[test]
fn what_is_no_time_and_no_position_is_a_usage_error() {
    let project = small(&[event("a", 1, "01", "1")]);
    let found = project.foldline(&["run", "--as-of", "yesterday"]).exits(2);
    assert!(found.stderr.contains("`--as-of yesterday`: a time such as 2024-03-01T12:00:00Z or a position"), "{}", found.stderr);
    // as a variable, too; an empty one is none
    project.foldline(&["run", "-q"]).exits(0);
    assert_eq!(
        common::output(project.command(&["run", "-s", "counters"]).env("FOLDLINE_AS_OF", "2024-01-02")).exits(0).stdout.lines().count(),
        3
    );
    common::output(project.command(&["run"]).env("FOLDLINE_AS_OF", "").env("FOLDLINE_TARGET_DIR", "")).exits(0);
}
