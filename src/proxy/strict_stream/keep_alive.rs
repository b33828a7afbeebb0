//! Waits for the first bytes of a connection and of each further request, so that an idle connection
//! needs no session.

use std::future::poll_fn;
use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncRead, ReadBuf};
use tokio::time::{Instant, timeout_at};

use super::{PREFACE, StrictStream};

/// The most bytes that one read takes, enough for most requests as a whole.
const CHUNK: usize = 16 * 1024;

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
                    poll_fn(|cx| self.poll_reject(408, cx)).await;
                    return Err(io::ErrorKind::TimedOut.into());
                }
            }
        }
    }

    /// Waits for the first bytes of the next request. Returns whether they arrived in time.
    pub async fn has_next_request(&mut self, within: Duration) -> bool {
        self.bytes_after_head = Bytes::new();
        if !self.peeked.is_empty() {
            return true;
        }
        let end = Instant::now() + within;
        poll_fn(|cx| match self.poll_peek(cx) {
            Poll::Ready(read) => Poll::Ready(matches!(read, Ok(1..))),
            Poll::Pending => self.idle.poll_until(end, cx).map(|()| false),
        })
        .await
    }

    fn poll_peek(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let mut chunk = [const { MaybeUninit::uninit() }; CHUNK];
        let mut buf = ReadBuf::uninit(&mut chunk);
        ready!(Pin::new(&mut self.inner).poll_read(cx, &mut buf))?;
        let read = buf.filled();
        if !read.is_empty() {
            self.begun.store(true, Ordering::Release);
            self.peeked.extend_from_slice(read);
        }
        Poll::Ready(Ok(read.len()))
    }
}
