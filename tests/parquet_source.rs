//! Parquet files as logs, written by DuckDB, against the same log as NDJSON and against what DuckDB reads in them.

mod common;

use std::fs;

use common::{Project, adds_up, assert_same_rows, duckdb, literal, shop_log};

/// The shop's project with all files of `events/`.
fn shop() -> Project {
    let project = Project::shop_without_logs();
    let file = fs::read_to_string(project.path("foldline.toml")).unwrap();
    let (before, rest) = file.split_once("\nfiles").expect("the source's files");
    let (_, after) = rest.split_once('\n').unwrap();
    project.write("foldline.toml", format!("{before}\nfiles = [\"events/*\"]\n{after}"));
    project
}

/// What the shop's log gives as NDJSON.
fn from_ndjson() -> std::collections::BTreeMap<String, Vec<u8>> {
    let project = shop();
    project.write("events/log.ndjson", shop_log());
    project.foldline(&["rebuild"]).exits(0);
    project.parquet()
}

/// Writes rows `from..to` (counted from 0) of the shop's log as Parquet.
fn write_rows(project: &Project, name: &str, columns: &str, options: &str, from: usize, to: usize) {
    let log = shop_log();
    let lines: Vec<u8> = common::lines(&log)[from..to.min(24_000)].concat();
    project.write("log.ndjson", lines);
    fs::create_dir_all(project.path("events")).unwrap();
    let source = "columns={stream_id:'VARCHAR', type:'VARCHAR', version:'BIGINT', position:'BIGINT', time:'TIMESTAMP', id:'VARCHAR', \
                  data:'JSON', metadata:'JSON'}";
    let query = format!(
        "COPY (SELECT {columns} FROM read_json({}, format='newline_delimited', {source})) TO {} (FORMAT parquet, ROW_GROUP_SIZE 2048{options})",
        literal(&project.path("log.ndjson")),
        literal(&project.path(&format!("events/{name}")))
    );
    duckdb().execute_batch(&query).unwrap_or_else(|e| panic!("{e}\nin {query}"));
}

const TEXT: &str = "* REPLACE (data::VARCHAR AS data, metadata::VARCHAR AS metadata)";

#[test]
fn a_log_gives_the_same_bytes_as_parquet_however_it_was_written() {
    let expected = from_ndjson();
    let payload = "{\"customer_id\":\"VARCHAR\",\"currency\":\"VARCHAR\",\"name\":\"VARCHAR\",\"email\":\"VARCHAR\",\"country\":\"VARCHAR\",\
                   \"sku\":\"VARCHAR\",\"qty\":\"INTEGER\",\"price\":\"DECIMAL(10,2)\",\"method\":\"VARCHAR\",\"carrier\":\"VARCHAR\",\
                   \"reason\":\"VARCHAR\"}";
    for (what, columns, options, threads) in [
        ("JSON text, snappy", TEXT.to_string(), "", "2"),
        ("JSON text, zstd", TEXT.to_string(), ", COMPRESSION zstd", "1"),
        ("JSON text, gzip", TEXT.to_string(), ", COMPRESSION gzip", "3"),
        ("JSON text, lz4_raw, other columns too", format!("7 AS seven, [1, 2] AS two, {TEXT}"), ", COMPRESSION lz4_raw", "2"),
        ("the logical type JSON", "*".to_string(), ", COMPRESSION uncompressed", "2"),
        ("columns of their own for the payload", format!("* REPLACE (json_transform(data, '{payload}') AS data)"), "", "2"),
        ("a time with its zone", TEXT.replace("* REPLACE (", "* REPLACE (time AT TIME ZONE 'UTC' AS time, "), "", "2"),
    ] {
        let project = shop();
        write_rows(&project, "log.parquet", &columns, options, 0, usize::MAX);
        project.foldline(&["rebuild", "--threads", threads]).exits(0);
        assert_eq!(project.parquet(), expected, "{what}");
        project.foldline(&["verify"]).exits(0);
    }
}

#[test]
fn a_log_that_goes_on_in_further_files_gives_the_bytes_of_one_rebuild() {
    let expected = from_ndjson();
    let project = shop();
    write_rows(&project, "part-1.parquet", TEXT, "", 0, 9_000);
    project.foldline(&["run"]).exits(0);
    let lines = shop_log();
    project.write("events/part-2.ndjson", common::lines(&lines)[9_000..15_000].concat());
    project.foldline(&["run"]).exits(0);
    write_rows(&project, "part-3.parquet", TEXT, ", COMPRESSION zstd", 15_000, usize::MAX);
    let report = adds_up(&project.foldline(&["run", "--json"]), "the last part");
    assert_eq!(report["sources"][0]["records"], 9_000);
    assert_eq!(project.parquet(), expected);
    let nothing = adds_up(&project.foldline(&["run", "--json"]), "nothing new");
    assert_eq!((nothing["outcome"].as_str(), &nothing["sources"][0]["records"]), (Some("nothing_new"), &0.into()));
    // under another name it is the same file
    fs::rename(project.path("events/part-1.parquet"), project.path("events/part-01.parquet")).unwrap();
    let moved = adds_up(&project.foldline(&["run", "--json"]), "moved");
    assert_eq!(moved["sources"][0]["records"], 0);
    project.foldline(&["verify"]).exits(0);
}

#[test]
fn a_parquet_file_that_changed_after_it_was_consumed_ends_a_run() {
    let project = shop();
    write_rows(&project, "log.parquet", TEXT, "", 0, 6_000);
    project.foldline(&["run"]).exits(0);
    let before = project.parquet();
    write_rows(&project, "log.parquet", TEXT.replace("(data::VARCHAR", "(replace(data::VARCHAR, 'EUR', 'USD')").as_str(), "", 0, 6_000);
    let refused = project.foldline(&["run"]).exits(10);
    assert!(refused.stderr.contains("events/log.parquet, lines 1 to 6000"), "{}", refused.stderr);
    assert_eq!(project.parquet(), before);
    project.foldline(&["run", "--accept-history-change"]).exits(0);
    let fresh = shop();
    fs::create_dir_all(fresh.path("events")).unwrap();
    fs::copy(project.path("events/log.parquet"), fresh.path("events/log.parquet")).unwrap();
    fresh.foldline(&["rebuild"]).exits(0);
    assert_eq!(project.parquet(), fresh.parquet());
}

/// Which columns are read follows from the envelope, and what was consumed is known by hashes of what they became.
#[test]
fn an_envelope_that_names_other_columns_replays_the_log_and_is_no_change_of_history() {
    let project = shop();
    let columns = format!("1 AS shop, {TEXT}");
    write_rows(&project, "log.parquet", &columns, "", 0, 6_000);
    project.foldline(&["run"]).exits(0);
    let file = fs::read_to_string(project.path("foldline.toml")).unwrap();
    let changed = file.replace("files = [\"events/*\"]", "files = [\"events/*\"]\nwhere = \"shop = '1' AND position::BIGINT <= 5000\"");
    project.write("foldline.toml", &changed);
    for _ in 0..2 {
        project.foldline(&["diff"]).exits(13);
    }
    let report = adds_up(&project.foldline(&["run", "--json"]), "the changed envelope");
    assert!(report["events"]["filtered"].as_u64().unwrap() >= 1_000, "{report:#}");
    let fresh = Project::new(&changed);
    write_rows(&fresh, "log.parquet", &columns, "", 0, 6_000);
    fresh.foldline(&["rebuild"]).exits(0);
    assert_eq!(project.parquet(), fresh.parquet());
    project.foldline(&["verify"]).exits(0);
    // and the log goes on
    for project in [&project, &fresh] {
        write_rows(project, "more.parquet", &columns, "", 6_000, 8_000);
        project.foldline(&["run"]).exits(0);
    }
    assert_eq!(project.parquet(), fresh.parquet());
}

const TYPES: &str = r#"
[project]
name = "types"
[source.log]
files = ["events/*.parquet"]
[source.log.envelope]
stream   = "stream"
type     = "'Seen'"
version  = "NULL"
position = "NULL"
time     = "seen_at"
id       = "NULL"
data     = "*"
metadata = "NULL"
[event.Seen]
truth = "BOOLEAN"
tiny = "TINYINT"
big = "BIGINT"
unsigned = "UBIGINT"
money = "DECIMAL(18,3)"
wide = "DECIMAL(38,10)"
single = "FLOAT"
double = "DOUBLE"
words = "VARCHAR"
bytes = "VARCHAR"
day = "DATE"
clock = "TIME"
moment = "TIMESTAMP"
zoned = "TIMESTAMP"
key = "UUID"
list = "INTEGER[]"
pair = "STRUCT(a INTEGER, b VARCHAR)"
map = "MAP(VARCHAR, INTEGER)"
nested = "STRUCT(k UUID, l VARCHAR[])[]"
[aggregate.row]
source = "log"
stream = "{stream}"
[aggregate.row.state]
truth = "BOOLEAN"
tiny = "TINYINT"
big = "BIGINT"
unsigned = "UBIGINT"
money = "DECIMAL(18,3)"
wide = "DECIMAL(38,10)"
single = "FLOAT"
double = "DOUBLE"
words = "VARCHAR"
bytes = "VARCHAR"
day = "DATE"
clock = "TIME"
moment = "TIMESTAMP"
zoned = "TIMESTAMP"
key = "UUID"
list = "INTEGER[]"
pair = "STRUCT(a INTEGER, b VARCHAR)"
map = "MAP(VARCHAR, INTEGER)"
nested = "STRUCT(k UUID, l VARCHAR[])[]"
[aggregate.row.on.Seen]
take = ["truth", "tiny", "big", "unsigned", "money", "wide", "single", "double", "words", "bytes", "day", "clock", "moment", "zoned", "key", "list", "pair", "map", "nested"]
[read_model.rows]
sql = "SELECT * FROM row"
[[read_model.rows.to]]
duckdb = "out/rows.duckdb"
"#;

#[test]
fn a_column_of_every_type_is_what_duckdb_reads_in_it() {
    let project = Project::new(TYPES);
    fs::create_dir_all(project.path("events")).unwrap();
    let db = duckdb();
    db.execute_batch("SET TimeZone = 'UTC'").unwrap();
    db.execute_batch(
        r#"CREATE TABLE rows AS SELECT 'row-' || i AS stream, TIMESTAMP '2026-01-01' + INTERVAL (i) HOUR AS seen_at,
            CASE i % 3 WHEN 0 THEN true WHEN 1 THEN false END AS truth, (i % 256 - 128)::TINYINT AS tiny,
            CASE i % 5 WHEN 0 THEN -9223372036854775808 WHEN 1 THEN 9223372036854775807 WHEN 2 THEN NULL ELSE i END::BIGINT AS big,
            CASE i % 2 WHEN 0 THEN 18446744073709551615 ELSE i END::UBIGINT AS unsigned,
            ((i - 2500) * 1.001)::DECIMAL(18,3) AS money, ((i - 2500)::DECIMAL(38,10) / 7)::DECIMAL(38,10) AS wide,
            (i / 7)::FLOAT AS single, CASE i % 4 WHEN 0 THEN 'NaN' WHEN 1 THEN '-Infinity' WHEN 2 THEN i * 1e300 ELSE i / 7 END::DOUBLE AS double,
            CASE i % 4 WHEN 0 THEN chr((i % 128 + 1)::INTEGER) || '"\' || chr(10) WHEN 1 THEN 'é漢😀' || i WHEN 2 THEN '' ELSE '{"a":' || i END AS words,
            encode(chr((i % 300 + 1)::INTEGER)) AS blob, (DATE '1969-12-25' + i::INTEGER * 11) AS day,
            CASE i % 2 WHEN 0 THEN (TIME '00:00:00' + INTERVAL (i * 17) SECOND) ELSE TIME '23:59:59.999999' END AS clock,
            TIMESTAMP '1950-02-28 23:59:59.5' + INTERVAL (i * 7919) MINUTE + INTERVAL (i % 3) MICROSECOND AS moment,
            (TIMESTAMP '2026-03-29 00:30:00' + INTERVAL (i) MINUTE) AT TIME ZONE 'Europe/Berlin' AS zoned,
            md5(i::VARCHAR)::UUID AS key,
            CASE i % 4 WHEN 0 THEN [] WHEN 1 THEN NULL WHEN 2 THEN [i, NULL, -i] ELSE [1] END::INTEGER[] AS list,
            CASE WHEN i % 3 > 0 THEN {'a': i::INTEGER, 'b': CASE WHEN i % 2 = 0 THEN 'x"' END} END AS pair,
            CASE i % 3 WHEN 0 THEN MAP {} WHEN 1 THEN MAP {'a"': i, 'b': NULL} END::MAP(VARCHAR, INTEGER) AS map,
            [{'k': md5(i::VARCHAR)::UUID, 'l': ['p', NULL]}] AS nested
        FROM range(5000) t(i)"#,
    )
    .unwrap();
    let columns = "stream, seen_at, truth, tiny, big, unsigned, money, wide, single, double, words, blob AS bytes, day, clock, moment, zoned, key, list, pair, map, nested";
    let to = literal(&project.path("events/rows.parquet"));
    db.execute_batch(&format!("COPY (SELECT {columns} FROM rows) TO {to} (FORMAT parquet, ROW_GROUP_SIZE 2048)")).unwrap();
    project.foldline(&["rebuild"]).exits(0);
    db.execute_batch(&format!("ATTACH {} AS published (READ_ONLY)", literal(&project.path("out/rows.duckdb")))).unwrap();
    let found = columns.replace("blob AS bytes", "bytes").replace(", seen_at", "");
    assert_same_rows(
        &db,
        &format!("SELECT {found} FROM published.rows"),
        &format!(
            "SELECT {} FROM rows",
            found.replace("bytes", "to_base64(blob) AS bytes").replace("zoned", "zoned AT TIME ZONE 'UTC' AS zoned")
        ),
    );
}

const NOTES: &str = r#"
[project]
name = "notes"
[source.log]
files = ["events/*"]
[event.Written]
text = "VARCHAR NOT NULL"
[aggregate.note]
source = "log"
stream = "note-{note}"
[aggregate.note.state]
text = "VARCHAR"
[aggregate.note.on.Written]
take = ["text"]
[read_model.notes]
aggregate = "note"
[[read_model.notes.to]]
parquet = "out/notes.parquet"
"#;

/// A log of so many rows; `data` is an SQL expression of the row's number `i`.
fn notes(rows: usize, data: &str, options: &str) -> Project {
    let project = Project::new(NOTES);
    fs::create_dir_all(project.path("events")).unwrap();
    let to = literal(&project.path("events/notes.parquet"));
    let query = format!(
        "COPY (SELECT 'note-' || i AS stream_id, 'Written' AS type, 1 AS version, {data} AS data FROM range(1, {rows} + 1) t(i)) \
         TO {to} (FORMAT parquet, ROW_GROUP_SIZE 2048{options})"
    );
    duckdb().execute_batch(&query).unwrap_or_else(|e| panic!("{e}\nin {query}"));
    project
}

#[test]
fn a_text_cannot_add_a_field_to_its_record_and_what_is_no_json_is_a_bad_row() {
    for (evil, reason) in [
        (r#"{"text":"a"},"type":"Other","x":{}"#, "`data` is a string that holds no JSON"),
        (r#"{"text":"a"}} {"stream_id":"other"}"#, "`data` is a string that holds no JSON"),
        (r#"{"text":"a"#, "`data` is a string that holds no JSON"),
        (r#"{"text" "a"}"#, "at byte"),
        (r#"{"text":"a]}"#, "`data` is a string that holds no JSON"),
        (r#"5"#, "data"),
        ("", "`text` of Written is missing"),
    ] {
        let project = notes(3000, &format!("CASE i WHEN 2500 THEN '{evil}' ELSE '{{\"text\":\"' || i || '\"}}' END"), "");
        let refused = project.foldline(&["rebuild"]).exits(65);
        assert!(refused.stderr.contains("events/notes.parquet:2500"), "{evil}: {}", refused.stderr);
        assert!(refused.stderr.contains(reason), "{evil}: {}", refused.stderr);
    }
    // between tokens a line break is white space; within a string it has to be escaped, and then it is text
    let project = notes(3000, "chr(10) || '{' || chr(13) || chr(10) || '\"text\":' || chr(10) || '\"' || i || '\\n\"}' || chr(10)", "");
    let report = adds_up(&project.foldline(&["rebuild", "--json"]), "line breaks");
    assert_eq!(report["sources"][0]["records"], 3000);
    let db = duckdb();
    let found = format!("SELECT text FROM {}", literal(&project.path("out/notes.parquet")));
    assert_same_rows(&db, &found, "SELECT i || chr(10) AS text FROM range(1, 3001) t(i)");
}

#[test]
fn a_broken_file_is_an_error_with_its_row_group_and_never_a_shorter_log() {
    let project = notes(9_000, "'{\"text\":\"' || md5(i::VARCHAR) || '\"}'", ", COMPRESSION zstd");
    let whole = fs::read(project.path("events/notes.parquet")).unwrap();
    let refused = |bytes: &[u8], what: &str| {
        let _ = (fs::remove_dir_all(project.path(".foldline")), fs::remove_dir_all(project.path("out")));
        project.write("events/notes.parquet", bytes);
        let refused = project.foldline(&["rebuild"]);
        assert!(!refused.stderr.contains("panicked"), "{what}: {}", refused.stderr);
        refused
    };
    for cut in [4, 11, whole.len() / 2, whole.len() - 100, whole.len() - 1] {
        let refused = refused(&whole[..cut], "cut").exits(65);
        assert!(refused.stderr.contains("the Parquet file is broken, or not complete"), "{}", refused.stderr);
        assert!(refused.stderr.contains("events/notes.parquet"), "{}", refused.stderr);
    }
    let mut bytes = whole.clone();
    let query = format!(
        "SELECT data_page_offset FROM parquet_metadata({}) WHERE row_group_id = 2 AND path_in_schema = 'data'",
        literal(&project.path("whole.parquet"))
    );
    project.write("whole.parquet", &whole);
    let page: i64 = duckdb().query_row(&query, [], |row| row.get(0)).unwrap();
    bytes[page as usize..page as usize + 64].fill(0xff);
    let broken = refused(&bytes, "broken").exits(65);
    assert!(broken.stderr.contains("the Parquet file is broken: "), "{}", broken.stderr);
    assert!(regex::Regex::new(r"events/notes.parquet, row group 3 of 5").unwrap().is_match(&broken.stderr), "{}", broken.stderr);
    let mut random = common::random::Random(5);
    for round in 0..24 {
        let mut bytes = whole.clone();
        // most of them in the footer, where the reader believes what it is told
        let at = if round % 4 == 0 { random.below(whole.len()) } else { whole.len() - 1 - random.below(1500) };
        bytes[at] ^= 1 << random.below(8);
        let what = format!("byte {at} of {}", whole.len());
        let code = refused(&bytes, &what).code;
        // statistics and names may change without harm
        assert!(matches!(code, Some(0 | 65)), "{what}: {code:?}");
    }
}

#[test]
fn a_file_whose_format_is_not_what_was_said_is_refused() {
    let project = notes(10, "'{\"text\":\"a\"}'", "");
    project.write("events/other.parquet", "{\"stream_id\":\"note-1\"}\n");
    let refused = project.foldline(&["run"]).exits(65);
    assert!(refused.stderr.contains("this is no Parquet file") && refused.stderr.contains("events/other.parquet"), "{}", refused.stderr);
    fs::remove_file(project.path("events/other.parquet")).unwrap();
    let format = |format: &str| {
        project.write("foldline.toml", NOTES.replace("[\"events/*\"]", &format!("[\"events/*\"]\nformat = \"{format}\"")));
        project.foldline(&["run"])
    };
    let refused = format("ndjson").exits(65);
    assert!(refused.stderr.contains("a file of Parquet stands in a log of NDJSON"), "{}", refused.stderr);
    format("parquet").exits(0);
    project.write("events/log.ndjson", "{\"stream_id\":\"note-1\"}\n");
    let refused = project.foldline(&["run"]).exits(65);
    assert!(refused.stderr.contains("this is no Parquet file") && refused.stderr.contains("events/log.ndjson"), "{}", refused.stderr);
}

#[test]
fn a_bad_row_is_set_aside_with_its_text_and_its_stream_stands_still() {
    let project = shop();
    let file = fs::read_to_string(project.path("foldline.toml")).unwrap();
    let quarantining = file.replace("files = [\"events/*\"]", "files = [\"events/*\"]\non_bad_record = \"quarantine\"");
    let both = [Project::new(&quarantining), Project::new(&quarantining)];
    let bad = TEXT.replace("(data::VARCHAR", "(CASE WHEN position IN (3000, 4000) THEN '{\"sku\":7}' ELSE data::VARCHAR END");
    write_rows(&both[0], "log.parquet", &bad, "", 0, 6_000);
    let log = shop_log();
    let mut lines: Vec<String> = common::lines(&log)[..6_000].iter().map(|line| String::from_utf8_lossy(line).into_owned()).collect();
    let data = regex::Regex::new(r#""data":\{[^}]*\}"#).unwrap();
    for line in [2_999, 3_999] {
        lines[line] = data.replace(&lines[line], "\"data\":{\"sku\":7}").into_owned();
    }
    both[1].write("events/log.ndjson", lines.concat());
    let counts = both.each_ref().map(|project| {
        let report = adds_up(&project.foldline(&["run", "--json"]).exits(3), "quarantine");
        (report["events"].clone(), project.parquet())
    });
    assert_eq!(counts[0], counts[1]);
    let shown = both[0].foldline(&["quarantine", "list"]).exits(0);
    assert!(shown.stdout.contains("events/log.parquet:3000") || shown.stdout.contains("events/log.parquet:4000"), "{}", shown.stdout);
}
