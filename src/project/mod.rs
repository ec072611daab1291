//! foldline.toml: as it is written -> [`Project`], in which everything is resolved, typed and compiled.
//!
//! After [`load`] nothing checks again: a `Project` that exists can run.

mod aggregates;
mod contracts;
mod diagnostics;
mod fingerprint;
mod key_check;
pub mod keys;
mod load;
mod patterns;
pub mod plan;
pub mod presets;
pub mod quirks;
mod read_models;
mod replicas;
mod rules;
pub mod schema;
mod scope;
mod sources;
mod sql_reads;
pub(crate) mod sql_tokens;
mod targets;
mod tests_and_schedules;
mod toml_walk;
mod upcasts;
pub mod values;
mod variables;
mod warnings;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

pub(crate) use diagnostics::nearest;
pub use load::{load, load_text};
pub(crate) use sources::inner_extension;

use crate::sql::algebra::Change;
use crate::sql::scalar::Scalar;
use crate::sql::vector::Vector;
use crate::sql::{Expr, Slot, Type, Value};

/// How many generations are kept where the project does not say.
pub const KEEP_DEFAULT: usize = 3;

/// The current generation, and the one that its readers may still have open.
pub const KEEP_MIN: usize = 2;

/// A project, compiled.
pub struct Project {
    pub name: String,
    /// The project file's own path, as given.
    pub file: PathBuf,
    /// The folder of the project file: relative paths are relative to it.
    pub root: PathBuf,
    /// How many generations are kept, at least [`KEEP_MIN`].
    pub keep: usize,
    pub sources: Vec<Source>,
    /// In the file's order: each matching event passes through each.
    pub upcasts: Vec<Upcast>,
    /// In the file's order.
    pub aggregates: Vec<Aggregate>,
    /// Event types whose event table some read model names: `events."<Type>"`.
    pub event_tables: Vec<EventTable>,
    /// In the order of their dependence: a read model stands behind those that it reads.
    pub read_models: Vec<ReadModel>,
    pub tables: Vec<LookupTable>,
    pub tests: Vec<Test>,
    pub schedules: Vec<Schedule>,
    /// What `check` warns about, already rendered with file and line.
    pub warnings: Vec<String>,
    /// Instantiates rules for concrete event types (wildcard rules and contracts are typed once per type).
    pub(crate) plans: plan::Plans,
}

/// A log: the files of one export.
pub struct Source {
    pub name: String,
    /// Glob patterns, made absolute by the project's root; a pattern without wildcards names a file.
    pub files: Vec<String>,
    /// Where the project says so; else files are told by their first bytes.
    pub format: Option<Format>,
    pub csv: CsvForm,
    /// Where a document has its records, a list; `None`: it is one.
    pub records: Option<Vec<String>>,
    /// What is done to records before the envelope is read.
    pub quirks: quirks::Quirks,
    /// How it writes the values of declared columns.
    pub values: values::Values,
    pub envelope: Envelope,
    /// Over the same slots as the envelope's expressions; records for which it is not true are filtered.
    pub filter: Option<Expr>,
    pub order: Order,
    pub on_bad_record: OnBadRecord,
    pub on_gap: OnGap,
    pub dedupe: Dedupe,
    /// `Some(0)` or `Some(1)` where the project fixes it; `None`: either.
    pub first_version: Option<i64>,
    pub on_vanished: OnVanished,
    /// Over everything that decides what events this source yields.
    pub fingerprint: String,
}

impl Project {
    /// The sources that pass over bad records or set them aside, those together whose replays need each other.
    pub fn refusing_groups(&self) -> Vec<Vec<usize>> {
        load::refusing_groups(&self.sources, &self.aggregates, &self.event_tables)
    }
}

impl Source {
    /// Bad records and events, and what follows them, are set aside.
    pub fn quarantines(&self) -> bool {
        self.on_bad_record == OnBadRecord::Quarantine
    }

    /// Records may have to outlast the run that reads them, as their own text.
    pub fn keeps_text(&self) -> bool {
        self.quarantines() || self.on_gap == OnGap::Wait
    }
}

/// What the records of a log stand in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    Ndjson,
    Json,
    Csv,
    Tsv,
    PostgresCopy,
    Parquet,
    Avro,
}

impl Format {
    /// As messages call it.
    pub fn title(self) -> &'static str {
        match self {
            Format::Ndjson => "NDJSON",
            Format::Json => "JSON",
            Format::Csv => "CSV",
            Format::Tsv => "TSV",
            Format::PostgresCopy => "PostgreSQL's COPY",
            Format::Parquet => "Parquet",
            Format::Avro => "Avro",
        }
    }
}

/// `[source.<name>.csv]`: how rows of text are written, where that is not what the format says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CsvForm {
    /// The first row has the columns' names.
    pub header: Option<bool>,
    /// The columns' names, where they are not the header's.
    pub columns: Vec<String>,
    pub delimiter: Option<u8>,
    pub quote: u8,
    /// The text, without quotes, that stands for NULL.
    pub null: Option<String>,
}

impl Default for CsvForm {
    fn default() -> Self {
        CsvForm { header: None, columns: Vec::new(), delimiter: None, quote: b'"', null: None }
    }
}

/// In which order a source's events are folded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// As they stand in the log.
    Log,
    /// By a part of the envelope, which every event then has; events that are equal in it as they stand in the log.
    Position,
    Time,
    Version,
}

impl Order {
    /// As the project file names it.
    pub fn name(self) -> &'static str {
        match self {
            Order::Log => "log",
            Order::Position => "position",
            Order::Time => "time",
            Order::Version => "version",
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnBadRecord {
    Fail,
    /// Set aside, and with it what follows in its stream or on its row.
    Quarantine,
    Skip,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnGap {
    Fail,
    Wait,
    Skip,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dedupe {
    /// The default: by version where the event has one.
    Version,
    /// By the position, which every event then has and which ascends over the whole source.
    Position,
    /// By the id, which every event then has: the first one in log order passes.
    Id,
    None,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnVanished {
    Fail,
    Keep,
}

/// How a record becomes an event. Slot `i` of every expression here is `paths[i]` of the record as text
/// (as `->>` gives it: strings unquoted, NULL where missing or null, objects as their JSON text).
pub struct Envelope {
    /// Where the record's parts lie, each a path of object keys.
    pub paths: Vec<Vec<String>>,
    /// VARCHAR
    pub stream: Expr,
    /// VARCHAR
    pub event_type: Expr,
    /// BIGINT
    pub version: Option<Expr>,
    /// BIGINT
    pub position: Option<Expr>,
    /// TIMESTAMP
    pub time: Option<Expr>,
    /// VARCHAR
    pub id: Option<Expr>,
    pub data: Payload,
    /// JSON object text
    pub metadata: Option<Payload>,
}

/// Where a JSON object inside the record comes from.
pub enum Payload {
    /// The record itself (`"*"`).
    Record,
    /// A part of the record: an object, or a string that holds one.
    Path(Vec<String>),
    /// An expression that gives JSON text.
    Expr(Expr),
}

/// A rule that turns events of an old schema into today's (`[[upcast]]`).
pub struct Upcast {
    /// How messages name it: `the upcaster at foldline.toml:12`.
    pub label: String,
    types: patterns::TypePattern,
    /// Over the slots of `change`; the upcaster is passed by unless it is true.
    pub when: Option<Expr>,
    pub change: PayloadChange,
    pub outcome: UpcastOutcome,
}

impl Upcast {
    /// Whether events of this type pass through it.
    pub fn takes(&self, event_type: &str) -> bool {
        self.types.matches(event_type)
    }
}

/// What an upcaster makes of a payload: first all of `set`, which see the payload as it was before, then `drop`.
pub struct PayloadChange {
    /// `Var::Data(i)` is the field at `data[i]`, as text (`->>`).
    pub data: Vec<Vec<String>>,
    /// `Var::Meta(i)` is the metadata's field at `meta[i]`, as text.
    pub meta: Vec<Vec<String>>,
    pub set: Vec<FieldSet>,
    pub drop: Vec<Vec<String>>,
}

/// A payload's field and its new value. Objects on the way to it are made where they are missing.
pub struct FieldSet {
    pub path: Vec<String>,
    pub value: NewField,
}

pub enum NewField {
    /// The field at `PayloadChange::data[i]`, as it stands.
    Copy(usize),
    /// As JSON by its type.
    Value(Expr),
}

pub enum UpcastOutcome {
    Keep,
    As(String),
    /// The event is filtered; its version counts.
    Discard,
    /// The upcaster's `set` comes first, then each part's own change on a copy, then the upcaster's `drop`.
    Into(Vec<UpcastPart>),
}

/// One of the events that an old event becomes.
pub struct UpcastPart {
    pub event_type: String,
    pub change: PayloadChange,
}

/// A fold: one row of typed state per key.
pub struct Aggregate {
    pub name: String,
    /// Indexes into `Project::sources`.
    pub sources: Vec<usize>,
    /// Which streams, and the key columns that its placeholders name (the first key columns).
    pub stream: Option<StreamPattern>,
    pub keys: Vec<KeyColumn>,
    pub state: Vec<StateColumn>,
    pub rows: Vec<RowsTable>,
    /// The key does not follow from the stream: rows are found by the second exchange.
    pub spans_streams: bool,
    /// A copy of a table: its rows may go on under another key.
    pub is_replica: bool,
    /// Its events are ordered by an expression of its own, across its sources ([`AggregatePlan::order_by`]).
    pub has_order_by: bool,
    /// Of its source, where it has one and no `order_by`; else [`Order::Log`].
    pub order: Order,
    /// A row on which an event fails stands still, and is as it was before that event.
    pub quarantines: bool,
    /// Over everything that its state depends on.
    pub fingerprint: String,
}

impl Aggregate {
    /// Its events may be folded in another order than the log's, so that some of a later run may come too late.
    pub fn is_ordered(&self) -> bool {
        self.has_order_by || self.order != Order::Log
    }

    /// The rank of a source in the order of its events: where they are equal, the source named first comes first.
    pub fn rank(&self, source: usize) -> u16 {
        self.sources.iter().position(|other| *other == source).unwrap_or_default().min(u16::MAX as usize) as u16
    }
}

pub struct KeyColumn {
    pub name: String,
    pub ty: Type,
}

#[derive(Debug, Clone)]
pub struct StateColumn {
    pub name: String,
    pub ty: Type,
    /// Already of type `ty`.
    pub default: Value,
}

/// Rows that a fold gives out, append-only (`[aggregate.x.rows.y]`).
#[derive(Debug, Clone)]
pub struct RowsTable {
    pub name: String,
    pub columns: Vec<(String, Type)>,
}

/// `order-{order_id}`: literal text between placeholders.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamPattern {
    pub text: String,
    pub prefix: String,
    /// Each placeholder's name and the literal behind it (empty for the last one at the end).
    pub placeholders: Vec<(String, String)>,
}

/// `events."<Type>"`.
pub struct EventTable {
    pub event_type: String,
    /// The declared payload fields (name as SQL sees it, type), without the `_` columns.
    pub columns: Vec<(String, Type)>,
    pub fingerprint: String,
}

/// What is done with the events of one concrete type from one source.
pub struct TypePlan {
    pub event_type: String,
    pub source: usize,
    /// Payload fields to extract, in slot order: `Var::Data(i)`.
    pub fields: Vec<Field>,
    /// Metadata fields to extract, in slot order: `Var::Meta(i)`; always text.
    pub meta: Vec<Vec<String>>,
    /// Programs over the payload's columns, one result per event; rules name them by their index.
    pub computed: Vec<Vector>,
    /// Aggregates with rules for this type, in the project's order.
    pub aggregates: Vec<AggregatePlan>,
    /// Index into `Project::event_tables`, and for each of its columns the field that fills it.
    pub event_table: Option<(usize, Vec<usize>)>,
}

/// One field of a payload that some expression or event table uses.
pub struct Field {
    /// Object keys from the payload's root; one key for declared fields.
    pub path: Vec<String>,
    pub ty: Type,
    pub not_null: bool,
    /// Of type `ty`, for a missing or null field.
    pub default: Option<Value>,
    /// False: taken as text (`->>`), no contract is checked.
    pub declared: bool,
    pub role: FieldRole,
}

/// What is taken of a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FieldRole {
    /// Its value, a missing one as a null one.
    Plain,
    /// Its value as a column of a row image; NULL, without a look at the contract, where [`FieldRole::has_value`] is false.
    Column { partial: bool },
    /// BOOLEAN: what [`FieldRole::has_value`] says.
    Presence { partial: bool },
}

/// What Debezium writes for a large value that did not change: as text, as bytes in base64 or, once the schema was read, in
/// hexadecimal, as an array.
const UNAVAILABLE: [&str; 4] = [
    "\"__debezium_unavailable_value\"",
    "\"X19kZWJleml1bV91bmF2YWlsYWJsZV92YWx1ZQ==\"",
    "\"\\\\x5f5f646562657a69756d5f756e617661696c61626c655f76616c7565\"",
    "[\"__debezium_unavailable_value\"]",
];

impl FieldRole {
    /// Whether a column's JSON (empty: missing) stands for a value, null included. `partial`: a missing column did not
    /// change, as one that Debezium marks.
    pub fn has_value(json: &str, partial: bool) -> bool {
        let unchanged = (partial && json.is_empty()) || UNAVAILABLE.contains(&json);
        !unchanged
    }
}

pub struct AggregatePlan {
    /// Index into `Project::aggregates`.
    pub aggregate: usize,
    /// The key columns behind the stream's placeholders (all of them where the aggregate has no stream).
    /// Empty where the key is the stream's alone, or where every rule has its own.
    pub key: Vec<Expr>,
    /// The same without an interpreter, where all of it can be had so.
    pub key_parts: Option<Vec<KeyPart>>,
    /// False where the aggregate's own key finds no row for this type: all rules of `on` have one, or are for all rows.
    pub has_key: bool,
    /// What the aggregate's events are ordered by in place of their sources' order, where it says so: a whole number that
    /// an i64 holds, a DATE or a TIMESTAMP.
    pub order_by: Option<Expr>,
    pub before: Vec<Rule>,
    pub on: Vec<Rule>,
    pub after: Vec<Rule>,
    /// State columns that some expression reads as `old.`.
    pub old_columns: Vec<usize>,
    /// For updates of a replica: the fields (`Var::Data`) that say which columns have a value. Where the first rule of
    /// `on` deletes the row under its old key and a column has none, the second one's row starts as a copy of it.
    pub carries: Vec<usize>,
    /// Every rule only does algebra on the row that an event was routed to, and there is nothing but rules of `on`.
    pub is_plain: bool,
    /// What plain rules read of an event: to be asked for ahead of time.
    pub operands: Operands,
}

/// Columns of the payload and of `TypePlan::computed`, and whether the event's time is read.
#[derive(Debug, Default)]
pub struct Operands {
    /// `Var::Data`
    pub data: Vec<usize>,
    pub computed: Vec<usize>,
    pub event_time: bool,
}

/// How a key column's value is had from an event without an interpreter.
#[derive(Debug, Clone)]
pub enum KeyPart {
    /// A text as it stands.
    Text(Slot),
    /// A whole number, a decimal, a day or a time.
    Whole(Scalar),
}

pub struct Rule {
    /// How messages name it: `[aggregate.order.on.ItemAdded]`.
    pub label: String,
    pub when: Option<Condition>,
    /// `when` reads the row (state, `old.`, key columns); else it is answered before the row is known.
    pub when_needs_row: bool,
    /// A list; the rule runs once per element.
    pub each: Option<Expr>,
    /// `each` reads the row: it is a list of the row as it is when the rule's turn comes.
    pub each_needs_row: bool,
    /// All key columns, where the rule finds its row by another expression.
    pub key: Option<Vec<Expr>>,
    /// The rule applies to every row of the aggregate.
    pub all: bool,
    pub fail: Option<Expr>,
    pub delete: bool,
    pub set: Vec<Set>,
    pub emit: Vec<Emit>,
    /// The rule only sets columns, each by algebra.
    pub algebraic: bool,
}

/// An expression that is true or not, also in compiled form where it has one.
pub struct Condition {
    pub expr: Expr,
    pub compiled: Option<Scalar>,
}

pub struct Set {
    /// Index into `Aggregate::state`.
    pub column: usize,
    /// Already cast to the column's type.
    pub value: Expr,
    /// The same as algebra on the column, where it is that.
    pub change: Option<Change>,
}

pub struct Emit {
    /// Index into `Aggregate::rows`.
    pub rows: usize,
    /// One per column of the rows table, cast to its type; NULL where the project names none.
    pub values: Vec<Expr>,
}

/// The variables of handler expressions, packed into slots.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Var {
    /// A state column of the row as it was before the rule.
    State(usize),
    /// A key column of the row.
    Key(usize),
    /// A state column of the row as it was before the event.
    Old(usize),
    /// `TypePlan::fields[i]`
    Data(usize),
    /// `TypePlan::meta[i]`
    Meta(usize),
    Event(EventField),
    Each,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventField {
    Stream,
    Type,
    Version,
    Position,
    Time,
    Id,
}

impl Var {
    pub fn slot(self) -> Slot {
        let (kind, index) = match self {
            Var::State(i) => (0, i),
            Var::Key(i) => (1, i),
            Var::Old(i) => (2, i),
            Var::Data(i) => (3, i),
            Var::Meta(i) => (4, i),
            Var::Event(field) => (5, field as usize),
            Var::Each => (6, 0),
        };
        Slot((kind << 24) | index as u32)
    }

    pub fn of(slot: Slot) -> Var {
        let index = (slot.0 & 0xff_ffff) as usize;
        match slot.0 >> 24 {
            0 => Var::State(index),
            1 => Var::Key(index),
            2 => Var::Old(index),
            3 => Var::Data(index),
            4 => Var::Meta(index),
            5 => Var::Event(match index {
                0 => EventField::Stream,
                1 => EventField::Type,
                2 => EventField::Version,
                3 => EventField::Position,
                4 => EventField::Time,
                _ => EventField::Id,
            }),
            _ => Var::Each,
        }
    }
}

#[derive(Clone)]
pub struct ReadModel {
    pub name: String,
    /// One SELECT (for `aggregate = "x"`: `SELECT * FROM "x"`).
    pub sql: String,
    /// Where `sql` begins: file and line, for errors of DuckDB.
    pub place: String,
    /// Names of aggregates, read models, event types and lookup tables that the SQL reads.
    pub reads: Reads,
    pub checks: Vec<Check>,
    pub targets: Vec<Target>,
    pub reproducible: bool,
    pub fingerprint: String,
}

#[derive(Debug, Clone, Default)]
pub struct Reads {
    pub aggregates: Vec<String>,
    pub read_models: Vec<String>,
    pub event_tables: Vec<String>,
    pub tables: Vec<String>,
}

#[derive(Clone)]
pub enum Check {
    Unique(Vec<String>),
    NotNull(Vec<String>),
    /// Rows returned are failures.
    Sql {
        sql: String,
        place: String,
    },
}

#[derive(Clone)]
pub enum Target {
    /// A single file (`path` ends in .parquet) or a dataset folder.
    Parquet { path: PathBuf, partition_by: Vec<String>, sort_by: Vec<String> },
    /// A table named like the read model in this file.
    DuckDb { path: PathBuf, sort_by: Vec<String> },
}

/// `[table.country] file = "country.csv"`: a small table for read models.
pub struct LookupTable {
    pub name: String,
    pub file: PathBuf,
}

pub struct Test {
    pub name: String,
    pub given: Vec<Given>,
    /// Per aggregate or read model: rows, each with some columns as text (None: NULL), in the file's order.
    pub then: Vec<(String, TestRows)>,
    /// file:line
    pub place: String,
}

/// Rows that a test expects: some columns each.
pub type TestRows = Vec<BTreeMap<String, Option<String>>>;

/// One given event of a test, as the envelope would have read it.
pub struct Given {
    pub source: Option<usize>,
    pub stream: String,
    pub event_type: String,
    pub version: Option<i64>,
    pub position: Option<i64>,
    /// ISO text
    pub time: Option<String>,
    pub id: Option<String>,
    /// JSON object text
    pub data: String,
    /// JSON object text
    pub metadata: String,
}

/// `[schedule.<name>]`: kept as written until schedules run.
pub struct Schedule {
    pub name: String,
    pub cron: Option<String>,
    pub every: Option<String>,
    pub timezone: String,
    pub select: Vec<String>,
}

impl Project {
    /// What to do with events of `event_type` from source `source`; compiled at first sight of the type.
    /// `None`: no aggregate and no event table takes it. Errors are project errors: a wildcard rule that
    /// does not fit this type.
    pub fn plan(&self, source: usize, event_type: &str) -> crate::error::Result<Option<Arc<TypePlan>>> {
        self.plans.get(self, source, event_type)
    }
}
