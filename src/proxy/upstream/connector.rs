//! Opens connections to an upstream: TCP or a unix socket, TLS, and the protocol that both sides speak.

use std::sync::Arc;
use std::time::{Duration, Instant};

use pingora::Result;
use pingora::protocols::l4::socket::SocketAddr;
use tokio::net::TcpStream;
use tokio::time::{timeout, timeout_at};

use super::connection::{ConnectFailure, PooledConnection, boxed};
use super::http2::Http2Connection;
use super::target::{Choice, Socket, Target};
use super::tls::UpstreamTls;
use crate::policy::UpstreamScheme;

/// How much longer a request waits for a connection than opening it may take, so that it learns which addresses were
/// tried.
const MARGIN: Duration = Duration::from_millis(10);

/// Opens connections to one upstream. All of them verify the same identity.
#[derive(Debug)]
pub(super) struct Connector {
    target: Target,
    scheme: UpstreamScheme,
    tls: Option<UpstreamTls>,
    within: Duration,
}

/// An open connection.
pub(super) enum Connected {
    Http1(PooledConnection),
    Http2(Arc<Http2Connection>),
}

impl Connector {
    /// Connects within a time. `tls` is for https.
    pub(super) fn new(target: Target, scheme: UpstreamScheme, tls: Option<UpstreamTls>, within: Duration) -> Self {
        Self {
            target,
            scheme,
            tls,
            within,
        }
    }

    /// Returns whether the upstream may choose HTTP/2.
    pub(super) fn offers_http2(&self) -> bool {
        self.scheme != UpstreamScheme::Http
    }

    /// Returns whether connections are encrypted.
    pub(super) const fn is_tls(&self) -> bool {
        self.tls.is_some()
    }

    /// Reads the CAs of the system, if they are needed and not read yet.
    pub(super) async fn prepare(&self) {
        if let Some(tls) = &self.tls {
            // If this fails, the first connection tries it again.
            let _ = tls.prepare().await;
        }
    }

    /// Waits until its name was looked up once, even if that failed.
    pub(super) async fn first_lookup(&self) {
        if let Target::Named(name) = &self.target {
            name.first_lookup().await;
        }
    }

    /// Chooses the address for a request that begins.
    pub(super) fn choose(&self, now: Instant) -> Choice {
        self.target.choose(now)
    }

    /// Limits how long a request waits for a connection.
    pub(super) async fn within<T>(
        &self,
        choice: &Choice,
        wait: impl Future<Output = Result<T, ConnectFailure>>,
    ) -> Result<T, ConnectFailure> {
        let waited = timeout(self.within + MARGIN, wait).await;
        waited.unwrap_or_else(|_| Err(ConnectFailure::late(choice.address.as_slice())))
    }

    /// Opens a connection, and returns its address. For a WebSocket it `needs_http1`, which a service in clear text
    /// over HTTP/2 does not speak. Only a connection that no address accepts leads on to the next one: what fails
    /// behind that, as TLS does, has failed.
    pub(super) async fn connect(
        &self,
        choice: &Choice,
        needs_http1: bool,
    ) -> Result<(Connected, SocketAddr), ConnectFailure> {
        let deadline = tokio::time::Instant::now() + self.within;
        let (socket, address) = self.target.connect(choice, self.within).await?;
        let socket = match socket {
            Socket::Tcp(socket) => socket,
            Socket::Unix(socket) => return Ok((Connected::Http1(boxed(socket).into()), address)),
        };
        match timeout_at(deadline, self.begin(socket, needs_http1)).await {
            Ok(Ok(connected)) => Ok((connected, address)),
            Ok(Err(error)) => Err(ConnectFailure::at(error, &[address])),
            Err(_) => Err(ConnectFailure::late(&[address])),
        }
    }

    async fn begin(&self, socket: TcpStream, needs_http1: bool) -> Result<Connected> {
        match (&self.tls, self.scheme) {
            (Some(tls), _) => {
                let socket = tls.handshake(socket, needs_http1).await?;
                match socket.get_ref().1.alpn_protocol() {
                    Some(b"h2") => Http2Connection::start(socket).await.map(Connected::Http2),
                    _ => Ok(Connected::Http1(boxed(socket).into())),
                }
            }
            (None, UpstreamScheme::H2c) => Http2Connection::start(socket).await.map(Connected::Http2),
            (None, _) => Ok(Connected::Http1(boxed(socket).into())),
        }
    }
}
