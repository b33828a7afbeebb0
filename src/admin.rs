//! `/metrics`, `/livez`, `/readyz` and `/upstream/healthz` on their own listener, for one short
//! request a connection.
//! Nothing here changes anything.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE};
use http::{Method, Response, StatusCode};
use pingora::apps::ServerApp;
use pingora::apps::http_app::{HttpServer, ServeHttp};
use pingora::protocols::Stream;
use pingora::protocols::http::ServerSession;
use pingora::server::ShutdownWatch;
use tokio::sync::Semaphore;

use crate::telemetry::metrics::Metrics;

mod probe;
mod readiness;

pub use probe::Probe;
pub use readiness::Readiness;

/// The most connections at a time; others are closed.
const CONNECTIONS: usize = 128;

/// How long a connection may take for its request and the response.
const CONNECTION_TIME: Duration = Duration::from_secs(10);

/// The admin listener's pages.
#[derive(Debug)]
pub struct Admin {
    metrics: Metrics,
    readiness: Arc<Readiness>,
    probe: Option<Probe>,
}

impl Admin {
    /// Serves the metrics and the readiness of a process, and what a probe finds.
    pub fn new(metrics: Metrics, readiness: Arc<Readiness>, probe: Option<Probe>) -> Self {
        Self {
            metrics,
            readiness,
            probe,
        }
    }

    async fn page(&self, path: &str) -> (StatusCode, String, Vec<u8>) {
        let text = "text/plain; charset=utf-8".to_owned();
        match path {
            probe::PATH if let Some(probe) = &self.probe => {
                let health = probe.ask().await;
                let reason = health.reason.map_or_else(String::new, |reason| reason + "\n");
                (health.status, text, reason.into_bytes())
            }
            "/livez" => (StatusCode::OK, text, b"ok\n".to_vec()),
            "/readyz" => {
                let (status, page) = self.readiness.page();
                (status, text, page.into_bytes())
            }
            "/metrics" => {
                self.readiness.update_metrics();
                match self.metrics.page() {
                    Ok((kind, page)) => (StatusCode::OK, kind, page),
                    Err(error) => (
                        StatusCode::INTERNAL_SERVER_ERROR,
                        text,
                        format!("{error}\n").into_bytes(),
                    ),
                }
            }
            _ => (
                StatusCode::NOT_FOUND,
                text,
                b"see /metrics, /livez and /readyz\n".to_vec(),
            ),
        }
    }
}

#[async_trait]
impl ServeHttp for Admin {
    async fn response(&self, session: &mut ServerSession) -> Response<Vec<u8>> {
        session.set_keepalive(None);
        let request = session.req_header();
        let readable = matches!(request.method, Method::GET | Method::HEAD);
        let (status, kind, body) = match readable {
            true => self.page(request.uri.path()).await,
            false => (StatusCode::METHOD_NOT_ALLOWED, "text/plain".into(), Vec::new()),
        };
        let mut response = Response::builder()
            .status(status)
            .header(CONTENT_TYPE, kind)
            .header(CACHE_CONTROL, "no-store");
        // RFC 9110, 8.6.
        if !matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED) {
            response = response.header(CONTENT_LENGTH, body.len());
        }
        if !readable {
            response = response.header(ALLOW, "GET, HEAD");
        }
        let body = if request.method == Method::HEAD {
            Vec::new()
        } else {
            body
        };
        response.body(body).unwrap_or_default()
    }
}

/// Serves the admin listener's connections, few and short, so that they cost the others nothing.
pub struct AdminServer {
    pages: Arc<HttpServer<Admin>>,
    places: Semaphore,
}

impl std::fmt::Debug for AdminServer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AdminServer")
            .field("places", &self.places)
            .finish_non_exhaustive()
    }
}

impl AdminServer {
    /// Serves some pages.
    pub fn new(pages: Admin) -> Self {
        Self {
            pages: Arc::new(HttpServer::new_app(pages)),
            places: Semaphore::new(CONNECTIONS),
        }
    }
}

#[async_trait]
impl ServerApp for AdminServer {
    async fn process_new(self: &Arc<Self>, stream: Stream, shutdown: &ShutdownWatch) -> Option<Stream> {
        let _place = self.places.try_acquire().ok()?;
        let served = self.pages.process_new(stream, shutdown);
        tokio::time::timeout(CONNECTION_TIME, served).await.ok().flatten()
    }
}
