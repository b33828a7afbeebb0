//! Serves the requests of an HTTP/2 connection, each in a task of pingora.

use std::sync::Arc;

use async_trait::async_trait;
use pingora::apps::{HttpServerApp, HttpServerOptions, ReusedHttpStream};
use pingora::protocols::http::ServerSession;
use pingora::protocols::http::v2::server::H2Options;
use pingora::server::ShutdownWatch;

use super::http2_limits;
use crate::proxy::gateway::Gateway;
use crate::proxy::session::ClientSession;

/// Serves HTTP/2 connections.
pub(super) struct Http2Server {
    gateway: Arc<Gateway>,
    options: HttpServerOptions,
}

impl Http2Server {
    /// Serves requests through a gateway.
    pub(super) fn new(gateway: Arc<Gateway>) -> Self {
        let mut options = HttpServerOptions::default();
        // `StrictStream` looks for the preface, and cannot hang.
        options.h2c = true;
        // Sidegate itself rejects it, and not pingora.
        options.allow_connect_method_proxying = true;
        options.h2_idle_timeout = Some(gateway.limits.idle_timeout);
        Self { gateway, options }
    }
}

#[async_trait]
impl HttpServerApp for Http2Server {
    async fn process_new_http(self: &Arc<Self>, session: ServerSession, _: &ShutdownWatch) -> Option<ReusedHttpStream> {
        let mut session = ClientSession::new(session, &self.gateway.limits);
        match self.gateway.handle(&mut session).await {
            Ok(()) => drop(session.finish().await),
            Err(_) => session.abort().await,
        }
        None
    }

    fn h2_options(&self) -> Option<H2Options> {
        Some(http2_limits::options(&self.gateway.limits))
    }

    fn server_options(&self) -> Option<&HttpServerOptions> {
        Some(&self.options)
    }
}
