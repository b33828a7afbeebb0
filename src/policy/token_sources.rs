//! Where the token of a request may be: `Authorization`, and places for clients that cannot set it.

use http::HeaderName;

use crate::request::names::FoldedName;
use crate::request::query;

/// A kind of place that a token may be in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
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

/// Places besides `Authorization`, each once.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TokenPlaces {
    /// Other headers.
    pub headers: Vec<HeaderName>,
    /// Names of cookies.
    pub cookies: Vec<String>,
    /// Names of query parameters.
    pub queries: Vec<String>,
    /// Subprotocols of WebSockets.
    pub protocols: Vec<String>,
}

/// Where tokens are read and where they are removed. A request has its token in one of the places that are read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenSources {
    /// Whether a token is read from `Authorization`.
    pub authorization: bool,
    /// The places that the policy names: tokens are read there.
    pub read: TokenPlaces,
    /// The places that never reach the service: those that are read, and those that other policies for the same
    /// service name.
    pub removed: TokenPlaces,
}

impl Default for TokenSources {
    /// `Authorization` alone.
    fn default() -> Self {
        Self::new(true, TokenPlaces::default())
    }
}

impl TokenSources {
    /// Reads tokens from some places, and removes them.
    pub fn new(authorization: bool, read: TokenPlaces) -> Self {
        Self {
            authorization,
            removed: read.clone(),
            read,
        }
    }

    /// Returns whether tokens are read from `Authorization` alone.
    pub const fn is_authorization_alone(&self) -> bool {
        self.authorization && self.read.is_empty()
    }
}

impl TokenPlaces {
    /// Returns whether there are none.
    pub const fn is_empty(&self) -> bool {
        self.headers.is_empty() && self.cookies.is_empty() && self.queries.is_empty() && self.protocols.is_empty()
    }

    /// Adds the places of another policy.
    pub fn extend(&mut self, other: &Self) {
        add(&mut self.headers, &other.headers);
        add(&mut self.cookies, &other.cookies);
        add(&mut self.queries, &other.queries);
        add(&mut self.protocols, &other.protocols);
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

    /// Iterates over the places, each a kind and a name.
    pub fn iter(&self) -> impl Iterator<Item = (SourceKind, &str)> {
        let named = |kind, names| strings(names).map(move |name| (kind, name));
        let headers = self.headers.iter().map(|name| (SourceKind::Header, name.as_str()));
        headers
            .chain(named(SourceKind::Cookie, &self.cookies))
            .chain(named(SourceKind::Query, &self.queries))
            .chain(named(SourceKind::WebSocketProtocol, &self.protocols))
    }
}

fn add<T: Clone + PartialEq>(names: &mut Vec<T>, others: &[T]) {
    for name in others {
        if !names.contains(name) {
            names.push(name.clone());
        }
    }
}

fn strings(names: &[String]) -> impl Iterator<Item = &str> {
    names.iter().map(String::as_str)
}
