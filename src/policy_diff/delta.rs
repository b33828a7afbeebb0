//! What changes for the callers of some requests, summed up.

use serde::Serialize;

use super::caller_class::CallerClass;
use super::effects::Effect;

/// What changes for the callers of some requests. It has at least one effect.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Delta {
    /// What the changes mean, danger first.
    pub effects: Vec<Effect>,
    /// Callers who pass and did not: the most general of them.
    pub gained: Vec<CallerChange>,
    /// Callers who do not pass and did.
    pub lost: Vec<CallerChange>,
    /// Callers who pass as before, of whom the upstream gets something else.
    pub forwarded: Vec<CallerChange>,
    /// Callers who are rejected as before, in another way.
    pub rejected: Vec<CallerChange>,
    /// The identity headers that the upstream gets from another source, by their names.
    pub told: Vec<Told>,
    /// What else the upstream gets differently, such as `service`, `upstream`, `path` or the name of a header that is not an
    /// identity header of either side, in the order of the names.
    pub differs: Vec<String>,
    /// Whether a token passes that did not, because its tenant is not that of the tenant header.
    pub another_tenant: bool,
    /// How many classes of callers were tried.
    pub callers: usize,
    /// How many changes of callers are left out of the lists, because those in the lists stand for them.
    pub left_out: usize,
}

/// What changes for a class of callers.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CallerChange {
    /// The callers.
    pub caller: CallerClass,
    /// What became of their requests, as in `401 credential_missing`, `allow` or `shadow credential_missing`.
    pub was: String,
    /// What becomes of them.
    pub now: String,
}

/// An identity header that the upstream gets from another source, or gets no more.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Told {
    /// The name of the header.
    pub header: String,
    /// What it was set from, as in `claim sub`.
    pub was: Option<String>,
    /// What it is set from.
    pub now: Option<String>,
}
