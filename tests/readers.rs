//! Readers are never in the way, never get an error, and never see rows of two generations.

mod common;

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use common::{Project, files_below, literal};

/// Rows of each target.
const KEYS: i64 = 200;

const PROJECT: &str = r#"
[project]
name = "readers"
keep = 5

[source.log]
files = ["events/*.ndjson"]
[source.log.envelope]
stream = "stream_id"
type = "type"
version = "version"
data = "data"

[event.Counted]
by = "BIGINT NOT NULL"

[aggregate.counter]
source = "log"
stream = "counter-{counter}"
[aggregate.counter.state]
total = "BIGINT DEFAULT 0"
[aggregate.counter.on.Counted]
set.total = "total + data.by"

[read_model.totals]
sql = "SELECT counter, total, length(counter) AS digits FROM counter"
[[read_model.totals.to]]
parquet = "out/totals.parquet"
[[read_model.totals.to]]
parquet = "out/totals"
partition_by = ["digits"]
[[read_model.totals.to]]
duckdb = "out/totals.duckdb"
"#;

/// One event for each key: in every generation all rows have the same total.
fn round(version: u64) -> String {
    (0..KEYS)
        .map(|key| format!(r#"{{"stream_id":"counter-{key}","type":"Counted","version":{version},"data":{{"by":1}}}}"#) + "\n")
        .collect()
}

/// The total that all rows have, or what is wrong.
fn one_total(db: &duckdb::Connection, from: &str) -> Result<i64, String> {
    let sql = format!("SELECT min(total), max(total), count(*), count(DISTINCT counter) FROM {from}");
    let row = db.query_row(&sql, [], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)));
    let (min, max, rows, keys): (i64, i64, i64, i64) = row.map_err(|e| e.to_string())?;
    if (min, rows, keys) == (max, KEYS, KEYS) { Ok(min) } else { Err(format!("totals {min} to {max} in {rows} rows of {keys} keys")) }
}

/// One look at a target, as the README tells readers to: links resolved once, DuckDB files opened read-only.
fn look(memory: &duckdb::Connection, out: &Path, target: usize) -> Result<i64, String> {
    match target {
        0 => one_total(memory, &literal(&out.join("totals.parquet"))),
        1 => {
            let current = out.join("totals/current").canonicalize().map_err(|e| e.to_string())?;
            one_total(memory, &format!("read_parquet({})", literal(&current.join("*/*.parquet"))))
        }
        _ => {
            let config = duckdb::Config::default().access_mode(duckdb::AccessMode::ReadOnly).map_err(|e| e.to_string())?;
            let db = duckdb::Connection::open_with_flags(out.join("totals.duckdb"), config).map_err(|e| e.to_string())?;
            // two queries of one connection are of one generation, too
            let (first, second) = (one_total(&db, "totals")?, one_total(&db, "totals")?);
            if first == second { Ok(first) } else { Err(format!("{first}, then {second}")) }
        }
    }
}

/// Sets the flag when it goes, also when a publication panics: the readers stop.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// `FOLDLINE_PUBLICATIONS` says how many there are; `scripts/soak readers` makes it 200.
#[test]
fn four_readers_see_whole_generations_while_others_are_published_and_collected() {
    let publications: u64 = std::env::var("FOLDLINE_PUBLICATIONS").ok().and_then(|n| n.parse().ok()).unwrap_or(30);
    let project = Project::new(PROJECT);
    project.write("events/1.ndjson", round(1));
    project.foldline(&["run"]).exits(0);
    let out = project.path("out");
    let (done, looks) = (AtomicBool::new(false), AtomicU64::new(0));
    let read = |reader: usize| {
        let memory = common::duckdb();
        let mut last = [0; 3];
        let mut target = reader;
        while !done.load(Ordering::SeqCst) {
            target = (target + 1) % 3;
            match look(&memory, &out, target) {
                // rollbacks are among the publications: a total may be smaller than the one before
                Ok(total) => last[target] = total,
                Err(error) => panic!("reader {reader}, target {target}, after the total {}: {error}", last[target]),
            }
            looks.fetch_add(1, Ordering::SeqCst);
        }
    };
    let mut versions = 1;
    std::thread::scope(|threads| {
        let (read, _stop) = (&read, Stop(&done));
        let readers: Vec<_> = (0..4).map(|reader| threads.spawn(move || read(reader))).collect();
        for publication in 2..=publications {
            if readers.iter().any(|reader| reader.is_finished()) {
                break;
            }
            // every tenth one is a rollback, and the next one its release
            match publication % 10 {
                0 => project.foldline(&["rollback"]).exits(0),
                1 => project.foldline(&["rollback", "--release"]).exits(0),
                _ => {
                    versions += 1;
                    project.append("events/1.ndjson", round(versions));
                    project.foldline(&["run"]).exits(0)
                }
            };
            project.age_generations();
        }
    });
    println!("{publications} publications, {} looks of 4 readers", looks.load(Ordering::SeqCst));
    project.foldline(&["rollback", "--release"]).exits(0);
    project.foldline(&["run"]).exits(0);
    assert!(looks.load(Ordering::SeqCst) > publications, "the readers have read");
    for target in 0..3 {
        assert_eq!(look(&common::duckdb(), &out, target), Ok(versions as i64));
    }
    let generations = files_below(&project.path(".foldline/manifests")).len();
    assert!(generations <= 8, "{generations} are left: what is old was collected meanwhile");
}
