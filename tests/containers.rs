//! The same events in every container and every compression give the same bytes; what a container cannot read is a bad record
//! with its place, or stops the run.

mod common;

use std::io::Write;

use common::{Project, assert_same_rows, duckdb, gzip, literal};
use serde_json::{Value, json};

/// A project that reads `log.*`; `more` goes into its source.
fn project(more: &str) -> Project {
    Project::new(&format!(
        r#"
[source.log]
files = "log.*"
{more}
[event."order.placed"]
customer = "VARCHAR NOT NULL"
qty      = "INTEGER"
total    = "DECIMAL(12,2)"
express  = "BOOLEAN"

[aggregate.order]
stream = "order-{{id}}"
[aggregate.order.state]
customer = "VARCHAR"
qty      = "BIGINT DEFAULT 0"
total    = "DECIMAL(18,2) DEFAULT 0"
express  = "BOOLEAN"
[aggregate.order.on."order.placed"]
set.customer = "data.customer"
set.qty      = "qty + data.qty"
set.total    = "total + data.total"
set.express  = "data.express"

[read_model.orders]
aggregate = "order"
[[read_model.orders.to]]
parquet = "out/orders.parquet"
"#
    ))
}

const FIELDS: [&str; 5] = ["stream_id", "type", "version", "time", "data"];

fn events() -> Vec<Value> {
    (0..400)
        .map(|n| {
            let names = ["Ada", "Bo \"the\" Ox", "Çelik, Ö", "line\nbreak\ttab", "back\\slash \\N", "", "\u{1F600}"];
            json!({
                "stream_id": format!("order-{}", n % 37),
                "type": "order.placed",
                "version": n / 37 + 1,
                "time": format!("2026-11-25T10:{:02}:{:02}.{:03}Z", n / 60, n % 60, n),
                "data": { "customer": names[n % names.len()], "qty": n, "total": format!("{n}.25"), "express": n % 2 == 0 },
            })
        })
        .collect()
}

fn ndjson() -> String {
    events().iter().map(|event| format!("{event}\n")).collect()
}

/// The fields of an event as text.
fn texts(event: &Value) -> Vec<String> {
    FIELDS.iter().map(|field| event[*field].as_str().map_or_else(|| event[*field].to_string(), str::to_string)).collect()
}

fn csv(delimiter: &str, line_end: &str) -> String {
    let row = |fields: Vec<String>| {
        let fields: Vec<String> = fields.iter().map(|field| format!("\"{}\"", field.replace('"', "\"\""))).collect();
        fields.join(delimiter) + line_end
    };
    row(FIELDS.map(str::to_string).to_vec()) + &events().iter().map(|event| row(texts(event))).collect::<String>()
}

fn copy() -> String {
    let escaped = |text: String| text.replace('\\', "\\\\").replace('\n', "\\n").replace('\t', "\\t");
    let row = |event: &Value| texts(event).into_iter().map(escaped).collect::<Vec<_>>().join("\t") + "\n";
    events().iter().map(row).collect::<String>() + "\\.\n"
}

fn avro(codec: apache_avro::Codec) -> Vec<u8> {
    let schema = apache_avro::Schema::parse_str(
        r#"{"type":"record","name":"event","fields":[{"name":"stream_id","type":"string"},{"name":"type","type":["null","string"]},
            {"name":"version","type":"long"},{"name":"time","type":{"type":"long","logicalType":"timestamp-millis"}},
            {"name":"data","type":["null","bytes","string"]}]}"#,
    )
    .unwrap();
    let mut writer = apache_avro::Writer::with_codec(&schema, Vec::new(), codec).unwrap();
    for (n, event) in events().iter().enumerate() {
        use apache_avro::types::{Record, Value as Avro};
        let text = |field: &str| event[field].as_str().unwrap().to_string();
        let mut record = Record::new(&schema).unwrap();
        record.put("stream_id", text("stream_id"));
        record.put("type", Avro::Union(1, Box::new(Avro::String(text("type")))));
        record.put("version", event["version"].as_i64().unwrap());
        // 2026-11-25T10:00:00Z
        let millis = 1_795_600_800_000 + n as i64 * 1001;
        record.put("time", Avro::TimestampMillis(millis));
        let data = event["data"].to_string();
        record.put(
            "data",
            if n % 2 == 0 { Avro::Union(1, Box::new(Avro::Bytes(data.into()))) } else { Avro::Union(2, Box::new(Avro::String(data))) },
        );
        writer.append_value(record).unwrap();
        if n % 150 == 149 {
            writer.flush().unwrap();
        }
    }
    writer.into_inner().unwrap()
}

fn published(project: &Project) -> Vec<u8> {
    project.foldline(&["run"]).exits(0);
    std::fs::read(project.path("out/orders.parquet")).unwrap()
}

#[test]
fn the_same_events_in_every_container_publish_the_same_bytes() {
    let plain = project("");
    plain.write("log.ndjson", ndjson());
    let expected = published(&plain);
    let array = serde_json::to_string(&events()).unwrap();
    let pretty: String = events().iter().map(|event| serde_json::to_string_pretty(event).unwrap()).collect();
    let document = serde_json::to_string_pretty(&json!({ "feed": { "entries": events() } })).unwrap();
    let columns = "format = \"postgres-copy\"\n[source.log.csv]\ncolumns = [\"stream_id\", \"type\", \"version\", \"time\", \"data\"]";
    let containers: [(&str, &str, Vec<u8>); 12] = [
        ("log.json", "", array.clone().into()),
        ("log.json", "", ndjson().into()),
        ("log.json", "", pretty.clone().into()),
        ("log.json", "format = \"json\"", ndjson().into()),
        ("log.json", "records = \"feed.entries\"", document.into()),
        ("log.csv", "", csv(",", "\n").into()),
        ("log.csv", "", ("\u{feff}".to_string() + &csv(",", "\r\n")).into()),
        ("log.tsv", "", csv("\t", "\n").into()),
        ("log.txt", "format = \"csv\"\n[source.log.csv]\ndelimiter = \";\"", csv(";", "\n").into()),
        ("log.copy", columns, copy().into()),
        ("log.avro", "", avro(apache_avro::Codec::Null)),
        ("log.data", "format = \"avro\"", avro(apache_avro::Codec::Snappy)),
    ];
    for (name, more, bytes) in containers {
        let project = project(more);
        project.write(name, bytes);
        assert!(published(&project) == expected, "{name} {more}");
        project.foldline(&["verify"]).exits(0);
        assert_eq!(project.foldline(&["run", "--json"]).json()["outcome"], "nothing_new", "{name} {more}");
    }
}

#[test]
fn every_compression_gives_the_same_bytes_also_in_several_members() {
    let plain = project("");
    plain.write("log.ndjson", ndjson());
    let expected = published(&plain);
    let text = ndjson();
    let half = text[..text.len() / 2].rfind('\n').unwrap() + 1;
    let lz4 = |text: &str| {
        let mut encoder = lz4_flex::frame::FrameEncoder::new(Vec::new());
        encoder.write_all(text.as_bytes()).unwrap();
        encoder.finish().unwrap()
    };
    let bzip2 = |text: &str| {
        let mut encoder = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
        encoder.write_all(text.as_bytes()).unwrap();
        encoder.finish().unwrap()
    };
    let snappy = |text: &str| {
        let mut encoder = snap::write::FrameEncoder::new(Vec::new());
        encoder.write_all(text.as_bytes()).unwrap();
        encoder.into_inner().unwrap()
    };
    let twice = |pack: &dyn Fn(&str) -> Vec<u8>| [pack(&text[..half]), pack(&text[half..])].concat();
    let packed: [(&str, Vec<u8>); 7] = [
        ("log.ndjson.lz4", lz4(&text)),
        ("log.ndjson.lz4", twice(&lz4)),
        ("log.ndjson.bz2", bzip2(&text)),
        ("log.ndjson.bz2", twice(&bzip2)),
        ("log.ndjson.snappy", snappy(&text)),
        ("log.csv.gz", gzip(csv(",", "\n"))),
        ("log.json.lz4", lz4(&serde_json::to_string(&events()).unwrap())),
    ];
    for (name, bytes) in packed {
        let project = project("");
        project.write(name, &bytes);
        assert!(published(&project) == expected, "{name}");
        // one that is cut is an error, never fewer events
        let cut = self::project("");
        cut.write(name, &bytes[..bytes.len() - 9]);
        let said = cut.foldline(&["run"]);
        assert!(said.code == Some(65) || said.stderr.contains("waits"), "{name}: {}", said.stderr);
    }
}

#[test]
fn a_csv_that_grows_goes_on_and_its_half_row_waits() {
    let whole = csv(",", "\n");
    let expected = project("");
    expected.write("log.csv", &whole);
    let expected = published(&expected);
    let growing = project("");
    let ends: Vec<usize> = whole.match_indices("\"order.placed\"").map(|(at, _)| at).step_by(97).collect();
    let mut from = 0;
    for end in ends {
        growing.append("log.csv", &whole[from..end]);
        growing.foldline(&["run"]).exits(0);
        from = end;
    }
    growing.append("log.csv", &whole[from..]);
    assert!(published(&growing) == expected);
}

#[test]
fn what_a_container_cannot_read_is_a_bad_record_with_its_place() {
    let mut text = csv(",", "\n");
    text.push_str("\"order-1\",order.placed\n");
    text.push_str("order-1,\"order.placed\"x,1,,\n");
    let rows = project("on_bad_record = \"skip\"");
    rows.write("log.csv", &text);
    let report = rows.foldline(&["run", "--json"]).exits(0).json();
    assert_eq!(report["sources"][0]["bad"], 2, "{report:#}");
    let reasons: Vec<&str> = report["bad"]["first"].as_array().unwrap().iter().map(|bad| bad["reason"].as_str().unwrap()).collect();
    assert!(reasons[0].starts_with("row 401 (line ") && reasons[0].contains("2 fields, there are 5 columns"), "{reasons:?}");
    assert!(reasons[1].contains("a quote that is not closed"), "{reasons:?}");

    for (bytes, said) in [
        ("[{\"stream_id\":\"order-1\"", "the file ends inside of this record"),
        ("[{},{}", "the file ends inside of its array"),
        ("[{}{}]", "neither a comma nor the end of the array follows element 1"),
        ("[{},]", "nothing follows the last comma"),
        ("[{},\n5]", "element 2 (line 2)"),
    ] {
        let project = project("");
        project.write("log.json", bytes);
        let stderr = project.foldline(&["run"]).exits(65).stderr;
        assert!(stderr.contains(said), "{bytes}: {stderr}");
        project.assert_nothing_published();
    }
    let empty = project("");
    empty.write("log.json", "[ ]\n");
    empty.foldline(&["run"]).exits(0);
}

#[test]
fn a_broken_avro_file_is_an_error_with_its_block() {
    let whole = avro(apache_avro::Codec::Deflate(Default::default()));
    let mut flipped = whole.clone();
    let at = flipped.len() - 40;
    flipped[at] ^= 0xff;
    for bytes in [&whole[..whole.len() - 1], &whole[..whole.len() / 2], &flipped[..]] {
        let project = project("");
        project.write("log.avro", bytes);
        let stderr = project.foldline(&["run"]).exits(65).stderr;
        assert!(stderr.contains("the Avro file is broken") && stderr.contains("block "), "{stderr}");
        project.assert_nothing_published();
    }
    let recursive = r#"{"type":"record","name":"r","fields":[{"name":"next","type":["null","r"]}]}"#;
    let schema = apache_avro::Schema::parse_str(recursive).unwrap();
    let bytes = apache_avro::Writer::new(&schema, Vec::new()).unwrap().into_inner().unwrap();
    let project = project("");
    project.write("log.avro", bytes);
    assert!(project.foldline(&["run"]).exits(65).stderr.contains("contains itself"));
}

#[test]
fn rows_of_text_are_what_duckdb_reads() {
    let project = project("");
    project.write("log.csv", csv(",", "\n"));
    published(&project);
    let db = duckdb();
    let found = format!("SELECT id, qty, total FROM {}", literal(&project.path("out/orders.parquet")));
    let expected = format!(
        "SELECT stream_id[7:] AS id, sum((data->>'qty')::BIGINT)::BIGINT AS qty, sum((data->>'total')::DECIMAL(12,2))::DECIMAL(18,2) AS total \
         FROM read_csv('{}', header = true, columns = {{stream_id: 'VARCHAR', type: 'VARCHAR', version: 'BIGINT', time: 'VARCHAR', data: 'JSON'}}) \
         GROUP BY 1",
        project.path("log.csv").display()
    );
    assert_same_rows(&db, &found, &expected);
}
