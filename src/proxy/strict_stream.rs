//! Stands between the transport and the HTTP engine, and gives what the engine lacks: a bound on
//! the head of a request in bytes and in total time, a look for the HTTP/2 preface that cannot
//! hang, heads and chunks that only a strict reader would take, our own body in place of the
//! engine's empty 400, and a deadline for every byte that a client is sent.

use std::fmt;
use std::future::poll_fn;
use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use async_trait::async_trait;
use bytes::{Buf, Bytes, BytesMut};
use pingora::protocols::{Peek, Shutdown, Stream};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

mod chunk_validator;
mod head_scanner;
mod keep_alive;
mod linger;
mod transport;
mod write_deadline;

use chunk_validator::{ChunkValidator, Malformed};
use head_scanner::HeadScanner;
use linger::engine_refusal;
use write_deadline::WriteDeadline;

use super::body_rate::BodyRateLimits;
use super::deadline::ReusableTimer;

/// RFC 9113, 3.4.
pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// The most lines that the engine reads of a head.
const ENGINE_LINES: usize = 256;

/// The first bytes of a connection, or a new head after a request was answered.
const EXPECTING: u8 = 0;
/// Some bytes of a head have come.
const HEAD: u8 = 1;
/// The head is complete: bytes are the application's business.
const APPLICATION: u8 = 2;
/// HTTP/2 frames.
const FRAMES: u8 = 3;

/// What a connection may cost.
#[derive(Debug, Clone, Copy)]
pub struct StreamLimits {
    /// The bytes of a head.
    pub head_bytes: usize,
    /// From the first byte of a head to its last; also from a connection's start to its first byte.
    pub head_time: Duration,
    /// How slowly a client may read what it is sent.
    pub reading: BodyRateLimits,
}

/// How far clients have come, for whoever wants to end.
#[derive(Debug, Clone, Default)]
pub struct ReadProgress {
    /// The heads, on all connections, that have begun to come and are not complete.
    pub heads: Arc<AtomicUsize>,
    /// Whether anything came on this connection.
    pub begun: Arc<AtomicBool>,
}

/// Writes the response to a head that could not be read: its status as the engine sees it, the first
/// bytes that came, and the address of the client.
pub type RejectionWriter = Arc<dyn Fn(u16, &[u8], Option<IpAddr>) -> Bytes + Send + Sync>;

/// A guarded transport.
pub struct StrictStream {
    inner: Stream,
    /// Bytes that were read while nobody served the connection.
    peeked: BytesMut,
    phase: AtomicU8,
    /// Whether a request has been served already: then the engine bounds the wait.
    reused: bool,
    head: HeadScanner,
    /// What came with the end of the head and lies behind it.
    bytes_after_head: Bytes,
    /// The body behind the head, if it comes in chunks.
    chunks: Option<ChunkValidator>,
    malformed_body: AtomicBool,
    deadline: Option<Pin<Box<Sleep>>>,
    /// Ends the wait for a next request.
    idle: ReusableTimer,
    /// Ends the wait for a client that does not read.
    write_deadline: WriteDeadline,
    limits: StreamLimits,
    refuse: RejectionWriter,
    progress: ReadProgress,
    answer: Option<Bytes>,
    /// Whether bytes are known to be on their way that nobody wants.
    lingers: AtomicBool,
    /// How many bytes are read after the answer, and until when.
    lingering: Option<(usize, Pin<Box<Sleep>>)>,
    closed: bool,
}

impl fmt::Debug for StrictStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StrictStream")
            .field("inner", &self.inner)
            .finish_non_exhaustive()
    }
}

impl StrictStream {
    /// Guards a transport.
    pub fn new(inner: Stream, limits: StreamLimits, refuse: RejectionWriter, progress: ReadProgress) -> Self {
        Self {
            inner,
            peeked: BytesMut::new(),
            phase: AtomicU8::new(EXPECTING),
            reused: false,
            head: HeadScanner::default(),
            bytes_after_head: Bytes::new(),
            chunks: None,
            malformed_body: AtomicBool::new(false),
            deadline: None,
            idle: ReusableTimer::default(),
            write_deadline: WriteDeadline::default(),
            limits,
            refuse,
            progress,
            answer: None,
            lingers: AtomicBool::new(false),
            lingering: None,
            closed: false,
        }
    }

    /// The guard of a stream, if it has one.
    pub fn of(stream: &Stream) -> Option<&Self> {
        (**stream).as_any().downcast_ref()
    }

    /// The head is complete.
    pub fn head_is_read(&self) {
        self.leave_for(APPLICATION);
    }

    /// Gives away what came with the end of the head and lies behind it.
    pub fn take_bytes_after_head(&mut self) -> Bytes {
        std::mem::take(&mut self.bytes_after_head)
    }

    /// Whether the body was read up to where it is none.
    pub fn has_malformed_body(&self) -> bool {
        self.malformed_body.load(Ordering::Relaxed)
    }

    /// The answer is given before the body is read; the connection ends with it.
    pub fn linger(&self) {
        self.lingers.store(true, Ordering::Relaxed);
    }

    /// The next byte belongs to a new head.
    pub fn expect_head(&self) {
        self.leave_for(EXPECTING);
    }

    fn leave_for(&self, phase: u8) {
        let before = self.phase.load(Ordering::Relaxed);
        if before != FRAMES {
            self.phase.store(phase, Ordering::Relaxed);
        }
        if before == HEAD {
            self.progress.heads.fetch_sub(1, Ordering::Release);
        }
    }

    fn is_reading_head(&mut self) -> bool {
        let phase = self.phase.get_mut();
        if *phase == EXPECTING && !self.head.is_empty() {
            self.head.restart();
            self.chunks = None;
            self.deadline = None;
            self.reused = true;
        }
        matches!(*phase, EXPECTING | HEAD)
    }

    /// Takes note of bytes of a head, and of a body behind it. Returns how many may go on.
    fn read_head(&mut self, bytes: &[u8]) -> usize {
        if std::mem::replace(self.phase.get_mut(), HEAD) != HEAD {
            self.progress.heads.fetch_add(1, Ordering::Acquire);
        }
        let Some(end) = self.head.read(bytes) else {
            return bytes.len();
        };
        self.chunks = self.head.has_coding().then(ChunkValidator::new);
        let behind = bytes.get(end..).unwrap_or_default();
        if self.read_chunks(behind) == Err(Malformed) {
            return end;
        }
        self.bytes_after_head = Bytes::copy_from_slice(behind);
        bytes.len()
    }

    fn read_chunks(&mut self, bytes: &[u8]) -> Result<(), Malformed> {
        let result = self.chunks.as_mut().map_or(Ok(()), |chunks| chunks.read(bytes));
        *self.malformed_body.get_mut() |= result.is_err();
        result
    }

    fn poll_read_head(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let room = self.limits.head_bytes.saturating_sub(self.head.len());
        if room == 0 || buf.remaining() == 0 {
            return self.poll_refuse(431, cx).map(Ok);
        }
        let before = buf.filled().len();
        let result = self.poll_read_at_most(room, cx, buf);
        let read = buf.filled().get(before..).unwrap_or_default();
        if let Poll::Ready(Ok(())) = &result
            && !read.is_empty()
        {
            let length = self.read_head(read);
            if self.head.is_malformed() {
                buf.set_filled(before);
                return self.poll_refuse(400, cx).map(Ok);
            }
            buf.set_filled(before + length);
        }
        match result {
            Poll::Pending if !self.head.is_empty() || !self.reused => {
                ready!(self.poll_deadline(cx));
                self.poll_refuse(408, cx).map(Ok)
            }
            other => other,
        }
    }

    /// Reads no further than the limit, so that a body behind a short head is not counted.
    fn poll_read_at_most(&mut self, room: usize, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if buf.remaining() <= room {
            // Not in part, which would have to be filled with zeros first.
            return self.poll_read_inner(cx, buf);
        }
        let mut part = ReadBuf::new(buf.initialize_unfilled_to(room));
        ready!(self.poll_read_inner(cx, &mut part))?;
        let read = part.filled().len();
        buf.advance(read);
        Poll::Ready(Ok(()))
    }

    fn poll_read_body(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(self.poll_read_inner(cx, buf))?;
        if self
            .read_chunks(buf.filled().get(before..).unwrap_or_default())
            .is_err()
        {
            buf.set_filled(before);
            return Poll::Ready(Err(io::ErrorKind::InvalidData.into()));
        }
        Poll::Ready(Ok(()))
    }

    fn poll_read_inner(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.peeked.is_empty() {
            let before = buf.filled().len();
            let result = Pin::new(&mut self.inner).poll_read(cx, buf);
            if buf.filled().len() > before {
                self.progress.begun.store(true, Ordering::Release);
            }
            return result;
        }
        let length = self.peeked.len().min(buf.remaining());
        buf.put_slice(self.peeked.get(..length).unwrap_or_default());
        self.peeked.advance(length);
        if self.peeked.is_empty() {
            // Not kept for as long as the connection is.
            self.peeked = BytesMut::new();
        }
        Poll::Ready(Ok(()))
    }

    fn poll_deadline(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let time = self.limits.head_time;
        let deadline = self
            .deadline
            .get_or_insert_with(|| Box::pin(sleep_until(Instant::now() + time)));
        deadline.as_mut().poll(cx)
    }
}

impl Drop for StrictStream {
    fn drop(&mut self) {
        if *self.phase.get_mut() == HEAD {
            self.progress.heads.fetch_sub(1, Ordering::Release);
        }
    }
}

impl AsyncRead for StrictStream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let guard = &mut *self;
        if guard.closed {
            return Poll::Ready(Ok(()));
        }
        if guard.answer.is_some() {
            return guard.poll_refuse(408, cx).map(Ok);
        }
        if *guard.malformed_body.get_mut() {
            return Poll::Ready(Err(io::ErrorKind::InvalidData.into()));
        }
        match guard.is_reading_head() {
            true => guard.poll_read_head(cx, buf),
            false => guard.poll_read_body(cx, buf),
        }
    }
}

impl AsyncWrite for StrictStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let guard = &mut *self;
        if guard.closed {
            return Poll::Ready(Ok(buf.len()));
        }
        let reading = matches!(*guard.phase.get_mut(), EXPECTING | HEAD);
        if let Some(status) = engine_refusal(buf).filter(|_| reading) {
            let status = if status == 400 && guard.head.lines() > ENGINE_LINES {
                431
            } else {
                status
            };
            return guard.poll_refuse(status, cx).map(|()| Ok(buf.len()));
        }
        guard.poll_write_inner(cx, |inner, cx| inner.poll_write(cx, buf))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flush = self.poll_write_inner(cx, |inner, cx| inner.poll_flush(cx).map_ok(|()| 0));
        flush.map_ok(|_| ())
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_shutdown_inner(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if matches!(*self.phase.get_mut(), APPLICATION | FRAMES) && !self.closed {
            return self.poll_write_inner(cx, |inner, cx| inner.poll_write_vectored(cx, bufs));
        }
        let first = bufs.iter().find(|buf| !buf.is_empty());
        self.poll_write(cx, first.map_or(&[], |buf| buf))
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }
}

#[async_trait]
impl Peek for StrictStream {
    async fn try_peek(&mut self, buf: &mut [u8]) -> io::Result<bool> {
        if self.begins_with_preface().await? {
            *self.phase.get_mut() = FRAMES;
        }
        buf.fill(0);
        for (to, from) in buf.iter_mut().zip(&self.peeked) {
            *to = *from;
        }
        Ok(true)
    }
}

#[async_trait]
impl Shutdown for StrictStream {
    async fn shutdown(&mut self) {
        let shutdown = poll_fn(|cx| self.poll_shutdown_inner(cx)).await;
        if shutdown.is_ok() && *self.lingers.get_mut() && !self.closed {
            poll_fn(|cx| self.poll_linger(cx)).await;
        }
    }
}

#[cfg(test)]
mod tests;
