//! What was likely meant by a request that no route takes.

use http::header::HOST;

use super::case::Case;
use super::judge::Verdict;
use super::outcome::Found;
use crate::document::suggestion::is_close;
use crate::policy::PolicySet;
use crate::rejection::Reason;

/// How many hosts are listed.
const MOST_HOSTS: usize = 4;

/// Says what was likely meant, if no route takes the request of a case: another host, or the path of a route that is close.
pub fn hint(case: &Case, verdict: &Verdict, policies: &PolicySet) -> Option<String> {
    let Found::Rejected { reason, .. } = verdict.found else {
        return None;
    };
    if reason != Reason::RouteNotFound {
        return None;
    }
    let path = case.request.target.split('?').next().unwrap_or_default();
    match verdict.scope.policy {
        None => other_host(case, policies).or_else(|| close_route(path, policies)),
        Some(_) => close_route(path, policies),
    }
}

/// Names the host of the request and those of the policies, where each policy has hosts of its own.
fn other_host(case: &Case, policies: &PolicySet) -> Option<String> {
    let policies = policies.policies();
    if policies.iter().any(|policy| policy.hosts.is_empty()) {
        return None;
    }
    let host = case
        .request
        .headers
        .get(HOST)
        .map(|host| String::from_utf8_lossy(host.as_bytes()));
    let mut hosts: Vec<_> = policies
        .iter()
        .flat_map(|policy| &policy.hosts)
        .map(|host| format!("`{host}`"))
        .collect();
    hosts.sort_unstable();
    hosts.dedup();
    let more = hosts.len().saturating_sub(MOST_HOSTS);
    hosts.truncate(MOST_HOSTS);
    let more = if more > 0 {
        format!(" and {more} more")
    } else {
        String::new()
    };
    let host = host.unwrap_or_default();
    Some(format!(
        "the host is `{host}`, and the policies are for {}{more}: set `host`",
        hosts.join(", ")
    ))
}

/// Suggests the route whose path is close, or ends as that of the request.
fn close_route(path: &str, policies: &PolicySet) -> Option<String> {
    let path = path.trim_end_matches('/');
    let routes = policies.policies().iter().flat_map(|policy| &policy.routes);
    let known: Vec<_> = routes
        .map(|route| (filled(&route.pattern, path), route.pattern.as_str()))
        .collect();
    let ends = known
        .iter()
        .find(|(filled, _)| path.len() > 1 && filled.ends_with(path));
    let close = || {
        known
            .iter()
            .filter(|(filled, _)| slips(path, filled).is_some())
            .min_by_key(|(filled, _)| slips(path, filled))
    };
    let (_, pattern) = ends.or_else(close)?;
    Some(format!("did you mean a path of the route `{pattern}`?"))
}

/// The path that a pattern has with the segments of another path in place of its own wildcards.
fn filled(pattern: &str, path: &str) -> String {
    let segments: Vec<_> = path.split('/').collect();
    let mut filled = Vec::new();
    for (index, segment) in pattern.split('/').enumerate() {
        match segment {
            "*" => filled.extend(segments.iter().skip(index).copied()),
            name if name.starts_with('{') => filled.push(segments.get(index).copied().unwrap_or(name)),
            literal => filled.push(literal),
        }
    }
    filled.join("/")
}

/// How many segments of a path differ from those of another one, if each is close.
fn slips(path: &str, known: &str) -> Option<usize> {
    let (path, known): (Vec<_>, Vec<_>) = (path.split('/').collect(), known.split('/').collect());
    let mut differing = path.iter().zip(&known).filter(|(one, other)| one != other);
    let is_close = path.len() == known.len() && differing.clone().all(|(one, other)| is_close(one, other));
    is_close.then(|| differing.by_ref().count())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn route_that_is_close_is_suggested() {
        let policies = crate::testing::parse(&[
            "version: 1\nservice: s\nprefix: /orders/v1\nupstream: { url: 'http://127.0.0.1:1' }\nroutes:\n  \
             - { path: /orders, auth: public }\n  - { path: '/orders/{id}', auth: public }\n  - { path: /admin/*, auth: public }\n",
        ])
        .unwrap();
        for (path, want) in [
            ("/orders/v1/order", Some("/orders/v1/orders")),
            ("/orders", Some("/orders/v1/orders")),
            ("/orders/", Some("/orders/v1/orders")),
            ("/orders/v1/oders/7", Some("/orders/v1/orders/{id}")),
            ("/orders/7", None),
            ("/order/v1/admin/users/1", Some("/orders/v1/admin/*")),
            ("/", None),
            ("/healthz", None),
            ("/orders/v1/something/else", None),
        ] {
            let want = want.map(|pattern| format!("did you mean a path of the route `{pattern}`?"));
            assert_eq!(close_route(path, &policies), want, "{path}");
        }
    }
}
