//! A session over an HTTP/1.1 connection.

use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt as _;
use http::header::TRANSFER_ENCODING;
use http::{HeaderMap, StatusCode};
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
}

impl Http1Session {
    pub(super) fn new(connection: PooledConnection) -> Self {
        Self {
            session: HttpSession::new(connection.stream),
            timer: connection.timer,
        }
    }

    /// Returns the connection if it is reusable. That needs no wait; a connection that is not reusable is closed by
    /// dropping it.
    pub(super) fn into_connection(mut self) -> Option<PooledConnection> {
        self.session.respect_keepalive();
        let stream = self.session.reuse().now_or_never().flatten()?;
        Some(PooledConnection {
            stream,
            timer: self.timer,
        })
    }

    pub(super) async fn write_head(&mut self, head: Box<RequestHeader>, limit: Duration) -> Result<()> {
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
