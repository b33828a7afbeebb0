//! Policies that are fine by themselves, and contradict each other.

use std::cell::OnceCell;
use std::collections::HashMap;

use crate::document::problem::{Fault, Location, Problem, ProblemCode};
use crate::policy::route::{Route, Segment};
use crate::policy::{PathCase, Policy};

/// What is wrong between policies that are fine by themselves.
pub(super) fn contradictions(policies: &[Policy]) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut same_prefix: HashMap<String, Vec<&Policy>> = HashMap::new();
    for policy in policies {
        let others = same_prefix.entry(policy.prefix.to_ascii_lowercase()).or_default();
        for earlier in others.iter().filter(|earlier| could_both_win(policy, earlier)) {
            problems.extend(start(policy).map(|location| {
                let (same, help) = match policy.prefix == earlier.prefix {
                    true => (
                        "the same prefix",
                        "give one another `prefix` or other `hosts`; check policies of two processes one by one",
                    ),
                    false => ("the same prefix in another case", ONLY_EXACT),
                };
                let message = format!(
                    "`{}` has {same} and the same hosts: both policies could win",
                    earlier.file
                );
                Problem::new(location, &Fault::new(ProblemCode::PolicyConflict, message, help))
            }));
        }
        others.push(policy);
        problems.extend(shadowed(policy, policies));
    }
    problems
}

/// What tells paths apart that differ in case alone.
const ONLY_EXACT: &str = "make them differ, or write `paths: { case: exact }` in both if the service tells them apart";

/// A policy is pointed at by its first route.
pub(super) fn start(policy: &Policy) -> Option<Location> {
    policy.routes.first().map(|route| Location::clone(&route.location))
}

/// Whether two policies, whose prefixes are the same in some case, are for the same requests.
fn could_both_win(a: &Policy, b: &Policy) -> bool {
    let exact = a.case == PathCase::Exact && b.case == PathCase::Exact;
    (!exact || a.prefix == b.prefix) && share_host(a, b)
}

pub(super) fn share_host(a: &Policy, b: &Policy) -> bool {
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
            let help = format!("move the route to `{}`, or leave it out", inner.file);
            let fault = Fault::new(ProblemCode::RouteUnreachable, message, help);
            problems.push(Problem::new(Location::clone(&route.location), &fault));
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
