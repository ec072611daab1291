//! State that `--memory` does not hold: partitions leave memory and come back, and nobody can tell from what is published.

mod common;

use std::fmt::Write as _;

use common::random::Random;
use common::{Project, adds_up, files_below, number, seeds};

/// Everything that partitions have to bring back: rows of one stream and of many, rows that are deleted and that are
/// given out, events that wait, that come twice, two sources, and an order across both.
const PROJECT: &str = r#"
[project]
name = "memory"

[source.bank]
files = ["bank/*.ndjson"]
on_gap = "wait"

[source.shop]
files = ["shop/*.ndjson"]
dedupe = "DEDUPE"

[event.Opened]
name = "VARCHAR NOT NULL"
[event.Paid]
amount = "DECIMAL(12,2) NOT NULL"
place = "VARCHAR NOT NULL"
[event.Closed]
[event.Sold]
item = "VARCHAR NOT NULL"
qty = "INTEGER NOT NULL"
[event.Cleared]

[[upcast]]
type = "Both"
into = [{ type = "Paid" }, { type = "Closed" }]

[aggregate.account]
source = "bank"
stream = "account-{account}"
[aggregate.account.state]
name = "VARCHAR"
total = "DECIMAL(18,2) DEFAULT 0"
places = "MAP(VARCHAR, INTEGER) DEFAULT MAP {}"
status = "VARCHAR DEFAULT 'open'"
[aggregate.account.on.Opened]
set.name = "data.name"
[aggregate.account.on.Paid]
set.total = "total + data.amount"
set.places = "map_put(places, data.place, coalesce(places[data.place], 0) + 1)"
[[aggregate.account.on.Closed]]
set.status = "CASE status WHEN 'open' THEN 'closed' ELSE 'open' END"
[[aggregate.account.on.Closed]]
when = "total > 900"
delete = true
[aggregate.account.rows.statuses]
status = "VARCHAR"
[[aggregate.account.after]]
when = "status IS DISTINCT FROM old.status"
emit.statuses = { status = "status" }

[aggregate.place]
source = "bank"
key = { place = "data.place" }
[aggregate.place.state]
paid = "DECIMAL(18,2) DEFAULT 0"
trail = "BIGINT DEFAULT 0"
[aggregate.place.rows.large]
amount = "DECIMAL(12,2)"
[aggregate.place.on.Paid]
set.paid = "paid + data.amount"
set.trail = "(trail * 31 + hash(event.stream) % 1000 + event.version) % 1000003"
[[aggregate.place.after]]
when = "paid - old.paid > 450"
emit.large = { amount = "paid - old.paid" }

[aggregate.item]
source = "shop"
key = { item = "data.item" }
[aggregate.item.state]
sold = "BIGINT DEFAULT 0"
trail = "BIGINT DEFAULT 0"
[aggregate.item.on.Sold]
set.sold = "sold + data.qty"
set.trail = "(trail * 31 + hash(event.stream) % 1000 + data.qty) % 1000003"
[aggregate.item.on.Cleared]
all = true
set.sold = "sold - sold % 2"

[aggregate.till]
source = "shop"
stream = "till-{till}"
[aggregate.till.state]
sold = "BIGINT DEFAULT 0"
[aggregate.till.on.Sold]
set.sold = "sold + data.qty"

[aggregate.day]
source = ["bank", "shop"]
order_by = "event.time"
key = { day = "event.time::DATE" }
[aggregate.day.state]
trail = "BIGINT DEFAULT 0"
[aggregate.day.on."Paid|Sold"]
set.trail = "(trail * 31 + hash(event.stream) % 1000 + coalesce(event.version, 7)) % 1000003"

[read_model.accounts]
sql = "SELECT * FROM account"
[[read_model.accounts.to]]
parquet = "out/accounts.parquet"
[read_model.statuses]
sql = 'SELECT * FROM "account".statuses'
[[read_model.statuses.to]]
parquet = "out/statuses.parquet"
[read_model.places]
sql = "SELECT * FROM place"
[[read_model.places.to]]
parquet = "out/places.parquet"
[read_model.large]
sql = 'SELECT * FROM "place".large'
[[read_model.large.to]]
parquet = "out/large.parquet"
[read_model.items]
sql = "SELECT * FROM item"
[[read_model.items.to]]
parquet = "out/items.parquet"
[read_model.tills]
sql = "SELECT * FROM till"
[[read_model.tills.to]]
parquet = "out/tills.parquet"
[read_model.days]
sql = "SELECT * FROM day"
[[read_model.days.to]]
parquet = "out/days.parquet"
[read_model.payments]
sql = 'SELECT * FROM events."Paid"'
[[read_model.payments.to]]
parquet = "out/payments.parquet"
"#;

const READ_MODELS: [&str; 8] = ["accounts", "statuses", "places", "large", "items", "tills", "days", "payments"];

/// Too little for the state of these logs.
const LITTLE: &str = "1MB";

/// A log of the bank: streams side by side, events that come early and twice, a hole in some streams at the end.
fn bank_log(random: &mut Random, events: usize) -> Vec<String> {
    let accounts = 1 + events / 5;
    let mut versions = vec![0u64; accounts];
    let mut lines: Vec<String> = Vec::new();
    for number in 0..events {
        let account = if random.one_in(5) { 0 } else { random.below(accounts) };
        let version = &mut versions[account];
        *version += 1;
        let place = if random.one_in(3) { random.below(9) } else { random.below(1 + events / 4) };
        let paid = format!(r#"{{"amount":"{}.{:02}","place":"the place of the name {place}"}}"#, random.below(500), random.below(100));
        let (kind, data) = match *version {
            1 => ("Opened", format!(r#"{{"name":"the account \"{account}\" of somebody"}}"#)),
            _ if random.one_in(9) => ("Closed", "{}".to_string()),
            _ if random.one_in(9) => ("Both", paid),
            _ => ("Paid", paid),
        };
        let time = format!("2026-05-{:02}T12:00:00Z", 1 + number * 28 / events.max(1));
        lines.push(format!(r#"{{"stream_id":"account-{account}","type":"{kind}","version":{version},"time":"{time}","data":{data}}}"#));
    }
    for at in 1..lines.len() {
        if random.one_in(10) {
            let far = if random.one_in(4) { at } else { at.min(20) };
            lines.swap(at, at - 1 - random.below(far));
        }
        if random.one_in(20) {
            let line = lines[at - 1].clone();
            write!(lines[at], "\n{line}").unwrap();
        }
    }
    lines
}

fn shop_log(random: &mut Random, events: usize) -> Vec<String> {
    let line = |number: usize| {
        let (till, item) = (random.below(1 + events / 4), random.below(1 + events / 3));
        let time = format!("2026-05-{:02}T{:02}:00:00Z", 1 + number * 28 / events.max(1), random.below(24));
        let id = if random.one_in(15) { number / 2 } else { number };
        let (kind, qty) = if random.one_in(200) { ("Cleared", 0) } else { ("Sold", random.below(9)) };
        format!(
            r#"{{"stream_id":"till-{till}","type":"{kind}","id":"sale {id}","position":{id},"time":"{time}","data":{{"item":"the item {item} of the shop","qty":{qty}}}}}"#
        )
    };
    (0..events).map(line).collect()
}

fn project_file(dedupe: &str) -> String {
    PROJECT.replace("DEDUPE", dedupe)
}

fn append(project: &Project, file: &str, lines: &[String]) {
    project.append(file, lines.iter().map(|line| format!("{line}\n")).collect::<String>());
}

/// What a report says of the state, without times and memory.
fn told(report: &serde_json::Value) -> serde_json::Value {
    let mut told = report.clone();
    for name in ["started_at", "stages", "events_per_second", "bytes_per_second", "peak_memory_bytes", "partitions_put_away", "command"] {
        told.as_object_mut().unwrap().remove(name);
    }
    for model in told["read_models"].as_array_mut().unwrap() {
        model["targets"] = serde_json::Value::Null;
    }
    told
}

#[track_caller]
fn run(project: &Project, command: &str, memory: &str, threads: &str) -> serde_json::Value {
    let output = project.foldline(&[command, "--json", "--memory", memory, "--threads", threads]);
    adds_up(&output, &format!("{command} with {memory}"))
}

/// The Parquet targets of both are the same bytes.
#[track_caller]
fn assert_same_targets(roomy: &Project, tight: &Project, what: &str) {
    for (name, bytes) in roomy.parquet_of(READ_MODELS) {
        assert!(tight.parquet_of([name])[name] == bytes, "{name} differs: {what}");
    }
}

#[test]
fn a_run_whose_state_does_not_fit_gives_what_one_gives_whose_state_does() {
    for seed in seeds(3) {
        let mut random = Random(seed);
        let dedupe = ["none", "id", "position"][seed as usize % 3];
        let (roomy, tight) = (Project::new(&project_file(dedupe)), Project::new(&project_file(dedupe)));
        let (bank, shop) = (bank_log(&mut random, 6000), shop_log(&mut random, 3000));
        let (mut bank_from, mut shop_from) = (0, 0);
        for (piece, part) in [0.6, 0.65, 1.0].into_iter().enumerate() {
            let (bank_to, shop_to) = ((bank.len() as f64 * part) as usize, (shop.len() as f64 * part) as usize);
            for project in [&roomy, &tight] {
                append(project, "bank/log.ndjson", &bank[bank_from..bank_to]);
                append(project, "shop/log.ndjson", &shop[shop_from..shop_to]);
            }
            (bank_from, shop_from) = (bank_to, shop_to);
            let expected = run(&roomy, "run", "1GB", "2");
            assert_eq!(number(&expected["partitions_put_away"]), 0);
            let found = run(&tight, "run", LITTLE, random.of(&["1", "2", "3"]));
            assert!(number(&found["partitions_put_away"]) > 0, "seed {seed}, piece {piece}: everything fitted");
            assert_eq!(told(&found), told(&expected), "seed {seed}, piece {piece}");
            assert_same_targets(&roomy, &tight, &format!("seed {seed}, piece {piece}"));
        }
        // a rebuild of the whole
        let expected = told(&run(&roomy, "rebuild", "1GB", "2"));
        assert_eq!(told(&run(&tight, "rebuild", LITTLE, "2")), expected, "seed {seed}, rebuild");
        assert_same_targets(&roomy, &tight, &format!("seed {seed}, rebuild"));
    }
}

#[test]
fn a_run_that_dies_while_its_state_is_away_leaves_nothing_behind_and_the_next_one_finishes() {
    let mut random = Random(77);
    let (roomy, tight) = (Project::new(&project_file("none")), Project::new(&project_file("none")));
    let (bank, shop) = (bank_log(&mut random, 3000), shop_log(&mut random, 1500));
    for (piece, failpoint) in ["memory.put_away", "memory.taken_up", "commit.before_manifest"].into_iter().enumerate() {
        for project in [&roomy, &tight] {
            append(project, "bank/log.ndjson", &bank[piece * 1000..(piece + 1) * 1000]);
            append(project, "shop/log.ndjson", &shop[piece * 500..(piece + 1) * 500]);
        }
        let mut dying = tight.command(&["run", "--memory", LITTLE]);
        assert_eq!(common::output(dying.env("FOLDLINE_FAILPOINT", failpoint)).code, None, "{failpoint}");
        assert_eq!(told(&run(&tight, "run", LITTLE, "2")), told(&run(&roomy, "run", "1GB", "2")), "{failpoint}");
        assert_same_targets(&roomy, &tight, failpoint);
    }
    let left: Vec<_> = files_below(&tight.path(".foldline/staging"));
    assert!(left.is_empty(), "{left:?}");
    let manifest = std::fs::read_to_string(tight.path(".foldline/manifests/3.json")).unwrap();
    let unnamed = |file: &std::path::PathBuf| {
        let name = file.file_name().unwrap().to_str().unwrap();
        name.contains("-lane-") && name.starts_with("gen-3-") && !manifest.contains(name)
    };
    let unnamed: Vec<_> = files_below(&tight.path(".foldline")).into_iter().filter(unnamed).collect();
    assert!(unnamed.is_empty(), "{unnamed:?}");
}

#[test]
fn what_is_bad_is_found_and_counted_whether_its_partition_is_in_memory_or_not() {
    let mut random = Random(5);
    let mut bank = bank_log(&mut random, 3000);
    // versions that come again with other content, holes, and amounts that overflow a total
    for at in (100..bank.len()).step_by(150) {
        let account = random.below(600);
        let version = 1 + random.below(40);
        bank[at] = format!(
            r#"{{"stream_id":"account-{account}","type":"Paid","version":{version},"time":"2026-05-01T12:00:00Z","data":{{"amount":"{}","place":"elsewhere"}}}}"#,
            at
        );
    }
    let failing = project_file("none").replace("on_gap = \"wait\"\n", "");
    let overflowing = failing.replace("total = \"DECIMAL(18,2) DEFAULT 0\"", "total = \"DECIMAL(5,2) DEFAULT 0\"");
    for project_file in [failing, overflowing] {
        let bad = |memory: &str| {
            let project = Project::new(&project_file);
            append(&project, "bank/log.ndjson", &bank);
            append(&project, "shop/log.ndjson", &shop_log(&mut Random(6), 1000));
            let report = project.foldline(&["run", "--json", "--memory", memory]).exits(65).json();
            project.assert_nothing_published();
            let counts = ["sources", "events", "error"].map(|part| report[part].clone());
            (counts, report["bad"]["total"].clone(), report["bad"]["by_kind"].clone(), number(&report["bad"]["total"]))
        };
        let (roomy, tight) = (bad("1GB"), bad(LITTLE));
        assert!(roomy.3 > 20, "{roomy:?}");
        assert_eq!(tight, roomy);
    }
}

#[test]
fn quarantine_holds_the_same_whether_its_partition_is_in_memory_or_not() {
    // without what spans streams, beside which a source that quarantines stays in memory
    let (head, rest) = project_file("none").split_once("[aggregate.place]").map(|(a, b)| (a.to_string(), b.to_string())).unwrap();
    let account = head
        .replace("on_gap = \"wait\"", "on_gap = \"wait\"\non_bad_record = \"quarantine\"")
        .replace("DECIMAL(18,2) DEFAULT 0", "DECIMAL(5,2) DEFAULT 0");
    let (_, models) = rest.split_once("[read_model.accounts]").unwrap();
    let (models, _) = models.split_once("[read_model.places]").unwrap();
    let mut bank = bank_log(&mut Random(8), 4000);
    for at in (50..bank.len()).step_by(170) {
        bank[at] = bank[at].replace("Paid", "Opened");
    }
    let seen = |memory: &str| {
        let project = Project::new(
            &format!("{account}\n[read_model.accounts]{models}")
                .replace("\n[source.shop]\nfiles = [\"shop/*.ndjson\"]\ndedupe = \"none\"\n", ""),
        );
        let mut reports = Vec::new();
        for lines in bank.chunks(2500) {
            append(&project, "bank/log.ndjson", lines);
            reports.push(run(&project, "run", memory, "2"));
        }
        let quarantine = project.foldline(&["quarantine", "list", "--json"]).exits(0).stdout;
        (
            reports.iter().map(told).collect::<Vec<_>>(),
            quarantine,
            project.parquet_of(["accounts", "statuses"]),
            number(&reports[0]["partitions_put_away"]),
        )
    };
    let (roomy, tight) = (seen("1GB"), seen(LITTLE));
    assert!(tight.3 > 0 && roomy.1.matches("\"follows\":false").count() > 50);
    for (found, expected) in tight.0.iter().zip(&roomy.0) {
        for (name, expected) in expected.as_object().unwrap() {
            assert_eq!(&found[name], expected, "{name}");
        }
    }
    assert!(tight.1 == roomy.1, "the entries differ");
    assert!(tight.2 == roomy.2);
}

#[test]
fn one_partition_that_does_not_fit_is_an_error_that_says_so() {
    let project = Project::new(&project_file("none"));
    let lines: Vec<String> = (1..6000)
        .map(|version| {
            let (kind, data) = match version {
                1 => ("Opened", r#"{"name":"somebody"}"#.to_string()),
                _ => ("Paid", format!(r#"{{"amount":"0.01","place":"the place with the number {version} of this account"}}"#)),
            };
            format!(r#"{{"stream_id":"account-1","type":"{kind}","version":{version},"time":"2026-05-01T12:00:00Z","data":{data}}}"#)
        })
        .collect();
    append(&project, "bank/log.ndjson", &lines);
    append(&project, "shop/log.ndjson", &shop_log(&mut Random(1), 10));
    let output = project.foldline(&["run", "--memory", LITTLE]).exits(74);
    assert!(output.stderr.contains("one of 64 partitions of the state needs"), "{}", output.stderr);
    assert!(output.stderr.contains("help: give the run more with `--memory`"), "{}", output.stderr);
    project.assert_nothing_published();
    project.foldline(&["run", "--memory", "1GB"]).exits(0);
}
