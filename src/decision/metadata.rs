//! The metadata documents of protected resources (RFC 9728), which Sidegate itself serves, without a route.

use http::Method;

use super::head::check_head;
use super::steps::{Observer, Step, step};
use crate::policy::Matched;
use crate::rejection::Rejection;
use crate::request::RequestFacts;

/// The methods of a document.
const METHODS: [Method; 3] = [Method::GET, Method::HEAD, Method::OPTIONS];

/// Checks a request for the document of a policy. Any client may read it.
pub(super) fn check(
    matched: Matched<'_>,
    request: &RequestFacts<'_>,
    observer: &mut impl Observer,
) -> Result<(), Rejection> {
    step(Step::Request, observer, |observer| {
        check_head(request)?;
        observer.passed(Step::Request, || "well-formed".into());
        Ok(())
    })?;
    step(Step::Route, observer, |observer| {
        if !METHODS.contains(request.method) {
            return Err(Rejection::method_not_allowed(METHODS.to_vec()));
        }
        observer.passed(Step::Route, || {
            let resource = matched.policy().and_then(|policy| policy.resource.as_ref());
            let url = resource.map_or("", |resource| &resource.url);
            format!("the metadata of the resource {url}: Sidegate itself responds, to every client")
        });
        Ok(())
    })
}
