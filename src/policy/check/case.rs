//! Routes that a service reads in another way than the policy where the service ignores case.

use http::Method;

use super::Checker;
use crate::policy::PathCase;
use crate::policy::route::{Route, Segment};
use crate::policy::router::{Found, Router};

impl Checker<'_> {
    /// Warns of guarded routes that are open in another case, where the policy says that the service
    /// tells cases apart.
    pub(super) fn open_in_another_case(&mut self, routes: &[Route], case: PathCase) {
        if case != PathCase::Exact || !routes.iter().any(Route::is_open) {
            return;
        }
        let index = Router::new(routes, case);
        for route in routes.iter().filter(|route| !route.is_open()) {
            if let Some((path, open)) = open_spelling(&index, routes, route) {
                let message = format!(
                    "`{path}` is open by `{}`: a service that ignores case takes it for this route",
                    open.pattern
                );
                let help = "leave out `case: exact`, unless the service tells them apart";
                self.problems.warn(&route.place.span(), message, help);
            }
        }
    }
}

/// A path that is the route's in another case, and the open route that takes it.
fn open_spelling<'r>(index: &Router, routes: &'r [Route], route: &Route) -> Option<(String, &'r Route)> {
    let method = route.methods.first().unwrap_or(&Method::GET);
    let literals = (0..route.path.segments.len()).map(Some).chain([None]);
    literals.filter_map(|only| other_case(route, only)).find_map(|path| {
        let Found::Route(found) = index.find(routes, &path, method) else {
            return None;
        };
        let other = routes.get(found).filter(|other| other.is_open())?;
        Some((path, other))
    })
}

/// A path of the route in which the case of one literal is swapped, or of all of them.
fn other_case(route: &Route, only: Option<usize>) -> Option<String> {
    let mut path = String::new();
    let mut differs = false;
    for (at, segment) in route.path.segments.iter().enumerate() {
        path.push('/');
        match segment {
            Segment::Literal(text) if only.is_none_or(|only| only == at) => {
                differs |= text.bytes().any(|byte| byte.is_ascii_alphabetic());
                path.extend(text.chars().map(swapped));
            }
            Segment::Literal(text) => path.push_str(text),
            Segment::Any => path.push('x'),
        }
    }
    differs.then_some(path)
}

fn swapped(letter: char) -> char {
    match letter.is_ascii_uppercase() {
        true => letter.to_ascii_lowercase(),
        false => letter.to_ascii_uppercase(),
    }
}
