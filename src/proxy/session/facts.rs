//! Reads [`RequestFacts`] from a server session of pingora.

use std::net::IpAddr;

use bytes::Bytes;
use http::Version;
use http::header::TRANSFER_ENCODING;
use pingora::protocols::http::ServerSession;

use crate::credential::ClientCertificate;
use crate::proxy::peer;
use crate::request::target::{RequestHost, RequestTarget};
use crate::request::{self, Body, Downstream, RequestFacts, head};
use crate::tls::PeerCertificate;

/// Reads the target of a request, and whether `Content-Length` stood beside `Transfer-Encoding`:
/// pingora repairs a part of both.
pub(super) fn target(session: &ServerSession) -> (RequestTarget, bool) {
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
pub(super) fn of<'s>(
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
    let (peer, digest) = (session.client_addr().and_then(peer::ip), session.digest());
    let is_unnamed = digest.is_some_and(|digest| peer::is_unnamed(digest.proxy_digest.as_ref()));
    Downstream {
        peer,
        tls: digest.is_some_and(|digest| digest.ssl_digest.is_some()),
        trusted: !is_unnamed && peer.is_some_and(trusts),
        is_unnamed,
    }
}

/// Returns the host for logs, by the same rule as [`authority`].
pub(super) fn host(session: &ServerSession) -> RequestHost {
    let header = session.req_header();
    let pseudo = header.uri.authority().filter(|_| header.version == Version::HTTP_2);
    let field = || header.headers.get(http::header::HOST).cloned();
    match pseudo {
        Some(authority) => RequestHost::Authority(authority.clone()),
        None => field().map_or(RequestHost::None, RequestHost::Field),
    }
}

/// Returns `:authority` or `Host`.
fn authority(session: &ServerSession) -> Option<&str> {
    let header = session.req_header();
    let pseudo = header.uri.authority().map(http::uri::Authority::as_str);
    let host = header.headers.get(http::header::HOST);
    match header.version {
        Version::HTTP_2 => pseudo.or_else(|| host?.to_str().ok()),
        _ => host?.to_str().ok(),
    }
}

fn client_certificate(session: &ServerSession) -> Option<&ClientCertificate> {
    let peer: &PeerCertificate = session.digest()?.ssl_digest.as_ref()?.extension.get()?;
    Some(peer.certificate())
}

/// Returns the framing of the body.
fn body(session: &ServerSession) -> Body {
    match request::body(&session.req_header().headers) {
        Some(body) => body,
        None => match session.as_http2() {
            Some(stream) if !stream.is_body_empty() => Body::Streamed,
            _ => Body::None,
        },
    }
}
