//! Fingerprints of definitions: over what they mean, not how they are written.

use super::Source;
use super::aggregates::{AggregateDef, RuleDef};
use super::contracts::{ContractField, Contracts};
use super::patterns::TypePattern;
use super::sql_tokens::{Kind, tokens};
use super::toml_walk::Text;
use super::upcasts::Upcasts;

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

impl AggregateDef {
    /// Over everything that the state depends on.
    pub fn fingerprint(&self, contracts: &Contracts, upcasts: &Upcasts, sources: &[Source]) -> String {
        let mut canon = Canon::new("aggregate");
        canon.add("language", LANGUAGE);
        canon.add("name", &self.name);
        for source in &self.sources {
            canon.add("source", sources.get(*source).map_or("", |source| &source.fingerprint));
        }
        if let Some((pattern, _)) = &self.stream {
            canon.add("stream", &pattern.text);
        }
        if let Some(order_by) = &self.order_by {
            canon.sql("order_by", order_by);
        }
        for key in &self.key {
            canon.add("key", &key.name);
            canon.sql("is", &key.text);
        }
        for column in &self.state {
            canon.add("column", &column.name);
            canon.add("type", &column.ty.to_string());
            canon.add("default", &format!("{:?}", column.default));
        }
        for rows in &self.rows {
            canon.add("rows", &rows.name);
            for (name, ty) in &rows.columns {
                canon.add(name, &ty.to_string());
            }
        }
        for (kind, rules) in [("before", &self.before), ("on", &self.on), ("after", &self.after)] {
            for rule in rules {
                canon.add(kind, &rule.pattern.alternatives.join("|"));
                rule.canon(&mut canon);
            }
        }
        let patterns: Vec<&TypePattern> = self.on.iter().map(|rule| &rule.pattern).collect();
        if let Some(replica) = &self.replica {
            canon.add("replica_of", &replica.table);
        }
        canon.add("contracts", &contracts.canon_matching(&patterns));
        if let Some(reaching) = upcasts.canon_reaching(&patterns) {
            canon.add("upcasts", &reaching);
        }
        canon.finish()
    }
}

impl RuleDef {
    fn canon(&self, canon: &mut Canon) {
        for (name, text) in [("when", &self.when), ("each", &self.each), ("fail", &self.fail)] {
            if let Some(text) = text {
                canon.sql(name, text);
            }
        }
        for key in self.key.iter().flatten() {
            canon.add("key", &key.name.to_lowercase());
            canon.sql("is", &key.text);
        }
        canon.add("all", &self.all.to_string());
        canon.add("delete", &self.delete.to_string());
        let mut set: Vec<&(usize, Text)> = self.set.iter().collect();
        set.sort_by_key(|(column, _)| *column);
        for (column, text) in set {
            canon.add("set", &column.to_string());
            canon.sql("to", text);
        }
        for (rows, values) in &self.emit {
            canon.add("emit", &rows.to_string());
            let mut values: Vec<&(usize, Text)> = values.iter().collect();
            values.sort_by_key(|(column, _)| *column);
            for (column, text) in values {
                canon.add("value", &column.to_string());
                canon.sql("is", text);
            }
        }
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
