//! The facts of a request that a decision may read, borrowed. Independent of sockets, clocks and pingora.

use std::net::IpAddr;

use http::header::{AUTHORIZATION, HOST};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use ipnet::IpNet;

use crate::credential::ClientCertificate;
use crate::rejection::{Reason, Rejection};
use crate::request::target::ByteFault;

mod content_type;
pub mod cookies;
pub mod forwarded;
mod framing;
pub mod head;
pub mod listed;
pub mod names;
pub mod nominated;
mod only;
pub mod origin;
pub mod path;
pub mod query;
pub mod subprotocols;
pub mod target;
pub mod websocket;

pub use content_type::{GrpcProtocol, grpc_protocol, grpc_type, is_stream};
pub use framing::{Body, InvalidLength, RequestFraming, body, content_length};
pub use only::only;

/// One request as data.
#[derive(Debug, Clone, Copy)]
pub struct RequestFacts<'r> {
    /// The method, as sent.
    pub method: &'r Method,
    /// The path of the target, as sent, without the query.
    pub path: &'r [u8],
    /// The query of the target with its `?`, as sent; it never decides anything.
    pub query: &'r [u8],
    /// `Host` or `:authority`.
    pub authority: Option<&'r str>,
    /// The header fields, as sent.
    pub headers: &'r HeaderMap,
    /// The connection that the request arrived on.
    pub downstream: Downstream,
    /// The networks of the proxies whose `X-Forwarded-For` is accepted.
    pub trusted_proxies: &'r [IpNet],
    /// The client certificate that this connection's handshake verified.
    pub client_certificate: Option<&'r ClientCertificate>,
    /// The framing of the body by the head.
    pub body: Body,
    /// Whether `Content-Length` stood beside `Transfer-Encoding` (RFC 9112, 6.1).
    pub double_framing: bool,
    /// The limits that apply to the request.
    pub limits: RequestLimits,
    /// Seconds since the epoch.
    pub now: i64,
}

/// The connection that a request arrived on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Downstream {
    /// The address of the peer, if it has an IP address.
    pub peer: Option<IpAddr>,
    /// Whether the connection is TLS.
    pub tls: bool,
    /// Whether the peer is a trusted proxy, whose `X-Forwarded-*` headers are accepted.
    pub trusted: bool,
    /// Whether the peer is a proxy whose PROXY header names no client. It is not trusted then, since the client may have
    /// written the headers.
    pub is_unnamed: bool,
}

/// The limits of a request that its head can exceed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequestLimits {
    /// The longest target, in bytes.
    pub target_bytes: usize,
    /// The most header fields.
    pub headers: usize,
    /// The longest head, in bytes.
    pub header_bytes: usize,
    /// The longest body, in bytes.
    pub body_bytes: u64,
}

impl Default for RequestLimits {
    fn default() -> Self {
        Self {
            target_bytes: 8 * 1024,
            headers: 100,
            header_bytes: 32 * 1024,
            body_bytes: 10 * 1024 * 1024,
        }
    }
}

impl RequestLimits {
    /// Rejects a request whose head is too large. A field counts as in HTTP/1.1, with `: ` and CRLF.
    pub fn exceeded_by(&self, request: &RequestFacts<'_>) -> Option<Rejection> {
        let (target, limit) = (request.path.len() + request.query.len(), self.target_bytes);
        if target > limit {
            let cause = format!("the target has {target} bytes; the limit is {limit}");
            return Some(Rejection::because(Reason::UriTooLong, cause));
        }
        let field = |(name, value): (&HeaderName, &HeaderValue)| name.as_str().len() + value.len() + 4;
        let bytes: usize = request.headers.iter().map(field).sum();
        let too_large = |found, what, limit| {
            let cause = format!("the head has {found} {what}; the limit is {limit}");
            Rejection::because(Reason::HeadersTooLarge, cause)
        };
        if request.headers.len() > self.headers {
            return Some(too_large(request.headers.len(), "fields", self.headers));
        }
        (bytes > self.header_bytes).then(|| too_large(bytes, "bytes", self.header_bytes))
    }
}

impl<'r> RequestFacts<'r> {
    /// Creates the facts of a request without a body, on a connection in clear text, at time 0 and with the default
    /// limits. Callers set the rest by struct update.
    pub fn new(method: &'r Method, target: &'r [u8], headers: &'r HeaderMap) -> Self {
        let query_at = target.iter().position(|&b| b == b'?').unwrap_or(target.len());
        let (path, query) = target.split_at(query_at);
        Self {
            method,
            path,
            query,
            authority: headers.get(HOST).and_then(|host| host.to_str().ok()),
            headers,
            downstream: Downstream::default(),
            trusted_proxies: &[],
            client_certificate: None,
            body: Body::None,
            double_framing: false,
            limits: RequestLimits::default(),
            now: 0,
        }
    }

    /// Returns the host of the request, as policies name it.
    pub fn host(&self) -> Option<&'r str> {
        self.authority.map(host_of)
    }

    /// Returns the address of the client: that of the peer, or the one that trusted proxies forward. A client on a unix
    /// socket has none.
    pub fn client_address(&self) -> Option<IpAddr> {
        forwarded::client_address(self.downstream.peer, self.headers, |peer| self.trusts(peer))
    }

    /// Returns the same, but none for a client that a trusted proxy does not name by its address, in a header or before the
    /// connection.
    pub fn known_client_address(&self) -> Option<IpAddr> {
        let peer = self.downstream.peer.filter(|_| !self.downstream.is_unnamed);
        forwarded::known_client_address(peer, self.headers, |peer| self.trusts(peer))
    }

    fn trusts(&self, peer: IpAddr) -> bool {
        !self.downstream.is_unnamed && self.trusted_proxies.iter().any(|network| network.contains(&peer))
    }

    /// Returns whether an origin is that of the request, as the client sees it: the scheme and host of the connection, or
    /// those that a trusted proxy names.
    pub fn is_own_origin(&self, origin: &[u8]) -> bool {
        let (scheme, host) = self.own_scheme_and_host();
        host.is_some_and(|host| origin::is_of(origin, scheme, host))
    }

    /// Returns the origin of the request, as the client sees it, for operators. Its host is what the client says.
    pub fn own_origin(&self) -> Option<String> {
        let (scheme, host) = self.own_scheme_and_host();
        host.map(|host| format!("{scheme}://{host}"))
    }

    fn own_scheme_and_host(&self) -> (&'static str, Option<&str>) {
        let is_trusted = self.downstream.trusted;
        let scheme = forwarded::scheme(self.headers, is_trusted, self.downstream.tls);
        let host = match forwarded::said(self.headers, is_trusted, &forwarded::X_FORWARDED_HOST) {
            Some(host) => host.to_str().ok(),
            None => self.authority,
        };
        (scheme, host)
    }

    /// Returns whether the request is `OPTIONS *`, which is about the server and not about a resource.
    pub fn is_server_options(&self) -> bool {
        *self.method == Method::OPTIONS && self.path == b"*" && self.query.is_empty()
    }

    /// Returns the media type of the body without parameters, in any case. Returns `None` unless there is exactly
    /// one.
    pub fn media_type(&self) -> Option<&'r str> {
        content_type::media_type(self.headers)
    }

    /// Describes, for the operator, why the request is malformed, whatever the policy.
    pub fn malformed(&self) -> Option<&'static str> {
        let target = self.path.iter().chain(self.query);
        if let Some(fault) = target.filter_map(|&byte| ByteFault::of(byte)).max() {
            return Some(fault.describe());
        }
        // RFC 3986, 3.3. The library reads no target with them over HTTP/1; the rules for paths judge the others.
        if self.path.iter().any(|b| b"<>`".contains(b)) {
            return Some("the path has a character that must be encoded");
        }
        if let Some(problem) = self.malformed_host() {
            return Some(problem);
        }
        // RFC 9110, 5.1: a name is a token. Over HTTP/2, the library accepts one more character.
        if self.headers.keys().any(|name| name.as_str().contains('"')) {
            return Some("the name of a header is not a token");
        }
        if is_almost_standard(self.method) {
            return Some("the method is a standard one in another case");
        }
        // RFC 3986, 3.4. Brackets and braces stand in queries everywhere, and every service reads them alike.
        if self.query.iter().any(|b| b"#<>\"".contains(b)) {
            return Some("the query has a character that must be encoded");
        }
        if let Some(problem) = nominated::malformed(self.headers) {
            return Some(problem);
        }
        if self.repeats(&AUTHORIZATION) {
            return Some("`authorization` occurs twice");
        }
        if self.repeats(&IDEMPOTENCY_KEY) {
            return Some("`idempotency-key` occurs twice");
        }
        framing::malformed(self.headers, self.double_framing)
    }

    /// Returns whether a header occurs more than once.
    pub fn repeats(&self, name: &HeaderName) -> bool {
        self.headers.get_all(name).iter().nth(1).is_some()
    }

    fn malformed_host(&self) -> Option<&'static str> {
        if self.repeats(&HOST) {
            return Some("`host` occurs twice");
        }
        let host = self.headers.get(HOST).map(HeaderValue::as_bytes);
        if host.is_some() && host != self.authority.map(str::as_bytes) {
            return Some("`host` and `:authority` differ, or `host` is not text");
        }
        match self.authority {
            None => Some("`host` is missing"),
            Some(authority) if !is_authority(authority) => Some("`host` is not a host"),
            Some(_) => None,
        }
    }
}

/// Returns whether a request is for a sandbox: `x-sandbox: true` once, and nothing else.
pub fn is_sandbox(headers: &HeaderMap) -> bool {
    only(headers, &X_SANDBOX).is_some_and(|value| value == "true")
}

/// `x-sandbox`, which names a sandbox to the service and to quotas.
pub const X_SANDBOX: HeaderName = HeaderName::from_static("x-sandbox");

/// `Idempotency-Key`, at most once in a request.
pub const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// `host` or `host:port` of RFC 3986, 3.2, without userinfo; `[…]` around an IPv6 address.
fn is_authority(text: &str) -> bool {
    let host = without_port(text);
    let port = text.get(host.len()..).unwrap_or_default();
    let port_is_fine = port.is_empty() || port.strip_prefix(':').is_some_and(is_port);
    port_is_fine && is_host(host)
}

fn is_port(text: &str) -> bool {
    text.len() <= 5 && !text.is_empty() && text.parse::<u16>().is_ok() && text.bytes().all(|b| b.is_ascii_digit())
}

/// A name of labels, an IPv4 address, or an IPv6 address in brackets.
pub fn is_host(host: &str) -> bool {
    if let Some(inside) = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')) {
        return inside.parse::<std::net::Ipv6Addr>().is_ok();
    }
    let fine = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'~');
    let mut labels = host.strip_suffix('.').unwrap_or(host).split('.');
    host.len() <= 254 && labels.all(|label| !label.is_empty() && label.bytes().all(fine))
}

/// Returns whether a method is another spelling of a standard one. Methods are case-sensitive (RFC 9110, 9.1), but
/// some services ignore case, and would serve another method than the one that was decided on.
fn is_almost_standard(method: &Method) -> bool {
    let standard = [
        "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT",
    ];
    let method = method.as_str();
    standard
        .iter()
        .any(|known| method != *known && method.eq_ignore_ascii_case(known))
}

/// Returns the host of an authority. A name that ends in a dot is the same host (RFC 1034, 3.1).
pub fn host_of(authority: &str) -> &str {
    let host = without_port(authority);
    host.strip_suffix('.').unwrap_or(host)
}

/// Returns the part of an authority before its port.
fn without_port(authority: &str) -> &str {
    if authority.starts_with('[') {
        return match authority.find(']') {
            Some(end) => authority.get(..=end).unwrap_or(authority),
            None => authority,
        };
    }
    authority.split(':').next().unwrap_or(authority)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts<'r>(headers: &'r HeaderMap, authority: Option<&'r str>) -> RequestFacts<'r> {
        RequestFacts {
            authority,
            ..RequestFacts::new(&Method::GET, b"/", headers)
        }
    }

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|&(name, value)| (HeaderName::from_static(name), value.parse().unwrap()))
            .collect()
    }

    #[test]
    fn hosts() {
        for (authority, host) in [
            ("a.example", Some("a.example")),
            ("a.example:8080", Some("a.example")),
            ("127.0.0.1:1", Some("127.0.0.1")),
            ("[::1]:80", Some("[::1]")),
            ("my_host", Some("my_host")),
            ("a.example.", Some("a.example")),
            ("a.example.:80", Some("a.example")),
            ("a.example..", None),
            ("a..example", None),
            (".example", None),
            (".", None),
            ("", None),
            (":80", None),
            ("a:", None),
            ("a:99999", None),
            ("a:+80", None),
            ("a, b", None),
            ("a/b", None),
            ("u@a", None),
            ("[::1", None),
            ("a b", None),
        ] {
            let map = HeaderMap::new();
            let facts = facts(&map, Some(authority));
            assert_eq!(facts.malformed().is_none(), host.is_some(), "{authority:?}");
            assert!(host.is_none() || facts.host() == host, "{authority:?}");
        }
        assert!(facts(&HeaderMap::new(), None).malformed().is_some());
    }

    #[test]
    fn repeated_or_ambiguous_field_is_malformed() {
        for (pairs, fine) in [
            (&[("authorization", "a")][..], true),
            (&[("authorization", "a"), ("authorization", "a")], false),
            (&[("idempotency-key", "a"), ("idempotency-key", "b")], false),
            (&[("connection", "keep-alive, x-user-id")], true),
            (&[("connection", "close, Content-Type")], false),
            (&[("connection", "x-forwarded-for")], false),
            (&[("connection", "X-Sandbox")], false),
            (&[("content-length", "12")], true),
            (&[("content-length", "0")], true),
            (&[("content-length", "+12")], false),
            (&[("content-length", "012")], false),
            (&[("content-length", "00")], false),
            (&[("content-length", "1, 1")], false),
            (&[("content-length", "")], false),
            (&[("content-length", "1234567890123")], false),
            (&[("content-length", "1"), ("content-length", "1")], false),
            (&[("transfer-encoding", "chunked")], true),
            (&[("transfer-encoding", "Chunked")], true),
            (&[("transfer-encoding", "gzip, chunked")], false),
            (&[("transfer-encoding", "chunked"), ("content-length", "1")], false),
        ] {
            let map = headers(pairs);
            assert_eq!(facts(&map, Some("a")).malformed().is_none(), fine, "{pairs:?}");
        }
    }

    #[test]
    fn sandbox_header_is_one_exact_value() {
        for (values, want) in [
            (&["true"][..], true),
            (&["True"], false),
            (&["1"], false),
            (&["true", "true"], false),
            (&[], false),
        ] {
            let pairs: Vec<_> = values.iter().map(|value| ("x-sandbox", *value)).collect();
            assert_eq!(is_sandbox(&headers(&pairs)), want, "{values:?}");
        }
    }

    #[test]
    fn method_in_another_case_than_a_standard_one_is_malformed() {
        for (method, fine) in [
            ("GET", true),
            ("PURGE", true),
            ("get", false),
            ("Post", false),
            ("oPTIONS", false),
        ] {
            let method = Method::from_bytes(method.as_bytes()).unwrap();
            let map = HeaderMap::new();
            let facts = RequestFacts {
                method: &method,
                ..facts(&map, Some("a"))
            };
            assert_eq!(facts.malformed().is_none(), fine, "{method}");
        }
    }

    #[test]
    fn query_that_pingora_would_repair_is_malformed() {
        for (query, fine) in [
            ("?", true),
            ("?a[b]={c}&d=|e\\^`~'!$;:@/?", true),
            ("?a=<b", false),
            ("?a=b>", false),
            ("?a=\"b\"", false),
            ("?a=b c", false),
            ("?a=b\rc", false),
            ("?a=\u{e9}", false),
            ("?a#b", false),
        ] {
            let map = HeaderMap::new();
            let facts = RequestFacts {
                query: query.as_bytes(),
                ..facts(&map, Some("a"))
            };
            assert_eq!(facts.malformed().is_none(), fine, "{query:?}");
        }
    }
}
