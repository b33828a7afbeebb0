//! Lines that may hold a secret, in a text that is not YAML. Words decide, for there are no values.

use std::ops::Range;

use super::words::{CONTAINERS, EXPLAINED, is_secret_key};

/// A part of the text that a line has opened.
#[derive(Debug, Clone, Copy)]
struct Open {
    indent: usize,
    /// Whether its end is unknown, as after a quote that is not closed.
    endless: bool,
    /// Whether only lines are hidden that no known field explains.
    unexplained: bool,
}

/// The parts of lines that may be secrets.
pub(super) fn suspicious(text: &str) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut open: Option<Open> = None;
    let mut start = 0;
    for line in text.split_inclusive('\n') {
        let indent = line.len() - line.trim_start().len();
        let inside = open.filter(|open| open.covers(line, indent));
        open = inside;
        let hidden = match inside {
            Some(Open { unexplained: false, .. }) => Some(indent),
            Some(_) if !is_explained(line.trim_start_matches([' ', '-'])) => Some(indent),
            _ => first_secret(line).map(|(at, opened)| {
                // What stands among keys is judged to the end of them.
                open = open.filter(|open| open.unexplained && !opened.endless).or(Some(opened));
                at
            }),
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
    fn covers(&self, line: &str, indent: usize) -> bool {
        let item = indent == self.indent && line.trim_start().starts_with('-');
        self.endless || line.trim().is_empty() || indent > self.indent || item
    }
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
    for (word, end) in words(line) {
        let rest = line.get(end..).unwrap_or_default();
        let value = end + rest.len() - rest.trim_start_matches(['"', '\'', ':', ' ']).len();
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
    let named = rest.trim_start_matches([' ', '"', '\'']).starts_with(':');
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

/// Where the value begins that may be a URL with a user.
fn user_of_a_url(line: &str) -> Option<usize> {
    // Without a scheme, an `@` that begins a segment of a path does not follow a user.
    let path = !line.contains("://");
    let separated = |c: char| c.is_whitespace() || matches!(c, '"' | '\'' | '[' | '{' | ',') || (path && c == '/');
    let named = line.match_indices('@').any(|(at, _)| {
        let before = line.get(..at).and_then(|before| before.chars().next_back());
        before.is_some_and(|c| !separated(c))
    });
    let colon = line.find(':').map_or(0, |at| at + 1);
    named.then_some(colon)
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
