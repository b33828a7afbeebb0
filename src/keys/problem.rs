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

    /// A member of a key that has the wrong type.
    pub fn member(what: impl Into<String>, help: impl Into<String>) -> Self {
        Self(Box::new(Fault::new(ProblemCode::InvalidKey, what, help)))
    }

    /// One of two different keys that have the same id, for an algorithm that both are for.
    pub fn ambiguous(algorithm: &str) -> Self {
        let what = format!("a different key of the set has the same `kid`, for {algorithm}, too: neither is used");
        let help = "give each key a `kid` of its own";
        Self(Box::new(Fault::new(ProblemCode::InvalidKey, what, help)))
    }

    /// A key with a `use` that is not registered (RFC 7517, 4.2).
    pub fn unknown_use(word: &str) -> Self {
        let word: String = word.chars().take(32).collect();
        let what = format!("`use` is `{}`, not `sig`: the key is not used", word.escape_debug());
        let help = r#"write `"use": "sig"`, or leave it out of the key"#;
        Self(Box::new(Fault::new(ProblemCode::KeyNotUsed, what, help)))
    }

    /// A key with members in another base64 than the one of the standard.
    pub fn misspelt(members: &[&str]) -> Self {
        let names: Vec<_> = members.iter().map(|name| format!("`{name}`")).collect();
        let names = names.join(", ");
        let what = format!("{names} in padded or plain base64; the standard is base64url without `=` (RFC 7515, 2)");
        let help = "Sidegate takes the key, and other programs may not: tell those who run the issuer";
        Self(Box::new(Fault::new(ProblemCode::KeyEncoding, what, help)))
    }

    /// The same problem, of one key of a set: `key …`.
    #[must_use]
    pub fn of_key(mut self, name: &str) -> Self {
        self.0.message = format!("{name}: {}", self.0.message);
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
