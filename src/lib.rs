//! foldline rebuilds read models from exported event logs.
//!
//! ```text
//! files -> chunks -> records -> events -> (upcast) -> routed by key -> fold -> state
//!                                    \-> event tables                        |
//!         snapshot (Parquet, one set of files per aggregate)  <--------------+
//!               |
//!         read models (SQL in embedded DuckDB over snapshots and event tables)
//!               |
//!         checks -> staged targets -> manifest (the one commit point) -> published
//! ```
//!
//! The modules stand in the order of that flow; each names only those before it.

mod prefetch;
pub mod printable;

pub mod error;
pub mod files;
pub mod sql;

pub mod project;

pub mod source;

pub mod fold;

pub mod state;

pub mod model;

pub mod publish;

pub mod report;

pub mod run;

pub mod cli;

/// The random numbers of the tests, for those that stand beside what they test.
#[cfg(test)]
#[path = "../tests/common/random.rs"]
#[allow(dead_code, reason = "the tests below tests/ use the rest")]
mod random;
