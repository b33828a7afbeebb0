//! Serves the requests of a connection, one after the other over HTTP/1 and side by side over HTTP/2:
//! each is admitted, and then refused, exchanged with its service here, or left to the engine.

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
use super::upstream::Peer;
use super::upstream::pool::UpstreamPool;
use crate::admission::Admission;

/// How long each read of a first head may take, in seconds, besides the bound of the stream.
const FIRST_KEEPALIVE: u64 = 60;

/// Serves the requests of connections.
pub struct RequestHandler {
    gateway: Arc<Gateway>,
    pingora: Arc<HttpProxy<PingoraHooks>>,
    /// How long a connection may be idle.
    idle: Duration,
    /// Wakes connections that are idle when the process ends.
    over: Notify,
}

impl std::fmt::Debug for RequestHandler {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RequestHandler").finish_non_exhaustive()
    }
}

/// How an admitted request reaches its service.
enum Way<'p> {
    /// It is exchanged here.
    Here(&'p Peer, &'p UpstreamPool),
    /// The engine forwards it.
    Pingora,
}

/// What became of a request.
enum Handled {
    /// It was answered, well or with a refusal.
    Here,
    /// It was admitted, and the engine has to answer it.
    NotYet(Box<RequestContext>),
}

impl RequestHandler {
    /// Serves them with a gateway that the engine has, too.
    pub fn new(gateway: Arc<Gateway>, pingora: HttpProxy<PingoraHooks>) -> Self {
        Self {
            idle: gateway.limits.idle_timeout.max(Duration::from_secs(1)),
            gateway,
            pingora: Arc::new(pingora),
            over: Notify::new(),
        }
    }

    /// Whether a peer forwards for others, and is believed.
    pub(super) fn trusts(&self, peer: IpAddr) -> bool {
        self.gateway.admission.trusts(peer)
    }

    /// Serves the requests of an HTTP/1 connection. In between, only its stream is there: most
    /// connections are idle most of the time, and all that is kept for a request is large.
    pub(super) async fn serve_http1(&self, stream: Box<StrictStream>, shutdown: &ShutdownWatch) {
        let mut over = pin!(self.over.notified());
        let mut session = ServerSession::new_http1(stream);
        session.set_keepalive((!*shutdown.borrow()).then_some(FIRST_KEEPALIVE));
        loop {
            let is_read = tokio::select! {
                biased;
                is_read = read_head(&mut session) => is_read,
                () = &mut over => false,
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
                () = &mut over => false,
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

    /// Serves a request whose head is read. Returns its connection, if that can have another one.
    async fn serve(&self, mut session: ServerSession, shutdown: &ShutdownWatch) -> Option<ReusedHttpStream> {
        if *shutdown.borrow() {
            session.set_keepalive(None);
        }
        match self.answer(&mut session).await {
            Ok(Handled::Here) => into_reusable(session).await,
            Ok(Handled::NotYet(ctx)) => {
                let session = replayed(session)?;
                Box::pin(pingora_proxy::proxy_with_pingora(&self.pingora, session, ctx, shutdown)).await
            }
            Err(error) => {
                session.on_proxy_failure(error);
                None
            }
        }
    }

    /// Answers a request, unless that is left to the engine.
    async fn answer(&self, session: &mut ServerSession) -> Result<Handled> {
        let gateway = &*self.gateway;
        let mut ctx = gateway.begin();
        gateway.bound(session);
        let answered = match gateway.admit(session, &mut ctx).await {
            Admission::Forward(forward) => {
                ctx.admitted(forward);
                let policies = Arc::clone(&ctx.policies);
                match way(&policies, session, &ctx) {
                    Way::Pingora => return Ok(Handled::NotYet(Box::new(ctx))),
                    Way::Here(peer, pool) => match peer.address() {
                        Some(address) => gateway.exchange((pool, address), session, &mut ctx).await,
                        None => no_address(),
                    },
                }
            }
            Admission::Replay(stored) => gateway.replay(session, stored, &mut ctx).await,
            Admission::Reject(rejection) => gateway.reject(session, &rejection, &ctx).await,
            Admission::ServerOptions => local_response::write_options_asterisk(session, &ctx.record.ids)
                .await
                .map_err(Error::into_down),
        };
        if let Err(error) = &answered {
            gateway.fail(session, error, &mut ctx).await;
        }
        ctx.finish(session, 0);
        answered.map(|()| Handled::Here)
    }

    /// Serves a request over HTTP/2 whose body is yet to come.
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
    /// Serves a request over HTTP/2; those over HTTP/1 have a loop of their own. Written out, for
    /// most requests need no watch and one box.
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
        self.over.notify_waiters();
        self.pingora.http_cleanup().await;
    }
}

/// Reads the head of a request over HTTP/1. Whether there is one; if not, the client has its answer.
async fn read_head(session: &mut ServerSession) -> bool {
    match session.read_request().await {
        Ok(is_read) => is_read,
        Err(error) => {
            tracing::debug!(%error, "a head cannot be read");
            if *error.etype() == ErrorType::InvalidHTTPHeader {
                // Its stream makes our own answer of it.
                let _ = session.respond_error(400).await;
            }
            session.shutdown().await;
            false
        }
    }
}

/// The way of a request that was admitted.
fn way<'p>(policies: &'p PolicySnapshot, session: &ServerSession, ctx: &RequestContext) -> Way<'p> {
    let peer = ctx.record.scope.policy.and_then(|policy| policies.service(policy));
    match peer.and_then(|peer| Some((peer, peer.plain()?))) {
        Some((peer, pool)) if ctx.lease.is_none() && !session.is_upgrade_req() => Way::Here(peer, pool),
        _ => Way::Pingora,
    }
}

/// The connection of a request that was answered, if it can have another one. Most often nothing is
/// left to wait for; the wait that the engine's session would make is several times its size.
async fn into_reusable(mut session: ServerSession) -> Option<ReusedHttpStream> {
    session.finish_body().await.ok()?;
    let settings = HttpPersistentSettings::for_session(&session);
    let is_over = session.get_keepalive().is_some() && session.is_body_done();
    let finish = session.finish();
    let stream = match is_over {
        true => finish.now_or_never()?,
        false => Box::pin(finish).await,
    };
    let stream = stream.ok().flatten()?;
    Some(ReusedHttpStream::from_reusable_stream(stream, settings))
}

/// The same request for the engine, which reads the head of one over HTTP/1 for itself.
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
