//! Types of DuckDB that Parquet (or its readers) cannot hold, and what they are published as.

/// The type that a column of DuckDB type `ty` is cast to before it goes to Parquet; `None`: it goes as it is.
///
/// HUGEINT and UHUGEINT become DECIMAL(38,0); timestamps of other units microseconds; UUID, INTERVAL, ENUM,
/// BIT, TIME WITH TIME ZONE, UNION, VARIANT and BIGNUM their text.
pub(super) fn publishable(ty: &str) -> Option<String> {
    let replaced = TypeText { rest: ty }.whole();
    (replaced != ty).then_some(replaced)
}

struct TypeText<'a> {
    rest: &'a str,
}

impl<'a> TypeText<'a> {
    fn whole(mut self) -> String {
        let ty = self.ty();
        format!("{ty}{}", self.rest)
    }

    /// One type with its array suffixes.
    fn ty(&mut self) -> String {
        let word = self.word();
        let mut out = match word {
            "STRUCT" => self.fields("STRUCT"),
            "MAP" => {
                self.take("(");
                let key = self.ty();
                self.take(",");
                self.skip_space();
                let value = self.ty();
                self.take(")");
                format!("MAP({key}, {value})")
            }
            "UNION" | "ENUM" => {
                self.bracketed();
                "VARCHAR".to_string()
            }
            "DECIMAL" => format!("DECIMAL{}", self.bracketed()),
            "TIME" | "TIMESTAMP" if self.take(" WITH TIME ZONE") => match word {
                "TIME" => "VARCHAR".to_string(),
                _ => "TIMESTAMP WITH TIME ZONE".to_string(),
            },
            "HUGEINT" | "UHUGEINT" => "DECIMAL(38,0)".to_string(),
            "UUID" | "INTERVAL" | "BIT" | "VARIANT" | "BIGNUM" | "VARINT" => "VARCHAR".to_string(),
            "TIMESTAMP_S" | "TIMESTAMP_MS" | "TIMESTAMP_NS" => "TIMESTAMP".to_string(),
            "TIME_NS" => "TIME".to_string(),
            "\"NULL\"" | "NULL" => "INTEGER".to_string(),
            word => format!("{word}{}", self.bracketed()),
        };
        while self.rest.starts_with('[') {
            let end = self.rest.find(']').map_or(self.rest.len(), |i| i + 1);
            // A list of fixed length is published as a list.
            out.push_str("[]");
            self.rest = &self.rest[end..];
        }
        out
    }

    fn fields(&mut self, kind: &str) -> String {
        let mut fields = Vec::new();
        self.take("(");
        while !self.rest.is_empty() && !self.rest.starts_with(')') {
            let name = self.word();
            self.skip_space();
            fields.push(format!("{name} {}", self.ty()));
            self.take(",");
            self.skip_space();
        }
        self.take(")");
        format!("{kind}({})", fields.join(", "))
    }

    /// A name, quoted or not.
    fn word(&mut self) -> &'a str {
        let end = match self.rest.strip_prefix('"') {
            Some(quoted) => {
                let bytes = quoted.as_bytes();
                let mut i = 0;
                while i < bytes.len() {
                    if bytes[i] == b'"' {
                        if bytes.get(i + 1) != Some(&b'"') {
                            break;
                        }
                        i += 1;
                    }
                    i += 1;
                }
                (i + 2).min(self.rest.len())
            }
            None => self.rest.find([' ', '(', ')', ',', '[']).unwrap_or(self.rest.len()),
        };
        let (word, rest) = self.rest.split_at(end);
        self.rest = rest;
        word
    }

    /// What stands in round brackets, strings and brackets inside them included.
    fn bracketed(&mut self) -> &'a str {
        if !self.rest.starts_with('(') {
            return "";
        }
        let mut depth = 0;
        let mut quote = None;
        for (i, c) in self.rest.char_indices() {
            match (quote, c) {
                (Some(q), c) if c == q => quote = None,
                (Some(_), _) => {}
                (None, '\'' | '"') => quote = Some(c),
                (None, '(') => depth += 1,
                (None, ')') => {
                    depth -= 1;
                    if depth == 0 {
                        let (inside, rest) = self.rest.split_at(i + 1);
                        self.rest = rest;
                        return inside;
                    }
                }
                _ => {}
            }
        }
        std::mem::take(&mut self.rest)
    }

    fn take(&mut self, text: &str) -> bool {
        match self.rest.strip_prefix(text) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn skip_space(&mut self) {
        self.rest = self.rest.trim_start();
    }
}

#[cfg(test)]
mod tests {
    use super::publishable;

    #[test]
    fn types_that_parquet_lacks_are_replaced_wherever_they_stand() {
        assert_eq!(publishable("HUGEINT").as_deref(), Some("DECIMAL(38,0)"));
        assert_eq!(publishable("UUID[][3]").as_deref(), Some("VARCHAR[][]"));
        assert_eq!(
            publishable("STRUCT(uuid INTEGER, \"a \"\"(b\" MAP(VARCHAR, INTERVAL), e ENUM('x)', 'y'), d DECIMAL(18,2))").as_deref(),
            Some("STRUCT(uuid INTEGER, \"a \"\"(b\" MAP(VARCHAR, VARCHAR), e VARCHAR, d DECIMAL(18,2))")
        );
        assert_eq!(publishable("TIME WITH TIME ZONE").as_deref(), Some("VARCHAR"));
    }

    #[test]
    fn types_that_parquet_has_stay() {
        for ty in [
            "DECIMAL(18,2)",
            "TIMESTAMP WITH TIME ZONE",
            "TIMESTAMP",
            "STRUCT(a INTEGER, b VARCHAR[])",
            "MAP(VARCHAR, DOUBLE)",
            "JSON",
            "TIME",
        ] {
            assert_eq!(publishable(ty), None, "{ty}");
        }
    }
}
