//! Which files a source consists of, in the order of the log.

use std::cmp::Ordering;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use super::container::{Container, Form};
use super::unpack::Decompressor;
use crate::error::{Error, Kind, Result};
use crate::files;
use crate::project::{Format, Source, inner_extension};

/// So many bytes at a file's beginning say how it is packed.
const HEAD_BYTES: u64 = 10;

/// How much of a file is looked at to tell whether its first line is a record.
const LOOK_BYTES: usize = 64 << 10;

/// How a file's bytes are packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Codec {
    Plain,
    Gzip,
    Zstd,
    Lz4,
    /// In Snappy's framing format.
    Snappy,
    Bzip2,
}

impl Codec {
    pub fn name(self) -> &'static str {
        match self {
            Codec::Plain => "plain",
            Codec::Gzip => "gzip",
            Codec::Zstd => "zstd",
            Codec::Lz4 => "lz4",
            Codec::Snappy => "snappy",
            Codec::Bzip2 => "bzip2",
        }
    }

    /// What such a file is made of.
    pub fn member(self) -> &'static str {
        match self {
            Codec::Plain => "file",
            Codec::Gzip => "gzip member",
            Codec::Zstd => "zstd frame",
            Codec::Lz4 => "lz4 frame",
            Codec::Snappy => "snappy stream",
            Codec::Bzip2 => "bzip2 stream",
        }
    }

    /// By the file's first bytes, whatever its name says.
    pub fn of(head: &[u8]) -> Codec {
        match head {
            [0x1f, 0x8b, ..] => Codec::Gzip,
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Codec::Zstd,
            // a skippable frame may come first
            [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Codec::Zstd,
            [0x04, 0x22, 0x4d, 0x18, ..] => Codec::Lz4,
            [0xff, 0x06, 0x00, 0x00, b's', b'N', b'a', b'P', b'p', b'Y', ..] => Codec::Snappy,
            [b'B', b'Z', b'h', b'1'..=b'9', 0x31, 0x41, 0x59, 0x26, 0x53, 0x59, ..] => Codec::Bzip2,
            [b'B', b'Z', b'h', b'1'..=b'9', 0x17, 0x72, 0x45, 0x38, 0x50, 0x90, ..] => Codec::Bzip2,
            _ => Codec::Plain,
        }
    }

    /// Whether another member may begin with these bytes, of which only some may be there.
    pub fn may_begin(self, head: &[u8]) -> bool {
        let begins: &[u8] = match self {
            Codec::Gzip => &[0x1f, 0x8b],
            Codec::Bzip2 => b"BZh",
            Codec::Lz4 => &[0x04, 0x22, 0x4d, 0x18],
            Codec::Plain | Codec::Zstd | Codec::Snappy => return false,
        };
        let len = begins.len().min(head.len());
        head[..len] == begins[..len]
    }
}

/// One file of a log as it was found; nothing behind `size` is read, however it grows meanwhile.
#[derive(Debug, Clone)]
pub struct LogFile {
    pub path: PathBuf,
    /// As messages and the manifest name it: relative to the project where it lies inside.
    pub name: String,
    pub codec: Codec,
    /// What its records stand in.
    pub container: Container,
    /// Bytes on disk that may be read.
    pub size: u64,
    /// Device and inode when it was listed.
    pub identity: (u64, u64),
    /// Bytes on disk through its last whole member, told by the reader that found the one behind it cut.
    pub whole: Arc<OnceLock<u64>>,
    /// What a source makes of it; `None` stands for all of every record as it is.
    pub form: Option<Arc<Form>>,
}

impl LogFile {
    /// The file that stands at a path. An error where that is no regular file.
    pub fn at(path: PathBuf, name: String) -> Result<LogFile> {
        let meta = files::metadata(&path)?;
        if !meta.is_file() {
            return Err(Error::new(Kind::NoInput, format!("{} is not a regular file", path.display()))
                .with_help("foldline reads a log more than once; write a pipe or a device into a file first"));
        }
        let head = files::read_range(&path, 0, HEAD_BYTES.min(meta.len()))?;
        let identity = files::identity_of(&meta);
        let (codec, container) = (Codec::of(&head), Container::of(&head).unwrap_or(Container::Ndjson));
        Ok(LogFile { name, codec, container, size: meta.len(), identity, whole: Arc::default(), form: None, path })
    }

    /// As a source sees it: its records become what the source wants to know.
    pub fn seen_by(mut self, form: &Arc<Form>) -> Result<LogFile> {
        self.form = Some(form.clone());
        if matches!(self.container, Container::Parquet | Container::Avro) {
            return Ok(self);
        }
        self.container = match form.format() {
            Some(Format::Ndjson) => Container::Ndjson,
            Some(Format::Json) => Container::Json,
            Some(Format::Csv) => Container::Csv,
            Some(Format::Tsv) => Container::Tsv,
            Some(Format::PostgresCopy) => Container::PostgresCopy,
            // it is none: whoever lists it says so
            Some(Format::Parquet | Format::Avro) => Container::Ndjson,
            None => match inner_extension(&self.name).as_deref() {
                Some("csv") => Container::Csv,
                Some("tsv") => Container::Tsv,
                Some("json") if form.records().is_some() || !self.begins_with_a_line()? => Container::Json,
                _ if form.records().is_some() => Container::Json,
                _ => Container::Ndjson,
            },
        };
        Ok(self)
    }

    /// Whether what it begins with is a JSON object on a line of its own.
    fn begins_with_a_line(&self) -> Result<bool> {
        let mut head = vec![0; LOOK_BYTES];
        // what is wrong with it whoever reads it says
        let filled = Decompressor::open(self).and_then(|mut bytes| bytes.fill(&mut head)).unwrap_or(0);
        let head = head[..filled].strip_prefix(b"\xef\xbb\xbf").unwrap_or(&head[..filled]).trim_ascii_start();
        Ok(match (head.first(), memchr::memchr(b'\n', head)) {
            (None, _) => true,
            (Some(b'{'), None) => true,
            (Some(b'{'), Some(end)) => serde_json::from_slice::<&serde_json::value::RawValue>(&head[..end]).is_ok(),
            _ => false,
        })
    }

    /// Lines of NDJSON as they lie on disk: workers read it by ranges of bytes.
    pub fn is_plain(&self) -> bool {
        self.codec == Codec::Plain && self.container == Container::Ndjson && !self.is_rewritten()
    }

    /// Quirks make other lines of its records.
    pub fn is_rewritten(&self) -> bool {
        self.form.as_ref().is_some_and(|form| !form.quirks().is_empty())
    }

    /// A text to whose end more may be written, so that a last record without its line break waits for it.
    pub fn may_grow(&self) -> bool {
        let text = matches!(self.container, Container::Ndjson | Container::Csv | Container::Tsv | Container::PostgresCopy);
        self.codec == Codec::Plain && text
    }

    /// How it is packed, as a manifest keeps it.
    pub fn packing(&self) -> &'static str {
        match (self.codec, self.container) {
            (Codec::Plain, Container::Ndjson) if self.is_rewritten() => "rewritten",
            (Codec::Plain, container) if container != Container::Ndjson => container.name(),
            (codec, _) => codec.name(),
        }
    }

    /// What such a file is made of.
    pub fn member(&self) -> &'static str {
        if self.container == Container::Parquet { "row group" } else { self.codec.member() }
    }

    /// What a manifest keeps of how its records were read; nothing where its lines are those of the file.
    pub fn form_written(&self) -> String {
        match (&self.form, self.container) {
            (Some(form), Container::Parquet) => form.written(),
            (Some(form), container) if container != Container::Ndjson || self.is_rewritten() => form.written_of(container.name()),
            _ => String::new(),
        }
    }

    /// Opens it. An error where something else has taken its name since it was listed, or where it was cut.
    pub fn open(&self) -> Result<File> {
        let file = files::open(&self.path)?;
        let meta = file.metadata().map_err(|e| Error::io("read", &self.path, e))?;
        if files::identity_of(&meta) != self.identity {
            return Err(Error::new(Kind::Io, "a log file was replaced while foldline was at work")
                .at(self.name.clone())
                .with_help("run again: it finds what was moved"));
        }
        self.long_enough(meta.len())?;
        Ok(file)
    }

    /// An error where the file was cut since it was listed: what was read of it is not to be trusted.
    pub fn still_as_long(&self) -> Result<()> {
        self.long_enough(files::metadata(&self.path)?.len())
    }

    fn long_enough(&self, bytes: u64) -> Result<()> {
        if bytes >= self.size {
            return Ok(());
        }
        Err(Error::new(Kind::Io, format!("a log file was cut while foldline was at work: it had {} bytes, it has {bytes} now", self.size))
            .at(self.name.clone())
            .with_help("run again: it says what is missing"))
    }
}

/// The files of a source in natural name order (`b-2` before `b-10`), and the globs that match none while
/// others do. `known`: a source whose files were consumed before may have none left.
pub fn discover(source: &Source, root: &Path, known: bool) -> Result<(Vec<LogFile>, Vec<String>)> {
    let mut paths: Vec<PathBuf> = Vec::new();
    let mut empty: Vec<String> = Vec::new();
    for pattern in &source.files {
        let wild = pattern.contains(['*', '?', '[']);
        let before = paths.len();
        if wild {
            let matches = glob::glob(pattern)
                .map_err(|e| Error::new(Kind::Project, format!("`{pattern}` in [source.{}] is no glob: {}", source.name, e.msg)))?;
            for path in matches {
                let path = path.map_err(|e| Error::io("read", e.path(), std::io::Error::from(e.error().kind())))?;
                if !path.is_dir() {
                    paths.push(path);
                }
            }
        } else if !known || Path::new(pattern).exists() {
            paths.push(PathBuf::from(pattern));
        }
        if wild && paths.len() == before {
            empty.push(display_name(Path::new(pattern), root));
        }
    }
    if paths.is_empty() && !known {
        let globs: Vec<String> = empty.iter().map(|glob| format!("`{glob}`")).collect();
        return Err(Error::new(Kind::NoInput, format!("no file matches {}", globs.join(" or ")))
            .at(format!("[source.{}]", source.name))
            .with_help("the glob is relative to the project file's folder"));
    }
    paths.sort_by(|a, b| natural_order(&a.to_string_lossy(), &b.to_string_lossy()));
    // compared by parts: `./a` is `a`, and two globs may name one file
    let mut seen = std::collections::HashSet::new();
    paths.retain(|path| seen.insert(path.components().collect::<PathBuf>()));
    let form = Arc::new(Form::of(source));
    let file = |path| log_file(path, root)?.seen_by(&form);
    let files: Vec<LogFile> = paths.into_iter().map(file).collect::<Result<_>>()?;
    files.iter().try_for_each(|file| refuse_other_format(source, file))?;
    Ok((files, empty))
}

/// A file whose format is not what the project or its own name says.
fn refuse_other_format(source: &Source, file: &LogFile) -> Result<()> {
    let extension = inner_extension(&file.name);
    for (container, format, name) in [(Container::Parquet, Format::Parquet, "Parquet"), (Container::Avro, Format::Avro, "Avro")] {
        let found = file.container == container;
        let expected = match source.format {
            Some(said) => said == format,
            None => found || extension.as_deref() == Some(container.name()),
        };
        if found == expected {
            continue;
        }
        let said = source.format.map_or("NDJSON", Format::title);
        let what = if found { format!("a file of {name} stands in a log of {said}") } else { format!("this is no {name} file") };
        return Err(Error::new(Kind::BadData, what).at(file.name.clone()).with_help(if found {
            format!("leave `format` out of [source.{}]: such files are told by their first bytes", source.name)
        } else {
            "if it is still being written, give it its name when it is complete; if it is something else, keep it out of the globs".into()
        }));
    }
    Ok(())
}

fn log_file(path: PathBuf, root: &Path) -> Result<LogFile> {
    if path.to_str().is_none() {
        return Err(Error::new(Kind::NoInput, format!("the name of {} is not UTF-8", path.display()))
            .with_help("rename it: the manifest could not tell it from another one"));
    }
    let name = display_name(&path, root);
    LogFile::at(path, name)
}

fn display_name(path: &Path, root: &Path) -> String {
    path.strip_prefix(root).unwrap_or(path).to_string_lossy().into_owned()
}

/// Compares names as people count: runs of digits by their number, everything else by bytes.
pub fn natural_order(a: &str, b: &str) -> Ordering {
    let (mut x, mut y) = (a.as_bytes(), b.as_bytes());
    loop {
        match (x.first(), y.first()) {
            (None, None) => return a.cmp(b),
            (None, _) => return Ordering::Less,
            (_, None) => return Ordering::Greater,
            (Some(p), Some(q)) if p.is_ascii_digit() && q.is_ascii_digit() => {
                let digits = |s: &[u8]| s.iter().take_while(|c| c.is_ascii_digit()).count();
                let (m, n) = (digits(x), digits(y));
                let strip = |s: &[u8]| s.iter().take_while(|c| **c == b'0').count();
                let (p, q) = (&x[strip(&x[..m])..m], &y[strip(&y[..n])..n]);
                let order = p.len().cmp(&q.len()).then_with(|| p.cmp(q));
                if order != Ordering::Equal {
                    return order;
                }
                (x, y) = (&x[m..], &y[n..]);
            }
            (Some(p), Some(q)) if p != q => return p.cmp(q),
            _ => (x, y) = (&x[1..], &y[1..]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Between the listing of a log and the reading of it others go on working.
    #[test]
    fn a_file_that_goes_or_is_replaced_before_it_is_opened_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let (path, other) = (folder.path().join("a.log"), folder.path().join("b.log"));
        std::fs::write(&path, "{}\n").unwrap();
        std::fs::write(&other, "{}\n{}\n").unwrap();
        let listed = LogFile::at(path.clone(), "a.log".into()).unwrap();
        assert!(listed.open().is_ok());
        std::fs::rename(&other, &path).unwrap();
        let replaced = listed.open().unwrap_err();
        assert!(replaced.kind == Kind::Io && replaced.message.contains("was replaced"), "{replaced}");
        std::fs::remove_file(&path).unwrap();
        assert_eq!(listed.open().unwrap_err().kind, Kind::NoInput);
    }

    #[test]
    fn names_are_ordered_as_people_count() {
        let mut names = vec!["b-10.ndjson", "b-9.ndjson", "b-009.ndjson", "a", "b-10", "b-1-2", "b-1-10"];
        names.sort_by(|a, b| natural_order(a, b));
        assert_eq!(names, ["a", "b-1-2", "b-1-10", "b-009.ndjson", "b-9.ndjson", "b-10", "b-10.ndjson"]);
    }
}
