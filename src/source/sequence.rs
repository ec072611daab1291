//! Sequencing: each stream's events by version, once per source, before any fold (design: order, duplicates, gaps).
//!
//! The sequencer owns the last version of every stream of one partition of streams. It hands on verdicts,
//! not copies: an event passes, is a duplicate, or is held until the versions before it have come.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};

use compact_str::CompactString;
use hashbrown::HashMap;

use super::arrivals::{Arrival, Mine};
use super::batch::Events;
use super::index::Index;
use super::level::{Counts, FRESH, Level};
use super::passed::{Range, is_late};
use crate::prefetch::prefetch;
use crate::project::Order;

/// So many records' streams are looked up at a time, so that the memory they lie in comes meanwhile.
const LOOK_AHEAD: usize = 32;

/// What the sequencer says of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Verdict {
    Pass,
    Duplicate,
    /// Came early; it passes later, as a [`Release`].
    Held,
    /// The same version again with another id or content, or a version before the stream's first.
    Conflict,
    /// It came after the place of its version had been passed.
    Late,
    /// Passed, but its stream stands still behind an event that is in quarantine.
    Quarantined,
}

const PASS: u8 = Verdict::Pass as u8;
/// A pass of which [`Verdicts::is_behind`] is true.
const PASS_BEHIND: u8 = 64;

/// One verdict per event of a batch; each partition of streams writes its own events' entries.
pub struct Verdicts {
    by_event: Vec<AtomicU8>,
    /// Some event does not just pass. Where all do, which is usual, nobody looks at the entries, and no thread waits for
    /// a line of memory that another one writes to.
    differ: AtomicBool,
}

impl Verdicts {
    pub fn new(len: usize) -> Verdicts {
        Verdicts { by_event: (0..len).map(|_| AtomicU8::new(PASS)).collect(), differ: AtomicBool::new(false) }
    }

    fn load(&self, event: usize) -> u8 {
        if self.differ.load(Ordering::Relaxed) { self.by_event[event].load(Ordering::Relaxed) } else { PASS }
    }

    pub fn get(&self, event: usize) -> Verdict {
        match self.load(event) {
            1 => Verdict::Duplicate,
            2 => Verdict::Held,
            3 => Verdict::Conflict,
            4 => Verdict::Late,
            5 => Verdict::Quarantined,
            _ => Verdict::Pass,
        }
    }

    pub fn passes(&self, event: usize) -> bool {
        matches!(self.load(event), PASS | PASS_BEHIND)
    }

    /// Whether an event passes, but sorts before an earlier one of its stream that an earlier run has let pass: in one
    /// piece it would have waited for that one.
    pub fn is_behind(&self, event: usize) -> bool {
        self.load(event) == PASS_BEHIND
    }

    fn set_behind(&self, event: usize, parts: usize) {
        self.store(event, parts, PASS_BEHIND);
    }

    /// For an event and the further parts of its record, `parts` in all, that pass so far.
    pub fn set(&self, event: usize, parts: usize, verdict: Verdict) {
        if verdict != Verdict::Pass {
            self.store(event, parts, verdict as u8);
        }
    }

    fn store(&self, event: usize, parts: usize, verdict: u8) {
        self.by_event[event..event + parts].iter().for_each(|part| part.store(verdict, Ordering::Relaxed));
        self.differ.store(true, Ordering::Relaxed);
    }
}

/// A held event that passes: right behind event `after` of the batch at hand.
pub struct Release<B> {
    pub after: u32,
    pub batch: B,
    pub event: u32,
}

/// What a stream's versions have come to.
#[derive(Debug, Clone)]
pub struct Stream {
    pub name: CompactString,
    pub hash: u64,
    /// The last version that passed; `None` while only early ones came.
    pub last: Option<i64>,
    pub first: i64,
    /// The mark of the last event (see `Events::mark`).
    pub mark: u64,
    /// What a source that is sorted sorts by, the greatest at which an event of the stream passed.
    pub sort_key: i64,
}

/// A hole: what was expected, what came, and the event that waits.
pub struct Gap<B> {
    pub stream: String,
    pub last: Option<i64>,
    pub found: i64,
    /// How many events of the stream wait.
    pub waiting: u64,
    pub batch: B,
    pub event: u32,
}

/// An event that came early.
pub(super) struct Waiting<B> {
    pub(super) batch: B,
    pub(super) event: u32,
    /// How many events its record became; they stand behind each other. None for a bad record.
    pub(super) parts: u32,
    pub(super) mark: u64,
}

impl<B> Gap<B> {
    /// The fact, for a report.
    pub fn reason(&self) -> String {
        gap_reason(&self.stream, self.last, self.found)
    }
}

/// What is wrong with a stream that goes on at version `found` behind `last`, which is `None` at its beginning.
pub fn gap_reason(stream: &str, last: Option<i64>, found: i64) -> String {
    match last {
        Some(last) => format!("stream `{stream}` jumps from version {last} to {found}"),
        None => format!("stream `{stream}` begins at version {found}"),
    }
}

/// An event that waits, as a snapshot keeps it.
pub struct Held<'a, B> {
    pub stream: &'a str,
    /// The stream's last version that passed; `None` while only early ones came.
    pub last: Option<i64>,
    pub version: i64,
    pub batch: &'a B,
    /// The first part of its record.
    pub event: u32,
    /// How many events its record became; none of a bad record.
    pub parts: u32,
}

/// The sequencer of one partition of streams. `B` leads to a batch (cheap to clone).
pub struct Sequencer<B> {
    /// `Some`: the version that every stream begins with; `None`: 0 or 1.
    first_version: Option<i64>,
    order: Order,
    index: Index,
    pub(super) streams: Vec<Stream>,
    pub(super) held: HashMap<u32, BTreeMap<i64, Waiting<B>>>,
    /// By stream: the versions that were missing when their place was passed, ascending. Mostly empty.
    pub(super) passed: HashMap<u32, Vec<Range>>,
    /// The greatest [`Stream::sort_key`].
    pub latest: i64,
    /// True since something changed that a snapshot must know.
    pub dirty: bool,
    /// Of the first streams, those of a snapshot: the last version there, and the [`Level`] of the file that has it.
    restored: Vec<(i64, Level)>,
}

impl<B: Clone> Sequencer<B> {
    /// `first_version` and `order`: of the source.
    pub fn new(first_version: Option<i64>, order: Order) -> Self {
        Sequencer {
            first_version,
            order,
            index: Index::default(),
            streams: Vec::new(),
            held: HashMap::new(),
            passed: HashMap::new(),
            latest: i64::MIN,
            dirty: false,
            restored: Vec::new(),
        }
    }

    /// The lowest version that a stream may begin with.
    pub(super) fn lowest(&self) -> i64 {
        self.first_version.unwrap_or(0)
    }

    /// Makes room for streams to be taken up.
    pub fn reserve(&mut self, streams: usize) {
        self.streams.reserve(streams);
        self.restored.reserve(streams);
        self.index.reserve(streams);
    }

    /// Takes up a stream from a file of a snapshot, which stands at a level; one that is there already is newer.
    pub fn restore(&mut self, stream: Stream, level: Level) {
        if self.find(&stream.name, stream.hash).is_some() {
            return;
        }
        self.restored.resize(self.streams.len(), (i64::MIN, FRESH));
        self.restored.push((stream.last.unwrap_or(i64::MIN), level));
        self.latest = self.latest.max(stream.sort_key);
        self.insert(stream);
    }

    /// Where a stream's last version stands.
    fn level(&self, number: usize) -> Level {
        let stands = self.restored.get(number).filter(|(last, _)| self.streams[number].last == Some(*last));
        stands.map_or(FRESH, |(_, level)| *level)
    }

    /// The streams of which something has passed and of which that stands at a level or above it.
    pub fn streams_since(&self, level: Level) -> impl Iterator<Item = &Stream> {
        let known = self.streams.iter().enumerate().filter(|(_, stream)| stream.last.is_some());
        known.filter(move |(number, _)| self.level(*number) >= level).map(|(_, stream)| stream)
    }

    /// How many of these streams there are, by level.
    pub fn counts(&self) -> Counts {
        let mut counts = [0; FRESH as usize + 1];
        let known = self.streams.iter().enumerate().filter(|(_, stream)| stream.last.is_some());
        known.for_each(|(number, _)| counts[self.level(number) as usize] += 1);
        counts
    }

    /// Takes up events that waited at the end of an earlier run, in place of all that wait now. Gives how many events
    /// that are.
    pub fn restore_held(&mut self, batch: &B, mine: Mine) -> u64 {
        let mut count = 0;
        for arrival in mine.arrivals {
            let Some(version) = arrival.version else { continue };
            let number = self.number_of(arrival, mine.stream(arrival), version);
            let parts = parts_waiting(arrival);
            count += parts as u64;
            let waiting = Waiting { batch: batch.clone(), event: arrival.event, parts, mark: arrival.mark };
            self.held.entry(number).or_default().insert(version, waiting);
        }
        count
    }

    /// Forgets what waits.
    pub fn forget_held(&mut self) {
        self.held.clear();
    }

    /// What waits, by stream's name and version.
    pub fn held(&self) -> Vec<Held<'_, B>> {
        let mut held = Vec::new();
        for (number, waiting) in &self.held {
            let stream = &self.streams[*number as usize];
            held.extend(waiting.iter().map(|(version, w)| Held {
                stream: &stream.name,
                last: stream.last,
                version: *version,
                batch: &w.batch,
                event: w.event,
                parts: w.parts,
            }));
        }
        held.sort_by(|a, b| (a.stream, a.version).cmp(&(b.stream, b.version)));
        held
    }

    #[inline]
    pub(super) fn find(&self, name: &str, hash: u64) -> Option<u32> {
        self.index.find(hash, |number| {
            let stream = &self.streams[number as usize];
            stream.hash == hash && stream.name == name
        })
    }

    /// The number of a record's stream; a new one that begins with `version` so far is known from now on.
    #[inline]
    fn number_of(&mut self, arrival: &Arrival, name: &str, version: i64) -> u32 {
        let (hash, mark) = (arrival.hash, arrival.mark);
        match self.find(name, hash) {
            Some(number) => number,
            None => self.insert(Stream { name: name.into(), hash, last: None, first: version, mark, sort_key: i64::MIN }),
        }
    }

    pub fn streams(&self) -> &[Stream] {
        &self.streams
    }

    fn insert(&mut self, stream: Stream) -> u32 {
        let number = self.streams.len() as u32;
        self.index.insert(stream.hash, number);
        self.streams.push(stream);
        number
    }

    /// Judges the records of a batch that belong to this partition, in log order; the further parts of one share its
    /// verdict. Releases are appended in the order in which they pass.
    pub fn sequence(&mut self, batch: &B, events: &Events, mine: Mine, verdicts: &Verdicts, releases: &mut Vec<Release<B>>) {
        for ahead in mine.arrivals.chunks(LOOK_AHEAD) {
            ahead.iter().for_each(|arrival| self.index.prefetch(arrival.hash));
            for arrival in ahead {
                if let Some(number) = self.index.probable(arrival.hash) {
                    prefetch(&self.streams, number as usize);
                }
            }
            for arrival in ahead {
                if let Some(version) = arrival.version {
                    self.judge(batch, events, (arrival, mine.stream(arrival), version), verdicts, releases);
                }
            }
        }
    }

    #[inline]
    fn judge(
        &mut self,
        batch: &B,
        events: &Events,
        (arrival, name, version): (&Arrival, &str, i64),
        verdicts: &Verdicts,
        releases: &mut Vec<Release<B>>,
    ) {
        let Arrival { event, parts, mark, is_bad, .. } = *arrival;
        let (at, parts) = (event as usize, parts as usize);
        let number = self.number_of(arrival, name, version);
        self.dirty = true;
        let lowest = self.lowest();
        let stream = &mut self.streams[number as usize];
        let begins = match self.first_version {
            Some(first) => version == first,
            None => version == 0 || version == 1,
        };
        let verdict = match stream.last {
            None if begins => {
                stream.first = version;
                Verdict::Pass
            }
            Some(last) if last.checked_add(1) == Some(version) => Verdict::Pass,
            Some(last) if version == last && stream.mark != mark && !is_bad => Verdict::Conflict,
            Some(last) if version < last && is_late(&self.passed, number, version) => Verdict::Late,
            Some(_) if version < stream.first => Verdict::Conflict,
            Some(last) if version <= last => Verdict::Duplicate,
            None if version < lowest => Verdict::Conflict,
            _ => {
                let waiting = self.held.entry(number).or_default();
                match waiting.entry(version) {
                    Entry::Occupied(place) if place.get().mark != mark && !is_bad => Verdict::Conflict,
                    Entry::Occupied(_) => Verdict::Duplicate,
                    Entry::Vacant(place) => {
                        place.insert(Waiting { batch: batch.clone(), event, parts: parts_waiting(arrival), mark });
                        Verdict::Held
                    }
                }
            }
        };
        if verdict != Verdict::Pass {
            verdicts.set(at, parts, verdict);
            return;
        }
        stream.last = Some(version);
        stream.mark = mark;
        if let Some(key) = events.sort_key(self.order, at) {
            if key < stream.sort_key {
                verdicts.set_behind(at, parts);
            }
            stream.sort_key = key.max(stream.sort_key);
            self.latest = self.latest.max(key);
        }
        if !self.held.is_empty() {
            self.release(number, event + parts as u32 - 1, releases);
        }
    }

    /// Lets pass what waited behind the stream's last version.
    fn release(&mut self, number: u32, after: u32, releases: &mut Vec<Release<B>>) {
        let Some(waiting) = self.held.get_mut(&number) else { return };
        let stream = &mut self.streams[number as usize];
        while let Some(next) = stream.last.and_then(|last| last.checked_add(1)) {
            let Some(Waiting { batch, event, parts, mark }) = waiting.remove(&next) else { break };
            stream.last = Some(next);
            stream.mark = mark;
            // of a bad record its first part tells that its version has passed
            releases.extend((event..event + parts.max(1)).map(|event| Release { after, batch: batch.clone(), event }));
        }
        // what waited under a version that has passed meanwhile cannot be: it would have been a duplicate
        if waiting.is_empty() {
            self.held.remove(&number);
        }
    }

    /// How many events wait; bad ones, which are counted as such, are none of them.
    pub fn pending(&self) -> u64 {
        self.held.values().flat_map(|waiting| waiting.values()).map(|waiting| waiting.parts as u64).sum()
    }

    /// The hole in front of each stream's waiting events.
    pub fn gaps(&self) -> Vec<Gap<B>> {
        let mut gaps: Vec<Gap<B>> = Vec::new();
        for (number, waiting) in &self.held {
            if let Some((version, Waiting { batch, event, .. })) = waiting.first_key_value() {
                let stream = &self.streams[*number as usize];
                let events = waiting.values().map(|waiting| waiting.parts as u64).sum();
                gaps.push(Gap {
                    stream: stream.name.to_string(),
                    last: stream.last,
                    found: *version,
                    waiting: events,
                    batch: batch.clone(),
                    event: *event,
                });
            }
        }
        gaps
    }
}

/// How many events of a record wait: a bad one is waited for, but nobody waits for it.
fn parts_waiting(arrival: &Arrival) -> u32 {
    if arrival.is_bad { 0 } else { arrival.parts }
}

/// Judges the events of a batch by their position (`dedupe = "position"`): what is not above `last` is a duplicate,
/// everything else moves it on, bad events too. An event without a position passes.
/// `repeated`: lines whose position is known to have passed already, ascending.
pub fn sequence_by_position(events: &Events, repeated: &[u32], verdicts: &Verdicts, last: &mut Option<i64>) {
    let is_repeated = |line: u32| !repeated.is_empty() && repeated.binary_search(&line).is_ok();
    let mut event = 0;
    while event < events.len() {
        let parts = events.parts(event);
        match events.position[event] {
            Some(_) if is_repeated(events.line[event]) => verdicts.set(event, parts, Verdict::Duplicate),
            Some(position) if last.is_some_and(|last| position <= last) => verdicts.set(event, parts, Verdict::Duplicate),
            Some(position) => *last = Some(position),
            None => {}
        }
        event += parts;
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::arrivals::Arrivals;
    use super::super::batch::Route;
    use super::*;

    fn arrivals(events: &Events) -> Arrivals {
        let mut arrivals = Arrivals::default();
        arrivals.fill(events, &vec![true; events.len()], &mut Vec::new(), &mut Vec::new());
        arrivals
    }

    fn events(versions: &[(&str, i64, u64)]) -> Events {
        let mut events = Events::default();
        for (stream, version, mark) in versions {
            events.line.push(0);
            events.route.push(Route::Filtered);
            events.stream.push(stream);
            events.stream_hash.push(stream.len() as u64);
            events.event_type.push("T");
            events.version.push(Some(*version));
            events.position.push(None);
            events.time.push(None);
            events.id.push("");
            events.mark.push(*mark);
        }
        events
    }

    pub fn judge(sequencer: &mut Sequencer<u8>, versions: &[(&str, i64, u64)]) -> (Vec<Verdict>, Vec<(u32, u32)>) {
        let events = events(versions);
        let verdicts = Verdicts::new(events.len());
        let mut releases = Vec::new();
        sequencer.sequence(&0, &events, arrivals(&events).all(), &verdicts, &mut releases);
        ((0..events.len()).map(|e| verdicts.get(e)).collect(), releases.iter().map(|r| (r.after, r.event)).collect())
    }

    #[test]
    fn an_early_event_passes_right_behind_the_one_it_waited_for() {
        let mut sequencer = Sequencer::new(None, Order::Log);
        let (verdicts, releases) = judge(&mut sequencer, &[("a", 1, 0), ("a", 3, 0), ("b", 0, 0), ("a", 2, 0), ("a", 4, 0)]);
        use Verdict::*;
        assert_eq!(verdicts, [Pass, Held, Pass, Pass, Pass]);
        assert_eq!(releases, [(3, 1)]);
        assert_eq!(sequencer.pending(), 0);
    }

    #[test]
    fn the_parts_of_one_record_share_its_verdict_and_wait_together() {
        let mut events = events(&[("a", 1, 0), ("a", 3, 0)]);
        events.push_follower("U", Route::Filtered);
        for version in [2, 2] {
            events.line.push(0);
            events.route.push(Route::Filtered);
            events.stream.push("a");
            events.stream_hash.push(1);
            events.event_type.push("T");
            events.version.push(Some(version));
            events.position.push(None);
            events.time.push(None);
            events.id.push("");
            events.mark.push(0);
            events.push_follower("U", Route::Filtered);
        }
        let verdicts = Verdicts::new(events.len());
        let mut releases = Vec::new();
        let mut sequencer = Sequencer::new(None, Order::Log);
        sequencer.sequence(&0u8, &events, arrivals(&events).all(), &verdicts, &mut releases);
        use Verdict::*;
        let found: Vec<_> = (0..events.len()).map(|e| verdicts.get(e)).collect();
        assert_eq!(found, [Pass, Held, Held, Pass, Pass, Duplicate, Duplicate]);
        // both parts pass, behind the last part of what they waited for
        assert_eq!(releases.iter().map(|r| (r.after, r.event)).collect::<Vec<_>>(), [(4, 1), (4, 2)]);
    }

    #[test]
    fn what_a_snapshot_kept_waiting_passes_behind_the_version_that_was_missing() {
        let mut before = Sequencer::new(None, Order::Log);
        judge(&mut before, &[("a", 1, 7), ("a", 4, 9), ("a", 3, 8), ("bb", 5, 6)]);
        let held: Vec<_> = before.held().iter().map(|h| (h.stream.to_string(), h.last, h.version, h.parts)).collect();
        assert_eq!(held, [("a".into(), Some(1), 3, 1), ("a".into(), Some(1), 4, 1), ("bb".into(), None, 5, 1)]);

        let mut after = Sequencer::new(None, Order::Log);
        after.restore(Stream { name: "a".into(), hash: 1, last: Some(1), first: 1, mark: 7, sort_key: 0 }, 0);
        let kept = events(&[("a", 3, 8), ("a", 4, 9), ("bb", 5, 6)]);
        assert_eq!(after.restore_held(&1, arrivals(&kept).all()), 3);
        let (verdicts, releases) = judge(&mut after, &[("a", 4, 9), ("a", 3, 1), ("bb", 5, 6), ("a", 2, 5), ("a", 4, 9)]);
        use Verdict::*;
        assert_eq!(verdicts, [Duplicate, Conflict, Duplicate, Pass, Duplicate]);
        assert_eq!(releases, [(3, 0), (3, 1)]);
        assert_eq!(after.pending(), 1);
        after.forget_held();
        assert_eq!(after.pending(), 0);
    }

    #[test]
    fn a_version_that_is_not_above_the_last_is_a_duplicate() {
        let mut sequencer = Sequencer::new(None, Order::Log);
        let (verdicts, _) = judge(&mut sequencer, &[("a", 0, 7), ("a", 0, 7), ("a", 1, 8), ("a", 0, 7), ("a", 1, 8)]);
        use Verdict::*;
        assert_eq!(verdicts, [Pass, Duplicate, Pass, Duplicate, Duplicate]);
    }

    #[test]
    fn the_last_version_again_with_other_content_is_a_conflict() {
        let mut sequencer = Sequencer::new(None, Order::Log);
        let (verdicts, _) = judge(&mut sequencer, &[("a", 1, 7), ("a", 1, 9), ("a", 0, 1)]);
        assert_eq!(verdicts, [Verdict::Pass, Verdict::Conflict, Verdict::Conflict]);
    }

    #[test]
    fn an_event_that_waited_is_known_again_when_it_is_delivered_once_more() {
        let mut sequencer = Sequencer::new(None, Order::Log);
        let (verdicts, _) = judge(&mut sequencer, &[("a", 1, 7), ("a", 3, 9), ("a", 3, 9), ("a", 2, 8), ("a", 3, 9), ("a", 3, 8)]);
        use Verdict::*;
        assert_eq!(verdicts, [Pass, Held, Duplicate, Pass, Duplicate, Conflict]);
    }

    #[test]
    fn an_event_with_the_version_of_one_that_waits_and_other_content_is_a_conflict() {
        let mut sequencer = Sequencer::new(None, Order::Log);
        let (verdicts, _) = judge(&mut sequencer, &[("a", 1, 7), ("a", 3, 9), ("a", 3, 1)]);
        assert_eq!(verdicts, [Verdict::Pass, Verdict::Held, Verdict::Conflict]);
    }

    #[test]
    fn by_position_what_is_not_above_the_last_is_a_duplicate_in_whatever_stream() {
        let mut batch = events(&[("a", 1, 0), ("a", 9, 0), ("b", 1, 0), ("b", 2, 0), ("c", 3, 0)]);
        batch.push_follower("U", Route::Filtered);
        batch.position = vec![Some(5), Some(7), None, Some(7), Some(-1), Some(-1)];
        let mut last = Some(4);
        let verdicts = Verdicts::new(batch.len());
        sequence_by_position(&batch, &[], &verdicts, &mut last);
        use Verdict::*;
        assert_eq!((0..batch.len()).map(|e| verdicts.get(e)).collect::<Vec<_>>(), [Pass, Pass, Pass, Duplicate, Duplicate, Duplicate]);
        assert_eq!(last, Some(7));
        let (verdicts, mut last) = (Verdicts::new(batch.len()), None);
        sequence_by_position(&events(&[]), &[], &verdicts, &mut last);
        assert_eq!(last, None);
    }

    #[test]
    fn what_still_waits_at_the_end_is_a_gap() {
        let mut sequencer = Sequencer::new(Some(1), Order::Log);
        let (verdicts, _) = judge(&mut sequencer, &[("a", 1, 0), ("a", 4, 0), ("a", 3, 0), ("bb", 2, 0)]);
        assert_eq!(verdicts, [Verdict::Pass, Verdict::Held, Verdict::Held, Verdict::Held]);
        let mut gaps: Vec<_> = sequencer.gaps().into_iter().map(|g| (g.stream, g.last, g.found)).collect();
        gaps.sort();
        assert_eq!(gaps, [("a".into(), Some(1), 3), ("bb".into(), None, 2)]);
        assert_eq!(sequencer.pending(), 3);
    }

    #[test]
    fn a_version_below_every_first_one_is_a_conflict_whenever_it_comes() {
        use Verdict::*;
        let (verdicts, _) = judge(&mut Sequencer::new(Some(1), Order::Log), &[("a", 0, 1), ("a", 1, 2), ("a", 0, 1)]);
        assert_eq!(verdicts, [Conflict, Pass, Conflict]);
        let (verdicts, _) = judge(&mut Sequencer::new(None, Order::Log), &[("a", -1, 1), ("a", 0, 2), ("a", -1, 1)]);
        assert_eq!(verdicts, [Conflict, Pass, Conflict]);
        let (verdicts, _) = judge(&mut Sequencer::new(Some(0), Order::Log), &[("a", 1, 1), ("a", 0, 2)]);
        assert_eq!(verdicts, [Held, Pass]);
    }
}
