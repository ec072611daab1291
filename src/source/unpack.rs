//! The decompressed bytes of a log file, member by member (gzip, bzip2) or frame by frame (zstd, lz4, snappy), each with its checksum.
//!
//! What is behind the last whole member is either the beginning of one that is still being written, which waits, or it
//! does not belong there, which is an error. Unpacking is streamed: a small file that unpacks to a huge one costs time,
//! not memory.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};

use flate2::bufread::GzDecoder;
use zstd::stream::raw::{Decoder, InBuffer, Operation, OutBuffer};

use super::files::{Codec, LogFile};
use crate::error::{Error, Kind, Result};
use crate::files;

/// The largest zstd window that is unpacked, as an exponent of 2: 128 MiB of memory, what `zstd -d` takes by default.
const WINDOW_LOG_MAX: u32 = 27;

/// Reads a log file's decompressed bytes in order.
pub struct Decompressor<'f> {
    file: &'f LogFile,
    packing: Packing,
    /// Decompressed bytes given out.
    given: u64,
    /// Bytes on disk through the last whole member.
    whole: u64,
}

enum Packing {
    Plain(Counted),
    /// `None` only while a member is exchanged for the next one.
    Members(Option<Member>),
    Snappy(Box<snap::read::FrameDecoder<Counted>>),
    Zstd {
        reader: Counted,
        decoder: Box<Decoder<'static>>,
        inside: bool,
    },
    /// All members were read.
    Ended(u64),
}

/// One of several independent parts of a file.
enum Member {
    Gzip(Box<GzDecoder<Counted>>),
    Bzip2(Box<bzip2::bufread::BzDecoder<Counted>>),
    Lz4(Box<lz4_flex::frame::FrameDecoder<Counted>>),
}

impl Member {
    fn new(codec: Codec, reader: Counted) -> Member {
        match codec {
            Codec::Bzip2 => Member::Bzip2(Box::new(bzip2::bufread::BzDecoder::new(reader))),
            Codec::Lz4 => Member::Lz4(Box::new(lz4_flex::frame::FrameDecoder::new(reader))),
            _ => Member::Gzip(Box::new(GzDecoder::new(reader))),
        }
    }

    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match self {
            Member::Gzip(decoder) => decoder.read(into),
            Member::Bzip2(decoder) => decoder.read(into),
            Member::Lz4(decoder) => decoder.read(into),
        }
    }

    fn used(&self) -> u64 {
        match self {
            Member::Gzip(decoder) => decoder.get_ref().used,
            Member::Bzip2(decoder) => decoder.get_ref().used,
            Member::Lz4(decoder) => decoder.get_ref().used,
        }
    }

    fn into_inner(self) -> Counted {
        match self {
            Member::Gzip(decoder) => decoder.into_inner(),
            Member::Bzip2(decoder) => decoder.into_inner(),
            Member::Lz4(decoder) => decoder.into_inner(),
        }
    }
}

/// Counts the bytes on disk that were used.
struct Counted {
    inner: BufReader<io::Take<File>>,
    used: u64,
}

impl Read for Counted {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(into)?;
        self.used += read as u64;
        Ok(read)
    }
}

impl BufRead for Counted {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.inner.fill_buf()
    }

    fn consume(&mut self, amount: usize) {
        self.used += amount as u64;
        self.inner.consume(amount);
    }
}

/// Why no more bytes come.
enum Trouble {
    /// The file ends inside of a member.
    Cut,
    /// What follows the last member is none.
    Junk,
    Window,
    Broken(io::Error),
}

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Trouble {
        if error.kind() == io::ErrorKind::UnexpectedEof { Trouble::Cut } else { Trouble::Broken(error) }
    }
}

impl<'f> Decompressor<'f> {
    pub fn open(file: &'f LogFile) -> Result<Decompressor<'f>> {
        let reader = Counted { inner: BufReader::with_capacity(256 << 10, file.open()?.take(file.size)), used: 0 };
        let packing = match file.codec {
            Codec::Plain => Packing::Plain(reader),
            Codec::Gzip | Codec::Bzip2 | Codec::Lz4 => Packing::Members(Some(Member::new(file.codec, reader))),
            Codec::Snappy => Packing::Snappy(Box::new(snap::read::FrameDecoder::new(reader))),
            Codec::Zstd => {
                let decoder = Decoder::new().map_err(|e| Error::io("unpack", &file.path, e))?;
                Packing::Zstd { reader, decoder: Box::new(decoder), inside: false }
            }
        };
        Ok(Decompressor { file, packing, given: 0, whole: 0 })
    }

    pub fn file(&self) -> &'f LogFile {
        self.file
    }

    /// Bytes on disk that were used so far.
    pub fn packed(&self) -> u64 {
        match &self.packing {
            Packing::Plain(reader) | Packing::Zstd { reader, .. } => reader.used,
            Packing::Members(member) => member.as_ref().map_or(self.whole, Member::used),
            Packing::Snappy(decoder) => decoder.get_ref().used,
            Packing::Ended(used) => *used,
        }
    }

    /// Fills `into` from its beginning; fewer bytes only at the end of the last whole member. Where the one behind it
    /// is cut, the file's entry is told how far the whole ones go, and the error is of [`Kind::BadData`].
    pub fn fill(&mut self, into: &mut [u8]) -> Result<usize> {
        let mut filled = 0;
        while filled < into.len() {
            match self.read(&mut into[filled..]) {
                Ok(0) => break,
                Ok(n) => {
                    filled += n;
                    self.given += n as u64;
                }
                Err(trouble) => return Err(self.error(trouble)),
            }
        }
        Ok(filled)
    }

    fn read(&mut self, into: &mut [u8]) -> Result<usize, Trouble> {
        match &mut self.packing {
            Packing::Plain(reader) => match reader.read(into) {
                Err(e) if e.kind() == io::ErrorKind::Interrupted => self.read(into),
                read => Ok(read?),
            },
            Packing::Members(_) => self.read_member(into),
            Packing::Snappy(decoder) => match decoder.read(into) {
                Ok(0) => {
                    self.whole = decoder.get_ref().used;
                    self.packing = Packing::Ended(self.whole);
                    Ok(0)
                }
                read => Ok(read?),
            },
            Packing::Zstd { .. } => self.read_zstd(into),
            Packing::Ended(_) => Ok(0),
        }
    }

    fn read_member(&mut self, into: &mut [u8]) -> Result<usize, Trouble> {
        let Packing::Members(slot) = &mut self.packing else { return Ok(0) };
        while let Some(mut member) = slot.take() {
            let read = member.read(into);
            if !matches!(read, Ok(0)) {
                *slot = Some(member);
                return Ok(read?);
            }
            let mut reader = member.into_inner();
            self.whole = reader.used;
            let codec = self.file.codec;
            match reader.fill_buf()? {
                [] => {
                    self.packing = Packing::Ended(self.whole);
                    return Ok(0);
                }
                next if codec.may_begin(next) => *slot = Some(Member::new(codec, reader)),
                _ => return Err(behind_the_last(&mut reader)),
            }
        }
        Ok(0)
    }

    fn read_zstd(&mut self, into: &mut [u8]) -> Result<usize, Trouble> {
        let Packing::Zstd { reader, decoder, inside } = &mut self.packing else { return Ok(0) };
        loop {
            let input = reader.fill_buf()?;
            if !*inside {
                match input {
                    [] => {
                        self.packing = Packing::Ended(self.whole);
                        return Ok(0);
                    }
                    [a, b, c, d, ..] if Codec::of(&[*a, *b, *c, *d]) != Codec::Zstd => return Err(behind_the_last(reader)),
                    _ => decoder.reinit()?,
                }
            }
            let at_end = input.is_empty();
            let mut packed = InBuffer::around(input);
            let mut unpacked = OutBuffer::around(into);
            let hint = decoder.run(&mut packed, &mut unpacked).map_err(|e| {
                let window = e.to_string().contains("too much memory");
                if window { Trouble::Window } else { Trouble::Broken(e) }
            })?;
            let (used, made) = (packed.pos(), unpacked.pos());
            reader.consume(used);
            *inside = hint != 0;
            if !*inside {
                self.whole = reader.used;
            }
            if made > 0 {
                return Ok(made);
            }
            if at_end && *inside {
                return Err(Trouble::Cut);
            }
        }
    }

    fn error(&self, trouble: Trouble) -> Error {
        let file = self.file;
        let unpacked = format!("{} @ {} (unpacked)", file.name, self.given);
        let bad = |what: String| Error::new(Kind::BadData, what);
        if let Err(cut) = file.still_as_long() {
            return cut;
        }
        match trouble {
            Trouble::Cut => {
                if self.whole > 0 {
                    let _ = file.whole.set(self.whole);
                }
                bad(format!("the {} data is cut: it ends inside of a {}", file.codec.name(), file.codec.member()))
                    .at(unpacked)
                    .with_help("export or copy the file again; a file that is still being written is read when it is complete")
            }
            Trouble::Junk => {
                let whole = self.whole;
                bad(format!("something that is no {} follows the last one", file.codec.member()))
                    .at(format!("{} @ {whole} (on disk)", file.name))
                    .with_help(format!("cut the file there, or write it again; {whole} bytes of it are whole"))
            }
            Trouble::Window => {
                let header = files::read_range(&file.path, self.whole, 18).unwrap_or_default();
                let needed = window_bytes(&header).map_or(String::new(), |bytes| format!(" of {bytes} bytes"));
                bad(format!("a zstd frame needs a window{needed}; {} bytes are unpacked at most", 1u64 << WINDOW_LOG_MAX))
                    .at(format!("{} @ {} (on disk)", file.name, self.whole))
                    .with_help(format!("compress it again without `--long`, or with `--long={WINDOW_LOG_MAX}`"))
            }
            Trouble::Broken(e) => bad(format!("the {} data is broken: {e}", file.codec.name()))
                .at(unpacked)
                .with_help("export or copy the file again; nothing of a file that fails its checksum is used"),
        }
    }
}

/// What stands behind a whole member and is none: NULs up to the end are a write that was torn, all else is junk.
fn behind_the_last(reader: &mut Counted) -> Trouble {
    loop {
        match reader.fill_buf() {
            Ok([]) => return Trouble::Cut,
            Ok(bytes) if bytes.iter().all(|byte| *byte == 0) => {
                let count = bytes.len();
                reader.consume(count);
            }
            Ok(_) => return Trouble::Junk,
            Err(e) => return e.into(),
        }
    }
}

/// The window that a zstd frame asks for, by its header (RFC 8878, section 3.1.1.1).
fn window_bytes(header: &[u8]) -> Option<u64> {
    let descriptor = *header.get(4)?;
    if descriptor & 0x20 == 0 {
        let window = *header.get(5)? as u64;
        let base = 1u64 << (10 + (window >> 3));
        return Some(base + base / 8 * (window & 7));
    }
    let dictionary = [0, 1, 2, 4][(descriptor & 3) as usize];
    let width = [1, 2, 4, 8][(descriptor >> 6) as usize];
    let size = header.get(5 + dictionary..5 + dictionary + width)?;
    let size = size.iter().rev().fold(0u64, |size, byte| size << 8 | *byte as u64);
    Some(if width == 2 { size + 256 } else { size })
}
