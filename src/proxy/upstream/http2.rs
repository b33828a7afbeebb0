//! HTTP/2 connections to an upstream, which requests share.

use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use bytes::Bytes;
use h2::client::{Builder, Connection, SendRequest};
use parking_lot::Mutex;
use pingora::{Error, ErrorType, Result};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::oneshot;

use crate::proxy::deadline::ReusableTimer;

pub(super) mod pool;

/// The most requests that share a connection, if the upstream allows as many.
const MAX_STREAMS: usize = 100;

/// How much of a response the upstream may send before the client takes it. It bounds the memory of a response.
const STREAM_WINDOW: u32 = 128 << 10;

/// The same for a connection: as much as all its streams together may use, so that clients that stop reading stop
/// no other response.
const CONNECTION_WINDOW: u32 = 100 * STREAM_WINDOW;

/// How much of a request's body may wait for the socket.
const SEND_BUFFER: usize = 64 << 10;

/// The size of a response's head, as HTTP/2 counts it.
const MAX_HEAD: u32 = 256 << 10;

/// How long a connection that no request uses may take to say goodbye.
const CLOSE_TIME: Duration = Duration::from_secs(1);

/// An HTTP/2 connection. Its task ends when it is dropped and its last stream has ended.
pub(super) struct Http2Connection {
    requests: SendRequest<Bytes>,
    /// How many sessions use it.
    streams: AtomicUsize,
    /// Whether a request on it timed out: the connection may be dead.
    is_suspect: AtomicBool,
    spare: Mutex<Spare>,
    _in_use: oneshot::Sender<()>,
}

/// What the requests that used a connection left.
struct Spare {
    since: Instant,
    timers: Vec<ReusableTimer>,
}

/// Room for one request on a connection, with the timer for all its waits.
pub(super) struct StreamSlot {
    connection: Arc<Http2Connection>,
    pub(super) timer: ReusableTimer,
}

impl Http2Connection {
    /// Begins HTTP/2 over a socket. Waits for the settings of the upstream, so that the first requests do not exceed
    /// the streams that it allows.
    pub(super) async fn start<S>(socket: S) -> Result<Arc<Self>>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let begun = Builder::new()
            .enable_push(false)
            .initial_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_send_buffer_size(SEND_BUFFER)
            .max_header_list_size(MAX_HEAD)
            // No request is sent before the settings arrive.
            .initial_max_send_streams(0)
            // It counts for the life of a connection, and clients could use it up by resetting their requests.
            .max_local_error_reset_streams(None)
            .handshake(socket)
            .await;
        let (requests, mut connection) = begun.map_err(|error| failure(error, "beginning HTTP/2"))?;
        poll_fn(|cx| match Pin::new(&mut connection).poll(cx) {
            Poll::Ready(Err(error)) => Poll::Ready(Err(failure(error, "waiting for HTTP/2 settings"))),
            Poll::Ready(Ok(())) => Poll::Ready(Error::e_explain(ErrorType::ConnectionClosed, "no HTTP/2 settings")),
            Poll::Pending if requests.current_max_send_streams() == 0 => Poll::Pending,
            Poll::Pending => Poll::Ready(Ok(())),
        })
        .await?;
        let (in_use, dropped) = oneshot::channel();
        tokio::spawn(drive(connection, dropped));
        Ok(Arc::new(Self {
            requests,
            streams: AtomicUsize::new(0),
            is_suspect: AtomicBool::new(false),
            spare: Mutex::new(Spare {
                since: Instant::now(),
                timers: Vec::new(),
            }),
            _in_use: in_use,
        }))
    }

    /// Returns how many requests may share it.
    fn limit(&self) -> usize {
        self.requests.current_max_send_streams().min(MAX_STREAMS)
    }

    /// Returns whether it takes further requests.
    fn is_open(&self) -> bool {
        let mut requests = self.requests.clone();
        let ready = requests.poll_ready(&mut Context::from_waker(Waker::noop()));
        !self.is_suspect.load(Ordering::Relaxed) && matches!(ready, Poll::Ready(Ok(())))
    }

    /// Takes room for a request, if there is some.
    fn slot(self: &Arc<Self>) -> Option<StreamSlot> {
        if self.streams.load(Ordering::Relaxed) >= MAX_STREAMS {
            return None;
        }
        let slot = StreamSlot {
            connection: Arc::clone(self),
            timer: self.spare.lock().timers.pop().unwrap_or_default(),
        };
        let before = self.streams.fetch_add(1, Ordering::AcqRel);
        (before < self.limit()).then_some(slot)
    }

    /// Returns since when no request uses it.
    fn idle_since(&self) -> Option<Instant> {
        (self.streams.load(Ordering::Acquire) == 0).then(|| self.spare.lock().since)
    }

    /// Returns whether no request used it for a time.
    fn is_expired(&self, now: Instant, timeout: Duration) -> bool {
        self.idle_since()
            .is_some_and(|since| now.duration_since(since) >= timeout)
    }
}

impl StreamSlot {
    /// Returns the handle that sends a request.
    pub(super) fn requests(&self) -> SendRequest<Bytes> {
        self.connection.requests.clone()
    }

    /// Keeps other requests off the connection, which may be dead.
    pub(super) fn suspect(&self) {
        self.connection.is_suspect.store(true, Ordering::Relaxed);
    }
}

impl Drop for StreamSlot {
    fn drop(&mut self) {
        let mut spare = self.connection.spare.lock();
        spare.timers.push(std::mem::take(&mut self.timer));
        if self.connection.streams.fetch_sub(1, Ordering::AcqRel) == 1 {
            spare.since = Instant::now();
        }
    }
}

/// Reads and writes a connection until it ends, or until no request uses it.
async fn drive<S: AsyncRead + AsyncWrite + Unpin>(connection: Connection<S, Bytes>, dropped: oneshot::Receiver<()>) {
    let mut connection = pin!(connection);
    let ended = tokio::select! {
        biased;
        ended = &mut connection => ended,
        _ = dropped => match tokio::time::timeout(CLOSE_TIME, connection).await {
            Ok(ended) => ended,
            Err(_) => return,
        },
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "an HTTP/2 connection to the service failed");
    }
}

/// Maps an error of HTTP/2.
#[expect(clippy::unnecessary_box_returns, reason = "pingora's errors are boxed")]
pub(super) fn failure(error: h2::Error, context: &'static str) -> Box<Error> {
    let kind = match error.get_io().map(io::Error::kind) {
        None => ErrorType::H2Error,
        Some(io::ErrorKind::BrokenPipe | io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset) => {
            ErrorType::ConnectionClosed
        }
        Some(_) => ErrorType::ReadError,
    };
    Error::because(kind, context, error)
}
