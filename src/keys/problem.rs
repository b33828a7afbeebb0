//! What is wrong with a key.

use std::fmt;

use crate::document::problem::{Fault, ProblemCode};

/// Why a key cannot be used, and what would fix it. Never holds the key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyProblem(Box<Fault>);

impl KeyProblem {
    /// A key that cannot be read, or has a type that is not supported.
    pub fn new(what: impl Into<String>) -> Self {
        let help = "name a public key as PEM or JWK: RSA, P-256, P-384 or Ed25519";
        Self(Box::new(Fault::new(ProblemCode::InvalidKey, what, help)))
    }

    /// A key that is too short, or weak in another way.
    pub fn weak(what: impl Into<String>, help: &str) -> Self {
        Self(Box::new(Fault::new(ProblemCode::WeakKey, what, help)))
    }

    /// A key that cannot be used with an algorithm.
    pub fn mismatch(what: impl Into<String>, help: impl Into<String>) -> Self {
        Self(Box::new(Fault::new(ProblemCode::AlgorithmKeyMismatch, what, help)))
    }

    /// The same problem, of one key of a set.
    #[must_use]
    pub fn of_key(mut self, id: &str) -> Self {
        self.0.message = format!("key `{}`: {}", id.escape_debug(), self.0.message);
        self
    }

    /// The problem without the place of the key.
    pub fn fault(&self) -> &Fault {
        &self.0
    }
}

impl fmt::Display for KeyProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)
    }
}

impl std::error::Error for KeyProblem {}
