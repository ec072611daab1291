//! What a read model's SELECT reads, and what it must not do. Told from its words alone, so that all of DuckDB's
//! dialect passes; DuckDB itself checks the rest when the read model is built.

use std::ops::Range;

use super::sql_tokens::{Kind, Token, tokens};

/// A fact about some bytes of the SQL.
#[derive(Debug)]
pub(crate) struct Finding {
    pub span: Range<usize>,
    pub message: String,
    pub help: String,
}

#[derive(Debug)]
pub(crate) struct TableName {
    /// The dotted name, quotes removed.
    pub parts: Vec<String>,
    pub span: Range<usize>,
}

#[derive(Debug, Default)]
pub(crate) struct SqlReads {
    /// Names that stand where tables stand, common table expressions included.
    pub tables: Vec<TableName>,
    /// Names of common table expressions.
    pub ctes: Vec<String>,
    pub errors: Vec<Finding>,
    /// The result depends on the order of rows.
    pub unordered: Vec<Finding>,
}

impl SqlReads {
    pub fn is_cte(&self, name: &str) -> bool {
        self.ctes.iter().any(|cte| cte.eq_ignore_ascii_case(name))
    }
}

/// Functions of the clock, of chance and of the world outside.
const CLOCK: &[&str] = &[
    "now",
    "today",
    "get_current_time",
    "get_current_timestamp",
    "transaction_timestamp",
    "statement_timestamp",
    "clock_timestamp",
    "current_localtime",
    "current_localtimestamp",
    "current_date",
    "current_time",
    "current_timestamp",
    "localtime",
    "localtimestamp",
];
const CLOCK_WORDS: &[&str] = &["current_date", "current_time", "current_timestamp", "localtime", "localtimestamp"];
const CHANCE: &[&str] =
    &["stats", "random", "setseed", "uuid", "gen_random_uuid", "uuidv4", "uuidv7", "nextval", "currval", "txid_current"];
const OUTSIDE: &[&str] = &[
    "getenv",
    "getvariable",
    "current_setting",
    "query",
    "query_table",
    "json_execute_serialized_sql",
    "glob",
    "parquet_scan",
    "seq_scan",
    "sniff_csv",
    "which_secret",
    "current_query",
    "current_query_id",
    "current_connection_id",
    "current_transaction_id",
];
/// Functions that do something: a SELECT that calls them changes the engine, or the files that it writes.
const DEEDS: &[&str] = &[
    "enable_logging",
    "disable_logging",
    "truncate_duckdb_logs",
    "write_log",
    "enable_profiling",
    "disable_profiling",
    "checkpoint",
    "force_checkpoint",
    "sleep_ms",
];
const OUTSIDE_BEGIN: &[&str] =
    &["read_", "parquet_", "duckdb_", "pragma_", "sqlite_", "postgres_", "mysql_", "iceberg_", "delta_", "arrow_", "pandas_", "st_read"];

/// The functions that may stand where a table stands: all that make their rows of their arguments alone.
const TABLE_FUNCTIONS: &[&str] = &[
    "range",
    "generate_series",
    "unnest",
    "repeat",
    "repeat_row",
    "json_each",
    "json_tree",
    "histogram",
    "histogram_values",
    "summary",
    "icu_calendar_names",
    "pg_timezone_names",
    "test_all_types",
];

/// Aggregates whose result depends on the order of rows unless they have an ORDER BY inside.
const ORDERED: &[&str] = &["list", "array_agg", "string_agg", "group_concat", "listagg", "first", "last", "any_value", "arbitrary", "mode"];

/// More findings of one kind are not looked for.
const FINDINGS_MAX: usize = 20;

/// What a SELECT reads.
pub(crate) fn analyze(sql: &str) -> SqlReads {
    let mut tokens = tokens(sql);
    let mut reads = SqlReads::default();
    while tokens.last().is_some_and(|token| token.kind == Kind::Symbol(';')) {
        tokens.pop();
    }
    let Some(first) = tokens.first() else {
        reads.error(0..sql.len(), "the SQL is empty", "write one SELECT");
        return reads;
    };
    let begins = ["select", "with", "from", "values", "pivot", "unpivot"].iter().any(|word| first.is_word(sql, word))
        || first.kind == Kind::Symbol('(');
    if !begins {
        reads.error(
            first.start..first.end,
            "a read model is one SELECT",
            "begin with SELECT, WITH or FROM; foldline writes the table itself",
        );
        return reads;
    }
    if let Some(semicolon) = tokens.iter().find(|token| token.kind == Kind::Symbol(';')) {
        reads.error(
            semicolon.start..semicolon.end,
            "a read model is one SELECT, and this ends the first statement",
            "take the other statements out",
        );
        return reads;
    }
    let words = Words { sql, tokens: &tokens, behind: matching(&tokens) };
    words.ctes(&mut reads);
    words.functions(&mut reads);
    words.tables(&mut reads);
    reads
}

impl SqlReads {
    fn error(&mut self, span: Range<usize>, message: impl Into<String>, help: impl Into<String>) {
        self.errors.push(Finding { span, message: message.into(), help: help.into() });
    }
}

/// What is known inside one pair of parentheses.
#[derive(Default)]
struct Frame {
    in_from: bool,
    /// The next name is a table's.
    expect: bool,
    /// `extract(year FROM x)` and its like: the FROM names no table.
    special: bool,
    ordered: bool,
}

struct Words<'a> {
    sql: &'a str,
    tokens: &'a [Token],
    /// For each opening parenthesis the index behind the closing one.
    behind: Vec<usize>,
}

/// For each `(` the index behind its `)`, or the end where there is none.
fn matching(tokens: &[Token]) -> Vec<usize> {
    let mut behind = vec![tokens.len(); tokens.len()];
    let mut open = Vec::new();
    for (i, token) in tokens.iter().enumerate() {
        match token.kind {
            Kind::Symbol('(') => open.push(i),
            Kind::Symbol(')') => {
                if let Some(begin) = open.pop() {
                    behind[begin] = i + 1;
                }
            }
            _ => {}
        }
    }
    behind
}

impl Words<'_> {
    fn symbol(&self, i: usize) -> Option<char> {
        match self.tokens.get(i)?.kind {
            Kind::Symbol(c) => Some(c),
            _ => None,
        }
    }

    fn word(&self, i: usize, word: &str) -> bool {
        self.tokens.get(i).is_some_and(|token| token.is_word(self.sql, word))
    }

    fn before(&self, i: usize, word: &str) -> bool {
        i > 0 && self.word(i - 1, word)
    }

    /// The index behind the closing parenthesis of the one at `open`.
    fn behind(&self, open: usize) -> usize {
        self.behind.get(open).copied().unwrap_or(self.tokens.len())
    }

    /// `name AS (`, `name AS MATERIALIZED (`, `name(a, b) AS (`
    fn ctes(&self, reads: &mut SqlReads) {
        if !self.tokens.iter().any(|token| token.is_word(self.sql, "with")) {
            return;
        }
        for (i, token) in self.tokens.iter().enumerate().filter(|(_, token)| token.is_name()) {
            let mut next = i + 1;
            if self.symbol(next) == Some('(') {
                next = self.behind(next);
            }
            if !self.word(next, "as") {
                continue;
            }
            next += 1;
            next += usize::from(self.word(next, "not"));
            next += usize::from(self.word(next, "materialized"));
            if self.symbol(next) == Some('(') {
                reads.ctes.extend(token.name(self.sql));
            }
        }
    }

    fn functions(&self, reads: &mut SqlReads) {
        for (i, token) in self.tokens.iter().enumerate().filter(|(_, token)| token.is_name()) {
            let Some(name) = token.name(self.sql) else { continue };
            let lower = name.to_lowercase();
            let span = token.start..token.end;
            let called = self.symbol(i + 1) == Some('(');
            let dotted = self.symbol(i + 1) == Some('.') || (i > 0 && self.symbol(i - 1) == Some('.'));
            let bare_clock = token.kind == Kind::Word && !dotted && !self.before(i, "as") && CLOCK_WORDS.contains(&lower.as_str());
            // `age(t)` counts from today, `age(t, u)` does not.
            let from_today = called && lower == "age" && reads.errors.len() < FINDINGS_MAX && !self.has_comma(i + 1);
            if bare_clock || from_today || (called && CLOCK.contains(&lower.as_str())) {
                let shown = if called { format!("{lower}()") } else { lower };
                reads.error(
                    span,
                    format!("`{shown}` reads the clock, so the same log would give another table tomorrow"),
                    "use `as_of()`: the time of --as-of, else the greatest event time that was consumed",
                );
            } else if called && CHANCE.contains(&lower.as_str()) {
                reads.error(
                    span,
                    format!("`{lower}()` differs from run to run"),
                    "derive the value from the data: `hash(…)`, `md5(…)`, `row_number() OVER (ORDER BY …)`",
                );
            } else if called && (OUTSIDE.contains(&lower.as_str()) || OUTSIDE_BEGIN.iter().any(|begin| lower.starts_with(begin))) {
                reads.error(
                    span,
                    format!("`{lower}()` reads what is not in the project"),
                    "declare a small file as [table.<name>] with `file = \"…\"` and read it by that name",
                );
            } else if called && DEEDS.contains(&lower.as_str()) {
                reads.error(span, format!("`{lower}()` does something, and a read model only reads"), "take the call out");
            } else if self.word(i, "tablesample") || (self.word(i, "sample") && self.before(i, "using")) {
                reads.error(span, "a sample differs from run to run", "choose rows by their data: `WHERE hash(id) % 100 = 0`");
            } else if called && ORDERED.contains(&lower.as_str()) {
                self.unordered_aggregate(i, &lower, reads);
            }
        }
    }

    /// True where the call whose parenthesis is at `open` has more than one argument.
    fn has_comma(&self, open: usize) -> bool {
        let mut depth = 0usize;
        for i in open..self.behind(open) {
            match self.symbol(i) {
                Some('(' | '[' | '{') => depth += 1,
                Some(')' | ']' | '}') => depth = depth.saturating_sub(1),
                Some(',') if depth == 1 => return true,
                _ => {}
            }
        }
        false
    }

    fn unordered_aggregate(&self, i: usize, name: &str, reads: &mut SqlReads) {
        // Enough to act on; more would only take time.
        if reads.unordered.len() >= FINDINGS_MAX {
            return;
        }
        let behind = self.behind(i + 1);
        let ordered = (i + 1..behind).any(|j| self.word(j, "order"));
        let within = self.word(behind, "within") || self.word(behind, "over");
        if !ordered && !within {
            reads.unordered.push(Finding {
                span: self.tokens[i].start..self.tokens[behind - 1].end,
                message: format!("the result of `{name}` depends on the order of rows"),
                help: match name {
                    "first" | "last" | "any_value" | "arbitrary" => "use `min`, `max` or `arg_max(value, order)`, or say the order inside: `first(x ORDER BY y)`; or set `reproducible = false`".to_string(),
                    "mode" => "values that are equally frequent are told apart by row order; say it inside: `mode(x ORDER BY x)`; or set `reproducible = false`".to_string(),
                    _ => format!("say the order inside: `{name}(x ORDER BY y)`; or set `reproducible = false`"),
                },
            });
        }
    }

    fn tables(&self, reads: &mut SqlReads) {
        let mut frames = vec![Frame::default()];
        let mut i = 0;
        while i < self.tokens.len() {
            let token = self.tokens[i];
            let Some(frame) = frames.last_mut() else { return };
            let keyword = if token.kind == Kind::Word { self.sql[token.start..token.end].to_lowercase() } else { String::new() };
            match (token.kind, keyword.as_str()) {
                (Kind::Symbol('('), _) => {
                    let special = i > 0 && ["extract", "substring", "trim", "overlay", "position"].iter().any(|word| self.before(i, word));
                    let expect = std::mem::take(&mut frame.expect);
                    frames.push(Frame { in_from: expect, expect, special, ordered: false });
                }
                (Kind::Symbol(')'), _) => {
                    frames.pop();
                    if frames.is_empty() {
                        return;
                    }
                }
                (Kind::Symbol(','), _) => frame.expect = frame.in_from,
                (Kind::Word, "from") => {
                    let distinct = self.before(i, "distinct") && i > 1 && (self.word(i - 2, "is") || self.word(i - 2, "not"));
                    if !distinct && !frame.special {
                        *frame = Frame { in_from: true, expect: true, ..std::mem::take(frame) };
                    }
                }
                (Kind::Word, "join") => *frame = Frame { in_from: true, expect: true, ..std::mem::take(frame) },
                (Kind::Word, "pivot" | "unpivot" | "table" | "summarize" | "describe") if self.symbol(i + 1).is_none() => {
                    frame.expect = true
                }
                (Kind::Word, "lateral" | "only" | "asof" | "positional") if frame.expect => {}
                (
                    Kind::Word,
                    "where" | "group" | "having" | "limit" | "window" | "qualify" | "union" | "except" | "intersect" | "select" | "values"
                    | "with" | "order",
                ) => {
                    frame.in_from = false;
                    frame.expect = false;
                    match keyword.as_str() {
                        "order" => frame.ordered = true,
                        "union" | "except" | "intersect" | "select" => frame.ordered = false,
                        "limit" if !frame.ordered => reads.unordered.push(Finding {
                            span: token.start..token.end,
                            message: "LIMIT without ORDER BY takes any rows".to_string(),
                            help: "add an ORDER BY that tells all rows apart; or set `reproducible = false`".to_string(),
                        }),
                        _ => {}
                    }
                }
                (Kind::Text, _) if frame.expect => {
                    frame.expect = false;
                    reads.error(
                        token.start..token.end,
                        "a read model cannot read files",
                        "declare a small file as [table.<name>] with `file = \"…\"` and read it by that name",
                    );
                }
                (Kind::Word | Kind::Quoted, _) if frame.expect => {
                    frame.expect = false;
                    i = self.table_name(i, reads);
                    continue;
                }
                _ => {}
            }
            i += 1;
        }
    }

    /// Reads a dotted name; returns the index behind it.
    fn table_name(&self, from: usize, reads: &mut SqlReads) -> usize {
        let mut parts: Vec<String> = self.tokens[from].name(self.sql).into_iter().collect();
        let mut last = from;
        while self.symbol(last + 1) == Some('.') && self.tokens.get(last + 2).is_some_and(Token::is_name) {
            last += 2;
            parts.extend(self.tokens[last].name(self.sql));
        }
        let span = self.tokens[from].start..self.tokens[last].end;
        if self.symbol(last + 1) != Some('(') {
            reads.tables.push(TableName { parts, span });
            return last + 1;
        }
        let name = parts.pop().unwrap_or_default();
        let known = TABLE_FUNCTIONS.iter().any(|known| known.eq_ignore_ascii_case(&name));
        let said = reads.errors.iter().any(|error| error.span.end == span.end);
        if !known && !said {
            reads.error(
                span,
                format!("`{name}()` is no function that a read model may read from"),
                format!("tables stand without parentheses; of functions there are {}", TABLE_FUNCTIONS.join(", ")),
            );
        }
        last + 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tables(sql: &str) -> Vec<String> {
        analyze(sql).tables.into_iter().map(|table| table.parts.join(".")).collect()
    }

    #[test]
    fn tables_are_found_where_tables_stand() {
        assert_eq!(
            tables("SELECT a.from_x FROM \"order\" o JOIN customer c USING (id), lines WHERE x IN (SELECT y FROM z)"),
            ["order", "customer", "lines", "z"]
        );
        assert_eq!(tables("FROM events.\"OrderPlaced\" SELECT count(*)"), ["events.OrderPlaced"]);
        assert_eq!(tables("SELECT extract(year FROM t.x), a IS DISTINCT FROM b FROM (a JOIN b ON a.x = b.x)"), ["a", "b"]);
        assert_eq!(tables("SELECT * FROM unnest([1]) u, range(3), t"), ["t"]);
        assert_eq!(tables("SELECT * EXCLUDE (x) FROM a ORDER BY a, b LIMIT 3"), ["a"]);
        assert_eq!(tables("SELECT 'FROM x' FROM a -- JOIN b"), ["a"]);
    }

    #[test]
    fn common_table_expressions_are_known() {
        let reads = analyze("WITH a AS (SELECT 1), b(x) AS MATERIALIZED (FROM t) SELECT * FROM a, b");
        assert_eq!(reads.ctes, ["a", "b"]);
    }

    #[test]
    fn the_clock_chance_and_files_are_errors() {
        for sql in [
            "SELECT now()",
            "SELECT current_date",
            "SELECT random()",
            "SELECT * FROM read_csv('x')",
            "SELECT * FROM 'x.parquet'",
            "DROP TABLE a",
            "SELECT 1; SELECT 2",
            "",
            "SELECT main.now()",
            "SELECT age(f(t, u)) FROM x",
            "FROM enable_logging(storage = 'file')",
            "FROM system.main.\"enable_profiling\"()",
            "SELECT write_log('x')",
            "FROM query\u{200b}('SELECT 1')",
            "SELECT 1 -- \r FROM read_text('x')",
            "SELECT 1FROM arrow_scan_dumb(1, 2, 3)",
            "FROM a JOIN made_up(1) ON true",
            "FROM json_execute_serialized_sql('{}')",
        ] {
            assert_eq!(analyze(sql).errors.len(), 1, "{sql}");
        }
        assert!(analyze("SELECT 1 AS current_date, t.now, age(a, b) FROM t;").errors.is_empty());
    }

    #[test]
    fn what_depends_on_row_order_is_found() {
        for sql in ["SELECT list(x) FROM t", "SELECT first(x) FROM t", "SELECT * FROM t LIMIT 1", "SELECT string_agg(x, ',') FROM t"] {
            assert_eq!(analyze(sql).unordered.len(), 1, "{sql}");
        }
        for sql in [
            "SELECT list(x ORDER BY y) FROM t",
            "SELECT first(x) OVER (ORDER BY y) FROM t",
            "SELECT * FROM t ORDER BY x NULLS FIRST LIMIT 1",
        ] {
            assert!(analyze(sql).unordered.is_empty(), "{sql}");
        }
    }
}
