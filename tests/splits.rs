//! A log in pieces gives the same bytes as the log at once.

mod common;

use std::collections::BTreeMap;

use common::{Project, SHOP_LOGS, fixture, lines, shop_log};

/// The whole log in one run.
fn at_once() -> BTreeMap<String, Vec<u8>> {
    let project = Project::shop();
    project.foldline(&["rebuild"]).exits(0);
    project.parquet()
}

#[track_caller]
fn assert_same(found: &BTreeMap<String, Vec<u8>>, expected: &BTreeMap<String, Vec<u8>>) {
    for (name, bytes) in found {
        assert!(*bytes == expected[name], "{name} differs");
    }
}

/// Appends the log to one file, cut at these byte offsets, with a run after each piece.
fn in_pieces(cuts: &[usize]) -> Project {
    let log = shop_log();
    let project = Project::shop_without_logs();
    let mut from = 0;
    for &to in cuts.iter().chain([&log.len()]) {
        project.append("events/shop.ndjson", &log[from..to]);
        project.foldline(&["run"]).exits(0);
        from = to;
    }
    project
}

/// The offset behind the n-th line.
fn line_end(log: &[u8], n: usize) -> usize {
    lines(log)[..n].iter().map(|line| line.len()).sum()
}

#[test]
fn a_file_that_grows_at_a_line_end() {
    let project = in_pieces(&[line_end(&shop_log(), 11_000)]);
    assert_same(&project.parquet(), &at_once());
}

#[test]
fn a_file_that_is_torn_in_the_middle_of_a_line() {
    let log = shop_log();
    let torn = line_end(&log, 9_000) + 40;
    assert_ne!(log[torn - 1], b'\n');
    let project = in_pieces(&[torn]);
    assert_same(&project.parquet(), &at_once());
}

#[test]
fn a_torn_line_waits_for_its_end() {
    let log = shop_log();
    let project = Project::shop_without_logs();
    project.write("events/shop.ndjson", &log[..line_end(&log, 500) + 40]);
    let report = project.foldline(&["run", "--json"]).exits(0).json();
    assert_eq!(report["sources"][0]["records"], 500);
    project.write("events/shop.ndjson", &log[..line_end(&log, 502)]);
    let report = project.foldline(&["run", "--json"]).exits(0).json();
    assert_eq!(report["sources"][0]["records"], 2);
}

#[test]
fn many_runs_with_cuts_anywhere() {
    let log = shop_log();
    // Far from each other and from line ends; two of them within one line, so that one run finds nothing whole.
    let middle = line_end(&log, 15_000);
    let cuts = [1, 700_001, 2_000_003, middle + 20, middle + 60, log.len() - 1];
    let project = in_pieces(&cuts);
    assert_same(&project.parquet(), &at_once());
}

#[test]
fn files_that_are_added() {
    let project = Project::shop_without_logs();
    for name in SHOP_LOGS {
        project.write(&format!("events/{name}"), std::fs::read(fixture(&format!("shop/events/{name}"))).unwrap());
        project.foldline(&["run"]).exits(0);
    }
    assert_same(&project.parquet(), &at_once());
}

#[test]
fn a_run_reads_only_what_is_new() {
    let log = shop_log();
    let cut = line_end(&log, 23_000);
    let project = Project::shop_without_logs();
    project.write("events/shop.ndjson", &log[..cut]);
    project.foldline(&["run"]).exits(0);
    project.append("events/shop.ndjson", &log[cut..]);
    let report = project.foldline(&["run", "--json"]).exits(0).json();
    assert_eq!(report["sources"][0]["records"], 1_000);
    let order = report["aggregates"].as_array().unwrap().iter().find(|a| a["name"] == "order").unwrap().clone();
    assert_eq!(order["mode"], "incremental");
}

#[test]
fn a_log_that_grows_in_two_files() {
    // Each stream stays in one file, as with a partitioned topic.
    let log = shop_log();
    let (left, right): (Vec<&[u8]>, Vec<&[u8]>) = lines(&log).into_iter().partition(|line| {
        let stream = line.split(|&byte| byte == b'"').nth(3).unwrap();
        stream.iter().map(|&byte| u64::from(byte)).sum::<u64>() % 2 == 0
    });
    let files = [("events/a.ndjson", left), ("events/b.ndjson", right)];

    let project = Project::shop_without_logs();
    for third in 0..3 {
        for (name, lines) in &files {
            let part = |n: usize| n * lines.len() / 3;
            project.append(name, lines[part(third)..part(third + 1)].concat());
        }
        project.foldline(&["run"]).exits(0);
    }
    let grown = project.parquet();
    assert_same(&grown, &at_once());

    // A rebuild replays the pieces in the order in which they came.
    project.foldline(&["rebuild"]).exits(0);
    assert_same(&project.parquet(), &grown);
}

#[test]
fn an_aggregate_that_was_added_is_replayed_alone_and_the_targets_are_those_of_one_run() {
    let added = r#"
[aggregate.carrier_load]
source = "shop"
key = { carrier = "data.carrier" }
[aggregate.carrier_load.state]
orders = "BIGINT DEFAULT 0"
[aggregate.carrier_load.on.OrderShipped]
set.orders = "orders + 1"

[read_model.carriers]
sql = "SELECT carrier, orders, _events, _first_event_at FROM carrier_load"
[[read_model.carriers.to]]
parquet = "out/carriers.parquet"
"#;
    let (later, at_once) = (Project::shop(), Project::shop());
    later.foldline(&["run"]).exits(0);
    later.append("foldline.toml", added);
    let report = later.foldline(&["run", "--json"]).exits(0).json();
    let modes: Vec<_> = report["aggregates"].as_array().unwrap().iter().map(|a| (a["name"].clone(), a["mode"].clone())).collect();
    for (name, mode) in modes {
        assert_eq!(mode, if name == "carrier_load" { "replayed" } else { "unchanged" }, "{name}");
    }
    assert_eq!(report["sources"][0]["records"], 0, "what is replayed is not counted again");
    at_once.append("foldline.toml", added);
    at_once.foldline(&["run"]).exits(0);
    assert!(later.parquet() == at_once.parquet());
    let carriers = |project: &Project| std::fs::read(project.path("out/carriers.parquet")).unwrap();
    assert!(carriers(&later) == carriers(&at_once));
}
