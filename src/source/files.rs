//! Which files a source consists of, in the order of the log.

use std::cmp::Ordering;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use super::parquet::Form;
use crate::error::{Error, Kind, Result};
use crate::files;
use crate::project::{Format, Source};

/// How a file's bytes are packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Codec {
    Plain,
    Gzip,
    Zstd,
    /// Rows that become lines of NDJSON as if they were unpacked.
    Parquet,
}

impl Codec {
    const ALL: [Codec; 4] = [Codec::Plain, Codec::Gzip, Codec::Zstd, Codec::Parquet];

    pub fn name(self) -> &'static str {
        match self {
            Codec::Plain => "plain",
            Codec::Gzip => "gzip",
            Codec::Zstd => "zstd",
            Codec::Parquet => "parquet",
        }
    }

    /// By what [`Codec::name`] gives.
    pub fn named(name: &str) -> Option<Codec> {
        Codec::ALL.into_iter().find(|codec| codec.name() == name)
    }

    /// What such a file is made of.
    pub fn member(self) -> &'static str {
        match self {
            Codec::Plain => "file",
            Codec::Gzip => "gzip member",
            Codec::Zstd => "zstd frame",
            Codec::Parquet => "row group",
        }
    }

    /// By the file's first bytes, whatever its name says.
    pub fn of(head: &[u8]) -> Codec {
        match head {
            [0x1f, 0x8b, ..] => Codec::Gzip,
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Codec::Zstd,
            // a skippable frame may come first
            [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Codec::Zstd,
            [b'P', b'A', b'R', b'1', ..] => Codec::Parquet,
            _ => Codec::Plain,
        }
    }
}

/// One file of a log as it was found; nothing behind `size` is read, however it grows meanwhile.
#[derive(Debug, Clone)]
pub struct LogFile {
    pub path: PathBuf,
    /// As messages and the manifest name it: relative to the project where it lies inside.
    pub name: String,
    pub codec: Codec,
    /// Bytes on disk that may be read.
    pub size: u64,
    /// Device and inode when it was listed.
    pub identity: (u64, u64),
    /// Bytes on disk through its last whole member, told by the reader that found the one behind it cut.
    pub whole: Arc<OnceLock<u64>>,
    /// What its rows become, where it is Parquet; `None` stands for all columns as they are.
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
        let head = files::read_range(&path, 0, 4)?;
        let identity = files::identity_of(&meta);
        Ok(LogFile { name, codec: Codec::of(&head), size: meta.len(), identity, whole: Arc::default(), form: None, path })
    }

    /// As a source sees it: a Parquet file's rows become what the source wants to know.
    pub fn seen_by(self, form: &Arc<Form>) -> LogFile {
        let form = (self.codec == Codec::Parquet).then(|| form.clone());
        LogFile { form, ..self }
    }

    /// What a manifest keeps of how its rows were read; nothing where it is no Parquet file.
    pub fn form_written(&self) -> String {
        self.form.as_ref().map_or_else(String::new, |form| form.written())
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
    let file = |path| Ok(log_file(path, root)?.seen_by(&form));
    let files: Vec<LogFile> = paths.into_iter().map(file).collect::<Result<_>>()?;
    files.iter().try_for_each(|file| refuse_other_format(source, file))?;
    Ok((files, empty))
}

/// A file whose format is not what the project or its own name says.
fn refuse_other_format(source: &Source, file: &LogFile) -> Result<()> {
    let parquet = file.codec == Codec::Parquet;
    let named_parquet = Path::new(&file.name).extension().is_some_and(|extension| extension.eq_ignore_ascii_case("parquet"));
    let expected = match source.format {
        Some(format) => format == Format::Parquet,
        None => parquet || named_parquet,
    };
    if parquet == expected {
        return Ok(());
    }
    let what = if parquet { "a Parquet file stands in a log of NDJSON" } else { "this is no Parquet file" };
    Err(Error::new(Kind::BadData, what).at(file.name.clone()).with_help(if parquet {
        format!("leave `format` out of [source.{}]: files are told by their first bytes", source.name)
    } else {
        "if it is still being written, give it its name when it is complete; if it is something else, keep it out of the globs".into()
    }))
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
