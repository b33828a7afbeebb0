//! Reads a head within its limits, and the body behind it as its framing says. Bytes that a strict
//! reader rejects never reach pingora.

use std::io;
use std::pin::Pin;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncRead, ReadBuf};
use tokio::time::{Instant, sleep_until};

use super::StrictStream;
use super::chunk_validator::{ChunkValidator, Malformed};
use super::phase::Phase;

impl StrictStream {
    /// Reads on, as the phase of the connection asks for.
    pub(super) fn poll_read_strictly(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let phase = self.phase.get();
        if phase == Phase::BeforeHead && !self.head.is_empty() {
            self.forget_last_head();
        }
        match phase.is_head() {
            true => self.poll_read_head(cx, buf),
            false => self.poll_read_body(cx, buf),
        }
    }

    fn forget_last_head(&mut self) {
        self.head.restart();
        self.chunks = None;
        self.deadline = None;
        self.reused = true;
    }

    fn poll_read_head(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let room = self.limits.head_bytes.saturating_sub(self.head.len());
        if room == 0 || buf.remaining() == 0 {
            return self.poll_reject(431, cx).map(Ok);
        }
        let before = buf.filled().len();
        let result = self.poll_read_at_most(room, cx, buf);
        let read = buf.filled().get(before..).unwrap_or_default();
        if result.is_ready() && !read.is_empty() {
            let accepted = self.scan_head(read);
            if self.head.is_malformed() {
                buf.set_filled(before);
                return self.poll_reject(400, cx).map(Ok);
            }
            buf.set_filled(before + accepted);
        }
        // pingora bounds the wait for the first byte of a further head.
        let is_bounded_here = !self.head.is_empty() || !self.reused;
        if result.is_pending() && is_bounded_here {
            ready!(self.poll_head_deadline(cx));
            return self.poll_reject(408, cx).map(Ok);
        }
        result
    }

    /// Scans bytes of a head, and of a body behind it. Returns how many of them pingora may read.
    fn scan_head(&mut self, bytes: &[u8]) -> usize {
        self.phase.enter(Phase::Head);
        let Some(end) = self.head.read(bytes) else {
            return bytes.len();
        };
        self.chunks = self.head.has_coding().then(ChunkValidator::new);
        let after_head = bytes.get(end..).unwrap_or_default();
        if self.validate_chunks(after_head) == Err(Malformed) {
            return end;
        }
        self.bytes_after_head = Bytes::copy_from_slice(after_head);
        bytes.len()
    }

    fn poll_read_body(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(self.poll_read_inner(cx, buf))?;
        let read = buf.filled().get(before..).unwrap_or_default();
        if self.validate_chunks(read) == Err(Malformed) {
            buf.set_filled(before);
            return Poll::Ready(Err(io::ErrorKind::InvalidData.into()));
        }
        Poll::Ready(Ok(()))
    }

    fn validate_chunks(&mut self, bytes: &[u8]) -> Result<(), Malformed> {
        let result = self.chunks.as_mut().map_or(Ok(()), |chunks| chunks.read(bytes));
        *self.malformed_body.get_mut() |= result.is_err();
        result
    }

    /// Reads no further than the limit of the head, so that it does not count a body behind a short head.
    fn poll_read_at_most(&mut self, room: usize, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if buf.remaining() <= room {
            // Not through a part of the buffer, which would have to be filled with zeros first.
            return self.poll_read_inner(cx, buf);
        }
        let mut part = ReadBuf::new(buf.initialize_unfilled_to(room));
        ready!(self.poll_read_inner(cx, &mut part))?;
        let read = part.filled().len();
        buf.advance(read);
        Poll::Ready(Ok(()))
    }

    /// Reads the bytes that were peeked, and then those of the transport.
    fn poll_read_inner(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.peeked.is_empty() {
            let before = buf.filled().len();
            let result = Pin::new(&mut self.inner).poll_read(cx, buf);
            if buf.filled().len() > before {
                self.begun.store(true, Ordering::Release);
            }
            return result;
        }
        let length = self.peeked.len().min(buf.remaining());
        buf.put_slice(self.peeked.get(..length).unwrap_or_default());
        self.peeked.advance(length);
        if self.peeked.is_empty() {
            // Frees its memory, which would otherwise stay until the connection ends.
            self.peeked = BytesMut::new();
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
