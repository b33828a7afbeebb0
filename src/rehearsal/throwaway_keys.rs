//! Keys that are made for a moment, in place of those that policies name.

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::path::Path;
use std::sync::Arc;

use http::HeaderValue;
use parking_lot::Mutex;

use crate::digest::Fingerprint;
use crate::document::environment::{Environment, StandIns};
use crate::document::key_reference::{KeyForm, KeyReference};
use crate::keys::signer::SigningKey;
use crate::keys::{Algorithm, KeySet, Material};
use crate::policy::Issuer;

/// The most tokens that are kept. Beyond that all are forgotten, and signed again.
const MOST_TOKENS: usize = 65_536;

/// A key; `None` if none could be made.
type MadeKey = Option<Arc<SigningKey>>;

/// Throwaway keys: the same reference always gets the same key, and no other reference gets it. As an environment, they let
/// policies be read without any of their variables and files.
#[derive(Default)]
pub struct ThrowawayKeys {
    pairs: Mutex<HashMap<(KeyReference, Material), MadeKey>>,
    tokens: Mutex<HashMap<Fingerprint, Arc<str>>>,
}

impl fmt::Debug for ThrowawayKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ThrowawayKeys").finish_non_exhaustive()
    }
}

impl ThrowawayKeys {
    /// Makes no key yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Returns the keys that verify the tokens of an issuer: at least one for each algorithm that it lists.
    pub fn key_set(&self, issuer: &Issuer) -> KeySet {
        let (reference, algorithms) = (&issuer.signer, &issuer.algorithms);
        let keys = materials(algorithms).into_iter();
        let keys: Vec<_> = keys
            .filter_map(|material| Some((key_id(reference, material), self.signer(reference, material)?)))
            .collect();
        let signers = keys.iter().map(|(id, key)| (id.as_deref(), &**key));
        KeySet::of_signers(signers, algorithms)
    }

    /// Returns the internal key of a reference, as a client sends it.
    pub fn internal_key(&self, reference: &KeyReference) -> Option<HeaderValue> {
        HeaderValue::from_bytes(&self.secret(reference)).ok()
    }

    /// Returns the key of a reference that signs by some algorithms. It is made at the first call.
    pub(super) fn signer(&self, reference: &KeyReference, material: Material) -> Option<Arc<SigningKey>> {
        let mut pairs = self.pairs.lock();
        let pair = pairs.entry((reference.clone(), material));
        let make = || match material {
            Material::Secret => Some(Arc::new(SigningKey::from_secret(&self.secret(reference)))),
            _ => SigningKey::generate(material).ok().map(Arc::new),
        };
        pair.or_insert_with(make).clone()
    }

    /// Returns a token that was made before, by what it is made of, or makes it.
    pub(super) fn token(&self, made_of: Fingerprint, make: impl FnOnce() -> Option<String>) -> Option<Arc<str>> {
        let known = self.tokens.lock().get(&made_of).cloned();
        if known.is_some() {
            return known;
        }
        let token: Arc<str> = make()?.into();
        let mut tokens = self.tokens.lock();
        if tokens.len() >= MOST_TOKENS {
            tokens.clear();
        }
        tokens.insert(made_of, Arc::clone(&token));
        Some(token)
    }
}

impl Environment for ThrowawayKeys {
    fn variable(&self, _: &str) -> Option<String> {
        None
    }

    fn file(&self, _: &Path) -> io::Result<Vec<u8>> {
        Err(io::ErrorKind::NotFound.into())
    }

    fn stand_ins(&self) -> Option<&dyn StandIns> {
        Some(self)
    }
}

impl StandIns for ThrowawayKeys {
    /// Derives 64 bytes of hex digits from the reference.
    fn secret(&self, reference: &KeyReference) -> Vec<u8> {
        digest_of(reference, "secret").to_string().into_bytes()
    }
}

fn digest_of(reference: &KeyReference, what: &str) -> Fingerprint {
    let form: &[u8] = match reference.form() {
        KeyForm::Secret => b"secret",
        KeyForm::Digest => b"digest",
        KeyForm::Pem => b"pem",
        KeyForm::Set => b"set",
    };
    Fingerprint::of(&[b"throwaway", form, reference.as_str().as_bytes(), what.as_bytes()])
}

/// Returns the id of a key in a set; secrets and single public keys have none.
pub(super) fn key_id(reference: &KeyReference, material: Material) -> Option<String> {
    let is_in_set = reference.form() == KeyForm::Set;
    is_in_set.then(|| {
        digest_of(reference, material.describe())
            .to_string()
            .chars()
            .take(16)
            .collect()
    })
}

/// Returns what keys for some algorithms are made of, each once.
fn materials(algorithms: &[Algorithm]) -> Vec<Material> {
    let mut materials = Vec::new();
    for material in algorithms.iter().map(|algorithm| algorithm.material()) {
        if !materials.contains(&material) {
            materials.push(material);
        }
    }
    materials
}

/// Returns the algorithm with the cheapest keys and signatures.
pub fn cheapest(algorithms: &[Algorithm]) -> Option<Algorithm> {
    algorithms.iter().copied().min_by_key(|algorithm| cost(*algorithm))
}

/// The place of an algorithm in the order of what its keys and signatures cost.
const fn cost(algorithm: Algorithm) -> u8 {
    match algorithm {
        Algorithm::HS256 => 0,
        Algorithm::HS384 => 1,
        Algorithm::HS512 => 2,
        Algorithm::EdDSA => 3,
        Algorithm::ES256 => 4,
        Algorithm::ES384 => 5,
        Algorithm::RS256 => 6,
        Algorithm::RS384 => 7,
        Algorithm::RS512 => 8,
        Algorithm::PS256 => 9,
        Algorithm::PS384 => 10,
        Algorithm::PS512 => 11,
    }
}
