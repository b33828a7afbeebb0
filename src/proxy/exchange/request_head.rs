//! The request head that the upstream receives. Decides nothing.

use http::header::HOST;
use http::{HeaderValue, Version};
use pingora::http::RequestHeader;
use pingora::{Error, ErrorType, Result};

use crate::admission::Forward;
use crate::admission::forwarding::{self, NextHop};
use crate::proxy::context::RequestContext;
use crate::proxy::header_case;

/// Makes the upstream's request head from the client's: its fields with the identity that the permit proves, and
/// the path that the policy forwards.
pub(super) fn request_head(
    request: &RequestHeader,
    ctx: &RequestContext,
    admitted: &Forward,
    hop: NextHop,
) -> Result<Box<RequestHeader>> {
    let (record, matched) = (&ctx.record, ctx.record.matched());
    let (Some(policy), Some(route)) = (matched.policy(), matched.route()) else {
        return Error::e_explain(ErrorType::InternalError, "an admitted request has a route");
    };
    let mut head = Box::new(request.clone());
    let authority = head
        .uri
        .authority()
        .and_then(|host| HeaderValue::try_from(host.as_str()).ok());
    header_case::edit_headers(&mut head, |fields| {
        if let Some(authority) = authority {
            // HTTP/2 has the host in `:authority`, and the target is replaced below.
            fields.entry(HOST).or_insert(authority);
        }
        let connection = (record.downstream, &record.ids);
        forwarding::forward(fields, hop, (policy, route), &admitted.permit, connection);
    });
    head.set_version(Version::HTTP_11);
    // Most often the path is already the one to forward.
    if head.uri.authority().is_some() || head.raw_path() != &*admitted.target {
        head.set_raw_path(&admitted.target)?;
    }
    Ok(head)
}
