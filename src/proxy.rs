//! The gateway: what happens to a request, step by step, whoever takes the steps.
//!
//! A request is decided in `admit`. Its identity headers are set in `prepare`, after what
//! `Connection` nominates was removed.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::StatusCode;
use http::header::{CONNECTION, CONTENT_LENGTH, HOST};
use ipnet::IpNet;
use jiff::Timestamp;
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::protocols::http::ServerSession;
use pingora::{Error, ErrorType, Result};

use crate::admission::{forwarding, header_edits};
use crate::config::Limits;
use crate::decision::decide;
use crate::rejection::{Reason, Rejection};
use crate::request::target::RequestTarget;
use crate::request::{RequestFacts, grpc_type};
use crate::store::Store;
use crate::telemetry::metrics::Metrics;

pub mod body_rate;
mod bounds;
pub mod client_limit;
pub mod connection_limit;
pub mod context;
pub mod deadline;
pub mod engine;
mod error_mapping;
pub mod exchange;
pub mod facts;
mod header_case;
pub mod http2_limits;
pub mod in_force;
pub mod local_response;
pub mod once;
pub mod overload;
mod quotas;
pub mod refuse;
pub mod requests;
pub mod server;
mod spiffe;
pub mod stall_watchdog;
pub mod strict_stream;
pub mod upstream;

use crate::admission::concurrency_limit::Places;
use crate::admission::rejection_response::{REQUEST_ID_NAME, render};
use crate::admission::trace_context::RequestIds;
use client_limit::ClientRequests;
use context::RequestContext;
use error_mapping::{failure_of, reattribute_timeout};
use in_force::PolicyHandle;
use strict_stream::StrictStream;

/// How long either side of a WebSocket may be silent.
const WEBSOCKET_SILENCE: Duration = Duration::from_hours(1);

/// Decides on requests and forwards those that are allowed.
#[derive(Debug)]
pub struct Gateway {
    /// The policies in force.
    pub policies: Arc<PolicyHandle>,
    /// What replicas share.
    pub store: Arc<Store>,
    /// What is counted.
    pub metrics: Metrics,
    /// What a request may cost.
    pub limits: Limits,
    /// As many as there may be requests with services.
    pub places: Places,
    /// As many of them as one client may have.
    pub client_requests: ClientRequests,
    /// Networks whose `x-forwarded-*` are believed.
    pub trusted_proxies: Vec<IpNet>,
    /// Whether each request is a log line.
    pub access_log: bool,
    /// Whether connections end with the request that they have.
    pub stopping: AtomicBool,
}

impl Gateway {
    /// A request begins.
    fn begin(&self) -> RequestContext {
        RequestContext::begin(self.policies.hold(), &self.metrics)
    }

    /// Bounds what a request may cost, now that its head is read.
    fn bound(&self, session: &mut ServerSession) {
        if let Some(guard) = local_response::strict_stream_of(session) {
            guard.head_is_read();
        }
        // The engine turns keep-alive off where it must; turning it on again would undo that.
        if session.get_keepalive().is_some() {
            session.set_keepalive(Some(self.limits.idle_timeout.as_secs().max(1)));
        }
        session.set_read_timeout(Some(self.limits.body_timeout));
        if session.is_http2() {
            // For the window of the stream: the guard of the connection bounds all else.
            session.set_write_timeout(Some(self.limits.idle_timeout));
        }
        // A client that closes its sending half still wants its answer; not so with WebSocket.
        let websocket = facts::is_websocket(session.req_header());
        session.set_abort_on_close(websocket);
        header_case::drop_header_case(session.req_header_mut());
    }

    /// Decides whether a request may go on, and whether there is a place for it: then it has a permit.
    async fn admit(&self, session: &ServerSession, ctx: &mut RequestContext) {
        let (target, double_framing) = facts::target(session);
        let headers = &session.req_header().headers;
        let facts = RequestFacts {
            limits: self.limits.request,
            now: Timestamp::now().as_second(),
            ..facts::of(session, (&target, double_framing), |peer| self.trusts(peer))
        };
        ctx.downstream = facts.downstream;
        ctx.ids = RequestIds::of(headers, facts.downstream.trusted);
        ctx.target = target.clone();
        ctx.grpc = grpc_type(headers).cloned();
        self.decide(&facts, &target, ctx).await;
        self.take_place(session, ctx);
    }

    /// Decides. Where only a key is missing that may come, waits for it within a bound and decides
    /// once more.
    async fn decide(&self, facts: &RequestFacts<'_>, target: &RequestTarget, ctx: &mut RequestContext) {
        let in_force = Arc::clone(&ctx.in_force);
        let decide = || decide(&in_force.evaluator, facts, self.store.revocations().view(), &mut ());
        let mut started = ctx.started;
        let mut decision = decide();
        let rejection = decision.outcome.rejection();
        let keys = self.policies.keys();
        if keys
            .wait_for_keys(&in_force.policies, decision.matched.scope().policy, rejection)
            .await
        {
            started = Instant::now();
            decision = decide();
        }
        let ended = Instant::now();
        ctx.decision_duration = ended - started;
        ctx.upstream_started = Some(ended);
        if let Some(lookup) = decision.lookup {
            self.metrics.token_lookup(lookup);
        }
        if decision
            .principal
            .as_ref()
            .is_some_and(|principal| principal.revocation_unknown)
        {
            in_force.metrics.failed_open(decision.matched.scope(), "revocation");
        }
        ctx.decided(decision, target);
    }

    /// Whether a peer is believed when it says whom it forwards for.
    pub(crate) fn trusts(&self, peer: IpAddr) -> bool {
        self.trusted_proxies.iter().any(|net| net.contains(&peer))
    }

    /// Makes of the head of a request the one that the service gets, with what the permit proves.
    fn prepare(&self, session: &ServerSession, upstream: &mut RequestHeader, ctx: &RequestContext) -> Result<()> {
        let matched = ctx.matched();
        let (Some(permit), Some(policy), Some(route)) = (&ctx.permit, matched.policy(), matched.route()) else {
            return Error::e_explain(ErrorType::InternalError, "no permit, no upstream request");
        };
        if !upstream.headers.contains_key(HOST)
            && let Some(authority) = session.req_header().uri.authority()
        {
            // HTTP/2 names the host in the target, which is set anew.
            upstream.insert_header(HOST, authority.as_str())?;
        }
        let changes = header_edits::changes(&upstream.headers, policy, route, permit, ctx.downstream, &ctx.ids);
        header_case::edit_headers(upstream, |fields| forwarding::apply(fields, changes));
        let once = ctx.scope.policy.is_some_and(|policy| ctx.in_force.serves_once(policy));
        if once && !facts::is_websocket(session.req_header()) {
            upstream.insert_header(CONNECTION, "close")?;
        }
        // Most often the path is forwarded as it came.
        if upstream.uri.authority().is_none() && upstream.raw_path() == &*ctx.forward {
            return Ok(());
        }
        upstream.set_raw_path(&ctx.forward)
    }

    /// Answers a request that has no permit.
    async fn refuse(&self, session: &mut ServerSession, ctx: &mut RequestContext) -> Result<()> {
        if ctx.is_server_options {
            ctx.count_decision();
            return local_response::write_options_asterisk(session, &ctx.ids)
                .await
                .map_err(Error::into_down);
        }
        let rejection = ctx
            .rejection
            .get_or_insert_with(|| Reason::InternalError.into())
            .clone();
        ctx.count_decision();
        if rejection.reason() == Reason::RequestMalformed {
            // What follows a malformed request cannot be told from its body.
            session.set_keepalive(None);
        } else {
            local_response::drain_request_body(session).await;
        }
        self.answer(session, &rejection, ctx).await
    }

    async fn answer(&self, session: &mut ServerSession, rejection: &Rejection, ctx: &RequestContext) -> Result<()> {
        let mut answer = render(rejection, &ctx.error_context());
        answer.headers.extend(ctx.rate_limits.fields());
        local_response::write(session, answer).await.map_err(Error::into_down)
    }

    /// A part of a request's body goes to the service.
    fn request_part(
        &self,
        session: &ServerSession,
        body: &mut Option<Bytes>,
        ends: bool,
        ctx: &mut RequestContext,
    ) -> Result<()> {
        let length = body.as_ref().map_or(0, Bytes::len);
        if ends && length == 0 && !session.was_upgraded() {
            // The engine would write the empty end of an HTTP/2 body as a last chunk, and then
            // another one: the service would take it for the start of a request.
            *body = None;
        }
        // Messages of a gRPC call come when they come; what follows an upgrade is no body.
        let endless = ctx.grpc.is_some() && session.is_http2();
        match session.was_upgraded() {
            true => {
                ctx.body_came(length, &self.limits);
                ctx.moved(&self.limits);
                Ok(())
            }
            false => self.check_body(length, !endless, ctx),
        }
    }

    /// The head of an answer goes to the client.
    fn response_head(
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
            // What follows is no body that could pause.
            session.set_read_timeout(Some(WEBSOCKET_SILENCE));
        }
        ctx.upstream_answered(response, &session.req_header().method);
        ctx.tell();
        ctx.moved(&self.limits);
        self.end_connection_if_stopping(session);
        if response.status == StatusCode::NO_CONTENT {
            // RFC 9110, 8.6; a client that believed it would wait for a body.
            response.remove_header(&CONTENT_LENGTH);
        }
        ctx.rate_limits.write(response)?;
        response.insert_header(REQUEST_ID_NAME, ctx.ids.request_id_value())
    }

    fn end_connection_if_stopping(&self, session: &mut ServerSession) {
        if self.stopping.load(Ordering::Acquire) {
            session.set_keepalive(None);
        }
    }

    /// A part of an answer goes to the client.
    fn response_part(&self, session: &mut ServerSession, body: Option<&Bytes>, ends: bool, ctx: &mut RequestContext) {
        ctx.response_over |= ends;
        ctx.moved(&self.limits);
        if ends && !session.is_body_done() {
            // Whatever becomes of the rest of the request, it has had its answer.
            ctx.end(session, self.access_log, body.map_or(0, Bytes::len));
        }
    }

    /// Answers a request that fails after its decision, if its client is there. Returns the status.
    async fn fail(&self, session: &mut ServerSession, error: &Error, ctx: &mut RequestContext) -> u16 {
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
        ctx.count_decision();
        if let Some(failure) = failure {
            ctx.fail(failure.clone());
            ctx.tell();
            if !local_response::response_started(session)
                && let Err(error) = self.answer(session, &failure, ctx).await
            {
                tracing::debug!(%error, "the client is gone");
            }
        }
        code
    }
}
