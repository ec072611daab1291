//! `foldline quarantine list|show|retry`: what could not be applied, and once more.

use std::time::Duration;

use super::run::{Mode, run};
use super::{Context, Done, RunArgs};
use crate::error::{Error, Kind};
use crate::report::{SHOWN_MAX, counted, quarantine_list, quarantine_records};
use crate::run::quarantined::{Quarantined, read, records};
use crate::state::manifest::Manifest;
use crate::state::store;

#[derive(clap::Args)]
pub struct QuarantineArgs {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(clap::Subcommand)]
enum Verb {
    /// What is set aside: where, why, and how much follows it
    List,
    /// A record as the log has it, with the reason and what follows it
    Show {
        /// A number of `list`, a stream, or FILE:LINE
        #[arg(value_name = "N|STREAM|FILE:LINE")]
        what: String,
    },
    /// Fold again, once the project file or the log is mended
    Retry(RetryArgs),
}

#[derive(clap::Args)]
struct RetryArgs {
    /// Only of this source; may be given more than once
    #[arg(long = "source", value_name = "NAME", env = "FOLDLINE_SOURCE", value_delimiter = ',')]
    sources: Vec<String>,
    /// Wait so long for another run to end, such as 30s or 5m
    #[arg(long, value_name = "DURATION", env = "FOLDLINE_WAIT", value_parser = super::parse_duration)]
    wait: Option<Duration>,
}

pub fn quarantine(context: &Context, args: QuarantineArgs) -> Done {
    match args.verb {
        Verb::List => list(context),
        Verb::Show { what } => show(context, &what),
        Verb::Retry(args) => retry(context, args),
    }
}

/// What `status`, `plan` and `check` say while something is set aside.
pub fn in_quarantine(entries: u64) -> String {
    format!("quarantine: {} set aside (`foldline quarantine list` shows them)", counted(entries, "record"))
}

/// What is in quarantine, in log order. Needs no project file that compiles, and no lock.
fn read_all(context: &Context) -> Result<(Option<Manifest>, Vec<Quarantined>, std::path::PathBuf), Vec<Error>> {
    let dir = context.root().map_err(|e| vec![e])?.join(".foldline");
    let last = store::newest(&dir).map_err(|e| vec![e])?;
    let all = last.as_ref().map_or(Ok(Vec::new()), |last| read(&dir, last)).map_err(|e| vec![e])?;
    Ok((last, all, dir))
}

fn list(context: &Context) -> Done {
    let (last, all, _) = read_all(context)?;
    if context.json {
        let entries: Vec<_> = all.iter().map(Quarantined::json).collect();
        let json = serde_json::json!({ "generation": last.map(|m| m.generation), "entries": all.len(), "quarantine": entries });
        return context.print(&format!("{json}\n"));
    }
    context.print(&quarantine_list(&all))
}

fn show(context: &Context, what: &str) -> Done {
    let (_, all, dir) = read_all(context)?;
    let number: Option<usize> = what.parse().ok();
    let found: Vec<&Quarantined> = all
        .iter()
        .filter(|q| match number {
            Some(number) => q.number == Some(number),
            None => q.entry.stream.as_deref() == Some(what) || format!("{}:{}", q.entry.origin.file, q.entry.origin.line) == what,
        })
        .collect();
    if found.is_empty() {
        let error = Error::new(Kind::Usage, format!("nothing in quarantine is called `{}`", crate::report::printable(what)));
        return Err(vec![error.with_help("`foldline quarantine list` shows numbers, streams and places")]);
    }
    let shown = if context.json { found.len() } else { found.len().min(SHOWN_MAX) };
    let texts = records(&dir, &found[..shown]).map_err(|e| vec![e])?;
    if context.json {
        let entries: Vec<_> = found.iter().zip(&texts).map(|(q, record)| q.json_with(record)).collect();
        return context.print(&format!("{}\n", serde_json::json!({ "quarantine": entries })));
    }
    context.print(&quarantine_records(&found, &texts, &all))
}

fn retry(context: &Context, args: RetryArgs) -> Done {
    let project = context.project()?;
    if let Some(name) = args.sources.iter().find(|name| !project.sources.iter().any(|s| s.name == **name)) {
        let known: Vec<&str> = project.sources.iter().map(|s| s.name.as_str()).collect();
        let error = Error::new(Kind::Usage, format!("there is no source `{name}`"));
        return Err(vec![error.with_help(format!("the project has {}", known.join(", ")))]);
    }
    let last = store::newest(&project.root.join(".foldline")).map_err(|e| vec![e])?;
    let wanted = |name: &str| args.sources.is_empty() || args.sources.iter().any(|source| source == name);
    let entries: u64 = last.iter().flat_map(|m| &m.sources).filter(|s| wanted(&s.name)).map(|s| s.quarantine.entries).sum();
    if entries == 0 {
        context.say("nothing is in quarantine\n");
        return match context.json {
            true => context.print(&format!("{}\n", serde_json::json!({ "in_quarantine": 0 }))),
            false => Ok(()),
        };
    }
    let has_some = |name: &str| last.iter().filter_map(|m| m.source(name)).any(|s| s.quarantine.entries > 0);
    let sources = project.sources.iter().map(|s| s.name.clone()).filter(|name| wanted(name) && has_some(name)).collect();
    run(context, RunArgs { wait: args.wait, ..RunArgs::default() }, Mode::Retry(sources))
}
