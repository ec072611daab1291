//! Read models that come straight from the fold are those that SQL makes of its snapshot, byte for byte.
//!
//! `--target-dir` makes every read model by SQL: the other way to the same.

mod common;

use std::collections::BTreeMap;
use std::fmt::Write;

use common::Project;
use common::random::Random;

/// State columns of every type that goes without SQL, and how a value of it is written in the log.
const TYPES: [&str; 14] = [
    "VARCHAR",
    "BIGINT",
    "DECIMAL(9,2)",
    "DECIMAL(18,4)",
    "DECIMAL(30,3)",
    "DATE",
    "TIMESTAMP",
    "TIMESTAMPTZ",
    "TIME",
    "BOOLEAN",
    "UUID",
    "HUGEINT",
    "UBIGINT",
    "TINYINT",
];

/// A value of the type as JSON text, which the fold casts; many are equal, some are at the ends.
fn value(random: &mut Random, ty: &str) -> String {
    if random.one_in(6) {
        return "null".to_string();
    }
    let small = random.below(5) as i64 - 2;
    let text = match ty {
        "VARCHAR" => {
            let begin = random.of(&["", "same-", "same-prefix-of-all-", "\\u0000", "ä", "z\\u0000a"]);
            format!("{begin}{}", random.of(&["", "1", "10", "2", "long enough to lie elsewhere than in the column"]))
        }
        "BIGINT" => random.of(&["-9223372036854775808", "9223372036854775807", "0", "17", "-17"]).to_string(),
        "TINYINT" => random.of(&["-128", "127", "0", "1"]).to_string(),
        "UBIGINT" => random.of(&["18446744073709551615", "0", "9223372036854775808", "5"]).to_string(),
        "HUGEINT" => random.of(&["99999999999999999999999999999999999999", "-1", "0", "18446744073709551616"]).to_string(),
        "DECIMAL(9,2)" | "DECIMAL(18,4)" | "DECIMAL(30,3)" => format!("{small}.{:02}", random.below(100)),
        "DATE" => format!("{:04}-0{}-1{}", 1960 + random.below(3) * 30, 1 + random.below(9), random.below(9)),
        "TIMESTAMP" | "TIMESTAMPTZ" => format!("2024-01-0{} 00:00:0{}.00000{}", 1 + random.below(2), random.below(3), random.below(9)),
        "TIME" => format!("0{}:00:0{}", random.below(9), random.below(9)),
        "BOOLEAN" => random.of(&["true", "false"]).to_string(),
        "UUID" => format!("{}0000000-0000-4000-8000-00000000000{}", random.of(&["0", "7", "8", "f"]), random.below(10)),
        _ => unreachable!(),
    };
    format!("\"{text}\"")
}

/// Columns `c0`… of one aggregate, by type.
fn columns(random: &mut Random) -> Vec<&'static str> {
    (0..6).map(|_| random.of(&TYPES)).collect()
}

struct Written {
    project: String,
    log: String,
    models: Vec<String>,
}

/// Two aggregates whose keys are streams and one whose key is a number and a text, with random columns and rows; some are
/// deleted, some partners are missing.
fn written(seed: u64) -> Written {
    let mut random = Random(seed);
    let mut project = "[project]\nname = \"straight\"\n[source.s]\nfiles = [\"log.ndjson\"]\n".to_string();
    let tables: Vec<(&str, Vec<&str>)> = ["item", "owner", "place"].map(|name| (name, columns(&mut random))).into();
    for (name, columns) in &tables {
        let set = format!("{name}Set");
        writeln!(project, "[event.{set}]\nowner = \"VARCHAR\"\nnumber = \"INTEGER\"\nlabel = \"VARCHAR\"").unwrap();
        (0..columns.len()).for_each(|i| writeln!(project, "c{i} = \"VARCHAR\"").unwrap());
        match *name {
            "place" => writeln!(project, "[aggregate.place]\nsource = \"s\"\nkey = {{ number = \"data.number\", label = \"data.label\" }}")
                .unwrap(),
            name => writeln!(project, "[aggregate.{name}]\nsource = \"s\"\nstream = \"{name}-{{{name}_id}}\"").unwrap(),
        }
        writeln!(project, "[aggregate.{name}.state]").unwrap();
        if *name == "item" {
            writeln!(project, "owner = \"VARCHAR\"\nnumber = \"INTEGER\"\nlabel = \"VARCHAR\"").unwrap();
        }
        columns.iter().enumerate().for_each(|(i, ty)| writeln!(project, "c{i} = \"{ty}\"").unwrap());
        writeln!(project, "[aggregate.{name}.on.{set}]").unwrap();
        columns.iter().enumerate().for_each(|(i, ty)| writeln!(project, "set.c{i} = \"data.c{i}::{ty}\"").unwrap());
        if *name == "item" {
            writeln!(project, "take = [\"owner\", \"number\", \"label\"]\n[aggregate.item.on.itemGone]\ndelete = true").unwrap();
        }
    }
    let mut models = Vec::new();
    for number in 0..24 {
        let (from, sides) = random.of(&[
            ("item i", &[("i", "item")][..]),
            ("place", &[("place", "place")]),
            ("item AS i JOIN owner o ON i.owner = o.owner_id", &[("i", "item"), ("o", "owner")]),
            ("item i LEFT JOIN owner o ON o.owner_id = i.owner", &[("i", "item"), ("o", "owner")]),
            ("item i JOIN place p USING (number, label)", &[("i", "item"), ("p", "place")]),
            ("item i LEFT OUTER JOIN place AS p ON i.label = p.label AND p.number = i.number", &[("i", "item"), ("p", "place")]),
            (
                "item i INNER JOIN owner o ON i.owner = o.owner_id LEFT JOIN place p ON i.number = p.number AND p.label = i.label",
                &[("i", "item"), ("o", "owner"), ("p", "place")],
            ),
        ]);
        let mut outputs: Vec<String> = Vec::new();
        for output in 0..1 + random.below(5) {
            let (alias, table) = random.of(sides);
            let of_table = &tables.iter().find(|(name, _)| *name == table).unwrap().1;
            let own = match table {
                "item" => ["item_id", "owner", "_events", "_last_event_at"],
                "owner" => ["owner_id", "_version", "_position", "_first_event_at"],
                _ => ["number", "label", "_events", "_version"],
            };
            let column = random.below(of_table.len() + 3);
            let name = if column < of_table.len() { format!("c{column}") } else { random.of(&own).to_string() };
            outputs.push(format!("{alias}.{name} AS \"o{output}\""));
        }
        let mut sql = format!("SELECT {} FROM {from}", outputs.join(", "));
        let key = random.below(outputs.len());
        let how = random.of(&["", " DESC", " ASC NULLS FIRST", " DESC NULLS LAST", " DESC NULLS FIRST"]);
        let mut sort_by = String::new();
        match random.below(3) {
            0 => sql += &format!(" ORDER BY o{key}{how}"),
            1 => sort_by = format!("\nsort_by = [\"o{key}{how}\"]"),
            _ => {}
        }
        writeln!(
            project,
            "[read_model.m{number}]\nsql = '''{sql}'''\n[[read_model.m{number}.to]]\nparquet = \"out/m{number}.parquet\"{sort_by}"
        )
        .unwrap();
        models.push(sql);
    }
    let mut log = String::new();
    let mut versions: BTreeMap<String, usize> = BTreeMap::new();
    for position in 0..1500 {
        let (name, columns) = &tables[random.below(3)];
        let stream = format!("{name}-{}", random.below(if *name == "owner" { 30 } else { 300 }));
        let version = versions.entry(stream.clone()).and_modify(|v| *v += 1).or_insert(0);
        let gone = *name == "item" && random.one_in(8);
        let text = |random: &mut Random| if random.one_in(9) { "null".to_string() } else { format!("\"{}\"", random.below(40)) };
        let label = if *name == "place" { format!("\"{}\"", random.below(9)) } else { text(&mut random) };
        let mut data = format!("\"owner\":{},\"number\":{},\"label\":{label}", text(&mut random), random.below(9));
        columns.iter().enumerate().for_each(|(i, ty)| write!(data, ",\"c{i}\":{}", value(&mut random, ty)).unwrap());
        writeln!(
            log,
            r#"{{"stream_id":"{stream}","type":"{name}{}","version":{version},"position":{position},"time":"2024-01-01T00:{:02}:{:02}Z","data":{{{data}}}}}"#,
            if gone { "Gone" } else { "Set" },
            position / 60,
            position % 60
        )
        .unwrap();
    }
    Written { project, log, models }
}

fn published(project: &Project, folder: &str, models: usize) -> Vec<Vec<u8>> {
    let read = |i: usize| std::fs::read(project.path(&format!("{folder}/m{i}.parquet"))).unwrap_or_else(|e| panic!("m{i}: {e}"));
    (0..models).map(read).collect()
}

#[test]
fn what_comes_straight_from_the_fold_has_the_bytes_that_sql_gives() {
    for seed in 1..=4 {
        let written = written(seed);
        let project = Project::new(&written.project);
        project.write("log.ndjson", &written.log);
        let loaded = foldline::project::load(&project.path("foldline.toml"), &Default::default()).unwrap();
        for sql in &written.models {
            assert!(foldline::model::direct::plan(&loaded, sql).is_some(), "{sql}");
        }
        project.foldline(&["run", "--threads", "3"]).exits(0);
        project.foldline(&["run", "--target-dir", "by_sql"]).exits(0);
        let (straight, by_sql) = (published(&project, "out", written.models.len()), published(&project, "by_sql", written.models.len()));
        for (number, sql) in written.models.iter().enumerate() {
            assert!(straight[number] == by_sql[number], "seed {seed}: m{number}: {sql}");
        }
        project.foldline(&["verify"]).exits(0);
    }
}
