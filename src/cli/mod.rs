//! The command line: one verb per file; nothing else knows clap.

mod as_of;
mod check;
mod context;
mod diff;
mod history;
mod inspect;
mod path;
mod plan;
mod presets;
mod quarantine;
mod rollback;
mod run;
mod status;
mod test;
mod verify;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};

use crate::error::{Error, Kind, Result};
use crate::model::compare::Sample;
use crate::report::ColorChoice;
use context::Context;

/// Rebuild read models from exported event logs.
#[derive(Parser)]
#[command(name = "foldline", version, propagate_version = true, arg_required_else_help = true, after_help = EXAMPLES)]
struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    verb: Verb,
}

const EXAMPLES: &str = "\
Examples:
  foldline check                     is the project sound? (touches no data)
  foldline run                       read what is new, publish what changed
  foldline rebuild -s order_summary  replay everything, publish one read model
  foldline run --json | jq .events   the report, for a machine

Exit codes:
  0 done   2 usage   3 done, with events set aside or waiting   10 history changed   13 test, verify or diff found a difference
  14 a check failed   65 bad data   66 no input   70 internal   74 I/O   75 locked by another run
  78 bad project file";

#[derive(Args)]
struct Global {
    /// The project file, or its folder
    #[arg(short, long, global = true, value_name = "FILE", default_value = "foldline.toml", env = "FOLDLINE_PROJECT")]
    project: PathBuf,
    /// Fills ${NAME} in the project file; may be given more than once
    #[arg(long = "var", global = true, value_name = "NAME=VALUE", value_parser = parse_variable)]
    variables: Vec<(String, String)>,
    /// Threads to work with [default: the machine's]
    #[arg(long, global = true, value_name = "N", env = "FOLDLINE_THREADS", value_parser = parse_threads)]
    threads: Option<u16>,
    /// Memory to work with, such as 4GB or 512MiB [default: half of the machine's]
    #[arg(long, global = true, value_name = "SIZE", env = "FOLDLINE_MEMORY", value_parser = parse_size)]
    memory: Option<u64>,
    /// The longest record that is read, such as 64MiB; a longer one is an error [default: 256MiB]
    #[arg(long, global = true, value_name = "SIZE", env = "FOLDLINE_MAX_RECORD_BYTES", value_parser = parse_record_size)]
    max_record_bytes: Option<u64>,
    /// Print the result as one JSON object on stdout
    #[arg(long, global = true, env = "FOLDLINE_JSON", value_parser = clap::builder::FalseyValueParser::new())]
    json: bool,
    /// Print nothing but errors
    #[arg(short, long, global = true, env = "FOLDLINE_QUIET", value_parser = clap::builder::FalseyValueParser::new())]
    quiet: bool,
    /// Say more: `plan` lists the files
    #[arg(short, long, global = true, env = "FOLDLINE_VERBOSE", value_parser = clap::builder::FalseyValueParser::new())]
    verbose: bool,
    /// When to use colors: auto, always, never
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto", env = "FOLDLINE_COLOR", value_parser = parse_color)]
    color: ColorChoice,
}

#[derive(Subcommand)]
enum Verb {
    /// Compile the project, touch no data
    Check,
    /// Run the [[test]] blocks of the project
    Test {
        /// Only tests whose name contains this
        name: Option<String>,
    },
    /// Say what a run would read, replay and write
    Plan(PlanArgs),
    /// Catch up from the last snapshot, publish
    Run(RunArgs),
    /// Replay from zero, publish
    Rebuild(RunArgs),
    /// Replay afresh, compare with snapshots and published targets
    Verify(VerifyArgs),
    /// Say which rows change under today's definitions, on the same log
    Diff(DiffArgs),
    /// Audit a log: what is in it, and what is wrong with it
    Inspect(inspect::InspectArgs),
    /// Tell what each event did to one row
    History(history::HistoryArgs),
    /// Generations, checkpoint, lag, what is stale
    Status,
    /// Publish an earlier generation again, until it is released
    Rollback(rollback::RollbackArgs),
    /// The systems whose exports are known, and how each is read
    Presets(presets::PresetsArgs),
    /// Records and events that were set aside
    Quarantine(quarantine::QuarantineArgs),
    /// Print where the current generation of a read model lies, links resolved
    Path {
        #[arg(required_unless_present = "all")]
        read_model: Option<String>,
        /// Every target of one generation
        #[arg(long, env = "FOLDLINE_ALL", value_parser = clap::builder::FalseyValueParser::new())]
        all: bool,
    },
    #[command(flatten)]
    Later(Later),
}

/// Verbs of the fixed command line that are not built yet: they say so.
#[derive(Subcommand)]
enum Later {
    #[command(hide = true)]
    Init(Rest),
    #[command(hide = true)]
    Schedule(Rest),
    #[command(hide = true)]
    Docs(Rest),
}

#[derive(Args)]
struct Rest {
    /// Taken, so that a command line of a later version is told apart from a misspelt one.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, hide = true)]
    _rest: Vec<String>,
}

#[derive(Args, Default)]
struct RunArgs {
    /// Publish only these read models: `-s a -s b`, or `-s a,b`
    #[arg(short, long, value_name = "NAME", env = "FOLDLINE_SELECT", value_delimiter = ',')]
    select: Vec<String>,
    /// Wait so long for another run to end, such as 30s or 5m
    #[arg(long, value_name = "DURATION", env = "FOLDLINE_WAIT", value_parser = parse_duration)]
    wait: Option<Duration>,
    /// Where consumed log files changed, were cut or are gone: replay their source as it is now
    #[arg(long, env = "FOLDLINE_ACCEPT_HISTORY_CHANGE", value_parser = clap::builder::FalseyValueParser::new())]
    accept_history_change: bool,
    /// The read models of the past, up to a time (UTC, as a cast to TIMESTAMP takes it) or a position (a plain
    /// number): into `--target-dir`, or shown
    #[arg(long, value_name = "TIME|POSITION", env = "FOLDLINE_AS_OF", allow_hyphen_values = true)]
    as_of: Option<String>,
    /// Publish plain files into this folder; nothing of the project is written
    #[arg(long, value_name = "DIR", env = "FOLDLINE_TARGET_DIR")]
    target_dir: Option<std::ffi::OsString>,
}

#[derive(Args)]
struct PlanArgs {
    /// Where consumed log files changed, were cut or are gone: say what a run that accepts it would replay
    #[arg(long, env = "FOLDLINE_ACCEPT_HISTORY_CHANGE", value_parser = clap::builder::FalseyValueParser::new())]
    accept_history_change: bool,
}

#[derive(Args)]
struct VerifyArgs {
    /// Compare only N of M rows, by their keys' hashes; the whole log is read all the same
    #[arg(long, value_name = "N/M", env = "FOLDLINE_SAMPLE", value_parser = parse_sample)]
    sample: Option<Sample>,
}

#[derive(Args)]
struct DiffArgs {
    /// Compare only these read models: `-s a -s b`, or `-s a,b`
    #[arg(short, long, value_name = "NAME", env = "FOLDLINE_SELECT", value_delimiter = ',')]
    select: Vec<String>,
}

/// Parses the arguments, runs the verb, prints what went wrong, and gives the exit code.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(e) => {
            // help and version are no errors; a reader who went away is none either
            let _ = e.print();
            return ExitCode::from(e.exit_code().clamp(0, 255) as u8);
        }
    };
    let context = Context::new(&cli.global);
    let result = match cli.verb {
        Verb::Check => check::check(&context),
        Verb::Test { name } => test::test(&context, name.as_deref()),
        Verb::Plan(args) => plan::plan(&context, args),
        Verb::Run(args) => run::run(&context, args, run::Mode::Run),
        Verb::Rebuild(args) => run::run(&context, args, run::Mode::Rebuild),
        Verb::Verify(args) => verify::verify(&context, args),
        Verb::Diff(args) => diff::diff(&context, args),
        Verb::Inspect(args) => inspect::inspect(&context, args),
        Verb::History(args) => history::tell(&context, args),
        Verb::Status => status::status(&context),
        Verb::Rollback(args) => rollback::rollback(&context, args),
        Verb::Presets(args) => presets::presets(&context, args),
        Verb::Quarantine(args) => quarantine::quarantine(&context, args),
        Verb::Path { read_model, all } => path::path(&context, read_model.as_deref(), all),
        Verb::Later(later) => Err(not_built(&later)),
    };
    match result {
        Ok(()) => ExitCode::from(context.exit_code.get()),
        Err(errors) => {
            let code = errors.first().map_or(Kind::Internal, |e| e.kind).exit_code();
            context.print_errors(&errors);
            ExitCode::from(code)
        }
    }
}

/// What verbs give: nothing, or every error that there is to say; the first one decides the exit code.
type Done = std::result::Result<(), Vec<Error>>;

fn not_built(later: &Later) -> Vec<Error> {
    let name = match later {
        Later::Init(_) => "init",
        Later::Schedule(_) => "schedule",
        Later::Docs(_) => "docs",
    };
    vec![Error::new(Kind::Usage, format!("`foldline {name}` is not built yet")).with_help("`foldline --help` lists what is")]
}

fn parse_variable(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("NAME=VALUE was expected")?;
    if name.is_empty() {
        return Err("NAME=VALUE was expected".into());
    }
    Ok((name.to_string(), value.to_string()))
}

fn parse_threads(text: &str) -> Result<u16, String> {
    text.parse().ok().filter(|n| (1..=1024).contains(n)).ok_or_else(|| "a number from 1 to 1024 was expected".into())
}

fn parse_color(text: &str) -> Result<ColorChoice, String> {
    text.parse()
}

fn parse_size(text: &str) -> Result<u64, String> {
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let number: f64 = number.parse().map_err(|_| "a size such as 4GB or 512MiB was expected")?;
    let factor = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "b" => 1.0,
        "k" | "kb" => 1e3,
        "m" | "mb" => 1e6,
        "g" | "gb" => 1e9,
        "t" | "tb" => 1e12,
        "kib" => 1024.0,
        "mib" => 1024f64.powi(2),
        "gib" => 1024f64.powi(3),
        "tib" => 1024f64.powi(4),
        other => return Err(format!("`{other}` is no unit of memory; KB, MB, GB, KiB, MiB and GiB are")),
    };
    let bytes = number * factor;
    if !(1e6..1e18).contains(&bytes) {
        return Err("at least 1MB is needed".into());
    }
    Ok(bytes as u64)
}

/// A record is held in memory, and counted in 32 bits.
fn parse_record_size(text: &str) -> Result<u64, String> {
    let bytes = parse_size(text)?;
    if bytes <= 1 << 30 { Ok(bytes) } else { Err("at most 1GiB is possible".into()) }
}

fn parse_sample(text: &str) -> Result<Sample, String> {
    let wrong = "N/M with 0 < N <= M was expected, such as 1/100";
    let (below, of) = text.split_once('/').ok_or(wrong)?;
    let (below, of) = (below.trim().parse().map_err(|_| wrong)?, of.trim().parse().map_err(|_| wrong)?);
    if below == 0 || below > of {
        return Err(wrong.into());
    }
    Ok(Sample { below, of })
}

fn parse_duration(text: &str) -> Result<Duration, String> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let number: u32 = number.parse().map_err(|_| "a duration such as 30s or 5m was expected")?;
    let seconds = match unit {
        "" | "s" => 1,
        "m" | "min" => 60,
        "h" => 3600,
        other => return Err(format!("`{other}` is no unit of time; s, m and h are")),
    };
    Ok(Duration::from_secs(number as u64 * seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        use clap::CommandFactory;
        Cli::command().debug_assert();
    }

    #[test]
    fn sizes_and_durations_are_read_as_people_write_them() {
        assert_eq!(parse_size("4GB"), Ok(4_000_000_000));
        assert_eq!(parse_size("1.5GiB"), Ok(1_610_612_736));
        assert!(parse_size("4 apples").is_err());
        assert!(parse_size("1").is_err());
        assert_eq!(parse_sample("1/100"), Ok(Sample { below: 1, of: 100 }));
        for wrong in ["0/5", "6/5", "1", "1/0", "-1/5", "a/b"] {
            assert!(parse_sample(wrong).is_err(), "{wrong}");
        }
        assert_eq!(parse_duration("5m"), Ok(Duration::from_secs(300)));
        assert!(parse_duration("5 moons").is_err());
    }
}
