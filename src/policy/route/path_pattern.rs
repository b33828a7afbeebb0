//! The pattern of a route: what it matches below the prefix of its policy.

use std::cmp::Ordering;
use std::fmt;

use crate::document::problem::{Fault, ProblemCode};
use crate::request::path::unescaped;

/// The wildcards that there are.
const WILDCARDS: &str = "write `{name}` for one segment, and `/*` at the end for all paths below";

/// One segment of a pattern. Of two segments that both match some text, one matches all that the other does.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Segment {
    /// These characters.
    Literal(String),
    /// `{name}`, or `{name}:run`: at least one character, and then these.
    Wildcard(String),
}

impl Ord for Segment {
    /// Sorts the more specific one first: a literal, then the longer literal behind a wildcard.
    fn cmp(&self, other: &Self) -> Ordering {
        other
            .rank()
            .cmp(&self.rank())
            .then_with(|| self.text().cmp(other.text()))
    }
}

impl PartialOrd for Segment {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Segment {
    /// Returns the characters that are not a wildcard.
    pub fn text(&self) -> &str {
        match self {
            Self::Literal(text) | Self::Wildcard(text) => text,
        }
    }

    /// Returns how specific the segment is: the longest literal behind a wildcard is less than a literal.
    pub fn rank(&self) -> usize {
        match self {
            Self::Literal(_) => usize::MAX,
            Self::Wildcard(suffix) => suffix.len(),
        }
    }

    /// Returns the segment as it is compared where case does not matter.
    #[must_use]
    pub fn folded(&self) -> Self {
        match self {
            Self::Literal(text) => Self::Literal(text.to_ascii_lowercase()),
            Self::Wildcard(suffix) => Self::Wildcard(suffix.to_ascii_lowercase()),
        }
    }

    /// Returns whether a segment of a path matches, by the case as it is written.
    pub fn matches(&self, text: &str) -> bool {
        match self {
            Self::Literal(literal) => literal == text,
            Self::Wildcard(suffix) => is_before(text, suffix),
        }
    }

    /// Returns whether some text matches both segments.
    pub fn overlaps(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Literal(a), Self::Literal(b)) => a == b,
            (Self::Literal(literal), Self::Wildcard(suffix)) | (Self::Wildcard(suffix), Self::Literal(literal)) => {
                is_before(literal, suffix)
            }
            (Self::Wildcard(a), Self::Wildcard(b)) => a.ends_with(b.as_str()) || b.ends_with(a.as_str()),
        }
    }
}

/// Returns whether a text ends in a suffix, with something before it.
fn is_before(text: &str, suffix: &str) -> bool {
    text.len() > suffix.len() && text.ends_with(suffix)
}

/// What a route matches below the prefix of its policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PathPattern {
    /// The segments before `/*`.
    pub segments: Vec<Segment>,
    /// Whether it ends in `/*`.
    pub is_prefix: bool,
    /// The names of the wildcards, with their places among the segments.
    parameters: Vec<(String, usize)>,
}

/// The most segments of a pattern. The router goes as deep, on a stack that has an end.
const MAX_SEGMENTS: usize = 64;

impl PathPattern {
    /// Reads `/x`, `/x/*`, `/x/{name}/y` or `/x/{name}:run`.
    pub fn parse(text: &str) -> Result<Self, Fault> {
        check_literal(text)?;
        let trimmed = text.strip_prefix('/').unwrap_or(text);
        let (trimmed, is_prefix) = match trimmed.strip_suffix('*') {
            Some(rest) if rest.is_empty() || rest.ends_with('/') => (rest, true),
            Some(rest) if rest == "*" || rest.ends_with("/*") => {
                let message = format!("`{text}` has one `*` too many: `/*` already matches everything below");
                return Err(Fault::new(ProblemCode::InvalidWildcard, message, WILDCARDS));
            }
            Some(_) => {
                let message = format!("`{text}` ends in a part of a segment, and `*` stands for whole segments");
                return Err(Fault::new(ProblemCode::InvalidWildcard, message, WILDCARDS));
            }
            None => (trimmed, false),
        };
        let trimmed = trimmed.strip_suffix('/').unwrap_or(trimmed);
        if trimmed.split('/').count() > MAX_SEGMENTS {
            let message = format!("a path has at most {MAX_SEGMENTS} segments");
            let help = "write `/*` behind the first ones";
            return Err(Fault::new(ProblemCode::InvalidPath, message, help));
        }
        let mut pattern = Self {
            segments: Vec::new(),
            is_prefix,
            parameters: Vec::new(),
        };
        for part in trimmed.split('/').filter(|_| !trimmed.is_empty()) {
            pattern.push(part)?;
        }
        Ok(pattern)
    }

    /// Adds the segment that a text stands for.
    fn push(&mut self, text: &str) -> Result<(), Fault> {
        let (name, segment) = segment(text)?;
        if let Some(name) = name {
            if self.parameter(name).is_some() {
                let message = format!("`{{{name}}}` occurs twice, and a name stands for one segment");
                let help = "give each wildcard of a path a name of its own";
                return Err(Fault::new(ProblemCode::InvalidWildcard, message, help));
            }
            self.parameters.push((name.to_owned(), self.segments.len()));
        }
        self.segments.push(segment);
        Ok(())
    }

    /// Returns the pattern as it is compared where case does not matter.
    #[must_use]
    pub fn folded(&self) -> Self {
        Self {
            segments: self.segments.iter().map(Segment::folded).collect(),
            ..self.clone()
        }
    }

    /// Returns the pattern of the same path and all paths below it.
    #[must_use]
    pub fn with_all_below(&self) -> Self {
        Self {
            is_prefix: true,
            ..self.clone()
        }
    }

    /// Returns the names of the wildcards, in the order of the path.
    pub fn parameters(&self) -> impl Iterator<Item = &str> {
        self.parameters.iter().map(|(name, _)| name.as_str())
    }

    /// Returns the place of the segment that `{name}` stands for.
    pub fn parameter(&self, name: &str) -> Option<usize> {
        let mut parameters = self.parameters.iter();
        parameters.find(|(known, _)| known == name).map(|(_, at)| *at)
    }

    /// Returns what the wildcard at a place stands for in a path below the prefix that the pattern matches, without
    /// the literal behind the wildcard: in the form of the path, decoded or as it is forwarded.
    pub fn value<'p>(&self, at: usize, below_prefix: &'p str) -> Option<&'p str> {
        let suffix = match self.segments.get(at)? {
            Segment::Wildcard(suffix) => suffix,
            Segment::Literal(_) => return None,
        };
        let path = below_prefix.strip_prefix('/').unwrap_or(below_prefix);
        without_suffix(path.split('/').nth(at)?, suffix).filter(|value| !value.is_empty())
    }

    /// Whether some segment may be anything.
    pub fn has_wildcard(&self) -> bool {
        self.segments
            .iter()
            .any(|segment| matches!(segment, Segment::Wildcard(_)))
    }

    /// Whether some path matches both of two patterns of one length, and neither is the more
    /// specific: in each, some segment is more specific than that of the other.
    pub fn crosses(&self, other: &Self) -> bool {
        let more_specific = |a: &Self, b: &Self| {
            let mut pairs = a.segments.iter().zip(&b.segments);
            pairs.any(|(a, b)| a.rank() > b.rank())
        };
        self.overlaps(other) && more_specific(self, other) && more_specific(other, self)
    }

    /// Returns the pattern of what two patterns of one length both match, if they overlap.
    #[must_use]
    pub fn meet(&self, other: &Self) -> Self {
        let pairs = self.segments.iter().zip(&other.segments);
        let segments: Vec<_> = pairs.map(|(a, b)| a.min(b).clone()).collect();
        let wildcards = segments.iter().enumerate();
        let wildcards = wildcards.filter(|(_, segment)| matches!(segment, Segment::Wildcard(_)));
        Self {
            parameters: wildcards.map(|(at, _)| (format!("p{}", at + 1), at)).collect(),
            segments,
            is_prefix: self.is_prefix && other.is_prefix,
        }
    }

    /// Whether some path matches both patterns.
    pub fn overlaps(&self, other: &Self) -> bool {
        let (short, long) = if self.segments.len() <= other.segments.len() {
            (self, other)
        } else {
            (other, self)
        };
        if !short.is_prefix && short.segments.len() != long.segments.len() {
            return false;
        }
        let mut pairs = short.segments.iter().zip(&long.segments);
        pairs.all(|(a, b)| a.overlaps(b))
    }
}

impl fmt::Display for PathPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, segment) in self.segments.iter().enumerate() {
            let name = self.parameters.iter().find(|(_, place)| *place == at);
            match name {
                Some((name, _)) => write!(f, "/{{{name}}}{}", segment.text())?,
                None => write!(f, "/{}", segment.text())?,
            }
        }
        match self.is_prefix {
            true => f.write_str("/*"),
            false if self.segments.is_empty() => f.write_str("/"),
            false => Ok(()),
        }
    }
}

/// Returns a segment without the literal at its end, whose characters may be escaped, in any case.
pub fn without_suffix<'s>(segment: &'s str, suffix: &str) -> Option<&'s str> {
    let mut end = segment.len();
    for wanted in suffix.bytes().rev() {
        let rest = segment.as_bytes().get(..end)?;
        let escaped = rest.last_chunk().and_then(|&escape| unescaped(escape));
        let (found, length) = match escaped {
            Some(byte) => (byte, 3),
            None => (*rest.last()?, 1),
        };
        if !found.eq_ignore_ascii_case(&wanted) {
            return None;
        }
        end -= length;
    }
    segment.get(..end)
}

/// Reads one segment of a pattern, and the name of its wildcard.
fn segment(text: &str) -> Result<(Option<&str>, Segment), Fault> {
    let wildcard = |message: String| Err(Fault::new(ProblemCode::InvalidWildcard, message, WILDCARDS));
    if text.starts_with(':') {
        return wildcard(format!("`{text}` would be these very characters, not any segment"));
    }
    let parts = text.strip_prefix('{').and_then(|text| text.split_once('}'));
    match parts.filter(|(_, suffix)| !suffix.contains(['{', '}', '*'])) {
        Some((name, suffix)) if is_name(name) => Ok((Some(name), Segment::Wildcard(suffix.to_owned()))),
        Some((name, _)) => wildcard(format!(
            "`{{{name}}}` is not a name in braces: a name has letters, digits and `_`"
        )),
        None if text.chars().all(|c| c == '*') && !text.is_empty() => {
            wildcard("`*` stands at the end of a path only, and for all segments behind it".to_owned())
        }
        None if text.contains(['{', '}', '*']) => wildcard(format!(
            "`{text}` mixes literal characters with a wildcard; a segment has one wildcard, and it comes first"
        )),
        None => Ok((None, Segment::Literal(text.to_owned()))),
    }
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_alphanumeric() || c == '_')
}

/// Rejects what no normalized path can hold, so that the rule would never match.
pub(super) fn check_literal(text: &str) -> Result<(), Fault> {
    let invalid = |message: String, help: &str| Err(Fault::new(ProblemCode::InvalidPath, message, help));
    if is_regex(text) {
        let message = format!("`{text}` is a pattern that Sidegate does not read: paths are matched by whole segments");
        return Err(Fault::new(ProblemCode::InvalidWildcard, message, WILDCARDS));
    }
    if !text.starts_with('/') {
        return invalid(
            format!("`{text}` does not start with `/`"),
            "write the path alone, such as `/orders`",
        );
    }
    for (bad, help) in [
        ("//", "write one slash between two segments"),
        ("%", "write the character itself: a path is matched after decoding"),
        ("?", "leave the query out: a route matches the path alone"),
        ("#", "leave the fragment out: clients do not send it"),
        ("\\", "write `/` between segments"),
        (";", "leave out `;` and what follows: requests with it are rejected"),
        ("\"", "leave the quotes out"),
    ] {
        if text.contains(bad) {
            return invalid(format!("`{bad}` cannot stand in a path here"), help);
        }
    }
    if text.split('/').any(|s| s == "." || s == "..") {
        let message = "requests with `.` and `..` segments are rejected, so this never matches";
        return invalid(message.to_owned(), "write the path that they lead to");
    }
    if text.chars().any(|c| c.is_control() || c.is_whitespace()) {
        return invalid(
            "white space cannot stand in a path".to_owned(),
            "take the white space out",
        );
    }
    Ok(())
}

/// Whether a path has characters of a regular expression.
pub(super) fn is_regex(text: &str) -> bool {
    let special = |c: char| "[]()|^<>`$+".contains(c);
    text.starts_with('^')
        || text.contains(".*")
        || text.contains(|c| special(c) && c != '$' && c != '+' && c != '(' && c != ')')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        let literal = |s: &str| Segment::Literal(s.into());
        let wildcard = |s: &str| Segment::Wildcard(s.into());
        for (text, segments, is_prefix) in [
            ("/", vec![], false),
            ("/*", vec![], true),
            ("/x", vec![literal("x")], false),
            ("/x/", vec![literal("x")], false),
            ("/x/*", vec![literal("x")], true),
            ("/x/{id}/y", vec![literal("x"), wildcard(""), literal("y")], false),
            ("/wallets:batch", vec![literal("wallets:batch")], false),
            ("/x/{id}:run", vec![literal("x"), wildcard(":run")], false),
            ("/{id}:run/*", vec![wildcard(":run")], true),
            ("/{a}.json/{b}é", vec![wildcard(".json"), wildcard("é")], false),
            ("/{id}..", vec![wildcard("..")], false),
        ] {
            let pattern = PathPattern::parse(text).unwrap();
            assert_eq!(
                pattern.to_string(),
                text.strip_suffix('/').filter(|text| !text.is_empty()).unwrap_or(text)
            );
            assert_eq!((pattern.segments, pattern.is_prefix), (segments, is_prefix), "{text}");
        }
        for text in [
            "/:id",
            "/x/:id/y",
            "/[a-z]+",
            "/^x",
            "/a|b",
            "x",
            "",
            "/x*",
            "/x/*/y",
            "/{}",
            "/{a-b}",
            "/x{id}",
            "//x",
            "/%41",
            "/a/../b",
            "/a b",
            "/a;b",
            "/{a}{b}",
            "/{a}x{b}",
            "/{a}*",
            "/{a}:run*",
            "/{a}}",
            "/{a}{",
            "/{}:run",
            "/:{a}",
            "/{a}/{a}",
            "/{a}:x/y/{a}",
            "/{a}?",
            "/{a}%3A",
        ] {
            assert!(PathPattern::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn value_of_a_parameter_is_the_segment_as_it_is_forwarded() {
        for (pattern, name, path, want) in [
            ("/x/{id}", "id", "/x/7", Some("7")),
            ("/x/{id}", "id", "/x/7/", Some("7")),
            ("/x/{id}", "other", "/x/7", None),
            ("/x/{id}/*", "id", "/x/a%20b/c", Some("a%20b")),
            ("/{a}/{b}", "b", "/1/2", Some("2")),
            ("/x/{id}:run", "id", "/x/a:b:run", Some("a:b")),
            ("/x/{id}:run", "id", "/x/7:RUN", Some("7")),
            ("/x/{id}:é", "id", "/x/%C3%A9:%C3%A9", Some("%C3%A9")),
            ("/x/{id}é", "id", "/x/aé", Some("a")),
            ("/x/{id}:run", "id", "/x/:run", None),
            ("/x/{id}:run", "id", "/x/7:stop", None),
            ("/x/{id}", "id", "/x", None),
        ] {
            let parsed = PathPattern::parse(pattern).unwrap();
            let value = parsed.parameter(name).and_then(|at| parsed.value(at, path));
            assert_eq!(value, want, "{pattern} {name} {path}");
        }
    }

    #[test]
    fn a_pattern_has_an_end() {
        let deep = |segments: usize| PathPattern::parse(&"/a".repeat(segments));
        assert!(deep(MAX_SEGMENTS).is_ok());
        for segments in [MAX_SEGMENTS + 1, 100_000] {
            assert_eq!(deep(segments).unwrap_err().message, "a path has at most 64 segments");
        }
    }

    #[test]
    fn overlap() {
        for (a, b, want) in [
            ("/x", "/x", true),
            ("/x", "/y", false),
            ("/x/*", "/x", true),
            ("/x/*", "/x/y", true),
            ("/x/y/*", "/x", false),
            ("/{a}/b", "/a/{b}", true),
            ("/{a}/b", "/a/c", false),
            ("/{a}:run", "/a:run", true),
            ("/{a}:run", "/a:stop", false),
            ("/{a}:run", "/{b}", true),
            ("/{a}:run", "/{b}n", true),
            ("/{a}:run", "/{b}:stop", false),
            ("/{a}.json", "/.json", false),
            ("/{a}:run", "/*", true),
        ] {
            let (a, b) = (PathPattern::parse(a).unwrap(), PathPattern::parse(b).unwrap());
            assert_eq!((a.overlaps(&b), b.overlaps(&a)), (want, want), "{a:?} {b:?}");
        }
    }
}
