//! Makes the upstream's header fields from those of the client. The proxy and `explain` share this code, so that
//! `explain` shows what is forwarded.

use http::header::{
    CONNECTION, CONTENT_LENGTH, HOST, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE, TRAILER, TRANSFER_ENCODING, UPGRADE,
};
use http::{HeaderMap, HeaderName, HeaderValue};

use super::header_edits::{HeaderEdits, header_edits};
use super::trace_context::RequestIds;
use crate::authz::Permit;
use crate::policy::route::Route;
use crate::policy::{Policy, UpstreamAddress, UpstreamScheme};
use crate::request::websocket::is_handshake;
use crate::request::{Body, Downstream, RequestFacts, nominated};

/// Fields that apply to one connection only (RFC 9110, 7.6.1; 11.7.1 for the credentials of a proxy).
const HOP_BY_HOP: [HeaderName; 10] = [
    CONNECTION,
    HeaderName::from_static("http2-settings"),
    HeaderName::from_static("keep-alive"),
    PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION,
    HeaderName::from_static("proxy-connection"),
    TE,
    TRAILER,
    TRANSFER_ENCODING,
    UPGRADE,
];

/// The protocol of a request's next hop.
#[derive(Debug, Clone, Copy)]
pub enum NextHop {
    /// HTTP/1.1, which frames a body by its length or in chunks.
    Http1 {
        /// Whether the request has a body.
        has_body: bool,
        /// Whether it opens a WebSocket.
        is_websocket: bool,
    },
    /// HTTP/2, which frames a body by itself.
    Http2,
}

/// Turns the client's fields of an admitted request into those that the upstream receives. The identity is set
/// after the fields that `Connection` names were removed.
pub fn forward(
    fields: &mut HeaderMap,
    hop: NextHop,
    (policy, route): (&Policy, &Route),
    permit: &Permit,
    (downstream, ids): (Downstream, &RequestIds),
) {
    let takes_trailers = takes_trailers(fields);
    remove_hop_by_hop(fields);
    let edits = header_edits(fields, policy, route, permit, downstream, ids);
    apply(fields, edits);
    if let Some(host) = &policy.upstream_host {
        // `x-forwarded-host` has that of the client.
        fields.insert(HOST, host.clone());
    }
    match hop {
        NextHop::Http1 { is_websocket: true, .. } => {
            fields.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
            fields.insert(UPGRADE, HeaderValue::from_static("websocket"));
        }
        NextHop::Http1 { has_body: true, .. } if !fields.contains_key(CONTENT_LENGTH) => {
            fields.insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
        }
        NextHop::Http2 if takes_trailers => {
            // gRPC requires it, and it is the only value that HTTP/2 has (RFC 9113, 8.2.2).
            fields.insert(TE, HeaderValue::from_static("trailers"));
        }
        NextHop::Http1 { .. } | NextHop::Http2 => {}
    }
}

/// Returns whether the client accepts trailers (RFC 9110, 10.1.4).
fn takes_trailers(fields: &HeaderMap) -> bool {
    let values = fields.get_all(TE).iter();
    let mut codings = values.flat_map(|value| value.as_bytes().split(|&byte| byte == b','));
    codings.any(|coding| coding.trim_ascii().eq_ignore_ascii_case(b"trailers"))
}

/// Removes the fields that apply to the connection with the client only.
fn remove_hop_by_hop(fields: &mut HeaderMap) {
    for name in nominated::of_connection(fields, &HOP_BY_HOP) {
        fields.remove(name);
    }
}

/// Applies the edits, which include the identity headers.
fn apply(fields: &mut HeaderMap, edits: HeaderEdits) {
    for name in &edits.remove {
        fields.remove(name);
    }
    fields.reserve(edits.set.len());
    for (name, value) in edits.set {
        fields.insert(name, value);
    }
}

/// Returns the fields that the upstream receives for a request that may be forwarded. An upstream over TLS is
/// assumed to speak HTTP/1.1.
pub fn forwarded(request: &RequestFacts<'_>, policy: &Policy, route: &Route, permit: &Permit) -> HeaderMap {
    let mut fields = request.headers.clone();
    let hop = match is_http1(policy) {
        true => NextHop::Http1 {
            has_body: request.body != Body::None,
            is_websocket: is_handshake(request.method, request.headers),
        },
        false => NextHop::Http2,
    };
    let ids = RequestIds::shown(request.headers, request.downstream.trusted);
    forward(&mut fields, hop, (policy, route), permit, (request.downstream, &ids));
    fields
}

fn is_http1(policy: &Policy) -> bool {
    match policy.upstream.address {
        UpstreamAddress::Network { scheme, .. } => scheme != UpstreamScheme::H2c,
        UpstreamAddress::Unix(_) => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hop_by_hop_fields_are_removed() {
        let given = [
            ("connection", "close, X-Mine"),
            ("keep-alive", "timeout=5"),
            ("proxy-connection", "close"),
            ("proxy-authorization", "Basic eDp5"),
            ("te", "trailers"),
            ("trailer", "x-sum"),
            ("transfer-encoding", "chunked"),
            ("upgrade", "h2c"),
            ("http2-settings", "AAMAAABk"),
            ("x-mine", "1"),
            ("x-kept", "2"),
            ("expect", "100-continue"),
        ];
        let fields = given.map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap()));
        let mut fields: HeaderMap = fields.into_iter().collect();
        assert!(takes_trailers(&fields));
        remove_hop_by_hop(&mut fields);
        let mut left: Vec<_> = fields.keys().map(HeaderName::as_str).collect();
        left.sort_unstable();
        assert_eq!(left, ["expect", "x-kept"]);
    }
}
