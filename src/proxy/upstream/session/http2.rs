//! A session over a stream of an HTTP/2 connection.

use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use h2::client::{ResponseFuture, SendRequest};
use h2::{Reason, RecvStream, SendStream};
use http::header::HOST;
use http::uri::{Authority, Scheme};
use http::{Request, Response, StatusCode, Uri, Version, request, uri};
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::{Error, ErrorType, OrErr, Result};

use super::event::UpstreamEvent;
use crate::proxy::upstream::http2::{StreamSlot, failure};

/// How large the first part of a body may be to leave with the head, whatever room the upstream has: `h2` gives room
/// only to streams that have begun, so that a small request would take two writes.
const FIRST_PART: usize = 16 << 10;

/// One request over a stream of an HTTP/2 connection. Dropped before the response is complete, it resets its stream.
pub(super) struct Http2Session {
    exchange: Exchange,
    is_tls: bool,
    // Dropped last: the stream ends before its room is free.
    slot: StreamSlot,
}

struct Exchange {
    requests: Option<SendRequest<Bytes>>,
    upload: Upload,
    /// The part of the body that the upstream has no room for yet, and whether it is the last.
    waiting: Option<(Bytes, bool)>,
    response: ResponseState,
}

enum Upload {
    Open {
        stream: SendStream<Bytes>,
        /// Whether no part was written yet.
        is_first: bool,
    },
    /// The upstream has the whole request.
    Ended,
    /// The upstream takes no more of it.
    Failed,
}

enum ResponseState {
    Head(ResponseFuture),
    Body(RecvStream),
    /// No response is expected: before the request, and after the end of the response.
    None,
}

/// A request that was never sent, since its connection was lost before.
#[derive(Debug)]
struct Unsent(h2::Error);

impl fmt::Display for Unsent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for Unsent {}

impl Http2Session {
    pub(super) fn new(slot: StreamSlot, is_tls: bool) -> Self {
        Self {
            exchange: Exchange {
                requests: Some(slot.requests()),
                upload: Upload::Failed,
                waiting: None,
                response: ResponseState::None,
            },
            is_tls,
            slot,
        }
    }

    pub(super) const fn is_blocked(&self) -> bool {
        self.exchange.waiting.is_some()
    }

    pub(super) fn write_head(&mut self, head: Box<RequestHeader>, ends: bool) -> Result<()> {
        let request = request(*head, self.is_tls)?;
        let Some(mut requests) = self.exchange.requests.take() else {
            return Error::e_explain(ErrorType::InternalError, "a session is for one request");
        };
        let (response, upload) = requests.send_request(request, ends).map_err(unsent)?;
        self.exchange.response = ResponseState::Head(response);
        self.exchange.upload = match ends {
            true => Upload::Ended,
            false => Upload::Open {
                stream: upload,
                is_first: true,
            },
        };
        Ok(())
    }

    /// Passes a part of the body on as far as the upstream has room for it, and keeps the rest.
    pub(super) async fn write(&mut self, part: Option<Bytes>, ends: bool, limit: Duration) -> Result<()> {
        let exchange = &mut self.exchange;
        if exchange.waiting.is_some() {
            let write = poll_fn(|cx| exchange.poll_write(cx));
            let written = self.slot.timer.within(limit, write).await;
            written.unwrap_or_else(|| late(&self.slot, ErrorType::WriteTimedout))?;
        }
        exchange.waiting = Some((part.unwrap_or_default(), ends));
        poll_fn(|cx| match exchange.poll_write(cx) {
            Poll::Ready(written) => Poll::Ready(written),
            Poll::Pending => Poll::Ready(Ok(())),
        })
        .await
    }

    /// Returns the next event. While a part of the body waits, `limit` applies to it, too. After the end of the
    /// response, only that part is written.
    pub(super) async fn next(&mut self, is_timed: bool, limit: Duration) -> Result<UpstreamEvent> {
        let is_blocked = self.is_blocked();
        let exchange = &mut self.exchange;
        let next = poll_fn(|cx| exchange.poll_next(cx));
        if !is_timed && !is_blocked {
            return next.await;
        }
        let next = self.slot.timer.within(limit, next).await;
        next.unwrap_or_else(|| match is_blocked {
            true => late(&self.slot, ErrorType::WriteTimedout),
            false => late(&self.slot, ErrorType::ReadTimedout),
        })
    }
}

impl Exchange {
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<UpstreamEvent>> {
        if self.waiting.is_some() {
            match self.poll_write(cx) {
                Poll::Ready(Ok(())) => return Poll::Ready(Ok(UpstreamEvent::Writable)),
                // The response says more: the upstream may have sent it, and then have reset the stream.
                Poll::Ready(Err(error)) if matches!(self.response, ResponseState::None) => {
                    return Poll::Ready(Err(error));
                }
                Poll::Ready(Err(_)) | Poll::Pending => {}
            }
        }
        self.poll_response(cx)
    }

    fn poll_response(&mut self, cx: &mut Context<'_>) -> Poll<Result<UpstreamEvent>> {
        let failed = |error| failure(error, "reading the response");
        match &mut self.response {
            ResponseState::Head(response) => {
                if let Some(interim) = ready!(response.poll_informational(cx)) {
                    return Poll::Ready(interim.map_err(failed).and_then(|interim| head(interim, false)));
                }
                let (parts, body) = ready!(Pin::new(response).poll(cx)).map_err(failed)?.into_parts();
                let ends = body.is_end_stream();
                self.response = match ends {
                    true => ResponseState::None,
                    false => ResponseState::Body(body),
                };
                Poll::Ready(head(Response::from_parts(parts, ()), ends))
            }
            ResponseState::Body(body) => {
                let event = ready!(poll_body(body, cx)).map_err(failed)?;
                if matches!(event, UpstreamEvent::Body(_, true) | UpstreamEvent::Trailers(_)) {
                    self.response = ResponseState::None;
                }
                Poll::Ready(Ok(event))
            }
            ResponseState::None => Poll::Pending,
        }
    }

    /// Writes the part that waits. On an error, nothing waits any longer.
    fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        let Some((part, ends)) = &mut self.waiting else {
            return Poll::Ready(Ok(()));
        };
        let written = match &mut self.upload {
            Upload::Open { stream, is_first } => {
                let is_small = std::mem::take(is_first) && part.len() <= FIRST_PART;
                ready!(poll_upload(stream, part, *ends, is_small, cx))
            }
            Upload::Ended if part.is_empty() => Ok(()),
            Upload::Ended | Upload::Failed => Error::e_explain(ErrorType::WriteError, "the service takes no body"),
        };
        if written.is_err() {
            self.upload = Upload::Failed;
        } else if *ends {
            self.upload = Upload::Ended;
        }
        self.waiting = None;
        Poll::Ready(written)
    }
}

/// Writes as much of a part as the upstream has room for, or all of it at once.
fn poll_upload(
    stream: &mut SendStream<Bytes>,
    part: &mut Bytes,
    ends: bool,
    at_once: bool,
    cx: &mut Context<'_>,
) -> Poll<Result<()>> {
    while !part.is_empty() {
        let room = match at_once {
            true => part.len(),
            false => stream.capacity(),
        };
        if room == 0 {
            stream.reserve_capacity(part.len());
            match ready!(stream.poll_capacity(cx)) {
                Some(Ok(_)) => continue,
                Some(Err(_)) | None => return Poll::Ready(Err(upload_failure(stream, cx))),
            }
        }
        let piece = part.split_to(room.min(part.len()));
        let is_last = ends && part.is_empty();
        if stream.send_data(piece, is_last).is_err() {
            return Poll::Ready(Err(upload_failure(stream, cx)));
        }
        if is_last {
            return Poll::Ready(Ok(()));
        }
    }
    if ends && stream.send_data(Bytes::new(), true).is_err() {
        return Poll::Ready(Err(upload_failure(stream, cx)));
    }
    Poll::Ready(Ok(()))
}

/// Returns why a stream takes no more of the body: its connection is lost, or the upstream reset it.
#[expect(clippy::unnecessary_box_returns, reason = "pingora's errors are boxed")]
fn upload_failure(stream: &mut SendStream<Bytes>, cx: &mut Context<'_>) -> Box<Error> {
    match stream.poll_reset(cx) {
        Poll::Ready(Err(error)) => failure(error, "writing the body"),
        Poll::Ready(Ok(reason)) => Error::because(ErrorType::H2Error, "writing the body", h2::Error::from(reason)),
        Poll::Pending => Error::explain(ErrorType::WriteError, "the service takes no body"),
    }
}

/// Reads the next part of the body, or the trailers. An error is never taken for the end.
fn poll_body(body: &mut RecvStream, cx: &mut Context<'_>) -> Poll<Result<UpstreamEvent, h2::Error>> {
    while let Some(part) = ready!(body.poll_data(cx)) {
        let part = part?;
        body.flow_control().release_capacity(part.len())?;
        let ends = body.is_end_stream();
        if ends || !part.is_empty() {
            return Poll::Ready(Ok(UpstreamEvent::Body(part, ends)));
        }
    }
    Poll::Ready(Ok(match ready!(body.poll_trailers(cx))? {
        Some(trailers) => UpstreamEvent::Trailers(trailers),
        None => UpstreamEvent::Body(Bytes::new(), true),
    }))
}

/// Makes the event of a head, as if it came over HTTP/1.1.
fn head(response: Response<()>, ends: bool) -> Result<UpstreamEvent> {
    let (mut parts, ()) = response.into_parts();
    if parts.status == StatusCode::SWITCHING_PROTOCOLS {
        return Error::e_explain(ErrorType::InvalidHTTPHeader, "HTTP/2 does not switch protocols");
    }
    parts.version = Version::HTTP_11;
    Ok(UpstreamEvent::Head(Box::new(ResponseHeader::from(parts)), ends))
}

/// Makes a request of HTTP/2: its authority is that of `Host`. The head has no field of a connection; `h2` sends none.
fn request(head: RequestHeader, is_tls: bool) -> Result<Request<()>> {
    let target = head.uri.path_and_query();
    let Some(target) = target
        .filter(|target| target.as_str().as_bytes() == head.raw_path())
        .cloned()
    else {
        return Error::e_explain(ErrorType::InvalidHTTPHeader, "the target does not fit into HTTP/2");
    };
    let mut parts = request::Parts::from(head);
    let host = parts.headers.remove(HOST).filter(|host| !host.is_empty());
    // Without an authority, h2 sends no `:authority`, if the version says that this is intended.
    parts.version = Version::HTTP_11;
    let mut uri = uri::Parts::default();
    if let Some(host) = host {
        let authority = Authority::try_from(host.as_bytes());
        uri.authority = Some(authority.or_err(ErrorType::InvalidHTTPHeader, "the host does not fit into HTTP/2")?);
        uri.scheme = Some(if is_tls { Scheme::HTTPS } else { Scheme::HTTP });
        parts.version = Version::HTTP_2;
    }
    uri.path_and_query = Some(target);
    parts.uri = Uri::from_parts(uri).or_err(ErrorType::InvalidHTTPHeader, "the target does not fit into HTTP/2")?;
    Ok(Request::from_parts(parts, ()))
}

/// Returns whether the upstream did not process the request: it reset the stream with `REFUSED_STREAM`, or its GOAWAY
/// is below the stream, or the request was never sent. `h2` gives a GOAWAY of the upstream as the error of those
/// streams alone; the streams that the GOAWAY includes end by themselves, or with their connection.
pub(super) fn is_unprocessed(error: &Error) -> bool {
    let Some(cause) = &error.cause else { return false };
    if cause.is::<Unsent>() {
        return true;
    }
    cause.downcast_ref::<h2::Error>().is_some_and(|error| {
        let is_refused = error.is_reset() && error.reason() == Some(Reason::REFUSED_STREAM);
        error.is_remote() && (error.is_go_away() || is_refused)
    })
}

#[expect(clippy::unnecessary_box_returns, reason = "pingora's errors are boxed")]
fn unsent(error: h2::Error) -> Box<Error> {
    match error.is_io() || error.is_go_away() {
        true => Error::because(ErrorType::ConnectionClosed, "beginning a stream", Unsent(error)),
        false => failure(error, "beginning a stream"),
    }
}

fn late<T>(slot: &StreamSlot, timeout: ErrorType) -> Result<T> {
    slot.suspect();
    Error::e_explain(timeout, "the service is silent")
}
