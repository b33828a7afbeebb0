//! Opens connections to an upstream: TCP or a unix socket, TLS, and the protocol that both sides speak.

use std::sync::Arc;
use std::time::Duration;

use pingora::protocols::l4::socket::SocketAddr;
use pingora::{Error, ErrorType, Result};
use tokio::time::timeout;

use super::connection::{PooledConnection, boxed, tcp, unix};
use super::http2::Http2Connection;
use super::tls::UpstreamTls;
use crate::policy::UpstreamScheme;

/// Opens connections to one upstream. All of them verify the same identity.
#[derive(Debug)]
pub(super) struct Connector {
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
    pub(super) fn new(scheme: UpstreamScheme, tls: Option<UpstreamTls>, within: Duration) -> Self {
        Self { scheme, tls, within }
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

    /// Limits how long opening a connection takes.
    pub(super) async fn within<T>(&self, open: impl Future<Output = Result<T>>) -> Result<T> {
        match timeout(self.within, open).await {
            Ok(opened) => opened.map_err(Error::into_up),
            Err(_) => Err(Error::explain(ErrorType::ConnectTimedout, "connecting to the service").into_up()),
        }
    }

    /// Opens a connection. For a WebSocket it `needs_http1`, which a service in clear text over HTTP/2 does not speak.
    pub(super) async fn connect(&self, address: &SocketAddr, needs_http1: bool) -> Result<Connected> {
        let socket = match address {
            SocketAddr::Inet(address) => tcp(address).await?,
            SocketAddr::Unix(address) => return Ok(Connected::Http1(boxed(unix(address).await?).into())),
        };
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
