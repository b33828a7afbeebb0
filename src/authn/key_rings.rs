//! The key sets in force of all issuers, beside the policies that name them.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use arc_swap::{ArcSwapOption, Guard};

use crate::keys::KeySet;
use crate::policy::{Issuer, IssuerKeys, Policy, PolicySet};

/// The key set in force for one issuer. Empty before the first fetch succeeds, and after the last
/// set was withdrawn or became too old.
#[derive(Debug, Default)]
pub struct KeyRing {
    set: ArcSwapOption<KeySet>,
    /// When the set was last fetched, in seconds since the epoch; 0 if it was read with the policy.
    fetched: AtomicI64,
}

impl KeyRing {
    /// Makes the ring of an issuer. It holds the keys that were read with the policy; that of
    /// fetched keys is empty.
    fn of(issuer: &Issuer) -> Self {
        let set = match &issuer.keys {
            IssuerKeys::Local(set) => Some(Arc::clone(set)),
            IssuerKeys::Remote(_) => None,
        };
        Self {
            set: ArcSwapOption::new(set),
            fetched: AtomicI64::default(),
        }
    }

    /// Puts a new set in force; the old one stops working at once.
    pub fn replace(&self, set: KeySet) {
        self.set.store(Some(Arc::new(set)));
    }

    /// Records when the set in force was fetched, in seconds since the epoch. Only messages read it.
    pub fn record_fetch(&self, at: i64) {
        self.fetched.store(at, Ordering::Relaxed);
    }

    /// Returns how old the set is at a time, in seconds, unless it was read with the policy.
    pub fn age(&self, now: i64) -> Option<i64> {
        let fetched = self.fetched.load(Ordering::Relaxed);
        (fetched > 0).then(|| now - fetched)
    }

    /// Leaves no set in force: the issuer withdrew its keys, or they are too old.
    pub fn clear(&self) {
        self.set.store(None);
    }

    /// Returns the set in force.
    pub fn load(&self) -> Guard<Option<Arc<KeySet>>> {
        self.set.load()
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
