//! All policies of a process, and which one a request is for.

use std::cell::OnceCell;
use std::collections::HashMap;
use std::sync::Arc;

use super::route::{Route, Segment};
use super::{ErrorStyle, PathCase, Policy, compile};
use crate::document::environment::Environment;
use crate::document::problem::{Location, Problem, SourceFile};

mod case;
mod host_prefix_index;
mod same_service;

use host_prefix_index::HostPrefixIndex;

/// All policies of a process, compiled: immutable, and compared as values.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PolicySet {
    policies: Vec<Policy>,
    default_errors: ErrorStyle,
    index: HostPrefixIndex,
    has_capitals: bool,
}

/// A route by its place in a set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RouteIndex {
    /// The policy.
    pub policy: usize,
    /// The route in the policy.
    pub route: usize,
}

/// What a request is for, by the places in a set, as far as it was found.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Scope {
    /// The policy.
    pub policy: Option<usize>,
    /// The route.
    pub route: Option<RouteIndex>,
}

impl From<RouteIndex> for Scope {
    fn from(route: RouteIndex) -> Self {
        Self {
            policy: Some(route.policy),
            route: Some(route),
        }
    }
}

/// The policy and the route of a request, as far as they were found.
#[derive(Debug, Clone, Copy, Default)]
pub struct Matched<'p> {
    policy: Option<&'p Policy>,
    route: Option<&'p Route>,
    scope: Scope,
}

impl<'p> Matched<'p> {
    /// The policy.
    pub const fn policy(&self) -> Option<&'p Policy> {
        self.policy
    }

    /// The route.
    pub const fn route(&self) -> Option<&'p Route> {
        self.route
    }

    /// The places of both in their set.
    pub const fn scope(&self) -> Scope {
        self.scope
    }
}

impl PolicySet {
    /// Reads all files, or says everything that is wrong with any of them.
    pub fn parse(
        files: &[Arc<SourceFile>],
        environment: &dyn Environment,
        default_errors: ErrorStyle,
    ) -> Result<Self, Vec<Problem>> {
        let mut policies = Vec::new();
        let mut problems = Vec::new();
        for file in files {
            match compile::parse(file, environment) {
                Ok(policy) => policies.push(policy),
                Err(found) => problems.extend(found),
            }
        }
        problems.extend(contradictions(&policies));
        if problems.iter().any(Problem::is_error) {
            let warnings = policies.into_iter().flat_map(|policy| policy.warnings.0);
            return Err(warnings.chain(problems).collect());
        }
        let mut set = Self::new(policies, default_errors);
        let let_through = same_service::let_through(&set.policies);
        for (index, warning) in case::open_in_another_case(&set).into_iter().chain(let_through) {
            if let Some(policy) = set.policies.get_mut(index) {
                policy.warnings.push(warning);
            }
        }
        Ok(set)
    }

    fn new(mut policies: Vec<Policy>, default_errors: ErrorStyle) -> Self {
        same_service::share_names(&mut policies);
        Self {
            index: HostPrefixIndex::new(&policies),
            has_capitals: policies.iter().any(Policy::has_capitals),
            policies,
            default_errors,
        }
    }

    /// The policy for a host and a path: an exact host before a wildcard before none, then the
    /// longest prefix.
    pub fn select(&self, host: Option<&str>, path: &str) -> Option<usize> {
        self.first(host, path.as_bytes(), |policy| policy.below_prefix(path).is_some())
    }

    /// The policy that a host and a path are for if the case of prefixes does not count.
    pub fn select_in_any_case(&self, host: Option<&str>, path: &str) -> Option<usize> {
        let is_below = |policy: &Policy| policy.below_prefix_in_any_case(path).is_some();
        self.first(host, path.as_bytes(), is_below)
    }

    /// Whether a path in lower case may lead elsewhere in another case.
    pub fn has_capitals(&self) -> bool {
        self.has_capitals
    }

    /// Finds the policy whose prefix equals the first bytes of a path, whatever follows them. It says how
    /// the rejection of an unreadable path is written.
    pub fn by_raw_prefix(&self, host: Option<&str>, raw: &[u8]) -> Option<usize> {
        self.first(host, raw, |policy| {
            let head = raw.get(..policy.prefix.len());
            head.is_some_and(|head| match policy.case {
                PathCase::Insensitive => head.eq_ignore_ascii_case(policy.prefix.as_bytes()),
                PathCase::Unambiguous | PathCase::Exact => head == policy.prefix.as_bytes(),
            })
        })
    }

    fn first(&self, host: Option<&str>, path: &[u8], matches: impl Fn(&Policy) -> bool) -> Option<usize> {
        self.index
            .first(host, path, |index| self.policies.get(index).is_some_and(&matches))
    }

    /// A policy by its index.
    pub fn get(&self, index: usize) -> Option<&Policy> {
        self.policies.get(index)
    }

    /// A route and its policy.
    pub fn route(&self, index: RouteIndex) -> Option<(&Policy, &Route)> {
        let policy = self.policies.get(index.policy)?;
        Some((policy, policy.routes.get(index.route)?))
    }

    /// A policy and a route by their places, as far as they were found.
    pub fn matched(&self, scope: Scope) -> Matched<'_> {
        Matched {
            policy: scope.policy.and_then(|index| self.get(index)),
            route: scope.route.and_then(|index| Some(self.route(index)?.1)),
            scope,
        }
    }

    /// All policies, in the order of their files.
    pub fn policies(&self) -> &[Policy] {
        &self.policies
    }

    /// Everything that `check` warns of.
    pub fn warnings(&self) -> impl Iterator<Item = &Problem> {
        self.policies.iter().flat_map(|policy| &*policy.warnings)
    }

    /// How errors are written where no policy says it.
    pub fn default_errors(&self) -> &ErrorStyle {
        &self.default_errors
    }
}

/// What is wrong between policies that are fine by themselves.
fn contradictions(policies: &[Policy]) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut same_prefix: HashMap<String, Vec<&Policy>> = HashMap::new();
    for policy in policies {
        let others = same_prefix.entry(policy.prefix.to_ascii_lowercase()).or_default();
        for earlier in others.iter().filter(|earlier| could_both_win(policy, earlier)) {
            problems.extend(start(policy).map(|location| {
                let (same, help) = match policy.prefix == earlier.prefix {
                    true => (
                        "the same prefix",
                        "give one another `prefix`, or tell them apart by `hosts`",
                    ),
                    false => ("the same prefix in another case", ONLY_EXACT),
                };
                let message = format!(
                    "`{}` has {same} and the same hosts: both policies could win",
                    earlier.file
                );
                Problem::new(location, message).help(help)
            }));
        }
        others.push(policy);
        problems.extend(shadowed(policy, policies));
    }
    problems.extend(same_service::passed(policies));
    problems
}

/// What tells paths apart that differ in case alone.
const ONLY_EXACT: &str = "make them differ, or write `paths: { case: exact }` in both if the service tells them apart";

/// A policy is pointed at by its first route.
fn start(policy: &Policy) -> Option<Location> {
    policy.routes.first().map(|route| Location::clone(&route.location))
}

/// Whether two policies, whose prefixes are the same in some case, are for the same requests.
fn could_both_win(a: &Policy, b: &Policy) -> bool {
    let exact = a.case == PathCase::Exact && b.case == PathCase::Exact;
    (!exact || a.prefix == b.prefix) && share_host(a, b)
}

fn share_host(a: &Policy, b: &Policy) -> bool {
    (a.hosts.is_empty() && b.hosts.is_empty()) || a.hosts.iter().any(|host| b.hosts.contains(host))
}

/// The routes of a policy of which all that they match belongs to one with a longer prefix.
fn shadowed(policy: &Policy, policies: &[Policy]) -> Vec<Problem> {
    let mut problems = Vec::new();
    // Most policies have no other below them.
    let paths: OnceCell<Vec<String>> = OnceCell::new();
    for inner in policies.iter().filter(|inner| is_inside(inner, policy)) {
        let paths = paths.get_or_init(|| policy.routes.iter().map(|route| literal_path(policy, route)).collect());
        let routes = policy.routes.iter().zip(paths);
        for (route, _) in routes.filter(|(_, path)| inner.below_prefix(path).is_some()) {
            let message = format!(
                "the route can never match: `{}` takes all of `{}`",
                inner.file, inner.prefix
            );
            problems.push(Problem::new(Location::clone(&route.location), message));
        }
    }
    problems
}

/// Whether the prefix of a policy is the longer one, and begins as that of another for the same hosts.
fn is_inside(inner: &Policy, policy: &Policy) -> bool {
    let head = inner.prefix.as_bytes().get(..policy.prefix.len());
    inner.prefix.len() > policy.prefix.len()
        && head.is_some_and(|head| head.eq_ignore_ascii_case(policy.prefix.as_bytes()))
        && inner.hosts == policy.hosts
}

/// The path that all that a route matches begins with.
fn literal_path(policy: &Policy, route: &Route) -> String {
    let mut path = policy.prefix.clone();
    for segment in &route.path.segments {
        let Segment::Literal(text) = segment else { break };
        path.push('/');
        path.push_str(text);
    }
    path
}

#[cfg(test)]
mod tests;
