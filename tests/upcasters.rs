//! Upcasters: `[[upcast]]` with when, set, as, drop, discard, into, and what becomes of their events.

mod common;

use common::{Project, assert_same_rows, duckdb, example_of, literal};

const PROJECT: &str = r#"
[source.s]
files = ["*.ndjson"]

[event.Placed]
customer = "VARCHAR NOT NULL"
amount   = "DECIMAL(20,4) NOT NULL"
city     = "VARCHAR"
note     = "JSON"
[event.Line]
sku = "VARCHAR NOT NULL"
qty = "INTEGER NOT NULL"

# schema 1 had the customer's number, and the price in cents
[[upcast]]
type = "Placed"
when = "meta.schema::INTEGER = 1"
set  = { customer = "'customer-' || data.cust", amount = "data.cents::BIGINT * 0.01", "address.city" = "data.city" }
drop = ["cust", "cents", "city"]

[[upcast]]
type = "Old.*|Placed"
when = "data.address.city IS NOT NULL"
set  = { city = "upper(data.address.city)", note = "data.address" }
as   = "Placed"

[[upcast]]
type = "Noise"
discard = true

[[upcast]]
type = "Cart"
set  = { by = "event.stream" }
drop = ["lines"]
into = [
  { type = "Line", set = { sku = "data.lines::JSON ->> '$[0].sku'", qty = "(data.lines::JSON -> '$[0].qty')::INTEGER" } },
  { type = "Line", set = { sku = "data.by || '/' || event.type", qty = "NULL::INTEGER" } },
  { type = "Note", set = { n = "1" }, drop = ["by"] },
]
# what the one before left without a quantity
[[upcast]]
type = "Line"
when = "data.qty IS NULL"
set  = { qty = "7" }

[aggregate.order]
stream = "order-{id}"
[aggregate.order.state]
customer = "VARCHAR"
amount   = "DECIMAL(20,4)"
city     = "VARCHAR"
note     = "JSON"
trail    = "VARCHAR DEFAULT ''"
qty      = "INTEGER DEFAULT 0"
[aggregate.order.on.Placed]
take = ["customer", "amount", "city", "note"]
[aggregate.order.on.Line]
set.trail = "trail || ' ' || data.sku || '*' || data.qty"
set.qty   = "qty + data.qty"
[aggregate.order.on.Note]
set.trail = "trail || ' note' || data.n::VARCHAR || coalesce(data.by::VARCHAR, '')"

[aggregate.sku]
key = { sku = "data.sku" }
[aggregate.sku.state]
qty = "INTEGER DEFAULT 0"
[aggregate.sku.on.Line]
set.qty = "qty + data.qty"

[read_model.orders]
sql = "SELECT * EXCLUDE (_first_event_at, _last_event_at) FROM \"order\""
[[read_model.orders.to]]
parquet = "out/orders.parquet"
[read_model.skus]
sql = "SELECT sku, qty, _events FROM sku"
[[read_model.skus.to]]
parquet = "out/skus.parquet"
[read_model.lines]
sql = 'SELECT sku, qty, _stream, _version FROM events."Line"'
[[read_model.lines.to]]
parquet = "out/lines.parquet"
"#;

fn record(stream: &str, version: u64, event_type: &str, data: &str, metadata: &str) -> String {
    format!(r#"{{"stream_id":"{stream}","version":{version},"type":"{event_type}","data":{data},"metadata":{metadata}}}"#) + "\n"
}

fn cart(stream: &str, version: u64, sku: &str, qty: i64) -> String {
    record(stream, version, "Cart", &format!(r#"{{"lines":[{{"sku":"{sku}","qty":{qty}}}]}}"#), "{}")
}

fn rows(project: &Project, target: &str, expected: &str) {
    let found = format!("SELECT * FROM {}", literal(&project.path(&format!("out/{target}.parquet"))));
    assert_same_rows(&duckdb(), &found, expected);
}

#[test]
fn each_event_passes_through_each_upcaster_that_takes_it() {
    let project = Project::new(PROJECT);
    let log = [
        record("order-1", 1, "Placed", r#"{"cust":7,"cents":123456789012345,"city":"Graz","extra":1.10}"#, r#"{"schema":1}"#),
        record("order-2", 1, "Old.Order", r#"{"customer":"x","amount":1.5,"address":{"city":"wien","zip":1.50}}"#, "null"),
        record("order-3", 1, "Placed", r#"{"customer":"y","amount":2}"#, r#"{"schema":"2"}"#),
        record("order-3", 2, "Noise", r#"{"cust":{}}"#, "{}"),
        record("order-3", 3, "Placed", r#"{"customer":"z","amount":3,"note":[1.10]}"#, "{}"),
        cart("order-4", 1, "A", 2),
    ]
    .concat();
    project.write("a.ndjson", &log);
    let report = project.foldline(&["run", "--json"]).exits(0).json();
    let source = &report["sources"][0];
    assert_eq!((source["records"].as_u64(), source["decoded"].as_u64(), source["events"].as_u64()), (Some(6), Some(6), Some(8)));
    assert_eq!((report["events"]["folded"].as_u64(), report["events"]["filtered"].as_u64()), (Some(7), Some(1)));
    rows(
        &project,
        "orders",
        r#"SELECT * FROM (VALUES
            ('1', 'customer-7', 1234567890123.45::DECIMAL(20,4), 'GRAZ', '{"city":"Graz"}', '', 0::INTEGER, 1::BIGINT, 1::BIGINT, NULL::BIGINT),
            ('2', 'x', 1.5, 'WIEN', '{"city":"wien","zip":1.50}', '', 0, 1, 1, NULL),
            ('3', 'z', 3, NULL, '[1.10]', '', 0, 2, 3, NULL),
            ('4', NULL, NULL, NULL, NULL, ' A*2 order-4/Cart*7 note1', 9, 3, 1, NULL)
        ) t(id, customer, amount, city, note, trail, qty, _events, _version, _position)"#,
    );
    rows(
        &project,
        "lines",
        "SELECT * FROM (VALUES ('A', 2::INTEGER, 'order-4', 1::BIGINT), ('order-4/Cart', 7, 'order-4', 1)) t(sku, qty, _stream, _version)",
    );
}

#[test]
fn the_parts_of_an_event_share_its_version_also_when_it_is_early_or_a_duplicate_and_in_pieces() {
    let lines: Vec<String> = [(2, "B"), (1, "A"), (1, "A"), (4, "D"), (3, "C"), (4, "D")]
        .iter()
        .map(|(version, sku)| cart("order-1", *version, sku, 1))
        .collect();
    let whole = Project::new(PROJECT);
    whole.write("a.ndjson", lines.concat());
    let report = whole.foldline(&["run", "--json"]).exits(0).json();
    assert_eq!((report["events"]["folded"].as_u64(), report["events"]["duplicates"].as_u64()), (Some(12), Some(6)));
    assert_eq!(report["sources"][0]["events"].as_u64(), Some(18));
    let trail: String = ["A", "B", "C", "D"].map(|sku| format!(" {sku}*1 order-1/Cart*7 note1")).concat();
    rows(
        &whole,
        "orders",
        &format!(
            "SELECT '1' AS id, NULL::VARCHAR AS customer, NULL::DECIMAL(20,4) AS amount, NULL::VARCHAR AS city, NULL::VARCHAR AS note, \
             '{trail}' AS trail, 32::INTEGER AS qty, 12::BIGINT AS _events, 4::BIGINT AS _version, NULL::BIGINT AS _position"
        ),
    );
    rows(
        &whole,
        "skus",
        "SELECT * FROM (VALUES ('A', 1::INTEGER, 1::BIGINT), ('B', 1, 1), ('C', 1, 1), ('D', 1, 1), ('order-1/Cart', 28, 4)) t(sku, qty, _events)",
    );
    let pieces = Project::new(PROJECT);
    for piece in [&lines[..2], &lines[2..3], &lines[3..5], &lines[5..]] {
        pieces.append("a.ndjson", piece.concat());
        pieces.foldline(&["run"]).exits(0);
    }
    for target in ["orders", "skus", "lines"] {
        let read = |project: &Project| std::fs::read(project.path(&format!("out/{target}.parquet"))).unwrap();
        assert!(read(&pieces) == read(&whole), "{target}");
    }
}

#[test]
fn an_upcaster_that_fails_makes_a_bad_event_and_one_bad_part_makes_the_record_bad() {
    let project = Project::new(PROJECT);
    let log = [
        record("order-1", 1, "Placed", r#"{"cust":7,"cents":"many"}"#, r#"{"schema":1}"#),
        cart("order-2", 1, "A", 1),
        cart("order-2", 2, "A", 99_999_999_999),
        record("order-3", 1, "Placed", r#"{"cust":7,"cents":"1","address":5}"#, r#"{"schema":1}"#),
        record("order-4", 1, "Cart", r#"{"lines":"[]"}"#, "{}"),
    ]
    .concat();
    project.write("a.ndjson", log);
    let failed = project.foldline(&["run"]).exits(65);
    insta::assert_snapshot!(project.redact(&failed.stderr));
    project.assert_nothing_published();
    let skipping = Project::new(&PROJECT.replace("files =", "on_bad_record = \"skip\"\nfiles ="));
    skipping.write("a.ndjson", std::fs::read(project.path("a.ndjson")).unwrap());
    let report = skipping.foldline(&["run", "--json"]).exits(0).json();
    let source = &report["sources"][0];
    assert_eq!((source["records"].as_u64(), source["bad"].as_u64(), source["events"].as_u64()), (Some(5), Some(4), Some(3)));
}

#[test]
fn a_changed_upcaster_replays_what_it_reaches_and_nothing_else() {
    let project = Project::new(PROJECT);
    let placed = record("order-1", 1, "Placed", r#"{"cust":7,"cents":100}"#, r#"{"schema":1}"#);
    project.write("a.ndjson", [placed, cart("order-2", 1, "A", 1)].concat());
    project.foldline(&["run"]).exits(0);
    let modes = |text: &str| {
        project.write("foldline.toml", text);
        let report = project.foldline(&["run", "--json"]).exits(0).json();
        report["aggregates"].as_array().unwrap().iter().map(|a| a["mode"].as_str().unwrap().to_string()).collect::<Vec<_>>()
    };
    let commented = PROJECT.replace("# schema 1 had", "# the first schema had").replace("upper(data", "upper( /* loud */ data");
    assert_eq!(modes(&commented), ["unchanged", "unchanged"]);
    let cents = PROJECT.replace("* 0.01", "* 0.1");
    assert_eq!(modes(&cents), ["replayed", "unchanged"]);
    let quantity = cents.replace("qty = \"7\"", "qty = \"8\"");
    assert_eq!(modes(&quantity), ["replayed", "replayed"]);
    rows(&project, "skus", "SELECT * FROM (VALUES ('A', 1::INTEGER, 1::BIGINT), ('order-2/Cart', 8, 1)) t(sku, qty, _events)");
    rows(
        &project,
        "lines",
        "SELECT * FROM (VALUES ('A', 1::INTEGER, 'order-2', 1::BIGINT), ('order-2/Cart', 8, 'order-2', 1)) t(sku, qty, _stream, _version)",
    );
}

#[test]
fn the_events_of_a_test_pass_through_upcasters() {
    let test = r#"
[[test]]
name  = "a cart is lines"
given = [
  { stream = "order-1", type = "Placed", data = { cust = 7, cents = 250 }, metadata = { schema = 1 } },
  { stream = "order-1", type = "Cart", data = { lines = [{ sku = "A", qty = 2 }] } },
  { stream = "order-1", type = "Noise" },
  { stream = "order-1", type = "Line", data = { sku = "B", qty = 1 } },
]
then = { order = [{ id = "1", customer = "customer-7", amount = "2.5", qty = 10, _events = 5, _version = 4 }], lines = [{ sku = "B" }, { sku = "A" }, { qty = 7 }] }
"#;
    let project = Project::new(&format!("{PROJECT}{test}"));
    project.foldline(&["test"]).exits(0);
}

#[test]
fn the_example_of_the_docs_does_what_they_say() {
    let around = r#"
[source.s]
files = ["*.ndjson"]
[event.OrderPlaced]
customer_id = "VARCHAR NOT NULL"
address     = "STRUCT(city VARCHAR)"
[event.ItemAdded]
sku = "VARCHAR NOT NULL"
qty = "INTEGER NOT NULL"
[aggregate.order]
stream = "order-{id}"
[aggregate.order.state]
customer_id = "VARCHAR"
city        = "VARCHAR"
items       = "INTEGER DEFAULT 0"
[aggregate.order.on.OrderPlaced]
set.customer_id = "data.customer_id"
set.city        = "data.address.city"
[aggregate.order.on.ItemAdded]
set.items = "items + data.qty"
[aggregate.order.on.OrderTouched]
fail = "'nobody gets here'"
[[test]]
name  = "the example"
given = [
  { stream = "order-1", type = "OrderPlaced", data = { cust = 7, city = "Graz" }, metadata = { schema_version = 1 } },
  { stream = "order-2", type = "OrderCreated", data = { customer_id = "c" } },
  { stream = "order-2", type = "OrderTouched" },
  { stream = "order-3", type = "OrderImported", data = { customer_id = "d", sku = "A", price = 1 } },
]
then = { order = [
  { id = "1", customer_id = "customer-7", city = "Graz", items = 0 },
  { id = "2", customer_id = "c", _version = 1 },
  { id = "3", customer_id = "d", items = 1, _events = 2, _version = 1 },
] }
"#;
    let project = Project::new(&format!("{}{around}", example_of("upcasters.md")));
    assert_eq!(project.foldline(&["check"]).exits(0).stderr.matches("warning").count(), 0);
    project.foldline(&["test"]).exits(0);
}

#[test]
fn check_warns_about_a_new_type_that_nobody_handles() {
    let project = Project::new(&PROJECT.replace("type = \"Note\", set", "type = \"Nte\", set"));
    let said = project.foldline(&["check"]).exits(0).stderr;
    assert!(!said.contains("no contract of"), "{said}");
    assert!(said.contains("nobody handles events of the type `Nte`") && said.contains("did you mean `Note`?"), "{said}");
}

#[test]
fn check_warns_about_a_field_that_is_one_letter_away_from_the_contracts() {
    let project = Project::new(&PROJECT.replace("set  = { customer =", "set  = { custmer ="));
    let said = project.foldline(&["check"]).exits(0).stderr;
    assert!(
        said.contains("no contract of [event.Placed] names the field `custmer`") && said.contains("did you mean `customer`?"),
        "{said}"
    );
}

#[test]
fn a_number_that_json_cannot_write_is_the_upcasters_error() {
    let project = Project::new(&PROJECT.replace("qty = \"7\"", "qty = \"7\", odds = \"[data.odds::DOUBLE]\""));
    project.write("a.ndjson", record("order-1", 1, "Line", r#"{"sku":"A","odds":"inf"}"#, "{}"));
    let said = project.foldline(&["run"]).exits(65).stderr;
    assert!(
        said.contains("a.ndjson:1: upcast: the upcaster at foldline.toml:41: `odds`: `[Infinity]` cannot stand in a payload"),
        "{said}"
    );
}

#[test]
fn a_json_value_that_an_upcaster_sets_keeps_its_digits() {
    let project = Project::new(&PROJECT.replace("note = \"data.address\"", "note = \"CASE WHEN true THEN data.address::JSON END\""));
    let data = r#"{"customer":"x","amount":1,"address":{"city":"wien","at":[1.10, 0.1234567890123456789]}}"#;
    project.write("a.ndjson", record("order-1", 1, "Old.Order", data, "{}"));
    project.foldline(&["run"]).exits(0);
    let found = format!("SELECT note FROM {}", literal(&project.path("out/orders.parquet")));
    assert_same_rows(&duckdb(), &found, r#"SELECT '{"city":"wien","at":[1.10, 0.1234567890123456789]}' AS note"#);
}
