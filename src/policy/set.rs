//! All policies of a process, and which one a request is for.

use std::sync::Arc;

use super::problem::{Place, Problem, Source};
use super::route::{Route, Segment};
use super::sources::Sources;
use super::token_cache::TokenCache;
use super::{ErrorStyle, HostPattern, Policy, check};

/// The policies in force together.
#[derive(Debug, Default)]
pub struct PolicySet {
    policies: Vec<Policy>,
    default_errors: ErrorStyle,
    /// Hosts and prefixes, those that decide first in front.
    order: Vec<Entry>,
    tokens: TokenCache,
}

/// A route by its place in a set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RouteIndex {
    /// The policy.
    pub policy: usize,
    /// The route in the policy.
    pub route: usize,
}

#[derive(Debug)]
struct Entry {
    host: Option<HostPattern>,
    policy: usize,
}

impl PolicySet {
    /// Reads all files, or says everything that is wrong with any of them.
    pub fn parse(
        files: &[Arc<Source>],
        sources: &dyn Sources,
        default_errors: ErrorStyle,
    ) -> Result<Self, Vec<Problem>> {
        let mut policies = Vec::new();
        let mut problems = Vec::new();
        for file in files {
            match check::parse(file, sources) {
                Ok(policy) => policies.push(policy),
                Err(found) => problems.extend(found),
            }
        }
        problems.extend(contradictions(&policies));
        match problems.is_empty() {
            true => Ok(Self::new(policies, default_errors)),
            false => Err(problems),
        }
    }

    fn new(policies: Vec<Policy>, default_errors: ErrorStyle) -> Self {
        let mut order = Vec::new();
        for (index, policy) in policies.iter().enumerate() {
            let entry = |host| Entry { host, policy: index };
            match policy.hosts.is_empty() {
                true => order.push(entry(None)),
                false => order.extend(policy.hosts.iter().cloned().map(|host| entry(Some(host)))),
            }
        }
        order.sort_by_key(|entry| {
            let host = match &entry.host {
                Some(HostPattern::Exact(_)) => (0, 0),
                Some(HostPattern::Suffix(suffix)) => (1, usize::MAX - suffix.len()),
                None => (2, 0),
            };
            let prefix = policies.get(entry.policy).map_or(0, |policy| policy.prefix.len());
            (host, usize::MAX - prefix)
        });
        Self {
            policies,
            default_errors,
            order,
            tokens: TokenCache::default(),
        }
    }

    /// The policy for a host and a path: an exact host before a wildcard before none, then the
    /// longest prefix.
    pub fn select(&self, host: Option<&str>, path: &str) -> Option<usize> {
        self.first(host, |policy| policy.below_prefix(path).is_some())
    }

    /// The policy whose prefix the first bytes of a path spell, whatever follows them: it says how
    /// the refusal of an unreadable path is written.
    pub fn spelled(&self, host: Option<&str>, raw: &[u8]) -> Option<usize> {
        self.first(host, |policy| {
            let head = raw.get(..policy.prefix.len());
            head.is_some_and(|head| match policy.case_insensitive {
                true => head.eq_ignore_ascii_case(policy.prefix.as_bytes()),
                false => head == policy.prefix.as_bytes(),
            })
        })
    }

    fn first(&self, host: Option<&str>, matches: impl Fn(&Policy) -> bool) -> Option<usize> {
        let is_for = |entry: &&Entry| match &entry.host {
            None => true,
            Some(pattern) => host.is_some_and(|host| pattern.matches(host)),
        };
        self.order
            .iter()
            .filter(is_for)
            .map(|entry| entry.policy)
            .find(|&index| self.policies.get(index).is_some_and(&matches))
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

    /// A policy and a route, as far as a decision found them.
    pub fn found(&self, policy: Option<usize>, route: Option<RouteIndex>) -> (Option<&Policy>, Option<&Route>) {
        let policy = policy.and_then(|index| self.get(index));
        let route = route.and_then(|index| self.route(index)).map(|(_, route)| route);
        (policy, route)
    }

    /// All policies, in the order of their files.
    pub fn policies(&self) -> &[Policy] {
        &self.policies
    }

    /// The tokens that were verified for these policies.
    pub fn tokens(&self) -> &TokenCache {
        &self.tokens
    }

    /// How errors are written where no policy says it.
    pub fn default_errors(&self) -> &ErrorStyle {
        &self.default_errors
    }
}

/// What is wrong between policies that are fine by themselves.
fn contradictions(policies: &[Policy]) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (at, policy) in policies.iter().enumerate() {
        for earlier in policies.iter().take(at) {
            if same_prefix(policy, earlier) && share_host(policy, earlier) {
                problems.extend(start(policy).map(|place| {
                    let message = format!(
                        "`{}` has the same prefix and hosts: both policies could win",
                        earlier.file
                    );
                    Problem::new(place, message).help("give one another `prefix`, or tell them apart by `hosts`")
                }));
            }
        }
        for inner in policies
            .iter()
            .filter(|inner| inner.hosts == policy.hosts && policy.prefix != inner.prefix)
        {
            for route in policy.routes.iter().filter(|route| is_below(route, policy, inner)) {
                let message = format!(
                    "the route can never match: `{}` takes all of `{}`",
                    inner.file, inner.prefix
                );
                problems.push(Problem::new(route.place.clone(), message));
            }
        }
    }
    problems
}

/// A policy is pointed at by its first route.
fn start(policy: &Policy) -> Option<Place> {
    policy.routes.first().map(|route| route.place.clone())
}

fn same_prefix(a: &Policy, b: &Policy) -> bool {
    match a.case_insensitive || b.case_insensitive {
        true => a.prefix.eq_ignore_ascii_case(&b.prefix),
        false => a.prefix == b.prefix,
    }
}

fn share_host(a: &Policy, b: &Policy) -> bool {
    (a.hosts.is_empty() && b.hosts.is_empty()) || a.hosts.iter().any(|host| b.hosts.contains(host))
}

/// Whether all that a route matches belongs to a policy with a longer prefix.
fn is_below(route: &Route, policy: &Policy, inner: &Policy) -> bool {
    let mut path = policy.prefix.clone();
    for segment in &route.path.segments {
        let Segment::Literal(text) = segment else { break };
        path.push('/');
        path.push_str(text);
    }
    inner.prefix.len() > policy.prefix.len() && inner.below_prefix(&path).is_some()
}
