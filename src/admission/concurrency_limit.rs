//! Limits the requests that are forwarded at the same time, and waits for the last of them at a drain.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::rejection::{Reason, Rejection};

/// The slots of a process; clones share them.
#[derive(Debug, Clone)]
pub struct ConcurrencyLimit {
    free: Arc<Semaphore>,
    limit: usize,
}

/// A slot, until it is dropped.
pub type ConcurrencyPermit = OwnedSemaphorePermit;

impl ConcurrencyLimit {
    /// Creates free slots.
    pub fn new(limit: usize) -> Self {
        let limit = limit.min(Semaphore::MAX_PERMITS);
        let free = Arc::new(Semaphore::new(limit));
        Self { free, limit }
    }

    /// Returns the number of slots.
    pub const fn limit(&self) -> usize {
        self.limit
    }

    /// Takes a slot, if one is free.
    pub fn take(&self) -> Option<ConcurrencyPermit> {
        Arc::clone(&self.free).try_acquire_owned().ok()
    }

    /// Rejects a request for which no slot is free.
    pub fn exceeded(&self) -> Rejection {
        let cause = format!("all {} slots of `limits.requests` are in use", self.limit);
        Rejection::because(Reason::Overloaded, cause)
    }

    /// Waits until all slots are free.
    pub async fn drained(&self) {
        let all = u32::try_from(self.limit).unwrap_or(u32::MAX);
        // Acquiring fails only if the semaphore is closed, and nothing closes it.
        let _ = self.free.acquire_many(all).await;
    }
}
