//! foldline.toml -> [`Project`]: parse, fill variables, check keys, resolve names, compile, fingerprint.

use std::collections::{BTreeMap, HashSet};
use std::path::Path;

use crate::error::{Error, Kind};
use crate::sql::Type;

use super::aggregates::{self, AggregateDef};
use super::contracts::Contracts;
use super::diagnostics::{Diagnostic, Files, Place};
use super::fingerprint::{Canon, LANGUAGE};
use super::patterns::TypePattern;
use super::plan::{Definitions, Plans};
use super::scope::TypeNames;
use super::tests_and_schedules::{Known, read_schedules, read_tests};
use super::toml_walk::{self, Table};
use super::upcasts::Upcasts;
use super::variables::Variables;
use super::{Aggregate, EventTable, KeyColumn, OnBadRecord, OnGap, Order, Project, ReadModel, Source};
use super::{KEEP_DEFAULT, KEEP_MIN, key_check, presets, read_models, rules, sources, warnings};

/// Errors, and warnings, that are shown at most: each is a screen of its own.
const SHOWN_MAX: usize = 100;

/// Reads and compiles a project file. `vars`: `--var NAME=VALUE`; other variables come from the environment.
/// Errors are of [`Kind::Project`], in the file's order.
pub fn load(file: &Path, vars: &BTreeMap<String, String>) -> Result<Project, Vec<Error>> {
    let text = crate::files::read_to_string(file).map_err(|mut error| {
        error.kind = Kind::Project;
        vec![error.with_help("name the project file with `-p FILE`, or make one with `foldline init`")]
    })?;
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let folder = std::path::absolute(folder).map_err(|error| vec![Error::io("find", folder, error)])?;
    load_text(&text, file, &folder, vars, &|name| std::env::var(name).ok())
}

/// As [`load`], from text; `root` is the folder that relative paths start at.
pub fn load_text(
    text: &str,
    file: &Path,
    root: &Path,
    vars: &BTreeMap<String, String>,
    env: &dyn Fn(&str) -> Option<String>,
) -> Result<Project, Vec<Error>> {
    let mut loader = Loader { files: Files::default(), found: Vec::new(), warnings: Vec::new() };
    loader.files.add(file.display().to_string(), text.to_string());
    let table = toml_walk::read(text, 0, &Variables { given: vars, env }, &mut loader.found);
    if table.entries.is_empty() && !loader.found.is_empty() {
        return Err(loader.errors());
    }
    let project = loader.project(&table, file, root);
    project.ok_or_else(|| loader.errors())
}

struct Loader {
    files: Files,
    found: Vec<Diagnostic>,
    warnings: Vec<Diagnostic>,
}

impl Loader {
    /// What was found, in the order of the file, each place once.
    fn errors(&mut self) -> Vec<Error> {
        let mut found = std::mem::take(&mut self.found);
        found.sort_by(|a, b| a.place.cmp(&b.place));
        found.dedup_by(|a, b| a.place == b.place && a.message == b.message);
        found.truncate(SHOWN_MAX);
        found.into_iter().map(|diagnostic| diagnostic.into_error(&self.files)).collect()
    }

    fn project(&mut self, table: &Table, file: &Path, root: &Path) -> Option<Project> {
        let found = &mut self.found;
        key_check::check(table, found);
        let table = &presets::apply(table, &mut self.files, found);
        let keep = read_keep(table, found);
        let upcasts = Upcasts::read(table, &self.files, found);
        let sources = sources::read_all(table, root, found);
        if table.get("source").is_none() {
            found.push(
                Diagnostic::new("the project has no source", &Place::new(0, 0..0))
                    .help("name a log: [source.<name>] with `files = [\"events/*.ndjson\"]`"),
            );
        }
        let contracts = Contracts::read(table, found);
        let source_names: Vec<&str> = table.entries_of("source").iter().map(|entry| entry.key.as_str()).collect();
        let mut defs = aggregates::read_all(table, &source_names, &contracts, found);
        read_models::check_names(table, found);
        let tables = read_models::read_tables(table, root, found);
        let known_types = known_types(&contracts, &upcasts, &defs);
        for def in defs.iter_mut().filter(|def| !def.broken && !contracts.broken) {
            infer_key_types(def, &contracts, &known_types, found);
            same_order_by_types(def, &contracts, &known_types, found);
        }
        let written = {
            let names = table.entries_of("read_model").iter().map(|entry| entry.key.clone()).collect();
            let context =
                read_models::Context { aggregates: &defs, contracts: &contracts, tables: &tables, read_models: names, folder: root };
            read_models::read_all(table, &context, &mut self.files, &mut self.warnings, found)
        };
        let ordered = read_models::order(written, found);
        let event_tables = event_tables(ordered.iter().map(|written| &written.model), &contracts, &upcasts, &sources);
        let known = Known {
            aggregates: defs.iter().map(|def| (def.name.as_str(), columns_of(def))).collect(),
            read_models: table.entries_of("read_model").iter().map(|entry| entry.key.as_str()).collect(),
        };
        // A column that is missing because its definition is wrong is not said again for each test that names it.
        let sound = found.is_empty();
        let before = found.len();
        let tests = read_tests(table, &source_names, &known, &self.files, found);
        if !sound {
            let mut at = 0;
            found.retain(|diagnostic| {
                at += 1;
                at <= before || !(diagnostic.message.contains(" has no column `") && diagnostic.label.is_empty())
            });
        }
        let schedules = read_schedules(table, &known, found);
        warnings::overlapping_streams(&defs, &mut self.warnings);
        let orders: Vec<Order> = source_names
            .iter()
            .map(|name| sources.iter().find(|source| source.name == *name).map_or(Order::Log, |source| source.order))
            .collect();
        for (def, text) in defs.iter().filter_map(|def| Some((def, def.order_by.as_ref()?))) {
            let of_def = def
                .sources
                .iter()
                .filter_map(|index| sources.iter().find(|source| source_names.get(*index) == Some(&source.name.as_str())));
            for source in of_def {
                let instead = format!("use \"fail\" or \"wait\", and no quarantine, in [source.{}]", source.name);
                if source.quarantines() {
                    found.push(Diagnostic::not_built(
                        "`order_by` over a source with `on_bad_record = \"quarantine\"`",
                        &text.place,
                        &instead,
                    ));
                } else if source.on_gap == OnGap::Skip {
                    found.push(Diagnostic::not_built("`order_by` over a source with `on_gap = \"skip\"`", &text.place, &instead));
                }
            }
        }
        warnings::versions_across_streams(&defs, &orders, &mut self.warnings);
        warnings::replicas_of_events(&defs, &mut self.warnings);
        warnings::misspelt_types(&defs, &contracts, &mut self.warnings);
        warnings::misspelt_fields(&upcasts, &contracts, &mut self.warnings);
        warnings::unhandled_upcasts(&upcasts, &defs, &event_tables, &mut self.warnings);

        let mut aggregates: Vec<Aggregate> = defs.iter().map(|def| finish_aggregate(def, &contracts, &upcasts, &sources)).collect();
        let mut event_tables = event_tables;
        depend_on_what_is_refused(&sources, &mut aggregates, &mut event_tables);
        let fingerprint_of = |kind: &str, name: &str| match kind {
            "aggregate" => {
                aggregates.iter().find(|aggregate| aggregate.name == name).map_or(String::new(), |aggregate| aggregate.fingerprint.clone())
            }
            _ => event_tables.iter().find(|table| table.event_type == name).map_or(String::new(), |table| table.fingerprint.clone()),
        };
        let read_models = read_models::finish(ordered, &tables, &fingerprint_of);
        let definitions = Definitions { files: std::mem::take(&mut self.files), contracts, aggregates: defs };
        compile_known_types(&definitions, &known_types, &event_tables, found);
        if !found.is_empty() {
            self.files = definitions.files;
            return None;
        }
        let warnings = self.warnings.drain(..).take(SHOWN_MAX).map(|warning| warning.into_warning(&definitions.files)).collect();
        let folder_name = || root.file_name().map_or("project".to_string(), |name| name.to_string_lossy().into_owned());
        Some(Project {
            name: table.table("project").and_then(|project| project.text("name")).map_or_else(folder_name, |text| text.value.clone()),
            file: file.to_path_buf(),
            root: root.to_path_buf(),
            keep,
            sources,
            upcasts: upcasts.compiled,
            aggregates,
            event_tables,
            read_models,
            tables,
            tests,
            schedules,
            warnings,
            plans: Plans::new(definitions),
        })
    }
}

/// A type that the file names, or one that stands for all that a pattern matches.
pub(crate) struct KnownType {
    event_type: String,
    /// How messages name it.
    shown: String,
}

/// `keep` in [project].
fn read_keep(table: &Table, found: &mut Vec<Diagnostic>) -> usize {
    let Some(node) = table.table("project").and_then(|project| project.get("keep")) else { return KEEP_DEFAULT };
    let Some(keep) = node.as_integer() else { return KEEP_DEFAULT };
    match usize::try_from(keep).ok().filter(|keep| *keep >= KEEP_MIN) {
        Some(keep) => keep,
        None => {
            found.push(
                Diagnostic::new(format!("`keep` must be at least {KEEP_MIN}, but this is {keep}"), &node.place)
                    .help("the current generation is one, and those who still read the one before it need that one"),
            );
            KEEP_DEFAULT
        }
    }
}

fn known_types(contracts: &Contracts, upcasts: &Upcasts, defs: &[AggregateDef]) -> Vec<KnownType> {
    let mut out = Vec::new();
    let mut seen = HashSet::new();
    let mut add = |event_type: String, shown: &str| {
        if seen.insert(event_type.clone()) {
            out.push(KnownType { event_type, shown: shown.to_string() });
        }
    };
    for name in contracts.named() {
        add(name.to_string(), name);
    }
    for (name, _) in upcasts.new_types() {
        add(name.clone(), name);
    }
    let patterns: Vec<_> = defs.iter().flat_map(|def| &def.on).map(|rule| &rule.pattern).collect();
    for name in patterns.iter().flat_map(|pattern| pattern.named()) {
        add(name.to_string(), name);
    }
    for pattern in &patterns {
        for (event_type, shown) in pattern.unknown().zip(pattern.alternatives.iter().filter(|alternative| alternative.contains('*'))) {
            add(event_type, shown);
        }
    }
    out
}

/// A key column has the type that its expressions have for every event type; all must agree.
fn infer_key_types(def: &mut AggregateDef, contracts: &Contracts, known_types: &[KnownType], found: &mut Vec<Diagnostic>) {
    let mut types: Vec<Option<(Type, &str, Place)>> = vec![None; def.key_columns.len()];
    let stream_keys = def.stream_keys();
    let mut reported = vec![false; types.len()];
    for known in known_types.iter().filter(|known| def.handles(&known.event_type)) {
        let mut names = TypeNames::new(&known.shown, contracts.fields(&known.event_type));
        for key in rules::key_types(def, &known.event_type, &mut names) {
            let Some(column) = types.get_mut(key.column) else { continue };
            let name = &def.key_columns[key.column];
            let first = (if key.column < stream_keys { Type::Varchar } else { key.ty.clone() }, known.shown.as_str(), key.place.clone());
            let (ty, first_type, first_place) = column.get_or_insert(first);
            if *ty != key.ty && !std::mem::replace(&mut reported[key.column], true) {
                let message = if key.column < stream_keys {
                    format!("the key column `{name}` is VARCHAR, as a placeholder of the stream, but {} for {}", key.ty, known.shown)
                } else {
                    format!("the key column `{name}` is {ty} for {first_type}, but {} for {}", key.ty, known.shown)
                };
                let wider = match (ty.integer_range(), key.ty.integer_range()) {
                    (Some((least, greatest)), Some(other)) if key.column >= stream_keys && other.0 <= least && other.1 >= greatest => {
                        &key.ty
                    }
                    _ => &*ty,
                };
                let mut diagnostic = Diagnostic::new(message, &key.place).help(format!("make them one type: add `::{wider}`"));
                if *first_place != key.place {
                    diagnostic = diagnostic.also(first_place, format!("{ty} here"));
                }
                found.push(diagnostic);
            }
        }
    }
    def.key_types = types.into_iter().map(|found| found.map_or(Type::Varchar, |(ty, ..)| ty)).collect();
}

/// Numbers, dates and timestamps have no order among each other: `order_by` has one of them for every event type.
fn same_order_by_types(def: &AggregateDef, contracts: &Contracts, known_types: &[KnownType], found: &mut Vec<Diagnostic>) {
    let Some(text) = &def.order_by else { return };
    let mut first: Option<(Type, &str)> = None;
    for known in known_types {
        let mut names = TypeNames::new(&known.shown, contracts.fields(&known.event_type));
        let Some(ty) = rules::order_by_type(def, &known.event_type, &mut names).filter(|ty| *ty != Type::Null) else { continue };
        let (first_type, first_event) = first.get_or_insert((ty.clone(), &known.shown));
        if *first_type != ty && !(first_type.is_integer() && ty.is_integer()) {
            found.push(
                Diagnostic::new(format!("`order_by` is {first_type} for {first_event}, but {ty} for {}", known.shown), &text.place)
                    .help("cast it to one type: `order_by = \"(…)::TIMESTAMP\"`"),
            );
            return;
        }
    }
}

/// Compiles every rule for every type that the file knows, so that its errors show now.
fn compile_known_types(definitions: &Definitions, known_types: &[KnownType], event_tables: &[EventTable], found: &mut Vec<Diagnostic>) {
    if definitions.contracts.broken {
        return;
    }
    let mut places: HashSet<Place> = HashSet::new();
    for known in known_types {
        let mut errors = Vec::new();
        definitions.plan(None, &known.event_type, &known.shown, event_tables, &mut errors);
        // One expression is typed for several types: its first error is enough.
        found.extend(errors.into_iter().filter(|error| places.insert(error.place.clone())));
    }
}

fn event_tables<'a>(
    models: impl Iterator<Item = &'a ReadModel>,
    contracts: &Contracts,
    upcasts: &Upcasts,
    sources: &[Source],
) -> Vec<EventTable> {
    let mut out: Vec<EventTable> = Vec::new();
    for event_type in models.flat_map(|model| &model.reads.event_tables) {
        if out.iter().any(|table| table.event_type == *event_type) {
            continue;
        }
        let columns = contracts
            .fields(event_type)
            .into_iter()
            // Names with `_` in front are foldline's own columns.
            .map(|field| (if field.name.starts_with('_') { format!("data_{}", field.name) } else { field.name }, field.ty))
            .collect();
        let mut canon = Canon::new("event_table");
        canon.add("language", LANGUAGE);
        canon.add("contract", &contracts.canon_of(event_type));
        if let Some(reaching) = upcasts.canon_reaching(&[&TypePattern::exact(event_type)]) {
            canon.add("upcasts", &reaching);
        }
        for source in sources {
            canon.add("source", &source.fingerprint);
        }
        out.push(EventTable { event_type: event_type.clone(), columns, fingerprint: canon.finish() });
    }
    out
}

/// Where bad records are passed over or set aside, what one definition refuses (a key that is NULL, a field against its
/// contract) is lost for all: then each depends on every other one of the source, and a change of one replays all.
fn depend_on_what_is_refused(sources: &[Source], aggregates: &mut [Aggregate], event_tables: &mut [EventTable]) {
    let groups = refusing_groups(sources, aggregates, event_tables);
    let in_group = |group: &[usize], aggregate: &Aggregate| aggregate.sources.iter().any(|source| group.contains(source));
    let refusing: Vec<String> = groups
        .iter()
        .map(|group| {
            let mut canon = Canon::new("refusing");
            for aggregate in aggregates.iter().filter(|aggregate| in_group(group, aggregate)) {
                canon.add("aggregate", &aggregate.fingerprint);
            }
            for table in event_tables.iter() {
                canon.add("event_table", &table.fingerprint);
            }
            canon.finish()
        })
        .collect();
    let with = |fingerprint: &mut String, refusing: &String| {
        let mut canon = Canon::new("skipping");
        canon.add("own", fingerprint);
        canon.add("refusing", refusing);
        *fingerprint = canon.finish();
    };
    for (group, refusing) in groups.iter().zip(&refusing) {
        for aggregate in aggregates.iter_mut().filter(|aggregate| in_group(group, aggregate)) {
            with(&mut aggregate.fingerprint, refusing);
        }
        for table in event_tables.iter_mut() {
            with(&mut table.fingerprint, refusing);
        }
    }
}

/// The sources that pass over bad records or set them aside, those together whose replays need each other: event
/// tables are built from all sources, an aggregate from its own.
pub(crate) fn refusing_groups(sources: &[Source], aggregates: &[Aggregate], event_tables: &[EventTable]) -> Vec<Vec<usize>> {
    let mut groups: Vec<Vec<usize>> = Vec::new();
    for source in (0..sources.len()).filter(|source| sources[*source].on_bad_record != OnBadRecord::Fail) {
        let shares =
            |other: &usize| !event_tables.is_empty() || aggregates.iter().any(|a| a.sources.contains(&source) && a.sources.contains(other));
        let (mut together, apart): (Vec<_>, Vec<_>) = groups.into_iter().partition(|group| group.iter().any(shares));
        together.push(vec![source]);
        groups = apart;
        groups.push(together.concat());
    }
    groups
}

fn columns_of(def: &AggregateDef) -> Vec<String> {
    def.key_columns.iter().cloned().chain(def.state.iter().map(|column| column.name.clone())).collect()
}

fn finish_aggregate(def: &AggregateDef, contracts: &Contracts, upcasts: &Upcasts, sources: &[Source]) -> Aggregate {
    let keys = def.key_columns.iter().enumerate().map(|(i, name)| KeyColumn { name: name.clone(), ty: def.key_type(i) }).collect();
    Aggregate {
        name: def.name.clone(),
        sources: def.sources.clone(),
        stream: def.stream.as_ref().map(|(pattern, _)| pattern.clone()),
        keys,
        state: def.state.clone(),
        rows: def.rows.clone(),
        spans_streams: def.spans_streams(),
        is_replica: def.replica.is_some(),
        has_order_by: def.order_by.is_some(),
        order: match def.sources.as_slice() {
            [source] if def.order_by.is_none() => sources.get(*source).map_or(Order::Log, |source| source.order),
            _ => Order::Log,
        },
        quarantines: def.sources.iter().filter_map(|source| sources.get(*source)).any(Source::quarantines),
        fingerprint: def.fingerprint(contracts, upcasts, sources),
    }
}
