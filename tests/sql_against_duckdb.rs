//! The expression language against the DuckDB that is linked in: result, type and failure must agree.
//!
//! This is the table of expressions; `tests/sql_random` makes others at random.

use duckdb::Connection;
use foldline::sql::{self, CompileError, Env, Expr, NameError, Resolved, Scope, Slot, Value};

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
