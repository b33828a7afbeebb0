//! What makes a request one that no route should see.

use http::Method;

use crate::rejection::{Reason, Rejection};
use crate::request::RequestFacts;

/// Checks what makes a request one that no route should see, whatever the policy.
pub(super) fn check_head(request: &RequestFacts<'_>) -> Result<(), Rejection> {
    let malformed = request.malformed().map(malformed);
    if let Some(too_large) = request.limits.exceeded_by(request) {
        return Err(malformed.unwrap_or(too_large));
    }
    if *request.method == Method::CONNECT {
        return Err(Rejection::method_not_allowed(Vec::new()));
    }
    malformed.map_or(Ok(()), Err)
}

pub(super) fn malformed(cause: &'static str) -> Rejection {
    Rejection::because(Reason::RequestMalformed, cause)
}
