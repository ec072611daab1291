//! Shapes of records: the text of a record without its values. Exporters write the same keys in the same order, so
//! that the shape of most records is that of one before. Such a record is not taken apart any more: what lies between
//! its values is compared with the shape as a whole, and only the values are looked at.
//!
//! ```text
//! {"stream_id":" order-17 ","type":" ItemAdded ","version": 3 ,"data":{"sku":" SKU-1 ","qty": 2 }}
//! literal        value     literal   value      literal   value literal      value   literal value literal
//! ```
//!
//! The shapes lie in a tree of literals, since those of one log begin alike. A record that fits none of them is left
//! to [`super::json::scan`], and its shape is learned. So a shape never decides what is JSON or what a path finds:
//! it repeats what `scan` said of a text with the same literals. Values are checked as strictly as there.

use super::json::{self, Span, ValueKind};
#[cfg(target_arch = "x86_64")]
use super::simd::Avx2;
use super::simd::{Level, Literal, Look, Portable};

/// Values of a record that has a shape, at most.
pub const VALUES_MAX: usize = 64;

/// Literals of all shapes, at most. A log whose keys are data would fill the memory with them.
const NODES_MAX: usize = 1024;

/// Ways to go on behind a literal, at most: they are tried one by one.
const CHILDREN_MAX: usize = 64;

/// Where the values of a record end; what a shape finds is counted from there.
pub struct Values {
    ends: [u32; VALUES_MAX],
    len: usize,
    /// Some string of the record has an escape.
    escaped: bool,
}

impl Default for Values {
    fn default() -> Self {
        Values { ends: [0; VALUES_MAX], len: 0, escaped: false }
    }
}

/// A place in all records of one shape: so many bytes behind the end of a value.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Place {
    /// 0: the record's beginning; i: the end of value i - 1.
    base: u32,
    offset: u32,
}

/// A part of all records of one shape.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Part {
    start: Place,
    end: Place,
}

impl Values {
    /// Whether all strings of the record outside of arrays stand for themselves: none has an escape. Of a record that
    /// [`Shapes::read`] has read.
    #[inline]
    pub fn is_plain(&self) -> bool {
        !self.escaped
    }

    #[inline(always)]
    fn at(&self, place: Place) -> usize {
        let base = if place.base == 0 { 0 } else { self.ends[(place.base as usize - 1) % VALUES_MAX] };
        (base + place.offset) as usize
    }

    /// Where a part lies in this record.
    #[inline(always)]
    pub fn span(&self, part: Part) -> Span {
        Span { start: self.at(part.start), end: self.at(part.end) }
    }

    /// What lies in this record at `span`, in all records of its shape. The ends of the span have to be those of values or
    /// to lie in literals.
    pub fn part(&self, span: Span) -> Part {
        let place = |at: usize| {
            let base = self.ends[..self.len].partition_point(|end| *end as usize <= at);
            let before = if base == 0 { 0 } else { self.ends[base - 1] as usize };
            Place { base: base as u32, offset: (at - before) as u32 }
        };
        if span.is_missing() { Part::default() } else { Part { start: place(span.start), end: place(span.end) } }
    }

    fn push(&mut self, end: usize) {
        if self.len < VALUES_MAX {
            self.ends[self.len] = end as u32;
            self.len += 1;
        }
    }
}

/// What comes behind a literal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    Value(ValueKind),
    /// The record ends; the number of its shape.
    End(usize),
}

struct Node {
    literal: Literal,
    next: Next,
    children: Vec<u32>,
}

/// The shapes that were met so far, in the order in which they were.
pub struct Shapes {
    level: Level,
    nodes: Vec<Node>,
    first: Vec<u32>,
    len: usize,
    full: bool,
}

impl Default for Shapes {
    fn default() -> Self {
        Shapes::new(Level::detect())
    }
}

impl Shapes {
    pub fn new(level: Level) -> Shapes {
        Shapes { level, nodes: Vec::new(), first: Vec::new(), len: 0, full: false }
    }

    /// Whether a shape was not learned for want of room.
    pub fn is_full(&self) -> bool {
        self.full
    }

    /// Forgets all shapes.
    pub fn forget(&mut self) {
        *self = Shapes::new(self.level);
    }

    /// Reads the record at the beginning of `text`, if it has a known shape: gives the shape's number and the record's
    /// length; behind it lies a line break, or `text` ends.
    #[inline]
    pub fn read(&self, text: &str, values: &mut Values) -> Option<(usize, usize)> {
        match self.level {
            #[cfg(target_arch = "x86_64")]
            // SAFETY: the level was detected
            Level::Avx2 => unsafe { self.read_avx2(text, values) },
            Level::Portable => self.read_by::<Portable>(text, values),
        }
    }

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2,bmi1")]
    unsafe fn read_avx2(&self, text: &str, values: &mut Values) -> Option<(usize, usize)> {
        self.read_by::<Avx2>(text, values)
    }

    #[inline(always)]
    fn read_by<L: Look>(&self, text: &str, values: &mut Values) -> Option<(usize, usize)> {
        let bytes = text.as_bytes();
        values.len = 0;
        values.escaped = false;
        let mut at = 0;
        let mut ways = &self.first;
        'values: loop {
            for &way in ways {
                let node = &self.nodes[way as usize];
                if !L::goes_on_with(bytes, at, &node.literal) {
                    continue;
                }
                let behind = at + node.literal.len();
                let end = match node.next {
                    Next::Value(ValueKind::String) => string_end::<L>(bytes, behind, &mut values.escaped),
                    Next::Value(ValueKind::Number) => json::number_end(bytes, behind),
                    Next::Value(ValueKind::Word) => json::word_end(bytes, behind),
                    Next::Value(ValueKind::Array { depth }) => json::array_len(line(text, behind), depth).map(|len| behind + len),
                    Next::End(shape) if matches!(bytes.get(behind), None | Some(b'\n')) => return Some((shape, behind)),
                    Next::End(_) => None,
                };
                if let Some(end) = end {
                    values.push(end);
                    at = end;
                    ways = &node.children;
                    continue 'values;
                }
            }
            return None;
        }
    }

    /// Learns the shape of a record, a line that [`json::scan`] has accepted. Gives the number of the shape, and the record's
    /// values; `None`: there is no room for it.
    pub fn learn(&mut self, text: &str, values: &mut Values) -> Option<usize> {
        if self.full {
            return None;
        }
        let found = json::values(text, VALUES_MAX)?;
        if self.nodes.len() + found.len() + 1 > NODES_MAX {
            self.full = true;
            return None;
        }
        (values.len, values.escaped) = (0, true);
        let (mut parent, mut at) = (None, 0);
        for (kind, span) in found {
            parent = Some(self.child(parent, &text[at..span.start], Next::Value(kind))?);
            values.push(span.end);
            at = span.end;
        }
        let shape = self.len;
        let end = self.child(parent, &text[at..], Next::End(shape))?;
        let Next::End(shape) = self.nodes[end as usize].next else { return None };
        self.len = self.len.max(shape + 1);
        Some(shape)
    }

    /// The way behind `parent` with this literal, which is made where there is none; `None`: there are too many already.
    fn child(&mut self, parent: Option<u32>, literal: &str, next: Next) -> Option<u32> {
        let ways = parent.map_or(&self.first, |parent| &self.nodes[parent as usize].children);
        let same = |a: Next, b: Next| a == b || matches!((a, b), (Next::End(_), Next::End(_)));
        let known = ways.iter().find(|way| {
            let node = &self.nodes[**way as usize];
            node.literal.bytes() == literal.as_bytes() && same(node.next, next)
        });
        if let Some(known) = known {
            return Some(*known);
        }
        if ways.len() >= CHILDREN_MAX {
            self.full = true;
            return None;
        }
        let number = self.nodes.len() as u32;
        self.nodes.push(Node { literal: Literal::new(literal.as_bytes()), next, children: Vec::new() });
        match parent {
            Some(parent) => self.nodes[parent as usize].children.push(number),
            None => self.first.push(number),
        }
        Some(number)
    }
}

/// The text from `at` to the next line break.
fn line(text: &str, at: usize) -> &str {
    let rest = text.get(at..).unwrap_or_default();
    &rest[..memchr::memchr(b'\n', rest.as_bytes()).unwrap_or(rest.len())]
}

/// The place of the closing quote of a string whose content begins at `at`; `None`: it is no JSON. `escaped`: set where it has
/// an escape.
#[inline(always)]
fn string_end<L: Look>(text: &[u8], mut at: usize, escaped: &mut bool) -> Option<usize> {
    loop {
        at = L::plain_end(text, at);
        match text.get(at)? {
            b'"' => return Some(at),
            b'\\' => {
                *escaped = true;
                at += json::escape_len(&text[at..])?;
            }
            _ => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;
    use crate::source::json::Paths;

    const VALUES: [&str; 24] = [
        r#""""#,
        r#""order-17""#,
        r#""a long text of more than thirty-two bytes, to be sure""#,
        r#""é€😀 \" \\ \u00e9 \ud800 \n""#,
        "0",
        "-0",
        "12",
        "1.50",
        "-1.5e+3",
        "1E400",
        "true",
        "false",
        "null",
        "[]",
        r#"[1,[{"a":[2]}], "]"]"#,
        "{}",
        // no JSON
        "01",
        "1.",
        "-",
        "nul",
        r#""\x""#,
        r#""\u12""#,
        "[1,]",
        "\"\t\"",
    ];

    const FRAMES: [&str; 7] = [
        r#"{"a":#,"b":#,"c":{"a":#,"d":#}}"#,
        r#"{"a":#,"b":#,"c":{"d":#,"a":#}}"#,
        r#"{"a":#,"b":#,"a":#}"#,
        r#"{ "b" : # , "c" : { "a" : { "b" : # } } }"#,
        r#"{"\u0061":#,"c":{"a":#,"a":{"b":#}}}"#,
        r#"{"c":{"a":{}},"b":#}"#,
        "#",
    ];

    fn record(random: &mut Random) -> String {
        let mut text = String::new();
        for part in random.of(&FRAMES).split_inclusive('#') {
            text.push_str(part.trim_end_matches('#'));
            if part.ends_with('#') {
                // the last eight are no JSON, and rare
                let most = if random.below(12) == 0 { VALUES.len() } else { VALUES.len() - 8 };
                text.push_str(VALUES[random.below(most)]);
            }
        }
        if random.below(30) == 0 {
            text.push_str(random.of(&[" ", "\r", "x", "}", ","]));
        }
        text
    }

    #[test]
    fn what_a_shape_reads_is_what_a_scan_finds() {
        let paths: [&[&str]; 6] = [&["a"], &["b"], &["c"], &["c", "a"], &["c", "a", "b"], &["c", "d"]];
        let owned: Vec<Vec<String>> = paths.iter().map(|path| path.iter().map(|key| key.to_string()).collect()).collect();
        let paths = Paths::new(&owned);
        let mut levels = vec![Level::Portable];
        if Level::detect() != Level::Portable {
            levels.push(Level::detect());
        }
        for level in levels {
            let random = &mut Random(3);
            let (mut shapes, mut values, mut leaves) = (Shapes::new(level), Values::default(), Vec::<Vec<Part>>::new());
            let (mut found, mut read, mut learned, mut refused) = (Vec::new(), 0, 0, 0);
            for number in 0..60_000 {
                let record = record(random);
                // what stands behind the record must not matter, nor be taken for a part of it
                let text = format!("{record}{}", random.of(&["", "\n", "\n{\"a\":1}", "\n]"]));
                let accepted = json::scan(&record, &paths, &mut found).is_ok();
                match shapes.read(&text, &mut values) {
                    Some((shape, len)) => {
                        assert_eq!(len, record.len(), "{text:?}");
                        assert!(accepted, "{record:?}");
                        let spans: Vec<Span> = leaves[shape].iter().map(|part| values.span(*part)).collect();
                        assert_eq!(spans, found, "{record:?}");
                        // an escape in a key is no value's
                        assert_eq!(values.is_plain(), !record.replace("\\u0061", "").contains('\\'), "{record:?}");
                        read += 1;
                    }
                    None if accepted => {
                        let known = shapes.len;
                        let Some(shape) = shapes.learn(&record, &mut values) else { continue };
                        assert_eq!(shape, known, "a record of a known shape was not read: {record:?}");
                        leaves.push(found.iter().map(|span| values.part(*span)).collect());
                        learned += 1;
                    }
                    None => refused += 1,
                }
                if number == 30_000 {
                    shapes.forget();
                    leaves.clear();
                }
            }
            assert!(read > 20_000 && learned > 100 && refused > 1_000, "{level:?}: {read} read, {learned} learned, {refused} refused");
        }
    }

    #[test]
    fn keys_that_are_data_do_not_fill_the_memory() {
        let (mut shapes, mut values) = (Shapes::default(), Values::default());
        for number in 0..100_000 {
            let text = format!(r#"{{"key-{number}":1}}"#);
            if shapes.read(&text, &mut values).is_none() {
                shapes.learn(&text, &mut values);
            }
        }
        assert!(shapes.nodes.len() <= NODES_MAX && shapes.first.len() <= CHILDREN_MAX);
    }

    #[test]
    fn an_array_may_nest_as_deep_as_a_scan_allows() {
        let record = |depth: usize| format!(r#"{{"a":{{"b":{}{}}}}}"#, "[".repeat(depth), "]".repeat(depth));
        let (mut shapes, mut values) = (Shapes::default(), Values::default());
        shapes.learn(&record(1), &mut values);
        for depth in [100, 125, 126, 127, 200] {
            let accepted = json::check(&record(depth)).is_ok();
            assert_eq!(shapes.read(&record(depth), &mut values).is_some(), accepted, "{depth} deep");
        }
    }
}
