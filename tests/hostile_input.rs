//! Hostile input through the whole of a run: the nastiest records, names and numbers. What can be used is published
//! exactly, what cannot is refused with its place, and nothing crashes.

mod common;

use std::path::Path;
use std::time::Instant;

use common::{Project, duckdb, literal};

/// A project over `log.ndjson`: a counter by stream, and a table of what events of the type `T` hold.
const PROJECT: &str = r#"
[source.s]
files = ["*.ndjson"]
[event.T]
n = "BIGINT"
t = "VARCHAR"
[aggregate.a]
stream = "a-{id}"
[aggregate.a.state]
n = "BIGINT DEFAULT 0"
t = "VARCHAR"
[aggregate.a.on.T]
set.n = "n + coalesce(data.n, 1)"
set.t = "data.t"
[read_model.m]
sql = "SELECT id, n, t, _events, _version FROM a"
[[read_model.m.to]]
parquet = "out/m.parquet"
"#;

fn record(stream: &str, version: u64, data: &str) -> String {
    let stream = serde_json::json!(stream);
    format!("{{\"stream_id\":{stream},\"type\":\"T\",\"version\":{version},\"data\":{data}}}\n")
}

fn project(log: impl AsRef<[u8]>) -> Project {
    let project = Project::new(PROJECT);
    project.write("log.ndjson", log);
    project
}

/// The first column of a query over a Parquet file, as text.
fn texts(file: &Path, select: &str) -> Vec<Option<String>> {
    let db = duckdb();
    let query = format!("SELECT CAST(x AS VARCHAR) FROM (SELECT {select} AS x FROM {}) ORDER BY 1", literal(file));
    let mut statement = db.prepare(&query).unwrap_or_else(|e| panic!("{e}\nin {query}"));
    statement.query_map([], |row| row.get(0)).unwrap().collect::<Result<_, _>>().unwrap()
}

fn one(file: &Path, select: &str) -> String {
    let mut found = texts(file, select);
    assert_eq!(found.len(), 1, "{select}: {found:?}");
    found.remove(0).unwrap_or_else(|| "NULL".into())
}

/// Runs a log that must be refused; gives the message.
#[track_caller]
fn refused(log: impl AsRef<[u8]>) -> String {
    let project = project(log);
    let output = project.foldline(&["run"]).exits(65);
    project.assert_nothing_published();
    output.stderr
}

#[test]
fn a_line_cut_inside_of_a_character_is_bad_with_its_byte_and_an_unfinished_one_waits() {
    let whole = record("a-1", 1, r#"{"t":"é"}"#);
    let cut = whole.find('é').unwrap() + 1;
    let mut log = record("a-1", 0, "{}").into_bytes();
    log.extend(&whole.as_bytes()[..cut]);
    let mut broken = log.clone();
    broken.extend(b"\n");
    let message = refused(&broken);
    assert!(message.contains(&format!("log.ndjson:2: not JSON: the line is not UTF-8 at byte {cut}")), "{message}");

    let project = project(&log);
    project.foldline(&["run"]).exits(0);
    assert_eq!(one(&project.path("out/m.parquet"), "n"), "1");
    project.append("log.ndjson", &whole.as_bytes()[cut..]);
    project.foldline(&["run"]).exits(0);
    assert_eq!(one(&project.path("out/m.parquet"), "t"), "é");
}

#[test]
fn four_kibibytes_of_nuls_are_one_bad_record_that_can_be_skipped() {
    let mut log = record("a-1", 1, "{}").into_bytes();
    log.extend([0; 4096]);
    log.extend(b"\n");
    log.extend(record("a-1", 2, "{}").bytes());
    let message = refused(&log);
    assert!(message.contains("log.ndjson:2: not JSON: NUL bytes (a torn write?) at byte 1: `\\u0000"), "{message}");

    let project = Project::new(&PROJECT.replace("[event.T]", "on_bad_record = \"skip\"\n[event.T]"));
    project.write("log.ndjson", &log);
    let report = project.foldline(&["run", "--json"]).exits(0).json();
    assert_eq!((&report["sources"][0]["records"], &report["sources"][0]["bad"]), (&3.into(), &1.into()));
    assert_eq!(one(&project.path("out/m.parquet"), "n"), "2");
}

#[test]
fn a_hundred_thousand_brackets_are_refused_wherever_they_stand() {
    let brackets = "[".repeat(100_000);
    let message = refused(format!("{brackets}\n"));
    assert!(message.contains("log.ndjson:1: not JSON: nested more than 128 deep at byte 129"), "{message}");
    let message = refused(record("a-1", 1, &brackets));
    assert!(message.contains("nested more than 128 deep"), "{message}");
    let message = refused(record("a-1", 1, &format!("\"{brackets}\"")));
    assert!(message.contains("a string that holds no JSON: nested more than 128 deep at byte 129"), "{message}");
    // text that no contract takes for JSON is text
    let project = project(record("a-1", 1, &format!("{{\"t\":\"{brackets}\"}}")));
    project.foldline(&["run"]).exits(0);
    assert_eq!(one(&project.path("out/m.parquet"), "length(t)"), "100000");
}

#[test]
fn the_last_of_duplicate_keys_counts_however_it_is_written() {
    let log = r#"{"type":"X","stream_id":"a-0","version":7,"stream\u005fid":"a-1","version":1,"t\u0079pe":"T","data":{"n":1,"\u006e":5,"t":"a","t":"b"},"version":1}"#;
    let project = project(format!("{log}\n"));
    project.foldline(&["run"]).exits(0);
    assert_eq!(one(&project.path("out/m.parquet"), "id || n || t || _version"), "15b1");
}

#[test]
fn lone_surrogates_are_bad_where_they_are_read_and_no_matter_elsewhere() {
    for (data, message) in
        [(r#"{"t":"a\ud800"}"#, "contract: `t` of T: a lone surrogate"), (r#"{"n":1,"t":"\udc00\ud800"}"#, "a lone surrogate")]
    {
        let said = refused(record("a-1", 1, data));
        assert!(said.contains(message), "{said}");
    }
    let said = refused("{\"stream_id\":\"a-\\ud800\",\"type\":\"T\",\"version\":1}\n");
    assert!(said.contains("log.ndjson:1: envelope: `stream`: a lone surrogate"), "{said}");
    let project = project(record("a-1", 1, r#"{"n":3,"unread":"\ud800","\udfff":1,"t":"\ud83d\ude00"}"#));
    project.foldline(&["run"]).exits(0);
    assert_eq!(one(&project.path("out/m.parquet"), "n || t"), "3😀");
}

#[test]
fn a_nul_character_is_a_character_in_values_and_names() {
    let log = record("a-x\0y", 1, r#"{"t":"p\u0000q"}"#) + &record("a-x", 1, "{}");
    let project = Project::new(&(PROJECT.to_string() + "[[read_model.m.to]]\nduckdb = \"out/m.duckdb\"\n"));
    project.write("log.ndjson", &log);
    project.foldline(&["run"]).exits(0);
    let file = project.path("out/m.parquet");
    assert_eq!(texts(&file, "hex(id) || ':' || coalesce(hex(t), '')"), [Some("780079:700071".into()), Some("78:".into())]);
    let db = duckdb::Connection::open_with_flags(
        project.path("out/m.duckdb"),
        duckdb::Config::default().access_mode(duckdb::AccessMode::ReadOnly).unwrap(),
    )
    .unwrap();
    let length: i64 = db.query_row("SELECT sum(length(id)) FROM m", [], |row| row.get(0)).unwrap();
    assert_eq!(length, 4);
    // and again from the snapshot
    project.append("log.ndjson", record("a-x\0y", 2, r#"{"t":"z"}"#));
    project.foldline(&["run"]).exits(0);
    assert_eq!(texts(&file, "hex(id) || _events"), [Some("7800792".into()), Some("781".into())]);
    project.foldline(&["verify"]).exits(0);
}

#[test]
fn a_byte_order_mark_is_passed_over_at_the_beginning_of_a_file_only() {
    let project = project("\u{feff}".to_string() + &record("a-1", 1, "{}"));
    project.foldline(&["run"]).exits(0);
    let said = refused(record("a-1", 1, "{}") + "\u{feff}" + &record("a-1", 2, "{}"));
    assert!(said.contains("log.ndjson:2: not JSON: a value was expected at byte 1: `\\ufeff{"), "{said}");
}

#[test]
fn overlong_utf8_and_encoded_surrogates_are_no_utf8() {
    for bytes in [&b"\xc0\xaf"[..], b"\xe0\x80\xaf", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xff"] {
        let mut log = b"{\"stream_id\":\"a-1\",\"type\":\"T\",\"version\":1,\"data\":{\"unread\":\"".to_vec();
        let at = log.len() + 1;
        log.extend(bytes);
        log.extend(b"\"}}\n");
        let said = refused(log);
        assert!(said.contains(&format!("log.ndjson:1: not JSON: the line is not UTF-8 at byte {at}")), "{said}");
    }
}

/// What numbers become in each type, the table of docs/input.md: `None` is a bad event.
const NUMBERS: [(&str, [Option<&str>; 5]); 16] = [
    ("-0", [Some("0"), Some("0.00"), Some("0.0"), Some("-0"), Some("0")]),
    ("1.50", [None, Some("1.50"), Some("1.5"), Some("1.50"), None]),
    ("1.505", [None, None, Some("1.505"), Some("1.505"), None]),
    ("1e2", [Some("100"), Some("100.00"), Some("100.0"), Some("1e2"), Some("100")]),
    (
        "9007199254740993.0",
        [
            Some("9007199254740993"),
            Some("9007199254740993.00"),
            Some("9007199254740992.0"),
            Some("9007199254740993.0"),
            Some("9007199254740993"),
        ],
    ),
    (
        "9007199254740993",
        [
            Some("9007199254740993"),
            Some("9007199254740993.00"),
            Some("9007199254740992.0"),
            Some("9007199254740993"),
            Some("9007199254740993"),
        ],
    ),
    (
        "9223372036854775807",
        [Some("9223372036854775807"), None, Some("9.223372036854776e+18"), Some("9223372036854775807"), Some("9223372036854775807")],
    ),
    ("9223372036854775808", [None, None, Some("9.223372036854776e+18"), Some("9223372036854775808"), Some("9223372036854775808")]),
    ("18446744073709551616", [None, None, Some("1.8446744073709552e+19"), Some("18446744073709551616"), Some("18446744073709551616")]),
    (
        "170141183460469231731687303715884105728",
        [None, None, Some("1.7014118346046923e+38"), Some("170141183460469231731687303715884105728"), None],
    ),
    ("1e400", [None, None, None, Some("1e400"), None]),
    ("-1e400", [None, None, None, Some("-1e400"), None]),
    ("1e-400", [None, None, Some("0.0"), Some("1e-400"), None]),
    ("1e999999999999999999999", [None, None, None, Some("1e999999999999999999999"), None]),
    ("\"NaN\"", [None, None, Some("nan"), Some("NaN"), None]),
    (
        "\"9007199254740993\"",
        [
            Some("9007199254740993"),
            Some("9007199254740993.00"),
            Some("9007199254740992.0"),
            Some("9007199254740993"),
            Some("9007199254740993"),
        ],
    ),
];

#[test]
fn a_number_becomes_exactly_what_it_says_in_its_type_or_a_bad_event() {
    let types = ["BIGINT", "DECIMAL(18,2)", "DOUBLE", "VARCHAR", "HUGEINT"];
    for (column, ty) in types.iter().enumerate() {
        let project = Project::new(&format!(
            r#"
            [source.s]
            files = ["*.ndjson"]
            on_bad_record = "skip"
            [event.T]
            x = "{ty}"
            [aggregate.a]
            stream = "a-{{id}}"
            [aggregate.a.state]
            x = "{ty}"
            [aggregate.a.on.T]
            take = ["x"]
            [read_model.m]
            sql = "SELECT id::INTEGER AS id, x FROM a"
            [[read_model.m.to]]
            parquet = "m.parquet"
            "#
        ));
        let log = NUMBERS
            .iter()
            .enumerate()
            .map(|(i, (number, _))| format!("{{\"stream_id\":\"a-{i}\",\"type\":\"T\",\"version\":1,\"data\":{{\"x\":{number}}}}}\n"));
        project.write("log.ndjson", log.collect::<String>());
        let report = project.foldline(&["run", "--json"]).exits(0).json();
        let bad = NUMBERS.iter().filter(|(_, expected)| expected[column].is_none()).count();
        assert_eq!(report["bad"]["by_kind"].get("contract").and_then(|n| n.as_u64()).unwrap_or(0), bad as u64, "{ty}");
        for (i, (number, expected)) in NUMBERS.iter().enumerate() {
            let found = texts(&project.path("m.parquet"), &format!("unnest(list(x) FILTER (WHERE id = {i}))"));
            let expected: Vec<Option<String>> = expected[column].iter().map(|text| Some(text.to_string())).collect();
            assert_eq!(found, expected, "{number} as {ty}");
        }
    }
}

#[test]
fn nan_and_infinity_are_no_json() {
    for number in ["NaN", "Infinity", "-Infinity", "nan", "0x10", "1.", ".5", "+1", "01"] {
        let said = refused(record("a-1", 1, &format!("{{\"unread\":{number}}}")));
        assert!(said.contains("log.ndjson:1: not JSON: "), "{number}: {said}");
    }
}

#[test]
fn versions_at_the_edge_of_their_type_are_told_from_those_beyond() {
    let said = refused("{\"stream_id\":\"a-1\",\"type\":\"T\",\"version\":9223372036854775808}\n");
    assert!(said.contains("log.ndjson:1: envelope: `version`: "), "{said}");
    let said = refused("{\"stream_id\":\"a-1\",\"type\":\"T\",\"version\":1.5}\n");
    assert!(said.contains("log.ndjson:1: envelope: `version`: "), "{said}");
    // the greatest one is far ahead, the least one far behind
    let said = refused(record("a-1", 1, "{}") + &record("a-1", i64::MAX as u64, "{}"));
    assert!(said.contains("stream `a-1` jumps from version 1 to 9223372036854775807"), "{said}");
    let said = refused(record("a-1", 1, "{}") + "{\"stream_id\":\"a-1\",\"type\":\"T\",\"version\":-9223372036854775808}\n");
    assert!(said.contains("log.ndjson:2: conflict: stream `a-1` has version -9223372036854775808 again"), "{said}");
}

#[test]
fn a_version_that_goes_backwards_is_a_duplicate_and_the_last_one_with_another_content_a_conflict() {
    let first_two = record("a-1", 1, r#"{"n":1}"#) + &record("a-1", 2, r#"{"n":10}"#);
    let project = project(first_two.clone() + &record("a-1", 1, r#"{"n":1}"#) + &record("a-1", 2, r#"{"n":10}"#));
    let report = project.foldline(&["run", "--json"]).exits(0).json();
    assert_eq!((&report["events"]["duplicates"], &report["events"]["folded"]), (&2.into(), &2.into()));
    assert_eq!(one(&project.path("out/m.parquet"), "n"), "11");
    let said = refused(first_two + &record("a-1", 2, r#"{"n":11}"#));
    assert!(said.contains("log.ndjson:3: conflict: stream `a-1` has version 2 again"), "{said}");
    // the same id is the same event, whatever else it holds: the first one counts
    let with_id = |n: u32| format!("{{\"stream_id\":\"a-1\",\"type\":\"T\",\"version\":1,\"id\":\"e1\",\"data\":{{\"n\":{n}}}}}\n");
    let project = self::project(with_id(1) + &with_id(5));
    let report = project.foldline(&["run", "--json"]).exits(0).json();
    assert_eq!(report["events"]["duplicates"], 1);
    assert_eq!(one(&project.path("out/m.parquet"), "n"), "1");
}

#[test]
fn objects_with_very_many_keys_cost_one_pass() {
    let members = |count: usize| (0..count).map(|i| format!("\"key{i}\":{i}")).collect::<Vec<_>>().join(",");
    let begun = Instant::now();
    // a million keys that nobody wants in the payload, a hundred thousand beside the envelope
    let payload = format!("{{\"n\":4,{},\"t\":\"end\"}}", members(1_000_000));
    let log = format!("{{\"stream_id\":\"a-1\",{},\"type\":\"T\",\"version\":1,\"data\":{payload}}}\n", members(100_000));
    let project = project(log);
    project.foldline(&["run"]).exits(0);
    assert_eq!(one(&project.path("out/m.parquet"), "n || t"), "4end");
    assert!(begun.elapsed().as_secs() < 60, "took {:?}", begun.elapsed());
}

#[test]
fn a_map_of_very_many_keys_is_a_value_like_others() {
    let project =
        Project::new(&PROJECT.replace("t = \"VARCHAR\"", "t = \"MAP(VARCHAR, INTEGER)\"").replace("n, t,", "n, cardinality(t) AS t,"));
    let map = (0..100_000).map(|i| format!("\"key{i}\":{i}")).collect::<Vec<_>>().join(",");
    project.write("log.ndjson", record("a-1", 1, &format!("{{\"t\":{{{map}}}}}")));
    project.foldline(&["run"]).exits(0);
    assert_eq!(one(&project.path("out/m.parquet"), "t"), "100000");
}

#[test]
fn names_of_a_megabyte_are_folded_and_cut_in_messages_only() {
    let long = "x".repeat(1 << 20);
    let project = project(record(&format!("a-{long}"), 1, "{}") + &record(&format!("a-{long}"), 2, r#"{"n":5}"#));
    project.foldline(&["run"]).exits(0);
    assert_eq!(one(&project.path("out/m.parquet"), "length(id) || ' ' || n"), "1048576 6");
    project.append("log.ndjson", record(&format!("a-{long}"), 4, "{}"));
    let said = project.foldline(&["run"]).exits(65).stderr;
    assert!(said.contains("jumps from version 2 to 4") || said.len() < 20_000, "{said:.2000}");
    assert!(said.len() < 20_000, "{} bytes", said.len());

    let event_type = "T".repeat(1 << 20);
    let log = format!("{{\"stream_id\":\"a-1\",\"type\":\"{event_type}\",\"version\":1,\"data\":7}}\n");
    for (rules, code) in [("on.T", 0), ("on.\"*\"", 65)] {
        let project =
            Project::new(&PROJECT.replace("aggregate.a.on.T", &format!("aggregate.a.{rules}")).replace("[event.T]", "[event.\"*\"]"));
        project.write("log.ndjson", &log);
        let output = project.foldline(&["run"]).exits(code);
        assert!(output.stderr.len() < 20_000, "{} bytes", output.stderr.len());
    }
}

#[test]
fn two_hundred_thousand_event_types_are_filtered_or_counted() {
    let log: String = (0..200_000).map(|i| format!("{{\"stream_id\":\"a-1\",\"type\":\"type-{i}\",\"version\":{}}}\n", i + 1)).collect();
    let project = project(&log);
    let report = project.foldline(&["run", "--json"]).exits(0).json();
    assert_eq!(report["events"]["filtered"], 200_000);
    let memory = report["peak_memory_bytes"].as_u64().unwrap_or(0);
    assert!(memory < 1 << 30, "{memory} bytes");
    // a rule for all types makes a plan for each
    let project = Project::new(&PROJECT.replace("aggregate.a.on.T", "aggregate.a.on.\"*\"").replace("[event.T]", "[event.\"*\"]"));
    project.write("log.ndjson", common::lines(log.as_bytes())[..20_000].concat());
    project.foldline(&["run"]).exits(0);
    assert_eq!(one(&project.path("out/m.parquet"), "n"), "20000");
}

#[test]
fn a_time_is_a_moment_and_an_infinite_one_a_bad_record() {
    let record = |time: &str| format!("{{\"stream_id\":\"a-1\",\"type\":\"T\",\"version\":1,\"time\":{time}}}\n");
    let times =
        ["\"infinity\"", "\"-infinity\"", "1e400", "1577836800", "\"\"", "\"2020-02-30\"", "\"2016-12-31T23:59:60Z\"", "{}", "true"];
    for time in times {
        let said = refused(record(time));
        assert!(said.contains("log.ndjson:1: envelope: `time`: "), "{time}: {said}");
    }
    // the first and the last moment that there are, also where the time of the log is read
    for (time, text) in [("294247-01-10 04:00:54.775806", "294247-01-10"), ("290309-12-22 (BC) 00:00:00", "290309-12-22 (BC)")] {
        let file = PROJECT.replace("SELECT id, n, t", "SELECT id, as_of()::DATE AS d, n, t");
        let project = Project::new(&file);
        project.write("log.ndjson", record(&format!("\"{time}\"")));
        project.foldline(&["run"]).exits(0);
        assert_eq!(one(&project.path("out/m.parquet"), "d"), text);
    }
}

#[test]
fn a_test_may_give_the_greatest_version_and_go_on() {
    let tests = "[[test]]\nname = \"x\"\ngiven = [\n{ stream = \"a-1\", type = \"T\", version = 9223372036854775807 },\n{ stream = \"a-1\", type = \"T\" },\n]\nthen = { a = [] }\n";
    let output = Project::new(&format!("{PROJECT}{tests}")).foldline(&["test"]);
    assert!(matches!(output.code, Some(0 | 13)), "{}", output.stderr);
}
