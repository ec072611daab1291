//! Runs over a log in pieces equal one rebuild in a fresh folder, and a left fold written here in plain Rust.

mod common;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;

use common::Project;
use common::random::Random;

/// A counter per stream, one over all streams (whose last event tells the order of the log), rows that the fold
/// gives out, and an event table. Read models are text, so that a test can read them without DuckDB.
const PROJECT: &str = r#"
[project]
name = "pieces"

[source.log]
files = ["events/*.ndjson"]

[event.Added]
amount = "BIGINT NOT NULL"
parts  = "VARCHAR[]"

[event.Moved]
amount = "BIGINT NOT NULL"
to     = "VARCHAR NOT NULL"

[aggregate.counter]
source = "log"
stream = "counter-{counter}"
[aggregate.counter.state]
total = "BIGINT DEFAULT 0"
trail = "BIGINT DEFAULT 0"
[aggregate.counter.on.Added]
set.total = "total + data.amount"
set.trail = "(trail * 31 + event.version) % 1000003"
[aggregate.counter.on.Moved]
set.total = "total - data.amount"
set.trail = "(trail * 31 + event.version) % 1000003"
[aggregate.counter.on.Closed]
delete = true
[aggregate.counter.rows.moves]
amount = "BIGINT"
[[aggregate.counter.after]]
when = "event.type = 'Moved' AND total < old.total"
emit.moves = { amount = "old.total - total" }

[aggregate.place]
source = "log"
key    = { place = "data.to" }
[aggregate.place.state]
got  = "BIGINT DEFAULT 0"
last = "VARCHAR"
[aggregate.place.on.Moved]
set.got  = "got + data.amount"
set.last = "event.stream || '@' || event.version"

[aggregate.part]
source = "log"
key    = { part = "event.stream" }
[aggregate.part.state]
seen = "BIGINT DEFAULT 0"
ages = "BIGINT DEFAULT 0"
[[aggregate.part.on.Added]]
each     = "data.parts"
key      = { part = "each" }
set.seen = "seen * 3 % 1000003 + event.version"
[[aggregate.part.on.Closed]]
all      = true
set.ages = "ages * 7 % 1000003 + event.version"
[[aggregate.part.on.Moved]]
key      = { part = "'p' || (data.amount % 4)::VARCHAR" }
when     = "data.amount % 5 = 0"
delete   = true
[[aggregate.part.on.Moved]]
set.seen = "seen + 1"

[read_model.parts]
sql = "SELECT part, seen, ages, _events FROM part"
[[read_model.parts.to]]
parquet = "out/parts.parquet"

[read_model.counters]
sql = "SELECT counter, total, trail, _events, _version FROM counter"
[[read_model.counters.to]]
parquet = "out/counters.parquet"

[read_model.places]
sql = "SELECT place, got, last, _events FROM place"
[[read_model.places.to]]
parquet = "out/places.parquet"

[read_model.moves]
sql = 'SELECT counter, amount, _version FROM "counter".moves'
[[read_model.moves.to]]
parquet = "out/moves.parquet"

[read_model.added]
sql = 'SELECT amount, _stream, _version FROM events."Added"'
[[read_model.added.to]]
parquet = "out/added.parquet"
"#;

const TARGETS: [&str; 5] = ["counters", "places", "moves", "parts", "added"];

fn targets(project: &Project) -> BTreeMap<&'static str, Vec<u8>> {
    project.parquet_of(TARGETS)
}

#[track_caller]
fn assert_same(found: &Project, expected: &Project, what: &str) {
    let expected = targets(expected);
    for (name, bytes) in targets(found) {
        assert!(bytes == expected[name], "{name} differs: {what}");
    }
}

#[derive(Clone)]
struct Event {
    stream: usize,
    version: i64,
    kind: usize,
    amount: i64,
}

const KINDS: [&str; 4] = ["Added", "Moved", "Closed", "Seen"];

impl Event {
    fn line(&self, odd: bool) -> String {
        let data = match self.kind {
            0 => {
                let (p, q) = (self.amount % 4, self.version % 3);
                format!(r#"{{"amount":{},"parts":["p{p}","p{q}","p{p}","r{p}{q}"]}}"#, self.amount)
            }
            1 => format!(r#"{{"amount":{},"to":"ä€😀{}"}}"#, self.amount, self.amount % 3),
            _ => "{}".into(),
        };
        let (id, end) = (format!("{}/{}", self.stream, self.version), if odd { " \r\n" } else { "\n" });
        format!(
            r#"{{"stream_id":"counter-{}","type":"{}","version":{},"id":"{id}","data":{data}}}{end}"#,
            self.stream, KINDS[self.kind], self.version
        )
    }
}

/// The lines of a log: events in order, then some of them moved behind the next few, and some delivered twice.
fn lines(random: &mut Random) -> Vec<(String, Option<Event>)> {
    let streams = 1 + random.below(5);
    let mut versions = vec![0i64; streams];
    let mut events: Vec<Event> = (0..5 + random.below(60))
        .map(|_| {
            let stream = random.below(streams);
            versions[stream] += 1;
            let kind = if random.one_in(9) { 2 } else { [0, 0, 1, 3][random.below(4)] };
            Event { stream, version: versions[stream], kind, amount: random.below(100) as i64 }
        })
        .collect();
    for at in 0..events.len() {
        // a stream's first event stays where it is: an earlier one would be from before its first version
        if random.one_in(6) && events[at].version > 1 {
            let to = (at + 1 + random.below(4)).min(events.len() - 1);
            let event = events.remove(at);
            events.insert(to, event);
        }
        if random.one_in(8) {
            let again = events[random.below(at + 1)].clone();
            events.insert(at + 1, again);
        }
    }
    let mut out = Vec::new();
    for event in events {
        if random.one_in(12) {
            out.push(([" \n", "\n", "\r\n"][random.below(3)].into(), None));
        }
        out.push((event.line(random.one_in(5)), Some(event)));
    }
    out
}

/// The left fold: early events wait, what came before is dropped, the rest is applied in the order of release.
#[derive(Default, Debug, PartialEq)]
struct Reference {
    counters: BTreeMap<String, (i64, i64, i64, i64)>,
    places: BTreeMap<String, (i64, String, i64)>,
    parts: BTreeMap<String, (i64, i64, i64)>,
    moves: Vec<(String, i64, i64)>,
    added: Vec<(i64, String, i64)>,
}

fn reference<'e>(events: impl Iterator<Item = &'e Event>) -> Reference {
    let mut last: BTreeMap<usize, i64> = BTreeMap::new();
    let mut early: BTreeMap<(usize, i64), &Event> = BTreeMap::new();
    let mut out = Reference::default();
    for event in events {
        let expected = last.get(&event.stream).map_or(1, |v| v + 1);
        if event.version > expected {
            early.insert((event.stream, event.version), event);
        }
        if event.version != expected {
            continue;
        }
        let mut next = Some(event);
        while let Some(event) = next {
            last.insert(event.stream, event.version);
            out.apply(event);
            next = early.remove(&(event.stream, event.version + 1));
        }
    }
    assert!(early.is_empty(), "the generator left a gap");
    out.moves.sort();
    out.added.sort();
    out
}

impl Reference {
    fn apply(&mut self, event: &Event) {
        let key = event.stream.to_string();
        match event.kind {
            0 | 1 => {
                let change = if event.kind == 0 { event.amount } else { -event.amount };
                let row = self.counters.entry(key.clone()).or_default();
                *row = (row.0 + change, (row.1 * 31 + event.version) % 1_000_003, row.2 + 1, event.version);
                if change < 0 {
                    self.moves.push((key.clone(), -change, event.version));
                }
            }
            2 => drop(self.counters.remove(&key)),
            _ => {}
        }
        self.apply_to_parts(event);
        match event.kind {
            0 => self.added.push((event.amount, format!("counter-{key}"), event.version)),
            1 => {
                let row = self.places.entry(format!("ä€😀{}", event.amount % 3)).or_default();
                *row = (row.0 + event.amount, format!("counter-{key}@{}", event.version), row.2 + 1);
            }
            _ => {}
        }
    }
}

impl Reference {
    /// `each` with a key of its own, a rule for all rows, and rows that are deleted by another key than the event's.
    fn apply_to_parts(&mut self, event: &Event) {
        match event.kind {
            0 => {
                let (p, q) = (event.amount % 4, event.version % 3);
                let parts = [format!("p{p}"), format!("p{q}"), format!("p{p}"), format!("r{p}{q}")];
                for part in &parts {
                    let row = self.parts.entry(part.clone()).or_default();
                    row.0 = row.0 * 3 % 1_000_003 + event.version;
                }
                for part in parts.iter().collect::<std::collections::BTreeSet<_>>() {
                    self.parts.get_mut(part).unwrap().2 += 1;
                }
            }
            1 => {
                if event.amount % 5 == 0 {
                    self.parts.remove(&format!("p{}", event.amount % 4));
                }
                let row = self.parts.entry(format!("counter-{}", event.stream)).or_default();
                *row = (row.0 + 1, row.1, row.2 + 1);
            }
            2 => {
                for row in self.parts.values_mut() {
                    *row = (row.0, row.1 * 7 % 1_000_003 + event.version, row.2 + 1);
                }
            }
            _ => {}
        }
    }
}

/// What was published, read by DuckDB.
fn published(db: &duckdb::Connection, project: &Project) -> Reference {
    let rows = |name: &str, columns: &str| -> Vec<Vec<String>> {
        let path = common::literal(&project.path(&format!("out/{name}.parquet")));
        let list: Vec<String> = columns.split(',').map(|c| format!("{c}::VARCHAR")).collect();
        let mut statement = db.prepare(&format!("SELECT [{}] FROM read_parquet({path})", list.join(","))).unwrap();
        let texts = statement.query_map([], |row| row.get::<_, duckdb::types::Value>(0)).unwrap();
        let text = |value: duckdb::types::Value| match value {
            duckdb::types::Value::Text(text) => text,
            other => panic!("{other:?}"),
        };
        texts
            .map(|list| match list.unwrap() {
                duckdb::types::Value::List(items) => items.into_iter().map(text).collect(),
                other => panic!("{other:?}"),
            })
            .collect()
    };
    let int = |text: &String| text.parse::<i64>().unwrap();
    let mut out = Reference::default();
    for r in rows("counters", "counter,total,trail,_events,_version") {
        out.counters.insert(r[0].clone(), (int(&r[1]), int(&r[2]), int(&r[3]), int(&r[4])));
    }
    for r in rows("places", "place,got,last,_events") {
        out.places.insert(r[0].clone(), (int(&r[1]), r[2].clone(), int(&r[3])));
    }
    for r in rows("parts", "part,seen,ages,_events") {
        out.parts.insert(r[0].clone(), (int(&r[1]), int(&r[2]), int(&r[3])));
    }
    out.moves = rows("moves", "counter,amount,_version").iter().map(|r| (r[0].clone(), int(&r[1]), int(&r[2]))).collect();
    out.added = rows("added", "amount,_stream,_version").iter().map(|r| (int(&r[0]), r[1].clone(), int(&r[2]))).collect();
    out.moves.sort();
    out.added.sort();
    out
}

#[track_caller]
fn assert_adds_up(report: &serde_json::Value, what: &str) {
    let number = |value: &serde_json::Value| value.as_u64().unwrap();
    let (mut decoded, mut folded) = (0, 0);
    for source in report["sources"].as_array().unwrap() {
        decoded += number(&source["decoded"]);
        assert_eq!(number(&source["records"]), number(&source["decoded"]) + number(&source["empty"]) + number(&source["bad"]), "{what}");
    }
    for count in report["events"].as_object().unwrap().values() {
        folded += number(count);
    }
    assert_eq!(decoded, folded, "{what}: {report:#}");
}

fn one_case(db: &duckdb::Connection, seed: u64) {
    let mut random = Random(seed);
    let lines = lines(&mut random);
    let log: String = lines.iter().map(|(line, _)| line.as_str()).collect();
    let threads = ["1", "2", "3"][random.below(3)];
    let what = format!("seed {seed}");

    // one rebuild of the whole log in one file
    let whole = Project::new(PROJECT);
    whole.write("events/1.ndjson", &log);
    let report = whole.foldline(&["rebuild", "--json", "--threads", threads]).exits(0).json();
    assert_adds_up(&report, &what);
    let expected = reference(lines.iter().filter_map(|(_, event)| event.as_ref()));
    assert_eq!(published(db, &whole), expected, "{what}");

    // the same in pieces. A piece that no gap is left behind is cut at any byte; a run that finds a gap fails
    // and publishes nothing, and the next one goes on.
    let pieces = Project::new(PROJECT);
    let mut cuts: Vec<usize> = (0..1 + random.below(3)).map(|_| random.below(log.len() + 1)).collect();
    cuts.sort_unstable();
    cuts.push(log.len());
    let (mut from, mut file) = (0, 1);
    for to in cuts {
        pieces.append(&format!("events/{file}.ndjson"), &log.as_bytes()[from..to]);
        from = to;
        let output = pieces.foldline(&["run", "--json", "--threads", ["1", "2", "3"][random.below(3)]]);
        assert!(matches!(output.code, Some(0 | 65)), "{what}: {:?} {}", output.code, output.stderr);
        assert_adds_up(&output.json(), &what);
        // the next file of the log begins where this one ends with a whole line
        if to > 0 && log.as_bytes()[to - 1] == b'\n' && random.one_in(2) {
            file += 1;
        }
    }
    pieces.foldline(&["run"]).exits(0);
    assert_same(&pieces, &whole, &what);
    if random.one_in(4) {
        pieces.foldline(&["rebuild"]).exits(0);
        assert_same(&pieces, &whole, &what);
    }
}

#[test]
fn random_logs_in_random_pieces_equal_one_rebuild_and_a_plain_fold() {
    let db = common::duckdb();
    for seed in 0..60 {
        one_case(&db, seed);
    }
}

/// Events of one stream, one each line.
fn added(versions: std::ops::RangeInclusive<i64>) -> String {
    versions.map(|version| Event { stream: 1, version, kind: 0, amount: version }.line(false)).collect()
}

#[test]
fn lines_longer_than_several_chunks_count_once() {
    let mut log = String::new();
    for version in 1..=12 {
        let padding = "x".repeat([10, 300_000, 900_000, 262_144][version % 4]);
        let _ = writeln!(
            log,
            r#"{{"pad":"{padding}","stream_id":"counter-1","type":"Added","version":{version},"data":{{"amount":{version}}}}}"#
        );
    }
    let whole = Project::new(PROJECT);
    whole.write("events/1.ndjson", &log);
    let report = whole.foldline(&["run", "--json"]).exits(0).json();
    assert_eq!(report["sources"][0]["records"], 12);
    let pieces = Project::new(PROJECT);
    let mut from = 0;
    for to in [262_144, 262_145, 600_000, 1_500_001, log.len()] {
        pieces.append("events/1.ndjson", &log.as_bytes()[from..to]);
        from = to;
        pieces.foldline(&["run", "--threads", "2"]).exits(0);
    }
    assert_same(&pieces, &whole, "long lines");
}

#[test]
fn compressed_files_that_grow_by_members_and_frames_equal_one_rebuild() {
    let gzip = |text: &str| common::gzip(text);
    let zstd = |text: &str| zstd::encode_all(text.as_bytes(), 1).unwrap();
    let whole = Project::new(PROJECT);
    whole.write("events/1.ndjson", added(1..=40));
    whole.foldline(&["run"]).exits(0);
    for name in ["1.ndjson.gz", "1.ndjson.zst"] {
        let pieces = Project::new(&PROJECT.replace("*.ndjson\"", "*\""));
        for versions in [1..=10, 11..=11, 12..=40] {
            let text = added(versions);
            pieces.append(&format!("events/{name}"), if name.ends_with(".gz") { gzip(&text) } else { zstd(&text) });
            pieces.foldline(&["run"]).exits(0);
        }
        assert_same(&pieces, &whole, name);
        pieces.foldline(&["rebuild"]).exits(0);
        assert_same(&pieces, &whole, name);
    }
}

#[test]
fn a_changed_definition_replays_alone_and_the_report_still_adds_up() {
    let changed = PROJECT.replace("total + data.amount", "total + 2 * data.amount");
    let project = Project::new(PROJECT);
    project.write("events/1.ndjson", added(1..=20));
    project.foldline(&["run"]).exits(0);
    project.write("foldline.toml", &changed);
    project.append("events/1.ndjson", added(21..=25));
    let report = project.foldline(&["run", "--json", "-s", "counters"]).exits(0).json();
    assert_adds_up(&report, "after a change");
    assert_eq!(report["sources"][0]["records"], 5);
    let mode = |name: &str| report["aggregates"].as_array().unwrap().iter().find(|a| a["name"] == name).unwrap()["mode"].clone();
    assert_eq!(mode("counter"), "replayed");
    assert_ne!(mode("place"), "replayed");
    project.foldline(&["run"]).exits(0);

    let fresh = Project::new(&changed);
    fresh.write("events/1.ndjson", added(1..=25));
    fresh.foldline(&["rebuild"]).exits(0);
    assert_same(&project, &fresh, "a changed definition");
}

#[test]
fn a_consumed_compressed_file_that_changed_anywhere_or_was_cut_is_changed_history() {
    let gzip = |text: &str| {
        let mut member = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::none());
        std::io::Write::write_all(&mut member, text.as_bytes()).unwrap();
        member.finish().unwrap()
    };
    let log = added(1..=3000);
    let project = Project::new(&PROJECT.replace("*.ndjson\"", "*\""));
    project.write("events/1.ndjson.gz", gzip(&log));
    project.foldline(&["run"]).exits(0);
    project.foldline(&["run"]).exits(0);
    // of the same size on disk, and far behind the beginning
    project.write("events/1.ndjson.gz", gzip(&log.replace(r#""amount":3000"#, r#""amount":3999"#)));
    project.foldline(&["run"]).exits(10);
    let whole = gzip(&log);
    project.write("events/1.ndjson.gz", &whole[..whole.len() / 2]);
    project.foldline(&["run"]).exits(10);
    project.write("events/1.ndjson.gz", whole);
    project.foldline(&["run"]).exits(0);
}

#[test]
fn a_plain_file_that_was_cut_changed_replaced_or_removed_is_changed_history() {
    let log = added(1..=2000);
    let project = Project::new(PROJECT);
    let begin = added(1..=1);
    project.write("events/1.ndjson", &log);
    project.write("events/2.ndjson", added(2001..=2001));
    project.foldline(&["run"]).exits(0);
    let changed = [
        log[..log.len() - 1].to_string(),
        log.replacen(r#""amount":1,"#, r#""amount":9,"#, 1),
        log.replace(r#""amount":2000"#, r#""amount":2999"#),
        added(2002..=4001),
        format!("{begin}{log}"),
    ];
    for (number, text) in changed.iter().enumerate() {
        project.write("events/1.ndjson", text);
        assert_eq!(project.foldline(&["run"]).code, Some(10), "change {number}");
        assert_eq!(project.foldline(&["rebuild"]).code, Some(10), "change {number}");
    }
    fs::remove_file(project.path("events/1.ndjson")).unwrap();
    project.foldline(&["run"]).exits(10);
    project.write("events/1.ndjson", &log);
    project.foldline(&["run"]).exits(0);
}

#[test]
fn a_file_that_two_globs_name_differently_is_read_once() {
    let project =
        Project::new(&PROJECT.replace(r#"["events/*.ndjson"]"#, r#"["events/*.ndjson", "./events/1.ndjson", "events/./2.ndjson"]"#));
    project.write("events/1.ndjson", added(1..=3));
    project.write("events/2.ndjson", added(4..=6));
    let report = project.foldline(&["run", "--json"]).exits(0).json();
    assert_eq!(report["sources"][0]["records"], 6);
    assert_eq!(report["events"]["duplicates"], 0);
}
