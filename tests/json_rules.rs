//! What is JSON and what is not: every case of JSONTestSuite as a record and as a payload that somebody reads or nobody
//! does, and random damage against serde_json.

mod common;

use std::collections::BTreeMap;
use std::path::Path;

use common::random::Random;
use foldline::project::{Project, load_text};
use foldline::source::chunks::Chunk;
use foldline::source::json::{self, DEPTH_MAX};
use foldline::source::{BadKind, Batch, Decoder, Route};

struct Case {
    name: &'static str,
    bytes: Vec<u8>,
}

/// The table in json_rules/cases.txt.
fn cases() -> Vec<Case> {
    let lines = include_str!("json_rules/cases.txt").lines().filter(|line| !line.starts_with('#'));
    let case = |line: &'static str| {
        let (name, content) = line.split_once('\t').expect("name, tab, content");
        let bytes = match content.strip_prefix("repeat ") {
            None => plain(content),
            Some(parts) => parts.split('|').flat_map(repeated).collect(),
        };
        Case { name, bytes }
    };
    lines.map(case).collect()
}

fn repeated(part: &str) -> Vec<u8> {
    match part.split_once('*') {
        Some((count, part)) => plain(part).repeat(count.parse().expect("a number")),
        None => plain(part),
    }
}

fn plain(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        out.push(match (byte, byte == b'\\') {
            (_, true) => match rest.next().expect("an escape") {
                b'n' => b'\n',
                b'r' => b'\r',
                b't' => b'\t',
                b'x' => {
                    let hex = [rest.next().expect("a digit"), rest.next().expect("a digit")];
                    u8::from_str_radix(std::str::from_utf8(&hex).expect("digits"), 16).expect("digits")
                }
                other => other,
            },
            (byte, false) => byte,
        });
    }
    out
}

/// What is done with the cases that the suite leaves open; docs/input.md has the same list.
fn accepted(name: &str) -> bool {
    match name.split_once('_').expect("a letter and a name") {
        ("y", _) => true,
        ("n", _) => false,
        // numbers of any size are text that converts exactly or not at all, by the type that is asked for
        (_, rest) if rest.starts_with("number") => true,
        // surrogates that stand alone are no text, but as an escape they are JSON: whoever reads the string is told
        (_, "object_key_lone_2nd_surrogate")
        | (_, "string_1st_surrogate_but_2nd_missing")
        | (_, "string_1st_valid_surrogate_2nd_invalid")
        | (_, "string_incomplete_surrogate_and_escape_valid")
        | (_, "string_incomplete_surrogate_pair")
        | (_, "string_incomplete_surrogates_escape_valid")
        | (_, "string_invalid_lonely_surrogate")
        | (_, "string_invalid_surrogate")
        | (_, "string_inverted_surrogates_U+1D11E")
        | (_, "string_lone_second_surrogate") => true,
        // at the beginning of a file
        (_, "structure_UTF-8_BOM_empty_object") => true,
        // what is not UTF-8, and what is nested more than 128 deep
        _ => false,
    }
}

/// A file of nothing else is empty, and an empty line is no record.
const EMPTY: [&str; 3] = ["n_single_space", "n_structure_no_data", "n_structure_UTF8_BOM_no_data"];

const PROJECT: &str = r#"
[source.s]
files = ["*.ndjson"]
[event.Read]
x = "JSON"
[aggregate.a]
stream = "a-{id}"
[aggregate.a.state]
x = "JSON"
[aggregate.a.on.Read]
take = ["x"]
[aggregate.a.on.Unread]
set.x = "'{}'"
"#;

fn project() -> Project {
    load_text(PROJECT, Path::new("foldline.toml"), Path::new("/nowhere"), &BTreeMap::new(), &|_| None)
        .unwrap_or_else(|errors| panic!("{}", errors[0]))
}

fn decoded(project: &Project, bytes: Vec<u8>) -> Batch {
    let chunk = Chunk { ordinal: 0, segment: 0, starts_file: true, packed: bytes.len() as u64, bytes, pending: 0 };
    Decoder::new(project, 0).decode(&chunk).expect("the rules fit every type")
}

/// The byte (from 1) that a refusal names.
fn byte_of(reason: &str) -> usize {
    let (_, rest) = reason.split_once(" at byte ").unwrap_or_else(|| panic!("no byte in: {reason}"));
    let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().unwrap_or_else(|_| panic!("no byte in: {reason}"))
}

#[test]
fn every_case_of_the_test_suite_is_judged_as_a_record() {
    let project = project();
    for Case { name, bytes } in cases() {
        if bytes.contains(&b'\n') {
            // several records: the text as a whole is judged below
            continue;
        }
        let length = bytes.len();
        let batch = decoded(&project, bytes);
        if EMPTY.contains(&name) {
            assert_eq!((batch.records, batch.empty), (batch.lines, batch.lines), "{name}");
            continue;
        }
        assert_eq!((batch.records, batch.bad.len()), (1, 1), "{name} is no event");
        let bad = &batch.bad[0];
        // a record without an envelope is bad all the same, but not for its JSON
        assert_eq!(bad.kind == BadKind::Envelope, accepted(name), "{name}: {}", bad.reason);
        if !accepted(name) {
            assert_eq!(bad.kind, BadKind::NotJson, "{name}: {}", bad.reason);
            assert!((1..=length + 1).contains(&byte_of(&bad.reason)), "{name}: {}", bad.reason);
        }
    }
}

#[test]
fn every_case_of_the_test_suite_is_judged_as_a_payload_whether_somebody_reads_it_or_not() {
    let project = project();
    for Case { name, bytes } in cases() {
        if bytes.contains(&b'\n') {
            continue;
        }
        for event_type in ["Read", "Unread", "Nobody"] {
            let mut record = format!(r#"{{"stream_id":"a-1","type":"{event_type}","data":{{"x":"#).into_bytes();
            record.extend(&bytes);
            record.extend(b"}}");
            let length = record.len();
            let batch = decoded(&project, record);
            // a BOM in the middle is none, and the brackets around count
            let good = accepted(name) && !name.contains("BOM");
            let lone_surrogate = good && std::str::from_utf8(&bytes).is_ok_and(|text| json::is_text(text).is_err());
            match batch.bad.first() {
                None => {
                    assert!(good, "{name} of {event_type} was taken");
                    assert!(!(lone_surrogate && event_type == "Read"), "{name} is no text");
                    assert_eq!(batch.events.route[0] == Route::Filtered, event_type == "Nobody", "{name}");
                }
                Some(bad) if lone_surrogate && event_type == "Read" => {
                    assert_eq!(bad.kind, BadKind::Contract, "{name}: {}", bad.reason);
                    assert!(bad.reason.contains("surrogate"), "{name}: {}", bad.reason);
                }
                Some(bad) => {
                    assert!(!good && bad.kind == BadKind::NotJson, "{name} of {event_type}: {}", bad.reason);
                    assert!((1..=length + 1).contains(&byte_of(&bad.reason)), "{name}: {}", bad.reason);
                }
            }
        }
    }
}

#[test]
fn every_case_of_the_test_suite_is_judged_as_a_text_of_several_lines() {
    let mut judged = BTreeMap::new();
    for Case { name, bytes } in cases() {
        let text = std::str::from_utf8(&bytes).ok();
        let text = text.map(|text| text.strip_prefix('\u{feff}').unwrap_or(text));
        let good = text.is_some_and(|text| json::check(text).is_ok());
        assert_eq!(good, accepted(name), "{name}");
        *judged.entry(&name[..1]).or_insert(0) += 1;
    }
    assert_eq!(judged, BTreeMap::from([("i", 35), ("n", 188), ("y", 95)]));
}

#[test]
fn the_documentation_lists_every_case_that_is_left_open() {
    let page = include_str!("../docs/input.md");
    for Case { name, .. } in cases().into_iter().filter(|case| case.name.starts_with("i_")) {
        let line = page.lines().find(|line| line.contains(&format!("`{name}`"))).unwrap_or_else(|| panic!("docs/input.md lacks {name}"));
        let verdict = if accepted(name) { "| taken" } else { "| refused" };
        assert!(line.contains(verdict), "{name} is not {verdict}: {line}");
    }
}

#[test]
fn the_table_is_the_test_suites() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data/json-test-suite/test_parsing");
    let Ok(files) = std::fs::read_dir(&folder) else {
        eprintln!("skipped: {} is not here", folder.display());
        return;
    };
    let mut table: BTreeMap<String, Vec<u8>> = cases().into_iter().map(|case| (format!("{}.json", case.name), case.bytes)).collect();
    for file in files {
        let path = file.expect("a file").path();
        let name = path.file_name().expect("a name").to_string_lossy().into_owned();
        assert!(table.remove(&name).is_some_and(|bytes| bytes == std::fs::read(&path).expect("its bytes")), "{name}");
    }
    assert!(table.is_empty(), "the suite has no {:?}", table.keys());
}

#[test]
fn damaged_cases_are_judged_as_serde_json_does() {
    let random = &mut Random(11);
    let short: Vec<Vec<u8>> = cases().into_iter().map(|case| case.bytes).filter(|bytes| bytes.len() < 200).collect();
    let (mut good, mut bad) = (0, 0);
    for _ in 0..60_000 {
        let mut bytes = short[random.below(short.len())].clone();
        for _ in 0..1 + random.below(3) {
            let at = random.below(bytes.len() + 1);
            match random.below(5) {
                // a piece of another case in the middle
                0 => {
                    let other = &short[random.below(short.len())];
                    bytes.splice(at..at, other.iter().copied());
                }
                1 if at < bytes.len() => drop(bytes.remove(at)),
                2 if at < bytes.len() => bytes[at] = random.of(b"\"\\{}[],:0-.eE+ntf\x00\x1f\x7f\xc3\xed\n /"),
                3 => bytes.insert(at, random.of(b"\"\\{}[],: 019u")),
                _ => bytes.truncate(at),
            }
        }
        let Ok(text) = std::str::from_utf8(&bytes) else { continue };
        let expected = serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok();
        assert_eq!(json::check(text).is_ok(), expected, "{text:?}: {:?}", json::check(text));
        (good, bad) = (good + u32::from(expected), bad + u32::from(!expected));
    }
    assert!(good > 3_000 && bad > 20_000, "too few of a kind: {good} good, {bad} bad");
}

#[test]
fn brackets_nest_128_deep_and_no_deeper() {
    for (open, inner, close) in [("[", "", "]"), ("{\"a\":", "1", "}")] {
        let nested = |depth: usize| format!("{}{inner}{}", open.repeat(depth), close.repeat(depth));
        assert!(json::check(&nested(DEPTH_MAX as usize)).is_ok());
        let refused = json::check(&nested(DEPTH_MAX as usize + 1)).expect_err("too deep");
        assert_eq!(refused.offset, open.len() * DEPTH_MAX as usize, "{}", refused.message);
    }
}
