//! Asks the service how it is, for those who cannot reach it: a kubelet, where the service listens
//! on loopback. It sends a GET for the configured path, without anything from the request of the client, and
//! returns only the status of the response.

use std::io;

use http::StatusCode;
use pingora::protocols::l4::stream::Stream;
use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};

use crate::config::{ListenAddress, ProbeConfig};

/// Where the service is asked for.
pub(super) const PATH: &str = "/upstream/healthz";

/// The longest head of a response, in bytes.
const HEAD_BYTES: u64 = 16 * 1024;

/// Asks one service, once at a time.
#[derive(Debug)]
pub struct Probe {
    config: ProbeConfig,
    /// The last result, and when it arrived.
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

    /// Asks the service. Requests that arrive meanwhile share the result, so the service has one connection at
    /// a time, and no request waits for more than one response.
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
        let stream = self.connect().await;
        let stream = stream.map_err(|error| format!("the service cannot be reached: {error}"))?;
        let status = self.get(stream).await;
        status.map_err(|error| format!("the service sent no response: {error}"))
    }

    async fn connect(&self) -> io::Result<Stream> {
        match &self.config.upstream {
            ListenAddress::Tcp(address) => {
                let addresses: Vec<_> = std::iter::once(*address).chain(self.config.other_address).collect();
                TcpStream::connect(addresses.as_slice()).await.map(Stream::from)
            }
            ListenAddress::Unix(path) => UnixStream::connect(path).await.map(Stream::from),
        }
    }

    async fn get(&self, mut stream: Stream) -> io::Result<StatusCode> {
        let ProbeConfig { host, path, .. } = &self.config;
        let agent = concat!("sidegate/", env!("CARGO_PKG_VERSION"));
        let request = format!(
            "GET {path} HTTP/1.1\r\nhost: {host}\r\nuser-agent: {agent}\r\naccept: */*\r\nconnection: close\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).await?;
        stream.flush().await?;
        status(&mut BufReader::new(stream.take(HEAD_BYTES))).await
    }
}

/// Reads the status of the final response, with a complete head. Skips interim responses (RFC 9110, 15.2).
async fn status(answer: &mut (impl AsyncBufRead + Unpin)) -> io::Result<StatusCode> {
    loop {
        let first = line(answer).await?;
        let status = status_code(&first).ok_or_else(|| io::Error::other("the response is not HTTP"))?;
        while !line(answer).await?.is_empty() {}
        match status.as_u16() {
            200..=599 => return Ok(status),
            100 | 102..=199 => {}
            other => return Err(io::Error::other(format!("its status is {other}"))),
        }
    }
}

async fn line(answer: &mut (impl AsyncBufRead + Unpin)) -> io::Result<Vec<u8>> {
    let mut line = Vec::new();
    answer.read_until(b'\n', &mut line).await?;
    let whole = line.strip_suffix(b"\n").ok_or(io::ErrorKind::UnexpectedEof)?;
    Ok(whole.strip_suffix(b"\r").unwrap_or(whole).to_vec())
}

/// RFC 9112, 4: `HTTP/1.1 200 OK`, or without the last word.
fn status_code(line: &[u8]) -> Option<StatusCode> {
    match line.strip_prefix(b"HTTP/1.")? {
        [b'0'..=b'9', b' ', a, b, c] | [b'0'..=b'9', b' ', a, b, c, b' ', ..] => {
            StatusCode::from_bytes(&[*a, *b, *c]).ok()
        }
        _ => None,
    }
}

/// Logs when the health of the service changes, but not each request.
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
            other_address: None,
            host: "localhost".into(),
            path: "/health".parse().unwrap(),
            timeout: Duration::from_secs(5),
        })
    }

    #[tokio::test]
    async fn a_status_is_that_of_a_complete_answer() {
        for (answer, want) in [
            ("HTTP/1.1 200 OK\r\n\r\n", Some(200)),
            ("HTTP/1.1 503\r\na: b\r\n\r\nbody", Some(503)),
            ("HTTP/1.0 404 Not Found\n\n", Some(404)),
            (
                "HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\nHTTP/1.1 204 \r\n\r\n",
                Some(204),
            ),
            ("HTTP/1.1 101 Switching Protocols\r\n\r\n", None),
            ("HTTP/1.1 600 \r\n\r\n", None),
            ("HTTP/1.1 2000 OK\r\n\r\n", None),
            ("HTTP/1.1 20 OK\r\n\r\n", None),
            ("HTTP/2 200\r\n\r\n", None),
            ("HTTP/1.1 200 OK\r\n", None),
            ("HTTP/1.1 200", None),
            ("HTTP/1.1 103 \r\n\r\n", None),
            ("", None),
        ] {
            let found = status(&mut answer.as_bytes()).await;
            assert_eq!(found.ok().map(|status| status.as_u16()), want, "{answer:?}");
        }
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
