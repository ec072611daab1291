//! A process that dies or is stopped leaves the old generation or the new one, and the next run finishes the job.

mod common;

use std::fs;
use std::process::Stdio;
use std::time::Duration;

use common::{Project, files_below};

const PROJECT: &str = r#"
[project]
name = "crash"

[source.log]
files = ["events/*.ndjson"]

[event.Added]
amount = "BIGINT NOT NULL"

[aggregate.counter]
source = "log"
stream = "counter-{counter}"
[aggregate.counter.state]
total = "BIGINT DEFAULT 0"
[aggregate.counter.on.Added]
set.total = "total + data.amount"

[read_model.counters]
sql = "SELECT counter, total FROM counter"
[[read_model.counters.to]]
parquet = "out/counters.parquet"
[[read_model.counters.to]]
parquet = "out/counters"
[[read_model.counters.to]]
duckdb = "out/counters.duckdb"
"#;

fn log(from: i64, to: i64) -> String {
    (from..=to)
        .map(|v| format!(r#"{{"stream_id":"counter-{}","type":"Added","version":{},"data":{{"amount":{v}}}}}"#, v % 3, v / 3) + "\n")
        .collect()
}

fn published(project: &Project) -> Option<Vec<u8>> {
    fs::read(project.path("out/counters.parquet")).ok()
}

/// What a reader of each target sees: the file, the folder's current generation, the DuckDB table.
#[track_caller]
fn assert_whole(project: &Project, expected: &[u8], what: &str) {
    assert!(published(project).unwrap() == expected, "{what}: the file");
    let current = files_below(&project.path("out/counters/current").canonicalize().unwrap());
    assert_eq!(current.len(), 1, "{what}");
    let db = duckdb::Connection::open_with_flags(
        project.path("out/counters.duckdb"),
        duckdb::Config::default().access_mode(duckdb::AccessMode::ReadOnly).unwrap(),
    )
    .unwrap();
    let file = common::literal(&project.path("out/counters.parquet"));
    for other in [format!("FROM read_parquet({})", common::literal(&current[0])), "FROM counters".into()] {
        let file = format!("FROM read_parquet({file})");
        common::assert_same_rows(&db, &other, &file);
    }
}

/// Nothing that staging or a swap made is left beside the targets, and no data file or generation is there that
/// no manifest names.
#[track_caller]
fn assert_clean(project: &Project, what: &str) {
    let manifests = std::fs::read_dir(project.path(".foldline/manifests")).unwrap();
    let rubbish: Vec<_> = manifests.map(|e| e.unwrap().file_name()).filter(|name| !name.to_string_lossy().ends_with(".json")).collect();
    assert!(rubbish.is_empty(), "{what}: {rubbish:?}");
    let left: Vec<_> = files_below(&project.path("out"))
        .into_iter()
        .filter(|p| {
            p.components()
                .any(|c| c.as_os_str().to_string_lossy().contains(".staging-") || c.as_os_str().to_string_lossy().contains(".swap-"))
        })
        .collect();
    assert!(left.is_empty(), "{what}: {left:?}");
    let named: String = files_below(&project.path(".foldline/manifests")).iter().map(|p| fs::read_to_string(p).unwrap()).collect();
    let of = |kind: &str, root: &str| -> Vec<String> {
        let below = |path: &std::path::PathBuf| path.strip_prefix(project.path(root)).unwrap().to_string_lossy().into_owned();
        files_below(&project.path(kind)).iter().map(below).collect()
    };
    let kinds = [(".foldline/snapshots", ".foldline"), (".foldline/events", ".foldline"), (".foldline/streams", ".foldline"), ("out", "")];
    let published = ["out/counters.parquet", "out/counters.duckdb"];
    let unnamed: Vec<String> = kinds
        .iter()
        .flat_map(|(kind, root)| of(kind, root))
        // `current` is a link to a generation that is listed itself
        .filter(|path| !published.contains(&path.as_str()) && !path.contains("/current/"))
        .filter(|path| {
            let dataset = path.strip_prefix("out/counters/").and_then(|rest| rest.split('/').next());
            let name = dataset.map_or(path.clone(), |generation| format!("out/counters/{generation}"));
            !named.contains(&format!("\"{name}\""))
        })
        .collect();
    assert!(unnamed.is_empty(), "{what}: {unnamed:?}");
}

#[test]
fn a_process_that_dies_anywhere_leaves_one_generation_and_the_next_run_finishes_the_job() {
    let both = Project::new(PROJECT);
    both.write("events/1.ndjson", log(3, 40));
    both.foldline(&["run"]).exits(0);
    let old = published(&both).unwrap();
    both.append("events/1.ndjson", log(41, 90));
    both.foldline(&["run"]).exits(0);
    let new = published(&both).unwrap();
    assert_ne!(old, new);

    let points = [
        ("publish.begun", false),
        ("publish.staged", false),
        ("publish.renamed", false),
        ("commit.before_manifest", false),
        ("commit.manifest_written", false),
        ("publish.after_manifest", true),
        ("swap.linked", true),
        ("swap.exchanged", true),
        ("publish.swapped", true),
        ("garbage.manifests_removed", false),
    ];
    for (point, committed) in points {
        let project = Project::new(PROJECT);
        project.write("events/1.ndjson", log(3, 40));
        project.foldline(&["run"]).exits(0);
        project.append("events/1.ndjson", log(41, 90));
        let mut command = project.command(&["run"]);
        command.env("FOLDLINE_FAILPOINT", point);
        assert_eq!(common::output(&mut command).code, None, "{point}: the process dies");
        let seen = published(&project).unwrap();
        assert!(seen == old || seen == new, "{point}: a reader sees one of the two");
        assert!(committed || seen == old, "{point}: nothing is published before the commit");

        project.foldline(&["run"]).exits(0);
        assert_whole(&project, &new, point);
        assert_clean(&project, point);
        project.foldline(&["rebuild"]).exits(0);
        assert_whole(&project, &new, point);
    }
}

#[test]
fn a_first_run_that_dies_anywhere_is_made_good_by_the_next() {
    let whole = Project::new(PROJECT);
    whole.write("events/1.ndjson", log(3, 40));
    whole.foldline(&["run"]).exits(0);
    let expected = published(&whole).unwrap();
    for point in ["publish.begun", "publish.renamed", "commit.manifest_written", "publish.after_manifest", "swap.linked"] {
        let project = Project::new(PROJECT);
        project.write("events/1.ndjson", log(3, 40));
        let mut command = project.command(&["run"]);
        command.env("FOLDLINE_FAILPOINT", point);
        assert_eq!(common::output(&mut command).code, None, "{point}");
        assert!(published(&project).is_none(), "{point}");
        project.foldline(&["run"]).exits(0);
        assert_whole(&project, &expected, point);
        assert_clean(&project, point);
    }
}

fn signal(project: &Project, args: &[&str], signal: &str, after: Duration) -> common::Output {
    let child = project.command(args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    std::thread::sleep(after);
    let pid = child.id().to_string();
    assert!(std::process::Command::new("kill").args([&format!("-{signal}"), &pid]).status().unwrap().success());
    let output = child.wait_with_output().unwrap();
    common::Output {
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

#[test]
fn a_run_that_waits_for_another_stops_at_the_first_signal() {
    let project = Project::new(PROJECT);
    project.write("events/1.ndjson", log(3, 40));
    project.foldline(&["run"]).exits(0);
    let lock = fs::File::options().write(true).open(project.path(".foldline/lock")).unwrap();
    lock.lock().unwrap();
    for (name, code) in [("INT", 130), ("TERM", 143)] {
        signal(&project, &["run", "--wait", "1h"], name, Duration::from_millis(500)).exits(code);
    }
}

#[test]
fn a_run_that_is_stopped_while_it_works_publishes_nothing_or_everything() {
    let whole = Project::new(PROJECT);
    let log = log(3, 120_000);
    whole.write("events/1.ndjson", &log);
    whole.foldline(&["run"]).exits(0);
    let expected = published(&whole).unwrap();
    for (name, code, after) in [("INT", 130, 60), ("TERM", 143, 150), ("TERM", 143, 400)] {
        let project = Project::new(PROJECT);
        project.write("events/1.ndjson", &log);
        let output = signal(&project, &["run", "--threads", "1"], name, Duration::from_millis(after));
        // too early to be watched for, in the middle, or past the commit
        match output.code {
            Some(0) => assert!(published(&project).unwrap() == expected),
            Some(found) => {
                assert_eq!(found, code, "{}", output.stderr);
                assert!(files_below(&project.path("out")).is_empty(), "staging is discarded");
                assert!(files_below(&project.path(".foldline/manifests")).is_empty());
            }
            None => assert!(published(&project).is_none()),
        }
        project.foldline(&["run"]).exits(0);
        assert_whole(&project, &expected, name);
        assert_clean(&project, name);
    }
}
