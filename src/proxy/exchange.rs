//! Forwards admitted requests, whatever protocol the client and the upstream speak: one loop between the client's
//! session and the upstream's.

use std::future::poll_fn;
use std::task::Poll;

use bytes::Bytes;
use http::StatusCode;
use pingora::http::ResponseHeader;
use pingora::{Error, ErrorType, Result};
use tokio::time::Instant;

use super::context::{RequestContext, TimeoutFields};
use super::cors;
use super::deadline::ReusableTimer;
use super::gateway::{BodyKind, Gateway};
use super::policy_snapshot::ThreadSnapshot;
use super::session::ClientSession;
use super::upstream::{Choice, Upstream, UpstreamEvent, UpstreamSession};
use crate::admission::Forward;
use crate::admission::forwarding::NextHop;
use crate::admission::rejection_response::REQUEST_ID_NAME;
use crate::idempotency;
use crate::request::{GrpcProtocol, grpc_protocol, is_stream};

mod attempt;
mod keyed;
mod recorder;
mod request_head;
mod response_head;
mod upgrade;

use recorder::ResponseRecorder;

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

/// What the loop waits for.
enum Event {
    /// The next event of the upstream.
    Upstream(UpstreamEvent),
    /// A part of the body was read from the client. `None` is its end.
    Client(Option<Bytes>),
    /// The client disconnected after it sent the whole body.
    Disconnected(Box<Error>),
}

/// One request and the upstream that it is forwarded to.
struct Exchange<'e> {
    gateway: &'e Gateway,
    session: &'e mut ClientSession,
    ctx: &'e mut RequestContext,
    upstream: &'e Upstream,
    /// The address that is tried first.
    choice: Choice,
    admitted: &'e Forward,
    body: RequestBody,
    /// Whether the request opens a WebSocket.
    is_websocket: bool,
    /// What limits the body.
    kind: BodyKind,
    /// Records the response, if the request holds the lease of its idempotency key.
    recorder: Option<ResponseRecorder>,
    /// Whether the client disconnected, and the response is received only to be stored.
    is_detached: bool,
    /// Until when the rest of a response may then arrive that has begun.
    detached_until: Option<Instant>,
    /// Whether the response was complete before the request was.
    has_responded_early: bool,
    /// How many parts of the response's body arrived.
    parts: usize,
    /// Why writing the body failed.
    write_error: Option<Box<Error>>,
    /// Limits how long the body may pause.
    pause: ReusableTimer,
}

impl Gateway {
    /// Forwards an admitted request to the upstream of its policy, and the response to the client.
    pub(super) async fn exchange(
        &self,
        policies: &ThreadSnapshot,
        mut admitted: Forward,
        session: &mut ClientSession,
        ctx: &mut RequestContext,
    ) -> Result<()> {
        let upstream = ctx.record.scope.policy.and_then(|policy| policies.upstream(policy));
        let Some(upstream) = upstream else {
            return Error::e_explain(ErrorType::InternalError, "an admitted request has an upstream");
        };
        let lease = admitted.lease.take();
        let is_empty = session.is_body_empty();
        let recorder = lease.map(|lease| {
            let digest = idempotency::digest(&session.request().headers, ctx.record.matched().route());
            ResponseRecorder::new(lease, digest, is_empty)
        });
        let mut exchange = Exchange {
            gateway: self,
            is_websocket: session.is_websocket(),
            kind: match ctx.record.is_grpc() && session.is_http2() {
                true => BodyKind::Stream,
                false => BodyKind::Upload,
            },
            choice: upstream.choose(ctx.record.admitted),
            session,
            ctx,
            upstream,
            admitted: &admitted,
            body: RequestBody::Streaming,
            recorder,
            is_detached: false,
            detached_until: None,
            has_responded_early: false,
            parts: 0,
            write_error: None,
            pause: ReusableTimer::default(),
        };
        exchange.run().await
    }
}

impl Exchange<'_> {
    /// Writes the request to a connection, and the response to the client.
    async fn forward(&mut self, service: &mut UpstreamSession, sent: Option<Bytes>) -> Result<()> {
        yield_to_ready_tasks().await;
        self.apply_route(service);
        let is_empty = self.session.is_body_empty();
        let hop = match service.is_http2() {
            true => NextHop::Http2,
            false => NextHop::Http1 {
                has_body: !is_empty,
                is_websocket: self.is_websocket,
            },
        };
        let head = request_head::request_head(self.session.request(), self.ctx, self.admitted, hop)?;
        service.write_head(head, is_empty).await?;
        self.body = match is_empty {
            true => RequestBody::Complete,
            false => RequestBody::Streaming,
        };
        if sent.is_some() {
            self.send(service, sent).await?;
        }
        self.relay(service).await
    }

    /// Applies the limits of the route. A stream of gRPC over HTTP/2 on both sides is not limited as a whole, unless its
    /// route limits it. A client may write the content type on any other request as well, which is then counted.
    fn apply_route(&mut self, service: &mut UpstreamSession) {
        let route = self.ctx.record.matched().route();
        let is_limited = route.is_none_or(|route| route.body_bytes.is_some());
        if let Some(timeout) = route.and_then(|route| route.timeout) {
            service.set_timeout(timeout);
            self.ctx.timeouts = TimeoutFields::ROUTE;
        }
        if self.kind != BodyKind::Upload {
            let is_grpc = grpc_protocol(&self.session.request().headers) == Some(GrpcProtocol::Grpc);
            self.kind = match is_grpc && service.is_http2() && !is_limited {
                true => BodyKind::OpenStream,
                false => BodyKind::Stream,
            };
        }
    }

    /// Lets the upstream be silent for as long as streams may.
    fn become_stream(&mut self, service: &mut UpstreamSession) {
        if let Some(policy) = self.ctx.record.matched().policy() {
            service.set_silence(policy.streams.idle_timeout);
            self.ctx.timeouts = self.ctx.timeouts.of_stream();
        }
    }

    /// Relays the body to the upstream and the response to the client, both as they arrive.
    async fn relay(&mut self, service: &mut UpstreamSession) -> Result<()> {
        let mut has_responded = false;
        while self.body == RequestBody::Streaming || !has_responded {
            match self.next_event(service, has_responded).await? {
                Event::Upstream(event) => {
                    has_responded |= self.respond(service, event).await?;
                    self.has_responded_early |= has_responded && self.body == RequestBody::Streaming;
                }
                Event::Client(part) => self.send(service, part).await?,
                Event::Disconnected(error) => self.tolerate_disconnect(Err(error))?,
            }
        }
        Ok(())
    }

    /// Waits for the next event. The upstream's silence is limited once it has the whole request: before that, it
    /// may be waiting for the client.
    async fn next_event(&mut self, service: &mut UpstreamSession, has_responded: bool) -> Result<Event> {
        let is_timed = self.body != RequestBody::Streaming || self.kind != BodyKind::Upload;
        if self.is_detached {
            // In a box: a connection has room for the largest of its futures, and this one is rare.
            return Box::pin(self.next_event_detached(service)).await;
        }
        let reads = self.body != RequestBody::Aborted && !service.is_blocked();
        tokio::select! {
            biased;
            event = service.next(is_timed), if !has_responded || service.is_blocked() => match event {
                Ok(event) => Ok(Event::Upstream(event)),
                Err(error) => Err(self.write_error.take().unwrap_or(error)),
            },
            event = self.client_event(has_responded), if reads => event,
        }
    }

    /// Reads the next part of the body. Once the body is complete, waits for the client to disconnect.
    async fn client_event(&mut self, has_responded: bool) -> Result<Event> {
        match self.body {
            RequestBody::Streaming => self.next_part(has_responded).await.map(Event::Client),
            _ => Ok(Event::Disconnected(self.session.disconnected().await)),
        }
    }

    /// Reads the next part of the body.
    async fn next_part(&mut self, has_responded: bool) -> Result<Option<Bytes>> {
        let is_limited = self.kind == BodyKind::Upload || has_responded;
        self.gateway.body_part(self.session, &mut self.pause, is_limited).await
    }

    /// Sends a part of the body, or its end, to the upstream. If that fails, the upstream may still have sent a response.
    async fn send(&mut self, service: &mut UpstreamSession, part: Option<Bytes>) -> Result<()> {
        let ends = part.is_none() || self.session.is_body_done();
        let length = part.as_ref().map_or(0, Bytes::len);
        self.gateway.check_body(length, self.kind, self.ctx)?;
        if let Some(recorder) = &mut self.recorder {
            recorder.add_request(part.as_deref().unwrap_or_default(), ends);
        }
        if self.body == RequestBody::Aborted {
            return Ok(());
        }
        match service.write(part, ends).await {
            Ok(()) if ends => self.body = RequestBody::Complete,
            Ok(()) => {}
            Err(error) => {
                self.write_error = Some(error);
                self.body = RequestBody::Aborted;
            }
        }
        Ok(())
    }

    /// Passes an event of the upstream to the client. Returns whether the response is complete.
    async fn respond(&mut self, service: &mut UpstreamSession, event: UpstreamEvent) -> Result<bool> {
        match event {
            UpstreamEvent::Head(head, _) if head.status == StatusCode::SWITCHING_PROTOCOLS => {
                self.switch_protocols(service, head).await
            }
            UpstreamEvent::Head(mut head, _) if head.status.is_informational() => {
                response_head::end_hop(&mut head)?;
                cors::set_fields(&mut head, &self.ctx.record)?;
                self.write_head(head, false).await?;
                Ok(false)
            }
            UpstreamEvent::Head(head, ends) => {
                self.begin_response(service, head, ends).await?;
                Ok(ends)
            }
            UpstreamEvent::Body(part, ends) => {
                self.parts += 1;
                if let Some(recorder) = &mut self.recorder {
                    recorder.add(&part, ends);
                    self.store_if_whole(service).await;
                }
                self.count_sent(part.len(), ends);
                if !self.is_detached {
                    let written = self.session.write(part, ends).await;
                    self.tolerate_disconnect(written)?;
                }
                Ok(ends)
            }
            UpstreamEvent::Trailers(mut trailers) => {
                response_head::clean_trailers(&mut trailers, self.ctx.record.cors().is_some());
                // A record holds no trailers.
                self.recorder = None;
                self.count_sent(0, true);
                if !self.is_detached {
                    self.session.write_trailers(trailers).await?;
                }
                Ok(true)
            }
            UpstreamEvent::Writable => Ok(false),
        }
    }

    /// Passes the final head to the client.
    async fn begin_response(
        &mut self,
        service: &mut UpstreamSession,
        mut head: Box<ResponseHeader>,
        ends: bool,
    ) -> Result<()> {
        let has_open_end = !ends && !service.is_http2() && response_head::has_open_end(&head);
        response_head::end_hop(&mut head)?;
        if is_stream(&head.headers) {
            self.become_stream(service);
        }
        self.ctx.upstream_responded(&head, ends);
        if let Some(recorder) = &mut self.recorder {
            recorder.begin(&head, has_open_end, ends);
            self.store_if_whole(service).await;
        }
        self.gateway.end_connection_if_stopping(self.session);
        self.add_own_fields(&mut head)?;
        if ends {
            self.count_sent(0, true);
        }
        self.write_head(head, ends).await
    }

    /// Adds the request ID, what is left of the quotas, and who may read it to a response, and keeps a URL with a token
    /// private.
    fn add_own_fields(&self, head: &mut ResponseHeader) -> Result<()> {
        let record = &self.ctx.record;
        for (name, value) in record.rate_limits.fields() {
            head.append_header(name, value)?;
        }
        cors::set_fields(head, record)?;
        self.ctx.keep_private(head)?;
        head.insert_header(REQUEST_ID_NAME, record.ids.request_id_value())
    }

    async fn write_head(&mut self, head: Box<ResponseHeader>, ends: bool) -> Result<()> {
        if self.is_detached {
            return Ok(());
        }
        let written = self.session.write_head(head, ends).await;
        self.tolerate_disconnect(written)
    }

    /// Records what is written to the client next.
    fn count_sent(&mut self, length: usize, ends: bool) {
        self.ctx.response_over |= ends;
        self.ctx.record_sent(self.session, length);
        if ends && self.body == RequestBody::Streaming {
            // The response is complete, so what happens to the rest of the request's body does not count.
            self.ctx.record.finish();
        }
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
