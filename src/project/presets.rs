//! `preset`: what the exports of a known system look like, as a part of a project file that the binary carries.
//!
//! `presets/<name>.toml` holds the keys of a `[source.<name>]` under `[source]`; they stand for what the user's own table leaves out.
//! Presets nest: a record of the first one holds, at its `inner`, a record of the next one. The innermost one says what an event
//! is; what it leaves open the ones around it say, whose names are then found under `_outer` (see [`super::quirks`]).

use super::diagnostics::{Diagnostic, Files, Place, nearest};
use super::toml_walk::{self, Entry, Node, NodeKind, Table, Text};
use super::variables::Variables;

macro_rules! presets {
    ($($name:literal),* $(,)?) => {
        /// Every preset, in the order of names: its name and its text.
        const ALL: &[(&str, &str)] = &[$(($name, include_str!(concat!("../../presets/", $name, ".toml")))),*];
    };
}

presets![
    "axon",
    "canal",
    "cloudevents",
    "commanded",
    "cqrs-es",
    "debezium",
    "debezium-flat",
    "debezium-outbox",
    "dynamodb-export",
    "event-hubs-capture",
    "eventsourcing-py",
    "eventsourcingdb",
    "kafka-connect",
    "kafka-console",
    "kcat",
    "kurrentdb",
    "marten",
    "maxwell",
    "message-db",
    "mongodb-change-streams",
    "outbox",
    "outbox-eventuate",
    "outbox-masstransit",
    "rabbitmq",
    "rails-event-store",
    "sqlserver-cdc",
    "test-decoding",
    "wal2json-v1",
    "wal2json-v2",
];

/// A preset as a list of them shows it.
pub struct Preset {
    pub name: &'static str,
    /// The system whose exports it reads.
    pub system: String,
    /// What is read, in a line.
    pub summary: String,
}

/// Every preset, in the order of names.
pub fn list() -> Vec<Preset> {
    ALL.iter()
        .map(|(name, text)| {
            let about = Parsed::new(text, 0, &mut Vec::new());
            Preset { name, system: about.about("system"), summary: about.about("summary") }
        })
        .collect()
}

/// A preset as one would write it oneself, as the table `[source.<source>]`; `None`: there is none of this name.
pub fn written(name: &str, source: &str) -> Option<String> {
    let (_, text) = ALL.iter().find(|(other, _)| *other == name)?;
    // what is behind `[preset]` and before `[source]` is about the preset
    let head = text.find("[source]")?;
    let comment = text[..text.find("[preset]")?].trim_end();
    let body = text[head..].replace("[source]", &format!("[source.{source}]")).replace("[source.", &format!("[source.{source}."));
    let body = body.replace(&format!("[source.{source}.{source}]"), &format!("[source.{source}]"));
    Some(format!("{comment}\n{body}"))
}

/// The nearest name of a preset, for who misspelt it.
pub fn like(name: &str) -> Option<&'static str> {
    nearest(name, ALL.iter().map(|(name, _)| *name))
}

struct Parsed {
    root: Table,
}

impl Parsed {
    fn new(text: &str, file: usize, found: &mut Vec<Diagnostic>) -> Parsed {
        let nothing = |_: &str| None;
        Parsed { root: toml_walk::read(text, file, &Variables { given: &Default::default(), env: &nothing }, found) }
    }

    fn about(&self, key: &str) -> String {
        self.root.table("preset").and_then(|about| about.text(key)).map_or(String::new(), |text| text.value.clone())
    }

    fn source(&self) -> Table {
        self.root.table("source").cloned().unwrap_or_default()
    }
}

/// Keys that say how files become records, or what a preset is to others: those of the outermost preset count.
const OF_THE_OUTERMOST: [&str; 3] = ["format", "records", "csv"];

/// Puts the presets that sources name below what the sources say themselves.
pub(crate) fn apply(root: &Table, files: &mut Files, found: &mut Vec<Diagnostic>) -> Table {
    let mut root = root.clone();
    let Some(Entry { node: Node { kind: NodeKind::Table(sources), .. }, .. }) = root.entries.iter_mut().find(|entry| entry.key == "source")
    else {
        return root;
    };
    for entry in &mut sources.entries {
        if let NodeKind::Table(source) = &mut entry.node.kind {
            let chain = chain(source, files, found);
            if !chain.is_empty() {
                lay_under(source, nested(&chain));
            }
        }
    }
    root
}

/// The presets that a source names, the outermost first, each with its name.
fn chain(source: &Table, files: &mut Files, found: &mut Vec<Diagnostic>) -> Vec<(String, Parsed)> {
    let named = source.texts("preset");
    let mut chain: Vec<(String, Parsed)> = Vec::new();
    for (index, text) in named.iter().enumerate() {
        let Some((name, written)) = ALL.iter().find(|(name, _)| *name == text.value) else {
            let mut diagnostic = Diagnostic::new(format!("there is no preset {:?}", text.value), &text.place);
            if let Some(near) = like(&text.value) {
                diagnostic = diagnostic.label(format!("did you mean {near:?}?"));
            }
            found.push(diagnostic.help("`foldline presets` lists them"));
            return Vec::new();
        };
        let file = files.add(format!("preset {name}"), written.to_string());
        let parsed = Parsed::new(written, file, found);
        if index + 1 < named.len() && parsed.about("inner").is_empty() {
            let message = format!("the preset {name:?} holds no records of another system");
            found.push(Diagnostic::new(message, &text.place).help("it can only stand last"));
            return Vec::new();
        }
        chain.push((name.to_string(), parsed));
    }
    chain
}

/// Several presets as the table of one.
fn nested(chain: &[(String, Parsed)]) -> Table {
    let mut whole = Table::default();
    let mut quirks: Vec<Node> = Vec::new();
    let (last, place) = (chain.len() - 1, Place::new(0, 0..0));
    for (depth, (_, preset)) in chain.iter().enumerate() {
        let mut source = preset.source();
        if let Some(NodeKind::Array(own)) = source.get("quirks").map(|node| node.kind.clone()) {
            quirks.extend(own);
        }
        if depth < last {
            let open = format!("open {}", preset.about("inner"));
            quirks.push(Node { place: place.clone(), kind: NodeKind::Text(Text::derived(open, &place)) });
        }
        source.entries.retain(|entry| entry.key != "quirks" && (depth == 0 || !OF_THE_OUTERMOST.contains(&entry.key.as_str())));
        for entry in source.entries.iter_mut().filter(|entry| matches!(entry.key.as_str(), "envelope" | "where")) {
            let expressions = match &mut entry.node.kind {
                NodeKind::Table(envelope) => envelope.entries.iter_mut().map(|part| &mut part.node.kind).collect(),
                other => vec![other],
            };
            for expression in expressions {
                if let NodeKind::Text(text) = expression {
                    text.around = last - depth;
                }
            }
        }
        // what is further in counts more
        lay_under(&mut source, whole);
        whole = source;
    }
    if !quirks.is_empty() {
        let node = Node { place: place.clone(), kind: NodeKind::Array(quirks) };
        whole.entries.push(Entry { key: "quirks".into(), key_place: place, node });
    }
    whole
}

/// Adds what a table leaves out from another one, tables within key by key.
fn lay_under(upper: &mut Table, lower: Table) {
    for entry in lower.entries {
        match upper.entries.iter_mut().find(|own| own.key == entry.key) {
            None => upper.entries.push(entry),
            Some(own) => {
                if let (NodeKind::Table(own), NodeKind::Table(other)) = (&mut own.node.kind, entry.node.kind) {
                    lay_under(own, other);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;
    use std::path::Path;

    /// A project whose only source is what a preset says, written out.
    fn load(source: &str) -> Result<crate::project::Project, String> {
        let text = format!(
            "{source}\n[aggregate.a]\nsource = \"s\"\nkey = {{ k = \"event.stream\" }}\n[aggregate.a.state]\nn = \"BIGINT\"\n[aggregate.a.on.\"*\"]\nset.n = \"1\"\n"
        );
        super::super::load_text(&text, Path::new("foldline.toml"), Path::new("/p"), &BTreeMap::new(), &|_| None)
            .map_err(|errors| errors.iter().map(|error| format!("{error}\n")).collect())
    }

    #[test]
    fn every_preset_is_sound_alone_and_says_what_it_reads() {
        for (name, text) in ALL {
            let mut found = Vec::new();
            let parsed = Parsed::new(text, 0, &mut found);
            assert!(found.is_empty(), "{name}: {}", found[0].message);
            assert!(!parsed.about("system").is_empty() && !parsed.about("summary").is_empty(), "{name} has no system or summary");
            if let Err(errors) = load(&format!("[source.s]\nfiles = \"a.ndjson\"\npreset = {name:?}\n")) {
                panic!("{name}: {errors}");
            }
        }
        assert!(ALL.windows(2).all(|pair| pair[0].0 < pair[1].0), "presets are listed in the order of names");
    }

    #[test]
    fn a_preset_written_out_means_the_same() {
        for (name, _) in ALL {
            let written = written(name, "s").unwrap();
            let copied = written.replacen("[source.s]\n", "[source.s]\nfiles = \"a.ndjson\"\n", 1);
            let copy = load(&copied).unwrap_or_else(|errors| panic!("{name}:\n{written}\n{errors}"));
            let named = load(&format!("[source.s]\nfiles = \"a.ndjson\"\npreset = {name:?}\n")).unwrap_or_else(|e| panic!("{e}"));
            assert_eq!(copy.sources[0].fingerprint, named.sources[0].fingerprint, "{name}");
        }
    }

    #[test]
    fn what_the_inner_preset_leaves_open_the_outer_one_says_of_the_record_around() {
        let project = load("[source.s]\nfiles = \"a\"\npreset = [\"kcat\", \"debezium\"]\n[source.s.envelope]\nid = \"NULL\"\n").unwrap();
        let envelope = &project.sources[0].envelope;
        assert!(envelope.id.is_none());
        assert!(envelope.paths.iter().any(|path| path[..] == ["_outer", "offset"]), "{:?}", envelope.paths);
        assert!(envelope.paths.iter().any(|path| path[..] == ["op"]), "{:?}", envelope.paths);
    }

    #[test]
    fn a_preset_that_is_misspelt_or_cannot_hold_another_one_is_an_error() {
        let misspelt = load("[source.s]\nfiles = \"a\"\npreset = \"debezum\"\n").err().unwrap();
        assert!(misspelt.contains("there is no preset \"debezum\""), "{misspelt}");
        let open = load("[source.s]\nfiles = \"a\"\npreset = [\"kcat\", \"kcat\", \"nothing\"]\n").err().unwrap();
        assert!(open.contains("there is no preset \"nothing\""), "{open}");
    }
}
