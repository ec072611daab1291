//! `--as-of` and `--target-dir` of `run` and `rebuild`.

use std::path::Path;

use super::run::{show_bad, tell, working};
use super::{Context, Done};
use crate::error::{Error, Kind, Result};
use crate::project::{Project, ReadModel};
use crate::report::{Report, row_json, rows_table};
use crate::run::as_of::AsOf;
use crate::run::{Options, Stop, elsewhere};

/// Rows of each read model that a person is shown.
const SHOWN_ROWS_MAX: usize = 20;

/// Publishes into a folder.
pub fn publish(context: &Context, project: &Project, options: &Options, as_of: Option<AsOf>, dir: &Path) -> Done {
    let (report, result) = working(context, |stop| elsewhere::publish(project, options, stop, as_of, dir))?;
    tell(context, &report)?;
    result.map_err(|error| failed(context, &report, error))
}

/// The errors of a replay that failed, behind its bad records where these are why.
fn failed(context: &Context, report: &Report, error: Error) -> Vec<Error> {
    if error.kind == Kind::BadData {
        show_bad(context, report);
    }
    vec![error]
}

/// Shows the rows of an earlier time on stdout: the first ones as tables, or with `--json` all, an object a line.
pub fn show(context: &Context, project: &Project, options: &Options, as_of: AsOf) -> Done {
    let (json, color) = (context.json, context.stdout_color());
    let (report, result) = working(context, |stop| {
        let (report, shown) = elsewhere::show(project, options, stop, as_of);
        let models = elsewhere::selected(project, options);
        let printed = shown.and_then(|shown| match json {
            true => print_json(&shown, &models, stop),
            false => print_tables(&shown, &models, stop, color),
        });
        (report, printed)
    })?;
    result.map_err(|error| failed(context, &report, error))?;
    for warning in &report.warnings {
        context.say(&format!("warning: {warning}\n"));
    }
    context.exit_code.set(report.exit_code);
    Ok(())
}

fn print_tables(shown: &elsewhere::Shown, models: &[&ReadModel], stop: &Stop, color: bool) -> Result<()> {
    let mut out = super::context::Out::new();
    for (number, model) in models.iter().enumerate() {
        stop.check()?;
        let mut rows = Vec::new();
        shown.rows(model, Some(SHOWN_ROWS_MAX), |row| {
            rows.push(row.into_iter().map(|value| value.map(str::to_string)).collect());
            Ok(())
        })?;
        let table = rows_table(&model.name, shown.columns(model)?, &rows, shown.count(model)?, color);
        out.write(&format!("{}{table}", if number > 0 { "\n" } else { "" }))?;
    }
    out.flush()
}

fn print_json(shown: &elsewhere::Shown, models: &[&ReadModel], stop: &Stop) -> Result<()> {
    let mut out = super::context::Out::new();
    for model in models {
        let columns = shown.columns(model)?;
        shown.rows(model, None, |row| {
            stop.check()?;
            out.write(&(row_json(&model.name, columns, &row) + "\n"))
        })?;
    }
    out.flush()
}

/// What was written after `--as-of`.
pub fn parse(text: &str) -> std::result::Result<AsOf, Vec<Error>> {
    text.parse().map_err(|e| vec![Error::new(Kind::Usage, format!("`--as-of {text}`: {e}"))])
}
