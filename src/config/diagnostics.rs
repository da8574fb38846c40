//! Everything that is wrong with a file, each with its place, as people and as programs read it.

use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet};
use serde::Serialize;

/// What was found wrong, in the order of the file.
#[derive(Clone, Debug, PartialEq)]
pub struct Diagnostics {
    file: PathBuf,
    text: Arc<str>,
    /// Where each line begins; a large file may have many remarks.
    lines: Arc<[usize]>,
    items: Vec<Diagnostic>,
}

/// One mistake, or one remark.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Diagnostic {
    /// Whether it stops the start.
    pub level: DiagnosticLevel,
    /// The file.
    pub file: PathBuf,
    /// From 1; 0 where it belongs to no line.
    pub line: usize,
    /// In characters, from 1; 0 where it belongs to no line.
    pub column: usize,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub help: Option<String>,
    /// The bytes of the file.
    #[serde(skip)]
    span: Option<Range<usize>>,
}

/// How bad it is.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum DiagnosticLevel {
    /// The file cannot be used.
    Error,
    /// The file can be used, though something in it may surprise.
    Note,
}

impl Diagnostics {
    /// Nothing wrong so far.
    pub(crate) fn new(file: &Path, text: &str) -> Self {
        let after_newlines = text.match_indices('\n').map(|(at, _)| at + 1);
        let lines = std::iter::once(0).chain(after_newlines).collect();
        Self { file: file.to_owned(), text: text.into(), lines, items: Vec::new() }
    }

    /// A mistake that belongs to no place: the file is not there.
    pub(crate) fn of_file(file: &Path, message: String) -> Self {
        let mut diagnostics = Self::new(file, "");
        diagnostics.push(DiagnosticLevel::Error, None, message, None);
        diagnostics
    }

    pub(crate) fn push(
        &mut self,
        level: DiagnosticLevel,
        span: Option<Range<usize>>,
        message: String,
        help: Option<String>,
    ) {
        let span = span.map(|span| self.within_text(span));
        let (line, column) = span.as_ref().map_or((0, 0), |span| self.position(span.start));
        let message = printable(&message);
        let help = help.as_deref().map(printable);
        let file = self.file.clone();
        self.items.push(Diagnostic { level, file, line, column, message, help, span });
    }

    /// Puts them in the order of the file, errors before notes at the same place, each once.
    pub(crate) fn sort(&mut self) {
        self.items
            .sort_by_key(|item| (item.line, item.column, item.level == DiagnosticLevel::Note));
        self.items.dedup();
    }

    /// Keeps the errors alone.
    pub(crate) fn drop_notes(&mut self) {
        self.items.retain(|item| item.level == DiagnosticLevel::Error);
    }

    /// Whether any of them is an error.
    pub fn has_errors(&self) -> bool {
        self.errors().next().is_some()
    }

    /// The errors.
    pub fn errors(&self) -> impl Iterator<Item = &Diagnostic> {
        self.items.iter().filter(|item| item.level == DiagnosticLevel::Error)
    }

    /// The notes.
    pub fn notes(&self) -> impl Iterator<Item = &Diagnostic> {
        self.items.iter().filter(|item| item.level == DiagnosticLevel::Note)
    }

    /// All of them, each with its line, a caret and what helps, as rustc writes them.
    pub fn render(&self, colour: bool) -> String {
        let renderer = if colour { Renderer::styled() } else { Renderer::plain() };
        let mut text = String::new();
        for item in self.items.iter().take(MAX_RENDERED) {
            text.push_str(&self.render_one(item, &renderer));
            text.push_str("\n\n");
        }
        if self.items.len() > MAX_RENDERED {
            text.push_str(&format!("… and {} more\n\n", self.items.len() - MAX_RENDERED));
        }
        let (errors, notes) = (self.errors().count(), self.notes().count());
        let plural = |count| if count == 1 { "" } else { "s" };
        let file = printable(&self.file.display().to_string());
        text.push_str(&match (errors, notes) {
            (0, 0) => format!("{file}: nothing wrong\n"),
            (0, n) => format!("{file}: {n} note{}\n", plural(n)),
            (e, 0) => format!("{file}: {e} error{}\n", plural(e)),
            (e, n) => format!("{file}: {e} error{}, {n} note{}\n", plural(e), plural(n)),
        });
        text
    }

    fn render_one(&self, item: &Diagnostic, renderer: &Renderer) -> String {
        let level = match item.level {
            DiagnosticLevel::Error => Level::ERROR,
            DiagnosticLevel::Note => Level::NOTE,
        };
        let path = printable(&item.file.display().to_string());
        let help = item.help.as_deref().map(|help| Level::HELP.message(help));
        let Some(span) = &item.span else {
            let title = format!("{path}: {}", item.message);
            let group = level.primary_title(title).elements(help);
            return renderer.render(&[group]);
        };
        // One line is enough, and a large file with many mistakes stays cheap.
        let (start, line) = self.line_of(span.start);
        let line = screen_safe(line);
        let end = span.end.clamp(span.start, start + line.len());
        let mark = AnnotationKind::Primary.span(span.start - start..end - start);
        let snippet = Snippet::source(&*line).path(&*path).line_start(item.line).annotation(mark);
        let group = level.primary_title(&*item.message).element(snippet).elements(help);
        renderer.render(&[group])
    }

    /// All of them as JSON: `[{level, file, line, column, message, help?}]`.
    pub fn to_json(&self) -> serde_json::Value {
        serde_json::to_value(&self.items).unwrap_or_default()
    }

    fn within_text(&self, span: Range<usize>) -> Range<usize> {
        let mut start = span.start.min(self.text.len());
        while !self.text.is_char_boundary(start) {
            start -= 1;
        }
        let mut end = span.end.clamp(start, self.text.len());
        while !self.text.is_char_boundary(end) {
            end -= 1;
        }
        start..end.max(start)
    }

    fn position(&self, at: usize) -> (usize, usize) {
        let line = self.lines.partition_point(|start| *start <= at);
        let (start, _) = self.line_of(at);
        (line, self.text[start..at].chars().count() + 1)
    }

    fn line_of(&self, at: usize) -> (usize, &str) {
        let line = self.lines.partition_point(|start| *start <= at);
        let start = self.lines.get(line.wrapping_sub(1)).copied().unwrap_or(0);
        let end = self.text[at..].find(['\n', '\r']).map_or(self.text.len(), |n| at + n);
        (start, &self.text[start..end])
    }
}

impl fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(false))
    }
}

impl std::error::Error for Diagnostics {}

/// The likeliest of `known` for a mistyped word.
pub(crate) fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // A long word would make the comparison slow, and no key is that long.
    if word.len() > 64 {
        return None;
    }
    known
        .into_iter()
        .map(|name| (strsim::damerau_levenshtein(&word.to_lowercase(), name), name))
        .filter(|(distance, name)| *distance <= 2 && *distance < name.chars().count())
        .min()
        .map(|(_, name)| name)
}

/// The help that goes with [`nearest`].
pub(crate) fn did_you_mean<'a>(
    word: &str,
    known: impl IntoIterator<Item = &'a str>,
) -> Option<String> {
    nearest(word, known).map(|name| format!("did you mean `{name}`?"))
}

/// Text without what a screen would obey.
fn printable(text: &str) -> String {
    text.chars().map(|c| if is_harmful(c) { ' ' } else { c }).collect()
}

/// A line of the file without what a screen would obey, every byte at its place.
fn screen_safe(line: &str) -> String {
    line.chars()
        .map(|c| match (is_harmful(c) && c != '\t', c.len_utf8()) {
            (false, _) => c,
            (true, 1) => '?',
            (true, 2) => '¿',
            (true, _) => '\u{fffd}',
        })
        .collect()
}

fn is_harmful(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200e}' | '\u{200f}' | '\u{feff}')
}

const MAX_RENDERED: usize = 100;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mistake_is_shown_with_its_line_caret_and_help() {
        let mut diagnostics = Diagnostics::new(Path::new("secchi.yaml"), "web:\n  lisen: x\n");
        diagnostics.push(
            DiagnosticLevel::Error,
            Some(7..12),
            "unknown key `lisen`".to_owned(),
            did_you_mean("lisen", ["listen", "tokens"]),
        );
        let expected = "\
error: unknown key `lisen`
 --> secchi.yaml:2:3
  |
2 |   lisen: x
  |   ^^^^^
  |
  = help: did you mean `listen`?

secchi.yaml: 1 error
";
        assert_eq!(diagnostics.render(false), expected);
        assert!(diagnostics.render(true).contains('\u{1b}'));
        assert_eq!(diagnostics.to_json()[0]["column"], 3);
    }

    #[test]
    fn a_file_cannot_write_on_the_screen() {
        let text = "a: \"\u{1b}[31m\u{9b}2J\u{202e}\"\n";
        let mut diagnostics = Diagnostics::new(Path::new("x\u{1b}.yaml"), text);
        diagnostics.push(DiagnosticLevel::Error, Some(3..9), "bad \u{1b}[0m".to_owned(), None);
        let rendered = diagnostics.render(false);
        assert!(!rendered.chars().any(|c| is_harmful(c) && c != '\n'), "{rendered:?}");
    }

    #[test]
    fn a_span_beyond_the_text_harms_nothing() {
        let mut diagnostics = Diagnostics::new(Path::new("x"), "ä");
        for span in [0..99, 99..100, 1..1] {
            diagnostics.push(DiagnosticLevel::Note, Some(span), "x".to_owned(), None);
        }
        assert!(diagnostics.render(false).contains("note: x"));
    }

    #[test]
    fn only_near_words_are_suggested() {
        assert_eq!(nearest("intrusiv", ["intrusive", "rate"]), Some("intrusive"));
        assert_eq!(nearest("tagrets", ["targets"]), Some("targets"));
        assert_eq!(nearest("xyz", ["targets", "web"]), None);
    }
}
