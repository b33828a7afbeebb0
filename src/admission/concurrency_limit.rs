//! Places for requests that are with services: so many at a time, and none at the end of a drain.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The places of a process; a clone has the same ones.
#[derive(Debug, Clone)]
pub struct Places {
    free: Arc<Semaphore>,
    all: usize,
}

/// A place that is taken until it is dropped.
pub type Place = OwnedSemaphorePermit;

impl Places {
    /// So many, all of them free.
    pub fn new(all: usize) -> Self {
        let all = all.min(Semaphore::MAX_PERMITS);
        let free = Arc::new(Semaphore::new(all));
        Self { free, all }
    }

    /// How many there are, free and taken.
    pub const fn all(&self) -> usize {
        self.all
    }

    /// Takes one, if there is one.
    pub fn take(&self) -> Option<Place> {
        Arc::clone(&self.free).try_acquire_owned().ok()
    }

    /// Waits until nobody has one.
    pub async fn all_free(&self) {
        let all = u32::try_from(self.all).unwrap_or(u32::MAX);
        // An error says that there are none any more.
        let _ = self.free.acquire_many(all).await;
    }
}
