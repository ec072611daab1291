//! What a log, a file's name or a project says about itself reaches a terminal as text: no message steers it, turns its
//! writing around, or begins a line of its own.

mod common;

use std::path::PathBuf;

use common::{Output, Project};
use serde_json::json;

/// A title for the window, a cleared screen, C1 codes, a line of its own, and text that reads from right to left.
const HOSTILE: &str = "x\u{1b}]0;owned\u{7}\u{1b}[2J\u{1b}[35m\u{9b}31m\r\nerror: forged\u{202e}txt\u{2066}\u{200b}\u{2028}y";
/// How messages show it.
const SHOWN: &str = r"x\u001b]0;owned\u0007\u001b[2J\u001b[35m\u009b31m\r\nerror: forged\u202etxt\u2066\u200b\u2028y";

fn file_name() -> String {
    format!("log-{HOSTILE}.ndjson")
}

fn toml_text(text: &str) -> String {
    json!(text).to_string().replace('\u{9b}', "\\u009b").replace('\u{7f}', "\\u007f")
}

fn project_file(more: &str) -> String {
    format!(
        r#"
[project]
name = {name}
[source.s]
files = ["log*.ndjson"]
[event.T]
n = "INTEGER"
t = "VARCHAR"
[aggregate.a]
stream = "a-{{id}}"
[aggregate.a.state]
n = "INTEGER DEFAULT 0"
t = "VARCHAR"
[aggregate.a.on.T]
set.n = "n + coalesce(data.n, 1)"
set.t = "data.t"
[read_model.m]
sql = "SELECT id, n, t, _events FROM a"
[[read_model.m.to]]
parquet = "out/m.parquet"
{more}"#,
        name = toml_text(HOSTILE)
    )
}

fn event(stream: &str, event_type: &str, version: u64, data: serde_json::Value) -> String {
    format!("{}\n", json!({"stream_id": stream, "type": event_type, "version": version, "data": data}))
}

fn project(more: &str, log: &str) -> Project {
    let project = Project::new(&project_file(more));
    project.write(&file_name(), log);
    project
}

/// What a terminal must not get: anything but line breaks and the colors that foldline paints with (it has no 35).
fn stray(text: &str) -> Option<char> {
    let painted = text.replace("\u{1b}[35m", "\u{7}");
    let plain = regex::Regex::new("\u{1b}\\[[0-9;]*m").unwrap().replace_all(&painted, "").into_owned();
    let hidden = |c: char| matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}');
    plain.chars().find(|c| *c != '\n' && (c.is_control() || hidden(*c)))
}

/// Runs a verb plainly, in colors and as JSON. Gives what it said plainly.
#[track_caller]
fn said(project: &Project, args: &[&str], code: i32) -> String {
    let plain = project.foldline(args);
    let shown = |output: &Output| format!("{}{}", output.stdout, output.stderr);
    let text = shown(&plain);
    plain.exits(code);
    assert_eq!(stray(&text.replace('\u{1b}', "\u{7f}")), None, "{args:?} said {text:?}");
    assert!(!text.lines().any(|line| line.trim_start().starts_with("error: forged")), "{args:?} said {text}");
    let colored = project.foldline(&[args, &["--color", "always"]].concat());
    assert_eq!(stray(&shown(&colored)), None, "{args:?} in colors said {:?}", shown(&colored));
    let json = project.foldline(&[args, &["--json"]].concat());
    assert_eq!(stray(&shown(&json)), None, "{args:?} --json said {:?}", shown(&json));
    if !json.stdout.is_empty() {
        json.json();
    }
    text
}

#[test]
fn bad_records_of_every_kind() {
    let cast = "[[upcast]]\ntype = \"Old\"\nset = { n = \"data.t::INTEGER\" }\nas = \"T\"\n";
    let fail = "[[aggregate.a.on.F]]\nfail = \"'no: ' || event.stream\"\n";
    let stream = format!("a-{HOSTILE}");
    let logs = [
        ("not JSON", "", format!("{HOSTILE}\n").replace("\r\n", "\r")),
        ("contract", "", event(&stream, "T", 1, json!({"n": HOSTILE}))),
        ("envelope", "", format!("{}\n", json!({"stream_id": stream, "type": "T", "version": HOSTILE}))),
        ("envelope", "", format!("{}\n", json!({"kind": HOSTILE}))),
        ("upcast", cast, event("a-1", "Old", 1, json!({"t": HOSTILE}))),
        ("fold", fail, event(&stream, "F", 1, json!({}))),
        ("gap", "", event(&stream, "T", 5, json!({}))),
        ("conflict", "", event(&stream, "T", 1, json!({"n": 1})) + &event(&stream, "T", 1, json!({"n": 2}))),
    ];
    for (kind, more, log) in logs {
        let project = project(more, &log);
        let text = said(&project, &["run"], 65);
        assert!(text.contains(&format!("bad record: {kind} 1\n")), "{text}");
        assert!(text.contains(&format!("log-{SHOWN}.ndjson:")), "{text}");
        let json = project.foldline(&["run", "--json"]).json();
        assert_eq!(json["bad"]["first"][0]["file"], file_name());
        if matches!(kind, "contract" | "fold" | "gap" | "conflict") {
            assert_eq!(json["bad"]["first"][0]["stream"], stream);
            assert!(text.contains(&format!("a-{SHOWN}")), "{text}");
        }
    }
}

#[test]
fn what_every_verb_says_of_a_project_that_works() {
    let tests = format!(
        "[[test]]\nname = {hostile}\ngiven = [{{ stream = {stream}, type = \"T\", data = {{ t = {hostile} }} }}]\nthen = {{ a = [{{ t = \"z\" }}] }}\n",
        hostile = toml_text(HOSTILE),
        stream = toml_text(&format!("a-{HOSTILE}"))
    );
    let project = project(&tests, &event(&format!("a-{HOSTILE}"), "T", 1, json!({"t": HOSTILE})));
    assert!(said(&project, &["check"], 0).contains(SHOWN));
    assert!(said(&project, &["plan", "-v"], 0).contains(&format!("log-{SHOWN}.ndjson from byte 0")));
    assert!(said(&project, &["test"], 13).contains(SHOWN));
    assert!(said(&project, &["status"], 0).contains(SHOWN));
    // the last line waits for its end
    project.append(&file_name(), "{\"");
    let text = project.foldline(&["run"]).exits(0).stderr;
    assert!(text.contains(&format!("{SHOWN}: published generation 1")) && text.contains("warning"), "{text}");
    assert_eq!(stray(&text.replace('\u{1b}', "\u{7f}")), None, "{text:?}");
    assert!(said(&project, &["status"], 0).contains(SHOWN));
    assert!(said(&project, &["rollback", "--list"], 0).contains("current"));
    assert!(said(&project, &["verify"], 0).contains("agree"));
    let changed = project_file(&tests).replace("set.t = \"data.t\"", "set.t = \"data.t || event.stream\"");
    project.write("foldline.toml", changed);
    assert!(said(&project, &["diff"], 13).contains(r"x\u001b]0;owned"));
}

#[test]
fn a_hole_that_is_waited_for() {
    let project = Project::new(&project_file("").replace("[event.T]", "on_gap = \"wait\"\n[event.T]"));
    project.write(&file_name(), event(&format!("a-{HOSTILE}"), "T", 3, json!({})));
    let text = project.foldline(&["run"]).exits(3).stderr;
    assert!(text.contains(&format!("a-{SHOWN}")), "{text}");
    assert_eq!(stray(&text.replace('\u{1b}', "\u{7f}")), None, "{text:?}");
    assert!(said(&project, &["status"], 0).contains(&format!("a-{SHOWN}")));
}

#[test]
fn a_check_that_fails_and_sql_that_fails_on_a_value() {
    let log = event("a-1", "T", 1, json!({"t": HOSTILE})) + &event("a-2", "T", 1, json!({"t": HOSTILE}));
    let checked = project("[[read_model.m.check]]\nunique = [\"t\"]\n", &log);
    assert!(said(&checked, &["run"], 14).contains(SHOWN));
    let cast = Project::new(&project_file("").replace("n, t, _events", "n, t::INTEGER AS t, _events"));
    cast.write("log.ndjson", &log);
    let text = said(&cast, &["run"], 65);
    assert!(text.contains(r"x\u001b]0;owned"), "{text}");
}

#[test]
fn a_rule_that_does_not_fit_a_type_of_the_log() {
    let more = "[event.\"*odd*\"]\nv = \"VARCHAR\"\n[event.\"X*\"]\nv = \"INTEGER\"\n[aggregate.a.on.\"X*\"]\nset.n = \"n + data.v\"\n";
    let project = project(more, &event("a-1", &format!("Xodd{HOSTILE}"), 1, json!({})));
    let text = said(&project, &["run"], 78);
    assert!(text.contains(SHOWN), "{text}");
}

#[test]
fn files_that_changed_or_have_hostile_names_and_a_project_file_that_is_broken() {
    let project = project("", &event("a-1", "T", 1, json!({})));
    project.foldline(&["run"]).exits(0);
    project.write(&file_name(), event("a-1", "T", 1, json!({"n": 7})));
    assert!(said(&project, &["run"], 10).contains(&format!("log-{SHOWN}.ndjson")));
    assert!(said(&project, &["status"], 10).contains(SHOWN));

    let broken = Project::new("# \u{1b}[2J \u{202e} \u{9b}31m\n[source.s]\nfiles = [\u{1b}]0;\u{7}\n");
    said(&broken, &["check"], 78);
    let misspelt = Project::new(&project_file(&format!("[aggregate.{}]\nx = 1\n", toml_text(HOSTILE))));
    said(&misspelt, &["check"], 78);
    let visible = "\u{202e}\u{2066}\u{200b}";
    let quoted = Project::new(&project_file(&format!("[aggregate.b] # {visible}\nstreams = \"{visible}\" # {visible}\n")));
    said(&quoted, &["check"], 78);
}

#[test]
fn hostile_values_and_names_pass_through_to_the_targets_unchanged() {
    let values = ["=cmd|' /C calc'!A0", "<script>alert(1)</script>", HOSTILE, "'; DROP TABLE m; --", "\\N", "\u{0}"];
    let log: String =
        values.iter().enumerate().map(|(i, value)| event(&format!("a-{value}"), "T", 1, json!({"t": value, "n": i}))).collect();
    let column = "\\\"; DROP TABLE x; --";
    let project = Project::new(
        &(project_file("[[read_model.m.to]]\nduckdb = \"out/m.duckdb\"\n")
            .replace("n, t, _events", &format!("n, t AS \\\"{}\\\"", column.replace("\\\"", "\\\"\\\"")))
            .replace("FROM a\"", "FROM a ORDER BY n\"")),
    );
    project.write("log.ndjson", log);
    project.foldline(&["run"]).exits(0);
    let db = common::duckdb();
    let attached = format!("ATTACH {} AS f (READ_ONLY)", common::literal(&project.path("out/m.duckdb")));
    db.execute_batch(&attached).unwrap();
    for table in [common::literal(&project.path("out/m.parquet")), "f.m".to_string()] {
        let mut statement = db.prepare(&format!("SELECT id, \"\"\"; DROP TABLE x; --\" FROM {table} ORDER BY n")).unwrap();
        let rows: Vec<(String, String)> =
            statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap().collect::<Result<_, _>>().unwrap();
        assert_eq!(rows, values.map(|value| (value.to_string(), value.to_string())));
    }
}

#[test]
fn event_types_of_any_characters_are_event_tables() {
    let names = ["a\"b", "it's", "back\\slash", "line\nbreak", "x; DROP TABLE y; --", "../../etc/passwd", "é😀", "a%2Fb", ".", "CON"];
    let mut toml = "[source.s]\nfiles = [\"*.ndjson\"]\n".to_string();
    let mut unions = Vec::new();
    for (i, name) in names.iter().enumerate() {
        toml.push_str(&format!("[event.{}]\n\"v\" = \"VARCHAR\"\n", toml_text(name)));
        unions.push(format!("SELECT {i} AS i, v, _stream FROM events.\"{}\"", name.replace('"', "\"\"")));
    }
    toml.push_str(&format!(
        "[read_model.m]\nsql = {}\n[[read_model.m.to]]\nparquet = \"m.parquet\"\n",
        toml_text(&unions.join(" UNION ALL "))
    ));
    let project = Project::new(&toml);
    project.write(
        "log.ndjson",
        names
            .iter()
            .map(|name| event("s-1", name, 1 + names.iter().position(|n| n == name).unwrap() as u64, json!({"v": name})))
            .collect::<String>(),
    );
    project.foldline(&["run"]).exits(0);
    project.foldline(&["verify"]).exits(0);
    let db = common::duckdb();
    let mut statement = db.prepare(&format!("SELECT v FROM {} ORDER BY i", common::literal(&project.path("m.parquet")))).unwrap();
    let found: Vec<String> = statement.query_map([], |row| row.get(0)).unwrap().collect::<Result<_, _>>().unwrap();
    assert_eq!(found, names);
    // nothing lies outside of the project's own folders
    let root = project.path("");
    let outside: Vec<PathBuf> = common::files_below(&root)
        .into_iter()
        .map(|path| path.strip_prefix(&root).unwrap().to_path_buf())
        .filter(|path| !path.starts_with(".foldline") && !matches!(path.to_str(), Some("foldline.toml" | "log.ndjson" | "m.parquet")))
        .filter(|path| !path.to_string_lossy().starts_with("m.gen-") && !path.to_string_lossy().starts_with(".m"))
        .collect();
    assert!(outside.is_empty(), "{outside:?}");
}

#[test]
fn names_that_become_files_or_sql_are_letters_and_digits() {
    for name in ["../x", "a/b", "a b", "a\"b", ".", "..", "-x", "x;y", "a\u{0}b", "\u{1b}[2J", "é\u{301}/", "con.parquet", ""] {
        let key = toml_text(name);
        let sections = [
            format!("[aggregate.{key}]\nstream = \"z-{{id}}\"\n"),
            format!("[aggregate.a.rows.{key}]\nx = \"INTEGER\"\n"),
            format!("[read_model.{key}]\naggregate = \"b\"\n[[read_model.{key}.to]]\nparquet = \"out/z.parquet\"\n"),
            format!("[table.{key}]\nfile = \"x.csv\"\n"),
            format!("[source.{key}]\nfiles = [\"y.ndjson\"]\n"),
            format!("[schedule.{key}]\nevery = \"15m\"\n"),
        ];
        // each alone: three tables of one name would be an error of their own
        for section in sections {
            let project = Project::new(&project_file(&section));
            let said = project.foldline(&["check"]).exits(78).stderr;
            assert!(said.contains("cannot be the name of"), "{section}: {said}");
            assert_eq!(stray(&said.replace('\u{1b}', "\u{7f}")), None, "{said:?}");
        }
    }
}

#[test]
fn what_is_in_quarantine() {
    let project = Project::new(&project_file("").replace("[event.T]", "on_bad_record = \"quarantine\"\n[event.T]"));
    let stream = format!("a-{HOSTILE}");
    let mut log = event(&stream, "T", 1, json!({"n": HOSTILE})).into_bytes();
    log.extend(event(&stream, "T", 2, json!({})).bytes());
    log.extend(b"\x1b[2J\x9b\xff\xe2\x80\xae no JSON\n");
    project.write(&file_name(), log);
    let text = project.foldline(&["run"]).exits(3).stderr;
    assert_eq!(stray(&text.replace('\u{1b}', "\u{7f}")), None, "{text:?}");
    let text = said(&project, &["quarantine", "list"], 0);
    assert!(text.contains(SHOWN), "{text}");
    for entry in 1..=2 {
        said(&project, &["quarantine", "show", &entry.to_string()], 0);
    }
    said(&project, &["quarantine", "show", &stream], 0);
    said(&project, &["status"], 0);
    said(&project, &["plan"], 0);
}
