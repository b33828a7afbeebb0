//! Why a process does not start.

use std::fmt;

/// Why the process cannot start.
#[derive(Debug)]
pub struct StartError(pub(super) String);

impl StartError {
    /// A start that failed for a reason.
    pub fn because(reason: impl fmt::Display) -> Self {
        Self(reason.to_string())
    }
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for StartError {}
