//! Read models: SQL over snapshots and event tables in embedded DuckDB; checks.
//!
//! An [`Engine`] is one DuckDB in memory that sees exactly the files of one generation and nothing else:
//! aggregates, `events."<Type>"`, rows tables and lookup tables are set up, then it is locked down, and
//! only then the project's SQL runs, one SELECT at a time. No name, path or value ever becomes SQL.

mod check;
pub mod compare;
pub mod direct;
mod duck;
mod engine;
mod errors;
mod inputs;
mod order;
mod types;
mod views;

pub use check::{CheckFailure, check_bind};
pub use duck::Interrupt;
pub(crate) use duck::{Database, DuckError};
pub(crate) use engine::BATCH_ROWS;
pub use engine::{Engine, ModelRows, TextRow};
pub use inputs::{AggregateInput, Attachment, Inputs, Limits, TableInput, event_columns};
pub(crate) use views::quote;

/// The version of the DuckDB that is linked in (`v1.5.6`).
pub fn duckdb_version() -> String {
    // SAFETY: DuckDB returns a static, NUL-terminated string.
    let text = unsafe { std::ffi::CStr::from_ptr(duckdb::ffi::duckdb_library_version()) };
    text.to_string_lossy().into_owned()
}
