//! The order of a read model's rows: total, so that the same rows are always the same bytes.

use super::views::quote;
use crate::error::{Error, Kind as ErrorKind, Result};
use crate::project::sql_tokens::{Kind, tokens};

/// A query that has an ORDER BY of its own, cut where more sort keys can go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct OwnOrder {
    before: String,
    after: String,
    /// `ORDER BY ALL` orders by every column already.
    all: bool,
}

impl OwnOrder {
    /// The query with all its `columns` behind its own sort keys.
    pub(super) fn extended(&self, columns: usize) -> String {
        if self.all {
            return format!("{}{}", self.before, self.after);
        }
        let positions: String = (1..=columns).map(|i| format!(", {i}")).collect();
        format!("{}{positions}{}", self.before, self.after)
    }
}

/// The query without semicolons and comments behind it.
pub(super) fn trimmed(sql: &str) -> String {
    let end = tokens(sql).iter().rev().find(|t| t.kind != Kind::Symbol(';')).map_or(0, |t| t.end);
    sql[..end].to_string()
}

/// Finds the ORDER BY that orders the query's result: the last one outside all brackets.
pub(super) fn own_order(sql: &str) -> Option<OwnOrder> {
    let tokens = tokens(sql);
    let mut depth = 0i32;
    let mut order = None;
    let mut end = None;
    for (i, token) in tokens.iter().enumerate() {
        match token.kind {
            Kind::Symbol('(' | '[' | '{') => depth += 1,
            Kind::Symbol(')' | ']' | '}') => depth -= 1,
            _ if depth != 0 => {}
            Kind::Word if token.is_word(sql, "ORDER") && tokens.get(i + 1).is_some_and(|t| t.is_word(sql, "BY")) => {
                (order, end) = (Some(i), None);
            }
            Kind::Word
                if order.is_some() && end.is_none() && ["LIMIT", "OFFSET", "FETCH", "USING"].iter().any(|w| token.is_word(sql, w)) =>
            {
                end = Some(i);
            }
            Kind::Symbol(';') if end.is_none() => end = Some(i),
            _ => {}
        }
    }
    let order = order?;
    let end = end.unwrap_or(tokens.len());
    let cut = tokens.get(end.checked_sub(1)?)?.end;
    let all = tokens.get(order + 2).is_some_and(|t| t.is_word(sql, "ALL"));
    let tail = sql.get(cut..)?;
    Some(OwnOrder { before: sql[..cut].to_string(), after: tail.trim_end().trim_end_matches(';').to_string(), all })
}

/// One entry of `sort_by`, understood.
pub(super) struct SortEntry {
    /// Index into the columns.
    pub column: usize,
    pub descending: bool,
    pub nulls_first: bool,
    /// `DESC NULLS LAST`, as it was written.
    words: String,
}

/// Understands one entry of `sort_by`: `country`, `total DESC`, `"my column" DESC NULLS LAST`.
pub(super) fn sort_entry(entry: &str, columns: &[&str]) -> Result<SortEntry> {
    let unknown = |name: &str| {
        Error::new(ErrorKind::Project, format!("sort_by = \"{entry}\": the read model has no column `{name}`"))
            .with_help(format!("its columns are {}", columns.join(", ")))
    };
    let find = |name: &str| columns.iter().position(|c| c.eq_ignore_ascii_case(name));
    let entry = entry.trim();
    if let Some(column) = find(entry) {
        return Ok(SortEntry { column, descending: false, nulls_first: false, words: String::new() });
    }
    let (name, rest) = match entry.strip_prefix('"') {
        Some(quoted) => {
            let end = quoted.find("\" ").or_else(|| quoted.strip_suffix('"').map(str::len)).ok_or_else(|| unknown(entry))?;
            (quoted[..end].replace("\"\"", "\""), &quoted[end + 1..])
        }
        None => {
            let end = entry.find(char::is_whitespace).unwrap_or(entry.len());
            (entry[..end].to_string(), &entry[end..])
        }
    };
    let column = find(&name).ok_or_else(|| unknown(&name))?;
    let words: Vec<String> = rest.split_whitespace().map(str::to_ascii_uppercase).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words.as_slice() {
        [] | ["ASC" | "DESC"] | ["NULLS", "FIRST" | "LAST"] | ["ASC" | "DESC", "NULLS", "FIRST" | "LAST"] => {
            Ok(SortEntry { column, descending: words.contains(&"DESC"), nulls_first: words.contains(&"FIRST"), words: words.join(" ") })
        }
        _ => Err(Error::new(ErrorKind::Project, format!("sort_by = \"{entry}\" cannot be understood"))
            .with_help("write a column, then ASC or DESC, then NULLS FIRST or NULLS LAST: `total DESC`")),
    }
}

/// One entry of `sort_by` as SQL. `table` qualifies the column, so that it is the read model's and not an alias of
/// the same name.
pub(super) fn sort_key(entry: &str, columns: &[(String, String)], table: &str) -> Result<String> {
    let names: Vec<&str> = columns.iter().map(|(name, _)| name.as_str()).collect();
    let entry = sort_entry(entry, &names)?;
    Ok(format!("{table}.{} {}", quote(names[entry.column]), entry.words).trim_end().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn extended(sql: &str, columns: usize) -> Option<String> {
        own_order(sql).map(|o| o.extended(columns))
    }

    #[test]
    fn all_columns_go_behind_the_querys_own_order_and_before_its_limit() {
        assert_eq!(extended("SELECT a FROM t ORDER BY b", 1).as_deref(), Some("SELECT a FROM t ORDER BY b, 1"));
        assert_eq!(
            extended("SELECT a, c FROM t\nORDER BY b DESC -- the newest\n LIMIT 3;", 2).as_deref(),
            Some("SELECT a, c FROM t\nORDER BY b DESC, 1, 2 -- the newest\n LIMIT 3")
        );
        assert_eq!(extended("SELECT 'ä' FROM t ORDER BY b;", 1).as_deref(), Some("SELECT 'ä' FROM t ORDER BY b, 1"));
        assert_eq!(extended("FROM t ORDER BY ALL DESC", 2).as_deref(), Some("FROM t ORDER BY ALL DESC"));
    }

    #[test]
    fn an_order_by_inside_brackets_or_strings_is_not_the_querys_own() {
        assert_eq!(extended("SELECT row_number() OVER (ORDER BY a) FROM (SELECT 1 ORDER BY 1)", 1), None);
        assert_eq!(extended("SELECT ' ORDER BY x' FROM t -- ORDER BY y", 1), None);
        assert_eq!(extended("SELECT a AS \"order\" FROM t", 1), None);
    }

    #[test]
    fn a_trailing_comment_and_semicolon_are_cut_off() {
        assert_eq!(trimmed("SELECT 1; -- done\n"), "SELECT 1");
        assert_eq!(trimmed("SELECT ';' "), "SELECT ';'");
    }

    #[test]
    fn a_sort_key_is_a_column_and_never_sql() {
        let columns = vec![("total".to_string(), String::new()), ("my \"col".to_string(), String::new())];
        assert_eq!(sort_key("Total desc", &columns, "m").ok().as_deref(), Some("m.\"total\" DESC"));
        assert_eq!(sort_key("\"my \"\"col\" NULLS FIRST", &columns, "m").ok().as_deref(), Some("m.\"my \"\"col\" NULLS FIRST"));
        assert!(sort_key("total; DROP TABLE x", &columns, "m").is_err());
        assert!(sort_key("other", &columns, "m").is_err());
    }
}
