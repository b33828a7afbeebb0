//! What a service is told, and what it answers, each within the time for which it may be silent.

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

/// A connection to a service, with the timer for all its waits.
pub(in crate::proxy) struct PooledConnection {
    pub(in crate::proxy) stream: Stream,
    patience: ReusableTimer,
}

impl From<Stream> for PooledConnection {
    fn from(stream: Stream) -> Self {
        Self {
            stream,
            patience: ReusableTimer::default(),
        }
    }
}

/// A service during one exchange.
pub(in crate::proxy) struct UpstreamSession {
    session: HttpSession,
    patience: ReusableTimer,
    timeout: Duration,
}

impl UpstreamSession {
    /// A service that may be silent for so long.
    pub(in crate::proxy) fn new(connection: PooledConnection, timeout: Duration) -> Self {
        Self {
            session: HttpSession::new(connection.stream),
            patience: connection.patience,
            timeout,
        }
    }

    /// Gives the connection back, if it can have another exchange. That needs no wait; what would is
    /// the end of one that cannot, and dropping it ends it, too.
    pub(in crate::proxy) fn into_connection(mut self) -> Option<PooledConnection> {
        self.session.respect_keepalive();
        let stream = self.session.reuse().now_or_never().flatten()?;
        Some(PooledConnection {
            stream,
            patience: self.patience,
        })
    }

    /// Writes the head of a request.
    pub(in crate::proxy) async fn write_head(&mut self, head: Box<RequestHeader>) -> Result<()> {
        let write = async { self.session.write_request_header(head).await.map(drop) };
        let written = self.patience.within(self.timeout, write).await;
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
        let written = self.patience.within(self.timeout, write).await;
        map_timeout(written, ErrorType::WriteTimedout)
    }

    /// Reads the next part of the answer. What was read is not lost if this is dropped. The time that
    /// the service takes counts once it has the whole request: before, it may be waiting for more.
    pub(in crate::proxy) async fn next(&mut self, counts: bool) -> Result<HttpTask> {
        let read = next(&mut self.session);
        let read = match counts {
            true => self.patience.within(self.timeout, read).await,
            false => Some(read.await),
        };
        map_timeout(read, ErrorType::ReadTimedout)
    }
}

/// What became of a wait for a service, and that it was one for a service.
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
    let head = head.ok_or_else(|| Error::explain(ErrorType::InternalError, "no head after it was read"))?;
    Ok(HttpTask::Header(Box::new(head), session.is_body_done()))
}
