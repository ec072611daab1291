//! What the project file's errors look like, as whole screens.

use std::collections::BTreeMap;
use std::path::Path;

use foldline::project::{Project, load_text};

const ENV_HOME: &str = "/data";

fn load(text: &str) -> Result<Project, String> {
    let env = |name: &str| (name == "EXPORTS").then(|| ENV_HOME.to_string());
    load_text(text, Path::new("foldline.toml"), Path::new("/project"), &BTreeMap::new(), &env)
        .map_err(|errors| errors.iter().map(|error| error.render(false)).collect::<Vec<_>>().join("\n"))
}

fn errors(text: &str) -> String {
    match load(text) {
        Ok(_) => "no error".to_string(),
        Err(errors) => errors,
    }
}

/// A small good project; tests change a line of it.
const SHOP: &str = r#"
[source.shop]
files = ["events/*.ndjson"]

[event.OrderPlaced]
customer_id = "VARCHAR NOT NULL"

[event.ItemAdded]
sku   = "VARCHAR NOT NULL"
qty   = "INTEGER NOT NULL"
price = "DECIMAL(10,2) NOT NULL"

[aggregate.order]
stream = "order-{order_id}"
[aggregate.order.state]
status = "VARCHAR DEFAULT 'new'"
total  = "DECIMAL(18,2) DEFAULT 0"
[aggregate.order.on.OrderPlaced]
set.status = "'placed'"
[aggregate.order.on.ItemAdded]
set.total = "total + data.qty * data.price"

[read_model.summary]
sql = "SELECT * FROM \"order\""
[[read_model.summary.to]]
parquet = "out/summary.parquet"
"#;

fn changed(from: &str, to: &str) -> String {
    assert!(SHOP.contains(from), "the shop has no line {from:?}");
    SHOP.replace(from, to)
}

fn screen(from: &str, to: &str) -> String {
    errors(&changed(from, to))
}

#[test]
fn a_good_project_loads() {
    assert_eq!(errors(SHOP), "no error");
}

#[test]
fn an_unknown_key_gets_a_suggestion() {
    insta::assert_snapshot!(screen("stream = \"order-{order_id}\"", "steam = \"order-{order_id}\""));
}

#[test]
fn a_wrong_type_says_what_was_found_and_expected() {
    insta::assert_snapshot!(screen("files = [\"events/*.ndjson\"]", "files = 7\nfirst_version = \"1\"\non_gap = \"fall\""));
}

#[test]
fn an_unknown_column_gets_the_nearest_one() {
    insta::assert_snapshot!(screen("total + data.qty", "totl + data.qty"));
}

#[test]
fn an_unknown_function_gets_a_suggestion() {
    insta::assert_snapshot!(screen("\"'placed'\"", "\"uper('placed')\""));
}

#[test]
fn an_undeclared_payload_field_names_the_remedies() {
    insta::assert_snapshot!(screen("data.qty * data.price", "data.quantity * data.price + data.tax"));
}

#[test]
fn a_string_in_double_quotes_is_recognized() {
    insta::assert_snapshot!(screen("set.status = \"'placed'\"", "set.status = '\"placed\"'"));
}

#[test]
fn an_error_inside_of_a_multi_line_string_points_at_its_characters() {
    insta::assert_snapshot!(screen("\"total + data.qty * data.price\"", "\"\"\"\n  total\n  + data.qty * prise\n\"\"\""));
}

#[test]
fn a_key_that_slid_into_another_table_is_told_where_it_belongs() {
    let under_state =
        screen("total  = \"DECIMAL(18,2) DEFAULT 0\"", "total  = \"DECIMAL(18,2) DEFAULT 0\"\nset.total = \"0\"\nsource = \"shop\"");
    let under_envelope = screen("[event.OrderPlaced]", "[source.shop.envelope]\nstream = \"key\"\non_gap = \"fail\"\n[event.OrderPlaced]");
    let into_set = screen("set.status = \"'placed'\"", "[aggregate.order.on.OrderPlaced.set]\nstatus = \"'placed'\"\nwhen = \"true\"");
    insta::assert_snapshot!([under_state, under_envelope, into_set].join("\n"));
}

#[test]
fn a_variable_without_a_value_is_shown_in_its_string() {
    insta::assert_snapshot!(screen("events/*.ndjson", "${EXPORTS}/${DAY}/${HOUR:-00}/*.ndjson"));
}

#[test]
fn read_models_that_read_each_other_are_shown_with_the_way_round() {
    let more = "[read_model.a]\nsql = \"SELECT * FROM b\"\n[read_model.b]\nsql = \"SELECT * FROM c JOIN summary USING (order_id)\"\n[read_model.c]\nsql = \"\"\"\nSELECT *\nFROM a\n\"\"\"\n";
    insta::assert_snapshot!(errors(&format!("{SHOP}{more}")));
}

#[test]
fn the_clock_chance_and_files_in_sql_are_errors() {
    let more = "[read_model.a]\nsql = \"SELECT now(), random() FROM summary\"\n[read_model.b]\nsql = \"SELECT * FROM 'x.csv'\"\n[read_model.c]\nsql = \"DELETE FROM summary\"\n";
    insta::assert_snapshot!(errors(&format!("{SHOP}{more}")));
}

#[test]
fn a_bad_stream_pattern_says_why() {
    insta::assert_snapshot!(screen("order-{order_id}", "order-{order id}"));
}

#[test]
fn a_preset_or_a_quirk_that_is_not_there_gets_the_nearest_one() {
    let more = "preset = \"debezum\"\nquirks = [\"kafka-mesage\"]\n";
    insta::assert_snapshot!(screen("files = [\"events/*.ndjson\"]\n", &format!("files = [\"events/*.ndjson\"]\n{more}")));
}

#[test]
fn an_unknown_table_in_sql_gets_the_nearest_one() {
    insta::assert_snapshot!(screen("FROM \\\"order\\\"", "FROM orders JOIN events.ItemAded USING (order_id)"));
}

#[test]
fn toml_that_cannot_be_parsed_is_shown() {
    insta::assert_snapshot!(errors("[source.shop\nfiles = [\"a\"]\nfiles = 1"));
}

#[test]
fn two_targets_cannot_share_a_path() {
    let more = "partition_by = [\"status\"]\n[[read_model.summary.to]]\nparquet = \"./out/summary.parquet\"\n";
    insta::assert_snapshot!(errors(&format!("{SHOP}{more}")));
}

#[test]
fn an_event_type_with_a_dot_needs_quotes() {
    let contract = screen("[event.OrderPlaced]", "[event.order.placed]");
    let rule = screen("[aggregate.order.on.OrderPlaced]", "[aggregate.order.on.order.placed]");
    let none = screen("[aggregate.order.on.OrderPlaced]", "[aggregate.order.on]");
    insta::assert_snapshot!([contract, rule, none].join("\n"));
}

#[test]
fn an_error_in_a_sql_file_is_shown_in_that_file() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    std::fs::write(folder.path().join("summary.sql"), "-- totals\nSELECT *\nFROM ordr\n").expect("written");
    let project = folder.path().join("foldline.toml");
    let text = changed("sql = \"SELECT * FROM \\\"order\\\"\"", "file = \"summary.sql\"") + "[read_model.other]\nfile = \"other.sql\"\n";
    std::fs::write(&project, text).expect("written");
    let errors = foldline::project::load(&project, &BTreeMap::new()).err().expect("two errors");
    let shown: Vec<String> = errors.iter().map(|error| error.render(false).replace(&format!("{}/", folder.path().display()), "")).collect();
    insta::assert_snapshot!(shown.join("\n"));
}

#[test]
fn a_missing_project_file_says_how_to_get_one() {
    let errors = foldline::project::load(Path::new("nowhere/foldline.toml"), &BTreeMap::new()).err().expect("an error");
    insta::assert_snapshot!(errors[0].render(false));
    assert_eq!(errors[0].kind.exit_code(), 78);
}

/// The shop with an upcaster.
fn upcast(text: &str) -> String {
    errors(&format!("{SHOP}[[upcast]]\n{text}\n"))
}

#[test]
fn keys_of_an_upcaster_that_exclude_each_other_are_shown_together() {
    let both = upcast("type = \"OrderPlaced\"\nas = \"ItemAdded\"\ninto = [{ type = \"ItemAdded\" }]");
    let discarded = upcast("type = \"OrderPlaced\"\ndiscard = true\nset = { a = \"1\" }");
    let dropped = upcast("type = \"OrderPlaced\"\ndrop = [\"a\"]\nset = { a = \"1\" }");
    let within = upcast("type = \"OrderPlaced\"\nset = { a = \"1\", \"a.b\" = \"2\" }");
    let table = upcast("type = \"OrderPlaced\"\nset.address.city = \"1\"");
    insta::assert_snapshot!([both, discarded, dropped, within, table].join("\n"));
}

#[test]
fn an_upcaster_without_a_type_or_a_deed_says_what_it_needs() {
    let nothing = upcast("type = \"OrderPlaced\"\nwhen = \"true\"");
    let no_type = upcast("set = { a = \"1\" }");
    let pattern = upcast("type = \"OrderPlaced\"\nas = \"Order*\"");
    let empty = upcast("type = \"OrderPlaced\"\ninto = []");
    let untyped = upcast("type = \"OrderPlaced\"\ninto = [{ set = { a = \"1\" } }]");
    let unknown = upcast("type = \"OrderPlaced\"\nsett = { a = \"1\" }");
    insta::assert_snapshot!([nothing, no_type, pattern, empty, untyped, unknown].join("\n"));
}

#[test]
fn an_upcasters_expressions_know_the_payload_only() {
    insta::assert_snapshot!(upcast(
        "type = \"OrderPlaced\"\nwhen = \"meta.v\"\nset = { a = \"cust\", b = \"old.status\", c = \"data\", d = \"event.tpye\", \"e..f\" = \"1\", g = \"data.x + 1\" }"
    ));
}

#[test]
fn a_replica_says_what_its_contract_lacks() {
    let replica = |more: &str| errors(&format!("{SHOP}[aggregate.customer]\nreplica_of = \"customers\"\n{more}"));
    let no_contract = replica("");
    let no_key = replica("[event.\"customers.*\"]\nid = \"BIGINT NOT NULL\"\nname = \"VARCHAR\"\n");
    let nested = replica("[event.\"customers.*\"]\nid = \"BIGINT[] KEY\"\n");
    let rules = replica("state.x = \"INTEGER\"\nkey = { id = \"data.id\" }\n[event.\"customers.*\"]\nid = \"BIGINT KEY\"\n");
    insta::assert_snapshot!([no_contract, no_key, nested, rules].join("\n"));
}

#[test]
fn before_and_after_find_no_rows() {
    let text = "[[aggregate.order.before]]\nkey = { order_id = \"'1'\" }\nset.total = \"0\"\n[[aggregate.order.after]]\nall = true\nset.total = \"0\"\n";
    insta::assert_snapshot!(errors(&format!("{SHOP}{text}")));
}

#[test]
fn a_list_of_the_row_cannot_find_the_row() {
    let text = "[aggregate.o]\nkey = { k = \"data.sku\" }\n[aggregate.o.state]\nskus = \"VARCHAR[]\"\n[aggregate.o.on.ItemAdded]\neach = \"skus\"\nkey = { k = \"each\" }\nset.skus = \"[each]\"\n";
    insta::assert_snapshot!(errors(&format!("{SHOP}{text}")));
}

#[test]
fn fewer_generations_than_two_cannot_be_kept() {
    insta::assert_snapshot!(screen("[source.shop]", "[project]\nkeep = 1\n\n[source.shop]"));
    let kept = |keep: &str| load(&changed("[source.shop]", &format!("[project]\n{keep}\n[source.shop]"))).map(|project| project.keep);
    assert_eq!((kept(""), kept("keep = 2"), kept("keep = 40")), (Ok(3), Ok(2), Ok(40)));
}

#[test]
fn duplicates_by_position_need_positions_and_leave_versions_alone() {
    let source = "files = [\"events/*.ndjson\"]\n";
    let keys = "dedupe = \"position\"\non_gap = \"wait\"\nenvelope.position = \"NULL\"\n";
    insta::assert_snapshot!(screen(source, &format!("{source}{keys}")));
}

#[test]
fn duplicates_by_id_need_ids_and_leave_versions_alone() {
    let source = "files = [\"events/*.ndjson\"]\n";
    let id = screen(source, &format!("{source}dedupe = \"id\"\non_gap = \"skip\"\nenvelope.id = \"NULL\"\n"));
    let none = screen(source, &format!("{source}dedupe = \"none\"\non_gap = \"skip\"\n"));
    insta::assert_snapshot!([id, none].join("\n"));
}
