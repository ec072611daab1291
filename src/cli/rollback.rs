//! `foldline rollback`: an earlier generation again, until it is released; and which ones are kept.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{Context, Done, RunArgs, run};
use crate::error::{Error, Kind};
use crate::publish::{self, Missing, RolledBack};
use crate::report::{counted, human_bytes, pinned};
use crate::state::manifest::{Manifest, Reason};
use crate::state::{Store, store};

#[derive(clap::Args)]
pub struct RollbackArgs {
    /// The generation to publish again [default: the one before the current one]
    #[arg(value_name = "GENERATION", conflicts_with_all = ["release", "list"])]
    generation: Option<u64>,
    /// End the rollback: catch up and publish the present state again
    #[arg(long, conflicts_with = "list", env = "FOLDLINE_RELEASE", value_parser = clap::builder::FalseyValueParser::new())]
    release: bool,
    /// Show the generations that are kept
    #[arg(long, env = "FOLDLINE_LIST", value_parser = clap::builder::FalseyValueParser::new())]
    list: bool,
    /// Wait so long for another run to end, such as 30s or 5m
    #[arg(long, value_name = "DURATION", env = "FOLDLINE_WAIT", value_parser = super::parse_duration)]
    wait: Option<Duration>,
}

pub fn rollback(context: &Context, args: RollbackArgs) -> Done {
    // not the project: a rollback has to work also where the project file is what broke
    let root = context.root().map_err(|e| vec![e])?;
    let dir = root.join(".foldline");
    if args.list {
        let kept = store::manifests(&dir).map_err(|e| vec![e])?;
        if context.json {
            return context.print(&format!("{}\n", serde_json::json!({ "generations": generations_json(&kept) })));
        }
        return context.print(&generations_text(&kept, ""));
    }
    if args.release {
        let newest = store::newest(&dir).map_err(|e| vec![e])?;
        if newest.is_none_or(|newest| newest.pinned.is_none()) {
            context.say("nothing is pinned: every run publishes\n");
            return match context.json {
                true => context.print(&format!("{}\n", serde_json::json!({ "pinned": null }))),
                false => Ok(()),
            };
        }
        return run::run(context, RunArgs { wait: args.wait, ..RunArgs::default() }, run::Mode::Release);
    }
    if !dir.exists() {
        return Err(vec![Error::new(Kind::NoInput, "nothing is published yet").with_help("`foldline run` publishes")]);
    }
    let store = Store::open(&root, args.wait).map_err(|e| vec![e])?;
    publish::recover(&store).map_err(|e| vec![e])?;
    let done = publish::rollback(&store, args.generation, &run::now()).map_err(|e| vec![e])?;
    report(context, &done)
}

fn report(context: &Context, done: &RolledBack) -> Done {
    let RolledBack { manifest, missing } = done;
    let Some(pin) = &manifest.pinned else { return Ok(()) };
    if context.json {
        let read_models: Vec<_> = manifest
            .read_models
            .iter()
            .map(|m| serde_json::json!({ "name": m.name, "generation": m.generation, "rows": m.rows, "stale": m.stale }))
            .collect();
        let json = serde_json::json!({
            "generation": manifest.generation, "pinned": pin, "read_models": read_models, "did_not_exist": missing,
        });
        return context.print(&format!("{json}\n"));
    }
    let mut text =
        format!("rolled back from generation {} to generation {}, published as generation {}\n", pin.from, pin.to, manifest.generation);
    for model in &manifest.read_models {
        if !missing.iter().any(|m| m.name == model.name) {
            text.push_str(&format!("  read model {}: {} of generation {}\n", model.name, counted(model.rows, "row"), model.generation));
        }
    }
    for Missing { name, stay, without } in missing {
        text.push_str(&format!("  read model {name}: did not exist in generation {}", pin.to));
        for (what, paths) in [("stays as it is in", stay), ("is missing from", without)] {
            if !paths.is_empty() {
                text.push_str(&format!("; it {what} {}", paths.join(", ")));
            }
        }
        text.push('\n');
    }
    text.push_str("runs go on folding and publish nothing until `foldline rollback --release`\n");
    context.say(&text);
    Ok(())
}

/// What a generation takes on disk, in bytes: its targets, and its snapshots and event tables. Generations
/// share files; each counts them.
fn sizes(manifest: &Manifest) -> (u64, u64) {
    let targets: BTreeMap<&str, u64> = manifest.published.iter().map(|p| (&*p.generation_path, p.bytes)).collect();
    let state: BTreeMap<&str, u64> = manifest.data_files().map(|f| (&*f.path, f.bytes)).collect();
    (targets.values().sum(), state.values().sum())
}

fn reason(manifest: &Manifest) -> &'static str {
    match manifest.reason {
        Reason::Run => "run",
        Reason::Rebuild => "rebuild",
        Reason::Rollback => "rollback",
    }
}

/// The kept generations, oldest first, a line each. `kept`: newest first.
pub fn generations_text(kept: &[Manifest], indent: &str) -> String {
    let width = kept.first().map_or(0, |newest| newest.generation.to_string().len());
    let line = |manifest: &Manifest| {
        let (targets, state) = sizes(manifest);
        let rows = manifest.read_models.iter().map(|m| m.rows).sum();
        let mut notes = String::new();
        if kept.first().is_some_and(|newest| newest.generation == manifest.generation) {
            notes.push_str(", current");
        }
        if let Some(pin) = &manifest.pinned {
            notes.push_str(&format!(", the targets of generation {}", pin.to));
        }
        format!(
            "{indent}{:>width$}  {}  {:<8}  {}, targets {}, state {}{notes}\n",
            manifest.generation,
            manifest.created_at,
            reason(manifest),
            counted(rows, "row"),
            human_bytes(targets),
            human_bytes(state),
        )
    };
    kept.iter().rev().map(line).collect()
}

/// The same as JSON.
pub fn generations_json(kept: &[Manifest]) -> Vec<serde_json::Value> {
    let entry = |manifest: &Manifest| {
        let (targets, state) = sizes(manifest);
        serde_json::json!({
            "generation": manifest.generation, "created_at": manifest.created_at, "reason": reason(manifest),
            "rows": manifest.read_models.iter().map(|m| m.rows).sum::<u64>(),
            "target_bytes": targets, "state_bytes": state, "pinned": manifest.pinned,
        })
    };
    kept.iter().rev().map(entry).collect()
}

/// What `status` and `path` say while a rollback holds.
pub fn pinned_text(newest: &Manifest) -> Option<String> {
    newest.pinned.as_ref().map(pinned)
}
