//! Arbitrary bytes as a chunk of a log: records become events by an envelope of expressions, pass upcasters and contracts
//! of many types, are routed and folded; the books balance.
#![no_main]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, LazyLock};

use foldline::fold::{PARTITIONS, Partition, route};
use foldline::project::{Project, load_text};
use foldline::source::chunks::Chunk;
use foldline::source::sequence::{Sequencer, Verdict, Verdicts};
use foldline::source::{Batch, Decoder, Route};
use libfuzzer_sys::fuzz_target;

static PROJECTS: LazyLock<Vec<Project>> = LazyLock::new(|| {
    let text = include_str!("envelope.toml");
    let computed = text.replace("data     = \"d\"", "data     = \"coalesce(d, '{}')\"").replace("\"e.id\"", "\"nullif(e.id, '')\"");
    [text.to_string(), computed, text.replace("data     = \"d\"", "data     = \"*\"")]
        .iter()
        .map(|text| {
            load_text(text, Path::new("foldline.toml"), Path::new("/nowhere"), &BTreeMap::new(), &|_| None)
                .unwrap_or_else(|errors| panic!("{}", errors[0]))
        })
        .collect()
});

/// Every record is an event, empty or bad; every event has a route.
fn books(batch: &Batch) {
    let first_parts = batch.events.len() - batch.events.followers.len();
    let bad_before = batch.bad.iter().filter(|bad| !batch.events.line.contains(&bad.line)).count();
    assert_eq!(batch.records, batch.lines);
    assert_eq!(batch.records, batch.empty + (first_parts + bad_before) as u64);
    let bad_events = batch.events.route.iter().filter(|route| **route == Route::Bad).count();
    assert_eq!(batch.bad.len(), bad_before + bad_events);
    for event in 0..batch.events.len() {
        if let Route::Block { block, row } = batch.events.route[event] {
            let block = &batch.blocks[block as usize];
            assert!(block.data.iter().chain(&block.meta).all(|column| column.len() > row as usize));
        }
        assert!(!batch.events.stream.get(event).is_empty());
    }
}

fuzz_target!(|bytes: &[u8]| {
    let Some((choice, bytes)) = bytes.split_first() else { return };
    let project = &PROJECTS[*choice as usize % PROJECTS.len()];
    let decoder = Decoder::new(project, 0);
    let chunk = Chunk { ordinal: 0, segment: 0, starts_file: true, bytes: bytes.to_vec(), pending: 0, packed: bytes.len() as u64 };
    // an error is the project's: a rule for all types that does not fit a type of the log
    let Ok(batch) = decoder.decode(&chunk) else { return };
    books(&batch);
    let active = vec![true; project.aggregates.len()];
    let routed = Arc::new(route(batch, project, &active));
    let events = &routed.batch.events;
    let verdicts = Verdicts::new(events.len());
    let mut sequencers: Vec<Sequencer<Arc<foldline::fold::Routed>>> = (0..PARTITIONS).map(|_| Sequencer::new(None)).collect();
    let mut judged = 0;
    let mut releases = Vec::new();
    for (sequencer, mine) in sequencers.iter_mut().zip(&routed.by_stream) {
        judged += mine.len();
        sequencer.sequence(&routed, events, mine, &verdicts, &mut releases);
    }
    assert_eq!(judged + events.followers.len(), events.len());
    releases.sort_by_key(|release| release.after);
    for (index, aggregate) in project.aggregates.iter().enumerate() {
        for partition in 0..PARTITIONS {
            let concerned = routed.touches[index].as_ref().is_some_and(|touches| !touches.part(partition).touches.is_empty());
            if concerned {
                Partition::new(aggregate).fold(aggregate, index, partition, &routed, &verdicts, &releases);
            }
        }
    }
    let held: u64 = sequencers.iter().map(Sequencer::pending).sum();
    let waiting = (0..events.len()).filter(|event| verdicts.get(*event) == Verdict::Held).count() as u64;
    assert!(held <= waiting);
});
