//! Resolves the name of an upstream in the background. A request only reads the addresses that were found last.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use pingora::protocols::l4::socket::SocketAddr as PingoraAddr;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// How often names are resolved.
const RESOLVE_EVERY: Duration = Duration::from_secs(5);

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
    found: ArcSwap<Vec<SocketAddr>>,
    /// Whether the first lookup is done.
    is_first_done: watch::Sender<bool>,
    next: AtomicUsize,
}

impl ResolvedHost {
    /// Begins to resolve a name.
    pub(super) fn start(host: &str, port: u16) -> Self {
        let lookup = Arc::new(Lookup {
            host: host.to_owned(),
            port,
            found: ArcSwap::default(),
            is_first_done: watch::channel(false).0,
            next: AtomicUsize::new(0),
        });
        Self {
            resolving: tokio::spawn(Arc::clone(&lookup).keep_resolved()),
            lookup,
        }
    }

    /// Waits until the name was looked up once, even if that failed.
    pub(super) async fn first_lookup(&self) {
        let mut first = self.lookup.is_first_done.subscribe();
        let _ = first.wait_for(|done| *done).await;
    }

    /// Returns the next of the addresses, in turn.
    pub(super) fn address(&self) -> Option<PingoraAddr> {
        let found = self.lookup.found.load();
        let turn = self.lookup.next.fetch_add(1, Ordering::Relaxed);
        found.get(turn % found.len().max(1)).copied().map(PingoraAddr::Inet)
    }
}

impl Drop for ResolvedHost {
    fn drop(&mut self) {
        self.resolving.abort();
    }
}

impl Lookup {
    /// Resolves the name again and again. If a lookup fails, the addresses stay as they are.
    async fn keep_resolved(self: Arc<Self>) {
        loop {
            self.resolve().await;
            self.is_first_done.send_replace(true);
            tokio::time::sleep(RESOLVE_EVERY).await;
        }
    }

    async fn resolve(&self) {
        match tokio::net::lookup_host((self.host.as_str(), self.port)).await {
            Ok(found) => {
                let found = one_family(found.collect());
                if !found.is_empty() && **self.found.load() != found {
                    tracing::info!(host = self.host, addresses = ?found, "service resolved");
                    self.found.store(Arc::new(found));
                }
            }
            Err(error) => tracing::warn!(host = self.host, %error, "the name of a service cannot be resolved"),
        }
    }
}

/// Returns the IPv4 addresses, or the IPv6 addresses if there are none. If one family is unreachable, taking
/// turns over both would fail for half of the requests.
fn one_family(mut found: Vec<SocketAddr>) -> Vec<SocketAddr> {
    if found.iter().any(SocketAddr::is_ipv4) {
        found.retain(SocketAddr::is_ipv4);
    }
    found.sort_unstable();
    found.dedup();
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn dropped_name_is_no_longer_resolved() {
        let name = ResolvedHost::start("localhost", 1);
        name.first_lookup().await;
        assert!(name.address().is_some());
        let lookup = Arc::downgrade(&name.lookup);
        drop(name);
        while lookup.upgrade().is_some() {
            tokio::task::yield_now().await;
        }
    }
}
