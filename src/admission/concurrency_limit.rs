//! Limits the requests that are forwarded at the same time, and waits for the last of them at a drain.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::time::sleep;

use crate::rejection::{Reason, Rejection};

/// How often a drain looks whether all slots are free.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// The slots of a process; clones share them. Taking and freeing one takes no lock.
#[derive(Debug, Clone)]
pub struct ConcurrencyLimit {
    taken: Arc<AtomicUsize>,
    limit: usize,
}

/// A slot, until it is dropped.
#[derive(Debug)]
pub struct ConcurrencyPermit(Arc<AtomicUsize>);

impl ConcurrencyLimit {
    /// Creates free slots.
    pub fn new(limit: usize) -> Self {
        Self {
            taken: Arc::default(),
            limit,
        }
    }

    /// Returns the number of slots.
    pub const fn limit(&self) -> usize {
        self.limit
    }

    /// Takes a slot, if one is free.
    pub fn take(&self) -> Option<ConcurrencyPermit> {
        let more = |taken| (taken < self.limit).then_some(taken + 1);
        let taken = self.taken.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
        taken.is_ok().then(|| ConcurrencyPermit(Arc::clone(&self.taken)))
    }

    /// Rejects a request for which no slot is free.
    pub fn exceeded(&self) -> Rejection {
        let cause = format!("all {} slots of `limits.requests` are in use", self.limit);
        Rejection::because(Reason::Overloaded, cause)
    }

    /// Waits until all slots are free.
    pub async fn drained(&self) {
        while self.taken.load(Ordering::Acquire) > 0 {
            sleep(LOOK_EVERY).await;
        }
    }
}

impl Drop for ConcurrencyPermit {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn slot_is_free_again_once_its_request_is_over_and_the_last_one_ends_the_drain() {
        let slots = ConcurrencyLimit::new(2);
        let (one, other) = (slots.take().unwrap(), slots.take().unwrap());
        assert!(slots.take().is_none() && slots.take().is_none());
        drop(one);
        let again = slots.clone().take().unwrap();
        assert!(slots.take().is_none());
        let mut drained = Box::pin(slots.drained());
        assert!(drained.as_mut().now_or_never().is_none());
        drop((other, again));
        drained.await;
        assert!(ConcurrencyLimit::new(0).take().is_none());
    }
}
