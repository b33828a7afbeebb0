//! Who calls: what is added to a request.

use std::fmt::Write as _;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::header::{
    AUTHORIZATION, CONNECTION, COOKIE, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION, UPGRADE,
};
use http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::{Map, Value};

use super::request::Request;
use super::throwaway_keys::{ThrowawayKeys, cheapest, key_id};
use crate::credential::ClientCertificate;
use crate::digest::Fingerprint;
use crate::document::key_reference::KeyReference;
use crate::keys::Algorithm;
use crate::policy::Issuer;

/// An internal key that no policy has.
const UNKNOWN_KEY: &str = "an-internal-key-that-no-policy-has";

/// A key id that no set has.
const UNKNOWN_ID: &str = "a-key-that-no-set-has";

/// The type of most tokens.
pub const USUAL_TYPE: &str = "JWT";

/// What is presented in place of a token.
const NO_TOKEN: &str = "not-a-token";

/// The nonce of a handshake (RFC 6455, 1.3).
const NONCE: &str = "dGhlIHNhbXBsZSBub25jZQ==";

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
    pub fn apply(&self, request: &mut Request, keys: &ThrowawayKeys) {
        replace(&mut request.headers, &self.headers);
        if let Some((name, key)) = &self.key {
            let value = match key {
                PresentedKey::Of(reference) => keys.internal_key(reference),
                PresentedKey::Unknown => Some(HeaderValue::from_static(UNKNOWN_KEY)),
                PresentedKey::Text(text) => HeaderValue::from_str(text).ok(),
            };
            request.headers.extend(value.map(|value| (name.clone(), value)));
        }
        if let Some(certificate) = &self.certificate {
            request.certificate = Some(certificate.clone());
        }
        if let Some(token) = &self.token
            && let Some(text) = token.signed(keys)
        {
            let times = if token.corruption == Some(Corruption::Twice) {
                2
            } else {
                1
            };
            for _ in 0..times {
                self.place.put(&text, request);
            }
        }
    }
}

/// Replaces the fields of each name by those of the caller.
fn replace(headers: &mut HeaderMap, fields: &[(HeaderName, HeaderValue)]) {
    for (name, _) in fields {
        headers.remove(name);
    }
    headers.extend(fields.iter().cloned());
}

impl TokenPlace {
    /// Puts a token there.
    pub(crate) fn put(&self, token: &str, request: &mut Request) {
        let headers = &mut request.headers;
        match self {
            Self::Authorization => append(headers, AUTHORIZATION, &format!("Bearer {token}")),
            Self::Header(name) => append(headers, name.clone(), token),
            Self::Cookie(name) => join(headers, &COOKIE, "; ", &format!("{name}={token}")),
            Self::Query(name) => {
                let separator = if request.target.contains('?') { '&' } else { '?' };
                let _infallible = write!(request.target, "{separator}{name}={token}");
            }
            Self::WebSocketProtocol(marker) => {
                for (name, value) in [
                    (CONNECTION, "Upgrade"),
                    (UPGRADE, "websocket"),
                    (SEC_WEBSOCKET_VERSION, "13"),
                    (SEC_WEBSOCKET_KEY, NONCE),
                ] {
                    headers.insert(name, HeaderValue::from_static(value));
                }
                join(headers, &SEC_WEBSOCKET_PROTOCOL, ", ", &format!("{marker}, {token}"));
            }
        }
    }
}

/// Adds a field. A value that no field can have is left out.
fn append(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    headers.extend(HeaderValue::from_str(value).ok().map(|value| (name, value)));
}

/// Adds an item to the last field of a name, behind what it has. The other fields of this name stay.
fn join(headers: &mut HeaderMap, name: &HeaderName, separator: &str, item: &str) {
    let mut values: Vec<_> = headers.get_all(name).iter().cloned().collect();
    let joined = match values.pop() {
        Some(before) => [before.as_bytes(), separator.as_bytes(), item.as_bytes()].concat(),
        None => item.as_bytes().to_vec(),
    };
    values.extend(HeaderValue::from_bytes(&joined));
    headers.remove(name);
    headers.extend(values.into_iter().map(|value| (name.clone(), value)));
}

impl Token {
    /// Makes a token as an issuer would sign it: by the cheapest algorithm that it lists, with a type that it has.
    pub fn of(issuer: &Issuer, claims: Map<String, Value>) -> Option<Self> {
        let typ = issuer.types.iter().next().filter(|_| !issuer.types.has(None));
        let header = typ.map(|typ| ("typ".to_owned(), Value::from(typ)));
        Some(Self {
            signer: issuer.signer.clone(),
            algorithm: cheapest(&issuer.algorithms)?,
            header: header.into_iter().collect(),
            claims,
            corruption: None,
        })
    }

    /// Returns whether the keys of the issuer have ids, so that a token may name one.
    pub fn names_key(&self) -> bool {
        key_id(&self.signer, self.algorithm.material()).is_some()
    }

    /// Returns the type in the header: `JWT`, unless the issuer writes another one.
    pub fn header_type(&self) -> &str {
        self.header.get("typ").and_then(Value::as_str).unwrap_or(USUAL_TYPE)
    }

    /// Returns the token as it is sent. Each is signed once.
    pub(crate) fn signed(&self, keys: &ThrowawayKeys) -> Option<Arc<str>> {
        if self.corruption == Some(Corruption::Malformed) {
            return Some(NO_TOKEN.into());
        }
        let (header, claims) = (self.written_header(), serde_json::to_vec(&self.claims).ok()?);
        let header = serde_json::to_vec(&header).ok()?;
        let is_forged = self.corruption == Some(Corruption::Signature);
        let made_of = Fingerprint::of(&[
            format!("{:?}", self.signer).as_bytes(),
            self.algorithm.name().as_bytes(),
            &header,
            &claims,
            &[u8::from(is_forged)],
        ]);
        keys.token(made_of, || {
            let key = keys.signer(&self.signer, self.algorithm.material())?;
            let token = key.token(self.algorithm, &header, &claims).ok()?;
            match is_forged {
                true => forged(&token),
                false => Some(token),
            }
        })
    }

    fn written_header(&self) -> Map<String, Value> {
        let algorithm = match self.corruption {
            Some(Corruption::Algorithm) => "none",
            _ => self.algorithm.name(),
        };
        let id = match self.corruption {
            Some(Corruption::KeyId) => Some(UNKNOWN_ID.to_owned()),
            _ => key_id(&self.signer, self.algorithm.material()),
        };
        let mut header = Map::new();
        header.insert("alg".to_owned(), algorithm.into());
        header.insert("typ".to_owned(), USUAL_TYPE.into());
        header.extend(id.map(|id| ("kid".to_owned(), id.into())));
        for (name, value) in &self.header {
            match value {
                Value::Null => header.remove(name),
                value => header.insert(name.clone(), value.clone()),
            };
        }
        header
    }
}

/// Changes one bit of a token's signature.
fn forged(token: &str) -> Option<String> {
    let (message, signature) = token.rsplit_once('.')?;
    let mut signature = URL_SAFE_NO_PAD.decode(signature).ok()?;
    let last = signature.last_mut()?;
    *last ^= 1;
    Some(format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature)))
}
