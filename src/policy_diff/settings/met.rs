//! Which routes of two sides meet in requests: for each route of either side, what its own requests are for on the other.

use std::collections::BTreeSet;

use http::Method;

use crate::policy::route::{Route, Segment};
use crate::policy::router::RouteMatch;
use crate::policy::{HostPattern, Policy, PolicySet, RouteIndex};

/// A segment that no pattern has as a literal.
const ANY: &str = "~any";

/// Pairs the routes whose requests meet: the old one and the new one.
pub(super) fn met(was: &PolicySet, now: &PolicySet) -> Vec<(RouteIndex, RouteIndex)> {
    let mut found = BTreeSet::new();
    each_route(was, |old, host, path, method| {
        found.extend(find(now, host, path, method).map(|new| (place(old), place(new))));
    });
    each_route(now, |new, host, path, method| {
        found.extend(find(was, host, path, method).map(|old| (place(old), place(new))));
    });
    let index = |(policy, route)| RouteIndex { policy, route };
    found.into_iter().map(|(old, new)| (index(old), index(new))).collect()
}

const fn place(index: RouteIndex) -> (usize, usize) {
    (index.policy, index.route)
}

/// Calls a function with each route and with requests that it is for.
fn each_route(policies: &PolicySet, mut call: impl FnMut(RouteIndex, Option<&str>, &str, &Method)) {
    for (policy_index, policy) in policies.policies().iter().enumerate() {
        for (route_index, route) in policy.routes.iter().enumerate() {
            let index = RouteIndex {
                policy: policy_index,
                route: route_index,
            };
            let path = path(policy, route);
            let methods = if route.methods.is_empty() {
                vec![Method::GET, Method::POST]
            } else {
                route.methods.clone()
            };
            for host in hosts(policy) {
                for method in &methods {
                    if find(policies, host.as_deref(), &path, method) == Some(index) {
                        call(index, host.as_deref(), &path, method);
                    }
                }
            }
        }
    }
}

fn hosts(policy: &Policy) -> Vec<Option<String>> {
    let host = |pattern: &HostPattern| match pattern {
        HostPattern::Exact(name) => name.clone(),
        HostPattern::Suffix(suffix) => format!("{ANY}{suffix}"),
    };
    match policy.hosts.is_empty() {
        true => vec![None],
        false => policy.hosts.iter().map(|pattern| Some(host(pattern))).collect(),
    }
}

fn path(policy: &Policy, route: &Route) -> String {
    let segments = route.path.segments.iter().map(|segment| match segment {
        Segment::Literal(text) => text.clone(),
        Segment::Wildcard(suffix) => format!("{ANY}{suffix}"),
    });
    let below = route.path.is_prefix.then(|| ANY.to_owned());
    let below: Vec<_> = segments.chain(below).collect();
    format!("{}/{}", policy.prefix, below.join("/"))
}

fn find(policies: &PolicySet, host: Option<&str>, path: &str, method: &Method) -> Option<RouteIndex> {
    let index = policies.select(host, path)?;
    match policies.get(index)?.find(path, method) {
        RouteMatch::Found(route) => Some(RouteIndex { policy: index, route }),
        RouteMatch::MethodMismatch | RouteMatch::NotFound => None,
    }
}
