//! Which file a record stands in, and where: exporters tell partitions and offsets by the names of files.

use super::super::object::{Object, quoted};
use super::Rewrite;

/// Adds `_file` and `_line` to each record.
pub struct FileName {
    /// As a JSON string.
    name: String,
    line: u64,
}

impl FileName {
    /// `name`: as messages and the manifest name the file.
    pub fn new(name: &str) -> FileName {
        FileName { name: quoted(name), line: 0 }
    }
}

impl Rewrite for FileName {
    fn record(&mut self, record: &str, out: &mut String) -> Result<(), String> {
        let line = self.line;
        self.line += 1;
        if record.trim().is_empty() {
            out.push('\n');
            return Ok(());
        }
        let mut object = Object::read(record)?;
        object.set("_file", self.name.as_str());
        object.set("_line", line.to_string());
        object.write(out);
        out.push('\n');
        Ok(())
    }

    fn end(&mut self, _out: &mut String) -> Result<(), String> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::rewritten;
    use super::*;

    #[test]
    fn a_record_is_told_its_file_and_its_number() {
        let made = rewritten(&mut FileName::new("t/partition=1/t+1+00.json"), &[r#"{"a":1}"#, r#"{"_line":"x"}"#]).unwrap();
        assert_eq!(
            made,
            "{\"a\":1,\"_file\":\"t/partition=1/t+1+00.json\",\"_line\":0}\n{\"_line\":1,\"_file\":\"t/partition=1/t+1+00.json\"}\n"
        );
        assert!(rewritten(&mut FileName::new("a"), &["5"]).is_err());
    }
}
