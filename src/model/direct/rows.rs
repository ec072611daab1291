//! The rows that a plan's joins leave: each row of the first table with its partner in every other one.

use std::borrow::Cow;
use std::sync::Arc;

use arrow::datatypes::{Field, Schema, SchemaRef};
use rayon::prelude::*;

use super::gather::published_type;
use super::join::Index;
use super::sort::sorted;
use super::{Cell, Join, Plan, Sorted};
use crate::error::Result;
use crate::project::{ReadModel, Target};
use crate::sql::Column;
use crate::sql::column::Data;

/// A part of a table: those columns that the plan asks for ([`Plan::columns_of`]).
pub struct Part<'a> {
    pub columns: Vec<Cow<'a, Column>>,
    pub rows: usize,
}

/// A row: its part in the upper half, its number in there in the lower one.
pub(super) type At = u64;

/// No partner.
pub(super) const NONE: At = At::MAX;

pub(super) fn at(part: usize, row: usize) -> At {
    (part as u64) << 32 | row as u64
}

pub(super) fn part_of(at: At) -> usize {
    (at >> 32) as usize
}

pub(super) fn row_of(at: At) -> usize {
    at as u32 as usize
}

/// What a plan makes of its tables. The rows have no order yet.
pub struct Rows<'a> {
    pub(super) plan: &'a Plan,
    sides: Vec<Vec<Part<'a>>>,
    /// By side, but the first: by part and row of the first side, the partner.
    partners: Vec<Vec<Vec<At>>>,
    /// The rows of the first side that the joins leave.
    pub(super) left: Vec<Vec<At>>,
}

impl<'a> Rows<'a> {
    /// Joins the tables, one list of parts for each of the plan's sides. `None` where a check of the read model fails or
    /// cannot be told without SQL, or a `sort_by` cannot be understood.
    pub fn new(plan: &'a Plan, sides: Vec<Vec<Part<'a>>>, model: &ReadModel) -> Option<Rows<'a>> {
        let left = sides[0].iter().enumerate().map(|(part, p)| (0..p.rows).map(|row| at(part, row)).collect()).collect();
        let mut rows = Rows { plan, sides, partners: Vec::new(), left };
        for (side, join) in plan.sides.iter().enumerate().filter_map(|(number, side)| Some((number, side.join.as_ref()?))) {
            rows.join(side, join);
        }
        let is_sortable = |target: &Target| match target {
            Target::Parquet { sort_by, .. } | Target::DuckDb { sort_by, .. } => plan.keys(sort_by).is_ok(),
        };
        plan.holds(model, &rows).filter(|()| model.targets.iter().all(is_sortable)).map(|()| rows)
    }

    /// How many there are.
    pub fn count(&self) -> u64 {
        self.left.iter().map(|part| part.len() as u64).sum()
    }

    /// The rows in the order of a target.
    pub fn sorted(&self, sort_by: &[String]) -> Result<Sorted<'_>> {
        Ok(sorted(self, &self.plan.keys(sort_by)?))
    }

    /// As DuckDB hands it to Arrow.
    pub(super) fn schema(&self) -> SchemaRef {
        let outputs = self.plan.outputs.iter();
        Arc::new(Schema::new(outputs.map(|output| Field::new(&output.name, published_type(&output.ty), true)).collect::<Vec<_>>()))
    }

    /// By part, the column that a cell means.
    pub(super) fn columns(&self, cell: Cell) -> Vec<&Column> {
        let slot = self.plan.columns_of(cell.side).partition_point(|column| *column < cell.column);
        self.sides[cell.side].iter().map(|part| &*part.columns[slot]).collect()
    }

    /// The row of a side that belongs to a row of the first one; [`NONE`] where there is none.
    pub(super) fn partner(&self, side: usize, first: At) -> At {
        if side == 0 { first } else { self.partners[side - 1][part_of(first)][row_of(first)] }
    }

    /// Whether the column has a NULL in any row.
    pub(super) fn has_null(&self, cell: Cell) -> bool {
        let columns = self.columns(cell);
        let is_null = |first: &At| {
            let at = self.partner(cell.side, *first);
            at == NONE || columns[part_of(at)].nulls[row_of(at)]
        };
        let outer = self.plan.sides[..=cell.side].iter().any(|side| side.join.as_ref().is_some_and(|join| join.outer));
        (outer || columns.iter().any(|column| column.nulls.contains(&true))) && self.left.par_iter().any(|part| part.iter().any(is_null))
    }

    /// Where a side's column has its value for a row of the first one.
    fn place<'c>(&self, of: &(usize, Vec<&'c Column>), first: At) -> Option<(&'c Column, usize)> {
        let at = self.partner(of.0, first);
        (at != NONE).then(|| (of.1[part_of(at)], row_of(at)))
    }

    fn join(&mut self, side: usize, join: &Join) {
        let own: Vec<Vec<&Column>> = (0..join.keys.len()).map(|column| self.columns(Cell { side, column })).collect();
        let rows: Vec<usize> = self.sides[side].iter().map(|part| part.rows).collect();
        let index = Index::new(&own, &rows);
        let others: Vec<(usize, Vec<&Column>)> = join.keys.iter().map(|cell| (cell.side, self.columns(*cell))).collect();
        let partners_of = |(part, left): (&Part, &Vec<At>)| {
            let rows = &*self;
            let found = index.find(left.len(), |number| others.iter().map(move |other| rows.place(other, left[number])));
            if found.len() == part.rows {
                return found;
            }
            let mut partners = vec![NONE; part.rows];
            left.iter().zip(found).for_each(|(first, partner)| partners[row_of(*first)] = partner);
            partners
        };
        let partners: Vec<Vec<At>> = self.sides[0].par_iter().zip(&self.left).map(partners_of).collect();
        if !join.outer {
            self.left.par_iter_mut().zip(&partners).for_each(|(left, partners)| left.retain(|first| partners[row_of(*first)] != NONE));
        }
        self.partners.push(partners);
    }
}

/// The place of a value that is not NULL in DuckDB's order of its type, where that is no text's.
#[inline]
pub(super) fn rank(column: &Column, row: usize) -> i128 {
    match &column.data {
        Data::Bool(v) => v[row] as i128,
        Data::I32(v) => v[row] as i128,
        Data::I64(v) => v[row] as i128,
        // a UUID's bits have no sign
        Data::I128(v) if column.ty == crate::sql::Type::Uuid => v[row] ^ i128::MIN,
        Data::I128(v) => v[row],
        // no plan has these
        Data::F32(_) | Data::F64(_) | Data::Text(_) | Data::Values(_) => 0,
    }
}
