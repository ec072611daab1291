//! `foldline test`: the `[[test]]` blocks.

use super::{Context, Done};
use crate::error::{Error, Kind};
use crate::printable::printable;
use crate::run::given::run_test;

pub fn test(context: &Context, name: Option<&str>) -> Done {
    let project = context.project()?;
    let tests: Vec<_> = project.tests.iter().filter(|t| name.is_none_or(|name| t.name.contains(name))).collect();
    if tests.is_empty() {
        let error = match name {
            Some(name) => Error::new(Kind::Usage, format!("no test's name contains `{name}`")),
            None => Error::new(Kind::Usage, "the project has no tests").with_help("add a [[test]] with `given` events and `then` rows"),
        };
        return Err(vec![error]);
    }
    let mut text = String::new();
    let mut results = Vec::new();
    for test in &tests {
        let failures = run_test(&project, test).map_err(|e| vec![e])?;
        let verdict = if failures.is_empty() { "ok" } else { "FAILED" };
        text.push_str(&format!("test {} … {verdict}\n", printable(&test.name)));
        for failure in &failures {
            text.push_str(&format!("  {failure}\n"));
        }
        if !failures.is_empty() {
            text.push_str(&format!("  --> {}\n", test.place));
        }
        results.push(serde_json::json!({ "name": test.name, "place": test.place, "passed": failures.is_empty(), "failures": failures }));
    }
    let failed = results.iter().filter(|r| r["passed"] == false).count();
    text.push_str(&format!("{} passed, {failed} failed\n", tests.len() - failed));
    match (context.json, context.quiet) {
        (true, _) => context.print(&format!("{}\n", serde_json::json!({ "tests": results })))?,
        (false, true) => {}
        (false, false) => context.print(&text)?,
    }
    match failed {
        0 => Ok(()),
        1 => Err(vec![Error::new(Kind::Difference, "1 test failed")]),
        n => Err(vec![Error::new(Kind::Difference, format!("{n} tests failed"))]),
    }
}
