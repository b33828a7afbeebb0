//! The response to a connection above the limit of its listener: 503, or for HTTP/2 a `GOAWAY` with no
//! stream processed. Bounded in number and time, so that a rejection stays cheap.

use std::future::poll_fn;
use std::time::Duration;

use bytes::Bytes;
use pingora::protocols::Stream;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::linger::{LINGER_TIME, Linger};
use super::peer::peer_of;
use super::strict_stream::{HeadFault, RejectionWriter};

/// How many connections get a response at a time; others are closed without one.
const AT_A_TIME: usize = 64;

/// How long to wait for the first bytes of a request, which select the policy of the error body.
const GLANCE: Duration = Duration::from_millis(100);

/// The response over HTTP/2 (RFC 9113, 6.5 and 6.8): empty `SETTINGS`, and a `GOAWAY` with last stream 0 and
/// `ENHANCE_YOUR_CALM`.
const GOAWAY: &[u8] = b"\0\0\0\x04\0\0\0\0\0\0\0\x08\x07\0\0\0\0\0\0\0\0\0\0\0\0\x0b";

/// Responds to connections above the limit.
#[derive(Debug)]
pub struct OverloadResponder(Semaphore);

impl Default for OverloadResponder {
    fn default() -> Self {
        Self(Semaphore::new(AT_A_TIME))
    }
}

impl OverloadResponder {
    /// Responds to a connection in clear text and closes it.
    pub async fn respond(&self, mut stream: Stream, write_rejection: &RejectionWriter) {
        let Ok(_permit) = self.0.try_acquire() else { return };
        let mut head = vec![0; 1024];
        let length = match timeout(GLANCE, stream.read(&mut head)).await {
            Ok(Ok(0) | Err(_)) => return,
            Ok(Ok(length)) => length,
            Err(_) => 0,
        };
        head.truncate(length);
        let response = match head.starts_with(b"PRI * HTTP/2") {
            true => Bytes::from_static(GOAWAY),
            false => write_rejection(HeadFault::NoRoom, &head, peer_of(&stream)),
        };
        if let Ok(Ok(())) = timeout(LINGER_TIME, write(&mut stream, &response)).await {
            let mut linger = Linger::new(true);
            poll_fn(|cx| linger.poll(&mut stream, cx)).await;
        }
    }
}

/// Writes a response, and closes the connection for writing.
async fn write(stream: &mut Stream, response: &[u8]) -> std::io::Result<()> {
    stream.write_all(response).await?;
    AsyncWriteExt::shutdown(stream).await
}
