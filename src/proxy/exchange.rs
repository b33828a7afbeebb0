//! Forwards requests to upstreams that speak HTTP/1.1: one loop between pingora's server session and its client
//! session. HTTP/2 in clear text and WebSocket are left to pingora's proxy, whose tasks, channels, boxes and pool
//! cost as much again.

use std::future::poll_fn;
use std::task::Poll;
use std::time::Instant;

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, TRANSFER_ENCODING};
use http::{HeaderValue, Method, Version};
use pingora::http::ResponseHeader;
use pingora::protocols::http::{HttpTask, ServerSession};
use pingora::protocols::l4::socket::SocketAddr;
use pingora::{Error, ErrorSource, ErrorType, Result};

use super::context::RequestContext;
use super::deadline::ReusableTimer;
use super::gateway::Gateway;
use super::local_response;
use super::upstream::{Upstream, UpstreamEvent, UpstreamSession};

mod request_head;

use request_head::upstream_head;

/// The state of the request's body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum RequestBody {
    /// The client is still sending it.
    Streaming,
    /// The upstream has all of it.
    Complete,
    /// Writing it to the upstream failed.
    Aborted,
}

/// One request and the upstream that it is forwarded to.
struct Exchange<'e> {
    gateway: &'e Gateway,
    session: &'e mut ServerSession,
    ctx: &'e mut RequestContext,
    upstream: &'e Upstream,
    address: SocketAddr,
    /// Why writing the body failed.
    write_error: Option<Box<Error>>,
    /// Limits how long the body may pause.
    pause: ReusableTimer,
}

impl Gateway {
    /// Forwards an admitted request to an upstream's address, and the response to the client.
    pub(super) async fn exchange(
        &self,
        (upstream, address): (&Upstream, SocketAddr),
        session: &mut ServerSession,
        ctx: &mut RequestContext,
    ) -> Result<()> {
        let mut exchange = Exchange {
            gateway: self,
            session,
            ctx,
            upstream,
            address,
            write_error: None,
            pause: ReusableTimer::default(),
        };
        exchange.run().await
    }
}

impl Exchange<'_> {
    /// Forwards the request over a pooled connection, or over a new one. If the upstream closed the pooled
    /// connection, an idempotent request is retried on a new one (RFC 9110, 9.2.2).
    async fn run(&mut self) -> Result<()> {
        if let Some(pooled) = self.upstream.take(&self.address, false) {
            let repeatable = self.ctx.may_retry && self.session.req_header().method.is_idempotent();
            if repeatable && !self.session.is_body_empty() {
                self.session.enable_retry_buffering();
            }
            match self.send_over(pooled, None).await {
                Err(error) if repeatable && self.is_stale_connection(&error) => {
                    tracing::debug!(%error, "the upstream closed a pooled connection; the request is retried");
                    self.write_error = None;
                    self.ctx.restart_body();
                }
                done => return done,
            }
        }
        let sent = self.session.get_retry_buffer();
        let new = self.upstream.connect(&self.address, false).await?;
        self.send_over(new, sent).await
    }

    /// Returns whether the upstream closed the connection before it responded, and the request is still complete
    /// in memory.
    fn is_stale_connection(&self, error: &Error) -> bool {
        use ErrorType::{ConnectionClosed, ReadError, WriteError};
        let lost = matches!(error.etype(), ConnectionClosed | ReadError | WriteError);
        lost && *error.esource() == ErrorSource::Upstream
            && self.ctx.record.response.upstream_status.is_none()
            && !local_response::response_started(self.session)
            && !self.session.retry_buffer_truncated()
    }

    /// Forwards the request over a connection, and puts that into the pool afterwards if it is reusable. `sent` is
    /// the part of the body that was written to a closed connection before.
    async fn send_over(&mut self, mut service: UpstreamSession, sent: Option<Bytes>) -> Result<()> {
        yield_to_ready_tasks().await;
        let head = upstream_head(self.session, self.ctx)?;
        service.write_head(head, self.session.is_body_empty()).await?;
        let body = self.relay(&mut service, sent).await?;
        if body == RequestBody::Aborted {
            // The rest of the body is unread, so the client's connection has to end.
            self.session.set_keepalive(None);
            return Ok(());
        }
        service.release(self.ctx.responded_at().unwrap_or_else(Instant::now));
        Ok(())
    }

    /// Relays the body to the upstream and the response to the client, both as they arrive.
    async fn relay(&mut self, service: &mut UpstreamSession, sent: Option<Bytes>) -> Result<RequestBody> {
        let mut body = RequestBody::Streaming;
        if self.session.is_body_empty() {
            self.ctx.touch(&self.gateway.limits);
            body = RequestBody::Complete;
        } else if sent.is_some() {
            let ends = self.session.is_body_done();
            body = self.send(service, sent, ends).await?;
        }
        let mut responded = false;
        while body == RequestBody::Streaming || !responded {
            tokio::select! {
                biased;
                event = service.next(body != RequestBody::Streaming), if !responded => match event {
                    Ok(event) => responded = self.respond(event).await?,
                    Err(error) => return Err(self.write_error.take().unwrap_or(error)),
                },
                part = self.next_part(body), if body != RequestBody::Aborted => {
                    let part = part?;
                    let ends = part.is_none() || self.session.is_body_done();
                    body = self.send(service, part, ends).await?;
                }
            }
        }
        self.session.finish_body().await.map_err(Error::into_down)?;
        Ok(body)
    }

    /// Reads the next part of the body. Once the body is complete, waits for the client to disconnect.
    async fn next_part(&mut self, body: RequestBody) -> Result<Option<Bytes>> {
        match body {
            RequestBody::Streaming => self.gateway.body_part(self.session, &mut self.pause).await,
            _ => self.session.read_body_or_idle(true).await.map_err(Error::into_down),
        }
    }

    /// Sends a part of the body to the upstream. If that fails, the upstream may still have sent a response.
    async fn send(
        &mut self,
        service: &mut UpstreamSession,
        mut part: Option<Bytes>,
        ends: bool,
    ) -> Result<RequestBody> {
        self.gateway.request_part(self.session, &mut part, ends, self.ctx)?;
        match service.write(part, ends).await {
            Ok(()) if ends => Ok(RequestBody::Complete),
            Ok(()) => Ok(RequestBody::Streaming),
            Err(error) => {
                self.write_error = Some(error);
                Ok(RequestBody::Aborted)
            }
        }
    }

    /// Passes a part of the response to the client. Returns whether it was the last one.
    async fn respond(&mut self, event: UpstreamEvent) -> Result<bool> {
        let task = match event {
            UpstreamEvent::Head(mut header, ends) => {
                frame(&mut header, &self.session.req_header().method, ends)?;
                self.gateway.response_head(self.session, &mut header, self.ctx)?;
                HttpTask::Header(header, ends)
            }
            UpstreamEvent::Body(part, ends) => {
                let part = Some(part).filter(|part| !part.is_empty());
                self.gateway.response_part(self.session, part.as_ref(), ends, self.ctx);
                HttpTask::Body(part, ends)
            }
            UpstreamEvent::Trailers(trailers) => {
                self.gateway.response_part(self.session, None, true, self.ctx);
                HttpTask::Trailer(Some(Box::new(trailers)))
            }
            UpstreamEvent::Writable => return Ok(false),
        };
        self.session.response_duplex_vec(vec![task]).await
    }
}

/// Resolves once every other ready task of this thread was polled. So the requests that are ready are written
/// to their upstreams one right after the other. An upstream that handles a request faster than Sidegate
/// prepares the next one would otherwise sleep in between, and waking it costs more than a turn of the task.
/// The runtime's `yield_now` would ask the kernel for events first.
async fn yield_to_ready_tasks() {
    let mut waited = false;
    poll_fn(|cx| {
        if std::mem::replace(&mut waited, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// Frames a body in chunks if it would end with its connection (RFC 9112, 6.3).
fn frame(response: &mut ResponseHeader, request: &Method, ends: bool) -> Result<()> {
    let status = response.status;
    let bodiless = *request == Method::HEAD || status.is_informational() || matches!(status.as_u16(), 204 | 304);
    let framed = response.headers.contains_key(CONTENT_LENGTH) || response.headers.contains_key(TRANSFER_ENCODING);
    if bodiless || framed || ends {
        return Ok(());
    }
    response.set_version(Version::HTTP_11);
    response.insert_header(TRANSFER_ENCODING, HeaderValue::from_static("chunked"))
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    #[tokio::test]
    async fn yielding_task_runs_after_all_ready_tasks() {
        let order = RefCell::<Vec<_>>::default();
        let writes = async |name| {
            yield_to_ready_tasks().await;
            order.borrow_mut().push(name);
        };
        let reads = async |name| order.borrow_mut().push(name);
        tokio::join!(writes("write"), reads("read"), writes("write"), reads("read"));
        assert_eq!(order.into_inner(), ["read", "read", "write", "write"]);
    }
}
