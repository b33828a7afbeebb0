//! What a request may carry.

use http::Method;
use http::header::CONTENT_TYPE;

use crate::policy::route::Route;
use crate::rejection::{Reason, Rejection, list};
use crate::request::{Body, RequestFacts};

/// Without a body and without a type there is nothing that could be of the wrong one.
pub(super) fn is_bodiless(request: &RequestFacts<'_>) -> bool {
    request.body == Body::None && !request.headers.contains_key(CONTENT_TYPE)
}

/// The media type of what is written, and the length of what is said to come.
pub(super) fn check(route: &Route, request: &RequestFacts<'_>) -> Result<(), Rejection> {
    let writes = matches!(*request.method, Method::POST | Method::PUT | Method::PATCH);
    if writes && !is_bodiless(request) && !route.content_types.is_empty() {
        let given = request.media_type();
        if !given.is_some_and(|given| {
            route
                .content_types
                .iter()
                .any(|known| known.eq_ignore_ascii_case(given))
        }) {
            return Err(unsupported(route, request));
        }
    }
    let limit = request.limits.body_bytes;
    match request.body {
        Body::Sized(length) if length > limit => {
            let cause = format!("the body is longer than the limit of {limit} bytes");
            Err(Rejection::because(Reason::BodyTooLarge, cause).unverified("content-length", &length.to_string()))
        }
        _ => Ok(()),
    }
}

fn unsupported(route: &Route, request: &RequestFacts<'_>) -> Rejection {
    let needed = list(route.content_types.iter().map(String::as_str));
    let given: Vec<_> = request.headers.get_all(CONTENT_TYPE).iter().collect();
    let found = match given.len() {
        0 => "; the request has none",
        1 => "",
        _ => "; the request has several",
    };
    let cause = format!("one of these is needed: {needed}{found}");
    let rejection = Rejection::because(Reason::ContentTypeUnsupported, cause);
    match given.first() {
        Some(first) => rejection.unverified("content-type", &String::from_utf8_lossy(first.as_bytes())),
        None => rejection,
    }
}
