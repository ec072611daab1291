//! Fingerprints of definitions: over what they mean, not how they are written.

use super::contracts::ContractField;
use super::sql_tokens::{Kind, tokens};
use super::toml_walk::Text;

/// Grows when the expression language changes the meaning of an expression that was valid before:
/// every aggregate is then replayed.
pub(crate) const LANGUAGE: &str = "1";

/// A canonical text: names and values with their lengths, so that no two definitions share one.
pub(crate) struct Canon(blake3::Hasher);

impl Canon {
    pub fn new(kind: &str) -> Canon {
        let mut canon = Canon(blake3::Hasher::new());
        canon.add("kind", kind);
        canon
    }

    pub fn add(&mut self, name: &str, value: &str) {
        for part in [name, value] {
            self.0.update(&(part.len() as u64).to_le_bytes());
            self.0.update(part.as_bytes());
        }
    }

    pub fn sql(&mut self, name: &str, text: &Text) {
        self.add(name, &canonical_sql(&text.value));
    }

    pub fn field(&mut self, field: &ContractField) {
        self.add("field", &field.name);
        self.add("type", &field.ty.to_string());
        self.add("not_null", if field.not_null { "true" } else { "false" });
        self.add("default", &format!("{:?}", field.default));
        if field.key {
            self.add("key", "true");
        }
    }

    /// Hexadecimal.
    pub fn finish(self) -> String {
        self.0.finalize().to_hex().to_string()
    }
}

/// The tokens of a SQL text without comments, one space between them.
fn canonical_sql(sql: &str) -> String {
    let mut out = String::with_capacity(sql.len());
    for token in tokens(sql) {
        if !out.is_empty() {
            out.push(' ');
        }
        match token.kind {
            // A closing `;` changes nothing.
            Kind::Symbol(';') => {}
            _ => out.push_str(&sql[token.start..token.end]),
        }
    }
    out.truncate(out.trim_end().len());
    out
}

#[cfg(test)]
mod tests {
    use super::canonical_sql;

    #[test]
    fn comments_and_spaces_do_not_count_but_strings_do() {
        assert_eq!(canonical_sql("SELECT  a, -- the key\n b /* x */ FROM t;"), canonical_sql("SELECT a,b FROM t"));
        assert_ne!(canonical_sql("SELECT 'a  b'"), canonical_sql("SELECT 'a b'"));
    }
}
