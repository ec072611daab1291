//! Text -> lists, structs and maps: `[a, b]`, `{name: value}`, `{key=value}`.

use std::sync::Arc;

use super::{EvalError, MapEntries, Type, Value, cast};

/// Parses the text of a nested value; DuckDB's quoting rules: `'…'` and `"…"` with backslashes, NULL unquoted.
pub fn parse(text: &str, to: &Type) -> Result<Value, EvalError> {
    let bad = || EvalError(format!("cannot cast '{}' to {to}", text.chars().take(60).collect::<String>()));
    let trimmed = text.trim();
    let inside = |open: char, close: char| trimmed.strip_prefix(open).and_then(|t| t.strip_suffix(close)).ok_or_else(bad);
    match to {
        Type::List(inner) => {
            let mut items = Vec::new();
            for item in split(inside('[', ']')?, ',').ok_or_else(bad)? {
                items.push(element(item, inner)?);
            }
            Ok(Value::List(Arc::new(items)))
        }
        Type::Struct(fields) => {
            let mut values = vec![Value::Null; fields.len()];
            for entry in split(inside('{', '}')?, ',').ok_or_else(bad)? {
                let parts = split(entry, ':').ok_or_else(bad)?;
                let [name, ..] = parts.as_slice() else { return Err(bad()) };
                let value = entry.get(name.len() + 1..).ok_or_else(bad)?;
                let name = unquote(name.trim()).unwrap_or_else(|| name.trim().to_string());
                let i = fields.iter().position(|(n, _)| n.eq_ignore_ascii_case(&name)).ok_or_else(bad)?;
                values[i] = element(value, &fields[i].1)?;
            }
            Ok(Value::Struct(Arc::new(values)))
        }
        Type::Map(key_ty, value_ty) => {
            let mut entries = MapEntries::default();
            for entry in split(inside('{', '}')?, ',').ok_or_else(bad)? {
                let parts = split(entry, '=').ok_or_else(bad)?;
                let [key, ..] = parts.as_slice() else { return Err(bad()) };
                let value = entry.get(key.len() + 1..).ok_or_else(bad)?;
                let key = element(key, key_ty)?;
                if key.is_null() {
                    return Err(EvalError("map keys cannot be NULL".into()));
                }
                if entries.insert(key, element(value, value_ty)?).is_some() {
                    return Err(EvalError("map keys must be unique".into()));
                }
            }
            Ok(Value::Map(Arc::new(entries)))
        }
        _ => cast::from_text(text, to),
    }
}

fn element(text: &str, ty: &Type) -> Result<Value, EvalError> {
    let text = text.trim();
    if text.eq_ignore_ascii_case("null") {
        return Ok(Value::Null);
    }
    match unquote(text) {
        Some(unquoted) => cast::from_text(&unquoted, ty),
        None => cast::from_text(text, ty),
    }
}

fn unquote(text: &str) -> Option<String> {
    let quote = text.chars().next().filter(|c| *c == '\'' || *c == '"')?;
    let inner = text.strip_prefix(quote)?.strip_suffix(quote)?;
    let mut out = String::with_capacity(inner.len());
    let mut chars = inner.chars();
    while let Some(c) = chars.next() {
        out.push(if c == '\\' { chars.next()? } else { c });
    }
    Some(out)
}

/// Cuts at separators that stand outside quotes and brackets; None: brackets or quotes do not close.
fn split(text: &str, separator: char) -> Option<Vec<&str>> {
    if text.trim().is_empty() {
        return Some(Vec::new());
    }
    let (mut out, mut from, mut depth) = (Vec::new(), 0, 0i32);
    let mut quote: Option<char> = None;
    let mut chars = text.char_indices();
    while let Some((i, c)) = chars.next() {
        match (quote, c) {
            (Some(_), '\\') => {
                chars.next();
            }
            (Some(q), c) if c == q => quote = None,
            (Some(_), _) => {}
            (None, '\'' | '"') => quote = Some(c),
            (None, '[' | '{' | '(') => depth += 1,
            (None, ']' | '}' | ')') => depth -= 1,
            (None, c) if c == separator && depth == 0 => {
                out.push(&text[from..i]);
                from = i + c.len_utf8();
            }
            _ => {}
        }
    }
    if depth != 0 || quote.is_some() {
        return None;
    }
    out.push(&text[from..]);
    Some(out)
}
