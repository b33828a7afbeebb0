//! A connection to a key server for one request, through a proxy or not. The bytes that are read are limited in total: heads,
//! interim responses, chunks and the TLS handshake count. The task that waits for the response drives it.

use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::HOST;
use http::{HeaderValue, Request, Response, Uri};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::proxy::Proxy;
use super::stream::{Bounded, MAX_BYTES, MAX_HEAD, Stream, cause};
use super::timing::FETCH_TIMEOUT;
use super::tunnel;

/// How long connecting to an address may take if the host has another one.
const ADDRESS_TIME: Duration = Duration::from_secs(1);

/// A proxy, and what is needed to reach it.
pub(super) struct Via<'p> {
    /// The proxy.
    pub(super) proxy: &'p Proxy,
    /// Verifies a proxy that speaks TLS.
    pub(super) tls: Arc<ClientConfig>,
    /// What the fetch waits for while the proxy has opened no tunnel.
    pub(super) waiting: Arc<Waiting>,
}

/// What a fetch waits for, if it is a proxy.
#[derive(Debug, Default)]
pub(super) struct Waiting(Mutex<Option<String>>);

impl Waiting {
    fn set(&self, what: Option<String>) {
        *self.0.lock() = what;
    }

    /// Returns what the fetch waits for.
    pub(super) fn get(&self) -> Option<String> {
        self.0.lock().clone()
    }
}

/// Sends a request, and reads the response. Reads the body only of a successful one.
pub(super) async fn send(
    request: Request<Empty<Bytes>>,
    tls: &Arc<ClientConfig>,
    via: Option<&Via<'_>>,
) -> Result<Response<Bytes>, String> {
    let (uri, request) = in_origin_form(request)?;
    let host = uri.host().ok_or("the URL has no host")?;
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let is_tls = uri.scheme_str() == Some("https");
    let port = uri.port_u16().unwrap_or(if is_tls { 443 } else { 80 });
    let socket: Box<dyn Stream> = match via {
        None => Box::new(Bounded::new(connect(host, port).await.map_err(|error| cause(&error))?)),
        Some(via) => through(via, host, port).await?,
    };
    let stream: Box<dyn Stream> = if is_tls {
        let name = ServerName::try_from(host.to_owned()).map_err(|error| cause(&error))?;
        let tls = TlsConnector::from(Arc::clone(tls)).connect(name, socket).await;
        Box::new(tls.map_err(|error| cause(&error))?)
    } else {
        socket
    };
    let mut builder = http1::Builder::new();
    let opened = builder.max_buf_size(MAX_HEAD).handshake(TokioIo::new(stream)).await;
    let (mut sender, connection) = opened.map_err(|error| cause(&error))?;
    let mut response = pin!(async {
        let response = sender.send_request(request).await.map_err(|error| cause(&error))?;
        if !response.status().is_success() {
            return Ok(response.map(|_| Bytes::new()));
        }
        let (head, body) = response.into_parts();
        let body = Limited::new(body, MAX_BYTES).collect().await;
        let body = body.map_err(|_| format!("the response is longer than {} KiB, or was cut off", MAX_BYTES / 1024))?;
        Ok(Response::from_parts(head, body.to_bytes()))
    });
    tokio::select! {
        biased;
        response = &mut response => response,
        // The parts that arrived before the end of the connection are still buffered.
        _ = connection => response.await,
    }
}

/// Opens a tunnel to a server.
async fn through(via: &Via<'_>, host: &str, port: u16) -> Result<Box<dyn Stream>, String> {
    let Via { proxy, tls, waiting } = via;
    let target = match host.contains(':') {
        true => format!("[{host}]:{port}"),
        false => format!("{host}:{port}"),
    };
    waiting.set(Some(format!("the proxy {proxy} opened no tunnel to {target}")));
    let socket = connect(&proxy.host, proxy.port).await;
    let socket = socket.map_err(|error| format!("the proxy {proxy} cannot be reached: {}", cause(&error)))?;
    let tunnel = tunnel::open(proxy, Bounded::new(socket), tls, &target).await?;
    waiting.set(None);
    Ok(tunnel)
}

/// Turns a request into origin form: the path as the target, and the host in `Host` (RFC 9112, 3.2.1).
fn in_origin_form(mut request: Request<Empty<Bytes>>) -> Result<(Uri, Request<Empty<Bytes>>), String> {
    let path = request.uri().path_and_query().cloned();
    let uri = std::mem::replace(request.uri_mut(), path.map_or_else(|| Uri::from_static("/"), Uri::from));
    let authority = uri.authority().map_or("", |authority| authority.as_str());
    let host = HeaderValue::from_str(authority).map_err(|error| error.to_string())?;
    request.headers_mut().insert(HOST, host);
    Ok((uri, request))
}

async fn connect(host: &str, port: u16) -> io::Result<TcpStream> {
    let mut addresses = lookup_host((host, port)).await?.peekable();
    let mut failed = io::Error::from(io::ErrorKind::AddrNotAvailable);
    while let Some(address) = addresses.next() {
        let within = addresses.peek().map_or(FETCH_TIMEOUT, |_| ADDRESS_TIME);
        match timeout(within, TcpStream::connect(address)).await {
            Ok(Ok(socket)) => return Ok(socket),
            Ok(Err(error)) => failed = error,
            Err(_) => failed = io::ErrorKind::TimedOut.into(),
        }
    }
    Err(failed)
}
