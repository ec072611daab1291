//! The only door to the file system: every error names what was tried and the path.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use crate::error::{Error, Kind, Result};

pub fn open(path: &Path) -> Result<File> {
    File::open(path).map_err(|e| Error::io("read", path, e))
}

pub fn read_to_string(path: &Path) -> Result<String> {
    let bytes = fs::read(path).map_err(|e| Error::io("read", path, e))?;
    String::from_utf8(bytes).map_err(|_| Error::new(crate::error::Kind::BadData, format!("{} is not UTF-8 text", path.display())))
}

pub fn create_dir_all(path: &Path) -> Result<()> {
    fs::create_dir_all(path).map_err(|e| Error::io("create the folder", path, e))
}

/// Creates a file that must not exist yet (O_EXCL).
pub fn create_new(path: &Path) -> Result<File> {
    OpenOptions::new().write(true).create_new(true).open(path).map_err(|e| Error::io("create", path, e))
}

/// Opens a file for reading and writing, made if it is missing, never cut.
pub fn open_or_create(path: &Path) -> Result<File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path).map_err(|e| Error::io("open", path, e))
}

/// Writes a new file and makes its content durable; its folder's entry is not.
pub fn write_new(path: &Path, content: &[u8]) -> Result<()> {
    let mut file = create_new(path)?;
    file.write_all(content).and_then(|()| file.sync_all()).map_err(|e| Error::io("write", path, e))
}

/// Makes a file's content durable.
pub fn sync_file(path: &Path) -> Result<()> {
    File::open(path).and_then(|f| f.sync_all()).map_err(|e| Error::io("sync", path, e))
}

/// Renames within one file system; replaces `to` atomically.
pub fn rename(from: &Path, to: &Path) -> Result<()> {
    fs::rename(from, to).map_err(|e| Error::io("rename to", to, e))
}

/// Gives a file a second name. `false`: the name is taken already.
pub fn hard_link(from: &Path, to: &Path) -> Result<bool> {
    match fs::hard_link(from, to) {
        Ok(()) => Ok(true),
        Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => Ok(false),
        Err(e) => Err(Error::io("link", to, e)),
    }
}

/// Has two names of one file system change places, atomically. `false`: this file system cannot, and nothing
/// was done.
#[cfg(any(target_os = "linux", target_vendor = "apple"))]
pub fn exchange(a: &Path, b: &Path) -> Result<bool> {
    use rustix::fs::{CWD, RenameFlags, renameat_with};
    use rustix::io::Errno;
    match renameat_with(CWD, a, CWD, b, RenameFlags::EXCHANGE) {
        Ok(()) => Ok(true),
        Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => Ok(false),
        Err(e) => Err(Error::io("rename to", b, e.into())),
    }
}

#[cfg(not(any(target_os = "linux", target_vendor = "apple")))]
pub fn exchange(_a: &Path, _b: &Path) -> Result<bool> {
    Ok(false)
}

/// Makes a symbolic link at `link` that says `target` (relative to the link's folder). `false`: the name is
/// taken already.
#[cfg(unix)]
pub fn symlink(target: &Path, link: &Path) -> Result<bool> {
    match std::os::unix::fs::symlink(target, link) {
        Ok(()) => Ok(true),
        Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => Ok(false),
        Err(e) => Err(Error::io("create the link", link, e)),
    }
}

#[cfg(not(unix))]
pub fn symlink(_target: &Path, link: &Path) -> Result<bool> {
    Err(Error::new(Kind::Io, format!("cannot create the link {}: this system has no symbolic links", link.display())))
}

/// What a symbolic link says; `None`: there is none (nothing at all, or something else).
pub fn read_link(path: &Path) -> Result<Option<PathBuf>> {
    match fs::read_link(path) {
        Ok(target) => Ok(Some(target)),
        Err(e) if matches!(e.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::InvalidInput) => Ok(None),
        Err(e) => Err(Error::io("read the link", path, e)),
    }
}

/// What stands at a path, links not followed; `None`: nothing.
pub fn stat(path: &Path) -> Result<Option<fs::Metadata>> {
    match fs::symlink_metadata(path) {
        Ok(metadata) => Ok(Some(metadata)),
        Err(e) if matches!(e.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory) => Ok(None),
        Err(e) => Err(Error::io("look at", path, e)),
    }
}

/// The names in a folder, sorted; a missing folder has none.
pub fn list(path: &Path) -> Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(path) {
        Ok(entries) => entries,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(Error::io("list", path, e)),
    };
    let mut paths = Vec::new();
    for entry in entries {
        paths.push(entry.map_err(|e| Error::io("list", path, e))?.path());
    }
    paths.sort();
    Ok(paths)
}

/// Everybody may read, the owner may write: what a published file must allow.
#[cfg(unix)]
pub fn make_readable(path: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(path, fs::Permissions::from_mode(0o644)).map_err(|e| Error::io("set the mode of", path, e))
}

#[cfg(not(unix))]
pub fn make_readable(_path: &Path) -> Result<()> {
    Ok(())
}

/// A file's content hash (BLAKE3, hex) and its size in bytes.
pub fn hash(path: &Path) -> Result<(String, u64)> {
    let mut file = open(path)?;
    let mut hasher = blake3::Hasher::new();
    let mut buffer = vec![0u8; 1 << 18];
    let mut bytes = 0u64;
    loop {
        let n = file.read(&mut buffer).map_err(|e| Error::io("read", path, e))?;
        if n == 0 {
            return Ok((hasher.finalize().to_hex().to_string(), bytes));
        }
        hasher.update(&buffer[..n]);
        bytes += n as u64;
    }
}

/// A new file that is hashed while it is written, so that nobody has to read it again for that.
pub struct HashedFile {
    file: File,
    hasher: blake3::Hasher,
    bytes: u64,
}

impl HashedFile {
    pub fn new(file: File) -> HashedFile {
        HashedFile { file, hasher: blake3::Hasher::new(), bytes: 0 }
    }

    /// Makes the content durable. Gives the same as [`hash`].
    pub fn finish(self, path: &Path) -> Result<(String, u64)> {
        self.file.sync_all().map_err(|e| Error::io("sync", path, e))?;
        Ok((self.hasher.finalize().to_hex().to_string(), self.bytes))
    }
}

impl Write for HashedFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.hasher.update(&bytes[..written]);
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// Makes a folder's entries durable.
pub fn sync_dir(path: &Path) -> Result<()> {
    File::open(path).and_then(|d| d.sync_all()).map_err(|e| Error::io("sync the folder", path, e))
}

/// Removes a file; a missing one is no error.
pub fn remove_file(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(Error::io("remove", path, e)),
        _ => Ok(()),
    }
}

/// Removes a folder in which nothing is; it is an error if something is.
pub fn remove_empty_dir(path: &Path) -> Result<()> {
    fs::remove_dir(path).map_err(|e| Error::io("remove the folder", path, e))
}

/// Removes a folder with all that is in it; a missing one is no error.
pub fn remove_dir_all(path: &Path) -> Result<()> {
    match fs::remove_dir_all(path) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(Error::io("remove the folder", path, e)),
        _ => Ok(()),
    }
}

/// Removes whatever stands at a path: a file, a link (not what it points at), a folder; nothing is no error.
pub fn remove(path: &Path) -> Result<()> {
    match stat(path)? {
        Some(metadata) if metadata.is_dir() => remove_dir_all(path),
        Some(_) => remove_file(path),
        None => Ok(()),
    }
}

/// A place where a test can make the process die: aborts where FOLDLINE_FAILPOINT names it, and fails
/// where [`arm_failpoint`] armed it on this thread.
pub fn failpoint(name: &str) -> Result<()> {
    static ABORT_AT: OnceLock<Option<String>> = OnceLock::new();
    if ABORT_AT.get_or_init(|| std::env::var("FOLDLINE_FAILPOINT").ok()).as_deref() == Some(name) {
        std::process::abort();
    }
    if ARMED.with_borrow(|armed| armed.as_deref() == Some(name)) {
        return Err(Error::new(Kind::Internal, format!("failpoint {name}")));
    }
    Ok(())
}

thread_local! {
    static ARMED: std::cell::RefCell<Option<String>> = const { std::cell::RefCell::new(None) };
}

/// Makes [`failpoint`] fail on this thread, for tests.
#[doc(hidden)]
pub fn arm_failpoint(name: Option<&str>) {
    ARMED.with_borrow_mut(|armed| *armed = name.map(str::to_string));
}

pub fn metadata(path: &Path) -> Result<fs::Metadata> {
    fs::metadata(path).map_err(|e| Error::io("read", path, e))
}

/// Up to `len` bytes from `offset` on; fewer where the file ends.
pub fn read_range(path: &Path, offset: u64, len: u64) -> Result<Vec<u8>> {
    use std::io::{Read, Seek, SeekFrom};
    let read = || {
        let mut file = File::open(path)?;
        file.seek(SeekFrom::Start(offset))?;
        let mut bytes = Vec::new();
        file.take(len).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    read().map_err(|e| Error::io("read", path, e))
}

/// Fills `bytes` from `offset` of an open file.
pub fn read_exact_at(file: &File, path: &Path, bytes: &mut [u8], offset: u64) -> Result<()> {
    use std::os::unix::fs::FileExt;
    file.read_exact_at(bytes, offset).map_err(|e| Error::io("read", path, e))
}

/// Writes all of `bytes` at an offset; `path` says where for an error.
#[cfg(unix)]
pub fn write_all_at(file: &File, path: &Path, bytes: &[u8], offset: u64) -> Result<()> {
    use std::os::unix::fs::FileExt;
    file.write_all_at(bytes, offset).map_err(|e| Error::io("write to", path, e))
}

/// A file without a name in a folder, which is made where it is missing: it is gone when it is closed.
pub fn temporary(folder: &Path) -> Result<File> {
    create_dir_all(folder)?;
    tempfile::tempfile_in(folder).map_err(|e| Error::io("make a temporary file in", folder, e))
}

/// Whether two names are one file (the same inode); a missing one is no file.
#[cfg(unix)]
pub fn same_file(a: &Path, b: &Path) -> Result<bool> {
    use std::os::unix::fs::MetadataExt;
    Ok(match (stat(a)?, stat(b)?) {
        (Some(a), Some(b)) => (a.dev(), a.ino()) == (b.dev(), b.ino()),
        _ => false,
    })
}

#[cfg(not(unix))]
pub fn same_file(_a: &Path, _b: &Path) -> Result<bool> {
    Ok(false)
}

/// What tells whatever stands at a path from everything else on this machine (device and inode), links not
/// followed; `None`: nothing stands there.
#[cfg(unix)]
pub fn identity(path: &Path) -> Result<Option<(u64, u64)>> {
    Ok(stat(path)?.map(|m| identity_of(&m)))
}

#[cfg(not(unix))]
pub fn identity(path: &Path) -> Result<Option<(u64, u64)>> {
    Ok(stat(path)?.map(|m| (0, m.len())))
}

/// What tells the file that was looked at from every other one; all are alike where the system does not say.
#[cfg(unix)]
pub fn identity_of(metadata: &fs::Metadata) -> (u64, u64) {
    use std::os::unix::fs::MetadataExt;
    (metadata.dev(), metadata.ino())
}

#[cfg(not(unix))]
pub fn identity_of(_metadata: &fs::Metadata) -> (u64, u64) {
    (0, 0)
}

/// When a file was last changed, in nanoseconds since the epoch; 0 where the system does not say.
pub fn modified_nanos(metadata: &fs::Metadata) -> i64 {
    let since = metadata.modified().ok().and_then(|at| at.duration_since(std::time::UNIX_EPOCH).ok());
    since.and_then(|d| i64::try_from(d.as_nanos()).ok()).unwrap_or(0)
}
