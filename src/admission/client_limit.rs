//! The connections and requests that one client may have at a time, so that no client has all of them.
//!
//! The counters are a table of fixed size. A keyed hash of a client picks one counter in each of two
//! rows, and the lower of the two is the count of the client. So nothing is locked and nothing is
//! allocated. Two clients share a count by a chance of 1 in 2^28, and the key, which is random for each
//! process, keeps a client from choosing with whom.

use std::hash::{BuildHasher as _, Hash, RandomState};
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use prometheus::IntCounter;

use crate::caller_key;
use crate::principal::Principal;
use crate::telemetry::metrics::{ClientLimit, Metrics, NONE};

/// The counters of a row.
const ROW: usize = 1 << 14;

/// How many connections and requests each client has.
pub struct ClientCounts {
    key: RandomState,
    rows: [Box<[AtomicU32]>; 2],
}

impl std::fmt::Debug for ClientCounts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ClientCounts").finish_non_exhaustive()
    }
}

impl Default for ClientCounts {
    fn default() -> Self {
        let row = || (0..ROW).map(|_| AtomicU32::new(0)).collect();
        Self {
            key: RandomState::new(),
            rows: [row(), row()],
        }
    }
}

/// One that a client has, until it is dropped.
#[derive(Debug)]
pub struct Counted {
    counts: Arc<ClientCounts>,
    at: [usize; 2],
}

impl ClientCounts {
    /// Counts one more of a client, which may have so many. `None` if it has them.
    pub fn add(self: &Arc<Self>, client: impl Hash, most: usize) -> Option<Counted> {
        let hash = self.key.hash_one(client);
        let at = [hash, hash >> 32].map(|half| usize::try_from(half % (ROW as u64)).unwrap_or_default());
        let before = self.counters(at).map(|counter| counter.fetch_add(1, Ordering::Relaxed));
        let before = before.min().unwrap_or_default();
        let counted = Counted {
            counts: Arc::clone(self),
            at,
        };
        // Dropped, it is taken back.
        (u64::from(before) < most as u64).then_some(counted)
    }

    fn counters(&self, at: [usize; 2]) -> impl Iterator<Item = &AtomicU32> {
        self.rows.iter().zip(at).filter_map(|(row, at)| row.get(at))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        for counter in self.counts.counters(self.at) {
            counter.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

/// The requests that one client may have with services.
#[derive(Debug)]
pub struct ClientRequests {
    counts: Arc<ClientCounts>,
    most: usize,
    by_address: IntCounter,
    by_caller: IntCounter,
}

impl ClientRequests {
    /// Of each client so many.
    pub fn new(most: usize, counts: &Arc<ClientCounts>, metrics: &Metrics) -> Self {
        Self {
            counts: Arc::clone(counts),
            most,
            by_address: metrics.client_limit_refused(ClientLimit::Address),
            by_caller: metrics.client_limit_refused(ClientLimit::Caller),
        }
    }
}

/// What a client has of a request that is with a service; nothing where nothing tells clients apart.
pub type CountedRequest = [Option<Counted>; 2];

impl ClientRequests {
    /// Counts a request by the address of its client and by its caller, or says which of them has as many
    /// as it may have. Over a unix socket there is no address.
    pub fn count(
        &self,
        address: Option<IpAddr>,
        principal: Option<&Principal>,
        service: Option<&str>,
    ) -> Result<CountedRequest, &'static str> {
        let address = address.map(caller_key::network);
        let by_address = address.map(|address| self.counts.add((ClientLimit::Address, address), self.most));
        if matches!(by_address, Some(None)) {
            self.by_address.inc();
            return Err("the address of the client has as many requests as it may have");
        }
        let service = service.unwrap_or(NONE);
        let identity = principal.and_then(|principal| caller_key::identity(principal, service));
        let by_caller = identity.map(|identity| self.counts.add((ClientLimit::Caller, identity), self.most));
        if matches!(by_caller, Some(None)) {
            self.by_caller.inc();
            return Err("the caller has as many requests as it may have");
        }
        Ok([by_address.flatten(), by_caller.flatten()])
    }
}

/// The connections to a listener that one client may have.
#[derive(Debug)]
pub struct ClientConnections {
    counts: Arc<ClientCounts>,
    most: usize,
    refused: IntCounter,
}

impl ClientConnections {
    /// Of each client so many.
    pub fn new(most: usize, counts: &Arc<ClientCounts>, metrics: &Metrics) -> Self {
        Self {
            counts: Arc::clone(counts),
            most,
            refused: metrics.client_limit_refused(ClientLimit::Connection),
        }
    }

    /// The most that a client may have.
    pub const fn most(&self) -> usize {
        self.most
    }

    /// Counts a connection to a listener; `None`, which is counted as well, if its client has as many as it may.
    pub fn add(&self, listener: &str, peer: IpAddr) -> Option<Counted> {
        let client = (ClientLimit::Connection, listener, caller_key::network(peer));
        let counted = self.counts.add(client, self.most);
        if counted.is_none() {
            self.refused.inc();
        }
        counted
    }
}

#[cfg(test)]
mod tests {
    use std::array;

    use super::*;

    #[test]
    fn a_client_has_as_many_as_it_may_and_others_have_theirs() {
        let counts = Arc::<ClientCounts>::default();
        let greedy: [_; 3] = array::from_fn(|_| counts.add("greedy", 3).unwrap());
        assert!(counts.add("greedy", 3).is_none());
        // What was refused is not counted.
        assert!(counts.add("greedy", 4).is_some());
        for other in 0..1000 {
            assert!(counts.add(other, 1).is_some(), "{other}");
        }
        drop(greedy);
        let again: [_; 3] = array::from_fn(|_| counts.add("greedy", 3).unwrap());
        assert!(counts.add("greedy", 3).is_none());
        drop(again);
    }

    #[test]
    fn nothing_is_left_of_many_threads_once_they_are_done() {
        let counts = Arc::<ClientCounts>::default();
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let counts = &counts;
                scope.spawn(move || {
                    for round in 0..1000 {
                        let held: Vec<_> = (0..8).map(|n| counts.add(("shared", n % 2), 6)).collect();
                        assert!(held.len() == 8, "{thread} {round}");
                    }
                });
            }
        });
        let left = counts
            .rows
            .iter()
            .flatten()
            .map(|counter| counter.load(Ordering::Relaxed));
        assert_eq!(left.sum::<u32>(), 0);
    }

    #[test]
    fn a_client_among_as_many_others_as_there_are_counters_is_not_counted_with_them() {
        let counts = Arc::<ClientCounts>::default();
        let others: Vec<_> = (0..ROW / 2).filter_map(|other| counts.add(other, 2)).collect();
        assert!(others.len() > ROW / 2 - ROW / 64, "{}", others.len());
        assert!(counts.add("one of them", 16).is_some());
    }
}
