//! Responses that Sidegate itself makes, and the draining of request bodies that it does not forward.

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

/// How much of an unread body to read before the response over HTTP/2, where some clients take an early response
/// for a broken stream.
const DRAINED_BYTES: usize = 256 * 1024;

/// How long to read the rest of a body after the response, so that the connection stays usable.
const DRAIN_TIME: Duration = Duration::from_secs(1);

/// How long a response waits for the rest of a chunked request body.
const CHUNKED_DRAIN_TIME: Duration = Duration::from_millis(100);

/// The longest body to read only so that the connection stays usable.
const DRAINED_LENGTH: u64 = 1024 * 1024;

/// Writes an error response.
pub(super) async fn write(session: &mut ServerSession, response: ErrorResponse) -> Result<()> {
    if !session.is_body_done()
        && let Some(stream) = strict_stream_of(session)
    {
        stream.linger();
    }
    let mut header = ResponseHeader::build(response.status, Some(response.headers.len()))?;
    for (name, value) in response.headers {
        header.insert_header(name, value)?;
    }
    send(session, header, response.body).await?;
    if let ServerSession::Subrequest(inner) = session {
        // pingora does not end the body of a subrequest, and a client over HTTP/2 waits for its end.
        inner.finish().await?;
    }
    Ok(())
}

/// Sends a whole response.
pub(super) async fn send(session: &mut ServerSession, header: ResponseHeader, body: Bytes) -> Result<()> {
    let header = Box::new(header);
    let is_bodiless = body.is_empty() || session.req_header().method == http::Method::HEAD;
    if is_bodiless && let ServerSession::H2(http2) = session {
        // Trailers-only is one frame that ends the stream; pingora would add an empty one.
        return http2.write_response_header(header, true);
    }
    session.write_response_header(header).await?;
    if !is_bodiless {
        session.write_response_body(body, true).await?;
    }
    Ok(())
}

/// Responds to `OPTIONS *`.
pub(super) async fn write_options_asterisk(session: &mut ServerSession, ids: &RequestIds) -> Result<()> {
    let mut header = ResponseHeader::build(StatusCode::NO_CONTENT, Some(1))?;
    header.insert_header(REQUEST_ID, ids.request_id_value())?;
    session.write_response_header(Box::new(header)).await
}

/// Reads the rest of a body that is not forwarded, if that is cheap, so that the connection stays usable.
pub(super) async fn drain_request_body(session: &mut ServerSession) {
    let headers = &session.req_header().headers;
    let expects = headers.contains_key(EXPECT);
    let length = content_length(headers).ok().flatten();
    match session {
        // A client that expects `100 Continue` has not sent the body, and may send its next request.
        ServerSession::H1(http1) if !expects && length.is_some_and(|length| length <= DRAINED_LENGTH) => {
            http1.set_close_on_response_before_downstream_finish(false);
            http1.set_total_drain_timeout(Some(DRAIN_TIME));
        }
        // The end of a chunked body is only known once it is read, so the wait for it is short.
        ServerSession::H1(_) if !expects && length.is_none() => {
            let _ = tokio::time::timeout(CHUNKED_DRAIN_TIME, drain(session)).await;
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

/// Returns the [`StrictStream`] of an HTTP/1 connection.
pub(super) fn strict_stream_of(session: &ServerSession) -> Option<&StrictStream> {
    session.stream().and_then(StrictStream::of)
}

/// Returns whether the final response has begun. An interim one such as `100 Continue` does not count (RFC 9110,
/// 15.2).
pub(super) fn response_started(session: &ServerSession) -> bool {
    let switching = StatusCode::SWITCHING_PROTOCOLS;
    let is_final = |status: StatusCode| !status.is_informational() || status == switching;
    session
        .response_written()
        .is_some_and(|response| is_final(response.status))
}
