//! A run writes what changed: snapshots are bases with deltas above them, and nobody who reads them sees the seams.

mod common;

use std::fs;
use std::path::PathBuf;

use common::random::Random;
use common::{Project, files_below, number};

const PROJECT: &str = r#"
[project]
name = "accounts"
keep = 2

[source.log]
files = ["events/*.ndjson"]

[event.Paid]
amount = "DECIMAL(18,2) NOT NULL"
payer  = "VARCHAR NOT NULL"
day    = "DATE NOT NULL"
[event.Closed]

[aggregate.account]
source = "log"
stream = "account-{account}"
[aggregate.account.state]
balance = "DECIMAL(18,2) DEFAULT 0"
payers  = "MAP(VARCHAR, INTEGER) DEFAULT MAP {}"
note    = "VARCHAR"
[aggregate.account.on.Paid]
set.balance  = "balance + data.amount"
set.payers   = "map_put(payers, data.payer, coalesce(payers[data.payer], 0) + 1)"
set.note     = "CASE WHEN data.amount > 50 THEN 'a text that is too long to lie in place: ' || data.payer END"
[aggregate.account.on.Closed]
delete = true

[aggregate.paid]
source = "log"
key    = { payer = "data.payer", day = "data.day" }
[aggregate.paid.state]
total = "DECIMAL(18,2) DEFAULT 0"
[aggregate.paid.on.Paid]
set.total = "total + data.amount"
[[aggregate.paid.after]]
when   = "total > 700"
delete = true

[read_model.accounts]
sql = "SELECT * FROM account"
[[read_model.accounts.to]]
parquet = "out/accounts.parquet"
[read_model.paid_by_day]
sql = "SELECT payer, day, total, _events, _position, _last_event_at FROM paid"
[[read_model.paid_by_day.to]]
parquet = "out/paid_by_day.parquet"
"#;

/// The versions of the accounts, and the events that they have.
struct Log {
    versions: Vec<u32>,
    position: u32,
}

impl Log {
    fn new(accounts: usize) -> Log {
        Log { versions: vec![0; accounts], position: 0 }
    }

    fn line(&mut self, account: usize, type_and_data: &str) -> String {
        self.versions[account] += 1;
        self.position += 1;
        let (version, position) = (self.versions[account], self.position);
        format!(
            r#"{{"stream_id":"account-{account}","version":{version},"position":{position},"time":"2026-01-01T00:00:{:02}Z",{type_and_data}}}"#,
            position % 60
        ) + "\n"
    }

    fn paid(&mut self, account: usize, amount: usize, payer: usize) -> String {
        let data =
            format!(r#""type":"Paid","data":{{"amount":"{amount}.50","payer":"payer {payer}","day":"2026-01-{:02}"}}"#, 1 + payer % 28);
        self.line(account, &data)
    }

    fn closed(&mut self, account: usize) -> String {
        self.line(account, r#""type":"Closed","data":{}"#)
    }

    /// Some events on few accounts; every third closes one.
    fn random(&mut self, random: &mut Random, events: usize) -> String {
        (0..events)
            .map(|_| {
                let account = random.below(self.versions.len());
                if random.one_in(3) { self.closed(account) } else { self.paid(account, random.below(99), random.below(40)) }
            })
            .collect()
    }
}

fn manifest_path(project: &Project) -> PathBuf {
    let of = |path: &PathBuf| path.file_stem().unwrap().to_str().unwrap().parse::<u64>().unwrap();
    files_below(&project.path(".foldline/manifests")).into_iter().max_by_key(of).unwrap()
}

fn manifest(project: &Project) -> serde_json::Value {
    serde_json::from_slice(&fs::read(manifest_path(project)).unwrap()).unwrap()
}

/// The partitions of the aggregates and of the streams.
fn partitions(project: &Project) -> Vec<serde_json::Value> {
    let manifest = manifest(project);
    let lists =
        [&manifest["aggregates"][0]["partitions"], &manifest["aggregates"][1]["partitions"], &manifest["sources"][0]["stream_partitions"]];
    lists.into_iter().flat_map(|list| list.as_array().unwrap().clone()).collect()
}

/// How many rows the deltas of each partition have.
fn deltas(project: &Project) -> Vec<Vec<u64>> {
    let rows = |partition: &serde_json::Value| partition["deltas"].as_array().unwrap().iter().map(|delta| number(&delta["rows"])).collect();
    partitions(project).iter().map(rows).collect()
}

fn targets(project: &Project) -> impl PartialEq + std::fmt::Debug {
    project.parquet_of(["accounts", "paid_by_day"])
}

/// The targets of a rebuild of the same log.
#[track_caller]
fn assert_as_rebuilt(project: &Project, what: &str) {
    let fresh = Project::new(PROJECT);
    for log in files_below(&project.path("events")) {
        let name = log.file_name().unwrap().to_str().unwrap();
        fresh.write(&format!("events/{name}"), fs::read(&log).unwrap());
    }
    fresh.foldline(&["rebuild", "-q", "--threads", "1"]).exits(0);
    assert!(targets(project) == targets(&fresh), "{what}: a rebuild gives other bytes");
}

/// 600 accounts, each paid once, and the run that has folded them.
fn begun() -> (Project, Log) {
    let project = Project::new(PROJECT);
    let mut log = Log::new(600);
    let lines: String = (0..600).map(|account| log.paid(account, account % 90, account)).collect();
    project.write("events/1.ndjson", lines);
    project.foldline(&["run", "-q"]).exits(0);
    (project, log)
}

#[test]
fn a_run_after_few_events_writes_few_rows() {
    let (project, mut log) = begun();
    assert_eq!(deltas(&project), [[0; 0]; 3]);
    let bases = partitions(&project);
    project.append("events/1.ndjson", log.paid(3, 10, 3) + &log.closed(4) + &log.paid(3, 10, 3) + &log.paid(4, 1, 4) + &log.closed(5));
    project.foldline(&["run", "-q"]).exits(0);
    // accounts 3, 4 and the tombstone of 5; payers 3 and 4; three streams
    assert_eq!(deltas(&project), [[3], [2], [3]]);
    let now = partitions(&project);
    assert!(bases.iter().zip(&now).all(|(before, now)| before["base"] == now["base"]));
    assert_eq!(now[0]["live_rows"], 599);
    let status = project.foldline(&["status", "--json"]).exits(0).json();
    assert_eq!(status["aggregates"][0]["rows"], 599);
    assert_as_rebuilt(&project, "one delta");
    project.foldline(&["verify", "-q"]).exits(0);

    // a run in which no row changes writes nothing of them
    let before = partitions(&project);
    project.append("events/1.ndjson", log.line(7, r#""type":"Unheard","data":{}"#));
    project.foldline(&["run", "-q"]).exits(0);
    assert_eq!(partitions(&project)[..2], before[..2]);
    assert_eq!(deltas(&project)[2], [3, 1]);
}

#[test]
fn rows_that_are_deleted_and_made_again_over_many_deltas_are_those_of_a_rebuild() {
    let random = &mut Random(7);
    let (project, mut log) = begun();
    let (mut most, mut merged) = (0, 0);
    let mut before = partitions(&project);
    for run in 0..24 {
        let events = random.of(&[1, 2, 5, 20, 60]);
        project.append("events/1.ndjson", log.random(random, events));
        let threads = random.of(&["1", "2", "3"]);
        let report = project.foldline(&["run", "--json", "--threads", threads]).exits(0).json();
        most = most.max(deltas(&project).iter().map(Vec::len).max().unwrap());
        let now = partitions(&project);
        merged += before.iter().zip(&now).filter(|(before, now)| before["base"] != now["base"]).count();
        let rows = |partition: &serde_json::Value| {
            if partition["live_rows"].is_null() { number(&partition["base"]["rows"]) } else { number(&partition["live_rows"]) }
        };
        assert_eq!(number(&report["aggregates"][0]["rows"]), rows(&now[0]));
        before = now;
        if run % 4 == 3 {
            assert_as_rebuilt(&project, &format!("run {run}"));
        }
    }
    assert!(most >= 3 && merged >= 1, "deltas lie above each other ({most}) and become part of a base ({merged} times)");
    project.foldline(&["verify", "-q"]).exits(0);
    // of the runs before no file is left but those of the two generations that are kept
    project.foldline(&["rebuild", "-q"]).exits(0);
    project.age_generations();
    project.foldline(&["rebuild", "-q"]).exits(0);
    let kept = files_below(&project.path(".foldline/snapshots")).len() + files_below(&project.path(".foldline/streams")).len();
    assert_eq!(kept, 2 * 3);
}

#[test]
fn an_aggregate_whose_rows_have_all_gone_has_no_files() {
    let (project, mut log) = begun();
    let lines: String = (0..600).map(|account| log.closed(account)).collect();
    project.append("events/1.ndjson", lines);
    project.foldline(&["run", "-q"]).exits(0);
    assert!(partitions(&project)[0]["base"].is_null());
    project.append("events/1.ndjson", log.paid(8, 1, 1));
    project.foldline(&["run", "-q"]).exits(0);
    assert_eq!(partitions(&project)[0]["base"]["rows"], 1);
    assert_as_rebuilt(&project, "a row after none");
}

#[test]
fn a_snapshot_of_the_version_before_is_gone_on_from() {
    let (project, mut log) = begun();
    let path = manifest_path(&project);
    let mut old = manifest(&project);
    let source = old["sources"][0].as_object_mut().unwrap();
    let streams = source.remove("stream_partitions").unwrap();
    let bases: Vec<serde_json::Value> = streams.as_array().unwrap().iter().map(|partition| partition["base"].clone()).collect();
    source.insert("streams".into(), bases.into());
    fs::write(path, old.to_string()).unwrap();
    // a version that has been there is a duplicate
    let again = Log::new(600).paid(0, 0, 0);
    project.append("events/1.ndjson", again + &log.paid(0, 5, 5));
    let report = project.foldline(&["run", "--json"]).exits(0).json();
    assert_eq!((&report["events"]["duplicates"], &report["events"]["folded"]), (&1.into(), &1.into()), "{report:#}");
    let now = manifest(&project);
    assert!(now["sources"][0].get("streams").is_none());
    assert_eq!(deltas(&project), [vec![1], vec![1], vec![]]);
    assert_as_rebuilt(&project, "from an old snapshot");
}

#[test]
fn a_run_that_dies_behind_its_deltas_is_made_good_by_the_next() {
    for (point, committed) in [
        ("publish.begun", false),
        ("commit.before_manifest", false),
        ("publish.after_manifest", true),
        ("garbage.manifests_removed", false),
    ] {
        let (project, mut log) = begun();
        let random = &mut Random(3);
        project.append("events/1.ndjson", log.random(random, 12));
        project.foldline(&["run", "-q"]).exits(0);
        project.age_generations();
        let before = deltas(&project);
        project.append("events/1.ndjson", log.random(random, 12));
        let died = common::output(project.command(&["run"]).env("FOLDLINE_FAILPOINT", point));
        assert_eq!(died.code, None, "{point}: the process dies");
        assert_eq!(deltas(&project) != before, committed, "{point}");
        project.append("events/1.ndjson", log.random(random, 12));
        project.foldline(&["run", "-q"]).exits(0);
        assert_as_rebuilt(&project, point);
        project.foldline(&["verify", "-q"]).exits(0);
    }
}

#[test]
fn verify_finds_a_delta_that_was_changed() {
    let (project, mut log) = begun();
    project.append("events/1.ndjson", log.paid(3, 10, 3) + &log.closed(5));
    project.foldline(&["run", "-q"]).exits(0);
    project.foldline(&["verify", "-q"]).exits(0);
    let delta = project.path(".foldline").join(partitions(&project)[0]["deltas"][0]["path"].as_str().unwrap());
    // the other account is the one that was closed
    let db = common::duckdb();
    let copy = project.path("copy.parquet");
    let sql = "COPY (SELECT * REPLACE (CASE account WHEN '5' THEN '6' ELSE account END AS account) FROM read_parquet";
    db.execute_batch(&format!("{sql}({})) TO {}", common::literal(&delta), common::literal(&copy))).unwrap();
    fs::rename(copy, delta).unwrap();
    let json = project.foldline(&["verify", "--json"]).exits(13).json();
    let table = json["tables"].as_array().unwrap().iter().find(|table| table["name"] == "account").unwrap().clone();
    assert!(table["trouble"].to_string().contains("its bytes differ"), "{table:#}");
    assert_eq!((&table["difference"]["only_published"], &table["difference"]["only_fresh"]), (&1.into(), &1.into()), "{table:#}");
}
