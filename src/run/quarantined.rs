//! What is in quarantine, read without the lock: for `quarantine list` and `show`.

use std::path::Path;

use hashbrown::HashMap;

use super::quarantine::{Entry, columns};
use crate::error::Result;
use crate::source::Origin;
use crate::sql::Value;
use crate::state::manifest::{Manifest, Source};
use crate::state::parquet;

/// An entry as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quarantined {
    pub source: String,
    pub entry: Entry,
    /// What is wrong itself is counted from 1; `None`: it follows another one.
    pub number: Option<usize>,
    /// How many records follow: of the first one that a stream or a row stands still at.
    pub followed_by: u64,
    /// The data file, relative to `.foldline/`, and the row in it.
    place: (String, usize),
}

impl Quarantined {
    /// The entry without its record.
    pub fn json(&self) -> serde_json::Value {
        let entry = &self.entry;
        let (aggregate, key) = entry.row.clone().unzip();
        serde_json::json!({
            "number": self.number, "source": self.source, "file": &*entry.origin.file, "line": entry.origin.line, "byte": entry.origin.byte,
            "stream": entry.stream, "version": entry.version, "type": entry.event_type, "kind": entry.kind, "reason": entry.reason,
            "aggregate": aggregate, "key": key, "follows": entry.follows, "followed_by": self.followed_by,
        })
    }

    /// The entry with its record: as text, or where the line is none in hexadecimal.
    pub fn json_with(&self, record: &[u8]) -> serde_json::Value {
        let mut json = self.json();
        match std::str::from_utf8(record) {
            Ok(text) => json["record"] = text.into(),
            Err(_) => json["record_hex"] = record.iter().map(|byte| format!("{byte:02x}")).collect::<String>().into(),
        }
        json
    }

    /// What stands still together: a source's stream, or the row of an aggregate.
    fn stands_still(&self) -> (&str, Option<&str>, Option<&(String, String)>) {
        // a row may be reached by many streams
        let stream = if self.entry.row.is_none() { self.entry.stream.as_deref() } else { None };
        (&self.source, stream, self.entry.row.as_ref())
    }

    /// Whether this record follows that one.
    pub fn is_behind(&self, first: &Quarantined) -> bool {
        let has_followers = first.entry.stream.is_some();
        has_followers && self.entry.follows && self.stands_still() == first.stands_still()
    }
}

/// Everything that a generation has in quarantine: by source, in log order.
pub fn read(foldline_dir: &Path, manifest: &Manifest) -> Result<Vec<Quarantined>> {
    let mut all = Vec::new();
    for source in &manifest.sources {
        all.extend(of_source(foldline_dir, source)?);
    }
    let counts = counts(&all);
    for (q, (number, followed_by)) in all.iter_mut().zip(counts) {
        (q.number, q.followed_by) = (number, followed_by);
    }
    Ok(all)
}

/// The number of each entry, and how many follow it.
fn counts(all: &[Quarantined]) -> Vec<(Option<usize>, u64)> {
    let mut followers: HashMap<_, u64> = HashMap::new();
    for q in all.iter().filter(|q| q.entry.follows) {
        *followers.entry(q.stands_still()).or_default() += 1;
    }
    let mut number = 0;
    let mut counts = Vec::with_capacity(all.len());
    for q in all {
        if q.entry.follows {
            counts.push((None, 0));
            continue;
        }
        number += 1;
        // only the first one has followers: the others stand behind it, too
        let behind = if q.entry.stream.is_none() { None } else { followers.remove(&q.stands_still()) };
        counts.push((Some(number), behind.unwrap_or_default()));
    }
    counts
}

fn of_source(foldline_dir: &Path, source: &Source) -> Result<Vec<Quarantined>> {
    let wanted = columns(&["file", "line", "byte", "stream", "version", "type", "kind", "reason", "aggregate", "key", "follows"]);
    let mut found = Vec::new();
    for file in &source.quarantine.files {
        let frame = parquet::read(&foldline_dir.join(&file.path), &wanted)?;
        for row in 0..frame.rows() {
            let values: Vec<Value> = frame.columns.iter().map(|c| c.get(row)).collect();
            let text = |column: usize| values[column].as_text().map(str::to_string);
            let int = |column: usize| values[column].as_int();
            let entry = Entry {
                origin: Origin {
                    file: text(0).unwrap_or_default().into(),
                    line: int(1).unwrap_or_default() as u64,
                    byte: int(2).map(|byte| byte as u64),
                },
                stream: text(3),
                version: int(4).map(|version| version as i64),
                event_type: text(5),
                kind: text(6).unwrap_or_default(),
                reason: text(7).unwrap_or_default(),
                row: text(8).zip(text(9)),
                follows: values[10].as_bool() == Some(true),
            };
            found.push(Quarantined { source: source.name.clone(), entry, number: None, followed_by: 0, place: (file.path.clone(), row) });
        }
    }
    let places = segments_by_file(source);
    found.sort_by_cached_key(|q| {
        let origin = &q.entry.origin;
        let segments = places.get(&*origin.file).map_or(&[][..], Vec::as_slice);
        let byte = origin.byte.unwrap_or_default();
        let before = segments.partition_point(|(from, _)| *from <= byte);
        let segment = before.checked_sub(1).map_or(usize::MAX, |at| segments[at].1);
        (segment, origin.file.clone(), origin.line, q.entry.row.clone())
    });
    Ok(found)
}

/// Per file: the first byte of each segment, ascending, and its number in log order.
fn segments_by_file(source: &Source) -> HashMap<&str, Vec<(u64, usize)>> {
    let mut places: HashMap<&str, Vec<(u64, usize)>> = HashMap::new();
    for (number, segment) in source.segments.iter().enumerate() {
        if let Some(file) = source.files.get(segment.file) {
            places.entry(&file.path).or_default().push((segment.from, number));
        }
    }
    places.values_mut().for_each(|segments| segments.sort_unstable());
    places
}

/// The records of entries, as the log has them.
pub fn records(foldline_dir: &Path, wanted: &[&Quarantined]) -> Result<Vec<Vec<u8>>> {
    let mut texts = vec![Vec::new(); wanted.len()];
    let mut files: Vec<&str> = wanted.iter().map(|q| q.place.0.as_str()).collect();
    files.sort_unstable();
    files.dedup();
    for file in files {
        let frame = parquet::read(&foldline_dir.join(file), &columns(&["record"]))?;
        for (text, q) in texts.iter_mut().zip(wanted).filter(|(_, q)| q.place.0 == file) {
            if let Value::Blob(bytes) = frame.columns[0].get(q.place.1) {
                *text = bytes.to_vec();
            }
        }
    }
    Ok(texts)
}
