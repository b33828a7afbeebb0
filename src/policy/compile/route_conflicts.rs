//! Routes of which none, or either, could win.

use std::collections::HashMap;

use super::compiler::Compiler;
use super::wildcard_overlap::Crossings;
use crate::document::problem::ProblemCode;
use crate::policy::PathCase;
use crate::policy::route::{PathPattern, Route, Segment};

/// Routes with their paths as they are compared: in lower case, unless case tells paths apart.
type Group<'r> = Vec<(PathPattern, &'r Route)>;

/// The routes of a group by their paths.
type ByPath<'g, 'r> = HashMap<&'g [Segment], Vec<&'r Route>>;

impl Compiler<'_> {
    /// Notes routes of which none, or either, could win.
    pub(super) fn conflicts(&mut self, routes: &[Route], case: PathCase) {
        let mut groups: HashMap<(bool, usize), Group<'_>> = HashMap::new();
        for route in routes {
            let path = match case {
                PathCase::Exact => route.path.clone(),
                PathCase::Unambiguous | PathCase::Insensitive => route.path.folded(),
            };
            let group = groups.entry((path.is_prefix, path.segments.len())).or_default();
            group.push((path, route));
        }
        for group in groups.values() {
            let mut same = ByPath::new();
            for (path, route) in group {
                let earlier = same.entry(&path.segments).or_default();
                if let Some(other) = earlier.iter().find(|other| take_the_same(other, route, true)) {
                    self.unreachable(route, other);
                }
                earlier.push(route);
            }
            self.crossings(group, &same, case);
        }
    }

    /// Notes routes that cross, unless others take all that both of them take.
    fn crossings(&mut self, group: &Group<'_>, same: &ByPath<'_, '_>, case: PathCase) {
        let mut crossings = Crossings::of(group.iter().map(|(path, _)| path).collect());
        for (path, route) in group.iter().filter(|(path, _)| path.has_wildcard()) {
            let crossing = crossings.with(path);
            let others = crossing.iter().filter_map(|&at| group.get(at));
            let mut earlier =
                others.filter(|(_, other)| starts_before(route, other) && take_the_same(route, other, false));
            let undecided = earlier.find(|(other_path, other)| {
                let both = path.meet(other_path);
                let deciding = same.get(&*both.segments).into_iter().flatten();
                // Where case is ignored, an open route takes its path in one case only.
                let deciding: Vec<_> = deciding
                    .filter(|third| case != PathCase::Insensitive || !third.is_open())
                    .collect();
                !take_all(&deciding, route, other)
            });
            if let Some((other_path, other)) = undecided {
                self.crossing(other, route, &path.meet(other_path));
            }
        }
    }

    fn crossing(&mut self, route: &Route, other: &Route, both: &PathPattern) {
        let line = other.location.line();
        let message = format!(
            "the route and another could both win: `{}` on line {line} takes the same requests",
            other.pattern
        );
        let help = format!("make the paths or the methods differ, or add a route `{both}`, which decides then");
        self.problems
            .add(&route.location.span(), ProblemCode::RouteConflict, message, help);
    }

    fn unreachable(&mut self, route: &Route, other: &Route) {
        let line = other.location.line();
        let message = format!(
            "the route can never match: `{}` on line {line} takes the same requests",
            other.pattern
        );
        let differ_in_case =
            route.path.segments != other.path.segments && route.pattern.eq_ignore_ascii_case(&other.pattern);
        let help = match differ_in_case {
            true => "leave one of them out, or write `paths: { case: exact }` if the service tells them apart",
            false => "make the paths or the methods differ, or leave one of them out",
        };
        self.problems
            .add(&route.location.span(), ProblemCode::RouteUnreachable, message, help);
    }
}

/// Whether some method is taken by both routes. With `ranked`, methods beat none: a route with
/// methods and one without can then stand side by side.
fn take_the_same(a: &Route, b: &Route, ranked: bool) -> bool {
    match (a.methods.is_empty(), b.methods.is_empty()) {
        (true, true) => true,
        (false, false) => a.methods.iter().any(|m| b.accepts(m)) || b.methods.iter().any(|m| a.accepts(m)),
        _ => !ranked,
    }
}

/// Whether each method that two routes share is taken by some of the others.
fn take_all(others: &[&&Route], a: &Route, b: &Route) -> bool {
    match a.methods.is_empty() && b.methods.is_empty() {
        true => others.iter().any(|other| other.methods.is_empty()),
        false => a
            .shared_methods(b)
            .all(|method| others.iter().any(|other| other.accepts(method))),
    }
}

fn starts_before(a: &Route, b: &Route) -> bool {
    a.location.span().start < b.location.span().start
}
