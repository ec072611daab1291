//! A chunk of lines -> a batch of events: the envelope of each record, the payload fields that somebody uses.

use std::borrow::Cow;
use std::sync::{Arc, Mutex, MutexGuard, RwLock};

use hashbrown::HashMap;
use xxhash_rust::xxh3::xxh3_64;

use super::batch::{Bad, BadKind, Batch, Block, Route};
use super::chunks::Chunk;
use super::container::BAD_LINE;
use super::contract::shortened;
use super::envelope::{self, RecordEnv, Refusal, moment, refuse};
use super::json::{self, Paths, Span};
use super::learned::{Kind, KnownType, Learned, Way};
use super::payload::{self, fill_data, fill_text};
use super::quirks;
use super::upcast::{Old, Upcasters};
use crate::error::Result;
use crate::project::values::Values;
use crate::project::{Given, Payload, Project};
use crate::sql::{Column, Type, Value, cast_text};

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
    /// Of threads that decode nothing at the moment.
    learned: Mutex<Vec<Learned>>,
}

/// Where an event's payload comes from.
enum Origin<'a> {
    /// A record, whose wanted parts were found; and its shape, where it has one.
    Record { text: &'a str, found: &'a [Span], shape: Option<usize> },
    /// A test's event, or what upcasters made of one: two JSON objects, the second one or why there is none.
    Given { data: &'a str, metadata: std::result::Result<&'a str, &'a str> },
}

/// An event whose payload somebody may want, the last of its batch.
struct Wanted {
    /// Of its record.
    shape: Option<usize>,
}

#[derive(Clone, Copy)]
enum Part {
    Data,
    Metadata,
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
            learned: Mutex::default(),
        }
    }

    /// Decodes a chunk. Errors are the project's (a wildcard rule that does not fit a type that just appeared);
    /// what is wrong with records stands in the batch.
    pub fn decode(&self, chunk: &Chunk) -> Result<Batch> {
        self.lines(chunk, self.keeps_text(), |text, shape, number, batch, learned| self.record(text, shape, number, batch, learned))
    }

    /// Decodes the envelopes of a chunk and no payloads, to sort its lines: what cannot be used is left out, without a
    /// report. The batch knows where its lines begin.
    pub fn envelopes(&self, chunk: &Chunk) -> Result<Batch> {
        let source = &self.project.sources[self.source];
        let mut batch = self.lines(chunk, true, |text, shape, number, batch, learned| {
            if learned.find(text, &self.paths, shape).is_ok() {
                let env = RecordEnv { text, found: &learned.found, plain: learned.plain };
                if source.filter.as_ref().is_none_or(|filter| filter.eval(&env).is_ok()) {
                    // it is decoded once more in its place, and refused there
                    let _ = envelope::read(source, &env, number, batch);
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
        mut record: impl FnMut(&str, Option<usize>, u32, &mut Batch, &mut Learned) -> Result<()>,
    ) -> Result<Batch> {
        let mut batch = Batch::new(chunk.ordinal, chunk.segment, chunk.bytes.len() as u64);
        let mut learned = self.learned().pop().unwrap_or_default();
        learned.begin();
        let mut buffers = quirks::Buffers::default();
        batch.events.reserve(learned.events_expected);
        let whole = simdutf8::basic::from_utf8(&chunk.bytes).ok();
        let quirks = &self.project.sources[self.source].quirks.of_records[..];
        let mut start = 0;
        while start < chunk.bytes.len() {
            if keeps_text {
                batch.line_starts.push(start as u32);
            }
            let number = batch.lines as u32;
            batch.lines += 1;
            batch.records += 1;
            if quirks.is_empty()
                && let Some(rest) = whole.map(|text| &text[start..])
                && let Some((shape, len)) = learned.read(rest)
            {
                record(&rest[..len], Some(shape), number, &mut batch, &mut learned)?;
                start += len + 1;
                continue;
            }
            let end = memchr::memchr(b'\n', &chunk.bytes[start..]).map_or(chunk.bytes.len(), |at| start + at);
            let line = match whole {
                Some(text) => Ok(&text[start..end]),
                None => std::str::from_utf8(&chunk.bytes[start..end]),
            };
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
            if let Some(told) = line.strip_prefix(BAD_LINE) {
                // the container could not read it, and says why
                let reason = told.split(BAD_LINE).next().unwrap_or_default().to_string();
                batch.bad.push(Bad { line: number, kind: BadKind::Record, reason });
                continue;
            }
            if quirks.is_empty() {
                record(line, None, number, &mut batch, &mut learned)?;
                continue;
            }
            match quirks::apply(quirks, line, &mut buffers) {
                Ok(Some(made)) => {
                    let shape = learned.read(made).map(|(shape, _)| shape);
                    record(made, shape, number, &mut batch, &mut learned)?;
                }
                Ok(None) => batch.empty += 1,
                Err(reason) => batch.bad.push(Bad { line: number, kind: BadKind::Envelope, reason }),
            }
        }
        learned.events_expected = batch.events.len() + batch.events.len() / 16;
        self.learned().push(learned);
        Ok(batch)
    }

    fn learned(&self) -> MutexGuard<'_, Vec<Learned>> {
        self.learned.lock().unwrap_or_else(|e| e.into_inner())
    }

    /// Decodes the envelopes of a chunk and no payloads, to look at them: every event is filtered, and what is wrong with records
    /// stands in the batch. The batch knows where its lines begin.
    pub fn audit(&self, chunk: &Chunk) -> Result<Batch> {
        self.lines(chunk, true, |text, shape, number, batch, learned| {
            self.event(text, shape, number, batch, learned);
            Ok(())
        })
    }

    fn record(&self, text: &str, shape: Option<usize>, number: u32, batch: &mut Batch, learned: &mut Learned) -> Result<()> {
        let Some(Wanted { shape }) = self.event(text, shape, number, batch, learned) else { return Ok(()) };
        let found = std::mem::take(&mut learned.found);
        let index = batch.events.len() - 1;
        batch.events.route[index] = match self.payload(Origin::Record { text, found: &found, shape }, index, batch, learned)? {
            Ok(route) => route,
            Err(refusal) => {
                batch.bad.push(Bad { line: number, kind: refusal.kind, reason: refusal.reason });
                Route::Bad
            }
        };
        learned.found = found;
        Ok(())
    }

    /// Appends the event of a record, with what was found of it at hand; `None`: its payload does not matter.
    fn event(&self, text: &str, shape: Option<usize>, number: u32, batch: &mut Batch, learned: &mut Learned) -> Option<Wanted> {
        let source = &self.project.sources[self.source];
        let bad = |batch: &mut Batch, kind, reason| batch.bad.push(Bad { line: number, kind, reason });
        let shape = match learned.find(text, &self.paths, shape) {
            Ok(shape) => shape,
            Err(e) => {
                let reason = format!("{} at byte {}: {}", e.message, e.offset + 1, shortened(around(text, e.offset)));
                bad(batch, BadKind::NotJson, reason);
                return None;
            }
        };
        let env = RecordEnv { text, found: &learned.found, plain: learned.plain };
        let filtered = match source.filter.as_ref().map(|filter| filter.eval(&env)) {
            None => false,
            Some(Ok(value)) => value.as_bool() != Some(true),
            Some(Err(e)) => {
                envelope::read_broken(source, &env, number, batch);
                bad(batch, BadKind::Envelope, format!("`where` fails: {}", e.0));
                return None;
            }
        };
        match envelope::read(source, &env, number, batch) {
            Ok(()) => (!filtered).then_some(Wanted { shape }),
            Err(_) if filtered => {
                // no event that anybody could miss: it has no stream, and it is filtered
                batch.empty += 1;
                None
            }
            Err(refusal) => {
                envelope::read_broken(source, &env, number, batch);
                bad(batch, refusal.kind, refusal.reason);
                None
            }
        }
    }

    /// Leads the last event to the block of its type, through the upcasters where one takes it: it may then become
    /// several events, or none.
    fn payload(
        &self,
        origin: Origin,
        event: usize,
        batch: &mut Batch,
        learned: &mut Learned,
    ) -> Result<std::result::Result<Route, Refusal>> {
        let event_type = batch.events.event_type.get(event);
        let shape = if let Origin::Record { shape, .. } = origin { shape } else { None };
        let way = match learned.way_of(shape, event_type) {
            Some(way) => way,
            None => {
                let event_type = event_type.to_string();
                let way = self.way(&event_type, learned)?;
                learned.name_bytes += event_type.len();
                learned.ways.insert(event_type, way);
                way
            }
        };
        match way {
            Way::Nobody => Ok(Ok(Route::Filtered)),
            Way::Kind(kind) => Ok(self.fill(&origin, kind, batch, learned)),
            Way::Upcast => self.upcast(&origin, event, batch, learned),
        }
    }

    /// Types that upcasters take, but that end with nobody, need not go through them.
    fn way(&self, event_type: &str, learned: &mut Learned) -> Result<Way> {
        let Some(reach) = self.upcasters.reach(event_type) else {
            return Ok(self.kind_of(event_type, learned)?.map_or(Way::Nobody, Way::Kind));
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
        learned: &mut Learned,
    ) -> Result<std::result::Result<Route, Refusal>> {
        let metadata = self.part(origin, Part::Metadata);
        let metadata = metadata.as_ref().map(|metadata| &**metadata).map_err(|reason| reason.as_str());
        let data = match self.part(origin, Part::Data) {
            Ok(data) => data,
            Err(reason) => return Ok(refuse(BadKind::Contract, reason)),
        };
        let event_type = batch.events.event_type.get(event).to_string();
        let old = Old { events: &batch.events, event, metadata };
        let parts = match self.upcasters.run(&old, &event_type, data, &mut learned.fields) {
            Ok(parts) => parts,
            Err(reason) => return Ok(refuse(BadKind::Upcast, reason)),
        };
        let mut routes = Vec::with_capacity(parts.len());
        for part in &parts {
            let route = match self.kind_of(&part.event_type, learned)? {
                None => Ok(Route::Filtered),
                Some(kind) => self.fill(&Origin::Given { data: &part.data, metadata }, kind, batch, learned),
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

    /// The kind of a type, learned at first sight; `None`: nobody takes the type.
    fn kind_of(&self, event_type: &str, learned: &mut Learned) -> Result<Option<usize>> {
        if let Some(kind) = learned.kind_of.get(event_type) {
            return Ok(*kind);
        }
        let kind = self.known(event_type)?.map(|known| {
            learned.kinds.push(Kind { known, block: None });
            learned.kinds.len() - 1
        });
        learned.name_bytes += event_type.len();
        learned.kind_of.insert(event_type.to_string(), kind);
        Ok(kind)
    }

    /// Finds the payload's fields and appends them to the block of the kind, which is made where the batch has none.
    fn fill(&self, origin: &Origin, kind: usize, batch: &mut Batch, learned: &mut Learned) -> std::result::Result<Route, Refusal> {
        let shaped = self.fields_by_shape(origin, kind, learned);
        let Kind { known, block } = &mut learned.kinds[kind];
        let block = *block.get_or_insert_with(|| {
            batch.blocks.push(Block {
                data: known.plan.fields.iter().map(|f| Column::new(f.ty.clone())).collect(),
                meta: known.plan.meta.iter().map(|_| Column::new(Type::Varchar)).collect(),
                plan: known.plan.clone(),
            });
            batch.blocks.len() - 1
        });
        let columns = &mut batch.blocks[block];
        let row = columns.rows();
        let filled = match (shaped, origin) {
            (true, Origin::Record { text, .. }) => {
                let (data, meta) = learned.fields.split_at(known.data.len());
                fill_data(&known.plan, text, data, self.values(), &mut columns.data).and_then(|()| fill_text(text, meta, &mut columns.meta))
            }
            _ => self.fields(origin, known, columns, &mut learned.fields),
        };
        if let Err(reason) = filled {
            columns.data.iter_mut().chain(&mut columns.meta).for_each(|column| column.truncate(row));
            return refuse(BadKind::Contract, reason);
        }
        Ok(Route::Block { block: block as u32, row: row as u32 })
    }

    fn values(&self) -> &Values {
        &self.project.sources[self.source].values
    }

    /// Finds the fields of a record by its shape, into [`Learned::fields`]; false: that is not possible.
    fn fields_by_shape(&self, origin: &Origin, kind: usize, learned: &mut Learned) -> bool {
        let Origin::Record { text, found, shape: Some(shape) } = origin else { return false };
        let envelope = &self.project.sources[self.source].envelope;
        let whole = |payload: Option<&Payload>, at: Option<usize>| match payload {
            Some(Payload::Record) => Some(Span { start: 0, end: text.len() }),
            _ => at.map(|at| found[at]),
        };
        let (data, metadata) = (whole(Some(&envelope.data), self.data_at), whole(envelope.metadata.as_ref(), self.metadata_at));
        learned.fields_of(text, *shape, kind, data, metadata)
    }

    /// Appends a row to a block, or a part of one where something is wrong with it.
    fn fields(&self, origin: &Origin, known: &KnownType, columns: &mut Block, spans: &mut Vec<Span>) -> std::result::Result<(), String> {
        if !known.data.is_empty() {
            let payload = self.part(origin, Part::Data)?;
            json::scan(&payload, &known.data, spans).map_err(|e| e.message)?;
            fill_data(&known.plan, &payload, spans, self.values(), &mut columns.data)?;
        }
        if !known.meta.is_empty() {
            let metadata = self.part(origin, Part::Metadata)?;
            json::scan(&metadata, &known.meta, spans).map_err(|e| e.message)?;
            fill_text(&metadata, spans, &mut columns.meta)?;
        }
        Ok(())
    }

    fn part<'a>(&self, origin: &Origin<'a>, part: Part) -> std::result::Result<Cow<'a, str>, String> {
        let envelope = &self.project.sources[self.source].envelope;
        match (origin, part) {
            (Origin::Record { text, found, .. }, Part::Data) => payload::object(text, found, Some(&envelope.data), self.data_at, "data"),
            (Origin::Record { text, found, .. }, Part::Metadata) => {
                payload::object(text, found, envelope.metadata.as_ref(), self.metadata_at, "metadata")
            }
            (Origin::Given { data, .. }, Part::Data) => Ok(Cow::Borrowed(data)),
            (Origin::Given { metadata, .. }, Part::Metadata) => metadata.map(Cow::Borrowed).map_err(str::to_string),
        }
    }

    /// Events as a test gives them, without records: the envelope is given, payloads are decoded as always.
    /// What a test leaves out is made up: versions count up from 1 in each stream that names none, positions
    /// from 1, and each event is a second younger than the one before (the first is of 2000-01-01).
    /// `before`: how many events the test gave before these.
    pub fn given(&self, given: &[Given], before: usize, versions: &mut HashMap<String, i64>) -> Result<Batch> {
        const FIRST_TIME: i64 = 946_684_800_000_000;
        let mut batch = Batch::new(0, 0, 0);
        let mut learned = Learned::default();
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
                match self.payload(origin, index, &mut batch, &mut learned)? {
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
