//! Key sets that are fetched: from where, with what, and how often. Never fetches anything.

use std::borrow::Cow;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use http::Uri;

use crate::document::masks::shown_url;
use crate::document::problem::{Fault, ProblemCode};
use crate::document::tls_material::CaBundle;

/// What OIDC Discovery 1.0, 4 appends to the name of an issuer.
const DISCOVERY: &str = "/.well-known/openid-configuration";

/// A key set that is fetched. Two issuers that say the same here share one source.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RemoteKeys {
    /// Where it is.
    pub source: KeySource,
    /// How often it is fetched.
    pub refresh: Duration,
    /// How long its keys serve after the last fetch that went well.
    pub max_stale: Duration,
    /// The CAs of its server; `None` for those of the system.
    pub ca: Option<CaBundle>,
    /// The file with the bearer token for the server of [`RemoteKeys::url`], and no other.
    pub bearer_token_file: Option<PathBuf>,
    /// Whether keys may come over plain http from another machine.
    pub allow_http: bool,
}

/// Where a key set is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum KeySource {
    /// Behind a URL.
    Set {
        /// The URL.
        url: String,
    },
    /// Where the document of an issuer says (OIDC Discovery 1.0).
    Discovery {
        /// The issuer, exactly as the document has to name it.
        issuer: String,
        /// The URL of the document.
        url: String,
    },
}

impl RemoteKeys {
    /// The URL that the policy names: the set itself, or the document that leads to it.
    pub fn url(&self) -> &str {
        match &self.source {
            KeySource::Set { url } | KeySource::Discovery { url, .. } => url,
        }
    }

    /// The same URL as logs and reports may show it: the values of its query may be keys.
    pub fn shown_url(&self) -> Cow<'_, str> {
        shown_url(self.url())
    }
}

/// The URL of an issuer's document: one slash at the end of the issuer is not part of it.
pub fn discovery_url(issuer: &str) -> String {
    format!("{}{DISCOVERY}", issuer.strip_suffix('/').unwrap_or(issuer))
}

/// The issuer, where a text is the URL of its document, or of another one beside it.
pub fn issuer_of(document: &str) -> Option<&str> {
    document.split_once("/.well-known/").map(|(issuer, _)| issuer)
}

impl RemoteKeys {
    /// Whether the keys come from the same place, proven in the same way.
    pub fn is_same_place(&self, other: &Self) -> bool {
        self.source == other.source && self.ca == other.ca
    }
}

/// Keys come over TLS, or from this machine, or where the policy says aloud that they may not.
pub fn check_url(url: &str, allow_http: bool) -> Result<Uri, Fault> {
    let invalid = |message: String| Fault::new(ProblemCode::InvalidUrl, message, "write `https://host/path`");
    let unreadable = || invalid(format!("`{}` is not a URL", shown_url(url).escape_debug()));
    let uri: Uri = url.parse().map_err(|_| unreadable())?;
    let authority = uri.authority().ok_or_else(unreadable)?;
    if authority.as_str().contains('@') {
        let message = "the URL of keys cannot have a user and a password";
        let help = "leave them out; `bearer_token_file` proves who asks";
        return Err(Fault::new(ProblemCode::SecretInFile, message, help));
    }
    // Other characters are percent-encoded (RFC 3986, 2).
    if authority.host().is_empty() || url.contains('#') || !url.is_ascii() {
        return Err(unreadable());
    }
    match uri.scheme_str() {
        Some("https") => Ok(uri),
        Some("http") if is_protected(&uri) || allow_http => Ok(uri),
        Some("http") => Err(Fault::new(
            ProblemCode::InsecureUrl,
            "keys over plain http can be replaced on the way",
            "write `https://`, or add `allow_http: true` if the network is trusted",
        )),
        _ => Err(invalid(format!("`{}` is neither https nor http", shown_url(url)))),
    }
}

/// Tells whether what is sent cannot be read or replaced on the way: over TLS, or on this machine.
pub fn is_protected(uri: &Uri) -> bool {
    let host = uri.host().unwrap_or_default();
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let is_loopback = |address: IpAddr| address.is_loopback();
    uri.scheme_str() == Some("https") || host == "localhost" || host.parse().is_ok_and(is_loopback)
}

/// Whether two URLs lead to the same server: scheme, host and port (RFC 6454, 5).
pub fn same_origin(one: &Uri, other: &Uri) -> bool {
    let port = |uri: &Uri| uri.port_u16().or_else(|| default_port(uri));
    let host = |uri: &Uri| uri.host().map(str::to_ascii_lowercase);
    one.scheme() == other.scheme() && host(one) == host(other) && port(one) == port(other)
}

fn default_port(uri: &Uri) -> Option<u16> {
    match uri.scheme_str() {
        Some("https") => Some(443),
        Some("http") => Some(80),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_are_below_their_issuer() {
        for (issuer, want) in [
            (
                "https://a.example",
                "https://a.example/.well-known/openid-configuration",
            ),
            (
                "https://a.example/",
                "https://a.example/.well-known/openid-configuration",
            ),
            (
                "https://a.example/t",
                "https://a.example/t/.well-known/openid-configuration",
            ),
            (
                "https://a.example/t/",
                "https://a.example/t/.well-known/openid-configuration",
            ),
        ] {
            assert_eq!(discovery_url(issuer), want);
        }
    }

    #[test]
    fn urls_that_keys_may_come_from() {
        for (url, allow_http, fine) in [
            ("https://a.example/keys", false, true),
            ("http://a.example/keys", false, false),
            ("http://a.example/keys", true, true),
            ("http://127.0.0.1:3000/keys", false, true),
            ("http://[::1]/keys", false, true),
            ("http://localhost.evil.example/keys", false, false),
            ("https://user:word@a.example/keys", false, false),
            ("https://a.example/keys#one", false, false),
            ("ftp://127.0.0.1/keys", true, false),
            ("/keys", true, false),
            ("https://", true, false),
        ] {
            assert_eq!(check_url(url, allow_http).is_ok(), fine, "{url}");
        }
    }

    #[test]
    fn a_server_is_its_scheme_host_and_port() {
        let uri = |text: &str| text.parse::<Uri>().unwrap();
        for (one, other, want) in [
            ("https://a.example/x", "https://A.example:443/y", true),
            ("http://a.example", "http://a.example:80", true),
            ("https://a.example", "http://a.example", false),
            ("https://a.example", "https://a.example:8443", false),
            ("https://a.example", "https://b.a.example", false),
            ("https://a.example", "https://a.example.evil", false),
        ] {
            assert_eq!(same_origin(&uri(one), &uri(other)), want, "{one} {other}");
        }
    }
}
