//! `foldline diff`: today's definitions against what is published, on the same log.

use super::run::{known_read_models, options, working};
use super::verify::published;
use super::{Context, DiffArgs, Done};
use crate::error::{Error, Kind};
use crate::report::{ModelStatus, changes};
use crate::run::Options;
use crate::run::diff;

pub fn diff(context: &Context, mut args: DiffArgs) -> Done {
    // an empty FOLDLINE_SELECT is none
    args.select.retain(|name| !name.is_empty());
    let project = context.project()?;
    known_read_models(&project, &args.select)?;
    let last = published(&project.root)?;
    let options = Options { select: args.select, ..options(context) };
    let found = working(context, |stop| diff::diff(&project, &options, stop, &last))?.map_err(|e| vec![e])?;
    if context.json {
        let json = serde_json::to_string_pretty(&found).map_err(|e| vec![Error::internal(format!("the result cannot be written: {e}"))])?;
        context.print(&format!("{json}\n"))?;
    } else if !context.quiet {
        context.print(&changes(&found))?;
    }
    if found.is_none() {
        return Ok(());
    }
    let changing = found.read_models.iter().filter(|m| m.status != ModelStatus::Same).count();
    let models = if changing == 1 { "1 read model changes".to_string() } else { format!("{changing} read models change") };
    Err(vec![Error::new(Kind::Difference, format!("{models} under today's definitions")).with_help("`foldline run` publishes the change")])
}
