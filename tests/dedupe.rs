//! `dedupe = "position"`: exports that overlap, in whatever pieces and files, are folded once.

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;

use common::Project;

const PROJECT: &str = r#"
[project]
name = "positions"

[source.log]
files  = ["events/*.ndjson", "events/*.ndjson.gz"]
dedupe = "position"

[event.Added]
amount = "BIGINT NOT NULL"

[aggregate.counter]
source = "log"
stream = "counter-{counter}"
[aggregate.counter.state]
trail = "BIGINT DEFAULT 0"
[aggregate.counter.on.Added]
set.trail = "(trail * 31 + data.amount) % 1000003"

[aggregate.all]
source = "log"
key    = { all = "'x'" }
[aggregate.all.state]
trail = "BIGINT DEFAULT 0"
[aggregate.all.on.Added]
set.trail = "(trail * 31 + event.position) % 1000003"

[read_model.counters]
sql = "SELECT counter, trail, _events FROM counter"
[[read_model.counters.to]]
parquet = "out/counters.parquet"

[read_model.totals]
sql = 'SELECT "all", trail, _events FROM "all"'
[[read_model.totals.to]]
parquet = "out/totals.parquet"

[read_model.added]
sql = 'SELECT amount, _stream FROM events."Added"'
[[read_model.added.to]]
parquet = "out/added.parquet"
"#;

fn targets(project: &Project) -> BTreeMap<&'static str, Vec<u8>> {
    ["counters", "totals", "added"].map(|name| (name, fs::read(project.path(&format!("out/{name}.parquet"))).unwrap())).into()
}

fn event(position: i64) -> String {
    format!(r#"{{"stream_id":"counter-{}","type":"Added","position":{position},"data":{{"amount":{}}}}}"#, position % 3, position * 7 % 23)
        + "\n"
}

fn log(positions: std::ops::RangeInclusive<i64>) -> String {
    positions.map(event).collect()
}

fn gzip(text: &str) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(text.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

/// Folded and duplicate events of a run.
#[track_caller]
fn run(project: &Project, verb: &str) -> (u64, u64) {
    let report = project.foldline(&[verb, "--json", "--threads", "2"]).exits(0).json();
    let counts = report["events"].as_object().unwrap();
    let sum: u64 = counts.values().map(|count| count.as_u64().unwrap()).sum();
    assert_eq!(report["sources"][0]["events"], sum, "{report:#}");
    (counts["folded"].as_u64().unwrap(), counts["duplicates"].as_u64().unwrap())
}

#[test]
fn exports_that_overlap_are_folded_once_over_runs_rebuilds_and_compressed_files() {
    let whole = Project::new(PROJECT);
    whole.write("events/1.ndjson", log(-3..=60));
    assert_eq!(run(&whole, "run"), (64, 0));

    let pieces = Project::new(PROJECT);
    pieces.write("events/1.ndjson", log(-3..=20));
    assert_eq!(run(&pieces, "run"), (24, 0));
    pieces.write("events/2.ndjson.gz", gzip(&log(10..=40)));
    assert_eq!(run(&pieces, "run"), (20, 11));
    // a changed definition replays one aggregate; the other one goes on
    pieces.write("foldline.toml", PROJECT.replace("31 + event.position", "31 + 0 + event.position"));
    pieces.append("events/1.ndjson", log(35..=41) + &event(5));
    pieces.write("events/3.ndjson", log(30..=60));
    assert_eq!(run(&pieces, "run"), (20, 19));
    assert!(targets(&pieces) == targets(&whole));
    assert_eq!(run(&pieces, "rebuild"), (64, 30));
    assert!(targets(&pieces) == targets(&whole));
    pieces.append("events/3.ndjson", event(60) + &event(61));
    assert_eq!(run(&pieces, "run"), (1, 1));
}

#[test]
fn an_event_without_a_position_is_bad() {
    let project = Project::new(PROJECT);
    project.write("events/1.ndjson", event(1) + &event(2).replace(r#""position":2"#, r#""position":null"#));
    let output = project.foldline(&["run"]).exits(65);
    project.assert_nothing_published();
    insta::assert_snapshot!(project.redact(&output.stderr));
}
