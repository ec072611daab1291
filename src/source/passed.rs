//! Holes that streams have passed (`on_gap = "skip"`): which versions are late when they come after all.

use hashbrown::HashMap;

use super::sequence::{Release, Sequencer, Waiting, gap_reason};

/// Versions that lie behind each other, both ends included. A hole of ten million versions is one of these.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Range {
    pub from: i64,
    pub to: i64,
}

/// A hole that a stream passes, and the event behind it.
pub struct PassedHole<B> {
    pub stream: String,
    /// The last version before the hole; `None` where the stream's beginning is missing.
    pub last: Option<i64>,
    /// What is missing.
    pub range: Range,
    pub batch: B,
    pub event: u32,
}

impl<B> PassedHole<B> {
    /// The fact, for a report.
    pub fn reason(&self) -> String {
        gap_reason(&self.stream, self.last, self.range.to.saturating_add(1))
    }
}

/// A stream that goes on behind its holes.
pub struct PassedStream<B, P> {
    /// Where the first event that waited lies.
    pub place: P,
    /// Ascending.
    pub holes: Vec<PassedHole<B>>,
    /// What waited, in the order of its versions; behind no event of a batch.
    pub releases: Vec<Release<B>>,
}

impl<B: Clone> Sequencer<B> {
    /// Lets every stream pass its holes: what waits is released in the order of its versions, and what is still missing
    /// is late when it comes. The streams in the order in which the first event behind their first hole lies in the log;
    /// `place` tells that of an event.
    pub fn pass_holes<P: Ord>(&mut self, place: impl Fn(&B, u32) -> P) -> Vec<PassedStream<B, P>> {
        let lowest = self.lowest();
        let mut all = Vec::with_capacity(self.held.len());
        for (number, waiting) in self.held.drain() {
            let Some((_, first)) = waiting.first_key_value() else { continue };
            let mut passing = PassedStream { place: place(&first.batch, first.event), holes: Vec::new(), releases: Vec::new() };
            let stream = &mut self.streams[number as usize];
            for (version, Waiting { batch, event, parts, mark }) in waiting {
                let expected = stream.last.map_or(Some(lowest), |last| last.checked_add(1));
                if let Some(missing) = expected.filter(|expected| *expected < version) {
                    let range = Range { from: missing, to: version - 1 };
                    let hole = PassedHole { stream: stream.name.to_string(), last: stream.last, range, batch: batch.clone(), event };
                    passing.holes.push(hole);
                    self.passed.entry(number).or_default().push(range);
                    if stream.last.is_none() {
                        stream.first = missing;
                    }
                }
                stream.last = Some(version);
                stream.mark = mark;
                passing.releases.extend((event..event + parts.max(1)).map(|event| Release { after: 0, batch: batch.clone(), event }));
            }
            self.dirty = true;
            all.push(passing);
        }
        all.sort_by(|a, b| a.place.cmp(&b.place));
        all
    }

    /// The streams that have passed holes, and which versions, ascending; in no order of streams.
    pub fn passed(&self) -> impl Iterator<Item = (&str, &[Range])> {
        self.passed.iter().map(|(number, ranges)| (&*self.streams[*number as usize].name, ranges.as_slice()))
    }

    /// Takes up a passed hole of a stream that was restored; those of one stream in ascending order. False: there is no
    /// such stream.
    pub fn restore_passed(&mut self, name: &str, hash: u64, range: Range) -> bool {
        let found = self.find(name, hash);
        if let Some(number) = found {
            self.passed.entry(number).or_default().push(range);
        }
        found.is_some()
    }
}

/// Whether a stream has passed the place of a version before that came.
pub(super) fn is_late(passed: &HashMap<u32, Vec<Range>>, stream: u32, version: i64) -> bool {
    !passed.is_empty() && passed.get(&stream).is_some_and(|ranges| is_in(ranges, version))
}

/// `ranges`: ascending, none overlaps another.
fn is_in(ranges: &[Range], version: i64) -> bool {
    let next = ranges.partition_point(|range| range.to < version);
    ranges.get(next).is_some_and(|range| range.from <= version)
}

#[cfg(test)]
mod tests {
    use super::super::sequence::Verdict;
    use super::super::sequence::tests::judge;
    use super::*;

    #[test]
    fn versions_are_found_in_the_ranges_that_hold_them() {
        let ranges = [Range { from: 2, to: 2 }, Range { from: 5, to: 9 }];
        let found: Vec<i64> = (0..12).filter(|version| is_in(&ranges, *version)).collect();
        assert_eq!(found, [2, 5, 6, 7, 8, 9]);
        assert!(!is_in(&[], 0));
    }

    #[test]
    fn what_was_passed_is_late_and_a_hole_of_any_size_is_one_range() {
        use Verdict::*;
        let mut sequencer = Sequencer::new(None, crate::project::Order::Log);
        judge(&mut sequencer, &[("bb", 3, 0), ("a", 1, 0), ("a", 10_000_000, 4), ("a", 3, 3), ("a", 10_000_001, 5), ("bb", 2, 0)]);
        let passed = sequencer.pass_holes(|_, event| event);
        let releases: Vec<_> = passed.iter().flat_map(|stream| stream.releases.iter().map(|r| r.event)).collect();
        // by the first version that waited: 3 of `a` lies before 2 of `bb`
        assert_eq!(releases, [3, 2, 4, 5, 0]);
        let holes: Vec<_> = passed.iter().flat_map(|s| s.holes.iter().map(|h| (&*h.stream, h.last, h.range.from, h.range.to))).collect();
        assert_eq!(holes, [("a", Some(1), 2, 2), ("a", Some(3), 4, 9_999_999), ("bb", None, 0, 1)]);
        assert_eq!((sequencer.pending(), sequencer.pass_holes(|_, event| event).len()), (0, 0));
        let again = [("a", 2, 2), ("a", 3, 3), ("a", 500, 0), ("a", 2, 2), ("a", 10_000_001, 5), ("bb", 0, 0), ("bb", 1, 0), ("bb", -1, 0)];
        assert_eq!(judge(&mut sequencer, &again).0, [Late, Duplicate, Late, Late, Duplicate, Late, Late, Conflict]);
        // a version that follows goes on, and the next hole waits for the end of its run
        assert_eq!(judge(&mut sequencer, &[("bb", 4, 0), ("bb", 6, 0)]).0, [Pass, Held]);
    }
}
