//! The order of rows. The first sort columns are packed into 64 bits that compare as the values do: numbers by their
//! distance from the least one, texts behind what they all begin with, a few bits for each byte that occurs. These are
//! sorted with the rows' places; only rows that are equal in them are compared by their values.

use std::cmp::Ordering;

use rayon::prelude::*;

use super::rows::{At, NONE, Rows, part_of, rank, row_of};
use super::{Cell, Output, SortKey};
use crate::sql::Column;
use crate::sql::column::Data;

/// A plan's rows in the order of a target.
pub struct Sorted<'r> {
    pub(super) rows: &'r Rows<'r>,
    /// By side, where an output is of it: its rows in order, [`NONE`] where there is none.
    pub(super) places: Vec<Vec<At>>,
    /// By output: its column in each part of its side, and whether it has NULLs.
    pub(super) columns: Vec<(Vec<&'r Column>, bool)>,
    pub(super) length: usize,
}

/// A sort column: by part, and how to come from a row of the first side to its own.
struct Keyed<'r> {
    cell: Cell,
    columns: Vec<&'r Column>,
    descending: bool,
    nulls_first: bool,
    nullable: bool,
}

/// How a column's values become bits.
struct Code {
    /// Of the value, without the bit for NULL.
    width: u32,
    kind: CodeKind,
}

enum CodeKind {
    /// The distance from `least`, without its lowest `dropped` bits.
    Number { least: i128, dropped: u32 },
    /// `chars` bytes from `begin` on, `bits` each: their place among those that occur, from 1 on; 0 is the text's end.
    Text { begin: usize, chars: usize, bits: u32, places: Box<[u8; 256]> },
}

pub(super) fn sorted<'r>(rows: &'r Rows<'r>, keys: &[SortKey]) -> Sorted<'r> {
    let keyed: Vec<Keyed<'r>> = keys.iter().map(|key| Keyed::new(rows, key)).collect();
    let mut codes: Vec<Code> = Vec::new();
    let mut room = u64::BITS;
    // the sort columns of which the bits say everything
    let mut exact = 0;
    for key in &keyed {
        let Some(left) = room.checked_sub(key.nullable as u32).filter(|left| *left > 0) else { break };
        let (code, is_exact) = key.code(left);
        room = left - code.width;
        codes.push(code);
        if !is_exact {
            break;
        }
        exact += 1;
    }
    let rest = &keyed[exact..];
    let of_part = |part: &Vec<At>| {
        let mut bits = vec![0; part.len()];
        keyed.iter().zip(&codes).for_each(|(key, code)| key.pack(rows, code, part, &mut bits));
        bits.into_iter().zip(part.iter().copied()).collect::<Vec<(u64, At)>>()
    };
    let mut entries = rows.left.par_iter().map(of_part).collect::<Vec<_>>().concat();
    if rest.is_empty() {
        entries.par_sort_unstable_by_key(|entry| entry.0);
    } else {
        let by_value = |a, b| rest.iter().map(|key| key.compare(rows, a, b)).find(|order| order.is_ne()).unwrap_or(Ordering::Equal);
        entries.par_sort_unstable_by(|a, b| a.0.cmp(&b.0).then_with(|| by_value(a.1, b.1)));
    }
    let places = (0..rows.plan.sides.len()).map(|side| {
        let used = rows.plan.outputs.iter().any(|output| output.cell.side == side);
        if used { entries.par_iter().map(|(_, first)| rows.partner(side, *first)).collect() } else { Vec::new() }
    });
    let places: Vec<Vec<At>> = places.collect();
    let missing: Vec<bool> = places.iter().map(|places| places.par_iter().any(|at| *at == NONE)).collect();
    let column = |output: &Output| {
        let columns = rows.columns(output.cell);
        let nullable = missing[output.cell.side] || columns.iter().any(|column| column.nulls.contains(&true));
        (columns, nullable)
    };
    Sorted { rows, columns: rows.plan.outputs.iter().map(column).collect(), places, length: entries.len() }
}

impl<'r> Keyed<'r> {
    fn new(rows: &'r Rows<'r>, key: &SortKey) -> Keyed<'r> {
        let cell = rows.plan.outputs[key.output].cell;
        let columns = rows.columns(cell);
        let outer = rows.plan.sides[cell.side].join.as_ref().is_some_and(|join| join.outer);
        let nullable = outer || columns.iter().any(|column| column.nulls.contains(&true));
        Keyed { cell, columns, descending: key.descending, nulls_first: key.nulls_first, nullable }
    }

    /// The place of the value; `None` where it is NULL.
    #[inline]
    fn value(&self, rows: &Rows, first: At) -> Option<(&'r Column, usize)> {
        let at = rows.partner(self.cell.side, first);
        if at == NONE {
            return None;
        }
        let (column, row) = (self.columns[part_of(at)], row_of(at));
        (!column.nulls[row]).then_some((column, row))
    }

    /// How the values fit into so many bits, and whether all of each does.
    fn code(&self, room: u32) -> (Code, bool) {
        if self.columns.first().is_some_and(|column| matches!(column.data, Data::Text(_))) {
            return self.text_code(room);
        }
        let of_column = |column: &&Column| {
            let known = (0..column.len()).filter(|row| !column.nulls[*row]).map(|row| rank(column, row));
            known.fold(None, |range: Option<(i128, i128)>, rank| Some(range.map_or((rank, rank), |(a, b)| (a.min(rank), b.max(rank)))))
        };
        let range = self.columns.par_iter().filter_map(of_column).reduce_with(|a, b| (a.0.min(b.0), a.1.max(b.1)));
        let (least, greatest) = range.unwrap_or_default();
        let width = u128::BITS - (greatest.wrapping_sub(least) as u128).leading_zeros();
        let dropped = width.saturating_sub(room);
        (Code { width: width - dropped, kind: CodeKind::Number { least, dropped } }, dropped == 0)
    }

    fn text_code(&self, room: u32) -> (Code, bool) {
        let texts = |column: &&'r Column| {
            let Data::Text(texts) = &column.data else { return None };
            let mut known = texts.iter().zip(&column.nulls).filter(|(_, null)| !**null).map(|(text, _)| text.as_bytes());
            let first = known.next()?;
            Some(known.fold((first, first.len(), first.len()), |(first, shared, longest), text| {
                let shared = if text.starts_with(&first[..shared]) { shared } else { common(&first[..shared], text) };
                (first, shared, longest.max(text.len()))
            }))
        };
        let whole = self.columns.par_iter().filter_map(texts);
        let whole = whole.reduce_with(|a, b| (a.0, common(&a.0[..a.1], &b.0[..b.1]), a.2.max(b.2)));
        let (begin, longest) = whole.map_or((0, 0), |(_, shared, longest)| (shared, longest));
        let occurring = |column: &&Column| {
            let mut occurs = [false; 256];
            if let Data::Text(texts) = &column.data {
                for (text, _) in texts.iter().zip(&column.nulls).filter(|(_, null)| !**null) {
                    text.as_bytes()[begin..].iter().for_each(|byte| occurs[*byte as usize] = true);
                }
            }
            occurs
        };
        let occurs = self.columns.par_iter().map(occurring).reduce(|| [false; 256], |a, b| std::array::from_fn(|i| a[i] || b[i]));
        let mut places = Box::new([0u8; 256]);
        let mut count = 0u32;
        for (place, _) in places.iter_mut().zip(occurs).filter(|(_, occurs)| *occurs) {
            count += 1;
            // 256 different bytes are no UTF-8
            *place = count as u8;
        }
        let bits = u32::BITS - count.leading_zeros();
        let length = longest - begin;
        let chars = room.checked_div(bits).map_or(0, |most| length.min(most as usize));
        (Code { width: bits * chars as u32, kind: CodeKind::Text { begin, chars, bits, places } }, chars == length)
    }

    /// Puts each value's bits behind those that are there. `firsts`: rows of one part of the first side.
    fn pack(&self, rows: &Rows, code: &Code, firsts: &[At], bits: &mut [u64]) {
        let Some(part) = firsts.first().map(|first| part_of(*first)) else { return };
        let own = (self.cell.side == 0 && !self.nullable).then(|| self.columns[part]);
        let inverted = if self.descending { mask(code.width) } else { 0 };
        let push = |bits: &mut u64, packed: u64| *bits = bits.checked_shl(code.width).unwrap_or_default() | (packed ^ inverted);
        let push_or_null = |bits: &mut u64, packed: Option<u64>| {
            *bits = *bits << 1 | (packed.is_none() != self.nulls_first) as u64;
            // what stands for a NULL is all the same
            push(bits, packed.unwrap_or(inverted));
        };
        match (&code.kind, own.map(|column| (column, &column.data))) {
            (CodeKind::Text { begin, chars, bits: width, places }, Some((_, Data::Text(texts)))) => {
                let packed = |first: &At| text_bits(texts[row_of(*first)].as_bytes(), *begin, *chars, *width, places);
                bits.iter_mut().zip(firsts).for_each(|(bits, first)| push(bits, packed(first)));
            }
            (_, Some((column, _))) => bits.iter_mut().zip(firsts).for_each(|(bits, first)| push(bits, code.of(column, row_of(*first)))),
            (_, None) => {
                let packed = |first: &At| self.value(rows, *first).map(|(column, row)| code.of(column, row));
                if self.nullable {
                    bits.iter_mut().zip(firsts).for_each(|(bits, first)| push_or_null(bits, packed(first)));
                } else {
                    bits.iter_mut().zip(firsts).for_each(|(bits, first)| push(bits, packed(first).unwrap_or_default()));
                }
            }
        }
    }

    fn compare(&self, rows: &Rows, a: At, b: At) -> Ordering {
        let order = match (self.value(rows, a), self.value(rows, b)) {
            (None, None) => return Ordering::Equal,
            (None, _) => return if self.nulls_first { Ordering::Less } else { Ordering::Greater },
            (_, None) => return if self.nulls_first { Ordering::Greater } else { Ordering::Less },
            (Some((x, i)), Some((y, j))) => match (&x.data, &y.data) {
                (Data::Text(x), Data::Text(y)) => x[i].as_bytes().cmp(y[j].as_bytes()),
                _ => rank(x, i).cmp(&rank(y, j)),
            },
        };
        if self.descending { order.reverse() } else { order }
    }
}

impl Code {
    #[inline]
    fn of(&self, column: &Column, row: usize) -> u64 {
        match &self.kind {
            CodeKind::Number { least, dropped } => ((rank(column, row).wrapping_sub(*least)) as u128 >> dropped) as u64,
            CodeKind::Text { begin, chars, bits, places } => {
                let Data::Text(texts) = &column.data else { return 0 };
                text_bits(texts[row].as_bytes(), *begin, *chars, *bits, places)
            }
        }
    }
}

#[inline]
fn text_bits(text: &[u8], begin: usize, chars: usize, bits: u32, places: &[u8; 256]) -> u64 {
    let text = &text[begin..];
    let text = &text[..text.len().min(chars)];
    let packed = text.iter().fold(0u64, |packed, byte| packed << bits | places[*byte as usize] as u64);
    packed.checked_shl(bits * (chars - text.len()) as u32).unwrap_or_default()
}

fn mask(width: u32) -> u64 {
    u64::MAX.checked_shr(u64::BITS - width).unwrap_or_default()
}

fn common(a: &[u8], b: &[u8]) -> usize {
    a.iter().zip(b).take_while(|(a, b)| a == b).count()
}
