//! Change logs of others, from the tests of tools that read them, through their presets: the replica of a table is what plain SQL
//! over the raw records says of it. The files are not part of the project.

mod common;

use std::path::{Path, PathBuf};

use common::{Project, adds_up, assert_same_rows, duckdb, literal};
use foldline::source::quirks::of_files::{Canal, Rewrite, Wal2jsonV1};

fn sample(name: &str) -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data").join(name);
    if !path.is_file() {
        eprintln!("skipped: no sample at {}", path.display());
        return None;
    }
    Some(path.canonicalize().unwrap())
}

/// The records of samples, without the licence that stands above them.
fn records(names: &[&str]) -> Option<String> {
    let mut log = String::new();
    for name in names {
        let text = std::fs::read_to_string(sample(name)?).unwrap();
        text.lines().filter(|line| line.starts_with('{')).for_each(|line| {
            log.push_str(line);
            log.push('\n');
        });
    }
    Some(log)
}

/// A replica of `table` with these columns (`id` is the key), published; with every record taken.
fn replica(log: &str, preset: &str, table: &str, columns: &str) -> Project {
    let project = Project::new(&format!(
        "[source.s]\nfiles = \"log.ndjson\"\npreset = \"{preset}\"\n\n[event.\"{table}.*\"]\n{columns}\n\n[aggregate.row]\nreplica_of = \"{table}\"\n
[read_model.published]\nsql = \"SELECT * EXCLUDE (_events, _version, _position, _first_event_at, _last_event_at) FROM row\"
[[read_model.published.to]]\nparquet = \"out/published.parquet\"\n"
    ));
    project.write("log.ndjson", log);
    let report = adds_up(&project.foldline(&["run", "--json"]).exits(0), preset);
    assert_eq!(report["sources"][0]["bad"], 0, "{report:#}");
    project
}

fn published(project: &Project, columns: &str) -> String {
    format!("SELECT {columns} FROM {}", literal(&project.path("out/published.parquet")))
}

/// The raw records in their order: `n`, and `j` as JSON.
fn raw(project: &Project) -> String {
    let log = project.path("log.ndjson");
    format!(
        "(SELECT row_number() OVER () AS n, line::JSON AS j
          FROM read_csv('{}', columns = {{'line': 'VARCHAR'}}, header = false, delim = '\\x01', quote = '', escape = ''))",
        log.display()
    )
}

const CUSTOMER: &str = "id = \"BIGINT KEY\"\nfirst_name = \"VARCHAR\"\nlast_name = \"VARCHAR\"\nemail = \"VARCHAR\"";
const CUSTOMERS: &str = "id, first_name, last_name, email";

#[test]
fn debezium_with_and_without_schema_gives_the_rows_that_were_written_last() {
    for name in ["debezium/debezium_log.1", "debezium/debezium_log_no_schema_field.1"] {
        let Some(log) = records(&[name]) else { return };
        let project = replica(&log, "debezium", "customers", CUSTOMER);
        let rows = format!(
            "WITH event AS (SELECT n, coalesce(j->'payload', j) AS e FROM {}),
                  change AS (SELECT n, e->>'op' AS op, CASE WHEN e->>'op' = 'd' THEN e->'before' ELSE e->'after' END AS r FROM event)
             SELECT (r->>'id')::BIGINT AS id, r->>'first_name' AS first_name, r->>'last_name' AS last_name, r->>'email' AS email
             FROM change QUALIFY row_number() OVER (PARTITION BY r->>'id' ORDER BY n DESC) = 1 AND op <> 'd'",
            raw(&project)
        );
        assert_same_rows(&duckdb(), &published(&project, CUSTOMERS), &rows);
    }
}

#[test]
fn every_type_of_a_schema_is_the_value_that_mysql_has() {
    let Some(log) = records(&["cdc/debezium__table__schema__alltype__debezium-data-1.txt"]) else { return };
    let table = serde_json::from_str::<serde_json::Value>(&log).unwrap()["payload"]["source"]["table"].as_str().unwrap().to_string();
    let columns = "_id = \"INTEGER KEY\"\n_bigint_unsigned = \"DECIMAL(20,0)\"\n_numeric = \"DECIMAL(8,3)\"\n_date = \"DATE\"\n_datetime = \"TIMESTAMP\"\n_datetime3 = \"TIMESTAMP\"\n_datetime6 = \"TIMESTAMP\"\n_timestamp = \"TIMESTAMPTZ\"\n_time = \"TIME\"\n_json = \"JSON\"\n_year = \"INTEGER\"\n_bit = \"BLOB\"\n_set = \"VARCHAR\"";
    let project = replica(&log, "debezium", &table, columns);
    let expected = "SELECT 20000000000::DECIMAL(20,0) AS a, 12345.110::DECIMAL(8,3) AS b, DATE '2023-03-23' AS c, TIMESTAMP '2023-03-23 14:30:05' AS d,
        TIMESTAMP '2023-03-23 14:30:05.123' AS e, TIMESTAMP '2023-03-23 14:30:05.123456' AS f, TIMESTAMPTZ '2023-03-23 22:00:10.123456+00' AS g,
        TIME '10:13:23' AS h, 'b' AS i, 2023 AS j, unhex('C707000000000000') AS k, 'a,b' AS l";
    let found =
        "data__bigint_unsigned AS a, data__numeric AS b, data__date AS c, data__datetime AS d, data__datetime3 AS e, data__datetime6 AS f,
        data__timestamp AS g, data__time AS h, data__json->>'a' AS i, data__year AS j, data__bit AS k, data__set AS l";
    assert_same_rows(&duckdb(), &published(&project, found), expected);
}

#[test]
fn documents_of_debeziums_mongodb_connector_are_opened() {
    for name in ["debezium/debezium_mongo_json_customers.1", "debezium/debezium_mongo_json_customers_no_schema_field.1"] {
        let Some(log) = records(&[name]) else { return };
        let columns = CUSTOMER.replace("id =", "_id =");
        let project = replica(&log, "debezium", "customers", &columns);
        let rows = format!(
            "WITH document AS (SELECT (coalesce(j->'payload', j)->>'after')::JSON AS d FROM {})
             SELECT (d->'_id'->>'$.\"$numberLong\"')::BIGINT AS id, d->>'first_name' AS first_name, d->>'last_name' AS last_name, d->>'email' AS email
             FROM document",
            raw(&project)
        );
        let found = CUSTOMERS.replacen("id", "data__id AS id", 1);
        assert_same_rows(&duckdb(), &published(&project, &found), &rows);
    }
}

#[test]
fn maxwells_inserts_updates_and_deletes_give_the_rows_that_were_written_last() {
    let names = [1, 2, 3, 4].map(|n| format!("cdc/maxwell__table__schemaevolution__maxwell-data-{n}.txt"));
    let Some(log) = records(&names.each_ref().map(String::as_str)) else { return };
    let project =
        replica(&log, "maxwell", "product", "id = \"BIGINT KEY\"\nname = \"VARCHAR\"\ndescription = \"VARCHAR\"\nweight = \"DOUBLE\"");
    let rows = format!(
        "SELECT (j->'data'->>'id')::BIGINT AS id, j->'data'->>'name' AS name, j->'data'->>'description' AS description, (j->'data'->>'weight')::DOUBLE AS weight
         FROM {} QUALIFY row_number() OVER (PARTITION BY j->'data'->>'id' ORDER BY n DESC) = 1 AND (j->>'type') <> 'delete'",
        raw(&project)
    );
    assert_same_rows(&duckdb(), &published(&project, "id, name, description, weight"), &rows);
}

/// What a file's quirk makes of records.
fn rewritten<'r>(rewrite: &mut dyn Rewrite, records: impl IntoIterator<Item = &'r str>) -> Vec<serde_json::Value> {
    let mut out = String::new();
    records.into_iter().for_each(|record| rewrite.record(record, &mut out).unwrap_or_else(|e| panic!("{e}\n{record}")));
    rewrite.end(&mut out).unwrap();
    out.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}\n{line}"))).collect()
}

#[test]
fn a_message_of_canal_has_numbers_where_mysql_has_them_and_the_row_before() {
    let Some(log) = records(&["debezium/cannal_json.1"]) else { return };
    let lines = rewritten(&mut Canal, log.lines());
    assert_eq!(lines.len(), log.lines().count(), "each has one row");
    let update = lines.iter().find(|line| line["op"] == "update").unwrap();
    assert_eq!((&update["after"]["balance"], &update["before"]["balance"]), (&1500.62.into(), &1000.62.into()));
    assert_eq!((&update["before"]["id"], &update["before"]["name"], &update["before"]["is_adult"]), (&1.into(), &"mike".into(), &0.into()));
    let Some(flat) = records(&["debezium/canal-json.txt"]) else { return };
    let lines = rewritten(&mut Canal, flat.lines());
    assert_eq!(lines.len(), flat.lines().count());
    for line in &lines {
        assert_eq!(line["op"].as_str().unwrap().to_uppercase(), line["type"].as_str().unwrap());
        assert!(line[if line["op"] == "delete" { "before" } else { "after" }].is_object(), "{line}");
    }
}

/// The outputs that wal2json's own tests expect.
#[test]
fn every_change_that_wal2jsons_tests_write_in_version_1_is_read() {
    let Some(folder) = sample("wal2json/default.out").and_then(|file| file.parent().map(Path::to_path_buf)) else { return };
    let (mut changes, mut lines) = (0, 0);
    for file in common::files_below(&folder) {
        let text = std::fs::read_to_string(&file).unwrap();
        let documents = text.lines().map(str::trim).filter(|line| line.starts_with("{\"change\"") || line.starts_with("{\"xid\""));
        for document in documents {
            // psql ends a line of several with a +
            let Ok(parsed) = serde_json::from_str::<serde_json::Value>(document) else { continue };
            changes += parsed["change"].as_array().unwrap().len();
            let made = rewritten(&mut Wal2jsonV1, [document]);
            for (line, change) in made.iter().zip(parsed["change"].as_array().unwrap()) {
                assert_eq!(line["op"], change["kind"]);
                let names = change["columnnames"].as_array().map_or(0, Vec::len);
                assert_eq!(
                    line["after"].as_object().filter(|_| change["kind"] != "message").map_or(0, |row| row.len()),
                    names,
                    "{document}"
                );
            }
            lines += made.len();
        }
    }
    assert!(changes > 0 && changes == lines, "{changes} changes, {lines} lines");
}

#[test]
fn every_change_that_wal2jsons_tests_write_in_version_2_is_an_event() {
    let Some(folder) = sample("wal2json/default.out").and_then(|file| file.parent().map(Path::to_path_buf)) else { return };
    let mut log = String::new();
    for file in common::files_below(&folder) {
        let text = std::fs::read_to_string(&file).unwrap();
        let changes = text.lines().map(str::trim).filter(|line| line.starts_with("{\"action\"") && line.ends_with('}'));
        changes.for_each(|change| log.extend([change, "\n"]));
    }
    let project = Project::new(
        r#"
[source.s]
files = "log.ndjson"
preset = "wal2json-v2"
[aggregate.change]
key = { kind = "event.type" }
[aggregate.change.state]
n = "BIGINT DEFAULT 0"
[aggregate.change.on."*"]
set.n = "n + 1"
[read_model.published]
sql = "SELECT kind, n FROM change"
[[read_model.published.to]]
parquet = "out/published.parquet"
"#,
    );
    project.write("log.ndjson", log);
    let report = adds_up(&project.foldline(&["run", "--json"]).exits(0), "wal2json's tests");
    assert_eq!(report["sources"][0]["bad"], 0, "{report:#}");
    let rows = format!(
        "WITH change AS (SELECT j->>'action' AS action, j->>'schema' AS schema, j->>'table' AS name FROM {})
         SELECT CASE WHEN action = 'M' THEN 'message' ELSE
                  CASE WHEN schema = 'public' THEN '' ELSE schema || '.' END || name || '.' ||
                  CASE action WHEN 'I' THEN 'insert' WHEN 'U' THEN 'update' WHEN 'D' THEN 'delete' WHEN 'T' THEN 'truncate' END END AS kind,
                count(*) AS n
         FROM change WHERE action NOT IN ('B', 'C') GROUP BY ALL",
        raw(&project)
    );
    assert_same_rows(&duckdb(), &published(&project, "kind, n"), &rows);
}
