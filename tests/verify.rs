//! `verify` and `diff`: what is published against a replay of its log. Nothing of the project may be written by them.

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use common::{Project, files_below};

const PROJECT: &str = r#"
[project]
name = "accounts"

[source.log]
files = ["events/*.ndjson"]

[event.Paid]
amount = "DECIMAL(18,2) NOT NULL"
payer  = "VARCHAR"

[aggregate.account]
source = "log"
stream = "account-{account}"
[aggregate.account.state]
balance = "DECIMAL(18,2) DEFAULT 0"
payer   = "VARCHAR"
[aggregate.account.on.Paid]
set.balance  = "balance + data.amount"
set.payer    = "data.payer"
emit.entries = { amount = "data.amount" }
[aggregate.account.rows.entries]
amount = "DECIMAL(18,2)"

[read_model.balances]
sql = "SELECT account, balance, payer FROM account"
[[read_model.balances.check]]
unique = ["account"]
[[read_model.balances.to]]
parquet = "out/balances.parquet"
[[read_model.balances.to]]
duckdb = "out/balances.duckdb"

[read_model.payments]
sql = "SELECT _stream AS stream, amount, payer FROM events.\"Paid\""
[[read_model.payments.to]]
parquet = "out/payments"
partition_by = ["payer"]
"#;

fn event(account: u32, version: u32, amount: u32, payer: &str) -> String {
    let data = format!(r#"{{"amount":"{amount}.00","payer":"{payer}"}}"#);
    format!(r#"{{"stream_id":"account-{account}","version":{version},"type":"Paid","data":{data}}}"#) + "\n"
}

/// Events of `accounts` accounts, one round each version.
fn log(accounts: u32, versions: std::ops::RangeInclusive<u32>) -> String {
    versions
        .flat_map(|version| (0..accounts).map(move |account| event(account, version, 10, if account % 2 == 0 { "é" } else { "ann" })))
        .collect()
}

/// Published in two runs.
fn published() -> Project {
    let project = Project::new(PROJECT);
    project.write("events/1.ndjson", log(4000, 1..=1));
    project.foldline(&["run", "-q"]).exits(0);
    project.append("events/1.ndjson", log(3, 2..=3));
    project.write("events/2.ndjson", log(3, 4..=4));
    project.foldline(&["run", "-q"]).exits(0);
    project
}

/// Every file's content and time of change.
fn everything(project: &Project) -> BTreeMap<PathBuf, (Vec<u8>, std::time::SystemTime)> {
    let files = files_below(&project.path(""));
    files.into_iter().map(|path| (path.clone(), (fs::read(&path).unwrap(), fs::metadata(&path).unwrap().modified().unwrap()))).collect()
}

#[test]
fn what_runs_published_in_pieces_agrees_with_a_replay_and_nothing_is_written() {
    let project = published();
    // what was not consumed is none of its business
    project.append("events/2.ndjson", event(0, 5, 7, "late"));
    let before = everything(&project);
    let found = project.foldline(&["verify"]).exits(0);
    insta::assert_snapshot!(project.redact(&found.stdout));
    let json = project.foldline(&["verify", "--json", "--sample", "1/4"]).exits(0).json();
    assert_eq!(json["sample"], serde_json::json!([1, 4]));
    let rows = json["tables"][0]["difference"]["published_rows"].as_u64().unwrap();
    assert!((500..1500).contains(&rows), "{rows}");
    assert_eq!(project.foldline(&["diff", "--json"]).exits(0).json()["read_models"][0]["status"], "same");
    assert!(before == everything(&project), "a file was touched");
}

/// Makes the newest manifest one of a version that kept no hashes of whole files.
fn forget_hashes(project: &Project) {
    let newest = common::files_below(&project.path(".foldline/manifests"))
        .into_iter()
        .max_by_key(|path| path.file_stem().unwrap().to_str().unwrap().parse::<u64>().unwrap())
        .unwrap();
    let mut manifest: serde_json::Value = serde_json::from_slice(&fs::read(&newest).unwrap()).unwrap();
    for file in manifest["sources"][0]["files"].as_array_mut().unwrap() {
        assert!(file.as_object_mut().unwrap().remove("rest_hash").is_some());
    }
    fs::write(newest, serde_json::to_vec(&manifest).unwrap()).unwrap();
}

#[test]
fn a_log_that_was_edited_where_the_quick_check_does_not_look_is_found_row_by_row() {
    let project = published();
    let log = fs::read_to_string(project.path("events/1.ndjson")).unwrap();
    let (old, new) = (event(2000, 1, 10, "é"), event(2000, 1, 99, "é"));
    assert!(log.find(&old).unwrap() > 64 << 10);
    project.write("events/1.ndjson", log.replace(&old, &new));
    let stderr = project.foldline(&["verify"]).exits(10).stderr;
    assert!(stderr.contains("block 1"), "{stderr}");
    forget_hashes(&project);
    let before = everything(&project);
    let found = project.foldline(&["verify"]).exits(13);
    insta::assert_snapshot!(project.redact(&(found.stdout.clone() + &found.stderr)));
    let json = project.foldline(&["verify", "--json"]).exits(13).json();
    let balances = json["tables"].as_array().unwrap().iter().find(|t| t["target"] == "out/balances.duckdb").unwrap();
    assert_eq!(balances["difference"]["changed"], 1);
    assert_eq!(balances["difference"]["rows"][0]["key"][0]["value"], "2000");
    let values = serde_json::json!([{ "column": "balance", "published": "10.00", "fresh": "99.00" }]);
    assert_eq!(balances["difference"]["rows"][0]["values"], values);
    assert!(before == everything(&project), "a file was touched");
}

#[test]
fn targets_that_were_changed_or_are_gone_are_found() {
    let project = published();
    // the name is a link
    fs::write(project.path("out/balances.duckdb"), "no database").unwrap();
    fs::remove_file(project.path("out/balances.parquet")).unwrap();
    let json = project.foldline(&["verify", "--json"]).exits(13).json();
    let trouble = |target: &str| {
        let table = json["tables"].as_array().unwrap().iter().find(|t| t["target"] == target).unwrap().clone();
        table["trouble"].to_string()
    };
    assert!(trouble("out/balances.duckdb").contains("its bytes differ"), "{json}");
    assert!(trouble("out/balances.parquet").contains("does not lead to generation 2"), "{json}");
    assert!(trouble("out/balances.duckdb").contains("cannot be read"), "{json}");
    assert_eq!(trouble("out/payments"), "[]");
    assert!(project.foldline(&["verify", "-q"]).exits(13).stderr.contains("`foldline run` publishes damaged targets again"));
    project.foldline(&["run", "-q"]).exits(0);
    project.foldline(&["verify"]).exits(0);
}

#[test]
fn history_that_changed_is_no_difference_but_an_error() {
    let project = published();
    project.write("events/2.ndjson", "");
    project.foldline(&["verify"]).exits(10);
    project.foldline(&["diff"]).exits(10);
    Project::new(PROJECT).foldline(&["verify"]).exits(66);
}

#[test]
fn a_definition_that_changed_is_passed_over_by_verify_and_shown_by_diff() {
    let project = published();
    let changed = PROJECT.replace("balance + data.amount", "balance + data.amount * CASE WHEN account = '7' THEN 2 ELSE 1 END");
    project.write("foldline.toml", changed);
    let before = everything(&project);
    let json = project.foldline(&["verify", "--json"]).exits(0).json();
    let passed: Vec<_> = json["passed_over"].as_array().unwrap().iter().map(|p| p["name"].as_str().unwrap()).collect();
    assert_eq!(passed, ["account", "balances"]);
    let found = project.foldline(&["diff"]).exits(13);
    insta::assert_snapshot!(project.redact(&(found.stdout + &found.stderr)));
    project.foldline(&["diff", "-s", "payments"]).exits(0);
    project.foldline(&["diff", "-s", "nothing"]).exits(2);
    assert!(before == everything(&project), "a file was touched");
}

#[test]
fn columns_that_come_and_go_are_named_by_diff() {
    let project = published();
    project.write("foldline.toml", PROJECT.replace("account, balance, payer FROM", "account, balance::DOUBLE AS balance, 1 AS one FROM"));
    let json = project.foldline(&["diff", "--json"]).exits(13).json();
    let difference = &json["read_models"][0]["difference"];
    assert_eq!(difference["columns_only_published"], serde_json::json!(["balance DECIMAL(18,2)", "payer VARCHAR"]));
    assert_eq!(difference["columns_only_fresh"], serde_json::json!(["balance DOUBLE", "one INTEGER"]));
}

#[test]
fn a_read_model_that_is_not_reproducible_or_is_gone_is_no_difference() {
    let project = Project::new(&PROJECT.replace("[[read_model.balances.check]]", "reproducible = false\n[[read_model.balances.check]]"));
    project.write("events/1.ndjson", log(5, 1..=1));
    project.foldline(&["run", "-q"]).exits(0);
    let json = project.foldline(&["verify", "--json"]).exits(0).json();
    assert_eq!(json["passed_over"][0]["name"], "balances");
    let without = PROJECT.split("[read_model.balances]").next().unwrap();
    project.write("foldline.toml", format!("{without}\n[read_model.payments]{}", PROJECT.split("[read_model.payments]").nth(1).unwrap()));
    let json = project.foldline(&["diff", "--json"]).exits(13).json();
    assert_eq!(json["read_models"][1], serde_json::json!({ "name": "balances", "status": "gone", "rows": 5, "difference": null }));
}
