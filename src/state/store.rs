//! `.foldline/`: the lock, the manifests, the data files that they name, and the reports of runs.
//!
//! ```text
//! .foldline/lock                    held while a run works; holds its process id; never removed
//!           manifests/<n>.json      committed generations
//!           snapshots/…, events/…   data files, each named by some manifest
//!           staging/…               what a run is writing; dead when no run holds the lock
//!           runs/<n>.json           reports
//! ```

use std::collections::HashSet;
use std::fs::{File, TryLockError};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Component, Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use super::manifest::{FORMAT, Manifest};
use crate::error::{Error, Kind, Result};
use crate::files;

/// A project's `.foldline/`, locked until this is dropped.
pub struct Store {
    root: PathBuf,
    dir: PathBuf,
    /// Closing it gives the lock back.
    _lock: File,
}

impl Store {
    /// Opens and locks the store of a project; makes it where it is missing. While another run holds it:
    /// waits up to `wait`, then an error of [`Kind::Locked`] that names the other's process id.
    #[allow(clippy::incompatible_msrv, reason = "File::try_lock is in Rust since 1.89")]
    pub fn open(project_root: &Path, wait: Option<Duration>) -> Result<Store> {
        let dir = project_root.join(".foldline");
        files::create_dir_all(&dir.join("manifests"))?;
        let path = dir.join("lock");
        let mut lock = files::open_or_create(&path)?;
        let deadline = wait.map(|wait| Instant::now() + wait);
        loop {
            match lock.try_lock() {
                Ok(()) => break,
                Err(TryLockError::Error(e)) => return Err(Error::io("lock", &path, e)),
                Err(TryLockError::WouldBlock) => match deadline {
                    Some(deadline) if Instant::now() < deadline => std::thread::sleep(Duration::from_millis(50)),
                    _ => return Err(locked(&path, &mut lock)),
                },
            }
        }
        let pid = format!("{}\n", std::process::id());
        lock.set_len(0).and_then(|()| lock.write_all(pid.as_bytes())).map_err(|e| Error::io("write", &path, e))?;
        Ok(Store { root: project_root.to_path_buf(), dir, _lock: lock })
    }

    /// The project's folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// `.foldline/`
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// A path as manifests write it: relative to the project's root where it lies in it.
    pub fn relative(&self, path: &Path) -> Result<String> {
        let absolute = if path.is_absolute() { path.to_path_buf() } else { self.root.join(path) };
        let shown = absolute.strip_prefix(&self.root).unwrap_or(&absolute);
        shown.to_str().map(str::to_string).ok_or_else(|| Error::new(Kind::Project, format!("the path {} is not UTF-8", path.display())))
    }

    /// The path that a manifest's text means.
    pub fn resolve(&self, path: &str) -> PathBuf {
        self.root.join(path)
    }

    /// The path of a data file that a manifest names.
    pub fn data_path(&self, path: &str) -> PathBuf {
        self.dir.join(path)
    }

    /// The newest manifest that can be read; `None` before the first run.
    pub fn newest(&self) -> Result<Option<Manifest>> {
        newest(&self.dir)
    }

    /// Every manifest that can be read, newest first.
    pub fn manifests(&self) -> Result<Vec<Manifest>> {
        manifests(&self.dir)
    }

    /// Every manifest, newest first; `None` where one is there that cannot be read: it may name any file, so
    /// that no file can be called rubbish.
    pub fn whole_manifests(&self) -> Result<Option<Vec<Manifest>>> {
        let manifests = self.manifests()?;
        Ok((manifests.len() == generations(&self.dir)?.len()).then_some(manifests))
    }

    /// The number that the next generation takes: above every manifest, readable or not.
    pub fn next_generation(&self) -> Result<u64> {
        Ok(generations(&self.dir)?.last().map_or(1, |n| n + 1))
    }

    /// An empty folder below `.foldline/snapshots/…` or `…/events/…` for this generation's data files:
    /// data files are written in place, under names that no manifest has yet.
    pub fn fresh_data_dir(&self, kind: &str, name: &str) -> Result<PathBuf> {
        let dir = self.dir.join(kind).join(safe_name(name));
        files::create_dir_all(&dir)?;
        Ok(dir)
    }

    /// An empty staging folder; what an earlier run left there is dead and removed.
    pub fn staging(&self) -> Result<PathBuf> {
        let dir = self.dir.join("staging");
        files::remove_dir_all(&dir)?;
        files::create_dir_all(&dir)?;
        Ok(dir)
    }

    /// Makes the folders of new data files durable, from the files up to `.foldline/`.
    pub fn sync_data(&self, manifest: &Manifest) -> Result<()> {
        let mut dirs: HashSet<PathBuf> = HashSet::new();
        for file in manifest.data_files() {
            let path = self.data_path(&file.path);
            dirs.extend(path.ancestors().skip(1).take_while(|d| d.starts_with(&self.dir)).map(Path::to_path_buf));
        }
        let mut dirs: Vec<PathBuf> = dirs.into_iter().collect();
        dirs.sort_by_key(|d| std::cmp::Reverse(d.components().count()));
        dirs.iter().try_for_each(|d| files::sync_dir(d))
    }

    /// Commits a generation. Before this returns nothing has changed for anybody; afterwards the manifest
    /// is the truth. An error of [`Kind::Locked`] says that another run committed this generation first.
    pub fn commit(&self, manifest: &Manifest) -> Result<()> {
        let dir = self.dir.join("manifests");
        let json = serde_json::to_vec_pretty(manifest).map_err(|e| Error::internal(format!("a manifest cannot be written: {e}")))?;
        self.sync_data(manifest)?;
        files::failpoint("commit.before_manifest")?;
        let temporary = dir.join(format!(".{}-{}.tmp", manifest.generation, std::process::id()));
        files::remove_file(&temporary)?;
        files::write_new(&temporary, &json)?;
        files::failpoint("commit.manifest_written")?;
        let path = manifest_path(&self.dir, manifest.generation);
        let linked = files::hard_link(&temporary, &path);
        files::remove_file(&temporary)?;
        // A network file system may have linked it and lost the answer: then what stands there is ours.
        if !linked? && files::read_to_string(&path).ok().is_none_or(|there| there.as_bytes() != json) {
            return Err(Error::new(Kind::Locked, format!("generation {} was committed by another run", manifest.generation))
                .with_help("run again: it goes on from what the other run has committed"));
        }
        files::sync_dir(&dir)?;
        files::sync_dir(&self.dir)?;
        files::failpoint("publish.after_manifest")
    }

    /// Writes the report of a run, `runs/<n>.json`; a report of the same number is replaced.
    pub fn write_report(&self, generation: u64, json: &serde_json::Value) -> Result<PathBuf> {
        let dir = self.dir.join("runs");
        files::create_dir_all(&dir)?;
        let path = dir.join(format!("{generation}.json"));
        let temporary = dir.join(format!(".{generation}.tmp"));
        files::remove_file(&temporary)?;
        files::write_new(&temporary, format!("{json:#}\n").as_bytes())?;
        files::rename(&temporary, &path)?;
        Ok(path)
    }

    /// Removes manifests beyond the newest `keep` that are older than `grace` and that no rollback holds, and
    /// then every data file that no kept manifest names. Manifest first, then data: a crash between leaves
    /// rubbish, never a hole. Call it only while no data files wait for a commit.
    pub fn collect_garbage(&self, keep: usize, grace: Duration) -> Result<()> {
        let dir = self.dir.join("manifests");
        // what a run that died before its commit was about to link in
        for path in files::list(&dir)? {
            if path.extension().is_some_and(|extension| extension == "tmp") {
                files::remove_file(&path)?;
            }
        }
        let now = SystemTime::now();
        let generations = generations(&self.dir)?;
        let pin = self.newest()?.and_then(|newest| newest.pinned);
        let is_held = |generation: u64| pin.as_ref().is_some_and(|pin| [pin.generation, pin.from, pin.to].contains(&generation));
        let old = generations.len().saturating_sub(keep.max(1));
        // while the newest one cannot be read, nobody knows what it holds
        let newest_is_whole = match generations.last() {
            Some(newest) => read_manifest(&self.dir, *newest)?.is_some(),
            None => true,
        };
        for generation in generations[..old].iter().filter(|g| newest_is_whole && !is_held(**g)) {
            let path = manifest_path(&self.dir, *generation);
            let age = files::stat(&path)?.and_then(|m| m.modified().ok()).and_then(|at| now.duration_since(at).ok());
            if age.is_some_and(|age| age >= grace) {
                files::remove_file(&path)?;
                files::failpoint("garbage.manifest_removed")?;
            }
        }
        files::sync_dir(&dir)?;
        files::failpoint("garbage.manifests_removed")?;
        let Some(kept) = self.whole_manifests()? else { return Ok(()) };
        let named: HashSet<PathBuf> = kept.iter().flat_map(Manifest::data_files).map(|f| self.data_path(&f.path)).collect();
        for kind in ["snapshots", "events", "streams", "quarantine"] {
            remove_unnamed(&self.dir.join(kind), &named)?;
        }
        files::remove_dir_all(&self.dir.join("staging"))
    }
}

/// The newest manifest of a `.foldline/`, read without the lock (`status`, `path`).
pub fn newest(foldline_dir: &Path) -> Result<Option<Manifest>> {
    for generation in generations(foldline_dir)?.into_iter().rev() {
        if let Some(manifest) = read_manifest(foldline_dir, generation)? {
            return Ok(Some(manifest));
        }
    }
    Ok(None)
}

/// Every manifest of a `.foldline/` that can be read, newest first, read without the lock.
pub fn manifests(foldline_dir: &Path) -> Result<Vec<Manifest>> {
    let mut manifests = Vec::new();
    for generation in generations(foldline_dir)?.into_iter().rev() {
        manifests.extend(read_manifest(foldline_dir, generation)?);
    }
    Ok(manifests)
}

/// A name made fit for a folder: what is not a letter, a digit, `_` or `-` is percent-encoded.
pub fn safe_name(name: &str) -> String {
    let mut out = String::new();
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-') {
            out.push(byte as char);
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    if out.len() > 150 {
        let hash = blake3::hash(name.as_bytes()).to_hex();
        out = format!("{}-{}", &out[..100].trim_end_matches('%'), &hash[..16]);
    }
    out
}

fn manifest_path(foldline_dir: &Path, generation: u64) -> PathBuf {
    foldline_dir.join("manifests").join(format!("{generation}.json"))
}

/// The numbers of the manifests, ascending.
fn generations(foldline_dir: &Path) -> Result<Vec<u64>> {
    let mut numbers: Vec<u64> = files::list(&foldline_dir.join("manifests"))?
        .iter()
        .filter_map(|p| p.file_name()?.to_str()?.strip_suffix(".json")?.parse().ok())
        .collect();
    numbers.sort_unstable();
    Ok(numbers)
}

/// `None`: the file is broken. A format of the future is an error, not a broken file.
fn read_manifest(foldline_dir: &Path, generation: u64) -> Result<Option<Manifest>> {
    let path = manifest_path(foldline_dir, generation);
    let Ok(text) = files::read_to_string(&path) else {
        return match files::stat(&path)? {
            Some(m) if m.is_file() => files::open(&path).map(|_| None),
            _ => Ok(None),
        };
    };
    let Ok(json) = serde_json::from_str::<serde_json::Value>(&text) else { return Ok(None) };
    if let Some(format) = json.get("format").and_then(serde_json::Value::as_u64)
        && format != FORMAT as u64
    {
        return Err(Error::new(Kind::Io, format!("the manifest {} has the format {format}", path.display()))
            .with_help(format!("this foldline reads format {FORMAT}; use the version that wrote it, or a newer one")));
    }
    let manifest = serde_json::from_value::<Manifest>(json).ok().filter(|m| m.generation == generation && all_inside(m));
    Ok(manifest)
}

/// No data file of a manifest lies outside `.foldline/`.
fn all_inside(manifest: &Manifest) -> bool {
    manifest.data_files().all(|f| Path::new(&f.path).components().all(|c| matches!(c, Component::Normal(_))))
}

fn locked(path: &Path, lock: &mut File) -> Error {
    let mut pid = String::new();
    let _ = lock.seek(SeekFrom::Start(0)).and_then(|_| lock.take(32).read_to_string(&mut pid));
    let pid = pid.trim();
    let who = if pid.is_empty() { "another run".to_string() } else { format!("another run (process {pid})") };
    Error::new(Kind::Locked, format!("{who} holds this project"))
        .at(path.display().to_string())
        .with_help("wait for it to end, or let this one wait with `--wait 10m`")
}

fn remove_unnamed(dir: &Path, named: &HashSet<PathBuf>) -> Result<()> {
    for path in files::list(dir)? {
        match files::stat(&path)? {
            Some(m) if m.is_dir() => remove_unnamed(&path, named)?,
            Some(_) if !named.contains(&path) => {
                files::remove_file(&path)?;
                files::failpoint("garbage.data_removed")?;
            }
            _ => {}
        }
    }
    Ok(())
}
