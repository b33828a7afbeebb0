//! Answers in place of the engine, and what is still read after an answer that ended its connection.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::sleep;

use super::super::facts::peer_of;
use super::StrictStream;

/// How long, and for how many bytes, a connection is read after an answer that ended it.
const LINGER_TIME: Duration = Duration::from_secs(1);
const LINGER_BYTES: usize = 1024 * 1024;

impl StrictStream {
    /// Writes our own answer; after it the connection is at its end both ways.
    pub(super) fn poll_refuse(&mut self, status: u16, cx: &mut Context<'_>) -> Poll<()> {
        let mut answer = match self.answer.take() {
            Some(answer) => answer,
            None => (self.refuse)(status, self.head.kept(), peer_of(&self.inner)),
        };
        let written = self.poll_answer(&mut answer, cx);
        self.answer = Some(answer);
        if ready!(written).is_ok() {
            ready!(self.poll_linger(cx));
        }
        self.closed = true;
        Poll::Ready(())
    }

    /// Writes what is left of an answer, and says that nothing follows.
    fn poll_answer(&mut self, answer: &mut Bytes, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while answer.has_remaining() {
            match ready!(self.poll_write_inner(cx, |inner, cx| inner.poll_write(cx, answer)))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                written => answer.advance(written),
            }
        }
        match self.lingering {
            Some(_) => Poll::Ready(Ok(())),
            None => self.poll_shutdown_inner(cx),
        }
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
