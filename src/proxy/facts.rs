//! Reads [`RequestFacts`] from a session of pingora.

use std::net::IpAddr;

use bytes::Bytes;
use http::Version;
use http::header::TRANSFER_ENCODING;
use pingora::http::RequestHeader;
use pingora::protocols::Stream;
use pingora::protocols::http::ServerSession;
use pingora::protocols::l4::socket::SocketAddr;

use crate::credential::ClientCertificate;
use crate::request::target::RequestTarget;
use crate::request::websocket::is_handshake;
use crate::request::{self, Body, Downstream, RequestFacts, head};
use crate::tls::PeerCertificate;

/// Reads the target of a request, and whether `Content-Length` stood beside `Transfer-Encoding`:
/// pingora repairs a part of both.
pub fn target(session: &ServerSession) -> (RequestTarget, bool) {
    let header = session.req_header();
    if session.as_http1().is_none() {
        return (RequestTarget::new(Bytes::copy_from_slice(header.raw_path())), false);
    }
    let raw = session.to_h1_raw();
    let double_framing =
        header.headers.contains_key(TRANSFER_ENCODING) && head::values(&raw, "content-length").next().is_some();
    let line = head::request_line(&raw).filter(|line| line.version.is_some());
    let target = line.map(|line| raw.slice_ref(line.target));
    let target = target.unwrap_or_else(|| Bytes::copy_from_slice(header.raw_path()));
    (RequestTarget::new(target), double_framing)
}

/// Borrows the facts for a decision from a session. The caller sets the limits and the time.
pub fn of<'s>(
    session: &'s ServerSession,
    (target, double_framing): (&'s RequestTarget, bool),
    trusts: impl Fn(IpAddr) -> bool,
) -> RequestFacts<'s> {
    let header = session.req_header();
    RequestFacts {
        path: target.path(),
        query: target.query(),
        authority: authority(session),
        downstream: downstream(session, trusts),
        client_certificate: client_certificate(session),
        body: body(session),
        double_framing,
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

/// Returns `:authority` or `Host`.
pub fn authority(session: &ServerSession) -> Option<&str> {
    let header = session.req_header();
    let pseudo = header.uri.authority().map(http::uri::Authority::as_str);
    let host = header.headers.get(http::header::HOST);
    match header.version {
        Version::HTTP_2 => pseudo.or_else(|| host?.to_str().ok()),
        _ => host?.to_str().ok(),
    }
}

/// Returns whether a request opens a WebSocket.
pub fn is_websocket(request: &RequestHeader) -> bool {
    request.version == Version::HTTP_11 && is_handshake(&request.method, &request.headers)
}

fn client_certificate(session: &ServerSession) -> Option<&ClientCertificate> {
    let peer: &PeerCertificate = session.digest()?.ssl_digest.as_ref()?.extension.get()?;
    Some(peer.certificate())
}

/// Returns the framing of the body.
pub fn body(session: &ServerSession) -> Body {
    match request::body(&session.req_header().headers) {
        Some(body) => body,
        None => match session.as_http2() {
            Some(stream) if !stream.is_body_empty() => Body::Streamed,
            _ => Body::None,
        },
    }
}

/// Returns the address of the peer. A unix socket has none.
pub fn peer_address(session: &ServerSession) -> Option<IpAddr> {
    ip(session.client_addr()?)
}

/// Returns the address of the peer of a stream. A unix socket has none.
pub fn peer_of(stream: &Stream) -> Option<IpAddr> {
    ip(stream.get_socket_digest()?.peer_addr()?)
}

/// Returns the canonical form of an address. A unix socket has none.
fn ip(address: &SocketAddr) -> Option<IpAddr> {
    Some(address.as_inet()?.ip().to_canonical())
}
