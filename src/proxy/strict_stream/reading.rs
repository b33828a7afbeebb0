//! Reads a head within its limits, and the body behind it as its framing says. Bytes that a strict
//! reader rejects never reach pingora, and neither do those behind the end of a request: they are held
//! until the next head is expected.

use std::io;
use std::pin::Pin;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, ready};

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, ReadBuf};
use tokio::time::{Instant, sleep_until};

use super::keep_alive::HELD_BYTES;
use super::phase::Phase;
use super::request_end::Remainder;
use super::{HeadFault, StrictStream};

impl StrictStream {
    /// Reads on, as the phase of the connection asks for.
    pub(super) fn poll_read_strictly(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.phase.get() {
            Phase::BeforeHead if !self.head.is_empty() => {
                self.forget_last_request();
                self.poll_read_head(cx, buf)
            }
            Phase::BeforeHead | Phase::Head => self.poll_read_head(cx, buf),
            Phase::Body => self.poll_read_body(cx, buf),
            Phase::Http2 | Phase::Upgraded => self.poll_read_part(usize::MAX, cx, buf, |_, bytes| bytes.len()),
        }
    }

    fn forget_last_request(&mut self) {
        self.head.restart();
        self.remainder = Remainder::Head;
        self.deadline = None;
        self.reused = true;
    }

    fn poll_read_head(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if !matches!(self.remainder, Remainder::Head) {
            // pingora found no end where the head ends.
            let fault = HeadFault::Malformed("the end of the head is ambiguous");
            return self.poll_reject(fault, cx).map(Ok);
        }
        let room = self.limits.head_bytes.saturating_sub(self.head.len());
        if room == 0 || buf.remaining() == 0 {
            return self.poll_reject(HeadFault::TooLong, cx).map(Ok);
        }
        let before = buf.filled().len();
        let result = self.poll_read_part(room, cx, buf, Self::scan_head);
        if let Some(cause) = self.head.malformed() {
            buf.set_filled(before);
            return self.poll_reject(HeadFault::Malformed(cause), cx).map(Ok);
        }
        // pingora bounds the wait for the first byte of a further head.
        let is_bounded_here = !self.head.is_empty() || !self.reused;
        if result.is_pending() && is_bounded_here {
            ready!(self.poll_head_deadline(cx));
            return self.poll_reject(HeadFault::TooSlow, cx).map(Ok);
        }
        result
    }

    /// Scans bytes of a head. Returns how many of them belong to it.
    fn scan_head(&mut self, bytes: &[u8]) -> usize {
        if bytes.is_empty() {
            return 0;
        }
        self.phase.enter(Phase::Head);
        let Some(end) = self.head.read(bytes) else {
            return bytes.len();
        };
        self.remainder = Remainder::behind(&self.head);
        end
    }

    fn poll_read_body(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.remainder.is_nothing() {
            return self.poll_hold(cx);
        }
        if !self.has_malformed_body() {
            let take = |stream: &mut Self, bytes: &[u8]| stream.remainder.take(bytes);
            ready!(self.poll_read_part(self.remainder.limit(), cx, buf, take))?;
        }
        match self.has_malformed_body() {
            true => Poll::Ready(Err(io::ErrorKind::InvalidData.into())),
            false => Poll::Ready(Ok(())),
        }
    }

    /// Waits until the client resets the connection, and holds what it sends meanwhile, as far as there is room.
    fn poll_hold(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // A client that closes its sending half still reads the response.
        while self.peeked.len() < HELD_BYTES && ready!(self.poll_peek(cx))? > 0 {}
        Poll::Pending
    }

    /// Reads at most `limit` bytes: held ones, or else those of the transport. Gives the session as many of
    /// them as `accept` returns, and holds the others.
    fn poll_read_part(
        &mut self,
        limit: usize,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
        accept: impl FnOnce(&mut Self, &[u8]) -> usize,
    ) -> Poll<io::Result<()>> {
        if !self.peeked.is_empty() {
            let mut held = std::mem::take(&mut self.peeked);
            let length = held.len().min(limit).min(buf.remaining());
            let part = held.get(..length).unwrap_or_default();
            let accepted = accept(self, part);
            buf.put_slice(part.get(..accepted).unwrap_or_default());
            held.advance(accepted);
            if !held.is_empty() {
                // Else its memory is freed, which would stay until the connection ends.
                self.peeked = held;
            }
            return Poll::Ready(Ok(()));
        }
        let before = buf.filled().len();
        ready!(self.poll_read_at_most(limit, cx, buf))?;
        let read = buf.filled().get(before..).unwrap_or_default();
        let accepted = accept(self, read);
        if accepted < read.len() {
            self.peeked = BytesMut::from(read.get(accepted..).unwrap_or_default());
            buf.set_filled(before + accepted);
        }
        Poll::Ready(Ok(()))
    }

    /// Reads the transport, no further than a limit: what is beyond does not count towards it.
    fn poll_read_at_most(&mut self, limit: usize, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        if buf.remaining() <= limit {
            // Not through a part of the buffer, which would have to be filled with zeros first.
            ready!(Pin::new(&mut self.inner).poll_read(cx, buf))?;
        } else {
            let mut part = ReadBuf::new(buf.initialize_unfilled_to(limit));
            ready!(Pin::new(&mut self.inner).poll_read(cx, &mut part))?;
            let read = part.filled().len();
            buf.advance(read);
        }
        if buf.filled().len() > before {
            self.begun.store(true, Ordering::Release);
        }
        Poll::Ready(Ok(()))
    }

    fn poll_head_deadline(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let time = self.limits.head_time;
        let deadline = self
            .deadline
            .get_or_insert_with(|| Box::pin(sleep_until(Instant::now() + time)));
        deadline.as_mut().poll(cx)
    }
}
