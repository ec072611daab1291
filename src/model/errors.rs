//! What DuckDB says, as an error of foldline: the fact, the read model's place in the project file, and
//! DuckDB's line with its caret.

use super::duck::DuckError;
use crate::error::{Error, Kind, Snippet};
use crate::printable::printable_lines;

/// An error while the SQL at `place` (`file:line`) was bound or run; `what` names it: "read model `x`".
pub(super) fn sql_error(what: &str, place: &str, error: &DuckError) -> Error {
    let said = Said::parse(&error.0);
    let place = match said.line {
        Some(line) => below(place, line - 1),
        None => place.to_string(),
    };
    let mut out = Error::new(said.kind, format!("{what}: {}", said.fact)).at(place);
    if let Some(help) = help_for(said.kind, &error.0) {
        out = out.with_help(help);
    }
    for hint in &said.hints {
        out = out.with_help(hint.clone());
    }
    if let Some(caret) = &said.caret {
        let with_caret = |text: String| {
            let at = text.find("help").filter(|_| !out.help.is_empty()).and_then(|_| text.rmatch_indices("\n").nth(out.help.len()));
            let cut = at.map_or(text.len(), |(i, _)| i + 1);
            format!("{}{caret}{}", &text[..cut], &text[cut..])
        };
        out.snippet = Some(Box::new(Snippet { plain: with_caret(out.render(false)), colored: with_caret(out.render(true)) }));
    }
    out
}

/// An error of a statement that foldline itself wrote.
pub(super) fn own_error(doing: &str, error: &DuckError) -> Error {
    let said = Said::parse(&error.0);
    let kind = if said.kind == Kind::Project { Kind::Internal } else { said.kind };
    let out = Error::new(kind, format!("{doing}: {}", said.fact));
    match help_for(kind, &error.0) {
        Some(help) => out.with_help(help),
        None => out,
    }
}

struct Said {
    kind: Kind,
    fact: String,
    hints: Vec<String>,
    line: Option<usize>,
    /// The source line and the caret below it, each with a margin and a line break.
    caret: Option<String>,
}

impl Said {
    fn parse(message: &str) -> Said {
        let (head, position) = match message.find("\nLINE ") {
            Some(i) => (&message[..i], &message[i + 1..]),
            None => (message, ""),
        };
        let (class, text) = match head.split_once(" Error: ") {
            Some((class, text)) if class.len() < 30 && !class.contains('\n') => (class, text),
            _ => ("", head),
        };
        let mut lines = text.lines().map(str::trim).filter(|l| !l.is_empty());
        let fact = lines.next().unwrap_or("DuckDB failed and did not say why").to_string();
        let hints = lines.map(str::to_string).collect();
        let mut said = Said { kind: kind_of(class), fact, hints, line: None, caret: None };
        let mut lines = position.lines();
        if let Some((label, source)) = lines.next().and_then(|l| l.split_once(": ")) {
            said.line = label.strip_prefix("LINE ").and_then(|n| n.parse().ok()).filter(|n| *n > 0);
            let margin = label.chars().count() + 2;
            let mut caret = format!("   | {}\n", printable_lines(source));
            if let Some(mark) = lines.next().filter(|l| l.contains('^')) {
                let mark: String = mark.chars().skip(margin).collect();
                caret.push_str(&format!("   | {}\n", mark.trim_end()));
            }
            said.caret = Some(caret);
        }
        said
    }
}

/// `file:line` some lines further down; a place without a line stays.
fn below(place: &str, lines: usize) -> String {
    match place.rsplit_once(':').and_then(|(file, line)| Some((file, line.parse::<usize>().ok()?))) {
        Some((file, line)) => format!("{file}:{}", line + lines),
        None => place.to_string(),
    }
}

fn kind_of(class: &str) -> Kind {
    match class {
        // what foldline writes into a target's own file fails at its end only where the file system does
        "TransactionContext" => Kind::Io,
        _ if class.eq_ignore_ascii_case("fatal") => Kind::Io,
        "Conversion" | "Out of Range" | "Invalid Input" | "Constraint" | "Mismatch Type" | "Invalid Type" => Kind::BadData,
        "IO" | "Out of Memory" | "HTTP" => Kind::Io,
        "INTERRUPT" => Kind::Interrupted,
        "INTERNAL" => Kind::Internal,
        _ => Kind::Project,
    }
}

fn help_for(kind: Kind, message: &str) -> Option<&'static str> {
    if message.starts_with("Out of Memory") {
        return Some("give it more with `--memory`, or fewer threads with `--threads`");
    }
    if message.starts_with("Permission Error") {
        return Some(
            "read models see aggregates, event tables, lookup tables and each other, but no files; declare a file as [table.<name>]",
        );
    }
    (kind == Kind::Internal).then_some("this is a defect of foldline or DuckDB; please report it with the command and the project file")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_shows_duckdbs_line_and_caret_at_the_read_models_place() {
        let said = "Binder Error: Referenced column \"x\" not found in FROM clause!\nCandidate bindings: \"a\"\n\nLINE 2: FROM t WHERE x\n                     ^";
        let error = sql_error("read model `m`", "foldline.toml:10", &DuckError(said.into()));
        assert_eq!(error.kind, Kind::Project);
        assert_eq!(
            error.render(false),
            "error: read model `m`: Referenced column \"x\" not found in FROM clause!\n  --> foldline.toml:11\n   | FROM t WHERE x\n   |              ^\nhelp: Candidate bindings: \"a\"\n"
        );
    }

    #[test]
    fn an_error_without_a_line_is_shown_plainly() {
        let error = sql_error("read model `m`", "foldline.toml:10", &DuckError("Conversion Error: no".into()));
        assert_eq!((error.kind, error.render(false).as_str()), (Kind::BadData, "error: read model `m`: no\n  --> foldline.toml:10\n"));
    }
}
