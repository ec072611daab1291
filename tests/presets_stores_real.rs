//! Real exports of event stores and outboxes, read by their presets and compared with plain SQL of DuckDB over another export of the same
//! rows. The samples are not part of the project: where they are not beside its folder, the tests are skipped.

mod common;

use std::path::{Path, PathBuf};

use common::{Project, adds_up, assert_same_rows, duckdb, literal};

/// A sample beside the project's folder.
fn sample(name: &str) -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data/postgres-local").join(name);
    if !path.is_file() {
        eprintln!("skipped: there is no sample {}", path.display());
        return None;
    }
    Some(path.canonicalize().unwrap())
}

/// Runs a project whose logs are these samples, under names in this order; gives the report.
fn run(project: &Project, samples: &[&Path]) -> serde_json::Value {
    for (number, path) in samples.iter().enumerate() {
        project.write(&format!("log/{number}.ndjson"), std::fs::read(path).unwrap());
    }
    let report = adds_up(&project.foldline(&["run", "--json"]).exits(0), "a real export");
    project.foldline(&["verify"]).exits(0);
    report
}

const OUTBOX: &str = r#"
[source.shop]
files = "log/*.ndjson"
preset = "outbox"
envelope.time = '"timestamp"'
[aggregate."order"]
stream = "Order-{order_id}"
[aggregate.order.state]
customer = "VARCHAR"
order_no = "BIGINT"
lines    = "BIGINT DEFAULT 0"
total    = "DECIMAL(18,2) DEFAULT 0"
ended    = "BIGINT DEFAULT 0"
first    = "TIMESTAMP"
[aggregate.order.on."*"]
set.first = "least(coalesce(first, event.time), event.time)"
[aggregate.order.on.OrderPlaced]
set.customer = "data.customer::VARCHAR"
set.order_no = "data.orderId::BIGINT"
set.first    = "least(coalesce(first, event.time), event.time)"
[aggregate.order.on.LineAdded]
set.lines = "lines + data.qty::BIGINT"
set.total = "total + data.qty::BIGINT * data.price::DECIMAL(10,2)"
set.first = "least(coalesce(first, event.time), event.time)"
[aggregate.order.on.OrderCancelled]
set.ended = "ended + 1"
set.first = "least(coalesce(first, event.time), event.time)"
[aggregate.order.on.OrderShipped]
set.ended = "ended + 1"
set.first = "least(coalesce(first, event.time), event.time)"
[read_model.orders]
sql = "SELECT order_id, customer, order_no, lines, total, ended, first FROM \"order\""
[[read_model.orders.to]]
parquet = "out/orders.parquet"
"#;

/// Numbers above 2^53, null payloads, rows that are not in the order of their times, and an export that overlaps.
#[test]
fn a_real_outbox_gives_what_sql_over_its_csv_gives() {
    let (Some(json), Some(csv)) = (sample("outbox.rowtojson.ndjson"), sample("outbox.csv")) else { return };
    let project = Project::new(OUTBOX);
    let text = std::fs::read_to_string(&json).unwrap();
    let again: String = text.lines().skip(2000).map(|line| format!("{line}\n")).collect();
    project.write("log/1.ndjson", again);
    let report = run(&project, &[&json]);
    assert_eq!((&report["events"]["folded"], &report["events"]["duplicates"]), (&5400.into(), &3400.into()), "{report:#}");
    let db = duckdb();
    let expected = format!(
        "SELECT aggregateid AS order_id, any_value(payload->>'customer') AS customer, any_value((payload->>'orderId')::BIGINT) AS order_no,
            coalesce(sum((payload->>'qty')::BIGINT), 0)::BIGINT AS lines,
            coalesce(sum((payload->>'qty')::BIGINT * (payload->>'price')::DECIMAL(10,2)), 0)::DECIMAL(18,2) AS total,
            count(*) FILTER (WHERE type IN ('OrderShipped', 'OrderCancelled')) AS ended, min(timestamp AT TIME ZONE 'UTC') AS first
         FROM read_csv({}, header = true, columns = {{id: 'VARCHAR', aggregatetype: 'VARCHAR', aggregateid: 'VARCHAR', type: 'VARCHAR',
            payload: 'JSON', timestamp: 'TIMESTAMPTZ'}}) WHERE aggregatetype = 'Order' GROUP BY ALL",
        literal(&csv)
    );
    assert_same_rows(&db, &format!("SELECT * FROM {}", literal(&project.path("out/orders.parquet"))), &expected);
    assert!(common::count(&db, &format!("SELECT 1 FROM ({expected}) WHERE order_no > 9007199254740992")) > 0);
}

/// A project run over one sample under a name that says what it stands in; gives what it published.
fn published(project: &str, name: &str, sample: &Path) -> Vec<u8> {
    let project = Project::new(&project.replace("log/*.ndjson", "log/*"));
    project.write(&format!("log/{name}"), std::fs::read(sample).unwrap());
    adds_up(&project.foldline(&["run", "--json"]).exits(0), name);
    let out = common::files_below(&project.path("out"));
    std::fs::read(&out[0]).unwrap()
}

/// CSV, COPY's text, row_to_json a line, and that through COPY, which doubles its backslashes.
#[test]
fn the_outbox_in_its_four_forms_gives_the_same_bytes() {
    let names = ["outbox.csv", "outbox.copy.tsv", "outbox.rowtojson.ndjson", "outbox.rowtojson.copy.ndjson"];
    let [Some(csv), Some(copy), Some(json), Some(copied)] = names.map(sample) else { return };
    let expected = published(OUTBOX, "outbox.ndjson", &json);
    assert!(published(OUTBOX, "outbox.csv", &csv) == expected, "CSV");
    let columns = "\n[source.shop.csv]\ncolumns = [\"id\", \"aggregatetype\", \"aggregateid\", \"type\", \"payload\", \"timestamp\"]\n[aggregate.\"order\"]";
    let as_copy = OUTBOX.replace("preset =", "format = \"postgres-copy\"\npreset =").replace("\n[aggregate.\"order\"]", columns);
    assert!(published(&as_copy, "outbox.copy.tsv", &copy) == expected, "COPY");
    let with_copy_text = OUTBOX.replace("preset =", "quirks = [\"copy-text\"]\npreset =");
    assert!(published(&with_copy_text, "outbox.ndjson", &copied) == expected, "row_to_json through COPY");
}

#[test]
fn message_db_as_csv_gives_the_bytes_of_its_json() {
    let (Some(csv), Some(json)) = (sample("message_db.messages.csv"), sample("message_db.messages.ndjson")) else { return };
    assert!(published(MESSAGES, "messages.csv", &csv) == published(MESSAGES, "messages.ndjson", &json));
}

/// 1,850 datums as fastavro counts them, 200 of them in a range that was captured twice; bodies that are null, empty, no UTF-8 and
/// arrays, eight each, are events whose payload nobody reads here.
#[test]
fn files_of_event_hubs_capture_are_read_whole_and_a_range_captured_twice_counts_once() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data/eventhubs-capture");
    if !folder.is_dir() {
        return eprintln!("skipped: there is no folder {}", folder.display());
    }
    let project = Project::new(
        r#"
[source.hub]
files = "ns/**/*.avro"
preset = "event-hubs-capture"
[aggregate.stream]
key = { stream = "event.stream" }
[aggregate.stream.state]
n = "BIGINT DEFAULT 0"
[aggregate.stream.on."*"]
set.n = "n + 1"
[read_model.streams]
sql = "SELECT stream, n FROM stream"
[[read_model.streams.to]]
parquet = "out/streams.parquet"
"#,
    );
    for file in common::files_below(&folder) {
        project.write(file.strip_prefix(&folder).unwrap().to_str().unwrap(), std::fs::read(&file).unwrap());
    }
    let report = adds_up(&project.foldline(&["run", "--json"]).exits(0), "eventhubs-capture");
    assert_eq!((&report["sources"][0]["records"], &report["events"]["duplicates"]), (&1850.into(), &200.into()), "{report:#}");
    let found = format!("SELECT sum(n)::BIGINT AS n FROM {}", literal(&project.path("out/streams.parquet")));
    assert_same_rows(&duckdb(), &found, "SELECT 1650::BIGINT AS n");
}

const MESSAGES: &str = r#"
[source.bank]
files = "log/*.ndjson"
preset = "message-db"
[aggregate.account]
stream = "account-{account_id}"
[aggregate.account.state]
balance = "BIGINT DEFAULT 0"
[aggregate.account.on.Opened]
set.balance = "balance"
[aggregate.account.on.Deposited]
set.balance = "balance + data.amount::BIGINT"
[aggregate.account.on.Withdrawn]
set.balance = "balance - data.amount::BIGINT"
[read_model.accounts]
sql = "SELECT account_id, balance, _version, _position, _last_event_at FROM account"
[[read_model.accounts.to]]
parquet = "out/accounts.parquet"
"#;

/// Data as objects and as texts, command streams beside those of entities, times without a zone, the category again behind the table.
#[test]
fn real_messages_of_message_db_give_what_sql_over_their_csv_gives() {
    let (Some(table), Some(category), Some(csv)) =
        (sample("message_db.messages.ndjson"), sample("message_db.get_category_messages.ndjson"), sample("message_db.messages.csv"))
    else {
        return;
    };
    let db = duckdb();
    let expected = format!(
        "SELECT stream_name[9:] AS account_id,
            sum(CASE type WHEN 'Deposited' THEN 1 WHEN 'Withdrawn' THEN -1 ELSE 0 END * (data->>'amount')::BIGINT)::BIGINT AS balance,
            max(position) AS _version, max(global_position) AS _position, max_by(time, global_position) AS _last_event_at
         FROM read_csv({}, header = true, columns = {{global_position: 'BIGINT', position: 'BIGINT', time: 'TIMESTAMP',
            stream_name: 'VARCHAR', type: 'VARCHAR', data: 'JSON', metadata: 'JSON', id: 'VARCHAR'}})
         WHERE stream_name LIKE 'account-%' GROUP BY ALL",
        literal(&csv)
    );
    for samples in [vec![&*table, &*category], vec![&*category, &*table]] {
        let project = Project::new(MESSAGES);
        let report = run(&project, &samples);
        let events = &report["events"];
        let counted = (&events["folded"], &events["filtered"], &events["duplicates"]);
        assert_eq!(counted, (&800.into(), &267.into(), &800.into()), "{report:#}");
        assert_same_rows(&db, &format!("SELECT * FROM {}", literal(&project.path("out/accounts.parquet"))), &expected);
    }
}

const COMMANDED: &str = r#"
[source.app]
files = "log/*.ndjson"
preset = "commanded"
[aggregate.thing]
stream = "{stream_no}"
[aggregate.thing.state]
sum  = "BIGINT DEFAULT 0"
user = "VARCHAR"
[aggregate.thing.on."Elixir.Event"]
set.sum  = "sum + data.data::BIGINT"
set.user = "meta.user"
[read_model.things]
sql = "SELECT stream_no, sum, user, _version, _position FROM thing"
[[read_model.things.to]]
parquet = "out/things.parquet"
"#;

/// Each event stands in its own stream, in `$all` and ten in a linked stream; data is JSON in hexadecimal bytes.
#[test]
fn real_rows_of_commanded_count_once_and_give_what_sql_over_the_csv_gives() {
    let (Some(joined), Some(events), Some(places)) =
        (sample("commanded.joined.ndjson"), sample("commanded.public.events.csv"), sample("commanded.public.stream_events.csv"))
    else {
        return;
    };
    let project = Project::new(COMMANDED);
    let report = run(&project, &[&joined]);
    assert_eq!((&report["events"]["folded"], &report["events"]["filtered"]), (&100.into(), &110.into()), "{report:#}");
    let expected = format!(
        "SELECT original_stream_id AS stream_no, sum((decode(unhex(e.data[3:]))->>'$.data')::BIGINT)::BIGINT AS sum,
            any_value(decode(unhex(e.metadata[3:]))->>'$.user') AS user, max(original_stream_version::BIGINT) AS _version,
            max(stream_version::BIGINT) AS _position
         FROM read_csv({}, header = true, all_varchar = true) s JOIN read_csv({}, header = true, all_varchar = true) e USING (event_id)
         WHERE s.stream_id = '0' GROUP BY ALL",
        literal(&places),
        literal(&events)
    );
    assert_same_rows(&duckdb(), &format!("SELECT * FROM {}", literal(&project.path("out/things.parquet"))), &expected);
}
