//! The harness of the integration tests: a project in a folder of its own, the built binary, DuckDB as the oracle.
//!
//! Each test file is a program of its own and uses a part of this.
#![allow(dead_code)]

pub mod random;
pub mod sample;

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

/// What a command left behind.
pub struct Output {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Output {
    /// Asserts the exit code, and shows what the command said if it is another.
    #[track_caller]
    pub fn exits(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "\n--- stdout\n{}\n--- stderr\n{}", self.stdout, self.stderr);
        self
    }

    /// The report that `--json` printed.
    #[track_caller]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|e| panic!("{e} in stdout:\n{}\n--- stderr\n{}", self.stdout, self.stderr))
    }
}

/// A project in a temporary folder.
pub struct Project {
    folder: TempDir,
}

impl Project {
    /// A folder with this project file and nothing else.
    pub fn new(project_file: &str) -> Self {
        let project = Project { folder: tempfile::tempdir().unwrap() };
        project.write("foldline.toml", project_file);
        project
    }

    /// A copy of `fixtures/shop`, without its logs.
    pub fn shop_without_logs() -> Self {
        Self::new(&fs::read_to_string(fixture("shop/foldline.toml")).unwrap())
    }

    /// A copy of `fixtures/shop`.
    pub fn shop() -> Self {
        let project = Self::shop_without_logs();
        for name in SHOP_LOGS {
            project.write(&format!("events/{name}"), fs::read(fixture(&format!("shop/events/{name}"))).unwrap());
        }
        project
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn write(&self, name: &str, bytes: impl AsRef<[u8]>) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }

    pub fn append(&self, name: &str, bytes: impl AsRef<[u8]>) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::OpenOptions::new().create(true).append(true).open(path).unwrap().write_all(bytes.as_ref()).unwrap();
    }

    /// The command, ready to run in the project's folder, with nothing of this process's settings.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = foldline();
        command.current_dir(self.folder.path()).args(args);
        command
    }

    pub fn foldline(&self, args: &[&str]) -> Output {
        output(&mut self.command(args))
    }

    /// The bytes of each Parquet target, by name.
    pub fn parquet(&self) -> BTreeMap<String, Vec<u8>> {
        self.parquet_in("out")
    }

    /// The same for targets in another folder.
    pub fn parquet_in(&self, folder: &str) -> BTreeMap<String, Vec<u8>> {
        self.parquet_files(folder, SHOP_READ_MODELS).into_iter().map(|(name, bytes)| (name.to_string(), bytes)).collect()
    }

    /// The bytes of the Parquet targets of these names in `out`.
    pub fn parquet_of<'n, const N: usize>(&self, names: [&'n str; N]) -> BTreeMap<&'n str, Vec<u8>> {
        self.parquet_files("out", names)
    }

    fn parquet_files<'n, const N: usize>(&self, folder: &str, names: [&'n str; N]) -> BTreeMap<&'n str, Vec<u8>> {
        let read = |name: &'n str| {
            let path = self.path(&format!("{folder}/{name}.parquet"));
            (name, fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display())))
        };
        names.map(read).into()
    }

    /// Nothing was ever published here.
    #[track_caller]
    pub fn assert_nothing_published(&self) {
        let published: Vec<_> = files_below(&self.path("out"));
        assert!(published.is_empty(), "published: {published:?}");
        let manifests = files_below(&self.path(".foldline/manifests"));
        assert!(manifests.is_empty(), "committed: {manifests:?}");
    }

    /// Makes every committed generation an hour old, so that the time of grace is over.
    pub fn age_generations(&self) {
        let hour_ago = std::time::SystemTime::now() - std::time::Duration::from_secs(3600);
        for manifest in files_below(&self.path(".foldline/manifests")) {
            fs::File::options().append(true).open(manifest).unwrap().set_modified(hour_ago).unwrap();
        }
    }

    /// The text without what differs from run to run: the folder's name, times, rates, memory.
    pub fn redact(&self, text: &str) -> String {
        let mut text = text.replace("/private/", "/");
        for folder in [self.folder.path().canonicalize().unwrap(), self.folder.path().to_path_buf()] {
            text = text.replace(&folder.display().to_string(), "[project]");
        }
        let changing = [
            (r"\([\d,]+ events/s, [^)]*\)", "([rates])"),
            (r"(\d+ h )?(\d+ min )?\d+(\.\d+)? (ms|s)\b", "[time]"),
            (r"\bpid \d+|process \d+", "[process]"),
            (r"(?m)[ \t]+$", ""),
        ];
        for (pattern, to) in changing {
            text = regex::Regex::new(pattern).unwrap().replace_all(&text, to).into_owned();
        }
        text
    }
}

/// The logs of `fixtures/shop` in log order.
pub const SHOP_LOGS: [&str; 3] = ["part-8.ndjson", "part-9.ndjson.gz", "part-10.ndjson.zst"];

/// The read models of `fixtures/shop` that are published as Parquet.
pub const SHOP_READ_MODELS: [&str; 5] = ["cancellations", "customers", "order_status_history", "order_summary", "sales_by_product_and_day"];

/// The built binary without any setting of the surroundings.
pub fn foldline() -> Command {
    let mut command = Command::new(assert_cmd::cargo::cargo_bin!("foldline"));
    for (name, _) in std::env::vars_os() {
        let setting = name.to_string_lossy();
        if setting.starts_with("FOLDLINE_") || ["NO_COLOR", "OUT", "GHARCHIVE", "COLUMNS"].contains(&&*setting) {
            command.env_remove(&name);
        }
    }
    command.stdin(Stdio::null());
    command
}

pub fn output(command: &mut Command) -> Output {
    let output = command.output().unwrap();
    Output {
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout).expect("stdout is UTF-8"),
        stderr: String::from_utf8(output.stderr).expect("stderr is UTF-8"),
    }
}

pub fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(name)
}

/// The whole log of `fixtures/shop`, decompressed, in log order.
pub fn shop_log() -> Vec<u8> {
    let mut log = Vec::new();
    for name in SHOP_LOGS {
        let file = fs::File::open(fixture(&format!("shop/events/{name}"))).unwrap();
        if name.ends_with(".gz") {
            flate2::read::MultiGzDecoder::new(file).read_to_end(&mut log).unwrap();
        } else if name.ends_with(".zst") {
            zstd::Decoder::new(file).unwrap().read_to_end(&mut log).unwrap();
        } else {
            { file }.read_to_end(&mut log).unwrap();
        }
    }
    log
}

/// The first TOML example of a page in docs/.
pub fn example_of(page: &str) -> String {
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs").join(page)).unwrap();
    let (_, rest) = text.split_once("```toml\n").expect("an example");
    rest.split_once("```").expect("its end").0.to_string()
}

/// One gzip member.
pub fn gzip(bytes: impl AsRef<[u8]>) -> Vec<u8> {
    let mut member = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    member.write_all(bytes.as_ref()).unwrap();
    member.finish().unwrap()
}

/// The lines of a log, each with its line break.
pub fn lines(log: &[u8]) -> Vec<&[u8]> {
    log.split_inclusive(|&byte| byte == b'\n').collect()
}

/// All files below a folder, in no order; none if there is no such folder.
pub fn files_below(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    entries
        .flat_map(|entry| {
            let path = entry.unwrap().path();
            if path.is_dir() { files_below(&path) } else { vec![path] }
        })
        .collect()
}

/// The oracle: a DuckDB of its own.
pub fn duckdb() -> duckdb::Connection {
    duckdb::Connection::open_in_memory().unwrap()
}

/// A string as an SQL literal.
pub fn literal(path: &Path) -> String {
    format!("'{}'", path.display().to_string().replace('\'', "''"))
}

/// How many rows a query gives.
pub fn count(db: &duckdb::Connection, query: &str) -> u64 {
    db.query_row(&format!("SELECT count(*) FROM ({query})"), [], |row| row.get(0)).unwrap_or_else(|e| panic!("{e}\nin {query}"))
}

/// Asserts that two queries give the same rows, each as often, in whatever order, under the same column names; and that
/// there are some.
#[track_caller]
pub fn assert_same_rows(db: &duckdb::Connection, found: &str, expected: &str) {
    assert_eq!(columns(db, found), columns(db, expected), "columns");
    let rows = count(db, expected);
    assert!(rows > 0, "the oracle found nothing: {expected}");
    assert_eq!(count(db, found), rows, "rows");
    for (left, right, what) in [(found, expected, "only foldline has"), (expected, found, "only the oracle has")] {
        let rest = format!("({left}) EXCEPT ALL ({right})");
        let differing = count(db, &rest);
        let shown = if differing > 0 { table(db, &format!("SELECT * FROM ({rest}) LIMIT 5")) } else { String::new() };
        assert_eq!(differing, 0, "{what} {differing} rows:\n{shown}");
    }
}

fn columns(db: &duckdb::Connection, query: &str) -> Vec<(String, String)> {
    let mut statement = db.prepare(&format!("DESCRIBE {query}")).unwrap_or_else(|e| panic!("{e}\nin {query}"));
    statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap().collect::<Result<_, _>>().unwrap()
}

/// The rows of a query as text, for messages.
fn table(db: &duckdb::Connection, query: &str) -> String {
    let text = format!("SELECT CAST(t AS VARCHAR) FROM ({query}) t");
    let mut statement = db.prepare(&text).unwrap();
    let rows: Vec<String> = statement.query_map([], |row| row.get(0)).unwrap().collect::<Result<_, _>>().unwrap();
    rows.join("\n")
}

/// The seeds of a test's random cases: `usual` of them, or as many as `FOLDLINE_RANDOM_LOGS` says, from `FOLDLINE_SEED` on.
pub fn seeds(usual: u64) -> std::ops::Range<u64> {
    let setting = |name: &str| std::env::var(name).ok().and_then(|n| n.parse::<u64>().ok());
    let first = setting("FOLDLINE_SEED").unwrap_or(0);
    let count = setting("FOLDLINE_RANDOM_LOGS").unwrap_or(usual);
    println!("{count} random logs, FOLDLINE_SEED={first}");
    first..first + count
}

/// How many random cases a test runs: so many, or what FOLDLINE_ORDER_CASES says.
pub fn cases(usual: u64) -> u64 {
    std::env::var("FOLDLINE_ORDER_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(usual)
}

/// A count of a report.
pub fn number(value: &serde_json::Value) -> u64 {
    value.as_u64().unwrap_or_default()
}

/// Checks the sums of the report that a run printed: no record and no event was lost. Gives the report.
#[track_caller]
pub fn adds_up(output: &Output, what: &str) -> serde_json::Value {
    assert!(matches!(output.code, Some(0 | 3)), "{what}: {}", output.stderr);
    let report = output.json();
    let sources = report["sources"].as_array().unwrap();
    let come: u64 = sources.iter().map(|s| number(&s["events"]) + number(&s["pending_before"])).sum();
    let gone: u64 = report["events"].as_object().unwrap().values().map(number).sum();
    assert_eq!(come, gone, "{what}: {report:#}");
    for source in sources {
        let parts = ["decoded", "empty", "bad"].map(|part| number(&source[part]));
        assert_eq!(number(&source["records"]), parts.iter().sum::<u64>(), "{what}: {report:#}");
    }
    report
}
