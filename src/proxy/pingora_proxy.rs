//! Hooks for pingora's own proxy, which forwards what `exchange.rs` does not: requests to upstreams over
//! TLS or HTTP/2, upgrades, and requests with an idempotency key, which are forwarded by a subrequest.

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use pingora::apps::{HttpServerApp as _, ReusedHttpStream};
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::modules::http::HttpModules;
use pingora::protocols::http::ServerSession;
use pingora::proxy::{FailToProxy, HttpProxy, ProxyHttp, Session};
use pingora::server::ShutdownWatch;
use pingora::upstreams::peer::{HttpPeer, HttpUpstreamRequestPolicy};
use pingora::{Error, ErrorType, Result};

use super::context::{RequestContext, take_context, with_context};
use super::gateway::{Gateway, WEBSOCKET_SILENCE, no_address, prepare};
use super::{facts, open_end};
use crate::rejection::Reason;

/// Runs the steps of a [`Gateway`] in the phases of pingora's proxy.
#[derive(Debug)]
pub struct PingoraHooks(pub Arc<Gateway>);

/// Forwards an admitted request by pingora's proxy.
pub(super) async fn proxy_with_pingora(
    proxy: &Arc<HttpProxy<PingoraHooks>>,
    session: ServerSession,
    ctx: Box<RequestContext>,
    shutdown: &ShutdownWatch,
) -> Option<ReusedHttpStream> {
    with_context(ctx, proxy.process_new_http(session, shutdown)).await
}

#[async_trait]
impl ProxyHttp for PingoraHooks {
    type CTX = RequestContext;

    fn new_ctx(&self) -> RequestContext {
        take_context().unwrap_or_else(|| self.0.begin())
    }

    /// Sets up no module: pingora would set up compression.
    fn init_downstream_modules(&self, _: &mut HttpModules) {}

    async fn early_request_filter(&self, session: &mut Session, _: &mut RequestContext) -> Result<()> {
        self.0.bound(session);
        Ok(())
    }

    /// Allows a subrequest only for a request with an idempotency key. The subrequest itself has no lease.
    fn allow_spawning_subrequest(&self, _: &Session, ctx: &RequestContext) -> bool {
        ctx.lease.is_some()
    }

    async fn request_filter(&self, session: &mut Session, ctx: &mut RequestContext) -> Result<bool> {
        if let Some(lease) = ctx.lease.take() {
            return self.0.forward_once(session, lease, ctx).await.map(|()| true);
        }
        if ctx.permit.is_some() {
            return Ok(false);
        }
        let rejection = Reason::InternalError.into();
        ctx.record.reject(&rejection);
        self.0.reject(session, &rejection, ctx).await.map(|()| true)
    }

    async fn upstream_peer(&self, session: &mut Session, ctx: &mut RequestContext) -> Result<Box<HttpPeer>> {
        if ctx.permit.is_none() {
            return Error::e_explain(ErrorType::InternalError, "no permit, no upstream request");
        }
        ctx.upstream_started.get_or_insert_with(Instant::now);
        match ctx.record.scope.policy.and_then(|policy| ctx.policies.peer(policy)) {
            Some(mut peer) => {
                if facts::is_websocket(session.req_header()) {
                    peer.options.read_timeout = Some(WEBSOCKET_SILENCE);
                } else {
                    peer.options.http_upstream_request_policy = HttpUpstreamRequestPolicy::deny_upgrades();
                }
                Ok(peer)
            }
            None => no_address(),
        }
    }

    async fn upstream_request_filter(
        &self,
        session: &mut Session,
        upstream: &mut RequestHeader,
        ctx: &mut RequestContext,
    ) -> Result<()> {
        prepare(session, upstream, ctx)
    }

    async fn request_body_filter(
        &self,
        session: &mut Session,
        body: &mut Option<Bytes>,
        ends: bool,
        ctx: &mut RequestContext,
    ) -> Result<()> {
        self.0.request_part(session, body, ends, ctx)
    }

    /// Looks at the upstream's head before pingora adds framing to it.
    async fn upstream_response_filter(
        &self,
        _: &mut Session,
        response: &mut ResponseHeader,
        ctx: &mut RequestContext,
    ) -> Result<()> {
        open_end::report_open_end(response, ctx);
        Ok(())
    }

    async fn response_filter(
        &self,
        session: &mut Session,
        response: &mut ResponseHeader,
        ctx: &mut RequestContext,
    ) -> Result<()> {
        self.0.response_head(session, response, ctx)
    }

    fn response_body_filter(
        &self,
        session: &mut Session,
        body: &mut Option<Bytes>,
        ends: bool,
        ctx: &mut RequestContext,
    ) -> Result<Option<Duration>> {
        self.0.response_part(session, body.as_ref(), ends, ctx);
        Ok(None)
    }

    /// Lets pingora retry an idempotent request if the upstream closed a reused connection. A request with
    /// an idempotency key is never retried.
    fn error_while_proxy(
        &self,
        _: &HttpPeer,
        session: &mut Session,
        mut error: Box<Error>,
        ctx: &mut RequestContext,
        reused: bool,
    ) -> Box<Error> {
        let method = &session.req_header().method;
        let is_repeatable =
            ctx.may_retry && method.is_idempotent() && !session.as_downstream().retry_buffer_truncated();
        if !is_repeatable {
            error.set_retry(false);
            return error;
        }
        error.retry.decide_reuse(reused);
        if error.retry() {
            ctx.restart_body();
        }
        error
    }

    async fn fail_to_proxy(&self, session: &mut Session, error: &Error, ctx: &mut RequestContext) -> FailToProxy {
        FailToProxy {
            error_code: self.0.fail(session, error, ctx).await,
            can_reuse_downstream: false,
        }
    }

    async fn logging(&self, session: &mut Session, _: Option<&Error>, ctx: &mut RequestContext) {
        ctx.record_sent(session, 0);
        ctx.record.finish();
    }

    /// Suppresses pingora's error log: the access log has each failure with its reason.
    fn suppress_error_log(&self, _: &Session, _: &RequestContext, _: &Error) -> bool {
        true
    }
}
