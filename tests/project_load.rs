//! What a project file becomes: plans, keys, read models, fingerprints, warnings.

use std::collections::BTreeMap;
use std::path::Path;

use foldline::project::{Check, Payload, Project, Target, Var, load_text};
use foldline::sql::Type;

fn try_load(text: &str) -> Result<Project, String> {
    load_text(text, Path::new("foldline.toml"), Path::new("/project"), &BTreeMap::new(), &|_| None)
        .map_err(|errors| errors.iter().map(|error| error.render(false)).collect::<Vec<_>>().join("\n"))
}

fn load(text: &str) -> Project {
    try_load(text).unwrap_or_else(|errors| panic!("{errors}"))
}

fn errors(text: &str) -> String {
    try_load(text).err().unwrap_or_else(|| "no error".to_string())
}

/// The whole example of the project file, with the aggregate that its read model joins.
fn example() -> String {
    let customer = "[aggregate.customer]\nstream = \"customer-{customer_id}\"\n[aggregate.customer.state]\nname = \"VARCHAR\"\ncountry = \"VARCHAR\"\n\
                    [aggregate.customer.on.CustomerRegistered]\ntake = [\"name\"]\n[event.CustomerRegistered]\nname = \"VARCHAR\"\n";
    format!("{}{customer}", include_str!("project_example.toml"))
}

/// A source and two event types; tests add an aggregate.
const BASE: &str = r#"
[source.s]
files = ["*.ndjson"]
[event.A]
n = "INTEGER NOT NULL"
tags = "VARCHAR[]"
lines = "STRUCT(sku VARCHAR, qty INTEGER)[]"
[event.B]
n = "BIGINT DEFAULT 7"
"#;

fn with(more: &str) -> String {
    format!("{BASE}{more}")
}

#[test]
fn the_whole_example_loads() {
    let project = load(&example());
    assert_eq!(project.name, "shop");
    assert_eq!(project.sources[0].files, ["/project/events/*.ndjson", "/project/events/*.ndjson.zst"]);
    assert!(matches!(&project.sources[0].envelope.data, Payload::Path(path) if path == &["data"]));
    let order = project.aggregates.iter().find(|aggregate| aggregate.name == "order").expect("the order aggregate");
    assert!(!order.spans_streams);
    assert_eq!(order.keys[0].name, "order_id");
    let sales = project.aggregates.iter().find(|aggregate| aggregate.name == "sku_sales").expect("the sales aggregate");
    assert!(sales.spans_streams);
    assert_eq!(
        sales.keys.iter().map(|key| (key.name.as_str(), key.ty.clone())).collect::<Vec<_>>(),
        [("sku", Type::Varchar), ("day", Type::Date)]
    );
    let summary = &project.read_models[0];
    assert_eq!(summary.reads.aggregates, ["order", "customer"]);
    assert_eq!(summary.checks.len(), 3);
    assert!(matches!(&summary.checks[0], Check::Unique(columns) if columns == &["order_id"]));
    assert!(matches!(&summary.targets[0], Target::Parquet { path, .. } if path == Path::new("/project/out/order_summary.parquet")));
    assert_eq!(project.tests[0].given.len(), 3);
    assert_eq!(project.tests[0].then[0].1[0]["total"].as_deref(), Some("3.00"));
    assert_eq!(project.schedules[0].select, ["order_summary"]);
}

#[test]
fn a_plan_has_the_rules_of_a_type_in_the_files_order() {
    let project = load(&example());
    let plan = project.plan(0, "ItemAdded").expect("compiles").expect("is handled");
    let order = &plan.aggregates[0];
    let labels: Vec<&str> = order.on.iter().map(|rule| rule.label.as_str()).collect();
    assert_eq!(labels, ["[aggregate.order.on.ItemAdded]", "[aggregate.order.on.\"OrderPlaced|ItemAdded\"]"]);
    assert_eq!(order.after.len(), 1);
    assert_eq!(order.after[0].emit[0].values.len(), 2);
    // `status` is read as it was before the event.
    assert_eq!(order.old_columns, [1]);
    assert!(plan.aggregates.iter().any(|aggregate| aggregate.key.len() == 2));
    assert!(project.plan(0, "SomethingElse").expect("compiles").is_none());
}

#[test]
fn a_plan_is_made_once() {
    let project = load(&example());
    let one = project.plan(0, "ItemAdded").expect("compiles").expect("is handled");
    let two = project.plan(0, "ItemAdded").expect("compiles").expect("is handled");
    assert!(std::sync::Arc::ptr_eq(&one, &two));
}

#[test]
fn fields_that_are_used_are_extracted_and_no_others() {
    let project = load(&with(
        "[aggregate.a]\nkey = { k = \"data.n\" }\n[aggregate.a.state]\nx = \"VARCHAR\"\ny = \"INTEGER\"\n[aggregate.a.on.A]\nset.x = \"data.deep.er::VARCHAR || meta.user.name\"\nset.y = \"data.n\"\n",
    ));
    let plan = project.plan(0, "A").expect("compiles").expect("is handled");
    let fields: Vec<(String, bool)> = plan.fields.iter().map(|field| (field.path.join("."), field.declared)).collect();
    assert_eq!(fields, [("n".to_string(), true), ("deep.er".to_string(), false)]);
    assert_eq!(plan.meta, [["user", "name"]]);
    assert!(plan.fields[0].not_null);
}

#[test]
fn each_sees_the_elements_of_a_list() {
    let rule = "[aggregate.a]\n[aggregate.a.state]\nsold = \"BIGINT DEFAULT 0\"\n[aggregate.a.on.A]\neach = \"data.lines\"\nkey = { sku = \"each.sku\" }\nset.sold = \"sold + each.qty\"\n";
    let project = load(&with(rule));
    let plan = project.plan(0, "A").expect("compiles").expect("is handled");
    assert!(!plan.aggregates[0].has_key);
    assert!(project.aggregates[0].spans_streams);
    assert_eq!(project.aggregates[0].keys[0].ty, Type::Varchar);
    let slots = plan.aggregates[0].on[0].key.as_ref().expect("the rule has a key")[0].slots();
    assert_eq!(slots.into_iter().map(Var::of).collect::<Vec<_>>(), [Var::Each]);
    insta::assert_snapshot!(errors(&with(&rule.replace("data.lines", "data.items"))));
}

#[test]
fn a_wildcard_rule_is_typed_once_per_type() {
    let all = "[aggregate.a]\nkey = { t = \"event.type\" }\n[aggregate.a.state]\nc = \"BIGINT DEFAULT 0\"\n[aggregate.a.on.\"*\"]\nset.c = \"c + 1\"\n";
    let project = load(&with(all));
    assert!(project.plan(0, "NeverSeen").expect("compiles").is_some());
    // An unknown type has only what patterned contracts give it.
    let uses = all.replace("c + 1", "c + data.n");
    insta::assert_snapshot!(errors(&with(&uses)));
    load(&with(&format!("{uses}[event.\"*\"]\nn = \"INTEGER\"\n")));
}

#[test]
fn the_type_of_a_key_must_agree_for_all_types() {
    let text = "[aggregate.a]\nkey = { k = \"data.n\" }\n[aggregate.a.state]\nc = \"BIGINT DEFAULT 0\"\n[aggregate.a.on.\"A|B\"]\nset.c = \"c + 1\"\n";
    insta::assert_snapshot!(errors(&with(text)));
    assert_eq!(load(&with(&text.replace("data.n\"", "data.n::BIGINT\""))).aggregates[0].keys[0].ty, Type::BigInt);
}

#[test]
fn names_that_mean_something_else_cannot_be_columns() {
    let text = "[aggregate.a]\nkey = { _k = \"data.n\", Data = \"1\" }\n[aggregate.a.state]\nold = \"INTEGER\"\nx = \"INTEGER\"\nX = \"INTEGER\"\n[aggregate.a.on.A]\n";
    insta::assert_snapshot!(errors(&with(text)));
}

#[test]
fn mistakes_inside_of_rules_are_shown_at_their_place() {
    let text = "[aggregate.a]\nstream = \"a-{id}\"\n[aggregate.a.state]\nx = \"INTEGER\"\n[[aggregate.a.on.A]]\nwhen = \"data.n\"\nset.id = \"1\"\n[[aggregate.a.on.A]]\neach = \"data.n\"\ntake = [\"y\"]\n[[aggregate.a.on.A]]\ndelete = true\nset.x = \"each\"\nemit.log = { a = \"1\" }\n[[aggregate.a.after]]\nwhen = \"event.tme IS NULL\"\n";
    let good_names = text
        .replace("set.id = \"1\"\n", "")
        .replace("take = [\"y\"]\n", "take = [\"x\"]\n")
        .replace("delete = true\n", "")
        .replace("emit.log = { a = \"1\" }\n", "");
    insta::assert_snapshot!([errors(&with(text)), errors(&with(&good_names))].join("\n=====\n\n"));
}

#[test]
fn read_models_stand_behind_those_that_they_read() {
    let aggregate = "[aggregate.a]\nstream = \"a-{id}\"\n[aggregate.a.state]\nx = \"INTEGER\"\n[aggregate.a.rows.log]\ny = \"INTEGER\"\n[aggregate.a.on.A]\n";
    let models = "[read_model.last]\nsql = \"SELECT * FROM middle\"\n[read_model.middle]\nsql = 'WITH c AS (SELECT * FROM A.log) SELECT * FROM c JOIN events.A USING (id), country'\n[read_model.copy]\naggregate = \"a\"\n[table.country]\nfile = \"country.csv\"\n";
    let project = load(&with(&format!("{aggregate}{models}")));
    let names: Vec<&str> = project.read_models.iter().map(|model| model.name.as_str()).collect();
    assert_eq!(names, ["middle", "copy", "last"]);
    assert_eq!(project.read_models[0].reads.aggregates, ["a"]);
    assert_eq!(project.read_models[0].reads.tables, ["country"]);
    assert_eq!(project.event_tables.len(), 1);
    let plan = project.plan(0, "A").expect("compiles").expect("is handled");
    assert_eq!(plan.event_table.as_ref().map(|(table, fields)| (*table, fields.len())), Some((0, 3)));
}

#[test]
fn a_fingerprint_tells_meaning_from_writing() {
    let of = |text: &str| {
        let project = load(text);
        let order = project.aggregates.iter().find(|aggregate| aggregate.name == "order").expect("the order aggregate");
        (order.fingerprint.clone(), project.read_models[0].fingerprint.clone())
    };
    let text = example();
    let same = of(&text);
    assert_eq!(
        of(&text.replace("# or a list", "# or many").replace("total + data.qty * data.price", "total+data.qty  *  data.price")),
        same
    );
    assert_eq!(of(&text.replace("events/*.ndjson\"", "logs/*.ndjson\"")), same);
    let rule = of(&text.replace("total + data.qty", "total - data.qty"));
    assert!(rule.0 != same.0 && rule.1 != same.1);
    let contract = of(&text.replace("qty   = \"INTEGER NOT NULL\"", "qty   = \"INTEGER\""));
    assert_ne!(contract.0, same.0);
    let source = of(&text.replace("time     = \"time\"", "time     = \"at\""));
    assert_ne!(source.0, same.0);
    let sql = of(&text.replace("o.status, o.total", "o.total, o.status"));
    assert!(sql.0 == same.0 && sql.1 != same.1);
    let target = of(&text.replace("out/order_summary.parquet", "out/other.parquet"));
    assert_eq!(target, same);
}

#[test]
fn sql_that_depends_on_the_order_of_rows_is_warned_about() {
    let aggregates = "[aggregate.a]\nstream = \"a-{id}\"\n[aggregate.a.on.A]\n[aggregate.b]\nstream = \"a-b-{id}\"\n[aggregate.b.on.A]\n";
    let model = "[read_model.r]\nsql = \"SELECT list(id) AS ids FROM a LIMIT 3\"\n";
    let project = load(&with(&format!("{aggregates}{model}")));
    insta::assert_snapshot!(project.warnings.join("\n"));
    let silent = load(&with(&format!("{aggregates}{model}reproducible = false\n")));
    assert_eq!(silent.warnings.len(), 1);
}

#[test]
fn a_log_of_whole_records_and_a_source_without_versions() {
    let envelope = "[source.s]\nfiles = [\"${DIR:-logs}/*.ndjson\", \"one.json.gz\"]\nformat = \"ndjson\"\nwhere = \"type LIKE 'Push%'\"\n[source.s.envelope]\nstream = \"repo.id\"\ntype = \"type || 'd'\"\nversion = \"NULL\"\ntime = \"created_at\"\ndata = \"*\"\nmetadata = \"payload.\\\"x y\\\"\"\n";
    let project = load(envelope);
    let source = &project.sources[0];
    assert_eq!(source.files, ["/project/logs/*.ndjson", "/project/one.json.gz"]);
    assert!(source.envelope.version.is_none() && source.filter.is_some());
    assert!(matches!(source.envelope.data, Payload::Record));
    assert!(matches!(&source.envelope.metadata, Some(Payload::Path(path)) if path == &["payload", "x y"]));
    assert_eq!(source.envelope.paths[0], ["repo", "id"]);
    assert!(source.envelope.stream.as_slot().is_some());
}

#[test]
fn no_file_content_makes_the_loader_panic() {
    let text = example();
    let words = ["\"", "'", "[", "]", "{", "}", "=", "\n", "${", "(", ")", "data.", "|", "*", "é", "\0", "[[", "on", "\"\"\""];
    // A small generator is enough: positions and words spread over the file.
    let mut state: u64 = 0x9e37_79b9_7f4a_7c15;
    let mut next = |below: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((state >> 33) as usize) % below
    };
    for _ in 0..400 {
        let mut mutated = text.clone();
        for _ in 0..=next(3) {
            let mut at = next(mutated.len());
            while !mutated.is_char_boundary(at) {
                at -= 1;
            }
            match next(3) {
                0 => mutated.truncate(at.max(1)),
                1 => mutated.insert_str(at, words[next(words.len())]),
                _ => {
                    let mut end = (at + next(20)).min(mutated.len());
                    while !mutated.is_char_boundary(end) {
                        end -= 1;
                    }
                    mutated.replace_range(at.min(end)..end.max(at), "");
                }
            }
            if mutated.is_empty() {
                break;
            }
        }
        let _ = try_load(&mutated);
    }
}

#[test]
fn rules_run_in_the_files_order_however_they_are_written() {
    let rules = "[aggregate.a]\nstream = \"a-{id}\"\non.B.when = \"true\"\n[aggregate.a.state]\nx = \"INTEGER\"\n\
                 [[aggregate.a.on.A]]\nset.x = \"1\"\n[aggregate.a.on.\"*\"]\nset.x = \"2\"\n[[aggregate.a.on.A]]\nset.x = \"3\"\n[aggregate.a.on.\"A|B\".set]\nx = \"4\"\n";
    let project = load(&with(rules));
    let labels = |event_type: &str| -> Vec<String> {
        let plan = project.plan(0, event_type).expect("compiles").expect("is handled");
        plan.aggregates[0].on.iter().map(|rule| rule.label.replace("[aggregate.a.", "[")).collect()
    };
    assert_eq!(labels("A"), ["[on.A]", "[on.\"*\"]", "[on.A]", "[on.\"A|B\"]"]);
    assert_eq!(labels("B"), ["[on.B]", "[on.\"*\"]", "[on.\"A|B\"]"]);
    let inline = "[aggregate.a]\nstream = \"a-{id}\"\nstate = { x = \"INTEGER\" }\non = { \"*\" = { set = { x = \"1\" } }, A = [{ take = [\"x\"] }, { delete = true }] }\n[event.\"A|C\"]\nx = \"INTEGER\"\n";
    let project = load(&with(inline));
    let plan = project.plan(0, "A").expect("compiles").expect("is handled");
    assert_eq!(plan.aggregates[0].on.len(), 3);
    assert!(plan.aggregates[0].on[2].delete);
}

#[test]
fn tests_may_expect_null_and_nested_values() {
    let text = "[aggregate.a]\nstream = \"a-{id}\"\n[aggregate.a.state]\nx = \"INTEGER\"\n[aggregate.a.on.A]\n[[test]]\ngiven = [{ stream = \"a-1\", type = \"A\", time = 2024-01-01T00:00:00Z, data = { n = 1, list = [1.5, true] } }]\nthen.a = [{ id = 1, x = \"NULL\", _events = 1 }]\n";
    let project = load(&with(text));
    let test = &project.tests[0];
    assert_eq!(test.given[0].data, r#"{"n":1,"list":[1.5,true]}"#);
    assert_eq!(test.given[0].time.as_deref(), Some("2024-01-01T00:00:00Z"));
    let row = &test.then[0].1[0];
    assert_eq!((row["id"].as_deref(), row["x"].as_deref()), (Some("1"), None));
    insta::assert_snapshot!(errors(&with(&text.replace("x = \"NULL\"", "y = 2").replace("then.a", "then.b"))));
}
