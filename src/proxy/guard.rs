//! Stands between the transport and the HTTP engine, and gives what the engine lacks: a bound on
//! the head of a request in bytes and in total time, a look for the HTTP/2 preface that cannot
//! hang, and our own body in place of the engine's empty 400.

use std::fmt;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use async_trait::async_trait;
use bytes::{Buf, Bytes, BytesMut};
use pingora::protocols::raw_connect::ProxyDigest;
use pingora::protocols::tls::{SslDigest, TlsRef};
use pingora::protocols::{
    ALPN, GetProxyDigest, GetSocketDigest, GetTimingDigest, Peek, Shutdown, SocketDigest, Ssl, Stream, TimingDigest,
    UniqueID, UniqueIDType,
};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

/// RFC 9113, 3.4.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// How much of a head is kept, so that its refusal can name the path.
const KEPT_BYTES: usize = 512;

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

/// The request line as it comes in. The engine encodes what must not stand there and goes on;
/// after that nobody can tell (RFC 9112, 3.2: refuse, do not repair).
#[derive(Debug, Default)]
struct RequestLine {
    begun: bool,
    ended: bool,
    spaces: usize,
    malformed: bool,
}

impl RequestLine {
    fn read(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            if self.ended {
                return;
            }
            match byte {
                // RFC 9112, 2.2: empty lines before a request line are passed over.
                b'\r' | b'\n' if !self.begun => {}
                b'\n' => {
                    self.ended = true;
                    self.malformed |= self.spaces != 2;
                }
                b'\r' => {}
                b' ' => self.spaces += 1,
                _ => self.malformed |= !byte.is_ascii_graphic(),
            }
            self.begun |= !matches!(byte, b'\r' | b'\n');
        }
    }
}

/// What a head may cost.
#[derive(Debug, Clone, Copy)]
pub struct HeadLimits {
    /// Its bytes.
    pub bytes: usize,
    /// From its first byte to its last; also from a connection's start to its first byte.
    pub time: Duration,
}

/// How far clients have come, for whoever wants to end.
#[derive(Debug, Clone, Default)]
pub struct Progress {
    /// The heads, on all connections, that have begun to come and are not complete.
    pub heads: Arc<AtomicUsize>,
    /// Whether anything came on this connection.
    pub begun: Arc<AtomicBool>,
}

/// Writes the answer to a head that could not be read: its status as the engine sees it, and the
/// first bytes that came.
pub type Refuse = Arc<dyn Fn(u16, &[u8]) -> Bytes + Send + Sync>;

/// A guarded transport.
pub struct Guard {
    inner: Stream,
    /// Bytes that were read while looking for the preface.
    peeked: BytesMut,
    phase: AtomicU8,
    /// Whether a request has been served already: then the engine bounds the wait.
    reused: bool,
    head_bytes: usize,
    head_lines: usize,
    line: RequestLine,
    kept: Vec<u8>,
    deadline: Option<Pin<Box<Sleep>>>,
    limits: HeadLimits,
    refuse: Refuse,
    progress: Progress,
    answer: Option<Bytes>,
    closed: bool,
}

impl fmt::Debug for Guard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guard")
            .field("inner", &self.inner)
            .finish_non_exhaustive()
    }
}

impl Guard {
    /// Guards a transport.
    pub fn new(inner: Stream, limits: HeadLimits, refuse: Refuse, progress: Progress) -> Self {
        Self {
            inner,
            peeked: BytesMut::new(),
            phase: AtomicU8::new(EXPECTING),
            reused: false,
            head_bytes: 0,
            head_lines: 0,
            line: RequestLine::default(),
            kept: Vec::new(),
            deadline: None,
            limits,
            refuse,
            progress,
            answer: None,
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
        if *phase == EXPECTING && self.head_bytes > 0 {
            self.head_bytes = 0;
            self.head_lines = 0;
            self.line = RequestLine::default();
            self.kept.clear();
            self.deadline = None;
            self.reused = true;
        }
        matches!(*phase, EXPECTING | HEAD)
    }

    fn count(&mut self, bytes: &[u8]) {
        if std::mem::replace(self.phase.get_mut(), HEAD) != HEAD {
            self.progress.heads.fetch_add(1, Ordering::Acquire);
        }
        self.head_bytes += bytes.len();
        self.head_lines += bytes.split(|&b| b == b'\n').count() - 1;
        self.line.read(bytes);
        let room = KEPT_BYTES.saturating_sub(self.kept.len());
        self.kept.extend(bytes.iter().take(room));
    }

    /// Reads no further than the limit, so that a body behind a short head is not counted.
    fn poll_read_head(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let room = self.limits.bytes.saturating_sub(self.head_bytes).min(buf.remaining());
        if room == 0 {
            return self.poll_refuse(431, cx).map(Ok);
        }
        let mut part = ReadBuf::new(buf.initialize_unfilled_to(room));
        let result = self.poll_read_inner(cx, &mut part);
        let read = part.filled().len();
        if let Poll::Ready(Ok(())) = &result {
            self.count(part.filled());
            if self.line.malformed {
                return self.poll_refuse(400, cx).map(Ok);
            }
            buf.advance(read);
        }
        match result {
            Poll::Pending if self.head_bytes > 0 || !self.reused => {
                ready!(self.poll_deadline(cx));
                self.poll_refuse(408, cx).map(Ok)
            }
            other => other,
        }
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
        buf.put_slice(&self.peeked.split_to(length));
        Poll::Ready(Ok(()))
    }

    fn poll_deadline(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let time = self.limits.time;
        let deadline = self
            .deadline
            .get_or_insert_with(|| Box::pin(sleep_until(Instant::now() + time)));
        deadline.as_mut().poll(cx)
    }

    /// Writes our own answer; after it the connection is at its end both ways.
    fn poll_refuse(&mut self, status: u16, cx: &mut Context<'_>) -> Poll<()> {
        let (refuse, kept) = (&self.refuse, &self.kept);
        let answer = self.answer.get_or_insert_with(|| refuse(status, kept));
        while answer.has_remaining() {
            match ready!(Pin::new(&mut self.inner).poll_write(cx, answer)) {
                Ok(written) if written > 0 => answer.advance(written),
                _ => break,
            }
        }
        let _ = ready!(Pin::new(&mut self.inner).poll_flush(cx));
        self.closed = true;
        Poll::Ready(())
    }

    /// Reads as long as the bytes match the preface, within the time for a head.
    async fn read_preface(&mut self) -> io::Result<bool> {
        let deadline = Instant::now() + self.limits.time;
        let mut chunk = [0; 1024];
        loop {
            let length = self.peeked.len().min(PREFACE.len());
            if self.peeked.get(..length) != PREFACE.get(..length) {
                return Ok(false);
            }
            if length == PREFACE.len() {
                return Ok(true);
            }
            match tokio::time::timeout_at(deadline, self.inner.read(&mut chunk)).await {
                Ok(Ok(0)) if self.peeked.is_empty() => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(Ok(0)) => return Ok(false),
                Ok(Ok(read)) => {
                    self.progress.begun.store(true, Ordering::Release);
                    self.peeked.extend(chunk.iter().take(read));
                }
                Ok(Err(error)) => return Err(error),
                Err(_) => {
                    poll_fn(|cx| self.poll_refuse(408, cx)).await;
                    return Err(io::ErrorKind::TimedOut.into());
                }
            }
        }
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        if *self.phase.get_mut() == HEAD {
            self.progress.heads.fetch_sub(1, Ordering::Release);
        }
    }
}

impl AsyncRead for Guard {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let guard = &mut *self;
        if guard.closed {
            return Poll::Ready(Ok(()));
        }
        if guard.answer.is_some() {
            return guard.poll_refuse(408, cx).map(Ok);
        }
        match guard.is_reading_head() {
            true => guard.poll_read_head(cx, buf),
            false => guard.poll_read_inner(cx, buf),
        }
    }
}

/// The status of an answer that the engine writes while no application owns the request.
fn engine_refusal(buf: &[u8]) -> Option<u16> {
    let status = buf
        .strip_prefix(b"HTTP/1.1 ")
        .or_else(|| buf.strip_prefix(b"HTTP/1.0 "))?
        .get(..3)?;
    let status = std::str::from_utf8(status).ok()?.parse().ok()?;
    (400..500).contains(&status).then_some(status)
}

impl AsyncWrite for Guard {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let guard = &mut *self;
        if guard.closed {
            return Poll::Ready(Ok(buf.len()));
        }
        let reading = matches!(*guard.phase.get_mut(), EXPECTING | HEAD);
        if let Some(status) = engine_refusal(buf).filter(|_| reading) {
            let status = if status == 400 && guard.head_lines > ENGINE_LINES {
                431
            } else {
                status
            };
            return guard.poll_refuse(status, cx).map(|()| Ok(buf.len()));
        }
        Pin::new(&mut guard.inner).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if matches!(*self.phase.get_mut(), APPLICATION | FRAMES) && !self.closed {
            return Pin::new(&mut self.inner).poll_write_vectored(cx, bufs);
        }
        let first = bufs.iter().find(|buf| !buf.is_empty());
        self.poll_write(cx, first.map_or(&[], |buf| buf))
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }
}

#[async_trait]
impl Peek for Guard {
    async fn try_peek(&mut self, buf: &mut [u8]) -> io::Result<bool> {
        if self.read_preface().await? {
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
impl Shutdown for Guard {
    async fn shutdown(&mut self) {
        self.inner.shutdown().await;
    }
}

impl UniqueID for Guard {
    fn id(&self) -> UniqueIDType {
        self.inner.id()
    }
}

impl Ssl for Guard {
    fn get_ssl(&self) -> Option<&TlsRef> {
        self.inner.get_ssl()
    }

    fn get_ssl_digest(&self) -> Option<Arc<SslDigest>> {
        self.inner.get_ssl_digest()
    }

    fn selected_alpn_proto(&self) -> Option<ALPN> {
        let protocol = self.inner.selected_alpn_proto();
        if protocol == Some(ALPN::H2) {
            self.phase.store(FRAMES, Ordering::Relaxed);
        }
        protocol
    }
}

impl GetTimingDigest for Guard {
    fn get_timing_digest(&self) -> Vec<Option<TimingDigest>> {
        self.inner.get_timing_digest()
    }
}

impl GetProxyDigest for Guard {
    fn get_proxy_digest(&self) -> Option<Arc<ProxyDigest>> {
        self.inner.get_proxy_digest()
    }
}

impl GetSocketDigest for Guard {
    fn get_socket_digest(&self) -> Option<Arc<SocketDigest>> {
        self.inner.get_socket_digest()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_line_is_three_words() {
        for (bytes, malformed) in [
            (&b"GET / HTTP/1.1\r\nhost: a b c\xff\r\n"[..], false),
            (b"\r\n\nGET / HTTP/1.1\n", false),
            (b"GET /a b", false),
            (b"GET /a b HTTP/1.1\r\n", true),
            (b"GET  / HTTP/1.1\r\n", true),
            (b"GET / HTTP/1.1 \r\n", true),
            (b"GET /\r\n", true),
            (b"GET /\0", true),
            (b"GET /\t", true),
            (b"GET /\xc3\xa9", true),
        ] {
            let mut whole = RequestLine::default();
            whole.read(bytes);
            let mut parts = RequestLine::default();
            bytes.chunks(1).for_each(|part| parts.read(part));
            assert_eq!((whole.malformed, parts.malformed), (malformed, malformed), "{bytes:?}");
        }
    }

    #[test]
    fn only_refusals_of_the_engine_are_replaced() {
        for (answer, want) in [
            (&b"HTTP/1.1 400 Bad Request\r\n"[..], Some(400)),
            (b"HTTP/1.1 405 Method Not Allowed\r\n", Some(405)),
            (b"HTTP/1.1 100 Continue\r\n", None),
            (b"HTTP/1.1 200 OK\r\n", None),
            (b"HTTP/1.1", None),
            (b"", None),
        ] {
            assert_eq!(engine_refusal(answer), want);
        }
    }
}
