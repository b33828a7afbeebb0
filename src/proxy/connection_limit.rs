//! Counts open connections until the last one is closed, and limits them for each listener. Never reads
//! from them or writes to them.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use prometheus::{IntCounter, IntGauge};
use tokio::sync::Notify;

use crate::admission::client_limit::{ClientConnections, Counted};
use crate::telemetry::metrics::Metrics;

/// How often the log repeats that connections are rejected.
const REMIND_EVERY: Duration = Duration::from_secs(10);

/// Tracks the open connections of all listeners, so that a drain ends with the last one.
#[derive(Debug)]
pub struct ConnectionTracker {
    open: AtomicUsize,
    closed: Notify,
    gauge: IntGauge,
}

impl ConnectionTracker {
    /// Starts without connections.
    pub fn new(metrics: &Metrics) -> Self {
        Self {
            open: AtomicUsize::new(0),
            closed: Notify::new(),
            gauge: metrics.connections().clone(),
        }
    }

    /// Waits at most for some time until no connection is open. Returns how many are.
    pub async fn drained(&self, within: Duration) -> usize {
        let all_closed = async {
            loop {
                let closed = self.closed.notified();
                if self.open.load(Ordering::Acquire) == 0 {
                    return;
                }
                closed.await;
            }
        };
        let _ = tokio::time::timeout(within, all_closed).await;
        self.open.load(Ordering::Acquire)
    }
}

/// Limits the connections that one listener has at a time.
#[derive(Debug)]
pub struct ConnectionLimit {
    listener: String,
    most: usize,
    taken: AtomicUsize,
    of_client: ClientConnections,
    all: Arc<ConnectionTracker>,
    refused: IntCounter,
    reminded: Reminder,
    reminded_of_client: Reminder,
}

/// The time of the last log line of a kind.
#[derive(Debug, Default)]
struct Reminder(Mutex<Option<Instant>>);

impl Reminder {
    /// Returns whether the line is due again, and counts it as written then.
    fn is_due(&self) -> bool {
        let mut last = self.0.lock();
        let is_due = last.is_none_or(|at| at.elapsed() >= REMIND_EVERY);
        if is_due {
            *last = Some(Instant::now());
        }
        is_due
    }
}

impl ConnectionLimit {
    /// Allows `most` connections, and each client the share that `of_client` gives it.
    pub fn new(
        listener: &str,
        (most, of_client): (usize, ClientConnections),
        all: &Arc<ConnectionTracker>,
        metrics: &Metrics,
    ) -> Self {
        metrics.connections_limit(listener, most);
        Self {
            listener: listener.to_owned(),
            most,
            taken: AtomicUsize::new(0),
            of_client,
            all: Arc::clone(all),
            refused: metrics.connections_refused(listener),
            reminded: Reminder::default(),
            reminded_of_client: Reminder::default(),
        }
    }

    /// Returns the name of the listener.
    pub fn listener(&self) -> &str {
        &self.listener
    }

    /// Returns the connections of all listeners.
    pub fn all(&self) -> &ConnectionTracker {
        &self.all
    }

    /// Admits a connection, which holds its slot until it is dropped. Returns `None`, and counts a
    /// rejection, at the limit of the listener or of the peer; without a peer, only the first counts.
    pub fn take(self: &Arc<Self>, peer: Option<IpAddr>) -> Option<ConnectionGuard> {
        let counted = match peer {
            Some(peer) => Some(self.count_client(peer)?),
            None => None,
        };
        if self.taken.fetch_add(1, Ordering::Relaxed) >= self.most {
            self.taken.fetch_sub(1, Ordering::Relaxed);
            self.refused.inc();
            self.remind();
            return None;
        }
        self.all.open.fetch_add(1, Ordering::Relaxed);
        self.all.gauge.inc();
        Some(ConnectionGuard {
            slots: Arc::clone(self),
            counted,
        })
    }

    fn count_client(&self, peer: IpAddr) -> Option<Counted> {
        let counted = self.of_client.add(&self.listener, peer);
        if counted.is_none() && self.reminded_of_client.is_due() {
            let (listener, connections) = (&self.listener, self.of_client.limit());
            tracing::warn!(listener, client = %peer, connections, "a client has as many connections as it may have; more are rejected");
        }
        counted
    }

    fn remind(&self) {
        if self.reminded.is_due() {
            let (listener, connections) = (&self.listener, self.most);
            tracing::warn!(listener, connections, "the listener is full; connections are rejected");
        }
    }
}

/// Counts its connection as open until it is dropped.
#[derive(Debug)]
pub struct ConnectionGuard {
    slots: Arc<ConnectionLimit>,
    counted: Option<Counted>,
}

impl ConnectionGuard {
    /// Counts the connection as one of a client whose address was not known before. Returns whether the client may have
    /// it.
    pub fn count_client(&mut self, client: Option<IpAddr>) -> bool {
        let Some(client) = client else { return true };
        self.counted = self.slots.count_client(client);
        self.counted.is_some()
    }
}

impl Drop for ConnectionGuard {
    fn drop(&mut self) {
        let ConnectionLimit { taken, all, .. } = &*self.slots;
        taken.fetch_sub(1, Ordering::Relaxed);
        all.open.fetch_sub(1, Ordering::Release);
        all.gauge.dec();
        all.closed.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::metrics::ClientLimit;

    #[test]
    fn a_slot_is_free_again_once_its_connection_is_gone() {
        let metrics = Metrics::new().unwrap();
        let all = Arc::new(ConnectionTracker::new(&metrics));
        let counts = Arc::default();
        let slots = |name| {
            let of_client = ClientConnections::new(1, &counts, &metrics);
            Arc::new(ConnectionLimit::new(name, (2, of_client), &all, &metrics))
        };
        let (first, second) = (slots("first"), slots("second"));
        let open = [&first, &first, &second].map(|slots| slots.take(None).unwrap());
        assert!(first.take(None).is_none() && first.take(None).is_none());
        assert_eq!(metrics.connections().get(), 3);
        drop(open);
        assert!(first.take(None).is_some());
        assert_eq!(metrics.connections_refused("first").get(), 2);
        assert_eq!(metrics.connections_refused("second").get(), 0);
        let [client, same, other] = ["2001:db8::1", "2001:db8::2", "::1"].map(|address| address.parse().ok());
        let open =
            [(&first, client), (&first, other), (&second, client)].map(|(slots, peer)| slots.take(peer).unwrap());
        assert!(first.take(client).is_none() && second.take(same).is_none());
        assert_eq!(metrics.client_limit_refused(ClientLimit::Connection).get(), 2);
        // The limit of the client was reached, not that of the listener.
        assert_eq!(metrics.connections_refused("second").get(), 0);
        drop(open);
        let mut open = [(&first, None), (&second, None)].map(|(slots, peer)| slots.take(peer).unwrap());
        let mut counted = open.iter_mut().map(|open| open.count_client(client));
        assert_eq!([counted.next(), counted.next()], [Some(true), Some(true)]);
        assert!(first.take(same).is_none() && second.take(client).is_none());
        drop(open);
        assert!(first.take(same).is_some());
    }
}
