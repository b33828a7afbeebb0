//! Limits the connections and requests that one client has at a time.
//!
//! The counters are a table of fixed size (a count-min sketch). A keyed hash of a client selects one counter in
//! each of two rows, and the lower of the two is the client's count. So counting takes no lock and allocates
//! nothing. Two clients share a count with a probability of 1 in 2^28. The key is random for each process, so a
//! client cannot choose another one to share a count with.

use std::hash::{BuildHasher as _, Hash, RandomState};
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use prometheus::IntCounter;

use crate::caller_key;
use crate::principal::Principal;
use crate::telemetry::metrics::{ClientLimit, Metrics, NONE};

/// The number of counters in a row.
const ROW: usize = 1 << 14;

/// The number of connections and requests of each client.
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

/// A connection or request that is counted until this is dropped.
#[derive(Debug)]
pub struct Counted {
    counts: Arc<ClientCounts>,
    at: [usize; 2],
}

impl ClientCounts {
    /// Counts one more for a client. Returns `None` if the client has reached `limit`.
    pub fn add(self: &Arc<Self>, client: impl Hash, limit: usize) -> Option<Counted> {
        let hash = self.key.hash_one(client);
        let at = [hash, hash >> 32].map(|half| usize::try_from(half % (ROW as u64)).unwrap_or_default());
        let before = self.counters(at).map(|counter| counter.fetch_add(1, Ordering::Relaxed));
        let before = before.min().unwrap_or_default();
        let counted = Counted {
            counts: Arc::clone(self),
            at,
        };
        // Above the limit, dropping `counted` takes it back.
        (u64::from(before) < limit as u64).then_some(counted)
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

/// The limit of concurrent requests of one client.
#[derive(Debug)]
pub struct ClientRequests {
    counts: Arc<ClientCounts>,
    limit: usize,
    by_address: IntCounter,
    by_caller: IntCounter,
}

impl ClientRequests {
    /// Creates the limit. `counts` may be shared with other limits.
    pub fn new(limit: usize, counts: &Arc<ClientCounts>, metrics: &Metrics) -> Self {
        Self {
            counts: Arc::clone(counts),
            limit,
            by_address: metrics.client_limit_refused(ClientLimit::Address),
            by_caller: metrics.client_limit_refused(ClientLimit::Caller),
        }
    }
}

/// The counts that a request holds: of its client address and of its caller, each if it has one.
pub type CountedRequest = [Option<Counted>; 2];

impl ClientRequests {
    /// Counts a request by the address of its client and by its caller. Fails if one of them has reached the limit.
    /// A client on a unix socket has no address.
    pub fn count(
        &self,
        address: Option<IpAddr>,
        principal: Option<&Principal>,
        service: Option<&str>,
    ) -> Result<CountedRequest, &'static str> {
        let address = address.map(caller_key::network);
        let by_address = address.map(|address| self.counts.add((ClientLimit::Address, address), self.limit));
        if matches!(by_address, Some(None)) {
            self.by_address.inc();
            return Err("the address of the client has as many requests as it may have");
        }
        let service = service.unwrap_or(NONE);
        let identity = principal.and_then(|principal| caller_key::identity(principal, service));
        let by_caller = identity.map(|identity| self.counts.add((ClientLimit::Caller, identity), self.limit));
        if matches!(by_caller, Some(None)) {
            self.by_caller.inc();
            return Err("the caller has as many requests as it may have");
        }
        Ok([by_address.flatten(), by_caller.flatten()])
    }
}

/// The limit of connections of one client to a listener.
#[derive(Debug)]
pub struct ClientConnections {
    counts: Arc<ClientCounts>,
    limit: usize,
    rejected: IntCounter,
}

impl ClientConnections {
    /// Creates the limit. `counts` may be shared with other limits.
    pub fn new(limit: usize, counts: &Arc<ClientCounts>, metrics: &Metrics) -> Self {
        Self {
            counts: Arc::clone(counts),
            limit,
            rejected: metrics.client_limit_refused(ClientLimit::Connection),
        }
    }

    /// Returns how many connections a client may have.
    pub const fn limit(&self) -> usize {
        self.limit
    }

    /// Counts a connection to a listener. Returns `None`, and counts a rejection, if its client has reached the limit.
    pub fn add(&self, listener: &str, peer: IpAddr) -> Option<Counted> {
        let client = (ClientLimit::Connection, listener, caller_key::network(peer));
        let counted = self.counts.add(client, self.limit);
        if counted.is_none() {
            self.rejected.inc();
        }
        counted
    }
}

#[cfg(test)]
mod tests {
    use std::array;

    use super::*;

    #[test]
    fn client_is_limited_and_other_clients_are_not_affected() {
        let counts = Arc::<ClientCounts>::default();
        let greedy: [_; 3] = array::from_fn(|_| counts.add("greedy", 3).unwrap());
        assert!(counts.add("greedy", 3).is_none());
        // A rejected request is not counted.
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
    fn counts_of_many_threads_return_to_zero() {
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
    fn client_has_its_own_count_among_as_many_others_as_counters() {
        let counts = Arc::<ClientCounts>::default();
        let others: Vec<_> = (0..ROW / 2).filter_map(|other| counts.add(other, 2)).collect();
        assert!(others.len() > ROW / 2 - ROW / 64, "{}", others.len());
        assert!(counts.add("one of them", 16).is_some());
    }
}
