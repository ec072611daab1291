//! `foldline history`: each event of one row, and what it changed.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use clap::Args;

use super::context::Out;
use super::run::{options, working};
use super::verify::published;
use super::{Context, Done, as_of};
use crate::error::{Error, Kind, Result};
use crate::report::history::{HistoryEnd, HistoryEvent, history_end, history_event};
use crate::report::{bad_records, stdout_is_terminal};
use crate::run::Options;
use crate::run::history::{Question, history};

#[derive(Args)]
pub(super) struct HistoryArgs {
    aggregate: String,
    /// The row's key: a value per key column, or `name=value` for each
    #[arg(required = true, allow_negative_numbers = true)]
    key: Vec<String>,
    /// The row as it was at a time or a position
    #[arg(long, value_name = "TIME|POSITION", env = "FOLDLINE_AS_OF", allow_hyphen_values = true)]
    as_of: Option<String>,
    /// Only the last N events
    #[arg(long, value_name = "N", env = "FOLDLINE_LAST")]
    last: Option<usize>,
}

pub fn tell(context: &Context, args: HistoryArgs) -> Done {
    let as_of = args.as_of.filter(|text| !text.is_empty()).map(|text| as_of::parse(&text)).transpose()?;
    let project = context.project()?;
    let question = Question::new(&project, &args.aggregate, &args.key, as_of).map_err(|e| vec![e])?;
    let last = published(&project.root)?;
    // a progress bar would stand in the middle of the events
    let options = Options { quiet: context.quiet || stdout_is_terminal(), ..options(context) };
    let printer =
        Printer { json: context.json, color: context.stdout_color(), last: args.last, out: Mutex::new((Out::new(), VecDeque::new())) };
    let (bad, told) = working(context, |stop| {
        let (bad, told) = history(&project, &options, stop, &last, &question, &|event| printer.event(&event));
        // the events before a failure are told, too
        let printed = printer.end(told.as_ref().ok());
        (bad, printed.and(told))
    })?;
    match told {
        Ok(end) => {
            for note in &end.notes {
                context.say(&format!("note: {note}\n"));
            }
            Ok(())
        }
        Err(_) if printer.out.lock().unwrap_or_else(PoisonError::into_inner).0.is_gone() => Ok(()),
        Err(error) => {
            if bad.total > 0 && error.kind == Kind::BadData {
                context.say_painted(&bad_records(&bad, context.color()));
            }
            Err(vec![error])
        }
    }
}

/// Writes events as they come, or holds the last ones back until the end.
struct Printer {
    json: bool,
    color: bool,
    last: Option<usize>,
    out: Mutex<(Out, VecDeque<String>)>,
}

impl Printer {
    fn event(&self, event: &HistoryEvent) -> Result<()> {
        let text = match self.json {
            true => json_line("event", event)?,
            false => history_event(event, self.color) + "\n",
        };
        let mut out = self.out.lock().unwrap_or_else(PoisonError::into_inner);
        let (out, held) = &mut *out;
        let Some(last) = self.last else {
            out.write(&text)?;
            // nobody would read what the rest of the log says
            return if out.is_gone() { Err(Error::new(Kind::Io, "the reader of the history has gone away")) } else { Ok(()) };
        };
        held.push_back(text);
        if held.len() > last {
            held.pop_front();
        }
        Ok(())
    }

    fn end(&self, end: Option<&HistoryEnd>) -> Result<()> {
        let mut out = self.out.lock().unwrap_or_else(PoisonError::into_inner);
        let (out, held) = &mut *out;
        held.drain(..).try_for_each(|text| out.write(&text))?;
        if let Some(end) = end {
            out.write(&match self.json {
                true => json_line("end", end)?,
                false => history_end(end, self.color),
            })?;
        }
        out.flush()
    }
}

fn json_line(name: &str, value: &impl serde::Serialize) -> Result<String> {
    let json = serde_json::to_string(value).map_err(|e| Error::internal(format!("the history cannot be written: {e}")))?;
    Ok(format!("{{\"{name}\":{json}}}\n"))
}
