//! Exchanges with a service over HTTP/1.1 in clear text, which is what stands behind most sidecars:
//! one loop between the two sessions of the engine's core. TLS, HTTP/2 and WebSocket are left to
//! the engine's own proxy, whose tasks, channels, boxes and pool cost as much again.

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
use super::upstream::pool::UpstreamPool;
use super::upstream::session::{PooledConnection, UpstreamSession};
use super::{local_response, open_end};

mod request_head;

use request_head::upstream_head;

/// What has become of the request's body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum RequestBody {
    /// More of it is to come.
    Streaming,
    /// The service has all of it.
    Complete,
    /// The service takes no more of it.
    Aborted,
}

/// One request with a service.
struct Exchange<'e> {
    gateway: &'e Gateway,
    session: &'e mut ServerSession,
    ctx: &'e mut RequestContext,
    pool: &'e UpstreamPool,
    address: SocketAddr,
    /// Why the service took no more of the body.
    unsent: Option<Box<Error>>,
    /// Ends a pause of the body.
    pause: ReusableTimer,
}

impl Gateway {
    /// Forwards an admitted request to a service at an address, and its answer to the client.
    pub(super) async fn exchange(
        &self,
        (pool, address): (&UpstreamPool, SocketAddr),
        session: &mut ServerSession,
        ctx: &mut RequestContext,
    ) -> Result<()> {
        let mut exchange = Exchange {
            gateway: self,
            session,
            ctx,
            pool,
            address,
            unsent: None,
            pause: ReusableTimer::default(),
        };
        exchange.run().await
    }
}

impl Exchange<'_> {
    /// Exchanges over a connection that was kept, or over a new one. What breaks off on one that
    /// was kept is sent again where that does no harm (RFC 9110, 9.2.2): the service may just have
    /// closed it.
    async fn run(&mut self) -> Result<()> {
        if let Some(kept) = self.pool.take(&self.address) {
            let repeatable = self.session.req_header().method.is_idempotent();
            if repeatable && !self.session.is_body_empty() {
                self.session.enable_retry_buffering();
            }
            match self.send_over(kept, None).await {
                Err(error) if repeatable && self.is_stale_connection(&error) => {
                    tracing::debug!(%error, "a connection that was kept is gone; the request is sent again");
                    self.unsent = None;
                }
                done => return done,
            }
        }
        let again = self.session.get_retry_buffer();
        let new = self.pool.connect(&self.address).await?;
        self.send_over(new, again).await
    }

    /// Whether the service can have had nothing to say to the request, which is still there.
    fn is_stale_connection(&self, error: &Error) -> bool {
        use ErrorType::{ConnectionClosed, ReadError, WriteError};
        let lost = matches!(error.etype(), ConnectionClosed | ReadError | WriteError);
        lost && *error.esource() == ErrorSource::Upstream
            && self.ctx.record.response.upstream_status.is_none()
            && !local_response::response_started(self.session)
            && !self.session.retry_buffer_truncated()
    }

    /// Exchanges over a connection, which is kept afterwards if it can be.
    async fn send_over(&mut self, connection: PooledConnection, again: Option<Bytes>) -> Result<()> {
        let mut service = UpstreamSession::new(connection, self.pool.timeout());
        yield_to_ready_tasks().await;
        let head = upstream_head(self.session, self.ctx)?;
        service.write_head(head).await?;
        let body = self.relay(&mut service, again).await?;
        if body == RequestBody::Aborted {
            // Of the rest nobody knows where it ends.
            self.session.set_keepalive(None);
            return Ok(());
        }
        if let Some(connection) = service.into_connection() {
            let since = self.ctx.responded_at().unwrap_or_else(Instant::now);
            self.pool.put(self.address.clone(), connection, since);
        }
        Ok(())
    }

    /// Passes the body on and the answer back, both as they come.
    async fn relay(&mut self, service: &mut UpstreamSession, again: Option<Bytes>) -> Result<RequestBody> {
        let mut body = RequestBody::Streaming;
        if self.session.is_body_empty() {
            self.ctx.touch(&self.gateway.limits);
            body = RequestBody::Complete;
        } else if again.is_some() {
            let ends = self.session.is_body_done();
            body = self.send(service, again, ends).await?;
        }
        let mut answered = false;
        while body == RequestBody::Streaming || !answered {
            tokio::select! {
                biased;
                task = service.next(body != RequestBody::Streaming), if !answered => match task {
                    Ok(task) => answered = self.answer(task).await?,
                    Err(error) => return Err(self.unsent.take().unwrap_or(error)),
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

    /// The next part of the body. Once the body is there, this looks whether the client is.
    async fn next_part(&mut self, body: RequestBody) -> Result<Option<Bytes>> {
        match body {
            RequestBody::Streaming => self.gateway.body_part(self.session, &mut self.pause).await,
            _ => self.session.read_body_or_idle(true).await.map_err(Error::into_down),
        }
    }

    /// Sends a part of the body. A service that takes no more of it may still have an answer.
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
                self.unsent = Some(error);
                Ok(RequestBody::Aborted)
            }
        }
    }

    /// Passes a part of the answer on. Whether it was the last one.
    async fn answer(&mut self, task: HttpTask) -> Result<bool> {
        let task = match task {
            HttpTask::Header(mut header, ends) => {
                open_end::look_at_end(&header, self.ctx);
                frame(&mut header, &self.session.req_header().method, ends)?;
                self.gateway.response_head(self.session, &mut header, self.ctx)?;
                HttpTask::Header(header, ends)
            }
            HttpTask::Body(part, ends) => {
                self.gateway.response_part(self.session, part.as_ref(), ends, self.ctx);
                HttpTask::Body(part, ends)
            }
            other => other,
        };
        self.session.response_duplex_vec(vec![task]).await
    }
}

/// Resolves once every other request that is ready on this thread had its turn. What they write to
/// their services follows at once then: a service that handles a request in less time than we need
/// for the next one would otherwise fall asleep in between, and waking it costs us more than a turn.
/// Not the runtime's `yield_now`, which asks the kernel for more before it goes on.
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

/// Gives a body that ends with its connection (RFC 9112, 6.3) an end of its own.
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
    async fn those_that_are_ready_come_first() {
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
