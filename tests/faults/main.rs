//! The file system refuses, falls short or the process dies at every single call that changes a file.
//!
//! A run's calls are counted first; then the run is made again and again, each time with another one of them going
//! wrong. Every time readers must see the old generation or the new one, the error must be one (no panic, no success
//! that is none), and the next run must finish with the bytes of an undisturbed one.
#![cfg(target_os = "linux")]

#[path = "../common/mod.rs"]
mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use common::random::Random;
use common::sample::{self, Seen, assert_clean, assert_old_or_new, seen};
use common::{Output, Project};

/// The library that is loaded before the C library.
fn interposer() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/faults/interposer.rs");
        let library = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("libinterposer-{}.so", std::process::id()));
        let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
        let mut command = Command::new(rustc);
        command.args(["--edition", "2024", "--crate-type", "cdylib", "-O", "-o"]).arg(&library).arg(source);
        assert!(command.status().unwrap().success(), "the interposer compiles");
        library
    })
}

/// A project with one generation, and new events for the next one.
struct Case {
    pieces: Vec<String>,
    expected: Vec<Seen>,
}

impl Case {
    fn new() -> Case {
        let pieces = sample::pieces(&sample::log(&mut Random(3), 300), 2);
        let expected = sample::undisturbed(&pieces);
        Case { pieces, expected }
    }

    fn project(&self) -> Project {
        let project = sample::project();
        project.append("events/1.ndjson", &self.pieces[0]);
        sample::run(&project);
        project.append("events/1.ndjson", &self.pieces[1]);
        project
    }

    fn disturbed(&self, project: &Project, fault: &str) -> Output {
        let mut command = project.command(&["run", "--threads", "1"]);
        command.env("LD_PRELOAD", interposer()).env("FOLDLINE_FAULT", fault);
        common::output(&mut command)
    }

    /// The names of the calls that an undisturbed second run makes.
    fn calls(&self) -> Vec<String> {
        let project = self.project();
        let mut command = project.command(&["run", "--threads", "1"]);
        let log = project.path("calls");
        command.env("LD_PRELOAD", interposer()).env("FOLDLINE_FAULT", "log:0").env("FOLDLINE_FAULT_LOG", &log);
        let output = common::output(&mut command);
        assert!(matches!(output.code, Some(0 | 3)), "{}", output.stderr);
        assert!(seen(&project) == self.expected[2]);
        fs::read_to_string(log).unwrap().lines().map(str::to_string).collect()
    }
}

/// Every n-th call in the usual run, every one in `scripts/soak faults`.
fn stride(usual: usize) -> usize {
    std::env::var("FOLDLINE_FAULT_STRIDE").ok().and_then(|n| n.parse().ok()).unwrap_or(usual)
}

/// Runs once for each of the calls that are to go wrong, on two threads. `judge` gets the number, what the run said and
/// whether it published.
fn each_call(kind: &str, stride: usize, judge: impl Fn(usize, &str, &Output, bool) + Sync) {
    let case = Case::new();
    let calls = case.calls();
    assert!(calls.len() > 60, "a run makes more than {} calls", calls.len());
    let next = AtomicUsize::new(0);
    let published = AtomicUsize::new(0);
    std::thread::scope(|threads| {
        for _ in 0..2 {
            threads.spawn(|| {
                loop {
                    let at = next.fetch_add(stride, Ordering::SeqCst);
                    let Some(name) = calls.get(at) else { return };
                    let project = case.project();
                    let output = case.disturbed(&project, &format!("{kind}:{}", at + 1));
                    let what = format!("{kind} at call {} of {}, {name}: {:?}\n{}", at + 1, calls.len(), output.code, output.stderr);
                    let found = seen(&project);
                    assert_old_or_new(&found, &case.expected[1], &case.expected[2], &what);
                    let new = found == case.expected[2];
                    published.fetch_add(new as usize, Ordering::SeqCst);
                    judge(at, name, &output, new);
                    sample::run(&project);
                    assert!(seen(&project) == case.expected[2], "the next run finishes the job: {what}");
                    assert_clean(&project, &what);
                    // what is committed is whole, also where no reader looks
                    let verified = project.foldline(&["verify", "-q"]);
                    assert_eq!(verified.code, Some(0), "{what}\n{}", verified.stderr);
                }
            });
        }
    });
    println!("{kind}: {} of {} calls, {} runs published", calls.len().div_ceil(stride), calls.len(), published.load(Ordering::SeqCst));
}

#[test]
fn a_process_that_dies_at_any_call_that_changes_a_file_leaves_one_generation() {
    each_call("kill", stride(8), |at, name, output, _| {
        assert_eq!(output.code, None, "the process dies at call {at}, {name}: {}", output.stderr);
    });
}

#[test]
fn a_call_that_fails_once_is_an_error_with_the_path_and_nothing_is_lost() {
    each_call("eio", stride(8), judge_error);
}

#[test]
fn a_device_that_is_full_from_any_call_on_is_an_error_and_nothing_is_lost() {
    each_call("enospc", stride(8), judge_error);
}

#[test]
fn writes_that_fall_short_are_gone_on_with() {
    each_call("short", stride(16), |at, name, output, published| {
        assert!(
            matches!(output.code, Some(0 | 3)) && published,
            "short writes from call {at}, {name}, on: {:?}\n{}",
            output.code,
            output.stderr
        );
    });
}

/// An error says so with exit code 74; a run that went on all the same has published.
fn judge_error(at: usize, name: &str, output: &Output, published: bool) {
    match output.code {
        Some(0 | 3) => assert!(published, "call {at}, {name}: success without a publication"),
        Some(74) => assert!(
            output.stderr.starts_with("error: ") && ["/", "fsync"].iter().any(|place| output.stderr.contains(place)),
            "{name}: {}",
            output.stderr
        ),
        other => panic!("call {at}, {name}: {other:?}\n{}", output.stderr),
    }
}
