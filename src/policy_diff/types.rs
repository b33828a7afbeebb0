//! What a comparison of two sets of policies says.

use std::fmt;
use std::rc::Rc;

use http::Method;
use serde::{Serialize, Serializer};

use super::delta::Delta;
use super::effects::Effect;
use super::shown::Shown;
use crate::policy::Scope;
use crate::policy::route::{PathPattern, Segment};

/// All requests that two sets of policies answer differently.
#[derive(Debug, Clone, Default)]
pub struct Difference {
    /// The changes, danger first. A request belongs to one of them at most.
    pub changes: Vec<Change>,
    /// How many routes of the new policies answer as before: their requests, and those of the route that each was.
    pub unchanged_routes: usize,
    /// How many routes the new policies have.
    pub routes: usize,
    /// What was looked at.
    pub classes: ClassCounts,
    /// All classes of hosts, as [`Region::hosts`] names them.
    pub hosts: Vec<String>,
    /// The methods of the standard and those that either side names.
    pub methods: Vec<Method>,
}

/// How many classes of requests were looked at.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct ClassCounts {
    /// The classes of hosts.
    pub hosts: usize,
    /// The classes of paths, in all classes of hosts with different policies. Paths that meet the same on both sides are
    /// left out.
    pub paths: usize,
    /// The classes of methods.
    pub methods: usize,
    /// The classes of callers.
    pub callers: usize,
}

/// Requests for which the same thing changes.
#[derive(Debug, Clone)]
pub struct Change {
    /// What the change means, danger first: the first one is its kind.
    pub effects: Vec<Effect>,
    /// The requests.
    pub region: Region,
    /// What they meet in the old policies.
    pub was: Scope,
    /// What they meet in the new policies.
    pub now: Scope,
    /// What changes for their callers.
    pub delta: Rc<Delta>,
    /// One of the requests.
    pub example: Example,
    /// A caller of it for whom the change matters, if there is one that `explain` can show.
    pub shown: Option<Shown>,
}

/// Hosts, methods and paths of requests: all combinations of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Region {
    /// Classes of hosts: a host, or `*.example.com` for all hosts below that no other class names, or `*` for every host
    /// that no other class names.
    pub hosts: Vec<String>,
    /// Methods.
    pub methods: Vec<Method>,
    /// Whether the last one of the methods stands for every method that neither side names.
    pub other_methods: bool,
    /// The paths, but those of `except`.
    pub paths: Vec<PathRegion>,
    /// Paths that are left out.
    pub except: Vec<PathRegion>,
}

/// The paths of a pattern.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
pub struct PathRegion {
    /// The pattern. It is read as the path of a route is: `/x/*` is `/x` and all below, `{name}` is one segment.
    pub pattern: String,
    /// In which case the letters of the pattern are meant.
    pub case: Case,
}

/// In which case the letters of a pattern are meant: a word, or a list of a word for each segment.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Case {
    /// As they are written.
    AsWritten,
    /// In any case, but not all of them as they are written.
    Other,
    /// In any case.
    Any,
    /// In a case for each segment of the pattern.
    Segments(Vec<SegmentCase>),
}

/// In which case the letters of a segment are meant.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum SegmentCase {
    /// As they are written.
    AsWritten,
    /// In any case, but not all of them as they are written.
    Other,
    /// In any case.
    Any,
    /// In any case, with this end of the segment as it is written. In JSON it is `{"ends": …}`.
    Ends(String),
}

/// A request of a region.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Example {
    /// The host.
    pub host: String,
    /// The method.
    pub method: Method,
    /// The path, as a client sends it.
    pub path: String,
}

/// A request that stands for its class, and what it meets.
#[derive(Debug, Clone)]
pub struct Cell {
    /// The host.
    pub host: String,
    /// The path, as a client sends it.
    pub path: String,
    /// The method.
    pub method: Method,
    /// What the request meets in the old policies. It may be a policy and no route. The routes that take the path with
    /// other methods are to be found by the path: responses to preflights and `Allow` name them.
    pub old: Scope,
    /// What the request meets in the new policies.
    pub new: Scope,
}

/// Why two sets of policies cannot be compared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Incomplete {
    /// There are more classes of requests than are compared.
    TooMany {
        /// Classes of what, as in `paths`.
        what: &'static str,
        /// How many are compared at most.
        limit: usize,
    },
    /// No caller could be made who passes on a side, so that what would be asked of such a caller was not compared.
    NoCaller {
        /// The method and the path.
        request: String,
        /// The side.
        side: &'static str,
        /// Where the route is, as file, line and column.
        route: String,
    },
    /// Rules differ that read the same values, and no caller was found for whom that matters.
    Undecided {
        /// The method and the path.
        request: String,
        /// The claim or header.
        of: String,
    },
}

impl fmt::Display for Incomplete {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooMany { what, limit } => {
                write!(f, "the policies tell more than {limit} classes of {what} apart")
            }
            Self::NoCaller { request, side, route } => write!(
                f,
                "no caller who passes `{request}` in the {side} policies ({route}) could be made, so the policies cannot be \
                 compared: check that the rules of the route do not contradict each other"
            ),
            Self::Undecided { request, of } => write!(
                f,
                "the rules of `{request}` on `{of}` differ, and no caller was found for whom that matters, so the policies \
                 cannot be compared exactly"
            ),
        }
    }
}

impl std::error::Error for Incomplete {}

impl Serialize for Case {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::AsWritten => serializer.serialize_str("as_written"),
            Self::Other => serializer.serialize_str("other"),
            Self::Any => serializer.serialize_str("any"),
            Self::Segments(segments) => segments.serialize(serializer),
        }
    }
}

impl Serialize for SegmentCase {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::AsWritten => serializer.serialize_str("as_written"),
            Self::Other => serializer.serialize_str("other"),
            Self::Any => serializer.serialize_str("any"),
            Self::Ends(end) => std::collections::BTreeMap::from([("ends", end)]).serialize(serializer),
        }
    }
}

impl Difference {
    /// Returns the change that a request belongs to, by a host without port, a method and a path in its one reading.
    pub fn change(&self, host: &str, method: &Method, path: &str) -> Option<&Change> {
        let host = self.host_class(host);
        let is_named = self.methods.contains(method);
        self.changes.iter().find(|change| {
            let region = &change.region;
            let has_method = match is_named {
                true => region.methods.contains(method),
                false => region.other_methods,
            };
            has_method && region.hosts.iter().any(|class| class == host) && region.has_path(path)
        })
    }

    /// Returns the class of a host: itself, the longest suffix, or `*`.
    pub(super) fn host_class(&self, host: &str) -> &str {
        let is_below = |class: &&String| {
            let suffix = class.strip_prefix('*').filter(|suffix| !suffix.is_empty());
            let at = suffix.and_then(|suffix| host.len().checked_sub(suffix.len()).filter(|at| *at > 0));
            let end = at.and_then(|at| host.get(at..));
            end.is_some_and(|end| suffix.is_some_and(|suffix| suffix.eq_ignore_ascii_case(end)))
        };
        let exact = self.hosts.iter().find(|class| class.eq_ignore_ascii_case(host));
        let below = || self.hosts.iter().filter(is_below).max_by_key(|class| class.len());
        exact.or_else(below).map_or("*", String::as_str)
    }
}

impl Region {
    /// Returns whether some of the paths are as they are written.
    pub fn is_plain(&self) -> bool {
        self.paths.iter().any(|path| path.case == Case::AsWritten)
    }

    /// Returns whether a path fits one of the patterns as it is written.
    pub(super) fn has_as_written(&self, path: &str) -> bool {
        let mut plain = self.paths.iter().filter(|region| region.case == Case::AsWritten);
        plain.any(|region| region.has(path))
    }

    /// Returns whether a path in its one reading, decoded, is one of the region.
    pub fn has_path(&self, path: &str) -> bool {
        let is_in = |regions: &[PathRegion]| regions.iter().any(|region| region.has(path));
        is_in(&self.paths) && !is_in(&self.except)
    }
}

impl PathRegion {
    /// Returns whether a path in its one reading, decoded, fits the pattern. A pattern that cannot be read fits none.
    pub fn has(&self, path: &str) -> bool {
        let Ok(pattern) = PathPattern::parse(&self.pattern) else {
            return false;
        };
        let path = path.strip_prefix('/').unwrap_or(path);
        let path = path.strip_suffix('/').unwrap_or(path);
        let given: Vec<_> = path.split('/').filter(|_| !path.is_empty()).collect();
        let length = pattern.segments.len();
        let fits_length = given.len() == length || (pattern.is_prefix && given.len() > length);
        let mut pairs = pattern.segments.iter().zip(&given);
        if !(fits_length && pairs.clone().all(|(segment, text)| in_any_case(segment, text))) {
            return false;
        }
        match &self.case {
            Case::Any => true,
            Case::AsWritten => pairs.all(|(segment, text)| segment.matches(text)),
            Case::Other => !pairs.all(|(segment, text)| segment.matches(text)),
            Case::Segments(cases) => pairs.zip(cases).all(|((segment, text), case)| case.fits(segment, text)),
        }
    }
}

impl SegmentCase {
    /// Returns whether the text of a segment, which fits in some case, does so in this one.
    fn fits(&self, segment: &Segment, text: &str) -> bool {
        match self {
            Self::AsWritten => segment.matches(text),
            Self::Other => !segment.matches(text),
            Self::Any => true,
            Self::Ends(end) => text.ends_with(end.as_str()),
        }
    }
}

fn in_any_case(segment: &Segment, text: &str) -> bool {
    segment.folded().matches(&text.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn path_is_of_a_pattern_by_its_case() {
        use SegmentCase as S;
        let list = Case::Segments;
        for (pattern, case, path, want) in [
            ("/a/*", Case::AsWritten, "/a", true),
            ("/a/*", Case::AsWritten, "/a/", true),
            ("/a/*", Case::AsWritten, "/a/B/c", true),
            ("/a/*", Case::AsWritten, "/A/B", false),
            ("/a/*", Case::Other, "/A/b", true),
            ("/a/*", Case::Other, "/a/B", false),
            ("/a/b", Case::Other, "/a/B", true),
            ("/a/b", Case::Any, "/A/b", true),
            ("/a/b", Case::Any, "/A/b/c", false),
            ("/a/{x}", Case::AsWritten, "/a", false),
            ("/a/{x}", Case::AsWritten, "/a/B", true),
            ("/", Case::AsWritten, "/", true),
            ("/", Case::AsWritten, "/a", false),
            ("/*", Case::Other, "/a", false),
            ("/a/b", list(vec![S::Other, S::AsWritten]), "/A/b", true),
            ("/a/b", list(vec![S::Other, S::AsWritten]), "/A/B", false),
            ("/a/{x}:run", list(vec![S::Any, S::Other]), "/A/1:Run", true),
            ("/a/{x}:run", list(vec![S::Any, S::Other]), "/A/1:run", false),
            ("/ab:c", list(vec![S::Ends(":c".into())]), "/AB:c", true),
            ("/ab:c", list(vec![S::Ends(":c".into())]), "/AB:C", false),
        ] {
            let region = PathRegion {
                pattern: pattern.into(),
                case: case.clone(),
            };
            assert_eq!(region.has(path), want, "{pattern} {case:?} {path}");
        }
    }
}
