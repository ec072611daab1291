//! What a run has to do, decided before anything is read: which logs have grown, which definitions changed.

use crate::error::{Kind, Result};
use crate::project::Project;
use crate::state::manifest::Manifest;

use super::intake::{Intake, Part, intake};

/// What to read and what to replay. `plan` shows it, `run` does it.
pub struct Decision {
    /// By source.
    pub intakes: Vec<Intake>,
    /// By source: its streams are sequenced from zero (a rebuild, or its definition changed).
    pub source_replay: Vec<bool>,
    /// By aggregate: it is folded from zero.
    pub aggregate_replay: Vec<bool>,
    /// By event table: it is built from zero.
    pub event_table_replay: Vec<bool>,
}

/// The scans of one source.
pub struct SourceScans {
    /// The consumed part of the log, for those that are replayed; `None` where nothing is, or where the replay
    /// is part of the one scan of everything.
    pub replay: Option<Vec<Part>>,
    /// What everybody sees.
    pub main: Vec<Part>,
}

impl Decision {
    /// Compares the project and its files with the last generation. `rebuild`: everything from zero. `accept_change`:
    /// a source whose consumed files changed is replayed as it is now; otherwise that is an error.
    pub fn new(project: &Project, last: Option<&Manifest>, rebuild: bool, accept_change: bool) -> Result<Decision> {
        let intakes = (0..project.sources.len())
            .map(|source| {
                let entry = last.and_then(|m| m.source(&project.sources[source].name));
                intake(project, source, entry, accept_change).map_err(|error| match entry {
                    Some(entry) if error.kind == Kind::HistoryChanged && entry.quarantine.entries > 0 => {
                        error.with_help("where a record in quarantine was mended: `foldline quarantine retry` accepts it")
                    }
                    _ => error,
                })
            })
            .collect::<Result<Vec<_>>>()?;
        let changed = |known: Option<&String>, now: &String| rebuild || known != Some(now);
        let source_replay: Vec<bool> =
            project.sources.iter().map(|s| changed(last.and_then(|m| m.source(&s.name)).map(|s| &s.fingerprint), &s.fingerprint)).collect();
        let source_replay: Vec<bool> = source_replay.into_iter().zip(&intakes).map(|(replay, i)| replay || !i.changes.is_empty()).collect();
        let any_source = source_replay.iter().any(|replay| *replay);
        let decision = Decision {
            aggregate_replay: project
                .aggregates
                .iter()
                .map(|a| {
                    changed(last.and_then(|m| m.aggregate(&a.name)).map(|a| &a.fingerprint), &a.fingerprint)
                        || a.sources.iter().any(|s| source_replay[*s])
                })
                .collect(),
            event_table_replay: project
                .event_tables
                .iter()
                .map(|t| any_source || changed(last.and_then(|m| m.event_table(&t.event_type)).map(|t| &t.fingerprint), &t.fingerprint))
                .collect(),
            intakes,
            source_replay,
        };
        let changed = project.sources.iter().zip(&decision.intakes).filter(|(_, intake)| !intake.changes.is_empty());
        let changed: Vec<String> = changed.map(|(source, _)| source.name.clone()).collect();
        decision.with_retry(project, &changed)
    }

    fn can_be_done(self, project: &Project) -> Result<Decision> {
        let replayed = (0..project.sources.len()).filter(|source| self.replays(project, *source));
        match replayed.filter_map(|source| self.intakes[source].cannot_replay.clone()).next() {
            Some(error) => Err(error),
            None => Ok(self),
        }
    }

    /// Also replays sources by name, and with them those whose replays need theirs: so that what was in quarantine
    /// is judged once more.
    pub fn with_retry(mut self, project: &Project, sources: &[String]) -> Result<Decision> {
        let asked = |source: &usize| sources.contains(&project.sources[*source].name);
        for group in project.refusing_groups().iter().filter(|group| group.iter().any(asked)) {
            group.iter().for_each(|source| self.source_replay[*source] = true);
            self.event_table_replay.fill(true);
            for (aggregate, replay) in project.aggregates.iter().zip(&mut self.aggregate_replay) {
                *replay |= aggregate.sources.iter().any(|source| group.contains(source));
            }
        }
        self.can_be_done(project)
    }

    /// A retry accepts that a log was mended, of the sources that it is for.
    pub fn refuse_changes_but_of(&self, project: &Project, sources: &[String]) -> Result<()> {
        let others = project.sources.iter().zip(&self.intakes).filter(|(source, _)| !sources.contains(&source.name));
        others.flat_map(|(_, intake)| &intake.changes).next().map_or(Ok(()), |error| Err(error.clone()))
    }

    /// Compares all that was consumed of the sources that are read now, as far as no scan does.
    pub fn check_whole(&self, project: &Project) -> Result<()> {
        let checked = |source: &usize| !self.intakes[*source].fresh.is_empty() && !self.replays(project, *source);
        (0..project.sources.len()).filter(checked).try_for_each(|source| self.intakes[source].check_whole())
    }

    /// Whether the checkpoint has to be kept although nothing was read: files have new names, or were changed.
    pub fn must_be_kept(&self) -> bool {
        self.intakes.iter().any(|intake| !intake.moves.is_empty() || !intake.changes.is_empty())
    }

    /// Leaves out what is cut at the end of compressed files; `false`: there is no such thing.
    pub fn leave_torn_members(&mut self) -> bool {
        let found: Vec<bool> = self.intakes.iter_mut().map(|intake| intake.leave_torn_members()).collect();
        found.contains(&true)
    }

    /// Whether something is replayed from this source's log.
    pub fn replays(&self, project: &Project, source: usize) -> bool {
        self.source_replay[source]
            || self.event_table_replay.iter().any(|replay| *replay)
            || project.aggregates.iter().zip(&self.aggregate_replay).any(|(a, replay)| *replay && a.sources.contains(&source))
    }

    /// The scans that a source needs.
    pub fn scans(&self, project: &Project, source: usize) -> SourceScans {
        let intake = &self.intakes[source];
        if self.source_replay[source] {
            let main = intake.old.iter().chain(&intake.fresh).cloned().collect();
            return SourceScans { replay: None, main };
        }
        let replay = self.replays(project, source).then(|| intake.old.clone());
        SourceScans { replay, main: intake.fresh.clone() }
    }

    /// Whether an aggregate's rows can change in this run.
    pub fn concerns(&self, project: &Project, aggregate: usize) -> bool {
        self.aggregate_replay[aggregate] || project.aggregates[aggregate].sources.iter().any(|s| !self.intakes[*s].fresh.is_empty())
    }

    /// Nothing to read and nothing to replay.
    pub fn is_idle(&self) -> bool {
        self.intakes.iter().all(|i| i.fresh.is_empty())
            && !self.source_replay.iter().chain(&self.aggregate_replay).chain(&self.event_table_replay).any(|replay| *replay)
    }
}
