//! All policies of a process, and which one a request is for.

use super::route::Route;
use super::{ErrorStyle, PathCase, Policy};
use crate::document::problem::Problem;

mod case;
mod contradictions;
mod host_prefix_index;
mod parse;
mod resources;
mod same_service;

use host_prefix_index::HostPrefixIndex;
use resources::ResourceIndex;

/// All policies of a process, compiled: immutable, and compared as values.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PolicySet {
    policies: Vec<Policy>,
    default_errors: ErrorStyle,
    index: HostPrefixIndex,
    resources: ResourceIndex,
    has_capitals: bool,
}

/// A route by its place in a set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct RouteIndex {
    /// The policy.
    pub policy: usize,
    /// The route in the policy.
    pub route: usize,
}

/// What a request is for, by the places in a set, as far as it was found.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
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
    fn new(mut policies: Vec<Policy>, default_errors: ErrorStyle) -> Self {
        same_service::share_names(&mut policies);
        Self {
            index: HostPrefixIndex::new(&policies),
            resources: ResourceIndex::new(&policies),
            has_capitals: policies.iter().any(Policy::has_capitals),
            policies,
            default_errors,
        }
    }

    /// Returns the set with another policy in the place of one, as if it stood in the file of that one. What policies
    /// say against each other is not checked.
    #[must_use]
    pub fn with_policy(&self, index: usize, policy: Policy) -> Self {
        let mut policies = self.policies.clone();
        if let Some(place) = policies.get_mut(index) {
            *place = policy;
        }
        policies.iter_mut().for_each(Policy::own_names);
        Self::new(policies, self.default_errors.clone())
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

    /// Finds the policy whose resource has its metadata at a path, for a host.
    pub fn metadata_for(&self, host: Option<&str>, path: &[u8]) -> Option<usize> {
        self.resources.find(&self.policies, host, path)
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

    /// What only `check` warns of, as far as it is true at a time.
    pub fn lints(&self, now: i64) -> impl Iterator<Item = &Problem> {
        self.policies.iter().flat_map(move |policy| policy.lints(now))
    }

    /// What `check` and the log warn of.
    pub fn warnings(&self) -> impl Iterator<Item = &Problem> {
        self.policies.iter().flat_map(|policy| &*policy.warnings)
    }

    /// How errors are written where no policy says it.
    pub fn default_errors(&self) -> &ErrorStyle {
        &self.default_errors
    }
}

#[cfg(test)]
mod tests;
