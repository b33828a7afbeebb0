//! Requests that no client sent, decided by policies that are not in force: with throwaway keys in place of the real ones, which
//! are not read, by the same code that the proxy runs.

use std::sync::Arc;

use http::Method;

use crate::decision::{Decision, Evaluator, Observer, decide};
use crate::policy::PolicySet;
use crate::request::target::shown_path;
use crate::request::{RequestFacts, RequestLimits};
use crate::revocation::Revocations;

mod answer;
mod caller;
pub mod claims;
mod request;
mod throwaway_keys;
pub mod who;

pub use answer::{Answer, Forwarded, Reached, Rejected, Reply};
pub use caller::{Caller, Corruption, PresentedKey, Token, TokenPlace, USUAL_TYPE};
pub use request::Request;
pub use throwaway_keys::{ThrowawayKeys, cheapest};
pub use who::{who, who_at};

/// Policies with throwaway keys, ready to decide requests.
#[derive(Debug)]
pub struct Rehearsal {
    evaluator: Evaluator,
    keys: Arc<ThrowawayKeys>,
    body_bytes: Option<u64>,
}

impl Rehearsal {
    /// Prepares policies that were read with these keys. Each issuer has its keys, also where Sidegate would fetch them.
    pub fn new(policies: Arc<PolicySet>, keys: &Arc<ThrowawayKeys>) -> Self {
        let evaluator = Evaluator::new(policies);
        for (index, policy) in evaluator.policies().policies().iter().enumerate() {
            for (issuer, ring) in policy.issuers.iter().zip(evaluator.keys().of_policy(index)) {
                ring.replace(keys.key_set(issuer));
            }
        }
        Self {
            evaluator,
            keys: Arc::clone(keys),
            body_bytes: None,
        }
    }

    /// Sets the longest body where a route has no limit of its own, in bytes, as the configuration of the process says.
    #[must_use]
    pub const fn with_body_bytes(mut self, body_bytes: u64) -> Self {
        self.body_bytes = Some(body_bytes);
        self
    }

    /// Returns the longest body where a route has no limit of its own, in bytes.
    pub fn body_bytes(&self) -> u64 {
        self.body_bytes.unwrap_or_else(|| RequestLimits::default().body_bytes)
    }

    /// Returns the policies with their keys.
    pub const fn evaluator(&self) -> &Evaluator {
        &self.evaluator
    }

    /// Returns the policies.
    pub fn policies(&self) -> &PolicySet {
        self.evaluator.policies()
    }

    /// Returns the keys.
    pub fn keys(&self) -> &Arc<ThrowawayKeys> {
        &self.keys
    }

    /// Takes the keys of an issuer away, by its policy in the set and its place in the policy, as if none could be fetched.
    pub fn remove_keys(&self, policy: usize, issuer: usize) {
        if let Some(ring) = self.evaluator.keys().of_policy(policy).get(issuer) {
            ring.clear();
        }
    }

    /// Returns the same policies without the keys of some issuers, each by its policy in the set and its place in the policy.
    #[must_use]
    pub fn without_keys(&self, issuers: &[(usize, usize)]) -> Self {
        let mut without = Self::new(Arc::clone(self.evaluator.policies()), &self.keys);
        without.body_bytes = self.body_bytes;
        for (policy, issuer) in issuers {
            without.remove_keys(*policy, *issuer);
        }
        without
    }

    /// Decides a request.
    pub fn decide<'p, 'r>(
        &'p self,
        facts: &RequestFacts<'r>,
        revocations: Revocations<'_>,
        observer: &mut impl Observer,
    ) -> Decision<'p, 'r> {
        let body_bytes = self.body_bytes.unwrap_or(facts.limits.body_bytes);
        let limits = RequestLimits {
            body_bytes,
            ..facts.limits
        };
        decide(
            &self.evaluator,
            &RequestFacts { limits, ..*facts },
            revocations,
            observer,
        )
    }

    /// Decides a request, and says what client and upstream see of it.
    pub fn answer(&self, facts: &RequestFacts<'_>, revocations: Revocations<'_>) -> Answer {
        let decision = self.decide(facts, revocations, &mut ());
        self.answer_of(&decision, facts)
    }

    /// Returns the response of Sidegate to a request that it decided and does not forward, as the client gets it but for ids
    /// and times.
    pub fn reply_to(&self, decision: &Decision<'_, '_>, facts: &RequestFacts<'_>) -> Reply {
        let reply = Reply::to(decision, self.policies(), facts, &shown_path(facts.path, facts.query));
        match *facts.method == Method::HEAD {
            true => Reply {
                body: Vec::new(),
                ..reply
            },
            false => reply,
        }
    }

    /// Says what client and upstream see of a request that was decided.
    pub fn answer_of(&self, decision: &Decision<'_, '_>, facts: &RequestFacts<'_>) -> Answer {
        Answer::of(decision, self.policies(), facts)
    }
}

#[cfg(test)]
mod tests;
