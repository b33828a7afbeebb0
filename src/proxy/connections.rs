//! The connections that are open: counted until the last one is closed, and capped for each
//! listener. Never reads from them or writes to them.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use prometheus::{IntCounter, IntGauge};
use tokio::sync::Notify;

use crate::telemetry::metrics::Metrics;

/// How often the log says that a listener is full.
const REMIND_EVERY: Duration = Duration::from_secs(10);

/// The open connections of all listeners, so that a drain ends when the last one does.
#[derive(Debug)]
pub struct Connections {
    open: AtomicUsize,
    closed: Notify,
    gauge: IntGauge,
}

impl Connections {
    /// None yet.
    pub fn new(metrics: &Metrics) -> Self {
        Self {
            open: AtomicUsize::new(0),
            closed: Notify::new(),
            gauge: metrics.connections().clone(),
        }
    }

    /// Waits until none is open, at most for some time. Returns how many are.
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

/// The connections that one listener takes at a time.
#[derive(Debug)]
pub struct Slots {
    listener: String,
    most: usize,
    taken: AtomicUsize,
    all: Arc<Connections>,
    refused: IntCounter,
    reminded: Mutex<Option<Instant>>,
}

impl Slots {
    /// As many as `most`, all of them free.
    pub fn new(listener: &str, most: usize, all: &Arc<Connections>, metrics: &Metrics) -> Self {
        metrics.connections_limit(listener, most);
        Self {
            listener: listener.to_owned(),
            most,
            taken: AtomicUsize::new(0),
            all: Arc::clone(all),
            refused: metrics.connections_refused(listener),
            reminded: Mutex::default(),
        }
    }

    /// The connections of all listeners.
    pub fn all(&self) -> &Connections {
        &self.all
    }

    /// Takes a slot until the connection is dropped. `None`, and counted, where all are taken.
    pub fn take(self: &Arc<Self>) -> Option<OpenConnection> {
        if self.taken.fetch_add(1, Ordering::Relaxed) >= self.most {
            self.taken.fetch_sub(1, Ordering::Relaxed);
            self.refused.inc();
            self.remind();
            return None;
        }
        self.all.open.fetch_add(1, Ordering::Relaxed);
        self.all.gauge.inc();
        Some(OpenConnection(Arc::clone(self)))
    }

    fn remind(&self) {
        let mut reminded = self.reminded.lock();
        if reminded.is_none_or(|at| at.elapsed() >= REMIND_EVERY) {
            *reminded = Some(Instant::now());
            let (listener, connections) = (&self.listener, self.most);
            tracing::warn!(listener, connections, "the listener is full; connections are refused");
        }
    }
}

/// A connection that is counted as long as it lives.
#[derive(Debug)]
pub struct OpenConnection(Arc<Slots>);

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.0.taken.fetch_sub(1, Ordering::Relaxed);
        self.0.all.open.fetch_sub(1, Ordering::Release);
        self.0.all.gauge.dec();
        self.0.all.closed.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_is_free_again_once_its_connection_is_gone() {
        let metrics = Metrics::new().unwrap();
        let all = Arc::new(Connections::new(&metrics));
        let slots = |name| Arc::new(Slots::new(name, 2, &all, &metrics));
        let (first, second) = (slots("first"), slots("second"));
        let open = [first.take().unwrap(), first.take().unwrap(), second.take().unwrap()];
        assert!(first.take().is_none() && first.take().is_none());
        assert_eq!(metrics.connections().get(), 3);
        drop(open);
        assert!(first.take().is_some());
        assert_eq!(metrics.connections_refused("first").get(), 2);
        assert_eq!(metrics.connections_refused("second").get(), 0);
    }
}
