//! One route, checked: what it matches, how callers authenticate, what is asked of them.

use std::sync::Arc;

use http::{HeaderName, Method};

use super::document::Mode;
use super::origin::Origin;
use super::store_rules::{IdempotencyRule, Quota};
use crate::document::problem::{Fault, Location, ProblemCode};
use crate::principal::AuthMethod;

mod path_texts;

pub use path_texts::check_prefix;

/// One route of a policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// The prefix of the policy and the path of the route, as in `/wallet/v1/jobs/*`: the label of
    /// the route in metrics and logs.
    pub pattern: String,
    /// What it matches below the prefix.
    pub path: PathPattern,
    /// The methods that it takes; empty for all.
    pub methods: Vec<Method>,
    /// How callers prove who they are.
    pub authentication: Authentication,
    /// What is asked of a proven caller.
    pub requirement: Requirement,
    /// The media types that a POST, PUT or PATCH may have; empty for any.
    pub content_types: Vec<String>,
    /// Whether rejections are enforced.
    pub mode: Mode,
    /// Identity headers of the client that reach the service.
    pub pass_through: Vec<HeaderName>,
    /// How requests are answered that may come again.
    pub idempotency: Option<Arc<IdempotencyRule>>,
    /// How often callers may call.
    pub quotas: Vec<Arc<Quota>>,
    /// Whether quotas leave out a request with `x-sandbox: true`.
    pub sandbox: bool,
    /// Where it stands.
    pub location: Origin<Location>,
}

impl Route {
    /// Tells whether the route accepts a method by itself. HEAD is GET without a body (RFC 9110, 9.3.2),
    /// and services answer it with the code for GET. TRACE has to be named: a service that answers
    /// it would show the identity headers (RFC 9110, 9.3.8).
    pub fn accepts(&self, method: &Method) -> bool {
        (self.methods.is_empty() && *method != Method::TRACE)
            || self.methods.contains(method)
            || (*method == Method::HEAD && self.methods.contains(&Method::GET))
    }

    /// Tells whether the route is public: it accepts requests without a credential.
    pub fn is_open(&self) -> bool {
        self.authentication.methods().contains(&AuthMethod::Public)
    }

    /// Whether the route lets every client through, or every client with a static key: routes that an
    /// allowance for ambiguous paths must never open.
    pub fn is_permissive(&self) -> bool {
        self.is_open() || self.authentication.methods().contains(&AuthMethod::InternalKey)
    }

    /// The route's `auth` as one word, for metrics and logs.
    pub fn auth_label(&self) -> &str {
        &self.authentication.label
    }
}

/// How callers prove who they are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Authentication {
    rule: AuthRule,
    label: String,
}

/// How the methods of a route combine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AuthRule {
    /// Any one; whatever is presented must be good.
    Any(Vec<AuthMethod>),
    /// All of them.
    All(Vec<AuthMethod>),
}

impl Authentication {
    /// One method is an `all` of one.
    pub fn new(rule: AuthRule) -> Self {
        let (methods, separator) = match &rule {
            AuthRule::Any(methods) => (methods, "|"),
            AuthRule::All(methods) => (methods, "+"),
        };
        let words: Vec<_> = methods.iter().map(|m| m.as_str()).collect();
        let label = words.join(separator);
        Self { rule, label }
    }

    /// How the methods combine.
    pub fn rule(&self) -> &AuthRule {
        &self.rule
    }

    /// The methods, in the order of the file.
    pub fn methods(&self) -> &[AuthMethod] {
        match &self.rule {
            AuthRule::Any(methods) | AuthRule::All(methods) => methods,
        }
    }
}

/// What is asked of a proven caller.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Requirement {
    /// One of these roles; empty for none.
    pub roles: Vec<String>,
    /// All of these scopes.
    pub scopes: Vec<String>,
}

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
        match Self::read(text) {
            Ok(path) => Ok(path),
            // Where the whole path can be shown as it should be, that is the best help.
            Err(fault) => Err(match path_texts::suggestion(text) {
                Some(path) => Fault::new(fault.code, fault.message, format!("write `{path}`")),
                None => fault,
            }),
        }
    }

    fn read(text: &str) -> Result<Self, Fault> {
        path_texts::check_literal(text)?;
        let trimmed = text.strip_prefix('/').unwrap_or(text);
        let (trimmed, is_prefix) = match trimmed.strip_suffix('*') {
            Some(rest) if rest.is_empty() || rest.ends_with('/') => (rest, true),
            Some(_) => {
                let message = format!("`{text}` ends in a part of a segment, and `*` stands for whole segments");
                return Err(Fault::new(ProblemCode::InvalidWildcard, message, path_texts::WILDCARDS));
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
            trimmed.split('/').map(path_texts::segment).collect()
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
