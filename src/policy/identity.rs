//! The headers that tell a service who is calling, and the names that only Sidegate may set.

use std::borrow::Cow;

use http::{HeaderName, HeaderValue};
use serde_json::Value;

use crate::principal::{AuthMethod, IdentityFields, Principal, RenderedIdentity};
use crate::request::names::{FoldedName, fold};

/// Where the value of an identity header comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IdentitySource {
    /// A claim, by the names that lead to it.
    Claim(Vec<String>),
    /// The roles of the principal.
    Roles,
    /// The scopes of the principal.
    Scopes,
    /// The tenant that header and claims agree on.
    Tenant,
    /// How the caller was authenticated.
    AuthMethod,
    /// The name of the internal key, or the identity in the certificate.
    ClientId,
}

/// The sources that are not claims, by their word in a policy.
pub const SPECIAL: [(&str, IdentitySource); 3] = [
    ("@tenant", IdentitySource::Tenant),
    ("@auth_method", IdentitySource::AuthMethod),
    ("@client_id", IdentitySource::ClientId),
];

/// One identity header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdentityHeader {
    /// Its name.
    pub name: HeaderName,
    /// Where its value comes from.
    pub source: IdentitySource,
}

/// The identity headers of a policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    headers: Vec<IdentityHeader>,
    owned: Vec<String>,
    public: Option<RenderedIdentity>,
}

/// The name of a claim that cannot be a header value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidClaim(pub String);

/// The name that an internal key usually has.
pub static INTERNAL_KEY: HeaderName = HeaderName::from_static("x-internal-api-key");

/// The headers of a policy that says nothing of its own. A service that names its tenant in
/// another header reads it there, so it is set there too.
pub fn default_headers(tenant_header: Option<&HeaderName>) -> Vec<IdentityHeader> {
    let mut headers = standard_headers();
    if let Some(name) = tenant_header.filter(|name| !headers.iter().any(|header| header.name == **name)) {
        headers.push(IdentityHeader {
            name: name.clone(),
            source: IdentitySource::Tenant,
        });
    }
    headers
}

fn standard_headers() -> Vec<IdentityHeader> {
    let claim = |name: &str| IdentitySource::Claim(vec![name.to_owned()]);
    let header = |name, source| IdentityHeader {
        name: HeaderName::from_static(name),
        source,
    };
    vec![
        header("x-user-id", claim("sub")),
        header("x-user-email", claim("email")),
        header("x-user-roles", IdentitySource::Roles),
        header("x-user-scopes", IdentitySource::Scopes),
        header("x-tenant-id", IdentitySource::Tenant),
        header("x-plan-tier", claim("planTier")),
        header("x-auth-method", IdentitySource::AuthMethod),
        header("x-client-id", IdentitySource::ClientId),
    ]
}

impl Identity {
    /// The headers of a policy. The default names stay Sidegate's own even where a policy sets
    /// others: a service may still read them.
    pub fn new(headers: Vec<IdentityHeader>, also_owned: &[HeaderName]) -> Self {
        let names = headers.iter().map(|h| &h.name).chain(also_owned);
        let mut owned: Vec<String> = names.map(|name| fold(name.as_str())).collect();
        owned.extend(standard_headers().iter().map(|h| h.name.to_string()));
        owned.sort_unstable();
        owned.dedup();
        let mut identity = Self {
            headers,
            owned,
            public: None,
        };
        identity.public = identity.render(&Principal::by(AuthMethod::Public));
        identity
    }

    /// The headers, in the order of the file.
    pub fn headers(&self) -> &[IdentityHeader] {
        &self.headers
    }

    /// Takes names for Sidegate's own that another policy for the same service reads or sets.
    pub fn own_too(&mut self, names: impl IntoIterator<Item = String>) {
        self.owned.extend(names);
        self.owned.sort_unstable();
        self.owned.dedup();
    }

    /// Returns the headers of a request to a public route.
    pub fn public(&self) -> Option<RenderedIdentity> {
        self.public.clone()
    }

    /// Returns the headers of a principal.
    pub fn fields(&self, principal: &Principal) -> Result<IdentityFields, InvalidClaim> {
        let mut fields = Vec::with_capacity(self.headers.len());
        for header in &self.headers {
            if let Some(text) = value_of(&header.source, principal)? {
                let value = HeaderValue::from_str(&text).map_err(|_| InvalidClaim(header.name.to_string()))?;
                fields.push((header.name.clone(), value));
            }
        }
        Ok(fields.into())
    }

    /// Renders [`Self::fields`] before a request needs them; `None` where a claim is invalid.
    pub fn render(&self, principal: &Principal) -> Option<RenderedIdentity> {
        let fields = self.fields(principal).ok()?;
        // The first clone of a value allocates: now, rather than for a request.
        fields.iter().for_each(|(_, value)| drop(value.clone()));
        Some(RenderedIdentity {
            tenant: principal.tenant,
            fields,
        })
    }

    /// Whether a header name of the client could be taken for one of Sidegate's: in any case,
    /// with `_`, `.` or another character for `-`, with or without `http-` before it.
    pub fn is_reserved(&self, name: &FoldedName<'_>) -> bool {
        self.owned.iter().any(|owned| name.is(owned))
    }
}

fn value_of<'p>(source: &IdentitySource, principal: &'p Principal) -> Result<Option<Cow<'p, str>>, InvalidClaim> {
    match source {
        IdentitySource::Tenant => Ok(principal.tenant.map(|tenant| tenant.to_string().into())),
        IdentitySource::AuthMethod => Ok(Some(principal.methods.text())),
        IdentitySource::ClientId => Ok(principal.client.as_deref().map(Cow::Borrowed)),
        IdentitySource::Roles => join(principal.roles().iter().map(String::as_str), "roles"),
        IdentitySource::Scopes => join(principal.scopes().iter().map(String::as_str), "scopes"),
        IdentitySource::Claim(path) => match principal.claim(path) {
            // Issuers write `null` for what they do not know.
            None | Some(Value::Null) => Ok(None),
            Some(value) => claim_value(value, &path.join(".")),
        },
    }
}

/// A claim as a header value. Only what survives the way unchanged: visible ASCII and inner
/// spaces; a number as it is written; a list joined with commas.
fn claim_value<'v>(value: &'v Value, name: &str) -> Result<Option<Cow<'v, str>>, InvalidClaim> {
    match value {
        Value::String(text) if is_visible(text) => Ok(Some(text.as_str().into()).filter(|_| !text.is_empty())),
        Value::Bool(value) => Ok(Some(value.to_string().into())),
        Value::Number(number) => Ok(Some(number.to_string().into())),
        Value::Array(items) => {
            let texts: Option<Vec<_>> = items.iter().map(Value::as_str).collect();
            join(texts.ok_or_else(|| InvalidClaim(name.to_owned()))?.into_iter(), name)
        }
        _ => Err(InvalidClaim(name.to_owned())),
    }
}

/// Joins a list with commas. An item that has a comma itself would become two on the way.
fn join<'i>(items: impl Iterator<Item = &'i str>, name: &str) -> Result<Option<Cow<'static, str>>, InvalidClaim> {
    let items: Vec<_> = items.collect();
    let fine = |item: &&str| !item.is_empty() && !item.contains(',') && is_visible(item);
    if !items.iter().all(fine) {
        return Err(InvalidClaim(name.to_owned()));
    }
    Ok(Some(items.join(",").into()).filter(|text: &Cow<'_, str>| !text.is_empty()))
}

fn is_visible(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_graphic() || b == b' ') && text.trim().len() == text.len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::names::is_alias;

    #[test]
    fn every_spelling_of_an_identity_header_is_owned() {
        let custom = IdentityHeader {
            name: HeaderName::from_static("x_account"),
            source: IdentitySource::Tenant,
        };
        let identity = Identity::new(vec![custom], &[HeaderName::from_static("x-org")]);
        for (name, want) in [
            ("x-user-id", true),
            ("X_User_Id", true),
            ("x.user-id", true),
            ("x+user~id", true),
            ("HTTP_X_USER_ID", true),
            ("http-x-user-id", true),
            ("x-account", true),
            ("x-org", true),
            ("x-user-idx", false),
            ("xx-user-id", false),
            ("https-x-user-id", false),
            ("user-agent", false),
        ] {
            assert_eq!(
                FoldedName::with(name, |name| identity.is_reserved(&name)),
                want,
                "{name}"
            );
        }
        let long = format!("http-{}", "x".repeat(70));
        assert!(is_alias(&long.replace('-', "_"), &"x".repeat(70)));
        assert!(!is_alias(&long, &"x".repeat(69)));
        for (name, start, want) in [
            ("ssl-client-s-dn", "ssl-client-", true),
            ("HTTP_SSL_CLIENT_S_DN", "ssl-client-", true),
            ("ssl-client", "ssl-client-", false),
            ("x-ssl-client-", "ssl-client-", false),
        ] {
            assert_eq!(FoldedName::with(name, |name| name.begins(start)), want, "{name}");
        }
    }
}
