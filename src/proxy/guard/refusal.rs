//! Answers in place of the engine, and what is still read after an answer that ended its connection.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Buf;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::sleep;

use super::super::facts::peer_of;
use super::Guard;

/// How long, and for how many bytes, a connection is read after an answer that ended it.
const LINGER_TIME: Duration = Duration::from_secs(1);
const LINGER_BYTES: usize = 1024 * 1024;

impl Guard {
    /// Writes our own answer; after it the connection is at its end both ways.
    pub(super) fn poll_refuse(&mut self, status: u16, cx: &mut Context<'_>) -> Poll<()> {
        let (refuse, head, inner) = (&self.refuse, &self.head, &self.inner);
        let answer = self
            .answer
            .get_or_insert_with(|| refuse(status, head.kept(), peer_of(inner)));
        while answer.has_remaining() {
            match ready!(Pin::new(&mut self.inner).poll_write(cx, answer)) {
                Ok(written) if written > 0 => answer.advance(written),
                _ => break,
            }
        }
        if self.lingering.is_none() {
            let _ = ready!(Pin::new(&mut self.inner).poll_shutdown(cx));
        }
        ready!(self.poll_linger(cx));
        self.closed = true;
        Poll::Ready(())
    }

    /// RFC 9112, 9.6: closing with bytes unread would reset the connection, and the client might
    /// lose the answer. So they are read for a while.
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

/// The status of an answer that the engine writes while no application owns the request.
pub(super) fn engine_refusal(buf: &[u8]) -> Option<u16> {
    let status = buf
        .strip_prefix(b"HTTP/1.1 ")
        .or_else(|| buf.strip_prefix(b"HTTP/1.0 "))?
        .get(..3)?;
    let status = std::str::from_utf8(status).ok()?.parse().ok()?;
    (400..500).contains(&status).then_some(status)
}
