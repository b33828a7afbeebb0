//! The algorithms that Sidegate verifies signatures with, and the kinds of keys that they need.

use std::fmt;
use std::str::FromStr;

/// A signature algorithm (RFC 7518, 3.1 and RFC 8037).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the names are those of the RFCs")]
pub enum Algorithm {
    HS256,
    HS384,
    HS512,
    RS256,
    RS384,
    RS512,
    PS256,
    PS384,
    PS512,
    ES256,
    ES384,
    EdDSA,
}

/// The error for a name that is not an algorithm, or is one that Sidegate does not verify.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnknownAlgorithm;

impl fmt::Display for UnknownAlgorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("unknown algorithm")
    }
}

impl std::error::Error for UnknownAlgorithm {}

impl Algorithm {
    /// All of them, in the order of their RFCs.
    pub const ALL: [Self; 12] = [
        Self::HS256,
        Self::HS384,
        Self::HS512,
        Self::RS256,
        Self::RS384,
        Self::RS512,
        Self::PS256,
        Self::PS384,
        Self::PS512,
        Self::ES256,
        Self::ES384,
        Self::EdDSA,
    ];

    /// Returns the name, as in `alg`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::HS256 => "HS256",
            Self::HS384 => "HS384",
            Self::HS512 => "HS512",
            Self::RS256 => "RS256",
            Self::RS384 => "RS384",
            Self::RS512 => "RS512",
            Self::PS256 => "PS256",
            Self::PS384 => "PS384",
            Self::PS512 => "PS512",
            Self::ES256 => "ES256",
            Self::ES384 => "ES384",
            Self::EdDSA => "EdDSA",
        }
    }

    /// Returns what its keys are made of.
    pub const fn material(self) -> Material {
        match self {
            Self::HS256 | Self::HS384 | Self::HS512 => Material::Secret,
            Self::RS256 | Self::RS384 | Self::RS512 | Self::PS256 | Self::PS384 | Self::PS512 => Material::Rsa,
            Self::ES256 => Material::P256,
            Self::ES384 => Material::P384,
            Self::EdDSA => Material::Ed25519,
        }
    }
}

/// Reads a name exactly as it is written.
impl FromStr for Algorithm {
    type Err = UnknownAlgorithm;

    fn from_str(name: &str) -> Result<Self, UnknownAlgorithm> {
        let mut all = Self::ALL.into_iter();
        all.find(|algorithm| algorithm.name() == name).ok_or(UnknownAlgorithm)
    }
}

/// What a key is made of; it decides which algorithms the key may be used with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Material {
    /// A shared secret.
    Secret,
    /// An RSA public key.
    Rsa,
    /// A point on P-256.
    P256,
    /// A point on P-384.
    P384,
    /// An Ed25519 public key.
    Ed25519,
}

impl Material {
    /// Returns what the key is, for a problem.
    pub const fn describe(self) -> &'static str {
        match self {
            Self::Secret => "a shared secret",
            Self::Rsa => "an RSA key",
            Self::P256 => "a P-256 key",
            Self::P384 => "a P-384 key",
            Self::Ed25519 => "an Ed25519 key",
        }
    }

    /// Tells whether a key of this material is made for an algorithm.
    pub fn fits(self, algorithm: Algorithm) -> bool {
        algorithm.material() == self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn name_of_each_algorithm_is_read_as_that_algorithm() {
        for algorithm in Algorithm::ALL {
            assert_eq!(algorithm.name().parse(), Ok(algorithm));
        }
    }

    #[test]
    fn other_name_is_rejected() {
        for name in ["", "none", "hs256", "HS256 ", "ES512", "ES256K", "EDDSA"] {
            assert_eq!(name.parse::<Algorithm>(), Err(UnknownAlgorithm), "{name}");
        }
    }
}
