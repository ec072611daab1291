//! The store: one run at a time, and manifests that are either whole or not there.

use std::fs;
use std::time::{Duration, Instant};

use foldline::error::Kind;
use foldline::state::Store;
use foldline::state::manifest::*;

fn manifest(generation: u64) -> Manifest {
    Manifest::empty(generation, "2026-01-01T00:00:00Z".into(), Reason::Run)
}

fn file(path: &str) -> DataFile {
    DataFile { path: path.into(), rows: 3, bytes: 100, hash: "ab".into() }
}

#[test]
fn a_manifest_is_read_as_it_was_written() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), None).unwrap();
    for folder in ["streams", "quarantine", "snapshots/o", "events/E"] {
        fs::create_dir_all(dir.path().join(".foldline").join(folder)).unwrap();
    }
    let mut full = manifest(1);
    full.sources.push(Source {
        name: "shop".into(),
        fingerprint: "f".into(),
        files: vec![LogFile {
            path: "events/a.ndjson".into(),
            codec: "plain".into(),
            form: String::new(),
            size: 10,
            consumed: 9,
            records: 2,
            lines: 3,
            head_hash: "h".into(),
            tail_hash: "t".into(),
            blocks: vec!["b".into()],
            rest_hash: "r".into(),
            packed_hash: "p".into(),
            sealed: false,
            vanished: true,
            first_position: Some(-1),
            last_position: None,
        }],
        segments: vec![Segment { file: 0, from: 0, to: 9, passed_holes: false }],
        copies: vec![CopiedFile { path: "events/b.ndjson".into(), size: 9, ends_hash: "e".into(), of: "events/a.ndjson".into() }],
        streams: vec![file("streams/1.parquet")],
        stream_partitions: vec![Partition {
            prefix_bits: 0,
            prefix: 0,
            base: Some(file("streams/1-0.parquet")),
            deltas: vec![file("streams/1-0-delta.parquet")],
            live_rows: Some(7),
        }],
        pending: vec![file("streams/1-pending.parquet")],
        pending_events: 1,
        quarantine: Quarantine { files: vec![file("quarantine/1.parquet")], entries: 1, unplaced: 0 },
        passed: foldline::state::manifest::Passed { file: Some(file("streams/1-passed.parquet")), streams: 1 },
        ids: vec![file("streams/1-ids.parquet")],
        last_position: Some(-1),
        last_event_time: Some(i64::MAX),
    });
    full.aggregates.push(Aggregate {
        name: "order".into(),
        fingerprint: "g".into(),
        partitions: vec![Partition {
            prefix_bits: 1,
            prefix: u64::MAX,
            base: Some(file("snapshots/o/1.parquet")),
            deltas: vec![file("snapshots/o/2.parquet")],
            live_rows: Some(5),
        }],
        absent: vec![None, Some((-7, 1))],
        rows: vec![RowsTable { name: "history".into(), files: vec![file("snapshots/o/3.parquet")] }],
    });
    full.event_tables.push(EventTable { event_type: "E".into(), fingerprint: "e".into(), files: vec![file("events/E/1.parquet")] });
    full.read_models.push(ReadModel { name: "m".into(), fingerprint: "m".into(), generation: 1, rows: 5, stale: true });
    full.published.push(Published {
        read_model: "m".into(),
        kind: TargetKind::DuckDb,
        path: "out/x.duckdb".into(),
        generation_path: "out/x.gen-1.duckdb".into(),
        generation: 1,
        rows: 5,
        bytes: 9,
        hash: "h".into(),
        modified: 17,
        files: vec![],
    });
    full.max_event_time = Some(-5);
    store.commit(&full).unwrap();
    assert_eq!(store.newest().unwrap(), Some(full.clone()));
    assert_eq!(full.data_files().count(), 11);
    assert_eq!(full.duckdb, "v1.5.6");
}

#[test]
fn a_committed_generation_is_never_overwritten() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), None).unwrap();
    store.commit(&manifest(1)).unwrap();
    let mut other = manifest(1);
    other.max_event_time = Some(1);
    assert_eq!(store.commit(&other).unwrap_err().kind, Kind::Locked);
    assert_eq!(store.newest().unwrap(), Some(manifest(1)));
    assert_eq!(fs::read_dir(dir.path().join(".foldline/manifests")).unwrap().count(), 1, "no temporary file is left");
}

#[test]
fn a_broken_manifest_is_passed_over_and_its_number_not_used_again() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), None).unwrap();
    assert_eq!((store.newest().unwrap(), store.next_generation().unwrap()), (None, 1));
    store.commit(&manifest(1)).unwrap();
    fs::write(dir.path().join(".foldline/manifests/2.json"), "{\"format\": 1, \"gen").unwrap();
    let mut outside = manifest(3);
    outside.event_tables.push(EventTable { event_type: "E".into(), fingerprint: "e".into(), files: vec![file("../../etc/passwd")] });
    fs::write(dir.path().join(".foldline/manifests/3.json"), serde_json::to_vec(&outside).unwrap()).unwrap();
    assert_eq!(store.newest().unwrap(), Some(manifest(1)));
    assert_eq!(store.next_generation().unwrap(), 4);
}

#[test]
fn a_manifest_of_a_later_format_stops_the_run() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), None).unwrap();
    store.commit(&manifest(1)).unwrap();
    fs::write(dir.path().join(".foldline/manifests/2.json"), "{\"format\": 2}").unwrap();
    let error = store.newest().unwrap_err();
    assert!(error.message.contains("format 2") && !error.help.is_empty(), "{error}");
}

#[test]
fn a_second_run_is_told_who_holds_the_project() {
    let dir = tempfile::tempdir().unwrap();
    let first = Store::open(dir.path(), None).unwrap();
    let error = Store::open(dir.path(), None).err().unwrap();
    assert_eq!(error.kind, Kind::Locked);
    assert!(error.message.contains(&format!("process {}", std::process::id())), "{error}");
    let began = Instant::now();
    assert!(Store::open(dir.path(), Some(Duration::from_millis(200))).is_err());
    assert!(began.elapsed() >= Duration::from_millis(200));
    drop(first);
    Store::open(dir.path(), None).unwrap();
}

#[test]
fn a_run_that_waits_gets_the_lock_when_it_is_free() {
    let dir = tempfile::tempdir().unwrap();
    let first = Store::open(dir.path(), None).unwrap();
    let path = dir.path().to_path_buf();
    let second = std::thread::spawn(move || Store::open(&path, Some(Duration::from_secs(30))).map(|_| ()));
    std::thread::sleep(Duration::from_millis(150));
    drop(first);
    second.join().unwrap().unwrap();
}

#[test]
fn names_become_folders_that_stay_inside() {
    use foldline::state::store::safe_name;
    assert_eq!(safe_name("../a b"), "%2E%2E%2Fa%20b");
    assert!(safe_name(&"ü".repeat(300)).len() < 200);
}

#[test]
fn what_a_crash_of_the_first_run_left_is_removed() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), None).unwrap();
    let orphan = store.fresh_data_dir("snapshots", "order").unwrap().join("1.parquet");
    fs::write(&orphan, "half").unwrap();
    store.collect_garbage(3, Duration::ZERO).unwrap();
    assert!(!orphan.exists());
    // But not where a manifest is there that cannot be read: it may name the file.
    fs::write(&orphan, "whole").unwrap();
    fs::write(dir.path().join(".foldline/manifests/1.json"), "{").unwrap();
    store.collect_garbage(3, Duration::ZERO).unwrap();
    assert!(orphan.exists());
}

fn generations(root: &std::path::Path) -> Vec<u64> {
    let store = Store::open(root, None).unwrap();
    let mut kept: Vec<u64> = store.manifests().unwrap().iter().map(|m| m.generation).collect();
    kept.sort_unstable();
    kept
}

#[test]
fn as_many_generations_stay_as_the_project_keeps_and_those_that_a_rollback_holds() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), None).unwrap();
    let data = |n: u64| format!("events/E/{n}.parquet");
    fs::create_dir_all(dir.path().join(".foldline/events/E")).unwrap();
    for n in 1..=9 {
        fs::write(store.data_path(&data(n)), "rows").unwrap();
        let mut manifest = manifest(n);
        manifest.event_tables.push(EventTable { event_type: "E".into(), fingerprint: "e".into(), files: vec![file(&data(n))] });
        if n >= 5 {
            manifest.pinned = Some(Pin { since: "2026-01-01T00:00:00Z".into(), generation: 5, from: 4, to: 2 });
        }
        store.commit(&manifest).unwrap();
    }
    store.collect_garbage(2, Duration::from_secs(600)).unwrap();
    assert_eq!(fs::read_dir(dir.path().join(".foldline/manifests")).unwrap().count(), 9, "within the time of grace all stay");
    store.collect_garbage(2, Duration::ZERO).unwrap();
    drop(store);
    assert_eq!(generations(dir.path()), [2, 4, 5, 8, 9]);
    let store = Store::open(dir.path(), None).unwrap();
    let there: Vec<u64> = (1..=9).filter(|n| store.data_path(&data(*n)).exists()).collect();
    assert_eq!(there, [2, 4, 5, 8, 9]);
}

#[test]
fn while_a_manifest_cannot_be_read_no_file_that_it_may_name_is_removed() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), None).unwrap();
    for n in 1..=4 {
        store.commit(&manifest(n)).unwrap();
    }
    let orphan = store.fresh_data_dir("events", "E").unwrap().join("1.parquet");
    fs::write(&orphan, "rows").unwrap();
    fs::write(dir.path().join(".foldline/manifests/4.json"), "{").unwrap();
    store.collect_garbage(2, Duration::ZERO).unwrap();
    assert!(orphan.exists());
    assert_eq!(fs::read_dir(dir.path().join(".foldline/manifests")).unwrap().count(), 4, "it may be a rollback that holds others");
    store.commit(&manifest(5)).unwrap();
    store.commit(&manifest(6)).unwrap();
    store.collect_garbage(2, Duration::ZERO).unwrap();
    assert!(!orphan.exists(), "the broken one has become old");
}

#[test]
fn a_manifest_from_before_rollbacks_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), None).unwrap();
    store.commit(&manifest(1)).unwrap();
    let text = fs::read_to_string(dir.path().join(".foldline/manifests/1.json")).unwrap();
    assert!(!text.contains("pinned"), "{text}");
    assert_eq!(store.newest().unwrap().unwrap().pinned, None);
}
