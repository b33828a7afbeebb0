//! Who calls: what is added to a request.

use http::{HeaderName, HeaderValue};
use serde_json::{Map, Value};

use super::request::Request;
use super::throwaway_keys::ThrowawayKeys;
use crate::credential::ClientCertificate;
use crate::document::key_reference::KeyReference;
use crate::keys::Algorithm;

/// What a caller adds to a request.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Caller {
    /// The bearer token.
    pub token: Option<Token>,
    /// Where the token is.
    pub place: TokenPlace,
    /// The internal key, and the header that has it.
    pub key: Option<(HeaderName, PresentedKey)>,
    /// The client certificate.
    pub certificate: Option<ClientCertificate>,
    /// Other header fields. Each replaces those of the request with its name; a name that comes twice is sent twice.
    pub headers: Vec<(HeaderName, HeaderValue)>,
}

/// Where a request has its token.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub enum TokenPlace {
    /// In `Authorization`, behind `Bearer`.
    #[default]
    Authorization,
    /// In another header, alone.
    Header(HeaderName),
    /// In a cookie of this name.
    Cookie(String),
    /// In a query parameter of this name.
    Query(String),
    /// Behind this subprotocol in the handshake of a WebSocket. The rest of the handshake is added.
    WebSocketProtocol(String),
}

/// An internal key that a caller presents.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum PresentedKey {
    /// The key that a policy names so.
    Of(KeyReference),
    /// A key that no policy has.
    Unknown,
    /// Any text.
    Text(String),
}

/// A token that is signed for the request.
#[derive(Debug, Clone, PartialEq)]
pub struct Token {
    /// Whose key signs it.
    pub signer: KeyReference,
    /// The algorithm of the signature.
    pub algorithm: Algorithm,
    /// Members of the header besides `alg`, `typ` and `kid`, or in place of them; `null` takes one away.
    pub header: Map<String, Value>,
    /// The claims.
    pub claims: Map<String, Value>,
    /// What is wrong with the token, if anything.
    pub corruption: Option<Corruption>,
}

/// What is wrong with a token besides its claims.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Corruption {
    /// One bit of the signature is another.
    Signature,
    /// The header names `none` as the algorithm.
    Algorithm,
    /// The header names a key that no set has.
    KeyId,
    /// It is not a token.
    Malformed,
    /// The request has it twice.
    Twice,
}

impl Caller {
    /// Adds what the caller has to a request.
    pub fn apply(&self, _request: &mut Request, _keys: &ThrowawayKeys) {}
}
