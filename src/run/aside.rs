//! Streams that stand still: what comes behind an event that is in quarantine is set aside, too, so that nothing
//! silently skips a step. Between sequencing and folding, in the lane that owns the stream.

use std::sync::Arc;

use compact_str::CompactString;
use hashbrown::HashMap;

use super::round::Sequenced;
use crate::fold::{Routed, Stop};
use crate::source::Route;
use crate::source::arrivals::{Arrival, Mine};
use crate::source::sequence::{Release, Verdict};

/// The streams of one lane that stand still, with the version at which each does.
pub type StoppedStreams = HashMap<CompactString, Option<i64>>;

/// A record that is set aside for every aggregate and event table.
pub struct Aside {
    pub batch: Arc<Routed>,
    /// The first part of the record.
    pub event: u32,
    pub why: Why,
}

pub enum Why {
    /// The batch says what is wrong with it.
    Bad,
    Conflict,
    Follows(Stop),
}

/// What a lane set aside of a batch, and how many events that were.
#[derive(Default)]
pub struct SetAside {
    pub records: Vec<Aside>,
    pub quarantined: u64,
    /// Events that stood behind, but that nobody takes.
    pub filtered: u64,
}

/// Sets aside what may not pass: bad events and conflicts, which stop their stream, and what is taken of a stopped
/// stream. Events of the batch get a verdict, released ones leave `releases`. `mine`: the lane's records.
pub fn set_aside(
    stopped: &mut StoppedStreams,
    batch: &Sequenced,
    mine: Mine,
    releases: &mut Vec<Release<Arc<Routed>>>,
    out: &mut SetAside,
) {
    let routed = &batch.routed;
    let quiet = |release: &Release<Arc<Routed>>| release.batch.batch.events.route[release.event as usize] != Route::Bad;
    let conflict = |arrival: &Arrival| batch.verdicts.get(arrival.event as usize) == Verdict::Conflict;
    if stopped.is_empty() && routed.batch.bad.is_empty() && releases.iter().all(quiet) && !mine.arrivals.iter().any(conflict) {
        return;
    }
    let mut waiting = std::mem::take(releases).into_iter().peekable();
    let mut passing = Passing { stopped, releases, first_is_aside: false };
    for &Arrival { event, .. } in mine.arrivals {
        while let Some(next) = waiting.next_if(|r| r.after < event) {
            passing.release(next, out);
        }
        let first = event as usize;
        match batch.verdicts.get(first) {
            Verdict::Pass => {
                if stops(passing.stopped, routed, first, out) {
                    batch.verdicts.set(first, routed.batch.events.parts(first), Verdict::Quarantined);
                }
            }
            Verdict::Conflict => {
                stop(passing.stopped, routed, first);
                out.records.push(Aside { batch: routed.clone(), event, why: Why::Conflict });
            }
            Verdict::Duplicate | Verdict::Held | Verdict::Late | Verdict::Quarantined => {}
        }
    }
    waiting.for_each(|next| passing.release(next, out));
}

/// As [`set_aside`], of events that are released behind no batch.
pub fn set_aside_released(stopped: &mut StoppedStreams, releases: &mut Vec<Release<Arc<Routed>>>, out: &mut SetAside) {
    let waiting = std::mem::take(releases);
    let mut passing = Passing { stopped, releases, first_is_aside: false };
    waiting.into_iter().for_each(|next| passing.release(next, out));
}

struct Passing<'a> {
    stopped: &'a mut StoppedStreams,
    /// What is let through.
    releases: &'a mut Vec<Release<Arc<Routed>>>,
    /// The first part of the record at hand was set aside.
    first_is_aside: bool,
}

impl Passing<'_> {
    fn release(&mut self, release: Release<Arc<Routed>>, out: &mut SetAside) {
        let event = release.event as usize;
        if !release.batch.batch.events.is_follower(event) {
            self.first_is_aside = stops(self.stopped, &release.batch, event, out);
        }
        if !self.first_is_aside {
            self.releases.push(release);
        }
    }
}

/// Whether a record whose turn has come is set aside; then it is noted, and its events are counted.
fn stops(stopped: &mut StoppedStreams, routed: &Arc<Routed>, first: usize, out: &mut SetAside) -> bool {
    let events = &routed.batch.events;
    let event = first as u32;
    if events.route[first] == Route::Bad {
        stop(stopped, routed, first);
        out.records.push(Aside { batch: routed.clone(), event, why: Why::Bad });
        return true;
    }
    let stream = events.stream.get(first);
    let Some(version) = stopped.get(stream) else { return false };
    let parts = first..first + events.parts(first);
    let taken = parts.clone().filter(|part| routed.taken[*part]).count() as u64;
    if taken == 0 {
        return false;
    }
    out.quarantined += taken;
    out.filtered += parts.len() as u64 - taken;
    let at = Stop { stream: stream.into(), version: *version };
    out.records.push(Aside { batch: routed.clone(), event, why: Why::Follows(at) });
    true
}

fn stop(stopped: &mut StoppedStreams, routed: &Routed, event: usize) {
    let events = &routed.batch.events;
    stopped.entry(events.stream.get(event).into()).or_insert(events.version[event]);
}
