//! Random logs: streams that interleave, events that come early or twice, fields that are missing, null or wrong.

use serde_json::{Map, Value as Json, json};

use crate::generate::{FIELDS, Generator, Kind};

impl Generator {
    pub fn log(&mut self) -> Vec<(String, String)> {
        const STREAMS: [&str; 7] = ["a-1", "a-2", "a-x-y", "b-1-2", "b-x-y-z", "other", "a-"];
        let count = 30 + self.random.below(120);
        // so long that the log is more than one chunk
        let pad = if self.random.percent(6) { "-".repeat(20_000) } else { String::new() };
        let mut versions: std::collections::BTreeMap<&str, i64> = std::collections::BTreeMap::new();
        // stream, version, whether it is the stream's first, line
        let mut records: Vec<(&str, bool, String)> = Vec::new();
        for position in 1..=count {
            let change = self.replica && self.random.percent(30);
            let stream = if change { "cust" } else { self.random.of(&STREAMS) };
            let first = !versions.contains_key(stream);
            let start = self.random.below(2) as i64;
            let version = *versions.entry(stream).and_modify(|version| *version += 1).or_insert(start);
            let mut record = Map::new();
            record.insert("stream_id".into(), stream.into());
            if self.versioned || self.random.percent(30) {
                record.insert("version".into(), version.into());
            }
            if change {
                self.change(&mut record);
            } else {
                record.insert("type".into(), self.random.of(&["A", "A", "B", "C.x", "C.y", "D", "Old", "Cart", "Zzz", "C.z"]).into());
                record.insert("data".into(), self.payload());
                record.insert("metadata".into(), self.metadata());
            }
            if self.random.percent(90) {
                record.insert("position".into(), position.into());
                record.insert("time".into(), format!("2024-03-{:02}T{:02}:00:00Z", 1 + position / 24, position % 24).into());
            }
            if !pad.is_empty() {
                record.insert("pad".into(), pad.as_str().into());
            }
            if self.random.percent(50) {
                record.insert("id".into(), format!("e{position}").into());
            }
            records.push((stream, first, Json::Object(record).to_string() + "\n"));
        }
        if self.versioned {
            for _ in 0..self.random.below(6) {
                let from = self.random.below(records.len());
                let later: Vec<usize> = (from + 1..records.len().min(from + 8)).filter(|to| records[*to].0 == records[from].0).collect();
                if let (Some(&to), false) = (later.last(), records[from].1) {
                    records.swap(from, to);
                }
            }
            for _ in 0..self.random.below(6) {
                let mut again = records[self.random.below(records.len())].clone();
                let at = records.iter().position(|record| record.2 == again.2).unwrap() + 1;
                if self.random.percent(3) {
                    again.2 = again.2.replace("\"id\":\"e", "\"id\":\"f").replace("\"data\":{", "\"data\": {");
                }
                let at = at + self.random.below(records.len() - at + 1);
                records.insert(at, again);
            }
        }
        let mut pieces: Vec<(String, String)> = Vec::new();
        let mut rest = records.into_iter().map(|(.., line)| line).collect::<Vec<_>>();
        let mut file = 1;
        for left in (1..=1 + self.random.below(3)).rev() {
            let take = if left == 1 { rest.len() } else { self.random.below(rest.len() + 1) };
            let lines: Vec<String> = rest.drain(..take).collect();
            pieces.push((format!("f{file}.ndjson"), lines.concat()));
            file += usize::from(self.random.percent(50));
        }
        pieces
    }

    fn change(&mut self, record: &mut Map<String, Json>) {
        let what = self.random.of(&["insert", "insert", "update", "update", "update", "delete", "read", "update", "insert", "update"]);
        let what = if self.random.percent(2) { "truncate" } else { what };
        record.insert("type".into(), format!("cust.{what}").into());
        let id = self.random.below(5);
        let mut data = Map::new();
        let bare = what == "delete" && self.random.percent(50);
        if !bare {
            data.insert("id".into(), id.into());
        }
        let whole = what == "insert" || what == "read";
        let columns = [
            ("name", json!(format!("n{}", self.random.below(9)))),
            ("level", json!(self.random.below(9))),
            ("notes", json!(["a", self.random.below(3).to_string()])),
        ];
        for (name, value) in columns {
            let value = match self.random.below(10) {
                0 => Json::Null,
                1 => json!("__debezium_unavailable_value"),
                _ => value,
            };
            let is_key = self.two_keys && name == "level";
            // a key that is missing is bad: seldom, and only where bad records are passed over
            if is_key && !(self.skips && self.random.percent(10)) {
                data.insert(name.into(), json!(self.random.below(2)));
            } else if what != "delete" && what != "truncate" && self.random.percent(if whole { 85 } else { 60 }) {
                data.insert(name.into(), value);
            }
        }
        record.insert("data".into(), Json::Object(data));
        let mut metadata = Map::new();
        if bare || (what == "update" && self.random.percent(50)) {
            let old = if what == "update" && self.random.percent(50) { self.random.below(5) } else { id };
            let with_level = self.two_keys && self.random.percent(60);
            let before = if with_level { json!({ "id": old, "level": self.random.below(2) }) } else { json!({ "id": old }) };
            metadata.insert("before".into(), before);
        }
        record.insert("metadata".into(), Json::Object(metadata));
    }

    fn payload(&mut self) -> Json {
        let mut out = Map::new();
        for (name, kind, _) in FIELDS {
            if self.random.percent(15) {
                continue;
            }
            let value = self.field(kind);
            let value = match self.random.below(100) {
                0..5 => Json::Null,
                5 if self.skips => json!("?"),
                6 if self.skips => json!({ "x": 1 }),
                _ => value,
            };
            out.insert(name.into(), value);
        }
        for (name, chance) in [("old_k", 30), ("junk", 30), ("loose", 40)] {
            if self.random.percent(chance) {
                out.insert(name.into(), if name == "loose" { self.random.below(99).to_string().into() } else { self.field(Kind::Text) });
            }
        }
        if self.random.percent(40) {
            let nest =
                if self.skips && self.random.percent(5) { json!(5) } else { json!({ "deep": self.field(Kind::Text), "of": [1, null] }) };
            out.insert("nest".into(), nest);
        }
        Json::Object(out)
    }

    fn field(&mut self, kind: Kind) -> Json {
        let n = self.random.below(12) as i64 - 3;
        match kind {
            Kind::Int => json!(n),
            Kind::Dec if self.random.percent(50) => json!(format!("{n}.25")),
            Kind::Dec => json!(n as f64 + 0.5),
            Kind::Text => json!(self.random.of(&["k1", "k2", "Öl", "", "a \"b\"", "😀"])),
            Kind::Bool => json!(n > 2),
            Kind::Day => json!(format!("2024-01-{:02}", n + 4)),
            Kind::Time => json!(format!("2024-01-01T0{}:00:00+01:00", (n + 3) % 9)),
            Kind::Ints => (0..self.random.below(4)).map(|i| if i == 2 { Json::Null } else { json!(n + i as i64) }).collect(),
            Kind::Texts => (0..self.random.below(3)).map(|_| self.field(Kind::Text)).collect(),
            Kind::Lines => (0..self.random.below(4))
                .map(|_| json!({ "sku": self.field(Kind::Text), "qty": self.field(Kind::Int), "parts": self.field(Kind::Ints), "more": 1 }))
                .collect(),
            Kind::Json | Kind::Map => self.random.of(&[&json!({ "a": [1, "x", null] }), &json!([]), &json!("text"), &json!(7)]).clone(),
        }
    }

    fn metadata(&mut self) -> Json {
        let mut out = Map::new();
        if self.random.percent(60) {
            out.insert("v".into(), json!(self.random.below(3)));
        }
        if self.random.percent(50) {
            out.insert("user".into(), json!({ "name": self.field(Kind::Text) }));
        }
        Json::Object(out)
    }
}
