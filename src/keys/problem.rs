//! What is wrong with a key.

use std::fmt;

/// Why a key cannot be used. Never holds the key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyProblem(String);

impl KeyProblem {
    /// A problem in words, without the key.
    pub fn new(what: impl Into<String>) -> Self {
        Self(what.into())
    }
}

impl fmt::Display for KeyProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for KeyProblem {}
