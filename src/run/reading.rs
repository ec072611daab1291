//! What the parts of a log that are read come to: lines, bytes, records, for the manifest's entries of their files.

use super::intake::Part;
use super::tally::Tally;
use crate::source::Batch;
use crate::state::manifest;

/// How far each part of a log is read.
pub struct Reading<'a> {
    parts: &'a [Part],
    /// By file: the lines before the next one.
    lines: Vec<u64>,
    /// By part: the decompressed offset up to which it is read.
    consumed: Vec<u64>,
    /// By part: the holes of streams were passed behind it.
    passed_holes: Vec<bool>,
}

impl<'a> Reading<'a> {
    /// `files`: the manifest's entries as they were before the parts are read.
    pub fn new(parts: &'a [Part], files: &[manifest::LogFile]) -> Self {
        // where lines are counted from; a part that was consumed before counts anew
        let mut lines: Vec<u64> = vec![0; files.len()];
        for part in parts.iter().rev() {
            lines[part.file] = if part.segment.from == 0 { 0 } else { files[part.file].lines };
        }
        let consumed = parts.iter().map(|p| p.segment.from).collect();
        Reading { parts, lines, consumed, passed_holes: vec![false; parts.len()] }
    }

    /// Takes up the next batch in log order: gives its lines their numbers and adds what is new to its file's entry.
    /// `pending`: bytes behind the last line break that wait.
    pub fn take(&mut self, batch: &mut Batch, pending: u64, files: &mut [manifest::LogFile], tally: &mut Tally) {
        let part = &self.parts[batch.segment];
        let file = &mut files[part.file];
        let lines = &mut self.lines[part.file];
        batch.first_line = *lines + 1;
        batch.first_byte = self.consumed[batch.segment];
        *lines += batch.lines;
        let consumed = &mut self.consumed[batch.segment];
        *consumed += batch.bytes;
        if *consumed > file.consumed {
            file.consumed = *consumed;
            file.lines = *lines;
            file.records += batch.records;
            let mut positions = batch.events.position.iter().flatten();
            if let Some(first) = positions.next() {
                file.first_position = file.first_position.or(Some(*first));
                file.last_position = Some(*positions.next_back().unwrap_or(first));
            }
        }
        if pending > 0 {
            tally.unterminated.push((part.segment.file.name.clone(), *lines + 1, pending));
        }
    }

    /// Holes were passed behind what is read so far.
    pub fn pass_holes(&mut self) {
        if let Some(last) = (0..self.parts.len()).rev().find(|part| self.consumed[*part] > self.parts[*part].segment.from) {
            self.passed_holes[last] = true;
        }
    }

    /// Everything is read.
    pub fn finish(self, tally: &mut Tally) {
        for (i, part) in self.parts.iter().enumerate() {
            let (from, to, passed_holes) = (part.segment.from, self.consumed[i], self.passed_holes[i]);
            tally.consumed.push(manifest::Segment { file: part.file, from, to, passed_holes });
        }
    }
}
