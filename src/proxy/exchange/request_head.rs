//! The request head that the upstream receives. Decides nothing.

use http::Version;
use pingora::Result;
use pingora::http::RequestHeader;
use pingora::protocols::http::ServerSession;

use crate::admission::forwarding;
use crate::proxy::context::RequestContext;
use crate::proxy::gateway::prepare;
use crate::proxy::header_case;

/// Makes the upstream's request head from the client's.
pub(super) fn upstream_head(session: &mut ServerSession, ctx: &RequestContext) -> Result<Box<RequestHeader>> {
    let has_body = !session.is_body_empty();
    let mut head = Box::new(session.req_header().clone());
    header_case::edit_headers(&mut head, |fields| forwarding::start_hop(fields, has_body));
    head.set_version(Version::HTTP_11);
    prepare(session, &mut head, ctx)?;
    Ok(head)
}
