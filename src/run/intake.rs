//! What is to be read: the consumed part of each log, checked to be what it was, and what is new behind it.

use std::path::Path;

use crate::error::{Error, Kind, Result};
use crate::files;
use crate::project::{OnVanished, Project};
use crate::source::chunks::{Segment, read_prefix};
use crate::source::files::{Codec, LogFile, discover};
use crate::state::manifest;

/// How many bytes at the head and before the consumed end of a file are hashed.
pub const HASHED_BYTES: u64 = 64 << 10;

/// A segment to scan, and the file it belongs to as the manifest counts files.
#[derive(Debug, Clone)]
pub struct Part {
    pub file: usize,
    pub segment: Segment,
    /// The streams passed their holes behind it (`on_gap = "skip"`): a run ended there.
    pub passes_holes: bool,
}

/// One source's log: what was consumed, in log order, and what is new.
#[derive(Debug, Clone, Default)]
pub struct Intake {
    /// Every known file; the scan brings the entries of new and grown ones up to date.
    pub files: Vec<manifest::LogFile>,
    pub old: Vec<Part>,
    pub fresh: Vec<Part>,
    /// Globs that match nothing although other patterns of the source do.
    pub empty_globs: Vec<String>,
    /// Set where the log cannot be replayed, with the reason.
    pub cannot_replay: Option<Error>,
}

impl Intake {
    /// Bytes on disk that a scan of these parts reads, about.
    pub fn bytes(parts: &[Part]) -> u64 {
        parts
            .iter()
            .map(|part| match (part.segment.file.codec, part.segment.to) {
                (Codec::Plain, Some(to)) => to - part.segment.from,
                _ => part.segment.file.size,
            })
            .sum()
    }
}

/// Compares a source's files with what the last generation consumed of them.
pub fn intake(project: &Project, source: usize, last: Option<&manifest::Source>) -> Result<Intake> {
    let definition = &project.sources[source];
    let known = last.map_or(&[][..], |s| &s.files);
    let (found, empty_globs) = discover(definition, &project.root, !known.is_empty())?;
    let mut intake = Intake { files: known.to_vec(), old: Vec::new(), fresh: Vec::new(), empty_globs, cannot_replay: None };
    let mut on_disk: Vec<Option<LogFile>> = Vec::with_capacity(known.len());
    for entry in known {
        let file = match found.iter().find(|f| f.name == entry.path) {
            Some(file) => Some(file.clone()),
            None => still_there(&project.root, entry)?,
        };
        match &file {
            Some(file) => unchanged(file, entry)?,
            None => {
                let gone = Error::new(Kind::HistoryChanged, "a log file that was consumed is gone")
                    .at(entry.path.clone())
                    .with_help("bring it back, or set `on_vanished = \"keep\"` in its [source] to go on from the snapshot");
                if definition.on_vanished == OnVanished::Fail {
                    return Err(gone);
                }
                intake.cannot_replay = Some(gone);
            }
        }
        on_disk.push(file);
    }
    for segment in last.map_or(&[][..], |s| &s.segments) {
        let Some(Some(file)) = on_disk.get(segment.file) else { continue };
        let segment_of_file = Segment { file: file.clone(), from: segment.from, to: Some(segment.to), last_line_counts: true };
        intake.old.push(Part { file: segment.file, segment: segment_of_file, passes_holes: segment.passed_holes });
    }
    for file in found {
        let compressed = file.codec != Codec::Plain;
        let number = match known.iter().position(|entry| entry.path == file.name) {
            Some(number) => {
                let grown = if compressed { file.size != known[number].size } else { file.size > known[number].consumed };
                if !grown {
                    continue;
                }
                number
            }
            None => {
                intake.files.push(manifest::LogFile {
                    path: file.name.clone(),
                    codec: file.codec.name().into(),
                    size: file.size,
                    consumed: 0,
                    records: 0,
                    lines: 0,
                    head_hash: String::new(),
                    tail_hash: String::new(),
                    packed_hash: String::new(),
                    sealed: compressed,
                    first_position: None,
                    last_position: None,
                });
                intake.files.len() - 1
            }
        };
        let from = intake.files[number].consumed;
        intake.files[number].size = file.size;
        let to = (!compressed).then_some(file.size);
        // an unterminated last line of a plain file may still be written to; a compressed file is complete
        let segment = Segment { file, from, to, last_line_counts: compressed };
        intake.fresh.push(Part { file: number, segment, passes_holes: false });
    }
    Ok(intake)
}

/// What a generation consumed of a source and nothing behind it, checked to be what it was. A file that is gone is an
/// error, whatever `on_vanished` says: without it there is no replay.
pub fn consumed(project: &Project, source: usize, last: &manifest::Source) -> Result<Intake> {
    let mut intake = intake(project, source, Some(last))?;
    match intake.cannot_replay.take() {
        Some(error) => Err(error),
        None => Ok(Intake { files: last.files.clone(), fresh: Vec::new(), ..intake }),
    }
}

/// A consumed file that the globs do not name any more, but that is still there.
fn still_there(root: &Path, entry: &manifest::LogFile) -> Result<Option<LogFile>> {
    let path = root.join(&entry.path);
    if !path.is_file() {
        return Ok(None);
    }
    let codec = [Codec::Plain, Codec::Gzip, Codec::Zstd].into_iter().find(|c| c.name() == entry.codec).unwrap_or(Codec::Plain);
    Ok(Some(LogFile { size: files::metadata(&path)?.len(), name: entry.path.clone(), codec, path }))
}

/// Refuses a file whose consumed part is not what it was. The quick check: its length, the first and the
/// last 64 KiB consumed; an edit in the middle of a file goes unnoticed here.
fn unchanged(file: &LogFile, entry: &manifest::LogFile) -> Result<()> {
    let changed = |what: String| {
        Error::new(Kind::HistoryChanged, format!("a log file that was consumed is not what it was: {what}"))
            .at(entry.path.clone())
            .with_help("nothing was published; put the file back as it was, or start over with `foldline rebuild` in a fresh `.foldline`")
    };
    let codec_changed = file.codec.name() != entry.codec;
    let hashes = if codec_changed {
        None
    } else if file.codec == Codec::Plain {
        if file.size < entry.consumed {
            return Err(changed(format!("{} bytes were consumed, it has {} now", entry.consumed, file.size)));
        }
        Some(plain_hashes(&file.path, entry.consumed)?)
    } else if file.size == entry.size && disk_hash(file)? == entry.packed_hash {
        return Ok(());
    } else {
        match packed_hashes(file, entry.consumed) {
            // it was read to there once
            Err(error) if error.kind == Kind::BadData => return Err(changed(error.message)),
            hashes => Some(hashes?),
        }
    };
    match hashes {
        None => Err(changed(format!("it is {} now, it was {}", file.codec.name(), entry.codec))),
        Some((head, _)) if head != entry.head_hash => Err(changed("its first 64 KiB differ".into())),
        Some((_, tail)) if tail != entry.tail_hash => {
            let from = entry.consumed.saturating_sub(HASHED_BYTES);
            Err(changed(format!("the bytes {from} to {} differ", entry.consumed)))
        }
        Some(_) => Ok(()),
    }
}

fn hash(bytes: &[u8]) -> String {
    blake3::hash(bytes).to_hex().to_string()
}

/// The hashes of a plain file's head and of what lies before `consumed`.
pub fn plain_hashes(path: &Path, consumed: u64) -> Result<(String, String)> {
    let head = files::read_range(path, 0, consumed.min(HASHED_BYTES))?;
    let from = consumed.saturating_sub(HASHED_BYTES);
    let tail = files::read_range(path, from, consumed - from)?;
    Ok((hash(&head), hash(&tail)))
}

/// The hash of the ends of a file as it lies on disk.
pub fn disk_hash(file: &LogFile) -> Result<String> {
    let mut ends = files::read_range(&file.path, 0, file.size.min(HASHED_BYTES))?;
    let from = file.size.saturating_sub(HASHED_BYTES);
    ends.extend(files::read_range(&file.path, from, file.size - from)?);
    Ok(hash(&ends))
}

/// Like [`plain_hashes`], of a compressed file, whose bytes have to be unpacked for it.
pub fn packed_hashes(file: &LogFile, consumed: u64) -> Result<(String, String)> {
    let mut ends = Ends::default();
    let unpacked = read_prefix(file, consumed, |piece| ends.add(&Ends::of(piece)))?;
    if unpacked < consumed {
        return Err(Error::new(Kind::BadData, format!("{consumed} bytes were consumed, it holds {unpacked} now")).at(file.name.clone()));
    }
    Ok(ends.hashes())
}

/// The first and the last 64 KiB of bytes.
#[derive(Debug, Clone, Default)]
pub struct Ends {
    head: Vec<u8>,
    tail: Vec<u8>,
}

impl Ends {
    pub fn of(bytes: &[u8]) -> Ends {
        let len = (HASHED_BYTES as usize).min(bytes.len());
        Ends { head: bytes[..len].to_vec(), tail: bytes[bytes.len() - len..].to_vec() }
    }

    /// Goes on to the end of the bytes that follow.
    pub fn add(&mut self, next: &Ends) {
        let room = (HASHED_BYTES as usize).saturating_sub(self.head.len());
        self.head.extend_from_slice(&next.head[..room.min(next.head.len())]);
        self.tail.extend_from_slice(&next.tail);
        let excess = self.tail.len().saturating_sub(HASHED_BYTES as usize);
        self.tail.drain(..excess);
    }

    /// The hashes of head and tail.
    pub fn hashes(&self) -> (String, String) {
        (hash(&self.head), hash(&self.tail))
    }
}
