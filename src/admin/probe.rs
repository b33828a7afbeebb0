//! Asks the service how it is, for those who cannot reach it: a kubelet, where the service listens
//! on loopback. It asks for one path that the configuration names, and nothing of who asks gets
//! there; of the answer, nothing but its status gets out.

use bytes::Bytes;
use http::header::{ACCEPT, CONNECTION, HOST, USER_AGENT};
use http::{Request, StatusCode};
use http_body_util::Empty;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::Mutex;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use crate::config::{ListenAddress, ProbeConfig};

/// Where the service is asked for.
pub(super) const PATH: &str = "/upstream/healthz";

/// The longest head of an answer, in bytes.
const HEAD_BYTES: usize = 16 * 1024;

/// Asks one service, once at a time.
#[derive(Debug)]
pub struct Probe {
    config: ProbeConfig,
    /// The last answer, and when it was there.
    last: Mutex<Option<(Instant, Health)>>,
}

/// How a service is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Health {
    /// Its own status, or one that says why there is none.
    pub(super) status: StatusCode,
    /// Why there is no status of its own.
    pub(super) reason: Option<String>,
}

impl Health {
    fn is_fine(&self) -> bool {
        self.status.is_success() || self.status.is_redirection()
    }
}

impl Probe {
    /// Asks nothing yet.
    pub fn new(config: ProbeConfig) -> Self {
        let last = Mutex::default();
        Self { config, last }
    }

    /// Asks the service. Who comes while it is being asked gets the same answer, so that however
    /// many come, the service has one connection, and nobody waits longer than for one answer.
    pub(super) async fn ask(&self) -> Health {
        let came = Instant::now();
        let mut last = self.last.lock().await;
        if let Some((_, health)) = last.as_ref().filter(|(over, _)| *over >= came) {
            return health.clone();
        }
        let (status, reason) = match timeout(self.config.timeout, self.fetch()).await {
            Ok(Ok(status)) => (status, None),
            Ok(Err(reason)) => (StatusCode::SERVICE_UNAVAILABLE, Some(reason)),
            Err(_) => (
                StatusCode::GATEWAY_TIMEOUT,
                Some("the service did not answer in time".into()),
            ),
        };
        let health = Health { status, reason };
        tell(last.as_ref().map(|(_, health)| health), &health);
        *last = Some((Instant::now(), health.clone()));
        health
    }

    async fn fetch(&self) -> Result<StatusCode, String> {
        let unreachable = |error| format!("the service cannot be reached: {error}");
        match &self.config.upstream {
            ListenAddress::Tcp(address) => self.get(TcpStream::connect(address).await.map_err(unreachable)?).await,
            ListenAddress::Unix(path) => self.get(UnixStream::connect(path).await.map_err(unreachable)?).await,
        }
    }

    async fn get(&self, stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) -> Result<StatusCode, String> {
        let failed = |error| format!("the service gave no answer: {error}");
        let request = Request::get(self.config.path.as_str())
            .header(HOST, &self.config.host)
            .header(USER_AGENT, concat!("sidegate/", env!("CARGO_PKG_VERSION")))
            .header(ACCEPT, "*/*")
            .header(CONNECTION, "close")
            .body(Empty::<Bytes>::new());
        let request = request.map_err(|error| error.to_string())?;
        let mut builder = http1::Builder::new();
        builder.max_buf_size(HEAD_BYTES);
        let (mut sender, connection) = builder.handshake(TokioIo::new(stream)).await.map_err(failed)?;
        // Ends with this function: nobody wants the body.
        let mut connections = JoinSet::new();
        connections.spawn(connection);
        let status = sender.send_request(request).await.map_err(failed)?.status();
        match status.as_u16() {
            200..=599 => Ok(status),
            other => Err(format!("the service answered {other}")),
        }
    }
}

/// Tells operators when a service falls ill or recovers, but not each time that somebody asks.
fn tell(before: Option<&Health>, now: &Health) {
    let status = now.status.as_u16();
    match (before.is_none_or(Health::is_fine), now.is_fine()) {
        (true, false) => {
            let reason = now.reason.as_deref().unwrap_or("its own answer");
            tracing::warn!(status, reason, "the service fails its probe");
        }
        (false, true) => tracing::info!(status, "the service passes its probe again"),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    fn probe(address: std::net::SocketAddr) -> Probe {
        Probe::new(ProbeConfig {
            upstream: ListenAddress::Tcp(address),
            host: "localhost".into(),
            path: "/health".parse().unwrap(),
            timeout: Duration::from_secs(5),
        })
    }

    #[tokio::test]
    async fn those_who_come_together_are_one_request() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let probe = probe(listener.local_addr().unwrap());
        let asked = AtomicUsize::new(0);
        let service = async {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                asked.fetch_add(1, Ordering::Relaxed);
                assert!(stream.read(&mut [0; 1024]).await.unwrap() > 0);
                let answer = b"HTTP/1.1 204 No Content\r\n\r\n";
                stream.write_all(answer).await.unwrap();
            }
        };
        let ask = async {
            let together = tokio::join!(probe.ask(), probe.ask(), probe.ask());
            assert_eq!(
                [&together.0, &together.1, &together.2].map(|h| h.status.as_u16()),
                [204; 3]
            );
            assert_eq!(asked.load(Ordering::Relaxed), 1);
            // Who comes later wants to know how it is by then.
            probe.ask().await;
            assert_eq!(asked.load(Ordering::Relaxed), 2);
        };
        tokio::select! {
            () = service => {}
            () = ask => {}
        }
    }
}
