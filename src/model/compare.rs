//! Two tables of rows against each other: which rows only one of them has, which columns differ in the others.
//!
//! Each comparison has a DuckDB of its own, which may open these tables' files and nothing else, and runs SQL
//! that foldline wrote.

use std::path::PathBuf;

use arrow::array::{Array, AsArray};
use serde::Serialize;

use super::duck::{Connection, Database, DuckError};
use super::errors::own_error;
use super::inputs::{Limits, TableInput};
use super::views::{create_view, literal, path_pattern, path_text, quote};
use crate::error::{Error, Kind, Result};
use crate::files;

/// Rows that differ that are shown; all are counted.
pub const DIFFERENCES_SHOWN_MAX: usize = 10;

/// Where the rows of one side lie.
#[derive(Debug, Clone)]
pub enum Rows {
    /// Files that `state::parquet` wrote.
    State(TableInput),
    /// A Parquet target: one file, or those of a dataset, whose folders' names are columns.
    Parquet(Vec<PathBuf>),
    /// A table of a DuckDB file.
    DuckDb { file: PathBuf, table: String },
}

impl Rows {
    /// A dataset without a file, which does not know its columns either.
    fn is_nothing(&self) -> bool {
        matches!(self, Rows::Parquet(files) if files.is_empty())
    }
}

/// Compares only rows whose key's hash modulo `of` is below `below`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sample {
    pub below: u64,
    pub of: u64,
}

/// What the comparison of two tables found.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Difference {
    pub published_rows: u64,
    pub fresh_rows: u64,
    pub only_published: u64,
    pub only_fresh: u64,
    /// Rows with the same key and other values; 0 where rows were compared as a whole.
    pub changed: u64,
    /// The columns that rows were matched by; empty: whole rows were compared.
    pub key: Vec<String>,
    /// Columns in which rows with the same key differ, with the number of rows.
    pub columns: Vec<(String, u64)>,
    /// Columns, with their types, that only one side has, or that have another type there.
    pub columns_only_published: Vec<String>,
    pub columns_only_fresh: Vec<String>,
    /// The first rows that differ, in the order of their keys.
    pub rows: Vec<RowDifference>,
}

/// A row that differs, all values as DuckDB's text of them.
#[derive(Debug, Clone, Serialize)]
pub struct RowDifference {
    pub is: Side,
    /// Empty where rows were compared as a whole.
    pub key: Vec<Cell>,
    pub values: Vec<CellDifference>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    OnlyPublished,
    OnlyFresh,
    Changed,
}

#[derive(Debug, Clone, Serialize)]
pub struct Cell {
    pub column: String,
    pub value: Option<String>,
}

#[derive(Debug, Clone, Serialize)]
pub struct CellDifference {
    pub column: String,
    pub published: Option<String>,
    pub fresh: Option<String>,
}

impl Difference {
    pub fn is_none(&self) -> bool {
        self.only_published == 0
            && self.only_fresh == 0
            && self.changed == 0
            && self.columns_only_published.is_empty()
            && self.columns_only_fresh.is_empty()
    }
}

/// Compares two tables. Rows are matched by the columns `key` where it names some and both sides have them, each
/// key once and without NULL; else whole rows are compared, each as often as it is there. Columns that both sides
/// have are compared by value and, where equal values may be written differently (0.0 and -0.0), by text.
pub fn compare(published: &Rows, fresh: &Rows, key: &[String], sample: Option<Sample>, limits: &Limits) -> Result<Difference> {
    let failed = |e: DuckError| own_error("the rows cannot be compared", &e);
    if published.is_nothing() && fresh.is_nothing() {
        return Ok(Difference::default());
    }
    let pair = Pair::open(published, fresh, limits)?;
    let (old, new) = (pair.columns("published").map_err(failed)?, pair.columns("fresh").map_err(failed)?);
    let mut difference = Difference::default();
    let mut common: Vec<Compared> = Vec::new();
    for (column, ty) in &old {
        match new.iter().find(|(c, _)| c.eq_ignore_ascii_case(column)) {
            Some((_, now)) => {
                if now != ty {
                    difference.columns_only_published.push(format!("{column} {ty}"));
                    difference.columns_only_fresh.push(format!("{column} {now}"));
                }
                common.push(Compared { name: column.clone(), as_text: now != ty || is_written_differently(ty) });
            }
            None => difference.columns_only_published.push(format!("{column} {ty}")),
        }
    }
    let is_new = |column: &&(String, String)| !old.iter().any(|(c, _)| c.eq_ignore_ascii_case(&column.0));
    difference.columns_only_fresh.extend(new.iter().filter(is_new).map(|(column, ty)| format!("{column} {ty}")));

    let key: Vec<usize> = key.iter().filter_map(|k| common.iter().position(|c| c.name.eq_ignore_ascii_case(k))).collect();
    let wanted = key.len();
    let keyed = wanted > 0 && pair.is_key("published", &common, &key)? && pair.is_key("fresh", &common, &key)?;
    let key = if keyed { key } else { Vec::new() };
    difference.key = key.iter().map(|k| common[*k].name.clone()).collect();
    pair.find(&common, &key, sample).map_err(failed)?;
    pair.describe(&common, &key, sample, &mut difference).map_err(failed)?;
    Ok(difference)
}

/// A column that both sides have.
struct Compared {
    name: String,
    as_text: bool,
}

/// Types with values that are equal to SQL and yet not the same: -0.0 and 0.0, one month and thirty days.
fn is_written_differently(ty: &str) -> bool {
    ["FLOAT", "DOUBLE", "INTERVAL"].iter().any(|part| ty.contains(part))
}

/// The views `published` and `fresh` in a database that is locked down.
struct Pair {
    connection: Connection,
    _database: Database,
}

impl Pair {
    fn open(published: &Rows, fresh: &Rows, limits: &Limits) -> Result<Pair> {
        let failed = |e: DuckError| Error { kind: Kind::Io, ..own_error("the rows cannot be read", &e) };
        files::create_dir_all(&limits.temp_dir)?;
        let (threads, memory) = (limits.threads.max(1).to_string(), format!("{}B", limits.memory_bytes.max(64 << 20)));
        let settings = [
            ("threads", threads.as_str()),
            ("memory_limit", &memory),
            ("temp_directory", path_text(&limits.temp_dir)?),
            ("autoinstall_known_extensions", "false"),
            ("autoload_known_extensions", "false"),
            ("default_null_order", "nulls_last"),
        ];
        let database = Database::open(None, &settings).map_err(failed)?;
        let connection = database.connect().map_err(failed)?;
        match connection.execute("SET GLOBAL TimeZone = 'UTC'") {
            Err(e) if !e.0.contains("TimeZone") => return Err(failed(e)),
            _ => {}
        }
        let mut allowed = Vec::new();
        let mut sides = [("published", published), ("fresh", fresh)];
        sides.sort_by_key(|(_, rows)| rows.is_nothing());
        for (name, rows) in sides {
            let files: Vec<&PathBuf> = match rows {
                Rows::State(table) => table.all_files().collect(),
                Rows::Parquet(files) => files.iter().collect(),
                Rows::DuckDb { .. } => Vec::new(),
            };
            for file in files {
                allowed.extend([literal(path_text(file)?), literal(&path_pattern(file)?)]);
            }
            let sql = match rows {
                Rows::State(table) => create_view(name, table)?,
                rows if rows.is_nothing() => format!("CREATE VIEW {name} AS SELECT * FROM {} WHERE false", sides[0].0),
                Rows::Parquet(files) => {
                    let files = files.iter().map(|f| Ok(literal(&path_pattern(f)?))).collect::<Result<Vec<_>>>()?.join(", ");
                    format!(
                        "CREATE VIEW {name} AS SELECT * FROM read_parquet([{files}], hive_partitioning = true, \
                         hive_types_autocast = false, filename = false)"
                    )
                }
                Rows::DuckDb { file, table } => {
                    let alias = format!("{name}_file");
                    connection.execute(&format!("ATTACH {} AS {alias} (READ_ONLY)", literal(path_text(file)?))).map_err(failed)?;
                    format!("CREATE VIEW {name} AS SELECT * FROM {alias}.main.{}", quote(table))
                }
            };
            connection.execute(&sql).map_err(failed)?;
        }
        connection.execute(&format!("SET allowed_paths = [{}]", allowed.join(", "))).map_err(failed)?;
        connection.execute("SET enable_external_access = false").map_err(failed)?;
        connection.execute("SET lock_configuration = true").map_err(failed)?;
        Ok(Pair { connection, _database: database })
    }

    fn texts(&self, sql: &str) -> std::result::Result<Vec<Vec<Option<String>>>, DuckError> {
        let mut out = Vec::new();
        for batch in self.connection.query(sql)? {
            let batch = batch?;
            let columns: Vec<_> = batch.columns().iter().map(|c| c.as_string_opt::<i32>()).collect();
            for row in 0..batch.num_rows() {
                out.push(columns.iter().map(|c| c.filter(|c| c.is_valid(row)).map(|c| c.value(row).to_string())).collect());
            }
        }
        Ok(out)
    }

    fn numbers(&self, sql: &str) -> std::result::Result<Vec<u64>, DuckError> {
        let row = self.texts(sql)?.into_iter().next().unwrap_or_default();
        Ok(row.into_iter().map(|n| n.and_then(|n| n.parse().ok()).unwrap_or(0)).collect())
    }

    fn columns(&self, view: &str) -> std::result::Result<Vec<(String, String)>, DuckError> {
        let rows = self.texts(&format!("SELECT column_name, column_type FROM (DESCRIBE {view})"))?;
        let name = |value: &Option<String>| value.clone().unwrap_or_default();
        Ok(rows.iter().filter_map(|row| Some((name(row.first()?), name(row.get(1)?)))).collect())
    }

    /// Whether the columns are a key of the view's rows.
    fn is_key(&self, view: &str, common: &[Compared], key: &[usize]) -> Result<bool> {
        let columns: Vec<String> = key.iter().map(|k| quote(&common[*k].name)).collect();
        let missing: Vec<String> = columns.iter().map(|c| format!("{c} IS NULL")).collect();
        let sql = format!(
            "SELECT CAST(count(*) AS VARCHAR) FROM (SELECT 1 FROM {view} GROUP BY {} HAVING count(*) > 1 OR ({}))",
            columns.join(", "),
            missing.iter().map(|m| format!("bool_or({m})")).collect::<Vec<_>>().join(" OR ")
        );
        let found = self.numbers(&sql).map_err(|e| own_error("the keys cannot be compared", &e))?;
        Ok(found.first() == Some(&0))
    }

    /// `SELECT c0, c1, … FROM view`, the sampled rows only.
    fn side(&self, view: &str, common: &[Compared], key: &[usize], sample: Option<Sample>) -> String {
        let whole = key.is_empty();
        let columns = common.iter().enumerate().map(|(i, c)| match (whole, c.as_text) {
            (true, true) => format!("CAST({} AS VARCHAR) AS c{i}", quote(&c.name)),
            _ => format!("{} AS c{i}", quote(&c.name)),
        });
        let columns: Vec<String> = columns.collect();
        let rows = format!("SELECT {} FROM {view}", columns.join(", "));
        format!("SELECT * FROM ({rows}){}", self.sampled(common, key, sample))
    }

    /// ` WHERE …` over columns `c0`, `c1`, …
    fn sampled(&self, common: &[Compared], key: &[usize], sample: Option<Sample>) -> String {
        let Some(sample) = sample else { return String::new() };
        let all: Vec<usize> = (0..common.len()).collect();
        let hashed = if key.is_empty() { &all } else { key };
        let hashed: Vec<String> = hashed.iter().map(|c| format!("CAST(c{c} AS VARCHAR)")).collect();
        format!(" WHERE hash({}) % {} < {}", hashed.join(", "), sample.of, sample.below)
    }

    /// Makes the table `differing`: what it is, then each column's text on both sides and whether it differs.
    fn find(&self, common: &[Compared], key: &[usize], sample: Option<Sample>) -> std::result::Result<(), DuckError> {
        let (old, new) = (self.side("published", common, key, sample), self.side("fresh", common, key, sample));
        let columns = 0..common.len();
        let sql = if common.is_empty() {
            "SELECT 'changed' AS side WHERE false".to_string()
        } else if key.is_empty() {
            let shown = |here: &str, there: &str| {
                let cells = columns
                    .clone()
                    .map(|i| format!("CAST(c{i} AS VARCHAR) AS {here}{i}, CAST(NULL AS VARCHAR) AS {there}{i}, false AS d{i}"));
                cells.collect::<Vec<_>>().join(", ")
            };
            format!(
                "SELECT 'published' AS side, {} FROM ({old} EXCEPT ALL {new}) UNION ALL BY NAME \
                 SELECT 'fresh' AS side, {} FROM ({new} EXCEPT ALL {old})",
                shown("p", "f"),
                shown("f", "p")
            )
        } else {
            let on: Vec<String> = key.iter().map(|k| format!("p.c{k} = f.c{k}")).collect();
            let differs = |i: usize| {
                let texts = format!("CAST(p.c{i} AS VARCHAR) IS DISTINCT FROM CAST(f.c{i} AS VARCHAR)");
                if common[i].as_text { texts } else { format!("p.c{i} IS DISTINCT FROM f.c{i}") }
            };
            let cells = columns
                .clone()
                .map(|i| format!("CAST(p.c{i} AS VARCHAR) AS p{i}, CAST(f.c{i} AS VARCHAR) AS f{i}, ({}) AS d{i}", differs(i)));
            let any: Vec<String> = columns.clone().map(differs).collect();
            format!(
                "SELECT CASE WHEN f.here IS NULL THEN 'published' WHEN p.here IS NULL THEN 'fresh' ELSE 'changed' END AS side, {} \
                 FROM (SELECT *, 1 AS here FROM ({old})) p FULL JOIN (SELECT *, 1 AS here FROM ({new})) f ON {} \
                 WHERE p.here IS NULL OR f.here IS NULL OR {}",
                cells.collect::<Vec<_>>().join(", "),
                on.join(" AND "),
                any.join(" OR ")
            )
        };
        self.connection.execute(&format!("CREATE TEMP TABLE differing AS {sql}"))
    }

    /// Counts and shows what [`Pair::find`] found.
    fn describe(
        &self,
        common: &[Compared],
        key: &[usize],
        sample: Option<Sample>,
        out: &mut Difference,
    ) -> std::result::Result<(), DuckError> {
        let rows = |view: &str| {
            let rows = if common.is_empty() { format!("SELECT 1 FROM {view}") } else { self.side(view, common, key, sample) };
            self.numbers(&format!("SELECT CAST(count(*) AS VARCHAR) FROM ({rows})"))
        };
        out.published_rows = rows("published")?.first().copied().unwrap_or(0);
        out.fresh_rows = rows("fresh")?.first().copied().unwrap_or(0);
        let mut counts: Vec<String> = ["published", "fresh", "changed"].iter().map(|side| format!("side = '{side}'")).collect();
        counts.extend((0..common.len()).map(|i| format!("side = 'changed' AND d{i}")));
        let counts: Vec<String> = counts.iter().map(|c| format!("CAST(count(*) FILTER (WHERE {c}) AS VARCHAR)")).collect();
        let counts = self.numbers(&format!("SELECT {} FROM differing", counts.join(", ")))?;
        let count = |at: usize| counts.get(at).copied().unwrap_or(0);
        (out.only_published, out.only_fresh, out.changed) = (count(0), count(1), count(2));
        out.columns = common.iter().enumerate().map(|(i, c)| (c.name.clone(), count(3 + i))).filter(|(_, n)| *n > 0).collect();
        if common.is_empty() {
            return Ok(());
        }
        let all: Vec<usize> = (0..common.len()).collect();
        let order = if key.is_empty() { &all } else { key };
        let order: Vec<String> = order.iter().map(|k| format!("coalesce(p{k}, f{k})")).collect();
        let cells: Vec<String> = all.iter().map(|i| format!("p{i}, f{i}, CAST(d{i} AS VARCHAR)")).collect();
        let sql = format!(
            "SELECT side, {} FROM differing ORDER BY {}, side DESC LIMIT {DIFFERENCES_SHOWN_MAX}",
            cells.join(", "),
            order.join(", ")
        );
        for row in self.texts(&sql)? {
            let is = match row.first() {
                Some(Some(side)) if side == "published" => Side::OnlyPublished,
                Some(Some(side)) if side == "fresh" => Side::OnlyFresh,
                _ => Side::Changed,
            };
            let cell = |i: usize| row.get(1 + i).cloned().flatten();
            let keys = key.iter().map(|k| Cell { column: common[*k].name.clone(), value: cell(3 * k).or_else(|| cell(3 * k + 1)) });
            let shown = all.iter().filter(|i| !key.contains(i) && (is != Side::Changed || cell(3 * **i + 2).as_deref() == Some("true")));
            let values = shown.map(|i| CellDifference { column: common[*i].name.clone(), published: cell(3 * i), fresh: cell(3 * i + 1) });
            out.rows.push(RowDifference { is, key: keys.collect(), values: values.collect() });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sql::{Column, Type, Value};
    use crate::state::{Frame, parquet};

    /// Compares two tables of these columns, the key column `k` first.
    fn compared(types: &[Type], published: &[Vec<Value>], fresh: &[Vec<Value>], sample: Option<Sample>) -> Difference {
        let folder = tempfile::tempdir().unwrap();
        let schema: Vec<(String, Type)> = types.iter().enumerate().map(|(i, ty)| (["k", "v", "w"][i].to_string(), ty.clone())).collect();
        let table = |name: &str, rows: &[Vec<Value>]| {
            let mut columns: Vec<Column> = types.iter().map(|ty| Column::new(ty.clone())).collect();
            for row in rows {
                columns.iter_mut().zip(row).for_each(|(column, value)| column.push(value.clone()));
            }
            let path = folder.path().join(format!("{name} [x] 'é'.parquet"));
            let files = if rows.is_empty() { Vec::new() } else { vec![path.clone()] };
            if !rows.is_empty() {
                parquet::write(&path, &Frame { names: schema.iter().map(|(n, _)| n.clone()).collect(), columns }).unwrap();
            }
            Rows::State(TableInput { name: name.to_string(), columns: schema.clone(), files, ..TableInput::default() })
        };
        let limits = Limits { threads: 1, memory_bytes: 1 << 28, temp_dir: folder.path().join("spill") };
        compare(&table("a", published), &table("b", fresh), &["k".to_string()], sample, &limits).unwrap()
    }

    fn int(value: i128) -> Value {
        Value::Int(value)
    }

    fn counts(difference: &Difference) -> (u64, u64, u64) {
        (difference.only_published, difference.only_fresh, difference.changed)
    }

    #[test]
    fn rows_are_matched_by_key_and_nulls_are_values() {
        let old = [vec![int(1), Value::Null], vec![int(2), int(5)], vec![int(3), int(6)], vec![int(4), Value::Null]];
        let new = [vec![int(4), Value::Null], vec![int(1), int(0)], vec![int(2), int(5)], vec![int(9), int(6)]];
        let found = compared(&[Type::BigInt, Type::BigInt], &old, &new, None);
        assert_eq!(counts(&found), (1, 1, 1));
        assert_eq!(found.columns, [("v".to_string(), 1)]);
        assert_eq!(found.key, ["k"]);
        let shown: Vec<_> = found.rows.iter().map(|row| (row.is, row.key[0].value.as_deref().unwrap())).collect();
        assert_eq!(shown, [(Side::Changed, "1"), (Side::OnlyPublished, "3"), (Side::OnlyFresh, "9")]);
        assert_eq!(found.rows[0].values[0].published, None);
        assert_eq!(found.rows[0].values[0].fresh.as_deref(), Some("0"));
    }

    #[test]
    fn equal_values_that_are_written_differently_differ() {
        let double = |k: i128, x: f64| vec![int(k), Value::Double(x)];
        let old = [double(1, 0.0), double(2, f64::NAN), double(3, 0.1)];
        let same = compared(&[Type::BigInt, Type::Double], &old, &old, None);
        assert!(same.is_none());
        let new = [double(1, -0.0), double(2, f64::NAN), double(3, 0.1 + f64::EPSILON)];
        assert_eq!(counts(&compared(&[Type::BigInt, Type::Double], &old, &new, None)), (0, 0, 2));
    }

    #[test]
    fn without_a_key_each_row_counts_as_often_as_it_is_there() {
        let row = |k: i128, v: &str| vec![int(k), Value::text(v)];
        let old = [row(1, "ä"), row(1, "ä"), row(2, "b")];
        let new = [row(1, "ä"), row(2, "b"), row(2, "b"), row(2, "c")];
        let found = compared(&[Type::BigInt, Type::Varchar], &old, &new, None);
        assert_eq!((counts(&found), found.key.len()), ((1, 2, 0), 0));
        assert_eq!((found.published_rows, found.fresh_rows), (3, 4));
        // a key that is NULL is none
        let old = [vec![Value::Null, Value::text("a")]];
        assert!(compared(&[Type::BigInt, Type::Varchar], &old, &old, None).is_none());
        assert_eq!(counts(&compared(&[Type::BigInt, Type::Varchar], &old, &[], None)), (1, 0, 0));
        assert!(compared(&[Type::BigInt, Type::Varchar], &[], &[], None).is_none());
    }

    #[test]
    fn samples_are_of_keys_and_add_up() {
        let rows = |change: i128| (0..400).map(|k| vec![int(k), int(k + change)]).collect::<Vec<_>>();
        let (old, new) = (rows(0), rows(1));
        let types = [Type::BigInt, Type::BigInt];
        let part = compared(&types, &old, &new, Some(Sample { below: 1, of: 4 }));
        assert_eq!((part.published_rows, counts(&part)), (part.fresh_rows, (0, 0, part.published_rows)));
        assert!((50..150).contains(&part.published_rows), "{}", part.published_rows);
        assert_eq!(part.rows.len(), DIFFERENCES_SHOWN_MAX);
        assert_eq!(compared(&types, &old, &new, Some(Sample { below: 4, of: 4 })).changed, 400);
    }
}
