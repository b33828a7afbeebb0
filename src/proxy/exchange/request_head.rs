//! The head of a request as a service gets it. Decides nothing.

use http::Version;
use pingora::Result;
use pingora::http::RequestHeader;
use pingora::protocols::http::ServerSession;

use super::super::context::RequestContext;
use super::super::gateway::Gateway;
use super::super::header_case;
use crate::admission::forwarding;

impl Gateway {
    /// Makes the head that the service gets from that of the client.
    pub(super) fn upstream_head(
        &self,
        session: &mut ServerSession,
        ctx: &RequestContext,
    ) -> Result<Box<RequestHeader>> {
        let has_body = !session.is_body_empty();
        let mut head = Box::new(session.req_header().clone());
        header_case::edit_headers(&mut head, |fields| forwarding::start_hop(fields, has_body));
        head.set_version(Version::HTTP_11);
        self.prepare(session, &mut head, ctx)?;
        Ok(head)
    }
}
