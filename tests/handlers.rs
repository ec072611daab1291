//! What rules mean: `each`, `key`, `all`, `delete`, `old`, `before` and `after`, contracts by pattern, `meta.`.

use std::collections::BTreeMap;
use std::path::Path;

use foldline::project::load_text;
use foldline::run::given::run_test;

/// Runs the tests of a project; all must pass.
#[track_caller]
fn passes(text: &str) {
    let source = "[source.s]\nfiles = [\"*.ndjson\"]\n";
    let project = load_text(&format!("{source}{text}"), Path::new("foldline.toml"), Path::new("/project"), &BTreeMap::new(), &|_| None)
        .unwrap_or_else(|errors| panic!("{}", errors.iter().map(|error| error.render(false)).collect::<String>()));
    assert!(!project.tests.is_empty());
    for test in &project.tests {
        let failures = run_test(&project, test).unwrap();
        assert!(failures.is_empty(), "{}:\n{}", test.name, failures.join("\n"));
    }
}

/// What the tests of a project say when they fail.
fn failures(text: &str) -> Vec<String> {
    let source = "[source.s]\nfiles = [\"*.ndjson\"]\n";
    let project = load_text(&format!("{source}{text}"), Path::new("foldline.toml"), Path::new("/project"), &BTreeMap::new(), &|_| None)
        .unwrap_or_else(|errors| panic!("{}", errors.iter().map(|error| error.render(false)).collect::<String>()));
    project.tests.iter().flat_map(|test| run_test(&project, test).unwrap()).collect()
}

#[test]
fn each_runs_over_lists_of_structs_that_hold_lists() {
    passes(
        r#"
[event.Sold]
lines = "STRUCT(sku VARCHAR, parts STRUCT(no INTEGER, weights DECIMAL(6,2)[])[])[]"
[aggregate.sku]
[aggregate.sku.state]
parts  = "INTEGER[] DEFAULT []"
weight = "DECIMAL(10,2) DEFAULT 0"
[aggregate.sku.on.Sold]
each       = "data.lines"
key        = { sku = "each.sku" }
set.parts  = "list_concat(parts, list_transform(each.parts, lambda p: p.no))"
set.weight = "weight + coalesce(list_sum(flatten(list_transform(each.parts, lambda p: p.weights))), 0)"
[aggregate.part]
[aggregate.part.state]
seen = "INTEGER DEFAULT 0"
[aggregate.part.on.Sold]
each     = "flatten(list_transform(data.lines, lambda l: l.parts))"
key      = { no = "each.no" }
set.seen = "seen + 1"
[[test]]
given = [
  { stream = "s-1", type = "Sold", data = { lines = [
    { sku = "a", parts = [{ no = 1, weights = ["1.5", 2] }, { no = 2, weights = [] }] },
    { sku = "b", parts = [] },
    { sku = "a", parts = [{ no = 1, weights = [0.25] }] },
  ] } },
  { stream = "s-1", type = "Sold", data = { lines = [] } },
  { stream = "s-1", type = "Sold" },
]
then = { sku = [{ sku = "a", parts = "[1, 2, 1]", weight = "3.75", _events = 1 }, { sku = "b", parts = "[]", weight = "0.00" }], part = [{ no = 1, seen = 2 }, { no = 2, seen = 1, _events = 1 }] }
"#,
    );
}

#[test]
fn each_reads_lists_of_the_row_as_it_is_at_the_rules_turn() {
    passes(
        r#"
[event.Add]
n = "INTEGER"
[aggregate.a]
stream = "a-{id}"
[aggregate.a.state]
ns    = "INTEGER[] DEFAULT []"
sum   = "INTEGER DEFAULT 0"
was   = "VARCHAR DEFAULT ''"
big   = "INTEGER DEFAULT 0"
[[aggregate.a.before]]
each    = "ns"
set.was = "was || each"
[[aggregate.a.on.Add]]
set.ns  = "list_append(ns, data.n)"
set.sum = "0"
[[aggregate.a.on.Add]]
each    = "ns"
when    = "each <> 2"
set.sum = "sum + each"
[[aggregate.a.after]]
each    = "old.ns"
when    = "each > 2"
set.big = "big + 1"
[[test]]
given = [
  { stream = "a-1", type = "Add", data = { n = 1 } },
  { stream = "a-1", type = "Add", data = { n = 2 } },
  { stream = "a-1", type = "Add", data = { n = 3 } },
  { stream = "a-1", type = "Add", data = { n = 4 } },
]
then = { a = [{ id = "1", ns = "[1, 2, 3, 4]", sum = 8, was = "112123", big = 1, _events = 4 }] }
"#,
    );
}

#[test]
fn a_row_that_is_found_by_its_key_and_with_all_others_sees_the_rules_in_order_and_the_event_once() {
    passes(
        r#"
[event.X]
k = "VARCHAR"
[aggregate.a]
key = { k = "data.k" }
[aggregate.a.state]
trail = "VARCHAR DEFAULT ''"
ends  = "INTEGER DEFAULT 0"
[[aggregate.a.on.X]]
set.trail = "trail || '1'"
[[aggregate.a.on.X]]
all       = true
set.trail = "trail || '2'"
[[aggregate.a.on.X]]
set.trail = "trail || '3'"
[[aggregate.a.on.All]]
all       = true
set.trail = "trail || 'x'"
[[aggregate.a.after]]
set.ends = "ends + 1"
[[test]]
given = [
  { stream = "s", type = "X", data = { k = "a" } },
  { stream = "s", type = "X", data = { k = "b" } },
  { stream = "s", type = "All" },
  { stream = "s", type = "X", data = { k = "a" } },
]
then = { a = [{ k = "a", trail = "1232x123", ends = 4, _events = 4 }, { k = "b", trail = "123x2", ends = 3, _events = 3 }] }
"#,
    );
}

#[test]
fn before_and_after_run_on_rows_that_rules_find_by_keys_of_their_own() {
    passes(
        r#"
[event.Move]
from = "VARCHAR"
to   = "VARCHAR"
[aggregate.account]
[aggregate.account.state]
n     = "INTEGER DEFAULT 0"
begun = "INTEGER DEFAULT 0"
[[aggregate.account.before]]
set.begun = "begun + 1"
[[aggregate.account.on.Move]]
key   = { name = "data.from" }
set.n = "n - 1"
[[aggregate.account.on.Move]]
key   = { name = "data.to" }
when  = "data.to IS NOT NULL"
set.n = "n + 1"
[[aggregate.account.after]]
when  = "old.n = 0 AND n = 0"
set.n = "100"
[[test]]
given = [
  { stream = "s", type = "Move", data = { from = "a", to = "b" } },
  { stream = "s", type = "Move", data = { from = "a" } },
  { stream = "s", type = "Move", data = { from = "c", to = "c" } },
]
then = { account = [{ name = "a", n = -2, begun = 2 }, { name = "b", n = 1, begun = 1 }, { name = "c", n = 100, begun = 1, _events = 1 }] }
"#,
    );
}

#[test]
fn a_deleted_row_starts_again_from_the_defaults() {
    passes(
        r#"
[aggregate.a]
stream = "a-{id}"
[aggregate.a.state]
n   = "INTEGER DEFAULT 5"
was = "INTEGER"
[[aggregate.a.on.Up]]
set.n = "n + 1"
[[aggregate.a.on."Gone|Again"]]
delete = true
[[aggregate.a.on.Again]]
set.n   = "n + 10"
set.was = "old.n"
[[aggregate.a.on.Again]]
set.n = "n + 100"
[[test]]
given = [
  { stream = "a-1", type = "Up" }, { stream = "a-1", type = "Up" }, { stream = "a-1", type = "Again" },
  { stream = "a-2", type = "Up" }, { stream = "a-2", type = "Gone" }, { stream = "a-2", type = "Gone" },
  { stream = "a-3", type = "Up" }, { stream = "a-3", type = "Gone" }, { stream = "a-3", type = "Up", time = "2024-01-01" },
]
then = { a = [{ id = "1", n = 115, was = 7, _events = 1, _version = 3 }, { id = "3", n = 6, was = "NULL", _events = 1, _first_event_at = "2024-01-01 00:00:00" }], rows = [{ c = 2 }] }
[read_model.rows]
sql = "SELECT count(*) AS c FROM a"
"#,
    );
}

#[test]
fn contracts_by_pattern_add_fields_and_metadata_is_read_at_any_depth() {
    let text = |data: &str| {
        format!(
            r#"
[event."order.*"]
id   = "VARCHAR NOT NULL"
tier = "INTEGER DEFAULT 3"
[event."order.paid"]
sum  = "DECIMAL(10,2) NOT NULL"
tier = "INTEGER DEFAULT 9"
[event."*"]
note = "VARCHAR"
[aggregate.order]
key = {{ id = "data.id" }}
[aggregate.order.state]
tier = "INTEGER"
sum  = "DECIMAL(10,2)"
who  = "VARCHAR"
note = "VARCHAR"
[aggregate.order.on."order.*"]
set.tier = "data.tier"
set.note = "data.note"
set.who  = "meta.user.name || meta.user.tags"
[aggregate.order.on."order.paid"]
set.sum = "data.sum"
[[test]]
given = [
  {{ stream = "s", type = "order.placed", data = {{ id = "1", note = "n" }}, metadata = {{ user = {{ name = "x", tags = [1] }} }} }},
  {{ stream = "s", type = "order.paid", data = {data} }},
]
then = {{ order = [{{ id = "1", tier = 3, sum = "NULL", who = "x[1]", note = "n" }}, {{ id = "2", tier = 9, sum = "1.50" }}] }}
"#
        )
    };
    passes(&text(r#"{ id = "2", sum = "1.5" }"#));
    let said = |data: &str| failures(&text(data)).remove(0);
    assert_eq!(said(r#"{ id = "2" }"#), "given event 2: `sum` of order.paid is missing, its contract says DECIMAL(10,2) NOT NULL");
    assert_eq!(said(r#"{ id = "2", sum = 1.005 }"#), "given event 2: `sum` of order.paid: `1.005` is no DECIMAL(10,2) exactly");
    assert_eq!(said(r#"{ sum = 1, id = [1, 2], tier = "x" }"#), "given event 2: `tier` of order.paid: `\"x\"` is no INTEGER");
}

#[test]
fn a_failing_rule_names_itself_and_its_message() {
    let said = failures(
        r#"
[event.X]
n = "INTEGER"
[aggregate.a]
stream = "a-{id}"
[aggregate.a.state]
n = "TINYINT DEFAULT 100"
[[aggregate.a.on.X]]
when = "data.n > n"
fail = "'more than ' || n"
[[aggregate.a.on.X]]
set.n = "n + data.n"
[[test]]
given = [
  { stream = "a-1", type = "X", data = { n = 101 } }, { stream = "a-1", type = "X", data = { n = 1 } },
  { stream = "a-2", type = "X", data = { n = 100 } },
]
then = { a = [] }
"#,
    );
    assert_eq!(said.len(), 2, "{said:?}");
    assert_eq!(said[0], "given event 1: [aggregate.a.on.X]: more than 100");
    assert!(said[1].starts_with("given event 3: [aggregate.a.on.X]: `n`: "), "{}", said[1]);
}

#[test]
fn what_fails_of_constants_fails_of_an_event_whose_payload_nobody_reads() {
    let said = failures(
        r#"
[aggregate.a]
stream = "a-{id}"
[aggregate.a.state]
n = "INTEGER DEFAULT 0"
[aggregate.a.on.X]
set.n = "n + (2147483647 + 1)"
[aggregate.a.on.Y]
set.n = "2147483647 + 1"
[[test]]
given = [{ stream = "a-1", type = "X" }, { stream = "a-2", type = "Y" }]
then = { a = [] }
"#,
    );
    let overflow = "[aggregate.a.on.X]: `n`: overflow: 2147483647 + 1 does not fit INTEGER";
    assert_eq!(said, [format!("given event 1: {overflow}"), format!("given event 2: {}", overflow.replace("on.X", "on.Y"))]);
}
