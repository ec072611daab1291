//! Read models: SQL over snapshots and event tables in embedded DuckDB; checks.
