//! The headers that tell a service who is calling, and the names that only Sidegate may set.

use std::borrow::Cow;

use http::{HeaderName, HeaderValue};

use super::document::HeaderEncoding;
use crate::principal::{AuthMethod, IdentityFields, OmittedHeaders, Principal, RenderedIdentity, written};
use crate::request::names::{FoldedName, fold};

mod value;

pub use value::{Misfit, ValueFormat};

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
    /// How its value is written.
    pub format: ValueFormat,
}

impl IdentityHeader {
    /// Describes where the value comes from, and how it is written where that is not as usual, as in
    /// `claim groups, separated by |`.
    pub fn described(&self) -> String {
        let mut text = match &self.source {
            IdentitySource::Claim(_) => format!("claim {}", self.source.written()),
            source => source.written(),
        };
        if self.format.encoding == HeaderEncoding::Percent {
            text.push_str(", percent-encoded");
        }
        match self.format.separator {
            ',' => {}
            ' ' => text.push_str(", separated by a space"),
            separator => text.extend([", separated by ", separator.encode_utf8(&mut [0; 4])]),
        }
        text
    }
}

/// The identity headers of a policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    headers: Vec<IdentityHeader>,
    owned: Vec<String>,
    public: Option<RenderedIdentity>,
}

/// A value that cannot be the value of its header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnfitHeader {
    /// The header.
    pub name: HeaderName,
    /// What it is set from, as a policy names it.
    source: String,
    why: Misfit,
}

impl UnfitHeader {
    /// Describes, for operators, what is wrong and what to change.
    pub fn cause(&self) -> String {
        let Self { name, source, why } = self;
        let help = why.help(name.as_str(), source);
        format!("`{source}` cannot be the value of `{name}`: {why}; {help}")
    }
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
            format: ValueFormat::default(),
        });
    }
    headers
}

fn standard_headers() -> Vec<IdentityHeader> {
    let claim = |name: &str| IdentitySource::Claim(vec![name.to_owned()]);
    let header = |name, source| IdentityHeader {
        name: HeaderName::from_static(name),
        source,
        format: ValueFormat::default(),
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

    /// Whether Sidegate sets a header.
    pub fn sets(&self, name: &HeaderName) -> bool {
        self.headers.iter().any(|header| header.name == name)
    }

    /// Takes names for Sidegate's own that another policy for the same service reads or sets.
    pub fn own_too(&mut self, names: impl IntoIterator<Item = String>) {
        self.owned.extend(names);
        self.owned.sort_unstable();
        self.owned.dedup();
    }

    /// The names that only Sidegate may set, in lower case with `-`: those of other policies for the same service are among
    /// them.
    pub fn owned(&self) -> &[String] {
        &self.owned
    }

    /// Returns the headers of a request to a public route.
    pub fn public(&self) -> Option<RenderedIdentity> {
        self.public.clone()
    }

    /// Returns the headers of a principal, and the names of those that are left out because their values cannot stand
    /// in a header. Fails where such a value names the caller: a request is never forwarded without it.
    pub fn fields(&self, principal: &Principal) -> Result<(IdentityFields, OmittedHeaders), UnfitHeader> {
        let mut fields = Vec::with_capacity(self.headers.len());
        let mut omitted = Vec::new();
        for header in &self.headers {
            match header.value(principal) {
                Ok(None) => {}
                Ok(Some(value)) => fields.push((header.name.clone(), value)),
                Err(unfit) if header.source.names_caller() => return Err(unfit),
                Err(_) => omitted.push(header.name.clone()),
            }
        }
        let omitted = (!omitted.is_empty()).then(|| omitted.into());
        Ok((fields.into(), omitted))
    }

    /// Returns why headers of a principal are left out.
    pub fn unfit<'i>(&'i self, principal: &'i Principal) -> impl Iterator<Item = UnfitHeader> + 'i {
        self.headers.iter().filter_map(|header| header.value(principal).err())
    }

    /// Renders [`Self::fields`] before a request needs them; `None` where the caller has no name that fits.
    pub fn render(&self, principal: &Principal) -> Option<RenderedIdentity> {
        let (fields, omitted) = self.fields(principal).ok()?;
        // The first clone of a value allocates: now, rather than for a request.
        fields.iter().for_each(|(_, value)| drop(value.clone()));
        Some(RenderedIdentity {
            tenant: principal.tenant.clone(),
            fields,
            omitted,
        })
    }

    /// Whether a header name of the client could be taken for one of Sidegate's: in any case,
    /// with `_`, `.` or another character for `-`, with or without `http-` before it.
    pub fn is_reserved(&self, name: &FoldedName<'_>) -> bool {
        self.owned.iter().any(|owned| name.is(owned))
    }
}

impl IdentityHeader {
    fn value(&self, principal: &Principal) -> Result<Option<HeaderValue>, UnfitHeader> {
        let unfit = |why| UnfitHeader {
            name: self.name.clone(),
            source: self.source.written(),
            why,
        };
        let text = self.source.text(principal, self.format).map_err(unfit)?;
        // Visible ASCII and inner spaces are always a value.
        Ok(text.and_then(|text| HeaderValue::from_str(&text).ok()))
    }
}

impl IdentitySource {
    /// Whether the source says who the caller is, so that a request without it would be another's.
    fn names_caller(&self) -> bool {
        match self {
            Self::Claim(path) => matches!(path.as_slice(), [name] if name == "sub"),
            Self::Tenant | Self::ClientId => true,
            Self::Roles | Self::Scopes | Self::AuthMethod => false,
        }
    }

    /// Returns the source as a policy has it.
    pub fn written(&self) -> String {
        let special = SPECIAL.iter().find(|(_, source)| source == self);
        match self {
            Self::Claim(path) => written(path),
            Self::Roles => "roles".to_owned(),
            Self::Scopes => "scopes".to_owned(),
            Self::Tenant | Self::AuthMethod | Self::ClientId => {
                special.map(|(word, _)| (*word).to_owned()).unwrap_or_default()
            }
        }
    }

    fn text<'p>(&self, principal: &'p Principal, format: ValueFormat) -> Result<Option<Cow<'p, str>>, Misfit> {
        match self {
            Self::Tenant => match &principal.tenant {
                Some(tenant) => Ok(format.text(&tenant.to_string())?.map(|text| text.into_owned().into())),
                None => Ok(None),
            },
            Self::AuthMethod => Ok(Some(principal.methods.text())),
            Self::ClientId => principal
                .client
                .as_deref()
                .map_or(Ok(None), |client| format.text(client)),
            Self::Roles => format.grants(principal.token.as_deref().map(|token| &token.roles)),
            Self::Scopes => format.grants(principal.token.as_deref().map(|token| &token.scopes)),
            Self::Claim(path) => principal.claim(path).map_or(Ok(None), |value| format.claim(value)),
        }
    }
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
            format: ValueFormat::default(),
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
