//! DynamoDB's exports: items whose attributes say their types, `{"N": "103"}`.
//!
//! | in the record | becomes |
//! |---|---|
//! | `Item` (a full export) | `op`: read; `after` |
//! | `NewImage` and `OldImage`; `NewImage` alone; none (an incremental export) | `op`: update; insert; delete; `after`, `before` |
//! | `Keys` where there is no `OldImage` | `before` |
//! | `Metadata` | the same without types |
//! | `S`, `BOOL`, `NULL`, `M`, `L`, `SS` | the text, true or false, null, an object, an array, an array |
//! | `N`, `NS` | a number by all its digits, an array of them |
//! | `B`, `BS` | `"\x…"`, an array of them |

use serde_json::value::RawValue;

use super::object::{Object, number_or_quote, quote, quote_bytes};
use super::{Made, debezium};

/// See the module's documentation.
pub(super) fn change(record: &str, out: &mut String) -> Result<Made, String> {
    let mut change = Object::read(record)?;
    let mut image = |name: &str| {
        let taken = change.take(name).filter(|json| !super::is_null(json));
        taken.map(|json| item(&json)).transpose().map_err(|e| format!("`{name}`: {e}"))
    };
    let (whole, new, old, keys) = (image("Item")?, image("NewImage")?, image("OldImage")?, image("Keys")?);
    let metadata = image("Metadata")?;
    let op = match (&whole, &new, &old) {
        (Some(_), _, _) => "\"read\"",
        (None, Some(_), Some(_)) => "\"update\"",
        (None, Some(_), None) => "\"insert\"",
        (None, None, _) if old.is_some() || keys.is_some() => "\"delete\"",
        _ => return Err("the record has neither `Item` nor `Keys` and images: it is none of a DynamoDB export".into()),
    };
    let before = if op == "\"read\"" || op == "\"insert\"" { None } else { old.or(keys) };
    change.set("op", op);
    for (name, part) in [("after", whole.or(new)), ("before", before), ("Metadata", metadata)] {
        if let Some(part) = part {
            change.set(name, part);
        }
    }
    change.write(out);
    Ok(Made::Other)
}

/// The attributes of an item without their types.
fn item(json: &str) -> Result<String, String> {
    let mut out = String::with_capacity(json.len());
    members(json, &mut out)?;
    Ok(out)
}

fn members(json: &str, out: &mut String) -> Result<(), String> {
    let attributes = Object::read(json)?;
    out.push('{');
    for (index, (name, value)) in attributes.iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        quote(name, out);
        out.push(':');
        attribute(value, out).map_err(|e| format!("`{name}`: {e}"))?;
    }
    out.push('}');
    Ok(())
}

fn attribute(json: &str, out: &mut String) -> Result<(), String> {
    let typed = Object::read(json)?;
    let mut parts = typed.iter();
    let (Some((kind, value)), None) = (parts.next(), parts.next()) else {
        return Err(format!("{} is no attribute: it has not one type", super::short(json)));
    };
    match kind {
        "S" | "BOOL" => out.push_str(value),
        "NULL" => out.push_str("null"),
        "N" => number_or_quote(&text(value)?, out),
        "B" => quote_bytes(&debezium::bytes_of(value)?, out),
        "M" => members(value, out)?,
        "L" => list(value, out, attribute)?,
        "SS" => out.push_str(value),
        "NS" => list(value, out, |number, out| {
            number_or_quote(&text(number)?, out);
            Ok(())
        })?,
        "BS" => list(value, out, |bytes, out| {
            quote_bytes(&debezium::bytes_of(bytes)?, out);
            Ok(())
        })?,
        other => return Err(format!("`{other}` is no type of DynamoDB")),
    }
    Ok(())
}

fn text(json: &str) -> Result<String, String> {
    serde_json::from_str(json).map_err(|e| e.to_string())
}

fn list(json: &str, out: &mut String, write: impl Fn(&str, &mut String) -> Result<(), String>) -> Result<(), String> {
    let elements: Vec<&RawValue> = serde_json::from_str(json).map_err(|e| e.to_string())?;
    out.push('[');
    for (index, element) in elements.iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        write(element.get(), out)?;
    }
    out.push(']');
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(record: &str) -> Result<String, String> {
        let mut out = String::new();
        change(record, &mut out).map(|_| out)
    }

    #[test]
    fn attributes_lose_their_types_and_numbers_keep_all_digits() {
        let full = r#"{"Item":{"Id":{"N":"12345678901234567890.123"},"s":{"S":"a\nb"},"b":{"B":"AP8="},"t":{"BOOL":true},"n":{"NULL":true},"m":{"M":{"l":{"L":[{"N":"1"},{"S":"x"}]}}},"ns":{"NS":["1","2.50"]},"ss":{"SS":["a"]},"bs":{"BS":["AA=="]}}}"#;
        let expected = r#"{"op":"read","after":{"Id":12345678901234567890.123,"s":"a\nb","b":"\\x00ff","t":true,"n":null,"m":{"l":[1,"x"]},"ns":[1,2.50],"ss":["a"],"bs":["\\x00"]}}"#;
        assert_eq!(made(full).unwrap(), expected);
    }

    #[test]
    fn images_say_what_happened() {
        let write = |rest: &str| {
            made(&format!(r#"{{"Metadata":{{"WriteTimestampMicros":{{"N":"5"}}}},"Keys":{{"Id":{{"N":"1"}}}}{rest}}}"#)).unwrap()
        };
        assert_eq!(write(r#","NewImage":{"Id":{"N":"1"}}"#), r#"{"op":"insert","after":{"Id":1},"Metadata":{"WriteTimestampMicros":5}}"#);
        let update = write(r#","NewImage":{"Id":{"N":"1"}},"OldImage":{"Id":{"N":"1"},"a":{"S":"x"}}"#);
        assert_eq!(update, r#"{"op":"update","after":{"Id":1},"before":{"Id":1,"a":"x"},"Metadata":{"WriteTimestampMicros":5}}"#);
        assert_eq!(write(""), r#"{"op":"delete","before":{"Id":1},"Metadata":{"WriteTimestampMicros":5}}"#);
    }

    #[test]
    fn what_is_no_item_is_refused() {
        for bad in [
            "{}",
            "[]",
            r#"{"Item":5}"#,
            r#"{"Item":{"a":1}}"#,
            r#"{"Item":{"a":{"X":1}}}"#,
            r#"{"Item":{"a":{"N":1}}}"#,
            r#"{"Item":{"a":{}}}"#,
        ] {
            assert!(made(bad).is_err(), "{bad}");
        }
    }
}
