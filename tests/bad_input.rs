//! Bad input by the strict default: nothing is published, the exit code says why, and the message shows where.

mod common;

use std::fs::File;

use common::{Output, Project};

/// A counter: the smallest project with a contract and an aggregate that can overflow.
const COUNTER: &str = r#"
[project]
name = "counter"

[source.log]
files = ["events/*.ndjson"]

[event.Added]
amount = "INTEGER NOT NULL"
note   = "VARCHAR"

[aggregate.counter]
source = "log"
stream = "counter-{counter}"

[aggregate.counter.state]
total = "TINYINT DEFAULT 0"

[aggregate.counter.on.Added]
set.total = "total + data.amount"

[read_model.counters]
aggregate = "counter"

[[read_model.counters.to]]
parquet = "out/counters.parquet"
"#;

fn event(version: u64, data: &str) -> String {
    format!(r#"{{"stream_id":"counter-1","type":"Added","version":{version},"position":{version},"data":{data}}}"#) + "\n"
}

fn counter(log: &str) -> Project {
    let project = Project::new(COUNTER);
    project.write("events/log.ndjson", log);
    project
}

/// Runs the project, which must fail with this code and publish nothing; gives what it said.
#[track_caller]
fn refused(project: &Project, code: i32) -> String {
    let Output { stderr, stdout, .. } = project.foldline(&["run", "--threads", "2"]).exits(code);
    assert_eq!(stdout, "", "messages go to stderr");
    project.assert_nothing_published();
    project.redact(&stderr)
}

#[test]
fn good_input_is_published() {
    let project = counter(&(event(1, r#"{"amount":1}"#) + &event(2, r#"{"amount":2,"more":true}"#)));
    project.foldline(&["run"]).exits(0);
    assert!(project.path("out/counters.parquet").exists());
}

#[test]
fn a_line_that_is_not_json() {
    let project = counter(&(event(1, r#"{"amount":1}"#) + "{\"stream_id\": oops}\n" + &event(2, r#"{"amount":2}"#)));
    insta::assert_snapshot!(refused(&project, 65));
}

#[test]
fn a_record_that_is_not_an_object() {
    insta::assert_snapshot!(refused(&counter("[1, 2]\n"), 65));
}

#[test]
fn an_envelope_without_a_stream() {
    insta::assert_snapshot!(refused(&counter("{\"type\":\"Added\",\"version\":1,\"data\":{\"amount\":1}}\n"), 65));
}

#[test]
fn an_envelope_without_a_type() {
    insta::assert_snapshot!(refused(&counter("{\"stream_id\":\"counter-1\",\"version\":1,\"data\":{\"amount\":1}}\n"), 65));
}

#[test]
fn a_payload_without_a_field_that_its_contract_demands() {
    insta::assert_snapshot!(refused(&counter(&event(1, r#"{"note":"no amount"}"#)), 65));
}

#[test]
fn a_payload_with_a_field_of_another_type() {
    insta::assert_snapshot!(refused(&counter(&event(1, r#"{"amount":1.5}"#)), 65));
}

#[test]
fn an_overflow_in_a_fold() {
    let log: String = (1..=3).map(|version| event(version, r#"{"amount":60}"#)).collect();
    insta::assert_snapshot!(refused(&counter(&log), 65));
}

#[test]
fn a_gap_in_a_stream() {
    let project = counter(&(event(1, r#"{"amount":1}"#) + &event(3, r#"{"amount":3}"#)));
    insta::assert_snapshot!(refused(&project, 65));
}

#[test]
fn of_many_bad_lines_ten_are_shown_and_all_are_counted() {
    let log: String = (1..=25).map(|version| if version % 2 == 1 { "oops\n".into() } else { event(version, "{}") }).collect();
    insta::assert_snapshot!(refused(&counter(&log), 65));
}

#[test]
fn bad_input_after_good_runs_leaves_the_last_generation_live() {
    let project = counter(&event(1, r#"{"amount":1}"#));
    project.foldline(&["run"]).exits(0);
    let published = std::fs::read(project.path("out/counters.parquet")).unwrap();
    project.append("events/log.ndjson", "oops\n");
    project.foldline(&["run"]).exits(65);
    assert!(std::fs::read(project.path("out/counters.parquet")).unwrap() == published);

    // Mended, the log goes on from where it was.
    let mended = event(1, r#"{"amount":1}"#) + &event(2, r#"{"amount":2}"#);
    project.write("events/log.ndjson", mended);
    project.foldline(&["run"]).exits(0);
}

#[test]
fn the_json_report_of_a_failed_run_counts_its_bad_records() {
    let project = counter(&("oops\n".repeat(12) + &event(1, "{}")));
    let report = project.foldline(&["run", "--json"]).exits(65).json();
    assert_eq!(report["outcome"], "failed");
    assert_eq!(report["exit_code"], 65);
    assert_eq!(report["bad"]["total"], 13);
    assert_eq!(report["bad"]["first"].as_array().unwrap().len(), 10);
    assert_eq!(report["bad"]["first"][0]["line"], 1);
    project.assert_nothing_published();
}

#[test]
fn a_file_that_is_not_there() {
    let project = Project::new(&COUNTER.replace("events/*.ndjson", "events/log.ndjson"));
    insta::assert_snapshot!(refused(&project, 66));
}

#[test]
fn a_glob_that_matches_nothing() {
    insta::assert_snapshot!(refused(&Project::new(COUNTER), 66));
}

#[test]
fn a_compressed_file_that_is_cut() {
    let project = Project::new(&COUNTER.replace("*.ndjson", "*.ndjson.gz"));
    let whole = common::gzip(event(1, r#"{"amount":1}"#));
    project.write("events/log.ndjson.gz", &whole[..whole.len() - 6]);
    insta::assert_snapshot!(refused(&project, 65));
}

#[test]
fn a_project_file_that_is_not_there() {
    let project = Project::new(COUNTER);
    insta::assert_snapshot!(project.redact(&project.foldline(&["run", "-p", "other.toml"]).exits(66).stderr));
}

#[test]
fn a_project_file_with_an_unknown_key() {
    let project = Project::new(&COUNTER.replace("files =", "file ="));
    insta::assert_snapshot!(refused(&project, 78));
}

#[test]
fn a_project_file_with_an_unknown_column() {
    let project = Project::new(&COUNTER.replace("total + data.amount", "totl + data.amount"));
    insta::assert_snapshot!(refused(&project, 78));
}

#[test]
fn a_project_file_with_an_undeclared_payload_field() {
    let project = Project::new(&COUNTER.replace("total + data.amount", "total + data.amuont"));
    insta::assert_snapshot!(refused(&project, 78));
}

#[test]
fn a_check_that_fails_keeps_the_last_generation() {
    let check = "\n[[read_model.counters.check]]\nsql = \"SELECT * FROM counters WHERE total > 2\"\n";
    let project = Project::new(&(COUNTER.to_string() + check));
    project.write("events/log.ndjson", event(1, r#"{"amount":1}"#));
    project.foldline(&["run"]).exits(0);
    let published = std::fs::read(project.path("out/counters.parquet")).unwrap();
    project.append("events/log.ndjson", event(2, r#"{"amount":2}"#));
    let stderr = project.foldline(&["run"]).exits(14).stderr;
    insta::assert_snapshot!(project.redact(&stderr));
    assert!(std::fs::read(project.path("out/counters.parquet")).unwrap() == published);
}

#[test]
fn a_check_or_an_order_that_was_added_is_acted_on_without_new_events() {
    let other = event(1, r#"{"amount":5}"#).replace("counter-1", "counter-2");
    let project = counter(&(event(1, r#"{"amount":1}"#) + &other));
    project.foldline(&["run"]).exits(0);
    let published = std::fs::read(project.path("out/counters.parquet")).unwrap();
    project.write("foldline.toml", COUNTER.to_string() + "sort_by = [\"total DESC\"]\n");
    project.foldline(&["run"]).exits(0);
    assert!(std::fs::read(project.path("out/counters.parquet")).unwrap() != published);
    project.write(
        "foldline.toml",
        COUNTER.to_string() + "\n[[read_model.counters.check]]\nsql = \"SELECT * FROM counters WHERE total > 2\"\n",
    );
    project.foldline(&["run"]).exits(14);
}

#[test]
fn a_consumed_line_that_was_changed() {
    let project = counter(&(event(1, r#"{"amount":1}"#) + &event(2, r#"{"amount":2}"#)));
    project.foldline(&["run"]).exits(0);
    project.write("events/log.ndjson", event(1, r#"{"amount":7}"#) + &event(2, r#"{"amount":2}"#) + &event(3, r#"{"amount":3}"#));
    let stderr = project.foldline(&["run"]).exits(10).stderr;
    insta::assert_snapshot!(project.redact(&stderr));
}

#[test]
fn two_runs_at_once() {
    let project = counter(&event(1, r#"{"amount":1}"#));
    project.foldline(&["run"]).exits(0);
    project.append("events/log.ndjson", event(2, r#"{"amount":2}"#));

    let lock = File::options().write(true).open(project.path(".foldline/lock")).unwrap();
    lock.lock().unwrap();
    let stderr = project.foldline(&["run"]).exits(75).stderr;
    insta::assert_snapshot!(project.redact(&stderr));
    lock.unlock().unwrap();
    project.foldline(&["run"]).exits(0);
}
