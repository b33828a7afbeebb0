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
    guarded.route.shared_methods(open.route).find_map(|method| {
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
        let (closed, opened) = segment_spellings(guarded.part(at)?, open.part(at)?)?;
        for (path, segment) in [(&mut closed_path, closed), (&mut open_path, opened)] {
            path.push('/');
            path.push_str(&segment);
        }
    }
    (closed_path != open_path).then_some((closed_path, open_path))
}

/// The same for one segment.
fn segment_spellings(closed: Part<'_>, opened: Part<'_>) -> Option<(String, String)> {
    match (closed, opened) {
        (Part::Literal(closed), Part::Literal(opened)) => {
            let is_same = closed.eq_ignore_ascii_case(opened);
            is_same.then(|| (closed.to_owned(), opened.to_owned()))
        }
        (Part::Literal(closed), Part::Ending(suffix)) => {
            let head = head(closed, suffix).filter(|head| !head.is_empty())?;
            Some((closed.to_owned(), format!("{}{suffix}", swapped(head))))
        }
        (Part::Ending(suffix), Part::Literal(opened)) => {
            let head = head(opened, suffix).filter(|head| !head.is_empty())?;
            Some((format!("{head}{suffix}"), opened.to_owned()))
        }
        (Part::Ending(closed), Part::Ending(opened)) if closed.len() >= opened.len() => {
            let head = head(closed, opened)?;
            Some((format!("x{closed}"), format!("x{}{opened}", swapped(head))))
        }
        (Part::Ending(closed), Part::Ending(opened)) => {
            let head = head(opened, closed)?;
            Some((format!("x{head}{closed}"), format!("x{opened}")))
        }
    }
}

/// What is before a suffix, in any case.
fn head<'t>(text: &'t str, suffix: &str) -> Option<&'t str> {
    let (head, end) = text.split_at_checked(text.len().checked_sub(suffix.len())?)?;
    end.eq_ignore_ascii_case(suffix).then_some(head)
}

/// What a route takes for one segment of a path.
enum Part<'p> {
    Literal(&'p str),
    /// At least one character, and then these.
    Ending(&'p str),
}

impl Located<'_> {
    /// What the route takes for a segment; `None` behind its end.
    fn part(&self, at: usize) -> Option<Part<'_>> {
        match self.segments.get(at) {
            Some(Segment::Literal(text)) => Some(Part::Literal(text)),
            Some(Segment::Wildcard(suffix)) => Some(Part::Ending(suffix)),
            None => self.route.path.is_prefix.then_some(Part::Ending("")),
        }
    }
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

fn swapped(text: &str) -> String {
    let swap = |letter: char| match letter.is_ascii_uppercase() {
        true => letter.to_ascii_lowercase(),
        false => letter.to_ascii_uppercase(),
    };
    text.chars().map(swap).collect()
}
