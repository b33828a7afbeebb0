//! A session over an HTTP/1.1 connection.

use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt as _;
use http::header::TRANSFER_ENCODING;
use http::{HeaderMap, Method, StatusCode};
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::protocols::http::v1::client::HttpSession;
use pingora::{Error, ErrorType, Result};

use super::event::UpstreamEvent;
use crate::proxy::deadline::ReusableTimer;
use crate::proxy::header_case;
use crate::proxy::upstream::connection::PooledConnection;

/// One request over an HTTP/1.1 connection.
pub(super) struct Http1Session {
    session: HttpSession,
    timer: ReusableTimer,
    is_head: bool,
}

/// What becomes of a connection after its response.
pub(super) enum Reuse {
    /// It serves the next request.
    AtOnce(PooledConnection),
    /// It serves another request if it is quiet after a rest.
    AfterRest(PooledConnection),
    /// It is closed.
    Never,
}

impl Http1Session {
    pub(super) fn new(connection: PooledConnection) -> Self {
        Self {
            session: HttpSession::new(connection.stream),
            timer: connection.timer,
            is_head: false,
        }
    }

    /// Returns the connection if it is reusable. That needs no wait; a connection that is not reusable is closed by
    /// dropping it.
    ///
    /// A faulty service sends a body after a head that has none, and the next request on the connection would
    /// receive it as its response. So connections are not kept after HEAD, 204 and 304 unless proven quiet. After
    /// HEAD that cannot be proven: where a service does not tell HEAD from GET, the body may come at any time, as
    /// that of a stream of events. With a 204 or 304 the service itself says that it has nothing to send, and what
    /// its handler wrote anyway follows at once. They are frequent, and a new connection for each could use up the
    /// ports, so those connections rest.
    pub(super) fn into_reuse(mut self) -> Reuse {
        self.session.respect_keepalive();
        let is_bodiless = matches!(
            self.session.get_status(),
            Some(StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED)
        );
        let connection = match self.session.reuse().now_or_never().flatten() {
            Some(stream) if !self.is_head => PooledConnection {
                stream,
                timer: self.timer,
            },
            _ => return Reuse::Never,
        };
        match is_bodiless {
            true => Reuse::AfterRest(connection),
            false => Reuse::AtOnce(connection),
        }
    }

    pub(super) async fn write_head(&mut self, head: Box<RequestHeader>, limit: Duration) -> Result<()> {
        self.is_head = head.method == Method::HEAD;
        let write = async { self.session.write_request_header(head).await.map(drop) };
        let written = self.timer.within(limit, write).await;
        written.unwrap_or_else(|| late(ErrorType::WriteTimedout))
    }

    pub(super) async fn write(&mut self, part: Option<Bytes>, ends: bool, limit: Duration) -> Result<()> {
        let session = &mut self.session;
        // After a 101, bytes are written as they are.
        session.maybe_upgrade_body_writer();
        let write = async {
            if let Some(part) = part.filter(|part| !part.is_empty()) {
                session.write_body(&part).await?;
            }
            if ends {
                session.finish_body().await?;
            }
            Ok(())
        };
        let written = self.timer.within(limit, write).await;
        written.unwrap_or_else(|| late(ErrorType::WriteTimedout))
    }

    pub(super) async fn next(&mut self, limit: Option<Duration>) -> Result<UpstreamEvent> {
        let read = next(&mut self.session);
        match limit {
            Some(limit) => self.timer.within(limit, read).await,
            None => Some(read.await),
        }
        .unwrap_or_else(|| late(ErrorType::ReadTimedout))
    }
}

fn late<T>(timeout: ErrorType) -> Result<T> {
    Error::e_explain(timeout, "the service is silent")
}

async fn next(session: &mut HttpSession) -> Result<UpstreamEvent> {
    if session.resp_header().is_some_and(is_last) {
        let part = session.read_body_bytes().await?.unwrap_or_default();
        return Ok(UpstreamEvent::Body(part, session.is_body_done()));
    }
    session.read_response().await?;
    let head = session.resp_header().map(header_case::clone_without_case);
    let head = head.ok_or_else(|| Error::explain(ErrorType::InternalError, "no response head after it was read"))?;
    check_transfer_encoding(&head.headers)?;
    Ok(UpstreamEvent::Head(Box::new(head), session.is_body_done()))
}

/// Returns whether no other head follows this one.
fn is_last(head: &ResponseHeader) -> bool {
    !head.status.is_informational() || head.status == StatusCode::SWITCHING_PROTOCOLS
}

/// Accepts `chunked` alone. Any other coding would be lost, since the field is not forwarded.
fn check_transfer_encoding(fields: &HeaderMap) -> Result<()> {
    let mut codings = fields.get_all(TRANSFER_ENCODING).iter();
    let is_chunked = codings
        .next()
        .is_none_or(|coding| coding.as_bytes().eq_ignore_ascii_case(b"chunked"));
    match is_chunked && codings.next().is_none() {
        true => Ok(()),
        false => Error::e_explain(
            ErrorType::InvalidHTTPHeader,
            "the service uses a transfer coding other than `chunked`",
        ),
    }
}
