//! `on_gap = "wait"`: a stream with a hole stands still, over runs, and what waited is folded as if it had just been read.

mod common;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;

use common::random::Random;
use common::{Output, Project};

/// A key within a stream, one that spans streams and tells the order of the log, and an event table.
const PROJECT: &str = r#"
[project]
name = "gaps"

[source.log]
files  = ["events/*.ndjson"]
on_gap = "wait"

[event.Added]
amount = "BIGINT NOT NULL"

[aggregate.counter]
source = "log"
stream = "counter-{counter}"
[aggregate.counter.state]
trail = "BIGINT DEFAULT 0"
[aggregate.counter.on.Added]
set.trail = "(trail * 31 + event.version * data.amount) % 1000003"

[aggregate.total]
source = "log"
key    = { part = "data.amount % 2" }
[aggregate.total.state]
trail = "BIGINT DEFAULT 0"
last  = "VARCHAR"
[aggregate.total.on.Added]
set.trail = "(trail * 31 + data.amount) % 1000003"
set.last  = "event.stream || '@' || event.version"

[read_model.counters]
sql = "SELECT counter, trail, _events, _version FROM counter"
[[read_model.counters.to]]
parquet = "out/counters.parquet"

[read_model.totals]
sql = "SELECT part, trail, last, _events FROM total"
[[read_model.totals.to]]
parquet = "out/totals.parquet"

[read_model.added]
sql = 'SELECT amount, _stream, _version FROM events."Added"'
[[read_model.added.to]]
parquet = "out/added.parquet"
"#;

fn targets(project: &Project) -> BTreeMap<&'static str, Vec<u8>> {
    project.parquet_of(["counters", "totals", "added"])
}

#[track_caller]
fn assert_same(found: &Project, expected: &Project, what: &str) {
    for ((name, found), expected) in targets(found).into_iter().zip(targets(expected).into_values()) {
        assert!(found == expected, "{name} differs: {what}");
    }
}

fn event(stream: &str, version: i64) -> String {
    let amount = version * 7 % 23;
    // some without an id: then the whole line tells a redelivery, with whatever ends it
    let id = if version % 2 == 0 { format!(r#""id":"{stream}/{version}","#) } else { String::new() };
    let end = if version % 3 == 0 { "\r\n" } else { "\n" };
    let kind = if version % 5 == 4 { "Seen" } else { "Added" };
    format!(r#"{{"stream_id":"{stream}","type":"{kind}","version":{version},{id}"data":{{"amount":{amount},"note":"ä😀"}}}}{end}"#)
}

fn number(value: &serde_json::Value) -> u64 {
    value.as_u64().unwrap()
}

/// Checks a report's sums; gives what is pending after the run.
#[track_caller]
fn adds_up(output: &Output, what: &str) -> u64 {
    let report = output.json();
    let sources = report["sources"].as_array().unwrap();
    let come: u64 = sources.iter().map(|s| number(&s["events"]) + number(&s["pending_before"])).sum();
    let gone: u64 = report["events"].as_object().unwrap().values().map(number).sum();
    assert_eq!(come, gone, "{what}: {report:#}");
    let pending = number(&report["events"]["pending"]);
    assert_eq!(output.code, Some(if pending > 0 { 3 } else { 0 }), "{what}: {}", output.stderr);
    assert_eq!(report["exit_code"], if pending > 0 { 3 } else { 0 }, "{what}");
    pending
}

/// The events of some streams, moved far from their places: nearly every prefix has holes, the whole has some or none.
fn shuffled(random: &mut Random) -> Vec<String> {
    let mut events = Vec::new();
    for stream in 0..1 + random.below(5) {
        let first = random.below(2) as i64;
        events.extend((first..first + 3 + random.below(12) as i64).map(|version| (random.below(40) as i64 + version * 3, stream, version)));
        // a stream begins with its first version, or the other one would be from before its first
        for event in events.iter_mut().filter(|e| e.1 == stream && e.2 == first) {
            event.0 = -1;
        }
    }
    events.sort();
    let mut lines: Vec<String> = events.iter().map(|(_, stream, version)| event(&format!("counter-{stream}"), *version)).collect();
    for _ in 0..random.below(4) {
        let again = lines[random.below(lines.len())].clone();
        lines.push(again);
    }
    if random.below(3) == 0 && lines.len() > 12 {
        lines.remove(lines.len() / 2);
    }
    lines
}

fn one_case(seed: u64) {
    let mut random = Random(seed);
    let lines = shuffled(&mut random);
    let what = format!("seed {seed}");
    let whole = Project::new(PROJECT);
    whole.write("events/1.ndjson", lines.concat());
    let left = adds_up(&whole.foldline(&["run", "--json"]), &what);

    let pieces = Project::new(PROJECT);
    let mut cuts: Vec<usize> = (0..2 + random.below(3)).map(|_| random.below(lines.len())).collect();
    cuts.extend([0, lines.len()]);
    cuts.sort_unstable();
    cuts.dedup();
    let (mut folded, mut pending) = (0, 0);
    for (piece, range) in cuts.windows(2).enumerate() {
        let file = if random.below(2) == 0 { "events/1.ndjson".to_string() } else { format!("events/{}.ndjson", piece + 2) };
        // log order is the order in which pieces were first consumed, whatever their files
        pieces.append(&file, lines[range[0]..range[1]].concat());
        if random.below(3) == 0 {
            // a changed definition replays its own aggregate while the other one goes on
            let text = fs::read_to_string(pieces.path("foldline.toml")).unwrap();
            pieces.write("foldline.toml", text.replace("set.last  = \"", "set.last  = \"'' || "));
        }
        let output = pieces.foldline(&["run", "--json", "--threads", ["1", "2"][random.below(2)]]);
        pending = adds_up(&output, &what);
        let counts = &output.json()["events"];
        folded += number(&counts["folded"]) + number(&counts["filtered"]) + number(&counts["duplicates"]);
    }
    assert_eq!(pending, left, "{what}");
    assert_eq!(folded + pending, lines.len() as u64, "{what}");
    assert_same(&pieces, &whole, &what);
    adds_up(&pieces.foldline(&["run", "--json"]), &what);
    if random.below(2) == 0 {
        assert_eq!(adds_up(&pieces.foldline(&["rebuild", "--json"]), &what), left, "{what}");
        assert_same(&pieces, &whole, &what);
    }
}

#[test]
fn random_logs_with_holes_in_random_pieces_equal_one_run() {
    common::seeds(24).for_each(one_case);
}

fn with_a_hole() -> Project {
    let project = Project::new(PROJECT);
    let events = [("counter-1", 1), ("counter-2", 3), ("counter-1", 4), ("counter-3", 1), ("counter-1", 3), ("counter-3", 2)];
    project.write("events/1.ndjson", events.map(|(stream, version)| event(stream, version)).concat());
    project
}

#[test]
fn a_hole_is_a_warning_and_status_says_where_it_is() {
    let project = with_a_hole();
    let mut said = String::new();
    for (args, code) in [(["run"], 3), (["status"], 0), (["run"], 3)] {
        let output = project.foldline(&args).exits(code);
        let _ = write!(said, "$ foldline {}\n{}{}", args[0], output.stdout, output.stderr);
    }
    project.append("events/1.ndjson", event("counter-1", 2));
    let output = project.foldline(&["run"]).exits(3);
    let _ = write!(said, "$ foldline run\n{}", output.stderr);
    let sizes = regex::Regex::new(r"\d+(\.\d+)? k?B|generation 1 of \S+|\d{4}-\d\d-\d\dT[\d:]+Z").unwrap();
    insta::assert_snapshot!(sizes.replace_all(&project.redact(&said), "[…]"));
}

#[test]
fn status_in_json_names_stream_versions_and_place() {
    let project = with_a_hole();
    project.foldline(&["run"]).exits(3);
    let status = project.foldline(&["status", "--json"]).exits(0).json();
    let expected = serde_json::json!([
        { "stream": "counter-1", "last_version": 1, "found_version": 3, "events": 2, "file": "events/1.ndjson", "line": 5 },
        { "stream": "counter-2", "last_version": null, "found_version": 3, "events": 1, "file": "events/1.ndjson", "line": 2 },
    ]);
    assert_eq!(status["sources"][0]["pending"], expected);
}

#[test]
fn what_waits_is_known_again_when_it_comes_once_more_or_with_other_content() {
    let project = with_a_hole();
    project.foldline(&["run"]).exits(3);
    project.append("events/1.ndjson", event("counter-1", 3) + &event("counter-1", 4));
    let output = project.foldline(&["run", "--json"]).exits(3);
    assert_eq!(output.json()["events"]["duplicates"], 2);
    let other = event("counter-1", 3).replace("\"amount\":", "\"amount\":1");
    project.append("events/1.ndjson", other);
    let output = project.foldline(&["run", "--json"]).exits(65);
    assert_eq!(output.json()["bad"]["by_kind"], serde_json::json!({ "conflict": 1 }));
}

#[test]
fn an_event_that_waited_and_cannot_be_folded_is_shown_where_it_lies() {
    let project = with_a_hole();
    project.append("events/1.ndjson", event("counter-2", 5).replace(":12", ":9223372036854775807"));
    project.foldline(&["run"]).exits(3);
    project.append("events/2.ndjson", [1, 2, 4].map(|version| event("counter-2", version)).concat());
    let output = project.foldline(&["run", "--json"]).exits(65);
    let first = &output.json()["bad"]["first"][0];
    assert_eq!((&first["file"], &first["line"]), (&"events/1.ndjson".into(), &7.into()), "{first:#}");
    assert_eq!(first["kind"], "fold");
}

#[test]
fn a_bad_record_behind_a_hole_is_passed_over_once_and_its_version_counts() {
    let text = PROJECT.replace("on_gap = \"wait\"", "on_gap = \"wait\"\non_bad_record = \"skip\"");
    let (pieces, whole) = (Project::new(&text), Project::new(&text));
    let bad = event("counter-1", 3).replace("\"amount\":21", "\"amount\":true");
    let lines = [event("counter-1", 1), bad, event("counter-1", 5), event("counter-1", 6), event("counter-1", 4), event("counter-1", 2)];
    pieces.write("events/1.ndjson", lines[..4].concat());
    let output = pieces.foldline(&["run", "--json"]);
    assert_eq!(output.json()["sources"][0]["bad"], 1);
    assert_eq!(adds_up(&output, "a bad record waits"), 2);
    pieces.append("events/1.ndjson", lines[4..].concat());
    let output = pieces.foldline(&["run", "--json"]);
    assert_eq!(output.json()["sources"][0]["bad"], 0);
    assert_eq!(adds_up(&output, "the hole is filled"), 0);
    whole.write("events/1.ndjson", lines.concat());
    whole.foldline(&["run"]).exits(0);
    assert_same(&pieces, &whole, "with a bad record");
}

#[test]
fn a_run_that_dies_before_its_commit_leaves_what_waits() {
    let project = with_a_hole();
    project.foldline(&["run"]).exits(3);
    project.append("events/1.ndjson", event("counter-1", 2));
    for point in ["commit.before_manifest", "publish.after_manifest"] {
        let mut command = project.command(&["run"]);
        command.env("FOLDLINE_FAILPOINT", point);
        assert_ne!(common::output(&mut command).code, Some(3), "{point}");
    }
    project.foldline(&["run"]).exits(3);
    let whole = Project::new(PROJECT);
    whole.write("events/1.ndjson", fs::read(project.path("events/1.ndjson")).unwrap());
    whole.foldline(&["run"]).exits(3);
    assert_same(&project, &whole, "after two crashes");
}

#[test]
fn a_definition_that_changes_while_events_wait_replays_without_them_and_folds_them_later() {
    let project = with_a_hole();
    project.foldline(&["run"]).exits(3);
    project.write("foldline.toml", PROJECT.replace("trail * 31 + data.amount)", "trail * 37 + data.amount)"));
    let output = project.foldline(&["run", "--json"]);
    assert_eq!(adds_up(&output, "only the definition is new"), 3);
    assert_eq!(output.json()["sources"][0]["pending_before"], 3);
    project.append("events/1.ndjson", event("counter-1", 2));
    let output = project.foldline(&["run", "--json"]);
    assert_eq!(adds_up(&output, "the hole is filled"), 1);
    let whole = Project::new(&fs::read_to_string(project.path("foldline.toml")).unwrap());
    whole.write("events/1.ndjson", fs::read(project.path("events/1.ndjson")).unwrap());
    whole.foldline(&["run"]).exits(3);
    assert_same(&project, &whole, "a definition changed while events waited");
}

#[test]
fn a_replay_leaves_what_waits_unfolded_as_the_runs_did() {
    let project = with_a_hole();
    project.foldline(&["run"]).exits(3);
    project.foldline(&["verify"]).exits(0);
    project.append("events/1.ndjson", event("counter-1", 2));
    project.foldline(&["run"]).exits(3);
    project.foldline(&["verify"]).exits(0);
}

#[test]
fn a_rollback_keeps_what_waits() {
    let project = with_a_hole();
    project.foldline(&["run"]).exits(3);
    project.append("events/1.ndjson", event("counter-1", 2));
    project.foldline(&["run"]).exits(3);
    let straight = targets(&project);
    project.foldline(&["rollback"]).exits(0);
    assert!(targets(&project) != straight);
    project.foldline(&["rollback", "--release"]).exits(3);
    assert!(targets(&project) == straight);
}
