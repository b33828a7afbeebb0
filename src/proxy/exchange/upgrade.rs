//! WebSockets: after the upstream switched protocols, bytes pass in both directions until one side closes.

use std::time::Duration;

use bytes::Bytes;
use pingora::http::ResponseHeader;
use pingora::{Error, ErrorType, Result};

use super::{Exchange, response_head};
use crate::proxy::upstream::{UpstreamEvent, UpstreamSession};

/// How long both sides of a WebSocket may be silent.
const SILENCE: Duration = Duration::from_hours(1);

impl Exchange<'_> {
    /// Passes `101 Switching Protocols` to the client, and then all bytes in both directions.
    pub(super) async fn switch_protocols(
        &mut self,
        service: &mut UpstreamSession,
        mut head: Box<ResponseHeader>,
    ) -> Result<bool> {
        if !self.is_websocket {
            let error = Error::explain(ErrorType::InvalidHTTPHeader, "the service switched protocols unasked");
            return Err(error.into_up());
        }
        response_head::end_hop(&mut head)?;
        self.ctx.upstream_responded(&head, false);
        self.add_own_fields(&mut head)?;
        self.session.write_head(head, false).await?;
        service.set_timeout(SILENCE);
        while self.relay_bytes(service).await? {}
        self.ctx.response_over = true;
        Ok(true)
    }

    /// Passes the next bytes of either side to the other one. Returns whether both sides are still open.
    async fn relay_bytes(&mut self, service: &mut UpstreamSession) -> Result<bool> {
        tokio::select! {
            biased;
            event = service.next(true) => {
                let UpstreamEvent::Body(part, ends) = event? else { return Ok(true) };
                self.count_sent(part.len(), false);
                self.session.write(part, ends).await?;
                Ok(!ends)
            }
            part = self.session.read() => {
                let part = part?;
                let ends = part.is_none();
                let length = part.as_ref().map_or(0, Bytes::len);
                self.ctx.record_body(length, &self.gateway.limits);
                service.write(part, ends).await?;
                Ok(!ends)
            }
        }
    }
}
