//! A chunk of lines -> a batch of events: the envelope of each record, the payload fields that somebody uses.

use std::borrow::Cow;
use std::sync::{Arc, RwLock};

use hashbrown::HashMap;
use xxhash_rust::xxh3::xxh3_64;

use super::batch::{Bad, BadKind, Batch, Block, Route};
use super::chunks::Chunk;
use super::contract::{convert, shortened};
use super::json::{self, Paths, Span};
use super::upcast::{Old, Upcasters};
use crate::error::Result;
use crate::project::{Dedupe, Envelope, FieldRole, Given, Order, Payload, Project, TypePlan};
use crate::sql::{self, Column, Env, Expr, Slot, Type, Value, cast_text};

/// So many event types are remembered; a log with more (a type field that holds ids, say) is looked up anew.
const KNOWN_TYPES_MAX: usize = 100_000;

/// A type's name with more bytes is looked up anew each time, for the same reason.
const KNOWN_NAME_BYTES_MAX: usize = 1024;

/// Decodes the chunks of one source. Shared by all threads; it learns event types as they appear.
pub struct Decoder<'p> {
    project: &'p Project,
    source: usize,
    /// The envelope's paths, and behind them the payload's and the metadata's where they are paths.
    paths: Paths,
    data_at: Option<usize>,
    metadata_at: Option<usize>,
    upcasters: Upcasters<'p>,
    /// Somebody needs the text of records whom the project does not tell of.
    text_is_wanted: bool,
    types: RwLock<HashMap<String, Option<Arc<KnownType>>>>,
}

/// An event type with what its payloads are searched for.
struct KnownType {
    plan: Arc<TypePlan>,
    data: Paths,
    meta: Paths,
}

/// The parts of one record as the envelope's expressions see them.
struct RecordEnv<'a> {
    text: &'a str,
    found: &'a [Span],
}

impl Env for RecordEnv<'_> {
    fn get(&self, slot: Slot) -> Value {
        let span = self.found.get(slot.0 as usize).copied().unwrap_or_default();
        json::as_text(span.of(self.text)).ok().flatten().map_or(Value::Null, Value::text)
    }
}

/// Where an event's payload comes from.
enum Origin<'a> {
    /// A record, whose wanted parts were found.
    Record { text: &'a str, found: &'a [Span] },
    /// A test's event, or what upcasters made of one: two JSON objects, the second one or why there is none.
    Given { data: &'a str, metadata: std::result::Result<&'a str, &'a str> },
}

#[derive(Clone, Copy)]
enum Part {
    Data,
    Metadata,
}

/// Where the events of a type, as records name it, go.
#[derive(Clone, Copy)]
enum Way {
    Nobody,
    Block(usize),
    Upcast,
}

/// Why a record did not become an event that can be folded.
struct Refusal {
    kind: BadKind,
    reason: String,
}

fn refuse<T>(kind: BadKind, reason: impl Into<String>) -> std::result::Result<T, Refusal> {
    Err(Refusal { kind, reason: reason.into() })
}

/// Per chunk: what is reused from record to record.
#[derive(Default)]
struct Scratch {
    found: Vec<Span>,
    fields: Vec<Span>,
    ways: HashMap<String, Way>,
    /// By the type that upcasters leave; `None`: nobody takes it.
    blocks: HashMap<String, Option<usize>>,
    known: Vec<Arc<KnownType>>,
}

impl<'p> Decoder<'p> {
    pub fn new(project: &'p Project, source: usize) -> Self {
        let envelope = &project.sources[source].envelope;
        let mut paths: Vec<Vec<String>> = envelope.paths.clone();
        let mut place_of = |payload: &Payload| match payload {
            Payload::Path(path) => {
                paths.push(path.clone());
                Some(paths.len() - 1)
            }
            Payload::Record | Payload::Expr(_) => None,
        };
        let data_at = place_of(&envelope.data);
        let metadata_at = envelope.metadata.as_ref().and_then(&mut place_of);
        Decoder {
            project,
            source,
            paths: Paths::new(&paths),
            data_at,
            metadata_at,
            upcasters: Upcasters::new(project),
            text_is_wanted: false,
            types: RwLock::default(),
        }
    }

    /// Decodes a chunk. Errors are the project's (a wildcard rule that does not fit a type that just appeared);
    /// what is wrong with records stands in the batch.
    pub fn decode(&self, chunk: &Chunk) -> Result<Batch> {
        self.lines(chunk, self.keeps_text(), |text, number, batch, scratch| self.record(text, number, batch, scratch))
    }

    /// Decodes the envelopes of a chunk and no payloads, to sort its lines: what cannot be used is left out, without a
    /// report. The batch knows where its lines begin.
    pub fn envelopes(&self, chunk: &Chunk) -> Result<Batch> {
        let source = &self.project.sources[self.source];
        let mut batch = self.lines(chunk, true, |text, number, batch, scratch| {
            if json::scan(text, &self.paths, &mut scratch.found).is_ok() {
                let env = RecordEnv { text, found: &scratch.found };
                if source.filter.as_ref().is_none_or(|filter| filter.eval(&env).is_ok()) {
                    // it is decoded once more in its place, and refused there
                    let _ = self.envelope(&source.envelope, &env, number, batch);
                }
            }
            Ok(())
        })?;
        batch.bad.clear();
        Ok(batch)
    }

    /// Has the text of records kept from now on.
    pub fn keep_text(&mut self) {
        self.text_is_wanted = true;
    }

    /// Whether the text of records is needed behind decoding.
    pub fn keeps_text(&self) -> bool {
        let project = self.project;
        let ordered_elsewhere = || project.aggregates.iter().any(|a| a.has_order_by && a.sources.contains(&self.source));
        self.text_is_wanted || project.sources[self.source].keeps_text() || ordered_elsewhere()
    }

    fn lines(
        &self,
        chunk: &Chunk,
        keeps_text: bool,
        mut record: impl FnMut(&str, u32, &mut Batch, &mut Scratch) -> Result<()>,
    ) -> Result<Batch> {
        let mut batch = Batch::new(chunk.ordinal, chunk.segment, chunk.bytes.len() as u64);
        let mut scratch = Scratch::default();
        let whole = simdutf8::basic::from_utf8(&chunk.bytes).ok();
        let mut start = 0;
        while start < chunk.bytes.len() {
            if keeps_text {
                batch.line_starts.push(start as u32);
            }
            let end = memchr::memchr(b'\n', &chunk.bytes[start..]).map_or(chunk.bytes.len(), |at| start + at);
            let line = match whole {
                Some(text) => Ok(&text[start..end]),
                None => std::str::from_utf8(&chunk.bytes[start..end]),
            };
            let number = batch.lines as u32;
            batch.lines += 1;
            batch.records += 1;
            start = end + 1;
            let line = match line {
                Ok(line) => line,
                Err(e) => {
                    let reason = format!("the line is not UTF-8 at byte {}", e.valid_up_to() + 1);
                    batch.bad.push(Bad { line: number, kind: BadKind::NotJson, reason });
                    continue;
                }
            };
            let line = if chunk.starts_file && number == 0 { line.strip_prefix('\u{feff}').unwrap_or(line) } else { line };
            if line.bytes().all(|b| matches!(b, b' ' | b'\t' | b'\r')) {
                batch.empty += 1;
                continue;
            }
            record(line, number, &mut batch, &mut scratch)?;
        }
        Ok(batch)
    }

    fn record(&self, text: &str, number: u32, batch: &mut Batch, scratch: &mut Scratch) -> Result<()> {
        let source = &self.project.sources[self.source];
        if let Err(e) = json::scan(text, &self.paths, &mut scratch.found) {
            let reason = format!("{} at byte {}: {}", e.message, e.offset + 1, shortened(around(text, e.offset)));
            batch.bad.push(Bad { line: number, kind: BadKind::NotJson, reason });
            return Ok(());
        }
        let found = std::mem::take(&mut scratch.found);
        let env = RecordEnv { text, found: &found };
        let filtered = match source.filter.as_ref().map(|filter| filter.eval(&env)) {
            None => false,
            Some(Ok(value)) => value.as_bool() != Some(true),
            Some(Err(e)) => {
                self.broken_envelope(&source.envelope, &env, number, batch);
                batch.bad.push(Bad { line: number, kind: BadKind::Envelope, reason: format!("`where` fails: {}", e.0) });
                scratch.found = found;
                return Ok(());
            }
        };
        match self.envelope(&source.envelope, &env, number, batch) {
            Ok(()) => {
                let index = batch.events.len() - 1;
                let route = if filtered {
                    Route::Filtered
                } else {
                    match self.payload(Origin::Record { text, found: &found }, index, batch, scratch)? {
                        Ok(route) => route,
                        Err(refusal) => {
                            batch.bad.push(Bad { line: number, kind: refusal.kind, reason: refusal.reason });
                            Route::Bad
                        }
                    }
                };
                batch.events.route[index] = route;
            }
            Err(_) if filtered => {
                // no event that anybody could miss: it has no stream, and it is filtered
                batch.empty += 1;
            }
            Err(refusal) => {
                self.broken_envelope(&source.envelope, &env, number, batch);
                batch.bad.push(Bad { line: number, kind: refusal.kind, reason: refusal.reason });
            }
        }
        scratch.found = found;
        Ok(())
    }

    /// Reads the envelope and appends it to the batch's events, or appends nothing.
    fn envelope(&self, envelope: &Envelope, env: &RecordEnv, number: u32, batch: &mut Batch) -> std::result::Result<(), Refusal> {
        let stream = required_text(&envelope.stream, env, "stream")?;
        let event_type = required_text(&envelope.event_type, env, "type")?;
        let version = optional_int(envelope.version.as_ref(), env, "version")?;
        let position = optional_int(envelope.position.as_ref(), env, "position")?;
        if position.is_none() && self.project.sources[self.source].dedupe == Dedupe::Position {
            return refuse(BadKind::Envelope, "`position` is NULL, and `dedupe = \"position\"` tells duplicates by it");
        }
        let time = match envelope.time.as_ref().map(|e| value_of(e, env)).transpose() {
            Ok(Some(Value::Timestamp(t))) => Some(moment(t)?),
            Ok(_) => None,
            Err(e) => return refuse(BadKind::Envelope, format!("`time`: {e}")),
        };
        let key = match self.project.sources[self.source].order {
            Order::Log => Some(0),
            Order::Position => position,
            Order::Time => time,
            Order::Version => version,
        };
        if key.is_none() {
            let part = self.project.sources[self.source].order.name();
            return refuse(BadKind::Envelope, format!("`{part}` is NULL, and `order = {part:?}` sorts by it"));
        }
        let id = match &envelope.id {
            Some(expr) => text_of(expr, env).map_err(|e| Refusal { kind: BadKind::Envelope, reason: format!("`id`: {e}") })?,
            None => None,
        };
        if id.as_deref().is_none_or(str::is_empty) && self.project.sources[self.source].dedupe == Dedupe::Id {
            return refuse(BadKind::Envelope, "`id` is NULL or empty, and `dedupe = \"id\"` tells duplicates by it");
        }
        let events = &mut batch.events;
        events.line.push(number);
        events.route.push(Route::Filtered);
        events.stream_hash.push(xxh3_64(stream.as_bytes()));
        events.mark.push(xxh3_64(id.as_deref().unwrap_or(env.text).as_bytes()));
        events.stream.push(&stream);
        events.event_type.push(&event_type);
        events.version.push(version);
        events.position.push(position);
        events.time.push(time);
        events.id.push(id.as_deref().unwrap_or(""));
        Ok(())
    }

    /// Where bad records are set aside, one whose envelope cannot be read stops its stream all the same, if it names one:
    /// it becomes a bad event with whatever else of its envelope can be read.
    fn broken_envelope(&self, envelope: &Envelope, env: &RecordEnv, number: u32, batch: &mut Batch) {
        if !self.project.sources[self.source].quarantines() {
            return;
        }
        let Ok(stream) = required_text(&envelope.stream, env, "stream") else { return };
        let id = envelope.id.as_ref().and_then(|id| text_of(id, env).ok().flatten());
        let events = &mut batch.events;
        events.line.push(number);
        events.route.push(Route::Bad);
        events.stream_hash.push(xxh3_64(stream.as_bytes()));
        events.mark.push(xxh3_64(id.as_deref().unwrap_or(env.text).as_bytes()));
        events.stream.push(&stream);
        events.event_type.push(&required_text(&envelope.event_type, env, "type").unwrap_or_default());
        events.version.push(optional_int(envelope.version.as_ref(), env, "version").unwrap_or_default());
        events.position.push(optional_int(envelope.position.as_ref(), env, "position").unwrap_or_default());
        events.time.push(None);
        events.id.push(id.as_deref().unwrap_or(""));
    }

    /// Leads the last event to the block of its type, through the upcasters where one takes it: it may then become
    /// several events, or none.
    fn payload(
        &self,
        origin: Origin,
        event: usize,
        batch: &mut Batch,
        scratch: &mut Scratch,
    ) -> Result<std::result::Result<Route, Refusal>> {
        let event_type = batch.events.event_type.get(event);
        let way = match scratch.ways.get(event_type) {
            Some(way) => *way,
            None => {
                let event_type = event_type.to_string();
                let way = self.way(&event_type, batch, scratch)?;
                scratch.ways.insert(event_type, way);
                way
            }
        };
        match way {
            Way::Nobody => Ok(Ok(Route::Filtered)),
            Way::Block(block) => Ok(self.fill(&origin, block, batch, scratch)),
            Way::Upcast => self.upcast(&origin, event, batch, scratch),
        }
    }

    /// Types that upcasters take, but that end with nobody, need not go through them.
    fn way(&self, event_type: &str, batch: &mut Batch, scratch: &mut Scratch) -> Result<Way> {
        let Some(reach) = self.upcasters.reach(event_type) else {
            return Ok(self.block_of(event_type, batch, scratch)?.map_or(Way::Nobody, Way::Block));
        };
        for event_type in reach {
            if self.known(&event_type)?.is_some() {
                return Ok(Way::Upcast);
            }
        }
        Ok(Way::Nobody)
    }

    /// What the upcasters make of the last event: its first part takes its place, the others follow.
    fn upcast(
        &self,
        origin: &Origin,
        event: usize,
        batch: &mut Batch,
        scratch: &mut Scratch,
    ) -> Result<std::result::Result<Route, Refusal>> {
        let metadata = self.part(origin, Part::Metadata);
        let metadata = metadata.as_ref().map(|metadata| &**metadata).map_err(|reason| reason.as_str());
        let data = match self.part(origin, Part::Data) {
            Ok(data) => data,
            Err(reason) => return Ok(refuse(BadKind::Contract, reason)),
        };
        let event_type = batch.events.event_type.get(event).to_string();
        let old = Old { events: &batch.events, event, metadata };
        let parts = match self.upcasters.run(&old, &event_type, data, &mut scratch.fields) {
            Ok(parts) => parts,
            Err(reason) => return Ok(refuse(BadKind::Upcast, reason)),
        };
        let mut routes = Vec::with_capacity(parts.len());
        for part in &parts {
            let route = match self.block_of(&part.event_type, batch, scratch)? {
                None => Ok(Route::Filtered),
                Some(block) => self.fill(&Origin::Given { data: &part.data, metadata }, block, batch, scratch),
            };
            match route {
                Ok(route) => routes.push(route),
                Err(refusal) => return Ok(Err(refusal)),
            }
        }
        for (number, (part, route)) in parts.iter().zip(&routes).enumerate() {
            if number > 0 {
                batch.events.push_follower(&part.event_type, *route);
            } else if part.event_type != event_type {
                batch.events.event_type.replace_last(&part.event_type);
            }
        }
        Ok(Ok(routes.first().copied().unwrap_or(Route::Filtered)))
    }

    /// The block of a type's payloads in this batch, made at first sight; `None`: nobody takes the type.
    fn block_of(&self, event_type: &str, batch: &mut Batch, scratch: &mut Scratch) -> Result<Option<usize>> {
        if let Some(block) = scratch.blocks.get(event_type) {
            return Ok(*block);
        }
        let block = self.known(event_type)?.map(|known| {
            batch.blocks.push(Block {
                data: known.plan.fields.iter().map(|f| Column::new(f.ty.clone())).collect(),
                meta: known.plan.meta.iter().map(|_| Column::new(Type::Varchar)).collect(),
                plan: known.plan.clone(),
            });
            scratch.known.push(known);
            batch.blocks.len() - 1
        });
        scratch.blocks.insert(event_type.to_string(), block);
        Ok(block)
    }

    /// Finds the payload's fields and appends them to a block.
    fn fill(&self, origin: &Origin, block: usize, batch: &mut Batch, scratch: &mut Scratch) -> std::result::Result<Route, Refusal> {
        let known = &scratch.known[block];
        let columns = &mut batch.blocks[block];
        let row = columns.rows();
        if !known.data.is_empty() {
            let filled = self
                .part(origin, Part::Data)
                .and_then(|payload| fill_data(&known.plan, &known.data, &payload, &mut scratch.fields, &mut columns.data));
            if let Err(reason) = filled {
                columns.data.iter_mut().for_each(|column| truncate(column, row));
                return refuse(BadKind::Contract, reason);
            }
        }
        if !known.meta.is_empty() {
            let filled = self
                .part(origin, Part::Metadata)
                .and_then(|metadata| fill_text(&known.meta, &metadata, &mut scratch.fields, &mut columns.meta));
            if let Err(reason) = filled {
                columns.data.iter_mut().chain(&mut columns.meta).for_each(|column| truncate(column, row));
                return refuse(BadKind::Contract, reason);
            }
        }
        Ok(Route::Block { block: block as u32, row: row as u32 })
    }

    fn part<'a>(&self, origin: &Origin<'a>, part: Part) -> std::result::Result<Cow<'a, str>, String> {
        let envelope = &self.project.sources[self.source].envelope;
        match (origin, part) {
            (Origin::Record { text, found }, Part::Data) => self.object(text, found, Some(&envelope.data), self.data_at, "data"),
            (Origin::Record { text, found }, Part::Metadata) => {
                self.object(text, found, envelope.metadata.as_ref(), self.metadata_at, "metadata")
            }
            (Origin::Given { data, .. }, Part::Data) => Ok(Cow::Borrowed(data)),
            (Origin::Given { metadata, .. }, Part::Metadata) => metadata.map(Cow::Borrowed).map_err(str::to_string),
        }
    }

    /// The payload or the metadata as the text of a JSON object; nothing at all is an empty object.
    fn object<'a>(
        &self,
        text: &'a str,
        found: &[Span],
        payload: Option<&Payload>,
        at: Option<usize>,
        name: &str,
    ) -> std::result::Result<Cow<'a, str>, String> {
        let json: Cow<'a, str> = match payload {
            None => return Ok("{}".into()),
            Some(Payload::Record) => return Ok(text.into()),
            Some(Payload::Path(_)) => found[at.unwrap_or_default()].of(text).into(),
            Some(Payload::Expr(expr)) => match expr.eval(&RecordEnv { text, found }) {
                Ok(Value::Text(text)) => text.to_string().into(),
                Ok(_) => "".into(),
                Err(e) => return Err(format!("`{name}`: {}", e.0)),
            },
        };
        match json.as_bytes().first() {
            Some(b'{') if at.is_some() => Ok(json),
            None | Some(b'n') => Ok("{}".into()),
            // JSON inside a string, or computed text: not checked yet
            Some(b'"') if at.is_some() => {
                let inner = json::as_text(&json)?.unwrap_or_default().into_owned();
                if inner.trim().is_empty() {
                    return Ok("{}".into());
                }
                json::check(&inner)
                    .map_err(|e| format!("`{name}` is a string that holds no JSON: {} at byte {}", e.message, e.offset + 1))?;
                self.inner_object(inner, name)
            }
            Some(_) if at.is_none() => {
                json::check(&json).map_err(|e| format!("`{name}` is no JSON: {} at byte {}", e.message, e.offset + 1))?;
                self.inner_object(json.into_owned(), name)
            }
            Some(_) => Err(format!("`{name}` is {}, an object was expected", shortened(&json))),
        }
    }

    fn inner_object<'a>(&self, text: String, name: &str) -> std::result::Result<Cow<'a, str>, String> {
        match text.trim_start().as_bytes().first() {
            Some(b'{') => Ok(Cow::Owned(text)),
            Some(b'n') => Ok("{}".into()),
            _ => Err(format!("`{name}` holds {}, an object was expected", shortened(&text))),
        }
    }

    /// Events as a test gives them, without records: the envelope is given, payloads are decoded as always.
    /// What a test leaves out is made up: versions count up from 1 in each stream that names none, positions
    /// from 1, and each event is a second younger than the one before (the first is of 2000-01-01).
    /// `before`: how many events the test gave before these.
    pub fn given(&self, given: &[Given], before: usize, versions: &mut HashMap<String, i64>) -> Result<Batch> {
        const FIRST_TIME: i64 = 946_684_800_000_000;
        let mut batch = Batch::new(0, 0, 0);
        let mut scratch = Scratch::default();
        for (number, event) in given.iter().enumerate() {
            let events = &mut batch.events;
            let line = (before + number) as u32;
            events.line.push(line);
            events.route.push(Route::Filtered);
            events.stream_hash.push(xxh3_64(event.stream.as_bytes()));
            let content = || format!("{} {}", event.event_type, event.data);
            events.mark.push(event.id.as_ref().map_or_else(|| xxh3_64(content().as_bytes()), |id| xxh3_64(id.as_bytes())));
            events.stream.push(&event.stream);
            events.event_type.push(&event.event_type);
            let version = versions.entry(event.stream.clone()).or_default();
            *version = event.version.unwrap_or(version.saturating_add(1));
            events.version.push(Some(*version));
            events.position.push(Some(event.position.unwrap_or((before + number) as i64 + 1)));
            let time = event.time.as_deref().map(|time| cast_text(time, &Type::Timestamp));
            events.id.push(event.id.as_deref().unwrap_or(""));
            let (time, mut failed) = match time {
                None => (Some(FIRST_TIME + (before + number) as i64 * 1_000_000), None),
                Some(Ok(Value::Timestamp(t))) => (Some(t), moment(t).err()),
                Some(Ok(_)) => (None, None),
                Some(Err(e)) => (None, Some(Refusal { kind: BadKind::Envelope, reason: format!("`time`: {}", e.0) })),
            };
            events.time.push(time);
            let index = batch.events.len() - 1;
            if failed.is_none() {
                let origin = Origin::Given { data: &event.data, metadata: Ok(&event.metadata) };
                match self.payload(origin, index, &mut batch, &mut scratch)? {
                    Ok(route) => batch.events.route[index] = route,
                    Err(refusal) => failed = Some(refusal),
                }
            }
            if let Some(refusal) = failed {
                batch.events.route[index] = Route::Bad;
                batch.bad.push(Bad { line, kind: refusal.kind, reason: refusal.reason });
            }
        }
        Ok(batch)
    }

    fn known(&self, event_type: &str) -> Result<Option<Arc<KnownType>>> {
        if let Some(known) = self.types.read().expect("no thread panics while it holds this lock").get(event_type) {
            return Ok(known.clone());
        }
        let known = self.project.plan(self.source, event_type)?.map(|plan| {
            let data = Paths::new(plan.fields.iter().map(|f| &f.path));
            let meta = Paths::new(&plan.meta);
            Arc::new(KnownType { plan, data, meta })
        });
        let mut types = self.types.write().expect("no thread panics while it holds this lock");
        if types.len() >= KNOWN_TYPES_MAX || event_type.len() > KNOWN_NAME_BYTES_MAX {
            return Ok(known);
        }
        Ok(types.entry(event_type.to_string()).or_insert(known).clone())
    }
}

/// The text from `offset` on, or the whole one near its end, for a message.
fn around(text: &str, offset: usize) -> &str {
    let mut start = offset.min(text.len()).saturating_sub(20);
    while !text.is_char_boundary(start) {
        start -= 1;
    }
    &text[start..]
}

fn truncate(column: &mut Column, rows: usize) {
    if column.len() > rows {
        column.truncate(rows);
    }
}

fn fill_data(
    plan: &TypePlan,
    paths: &Paths,
    payload: &str,
    spans: &mut Vec<Span>,
    columns: &mut [Column],
) -> std::result::Result<(), String> {
    json::scan(payload, paths, spans).map_err(|e| e.message)?;
    for ((field, span), column) in plan.fields.iter().zip(spans.iter()).zip(columns) {
        let json = span.of(payload);
        match field.role {
            FieldRole::Plain => {}
            FieldRole::Presence { partial } => {
                column.push(Value::Bool(FieldRole::has_value(json, partial)));
                continue;
            }
            FieldRole::Column { partial } => {
                if !FieldRole::has_value(json, partial) {
                    column.push(Value::Null);
                    continue;
                }
            }
        }
        let place = |e: String| format!("`{}` of {}: {e}", field.path.join("."), plan.event_type);
        let mut value = convert(json, &field.ty).map_err(place)?;
        if value.is_null() && field.declared {
            if let Some(default) = &field.default {
                value = default.clone();
            } else if field.not_null {
                let what = if json.is_empty() { "is missing" } else { "is null" };
                return Err(format!("`{}` of {} {what}, its contract says {} NOT NULL", field.path.join("."), plan.event_type, field.ty));
            }
        }
        column.push(value);
    }
    Ok(())
}

fn fill_text(paths: &Paths, metadata: &str, spans: &mut Vec<Span>, columns: &mut [Column]) -> std::result::Result<(), String> {
    json::scan(metadata, paths, spans).map_err(|e| e.message)?;
    for (span, column) in spans.iter().zip(columns) {
        column.push(json::as_text(span.of(metadata))?.map_or(Value::Null, Value::text));
    }
    Ok(())
}

fn text_of<'a>(expr: &Expr, env: &RecordEnv<'a>) -> std::result::Result<Option<Cow<'a, str>>, String> {
    if let Some(slot) = expr.as_slot() {
        let span = env.found.get(slot.0 as usize).copied().unwrap_or_default();
        return json::as_text(span.of(env.text)).map_err(str::to_string);
    }
    match expr.eval(env) {
        Ok(Value::Text(text)) => Ok(Some(Cow::Owned(text.to_string()))),
        Ok(_) => Ok(None),
        Err(e) => Err(e.0),
    }
}

/// An envelope expression's value; without the interpreter where it is a field that is only cast.
fn value_of(expr: &Expr, env: &RecordEnv) -> std::result::Result<Value, String> {
    let Some(slot) = expr.as_cast_text() else { return expr.eval(env).map_err(|e| e.0) };
    let json = env.found.get(slot.0 as usize).copied().unwrap_or_default().of(env.text);
    if expr.ty == Type::BigInt && json.len() < 19 && !json.is_empty() && json.bytes().all(|b| b.is_ascii_digit()) {
        return Ok(Value::Int(json.bytes().fold(0, |n, digit| n * 10 + (digit - b'0') as i64) as i128));
    }
    if expr.ty == Type::BigInt {
        // by its text, as in contracts: 1.5 is no version
        return convert(json, &expr.ty);
    }
    match json::as_text(json)? {
        Some(text) => cast_text(&text, &expr.ty).map_err(|e| e.0),
        None => Ok(Value::Null),
    }
}

fn required_text<'a>(expr: &Expr, env: &RecordEnv<'a>, name: &str) -> std::result::Result<Cow<'a, str>, Refusal> {
    match text_of(expr, env) {
        Ok(Some(text)) if !text.is_empty() => Ok(text),
        Ok(_) => refuse(BadKind::Envelope, format!("no {name}: {}", shortened(env.text))),
        Err(e) => refuse(BadKind::Envelope, format!("`{name}`: {e}")),
    }
}

/// An event's time is a moment: an infinite one would be the greatest of the log for ever.
fn moment(time: i64) -> std::result::Result<i64, Refusal> {
    if sql::is_finite(time) { Ok(time) } else { refuse(BadKind::Envelope, "`time`: infinity is no moment") }
}

fn optional_int(expr: Option<&Expr>, env: &RecordEnv, name: &str) -> std::result::Result<Option<i64>, Refusal> {
    let Some(expr) = expr else { return Ok(None) };
    match value_of(expr, env) {
        Ok(Value::Int(i)) => Ok(i64::try_from(i).ok()),
        Ok(_) => Ok(None),
        Err(e) => refuse(BadKind::Envelope, format!("`{name}`: {e}")),
    }
}
