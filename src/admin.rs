//! `/metrics`, `/livez`, `/readyz` and `/upstream/healthz` on their own listener, for one short
//! request a connection.
//! Nothing here changes anything.

use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE};
use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::telemetry::metrics::Metrics;

mod probe;
mod readiness;

pub use probe::Probe;
pub use readiness::Readiness;

/// The most connections at a time; others are closed.
const CONNECTIONS: usize = 128;

/// How long to wait when no connection can be accepted.
const PAUSE: Duration = Duration::from_secs(1);

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

impl Admin {
    async fn respond(&self, method: &Method, path: &str) -> Response<Full<Bytes>> {
        let readable = matches!(*method, Method::GET | Method::HEAD);
        let (status, kind, body) = match readable {
            true => self.page(path).await,
            false => (StatusCode::METHOD_NOT_ALLOWED, "text/plain".into(), Vec::new()),
        };
        let mut response = Response::builder()
            .status(status)
            .header(CONTENT_TYPE, kind)
            .header(CACHE_CONTROL, "no-store");
        if !readable {
            response = response.header(ALLOW, "GET, HEAD");
        }
        response.body(Full::from(body)).unwrap_or_default()
    }
}

/// Serves the admin listener's connections, few and short, so that they cost the others nothing.
#[derive(Debug)]
pub struct AdminServer {
    pages: Arc<Admin>,
    places: Arc<Semaphore>,
}

impl AdminServer {
    /// Serves some pages.
    pub fn new(pages: Admin) -> Self {
        Self {
            pages: Arc::new(pages),
            places: Arc::new(Semaphore::new(CONNECTIONS)),
        }
    }

    /// Serves a socket that does not block, for as long as the process runs: operators see it drain.
    pub fn serve(self, socket: std::net::TcpListener) -> io::Result<impl Future<Output = ()> + Send + 'static> {
        let listener = TcpListener::from_std(socket)?;
        Ok(async move {
            loop {
                match listener.accept().await {
                    Ok((stream, _)) => self.begin(stream),
                    Err(error) => {
                        tracing::error!(listener = "admin", %error, "no connection can be accepted");
                        tokio::time::sleep(PAUSE).await;
                    }
                }
            }
        })
    }

    fn begin(&self, stream: TcpStream) {
        let Ok(place) = Arc::clone(&self.places).try_acquire_owned() else {
            return;
        };
        let pages = Arc::clone(&self.pages);
        tokio::spawn(async move {
            let service = service_fn(async |request: Request<Incoming>| {
                Ok::<_, Infallible>(pages.respond(request.method(), request.uri().path()).await)
            });
            let served = http1::Builder::new()
                .keep_alive(false)
                .serve_connection(TokioIo::new(stream), service);
            let _ = timeout(CONNECTION_TIME, served).await;
            drop(place);
        });
    }
}
