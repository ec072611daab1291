//! The table that a person sees at the end of a run.

use crate::state::manifest::Pin;
use std::fmt::Write;

use super::numbers::{counted, human_bytes, human_count, human_seconds};
use super::{BadReport, FoldMode, Outcome, ReadModelStatus, Report, SourceReport};
use crate::printable::{printable, printable_start};

/// Characters of a stream's name, and of a reason, that are shown; `--json` has all of them.
const NAME_CHARS_MAX: usize = 200;
const REASON_CHARS_MAX: usize = 1000;

/// The whole summary as text with a line break at its end.
///
/// No line is wider than `width` columns where cutting a path can help it; `usize::MAX` cuts nothing.
pub fn summary(report: &Report, color: bool, width: usize) -> String {
    let paint = Paint { color };
    let mut out = String::new();
    headline(&mut out, report, paint);
    if let Some(pin) = &report.pinned {
        let _ = writeln!(out, "{}", pinned(pin));
    }
    if report.outcome == Outcome::NothingNew {
        warnings(&mut out, report, paint);
        return out;
    }
    out.push('\n');
    sources(report).write(&mut out, paint, width);
    out.push('\n');
    events(&mut out, report, paint);
    if !report.aggregates.is_empty() {
        out.push('\n');
        aggregates(report).write(&mut out, paint, width);
    }
    if !report.read_models.is_empty() {
        out.push('\n');
        read_models(report).write(&mut out, paint, width);
    }
    out.push('\n');
    stages(&mut out, report, paint);
    warnings(&mut out, report, paint);
    if report.bad.total > 0 {
        out.push('\n');
        out.push_str(&bad_records(&report.bad, color));
    }
    out
}

/// What a rollback that holds means for those who wait for new rows, one line without its end.
pub fn pinned(pin: &Pin) -> String {
    format!(
        "pinned to generation {} since {} (rolled back from generation {}): `foldline rollback --release` publishes again",
        pin.to, pin.since, pin.from
    )
}

/// The bad records: the first ones each with its place, then how many there are of each kind.
pub fn bad_records(bad: &BadReport, color: bool) -> String {
    let paint = Paint { color };
    let mut out = String::new();
    for record in &bad.first {
        let line = record.line.map(|line| format!(":{line}")).unwrap_or_default();
        // The kind is what is counted by; a reason that says it itself, or names the stream, does not say it twice.
        let kind = if record.reason.starts_with(&record.kind) { String::new() } else { format!("{}: ", record.kind) };
        let stream = match &record.stream {
            Some(stream) if !record.reason.contains(&format!("`{stream}`")) => {
                format!(" (stream `{}`)", printable_start(stream, NAME_CHARS_MAX))
            }
            _ => String::new(),
        };
        let place = paint.cyan(&format!("{}{line}", printable(&record.file)));
        let _ = writeln!(out, "{place}: {kind}{}{stream}", printable_start(&record.reason, REASON_CHARS_MAX));
    }
    let shown = bad.first.len() as u64;
    if bad.total > shown {
        let _ = writeln!(out, "… and {} more", human_count(bad.total - shown));
    }
    let kinds: Vec<_> = bad.by_kind.iter().map(|(kind, count)| format!("{kind} {}", human_count(*count))).collect();
    let _ = writeln!(out, "{}: {}", counted(bad.total, "bad record"), kinds.join(", "));
    out
}

fn headline(out: &mut String, report: &Report, paint: Paint) {
    let mut generation = report.generation.map(|n| format!(" generation {n}")).unwrap_or_default();
    generation.extend(report.target_dir.as_ref().map(|dir| format!(" into {}", printable(dir))));
    generation.extend(report.as_of.as_ref().map(|as_of| format!(" as of {as_of}")));
    let total = human_seconds(report.stages.total);
    let outcome = match report.outcome {
        Outcome::Published => paint.green(&format!("published{generation}")),
        Outcome::PublishedWithQuarantine => {
            let events = &report.events;
            let what = match events.pending + events.quarantined {
                0 if events.late > 0 => "late events",
                0 => "holes passed",
                _ => "events set aside",
            };
            paint.yellow(&format!("published{generation}, with {what}"))
        }
        Outcome::Pinned => paint.yellow(&format!("folded{generation}, published nothing,")),
        Outcome::NothingNew => {
            let live = report.generation.map(|n| format!(", generation {n} is current")).unwrap_or_default();
            let _ = writeln!(out, "{}: nothing new{live} ({total})", printable(&report.project));
            return;
        }
        Outcome::Failed => paint.red("failed, nothing published"),
    };
    let _ = write!(
        out,
        "{}: {outcome} in {total}: {}, {} ({} events/s, {}/s",
        printable(&report.project),
        counted(report.events_total(), "event"),
        human_bytes(report.bytes_total()),
        human_count(report.events_per_second.round() as u64),
        human_bytes(report.bytes_per_second.round() as u64),
    );
    if let Some(bytes) = report.peak_memory_bytes {
        let _ = write!(out, ", peak memory {}", human_bytes(bytes));
    }
    out.push_str(")\n");
}

fn sources(report: &Report) -> Table {
    let mut table = Table::new(&["source", ">files", ">read", ">records", ">events", ">empty", ">bad"]);
    for source in &report.sources {
        table.row([
            source.name.clone(),
            human_count(source.files),
            human_bytes(source.bytes_read),
            human_count(source.records),
            human_count(source.events),
            human_count(source.empty),
            human_count(source.bad),
        ]);
    }
    table
}

fn events(out: &mut String, report: &Report, paint: Paint) {
    let counts = &report.events;
    // `folded` and `filtered` always stand there; the others only when there is something to say.
    let mut parts = vec![format!("{} folded", human_count(counts.folded)), format!("{} filtered", human_count(counts.filtered))];
    let rare = [("duplicates", counts.duplicates), ("late", counts.late), ("pending", counts.pending), ("quarantined", counts.quarantined)];
    for (name, count) in rare {
        let text = format!("{} {name}", human_count(count));
        parts.push(if count > 0 && name != "duplicates" { paint.yellow(&text) } else { text });
    }
    let _ = writeln!(out, "{}  {}", paint.bold("events"), parts.join(", "));
    let sum = |count: fn(&SourceReport) -> u64| report.sources.iter().map(count).sum::<u64>();
    let (now, before) = (sum(|s| s.in_quarantine), sum(|s| s.in_quarantine_before));
    if now + before > 0 {
        let text = format!("{}, {} before", counted(now, "record"), human_count(before));
        let _ = writeln!(out, "{}  {}", paint.bold("quarantine"), if now > 0 { paint.yellow(&text) } else { text });
    }
}

fn aggregates(report: &Report) -> Table {
    let mut table = Table::new(&["aggregate", ">rows", ">events", "fold"]);
    for aggregate in &report.aggregates {
        let mode = match aggregate.mode {
            FoldMode::Incremental => "incremental",
            FoldMode::Replayed => "replayed",
            FoldMode::Unchanged => "unchanged",
        };
        table.row([aggregate.name.clone(), human_count(aggregate.rows), human_count(aggregate.events_folded), mode.to_string()]);
    }
    table
}

fn read_models(report: &Report) -> Table {
    let mut table = Table::new(&["read model", ">rows", ">size", "to"]);
    for model in &report.read_models {
        let rows = human_count(model.rows);
        let state = match model.status {
            ReadModelStatus::Published => None,
            ReadModelStatus::Unchanged => Some("unchanged"),
            ReadModelStatus::Stale => Some("stale"),
            ReadModelStatus::CheckFailed => Some("a check failed"),
        };
        if let Some(state) = state {
            table.row([model.name.clone(), rows, String::new(), format!("({state})")]);
            continue;
        }
        if model.targets.is_empty() {
            table.row([model.name.clone(), rows.clone(), String::new(), "(view)".to_string()]);
        }
        for (i, target) in model.targets.iter().enumerate() {
            let first = |text: &str| if i == 0 { text.to_string() } else { String::new() };
            table.row([first(&model.name), first(&rows), human_bytes(target.bytes), target.path.clone()]);
        }
    }
    table
}

fn stages(out: &mut String, report: &Report, paint: Paint) {
    let stages = &report.stages;
    let parts: Vec<_> = [
        ("scan", stages.scan),
        ("fold", stages.fold),
        ("snapshot", stages.snapshot),
        ("read models", stages.read_models),
        ("publish", stages.publish),
    ]
    .iter()
    .map(|(name, seconds)| format!("{name} {}", human_seconds(*seconds)))
    .collect();
    let _ = writeln!(out, "{}  {}", paint.bold("stages"), parts.join(", "));
}

fn warnings(out: &mut String, report: &Report, paint: Paint) {
    if report.warnings.is_empty() {
        return;
    }
    out.push('\n');
    for warning in &report.warnings {
        let _ = writeln!(out, "{}: {}", paint.yellow("warning"), printable(warning));
    }
}

/// Rows in aligned columns. A header that begins with `>` aligns its column to the right.
pub(super) struct Table {
    header: Vec<(String, bool)>,
    rows: Vec<Vec<String>>,
}

impl Table {
    pub(super) fn new(header: &[&str]) -> Self {
        let header = header.iter().map(|h| (h.trim_start_matches('>').to_string(), h.starts_with('>'))).collect();
        Table { header, rows: Vec::new() }
    }

    pub(super) fn row<const N: usize>(&mut self, cells: [String; N]) {
        assert_eq!(N, self.header.len(), "a row has a cell for each column");
        self.rows.push(cells.iter().map(|cell| printable(cell)).collect());
    }

    pub(super) fn write(&self, out: &mut String, paint: Paint, width: usize) {
        let widths: Vec<usize> = (0..self.header.len())
            .map(|c| {
                let cells = self.rows.iter().map(|row| columns_of(&row[c]));
                cells.chain([columns_of(&self.header[c].0)]).max().unwrap_or(0)
            })
            .collect();
        let names: Vec<String> = self.header.iter().map(|(name, _)| name.clone()).collect();
        let _ = writeln!(out, "{}", paint.bold(&self.line(&names, &widths, width)));
        for row in &self.rows {
            let _ = writeln!(out, "{}", self.line(row, &widths, width));
        }
    }

    fn line(&self, cells: &[String], widths: &[usize], width: usize) -> String {
        let mut line = String::new();
        for (c, cell) in cells.iter().enumerate() {
            if c > 0 {
                line.push_str("  ");
            }
            let last = c + 1 == cells.len();
            let pad = " ".repeat(widths[c] - columns_of(cell));
            if self.header[c].1 {
                line.push_str(&pad);
                line.push_str(cell);
            } else if last {
                line.push_str(&cut_front(cell, width.saturating_sub(columns_of(&line))));
            } else {
                line.push_str(cell);
                line.push_str(&pad);
            }
        }
        line.truncate(line.trim_end().len());
        line
    }
}

/// Columns that a text takes; names and paths are near enough to one column a character.
fn columns_of(text: &str) -> usize {
    text.chars().count()
}

/// The end of a text that is too wide: of a path, the end says most.
fn cut_front(text: &str, width: usize) -> String {
    let have = columns_of(text);
    // Below this nothing useful is left of a path; let the terminal wrap it.
    const WORTH_CUTTING: usize = 12;
    if have <= width || width < WORTH_CUTTING {
        return text.to_string();
    }
    let tail: String = text.chars().skip(have - width + 1).collect();
    format!("…{tail}")
}

/// Colors, or none.
#[derive(Clone, Copy)]
pub(super) struct Paint {
    pub(super) color: bool,
}

impl Paint {
    fn with(self, code: &str, text: &str) -> String {
        if self.color { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_string() }
    }
    pub fn bold(self, text: &str) -> String {
        self.with("1", text)
    }
    pub fn red(self, text: &str) -> String {
        self.with("1;31", text)
    }
    pub fn green(self, text: &str) -> String {
        self.with("1;32", text)
    }
    pub fn yellow(self, text: &str) -> String {
        self.with("1;33", text)
    }
    pub fn cyan(self, text: &str) -> String {
        self.with("36", text)
    }
}

#[cfg(test)]
mod tests {
    use super::super::*;
    use super::*;

    fn target(kind: TargetKind, path: &str, bytes: u64) -> TargetReport {
        TargetReport { kind, path: path.into(), bytes }
    }

    fn shop() -> Report {
        let mut report = Report::new("run", "shop");
        report.outcome = Outcome::Published;
        report.generation = Some(3);
        report.sources = vec![SourceReport {
            name: "shop".into(),
            files: 3,
            bytes_read: 1_234_567,
            records: 24_001,
            decoded: 24_000,
            events: 24_000,
            empty: 1,
            bad: 0,
            pending_before: 0,
            in_quarantine: 0,
            in_quarantine_before: 0,
            holes_passed: 0,
        }];
        report.events = EventCounts { folded: 22_900, filtered: 1_000, duplicates: 100, ..Default::default() };
        report.aggregates = vec![
            AggregateReport {
                name: "customer".into(),
                rows: 1_000,
                events_folded: 1_210,
                mode: FoldMode::Incremental,
                late_arrivals: 0,
                partitions_replayed: 0,
            },
            AggregateReport {
                name: "order".into(),
                rows: 5_432,
                events_folded: 21_690,
                mode: FoldMode::Replayed,
                late_arrivals: 0,
                partitions_replayed: 0,
            },
            AggregateReport {
                name: "product".into(),
                rows: 200,
                events_folded: 0,
                mode: FoldMode::Unchanged,
                late_arrivals: 0,
                partitions_replayed: 0,
            },
        ];
        report.read_models = vec![
            ReadModelReport {
                name: "order_summary".into(),
                status: ReadModelStatus::Published,
                rows: 5_432,
                targets: vec![
                    target(TargetKind::Parquet, "out/order_summary.parquet", 123_456),
                    target(TargetKind::Duckdb, "out/shop.duckdb", 1_590_000),
                ],
            },
            ReadModelReport { name: "customers".into(), status: ReadModelStatus::Stale, rows: 1_000, targets: vec![] },
            ReadModelReport { name: "open_orders".into(), status: ReadModelStatus::Published, rows: 77, targets: vec![] },
        ];
        report.stages = StageSeconds { scan: 0.312, fold: 0.298, snapshot: 0.041, read_models: 0.122, publish: 0.033, total: 0.517 };
        report.events_per_second = 46_421.7;
        report.bytes_per_second = 2_387_943.0;
        report.peak_memory_bytes = Some(98_123_776);
        report
    }

    #[test]
    fn a_published_run() {
        insta::assert_snapshot!(summary(&shop(), false, usize::MAX));
    }

    #[test]
    fn a_narrow_terminal_cuts_paths_in_front() {
        insta::assert_snapshot!(summary(&shop(), false, 52));
    }

    #[test]
    fn a_failed_run_shows_its_bad_records() {
        let mut report = shop();
        report.outcome = Outcome::Failed;
        report.generation = None;
        report.aggregates.clear();
        report.read_models.clear();
        report.sources[0].records += 12;
        report.sources[0].bad = 12;
        report.warnings = vec!["`sum` over doubles in read model `sales` depends on the order of rows".into()];
        for line in 1..=12 {
            report.bad.push(BadRecord {
                kind: if line == 1 { "not JSON" } else { "contract" }.into(),
                file: "events/a.ndjson".into(),
                line: Some(line * 100),
                stream: (line > 1).then(|| format!("order-{line}")),
                reason: if line == 1 { "expected a value" } else { "`qty` is missing, and the contract says NOT NULL" }.into(),
            });
        }
        insta::assert_snapshot!(summary(&report, false, usize::MAX));
    }

    #[test]
    fn escape_sequences_of_a_log_do_not_reach_the_terminal() {
        let mut bad = BadReport::default();
        let reason = "`\u{1b}[2J` is no number".to_string();
        bad.push(BadRecord { kind: "contract".into(), file: "a.ndjson".into(), line: Some(1), stream: Some("order-\r1".into()), reason });
        assert_eq!(
            bad_records(&bad, false),
            "a.ndjson:1: contract: `\\u001b[2J` is no number (stream `order-\\r1`)\n1 bad record: contract 1\n"
        );
    }

    #[test]
    fn nothing_new_is_one_line() {
        let mut report = shop();
        report.outcome = Outcome::NothingNew;
        assert_eq!(summary(&report, false, usize::MAX), "shop: nothing new, generation 3 is current (0.52 s)\n");
    }

    #[test]
    fn colors_change_nothing_but_colors() {
        let (plain, colored) = (summary(&shop(), false, usize::MAX), summary(&shop(), true, usize::MAX));
        assert!(colored.contains("\x1b[1;32mpublished generation 3\x1b[0m"));
        let mut stripped = String::new();
        let mut rest = colored.as_str();
        while let Some(at) = rest.find('\x1b') {
            stripped.push_str(&rest[..at]);
            rest = &rest[at + rest[at..].find('m').unwrap() + 1..];
        }
        stripped.push_str(rest);
        assert_eq!(stripped, plain);
    }

    #[test]
    fn json_of_a_report() {
        let json: serde_json::Value = serde_json::from_str(&shop().to_json()).unwrap();
        insta::assert_snapshot!(serde_json::to_string_pretty(&json).unwrap());
    }
}
