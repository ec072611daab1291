//! Change logs of others, from the tests of tools that read them, through their presets: the replica of a table is what plain SQL
//! over the raw records says of it. The files are not part of the project.

mod common;

use std::path::{Path, PathBuf};

use common::{Project, adds_up, assert_same_rows, duckdb, literal};

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
