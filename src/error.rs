//! Errors as data: a fact, the place it happened at, and what helps. One display for all of them.

use std::fmt;
use std::path::Path;

use crate::printable::printable_start;

/// Characters of a message, a place or a help that are shown: a name in it may have a megabyte.
const SHOWN_CHARS_MAX: usize = 4000;

/// What went wrong, as far as the exit code cares (the codes follow sysexits.h where it has one).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The command line cannot be understood.
    Usage,
    /// A consumed log file was changed, cut or has vanished.
    HistoryChanged,
    /// `verify`, `diff` or `test` found a difference.
    Difference,
    /// A check of a read model failed; the last generation stays live.
    CheckFailed,
    /// Records or events that cannot be applied.
    BadData,
    /// No input: a missing file, an empty glob.
    NoInput,
    /// A defect of foldline itself.
    Internal,
    /// The operating system refused a read or write.
    Io,
    /// Another run holds the project.
    Locked,
    /// The project file cannot be used.
    Project,
    /// Stopped by SIGINT.
    Interrupted,
    /// Stopped by SIGTERM.
    Terminated,
}

impl Kind {
    /// The process exit code of this kind.
    pub fn exit_code(self) -> u8 {
        match self {
            Kind::Usage => 2,
            Kind::HistoryChanged => 10,
            Kind::Difference => 13,
            Kind::CheckFailed => 14,
            Kind::BadData => 65,
            Kind::NoInput => 66,
            Kind::Internal => 70,
            Kind::Io => 74,
            Kind::Locked => 75,
            Kind::Project => 78,
            Kind::Interrupted => 130,
            Kind::Terminated => 143,
        }
    }
}

/// One error: what is wrong, where, and what to do about it.
///
/// ```text
/// error: stream `order-17` jumps from version 41 to 43
///   --> events/2026-05.ndjson:8812
/// help: export the file again, or set `on_gap = "wait"` in [source.shop]
/// ```
#[derive(Debug, Clone)]
pub struct Error {
    pub kind: Kind,
    /// The fact, one line, lower case, no full stop.
    pub message: String,
    /// `file:line`, `file`, `file @ offset`; several where several places matter.
    pub places: Vec<String>,
    /// What to do, one line each.
    pub help: Vec<String>,
    /// A rendered source snippet with a caret, shown instead of `message` and `places` (project files).
    pub snippet: Option<Box<Snippet>>,
}

/// The two renderings of one diagnostic; which is shown depends on where it is shown.
#[derive(Debug, Clone)]
pub struct Snippet {
    pub plain: String,
    pub colored: String,
}

pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        Error { kind, message: message.into(), places: Vec::new(), help: Vec::new(), snippet: None }
    }

    /// An operating system error on `path`; `verb` says what was tried (`read`, `write`, `rename`).
    pub fn io(verb: &str, path: &Path, source: std::io::Error) -> Self {
        let kind = if source.kind() == std::io::ErrorKind::NotFound && verb == "read" { Kind::NoInput } else { Kind::Io };
        Error::new(kind, format!("cannot {verb} {}: {}", path.display(), describe_io(&source)))
    }

    /// A defect of foldline, reached although it should not be.
    pub fn internal(message: impl Into<String>) -> Self {
        Error::new(Kind::Internal, message)
            .with_help("this is a defect of foldline; please report it with the command and the project file")
    }

    pub fn at(mut self, place: impl Into<String>) -> Self {
        self.places.push(place.into());
        self
    }

    pub fn with_help(mut self, help: impl Into<String>) -> Self {
        self.help.push(help.into());
        self
    }

    /// The whole error as text for a terminal (`color`) or a pipe, ending with a line break. Whatever names and values
    /// are in it, each part is one line of printable characters.
    pub fn render(&self, color: bool) -> String {
        let mut out = String::new();
        if let Some(snippet) = &self.snippet {
            out.push_str(if color { &snippet.colored } else { &snippet.plain });
            if !out.ends_with('\n') {
                out.push('\n');
            }
            return out;
        }
        let (red, cyan, bold, reset) = if color { ("\x1b[1;31m", "\x1b[1;36m", "\x1b[1m", "\x1b[0m") } else { ("", "", "", "") };
        out.push_str(&format!("{red}error{reset}{bold}: {}{reset}\n", shown(&self.message)));
        for place in &self.places {
            out.push_str(&format!("  {cyan}-->{reset} {}\n", shown(place)));
        }
        for help in &self.help {
            out.push_str(&format!("{cyan}help{reset}: {}\n", shown(help)));
        }
        out
    }
}

fn shown(text: &str) -> String {
    printable_start(text, SHOWN_CHARS_MAX)
}

fn describe_io(source: &std::io::Error) -> String {
    match source.kind() {
        std::io::ErrorKind::NotFound => "no such file or folder".to_string(),
        std::io::ErrorKind::PermissionDenied => "permission denied".to_string(),
        std::io::ErrorKind::AlreadyExists => "something else has that name".to_string(),
        std::io::ErrorKind::StorageFull => "the device is full".to_string(),
        // without the number that the standard library adds: the words say it
        _ => source.to_string().split(" (os error").next().unwrap_or_default().to_string(),
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.render(false).trim_end())
    }
}

impl std::error::Error for Error {}
