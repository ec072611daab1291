//! `${NAME}`, `${NAME:-default}` and `$${` in the strings of the project file.

use std::collections::BTreeMap;

/// Where the values of `${NAME}` come from.
pub(crate) struct Variables<'a> {
    /// `--var NAME=VALUE`
    pub given: &'a BTreeMap<String, String>,
    pub env: &'a dyn Fn(&str) -> Option<String>,
}

/// Why a variable cannot be filled: bytes of the text, the message, and what helps.
pub(crate) struct Unfilled {
    pub start: usize,
    pub end: usize,
    pub message: String,
    pub help: String,
}

impl Variables<'_> {
    fn get(&self, name: &str) -> Option<String> {
        self.given.get(name).cloned().or_else(|| (self.env)(name))
    }

    /// `None` where there is nothing to fill.
    pub fn fill(&self, text: &str) -> Result<Option<String>, Unfilled> {
        if !text.contains("${") {
            return Ok(None);
        }
        let mut out = String::with_capacity(text.len());
        let mut rest = 0;
        while let Some(found) = text[rest..].find("${") {
            let start = rest + found;
            if text[rest..start].ends_with('$') {
                out.push_str(&text[rest..start]);
                out.push('{');
                rest = start + 2;
                continue;
            }
            out.push_str(&text[rest..start]);
            let unfilled = |end: usize, message: String, help: &str| Unfilled { start, end, message, help: help.to_string() };
            let Some(length) = text[start..].find('}') else {
                return Err(unfilled(
                    text.len(),
                    "`${` is not closed".into(),
                    "write `${NAME}` or `${NAME:-default}`; `$${` stands for a literal `${`",
                ));
            };
            let end = start + length + 1;
            let inner = &text[start + 2..end - 1];
            let (name, default) = inner.split_once(":-").map_or((inner, None), |(name, default)| (name, Some(default)));
            let named = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
                && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
            if !named {
                return Err(unfilled(
                    end,
                    format!("`{name}` is not a variable's name"),
                    "names are letters, digits and `_`; `$${` stands for a literal `${`",
                ));
            }
            match (self.get(name), default) {
                (Some(value), _) => out.push_str(&value),
                (None, Some(default)) => out.push_str(default),
                (None, None) => {
                    let help = format!("give it with `--var {name}=…`, set it in the environment, or write `${{{name}:-default}}`");
                    return Err(unfilled(end, format!("the variable `{name}` has no value"), &help));
                }
            }
            rest = end;
        }
        out.push_str(&text[rest..]);
        Ok(Some(out))
    }
}
