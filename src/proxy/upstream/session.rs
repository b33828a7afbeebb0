//! A session with an upstream: writes one request and reads its response, each within the upstream's timeout.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use pingora::http::RequestHeader;
use pingora::protocols::l4::socket::SocketAddr;
use pingora::{Error, Result};

use super::connection::PooledConnection;
use super::http2::StreamSlot;
use super::pool::UpstreamPool;

mod event;
mod http1;
mod http2;

pub(in crate::proxy) use event::UpstreamEvent;
use http1::{Http1Session, Reuse};
use http2::Http2Session;

/// One request on a connection to an upstream. Errors have the upstream as their source.
pub(in crate::proxy) struct UpstreamSession {
    protocol: Protocol,
    address: SocketAddr,
    timeout: Duration,
    /// How long the upstream may be silent.
    silence: Duration,
}

#[expect(
    clippy::large_enum_variant,
    reason = "a box would cost each request over HTTP/1 an allocation"
)]
enum Protocol {
    Http1 {
        session: Http1Session,
        pool: Arc<UpstreamPool>,
    },
    Http2(Box<Http2Session>),
}

impl UpstreamSession {
    /// Begins a session over an HTTP/1.1 connection.
    pub(super) fn http1(pool: &Arc<UpstreamPool>, address: SocketAddr, connection: PooledConnection) -> Self {
        Self {
            address,
            timeout: pool.timeout(),
            silence: pool.timeout(),
            protocol: Protocol::Http1 {
                session: Http1Session::new(connection),
                pool: Arc::clone(pool),
            },
        }
    }

    /// Begins a session over a stream of an HTTP/2 connection.
    pub(super) fn http2(slot: StreamSlot, address: SocketAddr, is_tls: bool, timeout: Duration) -> Self {
        Self {
            address,
            timeout,
            silence: timeout,
            protocol: Protocol::Http2(Box::new(Http2Session::new(slot, is_tls))),
        }
    }

    /// Returns whether the session is a stream of an HTTP/2 connection.
    pub(in crate::proxy) const fn is_http2(&self) -> bool {
        matches!(self.protocol, Protocol::Http2(_))
    }

    /// Limits how long the upstream may be silent, and how long it may not read, in place of the limit of its policy.
    pub(in crate::proxy) const fn set_timeout(&mut self, timeout: Duration) {
        self.timeout = timeout;
        self.silence = timeout;
    }

    /// Returns the address of the connection.
    pub(in crate::proxy) const fn address(&self) -> &SocketAddr {
        &self.address
    }

    /// Limits how long the upstream may be silent, in place of the limit of its policy. That still limits how long it
    /// may not read.
    pub(in crate::proxy) const fn set_silence(&mut self, silence: Duration) {
        self.silence = silence;
    }

    /// Writes the head of a request. `ends` if it has no body. Over HTTP/2, `Host` becomes the authority.
    pub(in crate::proxy) async fn write_head(&mut self, head: Box<RequestHeader>, ends: bool) -> Result<()> {
        let written = match &mut self.protocol {
            Protocol::Http1 { session, .. } => session.write_head(head, self.timeout).await,
            Protocol::Http2(session) => session.write_head(head, ends),
        };
        written.map_err(Error::into_up)
    }

    /// Writes a part of the request's body, and its end. After a 101, it writes bytes as they are. Over HTTP/2, what
    /// the upstream has no room for waits, and `next` writes it.
    pub(in crate::proxy) async fn write(&mut self, part: Option<Bytes>, ends: bool) -> Result<()> {
        let written = match &mut self.protocol {
            Protocol::Http1 { session, .. } => session.write(part, ends, self.timeout).await,
            Protocol::Http2(session) => session.write(part, ends, self.timeout).await,
        };
        written.map_err(Error::into_up)
    }

    /// Returns whether a part of the body waits until the upstream takes it. Then no other part is to be written.
    pub(in crate::proxy) fn is_blocked(&self) -> bool {
        match &self.protocol {
            Protocol::Http1 { .. } => false,
            Protocol::Http2(session) => session.is_blocked(),
        }
    }

    /// Reads the next part of the response, whose heads are those of HTTP/1.1. Cancel safe. The timeout applies if
    /// `is_timed`: before the upstream has the whole request, it may be waiting for the client. It applies as well
    /// while a part of the body waits. After the end of the response, only such a part is written.
    pub(in crate::proxy) async fn next(&mut self, is_timed: bool) -> Result<UpstreamEvent> {
        let limit = match self.is_blocked() {
            true => self.timeout,
            false => self.silence,
        };
        let event = match &mut self.protocol {
            Protocol::Http1 { session, .. } => session.next(is_timed.then_some(limit)).await,
            Protocol::Http2(session) => session.next(is_timed, limit).await,
        };
        event.map_err(Error::into_up)
    }

    /// Returns whether the upstream said that it did not process the request, or never received it.
    pub(in crate::proxy) fn is_unprocessed(error: &Error) -> bool {
        http2::is_unprocessed(error)
    }

    /// Puts the connection back into the pool if it is reusable. The response arrived at `since`.
    pub(in crate::proxy) fn release(self, since: Instant) {
        let Protocol::Http1 { session, pool } = self.protocol else {
            return;
        };
        match session.into_reuse() {
            Reuse::AtOnce(connection) => pool.put(self.address, connection, since),
            Reuse::AfterRest(connection) => pool.put_to_rest(self.address, connection),
            Reuse::Never => {}
        }
    }
}
