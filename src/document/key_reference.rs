//! Where a key comes from, as a document writes it, and never the key itself.

use std::fmt;
use std::sync::Arc;

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
/// documents write them alike, whatever stands there; `./key` is `key`.
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
        Self::new(KeyForm::Set, format!("url {}", written(url)))
    }

    /// Names an issuer whose document leads to its key set, and where that document is if not below the issuer.
    pub fn oidc(issuer: Option<&EnvString>, url: Option<&EnvString>) -> Self {
        let parts: Vec<_> = [issuer, url].into_iter().flatten().map(written).collect();
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

    /// Returns the reference as text, as in `env ORDERS_JWT_SECRET`.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl fmt::Display for KeyReference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
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
}
