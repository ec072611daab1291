//! `foldline verify`: a replay of the log against what is kept and published.

use super::run::{options, working};
use super::{Context, Done, VerifyArgs};
use crate::error::{Error, Kind};
use crate::report::verification;
use crate::run::verify;
use crate::state::manifest::Manifest;
use crate::state::store;

pub fn verify(context: &Context, args: VerifyArgs) -> Done {
    let project = context.project()?;
    let last = published(&project.root)?;
    let options = options(context);
    let found = working(context, |stop| verify::verify(&project, &options, stop, &last, args.sample))?.map_err(|e| vec![e])?;
    if context.json {
        let json = serde_json::to_string_pretty(&found).map_err(|e| vec![Error::internal(format!("the result cannot be written: {e}"))])?;
        context.print(&format!("{json}\n"))?;
    } else if !context.quiet || !found.agrees() {
        context.print(&verification(&found))?;
    }
    let differing = found.tables.iter().filter(|table| !table.agrees()).count();
    if differing == 0 {
        return Ok(());
    }
    let tables = if differing == 1 { "1 table differs".to_string() } else { format!("{differing} tables differ") };
    let what = format!("{tables} from what the log gives, in generation {}", found.generation);
    // rows that agree in files that do not: only the targets were meddled with
    let only_files = found.tables.iter().all(|table| table.difference.is_none());
    if only_files && found.tables.iter().all(|table| table.agrees() || table.target.is_some()) {
        return Err(vec![Error::new(Kind::Difference, what).with_help("`foldline run` publishes damaged targets again")]);
    }
    Err(vec![Error::new(Kind::Difference, what).with_help("`foldline rebuild` replays the log and publishes what it gives")])
}

/// The newest generation of a project; it is an error to have none.
pub(super) fn published(root: &std::path::Path) -> Result<Manifest, Vec<Error>> {
    let none = || vec![Error::new(Kind::NoInput, "nothing was published yet").with_help("`foldline run` makes the first generation")];
    store::newest(&root.join(".foldline")).map_err(|e| vec![e])?.ok_or_else(none)
}
