//! The PROXY protocol (haproxy's `proxy-protocol.txt`): a load balancer that passes connections on says in front of each
//! one which client it comes from. Only the header is read, none of the bytes behind it.

use std::io;
use std::net::IpAddr;
use std::time::Duration;

use pingora::protocols::Stream;
use tokio::io::AsyncReadExt as _;
use tokio::time::timeout;

use super::failure_log::FailureLog;
use super::peer::{peer_of, set_peer, set_unnamed};
use crate::telemetry::metrics::{Metrics, ProxyHeaderFailure};

mod header;

use header::{Fault, Progress, Source};

/// Reads the header in front of each connection of one listener.
#[derive(Debug)]
pub(super) struct ProxyProtocol {
    within: Duration,
    failures: FailureLog,
}

/// Why a connection has no header.
enum Failure {
    Fault(Fault),
    /// The connection ended before the header did.
    Closed,
    /// The header took too long.
    Late,
}

impl ProxyProtocol {
    /// Starts the counters of a listener at zero. A header arrives within a time.
    pub(super) fn new(listener: &str, within: Duration, metrics: &Metrics) -> Self {
        let counters = metrics.proxy_header_failures(listener);
        let reasons = ProxyHeaderFailure::ALL.map(ProxyHeaderFailure::as_str);
        let message = "a connection without a valid PROXY header was closed";
        Self {
            within,
            failures: FailureLog::new(listener, message, reasons.into_iter().zip(counters)),
        }
    }

    /// Records a peer that may not send a header.
    pub(super) fn reject_peer(&self, peer: Option<IpAddr>) {
        let cause = "the peer is not in `trusted_proxies`";
        self.record(peer, ProxyHeaderFailure::UntrustedPeer, cause);
    }

    /// Reads the header of a connection. From then on, the address that it declares is that of the peer. Returns `None`
    /// for a connection that has to be closed.
    pub(super) async fn accept(&self, mut stream: Stream) -> Option<Stream> {
        let read = timeout(self.within, read(&mut stream)).await;
        match read.unwrap_or(Err(Failure::Late)) {
            Ok(Source::Declared(address)) => set_peer(&mut stream, address),
            Ok(Source::Undeclared) => set_unnamed(&mut stream),
            Err(failure) => {
                let (reason, cause) = described(&failure);
                self.record(peer_of(&stream), reason, cause);
                return None;
            }
        }
        Some(stream)
    }

    fn record(&self, peer: Option<IpAddr>, reason: ProxyHeaderFailure, cause: &str) {
        self.failures.record(peer, reason.as_str(), cause);
    }
}

/// Reads the header, and nothing behind it.
async fn read(stream: &mut Stream) -> Result<Source, Failure> {
    let closed = |_: io::Error| Failure::Closed;
    let mut header = Vec::new();
    loop {
        match header::parse(&header).map_err(Failure::Fault)? {
            Progress::Complete(source) => return Ok(source),
            Progress::Missing(bytes) => {
                let count = stream.take(bytes).read_buf(&mut header).await.map_err(closed)?;
                if count == 0 {
                    return Err(Failure::Closed);
                }
            }
        }
    }
}

const fn described(failure: &Failure) -> (ProxyHeaderFailure, &'static str) {
    match failure {
        Failure::Fault(Fault::Missing) => (
            ProxyHeaderFailure::Missing,
            "the connection begins with something else than a header",
        ),
        Failure::Fault(Fault::Malformed(cause)) => (ProxyHeaderFailure::Malformed, cause),
        Failure::Closed => (ProxyHeaderFailure::Closed, "the connection ended before the header did"),
        Failure::Late => (ProxyHeaderFailure::Timeout, "the header took too long"),
    }
}
