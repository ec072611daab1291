//! Streams that stand still: what comes behind an event that is in quarantine is set aside, too, so that nothing
//! silently skips a step. Between sequencing and folding, in the lane that owns the stream.

use std::sync::Arc;

use compact_str::CompactString;
use hashbrown::HashMap;

use super::round::Sequenced;
use crate::fold::{Routed, Stop};
use crate::source::Route;
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
    mine: &[u32],
    releases: &mut Vec<Release<Arc<Routed>>>,
    out: &mut SetAside,
) {
    let routed = &batch.routed;
    let quiet = |release: &Release<Arc<Routed>>| release.batch.batch.events.route[release.event as usize] != Route::Bad;
    let conflict = |event: &u32| batch.verdicts.get(*event as usize) == Verdict::Conflict;
    if stopped.is_empty() && routed.batch.bad.is_empty() && releases.iter().all(quiet) && !mine.iter().any(conflict) {
        return;
    }
    let mut waiting = std::mem::take(releases).into_iter().peekable();
    let mut follower_of_stopped = false;
    let mut release = |stopped: &mut StoppedStreams, release: Release<Arc<Routed>>, out: &mut SetAside| {
        let event = release.event as usize;
        let events = &release.batch.batch.events;
        if !events.is_follower(event) {
            follower_of_stopped = stops(stopped, &release.batch, event, out);
        }
        if !follower_of_stopped {
            releases.push(release);
        }
    };
    for &event in mine {
        while let Some(next) = waiting.next_if(|r| r.after < event) {
            release(stopped, next, out);
        }
        let first = event as usize;
        match batch.verdicts.get(first) {
            Verdict::Pass => {
                if stops(stopped, routed, first, out) {
                    batch.verdicts.set(first, routed.batch.events.parts(first), Verdict::Quarantined);
                }
            }
            Verdict::Conflict => {
                stop(stopped, routed, first);
                out.records.push(Aside { batch: routed.clone(), event, why: Why::Conflict });
            }
            Verdict::Duplicate | Verdict::Held | Verdict::Quarantined => {}
        }
    }
    for next in waiting {
        release(stopped, next, out);
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
