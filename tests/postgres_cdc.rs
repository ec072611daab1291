//! One database of PostgreSQL 15, exported by wal2json in both versions, by test_decoding, and by COPY: the replicas of its tables
//! that the change logs give equal each other and the tables.
//!
//! The database was made to hold what is hard to carry: NaN and infinities, years before 1, texts with quotes and line breaks, a TOAST value
//! that did not change, keys that did, columns that were added, renamed and retyped, truncated tables. What wal2json
//! cannot carry is listed in `LOST`. The files are not part of the project.

mod common;

use std::path::{Path, PathBuf};

use common::{Project, adds_up, assert_same_rows, count, duckdb, literal};

fn samples() -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data/postgres-local");
    if !folder.is_dir() {
        eprintln!("skipped: no exports of PostgreSQL at {}", folder.display());
        return None;
    }
    Some(folder.canonicalize().unwrap())
}

/// Where wal2json writes null for what is no number in JSON: the column `free` of the row 1001, which is NaN. Infinities of dates and times
/// come through, as texts.
const LOST: &str = "id = 1001";

const PROJECT: &str = r#"
[source.pg]
files = "log.ndjson"
preset = "wal2json-v2"

# what the database did by itself when columns were added and renamed
[[upcast]]
type = "orders.insert"
when = "data.id::BIGINT <= 4"
set = { note = "'n/a'" }

[[upcast]]
type = "orders.*"
when = "data.qty IS NOT NULL"
set = { quantity = "data.qty" }

[event."orders.*"]
id       = "BIGINT KEY"
customer = "VARCHAR"
total    = "DECIMAL(20,4)"
free     = "VARCHAR"
quantity = "BIGINT"
flag     = "BOOLEAN"
created  = "TIMESTAMPTZ"
local_ts = "TIMESTAMP"
d        = "DATE"
iv       = "INTERVAL"
body     = "VARCHAR"
raw      = "BLOB"
tags     = "VARCHAR"
m        = "VARCHAR"
big      = "VARCHAR"
c        = "VARCHAR"
note     = "VARCHAR"

[aggregate.orders]
replica_of = "orders"

[event."full_ident.*"]
id = "INTEGER KEY"
v  = "VARCHAR"
[aggregate.full_ident]
replica_of = "full_ident"

[event."outbox.*"]
id = "UUID KEY"
aggregatetype = "VARCHAR"
aggregateid = "VARCHAR"
type = "VARCHAR"
payload = "VARCHAR"
timestamp = "TIMESTAMPTZ"
[aggregate.outbox]
replica_of = "outbox"

[aggregate.message]
key = { prefix = "event.stream" }
[aggregate.message.state]
n = "BIGINT DEFAULT 0"
type = "VARCHAR"
[aggregate.message.on.message]
set.n = "n + 1"
set.type = "data.type::VARCHAR"

[read_model.orders_table]
sql = "SELECT id, customer, total, free, quantity, flag, created, local_ts, d, iv, body, raw, tags, m, big, c, note, _events FROM orders"
[[read_model.orders_table.to]]
parquet = "out/orders.parquet"

[read_model.outbox_table]
sql = "SELECT id, aggregatetype, aggregateid, type, payload, \"timestamp\" FROM outbox"
[[read_model.outbox_table.to]]
parquet = "out/outbox.parquet"

[read_model.full_ident_table]
sql = "SELECT id, v FROM full_ident"
[[read_model.full_ident_table.to]]
parquet = "out/full_ident.parquet"

[read_model.messages]
sql = "SELECT prefix, n, type FROM message"
[[read_model.messages.to]]
parquet = "out/messages.parquet"
"#;

/// A project over a log, run. `file`: a name that says what the log stands in.
fn run(preset: &str, file: &str, log: Vec<u8>) -> Project {
    let project = Project::new(&PROJECT.replace("\"wal2json-v2\"", &format!("{preset:?}")).replace("log.ndjson", "log.*"));
    project.write(file, log);
    let report = adds_up(&project.foldline(&["run", "--json"]).exits(0), "postgres-local");
    assert_eq!(report["sources"][0]["bad"], 0);
    project.foldline(&["verify"]).exits(0);
    project
}

/// A published table, every column as text.
fn published(project: &Project, name: &str, columns: &str) -> String {
    format!("SELECT {columns} FROM {}", literal(&project.path(&format!("out/{name}.parquet"))))
}

/// The columns of `orders` as PostgreSQL's texts of them, of a replica whose values are typed.
const TYPED: &str = "id, customer, total, free, quantity, flag, created, local_ts, d, iv::INTERVAL AS iv, body, raw, tags, m, big, c, note";

/// The table as COPY wrote it, with values of the same types. Only what is hard is cast by its own text.
fn orders_csv(file: &Path) -> String {
    let file = file.display();
    format!(
        "SELECT id::BIGINT AS id, customer, total::DECIMAL(20,4) AS total, free, quantity::BIGINT AS quantity, flag = 't' AS flag,
                created::TIMESTAMPTZ AS created, local_ts::TIMESTAMP AS local_ts, d::DATE AS d, iv::INTERVAL AS iv, body,
                unhex(substr(raw, 3)) AS raw, tags, m, big, c, note
         FROM read_csv('{file}', header = true, all_varchar = true, quote = '\"', escape = '\"', delim = ',', nullstr = '',
                       allow_quoted_nulls = false)"
    )
}

#[test]
fn every_change_log_of_a_database_gives_the_same_tables_and_these_are_the_databases() {
    let Some(folder) = samples() else { return };
    let read = |name: &str| std::fs::read(folder.join(name)).unwrap();
    let v2 = run("wal2json-v2", "log.ndjson", read("wal2json.v2.ndjson"));
    let v1 = run("wal2json-v1", "log.json", read("wal2json.v1.json"));
    let in_chunks = run("wal2json-v1", "log.json.gz", read("wal2json.v1.pretty-chunks.json.gz"));
    let decoding = run("test-decoding", "log.txt", read("test_decoding.pg_recvlogical.txt"));

    let db = duckdb();
    let but_nan = TYPED.replace(" free,", &format!(" CASE WHEN NOT ({LOST}) THEN free END AS free,"));
    for (name, columns) in [("orders", &*but_nan), ("orders", "id, _events"), ("outbox", "*"), ("messages", "*")] {
        for other in [&v1, &in_chunks, &decoding] {
            assert_same_rows(&db, &published(other, name, columns), &published(&v2, name, columns));
        }
    }
    for project in [&v1, &in_chunks, &v2] {
        assert_eq!(count(&db, &format!("{} WHERE {LOST} AND free IS NULL", published(project, "orders", "*"))), 1);
    }
    let table = orders_csv(&folder.join("orders.csv"));
    assert_same_rows(&db, &published(&decoding, "orders", TYPED), &table);
    assert_same_rows(&db, &published(&v2, "orders", &but_nan), &format!("SELECT {but_nan} FROM ({table})"));
    // what is left of a table that was truncated, and of an outbox that was emptied in part
    // wal2json 1 was not asked for truncates (`actions`), so a row stays there that is gone
    for (project, rows) in [(&v2, 0), (&decoding, 0), (&v1, 1), (&in_chunks, 1)] {
        assert_eq!(count(&db, &published(project, "full_ident", "*")), rows);
    }
    let outbox = format!(
        "SELECT id::UUID AS id, aggregatetype, aggregateid, type, payload, timestamp::TIMESTAMPTZ AS timestamp
         FROM read_csv('{}', header = true, all_varchar = true, quote = '\"', escape = '\"', delim = ',', nullstr = '', allow_quoted_nulls = false)",
        folder.join("outbox.csv").display()
    );
    assert_same_rows(&db, &published(&v2, "outbox", "id::UUID AS id, * EXCLUDE (id)"), &outbox);
}

#[test]
fn transactions_that_overlap_are_taken_in_the_order_of_their_commits() {
    let Some(folder) = samples() else { return };
    let project = Project::new(
        r#"
[source.pg]
files = "*.ndjson"
preset = "wal2json-v2"
[event."ev.*"]
seq = "BIGINT"
[aggregate.ev]
key = { stream = "event.stream" }
[aggregate.ev.state]
seen = "BIGINT[] DEFAULT []"
[aggregate.ev.on."ev.insert"]
set.seen = "list_append(seen, data.seq)"
[read_model.seen]
sql = "SELECT seen FROM ev"
[[read_model.seen.to]]
parquet = "out/seen.parquet"
"#,
    );
    project.write("log.ndjson", std::fs::read(folder.join("wal2json.v2.concurrent-commits.ndjson")).unwrap());
    project.foldline(&["run"]).exits(0);
    // 2 and 3 were committed before 1 and 4, and 5 never was
    let found = format!("SELECT seen::VARCHAR AS seen FROM {}", literal(&project.path("out/seen.parquet")));
    assert_same_rows(&duckdb(), &found, "SELECT '[2, 3, 1, 4, 6]' AS seen");
}
