//! The keys that verify an issuer's tokens: one snapshot, swapped whole.
//!
//! A key is bound to one algorithm when it is loaded, never when a token is verified (RFC 8725,
//! 3.1), and a key that is weak or meant for something else never becomes one.

use std::fmt;

use jsonwebtoken::{DecodingKey, DecodingKeyKind};

use crate::digest::Fingerprint;

pub mod algorithm;
pub mod jwk;
pub mod pem;
mod problem;
pub mod signer;
mod verifier;

pub use algorithm::{Algorithm, Material};
pub use problem::KeyProblem;
use verifier::Verifier;

/// The shortest shared secret that is taken, in bytes (RFC 7518, 3.2 for HS256).
pub const MIN_SECRET_BYTES: usize = 32;

/// How a secret of that length is made.
const SECRET_HELP: &str = "generate one, as with `openssl rand -base64 48`, and give it to the issuer, too";

/// How such a key is made.
const RSA_HELP: &str = "sign with a new key of 2048 bits or more, as `openssl genrsa 3072` makes one";

/// The most keys that a set may have.
pub const MAX_KEYS: usize = 64;

/// What a key set says of a key beside what it is made of.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct KeyNames<'k> {
    /// The `kid`.
    pub(crate) id: Option<&'k str>,
    /// The one issuer that signs with it, perhaps with placeholders.
    pub(crate) issuer: Option<&'k str>,
}

/// A key for one algorithm.
#[derive(Clone)]
pub struct VerificationKey {
    id: Option<String>,
    issuer: Option<String>,
    algorithm: Algorithm,
    verifier: Verifier,
    fingerprint: Fingerprint,
}

/// Which key verified a token, and how it was picked; the same for the same key in another set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyFingerprint {
    key: Fingerprint,
    by_id: bool,
}

/// Returns the digest of all that a key consists of, for an algorithm or for all.
fn fingerprint(names: KeyNames<'_>, algorithm: Option<Algorithm>, key: &DecodingKey) -> Fingerprint {
    let is_there = |name: Option<&str>| name.map_or(&b""[..], |_| b"+");
    let KeyNames { id, issuer } = names;
    let (first, second) = match key.kind() {
        DecodingKeyKind::SecretOrDer(bytes) => (bytes, &Vec::new()),
        DecodingKeyKind::RsaModulusExponent { n, e } => (n, e),
    };
    Fingerprint::of(&[
        is_there(id),
        id.unwrap_or_default().as_bytes(),
        is_there(issuer),
        issuer.unwrap_or_default().as_bytes(),
        algorithm.map_or("", Algorithm::name).as_bytes(),
        first,
        second,
    ])
}

impl fmt::Debug for VerificationKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VerificationKey")
            .field("id", &self.id)
            .field("algorithm", &self.algorithm)
            .finish_non_exhaustive()
    }
}

impl VerificationKey {
    /// Whether a signature over a message is one of this key.
    pub fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        self.verifier.verifies(message, signature)
    }

    /// Returns the one issuer that signs with the key, perhaps with placeholders, if its set names one.
    pub fn issuer(&self) -> Option<&str> {
        self.issuer.as_deref()
    }
}

/// Compares keys by their digests, never by what they are made of.
impl PartialEq for VerificationKey {
    fn eq(&self, other: &Self) -> bool {
        self.fingerprint == other.fingerprint
    }
}

impl Eq for VerificationKey {}

/// The keys of one issuer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KeySet {
    keys: Vec<VerificationKey>,
    named: bool,
    /// What each key consists of, with its id and issuer and without an algorithm.
    bound: Vec<Fingerprint>,
}

/// Why no key can have signed a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NoKey {
    /// No key has the token's id, or without one, its algorithm.
    Unknown,
    /// The key with the token's id is made for another algorithm.
    OtherAlgorithm,
}

impl KeySet {
    /// One secret or public key without an id, for each algorithm that it fits.
    pub fn single(material: Material, key: &DecodingKey, algorithms: &[Algorithm]) -> Result<Self, KeyProblem> {
        let mut set = Self::default();
        set.bind(KeyNames::default(), material, key, algorithms)?;
        let unfit = |algorithm: &Algorithm| algorithms.contains(algorithm) && !material.fits(*algorithm);
        if let Some(algorithm) = Algorithm::ALL.into_iter().find(unfit) {
            return Err(mismatch(material, algorithm.name()));
        }
        Ok(set)
    }

    /// A shared secret of at least 32 bytes.
    pub fn from_secret(secret: &[u8], algorithms: &[Algorithm]) -> Result<Self, KeyProblem> {
        if secret.len() < MIN_SECRET_BYTES {
            let found = secret.len();
            return Err(KeyProblem::weak(
                format!("the secret has {found} bytes; at least {MIN_SECRET_BYTES} are needed"),
                SECRET_HELP,
            ));
        }
        Self::single(Material::Secret, &DecodingKey::from_secret(secret), algorithms)
    }

    /// Binds a key to each of some algorithms that it fits. A key that the set has already stays one key.
    pub(crate) fn bind(
        &mut self,
        names: KeyNames<'_>,
        material: Material,
        key: &DecodingKey,
        algorithms: &[Algorithm],
    ) -> Result<(), KeyProblem> {
        let fitting: Vec<_> = algorithms.iter().copied().filter(|a| material.fits(*a)).collect();
        if fitting.is_empty() {
            let names: Vec<_> = algorithms.iter().map(|algorithm| algorithm.name()).collect();
            return Err(mismatch(material, &names.join(", ")));
        }
        let known = |fingerprint| self.keys.iter().any(|key| key.fingerprint == fingerprint);
        let new = fitting
            .into_iter()
            .map(|algorithm| (algorithm, fingerprint(names, Some(algorithm), key)))
            .filter(|(_, fingerprint)| !known(*fingerprint));
        let bound = new.map(|(algorithm, fingerprint)| {
            Ok(VerificationKey {
                id: names.id.map(ToOwned::to_owned),
                issuer: names.issuer.map(ToOwned::to_owned),
                algorithm,
                fingerprint,
                verifier: Verifier::new(key, algorithm)?,
            })
        });
        let bound: Vec<_> = bound.collect::<Result<_, _>>()?;
        let whole = fingerprint(names, None, key);
        self.named |= names.id.is_some();
        if !self.bound.contains(&whole) {
            self.bound.push(whole);
        }
        self.keys.extend(bound);
        Ok(())
    }

    /// Whether the set has no key at all.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// Returns what identifies a key of this set.
    pub fn fingerprint(&self, key: &VerificationKey) -> KeyFingerprint {
        KeyFingerprint {
            key: key.fingerprint,
            by_id: self.named,
        }
    }

    /// Tells whether the key with a fingerprint is in this set, and is still picked in the same way.
    pub fn has(&self, fingerprint: &KeyFingerprint) -> bool {
        self.named == fingerprint.by_id && self.keys.iter().any(|key| key.fingerprint == fingerprint.key)
    }

    /// The number of keys, each counted once.
    pub fn count(&self) -> usize {
        self.bound.len()
    }

    /// The number of keys, each counted once for each of its algorithms.
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// The keys that a token with this id and algorithm may be signed with. An id picks one key;
    /// a token without one, or a set whose keys have none, leaves all of the algorithm.
    pub fn candidates(&self, id: Option<&str>, algorithm: Algorithm) -> Result<Vec<&VerificationKey>, NoKey> {
        let id = id.filter(|_| self.named);
        let same_id = || self.keys.iter().filter(|key| id.is_none() || key.id.as_deref() == id);
        let keys: Vec<_> = same_id().filter(|key| key.algorithm == algorithm).collect();
        match keys.is_empty() {
            false => Ok(keys),
            true if id.is_some() && same_id().next().is_some() => Err(NoKey::OtherAlgorithm),
            true => Err(NoKey::Unknown),
        }
    }
}

/// Checks that one public key can fit all of some algorithms, whatever it is made of.
pub fn check_public(algorithms: &[Algorithm]) -> Result<(), KeyProblem> {
    let materials = algorithms.iter().map(|algorithm| algorithm.material());
    let material = materials.into_iter().find(|material| *material != Material::Secret);
    let material = material.unwrap_or(Material::Rsa);
    match algorithms.iter().find(|algorithm| !material.fits(**algorithm)) {
        Some(unfit) => Err(mismatch(material, unfit.name())),
        None => Ok(()),
    }
}

/// A key that cannot be used with some algorithms, and the algorithms that it can be used with.
fn mismatch(material: Material, algorithms: &str) -> KeyProblem {
    let fitting = Algorithm::ALL.into_iter().filter(|algorithm| material.fits(*algorithm));
    let fitting: Vec<_> = fitting.map(Algorithm::name).collect();
    let message = format!("{} cannot be used with {algorithms}", material.describe());
    // Never the way from a public key to a secret: a public key that is taken for one lets every client sign.
    let help = match material {
        Material::Secret => "name the public key of the issuer, by `pem`, `jwks` or `oidc`".to_owned(),
        _ => format!("list only {}, or name another key", fitting.join(", ")),
    };
    KeyProblem::mismatch(message, help)
}

/// Whether an RSA modulus (big-endian) has the fingerprint of CVE-2017-15361: modulo each small
/// prime it is a power of 65537 (Nemec and others, "The Return of Coppersmith's Attack", 2017).
fn has_roca_fingerprint(modulus: &[u8]) -> bool {
    const PRIMES: [u32; 17] = [3, 5, 7, 11, 13, 17, 19, 37, 53, 61, 71, 73, 79, 97, 103, 107, 109];
    PRIMES.iter().all(|&prime| {
        let rest = modulus
            .iter()
            .fold(0, |rest, &byte| (rest * 256 + u32::from(byte)) % prime);
        std::iter::successors(Some(1), |power| Some(power * (65537 % prime) % prime))
            .take(prime as usize)
            .any(|power| power == rest)
    })
}

/// Rejects RSA keys that are too short, too long, or weak by their making.
fn check_rsa(modulus: &[u8], exponent: &[u8]) -> Result<(), KeyProblem> {
    let modulus = trim_zeros(modulus);
    let exponent = trim_zeros(exponent);
    let bits = modulus.len() * 8 - modulus.first().map_or(0, |b| b.leading_zeros() as usize);
    if bits < 2048 {
        return Err(KeyProblem::weak(
            format!("the RSA key has {bits} bits; at least 2048 are needed"),
            RSA_HELP,
        ));
    }
    if bits > 8192 {
        return Err(KeyProblem::new(format!(
            "the RSA key has {bits} bits; at most 8192 are taken"
        )));
    }
    let small = matches!(exponent, [] | [0..=2]);
    let even = exponent.last().is_none_or(|b| b % 2 == 0);
    if small || even || exponent.len() > 8 {
        return Err(KeyProblem::new("the RSA exponent is not an odd number of at least 3"));
    }
    if has_roca_fingerprint(modulus) {
        return Err(KeyProblem::weak(
            "the RSA key was made by the weak generator of CVE-2017-15361",
            RSA_HELP,
        ));
    }
    Ok(())
}

fn trim_zeros(bytes: &[u8]) -> &[u8] {
    let start = bytes.iter().position(|&b| b != 0).unwrap_or(bytes.len());
    bytes.get(start..).unwrap_or_default()
}

fn rsa_key(modulus: &[u8], exponent: &[u8]) -> Result<DecodingKey, KeyProblem> {
    check_rsa(modulus, exponent)?;
    Ok(DecodingKey::from_rsa_raw_components(
        trim_zeros(modulus),
        trim_zeros(exponent),
    ))
}

#[cfg(test)]
mod tests;
