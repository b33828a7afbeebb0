//! The headers that tell a service who is calling, and the names that only Sidegate may set.

use http::HeaderName;

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

/// Headers with a meaning of their own. They pass in this one spelling only, for others could be
/// taken for them, and a policy cannot give them another meaning.
pub const ONE_SPELLING: [&str; 18] = [
    "authorization",
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "cookie",
    "expect",
    "host",
    "idempotency-key",
    "keep-alive",
    "te",
    "traceparent",
    "tracestate",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "x-request-id",
    "x-sandbox",
];

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
}

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
        Self { headers, owned }
    }

    /// The headers to set.
    pub fn headers(&self) -> &[IdentityHeader] {
        &self.headers
    }

    /// Whether a header name of the client could be taken for one of Sidegate's: in any case,
    /// with `_`, `.` or another character for `-`, with or without `http-` before it.
    pub fn owns(&self, name: &str) -> bool {
        self.owned.iter().any(|owned| is_alias(name, owned))
    }
}

/// Whether a header name is another spelling of a lower-case name with hyphens.
pub fn is_alias(name: &str, of: &str) -> bool {
    let same = |name: &[u8]| name.len() == of.len() && name.iter().map(|b| fold_byte(*b)).eq(of.bytes());
    let name = name.as_bytes();
    same(name) || (name.len() == of.len() + 5 && is_http(name) && name.get(5..).is_some_and(same))
}

fn is_http(name: &[u8]) -> bool {
    name.iter().take(5).map(|b| fold_byte(*b)).eq(*b"http-")
}

/// A name in lower case with hyphens.
pub fn fold(name: &str) -> String {
    name.bytes().map(|b| char::from(fold_byte(b))).collect()
}

/// CGI and what came after it have one character for all that is neither letter nor digit
/// (RFC 3875, 4.1.18).
const fn fold_byte(byte: u8) -> u8 {
    match byte.is_ascii_alphanumeric() {
        true => byte.to_ascii_lowercase(),
        false => b'-',
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
            assert_eq!(identity.owns(name), want, "{name}");
        }
    }
}
