//! The stream of a client connection, read strictly: it stands between the transport and pingora, and
//! gives what pingora lacks. It bounds the head of a request in bytes and in total time, finds the
//! HTTP/2 preface without hanging, rejects heads and chunks that only a lenient reader accepts,
//! writes Sidegate's own response in place of pingora's empty 400, and bounds every write to the client.

use std::fmt;
use std::future::poll_fn;
use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use pingora::protocols::{Peek, Shutdown, Stream};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

mod chunk_validator;
mod head_scanner;
mod keep_alive;
mod phase;
mod pingora_rejection;
mod reading;
mod rejecting;
mod request_end;
mod transport;
mod write_deadline;
mod writing;

use head_scanner::HeadScanner;
use phase::{CurrentPhase, Phase};
use pingora_rejection::pingora_rejection;
use request_end::Remainder;
use write_deadline::WriteDeadline;

use super::body_rate::BodyRateLimits;
use super::deadline::ReusableTimer;
use super::linger::Linger;

/// RFC 9113, 3.4.
pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// The most lines that pingora reads of a head.
const PINGORA_MAX_LINES: usize = 256;

/// Limits of a connection.
#[derive(Debug, Clone, Copy)]
pub struct StreamLimits {
    /// The bytes of a head.
    pub head_bytes: usize,
    /// From the first byte of a head to its last; also from a connection's start to its first byte.
    pub head_time: Duration,
    /// How slowly a client may read responses.
    pub reading: BodyRateLimits,
}

/// The progress of clients with their request heads, for a server that drains.
#[derive(Debug, Clone, Default)]
pub struct ReadProgress {
    /// The incomplete heads on all connections.
    pub heads: Arc<AtomicUsize>,
    /// Whether the client sent anything on this connection.
    pub begun: Arc<AtomicBool>,
}

/// Writes the response to a head that could not be read: why, the first bytes of the head, and the address of the
/// client.
pub type RejectionWriter = Arc<dyn Fn(HeadFault, &[u8], Option<IpAddr>) -> Bytes + Send + Sync>;

/// Why a head is rejected before it is a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HeadFault {
    /// It is not HTTP, for this cause.
    Malformed(&'static str),
    /// It has more bytes than the limit.
    TooLong,
    /// It has more lines than pingora reads.
    TooManyLines,
    /// It did not arrive in time.
    TooSlow,
    /// The listener has as many connections as it may have.
    NoRoom,
}

/// The strictly read stream of a client connection.
pub struct StrictStream {
    inner: Stream,
    /// Bytes that were read before a session asked for them.
    peeked: BytesMut,
    begun: Arc<AtomicBool>,
    phase: CurrentPhase,
    /// Whether the connection has served a request: then pingora bounds the wait for the next one.
    reused: bool,
    head: HeadScanner,
    /// What is still to come of the current request.
    remainder: Remainder,
    deadline: Option<Pin<Box<Sleep>>>,
    /// Ends the wait for a next request.
    idle: ReusableTimer,
    /// Ends the wait for a client that does not read.
    write_deadline: WriteDeadline,
    /// Whether written bytes may still be in a buffer.
    has_unsent: bool,
    limits: StreamLimits,
    write_rejection: RejectionWriter,
    rejection: Option<Bytes>,
    /// What pingora found in a head that it rejects.
    found: OnceLock<&'static str>,
    /// The lingering close, once the connection is closed for writing.
    linger: Option<Linger>,
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
    /// Reads a transport strictly, within limits.
    pub fn new(inner: Stream, limits: StreamLimits, write_rejection: RejectionWriter, progress: ReadProgress) -> Self {
        Self {
            inner,
            peeked: BytesMut::new(),
            begun: progress.begun,
            phase: CurrentPhase::new(progress.heads),
            reused: false,
            head: HeadScanner::default(),
            remainder: Remainder::Head,
            deadline: None,
            idle: ReusableTimer::default(),
            write_deadline: WriteDeadline::default(),
            has_unsent: false,
            limits,
            write_rejection,
            rejection: None,
            found: OnceLock::new(),
            linger: None,
            closed: false,
        }
    }

    /// Returns the strict stream behind a stream, if it is one.
    pub fn of(stream: &Stream) -> Option<&Self> {
        (**stream).as_any().downcast_ref()
    }

    /// Ends the head: what follows belongs to the body.
    pub fn head_is_read(&self) {
        self.phase.enter(Phase::Body);
    }

    /// Records what pingora found in a head that it rejects.
    pub fn head_is_malformed(&self, found: &'static str) {
        let _ = self.found.set(found);
    }

    /// Returns whether the end of the current request is certain. If not, another request must not follow.
    pub const fn has_certain_end(&self) -> bool {
        self.remainder.is_certain()
    }

    /// Returns whether reading stopped at a malformed chunk.
    pub const fn has_malformed_body(&self) -> bool {
        matches!(self.remainder, Remainder::Malformed)
    }

    /// Switches protocols: from now on, all bytes pass as they are, those behind the head of the request first.
    pub fn upgraded(&self) {
        self.phase.enter(Phase::Upgraded);
    }

    /// Starts over: the next byte belongs to a new head.
    pub fn expect_head(&self) {
        self.phase.enter(Phase::BeforeHead);
    }

    /// Returns why pingora rejects the head with a status.
    fn head_fault(&self, status: u16) -> HeadFault {
        match status {
            408 => HeadFault::TooSlow,
            431 => HeadFault::TooLong,
            _ if self.head.lines() > PINGORA_MAX_LINES => HeadFault::TooManyLines,
            _ => HeadFault::Malformed(self.found.get().unwrap_or(&"the head is not HTTP")),
        }
    }

    /// Closes the connection for writing, and lingers.
    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.closed {
            return Poll::Ready(Ok(()));
        }
        if self.linger.is_none() {
            ready!(self.poll_shutdown_inner(cx))?;
        }
        match self.phase.get() {
            Phase::Http2 => Poll::Ready(Ok(())),
            _ => self.poll_linger(cx).map(Ok),
        }
    }

    /// Reads on for a while after the connection is closed for writing, if the client may still be sending.
    fn poll_linger(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let is_read = self.remainder.is_nothing() && self.peeked.is_empty() && self.rejection.is_none();
        let expects_bytes = !is_read && self.phase.get() != Phase::Upgraded;
        let linger = self.linger.get_or_insert_with(|| Linger::new(expects_bytes));
        linger.poll(&mut self.inner, cx)
    }
}

impl AsyncRead for StrictStream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let stream = &mut *self;
        if stream.closed {
            return Poll::Ready(Ok(()));
        }
        if stream.rejection.is_some() {
            return stream.poll_reject(HeadFault::TooSlow, cx).map(Ok);
        }
        let read = stream.poll_read_strictly(cx, buf);
        if read.is_pending() {
            stream.poll_flush_unsent(cx);
        }
        read
    }
}

impl AsyncWrite for StrictStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let stream = &mut *self;
        if stream.closed {
            return Poll::Ready(Ok(buf.len()));
        }
        if stream.phase.get().is_head()
            && let Some(status) = pingora_rejection(buf)
        {
            let fault = stream.head_fault(status);
            return stream.poll_reject(fault, cx).map(|()| Ok(buf.len()));
        }
        stream.poll_write_inner(cx, |inner, cx| inner.poll_write(cx, buf))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_flush_inner(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_close(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if !self.phase.get().is_head() && !self.closed {
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
            self.phase.enter(Phase::Http2);
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
        let _ = poll_fn(|cx| self.poll_close(cx)).await;
    }
}

#[cfg(test)]
mod tests;
