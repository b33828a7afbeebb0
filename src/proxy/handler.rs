//! Handles a request: admits it, and then rejects it, forwards it, or sends the response that is stored for it.

use std::sync::Arc;

use http::StatusCode;
use pingora::Result;
use pingora::http::ResponseHeader;

use super::context::RequestContext;
use super::gateway::Gateway;
use super::session::ClientSession;
use crate::admission::Admission;
use crate::admission::rejection_response::REQUEST_ID_NAME;

impl Gateway {
    /// Handles a request to its end, and counts and logs it. Fails if the connection has to end.
    pub(super) async fn handle(&self, session: &mut ClientSession) -> Result<()> {
        let policies = self.policies.snapshot();
        let record = self.admission.begin(Arc::clone(&policies.admission));
        let mut ctx = RequestContext::new(record);
        let responded = match self.admit(session, &mut ctx).await {
            Admission::Forward(forward) => self.exchange(&policies, forward, session, &mut ctx).await,
            Admission::Replay(stored) => Box::pin(self.replay(session, stored, &mut ctx)).await,
            Admission::Reject(rejection) => self.reject(session, &rejection, &ctx).await,
            Admission::ServerOptions => options_asterisk(session, &ctx).await,
            Admission::Respond(response) => {
                session.drain_request_body().await;
                session.respond_with(response).await
            }
        };
        if let Err(error) = &responded {
            self.fail(session, error, &mut ctx).await;
        }
        ctx.record_sent(session, 0);
        ctx.record.finish();
        responded
    }
}

/// Responds to `OPTIONS *`.
async fn options_asterisk(session: &mut ClientSession, ctx: &RequestContext) -> Result<()> {
    let mut head = ResponseHeader::build(StatusCode::NO_CONTENT, Some(1))?;
    head.insert_header(REQUEST_ID_NAME, ctx.record.ids.request_id_value())?;
    session.respond(head, bytes::Bytes::new()).await
}
