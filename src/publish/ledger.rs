//! The ledger: before anything is made outside `.foldline/`, its paths are written down in
//! `.foldline/targets/<generation>-<id>.json`. Whatever stands there and is named by no kept manifest is
//! dead (a crash before the commit) or old, and can be removed without ever listing a user's folder.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::files;
use crate::state::Store;

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Ledger {
    pub generation: u64,
    pub id: String,
    pub entries: Vec<Entry>,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Entry {
    /// What readers open.
    pub target: String,
    pub staging: String,
    pub generation_path: String,
}

fn dir(store: &Store) -> PathBuf {
    store.dir().join("targets")
}

fn path(store: &Store, generation: u64, id: &str) -> PathBuf {
    dir(store).join(format!("{generation}-{id}.json"))
}

pub(super) fn write<'a>(
    store: &Store,
    generation: u64,
    id: &str,
    targets: impl Iterator<Item = (&'a Path, &'a Path, &'a Path)>,
) -> Result<()> {
    let mut entries = Vec::new();
    for (target, staging, generation_path) in targets {
        entries.push(Entry {
            target: store.relative(target)?,
            staging: store.relative(staging)?,
            generation_path: store.relative(generation_path)?,
        });
    }
    if entries.is_empty() {
        return Ok(());
    }
    let ledger = Ledger { generation, id: id.to_string(), entries };
    let json = serde_json::to_vec_pretty(&ledger).map_err(|e| Error::internal(format!("a ledger cannot be written: {e}")))?;
    let dir = dir(store);
    files::create_dir_all(&dir)?;
    files::write_new(&path(store, generation, id), &json)?;
    files::sync_dir(&dir)?;
    files::sync_dir(store.dir())
}

/// Every ledger that can be read. One that cannot was cut off before anything was made.
pub(super) fn all(store: &Store) -> Result<Vec<Ledger>> {
    let mut ledgers = Vec::new();
    for path in files::list(&dir(store))? {
        let read = files::read_to_string(&path).ok().and_then(|text| serde_json::from_str::<Ledger>(&text).ok());
        match read {
            Some(ledger) => ledgers.push(ledger),
            None => files::remove_file(&path)?,
        }
    }
    Ok(ledgers)
}

pub(super) fn remove(store: &Store, generation: u64, id: &str) -> Result<()> {
    files::remove_file(&path(store, generation, id))
}
