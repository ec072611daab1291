//! `kill -9` at random moments: readers see the old generation or the new one, and the next run finishes the job
//! with the bytes of a run that nobody disturbed.

mod common;

use std::process::Stdio;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use common::random::Random;
use common::sample::{self, assert_clean, assert_old_or_new, seen};

const WORKERS: u64 = 2;

/// How the killed runs were met.
#[derive(Default)]
struct Counts {
    kills: AtomicU64,
    /// Nothing of the new generation was to be seen.
    old: AtomicU64,
    /// All of it was.
    new: AtomicU64,
    /// Some targets were swapped, others not yet.
    between: AtomicU64,
    /// A run ended before its kill.
    ended: AtomicU64,
}

/// `FOLDLINE_KILLS` says how many; `scripts/soak kills` makes it 2,000.
#[test]
fn a_run_that_is_killed_at_a_random_moment_leaves_one_generation_and_the_next_run_finishes_the_job() {
    let wanted: u64 = std::env::var("FOLDLINE_KILLS").ok().and_then(|n| n.parse().ok()).unwrap_or(300);
    let seed: u64 = std::env::var("FOLDLINE_SEED").ok().and_then(|n| n.parse().ok()).unwrap_or(9);
    let counts = Counts::default();
    std::thread::scope(|threads| {
        for worker in 0..WORKERS {
            let counts = &counts;
            threads.spawn(move || kill_runs(&mut Random(seed ^ worker << 32), wanted, counts));
        }
    });
    let [kills, old, new, between, ended] =
        [&counts.kills, &counts.old, &counts.new, &counts.between, &counts.ended].map(|count| count.load(Ordering::SeqCst));
    println!(
        "{kills} kills, FOLDLINE_SEED={seed}: {old} left the old generation, {new} the new one, {between} some targets of each; {ended} runs were faster"
    );
    assert!(old > 0 && new > 0, "kills came before and behind the commit");
}

fn kill_runs(random: &mut Random, wanted: u64, counts: &Counts) {
    let pieces = sample::pieces(&sample::log(random, 1_200), 6);
    let expected = sample::undisturbed(&pieces);
    let mut took = Duration::from_millis(100);
    while counts.kills.load(Ordering::SeqCst) < wanted {
        let project = sample::project();
        for (piece, two) in pieces.iter().zip(expected.windows(2)) {
            let [old, new] = two else { unreachable!() };
            project.append("events/1.ndjson", piece);
            loop {
                let threads = if random.one_in(2) { "1" } else { "4" };
                let begun = Instant::now();
                let command = &mut project.command(&["run", "--threads", threads]);
                let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
                // half of the kills come where a run commits and swaps, which is soon done
                let from = if random.one_in(2) { 0 } else { 700 };
                std::thread::sleep(took.mul_f64((from + random.below(1_150 - from)) as f64 / 1_000.0));
                child.kill().unwrap();
                let code = child.wait().unwrap().code();
                if let Some(code) = code {
                    assert!(code == 0 || code == 3, "{code}");
                    // follows the machine's mood, so that kills reach every stage
                    took = (took * 3 + begun.elapsed()) / 4;
                    counts.ended.fetch_add(1, Ordering::SeqCst);
                    break;
                }
                counts.kills.fetch_add(1, Ordering::SeqCst);
                let found = seen(&project);
                assert_old_or_new(&found, old, new, "behind a kill");
                let of = if found == *new {
                    &counts.new
                } else if found == *old {
                    &counts.old
                } else {
                    &counts.between
                };
                of.fetch_add(1, Ordering::SeqCst);
                // sometimes the run that is to finish the job is killed, too
                if !random.one_in(3) {
                    let begun = Instant::now();
                    sample::run(&project);
                    took = (took * 3 + begun.elapsed()) / 4;
                    break;
                }
            }
            assert!(seen(&project) == *new, "the next run gives the bytes of an undisturbed one");
            assert_clean(&project, "behind the next run");
        }
    }
}
