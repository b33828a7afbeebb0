//! Who is calling, proven: plain values that only an authenticator fills.

use std::fmt;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

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

/// A tenant: a UUID in its hyphenated form (RFC 9562, 4), compared without case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TenantId(Uuid);

impl TenantId {
    /// Reads the hyphenated form; every other spelling of a UUID is `None`.
    pub fn parse(text: &str) -> Option<Self> {
        hyphenated_uuid(text).map(Self)
    }
}

impl TryFrom<String> for TenantId {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::parse(&text).ok_or("no UUID in its hyphenated form")
    }
}

impl From<TenantId> for String {
    fn from(tenant: TenantId) -> Self {
        tenant.to_string()
    }
}

impl fmt::Display for TenantId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.hyphenated().fmt(f)
    }
}

/// A UUID in the one form that headers use: 36 characters, hyphenated, either case.
pub fn hyphenated_uuid(text: &str) -> Option<Uuid> {
    (text.len() == 36).then(|| Uuid::try_parse(text).ok())?
}

/// The claims of a verified token, as the issuer wrote them.
pub type Claims = serde_json::Map<String, serde_json::Value>;

/// The claim at the end of a path.
pub fn claim_at<'c>(claims: &'c Claims, path: &[String]) -> Option<&'c serde_json::Value> {
    let (first, rest) = path.split_first()?;
    rest.iter()
        .try_fold(claims.get(first)?, |value, name| value.as_object()?.get(name))
}

/// The caller, proven by every method that the route asked for.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Principal {
    /// In the order of the route's `auth`.
    pub methods: Vec<AuthMethod>,
    /// The `sub` of the token.
    pub subject: Option<String>,
    /// The claims of the token; empty without one.
    pub claims: Claims,
    /// The roles that the token lists, without what the hierarchy adds.
    pub roles: Vec<String>,
    /// The scopes that the token lists.
    pub scopes: Vec<String>,
    /// The name of the internal key, or the identity in the client certificate.
    pub client: Option<String>,
    /// The tenant, where header and claims agree on it.
    pub tenant: Option<TenantId>,
    /// Whether nobody could tell if the token was revoked, and the policy lets it pass.
    pub revocation_unknown: bool,
}

impl Principal {
    /// Joins what another method proved about the same request.
    pub fn join(&mut self, other: Self) {
        self.methods.extend(other.methods);
        self.subject = self.subject.take().or(other.subject);
        self.client = self.client.take().or(other.client);
        self.tenant = self.tenant.or(other.tenant);
        self.revocation_unknown |= other.revocation_unknown;
        if self.claims.is_empty() {
            self.claims = other.claims;
            self.roles = other.roles;
            self.scopes = other.scopes;
        }
    }

    /// The methods as `x-auth-method` has them, as in `internal_key+jwt`.
    pub fn auth_method(&self) -> String {
        let words: Vec<_> = self.methods.iter().map(|m| m.as_str()).collect();
        words.join("+")
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
}
