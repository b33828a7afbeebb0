//! Accepts connections: each is counted, read strictly, and served until it ends or the process does.

use std::future::poll_fn;
use std::net::IpAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::Poll;
use std::time::Duration;

use async_trait::async_trait;
use pingora::apps::ServerApp;
use pingora::listeners::ALPN;
use pingora::protocols::l4::stream::Stream as Transport;
use pingora::protocols::{Ssl as _, Stream};
use pingora::server::ShutdownWatch;
use tokio::time::timeout;

use super::body_rate::BodyRateLimits;
use super::connection_limit::{ConnectionGuard, ConnectionLimit};
use super::gateway::Gateway;
use super::handshake_failures::HandshakeFailures;
use super::overload::OverloadResponder;
use super::peer::peer_of;
use super::proxy_protocol::ProxyProtocol;
use super::strict_stream::{ReadProgress, RejectionWriter, StreamLimits, StrictStream};
use crate::tls::TlsListener;

mod http1;
mod http2;
mod http2_limits;

use http1::Http1Server;
use http2::Http2Server;

/// How long a connection that was just accepted may be silent when the process ends.
const FIRST_BYTE: Duration = Duration::from_millis(500);

/// How long connections that are idle when the process ends may still begin a request.
const IDLE_NOTICE: Duration = Duration::from_secs(1);

/// The state that listeners share.
pub struct ServerState {
    gateway: Arc<Gateway>,
    http1: Http1Server,
    http2: Arc<Http2Server>,
    limits: StreamLimits,
    write_rejection: RejectionWriter,
    /// The incomplete heads on all connections.
    heads: Arc<AtomicUsize>,
    overload: OverloadResponder,
}

impl std::fmt::Debug for ServerState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ServerState")
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

impl ServerState {
    /// Serves requests on connections within limits.
    pub fn new(gateway: &Arc<Gateway>, write_rejection: RejectionWriter) -> Self {
        let limits = &gateway.limits;
        Self {
            gateway: Arc::clone(gateway),
            http1: Http1Server::new(Arc::clone(gateway)),
            http2: Arc::new(Http2Server::new(Arc::clone(gateway))),
            limits: StreamLimits {
                head_bytes: limits.request.header_bytes,
                head_time: limits.header_timeout,
                reading: BodyRateLimits {
                    patience: limits.idle_timeout,
                    rate: limits.body_rate,
                },
            },
            write_rejection,
            heads: Arc::default(),
            overload: OverloadResponder::default(),
        }
    }
}

/// Serves the connections of one listener.
pub struct Server {
    state: Arc<ServerState>,
    slots: Arc<ConnectionLimit>,
    tls: Option<Tls>,
    proxy_protocol: Option<ProxyProtocol>,
}

/// The TLS of a listener, and its handshakes that failed.
struct Tls {
    listener: Arc<TlsListener>,
    failures: HandshakeFailures,
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server")
            .field("state", &self.state)
            .field("slots", &self.slots)
            .finish_non_exhaustive()
    }
}

impl Server {
    /// Creates the server of a listener, with TLS or in clear text.
    pub fn new(state: Arc<ServerState>, slots: ConnectionLimit, tls: Option<Arc<TlsListener>>) -> Self {
        let metrics = &state.gateway.admission.metrics;
        let tls = tls.map(|listener| Tls {
            listener,
            failures: HandshakeFailures::new(slots.listener(), metrics),
        });
        Self {
            state,
            slots: Arc::new(slots),
            tls,
            proxy_protocol: None,
        }
    }

    /// Expects a header of the PROXY protocol in front of each connection.
    #[must_use]
    pub fn with_proxy_protocol(self) -> Self {
        let metrics = &self.state.gateway.admission.metrics;
        let within = self.state.limits.head_time;
        let proxy_protocol = ProxyProtocol::new(self.slots.listener(), within, metrics);
        Self {
            proxy_protocol: Some(proxy_protocol),
            ..self
        }
    }

    /// Returns the peer of a connection, if it is one client: a trusted proxy has many, and a unix socket
    /// has no address.
    fn client(&self, stream: &Stream) -> Option<IpAddr> {
        let peer = peer_of(stream)?;
        (!self.state.gateway.admission.trusts(peer)).then_some(peer)
    }

    /// Serves a connection until it ends, or has not sent anything when the process does.
    async fn serve_connection(self: Arc<Self>, stream: Stream, shutdown: ShutdownWatch, mut open: ConnectionGuard) {
        let progress = ReadProgress {
            heads: Arc::clone(&self.state.heads),
            begun: Arc::default(),
        };
        let mut idle = pin!(idle_at_shutdown(shutdown.clone(), &progress.begun));
        let idle = poll_fn(|cx| match progress.begun.load(Ordering::Acquire) {
            // Stops polling, which every byte would cause again.
            true => Poll::Pending,
            false => idle.as_mut().poll(cx),
        });
        tokio::select! {
            biased;
            () = self.serve(stream, &shutdown, &progress, &mut open) => {}
            () = idle => {}
        }
    }

    /// Serves a connection to its end.
    async fn serve(
        &self,
        stream: Stream,
        shutdown: &ShutdownWatch,
        progress: &ReadProgress,
        open: &mut ConnectionGuard,
    ) {
        let ServerState {
            http1,
            http2,
            limits,
            write_rejection,
            ..
        } = &*self.state;
        let stream = match &self.proxy_protocol {
            // In a box, as it is short.
            Some(protocol) => Box::pin(self.accept_proxied(protocol, stream, open)).await,
            None => Some(stream),
        };
        let Some(stream) = stream else { return };
        // A handshake is large and short.
        let Some(stream) = Box::pin(self.accept_tls(stream)).await else {
            return;
        };
        let stream = StrictStream::new(stream, *limits, Arc::clone(write_rejection), progress.clone());
        let mut stream = Box::new(stream);
        match self.protocol(&mut stream).await {
            Some(Protocol::Http1) => http1.serve(stream, shutdown).await,
            Some(Protocol::Http2) => drop(http2.process_new(stream, shutdown).await),
            None => {}
        }
    }

    /// Reads the header of a connection that a proxy passes on, and counts the connection as one of the client that it
    /// names.
    async fn accept_proxied(
        &self,
        protocol: &ProxyProtocol,
        stream: Stream,
        open: &mut ConnectionGuard,
    ) -> Option<Stream> {
        let stream = protocol.accept(stream).await?;
        if open.count_client(self.client(&stream)) {
            return Some(stream);
        }
        self.respond_overloaded(stream).await;
        None
    }

    /// Responds to a connection above a limit. With TLS, a response would cost a handshake, which the limit is to
    /// prevent.
    async fn respond_overloaded(&self, stream: Stream) {
        if self.tls.is_none() {
            self.state.overload.respond(stream, &self.state.write_rejection).await;
        }
    }

    /// Waits for the first bytes, and returns the protocol: with TLS the negotiated one, and pingora would
    /// wait for ever for a preface of HTTP/2 that is missing. Returns `None` for nothing to serve.
    async fn protocol(&self, stream: &mut StrictStream) -> Option<Protocol> {
        let agreed = stream.selected_alpn_proto() == Some(ALPN::H2);
        match stream.begins_with_preface().await.ok()? {
            true if agreed || self.tls.is_none() => Some(Protocol::Http2),
            false if agreed => None,
            _ => Some(Protocol::Http1),
        }
    }

    /// Makes the handshake of a TLS listener, within the time for a head.
    async fn accept_tls(&self, stream: Stream) -> Option<Stream> {
        let Some(tls) = &self.tls else {
            return Some(stream);
        };
        let peer = peer_of(&stream);
        let transport = stream.into_any().downcast::<Transport>().ok()?;
        let acceptor = tls.listener.acceptor();
        let made = timeout(self.state.limits.head_time, acceptor.tls_handshake(*transport)).await;
        match &made {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => tls.failures.record(peer, Some(error)),
            Err(_) => tls.failures.record(peer, None),
        }
        let stream = made.ok()?.ok()?;
        Some(Box::new(stream))
    }
}

/// The protocol of a connection.
#[derive(Debug, Clone, Copy)]
enum Protocol {
    Http1,
    Http2,
}

#[async_trait]
impl ServerApp for Server {
    async fn process_new(self: &Arc<Self>, stream: Stream, shutdown: &ShutdownWatch) -> Option<Stream> {
        let peer = peer_of(&stream);
        if let Some(protocol) = &self.proxy_protocol
            && !peer.is_some_and(|peer| self.state.gateway.admission.trusts(peer))
        {
            protocol.reject_peer(peer);
            return None;
        }
        // The peer is trusted on a listener with the PROXY protocol, and so not counted: its header names the client.
        let Some(open) = self.slots.take(self.client(&stream)) else {
            // The request would stand behind a header.
            if self.proxy_protocol.is_none() {
                self.respond_overloaded(stream).await;
            }
            return None;
        };
        // pingora's own task is as large as all that it might have done with the connection.
        tokio::spawn(Arc::clone(self).serve_connection(stream, shutdown.clone(), open));
        None
    }

    /// Closes idle connections after a moment, in which requests that clients have sent are still served,
    /// with `connection: close`. To pingora, a connection with half a head is idle, so this waits for
    /// incomplete heads.
    async fn cleanup(&self) {
        self.slots.all().drained(IDLE_NOTICE).await;
        let complete = async {
            while self.state.heads.load(Ordering::Acquire) > 0 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let _ = timeout(self.state.limits.head_time, complete).await;
        self.state.gateway.stopping.store(true, Ordering::Release);
        self.state.http1.close_idle();
    }
}

/// Resolves once the process ends and a connection has not sent anything, so that no request is cut.
async fn idle_at_shutdown(mut shutdown: ShutdownWatch, begun: &AtomicBool) {
    let stopping = shutdown.wait_for(|stopping| *stopping).await.is_ok();
    tokio::time::sleep(FIRST_BYTE).await;
    if !stopping || begun.load(Ordering::Acquire) {
        std::future::pending::<()>().await;
    }
}
