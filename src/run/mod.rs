//! The whole pipeline: decide -> load -> scan and fold -> snapshot -> read models -> commit -> swap.
//!
//! This is where threads are put to work; everything they share is owned by [`lanes`].

mod append;
pub mod decide;
pub mod diff;
pub mod given;
pub mod intake;
mod lanes;
mod models;
pub mod replay;
mod round;
mod scan;
mod tally;
pub mod verify;
pub mod waiting;

use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::{Duration, Instant};

use crate::error::{Error, Kind, Result};
use crate::fold::rows_schema;
use crate::model::{Interrupt, event_columns};
use crate::project::{OnBadRecord, OnGap, Project};
use crate::publish;
use crate::report::{AggregateReport, FoldMode, Outcome, Progress, Report, SourceReport, counted};
use crate::source::BadKind;
use crate::state::Store;
use crate::state::manifest::{self, Manifest, Reason};

use append::Appender;
use decide::Decision;
use intake::Intake;
use lanes::Lane;
pub use models::lookups_changed;
use scan::{Scan, Sinks};
pub use tally::Tally;
use waiting::Waiting;

/// How long a generation beyond those that the project keeps stays for those who still read it.
const GRACE: Duration = Duration::from_secs(600);

/// The exit code of a run at whose end events are set aside.
const SET_ASIDE: u8 = 3;

/// What was asked for on the command line.
#[derive(Debug, Clone)]
pub struct Options {
    /// Replay from zero.
    pub rebuild: bool,
    /// Read models to publish; empty: all.
    pub select: Vec<String>,
    pub threads: usize,
    pub memory_bytes: u64,
    /// How long to wait for another run to end.
    pub wait: Option<Duration>,
    /// Draw no progress bar.
    pub quiet: bool,
    /// RFC 3339, UTC: the clock is read by whoever calls.
    pub now: String,
    /// End a rollback: publish again.
    pub release: bool,
}

/// A request to stop, by signal number; 0: none. Asked between rounds and before the commit.
#[derive(Default)]
pub struct Stop {
    signal: AtomicI32,
    engine: Mutex<Option<Interrupt>>,
}

impl Stop {
    /// Asks the run to stop, from any thread.
    pub fn request(&self, signal: i32) {
        self.signal.store(signal, Ordering::SeqCst);
        if let Some(interrupt) = self.engine.lock().unwrap_or_else(|e| e.into_inner()).as_ref() {
            interrupt.interrupt();
        }
    }

    pub fn check(&self) -> Result<()> {
        let kind = match self.signal.load(Ordering::SeqCst) {
            0 => return Ok(()),
            2 => Kind::Interrupted,
            _ => Kind::Terminated,
        };
        Err(Error::new(kind, "stopped by a signal; nothing was published").with_help("run again: it starts from the last generation"))
    }

    fn watch(&self, engine: Option<Interrupt>) {
        *self.engine.lock().unwrap_or_else(|e| e.into_inner()) = engine;
    }
}

/// Runs the project once. The report is complete as far as the run came, also when it failed.
pub fn run(project: &Project, options: &Options, stop: &Stop) -> (Report, Result<()>) {
    let begun = Instant::now();
    let mut report = Report::new(if options.rebuild { "rebuild" } else { "run" }, &project.name);
    report.started_at = Some(options.now.clone());
    let result = Run { project, options, stop, begun }.go(&mut report);
    // a published run's report was measured when it was kept: what is printed is the same
    if matches!(report.outcome, Outcome::NothingNew | Outcome::Failed) || result.is_err() {
        report.stages.total = begun.elapsed().as_secs_f64();
        report.measure();
    }
    if let Err(error) = &result {
        report.outcome = Outcome::Failed;
        report.exit_code = error.kind.exit_code();
        report.error = Some(error.message.clone());
    }
    (report, result)
}

struct Run<'a> {
    project: &'a Project,
    options: &'a Options,
    stop: &'a Stop,
    begun: Instant,
}

impl Run<'_> {
    fn go(&self, report: &mut Report) -> Result<()> {
        let project = self.project;
        let store = self.open_store()?;
        let recovered = publish::recover(&store)?;
        publish::collect_garbage(&store, project.keep, GRACE)?;
        let last = store.newest()?;
        let pin = last.as_ref().and_then(|m| m.pinned.clone());
        let held = pin.clone().filter(|_| !self.options.release);
        if held.is_none() {
            let wanted = publish::selection(&project.read_models, &self.options.select);
            publish::check_targets(store.root(), &store.manifests()?, &wanted)?;
        }
        let decision = Decision::new(project, last.as_ref(), self.options.rebuild)?;
        let reason = if self.options.rebuild || last.is_none() { Reason::Rebuild } else { Reason::Run };
        let mut next = Manifest::empty(store.next_generation()?, self.options.now.clone(), reason);
        next.lookups = models::lookup_hashes(project)?;
        next.pinned = held.clone();
        report.pinned = held.clone();
        report.generation = last.as_ref().map(|m| m.generation);

        let (bad, warnings) = self.fold(&store, last.as_ref(), &decision, &mut next, report)?;
        report.warnings.extend(warnings);
        self.refuse_bad(bad)?;
        self.stop.check()?;
        let set_aside = report.events.pending > 0;
        report.exit_code = if set_aside { SET_ASIDE } else { 0 };

        let publishing = Instant::now();
        let selected = match &held {
            Some(_) => Vec::new(),
            None => models::to_publish(project, &next, last.as_ref(), &recovered.damaged, &self.options.select),
        };
        if held.is_some() {
            report.warnings.extend(recovered.damaged.iter().map(damaged_while_pinned));
        }
        models::report_unpublished(project, &next, last.as_ref(), &selected, report);
        // nothing to read, or nothing of it was a whole record
        let released = pin.is_some() && held.is_none();
        if selected.is_empty() && !released && last.as_ref().is_some_and(|last| decision.is_idle() || consumed_same(last, &next)) {
            report.outcome = Outcome::NothingNew;
            return Ok(());
        }
        let publication = models::stage(self, &store, &mut next, last.as_ref(), &selected, report)?;
        report.read_models.sort_by_key(|r| project.read_models.iter().position(|m| m.name == r.name));
        let committed = self.stop.check().and_then(|()| store.commit(&next));
        if committed.is_err() {
            publication.discard()?;
        }
        committed?;
        publish::swap(&store, &next)?;
        report.stages.publish += publishing.elapsed().as_secs_f64() - report.stages.read_models;
        report.generation = Some(next.generation);
        report.outcome = match (&held, set_aside) {
            (Some(_), _) => Outcome::Pinned,
            (None, true) => Outcome::PublishedWithQuarantine,
            (None, false) => Outcome::Published,
        };
        publish::collect_garbage(&store, project.keep, GRACE)?;
        report.stages.total = self.begun.elapsed().as_secs_f64();
        report.measure();
        let json = serde_json::to_value(&*report).map_err(|e| Error::internal(format!("a report cannot be written: {e}")))?;
        store.write_report(next.generation, &json)?;
        Ok(())
    }

    /// Opens the store; while another run holds it, waits as long as was asked for, or until a signal comes.
    fn open_store(&self) -> Result<Store> {
        const SLICE: Duration = Duration::from_millis(200);
        let mut left = self.options.wait.unwrap_or_default();
        loop {
            let slice = left.min(SLICE);
            left -= slice;
            match Store::open(&self.project.root, Some(slice)) {
                Err(error) if error.kind == Kind::Locked && !left.is_zero() => self.stop.check()?,
                opened => return opened,
            }
        }
    }

    /// Brings every fold to the end of the logs and writes the snapshots; fills in what the manifest says of
    /// sources, aggregates and event tables. Gives the bad records and warnings of all scans.
    fn fold(
        &self,
        store: &Store,
        last: Option<&Manifest>,
        decision: &Decision,
        next: &mut Manifest,
        report: &mut Report,
    ) -> Result<(Tally, Vec<String>)> {
        let project = self.project;
        let generation = next.generation;
        let mut lanes = if decision.is_idle() { Vec::new() } else { lanes::empty(project) };
        self.load(store, last, decision, &mut lanes)?;
        let mut event_tables = self.event_tables(store, last, decision, generation)?;
        let mut rows_tables = self.rows_tables(store, last, decision, generation)?;

        let scans: Vec<_> = (0..project.sources.len()).map(|s| decision.scans(project, s)).collect();
        let bytes = scans.iter().map(|s| Intake::bytes(&s.main) + s.replay.as_deref().map_or(0, Intake::bytes)).sum();
        let progress = Progress::new(bytes, self.options.quiet);
        progress.stage("folding");
        let mut all = Tally::default();
        let mut warnings = Vec::new();
        let mut waiting: Vec<Vec<Waiting>> = Vec::new();
        for (source, scans) in scans.iter().enumerate() {
            let definition = &project.sources[source];
            let mut files = decision.intakes[source].files.clone();
            let mut tally = Tally::default();
            let scan = Scan { project, source, threads: self.options.threads, store, progress: &progress, stop: self.stop };
            if let Some(parts) = &scans.replay {
                let active: Vec<bool> = (0..project.aggregates.len())
                    .map(|i| decision.aggregate_replay[i] && project.aggregates[i].sources.contains(&source))
                    .collect();
                let mut replayed: Vec<Option<Appender>> = event_tables
                    .iter_mut()
                    .zip(&decision.event_table_replay)
                    .map(|(t, replay)| if *replay { t.take() } else { None })
                    .collect();
                let mut sinks = Sinks { lanes: &mut lanes, active: &active, event_tables: &mut replayed, rows_tables: &mut rows_tables };
                scan.run(parts, &mut files, &mut sinks, &mut tally)?;
                for (table, replayed) in event_tables.iter_mut().zip(replayed) {
                    *table = replayed.or(table.take());
                }
                tally.consumed.clear();
            }
            tally.counting = true;
            let active: Vec<bool> = project.aggregates.iter().map(|a| a.sources.contains(&source)).collect();
            let kept = last.and_then(|m| m.source(&definition.name)).filter(|_| !decision.source_replay[source]);
            let mut waited = kept.map_or(0, |kept| kept.pending_events);
            // a replay has come to the same
            tally.last_position = kept.and_then(|kept| kept.last_position);
            if let Some(kept) = kept.filter(|kept| !kept.pending.is_empty() && !scans.main.is_empty()) {
                waited = waiting::restore(&mut lanes, project, source, &active, &waiting::read(store.dir(), kept)?)?;
            }
            if !scans.main.is_empty() {
                let mut sinks =
                    Sinks { lanes: &mut lanes, active: &active, event_tables: &mut event_tables, rows_tables: &mut rows_tables };
                scan.run(&scans.main, &mut files, &mut sinks, &mut tally)?;
            }
            let read = !scans.main.is_empty() || decision.source_replay[source];
            if definition.on_gap == OnGap::Fail {
                self.gaps(&lanes, source, &scans.main, &mut tally, report);
                waiting.push(Vec::new());
            } else {
                let waits = match kept {
                    Some(kept) if !read => waiting::read(store.dir(), kept)?,
                    _ => waiting::collect(&lanes, source, &scans.main)?,
                };
                report.events.pending += waits.iter().map(|w| w.events).sum::<u64>();
                warnings.extend(waiting::warnings(&definition.name, &waits));
                waiting.push(waits);
            }
            for glob in &decision.intakes[source].empty_globs {
                warnings.push(format!("no file matches `{glob}` in [source.{}]", definition.name));
            }
            for (file, line, bytes) in &tally.unterminated {
                warnings.push(format!(
                    "{file}:{line}: the last line has no line break and waits ({bytes} bytes); it is read once it is complete"
                ));
            }
            if definition.on_bad_record == OnBadRecord::Skip && tally.skippable > 0 {
                warnings.push(format!(
                    "source `{}`: {} skipped (`on_bad_record = \"skip\"`)",
                    definition.name,
                    counted(tally.skippable, "bad record")
                ));
            }
            report.sources.push(SourceReport {
                name: definition.name.clone(),
                files: scans.main.len() as u64,
                bytes_read: Intake::bytes(&scans.main),
                records: tally.records,
                decoded: tally.records - tally.empty - tally.bad_records,
                events: tally.records - tally.empty - tally.bad_records + tally.further_events,
                empty: tally.empty,
                bad: tally.bad_records,
                pending_before: waited,
            });
            report.events.folded += tally.folded;
            report.events.filtered += tally.filtered;
            report.events.duplicates += tally.duplicates;
            report.stages.scan += tally.scan_time.as_secs_f64();
            report.stages.fold += tally.fold_time.as_secs_f64();
            next.max_event_time = next.max_event_time.max(tally.max_time);
            next.sources.push(source_entry(project, source, last, files, &tally, decision)?);
            for bad in tally.bad.first {
                if all.bad.first.len() < crate::report::BAD_SHOWN_MAX {
                    all.bad.first.push(bad);
                }
            }
            all.bad.total += tally.bad.total;
            for (kind, count) in tally.bad.by_kind {
                *all.bad.by_kind.entry(kind).or_default() += count;
            }
            all.skippable += if definition.on_bad_record == OnBadRecord::Skip { tally.skippable } else { 0 };
        }
        next.max_event_time = next.max_event_time.max(last.and_then(|m| m.max_event_time));
        report.bad = all.bad.clone();
        if all.bad.total > all.skippable {
            progress.finish();
            return Ok((all, warnings));
        }
        progress.stage("snapshot");
        self.stop.check()?;
        let saving = Instant::now();
        self.save(store, last, decision, &lanes, next, report)?;
        for (entry, waiting) in next.sources.iter_mut().zip(&waiting) {
            entry.pending_events = waiting.iter().map(|w| w.events).sum();
            entry.pending = waiting::save(waiting, &entry.name, store, generation)?;
        }
        for (definition, table) in project.event_tables.iter().zip(&mut event_tables) {
            let Some(table) = table else { continue };
            table.flush(store)?;
            next.event_tables.push(manifest::EventTable {
                event_type: definition.event_type.clone(),
                fingerprint: definition.fingerprint.clone(),
                files: std::mem::take(&mut table.files),
            });
        }
        for (entry, (definition, tables)) in next.aggregates.iter_mut().zip(project.aggregates.iter().zip(&mut rows_tables)) {
            for (rows, table) in definition.rows.iter().zip(tables) {
                table.flush(store)?;
                entry.rows.push(manifest::RowsTable { name: rows.name.clone(), files: std::mem::take(&mut table.files) });
            }
        }
        report.stages.snapshot = saving.elapsed().as_secs_f64();
        progress.finish();
        Ok((all, warnings))
    }

    /// Takes up the last snapshot of whatever goes on from it.
    fn load(&self, store: &Store, last: Option<&Manifest>, decision: &Decision, lanes: &mut [Lane]) -> Result<()> {
        let Some(last) = last else { return Ok(()) };
        if lanes.is_empty() {
            return Ok(());
        }
        for (source, definition) in self.project.sources.iter().enumerate() {
            let sequenced_anew = decision.replays(self.project, source);
            if let (false, false, Some(entry)) = (sequenced_anew, decision.intakes[source].fresh.is_empty(), last.source(&definition.name))
            {
                lanes::load_streams(lanes, source, store, entry)?;
            }
        }
        for (index, aggregate) in self.project.aggregates.iter().enumerate() {
            if decision.concerns(self.project, index)
                && !decision.aggregate_replay[index]
                && let Some(entry) = last.aggregate(&aggregate.name)
            {
                lanes::load_aggregate(lanes, self.project, index, store, entry)?;
            }
        }
        Ok(())
    }

    fn event_tables(&self, store: &Store, last: Option<&Manifest>, decision: &Decision, generation: u64) -> Result<Vec<Option<Appender>>> {
        let tables = self.project.event_tables.iter().zip(&decision.event_table_replay);
        tables
            .map(|(table, replay)| {
                let kept = if *replay { None } else { last.and_then(|m| m.event_table(&table.event_type)) };
                let files = kept.map(|t| t.files.clone()).unwrap_or_default();
                Appender::new(store, generation, "events", &table.event_type, event_columns(table), files).map(Some)
            })
            .collect()
    }

    fn rows_tables(&self, store: &Store, last: Option<&Manifest>, decision: &Decision, generation: u64) -> Result<Vec<Vec<Appender>>> {
        let aggregates = self.project.aggregates.iter().zip(&decision.aggregate_replay);
        aggregates
            .map(|(aggregate, replay)| {
                let kept = if *replay { None } else { last.and_then(|m| m.aggregate(&aggregate.name)) };
                (0..aggregate.rows.len())
                    .map(|rows| {
                        let name = &aggregate.rows[rows].name;
                        let files = kept.and_then(|a| a.rows.iter().find(|r| r.name == *name)).map(|r| r.files.clone()).unwrap_or_default();
                        let folder = format!("{}.rows.{name}", aggregate.name);
                        Appender::new(store, generation, "snapshots", &folder, rows_schema(aggregate, rows), files)
                    })
                    .collect()
            })
            .collect()
    }

    /// Reports the holes that are left at the end of a source's log.
    fn gaps(&self, lanes: &[Lane], source: usize, parts: &[intake::Part], tally: &mut Tally, report: &mut Report) {
        let mut gaps: Vec<_> = lanes.iter().flat_map(|lane| lane.sequencers[source].gaps()).collect();
        report.events.pending += lanes.iter().map(|lane| lane.sequencers[source].pending()).sum::<u64>();
        gaps.sort_by_key(|gap| (gap.batch.batch.ordinal, gap.event));
        for gap in gaps {
            tally.bad_event(parts, &gap.batch.batch, gap.event, BadKind::Gap, &gap.reason());
        }
    }

    /// Bad data stops the run by default: nothing is published.
    fn refuse_bad(&self, bad: Tally) -> Result<()> {
        let refused = bad.bad.total - bad.skippable;
        if refused == 0 {
            return Ok(());
        }
        let what = if refused == 1 {
            "1 record or event cannot be used".to_string()
        } else {
            format!("{refused} records or events cannot be used")
        };
        let mut error = Error::new(Kind::BadData, format!("{what}; nothing was published"));
        if bad.bad.by_kind.contains_key(BadKind::Gap.label()) {
            error = error.with_help("a gap: export the log again from before the missing version; `on_gap = \"wait\"` in its [source] publishes all but the streams with a hole; `dedupe = \"none\"` is for a log whose versions mean nothing");
        }
        if bad.bad.by_kind.keys().any(|kind| kind == BadKind::Contract.label()) {
            error = error.with_help("a contract: mend the log, or the type, NOT NULL or DEFAULT of the field in its [event.<Type>]");
        }
        if bad.bad.by_kind.contains_key(BadKind::Upcast.label()) {
            error = error.with_help(
                "an upcaster: mend its expression (TRY_CAST gives NULL where a cast fails), or say with `when` which events it is for",
            );
        }
        if bad.bad.by_kind.contains_key(BadKind::Key.label()) {
            error = error.with_help(
                "a key: mend the log, or say with the rule's `when` which events it is for; a replica finds its KEY columns in the payload or in `before` of the metadata",
            );
        }
        if [BadKind::NotJson, BadKind::Envelope].iter().any(|kind| bad.bad.by_kind.contains_key(kind.label())) {
            error = error.with_help("`on_bad_record = \"skip\"` in its [source] passes over records that cannot be read; a version that is lost with one is a gap then");
        }
        Err(error)
    }

    /// Writes snapshots and fills in the manifest's aggregates and streams.
    fn save(
        &self,
        store: &Store,
        last: Option<&Manifest>,
        decision: &Decision,
        lanes: &[Lane],
        next: &mut Manifest,
        report: &mut Report,
    ) -> Result<()> {
        let project = self.project;
        for (index, aggregate) in project.aggregates.iter().enumerate() {
            let kept = last.and_then(|m| m.aggregate(&aggregate.name)).filter(|_| !decision.aggregate_replay[index]);
            let folded = decision.concerns(project, index);
            let partitions = match kept {
                Some(kept) if !folded => kept.partitions.clone(),
                kept => lanes::save_aggregate(lanes, project, index, store, next.generation, kept)?,
            };
            let events_folded = lanes.iter().map(|lane| lane.folds[index].events_folded).sum();
            report.aggregates.push(AggregateReport {
                name: aggregate.name.clone(),
                rows: partitions.iter().flat_map(|p| &p.base).map(|f| f.rows).sum(),
                events_folded,
                mode: match (decision.aggregate_replay[index], events_folded) {
                    (true, _) => FoldMode::Replayed,
                    (false, 0) => FoldMode::Unchanged,
                    (false, _) => FoldMode::Incremental,
                },
            });
            let fingerprint = aggregate.fingerprint.clone();
            next.aggregates.push(manifest::Aggregate { name: aggregate.name.clone(), fingerprint, partitions, rows: Vec::new() });
        }
        for (source, entry) in next.sources.iter_mut().enumerate() {
            let read = !decision.intakes[source].fresh.is_empty() || decision.source_replay[source];
            entry.streams = match last.and_then(|m| m.source(&entry.name)) {
                Some(last) if !read => last.streams.clone(),
                _ => lanes::save_streams(lanes, project, source, store, next.generation)?,
            };
        }
        Ok(())
    }
}

fn damaged_while_pinned(target: &manifest::Published) -> String {
    format!(
        "{} is gone or was changed since it was published; while a rollback is pinned nothing is published in its place",
        target.generation_path
    )
}

/// Whether two manifests have consumed the same.
fn consumed_same(last: &Manifest, next: &Manifest) -> bool {
    let segments = |m: &Manifest| m.sources.iter().map(|s| (s.name.clone(), s.fingerprint.clone(), s.segments.clone())).collect::<Vec<_>>();
    let definitions = |m: &Manifest| m.aggregates.iter().map(|a| (a.name.clone(), a.fingerprint.clone())).collect::<Vec<_>>();
    let events = |m: &Manifest| m.event_tables.iter().map(|t| (t.event_type.clone(), t.fingerprint.clone())).collect::<Vec<_>>();
    segments(last) == segments(next) && definitions(last) == definitions(next) && events(last) == events(next) && next.reason == Reason::Run
}

/// The manifest's entry of a source after its scan: what was consumed before, and now.
fn source_entry(
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
    for (file, from, to) in &tally.consumed {
        if to > from {
            segments.push(manifest::Segment { file: *file, from: *from, to: *to });
        }
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
        let file = &mut files[*number];
        if file.codec == "plain" {
            let path: &Path = &part.segment.file.path;
            (file.head_hash, file.tail_hash) = intake::plain_hashes(path, file.consumed)?;
        } else {
            if part.segment.from > 0 {
                (file.head_hash, file.tail_hash) = intake::packed_hashes(&part.segment.file, file.consumed)?;
            }
            file.packed_hash = intake::disk_hash(&part.segment.file)?;
        }
    }
    let last_event_time = tally.max_time.max(before.and_then(|s| s.last_event_time));
    Ok(manifest::Source {
        name: definition.name.clone(),
        fingerprint: definition.fingerprint.clone(),
        files,
        segments,
        streams: Vec::new(),
        pending: Vec::new(),
        pending_events: 0,
        last_position: tally.last_position,
        last_event_time,
    })
}
