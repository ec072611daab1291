//! `foldline plan`: what a run would read, replay and write.

use super::{Context, Done, PlanArgs, quarantine, rollback};
use crate::printable::printable;
use crate::project::{Dedupe, Order};
use crate::publish;
use crate::report::{counted, human_bytes, human_count, human_seconds};
use crate::run::decide::Decision;
use crate::run::intake::Intake;
use crate::run::known_ids;
use crate::run::lookups_changed;
use crate::state::manifest::{DataFile, Manifest};
use crate::state::store;

/// Bytes of a log that one thread reads and folds in a second, where no run has shown it.
const BYTES_PER_SECOND_GUESS: f64 = 150e6;

pub fn plan(context: &Context, args: PlanArgs) -> Done {
    let project = context.project()?;
    let kept = store::manifests(&project.root.join(".foldline")).map_err(|e| vec![e])?;
    let pinned = kept.first().and_then(rollback::pinned_text);
    if pinned.is_none() {
        publish::check_targets(&project.root, &kept, &publish::selection(&project.read_models, &[])).map_err(|e| vec![e])?;
    }
    let last = kept.into_iter().next();
    let decision = Decision::new(&project, last.as_ref(), false, args.accept_history_change).map_err(|e| vec![e])?;
    let rate = last_rate(&project.root, last.as_ref()).unwrap_or(BYTES_PER_SECOND_GUESS * context.threads as f64);
    let mut text = String::new();
    let mut sources = Vec::new();
    let mut total_bytes = 0;
    for (source, definition) in project.sources.iter().enumerate() {
        let scans = decision.scans(&project, source);
        let fresh = &decision.intakes[source].fresh;
        let (new_bytes, replayed) = (Intake::bytes(fresh), scans.replay.as_deref().map_or(0, Intake::bytes));
        let replayed = if decision.source_replay[source] { Intake::bytes(&decision.intakes[source].old) } else { replayed };
        let total_of_source = new_bytes + replayed;
        total_bytes += total_of_source;
        let events = events_per_byte(last.as_ref(), &definition.name).map(|per_byte| ((new_bytes + replayed) as f64 * per_byte) as u64);
        let about = events.map_or(String::new(), |n| format!(", about {}", counted(n, "event")));
        match fresh.len() {
            0 => text.push_str(&format!("source {}: nothing new", definition.name)),
            n => {
                text.push_str(&format!("source {}: read {} new in {}", definition.name, human_bytes(new_bytes), counted(n as u64, "file")))
            }
        }
        if replayed > 0 {
            text.push_str(&format!(", replay {}", human_bytes(replayed)));
        }
        text.push_str(if total_of_source > 0 { &about } else { "" });
        // which events come too late shows only when they are read
        let may_be_late = definition.order != Order::Log && !fresh.is_empty() && !decision.source_replay[source];
        if may_be_late {
            let by = definition.order.name();
            text.push_str(&format!(
                "\n  sorted by {by}: what comes before the last {by} that was folded replays the partitions that it touches"
            ));
        }
        text.push('\n');
        let intake = &decision.intakes[source];
        for change in &intake.changes {
            text.push_str(&format!(
                "  {}\n",
                printable(&format!("{}: {}", change.places.first().map_or("", String::as_str), change.message))
            ));
        }
        for moved in &intake.moves {
            text.push_str(&format!("  {}\n", printable(moved)));
        }
        for copy in &intake.copies {
            text.push_str(&format!("  {}\n", printable(&format!("{} is not read: it holds what {} holds", copy.path, copy.of))));
        }
        let ids = (definition.dedupe == Dedupe::Id).then(|| {
            let anew = if decision.source_replay[source] { total_of_source } else { new_bytes };
            let new_ids = events_per_byte(last.as_ref(), &definition.name).map_or(0, |per_byte| (anew as f64 * per_byte) as u64);
            let known = last.as_ref().and_then(|m| m.source(&definition.name)).map_or(&[][..], |entry| &entry.ids);
            Ids::new(known, total_of_source > 0, decision.source_replay[source], new_ids)
        });
        text.push_str(&ids.as_ref().map_or(String::new(), Ids::text));
        let in_quarantine = last.as_ref().and_then(|m| m.source(&definition.name)).map_or(0, |s| s.quarantine.entries);
        if in_quarantine > 0 {
            text.push_str(&format!("  {}\n", quarantine::in_quarantine(in_quarantine)));
        }
        if context.verbose {
            for part in fresh {
                text.push_str(&format!("  {} from byte {}\n", printable(&part.segment.file.name), part.segment.from));
            }
        }
        sources.push(serde_json::json!({
            "name": definition.name, "new_files": fresh.len(), "new_bytes": new_bytes, "replayed_bytes": replayed, "events": events,
            "changes": intake.changes.iter().map(|c| serde_json::json!({ "file": c.places.first(), "what": c.message })).collect::<Vec<_>>(),
            "moves": intake.moves, "copies": intake.copies, "in_quarantine": in_quarantine,
            "ids": ids.map(|ids| ids.json()), "may_replay_late": may_be_late,
        }));
    }
    let mut aggregates = Vec::new();
    for (index, aggregate) in project.aggregates.iter().enumerate() {
        let known = last.as_ref().and_then(|m| m.aggregate(&aggregate.name));
        let what = match (decision.aggregate_replay[index], known) {
            (true, None) => "replay from zero: it has no snapshot yet",
            (true, Some(_)) if aggregate.sources.iter().any(|s| !decision.intakes[*s].changes.is_empty()) => {
                "replay from zero: its log changed"
            }
            (true, Some(_)) => "replay from zero: its definition changed",
            (false, _) if decision.concerns(&project, index) => "go on from the snapshot",
            (false, _) => "nothing new",
        };
        text.push_str(&format!("aggregate {}: {what}\n", aggregate.name));
        aggregates.push(serde_json::json!({ "name": aggregate.name, "replay": decision.aggregate_replay[index], "what": what }));
    }
    for model in project.read_models.iter().filter(|m| !m.targets.is_empty()) {
        let known = last.as_ref().and_then(|m| m.read_model(&model.name));
        let lookups = last.as_ref().map_or(Ok(false), |last| lookups_changed(&project, model, last)).map_err(|e| vec![e])?;
        let what = match known {
            _ if pinned.is_some() => "not published: a rollback is pinned",
            None => "publish for the first time",
            Some(known) if known.fingerprint != model.fingerprint => "publish again: its definition changed",
            Some(_) if lookups => "publish again: a lookup table changed",
            Some(known) if known.stale => "publish: its inputs changed when it was not selected",
            Some(_) if decision.is_idle() => "unchanged",
            Some(_) => "publish again if its tables change",
        };
        text.push_str(&format!("read model {}: {what}\n", model.name));
    }
    if let Some(pinned) = &pinned {
        text.push_str(&format!("{pinned}\n"));
    }
    let seconds = total_bytes as f64 / rate;
    if total_bytes > 0 {
        text.push_str(&format!("about {} of reading and folding, and the read models' SQL\n", human_seconds(seconds)));
    }
    let memory = last_peak(&project.root, last.as_ref());
    if let Some(peak) = memory {
        text.push_str(&format!("the last run took {} of memory\n", human_bytes(peak)));
    }
    if context.json {
        let json = serde_json::json!({
            "sources": sources, "aggregates": aggregates, "pinned": last.as_ref().and_then(|m| m.pinned.as_ref()), "bytes": total_bytes, "seconds": seconds, "last_peak_memory_bytes": memory,
        });
        return context.print(&format!("{json}\n"));
    }
    context.print(&text)
}

/// What telling duplicates by id costs a source (`dedupe = "id"`).
struct Ids {
    /// In the snapshot.
    kept: u64,
    disk_bytes: u64,
    /// In memory in the run, about: those of the events to read may be known.
    held: u64,
}

impl Ids {
    /// `files`: of the last snapshot. `is_read`: the run reads something of the source; `from_zero`: all of it.
    fn new(files: &[DataFile], is_read: bool, from_zero: bool, new_ids: u64) -> Ids {
        let (kept, disk_bytes) = files.iter().fold((0, 0), |(ids, bytes), file| (ids + file.rows, bytes + file.bytes));
        let held = match (is_read, from_zero) {
            (false, _) => 0,
            (true, true) => new_ids,
            (true, false) => kept + new_ids,
        };
        Ids { kept, disk_bytes, held }
    }

    fn text(&self) -> String {
        let kept = format!("  ids: {} kept in {}", human_count(self.kept), human_bytes(self.disk_bytes));
        match self.held {
            0 => format!("{kept}\n"),
            held => {
                format!("{kept}; the run holds about {} in {} of memory\n", human_count(held), human_bytes(known_ids::memory_bytes(held)))
            }
        }
    }

    fn json(&self) -> serde_json::Value {
        let memory = known_ids::memory_bytes(self.held);
        serde_json::json!({ "kept": self.kept, "disk_bytes": self.disk_bytes, "held": self.held, "memory_bytes": memory })
    }
}

/// Records by byte of what was consumed of a source.
fn events_per_byte(last: Option<&Manifest>, source: &str) -> Option<f64> {
    let files = &last?.source(source)?.files;
    let (records, bytes) = files.iter().fold((0, 0), |(records, bytes), f| (records + f.records, bytes + f.size));
    (bytes > 0).then(|| records as f64 / bytes as f64)
}

fn last_report(root: &std::path::Path, last: Option<&Manifest>) -> Option<serde_json::Value> {
    let path = root.join(".foldline").join("runs").join(format!("{}.json", last?.generation));
    serde_json::from_str(&crate::files::read_to_string(&path).ok()?).ok()
}

fn last_rate(root: &std::path::Path, last: Option<&Manifest>) -> Option<f64> {
    let report = last_report(root, last)?;
    let seconds = report["stages"]["scan"].as_f64()? + report["stages"]["fold"].as_f64()?;
    let bytes: u64 = report["sources"].as_array()?.iter().filter_map(|s| s["bytes_read"].as_u64()).sum();
    (seconds > 0.05 && bytes > 0).then(|| bytes as f64 / seconds)
}

fn last_peak(root: &std::path::Path, last: Option<&Manifest>) -> Option<u64> {
    last_report(root, last)?["peak_memory_bytes"].as_u64()
}
