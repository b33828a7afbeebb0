//! Names of fields and texts that speak of a secret.

use crate::document::suggestion::is_close;

/// The longest text of letters and digits that is more likely a name than a key: a digest in hex.
const LONGEST_NAME: usize = 64;

/// Words that speak of a secret wherever a key has them in it.
const SECRET_WORDS: [&str; 8] = [
    "secret",
    "passw",
    "passphrase",
    "pwd",
    "token",
    "private",
    "api_key",
    "apikey",
];

/// Fields whose values are keys, or say where keys are.
pub(super) const CONTAINERS: [&str; 4] = ["keys", "internal_key", "jwks", "pem"];

/// Fields that stand in [`CONTAINERS`] and hold no secret themselves.
pub(super) const EXPLAINED: [&str; 16] = [
    "allow_http",
    "bearer_token_file",
    "ca_file",
    "expires",
    "file",
    "header",
    "issuer",
    "jwks",
    "keys",
    "max_stale",
    "name",
    "oidc",
    "pem",
    "refresh",
    "sha256",
    "url",
];

/// Fields of a reference to a secret, and what is mistaken for one.
pub(super) const REFERENCE: [&str; 5] = ["env", "file", "encoding", "default", "value"];

/// Fields whose text is a URL, or a place that a URL may be mistaken for.
pub(super) const URL_FIELDS: [&str; 6] = ["url", "upstream", "default", "redis", "store", "oidc"];

/// Whether a key speaks of a secret. A slip in it makes the value no less of one.
pub fn is_secret_key(key: &str) -> bool {
    let key = key.to_ascii_lowercase().replace('-', "_");
    let close = |word| key.len() <= 16 && is_close(&key, word);
    !key.ends_with("_file")
        && (SECRET_WORDS.iter().any(|word| key.contains(word)) || close("secret") || close("password"))
}

/// Whether a text is a secret wherever it stands: PEM, a URL with a user, a token, a key in base64.
pub fn is_secret_text(text: &str) -> bool {
    let base64 = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/' | b'=' | b'-' | b'_');
    text.contains("-----BEGIN")
        || (text.contains("://") && text.contains('@'))
        || (text.starts_with("eyJ") && text.contains('.'))
        || (text.len() > LONGEST_NAME && text.bytes().all(base64))
}

/// Whether the text of a URL may have a password in it.
pub(super) fn has_password(url: &str) -> bool {
    url.contains(['@', '=']) || url.contains("://:")
}
