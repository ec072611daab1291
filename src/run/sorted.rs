//! Sorted lines on their way into a scan: chunks of them, and what is known of each.

use std::sync::Arc;

use super::sorting::{Line, Lines};
use crate::error::Result;
use crate::source::Origin;
use crate::source::chunks::{CHUNK_BYTES, Chunk};

/// The line's own record gave its key.
pub const KEYED: u8 = 1;
/// The line is new in this run.
pub const FRESH: u8 = 2;
/// It is counted and reported elsewhere.
pub const QUIET: u8 = 4;
/// Its position has passed already, where duplicates are told by it.
const REPEATED: u8 = 8;

/// Gives lines in order.
pub trait LineSource {
    /// The next line, valid until the one after it is asked for.
    fn next(&mut self) -> Result<Option<Line<'_>>>;
}

impl LineSource for Lines<'_> {
    fn next(&mut self) -> Result<Option<Line<'_>>> {
        Ok(if self.advance()? { self.current() } else { None })
    }
}

/// Of a whole log that is sorted by position the lines that are new, where duplicates are told by position: some stand
/// before positions of earlier runs, and only the whole log can tell which of those are duplicates.
pub struct FreshOf<'a> {
    lines: Lines<'a>,
    position: Option<i64>,
}

impl<'a> FreshOf<'a> {
    pub fn new(whole: Lines<'a>) -> Self {
        FreshOf { lines: whole, position: None }
    }
}

impl LineSource for FreshOf<'_> {
    fn next(&mut self) -> Result<Option<Line<'_>>> {
        let mut repeated = false;
        while self.lines.advance()? {
            let Some(Line { key, flags, .. }) = self.lines.current() else { break };
            if flags & KEYED != 0 {
                repeated = self.position == Some(key);
                self.position = Some(key);
            }
            if flags & FRESH != 0 {
                // what is new is quiet only in a replay of the whole
                let flags = flags & !QUIET | if repeated && flags & KEYED != 0 { REPEATED } else { 0 };
                return Ok(self.lines.current().map(|line| Line { flags, ..line }));
            }
        }
        Ok(None)
    }
}

/// A chunk of sorted lines.
pub struct SortedChunk {
    pub chunk: Chunk,
    /// By line of the chunk.
    pub origins: Vec<Origin>,
    pub quiet: Vec<u32>,
    pub repeated: Vec<u32>,
    /// By line of the chunk: see [`Line::place`].
    pub places: Vec<u64>,
}

impl SortedChunk {
    /// The next chunk; `None` at the end. `names`: of files, by [`Line::file`].
    pub fn fill(lines: &mut dyn LineSource, names: &[Arc<str>], ordinal: u64) -> Result<Option<SortedChunk>> {
        let chunk = Chunk { ordinal, segment: 0, starts_file: false, bytes: Vec::new(), pending: 0, packed: 0 };
        let mut sorted = SortedChunk { chunk, origins: Vec::new(), quiet: Vec::new(), repeated: Vec::new(), places: Vec::new() };
        while sorted.chunk.bytes.len() < CHUNK_BYTES as usize
            && let Some(line) = lines.next()?
        {
            let number = sorted.origins.len() as u32;
            if line.flags & QUIET != 0 {
                sorted.quiet.push(number);
            }
            if line.flags & REPEATED != 0 {
                sorted.repeated.push(number);
            }
            let file = names.get(line.file as usize).cloned().unwrap_or_default();
            sorted.places.push(line.place);
            sorted.origins.push(Origin { file, line: line.line, byte: Some(line.byte) });
            sorted.chunk.bytes.extend_from_slice(line.text);
            sorted.chunk.bytes.push(b'\n');
        }
        Ok((!sorted.origins.is_empty()).then_some(sorted))
    }
}
