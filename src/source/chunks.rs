//! Files -> chunks: about a megabyte of whole lines each, in log order.
//!
//! A plain file is cut by byte ranges that workers read themselves: the chunk of a range holds the lines
//! that *begin* inside it. A compressed file is unpacked by a thread of its own, some files ahead.

use std::collections::VecDeque;
use std::fs::File;
use std::io::Read;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use crossbeam_channel::{Receiver, bounded};

use super::files::{Codec, LogFile};
use crate::error::{Error, Kind, Result};
use crate::files;

/// A chunk's size in bytes, before it is extended to the end of its last line.
pub const CHUNK_BYTES: u64 = 256 << 10;

/// The longest line that is read; a longer one is refused rather than held in memory.
pub const RECORD_BYTES_MAX: usize = 256 << 20;

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
    Range { ordinal: u64, segment: usize, file: Arc<File>, start: u64, end: u64 },
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
}

struct Unpacked {
    bytes: Vec<u8>,
    starts_file: bool,
    pending: u64,
    packed: u64,
}

/// Counts what is read through it.
struct Counting<R> {
    inner: R,
    count: Arc<AtomicU64>,
}

impl<R: Read> Read for Counting<R> {
    fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
        let n = self.inner.read(buf)?;
        self.count.fetch_add(n as u64, Ordering::Relaxed);
        Ok(n)
    }
}

impl Jobs {
    /// `ahead_max`: how many compressed files are unpacked at once.
    pub fn new(segments: Vec<Segment>, ahead_max: usize) -> Jobs {
        Jobs { segments, next_segment: 0, ordinal: 0, open: None, unpacking: VecDeque::new(), ahead_max: ahead_max.max(1) }
    }

    pub fn segments(&self) -> &[Segment] {
        &self.segments
    }

    fn unpack_ahead(&mut self) -> Result<()> {
        let mut index = self.unpacking.back().map_or(self.next_segment, |(last, _)| last + 1);
        while index < self.segments.len() && self.unpacking.len() < self.ahead_max {
            let segment = &self.segments[index];
            if segment.file.codec != Codec::Plain {
                let (sender, receiver) = bounded(8);
                let segment = segment.clone();
                std::thread::Builder::new()
                    .name("unpack".into())
                    .spawn(move || {
                        if let Err(e) = unpack(&segment, |unpacked| sender.send(Ok(unpacked)).is_ok()) {
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

    /// The next chunk of the log, or `None` at its end.
    pub fn next_job(&mut self) -> Result<Option<Job>> {
        loop {
            if let Some((segment, file, start)) = self.open.take() {
                let to = self.segments[segment].to.unwrap_or(self.segments[segment].file.size);
                if start < to {
                    let end = (start + CHUNK_BYTES).min(to);
                    self.open = Some((segment, file.clone(), end));
                    return Ok(Some(Job::Range { ordinal: self.take_ordinal(), segment, file, start, end }));
                }
                self.next_segment += 1;
            }
            if self.next_segment >= self.segments.len() {
                return Ok(None);
            }
            let index = self.next_segment;
            if self.segments[index].file.codec == Codec::Plain {
                let file = Arc::new(files::open(&self.segments[index].file.path)?);
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
                    let Unpacked { bytes, starts_file, pending, packed } = unpacked?;
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
            Job::Range { ordinal, segment, file, start, end } => {
                read_range(ordinal, segment, &segments[segment], &file, start..end, buffers.take())
            }
        }
    }
}

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
        if buffer.capacity() <= 4 * CHUNK_BYTES as usize {
            self.0.lock().unwrap_or_else(|e| e.into_inner()).push(buffer);
        }
    }
}

/// Reads the lines that begin in the range of a plain file, into `bytes`, whose content is replaced.
fn read_range(ordinal: u64, index: usize, segment: &Segment, file: &File, range: Range<u64>, mut bytes: Vec<u8>) -> Result<Chunk> {
    let Range { start, end } = range;
    let path = &segment.file.path;
    let to = segment.to.unwrap_or(segment.file.size);
    // one byte more in front tells whether `start` is the beginning of a line
    let read_from = if start == segment.from { start } else { start - 1 };
    bytes.resize((end - read_from) as usize, 0);
    files::read_exact_at(file, path, &mut bytes, read_from)?;
    if read_from < start {
        match memchr::memchr(b'\n', &bytes) {
            Some(at) => drop(bytes.drain(..=at)),
            None => {
                return Ok(Chunk { ordinal, segment: index, starts_file: false, bytes: Vec::new(), pending: 0, packed: end - start });
            }
        }
    }
    // the last line goes on behind the range, unless the range ends with its line break
    let mut at = end;
    let mut pending = 0;
    if bytes.last().is_some_and(|b| *b != b'\n') {
        loop {
            if at == to {
                if !segment.last_line_counts {
                    let keep = memchr::memrchr(b'\n', &bytes).map_or(0, |at| at + 1);
                    pending = (bytes.len() - keep) as u64;
                    bytes.truncate(keep);
                }
                break;
            }
            let mut more = vec![0; (to - at).min(64 << 10) as usize];
            files::read_exact_at(file, path, &mut more, at)?;
            at += more.len() as u64;
            if let Some(line_end) = memchr::memchr(b'\n', &more) {
                bytes.extend_from_slice(&more[..=line_end]);
                break;
            }
            bytes.extend_from_slice(&more);
            if bytes.len() > RECORD_BYTES_MAX {
                return Err(too_long(segment, at));
            }
        }
    }
    Ok(Chunk { ordinal, segment: index, starts_file: start == 0, bytes, pending, packed: end - start })
}

fn too_long(segment: &Segment, at: u64) -> Error {
    Error::new(Kind::BadData, format!("a line is longer than {} MiB", RECORD_BYTES_MAX >> 20)).at(format!("{} @ {at}", segment.file.name))
}

/// The decompressed bytes `0..to` of a file, given out piece by piece in order: to check what was consumed.
pub fn read_prefix(file: &LogFile, to: u64, mut piece: impl FnMut(&[u8])) -> Result<u64> {
    let segment = Segment { file: file.clone(), from: 0, to: Some(to), last_line_counts: true };
    let mut total = 0;
    unpack(&segment, |unpacked| {
        total += unpacked.bytes.len() as u64;
        piece(&unpacked.bytes);
        true
    })?;
    Ok(total)
}

/// Unpacks a compressed segment and gives out its chunks, until `give` says that nobody wants more.
fn unpack(segment: &Segment, mut give: impl FnMut(Unpacked) -> bool) -> Result<()> {
    let count = Arc::new(AtomicU64::new(0));
    let file = Counting { inner: files::open(&segment.file.path)?.take(segment.file.size), count: count.clone() };
    let mut reader: Box<dyn Read> = match segment.file.codec {
        Codec::Plain => Box::new(file),
        Codec::Gzip => Box::new(flate2::read::MultiGzDecoder::new(std::io::BufReader::with_capacity(256 << 10, file))),
        Codec::Zstd => Box::new(zstd::Decoder::new(file).map_err(|e| Error::io("unpack", &segment.file.path, e))?),
    };
    let broken = |offset: u64, e: std::io::Error| {
        Error::new(Kind::BadData, format!("the {} data is broken or cut: {e}", segment.file.codec.name()))
            .at(format!("{} @ {offset} (unpacked)", segment.file.name))
            .with_help("export or copy the file again; a file that is still being written is read when it is complete")
    };
    let mut offset = 0;
    while offset < segment.from {
        let mut skipped = vec![0; (segment.from - offset).min(CHUNK_BYTES) as usize];
        reader.read_exact(&mut skipped).map_err(|e| broken(offset, e))?;
        offset += skipped.len() as u64;
    }
    let mut rest: Vec<u8> = Vec::new();
    let mut first = segment.from == 0;
    loop {
        let mut bytes = std::mem::take(&mut rest);
        let left = segment.to.map_or(CHUNK_BYTES, |to| to.saturating_sub(offset).min(CHUNK_BYTES));
        let wanted = bytes.len() + left as usize;
        let filled = fill(&mut reader, &mut bytes, wanted).map_err(|e| broken(offset, e))?;
        offset += filled as u64;
        let ended = bytes.len() < wanted || segment.to.is_some_and(|to| offset >= to);
        let keep = match memchr::memrchr(b'\n', &bytes) {
            _ if ended && segment.last_line_counts => bytes.len(),
            Some(at) => at + 1,
            None if ended => 0,
            None if bytes.len() > RECORD_BYTES_MAX => return Err(too_long(segment, offset)),
            None => {
                rest = bytes;
                continue;
            }
        };
        rest = bytes.split_off(keep);
        let pending = if ended { rest.len() as u64 } else { 0 };
        let packed = count.swap(0, Ordering::Relaxed);
        if !give(Unpacked { bytes, starts_file: first, pending, packed }) || ended {
            return Ok(());
        }
        first = false;
    }
}

fn fill(reader: &mut impl Read, bytes: &mut Vec<u8>, wanted: usize) -> std::io::Result<usize> {
    let before = bytes.len();
    bytes.resize(wanted, 0);
    let mut at = before;
    while at < wanted {
        match reader.read(&mut bytes[at..]) {
            Ok(0) => break,
            Ok(n) => at += n,
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    bytes.truncate(at);
    Ok(at - before)
}
