//! `quirks`: what is done to a record before its envelope is read, by name; presets are made of them.
//!
//! Each takes a record as JSON text and gives one, or says that it is none (a tombstone, a heartbeat). Those of files see the
//! records of a file one after the other, before they become the lines of the log, and may make several of one.

use super::diagnostics::{Diagnostic, nearest};
use super::sources::dotted;
use super::toml_walk::{Table, Text};

/// The member of an opened record that has what was around it.
pub const OUTER: &str = "_outer";

/// Something done to each record by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Quirk {
    /// `open a.b`: the object at this path, or in the string there, becomes the record; what was around it becomes its member
    /// [`OUTER`]. Where there is null, there is no event.
    Open(Vec<String>),
    /// One of [`RecordQuirk::ALL`].
    Record(RecordQuirk),
}

macro_rules! quirks {
    ($(#[$about:meta])* $kind:ident { $($(#[$doc:meta])* $variant:ident = $name:literal, $says:literal;)* }) => {
        $(#[$about])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum $kind {
            $($(#[$doc])* #[doc = $says] $variant,)*
        }

        impl $kind {
            /// In the order in which documents name them.
            pub const ALL: &[$kind] = &[$($kind::$variant),*];

            /// As the project file names it.
            pub fn name(self) -> &'static str {
                match self { $($kind::$variant => $name),* }
            }

            /// What it does, in a sentence.
            pub fn about(self) -> &'static str {
                match self { $($kind::$variant => $says),* }
            }

            fn named(name: &str) -> Option<$kind> {
                Self::ALL.iter().copied().find(|quirk| quirk.name() == name)
            }
        }
    };
}

quirks! {
    /// What is done to each record by itself.
    RecordQuirk {
        CloudEvents = "cloudevents", "takes `data` from `data_base64`, and makes an object of data that is none: `{\"data\": …}`";
        CopyText = "copy-text", "undoes the backslashes of PostgreSQL's COPY in text format, of a single column of JSON";
        Debezium = "debezium", "opens `{schema, payload}`, and writes decimals and times as numbers and texts by the schema";
        DynamoDb = "dynamodb", "takes the types off the attributes of a DynamoDB export, and says what its images tell";
        ExtendedJson = "extended-json", "writes the values that MongoDB's extended JSON wraps: `{\"$numberLong\": \"5\"}` becomes 5";
        KafkaConsole = "kafka-console", "makes an object of a line of kafka-console-consumer: its time, partition, offset, headers, key and value";
        KafkaMessage = "kafka-message", "makes an object of the flat list of headers (of two with one name the last one counts)";
        Maxwell = "maxwell", "makes of Maxwell's `data` and `old` the row `after` and the row `before` the change";
        MongoDb = "mongodb-change", "makes of a change stream's documents and descriptions the document `after` and `before` the change";
        Wal2json = "wal2json", "makes of the columns of wal2json's format version 2 the row `after` and the row `before` the change";
    }
}

quirks! {
    /// What is done to the records of a file in their order.
    FileQuirk {
        Canal = "canal", "makes of each row of a message of Canal a record with the row `after` and the row `before` the change";
        FileName = "file-name", "adds `_file`, the file's name, and `_line`, the record's number in it from 0 on";
        SqlServer = "sqlserver-cdc", "joins the row before an update of SQL Server's change tables with the row after it";
        TestDecoding = "test-decoding", "reads the text that PostgreSQL's test_decoding writes, as the quirk wal2json does its changes";
        Wal2jsonV1 = "wal2json-v1", "makes of each change of a transaction of wal2json's format version 1 a record";
    }
}

/// The quirks of a source.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Quirks {
    /// In the order of the file's records, before they are lines of the log.
    pub of_files: Vec<FileQuirk>,
    /// Then of each record by itself.
    pub of_records: Vec<Quirk>,
}

impl Quirks {
    pub(crate) fn read(source: &Table, found: &mut Vec<Diagnostic>) -> Quirks {
        let mut quirks = Quirks::default();
        for text in source.texts("quirks") {
            if let Some(quirk) = FileQuirk::named(&text.value) {
                if !quirks.of_records.is_empty() {
                    let message = format!("the quirk {:?} is one of files: it comes before those of records", text.value);
                    found.push(Diagnostic::new(message, &text.place).help("move it to the front of `quirks`"));
                }
                quirks.of_files.push(quirk);
            } else if let Some(quirk) = of_record(text, found) {
                quirks.of_records.push(quirk);
            }
        }
        quirks
    }

    /// As a fingerprint keeps them.
    pub(crate) fn written(&self) -> String {
        let files = self.of_files.iter().map(|quirk| quirk.name().to_string());
        let records = self.of_records.iter().map(|quirk| match quirk {
            Quirk::Open(path) => format!("open {path:?}"),
            Quirk::Record(quirk) => quirk.name().to_string(),
        });
        files.chain(records).collect::<Vec<_>>().join("; ")
    }
}

fn of_record(text: &Text, found: &mut Vec<Diagnostic>) -> Option<Quirk> {
    if let Some(path) = text.value.strip_prefix("open ") {
        return match dotted(path) {
            Some(path) => Some(Quirk::Open(path)),
            None => {
                found.push(
                    Diagnostic::new(format!("{path:?} is no path of a record"), &text.place).help("write it as `open payload.after`"),
                );
                None
            }
        };
    }
    if let Some(quirk) = RecordQuirk::named(&text.value) {
        return Some(Quirk::Record(quirk));
    }
    let names = RecordQuirk::ALL.iter().map(|quirk| quirk.name()).chain(FileQuirk::ALL.iter().map(|quirk| quirk.name()));
    let mut diagnostic = Diagnostic::new(format!("there is no quirk {:?}", text.value), &text.place);
    if let Some(near) = nearest(&text.value, names) {
        diagnostic = diagnostic.label(format!("did you mean {near:?}?"));
    }
    found.push(diagnostic.help("`foldline presets --quirks` lists them"));
    None
}
