//! The checkpoint: what a manifest says of how much of each log was consumed.

use super::decide::Decision;
use super::identity::disk_hash;
use super::tally::Tally;
use crate::error::{Error, Result};
use crate::project::Project;
use crate::state::manifest::{self, Manifest, Reason};

/// Whether two manifests have consumed the same.
pub fn consumed_same(last: &Manifest, next: &Manifest) -> bool {
    let segments = |m: &Manifest| m.sources.iter().map(|s| (s.name.clone(), s.fingerprint.clone(), s.segments.clone())).collect::<Vec<_>>();
    let definitions = |m: &Manifest| m.aggregates.iter().map(|a| (a.name.clone(), a.fingerprint.clone())).collect::<Vec<_>>();
    let events = |m: &Manifest| m.event_tables.iter().map(|t| (t.event_type.clone(), t.fingerprint.clone())).collect::<Vec<_>>();
    segments(last) == segments(next) && definitions(last) == definitions(next) && events(last) == events(next) && next.reason == Reason::Run
}

/// The manifest's entry of a source after its scan: what was consumed before, and now.
pub fn source_entry(
    project: &Project,
    source: usize,
    last: Option<&Manifest>,
    mut files: Vec<manifest::LogFile>,
    tally: &Tally,
    decision: &Decision,
) -> Result<manifest::Source> {
    let definition = &project.sources[source];
    let before = last.and_then(|m| m.source(&definition.name));
    let mut segments = if decision.source_replay[source] { Vec::new() } else { before.map(|s| s.segments.clone()).unwrap_or_default() };
    for segment in tally.consumed.iter().filter(|segment| segment.to > segment.from) {
        append(&mut segments, *segment);
    }
    // a file without a whole record yet is not known: it is new at the next run
    let mut numbers: Vec<Option<usize>> = Vec::with_capacity(files.len());
    let mut kept = 0;
    for file in &files {
        numbers.push((file.consumed > 0).then(|| {
            kept += 1;
            kept - 1
        }));
    }
    files.retain(|file| file.consumed > 0);
    for segment in &mut segments {
        segment.file = numbers.get(segment.file).copied().flatten().ok_or_else(|| Error::internal("a consumed segment has no file"))?;
    }
    for part in &decision.intakes[source].fresh {
        let Some(Some(number)) = numbers.get(part.file) else { continue };
        if !part.segment.file.is_plain() {
            files[*number].size = part.segment.file.size;
            files[*number].packed_hash = disk_hash(&part.segment.file)?;
        }
    }
    let last_event_time = tally.max_time.max(before.and_then(|s| s.last_event_time));
    Ok(manifest::Source {
        name: definition.name.clone(),
        fingerprint: definition.fingerprint.clone(),
        files,
        segments,
        copies: decision.intakes[source].copies.clone(),
        streams: Vec::new(),
        stream_partitions: Vec::new(),
        pending: Vec::new(),
        pending_events: 0,
        quarantine: Default::default(),
        passed: manifest::Passed::default(),
        ids: Vec::new(),
        last_position: tally.last_position,
        last_event_time,
    })
}

/// Adds a segment; one that follows the last one in the same file makes that longer, so that the list does not grow with
/// every run. The order of the log stays what it is, and so does where holes were passed.
fn append(segments: &mut Vec<manifest::Segment>, segment: manifest::Segment) {
    match segments.last_mut() {
        Some(last) if last.file == segment.file && last.to == segment.from && !last.passed_holes => {
            (last.to, last.passed_holes) = (segment.to, segment.passed_holes);
        }
        _ => segments.push(segment),
    }
}
