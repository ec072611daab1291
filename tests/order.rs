//! `order = "position" | "time" | "version"`: logs whose files are not in order, in one run and in several.

mod common;

use std::collections::BTreeMap;
use std::fs;

use common::random::Random;
use common::{Project, adds_up, number};

/// Folds that tell in which order they saw their events: within a stream, across streams, with rows that go, rows that
/// are given out, and a rule for all rows.
const PROJECT: &str = r#"
[project]
name = "order"

[source.log]
files = ["events/*.ndjson"]
SOURCE

[event.Added]
amount = "BIGINT NOT NULL"
[event.Removed]
amount = "BIGINT NOT NULL"

[aggregate.counter]
source = "log"
stream = "counter-{counter}"
[aggregate.counter.state]
trail = "BIGINT DEFAULT 0"
[aggregate.counter.on.Added]
set.trail = "(trail * 31 + event.position + data.amount) % 1000003"
[aggregate.counter.on.Removed]
when   = "trail % 3 = 0"
delete = true

[aggregate.total]
source = "log"
key    = { part = "data.amount % 7" }
[aggregate.total.state]
trail = "BIGINT DEFAULT 0"
last  = "VARCHAR"
[aggregate.total.on.Added]
set.trail = "(trail * 31 + data.amount) % 1000003"
set.last  = "event.stream || '@' || event.position"
[[aggregate.total.on.Removed]]
delete = true
[[aggregate.total.on.Cleared]]
all       = true
set.trail = "trail + 1"

[aggregate.stepper]
source = "log"
key    = { part = "data.amount % 3" }
[aggregate.stepper.state]
trail = "BIGINT DEFAULT 0"
[aggregate.stepper.rows.step]
trail = "BIGINT"
[aggregate.stepper.on.Added]
set.trail = "(trail * 31 + data.amount) % 1000003"
[[aggregate.stepper.after]]
emit.step = { trail = "trail" }

[read_model.counters]
sql = "SELECT * FROM counter"
[[read_model.counters.to]]
parquet = "out/counters.parquet"

[read_model.totals]
sql = "SELECT * FROM total"
[[read_model.totals.to]]
parquet = "out/totals.parquet"

[read_model.steps]
sql = 'SELECT * FROM stepper.step'
[[read_model.steps.to]]
parquet = "out/steps.parquet"

[read_model.added]
sql = 'SELECT * FROM events."Added"'
[[read_model.added.to]]
parquet = "out/added.parquet"
"#;

const MODELS: [&str; 4] = ["counters", "totals", "steps", "added"];

fn project(source: &str) -> Project {
    Project::new(&PROJECT.replace("SOURCE", source))
}

fn targets(project: &Project) -> BTreeMap<&'static str, Vec<u8>> {
    project.parquet_of(MODELS)
}

#[track_caller]
fn assert_same(found: &Project, expected: &Project, what: &str) {
    for ((name, found), expected) in targets(found).into_iter().zip(targets(expected).into_values()) {
        assert!(found == expected, "{name} differs: {what}");
    }
}

fn shuffle<T>(random: &mut Random, items: &mut [T], reach: usize) {
    for i in 0..items.len() {
        let other = (i + random.below(reach)).min(items.len() - 1);
        items.swap(i, other);
    }
}

fn line(stream: usize, kind: &str, version: i64, position: i64) -> String {
    let amount = (position * 7 + version) % 23;
    line_at(stream, kind, version, position, position, amount)
}

fn line_at(stream: usize, kind: &str, version: i64, position: i64, time: i64, amount: i64) -> String {
    let (hour, minute, second) = (time / 3600, time / 60 % 60, time % 60);
    format!(
        r#"{{"stream_id":"counter-{stream}","type":"{kind}","version":{version},"position":{position},"time":"2026-01-01T{hour:02}:{minute:02}:{second:02}Z","data":{{"amount":{amount}}}}}"#
    ) + "\n"
}

/// A log in the order of its positions, which are 1, 3, 5, ….
fn log(random: &mut Random, count: usize) -> Vec<String> {
    let mut versions = [0i64; 6];
    (0..count)
        .map(|i| {
            let stream = random.below(versions.len());
            versions[stream] += 1;
            let kind = match random.below(12) {
                0 => "Cleared",
                1 | 2 => "Removed",
                3 => "Seen",
                _ => "Added",
            };
            line(stream, kind, versions[stream], 2 * i as i64 + 1)
        })
        .collect()
}

/// Every split of a log that is out of order comes to what the log in order comes to.
fn one_case(seed: u64) {
    let mut random = Random(seed);
    let what = format!("seed {seed}");
    let (sorted, plain) = [
        ("order = \"position\"\non_gap = \"wait\"", "on_gap = \"wait\""),
        ("order = \"time\"\ndedupe = \"none\"", "dedupe = \"none\""),
        ("order = \"position\"\ndedupe = \"position\"", "dedupe = \"position\""),
        ("order = \"time\"\non_gap = \"wait\"", "on_gap = \"wait\""),
    ][seed as usize % 4];
    let mut lines = log(&mut random, 60);
    if !sorted.contains("none") {
        for _ in 0..random.below(6) {
            let at = random.below(lines.len());
            lines.insert(at, lines[at].clone());
        }
    }
    let expected = project(plain);
    expected.write("events/1.ndjson", lines.concat());
    adds_up(&expected.foldline(&["run", "--json"]), &what);

    let reach = [3, 10, 60][random.below(3)];
    shuffle(&mut random, &mut lines, reach);
    let whole = project(sorted);
    let cut = random.below(lines.len());
    whole.write("events/1.ndjson", lines[cut..].concat());
    whole.write("events/2.ndjson", lines[..cut].concat());
    adds_up(&whole.foldline(&["run", "--json"]), &what);
    assert_same(&whole, &expected, &format!("{what}, in one run"));

    let pieces = project(sorted);
    let mut cuts: Vec<usize> = (0..1 + random.below(4)).map(|_| random.below(lines.len())).collect();
    cuts.extend([0, lines.len()]);
    cuts.sort_unstable();
    cuts.dedup();
    let mut events = 0;
    for (piece, range) in cuts.windows(2).enumerate() {
        let file = if random.below(2) == 0 { "events/5.ndjson".to_string() } else { format!("events/{}.ndjson", 9 - piece) };
        pieces.append(&file, lines[range[0]..range[1]].concat());
        if random.below(4) == 0 {
            let text = fs::read_to_string(pieces.path("foldline.toml")).unwrap();
            pieces.write("foldline.toml", text.replace("set.last  = \"", "set.last  = \"'' || "));
        }
        let output = pieces.foldline(&["run", "--json", "--threads", ["1", "2", "3"][random.below(3)]]);
        let report = adds_up(&output, &what);
        events += number(&report["sources"][0]["events"]);
    }
    assert_eq!(events, lines.len() as u64, "{what}");
    assert_same(&pieces, &expected, &format!("{what}, in pieces"));
    if random.below(3) == 0 {
        pieces.foldline(&["verify"]).exits(0);
        adds_up(&pieces.foldline(&["rebuild", "--json"]), &what);
        assert_same(&pieces, &expected, &format!("{what}, built anew"));
    }
}

#[test]
fn random_logs_out_of_order_in_random_pieces_equal_the_log_in_order() {
    (0..common::cases(12)).for_each(one_case);
}

/// Times say one thing, versions another: each stream keeps to its versions, and waits for that in the order of times.
fn one_contradiction(seed: u64) {
    let mut random = Random(seed);
    let what = format!("seed {seed}");
    let mut versions = [0i64; 4];
    let lines: Vec<String> = (0..40)
        .map(|i| {
            let stream = random.below(4);
            versions[stream] += 1;
            let kind = if random.below(6) == 0 { "Removed" } else { "Added" };
            line_at(stream, kind, versions[stream], i, i + random.below(12) as i64, i * 7 % 23)
        })
        .collect();
    let (whole, pieces) = (project("order = \"time\"\non_gap = \"wait\""), project("order = \"time\"\non_gap = \"wait\""));
    let mut shuffled = lines;
    shuffle(&mut random, &mut shuffled, 15);
    whole.write("events/1.ndjson", shuffled.concat());
    adds_up(&whole.foldline(&["run", "--json"]), &what);
    let mut at = 0;
    while at < shuffled.len() {
        let to = (at + 1 + random.below(20)).min(shuffled.len());
        pieces.append("events/1.ndjson", shuffled[at..to].concat());
        adds_up(&pieces.foldline(&["run", "--json"]), &what);
        at = to;
    }
    assert_same(&pieces, &whole, &what);
}

#[test]
fn versions_that_contradict_the_order_come_to_the_same_in_pieces() {
    (0..common::cases(8)).for_each(one_contradiction);
}

#[test]
fn a_log_larger_than_the_memory_is_sorted_by_way_of_the_disk() {
    let mut random = Random(99);
    let mut lines = log(&mut random, 3500);
    let (sorted, plain) = (project("order = \"position\""), project(""));
    plain.write("events/1.ndjson", lines.concat());
    plain.foldline(&["run"]).exits(0);
    shuffle(&mut random, &mut lines, 3500);
    sorted.write("events/1.ndjson", lines.concat());
    // an eighth of it is the sort's: less than the half megabyte of lines
    adds_up(&sorted.foldline(&["run", "--json", "--memory", "1MB"]), "little memory");
    assert_same(&sorted, &plain, "sorted on disk");
    assert!(common::files_below(&sorted.path(".foldline/staging")).is_empty());
}

fn of(report: &serde_json::Value, aggregate: &str) -> (u64, u64) {
    let found = report["aggregates"].as_array().unwrap().iter().find(|a| a["name"] == aggregate).unwrap();
    (number(&found["late_arrivals"]), number(&found["partitions_replayed"]))
}

#[test]
fn a_late_arrival_replays_the_partitions_that_it_touches() {
    let project = project("order = \"position\"\ndedupe = \"none\"");
    let events: String = (0..60).map(|i| line(i as usize % 20, "Added", 1, 10 * i + 10)).collect();
    project.write("events/1.ndjson", events);
    project.foldline(&["run"]).exits(0);
    // behind everything: nothing is late
    project.append("events/1.ndjson", line(3, "Added", 1, 900));
    let report = adds_up(&project.foldline(&["run", "--json"]), "in order");
    assert_eq!((of(&report, "counter"), of(&report, "total")), ((0, 0), (0, 0)));
    // behind the last event of its own row, not of the log
    project.append("events/1.ndjson", line(4, "Seen", 1, 899) + &line(25, "Added", 1, 5));
    let report = adds_up(&project.foldline(&["run", "--json"]), "another row");
    assert_eq!(of(&report, "counter"), (0, 0));
    assert_eq!(of(&report, "total"), (1, 1));
    project.append("events/1.ndjson", line(7, "Added", 1, 15) + &line(7, "Added", 1, 17));
    let output = project.foldline(&["run", "--json"]);
    let report = adds_up(&output, "late");
    assert_eq!(of(&report, "counter"), (2, 1));
    assert_eq!(of(&report, "stepper").1, 64, "rows that were given out: all of it");
    let warnings = report["warnings"].to_string();
    assert!(warnings.contains("aggregate `counter`: 2 late arrivals before what was folded; 1 partition of 64 folded again"), "{warnings}");
    let folded = |name: &str| report["aggregates"].as_array().unwrap().iter().find(|a| a["name"] == name).unwrap()["events_folded"].clone();
    assert_eq!(folded("stepper"), 64);
    assert!(number(&folded("counter")) < 20, "{report:#}");
    project.foldline(&["verify"]).exits(0);
}

#[test]
fn records_without_the_key_and_broken_ones_are_shown_where_they_lie() {
    let project = project("order = \"position\"\ndedupe = \"none\"");
    project.write("events/1.ndjson", line(1, "Added", 1, 30) + "\n{broken\n" + &line(1, "Added", 2, 10).replace("\"position\":10,", ""));
    project.write("events/2.ndjson", line(1, "Added", 1, 20) + &line(1, "Added", 1, 5).replace("\"amount\":", "\"other\":"));
    let output = project.foldline(&["run", "--json"]).exits(65);
    let report = output.json();
    let mut found: Vec<(String, u64, String)> = report["bad"]["first"]
        .as_array()
        .unwrap()
        .iter()
        .map(|bad| (bad["file"].as_str().unwrap().into(), number(&bad["line"]), bad["kind"].as_str().unwrap().into()))
        .collect();
    found.sort();
    let expected = [("events/1.ndjson", 3, "not JSON"), ("events/1.ndjson", 4, "envelope"), ("events/2.ndjson", 2, "contract")];
    assert_eq!(found, expected.map(|(file, line, kind)| (file.to_string(), line, kind.to_string())));
    assert!(report["bad"].to_string().contains("`position` is NULL, and `order = \\\"position\\\"` sorts by it"), "{report:#}");
    let source = &report["sources"][0];
    assert_eq!(["records", "decoded", "empty", "bad"].map(|part| number(&source[part])), [6, 2, 1, 3]);
}

#[test]
fn events_that_are_equal_in_the_order_are_folded_as_they_stand_in_the_log() {
    let (sorted, plain) = (project("order = \"time\"\ndedupe = \"none\""), project("dedupe = \"none\""));
    let at =
        |position: i64, stream: usize| line(stream, "Added", 1, position).replace("00Z", "07Z").replace(&format!("{position:02}Z"), "07Z");
    let lines: Vec<String> = [9, 3, 5, 1].iter().map(|position| at(*position, 1)).collect();
    for project in [&sorted, &plain] {
        project.write("events/1.ndjson", lines[..2].concat());
        project.foldline(&["run"]).exits(0);
        project.write("events/0.ndjson", lines[2..].concat());
        let report = adds_up(&project.foldline(&["run", "--json"]), "ties");
        assert_eq!(of(&report, "total"), (0, 0));
    }
    assert_same(&sorted, &plain, "all at one time");
}

#[test]
fn by_version_each_stream_is_in_order_without_waiting() {
    let mut random = Random(5);
    let mut lines = log(&mut random, 80);
    let (sorted, plain) = (project("order = \"version\""), project(""));
    plain.write("events/1.ndjson", lines.concat());
    plain.foldline(&["run"]).exits(0);
    shuffle(&mut random, &mut lines, 80);
    sorted.write("events/1.ndjson", lines.concat());
    sorted.foldline(&["run"]).exits(0);
    assert!(targets(&sorted)["counters"] == targets(&plain)["counters"]);
    let warnings = sorted.foldline(&["check"]).exits(0).stderr;
    assert!(warnings.contains("`total` spans streams"), "{warnings}");
}

#[test]
fn what_cannot_be_sorted_is_an_error_of_the_project() {
    for (source, expected) in [
        (
            "order = \"time\"\n[source.log.envelope]\ntime = \"NULL\"",
            "`order = \"time\"` sorts events by their time, but the envelope's `time` is NULL",
        ),
        ("order = \"time\"\ndedupe = \"position\"", "`dedupe = \"position\"` needs ascending positions"),
    ] {
        let output = project(source).foldline(&["check"]).exits(78);
        assert!(output.stderr.contains(expected), "{}", output.stderr);
    }
}

#[test]
fn plan_says_that_late_arrivals_cause_a_replay() {
    let project = project("order = \"position\"\ndedupe = \"none\"");
    project.write("events/1.ndjson", line(1, "Added", 1, 30));
    project.foldline(&["run"]).exits(0);
    project.append("events/1.ndjson", line(1, "Added", 1, 20));
    let said = project.foldline(&["plan"]).exits(0).stdout;
    assert!(said.contains("sorted by position"), "{said}");
}

#[test]
fn a_test_gives_its_events_in_any_order() {
    let text = PROJECT.replace("SOURCE", "order = \"position\"\ndedupe = \"none\"")
        + r#"
[[test]]
name  = "the later one counts"
given = [
  { stream = "counter-1", type = "Added", position = 9, data = { amount = 7 } },
  { stream = "counter-1", type = "Added", position = 4, data = { amount = 14 } },
]
then = { total = [{ part = 0, last = "counter-1@9" }] }
"#;
    Project::new(&text).foldline(&["test"]).exits(0);
}
