//! Read models: SQL over snapshots and event tables in embedded DuckDB; checks.

/// The version of the DuckDB that is linked in (`v1.5.6`).
pub fn duckdb_version() -> String {
    // SAFETY: DuckDB returns a static, NUL-terminated string.
    let text = unsafe { std::ffi::CStr::from_ptr(duckdb::ffi::duckdb_library_version()) };
    text.to_string_lossy().into_owned()
}
