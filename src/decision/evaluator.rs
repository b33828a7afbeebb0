//! What decides requests: immutable policies, and beside them what changes while they are in force.

use std::sync::Arc;

use crate::authn::key_rings::KeyRings;
use crate::authn::token_cache::TokenCache;
use crate::policy::PolicySet;

/// Policies with the keys of their issuers and the tokens that were verified for them.
#[derive(Debug)]
pub struct Evaluator {
    policies: Arc<PolicySet>,
    keys: KeyRings,
    tokens: TokenCache,
}

impl Evaluator {
    /// Prepares policies to decide requests on one thread.
    pub fn new(policies: Arc<PolicySet>) -> Self {
        Self::for_threads(policies, 1)
    }

    /// Prepares policies to decide requests on a number of threads. The keys that were read with them are in force; keys that
    /// are fetched are missing until [`Evaluator::keys`] has them.
    pub fn for_threads(policies: Arc<PolicySet>, threads: usize) -> Self {
        Self {
            keys: KeyRings::new(&policies),
            policies,
            tokens: TokenCache::for_threads(threads),
        }
    }

    /// Returns the policies.
    pub fn policies(&self) -> &Arc<PolicySet> {
        &self.policies
    }

    /// Returns the key sets in force.
    pub fn keys(&self) -> &KeyRings {
        &self.keys
    }

    /// Returns the tokens that were verified before.
    pub fn tokens(&self) -> &TokenCache {
        &self.tokens
    }
}
