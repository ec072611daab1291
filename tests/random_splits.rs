//! A log cut over runs in random ways, by any number of threads, gives the bytes of one rebuild.

mod common;

use common::Project;
use common::random::Random;
use common::sample::{self, Seen, seen};

/// The log in one file and one run, by one thread.
fn at_once(lines: &[String]) -> Seen {
    let project = sample::light_project();
    project.write("events/1.ndjson", lines.join("\n") + "\n");
    project.foldline(&["rebuild", "--threads", "1"]).exits(0);
    seen(&project)
}

/// One step of how a log comes: bytes that are appended to a file, or a new file.
#[derive(Clone)]
struct Step {
    file: String,
    bytes: Vec<u8>,
    /// A run follows.
    run: bool,
}

/// A log as it comes in files that grow, are cut anywhere, or are complete and compressed. The order of the lines is
/// the same in all of them.
fn steps(random: &mut Random, lines: &[String]) -> Vec<Step> {
    let mut steps = Vec::new();
    let mut number = 1;
    let mut rest = lines;
    let most = 1 + random.below(5);
    while !rest.is_empty() {
        let len = (1 + random.below(lines.len() / most + 1)).min(rest.len());
        let (piece, others) = rest.split_at(len);
        rest = others;
        let text = (piece.join("\n") + "\n").into_bytes();
        let run = !random.one_in(4);
        match random.below(4) {
            0 => {
                let file = format!("events/{}.ndjson.gz", number + 1);
                steps.push(Step { file, bytes: common::gzip(&text), run });
                number += 2;
            }
            1 => {
                let file = format!("events/{}.ndjson.zst", number + 1);
                steps.push(Step { file, bytes: zstd::encode_all(&text[..], 1).unwrap(), run });
                number += 2;
            }
            // the file that grows, in one go or torn in the middle of a line or of a character
            2 => steps.push(Step { file: format!("events/{number}.ndjson"), bytes: text, run }),
            _ => {
                let file = format!("events/{number}.ndjson");
                let cut = random.below(text.len());
                steps.push(Step { file: file.clone(), bytes: text[..cut].to_vec(), run });
                steps.push(Step { file, bytes: text[cut..].to_vec(), run: !random.one_in(4) });
            }
        }
    }
    steps
}

/// `FOLDLINE_SPLITS` says how many; `scripts/soak splits` makes it 5,000.
#[test]
fn random_splits_by_one_two_and_eight_threads_equal_one_rebuild() {
    let splits: u64 = std::env::var("FOLDLINE_SPLITS").ok().and_then(|n| n.parse().ok()).unwrap_or(12);
    let seed: u64 = std::env::var("FOLDLINE_SEED").ok().and_then(|n| n.parse().ok()).unwrap_or(17);
    let next = std::sync::atomic::AtomicU64::new(0);
    let runs = std::sync::atomic::AtomicU64::new(0);
    std::thread::scope(|threads| {
        for _ in 0..2 {
            threads.spawn(|| {
                loop {
                    let number = next.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
                    if number >= splits {
                        return;
                    }
                    let random = &mut Random(seed.wrapping_add(number.wrapping_mul(0x1234_5678_9abc_def1)));
                    // now and then one of several chunks
                    let events = if number % 10 == 9 { 6_000 } else { 30 + random.below(500) };
                    let lines = sample::log(random, events);
                    let lines: Vec<String> = lines.iter().flat_map(|line| line.split('\n')).map(str::to_string).collect();
                    let expected = at_once(&lines);
                    let steps = steps(random, &lines);
                    for threads in ["1", "2", "8"] {
                        let project = sample::light_project();
                        for (at, step) in steps.iter().enumerate() {
                            project.append(&step.file, &step.bytes);
                            if step.run || at + 1 == steps.len() {
                                run(&project, threads, at == 0);
                                runs.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
                            }
                        }
                        let found = seen(&project);
                        for (name, bytes) in &expected {
                            assert!(found.get(name) == Some(bytes), "{name} differs: split {number} of seed {seed}, {threads} threads");
                        }
                    }
                }
            });
        }
    });
    println!("{splits} splits, FOLDLINE_SEED={seed}: {} runs by 1, 2 and 8 threads", runs.into_inner());
}

#[track_caller]
fn run(project: &Project, threads: &str, first: bool) {
    let output = project.foldline(&["run", "--threads", threads]);
    // a first piece may hold no whole line
    let allowed = matches!(output.code, Some(0 | 3)) || first && output.code == Some(66);
    assert!(allowed, "{:?}\n{}", output.code, output.stderr);
}
