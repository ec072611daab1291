//! The whole pipeline: decide -> load -> scan and fold -> snapshot -> read models -> commit -> swap.
//!
//! This is where threads are put to work; everything they share is owned by [`lanes`].

mod append;
pub mod as_of;
mod aside;
mod checkpoint;
pub mod decide;
pub mod diff;
mod direct;
pub mod elsewhere;
mod folding;
pub mod given;
mod hashing;
pub mod history;
mod identity;
pub mod inspect;
pub mod intake;
mod kept_rows;
mod kept_streams;
pub mod known_ids;
mod lanes;
mod look;
mod models;
mod order_by;
mod ordered;
mod own_output;
mod partitions;
mod passing;
pub mod quarantine;
pub mod quarantined;
mod reading;
mod refusal;
pub mod replay;
mod round;
mod scan;
mod snapshot;
mod sorted;
mod sorting;
mod spares;
mod tally;
pub mod verify;
pub mod waiting;

use std::sync::Mutex;
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::{Duration, Instant};

use crate::error::{Error, Kind, Result};
use crate::model::Interrupt;
use crate::project::Project;
use crate::publish;
use crate::report::{Outcome, Report};
use crate::state::Store;
use crate::state::manifest::{self, Manifest, Reason};

use checkpoint::consumed_same;
use decide::Decision;
use direct::Folded;
use look::Look;
pub use models::lookups_changed;
use refusal::refuse_bad;
pub use tally::Tally;

/// How long a generation beyond those that the project keeps stays for those who still read it.
const GRACE: Duration = Duration::from_secs(600);

/// A run that makes a generation of which this is a divisor compares all that was consumed, not only its ends.
const WHOLE_CHECK_GENERATIONS: u64 = 10;

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
    /// Consumed files that changed, were cut or are gone are no error: their source is replayed as it is now.
    pub accept_history_change: bool,
    /// The longest record that is read.
    pub record_bytes_max: u64,
    /// Sources whose quarantine is folded once more: they are replayed.
    pub retry: Vec<String>,
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
    let command = match (options.rebuild, options.retry.is_empty()) {
        (true, _) => "rebuild",
        (false, true) => "run",
        (false, false) => "quarantine retry",
    };
    let mut report = Report::new(command, &project.name);
    report.started_at = Some(options.now.clone());
    let result = Run { project, options, stop, begun, look: Look::default() }.go(&mut report);
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
    look: Look<'a>,
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
        let (accept, retry) = (self.options.accept_history_change, &self.options.retry);
        let mut decision = Decision::new(project, last.as_ref(), self.options.rebuild, accept || !retry.is_empty())?;
        if !retry.is_empty() {
            // who tries again has mended something, the log perhaps
            decision = decision.with_retry(project, retry)?;
            if !accept {
                decision.refuse_changes_but_of(project, retry)?;
            }
        }
        let reason = if self.options.rebuild || last.is_none() { Reason::Rebuild } else { Reason::Run };
        let mut next = Manifest::empty(store.next_generation()?, self.options.now.clone(), reason);
        next.lookups = models::lookup_hashes(project)?;
        next.pinned = held.clone();
        report.pinned = held.clone();
        report.generation = last.as_ref().map(|m| m.generation);

        if next.generation.is_multiple_of(WHOLE_CHECK_GENERATIONS) {
            decision.check_whole(project)?;
        }
        let (bad, warnings, folded) = self.fold_whole_members(&store, last.as_ref(), &mut decision, &mut next, report)?;
        report.warnings.extend(warnings);
        refuse_bad(&bad)?;
        self.stop.check()?;
        let a_bad_one_waits = next.sources.iter().any(|source| !source.pending.is_empty());
        let set_aside = report.sets_aside() || a_bad_one_waits;
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
        let asked = released || !self.options.retry.is_empty() || decision.must_be_kept();
        if selected.is_empty() && !asked && last.as_ref().is_some_and(|last| decision.is_idle() || consumed_same(last, &next)) {
            report.outcome = Outcome::NothingNew;
            // the fold may have written what nobody names now
            publish::collect_garbage(&store, project.keep, GRACE)?;
            return Ok(());
        }
        let publication = models::stage(self, &store, &mut next, last.as_ref(), &selected, Some(folded), report)?;
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

    /// Folds what is new. Where the last member of a compressed file turns out to be cut, once more without that.
    fn fold_whole_members(
        &self,
        store: &Store,
        last: Option<&Manifest>,
        decision: &mut Decision,
        next: &mut Manifest,
        report: &mut Report,
    ) -> Result<(Tally, Vec<String>, Folded)> {
        let begun = (next.clone(), report.clone());
        loop {
            match self.fold(store, last, decision, next, report) {
                Err(error) if error.kind == Kind::BadData && decision.leave_torn_members() => {
                    (*next, *report) = begun.clone();
                    // what the first attempt has written has the names that the second one gives
                    publish::collect_garbage(store, self.project.keep, GRACE)?;
                }
                folded => return folded,
            }
        }
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
}

fn damaged_while_pinned(target: &manifest::Published) -> String {
    format!(
        "{} is gone or was changed since it was published; while a rollback is pinned nothing is published in its place",
        target.generation_path
    )
}
