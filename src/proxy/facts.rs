//! The engine's session to [`RequestFacts`].

use std::borrow::Cow;
use std::net::IpAddr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{CONTENT_LENGTH, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION, TRANSFER_ENCODING, UPGRADE};
use http::{HeaderMap, Method, Version};
use pingora::http::RequestHeader;
use pingora::protocols::Stream;
use pingora::protocols::http::ServerSession;
use pingora::protocols::l4::socket::SocketAddr;

use crate::credential::ClientCertificate;
use crate::request::{self, Body, Downstream, RequestFacts, head, nominated};
use crate::tls::PeerCertificate;

/// What was on the wire before the path and the query: for HTTP/1 the request line as it came,
/// for the engine repairs some of what must be refused.
#[derive(Debug, Clone, Default)]
pub struct Target {
    bytes: Bytes,
    query_at: usize,
    /// Whether `Content-Length` stood beside `Transfer-Encoding`: the engine drops the one.
    pub double_framing: bool,
}

impl Target {
    /// Reads the target of a session's request.
    pub fn of(session: &ServerSession) -> Self {
        let header = session.req_header();
        let (bytes, double_framing) = match session.as_http1() {
            Some(_) => {
                let raw = session.to_h1_raw();
                let framed = header.headers.contains_key(TRANSFER_ENCODING)
                    && head::values(&raw, "content-length").next().is_some();
                let line = head::request_line(&raw).filter(|line| line.version.is_some());
                let target = line.map(|line| raw.slice_ref(line.target));
                (
                    target.unwrap_or_else(|| Bytes::copy_from_slice(header.raw_path())),
                    framed,
                )
            }
            None => (Bytes::copy_from_slice(header.raw_path()), false),
        };
        let query_at = bytes.iter().position(|&b| b == b'?').unwrap_or(bytes.len());
        Self {
            bytes,
            query_at,
            double_framing,
        }
    }

    /// The length in bytes.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether there is none, as in the authority-form of CONNECT over HTTP/2.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// The path.
    pub fn path(&self) -> &[u8] {
        self.bytes.get(..self.query_at).unwrap_or_default()
    }

    /// The path as it can be shown.
    pub fn shown_path(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(self.path())
    }

    /// The target with another path and the same query.
    pub fn with_path(&self, path: &[u8]) -> Bytes {
        match path == self.path() {
            true => self.bytes.clone(),
            false => [path, self.query()].concat().into(),
        }
    }

    /// The query with its `?`, or nothing.
    pub fn query(&self) -> &[u8] {
        self.bytes.get(self.query_at..).unwrap_or_default()
    }
}

/// Borrows all that a decision may read, but for what no session knows: the limits and the time.
pub fn of<'s>(session: &'s ServerSession, target: &'s Target, trusts: impl Fn(IpAddr) -> bool) -> RequestFacts<'s> {
    let header = session.req_header();
    RequestFacts {
        path: target.path(),
        query: target.query(),
        authority: authority(session),
        downstream: downstream(session, trusts),
        client_certificate: client_certificate(session),
        body: body(session),
        double_framing: target.double_framing,
        ..RequestFacts::new(&header.method, b"", &header.headers)
    }
}

fn downstream(session: &ServerSession, trusts: impl Fn(IpAddr) -> bool) -> Downstream {
    let peer = peer_address(session);
    Downstream {
        peer,
        tls: session.digest().is_some_and(|digest| digest.ssl_digest.is_some()),
        trusted: peer.is_some_and(trusts),
    }
}

/// `Host` or `:authority`.
pub fn authority(session: &ServerSession) -> Option<&str> {
    let header = session.req_header();
    let pseudo = header.uri.authority().map(http::uri::Authority::as_str);
    let host = header.headers.get(http::header::HOST);
    match header.version {
        Version::HTTP_2 => pseudo.or_else(|| host?.to_str().ok()),
        _ => host?.to_str().ok(),
    }
}

/// Whether a request opens a WebSocket: the handshake of RFC 6455, 4.2.1, and nothing but it.
pub fn is_websocket(request: &RequestHeader) -> bool {
    request.version == Version::HTTP_11 && is_handshake(&request.method, &request.headers)
}

/// The same of a request over HTTP/1.1.
pub(super) fn is_handshake(method: &Method, headers: &HeaderMap) -> bool {
    let only = |name| {
        let mut values = headers.get_all(name).iter();
        let value = values.next()?.as_bytes();
        values.next().is_none().then_some(value)
    };
    let mut tokens = nominated::names(headers);
    *method == Method::GET
        && only(UPGRADE).is_some_and(|protocol| protocol.eq_ignore_ascii_case(b"websocket"))
        && tokens.any(|token| token.eq_ignore_ascii_case(b"upgrade"))
        && only(SEC_WEBSOCKET_VERSION) == Some(b"13")
        && only(SEC_WEBSOCKET_KEY).is_some_and(|key| STANDARD.decode(key).is_ok_and(|nonce| nonce.len() == 16))
        && !headers.contains_key(CONTENT_LENGTH)
        && !headers.contains_key(TRANSFER_ENCODING)
}

fn client_certificate(session: &ServerSession) -> Option<&ClientCertificate> {
    let peer: &PeerCertificate = session.digest()?.ssl_digest.as_ref()?.extension.get()?;
    Some(peer.certificate())
}

/// What the head says of the body.
pub fn body(session: &ServerSession) -> Body {
    match request::body(&session.req_header().headers) {
        Some(body) => body,
        None => match session.as_http2() {
            Some(stream) if !stream.is_body_empty() => Body::Streamed,
            _ => Body::None,
        },
    }
}

/// The address of the other end, if it has one.
pub fn peer_address(session: &ServerSession) -> Option<IpAddr> {
    ip(session.client_addr()?)
}

/// The address of the other end of a stream, if it has one.
pub fn peer_of(stream: &Stream) -> Option<IpAddr> {
    ip(stream.get_socket_digest()?.peer_addr()?)
}

/// The one form of an address; a unix socket has none.
fn ip(address: &SocketAddr) -> Option<IpAddr> {
    Some(address.as_inet()?.ip().to_canonical())
}
