//! After the upstream switched protocols, the bytes of a `WebSocket` pass in both directions until one side closes.

use std::time::Duration;

use http::header::SEC_WEBSOCKET_PROTOCOL;
use pingora::http::ResponseHeader;
use pingora::{Error, ErrorType, Result};

use super::{Exchange, response_head};
use crate::proxy::upstream::{UpstreamEvent, UpstreamSession};
use crate::request::subprotocols;

/// How long the upstream may be silent after the client sends no more: it may still respond to a close frame.
/// The end of one direction is not forwarded, because over TLS it ends many services in both.
const HALF_CLOSED: Duration = Duration::from_secs(1);

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
        self.accept_offer(&mut head)?;
        self.ctx.upstream_responded(&head, false);
        self.add_own_fields(&mut head)?;
        self.session.write_head(head, false).await?;
        self.become_stream(service);
        let mut client_sends = true;
        while self.relay_bytes(service, &mut client_sends).await? {}
        self.ctx.response_over = true;
        Ok(true)
    }

    /// Selects the subprotocol that stands before a token, where the service selects none: it does not see the
    /// offer, and browsers fail a handshake in which none of their offers is selected.
    fn accept_offer(&self, head: &mut ResponseHeader) -> Result<()> {
        let Some(policy) = self.ctx.record.matched().policy() else {
            return Ok(());
        };
        let read = &policy.sources.read;
        if read.protocols.is_empty() || head.headers.contains_key(SEC_WEBSOCKET_PROTOCOL) {
            return Ok(());
        }
        let mut offers = subprotocols::offers(&self.session.request().headers);
        match offers.find(|offer| read.is_protocol(offer)) {
            Some(offer) => head.insert_header(SEC_WEBSOCKET_PROTOCOL, offer.to_vec()),
            None => Ok(()),
        }
    }

    /// Passes the next bytes of either side to the other one. Returns whether the upstream may still send some.
    async fn relay_bytes(&mut self, service: &mut UpstreamSession, client_sends: &mut bool) -> Result<bool> {
        tokio::select! {
            biased;
            event = service.next(true) => match event {
                Ok(UpstreamEvent::Body(part, ends)) => {
                    self.count_sent(part.len(), false);
                    self.session.write(part, ends).await?;
                    Ok(!ends)
                }
                Ok(_) => Ok(true),
                Err(_) if !*client_sends => Ok(false),
                Err(error) => Err(error),
            },
            part = self.session.read(), if *client_sends => {
                let Some(part) = part? else {
                    *client_sends = false;
                    service.set_silence(HALF_CLOSED);
                    return Ok(true);
                };
                self.ctx.record_body(part.len(), &self.gateway.limits);
                service.write(Some(part), false).await?;
                Ok(true)
            }
        }
    }
}
