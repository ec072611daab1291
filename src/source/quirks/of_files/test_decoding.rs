//! The text that PostgreSQL's output plugin test_decoding writes, a change a line but for line breaks inside of values.
//!
//! ```text
//! BEGIN 731
//! table public.orders: INSERT: id[bigint]:1 note[text]:'it''s' big[text]:unchanged-toast-datum
//! table public.orders: UPDATE: old-key: id[bigint]:1 new-tuple: id[bigint]:2 note[text]:null
//! table public.lines, public."Mixed Case": TRUNCATE: (no-flags)
//! message: transactional: 1 prefix: outbox, sz: 5 content:hello
//! COMMIT 731 (at 2026-11-25 17:04:05+00)
//! ```
//!
//! After its source: numbers and booleans stand bare, bit strings as `B'101'`, everything else in quotes.

use super::super::object::{is_number, quote, quoted};
use super::super::short;
use super::super::wal2json::message;
use super::Rewrite;

/// Each change becomes a line with `op`, `schema`, `table`, `xid` (where BEGIN names it), `after`, `before`, as the quirk `wal2json`
/// has them; a TRUNCATE one for each table. Its records are the lines of the text, without their line breaks.
#[derive(Default)]
pub struct TestDecoding {
    /// The beginning of a change whose value goes on in the next line.
    begun: String,
    /// How far it was looked at, and the quote that is open there.
    looked_at: usize,
    open: Option<u8>,
    /// Of a message: the bytes that it has when it is whole.
    whole: Option<usize>,
    /// The transaction that began last.
    xid: Option<String>,
}

impl Rewrite for TestDecoding {
    fn record(&mut self, line: &str, out: &mut String) -> Result<(), String> {
        if self.begun.is_empty() {
            if line.trim().is_empty() {
                return Ok(());
            }
            if let Some(rest) = line.strip_prefix("BEGIN") {
                let xid = rest.trim();
                self.xid = is_number(xid).then(|| xid.to_string());
                return Ok(());
            }
            if line.starts_with("COMMIT PREPARED") || line.starts_with("PREPARE TRANSACTION") || line.starts_with("COMMIT") {
                self.xid = None;
                return Ok(());
            }
            if !line.starts_with("table ") && !line.starts_with("message: ") {
                return Err(format!("`{}` begins no line of test_decoding", short(line)));
            }
        } else {
            self.begun.push('\n');
        }
        self.begun.push_str(line);
        if !self.is_whole() {
            return Ok(());
        }
        let change = std::mem::take(&mut self.begun);
        self.forget();
        let before = out.len();
        self.write(&change, out).inspect_err(|_| out.truncate(before)).map_err(|e| format!("{e} in `{}`", short(&change)))
    }

    fn end(&mut self, _: &mut String) -> Result<(), String> {
        let begun = std::mem::take(&mut self.begun);
        self.forget();
        if begun.is_empty() { Ok(()) } else { Err(format!("the text ends inside of the change `{}`", short(&begun))) }
    }
}

impl TestDecoding {
    fn forget(&mut self) {
        (self.looked_at, self.open, self.whole) = (0, None, None);
    }

    /// Whether no quote is open at the end of what has begun, or a message has its bytes.
    fn is_whole(&mut self) -> bool {
        if self.begun.starts_with("message: ") {
            if self.whole.is_none() {
                self.whole = content_of(&self.begun).map(|(_, at, bytes)| at + bytes);
            }
            // without a size it is not going to become whole
            return self.whole.is_none_or(|whole| self.begun.len() >= whole);
        }
        for byte in &self.begun.as_bytes()[self.looked_at..] {
            match self.open {
                None if matches!(byte, b'\'' | b'"') => self.open = Some(*byte),
                // a doubled quote closes and opens again
                Some(quote) if quote == *byte => self.open = None,
                _ => {}
            }
        }
        self.looked_at = self.begun.len();
        self.open.is_none()
    }

    fn write(&self, change: &str, out: &mut String) -> Result<(), String> {
        if change.starts_with("message: ") {
            return self.write_message(change, out);
        }
        let mut rest = Rest(change.strip_prefix("table ").unwrap_or(change));
        let mut tables = Vec::new();
        loop {
            let first = rest.name()?;
            let table = match rest.take(".") {
                true => (Some(first), rest.name()?),
                false => (None, first),
            };
            tables.push(table);
            if !rest.take(", ") {
                break;
            }
        }
        rest.expect(": ")?;
        let op = [("INSERT:", "insert"), ("UPDATE:", "update"), ("DELETE:", "delete"), ("TRUNCATE:", "truncate")];
        let Some((_, op)) = op.into_iter().find(|(word, _)| rest.take(word)) else {
            return Err(format!("`{}` is no change", short(rest.0)));
        };
        let (mut before, mut after) = (None, None);
        if op != "truncate" && !rest.take(" (no-tuple-data)") {
            if rest.take(" old-key:") {
                before = Some(rest.row()?);
                rest.expect(" new-tuple:")?;
                after = if rest.take(" (no-tuple-data)") { None } else { Some(rest.row()?) };
            } else if op == "delete" {
                before = Some(rest.row()?);
            } else {
                after = Some(rest.row()?);
            }
        }
        if op != "truncate" && !rest.0.trim().is_empty() {
            return Err(format!("`{}` follows the last column", short(rest.0)));
        }
        for (schema, table) in tables {
            out.push('{');
            self.write_xid(out);
            if let Some(schema) = schema {
                out.push_str(&format!("\"schema\":{},", quoted(&schema)));
            }
            out.push_str(&format!("\"table\":{},\"op\":\"{op}\"", quoted(&table)));
            for (name, row) in [("after", &after), ("before", &before)] {
                if let Some(row) = row {
                    out.push_str(&format!(",\"{name}\":{row}"));
                }
            }
            out.push_str("}\n");
        }
        Ok(())
    }

    fn write_xid(&self, out: &mut String) {
        if let Some(xid) = &self.xid {
            out.push_str(&format!("\"xid\":{xid},"));
        }
    }

    fn write_message(&self, text: &str, out: &mut String) -> Result<(), String> {
        let (prefix, at, bytes) = content_of(text).ok_or("a message has no prefix, size and content")?;
        let content = text.get(at..at + bytes).filter(|_| text.len() == at + bytes);
        let content = content.ok_or_else(|| format!("a message of {bytes} bytes has {} of them", text.len() - at))?;
        let transactional = text.starts_with("message: transactional: 1");
        out.push('{');
        if transactional {
            self.write_xid(out);
        }
        out.push_str(&format!("\"prefix\":{},\"transactional\":{transactional},\"op\":\"message\"", quoted(prefix)));
        out.push_str(&format!(",\"after\":{}}}\n", message(&quoted(content))?));
        Ok(())
    }
}

/// A message's prefix, where its content begins, and how many bytes it says that it has.
fn content_of(text: &str) -> Option<(&str, usize, usize)> {
    let prefix_at = text.find("prefix: ")? + "prefix: ".len();
    let mut from = prefix_at;
    loop {
        // a prefix may have anything in it, so the first that is followed by a size counts
        let size_at = from + text.get(from..)?.find(", sz: ")? + ", sz: ".len();
        let digits = text.get(size_at..)?.bytes().take_while(u8::is_ascii_digit).count();
        let content_at = size_at + digits;
        if digits > 0 && text.get(content_at..)?.starts_with(" content:") {
            let bytes: usize = text.get(size_at..content_at)?.parse().ok()?;
            let prefix = text.get(prefix_at..size_at - ", sz: ".len())?;
            let at = content_at + " content:".len();
            return at.checked_add(bytes).map(|_| (prefix, at, bytes));
        }
        from = size_at;
    }
}

/// What is left of a change.
struct Rest<'a>(&'a str);

impl<'a> Rest<'a> {
    fn take(&mut self, text: &str) -> bool {
        match self.0.strip_prefix(text) {
            Some(rest) => {
                self.0 = rest;
                true
            }
            None => false,
        }
    }

    fn expect(&mut self, text: &str) -> Result<(), String> {
        if self.take(text) { Ok(()) } else { Err(format!("`{text}` is missing before `{}`", short(self.0))) }
    }

    /// What stands in front of `at`, of which so many bytes are passed over.
    fn split(&mut self, at: usize, passed: usize) -> &'a str {
        let (front, rest) = self.0.split_at(at);
        self.0 = rest.get(passed..).unwrap_or_default();
        front
    }

    /// A text in quotes, behind the first of them; a doubled one stands for itself.
    fn in_quotes(&mut self, quote: char) -> Result<String, String> {
        let mut text = String::new();
        loop {
            let end = self.0.find(quote).ok_or("a quote is not closed")?;
            text.push_str(self.split(end, 1));
            match self.0.strip_prefix(quote) {
                Some(rest) => {
                    text.push(quote);
                    self.0 = rest;
                }
                None => return Ok(text),
            }
        }
    }

    /// A name, in quotes where it needs them.
    fn name(&mut self) -> Result<String, String> {
        if self.take("\"") {
            return self.in_quotes('"');
        }
        let end = self.0.find(|c: char| !c.is_alphanumeric() && c != '_' && c != '$').unwrap_or(self.0.len());
        if end == 0 {
            return Err(format!("a name is missing before `{}`", short(self.0)));
        }
        Ok(self.split(end, 0).to_string())
    }

    /// ` name[type]:value` until something else follows: a row as a JSON object, without columns that did not change.
    fn row(&mut self) -> Result<String, String> {
        let mut row = String::from("{");
        while self.0.starts_with(' ') && !self.0.starts_with(" new-tuple:") && self.0 != " " {
            self.expect(" ")?;
            let name = self.name()?;
            self.expect("[")?;
            self.kind()?;
            let Some(json) = self.value()? else { continue };
            if row.len() > 1 {
                row.push(',');
            }
            quote(&name, &mut row);
            row.push(':');
            row.push_str(&json);
        }
        row.push('}');
        Ok(row)
    }

    /// `type]:`, in which quotes may hold anything.
    fn kind(&mut self) -> Result<(), String> {
        let mut quoted = false;
        for (at, byte) in self.0.bytes().enumerate() {
            match byte {
                b'"' => quoted = !quoted,
                b']' if !quoted && self.0.as_bytes().get(at + 1) == Some(&b':') => {
                    self.split(at, 2);
                    return Ok(());
                }
                _ => {}
            }
        }
        Err(format!("a type is not closed in `{}`", short(self.0)))
    }

    /// A value as JSON; `None`: it is one that did not change.
    fn value(&mut self) -> Result<Option<String>, String> {
        if self.take("'") || self.take("B'") {
            return self.in_quotes('\'').map(|text| Some(quoted(&text)));
        }
        let end = self.0.find(' ').unwrap_or(self.0.len());
        let word = self.split(end, 0);
        Ok(match word {
            "unchanged-toast-datum" => None,
            "null" | "true" | "false" => Some(word.to_string()),
            "" => return Err("a value is missing".into()),
            number if is_number(number) => Some(number.to_string()),
            // NaN, Infinity
            other => Some(quoted(other)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::rewritten;
    use super::*;

    fn lines(text: &str) -> Result<String, String> {
        rewritten(&mut TestDecoding::default(), &text.split('\n').collect::<Vec<_>>())
    }

    #[test]
    fn every_kind_of_value_is_read_and_what_did_not_change_is_absent() {
        let text = "BEGIN 7\ntable public.t: INSERT: id[bigint]:1 a[text]:'it''s [x]: ''q''' \"b c\"[public.\"My ]: Type\"]:null d[numeric]:12.3400 e[double precision]:NaN f[boolean]:true g[text[]]:'{a,\"b,c\"}' h[bit]:B'101' i[text]:unchanged-toast-datum j[bytea]:'\\xde00'\nCOMMIT 7 (at 2026-11-23 07:16:39+00)";
        let expected = "{\"xid\":7,\"schema\":\"public\",\"table\":\"t\",\"op\":\"insert\",\"after\":{\"id\":1,\"a\":\"it's [x]: 'q'\",\"b c\":null,\"d\":12.3400,\"e\":\"NaN\",\"f\":true,\"g\":\"{a,\\\"b,c\\\"}\",\"h\":\"101\",\"j\":\"\\\\xde00\"}}\n";
        assert_eq!(lines(text).unwrap(), expected);
    }

    #[test]
    fn line_breaks_inside_of_values_and_messages_do_not_end_them() {
        let text = "table s.t: UPDATE: old-key: id[integer]:1 new-tuple: id[integer]:2 a[text]:'x\n\ntable public.t: DELETE: id[integer]:9\n''y'\nmessage: transactional: 0 prefix: a, sz: b, sz: 9 content:{\"a\":\n1}\n\nBEGIN";
        let expected = "{\"schema\":\"s\",\"table\":\"t\",\"op\":\"update\",\"after\":{\"id\":2,\"a\":\"x\\n\\ntable public.t: DELETE: id[integer]:9\\n'y\"},\"before\":{\"id\":1}}\n{\"prefix\":\"a, sz: b\",\"transactional\":false,\"op\":\"message\",\"after\":{\"a\":1}}\n";
        assert_eq!(lines(text).unwrap(), expected);
    }

    #[test]
    fn a_truncate_is_a_line_for_each_table_and_a_delete_may_know_no_key() {
        let text = "table public.a, x.\"Mixed \"\"Case\", b: TRUNCATE: restart_seqs cascade\ntable public.a: DELETE: (no-tuple-data)\ntable public.a: DELETE: id[int]:1";
        let expected = "{\"schema\":\"public\",\"table\":\"a\",\"op\":\"truncate\"}\n{\"schema\":\"x\",\"table\":\"Mixed \\\"Case\",\"op\":\"truncate\"}\n{\"table\":\"b\",\"op\":\"truncate\"}\n{\"schema\":\"public\",\"table\":\"a\",\"op\":\"delete\"}\n{\"schema\":\"public\",\"table\":\"a\",\"op\":\"delete\",\"before\":{\"id\":1}}\n";
        assert_eq!(lines(text).unwrap(), expected);
    }

    #[test]
    fn what_is_no_change_is_refused_and_the_next_line_is_read() {
        for bad in [
            "hello",
            "table",
            "table t",
            "table t: X: a",
            "table t: INSERT: a",
            "table t: INSERT: a[b]",
            "table t: INSERT: a[b]:1 2",
            "table t: INSERT: a[b]:",
            "message: x",
            "ROLLBACK PREPARED 'x', txid 1",
            "table t: INSERT: a[b]:'open",
            "message: transactional: 1 prefix: p, sz: 99 content:x",
            "message: transactional: 1 prefix: p, sz: 99999999999999999999 content:x",
            "table \u{e9}: INSERT: a[b]:'\u{e9}\u{e9}'x",
        ] {
            assert!(lines(bad).is_err(), "{bad}");
        }
        let mut decoding = TestDecoding::default();
        let mut out = String::new();
        assert!(decoding.record("nonsense", &mut out).is_err());
        decoding.record("table t: INSERT: a[b]:1", &mut out).unwrap();
        assert_eq!(out, "{\"table\":\"t\",\"op\":\"insert\",\"after\":{\"a\":1}}\n");
    }
}
