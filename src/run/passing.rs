//! `on_gap = "skip"`: at the end of a run's input every stream passes its holes, and what comes later is late.
//!
//! The manifest marks the segments behind which holes were passed, so that every replay passes them at the same places.

use std::collections::VecDeque;
use std::sync::Arc;

use rayon::prelude::*;
use xxhash_rust::xxh3::xxh3_64;

use super::append::data_file;
use super::aside::{Aside, SetAside, set_aside_released};
use super::intake::Part;
use super::lanes::{Lane, unusable};
use super::round::{Sequenced, Work, count, fold_spanning};
use super::scan::{Scan, Sinks};
use super::tally::{Tally, place};
use crate::error::Result;
use crate::fold::{Routed, partition_of, route};
use crate::printable::printable;
use crate::project::{OnGap, Project};
use crate::report::counted;
use crate::source::Batch;
use crate::source::chain::Chain;
use crate::source::chunks::{Job, Jobs};
use crate::source::passed::{PassedHole, PassedStream, Range};
use crate::source::sequence::Verdicts;
use crate::sql::{Type, Value};
use crate::state::manifest::{Passed, Source};
use crate::state::{Frame, Store, parquet};

/// Holes, and late events, that a run's warnings name.
pub const SHOWN_MAX: usize = 10;

/// Hands out a log in rounds of chunks; none goes beyond a place where holes are passed.
pub struct Rounds {
    jobs: Jobs,
    /// A chunk behind the next such place.
    next: Option<Job>,
    /// The parts behind which holes are passed, ascending.
    ends: VecDeque<usize>,
}

impl Rounds {
    pub fn new(jobs: Jobs, parts: &[Part], on_gap: OnGap) -> Rounds {
        let ends = (0..parts.len()).filter(|part| on_gap == OnGap::Skip && parts[*part].passes_holes).collect();
        Rounds { jobs, next: None, ends }
    }

    pub fn jobs(&self) -> &Jobs {
        &self.jobs
    }

    /// See [`Jobs::take_before`].
    pub fn take_before(&mut self, segment: usize) -> Option<Chain> {
        self.jobs.take_before(segment)
    }

    /// Up to `most` chunks; none at a place where holes are passed, the end of the log among them.
    pub fn next_round(&mut self, most: usize) -> Result<Vec<Job>> {
        let mut round = Vec::new();
        while round.len() < most {
            let next = match self.next.take() {
                Some(job) => Some(job),
                None => self.jobs.next_job()?,
            };
            let Some(job) = next else { break };
            if self.ends.front().is_some_and(|end| *end < job.segment()) {
                if round.is_empty() {
                    self.ends.retain(|end| *end >= job.segment());
                }
                self.next = Some(job);
                break;
            }
            round.push(job);
        }
        Ok(round)
    }

    /// Asked where holes are passed: whether there is more of the log behind.
    pub fn goes_on(&self) -> bool {
        self.next.is_some()
    }
}

/// What streams went on without in a run, and what came too late for it.
#[derive(Debug, Default)]
pub struct Passing {
    pub holes: u64,
    /// Events.
    pub late: u64,
    /// The first ones of both, in the order in which they were met.
    holes_shown: Vec<String>,
    late_shown: Vec<String>,
}

impl Passing {
    fn hole(&mut self, parts: &[Part], hole: &PassedHole<Arc<Routed>>) {
        self.holes += 1;
        if self.holes_shown.len() < SHOWN_MAX {
            let at = place(parts, &hole.batch.batch, hole.event);
            self.holes_shown.push(format!("{}:{}: {}; it goes on without what is missing", at.file, at.line, hole.reason()));
        }
    }

    /// Names an event that was counted as late.
    pub fn show_late(&mut self, parts: &[Part], batch: &Batch, event: u32) {
        if self.late_shown.len() < SHOWN_MAX {
            let at = place(parts, batch, event);
            let (stream, version) = (batch.events.stream.get(event as usize), batch.events.version[event as usize].unwrap_or_default());
            self.late_shown.push(format!("{}:{}: version {version} of stream `{stream}` is late: it was passed", at.file, at.line));
        }
    }

    pub fn warnings(&self, source: &str) -> Vec<String> {
        let mut warnings: Vec<String> = self.holes_shown.iter().map(|hole| printable(hole)).collect();
        let more = self.holes - self.holes_shown.len() as u64;
        if more > 0 {
            warnings.push(format!("source `{source}`: {} passed", counted(more, "more hole")));
        }
        warnings.extend(self.late_shown.iter().map(|late| printable(late)));
        if self.late > 0 {
            warnings.push(format!("source `{source}`: {} not folded", counted(self.late, "late event")));
        }
        warnings
    }
}

impl Scan<'_> {
    /// Lets all streams pass their holes and folds what waited behind them; true where there were holes. `parts`: what
    /// was scanned.
    pub(super) fn pass_holes(&self, parts: &[Part], sinks: &mut Sinks, tally: &mut Tally) -> Result<bool> {
        if self.project.sources[self.source].on_gap != OnGap::Skip {
            return Ok(false);
        }
        let begun = std::time::Instant::now();
        let Some(round) = pass_holes(self.project, self.source, sinks.active, sinks.lanes) else { return Ok(false) };
        if tally.counting {
            tally.folded += round.folded;
            tally.filtered += round.filtered;
            tally.quarantined += round.quarantined;
            round.holes.iter().for_each(|hole| tally.passing.hole(parts, hole));
        }
        self.failures(parts, sinks, tally);
        if let Some(teller) = self.look.teller {
            teller.round(parts, std::slice::from_ref(&round.released), &round.aside, sinks.lanes)?;
        }
        self.keep_aside(parts, round.aside, tally)?;
        self.append(std::slice::from_ref(&round.released), sinks)?;
        tally.fold_time += begun.elapsed();
        Ok(true)
    }
}

/// What became of events that waited behind holes.
pub struct PassingRound {
    /// An empty batch, behind which they pass.
    pub released: Sequenced,
    pub folded: u64,
    pub filtered: u64,
    pub quarantined: u64,
    /// As in a round.
    pub aside: Vec<Aside>,
    /// By place of the event behind each.
    pub holes: Vec<PassedHole<Arc<Routed>>>,
}

/// Where in its scan an event lies.
type Place = (u64, u32);

type Stream = PassedStream<Arc<Routed>, Place>;

/// Releases what waits, stream by stream in the order in which the first event behind their first hole lies in the
/// log, and folds it into the aggregates that are `active`. `None`: nothing waits.
pub fn pass_holes(project: &Project, source: usize, active: &[bool], lanes: &mut [Lane]) -> Option<PassingRound> {
    let work = Work::fold(project, active);
    let nothing = Arc::new(route(Batch::new(0, 0, 0), project, active));
    let no_verdicts = Verdicts::new(0);
    let quarantines = project.sources[source].quarantines();
    let found: Vec<(Vec<Stream>, SetAside)> = lanes
        .par_iter_mut()
        .enumerate()
        .map(|(number, lane)| {
            let mut aside = SetAside::default();
            let mut streams = lane.sequencers[source].pass_holes(|batch, event| (batch.batch.ordinal, event));
            if quarantines {
                streams.iter_mut().for_each(|s| set_aside_released(&mut lane.stopped[source], &mut s.releases, &mut aside));
            }
            for (index, aggregate) in project.aggregates.iter().enumerate().filter(|(i, a)| work.takes(*i, number) && !a.spans_streams) {
                for stream in &streams {
                    lane.folds[index].fold(aggregate, index, number, &nothing, &no_verdicts, &stream.releases);
                }
            }
            (streams, aside)
        })
        .collect();
    let (streams, asides): (Vec<_>, Vec<_>) = found.into_iter().unzip();
    let mut streams: Vec<_> = streams.into_iter().flatten().collect();
    if streams.is_empty() {
        return None;
    }
    streams.sort_by_key(|stream| stream.place);
    let (mut folded, mut filtered, mut holes, mut releases) = (0, 0, Vec::new(), Vec::new());
    filtered += asides.iter().map(|aside| aside.filtered).sum::<u64>();
    let quarantined = asides.iter().map(|aside| aside.quarantined).sum();
    let aside = asides.into_iter().flat_map(|aside| aside.records).collect();
    for mut stream in streams {
        holes.append(&mut stream.holes);
        stream.releases.iter().for_each(|release| count(&release.batch, release.event as usize, &mut folded, &mut filtered));
        releases.append(&mut stream.releases);
    }
    holes.sort_by_key(|hole| (hole.batch.batch.ordinal, hole.event));
    let released = Sequenced::behind_nothing(nothing, releases);
    fold_spanning(project, &work, lanes, std::slice::from_ref(&released));
    Some(PassingRound { released, folded, filtered, quarantined, aside, holes })
}

fn schema() -> Vec<(String, Type)> {
    [("stream", Type::Varchar), ("from_version", Type::BigInt), ("to_version", Type::BigInt)]
        .map(|(name, ty)| (name.to_string(), ty))
        .into()
}

/// Writes which versions each stream has passed; no file where none has.
pub fn save(lanes: &[Lane], source: usize, name: &str, store: &Store, generation: u64) -> Result<Passed> {
    let mut passed: Vec<(&str, &[Range])> = lanes.iter().flat_map(|lane| lane.sequencers[source].passed()).collect();
    if passed.is_empty() {
        return Ok(Passed::default());
    }
    passed.sort_unstable_by_key(|(stream, _)| *stream);
    let mut frame = Frame::empty(&schema());
    for (stream, range) in passed.iter().flat_map(|(stream, ranges)| ranges.iter().map(move |range| (stream, range))) {
        let row = [Value::text(stream), Value::Int(range.from as i128), Value::Int(range.to as i128)];
        for (column, value) in frame.columns.iter_mut().zip(row) {
            column.push(value);
        }
    }
    let dir = store.fresh_data_dir("streams", name)?;
    let file = data_file(store, &dir.join(format!("gen-{generation}-passed.parquet")), &frame)?;
    Ok(Passed { file: Some(file), streams: passed.len() as u64 })
}

/// Takes up what [`save`] wrote; the streams themselves are there already.
pub fn load(lanes: &mut [Lane], source: usize, store: &Store, last: &Source) -> Result<()> {
    let Some(file) = &last.passed.file else { return Ok(()) };
    let frame = parquet::read(&store.data_path(&file.path), &schema())?;
    for row in 0..frame.rows() {
        let values: Vec<Value> = frame.columns.iter().map(|c| c.get(row)).collect();
        let (Some(stream), Some(from), Some(to)) = (values[0].as_text(), values[1].as_int(), values[2].as_int()) else {
            return Err(unusable(&last.name, "a passed version is NULL"));
        };
        let hash = xxh3_64(stream.as_bytes());
        let range = Range { from: from as i64, to: to as i64 };
        if !lanes[partition_of(hash)].sequencers[source].restore_passed(stream, hash, range) {
            return Err(unusable(&last.name, "a stream that has passed versions is not there"));
        }
    }
    Ok(())
}
