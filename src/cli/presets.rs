//! `foldline presets`: the systems whose exports are known, and how each is read.

use clap::{Args, Subcommand};

use super::{Context, Done};
use crate::error::{Error, Kind};
use crate::project::presets;
use crate::project::quirks::{FileQuirk, RecordQuirk};

#[derive(Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct PresetsArgs {
    #[command(subcommand)]
    verb: Option<Verb>,
    /// List the quirks that presets are made of
    #[arg(long)]
    quirks: bool,
}

#[derive(Subcommand)]
enum Verb {
    /// List the presets
    List,
    /// Print a preset as one would write it oneself, to copy into a project
    Show {
        name: String,
        /// The source's name in the project
        #[arg(long, value_name = "NAME", default_value = "log")]
        source: String,
    },
}

pub fn presets(context: &Context, args: PresetsArgs) -> Done {
    match args.verb {
        Some(Verb::Show { name, source }) => show(context, &name, &source),
        None if args.quirks => quirks(context),
        Some(Verb::List) | None => list(context),
    }
}

fn list(context: &Context) -> Done {
    let all = presets::list();
    if context.json {
        let json: Vec<_> = all.iter().map(|p| serde_json::json!({ "name": p.name, "system": p.system, "summary": p.summary })).collect();
        return context.print(&format!("{}\n", serde_json::Value::Array(json)));
    }
    let rows: Vec<[&str; 3]> = all.iter().map(|p| [p.name, p.system.as_str(), p.summary.as_str()]).collect();
    context.print(&columns(&rows))
}

fn quirks(context: &Context) -> Done {
    let of_files = FileQuirk::ALL.iter().map(|quirk| (quirk.name(), "file", quirk.about()));
    let open = ("open PATH", "record", "makes the object at PATH, or in the string there, the record; what was around it becomes `_outer`");
    let of_records = RecordQuirk::ALL.iter().map(|quirk| (quirk.name(), "record", quirk.about()));
    let all: Vec<(&str, &str, &str)> = of_files.chain([open]).chain(of_records).collect();
    if context.json {
        let json: Vec<_> = all.iter().map(|(name, of, about)| serde_json::json!({ "name": name, "of": of, "about": about })).collect();
        return context.print(&format!("{}\n", serde_json::Value::Array(json)));
    }
    let rows: Vec<[&str; 3]> = all.iter().map(|(name, of, about)| [*name, *of, *about]).collect();
    context.print(&columns(&rows))
}

fn show(context: &Context, name: &str, source: &str) -> Done {
    let text = presets::written(name, source).ok_or_else(|| {
        let error = Error::new(Kind::Usage, format!("there is no preset `{name}`"));
        vec![error.with_help(match presets::like(name) {
            Some(near) => format!("did you mean `{near}`?"),
            None => "`foldline presets` lists them".into(),
        })]
    })?;
    if context.json {
        return context.print(&format!("{}\n", serde_json::json!({ "name": name, "toml": text })));
    }
    context.print(&text)
}

/// Rows as a table, the last column as long as it is.
fn columns(rows: &[[&str; 3]]) -> String {
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let (first, second) = (width(0), width(1));
    rows.iter().map(|[a, b, c]| format!("{a:first$}  {b:second$}  {c}\n")).collect()
}
