//! Where something stands in a file, and what of its line may be shown.

use std::fmt;
use std::ops::Range;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;

use crate::document::characters::{escaped, in_one_line, is_acted_on};
use crate::document::masks::{HIDDEN, Masks, without_user};

/// A file that was read, so that problems can show its lines.
pub struct SourceFile {
    /// The name that the user gave.
    pub name: String,
    /// The whole text.
    pub text: String,
    /// What of it may be a secret; found when the first problem is.
    masks: OnceLock<Masks>,
    /// Values of unknown fields: they may be secret.
    unknown: Mutex<Vec<Range<usize>>>,
    /// Whether no field holds a secret, also an unknown one.
    is_open: bool,
    /// The first byte of each line; found when the first place is shown.
    line_starts: OnceLock<Vec<usize>>,
}

impl SourceFile {
    /// A file with its name and its text.
    pub fn new(name: impl Into<String>, text: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            text: text.into(),
            masks: OnceLock::new(),
            unknown: Mutex::default(),
            is_open: false,
            line_starts: OnceLock::new(),
        }
    }

    /// A file that names no secrets of its own: the tokens and keys in it are the words of tests. Only what is a secret wherever
    /// it stands is hidden, such as PEM and the token of another program.
    pub fn of_test(name: impl Into<String>, text: impl Into<String>) -> Self {
        let file = Self::new(name, text);
        Self {
            masks: OnceLock::from(Masks::by_text(&file.text)),
            is_open: true,
            ..file
        }
    }

    fn line_starts(&self) -> &[usize] {
        self.line_starts.get_or_init(|| {
            let ends = self.text.match_indices('\n').map(|(at, _)| at + 1);
            std::iter::once(0).chain(ends).collect()
        })
    }

    /// Hides bytes that nothing explains.
    pub(super) fn hide(&self, unknown: Range<usize>) {
        if !self.is_open {
            self.unknown.lock().push(unknown);
        }
    }

    /// Whether some of these bytes may be part of a secret.
    pub(in crate::document) fn hides(&self, bytes: &Range<usize>) -> bool {
        self.first_hidden(bytes).is_some()
    }

    /// Where the first byte of a line is that may be part of a secret.
    fn first_hidden(&self, line: &Range<usize>) -> Option<usize> {
        let unknown = self.unknown.lock();
        let touching = unknown
            .iter()
            .filter(|bytes| bytes.start < line.end && bytes.end > line.start);
        let unknown = touching.map(|bytes| bytes.start.max(line.start)).min();
        self.masks().first_in(line).into_iter().chain(unknown).min()
    }

    fn masks(&self) -> &Masks {
        self.masks.get_or_init(|| Masks::of(&self.text))
    }

    /// The bytes of the line that a byte is in, without its end.
    fn line(&self, at: usize) -> Range<usize> {
        let (before, behind) = self.text.split_at_checked(at).unwrap_or((&self.text, ""));
        let start = before.rfind('\n').map_or(0, |end| end + 1);
        start..before.len() + behind.find('\n').unwrap_or(behind.len())
    }
}

/// Without the text, which may hold a secret.
impl fmt::Debug for SourceFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SourceFile")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

impl PartialEq for SourceFile {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name && self.text == other.text
    }
}

impl Eq for SourceFile {}

/// Where something stands in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Location {
    source: Arc<SourceFile>,
    span: Range<usize>,
}

impl Location {
    /// A range of bytes of a file.
    pub fn new(source: &Arc<SourceFile>, span: &Range<usize>) -> Self {
        Self {
            source: Arc::clone(source),
            span: span.clone(),
        }
    }

    /// A file as a whole, of which no line can be shown.
    pub fn of_file(path: &Path) -> Self {
        let name = path.display().to_string();
        Self::new(&Arc::new(SourceFile::new(without_user(&name), "")), &(0..0))
    }

    /// The name of the file.
    pub fn file(&self) -> &str {
        &self.source.name
    }

    /// The file.
    pub fn source(&self) -> &Arc<SourceFile> {
        &self.source
    }

    /// The bytes of the file.
    pub fn span(&self) -> Range<usize> {
        self.span.clone()
    }

    /// The line, counted from 1.
    pub fn line(&self) -> usize {
        self.position(self.span.start).0
    }

    /// The column in characters, counted from 1.
    pub fn column(&self) -> usize {
        self.position(self.span.start).1
    }

    /// The line and the column of the first character behind it.
    pub fn end(&self) -> (usize, usize) {
        self.position(self.span.end)
    }

    fn position(&self, at: usize) -> (usize, usize) {
        let SourceFile { text, .. } = &*self.source;
        let at = if text.is_char_boundary(at) { at } else { text.len() };
        let starts = self.source.line_starts();
        let line = starts.partition_point(|start| *start <= at);
        let start = line
            .checked_sub(1)
            .and_then(|line| starts.get(line))
            .copied()
            .unwrap_or_default();
        let column = text.get(start..at).unwrap_or_default().chars().count() + 1;
        (line.max(1), column)
    }
}

/// What of a file is shown beside a problem.
pub(super) enum Excerpt {
    /// The line up to its first secret, and the bytes in it that are meant.
    Line(String, Range<usize>),
    /// Nothing, for a reason.
    Nothing(&'static str),
}

impl Location {
    /// Takes the secrets of the file out of a text about it.
    pub(super) fn clean(&self, text: &str) -> String {
        self.source.masks().clean(text)
    }

    /// What may be shown of the line.
    pub(super) fn excerpt(&self) -> Excerpt {
        const LONG: usize = 4 * 1024;
        let line = self.source.line(self.span.start);
        if line.len() > LONG {
            return Excerpt::Nothing(", in a line too long to show");
        }
        if self.source.text.is_empty() {
            return Excerpt::Nothing("");
        }
        let hidden = self.source.first_hidden(&line).map(|at| {
            // The YAML library may count a character of several bytes as one.
            let at = self.source.text.floor_char_boundary(at).max(line.start);
            let behind = self.source.text.get(at..line.end).unwrap_or_default();
            at + behind.len() - behind.trim_start().len()
        });
        let shown = line.start..hidden.unwrap_or(line.end);
        let mut text = self.source.text.get(shown.clone()).unwrap_or_default().to_owned();
        if hidden.is_some() {
            text.push_str(HIDDEN);
        }
        let start = self.span.start.saturating_sub(line.start).min(text.len());
        if hidden.is_some_and(|hidden| self.span.start > hidden) {
            return Excerpt::Nothing(", behind what may be a secret");
        }
        let end = self.span.end.saturating_sub(line.start).clamp(start, text.len());
        let (start, end) = (text.floor_char_boundary(start), text.ceil_char_boundary(end));
        let (before, rest) = text.split_at_checked(start).unwrap_or_default();
        let (meant, behind) = rest.split_at_checked(end - start).unwrap_or_default();
        let behind = behind.strip_suffix('\r').unwrap_or(behind);
        let [before, meant, behind] = [before, meant, behind].map(harmless);
        let span = before.len()..before.len() + meant.len();
        Excerpt::Line([before, meant, behind].concat(), span)
    }
}

/// Escapes what a terminal acts on, but tabs, which become spaces.
fn harmless(part: &str) -> String {
    escaped(part, |c| c != '\t' && is_acted_on(c))
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A file without text, or that cannot be read, has no lines.
        match self.source.text.is_empty() {
            true => f.write_str(&in_one_line(self.file())),
            false => write!(f, "{}:{}:{}", in_one_line(self.file()), self.line(), self.column()),
        }
    }
}
