//! The state of a run within its share of `--memory`.
//!
//! Between rounds the lanes' bytes are counted. Where they are too many, the largest lanes are *put away*: their rows and
//! streams are written as snapshot files and leave memory. From then on the records of their streams go as lines into a
//! [`Tail`]; at the end of the scan each such lane is taken up again, its lines are folded, and it is put away for good:
//! its files are the snapshot. So the log is read once, and lanes are in memory one after the other.
//!
//! An aggregate whose key spans streams needs the accepted events of all lanes in log order. Once a lane is away, these
//! are handed over as text, sorted by partition and place, and folded when all lanes are through (`spanning`).

mod account;
mod away;
mod load;
mod spanning;
mod tail;
mod take_up;

use std::path::PathBuf;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Weak};

pub use load::PARTITIONS_AT_ONCE;

use account::Account;
use away::Pieces;
use tail::Tail;

use super::Options;
use super::intake::Part;
use super::lanes::Lane;
use super::look::Look;
use super::order_by::HandOver;
use super::round::{Sequenced, Work};
use super::scan::Scan;
use super::tally::place_in_scan;
use crate::error::{Error, Kind, Result};
use crate::fold::{PARTITIONS, Routed};
use crate::project::{Aggregate, OnGap, Order, Project};
use crate::report::{human_bytes, resident_memory_bytes};
use crate::source::Batch;
use crate::state::Store;

/// What a decoded chunk takes, as a multiple of its text.
const DECODED_FACTOR: u64 = 4;

/// Bytes of log between two counts of the lanes.
const COUNTED_EVERY_BYTES: u64 = 16 << 20;

/// What rounds in flight and the program itself take.
const ROUNDS_BYTES: u64 = 96 << 20;

/// Counts what the lanes hold, and puts lanes away where that is too much.
pub struct Memory {
    /// What lanes may hold.
    bytes_max: u64,
    /// What the sort of an aggregate's events may hold.
    sort_bytes: usize,
    folder: PathBuf,
    generation: u64,
    threads: usize,
    /// By source and by aggregate: its state may leave memory.
    sources: Vec<bool>,
    aggregates: Vec<bool>,
    /// The source whose scan is at hand, and whether its state may leave memory.
    source: usize,
    leaves: bool,
    /// The lanes that are not in memory, a bit each.
    away: u64,
    /// The partitions of which something was away once, a bit each.
    were_away: u64,
    /// By aggregate whose key spans streams: its partitions are not in memory.
    spanning_away: Vec<bool>,
    pieces: Pieces,
    account: Account,
    /// Of the scan at hand: lines of lanes that are away.
    tail: Option<Tail>,
    /// The same: events of aggregates whose key spans streams.
    hand_over: Vec<Option<HandOver>>,
    /// Lines of the tail are folded.
    taking_up: bool,
    /// Batches that may be held for events that wait, and about how many bytes each takes.
    watched: Vec<(Weak<Routed>, u64)>,
    /// Bytes of log since the lanes were counted last.
    uncounted_bytes: u64,
    files_written: AtomicU64,
}

impl Memory {
    /// The share that `--memory` leaves to the state of a run. `generation`: the one that it makes.
    pub fn new(project: &Project, options: &Options, store: &Store, generation: u64, look: &Look) -> Memory {
        let bytes = options.memory_bytes;
        let spanning = |aggregate: &&Aggregate| aggregate.spans_streams && !aggregate.is_ordered();
        // what events are counted as must be known when they pass, and a row of another lane may refuse one
        let refuses = |source: usize| project.aggregates.iter().filter(spanning).any(|a| a.sources.contains(&source));
        let leaves = |(number, source): (usize, &crate::project::Source)| {
            let counts = !(source.quarantines() && refuses(number));
            look.teller.is_none() && source.order == Order::Log && source.on_gap != OnGap::Skip && counts
        };
        let sources: Vec<bool> = project.sources.iter().enumerate().map(leaves).collect();
        let aggregates =
            project.aggregates.iter().map(|a| !a.is_ordered() && !a.is_replica && a.sources.iter().all(|s| sources[*s])).collect();
        let sorts = project.aggregates.iter().filter(spanning).count().max(1) as u64;
        Memory {
            bytes_max: (bytes / 8 * 5).saturating_sub(ROUNDS_BYTES).max(bytes / 4),
            sort_bytes: usize::try_from(bytes / (16 * sorts)).unwrap_or(usize::MAX),
            folder: store.dir().join("staging"),
            generation,
            threads: options.threads,
            sources,
            aggregates,
            source: 0,
            leaves: false,
            away: 0,
            were_away: 0,
            spanning_away: vec![false; project.aggregates.len()],
            pieces: Pieces::new(project),
            account: Account::new(project),
            tail: None,
            hand_over: (0..project.aggregates.len()).map(|_| None).collect(),
            taking_up: false,
            watched: Vec::new(),
            uncounted_bytes: 0,
            files_written: AtomicU64::new(0),
        }
    }

    /// The same share, for a scan in which everything stays in memory.
    pub fn staying(&self, project: &Project) -> Memory {
        Memory {
            sources: vec![false; project.sources.len()],
            aggregates: vec![false; project.aggregates.len()],
            spanning_away: vec![false; project.aggregates.len()],
            pieces: Pieces::new(project),
            account: Account::new(project),
            tail: None,
            hand_over: Vec::new(),
            watched: Vec::new(),
            folder: self.folder.clone(),
            files_written: AtomicU64::new(0),
            ..*self
        }
    }

    /// How many partitions of the state have left memory, for a while at least.
    pub fn partitions_put_away(&self) -> u64 {
        self.were_away.count_ones() as u64
    }

    /// Whether something was away: what a snapshot has of the lanes says nothing of where their rows stand then.
    pub fn was_away(&self) -> bool {
        self.were_away != 0
    }

    /// Whether all rows of an aggregate are in memory.
    pub fn has_whole(&self, index: usize) -> bool {
        self.pieces.folds[index].iter().all(Vec::is_empty)
    }

    /// A scan begins.
    pub fn begin(&mut self, scan: &Scan, parts: &[Part]) -> Result<()> {
        self.source = scan.source;
        self.leaves = self.sources[scan.source];
        if self.leaves {
            let tail = self.tail.get_or_insert_with(|| Tail::new(self.folder.clone()));
            tail.name_parts(parts);
        }
        Ok(())
    }

    /// Something is not in memory that the scan at hand is about.
    fn is_active(&self) -> bool {
        self.leaves && (self.away != 0 || self.spanning_away.contains(&true))
    }

    /// The text of records has to be kept while they are folded.
    pub fn needs_text(&self) -> bool {
        self.is_active()
    }

    /// What a round does, without what has to be done later.
    pub fn work(&self, project: &Project, work: &Work) -> Work {
        let mut work = work.clone();
        if self.is_active() {
            for (index, aggregate) in project.aggregates.iter().enumerate().filter(|(_, a)| a.spans_streams) {
                work.partitions[index] = if aggregate.is_ordered() { work.partitions[index] } else { 0 };
            }
            (work.away, work.judged) = (self.away, self.taking_up);
        }
        work
    }

    /// The round at hand may have events that have to wait.
    pub fn watch(&mut self, batches: &[Arc<Routed>]) {
        self.watched.retain(|(batch, _)| batch.strong_count() > 0);
        self.watched.extend(batches.iter().map(|batch| (Arc::downgrade(batch), batch.batch.bytes * DECODED_FACTOR)));
        self.uncounted_bytes += batches.iter().map(|batch| batch.batch.bytes).sum::<u64>();
    }

    /// Where an event of a batch at hand stands in its scan: events of a log's order are ordered by it.
    pub fn place(&self, batch: &Batch, event: u32) -> u64 {
        if self.leaves { place_in_scan(batch, batch.events.line[event as usize]) } else { 0 }
    }

    /// Takes what a round has put off: the lines of lanes that are away, and what passes for aggregates that span streams.
    pub fn take_round(&mut self, scan: &Scan, parts: &[Part], work: &Work, round: &[Sequenced]) -> Result<()> {
        if !self.is_active() {
            return Ok(());
        }
        if let (Some(tail), false) = (&mut self.tail, self.taking_up) {
            tail.take_round(self.away, round)?;
        }
        for (index, aggregate) in scan.project.aggregates.iter().enumerate() {
            if aggregate.spans_streams && !aggregate.is_ordered() && work.partitions[index] != 0 {
                self.hand_over_spanning(aggregate, index, parts, round)?;
            }
        }
        Ok(())
    }

    /// Counts the lanes from time to time, and puts some away where they hold too much.
    pub fn keep_within(&mut self, scan: &Scan, lanes: &mut [Lane]) -> Result<()> {
        if self.uncounted_bytes < COUNTED_EVERY_BYTES.min(self.bytes_max / 16) {
            return Ok(());
        }
        self.uncounted_bytes = 0;
        self.put_away_what_is_too_much(scan.project, scan.store, lanes)
    }

    /// Puts lanes away, the largest first, until what is left has room to grow.
    pub fn put_away_what_is_too_much(&mut self, project: &Project, store: &Store, lanes: &mut [Lane]) -> Result<()> {
        let mut held = self.held(project, lanes);
        if held.total() <= self.bytes_max {
            return Ok(());
        }
        let large = self.bytes_max / 16;
        for index in (0..project.aggregates.len()).filter(|index| held.spanning[*index] > large) {
            self.spanning_away[index] = true;
            self.put_away_partitions(project, index, store, lanes, u64::MAX)?;
        }
        let aim = self.bytes_max / 4 * 3;
        loop {
            held = self.held(project, lanes);
            let mut too_much = held.total().saturating_sub(aim);
            if too_much == 0 {
                return Ok(());
            }
            let mut largest: Vec<usize> = (0..lanes.len()).filter(|lane| self.away >> lane & 1 == 0).collect();
            largest.sort_by_key(|lane| std::cmp::Reverse(held.lanes[*lane]));
            let mut chosen = 0u64;
            for lane in largest {
                if too_much == 0 && chosen.count_ones() as usize >= self.threads {
                    break;
                }
                too_much = too_much.saturating_sub(held.lanes[lane]);
                chosen |= 1 << lane;
            }
            if chosen == 0 {
                break;
            }
            self.put_away(project, store, lanes, chosen)?;
        }
        if held.staying > self.bytes_max {
            return Err(self.exceeded("the state that cannot be put away", held.staying));
        }
        Ok(())
    }

    fn exceeded(&self, what: &str, bytes: u64) -> Error {
        let (needed, left) = (human_bytes(bytes), human_bytes(self.bytes_max));
        Error::new(Kind::Io, format!("{what} needs {needed} of memory, and `--memory` leaves {left} to it"))
            .with_help("give the run more with `--memory`")
    }
}

/// What of `--memory` the fold has left behind.
pub fn left_for_read_models(options: &Options) -> u64 {
    let total = options.memory_bytes;
    total.saturating_sub(resident_memory_bytes().unwrap_or(total / 4)).max(total / 2)
}

fn lanes_of(mask: u64) -> impl Iterator<Item = usize> {
    (0..PARTITIONS).filter(move |lane| mask >> lane & 1 == 1)
}
