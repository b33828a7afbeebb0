//! Answers that Sidegate gives itself, and what becomes of a connection whose request was not read
//! to its end.

use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use http::header::EXPECT;
use pingora::Result;
use pingora::http::ResponseHeader;
use pingora::protocols::http::ServerSession;

use super::strict_stream::StrictStream;
use crate::admission::rejection_response::{ErrorResponse, REQUEST_ID};
use crate::admission::trace_context::RequestIds;
use crate::request::content_length;

/// How much of an unread body is read before the answer, over HTTP/2, where clients take an early
/// answer for a broken stream.
const DRAINED_BYTES: usize = 256 * 1024;

/// How long the rest of a body is read after the answer, so that the connection can be kept.
const DRAIN_TIME: Duration = Duration::from_secs(1);

/// How long the answer to a request with a chunked body waits for the rest of that body.
const GLANCE: Duration = Duration::from_millis(100);

/// The longest body that is read only to keep a connection.
const DRAINED_LENGTH: u64 = 1024 * 1024;

/// Writes an error.
pub(super) async fn write(session: &mut ServerSession, response: ErrorResponse) -> Result<()> {
    if !session.is_body_done()
        && let Some(guard) = strict_stream_of(session)
    {
        guard.linger();
    }
    let mut header = ResponseHeader::build(response.status, Some(response.headers.len()))?;
    for (name, value) in response.headers {
        header.insert_header(name, value)?;
    }
    send(session, header, response.body).await?;
    if let ServerSession::Subrequest(inner) = session {
        // The engine leaves the end of its body to us, and a client over HTTP/2 waits for that.
        inner.finish().await?;
    }
    Ok(())
}

/// Sends a whole response.
pub(super) async fn send(session: &mut ServerSession, header: ResponseHeader, body: Bytes) -> Result<()> {
    let header = Box::new(header);
    let is_bodiless = body.is_empty() || session.req_header().method == http::Method::HEAD;
    if is_bodiless && let ServerSession::H2(http2) = session {
        // Trailers-only is one frame that ends the stream; the engine would add an empty one.
        return http2.write_response_header(header, true);
    }
    session.write_response_header(header).await?;
    if !is_bodiless {
        session.write_response_body(body, true).await?;
    }
    Ok(())
}

/// Answers `OPTIONS *`.
pub(super) async fn write_options_asterisk(session: &mut ServerSession, ids: &RequestIds) -> Result<()> {
    let mut header = ResponseHeader::build(StatusCode::NO_CONTENT, Some(1))?;
    header.insert_header(REQUEST_ID, ids.request_id_value())?;
    session.write_response_header(Box::new(header)).await
}

/// Keeps the connection usable after an answer that did not read the body, where that is cheap.
pub(super) async fn drain_request_body(session: &mut ServerSession) {
    let headers = &session.req_header().headers;
    let expects = headers.contains_key(EXPECT);
    let length = content_length(headers).ok().flatten();
    match session {
        // Who expects `100 Continue` has not sent the body, and may send a request next.
        ServerSession::H1(http1) if !expects && length.is_some_and(|length| length <= DRAINED_LENGTH) => {
            http1.set_close_on_response_before_downstream_finish(false);
            http1.set_total_drain_timeout(Some(DRAIN_TIME));
        }
        // The end of a chunked body is only known once it is read: what is there is read now.
        ServerSession::H1(_) if !expects && length.is_none() => {
            let _ = tokio::time::timeout(GLANCE, drain(session)).await;
        }
        ServerSession::H2(_) => {
            let _ = tokio::time::timeout(DRAIN_TIME, drain(session)).await;
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

/// The guard of an HTTP/1 connection.
pub(super) fn strict_stream_of(session: &ServerSession) -> Option<&StrictStream> {
    session.stream().and_then(StrictStream::of)
}

/// Whether the final response has begun; `100 Continue` and its like are none (RFC 9110, 15.2).
pub(super) fn response_started(session: &ServerSession) -> bool {
    let switching = StatusCode::SWITCHING_PROTOCOLS;
    let is_final = |status: StatusCode| !status.is_informational() || status == switching;
    session
        .response_written()
        .is_some_and(|response| is_final(response.status))
}
