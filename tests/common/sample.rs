//! A small project that writes everything that a run can write, its log in pieces, and what its readers see.
//!
//! The log has what exports have: streams side by side, events that come early, duplicates, holes that a later piece
//! fills. So a run ends with exit code 0, or with 3 while something waits.

use std::collections::BTreeMap;
use std::fs;

use super::random::Random;
use super::{Project, files_below, literal};

const PROJECT: &str = r#"
[project]
name = "sample"

[source.log]
files = ["events/*"]
on_gap = "wait"

[event.Opened]
name = "VARCHAR NOT NULL"
[event.Paid]
amount = "DECIMAL(12,2) NOT NULL"
[event.Closed]

[aggregate.account]
source = "log"
stream = "account-{account}"
[aggregate.account.state]
name = "VARCHAR"
total = "DECIMAL(18,2) DEFAULT 0"
status = "VARCHAR DEFAULT 'open'"
[aggregate.account.on.Opened]
set.name = "data.name"
[aggregate.account.on.Paid]
set.total = "total + data.amount"
[aggregate.account.on.Closed]
set.status = "CASE status WHEN 'open' THEN 'closed' ELSE 'open' END"
[aggregate.account.rows.statuses]
status = "VARCHAR"
[[aggregate.account.after]]
when = "status IS DISTINCT FROM old.status"
emit.statuses = { status = "status" }

[aggregate.day]
source = "log"
key = { day = "event.time::DATE" }
[aggregate.day.state]
paid = "DECIMAL(18,2) DEFAULT 0"
trail = "BIGINT DEFAULT 0"
[aggregate.day.on.Paid]
set.paid = "paid + data.amount"
set.trail = "(trail * 31 + hash(event.stream) % 1000 + event.version) % 1000003"

[read_model.accounts]
sql = "SELECT account, name, total, status, _events FROM account"
[[read_model.accounts.to]]
parquet = "out/accounts.parquet"
[[read_model.accounts.to]]
duckdb = "out/sample.duckdb"

[read_model.statuses]
sql = 'SELECT account, status, _version FROM "account".statuses'
[[read_model.statuses.to]]
parquet = "out/statuses"
partition_by = ["status"]

[read_model.payments]
sql = 'SELECT _stream, _version, amount FROM events."Paid"'
[[read_model.payments.to]]
parquet = "out/payments.parquet"

[read_model.days]
sql = "SELECT day, paid, trail FROM day"
[[read_model.days.to]]
parquet = "out/days.parquet"
[[read_model.days.to]]
duckdb = "out/sample.duckdb"
"#;

/// A project without a log.
pub fn project() -> Project {
    Project::new(PROJECT)
}

/// The same with Parquet targets only: half of a run's time is the DuckDB file.
pub fn light_project() -> Project {
    let target = |model: &str| format!("[[read_model.{model}.to]]\nduckdb = \"out/sample.duckdb\"\n");
    let project_file = PROJECT.replace(&target("accounts"), "").replace(&target("days"), "");
    assert!(!project_file.contains("duckdb"));
    Project::new(&project_file)
}

/// `events` events as lines in the order in which they were exported: each stream's mostly in order, some early, some
/// twice. All of them together have no hole.
pub fn log(random: &mut Random, events: usize) -> Vec<String> {
    const ACCOUNTS: usize = 40;
    let mut versions = [0u64; ACCOUNTS];
    let mut lines: Vec<String> = Vec::new();
    for number in 0..events {
        let account = random.below(ACCOUNTS);
        let version = &mut versions[account];
        *version += 1;
        let (kind, data) = match *version {
            1 => ("Opened", format!(r#"{{"name":"account \"{account}\""}}"#)),
            _ if random.one_in(6) => ("Closed", "{}".to_string()),
            _ => ("Paid", format!(r#"{{"amount":"{}.{:02}"}}"#, random.below(500), random.below(100))),
        };
        let time = format!("2026-05-{:02}T12:00:00Z", 1 + number * 28 / events.max(1));
        lines.push(format!(r#"{{"stream_id":"account-{account}","type":"{kind}","version":{version},"time":"{time}","data":{data}}}"#));
    }
    for at in 1..lines.len() {
        if random.one_in(10) {
            let to = at - 1 - random.below(at.min(20));
            lines.swap(at, to);
        }
        if random.one_in(20) {
            // the last version only may come again anywhere: it is the same record
            let line = lines[at - 1].clone();
            lines[at] = format!("{line}\n{}", lines[at]);
        }
    }
    lines
}

/// The log cut into so many pieces, whole lines each.
pub fn pieces(lines: &[String], count: usize) -> Vec<String> {
    lines.chunks(lines.len().div_ceil(count)).map(|piece| piece.join("\n") + "\n").collect()
}

/// What readers find under each name; nothing where nothing is published. Parquet as bytes, DuckDB tables as text.
pub type Seen = BTreeMap<String, Vec<u8>>;

/// Looks at every target as readers are told to: links resolved once, DuckDB files opened read-only.
pub fn seen(project: &Project) -> Seen {
    let mut seen = Seen::new();
    for name in ["accounts.parquet", "days.parquet", "payments.parquet"] {
        if let Ok(bytes) = fs::read(project.path(&format!("out/{name}"))) {
            seen.insert(name.into(), bytes);
        }
    }
    if let Ok(current) = project.path("out/statuses/current").canonicalize() {
        let mut bytes = Vec::new();
        let mut files = files_below(&current);
        files.sort();
        for file in files {
            // the file's own name tells its generation
            bytes.extend(file.parent().unwrap().file_name().unwrap().as_encoded_bytes());
            bytes.extend(fs::read(&file).unwrap());
        }
        seen.insert("statuses".into(), bytes);
    }
    let path = project.path("out/sample.duckdb");
    if path.exists() {
        let config = duckdb::Config::default().access_mode(duckdb::AccessMode::ReadOnly).unwrap();
        let db = duckdb::Connection::open_with_flags(&path, config).unwrap_or_else(|e| panic!("{e}: {}", literal(&path)));
        let text = "SELECT string_agg(r::VARCHAR, chr(10) ORDER BY r::VARCHAR) FROM";
        let query = format!("SELECT concat(({text} accounts r), chr(10), ({text} days r))");
        let rows: String = db.query_row(&query, [], |row| row.get(0)).unwrap();
        seen.insert("sample.duckdb".into(), rows.into_bytes());
    }
    seen
}

/// What readers see after each of these pieces when nothing disturbs the runs; first, before there was any.
pub fn undisturbed(pieces: &[String]) -> Vec<Seen> {
    let project = project();
    let mut all = vec![Seen::new()];
    for piece in pieces {
        project.append("events/1.ndjson", piece);
        run(&project);
        all.push(seen(&project));
    }
    all
}

/// Runs to the end: published, or published while something waits.
#[track_caller]
pub fn run(project: &Project) {
    let output = project.foldline(&["run"]);
    assert!(matches!(output.code, Some(0 | 3)), "{:?}\n{}", output.code, output.stderr);
}

/// Each target is of one of the two generations.
#[track_caller]
pub fn assert_old_or_new(found: &Seen, old: &Seen, new: &Seen, what: &str) {
    for name in old.keys().chain(new.keys()).chain(found.keys()) {
        let (found, old, new) = (found.get(name), old.get(name), new.get(name));
        assert!(found == old || found == new, "{what}: {name} is of neither generation");
    }
}

/// Nothing lies about that no manifest names: in `.foldline/`, nor what staging or a swap made beside the targets.
#[track_caller]
pub fn assert_clean(project: &Project, what: &str) {
    let manifests = files_below(&project.path(".foldline/manifests"));
    let named: String = manifests.iter().map(|path| fs::read_to_string(path).unwrap()).collect();
    let mut left = Vec::new();
    for path in manifests {
        if path.extension().is_none_or(|extension| extension != "json") {
            left.push(path);
        }
    }
    for path in files_below(&project.path(".foldline")) {
        let below = path.strip_prefix(project.path(".foldline")).unwrap().to_string_lossy().into_owned();
        let data = ["snapshots/", "events/", "streams/", "staging/", "quarantine/"].iter().any(|kind| below.starts_with(kind));
        if data && !named.contains(&format!("\"{below}\"")) {
            left.push(path);
        }
    }
    for path in files_below(&project.path("out")) {
        let name = path.strip_prefix(project.path("out")).unwrap().to_string_lossy().into_owned();
        if name.contains(".staging-") || name.contains(".swap-") {
            left.push(path);
        }
    }
    assert!(left.is_empty(), "{what}: {left:?}");
}
