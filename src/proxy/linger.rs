//! The lingering close (RFC 9112, 9.6): closing a connection with unread bytes resets it, and a client that is
//! still sending might lose the response. So after a response that ends its connection, the connection is closed
//! for writing, and what the client still sends is read and dropped for a while.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use pingora::protocols::Stream;
use tokio::io::{AsyncRead, ReadBuf};
use tokio::time::{Sleep, sleep};

/// How long a client may still send.
pub(super) const LINGER_TIME: Duration = Duration::from_secs(1);

/// How much a client may still send.
const LINGER_BYTES: usize = 16 * 1024 * 1024;

/// The most bytes of one read.
const READ_BYTES: usize = 16 * 1024;

/// A connection that is closed for writing.
#[derive(Debug)]
pub(super) struct Linger {
    /// How many bytes are still read.
    left: usize,
    /// Until when the client is waited for. Without it, only what has already arrived is looked for.
    end: Option<Pin<Box<Sleep>>>,
}

impl Linger {
    /// Starts to linger. Waits for the client only if it is expected to send something.
    pub(super) fn new(expects_bytes: bool) -> Self {
        Self {
            left: LINGER_BYTES,
            end: expects_bytes.then(|| Box::pin(sleep(LINGER_TIME))),
        }
    }

    /// Reads until the client closes its side, or has had its time.
    pub(super) fn poll(&mut self, stream: &mut Stream, cx: &mut Context<'_>) -> Poll<()> {
        let mut scratch = [std::mem::MaybeUninit::uninit(); READ_BYTES];
        while self.left > 0 {
            if let Some(end) = &mut self.end
                && end.as_mut().poll(cx).is_ready()
            {
                break;
            }
            let mut buf = ReadBuf::uninit(&mut scratch);
            let read = Pin::new(&mut *stream).poll_read(cx, &mut buf);
            if read.is_pending() && self.end.is_none() {
                break;
            }
            match (ready!(read), buf.filled().len()) {
                (Err(_), _) | (Ok(()), 0) => break,
                (Ok(()), length) => self.left = self.left.saturating_sub(length),
            }
            self.end.get_or_insert_with(|| Box::pin(sleep(LINGER_TIME)));
        }
        Poll::Ready(())
    }
}
