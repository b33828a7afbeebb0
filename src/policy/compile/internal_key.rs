//! The internal keys of a service.

use super::compiler::Compiler;
use crate::document::collections::List;
use crate::document::decode::Spanned;
use crate::policy::document::{InternalKeyDocument, KeyDocument};
use crate::policy::internal_key::{InternalKey, InternalKeys, MIN_KEY_BYTES, sha256};

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
                self.problems
                    .add(&name.span, "the name of a key has visible ASCII characters only");
            }
            if keys.iter().any(|other| other.name() == name.value) {
                self.problems
                    .add(&name.span, format!("the name `{}` is here twice", name.value));
            }
            let Some(digest) = self.digest(&key) else { continue };
            if digests.contains(&digest) {
                self.problems.add(&key.span, "the same key is here under another name");
            }
            digests.push(digest);
            let expires = self.expiry(key.value.expires);
            keys.push(InternalKey::new(key.value.name.value, digest, expires));
        }
        Some(InternalKeys { header: header?, keys })
    }

    fn digest(&mut self, key: &Spanned<KeyDocument>) -> Option<[u8; 32]> {
        match (&key.value.secret, &key.value.sha256) {
            (Some(place), None) => {
                let secret = self.references().secret(place)?;
                if secret.len() < MIN_KEY_BYTES {
                    let found = secret.len();
                    let message = format!("the key has {found} bytes; at least {MIN_KEY_BYTES} are needed");
                    self.problems.add(&place.span, message);
                }
                Some(sha256(&secret))
            }
            (None, Some(hex)) => {
                let digest = from_hex(&hex.value);
                if digest.is_none() {
                    self.problems.add(&hex.span, "a SHA-256 digest has 64 hex digits");
                } else if digest == Some(sha256(b"")) || digest == Some(sha256(b"\n")) {
                    self.problems
                        .add(&hex.span, "this is the digest of nothing: was a variable empty?");
                }
                digest
            }
            _ => {
                self.problems
                    .add(&key.span, "exactly one of `secret` and `sha256` is needed");
                None
            }
        }
    }

    fn expiry(&mut self, expires: Option<Spanned<String>>) -> Option<i64> {
        let expires = expires?;
        let time = expires.value.parse::<jiff::Timestamp>().ok();
        if time.is_none() {
            let help = "as in `2027-01-01T00:00:00Z`";
            self.problems
                .add_with_help(&expires.span, format!("`{}` is not a time", expires.value), help);
        }
        time.map(jiff::Timestamp::as_second)
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
