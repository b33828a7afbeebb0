//! What the checks find.

use serde::Serialize;

/// How bad something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// As it should be.
    Ok,
    /// To be read, in case that it is not meant.
    Note,
    /// Nothing here tells.
    NotChecked,
    /// Not safe everywhere.
    Caution,
    /// To be changed.
    Problem,
}

/// One thing that was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// A stable name.
    pub code: &'static str,
    /// What it belongs to.
    pub area: &'static str,
    /// How bad it is.
    pub severity: Severity,
    /// The service, file or server that it is about.
    pub about: String,
    /// What was found.
    pub found: String,
    /// What to do; empty for nothing.
    pub advice: &'static str,
}
