//! Files of events, plain or compressed.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use super::shop::Shop;

/// A compressed file gets a new gzip member or zstd frame after this many bytes, as log shippers do.
const MEMBER_BYTES: usize = 1 << 20;

/// How hard files are compressed. The defaults are part of the fixtures' bytes.
#[derive(Clone, Copy)]
pub struct Levels {
    gzip: u32,
    pub zstd: i32,
}

impl Default for Levels {
    fn default() -> Levels {
        Levels { gzip: 9, zstd: 19 }
    }
}

/// Writes the shop's next events; the name's extension says whether they are compressed.
pub fn write_file(shop: &mut Shop, name: &str, events: u64, levels: Levels) -> io::Result<()> {
    if name == "-" {
        return write_events(shop, events, &mut io::stdout().lock());
    }
    let file = File::create(name)?;
    match Path::new(name).extension().and_then(|e| e.to_str()) {
        Some("gz") => write_events(shop, events, &mut Gzip { out: BufWriter::new(file), level: levels.gzip }),
        Some("zst") => write_events(shop, events, &mut Zstd { out: BufWriter::new(file), level: levels.zstd }),
        _ => write_events(shop, events, &mut { file }),
    }
}

/// Hands over whole events, about [`MEMBER_BYTES`] at a time.
fn write_events(shop: &mut Shop, events: u64, out: &mut dyn Write) -> io::Result<()> {
    let mut buffer = Vec::with_capacity(MEMBER_BYTES + 1024);
    for _ in 0..events {
        shop.next_event(&mut buffer);
        if buffer.len() >= MEMBER_BYTES {
            out.write_all(&buffer)?;
            buffer.clear();
        }
    }
    out.write_all(&buffer)?;
    out.flush()
}

/// Each write becomes one gzip member.
struct Gzip<W: Write> {
    out: W,
    level: u32,
}

impl<W: Write> Write for Gzip<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if !bytes.is_empty() {
            let mut member = flate2::write::GzEncoder::new(&mut self.out, flate2::Compression::new(self.level));
            member.write_all(bytes)?;
            member.finish()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// Each write becomes one zstd frame with a checksum.
struct Zstd<W: Write> {
    out: W,
    level: i32,
}

impl<W: Write> Write for Zstd<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if !bytes.is_empty() {
            let mut frame = zstd::Encoder::new(&mut self.out, self.level)?;
            frame.include_checksum(true)?;
            frame.write_all(bytes)?;
            frame.finish()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}
