//! Connections without a valid header of the PROXY protocol.

use prometheus::{IntCounterVec, Opts};

use super::registry::{Registry, register};

/// Why a connection has no valid header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProxyHeaderFailure {
    /// The peer is not a trusted proxy.
    UntrustedPeer,
    /// The connection begins with something else.
    Missing,
    /// The header is malformed.
    Malformed,
    /// The connection ended before the header did.
    Closed,
    /// The header took too long.
    Timeout,
}

impl ProxyHeaderFailure {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::UntrustedPeer,
        Self::Missing,
        Self::Malformed,
        Self::Closed,
        Self::Timeout,
    ];

    /// Returns the value of the label, and of the field in the log.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::UntrustedPeer => "untrusted_peer",
            Self::Missing => "missing",
            Self::Malformed => "malformed",
            Self::Closed => "closed",
            Self::Timeout => "timeout",
        }
    }
}

/// Registers the counter.
pub(super) fn failures(registry: &Registry) -> Result<IntCounterVec, prometheus::Error> {
    let opts = Opts::new(
        "sidegate_proxy_header_failures_total",
        "Connections that a listener with `proxy_protocol` closed without a valid PROXY header: `untrusted_peer` (not in `trusted_proxies`), `missing`, `malformed`, `closed` or `timeout`.",
    );
    register(registry, IntCounterVec::new(opts, &["listener", "reason"])?)
}
