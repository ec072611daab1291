//! Canal's flat messages: a record holds several rows, whose values are texts.

use serde_json::value::RawValue;

use super::super::maxwell::overlaid;
use super::super::object::{Object, is_number, quote};
use super::super::{is_null, short};
use super::Rewrite;

/// Each row of `data` becomes a line: `op` (insert, update, delete, truncate), `after`, `before` (of an update the row with what
/// `old` has of it), and the record's other members. Values of MySQL's numeric types (`mysqlType`) become numbers by all their
/// digits. Other changes of tables (`isDdl`) give nothing.
#[derive(Default)]
pub struct Canal;

impl Rewrite for Canal {
    fn record(&mut self, record: &str, out: &mut String) -> Result<(), String> {
        let mut message = Object::read(record)?;
        let kind = message.get("type").ok_or("the record has no `type`: it is none of Canal's flat messages")?;
        let op = match &*kind.to_ascii_uppercase() {
            "\"INSERT\"" => "insert",
            "\"UPDATE\"" => "update",
            "\"DELETE\"" => "delete",
            "\"TRUNCATE\"" => "truncate",
            _ if message.get("isDdl") == Some("true") => return Ok(()),
            "\"INIT_DDL\"" | "\"QUERY\"" | "\"CREATE\"" | "\"ALTER\"" | "\"ERASE\"" | "\"RENAME\"" | "\"CINDEX\"" | "\"DINDEX\"" => {
                return Ok(());
            }
            _ => return Err(format!("`type` is {}, none of Canal's", short(kind))),
        };
        let (data, old) = (message.take("data"), message.take("old"));
        let types = message.take("mysqlType").filter(|json| !is_null(json)).unwrap_or("{}".into());
        message.take("sqlType");
        let types = Object::read(&types).map_err(|e| format!("`mysqlType`: {e}"))?;
        let mut head = String::new();
        message.write(&mut head);
        head.pop();
        head.push_str(&format!(",\"op\":\"{op}\""));
        if op == "truncate" {
            out.push_str(&head);
            out.push_str("}\n");
            return Ok(());
        }
        let data = data.filter(|json| !is_null(json)).ok_or("the record has no `data`")?;
        let rows: Vec<&RawValue> = serde_json::from_str(&data).map_err(|e| format!("`data`: {e}"))?;
        let old = old.filter(|json| !is_null(json)).unwrap_or("[]".into());
        let old: Vec<Option<&RawValue>> = serde_json::from_str(&old).map_err(|e| format!("`old`: {e}"))?;
        for (index, data) in rows.iter().enumerate() {
            let place = |e: String| format!("row {} of `data`: {e}", index + 1);
            let row = typed(data.get(), &types).map_err(place)?;
            let before = match (op, old.get(index).copied().flatten()) {
                ("update", Some(old)) => Some(overlaid(&row, &typed(old.get(), &types).map_err(place)?).map_err(place)?),
                ("delete", _) => Some(row.clone()),
                _ => None,
            };
            out.push_str(&head);
            for (name, image) in [("after", (op != "delete").then_some(row)), ("before", before)] {
                if let Some(image) = image {
                    out.push_str(&format!(",\"{name}\":{image}"));
                }
            }
            out.push_str("}\n");
        }
        Ok(())
    }

    fn end(&mut self, _: &mut String) -> Result<(), String> {
        Ok(())
    }
}

/// A row whose texts of numeric columns are numbers.
fn typed(row: &str, types: &Object) -> Result<String, String> {
    let row = Object::read(row)?;
    let mut out = String::from("{");
    for (index, (name, json)) in row.iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        quote(name, &mut out);
        out.push(':');
        let text = json.strip_prefix('"').and_then(|text| text.strip_suffix('"'));
        match text {
            Some(number) if is_number(number) && types.get(name).is_some_and(is_numeric) => out.push_str(number),
            _ => out.push_str(json),
        }
    }
    out.push('}');
    Ok(out)
}

/// Whether a type of MySQL, as a JSON string, is one of numbers.
fn is_numeric(kind: &str) -> bool {
    const NUMERIC: [&str; 13] =
        ["tinyint", "smallint", "mediumint", "int", "integer", "bigint", "decimal", "numeric", "dec", "float", "double", "real", "boolean"];
    let kind = kind.trim_start_matches('"').to_ascii_lowercase();
    let word: &str = kind.split(|c: char| !c.is_ascii_alphabetic()).next().unwrap_or_default();
    NUMERIC.contains(&word)
}

#[cfg(test)]
mod tests {
    use super::super::rewritten;
    use super::*;

    fn lines(record: &str) -> Result<String, String> {
        rewritten(&mut Canal, &[record])
    }

    #[test]
    fn each_row_of_a_message_is_a_line_and_numbers_are_numbers() {
        let record = r#"{"data":[{"id":"1","n":"007","p":"1.50","s":"9"},{"id":"2","n":"1","p":null,"s":"x"}],"old":[{"p":"1.00"},{"id":"3"}],"table":"t","isDdl":false,"mysqlType":{"id":"bigint(20) unsigned","n":"int","p":"decimal(10,2)","s":"varchar(5)"},"sqlType":{},"type":"UPDATE"}"#;
        let head = r#"{"table":"t","isDdl":false,"type":"UPDATE","op":"update""#;
        let expected = format!(
            "{head},\"after\":{{\"id\":1,\"n\":\"007\",\"p\":1.50,\"s\":\"9\"}},\"before\":{{\"id\":1,\"n\":\"007\",\"p\":1.00,\"s\":\"9\"}}}}\n{head},\"after\":{{\"id\":2,\"n\":1,\"p\":null,\"s\":\"x\"}},\"before\":{{\"id\":3,\"n\":1,\"p\":null,\"s\":\"x\"}}}}\n"
        );
        assert_eq!(lines(record).unwrap(), expected);
        let delete = r#"{"data":[{"id":"1"}],"old":null,"type":"DELETE"}"#;
        assert_eq!(lines(delete).unwrap(), "{\"type\":\"DELETE\",\"op\":\"delete\",\"before\":{\"id\":\"1\"}}\n");
    }

    #[test]
    fn changes_of_tables_give_nothing_but_a_truncate() {
        assert_eq!(lines(r#"{"data":null,"isDdl":true,"type":"ALTER","sql":"x"}"#).unwrap(), "");
        assert!(lines(r#"{"data":null,"isDdl":true,"type":"TRUNCATE","table":"t"}"#).unwrap().ends_with("\"op\":\"truncate\"}\n"));
        for bad in ["{}", "[]", r#"{"type":"X"}"#, r#"{"type":"INSERT"}"#, r#"{"type":"INSERT","data":[5]}"#] {
            assert!(lines(bad).is_err(), "{bad}");
        }
    }
}
