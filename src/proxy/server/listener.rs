//! What the threads share of a listener.

use std::sync::Arc;
use std::time::Duration;

use super::socket::ClientSocket;
use super::spread::Weight;
use crate::proxy::connection_limit::ConnectionLimit;
use crate::proxy::handshake_failures::HandshakeFailures;
use crate::proxy::proxy_protocol::ProxyProtocol;
use crate::telemetry::metrics::Metrics;
use crate::tls::TlsListener;

/// In clear text, the reader above has a buffer of its own.
pub(super) const NO_BUFFER: usize = 1;

/// The buffer for TLS records.
const TLS_READ_BUFFER: usize = 16 * 1024;

/// The buffer for a header of the PROXY protocol, which is read in small pieces.
const HEADER_BUFFER: usize = 256;

/// A listener: its limit, and what stands in front of HTTP on its connections.
#[derive(Debug)]
pub struct Listener {
    pub(super) slots: Arc<ConnectionLimit>,
    pub(super) tls: Option<Tls>,
    pub(super) proxy_protocol: Option<ProxyProtocol>,
}

/// The TLS of a listener, and its handshakes that failed.
#[derive(Debug)]
pub(super) struct Tls {
    pub(super) listener: Arc<TlsListener>,
    pub(super) failures: HandshakeFailures,
}

impl Listener {
    /// Creates a listener with TLS or in clear text.
    pub fn new(slots: ConnectionLimit, tls: Option<Arc<TlsListener>>, metrics: &Metrics) -> Self {
        let tls = tls.map(|listener| Tls {
            listener,
            failures: HandshakeFailures::new(slots.listener(), metrics),
        });
        Self {
            slots: Arc::new(slots),
            tls,
            proxy_protocol: None,
        }
    }

    /// Expects a header of the PROXY protocol in front of each connection, within a time.
    #[must_use]
    pub fn with_proxy_protocol(self, within: Duration, metrics: &Metrics) -> Self {
        let proxy_protocol = ProxyProtocol::new(self.slots.listener(), within, metrics);
        Self {
            proxy_protocol: Some(proxy_protocol),
            ..self
        }
    }

    /// Returns the weight of a connection. `None` if only the protocol of the client tells it.
    pub(super) const fn weight(&self, socket: &ClientSocket) -> Option<Weight> {
        match (socket, &self.tls, &self.proxy_protocol) {
            (ClientSocket::Tcp(..), None, None) => None,
            _ => Some(Weight::Heavy),
        }
    }

    /// Returns the size of the buffer in front of the reader of a connection.
    pub(super) const fn read_buffer(&self) -> usize {
        match (&self.tls, &self.proxy_protocol) {
            (Some(_), _) => TLS_READ_BUFFER,
            (None, Some(_)) => HEADER_BUFFER,
            (None, None) => NO_BUFFER,
        }
    }
}
