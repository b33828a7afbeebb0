//! What is wrong with a value, before it has a place in a file.

use std::fmt;

use super::ProblemCode;

/// What is wrong with a value, and what would fix it. Never quotes a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// What kind of problem it is.
    pub code: ProblemCode,
    /// What is wrong. Lowercase, no full stop, values in backticks.
    pub message: String,
    /// What would fix it.
    pub help: String,
}

impl Fault {
    /// A fault in words.
    pub fn new(code: ProblemCode, message: impl Into<String>, help: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            help: help.into(),
        }
    }
}

/// For a value that does not stand in a file, such as one of a flag.
impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.message, self.help)
    }
}

impl std::error::Error for Fault {}
