//! The checkpoint of logs that grow, are rotated, compressed, renamed, cut, edited and deleted between runs: what was
//! consumed is known by its content, nothing is read twice, and nothing that changed goes unnoticed.

mod common;

use std::fs;
use std::io::Write;
use std::path::Path;

use common::random::Random;
use common::{Output, Project, gzip};

/// Nothing tells duplicates here: what is read twice counts twice. `whole` tells the order of the log.
const PROJECT: &str = r#"
[project]
name = "checkpoint"

[source.log]
files  = ["events/*"]
dedupe = "none"

[event.Added]
amount = "BIGINT NOT NULL"

[aggregate.counter]
source = "log"
stream = "counter-{counter}"
[aggregate.counter.state]
trail = "BIGINT DEFAULT 0"
[aggregate.counter.on.Added]
set.trail = "(trail * 31 + data.amount) % 1000003"

[aggregate.whole]
source = "log"
key    = { part = "data.amount * 0" }
[aggregate.whole.state]
trail = "BIGINT DEFAULT 0"
[aggregate.whole.on.Added]
set.trail = "(trail * 31 + data.amount) % 1000003"

[read_model.counters]
sql = "SELECT counter, trail, _events FROM counter"
[[read_model.counters.to]]
parquet = "out/counters.parquet"

[read_model.totals]
sql = "SELECT trail, _events FROM whole"
[[read_model.totals.to]]
parquet = "out/totals.parquet"

[read_model.added]
sql = 'SELECT amount, _stream FROM events."Added"'
[[read_model.added.to]]
parquet = "out/added.parquet"
"#;

fn line(number: u64) -> String {
    format!(r#"{{"stream_id":"counter-{}","type":"Added","data":{{"amount":{number},"note":"ä€😀"}}}}"#, number % 5) + "\n"
}

fn lines(numbers: std::ops::Range<u64>) -> String {
    numbers.map(line).collect()
}

/// Long lines: many bytes for little work.
fn long_lines(numbers: std::ops::Range<u64>) -> String {
    let pad = "x".repeat(30_000);
    numbers
        .map(|number| {
            format!(r#"{{"stream_id":"counter-{}","pad":"{pad}","type":"Added","data":{{"amount":{number}}}}}"#, number % 5) + "\n"
        })
        .collect()
}

fn zstd(bytes: impl AsRef<[u8]>) -> Vec<u8> {
    let mut frame = zstd::Encoder::new(Vec::new(), 1).unwrap();
    frame.include_checksum(true).unwrap();
    frame.write_all(bytes.as_ref()).unwrap();
    frame.finish().unwrap()
}

/// A project that has consumed these files.
fn consumed(files: &[(&str, &str)]) -> Project {
    let project = Project::new(PROJECT);
    for (name, text) in files {
        project.write(&format!("events/{name}"), text);
    }
    project.foldline(&["run"]).exits(0);
    project
}

fn rename(project: &Project, from: &str, to: &str) {
    fs::rename(project.path(&format!("events/{from}")), project.path(&format!("events/{to}"))).unwrap();
}

fn remove(project: &Project, name: &str) {
    fs::remove_file(project.path(&format!("events/{name}"))).unwrap();
}

/// Runs, and gives how many records were read.
#[track_caller]
fn run(project: &Project, args: &[&str]) -> u64 {
    let args: Vec<&str> = ["run", "--json"].iter().chain(args).copied().collect();
    records(&project.foldline(&args).exits(0))
}

#[track_caller]
fn records(output: &Output) -> u64 {
    output.json()["sources"][0]["records"].as_u64().unwrap()
}

fn targets(project: &Project) -> Vec<Vec<u8>> {
    ["counters", "totals", "added"].iter().map(|name| fs::read(project.path(&format!("out/{name}.parquet"))).unwrap()).collect()
}

/// What is published is what one run over these bytes publishes; and a rebuild and `verify` come to the same.
#[track_caller]
fn equals_one_run_over(project: &Project, log: &str) {
    assert!(targets(project) == targets(&consumed(&[("log", log)])), "not what one run over the whole log gives");
}

#[track_caller]
fn verifies(project: &Project) {
    project.foldline(&["verify"]).exits(0);
}

fn manifest(project: &Project) -> serde_json::Value {
    let newest = common::files_below(&project.path(".foldline/manifests"))
        .into_iter()
        .max_by_key(|path| path.file_stem().unwrap().to_str().unwrap().parse::<u64>().unwrap())
        .unwrap();
    serde_json::from_slice(&fs::read(newest).unwrap()).unwrap()
}

/// Refused as changed history, with this in the message; nothing was published.
#[track_caller]
fn history_changed(project: &Project, says: &[&str]) {
    let before = targets(project);
    let stderr = project.foldline(&["run"]).exits(10).stderr;
    for text in says {
        assert!(stderr.contains(text), "`{text}` is not in\n{stderr}");
    }
    assert!(targets(project) == before);
}

#[test]
fn a_grown_file_is_read_from_where_it_ended_and_its_segments_become_one() {
    let project = consumed(&[("a.log", &lines(0..10))]);
    for from in [10, 20, 30] {
        project.append("events/a.log", lines(from..from + 10));
        assert_eq!(run(&project, &[]), 10);
    }
    let source = &manifest(&project)["sources"][0];
    let bytes = lines(0..40).len();
    assert_eq!(source["segments"], serde_json::json!([{ "file": 0, "from": 0, "to": bytes }]));
    equals_one_run_over(&project, &lines(0..40));
    verifies(&project);
    // another file between keeps the order of the log
    for (file, from) in [("a.log", 40), ("b.log", 50), ("b.log", 60), ("a.log", 70)] {
        project.append(&format!("events/{file}"), lines(from..from + 10));
        run(&project, &[]);
    }
    assert_eq!(manifest(&project)["sources"][0]["segments"].as_array().unwrap().len(), 3);
    equals_one_run_over(&project, &lines(0..80));
    project.foldline(&["rebuild"]).exits(0);
    equals_one_run_over(&project, &lines(0..80));
}

#[test]
fn hashes_are_chained_over_blocks_and_go_on_over_runs() {
    let log = long_lines(0..1300);
    let at_once = consumed(&[("a.log", &log)]);
    let project = consumed(&[("a.log", &log[..5_000_000])]);
    for to in [18_000_000, 18_500_000, 36_000_000, log.len()] {
        project.write("events/a.log", &log[..to]);
        run(&project, &["--threads", "2"]);
    }
    let (pieces, whole) = (manifest(&project), manifest(&at_once));
    assert_eq!(pieces["sources"][0]["files"][0], whole["sources"][0]["files"][0]);
    // by the definition
    let (mut last, mut blocks) = ([0u8; 32], Vec::new());
    let mut parts = log.as_bytes().chunks_exact(16 << 20);
    for block in &mut parts {
        last = *blake3::hash(&[&last[..], block].concat()).as_bytes();
        blocks.push(blake3::Hash::from(last).to_hex().to_string());
    }
    let rest = blake3::hash(&[&last[..], parts.remainder()].concat()).to_hex().to_string();
    assert_eq!(whole["sources"][0]["files"][0]["blocks"], serde_json::json!(blocks));
    assert_eq!(whole["sources"][0]["files"][0]["rest_hash"], rest);
    assert!(blocks.len() == 2);
    // compressed: the same
    rename(&project, "a.log", "kept");
    let bytes = fs::read(project.path("events/kept")).unwrap();
    remove(&project, "kept");
    project.write("events/a.log.zst", zstd(bytes));
    assert_eq!(run(&project, &[]), 0);
    assert_eq!(manifest(&project)["sources"][0]["files"][0]["blocks"], serde_json::json!(blocks));

    // one byte in the middle of the second block, which the quick check cannot see
    let mut changed = log.clone().into_bytes();
    let at = (20 << 20) + changed[20 << 20..].windows(3).position(|w| w == b"xxx").unwrap();
    changed[at] = b'y';
    at_once.write("events/a.log", &changed);
    assert_eq!(run(&at_once, &[]), 0, "the quick check looks at the ends");
    for verb in ["verify", "rebuild"] {
        let stderr = at_once.foldline(&[verb]).exits(10).stderr;
        assert!(stderr.contains("block 2 (bytes 16777216 to 33554432) differs"), "{stderr}");
        assert!(stderr.contains("a.log, lines 558 to 1116"), "{stderr}");
    }
    // a changed definition replays, too
    at_once.write("foldline.toml", PROJECT.replace("trail * 31 + data", "trail * 37 + data"));
    history_changed(&at_once, &["block 2"]);
}

#[test]
fn every_tenth_generation_compares_all_that_was_consumed() {
    let project = consumed(&[("a.log", &lines(0..3000))]);
    let text = lines(0..3000).replace("\"amount\":1500,", "\"amount\":1501,");
    assert_eq!(text.len(), lines(0..3000).len());
    project.write("events/a.log", &text);
    for generation in 2..10 {
        project.append("events/b.log", lines(generation..generation + 1));
        run(&project, &[]);
    }
    project.append("events/b.log", lines(10..11));
    history_changed(&project, &["block 1", "a.log"]);
    project.write("events/a.log", lines(0..3000));
    assert_eq!(run(&project, &[]), 1);
}

#[test]
fn a_torn_tail_waits_for_its_end() {
    let whole = lines(0..5);
    let in_utf8 = whole.find('€').unwrap() + 1;
    for cut in [whole.len() - 1, in_utf8, whole.find('\n').unwrap() + 4] {
        let project = Project::new(PROJECT);
        project.write("events/a.log", &whole.as_bytes()[..cut]);
        project.foldline(&["run"]);
        project.append("events/a.log", &whole.as_bytes()[cut..]);
        project.foldline(&["run"]).exits(0);
        equals_one_run_over(&project, &whole);
    }
    // a write that was torn leaves NULs behind; the tail waits, however often it is looked at
    let project = consumed(&[("a.log", &lines(0..3))]);
    project.append("events/a.log", [0; 4096]);
    for _ in 0..2 {
        let output = project.foldline(&["run", "--json"]).exits(0);
        assert_eq!(records(&output), 0);
        assert!(output.json()["warnings"][0].as_str().unwrap().contains("4096 bytes"), "{:?}", output.json()["warnings"]);
    }
    // but NULs in the middle are no record
    project.append("events/a.log", lines(3..4));
    project.foldline(&["run"]).exits(65);
    project.write("events/a.log", lines(0..4));
    assert_eq!(run(&project, &[]), 1);
    equals_one_run_over(&project, &lines(0..4));
}

#[test]
fn a_file_that_was_rotated_by_renaming_goes_on_under_its_new_name_and_before_its_successor() {
    let project = consumed(&[("a.log", &lines(0..10))]);
    project.append("events/a.log", lines(10..12));
    rename(&project, "a.log", "a.log.1");
    project.write("events/a.log", lines(12..20));
    let output = project.foldline(&["run", "--json"]).exits(0);
    assert_eq!(records(&output), 10);
    assert!(output.json()["warnings"][0].as_str().unwrap().contains("a.log.1 is what events/a.log was"), "{}", output.stdout);
    equals_one_run_over(&project, &lines(0..20));
    // and once more, both at once
    rename(&project, "a.log.1", "a.log.2");
    rename(&project, "a.log", "a.log.1");
    project.write("events/a.log", lines(20..25));
    assert_eq!(run(&project, &[]), 5);
    equals_one_run_over(&project, &lines(0..25));
    project.foldline(&["rebuild"]).exits(0);
    equals_one_run_over(&project, &lines(0..25));
    verifies(&project);
}

#[test]
fn a_file_that_was_copied_and_truncated_is_found_in_its_copy() {
    let project = consumed(&[("a.log", &lines(0..10))]);
    project.write("events/a.log.1", lines(0..13));
    // shorter than it was, then longer
    for to in [15, 40] {
        project.write("events/a.log", lines(13..to));
        run(&project, &[]);
        equals_one_run_over(&project, &lines(0..to));
    }
    verifies(&project);
}

#[test]
fn a_file_that_is_compressed_after_its_rotation_is_the_same_file() {
    for (name, pack) in [("a.log.1.gz", gzip as fn(String) -> Vec<u8>), ("a.log.1.zst", zstd)] {
        let project = consumed(&[("a.log", &lines(0..2000))]);
        remove(&project, "a.log");
        project.write(&format!("events/{name}"), pack(lines(0..2010)));
        project.write("events/a.log", lines(2010..2020));
        assert_eq!(run(&project, &[]), 20);
        equals_one_run_over(&project, &lines(0..2020));
        verifies(&project);
        // renamed and nothing else: kept, once
        rename(&project, name, "old.packed");
        assert_eq!(run(&project, &[]), 0);
        let generation = manifest(&project)["generation"].clone();
        assert_eq!(manifest(&project)["sources"][0]["files"][0]["path"], "events/old.packed");
        assert_eq!(run(&project, &[]), 0);
        assert_eq!(manifest(&project)["generation"], generation);
        project.foldline(&["rebuild"]).exits(0);
        equals_one_run_over(&project, &lines(0..2020));
    }
}

#[test]
fn files_that_begin_alike_are_told_apart() {
    // more than 64 KiB in common, then they part
    let common = lines(0..2000);
    let (a, b) = (common.clone() + &lines(5000..5010), common.clone() + &lines(6000..6010));
    let project = consumed(&[("a.log", &a), ("b.log", &b)]);
    rename(&project, "a.log", "c.log");
    rename(&project, "b.log", "a.log");
    assert_eq!(run(&project, &[]), 0);
    let paths: Vec<String> =
        manifest(&project)["sources"][0]["files"].as_array().unwrap().iter().map(|f| f["path"].as_str().unwrap().to_string()).collect();
    assert_eq!(paths, ["events/c.log", "events/a.log"]);
    // a third twin is new
    project.write("events/d.log", common.clone() + &lines(7000..7010));
    assert_eq!(run(&project, &[]), 2010);
    equals_one_run_over(&project, &(a + &b + &common + &lines(7000..7010)));
    // one of them gone is not found in the others
    remove(&project, "c.log");
    history_changed(&project, &["is gone", "events/c.log", "--accept-history-change"]);
}

#[test]
fn a_file_that_is_there_twice_is_read_once() {
    // at first sight, and beside what was consumed
    let project = Project::new(PROJECT);
    project.write("events/a.log", lines(0..50));
    project.write("events/a.log.gz", gzip(lines(0..50)));
    let output = project.foldline(&["run", "--json"]).exits(0);
    assert_eq!(records(&output), 50);
    assert!(output.json()["warnings"][0].as_str().unwrap().contains("a.log.gz is not read: it holds what events/a.log holds"));
    project.write("events/b.log", lines(50..60));
    project.write("events/a.log.zst", zstd(lines(0..50)));
    assert_eq!(run(&project, &[]), 10);
    equals_one_run_over(&project, &lines(0..60));
    // the original goes: its copy takes its place
    remove(&project, "a.log");
    assert_eq!(run(&project, &[]), 0);
    verifies(&project);
    equals_one_run_over(&project, &lines(0..60));

    // a copy that goes on where the original does not
    let project = consumed(&[("a.log", &lines(0..2000))]);
    project.write("events/b.log", lines(0..2010));
    history_changed(&project, &["events/b.log holds all of events/a.log and more"]);
    remove(&project, "a.log");
    assert_eq!(run(&project, &[]), 10);
    equals_one_run_over(&project, &lines(0..2010));
}

/// How a consumed log was changed, and what the message says.
#[test]
fn a_log_that_was_changed_is_refused_and_can_be_accepted() {
    let log = lines(0..3000);
    let half = lines(0..1500).len();
    let edited = |from: &str, to: &str| log.replacen(from, to, 1);
    let cases: Vec<(String, &[&str])> = vec![
        (edited("\"amount\":1,", "\"amount\":2,"), &["block 1", "a.log, lines 1 to 3000"]),
        (edited("\"amount\":2999,", "\"amount\":2998,"), &["block 1"]),
        // cut
        (log[..half].to_string(), &["bytes were consumed, it has"]),
        // cut inside a line, and grown past the offset again
        (log[..half - 3].to_string() + "\n" + &lines(9000..12_000), &["block 1"]),
        (lines(3000..7000), &["block 1"]),
        // a line more at the beginning
        (lines(7..8) + &log, &["block 1"]),
    ];
    for (number, (text, says)) in cases.iter().enumerate() {
        let bad = number == 3;
        let project = consumed(&[("a.log", &log)]);
        project.append("events/b.log", lines(3000..3010));
        run(&project, &[]);
        project.write("events/a.log", text);
        history_changed(&project, says);
        history_changed(&project, &["--accept-history-change"]);
        project.foldline(&["rebuild"]).exits(10);
        project.foldline(&["plan"]).exits(10);
        if bad {
            // accepted, but it holds a line that is none
            project.foldline(&["run", "--accept-history-change"]).exits(65);
            continue;
        }
        let plan = project.foldline(&["plan", "--accept-history-change"]).exits(0).stdout;
        assert!(plan.contains("replay from zero: its log changed"), "{plan}");
        let output = project.foldline(&["run", "--json", "--accept-history-change"]).exits(0);
        let warnings = output.json()["warnings"].to_string();
        assert!(warnings.contains("accepted") && warnings.contains("events/a.log"), "{warnings}");
        verifies(&project);
        project.foldline(&["rebuild"]).exits(0);
        assert_eq!(run(&project, &[]), 0, "case {number}: the hashes are the new ones");
        if number < 3 {
            equals_one_run_over(&project, &(text.clone() + &lines(3000..3010)));
        } else {
            // what is behind the old end comes behind what was consumed then
            let (records, all) = (text.lines().count() + 10, manifest(&project));
            let known: u64 = all["sources"][0]["files"].as_array().unwrap().iter().map(|f| f["records"].as_u64().unwrap()).sum();
            assert_eq!(known, records as u64, "case {number}");
        }
    }
}

#[test]
fn an_edit_in_the_middle_is_accepted_block_and_all_with_several_files_and_segments() {
    let project = consumed(&[("a.log", &lines(0..2000))]);
    for (file, from) in [("b.log", 2000), ("a.log", 3000), ("b.log", 4000), ("c.log", 5000)] {
        project.append(&format!("events/{file}"), lines(from..from + 1000));
        run(&project, &[]);
    }
    // one line longer in the middle of a, b cut in its second segment, c gone
    let a = (lines(0..2000) + &lines(3000..4000)).replace("\"amount\":1000,", "\"amount\":100000,");
    project.write("events/a.log", &a);
    let b = lines(2000..3000) + &lines(4000..4400);
    project.write("events/b.log", &b);
    remove(&project, "c.log");
    project.append("events/d.log", lines(9000..9010));
    history_changed(&project, &["a.log", "block 1"]);
    project.foldline(&["run", "--accept-history-change"]).exits(0);
    // the line that is longer pushes one over the end of its segment; the last one ends behind as many lines as before
    let lines_of_a: Vec<&str> = a.split_inclusive('\n').collect();
    let log = [lines_of_a[..1999].concat(), lines(2000..3000), lines_of_a[1999..].concat(), lines(4000..4400), lines(9000..9010)];
    equals_one_run_over(&project, &log.concat());
    verifies(&project);
    project.foldline(&["rebuild"]).exits(0);
    equals_one_run_over(&project, &log.concat());
}

#[test]
fn a_line_that_was_mended_in_place_is_accepted_by_a_retry() {
    let project = Project::new(&PROJECT.replace("dedupe =", "on_bad_record = \"quarantine\"\ndedupe ="));
    project.write("events/a.log", lines(0..10).replace("\"amount\":4,", "\"amount\":x,"));
    project.foldline(&["run"]).exits(3);
    project.write("events/a.log", lines(0..10));
    project.foldline(&["run"]).exits(10);
    project.foldline(&["quarantine", "retry"]).exits(0);
    equals_one_run_over(&project, &lines(0..10));
    assert_eq!(run(&project, &[]), 0);
}

#[test]
fn a_deleted_file_stops_the_run_or_is_let_go() {
    let project = consumed(&[("a.log", &lines(0..10)), ("b.log", &lines(10..20))]);
    remove(&project, "a.log");
    history_changed(&project, &["is gone", "events/a.log", "on_vanished"]);

    project.write("foldline.toml", PROJECT.replace("dedupe =", "on_vanished = \"keep\"\ndedupe ="));
    // that is no other definition: it goes on from the snapshot
    project.append("events/b.log", lines(20..25));
    assert_eq!(run(&project, &[]), 5);
    equals_one_run_over(&project, &lines(0..25));
    let stderr = project.foldline(&["rebuild"]).exits(10).stderr;
    assert!(stderr.contains("events/a.log"), "{stderr}");
    // its name is taken by another file, which is new
    project.write("events/a.log", lines(25..30));
    assert_eq!(run(&project, &[]), 5);
    equals_one_run_over(&project, &lines(0..30));
    // it comes back
    project.write("events/old", lines(0..10));
    assert_eq!(run(&project, &[]), 0);
    project.foldline(&["rebuild"]).exits(0);
    equals_one_run_over(&project, &lines(0..30));
}

#[test]
fn retention_shifts_names_and_lets_the_oldest_go() {
    let project = Project::new(&PROJECT.replace("dedupe =", "on_vanished = \"keep\"\ndedupe ="));
    let mut log = String::new();
    for day in 0..6 {
        for number in (1..3).rev() {
            let name = format!("events/a.log.{number}.gz");
            if project.path(&name).exists() {
                fs::rename(project.path(&name), project.path(&format!("events/a.log.{}.gz", number + 1))).unwrap();
            }
        }
        if day > 0 {
            let yesterday = fs::read(project.path("events/a.log")).unwrap();
            project.write("events/a.log.1.gz", gzip(yesterday));
        }
        let today = lines(day * 10..day * 10 + 10);
        project.write("events/a.log", &today);
        log += &today;
        assert_eq!(run(&project, &[]), 10, "day {day}");
    }
    equals_one_run_over(&project, &log);
    project.foldline(&["rebuild"]).exits(10);
}

#[test]
fn a_compressed_file_that_grows_by_a_member_goes_on_and_a_cut_one_waits() {
    for (name, pack) in [("a.gz", gzip as fn(String) -> Vec<u8>), ("a.zst", zstd)] {
        let file = format!("events/{name}");
        let project = Project::new(PROJECT);
        project.write(&file, pack(lines(0..10)));
        project.foldline(&["run"]).exits(0);
        let more = pack(lines(10..500));
        project.append(&file, &more[..more.len() / 2]);
        for _ in 0..2 {
            let output = project.foldline(&["run", "--json"]).exits(0);
            assert_eq!(records(&output), 0);
            assert!(output.json()["warnings"][0].as_str().unwrap().contains("is cut and waits"), "{}", output.stdout);
            assert_eq!(output.json()["outcome"], "nothing_new");
        }
        project.append(&file, &more[more.len() / 2..]);
        assert_eq!(run(&project, &[]), 490);
        equals_one_run_over(&project, &lines(0..500));
        // the same at first sight: whole members only
        let fresh = Project::new(PROJECT);
        fresh.write(&file, [pack(lines(0..10)), more[..more.len() - 3].to_vec()].concat());
        assert_eq!(run(&fresh, &[]), 10);
        fresh.write(&file, [pack(lines(0..10)), more.clone()].concat());
        assert_eq!(run(&fresh, &[]), 490);
        equals_one_run_over(&fresh, &lines(0..500));
        verifies(&fresh);
        // junk behind the last member
        let whole = fs::read(project.path(&file)).unwrap();
        project.append(&file, "and so on");
        let stderr = project.foldline(&["run"]).exits(65).stderr;
        assert!(stderr.contains("follows the last one") && stderr.contains(&format!("{name} @ {} (on disk)", whole.len())), "{stderr}");
    }
}

#[test]
fn broken_compressed_data_never_gives_fewer_events() {
    let log = lines(0..4000);
    for pack in [gzip as fn(String) -> Vec<u8>, zstd] {
        let whole = pack(log.clone());
        let mut cases: Vec<Vec<u8>> = [10, 50, 90].iter().map(|percent| whole[..whole.len() * percent / 100].to_vec()).collect();
        for at in [whole.len() / 3, whole.len() - 6, whole.len() - 2] {
            let mut flipped = whole.clone();
            flipped[at] ^= 0x10;
            cases.push(flipped);
        }
        for (number, bytes) in cases.into_iter().enumerate() {
            let project = Project::new(PROJECT);
            project.write("events/a", bytes);
            assert_eq!(project.foldline(&["run"]).code, Some(65), "case {number}");
            project.assert_nothing_published();
        }
    }
}

#[test]
fn odd_files_are_refused_with_what_is_wrong() {
    let refused = |bytes: Vec<u8>, args: &[&str], code: i32, says: &str| {
        let project = Project::new(PROJECT);
        project.write("events/a", bytes);
        let stderr = project.foldline(&[&["run"], args].concat()).exits(code).stderr;
        assert!(stderr.contains(says), "`{says}` is not in\n{stderr}");
        project.assert_nothing_published();
    };
    // 1 GiB of zeros in 32 KB
    let mut bomb = zstd::Encoder::new(Vec::new(), 1).unwrap();
    let zeros = vec![0; 1 << 20];
    for _ in 0..1024 {
        bomb.write_all(&zeros).unwrap();
    }
    let bomb = bomb.finish().unwrap();
    assert!(bomb.len() < 200_000);
    refused(bomb, &["--max-record-bytes", "2MiB"], 65, "a line is longer than 2097152 bytes");
    refused(gzip(gzip(lines(0..10))), &[], 65, "compressed twice");
    let mut window = zstd::Encoder::new(Vec::new(), 1).unwrap();
    window.window_log(31).unwrap();
    window.write_all(lines(0..10).as_bytes()).unwrap();
    window.flush().unwrap();
    refused(window.finish().unwrap(), &[], 65, "needs a window of 2147483648 bytes");
    for pack in [|text: String| text.into_bytes(), gzip as fn(String) -> Vec<u8>, zstd] {
        let text = lines(0..3) + &long_lines(3..4).replace("xxxx", "yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy");
        let at = lines(0..3).len();
        refused(pack(text.clone()), &["--max-record-bytes", "1MB"], 65, &format!("a @ {at}"));
        let project = Project::new(PROJECT);
        project.write("events/a", pack(text));
        assert_eq!(run(&project, &[]), 4);
    }
}

#[cfg(unix)]
#[test]
fn what_is_no_log_file_is_refused() {
    use std::os::unix::fs::symlink;
    let project = consumed(&[("a.log", &lines(0..10))]);
    let published = targets(&project);
    let replace = |with: &dyn Fn(&Path)| {
        let path = project.path("events/a.log");
        if path.is_dir() {
            fs::remove_dir(&path).unwrap();
        } else {
            fs::remove_file(&path).unwrap();
        }
        with(&path);
        project.foldline(&["run"])
    };
    let device = replace(&|path| symlink("/dev/zero", path).unwrap()).exits(66);
    assert!(device.stderr.contains("is not a regular file"), "{}", device.stderr);
    let fifo = |path: &Path| assert!(std::process::Command::new("mkfifo").arg(path).status().unwrap().success());
    assert!(replace(&fifo).exits(66).stderr.contains("is not a regular file"));
    assert!(replace(&|path| fs::create_dir(path).unwrap()).exits(10).stderr.contains("is gone"));
    for own in ["out/totals.parquet", ".foldline/manifests/1.json"] {
        let stderr = replace(&|path| symlink(project.path(own), path).unwrap()).exits(78).stderr;
        assert!(stderr.contains("which foldline writes itself"), "{stderr}");
    }
    assert!(targets(&project) == published);
    replace(&|path| fs::write(path, lines(0..10)).unwrap()).exits(0);
    // a glob that reaches into the targets
    project.write("foldline.toml", PROJECT.replace("\"events/*\"", "\"events/*\", \"out/*\""));
    assert!(project.foldline(&["run"]).exits(78).stderr.contains("make the glob narrower"));
}

/// A log as an application and logrotate write it: appended to, rotated by renaming or by copying and truncating,
/// compressed later. `log` is all that was ever written.
struct Writer {
    project: Project,
    log: Vec<u8>,
    number: u64,
    rotated: Vec<String>,
    random: Random,
}

impl Writer {
    fn write(&mut self) {
        let bytes: Vec<u8> = (0..self.random.below(8)).flat_map(|i| line(self.number + i as u64).into_bytes()).collect();
        self.number += 8;
        // a line may be torn until the next write
        let torn = self.random.below(line(7).len());
        let now = if self.random.below(3) == 0 { bytes.len().saturating_sub(torn) } else { bytes.len() };
        self.project.append("events/app.log", &bytes[..now]);
        self.log.extend(&bytes);
        self.run();
        self.project.append("events/app.log", &bytes[now..]);
    }

    fn rotate(&mut self) {
        for name in self.rotated.iter_mut().rev() {
            let (stem, end) = name.split_at("app.log.".len());
            let (number, end) = end.split_once('.').map_or((end, String::new()), |(number, end)| (number, format!(".{end}")));
            let next = format!("{stem}{}{end}", number.parse::<u64>().unwrap() + 1);
            rename(&self.project, name, &next);
            *name = next;
        }
        if self.random.below(2) == 0 {
            rename(&self.project, "app.log", "app.log.1");
        } else {
            let text = fs::read(self.project.path("events/app.log")).unwrap();
            self.project.write("events/app.log.1", text);
        }
        self.project.write("events/app.log", "");
        self.rotated.insert(0, "app.log.1".into());
    }

    fn compress(&mut self) {
        if self.rotated.is_empty() {
            return;
        }
        let at = self.random.below(self.rotated.len());
        if self.rotated[at].matches('.').count() > 2 {
            return;
        }
        let (packed, end) = {
            let text = fs::read(self.project.path(&format!("events/{}", self.rotated[at]))).unwrap();
            if self.random.below(2) == 0 { (gzip(text), "gz") } else { (zstd(text), "zst") }
        };
        let name = format!("{}.{end}", self.rotated[at]);
        self.project.write(&format!("events/{name}"), packed);
        if self.random.below(4) == 0 {
            // it is there twice for a while
            self.run();
        }
        remove(&self.project, &self.rotated[at]);
        self.rotated[at] = name;
    }

    fn run(&mut self) {
        let threads = ["1", "2", "3"][self.random.below(3)];
        self.project.foldline(&["run", "--threads", threads]).exits(0);
    }
}

#[test]
fn random_appends_rotations_and_compressions_equal_one_run_over_all_that_was_written() {
    let sequences = std::env::var("FOLDLINE_ROTATIONS").ok().and_then(|n| n.parse().ok()).unwrap_or(24);
    let seed: u64 = std::env::var("FOLDLINE_SEED").ok().and_then(|n| n.parse().ok()).unwrap_or(1);
    for case in 0..sequences {
        let random = Random(seed.wrapping_mul(1_000_003) + case);
        let mut writer = Writer { project: Project::new(PROJECT), log: Vec::new(), number: case * 1000, rotated: Vec::new(), random };
        writer.project.write("events/app.log", line(case));
        writer.log.extend(line(case).into_bytes());
        writer.run();
        for _ in 0..4 + writer.random.below(4) {
            match writer.random.below(4) {
                0 => writer.rotate(),
                1 => writer.compress(),
                _ => writer.write(),
            }
            // more than one rotation between two runs, and nobody knows which new file is the older one
            writer.run();
        }
        writer.run();
        let expected = consumed(&[("log", std::str::from_utf8(&writer.log).unwrap())]);
        assert!(targets(&writer.project) == targets(&expected), "sequence {case}, FOLDLINE_SEED={seed}");
        if case % 4 == 0 {
            writer.project.foldline(&["rebuild"]).exits(0);
            assert!(targets(&writer.project) == targets(&expected), "sequence {case} rebuilt, FOLDLINE_SEED={seed}");
            verifies(&writer.project);
        }
    }
    println!("{sequences} sequences of appends, rotations and compressions, FOLDLINE_SEED={seed}");
}
