//! Whether to color what goes to a terminal, and how wide it is.

use std::io::IsTerminal;
use std::str::FromStr;

/// `--color`, as typed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ColorChoice {
    #[default]
    Auto,
    Always,
    Never,
}

impl FromStr for ColorChoice {
    type Err = String;

    fn from_str(s: &str) -> Result<Self, String> {
        match s {
            "auto" => Ok(ColorChoice::Auto),
            "always" => Ok(ColorChoice::Always),
            "never" => Ok(ColorChoice::Never),
            _ => Err(format!("`{s}` is not one of auto, always, never")),
        }
    }
}

/// The decision itself: what was asked for wins; else a terminal gets color unless its owner said otherwise.
///
/// `no_color` is the variable NO_COLOR (any value but the empty one counts, see no-color.org), `term` is TERM.
pub fn use_color(choice: ColorChoice, no_color: Option<&str>, term: Option<&str>, is_terminal: bool) -> bool {
    match choice {
        ColorChoice::Always => true,
        ColorChoice::Never => false,
        ColorChoice::Auto => is_terminal && no_color.is_none_or(str::is_empty) && term != Some("dumb"),
    }
}

/// [`use_color`] for this process's stderr.
pub fn stderr_color(choice: ColorChoice) -> bool {
    color_of(choice, std::io::stderr().is_terminal())
}

/// [`use_color`] for this process's stdout.
pub fn stdout_color(choice: ColorChoice) -> bool {
    color_of(choice, std::io::stdout().is_terminal())
}

/// Whether data on stdout goes to a terminal.
pub fn stdout_is_terminal() -> bool {
    std::io::stdout().is_terminal()
}

fn color_of(choice: ColorChoice, is_terminal: bool) -> bool {
    let no_color = std::env::var_os("NO_COLOR").map(|v| v.to_string_lossy().into_owned());
    let term = std::env::var("TERM").ok();
    use_color(choice, no_color.as_deref(), term.as_deref(), is_terminal)
}

/// The columns to fit the summary into: those of the terminal that stderr is (COLUMNS overrides them), else no
/// bound, so that nothing is cut on a pipe.
pub fn stderr_width() -> usize {
    if !std::io::stderr().is_terminal() {
        return usize::MAX;
    }
    let said = std::env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok());
    said.or_else(|| terminal_size::terminal_size_of(std::io::stderr()).map(|(width, _)| width.0 as usize)).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_gets_color_and_a_pipe_does_not() {
        assert!(use_color(ColorChoice::Auto, None, Some("xterm"), true));
        assert!(!use_color(ColorChoice::Auto, None, Some("xterm"), false));
        assert!(!use_color(ColorChoice::Auto, None, Some("dumb"), true));
    }

    #[test]
    fn no_color_counts_unless_it_is_empty() {
        assert!(!use_color(ColorChoice::Auto, Some("1"), None, true));
        assert!(use_color(ColorChoice::Auto, Some(""), None, true));
    }

    #[test]
    fn the_option_beats_the_environment() {
        assert!(use_color(ColorChoice::Always, Some("1"), Some("dumb"), false));
        assert!(!use_color(ColorChoice::Never, None, Some("xterm"), true));
    }
}
