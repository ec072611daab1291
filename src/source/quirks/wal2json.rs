//! wal2json's changes, format version 2: lists of columns become the row after the change and the row, or its key, before it.
//!
//! | in the record | becomes |
//! |---|---|
//! | `action` I, U, D, T, M | `op`: insert, update, delete, truncate, message |
//! | `columns`, `identity` | `after`, `before`: an object of the values by name, each as its text stands |
//! | a value of type bytea, which has no prefix there | `"\x…"`, as PostgreSQL writes it |
//! | a message's `content` | `after`: the object that it holds, else `{"content": …}` |
//!
//! Everything else (`xid`, `lsn`, `timestamp`, `schema`, `table`) stays. The actions B and C are no events.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::object::{Object, quote};
use super::{Made, is_null};

#[derive(Deserialize)]
struct Column<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
    #[serde(borrow, default, rename = "type")]
    kind: Option<Cow<'a, str>>,
    #[serde(borrow)]
    value: &'a RawValue,
}

/// See the module's documentation.
pub(super) fn wal2json(record: &str, out: &mut String) -> Result<Made, String> {
    let mut change = Object::read(record)?;
    let op = match change.get("action").ok_or("the record has no `action`: it is none of wal2json's format version 2")? {
        "\"B\"" | "\"C\"" => return Ok(Made::Nothing),
        "\"I\"" => "\"insert\"",
        "\"U\"" => "\"update\"",
        "\"D\"" => "\"delete\"",
        "\"T\"" => "\"truncate\"",
        "\"M\"" => "\"message\"",
        other => return Err(format!("`action` is {}, not one of B, I, U, D, T, M, C", super::short(other))),
    };
    change.take("action");
    let (columns, identity) = (change.take("columns"), change.take("identity"));
    let mut after = columns.map(|columns| row(&columns)).transpose().map_err(|e| format!("`columns`: {e}"))?;
    let before = identity.map(|identity| row(&identity)).transpose().map_err(|e| format!("`identity`: {e}"))?;
    if op == "\"message\"" {
        after = change.take("content").map(|content| message(&content)).transpose()?;
    }
    change.set("op", op);
    for (name, image) in [("after", after), ("before", before)] {
        if let Some(image) = image {
            change.set(name, image);
        }
    }
    change.write(out);
    Ok(Made::Other)
}

/// A message's content, a JSON string, as a payload: the object that it holds, else the text as `content`.
pub(super) fn message(content: &str) -> Result<String, String> {
    let text: Cow<str> = serde_json::from_str(content).map_err(|e| format!("`content`: {e}"))?;
    if let Ok(object) = Object::read(&text) {
        let mut line = String::with_capacity(text.len());
        object.write(&mut line);
        // between tokens, where JSON has line breaks only as white space
        return Ok(if line.contains(['\n', '\r']) { line.replace(['\n', '\r'], " ") } else { line });
    }
    Ok(format!("{{\"content\":{content}}}"))
}

fn row(columns: &str) -> Result<String, String> {
    let columns: Vec<Column> = serde_json::from_str(columns).map_err(|e| e.to_string())?;
    let mut row = String::from("{");
    for (index, column) in columns.iter().enumerate() {
        if index > 0 {
            row.push(',');
        }
        quote(&column.name, &mut row);
        row.push(':');
        value(column.value.get(), column.kind.as_deref(), &mut row);
    }
    row.push('}');
    Ok(row)
}

/// Appends a value as its type has it everywhere.
pub(super) fn value(json: &str, kind: Option<&str>, out: &mut String) {
    match json.strip_prefix('"') {
        Some(hex) if kind == Some("bytea") && !is_null(json) => {
            out.push_str("\"\\\\x");
            out.push_str(hex);
        }
        _ => out.push_str(json),
    }
}

#[cfg(test)]
mod tests {
    use super::super::made;
    use crate::project::quirks::{Quirk, RecordQuirk};

    fn change(record: &str) -> Result<Option<String>, String> {
        made(&[Quirk::Record(RecordQuirk::Wal2json)], record)
    }

    #[test]
    fn lists_of_columns_become_rows_whose_values_keep_their_text() {
        let update = r#"{"action":"U","xid":7,"lsn":"0/1","schema":"public","table":"t","columns":[{"name":"id","type":"bigint","value":2},{"name":"a \"b\"","type":"numeric","value":1.50e3},{"name":"raw","type":"bytea","value":"de00"},{"name":"none","type":"bytea","value":null},{"name":"s","value":"x\ny"}],"identity":[{"name":"id","type":"bigint","value":1}]}"#;
        let expected = r#"{"xid":7,"lsn":"0/1","schema":"public","table":"t","op":"update","after":{"id":2,"a \"b\"":1.50e3,"raw":"\\xde00","none":null,"s":"x\ny"},"before":{"id":1}}"#;
        assert_eq!(change(update).unwrap().unwrap(), expected);
        let delete = r#"{"action":"D","schema":"s","table":"t","identity":[{"name":"id","type":"int","value":1}]}"#;
        assert_eq!(change(delete).unwrap().unwrap(), r#"{"schema":"s","table":"t","op":"delete","before":{"id":1}}"#);
    }

    #[test]
    fn the_ends_of_transactions_are_no_events_and_messages_carry_a_payload() {
        assert_eq!(change(r#"{"action":"B","xid":7}"#).unwrap(), None);
        assert_eq!(change(r#"{"action":"C"}"#).unwrap(), None);
        let object = r#"{"action":"M","prefix":"outbox","content":"{\"a\":\n1}"}"#;
        assert_eq!(change(object).unwrap().unwrap(), r#"{"prefix":"outbox","op":"message","after":{"a":1}}"#);
        let text = r#"{"action":"M","prefix":"p","content":"hello"}"#;
        assert_eq!(change(text).unwrap().unwrap(), r#"{"prefix":"p","op":"message","after":{"content":"hello"}}"#);
    }

    #[test]
    fn what_is_no_change_is_refused() {
        for bad in
            [r#"{"change":[]}"#, r#"{"action":"X"}"#, r#"{"action":"I","columns":5}"#, r#"{"action":"I","columns":[{"name":1}]}"#, "[]"]
        {
            assert!(change(bad).is_err(), "{bad}");
        }
    }
}
