//! `[read_model.<name>]`: their SQL, what it reads, their order.

use std::path::Path;

use super::aggregates::{AggregateDef, check_name};
use super::contracts::Contracts;
use super::diagnostics::{Diagnostic, Files, Place, nearest};
use super::fingerprint::Canon;
use super::key_check::toml_key;
use super::sql_reads::{SqlReads, analyze};
use super::targets::{self, Taken};
use super::toml_walk::{Entry, Table, Text};
use super::{Check, LookupTable, ReadModel, Reads, Target};

/// What SQL may read, and the warnings about it.
pub(crate) struct Context<'a> {
    pub aggregates: &'a [AggregateDef],
    pub contracts: &'a Contracts,
    pub tables: &'a [LookupTable],
    /// Names of all read models.
    pub read_models: Vec<String>,
    pub folder: &'a Path,
}

/// Read models before they are ordered, each with the place of every read model that it reads.
pub(crate) struct Written {
    pub model: ReadModel,
    canon: String,
    reads_at: Vec<(String, Place)>,
}

pub(crate) fn read_tables(root: &Table, folder: &Path, found: &mut Vec<Diagnostic>) -> Vec<LookupTable> {
    let mut out = Vec::new();
    for entry in root.entries_of("table") {
        let Some(table) = entry.node.as_table() else { continue };
        check_name("a lookup table", &entry.key, &entry.key_place, found);
        match table.text("file") {
            Some(text) => out.push(LookupTable { name: entry.key.clone(), file: folder.join(&text.value) }),
            None if table.get("file").is_none() => {
                found.push(
                    Diagnostic::new(format!("the table `{}` has no file", entry.key), &entry.key_place)
                        .help("name it: `file = \"country.csv\"`"),
                );
            }
            None => {}
        }
    }
    out
}

/// Aggregates, read models and lookup tables are tables of one SQL schema: no two may share a name.
pub(crate) fn check_names(root: &Table, found: &mut Vec<Diagnostic>) {
    let mut seen: std::collections::HashMap<String, (&str, &Place)> = std::collections::HashMap::new();
    for (section, what) in [("aggregate", "aggregate"), ("read_model", "read model"), ("table", "lookup table")] {
        for entry in root.entries_of(section) {
            if let Some((other, place)) = seen.get(&entry.key.to_lowercase()) {
                found.push(
                    Diagnostic::new(format!("the {what} `{}` has the name of another table", entry.key), &entry.key_place)
                        .also(place, format!("this {other}"))
                        .help("aggregates, read models and lookup tables share one SQL schema, in which names are case-insensitive"),
                );
                continue;
            }
            seen.insert(entry.key.to_lowercase(), (what, &entry.key_place));
        }
    }
}

pub(crate) fn read_all(
    root: &Table,
    context: &Context<'_>,
    files: &mut Files,
    warnings: &mut Vec<Diagnostic>,
    found: &mut Vec<Diagnostic>,
) -> Vec<Written> {
    let mut taken = Taken::default();
    root.entries_of("read_model")
        .iter()
        .filter_map(|entry| read(entry, entry.node.as_table()?, context, files, &mut taken, warnings, found))
        .collect()
}

fn read(
    entry: &Entry,
    table: &Table,
    context: &Context<'_>,
    files: &mut Files,
    taken: &mut Taken,
    warnings: &mut Vec<Diagnostic>,
    found: &mut Vec<Diagnostic>,
) -> Option<Written> {
    let name = &entry.key;
    check_name("a read model", name, &entry.key_place, found);
    let targets =
        table.tables("to").into_iter().filter_map(|(place, to)| targets::read(place, to, name, context.folder, taken, found)).collect();
    let text = read_sql(entry, table, context, files, found)?;
    let reproducible = table.get("reproducible").is_none() || table.bool("reproducible");
    let mut reads = Reads::default();
    let mut reads_at = Vec::new();
    let analysis = analyze(&text.value);
    resolve(&text, &analysis, name, false, context, &mut reads, &mut reads_at, found);
    if reproducible {
        warnings.extend(
            analysis.unordered.into_iter().map(|finding| Diagnostic::new(finding.message, &text.part(finding.span)).help(finding.help)),
        );
    }
    let mut canon = Canon::new("read_model");
    canon.sql("sql", &text);
    let checks = read_checks(table, name, context, files, &mut reads, &mut reads_at, found);
    let place = files.line_of(&text.begin());
    let model = ReadModel { name: name.clone(), sql: text.value, place, reads, checks, targets, reproducible, fingerprint: String::new() };
    Some(Written { model, canon: canon.finish(), reads_at })
}

/// The SELECT: written here, in a file, or that of an aggregate.
fn read_sql(entry: &Entry, table: &Table, context: &Context<'_>, files: &mut Files, found: &mut Vec<Diagnostic>) -> Option<Text> {
    let given: Vec<&Entry> = ["sql", "file", "aggregate"].iter().filter_map(|key| table.entry(key)).collect();
    match given.as_slice() {
        [] => {
            found.push(
                Diagnostic::new(format!("the read model `{}` has no SQL", entry.key), &entry.key_place)
                    .help("write `sql = \"SELECT …\"`, `file = \"….sql\"` or `aggregate = \"…\"`"),
            );
            return None;
        }
        [_] => {}
        [first, second, ..] => {
            found.push(
                Diagnostic::new(format!("a read model has either `{}` or `{}`", first.key, second.key), &second.key_place)
                    .also(&first.key_place, "and this"),
            );
            return None;
        }
    }
    let text = given[0].node.as_text()?;
    match given[0].key.as_str() {
        "sql" => Some(text.clone()),
        "file" => match crate::files::read_to_string(&context.folder.join(&text.value)) {
            Ok(sql) => {
                let file = files.add(text.value.clone(), sql.clone());
                Some(Text::of_file(file, sql))
            }
            Err(error) => {
                found.push(Diagnostic::new(error.message, &text.place).help("the file's path is relative to the project file"));
                None
            }
        },
        _ => match context.aggregates.iter().find(|aggregate| aggregate.name.eq_ignore_ascii_case(&text.value)) {
            Some(aggregate) => Some(Text::derived(format!("SELECT * FROM \"{}\"", aggregate.name), &text.place)),
            None => {
                let mut diagnostic = Diagnostic::new(format!("no aggregate `{}`", text.value), &text.place);
                if let Some(near) = nearest(&text.value, context.aggregates.iter().map(|aggregate| aggregate.name.as_str())) {
                    diagnostic = diagnostic.label(format!("did you mean `{near}`?"));
                }
                found.push(diagnostic);
                None
            }
        },
    }
}

fn read_checks(
    table: &Table,
    model: &str,
    context: &Context<'_>,
    files: &Files,
    reads: &mut Reads,
    reads_at: &mut Vec<(String, Place)>,
    found: &mut Vec<Diagnostic>,
) -> Vec<Check> {
    let mut out = Vec::new();
    for (place, check) in table.tables("check") {
        let given: Vec<&Entry> = ["unique", "not_null", "sql"].iter().filter_map(|key| check.entry(key)).collect();
        let [entry] = given.as_slice() else {
            let message = if given.is_empty() { "the check checks nothing" } else { "a check has one condition" };
            found.push(Diagnostic::new(message, place).help(
                "write `unique = [\"…\"]`, `not_null = [\"…\"]` or `sql = \"SELECT …\"`, each in a [[read_model.<name>.check]] of its own",
            ));
            continue;
        };
        let columns = check.strings(&entry.key);
        match (entry.key.as_str(), entry.node.as_text()) {
            ("sql", Some(text)) => {
                let analysis = analyze(&text.value);
                resolve(text, &analysis, model, true, context, reads, reads_at, found);
                out.push(Check::Sql { sql: text.value.clone(), place: files.line_of(&text.begin()) });
            }
            ("sql", None) => {}
            (_, _) if columns.is_empty() => found.push(Diagnostic::new(format!("`{}` names no column", entry.key), &entry.node.place)),
            ("unique", _) => out.push(Check::Unique(columns)),
            _ => out.push(Check::NotNull(columns)),
        }
    }
    out
}

/// Turns the tables of a SELECT into what the project calls them.
#[allow(clippy::too_many_arguments)]
fn resolve(
    text: &Text,
    analysis: &SqlReads,
    own: &str,
    may_read_itself: bool,
    context: &Context<'_>,
    reads: &mut Reads,
    reads_at: &mut Vec<(String, Place)>,
    found: &mut Vec<Diagnostic>,
) {
    for finding in &analysis.errors {
        found.push(Diagnostic::new(finding.message.clone(), &text.part(finding.span.clone())).help(finding.help.clone()));
    }
    for table in &analysis.tables {
        let place = text.part(table.span.clone());
        let cte = table.parts.len() == 1 && analysis.is_cte(&table.parts[0]);
        match find(&table.parts, context) {
            Ok(Found::ReadModel(name)) if name.eq_ignore_ascii_case(own) && (cte || may_read_itself) => {}
            Ok(Found::Aggregate(name)) => add(&mut reads.aggregates, name),
            Ok(Found::EventTable(name)) => add(&mut reads.event_tables, name),
            Ok(Found::Table(name)) => add(&mut reads.tables, name),
            Ok(Found::ReadModel(name)) => {
                reads_at.push((name.clone(), place));
                add(&mut reads.read_models, name);
            }
            Err(_) if cte => {}
            Err(unknown) => {
                let mut diagnostic = Diagnostic::new(unknown.message, &place);
                diagnostic.label = unknown.label;
                diagnostic.help = unknown.help;
                found.push(diagnostic);
            }
        }
    }
}

fn add(names: &mut Vec<String>, name: String) {
    if !names.contains(&name) {
        names.push(name);
    }
}

enum Found {
    Aggregate(String),
    ReadModel(String),
    Table(String),
    EventTable(String),
}

struct Unknown {
    message: String,
    label: String,
    help: Vec<String>,
}

fn unknown(message: String, near: Option<&str>, help: Option<String>) -> Unknown {
    Unknown { message, label: near.map(|near| format!("did you mean `{near}`?")).unwrap_or_default(), help: help.into_iter().collect() }
}

fn find(parts: &[String], context: &Context<'_>) -> Result<Found, Unknown> {
    let same = |name: &&str, other: &str| name.eq_ignore_ascii_case(other);
    let aggregate = |name: &str| context.aggregates.iter().find(|aggregate| aggregate.name.eq_ignore_ascii_case(name));
    match parts {
        [name] => {
            if let Some(aggregate) = aggregate(name) {
                return Ok(Found::Aggregate(aggregate.name.clone()));
            }
            if let Some(model) = context.read_models.iter().find(|model| model.eq_ignore_ascii_case(name)) {
                return Ok(Found::ReadModel(model.clone()));
            }
            if let Some(table) = context.tables.iter().find(|table| table.name.eq_ignore_ascii_case(name)) {
                return Ok(Found::Table(table.name.clone()));
            }
            let event = context.contracts.named().find(|event| same(event, name));
            let names = context
                .aggregates
                .iter()
                .map(|aggregate| aggregate.name.as_str())
                .chain(context.read_models.iter().map(String::as_str))
                .chain(context.tables.iter().map(|table| table.name.as_str()));
            let help = event.map(|event| format!("the events of a type are `events.\"{event}\"`"));
            Err(unknown(format!("no aggregate, read model or lookup table `{name}`"), nearest(name, names), help))
        }
        [schema, name] if schema.eq_ignore_ascii_case("events") => {
            // The type as it is written, else as SQL compares names.
            let declared = context.contracts.declares(name).then_some(name.as_str());
            match declared.or_else(|| context.contracts.named().find(|event| same(event, name))) {
                Some(event) => {
                    let exact = context.contracts.named().find(|known| *known == event).or_else(|| context.contracts.named().find(|known| same(known, event)));
                    Ok(Found::EventTable(exact.unwrap_or(event).to_string()))
                }
                None => Err(unknown(
                    format!("the event type `{name}` is not declared"),
                    nearest(name, context.contracts.named()),
                    Some(format!("an event table's columns are its contract: [event.{}]", toml_key(name))),
                )),
            }
        }
        [schema, name] => match aggregate(schema) {
            Some(aggregate) if aggregate.rows.iter().any(|rows| rows.name.eq_ignore_ascii_case(name)) => Ok(Found::Aggregate(aggregate.name.clone())),
            Some(aggregate) => Err(unknown(
                format!("the aggregate `{}` has no rows table `{name}`", aggregate.name),
                nearest(name, aggregate.rows.iter().map(|rows| rows.name.as_str())),
                None,
            )),
            None => Err(unknown(
                format!("no table `{schema}.{name}`"),
                None,
                Some("tables are aggregates, read models, lookup tables, `events.\"<Type>\"` and an aggregate's rows tables, `aggregate.rows`".to_string()),
            )),
        },
        _ => Err(unknown(format!("no table `{}`", parts.join(".")), None, Some("names have at most two parts".to_string()))),
    }
}

/// Puts every read model behind those that it reads. Cycles are reported and left out.
pub(crate) fn order(mut waiting: Vec<Written>, found: &mut Vec<Diagnostic>) -> Vec<Written> {
    let mut done: Vec<Written> = Vec::with_capacity(waiting.len());
    loop {
        let names: std::collections::HashSet<String> = waiting.iter().map(|written| written.model.name.clone()).collect();
        // Those whose own SQL is wrong are not there: what reads them waits for nothing.
        let (ready, rest): (Vec<_>, Vec<_>) =
            waiting.into_iter().partition(|written| !written.model.reads.read_models.iter().any(|name| names.contains(name)));
        waiting = rest;
        if ready.is_empty() {
            break;
        }
        done.extend(ready);
    }
    let mut at = match waiting.first() {
        Some(first) => first,
        None => return done,
    };
    // Every one that waits reads one that waits: walk until one comes again.
    let mut walk: Vec<&Written> = Vec::new();
    while !walk.iter().any(|seen| seen.model.name == at.model.name) {
        walk.push(at);
        let next = waiting.iter().find(|other| at.model.reads.read_models.contains(&other.model.name));
        at = next.unwrap_or(at);
    }
    let begin = walk.iter().position(|seen| seen.model.name == at.model.name).unwrap_or(0);
    let cycle = &walk[begin..];
    let names: Vec<&str> = cycle.iter().map(|written| written.model.name.as_str()).chain([at.model.name.as_str()]).collect();
    let place = |written: &Written, next: &str| written.reads_at.iter().find(|(name, _)| name == next).map(|(_, place)| place.clone());
    let places: Vec<Place> = cycle.iter().zip(&names[1..]).filter_map(|(written, next)| place(written, next)).collect();
    if let Some((first, others)) = places.split_first() {
        let message = if cycle.len() == 1 {
            format!("the read model `{}` reads itself", names[0])
        } else {
            format!("read models read each other: {}", names.join(" -> "))
        };
        let mut diagnostic = Diagnostic::new(message, first).help("a read model is built after those that it reads; take one of these out");
        for (other, name) in others.iter().zip(&names[2..]) {
            diagnostic = diagnostic.also(other, format!("reads {name}"));
        }
        found.push(diagnostic);
    }
    done
}

/// The read models with their fingerprints; `fingerprint_of` knows aggregates and event tables.
pub(crate) fn finish(ordered: Vec<Written>, tables: &[LookupTable], fingerprint_of: &dyn Fn(&str, &str) -> String) -> Vec<ReadModel> {
    let mut out: Vec<ReadModel> = Vec::with_capacity(ordered.len());
    // what a read model's rows come from: for those that read it
    let mut rows: Vec<String> = Vec::with_capacity(ordered.len());
    for Written { mut model, canon: sql, .. } in ordered {
        let mut canon = Canon::new("read_model");
        canon.add("name", &model.name);
        canon.add("sql", &sql);
        for name in &model.reads.aggregates {
            canon.add("aggregate", &fingerprint_of("aggregate", name));
        }
        for name in &model.reads.event_tables {
            canon.add("event_table", &fingerprint_of("event_table", name));
        }
        for name in &model.reads.read_models {
            canon.add("read_model", out.iter().position(|other| other.name == *name).map_or("", |at| &rows[at]));
        }
        for name in &model.reads.tables {
            canon.add("table", name);
            canon.add(
                "file",
                &tables
                    .iter()
                    .find(|table| table.name == *name)
                    .map_or(String::new(), |table| table.file.file_name().unwrap_or_default().to_string_lossy().into_owned()),
            );
        }
        let own = canon.finish();
        let mut canon = Canon::new("publication");
        canon.add("rows", &own);
        for check in &model.checks {
            match check {
                Check::Unique(columns) => canon.add("unique", &columns.join("\0")),
                Check::NotNull(columns) => canon.add("not_null", &columns.join("\0")),
                Check::Sql { sql, .. } => canon.add("check", sql),
            }
        }
        for target in &model.targets {
            match target {
                Target::Parquet { partition_by, sort_by, .. } => {
                    canon.add("partition_by", &partition_by.join("\0"));
                    canon.add("sort_by", &sort_by.join("\0"));
                }
                Target::DuckDb { sort_by, .. } => canon.add("sort_by", &sort_by.join("\0")),
            }
        }
        model.fingerprint = canon.finish();
        rows.push(own);
        out.push(model);
    }
    out
}
