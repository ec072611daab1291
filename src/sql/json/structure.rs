//! The structure of JSON (`json_structure`), what contains what (`json_contains`), and merging (RFC 7396).

use super::tree::Json;

/// What stands at one place of the documents: the kinds met, each with what lies below.
#[derive(Default)]
struct Shape {
    kinds: Vec<Kind>,
}

enum Kind {
    /// DuckDB's name of a type.
    Scalar(&'static str),
    List(Shape),
    Object(Vec<(String, Shape)>),
}

fn is_number(name: &str) -> bool {
    matches!(name, "UBIGINT" | "BIGINT" | "HUGEINT" | "DOUBLE")
}

/// The number type that holds both.
fn wider(a: &'static str, b: &'static str) -> &'static str {
    match (a, b) {
        (a, b) if a == b => a,
        ("DOUBLE", _) | (_, "DOUBLE") => "DOUBLE",
        _ => "HUGEINT",
    }
}

impl Shape {
    fn add(&mut self, json: &Json) {
        if matches!(json, Json::Null) {
            if self.kinds.is_empty() {
                self.kinds.push(Kind::Scalar("NULL"));
            }
            return;
        }
        if let [Kind::Scalar("NULL")] = self.kinds.as_slice() {
            self.kinds.clear();
        }
        match json {
            Json::Array(items) => {
                if !self.kinds.iter().any(|kind| matches!(kind, Kind::List(_))) {
                    self.kinds.push(Kind::List(Shape::default()));
                }
                for kind in &mut self.kinds {
                    if let Kind::List(shape) = kind {
                        items.iter().for_each(|item| shape.add(item));
                    }
                }
            }
            Json::Object(entries) => {
                if !self.kinds.iter().any(|kind| matches!(kind, Kind::Object(_))) {
                    self.kinds.push(Kind::Object(Vec::new()));
                }
                for kind in &mut self.kinds {
                    let Kind::Object(fields) = kind else { continue };
                    for (key, value) in entries {
                        match fields.iter_mut().find(|(name, _)| name == key) {
                            Some((_, shape)) => shape.add(value),
                            None => {
                                let mut shape = Shape::default();
                                shape.add(value);
                                fields.push((key.to_string(), shape));
                            }
                        }
                    }
                }
            }
            scalar => {
                let name = scalar.kind();
                for kind in &mut self.kinds {
                    match kind {
                        Kind::Scalar(known) if *known == name => return,
                        Kind::Scalar(known) if is_number(known) && is_number(name) => {
                            *known = wider(known, name);
                            return;
                        }
                        _ => {}
                    }
                }
                self.kinds.push(Kind::Scalar(name));
            }
        }
    }

    fn into_json(self) -> Json<'static> {
        let mut kinds = self.kinds.into_iter();
        match (kinds.next(), kinds.next()) {
            (None, _) => Json::Text("NULL".into()),
            (Some(Kind::Scalar(name)), None) => Json::Text(name.into()),
            (Some(Kind::List(shape)), None) => Json::Array(vec![shape.into_json()]),
            (Some(Kind::Object(fields)), None) if !fields.is_empty() => {
                Json::Object(fields.into_iter().map(|(name, shape)| (name.into(), shape.into_json())).collect())
            }
            _ => Json::Text("JSON".into()),
        }
    }
}

/// The structure of a document as JSON: type names in the place of values.
pub fn structure(json: &Json) -> Json<'static> {
    let mut shape = Shape::default();
    shape.add(json);
    shape.into_json()
}

/// The same value, whatever the order of the keys.
fn same(a: &Json, b: &Json) -> bool {
    match (a, b) {
        (Json::Array(a), Json::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        (Json::Object(x), Json::Object(y)) => {
            x.len() == y.len() && x.iter().all(|(key, value)| b.get(key).is_some_and(|other| same(value, other)))
        }
        (Json::Real(a), Json::Real(b)) => a.to_bits() == b.to_bits(),
        (Json::Signed(a), Json::Unsigned(b)) | (Json::Unsigned(b), Json::Signed(a)) => u64::try_from(*a) == Ok(*b),
        (a, b) => a == b,
    }
}

/// The needle, or an object or array that has all of the needle's parts.
fn covers(hay: &Json, needle: &Json) -> bool {
    same(hay, needle)
        || match (hay, needle) {
            (Json::Array(hay), Json::Array(needle)) => needle.iter().all(|n| hay.iter().any(|h| covers(h, n))),
            (Json::Object(_), Json::Object(needle)) => needle.iter().all(|(key, n)| hay.get(key).is_some_and(|h| covers(h, n))),
            _ => false,
        }
}

/// True where the needle lies anywhere in the document.
pub fn contains(hay: &Json, needle: &Json) -> bool {
    covers(hay, needle)
        || match hay {
            Json::Array(items) => items.iter().any(|item| contains(item, needle)),
            Json::Object(entries) => entries.iter().any(|(_, value)| contains(value, needle)),
            _ => false,
        }
}

/// A document with a merge patch applied; a patch to something else than an object replaces it as it stands.
pub fn merge_patch<'a>(of: Json<'a>, patch: Json<'a>) -> Json<'a> {
    match (of, patch) {
        (Json::Object(entries), Json::Object(patch)) => Json::Object(merge(entries, patch)),
        (_, patch) => patch,
    }
}

type Entries<'a> = Vec<(std::borrow::Cow<'a, str>, Json<'a>)>;

fn merge<'a>(entries: Entries<'a>, patch: Entries<'a>) -> Entries<'a> {
    let (mut known, mut out): (Entries, Entries) = entries.into_iter().partition(|(key, _)| patch.iter().any(|(k, _)| k == key));
    for (key, value) in patch {
        let old = known.iter().position(|(k, _)| *k == key).map(|i| known.swap_remove(i).1);
        let value = match (old, value) {
            (_, Json::Null) => continue,
            (Some(Json::Object(old)), Json::Object(patch)) => Json::Object(merge(old, patch)),
            (_, Json::Object(patch)) => Json::Object(merge(Vec::new(), patch)),
            (_, value) => value,
        };
        out.push((key, value));
    }
    out
}
