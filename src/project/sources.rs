//! `[source.<name>]`: files, format, the envelope's expressions.

use std::path::Path;

use crate::sql::{NameError, Resolved, Scope, Slot, Type};

use super::aggregates::check_name;
use super::diagnostics::{Diagnostic, Place};
use super::fingerprint::{Canon, LANGUAGE};
use super::patterns::is_identifier;
use super::quirks::{OUTER, Quirks};
use super::scope::{compile, condition};
use super::toml_walk::{Entry, NodeKind, Table, Text};
use super::values::Values;
use super::{CsvForm, Dedupe, Envelope, Format, OnBadRecord, OnGap, OnVanished, Order, Payload, Source};

pub(crate) fn read_all(root: &Table, folder: &Path, found: &mut Vec<Diagnostic>) -> Vec<Source> {
    root.entries_of("source").iter().filter_map(|entry| read(entry, entry.node.as_table()?, folder, found)).collect()
}

fn read(entry: &Entry, table: &Table, folder: &Path, found: &mut Vec<Diagnostic>) -> Option<Source> {
    check_name("a source", &entry.key, &entry.key_place, found);
    let files = table.texts("files");
    if table.get("files").is_none_or(|node| matches!(&node.kind, NodeKind::Array(items) if items.is_empty())) {
        found.push(
            Diagnostic::new(format!("the source `{}` has no files", entry.key), &entry.key_place)
                .help("name them: `files = [\"events/*.ndjson\"]`"),
        );
    }
    for text in &files {
        if let Err(error) = glob::Pattern::new(&text.value) {
            found.push(
                Diagnostic::new(format!("bad file pattern: {}", error.msg), &text.place)
                    .help("`*`, `?`, `[a-z]` and `**` are patterns; `[[]` stands for a `[`"),
            );
        }
    }
    let word = |key: &str| table.text(key).map_or("", |text| text.value.as_str());
    let format = match word("format") {
        "ndjson" => Some(Format::Ndjson),
        "json" => Some(Format::Json),
        "csv" => Some(Format::Csv),
        "tsv" => Some(Format::Tsv),
        "postgres-copy" => Some(Format::PostgresCopy),
        "parquet" => Some(Format::Parquet),
        "avro" => Some(Format::Avro),
        _ => None,
    };
    let csv = read_csv(table, found);
    let records = table.text("records").and_then(|text| {
        let path = dotted(&text.value);
        if path.is_none() {
            let diagnostic = Diagnostic::new(format!("{:?} is no path of a document", text.value), &text.place);
            found.push(diagnostic.help("write it as `records = \"feed.entries\"`"));
        }
        path
    });
    let first_version = table.get("first_version").and_then(|node| {
        let version = node.as_integer()?;
        if !matches!(version, 0 | 1) {
            found.push(Diagnostic::new(format!("`first_version` must be 0 or 1, but this is {version}"), &node.place));
        }
        Some(version)
    });
    let nothing = Table::default();
    let written = table.table("envelope").unwrap_or(&nothing);
    let (envelope, filter) = read_envelope(written, table.text("where"), &entry.key_place, found);
    let dedupe = match word("dedupe") {
        "none" => Dedupe::None,
        "position" => Dedupe::Position,
        "id" => Dedupe::Id,
        _ => Dedupe::Version,
    };
    if let (Some(text), Some(Envelope { position: None, .. }), Dedupe::Position) = (table.text("dedupe"), &envelope, dedupe) {
        found.push(
            Diagnostic::new("`dedupe = \"position\"` needs positions, but the envelope's `position` is NULL", &text.place)
                .help("say in [source.<name>.envelope] where a record has its position, or use `dedupe = \"version\"`"),
        );
    }
    if let (Some(text), Some(Envelope { id: None, .. }), Dedupe::Id) = (table.text("dedupe"), &envelope, dedupe) {
        found.push(
            Diagnostic::new("`dedupe = \"id\"` needs ids, but the envelope's `id` is NULL", &text.place)
                .help("say in [source.<name>.envelope] where a record has its id, or use `dedupe = \"version\"`"),
        );
    }
    let on_gap = match word("on_gap") {
        "wait" => OnGap::Wait,
        "skip" => OnGap::Skip,
        _ => OnGap::Fail,
    };
    if let (Some(text), true) = (table.text("on_gap").filter(|_| on_gap != OnGap::Fail), dedupe != Dedupe::Version) {
        let message = format!("`on_gap = {:?}` finds holes by version, which `dedupe = {:?}` does not look at", text.value, word("dedupe"));
        found.push(Diagnostic::new(message, &text.place).help("leave one of the two out"));
    }
    let order = match word("order") {
        "position" => Order::Position,
        "time" => Order::Time,
        "version" => Order::Version,
        _ => Order::Log,
    };
    check_order(table, order, envelope.as_ref(), dedupe, found);
    let mut canon = Canon::new("source");
    canon.add("language", LANGUAGE);
    canon.add("name", &entry.key);
    // rows of Parquet become lines of NDJSON: the same records
    canon.add("format", "ndjson");
    if csv != CsvForm::default() {
        canon.add("csv", &format!("{csv:?}"));
    }
    if let Some(path) = &records {
        canon.add("records", &format!("{path:?}"));
    }
    let quirks = Quirks::read(table, found);
    if quirks != Quirks::default() {
        canon.add("quirks", &quirks.written());
    }
    let values = Values { all_text: is_rows_of_text(format, &files), ..Values::read(table) };
    if !values.is_plain() {
        canon.add("values", &format!("{values:?}"));
    }
    for (part, default) in PARTS {
        match written.text(part) {
            Some(text) => {
                canon.sql(part, text);
                if text.around > 0 {
                    canon.add("around", &text.around.to_string());
                }
            }
            None => canon.add(part, default),
        }
    }
    if let Some(text) = table.text("where") {
        canon.sql("where", text);
    }
    for key in ["on_bad_record", "on_gap", "dedupe"] {
        canon.add(key, word(key));
    }
    canon.add("first_version", &format!("{first_version:?}"));
    if order != Order::Log {
        canon.add("order", word("order"));
    }
    Some(Source {
        name: entry.key.clone(),
        files: files.iter().map(|text| absolute(folder, &text.value)).collect(),
        format,
        csv,
        records,
        quirks,
        values,
        envelope: envelope?,
        filter,
        order,
        on_bad_record: match word("on_bad_record") {
            "quarantine" => OnBadRecord::Quarantine,
            "skip" => OnBadRecord::Skip,
            _ => OnBadRecord::Fail,
        },
        on_gap,
        dedupe,
        first_version,
        on_vanished: if word("on_vanished") == "keep" { OnVanished::Keep } else { OnVanished::Fail },
        fingerprint: canon.finish(),
    })
}

/// What events are sorted by must be there, and duplicates by position are told in the order of positions.
fn check_order(table: &Table, order: Order, envelope: Option<&Envelope>, dedupe: Dedupe, found: &mut Vec<Diagnostic>) {
    let (Some(text), Some(envelope)) = (table.text("order"), envelope) else { return };
    let missing = match order {
        Order::Log => false,
        Order::Position => envelope.position.is_none(),
        Order::Time => envelope.time.is_none(),
        Order::Version => envelope.version.is_none(),
    };
    if missing {
        found.push(
            Diagnostic::new(
                format!("`order = {0:?}` sorts events by their {0}, but the envelope's `{0}` is NULL", text.value),
                &text.place,
            )
            .help(format!("say in [source.<name>.envelope] where a record has its {}", text.value)),
        );
    }
    if order == Order::Log {
        return;
    }
    if let Some(text) = table.text("on_bad_record").filter(|text| text.value == "quarantine") {
        let instead = "use \"fail\" or \"skip\" where the log is sorted";
        found.push(Diagnostic::not_built("`on_bad_record = \"quarantine\"` beside `order`", &text.place, instead));
    }
    if let Some(text) = table.text("on_gap").filter(|text| text.value == "skip") {
        let message = "`on_gap = \"skip\"` passes holes where a run ends, and a sorted log has no such place";
        found.push(
            Diagnostic::new(message, &text.place).help("use \"wait\", which holds the streams with a hole and goes on with the others"),
        );
    }
    if matches!(order, Order::Time | Order::Version) && dedupe == Dedupe::Position {
        let message = format!("`dedupe = \"position\"` needs ascending positions, and `order = {:?}` sorts by something else", text.value);
        found.push(Diagnostic::new(message, &text.place).help("use `order = \"position\"`, or `dedupe = \"version\"`"));
    }
}

/// A pattern below the project's folder; characters of the folder's own name are no wildcards.
fn absolute(folder: &Path, pattern: &str) -> String {
    if Path::new(pattern).is_absolute() {
        return pattern.to_string();
    }
    let escaped = glob::Pattern::escape(&folder.to_string_lossy());
    // A pattern without wildcards names a file: then nothing is escaped either.
    if pattern.contains(['*', '?', '[']) {
        Path::new(&escaped).join(pattern).to_string_lossy().into_owned()
    } else {
        folder.join(pattern).to_string_lossy().into_owned()
    }
}

/// `[source.<name>.csv]`.
fn read_csv(table: &Table, found: &mut Vec<Diagnostic>) -> CsvForm {
    let Some(csv) = table.table("csv") else { return CsvForm::default() };
    let mut byte = |key: &str| {
        let text = csv.text(key)?;
        match text.value.as_bytes() {
            [byte] if byte.is_ascii() && !matches!(byte, b'\n' | b'\r') => Some(*byte),
            _ => {
                found.push(Diagnostic::new(format!("`{key}` must be one ASCII character"), &text.place));
                None
            }
        }
    };
    let (delimiter, quote) = (byte("delimiter"), byte("quote").unwrap_or(b'"'));
    CsvForm {
        header: csv.get("header").map(|_| csv.bool("header")),
        columns: csv.strings("columns"),
        delimiter,
        quote,
        null: csv.text("null").map(|text| text.value.clone()),
    }
}

/// Whether all that the source reads is text, so that a contract's types are converted from it.
fn is_rows_of_text(format: Option<Format>, files: &[&Text]) -> bool {
    match format {
        Some(format) => matches!(format, Format::Csv | Format::Tsv | Format::PostgresCopy),
        None => files.iter().any(|text| matches!(inner_extension(&text.value).as_deref(), Some("csv" | "tsv"))),
    }
}

/// The extension of a file's name, in small letters, inside of that of a compression.
pub(crate) fn inner_extension(name: &str) -> Option<String> {
    let name = name.to_ascii_lowercase();
    let inner = [".gz", ".zst", ".lz4", ".snappy", ".sz", ".bz2"].iter().find_map(|end| name.strip_suffix(end)).unwrap_or(&name);
    Path::new(inner).extension().map(|extension| extension.to_string_lossy().into_owned())
}

/// The parts of an envelope and where they lie by default.
const PARTS: [(&str, &str); 8] = [
    ("stream", "stream_id"),
    ("type", "type"),
    ("version", "version"),
    ("position", "position"),
    ("time", "time"),
    ("id", "id"),
    ("data", "data"),
    ("metadata", "metadata"),
];

fn read_envelope(
    table: &Table,
    filter: Option<&Text>,
    place: &Place,
    found: &mut Vec<Diagnostic>,
) -> (Option<Envelope>, Option<crate::sql::Expr>) {
    let mut scope = RecordScope { paths: Vec::new(), around: 0 };
    let errors = found.len();
    let text = |part: usize| {
        let (key, default) = PARTS[part];
        table.text(key).cloned().unwrap_or_else(|| Text::derived(default.to_string(), place))
    };
    let is_null = |text: &Text| text.value.trim().eq_ignore_ascii_case("null");
    let mut part = |index: usize, ty: Type, found: &mut Vec<Diagnostic>| {
        let text = text(index);
        scope.around = text.around;
        if is_null(&text) { None } else { compile(&text, &mut scope, Some(&ty), found) }
    };
    let stream = part(0, Type::Varchar, found);
    let event_type = part(1, Type::Varchar, found);
    let version = part(2, Type::BigInt, found);
    let position = part(3, Type::BigInt, found);
    let time = part(4, Type::Timestamp, found);
    let id = part(5, Type::Varchar, found);
    let mut payload = |index: usize, found: &mut Vec<Diagnostic>| {
        let text = text(index);
        scope.around = text.around;
        if is_null(&text) { None } else { read_payload(&text, &mut scope, found) }
    };
    let data = payload(6, found);
    let metadata = payload(7, found);
    scope.around = filter.map_or(0, |text| text.around);
    let filter = filter.and_then(|text| condition("where", text, &mut scope, found));
    for (value, key) in [(stream.is_some(), "stream"), (event_type.is_some(), "type"), (data.is_some(), "data")] {
        if !value && found.len() == errors {
            let place = table.entry(key).map_or(place, |entry| &entry.node.place);
            found.push(Diagnostic::new(format!("an event needs a {key}: the envelope's `{key}` cannot be NULL"), place));
        }
    }
    let envelope = match (stream, event_type, data) {
        (Some(stream), Some(event_type), Some(data)) => {
            Some(Envelope { paths: scope.paths, stream, event_type, version, position, time, id, data, metadata })
        }
        _ => None,
    };
    (envelope, filter)
}

fn read_payload(text: &Text, scope: &mut RecordScope, found: &mut Vec<Diagnostic>) -> Option<Payload> {
    if text.value.trim() == "*" {
        return Some(if text.around == 0 { Payload::Record } else { Payload::Path(scope.outwards(&[])) });
    }
    // A part of the record needs no way through text.
    if let Some(path) = dotted(&text.value) {
        return Some(Payload::Path(scope.outwards(&path)));
    }
    compile(text, scope, None, found).and_then(|expr| {
        if matches!(expr.ty, Type::Varchar | Type::Json) {
            return Some(Payload::Expr(expr));
        }
        found.push(Diagnostic::new(format!("this must give JSON text, but is {}", expr.ty), &text.part(0..text.value.len())));
        None
    })
}

/// `a.b."c d"` as a path; `None` for everything that is more than a name.
pub(crate) fn dotted(text: &str) -> Option<Vec<String>> {
    let mut path = Vec::new();
    let mut rest = text.trim();
    loop {
        let name = if let Some(quoted) = rest.strip_prefix('"') {
            let end = quoted.find('"')?;
            let name = &quoted[..end];
            rest = &quoted[end + 1..];
            name
        } else {
            let (name, after) = rest.split_at(rest.find('.').unwrap_or(rest.len()));
            if !is_identifier(name) || ["null", "true", "false"].iter().any(|word| name.eq_ignore_ascii_case(word)) {
                return None;
            }
            rest = after;
            name
        };
        path.push(name.to_string());
        if rest.is_empty() {
            return Some(path);
        }
        rest = rest.strip_prefix('.')?;
    }
}

/// Names are paths into the record; every one is text.
struct RecordScope {
    paths: Vec<Vec<String>>,
    /// How many records around the innermost one names are looked for.
    around: usize,
}

impl RecordScope {
    fn outwards(&self, path: &[String]) -> Vec<String> {
        std::iter::repeat_n(OUTER, self.around).map(str::to_string).chain(path.iter().cloned()).collect()
    }
}

impl Scope for RecordScope {
    fn resolve(&mut self, path: &[String], _cast: bool) -> Result<Resolved, NameError> {
        let from_here = self.outwards(path);
        let index = self.paths.iter().position(|other| *other == from_here).unwrap_or_else(|| {
            self.paths.push(from_here);
            self.paths.len() - 1
        });
        Ok(Resolved { slot: Slot(index as u32), ty: Type::Varchar, parts_used: path.len() })
    }
}

#[cfg(test)]
mod tests {
    use super::dotted;

    #[test]
    fn only_a_name_is_a_path() {
        assert_eq!(dotted("a.\"b c\".d"), Some(vec!["a".into(), "b c".into(), "d".into()]));
        for text in ["a || b", "null", "a.", ".a", "f(a)", "", "\"a", "'a'"] {
            assert_eq!(dotted(text), None, "{text}");
        }
    }
}
