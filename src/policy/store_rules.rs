//! What a policy says of state that replicas share, checked: revocation, idempotency, quotas.

use std::time::Duration;

use http::Method;

use super::{Fallback, Mode, QuotaScope};
use crate::principal::Principal;
use crate::quota::Rate;

/// Whether and how tokens are looked for among the revoked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RevocationRule {
    /// How old what is known may be.
    pub max_stale: Duration,
    /// What becomes of a token when what is known is older.
    pub when_unavailable: Fallback,
}

/// How requests are answered that may come again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdempotencyRule {
    /// The methods that may have a key.
    pub methods: Vec<Method>,
    /// Whether they must.
    pub required: bool,
    /// How long a response is stored.
    pub ttl: Duration,
    /// The longest body of a response that is stored, in bytes.
    pub max_body: usize,
    /// What becomes of a request when the store cannot be asked.
    pub when_unavailable: Fallback,
}

/// How often callers may call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quota {
    /// The name in headers, logs and metrics; once in a policy.
    pub name: String,
    /// Who shares it.
    pub per: QuotaScope,
    /// For callers whose plan has no other.
    pub rate: Rate,
    /// The time in which all requests come back.
    pub window: Duration,
    /// By the name of the plan.
    pub plans: Vec<(String, Rate)>,
    /// The names that lead to the claim with the plan.
    pub plan_claim: Vec<String>,
    /// Whether it is enforced.
    pub mode: Mode,
    /// What becomes of a request when the store cannot be asked.
    pub when_unavailable: Fallback,
}

impl Quota {
    /// The plan that the token of a caller names.
    pub fn plan<'p>(&self, principal: &'p Principal) -> Option<&'p str> {
        principal.claim(&self.plan_claim)?.as_str()
    }

    /// The rate of a plan.
    pub fn rate_of(&self, plan: Option<&str>) -> Rate {
        let named = self.plans.iter().find(|(name, _)| Some(name.as_str()) == plan);
        named.map_or(self.rate, |(_, rate)| *rate)
    }
}
