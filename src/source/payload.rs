//! Payloads and metadata: the JSON object of an event, and its fields as values of their contract.

use std::borrow::Cow;

use super::contract::{push_plain, shortened};
use super::envelope::RecordEnv;
use super::json::{self, Span};
use super::written::convert_written;
use crate::project::values::Values;
use crate::project::{FieldRole, Payload, TypePlan};
use crate::sql::{Column, Value};

/// The payload or the metadata as the text of a JSON object; nothing at all is an empty object.
pub(super) fn object<'a>(
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
        Some(Payload::Expr(expr)) => match expr.eval(&RecordEnv { text, found, plain: false }) {
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
            json::check(&inner).map_err(|e| format!("`{name}` is a string that holds no JSON: {} at byte {}", e.message, e.offset + 1))?;
            inner_object(inner, name)
        }
        Some(_) if at.is_none() => {
            json::check(&json).map_err(|e| format!("`{name}` is no JSON: {} at byte {}", e.message, e.offset + 1))?;
            inner_object(json.into_owned(), name)
        }
        Some(_) => Err(format!("`{name}` is {}, an object was expected", shortened(&json))),
    }
}

fn inner_object<'a>(text: String, name: &str) -> std::result::Result<Cow<'a, str>, String> {
    match text.trim_start().as_bytes().first() {
        Some(b'{') => Ok(Cow::Owned(text)),
        Some(b'n') => Ok("{}".into()),
        _ => Err(format!("`{name}` holds {}, an object was expected", shortened(&text))),
    }
}

/// Appends the fields of a payload to the columns of its type. `spans`: where they lie in `text`, by field. The error says
/// what breaks the contract; some columns may then be longer than others.
pub(super) fn fill_data(
    plan: &TypePlan,
    text: &str,
    spans: &[Span],
    values: &Values,
    columns: &mut [Column],
) -> std::result::Result<(), String> {
    for ((field, span), column) in plan.fields.iter().zip(spans).zip(columns) {
        let json = span.of(text);
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
        if push_plain(column, json, &field.ty) {
            continue;
        }
        let place = |e: String| format!("`{}` of {}: {e}", field.path.join("."), plan.event_type);
        let mut value = convert_written(json, &field.ty, values).map_err(place)?;
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

/// Appends the fields of metadata, as text. `spans`: where they lie in `text`.
pub(super) fn fill_text(text: &str, spans: &[Span], columns: &mut [Column]) -> std::result::Result<(), String> {
    for (span, column) in spans.iter().zip(columns) {
        column.push(json::as_text(span.of(text))?.map_or(Value::Null, Value::text));
    }
    Ok(())
}
