//! `order_by`: several sources in one aggregate, against DuckDB over all logs.

mod common;

use std::fmt::Write as _;
use std::fs;

use common::random::Random;
use common::{Project, adds_up, duckdb, literal, number};

/// A shop and a warehouse that move the same items. What is folded tells the order of every event.
const PROJECT: &str = r#"
[project]
name = "order_by"

[source.shop]
files  = ["shop/*.ndjson"]
on_gap = "wait"

[source.warehouse]
files  = ["warehouse/*.ndjson"]
dedupe = "none"
WAREHOUSE

[event.Moved]
sku   = "VARCHAR NOT NULL"
place = "VARCHAR NOT NULL"
qty   = "INTEGER NOT NULL"

[event.Counted]
sku = "VARCHAR NOT NULL"
qty = "INTEGER NOT NULL"

[aggregate.item]
source   = ["warehouse", "shop"]
order_by = "event.time"
key      = { sku = "data.sku" }
[aggregate.item.state]
trail = "VARCHAR DEFAULT ''"
place = "VARCHAR"
qty   = "BIGINT DEFAULT 0"
[aggregate.item.on.Moved]
set.trail = "trail || data.place || ','"
set.place = "data.place"
set.qty   = "qty + data.qty"

[aggregate.single]
source   = "shop"
order_by = "data.qty"
key      = { sku = "data.sku" }
[aggregate.single.state]
trail = "VARCHAR DEFAULT ''"
[aggregate.single.rows.seen]
trail = "VARCHAR"
[aggregate.single.on.Moved]
set.trail = "trail || data.place || ','"
[[aggregate.single.after]]
emit.seen = { trail = "trail" }

[read_model.items]
sql = "SELECT sku, trail, place, qty, _events FROM item"
[[read_model.items.to]]
parquet = "out/items.parquet"

[read_model.singles]
sql = "SELECT sku, trail, _events FROM single"
[[read_model.singles.to]]
parquet = "out/singles.parquet"

[read_model.seen]
sql = "SELECT sku, trail, _position FROM single.seen"
[[read_model.seen.to]]
parquet = "out/seen.parquet"
"#;

const MODELS: [&str; 3] = ["items", "singles", "seen"];

fn project() -> Project {
    Project::new(&PROJECT.replace("WAREHOUSE", ""))
}

fn targets(project: &Project) -> [Vec<u8>; 3] {
    MODELS.map(|name| fs::read(project.path(&format!("out/{name}.parquet"))).unwrap())
}

#[track_caller]
fn assert_same(found: &Project, expected: &Project, what: &str) {
    for ((name, found), expected) in MODELS.iter().zip(targets(found)).zip(targets(expected)) {
        assert!(found == expected, "{name} differs: {what}");
    }
}

#[derive(Clone)]
struct Move {
    stream: usize,
    version: i64,
    position: i64,
    second: usize,
    sku: usize,
    place: String,
    qty: i64,
}

impl Move {
    fn line(&self) -> String {
        let Move { stream, version, position, second, sku, place, qty } = self;
        format!(
            r#"{{"stream_id":"s-{stream}","type":"Moved","version":{version},"position":{position},"time":"2026-01-01T00:00:{second:02}Z","data":{{"sku":"sku-{sku}","place":"{place}","qty":{qty}}}}}"#
        ) + "\n"
    }
}

/// Moves in the order of their log; their times go up and down and often meet.
fn moves(random: &mut Random, name: &str, count: usize) -> Vec<Move> {
    let mut versions = [0; 4];
    (0..count)
        .map(|i| {
            let stream = random.below(4);
            versions[stream] += 1;
            let second = (i / 2 + random.below(8)).min(59);
            let (sku, qty) = (random.below(9), random.below(5) as i64);
            Move { stream, version: versions[stream], position: i as i64, second, sku, place: format!("{name}{i}"), qty }
        })
        .collect()
}

/// The rows that the two logs come to, by DuckDB. The logs are given in their sources' own order.
fn oracle(shop: &[Move], warehouse: &[Move]) -> (duckdb::Connection, String, String) {
    let db = duckdb();
    let mut values = String::new();
    for (source, moves) in [(0, warehouse), (1, shop)] {
        for (i, m) in moves.iter().enumerate() {
            let comma = if values.is_empty() { "" } else { ", " };
            let _ = write!(values, "{comma}({source}, {i}, {}, 'sku-{}', '{}', {})", m.second, m.sku, m.place, m.qty);
        }
    }
    db.execute_batch(&format!("CREATE TABLE moves AS SELECT * FROM (VALUES {values}) t(source, n, second, sku, place, qty)")).unwrap();
    let items = "SELECT sku, string_agg(place || ',', '' ORDER BY second, source, n) AS trail, \
                 last(place ORDER BY second, source, n) AS place, sum(qty)::BIGINT AS qty, count(*) AS _events FROM moves GROUP BY sku";
    let singles = "SELECT sku, string_agg(place || ',', '' ORDER BY qty, n) AS trail, count(*) AS _events \
                   FROM moves WHERE source = 1 GROUP BY sku";
    (db, items.into(), singles.into())
}

#[track_caller]
fn assert_oracle(project: &Project, (db, items, singles): &(duckdb::Connection, String, String)) {
    for (name, expected) in [("items", items), ("singles", singles)] {
        common::assert_same_rows(db, &format!("SELECT * FROM {}", literal(&project.path(&format!("out/{name}.parquet")))), expected);
    }
}

fn lines(moves: &[Move]) -> String {
    moves.iter().map(Move::line).collect()
}

fn one_case(seed: u64) {
    let mut random = Random(seed);
    let what = format!("seed {seed}");
    let (shop, mut warehouse) = (moves(&mut random, "s", 40), moves(&mut random, "w", 30));
    // the second log's own order does not matter but for ties; in some cases it is sorted first
    let by_position = seed % 3 == 2;
    let expected = oracle(&shop, &warehouse);
    let text = PROJECT.replace("WAREHOUSE", if by_position { "order = \"position\"" } else { "" });
    if by_position {
        for i in 0..warehouse.len() {
            let other = (i + random.below(9)).min(warehouse.len() - 1);
            warehouse.swap(i, other);
        }
    }
    let whole = Project::new(&text);
    whole.write("shop/1.ndjson", lines(&shop));
    whole.write("warehouse/1.ndjson", lines(&warehouse));
    adds_up(&whole.foldline(&["run", "--json"]), &what);
    assert_oracle(&whole, &expected);

    let pieces = Project::new(&text);
    let (mut s, mut w) = (0, 0);
    let mut first = true;
    while s < shop.len() || w < warehouse.len() {
        let (to_s, to_w) = ((s + random.below(25)).min(shop.len()), (w + random.below(20)).min(warehouse.len()));
        // a source must have a file from the first run on
        pieces.append("shop/1.ndjson", lines(&shop[s..to_s]));
        pieces.append("warehouse/1.ndjson", lines(&warehouse[w..to_w]));
        (s, w) = (to_s, to_w);
        if !first && random.below(4) == 0 {
            let text = fs::read_to_string(pieces.path("foldline.toml")).unwrap();
            pieces.write("foldline.toml", text.replace("set.place = \"", "set.place = \"'' || "));
        }
        first = false;
        adds_up(&pieces.foldline(&["run", "--json", "--threads", ["1", "2", "3"][random.below(3)]]), &what);
    }
    assert_same(&pieces, &whole, &what);
    if random.below(3) == 0 {
        pieces.foldline(&["verify"]).exits(0);
        adds_up(&pieces.foldline(&["rebuild", "--json"]), &what);
        assert_same(&pieces, &whole, &format!("{what}, built anew"));
    }
}

#[test]
fn two_logs_in_random_pieces_come_to_what_a_query_over_both_gives() {
    (0..common::cases(9)).for_each(one_case);
}

fn of(report: &serde_json::Value, aggregate: &str) -> (u64, u64) {
    let found = report["aggregates"].as_array().unwrap().iter().find(|a| a["name"] == aggregate).unwrap();
    (number(&found["late_arrivals"]), number(&found["partitions_replayed"]))
}

fn one(stream: usize, version: i64, second: usize, sku: usize, place: &str) -> String {
    Move { stream, version, position: 0, second, sku, place: place.into(), qty: 1 }.line()
}

#[test]
fn a_late_arrival_replays_the_partitions_that_it_touches_from_all_logs() {
    let project = project();
    project.write("shop/1.ndjson", (0..20).map(|sku| one(0, sku as i64 + 1, 20 + sku, sku, "s")).collect::<String>());
    project.write("warehouse/1.ndjson", (0..20).map(|sku| one(0, 0, 10 + sku, sku, "w")).collect::<String>());
    project.foldline(&["run"]).exits(0);
    // before the last of all, but not of its own row; a tie of a source that is named later is in time
    project.append("warehouse/1.ndjson", one(0, 0, 27, 3, "x"));
    project.append("shop/1.ndjson", one(0, 21, 25, 5, "t"));
    let report = adds_up(&project.foldline(&["run", "--json"]), "in time");
    assert_eq!(of(&report, "item"), (0, 0));
    project.append("warehouse/1.ndjson", one(0, 0, 25, 5, "y") + &one(0, 0, 15, 7, "z"));
    let report = adds_up(&project.foldline(&["run", "--json"]), "late");
    assert_eq!(of(&report, "item"), (2, 2));
    let db = duckdb();
    let trails = format!("SELECT sku, trail FROM {} WHERE sku IN ('sku-3', 'sku-5', 'sku-7')", literal(&project.path("out/items.parquet")));
    common::assert_same_rows(&db, &trails, "FROM (VALUES ('sku-3', 'w,s,x,'), ('sku-5', 'w,y,s,t,'), ('sku-7', 'z,w,s,')) t(sku, trail)");
    project.foldline(&["verify"]).exits(0);
}

#[test]
fn an_event_that_waited_is_ordered_by_its_own_value() {
    let project = project();
    project.write("warehouse/1.ndjson", one(0, 0, 30, 1, "w"));
    project.write("shop/1.ndjson", one(0, 1, 10, 1, "a") + &one(0, 3, 20, 1, "c"));
    project.foldline(&["run"]).exits(3);
    project.append("shop/1.ndjson", one(0, 2, 40, 1, "b"));
    adds_up(&project.foldline(&["run", "--json"]), "released");
    let db = duckdb();
    let trail = format!("SELECT trail FROM {}", literal(&project.path("out/items.parquet")));
    common::assert_same_rows(&db, &trail, "SELECT 'a,c,w,b,' AS trail");
    project.foldline(&["verify"]).exits(0);
}

#[test]
fn an_event_without_a_value_to_order_by_is_bad() {
    let project = project();
    project.write("warehouse/1.ndjson", one(0, 0, 30, 1, "w"));
    project.write("shop/1.ndjson", one(0, 1, 10, 1, "a") + &one(0, 2, 11, 1, "b").replace("\"time\"", "\"when\""));
    let output = project.foldline(&["run", "--json"]).exits(65);
    let first = &output.json()["bad"]["first"][0];
    assert_eq!((&first["file"], &first["line"], &first["kind"]), (&"shop/1.ndjson".into(), &2.into(), &"key".into()));
    assert_eq!(first["reason"], "item: `order_by`: it is NULL, and nothing says where the event belongs");
    project.assert_nothing_published();
}

#[test]
fn an_event_that_cannot_be_folded_is_shown_where_it_lies() {
    let text = PROJECT
        .replace("WAREHOUSE", "")
        .replace("set.qty   = \"qty + data.qty\"", "set.qty   = \"(qty + data.qty * 9223372036854775807)::BIGINT\"");
    let project = Project::new(&text);
    project.write("warehouse/1.ndjson", one(0, 0, 30, 1, "w"));
    project.write("shop/1.ndjson", "\n".to_string() + &one(0, 1, 40, 1, "a"));
    let first = &project.foldline(&["run", "--json"]).exits(65).json()["bad"]["first"][0];
    assert_eq!((&first["file"], &first["line"], &first["kind"]), (&"shop/1.ndjson".into(), &2.into(), &"fold".into()));
}

#[test]
fn what_an_upcaster_makes_of_one_record_stays_together() {
    let upcaster = r#"
[[upcast]]
type = "Shipped"
into = [{ type = "Moved", set = { place = "'out'" } }, { type = "Moved", set = { place = "'in'" } }]
"#;
    let project = Project::new(&(PROJECT.replace("WAREHOUSE", "") + upcaster));
    project.write("warehouse/1.ndjson", one(0, 0, 20, 1, "w") + &one(0, 0, 15, 1, "-").replace("Moved", "Shipped"));
    project.write("shop/1.ndjson", one(0, 1, 15, 1, "a") + &one(0, 2, 16, 1, "b"));
    project.foldline(&["run"]).exits(0);
    let trail = format!("SELECT trail FROM {}", literal(&project.path("out/items.parquet")));
    common::assert_same_rows(&duckdb(), &trail, "SELECT 'out,in,a,b,w,' AS trail");
}

#[test]
fn what_orders_nothing_is_an_error_of_the_project() {
    for (from, to, expected) in [
        ("order_by = \"event.time\"\n", "", "the aggregate `item` has several sources, but no `order_by`"),
        ("\"event.time\"", "\"data.place\"", "`order_by` must be a whole number, a date or a timestamp, but this is VARCHAR"),
        ("\"event.time\"", "\"place\"", "`place`"),
    ] {
        let output = Project::new(&PROJECT.replace("WAREHOUSE", "").replacen(from, to, 1)).foldline(&["check"]).exits(78);
        assert!(output.stderr.contains(expected), "{}", output.stderr);
    }
}

#[test]
fn the_example_of_the_documentation_is_sound() {
    let project = Project::new(&common::example_of("order.md"));
    assert_eq!(project.foldline(&["check"]).exits(0).stderr.matches("warning").count(), 0);
}

#[test]
fn a_test_folds_the_given_events_in_their_order() {
    let text = PROJECT.replace("WAREHOUSE", "")
        + r#"
[[test]]
name  = "the later one counts"
given = [
  { source = "shop", stream = "s-1", type = "Moved", time = "2026-01-01T00:00:09Z", data = { sku = "A", place = "last", qty = 1 } },
  { source = "warehouse", stream = "s-1", type = "Moved", time = "2026-01-01T00:00:03Z", data = { sku = "A", place = "first", qty = 1 } },
]
then = { item = [{ sku = "A", trail = "first,last," }] }
"#;
    Project::new(&text).foldline(&["test"]).exits(0);
}
