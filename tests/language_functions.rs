//! docs/language.md against the functions that exist, here and in the DuckDB that is linked in: every scalar
//! function of DuckDB's own list exists here, or the page says why it does not.

use std::collections::BTreeSet;

use duckdb::Connection;
use foldline::sql::functions;

const PAGE: &str = include_str!("../docs/language.md");

/// The names of DuckDB's scalar functions and macros, operators left out.
fn of_duckdb() -> BTreeSet<String> {
    let db = Connection::open_in_memory().expect("an in-memory DuckDB");
    let query = "SELECT DISTINCT lower(function_name) FROM duckdb_functions() WHERE function_type IN ('scalar', 'macro')";
    let mut statement = db.prepare(query).expect("DuckDB lists its functions");
    let names = statement.query_map([], |row| row.get::<_, String>(0)).expect("names");
    let is_operator = |name: &String| !name.contains(|c: char| c.is_alphanumeric()) || name == "!__postfix";
    names.map(|name| name.expect("a name")).filter(|name| !is_operator(name)).collect()
}

/// The lines below a heading, up to the next one.
fn section(heading: &str) -> impl Iterator<Item = &'static str> {
    let from = PAGE.find(heading).unwrap_or_else(|| panic!("docs/language.md has the heading `{heading}`"));
    PAGE[from..].lines().skip(1).take_while(|line| !line.starts_with("## "))
}

/// The names in the first column of the table of what is absent; one that ends with `*` stands for all that begin so.
fn absent() -> Vec<String> {
    let rows =
        section("## Functions of DuckDB that do not exist here").filter(|line| line.starts_with("| ") && !line.starts_with("| function"));
    let cells = rows.filter_map(|row| row.split('|').nth(1));
    cells.flat_map(|cell| cell.split_whitespace().map(str::to_lowercase).collect::<Vec<_>>()).collect()
}

fn covers(pattern: &str, name: &str) -> bool {
    pattern.strip_suffix('*').map_or(pattern == name, |prefix| name.starts_with(prefix))
}

#[test]
fn every_scalar_function_of_duckdb_exists_or_is_said_not_to() {
    let ours: BTreeSet<String> = functions::names().into_iter().map(str::to_lowercase).collect();
    let (theirs, absent) = (of_duckdb(), absent());
    let (here, missing): (Vec<&String>, Vec<&String>) = theirs.iter().partition(|name| ours.contains(*name));
    let unsaid: Vec<_> = missing.iter().filter(|name| !absent.iter().any(|pattern| covers(pattern, name))).collect();
    assert!(unsaid.is_empty(), "neither here nor in the table of docs/language.md: {unsaid:?}");
    let present: Vec<_> = here.iter().filter(|name| absent.contains(name)).collect();
    assert!(present.is_empty(), "in the table of what is absent, but here: {present:?}");
    let stale: Vec<_> = absent.iter().filter(|pattern| !theirs.iter().any(|name| covers(pattern, name))).collect();
    assert!(stale.is_empty(), "in the table of what is absent, but not in DuckDB either: {stale:?}");
    println!("{} scalar functions of DuckDB: {} here, {} not", theirs.len(), here.len(), missing.len());
}

#[test]
fn every_function_is_named_on_the_page() {
    let page: BTreeSet<&str> =
        section("## Functions\n").flat_map(|line| line.split(|c: char| !(c.is_alphanumeric() || c == '_' || c == '~'))).collect();
    // the `array_` names are told of as a group
    let unnamed = |name: &&str| {
        !page.contains(name) && !name.strip_prefix("array_").is_some_and(|rest| page.contains(format!("list_{rest}").as_str()))
    };
    let unnamed: Vec<_> = functions::names().into_iter().filter(unnamed).collect();
    assert!(unnamed.is_empty(), "docs/language.md does not name {unnamed:?}");
}
