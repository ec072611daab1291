//! The fold of a run: each source's log is scanned to its end, then the state is saved.
//!
//! [`Run::fold`] is the order of things; a step per function. What all steps share is owned by [`Folding`].

use super::append::Appender;
use super::checkpoint::source_entry;
use super::decide::{Decision, SourceScans};
use super::direct::Folded;
use super::intake::{Intake, Part};
use super::known_ids;
use super::lanes::{self, Lane};
use super::order_by::HandOver;
use super::ordered::Late;
use super::quarantine::{self, Quarantine};
use super::round::Work;
use super::scan::{Scan, Sinks};
use super::tally::Tally;
use super::waiting::{self, Waiting};
use super::{Run, snapshot};
use crate::error::Result;
use crate::project::{Aggregate, OnBadRecord, OnGap, Order};
use crate::report::{BAD_SHOWN_MAX, BadReport, Progress, Report, SourceReport, counted};
use crate::source::BadKind;
use crate::state::Store;
use crate::state::manifest::{self, Manifest};

/// What the scans of a run work on, and what they have found so far.
pub(super) struct Folding<'r> {
    pub(super) run: &'r Run<'r>,
    pub(super) store: &'r Store,
    pub(super) last: Option<&'r Manifest>,
    pub(super) decision: &'r Decision,
    pub(super) progress: &'r Progress,
    pub(super) lanes: Vec<Lane>,
    pub(super) event_tables: Vec<Option<Appender>>,
    pub(super) rows_tables: Vec<Vec<Appender>>,
    /// Bad records of all sources.
    bad: Tally,
    pub(super) warnings: Vec<String>,
    /// By source: the records that wait at the end.
    waiting: Vec<Vec<Waiting>>,
    /// By source: what is set aside; `None` where bad records are not.
    quarantine: Vec<Option<Quarantine>>,
    /// By aggregate: what came too late in its order.
    pub(super) late: Vec<Late>,
    /// By aggregate that has an `order_by`: its events of this run, to be sorted.
    pub(super) hand_over: Vec<Option<HandOver>>,
    /// The generation that this run makes.
    pub(super) generation: u64,
}

impl Run<'_> {
    /// Brings every fold to the end of the logs and writes the snapshots; fills in what the manifest says of
    /// sources, aggregates and event tables. Gives the bad records and warnings of all scans.
    pub(super) fn fold(
        &self,
        store: &Store,
        last: Option<&Manifest>,
        decision: &Decision,
        next: &mut Manifest,
        report: &mut Report,
    ) -> Result<(Tally, Vec<String>, Folded)> {
        let project = self.project;
        let scans: Vec<_> = (0..project.sources.len()).map(|s| decision.scans(project, s)).collect();
        let bytes = scans.iter().map(|s| Intake::bytes(&s.main) + s.replay.as_deref().map_or(0, Intake::bytes)).sum();
        let progress = Progress::new(bytes, self.options.quiet);
        progress.stage("folding");
        let mut folding = Folding {
            run: self,
            store,
            last,
            decision,
            progress: &progress,
            lanes: if decision.is_idle() { Vec::new() } else { lanes::empty(project) },
            event_tables: snapshot::event_tables(project, store, last, decision, next.generation)?,
            rows_tables: snapshot::rows_tables(project, store, last, decision, next.generation)?,
            bad: Tally::default(),
            warnings: Vec::new(),
            waiting: Vec::new(),
            quarantine: Vec::new(),
            late: vec![Late::default(); project.aggregates.len()],
            hand_over: Vec::new(),
            generation: next.generation,
        };
        folding.hand_over = folding.hand_overs();
        snapshot::load(project, store, last, decision, &mut folding.lanes)?;
        if let Some(teller) = self.look.teller {
            teller.arm(&mut folding.lanes);
            folding.event_tables.fill_with(|| None);
        }
        for (source, scans) in scans.iter().enumerate() {
            folding.source(source, scans, next, report)?;
        }
        let failed = folding.order_by_aggregates()?;
        report.stages.fold += failed.fold_time.as_secs_f64();
        folding.add_bad(failed.bad);
        next.max_event_time = next.max_event_time.max(last.and_then(|m| m.max_event_time));
        report.bad = folding.bad.bad.clone();
        if folding.bad.bad.total <= folding.bad.skippable {
            progress.stage("snapshot");
            self.stop.check()?;
            folding.save(next, report)?;
        }
        progress.finish();
        let folded = Folded::new(project, decision, folding.lanes);
        Ok((folding.bad, folding.warnings, folded))
    }
}

impl<'r> Folding<'r> {
    /// One source: what is replayed, what is new, what is left over at its end, and the books.
    fn source(&mut self, source: usize, scans: &SourceScans, next: &mut Manifest, report: &mut Report) -> Result<()> {
        let project = self.run.project;
        let definition = &project.sources[source];
        let mut files = self.decision.intakes[source].files.clone();
        let before = self.last.and_then(|m| m.source(&definition.name)).map(|kept| &kept.quarantine);
        let mut tally = Tally::default();
        if definition.quarantines() {
            let kept = before.filter(|_| !self.decision.replays(project, source));
            tally.quarantine = Some(Quarantine::new(&definition.name, next.generation, kept));
        }
        let kept = self.last.and_then(|m| m.source(&definition.name)).filter(|_| !self.decision.source_replay[source]);
        let pending_before = if definition.order != Order::Log {
            self.ordered_source(source, kept, &mut files, &mut tally)?
        } else {
            if let Some(parts) = &scans.replay {
                self.replay(source, parts, &mut files, &mut tally)?;
            }
            tally.counting = true;
            // a replay has come to the same
            tally.last_position = kept.and_then(|kept| kept.last_position);
            self.catch_up(source, kept, &scans.main, &mut files, &mut tally)?
        };
        tally.hashing.all_seen(scans.replay.iter().flatten().chain(&scans.main))?;
        self.left_over(source, kept, &scans.main, &mut tally, report)?;
        self.warn(source, &tally);
        report.sources.push(SourceReport {
            name: definition.name.clone(),
            files: scans.main.len() as u64,
            bytes_read: Intake::bytes(&scans.main),
            records: tally.records,
            decoded: tally.records - tally.empty - tally.bad_records,
            events: tally.records - tally.empty - tally.bad_records + tally.further_events,
            empty: tally.empty,
            bad: tally.bad_records,
            pending_before,
            in_quarantine: tally.quarantine.as_ref().map_or(0, Quarantine::entries),
            in_quarantine_before: before.map_or(0, |before| before.entries),
            holes_passed: tally.passing.holes,
        });
        report.events.quarantined += tally.quarantined;
        report.events.folded += tally.folded;
        report.events.filtered += tally.filtered;
        report.events.duplicates += tally.duplicates;
        report.events.late += tally.passing.late;
        report.stages.scan += tally.scan_time.as_secs_f64();
        report.stages.fold += tally.fold_time.as_secs_f64();
        next.max_event_time = next.max_event_time.max(tally.max_time);
        next.sources.push(source_entry(project, source, self.last, files, &tally, self.decision)?);
        self.bad.gaps += tally.gaps;
        self.bad.skippable += match definition.on_bad_record {
            OnBadRecord::Fail => 0,
            OnBadRecord::Skip => tally.skippable,
            OnBadRecord::Quarantine => tally.bad.total - tally.gaps,
        };
        self.add_bad(tally.bad);
        self.quarantine.push(tally.quarantine);
        Ok(())
    }

    fn add_bad(&mut self, bad: BadReport) {
        let shown = &mut self.bad.bad.first;
        shown.extend(bad.first.into_iter().take(BAD_SHOWN_MAX - shown.len()));
        self.bad.bad.total += bad.total;
        for (kind, count) in bad.by_kind {
            *self.bad.bad.by_kind.entry(kind).or_default() += count;
        }
    }

    pub(super) fn scan(&self, source: usize) -> Scan<'r> {
        let run = self.run;
        let record_bytes_max = run.options.record_bytes_max;
        Scan {
            project: run.project,
            source,
            threads: run.options.threads,
            record_bytes_max,
            store: self.store,
            progress: self.progress,
            stop: run.stop,
            look: run.look,
        }
    }

    /// The consumed part of the log, for the aggregates and event tables that are built from zero.
    fn replay(&mut self, source: usize, parts: &[Part], files: &mut [manifest::LogFile], tally: &mut Tally) -> Result<()> {
        let project = self.run.project;
        let active: Vec<bool> = (0..project.aggregates.len())
            .map(|i| self.decision.aggregate_replay[i] && project.aggregates[i].sources.contains(&source))
            .collect();
        let mut replayed = self.take_tables(|table| self.decision.event_table_replay[table]);
        let scan = self.scan(source);
        let work = Work::fold(project, &active);
        let mut sinks = Sinks {
            lanes: &mut self.lanes,
            active: &active,
            work: &work,
            event_tables: &mut replayed,
            rows_tables: &mut self.rows_tables,
            hand_over: &mut [],
        };
        scan.run(parts, files, &mut sinks, tally)?;
        self.give_back_tables(replayed);
        tally.consumed.clear();
        known_ids::settle(&mut self.lanes, source);
        Ok(())
    }

    /// By aggregate: it takes events of the source.
    pub(super) fn active(&self, source: usize) -> Vec<bool> {
        let takes = |(number, a): (usize, &Aggregate)| a.sources.contains(&source) && self.run.look.takes(number);
        self.run.project.aggregates.iter().enumerate().map(takes).collect()
    }

    /// The event tables that take part in a scan.
    pub(super) fn take_tables(&mut self, takes_part: impl Fn(usize) -> bool) -> Vec<Option<Appender>> {
        let all = self.event_tables.iter_mut().enumerate();
        all.map(|(number, table)| if takes_part(number) { table.take() } else { None }).collect()
    }

    /// Puts back what [`Folding::take_tables`] gave.
    pub(super) fn give_back_tables(&mut self, taken: Vec<Option<Appender>>) {
        for (table, taken) in self.event_tables.iter_mut().zip(taken) {
            *table = taken.or(table.take());
        }
    }

    /// What is new, behind what waited at the end of the last run. Gives how many events that were. `kept`: what the
    /// last run says of the source, where its streams go on from there.
    fn catch_up(
        &mut self,
        source: usize,
        kept: Option<&manifest::Source>,
        parts: &[Part],
        files: &mut [manifest::LogFile],
        tally: &mut Tally,
    ) -> Result<u64> {
        if parts.is_empty() {
            return Ok(kept.map_or(0, |kept| kept.pending_events));
        }
        let project = self.run.project;
        let active = self.active(source);
        let waited = match kept.filter(|kept| !kept.pending.is_empty()) {
            Some(kept) => waiting::restore(&mut self.lanes, project, source, &active, &waiting::read(self.store.dir(), kept)?)?,
            None => 0,
        };
        let scan = self.scan(source);
        let work = Work::fold(project, &active);
        let mut sinks = Sinks {
            lanes: &mut self.lanes,
            active: &active,
            work: &work,
            event_tables: &mut self.event_tables,
            rows_tables: &mut self.rows_tables,
            hand_over: &mut self.hand_over,
        };
        scan.run(parts, files, &mut sinks, tally)?;
        Ok(waited)
    }

    /// The holes at the end of a source's log: an error, or what waits behind them.
    fn left_over(
        &mut self,
        source: usize,
        kept: Option<&manifest::Source>,
        parts: &[Part],
        tally: &mut Tally,
        report: &mut Report,
    ) -> Result<()> {
        let definition = &self.run.project.sources[source];
        if let Some(teller) = self.run.look.teller {
            teller.waiting(&self.lanes, source, parts)?;
        }
        if definition.on_gap == OnGap::Skip {
            self.warnings.extend(tally.passing.warnings(&definition.name));
            self.waiting.push(Vec::new());
            return Ok(());
        }
        // what is in quarantine may be what is missing: then everything else goes on
        let waits = definition.on_gap == OnGap::Wait || tally.quarantine.as_ref().is_some_and(Quarantine::may_leave_holes);
        if !waits {
            report.events.pending += self.lanes.iter().map(|lane| lane.sequencers[source].pending()).sum::<u64>();
            let mut gaps: Vec<_> = self.lanes.iter().flat_map(|lane| lane.sequencers[source].gaps()).collect();
            gaps.sort_by_key(|gap| (gap.batch.batch.ordinal, gap.event));
            for gap in gaps {
                tally.bad_event(parts, &gap.batch.batch, gap.event, BadKind::Gap, &gap.reason());
            }
            self.waiting.push(Vec::new());
            return Ok(());
        }
        let read = !parts.is_empty() || self.decision.source_replay[source];
        let waits = match kept {
            Some(kept) if !read => waiting::read(self.store.dir(), kept)?,
            _ => waiting::collect(&self.lanes, source, parts)?,
        };
        report.events.pending += waits.iter().map(|w| w.events).sum::<u64>();
        self.warnings.extend(waiting::warnings(&definition.name, &waits));
        self.waiting.push(waits);
        Ok(())
    }

    fn warn(&mut self, source: usize, tally: &Tally) {
        let definition = &self.run.project.sources[source];
        let intake = &self.decision.intakes[source];
        self.warnings.extend(intake.moves.iter().chain(&intake.waits).cloned());
        for copy in &intake.copies {
            self.warnings.push(format!("{} is not read: it holds what {} holds", copy.path, copy.of));
        }
        for change in &intake.changes {
            let place = change.places.first().map_or("", String::as_str);
            self.warnings.push(format!("{place}: {}; accepted, and all that `{}` feeds was replayed", change.message, definition.name));
        }
        for glob in &intake.empty_globs {
            self.warnings.push(format!("no file matches `{glob}` in [source.{}]", definition.name));
        }
        for (file, line, bytes) in &tally.unterminated {
            self.warnings
                .push(format!("{file}:{line}: the last line has no line break and waits ({bytes} bytes); it is read once it is complete"));
        }
        if definition.on_bad_record == OnBadRecord::Skip && tally.skippable > 0 {
            let skipped = counted(tally.skippable, "bad record");
            self.warnings.push(format!("source `{}`: {skipped} skipped (`on_bad_record = \"skip\"`)", definition.name));
        }
        if let Some(entries) = tally.quarantine.as_ref().map(Quarantine::entries).filter(|entries| *entries > 0) {
            self.warnings.push(quarantine::warning(&definition.name, entries));
        }
    }

    /// Writes the state; fills in the manifest's aggregates, streams and event tables.
    fn save(&mut self, next: &mut Manifest, report: &mut Report) -> Result<()> {
        let saving = std::time::Instant::now();
        let (project, store) = (self.run.project, self.store);
        snapshot::save(project, store, self.last, self.decision, &self.lanes, next, report)?;
        for (aggregate, late) in report.aggregates.iter_mut().zip(&self.late) {
            (aggregate.late_arrivals, aggregate.partitions_replayed) = (late.events, late.partitions);
            self.warnings.extend(late.warning(&aggregate.name));
        }
        for (entry, waiting) in next.sources.iter_mut().zip(&self.waiting) {
            entry.pending_events = waiting.iter().map(|w| w.events).sum();
            entry.pending = waiting::save(waiting, &entry.name, store, next.generation)?;
        }
        for (entry, quarantine) in next.sources.iter_mut().zip(&mut self.quarantine) {
            entry.quarantine = quarantine.as_mut().map_or(Ok(Default::default()), |quarantine| quarantine.save(store))?;
        }
        for (definition, table) in project.event_tables.iter().zip(&mut self.event_tables) {
            let Some(table) = table else { continue };
            table.flush(store)?;
            next.event_tables.push(manifest::EventTable {
                event_type: definition.event_type.clone(),
                fingerprint: definition.fingerprint.clone(),
                files: std::mem::take(&mut table.files),
            });
        }
        for (entry, (definition, tables)) in next.aggregates.iter_mut().zip(project.aggregates.iter().zip(&mut self.rows_tables)) {
            for (rows, table) in definition.rows.iter().zip(tables) {
                table.flush(store)?;
                entry.rows.push(manifest::RowsTable { name: rows.name.clone(), files: std::mem::take(&mut table.files) });
            }
        }
        report.stages.snapshot = saving.elapsed().as_secs_f64();
        Ok(())
    }
}
