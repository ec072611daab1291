//! `history`: the consumed log of one aggregate once more, and what each event did to one of its rows. Nothing of the
//! project is written, not even its lock.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

use xxhash_rust::xxh3::xxh3_64;

use super::as_of::AsOf;
use super::aside::{Aside, Why};
use super::decide::Decision;
use super::intake::{Intake, Part, consumed, intake};
use super::lanes::{Lane, lane_of};
use super::look::Look;
use super::refusal::refuse_bad;
use super::replay::afresh;
use super::round::Sequenced;
use super::tally::place;
use super::{Options, Run, Stop};
use crate::error::{Error, Kind, Result};
use crate::fold::watch::{Change, Outcome, RowSeen, Seen, Watch};
use crate::fold::{META_COLUMNS, Routed, key};
use crate::project::{Aggregate, Project, nearest};
use crate::report::history::{
    ColumnChange, Columns, EmittedRow, EventOutcome, HistoryEnd, HistoryEvent, ReleasedBy, RowChange, RuleOutcome, RuleRun, Shown, Waited,
};
use crate::report::{BadReport, Report};
use crate::source::Origin;
use crate::source::sequence::Verdict;
use crate::sql::{self, Type, Value};
use crate::state::manifest::Manifest;

/// Other rows that are remembered while the wanted one was not seen, to name one that is spelt like it.
const OTHERS_MAX: usize = 10_000;

/// The row that is asked about.
pub struct Question {
    /// Index into `Project::aggregates`.
    pub aggregate: usize,
    /// One per key column, of its type.
    pub key: Vec<Value>,
    pub as_of: Option<AsOf>,
}

impl Question {
    /// `key`: a value per key column, or `name=value` for each of them.
    pub fn new(project: &Project, aggregate: &str, key: &[String], as_of: Option<AsOf>) -> Result<Question> {
        let Some(index) = project.aggregates.iter().position(|a| a.name.eq_ignore_ascii_case(aggregate)) else {
            let names: Vec<&str> = project.aggregates.iter().map(|a| a.name.as_str()).collect();
            return Err(Error::new(Kind::Usage, format!("there is no aggregate `{aggregate}`"))
                .with_help(format!("the project has {}", names.join(", "))));
        };
        if project.aggregates[index].has_order_by {
            let name = &project.aggregates[index].name;
            return Err(Error::new(Kind::Usage, format!("the history of `{name}`, which has an `order_by`, is not built yet"))
                .with_help("`foldline run --as-of` and `[[test]]` show what its events come to"));
        }
        let key = typed_key(&project.aggregates[index], key)?;
        Ok(Question { aggregate: index, key, as_of })
    }
}

fn typed_key(aggregate: &Aggregate, given: &[String]) -> Result<Vec<Value>> {
    let columns: Vec<String> = aggregate.keys.iter().map(|k| format!("{} {}", k.name, k.ty)).collect();
    let help = format!("the key of `{}` is ({}): give a value for each, or `name=value`", aggregate.name, columns.join(", "));
    let wrong = |what: String| Error::new(Kind::Usage, what).with_help(help.clone());
    if given.len() != aggregate.keys.len() {
        let (count, wanted) = (given.len(), aggregate.keys.len());
        return Err(wrong(format!(
            "the key of `{}` has {wanted} column{}, {count} given",
            aggregate.name,
            if wanted == 1 { "" } else { "s" }
        )));
    }
    let column_of = |name: &str| aggregate.keys.iter().position(|k| k.name.eq_ignore_ascii_case(name));
    let named = |text: &'_ String| text.split_once('=').and_then(|(name, _)| column_of(name.trim()));
    let all_named: Option<Vec<usize>> = given.iter().map(named).collect();
    let mut texts: Vec<Option<&str>> = vec![None; given.len()];
    for (number, text) in given.iter().enumerate() {
        let (column, text) = match &all_named {
            Some(columns) => (columns[number], text.split_once('=').map_or("", |(_, value)| value)),
            None => (number, text.as_str()),
        };
        if texts[column].replace(text).is_some() {
            return Err(wrong(format!("the key column `{}` is given twice", aggregate.keys[column].name)));
        }
    }
    let typed = texts.iter().zip(&aggregate.keys).map(|(text, column)| {
        let text = text.unwrap_or_default();
        match sql::cast_text(text, &column.ty) {
            Ok(Value::Null) | Err(_) => Err(wrong(format!("`{text}` is no {} for the key column `{}`", column.ty, column.name))),
            Ok(value) => Ok(value),
        }
    });
    typed.collect()
}

/// Tells what each event did to the row, in the order in which they were folded; `tell` is called as the log is read,
/// and its error ends the reading. What could not be used is counted beside the result.
pub fn history(
    project: &Project,
    options: &Options,
    stop: &Stop,
    last: &Manifest,
    question: &Question,
    tell: &(dyn Fn(HistoryEvent) -> Result<()> + Sync),
) -> (BadReport, Result<HistoryEnd>) {
    let mut report = Report::new("history", &project.name);
    let told = Teller::new(project, question, tell).and_then(|teller| {
        let mut notes = Vec::new();
        let mut decision = consumed_of(project, question.aggregate, last, &mut notes)?;
        let look = Look { as_of: question.as_of, teller: Some(&teller) };
        let run = Run { project, options, stop, begun: std::time::Instant::now(), look };
        let (fresh, bad) = afresh(&run, &mut decision, &mut report)?;
        if let Some(as_of) = question.as_of.filter(|_| bad.bad.total > 0) {
            as_of.check_sources(&fresh.manifest)?;
        }
        refuse_bad(&bad)?;
        teller.end(last.generation, question.as_of, notes)
    });
    (report.bad, told)
}

/// The replay of what was consumed of the aggregate's sources.
fn consumed_of(project: &Project, aggregate: usize, last: &Manifest, notes: &mut Vec<String>) -> Result<Decision> {
    let definition = &project.aggregates[aggregate];
    let mut intakes: Vec<Intake> = Vec::new();
    for (source, of) in project.sources.iter().enumerate() {
        let known = last.source(&of.name).filter(|_| definition.sources.contains(&source));
        let Some(known) = known else {
            intakes.push(Intake::default());
            continue;
        };
        if !intake(project, source, Some(known), false)?.fresh.is_empty() {
            notes.push(format!("the log of source `{}` has grown since generation {}: `foldline run` reads on", of.name, last.generation));
        }
        intakes.push(consumed(project, source, known)?);
    }
    if last.aggregate(&definition.name).is_none_or(|known| known.fingerprint != definition.fingerprint) {
        notes.push(format!(
            "the definition of `{}` changed since generation {}: this is what today's does",
            definition.name, last.generation
        ));
    }
    Ok(Decision {
        intakes,
        source_replay: vec![true; project.sources.len()],
        aggregate_replay: vec![true; project.aggregates.len()],
        event_table_replay: vec![true; project.event_tables.len()],
    })
}

/// Watches one row while a log is replayed, and tells what it sees.
pub struct Teller<'a> {
    project: &'a Project,
    aggregate: usize,
    key: Vec<Value>,
    hash: u64,
    key_bytes: Vec<u8>,
    lane: usize,
    tell: &'a (dyn Fn(HistoryEvent) -> Result<()> + Sync),
    known: Mutex<Known>,
}

/// What a teller has come to.
#[derive(Default)]
struct Known {
    events: u64,
    row: Option<RowSeen>,
    /// Keys of other rows, while the row itself was not seen.
    others: HashSet<Vec<u8>>,
}

impl<'a> Teller<'a> {
    fn new(project: &'a Project, question: &Question, tell: &'a (dyn Fn(HistoryEvent) -> Result<()> + Sync)) -> Result<Teller<'a>> {
        let aggregate = &project.aggregates[question.aggregate];
        let mut key_bytes = Vec::new();
        if !key::encode(&question.key, &mut key_bytes) {
            return Err(Error::internal(format!("a key of `{}` cannot be written", aggregate.name)));
        }
        Ok(Teller {
            project,
            aggregate: question.aggregate,
            hash: xxh3_64(&key_bytes),
            lane: lane_of(aggregate, &key_bytes, &question.key),
            key: question.key.clone(),
            key_bytes,
            tell,
            known: Mutex::default(),
        })
    }

    fn definition(&self) -> &Aggregate {
        &self.project.aggregates[self.aggregate]
    }

    /// Only the row's own aggregate is folded.
    pub(super) fn takes(&self, aggregate: usize) -> bool {
        self.aggregate == aggregate
    }

    /// Has the lanes fold the row alone, where others cannot go on under its key.
    pub(super) fn arm(&self, lanes: &mut [Lane]) {
        for lane in lanes {
            let watch = Watch::one(self.hash, self.key_bytes.clone(), self.definition().is_replica);
            lane.folds[self.aggregate].watch = Some(Box::new(watch));
        }
    }

    /// Tells what a round did to the row. `parts`: what the scan goes through.
    /// `aside`: the records that were set aside before the fold.
    pub(super) fn round(&self, parts: &[Part], round: &[Sequenced], aside: &[Aside], lanes: &mut [Lane]) -> Result<()> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let mut seen = Vec::new();
        if let Some(watch) = lanes.get_mut(self.lane).and_then(|lane| lane.folds[self.aggregate].watch.as_mut()) {
            seen = std::mem::take(&mut watch.seen);
            known.row = watch.row.clone();
        }
        let mut releases = None;
        // the batch and the event behind which something happened; what was released there comes after
        let mut told: Vec<((usize, u32, bool), HistoryEvent)> = Vec::new();
        for seen in &seen {
            let batch = round.iter().position(|batch| Arc::ptr_eq(&batch.routed, &seen.batch));
            let passed = batch.filter(|batch| round[*batch].verdicts.passes(seen.event as usize));
            let mut event = self.seen(parts, seen);
            let at = match passed {
                Some(batch) => (batch, seen.event, false),
                None => {
                    let releases: &HashMap<_, _> = releases.get_or_insert_with(|| by_released(round));
                    let release = releases.get(&(Arc::as_ptr(&seen.batch), seen.event));
                    event.waited = release.map(|(batch, after)| Waited { released_by: released_by(parts, &round[*batch].routed, *after) });
                    release.map_or((round.len(), 0, true), |(batch, after)| (*batch, *after, true))
                }
            };
            told.push((at, event));
        }
        for (number, batch) in round.iter().enumerate() {
            for event in self.touched(&batch.routed) {
                let outcome = match batch.verdicts.get(event as usize) {
                    Verdict::Duplicate => EventOutcome::Duplicate,
                    Verdict::Late => EventOutcome::Late,
                    Verdict::Pass | Verdict::Held | Verdict::Conflict | Verdict::Quarantined => continue,
                };
                told.push(((number, event, false), self.unfolded(parts, &batch.routed, event, outcome)));
            }
            if known.events == 0 && told.is_empty() {
                self.remember_others(&batch.routed, &mut known.others);
            }
        }
        for aside in aside {
            let record = aside.event..aside.event + aside.batch.batch.events.parts(aside.event as usize) as u32;
            let number = round.iter().position(|batch| Arc::ptr_eq(&batch.routed, &aside.batch)).unwrap_or(round.len());
            for event in self.touched(&aside.batch).into_iter().filter(|event| record.contains(event)) {
                let reason = match &aside.why {
                    Why::Follows(stop) => Some(stop.to_string()),
                    Why::Bad | Why::Conflict => None,
                };
                let set_aside = HistoryEvent { reason, ..self.unfolded(parts, &aside.batch, event, EventOutcome::Quarantined) };
                told.push(((number, event, true), set_aside));
            }
        }
        // stable: what happened at one place stays in the order in which it happened
        told.sort_by_key(|(at, _)| *at);
        known.events += told.len() as u64;
        drop(known);
        told.into_iter().try_for_each(|(_, event)| (self.tell)(event))
    }

    /// Tells what waits behind a hole at the end of a source's log.
    pub(super) fn waiting(&self, lanes: &[Lane], source: usize, parts: &[Part]) -> Result<()> {
        let mut waiting = Vec::new();
        for held in lanes.iter().flat_map(|lane| lane.sequencers[source].held()) {
            let mine = held.event..held.event + held.parts;
            let touched = self.touched(held.batch).into_iter().filter(|event| mine.contains(event));
            waiting.extend(touched.map(|event| self.unfolded(parts, held.batch, event, EventOutcome::Pending)));
        }
        waiting.sort_by(|a, b| (&a.stream, a.version, &a.file, a.line).cmp(&(&b.stream, b.version, &b.file, b.line)));
        self.known.lock().unwrap_or_else(PoisonError::into_inner).events += waiting.len() as u64;
        waiting.into_iter().try_for_each(self.tell)
    }

    /// The events of a batch that concern the row, whatever the sequencer says of them.
    fn touched(&self, routed: &Routed) -> Vec<u32> {
        let Some(touches) = &routed.touches[self.aggregate] else { return Vec::new() };
        let part = touches.part(self.lane);
        let mine = |touch: &&crate::fold::touches::Touch| touch.all || (touch.hash == self.hash && part.key(touch) == self.key_bytes);
        let mut events: Vec<u32> = part.touches.iter().filter(mine).map(|touch| touch.event).collect();
        events.dedup();
        events
    }

    fn remember_others(&self, routed: &Routed, others: &mut HashSet<Vec<u8>>) {
        let Some(touches) = &routed.touches[self.aggregate] else { return };
        for part in touches.parts() {
            for touch in part.touches.iter().filter(|touch| !touch.all) {
                if others.len() >= OTHERS_MAX {
                    return;
                }
                if !others.contains(part.key(touch)) {
                    others.insert(part.key(touch).to_vec());
                }
            }
        }
    }

    /// An event's envelope and place, of which nothing happened to the row.
    fn unfolded(&self, parts: &[Part], routed: &Routed, event: u32, outcome: EventOutcome) -> HistoryEvent {
        let (events, at) = (&routed.batch.events, event as usize);
        let Origin { file, line, .. } = place(parts, &routed.batch, event);
        HistoryEvent {
            file: file.to_string(),
            line,
            stream: events.stream.get(at).to_string(),
            version: events.version[at],
            event_type: events.event_type.get(at).to_string(),
            time: events.time[at].and_then(|time| sql::to_text(&Value::Timestamp(time), &Type::Timestamp)),
            position: events.position[at],
            id: Some(events.id.get(at)).filter(|id| !id.is_empty()).map(str::to_string),
            outcome,
            waited: None,
            row: RowChange::Unchanged,
            rules: Vec::new(),
            changes: Vec::new(),
            emitted: Vec::new(),
            reason: None,
        }
    }

    fn seen(&self, parts: &[Part], seen: &Seen) -> HistoryEvent {
        let definition = self.definition();
        let outcome = match &seen.failed {
            Some(_) if seen.stood_still => EventOutcome::Quarantined,
            Some(_) => EventOutcome::Failed,
            None if seen.rules.iter().any(|rule| rule.outcome == Outcome::Applied) => EventOutcome::Applied,
            None => EventOutcome::NotApplied,
        };
        let changes: Vec<ColumnChange> = seen.changes.iter().map(|change| column_change(definition, change)).collect();
        let row = match (seen.was, seen.is) {
            (false, false) => RowChange::Absent,
            (true, false) => RowChange::Deleted,
            (false, true) => RowChange::Created,
            (true, true) if changes.is_empty() => RowChange::Unchanged,
            (true, true) => RowChange::Changed,
        };
        let rules = seen.rules.iter().map(|rule| RuleRun {
            rule: rule.label.clone(),
            outcome: match rule.outcome {
                Outcome::Applied => RuleOutcome::Applied,
                Outcome::NotTrue => RuleOutcome::WhenFalse,
                Outcome::Null => RuleOutcome::WhenNull,
                Outcome::Failed => RuleOutcome::Failed,
            },
            times: rule.times,
        });
        let emitted = seen.emitted.iter().map(|(number, values)| {
            let rows = &definition.rows[*number];
            let values = rows.columns.iter().zip(values).map(|((name, ty), value)| (name.clone(), Shown::new(value, ty)));
            EmittedRow { rows: rows.name.clone(), values: Columns(values.collect()) }
        });
        HistoryEvent {
            row,
            rules: rules.collect(),
            changes,
            emitted: emitted.collect(),
            reason: seen.failed.clone(),
            ..self.unfolded(parts, &seen.batch, seen.event, outcome)
        }
    }

    fn end(self, generation: u64, as_of: Option<AsOf>, notes: Vec<String>) -> Result<HistoryEnd> {
        let definition = &self.project.aggregates[self.aggregate];
        let known = self.known.into_inner().unwrap_or_else(PoisonError::into_inner);
        let text_of = |values: &[Value]| {
            let texts = values.iter().zip(&definition.keys).map(|(value, key)| sql::to_text(value, &key.ty).unwrap_or_default());
            texts.collect::<Vec<_>>().join(" ")
        };
        if known.events == 0 {
            let wanted = text_of(&self.key);
            let until = as_of.map_or(String::new(), |as_of| format!(" up to {as_of}"));
            let mut error = Error::new(Kind::NoInput, format!("no event{until} concerns `{}` {wanted}", definition.name));
            let types: Vec<Type> = definition.keys.iter().map(|k| k.ty.clone()).collect();
            let values = |bytes: &Vec<u8>| (0..types.len()).map(|i| key::decode(bytes, &types, i)).collect::<Vec<_>>();
            let mut others: Vec<String> = known.others.iter().map(|bytes| text_of(&values(bytes))).collect();
            others.sort();
            if let Some(near) = nearest(&wanted, others.iter().map(String::as_str)) {
                error = error.with_help(format!("did you mean {near}?"));
            }
            return Err(notes.into_iter().fold(error, Error::with_help));
        }
        let keys = || self.key.iter().zip(&definition.keys).map(|(value, key)| (key.name.clone(), Shown::new(value, &key.ty)));
        let row = known.row.map(|row| {
            let state = row.state.iter().zip(&definition.state).map(|(value, column)| (column.name.clone(), Shown::new(value, &column.ty)));
            let meta =
                row.meta.values().into_iter().zip(META_COLUMNS).map(|(value, (name, ty))| (name.to_string(), Shown::new(&value, &ty)));
            Columns(keys().chain(state).chain(meta).collect())
        });
        Ok(HistoryEnd {
            aggregate: definition.name.clone(),
            key: Columns(keys().collect()),
            events: known.events,
            row,
            generation,
            as_of: as_of.map(|as_of| as_of.to_string()),
            notes,
        })
    }
}

fn column_change(definition: &Aggregate, change: &Change) -> ColumnChange {
    let column = &definition.state[change.column];
    let (entry_type, value_type) = match (&change.entry, &column.ty) {
        (Some(_), Type::Map(key, value)) => (&**key, &**value),
        (Some(_), Type::List(element)) => (&Type::BigInt, &**element),
        _ => (&Type::Varchar, &column.ty),
    };
    let shown = |value: &Option<Value>| value.as_ref().map(|value| Shown::new(value, value_type));
    ColumnChange {
        column: column.name.clone(),
        entry: change.entry.as_ref().map(|entry| Shown::new(entry, entry_type)),
        from: shown(&change.from),
        to: shown(&change.to),
    }
}

/// Batch of the round and event in it by what was released behind it.
fn by_released(round: &[Sequenced]) -> HashMap<(*const Routed, u32), (usize, u32)> {
    let all = round.iter().enumerate().flat_map(|(number, batch)| batch.releases.iter().map(move |release| (number, release)));
    all.map(|(number, release)| ((Arc::as_ptr(&release.batch), release.event), (number, release.after))).collect()
}

/// The event that let others pass; `None` where no event did.
fn released_by(parts: &[Part], routed: &Routed, event: u32) -> Option<ReleasedBy> {
    let version = *routed.batch.events.version.get(event as usize)?;
    let Origin { file, line, .. } = place(parts, &routed.batch, event);
    Some(ReleasedBy { version, file: file.to_string(), line })
}
