//! What a request may carry.

use http::Method;

use crate::policy::route::Route;
use crate::rejection::{Reason, Rejection};
use crate::request::{Body, RequestFacts};

/// Without a body and without a type there is nothing that could be of the wrong one.
pub(super) fn is_bodiless(request: &RequestFacts<'_>) -> bool {
    request.body == Body::None && !request.headers.contains_key(http::header::CONTENT_TYPE)
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
            let cause = format!("one of these is needed: {}", route.content_types.join(", "));
            return Err(Rejection::because(Reason::ContentTypeUnsupported, cause));
        }
    }
    match request.body {
        Body::Sized(length) if length > request.limits.body_bytes => Err(Reason::BodyTooLarge.into()),
        _ => Ok(()),
    }
}
