//! The engine: set up, locked down, then the project's SQL.

use std::collections::HashMap;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::compute::concat_batches;
use arrow::datatypes::SchemaRef;

use super::duck::{Connection, Database, DuckError, Interrupt, OwnedRows, StatementKind};
use super::errors::{own_error, sql_error};
use super::inputs::{Inputs, Limits};
use super::order::{own_order, sort_key, trimmed};
use super::types::publishable;
use super::views::{create_view, literal, path_pattern, path_text, quote};
use crate::error::{Error, Kind, Result};
use crate::files;
use crate::project::ReadModel;

/// Rows of a batch that [`Engine::rows`] gives (the last is shorter). It divides the row groups of Parquet
/// targets, whose bytes so never depend on how DuckDB cuts its results.
pub(crate) const BATCH_ROWS: usize = 1 << 16;

/// One DuckDB, in memory, over the files of one generation.
pub struct Engine {
    /// Ends before the database.
    connection: Connection,
    database: Database,
    models: HashMap<String, Defined>,
}

/// A row whose values are DuckDB's text of them; `None` is NULL.
pub type TextRow = Vec<Option<String>>;

/// A read model that the engine knows.
struct Defined {
    columns: Vec<(String, String)>,
    /// Its rows come in the order of its own ORDER BY, all columns behind it.
    ordered: bool,
}

impl Engine {
    /// Opens an engine over exactly these inputs and locks it down: no other file can be read or written,
    /// no extension loaded, no setting changed.
    pub fn open(inputs: &Inputs, limits: &Limits) -> Result<Engine> {
        let own = |e: DuckError| own_error("the SQL engine cannot be set up", &e);
        files::create_dir_all(&limits.temp_dir)?;
        let threads = limits.threads.max(1).to_string();
        let memory = format!("{}B", limits.memory_bytes.max(64 << 20));
        let database = Database::open(
            None,
            &[
                ("threads", &threads),
                ("memory_limit", &memory),
                ("temp_directory", path_text(&limits.temp_dir)?),
                ("autoinstall_known_extensions", "false"),
                ("autoload_known_extensions", "false"),
                ("preserve_insertion_order", "true"),
                ("default_null_order", "nulls_last"),
                ("default_order", "asc"),
            ],
        )
        .map_err(own)?;
        let connection = database.connect().map_err(own)?;
        let engine = Engine { connection, database, models: HashMap::new() };
        // A DuckDB without ICU knows no time zones and takes every time as UTC.
        match engine.connection.execute("SET GLOBAL TimeZone = 'UTC'") {
            Err(e) if !e.0.contains("TimeZone") => return Err(own(e)),
            _ => {}
        }
        let mut allowed: Vec<String> = Vec::new();
        for aggregate in &inputs.aggregates {
            engine.table(&quote(&aggregate.table.name), &aggregate.table, &mut allowed)?;
        }
        engine.run("CREATE SCHEMA IF NOT EXISTS events")?;
        for table in &inputs.event_tables {
            engine.table(&format!("events.{}", quote(&table.name)), table, &mut allowed)?;
        }
        for aggregate in inputs.aggregates.iter().filter(|a| !a.rows.is_empty()) {
            let schema = quote(&aggregate.table.name);
            engine.run(&format!("CREATE SCHEMA IF NOT EXISTS {schema}"))?;
            for rows in &aggregate.rows {
                engine.table(&format!("{schema}.{}", quote(&rows.name)), rows, &mut allowed)?;
            }
        }
        for (name, path) in &inputs.lookups {
            drop(files::open(path).map_err(|e| e.at(format!("[table.{name}]")))?);
            let file = literal(&path_pattern(path)?);
            let sql = format!("CREATE TABLE {} AS SELECT * FROM read_csv([{file}], header = true, sample_size = -1)", quote(name));
            engine.connection.execute(&sql).map_err(|e| {
                let mut error = own_error(&format!("the table `{name}` cannot be loaded"), &e).at(path.display().to_string());
                error.kind = Kind::BadData;
                error
            })?;
        }
        let as_of = inputs.as_of.map_or("NULL::TIMESTAMP".to_string(), |micros| format!("make_timestamp({micros}::BIGINT)"));
        engine.run(&format!("CREATE MACRO as_of() AS {as_of}"))?;
        for file in &inputs.attach {
            engine.run(&format!("ATTACH {} AS {}", literal(path_text(&file.path)?), quote(&file.alias)))?;
        }
        allowed.sort();
        allowed.dedup();
        engine.run(&format!("SET allowed_paths = [{}]", allowed.join(", ")))?;
        engine.run("SET enable_external_access = false")?;
        engine.run("SET lock_configuration = true")?;
        Ok(engine)
    }

    fn table(&self, name: &str, table: &super::TableInput, allowed: &mut Vec<String>) -> Result<()> {
        for file in table.all_files() {
            allowed.push(literal(path_text(file)?));
            allowed.push(literal(&path_pattern(file)?));
        }
        let sql = create_view(name, table)?;
        self.connection.execute(&sql).map_err(|e| own_error(&format!("the table {name} cannot be set up"), &e))
    }

    fn run(&self, sql: &str) -> Result<()> {
        self.connection.execute(sql).map_err(|e| own_error("the SQL engine cannot be set up", &e))
    }

    /// Stops whatever runs, from any thread.
    pub fn interrupt_handle(&self) -> Interrupt {
        self.database.interrupt_handle()
    }

    /// Defines read models in the given order (each behind those that it reads). `selected` ones are to be
    /// checked and published; a model is computed once and kept where that is done more than once.
    pub fn define_all(&mut self, models: &[&ReadModel], selected: &[&str]) -> Result<()> {
        for model in models {
            let chosen = selected.iter().any(|s| s.eq_ignore_ascii_case(&model.name));
            let uses = if chosen { model.checks.len() + model.targets.len() } else { 0 };
            let readers = models.iter().filter(|m| m.reads.read_models.iter().any(|r| r.eq_ignore_ascii_case(&model.name))).count();
            self.define(model, uses + readers > 1)?;
        }
        Ok(())
    }

    /// Makes a read model known: as a view, or computed once and kept (`materialize`).
    pub fn define(&mut self, model: &ReadModel, materialize: bool) -> Result<()> {
        let failed = |e: DuckError| sql_error(&format!("read model `{}`", model.name), &model.place, &e);
        self.bind_select(&format!("read model `{}`", model.name), &model.place, &model.sql)?;
        let name = quote(&model.name);
        let own = own_order(&model.sql);
        let sql = trimmed(&model.sql);
        self.connection.execute(&format!("CREATE VIEW {name} AS {sql}")).map_err(failed)?;
        let columns = self.describe(&name).map_err(failed)?;
        let sql = match &own {
            Some(own) => own.extended(columns.len()),
            None => sql,
        };
        if materialize {
            self.connection.execute(&format!("DROP VIEW {name}")).map_err(failed)?;
            self.connection.execute(&format!("CREATE TABLE {name} AS {sql}\n")).map_err(failed)?;
        } else if own.is_some() {
            self.connection.execute(&format!("CREATE OR REPLACE VIEW {name} AS {sql}\n")).map_err(failed)?;
        }
        self.models.insert(model.name.to_ascii_lowercase(), Defined { columns, ordered: own.is_some() });
        Ok(())
    }

    /// Binds a text that must be one SELECT, without running it.
    pub(super) fn bind_select(&self, what: &str, place: &str, sql: &str) -> Result<()> {
        match self.connection.bind(sql).map_err(|e| sql_error(what, place, &e))? {
            StatementKind::Select => Ok(()),
            StatementKind::Other => {
                Err(Error::new(Kind::Project, format!("{what}: this is not a SELECT")).at(place).with_help("write one SELECT"))
            }
            StatementKind::NotOne(0) => Err(Error::new(Kind::Project, format!("{what}: there is no SQL")).at(place)),
            StatementKind::NotOne(n) => {
                Err(Error::new(Kind::Project, format!("{what}: {n} statements")).at(place).with_help("write one SELECT"))
            }
        }
    }

    fn describe(&self, name: &str) -> std::result::Result<Vec<(String, String)>, DuckError> {
        let rows = self.texts(&format!("SELECT column_name, column_type FROM (DESCRIBE {name})"))?;
        Ok(rows.into_iter().map(|row| (row[0].clone().unwrap_or_default(), row[1].clone().unwrap_or_default())).collect())
    }

    /// The rows of a query whose columns are all VARCHAR.
    pub(super) fn texts(&self, sql: &str) -> std::result::Result<Vec<Vec<Option<String>>>, DuckError> {
        let mut out = Vec::new();
        for batch in self.connection.query(sql)? {
            let batch = batch?;
            let columns: Vec<_> = batch.columns().iter().map(|c| c.as_string_opt::<i32>()).collect();
            for row in 0..batch.num_rows() {
                let value = |c: &Option<&arrow::array::StringArray>| c.filter(|c| c.is_valid(row)).map(|c| c.value(row).to_string());
                out.push(columns.iter().map(value).collect());
            }
        }
        Ok(out)
    }

    fn defined(&self, model: &str) -> Result<&Defined> {
        self.models
            .get(&model.to_ascii_lowercase())
            .ok_or_else(|| Error::internal(format!("the read model `{model}` is used before it is defined")))
    }

    /// The names of a defined read model's columns, and DuckDB's types of them.
    pub fn columns(&self, model: &ReadModel) -> Result<&[(String, String)]> {
        Ok(&self.defined(&model.name)?.columns)
    }

    /// The columns and the rows of anything that has a name (a read model, an aggregate), each value as
    /// DuckDB's text of it, in a total order. At most `limit` rows.
    pub fn text_rows(&self, name: &str, limit: Option<usize>) -> Result<(Vec<String>, Vec<TextRow>)> {
        let failed = |e: DuckError| own_error(&format!("the rows of `{name}` cannot be read"), &e);
        let columns = self.describe(&quote(name)).map_err(failed)?;
        let shown: Vec<String> = columns.iter().map(|(c, _)| format!("CAST({} AS VARCHAR)", quote(c))).collect();
        let limit = limit.map_or(String::new(), |n| format!(" LIMIT {n}"));
        let order = match self.models.get(&name.to_ascii_lowercase()) {
            Some(defined) if defined.ordered => String::new(),
            _ => " ORDER BY ALL".to_string(),
        };
        let inner = format!("SELECT * FROM {}{order}{limit}", quote(name));
        let rows = self.texts(&format!("SELECT {} FROM ({inner})", shown.join(", "))).map_err(failed)?;
        Ok((columns.into_iter().map(|(name, _)| name).collect(), rows))
    }

    /// How many rows a defined read model has.
    pub fn count(&self, model: &ReadModel) -> Result<u64> {
        let failed = |e: DuckError| sql_error(&format!("read model `{}`", model.name), &model.place, &e);
        let sql = format!("SELECT CAST(count(*) AS VARCHAR) FROM {}", quote(&model.name));
        Ok(first_number(&self.texts(&sql).map_err(failed)?))
    }

    /// Goes through the rows of a defined read model in the order of its Parquet target, each value as DuckDB's text
    /// of it (`None`: NULL); at most `limit` rows. Stops at the first error of `each`.
    pub fn each_row(&self, model: &ReadModel, limit: Option<usize>, mut each: impl FnMut(Vec<Option<&str>>) -> Result<()>) -> Result<()> {
        let failed = |e: DuckError| sql_error(&format!("read model `{}`", model.name), &model.place, &e);
        let columns = self.columns(model)?;
        let texts: Vec<String> = columns.iter().map(|(column, _)| format!("CAST({} AS VARCHAR)", quote(column))).collect();
        let limit = limit.map_or(String::new(), |n| format!(" LIMIT {n}"));
        let inner = format!("SELECT * FROM {}{}{limit}", quote(&model.name), self.order(model, &[], &[])?);
        let rows = self.connection.query(&format!("SELECT {} FROM ({inner})", texts.join(", "))).map_err(failed)?;
        for batch in rows {
            let batch = batch.map_err(failed)?;
            let columns: Vec<_> = batch.columns().iter().map(|c| c.as_string_opt::<i32>()).collect();
            for row in 0..batch.num_rows() {
                each(columns.iter().map(|c| c.filter(|c| c.is_valid(row)).map(|c| c.value(row))).collect())?;
            }
        }
        Ok(())
    }

    /// ` ORDER BY …`: by `sort_by`, else the query's own order (then nothing needs to be said), and then by
    /// all columns. `first` goes before everything.
    fn order(&self, model: &ReadModel, sort_by: &[String], first: &[String]) -> Result<String> {
        let defined = self.defined(&model.name)?;
        if defined.ordered && sort_by.is_empty() && first.is_empty() {
            return Ok(String::new());
        }
        let table = quote(&model.name);
        let mut keys = first.to_vec();
        for entry in sort_by {
            keys.push(sort_key(entry, &defined.columns, &table).map_err(|e| e.at(model.place.clone()))?);
        }
        keys.extend(defined.columns.iter().map(|(c, _)| format!("{table}.{}", quote(c))));
        // Values that are equal to SQL and yet not the same: -0.0 and 0.0, one month and thirty days.
        keys.extend(defined.columns.iter().filter_map(|(c, ty)| match ty.as_str() {
            "FLOAT" | "DOUBLE" => Some(format!("signbit({table}.{})", quote(c))),
            "INTERVAL" => Some(format!("CAST({table}.{} AS VARCHAR)", quote(c))),
            _ => None,
        }));
        Ok(format!(" ORDER BY {}", keys.join(", ")))
    }

    /// The rows of a defined read model for a Parquet target, in a total order: `sort_by`, else the query's
    /// own ORDER BY, then all columns. Types that Parquet lacks are converted. With `partition_by` these
    /// columns come first, as text (`_partition_0`, …), order the rows before all else, and are left out
    /// of the rest.
    pub fn rows(&self, model: &ReadModel, sort_by: &[String], partition_by: &[String]) -> Result<ModelRows> {
        let failed = |e: DuckError| sql_error(&format!("read model `{}`", model.name), &model.place, &e);
        let defined = self.defined(&model.name)?;
        let table = quote(&model.name);
        let mut selected = Vec::new();
        let mut first = Vec::new();
        for (i, name) in partition_by.iter().enumerate() {
            let column = defined.columns.iter().find(|(c, _)| c.eq_ignore_ascii_case(name)).map(|(c, _)| quote(c));
            let column = column.ok_or_else(|| {
                Error::new(Kind::Project, format!("partition_by = {name:?}: the read model `{}` has no column `{name}`", model.name))
                    .at(model.place.clone())
            })?;
            first.push(format!("CAST({table}.{column} AS VARCHAR) NULLS FIRST"));
            selected.push(format!("CAST({table}.{column} AS VARCHAR) AS _partition_{i}"));
        }
        for (column, ty) in &defined.columns {
            if partition_by.iter().any(|p| p.eq_ignore_ascii_case(column)) {
                continue;
            }
            let (name, value) = (quote(column), format!("{table}.{}", quote(column)));
            selected.push(match publishable(ty) {
                Some(ty) => format!("CAST({value} AS {ty}) AS {name}"),
                None => value,
            });
        }
        if selected.len() == partition_by.len() {
            return Err(Error::new(Kind::Project, format!("partition_by names every column of the read model `{}`", model.name))
                .at(model.place.clone()));
        }
        let order = self.order(model, sort_by, &first)?;
        let connection = self.database.connect().map_err(failed)?;
        let rows = connection.into_query(&format!("SELECT {} FROM {table}{order}", selected.join(", "))).map_err(failed)?;
        Ok(ModelRows::new(rows, model))
    }

    /// Writes a defined read model as a table of an attached DuckDB file, rows in the order of [`Engine::rows`].
    /// Gives the number of rows.
    pub fn create_table(&self, alias: &str, model: &ReadModel, sort_by: &[String]) -> Result<u64> {
        let failed = |e: DuckError| sql_error(&format!("read model `{}`", model.name), &model.place, &e);
        let (table, file) = (quote(&model.name), quote(alias));
        let order = self.order(model, sort_by, &[])?;
        self.connection.execute(&format!("CREATE TABLE {file}.main.{table} AS SELECT * FROM {table}{order}")).map_err(failed)?;
        let count = self.texts(&format!("SELECT CAST(count(*) AS VARCHAR) FROM {file}.main.{table}")).map_err(failed)?;
        Ok(first_number(&count))
    }

    /// Writes everything of an attached DuckDB file to it and lets it go.
    pub fn detach(&self, alias: &str) -> Result<()> {
        let alias = quote(alias);
        let failed = |e: DuckError| own_error("the DuckDB file cannot be finished", &e);
        self.connection.execute(&format!("CHECKPOINT {alias}")).map_err(failed)?;
        self.connection.execute(&format!("DETACH {alias}")).map_err(failed)
    }
}

/// The number in the first column of the first row.
pub(super) fn first_number(rows: &[Vec<Option<String>>]) -> u64 {
    rows.first().and_then(|r| r.first()?.as_deref()?.parse().ok()).unwrap_or(0)
}

/// A read model's rows, in batches of exactly [`BATCH_ROWS`] rows (the last is shorter).
pub struct ModelRows {
    rows: OwnedRows,
    schema: SchemaRef,
    waiting: Vec<RecordBatch>,
    waiting_rows: usize,
    ended: bool,
    what: String,
    place: String,
}

impl ModelRows {
    fn new(rows: OwnedRows, model: &ReadModel) -> ModelRows {
        let schema = rows.schema();
        let what = format!("read model `{}`", model.name);
        ModelRows { rows, schema, waiting: Vec::new(), waiting_rows: 0, ended: false, what, place: model.place.clone() }
    }

    pub fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn fill(&mut self) -> Result<Option<RecordBatch>> {
        while self.waiting_rows < BATCH_ROWS && !self.ended {
            match self.rows.next() {
                Some(Ok(batch)) => {
                    self.waiting_rows += batch.num_rows();
                    self.waiting.push(batch);
                }
                Some(Err(e)) => {
                    self.ended = true;
                    self.waiting.clear();
                    self.waiting_rows = 0;
                    return Err(sql_error(&self.what, &self.place, &e));
                }
                None => self.ended = true,
            }
        }
        if self.waiting_rows == 0 {
            return Ok(None);
        }
        let all = concat_batches(&self.schema, &self.waiting)
            .map_err(|e| Error::internal(format!("the rows of {} cannot be put together: {e}", self.what)))?;
        let length = all.num_rows().min(BATCH_ROWS);
        self.waiting.clear();
        self.waiting_rows = all.num_rows() - length;
        if self.waiting_rows > 0 {
            self.waiting.push(all.slice(length, self.waiting_rows));
        }
        Ok(Some(all.slice(0, length)))
    }
}

impl Iterator for ModelRows {
    type Item = Result<RecordBatch>;

    fn next(&mut self) -> Option<Self::Item> {
        self.fill().transpose()
    }
}
