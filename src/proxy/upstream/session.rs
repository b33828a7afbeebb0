//! The session with an upstream: writes the request and reads the response, each within the upstream's timeout.

use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt as _;
use pingora::http::RequestHeader;
use pingora::protocols::Stream;
use pingora::protocols::http::HttpTask;
use pingora::protocols::http::v1::client::HttpSession;
use pingora::{Error, ErrorType, Result};

use crate::proxy::deadline::ReusableTimer;
use crate::proxy::header_case;

/// A connection to an upstream, with the timer for all its waits.
pub(in crate::proxy) struct PooledConnection {
    pub(in crate::proxy) stream: Stream,
    timer: ReusableTimer,
}

impl From<Stream> for PooledConnection {
    fn from(stream: Stream) -> Self {
        Self {
            stream,
            timer: ReusableTimer::default(),
        }
    }
}

/// A session with an upstream for one request.
pub(in crate::proxy) struct UpstreamSession {
    session: HttpSession,
    timer: ReusableTimer,
    timeout: Duration,
}

impl UpstreamSession {
    /// Begins a session over a connection. The upstream may be silent for `timeout`.
    pub(in crate::proxy) fn new(connection: PooledConnection, timeout: Duration) -> Self {
        Self {
            session: HttpSession::new(connection.stream),
            timer: connection.timer,
            timeout,
        }
    }

    /// Returns the connection if it is reusable. That needs no wait; a connection that is not reusable is closed by
    /// dropping it.
    pub(in crate::proxy) fn into_connection(mut self) -> Option<PooledConnection> {
        self.session.respect_keepalive();
        let stream = self.session.reuse().now_or_never().flatten()?;
        Some(PooledConnection {
            stream,
            timer: self.timer,
        })
    }

    /// Writes the head of a request.
    pub(in crate::proxy) async fn write_head(&mut self, head: Box<RequestHeader>) -> Result<()> {
        let write = async { self.session.write_request_header(head).await.map(drop) };
        let written = self.timer.within(self.timeout, write).await;
        map_timeout(written, ErrorType::WriteTimedout)
    }

    /// Writes a part of the request's body, and its end.
    pub(in crate::proxy) async fn write(&mut self, part: Option<Bytes>, ends: bool) -> Result<()> {
        let session = &mut self.session;
        let write = async {
            if let Some(part) = part.filter(|part| !part.is_empty()) {
                session.write_body(&part).await?;
            }
            if ends {
                session.finish_body().await?;
            }
            Ok(())
        };
        let written = self.timer.within(self.timeout, write).await;
        map_timeout(written, ErrorType::WriteTimedout)
    }

    /// Reads the next part of the response. Cancel safe. The timeout applies if `is_timed`: before the upstream has
    /// the whole request, it may be waiting for the client.
    pub(in crate::proxy) async fn next(&mut self, is_timed: bool) -> Result<HttpTask> {
        let read = next(&mut self.session);
        let read = match is_timed {
            true => self.timer.within(self.timeout, read).await,
            false => Some(read.await),
        };
        map_timeout(read, ErrorType::ReadTimedout)
    }
}

/// Maps a timeout to an error, and attributes errors to the upstream.
fn map_timeout<T>(done: Option<Result<T>>, late: ErrorType) -> Result<T> {
    let done = done.unwrap_or_else(|| Error::e_explain(late, "the service is silent"));
    done.map_err(Error::into_up)
}

async fn next(session: &mut HttpSession) -> Result<HttpTask> {
    let has_head = session
        .resp_header()
        .is_some_and(|head| !head.status.is_informational());
    if has_head {
        let part = session.read_body_bytes().await?;
        return Ok(HttpTask::Body(part, session.is_body_done()));
    }
    session.read_response().await?;
    let head = session.resp_header().map(header_case::clone_without_case);
    let head = head.ok_or_else(|| Error::explain(ErrorType::InternalError, "no response head after it was read"))?;
    Ok(HttpTask::Header(Box::new(head), session.is_body_done()))
}
