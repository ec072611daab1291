//! The hashes of what a source's scans read, continued over its scans, and held against what earlier runs consumed.
//!
//! Every pass that reads a log's bytes and moves a file's consumed end does this: [`Hashing::begin`] with its parts,
//! [`Hashing::goes_on`] where an unpacker has passed over what lies before a part, [`Hashing::add`] with each chunk in log
//! order, [`Hashing::note`] at its end.

use hashbrown::HashMap;
use rayon::prelude::*;

use super::identity::chain_through;
use super::intake::Part;
use crate::error::{Error, Kind, Result};
use crate::source::chain::{Chain, ChangedBlock, Checked, END_BYTES, Known};
use crate::source::chunks::read_between;
use crate::source::files::LogFile;
use crate::state::manifest;

/// By file, as the manifest counts them.
#[derive(Default)]
pub struct Hashing {
    files: HashMap<usize, Checked>,
}

impl Hashing {
    /// Gets ready for a scan of `parts`. A plain file goes on from its last whole block, which costs reading what lies
    /// behind that; a compressed one once its unpacker has come to the part, see [`Hashing::goes_on`].
    pub fn begin(&mut self, parts: &[Part], entries: &[manifest::LogFile]) -> Result<()> {
        let mut first: HashMap<usize, &Part> = HashMap::new();
        for part in parts {
            first.entry(part.file).or_insert(part);
        }
        first.retain(|file, part| self.files.get(file).is_none_or(|checked| checked.chain.bytes() != part.segment.from));
        let begun = first
            .into_iter()
            .collect::<Vec<_>>()
            .into_par_iter()
            .filter(|(_, part)| part.segment.from == 0 || part.segment.file.is_plain())
            .map(|(file, part)| Ok((file, resumed(&part.segment.file, &entries[file], part.segment.from)?)))
            .collect::<Result<Vec<_>>>()?;
        self.files.extend(begun);
        Ok(())
    }

    /// What the unpacker has hashed of a compressed file in front of a part; ignored where the scan had been there.
    pub fn goes_on(&mut self, part: &Part, entry: &manifest::LogFile, before: Chain) -> Result<()> {
        let from = part.segment.from;
        if before.bytes() < from {
            return Err(shortened(&part.segment.file, from, before.bytes()));
        }
        if self.files.get(&part.file).is_some_and(|checked| checked.chain.bytes() == from) {
            return Ok(());
        }
        let known = Known::new(&entry.blocks, &entry.rest_hash, entry.consumed);
        if let Some(block) = known.as_ref().filter(|known| known.bytes == from).and_then(|known| known.differs(&before)) {
            return Err(changed(&part.segment.file, &block));
        }
        self.files.insert(part.file, Checked::new(before, known));
        Ok(())
    }

    /// The next bytes of a part. Fails where they are not what was consumed once.
    pub fn add(&mut self, part: &Part, bytes: &[u8]) -> Result<()> {
        let checked = self.files.get_mut(&part.file).ok_or_else(|| Error::internal("a file is read whose hashes were not begun"))?;
        checked.update(bytes).map_err(|block| changed(&part.segment.file, &block))
    }

    /// Writes into the manifest's entries what is known of files that were read through their consumed end.
    pub fn note(&self, entries: &mut [manifest::LogFile]) {
        for (file, checked) in &self.files {
            let Some(entry) = entries.get_mut(*file).filter(|entry| entry.consumed == checked.chain.bytes()) else { continue };
            let hashes = checked.chain.hashes();
            if checked.chain.begins_file() {
                entry.head_hash = hashes.head;
            }
            (entry.tail_hash, entry.blocks, entry.rest_hash) = (hashes.tail, hashes.blocks, hashes.rest);
        }
    }

    /// Fails where a file ended before what was consumed of it: asked when all scans of the source are done.
    pub fn all_seen<'p>(&self, parts: impl Iterator<Item = &'p Part>) -> Result<()> {
        for part in parts {
            if let Some(checked) = self.files.get(&part.file).filter(|checked| !checked.is_through()) {
                return Err(shortened(&part.segment.file, checked.known_bytes(), checked.chain.bytes()));
            }
        }
        Ok(())
    }
}

/// The chain of a plain file through `from`, where a scan begins.
fn resumed(file: &LogFile, entry: &manifest::LogFile, from: u64) -> Result<Checked> {
    let known = Known::new(&entry.blocks, &entry.rest_hash, entry.consumed);
    if from == 0 {
        return Ok(Checked::new(Chain::default(), known));
    }
    let behind = match &known {
        Some(known) if known.bytes == from => Chain::behind(&known.blocks),
        _ => None,
    };
    let begins_at = behind.as_ref().map_or(0, Chain::bytes);
    let mut checked = Checked::new(behind.unwrap_or_default(), known);
    let mut different = None;
    let read = read_between(file, begins_at, from, |bytes| {
        different = checked.update(bytes).err();
        Ok(different.is_none())
    })?;
    if let Some(block) = different {
        return Err(changed(file, &block));
    }
    if begins_at + read < from {
        return Err(shortened(file, from, begins_at + read));
    }
    if begins_at > 0 {
        let mut tail = Vec::new();
        read_between(file, begins_at.saturating_sub(END_BYTES), begins_at, |bytes| {
            tail.extend_from_slice(bytes);
            Ok(true)
        })?;
        checked.chain.preceded_by(&tail);
    }
    Ok(checked)
}

/// Compares everything that was consumed of a file. `None`: it is what it was; else the error that a run ends with.
pub fn difference(file: &LogFile, entry: &manifest::LogFile) -> Result<Option<Error>> {
    let Some(known) = Known::new(&entry.blocks, &entry.rest_hash, entry.consumed) else { return Ok(None) };
    let mut checked = Checked::new(Chain::default(), Some(known));
    let mut different = None;
    let read = read_between(file, 0, entry.consumed, |bytes| {
        different = checked.update(bytes).err();
        Ok(different.is_none())
    });
    Ok(match (different, read) {
        (Some(block), _) => Some(changed(file, &block)),
        (None, Ok(read)) if read < entry.consumed => Some(shortened(file, entry.consumed, read)),
        (None, Ok(_)) => None,
        (None, Err(e)) if e.kind == Kind::BadData => Some(Error { kind: Kind::HistoryChanged, ..e }),
        (None, Err(e)) => return Err(e),
    })
}

/// Whether a file begins with all that was consumed of another one; if so, whether there is more of it.
pub fn holds(file: &LogFile, entry: &manifest::LogFile) -> Result<Option<bool>> {
    let (chain, more) = match chain_through(file, entry.consumed) {
        Err(e) if e.kind == Kind::BadData => return Ok(None),
        read => read?,
    };
    if chain.bytes() < entry.consumed {
        return Ok(None);
    }
    let same = match Known::new(&entry.blocks, &entry.rest_hash, entry.consumed) {
        Some(known) => known.differs(&chain).is_none(),
        None => chain.hashes().tail == entry.tail_hash,
    };
    Ok(same.then_some(more))
}

/// The help of every error that says that history has changed.
pub const ACCEPT: &str = "nothing was published; put the file back as it was, or let `--accept-history-change` replay the log as it is now";

fn history(what: String) -> Error {
    Error::new(Kind::HistoryChanged, format!("a log file that was consumed is not what it was: {what}")).with_help(ACCEPT)
}

/// A file that is shorter than what was consumed of it, in decompressed bytes.
pub fn shortened(file: &LogFile, consumed: u64, now: u64) -> Error {
    history(format!("{consumed} bytes were consumed, it has {now} now")).at(file.name.clone())
}

/// A file one block of which is not what it was.
pub fn changed(file: &LogFile, block: &ChangedBlock) -> Error {
    let what = format!("block {} (bytes {} to {}) differs", block.number + 1, block.bytes.start, block.bytes.end);
    let place = match lines(file, block) {
        Some((first, last)) if first < last => format!("{}, lines {first} to {last}", file.name),
        Some((first, _)) => format!("{}:{first}", file.name),
        None => file.name.clone(),
    };
    history(what).at(place)
}

/// The lines of a block as the file is now, counted from 1; `None` where it cannot be read that far.
fn lines(file: &LogFile, block: &ChangedBlock) -> Option<(u64, u64)> {
    let (mut at, mut first, mut last) = (0, 1, 1);
    let count = |bytes: &[u8]| memchr::memchr_iter(b'\n', bytes).count() as u64;
    read_between(file, 0, block.bytes.end, |bytes| {
        let in_front = block.bytes.start.saturating_sub(at).min(bytes.len() as u64) as usize;
        first += count(&bytes[..in_front]);
        // the line break at the very end of the block begins no line of it
        let whole = at + bytes.len() as u64 >= block.bytes.end && bytes.last() == Some(&b'\n');
        last += count(bytes) - u64::from(whole);
        at += bytes.len() as u64;
        Ok(true)
    })
    .ok()?;
    (last >= first).then_some((first, last))
}
