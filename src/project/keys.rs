//! Every key of the project file: the one list that the reader checks against and the JSON Schema is made from.

/// What a value must be.
#[derive(Debug, Clone, Copy)]
pub enum Shape {
    Text,
    /// A SQL expression, as a string.
    Expression,
    /// A column's definition: `DECIMAL(10,2) NOT NULL`.
    Column,
    Bool,
    Integer,
    OneOf(&'static [&'static str]),
    /// A list of strings.
    Texts,
    TextOrTexts,
    /// Any TOML value.
    Any,
    Table(&'static TableKeys),
    /// A table, or an array of tables.
    Tables(&'static TableKeys),
    /// A table whose keys the user names.
    Map(&'static Shape),
    List(&'static Shape),
}

#[derive(Debug)]
pub struct TableKeys {
    /// The name in the schema's `$defs`.
    pub id: &'static str,
    /// How messages name the table in general.
    pub title: &'static str,
    pub description: &'static str,
    pub keys: &'static [Key],
}

#[derive(Debug)]
pub struct Key {
    pub name: &'static str,
    pub shape: Shape,
    pub required: bool,
    pub description: &'static str,
}

const fn key(name: &'static str, shape: Shape, description: &'static str) -> Key {
    Key { name, shape, required: false, description }
}

const fn required(name: &'static str, shape: Shape, description: &'static str) -> Key {
    Key { name, shape, required: true, description }
}

impl TableKeys {
    pub fn get(&self, name: &str) -> Option<&'static Key> {
        self.keys.iter().find(|key| key.name == name)
    }
}

/// Every table whose keys are fixed.
pub static TABLES: &[&TableKeys] = &[
    &ROOT,
    &PROJECT,
    &SOURCE,
    &CSV,
    &ENVELOPE,
    &VALUES,
    &UPCAST,
    &UPCAST_INTO,
    &AGGREGATE,
    &RULE,
    &READ_MODEL,
    &CHECK,
    &TARGET,
    &TABLE,
    &TEST,
    &GIVEN,
    &SCHEDULE,
];

pub static ROOT: TableKeys = TableKeys {
    id: "root",
    title: "the project file",
    description: "A foldline project: sources, event contracts, aggregates, read models, tests and schedules.",
    keys: &[
        key("project", Shape::Table(&PROJECT), "The project itself."),
        key("source", Shape::Map(&Shape::Table(&SOURCE)), "Logs, by name: the files of one export each."),
        key(
            "event",
            Shape::Map(&Shape::Map(&Shape::Column)),
            "Payload contracts by event type: each field and its type, `INTEGER NOT NULL` or `VARCHAR DEFAULT 'EUR'`. A type with `*` (`order.*`) adds its fields to every type that matches. `BIGINT KEY` marks the primary key of a table that `replica_of` copies.",
        ),
        key("upcast", Shape::Tables(&UPCAST), "Rules that turn events of an old schema into today's, in the file's order."),
        key(
            "aggregate",
            Shape::Map(&Shape::Table(&AGGREGATE)),
            "Folds of events that share a key, by name: one row of typed state per key.",
        ),
        key(
            "read_model",
            Shape::Map(&Shape::Table(&READ_MODEL)),
            "Denormalized tables, by name: one SQL SELECT each over aggregates and event tables.",
        ),
        key("table", Shape::Map(&Shape::Table(&TABLE)), "Small lookup tables beside the log, by name, for read models."),
        key("test", Shape::Tables(&TEST), "What `foldline test` runs: given events, then rows."),
        key("schedule", Shape::Map(&Shape::Table(&SCHEDULE)), "When `foldline schedule` runs the project, by name."),
    ],
};

pub static PROJECT: TableKeys = TableKeys {
    id: "project",
    title: "[project]",
    description: "The project itself.",
    keys: &[
        key("name", Shape::Text, "The project's name, shown in reports; default: the name of its folder."),
        key(
            "keep",
            Shape::Integer,
            "How many generations stay whole, with their snapshots, event tables and target files, so that `foldline rollback` can publish them again: at least 2, default 3. Older ones are removed ten minutes after their commit.",
        ),
    ],
};

pub static SOURCE: TableKeys = TableKeys {
    id: "source",
    title: "[source.<name>]",
    description: "A log: the files of one export, with their format and envelope.",
    keys: &[
        required("files", Shape::TextOrTexts, "Globs of the log's files, relative to the project file."),
        key(
            "format",
            Shape::OneOf(&["ndjson", "json", "csv", "tsv", "postgres-copy", "parquet", "avro"]),
            "The container; default: by a file's first bytes (Parquet, Avro), else by its extension inside of a compression's (.json, .csv, .tsv), else NDJSON. Compression (gzip, zstd, lz4, snappy, bzip2) is told by a file's first bytes.",
        ),
        key("csv", Shape::Table(&CSV), "How rows of text are written, where that is not what the format says."),
        key(
            "records",
            Shape::Text,
            "In JSON: where each document has its records, a list, as a dotted path: `entries` for a feed, `Records` for what AWS hands on.",
        ),
        key(
            "preset",
            Shape::TextOrTexts,
            "The envelope and the quirks of a known exporter, for example \"debezium\"; keys beside it override the preset's. Several nest: a record of the first holds one of the next (`[\"kcat\", \"debezium\"]`). `foldline presets` lists them.",
        ),
        key(
            "quirks",
            Shape::Texts,
            "What is done to each record before its envelope is read, in this order; presets are made of it. `foldline presets --quirks` lists them.",
        ),
        key(
            "order",
            Shape::OneOf(&["log", "position", "time", "version"]),
            "The order of events: as the files stand in natural name order (log, the default), or by a part of the envelope.",
        ),
        key(
            "on_bad_record",
            Shape::OneOf(&["fail", "quarantine", "skip"]),
            "What a record that cannot be read as an event does: stop the run (fail, the default), go to quarantine, or be skipped and counted.",
        ),
        key(
            "on_gap",
            Shape::OneOf(&["fail", "wait", "skip"]),
            "What a hole in a stream's versions does: stop the run (fail, the default), hold the stream until it is filled (wait), or be reported and passed (skip).",
        ),
        key(
            "dedupe",
            Shape::OneOf(&["version", "position", "id", "none"]),
            "How duplicates are told: by the stream's version (the default), the log's position, the event's id, or not at all.",
        ),
        key("first_version", Shape::Integer, "The version that a stream begins with, 0 or 1; default: either."),
        key(
            "where",
            Shape::Expression,
            "Records for which this is not true are filtered and counted; names are the record's fields, as in the envelope.",
        ),
        key(
            "on_vanished",
            Shape::OneOf(&["fail", "keep"]),
            "What a consumed file that is gone does: stop the run (fail, the default), or let it go on from the snapshot (keep).",
        ),
        key("envelope", Shape::Table(&ENVELOPE), "Where a record holds the parts of an event."),
        key("values", Shape::Table(&VALUES), "How the values of declared columns are written, where records do not say so themselves."),
    ],
};

pub static CSV: TableKeys = TableKeys {
    id: "csv",
    title: "[source.<name>.csv]",
    description: "How rows of text are written.",
    keys: &[
        key("header", Shape::Bool, "The first row has the columns' names; default: true, for postgres-copy false."),
        key("columns", Shape::Texts, "The columns' names, in place of the header's."),
        key("delimiter", Shape::Text, "The character between fields; default: a comma, for tsv and postgres-copy a tab."),
        key("quote", Shape::Text, "The character around fields, doubled where it stands inside of one; default: \"."),
        key("null", Shape::Text, "The text, without quotes, that stands for NULL; default: nothing, and \\N."),
    ],
};

pub static ENVELOPE: TableKeys = TableKeys {
    id: "envelope",
    title: "[source.<name>.envelope]",
    description: "Where a record holds the parts of an event: SQL expressions in which bare, dotted names are fields of the record, as text.",
    keys: &[
        key("stream", Shape::Expression, "The stream's name; default: stream_id."),
        key("type", Shape::Expression, "The event's type; default: type."),
        key("version", Shape::Expression, "The event's number in its stream; default: version. NULL: the source has none."),
        key("position", Shape::Expression, "The event's number in the whole log; default: position."),
        key("time", Shape::Expression, "When the event happened; default: time."),
        key("id", Shape::Expression, "The event's identity; default: id."),
        key("data", Shape::Expression, "The payload: an object or a string that holds JSON; `*` means the whole record; default: data."),
        key("metadata", Shape::Expression, "The metadata, seen as `meta.`: an object or a string that holds JSON; default: metadata."),
    ],
};

pub static VALUES: TableKeys = TableKeys {
    id: "values",
    title: "[source.<name>.values]",
    description: "How a source writes values that JSON has no form for, as Debezium does without a schema.",
    keys: &[
        key(
            "decimals",
            Shape::OneOf(&["text", "base64"]),
            "Texts of DECIMAL columns: digits (text, the default), or base64 of a big-endian two's complement with the column's scale.",
        ),
        key("dates", Shape::OneOf(&["text", "days"]), "Numbers of DATE columns: an error (text, the default), or days since 1970."),
        key(
            "timestamps",
            Shape::OneOf(&["text", "ms", "us", "ns"]),
            "Numbers of TIMESTAMP and TIMESTAMPTZ columns: an error (text, the default), or what they count since 1970.",
        ),
        key(
            "times",
            Shape::OneOf(&["text", "ms", "us", "ns"]),
            "Numbers of TIME columns: an error (text, the default), or what they count since midnight.",
        ),
    ],
};

pub static UPCAST: TableKeys = TableKeys {
    id: "upcast",
    title: "[[upcast]]",
    description: "A rule that turns an event of an old schema into today's. Each matching event passes through each, in the file's order.",
    keys: &[
        required("type", Shape::Text, "The types that it applies to: `OrderPlaced`, `A|B`, `order.*`."),
        key(
            "when",
            Shape::Expression,
            "Skip the rule unless this is true; `data.` is the payload as the previous upcaster left it, untyped.",
        ),
        key("set", Shape::Map(&Shape::Expression), "Payload fields and their new values; `address.city` is a field inside of another one."),
        key("as", Shape::Text, "The new type."),
        key("drop", Shape::Texts, "Payload fields to remove."),
        key("discard", Shape::Bool, "Filter the event; its version still counts."),
        key("into", Shape::Tables(&UPCAST_INTO), "The events that the old one becomes, in this order, at the same version."),
    ],
};

pub static UPCAST_INTO: TableKeys = TableKeys {
    id: "upcast_into",
    title: "`into` of [[upcast]]",
    description: "One of the events that an old event becomes.",
    keys: &[
        required("type", Shape::Text, "The new event's type."),
        key("set", Shape::Map(&Shape::Expression), "Its payload fields and their values."),
        key("drop", Shape::Texts, "Payload fields that it does not have."),
    ],
};

pub static AGGREGATE: TableKeys = TableKeys {
    id: "aggregate",
    title: "[aggregate.<name>]",
    description: "A fold of the events that share a key: one row of typed state per key.",
    keys: &[
        key("source", Shape::TextOrTexts, "The source or sources that it folds; may be left out where there is one."),
        key("stream", Shape::Text, "Which streams it folds: `order-{order_id}`. Each placeholder is a key column (VARCHAR)."),
        key("key", Shape::Map(&Shape::Expression), "Key columns and the expressions over the event that give them."),
        key("order_by", Shape::Expression, "The order of events of several sources."),
        key(
            "replica_of",
            Shape::Text,
            "The table of a change log that this is an up-to-date copy of; its columns are the fields of the contract `<table>.*`, its rules follow.",
        ),
        key("state", Shape::Map(&Shape::Column), "State columns: their types and defaults, `DECIMAL(18,2) DEFAULT 0`."),
        key("rows", Shape::Map(&Shape::Map(&Shape::Column)), "Append-only tables that the fold gives rows to with `emit`."),
        key("before", Shape::Tables(&RULE), "Rules before those of each handled event."),
        key(
            "on",
            Shape::Map(&Shape::Tables(&RULE)),
            "Rules by event type: `OrderPlaced`, `A|B`, `customer.*`, `*`; one rule or an array of rules each.",
        ),
        key("after", Shape::Tables(&RULE), "Rules after those of each handled event."),
    ],
};

pub static RULE: TableKeys = TableKeys {
    id: "rule",
    title: "[aggregate.<name>.on.<Type>]",
    description: "What an event does to the row with its key.",
    keys: &[
        key("when", Shape::Expression, "Skip the rule unless this is true."),
        key("each", Shape::Expression, "A list of the event or of the row; the rule runs once per element, in list order, seen as `each`."),
        key(
            "key",
            Shape::Map(&Shape::Expression),
            "Finds the row by another key than the aggregate's: all key columns. Rules of `before` and `after` find no rows.",
        ),
        key("all", Shape::Bool, "The rule applies to every row that the aggregate has at its turn."),
        key("take", Shape::Texts, "State columns that take the payload field of the same name."),
        key("set", Shape::Map(&Shape::Expression), "State columns and their new values; each sees the row as it was before the rule."),
        key("emit", Shape::Map(&Shape::Map(&Shape::Expression)), "Rows tables and the row that is appended to each."),
        key("fail", Shape::Expression, "The event is impossible: a bad event with this message."),
        key("delete", Shape::Bool, "The row is gone; a later rule or event starts a new one."),
    ],
};

pub static READ_MODEL: TableKeys = TableKeys {
    id: "read_model",
    title: "[read_model.<name>]",
    description: "A denormalized table: one SQL SELECT over aggregates, event tables, lookup tables and other read models.",
    keys: &[
        key("sql", Shape::Text, "The SELECT, in DuckDB's SQL."),
        key("file", Shape::Text, "A file with the SELECT, relative to the project file."),
        key("aggregate", Shape::Text, "The aggregate to publish as it is."),
        key("check", Shape::Tables(&CHECK), "What must hold before publishing; a failing check keeps the last generation live."),
        key("to", Shape::Tables(&TARGET), "Where it is published; without a target it is a view for other read models."),
        key(
            "reproducible",
            Shape::Bool,
            "false: the SQL depends on the order of rows and that is accepted; it takes the read model out of the promise of equal bytes.",
        ),
    ],
};

pub static CHECK: TableKeys = TableKeys {
    id: "check",
    title: "[[read_model.<name>.check]]",
    description: "A condition on a read model; exactly one of the keys.",
    keys: &[
        key("unique", Shape::Texts, "Columns whose values together occur once."),
        key("not_null", Shape::Texts, "Columns that have no NULL."),
        key("sql", Shape::Text, "A SELECT whose rows are failures."),
    ],
};

pub static TARGET: TableKeys = TableKeys {
    id: "target",
    title: "[[read_model.<name>.to]]",
    description: "Where a read model is published: `parquet` or `duckdb`.",
    keys: &[
        key("parquet", Shape::Text, "A Parquet file; a name without .parquet is a dataset folder."),
        key("duckdb", Shape::Text, "A DuckDB file, in which the read model is a table of its name."),
        key("partition_by", Shape::TextOrTexts, "Columns that cut a dataset folder into folders."),
        key("sort_by", Shape::TextOrTexts, "Columns that order the rows, `total DESC` for descending."),
    ],
};

pub static TABLE: TableKeys = TableKeys {
    id: "table",
    title: "[table.<name>]",
    description: "A small table beside the log, for read models.",
    keys: &[required("file", Shape::Text, "A CSV, Parquet or JSON file, relative to the project file.")],
};

pub static TEST: TableKeys = TableKeys {
    id: "test",
    title: "[[test]]",
    description: "Given events, then rows.",
    keys: &[
        key("name", Shape::Text, "What the test shows, as a sentence."),
        key("given", Shape::Tables(&GIVEN), "Events, in the log's order."),
        key(
            "then",
            Shape::Map(&Shape::List(&Shape::Map(&Shape::Any))),
            "Aggregates or read models, each with some rows and some of their columns; \"NULL\" stands for NULL.",
        ),
    ],
};

pub static GIVEN: TableKeys = TableKeys {
    id: "given",
    title: "`given` of [[test]]",
    description: "An event of a test.",
    keys: &[
        key("source", Shape::Text, "The source; may be left out where there is one."),
        required("stream", Shape::Text, "The stream's name."),
        required("type", Shape::Text, "The event's type."),
        key("version", Shape::Integer, "The event's number in its stream; default: counted up."),
        key("position", Shape::Integer, "The event's number in the log; default: counted up."),
        key("time", Shape::Any, "When it happened."),
        key("id", Shape::Text, "The event's identity."),
        key("data", Shape::Map(&Shape::Any), "The payload."),
        key("metadata", Shape::Map(&Shape::Any), "The metadata."),
    ],
};

pub static SCHEDULE: TableKeys = TableKeys {
    id: "schedule",
    title: "[schedule.<name>]",
    description: "When the project runs: `cron` or `every`.",
    keys: &[
        key("cron", Shape::Text, "Five cron fields: minute, hour, day of month, month, day of week."),
        key("every", Shape::Text, "A period: 15m, 2h, 1d."),
        key("timezone", Shape::Text, "The IANA zone of `cron`; default: UTC."),
        key("select", Shape::TextOrTexts, "The read models to publish; default: all."),
    ],
};
