//! Waits for the first bytes of a connection and of each further request, so that an idle connection
//! needs no session.

use std::future::poll_fn;
use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, ReadBuf};
use tokio::time::{Instant, timeout_at};

use super::{HeadFault, PREFACE, StrictStream};

/// The most bytes that are read before a session asks for them: enough for most requests as a whole.
pub(super) const HELD_BYTES: usize = 16 * 1024;

impl StrictStream {
    /// Returns whether the client begins with the preface of HTTP/2 (RFC 9113, 3.4). Reads as long as
    /// the bytes match, within the time for a head.
    pub async fn begins_with_preface(&mut self) -> io::Result<bool> {
        let deadline = Instant::now() + self.limits.head_time;
        loop {
            let length = self.peeked.len().min(PREFACE.len());
            if self.peeked.get(..length) != PREFACE.get(..length) {
                return Ok(false);
            }
            if length == PREFACE.len() {
                return Ok(true);
            }
            match timeout_at(deadline, poll_fn(|cx| self.poll_peek(cx))).await {
                Ok(Ok(0)) if self.peeked.is_empty() => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(Ok(0)) => return Ok(false),
                Ok(Ok(_)) => {}
                Ok(Err(error)) => return Err(error),
                Err(_) => {
                    poll_fn(|cx| self.poll_reject(HeadFault::TooSlow, cx)).await;
                    return Err(io::ErrorKind::TimedOut.into());
                }
            }
        }
    }

    /// Waits for the first bytes of the next request, which the client may have sent already. Returns whether
    /// they arrived in time, and the end of the current request is certain.
    pub async fn has_next_request(&mut self, within: Duration) -> bool {
        if !self.remainder.is_nothing() {
            return false;
        }
        let mut end = None;
        poll_fn(|cx| {
            while !self.has_held_request() {
                match self.poll_peek(cx) {
                    Poll::Ready(Ok(1..)) => {}
                    Poll::Ready(_) => return Poll::Ready(false),
                    Poll::Pending => {
                        let end = *end.get_or_insert_with(|| Instant::now() + within);
                        return self.idle.poll_until(end, cx).map(|()| false);
                    }
                }
            }
            Poll::Ready(true)
        })
        .await
    }

    /// Returns whether the start of a request is held, after the empty lines before it (RFC 9112, 2.2): some
    /// clients send one behind a body.
    pub fn has_held_request(&mut self) -> bool {
        while self.peeked.starts_with(b"\r\n") {
            self.peeked.advance(2);
        }
        if self.peeked.is_empty() {
            self.peeked = BytesMut::new();
        }
        !matches!(&*self.peeked, b"" | b"\r")
    }

    /// Reads what the client sent, and holds it. There has to be room.
    pub(super) fn poll_peek(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let mut chunk = [const { MaybeUninit::uninit() }; HELD_BYTES];
        let room = HELD_BYTES.saturating_sub(self.peeked.len());
        let mut buf = ReadBuf::uninit(chunk.get_mut(..room).unwrap_or_default());
        ready!(Pin::new(&mut self.inner).poll_read(cx, &mut buf))?;
        let read = buf.filled();
        if !read.is_empty() {
            self.begun.store(true, Ordering::Release);
            self.peeked.extend_from_slice(read);
        }
        Poll::Ready(Ok(read.len()))
    }
}
