//! What is done to a record before its envelope is read: JSON text -> JSON text, or nothing. Which quirks there are, and what
//! each is for, says [`crate::project::quirks`].
//!
//! A quirk sees one record and nothing else, so that chunks are decoded by all threads and a record means the same wherever it is
//! read again: when a log is sorted, when an event waits, when quarantine is retried.

mod cloudevents;
mod copy_text;
pub(super) mod debezium;
mod dynamodb;
mod extended_json;
mod kafka;
mod maxwell;
mod mongodb;
pub(super) mod object;
pub mod of_files;
mod open;
mod wal2json;

use crate::printable::printable_start;
use crate::project::quirks::{Quirk, RecordQuirk};

/// What a quirk makes of a record.
pub(super) enum Made {
    /// It stays as it is.
    Same,
    /// It was written to the buffer.
    Other,
    /// It is none: a tombstone, a heartbeat, the beginning of a transaction.
    Nothing,
}

/// Memory for records between two quirks.
#[derive(Default)]
pub(super) struct Buffers {
    now: String,
    next: String,
}

/// What the quirks make of a record, in their order; `None`: it is no event. The error says what is wrong with it.
pub(super) fn apply<'b>(quirks: &[Quirk], record: &'b str, buffers: &'b mut Buffers) -> Result<Option<&'b str>, String> {
    let mut original = true;
    for quirk in quirks {
        buffers.next.clear();
        let text = if original { record } else { buffers.now.as_str() };
        match run(quirk, text, &mut buffers.next)? {
            Made::Same => {}
            Made::Other => {
                std::mem::swap(&mut buffers.now, &mut buffers.next);
                original = false;
            }
            Made::Nothing => return Ok(None),
        }
    }
    Ok(Some(if original { record } else { &buffers.now }))
}

fn run(quirk: &Quirk, record: &str, out: &mut String) -> Result<Made, String> {
    match quirk {
        Quirk::Open(path) => open::open(record, path, out),
        Quirk::Record(RecordQuirk::CloudEvents) => cloudevents::data(record, out),
        Quirk::Record(RecordQuirk::CopyText) => copy_text::undo(record, out),
        Quirk::Record(RecordQuirk::Debezium) => debezium::debezium(record, out),
        Quirk::Record(RecordQuirk::KafkaConsole) => kafka::console(record, out),
        Quirk::Record(RecordQuirk::KafkaMessage) => kafka::message(record, out),
        Quirk::Record(RecordQuirk::DynamoDb) => dynamodb::change(record, out),
        Quirk::Record(RecordQuirk::ExtendedJson) => extended_json::extended_json(record, out),
        Quirk::Record(RecordQuirk::Maxwell) => maxwell::change(record, out),
        Quirk::Record(RecordQuirk::MongoDb) => mongodb::change(record, out),
        Quirk::Record(RecordQuirk::Wal2json) => wal2json::wal2json(record, out),
    }
}

/// A value in a message.
fn short(json: &str) -> String {
    printable_start(json, 60)
}

/// Whether a JSON value is null.
fn is_null(json: &str) -> bool {
    json.trim_start().starts_with('n')
}

#[cfg(test)]
fn made(quirks: &[Quirk], record: &str) -> Result<Option<String>, String> {
    apply(quirks, record, &mut Buffers::default()).map(|made| made.map(str::to_string))
}
