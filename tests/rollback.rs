//! An earlier generation again: what readers see, what runs do meanwhile, what is kept, and crashes in between.

mod common;

use std::fs;

use common::{Output, Project, files_below};

const PROJECT: &str = r#"
[project]
name = "sums"

[source.log]
files = ["events/*.ndjson"]
[source.log.envelope]
stream = "stream_id"
type = "type"
version = "version"
data = "data"

[event.Added]
amount = "BIGINT NOT NULL"

[aggregate.counter]
source = "log"
stream = "counter-{counter}"
[aggregate.counter.state]
total = "BIGINT DEFAULT 0"
[aggregate.counter.on.Added]
set.total = "total + data.amount"

[read_model.sums]
sql = "SELECT counter, total FROM counter"
[[read_model.sums.to]]
parquet = "out/sums.parquet"
[[read_model.sums.to]]
parquet = "out/sums"
[[read_model.sums.to]]
duckdb = "out/sums.duckdb"
"#;

const SECOND_MODEL: &str = r#"
[read_model.biggest]
sql = "SELECT max(total) AS total FROM counter"
[[read_model.biggest.to]]
parquet = "out/biggest.parquet"
[[read_model.biggest.to]]
duckdb = "out/sums.duckdb"
"#;

/// The versions `from..=to` of three counters, each adding 1.
fn log(from: i64, to: i64) -> String {
    let line = |version: i64, counter: i64| {
        format!(r#"{{"stream_id":"counter-{counter}","type":"Added","version":{version},"data":{{"amount":1}}}}"#) + "\n"
    };
    (from..=to).flat_map(|version| (0..3).map(move |counter| line(version, counter))).collect()
}

/// A project with so many generations: in each the totals are its number.
fn with_generations(count: i64) -> Project {
    let project = Project::new(PROJECT);
    for version in 1..=count {
        next_generation(&project, version).exits(0);
    }
    project
}

fn next_generation(project: &Project, version: i64) -> Output {
    project.append("events/1.ndjson", log(version, version));
    project.foldline(&["run"])
}

/// The total that each of the three targets shows.
#[track_caller]
fn seen(project: &Project) -> [i64; 3] {
    let one = |db: &duckdb::Connection, from: &str| {
        let sql = format!("SELECT min(total), max(total), count(*) FROM {from}");
        let (min, max, rows): (i64, i64, i64) = db.query_row(&sql, [], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).unwrap();
        assert_eq!((min, rows), (max, 3), "{from} is of one generation");
        min
    };
    let memory = common::duckdb();
    let current = files_below(&project.path("out/sums/current").canonicalize().unwrap());
    let config = duckdb::Config::default().access_mode(duckdb::AccessMode::ReadOnly).unwrap();
    let file = duckdb::Connection::open_with_flags(project.path("out/sums.duckdb"), config).unwrap();
    [one(&memory, &common::literal(&project.path("out/sums.parquet"))), one(&memory, &common::literal(&current[0])), one(&file, "sums")]
}

/// A message without times and sizes.
fn redacted(project: &Project, text: &str) -> String {
    let mut text = project.redact(text);
    for (pattern, to) in
        [(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", "[when]"), (r"\d+(\.\d+)? [kM]?B\b", "[size]"), (r"gen-(\d+)-[0-9a-f]{8}", "gen-$1-[id]")]
    {
        text = regex::Regex::new(pattern).unwrap().replace_all(&text, to).into_owned();
    }
    text
}

fn said(project: &Project, args: &[&str], code: i32) -> String {
    let output = project.foldline(args).exits(code);
    format!("$ foldline {}\n{}", args.join(" "), redacted(project, &(output.stdout + &output.stderr)))
}

#[test]
fn a_rollback_holds_until_it_is_released() {
    let undisturbed = with_generations(4);
    let project = with_generations(3);
    project.foldline(&["rollback"]).exits(0);
    assert_eq!(seen(&project), [2; 3]);

    next_generation(&project, 4).exits(0);
    project.foldline(&["rebuild"]).exits(0);
    project.foldline(&["run", "-s", "sums"]).exits(0);
    assert_eq!(seen(&project), [2; 3], "runs publish nothing");
    let path = project.foldline(&["path", "sums"]).exits(0);
    assert!(path.stdout.lines().count() == 3 && path.stdout.lines().all(|line| line.contains("gen-2-")), "{}", path.stdout);
    assert!(path.stderr.contains("pinned to generation 2"), "{}", path.stderr);

    project.foldline(&["rollback", "--release"]).exits(0);
    assert_eq!(seen(&project), [4; 3]);
    let bytes = |project: &Project| fs::read(project.path("out/sums.parquet")).unwrap();
    assert!(bytes(&project) == bytes(&undisturbed), "as if nothing had been");
    next_generation(&project, 5).exits(0);
    assert_eq!(seen(&project), [5; 3]);
}

#[test]
fn what_is_said_of_a_rollback() {
    let project = with_generations(3);
    let mut text = said(&project, &["rollback", "--list"], 0);
    text += &said(&project, &["rollback", "2"], 0);
    project.append("events/1.ndjson", log(4, 4));
    for args in [&["plan"][..], &["run"], &["run"], &["status"], &["path", "sums"], &["rollback"], &["rollback", "9"]] {
        text += &said(&project, args, if args == ["rollback", "9"] { 2 } else { 0 });
    }
    for args in [["rollback", "--release"], ["rollback", "--release"], ["rollback", "--list"]] {
        text += &said(&project, &args, 0);
    }
    insta::assert_snapshot!(text);
}

#[test]
fn a_rollback_for_a_machine() {
    let project = with_generations(2);
    let json = project.foldline(&["rollback", "--json"]).exits(0).json();
    assert_eq!((&json["generation"], &json["pinned"]["from"], &json["pinned"]["to"]), (&3.into(), &2.into(), &1.into()), "{json:#}");
    assert_eq!(json["read_models"][0]["stale"], true);
    let status = project.foldline(&["status", "--json"]).exits(0).json();
    assert_eq!((&status["pinned"]["to"], status["generations"].as_array().unwrap().len()), (&1.into(), 3), "{status:#}");
    assert_eq!(project.foldline(&["path", "--all", "--json"]).exits(0).json()["pinned"]["to"], 1);
    project.append("events/1.ndjson", log(3, 3));
    let run = project.foldline(&["run", "--json"]).exits(0).json();
    assert_eq!((&run["outcome"], &run["pinned"]["to"], &run["read_models"][0]["status"]), (&"pinned".into(), &1.into(), &"stale".into()));
    let released = project.foldline(&["rollback", "--release", "--json"]).exits(0).json();
    assert_eq!((&released["outcome"], &released["pinned"]), (&"published".into(), &serde_json::Value::Null), "{released:#}");
}

#[test]
fn the_current_generation_can_be_pinned_and_released() {
    let project = with_generations(2);
    project.foldline(&["rollback", "2"]).exits(0);
    next_generation(&project, 3).exits(0);
    assert_eq!(seen(&project), [2; 3]);
    project.foldline(&["rollback", "1"]).exits(0);
    assert_eq!(seen(&project), [1; 3]);
    // forward again, to what one came from
    project.foldline(&["rollback", "2"]).exits(0);
    assert_eq!(seen(&project), [2; 3]);
    project.foldline(&["rollback", "--release"]).exits(0);
    assert_eq!(seen(&project), [3; 3]);
    // nothing new, and the pin ends all the same
    project.foldline(&["rollback", "4"]).exits(0);
    project.foldline(&["rollback", "--release"]).exits(0);
    assert_eq!(seen(&project), [3; 3]);
    assert!(!project.foldline(&["status"]).exits(0).stdout.contains("pinned"));
}

#[test]
fn a_read_model_that_did_not_exist_then_is_reported() {
    let project = with_generations(2);
    project.append("foldline.toml", SECOND_MODEL);
    next_generation(&project, 3).exits(0);
    let mut text = said(&project, &["rollback"], 0);
    text += &said(&project, &["status"], 0);
    assert_eq!(seen(&project), [2; 3]);
    assert!(project.path("out/biggest.parquet").exists());
    project.foldline(&["rollback", "--release"]).exits(0);
    assert_eq!(seen(&project), [3; 3]);
    let config = duckdb::Config::default().access_mode(duckdb::AccessMode::ReadOnly).unwrap();
    let file = duckdb::Connection::open_with_flags(project.path("out/sums.duckdb"), config).unwrap();
    assert_eq!(file.query_row("SELECT total FROM biggest", [], |row| row.get::<_, i64>(0)).unwrap(), 3);
    insta::assert_snapshot!(text);
}

#[test]
fn a_rollback_works_where_the_project_file_is_what_broke() {
    let project = with_generations(2);
    project.append("foldline.toml", "\nbroken = ");
    project.foldline(&["run"]).exits(78);
    project.foldline(&["rollback"]).exits(0);
    assert_eq!(seen(&project), [1; 3]);
    project.foldline(&["rollback", "--list"]).exits(0);
    project.foldline(&["rollback", "--release"]).exits(78);
    assert_eq!(seen(&project), [1; 3]);
}

#[test]
fn a_rollback_that_cannot_be_is_refused_and_nothing_has_happened() {
    let none = Project::new(PROJECT);
    let mut text = said(&none, &["rollback"], 66);
    let project = with_generations(1);
    text += &said(&project, &["rollback"], 2);
    next_generation(&project, 2).exits(0);
    // one bit, with the size and the time of before
    let first = files_below(&project.path("out")).into_iter().find(|p| p.to_string_lossy().contains("/gen-1-")).unwrap();
    let modified = fs::metadata(&first).unwrap().modified().unwrap();
    let mut bytes = fs::read(&first).unwrap();
    bytes[100] ^= 1;
    fs::write(&first, bytes).unwrap();
    fs::File::options().append(true).open(&first).unwrap().set_modified(modified).unwrap();
    text += &said(&project, &["rollback"], 74);
    assert_eq!(seen(&project), [2; 3]);
    assert!(!project.foldline(&["status"]).exits(0).stdout.contains("pinned"));
    insta::assert_snapshot!(text);
}

#[test]
fn a_rollback_waits_for_its_turn() {
    let project = with_generations(2);
    let lock = fs::File::options().write(true).open(project.path(".foldline/lock")).unwrap();
    lock.lock().unwrap();
    project.foldline(&["rollback"]).exits(75);
    project.foldline(&["rollback", "--list"]).exits(0);
    let waiting = project.command(&["rollback", "--wait", "5m"]).spawn().unwrap();
    std::thread::sleep(std::time::Duration::from_millis(300));
    assert_eq!(seen(&project), [2; 3]);
    drop(lock);
    assert!(waiting.wait_with_output().unwrap().status.success());
    assert_eq!(seen(&project), [1; 3]);
}

#[test]
fn as_many_generations_as_the_project_keeps_can_be_rolled_back_to() {
    let project = with_generations(0);
    project.write("foldline.toml", PROJECT.replace("[project]", "[project]\nkeep = 2"));
    for version in 1..=4 {
        project.age_generations();
        next_generation(&project, version).exits(0);
    }
    // the newest is within its time of grace, but the two before it have not lost anything
    let kept = project.foldline(&["rollback", "--list", "--json"]).exits(0).json();
    let kept: Vec<u64> = kept["generations"].as_array().unwrap().iter().map(|g| g["generation"].as_u64().unwrap()).collect();
    assert_eq!(kept, [3, 4]);
    project.foldline(&["rollback", "3"]).exits(0);
    for version in 5..=8 {
        project.age_generations();
        next_generation(&project, version).exits(0);
    }
    assert_eq!(seen(&project), [3; 3]);
    let kept: Vec<String> =
        fs::read_dir(project.path(".foldline/manifests")).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    assert_eq!(kept.len(), 5, "3 and 4, the rollback 5, and the newest two: {kept:?}");
    project.foldline(&["rollback", "4"]).exits(0);
    assert_eq!(seen(&project), [4; 3], "what one came from is held, too");
}

/// The process dies at the failpoint, or never gets there.
#[track_caller]
fn dies_at(project: &Project, args: &[&str], point: &str) {
    let mut command = project.command(args);
    command.env("FOLDLINE_FAILPOINT", point);
    assert_eq!(common::output(&mut command).code, None, "{point}: the process dies");
}

#[test]
fn a_rollback_that_dies_anywhere_is_the_old_generation_or_becomes_the_new_one() {
    let points = [
        ("commit.before_manifest", false),
        ("commit.manifest_written", false),
        ("publish.after_manifest", true),
        ("swap.linked", true),
        ("swap.exchanged", true),
        ("publish.swapped", true),
    ];
    for (point, committed) in points {
        let project = with_generations(2);
        dies_at(&project, &["rollback"], point);
        for total in seen(&project) {
            assert!(total == 2 || (committed && total == 1), "{point}: a reader sees {total}");
        }
        project.foldline(&["run"]).exits(0);
        assert_eq!(seen(&project), [if committed { 1 } else { 2 }; 3], "{point}");
        project.foldline(&["rollback", "1"]).exits(0);
        assert_eq!(seen(&project), [1; 3], "{point}");

        // a release is a run, with one failpoint more
        next_generation(&project, 3).exits(0);
        dies_at(&project, &["rollback", "--release"], point);
        for total in seen(&project) {
            assert!(total == 1 || (committed && total == 3), "{point}: a reader sees {total}");
        }
        project.foldline(&["rollback", "--release"]).exits(0);
        project.foldline(&["run"]).exits(0);
        assert_eq!(seen(&project), [3; 3], "{point}");
        let left: Vec<_> = files_below(&project.path("out"))
            .into_iter()
            .filter(|p| {
                p.to_string_lossy().contains(".s") && (p.to_string_lossy().contains(".staging-") || p.to_string_lossy().contains(".swap-"))
            })
            .collect();
        assert!(left.is_empty(), "{point}: {left:?}");
    }
}

#[test]
fn a_collection_that_dies_anywhere_leaves_every_kept_generation_whole() {
    for point in ["garbage.manifest_removed", "garbage.manifests_removed", "garbage.data_removed", "garbage.target_removed"] {
        let project = with_generations(6);
        project.age_generations();
        dies_at(&project, &["run"], point);
        assert_eq!(seen(&project), [6; 3], "{point}");
        // one that is gone already is no error
        project.foldline(&["run"]).exits(0);
        assert_eq!(fs::read_dir(project.path(".foldline/manifests")).unwrap().count(), 3, "{point}");
        for generation in [4, 5, 6] {
            project.foldline(&["rollback", &generation.to_string()]).exits(0);
            assert_eq!(seen(&project), [generation; 3], "{point}");
        }
        let old: Vec<_> = files_below(&project.path(""))
            .into_iter()
            .filter(|p| {
                let path = p.to_string_lossy().into_owned();
                (1..=3).any(|n| path.contains(&format!("gen-{n}-")) || path.contains(&format!("/targets/{n}-")))
            })
            .collect();
        assert!(old.is_empty(), "{point}: {old:?}");
        project.foldline(&["rollback", "--release"]).exits(0);
        next_generation(&project, 7).exits(0);
        assert_eq!(seen(&project), [7; 3], "{point}");
    }
}

#[test]
fn a_users_file_that_comes_between_commit_and_swap_stays_and_the_rest_goes_on_without_it() {
    let project = with_generations(1);
    project.append("events/1.ndjson", log(2, 2));
    dies_at(&project, &["run"], "publish.after_manifest");
    fs::remove_file(project.path("out/sums.parquet")).unwrap();
    project.write("out/sums.parquet", "mine");
    let text = said(&project, &["run"], 74);
    assert_eq!(fs::read_to_string(project.path("out/sums.parquet")).unwrap(), "mine");
    let link = fs::read_link(project.path("out/sums.duckdb")).unwrap();
    assert!(link.to_string_lossy().contains("gen-2-"), "the others are rolled forward: {}", link.display());
    fs::rename(project.path("out/sums.parquet"), project.path("out/mine.parquet")).unwrap();
    project.foldline(&["run"]).exits(0);
    assert_eq!(seen(&project), [2; 3]);
    insta::assert_snapshot!(text);
}

#[test]
fn a_users_file_under_a_targets_name_is_refused_before_anything_is_read() {
    let mut text = String::new();
    for (name, content) in
        [("out/sums.parquet", "mine"), ("out/sums/notes.txt", "mine"), ("out/sums.duckdb", "mine"), ("out/sums.duckdb.wal", "mine")]
    {
        let project = Project::new(PROJECT);
        project.write("events/1.ndjson", "this is not even JSON\n");
        project.write(name, content);
        text += &said(&project, &["plan"], 74);
        text += &said(&project, &["run"], 74);
        assert_eq!(fs::read_to_string(project.path(name)).unwrap(), content);
        assert_eq!(files_below(&project.path("out")), [project.path(name)], "nothing was made beside it");
    }
    insta::assert_snapshot!(text);
}
