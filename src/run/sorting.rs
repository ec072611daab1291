//! The lines of a log in another order than its own: an external merge sort.
//!
//! Lines are collected in one buffer; a full buffer is sorted and goes to a temporary file as a run, in compressed
//! blocks; at the end the runs are merged. The crates for this (`extsort` and its like) count items, keep a file per
//! run and an allocation per item; here memory is counted in bytes, and there is one file without a name, which is
//! gone with the process.

use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::fs::File;
use std::path::PathBuf;

use rayon::prelude::*;

use crate::error::{Error, Kind, Result};
use crate::files;

/// Bytes of a block before it is compressed, about; the merge holds one block of each run.
const BLOCK_BYTES: usize = 64 << 10;

/// Runs that are merged at once, at most.
const MERGED_MAX: usize = 512;

/// What stands before each line's text in a block.
const HEAD_BYTES: usize = 8 + 2 + 8 + 8 + 4 + 8 + 8 + 1 + 4;

/// A line on its way through the sort.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Line<'a> {
    /// Lines are sorted by key, then rank, then place, then in the order in which they came.
    pub key: i64,
    pub rank: u16,
    /// 0 where lines come in the order of their places.
    pub place: u64,
    /// Where it lies: the sorter's user knows which file that is, and the line counts from 1.
    pub file: u32,
    pub line: u64,
    /// Its offset in the file, in decompressed bytes.
    pub byte: u64,
    /// The user's own marks.
    pub flags: u8,
    /// Without the line break.
    pub text: &'a [u8],
}

#[derive(Clone, Copy)]
struct Entry {
    key: i64,
    rank: u16,
    place: u64,
    flags: u8,
    file: u32,
    line: u64,
    byte: u64,
    /// Counts the lines as they come.
    number: u64,
    start: usize,
    len: u32,
}

impl Entry {
    fn order(&self) -> (i64, u16, u64, u64) {
        (self.key, self.rank, self.place, self.number)
    }

    fn text<'a>(&self, bytes: &'a [u8]) -> &'a [u8] {
        &bytes[self.start..self.start + self.len as usize]
    }
}

/// A block of a run in the temporary file.
#[derive(Clone, Copy)]
struct Block {
    at: u64,
    packed: usize,
    bytes: usize,
}

/// Collects lines and sorts them.
pub struct Sorter {
    /// Where the temporary file is made.
    folder: PathBuf,
    memory_bytes: usize,
    text: Vec<u8>,
    entries: Vec<Entry>,
    count: u64,
    spill: Option<Spill>,
}

/// The runs that did not fit into memory.
struct Spill {
    file: File,
    folder: PathBuf,
    end: u64,
    runs: Vec<Vec<Block>>,
}

/// Sorted lines; they can be gone through more than once.
pub struct Sorted {
    text: Vec<u8>,
    entries: Vec<Entry>,
    count: u64,
    spill: Option<Spill>,
}

impl Sorter {
    /// `memory_bytes`: what it may hold before it writes to a temporary file in `folder`.
    pub fn new(folder: PathBuf, memory_bytes: usize) -> Sorter {
        Sorter { folder, memory_bytes, text: Vec::new(), entries: Vec::new(), count: 0, spill: None }
    }

    /// Takes up a line.
    pub fn push(&mut self, line: &Line) -> Result<()> {
        let held = self.text.len() + self.entries.len() * size_of::<Entry>();
        if !self.entries.is_empty() && held + line.text.len() > self.memory_bytes {
            self.write_run()?;
        }
        let Ok(len) = u32::try_from(line.text.len()) else { return Err(Error::new(Kind::BadData, "a line is longer than 4 GiB")) };
        let (start, number) = (self.text.len(), self.count);
        self.text.extend_from_slice(line.text);
        let Line { key, rank, place, flags, file, line, byte, .. } = *line;
        self.entries.push(Entry { key, rank, place, flags, file, line, byte, number, start, len });
        self.count += 1;
        Ok(())
    }

    fn sort(&mut self) {
        self.entries.par_sort_unstable_by_key(Entry::order);
    }

    fn write_run(&mut self) -> Result<()> {
        self.sort();
        let spill = match &mut self.spill {
            Some(spill) => spill,
            none => {
                let file = files::temporary(&self.folder)?;
                none.insert(Spill { file, folder: self.folder.clone(), end: 0, runs: Vec::new() })
            }
        };
        let mut writer = RunWriter::new(spill);
        for entry in &self.entries {
            writer.push(entry, entry.text(&self.text))?;
        }
        writer.finish()?;
        self.entries.clear();
        self.text.clear();
        Ok(())
    }

    /// Everything is there.
    pub fn finish(mut self) -> Result<Sorted> {
        if self.spill.is_some() && !self.entries.is_empty() {
            self.write_run()?;
        }
        self.sort();
        if let Some(spill) = &mut self.spill {
            (self.text, self.entries) = (Vec::new(), Vec::new());
            spill.merge_down()?;
        }
        let Sorter { text, entries, count, spill, .. } = self;
        Ok(Sorted { text, entries, count, spill })
    }
}

/// Writes one run, block by block.
struct RunWriter<'a> {
    spill: &'a mut Spill,
    blocks: Vec<Block>,
    block: Vec<u8>,
}

impl<'a> RunWriter<'a> {
    fn new(spill: &'a mut Spill) -> Self {
        RunWriter { spill, blocks: Vec::new(), block: Vec::new() }
    }

    fn push(&mut self, entry: &Entry, text: &[u8]) -> Result<()> {
        self.block.extend_from_slice(&entry.key.to_le_bytes());
        self.block.extend_from_slice(&entry.rank.to_le_bytes());
        self.block.extend_from_slice(&entry.place.to_le_bytes());
        self.block.extend_from_slice(&entry.number.to_le_bytes());
        self.block.extend_from_slice(&entry.file.to_le_bytes());
        self.block.extend_from_slice(&entry.line.to_le_bytes());
        self.block.extend_from_slice(&entry.byte.to_le_bytes());
        self.block.push(entry.flags);
        self.block.extend_from_slice(&entry.len.to_le_bytes());
        self.block.extend_from_slice(text);
        if self.block.len() >= BLOCK_BYTES { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<()> {
        let failed = |e| Error::io("write a temporary file in", &self.spill.folder, e);
        let packed = zstd::bulk::compress(&self.block, 1).map_err(failed)?;
        files::write_all_at(&self.spill.file, &self.spill.folder, &packed, self.spill.end)?;
        self.blocks.push(Block { at: self.spill.end, packed: packed.len(), bytes: self.block.len() });
        self.spill.end += packed.len() as u64;
        self.block.clear();
        Ok(())
    }

    fn finish(mut self) -> Result<()> {
        if !self.block.is_empty() {
            self.flush()?;
        }
        self.spill.runs.push(self.blocks);
        Ok(())
    }
}

impl Spill {
    fn read(&self, block: &Block) -> Result<Vec<u8>> {
        let mut packed = vec![0; block.packed];
        files::read_exact_at(&self.file, &self.folder, &mut packed, block.at)?;
        zstd::bulk::decompress(&packed, block.bytes).map_err(|e| Error::io("read a temporary file in", &self.folder, e))
    }

    /// Merges runs until so few are left that a block of each can be held.
    fn merge_down(&mut self) -> Result<()> {
        while self.runs.len() > MERGED_MAX {
            let mut rest = self.runs.split_off(MERGED_MAX);
            let runs = std::mem::take(&mut self.runs);
            // the merged run is written behind those that are read, into the same file
            let file = self.file.try_clone().map_err(|e| Error::io("open a temporary file in", &self.folder, e))?;
            let read = Spill { file, folder: self.folder.clone(), end: 0, runs };
            let mut merge = Merge::new(&read)?;
            let mut writer = RunWriter::new(self);
            while merge.advance()? {
                if let Some((entry, text)) = merge.current() {
                    writer.push(entry, text)?;
                }
            }
            writer.finish()?;
            rest.append(&mut self.runs);
            self.runs = rest;
        }
        Ok(())
    }
}

/// Where a run's merge stands.
struct Cursor {
    run: usize,
    next_block: usize,
    block: Vec<u8>,
    at: usize,
    entry: Entry,
}

impl Cursor {
    /// Goes on to the next line; false at the run's end.
    fn advance(&mut self, spill: &Spill) -> Result<bool> {
        if self.at == self.block.len() {
            let Some(block) = spill.runs[self.run].get(self.next_block) else { return Ok(false) };
            self.block = spill.read(block)?;
            self.next_block += 1;
            self.at = 0;
        }
        let broken = || Error::internal("a block of a temporary file is not what was written");
        let head = self.block.get(self.at..self.at + HEAD_BYTES).ok_or_else(broken)?;
        let (key, rest) = head.split_first_chunk().ok_or_else(broken)?;
        let (rank, rest) = rest.split_first_chunk().ok_or_else(broken)?;
        let (place, rest) = rest.split_first_chunk().ok_or_else(broken)?;
        let (number, rest) = rest.split_first_chunk().ok_or_else(broken)?;
        let (file, rest) = rest.split_first_chunk().ok_or_else(broken)?;
        let (line, rest) = rest.split_first_chunk().ok_or_else(broken)?;
        let (byte, rest) = rest.split_first_chunk().ok_or_else(broken)?;
        let (flags, rest) = rest.split_first_chunk::<1>().ok_or_else(broken)?;
        let (len, _) = rest.split_first_chunk().ok_or_else(broken)?;
        self.entry = Entry {
            key: i64::from_le_bytes(*key),
            rank: u16::from_le_bytes(*rank),
            place: u64::from_le_bytes(*place),
            number: u64::from_le_bytes(*number),
            file: u32::from_le_bytes(*file),
            line: u64::from_le_bytes(*line),
            byte: u64::from_le_bytes(*byte),
            flags: flags[0],
            start: self.at + HEAD_BYTES,
            len: u32::from_le_bytes(*len),
        };
        self.at = self.entry.start + self.entry.len as usize;
        if self.at > self.block.len() { Err(broken()) } else { Ok(true) }
    }
}

impl PartialEq for Cursor {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Cursor {}

impl PartialOrd for Cursor {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Cursor {
    /// The heap gives its greatest first.
    fn cmp(&self, other: &Self) -> Ordering {
        other.entry.order().cmp(&self.entry.order())
    }
}

/// Goes through the runs side by side.
struct Merge<'a> {
    spill: &'a Spill,
    heap: BinaryHeap<Cursor>,
    /// The one whose line was given out last.
    current: Option<Cursor>,
}

impl<'a> Merge<'a> {
    fn new(spill: &'a Spill) -> Result<Self> {
        let mut heap = BinaryHeap::new();
        for run in 0..spill.runs.len() {
            let entry = Entry { key: 0, rank: 0, place: 0, flags: 0, file: 0, line: 0, byte: 0, number: 0, start: 0, len: 0 };
            let mut cursor = Cursor { run, next_block: 0, block: Vec::new(), at: 0, entry };
            if cursor.advance(spill)? {
                heap.push(cursor);
            }
        }
        Ok(Merge { spill, heap, current: None })
    }

    fn advance(&mut self) -> Result<bool> {
        if let Some(mut cursor) = self.current.take()
            && cursor.advance(self.spill)?
        {
            self.heap.push(cursor);
        }
        self.current = self.heap.pop();
        Ok(self.current.is_some())
    }

    fn current(&self) -> Option<(&Entry, &[u8])> {
        self.current.as_ref().map(|cursor| (&cursor.entry, cursor.entry.text(&cursor.block)))
    }
}

impl Sorted {
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The lines in order.
    pub fn lines(&self) -> Result<Lines<'_>> {
        let merge = self.spill.as_ref().map(Merge::new).transpose()?;
        Ok(Lines { sorted: self, next: 0, merge })
    }
}

/// Goes through sorted lines.
pub struct Lines<'a> {
    sorted: &'a Sorted,
    /// Behind the current line, where all are in memory.
    next: usize,
    merge: Option<Merge<'a>>,
}

impl Lines<'_> {
    /// Goes on to the next line; false at the end.
    pub fn advance(&mut self) -> Result<bool> {
        match &mut self.merge {
            Some(merge) => merge.advance(),
            None => {
                self.next += 1;
                Ok(self.next <= self.sorted.entries.len())
            }
        }
    }

    /// The line at which it is.
    pub fn current(&self) -> Option<Line<'_>> {
        let (entry, text) = match &self.merge {
            Some(merge) => merge.current()?,
            None => {
                let entry = self.sorted.entries.get(self.next.checked_sub(1)?)?;
                (entry, entry.text(&self.sorted.text))
            }
        };
        let Entry { key, rank, place, flags, file, line, byte, .. } = *entry;
        Some(Line { key, rank, place, file, line, byte, flags, text })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Key, rank, place, line, text.
    type Found = (i64, u16, u64, u64, Vec<u8>);

    /// Lines with keys that meet often, as they come out of a sort with this much memory.
    fn sorted(memory_bytes: usize, count: u64) -> (Sorted, Vec<Found>) {
        let folder = tempfile::tempdir().unwrap();
        let mut sorter = Sorter::new(folder.path().to_path_buf(), memory_bytes);
        let mut state = 7u64;
        for number in 0..count {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let key = (state >> 33) as i64 % 40 - 20;
            let text = "x".repeat((state >> 40) as usize % 90);
            let line = Line {
                key,
                rank: (state >> 20) as u16 % 3,
                place: (state >> 13) % 4,
                file: 5,
                line: number,
                byte: number,
                flags: number as u8,
                text: text.as_bytes(),
            };
            sorter.push(&line).unwrap();
        }
        let sorted = sorter.finish().unwrap();
        let mut out = Vec::new();
        let mut lines = sorted.lines().unwrap();
        while lines.advance().unwrap() {
            let line = lines.current().unwrap();
            assert_eq!((line.file, line.flags), (5, line.line as u8));
            out.push((line.key, line.rank, line.place, line.line, line.text.to_vec()));
        }
        (sorted, out)
    }

    #[test]
    fn lines_come_out_by_key_rank_and_place_and_else_as_they_came_in() {
        let (all, lines) = sorted(1 << 20, 3000);
        assert!(all.spill.is_none());
        assert_eq!(lines.len(), 3000);
        assert!(lines.is_sorted_by_key(|(key, rank, place, number, _)| (*key, *rank, *place, *number)));
    }

    #[test]
    fn what_does_not_fit_into_memory_comes_out_the_same_by_way_of_the_disk() {
        let (_, expected) = sorted(1 << 20, 3000);
        for memory_bytes in [0, 300, 10_000] {
            let (all, lines) = sorted(memory_bytes, 3000);
            assert!(all.spill.as_ref().is_some_and(|spill| spill.runs.len() <= MERGED_MAX));
            assert!(lines == expected, "{memory_bytes} bytes");
        }
    }

    #[test]
    fn sorted_lines_can_be_gone_through_again() {
        let (all, lines) = sorted(300, 50);
        let mut again = all.lines().unwrap();
        let mut count = 0;
        while again.advance().unwrap() {
            count += 1;
        }
        assert_eq!(count, lines.len());
        let (none, lines) = sorted(300, 0);
        assert!(none.is_empty() && lines.is_empty());
    }
}
