//! `inspect`: the audit of a log, of a project's source or of files that no project names.

mod common;

use common::{Project, duckdb, literal, shop_log};

#[test]
fn a_log_is_counted_as_duckdb_counts_it() {
    let project = Project::shop_without_logs();
    project.write("all.ndjson", shop_log());
    let found = project.foldline(&["inspect", "all.ndjson", "--json"]).exits(0).json();
    let db = duckdb();
    let log = format!("read_json({}, format = 'newline_delimited')", literal(&project.path("all.ndjson")));
    let text = |query: String| db.query_row(&query, [], |row| row.get::<_, String>(0)).unwrap();
    let types = text(format!(
        "SELECT json_group_object(type, json_object('events', n, 'first_time', f, 'last_time', l)) FROM (SELECT type, count(*) n, \
         min(time)::TIMESTAMP::VARCHAR f, max(time)::TIMESTAMP::VARCHAR l FROM {log} GROUP BY ALL ORDER BY ALL)"
    ));
    assert_eq!(found["types"], serde_json::from_str::<serde_json::Value>(&types).unwrap());
    let categories =
        text(format!("SELECT json_group_object(c, n) FROM (SELECT split_part(stream_id, '-', 1) c, count(*) n FROM {log} GROUP BY ALL)"));
    assert_eq!(found["categories"], serde_json::from_str::<serde_json::Value>(&categories).unwrap());
    let positions = text(format!("SELECT json_array(min(position), max(position)) FROM {log}"));
    let positions: Vec<i64> = serde_json::from_str(&positions).unwrap();
    assert_eq!([&found["positions"]["least"], &found["positions"]["greatest"]], [positions[0], positions[1]]);
    assert_eq!(found["positions"]["steps_back"], 0);
    assert_eq!(found["bad"]["total"], 0);
}

#[test]
fn what_is_wrong_is_told_with_its_place_and_the_whole_log_is_looked_at() {
    let project = Project::shop_without_logs();
    let good = |stream: &str, position: i64| format!("{{\"stream_id\":\"{stream}\",\"type\":\"T\",\"position\":{position}}}\n");
    // chunks are cut in between, and lines are counted on
    let many: String = (10..20_000).map(|position| good("order-1", position)).collect();
    let long = format!("{{\"stream_id\":\"cart-1\",\"type\":\"U\",\"data\":{{\"text\":\"{}\"}}}}\n", "x".repeat(5000));
    project.write("a.ndjson", format!("{}{{\"stream_id\":1\n{many}{}\n{long}{{\"type\":\"T\"}}\n", good("order-1", 1), good("order-1", 7)));
    let output = project.foldline(&["inspect", "*.ndjson", "--json", "--threads", "2"]).exits(65);
    let found = output.json();
    assert_eq!((&found["records"], &found["events"], &found["empty"]), (&19_996.into(), &19_993.into(), &1.into()), "{found}");
    assert_eq!(found["types"]["T"]["events"], 19_992);
    assert_eq!(found["categories"], serde_json::json!({ "order": 19_992, "cart": 1 }));
    assert_eq!(found["positions"], serde_json::json!({ "least": 1, "greatest": 19_999, "missing": 1, "steps_back": 1, "repeats": 0 }));
    assert_eq!(found["largest"]["line"], 19_995);
    let bad: Vec<u64> = found["bad"]["first"].as_array().unwrap().iter().map(|bad| bad["line"].as_u64().unwrap()).collect();
    assert_eq!(bad, [2, 19_996]);
    let one = project.foldline(&["inspect", "*.ndjson", "--json", "--threads", "1"]).exits(65).json();
    let without_time = |mut found: serde_json::Value| {
        found["seconds"] = 0.into();
        found
    };
    assert_eq!(without_time(one), without_time(found));
    let text = project.foldline(&["inspect", "*.ndjson"]).exits(65).stdout;
    for part in ["19,993 events in 1 file", "T     19,992", "a.ndjson:2", "1 step back"] {
        assert!(text.contains(part), "{part}: {text}");
    }
}

#[test]
fn a_project_names_sources_and_needs_none_for_files() {
    let project = Project::shop();
    let all = project.foldline(&["inspect", "--json"]).exits(0).json();
    assert_eq!(all["source"], "shop");
    let named = project.foldline(&["inspect", "SHOP", "--json"]).exits(0).json();
    assert_eq!((&named["events"], &named["types"]), (&all["events"], &all["types"]));
    let unknown = project.foldline(&["inspect", "shpo"]).exits(2);
    assert!(unknown.stderr.contains("the project has shop"), "{}", unknown.stderr);
    let none = project.foldline(&["inspect", "nothing/*.ndjson"]).exits(66);
    assert!(none.stderr.contains("no file matches"), "{}", none.stderr);
    std::fs::remove_file(project.path("foldline.toml")).unwrap();
    let nothing = project.foldline(&["inspect"]).exits(66);
    assert!(nothing.stderr.contains("or name files"), "{}", nothing.stderr);
    project.foldline(&["inspect", "events/*"]).exits(0);
}
