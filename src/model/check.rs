//! Checks of read models before they are published, and the binding of a whole project for `check`.

use super::duck::DuckError;
use super::engine::{Engine, first_number};
use super::errors::sql_error;
use super::inputs::{Inputs, Limits};
use super::order::{sort_key, trimmed};
use super::views::quote;
use crate::error::{Error, Kind, Result};
use crate::project::{Check, Project, ReadModel, Target};

/// Rows of a failed check that are shown.
const SAMPLE_ROWS: usize = 5;

/// A check that found rows.
#[derive(Debug, Clone)]
pub struct CheckFailure {
    /// `unique = ["order_id"]`, `not_null = ["name"]`, `sql = "…"`
    pub what: String,
    /// The read model's or the check's file and line.
    pub place: String,
    /// Rows (for `unique`: keys) that fail.
    pub count: u64,
    pub columns: Vec<String>,
    /// The first failing rows, values as text.
    pub sample: Vec<Vec<Option<String>>>,
}

impl Engine {
    /// Runs the checks of a defined read model; empty: all passed.
    pub fn run_checks(&self, model: &ReadModel) -> Result<Vec<CheckFailure>> {
        let mut failures = Vec::new();
        for check in &model.checks {
            let (what, place, sql) = self.check_sql(model, check)?;
            let failed = |e: DuckError| sql_error(&format!("read model `{}`, check {what}", model.name), &place, &e);
            let count = first_number(&self.texts(&format!("SELECT CAST(count(*) AS VARCHAR) FROM ({sql}\n)")).map_err(failed)?);
            if count == 0 {
                continue;
            }
            let columns = self.texts(&format!("SELECT column_name FROM (DESCRIBE {sql}\n)")).map_err(failed)?;
            let columns = columns.into_iter().filter_map(|mut row| row.pop().flatten()).collect();
            let rows = format!("SELECT * FROM ({sql}\n) ORDER BY ALL LIMIT {SAMPLE_ROWS}");
            let sample = self.texts(&format!("SELECT CAST(COLUMNS(*) AS VARCHAR) FROM ({rows})")).map_err(failed)?;
            failures.push(CheckFailure { what, place, count, columns, sample });
        }
        Ok(failures)
    }

    /// What a check is called, where it stands, and the query whose rows are its failures.
    fn check_sql(&self, model: &ReadModel, check: &Check) -> Result<(String, String, String)> {
        let table = quote(&model.name);
        let place = model.place.clone();
        Ok(match check {
            Check::Unique(names) => {
                let columns = self.check_columns(model, names)?;
                let keys = columns.join(", ");
                let known: Vec<String> = columns.iter().map(|c| format!("{c} IS NOT NULL")).collect();
                let sql = format!(
                    "SELECT {keys}, count(*) AS rows FROM {table} WHERE {} GROUP BY {keys} HAVING count(*) > 1",
                    known.join(" AND ")
                );
                (format!("unique = {names:?}"), place, sql)
            }
            Check::NotNull(names) => {
                let columns = self.check_columns(model, names)?;
                let missing: Vec<String> = columns.iter().map(|c| format!("{c} IS NULL")).collect();
                (format!("not_null = {names:?}"), place, format!("SELECT * FROM {table} WHERE {}", missing.join(" OR ")))
            }
            Check::Sql { sql, place } => {
                self.bind_select(&format!("read model `{}`, check", model.name), place, sql)?;
                let shown: String = sql.split_whitespace().collect::<Vec<_>>().join(" ");
                (format!("sql = {shown:?}"), place.clone(), trimmed(sql))
            }
        })
    }

    fn check_columns(&self, model: &ReadModel, names: &[String]) -> Result<Vec<String>> {
        let columns = self.columns(model)?;
        if names.is_empty() {
            return Err(Error::new(Kind::Project, format!("a check of the read model `{}` names no column", model.name)).at(&model.place));
        }
        names
            .iter()
            .map(|name| match columns.iter().find(|(c, _)| c.eq_ignore_ascii_case(name)) {
                Some((column, _)) => Ok(quote(column)),
                None => {
                    let all: Vec<&str> = columns.iter().map(|(c, _)| c.as_str()).collect();
                    Err(Error::new(Kind::Project, format!("a check names `{name}`, which the read model `{}` does not have", model.name))
                        .at(&model.place)
                        .with_help(format!("its columns are {}", all.join(", "))))
                }
            })
            .collect()
    }

    /// Binds everything of a defined read model that names its columns.
    fn bind_uses(&self, model: &ReadModel, errors: &mut Vec<Error>) -> Result<()> {
        for check in &model.checks {
            errors.extend(self.check_sql(model, check).err());
        }
        let columns = self.columns(model)?;
        for target in &model.targets {
            let (sort_by, partition_by): (&[String], &[String]) = match target {
                Target::Parquet { sort_by, partition_by, .. } => (sort_by, partition_by),
                Target::DuckDb { sort_by, .. } => (sort_by, &[]),
            };
            errors.extend(sort_by.iter().filter_map(|entry| sort_key(entry, columns, "t").err()).map(|e| e.at(&model.place)));
            for name in partition_by.iter().filter(|name| !columns.iter().any(|(c, _)| c.eq_ignore_ascii_case(name))) {
                let message = format!("partition_by = {name:?}: the read model `{}` has no column `{name}`", model.name);
                errors.push(Error::new(Kind::Project, message).at(&model.place));
            }
        }
        Ok(())
    }
}

/// Binds the SQL of every read model and check of a project against typed, empty tables. Gives every error;
/// a read model that reads a broken one is passed over. `Err`: the engine itself failed.
pub fn check_bind(project: &Project, limits: &Limits) -> Result<Vec<Error>> {
    let mut engine = Engine::open(&Inputs::typed_empty(project), limits)?;
    let mut errors = Vec::new();
    let mut broken: Vec<String> = Vec::new();
    for model in &project.read_models {
        if model.reads.read_models.iter().any(|r| broken.iter().any(|b| b.eq_ignore_ascii_case(r))) {
            broken.push(model.name.clone());
            continue;
        }
        match engine.define(model, false) {
            Ok(()) => engine.bind_uses(model, &mut errors)?,
            Err(e) if matches!(e.kind, Kind::Interrupted | Kind::Internal) => return Err(e),
            Err(e) => {
                broken.push(model.name.clone());
                errors.push(e);
            }
        }
    }
    Ok(errors)
}
