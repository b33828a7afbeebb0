//! Attempts to forward a request: over a kept connection or a new one, and once more where the upstream did not process
//! it.

use std::time::Instant;

use bytes::Bytes;
use pingora::{Error, ErrorSource, ErrorType, Result};

use super::{Exchange, RequestBody};
use crate::proxy::error_mapping::described;
use crate::proxy::upstream::UpstreamSession;

impl Exchange<'_> {
    /// Forwards the request over a kept connection, or over a new one. A request that the upstream did not process is
    /// sent once more, on a new connection.
    pub(super) async fn run(&mut self) -> Result<()> {
        let now = self.ctx.record.admitted;
        let kept = self.upstream.take(&self.choice, self.is_websocket, now);
        let is_kept = kept.is_some();
        let first = match kept {
            Some(kept) => {
                if self.may_repeat() && !self.session.is_body_empty() {
                    self.session.keep_body();
                }
                kept
            }
            None => self.connect().await?,
        };
        match self.send_over(first, None).await {
            Err(error) if self.may_retry(&error, is_kept) => {
                tracing::debug!(
                    error = described(&error),
                    "the upstream did not process the request; it is sent once more"
                );
            }
            done => return done,
        }
        self.write_error = None;
        self.ctx.restart_body();
        let sent = self.session.kept_body();
        let new = self.connect().await?;
        self.send_over(new, sent).await
    }

    /// Opens a connection, or joins others that wait for one.
    async fn connect(&mut self) -> Result<UpstreamSession> {
        // In a box, as it is large and rare: a request has room for the largest of its futures.
        let connected = Box::pin(self.upstream.connect(&self.choice, self.is_websocket)).await;
        connected.map_err(|failure| {
            self.ctx.failed_upstream = failure.addresses;
            failure.error
        })
    }

    /// Returns whether the request may be sent twice, if the upstream may have processed it (RFC 9110, 9.2.2).
    fn may_repeat(&self) -> bool {
        !self.admitted.has_key && self.session.request().method.is_idempotent()
    }

    /// Returns whether the request may be sent once more. Either the upstream closed the kept connection before it
    /// responded, the method is idempotent, and the body is still complete in memory. Or the upstream says that it
    /// did not process the request (RFC 9113, 8.7), and no byte of the body was read.
    fn may_retry(&self, error: &Error, is_kept: bool) -> bool {
        use ErrorType::{ConnectionClosed, ReadError, WriteError};
        let response = &self.ctx.record.response;
        if self.admitted.has_key || response.upstream_status.is_some() || self.session.has_responded() {
            return false;
        }
        // A stream that the upstream reset is not a connection that it closed.
        let is_lost = matches!(error.etype(), ConnectionClosed | ReadError | WriteError)
            && *error.esource() == ErrorSource::Upstream;
        let is_stale = is_kept && is_lost && self.may_repeat() && self.session.keeps_whole_body();
        is_stale || (UpstreamSession::is_unprocessed(error) && response.bytes_in == 0)
    }

    /// Forwards the request over a connection, and gives that back afterwards. `sent` is the part of the body that
    /// was written to another connection before.
    async fn send_over(&mut self, mut service: UpstreamSession, sent: Option<Bytes>) -> Result<()> {
        if let Err(error) = self.forward(&mut service, sent).await {
            self.ctx.failed_upstream = Some(service.address().to_string().into());
            return Err(error);
        }
        match self.body {
            // The rest of the body is unread, so the client's connection has to end.
            RequestBody::Aborted => self.session.close_after_response(),
            // A faulty service that did not read the body would take it for the next request.
            _ if self.has_responded_early => {}
            // The clock is read only for a response that may have taken a while behind its head.
            _ if self.parts > 1 => service.release(Instant::now()),
            _ => service.release(self.ctx.responded_at()),
        }
        Ok(())
    }
}
