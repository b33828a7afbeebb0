//! The request pipeline: admit, prepare the upstream head, relay the response.
//!
//! `admit` decides on a request. `prepare` sets its identity headers, after the headers that `Connection`
//! names were removed.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use http::header::{CONTENT_LENGTH, HOST};
use jiff::Timestamp;
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::protocols::http::ServerSession;
use pingora::{Error, ErrorType, Result};

use super::context::RequestContext;
use super::deadline::ReusableTimer;
use super::error_mapping::{failure_of, reattribute_timeout};
use super::policy_snapshot::PolicyHandle;
use super::strict_stream::StrictStream;
use super::{facts, header_case, local_response};
use crate::admission::rejection_response::REQUEST_ID_NAME;
use crate::admission::{Admission, AdmissionController, forwarding, header_edits};
use crate::config::Limits;
use crate::rejection::{Reason, Rejection};
use crate::request::RequestFacts;

/// How long either side of a WebSocket may be silent.
pub(super) const WEBSOCKET_SILENCE: Duration = Duration::from_hours(1);

/// The steps of the pipeline, which `exchange.rs` and the hooks of pingora's proxy share.
#[derive(Debug)]
pub struct Gateway {
    /// Admits or rejects requests.
    pub admission: AdmissionController,
    /// The policies in force.
    pub policies: Arc<PolicyHandle>,
    /// The limits of requests and connections.
    pub limits: Limits,
    /// Whether the process drains: each connection ends after its current request.
    pub stopping: AtomicBool,
}

impl Gateway {
    /// Creates the context of a request whose head is read.
    pub(super) fn begin(&self) -> RequestContext {
        let policies = self.policies.snapshot();
        let record = self.admission.begin(Arc::clone(&policies.admission));
        RequestContext::new(policies, record)
    }

    /// Sets the limits of a request on its session, after the head is read.
    pub(super) fn bound(&self, session: &mut ServerSession) {
        if let Some(stream) = local_response::strict_stream_of(session) {
            stream.head_is_read();
        }
        // pingora turns keep-alive off where it must; turning it on again would undo that.
        if session.get_keepalive().is_some() {
            session.set_keepalive(Some(self.limits.idle_timeout.as_secs().max(1)));
        }
        session.set_read_timeout(Some(self.limits.body_timeout));
        if session.is_http2() {
            // Limits the wait for the window of the HTTP/2 stream. `StrictStream` limits every other write.
            session.set_write_timeout(Some(self.limits.idle_timeout));
        }
        // A client that closes its sending half still reads the response, except on a WebSocket.
        let websocket = facts::is_websocket(session.req_header());
        session.set_abort_on_close(websocket);
        header_case::drop_header_case(session.req_header_mut());
    }

    /// Reads the facts of a request, and admits or rejects it.
    pub(super) async fn admit(&self, session: &ServerSession, ctx: &mut RequestContext) -> Admission {
        let (target, double_framing) = facts::target(session);
        let facts = RequestFacts {
            limits: self.limits.request,
            now: Timestamp::now().as_second(),
            ..facts::of(session, (&target, double_framing), |peer| self.admission.trusts(peer))
        };
        ctx.record.describe(&facts, &target);
        self.admission.admit(&facts, &mut ctx.record).await
    }

    /// Responds to a request that is not forwarded.
    pub(super) async fn reject(
        &self,
        session: &mut ServerSession,
        rejection: &Rejection,
        ctx: &RequestContext,
    ) -> Result<()> {
        if rejection.reason() == Reason::RequestMalformed {
            // The end of a malformed request is unknown, so no other request can follow.
            session.set_keepalive(None);
        } else {
            local_response::drain_request_body(session).await;
        }
        self.respond(session, rejection, ctx).await
    }

    async fn respond(&self, session: &mut ServerSession, rejection: &Rejection, ctx: &RequestContext) -> Result<()> {
        let response = ctx.record.rejection_response(rejection);
        local_response::write(session, response).await.map_err(Error::into_down)
    }

    /// Reads the next part of a body. A pause of the client is limited here, because pingora limits it over
    /// HTTP/1 only.
    pub(super) async fn body_part(
        &self,
        session: &mut ServerSession,
        pause: &mut ReusableTimer,
    ) -> Result<Option<Bytes>> {
        let read = pause.within(self.limits.body_timeout, session.read_request_body());
        let paused = || Error::e_explain(ErrorType::ReadTimedout, "the body pauses");
        read.await.unwrap_or_else(paused).map_err(Error::into_down)
    }

    /// Counts a part of a body. Fails if the body is too large or, if `is_paced`, too slow.
    pub(super) fn check_body(&self, length: usize, is_paced: bool, ctx: &mut RequestContext) -> Result<()> {
        let in_time = ctx.record_body(length, &self.limits) || !is_paced;
        ctx.touch(&self.limits);
        if ctx.record.response.bytes_in > self.limits.request.body_bytes {
            return Err(Error::explain(ErrorType::HTTPStatus(413), "the body is too large").into_down());
        }
        match in_time {
            true => Ok(()),
            false => Err(Error::explain(ErrorType::ReadTimedout, "the body trickles in").into_down()),
        }
    }

    /// Handles a part of the request's body before it is written to the upstream.
    pub(super) fn request_part(
        &self,
        session: &ServerSession,
        body: &mut Option<Bytes>,
        ends: bool,
        ctx: &mut RequestContext,
    ) -> Result<()> {
        let length = body.as_ref().map_or(0, Bytes::len);
        if ends && length == 0 && !session.was_upgraded() {
            // pingora would write the empty end of an HTTP/2 body as a last chunk, and then another last
            // chunk, which the upstream would parse as the start of a request.
            *body = None;
        }
        // A gRPC stream may pause between messages. The bytes after an upgrade are not a body.
        let endless = ctx.record.is_grpc() && session.is_http2();
        match session.was_upgraded() {
            true => {
                ctx.record_body(length, &self.limits);
                ctx.touch(&self.limits);
                Ok(())
            }
            false => self.check_body(length, !endless, ctx),
        }
    }

    /// Handles the head of the response before it is written to the client.
    pub(super) fn response_head(
        &self,
        session: &mut ServerSession,
        response: &mut ResponseHeader,
        ctx: &mut RequestContext,
    ) -> Result<()> {
        let switching = response.status == StatusCode::SWITCHING_PROTOCOLS;
        if switching && !session.is_upgrade_req() {
            let error = Error::explain(ErrorType::InvalidHTTPHeader, "the service switched protocols unasked");
            return Err(error.into_up());
        }
        if response.status.is_informational() && !switching {
            return Ok(());
        }
        if switching {
            // The limit for pauses of a body does not apply to a WebSocket.
            session.set_read_timeout(Some(WEBSOCKET_SILENCE));
        }
        ctx.upstream_responded(response, &session.req_header().method);
        ctx.report();
        ctx.touch(&self.limits);
        self.end_connection_if_stopping(session);
        if response.status == StatusCode::NO_CONTENT {
            // RFC 9110, 8.6 forbids it, and a client could wait for a body.
            response.remove_header(&CONTENT_LENGTH);
        }
        append_rate_limits(response, ctx)?;
        response.insert_header(REQUEST_ID_NAME, ctx.record.ids.request_id_value())
    }

    /// Ends the connection after this request if the process drains.
    pub(super) fn end_connection_if_stopping(&self, session: &mut ServerSession) {
        if self.stopping.load(Ordering::Acquire) {
            session.set_keepalive(None);
        }
    }

    /// Handles a part of the response's body before it is written to the client.
    pub(super) fn response_part(
        &self,
        session: &mut ServerSession,
        body: Option<&Bytes>,
        ends: bool,
        ctx: &mut RequestContext,
    ) {
        ctx.response_over |= ends;
        ctx.touch(&self.limits);
        ctx.record_sent(session, body.map_or(0, Bytes::len));
        if ends && !session.is_body_done() {
            // The response is complete, so what happens to the rest of the request's body does not count.
            ctx.record.finish();
        }
    }

    /// Responds to a request that failed after it was admitted, unless the client is gone or its response has
    /// begun. Returns the status.
    pub(super) async fn fail(&self, session: &mut ServerSession, error: &Error, ctx: &mut RequestContext) -> u16 {
        let failure = match local_response::strict_stream_of(session).is_some_and(StrictStream::has_malformed_body) {
            true => Some(Rejection::because(
                Reason::RequestMalformed,
                "the chunks of the body are malformed",
            )),
            false => failure_of(error).map(|failure| reattribute_timeout(session, error, failure)),
        };
        let code = failure.as_ref().map_or(0, |failure| failure.reason().status());
        tracing::debug!(%error, code, "request failed");
        session.set_keepalive(None);
        ctx.record.count_decision();
        if let Some(failure) = failure {
            ctx.record.fail(failure.clone());
            ctx.report();
            if !local_response::response_started(session)
                && let Err(error) = self.respond(session, &failure, ctx).await
            {
                tracing::debug!(%error, "the client is gone");
            }
        }
        code
    }
}

/// Makes the upstream's request head: edits the headers, sets the identity that the permit proves, and the path.
pub(super) fn prepare(session: &ServerSession, upstream: &mut RequestHeader, ctx: &RequestContext) -> Result<()> {
    let (record, matched) = (&ctx.record, ctx.record.matched());
    let (Some(permit), Some(policy), Some(route)) = (&ctx.permit, matched.policy(), matched.route()) else {
        return Error::e_explain(ErrorType::InternalError, "no permit, no upstream request");
    };
    if !upstream.headers.contains_key(HOST)
        && let Some(authority) = session.req_header().uri.authority()
    {
        // HTTP/2 has the host in `:authority`, and the target is replaced below.
        upstream.insert_header(HOST, authority.as_str())?;
    }
    let edits = header_edits::header_edits(&upstream.headers, policy, route, permit, record.downstream, &record.ids);
    header_case::edit_headers(upstream, |fields| forwarding::apply(fields, edits));
    // Most often the path is already the one to forward.
    if upstream.uri.authority().is_none() && upstream.raw_path() == &*ctx.forward {
        return Ok(());
    }
    upstream.set_raw_path(&ctx.forward)
}

/// Adds the rate limit headers of the quotas to a response.
pub(super) fn append_rate_limits(response: &mut ResponseHeader, ctx: &RequestContext) -> Result<()> {
    for (name, value) in ctx.record.rate_limits.fields() {
        response.append_header(name, value)?;
    }
    Ok(())
}

/// Fails because the name of the upstream has no address.
pub(super) fn no_address<T>() -> Result<T> {
    Error::e_explain(ErrorType::HTTPStatus(502), "the name of the service has no address")
}
