//! Columns of every type, through Parquet and a view, are the same to SQL and to the next run.

use std::path::Path;
use std::sync::Arc;

use foldline::model::{AggregateInput, Engine, Inputs, Limits, TableInput};
use foldline::project::{ReadModel, Reads, Target};
use foldline::sql::{Column, Interval, MapEntries, Type, Value};
use foldline::state::{Frame, parquet};

fn limits(dir: &Path) -> Limits {
    Limits { threads: 2, memory_bytes: 512 << 20, temp_dir: dir.join("tmp") }
}

fn engine_over(dir: &Path, frame: &Frame) -> Engine {
    let file = dir.join("snapshot.parquet");
    parquet::write(&file, frame).unwrap();
    let table = TableInput { name: "t".into(), columns: frame.schema(), files: vec![file], ..TableInput::default() };
    let inputs = Inputs { aggregates: vec![AggregateInput { table, rows: Vec::new() }], ..Inputs::default() };
    Engine::open(&inputs, &limits(dir)).unwrap()
}

fn model(sql: &str) -> ReadModel {
    ReadModel {
        name: "m".into(),
        sql: sql.into(),
        place: "foldline.toml:1".into(),
        reads: Reads::default(),
        checks: Vec::new(),
        targets: vec![Target::Parquet { path: "m.parquet".into(), partition_by: Vec::new(), sort_by: Vec::new() }],
        reproducible: true,
        fingerprint: String::new(),
    }
}

fn list(items: Vec<Value>) -> Value {
    Value::List(Arc::new(items))
}

fn strukt(items: Vec<Value>) -> Value {
    Value::Struct(Arc::new(items))
}

fn map(items: Vec<(Value, Value)>) -> Value {
    let mut entries = MapEntries::default();
    entries.extend(items);
    Value::Map(Arc::new(entries))
}

fn interval(months: i32, days: i32, micros: i64) -> Value {
    Value::Interval(Interval { months, days, micros })
}

/// Type, values, what DuckDB calls the type, and DuckDB's text of the values.
fn cases() -> Vec<(Type, Vec<Value>, &'static str, Vec<&'static str>)> {
    use Value::*;
    let boxed = |t: Type| Box::new(t);
    let uuid = Int(0xf81d_4fae_7dec_11d0_a765_00a0_c91e_6bf6_u128 as i128);
    let uuid_text = "f81d4fae-7dec-11d0-a765-00a0c91e6bf6";
    let huge = 10i128.pow(38) - 1;
    vec![
        (Type::Boolean, vec![Bool(true), Bool(false)], "BOOLEAN", vec!["true", "false"]),
        (Type::TinyInt, vec![Int(-128), Int(127)], "TINYINT", vec!["-128", "127"]),
        (Type::SmallInt, vec![Int(-32768), Int(32767)], "SMALLINT", vec!["-32768", "32767"]),
        (Type::Integer, vec![Int(i32::MIN as i128), Int(7)], "INTEGER", vec!["-2147483648", "7"]),
        (Type::BigInt, vec![Int(i64::MIN as i128), Int(i64::MAX as i128)], "BIGINT", vec!["-9223372036854775808", "9223372036854775807"]),
        (
            Type::HugeInt,
            vec![Int(-huge), Int(huge)],
            "HUGEINT",
            vec!["-99999999999999999999999999999999999999", "99999999999999999999999999999999999999"],
        ),
        (Type::UTinyInt, vec![Int(0), Int(255)], "UTINYINT", vec!["0", "255"]),
        (Type::USmallInt, vec![Int(0), Int(65535)], "USMALLINT", vec!["0", "65535"]),
        (Type::UInteger, vec![Int(0), Int(u32::MAX as i128)], "UINTEGER", vec!["0", "4294967295"]),
        (Type::UBigInt, vec![Int(0), Int(u64::MAX as i128)], "UBIGINT", vec!["0", "18446744073709551615"]),
        (Type::Float, vec![Float(1.5), Float(f32::INFINITY)], "FLOAT", vec!["1.5", "inf"]),
        (Type::Double, vec![Double(-0.1), Double(f64::NAN)], "DOUBLE", vec!["-0.1", "nan"]),
        (Type::Decimal { width: 4, scale: 1 }, vec![Int(-9999), Int(5)], "DECIMAL(4,1)", vec!["-999.9", "0.5"]),
        (Type::Decimal { width: 18, scale: 2 }, vec![Int(150), Int(-1)], "DECIMAL(18,2)", vec!["1.50", "-0.01"]),
        (
            Type::Decimal { width: 38, scale: 10 },
            vec![Int(huge), Int(1)],
            "DECIMAL(38,10)",
            vec!["9999999999999999999999999999.9999999999", "0.0000000001"],
        ),
        (Type::Varchar, vec![Value::text("é '\"; DROP"), Value::text("")], "VARCHAR", vec!["é '\"; DROP", ""]),
        (
            Type::Json,
            vec![Value::text(r#"{"b": 1,  "a":[null]}"#), Value::text("\"x\"")],
            "JSON",
            vec![r#"{"b": 1,  "a":[null]}"#, "\"x\""],
        ),
        (Type::Blob, vec![Blob(Arc::new(vec![0, 255, 65])), Blob(Arc::new(vec![]))], "BLOB", vec!["\\x00\\xFFA", ""]),
        (Type::Date, vec![Date(0), Date(-1)], "DATE", vec!["1970-01-01", "1969-12-31"]),
        (Type::Time, vec![Time(0), Time(86_399_999_999)], "TIME", vec!["00:00:00", "23:59:59.999999"]),
        (Type::Timestamp, vec![Timestamp(1), Timestamp(-1)], "TIMESTAMP", vec!["1970-01-01 00:00:00.000001", "1969-12-31 23:59:59.999999"]),
        (
            Type::TimestampTz,
            vec![Timestamp(0), Timestamp(1_000_000)],
            "TIMESTAMP WITH TIME ZONE",
            vec!["1970-01-01 00:00:00+00", "1970-01-01 00:00:01+00"],
        ),
        (
            Type::Interval,
            vec![interval(14, -3, 4_000_001), interval(0, 0, 0)],
            "INTERVAL",
            vec!["1 year 2 months -3 days 00:00:04.000001", "00:00:00"],
        ),
        (Type::Uuid, vec![uuid.clone(), Int(0)], "UUID", vec![uuid_text, "00000000-0000-0000-0000-000000000000"]),
        (
            Type::List(boxed(Type::Uuid)),
            vec![list(vec![uuid.clone(), Null]), list(vec![])],
            "UUID[]",
            vec!["[f81d4fae-7dec-11d0-a765-00a0c91e6bf6, NULL]", "[]"],
        ),
        (
            Type::List(boxed(Type::List(boxed(Type::Integer)))),
            vec![list(vec![list(vec![Int(1)]), Null, list(vec![])]), list(vec![Null])],
            "INTEGER[][]",
            vec!["[[1], NULL, []]", "[NULL]"],
        ),
        (
            Type::Struct(vec![("a".into(), Type::HugeInt), ("it's \"b\"".into(), Type::Interval)]),
            vec![strukt(vec![Int(1), interval(1, 0, 0)]), strukt(vec![Null, Null])],
            "STRUCT(a HUGEINT, \"it's \"\"b\"\"\" INTERVAL)",
            vec![r#"{'a': 1, 'it\'s "b"': 1 month}"#, r#"{'a': NULL, 'it\'s "b"': NULL}"#],
        ),
        (
            Type::Map(boxed(Type::Varchar), boxed(Type::Integer)),
            vec![map(vec![(Value::text("z"), Int(1)), (Value::text("a"), Null)]), map(vec![])],
            "MAP(VARCHAR, INTEGER)",
            vec!["{z=1, a=NULL}", "{}"],
        ),
        (
            Type::Map(boxed(Type::Uuid), boxed(Type::List(boxed(Type::Interval)))),
            vec![map(vec![(uuid, list(vec![interval(0, 1, 0), Null]))]), map(vec![])],
            "MAP(UUID, INTERVAL[])",
            vec!["{f81d4fae-7dec-11d0-a765-00a0c91e6bf6=[1 day, NULL]}", "{}"],
        ),
    ]
}

#[test]
fn every_type_comes_back_from_parquet_as_it_went_in() {
    let dir = tempfile::tempdir().unwrap();
    for (i, (ty, values, _, _)) in cases().into_iter().enumerate() {
        let mut column = Column::new(ty.clone());
        values.iter().cloned().chain([Value::Null]).for_each(|v| column.push(v));
        let frame = Frame { names: vec!["c".into()], columns: vec![column] };
        let file = dir.path().join(format!("{i}.parquet"));
        let info = parquet::write(&file, &frame).unwrap();
        assert_eq!(info.rows, 3);
        let back = parquet::read(&file, &[("c".into(), ty.clone())]).unwrap();
        let read: Vec<Value> = (0..3).map(|row| back.columns[0].get(row)).collect();
        assert_eq!(read, [values, vec![Value::Null]].concat(), "{ty}");
        assert!(parquet::read(&file, &[("d".into(), ty)]).is_err(), "a missing column is doubt");
    }
}

#[test]
fn every_type_is_to_sql_what_was_declared() {
    let dir = tempfile::tempdir().unwrap();
    let mut frame = Frame { names: vec!["row".into()], columns: vec![Column::new(Type::Integer)] };
    (0..3).for_each(|i| frame.columns[0].push(Value::Int(i)));
    for (i, (ty, values, _, _)) in cases().into_iter().enumerate() {
        let mut column = Column::new(ty);
        values.into_iter().chain([Value::Null]).for_each(|v| column.push(v));
        frame.names.push(format!("c{i}"));
        frame.columns.push(column);
    }
    let mut engine = engine_over(dir.path(), &frame);
    for (i, (ty, _, name, texts)) in cases().into_iter().enumerate() {
        let mut model = model(&format!("SELECT row, typeof(c{i}) AS ty, c{i} AS v FROM t ORDER BY row"));
        model.name = format!("m{i}");
        engine.define(&model, false).unwrap_or_else(|e| panic!("{ty}: {e}"));
        let (_, rows) = engine.text_rows(&model.name, None).unwrap();
        let wanted: Vec<Option<String>> = texts.into_iter().map(|t| Some(t.to_string())).chain([None]).collect();
        assert_eq!(rows.iter().map(|r| r[1].clone().unwrap()).collect::<Vec<_>>(), vec![name; 3]);
        assert_eq!(rows.iter().map(|r| r[2].clone()).collect::<Vec<_>>(), wanted, "{ty}");
        // And all of it can be published as Parquet.
        for batch in engine.rows(&model, &[], &[]).unwrap_or_else(|e| panic!("{ty}: {e}")) {
            batch.unwrap_or_else(|e| panic!("{ty}: {e}"));
        }
    }
}

#[test]
fn an_empty_table_has_its_types() {
    let dir = tempfile::tempdir().unwrap();
    let columns: Vec<(String, Type)> = cases().into_iter().enumerate().map(|(i, (ty, ..))| (format!("c{i}"), ty)).collect();
    let table = TableInput { name: "t".into(), columns, files: Vec::new(), ..TableInput::default() };
    let inputs = Inputs { aggregates: vec![AggregateInput { table, rows: Vec::new() }], ..Inputs::default() };
    let mut engine = Engine::open(&inputs, &limits(dir.path())).unwrap();
    let model = model("SELECT * FROM t");
    engine.define(&model, true).unwrap();
    let types: Vec<String> = engine.columns(&model).unwrap().iter().map(|(_, ty)| ty.clone()).collect();
    assert_eq!(types, cases().into_iter().map(|(_, _, name, _)| name.to_string()).collect::<Vec<_>>());
}

#[test]
fn a_hugeint_of_39_digits_is_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let mut column = Column::new(Type::HugeInt);
    column.push(Value::Int(i128::MAX));
    let frame = Frame { names: vec!["big".into()], columns: vec![column] };
    let file = dir.path().join("x.parquet");
    let error = parquet::write(&file, &frame).unwrap_err();
    assert!(error.message.contains("38 digits") && error.places == ["column `big`"], "{error}");
    assert!(!file.exists(), "a half-written snapshot is removed");
}

#[test]
fn a_damaged_snapshot_is_doubt_and_not_data() {
    let dir = tempfile::tempdir().unwrap();
    let mut column = Column::new(Type::BigInt);
    (0..1000).for_each(|i| column.push(Value::Int(i)));
    let frame = Frame { names: vec!["n".into()], columns: vec![column] };
    let file = dir.path().join("x.parquet");
    parquet::write(&file, &frame).unwrap();
    let bytes = std::fs::read(&file).unwrap();
    std::fs::write(&file, &bytes[..bytes.len() / 2]).unwrap();
    let error = parquet::read(&file, &frame.schema()).unwrap_err();
    assert!(error.message.contains("cannot be used"), "{error}");
    std::fs::write(&file, bytes).unwrap();
    assert!(parquet::read(&file, &[("n".into(), Type::Varchar)]).is_err());
}
