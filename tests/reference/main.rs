//! Random projects, folded by foldline and by a small reference interpreter that reads as the definition of a fold.
//!
//! `FOLDLINE_RANDOM_PROJECTS`: how many; `FOLDLINE_SEED`: the first one's seed (a failure prints the seed of its case).

mod decode;
mod expression;
mod fold;
mod generate;
mod log;
mod payload;
mod spec;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use foldline::fold::TOMBSTONE_COLUMN;
use foldline::project::{Project, load_text};
use foldline::run::{Options, Stop, run};
use foldline::sql::{Type, Value, to_text};
use foldline::state::manifest::{DataFile, Partition};
use foldline::state::{Store, parquet};

use fold::{Interpreter, World};
use generate::Random;
use spec::Spec;

/// A table's rows as text, in no order.
type Rows = Vec<Vec<Option<String>>>;

#[test]
fn random_projects_fold_as_the_definition_says() {
    let number = |name: &str, default: u64| std::env::var(name).map_or(default, |text| text.parse().expect(name));
    let (count, first) = (number("FOLDLINE_RANDOM_PROJECTS", 150), number("FOLDLINE_SEED", 1));
    let mut counts = Counts::default();
    let next = std::sync::atomic::AtomicU64::new(0);
    let threads: Vec<_> = std::thread::scope(|scope| {
        let work = || {
            let mut counts = Counts::default();
            loop {
                let seed = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                if seed >= count {
                    return counts;
                }
                one_case(first.wrapping_add(seed), &mut counts);
            }
        };
        let handles: Vec<_> = (0..2).map(|_| scope.spawn(work)).collect();
        handles.into_iter().map(|handle| handle.join()).collect()
    });
    for thread in threads {
        counts.add(&thread.expect("a case failed; its seed is printed above"));
    }
    println!("{count} projects: {counts:?}");
    if count >= 100 {
        // a generator whose projects do nothing proves nothing
        assert!(counts.published > count / 2 && counts.refused > count / 20 && counts.rows > 20 * count, "{counts:?}");
        assert!(counts.emitted > count && counts.events > count && counts.skipped > 0 && counts.replayed > 0, "{counts:?}");
    }
}

/// What the cases were like.
#[derive(Default, Debug)]
struct Counts {
    published: u64,
    refused: u64,
    skipped: u64,
    replayed: u64,
    rows: u64,
    emitted: u64,
    events: u64,
}

impl Counts {
    fn add(&mut self, other: &Counts) {
        self.published += other.published;
        self.refused += other.refused;
        self.skipped += other.skipped;
        self.replayed += other.replayed;
        self.rows += other.rows;
        self.emitted += other.emitted;
        self.events += other.events;
    }
}

/// Shows a case that failed.
struct Shown<'a>(u64, &'a str, &'a Path);

impl Drop for Shown<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- FOLDLINE_SEED={} FOLDLINE_RANDOM_PROJECTS=1\n{}", self.0, self.1);
            if std::env::var_os("FOLDLINE_KEEP").is_some() {
                let kept = std::env::temp_dir().join(format!("foldline-case-{}", self.0));
                let _ = std::fs::create_dir_all(&kept);
                for entry in std::fs::read_dir(self.2).into_iter().flatten().flatten() {
                    let _ = std::fs::copy(entry.path(), kept.join(entry.file_name()));
                }
                eprintln!("--- its files are in {}", kept.display());
            }
        }
    }
}

fn one_case(seed: u64, counts: &mut Counts) {
    let case = generate::case(seed);
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("foldline.toml"), &case.project).unwrap();
    let shown = Shown(seed, &case.project, folder.path());
    let mut random = Random(seed ^ 0x5eed);
    let project = load(&case.project, folder.path());
    let interpreter = Interpreter::new(Spec::read(&case.project));
    let mut world = interpreter.start();
    let (mut waiting, mut consumed) = (String::new(), String::new());
    for (file, lines) in &case.pieces {
        append(&folder.path().join(file), lines);
        waiting.push_str(lines);
        let mut trial = world.clone();
        trial.bad.clear();
        trial.conflicts = 0;
        interpreter.feed(&mut trial, &waiting);
        if !compare_run(&project, &interpreter, &trial, Reads::News, &mut random, counts) {
            // what waits for a later piece is read again with it
            continue;
        }
        world = trial;
        consumed.push_str(&std::mem::take(&mut waiting));
        compare_tables(&project, &interpreter, &world, folder.path(), counts);
    }
    let at_end = |text: &str, reads: Reads, random: &mut Random, counts: &mut Counts| {
        let (project, interpreter) = (load(text, folder.path()), Interpreter::new(Spec::read(text)));
        let mut world = interpreter.start();
        interpreter.feed(&mut world, &consumed);
        if compare_run(&project, &interpreter, &world, reads, random, counts) {
            compare_tables(&project, &interpreter, &world, folder.path(), counts);
            counts.replayed += 1;
        }
    };
    if !waiting.is_empty() || consumed.is_empty() {
        return;
    }
    if let Some(changed) = &case.changed {
        at_end(changed, Reads::WhatChanged, &mut random, counts);
    } else if random.percent(30) {
        at_end(&case.project, Reads::All, &mut random, counts);
    }
    drop(shown);
}

fn append(path: &Path, lines: &str) {
    use std::io::Write;
    std::fs::OpenOptions::new().create(true).append(true).open(path).unwrap().write_all(lines.as_bytes()).unwrap();
}

fn load(text: &str, folder: &Path) -> Project {
    load_text(text, &folder.join("foldline.toml"), folder, &BTreeMap::new(), &|_| None)
        .unwrap_or_else(|errors| panic!("{}", errors.iter().map(|error| error.render(false)).collect::<String>()))
}

/// What of the log a run reads.
#[derive(Clone, Copy, PartialEq)]
enum Reads {
    News,
    /// For the definitions that changed, if any.
    WhatChanged,
    All,
}

/// Runs foldline; it must publish, or refuse to, as the interpreter says. True if it published.
fn compare_run(
    project: &Project,
    interpreter: &Interpreter,
    world: &World,
    reads: Reads,
    random: &mut Random,
    counts: &mut Counts,
) -> bool {
    let options = Options {
        rebuild: reads == Reads::All,
        select: Vec::new(),
        threads: 1 + random.below(3),
        memory_bytes: 1 << 30,
        wait: None,
        quiet: true,
        now: "2026-01-01T00:00:00Z".into(),
        release: false,
        accept_history_change: false,
        record_bytes_max: 1 << 28,
        retry: Vec::new(),
    };
    let pool = rayon::ThreadPoolBuilder::new().num_threads(options.threads).build().unwrap();
    let (report, result) = pool.install(|| run(project, &options, &Stop::default()));
    let found = |kind: &str| report.bad.by_kind.get(kind).copied().unwrap_or(0);
    for kind in ["upcast", "contract", "key"].iter().filter(|_| reads != Reads::WhatChanged) {
        assert_eq!(found(kind), world.bad.get(kind).copied().unwrap_or(0), "{kind}: {:#?} {:?}", report.bad, world.bad);
    }
    assert_eq!(found("conflict"), world.conflicts, "{:#?}", report.bad);
    assert_eq!(found("gap"), interpreter.gaps(world), "gaps: {:#?}", report.bad);
    assert_eq!(found("fold") > 0, world.failed.is_some(), "{:?}: {:#?}", world.failed, report.bad);
    for kind in report.bad.by_kind.keys() {
        assert!(["upcast", "contract", "key", "conflict", "gap", "fold"].contains(&kind.as_str()), "{:#?}", report.bad);
    }
    let bad = !interpreter.spec.skips_bad && !world.bad.is_empty();
    let refused = bad || world.conflicts > 0 || interpreter.gaps(world) > 0 || world.failed.is_some();
    assert_eq!(result.is_err(), refused, "{result:?} {:#?}", report.bad);
    for source in &report.sources {
        assert_eq!(source.records, source.decoded + source.empty + source.bad);
        let events = &report.events;
        // every event is counted once, whatever else is wrong
        assert_eq!(source.events, events.folded + events.filtered + events.duplicates + events.pending);
    }
    counts.skipped += world.bad.values().sum::<u64>();
    if refused {
        counts.refused += 1;
    } else {
        counts.published += 1;
    }
    !refused
}

/// Compares everything that foldline keeps with what the interpreter holds.
fn compare_tables(project: &Project, interpreter: &Interpreter, world: &World, folder: &Path, counts: &mut Counts) {
    let store = Store::open(folder, None).unwrap();
    let manifest = store.newest().unwrap();
    let read = |schema: &[(String, Type)], files: &[&DataFile]| {
        let mut rows = Rows::new();
        for file in files {
            let frame = parquet::read(&store.data_path(&file.path), schema).unwrap();
            rows.extend((0..frame.rows()).map(|row| frame.columns.iter().map(|c| to_text(&c.get(row), &c.ty)).collect::<Vec<_>>()));
        }
        rows
    };
    for (index, (aggregate, table)) in project.aggregates.iter().zip(&world.tables).enumerate() {
        let schema = foldline::fold::schema(aggregate);
        let entry = manifest.as_ref().and_then(|manifest| manifest.aggregate(&aggregate.name));
        let int = |value: Option<i64>| value.map_or(Value::Null, |value| Value::Int(value.into()));
        let time = |value: Option<i64>| value.map_or(Value::Null, Value::Timestamp);
        let expected = table.rows.values().map(|row| {
            let meta = [int(Some(row.events)), int(row.version), int(row.position), time(row.first_at), time(row.last_at)];
            texts(row.key.iter().chain(&row.state).chain(&meta), &schema)
        });
        counts.rows += table.rows.len() as u64;
        let partitions = || entry.iter().flat_map(|entry| &entry.partitions);
        let found: Rows = partitions().flat_map(|partition| newest(partition, aggregate.keys.len(), &schema, read)).collect();
        let counted: u64 = partitions().map(Partition::rows).sum();
        assert_eq!(counted, found.len() as u64, "the manifest counts the rows of {}", aggregate.name);
        assert_same(&aggregate.name, &schema, found, expected.collect());
        for (number, rows) in aggregate.rows.iter().enumerate() {
            let schema = foldline::fold::rows_schema(aggregate, number);
            let files = entry.and_then(|entry| entry.rows.iter().find(|found| found.name == rows.name));
            let files: Vec<&DataFile> = files.iter().flat_map(|rows| &rows.files).collect();
            let expected: Rows = world.tables[index].emitted[number].iter().map(|row| texts(row.iter(), &schema)).collect();
            counts.emitted += expected.len() as u64;
            assert_same(&format!("{}.{}", aggregate.name, rows.name), &schema, read(&schema, &files), expected);
        }
    }
    for (event_type, rows) in interpreter.spec.event_tables.iter().zip(&world.events) {
        let table = project.event_tables.iter().find(|table| table.event_type == *event_type).unwrap();
        let schema = foldline::model::event_columns(table);
        let files = manifest.as_ref().and_then(|manifest| manifest.event_table(event_type));
        let files: Vec<&DataFile> = files.iter().flat_map(|table| &table.files).collect();
        counts.events += rows.len() as u64;
        let (found, expected) = (read(&schema, &files), rows.iter().map(|row| texts(row.iter(), &schema)).collect::<Rows>());
        let in_order = found == expected;
        assert_same(&format!("events.{event_type}"), &schema, found, expected);
        assert!(in_order, "events.{event_type} does not have the log's order");
    }
}

/// A partition's rows: its base's, each replaced by the newest delta that has its key.
fn newest(partition: &Partition, keys: usize, schema: &[(String, Type)], read: impl Fn(&[(String, Type)], &[&DataFile]) -> Rows) -> Rows {
    let mut delta_schema = schema.to_vec();
    delta_schema.push((TOMBSTONE_COLUMN.to_string(), Type::Boolean));
    let mut rows: BTreeMap<Vec<Option<String>>, Vec<Option<String>>> = BTreeMap::new();
    for row in partition.base.iter().flat_map(|base| read(schema, &[base])) {
        assert!(rows.insert(row[..keys].to_vec(), row).is_none(), "a key is once in a base");
    }
    for delta in &partition.deltas {
        let mut seen = BTreeSet::new();
        for mut row in read(&delta_schema, &[delta]) {
            let key = row[..keys].to_vec();
            assert!(seen.insert(key.clone()), "a key is once in a delta");
            match row.pop().flatten().as_deref() {
                Some("true") => rows.remove(&key),
                _ => rows.insert(key, row),
            };
        }
    }
    rows.into_values().collect()
}

fn texts<'a>(values: impl Iterator<Item = &'a Value>, schema: &[(String, Type)]) -> Vec<Option<String>> {
    let row: Vec<_> = values.zip(schema).map(|(value, (_, ty))| to_text(value, ty)).collect();
    assert_eq!(row.len(), schema.len());
    row
}

#[track_caller]
fn assert_same(name: &str, schema: &[(String, Type)], mut found: Rows, mut expected: Rows) {
    found.sort();
    expected.sort();
    if found == expected {
        return;
    }
    let columns: Vec<&str> = schema.iter().map(|(name, _)| name.as_str()).collect();
    let shown = |rows: &Rows, others: &Rows| {
        rows.iter().filter(|row| !others.contains(row)).take(5).map(|row| format!("\n    {row:?}")).collect::<String>()
    };
    panic!(
        "{name} differs, {} rows and {}: {columns:?}\n  only foldline: {}\n  only the reference: {}",
        found.len(),
        expected.len(),
        shown(&found, &expected),
        shown(&expected, &found)
    );
}
