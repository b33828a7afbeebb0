//! Ends a request over HTTP/2 in which nothing moves any more. The engine waits without a limit
//! for the rest of a body, even once the service has answered; over HTTP/1 it times each read.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::{Instant, sleep};

/// How often it looks.
const TICK: Duration = Duration::from_secs(1);

tokio::task_local! {
    /// The engine makes the context of a request and tells it nothing of what we know before.
    static WATCHDOG: StallWatchdog;
}

/// Watches one request; a clone watches the same. It waits for ever until something moves.
#[derive(Debug, Clone)]
pub struct StallWatchdog(Arc<State>);

#[derive(Debug)]
struct State {
    began: Instant,
    /// Milliseconds from the beginning on.
    deadline: AtomicU64,
}

impl Default for StallWatchdog {
    fn default() -> Self {
        Self(Arc::new(State {
            began: Instant::now(),
            deadline: AtomicU64::new(u64::MAX),
        }))
    }
}

impl StallWatchdog {
    /// Serves a request until nothing moves in it any more: then it is dropped, and there is `None`.
    pub async fn run<T>(serve: impl Future<Output = T>) -> Option<T> {
        let watch = Self::default();
        tokio::select! {
            biased;
            served = WATCHDOG.scope(watch.clone(), serve) => Some(served),
            () = watch.stalled() => None,
        }
    }

    /// The watch over the request that is being served, if there is one.
    pub fn of_request() -> Option<Self> {
        WATCHDOG.try_with(Clone::clone).ok()
    }

    /// Something moved; what comes next may take so long.
    pub fn touch(&self, allowance: Duration) {
        let deadline = self.0.began.elapsed() + allowance;
        self.0.deadline.store(milliseconds(deadline), Ordering::Relaxed);
    }

    /// Resolves when nothing moved for as long as it might.
    async fn stalled(&self) {
        while milliseconds(self.0.began.elapsed()) < self.0.deadline.load(Ordering::Relaxed) {
            sleep(TICK).await;
        }
    }
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
