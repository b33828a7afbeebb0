//! Internal keys as digests. The keys themselves are forgotten once a policy is read.

use std::fmt;
use std::sync::Arc;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{SHA256, digest};
use http::HeaderName;

use super::identity::Identity;
use crate::document::key_reference::KeyReference;
use crate::principal::{AuthMethod, Principal, RenderedIdentity};

/// The shortest internal key that is taken, in bytes.
pub const MIN_KEY_BYTES: usize = 16;

/// The internal keys of a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InternalKeys {
    /// The header that carries the key.
    pub header: HeaderName,
    /// The keys, by name.
    pub keys: Vec<InternalKey>,
}

/// One internal key. `==` is for policies; [`InternalKeys::find`] compares what a client presents.
#[derive(Clone, PartialEq, Eq)]
pub struct InternalKey {
    name: Arc<str>,
    reference: KeyReference,
    digest: [u8; 32],
    expires: Option<i64>,
    rendered: Option<RenderedIdentity>,
}

impl fmt::Debug for InternalKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InternalKey")
            .field("name", &self.name)
            .field("expires", &self.expires)
            .finish_non_exhaustive()
    }
}

impl InternalKey {
    /// A key by its digest; `expires` in seconds since the epoch.
    pub fn new(name: impl Into<Arc<str>>, reference: KeyReference, digest: [u8; 32], expires: Option<i64>) -> Self {
        Self {
            name: name.into(),
            reference,
            digest,
            expires,
            rendered: None,
        }
    }

    /// Who has the key.
    pub fn principal(&self) -> Principal {
        Principal {
            client: Some(Arc::clone(&self.name)),
            identity: self.rendered.clone(),
            ..Principal::by(AuthMethod::InternalKey)
        }
    }

    /// Returns when the key stops working, in seconds since the epoch.
    pub const fn expires(&self) -> Option<i64> {
        self.expires
    }

    /// Whether the key has stopped working at a time in seconds since the epoch.
    pub fn has_expired(&self, now: i64) -> bool {
        self.expires.is_some_and(|expires| now >= expires)
    }

    /// Where the file says that the key is.
    pub const fn reference(&self) -> &KeyReference {
        &self.reference
    }

    /// The name of the caller.
    pub fn name(&self) -> &str {
        &self.name
    }
}

/// What a presented key turned out to be.
#[derive(Debug, Clone, Copy)]
pub enum KeyMatch<'k> {
    /// This key.
    Known(&'k InternalKey),
    /// The key with this name, too late.
    Expired(&'k str),
    /// No key.
    Unknown,
}

impl InternalKeys {
    /// Renders the identity headers of each key.
    pub fn prepare(&mut self, identity: &Identity) {
        for key in &mut self.keys {
            key.rendered = identity.render(&key.principal());
        }
    }

    /// Compares a presented key with all keys, in the same time whatever it is: digests of one
    /// length, each compared in full, none left out.
    pub fn find(&self, presented: &[u8], now: i64) -> KeyMatch<'_> {
        // The digest in a policy might be that of a text that is not a key.
        let long_enough = presented.len() >= MIN_KEY_BYTES;
        let presented = sha256(presented);
        let mut found = KeyMatch::Unknown;
        for key in &self.keys {
            if verify_slices_are_equal(&key.digest, &presented).is_ok() && long_enough {
                found = match key.has_expired(now) {
                    true => KeyMatch::Expired(&key.name),
                    false => KeyMatch::Known(key),
                };
            }
        }
        found
    }
}

/// The SHA-256 digest of some bytes.
pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut out = [0; 32];
    out.copy_from_slice(digest(&SHA256, bytes).as_ref());
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_known_by_its_digest_until_it_expires() {
        let keys = InternalKeys {
            header: HeaderName::from_static("x-internal-api-key"),
            keys: vec![
                InternalKey::new(
                    "old",
                    KeyReference::sha256(""),
                    sha256(b"the-old-key-of-a-job"),
                    Some(100),
                ),
                InternalKey::new("new", KeyReference::sha256(""), sha256(b"the-new-key-of-a-job"), None),
                // A slip: these are digests of what everybody can guess.
                InternalKey::new("empty", KeyReference::sha256(""), sha256(b""), None),
                InternalKey::new("short", KeyReference::sha256(""), sha256(b"fifteen bytes.."), None),
            ],
        };
        for (presented, now, want) in [
            (&b"the-old-key-of-a-job"[..], 99, "known old"),
            (b"the-old-key-of-a-job", 100, "expired old"),
            (b"the-new-key-of-a-job", 100, "known new"),
            (b"the-new-key-of-a-jo", 0, "unknown"),
            (b"the-new-key-of-a-job ", 0, "unknown"),
            (b"", 0, "unknown"),
            (b"fifteen bytes..", 0, "unknown"),
        ] {
            let found = match keys.find(presented, now) {
                KeyMatch::Known(key) => format!("known {}", key.name()),
                KeyMatch::Expired(name) => format!("expired {name}"),
                KeyMatch::Unknown => "unknown".into(),
            };
            assert_eq!(found, want);
        }
    }
}
