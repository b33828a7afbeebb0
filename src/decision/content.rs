//! What a request may carry.

use http::Method;
use http::header::CONTENT_TYPE;

use crate::policy::route::Route;
use crate::rejection::{Reason, Rejection, list};
use crate::request::{Body, RequestFacts, RequestLimits};

/// The longest body of a request, and the field that says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BodyLimit {
    bytes: u64,
    field: &'static str,
}

impl BodyLimit {
    /// Returns the limit for requests of a route: its own, or else that of the process.
    pub fn of(route: Option<&Route>, limits: RequestLimits) -> Self {
        match route.and_then(|route| route.body_bytes) {
            Some(bytes) => Self {
                bytes,
                field: "`body_bytes` of the route",
            },
            None => Self {
                bytes: limits.body_bytes,
                field: "`limits.body_bytes`",
            },
        }
    }

    /// Returns whether a body of this length is longer.
    pub const fn is_exceeded_by(self, length: u64) -> bool {
        length > self.bytes
    }

    /// Rejects a longer body.
    pub fn rejection(self) -> Rejection {
        let Self { bytes, field } = self;
        let cause = format!("the body is longer than the limit of {bytes} bytes, {field}");
        Rejection::because(Reason::BodyTooLarge, cause)
    }
}

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
    let limit = BodyLimit::of(Some(route), request.limits);
    match request.body {
        Body::Sized(length) if limit.is_exceeded_by(length) => {
            Err(limit.rejection().unverified("content-length", &length.to_string()))
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::parse;

    #[test]
    fn limit_of_a_route_is_in_place_of_that_of_the_process() {
        let policy = "version: 1\nservice: s\nupstream: { url: http://127.0.0.1:1 }\nroutes:\n\
             - { path: /plain, auth: public }\n\
             - { path: /small, auth: public, body_bytes: 10 }\n\
             - { path: /large, auth: public, body_bytes: 1GiB }\n\
             - { path: /none, auth: public, body_bytes: 0 }\n";
        let policies = parse(&[policy]).unwrap();
        let limits = RequestLimits {
            body_bytes: 1000,
            ..RequestLimits::default()
        };
        for (at, most, field) in [
            (None, 1000, "`limits.body_bytes`"),
            (Some(0), 1000, "`limits.body_bytes`"),
            (Some(1), 10, "`body_bytes` of the route"),
            (Some(2), 1 << 30, "`body_bytes` of the route"),
            (Some(3), 0, "`body_bytes` of the route"),
        ] {
            let limit = BodyLimit::of(at.and_then(|at: usize| policies.policies()[0].routes.get(at)), limits);
            assert!(!limit.is_exceeded_by(most) && limit.is_exceeded_by(most + 1), "{at:?}");
            let cause = format!("the body is longer than the limit of {most} bytes, {field}");
            assert_eq!(limit.rejection().cause(), cause);
        }
    }
}
