//! Where the token of a request may be: `Authorization`, and places for clients that cannot set it.

use http::HeaderName;

use crate::request::names::FoldedName;
use crate::request::query;

/// A kind of place that a token may be in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SourceKind {
    /// Another header than `Authorization`, which has the token alone.
    Header,
    /// A cookie.
    Cookie,
    /// A parameter of the query.
    Query,
    /// A subprotocol that the handshake of a WebSocket offers, with the token behind it.
    WebSocketProtocol,
}

impl SourceKind {
    /// Returns the word in policies and logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Header => "header",
            Self::Cookie => "cookie",
            Self::Query => "query",
            Self::WebSocketProtocol => "websocket_protocol",
        }
    }

    /// Returns what it is, for operators.
    pub const fn noun(self) -> &'static str {
        match self {
            Self::Header => "header",
            Self::Cookie => "cookie",
            Self::Query => "query parameter",
            Self::WebSocketProtocol => "WebSocket subprotocol",
        }
    }
}

/// The places that a policy names, each once. A request has its token in one of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenSources {
    /// Whether `Authorization` is one.
    pub authorization: bool,
    /// Other headers.
    pub headers: Vec<HeaderName>,
    /// Names of cookies.
    pub cookies: Vec<String>,
    /// Names of query parameters.
    pub queries: Vec<String>,
    /// Subprotocols of WebSockets.
    pub protocols: Vec<String>,
}

impl Default for TokenSources {
    /// `Authorization` alone.
    fn default() -> Self {
        Self {
            authorization: true,
            ..Self::none()
        }
    }
}

impl TokenSources {
    /// No place.
    pub const fn none() -> Self {
        Self {
            authorization: false,
            headers: Vec::new(),
            cookies: Vec::new(),
            queries: Vec::new(),
            protocols: Vec::new(),
        }
    }

    /// Returns whether `Authorization` is the only one.
    pub const fn is_authorization_alone(&self) -> bool {
        self.authorization
            && self.headers.is_empty()
            && self.cookies.is_empty()
            && self.queries.is_empty()
            && self.protocols.is_empty()
    }

    /// Returns whether a header is one, in any spelling.
    pub fn is_header(&self, name: &FoldedName<'_>) -> bool {
        self.headers.iter().any(|header| name.spells(header))
    }

    /// Returns whether a cookie of this name is one.
    pub fn is_cookie(&self, name: &[u8]) -> bool {
        self.cookies.iter().any(|cookie| cookie.as_bytes() == name)
    }

    /// Returns whether a query parameter is one. Its name may be percent-encoded.
    pub fn is_query(&self, written: &[u8]) -> bool {
        self.queries.iter().any(|name| query::is_name(written, name))
    }

    /// Returns whether a subprotocol is one.
    pub fn is_protocol(&self, offer: &[u8]) -> bool {
        self.protocols.iter().any(|protocol| protocol.as_bytes() == offer)
    }

    /// Returns the places besides `Authorization`, each a kind and a name.
    pub fn named(&self) -> impl Iterator<Item = (SourceKind, &str)> {
        let named = |kind, names| strings(names).map(move |name| (kind, name));
        let headers = self.headers.iter().map(|name| (SourceKind::Header, name.as_str()));
        headers
            .chain(named(SourceKind::Cookie, &self.cookies))
            .chain(named(SourceKind::Query, &self.queries))
            .chain(named(SourceKind::WebSocketProtocol, &self.protocols))
    }
}

fn strings(names: &[String]) -> impl Iterator<Item = &str> {
    names.iter().map(String::as_str)
}
