//! Writes Sidegate's response in place of pingora's, and reads on for a while after a response that
//! ends its connection.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::sleep;

use super::super::peer::peer_of;
use super::StrictStream;

/// How long a connection is read after a response that ends it.
const LINGER_TIME: Duration = Duration::from_secs(1);

/// How many bytes are read then.
const LINGER_BYTES: usize = 1024 * 1024;

impl StrictStream {
    /// Writes Sidegate's own response and closes the connection both ways.
    pub(super) fn poll_reject(&mut self, status: u16, cx: &mut Context<'_>) -> Poll<()> {
        let mut response = match self.rejection.take() {
            Some(unwritten) => unwritten,
            None => (self.write_rejection)(status, self.head.kept(), peer_of(&self.inner)),
        };
        let written = self.poll_write_rejection(&mut response, cx);
        self.rejection = Some(response);
        if ready!(written).is_ok() {
            ready!(self.poll_linger(cx));
        }
        self.closed = true;
        Poll::Ready(())
    }

    /// Writes the rest of a response, and closes the connection for writing.
    fn poll_write_rejection(&mut self, response: &mut Bytes, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while response.has_remaining() {
            match ready!(self.poll_write_inner(cx, |inner, cx| inner.poll_write(cx, response)))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                written => response.advance(written),
            }
        }
        match self.lingering {
            Some(_) => Poll::Ready(Ok(())),
            None => self.poll_shutdown_inner(cx),
        }
    }

    /// Reads and drops what the client still sends, for a while (RFC 9112, 9.6): closing with unread
    /// bytes resets the connection, and the client might lose the response.
    pub(super) fn poll_linger(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let (left, deadline) = self
            .lingering
            .get_or_insert_with(|| (LINGER_BYTES, Box::pin(sleep(LINGER_TIME))));
        let mut scratch = [0; 4096];
        while *left > 0 && deadline.as_mut().poll(cx).is_pending() {
            let mut buf = ReadBuf::new(&mut scratch);
            match ready!(Pin::new(&mut self.inner).poll_read(cx, &mut buf)) {
                Ok(()) if !buf.filled().is_empty() => *left = left.saturating_sub(buf.filled().len()),
                _ => break,
            }
        }
        Poll::Ready(())
    }
}
