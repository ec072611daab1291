//! events -> state. Pure: no file, clock, thread or random number.
//!
//! ```text
//! batch -> route (keys, once) -> by partition: sequence -> apply, in order -> Table
//! ```

pub mod apply;
pub mod carry;
mod cells;
mod columns;
pub mod event;
pub mod key;
pub mod order;
pub mod partition;
mod plain;
pub mod route;
pub mod saved;
pub mod table;
pub mod touches;
mod undo;
mod update;
pub mod watch;

pub use crate::source::exchange::{PARTITIONS, partition_of};
pub use apply::{ROW_COLUMNS, RowsOut, rows_schema};
pub use columns::column;
pub use partition::{FoldFailure, Merged, Partition, Stop};
pub use route::{Routed, Router, Spare, compute, route};
pub use table::{META_COLUMNS, TOMBSTONE_COLUMN, Table, delta_schema, schema, stored_schema};
