//! Guarded routes that are open in another case, where policies say that services tell cases apart.

use http::Method;

use super::{PolicySet, share_host};
use crate::policy::problem::Problem;
use crate::policy::route::{Route, Segment};
use crate::policy::{HostPattern, PathCase, Policy};

/// A route with all segments that lead to it, those of the prefix included.
struct Located<'p> {
    policy: &'p Policy,
    route: &'p Route,
    segments: Vec<Segment>,
}

/// Finds, for each such route, an open one that takes its path in another case: a service that does
/// ignore case would let callers in by it. The warnings come with the index of their policy.
pub(super) fn open_in_another_case(set: &PolicySet) -> Vec<(usize, Problem)> {
    let exact = set.policies().iter().enumerate();
    let exact: Vec<_> = exact.filter(|(_, policy)| policy.case == PathCase::Exact).collect();
    let routes = |is_open: bool| {
        let all = exact
            .iter()
            .flat_map(|(index, policy)| policy.routes.iter().map(|route| (*index, located(policy, route))));
        all.filter(move |(_, located)| located.route.is_open() == is_open)
    };
    let open: Vec<_> = routes(true).map(|(_, located)| located).collect();
    let warnings = routes(false).filter_map(|(index, guarded)| {
        let (path, by) = open.iter().find_map(|open| open_spelling(set, &guarded, open))?;
        let message = format!(
            "`{path}` is open by `{}`: a service that ignores case takes it for this route",
            by.pattern
        );
        let help = "leave out `case: exact`, unless the service tells them apart";
        let warning = Problem::warning(guarded.route.place.clone(), message).help(help);
        Some((index, warning))
    });
    warnings.collect()
}

fn located<'p>(policy: &'p Policy, route: &'p Route) -> Located<'p> {
    let prefix = policy.prefix.split('/').filter(|segment| !segment.is_empty());
    let prefix = prefix.map(|segment| Segment::Literal(segment.to_owned()));
    Located {
        policy,
        route,
        segments: prefix.chain(route.path.segments.iter().cloned()).collect(),
    }
}

/// A path that is open, and the route that opens it, if the same path in another case is guarded.
fn open_spelling<'p>(set: &'p PolicySet, guarded: &Located<'_>, open: &Located<'_>) -> Option<(String, &'p Route)> {
    let (closed_path, open_path) = spellings(guarded, open)?;
    let host = shared_host(guarded.policy, open.policy)?;
    let takes = |path: &str, method: &Method| {
        let policy = set.get(set.select(host.as_deref(), path)?)?;
        policy.route_for(path, method)
    };
    shared_methods(guarded.route, open.route).find_map(|method| {
        let by = takes(&open_path, method).filter(|route| route.is_open())?;
        let is_guarded = takes(&closed_path, method).is_some_and(|route| !route.is_open());
        is_guarded.then(|| (open_path.clone(), by))
    })
}

/// A path as the guarded route has it and as the open one takes it, if they differ in case alone.
fn spellings(guarded: &Located<'_>, open: &Located<'_>) -> Option<(String, String)> {
    let length = guarded.segments.len().max(open.segments.len());
    let (mut closed_path, mut open_path) = (String::new(), String::new());
    for at in 0..length {
        let (closed, opened) = match (guarded.literal(at)?, open.literal(at)?) {
            (Some(closed), Some(opened)) if closed.eq_ignore_ascii_case(opened) => (closed, opened.to_owned()),
            (Some(_), Some(_)) => return None,
            (Some(closed), None) => (closed, closed.chars().map(swapped).collect()),
            (None, Some(opened)) => (opened, opened.to_owned()),
            (None, None) => ("x", "x".to_owned()),
        };
        closed_path.push('/');
        closed_path.push_str(closed);
        open_path.push('/');
        open_path.push_str(&opened);
    }
    (closed_path != open_path).then_some((closed_path, open_path))
}

impl Located<'_> {
    /// The literal of a segment, nothing within for one that takes any text; `None` behind the end.
    fn literal(&self, at: usize) -> Option<Option<&str>> {
        match self.segments.get(at) {
            Some(Segment::Literal(text)) => Some(Some(text)),
            Some(Segment::Any) => Some(None),
            None => self.route.path.below.then_some(None),
        }
    }
}

/// The methods that both routes take; one of them where they take all.
fn shared_methods<'r>(a: &'r Route, b: &'r Route) -> impl Iterator<Item = &'r Method> {
    let any = (a.methods.is_empty() && b.methods.is_empty()).then_some(&Method::GET);
    let named = a.methods.iter().chain(&b.methods);
    any.into_iter()
        .chain(named)
        .filter(|method| a.takes(method) && b.takes(method))
}

/// A host that both policies are for, nothing within where they are for all.
fn shared_host(a: &Policy, b: &Policy) -> Option<Option<String>> {
    let example = |policy: &Policy| policy.hosts.first().map(example);
    match (a.hosts.is_empty(), b.hosts.is_empty()) {
        (false, false) if !share_host(a, b) => None,
        (false, false) => a
            .hosts
            .iter()
            .find(|host| b.hosts.contains(host))
            .map(|host| Some(self::example(host))),
        (true, _) => Some(example(b)),
        (false, true) => Some(example(a)),
    }
}

fn example(host: &HostPattern) -> String {
    match host {
        HostPattern::Exact(name) => name.clone(),
        HostPattern::Suffix(suffix) => format!("x{suffix}"),
    }
}

fn swapped(letter: char) -> char {
    match letter.is_ascii_uppercase() {
        true => letter.to_ascii_lowercase(),
        false => letter.to_ascii_uppercase(),
    }
}
