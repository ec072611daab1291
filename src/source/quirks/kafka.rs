//! Messages as Kafka's tools write them.

use super::Made;
use super::object::{Object, quote, quoted};

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

/// A line of kafka-console-consumer, its parts behind tabs: `CreateTime:5`, `Partition:0`, `Offset:7`, headers, key, value. Those in
/// front say what they are. Of what follows, the last part is the value, the one before it the key, the one before that the headers; what is
/// behind a third tab belongs to the value. `null` stands for nothing, and for the text.
pub(super) fn console(line: &str, out: &mut String) -> Result<Made, String> {
    let mut rest = line.strip_suffix('\r').unwrap_or(line);
    let mut parts = Vec::new();
    while let Some((part, behind)) = rest.split_once('\t') {
        let number = |text: &str| text.parse::<i64>().map(|n| n.to_string()).map_err(|_| format!("{part:?} has no number"));
        if let Some(text) = part.strip_prefix("CreateTime:").or_else(|| part.strip_prefix("LogAppendTime:")) {
            let kind = if part.starts_with('C') { "create" } else { "append" };
            parts.push(format!("\"tstype\":\"{kind}\",\"ts\":{}", number(text)?));
        } else if let Some(text) = part.strip_prefix("Partition:") {
            parts.push(format!("\"partition\":{}", number(text)?));
        } else if let Some(text) = part.strip_prefix("Offset:") {
            parts.push(format!("\"offset\":{}", number(text)?));
        } else if part != "NO_TIMESTAMP" {
            break;
        }
        rest = behind;
    }
    let mut three = rest.splitn(3, '\t');
    let (headers, key, value) = match (three.next(), three.next(), three.next()) {
        (Some(headers), Some(key), Some(value)) => (Some(headers), Some(key), value),
        (Some(key), Some(value), None) => (None, Some(key), value),
        _ => (None, None, rest),
    };
    let text = |text: &str| if text == "null" { "null".to_string() } else { quoted(text) };
    if let Some(headers) = headers {
        parts.push(format!("\"headers\":{}", console_headers(headers)));
    }
    parts.push(format!("\"key\":{}", key.map_or("null".to_string(), text)));
    parts.push(format!("\"payload\":{}", text(value)));
    out.push('{');
    out.push_str(&parts.join(","));
    out.push('}');
    Ok(Made::Other)
}

/// `a:1,b:2` as an object; what has no colon belongs to the value before it. Of two with one name the last one counts.
fn console_headers(text: &str) -> String {
    let mut pairs: Vec<(&str, String)> = Vec::new();
    if text != "NO_HEADERS" {
        for part in text.split(',') {
            match (part.split_once(':'), pairs.last_mut()) {
                (Some((name, value)), _) => {
                    pairs.retain(|(other, _)| *other != name);
                    pairs.push((name, value.to_string()));
                }
                (None, Some((_, value))) => {
                    value.push(',');
                    value.push_str(part);
                }
                (None, None) => pairs.push((part, String::new())),
            }
        }
    }
    let mut out = String::from("{");
    for (index, (name, value)) in pairs.iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        quote(name, &mut out);
        out.push(':');
        quote(value, &mut out);
    }
    out.push('}');
    out
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

    #[test]
    fn a_line_of_the_console_consumer_becomes_a_message() {
        let made = |line: &str| made(&[Quirk::Record(RecordQuirk::KafkaConsole)], line);
        for (line, expected) in [
            (
                "CreateTime:5\tPartition:0\tOffset:7\ttype:A,list:1,2,type:B\tk\t{\"a\": 1}\r",
                r#"{"tstype":"create","ts":5,"partition":0,"offset":7,"headers":{"list":"1,2","type":"B"},"key":"k","payload":"{\"a\": 1}"}"#,
            ),
            ("NO_TIMESTAMP\tNO_HEADERS\tnull\tnull", r#"{"headers":{},"key":null,"payload":null}"#),
            ("LogAppendTime:5\tk\tv", r#"{"tstype":"append","ts":5,"key":"k","payload":"v"}"#),
            ("h:1\tk\ta\tb", r#"{"headers":{"h":"1"},"key":"k","payload":"a\tb"}"#),
            ("v", r#"{"key":null,"payload":"v"}"#),
        ] {
            assert_eq!(made(line).unwrap().unwrap(), expected);
        }
        assert!(made("Offset:x\tk\tv").is_err());
    }
}
