//! Paths into JSON: `$.a[0]."b c"`, `$.a[*]`, `$..x`, JSON pointers `/a/0`, a bare key, an index.

use super::tree::Json;

/// As many elements as a list may have that a function makes.
const FOUND_MAX: usize = 1 << 24;

#[derive(Debug, Clone)]
enum Step {
    Key(String),
    AnyKey,
    Index(usize),
    /// Counted from the end: 1 is the last element.
    FromEnd(usize),
    AnyIndex,
    /// `[#]`, behind the last element.
    Nowhere,
    /// A part of a JSON pointer: a key of an object, an index of an array.
    Pointer(String),
}

#[derive(Debug, Clone)]
pub struct Path {
    /// Each with whether it is looked for at every depth (`..`).
    steps: Vec<(bool, Step)>,
}

/// Reads digits from the left of `rest`.
fn number(rest: &mut &str) -> Option<usize> {
    let len = rest.bytes().take_while(u8::is_ascii_digit).count();
    let (digits, tail) = rest.split_at(len);
    *rest = tail;
    digits.parse().ok()
}

impl Path {
    /// Reads a path; None: DuckDB refuses it, too. In a constant, `*` alone is a wildcard.
    pub fn parse(text: &str, constant: bool) -> Option<Path> {
        if let Some(pointer) = text.strip_prefix('/') {
            let part = |part: &str| (false, Step::Pointer(part.replace("~1", "/").replace("~0", "~")));
            return Some(Path { steps: pointer.split('/').map(part).collect() });
        }
        let Some(mut rest) = text.strip_prefix('$') else {
            let step = if text == "*" && constant { Step::AnyKey } else { Step::Key(text.to_string()) };
            return Some(Path { steps: if text.is_empty() { Vec::new() } else { vec![(false, step)] } });
        };
        let mut steps = Vec::new();
        while !rest.is_empty() {
            let mut recursive = false;
            if let Some(after) = rest.strip_prefix('.') {
                rest = after;
                if let Some(after) = rest.strip_prefix('.') {
                    recursive = true;
                    rest = after;
                }
                if !recursive || !rest.starts_with('[') {
                    steps.push((recursive, Path::key(&mut rest)?));
                    continue;
                }
            }
            rest = rest.strip_prefix('[')?;
            steps.push((recursive, Path::index_step(&mut rest)?));
            rest = rest.strip_prefix(']')?;
        }
        Some(Path { steps })
    }

    /// The element of an array; negative indexes count from the end.
    pub fn index(index: i128) -> Path {
        let place = usize::try_from(index.unsigned_abs()).unwrap_or(usize::MAX);
        Path { steps: vec![(false, if index < 0 { Step::FromEnd(place) } else { Step::Index(place) })] }
    }

    fn key(rest: &mut &str) -> Option<Step> {
        if let Some(after) = rest.strip_prefix('*') {
            *rest = after;
            return Some(Step::AnyKey);
        }
        let (key, tail) = match rest.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"')?,
            None => rest.split_at(rest.find(['.', '[']).unwrap_or(rest.len())),
        };
        *rest = tail;
        match key {
            "" => None,
            "*" => Some(Step::AnyKey),
            key => Some(Step::Key(key.to_string())),
        }
    }

    fn index_step(rest: &mut &str) -> Option<Step> {
        if let Some(after) = rest.strip_prefix('*') {
            *rest = after;
            return Some(Step::AnyIndex);
        }
        let hash = rest.strip_prefix('#');
        if let Some(after) = hash {
            *rest = after;
            if rest.starts_with(']') {
                return Some(Step::Nowhere);
            }
        }
        if let Some(after) = rest.strip_prefix('-') {
            *rest = after;
            return number(rest).map(Step::FromEnd);
        }
        if hash.is_some() { None } else { number(rest).map(Step::Index) }
    }

    /// True where the path may find several values; then it gives a list.
    pub fn is_wildcard(&self) -> bool {
        self.steps.iter().any(|(recursive, step)| *recursive || matches!(step, Step::AnyKey | Step::AnyIndex))
    }

    /// What a path without wildcards finds.
    pub fn one<'j, 't>(&self, json: &'j Json<'t>) -> Option<&'j Json<'t>> {
        self.steps.iter().try_fold(json, |here, (_, step)| step.one(here))
    }

    /// All that the path finds, in the order of the text; None: more than can be held, since every `..` multiplies.
    pub fn all<'j, 't>(&self, json: &'j Json<'t>) -> Option<Vec<&'j Json<'t>>> {
        let mut found = vec![json];
        for (recursive, step) in &self.steps {
            let mut next = Vec::new();
            for here in found {
                if *recursive {
                    step.everywhere(here, &mut next);
                } else {
                    step.each(here, &mut next);
                }
                if next.len() > FOUND_MAX {
                    return None;
                }
            }
            found = next;
        }
        Some(found)
    }
}

impl Step {
    fn one<'j, 't>(&self, json: &'j Json<'t>) -> Option<&'j Json<'t>> {
        match self {
            Step::Key(key) => json.get(key),
            Step::Index(i) => json.items().get(*i),
            Step::FromEnd(n) => {
                let items = json.items();
                items.len().checked_sub(*n).and_then(|i| items.get(i))
            }
            Step::Pointer(part) => match json {
                Json::Array(items) => {
                    let plain = part == "0" || (!part.starts_with('0') && part.bytes().all(|b| b.is_ascii_digit()));
                    part.parse::<usize>().ok().filter(|_| plain).and_then(|i| items.get(i))
                }
                json => json.get(part),
            },
            Step::AnyKey | Step::AnyIndex | Step::Nowhere => None,
        }
    }

    fn each<'j, 't>(&self, json: &'j Json<'t>, out: &mut Vec<&'j Json<'t>>) {
        match (self, json) {
            (Step::AnyKey, Json::Object(entries)) => out.extend(entries.iter().map(|(_, value)| value)),
            (Step::AnyIndex, Json::Array(items)) => out.extend(items),
            _ => out.extend(self.one(json)),
        }
    }

    /// Level by level, as DuckDB looks.
    fn everywhere<'j, 't>(&self, json: &'j Json<'t>, out: &mut Vec<&'j Json<'t>>) {
        let mut level = vec![json];
        while !level.is_empty() {
            let mut below = Vec::new();
            for here in level {
                self.each(here, out);
                match here {
                    Json::Object(entries) => below.extend(entries.iter().map(|(_, value)| value)),
                    Json::Array(items) => below.extend(items),
                    _ => {}
                }
            }
            level = below;
        }
    }
}
