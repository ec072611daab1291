//! SQL Server's change tables (`cdc.<instance>_CT`): the row before an update, which is a record of its own, goes to the row after it.

use super::super::object::{Object, quote};
use super::super::short;
use super::Rewrite;

/// `__$operation` 1, 2, 4, 5 become the `op`s delete, insert, update, update, with the captured columns as `after` (for a delete
/// as `before`). The row of operation 3 becomes `before` of the 4 that follows it. What begins with `__$` otherwise, or with an
/// underscore as `_file` does, stays a member of the record.
#[derive(Default)]
pub struct SqlServer {
    /// Operation 3, and the columns that it has in common with its 4: where it stands in the log.
    waiting: Option<(String, String)>,
}

impl Rewrite for SqlServer {
    fn record(&mut self, record: &str, out: &mut String) -> Result<(), String> {
        let row = Object::read(record)?;
        let operation = row.get("__$operation").ok_or("the record has no `__$operation`: it is no row of a change table")?;
        let operation = operation.trim_matches('"').to_string();
        let place = format!("{}/{}", row.get("__$start_lsn").unwrap_or_default(), row.get("__$seqval").unwrap_or_default());
        let mut columns = String::new();
        let (mut around, mut first) = (String::from("{"), true);
        columns.push('{');
        for (name, json) in row.iter() {
            if name.starts_with("__$") || matches!(name, "_file" | "_line") {
                if name != "__$operation" {
                    member(name, json, &mut around);
                    around.push(',');
                }
                continue;
            }
            if !first {
                columns.push(',');
            }
            first = false;
            member(name, json, &mut columns);
        }
        columns.push('}');
        let before = match self.waiting.take() {
            Some((was, before)) if operation == "4" && was == place => Some(before),
            Some((was, before)) => {
                self.waiting = Some((was, before));
                return Err(self.missing());
            }
            None => None,
        };
        let op = match &*operation {
            "3" => {
                self.waiting = Some((place, columns));
                return Ok(());
            }
            "1" => "delete",
            "2" => "insert",
            "4" | "5" => "update",
            other => return Err(format!("`__$operation` is {}, not one of 1 to 5", short(other))),
        };
        out.push_str(&around);
        out.push_str(&format!("\"op\":\"{op}\""));
        let (after, before) = if op == "delete" { (None, Some(columns)) } else { (Some(columns), before) };
        for (name, image) in [("after", after), ("before", before)] {
            if let Some(image) = image {
                out.push(',');
                member(name, &image, out);
            }
        }
        out.push_str("}\n");
        Ok(())
    }

    fn end(&mut self, _: &mut String) -> Result<(), String> {
        if self.waiting.is_some() { Err(self.missing()) } else { Ok(()) }
    }
}

impl SqlServer {
    /// Says that an operation 3 stands alone, and forgets it.
    fn missing(&mut self) -> String {
        let place = self.waiting.take().map_or_else(String::new, |(place, _)| place);
        format!(
            "no row of operation 4 follows the one of operation 3 at {place}: is the export ordered by start_lsn, command_id, seqval, operation?"
        )
    }
}

fn member(name: &str, json: &str, out: &mut String) {
    quote(name, out);
    out.push(':');
    out.push_str(json);
}

#[cfg(test)]
mod tests {
    use super::super::rewritten;
    use super::*;

    fn row(operation: &str, seqval: &str, rest: &str) -> String {
        format!(
            r#"{{"__$start_lsn":"0x0A","__$end_lsn":null,"__$seqval":"{seqval}","__$operation":{operation},"__$update_mask":"0x03",{rest}}}"#
        )
    }

    #[test]
    fn an_update_is_two_rows_and_one_event() {
        let rows = [
            row("2", "0x01", "\"id\":1,\"n\":\"a\""),
            row("3", "0x02", "\"id\":1,\"n\":\"a\""),
            row("4", "0x02", "\"id\":1,\"n\":\"b\""),
            row("\"1\"", "0x03", "\"id\":1"),
        ];
        let rows: Vec<&str> = rows.iter().map(String::as_str).collect();
        let around = |seqval: &str| format!(r#"{{"__$start_lsn":"0x0A","__$end_lsn":null,"__$seqval":"{seqval}","__$update_mask":"0x03","#);
        let expected = format!(
            "{}\"op\":\"insert\",\"after\":{{\"id\":1,\"n\":\"a\"}}}}\n{}\"op\":\"update\",\"after\":{{\"id\":1,\"n\":\"b\"}},\"before\":{{\"id\":1,\"n\":\"a\"}}}}\n{}\"op\":\"delete\",\"before\":{{\"id\":1}}}}\n",
            around("0x01"),
            around("0x02"),
            around("0x03")
        );
        assert_eq!(rewritten(&mut SqlServer::default(), &rows).unwrap(), expected);
    }

    #[test]
    fn a_row_before_that_stands_alone_is_an_error_and_a_row_after_is_none() {
        let (three, four) = (row("3", "0x02", "\"id\":1"), row("4", "0x09", "\"id\":1"));
        assert!(rewritten(&mut SqlServer::default(), &[&three]).unwrap_err().contains("no row of operation 4 follows"));
        assert!(rewritten(&mut SqlServer::default(), &[&three, &four]).is_err());
        assert!(rewritten(&mut SqlServer::default(), &[&four]).unwrap().contains("\"op\":\"update\",\"after\""));
        for bad in ["{}", "[]", r#"{"__$operation":9}"#] {
            assert!(rewritten(&mut SqlServer::default(), &[bad]).is_err(), "{bad}");
        }
    }
}
