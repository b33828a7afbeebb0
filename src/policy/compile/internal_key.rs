//! The internal keys of a service.

use super::compiler::Compiler;
use crate::document::collections::List;
use crate::document::decode::{Spanned, not_one_of};
use crate::document::key_reference::KeyReference;
use crate::document::problem::ProblemCode;
use crate::policy::document::{InternalKeyDocument, KeyDocument};
use crate::policy::internal_key::{InternalKey, InternalKeys, MIN_KEY_BYTES, sha256};

/// How the digest of a key is made.
const DIGEST_HELP: &str = "write what `printf %s \"$KEY\" | sha256sum` prints";

impl Compiler<'_> {
    pub(super) fn internal_keys(&mut self, document: InternalKeyDocument) -> Option<InternalKeys> {
        let header = self.header_name(document.header, "x-internal-api-key");
        let List(documents) = document.keys;
        let mut digests = Vec::new();
        let mut keys: Vec<InternalKey> = Vec::new();
        for key in documents {
            let name = &key.value.name;
            let visible = !name.value.is_empty() && name.value.bytes().all(|b| b.is_ascii_graphic());
            if !visible {
                let message = "the name of a key has visible ASCII characters only";
                let help = "write a name without spaces, such as `nightly-jobs`";
                self.problems.add(&name.span, ProblemCode::InvalidName, message, help);
            }
            if keys.iter().any(|other| other.name() == name.value) {
                let message = format!("the name `{}` is written twice", name.value);
                let help = "give each key a name of its own, such as `jobs` and `jobs-next`";
                self.problems.add(&name.span, ProblemCode::DuplicateItem, message, help);
            }
            let Some((reference, digest)) = self.digest(&key) else {
                continue;
            };
            if digests.contains(&digest) {
                let message = "another key has the same secret under another name";
                let help = "generate a key for each caller, as with `openssl rand -hex 32`";
                self.problems.add(&key.span, ProblemCode::DuplicateKey, message, help);
            }
            digests.push(digest);
            let expires = self.expiry(key.value.expires);
            keys.push(InternalKey::new(key.value.name.value, reference, digest, expires));
        }
        Some(InternalKeys { header: header?, keys })
    }

    fn digest(&mut self, key: &Spanned<KeyDocument>) -> Option<(KeyReference, [u8; 32])> {
        match (&key.value.secret, &key.value.sha256) {
            (Some(place), None) => {
                let secret = self.references().secret(place)?;
                if secret.len() < MIN_KEY_BYTES {
                    let found = secret.len();
                    let message = format!("the key has {found} bytes; at least {MIN_KEY_BYTES} are needed");
                    let help = "generate one, as with `openssl rand -hex 32`";
                    self.problems.add(&place.span, ProblemCode::WeakKey, message, help);
                }
                if !can_be_sent(&secret) {
                    let message = "no client can send this key: it does not fit into a header";
                    let help = "generate one of visible ASCII, as with `openssl rand -hex 32`, without lines and without an `encoding`";
                    self.problems.add(&place.span, ProblemCode::InvalidKey, message, help);
                }
                Some((KeyReference::secret(&place.value), sha256(&secret)))
            }
            (None, Some(hex)) => {
                let digest = from_hex(&hex.value);
                if digest.is_none() {
                    let message = "a SHA-256 digest has 64 hex digits";
                    self.problems
                        .add(&hex.span, ProblemCode::InvalidDigest, message, DIGEST_HELP);
                } else if digest == Some(sha256(b"")) || digest == Some(sha256(b"\n")) {
                    let message = "this is the digest of an empty key: was a variable empty?";
                    self.problems
                        .add(&hex.span, ProblemCode::InvalidDigest, message, DIGEST_HELP);
                }
                let reference = KeyReference::sha256(&hex.value);
                // No client could present a key with the digest in the file.
                let stand_in = self
                    .environment
                    .stand_ins()
                    .map(|keys| sha256(&keys.secret(&reference)));
                digest.map(|digest| (reference, stand_in.unwrap_or(digest)))
            }
            (secret, digest) => {
                let found = usize::from(secret.is_some()) + usize::from(digest.is_some());
                let help = "write `secret: { env: NAME }`, or `sha256: DIGEST`";
                not_one_of(&key.span, &["secret", "sha256"], found, help, self.problems);
                None
            }
        }
    }

    fn expiry(&mut self, expires: Option<Spanned<String>>) -> Option<i64> {
        let expires = expires?;
        let time = expires.value.parse::<jiff::Timestamp>().ok();
        if time.is_none() {
            let message = format!("`{}` is not a point in time", expires.value);
            self.problems.add(
                &expires.span,
                ProblemCode::InvalidTime,
                message,
                time_help(&expires.value),
            );
        }
        time.map(jiff::Timestamp::as_second)
    }
}

/// Whether a key is the value of a header, which has no space at its ends (RFC 9110, 5.5).
fn can_be_sent(key: &[u8]) -> bool {
    http::HeaderValue::from_bytes(key).is_ok() && key.trim_ascii() == key
}

/// How a time is written: a date alone needs an hour and a zone.
fn time_help(written: &str) -> String {
    match written.parse::<jiff::civil::Date>() {
        Ok(date) => format!("write `{date}T00:00:00Z`"),
        Err(_) => "write the zone too, as in `2027-01-01T00:00:00Z`".to_owned(),
    }
}

fn from_hex(text: &str) -> Option<[u8; 32]> {
    if text.len() != 64 || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    let mut out = [0; 32];
    for (byte, at) in out.iter_mut().zip((0..64).step_by(2)) {
        *byte = u8::from_str_radix(text.get(at..at + 2)?, 16).ok()?;
    }
    Some(out)
}
