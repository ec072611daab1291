//! Read models without SQL: projections of aggregates joined by key go from the fold's columns to a file as they are.
//!
//! ```text
//! shape    is it one? (the words of the SQL)
//! rows     the rows that the joins leave (join: found by key)
//! sort     their order: by a few bits of the first columns, and by values only where these are equal
//! gather   each column in that order, as Arrow
//! ```
//!
//! The result is that of DuckDB on the snapshot of the same state, byte for byte of the Parquet file: the same types,
//! the same order of rows, NULLs among them. Where there is any doubt there is no plan, and DuckDB does it.

mod gather;
mod join;
mod rows;
mod shape;
mod sort;

pub use rows::{Part, Rows};
pub use shape::plan;
pub use sort::Sorted;

use super::order::sort_entry;
use crate::error::Result;
use crate::project::{Check, ReadModel};
use crate::sql::Type;

/// A column of a table of the FROM clause, by the tables' order and the order of `fold::schema`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cell {
    pub side: usize,
    pub column: usize,
}

/// What makes a read model's rows.
#[derive(Debug)]
pub struct Plan {
    pub sides: Vec<Side>,
    pub outputs: Vec<Output>,
    /// The query's own ORDER BY.
    order: Option<Vec<SortKey>>,
}

/// A table of the FROM clause.
#[derive(Debug)]
pub struct Side {
    /// Index into `Project::aggregates`.
    pub aggregate: usize,
    /// Its first columns are its key.
    keys: usize,
    /// How it is joined to those before it; the first one is not.
    join: Option<Join>,
}

/// A join by the whole key of the table: no row has two partners.
#[derive(Debug)]
struct Join {
    /// What each key column is equal to.
    keys: Vec<Cell>,
    /// Rows without a partner stay.
    outer: bool,
}

#[derive(Debug)]
pub struct Output {
    pub name: String,
    cell: Cell,
    pub ty: Type,
}

/// What rows are sorted by before all columns are asked.
#[derive(Debug, Clone, Copy)]
struct SortKey {
    output: usize,
    descending: bool,
    nulls_first: bool,
}

impl Plan {
    /// The columns of a table that the plan needs, in rising order.
    pub fn columns_of(&self, side: usize) -> Vec<usize> {
        let joined = self.sides.iter().filter_map(|s| s.join.as_ref()).flat_map(|join| &join.keys);
        let cells = self.outputs.iter().map(|output| &output.cell).chain(joined);
        let mut columns: Vec<usize> = cells.filter(|cell| cell.side == side).map(|cell| cell.column).collect();
        if self.sides[side].join.is_some() {
            columns.extend(0..self.sides[side].keys);
        }
        columns.sort_unstable();
        columns.dedup();
        columns
    }

    /// The keys of a target's order. Fails where an entry of `sort_by` cannot be understood.
    fn keys(&self, sort_by: &[String]) -> Result<Vec<SortKey>> {
        let all = (0..self.outputs.len()).map(|output| SortKey { output, descending: false, nulls_first: false });
        let first = match (&self.order, sort_by) {
            (Some(order), []) => order.clone(),
            _ => {
                let names: Vec<&str> = self.outputs.iter().map(|output| output.name.as_str()).collect();
                let entries = sort_by.iter().map(|entry| sort_entry(entry, &names));
                let entries = entries.collect::<Result<Vec<_>>>()?.into_iter();
                entries.map(|e| SortKey { output: e.column, descending: e.descending, nulls_first: e.nulls_first }).collect()
            }
        };
        let mut keys: Vec<SortKey> = Vec::new();
        for key in first.into_iter().chain(all) {
            if !keys.iter().any(|known| known.output == key.output) {
                keys.push(key);
            }
        }
        Ok(keys)
    }

    /// Whether the checks of the read model hold, where that can be told without SQL: that a table's key is unique needs
    /// no look at the rows. `None`: only SQL knows, or has to tell what fails.
    fn holds(&self, model: &ReadModel, rows: &Rows) -> Option<()> {
        let find = |name: &String| self.outputs.iter().position(|output| output.name.eq_ignore_ascii_case(name));
        for check in &model.checks {
            match check {
                Check::Unique(names) => {
                    let cells = names.iter().map(|name| Some(self.outputs[find(name)?].cell)).collect::<Option<Vec<_>>>()?;
                    (0..self.sides[0].keys).all(|column| cells.contains(&Cell { side: 0, column })).then_some(())?;
                }
                Check::NotNull(names) => {
                    let outputs = names.iter().map(find).collect::<Option<Vec<_>>>()?;
                    (!outputs.is_empty() && !outputs.into_iter().any(|output| rows.has_null(self.outputs[output].cell))).then_some(())?;
                }
                Check::Sql { .. } => return None,
            }
        }
        Some(())
    }
}
