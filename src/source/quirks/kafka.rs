//! Messages as Kafka's tools write them.

use super::Made;
use super::object::{Object, quote};

/// `headers: ["k", "v", "k", "v"]`, as kcat writes them, becomes an object; of two with one name the last one counts.
pub(super) fn message(record: &str, out: &mut String) -> Result<Made, String> {
    let mut message = Object::read(record)?;
    let Some(flat) = message.get("headers").filter(|json| json.starts_with('[')) else { return Ok(Made::Same) };
    let flat: Vec<Option<String>> = serde_json::from_str(flat).map_err(|e| format!("`headers`: {e}"))?;
    let mut headers = String::from("{");
    let mut pairs: Vec<(&str, Option<&str>)> = Vec::new();
    for pair in flat.chunks(2) {
        let name = pair[0].as_deref().unwrap_or_default();
        pairs.retain(|(other, _)| *other != name);
        pairs.push((name, pair.get(1).and_then(|value| value.as_deref())));
    }
    for (index, (name, value)) in pairs.into_iter().enumerate() {
        if index > 0 {
            headers.push(',');
        }
        quote(name, &mut headers);
        headers.push(':');
        match value {
            Some(value) => quote(value, &mut headers),
            None => headers.push_str("null"),
        }
    }
    headers.push('}');
    message.set("headers", headers);
    message.write(out);
    Ok(Made::Other)
}

#[cfg(test)]
mod tests {
    use super::super::made;
    use crate::project::quirks::{Quirk, RecordQuirk};

    #[test]
    fn a_flat_list_of_headers_becomes_an_object() {
        let made = |record: &str| made(&[Quirk::Record(RecordQuirk::KafkaMessage)], record);
        let record = r#"{"offset":1,"headers":["id","a","type","x","id","b","n",null],"key":null}"#;
        assert_eq!(made(record).unwrap().unwrap(), r#"{"offset":1,"headers":{"type":"x","id":"b","n":null},"key":null}"#);
        let bare = r#"{"offset":1,"payload":"x"}"#;
        assert_eq!(made(bare).unwrap().unwrap(), bare);
        assert!(made(r#"{"headers":[1]}"#).is_err());
        assert!(made("nothing").is_err());
    }
}
