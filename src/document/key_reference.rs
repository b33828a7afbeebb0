//! Where a key comes from, as a document writes it, and never the key itself.

use std::fmt;
use std::sync::Arc;

use http::Uri;
use http::uri::PathAndQuery;

use super::masks::shown_url;
use super::secret::{EnvString, SecretPlace, SecretSource};
use super::secret_bytes::SecretEncoding;

/// What stands at the place that a reference names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum KeyForm {
    /// A shared secret.
    Secret,
    /// The digest of a shared secret, which stands in the document itself.
    Digest,
    /// One public key, which has no id.
    Pem,
    /// A set of keys, each with an id.
    Set,
}

/// Where a key comes from: `env NAME`, `file PATH`, `url URL`, `oidc ISSUER`, `sha256 HEX`. Two references are equal if
/// documents write them alike, whatever stands there; `./key` is `key`, and `https://A.example:443` is `https://a.example/`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KeyReference {
    form: KeyForm,
    text: Arc<str>,
}

impl KeyReference {
    /// Names the variable or file of a secret, with its encoding unless that is text.
    pub fn secret(source: &SecretSource) -> Self {
        let place = match &source.place {
            SecretPlace::Env { env } => format!("env {env}"),
            SecretPlace::File { file } => format!("file {}", plain_path(file)),
        };
        match source.encoding {
            SecretEncoding::Text => Self::new(KeyForm::Secret, place),
            encoding => Self::new(KeyForm::Secret, format!("{place} ({})", encoding.describe())),
        }
    }

    /// Names a digest in hex digits of either case.
    pub fn sha256(hex: &str) -> Self {
        Self::new(KeyForm::Digest, format!("sha256 {}", hex.to_ascii_lowercase()))
    }

    /// Names the file of one public key.
    pub fn pem(path: &str) -> Self {
        Self::new(KeyForm::Pem, format!("file {}", plain_path(path)))
    }

    /// Names the file of a key set.
    pub fn set_file(path: &str) -> Self {
        Self::new(KeyForm::Set, format!("file {}", plain_path(path)))
    }

    /// Names the URL of a key set.
    pub fn set_url(url: &EnvString) -> Self {
        Self::new(KeyForm::Set, format!("url {}", plain_url(url)))
    }

    /// Names an issuer whose document leads to its key set, and where that document is if not below the issuer.
    pub fn oidc(issuer: Option<&EnvString>, url: Option<&EnvString>) -> Self {
        let parts: Vec<_> = [issuer.map(written), url.map(plain_url)]
            .into_iter()
            .flatten()
            .collect();
        Self::new(KeyForm::Set, format!("oidc {}", parts.join(" ")))
    }

    fn new(form: KeyForm, text: String) -> Self {
        Self {
            form,
            text: text.into(),
        }
    }

    /// Returns what stands there.
    pub const fn form(&self) -> KeyForm {
        self.form
    }

    /// Returns the reference as text, as in `env ORDERS_JWT_SECRET`. What is shown of it is its `Display`.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl fmt::Display for KeyReference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&shown_url(&self.text))
    }
}

/// Returns a text as the document writes it.
pub fn written(text: &EnvString) -> String {
    match text {
        EnvString::Literal(text) => text.clone(),
        EnvString::Variable { env, default: None } => format!("{{ env: {env} }}"),
        EnvString::Variable {
            env,
            default: Some(default),
        } => format!("{{ env: {env}, default: {default} }}"),
    }
}

/// Returns a URL in one form: scheme and host in lower case, without the port of the scheme (RFC 3986, 6.2.3).
fn plain_url(url: &EnvString) -> String {
    match url {
        EnvString::Literal(text) => plain(text),
        EnvString::Variable { env, default } => written(&EnvString::Variable {
            env: env.clone(),
            default: default.as_deref().map(plain),
        }),
    }
}

fn plain(url: &str) -> String {
    let Ok(uri) = url.parse::<Uri>() else {
        return url.to_owned();
    };
    let (Some(scheme), Some(host), false) = (uri.scheme_str(), uri.host(), url.contains(['@', '#'])) else {
        return url.to_owned();
    };
    let usual = match scheme {
        "https" => Some(443),
        "http" => Some(80),
        _ => None,
    };
    let port = uri.port_u16().filter(|port| Some(*port) != usual);
    let port = port.map(|port| format!(":{port}")).unwrap_or_default();
    let host = host.to_ascii_lowercase();
    let path = uri.path_and_query().map_or("/", PathAndQuery::as_str);
    format!("{scheme}://{host}{port}{path}")
}

/// Returns a path without what leads nowhere: `.` and a second slash. `..` stays, as it may lead through a link.
pub fn plain_path(path: &str) -> String {
    let parts: Vec<_> = path.split('/').filter(|part| !matches!(*part, "" | ".")).collect();
    let root = if path.starts_with('/') { "/" } else { "" };
    format!("{root}{}", parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn path_of_a_file_has_one_form() {
        for (path, want) in [
            ("k1", "k1"),
            ("./k1", "k1"),
            (".//./a/./k1", "a/k1"),
            ("/run//secrets/k1", "/run/secrets/k1"),
            ("/./run/secrets/k1", "/run/secrets/k1"),
            ("../k1", "../k1"),
            ("a/../k1", "a/../k1"),
            (".k1", ".k1"),
            ("..k/k.", "..k/k."),
        ] {
            assert_eq!(plain_path(path), want, "{path}");
            assert_eq!(KeyReference::pem(path), KeyReference::pem(want), "{path}");
            assert_eq!(KeyReference::set_file(path), KeyReference::set_file(want), "{path}");
        }
    }

    #[test]
    fn url_of_a_key_set_has_one_form_and_is_shown_without_secrets() {
        let url = |text: &str| KeyReference::set_url(&EnvString::Literal(text.to_owned()));
        for (one, other, want) in [
            ("https://a.example/keys", "HTTPS://A.Example:443/keys", true),
            ("http://a.example:80", "http://a.example/", true),
            ("http://[::1]:80/k", "http://[::1]/k", true),
            ("https://a.example:80/", "https://a.example/", false),
            ("https://a.example/Keys", "https://a.example/keys", false),
            ("https://a.example/keys?a=B", "https://a.example/keys?a=b", false),
            ("https://a.example/keys/", "https://a.example/keys", false),
        ] {
            assert_eq!(url(one) == url(other), want, "{one} {other}");
        }
        let variable = |default: &str| EnvString::Variable {
            env: "URL".to_owned(),
            default: Some(default.to_owned()),
        };
        let [one, other] = ["https://a:443/k", "https://A/k"].map(|url| KeyReference::set_url(&variable(url)));
        assert_eq!(one, other);
        assert_eq!(
            url("https://a.example/keys?code=s3cret").to_string(),
            "url https://a.example/keys?code=***"
        );
    }
}
