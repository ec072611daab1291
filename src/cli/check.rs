//! `foldline check`: compile the project and bind its SQL; no data is touched.

use super::{Context, Done, quarantine};
use crate::error::Error;
use crate::model::{Limits, check_bind};
use crate::printable::printable;
use crate::report::counted;
use crate::state::store;

pub fn check(context: &Context) -> Done {
    let project = context.project()?;
    let folder = tempfile::tempdir().map_err(|e| vec![Error::io("create the folder", &std::env::temp_dir(), e)])?;
    let limits = Limits { threads: 1, memory_bytes: 1 << 30, temp_dir: folder.path().to_path_buf() };
    let errors = check_bind(&project, &limits).map_err(|e| vec![e])?;
    if !errors.is_empty() {
        return Err(errors);
    }
    context.warn(&project.warnings);
    let kept = store::newest(&project.root.join(".foldline")).map_err(|e| vec![e])?;
    let in_quarantine: u64 = kept.iter().flat_map(|m| &m.sources).map(|s| s.quarantine.entries).sum();
    if in_quarantine > 0 {
        context.say(&format!("{}\n", quarantine::in_quarantine(in_quarantine)));
    }
    let count = |n: usize, one: &str| counted(n as u64, one);
    if context.json {
        let json = serde_json::json!({
            "project": project.name,
            "sources": project.sources.len(),
            "aggregates": project.aggregates.len(),
            "read_models": project.read_models.len(),
            "tests": project.tests.len(),
            "warnings": project.warnings,
            "in_quarantine": in_quarantine,
        });
        return context.print(&format!("{json}\n"));
    }
    context.say(&format!(
        "{} is sound: {}, {}, {}, {}\n",
        printable(&project.name),
        count(project.sources.len(), "source"),
        count(project.aggregates.len(), "aggregate"),
        count(project.read_models.len(), "read model"),
        count(project.tests.len(), "test"),
    ));
    Ok(())
}
