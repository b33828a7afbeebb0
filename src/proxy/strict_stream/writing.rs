//! Writes to the client within the write deadline. Every byte to a client passes here.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use pingora::protocols::Stream;
use pingora::protocols::l4::ext::get_tcp_info;
use tokio::io::AsyncWrite as _;

use super::StrictStream;

impl StrictStream {
    /// Writes to the client in some way.
    pub(super) fn poll_write_inner(
        &mut self,
        cx: &mut Context<'_>,
        write: impl FnOnce(Pin<&mut Stream>, &mut Context<'_>) -> Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        if self.write_deadline.has_expired() {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        let written = write(Pin::new(&mut self.inner), cx);
        self.has_unsent |= matches!(written, Poll::Ready(Ok(1..)));
        let inner = &self.inner;
        // Only TCP counts what the client acknowledges; elsewhere, written bytes alone count.
        let acknowledged = || get_tcp_info(inner.id()).map_or(0, |info| info.tcpi_bytes_acked);
        self.write_deadline
            .bound(written, self.limits.reading, acknowledged, cx)
    }

    /// Sends the bytes that are still in a buffer.
    pub(super) fn poll_flush_inner(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_write_inner(cx, |inner, cx| inner.poll_flush(cx).map_ok(|()| 0)))?;
        self.has_unsent = false;
        Poll::Ready(Ok(()))
    }

    /// Sends the bytes that are still in a buffer, because the session waits: the next part of a response may come
    /// late. An error comes back with the next write. A flush of nothing pays no debt of the client.
    pub(super) fn poll_flush_unsent(&mut self, cx: &mut Context<'_>) {
        if !self.has_unsent || self.write_deadline.has_expired() {
            return;
        }
        match Pin::new(&mut self.inner).poll_flush(cx) {
            Poll::Ready(_) => self.has_unsent = false,
            Poll::Pending => drop(self.poll_write_inner(cx, |_, _| Poll::Pending)),
        }
    }

    /// Writes what is left, and closes the connection for writing.
    pub(super) fn poll_shutdown_inner(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let shutdown = self.poll_write_inner(cx, |inner, cx| inner.poll_shutdown(cx).map_ok(|()| 0));
        shutdown.map_ok(|_| ())
    }
}
