//! What is wrong with a key.

use std::fmt;

use crate::document::problem::ProblemCode;

/// Why a key cannot be used. Never holds the key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyProblem {
    code: ProblemCode,
    what: String,
}

impl KeyProblem {
    /// A problem in words, without the key.
    pub fn new(what: impl Into<String>) -> Self {
        Self {
            code: ProblemCode::InvalidKey,
            what: what.into(),
        }
    }

    /// A key that is too short, or weak in another way.
    pub fn weak(what: impl Into<String>) -> Self {
        Self {
            code: ProblemCode::WeakKey,
            ..Self::new(what)
        }
    }

    /// A key that cannot be used with an algorithm.
    pub fn mismatch(what: impl Into<String>) -> Self {
        Self {
            code: ProblemCode::AlgorithmKeyMismatch,
            ..Self::new(what)
        }
    }

    /// The same problem, of one key of a set.
    #[must_use]
    pub fn of_key(self, id: &str) -> Self {
        let what = format!("key `{}`: {}", id.escape_debug(), self.what);
        Self { what, ..self }
    }

    /// What kind of problem it is.
    pub fn code(&self) -> ProblemCode {
        self.code
    }
}

impl fmt::Display for KeyProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

impl std::error::Error for KeyProblem {}
