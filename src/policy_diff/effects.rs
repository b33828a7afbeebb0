//! What a change means for callers, by its danger.

use serde::Serialize;

/// What a change does to some callers. The order is that of danger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// Callers without any credential pass who did not. Shadow mode counts.
    OpenedToPublic,
    /// Callers pass who did not, or web pages of another origin may read or call what they could not,
    /// or Sidegate itself responds.
    Opened,
    /// The same callers pass, and the upstream gets something else.
    ForwardedDifferently,
    /// Callers are rejected who passed, or web pages of another origin cannot read or call what they could.
    Closed,
    /// Callers are rejected as before, and get another response.
    RejectedDifferently,
}

impl Effect {
    /// All effects, in the order of danger.
    pub const ALL: [Self; 5] = [
        Self::OpenedToPublic,
        Self::Opened,
        Self::ForwardedDifferently,
        Self::Closed,
        Self::RejectedDifferently,
    ];

    /// Returns the word in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::OpenedToPublic => "opened_to_public",
            Self::Opened => "opened",
            Self::ForwardedDifferently => "forwarded_differently",
            Self::Closed => "closed",
            Self::RejectedDifferently => "rejected_differently",
        }
    }
}
