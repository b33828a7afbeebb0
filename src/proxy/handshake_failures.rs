//! TLS handshakes that fail, and why.

use std::fmt;
use std::net::IpAddr;

use super::failure_log::FailureLog;
use crate::telemetry::metrics::{HandshakeFailure, Metrics};

/// The longest cause in a line, in characters.
const CAUSE: usize = 200;

/// The failed handshakes of one listener.
#[derive(Debug)]
pub(super) struct HandshakeFailures(FailureLog);

impl HandshakeFailures {
    /// Starts the counters of a listener at zero.
    pub(super) fn new(listener: &str, metrics: &Metrics) -> Self {
        let counters = metrics.tls_handshake_failures(listener);
        let reasons = HandshakeFailure::ALL.map(HandshakeFailure::as_str);
        Self(FailureLog::new(
            listener,
            "a TLS handshake failed",
            reasons.into_iter().zip(counters),
        ))
    }

    /// Records a handshake that failed with an error, or that took too long.
    pub(super) fn record(&self, peer: Option<IpAddr>, error: Option<&dyn fmt::Display>) {
        let cause = error.map_or_else(
            || "the handshake took too long".to_owned(),
            |error| error.to_string().chars().take(CAUSE).collect(),
        );
        let reason = match error {
            Some(_) => reason(&cause),
            None => HandshakeFailure::Timeout,
        };
        self.0.record(peer, reason.as_str(), &cause);
    }
}

/// Classifies the cause of a failure. pingora keeps no more than the text of the error of rustls.
fn reason(cause: &str) -> HandshakeFailure {
    const WORDS: [(&str, HandshakeFailure); 13] = [
        ("invalid peer certificate", HandshakeFailure::ClientCertificate),
        ("peer sent no certificates", HandshakeFailure::ClientCertificate),
        (
            "invalid certificate revocation list",
            HandshakeFailure::ClientCertificate,
        ),
        ("received fatal alert", HandshakeFailure::Alert),
        ("peer is incompatible", HandshakeFailure::Incompatible),
        (
            "peer doesn't support any known protocol",
            HandshakeFailure::Incompatible,
        ),
        ("received corrupt message", HandshakeFailure::NotTls),
        ("peer sent excess record size", HandshakeFailure::NotTls),
        ("peer misbehaved", HandshakeFailure::Protocol),
        ("received unexpected", HandshakeFailure::Protocol),
        ("cannot decrypt peer's message", HandshakeFailure::Protocol),
        ("handshake eof", HandshakeFailure::Closed),
        ("os error", HandshakeFailure::Closed),
    ];
    let known = WORDS.iter().find(|(words, _)| cause.contains(words));
    known.map_or(HandshakeFailure::Other, |(_, reason)| *reason)
}
