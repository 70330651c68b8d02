//! What is wrong with a configuration, where, and what was probably meant.

use std::collections::BTreeMap;
use std::fmt;

use annotate_snippets::{AnnotationKind, Level as Mark, Renderer, Snippet};

use crate::source::{SourceMap, Span};

/// At most this many errors are reported; what follows is usually a consequence.
pub const MAX_ERRORS: usize = 20;
/// At most this many warnings are kept.
pub const MAX_WARNINGS: usize = 100;
/// Lines of the file shown before and after the one with the error.
const CONTEXT_LINES: usize = 2;
/// A name further away than this share of its length (in percent) is not suggested.
const SIMILAR_ENOUGH_PERCENT: usize = 40;

/// How grave a log line is, by the names of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// It can be used, but is probably not what was meant.
    Warning,
    /// The configuration cannot be used.
    Critical,
    /// It goes on, but something is lost.
    Error,
}

/// One error in a configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// Where.
    pub span: Span,
    /// What is wrong, in one line.
    pub message: String,
    /// What to do about it: the name that was probably meant, the module to load.
    pub help: Option<String>,
    /// Another place that belongs to it, and what is there.
    pub note: Option<(Span, String)>,
}

impl Diagnostic {
    /// What is wrong, and where.
    pub fn new(span: Span, message: impl Into<String>) -> Self {
        Self { span, message: message.into(), help: None, note: None }
    }

    /// The same with what to do about it, if that is known.
    #[must_use]
    pub fn with_help(self, help: Option<String>) -> Self {
        Self { help, ..self }
    }

    #[must_use]
    pub(crate) fn with_note(self, span: Span, message: impl Into<String>) -> Self {
        Self { note: Some((span, message.into())), ..self }
    }
}

/// The errors of one configuration, in the order of its text, with the text they point into.
#[derive(Debug)]
pub struct Diagnostics {
    pub(crate) source: SourceMap,
    pub(crate) errors: Vec<Diagnostic>,
    pub(crate) dropped: usize,
    /// Modules that this server does not have, and how often the configuration uses each beside its `loadmodule`.
    pub(crate) absent: BTreeMap<String, usize>,
}

impl Diagnostics {
    /// The errors themselves, at most [`MAX_ERRORS`].
    pub fn errors(&self) -> &[Diagnostic] {
        &self.errors
    }

    /// How many errors there are, counting those beyond [`MAX_ERRORS`].
    pub fn count(&self) -> usize {
        self.errors.len() + self.dropped
    }

    /// The modules of OpenSIPS that the configuration loads and the host does not have, and how often it uses each beside
    /// its `loadmodule`: these uses are no errors of their own.
    pub fn absent(&self) -> &BTreeMap<String, usize> {
        &self.absent
    }

    /// The text the errors point into.
    pub fn source(&self) -> &SourceMap {
        &self.source
    }

    /// The errors as log lines: for each a line `core:yyerror: parse error in FILE:LINE:COL-ENDCOL: MESSAGE` as
    /// tools expect it, then the lines of the snippet.
    pub fn lines(&self) -> Vec<(Level, String)> {
        let mut lines = Vec::new();
        for error in &self.errors {
            lines.push((Level::Critical, format!("core:yyerror: {}", self.headline(error))));
            let snippet = self.snippet(error, false);
            lines.extend(snippet.lines().skip(1).map(|line| (Level::Critical, line.to_owned())));
        }
        if self.dropped > 0 {
            lines.push((Level::Critical, format!("core:yyerror: {} more errors not shown", self.dropped)));
        }
        lines.extend(self.summary().map(|line| (Level::Critical, format!("core:yyerror: {line}"))));
        lines
    }

    /// What follows from missing modules alone is not an error of its own each time: it is counted here.
    fn summary(&self) -> Option<String> {
        if self.absent.is_empty() {
            return None;
        }
        let uses = |count: &usize| match count {
            0 => String::new(),
            1 => " (1 use)".to_owned(),
            count => format!(" ({count} uses)"),
        };
        let names: Vec<_> =
            self.absent.iter().map(|(name, count)| format!("{name}{}", uses(count))).collect();
        Some(format!("modules that are not there yet: {}", names.join(", ")))
    }

    /// The errors for a reader, in colour if it is a terminal.
    pub fn render(&self, colour: bool) -> String {
        let mut text = String::new();
        for error in &self.errors {
            text.push_str(&self.snippet(error, colour));
            text.push_str("\n\n");
        }
        if self.dropped > 0 {
            text.push_str(&format!("{} more errors not shown\n", self.dropped));
        }
        text.extend(self.summary().map(|line| line + "\n"));
        text
    }

    fn headline(&self, error: &Diagnostic) -> String {
        let file = self.source.file(error.span);
        let start = file.position(error.span.start);
        let end = file.position(error.span.end.max(error.span.start + 1));
        let end_column = if end.line == start.line { end.column } else { start.column + 1 };
        format!(
            "parse error in {}:{}:{}-{end_column}: {}",
            file.name(),
            start.line,
            start.column,
            error.message
        )
    }

    fn place(&self, span: Span) -> String {
        let at = self.source.position(span);
        format!("{}:{}:{}", self.source.file(span).name(), at.line, at.column)
    }

    /// Only the lines around the error are handed to the renderer: files are large, errors are many.
    fn snippet(&self, error: &Diagnostic, colour: bool) -> String {
        let file = self.source.file(error.span);
        let text = file.text();
        let at = (error.span.start as usize).min(text.len());
        let first = (0..=CONTEXT_LINES).fold(at, |from, _| line_before(text, from)).min(at);
        let first = if first == 0 { 0 } else { first + 1 };
        let last = (0..=CONTEXT_LINES).fold(at, |from, _| line_end(text, from) + 1).saturating_sub(1);
        let last = last.clamp(at, text.len());
        let line_end = line_end(text, at);
        let end = (error.span.end as usize).clamp(at, line_end.max(at));
        let shown = readable(&text[first..last]);
        let span = on_boundaries(&shown, at - first, end - first);
        let line = file.position(first as u32).line as usize;
        let mut group = Mark::ERROR.primary_title(error.message.as_str()).element(
            Snippet::source(shown)
                .path(file.name())
                .line_start(line)
                .fold(false)
                .annotation(AnnotationKind::Primary.span(span)),
        );
        let notes = error.note.iter().map(|(span, note)| format!("{note}: {}", self.place(*span)));
        let includes = std::iter::successors(file.included_at(), |at| self.source.file(*at).included_at());
        let includes = includes.map(|at| format!("included at {}", self.place(at)));
        for note in notes.chain(includes) {
            group = group.element(Mark::NOTE.message(note));
        }
        if let Some(help) = &error.help {
            group = group.element(Mark::HELP.message(help.as_str()));
        }
        let renderer = if colour { Renderer::styled() } else { Renderer::plain() };
        renderer.render(&[group])
    }
}

impl fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(false))
    }
}

impl std::error::Error for Diagnostics {}

/// Gathers errors while a configuration is read and checked.
#[derive(Debug, Default)]
pub(crate) struct Errors {
    found: Vec<Diagnostic>,
    dropped: usize,
    absent: BTreeMap<String, usize>,
}

impl Errors {
    pub(crate) fn add(&mut self, span: Span, message: impl Into<String>) {
        self.add_with_help(span, message, None);
    }

    pub(crate) fn add_with_help(&mut self, span: Span, message: impl Into<String>, help: Option<String>) {
        self.push(Diagnostic::new(span, message).with_help(help));
    }

    pub(crate) fn push(&mut self, error: Diagnostic) {
        if self.found.len() < MAX_ERRORS {
            self.found.push(error);
        } else {
            self.dropped += 1;
        }
    }

    /// Takes back what was added when there were only `count` errors: another one explains it.
    pub(crate) fn take_back(&mut self, count: usize) {
        self.found.truncate(count);
    }

    pub(crate) fn count(&self) -> usize {
        self.found.len()
    }

    /// The configuration loads a module that this server does not have.
    pub(crate) fn is_absent(&mut self, module: &str) {
        self.absent.entry(module.to_owned()).or_default();
    }

    /// Counts a use of `module` if the configuration loads it and it is absent: that is no error of its own.
    pub(crate) fn follows_from(&mut self, module: &str) -> bool {
        self.absent.get_mut(module).map(|uses| *uses += 1).is_some()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.found.is_empty() && self.absent.is_empty()
    }

    /// Whether nothing more will be shown, so that looking further is of no use.
    pub(crate) fn is_full(&self) -> bool {
        self.found.len() >= MAX_ERRORS
    }

    pub(crate) fn finish(self, source: SourceMap) -> Diagnostics {
        let mut errors = self.found;
        errors.sort_by_key(|error| error.span);
        errors.dedup();
        Diagnostics { source, errors, dropped: self.dropped, absent: self.absent }
    }
}

/// What looks wrong and is not: gathered beside the errors.
#[derive(Debug, Default)]
pub(crate) struct Warnings {
    found: Vec<Diagnostic>,
}

impl Warnings {
    pub(crate) fn add_with_help(&mut self, span: Span, message: impl Into<String>, help: Option<String>) {
        if self.found.len() < MAX_WARNINGS {
            self.found.push(Diagnostic::new(span, message).with_help(help));
        }
    }

    pub(crate) fn into_vec(self) -> Vec<Diagnostic> {
        self.found
    }
}

/// A warning in one line, as `FILE:LINE:COLUMN: MESSAGE: HELP`.
pub(crate) fn warning_line(source: &SourceMap, warning: &Diagnostic) -> String {
    let file = source.file(warning.span);
    let at = file.position(warning.span.start);
    let help = warning.help.as_deref().map(|help| format!(": {help}")).unwrap_or_default();
    format!("{}:{}:{}: {}{help}", file.name(), at.line, at.column, warning.message)
}

/// `did you mean ...?` for the nearest of `names`, if one is near.
pub fn did_you_mean<'a>(wrong: &str, names: impl IntoIterator<Item = &'a str>) -> Option<String> {
    nearest(wrong, names).map(|name| format!("did you mean `{name}`?"))
}

/// The nearest of `names`, if one is near.
pub(crate) fn nearest<'a>(wrong: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    if wrong.len() > 64 {
        return None;
    }
    names
        .into_iter()
        .map(|name| (strsim::damerau_levenshtein(wrong, name), name))
        .filter(|(distance, name)| distance * 100 <= wrong.len().max(name.len()) * SIMILAR_ENOUGH_PERCENT)
        .min()
        .map(|(_, name)| name)
}

/// Offset of the line feed before `from`, or 0.
fn line_before(text: &[u8], from: usize) -> usize {
    memchr::memrchr(b'\n', &text[..from]).unwrap_or(0)
}

fn line_end(text: &[u8], from: usize) -> usize {
    let from = from.min(text.len());
    memchr::memchr(b'\n', &text[from..]).map_or(text.len(), |at| from + at)
}

/// The text as a string of the same length: bytes that are not UTF-8 and carriage returns become other characters.
fn readable(text: &[u8]) -> String {
    let mut shown = String::with_capacity(text.len());
    for chunk in text.utf8_chunks() {
        shown.extend(chunk.valid().chars().map(|c| if c == '\r' { ' ' } else { c }));
        shown.extend(chunk.invalid().iter().map(|_| '?'));
    }
    shown
}

fn on_boundaries(text: &str, start: usize, end: usize) -> std::ops::Range<usize> {
    let start = text.floor_char_boundary(start);
    start..text.ceil_char_boundary(end.max(start))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(text: &str, start: u32, end: u32, help: Option<&str>) -> Diagnostics {
        let mut errors = Errors::default();
        errors.add_with_help(Span { file: 0, start, end }, "unknown command <f>", help.map(Into::into));
        errors.finish(SourceMap::from_text("x.cfg", text))
    }

    #[test]
    fn the_first_line_is_the_one_tools_look_for() {
        let lines = one("a=1\nb=2\nroute { f(); }\n", 16, 17, Some("did you mean `g`?")).lines();
        assert_eq!(lines[0].1, "core:yyerror: parse error in x.cfg:3:9-10: unknown command <f>");
        let text: Vec<_> = lines.iter().map(|(_, line)| line.as_str()).collect();
        assert!(text.iter().any(|line| line.contains("route { f(); }")), "{text:#?}");
        assert!(text.iter().any(|line| line.trim_end().ends_with('^')), "{text:#?}");
        assert!(text.iter().any(|line| line.contains("did you mean `g`?")), "{text:#?}");
    }

    #[test]
    fn five_lines_are_shown() {
        let text = (1..=9).map(|n| format!("line{n}\n")).collect::<String>();
        let shown = one(&text, 24, 28, None).render(false);
        for (line, seen) in [(2, false), (3, true), (5, true), (7, true), (8, false)] {
            assert_eq!(shown.contains(&format!("line{line}")), seen, "{shown}");
        }
    }

    #[test]
    fn odd_bytes_and_ends_are_shown_without_panic() {
        for text in ["", "\n", "é\u{1F600}\r\n", "\t\t", "a"] {
            for start in 0..=text.len() as u32 + 1 {
                for end in 0..=text.len() as u32 + 2 {
                    assert!(!one(text, start, end, None).lines().is_empty());
                }
            }
        }
    }

    #[test]
    fn near_names_only() {
        assert_eq!(nearest("sl_send_replay", ["send_reply", "sl_send_reply"]), Some("sl_send_reply"));
        assert_eq!(nearest("no_such_function", ["exec", "save"]), None);
    }
}
