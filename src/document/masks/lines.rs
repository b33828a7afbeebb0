//! Lines that may hold a secret, in a text that is not YAML. Words decide, for there are no values.

use std::ops::Range;

use super::words::{CONTAINERS, EXPLAINED, SHOWN_FIELDS, is_random, is_secret_key, is_secret_text};

/// A part of the text that a line has opened.
#[derive(Debug, Clone, Copy)]
struct Open {
    indent: usize,
    /// Whether its end is unknown, as after a quote that is not closed.
    endless: bool,
    /// Whether only lines are hidden that no known field explains.
    unexplained: bool,
    /// Whether its value is still to come, however it is indented.
    is_new: bool,
}

/// The parts of lines that may be secrets.
pub(super) fn suspicious(text: &str) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut open: Option<Open> = None;
    let mut start = 0;
    for line in text.split_inclusive('\n') {
        let indent = line.len() - line.trim_start().len();
        let inside = open.and_then(|open| open.covering(line, indent));
        open = inside;
        let hidden = match inside {
            Some(Open { unexplained: false, .. }) => Some(indent),
            Some(_) if !is_explained(line.trim_start_matches([' ', '-'])) => Some(indent),
            _ => first_secret(line)
                .map(|(at, opened)| {
                    // What stands among keys is judged to the end of them.
                    open = open.filter(|open| open.unexplained && !opened.endless).or(Some(opened));
                    at
                })
                .or_else(|| (!is_known(line)).then_some(indent)),
        };
        found.extend(
            hidden
                .filter(|at| *at < line.len())
                .map(|at| start + at..start + line.len()),
        );
        start += line.len();
    }
    found
}

impl Open {
    /// Returns the part as it is behind a line of it. Returns `None` for a line that is not in it.
    fn covering(self, line: &str, indent: usize) -> Option<Self> {
        let (content, is_item) = (line.trim(), line.trim_start().starts_with('-'));
        let is_deeper = self.endless || content.is_empty() || indent > self.indent;
        let is_known_field = names_field(content.trim_start_matches(['-', ' ']));
        // A slip in the indentation is likely what is wrong with the text.
        let is_shifted = (is_item && self.is_new) || (!self.unexplained && !is_known_field);
        (is_deeper || (is_item && indent == self.indent) || is_shifted).then(|| Self {
            // The rest of such an item may stand right below its dash.
            indent: if is_deeper {
                self.indent
            } else {
                indent.saturating_sub(1)
            },
            is_new: self.is_new && content.is_empty(),
            ..self
        })
    }
}

/// Whether a line has the form of YAML, or begins with a field in spite of a slip. Other lines may be a secret.
fn is_known(line: &str) -> bool {
    let content = line.trim().trim_start_matches(['-', '{', '[', ' ']);
    let word = words(content).next().map_or("", |(word, _)| word);
    let is_bare = !content.contains(|c: char| c.is_alphanumeric());
    let is_explained = content.starts_with('#') || content.starts_with("<<:");
    is_bare || is_explained || names_field(content) || (content.starts_with(word) && SHOWN_FIELDS.contains(&word))
}

/// Whether a text begins with a name and a colon.
fn names_field(text: &str) -> bool {
    let Some((word, end)) = words(text).next() else {
        return false;
    };
    let is_first = text.trim_start_matches(['"', '\'']).starts_with(word);
    let behind = text.get(end..).unwrap_or_default().trim_start_matches(['"', '\'', ' ']);
    let value = behind.strip_prefix(':');
    is_first && value.is_some_and(|value| value.is_empty() || value.starts_with([' ', '\n', '\r']))
}

/// Where the first secret of a line may be, and what the line opens.
fn first_secret(line: &str) -> Option<(usize, Open)> {
    let open = |at: usize, unexplained: bool| {
        let value = line.get(at..).unwrap_or_default();
        let odd = |quote: char| value.matches(quote).count() % 2 == 1;
        let endless = odd('"') || odd('\'') || value.matches(['{', '[']).count() > value.matches(['}', ']']).count();
        let indent = line.len() - line.trim_start().len();
        let opened = Open {
            indent,
            endless: endless && !unexplained,
            unexplained,
            is_new: true,
        };
        (at, opened)
    };
    let mut candidates = Vec::new();
    if let Some(at) = line.find("-----BEGIN") {
        let (at, opened) = open(at, false);
        candidates.push((
            at,
            Open {
                endless: true,
                ..opened
            },
        ));
    }
    candidates.extend(user_of_a_url(line).map(|at| open(at, false)));
    candidates.extend(secret_text(line).map(|at| open(at, false)));
    for (word, end) in words(line) {
        let rest = line.get(end..).unwrap_or_default();
        let value = end + rest.len() - rest.trim_start_matches(['"', '\'', ':', '=', ' ']).len();
        let inline = line.get(value..).unwrap_or_default().trim();
        if (is_secret_key(word) || word == "sha256") && is_key(line, end - word.len(), rest) && !is_reference(inline) {
            candidates.push(open(value, false));
        } else if CONTAINERS.contains(&word) && rest.trim_start_matches(['"', '\'', ' ']).starts_with(':') {
            match inline.is_empty() || inline.starts_with('#') {
                true => candidates.push(open(line.len(), true)),
                false if !is_explained(inline) => candidates.push(open(value, false)),
                false => {}
            }
        }
    }
    candidates.into_iter().min_by_key(|(at, _)| *at)
}

/// Whether a word stands where a key does, whether or not a colon follows it.
fn is_key(line: &str, start: usize, rest: &str) -> bool {
    let before = line.get(..start).unwrap_or_default().trim_end_matches([' ', '"', '\'']);
    let named = rest.trim_start_matches([' ', '"', '\'']).starts_with([':', '=']);
    named || before.is_empty() || before.ends_with(['-', '{', ',', '[', '?', '#'])
}

/// The words of a line, and where each ends.
fn words(line: &str) -> impl Iterator<Item = (&str, usize)> {
    let mut start = 0;
    line.split(|c: char| !(c.is_alphanumeric() || matches!(c, '_' | '-')))
        .filter_map(move |word| {
            let end = start + word.len();
            let behind = line.get(end..).and_then(|rest| rest.chars().next());
            start = end + behind.map_or(0, char::len_utf8);
            (!word.is_empty()).then_some((word, end))
        })
}

/// Where a text begins that is a secret by itself, or looks like one.
fn secret_text(line: &str) -> Option<usize> {
    let mut start = 0;
    for text in line.split(|c: char| c.is_whitespace() || matches!(c, '"' | '\'' | '{' | '}' | '[' | ']' | ',')) {
        if is_secret_text(text) || is_random(text) {
            return Some(start);
        }
        let end = start + text.len();
        start = end
            + line
                .get(end..)
                .and_then(|rest| rest.chars().next())
                .map_or(0, char::len_utf8);
    }
    None
}

/// Where the value begins that may be a URL with a user.
fn user_of_a_url(line: &str) -> Option<usize> {
    // Without a scheme, an `@` that begins a segment of a path does not follow a user.
    let path = !line.contains("://");
    let separated = |c: char| c.is_whitespace() || matches!(c, '"' | '\'' | '[' | '{' | ',') || (path && c == '/');
    let named = line.match_indices('@').any(|(at, _)| {
        let before = line.get(..at).and_then(|before| before.chars().next_back());
        before.is_some_and(|c| !separated(c))
    });
    let has_password = line
        .split_once("://")
        .is_some_and(|(_, rest)| rest.starts_with(':') || rest.contains('='));
    let colon = line.find(':').map_or(0, |at| at + 1);
    (named || has_password).then_some(colon)
}

/// Whether a value says where a secret is, and no more: `{ env: NAME }`.
fn is_reference(value: &str) -> bool {
    let Some((inside, behind)) = value.strip_prefix('{').and_then(|value| value.split_once('}')) else {
        return false;
    };
    if !behind.trim_start().is_empty() && !behind.trim_start().starts_with([',', '}', ']', '#']) {
        return false;
    }
    let plain = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | '/' | '$');
    let place = inside
        .split_once(':')
        .filter(|(key, _)| matches!(key.trim(), "env" | "file"));
    place.is_some_and(|(_, name)| !name.trim().is_empty() && name.trim().chars().all(plain))
}

/// Whether known fields explain all that stands among keys.
fn is_explained(value: &str) -> bool {
    let parts = value
        .split(['[', '{', ','])
        .map(|part| part.trim_matches([' ', ']', '}', '\n', '\r']));
    parts.filter(|part| !part.is_empty()).all(|part| {
        let word = part
            .split_once(':')
            .map_or("", |(word, _)| word.trim_matches(['"', '\'', ' ']));
        EXPLAINED.contains(&word) || word == "env" || is_secret_key(word)
    })
}
