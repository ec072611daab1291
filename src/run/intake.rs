//! What is to be read: the consumed part of each log, checked to be what it was, and what is new behind it.

use std::sync::Arc;

use rayon::prelude::*;

use super::hashing;
use super::identity::{Place, chain_through, disk_hash, end_of_line, line_starts, locate};
use super::own_output::refuse_own_output;
use crate::error::{Error, Kind, Result};
use crate::project::{OnVanished, Project};
use crate::source::chunks::Segment;
use crate::source::container::Form;
use crate::source::files::{LogFile, discover};
use crate::state::manifest;

/// A segment to scan, and the file it belongs to as the manifest counts files.
#[derive(Debug, Clone)]
pub struct Part {
    pub file: usize,
    pub segment: Segment,
    /// The streams passed their holes behind it (`on_gap = "skip"`): a run ended there.
    pub passes_holes: bool,
}

/// One source's log: what was consumed, in log order, and what is new.
#[derive(Debug, Clone, Default)]
pub struct Intake {
    /// Every known file; the scan brings the entries of new and grown ones up to date.
    pub files: Vec<manifest::LogFile>,
    pub old: Vec<Part>,
    pub fresh: Vec<Part>,
    /// Files that are not read: another one holds the same.
    pub copies: Vec<manifest::CopiedFile>,
    /// Globs that match nothing although other patterns of the source do.
    pub empty_globs: Vec<String>,
    /// Set where the log cannot be replayed, with the reason.
    pub cannot_replay: Option<Error>,
    /// How consumed files changed, where that was accepted: the source is read anew.
    pub changes: Vec<Error>,
    /// What became of files since the last run, to be told and to be kept.
    pub moves: Vec<String>,
    /// What waits at the end of compressed files.
    pub waits: Vec<String>,
    /// By known file: where it lies; `None`: it is gone, or was changed.
    on_disk: Vec<Option<LogFile>>,
}

impl Intake {
    /// Bytes on disk that a scan of these parts reads, about.
    pub fn bytes(parts: &[Part]) -> u64 {
        parts
            .iter()
            .map(|part| match (part.segment.file.is_plain(), part.segment.to) {
                (true, Some(to)) => to - part.segment.from,
                _ => part.segment.file.size,
            })
            .sum()
    }

    /// Compares every consumed byte that is still there with what it was. Fails at the first block that differs.
    pub fn check_whole(&self) -> Result<()> {
        let differences: Vec<Option<Error>> = self.differences()?;
        differences.into_iter().flatten().next().map_or(Ok(()), Err)
    }

    /// By known file: how it differs from what was consumed.
    fn differences(&self) -> Result<Vec<Option<Error>>> {
        let files = self.on_disk.par_iter().zip(&self.files);
        files.map(|(file, entry)| file.as_ref().map_or(Ok(None), |file| hashing::difference(file, entry))).collect()
    }

    /// Of a new compressed part whose last member turned out to be cut: the whole ones are read, the rest waits. `false`:
    /// there is no such part.
    pub fn leave_torn_members(&mut self) -> bool {
        let mut found = false;
        for part in &mut self.fresh {
            let file = &mut part.segment.file;
            if let Some(whole) = file.whole.get().copied().filter(|whole| *whole < file.size) {
                self.waits.push(format!(
                    "{}: the last {} is cut and waits ({} bytes); it is read once it is complete",
                    file.name,
                    file.member(),
                    file.size - whole
                ));
                file.size = whole;
                part.segment.last_line_counts = false;
                found = true;
            }
        }
        found
    }
}

/// Compares a source's files with what the last generation consumed of them. `accept_change`: consumed files that
/// changed, were cut or are gone are no error; the source is read as it is now.
pub fn intake(project: &Project, source: usize, last: Option<&manifest::Source>, accept_change: bool) -> Result<Intake> {
    let definition = &project.sources[source];
    let known = last.map_or(&[][..], |s| &s.files);
    let (found, empty_globs) = discover(definition, &project.root, !known.is_empty())?;
    refuse_own_output(project, source, &found)?;
    let order: Vec<String> = found.iter().map(|file| file.name.clone()).collect();
    let located = locate(&project.root, &Arc::new(Form::of(definition)), last, found)?;
    let mut intake = Intake { files: known.to_vec(), empty_globs, copies: located.copies, ..Intake::default() };
    intake.on_disk = located.places.iter().map(Place::file).collect();
    let mut places = located.places;
    if accept_change {
        let differences = intake.differences()?;
        for ((place, entry), error) in places.iter_mut().zip(known).zip(differences) {
            if let (Place::Here { file, .. } | Place::Moved { file, .. }, Some(error)) = (&*place, error)
                && file.form_written() == entry.form
            {
                *place = Place::Changed { file: file.clone(), error };
            }
        }
    }
    // what is new, and the place of its file's name among the others; a file that was known under another name goes first
    let mut fresh: Vec<(usize, Part)> = Vec::new();
    let place_of = |file: &LogFile| order.iter().position(|name| *name == file.name).map_or(0, |at| at + 1);
    // by known file, where its content changed: the beginnings of lines that its segments end at now
    let mut cut: Vec<Option<Vec<u64>>> = vec![None; known.len()];
    for (number, place) in places.into_iter().enumerate() {
        let entry = &mut intake.files[number];
        match place {
            Place::Here { file, .. } if entry.form != file.form_written() => {
                // its rows are what they were, and become other records: the source is replayed
                let consumed = reread(&file, entry)?;
                cut[number] = Some(vec![consumed; last.map_or(0, |last| last.segments.len())]);
            }
            Place::Here { file, grown } => {
                let named = place_of(&file);
                // a file that is only still there is not read on
                if grown && named > 0 {
                    fresh.push((named, new_part(number, file, entry.consumed)));
                }
            }
            Place::Moved { file, grown } => {
                if file.name != entry.path {
                    intake.moves.push(format!("{} is what {} was; it goes on under its new name", file.name, entry.path));
                }
                (entry.path, entry.codec, entry.size) = (file.name.clone(), file.packing().to_string(), file.size);
                entry.form = file.form_written();
                (entry.sealed, entry.vanished) = (!file.is_plain(), false);
                entry.packed_hash = if file.is_plain() { String::new() } else { disk_hash(&file)? };
                if grown {
                    fresh.push((0, new_part(number, file, entry.consumed)));
                }
            }
            Place::Gone => {
                let gone = Error::new(Kind::HistoryChanged, "a log file that was consumed is gone").at(entry.path.clone());
                let gone = match definition.on_vanished {
                    OnVanished::Keep => gone
                        .with_help("bring it back: what came of it is kept in the snapshot, but a replay needs the file")
                        .with_help("without `on_vanished = \"keep\"`, `--accept-history-change` replays the log as it is, without it"),
                    OnVanished::Fail => gone
                        .with_help("if it was renamed or compressed: the `files` of its [source] have to match its new name, too")
                        .with_help("bring it back, or set `on_vanished = \"keep\"` in its [source] to go on from the snapshot")
                        .with_help("`--accept-history-change` replays the log without it"),
                };
                match definition.on_vanished {
                    OnVanished::Keep => {
                        entry.vanished = true;
                        intake.cannot_replay = Some(gone);
                    }
                    OnVanished::Fail if accept_change => {
                        entry.consumed = 0;
                        cut[number] = Some(Vec::new());
                        intake.changes.push(gone);
                    }
                    OnVanished::Fail => return Err(gone),
                }
            }
            Place::Changed { error, .. } if !accept_change => return Err(error),
            Place::Changed { file, error } => {
                let bounds: Vec<u64> = last.iter().flat_map(|l| &l.segments).filter(|s| s.file == number).map(|s| s.to).collect();
                let mut starts = line_starts(&file, &bounds)?;
                // a line that was mended where it stands may be longer or shorter: what was consumed ends behind as many lines
                if let (Some(end), Some(consumed)) = (starts.last_mut(), end_of_line(&file, entry.lines)?) {
                    *end = consumed;
                }
                *entry = unread(&file);
                fresh.push((place_of(&file), new_part(number, file.clone(), starts.last().copied().unwrap_or(0))));
                intake.on_disk[number] = Some(file);
                cut[number] = Some(starts);
                intake.changes.push(error);
            }
        }
    }
    intake.old = old_parts(last, &intake.on_disk, &mut cut);
    for file in located.new {
        let named = place_of(&file);
        intake.files.push(unread(&file));
        fresh.push((named, new_part(intake.files.len() - 1, file, 0)));
    }
    fresh.sort_by_key(|(named, _)| *named);
    for (_, part) in fresh {
        intake.files[part.file].size = part.segment.file.size;
        intake.fresh.push(part);
    }
    Ok(intake)
}

/// The consumed segments in log order; those of files that changed end where lines begin now, and begin where the one
/// before ended.
fn old_parts(last: Option<&manifest::Source>, on_disk: &[Option<LogFile>], cut: &mut [Option<Vec<u64>>]) -> Vec<Part> {
    let mut parts: Vec<Part> = Vec::new();
    let mut ended: Vec<u64> = vec![0; on_disk.len()];
    for segment in last.map_or(&[][..], |s| &s.segments) {
        let file = on_disk.get(segment.file).cloned().flatten();
        let (mut from, mut to) = (segment.from, segment.to);
        if let Some(ends) = &mut cut[segment.file] {
            (from, to) = (ended[segment.file], if ends.is_empty() { 0 } else { ends.remove(0) });
            ended[segment.file] = to.max(from);
        }
        match file.filter(|_| to > from) {
            Some(file) => {
                let segment_now = Segment { file, from, to: Some(to), last_line_counts: true };
                parts.push(Part { file: segment.file, segment: segment_now, passes_holes: segment.passed_holes });
            }
            // nothing is left of it: the run ended behind what was before
            None => {
                if let Some(before) = parts.last_mut().filter(|_| segment.passed_holes) {
                    before.passes_holes = true;
                }
            }
        }
    }
    parts
}

fn unread(file: &LogFile) -> manifest::LogFile {
    let entry = manifest::LogFile::unread(file.name.clone(), file.packing(), file.size);
    manifest::LogFile { form: file.form_written(), ..entry }
}

/// Brings the entry of a Parquet file up to what its rows become by today's envelope. Gives the bytes of that.
fn reread(file: &LogFile, entry: &mut manifest::LogFile) -> Result<u64> {
    let (chain, _) = chain_through(file, u64::MAX)?;
    let hashes = chain.hashes();
    (entry.head_hash, entry.tail_hash, entry.blocks, entry.rest_hash) = (hashes.head, hashes.tail, hashes.blocks, hashes.rest);
    (entry.consumed, entry.form) = (chain.bytes(), file.form_written());
    Ok(chain.bytes())
}

fn new_part(number: usize, file: LogFile, from: u64) -> Part {
    let to = file.is_plain().then_some(file.size);
    // an unterminated last line of a text may still be written to; a compressed file is complete
    let last_line_counts = !file.may_grow();
    Part { file: number, segment: Segment { file, from, to, last_line_counts }, passes_holes: false }
}

/// What a generation consumed of a source and nothing behind it, checked to be what it was. A file that is gone is an
/// error, whatever `on_vanished` says: without it there is no replay.
pub fn consumed(project: &Project, source: usize, last: &manifest::Source) -> Result<Intake> {
    let mut intake = intake(project, source, Some(last), false)?;
    match intake.cannot_replay.take() {
        Some(error) => Err(error),
        None => {
            intake.files.truncate(last.files.len());
            Ok(Intake { fresh: Vec::new(), ..intake })
        }
    }
}
