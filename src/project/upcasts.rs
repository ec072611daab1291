//! `[[upcast]]`: rules that turn events of an old schema into today's, read and typed once.

use crate::sql::{NameError, Resolved, Scope, Type};

use super::diagnostics::{Diagnostic, Files, Place};
use super::fingerprint::Canon;
use super::patterns::TypePattern;
use super::scope::{self, compile, condition};
use super::toml_walk::{Table, Text};
use super::{FieldSet, NewField, PayloadChange, Upcast, UpcastOutcome, UpcastPart, Var};

/// The upcasters in the file's order, compiled and as written.
#[derive(Default)]
pub(crate) struct Upcasts {
    pub compiled: Vec<Upcast>,
    /// One per upcaster.
    written: Vec<Written>,
}

/// What fingerprints and warnings need of an upcaster.
struct Written {
    pattern: TypePattern,
    /// New types, each with its place.
    types: Vec<(String, Place)>,
    sets: Vec<SetField>,
    canon: String,
}

/// A field of the payload itself that an upcaster sets.
pub(crate) struct SetField {
    pub name: String,
    pub place: Place,
    /// The types that the payload may have then.
    pub types: Vec<String>,
}

impl Upcasts {
    pub fn read(root: &Table, files: &Files, found: &mut Vec<Diagnostic>) -> Upcasts {
        let mut upcasts = Upcasts::default();
        for (place, table) in root.tables("upcast") {
            if let Some((compiled, written)) = read(place, table, files, found) {
                upcasts.compiled.push(compiled);
                upcasts.written.push(written);
            }
        }
        upcasts
    }

    /// The types that upcasters give to events, each with its first place.
    pub fn new_types(&self) -> impl Iterator<Item = &(String, Place)> {
        self.written.iter().flat_map(|written| &written.types)
    }

    /// The fields that upcasters set.
    pub fn set_fields(&self) -> impl Iterator<Item = &SetField> {
        self.written.iter().flat_map(|written| &written.sets)
    }

    /// Whether an expression of some upcaster reads the field.
    pub fn reads(&self, field: &str) -> bool {
        let changes = self.compiled.iter().flat_map(|upcast| {
            let parts = if let UpcastOutcome::Into(parts) = &upcast.outcome { parts.as_slice() } else { &[] };
            std::iter::once(&upcast.change).chain(parts.iter().map(|part| &part.change))
        });
        changes.flat_map(|change| &change.data).any(|path| path.first().is_some_and(|first| first == field))
    }

    /// Whether an upcaster takes events of this type.
    pub fn takes(&self, event_type: &str) -> bool {
        self.written.iter().any(|written| written.pattern.matches(event_type))
    }

    /// What the upcasters say of the types that some of `patterns` match: those that such events pass through,
    /// come from or leave by. `None`: no upcaster has to do with them.
    pub fn canon_reaching(&self, patterns: &[&TypePattern]) -> Option<String> {
        let mut concerned: Vec<&TypePattern> = patterns.to_vec();
        let mut relevant: Vec<&Written> = Vec::new();
        for written in self.written.iter().rev() {
            let meets = concerned.iter().any(|pattern| pattern.may_meet(&written.pattern));
            let leads = written.types.iter().any(|(event_type, _)| concerned.iter().any(|pattern| pattern.matches(event_type)));
            if meets || leads {
                concerned.push(&written.pattern);
                relevant.push(written);
            }
        }
        if relevant.is_empty() {
            return None;
        }
        let mut canon = Canon::new("upcasts");
        for written in relevant.iter().rev() {
            canon.add("upcast", &written.canon);
        }
        Some(canon.finish())
    }
}

/// What the expressions of one payload read, growing while they are compiled.
#[derive(Default)]
struct Names {
    data: Vec<Vec<String>>,
    meta: Vec<Vec<String>>,
}

/// `data.` is the payload as text, `meta.` and `event.` are what they are in handlers; there is no row.
struct UpcastScope<'a>(&'a mut Names);

impl Scope for UpcastScope<'_> {
    fn resolve(&mut self, path: &[String], _cast: bool) -> Result<Resolved, NameError> {
        let Some(first) = path.first() else { return Err(scope::error("a name is empty", None)) };
        let mut slot = |of: fn(&mut Names) -> &mut Vec<Vec<String>>, var: fn(usize) -> Var| {
            if path.len() < 2 {
                let help = format!("name one of its fields: `{first}.name`");
                return Err(scope::error(format!("`{first}` is a whole object"), Some(help)));
            }
            Ok(scope::resolved(var(place_of(of(self.0), &path[1..])), Type::Varchar, path.len()))
        };
        match first.to_lowercase().as_str() {
            "data" => slot(|names| &mut names.data, Var::Data),
            "meta" => slot(|names| &mut names.meta, Var::Meta),
            "event" => scope::event_field(path),
            "old" | "each" => Err(scope::error(
                format!("an upcaster knows no `{first}`"),
                Some("it comes before any row: use `data.`, `meta.` and `event.`".into()),
            )),
            _ => {
                let help = format!("a field of the payload is `data.{first}`, a string is `'{first}'`");
                Err(scope::error(format!("no column `{first}`"), Some(help)))
            }
        }
    }
}

fn place_of(paths: &mut Vec<Vec<String>>, path: &[String]) -> usize {
    paths.iter().position(|other| other == path).unwrap_or_else(|| {
        paths.push(path.to_vec());
        paths.len() - 1
    })
}

fn read(place: &Place, table: &Table, files: &Files, found: &mut Vec<Diagnostic>) -> Option<(Upcast, Written)> {
    let errors = found.len();
    let pattern = read_type(table, place, found)?;
    clashes(table, place, found);
    let mut names = Names::default();
    let when = table.text("when").and_then(|text| condition("when", text, &mut UpcastScope(&mut names), found));
    let set = read_set(table, &mut names, found);
    let drop = read_drop(table, &[table], found);
    let mut types = Vec::new();
    let outcome = if table.bool("discard") {
        UpcastOutcome::Discard
    } else if let Some(text) = table.text("as") {
        types.extend(new_type("as", text, found));
        UpcastOutcome::As(text.value.clone())
    } else if let Some(entry) = table.entry("into") {
        let parts = entry.node.tables();
        if parts.is_empty() {
            found.push(Diagnostic::new("`into` names no event", &entry.key_place).help("to leave the event out, write `discard = true`"));
        }
        UpcastOutcome::Into(parts.into_iter().filter_map(|(place, part)| read_part(place, part, table, &mut types, found)).collect())
    } else {
        UpcastOutcome::Keep
    };
    if found.len() > errors {
        return None;
    }
    let own = || pattern.named().map(str::to_string).collect::<Vec<_>>();
    let new = || types.iter().map(|(event_type, _)| event_type.clone()).collect::<Vec<_>>();
    let mut sets = set_fields(table, if types.is_empty() { own() } else { new() });
    for (_, part) in table.tables("into") {
        sets.extend(set_fields(part, part.text("type").map(|text| text.value.clone()).into_iter().collect()));
    }
    let written = Written { pattern: pattern.clone(), types, sets, canon: canon(table, &pattern) };
    let label = format!("the upcaster at {}", files.line_of(place));
    let change = PayloadChange { data: names.data, meta: names.meta, set, drop };
    Some((Upcast { label, types: pattern, when, change, outcome }, written))
}

fn set_fields(table: &Table, types: Vec<String>) -> Vec<SetField> {
    let named = table.entries_of("set").iter().filter_map(|entry| match split_path(&entry.key)?.as_slice() {
        [name] => Some(SetField { name: name.clone(), place: entry.key_place.clone(), types: types.clone() }),
        _ => None,
    });
    named.collect()
}

fn read_type(table: &Table, place: &Place, found: &mut Vec<Diagnostic>) -> Option<TypePattern> {
    let Some(text) = table.text("type") else {
        if table.get("type").is_none() {
            found.push(
                Diagnostic::new("the upcaster has no `type`", place)
                    .help("say which events it is for: `type = \"OrderPlaced\"`, `\"A|B\"` or `\"order.*\"`"),
            );
        }
        return None;
    };
    let pattern = TypePattern::parse(&text.value);
    if pattern.alternatives.iter().any(String::is_empty) {
        found.push(Diagnostic::new(format!("`{}` names an empty event type", text.value), &text.place));
        return None;
    }
    Some(pattern)
}

/// Keys that exclude each other, and an upcaster that does nothing.
fn clashes(table: &Table, place: &Place, found: &mut Vec<Diagnostic>) {
    let mut clash = |one: &str, other: &str, help: &str| {
        if let (Some(a), Some(b)) = (table.entry(one), table.entry(other)) {
            found.push(
                Diagnostic::new(format!("an upcaster cannot have both `{one}` and `{other}`"), &b.key_place)
                    .also(&a.key_place, "and this")
                    .help(help),
            );
        }
    };
    clash("into", "as", "each event of `into` names its own `type`");
    if table.bool("discard") {
        for other in ["set", "as", "drop", "into"] {
            clash("discard", other, "a discarded event is nobody's: nothing else happens to it");
        }
    }
    let acts = ["set", "as", "drop", "into"].iter().any(|key| table.get(key).is_some()) || table.bool("discard");
    if !acts && table.entries.iter().all(|entry| super::keys::UPCAST.get(&entry.key).is_some()) {
        found.push(Diagnostic::new("the upcaster changes nothing", place).help("give it `set`, `drop`, `as`, `into`, or `discard = true`"));
    }
}

fn read_part(
    place: &Place,
    part: &Table,
    upcaster: &Table,
    types: &mut Vec<(String, Place)>,
    found: &mut Vec<Diagnostic>,
) -> Option<UpcastPart> {
    let mut names = Names::default();
    let set = read_set(part, &mut names, found);
    let drop = read_drop(part, &[part], found);
    // what the upcaster drops, it drops from every part, behind the parts' own `set`
    let _ = read_drop(upcaster, &[part], found);
    let Some(text) = part.text("type") else {
        if part.get("type").is_none() {
            found.push(Diagnostic::new("an event of `into` has no `type`", place).help("write `{ type = \"…\" }`"));
        }
        return None;
    };
    types.extend(new_type("type", text, found));
    Some(UpcastPart { event_type: text.value.clone(), change: PayloadChange { data: names.data, meta: names.meta, set, drop } })
}

/// A new type is one type, not a pattern.
fn new_type(key: &str, text: &Text, found: &mut Vec<Diagnostic>) -> Option<(String, Place)> {
    if text.value.is_empty() || text.value.contains(['*', '|']) {
        found.push(
            Diagnostic::new(format!("`{key}` must name one event type, but this is {:?}", text.value), &text.place)
                .help("patterns stand in the upcaster's own `type`"),
        );
        return None;
    }
    Some((text.value.clone(), text.place.clone()))
}

fn read_set(table: &Table, names: &mut Names, found: &mut Vec<Diagnostic>) -> Vec<FieldSet> {
    let mut out: Vec<(FieldSet, &Place)> = Vec::new();
    for entry in table.entries_of("set") {
        let Some(text) = entry.node.as_text() else { continue };
        let Some(path) = read_path(&entry.key, &entry.key_place, found) else { continue };
        if let Some((other, place)) = out.iter().find(|(other, _)| path.starts_with(&other.path) || other.path.starts_with(&path)) {
            let message = format!("`{}` and `{}` cannot both be set: one holds the other", other.path.join("."), entry.key);
            found.push(Diagnostic::new(message, &entry.key_place).also(place, "here first"));
            continue;
        }
        // a field that is only named is copied as it stands, number or text
        let copied = super::sources::dotted(&text.value).filter(|path| path.len() > 1 && path[0].eq_ignore_ascii_case("data"));
        let value = match copied {
            Some(path) => NewField::Copy(place_of(&mut names.data, &path[1..])),
            None => match compile(text, &mut UpcastScope(names), None, found) {
                Some(expr) => NewField::Value(expr),
                None => continue,
            },
        };
        out.push((FieldSet { path, value }, &entry.key_place));
    }
    out.into_iter().map(|(set, _)| set).collect()
}

/// The fields that `table` drops; a field that one of `sets` sets would be lost.
fn read_drop(table: &Table, sets: &[&Table], found: &mut Vec<Diagnostic>) -> Vec<Vec<String>> {
    let mut out = Vec::new();
    for text in table.texts("drop") {
        let Some(path) = read_path(&text.value, &text.place, found) else { continue };
        for entry in sets.iter().flat_map(|set| set.entries_of("set")) {
            if split_path(&entry.key).is_some_and(|set| set.starts_with(&path)) {
                found.push(
                    Diagnostic::new(format!("`{}` is set and dropped", entry.key), &text.place)
                        .also(&entry.key_place, "set here")
                        .help("`drop` comes last; a field with a new value need not be dropped"),
                );
            }
        }
        out.push(path);
    }
    out
}

fn read_path(text: &str, place: &Place, found: &mut Vec<Diagnostic>) -> Option<Vec<String>> {
    let path = split_path(text);
    if path.is_none() {
        found.push(
            Diagnostic::new(format!("{text:?} names no field of the payload"), place)
                .help("a field is `city` or, inside of others, `address.city`; a name with a dot stands in double quotes"),
        );
    }
    path
}

/// `a.b."c.d"` as keys.
fn split_path(text: &str) -> Option<Vec<String>> {
    let mut path = Vec::new();
    let mut rest = text;
    loop {
        let (key, after) = match rest.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"')?,
            None => rest.split_at(rest.find('.').unwrap_or(rest.len())),
        };
        if key.is_empty() {
            return None;
        }
        path.push(key.to_string());
        if after.is_empty() {
            return Some(path);
        }
        rest = after.strip_prefix('.')?;
    }
}

/// Over what an upcaster does, not how it is written.
fn canon(table: &Table, pattern: &TypePattern) -> String {
    fn change(canon: &mut Canon, table: &Table) {
        let mut set: Vec<_> = table.entries_of("set").iter().filter_map(|entry| Some((&entry.key, entry.node.as_text()?))).collect();
        set.sort_by_key(|(key, _)| *key);
        for (key, text) in set {
            canon.add("set", key);
            canon.sql("to", text);
        }
        for field in table.strings("drop") {
            canon.add("drop", &field);
        }
    }
    let mut canon = Canon::new("upcast");
    canon.add("type", &pattern.alternatives.join("|"));
    if let Some(when) = table.text("when") {
        canon.sql("when", when);
    }
    change(&mut canon, table);
    if let Some(text) = table.text("as") {
        canon.add("as", &text.value);
    }
    canon.add("discard", &table.bool("discard").to_string());
    for (_, part) in table.tables("into") {
        canon.add("into", part.text("type").map_or("", |text| &text.value));
        change(&mut canon, part);
    }
    canon.finish()
}

#[cfg(test)]
mod tests {
    use super::split_path;

    #[test]
    fn a_path_is_keys_between_dots() {
        let path = |keys: &[&str]| Some(keys.iter().map(|key| key.to_string()).collect::<Vec<_>>());
        assert_eq!(split_path("a.b-c.\"d.e\""), path(&["a", "b-c", "d.e"]));
        for bad in ["", ".a", "a.", "a..b", "\"a", "\"a\"b", "\"\""] {
            assert_eq!(split_path(bad), None, "{bad}");
        }
    }
}
