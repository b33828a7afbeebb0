//! A client that keeps its connections, for what `wrk` cannot do: a fixed rate, and certificates.
//!
//! ```text
//! client ADDRESS CONNECTIONS SECONDS|COUNTx RATE STATUS REQUESTS [CA CERTIFICATE KEY]
//! ```
//!
//! It sends for so many seconds, or so many requests and waits for the last response. Each connection has a
//! thread, and its own times to send at. A late response delays the next request and not the time from which
//! that one is measured, so the figures are what a client would have waited (no coordinated omission). Rate 0
//! sends as fast as responses come.
//!
//! REQUESTS is a file with a JSON list of whole requests, which are sent in turn. Answers need a
//! `content-length`. One that has another status, or does not come, ends the run.
//! Prints a JSON object.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a measurement that cannot go on says so by panicking"
)]

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

/// How long a response may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long before the first request all connections are made.
const SETTLE: Duration = Duration::from_millis(300);

trait Transport: Read + Write + Send {}
impl<T: Read + Write + Send> Transport for T {}

/// When a run is over.
#[derive(Clone, Copy)]
enum Until {
    Moment(Instant),
    Sent(usize),
}

/// What one connection has to do.
#[derive(Clone)]
struct Task {
    status: String,
    requests: Arc<Vec<String>>,
    /// Which request it begins with, and how many it passes over each time.
    first: usize,
    stride: usize,
    start: Instant,
    end: Until,
    /// From one intended time to the next.
    interval: Duration,
}

fn main() {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let [address, connections, end, rate, status, requests, tls @ ..] = &arguments[..] else {
        panic!("client ADDRESS CONNECTIONS SECONDS|COUNTx RATE STATUS REQUESTS [CA CERTIFICATE KEY]");
    };
    let (connections, rate): (u32, u32) = (connections.parse().unwrap(), rate.parse().unwrap());
    let requests: Vec<String> = serde_json::from_slice(&std::fs::read(requests).unwrap()).unwrap();
    let requests = Arc::new(requests);
    let tls = (!tls.is_empty()).then(|| tls_config(tls));

    // Threads inherit it: sleep to the moment, not to the nearest 50 µs.
    let _ = std::fs::write("/proc/self/timerslack_ns", "1");
    let start = Instant::now() + SETTLE;
    let end = match end.strip_suffix('x') {
        Some(count) => Until::Sent(count.parse().unwrap()),
        None => Until::Moment(start + Duration::from_secs(end.parse().unwrap())),
    };
    let threads: Vec<_> = (0..connections)
        .map(|at| {
            let mut transport = connect(address, tls.as_ref());
            let interval = match rate {
                0 => Duration::ZERO,
                rate => Duration::from_secs(1) * connections / rate,
            };
            let task = Task {
                status: format!("HTTP/1.1 {status} "),
                requests: Arc::clone(&requests),
                first: at as usize,
                stride: connections as usize,
                start: start + interval * at / connections,
                end,
                interval,
            };
            thread::spawn(move || task.run(&mut *transport))
        })
        .collect();
    let mut took: Vec<_> = threads
        .into_iter()
        .flat_map(|thread| thread.join().expect("a connection failed"))
        .collect();
    println!("{}", report(&mut took, start.elapsed()));
}

/// Latencies in nanoseconds.
fn report(took: &mut [u64], elapsed: Duration) -> serde_json::Value {
    took.sort_unstable();
    let quantile = |thousandths: usize| took.get((took.len() * thousandths / 1000).min(took.len().saturating_sub(1)));
    let micros = |thousandths: usize| quantile(thousandths).map(|&nanos| nanos / 100).map(tenths);
    serde_json::json!({
        "requests": took.len(),
        "seconds": elapsed.as_secs_f64(),
        "p50_us": micros(500),
        "p90_us": micros(900),
        "p99_us": micros(990),
        "p999_us": micros(999),
        "max_us": micros(1000),
    })
}

fn tenths(value: u64) -> f64 {
    f64::from(u32::try_from(value).unwrap_or(u32::MAX)) / 10.0
}

fn tls_config(files: &[String]) -> Arc<ClientConfig> {
    let [ca, certificate, key] = files else {
        panic!("TLS needs a CA, a certificate and a key");
    };
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(ca).unwrap()).unwrap();
    let chain = vec![CertificateDer::from_pem_file(certificate).unwrap()];
    let key = PrivateKeyDer::from_pem_file(key).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_protocol_versions(&[&rustls::version::TLS13]);
    let config = builder.unwrap().with_root_certificates(roots);
    Arc::new(config.with_client_auth_cert(chain, key).unwrap())
}

fn connect(address: &str, tls: Option<&Arc<ClientConfig>>) -> Box<dyn Transport> {
    let tcp = TcpStream::connect(address).expect("it connects");
    tcp.set_nodelay(true).unwrap();
    tcp.set_read_timeout(Some(PATIENCE)).unwrap();
    let Some(config) = tls else { return Box::new(tcp) };
    let name = ServerName::try_from("localhost").unwrap();
    let session = ClientConnection::new(Arc::clone(config), name).unwrap();
    let mut stream = StreamOwned::new(session, tcp);
    stream.conn.complete_io(&mut stream.sock).expect("the handshake works");
    Box::new(stream)
}

impl Task {
    /// Sends requests at their times until the end, and tells how long each took.
    fn run(&self, transport: &mut dyn Transport) -> Vec<u64> {
        let mut took = Vec::new();
        let mut buffer = vec![0; 64 * 1024];
        let mut at = self.first;
        let mut intended = self.start;
        loop {
            thread::sleep(intended.saturating_duration_since(Instant::now()));
            if self.interval.is_zero() {
                intended = Instant::now();
            }
            let over = match self.end {
                Until::Moment(end) => intended >= end,
                Until::Sent(count) => at >= count,
            };
            if over {
                return took;
            }
            let request = &self.requests[at % self.requests.len()];
            transport.write_all(request.as_bytes()).expect("it is sent");
            read_answer(transport, &mut buffer, &self.status);
            took.push(u64::try_from(intended.elapsed().as_nanos()).unwrap());
            at += self.stride;
            intended += self.interval;
        }
    }
}

fn read_answer(transport: &mut dyn Transport, buffer: &mut [u8], status: &str) {
    let (mut filled, mut expected) = (0, None);
    while expected.is_none_or(|length| filled < length) {
        // Of a body that is longer than the buffer, only the length counts.
        let from = filled.min(buffer.len() - 1).min(match expected {
            Some(_) => 0,
            None => usize::MAX,
        });
        let count = transport.read(&mut buffer[from..]).expect("an answer comes");
        assert!(count > 0, "the connection ended");
        filled += count;
        if expected.is_none() {
            expected = length_of(&buffer[..filled], status);
        }
    }
    assert_eq!(expected, Some(filled), "more came than was asked for");
}

/// Returns the length of a response, once its head is complete.
fn length_of(answer: &[u8], status: &str) -> Option<usize> {
    let head = memchr::memmem::find(answer, b"\r\n\r\n")? + 4;
    let text = std::str::from_utf8(&answer[..head]).expect("a head is ASCII");
    assert!(text.starts_with(status), "not {status:?}: {text}");
    let length = text.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length")
            .then(|| value.trim().parse::<usize>())
    });
    Some(head + length.expect("there is a length").expect("it is a number"))
}
