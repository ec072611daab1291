//! `foldline status`: what is published, how far the logs are consumed, what is stale.

use super::{Context, Done, quarantine, rollback};
use crate::printable::printable;
use crate::report::{counted, human_bytes};
use crate::run::decide::Decision;
use crate::run::intake::Intake;
use crate::run::waiting;
use crate::state::manifest::Partition;
use crate::state::store;

pub fn status(context: &Context) -> Done {
    let project = context.project()?;
    let kept = store::manifests(&project.root.join(".foldline")).map_err(|e| vec![e])?;
    let Some(last) = kept.first() else {
        if context.json {
            return context.print(&format!("{}\n", serde_json::json!({ "project": project.name, "generation": null })));
        }
        return context.print(&format!("{} has never run; `foldline run` makes the first generation\n", printable(&project.name)));
    };
    // a log that changed is the run's business to refuse; status says it
    let decision = Decision::new(&project, Some(last), false, false);
    let mut text = format!("{}: generation {} of {}\n", printable(&project.name), last.generation, last.created_at);
    if let Some(pinned) = rollback::pinned_text(last) {
        text.push_str(&format!("  {pinned}\n"));
    }
    let mut sources = Vec::new();
    for (index, definition) in project.sources.iter().enumerate() {
        let entry = last.source(&definition.name);
        let records: u64 = entry.iter().flat_map(|s| &s.files).map(|f| f.records).sum();
        let until = entry
            .and_then(|s| s.last_event_time)
            .map(|t| crate::sql::to_text(&crate::sql::Value::Timestamp(t), &crate::sql::Type::Timestamp));
        let until = until.flatten();
        let waiting = decision.as_ref().ok().map(|d| Intake::bytes(&d.intakes[index].fresh));
        text.push_str(&format!(
            "  source {}: {} of {} consumed",
            definition.name,
            counted(records, "record"),
            counted(entry.map_or(0, |s| s.files.len() as u64), "file")
        ));
        if let Some(until) = &until {
            text.push_str(&format!(", the last event of {until}"));
        }
        if let Some(bytes) = waiting.filter(|bytes| *bytes > 0) {
            text.push_str(&format!(", {} wait", human_bytes(bytes)));
        }
        text.push('\n');
        let in_quarantine = entry.map_or(0, |s| s.quarantine.entries);
        if in_quarantine > 0 {
            text.push_str(&format!("    {}\n", quarantine::in_quarantine(in_quarantine)));
        }
        let waits = entry.map_or(Ok(Vec::new()), |entry| waiting::read(&project.root.join(".foldline"), entry)).map_err(|e| vec![e])?;
        let mut pending = Vec::new();
        for hole in waiting::holes(&waits) {
            text.push_str(&format!(
                "    pending: {}, {} ({}:{})\n",
                printable(&hole.reason()),
                counted(hole.events, "event"),
                printable(&hole.origin.file),
                hole.origin.line
            ));
            pending.push(serde_json::json!({
                "stream": hole.stream, "last_version": hole.last, "found_version": hole.found, "events": hole.events,
                "file": &*hole.origin.file, "line": hole.origin.line,
            }));
        }
        let passed = entry.map_or(0, |entry| entry.passed.streams);
        if passed > 0 {
            let holes = entry.and_then(|entry| entry.passed.file.as_ref()).map_or(0, |file| file.rows);
            text.push_str(&format!("    passed: {} in {}\n", counted(holes, "hole"), counted(passed, "stream")));
        }
        sources.push(serde_json::json!({
            "name": definition.name, "passed_streams": passed, "records": records, "files": entry.map_or(0, |s| s.files.len()),
            "last_event_time": until, "waiting_bytes": waiting, "pending": pending, "in_quarantine": in_quarantine,
        }));
    }
    let mut aggregates = Vec::new();
    for (index, aggregate) in project.aggregates.iter().enumerate() {
        let rows: u64 = last.aggregate(&aggregate.name).iter().flat_map(|a| &a.partitions).map(Partition::rows).sum();
        let replay = decision.as_ref().is_ok_and(|d| d.aggregate_replay[index]);
        let note = if replay { ", changed since: the next run replays it" } else { "" };
        text.push_str(&format!("  aggregate {}: {}{note}\n", aggregate.name, counted(rows, "row")));
        aggregates.push(serde_json::json!({ "name": aggregate.name, "rows": rows, "changed": replay }));
    }
    let mut read_models = Vec::new();
    for model in project.read_models.iter().filter(|m| !m.targets.is_empty()) {
        let known = last.read_model(&model.name);
        let note = match known {
            None => "not published yet".to_string(),
            Some(known) => {
                let stale = match known.stale {
                    true if last.pinned.is_some() => ", stale: a rollback is pinned",
                    true => ", stale: its inputs changed since",
                    false => "",
                };
                let changed = if known.fingerprint != model.fingerprint { ", its definition changed since" } else { "" };
                format!("{}, published by generation {}{stale}{changed}", counted(known.rows, "row"), known.generation)
            }
        };
        text.push_str(&format!("  read model {}: {note}\n", model.name));
        read_models.push(serde_json::json!({
            "name": model.name, "rows": known.map(|k| k.rows), "generation": known.map(|k| k.generation),
            "stale": known.is_none_or(|k| k.stale || k.fingerprint != model.fingerprint),
        }));
    }
    text.push_str("  generations kept\n");
    text.push_str(&rollback::generations_text(&kept, "    "));
    let trouble = decision.as_ref().err().map(|e| e.message.clone());
    if context.json {
        let json = serde_json::json!({
            "project": project.name, "generation": last.generation, "created_at": last.created_at, "sources": sources,
            "aggregates": aggregates, "read_models": read_models, "pinned": last.pinned, "generations": rollback::generations_json(&kept), "trouble": trouble,
        });
        context.print(&format!("{json}\n"))?;
    } else {
        context.print(&text)?;
    }
    decision.map(|_| ()).map_err(|e| vec![e])
}
