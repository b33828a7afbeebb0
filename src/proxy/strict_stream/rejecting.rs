//! Writes Sidegate's response in place of pingora's, and ends the connection after it.

use std::io;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use tokio::io::AsyncWrite as _;

use super::super::peer::peer_of;
use super::{HeadFault, StrictStream};

impl StrictStream {
    /// Writes Sidegate's own response and closes the connection both ways.
    pub(super) fn poll_reject(&mut self, fault: HeadFault, cx: &mut Context<'_>) -> Poll<()> {
        let mut response = match self.rejection.take() {
            Some(unwritten) => unwritten,
            None => (self.write_rejection)(fault, self.head.kept(), peer_of(&self.inner)),
        };
        let written = self.poll_write_rejection(&mut response, cx);
        self.rejection = Some(response);
        if ready!(written).is_ok() {
            ready!(self.poll_linger(cx));
        }
        self.closed = true;
        Poll::Ready(())
    }

    /// Writes the rest of a response, and closes the connection for writing.
    fn poll_write_rejection(&mut self, response: &mut Bytes, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while response.has_remaining() {
            match ready!(self.poll_write_inner(cx, |inner, cx| inner.poll_write(cx, response)))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                written => response.advance(written),
            }
        }
        match self.linger {
            Some(_) => Poll::Ready(Ok(())),
            None => self.poll_shutdown_inner(cx),
        }
    }
}
