//! Makes the upstream's header fields from those of the client. The proxy and `explain` share this code, so that
//! `explain` shows what is forwarded.

use http::header::{
    CONNECTION, CONTENT_LENGTH, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE, TRAILER, TRANSFER_ENCODING, UPGRADE,
};
use http::{HeaderMap, HeaderName, HeaderValue};

use super::header_edits::{HeaderEdits, header_edits};
use super::trace_context::RequestIds;
use crate::authz::Permit;
use crate::policy::route::Route;
use crate::policy::{Policy, UpstreamAddress, UpstreamScheme};
use crate::request::websocket::is_handshake;
use crate::request::{Body, RequestFacts, nominated};

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

/// Removes the hop-by-hop fields, and frames the body for the next hop.
pub fn start_hop(fields: &mut HeaderMap, has_body: bool) {
    // Requests with an invalid name in `Connection` were rejected before.
    let nominated = nominated::names(fields).filter_map(|name| HeaderName::from_bytes(name).ok());
    let own = fields.keys().filter(|name| HOP_BY_HOP.contains(name)).cloned();
    let removed: Vec<_> = nominated.chain(own).collect();
    for name in &removed {
        fields.remove(name);
    }
    if has_body && !fields.contains_key(CONTENT_LENGTH) {
        fields.insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
    }
}

/// Applies the edits, which include the identity headers.
pub fn apply(fields: &mut HeaderMap, edits: HeaderEdits) {
    for name in &edits.remove {
        fields.remove(name);
    }
    fields.reserve(edits.set.len());
    for (name, value) in edits.set {
        fields.insert(name, value);
    }
}

/// Returns the fields that the upstream receives over HTTP/1.1 for a request that may be forwarded.
pub fn forwarded(request: &RequestFacts<'_>, policy: &Policy, route: &Route, permit: &Permit) -> HeaderMap {
    let mut fields = request.headers.clone();
    let is_websocket = is_handshake(request.method, request.headers);
    start_hop(&mut fields, request.body != Body::None && is_http1(policy));
    let ids = RequestIds::shown(request.headers, request.downstream.trusted);
    let edits = header_edits(&fields, policy, route, permit, request.downstream, &ids);
    apply(&mut fields, edits);
    if is_websocket {
        fields.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
        fields.insert(UPGRADE, HeaderValue::from_static("websocket"));
    }
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
        for (has_body, want) in [
            (false, &["expect", "x-kept"][..]),
            (true, &["expect", "transfer-encoding", "x-kept"]),
        ] {
            let fields = given.map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap()));
            let mut fields: HeaderMap = fields.into_iter().collect();
            start_hop(&mut fields, has_body);
            let mut left: Vec<_> = fields.keys().map(HeaderName::as_str).collect();
            left.sort_unstable();
            assert_eq!(left, want);
        }
    }
}
