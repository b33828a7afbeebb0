//! The claims of this process in a Redis. A Redis can lose them, and the connection can break before
//! a reply arrives, so this process remembers what it holds and what it may have left behind. The
//! task of the connection puts both right ([`super::connection`]).

use std::collections::HashMap;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use uuid::Uuid;

use crate::digest::Fingerprint;

/// The most claims that are remembered for their release. Each of the rest ends with its lease.
const MOST_ABANDONED: usize = 4096;

/// A claim in Redis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Lease {
    pub(super) key: Fingerprint,
    pub(super) owner: Uuid,
    pub(super) time: Duration,
    /// Until when it is held, by the clock of this process.
    until: Instant,
}

impl Lease {
    /// A claim that is held for so long from now on.
    pub(super) fn new(key: Fingerprint, owner: Uuid, time: Duration) -> Self {
        let until = Instant::now() + time;
        Self {
            key,
            owner,
            time,
            until,
        }
    }

    fn is_over(&self) -> bool {
        self.until <= Instant::now()
    }
}

/// The claims of this process.
#[derive(Debug, Default)]
pub(super) struct Leases(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    /// Granted, and not yet given up.
    held: HashMap<Fingerprint, Lease>,
    /// Perhaps in Redis, and held by no request.
    abandoned: Vec<Lease>,
}

impl Leases {
    /// The claim of another request of this process.
    pub(super) fn of_another(&self, claim: &Lease) -> Option<Lease> {
        let inner = self.0.lock();
        let held = inner.held.get(&claim.key).copied();
        held.filter(|held| held.owner != claim.owner && !held.is_over())
    }

    /// Takes note of a granted claim, unless another request of this process has the key: its claim
    /// is returned then.
    pub(super) fn hold(&self, claim: Lease) -> Option<Lease> {
        let mut inner = self.0.lock();
        let held = inner.held.entry(claim.key).or_insert(claim);
        if held.owner == claim.owner || held.is_over() {
            *held = claim;
            return None;
        }
        Some(*held)
    }

    /// Prolongs a claim whose request is still in flight, whether or not Redis can be reached.
    pub(super) fn prolong(&self, claim: Lease) {
        let mut inner = self.0.lock();
        let held = inner.held.get_mut(&claim.key);
        if let Some(held) = held.filter(|held| held.owner == claim.owner) {
            *held = claim;
        }
    }

    /// Whether a claim is held.
    pub(super) fn holds(&self, claim: &Lease) -> bool {
        let inner = self.0.lock();
        inner.held.get(&claim.key).is_some_and(|held| held.owner == claim.owner)
    }

    /// Forgets a claim that is over.
    pub(super) fn forget(&self, key: Fingerprint, owner: Uuid) {
        let mut inner = self.0.lock();
        if inner.held.get(&key).is_some_and(|held| held.owner == owner) {
            inner.held.remove(&key);
        }
    }

    /// All claims that are held.
    pub(super) fn held(&self) -> Vec<Lease> {
        let mut inner = self.0.lock();
        inner.held.retain(|_, held| !held.is_over());
        inner.held.values().copied().collect()
    }

    /// Remembers claims that have to be released, as far as there is room.
    pub(super) fn abandon(&self, claims: &[Lease]) {
        let mut inner = self.0.lock();
        let room = MOST_ABANDONED.saturating_sub(inner.abandoned.len());
        inner.abandoned.extend(claims.iter().take(room));
    }

    /// Whether there are claims that have to be released.
    pub(super) fn has_abandoned(&self) -> bool {
        !self.0.lock().abandoned.is_empty()
    }

    /// Takes the claims that have to be released.
    pub(super) fn take_abandoned(&self) -> Vec<Lease> {
        std::mem::take(&mut self.0.lock().abandoned)
    }

    /// A question about a claim begins. Unless its end is known, the claim has to be released.
    pub(super) fn ask(&self, claim: Lease) -> Asking<'_> {
        Asking {
            leases: self,
            claim: Some(claim),
        }
    }
}

/// A question about a claim whose end is not known yet: the request may be dropped meanwhile.
#[derive(Debug)]
pub(super) struct Asking<'l> {
    leases: &'l Leases,
    claim: Option<Lease>,
}

impl Asking<'_> {
    /// The end is known, and leaves nothing behind.
    pub(super) fn settled(mut self) {
        self.claim = None;
    }
}

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        if let Some(claim) = self.claim.take() {
            self.leases.abandon(&[claim]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_hours(1);

    fn claim(key: u64, owner: u128, time: Duration) -> Lease {
        Lease::new(Fingerprint::of(&[&key.to_be_bytes()]), Uuid::from_u128(owner), time)
    }

    fn owners(leases: &[Lease]) -> Vec<u128> {
        leases.iter().map(|lease| lease.owner.as_u128()).collect()
    }

    #[test]
    fn key_that_one_request_holds_is_granted_to_no_other() {
        let leases = Leases::default();
        let (first, second) = (claim(1, 1, HOUR), claim(1, 2, HOUR));
        assert_eq!((leases.of_another(&first), leases.hold(first)), (None, None));
        assert_eq!((leases.of_another(&first), leases.hold(first)), (None, None), "its own");
        // Redis lost the first claim, and granted the second.
        assert_eq!(
            (leases.of_another(&second), leases.hold(second)),
            (Some(first), Some(first))
        );
        leases.forget(second.key, second.owner);
        assert!(leases.holds(&first) && !leases.holds(&second));
        assert_eq!(leases.held(), [first]);
        leases.forget(first.key, first.owner);
        assert_eq!((leases.hold(second), leases.held()), (None, vec![second]));
    }

    #[test]
    fn lease_that_is_not_prolonged_ends() {
        let leases = Leases::default();
        let (over, second) = (claim(1, 1, Duration::ZERO), claim(1, 2, HOUR));
        leases.hold(over);
        assert_eq!((leases.of_another(&second), leases.held()), (None, vec![]));
        leases.hold(over);
        assert_eq!((leases.hold(second), leases.held()), (None, vec![second]));
        leases.forget(second.key, second.owner);
        leases.hold(over);
        leases.prolong(claim(1, 2, HOUR));
        leases.prolong(claim(2, 1, HOUR));
        assert_eq!(leases.held(), [], "it was the lease of another");
        leases.hold(over);
        leases.prolong(claim(1, 1, HOUR));
        assert_eq!(owners(&leases.held()), [1]);
    }

    #[test]
    fn question_without_a_known_end_leaves_its_claim_for_release() {
        let leases = Leases::default();
        leases.ask(claim(1, 1, HOUR)).settled();
        assert!(!leases.has_abandoned());
        drop(leases.ask(claim(2, 3, HOUR)));
        assert!(leases.has_abandoned());
        assert_eq!(owners(&leases.take_abandoned()), [3]);
        assert!(!leases.has_abandoned());
    }

    #[test]
    fn claims_for_release_are_bounded() {
        let leases = Leases::default();
        for key in 0..2 * MOST_ABANDONED as u64 {
            drop(leases.ask(claim(key, 1, HOUR)));
        }
        leases.abandon(&vec![claim(0, 2, HOUR); 10]);
        assert_eq!(leases.take_abandoned().len(), MOST_ABANDONED);
    }
}
