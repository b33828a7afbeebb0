//! What is counted of connections, and of the limits of connections and requests.

use prometheus::{Gauge, GaugeVec, IntCounter, IntCounterVec, IntGauge, Opts};

use super::gauge_value::number;
use super::handshakes::{self, HandshakeFailure};
use super::proxy_headers::{self, ProxyHeaderFailure};
use super::registry::{Registry, register};

/// Counters and gauges of all listeners.
#[derive(Debug, Clone)]
pub(super) struct ConnectionMetrics {
    open: IntGauge,
    requests_limit: Gauge,
    limit: GaugeVec,
    refused: IntCounterVec,
    tls_handshake_failures: IntCounterVec,
    proxy_header_failures: IntCounterVec,
    client_limit_refused: [IntCounter; ClientLimit::ALL.len()],
}

impl ConnectionMetrics {
    pub(super) fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        Ok(Self {
            open: register(
                registry,
                IntGauge::new(
                    "sidegate_connections",
                    "Open client connections, from before the TLS handshake on.",
                )?,
            )?,
            requests_limit: register(
                registry,
                Gauge::new(
                    "sidegate_requests_limit",
                    "The most requests that may be with upstreams at a time, by `limits.requests` and file descriptors.",
                )?,
            )?,
            limit: register(
                registry,
                GaugeVec::new(
                    Opts::new(
                        "sidegate_connections_limit",
                        "The most client connections that a listener accepts at a time, by its limits and file descriptors.",
                    ),
                    &["listener"],
                )?,
            )?,
            refused: register(
                registry,
                IntCounterVec::new(
                    Opts::new(
                        "sidegate_connections_refused_total",
                        "Connections that a listener rejected because it had as many as it may have.",
                    ),
                    &["listener"],
                )?,
            )?,
            tls_handshake_failures: handshakes::failures(registry)?,
            proxy_header_failures: proxy_headers::failures(registry)?,
            client_limit_refused: client_limit_refused(registry)?,
        })
    }

    /// The number of open connections.
    pub(super) fn open(&self) -> &IntGauge {
        &self.open
    }

    pub(super) fn refused(&self, listener: &str) -> IntCounter {
        self.refused.with_label_values(&[listener])
    }

    /// One counter for each reason, present from the start.
    pub(super) fn tls_handshake_failures(&self, listener: &str) -> [IntCounter; HandshakeFailure::ALL.len()] {
        let of = |reason: HandshakeFailure| {
            self.tls_handshake_failures
                .with_label_values(&[listener, reason.as_str()])
        };
        HandshakeFailure::ALL.map(of)
    }

    /// One counter for each reason, present from the start.
    pub(super) fn proxy_header_failures(&self, listener: &str) -> [IntCounter; ProxyHeaderFailure::ALL.len()] {
        let of = |reason: ProxyHeaderFailure| {
            self.proxy_header_failures
                .with_label_values(&[listener, reason.as_str()])
        };
        ProxyHeaderFailure::ALL.map(of)
    }

    pub(super) fn client_limit_refused(&self, limit: ClientLimit) -> IntCounter {
        let [connection, address, caller] = &self.client_limit_refused;
        let counter = match limit {
            ClientLimit::Connection => connection,
            ClientLimit::Address => address,
            ClientLimit::Caller => caller,
        };
        counter.clone()
    }

    pub(super) fn requests_limit(&self, most: usize) {
        self.requests_limit.set(number(most));
    }

    pub(super) fn limit(&self, listener: &str, most: usize) {
        self.limit.with_label_values(&[listener]).set(number(most));
    }
}

/// What is limited for each client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ClientLimit {
    /// The connections of an address.
    Connection,
    /// The requests of an address.
    Address,
    /// The requests of a caller.
    Caller,
}

impl ClientLimit {
    const ALL: [&'static str; 3] = ["connection", "address", "caller"];
}

/// One counter for each limit, present from the start.
fn client_limit_refused(registry: &Registry) -> Result<[IntCounter; ClientLimit::ALL.len()], prometheus::Error> {
    let help = "Connections (`connection`) and requests (by `address`, by `caller`) that Sidegate rejected because one client had \
                as many as it may have.";
    let options = Opts::new("sidegate_client_limit_refused_total", help);
    let refused = register(registry, IntCounterVec::new(options, &["kind"])?)?;
    Ok(ClientLimit::ALL.map(|kind| refused.with_label_values(&[kind])))
}
