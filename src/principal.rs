//! Who is calling, proven: plain values that only an authenticator fills.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use http::{HeaderName, HeaderValue};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use crate::credential::Thumbprint;
use crate::rejection::{list, shown};

/// How a principal was proven.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum AuthMethod {
    /// Nothing was asked for.
    Public,
    /// A bearer token (RFC 7519).
    Jwt,
    /// A shared secret in a header.
    InternalKey,
    /// The client certificate of this connection.
    Mtls,
}

/// The word in policies and metrics for a route that accepts no method, and rejects every request.
pub const DENY: &str = "deny";

impl AuthMethod {
    /// All methods.
    pub const ALL: [Self; 4] = [Self::Public, Self::Jwt, Self::InternalKey, Self::Mtls];

    /// The word in policies, `x-auth-method` and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Public => "public",
            Self::Jwt => "jwt",
            Self::InternalKey => "internal_key",
            Self::Mtls => "mtls",
        }
    }
}

impl fmt::Display for AuthMethod {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The methods that proved a principal, each once, in the order of the route's `auth`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Methods([Option<AuthMethod>; AuthMethod::ALL.len()]);

impl Methods {
    /// Adds one, unless it is present.
    pub fn add(&mut self, method: AuthMethod) {
        if !self.contains(method)
            && let Some(free) = self.0.iter_mut().find(|place| place.is_none())
        {
            *free = Some(method);
        }
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = AuthMethod> {
        self.0.iter().flatten().copied()
    }

    /// Whether it is one of them.
    pub fn contains(&self, method: AuthMethod) -> bool {
        self.iter().any(|one| one == method)
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.iter().next().is_none()
    }

    /// The words as `x-auth-method` has them, as in `internal_key+jwt`.
    pub fn text(&self) -> Cow<'static, str> {
        let mut methods = self.iter();
        match (methods.next(), methods.next()) {
            (None, _) => Cow::Borrowed(""),
            (Some(only), None) => Cow::Borrowed(only.as_str()),
            _ => {
                let words: Vec<_> = self.iter().map(AuthMethod::as_str).collect();
                Cow::Owned(words.join("+"))
            }
        }
    }
}

impl From<AuthMethod> for Methods {
    fn from(method: AuthMethod) -> Self {
        let mut methods = Self::default();
        methods.add(method);
        methods
    }
}

/// A tenant, as the policy that verified it reads tenants.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum TenantId {
    /// A UUID in its hyphenated form (RFC 9562, 4), compared without case.
    Uuid(Uuid),
    /// Visible ASCII, compared byte for byte.
    Text(Arc<str>),
}

/// The most bytes of a tenant that is a text.
const MAX_TENANT: usize = 128;

impl TenantId {
    /// Reads the hyphenated form; every other spelling of a UUID is `None`.
    pub fn parse(text: &str) -> Option<Self> {
        hyphenated_uuid(text).map(Self::Uuid)
    }

    /// Reads a text of 1 to 128 visible ASCII characters.
    pub fn of_text(text: &str) -> Option<Self> {
        let is_fine = (1..=MAX_TENANT).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
        is_fine.then(|| Self::Text(text.into()))
    }

    /// Reads the name of a tenant whose policy is not known: a UUID where it is one, else a text.
    pub fn named(text: &str) -> Option<Self> {
        Self::parse(text).or_else(|| Self::of_text(text))
    }

    /// Returns the same tenant by the UUID that its text spells.
    pub fn as_uuid(&self) -> Option<Self> {
        match self {
            Self::Uuid(_) => None,
            Self::Text(text) => Self::parse(text),
        }
    }
}

impl TryFrom<String> for TenantId {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::named(&text).ok_or("neither a UUID nor 1 to 128 visible ASCII characters")
    }
}

impl From<TenantId> for String {
    fn from(tenant: TenantId) -> Self {
        tenant.to_string()
    }
}

impl fmt::Display for TenantId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Uuid(uuid) => uuid.hyphenated().fmt(f),
            Self::Text(text) => f.write_str(text),
        }
    }
}

/// A UUID in the one form that headers use: 36 characters, hyphenated, either case.
pub fn hyphenated_uuid(text: &str) -> Option<Uuid> {
    (text.len() == 36).then(|| Uuid::try_parse(text).ok())?
}

/// The claims of a verified token, as the issuer wrote them.
pub type Claims = serde_json::Map<String, Value>;

/// The claim at the end of a path.
pub fn claim_at<'c>(claims: &'c Claims, path: &[String]) -> Option<&'c Value> {
    let (first, rest) = path.split_first()?;
    rest.iter()
        .try_fold(claims.get(first)?, |value, name| value.as_object()?.get(name))
}

/// Returns a path of a claim as a policy has it: a name, or a list of names.
pub fn written(path: &[String]) -> String {
    match path {
        [name] => shown(name),
        names => format!("[{}]", list(names.iter().map(String::as_str))),
    }
}

/// The last moment that a claim may name: the end of the year 9999, in seconds.
const LAST_MOMENT: f64 = 253_402_300_799.0;

/// Reads a claim that is a time in seconds since the epoch: an integer or a decimal (RFC 7519, 2, `NumericDate`).
pub fn numeric_date(claim: &Value) -> Option<f64> {
    claim.as_f64().filter(|seconds| (0.0..=LAST_MOMENT).contains(seconds))
}

/// The identity of a caller as header fields, each once.
pub type IdentityFields = Arc<[(HeaderName, HeaderValue)]>;

/// The names of identity headers that are left out because their values cannot stand in a header, if there are any.
pub type OmittedHeaders = Option<Arc<[HeaderName]>>;

/// What follows from the claims of a token whose signature, issuer and audience were verified. It is
/// worked out once; whether the token has expired or was revoked is looked at each time.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct VerifiedToken {
    /// The claims.
    pub claims: Claims,
    /// The roles that it lists, without what the hierarchy adds.
    pub roles: Grants,
    /// The scopes that it lists.
    pub scopes: Grants,
    /// The tenants that the claims of the tenant rule name, whether or not they agree; with lists, those that all
    /// claims name.
    pub tenants: Vec<TenantId>,
    /// The key that it is bound to. Whether the client has that key is verified on each request.
    pub binding: Binding,
}

/// The roles or the scopes that a token lists.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Grants {
    names: Vec<String>,
    fault: Option<Box<str>>,
}

impl Grants {
    /// Takes the names that were read.
    pub const fn of(names: Vec<String>) -> Self {
        Self { names, fault: None }
    }

    /// Grants nothing, because a claim has another type. The fault is for the route that asks for a name.
    pub fn faulty(fault: String) -> Self {
        Self {
            names: Vec::new(),
            fault: Some(fault.into()),
        }
    }

    /// Returns the names, each once.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// Returns what is wrong with the claims that they are in. Then there are no names.
    pub fn fault(&self) -> Option<&str> {
        self.fault.as_deref()
    }
}

/// The key that a token is bound to, so that it is worth nothing without that key (RFC 7800).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Binding {
    /// There is none.
    #[default]
    Unbound,
    /// The key of the client certificate with this thumbprint (RFC 8705, 3).
    Certificate(Thumbprint),
    /// The token names one, and the policy says not to look.
    Ignored,
}

impl Binding {
    /// Says how a token with this binding was let through.
    pub const fn passed(self) -> &'static str {
        match self {
            Self::Unbound => "the token is not bound to a key",
            Self::Certificate(_) => "the token is bound to the client certificate of the connection",
            Self::Ignored => "not verified: the issuer has `binding: ignore`",
        }
    }
}

impl VerifiedToken {
    /// A claim that is a text.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.claims.get(name).and_then(Value::as_str)
    }
}

/// The caller, proven by every method that the route asked for.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Principal {
    /// How it was proven.
    pub methods: Methods,
    /// The token that it brought.
    pub token: Option<Arc<VerifiedToken>>,
    /// The name of the internal key, or the identity in the client certificate.
    pub client: Option<Arc<str>>,
    /// The tenant, where header and claims agree on it.
    pub tenant: Option<TenantId>,
    /// Whether the revocations were unknown, and the policy lets the token pass.
    pub revocation_unknown: bool,
    /// Its identity headers, where they were rendered beforehand.
    pub identity: Option<RenderedIdentity>,
}

/// The identity headers of a principal that one method proved, rendered before a request needs them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RenderedIdentity {
    /// The tenant in them.
    pub tenant: Option<TenantId>,
    /// The header fields.
    pub fields: IdentityFields,
    /// The headers that are left out.
    pub omitted: OmittedHeaders,
}

impl Principal {
    /// A caller, proven by one method.
    pub fn by(method: AuthMethod) -> Self {
        Self {
            methods: method.into(),
            ..Self::default()
        }
    }

    /// Joins what another method proved about the same request.
    pub fn join(&mut self, other: Self) {
        if self.methods.is_empty() {
            *self = other;
            return;
        }
        other.methods.iter().for_each(|method| self.methods.add(method));
        self.token = self.token.take().or(other.token);
        self.client = self.client.take().or(other.client);
        self.tenant = self.tenant.take().or(other.tenant);
        self.revocation_unknown |= other.revocation_unknown;
        self.identity = None;
    }

    /// The `sub` of the token.
    pub fn subject(&self) -> Option<&str> {
        self.token.as_ref()?.text("sub")
    }

    /// The `iss` of the token.
    pub fn issuer(&self) -> Option<&str> {
        self.token.as_ref()?.text("iss")
    }

    /// The claim of the token at the end of a path.
    pub fn claim(&self, path: &[String]) -> Option<&Value> {
        claim_at(&self.token.as_ref()?.claims, path)
    }

    /// The roles that the token lists, without what the hierarchy adds.
    pub fn roles(&self) -> &[String] {
        self.token.as_ref().map_or(&[], |token| token.roles.names())
    }

    /// The scopes that the token lists.
    pub fn scopes(&self) -> &[String] {
        self.token.as_ref().map_or(&[], |token| token.scopes.names())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tenant_has_one_form_in_either_case() {
        let lower = TenantId::parse("a0000001-0000-0000-0000-00000000000a").unwrap();
        let upper = TenantId::parse("A0000001-0000-0000-0000-00000000000A").unwrap();
        assert_eq!(lower, upper);
        assert_eq!(upper.to_string(), "a0000001-0000-0000-0000-00000000000a");
        for text in [
            "",
            "acme",
            "a0000001000000000000000000000001",
            "{a0000001-0000-0000-0000-000000000001}",
            "urn:uuid:a0000001-0000-0000-0000-000000000001",
            " a0000001-0000-0000-0000-000000000001",
            "a0000001-0000-0000-0000-00000000000g",
        ] {
            assert_eq!(TenantId::parse(text), None, "{text}");
        }
    }

    #[test]
    fn tenant_that_is_a_text_has_visible_ascii_only() {
        let long = "x".repeat(MAX_TENANT);
        for text in ["a", "org_7Kd2", "~!\"\\", "A0000001-0000-0000-0000-00000000000A", &long] {
            assert_eq!(TenantId::of_text(text).unwrap().to_string(), text);
        }
        for text in ["", " ", "a b", "a\t", "\u{e9}", "a\n", &format!("{long}x")] {
            assert_eq!(TenantId::of_text(text), None, "{text:?}");
        }
        let (one, other) = (TenantId::of_text("Acme"), TenantId::of_text("acme"));
        assert_ne!(one, other);
        let uuid = "A0000001-0000-0000-0000-00000000000A";
        assert_eq!(TenantId::of_text(uuid).unwrap().as_uuid(), TenantId::parse(uuid));
        assert_eq!(TenantId::named(uuid), TenantId::parse(uuid));
        assert_eq!(TenantId::named("acme"), other);
    }
}
