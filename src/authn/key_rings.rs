//! The key sets in force of all issuers, beside the policies that name them.

use std::sync::Arc;

use arc_swap::{ArcSwapOption, Guard};

use crate::keys::KeySet;
use crate::policy::{Issuer, IssuerKeys, Policy, PolicySet};

/// The key set in force for one issuer. Empty before the first fetch succeeds, and after the last
/// set was withdrawn or became too old.
#[derive(Debug, Default)]
pub struct KeyRing(ArcSwapOption<KeySet>);

impl KeyRing {
    /// Makes the ring of an issuer. It holds the keys that were read with the policy; that of
    /// fetched keys is empty.
    fn of(issuer: &Issuer) -> Self {
        Self(ArcSwapOption::new(match &issuer.keys {
            IssuerKeys::Local(set) => Some(Arc::clone(set)),
            IssuerKeys::Remote(_) => None,
        }))
    }

    /// Puts a new set in force; the old one stops working at once.
    pub fn replace(&self, set: KeySet) {
        self.0.store(Some(Arc::new(set)));
    }

    /// Leaves no set in force: the issuer withdrew its keys, or they are too old.
    pub fn clear(&self) {
        self.0.store(None);
    }

    /// Returns the set in force.
    pub fn load(&self) -> Guard<Option<Arc<KeySet>>> {
        self.0.load()
    }
}

/// The rings of all issuers, by the places of their policy in the set and of the issuer in the policy.
#[derive(Debug)]
pub struct KeyRings(Vec<Vec<Arc<KeyRing>>>);

impl KeyRings {
    /// Makes the rings of all issuers of some policies.
    pub fn new(policies: &PolicySet) -> Self {
        let ring = |issuer: &Issuer| Arc::new(KeyRing::of(issuer));
        let rings = |policy: &Policy| policy.issuers.iter().map(ring).collect();
        Self(policies.policies().iter().map(rings).collect())
    }

    /// Returns the rings of the issuers of a policy.
    pub fn of_policy(&self, policy: usize) -> &[Arc<KeyRing>] {
        self.0.get(policy).map_or(&[], Vec::as_slice)
    }
}
