//! What `inspect` found in a log: data, and its text for a person.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde::{Serialize, Serializer};

use super::summary::{Paint, Table};
use super::{BadReport, bad_records, counted, human_bytes, human_count, human_seconds};
use crate::printable::printable;
use crate::sql::{Type, Value, to_text};

/// What is in a source's files.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Audit {
    pub source: String,
    pub files: u64,
    /// On disk.
    pub bytes: u64,
    pub records: u64,
    pub empty: u64,
    pub events: u64,
    pub bad: BadReport,
    /// By event type.
    pub types: BTreeMap<String, TypeAudit>,
    /// Events by category: what stands before the first `-` of a stream's name.
    pub categories: BTreeMap<String, u64>,
    pub positions: Course,
    #[serde(serialize_with = "course_of_times")]
    pub times: Course,
    pub largest: Option<Largest>,
    pub empty_globs: Vec<String>,
    /// What it took.
    pub seconds: f64,
}

/// The events of one type.
#[derive(Debug, Clone, Default, Serialize)]
pub struct TypeAudit {
    pub events: u64,
    #[serde(serialize_with = "time")]
    pub first_time: Option<i64>,
    #[serde(serialize_with = "time")]
    pub last_time: Option<i64>,
}

/// The record with the most bytes.
#[derive(Debug, Clone, Serialize)]
pub struct Largest {
    pub bytes: u64,
    pub file: String,
    /// Counted from 1.
    pub line: u64,
}

/// How numbers go from event to event, in log order.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Course {
    pub least: Option<i64>,
    pub greatest: Option<i64>,
    /// Events that have none.
    pub missing: u64,
    /// How often one is less than the one before it.
    pub steps_back: u64,
    /// How often one is the one before it.
    pub repeats: u64,
    #[serde(skip)]
    first: Option<i64>,
    #[serde(skip)]
    last: Option<i64>,
}

impl Course {
    /// Adds the next event's.
    pub fn goes_on(&mut self, value: Option<i64>) {
        let Some(value) = value else {
            self.missing += 1;
            return;
        };
        self.steps_back += u64::from(self.last.is_some_and(|last| value < last));
        self.repeats += u64::from(self.last == Some(value));
        self.least = Some(self.least.map_or(value, |least| least.min(value)));
        self.greatest = self.greatest.max(Some(value));
        self.first = self.first.or(Some(value));
        self.last = Some(value);
    }

    /// Adds those of the events behind.
    pub fn append(&mut self, next: &Course) {
        if let (Some(last), Some(first)) = (self.last, next.first) {
            self.steps_back += u64::from(first < last);
            self.repeats += u64::from(first == last);
        }
        self.missing += next.missing;
        self.steps_back += next.steps_back;
        self.repeats += next.repeats;
        self.least = self.least.into_iter().chain(next.least).min();
        self.greatest = self.greatest.max(next.greatest);
        self.first = self.first.or(next.first);
        self.last = next.last.or(self.last);
    }
}

impl Audit {
    /// Stands for the names for which there was no room.
    pub const OTHERS: &'static str = "(others)";
}

fn time_text(time: i64) -> String {
    to_text(&Value::Timestamp(time), &Type::Timestamp).unwrap_or_default()
}

fn time<S: Serializer>(time: &Option<i64>, to: S) -> Result<S::Ok, S::Error> {
    time.map(time_text).serialize(to)
}

fn course_of_times<S: Serializer>(course: &Course, to: S) -> Result<S::Ok, S::Error> {
    #[derive(Serialize)]
    struct Times {
        least: Option<String>,
        greatest: Option<String>,
        missing: u64,
        steps_back: u64,
    }
    let (least, greatest) = (course.least.map(time_text), course.greatest.map(time_text));
    Times { least, greatest, missing: course.missing, steps_back: course.steps_back }.serialize(to)
}

/// What an audit found, for a person.
pub fn audit(found: &Audit, color: bool, width: usize) -> String {
    let paint = Paint { color };
    let mut out = String::new();
    let rate = human_bytes((found.bytes as f64 / found.seconds.max(1e-9)) as u64);
    let _ = writeln!(
        out,
        "{}: {} in {}, {}, read in {} ({rate}/s)\n",
        paint.bold(&printable(&found.source)),
        counted(found.events, "event"),
        counted(found.files, "file"),
        human_bytes(found.bytes),
        human_seconds(found.seconds),
    );
    let mut types = Table::new(&["type", ">events", ">share", "first", "last"]);
    let mut by_count: Vec<(&String, &TypeAudit)> = found.types.iter().collect();
    by_count.sort_by_key(|(name, of_type)| (std::cmp::Reverse(of_type.events), *name));
    for (name, of_type) in by_count {
        let moment = |time: Option<i64>| time.map_or(String::new(), time_text);
        types.row([
            name.clone(),
            human_count(of_type.events),
            share(of_type.events, found.events),
            moment(of_type.first_time),
            moment(of_type.last_time),
        ]);
    }
    types.write(&mut out, paint, width);
    let mut categories = Table::new(&["category", ">events", ">share"]);
    let mut by_count: Vec<(&String, &u64)> = found.categories.iter().collect();
    by_count.sort_by_key(|(name, events)| (std::cmp::Reverse(**events), *name));
    for (name, events) in by_count {
        categories.row([name.clone(), human_count(*events), share(*events, found.events)]);
    }
    out.push('\n');
    categories.write(&mut out, paint, width);
    out.push('\n');
    let _ = writeln!(
        out,
        "records    {}, {} empty, {} bad",
        human_count(found.records),
        human_count(found.empty),
        human_count(found.bad.total)
    );
    course(&mut out, "positions", &found.positions, |position| position.to_string());
    course(&mut out, "times", &found.times, time_text);
    if let Some(largest) = &found.largest {
        let _ = writeln!(out, "largest    {}: {}:{}", human_bytes(largest.bytes), printable(&largest.file), largest.line);
    }
    for glob in &found.empty_globs {
        let _ = writeln!(out, "{}: no file matches `{}`", paint.yellow("warning"), printable(glob));
    }
    if found.bad.total > 0 {
        out.push('\n');
        out.push_str(&bad_records(&found.bad, color));
    }
    out
}

fn share(part: u64, whole: u64) -> String {
    format!("{:.1} %", 100.0 * part as f64 / (whole as f64).max(1.0))
}

fn course(out: &mut String, name: &str, course: &Course, text: impl Fn(i64) -> String) {
    let (Some(least), Some(greatest)) = (course.least, course.greatest) else {
        let _ = writeln!(out, "{name:<10} none");
        return;
    };
    let _ = write!(out, "{name:<10} {} to {}", text(least), text(greatest));
    let _ = write!(out, ", {} back", counted(course.steps_back, "step"));
    if course.missing > 0 {
        let _ = write!(out, ", {} without", counted(course.missing, "event"));
    }
    out.push('\n');
}
