//! Reads request bodies that are not forwarded, so that their connections stay usable.

use std::time::Duration;

use http::header::EXPECT;
use pingora::protocols::http::ServerSession;

use crate::proxy::linger::LINGER_TIME;
use crate::request::content_length;

/// How much of an unread body to read before the response over HTTP/2, where some clients take an early response
/// for a broken stream.
const DRAINED_BYTES: usize = 256 * 1024;

/// How long a response waits for the rest of a chunked request body.
const CHUNKED_DRAIN_TIME: Duration = Duration::from_millis(100);

/// The longest body to read only so that the connection stays usable, within the time of a lingering close.
const DRAINED_LENGTH: u64 = 1024 * 1024;

/// Reads the rest of a body that is not forwarded, if that is cheap, so that the connection stays usable.
pub(super) async fn drain_request_body(session: &mut ServerSession) {
    let headers = &session.req_header().headers;
    let expects = headers.contains_key(EXPECT);
    let length = content_length(headers).ok().flatten();
    match session {
        // A client that expects `100 Continue` has not sent the body, and may send its next request.
        ServerSession::H1(http1) if !expects && length.is_some_and(|length| length <= DRAINED_LENGTH) => {
            http1.set_close_on_response_before_downstream_finish(false);
            http1.set_total_drain_timeout(Some(LINGER_TIME));
        }
        // The end of a chunked body is only known once it is read, so the wait for it is short.
        ServerSession::H1(_) if !expects && length.is_none() => {
            let _ = tokio::time::timeout(CHUNKED_DRAIN_TIME, drain(session)).await;
        }
        ServerSession::H2(_) => {
            let _ = tokio::time::timeout(LINGER_TIME, drain(session)).await;
        }
        _ => {}
    }
}

async fn drain(session: &mut ServerSession) {
    let mut read = 0;
    while read < DRAINED_BYTES {
        match session.read_request_body().await {
            Ok(Some(chunk)) => read += chunk.len(),
            _ => return,
        }
    }
}
