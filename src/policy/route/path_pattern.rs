//! The pattern of a route: what it matches below the prefix of its policy.

use crate::document::problem::{Fault, ProblemCode};

/// The wildcards that there are.
const WILDCARDS: &str = "write `{name}` for one segment, and `/*` at the end for all paths below";

/// One segment of a pattern.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Segment {
    /// These characters. Sorts before `Any`, so that the literal wins.
    Literal(String),
    /// `{name}`: one segment, whatever it is.
    Any,
}

impl Segment {
    /// The segment as it is compared where case does not matter.
    #[must_use]
    pub fn folded(&self) -> Self {
        match self {
            Self::Literal(text) => Self::Literal(text.to_ascii_lowercase()),
            Self::Any => Self::Any,
        }
    }
}

/// What a route matches below the prefix of its policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PathPattern {
    /// The segments before `/*`.
    pub segments: Vec<Segment>,
    /// Whether it ends in `/*`.
    pub is_prefix: bool,
}

/// The most segments of a pattern. The router goes as deep, on a stack that has an end.
const MAX_SEGMENTS: usize = 64;

impl PathPattern {
    /// Reads `/x`, `/x/*` or `/x/{name}/y`.
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
        let segments: Result<Vec<_>, _> = if trimmed.is_empty() {
            Ok(Vec::new())
        } else {
            trimmed.split('/').map(segment).collect()
        };
        Ok(Self {
            segments: segments?,
            is_prefix,
        })
    }

    /// Whether some segment may be anything.
    pub fn has_wildcard(&self) -> bool {
        self.segments.contains(&Segment::Any)
    }

    /// Whether some path matches both of two patterns of one length, and neither is the more
    /// specific: each has a literal where the other has `{name}`.
    pub fn crosses(&self, other: &Self) -> bool {
        let more_specific = |a: &Self, b: &Self| {
            let mut pairs = a.segments.iter().zip(&b.segments);
            pairs.any(|pair| matches!(pair, (Segment::Literal(_), Segment::Any)))
        };
        self.overlaps(other) && more_specific(self, other) && more_specific(other, self)
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
        short.segments.iter().zip(&long.segments).all(|(a, b)| match (a, b) {
            (Segment::Literal(a), Segment::Literal(b)) => a == b,
            _ => true,
        })
    }
}

/// One segment of a pattern.
fn segment(text: &str) -> Result<Segment, Fault> {
    let wildcard = |message: String| Err(Fault::new(ProblemCode::InvalidWildcard, message, WILDCARDS));
    if text.starts_with(':') {
        return wildcard(format!("`{text}` would be these very characters, not any segment"));
    }
    match text.strip_prefix('{').and_then(|t| t.strip_suffix('}')) {
        Some(name) if !name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || c == '_') => Ok(Segment::Any),
        Some(_) => wildcard(format!(
            "`{text}` is not a name in braces: a name has letters, digits and `_`"
        )),
        None if text.chars().all(|c| c == '*') && !text.is_empty() => {
            wildcard("`*` stands at the end of a path only, and for all segments behind it".to_owned())
        }
        None if text.contains(['{', '}', '*']) => wildcard(format!(
            "`{text}` mixes literal characters with a wildcard; a wildcard is a whole segment"
        )),
        None => Ok(Segment::Literal(text.to_owned())),
    }
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
        for (text, segments, is_prefix) in [
            ("/", vec![], false),
            ("/*", vec![], true),
            ("/x", vec![literal("x")], false),
            ("/x/", vec![literal("x")], false),
            ("/x/*", vec![literal("x")], true),
            ("/x/{id}/y", vec![literal("x"), Segment::Any, literal("y")], false),
            ("/wallets:batch", vec![literal("wallets:batch")], false),
        ] {
            assert_eq!(
                PathPattern::parse(text),
                Ok(PathPattern { segments, is_prefix }),
                "{text}"
            );
        }
        for text in [
            "/:id", "/x/:id/y", "/[a-z]+", "/^x", "/a|b", "x", "", "/x*", "/x/*/y", "/{}", "/{a-b}", "/x{id}", "//x",
            "/%41", "/a/../b", "/a b", "/a;b",
        ] {
            assert!(PathPattern::parse(text).is_err(), "{text}");
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
        ] {
            let (a, b) = (PathPattern::parse(a).unwrap(), PathPattern::parse(b).unwrap());
            assert_eq!((a.overlaps(&b), b.overlaps(&a)), (want, want), "{a:?} {b:?}");
        }
    }
}
