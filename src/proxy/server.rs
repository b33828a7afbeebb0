//! Accepts connections: each is counted, read strictly, and served until it ends or the process does.

use std::future::poll_fn;
use std::net::IpAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::Poll;
use std::time::Duration;

use pingora::Error;
use pingora::apps::ServerApp as _;
use pingora::listeners::ALPN;
use pingora::listeners::tls::Acceptor;
use pingora::protocols::{IO, Ssl as _, Stream};
use pingora::server::ShutdownWatch;
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;

use super::body_rate::BodyRateLimits;
use super::buffered_socket::BufferedSocket;
use super::connection_limit::{ConnectionGuard, ConnectionTracker};
use super::gateway::Gateway;
use super::overload::OverloadResponder;
use super::peer::peer_of;
use super::proxy_protocol::ProxyProtocol;
use super::strict_stream::{ReadProgress, RejectionWriter, StreamLimits, StrictStream};

pub mod accept;
mod http1;
mod http2;
mod http2_limits;
pub mod listener;
pub mod socket;
mod spread;

use http1::Http1Server;
use http2::Http2Server;
use listener::Listener;

/// How long a connection that was just accepted may be silent when the process ends.
const FIRST_BYTE: Duration = Duration::from_millis(500);

/// How long connections that are idle when the process ends may still begin a request.
const IDLE_NOTICE: Duration = Duration::from_secs(1);

/// What a serving thread needs for its connections, whatever listener they came by.
pub struct ServerState {
    gateway: Arc<Gateway>,
    http1: Http1Server,
    http2: Arc<Http2Server>,
    limits: StreamLimits,
    write_rejection: RejectionWriter,
    /// The incomplete heads on all connections of the thread.
    heads: Arc<AtomicUsize>,
    overload: Arc<OverloadResponder>,
}

impl std::fmt::Debug for ServerState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ServerState")
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

impl ServerState {
    /// Serves requests on connections within limits. Threads share the gateway, and how connections above a limit are
    /// responded to.
    pub fn new(gateway: &Arc<Gateway>, write_rejection: RejectionWriter, overload: &Arc<OverloadResponder>) -> Self {
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
            overload: Arc::clone(overload),
        }
    }

    /// Closes idle connections of a process that ends after a moment, in which requests that clients have sent are
    /// still served, with `connection: close`. To pingora, a connection with half a head is idle, so this waits for
    /// incomplete heads.
    pub async fn close_idle(&self, connections: &ConnectionTracker) {
        connections.drained(IDLE_NOTICE).await;
        let complete = async {
            while self.heads.load(Ordering::Acquire) > 0 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let _ = timeout(self.limits.head_time, complete).await;
        self.gateway.stopping.store(true, Ordering::Release);
        self.http1.close_idle();
    }
}

/// What becomes of a connection that was just accepted.
enum Entry {
    /// It is served.
    Open(ConnectionGuard),
    /// It is above a limit, and gets a response that says so.
    Overloaded,
    /// It is closed.
    Closed,
}

/// Serves the connections of one listener on one thread.
pub struct Server {
    state: Arc<ServerState>,
    listener: Arc<Listener>,
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server")
            .field("state", &self.state)
            .field("listener", &self.listener)
            .finish()
    }
}

impl Server {
    /// Creates the server of a listener on a thread.
    pub const fn new(state: Arc<ServerState>, listener: Arc<Listener>) -> Self {
        Self { state, listener }
    }

    /// Returns the client of a connection, if that is its peer: a trusted proxy has many clients, and a unix socket has
    /// no address.
    fn client(&self, peer: Option<IpAddr>) -> Option<IpAddr> {
        peer.filter(|peer| !self.state.gateway.admission.trusts(*peer))
    }

    /// Takes room for a connection of a peer.
    fn enter(&self, peer: Option<IpAddr>) -> Entry {
        if let Some(protocol) = &self.listener.proxy_protocol
            && !peer.is_some_and(|peer| self.state.gateway.admission.trusts(peer))
        {
            protocol.reject_peer(peer);
            return Entry::Closed;
        }
        // The peer is trusted on a listener with the PROXY protocol, and so not counted: its header names the client.
        match (
            self.listener.slots.take(self.client(peer)),
            &self.listener.proxy_protocol,
        ) {
            (Some(open), _) => Entry::Open(open),
            (None, None) => Entry::Overloaded,
            // The request would stand behind a header.
            (None, Some(_)) => Entry::Closed,
        }
    }

    /// Serves a stream as a connection of this listener.
    pub async fn serve_stream(self: &Arc<Self>, stream: Stream, shutdown: &ShutdownWatch) {
        match self.enter(peer_of(&stream)) {
            Entry::Open(open) => {
                let served = Arc::clone(self).serve_connection(stream, shutdown.clone(), (open, ()));
                served.await;
            }
            Entry::Overloaded => self.respond_overloaded(stream).await,
            Entry::Closed => {}
        }
    }

    /// Serves a connection until it ends, or has not sent anything when the process does. It is counted until then.
    async fn serve_connection<L>(
        self: Arc<Self>,
        stream: Stream,
        shutdown: ShutdownWatch,
        (mut open, _load): (ConnectionGuard, L),
    ) {
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
        let stream = match &self.listener.proxy_protocol {
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
        if open.count_client(self.client(peer_of(&stream))) {
            return Some(stream);
        }
        self.respond_overloaded(stream).await;
        None
    }

    /// Responds to a connection above a limit. With TLS, a response would cost a handshake, which the limit is to
    /// prevent.
    async fn respond_overloaded(&self, stream: Stream) {
        if self.listener.tls.is_none() {
            self.state.overload.respond(stream, &self.state.write_rejection).await;
        }
    }

    /// Waits for the first bytes, and returns the protocol: with TLS the negotiated one, and pingora would
    /// wait for ever for a preface of HTTP/2 that is missing. Returns `None` for nothing to serve.
    async fn protocol(&self, stream: &mut StrictStream) -> Option<Protocol> {
        let agreed = stream.selected_alpn_proto() == Some(ALPN::H2);
        match stream.begins_with_preface().await.ok()? {
            true if agreed || self.listener.tls.is_none() => Some(Protocol::Http2),
            false if agreed => None,
            _ => Some(Protocol::Http1),
        }
    }

    /// Makes the handshake of a TLS listener, within the time for a head.
    async fn accept_tls(&self, stream: Stream) -> Option<Stream> {
        let Some(tls) = &self.listener.tls else {
            return Some(stream);
        };
        let (peer, acceptor) = (peer_of(&stream), tls.listener.acceptor());
        let socket = match stream.into_any().downcast::<BufferedSocket<TcpStream>>() {
            Ok(tcp) => Ok(tcp),
            Err(stream) => Err(stream.downcast::<BufferedSocket<UnixStream>>().ok()?),
        };
        let made = match socket {
            Ok(tcp) => self.handshake(&acceptor, *tcp).await,
            Err(unix) => self.handshake(&acceptor, *unix).await,
        };
        match made {
            Ok(stream) => Some(stream),
            Err(error) => {
                tls.failures
                    .record(peer, error.as_ref().map(|error| error as &dyn std::fmt::Display));
                None
            }
        }
    }

    /// Makes a handshake. Fails without an error if that takes too long.
    async fn handshake(&self, acceptor: &Acceptor, socket: impl IO + 'static) -> Result<Stream, Option<Box<Error>>> {
        match timeout(self.state.limits.head_time, acceptor.tls_handshake(socket)).await {
            Ok(Ok(stream)) => Ok(Box::new(stream)),
            Ok(Err(error)) => Err(Some(error)),
            Err(_) => Err(None),
        }
    }
}

/// The protocol of a connection.
#[derive(Debug, Clone, Copy)]
enum Protocol {
    Http1,
    Http2,
}

/// Resolves once the process ends and a connection has not sent anything, so that no request is cut.
async fn idle_at_shutdown(mut shutdown: ShutdownWatch, begun: &AtomicBool) {
    let stopping = shutdown.wait_for(|stopping| *stopping).await.is_ok();
    tokio::time::sleep(FIRST_BYTE).await;
    if !stopping || begun.load(Ordering::Acquire) {
        std::future::pending::<()>().await;
    }
}
