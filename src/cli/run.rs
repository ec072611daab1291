//! `foldline run` and `foldline rebuild`.

use std::sync::Arc;

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use super::{Context, Done, RunArgs, as_of};
use crate::error::{Error, Kind};
use crate::project::Project;
use crate::report::{Outcome, Report, bad_records, stderr_width, summary};
use crate::run::{self, Options, Stop};

/// Which of the verbs that run the project.
#[derive(Clone, PartialEq)]
pub enum Mode {
    Run,
    Rebuild,
    /// `rollback --release`
    Release,
    /// `quarantine retry`, of these sources
    Retry(Vec<String>),
}

/// The wall clock, for reports and manifests: RFC 3339, UTC.
pub fn now() -> String {
    jiff::Timestamp::now().round(jiff::Unit::Second).unwrap_or_default().to_string()
}

pub fn run(context: &Context, mut args: RunArgs, mode: Mode) -> Done {
    // an empty FOLDLINE_SELECT is none
    args.select.retain(|name| !name.is_empty());
    // so are these
    let as_of = args.as_of.filter(|text| !text.is_empty()).map(|text| as_of::parse(&text)).transpose()?;
    let target_dir = args.target_dir.filter(|dir| !dir.is_empty()).map(std::path::PathBuf::from);
    let project = context.project()?;
    known_read_models(&project, &args.select)?;
    let options = Options {
        accept_history_change: args.accept_history_change,
        rebuild: mode == Mode::Rebuild,
        release: mode == Mode::Release,
        retry: if let Mode::Retry(sources) = mode { sources } else { Vec::new() },
        select: args.select,
        wait: args.wait,
        ..options(context)
    };
    match (&target_dir, as_of) {
        (Some(dir), as_of) => return as_of::publish(context, &project, &options, as_of, dir),
        (None, Some(as_of)) => return as_of::show(context, &project, &options, as_of),
        (None, None) => {}
    }
    let (report, result) = working(context, |stop| run::run(&project, &options, stop))?;
    tell(context, &report)?;
    result.map_err(|error| {
        show_bad(context, &report);
        vec![error]
    })
}

/// Says how a run ended: its report for machines, and its summary where it did not fail.
pub(super) fn tell(context: &Context, report: &Report) -> Done {
    if context.json {
        context.print(&(report.to_json() + "\n"))?;
    }
    if report.outcome != Outcome::Failed {
        context.say_painted(&summary(report, context.color(), stderr_width()));
        context.exit_code.set(report.exit_code);
    }
    Ok(())
}

/// Prints the bad records of a run that failed, also where nothing else is to be said.
pub(super) fn show_bad(context: &Context, report: &Report) {
    if report.bad.total > 0 {
        let _ = std::io::Write::write_all(&mut std::io::stderr(), bad_records(&report.bad, context.color()).as_bytes());
    }
}

/// Refuses names that are no read models.
pub(super) fn known_read_models(project: &Project, names: &[String]) -> Done {
    match names.iter().find(|name| !project.read_models.iter().any(|m| m.name.eq_ignore_ascii_case(name))) {
        None => Ok(()),
        Some(name) => {
            let known: Vec<&str> = project.read_models.iter().map(|m| m.name.as_str()).collect();
            let error = Error::new(Kind::Usage, format!("there is no read model `{name}`"));
            Err(vec![error.with_help(format!("the project has {}", known.join(", ")))])
        }
    }
}

/// What the options of every verb say.
pub(super) fn options(context: &Context) -> Options {
    Options {
        rebuild: false,
        select: Vec::new(),
        threads: context.threads,
        memory_bytes: context.memory_bytes,
        wait: None,
        quiet: context.quiet,
        now: now(),
        release: false,
        accept_history_change: false,
        record_bytes_max: context.record_bytes_max,
        retry: Vec::new(),
    }
}

/// Does work on as many threads as was asked for, stopped by signals.
pub(super) fn working<T: Send>(context: &Context, work: impl FnOnce(&Stop) -> T + Send) -> Result<T, Vec<Error>> {
    let stop = Arc::new(Stop::default());
    watch_signals(stop.clone()).map_err(|e| vec![e])?;
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(context.threads)
        .build()
        .map_err(|e| vec![Error::new(Kind::Io, format!("cannot start {} threads: {e}", context.threads))])?;
    Ok(pool.install(|| work(&stop)))
}

/// The first SIGINT or SIGTERM asks the run to stop; the second ends the process at once.
fn watch_signals(stop: Arc<Stop>) -> Result<(), Error> {
    let failed = |e: std::io::Error| Error::new(Kind::Io, format!("cannot watch for signals: {e}"));
    let mut signals = Signals::new([SIGINT, SIGTERM]).map_err(failed)?;
    std::thread::Builder::new()
        .name("signals".into())
        .spawn(move || {
            let mut asked = false;
            for signal in signals.forever() {
                if asked {
                    std::process::exit(128 + signal);
                }
                asked = true;
                stop.request(signal);
            }
        })
        .map_err(failed)?;
    Ok(())
}
