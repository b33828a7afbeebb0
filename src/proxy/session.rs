//! The client's side of one request: all that reads or writes a server session of pingora, over HTTP/1 or HTTP/2.

use std::fmt;
use std::future::pending;
use std::net::IpAddr;

use bytes::Bytes;
use futures_util::FutureExt as _;
use http::header::{CONTENT_LENGTH, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderValue, Method, StatusCode, Version};
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::protocols::http::ServerSession;
use pingora::{Error, ErrorType, Result};

use super::header_case;
use super::strict_stream::StrictStream;
use crate::admission::local_response::LocalResponse;
use crate::config::Limits;
use crate::request::RequestFacts;
use crate::request::target::{RequestHost, RequestTarget};
use crate::request::websocket::is_handshake;

mod drain;
mod facts;

/// One request of a client, and the response to it.
pub struct ClientSession {
    inner: ServerSession,
    /// Whether only the end of the connection ends the response.
    has_open_end: bool,
}

impl fmt::Debug for ClientSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientSession").finish_non_exhaustive()
    }
}

impl ClientSession {
    /// Takes a request whose head is read, and sets the limits of its connection.
    pub fn new(mut session: ServerSession, limits: &Limits) -> Self {
        if let Some(stream) = session.stream().and_then(StrictStream::of) {
            stream.head_is_read();
            if !stream.has_certain_end() {
                session.set_keepalive(None);
            }
        }
        // pingora turns keep-alive off where it must; turning it on again would undo that.
        if session.get_keepalive().is_some() {
            session.set_keepalive(Some(limits.idle_timeout.as_secs().max(1)));
        }
        if session.is_http2() {
            // Limits the wait for the window of the HTTP/2 stream. `StrictStream` limits every other write.
            session.set_write_timeout(Some(limits.idle_timeout));
        }
        // A client that closes its sending half still reads the response.
        session.set_abort_on_close(false);
        header_case::drop_header_case(session.req_header_mut());
        Self {
            inner: session,
            has_open_end: false,
        }
    }

    /// Returns the head of the request.
    pub(super) fn request(&self) -> &RequestHeader {
        self.inner.req_header()
    }

    /// Returns whether the request arrived over HTTP/2.
    pub(super) fn is_http2(&self) -> bool {
        self.inner.is_http2()
    }

    /// Returns whether the request opens a WebSocket.
    pub(super) fn is_websocket(&self) -> bool {
        let request = self.request();
        request.version == Version::HTTP_11 && is_handshake(&request.method, &request.headers)
    }

    /// Reads the target of the request, and whether `Content-Length` stood beside `Transfer-Encoding`.
    pub(super) fn target(&self) -> (RequestTarget, bool) {
        facts::target(&self.inner)
    }

    /// Returns the host of the request for logs.
    pub(super) fn host(&self) -> RequestHost {
        facts::host(&self.inner)
    }

    /// Borrows the facts for a decision. The caller sets the limits and the time.
    pub(super) fn facts<'s>(
        &'s self,
        target: (&'s RequestTarget, bool),
        trusts: impl Fn(IpAddr) -> bool,
    ) -> RequestFacts<'s> {
        facts::of(&self.inner, target, trusts)
    }

    /// Returns whether the request has no body.
    pub(super) fn is_body_empty(&mut self) -> bool {
        self.inner.is_body_empty()
    }

    /// Returns whether the whole body was read.
    pub(super) fn is_body_done(&mut self) -> bool {
        self.inner.is_body_done()
    }

    /// Returns whether reading stopped at a malformed chunk of the body.
    pub(super) fn has_malformed_body(&self) -> bool {
        self.strict_stream().is_some_and(StrictStream::has_malformed_body)
    }

    /// Reads the next part of the body, or of the bytes after an upgrade. Returns `None` at its end.
    pub(super) async fn read(&mut self) -> Result<Option<Bytes>> {
        self.inner.read_request_body().await.map_err(Error::into_down)
    }

    /// Returns whether a part of the body can be read at once. The part is lost.
    pub(super) fn has_readable_body(&mut self) -> bool {
        matches!(self.read().now_or_never(), Some(Ok(Some(_))))
    }

    /// Waits until the client resets the connection or its stream, after the whole body was read. Cancel safe.
    pub(super) async fn disconnected(&mut self) -> Box<Error> {
        loop {
            match self.inner.read_body_or_idle(true).await {
                // Bytes behind a request whose end is uncertain do not end it.
                Err(error) if *error.etype() == ErrorType::ConnectError => pending().await,
                Err(error) => return error.into_down(),
                Ok(_) => {}
            }
        }
    }

    /// Keeps the parts of the body that are read from here, as far as they fit in memory.
    pub(super) fn keep_body(&mut self) {
        self.inner.enable_retry_buffering();
    }

    /// Returns the parts of the body that were kept.
    pub(super) fn kept_body(&self) -> Option<Bytes> {
        self.inner.get_retry_buffer()
    }

    /// Returns whether all parts of the body that were read are kept.
    pub(super) fn keeps_whole_body(&self) -> bool {
        !self.inner.retry_buffer_truncated()
    }

    /// Ends the connection after this request.
    pub(super) fn close_after_response(&mut self) {
        self.inner.set_keepalive(None);
    }

    /// Returns whether the final response has begun. An interim one such as `100 Continue` does not count (RFC 9110,
    /// 15.2).
    pub(super) fn has_responded(&self) -> bool {
        self.status().is_some()
    }

    /// Returns the status of the final response, once it has begun.
    pub(super) fn status(&self) -> Option<StatusCode> {
        let status = self.inner.response_written()?.status;
        let is_final = !status.is_informational() || status == StatusCode::SWITCHING_PROTOCOLS;
        is_final.then_some(status)
    }

    /// Returns how many bytes of the response's body were written.
    pub(super) fn bytes_sent(&self) -> usize {
        self.inner.body_bytes_sent()
    }

    /// Writes the head of a response, framed for the client's version of HTTP. `ends`: no body follows.
    pub(super) async fn write_head(&mut self, mut head: Box<ResponseHeader>, ends: bool) -> Result<()> {
        let version = self.request().version;
        let is_switching = head.status == StatusCode::SWITCHING_PROTOCOLS;
        if head.status.is_informational() && !is_switching && version != Version::HTTP_11 {
            // HTTP/1.0 has no interim response (RFC 9110, 15.2), and pingora writes none over HTTP/2.
            return Ok(());
        }
        if let ServerSession::H2(http2) = &mut self.inner {
            return http2.write_response_header(head, ends).map_err(Error::into_down);
        }
        head.set_version(Version::HTTP_11);
        if self.frame(&mut head, ends)? == Framing::UntilClose {
            self.close_after_response();
            self.has_open_end = true;
        }
        let written = self.inner.write_response_header(head).await;
        written.map_err(Error::into_down)?;
        if is_switching && let Some(stream) = self.strict_stream() {
            stream.upgraded();
        }
        match ends {
            true => self.finish().await,
            false => Ok(()),
        }
    }

    /// Frames the body of a response over HTTP/1 (RFC 9112, 6).
    fn frame(&self, head: &mut ResponseHeader, ends: bool) -> Result<Framing> {
        let request = self.request();
        let has_body = request.method != Method::HEAD && may_have_body(head.status);
        if !has_body || head.headers.contains_key(CONTENT_LENGTH) {
            return Ok(Framing::Delimited);
        }
        if ends {
            head.insert_header(CONTENT_LENGTH, HeaderValue::from_static("0"))?;
            return Ok(Framing::Delimited);
        }
        if request.version == Version::HTTP_10 {
            // A client of HTTP/1.0 does not know chunks (RFC 9112, 6.1).
            return Ok(Framing::UntilClose);
        }
        head.insert_header(TRANSFER_ENCODING, HeaderValue::from_static("chunked"))?;
        Ok(Framing::Delimited)
    }

    /// Writes a part of the response's body, or of the bytes after an upgrade.
    pub(super) async fn write(&mut self, part: Bytes, ends: bool) -> Result<()> {
        let written = self.inner.write_response_body(part, ends).await;
        written.map_err(Error::into_down)
    }

    /// Ends the response by trailers. HTTP/1 gets none.
    pub(super) async fn write_trailers(&mut self, trailers: HeaderMap) -> Result<()> {
        match &mut self.inner {
            ServerSession::H2(http2) => http2.write_trailers(trailers).map_err(Error::into_down),
            _ => self.finish().await,
        }
    }

    /// Ends the response, or the bytes after an upgrade.
    pub(super) async fn finish(&mut self) -> Result<()> {
        self.inner.finish_body().await.map_err(Error::into_down)
    }

    /// Writes `100 Continue`, for a body that Sidegate itself reads.
    pub(super) async fn write_continue(&mut self) -> Result<()> {
        match self.request().version {
            Version::HTTP_11 => self.inner.write_continue_response().await.map_err(Error::into_down),
            _ => Ok(()),
        }
    }

    /// Writes a whole response that Sidegate makes.
    pub(super) async fn respond(&mut self, head: ResponseHeader, body: Bytes) -> Result<()> {
        let is_bodiless = body.is_empty() || self.request().method == Method::HEAD;
        self.write_head(Box::new(head), is_bodiless).await?;
        match is_bodiless {
            true => Ok(()),
            false => self.write(body, true).await,
        }
    }

    /// Writes a response that Sidegate made.
    pub(super) async fn respond_with(&mut self, response: LocalResponse) -> Result<()> {
        let mut head = ResponseHeader::build(response.status, Some(response.headers.len()))?;
        for (name, value) in response.headers {
            head.insert_header(name, value)?;
        }
        self.respond(head, response.body).await
    }

    /// Reads the rest of a body that is not forwarded, if that is cheap, so that the connection stays usable.
    pub(super) async fn drain_request_body(&mut self) {
        drain::drain_request_body(&mut self.inner).await;
    }

    /// Returns the connection of a finished request if it is reusable. Most often there is nothing to wait for, and
    /// the future of pingora's session, which is several times its size, is polled once and not boxed.
    pub(super) async fn into_stream(mut self) -> Option<Box<StrictStream>> {
        self.finish().await.ok()?;
        let is_complete = self.inner.get_keepalive().is_some() && self.inner.is_body_done();
        let finish = self.inner.finish();
        let stream = match is_complete {
            true => finish.now_or_never()?,
            false => Box::pin(finish).await,
        };
        let (stream, _) = stream.ok().flatten()?.into_parts();
        stream.into_any().downcast().ok()
    }

    /// Closes the connection of a request that failed, or resets its stream. A response that was cut off stays so:
    /// where only the end of the connection ends it, TLS does not end in order.
    pub(super) async fn abort(mut self) {
        if let ServerSession::H1(http1) = &mut self.inner
            && !self.has_open_end
        {
            http1.shutdown().await;
        }
    }

    /// Returns the [`StrictStream`] of an HTTP/1 connection.
    fn strict_stream(&self) -> Option<&StrictStream> {
        self.inner.stream().and_then(StrictStream::of)
    }
}

/// How the end of a response is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Framing {
    /// By its head, or by its chunks.
    Delimited,
    /// By the end of the connection.
    UntilClose,
}

/// Returns whether a response with this status may have a body (RFC 9110, 6.4.1).
pub(super) fn may_have_body(status: StatusCode) -> bool {
    !status.is_informational() && !matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED)
}
