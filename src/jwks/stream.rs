//! The bytes of a connection to a key server or proxy, limited in total.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// The longest body of a response, in bytes.
pub(super) const MAX_BYTES: usize = 256 * 1024;

/// The longest head of a response, and the size of the read buffer.
pub(super) const MAX_HEAD: usize = 64 * 1024;

/// The limit of bytes that are read from one connection.
const MAX_READ: usize = MAX_BYTES + MAX_HEAD;

/// Returns the innermost cause, which helps an operator most.
pub(super) fn cause(error: &dyn std::error::Error) -> String {
    let mut inner = error;
    while let Some(source) = inner.source() {
        inner = source;
    }
    inner.to_string()
}

/// A connection that is read and written.
pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// A socket from which only a limited number of bytes is read.
pub(super) struct Bounded {
    socket: TcpStream,
    left: usize,
}

impl Bounded {
    /// Reads [`MAX_READ`] bytes at most.
    pub(super) fn new(socket: TcpStream) -> Self {
        Self { socket, left: MAX_READ }
    }
}

impl AsyncRead for Bounded {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.left == 0 {
            let what = format!("the server sent more than {} KiB", MAX_READ / 1024);
            return Poll::Ready(Err(io::Error::other(what)));
        }
        let before = into.filled().len();
        let read = Pin::new(&mut self.socket).poll_read(cx, into);
        self.left = self.left.saturating_sub(into.filled().len() - before);
        read
    }
}

impl AsyncWrite for Bounded {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }
}
