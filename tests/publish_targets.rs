//! Targets: whose they are, what readers see, and what a crash at each step leaves behind.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use foldline::error::{Kind, Result};
use foldline::files;
use foldline::model::{AggregateInput, Engine, Inputs, Limits, TableInput};
use foldline::project::{ReadModel, Reads, Target};
use foldline::publish::{self, Publication};
use foldline::sql::{Type, Value};
use foldline::state::manifest::{DataFile, Manifest, Partition, Reason};
use foldline::state::{Frame, Store, manifest, parquet};

fn parquet_target(path: &Path) -> Target {
    Target::Parquet { path: path.to_path_buf(), partition_by: Vec::new(), sort_by: Vec::new() }
}

fn model(name: &str, targets: Vec<Target>) -> ReadModel {
    ReadModel {
        name: name.into(),
        sql: "SELECT id, country FROM t".into(),
        place: "foldline.toml:1".into(),
        reads: Reads::default(),
        checks: Vec::new(),
        targets,
        reproducible: true,
        fingerprint: String::new(),
    }
}

/// One read model with a target of each kind.
fn three_targets(root: &Path) -> Vec<ReadModel> {
    let dataset = Target::Parquet { path: root.join("out/set"), partition_by: vec!["country".into()], sort_by: vec!["id DESC".into()] };
    let targets = vec![
        parquet_target(&root.join("out/m.parquet")),
        dataset,
        Target::DuckDb { path: root.join("out/shop.duckdb"), sort_by: Vec::new() },
    ];
    vec![model("m", targets)]
}

/// The whole of a run behind the fold: a snapshot with `rows` rows, published.
fn run(root: &Path, models: &[ReadModel], rows: i128) -> Result<Manifest> {
    run_with(root, models, &[], rows, 2)
}

fn run_with(root: &Path, models: &[ReadModel], selected: &[String], rows: i128, threads: usize) -> Result<Manifest> {
    let store = Store::open(root, None)?;
    publish::recover(&store)?;
    let previous = store.newest()?;
    let generation = store.next_generation()?;
    let columns = [("id".to_string(), Type::BigInt), ("country".to_string(), Type::Varchar)];
    let mut frame = Frame::empty(&columns);
    for id in 0..rows {
        frame.columns[0].push(Value::Int(id));
        frame.columns[1].push(Value::text(["DE", "../../etc", "a/b"][(id % 3) as usize]));
    }
    let dir = store.fresh_data_dir("snapshots", "t")?;
    let file = dir.join(format!("{generation}.parquet"));
    files::remove_file(&file)?;
    let info = parquet::write(&file, &frame)?;
    let base = DataFile { path: format!("snapshots/t/{generation}.parquet"), rows: info.rows, bytes: info.bytes, hash: info.hash };
    let chosen = publish::selection(models, selected);
    let mut publication = Publication::begin(&store, generation, &chosen)?;
    let table = TableInput { name: "t".into(), columns: columns.to_vec(), files: vec![file], ..TableInput::default() };
    let inputs =
        Inputs { aggregates: vec![AggregateInput { table, rows: Vec::new() }], attach: publication.attachments(), ..Inputs::default() };
    let limits = Limits { threads, memory_bytes: 512 << 20, temp_dir: store.staging()?.join("tmp") };
    let mut engine = Engine::open(&inputs, &limits)?;
    let names: Vec<&str> = chosen.iter().map(|m| m.name.as_str()).collect();
    engine.define_all(&models.iter().collect::<Vec<_>>(), &names)?;
    for model in &chosen {
        publication.stage(&engine, model)?;
    }
    let mut manifest = Manifest::empty(generation, "2026-01-01T00:00:00Z".into(), Reason::Run);
    let new = publication.finish(Some(&engine))?;
    manifest.published = publish::merge(&store, previous.as_ref(), new, models)?;
    let partitions = vec![Partition { prefix_bits: 0, prefix: 0, base: Some(base), deltas: Vec::new(), live_rows: None }];
    manifest.aggregates.push(manifest::Aggregate {
        name: "t".into(),
        fingerprint: String::new(),
        partitions,
        absent: Vec::new(),
        rows: Vec::new(),
    });
    store.commit(&manifest)?;
    publish::swap(&store, &manifest)?;
    publish::collect_garbage(&store, 3, Duration::ZERO)?;
    Ok(manifest)
}

fn duckdb_count(sql: &str, file: Option<&Path>) -> i64 {
    let config = || duckdb::Config::default().access_mode(duckdb::AccessMode::ReadOnly).unwrap();
    let connection = match file {
        Some(file) => duckdb::Connection::open_with_flags(file, config()).unwrap(),
        None => duckdb::Connection::open_in_memory().unwrap(),
    };
    connection.query_row(sql, [], |row| row.get(0)).unwrap()
}

/// The rows that a reader of each target sees.
fn seen(root: &Path) -> [i64; 3] {
    let set = root.join("out/set/current").canonicalize().unwrap();
    [
        duckdb_count(&format!("SELECT count(*) FROM '{}'", root.join("out/m.parquet").display()), None),
        duckdb_count(&format!("SELECT count(*) FROM read_parquet('{}/*/*.parquet')", set.display()), None),
        duckdb_count("SELECT count(*) FROM m", Some(&root.join("out/shop.duckdb"))),
    ]
}

fn names(dir: &Path) -> Vec<String> {
    files::list(dir).unwrap().iter().map(|p| p.file_name().unwrap().to_string_lossy().into_owned()).collect()
}

#[test]
fn each_target_shows_the_newest_generation() {
    let dir = tempfile::tempdir().unwrap();
    let models = three_targets(dir.path());
    run(dir.path(), &models, 10).unwrap();
    assert_eq!(seen(dir.path()), [10; 3]);
    let manifest = run(dir.path(), &models, 20).unwrap();
    assert_eq!(seen(dir.path()), [20; 3]);
    assert_eq!(manifest.published.iter().map(|p| p.rows).collect::<Vec<_>>(), [20; 3]);
    assert!(fs::read_link(dir.path().join("out/shop.duckdb")).unwrap().is_relative());
    let built = fs::metadata(dir.path().join("out/shop.duckdb")).unwrap();
    assert_eq!(built.mode() & 0o777, 0o644);
    assert!(!names(&dir.path().join("out")).iter().any(|n| n.contains("staging") || n.contains("swap") || n.ends_with(".wal")));
}

#[test]
fn a_partition_value_stays_inside_the_dataset() {
    let dir = tempfile::tempdir().unwrap();
    run(dir.path(), &three_targets(dir.path()), 10).unwrap();
    let current = dir.path().join("out/set/current");
    assert_eq!(names(&current), ["country=..%2F..%2Fetc", "country=DE", "country=a%2Fb"]);
    let sql = format!(
        "SELECT count(*) FROM read_parquet('{}/*/*.parquet', hive_partitioning = true) WHERE country = '../../etc'",
        current.canonicalize().unwrap().display()
    );
    assert_eq!(duckdb_count(&sql, None), 3, "readers get the value back");
}

#[test]
fn an_open_reader_keeps_its_generation() {
    let dir = tempfile::tempdir().unwrap();
    let models = three_targets(dir.path());
    run(dir.path(), &models, 10).unwrap();
    let file = fs::File::open(dir.path().join("out/m.parquet")).unwrap();
    let config = duckdb::Config::default().access_mode(duckdb::AccessMode::ReadOnly).unwrap();
    let reader = duckdb::Connection::open_with_flags(dir.path().join("out/shop.duckdb"), config).unwrap();
    for rows in [20, 30, 40, 50, 60] {
        run(dir.path(), &models, rows).unwrap();
    }
    let rows = ::parquet::file::reader::SerializedFileReader::new(file).unwrap();
    assert_eq!(::parquet::file::reader::FileReader::metadata(&rows).file_metadata().num_rows(), 10);
    let count: i64 = reader.query_row("SELECT count(*) FROM m WHERE id >= 0", [], |row| row.get(0)).unwrap();
    assert_eq!(count, 10);
    assert_eq!(seen(dir.path()), [60; 3]);
}

#[test]
fn a_users_own_file_is_never_replaced() {
    for (target, name) in [(0, "out/m.parquet"), (1, "out/set/notes.txt"), (2, "out/shop.duckdb")] {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, "mine").unwrap();
        let mut models = three_targets(dir.path());
        models[0].targets = vec![models[0].targets.swap_remove(target)];
        let error = run(dir.path(), &models, 10).unwrap_err();
        assert!(error.kind == Kind::Io && error.message.contains("did not publish") && !error.help.is_empty(), "{error}");
        assert_eq!(fs::read_to_string(&path).unwrap(), "mine");
        assert_eq!(files::list(path.parent().unwrap()).unwrap(), [path], "nothing was staged either");
    }
}

#[test]
fn a_users_file_in_the_place_of_a_published_one_is_not_replaced() {
    let dir = tempfile::tempdir().unwrap();
    let models = vec![model("m", vec![parquet_target(&dir.path().join("m.parquet"))])];
    run(dir.path(), &models, 10).unwrap();
    fs::remove_file(dir.path().join("m.parquet")).unwrap();
    fs::write(dir.path().join("m.parquet"), "mine").unwrap();
    let error = run(dir.path(), &models, 20).unwrap_err();
    assert!(error.message.contains("did not publish"), "{error}");
    assert_eq!(fs::read_to_string(dir.path().join("m.parquet")).unwrap(), "mine");
}

#[test]
fn a_crash_anywhere_leaves_the_old_generation_or_becomes_the_new_one() {
    let before = ["publish.begun", "publish.staged", "publish.renamed", "commit.before_manifest", "commit.manifest_written"];
    let after = ["publish.after_manifest", "swap.linked", "swap.exchanged", "publish.swapped", "garbage.manifests_removed"];
    for failpoint in before.into_iter().chain(after) {
        let dir = tempfile::tempdir().unwrap();
        let models = three_targets(dir.path());
        run(dir.path(), &models, 10).unwrap();
        files::arm_failpoint(Some(failpoint));
        let crash = run(dir.path(), &models, 20).unwrap_err();
        files::arm_failpoint(None);
        assert!(crash.message.contains(failpoint), "{crash}");
        let committed = after.contains(&failpoint);
        for count in seen(dir.path()) {
            assert!(count == 10 || (committed && count == 20), "{failpoint}: a reader sees {count}");
        }
        let recovered = {
            let store = Store::open(dir.path(), None).unwrap();
            publish::recover(&store).unwrap()
        };
        assert!(recovered.damaged.is_empty(), "{failpoint}");
        assert_eq!(seen(dir.path()), [if committed { 20 } else { 10 }; 3], "{failpoint}");
        let left: Vec<String> = names(&dir.path().join("out")).into_iter().chain(names(&dir.path().join("out/set"))).collect();
        assert!(!left.iter().any(|n| n.contains("staging") || n.contains("swap")), "{failpoint}: {left:?}");
        let generations = left.iter().filter(|n| n.contains("gen-")).count();
        assert_eq!(generations, if committed { 6 } else { 3 }, "{failpoint}: {left:?}");
        run(dir.path(), &models, 30).unwrap();
        assert_eq!(seen(dir.path()), [30; 3], "{failpoint}");
    }
}

#[test]
fn old_generations_go_and_the_newest_three_stay() {
    let dir = tempfile::tempdir().unwrap();
    let models = three_targets(dir.path());
    for rows in 1..=6 {
        run(dir.path(), &models, rows).unwrap();
    }
    assert_eq!(names(&dir.path().join(".foldline/manifests")), ["4.json", "5.json", "6.json"]);
    assert_eq!(names(&dir.path().join(".foldline/snapshots/t")), ["4.parquet", "5.parquet", "6.parquet"]);
    assert_eq!(names(&dir.path().join("out/set")).len(), 4, "three generations and `current`");
    assert_eq!(names(&dir.path().join("out")).iter().filter(|n| n.contains(".gen-")).count(), 6);
    assert_eq!(seen(dir.path()), [6; 3]);
}

#[test]
fn what_is_not_selected_keeps_its_generation() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    let shared = || Target::DuckDb { path: path("s.duckdb"), sort_by: Vec::new() };
    let models = vec![
        model("a", vec![parquet_target(&path("a.parquet"))]),
        model("b", vec![parquet_target(&path("b.parquet")), shared()]),
        model("c", vec![shared()]),
    ];
    run(dir.path(), &models, 10).unwrap();
    for rows in [20, 30, 40, 50] {
        run_with(dir.path(), &models, &["c".to_string()], rows, 2).unwrap();
    }
    let manifest = run_with(dir.path(), &models, &["B".to_string()], 60, 2).unwrap();
    let told: Vec<(&str, u64, u64)> = manifest.published.iter().map(|p| (p.read_model.as_str(), p.generation, p.rows)).collect();
    assert_eq!(told, [("a", 1, 10), ("b", 6, 60), ("b", 6, 60), ("c", 6, 60)], "who shares a DuckDB file is published with it");
    let count = |name: &str| duckdb_count(&format!("SELECT count(*) FROM '{}'", path(name).display()), None);
    assert_eq!((count("a.parquet"), count("b.parquet")), (10, 60));
    assert_eq!(duckdb_count("SELECT count(*) FROM b JOIN c USING (id)", Some(&path("s.duckdb"))), 60);
}

#[test]
fn the_same_rows_are_the_same_bytes_for_any_number_of_threads() {
    let hashes = |threads| {
        let dir = tempfile::tempdir().unwrap();
        let manifest = run_with(dir.path(), &three_targets(dir.path()), &[], 150_000, threads).unwrap();
        let parquet = manifest.published.iter().filter(|p| p.kind != manifest::TargetKind::DuckDb);
        parquet.map(|p| p.hash.clone()).collect::<Vec<_>>()
    };
    assert_eq!(hashes(1), hashes(4));
}

#[test]
fn row_groups_are_cut_by_count() {
    let dir = tempfile::tempdir().unwrap();
    let mut many = model("m", vec![parquet_target(&dir.path().join("m.parquet"))]);
    many.sql = "SELECT range AS n FROM range(1100000)".into();
    run(dir.path(), &[many], 1).unwrap();
    let file = fs::File::open(dir.path().join("m.parquet")).unwrap();
    let reader = ::parquet::file::reader::SerializedFileReader::new(file).unwrap();
    let metadata = ::parquet::file::reader::FileReader::metadata(&reader);
    assert_eq!(metadata.row_groups().iter().map(|g| g.num_rows()).collect::<Vec<_>>(), [1_048_576, 51_424]);
    assert_eq!(metadata.file_metadata().created_by(), Some("foldline"));
    assert!(metadata.row_group(0).column(0).statistics().is_some());
}

#[test]
fn a_target_that_was_changed_is_reported() {
    let dir = tempfile::tempdir().unwrap();
    let models = three_targets(dir.path());
    run(dir.path(), &models, 10).unwrap();
    let real = dir.path().join("out/shop.duckdb").canonicalize().unwrap();
    let mut bytes = fs::read(&real).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    fs::write(&real, bytes).unwrap();
    let store = Store::open(dir.path(), None).unwrap();
    let damaged: Vec<PathBuf> = publish::recover(&store).unwrap().damaged.iter().map(|p| store.resolve(&p.path)).collect();
    assert_eq!(damaged, [dir.path().join("out/shop.duckdb")]);
}

#[test]
fn two_read_models_cannot_share_one_parquet_file() {
    let dir = tempfile::tempdir().unwrap();
    let target = || vec![parquet_target(&dir.path().join("./x.parquet"))];
    let error = run(dir.path(), &[model("a", target()), model("b", target())], 1).unwrap_err();
    assert_eq!(error.kind, Kind::Project);
}

#[test]
fn a_column_of_nulls_and_no_rows_can_be_published() {
    let dir = tempfile::tempdir().unwrap();
    let mut models = three_targets(dir.path());
    models[0].sql = "SELECT id, NULL AS nothing, NULLIF(country, country) AS country FROM t".into();
    run(dir.path(), &models, 5).unwrap();
    assert_eq!(seen(dir.path()), [5; 3]);
    assert_eq!(names(&dir.path().join("out/set/current")), ["country=__HIVE_DEFAULT_PARTITION__"]);
    run(dir.path(), &models, 0).unwrap();
    assert_eq!(names(&dir.path().join("out/set/current")), Vec::<String>::new());
    assert_eq!(duckdb_count(&format!("SELECT count(*) FROM '{}'", dir.path().join("out/m.parquet").display()), None), 0);
}

#[test]
fn a_discarded_publication_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let models = three_targets(dir.path());
    let store = Store::open(dir.path(), None).unwrap();
    let publication = Publication::begin(&store, 1, &publish::selection(&models, &[])).unwrap();
    publication.discard().unwrap();
    assert_eq!(names(&dir.path().join("out")), Vec::<String>::new());
    assert_eq!(names(&dir.path().join(".foldline/targets")), Vec::<String>::new());
}

#[test]
fn a_commit_that_failed_after_it_had_happened_is_not_discarded() {
    let dir = tempfile::tempdir().unwrap();
    let models = three_targets(dir.path());
    run(dir.path(), &models, 10).unwrap();
    let store = Store::open(dir.path(), None).unwrap();
    let mut publication = Publication::begin(&store, 2, &publish::selection(&models, &[])).unwrap();
    let inputs = Inputs { attach: publication.attachments(), ..Inputs::default() };
    let limits = Limits { threads: 1, memory_bytes: 512 << 20, temp_dir: store.staging().unwrap() };
    let mut engine = Engine::open(&inputs, &limits).unwrap();
    let constant = ReadModel { sql: "SELECT 1 AS id, 'DE' AS country".into(), ..three_targets(dir.path()).remove(0) };
    engine.define(&constant, true).unwrap();
    publication.stage(&engine, &constant).unwrap();
    let mut manifest = Manifest::empty(2, "2026-01-01T00:00:00Z".into(), Reason::Run);
    manifest.published = publication.finish(Some(&engine)).unwrap();
    files::arm_failpoint(Some("publish.after_manifest"));
    store.commit(&manifest).unwrap_err();
    files::arm_failpoint(None);
    publication.discard().unwrap();
    assert_eq!(publish::recover(&store).unwrap().rolled_forward.len(), 3);
    assert_eq!(seen(dir.path()), [1; 3]);
}

#[test]
fn a_users_file_that_appears_before_the_swap_is_not_replaced() {
    let dir = tempfile::tempdir().unwrap();
    let models = three_targets(dir.path());
    files::arm_failpoint(Some("publish.after_manifest"));
    run(dir.path(), &models, 10).unwrap_err();
    files::arm_failpoint(None);
    fs::write(dir.path().join("out/m.parquet"), "mine").unwrap();
    let store = Store::open(dir.path(), None).unwrap();
    let manifest = store.newest().unwrap().unwrap();
    let error = publish::swap(&store, &manifest).unwrap_err();
    assert!(error.kind == Kind::Io && error.message.contains("did not publish"), "{error}");
    assert!(error.help.iter().any(|h| h.contains("nothing is lost: generation 1 is committed")), "{error}");
    assert_eq!(fs::read_to_string(dir.path().join("out/m.parquet")).unwrap(), "mine");
    assert!(dir.path().join("out/set/current").exists() && dir.path().join("out/shop.duckdb").exists(), "the others are swapped in");
    fs::remove_file(dir.path().join("out/m.parquet")).unwrap();
    assert_eq!(publish::recover(&store).unwrap().rolled_forward.len(), 1);
    assert_eq!(seen(dir.path()), [10; 3]);
}

#[test]
fn a_write_ahead_log_under_a_targets_name_is_not_taken_over() {
    let dir = tempfile::tempdir().unwrap();
    let models = three_targets(dir.path());
    let chosen = publish::selection(&models, &[]);
    fs::create_dir_all(dir.path().join("out")).unwrap();
    let log = dir.path().join("out/shop.duckdb.wal");
    fs::write(&log, "changes").unwrap();
    let error = publish::check_targets(dir.path(), &[], &chosen).unwrap_err();
    assert!(error.message.ends_with("shop.duckdb.wal belongs to a DuckDB file that is not there"), "{error}");
    fs::write(dir.path().join("out/shop.duckdb"), "mine").unwrap();
    let error = publish::check_targets(dir.path(), &[], &chosen).unwrap_err();
    assert!(error.message.contains("did not publish") && error.help.iter().any(|h| h.contains("move both together")), "{error}");
}
