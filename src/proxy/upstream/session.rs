//! A session with an upstream: writes one request and reads its response, each within the upstream's timeout.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use pingora::http::RequestHeader;
use pingora::protocols::l4::socket::SocketAddr;
use pingora::{Error, Result};

use super::connection::PooledConnection;
use super::pool::UpstreamPool;

mod event;
mod http1;

pub(in crate::proxy) use event::UpstreamEvent;
use http1::Http1Session;

/// One request on a connection to an upstream. Errors have the upstream as their source.
pub(in crate::proxy) struct UpstreamSession {
    http1: Http1Session,
    pool: Arc<UpstreamPool>,
    address: SocketAddr,
    timeout: Duration,
}

impl UpstreamSession {
    /// Begins a session over an HTTP/1.1 connection.
    pub(super) fn http1(pool: &Arc<UpstreamPool>, address: &SocketAddr, connection: PooledConnection) -> Self {
        Self {
            http1: Http1Session::new(connection),
            pool: Arc::clone(pool),
            address: address.clone(),
            timeout: pool.timeout(),
        }
    }

    /// Returns whether the session is a stream of an HTTP/2 connection.
    pub(in crate::proxy) const fn is_http2(&self) -> bool {
        false
    }

    /// Limits how long the upstream may be silent, in place of the limit of its policy.
    pub(in crate::proxy) const fn set_timeout(&mut self, timeout: Duration) {
        self.timeout = timeout;
    }

    /// Writes the head of a request. `ends` if it has no body.
    pub(in crate::proxy) async fn write_head(&mut self, head: Box<RequestHeader>, _ends: bool) -> Result<()> {
        self.http1.write_head(head, self.timeout).await.map_err(Error::into_up)
    }

    /// Writes a part of the request's body, and its end. After a 101, it writes bytes as they are.
    pub(in crate::proxy) async fn write(&mut self, part: Option<Bytes>, ends: bool) -> Result<()> {
        self.http1.write(part, ends, self.timeout).await.map_err(Error::into_up)
    }

    /// Returns whether a part of the body waits until the upstream takes it. Then no other part may be written.
    pub(in crate::proxy) const fn is_blocked(&self) -> bool {
        false
    }

    /// Reads the next part of the response. Cancel safe. The timeout applies if `is_timed`: before the upstream has
    /// the whole request, it may be waiting for the client.
    pub(in crate::proxy) async fn next(&mut self, is_timed: bool) -> Result<UpstreamEvent> {
        let limit = is_timed.then_some(self.timeout);
        self.http1.next(limit).await.map_err(Error::into_up)
    }

    /// Returns whether the upstream said that it did not process the request.
    pub(in crate::proxy) fn is_unprocessed(_: &Error) -> bool {
        false
    }

    /// Puts the connection back into the pool if it is reusable. The response arrived at `since`.
    pub(in crate::proxy) fn release(self, since: Instant) {
        if let Some(connection) = self.http1.into_connection() {
            self.pool.put(self.address, connection, since);
        }
    }
}
