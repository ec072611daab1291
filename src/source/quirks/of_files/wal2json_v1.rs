//! wal2json's format version 1, a transaction a record: each of its changes becomes a line as of version 2.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::super::object::{Object, quote};
use super::super::wal2json::{message, value};
use super::super::{is_null, short};
use super::Rewrite;

/// `{"xid": …, "nextlsn": …, "change": [{"kind": "insert", "columnnames": […], …}]}`: for each change the transaction's members
/// without `change`, the change's `schema`, `table`, `prefix`, `transactional`, and `op`, `after`, `before` as the quirk
/// `wal2json` has them. A transaction without changes gives nothing.
#[derive(Default)]
pub struct Wal2jsonV1;

#[derive(Deserialize)]
struct OldKeys<'a> {
    #[serde(borrow, default, rename = "keynames")]
    names: Vec<Cow<'a, str>>,
    #[serde(borrow, default, rename = "keytypes")]
    types: Vec<Cow<'a, str>>,
    #[serde(borrow, default, rename = "keyvalues")]
    values: Vec<&'a RawValue>,
}

#[derive(Deserialize)]
struct Change<'a> {
    #[serde(borrow)]
    kind: Cow<'a, str>,
    #[serde(borrow, default)]
    schema: Option<&'a RawValue>,
    #[serde(borrow, default)]
    table: Option<&'a RawValue>,
    #[serde(borrow, default)]
    prefix: Option<&'a RawValue>,
    #[serde(borrow, default)]
    transactional: Option<&'a RawValue>,
    #[serde(borrow, default)]
    content: Option<&'a RawValue>,
    #[serde(borrow, default)]
    columnnames: Vec<Cow<'a, str>>,
    #[serde(borrow, default)]
    columntypes: Vec<Cow<'a, str>>,
    #[serde(borrow, default)]
    columnvalues: Vec<&'a RawValue>,
    #[serde(borrow, default)]
    oldkeys: Option<OldKeys<'a>>,
}

impl Rewrite for Wal2jsonV1 {
    fn record(&mut self, record: &str, out: &mut String) -> Result<(), String> {
        let mut transaction = Object::read(record)?;
        let changes = transaction.take("change").ok_or("the record has no `change`: it is none of wal2json's format version 1")?;
        if is_null(&changes) {
            return Ok(());
        }
        let changes: Vec<&RawValue> = serde_json::from_str(&changes).map_err(|e| format!("`change`: {e}"))?;
        for (index, change) in changes.iter().enumerate() {
            let before = out.len();
            line(&transaction, change.get(), out).map_err(|e| {
                out.truncate(before);
                format!("change {} of the transaction: {e}", index + 1)
            })?;
        }
        Ok(())
    }

    fn end(&mut self, _: &mut String) -> Result<(), String> {
        Ok(())
    }
}

fn line(transaction: &Object, change: &str, out: &mut String) -> Result<(), String> {
    let change: Change = serde_json::from_str(change).map_err(|e| e.to_string())?;
    let op = match &*change.kind {
        kind @ ("insert" | "update" | "delete" | "truncate" | "message") => kind,
        other => return Err(format!("`kind` is {}, not insert, update, delete, truncate or message", short(other))),
    };
    out.push('{');
    for (name, json) in transaction.iter() {
        quote(name, out);
        out.push(':');
        out.push_str(json);
        out.push(',');
    }
    let own = [("schema", change.schema), ("table", change.table), ("prefix", change.prefix), ("transactional", change.transactional)];
    for (name, json) in own.iter().filter_map(|(name, json)| Some((name, (*json)?))) {
        out.push_str(&format!("\"{name}\":{},", json.get()));
    }
    out.push_str(&format!("\"op\":\"{op}\""));
    if let Some(content) = change.content {
        out.push_str(",\"after\":");
        out.push_str(&message(content.get())?);
    } else if matches!(op, "insert" | "update") {
        out.push_str(",\"after\":");
        row(&change.columnnames, &change.columntypes, &change.columnvalues, out)?;
    }
    if let Some(old) = &change.oldkeys {
        out.push_str(",\"before\":");
        row(&old.names, &old.types, &old.values, out).map_err(|e| format!("`oldkeys`: {e}"))?;
    }
    out.push_str("}\n");
    Ok(())
}

fn row(names: &[Cow<str>], types: &[Cow<str>], values: &[&RawValue], out: &mut String) -> Result<(), String> {
    // the types can be left out of an export
    if names.len() != values.len() || (!types.is_empty() && types.len() != names.len()) {
        return Err(format!("{} names, {} types and {} values of columns", names.len(), types.len(), values.len()));
    }
    out.push('{');
    for (index, (name, json)) in names.iter().zip(values).enumerate() {
        if index > 0 {
            out.push(',');
        }
        quote(name, out);
        out.push(':');
        value(json.get(), types.get(index).map(|kind| &**kind), out);
    }
    out.push('}');
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::rewritten;
    use super::*;

    fn lines(record: &str) -> Result<String, String> {
        rewritten(&mut Wal2jsonV1, &[record])
    }

    #[test]
    fn each_change_of_a_transaction_is_a_line_with_what_is_known_of_the_transaction() {
        let record = r#"{"xid":5,"nextlsn":"0/1","change":[
            {"kind":"insert","schema":"public","table":"t","columnnames":["id","raw"],"columntypes":["bigint","bytea"],"columnvalues":[1.50,"00ff"]},
            {"kind":"update","schema":"public","table":"t","columnnames":["id"],"columntypes":["bigint"],"columnvalues":[2],"oldkeys":{"keynames":["id"],"keytypes":["bigint"],"keyvalues":[1]}},
            {"kind":"delete","schema":"public","table":"t","oldkeys":{"keynames":["id"],"keyvalues":[2]}},
            {"kind":"message","transactional":true,"prefix":"p","content":"{\"a\":1}"}]}"#;
        let expected = r#"{"xid":5,"nextlsn":"0/1","schema":"public","table":"t","op":"insert","after":{"id":1.50,"raw":"\\x00ff"}}
{"xid":5,"nextlsn":"0/1","schema":"public","table":"t","op":"update","after":{"id":2},"before":{"id":1}}
{"xid":5,"nextlsn":"0/1","schema":"public","table":"t","op":"delete","before":{"id":2}}
{"xid":5,"nextlsn":"0/1","prefix":"p","transactional":true,"op":"message","after":{"a":1}}
"#;
        assert_eq!(lines(record).unwrap(), expected);
        assert_eq!(lines(r#"{"xid":5,"change":[]}"#).unwrap(), "");
    }

    #[test]
    fn what_is_no_transaction_is_refused_and_names_the_change() {
        let uneven = r#"{"change":[{"kind":"truncate","table":"t"},{"kind":"insert","table":"t","columnnames":["a"],"columnvalues":[]}]}"#;
        assert!(lines(uneven).unwrap_err().contains("change 2 of the transaction"));
        for bad in ["{}", "[]", r#"{"change":5}"#, r#"{"change":[{"kind":"x"}]}"#, r#"{"action":"I"}"#] {
            assert!(lines(bad).is_err(), "{bad}");
        }
    }
}
