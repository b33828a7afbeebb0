//! Guarded routes that are open in another case, where policies say that services tell cases apart.

use http::Method;

use super::PolicySet;
use super::contradictions::share_host;
use crate::document::problem::{Fault, Location, Problem, ProblemCode};
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
        let fault = Fault::new(ProblemCode::OpenInOtherCase, message, help);
        let warning = Problem::warning(Location::clone(&guarded.route.location), &fault);
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
    let (a, b) = (guarded.policy, open.policy);
    if !(a.hosts.is_empty() || b.hosts.is_empty() || share_host(a, b)) {
        return None;
    }
    let host = shared_host(a, b);
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
        let (closed, opened) = match (guarded.part(at)?, open.part(at)?) {
            (Part::Literal(closed), Part::Literal(opened)) if closed.eq_ignore_ascii_case(opened) => {
                (closed, opened.to_owned())
            }
            (Part::Literal(_), Part::Literal(_)) => return None,
            (Part::Literal(closed), Part::Any) => (closed, closed.chars().map(swapped).collect()),
            (Part::Any, Part::Literal(opened)) => (opened, opened.to_owned()),
            (Part::Any, Part::Any) => ("x", "x".to_owned()),
        };
        closed_path.push('/');
        closed_path.push_str(closed);
        open_path.push('/');
        open_path.push_str(&opened);
    }
    (closed_path != open_path).then_some((closed_path, open_path))
}

/// What a route takes for one segment of a path.
enum Part<'p> {
    Literal(&'p str),
    Any,
}

impl Located<'_> {
    /// What the route takes for a segment; `None` behind its end.
    fn part(&self, at: usize) -> Option<Part<'_>> {
        match self.segments.get(at) {
            Some(Segment::Literal(text)) => Some(Part::Literal(text)),
            Some(Segment::Any) => Some(Part::Any),
            None => self.route.path.is_prefix.then_some(Part::Any),
        }
    }
}

/// The methods that both routes take; one of them where they take all.
fn shared_methods<'r>(a: &'r Route, b: &'r Route) -> impl Iterator<Item = &'r Method> {
    let any = (a.methods.is_empty() && b.methods.is_empty()).then_some(&Method::GET);
    let named = a.methods.iter().chain(&b.methods);
    any.into_iter()
        .chain(named)
        .filter(|method| a.accepts(method) && b.accepts(method))
}

/// A host that both policies are for; `None` where they are for all.
fn shared_host(a: &Policy, b: &Policy) -> Option<String> {
    let shared = |host: &&HostPattern| b.hosts.is_empty() || b.hosts.contains(host);
    a.hosts.iter().find(shared).or(b.hosts.first()).map(example)
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
