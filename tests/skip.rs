//! `on_gap = "skip"`: at a run's end streams go on behind their holes, and what comes after its place was passed is late.

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;

use common::random::Random;
use common::{Output, Project};

/// A key within a stream, one that spans streams and tells the order in which events pass, rows, and an event table.
const PROJECT: &str = r#"
[project]
name = "skips"

[source.log]
files  = ["events/*.ndjson"]
on_gap = "skip"

[event.Added]
amount = "BIGINT NOT NULL"

[aggregate.counter]
source = "log"
stream = "counter-{counter}"
[aggregate.counter.state]
trail = "BIGINT DEFAULT 0"
[aggregate.counter.rows.steps]
trail = "BIGINT"
[aggregate.counter.on.Added]
set.trail  = "(trail * 31 + event.version * data.amount) % 1000003"
emit.steps = { trail = "trail" }

[aggregate.total]
source = "log"
key    = { part = "data.amount % 2" }
[aggregate.total.state]
trail = "BIGINT DEFAULT 0"
last  = "VARCHAR"
[aggregate.total.on.Added]
set.trail = "(trail * 31 + data.amount + event.version * 7) % 1000003"
set.last  = "event.stream || '@' || event.version"

[read_model.counters]
sql = "SELECT counter, trail, _events, _version FROM counter"
[[read_model.counters.to]]
parquet = "out/counters.parquet"

[read_model.totals]
sql = "SELECT part, trail, last, _events FROM total"
[[read_model.totals.to]]
parquet = "out/totals.parquet"

[read_model.steps]
sql = "SELECT counter, trail, _version FROM counter.steps"
[[read_model.steps.to]]
parquet = "out/steps.parquet"

[read_model.added]
sql = 'SELECT amount, _stream, _version FROM events."Added"'
[[read_model.added.to]]
parquet = "out/added.parquet"
"#;

fn targets(project: &Project) -> BTreeMap<&'static str, Vec<u8>> {
    project.parquet_of(["counters", "totals", "steps", "added"])
}

type Event = (usize, i64);

fn amount(version: i64) -> i64 {
    version * 7 % 23
}

fn is_seen(version: i64) -> bool {
    version % 5 == 4
}

fn line((stream, version): Event) -> String {
    let kind = if is_seen(version) { "Seen" } else { "Added" };
    format!(
        r#"{{"stream_id":"counter-{stream}","type":"{kind}","version":{version},"id":"{stream}/{version}","data":{{"amount":{}}}}}"#,
        amount(version)
    ) + "\n"
}

/// What the definition of `on_gap = "skip"` makes of a log, run by run.
#[derive(Default)]
struct Model {
    streams: BTreeMap<usize, Stream>,
    /// What passed, in the order in which it did.
    passed: Vec<Event>,
}

#[derive(Default)]
struct Stream {
    last: Option<i64>,
    late: BTreeSet<i64>,
    /// By version: the place in the log.
    held: BTreeMap<i64, usize>,
}

/// Of one run: passed, duplicate and late events, and holes.
#[derive(Debug, Default, PartialEq, Eq)]
struct Counts {
    passed: u64,
    duplicates: u64,
    late: u64,
    holes: u64,
}

impl Model {
    fn run(&mut self, events: &[Event]) -> Counts {
        let before = self.passed.len();
        let mut counts = Counts::default();
        for (place, &(number, version)) in events.iter().enumerate() {
            let stream = self.streams.entry(number).or_default();
            let next = match stream.last {
                None => version <= 1,
                Some(last) => version == last + 1,
            };
            if stream.late.contains(&version) {
                counts.late += 1;
            } else if next {
                stream.last = Some(version);
                self.passed.push((number, version));
                while let Some(next) = stream.last.map(|last| last + 1).filter(|next| stream.held.remove(next).is_some()) {
                    stream.last = Some(next);
                    self.passed.push((number, next));
                }
            } else if stream.last.is_some_and(|last| version <= last) || stream.held.contains_key(&version) {
                counts.duplicates += 1;
            } else {
                stream.held.insert(version, place);
            }
        }
        let mut waiting: Vec<(usize, usize)> =
            self.streams.iter().filter_map(|(number, stream)| Some((*stream.held.first_key_value()?.1, *number))).collect();
        waiting.sort_unstable();
        for (_, number) in waiting {
            let stream = self.streams.get_mut(&number).unwrap();
            for (version, _) in std::mem::take(&mut stream.held) {
                let expected = stream.last.map_or(0, |last| last + 1);
                counts.holes += u64::from(expected < version);
                stream.late.extend(expected..version);
                stream.last = Some(version);
                self.passed.push((number, version));
            }
        }
        counts.passed = (self.passed.len() - before) as u64;
        counts
    }

    /// The rows of `totals` and `counters`, each by its key: trail, what it saw last, events.
    fn rows(&self) -> BTreeMap<String, (i64, String, u64)> {
        let mut rows: BTreeMap<String, (i64, String, u64)> = BTreeMap::new();
        for &(stream, version) in self.passed.iter().filter(|(_, version)| !is_seen(*version)) {
            let total = rows.entry(format!("part {}", amount(version) % 2)).or_default();
            total.0 = (total.0 * 31 + amount(version) + version * 7) % 1_000_003;
            (total.1, total.2) = (format!("counter-{stream}@{version}"), total.2 + 1);
            let counter = rows.entry(format!("counter {stream}")).or_default();
            counter.0 = (counter.0 * 31 + version * amount(version)) % 1_000_003;
            (counter.1, counter.2) = (version.to_string(), counter.2 + 1);
        }
        rows
    }
}

fn rows(project: &Project) -> BTreeMap<String, (i64, String, u64)> {
    let db = common::duckdb();
    let query = format!(
        "SELECT 'part ' || part, trail, last, _events FROM {} UNION ALL SELECT 'counter ' || counter, trail, _version::VARCHAR, _events FROM {}",
        common::literal(&project.path("out/totals.parquet")),
        common::literal(&project.path("out/counters.parquet"))
    );
    let mut statement = db.prepare(&query).unwrap();
    let rows = statement.query_map([], |row| Ok((row.get(0)?, (row.get(1)?, row.get(2)?, row.get(3)?)))).unwrap();
    rows.collect::<Result<_, _>>().unwrap()
}

fn number(value: &serde_json::Value) -> u64 {
    value.as_u64().unwrap()
}

/// Checks a report's sums and its exit code; gives what it counted.
#[track_caller]
fn counts(output: &Output, what: &str) -> Counts {
    let report = output.json();
    let events = &report["events"];
    let gone: u64 = events.as_object().unwrap().values().map(number).sum();
    assert_eq!(number(&report["sources"][0]["events"]), gone, "{what}: {report:#}");
    let counts = Counts {
        passed: number(&events["folded"]) + number(&events["filtered"]),
        duplicates: number(&events["duplicates"]),
        late: number(&events["late"]),
        holes: number(&report["sources"][0]["holes_passed"]),
    };
    let set_aside = counts.late + counts.holes > 0;
    assert_eq!(output.code, Some(if set_aside { 3 } else { 0 }), "{what}: {}", output.stderr);
    counts
}

/// Where the manifest says that runs ended and passed holes: the log order of every replay.
fn segments(project: &Project) -> serde_json::Value {
    let newest = common::files_below(&project.path(".foldline/manifests"))
        .into_iter()
        .max_by_key(|path| path.file_stem().unwrap().to_str().unwrap().parse::<u64>().unwrap());
    let manifest: serde_json::Value = serde_json::from_str(&fs::read_to_string(newest.unwrap()).unwrap()).unwrap();
    manifest["sources"][0]["segments"].clone()
}

/// The events of some streams, far from their places, some missing, some twice, some after a long time.
fn shuffled(random: &mut Random) -> Vec<Event> {
    let mut events = Vec::new();
    for stream in 0..1 + random.below(5) {
        let first = random.below(2) as i64;
        for version in first..first + 4 + random.below(12) as i64 {
            if random.below(6) > 0 {
                // a stream may begin with 1 only where 0 does not come later
                let place = if version == first && first == 0 { -1 } else { random.below(30) as i64 + version * 3 };
                events.push((place, stream, version));
            }
            if random.below(10) == 0 && version > first {
                events.push((60, stream, version));
            }
        }
    }
    events.sort_unstable();
    // 0 behind 1 is a conflict, not late
    let mut begun = BTreeSet::new();
    events.retain(|&(_, stream, version)| {
        if version == 1 {
            begun.insert(stream);
        }
        version > 0 || !begun.contains(&stream)
    });
    events.into_iter().map(|(_, stream, version)| (stream, version)).collect()
}

fn one_case(seed: u64) {
    let mut random = Random(seed);
    let events = shuffled(&mut random);
    let what = format!("seed {seed}");
    let pieces = Project::new(PROJECT);
    let mut cuts: Vec<usize> = (0..1 + random.below(3)).map(|_| random.below(events.len() + 1)).collect();
    cuts.extend([0, events.len()]);
    cuts.sort_unstable();
    cuts.dedup();
    let mut model = Model::default();
    let mut sum = Counts::default();
    for (piece, range) in cuts.windows(2).enumerate() {
        let file = if random.below(2) == 0 { "events/1.ndjson".to_string() } else { format!("events/{}.ndjson", piece + 2) };
        let mine = &events[range[0]..range[1]];
        pieces.append(&file, mine.iter().map(|event| line(*event)).collect::<String>());
        if random.below(3) == 0 {
            // a changed definition replays its own aggregate while the other one goes on
            let text = fs::read_to_string(pieces.path("foldline.toml")).unwrap();
            pieces.write("foldline.toml", text.replace("set.last  = \"", "set.last  = \"'' || "));
        }
        let output = pieces.foldline(&["run", "--json", "--threads", ["1", "2"][random.below(2)]]);
        let expected = model.run(mine);
        assert_eq!(counts(&output, &what), expected, "{what}");
        sum.passed += expected.passed;
        sum.duplicates += expected.duplicates;
        sum.late += expected.late;
        sum.holes += expected.holes;
        assert!(rows(&pieces) == model.rows(), "{what}: {:#?}\n{:#?}", rows(&pieces), model.rows());
    }
    assert_eq!(pieces.foldline(&["run"]).code, Some(0), "{what}: nothing new is nothing set aside");
    if random.below(3) == 0 {
        pieces.foldline(&["verify"]).exits(0);
    }
    let (straight, marked) = (targets(&pieces), segments(&pieces));
    let output = pieces.foldline(&["rebuild", "--json", "--threads", ["1", "3"][random.below(2)]]);
    assert_eq!(counts(&output, &what), sum, "{what}: a rebuild passes the same holes");
    assert!(targets(&pieces) == straight, "{what}: a rebuild differs");
    assert_eq!(segments(&pieces), marked, "{what}");
}

#[test]
fn random_logs_in_random_pieces_agree_with_the_definition_and_with_their_rebuild() {
    common::seeds(6).for_each(one_case);
}

fn written(events: &[Event]) -> String {
    events.iter().map(|event| line(*event)).collect()
}

fn with_holes() -> Project {
    let project = Project::new(PROJECT);
    project.write("events/1.ndjson", written(&[(1, 1), (2, 3), (1, 6), (3, 1), (1, 3), (3, 2), (1, 8)]));
    project
}

#[test]
fn holes_and_late_events_are_warnings_of_the_run_that_met_them() {
    let project = with_holes();
    let mut said = String::new();
    let mut tell = |project: &Project, args: &[&str], code| {
        let output = project.foldline(args).exits(code);
        let _ = write!(said, "$ foldline {}\n{}{}", args[0], output.stdout, output.stderr);
    };
    tell(&project, &["run"], 3);
    tell(&project, &["status"], 0);
    tell(&project, &["run"], 0);
    project.append("events/1.ndjson", written(&[(1, 2), (1, 9), (2, 0), (1, 2), (1, 9)]));
    tell(&project, &["run"], 3);
    project.append("events/1.ndjson", written(&[(1, 10)]));
    tell(&project, &["run"], 0);
    let sizes = regex::Regex::new(r"\d+(\.\d+)? k?B|generation \d of \S+|\d{4}-\d\d-\d\dT[\d:]+Z").unwrap();
    insta::assert_snapshot!(sizes.replace_all(&project.redact(&said), "[…]"));
}

#[test]
fn of_many_holes_and_late_events_ten_are_named_and_all_are_counted() {
    let project = Project::new(PROJECT);
    project.write("events/1.ndjson", written(&(0..15).flat_map(|stream| [(stream, 1), (stream, 3)]).collect::<Vec<_>>()));
    let report = project.foldline(&["run", "--json"]).exits(3).json();
    let warnings = report["warnings"].as_array().unwrap();
    assert_eq!((warnings.len(), number(&report["sources"][0]["holes_passed"])), (11, 15));
    assert_eq!(warnings[10], "source `log`: 5 more holes passed");
    project.append("events/1.ndjson", written(&(0..15).map(|stream| (stream, 2)).collect::<Vec<_>>()));
    let report = project.foldline(&["run", "--json", "--threads", "2"]).exits(3).json();
    let warnings = report["warnings"].as_array().unwrap();
    assert_eq!((warnings.len(), number(&report["events"]["late"])), (11, 15));
    assert_eq!(warnings[9], "events/1.ndjson:40: version 2 of stream `counter-9` is late: it was passed");
}

#[test]
fn a_hole_of_ten_million_versions_is_one_range_and_all_of_it_is_late() {
    let project = Project::new(PROJECT);
    project.write("events/1.ndjson", written(&[(1, 1), (1, 10_000_000)]));
    project.foldline(&["run"]).exits(3);
    let passed: Vec<_> = common::files_below(&project.path(".foldline/streams"))
        .into_iter()
        .filter(|path| path.to_str().unwrap().ends_with("passed.parquet"))
        .collect();
    assert_eq!(passed.len(), 1);
    let rows = format!("SELECT * FROM {}", common::literal(&passed[0]));
    assert_eq!(common::count(&common::duckdb(), &rows), 1);
    project.append("events/1.ndjson", written(&[(1, 2), (1, 5_000_000), (1, 9_999_999), (1, 10_000_000), (1, 10_000_001)]));
    let found = counts(&project.foldline(&["run", "--json"]), "late ones");
    assert_eq!(found, Counts { passed: 1, duplicates: 1, late: 3, holes: 0 });
}

#[test]
fn pieces_that_end_without_holes_equal_one_run() {
    let events: Vec<Event> = vec![(1, 1), (2, 1), (1, 3), (1, 2), (2, 3), (2, 2), (1, 5), (1, 4), (2, 5), (1, 7)];
    let (pieces, whole) = (Project::new(PROJECT), Project::new(PROJECT));
    for (range, code) in [(0..4, 0), (4..6, 0), (6..8, 0), (8..10, 3)] {
        pieces.append("events/1.ndjson", written(&events[range]));
        pieces.foldline(&["run"]).exits(code);
    }
    whole.write("events/1.ndjson", written(&events));
    whole.foldline(&["run"]).exits(3);
    assert!(targets(&pieces) == targets(&whole));
}

#[test]
fn a_rollback_and_a_crash_leave_what_was_passed() {
    let project = with_holes();
    project.foldline(&["run"]).exits(3);
    project.append("events/1.ndjson", written(&[(1, 2), (1, 11)]));
    let mut command = project.command(&["run"]);
    command.env("FOLDLINE_FAILPOINT", "commit.before_manifest");
    assert_ne!(common::output(&mut command).code, Some(3));
    let found = counts(&project.foldline(&["run", "--json"]), "after the crash");
    assert_eq!(found, Counts { passed: 1, duplicates: 0, late: 1, holes: 1 });
    project.foldline(&["rollback"]).exits(0);
    project.append("events/1.ndjson", written(&[(1, 9), (1, 12)]));
    let found = counts(&project.foldline(&["run", "--json"]), "while a rollback is pinned");
    assert_eq!(found, Counts { passed: 1, duplicates: 0, late: 1, holes: 0 });
    project.foldline(&["rollback", "--release"]).exits(0);
    let straight = targets(&project);
    project.foldline(&["rebuild"]).exits(3);
    assert!(targets(&project) == straight);
}

#[test]
fn a_version_that_is_lost_with_a_bad_record_is_a_hole_and_one_that_is_read_counts() {
    let project = Project::new(&PROJECT.replace("on_gap = \"skip\"", "on_gap = \"skip\"\non_bad_record = \"skip\""));
    let bad = line((1, 3)).replace("\"amount\":21", "\"amount\":true");
    project.write("events/1.ndjson", written(&[(1, 1)]) + &bad + "{\n" + &written(&[(1, 5), (1, 2)]));
    let output = project.foldline(&["run", "--json"]);
    assert_eq!(output.json()["sources"][0]["bad"], 2);
    assert_eq!(counts(&output, "version 4 was lost"), Counts { passed: 3, duplicates: 0, late: 0, holes: 1 });
    // a bad event is late, too, but it was counted as bad
    project.append("events/1.ndjson", written(&[(1, 4)]) + &line((1, 4)).replace("\"Seen\"", "\"Added\"").replace(":5", ":[]"));
    let output = project.foldline(&["run", "--json"]);
    assert_eq!(output.json()["sources"][0]["bad"], 1, "{}", output.stderr);
    assert_eq!(counts(&output, "version 4 comes"), Counts { passed: 0, duplicates: 0, late: 1, holes: 0 });
}

#[test]
fn an_event_that_is_released_at_the_end_and_cannot_be_folded_is_shown_where_it_lies() {
    let project = with_holes();
    project.append("events/1.ndjson", line((2, 5)).replace(":12", ":9223372036854775807"));
    let output = project.foldline(&["run", "--json"]).exits(65);
    let first = &output.json()["bad"]["first"][0];
    assert_eq!((&first["file"], &first["line"], &first["kind"]), (&"events/1.ndjson".into(), &8.into(), &"fold".into()), "{first:#}");
    project.assert_nothing_published();
}

#[test]
fn what_upcasters_make_of_a_late_or_waiting_record_is_counted_part_by_part() {
    let upcast = "\n[[upcast]]\ntype = \"Added\"\ninto = [{ type = \"Added\" }, { type = \"Added\" }]\n";
    let project = Project::new(&format!("{PROJECT}{upcast}"));
    project.write("events/1.ndjson", written(&[(1, 1), (1, 3)]));
    let found = counts(&project.foldline(&["run", "--json"]), "two parts each");
    assert_eq!(found, Counts { passed: 4, duplicates: 0, late: 0, holes: 1 });
    project.append("events/1.ndjson", written(&[(1, 2), (1, 3)]));
    let found = counts(&project.foldline(&["run", "--json"]), "two parts each");
    assert_eq!(found, Counts { passed: 0, duplicates: 2, late: 2, holes: 0 });
}

#[test]
fn a_source_that_changes_to_skip_passes_the_holes_at_the_end_of_its_next_run() {
    let project = Project::new(&PROJECT.replace("\"skip\"", "\"wait\""));
    project.write("events/1.ndjson", written(&[(1, 1), (1, 3), (2, 1)]));
    project.foldline(&["run"]).exits(3);
    project.write("foldline.toml", PROJECT);
    project.append("events/1.ndjson", written(&[(1, 2), (2, 4)]));
    let found = counts(&project.foldline(&["run", "--json"]), "the hole of one stream is filled");
    assert_eq!(found, Counts { passed: 5, duplicates: 0, late: 0, holes: 1 });
    // and back: what was passed is a hole again, at which the stream waits
    project.write("foldline.toml", PROJECT.replace("\"skip\"", "\"wait\""));
    let report = project.foldline(&["run", "--json"]).exits(3).json();
    assert_eq!((number(&report["events"]["pending"]), number(&report["sources"][0]["holes_passed"])), (1, 0));
    assert!(!segments(&project).to_string().contains("passed_holes"));
}

#[test]
fn late_events_are_folded_after_all_by_a_run_that_waits_between() {
    let project = Project::new(PROJECT);
    project.write("events/1.ndjson", written(&[(1, 1), (1, 3)]));
    project.foldline(&["run"]).exits(3);
    project.append("events/1.ndjson", written(&[(1, 2)]));
    let found = counts(&project.foldline(&["run", "--json"]), "too late");
    assert_eq!(found, Counts { passed: 0, duplicates: 0, late: 1, holes: 0 });
    for on_gap in ["\"wait\"", "\"skip\""] {
        project.write("foldline.toml", PROJECT.replace("\"skip\"", on_gap));
        let found = counts(&project.foldline(&["run", "--json"]), on_gap);
        assert_eq!(found, Counts { passed: 3, duplicates: 0, late: 0, holes: 0 }, "{on_gap}");
    }
}

#[test]
fn the_example_of_the_docs_does_what_they_say() {
    let example = common::example_of("gaps-and-duplicates.md").replace("[source.shop]", "[source.log]");
    let (before, rest) = PROJECT.split_once("[source.log]").unwrap();
    let (_, after) = rest.split_once("[event.Added]").unwrap();
    let project = Project::new(&format!("{before}{example}\n[event.Added]{after}"));
    project.write("events/1.ndjson", written(&[(1, 1), (1, 3), (2, 2), (2, 1)]));
    let found = counts(&project.foldline(&["run", "--json"]), "the example");
    assert_eq!(found, Counts { passed: 4, duplicates: 0, late: 0, holes: 1 });
    project.append("events/1.ndjson", written(&[(3, 0)]));
    project.foldline(&["run"]).exits(65);
}

#[test]
fn what_was_set_aside_and_what_was_passed_come_to_the_same_in_a_replay() {
    let project = Project::new(&PROJECT.replace("on_gap = \"skip\"", "on_gap = \"skip\"\non_bad_record = \"quarantine\""));
    let bad = line((1, 5)).replace("\"amount\":12", "\"amount\":[]");
    // a bad event behind a hole stops its stream when the hole is passed; the other stream goes on
    project.write("events/1.ndjson", written(&[(1, 1), (1, 3), (2, 2)]) + &bad + &written(&[(1, 6), (2, 5)]));
    let report = project.foldline(&["run", "--json"]).exits(3).json();
    assert_eq!((number(&report["events"]["quarantined"]), number(&report["sources"][0]["holes_passed"])), (1, 4), "{report:#}");
    project.append("events/1.ndjson", written(&[(1, 2), (1, 7), (2, 3), (2, 6)]));
    let report = project.foldline(&["run", "--json"]).exits(3).json();
    assert_eq!((number(&report["events"]["late"]), number(&report["events"]["quarantined"])), (2, 1), "{report:#}");
    project.foldline(&["verify"]).exits(0);
    let (straight, marked) = (targets(&project), segments(&project));
    project.foldline(&["rebuild"]).exits(3);
    assert!(targets(&project) == straight);
    assert_eq!(segments(&project), marked);
}

#[test]
fn a_test_in_the_project_file_passes_holes_at_its_end() {
    let test = r#"
[[test]]
name  = "a hole"
given = [
  { stream = "counter-1", type = "Added", version = 1, data = { amount = 1 } },
  { stream = "counter-1", type = "Added", version = 4, data = { amount = 2 } },
]
then = { counters = [{ counter = "1", _events = "2", _version = "4" }], added = [{ _version = "1" }, { _version = "4" }] }
"#;
    Project::new(&format!("{PROJECT}{test}")).foldline(&["test"]).exits(0);
}
