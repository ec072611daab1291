//! What a read model's SQL must not do: each way out is refused when the project is loaded, in whatever writing, and the
//! engine refuses what it is given all the same.

mod common;

use std::path::Path;

use common::Project;
use foldline::model::{AggregateInput, Engine, Inputs, Limits, TableInput};
use foldline::project::{ReadModel, Reads};
use foldline::sql::{Column, Type, Value};
use foldline::state::{Frame, parquet};

const HEAD: &str = r#"
[source.s]
files = ["*.ndjson"]
[aggregate.a]
stream = "a-{id}"
[aggregate.a.state]
n = "INTEGER DEFAULT 0"
[aggregate.a.on.T]
set.n = "n + 1"
"#;

/// Statements that are no SELECT, files, the world outside, deeds, and the same in writings that hide them.
const REFUSED: &[&str] = &[
    "COPY a TO 'out.csv'",
    "COPY (SELECT 1) TO '/tmp/foldline-out.parquet'",
    "ATTACH 'x.duckdb'",
    "DETACH memory",
    "INSTALL httpfs",
    "LOAD httpfs",
    "FORCE INSTALL httpfs",
    "PRAGMA database_list",
    "PRAGMA enable_profiling",
    "SET threads = 1",
    "SET enable_external_access = true",
    "RESET lock_configuration",
    "CALL enable_logging()",
    "CREATE TABLE x AS SELECT 1",
    "CREATE OR REPLACE VIEW a AS SELECT 1",
    "INSERT INTO a VALUES (1)",
    "UPDATE a SET n = 1",
    "DELETE FROM a",
    "DROP VIEW a",
    "ALTER TABLE a ADD COLUMN x INTEGER",
    "EXPORT DATABASE 'out'",
    "IMPORT DATABASE 'out'",
    "EXPLAIN SELECT 1",
    "EXPLAIN ANALYZE SELECT 1",
    "VACUUM",
    "CHECKPOINT",
    "USE memory",
    "BEGIN",
    "PREPARE x AS SELECT 1",
    "EXECUTE x",
    "SHOW TABLES",
    "DESCRIBE a",
    "SUMMARIZE a",
    "SELECT 1; SELECT 2",
    "SELECT 1; COPY a TO 'x'",
    "SELECT 1; -- fine\n DROP VIEW a",
    "WITH x AS (INSERT INTO a VALUES (1) RETURNING n) SELECT * FROM x",
    "WITH x AS (DELETE FROM a RETURNING n) SELECT * FROM x",
    "WITH x AS (SELECT 1) INSERT INTO a SELECT * FROM x",
    "SELECT * FROM read_csv('/etc/passwd')",
    "SELECT * FROM read_csv_auto('/etc/passwd')",
    "SELECT * FROM read_text('/etc/hostname')",
    "SELECT * FROM read_blob('/proc/self/environ')",
    "SELECT * FROM read_json('x.json')",
    "SELECT * FROM read_parquet('*.parquet')",
    "SELECT * FROM read_duckdb('x.duckdb')",
    "SELECT * FROM parquet_metadata('x.parquet')",
    "SELECT * FROM parquet_scan('x.parquet')",
    "SELECT * FROM sniff_csv('/etc/passwd')",
    "SELECT * FROM glob('/*')",
    "FROM '/etc/passwd'",
    "FROM 'other.parquet'",
    "SELECT * FROM a JOIN 'https://example.com/x.parquet' ON true",
    "FROM \"other.parquet\"",
    "SELECT getenv('HOME')",
    "SELECT current_setting('temp_directory')",
    "SELECT getvariable('x')",
    "SELECT * FROM duckdb_settings()",
    "SELECT * FROM duckdb_secrets()",
    "SELECT * FROM duckdb_databases()",
    "FROM pragma_database_size()",
    "FROM information_schema.tables",
    "FROM pg_catalog.pg_settings",
    "FROM sqlite_master",
    "FROM duckdb_tables",
    "SELECT * FROM query('SELECT 1')",
    "SELECT * FROM query_table('a')",
    "FROM json_execute_serialized_sql(json_serialize_sql('SELECT 1'))",
    "FROM which_secret('s3://x', 's3')",
    "FROM arrow_scan(1, 2, 3)",
    "FROM arrow_scan_dumb(1, 2, 3)",
    "FROM pandas_scan(1)",
    "FROM seq_scan('a')",
    "FROM enable_logging(storage = 'file', storage_config = {'path': 'logs'})",
    "FROM enable_profiling(save_location = 'profile.json')",
    "FROM disable_logging()",
    "FROM disable_profiling()",
    "FROM truncate_duckdb_logs()",
    "FROM checkpoint('memory')",
    "FROM force_checkpoint()",
    "SELECT write_log('x')",
    "SELECT sleep_ms(100000)",
    "SELECT current_query()",
    // the same in other writings
    "SELECT * FROM \"read_text\"('x')",
    "SELECT * FROM main.read_text('x')",
    "SELECT * FROM system.main.\"enable_logging\"()",
    "SELECT * FROM read_text /* a /* nested */ comment */ ('x')",
    "SELECT * FROM read_text -- a comment\n ('x')",
    "SELECT 1 -- a comment ends here \r FROM read_text('x')",
    "SELECT * FROM read_text\u{200b}('x')",
    "SELECT * FROM read_text\u{feff}('x')",
    "SELECT * FROM enable_logging\u{2060}()",
    "SELECT * FROM enable_logging\u{a0}()",
    "SELECT 1FROM read_text('x')",
    "SELECT $$ ' $$, n FROM read_text('x') -- '",
    "SELECT E'\\'', n FROM read_text('x') -- '",
    "SELECT '\\', n FROM read_text('x') -- '",
    "(FROM (SELECT * FROM (FROM READ_TEXT('x'))))",
    "SELECT (SELECT content FROM read_text('x'))",
    "SELECT * FROM a, LATERAL (FROM read_text('x'))",
    "SELECT * FROM a WHERE EXISTS (FROM glob('/*'))",
    "SELECT 1) AS x, (SELECT 2",
    "SELECT 1 UNION ALL FROM enable_profiling()",
    "SELECT * FROM made_up(1)",
    "",
    "  -- nothing",
];

#[test]
fn every_way_out_is_refused_when_the_project_is_loaded() {
    // a screen of each error; those that need DuckDB to be found are looked at one by one
    for chunk in 0..REFUSED.len().div_ceil(50) {
        let range = chunk * 50..REFUSED.len().min((chunk + 1) * 50);
        let mut toml = HEAD.to_string();
        let mut places = Vec::new();
        for i in range.clone() {
            let text = serde_json::json!(REFUSED[i]).to_string();
            toml.push_str(&format!("[read_model.m{i}]\nsql = {text}\n"));
            places.push(format!("foldline.toml:{}:", toml.lines().count()));
            toml.push_str(&format!("[[read_model.m{i}.to]]\nparquet = \"out/m{i}.parquet\"\n"));
        }
        let project = Project::new(&toml);
        let said = project.foldline(&["check"]).exits(78).stderr;
        for (i, place) in range.zip(&places) {
            if !said.contains(place.as_str()) {
                let alone = Project::new(&format!(
                    "{HEAD}[read_model.m]\nsql = {}\n[[read_model.m.to]]\nparquet = \"out/m.parquet\"\n",
                    serde_json::json!(REFUSED[i])
                ));
                let said = alone.foldline(&["check"]).exits(78).stderr;
                assert!(said.contains("read model `m`"), "{:?}: {said}", REFUSED[i]);
            }
        }
    }
}

#[test]
fn checks_are_locked_down_as_read_models_are() {
    for sql in [
        "SELECT * FROM read_text('/etc/hostname')",
        "COPY m TO 'x'",
        "FROM enable_logging()",
        "SELECT 1; SELECT 2",
        "FROM glob\u{200b}('/*')",
    ] {
        let check = format!("[[read_model.m.check]]\nsql = {}\n", serde_json::json!(sql));
        let project =
            Project::new(&format!("{HEAD}[read_model.m]\naggregate = \"a\"\n{check}[[read_model.m.to]]\nparquet = \"out/m.parquet\"\n"));
        project.foldline(&["check"]).exits(78);
    }
}

#[test]
fn functions_that_make_rows_of_their_arguments_stay() {
    for sql in [
        "SELECT * FROM range(3)",
        "SELECT u.unnest AS x FROM a, unnest([1, 2]) u",
        "SELECT j.key, j.value FROM a, LATERAL json_each('{\"a\": 1}') j",
        "FROM generate_series(1, 3) ORDER BY 1",
        "SELECT * FROM a JOIN range(2) r(i) ON a.n = r.i",
        "SELECT 1FROM a",
        "VALUES (1), (2)",
    ] {
        let project = Project::new(&format!(
            "{HEAD}[read_model.m]\nsql = {}\n[[read_model.m.to]]\nparquet = \"out/m.parquet\"\n",
            serde_json::json!(sql)
        ));
        project.foldline(&["check"]).exits(0);
    }
}

fn model(sql: &str) -> ReadModel {
    ReadModel {
        name: "m".into(),
        sql: sql.into(),
        place: "foldline.toml:10".into(),
        reads: Reads::default(),
        checks: Vec::new(),
        targets: Vec::new(),
        reproducible: true,
        fingerprint: String::new(),
    }
}

fn engine(dir: &Path) -> Engine {
    let mut frame = Frame { names: vec!["n".into()], columns: vec![Column::new(Type::Integer)] };
    frame.columns[0].push(Value::Int(5));
    let file = dir.join("a.parquet");
    parquet::write(&file, &frame).unwrap();
    let table = TableInput { name: "a".into(), columns: frame.schema(), files: vec![file], ..TableInput::default() };
    let inputs = Inputs { aggregates: vec![AggregateInput { table, rows: Vec::new() }], ..Inputs::default() };
    Engine::open(&inputs, &Limits { threads: 1, memory_bytes: 512 << 20, temp_dir: dir.join("tmp") }).unwrap()
}

/// What needs a file, an extension, a setting or a second statement is refused by the engine without any help.
#[test]
fn the_engine_itself_refuses_files_settings_and_statements() {
    let dir = tempfile::tempdir().unwrap();
    let other = dir.path().join("other.parquet");
    let mut frame = Frame { names: vec!["n".into()], columns: vec![Column::new(Type::Integer)] };
    frame.columns[0].push(Value::Int(7));
    parquet::write(&other, &frame).unwrap();
    std::fs::write(dir.path().join("other.csv"), "n\n1\n").unwrap();
    let folder = dir.path().display();
    let mut engine = engine(dir.path());
    for sql in [
        format!("FROM '{folder}/other.parquet'"),
        format!("FROM read_parquet('{folder}/other.parquet')"),
        format!("FROM read_parquet('{folder}/*.parquet')"),
        format!("FROM parquet_metadata('{folder}/other.parquet')"),
        format!("FROM read_csv('{folder}/other.csv')"),
        format!("FROM read_text('{folder}/tmp/../other.csv')"),
        format!("FROM read_blob('{folder}/other.csv')"),
        format!("FROM glob('{folder}/*')"),
        format!("FROM sniff_csv('{folder}/other.csv')"),
        format!("FROM query('FROM read_csv(''{folder}/other.csv'')')"),
        format!("FROM json_execute_serialized_sql(json_serialize_sql('FROM read_csv(''{folder}/other.csv'')'))"),
        "FROM read_text('/proc/self/environ')".into(),
        "FROM 'https://example.com/x.parquet'".into(),
        "FROM 's3://bucket/x.parquet'".into(),
        "FROM query('CREATE TABLE x AS SELECT 1')".into(),
        "SELECT getenv('HOME')".into(),
        format!("COPY a TO '{folder}/out.csv'"),
        format!("EXPORT DATABASE '{folder}/out'"),
        format!("ATTACH '{folder}/out.duckdb'"),
        "SET enable_external_access = true".into(),
        "SET lock_configuration = false".into(),
        "LOAD httpfs".into(),
        "INSTALL httpfs".into(),
        "CREATE TABLE x AS SELECT 1".into(),
        "DROP VIEW a".into(),
        "SELECT 1; SELECT 2".into(),
        "CALL enable_logging()".into(),
        "WITH x AS (DELETE FROM a RETURNING n) FROM x".into(),
    ] {
        assert!(engine.define(&model(&sql), true).is_err(), "{sql}");
    }
    let left: Vec<_> = std::fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    assert_eq!(
        left.iter().filter(|name| !matches!(name.as_str(), "a.parquet" | "other.parquet" | "other.csv" | "tmp")).count(),
        0,
        "{left:?}"
    );
    engine.define(&model("SELECT n FROM a"), true).unwrap();
    assert_eq!(engine.text_rows("m", None).unwrap().1, [[Some("5".to_string())]]);
}
