//! Serves the requests of a connection, one after the other over HTTP/1 and concurrently over HTTP/2.
//! Each request is admitted or rejected. An admitted one is forwarded by `exchange.rs` or by pingora's proxy.

use std::net::IpAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use async_trait::async_trait;
use bytes::BytesMut;
use futures_util::FutureExt as _;
use pingora::apps::{HttpPersistentSettings, HttpServerApp, HttpServerOptions, ReusedHttpStream};
use pingora::protocols::http::ServerSession;
use pingora::protocols::http::v2::server::H2Options;
use pingora::proxy::HttpProxy;
use pingora::server::ShutdownWatch;
use pingora::{Error, ErrorType, Result};
use tokio::sync::Notify;

use super::context::RequestContext;
use super::gateway::{Gateway, no_address};
use super::local_response;
use super::pingora_proxy::{self, PingoraHooks};
use super::policy_snapshot::PolicySnapshot;
use super::stall_watchdog::StallWatchdog;
use super::strict_stream::StrictStream;
use super::upstream::Upstream;
use crate::admission::Admission;

/// How long each read of the first head may take, in seconds. [`StrictStream`] limits the whole head.
const FIRST_KEEPALIVE: u64 = 60;

/// Serves the requests of connections.
pub struct RequestHandler {
    gateway: Arc<Gateway>,
    pingora: Arc<HttpProxy<PingoraHooks>>,
    /// How long a connection may be idle.
    idle: Duration,
    /// Closes connections that are idle when the process ends.
    close_idle: Notify,
}

impl std::fmt::Debug for RequestHandler {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RequestHandler").finish_non_exhaustive()
    }
}

/// The result of handling a request.
enum Handled {
    /// The client has its response.
    Responded,
    /// The request was admitted, and pingora's proxy has to forward it.
    LeftToPingora(Box<RequestContext>),
}

impl RequestHandler {
    /// Creates a handler. The hooks of pingora's proxy share its gateway.
    pub fn new(gateway: Arc<Gateway>, pingora: HttpProxy<PingoraHooks>) -> Self {
        Self {
            idle: gateway.limits.idle_timeout.max(Duration::from_secs(1)),
            gateway,
            pingora: Arc::new(pingora),
            close_idle: Notify::new(),
        }
    }

    /// Returns whether a peer is a trusted proxy.
    pub(super) fn trusts(&self, peer: IpAddr) -> bool {
        self.gateway.admission.trusts(peer)
    }

    /// Serves the requests of an HTTP/1 connection. Between two requests only the stream is in memory: most
    /// connections are idle most of the time, and the state of a request is large.
    pub(super) async fn serve_http1(&self, stream: Box<StrictStream>, shutdown: &ShutdownWatch) {
        let mut close_idle = pin!(self.close_idle.notified());
        let mut session = ServerSession::new_http1(stream);
        session.set_keepalive((!*shutdown.borrow()).then_some(FIRST_KEEPALIVE));
        loop {
            let is_read = tokio::select! {
                biased;
                is_read = read_head(&mut session) => is_read,
                () = &mut close_idle => false,
            };
            if !is_read {
                return;
            }
            let served = self.serve(session, shutdown).await;
            let Some((stream, settings)) = served.map(ReusedHttpStream::consume) else {
                return;
            };
            let Ok(mut stream) = stream.into_any().downcast::<StrictStream>() else {
                return;
            };
            stream.expect_head();
            let begins = tokio::select! {
                biased;
                begins = stream.has_next_request(self.idle) => begins,
                () = &mut close_idle => false,
            };
            if !begins {
                return;
            }
            session = ServerSession::new_http1(stream);
            if let Some(settings) = settings {
                settings.apply_to_session(&mut session);
            }
        }
    }

    /// Serves a request whose head is read. Returns its connection if that is reusable.
    async fn serve(&self, mut session: ServerSession, shutdown: &ShutdownWatch) -> Option<ReusedHttpStream> {
        if *shutdown.borrow() {
            session.set_keepalive(None);
        }
        match self.handle(&mut session).await {
            Ok(Handled::Responded) => into_reusable(session).await,
            Ok(Handled::LeftToPingora(ctx)) => {
                let session = replayed(session)?;
                Box::pin(pingora_proxy::proxy_with_pingora(&self.pingora, session, ctx, shutdown)).await
            }
            Err(error) => {
                session.on_proxy_failure(error);
                None
            }
        }
    }

    /// Admits a request, and responds to it unless pingora's proxy has to forward it.
    async fn handle(&self, session: &mut ServerSession) -> Result<Handled> {
        let gateway = &*self.gateway;
        let mut ctx = gateway.begin();
        gateway.bound(session);
        let responded = match gateway.admit(session, &mut ctx).await {
            Admission::Forward(forward) => {
                ctx.set_admitted(forward);
                let policies = Arc::clone(&ctx.policies);
                let Some(upstream) = http1_upstream(&policies, session, &ctx) else {
                    return Ok(Handled::LeftToPingora(Box::new(ctx)));
                };
                match upstream.address() {
                    Some(address) => gateway.exchange((upstream, address), session, &mut ctx).await,
                    None => no_address(),
                }
            }
            Admission::Replay(stored) => Box::pin(gateway.replay(session, stored, &mut ctx)).await,
            Admission::Reject(rejection) => gateway.reject(session, &rejection, &ctx).await,
            Admission::ServerOptions => local_response::write_options_asterisk(session, &ctx.record.ids)
                .await
                .map_err(Error::into_down),
        };
        if let Err(error) = &responded {
            gateway.fail(session, error, &mut ctx).await;
        }
        ctx.record_sent(session, 0);
        ctx.record.finish();
        responded.map(|()| Handled::Responded)
    }

    /// Serves a request over HTTP/2 whose body has not arrived yet.
    async fn watch(&self, session: ServerSession, shutdown: &ShutdownWatch) -> Option<ReusedHttpStream> {
        let served = StallWatchdog::run(Box::pin(self.serve(session, shutdown))).await;
        if served.is_none() {
            tracing::debug!("the body of a request never ended; its stream is reset");
        }
        served.flatten()
    }
}

#[async_trait]
impl HttpServerApp for RequestHandler {
    /// Serves a request over HTTP/2; `serve_http1` serves those over HTTP/1. Not an `async fn`,
    /// so that a request without a body costs one box and no watchdog.
    fn process_new_http<'a, 'shutdown, 'served>(
        self: &'a Arc<Self>,
        mut session: ServerSession,
        shutdown: &'shutdown ShutdownWatch,
    ) -> Pin<Box<dyn Future<Output = Option<ReusedHttpStream>> + Send + 'served>>
    where
        'a: 'served,
        'shutdown: 'served,
    {
        match session.is_body_done() {
            true => Box::pin(self.serve(session, shutdown)),
            false => Box::pin(self.watch(session, shutdown)),
        }
    }

    fn h2_options(&self) -> Option<H2Options> {
        self.pingora.h2_options()
    }

    fn server_options(&self) -> Option<&HttpServerOptions> {
        self.pingora.server_options.as_ref()
    }

    async fn http_cleanup(&self) {
        self.gateway.stopping.store(true, Ordering::Release);
        self.close_idle.notify_waiters();
        self.pingora.http_cleanup().await;
    }
}

/// Reads the head of a request over HTTP/1. Returns `false` if the connection has to end; the client has an
/// error response then, if one is due.
async fn read_head(session: &mut ServerSession) -> bool {
    match session.read_request().await {
        Ok(is_read) => is_read,
        Err(error) => {
            tracing::debug!(%error, "reading a request head failed");
            if *error.etype() == ErrorType::InvalidHTTPHeader {
                // The stream replaces pingora's response by Sidegate's.
                let _ = session.respond_error(400).await;
            }
            session.shutdown().await;
            false
        }
    }
}

/// Returns the upstream if `exchange.rs` forwards this request. Returns `None` if pingora's proxy does.
fn http1_upstream<'p>(
    policies: &'p PolicySnapshot,
    session: &ServerSession,
    ctx: &RequestContext,
) -> Option<&'p Upstream> {
    if ctx.lease.is_some() || session.is_upgrade_req() {
        return None;
    }
    let upstream = policies.upstream(ctx.record.scope.policy?)?;
    (!upstream.needs_pingora()).then_some(upstream)
}

/// Returns the connection of a finished request if it is reusable. Most often there is nothing to wait for, and
/// the future of pingora's session, which is several times its size, is polled once and not boxed.
async fn into_reusable(mut session: ServerSession) -> Option<ReusedHttpStream> {
    session.finish_body().await.ok()?;
    let settings = HttpPersistentSettings::for_session(&session);
    let is_complete = session.get_keepalive().is_some() && session.is_body_done();
    let finish = session.finish();
    let stream = match is_complete {
        true => finish.now_or_never()?,
        false => Box::pin(finish).await,
    };
    let stream = stream.ok().flatten()?;
    Some(ReusedHttpStream::from_reusable_stream(stream, settings))
}

/// Makes a session from which pingora's proxy reads the same request. Over HTTP/1 it parses the head again.
fn replayed(session: ServerSession) -> Option<ServerSession> {
    let mut settings = HttpPersistentSettings::for_session(&session);
    let ServerSession::H1(http1) = session else {
        return Some(session);
    };
    let head = http1.get_headers_raw_bytes();
    let mut stream = http1.into_inner().into_any().downcast::<StrictStream>().ok()?;
    let mut read = BytesMut::from(&*head);
    read.extend_from_slice(&stream.take_bytes_after_head());
    settings.set_pipelined_prefix(read);
    let mut session = ServerSession::new_http1(stream);
    settings.apply_to_session(&mut session);
    Some(session)
}
