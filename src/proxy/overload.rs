//! The response to a connection above the limit of its listener: 503, or for HTTP/2 a `GOAWAY` with no
//! stream processed. Bounded in number and time, so that a rejection stays cheap.

use std::time::Duration;

use bytes::Bytes;
use pingora::protocols::Stream;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout, timeout_at};

use super::peer::peer_of;
use super::strict_stream::RejectionWriter;

/// How many connections get a response at a time; others are closed without one.
const AT_A_TIME: usize = 64;

/// How long to wait for the first bytes of a request, which select the policy of the error body.
const GLANCE: Duration = Duration::from_millis(100);

/// How long to read what a client still sends: closing with unread bytes resets the connection, and
/// the client may lose the response.
const LINGER: Duration = Duration::from_secs(1);

/// How many bytes to read then.
const LINGER_BYTES: usize = 256 * 1024;

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
            false => write_rejection(503, &head, peer_of(&stream)),
        };
        let deadline = Instant::now() + LINGER;
        let _ = timeout_at(deadline, write_and_drain(&mut stream, &response)).await;
    }
}

/// Writes a response, and reads until the client closes its side.
async fn write_and_drain(stream: &mut Stream, response: &[u8]) -> std::io::Result<()> {
    stream.write_all(response).await?;
    AsyncWriteExt::shutdown(stream).await?;
    let mut unread = vec![0; 4096];
    let mut read = 0;
    while read < LINGER_BYTES {
        match stream.read(&mut unread).await? {
            0 => break,
            more => read += more,
        }
    }
    Ok(())
}
