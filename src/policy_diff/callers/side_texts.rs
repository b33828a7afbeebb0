//! What a request meets on one side as a text: two requests with the same text are answered alike to the same callers.

use http::header::{ACCESS_CONTROL_REQUEST_METHOD, ORIGIN};
use http::{HeaderMap, HeaderValue};

use super::asked_methods::asked;
use super::pair::{Side, asks};
use crate::policy::cors::AllowedOrigin;
use crate::policy_diff::types::Cell;
use crate::rehearsal::Request;
use crate::revocation::Revocations;

/// Writes what a request meets: what its route asks for, or how it is rejected without one, and what pages get to know of
/// its path.
pub(super) fn side_text(side: &Side<'_>, cell: &Cell, asks_for_pages: bool) -> String {
    let mut text = match side.route {
        Some(route) => format!("{:?}", asks(route)),
        None => answer(side, cell, &HeaderMap::new()),
    };
    let cors = side
        .policy
        .and_then(|policy| policy.cors.as_ref())
        .filter(|_| asks_for_pages);
    let origin = cors
        .and_then(|cors| cors.origins.first())
        .and_then(|entry| match entry {
            AllowedOrigin::Any => HeaderValue::from_str("https://any.example").ok(),
            AllowedOrigin::Exact(origin) => Some(origin.clone()),
            AllowedOrigin::Subdomain(end) => HeaderValue::from_str(&format!("https://a-page{end}")).ok(),
        });
    let Some(origin) = origin else { return text };
    for method in asked(side.policy.into_iter()) {
        let Ok(method) = HeaderValue::from_str(method.as_str()) else {
            continue;
        };
        let headers = [(ORIGIN, origin.clone()), (ACCESS_CONTROL_REQUEST_METHOD, method)];
        text.push_str(&answer(side, cell, &headers.into_iter().collect()));
    }
    text
}

fn answer(side: &Side<'_>, cell: &Cell, headers: &HeaderMap) -> String {
    let mut request = Request::new(cell.method.clone(), cell.path.clone(), &cell.host, 0);
    request.headers.extend(headers.clone());
    format!("{:?}", side.rehearsal.answer(&request.facts(), Revocations::Unasked))
}
