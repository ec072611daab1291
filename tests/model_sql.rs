//! Read models: what their SQL may see and do, what their errors say, and that their bytes are fixed.

use std::path::{Path, PathBuf};

use foldline::error::Kind;
use foldline::model::{AggregateInput, Engine, Inputs, Limits, TableInput};
use foldline::project::{Check, ReadModel, Reads, Target};
use foldline::sql::{Column, Type, Value};
use foldline::state::{Frame, parquet};

fn limits(dir: &Path, threads: usize) -> Limits {
    Limits { threads, memory_bytes: 512 << 20, temp_dir: dir.join("tmp") }
}

fn model(name: &str, sql: &str) -> ReadModel {
    ReadModel {
        name: name.into(),
        sql: sql.into(),
        place: "foldline.toml:10".into(),
        reads: Reads::default(),
        checks: Vec::new(),
        targets: vec![Target::Parquet { path: "m.parquet".into(), partition_by: Vec::new(), sort_by: Vec::new() }],
        reproducible: true,
        fingerprint: String::new(),
    }
}

/// A table `orders(id BIGINT, country VARCHAR, total BIGINT)` of `rows` rows in two files.
fn orders(dir: &Path, rows: i128) -> TableInput {
    let mut files = Vec::new();
    for part in 0..2 {
        let mut frame = Frame::empty(&[("id".into(), Type::BigInt), ("country".into(), Type::Varchar), ("total".into(), Type::BigInt)]);
        for id in (0..rows).filter(|id| id % 2 == part) {
            frame.columns[0].push(Value::Int(id));
            frame.columns[1].push(Value::text(["DE", "FR", "IT"][(id * 7 % 3) as usize]));
            frame.columns[2].push(Value::Int(id * 31 % 100));
        }
        // A name full of what globs and SQL would take for their own.
        let folder = dir.join("a=b [x] it's*?");
        std::fs::create_dir_all(&folder).unwrap();
        let file = folder.join(format!("part-{part}.parquet"));
        parquet::write(&file, &frame).unwrap();
        files.push(file);
    }
    TableInput {
        name: "orders".into(),
        columns: vec![("id".into(), Type::BigInt), ("country".into(), Type::Varchar), ("total".into(), Type::BigInt)],
        files,
        ..TableInput::default()
    }
}

fn inputs(table: TableInput) -> Inputs {
    Inputs { aggregates: vec![AggregateInput { table, rows: Vec::new() }], ..Inputs::default() }
}

fn engine(dir: &Path, rows: i128) -> Engine {
    Engine::open(&inputs(orders(dir, rows)), &limits(dir, 2)).unwrap()
}

fn column(engine: &Engine, name: &str) -> Vec<String> {
    engine.text_rows(name, None).unwrap().1.into_iter().map(|r| r[0].clone().unwrap_or_default()).collect()
}

#[test]
fn sql_sees_its_inputs_and_no_other_file() {
    let dir = tempfile::tempdir().unwrap();
    let secret = dir.path().join("secret.csv");
    std::fs::write(&secret, "a\n1\n").unwrap();
    let mut engine = engine(dir.path(), 10);
    engine.define(&model("ok", "SELECT count(*) AS n FROM orders"), true).unwrap();
    assert_eq!(column(&engine, "ok"), ["10"]);
    for sql in [
        format!("SELECT * FROM read_csv('{}')", secret.display()),
        format!("SELECT * FROM '{}'", secret.display()),
        "SELECT * FROM read_text('/etc/hostname')".to_string(),
        "SELECT * FROM glob('/etc/*')".to_string(),
        format!("SELECT * FROM read_parquet('{}/*/*.parquet')", dir.path().display()),
    ] {
        let error = engine.define(&model("bad", &sql), true).unwrap_err();
        assert!(matches!(error.kind, Kind::Project | Kind::Io), "{sql}: {error}");
    }
}

#[test]
fn sql_is_one_select_and_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let mut engine = engine(dir.path(), 1);
    let target = dir.path().join("out.csv");
    for sql in [
        "SELECT 1; SELECT 2".to_string(),
        "DROP VIEW orders".to_string(),
        "SET threads = 1".to_string(),
        "SET enable_external_access = true".to_string(),
        format!("COPY orders TO '{}'", target.display()),
        "INSTALL httpfs".to_string(),
        "ATTACH ':memory:' AS x".to_string(),
        "CREATE TABLE x AS SELECT 1".to_string(),
        "SELECT 1) AS x, (SELECT 2".to_string(),
        "  -- nothing".to_string(),
    ] {
        let error = engine.define(&model("bad", &sql), false).unwrap_err();
        assert_eq!(error.kind, Kind::Project, "{sql}: {error}");
        assert!(error.places[0].starts_with("foldline.toml:"), "{error}");
    }
    assert!(!target.exists());
    engine.define(&model("ok", "SELECT count(*) FROM orders; -- fine"), false).unwrap();
    assert_eq!(column(&engine, "ok"), ["1"]);
}

#[test]
fn names_are_never_sql() {
    let dir = tempfile::tempdir().unwrap();
    let evil = "x\"; DROP TABLE y; --".to_string();
    let mut frame = Frame { names: vec![evil.clone()], columns: vec![Column::new(Type::Integer)] };
    frame.columns[0].push(Value::Int(5));
    let file = dir.path().join("e.parquet");
    parquet::write(&file, &frame).unwrap();
    let table = TableInput { name: evil.clone(), columns: frame.schema(), files: vec![file], ..TableInput::default() };
    let rows = vec![TableInput { name: evil.clone(), columns: frame.schema(), files: Vec::new(), ..TableInput::default() }];
    let inputs = Inputs { aggregates: vec![AggregateInput { table: table.clone(), rows }], event_tables: vec![table], ..Inputs::default() };
    let mut engine = Engine::open(&inputs, &limits(dir.path(), 1)).unwrap();
    let quoted = format!("\"{}\"", evil.replace('"', "\"\""));
    let mut evil_model = model("m\"; --", &format!("SELECT {quoted} FROM events.{quoted} UNION ALL FROM {quoted}.{quoted}"));
    evil_model.checks = vec![Check::Unique(vec![evil.clone()]), Check::NotNull(vec![evil])];
    engine.define(&evil_model, true).unwrap();
    assert_eq!(column(&engine, "m\"; --"), ["5"]);
    assert!(engine.run_checks(&evil_model).unwrap().is_empty());
}

#[test]
fn a_mistake_in_the_sql_is_shown_where_it_stands() {
    let dir = tempfile::tempdir().unwrap();
    let error = engine(dir.path(), 1).define(&model("m", "SELECT id\nFROM orders\nWHERE countrie = 'DE'"), false).unwrap_err();
    let shown = error.render(false);
    assert_eq!((error.kind, error.places.as_slice()), (Kind::Project, &["foldline.toml:12".to_string()][..]));
    assert!(shown.contains("   | WHERE countrie = 'DE'\n   |       ^\n"), "{shown}");
    assert!(shown.contains("Candidate bindings") && shown.contains("country"), "{shown}");
}

#[test]
fn a_failing_check_names_its_rows() {
    let dir = tempfile::tempdir().unwrap();
    let mut engine = engine(dir.path(), 10);
    let mut m = model("m", "SELECT id % 5 AS k, CASE WHEN id > 0 THEN country END AS country, id FROM orders");
    m.checks = vec![
        Check::Unique(vec!["K".into()]),
        Check::Unique(vec!["k".into(), "id".into()]),
        Check::NotNull(vec!["country".into()]),
        Check::Sql { sql: "SELECT * FROM m WHERE id > 7 -- late\n;".into(), place: "foldline.toml:20".into() },
    ];
    engine.define(&m, true).unwrap();
    let failures = engine.run_checks(&m).unwrap();
    let told: Vec<(&str, u64, usize)> = failures.iter().map(|f| (f.what.as_str(), f.count, f.sample.len())).collect();
    assert_eq!(
        told,
        [("unique = [\"K\"]", 5, 5), ("not_null = [\"country\"]", 1, 1), ("sql = \"SELECT * FROM m WHERE id > 7 -- late ;\"", 2, 2)]
    );
    assert_eq!(failures[0].columns, ["k", "rows"]);
    assert_eq!(failures[0].sample[0], [Some("0".to_string()), Some("2".to_string())]);
    assert_eq!(failures[2].place, "foldline.toml:20");
}

#[test]
fn rows_come_in_a_total_order() {
    let dir = tempfile::tempdir().unwrap();
    let mut engine = engine(dir.path(), 9);
    let m = model("m", "SELECT country, id FROM orders ORDER BY total % 2 DESC LIMIT 4");
    engine.define(&m, true).unwrap();
    let ids: Vec<String> = engine.text_rows("m", None).unwrap().1.into_iter().map(|r| r[1].clone().unwrap()).collect();
    assert_eq!(ids, ["3", "1", "7", "5"], "odd totals first, then by country and id");
    let by_sort = engine.rows(&m, &["id desc".to_string()], &[]).unwrap().next().unwrap().unwrap();
    let ids: Vec<i64> = arrow::array::AsArray::as_primitive::<arrow::datatypes::Int64Type>(by_sort.column(1)).values().to_vec();
    assert_eq!(ids, [7, 5, 3, 1]);
}

#[test]
fn read_models_read_each_other_and_the_event_time() {
    let dir = tempfile::tempdir().unwrap();
    let lookup = dir.path().join("country [1].csv");
    std::fs::write(&lookup, "code,name\nDE,Germany\nFR,France\n").unwrap();
    let mut inputs = inputs(orders(dir.path(), 6));
    inputs.as_of = Some(1_000_000);
    inputs.lookups = vec![("country".into(), lookup)];
    let mut engine = Engine::open(&inputs, &limits(dir.path(), 2)).unwrap();
    let a = model("a", "SELECT name, count(*) AS n FROM orders JOIN country ON code = country GROUP BY ALL");
    let mut b = model("b", "SELECT string_agg(name, '+' ORDER BY name), sum(n), typeof(as_of()), as_of() FROM a");
    b.reads.read_models = vec!["a".into()];
    engine.define_all(&[&a, &b], &["b"]).unwrap();
    let (_, rows) = engine.text_rows("b", None).unwrap();
    let row: Vec<&str> = rows[0].iter().map(|v| v.as_deref().unwrap()).collect();
    assert_eq!(row, ["France+Germany", "4", "TIMESTAMP", "1970-01-01 00:00:01"]);
}

#[test]
fn batches_are_the_same_for_one_thread_and_four() {
    let dir = tempfile::tempdir().unwrap();
    let table = orders(dir.path(), 200_000);
    let rows = |threads: usize, materialize: bool| {
        let mut engine = Engine::open(&inputs(table.clone()), &limits(dir.path(), threads)).unwrap();
        let m = model(
            "m",
            "SELECT country, total, count(*) AS n, sum(id) AS ids FROM orders GROUP BY ALL UNION ALL SELECT country, total, 1, id FROM orders",
        );
        engine.define(&m, materialize).unwrap();
        engine.rows(&m, &["total".to_string()], &[]).unwrap().collect::<Result<Vec<_>, _>>().unwrap()
    };
    let one = rows(1, false);
    assert_eq!(one.iter().map(|b| b.num_rows()).collect::<Vec<_>>(), [65536, 65536, 65536, 3692]);
    assert_eq!(format!("{}", one[0].schema().field(3).data_type()), "Decimal128(38, 0)", "HUGEINT is published as DECIMAL(38,0)");
    assert_eq!(one, rows(4, false));
    assert_eq!(one, rows(4, true));
}

#[test]
fn an_interrupt_stops_a_long_query() {
    let dir = tempfile::tempdir().unwrap();
    let mut engine = engine(dir.path(), 1);
    let handle = engine.interrupt_handle();
    let other = std::thread::spawn(move || {
        std::thread::sleep(std::time::Duration::from_millis(200));
        handle.interrupt();
    });
    let error =
        engine.define(&model("m", "SELECT count(*) FROM range(1000000000) a, range(1000000000) b WHERE a.range * b.range = 7"), true);
    assert_eq!(error.unwrap_err().kind, Kind::Interrupted);
    other.join().unwrap();
    assert_eq!(engine.define(&model("n", "SELECT 1"), true).unwrap_err().kind, Kind::Interrupted, "and nothing begins after it");
}

#[test]
fn a_missing_lookup_table_is_no_input() {
    let dir = tempfile::tempdir().unwrap();
    let inputs = Inputs { lookups: vec![("country".into(), PathBuf::from("/nowhere.csv"))], ..Inputs::default() };
    let error = Engine::open(&inputs, &limits(dir.path(), 1)).err().unwrap();
    assert_eq!((error.kind, error.places[0].as_str()), (Kind::NoInput, "[table.country]"));
}

#[test]
fn the_querys_own_order_is_kept_by_any_number_of_threads() {
    let dir = tempfile::tempdir().unwrap();
    let table = orders(dir.path(), 300_000);
    let rows = |threads: usize, materialize: bool| {
        let mut engine = Engine::open(&inputs(table.clone()), &limits(dir.path(), threads)).unwrap();
        let m = model("m", "SELECT country, total * 0.5e0 AS half, id FROM orders ORDER BY total % 7 DESC, country");
        engine.define(&m, materialize).unwrap();
        engine.rows(&m, &[], &[]).unwrap().collect::<Result<Vec<_>, _>>().unwrap()
    };
    let one = rows(1, false);
    assert_eq!(one.iter().map(|b| b.num_rows()).sum::<usize>(), 300_000);
    assert_eq!(one, rows(4, false));
    assert_eq!(one, rows(4, true));
}

#[test]
fn values_that_are_equal_to_sql_but_not_the_same_have_one_order() {
    let dir = tempfile::tempdir().unwrap();
    let mut engine = engine(dir.path(), 1);
    for (values, ty) in [("['1 month', '30 days', '1 month', '30 days']", "INTERVAL"), ("['0.0', '-0.0', '0.0', '-0.0']", "DOUBLE")] {
        let mut published = Vec::new();
        for order in ["DESC", "ASC"] {
            let m = model(
                &format!("m_{ty}_{order}"),
                &format!("SELECT x FROM (SELECT unnest({values})::{ty} AS x) ORDER BY x::VARCHAR {order}"),
            );
            engine.define(&m, true).unwrap();
            published.push(engine.rows(&m, &["x".to_string()], &[]).unwrap().collect::<Result<Vec<_>, _>>().unwrap());
        }
        assert_eq!(published[0], published[1], "{ty}");
    }
}

#[test]
fn two_columns_of_one_name_are_told_apart() {
    for materialize in [false, true] {
        let dir = tempfile::tempdir().unwrap();
        let mut engine = engine(dir.path(), 3);
        let m = model("m", "SELECT a.id, b.id, 7 AS \"ID\" FROM orders a JOIN orders b USING (id) ORDER BY a.id DESC");
        engine.define(&m, materialize).unwrap();
        let names: Vec<String> = engine.columns(&m).unwrap().iter().map(|(c, _)| c.clone()).collect();
        assert_eq!(names, ["id", "id_1", "ID_2"]);
        let batch = engine.rows(&m, &[], &[]).unwrap().next().unwrap().unwrap();
        assert_eq!((batch.num_columns(), batch.num_rows()), (3, 3));
    }
}
