//! What a thread that decodes has learned of a log: the shapes of its records, and for each shape where the envelope and the
//! payload's fields lie; its event types. None of it can be seen in the events: what is forgotten is looked up again.

use std::sync::Arc;

use hashbrown::HashMap;

use super::json::{self, NotJson, Paths, Span};
use super::shape::{Part, Shapes, Values};
use crate::project::TypePlan;

/// An event type with what its payloads are searched for.
pub(super) struct KnownType {
    pub plan: Arc<TypePlan>,
    pub data: Paths,
    pub meta: Paths,
}

/// Where the events of a type, as records name it, go.
#[derive(Clone, Copy)]
pub(super) enum Way {
    Nobody,
    /// Index into [`Learned::kinds`].
    Kind(usize),
    Upcast,
}

/// An event type that somebody takes.
pub(super) struct Kind {
    pub known: Arc<KnownType>,
    /// Its block in the batch at hand.
    pub block: Option<usize>,
}

/// Where the fields of one event type lie in records of one shape.
#[derive(Clone)]
pub(super) struct Fields {
    pub data: Box<[Part]>,
    pub meta: Box<[Part]>,
}

/// What is known of a shape.
#[derive(Default)]
struct Leaf {
    /// By path of the envelope.
    found: Box<[Part]>,
    /// By kind; `None`: its fields have to be looked for in each record.
    fields: Vec<(usize, Option<Fields>)>,
    /// The type of the last record that had this shape.
    last: Option<(Box<str>, Way)>,
}

/// Names of types with so many bytes in all are remembered; then all begins anew.
const NAME_BYTES_MAX: usize = 1 << 20;

/// Event types of one shape whose fields are remembered.
const FIELDS_MAX: usize = 16;

/// So many records behind each other without a known shape mean that the log has changed, where there is no room for more.
const STRANGERS_MAX: u32 = 256;

#[derive(Default)]
pub(super) struct Learned {
    /// By path of the envelope, of the record at hand.
    pub found: Vec<Span>,
    /// By path of what was looked for last.
    pub fields: Vec<Span>,
    pub ways: HashMap<String, Way>,
    pub kinds: Vec<Kind>,
    /// By the type that upcasters leave; `None`: nobody takes it.
    pub kind_of: HashMap<String, Option<usize>>,
    pub name_bytes: usize,
    /// Of the next batch.
    pub events_expected: usize,
    /// The strings of the record at hand have no escapes, as far as that is known.
    pub plain: bool,
    shapes: Shapes,
    leaves: Vec<Leaf>,
    /// Of the record at hand.
    values: Values,
    strangers: u32,
    strangers_max: u32,
}

impl Learned {
    /// Gets ready for another batch.
    pub fn begin(&mut self) {
        if self.name_bytes > NAME_BYTES_MAX {
            *self = Learned::default();
        }
        self.kinds.iter_mut().for_each(|kind| kind.block = None);
    }

    /// Reads the record at the beginning of a text by its shape: gives the shape and the record's length, with its values at
    /// hand. `None`: it has no known shape.
    #[inline]
    pub fn read(&mut self, text: &str) -> Option<(usize, usize)> {
        self.shapes.read(text, &mut self.values)
    }

    /// Finds the envelope's parts in a record. `shape`: as [`Learned::read`] gave it. Gives the shape, if there is one now.
    pub fn find(&mut self, text: &str, paths: &Paths, shape: Option<usize>) -> Result<Option<usize>, NotJson> {
        if let Some(leaf) = shape.and_then(|shape| self.leaves.get(shape)) {
            self.strangers = 0;
            self.plain = self.values.is_plain();
            self.found.clear();
            let values = &self.values;
            self.found.extend(leaf.found.iter().map(|part| values.span(*part)));
            return Ok(shape);
        }
        self.plain = false;
        json::scan(text, paths, &mut self.found)?;
        self.strangers += 1;
        let shape = match self.shapes.learn(text, &mut self.values) {
            Some(shape) => shape,
            None if self.strangers > self.strangers_max.max(STRANGERS_MAX) && self.shapes.is_full() => {
                // a log whose keys are data never stops learning: less and less often
                self.strangers_max = self.strangers_max.max(STRANGERS_MAX).saturating_mul(2);
                self.strangers = 0;
                self.shapes.forget();
                self.leaves.clear();
                return Ok(None);
            }
            None => return Ok(None),
        };
        if self.leaves.len() <= shape {
            self.leaves.resize_with(shape + 1, Leaf::default);
        }
        let values = &self.values;
        self.leaves[shape].found = self.found.iter().map(|span| values.part(*span)).collect();
        Ok(Some(shape))
    }

    /// Where the events of a type go, if that is known. `shape`: of the record at hand.
    #[inline]
    pub fn way_of(&mut self, shape: Option<usize>, event_type: &str) -> Option<Way> {
        let Some(leaf) = shape.and_then(|shape| self.leaves.get_mut(shape)) else { return self.ways.get(event_type).copied() };
        match &leaf.last {
            Some((last, way)) if **last == *event_type => Some(*way),
            _ => {
                let way = *self.ways.get(event_type)?;
                leaf.last = Some((event_type.into(), way));
                Some(way)
            }
        }
    }

    /// Finds the fields of the record at hand by its shape, into [`Learned::fields`]: the payload's, then the metadata's.
    /// `data`, `metadata`: where they lie in the record. False: its fields have to be looked for.
    pub fn fields_of(&mut self, text: &str, shape: usize, kind: usize, data: Option<Span>, metadata: Option<Span>) -> bool {
        let Some(leaf) = self.leaves.get_mut(shape) else { return false };
        let known = match leaf.fields.iter().position(|(of, _)| *of == kind) {
            Some(at) => at,
            None if leaf.fields.len() >= FIELDS_MAX => return false,
            None => {
                let of = &self.kinds[kind].known;
                let mut parts = |paths: &Paths, whole: Option<Span>| lie(text, paths, whole, &self.values, &mut self.fields);
                let fields = parts(&of.data, data).zip(parts(&of.meta, metadata)).map(|(data, meta)| Fields { data, meta });
                leaf.fields.push((kind, fields));
                leaf.fields.len() - 1
            }
        };
        let Some(fields) = &leaf.fields[known].1 else { return false };
        let values = &self.values;
        self.fields.clear();
        self.fields.extend(fields.data.iter().chain(&fields.meta).map(|part| values.span(*part)));
        true
    }
}

/// Where paths lie in all records of the shape of `text`, in the object at `whole`; `None`: that is not for the shape to say.
fn lie(text: &str, paths: &Paths, whole: Option<Span>, values: &Values, spans: &mut Vec<Span>) -> Option<Box<[Part]>> {
    if paths.is_empty() {
        return Some(Box::default());
    }
    let whole = whole.filter(|whole| whole.of(text).starts_with('{'))?;
    json::scan(whole.of(text), paths, spans).ok()?;
    let place = |span: &Span| if span.is_missing() { *span } else { Span { start: span.start + whole.start, end: span.end + whole.start } };
    Some(spans.iter().map(|span| values.part(place(span))).collect())
}
