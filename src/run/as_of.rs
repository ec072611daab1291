//! `--as-of`: what is later than a time or a position takes no part.
//!
//! The cut is made where a record has just become an event, by calling the later ones filtered: so they are
//! sequenced like any other (versions, duplicates and holes are judged on the whole log), and no fold and no event
//! table sees them.

use std::fmt;
use std::str::FromStr;

use crate::error::{Error, Kind, Result};
use crate::project::{OnBadRecord, Source};
use crate::source::{Bad, BadKind, Batch, Events, Route};
use crate::sql::{self, Type, Value};
use crate::state::manifest::Manifest;

/// The last moment that takes part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AsOf {
    /// Microseconds since the epoch, UTC.
    Time(i64),
    Position(i64),
}

impl FromStr for AsOf {
    type Err = String;

    /// A plain integer is a position, everything else what a cast to TIMESTAMP takes: text with an offset becomes
    /// UTC, a date alone is its midnight.
    fn from_str(text: &str) -> Result<AsOf, String> {
        let text = text.trim();
        if let Ok(position) = text.parse() {
            return Ok(AsOf::Position(position));
        }
        match sql::cast_text(text, &Type::Timestamp) {
            Ok(Value::Timestamp(time)) => Ok(AsOf::Time(time)),
            _ => Err("a time such as 2024-03-01T12:00:00Z or a position, which is a plain number, was expected".into()),
        }
    }
}

impl fmt::Display for AsOf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AsOf::Time(time) => f.write_str(&sql::to_text(&Value::Timestamp(*time), &Type::Timestamp).unwrap_or_default()),
            AsOf::Position(position) => write!(f, "position {position}"),
        }
    }
}

impl AsOf {
    /// Whether an event takes part; `None`: it has nothing to tell that by.
    fn includes(self, events: &Events, event: usize) -> Option<bool> {
        match self {
            AsOf::Time(last) => events.time[event].map(|time| time <= last),
            AsOf::Position(last) => events.position[event].map(|position| position <= last),
        }
    }

    /// Takes the later events of a batch out of it. An event that cannot be placed is bad, unless nobody takes it
    /// anyway; a bad one that is later is none, where a bad record would stop the run.
    pub fn cut(self, batch: &mut Batch, source: &Source) {
        let mut forgiven: Vec<u32> = Vec::new();
        let mut event = 0;
        while event < batch.events.len() {
            let parts = event..event + batch.events.parts(event);
            let routes = &batch.events.route[parts.clone()];
            let is_bad = routes.contains(&Route::Bad);
            let becomes = match self.includes(&batch.events, event) {
                Some(true) => None,
                Some(false) if is_bad && source.on_bad_record != OnBadRecord::Fail => None,
                Some(false) => Some(Route::Filtered),
                None => routes.iter().any(|route| matches!(route, Route::Block { .. })).then_some(Route::Bad),
            };
            if let Some(route) = becomes {
                batch.events.route[parts.clone()].fill(route);
                let line = batch.events.line[event];
                match route {
                    Route::Bad => batch.bad.push(Bad { line, kind: BadKind::Envelope, reason: self.cannot_place().into() }),
                    _ if is_bad => forgiven.push(line),
                    _ => {}
                }
            }
            event = parts.end;
        }
        if !forgiven.is_empty() {
            batch.bad.retain(|bad| forgiven.binary_search(&bad.line).is_err());
        }
    }

    fn cannot_place(self) -> &'static str {
        match self {
            AsOf::Time(_) => "the event has no time, so `--as-of` cannot tell whether it is later",
            AsOf::Position(_) => "the event has no position, so `--as-of` cannot tell whether it is later",
        }
    }

    /// The greatest time of the events that a position lets take part; up to a time it does not matter, and is that of all.
    pub fn latest(self, events: &Events) -> Option<i64> {
        let counts = |event: &usize| matches!(self, AsOf::Time(_)) || self.includes(events, *event) == Some(true);
        (0..events.len()).filter(counts).filter_map(|event| events.time[event]).max()
    }

    /// What `as_of()` gives in read models: the time that was asked for, else the greatest one that takes part.
    pub fn moment(self, latest: Option<i64>) -> Option<i64> {
        match self {
            AsOf::Time(time) => Some(time),
            AsOf::Position(_) => latest,
        }
    }

    /// Refuses a source of which no event at all can be placed: that is a matter of the question, not of the log.
    pub fn check_sources(self, replayed: &Manifest) -> Result<()> {
        let source_without = replayed.sources.iter().find(|source| {
            let has_events = source.files.iter().any(|file| file.records > 0);
            let has_positions = source.files.iter().any(|file| file.first_position.is_some());
            has_events
                && match self {
                    AsOf::Time(_) => source.last_event_time.is_none(),
                    AsOf::Position(_) => !has_positions,
                }
        });
        let Some(source) = source_without else { return Ok(()) };
        let (what, other) = match self {
            AsOf::Time(_) => ("time", "position"),
            AsOf::Position(_) => ("position", "time"),
        };
        Err(Error::new(Kind::Usage, format!("the events of source `{}` have no {what}", source.name))
            .with_help(format!("give `--as-of` a {other}, or name the field with `{what} = …` in [source.{}.envelope]", source.name)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plain_integer_is_a_position_and_everything_else_a_time() {
        assert_eq!("17".parse(), Ok(AsOf::Position(17)));
        assert_eq!("-1".parse(), Ok(AsOf::Position(-1)));
        assert_eq!("1970-01-02".parse(), Ok(AsOf::Time(86_400_000_000)));
        assert_eq!("1970-01-01T02:00:00+02:00".parse(), Ok(AsOf::Time(0)));
        assert_eq!("1970-01-01 00:00:00.5".parse::<AsOf>().unwrap().to_string(), "1970-01-01 00:00:00.5");
        assert!("yesterday".parse::<AsOf>().is_err());
        assert!("".parse::<AsOf>().is_err());
    }
}
