//! `open a.b`: the record inside a record.

use super::object::Object;
use super::{Made, is_null};
use crate::printable::printable_start;
use crate::project::quirks::OUTER;

/// Makes the object at a path, or the one whose JSON stands in a string there, the record, with what is around it as its member
/// [`OUTER`]. Null, nothing and the empty string are no event.
pub(super) fn open(record: &str, path: &[String], out: &mut String) -> Result<Made, String> {
    let mut around = Object::read(record)?;
    // of a path of several names only the first one's object is looked into
    let Some((first, further)) = path.split_first() else { return Ok(Made::Same) };
    let Some(whole) = around.take(first) else { return Ok(Made::Nothing) };
    let mut inner = whole.into_owned();
    for name in further {
        if is_null(&inner) {
            return Ok(Made::Nothing);
        }
        let object = Object::read(&inner).map_err(|e| format!("`{first}` is no object: {e}"))?;
        let next = object.get(name).map(str::to_string);
        inner = next.unwrap_or_else(|| "null".into());
    }
    // a converter that writes texts as JSON makes a string of a string
    while inner.starts_with('"') {
        inner = serde_json::from_str(&inner).map_err(|e| format!("`{}`: {e}", path.join(".")))?;
    }
    if inner.trim().is_empty() || inner.trim() == "null" {
        return Ok(Made::Nothing);
    }
    let mut inner_object =
        Object::read(&inner).map_err(|e| format!("`{}` is no JSON object but `{}`: {e}", path.join("."), printable_start(&inner, 60)))?;
    let mut rest = String::with_capacity(record.len());
    around.write(&mut rest);
    inner_object.set(OUTER, rest);
    inner_object.write(out);
    Ok(Made::Other)
}

#[cfg(test)]
mod tests {
    use super::super::made;
    use crate::project::quirks::Quirk;

    fn open(path: &[&str], record: &str) -> Result<Option<String>, String> {
        made(&[Quirk::Open(path.iter().map(|name| name.to_string()).collect())], record)
    }

    #[test]
    fn the_record_inside_a_record_keeps_what_is_around_it() {
        let expected = Some(r#"{"x":1,"_outer":{"offset":7}}"#.to_string());
        assert_eq!(open(&["payload"], r#"{"offset":7,"payload":{"x":1}}"#).unwrap(), expected);
        assert_eq!(open(&["payload"], r#"{"payload":"{\"x\":1}","offset":7}"#).unwrap(), expected);
        assert_eq!(open(&["payload"], r#"{"payload":"\"{\\\"x\\\":1}\"","offset":7}"#).unwrap(), expected);
        assert_eq!(open(&["a", "b"], r#"{"a":{"b":{"x":1}},"offset":7}"#).unwrap(), expected);
    }

    #[test]
    fn nothing_inside_is_no_event_and_no_object_inside_is_an_error() {
        for nothing in [r#"{"payload":null}"#, "{}", r#"{"payload":""}"#, r#"{"payload":"null"}"#] {
            assert_eq!(open(&["payload"], nothing).unwrap(), None, "{nothing}");
        }
        for wrong in [r#"{"payload":5}"#, r#"{"payload":"text"}"#, r#"{"payload":[1]}"#, "text"] {
            assert!(open(&["payload"], wrong).is_err(), "{wrong}");
        }
    }
}
