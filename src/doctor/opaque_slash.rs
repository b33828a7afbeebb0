//! What becomes of an opaque `%2F` at a service that decodes it after all.

use std::cmp::Reverse;
use std::collections::HashSet;

use super::finding::{Finding, Severity};
use crate::policy::Policy;
use crate::policy::route::{PathPattern, Route, Segment};
use crate::request::path::EncodedSlash;

/// As many routes are named in one finding.
const MOST_NAMED: usize = 5;

/// Lists, for each route that accepts `%2F`, the routes that a service would take its paths to that decodes it.
pub(super) fn judge(policy: &Policy) -> Vec<Finding> {
    if policy.allowance.encoded_slash != EncodedSlash::Opaque {
        return Vec::new();
    }
    let accepting = policy.routes.iter().filter(|route| accepts_slash(route));
    let findings = accepting.filter_map(|route| {
        let others = policy.routes.iter().filter(|other| is_reached(route, other));
        let mut others: Vec<_> = others.collect();
        others.sort_by_key(|other| (other.path.is_prefix, Reverse(other.path.segments.len())));
        let more = others.len().saturating_sub(MOST_NAMED);
        let named = others
            .iter()
            .take(MOST_NAMED)
            .map(|other| format!("`{}`", other.pattern));
        let mut named: Vec<_> = named.collect();
        if more > 0 {
            named.push(format!("{more} more"));
        }
        (!named.is_empty()).then(|| finding(policy, route, &named.join(", ")))
    });
    findings.collect()
}

fn finding(policy: &Policy, route: &Route, others: &str) -> Finding {
    Finding {
        code: "opaque_slash_routes",
        area: "policies",
        severity: Severity::Caution,
        about: policy.service.clone(),
        found: format!(
            "a service that decodes `%2F` takes paths of `{}` for those of {others}",
            route.pattern
        ),
        advice: "see that the service does not decode `%2F`, or leave out `encoded_slash: opaque`",
    }
}

/// Whether a route takes a path with `%2F`: it has a wildcard, and lets in no client without proof.
fn accepts_slash(route: &Route) -> bool {
    !route.is_permissive() && !route.is_denied() && (route.path.is_prefix || route.path.has_wildcard())
}

/// Whether a path of a route is one of another route, once `%2F` is a separator.
fn is_reached(route: &Route, other: &Route) -> bool {
    let specificity = |path: &PathPattern| (path.is_prefix, Reverse(path.segments.len()));
    // What is below a route stays below it: only a more specific one takes it away.
    let wins = !route.path.is_prefix
        || (specificity(&other.path), &other.path.segments) < (specificity(&route.path), &route.path.segments);
    route.path.segments != other.path.segments
        && wins
        && route.shared_methods(other).next().is_some()
        && Separated::new(&route.path, &other.path).find()
}

/// A search for a path that a pattern takes once the `%2F` in it are separators, and that another one takes.
struct Separated<'p> {
    of: &'p PathPattern,
    by: &'p PathPattern,
    seen: HashSet<State>,
    open: Vec<State>,
}

/// How far a search is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
struct State {
    /// The segments of the pattern that are behind.
    at: usize,
    /// Those of the other pattern.
    by_at: usize,
    /// Whether a `%2F` was among them.
    has_slash: bool,
    /// Whether a part of what the next wildcard stands for is behind: another part follows.
    is_within: bool,
}

impl<'p> Separated<'p> {
    fn new(of: &'p PathPattern, by: &'p PathPattern) -> Self {
        Self {
            of,
            by,
            seen: HashSet::new(),
            open: vec![State::default()],
        }
    }

    /// Finds out whether there is such a path with at least one `%2F`.
    fn find(mut self) -> bool {
        while let Some(state) = self.open.pop() {
            if !self.seen.insert(state) {
                continue;
            }
            match self.of.segments.get(state.at) {
                // What is below takes any segments.
                None if self.of.is_prefix => return true,
                None if state.has_slash && state.by_at == self.by.segments.len() => return true,
                None => {}
                Some(segment) => self.step(segment, state),
            }
        }
        false
    }

    /// Adds the states behind a segment, or behind a part of what its wildcard stands for.
    fn step(&mut self, segment: &Segment, state: State) {
        let by = self.by.segments.get(state.by_at);
        let next = match by {
            Some(_) => Some(state.by_at + 1),
            None => self.by.is_prefix.then_some(state.by_at),
        };
        let behind = State {
            at: state.at + 1,
            is_within: false,
            ..state
        };
        if let Some(by_at) = next.filter(|_| by.is_none_or(|by| by.overlaps(segment))) {
            self.open.push(State { by_at, ..behind });
        }
        let Segment::Wildcard(suffix) = segment else { return };
        if let Some(by_at) = next {
            self.open.push(State {
                by_at,
                has_slash: true,
                is_within: true,
                ..state
            });
        }
        // `%2F` alone is two separators, which many services merge with those around them.
        if suffix.is_empty() && !state.is_within {
            self.open.push(State {
                has_slash: true,
                ..behind
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::parse;

    #[test]
    fn routes_that_a_decoding_service_would_take_a_path_to_are_named() {
        let policy = |routes: &[&str], paths: &str| {
            let routes: Vec<_> = routes.iter().map(|route| format!("  - {{ {route} }}\n")).collect();
            format!(
                "version: 1\nservice: s\nupstream: {{ url: 'http://127.0.0.1:1' }}\npaths: {{ {paths} }}\n\
                 jwt: {{ issuers: [{{ issuer: i, audience: [a], algorithms: [HS256], keys: {{ secret: {{ env: SECRET }} }} }}] }}\n\
                 internal_key: {{ keys: [{{ name: jobs, secret: {{ env: JOBS_KEY }} }}] }}\nroutes:\n{}",
                routes.concat()
            )
        };
        for (routes, want) in [
            (
                &["path: '/p/{id}', auth: jwt", "path: '/p/{id}/secrets', auth: jwt"][..],
                &["`/p/{id}/secrets`", "`/p/{id}`"][..],
            ),
            (&["path: '/p/{id}', auth: jwt", "path: /p/me, auth: jwt"], &[]),
            (
                &["path: '/p/{id}', auth: jwt", "path: /p/*, auth: jwt"],
                &["`/p/*`", "`/p/{id}`"],
            ),
            (&["path: '/p/{id}', auth: jwt", "path: /p, auth: jwt"], &["`/p`"]),
            (&["path: '/p/{id}', auth: jwt", "path: /q/a/b, auth: jwt"], &[]),
            (
                &["path: /*, auth: jwt", "path: '/admin/{x}', auth: jwt"],
                &["`/admin/{x}`", "`/*`"],
            ),
            (
                &["path: '/p/{id}:run', auth: jwt", "path: '/p/a/b:run', auth: jwt"],
                &["`/p/a/b:run`"],
            ),
            (&["path: '/p/{id}:run', auth: jwt", "path: '/p/a/b', auth: jwt"], &[]),
            (
                &["path: '/p/{id}', auth: internal_key", "path: '/p/{id}/x', auth: jwt"],
                &["`/p/{id}`"],
            ),
            (
                &[
                    "path: '/p/{id}', methods: [GET], auth: jwt",
                    "path: /p/a/b, methods: [POST], auth: jwt",
                ],
                &[],
            ),
            (
                &["path: '/p/{id}', auth: jwt", "path: /p/internal/*, auth: deny"],
                &["`/p/internal/*`"],
            ),
        ] {
            let policies = parse(&[&policy(routes, "encoded_slash: opaque")]).unwrap();
            let found = judge(&policies.policies()[0]);
            let named: Vec<_> = found
                .iter()
                .map(|finding| finding.found.split(" those of ").nth(1).unwrap())
                .collect();
            assert_eq!(named, want, "{routes:?}");
            let policies = parse(&[&policy(routes, "allow: [encoded_slash]")]).unwrap();
            assert_eq!(judge(&policies.policies()[0]), [], "{routes:?}");
        }
    }
}
