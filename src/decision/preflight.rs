//! Preflights (Fetch, 4.8): before a page of another origin sends a request, its browser asks whether the page may.

use http::Method;
use http::header::{ACCESS_CONTROL_REQUEST_METHOD, ORIGIN};

use super::head::check_head;
use super::lookup;
use super::steps::{Observer, Step};
use crate::policy::cors::Cors;
use crate::policy::{Policy, PolicySet, RouteIndex};
use crate::rejection::{list, shown};
use crate::request::path::NormalizedPath;
use crate::request::{RequestFacts, only};

/// Finds the route of the request that a preflight asks about, and the methods of its path. Every other request is an
/// ordinary one, with or without `cors` in its policy.
pub(super) fn find(
    policies: &PolicySet,
    index: Option<usize>,
    (path, request): (&NormalizedPath<'_>, &RequestFacts<'_>),
    observer: &mut impl Observer,
) -> Option<(RouteIndex, Vec<Method>)> {
    let policy = policies.get(index?)?;
    let cors = policy.cors.as_ref()?;
    let is_allowed = cors.origin_allowed_in(request.headers).is_some();
    observer.passed(Step::Cors, || describe_origin(is_allowed, cors, request));
    let asked = asked_method(request)?;
    let found = match is_allowed {
        true => route_of(
            policies,
            index,
            path,
            &RequestFacts {
                method: &asked,
                ..*request
            },
        ),
        false => None,
    };
    let Some(route) = found else {
        observer.passed(Step::Cors, || {
            let why = if is_allowed {
                "no route takes it here"
            } else {
                "the origin is not listed"
            };
            let asked = shown(asked.as_str());
            format!("not answered as a preflight for {asked}: {why}; an ordinary OPTIONS request")
        });
        return None;
    };
    let methods = methods_of(policy, path, asked);
    observer.passed(Step::Cors, || {
        let names = list(methods.iter().map(Method::as_str));
        format!("a preflight: Sidegate itself responds; the path takes {names}")
    });
    Some((route, methods))
}

/// Returns the method that a preflight asks about: exactly one, as browsers send it.
fn asked_method(request: &RequestFacts<'_>) -> Option<Method> {
    if *request.method != Method::OPTIONS {
        return None;
    }
    let asked = only(request.headers, &ACCESS_CONTROL_REQUEST_METHOD)?;
    Method::from_bytes(asked.as_bytes()).ok()
}

/// Finds the route of a request that is not there yet, by the rules for one that is.
fn route_of(
    policies: &PolicySet,
    index: Option<usize>,
    path: &NormalizedPath<'_>,
    asked: &RequestFacts<'_>,
) -> Option<RouteIndex> {
    check_head(asked).ok()?;
    let route = lookup::find(policies, index, path, asked).ok()?;
    let (_, matched) = policies.route(route)?;
    (!matched.is_denied()).then_some(route)
}

/// Returns the methods that a path takes, among them the one that was asked about, which need not be a standard one.
fn methods_of(policy: &Policy, path: &NormalizedPath<'_>, asked: Method) -> Vec<Method> {
    let mut methods = policy.methods(path.decoded());
    if !methods.contains(&asked) {
        methods.push(asked);
    }
    methods
}

/// Describes which page may read the response.
fn describe_origin(is_allowed: bool, cors: &Cors, request: &RequestFacts<'_>) -> String {
    let mut origins = request.headers.get_all(ORIGIN).iter();
    let origin = origins.next().map(|origin| String::from_utf8_lossy(origin.as_bytes()));
    let origin = origin.as_deref().map(shown);
    match (origin, origins.next()) {
        (None, _) => "the request comes from no page of another origin".to_owned(),
        (Some(_), Some(_)) => "two origins: no page may read the response".to_owned(),
        (Some(origin), None) if is_allowed => {
            let cookies = if cors.credentials {
                ", also of requests with cookies"
            } else {
                ""
            };
            format!("pages of {origin} may read the response{cookies}")
        }
        (Some(origin), None) => format!("{origin} is not listed: its pages cannot read the response"),
    }
}
