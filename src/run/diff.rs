//! `diff`: what today's definitions make of the consumed log, against what is published.

use super::replay::replay;
use super::verify::{target_rows, unique_key};
use super::{Options, Stop};
use crate::error::{Error, Kind, Result};
use crate::files;
use crate::model::compare::compare;
use crate::project::{Project, ReadModel};
use crate::publish;
use crate::report::{Changes, ModelChange, ModelStatus};
use crate::state::manifest::Manifest;

/// Replays what the generation `last` consumed under today's definitions and compares the read models
/// `options.select` (empty: all) with their published rows. Nothing of the project is written.
pub fn diff(project: &Project, options: &Options, stop: &Stop, last: &Manifest) -> Result<Changes> {
    let wanted = |name: &str| options.select.is_empty() || options.select.iter().any(|s| s.eq_ignore_ascii_case(name));
    let selected: Vec<&ReadModel> = project.read_models.iter().filter(|m| !m.targets.is_empty() && wanted(&m.name)).collect();
    let fresh = replay(project, options, stop, last, &selected)?;
    let mut out = Changes {
        project: project.name.clone(),
        generation: last.generation,
        records: fresh.report.sources.iter().map(|s| s.records).sum(),
        bytes_read: fresh.report.bytes_total(),
        read_models: Vec::new(),
    };
    for model in selected {
        stop.check()?;
        let mut change = ModelChange { name: model.name.clone(), status: ModelStatus::New, rows: None, difference: None };
        let made = (0..model.targets.len()).find_map(|number| fresh.target(&model.name, number));
        change.rows = made.map(|p| p.rows);
        // target with target: Parquet and DuckDB hold some types each in its own way
        let targets = model.targets.iter().enumerate().filter_map(|(number, target)| {
            let old = last.published.iter().find(|p| p.read_model == model.name && publish::is_of_target(&project.root, target, p))?;
            Some((old, fresh.target(&model.name, number)?))
        });
        if let Some((old, new)) = targets.into_iter().next() {
            if files::stat(&project.root.join(&old.generation_path))?.is_none() {
                return Err(Error::new(Kind::NoInput, format!("the published rows of `{}` are gone", model.name))
                    .at(old.generation_path.clone())
                    .with_help("`foldline run` publishes them again"));
            }
            let (old, new) = (target_rows(&project.root, old), target_rows(fresh.store.root(), new));
            let difference = compare(&old, &new, &unique_key(model), None, &fresh.limits(options))?;
            change.status = if difference.is_none() { ModelStatus::Same } else { ModelStatus::Changed };
            change.difference = Some(difference);
        }
        out.read_models.push(change);
    }
    for known in
        last.read_models.iter().filter(|known| options.select.is_empty() && !project.read_models.iter().any(|m| m.name == known.name))
    {
        out.read_models.push(ModelChange { name: known.name.clone(), status: ModelStatus::Gone, rows: Some(known.rows), difference: None });
    }
    Ok(out)
}
