//! The only door to the file system: every error names what was tried and the path.

use std::fs::{self, File};
use std::path::Path;

use crate::error::{Error, Result};

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

/// Renames within one file system; replaces `to` atomically.
pub fn rename(from: &Path, to: &Path) -> Result<()> {
    fs::rename(from, to).map_err(|e| Error::io("rename to", to, e))
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

/// Removes a folder with all that is in it; a missing one is no error.
pub fn remove_dir_all(path: &Path) -> Result<()> {
    match fs::remove_dir_all(path) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(Error::io("remove the folder", path, e)),
        _ => Ok(()),
    }
}
