//! Counts TLS handshakes that fail, and logs a bounded number of them. A client chooses how many there are, so
//! neither takes a lock, and no label comes from a client.

use std::fmt;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use prometheus::IntCounter;

use crate::telemetry::metrics::{HandshakeFailure, Metrics};

/// The most lines of a listener in a period of [`PERIOD`]; the next period says how many were left out.
const MOST: u64 = 20;

/// The period in which lines are counted.
const PERIOD: Duration = Duration::from_secs(10);

/// The longest cause in a line, in characters.
const CAUSE: usize = 200;

/// The failed handshakes of one listener.
#[derive(Debug)]
pub(super) struct HandshakeFailures {
    listener: String,
    counters: [IntCounter; HandshakeFailure::ALL.len()],
    lines: Lines,
}

/// Limits the lines in each period.
#[derive(Debug)]
struct Lines {
    start: Instant,
    /// The number of the period in the upper half, and how many lines were asked for in it in the lower half.
    state: AtomicU64,
}

impl Lines {
    fn new() -> Self {
        Self {
            start: Instant::now(),
            state: AtomicU64::new(0),
        }
    }

    /// Asks for a line. Returns how many were left out since the last one, if the line is within the limit.
    fn ask(&self, now: Instant) -> Option<u64> {
        let period = now.duration_since(self.start).as_secs() / PERIOD.as_secs();
        let asked = |state: u64| state & u64::from(u32::MAX);
        let next = |state: u64| match state >> 32 == period {
            true => state.saturating_add(u64::from(asked(state) < u64::from(u32::MAX))),
            false => period << 32 | 1,
        };
        let before = self
            .state
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |state| Some(next(state)));
        let before = before.unwrap_or_default();
        match before >> 32 == period {
            true => (asked(before) < MOST).then_some(0),
            false => Some(asked(before).saturating_sub(MOST)),
        }
    }
}

impl HandshakeFailures {
    /// Starts the counters of a listener at zero.
    pub(super) fn new(listener: &str, metrics: &Metrics) -> Self {
        Self {
            listener: listener.to_owned(),
            counters: metrics.tls_handshake_failures(listener),
            lines: Lines::new(),
        }
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
        for (counter, known) in self.counters.iter().zip(HandshakeFailure::ALL) {
            if known == reason {
                counter.inc();
            }
        }
        if let Some(left_out) = self.lines.ask(Instant::now()) {
            tracing::info!(
                listener = self.listener,
                peer = peer.map(tracing::field::display),
                reason = reason.as_str(),
                cause,
                left_out = (left_out > 0).then_some(left_out),
                "a TLS handshake failed"
            );
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_a_period_are_limited_and_the_next_one_says_how_many_were_left_out() {
        let lines = Lines::new();
        let at = |seconds| lines.start + Duration::from_secs(seconds);
        let flood = |seconds| (0..1000).filter_map(|_| lines.ask(at(seconds))).collect::<Vec<_>>();
        assert_eq!(flood(0), vec![0; 20]);
        assert_eq!(flood(9), Vec::<u64>::new());
        assert_eq!(lines.ask(at(10)), Some(1980));
        assert_eq!(lines.ask(at(10)), Some(0));
        assert_eq!(lines.ask(at(35)), Some(0));
        assert_eq!(flood(39).len(), 19);
    }
}
