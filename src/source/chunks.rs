//! Files -> chunks: about a megabyte of whole lines each, in log order.
//!
//! A plain file is cut by byte ranges that workers read themselves: the chunk of a range holds the lines
//! that *begin* inside it. A compressed file is unpacked by a thread of its own, some files ahead.

use std::collections::VecDeque;
use std::fs::File;
use std::ops::Range;
use std::path::Path;
use std::sync::{Arc, Mutex};

use crossbeam_channel::{Receiver, bounded};
use hashbrown::HashMap;

use super::chain::Chain;
use super::container::Unpacker;
use super::files::{Codec, LogFile};
use crate::error::{Error, Kind, Result};
use crate::files;

/// A chunk's size in bytes, before it is extended to the end of its last line.
pub const CHUNK_BYTES: u64 = 256 << 10;

/// Chunks of a compressed file that are unpacked ahead of the scan.
const UNPACKED_AHEAD: usize = 8;

/// How far is looked at once for the end of a line that reaches into the next chunk: most end before.
const LOOK_BYTES: usize = 4 << 10;

/// The longest line that is read where nobody says otherwise; a longer one is refused rather than held in memory.
pub const RECORD_BYTES_MAX: u64 = 256 << 20;

/// A part of a file to scan: decompressed bytes `from..to`, where `to` is only known for plain files.
#[derive(Debug, Clone)]
pub struct Segment {
    pub file: LogFile,
    /// Decompressed offset of the first byte, at the start of a record.
    pub from: u64,
    /// Decompressed offset behind the last byte; `None`: to the end (of a compressed file).
    pub to: Option<u64>,
    /// A line without a line break at the end counts (a sealed part of the log, or a compressed file).
    pub last_line_counts: bool,
}

/// Whole lines of a log.
pub struct Chunk {
    pub ordinal: u64,
    /// Index into the scan's segments.
    pub segment: usize,
    /// Begins at the file's first byte.
    pub starts_file: bool,
    /// Ends with a line break, but for the last line of a file where that counts.
    pub bytes: Vec<u8>,
    /// Bytes behind the last line break that wait for the rest of their line.
    pub pending: u64,
    /// Bytes on disk that it took, for progress.
    pub packed: u64,
}

/// A chunk to be, cheap to hand out.
pub enum Job {
    Range { ordinal: u64, segment: usize, file: Arc<File>, start: u64, end: u64, record_bytes_max: u64 },
    Ready(Chunk),
}

/// Hands out the chunks of a list of segments in log order.
pub struct Jobs {
    segments: Vec<Segment>,
    next_segment: usize,
    ordinal: u64,
    /// The plain file that is being cut, and where its next range starts.
    open: Option<(usize, Arc<File>, u64)>,
    /// Compressed segments whose unpacking has begun, in log order.
    unpacking: VecDeque<(usize, Receiver<Result<Unpacked>>)>,
    ahead_max: usize,
    record_bytes_max: u64,
    /// By segment of a compressed file: the hashes of what lies before it.
    before: HashMap<usize, Chain>,
}

enum Unpacked {
    /// What lies before the segment, hashed.
    Before(Box<Chain>),
    Chunk {
        bytes: Vec<u8>,
        starts_file: bool,
        pending: u64,
        packed: u64,
    },
}

impl Jobs {
    /// `ahead_max`: how many compressed files are unpacked at once. `record_bytes_max`: a longer line is an error.
    pub fn new(segments: Vec<Segment>, ahead_max: usize, record_bytes_max: u64) -> Jobs {
        Jobs {
            segments,
            next_segment: 0,
            ordinal: 0,
            open: None,
            unpacking: VecDeque::new(),
            ahead_max: ahead_max.max(1),
            record_bytes_max,
            before: HashMap::new(),
        }
    }

    /// The hashes of what lies before a compressed segment that does not begin with its file, once a chunk of it has
    /// come, or the next segment's.
    pub fn take_before(&mut self, segment: usize) -> Option<Chain> {
        self.before.remove(&segment)
    }

    pub fn segments(&self) -> &[Segment] {
        &self.segments
    }

    fn unpack_ahead(&mut self) -> Result<()> {
        let mut index = self.unpacking.back().map_or(self.next_segment, |(last, _)| last + 1);
        while index < self.segments.len() && self.unpacking.len() < self.ahead_max {
            let segment = &self.segments[index];
            if !segment.file.is_plain() {
                let (sender, receiver) = bounded(UNPACKED_AHEAD);
                let (segment, most, parts) = (segment.clone(), self.record_bytes_max, self.ahead_max);
                std::thread::Builder::new()
                    .name("unpack".into())
                    .spawn(move || {
                        if let Err(e) = unpack(&segment, most, parts, |unpacked| sender.send(Ok(unpacked)).is_ok()) {
                            // nobody listens any more when the scan was given up
                            let _ = sender.send(Err(e));
                        }
                    })
                    .map_err(|e| Error::new(Kind::Io, format!("cannot start a thread: {e}")))?;
                self.unpacking.push_back((index, receiver));
            }
            index += 1;
        }
        Ok(())
    }

    /// The next chunks of the log, so many at most; none at its end.
    pub fn next_jobs(&mut self, most: usize) -> Result<Vec<Job>> {
        let mut jobs = Vec::new();
        while jobs.len() < most
            && let Some(job) = self.next_job()?
        {
            jobs.push(job);
        }
        Ok(jobs)
    }

    /// The next chunk of the log, or `None` at its end.
    pub fn next_job(&mut self) -> Result<Option<Job>> {
        loop {
            if let Some((segment, file, start)) = self.open.take() {
                let to = self.segments[segment].to.unwrap_or(self.segments[segment].file.size);
                if start < to {
                    let end = (start + CHUNK_BYTES).min(to);
                    self.open = Some((segment, file.clone(), end));
                    let record_bytes_max = self.record_bytes_max;
                    return Ok(Some(Job::Range { ordinal: self.take_ordinal(), segment, file, start, end, record_bytes_max }));
                }
                self.next_segment += 1;
            }
            if self.next_segment >= self.segments.len() {
                return Ok(None);
            }
            let index = self.next_segment;
            if self.segments[index].file.is_plain() {
                let file = Arc::new(self.segments[index].file.open()?);
                self.open = Some((index, file, self.segments[index].from));
                continue;
            }
            self.unpack_ahead()?;
            let received = match self.unpacking.front() {
                Some((front, receiver)) if *front == index => receiver.recv(),
                _ => return Err(Error::internal("a compressed file was not unpacked in its turn")),
            };
            match received {
                Ok(unpacked) => {
                    let (bytes, starts_file, pending, packed) = match unpacked? {
                        Unpacked::Chunk { bytes, starts_file, pending, packed } => (bytes, starts_file, pending, packed),
                        Unpacked::Before(chain) => {
                            self.before.insert(index, *chain);
                            continue;
                        }
                    };
                    let ordinal = self.take_ordinal();
                    return Ok(Some(Job::Ready(Chunk { ordinal, segment: index, starts_file, bytes, pending, packed })));
                }
                Err(_) => {
                    self.unpacking.pop_front();
                    self.next_segment += 1;
                }
            }
        }
    }

    fn take_ordinal(&mut self) -> u64 {
        self.ordinal += 1;
        self.ordinal - 1
    }
}

impl Job {
    /// Index into the scan's segments.
    pub fn segment(&self) -> usize {
        match self {
            Job::Range { segment, .. } => *segment,
            Job::Ready(chunk) => chunk.segment,
        }
    }

    /// Reads what the job stands for.
    pub fn read(self, segments: &[Segment], buffers: &Buffers) -> Result<Chunk> {
        match self {
            Job::Ready(chunk) => Ok(chunk),
            Job::Range { ordinal, segment, file, start, end, record_bytes_max } => {
                let part = &segments[segment];
                let chunk = read_range(ordinal, segment, part, &file, start..end, record_bytes_max, buffers.take());
                // the end of the file came too early: say why
                chunk.map_err(|e| part.file.still_as_long().err().unwrap_or(e))
            }
        }
    }
}

/// Buffers that wait to be filled again, at most: more than the chunks of a round.
const BUFFERS_MAX: usize = 128;

/// Buffers of chunks that were decoded, to be filled again: fresh memory costs a page fault every 4 KiB.
#[derive(Default)]
pub struct Buffers(Mutex<Vec<Vec<u8>>>);

impl Buffers {
    /// A buffer with any content.
    fn take(&self) -> Vec<u8> {
        self.0.lock().unwrap_or_else(|e| e.into_inner()).pop().unwrap_or_default()
    }

    /// Gives a buffer back; one that a long line has made large is dropped.
    pub fn give_back(&self, buffer: Vec<u8>) {
        if buffer.capacity() == 0 || buffer.capacity() > 4 * CHUNK_BYTES as usize {
            return;
        }
        let mut buffers = self.0.lock().unwrap_or_else(|e| e.into_inner());
        // what was unpacked comes in buffers of its own, which nobody takes from here
        if buffers.len() < BUFFERS_MAX {
            buffers.push(buffer);
        }
    }
}

/// Reads the lines that begin in the range of a plain file, into `bytes`, whose content is replaced.
fn read_range(
    ordinal: u64,
    index: usize,
    segment: &Segment,
    file: &File,
    range: Range<u64>,
    record_bytes_max: u64,
    mut bytes: Vec<u8>,
) -> Result<Chunk> {
    let Range { start, end } = range;
    let path = &segment.file.path;
    let to = segment.to.unwrap_or(segment.file.size);
    let from = if start == segment.from { Some(start) } else { line_begins(file, path, start, end)? };
    let Some(from) = from.filter(|from| *from < end) else {
        bytes.clear();
        return Ok(Chunk { ordinal, segment: index, starts_file: false, bytes, pending: 0, packed: end - start });
    };
    // the last line goes on behind the range, unless the range ends with its line break
    let mut at = to.min(end + LOOK_BYTES as u64);
    bytes.resize((at - from) as usize, 0);
    files::read_exact_at(file, path, &mut bytes, from)?;
    let within = (end - from) as usize;
    let mut pending = 0;
    if bytes[within - 1] == b'\n' {
        bytes.truncate(within);
    } else {
        let line = memchr::memrchr(b'\n', &bytes[..within]).map_or(0, |at| at + 1);
        let line_at = from + line as u64;
        let mut looked_at = within;
        loop {
            if let Some(line_end) = memchr::memchr(b'\n', &bytes[looked_at..]) {
                bytes.truncate(looked_at + line_end + 1);
            }
            if (bytes.len() - line) as u64 > record_bytes_max {
                return Err(too_long(segment, line_at, record_bytes_max));
            }
            if bytes.last() == Some(&b'\n') {
                break;
            }
            if at == to {
                if !segment.last_line_counts {
                    pending = (bytes.len() - line) as u64;
                    bytes.truncate(line);
                }
                break;
            }
            looked_at = bytes.len();
            let more = (to - at).min(64 << 10);
            bytes.resize(looked_at + more as usize, 0);
            files::read_exact_at(file, path, &mut bytes[looked_at..], at)?;
            at += more;
        }
    }
    Ok(Chunk { ordinal, segment: index, starts_file: start == 0, bytes, pending, packed: end - start })
}

/// Where the first line begins that does not lie before `start`; `None`: none does before `end`.
fn line_begins(file: &File, path: &Path, start: u64, end: u64) -> Result<Option<u64>> {
    let mut bytes = [0; LOOK_BYTES];
    // one byte more in front tells whether `start` is the beginning of a line
    let mut at = start - 1;
    while at < end {
        let len = (end - at).min(LOOK_BYTES as u64) as usize;
        files::read_exact_at(file, path, &mut bytes[..len], at)?;
        if let Some(line_end) = memchr::memchr(b'\n', &bytes[..len]) {
            return Ok(Some(at + line_end as u64 + 1));
        }
        at += len as u64;
    }
    Ok(None)
}

fn too_long(segment: &Segment, at: u64, record_bytes_max: u64) -> Error {
    let unpacked = if segment.file.is_plain() { "" } else { " (unpacked)" };
    Error::new(Kind::BadData, format!("a line is longer than {record_bytes_max} bytes"))
        .at(format!("{} @ {at}{unpacked}", segment.file.name))
        .with_help("`--max-record-bytes SIZE` allows longer ones, at the price of memory; is it a log of lines at all?")
}

/// The decompressed bytes `from..to` of a file, given out piece by piece in order, while `piece` gives true. Gives how
/// many bytes were given out: fewer where the file ends before.
pub fn read_between(file: &LogFile, from: u64, to: u64, mut piece: impl FnMut(&[u8]) -> Result<bool>) -> Result<u64> {
    let mut bytes = vec![0; CHUNK_BYTES as usize];
    let mut given = 0;
    if file.is_plain() {
        let (open, to) = (file.open()?, to.min(file.size));
        while from + given < to {
            let len = (to - from - given).min(CHUNK_BYTES) as usize;
            files::read_exact_at(&open, &file.path, &mut bytes[..len], from + given)
                .map_err(|e| file.still_as_long().err().unwrap_or(e))?;
            given += len as u64;
            if !piece(&bytes[..len])? {
                break;
            }
        }
        return Ok(given);
    }
    let mut unpacker = Unpacker::open(file)?;
    let mut at = 0;
    while at < to {
        let wanted = if at < from { from - at } else { to - at };
        let len = wanted.min(CHUNK_BYTES) as usize;
        let filled = unpacker.fill(&mut bytes[..len])?;
        at += filled as u64;
        if at > from {
            given += filled as u64;
            if !piece(&bytes[..filled])? {
                break;
            }
        }
        if filled < len {
            break;
        }
    }
    Ok(given)
}

/// Unpacks a compressed segment, so many parts of it at once where that can be, and gives out its chunks, until `give` says that nobody wants more.
fn unpack(segment: &Segment, record_bytes_max: u64, parts: usize, mut give: impl FnMut(Unpacked) -> bool) -> Result<()> {
    let mut unpacker = Unpacker::open(&segment.file)?.ahead(parts);
    let mut offset = 0;
    if segment.from > 0 {
        let mut chain = Chain::default();
        let mut skipped = vec![0; CHUNK_BYTES as usize];
        while offset < segment.from {
            let len = (segment.from - offset).min(CHUNK_BYTES) as usize;
            let filled = unpacker.fill(&mut skipped[..len]).map_err(|e| match e.kind {
                // it was read to there once
                Kind::BadData => Error { kind: Kind::HistoryChanged, ..e },
                _ => e,
            })?;
            chain.update(&skipped[..filled]);
            offset += filled as u64;
            if filled < len {
                break;
            }
        }
        // a file that has become shorter than what was consumed of it: whoever gets the chain sees that
        if !give(Unpacked::Before(Box::new(chain))) || offset < segment.from {
            return Ok(());
        }
    }
    let mut used = unpacker.packed();
    let mut rest: Vec<u8> = Vec::new();
    let mut first = segment.from == 0;
    loop {
        let mut bytes = std::mem::take(&mut rest);
        let before = bytes.len();
        let wanted = segment.to.map_or(CHUNK_BYTES, |to| to.saturating_sub(offset).min(CHUNK_BYTES)) as usize;
        bytes.resize(before + wanted, 0);
        let filled = unpacker.fill(&mut bytes[before..])?;
        bytes.truncate(before + filled);
        offset += filled as u64;
        if first && before == 0 {
            refuse_packed_twice(segment, &bytes)?;
        }
        let ended = filled < wanted || segment.to.is_some_and(|to| offset >= to);
        // what is left over of the chunk before has no line break
        let line_end = memchr::memchr(b'\n', &bytes[before..]).map_or(bytes.len(), |at| before + at + 1);
        if before > 0 && line_end as u64 > record_bytes_max {
            return Err(too_long(segment, offset - bytes.len() as u64, record_bytes_max));
        }
        let keep = match memchr::memrchr(b'\n', &bytes[before..]) {
            _ if ended && segment.last_line_counts => bytes.len(),
            Some(at) => before + at + 1,
            None if ended => 0,
            None => {
                rest = bytes;
                continue;
            }
        };
        rest = bytes.split_off(keep);
        let pending = if ended { rest.len() as u64 } else { 0 };
        let packed = unpacker.packed() - used;
        used += packed;
        if !give(Unpacked::Chunk { bytes, starts_file: first, pending, packed }) || ended {
            return Ok(());
        }
        first = false;
    }
}

/// A file that was compressed twice unpacks to one that is no text.
fn refuse_packed_twice(segment: &Segment, bytes: &[u8]) -> Result<()> {
    let inner = Codec::of(bytes);
    if inner == Codec::Plain {
        return Ok(());
    }
    Err(Error::new(
        Kind::BadData,
        format!("the file was compressed twice: within the {} data lies {}", segment.file.codec.name(), inner.name()),
    )
    .at(segment.file.name.clone())
    .with_help("unpack it once"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file that was cut behind its listing must never pass as a shorter one.
    #[test]
    fn a_file_that_is_cut_while_it_is_read_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        // more than is unpacked ahead
        let plain: Vec<u8> = b"{}\n".repeat(2_000_000);
        let gzip = {
            let mut member = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::none());
            std::io::Write::write_all(&mut member, &plain).unwrap();
            member.finish().unwrap()
        };
        for bytes in [plain, gzip] {
            std::fs::write(&path, &bytes).unwrap();
            let file = LogFile::at(path.clone(), "log".into()).unwrap();
            let segment = Segment { file: file.clone(), from: 0, to: None, last_line_counts: true };
            let mut jobs = Jobs::new(vec![segment], 1, RECORD_BYTES_MAX);
            let mut seen = 0;
            let read = |jobs: &mut Jobs| -> Result<Option<u64>> {
                let Some(job) = jobs.next_job()? else { return Ok(None) };
                Ok(Some(job.read(jobs.segments(), &Buffers::default())?.bytes.len() as u64))
            };
            seen += read(&mut jobs).unwrap().unwrap();
            // what was opened is the same file, only shorter
            std::fs::File::options().write(true).open(&path).unwrap().set_len(300_000).unwrap();
            let error = loop {
                match read(&mut jobs) {
                    Ok(Some(bytes)) => seen += bytes,
                    Ok(None) => panic!("{} ended silently after {seen} bytes", file.codec.name()),
                    Err(error) => break error,
                }
            };
            assert_eq!(error.kind, Kind::Io, "{error}");
            assert!(error.message.contains("was cut"), "{error}");
        }
    }
}
