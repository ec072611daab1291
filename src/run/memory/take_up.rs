//! The end of a scan: lanes that are away are taken up again, some at a time, and their lines are folded.

use std::collections::VecDeque;

use super::tail::{Cursor, Tail};
use super::{Memory, lanes_of};
use crate::error::Result;
use crate::fold::PARTITIONS;
use crate::run::lanes::Lane;
use crate::run::scan::{Scan, Sinks};
use crate::run::sorted::SortedChunk;
use crate::run::tally::Tally;
use crate::source::Decoder;

/// Lanes that are taken up at a time, at most; more would not be faster.
const AT_ONCE: usize = 8;

impl Scan<'_> {
    /// Folds what the scan has put off, lane by lane, and then what spans streams.
    pub(in crate::run) fn take_up_what_waits(&self, sinks: &mut Sinks, tally: &mut Tally) -> Result<()> {
        let tail = sinks.memory.tail.take();
        if !sinks.memory.is_active() {
            return Ok(());
        }
        sinks.memory.taking_up = true;
        if let Some(tail) = tail.filter(|tail| tail.with_lines() != 0) {
            // room for those whose turn comes; what is put away now is what the snapshot has
            let in_memory = !sinks.memory.away;
            sinks.memory.put_away(self.project, self.store, sinks.lanes, in_memory)?;
            self.take_up_lanes(&tail, sinks, tally)?;
        }
        self.fold_handed_over(sinks, tally)?;
        sinks.memory.taking_up = false;
        Ok(())
    }

    fn take_up_lanes(&self, tail: &Tail, sinks: &mut Sinks, tally: &mut Tally) -> Result<()> {
        let mut decoder = Decoder::new(self.project, self.source);
        decoder.keep_text();
        let spares = self.spares();
        let mut waiting: VecDeque<usize> = lanes_of(tail.with_lines()).collect();
        let mut cursors: Vec<Cursor> = (0..PARTITIONS).map(|_| Cursor::default()).collect();
        let mut at_hand: Vec<usize> = Vec::new();
        let mut ordinal = 0;
        loop {
            self.stop.check()?;
            while at_hand.len() < AT_ONCE
                && let Some(lane) = waiting.front().copied()
                && (at_hand.is_empty() || sinks.memory.has_room_for(self, sinks.lanes, tail, &at_hand, lane))
            {
                waiting.pop_front();
                sinks.memory.take_up(self.project, self.store, sinks.lanes, 1 << lane)?;
                at_hand.push(lane);
            }
            if at_hand.is_empty() {
                return Ok(());
            }
            let share = self.round_chunks().div_ceil(at_hand.len());
            let mut round = Vec::new();
            let mut done = 0u64;
            for &lane in &at_hand {
                for _ in 0..share {
                    match SortedChunk::fill(&mut tail.lines(lane, &mut cursors[lane]), tail.names(), ordinal)? {
                        Some(chunk) => round.push(chunk),
                        None => {
                            done |= 1 << lane;
                            break;
                        }
                    }
                    ordinal += 1;
                }
            }
            self.sorted_round((&decoder, &spares), round, sinks, tally)?;
            sinks.memory.refuse_too_large(self, sinks.lanes, &at_hand)?;
            sinks.memory.put_away(self.project, self.store, sinks.lanes, done)?;
            at_hand.retain(|lane| done >> lane & 1 == 0);
            // where they have grown, all but one give way
            if let Some((_, others)) = at_hand.split_first()
                && sinks.memory.is_full(self, sinks.lanes)
            {
                let others_mask = others.iter().map(|lane| 1 << lane).sum();
                sinks.memory.put_away(self.project, self.store, sinks.lanes, others_mask)?;
                others.iter().rev().for_each(|lane| waiting.push_front(*lane));
                at_hand.truncate(1);
            }
        }
    }
}

impl Memory {
    /// Whether one more lane can be taken up beside others. It is taken to grow by what its lines have.
    fn has_room_for(&mut self, scan: &Scan, lanes: &[Lane], tail: &Tail, at_hand: &[usize], lane: usize) -> bool {
        let held = self.held(scan.project, lanes).total();
        let to_come: u64 = at_hand.iter().chain([&lane]).map(|lane| tail.lanes[*lane].bytes()).sum();
        held + to_come + self.pieces.bytes(lane) <= self.bytes_max / 2
    }

    fn is_full(&mut self, scan: &Scan, lanes: &[Lane]) -> bool {
        self.held(scan.project, lanes).total() > self.bytes_max
    }

    /// One lane has to fit.
    fn refuse_too_large(&mut self, scan: &Scan, lanes: &[Lane], at_hand: &[usize]) -> Result<()> {
        let held = self.held(scan.project, lanes);
        let largest = at_hand.iter().map(|lane| held.lanes[*lane] + held.staying).max().unwrap_or_default();
        if largest <= self.bytes_max {
            return Ok(());
        }
        Err(self.exceeded(&format!("one of {PARTITIONS} partitions of the state"), largest))
    }
}
