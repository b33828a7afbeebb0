//! Preflights (Fetch, 4.8): before a page of another origin sends a request, its browser asks whether the page may.

use http::header::{ACCESS_CONTROL_REQUEST_HEADERS, ACCESS_CONTROL_REQUEST_METHOD, ORIGIN};
use http::{HeaderMap, HeaderName, HeaderValue, Method};

use super::head::check_head;
use super::lookup;
use super::steps::{Observer, Step};
use crate::policy::cors::Cors;
use crate::policy::{Policy, PolicySet, RouteIndex};
use crate::rejection::{list, shown};
use crate::request::path::NormalizedPath;
use crate::request::{RequestFacts, only};

/// Asks for access to a network that the page does not come from (Private Network Access). Sidegate never allows it.
const REQUEST_PRIVATE_NETWORK: HeaderName = HeaderName::from_static("access-control-request-private-network");

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
    tell_page(is_allowed, cors, request, observer);
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
        observer.blocked(Step::Cors, || {
            let why = match (is_allowed, request.headers.get_all(ORIGIN).iter().count()) {
                (true, _) => "no route takes it here",
                (false, 0) => "the request has no `Origin`",
                (false, 1) => "the origin is not listed",
                (false, _) => "the request has two origins",
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
    tell_blocks(cors, request.headers, observer);
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

/// Tells which page may read the response.
fn tell_page(is_allowed: bool, cors: &Cors, request: &RequestFacts<'_>, observer: &mut impl Observer) {
    if !observer.is_observing() {
        return;
    }
    let Some(origin) = only(request.headers, &ORIGIN) else {
        return match request.headers.contains_key(ORIGIN) {
            true => observer.blocked(Step::Cors, || "two origins: no page may read the response".to_owned()),
            false => observer.passed(Step::Cors, || {
                "the request comes from no page of another origin".to_owned()
            }),
        };
    };
    let page = || shown(&String::from_utf8_lossy(origin.as_bytes()));
    if is_allowed {
        let cookies = match cors.credentials {
            true => ", also of requests with cookies",
            false => "",
        };
        observer.passed(Step::Cors, || {
            format!("pages of {} may read the response{cookies}", page())
        });
    } else if request.is_own_origin(origin.as_bytes()) {
        observer.passed(Step::Cors, || "the page has the origin of the API itself".to_owned());
    } else {
        observer.blocked(Step::Cors, || {
            format!("{} is not listed: its pages cannot read the response", page())
        });
    }
}

/// Tells what the response to a preflight does not allow, so that the browser does not send the request.
fn tell_blocks(cors: &Cors, headers: &HeaderMap, observer: &mut impl Observer) {
    if !observer.is_observing() {
        return;
    }
    let fields = headers.get_all(ACCESS_CONTROL_REQUEST_HEADERS).iter();
    let names = fields.flat_map(|field| field.as_bytes().split(|&byte| byte == b','));
    let names = names.map(<[u8]>::trim_ascii).filter(|name| !name.is_empty());
    let unlisted: Vec<_> = names
        .filter(|name| !cors.allows_header(name))
        .map(String::from_utf8_lossy)
        .collect();
    if !unlisted.is_empty() {
        observer.blocked(Step::Cors, || {
            let names = list(unlisted.iter().map(AsRef::as_ref));
            format!(
                "the page wants to send {names}, which `cors.headers` does not list: the browser will not send the request"
            )
        });
    }
    if headers.get(REQUEST_PRIVATE_NETWORK).map(HeaderValue::as_bytes) == Some(b"true") {
        observer.blocked(Step::Cors, || {
            "the browser asks for access to a private network, which Sidegate does not allow: \
             the browser may not send the request"
                .to_owned()
        });
    }
}
