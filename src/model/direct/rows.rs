//! The rows that a plan's joins leave: each row of the first table with its partner in every other one.

use std::borrow::Cow;
use std::sync::Arc;

use arrow::datatypes::{Field, Schema, SchemaRef};
use hashbrown::HashTable;
use rayon::prelude::*;
use xxhash_rust::xxh3::xxh3_64;

use super::gather::published_type;
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

/// Hash tables of a joined table that is not small.
const JOIN_PARTITIONS_LOG2: u32 = 4;
const SMALL_ROWS: usize = 1 << 14;

fn at(part: usize, row: usize) -> At {
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
        let hashes: Vec<Vec<u64>> = self.sides[side]
            .par_iter()
            .enumerate()
            .map(|(part, p)| (0..p.rows).map(|row| hashes_of(&own, at(part, row))).collect())
            .collect();
        let rows: usize = hashes.iter().map(Vec::len).sum();
        let bits = if rows < SMALL_ROWS { 0 } else { JOIN_PARTITIONS_LOG2 };
        // the hash tables take their places by the upper bits, too
        let mine = |hash: u64| (hash & ((1 << bits) - 1)) as usize;
        let tables: Vec<HashTable<At>> = (0..1usize << bits)
            .into_par_iter()
            .map(|number| {
                let mut table = HashTable::with_capacity(rows >> bits);
                for (part, hashes) in hashes.iter().enumerate() {
                    for (row, hash) in hashes.iter().enumerate().filter(|(_, hash)| mine(**hash) == number) {
                        table.insert_unique(*hash, at(part, row), |at| hashes_of(&own, *at));
                    }
                }
                table
            })
            .collect();
        let others: Vec<(usize, Vec<&Column>)> = join.keys.iter().map(|cell| (cell.side, self.columns(*cell))).collect();
        let find = |first: At| {
            let Some(hash) = hash(others.iter().map(|other| self.place(other, first))) else { return NONE };
            let own = |at: At| own.iter().map(move |columns| (columns[part_of(at)], row_of(at)));
            let same =
                |at: &At| others.iter().zip(own(*at)).all(|(other, own)| self.place(other, first).is_some_and(|place| equal(own, place)));
            tables[mine(hash)].find(hash, same).copied().unwrap_or(NONE)
        };
        let partners: Vec<Vec<At>> = self.sides[0]
            .par_iter()
            .zip(&self.left)
            .map(|(part, left)| {
                let mut partners = vec![NONE; part.rows];
                left.iter().for_each(|first| partners[row_of(*first)] = find(*first));
                partners
            })
            .collect();
        if !join.outer {
            self.left.par_iter_mut().zip(&partners).for_each(|(left, partners)| left.retain(|first| partners[row_of(*first)] != NONE));
        }
        self.partners.push(partners);
    }
}

fn hashes_of(key: &[Vec<&Column>], at: At) -> u64 {
    hash(key.iter().map(|columns| Some((columns[part_of(at)], row_of(at))))).unwrap_or_default()
}

/// The hash of a key; `None` where a part of it is NULL, or of a row that is not there.
fn hash<'c>(key: impl Iterator<Item = Option<(&'c Column, usize)>>) -> Option<u64> {
    let mut whole = 0u64;
    for place in key {
        let (column, row) = place?;
        if column.nulls[row] {
            return None;
        }
        let hash = match &column.data {
            Data::Text(texts) => xxh3_64(texts[row].as_bytes()),
            _ => xxh3_64(&rank(column, row).to_le_bytes()),
        };
        whole = whole.rotate_left(29).wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ hash;
    }
    Some(whole)
}

/// Neither is NULL, and both have one type.
fn equal(a: (&Column, usize), b: (&Column, usize)) -> bool {
    match (&a.0.data, &b.0.data) {
        (Data::Text(x), Data::Text(y)) => x[a.1] == y[b.1],
        _ => rank(a.0, a.1) == rank(b.0, b.1),
    }
}

/// The place of a value that is not NULL in DuckDB's order of its type, which is no text's. 0.0 and -0.0 have one place,
/// and all NaNs have the last one.
#[inline]
pub(super) fn rank(column: &Column, row: usize) -> i128 {
    match &column.data {
        Data::Bool(v) => v[row] as i128,
        Data::I32(v) => v[row] as i128,
        Data::I64(v) => v[row] as i128,
        // a UUID's bits have no sign
        Data::I128(v) if column.ty == crate::sql::Type::Uuid => v[row] ^ i128::MIN,
        Data::I128(v) => v[row],
        Data::F32(v) => float_rank(v[row] as f64) as i128,
        Data::F64(v) => float_rank(v[row]) as i128,
        Data::Text(_) | Data::Values(_) => 0,
    }
}

fn float_rank(x: f64) -> i64 {
    if x.is_nan() {
        return i64::MAX;
    }
    // of a negative number the bits below the sign run the other way
    let bits = if x == 0.0 { 0 } else { x.to_bits() as i64 };
    if bits < 0 { i64::MIN - bits } else { bits }
}
