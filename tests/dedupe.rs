//! How duplicates are told: by position, by id, by version, or not at all. Exports that overlap, in whatever pieces and
//! files, are folded once.

mod common;

use std::collections::BTreeMap;
use std::fs;

use common::random::Random;
use common::{Project, gzip};

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
    project.parquet_of(["counters", "totals", "added"])
}

fn event(position: i64) -> String {
    format!(r#"{{"stream_id":"counter-{}","type":"Added","position":{position},"data":{{"amount":{}}}}}"#, position % 3, position * 7 % 23)
        + "\n"
}

fn log(positions: std::ops::RangeInclusive<i64>) -> String {
    positions.map(event).collect()
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
    pieces.write("events/2.ndjson.gz", gzip(log(10..=40)));
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

/// A log whose versions and positions mean nothing: only the id says which events are the same.
fn by_id() -> String {
    PROJECT.replace("dedupe = \"position\"", "dedupe = \"id\"").replace("event.position", "event.position * 7 + data.amount")
}

/// The event of an id as one of its deliveries tells it; version, position and payload may be other ones each time.
fn delivery(id: usize, time: usize) -> String {
    format!(
        r#"{{"stream_id":"counter-{}","type":"{}","id":"id-{id}","version":{},"position":{},"data":{{"amount":{}}}}}"#,
        id % 7,
        if id % 5 == 4 { "Nobody" } else { "Added" },
        (id + time) % 3,
        (time * 13 + id) % 11,
        id * 7 % 23 + time % 2
    ) + "\n"
}

/// The ids that the newest manifest keeps: how many, and in how many files.
fn kept_ids(project: &Project) -> (u64, usize) {
    let newest = common::files_below(&project.path(".foldline/manifests"))
        .into_iter()
        .max_by_key(|path| path.file_stem().unwrap().to_str().unwrap().parse::<u64>().unwrap());
    let manifest: serde_json::Value = serde_json::from_str(&fs::read_to_string(newest.unwrap()).unwrap()).unwrap();
    let files = manifest["sources"][0]["ids"].as_array().unwrap();
    (files.iter().map(|file| file["rows"].as_u64().unwrap()).sum(), files.len())
}

fn one_case_by_id(seed: u64) {
    let mut random = Random(seed);
    let what = format!("seed {seed}");
    let log: Vec<usize> = (0..20 + random.below(200)).map(|_| random.below(60)).collect();
    let mut seen = std::collections::HashSet::new();
    let lines: Vec<(bool, String)> = log.iter().enumerate().map(|(time, id)| (seen.insert(*id), delivery(*id, time))).collect();
    let firsts: String = lines.iter().filter(|(is_first, _)| *is_first).map(|(_, line)| line.as_str()).collect();
    let expected = Project::new(&by_id().replace("dedupe = \"id\"", "dedupe = \"none\""));
    expected.write("events/1.ndjson", &firsts);
    expected.foldline(&["run"]).exits(0);

    let pieces = Project::new(&by_id());
    let mut cuts: Vec<usize> = (0..1 + random.below(4)).map(|_| random.below(lines.len())).collect();
    cuts.extend([0, lines.len()]);
    cuts.sort_unstable();
    cuts.dedup();
    for (piece, range) in cuts.windows(2).enumerate() {
        let mine = &lines[range[0]..range[1]];
        let text: String = mine.iter().map(|(_, line)| line.as_str()).collect();
        match random.below(3) {
            0 => pieces.write(&format!("events/{}.ndjson.gz", piece + 2), gzip(&text)),
            1 => pieces.write(&format!("events/{}.ndjson", piece + 2), &text),
            _ => pieces.append("events/1.ndjson", &text),
        }
        if random.below(3) == 0 {
            // a changed definition replays one aggregate; the other one goes on
            let file = fs::read_to_string(pieces.path("foldline.toml")).unwrap();
            pieces.write("foldline.toml", file.replace("31 + event", "31 + 0 + event"));
        }
        let report = pieces.foldline(&["run", "--json", "--threads", ["1", "2"][random.below(2)]]).exits(0).json();
        let duplicates = mine.iter().filter(|(is_first, _)| !is_first).count();
        assert_eq!(report["events"]["duplicates"], duplicates, "{what}");
        let events: u64 = report["events"].as_object().unwrap().values().map(|count| count.as_u64().unwrap()).sum();
        assert_eq!((events, &report["sources"][0]["events"]), (mine.len() as u64, &events.into()), "{what}");
    }
    assert_eq!(kept_ids(&pieces).0, seen.len() as u64, "{what}");
    assert!(targets(&pieces) == targets(&expected), "{what}");
    pieces.foldline(&["rebuild"]).exits(0);
    assert!(targets(&pieces) == targets(&expected), "{what}: a rebuild");
    assert_eq!(kept_ids(&pieces), (seen.len() as u64, 1), "{what}: a rebuild");
    pieces.foldline(&["verify"]).exits(0);
}

#[test]
fn by_id_random_logs_in_random_pieces_equal_the_log_without_its_duplicates() {
    common::seeds(3).for_each(one_case_by_id);
}

#[test]
fn the_files_of_many_runs_become_one_and_no_id_is_forgotten() {
    let project = Project::new(&by_id());
    let mut most = 0;
    for run in 0..19 {
        project.append("events/1.ndjson", delivery(2 * run, 0) + &delivery(2 * run + 1, 0));
        project.foldline(&["run"]).exits(0);
        most = most.max(kept_ids(&project).1);
    }
    assert_eq!((most, kept_ids(&project)), (16, (38, 3)));
    project.append("events/1.ndjson", (0..40).map(|id| delivery(id, 1)).collect::<String>());
    let report = project.foldline(&["run", "--json"]).exits(0).json();
    assert_eq!((&report["events"]["duplicates"], &report["events"]["folded"]), (&38.into(), &1.into()));
}

#[test]
fn an_event_without_an_id_is_bad_where_duplicates_are_told_by_it() {
    let project = Project::new(&by_id());
    let without = [r#""id":null"#, r#""id":"""#, r#""x":1"#].map(|id| delivery(1, 0).replace(r#""id":"id-1""#, id)).concat();
    project.write("events/1.ndjson", delivery(1, 0) + &without);
    let output = project.foldline(&["run"]).exits(65);
    project.assert_nothing_published();
    insta::assert_snapshot!(project.redact(&output.stderr));
}

#[test]
fn the_id_of_a_filtered_or_bad_event_counts() {
    let text = by_id().replace("dedupe = \"id\"", "dedupe = \"id\"\non_bad_record = \"skip\"\nwhere = \"position <> '1'\"");
    let project = Project::new(&text);
    let bad = delivery(8, 3).replace(r#""amount":"#, r#""amount":[],"n":"#);
    let log = [delivery(1, 0), delivery(1, 9), bad, delivery(8, 1), delivery(8, 2)].concat();
    project.write("events/1.ndjson", &log);
    let report = project.foldline(&["run", "--json"]).exits(0).json();
    assert_eq!(
        (&report["events"]["filtered"], &report["events"]["duplicates"], &report["events"]["folded"]),
        (&1.into(), &3.into(), &0.into())
    );
    assert_eq!(report["sources"][0]["bad"], 1);
    // and what is bad is not a duplicate, too
    project.append("events/1.ndjson", delivery(8, 3).replace(r#""amount":"#, r#""amount":[],"n":"#));
    let report = project.foldline(&["run", "--json"]).exits(0).json();
    assert_eq!((&report["events"]["duplicates"], &report["sources"][0]["bad"]), (&0.into(), &1.into()));
}

#[test]
fn what_upcasters_make_of_a_record_shares_its_id() {
    let upcast = "\n[[upcast]]\ntype = \"Added\"\ninto = [{ type = \"Added\" }, { type = \"Added\" }]\n";
    let project = Project::new(&format!("{}{upcast}", by_id()));
    project.write("events/1.ndjson", delivery(1, 0) + &delivery(2, 0) + &delivery(1, 1));
    assert_eq!(run(&project, "run"), (4, 2));
}

#[test]
fn plan_says_what_ids_cost() {
    let project = Project::new(&by_id());
    project.write("events/1.ndjson", (0..5000).map(|id| delivery(id, 0)).collect::<String>());
    project.foldline(&["run"]).exits(0);
    let ids = |project: &Project| project.foldline(&["plan", "--json"]).exits(0).json()["sources"][0]["ids"].clone();
    let idle = ids(&project);
    assert_eq!((&idle["kept"], &idle["held"], &idle["memory_bytes"]), (&5000.into(), &0.into(), &0.into()));
    // 16 bytes on disk, and what a Parquet file begins and ends with
    let disk = idle["disk_bytes"].as_u64().unwrap();
    assert!((80_000..84_000).contains(&disk), "{disk}");
    project.append("events/1.ndjson", (5000..10_000).map(|id| delivery(id, 0)).collect::<String>());
    let growing = ids(&project);
    let (held, memory) = (growing["held"].as_u64().unwrap(), growing["memory_bytes"].as_u64().unwrap());
    assert!((9_900..10_200).contains(&held), "{growing}");
    assert!((19 * held..39 * held).contains(&memory), "{growing}");
    let said = project.foldline(&["plan"]).exits(0).stdout;
    assert!(said.contains("\n  ids: 5,000 kept in "), "{said}");
}

#[test]
fn a_test_in_the_project_file_may_leave_ids_out_and_tells_the_same_id_twice() {
    let test = r#"
[[test]]
name  = "ids"
given = [
  { stream = "counter-1", type = "Added", data = { amount = 1 } },
  { stream = "counter-1", type = "Added", data = { amount = 1 } },
  { stream = "counter-1", type = "Added", id = "x", data = { amount = 1 } },
  { stream = "counter-2", type = "Added", id = "x", data = { amount = 1 } },
]
then = { counter = [{ counter = "1", _events = "3" }] }
"#;
    Project::new(&format!("{}{test}", by_id())).foldline(&["test"]).exits(0);
}

/// By version where there is one; `dedupe` in place of the default.
fn by_version(more: &str) -> Project {
    Project::new(&PROJECT.replace("dedupe = \"position\"", more))
}

fn versioned(stream: usize, version: i64) -> String {
    format!(r#"{{"stream_id":"counter-{stream}","type":"Added","version":{version},"position":{version},"data":{{"amount":{version}}}}}"#)
        + "\n"
}

#[test]
fn with_none_each_record_is_folded_as_it_stands_whatever_its_version() {
    let project = by_version("dedupe = \"none\"\nfirst_version = 1");
    let versions = [3, 3, -1, 7, 0, 1, 3];
    project.write("events/1.ndjson", versions.map(|version| versioned(1, version)).concat());
    project.append("events/1.ndjson", versioned(1, 3).replace("\"version\":3,", ""));
    assert_eq!(run(&project, "run"), (8, 0));
    project.append("events/1.ndjson", versioned(1, 3));
    assert_eq!(run(&project, "run"), (1, 0));
    let trail = versions.iter().chain(&[3, 3]).fold(0, |trail, version| (trail * 31 + version) % 1_000_003);
    let db = common::duckdb();
    let query = format!("SELECT trail, _events FROM {}", common::literal(&project.path("out/counters.parquet")));
    assert_eq!(db.query_row(&query, [], |row| Ok((row.get(0)?, row.get(1)?))).unwrap(), (trail, 9));
    project.foldline(&["verify"]).exits(0);
}

#[test]
fn a_stream_begins_with_the_version_that_the_project_fixes() {
    let kinds = |more: &str, versions: &[i64]| {
        let project = by_version(more);
        project.write("events/1.ndjson", versions.iter().map(|version| versioned(1, *version)).collect::<String>());
        let output = project.foldline(&["run", "--json"]);
        (output.code, output.json()["bad"]["by_kind"].clone())
    };
    let good = (Some(0), serde_json::json!({}));
    let bad = |kind: &str| (Some(65), serde_json::json!({ kind: 1 }));
    assert_eq!(kinds("", &[0, 1]), good);
    assert_eq!(kinds("", &[1, 2]), good);
    assert_eq!(kinds("", &[2, 3]), bad("gap"));
    // without a fixed one the first that comes decides
    assert_eq!(kinds("", &[1, 0]), bad("conflict"));
    assert_eq!(kinds("first_version = 0", &[1, 0]), good);
    assert_eq!(kinds("first_version = 0", &[1, 2]), bad("gap"));
    assert_eq!(kinds("first_version = 1", &[2, 1]), good);
    assert_eq!(kinds("first_version = 1", &[0, 1]), bad("conflict"));
    assert_eq!(kinds("first_version = 1", &[1, 0]), bad("conflict"));
    assert_eq!(kinds("first_version = 1\non_gap = \"wait\"", &[0, 1]), bad("conflict"));
}
