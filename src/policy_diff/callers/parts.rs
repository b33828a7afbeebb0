//! A request in the parts by which callers differ, and what changes one of the parts.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use http::header::{CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, SEC_WEBSOCKET_KEY};
use http::header::{SEC_WEBSOCKET_VERSION, UPGRADE};
use http::{HeaderName, HeaderValue, Method};
use serde_json::{Map, Value};

use crate::credential::ClientCertificate;
use crate::document::key_reference::KeyReference;
use crate::keys::Algorithm;
use crate::principal::TenantId;
use crate::rehearsal::{Caller, Corruption, PresentedKey, Request, ThrowawayKeys, Token, TokenPlace};
use crate::request::Body;
use crate::revocation::{Revocation, RevocationList, Revocations, Target};

/// Stands for the origin of the request itself in a header.
pub(super) const OWN_ORIGIN: HeaderValue = HeaderValue::from_static("{own}");

/// Beyond every time that matters, in milliseconds.
const FAR: i64 = i64::MAX / 2;

/// The value of a claim.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum ClaimValue {
    /// This value.
    Plain(Value),
    /// A time, in seconds from that of the request on.
    FromNow(f64),
}

/// What is known of revoked tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Known {
    /// No token is revoked.
    Nothing,
    /// All that the token says of itself is revoked: `jti`, subject and tenants.
    All,
    /// The `jti` of the token is revoked.
    #[cfg(test)]
    Jti,
    /// The subject of the token is revoked.
    #[cfg(test)]
    Subject,
    /// The tenants of the token are revoked.
    Tenant,
    /// Nothing newer than this is known.
    Stale(Duration),
    /// The list was never read.
    Never,
}

impl Known {
    /// Returns whether it depends on the claims of a token.
    pub(super) const fn is_about_claims(self) -> bool {
        !matches!(self, Self::Nothing | Self::Stale(_) | Self::Never)
    }
}

/// What a value of a header is.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Sent {
    /// This value.
    Value(HeaderValue),
    /// The internal key of a reference.
    Key(KeyReference),
}

/// A request in its parts.
#[derive(Debug, Clone)]
pub(super) struct Parts {
    /// The method.
    pub(super) method: Method,
    /// The host.
    pub(super) host: String,
    /// The path.
    pub(super) path: String,
    /// The query without `?`; empty for none.
    pub(super) query: String,
    /// The token, with plain claims only.
    pub(super) token: Option<Token>,
    /// The token as it is sent, if it was signed before.
    pub(super) text: Option<Arc<str>>,
    /// The claims of the token that are times.
    pub(super) times: Vec<(Vec<String>, f64)>,
    /// Where the token is.
    pub(super) places: Vec<TokenPlace>,
    /// The other header fields.
    pub(super) headers: Vec<(HeaderName, Vec<Sent>)>,
    /// Whether the request opens a WebSocket.
    pub(super) handshake: bool,
    /// The client certificate.
    pub(super) certificate: Option<ClientCertificate>,
    /// The body, and the content types.
    pub(super) body: (Body, Vec<HeaderValue>),
    /// The address of the client.
    pub(super) client: Option<IpAddr>,
    /// The time.
    pub(super) now: i64,
    /// What is known of revoked tokens.
    pub(super) known: Known,
}

/// What changes a part of a request.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Patch {
    /// Sets or takes away a claim.
    Claim(Vec<String>, Option<ClaimValue>),
    /// Sets or takes away a member of the header of the token.
    Jose(&'static str, Option<Value>),
    /// Signs the token with another key.
    Signer(KeyReference, Algorithm),
    /// Spoils the token.
    Corrupt(Option<Corruption>),
    /// Replaces the token, and its claims that are times.
    #[cfg_attr(not(test), expect(dead_code, reason = "the law of the tests takes callers apart"))]
    Token(Box<Token>, Vec<(Vec<String>, f64)>),
    /// Puts the token elsewhere.
    Places(Vec<TokenPlace>),
    /// Replaces the fields of a name.
    Header(HeaderName, Vec<Sent>),
    /// Replaces the query.
    Query(String),
    /// Opens a WebSocket, or does not.
    Handshake(bool),
    /// Replaces the client certificate.
    Certificate(Option<ClientCertificate>),
    /// Replaces the body and the content types.
    Body(Body, Vec<HeaderValue>),
    /// Replaces the address.
    Client(Option<IpAddr>),
    /// Replaces the time.
    Now(i64),
    /// Replaces what is known of revoked tokens.
    Known(Known),
}

impl Patch {
    /// Sets a header to one text. A text that no header can have takes it away.
    pub(super) fn header(name: &HeaderName, value: &str) -> Self {
        let value = HeaderValue::from_str(value).ok().map(Sent::Value);
        Self::Header(name.clone(), value.into_iter().collect())
    }

    /// Returns the text that it sets a header to.
    pub(super) fn header_text(&self) -> Option<String> {
        let Self::Header(_, values) = self else { return None };
        values.first().and_then(|sent| match sent {
            Sent::Value(value) => value.to_str().ok().map(str::to_owned),
            Sent::Key(_) => None,
        })
    }

    /// Takes a header away.
    pub(super) fn without(name: &HeaderName) -> Self {
        Self::Header(name.clone(), Vec::new())
    }

    /// Changes a request.
    pub(super) fn apply(&self, parts: &mut Parts) {
        match self {
            Self::Claim(path, value) => parts.set_claim(path, value.as_ref()),
            Self::Jose(name, value) => {
                let Some(token) = &mut parts.token else { return };
                match value {
                    Some(value) => token.header.insert((*name).to_owned(), value.clone()),
                    None => token.header.remove(*name),
                };
            }
            Self::Signer(signer, algorithm) => {
                if let Some(token) = &mut parts.token {
                    token.signer = signer.clone();
                    token.algorithm = *algorithm;
                }
            }
            Self::Corrupt(corruption) => {
                if let Some(token) = &mut parts.token {
                    token.corruption = *corruption;
                }
            }
            Self::Token(token, times) => {
                parts.token = Some(Token::clone(token));
                parts.times.clone_from(times);
            }
            Self::Places(places) => parts.places.clone_from(places),
            Self::Header(name, values) => {
                parts.headers.retain(|(known, _)| known != name);
                if !values.is_empty() {
                    parts.headers.push((name.clone(), values.clone()));
                }
            }
            Self::Query(query) => parts.query.clone_from(query),
            Self::Handshake(handshake) => parts.handshake = *handshake,
            Self::Certificate(certificate) => parts.certificate.clone_from(certificate),
            Self::Body(body, types) => parts.body = (*body, types.clone()),
            Self::Client(client) => parts.client = *client,
            Self::Now(now) => parts.now = *now,
            Self::Known(known) => parts.known = *known,
        }
    }
}

impl Parts {
    /// Makes a request without a credential.
    pub(super) fn new(method: Method, host: &str, path: &str, now: i64) -> Self {
        Self {
            method,
            host: host.to_owned(),
            path: path.to_owned(),
            query: String::new(),
            token: None,
            text: None,
            times: Vec::new(),
            places: vec![TokenPlace::Authorization],
            headers: Vec::new(),
            handshake: false,
            certificate: None,
            body: (Body::None, Vec::new()),
            client: None,
            now,
            known: Known::Nothing,
        }
    }

    /// Returns a claim.
    #[cfg(test)]
    pub(super) fn claim(&self, path: &[String]) -> Option<ClaimValue> {
        let time = self.times.iter().find(|(known, _)| known == path);
        match time {
            Some((_, from_now)) => Some(ClaimValue::FromNow(*from_now)),
            None => crate::principal::claim_at(&self.token.as_ref()?.claims, path)
                .cloned()
                .map(ClaimValue::Plain),
        }
    }

    /// Returns the values of a header.
    #[cfg(test)]
    pub(super) fn header(&self, name: &HeaderName) -> Vec<Sent> {
        let found = self.headers.iter().find(|(known, _)| known == name);
        found.map(|(_, values)| values.clone()).unwrap_or_default()
    }

    /// Returns the value of a header, unless it has none, several, or one that is not a text.
    pub(super) fn header_text(&self, name: &HeaderName) -> Option<&str> {
        let (_, values) = self.headers.iter().find(|(known, _)| known == name)?;
        match values.as_slice() {
            [Sent::Value(value)] => value.to_str().ok(),
            _ => None,
        }
    }

    fn set_claim(&mut self, path: &[String], value: Option<&ClaimValue>) {
        let Some(token) = &mut self.token else { return };
        self.times.retain(|(known, _)| known != path);
        let plain = match value {
            Some(ClaimValue::Plain(value)) => Some(value.clone()),
            Some(ClaimValue::FromNow(from_now)) => {
                self.times.push((path.to_vec(), *from_now));
                None
            }
            None => None,
        };
        set(&mut token.claims, path, plain);
    }

    /// Makes the request.
    pub(super) fn request(&self, keys: &ThrowawayKeys) -> Request {
        let target = match self.query.as_str() {
            "" => self.path.clone(),
            query => format!("{}?{query}", self.path),
        };
        let mut request = Request::new(self.method.clone(), target, &self.host, self.now);
        request.certificate.clone_from(&self.certificate);
        request.client = self.client;
        request.body = self.body.0;
        let own = format!(
            "{}://{}",
            if self.certificate.is_some() { "https" } else { "http" },
            self.host
        );
        for (name, values) in &self.headers {
            for value in values {
                let value = match value {
                    Sent::Value(value) if *value == OWN_ORIGIN => HeaderValue::from_str(&own).ok(),
                    Sent::Value(value) => Some(value.clone()),
                    Sent::Key(reference) => key(reference, keys),
                };
                request.headers.extend(value.map(|value| (name.clone(), value)));
            }
        }
        for value in &self.body.1 {
            request.headers.append(CONTENT_TYPE, value.clone());
        }
        if let Body::Sized(length) = self.body.0 {
            request.headers.insert(CONTENT_LENGTH, length.into());
        }
        if self.handshake {
            for (name, value) in HANDSHAKE {
                request.headers.insert(name, HeaderValue::from_static(value));
            }
        }
        if let Some(text) = self.text.clone().or_else(|| self.signed(keys)) {
            for place in &self.places {
                place.put(&text, &mut request);
            }
        }
        request
    }

    /// Signs the token.
    pub(super) fn signed(&self, keys: &ThrowawayKeys) -> Option<Arc<str>> {
        self.timed_token()?.signed(keys)
    }

    /// Returns the claims of the token, with their times.
    #[cfg(test)]
    pub(super) fn request_claims(&self) -> Option<Map<String, Value>> {
        self.timed_token().map(|token| token.claims)
    }

    /// Returns the token with the times of the request.
    pub(super) fn timed_token(&self) -> Option<Token> {
        let mut token = self.token.clone()?;
        for (path, from_now) in &self.times {
            #[expect(clippy::cast_precision_loss, reason = "seconds since the epoch are far below 2^53")]
            let time = self.now as f64 + from_now;
            set(&mut token.claims, path, Some(time.into()));
        }
        Some(token)
    }

    /// Calls a function with what is known of revoked tokens.
    pub(super) fn with_revocations<T>(&self, call: impl FnOnce(Revocations<'_>) -> T) -> T {
        let mut list = RevocationList::default();
        for target in self.revoked() {
            let before = (!matches!(target, Target::Jti(_))).then_some(FAR);
            list.add(&Revocation {
                target,
                issuer: None,
                before,
                expires: FAR,
            });
        }
        let age = match self.known {
            Known::Stale(age) => Some(age),
            Known::Never => None,
            _ => Some(Duration::ZERO),
        };
        call(Revocations::Known { list: &list, age })
    }

    fn revoked(&self) -> Vec<Target> {
        let Some(token) = &self.token else { return Vec::new() };
        let text = |name: &str| token.claims.get(name).and_then(Value::as_str).map(str::to_owned);
        let tenants = || {
            let mut tenants = Vec::new();
            token.claims.values().for_each(|value| tenants_in(value, &mut tenants));
            tenants.into_iter().map(Target::Tenant)
        };
        let jti = || text("jti").map(Target::Jti);
        let subject = || text("sub").map(Target::Subject);
        match self.known {
            Known::Nothing | Known::Stale(_) | Known::Never => Vec::new(),
            Known::All => jti().into_iter().chain(subject()).chain(tenants()).collect(),
            #[cfg(test)]
            Known::Jti => jti().into_iter().collect(),
            #[cfg(test)]
            Known::Subject => subject().into_iter().collect(),
            Known::Tenant => tenants().collect(),
        }
    }
}

/// The fields of a handshake (RFC 6455, 4.1).
const HANDSHAKE: [(HeaderName, &str); 4] = [
    (CONNECTION, "Upgrade"),
    (UPGRADE, "websocket"),
    (SEC_WEBSOCKET_VERSION, "13"),
    (SEC_WEBSOCKET_KEY, "dGhlIHNhbXBsZSBub25jZQ=="),
];

fn key(reference: &KeyReference, keys: &ThrowawayKeys) -> Option<HeaderValue> {
    let name = HeaderName::from_static("key");
    let caller = Caller {
        key: Some((name.clone(), PresentedKey::Of(reference.clone()))),
        ..Caller::default()
    };
    let mut request = Request::new(Method::GET, "/", "localhost", 0);
    caller.apply(&mut request, keys);
    request.headers.remove(name)
}

/// Sets or takes away a claim at the end of a path.
fn set(claims: &mut Map<String, Value>, path: &[String], value: Option<Value>) {
    let Some((name, rest)) = path.split_first() else {
        return;
    };
    if rest.is_empty() {
        match value {
            Some(value) => claims.insert(name.clone(), value),
            None => claims.remove(name),
        };
        return;
    }
    if value.is_none() && !claims.get(name).is_some_and(Value::is_object) {
        return;
    }
    let inner = claims.entry(name.clone()).or_insert_with(|| Value::Object(Map::new()));
    if !inner.is_object() {
        *inner = Value::Object(Map::new());
    }
    if let Some(inner) = inner.as_object_mut() {
        set(inner, rest, value);
    }
}

fn tenants_in(value: &Value, tenants: &mut Vec<TenantId>) {
    match value {
        Value::String(text) => tenants.extend(TenantId::named(text)),
        Value::Array(items) => items.iter().for_each(|item| tenants_in(item, tenants)),
        Value::Object(members) => members.values().for_each(|value| tenants_in(value, tenants)),
        _ => {}
    }
}
