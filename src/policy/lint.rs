//! A warning for those who write a policy, and from when on it is one.

use crate::document::problem::Problem;

/// What `check` shows and the log does not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lint {
    /// From when on the warning is true, in seconds since 1970.
    pub since: i64,
    /// The warning.
    pub problem: Problem,
}
