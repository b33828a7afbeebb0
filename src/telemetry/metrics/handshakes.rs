//! TLS handshakes of clients that fail.

use prometheus::{IntCounterVec, Opts};

use super::registry::{Registry, register};

/// Why a TLS handshake of a client failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HandshakeFailure {
    /// The client sent something that is not TLS, such as a request in clear text.
    NotTls,
    /// Client and listener have no version, cipher suite or protocol in common.
    Incompatible,
    /// The client certificate did not verify.
    ClientCertificate,
    /// The client ended the handshake with an alert: it does not trust the certificate of the listener.
    Alert,
    /// The client broke the protocol.
    Protocol,
    /// The connection ended before the handshake did.
    Closed,
    /// The handshake took too long.
    Timeout,
    /// Another reason.
    Other,
}

impl HandshakeFailure {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::NotTls,
        Self::Incompatible,
        Self::ClientCertificate,
        Self::Alert,
        Self::Protocol,
        Self::Closed,
        Self::Timeout,
        Self::Other,
    ];

    /// Returns the value of the label, and of the field in the log.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NotTls => "not_tls",
            Self::Incompatible => "incompatible",
            Self::ClientCertificate => "client_certificate",
            Self::Alert => "alert",
            Self::Protocol => "protocol",
            Self::Closed => "closed",
            Self::Timeout => "timeout",
            Self::Other => "other",
        }
    }
}

/// Registers the counter.
pub(super) fn failures(registry: &Registry) -> Result<IntCounterVec, prometheus::Error> {
    let opts = Opts::new(
        "sidegate_tls_handshake_failures_total",
        "TLS handshakes of clients that failed: `not_tls`, `incompatible` (version, cipher suite or protocol), `client_certificate`, `alert` (the client does not trust the certificate of the listener), `protocol`, `closed`, `timeout` or `other`.",
    );
    register(registry, IntCounterVec::new(opts, &["listener", "reason"])?)
}
