//! Which read models are a projection of aggregates joined by key: told from the words of their SQL.
//!
//! ```text
//! SELECT column [AS name], … | *
//! FROM aggregate [alias]
//!   [[INNER] JOIN | LEFT [OUTER] JOIN aggregate [alias] USING (key, …) | ON column = key [AND …]] …
//! [ORDER BY column [ASC | DESC] [NULLS FIRST | LAST], …]
//! ```
//!
//! Few forms on purpose: whatever is not understood in full is left to DuckDB. What is accepted means the same there.

use super::{Cell, Join, Output, Plan, Side, SortKey};
use crate::fold;
use crate::project::sql_tokens::{Kind, Token, tokens};
use crate::project::{Aggregate, Project};
use crate::sql::Type;

/// Words that cannot stand bare for a column, or mean something else there: every keyword of DuckDB's grammar that is
/// not "unreserved" (`duckdb_keywords()`).
const NO_COLUMNS: &str = "
    all analyse analyze and anti any array as asc asof asymmetric at authorization between bigint binary bit boolean both
    by case cast char character check coalesce collate collation column columns concurrently constraint create cross dec
    decimal default deferrable desc describe distinct do else end except exists extract false fetch float for foreign
    freeze from full generated glob group grouping grouping_id having ilike in initially inner inout int integer intersect
    interval into is isnull join lambda lateral leading left like limit map national natural nchar none not notnull null
    nullif numeric offset on only or order out outer overlaps overlay pivot pivot_longer pivot_wider placing position
    positional precision primary qualify real references returning right row select semi setof show similar smallint some
    struct substring summarize symmetric table tablesample then time timestamp to trailing treat trim true try_cast union
    unique unpack unpivot using values varchar variadic verbose when where window with xmlattributes xmlconcat xmlelement
    xmlexists xmlforest xmlnamespaces xmlparse xmlpi xmlroot xmlserialize xmltable
";

/// Tables of one read model; more are left to DuckDB.
const SIDES_MAX: usize = 8;

/// How a read model's rows follow from aggregates without SQL; `None`: only DuckDB knows.
pub fn plan(project: &Project, sql: &str) -> Option<Plan> {
    let tokens = tokens(sql);
    let end = tokens.iter().rposition(|t| t.kind != Kind::Symbol(';'))? + 1;
    let mut words = Words { project, sql, tokens: &tokens[..end], at: 0, sides: Vec::new() };
    words.query()
}

/// A table of the FROM clause.
struct Named<'p> {
    name: String,
    aggregate: usize,
    definition: &'p Aggregate,
    columns: Vec<(String, Type)>,
    /// Columns that USING joins: bare names mean those of an earlier table.
    merged: Vec<usize>,
}

struct Words<'p> {
    project: &'p Project,
    sql: &'p str,
    tokens: &'p [Token],
    at: usize,
    sides: Vec<Named<'p>>,
}

/// A column as it is written: with its table or without.
struct Written {
    table: Option<String>,
    column: String,
}

impl<'p> Words<'p> {
    fn query(&mut self) -> Option<Plan> {
        self.word("select")?;
        let items = self.items()?;
        self.word("from")?;
        self.table()?;
        let mut joins = Vec::new();
        while let Some(outer) = self.join_begins()? {
            self.table()?;
            joins.push(self.join(outer)?);
        }
        let outputs = match items {
            Some(items) => items.into_iter().map(|(written, name)| self.output(&written, name)).collect::<Option<Vec<_>>>()?,
            None if self.sides.len() == 1 => {
                (0..self.sides[0].columns.len()).map(|column| self.named(Cell { side: 0, column }, None)).collect()
            }
            None => return None,
        };
        let distinct = |i: usize| !outputs[..i].iter().any(|o: &Output| o.name.eq_ignore_ascii_case(&outputs[i].name));
        let fits = |output: &Output| is_exact(&output.ty) || output.ty == Type::Json;
        if !(0..outputs.len()).all(distinct) || !outputs.iter().all(fits) {
            return None;
        }
        let order = if self.at < self.tokens.len() { Some(self.order(&outputs)?) } else { None };
        let sides = self.sides.iter().zip(std::iter::once(None).chain(joins.into_iter().map(Some)));
        let sides = sides.map(|(named, join)| Side { aggregate: named.aggregate, keys: named.definition.keys.len(), join });
        Some(Plan { sides: sides.collect(), outputs, order }).filter(|_| self.at == self.tokens.len())
    }

    /// `None`: all columns.
    #[allow(clippy::type_complexity, reason = "a list of columns with their names, or none for all of them")]
    fn items(&mut self) -> Option<Option<Vec<(Written, Option<String>)>>> {
        if self.symbol('*').is_some() {
            return Some(None);
        }
        let mut items = Vec::new();
        loop {
            let written = self.written()?;
            let name = match self.word("as") {
                Some(()) => Some(self.label()?),
                None => None,
            };
            items.push((written, name));
            if self.symbol(',').is_none() {
                return Some(Some(items));
            }
        }
    }

    fn table(&mut self) -> Option<()> {
        let written = self.name()?;
        let aggregate = self.project.aggregates.iter().position(|a| a.name.eq_ignore_ascii_case(&written))?;
        let definition = &self.project.aggregates[aggregate];
        let aliased = self.word("as").is_some();
        let name = match self.alias() {
            Some(alias) => alias,
            None if aliased => return None,
            None => written,
        };
        if self.sides.len() == SIDES_MAX || self.sides.iter().any(|side| side.name.eq_ignore_ascii_case(&name)) {
            return None;
        }
        self.sides.push(Named { name, aggregate, definition, columns: fold::schema(definition), merged: Vec::new() });
        Some(())
    }

    /// Inside: whether rows without a partner stay; `None` where no join follows.
    fn join_begins(&mut self) -> Option<Option<bool>> {
        if self.word("left").is_some() {
            let _ = self.word("outer");
            return self.word("join").map(|()| Some(true));
        }
        if self.word("inner").is_some() {
            return self.word("join").map(|()| Some(false));
        }
        Some(self.word("join").map(|()| false))
    }

    /// The condition of the last table's join, which has to name its whole key.
    fn join(&mut self, outer: bool) -> Option<Join> {
        let side = self.sides.len() - 1;
        let mut pairs: Vec<(Cell, usize)> = Vec::new();
        if self.word("using").is_some() {
            self.symbol('(')?;
            loop {
                let column = self.name()?;
                let other = self.find_among(side, &Written { table: None, column: column.clone() })?;
                let own = self.sides[side].column(&column)?;
                self.sides[side].merged.push(own);
                pairs.push((other, own));
                if self.symbol(',').is_none() {
                    break;
                }
            }
            self.symbol(')')?;
        } else {
            self.word("on")?;
            loop {
                let left = self.written()?;
                self.symbol('=')?;
                let right = self.written()?;
                let (left, right) = (self.find(&left)?, self.find(&right)?);
                pairs.push(match (left.side == side, right.side == side) {
                    (false, true) => (left, right.column),
                    (true, false) => (right, left.column),
                    _ => return None,
                });
                if self.word("and").is_none() {
                    break;
                }
            }
        }
        let keys = self.sides[side].definition.keys.len();
        pairs.sort_by_key(|(_, own)| *own);
        let whole = pairs.len() == keys && pairs.iter().enumerate().all(|(i, (_, own))| i == *own);
        let same = |(other, own): &(Cell, usize)| {
            let ty = &self.sides[side].columns[*own].1;
            self.sides[other.side].columns[other.column].1 == *ty && is_exact(ty)
        };
        (whole && pairs.iter().all(same)).then(|| Join { keys: pairs.iter().map(|(other, _)| *other).collect(), outer })
    }

    fn order(&mut self, outputs: &[Output]) -> Option<Vec<SortKey>> {
        self.word("order")?;
        self.word("by")?;
        let mut keys = Vec::new();
        loop {
            let written = self.written()?;
            let column = match &written.table {
                Some(_) => {
                    let cell = self.find(&written)?;
                    outputs.iter().position(|output| output.cell == cell)?
                }
                None => {
                    // a bare name is an output's before it is a column's
                    let named = outputs.iter().position(|output| output.name.eq_ignore_ascii_case(&written.column))?;
                    let hidden = self.sides.iter().enumerate().filter_map(|(side, s)| Some((side, s.column(&written.column)?)));
                    let is_same = |(side, column): (usize, usize)| outputs[named].cell == Cell { side, column };
                    let mut hidden = hidden.peekable();
                    if hidden.peek().is_some() && !hidden.any(is_same) {
                        return None;
                    }
                    named
                }
            };
            let descending = self.word("desc").is_some();
            if !descending {
                let _ = self.word("asc");
            }
            let nulls_first = match self.word("nulls") {
                Some(()) if self.word("first").is_some() => true,
                Some(()) => {
                    self.word("last")?;
                    false
                }
                None => false,
            };
            keys.push(SortKey { output: column, descending, nulls_first });
            if self.symbol(',').is_none() {
                return Some(keys);
            }
        }
    }

    fn output(&self, written: &Written, name: Option<String>) -> Option<Output> {
        Some(self.named(self.find(written)?, name))
    }

    /// Without a name of its own an output has the column's, as the table spells it.
    fn named(&self, cell: Cell, name: Option<String>) -> Output {
        let (column, ty) = &self.sides[cell.side].columns[cell.column];
        Output { name: name.unwrap_or_else(|| column.clone()), cell, ty: ty.clone() }
    }

    fn find(&self, written: &Written) -> Option<Cell> {
        self.find_among(self.sides.len(), written)
    }

    /// The column among the first tables; bare names have to be those of one table only.
    fn find_among(&self, sides: usize, written: &Written) -> Option<Cell> {
        let mut found = None;
        for (side, named) in self.sides[..sides].iter().enumerate() {
            let Some(column) = named.column(&written.column) else { continue };
            match &written.table {
                Some(table) if !table.eq_ignore_ascii_case(&named.name) => continue,
                None if named.merged.contains(&column) => continue,
                _ if found.is_some() => return None,
                _ => found = Some(Cell { side, column }),
            }
        }
        found
    }

    /// `column` or `table.column`
    fn written(&mut self) -> Option<Written> {
        let bare = self.at;
        let first = self.name_of_any()?;
        if self.symbol('.').is_some() {
            return Some(Written { table: Some(first), column: self.name_of_any()? });
        }
        self.is_no_keyword(bare, NO_COLUMNS).then_some(Written { table: None, column: first })
    }

    /// A name that stands for itself: of a table, or of a column of USING.
    fn name(&mut self) -> Option<String> {
        let at = self.at;
        let name = self.name_of_any()?;
        self.is_no_keyword(at, NO_COLUMNS).then_some(name)
    }

    /// What stands behind AS.
    fn label(&mut self) -> Option<String> {
        self.name_of_any()
    }

    /// A table's other name: a quoted one, or a word that is no keyword at all.
    fn alias(&mut self) -> Option<String> {
        let token = self.tokens.get(self.at)?;
        let word = self.sql[token.start..token.end].to_ascii_lowercase();
        let fits = token.kind == Kind::Quoted || (token.kind == Kind::Word && !crate::sql::is_keyword(&word));
        if fits { self.name_of_any() } else { None }
    }

    fn is_no_keyword(&self, at: usize, words: &str) -> bool {
        let Some(token) = self.tokens.get(at) else { return false };
        let text = &self.sql[token.start..token.end];
        token.kind == Kind::Quoted || !words.split_ascii_whitespace().any(|word| word.eq_ignore_ascii_case(text))
    }

    fn name_of_any(&mut self) -> Option<String> {
        let name = self.tokens.get(self.at)?.name(self.sql)?;
        self.at += 1;
        (!name.is_empty()).then_some(name)
    }

    fn word(&mut self, word: &str) -> Option<()> {
        self.tokens.get(self.at).filter(|token| token.is_word(self.sql, word))?;
        self.at += 1;
        Some(())
    }

    fn symbol(&mut self, symbol: char) -> Option<()> {
        self.tokens.get(self.at).filter(|token| token.kind == Kind::Symbol(symbol))?;
        self.at += 1;
        Some(())
    }
}

impl Named<'_> {
    fn column(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|(column, _)| column.eq_ignore_ascii_case(name))
    }
}

/// Types of which equal values are the same, and of which each value has one place in DuckDB's order, known here. Not so
/// floats: DuckDB's joins and sorts make 0.0 of some -0.0.
fn is_exact(ty: &Type) -> bool {
    match ty {
        Type::Boolean | Type::Varchar | Type::Date | Type::Time | Type::Timestamp | Type::TimestampTz | Type::Uuid => true,
        ty => ty.is_integer() || ty.is_decimal(),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn project() -> Project {
        let text = r#"
[project]
name = "shop"
[source.s]
files = ["log.ndjson"]
[event.Set]
sku = "VARCHAR"
[aggregate.customer]
source = "s"
stream = "customer-{customer_id}"
[aggregate.customer.state]
name = "VARCHAR"
score = "DOUBLE"
[aggregate.customer.on.Set]
set.name = "data.sku"
[aggregate.order]
source = "s"
stream = "order-{order_id}"
[aggregate.order.state]
customer_id = "VARCHAR"
total = "DECIMAL(18,2)"
day = "DATE"
score = "DOUBLE"
lines = "VARCHAR[]"
[aggregate.order.on.Set]
set.customer_id = "data.sku"
[aggregate.sales]
source = "s"
key = { sku = "data.sku", day = "event.time::DATE" }
[aggregate.sales.state]
sold = "BIGINT"
[aggregate.sales.on.Set]
set.sold = "sold + 1"
"#;
        let loaded = crate::project::load_text(text, Path::new("foldline.toml"), Path::new("/project"), &Default::default(), &|_| None);
        loaded.unwrap_or_else(|errors| panic!("{errors:?}"))
    }

    #[test]
    fn projections_and_joins_by_the_whole_key_are_recognized() {
        let project = project();
        for sql in [
            "SELECT * FROM sales",
            "select Sku, sales.DAY AS \"Tag\", _events FROM \"sales\" ;",
            "SELECT o.order_id, c.name FROM \"order\" o JOIN customer AS c USING (customer_id) -- by key\n",
            "SELECT customer_id, c.name FROM \"order\" o LEFT JOIN customer c USING (customer_id)",
            "SELECT order_id, name FROM \"order\" LEFT OUTER JOIN customer ON customer.customer_id = \"order\".customer_id",
            "SELECT a.order_id, b.total FROM \"order\" a INNER JOIN \"order\" b ON a.order_id = b.order_id ORDER BY total DESC NULLS FIRST, a.order_id",
            "SELECT o.total, s.sold, c.name FROM \"order\" o JOIN sales s ON s.day = o.day AND o.customer_id = s.sku JOIN customer c ON c.customer_id = s.sku",
        ] {
            assert!(plan(&project, sql).is_some(), "{sql}");
        }
    }

    #[test]
    fn whatever_else_a_query_says_is_left_to_sql() {
        let project = project();
        for sql in [
            "",
            ";",
            "SELECT",
            "SELECT sku FROM",
            "SELECT sku, sku FROM sales",
            "SELECT sku FROM sales LIMIT 1",
            "SELECT sku FROM sales s, sales t",
            "SELECT DISTINCT sku FROM sales",
            "SELECT ALL sku FROM sales",
            "SELECT sku FROM sales WHERE sold > 1",
            "SELECT sku FROM sales GROUP BY sku",
            "SELECT sku FROM sales ORDER BY day",
            "SELECT sku FROM sales ORDER BY 1",
            "SELECT sku FROM sales ORDER BY sku COLLATE NOCASE",
            "SELECT sold AS sku FROM sales ORDER BY sku",
            "SELECT sku FROM sales UNION ALL SELECT sku FROM sales",
            "SELECT sold + 1 AS s FROM sales",
            "SELECT upper(sku) AS s FROM sales",
            "SELECT sku s FROM sales",
            "SELECT s.sku FROM sales s(sku)",
            "SELECT missing FROM sales",
            "SELECT sales FROM sales",
            "SELECT true FROM sales",
            "SELECT lines FROM \"order\"",
            "SELECT * FROM \"order\"",
            "SELECT order_id FROM order",
            "SELECT score, order_id FROM \"order\"",
            "SELECT * FROM \"order\" o JOIN customer c USING (customer_id)",
            "SELECT o.order_id FROM \"order\" o JOIN sales s ON o.customer_id = s.sku",
            "SELECT o.order_id FROM \"order\" o JOIN sales s USING (day)",
            "SELECT o.order_id FROM \"order\" o JOIN customer c ON o.customer_id = c.name",
            "SELECT o.order_id FROM \"order\" o JOIN customer c ON o.total = c.customer_id",
            "SELECT o.order_id FROM \"order\" o JOIN customer c ON o.customer_id = c.customer_id AND c.name = o.customer_id",
            "SELECT o.order_id FROM \"order\" o RIGHT JOIN customer c USING (customer_id)",
            "SELECT o.order_id FROM \"order\" o FULL JOIN customer c USING (customer_id)",
            "SELECT o.order_id FROM \"order\" o SEMI JOIN customer c USING (customer_id)",
            "SELECT o.order_id FROM \"order\" o NATURAL JOIN customer c",
            "SELECT o.order_id FROM \"order\" o CROSS JOIN customer c",
            "SELECT o.order_id FROM \"order\" o ASOF JOIN customer c USING (customer_id)",
            "SELECT o.order_id FROM \"order\" o LEFT SEMI JOIN customer c USING (customer_id)",
            "FROM sales SELECT sku",
            "WITH sales AS (SELECT 1 AS sku) SELECT sku FROM sales",
            "SELECT sku FROM events.sales",
        ] {
            assert!(plan(&project, sql).is_none(), "{sql}");
        }
    }
}
