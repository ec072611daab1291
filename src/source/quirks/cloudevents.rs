//! CloudEvents' data, which may be any JSON value or bytes.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::object::{Object, quoted};
use super::{Made, is_null};

/// Makes a payload of `data` or `data_base64`: an object stays one; of another value, and of bytes that hold no object, it makes
/// `{"data": …}` (bytes that are no text as their base64). As the specification asks, a string is not parsed again.
pub(super) fn data(record: &str, out: &mut String) -> Result<Made, String> {
    let mut event = Object::read(record)?;
    let payload = if let Some(bytes) = event.get("data_base64").filter(|json| !is_null(json)) {
        let text: String = serde_json::from_str(bytes).map_err(|e| format!("`data_base64`: {e}"))?;
        let bytes = STANDARD.decode(&text).map_err(|e| format!("`data_base64` is no base64: {e}"))?;
        match String::from_utf8(bytes) {
            Ok(inner) if Object::read(&inner).is_ok() => inner,
            Ok(inner) => format!("{{\"data\":{}}}", quoted(&inner)),
            Err(_) => format!("{{\"data\":{}}}", quoted(&text)),
        }
    } else {
        match event.get("data") {
            Some(json) if !json.starts_with('{') && !is_null(json) => format!("{{\"data\":{json}}}"),
            _ => return Ok(Made::Same),
        }
    };
    event.take("data_base64");
    event.set("data", payload);
    event.write(out);
    Ok(Made::Other)
}

#[cfg(test)]
mod tests {
    use super::super::made;
    use crate::project::quirks::{Quirk, RecordQuirk};

    #[test]
    fn data_of_any_kind_becomes_an_object_and_a_string_is_not_parsed_again() {
        let made = |record: &str| made(&[Quirk::Record(RecordQuirk::CloudEvents)], record);
        for same in [r#"{"id":"1","data":{"a":1}}"#, r#"{"id":"1"}"#, r#"{"data":null}"#] {
            assert_eq!(made(same).unwrap().unwrap(), same);
        }
        for (record, expected) in [
            (r#"{"data":"{\"a\":1}"}"#, r#"{"data":{"data":"{\"a\":1}"}}"#),
            (r#"{"data":[1]}"#, r#"{"data":{"data":[1]}}"#),
            (r#"{"data_base64":"eyJhIjoxfQ==","id":"1"}"#, r#"{"id":"1","data":{"a":1}}"#),
            (r#"{"data_base64":"aGk="}"#, r#"{"data":{"data":"hi"}}"#),
            (r#"{"data_base64":"/w=="}"#, r#"{"data":{"data":"/w=="}}"#),
        ] {
            assert_eq!(made(record).unwrap().unwrap(), expected);
        }
        assert!(made(r#"{"data_base64":"*"}"#).is_err());
        assert!(made(r#"{"data_base64":1}"#).is_err());
    }
}
