//! What sets callers apart, in few words: for JSON and for people.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::{Serialize, Serializer};
use serde_json::Value;

use crate::rehearsal::who::{alternatives, joined};

use crate::document::masks::shown_url;

/// The name of issuers that neither side knows.
pub const FOREIGN: &str = "another issuer";

/// What sets some callers apart from others. Without any field, they are callers without a credential.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct CallerClass {
    /// They have a token.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token: Option<TokenClass>,
    /// They have the internal key of this name; `unknown` for one that no policy has.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// They have a client certificate with this name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub certificate: Option<String>,
    /// Header fields that matter; `null` for a header that they do not send.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, Option<String>>,
    /// The type of the body; `null` in JSON is not written, `none` is a request without a body.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
    /// The address that they come from, or `unknown`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// Something else that matters, such as a time or the state of the list of revocations.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub when: Vec<String>,
}

/// What sets the tokens of some callers apart from others.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct TokenClass {
    /// Their `iss`, or the URL of their keys where `iss` is unchecked.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "shown")]
    pub issuer: Option<String>,
    /// Whose key signed them, as a policy names it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signer: Option<String>,
    /// They have one of these roles, or no roles.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub roles: Option<Vec<String>>,
    /// They have none of these roles, which a side asks for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub lacks: Vec<String>,
    /// They have all of these scopes, or no scopes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scopes: Option<Vec<String>>,
    /// Where they are, unless it is `Authorization`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub place: Option<String>,
    /// Their tenant by the claims, unless it is that of the tenant header: `other`, or what else is wrong with it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    /// Claims that matter, by their names; `null` for a claim that they do not have.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub claims: BTreeMap<String, Value>,
    /// What is wrong with them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fault: Option<String>,
}

impl CallerClass {
    /// Returns whether the callers have a credential.
    pub const fn has_credential(&self) -> bool {
        self.token.is_some() || self.key.is_some() || self.certificate.is_some()
    }

    /// Returns whether all that is said of these callers is said of others, too, and both have the same kinds of
    /// credentials, or those more.
    pub fn includes(&self, other: &Self) -> bool {
        let token = match (&self.token, &other.token) {
            (Some(token), Some(other)) => token.includes(other),
            (token, _) => token.is_none(),
        };
        token
            && is_in(self.key.as_ref(), other.key.as_ref())
            && is_in(self.certificate.as_ref(), other.certificate.as_ref())
            && is_in(self.body.as_ref(), other.body.as_ref())
            && is_in(self.address.as_ref(), other.address.as_ref())
            && self
                .headers
                .iter()
                .all(|(name, value)| other.headers.get(name) == Some(value))
            && self.when.iter().all(|when| other.when.contains(when))
    }

    /// Describes the callers, as in `tokens with role support`.
    pub fn words(&self) -> String {
        let mut parts = Vec::new();
        parts.extend(self.token.as_ref().map(TokenClass::words));
        parts.extend(self.key.as_ref().map(|name| match name.as_str() {
            "unknown" => "an unknown key".to_owned(),
            name => format!("the key `{name}`"),
        }));
        parts.extend(
            self.certificate
                .as_ref()
                .map(|name| format!("the certificate `{name}`")),
        );
        let mut text = match parts.is_empty() {
            true => "callers without a credential".to_owned(),
            false => parts.join(" and "),
        };
        for (name, value) in &self.headers {
            let _infallible = match value {
                Some(value) => write!(text, ", with `{name}: {value}`"),
                None => write!(text, ", without `{name}`"),
            };
        }
        if let Some(body) = &self.body {
            let _infallible = match body.as_str() {
                "none" => write!(text, ", without a body"),
                body => write!(text, ", with a body of {body}"),
            };
        }
        if let Some(address) = &self.address {
            let _infallible = write!(text, ", from {address}");
        }
        for when in &self.when {
            let _infallible = write!(text, ", {when}");
        }
        text
    }
}

#[expect(clippy::ref_option, reason = "serde passes fields so")]
fn shown<S: Serializer>(url: &Option<String>, serializer: S) -> Result<S::Ok, S::Error> {
    url.as_deref().map(shown_url).serialize(serializer)
}

/// Whether what is said, if anything, is said of others as well.
fn is_in<T: PartialEq>(said: Option<&T>, other: Option<&T>) -> bool {
    said.is_none() || said == other
}

impl TokenClass {
    fn includes(&self, other: &Self) -> bool {
        is_in(self.issuer.as_ref(), other.issuer.as_ref())
            && is_in(self.signer.as_ref(), other.signer.as_ref())
            && is_in(self.roles.as_ref(), other.roles.as_ref())
            && is_in(self.scopes.as_ref(), other.scopes.as_ref())
            && is_in(self.place.as_ref(), other.place.as_ref())
            && is_in(self.tenant.as_ref(), other.tenant.as_ref())
            && is_in(self.fault.as_ref(), other.fault.as_ref())
            && self
                .claims
                .iter()
                .all(|(name, value)| other.claims.get(name) == Some(value))
    }

    fn words(&self) -> String {
        let mut text = "tokens".to_owned();
        let _infallible = match self.issuer.as_deref() {
            None => Ok(()),
            Some(FOREIGN) => write!(text, " of {FOREIGN}"),
            Some(issuer) => write!(text, " of `{}`", shown_url(issuer)),
        };
        if let Some(signer) = &self.signer {
            let _infallible = write!(text, " signed by {signer}");
        }
        let _infallible = match self.roles.as_deref() {
            None => Ok(()),
            Some([]) if self.lacks.is_empty() => write!(text, " without roles"),
            Some([]) => write!(
                text,
                " without role {}",
                alternatives(self.lacks.iter().map(String::as_str))
            ),
            Some(names) => write!(text, " with role {}", alternatives(names.iter().map(String::as_str))),
        };
        let with = if self.roles.as_ref().is_some_and(|roles| !roles.is_empty()) {
            "and"
        } else {
            "with"
        };
        let _infallible = match self.scopes.as_deref() {
            None => Ok(()),
            Some([]) => write!(text, " without scopes"),
            Some([name]) => write!(text, " {with} scope {name}"),
            Some(names) => write!(
                text,
                " {with} scopes {}",
                joined(names.iter().map(String::as_str), "and")
            ),
        };
        if let Some(place) = &self.place {
            let _infallible = write!(text, " in {place}");
        }
        if let Some(tenant) = &self.tenant {
            let _infallible = match tenant.as_str() {
                "other" => write!(text, " whose tenant is not that of the request"),
                tenant => write!(text, " whose tenant is {tenant}"),
            };
        }
        for (name, value) in &self.claims {
            let _infallible = match value {
                Value::Null => write!(text, " without `{name}`"),
                value => write!(text, " with `{name}` {value}"),
            };
        }
        if let Some(fault) = &self.fault {
            let _infallible = write!(text, " ({fault})");
        }
        text
    }
}
