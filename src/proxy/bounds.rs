//! What a request may cost, as far as the guard of its connection does not see to it.

use bytes::Bytes;
use pingora::protocols::http::ServerSession;
use pingora::{Error, ErrorType, Result};

use super::Gateway;
use super::context::RequestContext;
use super::deadline::ReusableTimer;

impl Gateway {
    /// Reads the next part of a body, which may pause for a time: the engine times that over HTTP/1
    /// only.
    pub(super) async fn body_part(
        &self,
        session: &mut ServerSession,
        pause: &mut ReusableTimer,
    ) -> Result<Option<Bytes>> {
        let read = pause.within(self.limits.body_timeout, session.read_request_body());
        let paused = || Error::e_explain(ErrorType::ReadTimedout, "the body pauses");
        read.await.unwrap_or_else(paused).map_err(Error::into_down)
    }

    /// Counts a part of a body, and refuses one too much or, where that matters, too late.
    pub(super) fn check_body(&self, length: usize, is_paced: bool, ctx: &mut RequestContext) -> Result<()> {
        let in_time = ctx.body_came(length, &self.limits) || !is_paced;
        ctx.moved(&self.limits);
        if ctx.body_bytes > self.limits.request.body_bytes {
            return Err(Error::explain(ErrorType::HTTPStatus(413), "the body is too large").into_down());
        }
        match in_time {
            true => Ok(()),
            false => Err(Error::explain(ErrorType::ReadTimedout, "the body trickles in").into_down()),
        }
    }
}
