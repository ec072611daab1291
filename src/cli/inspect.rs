//! `foldline inspect`: the audit of a log, of a project's source or of files that no project names.

use std::collections::BTreeMap;
use std::path::Path;

use clap::Args;

use super::run::{options, working};
use super::{Context, Done};
use crate::error::{Error, Kind};
use crate::project::{Project, load_text};
use crate::report::{audit, stderr_width};
use crate::run::inspect;

#[derive(Args)]
pub(super) struct InspectArgs {
    /// A source of the project, or files: 'events/*.ndjson' [default: all sources]
    #[arg(value_name = "SOURCE|GLOB", env = "FOLDLINE_INSPECT")]
    what: Option<String>,
}

pub fn inspect(context: &Context, args: InspectArgs) -> Done {
    let what = args.what.filter(|what| !what.is_empty());
    let (project, sources) = match &what {
        // a project that is not there is needed by nobody who names files
        Some(what) if looks_like_files(what) => (files(what)?, vec![0]),
        Some(name) => {
            let project = context.project().map_err(or_name_files)?;
            let source = project.sources.iter().position(|source| source.name.eq_ignore_ascii_case(name));
            let source = source.ok_or_else(|| unknown(&project, name))?;
            (project, vec![source])
        }
        None => {
            let project = context.project().map_err(or_name_files)?;
            let all = (0..project.sources.len()).collect();
            (project, all)
        }
    };
    let options = options(context);
    let mut bad = 0;
    for source in sources {
        let found = working(context, |stop| inspect::inspect(&project, source, &options, stop))?.map_err(|e| vec![e])?;
        bad += found.bad.total;
        if context.json {
            let json = serde_json::to_string(&found).map_err(|e| vec![Error::internal(format!("the audit cannot be written: {e}"))])?;
            context.print(&format!("{json}\n"))?;
        } else {
            context.print_exactly(&audit(&found, context.stdout_color(), stderr_width()))?;
        }
    }
    if bad > 0 {
        // it was looked at as a whole, and all is told: that is what an audit is for
        context.exit_code.set(Kind::BadData.exit_code());
    }
    Ok(())
}

/// Whether it is files that are named, and no source.
fn looks_like_files(what: &str) -> bool {
    what.contains(['*', '?', '[', '/', '.']) || Path::new(what).exists()
}

/// Where there is no project, files can be named.
fn or_name_files(errors: Vec<Error>) -> Vec<Error> {
    let help = |error: Error| match error.kind {
        Kind::NoInput => error.with_help("or name files: `foldline inspect 'events/*.ndjson'`"),
        _ => error,
    };
    errors.into_iter().map(help).collect()
}

/// A project of one source, with the envelope's defaults.
fn files(glob: &str) -> Result<Project, Vec<Error>> {
    let folder = std::env::current_dir().map_err(|e| vec![Error::io("find", Path::new("."), e)])?;
    let text = format!("[project]\nname = \"log\"\n[source.log]\nfiles = [{}]\n", toml_text(&glob.replace("${", "$${")));
    load_text(&text, &folder.join("foldline.toml"), &folder, &BTreeMap::new(), &|_| None)
}

fn toml_text(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

fn unknown(project: &Project, name: &str) -> Vec<Error> {
    let known: Vec<&str> = project.sources.iter().map(|source| source.name.as_str()).collect();
    let error = Error::new(Kind::Usage, format!("there is no source `{name}`, and no file of that name"));
    vec![error.with_help(format!("the project has {}", known.join(", ")))]
}
