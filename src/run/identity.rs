//! Which file is which. A consumed file is known by its content, in decompressed bytes: under another name, or compressed,
//! it is the same file; another content under its name is another file.

use std::path::Path;
use std::sync::Arc;

use hashbrown::{HashMap, HashSet};
use rayon::prelude::*;

use super::hashing::{self, ACCEPT};
use crate::error::{Error, Kind, Result};
use crate::files;
use crate::source::chain::{Chain, END_BYTES, hash};
use crate::source::chunks::read_between;
use crate::source::container::Form;
use crate::source::container::Unpacker;
use crate::source::files::LogFile;
use crate::state::manifest;

/// Where the content of a consumed file is now.
#[derive(Debug)]
pub enum Place {
    /// Under its name. `grown`: there may be more of it.
    Here { file: LogFile, grown: bool },
    /// Under a name that was not known, or compressed.
    Moved { file: LogFile, grown: bool },
    /// Nowhere.
    Gone,
    /// Nowhere, and another content stands under its name.
    Changed { file: LogFile, error: Error },
}

impl Place {
    /// The file, where the content is what it was.
    pub fn file(&self) -> Option<LogFile> {
        match self {
            Place::Here { file, .. } | Place::Moved { file, .. } => Some(file.clone()),
            Place::Gone | Place::Changed { .. } => None,
        }
    }
}

/// What was found, against what was known.
#[derive(Debug, Default)]
pub struct Located {
    /// By known file.
    pub places: Vec<Place>,
    /// In the order in which they were found.
    pub new: Vec<LogFile>,
    /// Files that hold nothing but what another one holds.
    pub copies: Vec<manifest::CopiedFile>,
}

/// Finds the known files' contents among the files of a source. Quick: of a file that stands where it stood, the length
/// and the first and last 64 KiB consumed are compared; all of it only where there is doubt which file it is.
pub fn locate(root: &Path, form: &Arc<Form>, last: Option<&manifest::Source>, found: Vec<LogFile>) -> Result<Located> {
    let known = last.map_or(&[][..], |last| &last.files);
    let by_name: HashMap<&str, &LogFile> = found.iter().map(|file| (file.name.as_str(), file)).collect();
    let mut names: Vec<Named> = known
        .par_iter()
        .map(|entry| match by_name.get(entry.path.as_str()) {
            // its name may have been taken by another file since
            _ if entry.vanished => Ok(Named::Nothing),
            Some(file) => compare_ends((*file).clone(), entry),
            None => still_there(root, form, entry)?.map_or(Ok(Named::Nothing), |file| compare_ends(file, entry)),
        })
        .collect::<Result<_>>()?;
    drop(by_name);
    let names_known: HashSet<&str> = known.iter().filter(|entry| !entry.vanished).map(|entry| entry.path.as_str()).collect();
    let in_doubt = found.iter().any(|file| !names_known.contains(file.name.as_str()))
        || names.iter().any(|named| matches!(named, Named::Nothing | Named::Another(..)));
    if in_doubt {
        for (named, entry) in names.iter_mut().zip(known) {
            if let Named::Likely(file) = named
                && let Some(error) = hashing::difference(file, entry)?
            {
                *named = Named::Another(file.clone(), error);
            }
        }
    }
    let mut taken: HashSet<String> = HashSet::new();
    for named in &names {
        if let Named::Same(file, _) | Named::Likely(file) = named {
            taken.insert(file.name.clone());
        }
    }
    let mut free: Vec<Free> = found
        .into_iter()
        .filter(|file| !taken.contains(&file.name))
        .collect::<Vec<_>>()
        .into_par_iter()
        .map(|file| Free::new(file, known))
        .collect::<Result<_>>()?;
    let mut places: Vec<Option<Place>> = names
        .iter()
        .map(|named| match named {
            Named::Same(file, grown) => Some(Place::Here { file: file.clone(), grown: *grown }),
            Named::Likely(file) => Some(Place::Here { file: file.clone(), grown: true }),
            Named::Another(..) | Named::Nothing => None,
        })
        .collect();
    // the longest first: the beginning of one may be all of another
    let mut missing: Vec<usize> = (0..known.len()).filter(|number| places[*number].is_none()).collect();
    missing.sort_by_key(|number| std::cmp::Reverse(known[*number].consumed));
    for number in missing {
        let entry = &known[number];
        for at in 0..free.len() {
            if free[at].begins_like.contains(&number)
                && let Some(grown) = hashing::holds(&free[at].file, entry)?
            {
                let file = free.remove(at).file;
                taken.insert(file.name.clone());
                places[number] = Some(Place::Moved { file, grown });
                break;
            }
        }
    }
    let mut located = Located::default();
    for (place, named) in places.into_iter().zip(names) {
        located.places.push(match (place, named) {
            (Some(place), _) => place,
            (None, Named::Another(file, error)) if !taken.contains(&file.name) => {
                free.retain(|free| free.file.name != file.name);
                Place::Changed { file, error }
            }
            (None, _) => Place::Gone,
        });
    }
    set_copies_apart(&mut located, last, free)?;
    Ok(located)
}

/// What stands under a known file's name.
enum Named {
    Same(LogFile, bool),
    /// A compressed file that begins as it did and is another one on disk: it has grown, if the rest agrees, too.
    Likely(LogFile),
    Another(LogFile, Error),
    Nothing,
}

/// A consumed file that the globs do not name any more, but that is still there.
fn still_there(root: &Path, form: &Arc<Form>, entry: &manifest::LogFile) -> Result<Option<LogFile>> {
    let path = root.join(&entry.path);
    if !path.is_file() {
        return Ok(None);
    }
    LogFile::at(path, entry.path.clone())?.seen_by(form).map(Some)
}

fn compare_ends(file: LogFile, entry: &manifest::LogFile) -> Result<Named> {
    let another = |file: LogFile, what: String| {
        let error = Error::new(Kind::HistoryChanged, format!("a log file that was consumed is not what it was: {what}"));
        let error = error.at(entry.path.clone()).with_help(ACCEPT);
        Ok(Named::Another(file, error))
    };
    if file.packing() != entry.codec {
        let what = format!("it is {} now, it was {}", file.packing(), entry.codec);
        return another(file, what);
    }
    let head_bytes = entry.consumed.min(END_BYTES);
    if file.is_plain() {
        if file.size < entry.consumed {
            let what = format!("{} bytes were consumed, it has {} now", entry.consumed, file.size);
            return another(file, what);
        }
        let from = entry.consumed - head_bytes;
        let same = hash(&files::read_range(&file.path, 0, head_bytes)?) == entry.head_hash
            && hash(&files::read_range(&file.path, from, head_bytes)?) == entry.tail_hash;
        if same {
            let grown = file.size > entry.consumed;
            return Ok(Named::Same(file, grown));
        }
    } else {
        if file.size == entry.size && disk_hash(&file)? == entry.packed_hash {
            return Ok(Named::Same(file, false));
        }
        let mut head = Vec::new();
        match read_between(&file, 0, head_bytes, |bytes| {
            head.extend_from_slice(bytes);
            Ok(true)
        }) {
            Ok(_) if hash(&head) == entry.head_hash => return Ok(Named::Likely(file)),
            Ok(_) => {}
            Err(e) if e.kind == Kind::BadData => return another(file, e.message),
            Err(e) => return Err(e),
        }
    }
    match hashing::difference(&file, entry)? {
        Some(error) => Ok(Named::Another(file, error)),
        None => another(file, "its beginning or its end differs".into()),
    }
}

/// The hash of the ends of a file as it lies on disk.
pub fn disk_hash(file: &LogFile) -> Result<String> {
    let mut ends = files::read_range(&file.path, 0, file.size.min(END_BYTES))?;
    let from = file.size.saturating_sub(END_BYTES);
    ends.extend(files::read_range(&file.path, from, file.size - from)?);
    Ok(hash(&ends))
}

/// A file that is none of those known by name and content.
struct Free {
    file: LogFile,
    /// The known files whose first bytes it begins with.
    begins_like: Vec<usize>,
    /// Of its first 64 KiB, and how many bytes these are; 0 where it is empty or cannot be unpacked.
    head: (u64, String),
}

impl Free {
    fn new(file: LogFile, known: &[manifest::LogFile]) -> Result<Free> {
        let mut bytes = Vec::new();
        match read_between(&file, 0, END_BYTES, |piece| {
            bytes.extend_from_slice(piece);
            Ok(true)
        }) {
            // the scan will say what is wrong with it
            Err(e) if e.kind == Kind::BadData => {}
            read => drop(read?),
        }
        let mut hashes: HashMap<u64, String> = HashMap::new();
        let mut begins_like = Vec::new();
        for (number, entry) in known.iter().enumerate() {
            let len = entry.consumed.min(END_BYTES);
            // what was consumed ends with a line
            let fits = len > 0 && len <= bytes.len() as u64 && (len == bytes.len() as u64 || bytes[len as usize - 1] == b'\n');
            if fits && *hashes.entry(len).or_insert_with(|| hash(&bytes[..len as usize])) == entry.head_hash {
                begins_like.push(number);
            }
        }
        Ok(Free { head: (bytes.len() as u64, hash(&bytes)), file, begins_like })
    }
}

/// Takes out of the new files those that hold what another one holds, so that nothing is read twice. Only whole files
/// count, or what is longer than 64 KiB: many a log begins with the same line.
fn set_copies_apart(located: &mut Located, last: Option<&manifest::Source>, free: Vec<Free>) -> Result<()> {
    let mut heads: HashMap<(u64, String), Vec<String>> = HashMap::new();
    for candidate in free {
        let file = candidate.file;
        if candidate.head.0 == 0 {
            located.new.push(file);
            continue;
        }
        let ends_hash = disk_hash(&file)?;
        let known = last.map_or(&[][..], |last| &last.files);
        let present: Vec<LogFile> = candidate
            .begins_like
            .iter()
            .filter_map(|number| match &located.places[*number] {
                Place::Here { file, .. } | Place::Moved { file, .. } => Some(file.clone()),
                _ => None,
            })
            .collect();
        let remembered = last.and_then(|last| last.copies.iter().find(|copy| copy.path == file.name));
        if let Some(copy) = remembered.filter(|copy| copy.size == file.size && copy.ends_hash == ends_hash)
            && let Some(number) = known.iter().position(|entry| entry.path == copy.of)
            && let Place::Here { file: of, .. } | Place::Moved { file: of, .. } = &located.places[number]
        {
            located.copies.push(manifest::CopiedFile { of: of.name.clone(), ..copy.clone() });
            continue;
        }
        let mut of = None;
        for other in &present {
            match relation(&file, other)? {
                Relation::Within => of = Some(other.name.clone()),
                Relation::Beyond(common) if common >= END_BYTES || remembered.is_some() => return Err(goes_on_in_two(other, &file)),
                _ => {}
            }
        }
        for name in heads.get(&candidate.head).into_iter().flatten() {
            let Some(at) = located.new.iter().position(|new| new.name == *name) else { continue };
            match relation(&file, &located.new[at])? {
                Relation::Within => of = Some(name.clone()),
                Relation::Beyond(common) if common >= END_BYTES => {
                    let shorter = located.new.remove(at);
                    let (size, ends_hash) = (shorter.size, disk_hash(&shorter)?);
                    located.copies.push(manifest::CopiedFile { path: shorter.name, size, ends_hash, of: file.name.clone() });
                    break;
                }
                _ => {}
            }
        }
        match of {
            Some(of) => located.copies.push(manifest::CopiedFile { path: file.name, size: file.size, ends_hash, of }),
            None => {
                heads.entry(candidate.head).or_default().push(file.name.clone());
                located.new.push(file);
            }
        }
    }
    Ok(())
}

enum Relation {
    /// All of the first file is all of the second, or its beginning and longer than 64 KiB.
    Within,
    /// The first file holds all of the second, which is so long, and more.
    Beyond(u64),
    Different,
}

/// How the contents of two files are related.
fn relation(a: &LogFile, b: &LogFile) -> Result<Relation> {
    const PIECE: usize = 256 << 10;
    let (mut first, mut second) = (Unpacker::open(a)?, Unpacker::open(b)?);
    let (mut x, mut y) = (vec![0; PIECE], vec![0; PIECE]);
    let mut common = 0;
    // a file that is just being compressed ends where it is cut
    let fill = |unpacker: &mut Unpacker, into: &mut [u8]| match unpacker.fill(into) {
        Err(e) if e.kind == Kind::BadData => Ok(0),
        filled => filled,
    };
    loop {
        let (m, n) = (fill(&mut first, &mut x)?, fill(&mut second, &mut y)?);
        let both = m.min(n);
        if x[..both] != y[..both] {
            return Ok(Relation::Different);
        }
        common += both as u64;
        match (m < PIECE, n < PIECE) {
            _ if m < n => return Ok(if common >= END_BYTES { Relation::Within } else { Relation::Different }),
            _ if m > n => return Ok(Relation::Beyond(common)),
            (true, true) => return Ok(if common > 0 { Relation::Within } else { Relation::Different }),
            _ => {}
        }
    }
}

fn goes_on_in_two(known: &LogFile, other: &LogFile) -> Error {
    Error::new(Kind::HistoryChanged, format!("{} holds all of {} and more: read both, and events count twice", other.name, known.name))
        .at(known.name.clone())
        .at(other.name.clone())
        .with_help("nothing was published; remove the one that is not written to any more, or keep it out of the globs: the other one goes on in its place")
}

/// The decompressed offsets of the line starts at or before each of `bounds` (ascending), as the file is now.
pub fn line_starts(file: &LogFile, bounds: &[u64]) -> Result<Vec<u64>> {
    let mut starts = Vec::with_capacity(bounds.len());
    let (mut at, mut line) = (0u64, 0u64);
    read_between(file, 0, bounds.last().copied().unwrap_or(0), |bytes| {
        let end = at + bytes.len() as u64;
        while let Some(bound) = bounds.get(starts.len()).filter(|bound| **bound <= end) {
            let within = &bytes[..(bound - at.min(*bound)) as usize];
            starts.push(memchr::memrchr(b'\n', within).map_or(line, |found| at + found as u64 + 1));
        }
        line = memchr::memrchr(b'\n', bytes).map_or(line, |found| at + found as u64 + 1);
        at = end;
        Ok(true)
    })?;
    starts.resize(bounds.len(), line);
    Ok(starts)
}

/// The decompressed offset behind line number `lines` (from 1); `None`: the file has fewer.
pub fn end_of_line(file: &LogFile, lines: u64) -> Result<Option<u64>> {
    let (mut at, mut seen, mut found) = (0u64, 0u64, None);
    read_between(file, 0, u64::MAX, |bytes| {
        let missing = lines.saturating_sub(seen);
        let breaks = memchr::memchr_iter(b'\n', bytes);
        if missing > 0 && found.is_none() {
            found = breaks.clone().nth(missing as usize - 1).map(|end| at + end as u64 + 1);
        }
        seen += breaks.count() as u64;
        at += bytes.len() as u64;
        Ok(found.is_none())
    })?;
    // the last one of a compressed file counts without its line break
    Ok(found.or((!file.is_plain() && seen + 1 == lines).then_some(at)))
}

/// A chain over the first `bytes` of a file, and whether there are more.
pub fn chain_through(file: &LogFile, bytes: u64) -> Result<(Chain, bool)> {
    let mut chain = Chain::default();
    let mut left = bytes;
    let read = read_between(file, 0, bytes.saturating_add(1), |piece| {
        let mine = left.min(piece.len() as u64) as usize;
        chain.update(&piece[..mine]);
        left -= mine as u64;
        Ok(true)
    })?;
    Ok((chain, read > bytes))
}
