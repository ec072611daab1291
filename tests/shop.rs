//! The shop's read models, computed once by foldline and once by plain SQL over the raw JSON: all rows agree.

mod common;

use common::{Project, assert_same_rows, count, duckdb, literal, shop_log};

/// A view `log` over the decompressed events, made by DuckDB's own JSON reader.
fn oracle(project: &Project) -> duckdb::Connection {
    project.write("oracle.ndjson", shop_log());
    let db = duckdb();
    db.execute_batch(&format!(
        "SET TimeZone = 'UTC';
         CREATE TABLE log AS
         SELECT stream_id, type, version, position, time::TIMESTAMP AS time, data,
                split_part(stream_id, '-', 1) AS category, substr(stream_id, instr(stream_id, '-') + 1) AS key
         FROM read_json({}, format = 'newline_delimited', columns = {{
             stream_id: 'VARCHAR', type: 'VARCHAR', version: 'BIGINT', position: 'BIGINT', time: 'VARCHAR', data: 'JSON' }});
         CREATE VIEW item AS
         SELECT key AS order_id, time, data->>'sku' AS sku, (data->>'qty')::INTEGER AS qty, (data->>'price')::DECIMAL(10,2) AS price
         FROM log WHERE type = 'ItemAdded';
         CREATE VIEW customer AS
         SELECT key AS customer_id,
                any_value(data->>'name') FILTER (WHERE type = 'CustomerRegistered') AS name,
                any_value(data->>'email') FILTER (WHERE type = 'CustomerRegistered') AS email,
                arg_max(data->>'country', version) AS country,
                min(time) AS registered_at
         FROM log WHERE category = 'customer' GROUP BY key;
         CREATE VIEW placed AS
         SELECT key AS order_id, data->>'customer_id' AS customer_id, data->>'currency' AS currency, time AS placed_at
         FROM log WHERE type = 'OrderPlaced';
         CREATE VIEW status AS
         SELECT key AS order_id, version, time AS since,
                CASE type WHEN 'OrderPlaced' THEN 'placed' WHEN 'OrderPaid' THEN 'paid' WHEN 'OrderShipped' THEN 'shipped'
                          WHEN 'OrderCancelled' THEN 'cancelled' END AS status
         FROM log WHERE category = 'order' AND type <> 'ItemAdded';
         CREATE VIEW orders AS
         SELECT p.*, s.status, coalesce(i.items, 0)::INTEGER AS items, coalesce(i.total, 0)::DECIMAL(18,2) AS total
         FROM placed p
         JOIN (SELECT order_id, arg_max(status, version) AS status FROM status GROUP BY order_id) s USING (order_id)
         LEFT JOIN (SELECT order_id, sum(qty) AS items, sum(qty * price) AS total FROM item GROUP BY order_id) i USING (order_id)",
        literal(&project.path("oracle.ndjson"))
    ))
    .unwrap();
    db
}

const ORDER_SUMMARY: &str = "
    SELECT o.order_id, o.customer_id, c.name AS customer, c.country, o.status, o.currency, o.items, o.total, o.placed_at,
           date_trunc('month', o.placed_at) AS month
    FROM orders o JOIN customer c USING (customer_id)";

const SALES: &str = "
    SELECT i.time::DATE AS day, i.sku, p.product, sum(i.qty)::BIGINT AS sold, sum(i.qty * i.price)::DECIMAL(18,2) AS revenue
    FROM item i
    JOIN (SELECT key AS sku, data->>'name' AS product FROM log WHERE type = 'ProductAdded') p USING (sku)
    GROUP BY ALL";

const CUSTOMERS: &str = "
    SELECT c.*, count(o.order_id) AS orders,
           coalesce(sum(o.total) FILTER (WHERE o.status IN ('paid', 'shipped')), 0)::DECIMAL(38,2) AS spent
    FROM (SELECT customer_id, name, email, country, registered_at FROM customer) c
    LEFT JOIN orders o USING (customer_id)
    GROUP BY ALL";

const CANCELLATIONS: &str = "
    SELECT data->>'reason' AS reason, count(*) AS orders, min(time) AS first_at, max(time) AS last_at
    FROM log WHERE type = 'OrderCancelled' GROUP BY ALL";

#[test]
fn read_models_agree_with_plain_sql_over_the_raw_json() {
    let project = Project::shop();
    project.foldline(&["run"]).exits(0);
    let db = oracle(&project);
    let expected = [
        ("order_summary", ORDER_SUMMARY),
        ("sales_by_product_and_day", SALES),
        ("customers", CUSTOMERS),
        ("order_status_history", "SELECT order_id, status, since FROM status"),
        ("cancellations", CANCELLATIONS),
    ];
    for (name, sql) in expected {
        println!("{name}");
        let parquet = project.path(&format!("out/{name}.parquet"));
        assert_same_rows(&db, &format!("SELECT * FROM read_parquet({})", literal(&parquet)), sql);
    }
}

#[test]
fn the_duckdb_file_has_the_same_rows_as_the_parquet_files() {
    let project = Project::shop();
    project.foldline(&["run"]).exits(0);
    let db = duckdb();
    db.execute_batch(&format!("ATTACH {} AS shop (READ_ONLY)", literal(&project.path("out/shop.duckdb")))).unwrap();
    for name in ["order_summary", "sales_by_product_and_day", "customers"] {
        let parquet = project.path(&format!("out/{name}.parquet"));
        assert_same_rows(&db, &format!("SELECT * FROM shop.{name}"), &format!("SELECT * FROM read_parquet({})", literal(&parquet)));
    }
}

#[test]
fn the_report_accounts_for_every_event() {
    let project = Project::shop();
    let report = project.foldline(&["run", "--json"]).exits(0).json();
    let source = &report["sources"][0];
    assert_eq!(source["files"], 3);
    assert_eq!(source["records"], 24_000);
    let counted = ["decoded", "empty", "bad"].map(|field| source[field].as_u64().unwrap());
    assert_eq!(counted, [24_000, 0, 0]);
    let events = report["events"].as_object().unwrap();
    assert_eq!(events.values().map(|count| count.as_u64().unwrap()).sum::<u64>(), 24_000);
    assert_eq!(events["folded"], 24_000);

    let db = oracle(&project);
    let rows = |name: &str| report["aggregates"].as_array().unwrap().iter().find(|a| a["name"] == name).unwrap()["rows"].as_u64();
    assert_eq!(rows("customer"), Some(count(&db, "FROM customer")));
    assert_eq!(rows("order"), Some(count(&db, "FROM orders")));
    assert_eq!(rows("sku_sales"), Some(count(&db, "SELECT DISTINCT sku, time::DATE FROM item")));
}

#[test]
fn a_second_run_finds_nothing_new() {
    let project = Project::shop();
    project.foldline(&["run"]).exits(0);
    let first = project.parquet();
    let report = project.foldline(&["run", "--json"]).exits(0).json();
    assert_eq!(report["outcome"], "nothing_new");
    assert_eq!(report["generation"], 1);
    assert!(project.parquet() == first, "a run without news changed a target");
}

#[test]
fn a_rebuild_gives_the_same_bytes_as_the_first_run() {
    let project = Project::shop();
    project.foldline(&["run"]).exits(0);
    let first = project.parquet();
    let report = project.foldline(&["rebuild", "--json"]).exits(0).json();
    assert_eq!(report["sources"][0]["records"], 24_000);
    assert!(report["aggregates"].as_array().unwrap().iter().all(|a| a["mode"] == "replayed"), "{report:#}");
    assert!(project.parquet() == first, "a rebuild changed a target");
}
