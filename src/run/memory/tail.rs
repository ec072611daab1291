//! Lines of lanes that are not in memory, in the order in which they passed, lane by lane in one temporary file.

use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use hashbrown::HashMap;
use rayon::prelude::*;

use super::lanes_of;
use crate::error::{Error, Kind, Result};
use crate::files;
use crate::fold::PARTITIONS;
use crate::run::intake::Part;
use crate::run::round::Sequenced;
use crate::run::sorted::{LineSource, QUIET};
use crate::run::sorting::Line;
use crate::run::tally::place_in_scan;
use crate::source::arrivals::Arrival;
use crate::source::sequence::Verdict;
use crate::source::{Batch, Origin};

/// Bytes of a block before it is compressed, about; each lane fills one.
const BLOCK_BYTES: usize = 64 << 10;

/// What stands before each line's text in a block: its place, file, line, byte and length.
const HEAD_BYTES: usize = 8 + 4 + 8 + 8 + 4;

/// A compressed block in the file.
#[derive(Clone, Copy)]
struct Block {
    at: u64,
    packed: usize,
    bytes: usize,
}

/// The lines of one lane.
#[derive(Default)]
pub struct LaneTail {
    blocks: Vec<Block>,
    /// Behind the blocks, not full yet.
    rest: Vec<u8>,
    /// Of all lines.
    bytes: u64,
}

impl LaneTail {
    /// Bytes of its lines.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }
}

/// Lines by lane.
pub struct Tail {
    folder: PathBuf,
    /// Has no name, and is gone with the process.
    file: Option<File>,
    end: AtomicU64,
    pub lanes: Vec<LaneTail>,
    /// Of files: those of the scan's parts first come first.
    names: Vec<Arc<str>>,
    numbers: HashMap<Arc<str>, u32>,
    /// By part of the scan: the number of its file's name.
    parts: Vec<u32>,
}

impl Tail {
    /// A temporary file is made in `folder` when there is a line to write.
    pub fn new(folder: PathBuf) -> Tail {
        let lanes = (0..PARTITIONS).map(|_| LaneTail::default()).collect();
        Tail { folder, file: None, end: AtomicU64::new(0), lanes, names: Vec::new(), numbers: HashMap::new(), parts: Vec::new() }
    }

    /// Says what the scan's batches belong to.
    pub fn name_parts(&mut self, parts: &[Part]) {
        self.parts = parts.iter().map(|part| self.number_of(&part.segment.file.name)).collect();
    }

    fn number_of(&mut self, name: &str) -> u32 {
        if let Some(number) = self.numbers.get(name) {
            return *number;
        }
        let (name, number): (Arc<str>, u32) = (name.into(), self.names.len() as u32);
        self.names.push(name.clone());
        self.numbers.insert(name, number);
        number
    }

    /// Where a line of a batch lies that the scan at hand has read.
    pub fn origin(&self, batch: &Batch, line: u32) -> Origin {
        let name = self.parts.get(batch.segment).and_then(|number| self.names.get(*number as usize));
        let byte = batch.line_starts.get(line as usize).map(|start| batch.first_byte + *start as u64);
        Origin { file: name.cloned().unwrap_or_else(|| "".into()), line: batch.first_line + line as u64, byte }
    }

    fn open(&mut self) -> Result<()> {
        if self.file.is_none() {
            self.file = Some(files::temporary(&self.folder)?);
        }
        Ok(())
    }

    /// Takes what a round has put off of the lanes that are `away`.
    pub fn take_round(&mut self, away: u64, round: &[Sequenced]) -> Result<()> {
        self.open()?;
        let Tail { file, folder, end, lanes, parts, .. } = self;
        let Some(file) = file else { return Ok(()) };
        let store = Blocks { file, folder, end };
        lanes.par_iter_mut().enumerate().filter(|(lane, _)| away >> lane & 1 == 1).try_for_each(|(number, lane)| {
            for batch in round {
                let routed = &batch.routed.batch;
                let put_off = |arrival: &&Arrival| batch.verdicts.get(arrival.event as usize) == Verdict::Held;
                for arrival in batch.routed.arrivals.of_partition(number).arrivals.iter().filter(put_off) {
                    let at = routed.events.line[arrival.event as usize];
                    let line = routed.first_line + at as u64;
                    let place = place_in_scan(routed, at);
                    let byte = routed.line_starts.get(at as usize).map_or(0, |start| routed.first_byte + *start as u64);
                    let file = parts.get(routed.segment).copied().unwrap_or_default();
                    lane.push(&store, (place, file, line, byte), routed.raw(at))?;
                }
            }
            Ok(())
        })
    }

    /// Takes the record of an event that waits. `place`: see [`place_in_scan`].
    pub fn take_waiting(&mut self, lane: usize, (place, origin): (u64, &Origin), text: Option<&[u8]>) -> Result<()> {
        self.open()?;
        let name = self.number_of(&origin.file);
        let Tail { file, folder, end, lanes, .. } = self;
        let Some(file) = file else { return Ok(()) };
        let place = (place, name, origin.line, origin.byte.unwrap_or_default());
        lanes[lane].push(&Blocks { file, folder, end }, place, text)
    }

    /// Reads a lane's lines; `cursor` says how far it has come.
    pub fn lines<'t>(&'t self, lane: usize, cursor: &'t mut Cursor) -> TailLines<'t> {
        TailLines { tail: self, lane: &self.lanes[lane], cursor }
    }

    /// Of files, by [`Line::file`].
    pub fn names(&self) -> &[Arc<str>] {
        &self.names
    }

    /// The lanes that have lines, a bit each.
    pub fn with_lines(&self) -> u64 {
        lanes_of(u64::MAX).filter(|lane| self.lanes[*lane].bytes > 0).map(|lane| 1 << lane).sum()
    }
}

/// Where full blocks go.
struct Blocks<'a> {
    file: &'a File,
    folder: &'a PathBuf,
    end: &'a AtomicU64,
}

impl LaneTail {
    fn push(&mut self, blocks: &Blocks, (place, file, line, byte): (u64, u32, u64, u64), text: Option<&[u8]>) -> Result<()> {
        let text = text.ok_or_else(|| Error::internal("the text of a record that is put off was not kept"))?;
        let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
        let Ok(len) = u32::try_from(text.len()) else { return Err(Error::new(Kind::BadData, "a line is longer than 4 GiB")) };
        self.rest.extend_from_slice(&place.to_le_bytes());
        self.rest.extend_from_slice(&file.to_le_bytes());
        self.rest.extend_from_slice(&line.to_le_bytes());
        self.rest.extend_from_slice(&byte.to_le_bytes());
        self.rest.extend_from_slice(&len.to_le_bytes());
        self.rest.extend_from_slice(text);
        self.bytes += (HEAD_BYTES + text.len()) as u64;
        if self.rest.len() < BLOCK_BYTES {
            return Ok(());
        }
        let failed = |e| Error::io("write a temporary file in", blocks.folder, e);
        let packed = zstd::bulk::compress(&self.rest, 1).map_err(failed)?;
        let at = blocks.end.fetch_add(packed.len() as u64, Ordering::Relaxed);
        files::write_all_at(blocks.file, blocks.folder, &packed, at)?;
        self.blocks.push(Block { at, packed: packed.len(), bytes: self.rest.len() });
        self.rest.clear();
        Ok(())
    }
}

/// How far a lane's lines are read.
#[derive(Default)]
pub struct Cursor {
    block: Vec<u8>,
    /// In `block`, behind the last line.
    at: usize,
    next_block: usize,
}

/// The lines of one lane in order. They are quiet: what they are was counted when they were put off.
pub struct TailLines<'t> {
    tail: &'t Tail,
    lane: &'t LaneTail,
    cursor: &'t mut Cursor,
}

impl TailLines<'_> {
    /// Goes on to the next block; false where there is none.
    fn next_block(&mut self) -> Result<bool> {
        let Cursor { block, at, next_block } = &mut *self.cursor;
        let folder = &self.tail.folder;
        match (self.lane.blocks.get(*next_block), &self.tail.file) {
            (Some(next), Some(file)) => {
                let mut packed = vec![0; next.packed];
                files::read_exact_at(file, folder, &mut packed, next.at)?;
                *block = zstd::bulk::decompress(&packed, next.bytes).map_err(|e| Error::io("read a temporary file in", folder, e))?;
            }
            _ if *next_block == self.lane.blocks.len() && !self.lane.rest.is_empty() => *block = self.lane.rest.clone(),
            _ => return Ok(false),
        }
        (*at, *next_block) = (0, *next_block + 1);
        Ok(true)
    }
}

impl LineSource for TailLines<'_> {
    fn next(&mut self) -> Result<Option<Line<'_>>> {
        if self.cursor.at == self.cursor.block.len() && !self.next_block()? {
            return Ok(None);
        }
        let broken = || Error::internal("a block of a temporary file is not what was written");
        let (block, at) = (&self.cursor.block, self.cursor.at);
        let head = block.get(at..at + HEAD_BYTES).ok_or_else(broken)?;
        let (place, rest) = head.split_first_chunk().ok_or_else(broken)?;
        let (file, rest) = rest.split_first_chunk().ok_or_else(broken)?;
        let (line, rest) = rest.split_first_chunk().ok_or_else(broken)?;
        let (byte, rest) = rest.split_first_chunk().ok_or_else(broken)?;
        let (len, _) = rest.split_first_chunk().ok_or_else(broken)?;
        let start = at + HEAD_BYTES;
        let end = start + u32::from_le_bytes(*len) as usize;
        self.cursor.at = end;
        Ok(Some(Line {
            key: 0,
            rank: 0,
            place: u64::from_le_bytes(*place),
            file: u32::from_le_bytes(*file),
            line: u64::from_le_bytes(*line),
            byte: u64::from_le_bytes(*byte),
            flags: QUIET,
            text: self.cursor.block.get(start..end).ok_or_else(broken)?,
        }))
    }
}
