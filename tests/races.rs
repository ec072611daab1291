//! Many processes at once on one project: one works, the others wait or say so, and nobody breaks anything.

mod common;

use std::process::Stdio;

use common::Project;
use common::random::Random;
use common::sample::{self, assert_clean, assert_old_or_new, seen};

const PROCESSES: usize = 8;

/// Starts so many processes at once, each with its arguments, and gives their exit codes and what they said.
fn race(project: &Project, args: impl Fn(usize) -> Vec<&'static str>) -> Vec<(Option<i32>, String)> {
    let children: Vec<_> =
        (0..PROCESSES).map(|number| project.command(&args(number)).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()).collect();
    let outputs = children.into_iter().map(|child| child.wait_with_output().unwrap());
    outputs.map(|output| (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())).collect()
}

#[test]
fn eight_runs_at_once_fold_each_event_once() {
    let pieces = sample::pieces(&sample::log(&mut Random(21), 800), 4);
    let expected = sample::undisturbed(&pieces);
    let project = sample::project();
    for (number, piece) in pieces.iter().enumerate() {
        project.append("events/1.ndjson", piece);
        let outputs = race(&project, |_| vec!["run"]);
        let done = outputs.iter().filter(|(code, _)| matches!(code, Some(0 | 3))).count();
        for (code, stderr) in &outputs {
            assert!(matches!(code, Some(0 | 3 | 75)), "{code:?}\n{stderr}");
            assert!(*code != Some(75) || stderr.contains(".foldline/lock"), "what is held is named: {stderr}");
        }
        assert!(done > 0, "one of them works");
        assert!(seen(&project) == expected[number + 1]);
        assert_clean(&project, "behind the race");
    }
}

#[test]
fn eight_runs_that_wait_for_each_other_all_succeed_and_find_nothing_new() {
    let pieces = sample::pieces(&sample::log(&mut Random(22), 600), 1);
    let expected = sample::undisturbed(&pieces);
    let project = sample::project();
    project.append("events/1.ndjson", &pieces[0]);
    for (code, stderr) in race(&project, |_| vec!["run", "--wait", "5m"]) {
        assert_eq!(code, Some(0), "{stderr}");
    }
    assert!(seen(&project) == expected[1]);
    let generations = std::fs::read_dir(project.path(".foldline/manifests")).unwrap().count();
    assert_eq!(generations, 1, "seven of them found nothing new");
}

#[test]
fn those_who_only_look_are_never_in_the_way_and_never_stopped() {
    let pieces = sample::pieces(&sample::log(&mut Random(23), 800), 4);
    let expected = sample::undisturbed(&pieces);
    let project = sample::project();
    project.append("events/1.ndjson", &pieces[0]);
    sample::run(&project);
    for (number, piece) in pieces.iter().enumerate().skip(1) {
        project.append("events/1.ndjson", piece);
        let verbs = [["run", "-q"], ["status", "-q"], ["path", "accounts"], ["plan", "-q"]];
        let outputs = race(&project, |process| verbs[process % verbs.len()].to_vec());
        for (process, (code, stderr)) in outputs.iter().enumerate() {
            // of the two runs one may come while the other works; to look is always possible
            let allowed: &[i32] = if process % verbs.len() == 0 { &[0, 3, 75] } else { &[0, 3] };
            assert!(code.is_some_and(|code| allowed.contains(&code)), "{:?}: {code:?}\n{stderr}", verbs[process % verbs.len()]);
        }
        let found = seen(&project);
        assert_old_or_new(&found, &expected[number], &expected[number + 1], "behind the race");
        sample::run(&project);
        assert!(seen(&project) == expected[number + 1]);
    }
}
