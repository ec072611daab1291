//! Errors and warnings that point at characters of the project file (or of a SQL file that it names).

use std::ops::Range;

use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet as Code, renderer::DecorStyle};

use crate::error::{Error, Kind, Snippet};
use crate::printable::{printable, printable_painted};

/// Width of plain and colored snippets; fixed, so that a message does not depend on who reads it.
const WIDTH_COLUMNS: usize = 140;

/// A span of bytes in one of the [`Files`].
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Place {
    pub file: usize,
    pub start: usize,
    pub end: usize,
}

impl Place {
    pub fn new(file: usize, span: Range<usize>) -> Place {
        Place { file, start: span.start, end: span.end.max(span.start) }
    }
}

/// The texts that diagnostics point into: the project file first, then SQL files.
#[derive(Debug, Clone, Default)]
pub(crate) struct Files(Vec<(String, String)>);

impl Files {
    /// `name`: as messages show it.
    pub fn add(&mut self, name: String, text: String) -> usize {
        self.0.push((name, text));
        self.0.len() - 1
    }

    /// `file:line`
    pub fn line_of(&self, place: &Place) -> String {
        let (line, _) = self.line_and_column(place);
        format!("{}:{line}", self.0[place.file].0)
    }

    /// Both from 1; the column in characters.
    pub fn line_and_column(&self, place: &Place) -> (usize, usize) {
        let text = &self.0[place.file].1;
        let before = &text[..floor(text, place.start)];
        let line_start = before.rfind('\n').map_or(0, |i| i + 1);
        (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
    }
}

/// The nearest character boundary at or before `index`.
fn floor(text: &str, index: usize) -> usize {
    let mut index = index.min(text.len());
    while !text.is_char_boundary(index) {
        index -= 1;
    }
    index
}

/// One error or warning, before it is rendered.
#[derive(Debug, Clone)]
pub(crate) struct Diagnostic {
    pub message: String,
    pub place: Place,
    /// Stands behind the caret; may be empty.
    pub label: String,
    pub help: Vec<String>,
    /// Further places that explain the first.
    pub context: Vec<(Place, String)>,
}

impl Diagnostic {
    pub fn new(message: impl Into<String>, place: &Place) -> Diagnostic {
        Diagnostic { message: message.into(), place: place.clone(), label: String::new(), help: Vec::new(), context: Vec::new() }
    }

    pub fn label(mut self, label: impl Into<String>) -> Self {
        self.label = label.into();
        self
    }

    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help.push(help.into());
        self
    }

    pub fn also(mut self, place: &Place, label: impl Into<String>) -> Self {
        self.context.push((place.clone(), label.into()));
        self
    }

    /// A key or value that is understood, but whose feature does not exist yet.
    pub fn not_built(what: &str, place: &Place, instead: &str) -> Diagnostic {
        Diagnostic::new(format!("{what} is not built yet"), place).help(instead)
    }

    pub fn into_error(self, files: &Files) -> Error {
        let (line, column) = files.line_and_column(&self.place);
        let plain = self.render(files, Level::ERROR, Renderer::plain());
        let colored = self.render(files, Level::ERROR, Renderer::styled());
        let mut error = Error::new(Kind::Project, self.message).at(format!("{}:{line}:{column}", files.0[self.place.file].0));
        error.help = self.help;
        error.snippet = Some(Box::new(Snippet { plain, colored }));
        error
    }

    pub fn into_warning(self, files: &Files) -> String {
        self.render(files, Level::WARNING, Renderer::plain())
    }

    fn render(&self, files: &Files, level: Level<'_>, renderer: Renderer) -> String {
        let renderer = renderer.decor_style(DecorStyle::Ascii).term_width(WIDTH_COLUMNS);
        let span_in = |place: &Place| {
            let text = &files.0[place.file].1;
            let start = floor(text, place.start);
            start..floor(text, place.end).max(start)
        };
        let (name, text) = &files.0[self.place.file];
        // messages name event types of the log; the renderer marks escape characters in the code, and no others
        let (message, label) = (printable(&self.message), printable(&self.label));
        let context: Vec<_> = self.context.iter().map(|(place, label)| (place, printable(label))).collect();
        let help: Vec<_> = self.help.iter().map(|help| printable(help)).collect();
        let mut primary = AnnotationKind::Primary.span(span_in(&self.place));
        if !self.label.is_empty() {
            primary = primary.label(&*label);
        }
        let mut code = Code::source(text.as_str()).path(name.as_str()).annotation(primary);
        for (place, label) in context.iter().filter(|(place, _)| place.file == self.place.file) {
            code = code.annotation(AnnotationKind::Context.span(span_in(place)).label(&**label));
        }
        let mut group = level.primary_title(&*message).element(code);
        for (place, label) in context.iter().filter(|(place, _)| place.file != self.place.file) {
            let (name, text) = &files.0[place.file];
            group = group.element(
                Code::source(text.as_str()).path(name.as_str()).annotation(AnnotationKind::Context.span(span_in(place)).label(&**label)),
            );
        }
        for help in &help {
            group = group.element(Level::HELP.message(&**help));
        }
        let mut out: String = printable_painted(&renderer.render(&[group])).lines().flat_map(|line| [line.trim_end(), "\n"]).collect();
        if !out.ends_with('\n') {
            out.push('\n');
        }
        out
    }
}

/// The candidate that was probably meant: few letters away, in the writing of the candidate.
pub(crate) fn nearest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let lower = name.to_lowercase();
    let length = name.chars().count();
    // One letter is never a misspelling of another one.
    let allowed = if length < 2 { 0 } else { (length / 3).clamp(1, 3) };
    candidates
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(&lower, &candidate.to_lowercase()), candidate))
        .filter(|(distance, candidate)| {
            *distance <= allowed
                || (lower.len() >= 4 && (candidate.to_lowercase().starts_with(&lower) || lower.starts_with(&candidate.to_lowercase())))
        })
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}
