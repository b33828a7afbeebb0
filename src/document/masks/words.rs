//! Names of fields and texts that speak of a secret.

use crate::document::suggestion::is_close;

/// The longest text of letters and digits that is more likely a name than a key: a digest in hex.
const LONGEST_NAME: usize = 64;

/// The shortest text of letters and digits that may be a key where nothing says what it is.
const SHORTEST_RANDOM: usize = 16;

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

/// Fields that hold no secret, and are shown in a text that is not YAML although no colon follows them.
pub(super) const SHOWN_FIELDS: [&str; 16] = [
    "admin",
    "auth",
    "hosts",
    "issuer",
    "jwt",
    "limits",
    "listeners",
    "log",
    "methods",
    "path",
    "prefix",
    "roles",
    "routes",
    "service",
    "upstream",
    "version",
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

/// Whether a text of letters and digits looks as if it was drawn by chance.
pub(super) fn is_random(text: &str) -> bool {
    let has = |kind: fn(&u8) -> bool| text.as_bytes().iter().any(kind);
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/' | b'=' | b'-' | b'_');
    text.len() >= SHORTEST_RANDOM
        && !text.starts_with('/')
        && text.bytes().all(plain)
        && has(u8::is_ascii_digit)
        && has(u8::is_ascii_alphabetic)
}

/// Whether the text of a URL may have a password in it.
pub(super) fn has_password(url: &str) -> bool {
    url.contains(['@', '=']) || url.contains("://:")
}
