//! DuckDB through its C interface: results stream as Arrow batches, and every failure is an error.
//! (The crate's own streaming iterator panics where fetching fails.)

use std::ffi::{CStr, CString, c_char};
use std::path::Path;
use std::ptr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arrow::array::{Array, StructArray};
use arrow::datatypes::{Schema, SchemaRef};
use arrow::ffi::{FFI_ArrowArray, FFI_ArrowSchema, from_ffi};
use arrow::record_batch::RecordBatch;
use duckdb::ffi;

/// What DuckDB said, in full.
#[derive(Debug, Clone)]
pub(crate) struct DuckError(pub String);

type Result<T> = std::result::Result<T, DuckError>;

/// A database and everything that is connected to it.
pub(crate) struct Database {
    raw: ffi::duckdb_database,
    open: Arc<Mutex<Connections>>,
}

/// The open connections, for [`Interrupt`].
struct Connections {
    raw: Vec<ffi::duckdb_connection>,
    interrupted: bool,
}

// SAFETY: DuckDB's handles may be used from any thread; connections are only listed here and interrupted,
// which DuckDB allows from any thread, and are taken off the list before they are closed.
unsafe impl Send for Connections {}
// SAFETY: `duckdb_connect` is thread-safe, and nothing else is called on the database while it is open.
unsafe impl Send for Database {}
unsafe impl Sync for Database {}

/// Stops whatever the engine is doing; may be used from any thread, also after the engine is gone.
#[derive(Clone)]
pub struct Interrupt(Arc<Mutex<Connections>>);

impl Interrupt {
    /// The statements that run now, and every later one, fail with "Interrupted".
    pub fn interrupt(&self) {
        let mut open = lock(&self.0);
        open.interrupted = true;
        for raw in &open.raw {
            // SAFETY: listed connections are open, see `Connection::drop`.
            unsafe { ffi::duckdb_interrupt(*raw) }
        }
    }
}

fn lock(open: &Mutex<Connections>) -> MutexGuard<'_, Connections> {
    open.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Database {
    /// Opens a file, or a database in memory; `settings` are DuckDB's configuration options.
    pub(crate) fn open(path: Option<&Path>, settings: &[(&str, &str)]) -> Result<Database> {
        let path = match path {
            None => ":memory:".to_string(),
            Some(path) => path.to_str().ok_or_else(|| DuckError(format!("the path {} is not UTF-8", path.display())))?.to_string(),
        };
        let path = text(&path)?;
        let mut config: ffi::duckdb_config = ptr::null_mut();
        let mut raw: ffi::duckdb_database = ptr::null_mut();
        let mut message: *mut c_char = ptr::null_mut();
        // SAFETY: every pointer is valid for its call; the configuration is destroyed on every way out.
        unsafe {
            if ffi::duckdb_create_config(&mut config) != ffi::DuckDBSuccess {
                return Err(DuckError("out of memory".into()));
            }
            for (name, value) in settings {
                let (name, value) = match (text(name), text(value)) {
                    (Ok(name), Ok(value)) => (name, value),
                    (Err(e), _) | (_, Err(e)) => {
                        ffi::duckdb_destroy_config(&mut config);
                        return Err(e);
                    }
                };
                if ffi::duckdb_set_config(config, name.as_ptr(), value.as_ptr()) != ffi::DuckDBSuccess {
                    ffi::duckdb_destroy_config(&mut config);
                    return Err(DuckError(format!("DuckDB does not know the setting {}", name.to_string_lossy())));
                }
            }
            let state = ffi::duckdb_open_ext(path.as_ptr(), &mut raw, config, &mut message);
            ffi::duckdb_destroy_config(&mut config);
            if state != ffi::DuckDBSuccess {
                let error = DuckError(said(message));
                if !message.is_null() {
                    ffi::duckdb_free(message.cast());
                }
                return Err(error);
            }
        }
        Ok(Database { raw, open: Arc::new(Mutex::new(Connections { raw: Vec::new(), interrupted: false })) })
    }

    pub(crate) fn connect(&self) -> Result<Connection> {
        let mut raw: ffi::duckdb_connection = ptr::null_mut();
        // SAFETY: the database is open.
        if unsafe { ffi::duckdb_connect(self.raw, &mut raw) } != ffi::DuckDBSuccess {
            return Err(DuckError("a connection to DuckDB cannot be opened".into()));
        }
        lock(&self.open).raw.push(raw);
        Ok(Connection { raw, open: self.open.clone() })
    }

    pub(crate) fn interrupt_handle(&self) -> Interrupt {
        Interrupt(self.open.clone())
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        // SAFETY: opened by `open`, closed once; DuckDB keeps the database alive for open connections.
        unsafe { ffi::duckdb_close(&mut self.raw) }
    }
}

/// One connection; one statement at a time.
pub(crate) struct Connection {
    raw: ffi::duckdb_connection,
    open: Arc<Mutex<Connections>>,
}

// SAFETY: a connection may move between threads, it is only not shared.
unsafe impl Send for Connection {}

impl Drop for Connection {
    fn drop(&mut self) {
        lock(&self.open).raw.retain(|raw| *raw != self.raw);
        // SAFETY: opened by `connect`, closed once.
        unsafe { ffi::duckdb_disconnect(&mut self.raw) }
    }
}

/// What a statement is, as far as foldline cares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StatementKind {
    Select,
    Other,
    /// None, or several.
    NotOne(usize),
}

impl Connection {
    /// Runs statements, throwing their results away.
    pub(crate) fn execute(&self, sql: &str) -> Result<()> {
        self.check_interrupted()?;
        let sql = text(sql)?;
        // SAFETY: the result is destroyed whether the query failed or not.
        unsafe {
            let mut out: ffi::duckdb_result = std::mem::zeroed();
            let state = ffi::duckdb_query(self.raw, sql.as_ptr(), &mut out);
            let outcome = if state == ffi::DuckDBSuccess { Ok(()) } else { Err(DuckError(said(ffi::duckdb_result_error(&mut out)))) };
            ffi::duckdb_destroy_result(&mut out);
            outcome
        }
    }

    /// Runs one statement and streams its rows.
    pub(crate) fn query(&self, sql: &str) -> Result<Rows<'_>> {
        self.check_interrupted()?;
        let prepared = self.prepare(sql)?;
        // SAFETY: `out` is owned by `Rows`' handle, or destroyed here on failure.
        let result = unsafe {
            let mut out: ffi::duckdb_result = std::mem::zeroed();
            if ffi::duckdb_execute_prepared_streaming(prepared.0, &mut out) != ffi::DuckDBSuccess {
                let error = DuckError(said(ffi::duckdb_result_error(&mut out)));
                ffi::duckdb_destroy_result(&mut out);
                return Err(error);
            }
            ResultHandle(out)
        };
        Rows::new(result, prepared)
    }

    /// As [`Connection::query`], keeping the connection with the rows.
    pub(crate) fn into_query(self, sql: &str) -> Result<OwnedRows> {
        let rows = self.query(sql)?;
        // The rows do not borrow from the connection's memory; they only must be gone before it is.
        let Rows { result, options, ffi_schema, schema, done, _prepared, .. } = rows;
        let rows = Rows { result, options, ffi_schema, schema, done, _prepared, _connection: std::marker::PhantomData };
        Ok(OwnedRows { rows, _connection: self })
    }

    /// Binds a statement without running it, and says what it is; several statements are only counted.
    pub(crate) fn bind(&self, sql: &str) -> Result<StatementKind> {
        let c_sql = text(sql)?;
        let mut extracted: ffi::duckdb_extracted_statements = ptr::null_mut();
        // SAFETY: `extracted` is destroyed on every way out.
        unsafe {
            let count = ffi::duckdb_extract_statements(self.raw, c_sql.as_ptr(), &mut extracted);
            let message = if count == 0 { said(ffi::duckdb_extract_statements_error(extracted)) } else { String::new() };
            ffi::duckdb_destroy_extracted(&mut extracted);
            match count {
                0 if !message.is_empty() => return Err(DuckError(message)),
                1 => {}
                n => return Ok(StatementKind::NotOne(n as usize)),
            }
        }
        let prepared = self.prepare(sql)?;
        // SAFETY: the prepared statement lives.
        let kind = unsafe { ffi::duckdb_prepared_statement_type(prepared.0) };
        Ok(if kind == ffi::duckdb_statement_type_DUCKDB_STATEMENT_TYPE_SELECT { StatementKind::Select } else { StatementKind::Other })
    }

    fn prepare(&self, sql: &str) -> Result<Prepared> {
        let sql = text(sql)?;
        let mut raw: ffi::duckdb_prepared_statement = ptr::null_mut();
        // SAFETY: the statement is destroyed by `Prepared`, also where preparing failed.
        unsafe {
            let state = ffi::duckdb_prepare(self.raw, sql.as_ptr(), &mut raw);
            let prepared = Prepared(raw);
            if state != ffi::DuckDBSuccess {
                return Err(DuckError(said(ffi::duckdb_prepare_error(raw))));
            }
            Ok(prepared)
        }
    }

    fn check_interrupted(&self) -> Result<()> {
        if lock(&self.open).interrupted { Err(DuckError("INTERRUPT Error: Interrupted!".into())) } else { Ok(()) }
    }
}

struct Prepared(ffi::duckdb_prepared_statement);

impl Drop for Prepared {
    fn drop(&mut self) {
        // SAFETY: made by `duckdb_prepare`, destroyed once.
        unsafe { ffi::duckdb_destroy_prepare(&mut self.0) }
    }
}

struct ResultHandle(ffi::duckdb_result);

impl Drop for ResultHandle {
    fn drop(&mut self) {
        // SAFETY: a live result, destroyed once.
        unsafe { ffi::duckdb_destroy_result(&mut self.0) }
    }
}

struct ArrowOptions(ffi::duckdb_arrow_options);

impl Drop for ArrowOptions {
    fn drop(&mut self) {
        // SAFETY: made by `duckdb_result_get_arrow_options`, destroyed once.
        unsafe { ffi::duckdb_destroy_arrow_options(&mut self.0) }
    }
}

/// A result: its schema, and its rows as batches of DuckDB's chunk size.
pub(crate) struct Rows<'c> {
    result: ResultHandle,
    options: ArrowOptions,
    ffi_schema: FFI_ArrowSchema,
    schema: SchemaRef,
    done: bool,
    _prepared: Prepared,
    _connection: std::marker::PhantomData<&'c Connection>,
}

impl Rows<'_> {
    fn new<'c>(mut result: ResultHandle, prepared: Prepared) -> Result<Rows<'c>> {
        let mut ffi_schema = FFI_ArrowSchema::empty();
        // SAFETY: names and types are taken from a live result; types are destroyed, names belong to it.
        let options = unsafe {
            let options = ArrowOptions(ffi::duckdb_result_get_arrow_options(&mut result.0));
            let columns = ffi::duckdb_column_count(&mut result.0);
            let mut types: Vec<ffi::duckdb_logical_type> =
                (0..columns).map(|i| ffi::duckdb_column_logical_type(&mut result.0, i)).collect();
            let mut names: Vec<*const c_char> = (0..columns).map(|i| ffi::duckdb_column_name(&mut result.0, i)).collect();
            let error =
                ffi::duckdb_to_arrow_schema(options.0, types.as_mut_ptr(), names.as_mut_ptr(), columns, (&raw mut ffi_schema).cast());
            types.iter_mut().for_each(|ty| ffi::duckdb_destroy_logical_type(ty));
            check(error)?;
            options
        };
        let schema = Schema::try_from(&ffi_schema).map_err(|e| DuckError(e.to_string()))?;
        Ok(Rows {
            result,
            options,
            ffi_schema,
            schema: Arc::new(schema),
            done: false,
            _prepared: prepared,
            _connection: std::marker::PhantomData,
        })
    }

    pub(crate) fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn fetch(&mut self) -> Result<Option<RecordBatch>> {
        let mut array = FFI_ArrowArray::empty();
        // SAFETY: the result lives; the chunk is destroyed after its content was handed to Arrow.
        unsafe {
            let mut chunk = ffi::duckdb_fetch_chunk(self.result.0);
            if chunk.is_null() {
                let message = ffi::duckdb_result_error(&mut self.result.0);
                return if message.is_null() || *message == 0 { Ok(None) } else { Err(DuckError(said(message))) };
            }
            if ffi::duckdb_data_chunk_get_size(chunk) == 0 {
                ffi::duckdb_destroy_data_chunk(&mut chunk);
                return Ok(None);
            }
            let error = ffi::duckdb_data_chunk_to_arrow(self.options.0, chunk, (&raw mut array).cast());
            ffi::duckdb_destroy_data_chunk(&mut chunk);
            check(error)?;
            let data = from_ffi(array, &self.ffi_schema).map_err(|e| DuckError(e.to_string()))?;
            let columns = StructArray::from(data);
            if columns.null_count() > 0 {
                return Err(DuckError("a chunk has NULL rows".into()));
            }
            RecordBatch::try_new(self.schema.clone(), columns.columns().to_vec()).map(Some).map_err(|e| DuckError(e.to_string()))
        }
    }
}

impl Iterator for Rows<'_> {
    type Item = Result<RecordBatch>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.done {
            return None;
        }
        let next = self.fetch();
        self.done = !matches!(next, Ok(Some(_)));
        next.transpose()
    }
}

/// Rows with the connection that they come from. The order of the fields is the order in which they end.
pub(crate) struct OwnedRows {
    rows: Rows<'static>,
    _connection: Connection,
}

// SAFETY: DuckDB's results and connections may be used from any thread, by one at a time, and rows are not `Sync`.
unsafe impl Send for OwnedRows {}

impl OwnedRows {
    pub(crate) fn schema(&self) -> SchemaRef {
        self.rows.schema()
    }
}

impl Iterator for OwnedRows {
    type Item = Result<RecordBatch>;

    fn next(&mut self) -> Option<Self::Item> {
        self.rows.next()
    }
}

fn check(mut error: ffi::duckdb_error_data) -> Result<()> {
    if error.is_null() {
        return Ok(());
    }
    // SAFETY: a live error, destroyed once.
    unsafe {
        let failed = ffi::duckdb_error_data_has_error(error);
        let message = if failed { said(ffi::duckdb_error_data_message(error)) } else { String::new() };
        ffi::duckdb_destroy_error_data(&mut error);
        if failed { Err(DuckError(message)) } else { Ok(()) }
    }
}

fn text(text: &str) -> Result<CString> {
    CString::new(text).map_err(|_| DuckError("the text has a NUL character in it".into()))
}

/// # Safety
/// `message` is NULL or a NUL-terminated string.
unsafe fn said(message: *const c_char) -> String {
    if message.is_null() {
        return String::new();
    }
    // SAFETY: see above.
    unsafe { CStr::from_ptr(message) }.to_string_lossy().into_owned()
}
