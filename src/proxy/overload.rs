//! The answer to a connection for which its listener has no slot: 503, or for HTTP/2 a `GOAWAY`
//! that says nothing was processed. Bounded in number and time, so that saying no stays cheap.

use std::time::Duration;

use bytes::Bytes;
use pingora::protocols::Stream;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout, timeout_at};

use super::facts::peer_of;
use super::strict_stream::RejectionWriter;

/// How many connections are answered at a time; others are only closed.
const AT_A_TIME: usize = 64;

/// How long the first bytes of a request are waited for: they say whose error body it gets.
const GLANCE: Duration = Duration::from_millis(100);

/// How long what a client still sends is read: closed with bytes unread, a connection loses the
/// answer that is on its way.
const LINGER: Duration = Duration::from_secs(1);

/// How much of it is read.
const LINGER_BYTES: usize = 256 * 1024;

/// RFC 9113, 6.5 and 6.8: empty `SETTINGS`, and a `GOAWAY` with last stream 0 and
/// `ENHANCE_YOUR_CALM`.
const GOAWAY: &[u8] = b"\0\0\0\x04\0\0\0\0\0\0\0\x08\x07\0\0\0\0\0\0\0\0\0\0\0\0\x0b";

/// Answers connections that get no slot.
#[derive(Debug)]
pub struct OverloadResponder(Semaphore);

impl Default for OverloadResponder {
    fn default() -> Self {
        Self(Semaphore::new(AT_A_TIME))
    }
}

impl OverloadResponder {
    /// Answers a connection in clear text and closes it.
    pub async fn answer(&self, mut stream: Stream, refuse: &RejectionWriter) {
        let Ok(_permit) = self.0.try_acquire() else { return };
        let mut head = vec![0; 1024];
        let length = match timeout(GLANCE, stream.read(&mut head)).await {
            Ok(Ok(0) | Err(_)) => return,
            Ok(Ok(length)) => length,
            Err(_) => 0,
        };
        head.truncate(length);
        let answer = match head.starts_with(b"PRI * HTTP/2") {
            true => Bytes::from_static(GOAWAY),
            false => refuse(503, &head, peer_of(&stream)),
        };
        let deadline = Instant::now() + LINGER;
        let _ = timeout_at(deadline, say(&mut stream, &answer)).await;
    }
}

/// Writes the answer, and reads until the client has seen it and closes.
async fn say(stream: &mut Stream, answer: &[u8]) -> std::io::Result<()> {
    stream.write_all(answer).await?;
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
