//! What methods verify credentials by.

use std::sync::Arc;

use super::key_rings::KeyRing;
use super::sources::Presented;
use super::token_cache::TokenCache;
use crate::policy::Policy;
use crate::revocation::Revocations;

/// What a request is authenticated with, besides itself.
#[derive(Debug, Clone, Copy)]
pub struct Context<'c> {
    /// The policy and its place in the set.
    pub policy: (&'c Policy, usize),
    /// The keys in force of the issuers of the policy.
    pub keys: &'c [Arc<KeyRing>],
    /// The tokens that were verified before.
    pub tokens: &'c TokenCache,
    /// The tokens that were revoked.
    pub revocations: Revocations<'c>,
    /// Where the token of the request may be.
    pub presented: Presented<'c>,
}
