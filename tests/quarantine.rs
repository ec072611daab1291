//! `on_bad_record = "quarantine"`: what could not be applied is set aside with what follows it, everything else goes on.

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use common::random::Random;
use common::{Output, Project};

/// A key within a stream with rules that can fail, one that spans streams, and an event table.
const PROJECT: &str = r#"
[project]
name = "aside"

[source.log]
files  = ["events/*.ndjson", "events/*.gz"]
on_bad_record = "quarantine"

[event.Added]
amount = "BIGINT NOT NULL"
part   = "VARCHAR DEFAULT 'a'"

[[upcast]]
type = "Added"
when = "data.old IS NOT NULL"
set  = { amount = "data.old::BIGINT" }

[aggregate.counter]
source = "log"
stream = "counter-{counter}"
[aggregate.counter.state]
trail = "BIGINT DEFAULT 0"
small = "TINYINT DEFAULT 0"
[[aggregate.counter.on.Added]]
set.trail = "(trail * 31 + event.version * data.amount) % 1000003"
[[aggregate.counter.on.Added]]
set.small = "data.amount::TINYINT"
[aggregate.counter.rows.steps]
amount = "BIGINT"
[[aggregate.counter.before]]
emit.steps = { amount = "trail" }

[aggregate.total]
source = "log"
key    = { part = "nullif(data.part, 'none')" }
[aggregate.total.state]
trail = "BIGINT DEFAULT 0"
last  = "VARCHAR"
[[aggregate.total.on.Added]]
set.trail = "(trail * 31 + data.amount) % 1000003"
set.last  = "event.stream || '@' || event.version"
[[aggregate.total.on.Added]]
when = "data.part = 'odd' AND data.amount % 2 = 0"
fail = "'an even amount of part odd'"
[aggregate.total.on.Wiped]
all = true
set.trail = "trail + 7"

[read_model.counters]
sql = "SELECT counter, trail, small, _events, _version FROM counter"
[[read_model.counters.to]]
parquet = "out/counters.parquet"

[read_model.steps]
sql = "SELECT counter, amount, _version FROM counter.steps"
[[read_model.steps.to]]
parquet = "out/steps.parquet"

[read_model.totals]
sql = "SELECT part, trail, last, _events FROM total"
[[read_model.totals.to]]
parquet = "out/totals.parquet"

[read_model.added]
sql = 'SELECT amount, _stream, _version FROM events."Added"'
[[read_model.added.to]]
parquet = "out/added.parquet"
"#;

const TARGETS: [&str; 4] = ["counters", "steps", "totals", "added"];

fn targets(project: &Project) -> BTreeMap<&'static str, Vec<u8>> {
    project.parquet_of(TARGETS)
}

#[track_caller]
fn assert_same(found: &Project, expected: &Project, what: &str) {
    for ((name, found), expected) in targets(found).into_iter().zip(targets(expected).into_values()) {
        assert!(found == expected, "{name} differs: {what}");
    }
}

fn event(stream: &str, version: i64, data: &str) -> String {
    format!(r#"{{"stream_id":"{stream}","type":"Added","version":{version},"data":{data}}}"#) + "\n"
}

fn added(stream: &str, version: i64) -> String {
    event(stream, version, &format!(r#"{{"amount":{},"part":"{}"}}"#, version * 7 % 23, ["a", "b"][version as usize % 2]))
}

fn number(value: &serde_json::Value) -> u64 {
    value.as_u64().unwrap_or_else(|| panic!("{value} is no number"))
}

/// Checks a report's sums and exit code; gives what is in quarantine after the run.
#[track_caller]
fn adds_up(output: &Output, what: &str) -> u64 {
    let report = output.json();
    let sources = report["sources"].as_array().unwrap();
    let sum = |name: &str| -> u64 { sources.iter().map(|s| number(&s[name])).sum() };
    assert_eq!(sum("records"), sum("decoded") + sum("empty") + sum("bad"), "{what}: {report:#}");
    let gone: u64 = report["events"].as_object().unwrap().values().map(number).sum();
    assert_eq!(sum("events") + sum("pending_before"), gone, "{what}: {report:#}");
    let left = sum("in_quarantine");
    let aside = left + number(&report["events"]["pending"]) + number(&report["events"]["late"]) + sum("holes_passed");
    let code = if aside > 0 { 3 } else { 0 };
    assert_eq!(output.code, Some(code), "{what}: {}", output.stderr);
    assert_eq!(report["exit_code"], code, "{what}");
    left
}

/// What `quarantine list --json` says, and the exit code 0.
fn listed(project: &Project) -> Vec<serde_json::Value> {
    project.foldline(&["quarantine", "list", "--json"]).exits(0).json()["quarantine"].as_array().unwrap().clone()
}

/// Place, stream, kind, row and whether it follows, of each entry.
fn brief(project: &Project) -> Vec<String> {
    let text = |value: &serde_json::Value| value.as_str().unwrap_or("-").to_string();
    let line = |q: &serde_json::Value| {
        let row = if q["aggregate"].is_null() { String::new() } else { format!(" {} {}", text(&q["aggregate"]), text(&q["key"])) };
        format!("{}:{} {} {}{row}", text(&q["file"]), q["line"], text(&q["stream"]), text(&q["kind"]))
    };
    listed(project).iter().map(line).collect()
}

/// One log with something of each kind.
fn log() -> Vec<String> {
    vec![
        added("counter-1", 1),                                              // 1
        added("counter-2", 1),                                              // 2
        "{\"stream_id\":\"counter-3\",\"type\"\n".into(),                   // 3: no JSON
        event("counter-1", 2, r#"{"amount":null}"#),                        // 4: contract
        added("counter-2", 2),                                              // 5
        added("counter-1", 3),                                              // 6: follows 4
        "\n".into(),                                                        // 7
        event("counter-4", 1, r#"{"amount":1,"part":"none"}"#),             // 8: no key
        event("counter-5", 1, r#"{"amount":1}"#),                           // 9
        event("counter-5", 2, r#"{"amount":1000}"#),                        // 10: overflow on counter 5
        event("counter-5", 3, r#"{"amount":3}"#),                           // 11: follows 10 on counter 5
        event("counter-6", 1, r#"{"amount":3,"part":"odd"}"#),              // 12
        event("counter-6", 2, r#"{"amount":4,"part":"odd"}"#),              // 13: `fail` on total odd
        event("counter-6", 3, r#"{"amount":5,"part":"odd"}"#),              // 14: follows 13 on total odd
        event("counter-2", 2, r#"{"amount":99}"#),                          // 15: conflict
        added("counter-2", 3),                                              // 16: follows 15
        event("counter-1", 2, r#"{"amount":null}"#),                        // 17: 4 again
        "{\"stream_id\":\"counter-7\",\"version\":1,\"data\":{}}\n".into(), // 18: no type
        added("counter-7", 2),                                              // 19: follows 18
    ]
}

const EXPECTED: [(usize, &str); 12] = [
    (3, "- not JSON"),
    (4, "counter-1 contract"),
    (6, "counter-1 follows"),
    (8, "counter-4 key"),
    (10, "counter-5 fold counter 5"),
    (11, "counter-5 follows counter 5"),
    (13, "counter-6 fold total odd"),
    (14, "counter-6 follows total odd"),
    (15, "counter-2 conflict"),
    (16, "counter-2 follows"),
    (18, "counter-7 envelope"),
    (19, "counter-7 follows"),
];

fn expected(file: &str) -> Vec<String> {
    EXPECTED.iter().map(|(line, what)| format!("{file}:{line} {what}")).collect()
}

#[test]
fn each_kind_is_set_aside_with_what_follows_and_the_rest_is_published() {
    let project = Project::new(PROJECT);
    project.write("events/1.ndjson", log().concat());
    let output = project.foldline(&["run", "--json"]);
    assert_eq!(adds_up(&output, "one run"), 12);
    let report = output.json();
    assert_eq!(report["outcome"], "published_with_quarantine");
    // 3 records follow in streams; on rows two fail and two follow
    assert_eq!(report["events"]["quarantined"], 7);
    assert_eq!(report["sources"][0]["bad"], 6);
    assert_eq!(brief(&project), expected("events/1.ndjson"));

    // what was sound, as a log of its own; what a row stands still at is left out of that aggregate only
    let db = common::duckdb();
    let rows = |name: &str, columns: &str| format!("SELECT {columns} FROM '{}'", project.path(&format!("out/{name}.parquet")).display());
    common::assert_same_rows(
        &db,
        &rows("counters", "counter, _events, _version, small"),
        "SELECT * FROM (VALUES ('1', 1::BIGINT, 1::BIGINT, 7::TINYINT), ('2', 2, 2, 14), ('5', 1, 1, 1), ('6', 3, 3, 5)) t(counter, _events, _version, small)",
    );
    common::assert_same_rows(
        &db,
        &rows("totals", "part, _events, last"),
        "SELECT * FROM (VALUES ('a', 4::BIGINT, 'counter-5@3'), ('b', 2, 'counter-2@1'), ('odd', 1, 'counter-6@1')) t(part, _events, last)",
    );
    // no step is given out for an event that failed behind it
    common::assert_same_rows(
        &db,
        &rows("steps", "counter, _version"),
        "SELECT * FROM (VALUES ('1', 1::BIGINT), ('2', 1), ('2', 2), ('5', 1), ('6', 1), ('6', 2), ('6', 3)) t(counter, _version)",
    );
    let events = "SELECT * FROM (VALUES ('counter-1', 1::BIGINT), ('counter-2', 1), ('counter-2', 2), ('counter-5', 1), ('counter-5', 2), ('counter-5', 3), ('counter-6', 1), ('counter-6', 2), ('counter-6', 3)) t(_stream, _version)";
    common::assert_same_rows(&db, &rows("added", "_stream, _version"), events);

    let again = project.foldline(&["run", "--json"]);
    assert_eq!(adds_up(&again, "nothing new"), 12);
    assert_eq!(again.json()["outcome"], "nothing_new");
    project.foldline(&["verify"]).exits(0);
}

#[test]
fn places_are_those_of_the_unpacked_file_also_in_later_chunks() {
    let mut lines: Vec<String> =
        (1..=6000).map(|n| event("counter-9", n, &format!(r#"{{"amount":{},"part":"{}"}}"#, n % 100, "x".repeat(60)))).collect();
    lines.insert(4000, "no json\n".into());
    lines.insert(5500, event("counter-8", 1, "{}"));
    let whole = lines.concat();
    assert!(whole.len() > 3 * (256 << 10), "several chunks");
    let byte = |line: usize| lines[..line - 1].iter().map(String::len).sum::<usize>();
    for file in ["events/1.ndjson", "events/1.gz"] {
        let project = Project::new(PROJECT);
        if file.ends_with(".gz") {
            project.write(file, common::gzip(&whole));
        } else {
            // in two runs, the second one from the middle of the file
            project.write(file, &whole[..byte(3000)]);
            project.foldline(&["run"]).exits(0);
            project.write(file, &whole);
        }
        project.foldline(&["run"]).exits(3);
        let places: Vec<_> = listed(&project).iter().map(|q| (number(&q["line"]) as usize, number(&q["byte"]) as usize)).collect();
        assert_eq!(places, [(4001, byte(4001)), (5501, byte(5501))], "{file}");
        for (line, byte) in places {
            let shown = project.foldline(&["quarantine", "show", &format!("{file}:{line}"), "--json"]).exits(0).json();
            assert_eq!(shown["quarantine"][0]["record"], lines[line - 1].trim_end(), "{file}");
            assert_eq!(&whole[byte..byte + lines[line - 1].len()], lines[line - 1]);
        }
    }
}

#[test]
fn a_project_or_log_that_is_mended_gives_what_would_have_been_without_the_fault() {
    let project = Project::new(PROJECT);
    let right = Project::new(PROJECT);
    let sound: Vec<String> =
        vec![added("counter-1", 1), event("counter-1", 2, r#"{"amount":5000}"#), added("counter-1", 3), added("counter-2", 1)];
    project.write("events/1.ndjson", sound.concat());
    project.foldline(&["run"]).exits(3);
    let wider = |project: &Project| {
        let text = PROJECT.replace("small = \"TINYINT", "small = \"INTEGER").replace("data.amount::TINYINT", "data.amount::INTEGER");
        project.write("foldline.toml", text);
    };
    // nothing is mended yet: the same is left
    assert_eq!(adds_up(&project.foldline(&["quarantine", "retry", "--json"]), "nothing mended"), 2);
    assert_eq!(brief(&project), ["events/1.ndjson:2 counter-1 fold counter 1", "events/1.ndjson:3 counter-1 follows counter 1"]);
    wider(&project);
    wider(&right);
    right.write("events/1.ndjson", sound.concat());
    right.foldline(&["run"]).exits(0);
    let output = project.foldline(&["quarantine", "retry", "--json"]);
    assert_eq!(adds_up(&output, "mended"), 0);
    assert_eq!(output.json()["sources"][0]["in_quarantine_before"], 2);
    assert_same(&project, &right, "after the project file was mended");
    let output = project.foldline(&["quarantine", "retry"]).exits(0);
    assert_eq!(output.stderr, "nothing is in quarantine\n");
    project.foldline(&["verify"]).exits(0);
}

#[test]
fn a_retry_folds_what_is_mended_and_leaves_the_rest() {
    let project = Project::new(PROJECT);
    project.write("events/1.ndjson", log().concat());
    project.foldline(&["run"]).exits(3);
    let text = PROJECT.replace("small = \"TINYINT", "small = \"INTEGER").replace("data.amount::TINYINT", "data.amount::INTEGER");
    let mended = text.replace("amount = \"BIGINT NOT NULL\"", "amount = \"BIGINT DEFAULT 3\"");
    project.write("foldline.toml", &mended);
    let output = project.foldline(&["quarantine", "retry", "--source", "log", "--json"]);
    assert_eq!(adds_up(&output, "half of it is mended"), 8);
    assert_eq!(output.json()["command"], "quarantine retry");
    let left = brief(&project);
    let gone = ["events/1.ndjson:4 ", "events/1.ndjson:6 ", "events/1.ndjson:10 ", "events/1.ndjson:11 "];
    let expected: Vec<String> =
        expected("events/1.ndjson").into_iter().filter(|entry| !gone.iter().any(|place| entry.starts_with(place))).collect();
    assert_eq!(left, expected);
    let right = Project::new(&mended);
    right.write("events/1.ndjson", log().concat());
    right.foldline(&["run"]).exits(3);
    assert_same(&project, &right, "after half of it was mended");
    assert_same_quarantine(&project, &right, "after half of it was mended");
    let said = project.foldline(&["quarantine", "retry", "--source", "shop"]).exits(2).stderr;
    assert!(said.contains("there is no source `shop`"), "{said}");
}

#[test]
fn a_log_that_is_mended_where_it_was_wrong_gives_what_would_have_been_without_the_fault() {
    let sound: Vec<String> = (1..=9).flat_map(|version| [added("counter-1", version), added("counter-2", version)]).collect();
    let mut wrong = sound.clone();
    wrong[2] = "{\"stream_id\":\n".into();
    wrong[7] = event("counter-2", 4, r#"{"amount":"seven"}"#);
    let (project, right) = (Project::new(PROJECT), Project::new(PROJECT));
    for (name, from, to) in [("events/1.ndjson", 0, 6), ("events/1.ndjson", 6, 11), ("events/2.ndjson", 11, 18)] {
        project.append(name, wrong[from..to].concat());
        right.append(name, sound[from..to].concat());
        let output = project.foldline(&["run", "--json"]).exits(3);
        adds_up(&output, "not mended");
        right.foldline(&["run"]).exits(0);
    }
    assert_eq!(listed(&project).len(), 7);
    project.write("events/1.ndjson", sound[..11].concat());
    project.foldline(&["run"]).exits(10);
    let output = project.foldline(&["quarantine", "retry", "--json"]);
    assert_eq!(adds_up(&output, "mended"), 0);
    assert_eq!(output.json()["events"]["folded"], 18);
    assert_same(&project, &right, "after the log was mended");
    // what was consumed is known by its new content
    project.append("events/2.ndjson", added("counter-1", 10));
    right.append("events/2.ndjson", added("counter-1", 10));
    adds_up(&project.foldline(&["run", "--json"]), "goes on");
    right.foldline(&["run"]).exits(0);
    assert_same(&project, &right, "when the mended log went on");
    project.foldline(&["verify"]).exits(0);
}

#[test]
fn a_retry_accepts_no_change_of_another_source() {
    let other = "[source.other]\nfiles = [\"other/*.ndjson\"]\n\n[aggregate.others]\nsource = \"other\"\nkey = { kind = \"event.type\" }\n";
    let other = format!(
        "{other}[aggregate.others.state]\nn = \"BIGINT DEFAULT 0\"\n[aggregate.others.on.\"*\"]\nset.n = \"n + 1\"\n\n[event.Added]"
    );
    let project = Project::new(&PROJECT.replace("[event.Added]", &other));
    project.write("events/1.ndjson", event("counter-1", 1, "{}"));
    project.write("other/1.ndjson", added("counter-1", 1));
    project.foldline(&["run"]).exits(3);
    project.write("events/1.ndjson", added("counter-1", 1));
    project.write("other/1.ndjson", added("counter-1", 1).replace("Added", "Other"));
    let said = project.foldline(&["quarantine", "retry"]).exits(10).stderr;
    assert!(said.contains("other/1.ndjson"), "{said}");
    project.write("other/1.ndjson", added("counter-1", 1));
    project.foldline(&["quarantine", "retry"]).exits(0);
}

#[test]
fn the_event_that_fails_leaves_its_row_as_it_was() {
    let text = PROJECT.replace("set.trail = \"trail + 7\"", "set.trail = \"trail + 9223372036854775800\"");
    let project = Project::new(&text);
    let wiped = |stream: &str, version: i64| added(stream, version).replace("Added", "Wiped");
    let lines = [
        event("counter-1", 1, r#"{"amount":3,"part":"a"}"#),
        event("counter-2", 1, r#"{"amount":5,"part":"b"}"#),
        event("counter-1", 2, r#"{"amount":500,"part":"a"}"#), // 3: its first rule has changed the row of counter
        event("counter-3", 1, r#"{"amount":500,"part":"c"}"#), // 4: on a row that is new
        event("counter-1", 3, r#"{"amount":6,"part":"c"}"#),   // 5: follows 3
        wiped("counter-2", 2),                                 // 6: overflows on `a` and `c`, not on `b`
        event("counter-2", 3, r#"{"amount":1,"part":"a"}"#),   // 7: follows 6 on `a`
        wiped("counter-2", 4),                                 // 8: follows 6, and overflows on `b`
    ];
    project.write("events/1.ndjson", lines.concat());
    adds_up(&project.foldline(&["run", "--json"]), "rows stand still");
    let expected = [
        "3 counter-1 fold counter 1",
        "4 counter-3 fold counter 3",
        "5 counter-1 follows counter 1",
        "6 counter-2 fold total a",
        "6 counter-2 fold total c",
        "7 counter-2 follows total a",
        "8 counter-2 follows total a",
        "8 counter-2 fold total b",
        "8 counter-2 follows total c",
    ];
    assert_eq!(brief(&project), expected.map(|entry| format!("events/1.ndjson:{entry}")));
    let db = common::duckdb();
    let rows =
        |name: &str, columns: &str| format!("SELECT {columns} FROM {}", common::literal(&project.path(&format!("out/{name}.parquet"))));
    common::assert_same_rows(
        &db,
        &rows("counters", "counter, trail, small, _events"),
        "SELECT * FROM (VALUES ('1', 3::BIGINT, 3::TINYINT, 1::BIGINT), ('2', 158, 1, 2)) t(counter, trail, small, _events)",
    );
    // 3 * 31 + 500, 500 * 31 + 6, 5 + 9223372036854775800
    common::assert_same_rows(
        &db,
        &rows("totals", "part, trail, _events"),
        "SELECT * FROM (VALUES ('a', 593::BIGINT, 2::BIGINT), ('c', 15506, 2), ('b', 9223372036854775805, 2)) t(part, trail, _events)",
    );
}

#[test]
fn a_row_that_was_deleted_by_the_event_that_fails_is_there_again() {
    let rules = "[aggregate.counter.rows.steps]";
    let failing = r#"
[[aggregate.counter.on.Added]]
when = "data.amount = 13"
delete = true
[[aggregate.counter.on.Added]]
when = "data.part = 'new'"
set.trail = "trail + 1"
[[aggregate.counter.after]]
when = "data.amount = 13"
fail = "'an amount of 13'"
"#;
    let project = Project::new(&PROJECT.replace(rules, &format!("{failing}{rules}")));
    let lines = [
        event("counter-1", 1, r#"{"amount":3}"#),
        event("counter-2", 1, r#"{"amount":4}"#),
        event("counter-1", 2, r#"{"amount":13}"#),
        event("counter-2", 2, r#"{"amount":13,"part":"new"}"#),
        event("counter-3", 1, r#"{"amount":5}"#),
    ];
    project.write("events/1.ndjson", lines.concat());
    assert_eq!(adds_up(&project.foldline(&["run", "--json"]), "two rows are deleted"), 2);
    let db = common::duckdb();
    let rows =
        |name: &str, columns: &str| format!("SELECT {columns} FROM {}", common::literal(&project.path(&format!("out/{name}.parquet"))));
    common::assert_same_rows(
        &db,
        &rows("counters", "*"),
        "SELECT * FROM (VALUES ('1', 3::BIGINT, 3::TINYINT, 1::BIGINT, 1::BIGINT), ('2', 4, 4, 1, 1), ('3', 5, 5, 1, 1)) t(counter, trail, small, _events, _version)",
    );
    let steps = "SELECT * FROM (VALUES ('1', 0::BIGINT), ('2', 0), ('3', 0)) t(counter, amount)";
    common::assert_same_rows(&db, &rows("steps", "counter, amount"), steps);
    project.foldline(&["verify"]).exits(0);
}

#[test]
fn a_bad_event_behind_a_hole_stops_its_stream_when_its_turn_comes() {
    let project = Project::new(&PROJECT.replace("on_bad_record", "on_gap = \"wait\"\non_bad_record"));
    project.write("events/1.ndjson", added("counter-1", 1) + &event("counter-1", 3, "{}") + &added("counter-1", 4));
    let output = project.foldline(&["run", "--json"]).exits(3);
    assert_eq!(output.json()["events"]["pending"], 1);
    assert_eq!(output.json()["sources"][0]["bad"], 1);
    assert_eq!(listed(&project).len(), 0);
    project.append("events/1.ndjson", added("counter-1", 2));
    let output = project.foldline(&["run", "--json"]);
    assert_eq!(adds_up(&output, "the hole is filled"), 2);
    assert_eq!((&output.json()["events"]["folded"], &output.json()["events"]["quarantined"]), (&1.into(), &1.into()));
    assert_eq!(brief(&project), ["events/1.ndjson:2 counter-1 contract", "events/1.ndjson:3 counter-1 follows"]);
    let byte = added("counter-1", 1).len();
    assert_eq!(listed(&project)[0]["byte"], byte, "kept while the record waited");
    // one that waits alone is something that waits, too
    let alone = Project::new(&fs::read_to_string(project.path("foldline.toml")).unwrap());
    alone.write("events/1.ndjson", added("counter-1", 1) + &event("counter-2", 2, "{}"));
    alone.foldline(&["run"]).exits(3);
    alone.foldline(&["run"]).exits(3);
}

#[test]
fn a_record_that_comes_again_is_a_duplicate_and_not_set_aside_twice() {
    let project = Project::new(PROJECT);
    let bad = event("counter-1", 2, "{}");
    project.write("events/1.ndjson", added("counter-1", 1) + &bad + &added("counter-1", 3));
    project.foldline(&["run"]).exits(3);
    project.append("events/1.ndjson", added("counter-1", 3) + &bad + &added("counter-1", 1));
    let output = project.foldline(&["run", "--json"]);
    assert_eq!(adds_up(&output, "all three come again"), 2);
    assert_eq!(output.json()["events"]["duplicates"], 2);
    assert_eq!(output.json()["events"]["quarantined"], 0);
}

#[test]
fn holes_wait_only_while_a_record_that_nobody_can_read_may_have_left_them() {
    let project = Project::new(PROJECT);
    project.write("events/1.ndjson", added("counter-1", 1) + "{\n" + &added("counter-1", 3) + &added("counter-2", 1));
    let output = project.foldline(&["run", "--json"]);
    assert_eq!(adds_up(&output, "one version is not to be read"), 1);
    assert_eq!(output.json()["events"]["pending"], 1);
    let sound = Project::new(PROJECT);
    sound.write("events/1.ndjson", added("counter-1", 1) + &added("counter-1", 3) + &event("counter-2", 1, "{}"));
    let said = sound.foldline(&["run"]).exits(65).stderr;
    assert!(said.contains("stream `counter-1` jumps from version 1 to 3"), "{said}");
}

#[test]
fn what_the_kept_generations_have_in_quarantine_is_not_collected() {
    let project = Project::new(PROJECT);
    let files = || common::files_below(&project.path(".foldline/quarantine")).len();
    for n in 1..=20 {
        project.append("events/1.ndjson", event(&format!("counter-{n}"), 1, "{}"));
        project.foldline(&["run"]).exits(3);
        project.age_generations();
        assert_eq!(listed(&project).len(), n);
        // sixteen small files are made one; the generations before still need theirs
        assert!(if n < 16 { files() == n } else { files() > 1 }, "{n}");
    }
    assert_eq!(quarantine_files(&project).len(), 5);
    // a replay writes them anew, and the old ones go with the generations that name them
    for _ in 0..4 {
        project.foldline(&["rebuild"]).exits(3);
        project.age_generations();
    }
    project.foldline(&["run"]).exits(3);
    assert_eq!(files(), 3);
    assert_eq!(listed(&project).len(), 20);
}

#[test]
fn a_run_that_dies_before_its_commit_leaves_the_quarantine_as_it_was() {
    let project = Project::new(PROJECT);
    project.write("events/1.ndjson", added("counter-1", 1) + &event("counter-1", 2, "{}"));
    project.foldline(&["run"]).exits(3);
    project.append("events/1.ndjson", added("counter-1", 3) + &event("counter-2", 1, "{}"));
    for point in ["commit.before_manifest", "publish.after_manifest"] {
        let before = brief(&project);
        let mut command = project.command(&["run"]);
        command.env("FOLDLINE_FAILPOINT", point);
        assert_ne!(common::output(&mut command).code, Some(3), "{point}");
        if point == "commit.before_manifest" {
            assert_eq!(brief(&project), before);
        }
    }
    project.foldline(&["run"]).exits(3);
    let expected = ["2 counter-1 contract", "3 counter-1 follows", "4 counter-2 contract"];
    assert_eq!(brief(&project), expected.map(|entry| format!("events/1.ndjson:{entry}")));
}

#[test]
fn what_is_said_of_the_quarantine() {
    let project = Project::new(PROJECT);
    project.foldline(&["quarantine", "list"]).exits(0);
    let mut lines: Vec<Vec<u8>> = log().into_iter().map(String::into_bytes).collect();
    lines.push(b"{\"stream_id\":\"counter-\xff\"}\n".to_vec());
    lines.push(event("counter-8", 1, "{\"amount\":\"\\u001b[31mred\"}").into_bytes());
    project.write("events/1.ndjson", lines.concat());
    let mut said = String::new();
    let commands: [(&[&str], i32); 9] = [
        (&["run"], 3),
        (&["run"], 3),
        (&["quarantine", "list"], 0),
        (&["quarantine", "show", "2"], 0),
        (&["quarantine", "show", "counter-5"], 0),
        (&["quarantine", "show", "events/1.ndjson:20"], 0),
        (&["quarantine", "show", "nobody"], 2),
        (&["status"], 0),
        (&["check"], 0),
    ];
    for (args, code) in commands {
        let output = project.foldline(args).exits(code);
        assert!(!output.stdout.contains('\u{1b}') && !output.stderr.contains('\u{1b}'));
        said.push_str(&format!("$ foldline {}\n{}{}", args.join(" "), output.stdout, output.stderr));
    }
    let sizes = regex::Regex::new(r"\d+(\.\d+)? k?B|generation 1 of \S+|\d{4}-\d\d-\d\dT[\d:]+Z").unwrap();
    insta::assert_snapshot!(sizes.replace_all(&project.redact(&said), "[…]"));
    let shown = project.foldline(&["quarantine", "show", "events/1.ndjson:20", "--json"]).exits(0).json();
    assert_eq!(shown["quarantine"][0]["record_hex"].as_str().unwrap().matches("ff").count(), 1);
    let plan = project.foldline(&["plan", "--json"]).exits(0).json();
    assert_eq!(plan["sources"][0]["in_quarantine"], 14);
    let status = project.foldline(&["status", "--json"]).exits(0).json();
    assert_eq!(status["sources"][0]["in_quarantine"], 14);
}

/// What a line of a random log is.
#[derive(Clone, Copy, PartialEq, Debug)]
enum What {
    Sound {
        amount: i64,
        part: &'static str,
    },
    /// Concerns every row of `total`.
    Wiped,
    NotJson,
    NotUtf8,
    Contract,
    Upcast,
    NoType,
    NoVersion,
    Conflict,
}

#[derive(Clone, PartialEq, Debug)]
struct Line {
    stream: usize,
    version: i64,
    what: What,
    /// The line comes for the second time.
    again: bool,
}

impl Line {
    fn bytes(&self, position: usize, with_id: bool) -> Vec<u8> {
        let Line { stream, version, what, .. } = self;
        let (event_type, data) = match what {
            What::Sound { amount, part } => ("Added", format!(r#"{{"amount":{amount},"part":"{part}"}}"#)),
            What::Wiped => ("Wiped", "{}".into()),
            What::NotJson => ("Added", "{,}".into()),
            What::NotUtf8 => ("Added", "{\"part\":\"?\"}".into()),
            What::Contract | What::NoType | What::NoVersion => ("Added", r#"{"amount":true}"#.into()),
            What::Upcast => ("Added", r#"{"amount":1,"old":"many"}"#.into()),
            What::Conflict => ("Added", r#"{"amount":77}"#.into()),
        };
        let event_type = if *what == What::NoType { String::new() } else { format!(r#""type":"{event_type}","#) };
        let id = if with_id { format!(r#""id":"{position}","#) } else { String::new() };
        let version = if *what == What::NoVersion { "\"x\"".to_string() } else { version.to_string() };
        let text = format!(r#"{{"stream_id":"counter-{stream}",{id}{event_type}"version":{version},"position":{position},"data":{data}}}"#);
        let mut bytes = text.into_bytes();
        if *what == What::NotUtf8 {
            bytes.iter_mut().filter(|byte| **byte == b'?').for_each(|byte| *byte = 0xff);
        }
        bytes.push(b'\n');
        bytes
    }
}

/// Streams in order, with faults of all kinds, redeliveries and lost versions.
fn random_lines(random: &mut Random) -> Vec<Line> {
    let streams = 2 + random.below(5);
    let mut next = vec![1; streams];
    let mut holed = vec![false; streams];
    let mut lines: Vec<Line> = Vec::new();
    for _ in 0..20 + random.below(60) {
        let stream = random.below(streams);
        let version = next[stream];
        let fault = random.below(60);
        let what = match fault {
            0 => What::NotJson,
            1 => What::NotUtf8,
            2 => What::Contract,
            3 => What::Upcast,
            4 => What::NoType,
            5 => What::NoVersion,
            6 => What::Sound { amount: 1000, part: "a" },
            7 => What::Sound { amount: 4, part: "odd" },
            8 => What::Sound { amount: 4, part: "none" },
            9 | 10 if version > 1 && !holed[stream] => What::Conflict,
            11..=13 => What::Wiped,
            _ => What::Sound { amount: 1 + 2 * random.below(40) as i64, part: ["a", "b", "c", "odd"][random.below(4)] },
        };
        if fault >= 56 && !lines.is_empty() {
            let mut again = lines[random.below(lines.len())].clone();
            if !matches!(again.what, What::NotJson | What::NotUtf8 | What::NoVersion | What::Conflict) {
                again.again = true;
                lines.push(again);
            }
            continue;
        }
        let version = if what == What::Conflict { version - 1 } else { version };
        lines.push(Line { stream, version, what, again: false });
        // the version of a record that nobody can read is lost, or comes again
        let unread = matches!(what, What::NotJson | What::NotUtf8 | What::NoVersion);
        let lost = unread && random.below(2) == 0;
        holed[stream] |= lost;
        next[stream] += (what != What::Conflict && (lost || !unread)) as i64;
    }
    lines
}

/// What a log comes to, said independently: the entries of the quarantine as [`brief`] shows them, without the file,
/// and what the event table has.
#[derive(Default)]
struct Model {
    /// By stream: the last version, what it was, and whether the stream stands still.
    last: BTreeMap<usize, (i64, usize)>,
    stopped: BTreeSet<usize>,
    counters: BTreeSet<usize>,
    totals: BTreeSet<&'static str>,
    held: BTreeSet<(usize, i64)>,
    entries: Vec<String>,
    events: Vec<(usize, i64)>,
}

impl Model {
    /// `number`: from 1, of the line; `first`: of the line that it repeats.
    fn line(&mut self, number: usize, first: usize, line: &Line) {
        let Line { stream, version, what, .. } = line;
        let name = format!("counter-{stream}");
        match what {
            What::NotJson | What::NotUtf8 => return self.entries.push(format!("{number} - not JSON")),
            // it cannot be told where in its stream it stands
            What::NoVersion => {
                self.stopped.insert(*stream);
                return self.entries.push(format!("{number} {name} envelope"));
            }
            _ => {}
        }
        let bad = match what {
            What::Contract => Some("contract"),
            What::Upcast => Some("upcast"),
            What::NoType => Some("envelope"),
            What::Sound { part: "none", .. } => Some("key"),
            _ => None,
        };
        let (last, at) = self.last.get(stream).copied().unwrap_or_default();
        if *version > last + 1 {
            self.held.insert((*stream, *version));
            return;
        }
        if *version <= last {
            if *version == last && at != first && bad.is_none() {
                self.stopped.insert(*stream);
                self.entries.push(format!("{number} {name} conflict"));
            }
            return;
        }
        self.last.insert(*stream, (*version, first));
        if let Some(kind) = bad {
            self.stopped.insert(*stream);
            self.entries.push(format!("{number} {name} {kind}"));
        } else if self.stopped.contains(stream) {
            self.entries.push(format!("{number} {name} follows"));
        } else {
            self.fold(number, *stream, *what);
            if *what != What::Wiped {
                self.events.push((*stream, *version));
            }
        }
    }

    fn fold(&mut self, number: usize, stream: usize, what: What) {
        let mut row = |aggregate: &str, key: &str, stopped: bool, fails: bool| {
            if stopped || fails {
                let kind = if stopped { "follows" } else { "fold" };
                self.entries.push(format!("{number} counter-{stream} {kind} {aggregate} {key}"));
            }
        };
        match what {
            What::Sound { amount, part } => {
                let (small, even) = (amount > 127, part == "odd" && amount % 2 == 0);
                row("counter", &stream.to_string(), self.counters.contains(&stream), small);
                row("total", part, self.totals.contains(part), even);
                if small {
                    self.counters.insert(stream);
                }
                if even {
                    self.totals.insert(part);
                }
            }
            _ => self.totals.iter().for_each(|part| row("total", part, true, false)),
        }
    }
}

fn model(lines: &[Line]) -> Model {
    let mut model = Model::default();
    for (number, line) in lines.iter().enumerate() {
        let same = |other: &&Line| (other.stream, other.version, other.what) == (line.stream, line.version, line.what);
        let first = if line.again { lines.iter().position(|other| same(&other)).unwrap() } else { number };
        model.line(number + 1, first + 1, line);
    }
    model
}

/// The quarantine's files that the newest generation names.
fn quarantine_files(project: &Project) -> Vec<String> {
    let manifests = common::files_below(&project.path(".foldline/manifests"));
    let newest = manifests.iter().max_by_key(|path| path.file_stem().unwrap().to_str().unwrap().parse::<u64>().unwrap()).unwrap();
    let manifest: serde_json::Value = serde_json::from_slice(&fs::read(newest).unwrap()).unwrap();
    let files = manifest["sources"][0]["quarantine"]["files"].as_array().unwrap();
    files.iter().map(|file| format!(".foldline/{}", file["path"].as_str().unwrap())).collect()
}

/// Their rows, without the places, which depend on the files of the log.
fn quarantine_rows(project: &Project) -> Option<String> {
    let paths: Vec<String> = quarantine_files(project).iter().map(|file| common::literal(&project.path(file))).collect();
    let columns = "stream, version, type, kind, reason, aggregate, key, follows, record";
    (!paths.is_empty()).then(|| format!("SELECT {columns} FROM read_parquet([{}])", paths.join(", ")))
}

#[track_caller]
fn assert_same_quarantine(found: &Project, expected: &Project, what: &str) {
    match (quarantine_rows(found), quarantine_rows(expected)) {
        (None, None) => {}
        (Some(found), Some(expected)) => common::assert_same_rows(&common::duckdb(), &found, &expected),
        _ => panic!("{what}: only one has something in quarantine"),
    }
}

fn one_case(seed: u64) {
    let mut random = Random(seed);
    let lines = random_lines(&mut random);
    let dedupe = ["version", "version", "version", "none", "position", "id"][random.below(6)];
    let on_gap = if dedupe == "version" { ["fail", "wait", "skip"][random.below(3)] } else { "fail" };
    let text = PROJECT.replace("on_bad_record", &format!("dedupe = \"{dedupe}\"\non_gap = \"{on_gap}\"\non_bad_record"));
    let what = format!("seed {seed}, dedupe {dedupe}, on_gap {on_gap}");
    let mut log: Vec<Vec<u8>> = Vec::new();
    for (position, line) in lines.iter().enumerate() {
        let same = |other: &Line| (other.stream, other.version, other.what) == (line.stream, line.version, line.what);
        let first = if line.again { lines.iter().position(same).unwrap() } else { position };
        log.push(line.bytes(first, dedupe == "id"));
    }
    let whole = Project::new(&text);
    whole.write("events/1.ndjson", log.concat());
    let left = adds_up(&whole.foldline(&["run", "--json", "--threads", "1"]), &what);
    if dedupe == "version" && on_gap != "skip" {
        let model = model(&lines);
        let expected: Vec<String> = model.entries.iter().map(|entry| format!("events/1.ndjson:{entry}")).collect();
        assert_eq!(brief(&whole), expected, "{what}");
        let values: Vec<String> = model.events.iter().map(|(stream, version)| format!("('counter-{stream}', {version}::BIGINT)")).collect();
        if !values.is_empty() {
            let found = format!("SELECT _stream, _version FROM {}", common::literal(&whole.path("out/added.parquet")));
            let expected = format!("SELECT * FROM (VALUES {}) t(_stream, _version)", values.join(", "));
            common::assert_same_rows(&common::duckdb(), &found, &expected);
        }
    }

    let pieces = Project::new(&text);
    let mut cuts: Vec<usize> = (0..1 + random.below(4)).map(|_| random.below(log.len())).collect();
    cuts.extend([0, log.len()]);
    cuts.sort_unstable();
    cuts.dedup();
    let mut found = 0;
    for (piece, range) in cuts.windows(2).enumerate() {
        let file = if random.below(2) == 0 { "events/1.ndjson".to_string() } else { format!("events/{}.ndjson", piece + 2) };
        pieces.append(&file, log[range[0]..range[1]].concat());
        if random.below(4) == 0 {
            // a changed definition replays what was consumed, with its quarantine
            let text = fs::read_to_string(pieces.path("foldline.toml")).unwrap();
            pieces.write("foldline.toml", text.replace("set.last  = \"", "set.last  = \"'' || "));
        }
        let verb: &[&str] = if random.below(6) == 0 && found > 0 { &["quarantine", "retry"] } else { &["run"] };
        let threads = ["1", "2", "3"][random.below(3)];
        found = adds_up(&pieces.foldline(&[verb, &["--json", "--threads", threads]].concat()), &what);
    }
    // where a run ends is where holes are passed
    let of_its_own = on_gap == "skip";
    if !of_its_own {
        assert_eq!(found, left, "{what}");
        assert_same(&pieces, &whole, &what);
        assert_same_quarantine(&pieces, &whole, &what);
    }
    match random.below(3) {
        0 => drop(pieces.foldline(&["verify"]).exits(0)),
        1 => {
            let (published, kept) = (targets(&pieces), quarantine_rows(&pieces));
            let db = common::duckdb();
            if let Some(kept) = kept {
                db.execute_batch(&format!("CREATE TABLE kept AS {kept}")).unwrap();
            }
            assert_eq!(adds_up(&pieces.foldline(&["rebuild", "--json"]), &what), found, "{what}");
            assert!(targets(&pieces) == published, "{what}");
            if let Some(rebuilt) = quarantine_rows(&pieces) {
                common::assert_same_rows(&db, &rebuilt, "SELECT * FROM kept");
            }
        }
        _ => {}
    }
}

/// More with `FOLDLINE_QUARANTINE_CASES`, see `scripts/soak`.
#[test]
fn random_logs_with_faults_in_random_pieces_come_to_the_model_and_to_one_run() {
    let cases = std::env::var("FOLDLINE_QUARANTINE_CASES").map_or(10, |cases| cases.parse().unwrap());
    let first = std::env::var("FOLDLINE_SEED").map_or(0, |seed| seed.parse().unwrap());
    (first..first + cases).for_each(one_case);
}
