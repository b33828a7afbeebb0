//! Why a text is not YAML, in our words. Looks at the lines before the place where the library stopped.
//! Quotes names of fields only: nothing says which other words are secrets.

use std::ops::Range;

use super::characters;
use super::masks::is_secret_key;
use super::problem::{Fault, ProblemCode};
use super::shell_variable::{from_environment, shell_variable};
use super::yaml::{MAX_FILE_BYTES, YamlError, YamlErrorKind};

/// What text needs quotes.
const QUOTES: &str = "put text in quotes that starts with `@`, `%` or `*`, or has `{`, `}`, `: ` or ` #` in it";

/// How many lines before the error may be the cause of it.
const LINES_BEFORE: usize = 2;

/// A line of the text, and where it starts.
#[derive(Clone, Copy)]
struct Line<'t> {
    start: usize,
    text: &'t str,
}

impl Line<'_> {
    /// The bytes of the file for bytes of the line.
    fn span(&self, bytes: Range<usize>) -> Range<usize> {
        self.start + bytes.start..self.start + bytes.end
    }

    fn indent(&self) -> usize {
        self.text.len() - self.text.trim_start_matches(' ').len()
    }

    /// The text without indentation, `- ` of lists and white space at the end.
    fn content(&self) -> (usize, &str) {
        let mut rest = self.text.trim_start_matches(' ');
        while let Some(item) = rest.strip_prefix("- ") {
            rest = item.trim_start_matches(' ');
        }
        (self.text.len() - rest.len(), rest.trim_end())
    }
}

/// What is wrong where a more exact word might show a secret.
pub(super) fn unexplained() -> Fault {
    let help = "check the indentation of this line, its quotes, and the space after each `:`";
    Fault::new(ProblemCode::YamlSyntax, "the file is not YAML from here on", help)
}

/// Explains an error: where it is, what is wrong, and how it is mended.
pub(super) fn explain(error: YamlError, text: &str) -> (Range<usize>, Fault) {
    let YamlError { span, kind } = error;
    let fault = match kind {
        YamlErrorKind::TooLong => {
            let message = format!("the file is longer than {} MiB", MAX_FILE_BYTES / 1024 / 1024);
            Fault::new(ProblemCode::TooLarge, message, "split the policy by prefix")
        }
        YamlErrorKind::TooComplex => Fault::new(
            ProblemCode::TooLarge,
            "the file has too many values, or values that are nested too deeply",
            "split the policy by prefix",
        ),
        YamlErrorKind::SeveralDocuments => Fault::new(
            ProblemCode::UnsupportedYaml,
            "the file has more than one document",
            "write one document in each file, without `---`",
        ),
        YamlErrorKind::MergeKey => Fault::new(
            ProblemCode::UnsupportedYaml,
            "the merge key `<<` is not read",
            "write the fields out; `*name` stands for a whole value",
        ),
        YamlErrorKind::Syntax(words) => return syntax(&words, span, text),
    };
    (span, fault)
}

fn syntax(words: &str, at: Range<usize>, text: &str) -> (Range<usize>, Fault) {
    let lines = lines_until(text, at.start);
    let found = odd_character(&lines)
        .or_else(|| tab_behind(words, at.start, text))
        .or_else(|| lines.iter().rev().take(LINES_BEFORE + 1).find_map(slip))
        .or_else(|| by_words(words).map(|fault| (at.clone(), fault)))
        .or_else(|| indentation(&lines))
        .or_else(|| unclosed(&lines).map(|fault| (at.clone(), fault)));
    found.unwrap_or_else(|| (at, unexplained()))
}

/// What the words of the library mean.
fn by_words(words: &str) -> Option<Fault> {
    let (message, help) = match () {
        () if words.contains("quoted scalar") => (
            "a quote is not closed",
            "close the quote; inside of `'…'`, write `''` for a `'`",
        ),
        () if words.contains("flow") => ("a `{` or `[` is not closed, or a `,` is missing in it", QUOTES),
        () if words.contains("anchor") || words.contains("alias") => (
            "the alias names no anchor",
            "put text in quotes that starts with `*` or `&`",
        ),
        () if words.contains("tab") => ("the line is indented with a tab", "indent with spaces"),
        () => return None,
    };
    Some(Fault::new(ProblemCode::YamlSyntax, message, help))
}

fn lines_until(text: &str, end: usize) -> Vec<Line<'_>> {
    let mut start = 0;
    let mut lines = Vec::new();
    for line in text.split_inclusive('\n') {
        if start > end {
            break;
        }
        let shown = line.trim_end_matches(['\n', '\r']);
        if !shown.trim().is_empty() && !shown.trim_start().starts_with('#') {
            lines.push(Line { start, text: shown });
        }
        start += line.len();
    }
    lines
}

/// A tab, a space that is not one, or a quote that is not one.
fn odd_character(lines: &[Line<'_>]) -> Option<(Range<usize>, Fault)> {
    lines.iter().rev().take(LINES_BEFORE + 1).find_map(|line| {
        tab(line).or_else(|| {
            let (at, fault) = characters::odd(line.text)?;
            Some((line.span(at), fault))
        })
    })
}

/// The tab that the library stopped at: it names the line above.
fn tab_behind(words: &str, at: usize, text: &str) -> Option<(Range<usize>, Fault)> {
    let lines = lines_until(text, text.len());
    let mut behind = lines
        .iter()
        .filter(|line| words.contains("tab") && line.start + line.text.len() >= at);
    behind.find_map(tab)
}

/// A tab in the indentation of a line.
fn tab(line: &Line<'_>) -> Option<(Range<usize>, Fault)> {
    let blank = line.text.len() - line.text.trim_start_matches([' ', '\t']).len();
    let tab = line.text.get(..blank)?.find('\t')?;
    let fault = Fault::new(
        ProblemCode::YamlSyntax,
        "the line is indented with a tab",
        "indent with spaces",
    );
    Some((line.span(tab..tab + 1), fault))
}

/// A bracket that was opened and not closed.
fn unclosed(lines: &[Line<'_>]) -> Option<Fault> {
    let (open, close) = [('{', '}'), ('[', ']')]
        .into_iter()
        .find(|(open, close)| is_open(lines, *open, *close))?;
    let message = format!("a `{open}` is not closed");
    Some(Fault::new(
        ProblemCode::YamlSyntax,
        message,
        format!("write `{close}` at its end"),
    ))
}

fn is_open(lines: &[Line<'_>], open: char, close: char) -> bool {
    let count = |c: char| lines.iter().map(|line| line.text.matches(c).count()).sum::<usize>();
    count(open) > count(close)
}

/// Text without quotes that has a bracket behind another character, as a path with `{name}` has.
fn bracket_in_text(line: &Line<'_>) -> Option<(Range<usize>, Fault)> {
    let mut before = ' ';
    let mut quoted = false;
    for (at, c) in line.text.char_indices() {
        quoted ^= matches!(c, '"' | '\'');
        if !quoted && matches!(c, '{' | '[') && !matches!(before, ' ' | '{' | '[' | ',' | '"' | '\'') {
            let message = format!("a text has `{c}` in it, which begins a mapping or a list in YAML");
            let variable = line.text.get(at.saturating_sub(1)..).and_then(shell_variable);
            let help = variable.map_or_else(
                || "put the text in quotes, as in `path: \"/orders/{id}\"`".to_owned(),
                from_environment,
            );
            let fault = Fault::new(ProblemCode::YamlSyntax, message, help);
            return Some((line.span(at..at + 1), fault));
        }
        before = c;
    }
    None
}

/// What is wrong with `name:value`, and how it is mended.
pub(super) fn no_space(name: &str) -> (String, String) {
    (
        format!("no space follows the colon after `{name}`"),
        format!("write `{name}: …`"),
    )
}

/// A slip within one line.
fn slip(line: &Line<'_>) -> Option<(Range<usize>, Fault)> {
    if line.text.matches('"').count() % 2 == 1 {
        let at = line.text.find('"').unwrap_or_default();
        let fault = Fault::new(
            ProblemCode::YamlSyntax,
            "a quote is not closed",
            "write `\"` at the end of the text, too",
        );
        return Some((line.span(at..line.text.trim_end().len()), fault));
    }
    if let Some(found) = bracket_in_text(line) {
        return Some(found);
    }
    let (start, content) = line.content();
    let name_length = content
        .find(|c: char| !(c.is_ascii_lowercase() || c == '_'))
        .unwrap_or(content.len());
    let (name, rest) = content.split_at_checked(name_length)?;
    let span = line.span(start..start + content.len());
    let fault =
        |message: String, help: String| Some((span.clone(), Fault::new(ProblemCode::YamlSyntax, message, help)));
    if name.is_empty() {
        return special_start(content).and_then(|(message, help)| fault(message, help));
    }
    if is_secret_key(name) {
        return None;
    }
    if rest.starts_with(':') && !rest.starts_with(": ") && rest.len() > 1 {
        let (message, help) = no_space(name);
        return fault(message, help);
    }
    if rest.trim_start().starts_with('=') {
        return fault(
            format!("`{name}` is followed by `=`, and YAML needs a colon"),
            format!("write `{name}: …`"),
        );
    }
    if !content.contains(':') {
        return fault(format!("no colon follows `{name}`"), format!("write `{name}: …`"));
    }
    let value = rest.strip_prefix(": ").map(str::trim_start)?;
    if !value.starts_with(['"', '\'', '{', '[']) && value.contains(": ") {
        return fault(
            format!("the text after `{name}:` has a colon and a space in it"),
            format!("put the text in quotes: `{name}: '…'`"),
        );
    }
    let (message, help) = special_start(value)?;
    fault(message, help)
}

/// Text that starts with a character that means something else in YAML.
fn special_start(text: &str) -> Option<(String, String)> {
    let first = text.chars().next().filter(|c| matches!(c, '@' | '`' | '%'))?;
    let message = format!("text cannot start with `{first}` in YAML");
    Some((
        message.replace("```", "a backtick"),
        "put the text in quotes".to_owned(),
    ))
}

/// A line that stands deeper or less deep than those around it allow.
fn indentation(lines: &[Line<'_>]) -> Option<(Range<usize>, Fault)> {
    let (line, before) = lines.split_last()?;
    let indent = line.indent();
    let last = before.last()?;
    // In brackets, indentation has no meaning.
    if is_open(lines, '{', '}') || is_open(lines, '[', ']') {
        return None;
    }
    let levels: Vec<_> = before
        .iter()
        .map(Line::indent)
        .filter(|level| *level <= last.indent())
        .collect();
    let is_level = levels.contains(&indent);
    let goes_deeper = indent > last.indent() && last.text.trim_end().ends_with([':', '-']);
    if is_level || goes_deeper {
        return None;
    }
    let near = levels.iter().copied().min_by_key(|level| level.abs_diff(indent))?;
    let message = format!("the line is indented by {}, and fits no line above it", spaces(indent));
    let help = format!("indent it by {}, as the line above that it belongs to", spaces(near));
    let fault = Fault::new(ProblemCode::YamlSyntax, message, help);
    let end = line.text.trim_end().len();
    Some((line.span(indent.min(end)..end), fault))
}

fn spaces(count: usize) -> String {
    match count {
        0 => "no spaces".to_owned(),
        1 => "1 space".to_owned(),
        _ => format!("{count} spaces"),
    }
}
