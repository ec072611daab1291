//! Why a run refuses to publish on bad data, and what helps.

use super::tally::Tally;
use crate::error::{Error, Kind, Result};
use crate::source::BadKind;

/// Bad data stops the run by default: nothing is published.
pub fn refuse_bad(bad: &Tally) -> Result<()> {
    let refused = bad.bad.total - bad.skippable;
    if refused == 0 {
        return Ok(());
    }
    let what =
        if refused == 1 { "1 record or event cannot be used".to_string() } else { format!("{refused} records or events cannot be used") };
    let mut error = Error::new(Kind::BadData, format!("{what}; nothing was published"));
    if bad.bad.by_kind.contains_key(BadKind::Gap.label()) {
        error = error.with_help("a gap: export the log again from before the missing version; `on_gap = \"wait\"` in its [source] publishes all but the streams with a hole, `on_gap = \"skip\"` goes on without what is missing; `dedupe = \"none\"` is for a log whose versions mean nothing");
    }
    if bad.bad.by_kind.keys().any(|kind| kind == BadKind::Contract.label()) {
        error = error.with_help("a contract: mend the log, or the type, NOT NULL or DEFAULT of the field in its [event.<Type>]");
    }
    if bad.bad.by_kind.contains_key(BadKind::Upcast.label()) {
        error = error.with_help(
            "an upcaster: mend its expression (TRY_CAST gives NULL where a cast fails), or say with `when` which events it is for",
        );
    }
    if bad.bad.by_kind.contains_key(BadKind::Key.label()) {
        error = error.with_help(
            "a key: mend the log, or say with the rule's `when` which events it is for; a replica finds its KEY columns in the payload or in `before` of the metadata",
        );
    }
    if [BadKind::NotJson, BadKind::Envelope].iter().any(|kind| bad.bad.by_kind.contains_key(kind.label())) {
        error = error.with_help("`on_bad_record = \"skip\"` in its [source] passes over records that cannot be read; a version that is lost with one is a gap then");
    }
    if refused > bad.gaps {
        error = error
            .with_help("`on_bad_record = \"quarantine\"` in its [source] sets them aside with what follows them, and publishes the rest");
    }
    Err(error)
}
