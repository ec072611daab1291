//! `foldline path`: where the current generation of a read model lies.

use super::{Context, Done};
use crate::error::{Error, Kind};
use crate::state::store;

pub fn path(context: &Context, read_model: Option<&str>, all: bool) -> Done {
    let project = context.project()?;
    let last = store::newest(&project.root.join(".foldline")).map_err(|e| vec![e])?;
    let published = last.as_ref().map_or(&[][..], |m| &m.published);
    let wanted = |name: &str| all || read_model.is_some_and(|r| r.eq_ignore_ascii_case(name));
    let found: Vec<_> = published.iter().filter(|p| wanted(&p.read_model)).collect();
    if found.is_empty() {
        let error = match read_model {
            Some(name) if !project.read_models.iter().any(|m| m.name.eq_ignore_ascii_case(name)) => {
                Error::new(Kind::Usage, format!("there is no read model `{name}`"))
            }
            _ => Error::new(Kind::NoInput, "nothing is published yet").with_help("`foldline run` publishes"),
        };
        return Err(vec![error]);
    }
    if context.json {
        let entries: Vec<_> = found
            .iter()
            .map(|p| serde_json::json!({ "read_model": p.read_model, "kind": p.kind, "path": project.root.join(&p.generation_path) }))
            .collect();
        return context
            .print(&format!("{}\n", serde_json::json!({ "generation": last.as_ref().map(|m| m.generation), "targets": entries })));
    }
    let lines: String = found.iter().map(|p| format!("{}\n", project.root.join(&p.generation_path).display())).collect();
    context.print(&lines)
}
