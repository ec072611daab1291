//! Both sides of the comparison: foldline over values, DuckDB over a table of the same values.

use std::panic::{AssertUnwindSafe, catch_unwind};

use duckdb::{Config, Connection};
use foldline::sql::{self, CompileError, Env, Expr, NameError, Resolved, Scope, Slot, Type, Value};

use crate::columns::COLUMNS;
use crate::generate::type_name;

pub const ROWS: usize = 16;
/// Expressions in one query of DuckDB's.
const BATCH: usize = 24;

/// What one side says of an expression: its type and text (None: NULL), or that it fails.
#[derive(Debug, Clone, PartialEq)]
pub enum Answer {
    Value { ty: String, text: Option<String> },
    Error(String),
}

impl Answer {
    fn agrees(&self, other: &Answer, case: &Case) -> bool {
        match (self, other) {
            (Answer::Error(a), _) if a.starts_with("panic") => false,
            (Answer::Error(_), Answer::Error(_)) => true,
            // A defect of DuckDB's own.
            (_, Answer::Error(theirs)) => theirs.starts_with("INTERNAL") || casts_what_is_not_there(theirs, case),
            (Answer::Value { ty: a, text: x }, Answer::Value { ty: b, text: y }) => {
                normal_type(a) == normal_type(b) && (same_text(x, y) || is_meant_value(a, x, y, case))
            }
            (Answer::Error(ours), theirs) => is_meant_error(ours, theirs, case),
        }
    }
}

/// DuckDB casts the elements of a list that a slice, a branch or a filter has left out, and fails of them.
fn casts_what_is_not_there(theirs: &str, case: &Case) -> bool {
    let leaves_out = ["coalesce(", "CASE", "list_filter(", "list_prepend(", "list_resize(", ":", "if(", "nullif("];
    let list = case.text.contains('[') || case.wanted.as_ref().is_some_and(|ty| matches!(ty, Type::List(_)));
    theirs.starts_with("Conversion Error") && list && leaves_out.iter().any(|shape| case.text.contains(shape))
}

/// Refusals that docs/language.md lists: DuckDB gives a value there.
fn is_meant_error(ours: &str, theirs: &Answer, case: &Case) -> bool {
    let Answer::Value { text, .. } = theirs else { return false };
    let text = text.as_deref().unwrap_or("NULL");
    // What has no cast fails in DuckDB at the first value that is not NULL.
    let refusals = [
        "there is no cast",
        "cannot compare",
        "a TIME has no such",
        "an INTERVAL has no such",
        "an interval's amount is",
        "the lambda must give",
        "`bin` does not take (DOUBLE",
        "`hex` does not take (DOUBLE",
        "`hex` does not take (FLOAT",
        "`bin` does not take (FLOAT",
    ];
    let no_cast = refusals.iter().map(|refusal| format!("compile: {refusal}")).any(|start| ours.starts_with(&start))
        || ours.starts_with("compile: ") && ours.contains("is wanted here, this is");
    // TRY_CAST makes maps that DuckDB cannot read itself, where a key has no value.
    let map = text.contains("{invalid") || case.text.contains("TRY_CAST") && case.text.contains("MAP(");
    // A timestamp that DuckDB cannot print.
    let unprintable = ours == "the date or timestamp is out of range" && (text.contains("(BC)") || case.text.contains("make_timestamp("));
    no_cast || map || unprintable || ours.starts_with("overflow: the rounded number does not fit")
}

/// Values that docs/language.md lists.
fn is_meant_value(ty: &str, ours: &Option<String>, theirs: &Option<String>, case: &Case) -> bool {
    let (Some(ours), Some(theirs)) = (ours, theirs) else { return false };
    // The calendar that DuckDB asks for TIMESTAMPTZ is not exact at its ends.
    let far = |text: &str| text.contains("(BC)") || text.find('-').is_some_and(|end| end >= 6);
    if ty.starts_with("TIMESTAMP WITH") && (far(ours) || far(theirs)) {
        return true;
    }
    // ROUND of an integer to tens goes round where the type ends.
    match (ours.parse::<i128>(), theirs.parse::<i128>()) {
        (Ok(a), Ok(b)) => case.text.contains("round(") && (a > 0) != (b > 0) && a.abs_diff(b) > 60_000,
        _ => false,
    }
}

/// The sign of NaN means nothing and follows the processor; a FLOAT's text may have more digits than it needs.
fn same_text(ours: &Option<String>, theirs: &Option<String>) -> bool {
    let (Some(ours), Some(theirs)) = (ours, theirs) else { return ours == theirs };
    let normal = |text: &str| numbers_as_float(&text.replace("-nan", "nan").replace("-NAN", "NAN"));
    ours == theirs || normal(ours) == normal(theirs) || normal(theirs) == numbers_as_float(ours)
}

/// The text with each number that has a point replaced by the bits of its nearest FLOAT.
fn numbers_as_float(text: &str) -> String {
    let mut out = String::new();
    let number = |c: char| c.is_ascii_digit() || matches!(c, '.' | 'e' | '+' | '-');
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let end = rest.find(|c: char| !number(c)).unwrap_or(rest.len());
        let (token, tail) = rest.split_at(if end == 0 { first.len_utf8() } else { end });
        match token.parse::<f32>() {
            Ok(x) if token.contains('.') => out.push_str(&format!("<{:x}>", x.to_bits())),
            _ => out.push_str(token),
        }
        rest = tail;
    }
    out
}

/// DuckDB quotes a struct's field only where it must; foldline always does.
fn normal_type(ty: &str) -> String {
    ty.replace('"', "")
}

/// Names are the columns, by number.
struct Columns<'a>(&'a [Type]);

impl Scope for Columns<'_> {
    fn resolve(&mut self, path: &[String], _: bool) -> Result<Resolved, NameError> {
        let found = COLUMNS.iter().position(|(name, _, _)| path.first().is_some_and(|first| name.eq_ignore_ascii_case(first)));
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

/// An expression, and the type of the column that takes it, where it is assigned.
#[derive(Debug, Clone)]
pub struct Case {
    pub text: String,
    pub wanted: Option<Type>,
}

#[derive(Debug, Clone)]
pub struct Difference {
    pub row: usize,
    pub ours: Answer,
    pub theirs: Answer,
}

/// What was compared.
#[derive(Debug, Default, Clone, Copy)]
pub struct Tally {
    pub values: usize,
    pub nulls: usize,
    pub errors: usize,
    pub compile_errors: usize,
    /// Answers that DuckDB gives with its optimizer only.
    pub optimizer: usize,
}

pub struct Oracle {
    db: Connection,
    /// The same database, with the optimizer.
    optimized: Connection,
    types: Vec<Type>,
    rows: Vec<Row>,
    /// Tables of one column, one for each type that was assigned to.
    targets: Vec<Type>,
    pub tally: Tally,
}

impl Oracle {
    pub fn new() -> Oracle {
        let types: Vec<Type> = COLUMNS.iter().map(|(_, ty, _)| sql::parse_column(ty).expect("a column's type").ty).collect();
        let mut rows = Vec::new();
        let mut literals = Vec::new();
        for row in 0..ROWS {
            let (mut values, mut texts) = (Vec::new(), Vec::new());
            for (i, ((_, name, of), ty)) in COLUMNS.iter().zip(&types).enumerate() {
                // Each column goes round its values at its own place, NULL being one of them.
                let at = (row + i * 5) % (of.len() + 1);
                match of.get(at) {
                    None => {
                        values.push(Value::Null);
                        texts.push(format!("CAST(NULL AS {name})"));
                    }
                    Some(text) => {
                        values.push(sql::cast_text(text, ty).unwrap_or_else(|e| panic!("{text} AS {name}: {}", e.0)));
                        texts.push(format!("CAST('{}' AS {name})", text.replace('\'', "''")));
                    }
                }
            }
            rows.push(Row(values));
            literals.push(texts);
        }
        let (db, optimized) = connect(&literals);
        let oracle = Oracle { db, optimized, types, rows, targets: Vec::new(), tally: Tally::default() };
        oracle.check_rows();
        oracle
    }

    /// Both sides must hold the same values, or nothing that follows means anything.
    fn check_rows(&self) {
        for (row, values) in self.rows.iter().enumerate() {
            for (i, (name, _, _)) in COLUMNS.iter().enumerate() {
                let theirs: Option<String> = self
                    .db
                    .query_row(&format!("SELECT CAST({name} AS VARCHAR) FROM t WHERE id = {row}"), [], |row| row.get(0))
                    .unwrap_or_else(|e| panic!("{name}: {e}"));
                assert_eq!(sql::to_text(&values.0[i], &self.types[i]), theirs, "{name} in row {row}");
            }
        }
    }

    fn compile(&self, case: &Case) -> Result<Expr, Answer> {
        let compiled: Result<Result<Expr, CompileError>, _> =
            catch_unwind(AssertUnwindSafe(|| sql::compile(&case.text, &mut Columns(&self.types), case.wanted.as_ref())));
        match compiled {
            Ok(Ok(expr)) => Ok(expr),
            Ok(Err(e)) => Err(Answer::Error(format!("compile: {}", e.message))),
            Err(_) => Err(Answer::Error("panic while compiling".into())),
        }
    }

    fn ours(&self, expr: &Expr, row: usize) -> Answer {
        let run = || match expr.eval(&self.rows[row]) {
            Err(e) => Answer::Error(e.0),
            Ok(value) => Answer::Value { ty: expr.ty.to_string(), text: sql::to_text(&value, &expr.ty) },
        };
        catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|_| Answer::Error("panic".into()))
    }

    /// Compares many expressions; gives the first difference of each that differs.
    pub fn compare(&mut self, cases: &[Case]) -> Vec<Option<Difference>> {
        let mut out = vec![None; cases.len()];
        let mut clean: Vec<(usize, Vec<Answer>)> = Vec::new();
        for (i, case) in cases.iter().enumerate() {
            match self.compile(case) {
                Err(error) => out[i] = self.compare_refused(case, error),
                Ok(expr) => {
                    let ours: Vec<Answer> = (0..ROWS).map(|row| self.ours(&expr, row)).collect();
                    if case.wanted.is_none() && ours.iter().all(|answer| matches!(answer, Answer::Value { .. })) {
                        clean.push((i, ours));
                    } else {
                        out[i] = self.compare_one(case, &ours);
                    }
                }
            }
        }
        for batch in clean.chunks(BATCH) {
            let texts: Vec<&str> = batch.iter().map(|(i, _)| cases[*i].text.as_str()).collect();
            match self.query_batch(&texts) {
                Some(theirs) => {
                    for ((i, ours), theirs) in batch.iter().zip(theirs) {
                        if ours.iter().zip(&theirs).all(|(ours, theirs)| ours.agrees(theirs, &cases[*i])) {
                            theirs.iter().for_each(|answer| self.count(answer));
                        } else {
                            out[*i] = self.compare_one(&cases[*i], ours);
                        }
                    }
                }
                None => {
                    for (i, ours) in batch {
                        out[*i] = self.compare_one(&cases[*i], ours);
                    }
                }
            }
        }
        out
    }

    pub fn compare_case(&mut self, case: &Case) -> Option<Difference> {
        self.compare(std::slice::from_ref(case)).into_iter().next().flatten()
    }

    fn count(&mut self, answer: &Answer) {
        match answer {
            Answer::Value { text: None, .. } => self.tally.nulls += 1,
            Answer::Value { .. } => self.tally.values += 1,
            Answer::Error(_) => self.tally.errors += 1,
        }
    }

    /// foldline refuses it; DuckDB has to refuse it, too, or to fail of some row.
    fn compare_refused(&mut self, case: &Case, ours: Answer) -> Option<Difference> {
        let rows: Vec<usize> = (0..ROWS).collect();
        let theirs = self.query_rows(case, &rows).unwrap_or_else(|| vec![Answer::Error(String::new())]);
        if theirs.iter().all(|theirs| ours.agrees(theirs, case)) {
            self.tally.compile_errors += 1;
            return None;
        }
        let row = theirs.iter().position(|theirs| !ours.agrees(theirs, case)).unwrap_or(0);
        Some(Difference { row, ours, theirs: theirs[row].clone() })
    }

    /// Row by row where it has to be: rows that succeed together, of those that fail two.
    fn compare_one(&mut self, case: &Case, ours: &[Answer]) -> Option<Difference> {
        let (fine, failing): (Vec<usize>, Vec<usize>) = (0..ROWS).partition(|row| matches!(ours[*row], Answer::Value { .. }));
        let together = if fine.is_empty() { Some(Vec::new()) } else { self.query_rows(case, &fine) };
        match together {
            Some(theirs) if fine.iter().zip(&theirs).all(|(row, theirs)| ours[*row].agrees(theirs, case)) => {
                theirs.iter().for_each(|answer| self.count(answer));
            }
            _ => {
                for row in fine {
                    if let Some(difference) = self.compare_row(case, row, &ours[row]) {
                        return Some(difference);
                    }
                }
            }
        }
        let first = failing.first().copied();
        let last = failing.last().copied().filter(|last| Some(*last) != first);
        first.into_iter().chain(last).find_map(|row| self.compare_row(case, row, &ours[row]))
    }

    fn compare_row(&mut self, case: &Case, row: usize, ours: &Answer) -> Option<Difference> {
        let theirs = self.theirs(case, row, false);
        if ours.agrees(&theirs, case) {
            self.count(&theirs);
            return None;
        }
        // Where DuckDB disagrees with itself, either answer is right.
        if ours.agrees(&self.theirs(case, row, true), case) {
            self.tally.optimizer += 1;
            return None;
        }
        Some(Difference { row, ours: ours.clone(), theirs })
    }

    fn theirs(&mut self, case: &Case, row: usize, optimized: bool) -> Answer {
        let table = case.wanted.as_ref().map(|wanted| self.target(wanted));
        let query = query(case, table.as_deref(), &row.to_string());
        let db = if optimized { &self.optimized } else { &self.db };
        let answer = db.prepare(&query).and_then(|mut statement| {
            statement.query_row([], |row| Ok(Answer::Value { text: row.get::<_, Option<String>>(0)?, ty: row.get(1)? }))
        });
        let answer = answer.unwrap_or_else(|e| Answer::Error(e.to_string().lines().next().unwrap_or_default().to_string()));
        self.revive(&answer);
        answer
    }

    /// The answers for some rows, in their order; None where the query fails.
    fn query_rows(&mut self, case: &Case, rows: &[usize]) -> Option<Vec<Answer>> {
        let table = case.wanted.as_ref().map(|wanted| self.target(wanted));
        let rows: Vec<String> = rows.iter().map(usize::to_string).collect();
        let query = query(case, table.as_deref(), &rows.join(", "));
        let answers = self.db.prepare(&query).and_then(|mut statement| {
            let rows = statement.query_map([], |row| Ok(Answer::Value { text: row.get::<_, Option<String>>(0)?, ty: row.get(1)? }))?;
            rows.collect::<Result<Vec<_>, _>>()
        });
        match answers {
            Ok(answers) => Some(answers),
            Err(e) => {
                self.revive(&Answer::Error(e.to_string()));
                None
            }
        }
    }

    /// The answers of many expressions for all rows, expression by expression; None where one of them fails.
    fn query_batch(&mut self, texts: &[&str]) -> Option<Vec<Vec<Answer>>> {
        let inner: Vec<String> = texts.iter().enumerate().map(|(i, text)| format!("({text}) AS x{i}")).collect();
        let outer: Vec<String> = (0..texts.len()).map(|i| format!("CAST(x{i} AS VARCHAR), typeof(x{i})")).collect();
        let query = format!("SELECT {} FROM (SELECT id, {} FROM t) ORDER BY id", outer.join(", "), inner.join(", "));
        let answers = self.db.prepare(&query).and_then(|mut statement| {
            let rows = statement.query_map([], |row| {
                (0..texts.len())
                    .map(|i| Ok(Answer::Value { text: row.get::<_, Option<String>>(2 * i)?, ty: row.get(2 * i + 1)? }))
                    .collect::<Result<Vec<_>, _>>()
            })?;
            rows.collect::<Result<Vec<_>, _>>()
        });
        match answers {
            Ok(rows) => Some((0..texts.len()).map(|i| rows.iter().map(|row| row[i].clone()).collect()).collect()),
            Err(e) => {
                self.revive(&Answer::Error(e.to_string()));
                None
            }
        }
    }

    /// The table whose only column has the type.
    fn target(&mut self, ty: &Type) -> String {
        let at = self.targets.iter().position(|target| target == ty).unwrap_or_else(|| {
            let at = self.targets.len();
            self.db.execute_batch(&format!("CREATE TABLE a{at}(c {})", type_name(ty))).expect("a table for a type");
            self.targets.push(ty.clone());
            at
        });
        format!("a{at}")
    }

    /// A defect of DuckDB's own ("INTERNAL Error") closes its database for good.
    fn revive(&mut self, answer: &Answer) {
        let Answer::Error(message) = answer else { return };
        if message.contains("INTERNAL") || message.contains("FATAL") || message.contains("invalidated") {
            let tally = self.tally;
            *self = Oracle { tally, ..Oracle::new() };
        }
    }
}

/// Selects text and type of the expression, or of what arrives in the column that it is inserted into.
fn query(case: &Case, table: Option<&str>, rows: &str) -> String {
    let text = &case.text;
    match table {
        None => format!("SELECT CAST(x AS VARCHAR), typeof(x) FROM (SELECT id, ({text}) AS x FROM t WHERE id IN ({rows})) ORDER BY id"),
        Some(table) => {
            format!("INSERT INTO {table} SELECT ({text}) FROM t WHERE id IN ({rows}) ORDER BY id RETURNING CAST(c AS VARCHAR), typeof(c)")
        }
    }
}

/// A database with the rows; the first connection is without the optimizer, whose rewritings hide and move errors.
fn connect(rows: &[Vec<String>]) -> (Connection, Connection) {
    let config = Config::default().threads(1).expect("one thread");
    let db = Connection::open_in_memory_with_flags(config).expect("an in-memory DuckDB");
    db.execute_batch("SET TimeZone = 'UTC'").expect("settings");
    let definitions: Vec<String> = COLUMNS.iter().map(|(name, ty, _)| format!("{name} {ty}")).collect();
    db.execute_batch(&format!("CREATE TABLE t(id INTEGER, {})", definitions.join(", "))).expect("the table");
    for (id, texts) in rows.iter().enumerate() {
        db.execute_batch(&format!("INSERT INTO t VALUES ({id}, {})", texts.join(", "))).expect("a row");
    }
    let optimized = db.try_clone().expect("a second connection");
    optimized.execute_batch("SET TimeZone = 'UTC'").expect("settings");
    db.execute_batch("PRAGMA disable_optimizer").expect("settings");
    (db, optimized)
}
