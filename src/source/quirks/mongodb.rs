//! MongoDB's change streams: an event's payload is the document after the change, or what is told of it.
//!
//! | in the record | becomes |
//! |---|---|
//! | `operationType` insert; update, replace; delete; drop | `op`: insert; update; delete; truncate |
//! | `fullDocument` | `after` |
//! | an update without it: `documentKey`, `updateDescription.updatedFields`, `.removedFields` | `after`: the key, the fields, the removed ones as null |
//! | `fullDocumentBeforeChange`, else `documentKey` | `before` |
//!
//! Other operations (invalidate, rename, create, modify …) are no events. Extended JSON is unwrapped before.

use super::object::Object;
use super::{Made, is_null};

/// See the module's documentation.
pub(super) fn change(record: &str, out: &mut String) -> Result<Made, String> {
    let mut change = Object::read(record)?;
    let op = match change.get("operationType").ok_or("the record has no `operationType`: it is no change event")? {
        "\"insert\"" => "\"insert\"",
        "\"update\"" | "\"replace\"" => "\"update\"",
        "\"delete\"" => "\"delete\"",
        "\"drop\"" => "\"truncate\"",
        _ => return Ok(Made::Nothing),
    };
    let key = change.get("documentKey").map(str::to_string);
    let full = change.take("fullDocument").filter(|document| !is_null(document)).map(String::from);
    let before = change.take("fullDocumentBeforeChange").filter(|document| !is_null(document)).map(String::from);
    let after = match (full, op) {
        (None, "\"update\"") => Some(partial(&change, key.as_deref())?),
        (full, _) => full,
    };
    change.set("op", op);
    if let Some(after) = after {
        change.set("after", after);
    }
    if op != "\"insert\""
        && let Some(before) = before.or(key)
    {
        change.set("before", before);
    }
    change.write(out);
    Ok(Made::Other)
}

/// What an update says of a document that is not beside it.
fn partial(change: &Object, key: Option<&str>) -> Result<String, String> {
    let mut fields = Object::read(key.unwrap_or("{}")).map_err(|e| format!("`documentKey`: {e}"))?;
    let description = change.get("updateDescription").filter(|json| !is_null(json)).unwrap_or("{}");
    let description = Object::read(description).map_err(|e| format!("`updateDescription`: {e}"))?;
    let updated = description.get("updatedFields").filter(|json| !is_null(json)).unwrap_or("{}");
    let updated = Object::read(updated).map_err(|e| format!("`updatedFields`: {e}"))?;
    let removed = description.get("removedFields").filter(|json| !is_null(json)).unwrap_or("[]");
    let removed: Vec<String> = serde_json::from_str(removed).map_err(|e| format!("`removedFields`: {e}"))?;
    for (name, value) in updated.iter() {
        fields.set(name, value);
    }
    for name in &removed {
        fields.set(name, "null");
    }
    let mut out = String::new();
    fields.write(&mut out);
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(record: &str) -> Option<String> {
        let mut out = String::new();
        match change(record, &mut out).unwrap() {
            Made::Other => Some(out),
            Made::Same => Some(record.into()),
            Made::Nothing => None,
        }
    }

    #[test]
    fn an_update_without_its_document_has_the_key_and_what_changed() {
        let update = r#"{"operationType":"update","ns":{"coll":"c"},"documentKey":{"_id":1},"updateDescription":{"updatedFields":{"a":2,"b.c":3},"removedFields":["d"]}}"#;
        let made_of_it = made(update).unwrap();
        assert!(made_of_it.ends_with(r#""op":"update","after":{"_id":1,"a":2,"b.c":3,"d":null},"before":{"_id":1}}"#), "{made_of_it}");
        let looked_up = update.replace(r#""ns""#, r#""fullDocument":{"_id":1,"a":2},"fullDocumentBeforeChange":{"_id":1,"a":1},"ns""#);
        assert!(made(&looked_up).unwrap().ends_with(r#""op":"update","after":{"_id":1,"a":2},"before":{"_id":1,"a":1}}"#));
    }

    #[test]
    fn a_drop_empties_the_collection_and_other_operations_are_no_events() {
        assert!(made(r#"{"operationType":"drop","ns":{"coll":"c"}}"#).unwrap().contains(r#""op":"truncate""#));
        assert!(made(r#"{"operationType":"delete","documentKey":{"_id":1}}"#).unwrap().ends_with(r#""op":"delete","before":{"_id":1}}"#));
        assert_eq!(made(r#"{"operationType":"invalidate"}"#), None);
        assert!(change("{}", &mut String::new()).is_err() && change("[]", &mut String::new()).is_err());
        assert!(change(r#"{"operationType":"update","documentKey":5}"#, &mut String::new()).is_err());
    }
}
