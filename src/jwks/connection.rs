//! A connection to a key server for one request. The bytes that are read from it are limited in total: heads,
//! interim responses, chunks and the TLS handshake count. The task that waits for the response drives it.

use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::header::HOST;
use http::{HeaderValue, Request, Response, Uri};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::timing::FETCH_TIMEOUT;

/// The longest body of a response, in bytes.
pub(super) const MAX_BYTES: usize = 256 * 1024;

/// The longest head of a response, and the size of the read buffer.
const MAX_HEAD: usize = 64 * 1024;

/// The limit of bytes that are read from one connection.
const MAX_READ: usize = MAX_BYTES + MAX_HEAD;

/// How long connecting to an address may take if the host has another one.
const ADDRESS_TIME: Duration = Duration::from_secs(1);

/// Sends a request, and reads the response. Reads the body only of a successful one.
pub(super) async fn send(request: Request<Empty<Bytes>>, tls: &Arc<ClientConfig>) -> Result<Response<Bytes>, String> {
    let (uri, request) = in_origin_form(request)?;
    let host = uri.host().ok_or("the URL has no host")?;
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let is_tls = uri.scheme_str() == Some("https");
    let port = uri.port_u16().unwrap_or(if is_tls { 443 } else { 80 });
    let socket = Bounded {
        socket: connect(host, port).await.map_err(|error| cause(&error))?,
        left: MAX_READ,
    };
    let stream: Box<dyn Stream> = if is_tls {
        let name = ServerName::try_from(host.to_owned()).map_err(|error| cause(&error))?;
        let tls = TlsConnector::from(Arc::clone(tls)).connect(name, socket).await;
        Box::new(tls.map_err(|error| cause(&error))?)
    } else {
        Box::new(socket)
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

/// Returns the innermost cause, which helps an operator most.
fn cause(error: &dyn std::error::Error) -> String {
    let mut inner = error;
    while let Some(source) = inner.source() {
        inner = source;
    }
    inner.to_string()
}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// A socket from which only a limited number of bytes is read.
struct Bounded {
    socket: TcpStream,
    left: usize,
}

impl AsyncRead for Bounded {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.left == 0 {
            let what = format!("the server sent more than {} KiB", MAX_READ / 1024);
            return Poll::Ready(Err(io::Error::other(what)));
        }
        let before = into.filled().len();
        let read = Pin::new(&mut self.socket).poll_read(cx, into);
        self.left = self.left.saturating_sub(into.filled().len() - before);
        read
    }
}

impl AsyncWrite for Bounded {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }
}
