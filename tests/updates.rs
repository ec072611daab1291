//! Updates that need no interpreter: compiled forms mean what the expressions mean, and a fold of scalars allocates
//! nothing for an event.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use foldline::fold::{PARTITIONS, Partition, route};
use foldline::project::load_text;
use foldline::source::Decoder;
use foldline::source::chunks::Chunk;
use foldline::source::sequence::Verdicts;
use foldline::sql::scalar::{Cell, Cells, Scalar};
use foldline::sql::vector::Vector;
use foldline::sql::{self, Column, Env, NameError, Resolved, Scope, Slot, Type, Value};

/// Columns with values at the edges of their types.
const COLUMNS: &[(&str, &str, &[&str])] = &[
    ("b", "BOOLEAN", &["true", "false"]),
    ("i8", "TINYINT", &["0", "1", "-1", "127", "-128"]),
    ("i32", "INTEGER", &["0", "1", "-1", "2147483647", "-2147483648", "42"]),
    ("i64", "BIGINT", &["0", "9223372036854775807", "-9223372036854775808", "1000000", "-3"]),
    ("u64", "UBIGINT", &["0", "18446744073709551615", "11"]),
    ("i128", "HUGEINT", &["0", "170141183460469231731687303715884105727", "-170141183460469231731687303715884105728", "-5"]),
    ("d4", "DECIMAL(4,1)", &["0", "999.9", "-999.9", "1.5"]),
    ("d10", "DECIMAL(10,2)", &["0", "99999999.99", "-0.01", "12.34"]),
    ("d18", "DECIMAL(18,2)", &["0", "9999999999999999.99", "-9999999999999999.99", "3.14"]),
    ("d38", "DECIMAL(38,10)", &["0", "9999999999999999999999999999.9999999999", "-1"]),
    ("f", "DOUBLE", &["0", "-0.0", "1.5", "-2.5", "1e300", "inf", "nan", "0.1"]),
    ("s", "VARCHAR", &["", "a", "abc", "Ünïcode", "a text that is too long to lie inside of a value"]),
    ("dt", "DATE", &["2020-01-31", "1969-12-31", "infinity", "-infinity"]),
    ("ts", "TIMESTAMP", &["2020-01-31 23:59:59.999999", "1970-01-01 00:00:00", "infinity"]),
];

struct Names(Vec<Type>);

impl Scope for Names {
    fn resolve(&mut self, path: &[String], _: bool) -> Result<Resolved, NameError> {
        match COLUMNS.iter().position(|(name, ..)| path.len() == 1 && *name == path[0]) {
            Some(i) => Ok(Resolved { slot: Slot(i as u32), ty: self.0[i].clone(), parts_used: 1 }),
            None => Err(NameError { message: format!("no column `{}`", path.join(".")), help: None }),
        }
    }
}

/// One row of columns.
struct Row<'a> {
    columns: &'a [Column],
    row: usize,
}

impl Env for Row<'_> {
    fn get(&self, slot: Slot) -> Value {
        self.columns[slot.0 as usize].get(self.row)
    }
}

impl Cells for Row<'_> {
    fn cell(&self, slot: Slot) -> Cell {
        self.columns[slot.0 as usize].cell(self.row)
    }

    fn text(&self, slot: Slot) -> Option<&str> {
        self.columns[slot.0 as usize].text(self.row)
    }

    fn is_null(&self, slot: Slot) -> bool {
        self.columns[slot.0 as usize].nulls[self.row]
    }
}

/// A small generator of numbers, the same on every machine.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % sides
    }

    fn pick<'a>(&mut self, of: &[&'a str]) -> &'a str {
        of[self.roll(of.len())]
    }
}

const NUMBERS: &[&str] = &["i8", "i32", "i64", "u64", "i128", "d4", "d10", "d18", "d38", "f", "0", "1", "-1", "2.5", "100", "i32", "d10"];

fn number(dice: &mut Dice, depth: usize) -> String {
    if depth == 0 {
        return dice.pick(NUMBERS).to_string();
    }
    let d = depth - 1;
    match dice.roll(9) {
        0..=3 => format!("({} {} {})", number(dice, d), dice.pick(&["+", "-", "*"]), number(dice, d)),
        4 => format!("coalesce({}, {})", number(dice, d), number(dice, d)),
        5 => format!("greatest({}, {})", number(dice, d), number(dice, d)),
        6 => format!("least({}, {}, {})", number(dice, d), number(dice, 0), number(dice, 0)),
        7 => format!("CAST({} AS {})", number(dice, d), dice.pick(&["BIGINT", "DOUBLE", "DECIMAL(20,4)", "HUGEINT", "TINYINT"])),
        _ => format!("(CASE WHEN {} THEN {} ELSE {} END)", truth(dice, d), number(dice, d), number(dice, d)),
    }
}

fn truth(dice: &mut Dice, depth: usize) -> String {
    let d = depth.saturating_sub(1);
    let sign = dice.pick(&["=", "<>", "<", "<=", ">", ">="]);
    match dice.roll(if depth == 0 { 5 } else { 10 }) {
        0 => "b".into(),
        1 => format!("(s {sign} {})", dice.pick(&["'abc'", "''", "s", "'a text that is too long to lie inside of a value'"])),
        2 => format!("(ts {sign} {})", dice.pick(&["ts", "TIMESTAMP '2020-01-31 00:00:00'", "dt"])),
        3 => format!("({} IS NULL)", dice.pick(&["s", "dt", "i64", "f"])),
        4 => format!("({} {sign} {})", dice.pick(&["dt", "ts::DATE"]), dice.pick(&["DATE '1969-12-31'", "dt", "ts::DATE"])),
        5 | 6 => format!("({} {sign} {})", number(dice, d), number(dice, d)),
        7 => format!("({} {} {})", truth(dice, d), dice.pick(&["AND", "OR"]), truth(dice, d)),
        8 => format!("(NOT {})", truth(dice, d)),
        _ => format!("({} IS NOT {})", truth(dice, d), dice.pick(&["TRUE", "FALSE", "NULL"])),
    }
}

const ROWS: usize = 64;

#[test]
fn compiled_expressions_mean_what_the_expressions_mean() {
    let mut dice = Dice(0x2545_f491_4f6c_dd1d);
    let types: Vec<Type> = COLUMNS.iter().map(|(_, ty, _)| sql::parse_column(ty).expect("a type").ty).collect();
    let columns: Vec<Column> = COLUMNS
        .iter()
        .zip(&types)
        .map(|((_, _, texts), ty)| {
            let mut column = Column::new(ty.clone());
            for _ in 0..ROWS {
                let text = texts[dice.roll(texts.len())];
                let null = dice.roll(6) == 0;
                column.push(if null { Value::Null } else { sql::cast_text(text, ty).expect("a value") });
            }
            column
        })
        .collect();
    let type_of = |slot: Slot| types.get(slot.0 as usize).cloned();
    let column_of = |slot: Slot| columns.get(slot.0 as usize);
    let (mut scalars, mut vectors, mut values, mut left) = (0, 0, 0, 0);
    for _ in 0..4000 {
        let depth = 1 + dice.roll(4);
        let text = if dice.roll(3) == 0 { truth(&mut dice, depth) } else { number(&mut dice, depth) };
        let Ok(expr) = sql::compile(&text, &mut Names(types.clone()), None) else { continue };
        let scalar = Scalar::of(&expr, &type_of);
        let vector = Vector::of(&expr, &type_of).map(|vector| vector.run(ROWS, &column_of).expect("the columns are as said"));
        scalars += scalar.is_some() as usize;
        vectors += vector.is_some() as usize;
        for row in 0..ROWS {
            let row_of = Row { columns: &columns, row };
            let expected = expr.eval(&row_of);
            if let Some(scalar) = &scalar {
                match (scalar.eval(&row_of), &expected) {
                    (Cell::Failed, Err(_)) => left += 1,
                    (cell, Ok(value)) => {
                        values += 1;
                        let wanted = Cell::of(value);
                        let same = match (cell, wanted) {
                            (Cell::Double(a), Cell::Double(b)) => a.to_bits() == b.to_bits() || a.is_nan() && b.is_nan(),
                            (a, b) => a == b,
                        };
                        assert!(same, "{text} in row {row}: compiled {cell:?}, by expression {value:?}");
                    }
                    (cell, Err(e)) => panic!("{text} in row {row}: compiled {cell:?}, by expression {}", e.0),
                }
            }
            if let Some(vector) = &vector {
                match &expected {
                    Err(e) => assert!(vector.failed(row), "{text} in row {row}: {}", e.0),
                    // a row with a NULL may be left to the expression
                    Ok(Value::Null) if vector.failed(row) => {}
                    Ok(value) => {
                        assert!(!vector.failed(row), "{text} in row {row} failed by column, gives {value:?}");
                        assert_eq!(&vector.column.get(row), value, "{text} in row {row}");
                    }
                }
            }
        }
    }
    println!("{scalars} compiled by row, {vectors} by column: {values} values and {left} failures compared");
    assert!(scalars > 2000 && vectors > 300 && values > 100_000 && left > 1000, "{scalars} {vectors} {values} {left}");
}

const STATE: &str = r#"
total = "DECIMAL(18,2) DEFAULT 0"
count = "INTEGER DEFAULT 0"
weight = "DOUBLE DEFAULT 0"
last = "TIMESTAMP"
first = "TIMESTAMP"
most = "INTEGER"
name = "VARCHAR"
status = "VARCHAR DEFAULT 'a status of more than twenty-four bytes'"
big = "BOOLEAN"
lines = "MAP(VARCHAR, INTEGER) DEFAULT MAP {}"
"#;

const RULE: &str = r#"
when = "status <> 'shipped' AND (data.qty > 0 OR data.name = 'x')"
set.total = "total + data.qty * data.price"
set.count = "count + 1"
set.weight = "weight + data.weight"
set.last = "event.time"
set.first = "coalesce(first, event.time)"
set.most = "greatest(most, data.qty)"
set.name = "data.name"
set.big = "CASE WHEN data.qty > 5 THEN total > 100 ELSE false END"
"#;

/// Folds the same events over and over into rows that are there: how often memory was asked for.
fn allocations(rule: &str) -> u64 {
    let text = format!(
        "[project]\nname = \"updates\"\n[source.shop]\nfiles = [\"x.ndjson\"]\n\
         [event.ItemAdded]\nsku = \"VARCHAR\"\nname = \"VARCHAR\"\nqty = \"INTEGER\"\nprice = \"DECIMAL(10,2)\"\nweight = \"DOUBLE\"\n\
         [aggregate.order]\nsource = \"shop\"\nstream = \"order-{{order_id}}\"\n[aggregate.order.state]{STATE}\n\
         [aggregate.order.on.ItemAdded]{rule}\n\
         [read_model.orders]\naggregate = \"order\"\n[[read_model.orders.to]]\nparquet = \"orders.parquet\"\n"
    );
    let project = match load_text(&text, Path::new("foldline.toml"), Path::new("/"), &BTreeMap::new(), &|_| None) {
        Ok(project) => project,
        Err(errors) => panic!("{errors:?}"),
    };
    let log: String = (0..500)
        .map(|i| {
            format!(
                "{{\"stream_id\":\"order-{}\",\"type\":\"ItemAdded\",\"time\":\"2026-01-01T00:00:00Z\",\"data\":{{\"sku\":\"s{}\",\
                 \"name\":\"a name that does not fit into twenty-four bytes\",\"qty\":{},\"price\":1.25,\"weight\":0.5}}}}\n",
                i % 7,
                i % 5,
                1 + i % 9
            )
        })
        .collect();
    let chunk = Chunk { ordinal: 0, segment: 0, starts_file: true, bytes: log.into_bytes(), pending: 0, packed: 0 };
    let batch = Decoder::new(&project, 0).decode(&chunk).expect("the rules fit");
    let routed = Arc::new(route(batch, &project, &[true]));
    let verdicts = Verdicts::new(routed.batch.events.len());
    let mut partitions: Vec<Partition> = (0..PARTITIONS).map(|_| Partition::new(&project.aggregates[0])).collect();
    let mut fold = || {
        for (number, partition) in partitions.iter_mut().enumerate() {
            partition.fold(&project.aggregates[0], 0, number, &routed, &verdicts, &[]);
        }
    };
    fold();
    let counted = allocation_counter::measure(|| (0..10).for_each(|_| fold()));
    assert_eq!(partitions.iter().map(|p| p.events_folded).sum::<u64>(), 5500);
    counted.count_total
}

#[test]
fn scalar_updates_allocate_nothing() {
    assert_eq!(allocations(RULE), 0);
}

#[test]
fn an_update_of_a_key_that_a_map_has_allocates_nothing() {
    assert_eq!(allocations("\nset.lines = \"map_put(lines, data.sku, coalesce(lines[data.sku], 0) + data.qty)\""), 0);
}

/// State columns and payload fields of the rules below, with payload values at their edges, as JSON.
const FIELDS: &[(&str, &str, &[&str])] = &[
    ("b", "BOOLEAN", &["true", "false"]),
    ("i8", "TINYINT", &["0", "1", "-1", "127", "-128"]),
    ("i32", "INTEGER", &["0", "7", "2147483647", "-2147483648"]),
    ("i64", "BIGINT", &["0", "3", "9223372036854775807", "-9223372036854775808"]),
    ("u64", "UBIGINT", &["0", "18446744073709551615", "11"]),
    ("i128", "HUGEINT", &["0", "170141183460469231731687303715884105727", "-5"]),
    ("d4", "DECIMAL(4,1)", &["0", "999.9", "-999.9", "1.5"]),
    ("d18", "DECIMAL(18,2)", &["0", "9999999999999999.99", "3.14"]),
    ("d38", "DECIMAL(38,10)", &["0", "9999999999999999999999999999.9999999999", "-1"]),
    ("f32", "FLOAT", &["0", "0.1", "-2.5"]),
    ("f", "DOUBLE", &["0", "-0.0", "1e300", "0.1"]),
    ("s", "VARCHAR", &["\"\"", "\"a\"", "\"Ünïcode\"", "\"a text that is too long to lie inside of a value\""]),
    ("j", "JSON", &["\"a\"", "{\"x\":[1.10]}", "12"]),
    ("u", "UUID", &["\"00000000-0000-0000-0000-000000000001\"", "\"ffffffff-0000-0000-0000-000000000000\""]),
    ("dt", "DATE", &["\"2020-01-31\"", "\"1969-12-31\""]),
    ("ts", "TIMESTAMP", &["\"2020-01-31 23:59:59.999999\"", "\"1969-12-31 00:00:00\""]),
    ("m", "MAP(VARCHAR, INTEGER)", &["{}", "{\"a\":1,\"b\":null}"]),
    ("mu", "MAP(UBIGINT, DECIMAL(10,2))", &["{}", "{\"11\":1.5}"]),
];

/// A value for column `of`, of every shape that algebra, compiled rows or neither of them take.
fn new_value(dice: &mut Dice, of: usize) -> String {
    let (x, ty, _) = FIELDS[of];
    if ty.starts_with("MAP") {
        let key = if x == "m" { dice.pick(&["data.s", "'a'", "event.type", "meta.k", "s"]) } else { dice.pick(&["data.u64", "11", "u64"]) };
        let old = dice.pick(&["0", "NULL", "data.i8"]);
        return match dice.roll(7) {
            0 => format!("data.{x}"),
            1 => format!("coalesce({x}, MAP {{}})"),
            2 => format!("map_put({x}, {key}, NULL)"),
            3 => format!("map_put({x}, {key}, data.i8)"),
            4 => format!("map_put({x}, {key}, {})", dice.pick(&["i8", "i32", "coalesce(data.d4, 1)"])),
            5 => format!("map_remove({x}, {key})"),
            _ => format!("map_put({x}, {key}, coalesce({x}[{key}], {old}) + data.i8)"),
        };
    }
    let other = FIELDS[dice.roll(FIELDS.len() - 2)].0;
    let e = match dice.roll(8) {
        0 => other.to_string(),
        1 => format!("data.{other}"),
        2 => {
            dice.pick(&["NULL", "1", "0", "2.5", "'a'", "'2020-02-02'", "event.time", "event.version", "event.type", "meta.k"]).to_string()
        }
        3 => format!("data.{x} * {}", dice.pick(&["2", "data.i8", "1.5"])),
        4 => format!("data.{x} - {}", dice.pick(&["1", "data.i8", "data.d4"])),
        _ => format!("data.{x}"),
    };
    match dice.roll(10) {
        0 | 1 => format!("{x} + {e}"),
        2 => format!("{e} + {x}"),
        3 => format!("{x} - {e}"),
        4 => format!("{e} - {x}"),
        5 => format!("{}({x}, {e})", dice.pick(&["greatest", "least"])),
        6 => format!("coalesce({x}, {e})"),
        7 => format!("coalesce({e}, {x})"),
        8 => format!("CASE WHEN {} IS NULL THEN {e} ELSE {x} END", dice.pick(&["data.i8", "x", x, "data.j", "u"])),
        _ => e,
    }
}

/// What a fold of the log by one rule leaves, by partition: its rows, and what failed.
fn folded(rule: &str, log: &str) -> Option<(Vec<String>, bool)> {
    let columns: String = FIELDS.iter().map(|(name, ty, _)| format!("{name} = \"{ty}\"\n")).collect();
    let text = format!(
        "[project]\nname = \"updates\"\n[source.s]\nfiles = [\"x.ndjson\"]\n[event.E]\n{columns}\n\
         [aggregate.a]\nsource = \"s\"\nstream = \"a-{{id}}\"\n[aggregate.a.state]\nx = \"INTEGER DEFAULT 1\"\n{}\n\
         [aggregate.a.rows.out]\nn = \"INTEGER\"\n[aggregate.a.on.E]\n{rule}\n",
        columns
            .replace("TINYINT", "TINYINT DEFAULT 3")
            .replace("VARCHAR\"", "VARCHAR DEFAULT 'x'\"")
            .replace("INTEGER)", "INTEGER) DEFAULT MAP {}")
    );
    let project = load_text(&text, Path::new("foldline.toml"), Path::new("/"), &BTreeMap::new(), &|_| None).ok()?;
    let chunk = Chunk { ordinal: 0, segment: 0, starts_file: true, bytes: log.as_bytes().to_vec(), pending: 0, packed: 0 };
    let batch = Decoder::new(&project, 0).decode(&chunk).ok()?;
    let algebraic = batch.blocks.iter().any(|block| block.plan.aggregates[0].on[0].algebraic);
    let routed = Arc::new(route(batch, &project, &[true]));
    assert!(routed.batch.bad.is_empty());
    let verdicts = Verdicts::new(routed.batch.events.len());
    let mut found = Vec::new();
    for number in 0..PARTITIONS {
        let mut partition = Partition::new(&project.aggregates[0]);
        partition.fold(&project.aggregates[0], 0, number, &routed, &verdicts, &[]);
        let columns = partition.table.columns(&partition.table.slots());
        found.extend((0..partition.table.len()).map(|row| columns.iter().map(|column| format!("{:?} ", column.get(row))).collect()));
        found.extend(partition.failures.iter().map(|failure| format!("event {}: {}", failure.event, failure.reason)));
    }
    Some((found, algebraic))
}

/// A line of the log, some of its fields missing.
fn event(dice: &mut Dice, stream: usize) -> String {
    let mut fields = Vec::new();
    for (name, _, values) in FIELDS {
        if dice.roll(5) > 0 {
            fields.push(format!("\"{name}\":{}", dice.pick(values)));
        }
    }
    let place = dice.pick(&["", ",\"version\":5,\"time\":\"2020-01-01T00:00:00Z\""]);
    let meta = dice.pick(&["null", "{\"k\":\"a\"}", "{\"k\":5}"]);
    format!("{{\"stream_id\":\"a-{stream}\",\"type\":\"E\"{place},\"metadata\":{meta},\"data\":{{{}}}}}\n", fields.join(","))
}

#[test]
fn rules_mean_the_same_in_whatever_form_they_run() {
    let mut dice = Dice(0x9e37_79b9_7f4a_7c15);
    let (mut compared, mut algebraic, mut failed) = (0, 0, 0);
    for _ in 0..1500 {
        let log: String = (0..12).map(|i| event(&mut dice, i % 4)).collect();
        let mut columns: Vec<usize> = (0..1 + dice.roll(3)).map(|_| dice.roll(FIELDS.len())).collect();
        columns.sort_unstable();
        columns.dedup();
        let rule: String =
            columns.iter().map(|column| format!("set.{} = \"{}\"\n", FIELDS[*column].0, new_value(&mut dice, *column))).collect();
        let Some((found, is_algebraic)) = folded(&rule, &log) else { continue };
        // a rule that gives out rows is evaluated
        let (expected, evaluated) = folded(&format!("{rule}emit.out = {{ n = \"1\" }}\n"), &log).expect("it was a rule before");
        assert!(!evaluated);
        assert_eq!(found, expected, "{rule}{log}");
        compared += 1;
        algebraic += usize::from(is_algebraic);
        failed += usize::from(found.iter().any(|line| line.starts_with("event ")));
    }
    println!("{compared} rules compared, {algebraic} of them algebraic, {failed} with failing events");
    assert!(compared > 500 && algebraic > 250 && failed > 50, "{compared} {algebraic} {failed}");
}
