//! Resolves the name of an upstream in the background. A request only reads the addresses that were found last; one
//! that cannot connect may wait for the next look-up.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::addresses::{Addresses, Candidate, Pick};
use crate::background;

/// How often names are resolved.
const RESOLVE_EVERY: Duration = Duration::from_secs(5);

/// The shortest time between two look-ups that failed connections cause.
const ASK_EVERY: Duration = Duration::from_secs(1);

/// A look-up that is still to come or to end.
pub(super) type PendingLookup = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A host name with the addresses that were found last. It is resolved until it is dropped.
#[derive(Debug)]
pub(super) struct ResolvedHost {
    lookup: Arc<Lookup>,
    resolving: JoinHandle<()>,
}

#[derive(Debug)]
struct Lookup {
    host: String,
    port: u16,
    found: ArcSwap<Addresses>,
    turn: AtomicUsize,
    /// How many look-ups were asked for.
    asked: watch::Sender<u64>,
    /// When one was asked for last.
    asked_at: Mutex<Option<Instant>>,
    /// How many were asked for when the last look-up that is done began. `None` before the first one.
    done: watch::Sender<Option<u64>>,
}

impl ResolvedHost {
    /// Begins to resolve a name.
    pub(super) fn start(host: &str, port: u16) -> Self {
        let lookup = Arc::new(Lookup {
            host: host.to_owned(),
            port,
            found: ArcSwap::default(),
            turn: AtomicUsize::new(0),
            asked: watch::channel(0).0,
            asked_at: Mutex::default(),
            done: watch::channel(None).0,
        });
        Self {
            resolving: background::spawn("names", Arc::clone(&lookup).keep_resolved()),
            lookup,
        }
    }

    /// Waits until the name was looked up once, even if that failed.
    pub(super) async fn first_lookup(&self) {
        let mut done = self.lookup.done.subscribe();
        let _ = done.wait_for(Option::is_some).await;
    }

    /// Picks an address for a request that begins.
    pub(super) fn pick(&self, now: Instant) -> Option<Pick> {
        let turn = self.lookup.turn.fetch_add(1, Ordering::Relaxed);
        self.lookup.found.load().pick(turn, now)
    }

    /// Returns the addresses in the order in which a connection is tried.
    pub(super) fn in_order(&self, first: Option<SocketAddr>) -> Vec<Candidate> {
        self.lookup.found.load().in_order(first, Instant::now())
    }

    /// Returns the name.
    pub(super) fn host(&self) -> &str {
        &self.lookup.host
    }

    /// Asks for a look-up after a connection failed, not more than once a second for all requests. Returns a look-up
    /// to wait for, if one is still to end.
    pub(super) fn look_up_again(&self) -> Option<PendingLookup> {
        let lookup = &self.lookup;
        let mut asked_at = lookup.asked_at.lock();
        if asked_at.is_none_or(|at| at.elapsed() >= ASK_EVERY) {
            *asked_at = Some(Instant::now());
            lookup.asked.send_modify(|asked| *asked += 1);
        }
        let asked = *lookup.asked.borrow();
        let is_done = move |done: &Option<u64>| done.is_some_and(|done| done >= asked);
        let mut done = lookup.done.subscribe();
        if is_done(&done.borrow()) {
            return None;
        }
        Some(Box::pin(async move {
            let _ = done.wait_for(is_done).await;
        }))
    }
}

impl Drop for ResolvedHost {
    fn drop(&mut self) {
        self.resolving.abort();
    }
}

impl Lookup {
    /// Resolves the name again and again, and at once where that is asked for. If a look-up fails, the addresses stay
    /// as they are.
    async fn keep_resolved(self: Arc<Self>) {
        let mut asked = self.asked.subscribe();
        loop {
            let number = *asked.borrow_and_update();
            self.resolve().await;
            self.done.send_replace(Some(number));
            // It fails only without a sender, which is in `self`.
            let _ = tokio::time::timeout(RESOLVE_EVERY, asked.changed()).await;
        }
    }

    async fn resolve(&self) {
        match tokio::net::lookup_host((self.host.as_str(), self.port)).await {
            Ok(found) => {
                let before = self.found.load();
                let found = Addresses::new(found, &before);
                let sockets = found.sockets();
                if !sockets.is_empty() && before.sockets() != sockets {
                    tracing::info!(host = self.host, addresses = ?sockets, "service resolved");
                    self.found.store(Arc::new(found));
                }
            }
            Err(error) => tracing::warn!(host = self.host, %error, "the name of a service cannot be resolved"),
        }
    }
}

#[cfg(test)]
impl ResolvedHost {
    /// Creates a name that has these addresses, until it is asked to look again and finds others.
    pub(super) fn with(addresses: &[SocketAddr], later: &[SocketAddr]) -> Self {
        let host = Self::start("name.invalid", 1);
        host.resolving.abort();
        let found = |addresses: &[SocketAddr]| {
            let found = Addresses::new(addresses.to_vec(), &Addresses::default());
            host.lookup.found.store(Arc::new(found));
        };
        found(addresses);
        host.lookup.done.send_replace(Some(0));
        let (lookup, later) = (Arc::clone(&host.lookup), later.to_vec());
        let mut asked = lookup.asked.subscribe();
        let resolving = tokio::spawn(async move {
            while asked.changed().await.is_ok() {
                let found = Addresses::new(later.clone(), &lookup.found.load());
                lookup.found.store(Arc::new(found));
                let number = *asked.borrow_and_update();
                lookup.done.send_replace(Some(number));
            }
        });
        let lookup = Arc::clone(&host.lookup);
        Self { lookup, resolving }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    #[tokio::test]
    async fn dropped_name_is_no_longer_resolved() {
        let name = ResolvedHost::start("localhost", 1);
        name.first_lookup().await;
        assert!(name.pick(Instant::now()).is_some());
        let lookup = Arc::downgrade(&name.lookup);
        drop(name);
        while lookup.upgrade().is_some() {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn failed_connections_share_one_look_up_in_a_second() {
        let name = ResolvedHost::start("localhost", 1);
        name.first_lookup().await;
        let asked = || *name.lookup.asked.borrow();
        let first = name.look_up_again().unwrap();
        let second = name.look_up_again().unwrap();
        assert_eq!(asked(), 1);
        first.await;
        assert!(second.now_or_never().is_some());
        // It is done, and the next one is not due yet.
        *name.lookup.asked_at.lock() = Some(Instant::now());
        assert!(name.look_up_again().is_none());
        assert_eq!(asked(), 1);
        *name.lookup.asked_at.lock() = Instant::now().checked_sub(ASK_EVERY);
        name.look_up_again().unwrap().await;
        assert_eq!(asked(), 2);
    }
}
