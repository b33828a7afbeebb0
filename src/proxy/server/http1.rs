//! Serves the requests of an HTTP/1 connection, one after the other.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use pingora::protocols::http::ServerSession;
use pingora::server::ShutdownWatch;
use pingora::{Error, ErrorType};
use tokio::sync::Notify;
use tokio::task::yield_now;

use crate::proxy::error_mapping::described;
use crate::proxy::gateway::Gateway;
use crate::proxy::session::ClientSession;
use crate::proxy::strict_stream::StrictStream;

/// How long each read of a head may take, in seconds. [`StrictStream`] limits the whole head.
const KEEPALIVE: u64 = 60;

/// Serves HTTP/1 connections.
#[derive(Debug)]
pub(super) struct Http1Server {
    gateway: Arc<Gateway>,
    /// How long a connection may be idle.
    idle: Duration,
    /// Closes connections that are idle when the process ends.
    close_idle: Notify,
}

impl Http1Server {
    /// Serves requests through a gateway.
    pub(super) fn new(gateway: Arc<Gateway>) -> Self {
        Self {
            idle: gateway.limits.idle_timeout.max(Duration::from_secs(1)),
            gateway,
            close_idle: Notify::new(),
        }
    }

    /// Closes all connections that are idle.
    pub(super) fn close_idle(&self) {
        self.close_idle.notify_waiters();
    }

    /// Serves the requests of a connection. Between two requests only the stream is in memory: most connections are
    /// idle most of the time, and the state of a request is large.
    pub(super) async fn serve(&self, mut stream: Box<StrictStream>, shutdown: &ShutdownWatch) {
        let mut close_idle = pin!(self.close_idle.notified());
        loop {
            let mut session = ServerSession::new_http1(stream);
            session.set_keepalive(Some(KEEPALIVE));
            let is_read = tokio::select! {
                biased;
                is_read = read_head(&mut session) => is_read,
                () = &mut close_idle => false,
            };
            if !is_read {
                return;
            }
            if *shutdown.borrow() {
                session.set_keepalive(None);
            }
            // In a box, which an idle connection does without.
            let Some(reusable) = Box::pin(self.serve_request(session)).await else {
                return;
            };
            stream = reusable;
            stream.expect_head();
            if stream.has_held_request() {
                // A client that does not wait for responses would have the thread for itself.
                yield_now().await;
            }
            let begins = tokio::select! {
                biased;
                begins = stream.has_next_request(self.idle) => begins,
                () = &mut close_idle => false,
            };
            if !begins {
                return;
            }
        }
    }

    /// Serves a request whose head is read. Returns its connection if that is reusable.
    async fn serve_request(&self, session: ServerSession) -> Option<Box<StrictStream>> {
        let mut session = ClientSession::new(session, &self.gateway.limits);
        if self.gateway.handle(&mut session).await.is_err() {
            session.abort().await;
            return None;
        }
        session.into_stream().await
    }
}

/// Reads the head of a request. Returns `false` if the connection has to end; the client has an error response then,
/// if one is due.
async fn read_head(session: &mut ServerSession) -> bool {
    match session.read_request().await {
        Ok(is_read) => is_read,
        Err(error) => {
            tracing::debug!(error = described(&error), "reading a request head failed");
            if *error.etype() == ErrorType::InvalidHTTPHeader {
                if let Some(stream) = session.stream().and_then(StrictStream::of) {
                    stream.head_is_malformed(malformed_cause(&error));
                }
                // The stream replaces pingora's response by Sidegate's.
                let _ = session.respond_error(400).await;
            }
            session.shutdown().await;
            false
        }
    }
}

/// Returns what pingora found in a head. Its own words may have bytes of the head.
fn malformed_cause(error: &Error) -> &'static str {
    const CAUSES: [(&str, &str); 6] = [
        ("multiple Host header fields", "`host` occurs twice"),
        ("userinfo in Host", "`host` has a user"),
        ("Host header differs", "`host` and the authority of the target differ"),
        ("missing Host header", "`host` is missing"),
        (
            "HTTP/1.0 requests cannot",
            "`transfer-encoding` is not part of HTTP/1.0",
        ),
        (
            "non-chunked final",
            "the last coding of `transfer-encoding` is not `chunked`",
        ),
    ];
    let context = error.context.as_ref().map_or("", |context| context.as_str());
    let known = CAUSES.iter().find(|(found, _)| context.starts_with(found));
    known.map_or(
        "a line of the head is not a valid field or request line",
        |(_, cause)| cause,
    )
}
