//! The expression language against the DuckDB that is linked in: result, type and failure must agree.

use duckdb::Connection;
use foldline::sql::{self, CompileError, Env, Expr, NameError, Resolved, Scope, Slot, Type, Value};

/// What one side says of an expression: its type and text (None: NULL), or that it fails.
#[derive(Debug, Clone, PartialEq)]
enum Answer {
    Value { ty: String, text: Option<String> },
    Error(String),
}

impl Answer {
    fn agrees(&self, other: &Answer) -> bool {
        match (self, other) {
            (Answer::Error(_), Answer::Error(_)) => true,
            (Answer::Value { ty: a, text: x }, Answer::Value { ty: b, text: y }) => {
                normal_type(a) == normal_type(b) && normal(x) == normal(y)
            }
            _ => false,
        }
    }
}

/// The sign of NaN means nothing and follows the processor.
fn normal(text: &Option<String>) -> Option<String> {
    text.as_ref().map(|text| text.replace("-nan", "nan"))
}

/// DuckDB quotes a struct's field only where it must; foldline always does.
fn normal_type(ty: &str) -> String {
    ty.replace('"', "")
}

struct NoNames;

impl Scope for NoNames {
    fn resolve(&mut self, path: &[String], _: bool) -> Result<Resolved, NameError> {
        Err(NameError { message: format!("no column `{}`", path.join(".")), help: None })
    }
}

struct NoValues;

impl Env for NoValues {
    fn get(&self, _: Slot) -> Value {
        Value::Null
    }
}

fn by_foldline(compiled: Result<Expr, CompileError>, env: &impl Env) -> Answer {
    match compiled {
        Err(e) => Answer::Error(format!("compile: {}", e.message)),
        Ok(expr) => match expr.eval(env) {
            Err(e) => Answer::Error(e.0),
            Ok(value) => Answer::Value { ty: expr.ty.to_string(), text: sql::to_text(&value, &expr.ty) },
        },
    }
}

fn connect() -> Connection {
    let db = Connection::open_in_memory().expect("an in-memory DuckDB");
    db.execute_batch("SET TimeZone = 'UTC'").expect("time zone");
    db
}

fn by_duckdb(db: &Connection, expression: &str) -> Answer {
    let query = format!("SELECT CAST(x AS VARCHAR), typeof(x) FROM (SELECT ({expression}) AS x)");
    answer(db, &query)
}

fn answer(db: &Connection, query: &str) -> Answer {
    let answer = db.prepare(query).and_then(|mut statement| {
        statement.query_row([], |row| Ok(Answer::Value { text: row.get::<_, Option<String>>(0)?, ty: row.get(1)? }))
    });
    answer.unwrap_or_else(|e| Answer::Error(e.to_string().lines().next().unwrap_or_default().to_string()))
}

fn compare_all(expressions: &[&str]) {
    let db = connect();
    let mut differences = Vec::new();
    for expression in expressions {
        let ours = by_foldline(sql::compile(expression, &mut NoNames, None), &NoValues);
        let theirs = by_duckdb(&db, expression);
        if !ours.agrees(&theirs) {
            differences.push(format!("{expression}\n    foldline {ours:?}\n    duckdb   {theirs:?}"));
        }
    }
    assert!(differences.is_empty(), "{} of {} differ:\n{}", differences.len(), expressions.len(), differences.join("\n"));
}

#[test]
fn the_table_of_expressions_means_what_duckdb_means() {
    let table: Vec<&str> = include_str!("sql_expressions.txt").lines().filter(|line| !line.is_empty() && !line.starts_with("--")).collect();
    assert!(table.len() > 300, "{} expressions", table.len());
    compare_all(&table);
}

/// The columns over which random expressions run: name, type, and the texts of their values.
const COLUMNS: &[(&str, &str, &[&str])] = &[
    ("b1", "BOOLEAN", &["true", "false"]),
    ("i8", "TINYINT", &["0", "1", "-1", "127", "-128", "5"]),
    ("i16", "SMALLINT", &["0", "32767", "-32768", "7"]),
    ("i32", "INTEGER", &["0", "1", "-1", "2147483647", "-2147483648", "42", "365"]),
    ("i64", "BIGINT", &["0", "9223372036854775807", "-9223372036854775808", "1000000", "-3"]),
    ("i128", "HUGEINT", &["0", "170141183460469231731687303715884105727", "-5", "10000000000000000000"]),
    ("u8", "UTINYINT", &["0", "255", "3"]),
    ("u32", "UINTEGER", &["0", "4294967295", "9"]),
    ("u64", "UBIGINT", &["0", "18446744073709551615", "11"]),
    ("d4", "DECIMAL(4,1)", &["0", "999.9", "-999.9", "1.5", "-2.5"]),
    ("d10", "DECIMAL(10,2)", &["0", "99999999.99", "-0.01", "12.34", "7.50"]),
    ("d18", "DECIMAL(18,4)", &["0", "99999999999999.9999", "-1.0001", "3.1415"]),
    ("d38", "DECIMAL(38,10)", &["0", "9999999999999999999999999999.9999999999", "-1", "2.5"]),
    ("f32", "FLOAT", &["0", "1.5", "-2.25", "3.4e38", "inf", "nan"]),
    ("f64", "DOUBLE", &["0", "1.5", "-2.5", "1e300", "-inf", "nan", "0.1"]),
    ("s1", "VARCHAR", &["", "a", "abc", "Ünïcode", "12", "-7.5", "2020-01-31", "true", " x ", "a,b,c"]),
    ("s2", "VARCHAR", &["b", "abcabc", "%", "3", "null"]),
    ("dt", "DATE", &["2020-01-31", "1969-12-31", "2024-02-29", "0001-01-01", "9999-12-31"]),
    ("ts", "TIMESTAMP", &["2020-01-31 23:59:59.999999", "1970-01-01 00:00:00", "1969-07-20 20:17:40", "2024-02-29 12:00:00"]),
    ("iv", "INTERVAL", &["1 day", "-1 month", "02:30:00", "1 year 2 months 3 days 04:05:06", "40 days"]),
];

/// A small generator of numbers, the same on every machine.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % sides
    }

    fn pick<'a, T: ?Sized>(&mut self, of: &[&'a T]) -> &'a T {
        of[self.roll(of.len())]
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Class {
    Bool,
    Number,
    Text,
    Date,
    Interval,
}

/// A random expression of a class, `depth` levels deep at most.
fn random(dice: &mut Dice, class: Class, depth: usize) -> String {
    use Class::*;
    if depth == 0 || dice.roll(8) == 0 {
        let leaf: &str = match class {
            Bool => dice.pick(&["b1", "true", "false", "NULL::BOOLEAN", "b1"]),
            Number => dice.pick(&[
                "i8",
                "i16",
                "i32",
                "i64",
                "i128",
                "u8",
                "u32",
                "u64",
                "d4",
                "d10",
                "d18",
                "d38",
                "f32",
                "f64",
                "0",
                "1",
                "2",
                "-1",
                "10",
                "100",
                "1000",
                "3000000000",
                "1.5",
                "0.01",
                "-2.25",
                "1e3",
                "NULL",
                "i32",
                "d10",
            ]),
            Text => dice.pick(&["s1", "s2", "'a'", "''", "'b%'", "'12'", "NULL::VARCHAR", "s1"]),
            Date => dice.pick(&["dt", "ts", "DATE '2020-02-29'", "TIMESTAMP '2020-05-05 05:05:05'", "dt", "ts"]),
            Interval => dice.pick(&["iv", "INTERVAL 1 DAY", "INTERVAL '1 month'", "INTERVAL 90 MINUTE", "iv"]),
        };
        return leaf.to_string();
    }
    let d = depth - 1;
    let any = |dice: &mut Dice| [Bool, Number, Text, Date, Number][dice.roll(5)];
    match class {
        Bool => match dice.roll(12) {
            0..=3 => {
                let of = [Number, Number, Text, Date, Interval][dice.roll(5)];
                let sign = dice.pick(&["=", "<>", "<", "<=", ">", ">="]);
                format!("({} {sign} {})", random(dice, of, d), random(dice, of, d))
            }
            4 => format!("({} AND {})", random(dice, Bool, d), random(dice, Bool, d)),
            5 => format!("({} OR {})", random(dice, Bool, d), random(dice, Bool, d)),
            6 => format!("(NOT {})", random(dice, Bool, d)),
            7 => {
                let of = any(dice);
                format!("({} IS NOT NULL)", random(dice, of, d))
            }
            8 => {
                let of = any(dice);
                format!("({} IS DISTINCT FROM {})", random(dice, of, d), random(dice, of, d))
            }
            9 => {
                let of = [Number, Text][dice.roll(2)];
                format!("({} IN ({}, {}, {}))", random(dice, of, d), random(dice, of, d), random(dice, of, 0), random(dice, of, 0))
            }
            10 => format!("({} BETWEEN {} AND {})", random(dice, Number, d), random(dice, Number, d), random(dice, Number, d)),
            _ => format!("({} LIKE {})", random(dice, Text, d), dice.pick(&["'a%'", "'%b%'", "'_'", "s2", "'%'"])),
        },
        Number => match dice.roll(16) {
            0..=5 => {
                let sign = dice.pick(&["+", "-", "*", "+", "-", "*", "/", "//", "%"]);
                format!("({} {sign} {})", random(dice, Number, d), random(dice, Number, d))
            }
            6 => format!("abs({})", random(dice, Number, d)),
            7 => format!("round({}, {})", random(dice, Number, d), dice.roll(4)),
            8 => format!("{}({})", dice.pick(&["floor", "ceil", "trunc", "sign", "round"]), random(dice, Number, d)),
            9 => format!("coalesce({}, {})", random(dice, Number, d), random(dice, Number, d)),
            10 => format!("(CASE WHEN {} THEN {} ELSE {} END)", random(dice, Bool, d), random(dice, Number, d), random(dice, Number, d)),
            11 => format!("greatest({}, {})", random(dice, Number, d), random(dice, Number, d)),
            12 => {
                let to = dice.pick(&[
                    "TINYINT",
                    "INTEGER",
                    "BIGINT",
                    "HUGEINT",
                    "UTINYINT",
                    "UBIGINT",
                    "DECIMAL(10,2)",
                    "DECIMAL(20,5)",
                    "DOUBLE",
                    "FLOAT",
                ]);
                let how = dice.pick(&["CAST", "TRY_CAST"]);
                let of = [Number, Number, Text, Bool][dice.roll(4)];
                format!("{how}({} AS {to})", random(dice, of, d))
            }
            13 => format!("length({})", random(dice, Text, d)),
            14 => format!("{}({})", dice.pick(&["year", "month", "day", "dayofweek", "week", "epoch_ms"]), random(dice, Date, d)),
            _ => format!("(-{})", random(dice, Number, d)),
        },
        Text => match dice.roll(11) {
            0 | 1 => {
                let of = any(dice);
                format!("({} || {})", random(dice, Text, d), random(dice, of, d))
            }
            2 => format!("{}({})", dice.pick(&["upper", "lower", "trim", "reverse"]), random(dice, Text, d)),
            3 => format!("substring({}, {}, {})", random(dice, Text, d), dice.roll(7) as i32 - 3, dice.roll(5) as i32 - 1),
            4 => format!("replace({}, {}, {})", random(dice, Text, d), random(dice, Text, 0), random(dice, Text, 0)),
            5 => {
                let of = [Bool, Number, Number, Date, Interval][dice.roll(5)];
                format!("CAST({} AS VARCHAR)", random(dice, of, d))
            }
            6 => format!("coalesce({}, {})", random(dice, Text, d), random(dice, Text, d)),
            7 => format!("(CASE WHEN {} THEN {} ELSE {} END)", random(dice, Bool, d), random(dice, Text, d), random(dice, Text, d)),
            8 => format!("split_part({}, ',', {})", random(dice, Text, d), dice.roll(5) as i32 - 2),
            9 => {
                let of = any(dice);
                format!("concat({}, {})", random(dice, Text, d), random(dice, of, d))
            }
            _ => format!("nullif({}, {})", random(dice, Text, d), random(dice, Text, d)),
        },
        Date => match dice.roll(7) {
            0 | 1 => format!("({} {} {})", random(dice, Date, d), dice.pick(&["+", "-"]), random(dice, Interval, d)),
            2 => format!(
                // Bare, DuckDB's optimizer would make TRUE of `date_trunc(…) <> constant` even for NULL.
                "coalesce(date_trunc('{}', {}), NULL)",
                dice.pick(&["year", "quarter", "month", "week", "day", "hour", "minute"]),
                random(dice, Date, d)
            ),
            3 => format!("CAST({} AS {})", random(dice, Date, d), dice.pick(&["DATE", "TIMESTAMP"])),
            4 => format!("coalesce({}, {})", random(dice, Date, d), random(dice, Date, d)),
            5 => format!("(CASE WHEN {} THEN {} ELSE {} END)", random(dice, Bool, d), random(dice, Date, d), random(dice, Date, d)),
            _ => format!("least({}, {})", random(dice, Date, d), random(dice, Date, d)),
        },
        Interval => match dice.roll(4) {
            0 => format!("({} + {})", random(dice, Interval, d), random(dice, Interval, d)),
            1 => format!("({} - {})", random(dice, Interval, d), random(dice, Interval, d)),
            2 => format!("({} * {})", random(dice, Interval, d), dice.pick(&["2", "-1", "i8"])),
            _ => format!("coalesce({}, {})", random(dice, Interval, d), random(dice, Interval, d)),
        },
    }
}

/// Names are the columns above, by number.
struct Columns(Vec<Type>);

impl Scope for Columns {
    fn resolve(&mut self, path: &[String], _: bool) -> Result<Resolved, NameError> {
        let found = COLUMNS.iter().position(|(name, _, _)| path.len() == 1 && name.eq_ignore_ascii_case(&path[0]));
        match found {
            Some(i) => Ok(Resolved { slot: Slot(i as u32), ty: self.0[i].clone(), parts_used: 1 }),
            None => Err(NameError { message: format!("no column `{}`", path.join(".")), help: None }),
        }
    }
}

struct Row(Vec<Value>);

impl Env for Row {
    fn get(&self, slot: Slot) -> Value {
        self.0[slot.0 as usize].clone()
    }
}

const ROWS: usize = 24;

#[test]
fn random_expressions_mean_what_duckdb_means() {
    let count: usize = std::env::var("FOLDLINE_RANDOM_EXPRESSIONS").ok().and_then(|n| n.parse().ok()).unwrap_or(2500);
    let db = connect();
    let mut dice = Dice(0x9e37_79b9_7f4a_7c15);
    let types: Vec<Type> = COLUMNS.iter().map(|(_, ty, _)| sql::parse_column(ty).expect("a column's type").ty).collect();
    let definitions: Vec<String> = COLUMNS.iter().map(|(name, ty, _)| format!("{name} {ty}")).collect();
    db.execute_batch(&format!("CREATE TABLE t(id INTEGER, {})", definitions.join(", "))).expect("the table");
    let mut rows = Vec::new();
    for id in 0..ROWS {
        let (mut row, mut literals) = (Vec::new(), vec![id.to_string()]);
        for ((_, ty, texts), parsed) in COLUMNS.iter().zip(&types) {
            if dice.roll(7) == 0 {
                row.push(Value::Null);
                literals.push("NULL".into());
                continue;
            }
            let text = texts[dice.roll(texts.len())];
            row.push(sql::cast_text(text, parsed).expect("a value of the column"));
            literals.push(format!("CAST('{text}' AS {ty})"));
        }
        db.execute_batch(&format!("INSERT INTO t VALUES ({})", literals.join(", "))).expect("a row");
        rows.push(Row(row));
    }
    let mut differences = Vec::new();
    let (mut values, mut failures) = (0, 0);
    for _ in 0..count {
        let class = [Class::Bool, Class::Number, Class::Number, Class::Text, Class::Date, Class::Interval][dice.roll(6)];
        let depth = 1 + dice.roll(4);
        let expression = random(&mut dice, class, depth);
        let compiled = sql::compile(&expression, &mut Columns(types.clone()), None);
        for _ in 0..2 {
            let id = dice.roll(ROWS);
            let ours = by_foldline(compiled.clone(), &rows[id]);
            let query = format!("SELECT CAST(x AS VARCHAR), typeof(x) FROM (SELECT ({expression}) AS x FROM t WHERE id = {id})");
            let theirs = answer(&db, &query);
            match theirs {
                Answer::Value { .. } => values += 1,
                Answer::Error(_) => failures += 1,
            }
            if !ours.agrees(&theirs) {
                differences.push(format!("{expression}   [row {id}]\n    foldline {ours:?}\n    duckdb   {theirs:?}"));
                break;
            }
        }
    }
    println!("{count} random expressions: {values} values and {failures} failures compared");
    assert!(values > count / 2, "most of what is compared must be values: {values} of {count}");
    assert!(differences.is_empty(), "{} differ:\n{}", differences.len(), differences.join("\n"));
}
