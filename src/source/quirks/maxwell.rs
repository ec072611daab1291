//! Maxwell's messages: the row after the change as `after`, the row before it as `before`.
//!
//! | in the record | becomes |
//! |---|---|
//! | `type` insert, update, delete, bootstrap-insert | `op`: insert, update, delete, read |
//! | `data` | `after`; `before` of a delete |
//! | `old`, the former values of what an update changed | `before`: the row with these |
//!
//! Other types (the ends of a bootstrap, changes of tables and databases) are no events.

use super::object::Object;
use super::{Made, is_null};

/// See the module's documentation.
pub(super) fn change(record: &str, out: &mut String) -> Result<Made, String> {
    let mut change = Object::read(record)?;
    let op = match change.get("type").ok_or("the record has no `type`: it is none of Maxwell's")? {
        "\"insert\"" => "\"insert\"",
        "\"update\"" => "\"update\"",
        "\"delete\"" => "\"delete\"",
        "\"bootstrap-insert\"" => "\"read\"",
        _ => return Ok(Made::Nothing),
    };
    let data = change.take("data").ok_or("the record has no `data`")?;
    let old = change.take("old").filter(|old| !is_null(old));
    let before = match (op, &old) {
        ("\"delete\"", _) => Some(data.to_string()),
        ("\"update\"", Some(old)) => Some(overlaid(&data, old)?),
        _ => None,
    };
    change.set("op", op);
    if op != "\"delete\"" {
        change.set("after", data);
    }
    if let Some(before) = before {
        change.set("before", before);
    }
    change.write(out);
    Ok(Made::Other)
}

/// A row with some of its values exchanged for others.
pub(super) fn overlaid(row: &str, values: &str) -> Result<String, String> {
    let mut row = Object::read(row).map_err(|e| format!("the row after the change: {e}"))?;
    let values = Object::read(values).map_err(|e| format!("`old`: {e}"))?;
    for (name, value) in values.iter() {
        row.set(name, value);
    }
    let mut out = String::new();
    row.write(&mut out);
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(record: &str) -> Option<String> {
        let mut out = String::new();
        (!matches!(change(record, &mut out).unwrap(), Made::Nothing)).then_some(out)
    }

    #[test]
    fn the_row_before_is_the_row_after_with_what_changed() {
        let update = r#"{"table":"t","type":"update","data":{"id":2,"a":1.50,"b":null},"old":{"id":1,"b":"x"}}"#;
        assert_eq!(
            made(update).unwrap(),
            r#"{"table":"t","type":"update","op":"update","after":{"id":2,"a":1.50,"b":null},"before":{"id":1,"a":1.50,"b":"x"}}"#
        );
        assert_eq!(made(r#"{"type":"delete","data":{"id":1}}"#).unwrap(), r#"{"type":"delete","op":"delete","before":{"id":1}}"#);
        assert_eq!(
            made(r#"{"type":"bootstrap-insert","data":{"id":1}}"#).unwrap(),
            r#"{"type":"bootstrap-insert","op":"read","after":{"id":1}}"#
        );
        assert_eq!(made(r#"{"type":"bootstrap-start","data":{}}"#), None);
        assert_eq!(made(r#"{"type":"table-alter","sql":"ALTER"}"#), None);
        for bad in ["{}", "[]", r#"{"type":"insert"}"#, r#"{"type":"update","data":5,"old":{}}"#] {
            assert!(change(bad, &mut String::new()).is_err(), "{bad}");
        }
    }
}
